// A list under a symbol, on an object that stays.
const TRAIL = Symbol("trail");
const app = { [TRAIL]: [], last: null };
exports.bad = (id) => {
  app[TRAIL].push({ id }); // expect: unbounded-growth trail
};
exports.good = (id) => { app.last = { id }; };
exports.use = () => app;
