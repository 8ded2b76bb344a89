// Chunks that are collected and never joined.
const chunks = [];
let last = null;
exports.bad = (id) => {
  chunks.push(Buffer.alloc(256, id)); // expect: unbounded-growth chunks
};
exports.good = (id) => {
  last = Buffer.alloc(256, id);
};
exports.use = () => [chunks, last];
