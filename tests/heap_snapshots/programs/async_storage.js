// Contexts of requests, kept in a registry for tracing.
const { AsyncLocalStorage } = require("async_hooks");
const storage = new AsyncLocalStorage();
const traces = [];
exports.bad = (id) => storage.run({ id, spans: [id] }, async () => {
  traces.push(storage.getStore()); // expect: unbounded-growth traces
});
exports.good = (id) => storage.run({ id, spans: [id] }, async () => storage.getStore().id);
exports.use = () => [storage, traces];
