// A report that is one string, longer with each line.
const state = { report: "", line: "" };
exports.bad = (id) => {
  state.report += "request number " + id + " was answered\n"; // expect: unbounded-growth report
};
exports.good = (id) => { state.line = "request number " + id + " was answered\n"; };
exports.use = () => state;
