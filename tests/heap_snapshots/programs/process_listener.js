// A listener on the process itself for each worker.
process.setMaxListeners(0);
exports.bad = (id) => {
  process.on("warning", function onWarning() { return id; }); // expect: retained-object warning
};
exports.good = (id) => {
  const onWarning = () => id;
  process.on("warning", onWarning);
  process.off("warning", onWarning);
};
