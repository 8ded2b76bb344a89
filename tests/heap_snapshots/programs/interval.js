// An interval for each client, cleared by nobody.
exports.bad = (id) => {
  const client = { id, queue: [id] };
  setInterval(function poll() { client.queue.length = 0; }, 60_000); // expect: retained-object poll
};
exports.good = (id) => {
  const client = { id, queue: [id] };
  const timer = setInterval(function poll() { client.queue.length = 0; }, 60_000);
  clearInterval(timer);
};
