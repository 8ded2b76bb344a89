// Everything ever seen.
const seen = new Set();
const today = new Set();
exports.bad = (id) => {
  seen.add({ id }); // expect: unbounded-growth seen
};
exports.good = (id) => {
  today.add({ id });
  if (id % 25 === 0) today.clear();
};
exports.use = () => [seen, today];
