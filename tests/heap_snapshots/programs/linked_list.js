// A list of nodes, each of which leads to the one before.
class Entry {
  constructor(id, before) { this.id = id; this.before = before; } // expect: retained-object Entry
}
let newest = null;
exports.bad = (id) => { newest = new Entry(id, newest); };
exports.good = (id) => { newest = new Entry(id, null); };
exports.use = () => newest;
