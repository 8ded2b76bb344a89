// An object as a cache: its keys never end.
const pages = Object.create(null);
const known = Object.create(null);
exports.bad = (id) => {
  pages["page" + id] = { id, words: [id, id + 1] }; // expect: unbounded-growth pages
};
exports.good = (id) => {
  known["page" + (id % 5)] = { id, words: [id, id + 1] };
};
exports.use = () => [pages, known];
