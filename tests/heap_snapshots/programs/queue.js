// Work is put in; nobody takes it out.
class Queue {
  constructor() { this.tasks = []; }
  put(task) { this.tasks.push(task); } // expect: unbounded-growth tasks
  take() { return this.tasks.shift(); }
}
const queue = new Queue();
exports.bad = (id) => queue.put({ id });
exports.good = (id) => { queue.put({ id }); queue.take(); };
exports.use = () => queue;
