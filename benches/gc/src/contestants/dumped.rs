//! `dumpster`, its variant for one thread; it collects when it thinks it should.

use std::cell::RefCell;

use dumpster::{Trace, unsync::Gc};

use super::{CLUSTER, CLUSTERS, LIVE_CLUSTERS, LONG_DEPTH, Meter, short_trees};

#[derive(Trace)]
struct Tree {
    children: Option<(Gc<Tree>, Gc<Tree>)>,
}

fn build(depth: u32) -> Gc<Tree> {
    Gc::new(Tree { children: (depth > 0).then(|| (build(depth - 1), build(depth - 1))) })
}

fn walk(tree: &Tree) -> u64 {
    tree.children.as_ref().map_or(1, |(left, right)| 1 + walk(left) + walk(right))
}

pub fn trees(meter: &mut Meter) -> u64 {
    let long = build(LONG_DEPTH);
    let short: u64 = short_trees().map(|depth| meter.step(|| walk(&build(depth)))).sum();
    short + walk(&long)
}

#[derive(Trace)]
struct Node {
    _number: u64,
    next: RefCell<Option<Gc<Node>>>,
    previous: RefCell<Option<Gc<Node>>>,
}

fn cluster(number: usize) -> Gc<Node> {
    let node = |at| Node { _number: (number + at) as u64, next: RefCell::default(), previous: RefCell::default() };
    let nodes: [Gc<Node>; CLUSTER] = std::array::from_fn(|at| Gc::new(node(at)));
    for at in 0..CLUSTER {
        let next = &nodes[(at + 1) % CLUSTER];
        *nodes[at].next.borrow_mut() = Some(next.clone());
        *next.previous.borrow_mut() = Some(nodes[at].clone());
    }
    nodes[0].clone()
}

pub fn cycles(meter: &mut Meter) -> u64 {
    let mut live: Vec<Option<Gc<Node>>> = vec![None; LIVE_CLUSTERS];
    for at in 0..CLUSTERS {
        meter.step(|| {
            live[at % LIVE_CLUSTERS] = Some(cluster(at));
            
        });
    }
    (CLUSTERS * CLUSTER) as u64
}
