//! The presets beside the interpreters they stand for: the same program here and there, collections counted in both.
//! What is not installed is not compared.

use std::path::{Path, PathBuf};
use std::process::Command;

use heapwise_gc::{Collector, Handle, Heap, ReferenceCounting, Shape, presets};

/// What the program does, told alike in three languages.
const LONG_DEPTH: u32 = 16;
const TREES: u32 = 400;
const TREE_DEPTH: u32 = 9;
const CLUSTERS: u32 = 120_000;
const LIVE_CLUSTERS: u32 = 3_000;

const PYTHON: &str = r#"
import gc, sys
class Node:
    __slots__ = ("left", "right")
    def __init__(self, left, right):
        self.left = left
        self.right = right
def build(depth):
    return Node(None, None) if depth == 0 else Node(build(depth - 1), build(depth - 1))
def cluster():
    a = Node(None, None); b = Node(None, None); c = Node(None, None); d = Node(None, None); e = Node(None, None)
    a.left = b; b.left = c; c.left = d; d.left = e; e.left = a
    b.right = a; c.right = b; d.right = c; e.right = d; a.right = e
    return a
def trees():
    long = build(LONG_DEPTH)
    for _ in range(TREES):
        build(TREE_DEPTH)
    return long
def cycles():
    live = [None] * LIVE_CLUSTERS
    for at in range(CLUSTERS):
        live[at % LIVE_CLUSTERS] = cluster()
    return live
counts = [0, 0, 0]
def started(phase, info):
    if phase == "start":
        counts[info["generation"]] += 1
gc.collect(); gc.freeze(); gc.collect()
gc.callbacks.append(started)
kept = trees() if sys.argv[1] == "trees" else cycles()
gc.callbacks.clear()
print(*counts)
"#;

const NODE: &str = r#"
function Tree(left, right) { this.left = left; this.right = right; }
const build = (depth) => depth === 0 ? new Tree(null, null) : new Tree(build(depth - 1), build(depth - 1));
const cluster = () => {
  const a = new Tree(null, null), b = new Tree(null, null), c = new Tree(null, null), d = new Tree(null, null), e = new Tree(null, null);
  a.left = b; b.left = c; c.left = d; d.left = e; e.left = a;
  b.right = a; c.right = b; d.right = c; e.right = d; a.right = e;
  return a;
};
const work = process.argv[1];
if (work === 'trees') {
  globalThis.long = build(LONG_DEPTH);
  for (let at = 0; at < TREES; at++) build(TREE_DEPTH);
} else if (work === 'cycles') {
  const live = globalThis.live = new Array(LIVE_CLUSTERS).fill(null);
  for (let at = 0; at < CLUSTERS; at++) live[at % LIVE_CLUSTERS] = cluster();
}
"#;

fn filled(script: &str) -> String {
    let numbers = [
        ("LONG_DEPTH", LONG_DEPTH),
        ("TREE_DEPTH", TREE_DEPTH),
        ("TREES", TREES),
        ("LIVE_CLUSTERS", LIVE_CLUSTERS),
        ("CLUSTERS", CLUSTERS),
    ];
    numbers.iter().fold(script.to_string(), |it, (name, number)| it.replace(name, &number.to_string()))
}

/// Leaves the tree on the stack of roots.
fn build<C: Collector>(heap: &mut Heap<C>, shape: Shape, depth: u32) {
    if depth > 0 {
        build(heap, shape, depth - 1);
        build(heap, shape, depth - 1);
    }
    let tree = heap.allocate(shape).expect("no limit");
    if depth > 0 {
        let (right, left) = (heap.pop(), heap.pop());
        heap.set(tree, 0, Some(left));
        heap.set(tree, 1, Some(right));
    }
    heap.push(tree);
}

fn trees<C: Collector>(heap: &mut Heap<C>, shape: Shape) {
    build(heap, shape, LONG_DEPTH);
    for _ in 0..TREES {
        build(heap, shape, TREE_DEPTH);
        heap.pop();
    }
}

