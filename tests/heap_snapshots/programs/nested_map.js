// Few users, many visits: the lists in the map grow.
const visits = new Map();
const latest = new Map();
exports.bad = (id) => {
  const user = "user" + (id % 2);
  if (!visits.has(user)) visits.set(user, { list: [] });
  visits.get(user).list.push({ id }); // expect: unbounded-growth list
};
exports.good = (id) => {
  latest.set("user" + (id % 2), { id });
};
exports.use = () => [visits, latest];
