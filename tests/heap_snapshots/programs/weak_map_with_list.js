// A WeakMap, whose keys a list keeps all the same.
const meta = new WeakMap();
const sockets = [];
exports.bad = (id) => {
  const socket = { id };
  meta.set(socket, { since: id, words: [id] });
  sockets.push(socket); // expect: unbounded-growth sockets
};
exports.good = (id) => {
  const socket = { id };
  meta.set(socket, { since: id, words: [id] });
};
exports.use = () => [meta, sockets];
