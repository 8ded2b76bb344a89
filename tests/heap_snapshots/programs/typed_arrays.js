// Frames by number.
const frames = {};
exports.bad = (id) => {
  frames["f" + id] = new Float64Array(32); // expect: unbounded-growth frames
};
exports.good = (id) => {
  frames["f" + (id % 4)] = new Float64Array(32);
};
exports.use = () => frames;
