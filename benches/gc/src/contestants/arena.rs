//! `gc-arena`: one `mutate` for each tree or cluster, and its debt paid after each.

use gc_arena::lock::RefLock;
use gc_arena::{Arena, Collect, Gc, Mutation, Rootable};

use super::{CLUSTER, CLUSTERS, LIVE_CLUSTERS, LONG_DEPTH, Meter, short_trees};

#[derive(Collect)]
#[collect(no_drop)]
struct Tree<'gc> {
    children: Option<(Gc<'gc, Tree<'gc>>, Gc<'gc, Tree<'gc>>)>,
}

fn build<'gc>(mutation: &Mutation<'gc>, depth: u32) -> Gc<'gc, Tree<'gc>> {
    let children = (depth > 0).then(|| (build(mutation, depth - 1), build(mutation, depth - 1)));
    Gc::new(mutation, Tree { children })
}

fn walk(tree: &Tree<'_>) -> u64 {
    tree.children.as_ref().map_or(1, |(left, right)| 1 + walk(left) + walk(right))
}

pub fn trees(meter: &mut Meter) -> u64 {
    let mut arena = Arena::<Rootable![Gc<'_, Tree<'_>>]>::new(|mutation| build(mutation, LONG_DEPTH));
    let mut nodes = 0;
    for depth in short_trees() {
        meter.step(|| {
            nodes += arena.mutate(|mutation, _| walk(&build(mutation, depth)));
            arena.collect_debt();
        });
    }
    nodes + arena.mutate(|_, long| walk(long))
}

#[derive(Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    number: u64,
    next: Option<Gc<'gc, RefLock<Node<'gc>>>>,
    previous: Option<Gc<'gc, RefLock<Node<'gc>>>>,
}

type NodeRef<'gc> = Gc<'gc, RefLock<Node<'gc>>>;

fn cluster<'gc>(mutation: &Mutation<'gc>, number: usize) -> NodeRef<'gc> {
    let node = |at| Node { number: (number + at) as u64, next: None, previous: None };
    let nodes: [NodeRef<'gc>; CLUSTER] = std::array::from_fn(|at| Gc::new(mutation, RefLock::new(node(at))));
    for at in 0..CLUSTER {
        let next = nodes[(at + 1) % CLUSTER];
        nodes[at].borrow_mut(mutation).next = Some(next);
        next.borrow_mut(mutation).previous = Some(nodes[at]);
    }
    nodes[0]
}

pub fn cycles(meter: &mut Meter) -> u64 {
    let mut arena = Arena::<Rootable![Gc<'_, RefLock<Vec<Option<NodeRef<'_>>>>>]>::new(|mutation| {
        Gc::new(mutation, RefLock::new(vec![None; LIVE_CLUSTERS]))
    });
    for at in 0..CLUSTERS {
        meter.step(|| {
            arena.mutate(|mutation, live| {
                live.borrow_mut(mutation)[at % LIVE_CLUSTERS] = Some(cluster(mutation, at));
            });
            arena.collect_debt();
        });
    }
    (CLUSTERS * CLUSTER) as u64 + arena.mutate(|_, live| live.borrow()[0].map_or(0, |it| it.borrow().number & 0))
}
