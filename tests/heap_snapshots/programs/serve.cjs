// node serve.cjs bad|good PROGRAM...: programs that work, some requests at a time, until one of them is sent a signal.
const path = require("path");

const [how, ...names] = process.argv.slice(2);
const programs = names.map((it) => require(path.resolve(it)));
globalThis.programs = programs; // as a server would be: alive for good
let at = 0;
const step = async () => {
  for (let i = 0; i < 10; i++, at++) {
    for (const program of programs) await program[how](at);
  }
  if (at >= 600) process.kill(process.pid, "SIGTERM");
  else setTimeout(step, 50);
};
step();
