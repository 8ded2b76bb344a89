// Streams that nobody ends are kept by who may still write to them.
const { PassThrough } = require("stream");
const outputs = new Set();
exports.bad = (id) => {
  const output = new PassThrough();
  output.write("line " + id);
  outputs.add(output); // expect: unbounded-growth outputs
};
exports.good = (id) => {
  const output = new PassThrough();
  outputs.add(output);
  output.on("close", () => outputs.delete(output));
  output.destroy();
  return new Promise((resolve) => output.on("close", resolve));
};
exports.use = () => outputs;
