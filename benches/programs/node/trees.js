// trees.js ROUNDS: trees of objects with closures are grown and walked, most of them for a moment only.
class Node {
  constructor(depth) {
    this.children = depth > 0 ? [new Node(depth - 1), new Node(depth - 1)] : [];
    this.weigh = () => this.children.reduce((sum, it) => sum + it.weigh(), 1);
  }
}

const kept = new Map();
let total = 0;
for (let turn = 0; turn < Number(process.argv[2]); turn++) {
  const tree = new Node(12);
  total += tree.weigh();
  kept.set(turn % 4, tree);
}
console.log(total, kept.size);
