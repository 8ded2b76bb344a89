// An hour's timeout for each request that is long answered.
exports.bad = (id) => {
  const request = { id, body: "b".repeat(50) + id };
  setTimeout(function expire() { request.body = null; }, 3_600_000); // expect: retained-object expire
};
exports.good = (id) => {
  const request = { id, body: "b".repeat(50) + id };
  clearTimeout(setTimeout(function expire() { request.body = null; }, 3_600_000));
};
