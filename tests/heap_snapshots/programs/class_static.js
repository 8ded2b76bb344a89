// Instances that their class counts by keeping them.
class Connection {
  static all = [];
  constructor(id) { this.id = id; }
  open() {
    Connection.all.push(this); // expect: unbounded-growth all
    return this;
  }
  close() { Connection.all.splice(Connection.all.indexOf(this), 1); }
}
exports.bad = (id) => { new Connection(id).open(); };
exports.good = (id) => { new Connection(id).open().close(); };
exports.use = () => Connection;
