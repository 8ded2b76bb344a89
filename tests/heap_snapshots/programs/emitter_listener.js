// A listener for each request, on an emitter that stays.
const EventEmitter = require("events");
const bus = new EventEmitter();
bus.setMaxListeners(0);
exports.bad = (id) => {
  const request = { id, body: [id] };
  bus.on("reload", function onReload() { return request.id; }); // expect: retained-object reload
};
exports.good = (id) => {
  const request = { id, body: [id] };
  const onReload = () => request.id;
  bus.on("reload", onReload);
  bus.off("reload", onReload);
};
exports.use = () => bus;
