// Each handler calls the one before.
let handle = null;
exports.bad = (id) => {
  const before = handle;
  handle = function chained() { return before ? before() + id : id; }; // expect: retained-object chained
};
exports.good = (id) => { handle = function alone() { return id; }; };
exports.use = () => handle;
