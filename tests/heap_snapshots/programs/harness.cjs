// node harness.cjs PROGRAM bad|good: three snapshots of a program that works between them.
const v8 = require("v8");
const path = require("path");

const program = require(path.resolve(process.argv[2]));
const work = program[process.argv[3]];
globalThis.program = program; // as a server would be: alive for good
let at = 0;
(async () => {
  for (const [step, count] of [60, 120, 120].entries()) {
    for (let i = 0; i < count; i++) await work(at++);
    await new Promise((resolve) => setImmediate(resolve));
    v8.writeHeapSnapshot(`${step + 1}.heapsnapshot`);
  }
  process.exit();
})();
