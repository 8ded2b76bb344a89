// Listeners of a target of the web's kind.
const target = new EventTarget();
require("events").setMaxListeners(0, target);
exports.bad = (id) => {
  target.addEventListener("change", function onChange() { return id; }); // expect: retained-object onChange
};
exports.good = (id) => {
  const stop = new AbortController();
  target.addEventListener("change", function onChange() { return id; }, { signal: stop.signal });
  stop.abort();
};
exports.use = () => target;
