// One signal for the whole program, a listener for each request.
const stopping = new AbortController();
require("events").setMaxListeners(0, stopping.signal);
exports.bad = (id) => {
  stopping.signal.addEventListener("abort", function onStop() { return id; }); // expect: retained-object onStop
};
exports.good = (id) => {
  const onStop = () => id;
  stopping.signal.addEventListener("abort", onStop);
  stopping.signal.removeEventListener("abort", onStop);
};
exports.use = () => stopping;
