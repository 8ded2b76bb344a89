// Promises whose resolvers wait in a list that nobody empties.
const waiters = [];
const asked = [];
exports.bad = (id) => {
  new Promise((resolve) => waiters.push(resolve)).then(() => id); // expect: unbounded-growth waiters
};
exports.good = (id) => {
  const answer = new Promise((resolve) => asked.push(resolve)).then(() => id);
  asked.pop()(id);
  return answer;
};
exports.use = () => [waiters, asked];
