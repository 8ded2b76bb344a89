// Errors are kept with their stacks.
const failures = [];
let failure = null;
exports.bad = (id) => {
  try { throw new Error("request " + id); } catch (error) { failures.push(error); } // expect: unbounded-growth failures
};
exports.good = (id) => {
  try { throw new Error("request " + id); } catch (error) { failure = error; }
};
exports.use = () => [failures, failure];
