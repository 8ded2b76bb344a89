// An event of its own for each job: the emitter's table of names grows.
const EventEmitter = require("events");
const jobs = new EventEmitter();
exports.bad = (id) => {
  jobs.on("done" + id, function onDone() { return id; }); // expect: retained-object onDone
};
exports.good = (id) => {
  jobs.once("done" + id, function onDone() { return id; });
  jobs.emit("done" + id);
};
exports.use = () => jobs;
