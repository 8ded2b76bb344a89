//! `bacon_rajan_cc`, told to collect every 10,000 clusters.

use std::cell::RefCell;

use bacon_rajan_cc::{Cc, Trace, Tracer, collect_cycles};

use super::{CLUSTER, CLUSTERS, LIVE_CLUSTERS, LONG_DEPTH, Meter, short_trees};


struct Tree {
    children: Option<(Cc<Tree>, Cc<Tree>)>,
}

impl Trace for Tree {
    fn trace(&self, tracer: &mut Tracer) {
        if let Some((left, right)) = &self.children {
            left.trace(tracer);
            right.trace(tracer);
        }
    }
}

fn build(depth: u32) -> Cc<Tree> {
    Cc::new(Tree { children: (depth > 0).then(|| (build(depth - 1), build(depth - 1))) })
}

fn walk(tree: &Tree) -> u64 {
    tree.children.as_ref().map_or(1, |(left, right)| 1 + walk(left) + walk(right))
}

pub fn trees(meter: &mut Meter) -> u64 {
    let long = build(LONG_DEPTH);
    let short: u64 = short_trees().map(|depth| meter.step(|| walk(&build(depth)))).sum();
    short + walk(&long)
}


struct Node {
    _number: u64,
    next: RefCell<Option<Cc<Node>>>,
    previous: RefCell<Option<Cc<Node>>>,
}

impl Trace for Node {
    fn trace(&self, tracer: &mut Tracer) {
        self.next.borrow().trace(tracer);
        self.previous.borrow().trace(tracer);
    }
}

fn cluster(number: usize) -> Cc<Node> {
    let node = |at| Node { _number: (number + at) as u64, next: RefCell::default(), previous: RefCell::default() };
    let nodes: [Cc<Node>; CLUSTER] = std::array::from_fn(|at| Cc::new(node(at)));
    for at in 0..CLUSTER {
        let next = &nodes[(at + 1) % CLUSTER];
        *nodes[at].next.borrow_mut() = Some(next.clone());
        *next.previous.borrow_mut() = Some(nodes[at].clone());
    }
    nodes[0].clone()
}

pub fn cycles(meter: &mut Meter) -> u64 {
    let mut live: Vec<Option<Cc<Node>>> = vec![None; LIVE_CLUSTERS];
    for at in 0..CLUSTERS {
        meter.step(|| {
            live[at % LIVE_CLUSTERS] = Some(cluster(at));
            if at % 10_000 == 0 {
                collect_cycles();
            }
        });
    }
    (CLUSTERS * CLUSTER) as u64
}
