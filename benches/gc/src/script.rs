//! The same workloads in Node, if it is installed.

use std::process::Command;

const SCRIPT: &str = r#"
const [workload, timed] = process.argv.slice(1);
const cpu = () => { const it = process.cpuUsage(); return (it.user + it.system) * 1000; };
let longest = 0;
const step = timed === 'steps'
  ? (it) => { const start = performance.now(); const done = it(); longest = Math.max(longest, performance.now() - start); return done; }
  : (it) => it();
const resident = () => Number(require('fs').readFileSync('/proc/self/status', 'utf8').match(/VmHWM:\s+(\d+)/)[1]);
function Tree(left, right) { this.left = left; this.right = right; }
const build = (depth) => depth === 0 ? new Tree(null, null) : new Tree(build(depth - 1), build(depth - 1));
const walk = (tree) => tree.left === null ? 1 : 1 + walk(tree.left) + walk(tree.right);
function Node(number) { this.number = number; this.next = null; this.previous = null; }
const trees = () => {
  let nodes = 0;
  const long = build(16);
  for (let depth = 4; depth <= 14; depth += 2) {
    for (let at = 0; at < 1 << (18 - depth - 1); at++) nodes += step(() => walk(build(depth)));
  }
  return nodes + walk(long);
};
const cluster = (number) => {
  const nodes = [];
  for (let at = 0; at < 5; at++) nodes.push(new Node(number + at));
  for (let at = 0; at < 5; at++) { nodes[at].next = nodes[(at + 1) % 5]; nodes[(at + 1) % 5].previous = nodes[at]; }
  return nodes[0];
};
const cycles = () => {
  const live = new Array(20000).fill(null);
  for (let at = 0; at < 400000; at++) step(() => { live[at % 20000] = cluster(at); });
  return 2000000;
};
const before = resident(), start = cpu();
const nodes = workload === 'trees' ? trees() : cycles();
console.log(nodes, cpu() - start, resident() - before, longest * 1e6);
"#;

/// One run, or nothing without Node.
pub fn run(workload: &str, timed: bool) -> Option<[f64; 4]> {
    let out = Command::new("node").args(["-e", SCRIPT, workload, if timed { "steps" } else { "whole" }]).output();
    super::parse(&String::from_utf8_lossy(&out.ok()?.stdout))
}
