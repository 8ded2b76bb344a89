// Results by argument, and the arguments never repeat.
function memoize(compute) {
  const results = new Map();
  return (argument) => {
    if (!results.has(argument)) results.set(argument, compute(argument)); // expect: unbounded-growth results
    return results.get(argument);
  };
}
const square = memoize((id) => ({ id, square: id * id }));
exports.bad = (id) => { square(id); };
exports.good = (id) => { square(id % 3); };
exports.use = () => square;
