// A service that remembers each order.
class Orders {
  constructor() { this.open = []; this.last = []; }
  take(id) {
    this.open.push({ id, items: [id] }); // expect: unbounded-growth open
  }
  note(id) {
    this.last.push({ id, items: [id] });
    this.last = this.last.slice(-10);
  }
}
const orders = new Orders();
exports.bad = (id) => orders.take(id);
exports.good = (id) => orders.note(id);
exports.use = () => orders;
