// A log in memory.
const history = [];
const recent = [];
exports.bad = (id) => {
  history.push({ id, at: Date.now() }); // expect: unbounded-growth history
};
exports.good = (id) => {
  recent.push({ id, at: Date.now() });
  if (recent.length > 16) recent.shift();
};
exports.use = () => [history, recent];
