//! `Rc`, with weak handles where it goes back.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::{CLUSTER, CLUSTERS, LIVE_CLUSTERS, LONG_DEPTH, Meter, short_trees};

struct Tree {
    children: Option<(Rc<Tree>, Rc<Tree>)>,
}

fn build(depth: u32) -> Rc<Tree> {
    Rc::new(Tree { children: (depth > 0).then(|| (build(depth - 1), build(depth - 1))) })
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
    next: RefCell<Option<Rc<Node>>>,
    previous: RefCell<Weak<Node>>,
}

fn cluster(number: usize) -> Rc<Node> {
    let node = |at| Node { _number: (number + at) as u64, next: RefCell::default(), previous: RefCell::default() };
    let nodes: [Rc<Node>; CLUSTER] = std::array::from_fn(|at| Rc::new(node(at)));
    for at in 0..CLUSTER {
        let next = &nodes[(at + 1) % CLUSTER];
        // The ring is open where it would close.
        if at + 1 < CLUSTER {
            *nodes[at].next.borrow_mut() = Some(next.clone());
        }
        *next.previous.borrow_mut() = Rc::downgrade(&nodes[at]);
    }
    nodes[0].clone()
}

pub fn cycles(meter: &mut Meter) -> u64 {
    let mut live: Vec<Option<Rc<Node>>> = vec![None; LIVE_CLUSTERS];
    for at in 0..CLUSTERS {
        meter.step(|| live[at % LIVE_CLUSTERS] = Some(cluster(at)));
    }
    (CLUSTERS * CLUSTER) as u64
}
