// A cache by request number: no entry is ever asked for again.
const cache = new Map();
const bounded = new Map();
const render = (id) => ({ id, html: ["<p>", id, "</p>"] });
exports.bad = (id) => {
  cache.set(id, render(id)); // expect: unbounded-growth cache
};
exports.good = (id) => {
  bounded.set(id, render(id));
  if (bounded.size > 20) bounded.delete(bounded.keys().next().value);
};
exports.use = () => [cache, bounded];