fn cycles<C: Collector>(heap: &mut Heap<C>, shape: Shape) {
    let live = heap.allocate(Shape::new(LIVE_CLUSTERS, 0)).expect("no limit");
    heap.push(live);
    for at in 0..CLUSTERS {
        for _ in 0..5 {
            let node = heap.allocate(shape).expect("no limit");
            heap.push(node);
        }
        let nodes: [Handle; 5] = std::array::from_fn(|_| heap.pop());
        for at in 0..5 {
            heap.set(nodes[at], 0, Some(nodes[(at + 1) % 5]));
            heap.set(nodes[(at + 1) % 5], 1, Some(nodes[at]));
        }
        heap.set(live, at % LIVE_CLUSTERS, Some(nodes[0]));
    }
}

fn simulate<C: Collector>(collector: C, work: &str, shape: Shape) -> [u64; 3] {
    let mut heap = Heap::new(collector);
    match work {
        "trees" => trees(&mut heap, shape),
        _ => cycles(&mut heap, shape),
    }
    heap.verify().expect("a sound heap");
    heap.statistics().collections
}

fn output(program: &Path, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).env("NODE_OPTIONS", "").output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// An interpreter of a version that works, from the PATH or from where pyenv keeps them.
fn python(version: &str) -> Option<PathBuf> {
    let named = PathBuf::from(format!("python{version}"));
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let kept =
        root.and_then(|it| std::fs::read_dir(it.join("versions")).ok()).into_iter().flatten().flatten();
    let kept = kept
        .filter(|it| it.file_name().to_string_lossy().starts_with(&format!("{version}.")))
        .map(|it| it.path().join("bin/python3"));
    std::iter::once(named).chain(kept).find(|it| {
        let said = output(it, &["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
        said.is_some_and(|it| it.trim() == version)
    })
}

fn compare_cpython(version: &str, preset: fn() -> ReferenceCounting) {
    let Some(python) = python(version) else { return };
    for work in ["trees", "cycles"] {
        let said = output(&python, &["-c", &filled(PYTHON), work]).expect("the script runs");
        let measured: Vec<u64> = said.split_whitespace().map(|it| it.parse().expect("a count")).collect();
        let predicted = simulate(preset(), work, Shape::of_size(2, 48));
        println!("{version}, {work}: {predicted:?} predicted, {measured:?} measured");
        for (generation, (&predicted, &measured)) in predicted.iter().zip(&measured).enumerate() {
            // One at the edges: the interpreter makes a few objects of its own.
            let allowed = measured / 100 + 1;
            assert!(
                predicted.abs_diff(measured) <= allowed,
                "{version}, {work}, generation {generation}: {predicted} predicted, {measured} measured"
            );
        }
        assert!(
            measured[0] > 10 && measured[1] > 1,
            "{version}, {work}: too little to compare, {measured:?}"
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "runs other programs")]
fn cpython_3_11_collects_as_predicted() {
    compare_cpython("3.11", presets::cpython_3_11);
}

#[test]
#[cfg_attr(miri, ignore = "runs other programs")]
fn cpython_3_12_collects_as_predicted() {
    compare_cpython("3.12", presets::cpython_3_11);
}

#[test]
#[cfg_attr(miri, ignore = "runs other programs")]
fn cpython_3_13_collects_as_predicted() {
    compare_cpython("3.13", presets::cpython_3_13);
}

#[test]
#[cfg_attr(miri, ignore = "runs other programs")]
fn node_scavenges_as_predicted() {
    let node = Path::new("node");
    for (from, to) in [(1u32, 1u32), (2, 2), (4, 4), (1, 16)] {
        let sizes = [format!("--min-semi-space-size={from}"), format!("--max-semi-space-size={to}")];
        let scavenges = |work: &str| {
            let args = ["--trace-gc", &sizes[0], &sizes[1], "-e", &filled(NODE), work];
            Some(output(node, &args)?.lines().filter(|it| it.contains("Scavenge")).count() as u64)
        };
        let Some(idle) = scavenges("nothing") else { return };
        for work in ["trees", "cycles"] {
            let measured = scavenges(work).expect("the script runs") - idle;
            let preset = presets::v8_scavenger(from << 20, to << 20);
            let predicted = simulate(preset, work, Shape::of_size(2, 40))[0];
            println!("{from} to {to} MiB, {work}: {predicted} predicted, {measured} measured");
            // One at the edges: what Node allocated before fills a part of the first nursery.
            let allowed = measured / 10 + 1;
            assert!(
                predicted.abs_diff(measured) <= allowed,
                "{from} to {to} MiB, {work}: {predicted} predicted, {measured} measured"
            );
        }
    }
}
