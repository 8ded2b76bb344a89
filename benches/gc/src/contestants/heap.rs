//! The managed heap with each of its collectors, used as an interpreter would.

use heapwise_gc::{Collector, Generational, Handle, Heap, MarkSweep, ReferenceCounting, Regions, Shape};

use super::{CLUSTER, CLUSTERS, LIVE_CLUSTERS, LONG_DEPTH, Meter, short_trees};

/// The tree is left on the stack of roots.
fn build<C: Collector>(heap: &mut Heap<C>, depth: u32) {
    if depth == 0 {
        let leaf = heap.allocate(Shape::new(2, 0)).expect("no limit");
        heap.push(leaf);
        return;
    }
    build(heap, depth - 1);
    build(heap, depth - 1);
    let tree = heap.allocate(Shape::new(2, 0)).expect("no limit");
    let right = heap.pop();
    heap.set(tree, 1, Some(right));
    let left = heap.pop();
    heap.set(tree, 0, Some(left));
    heap.push(tree);
}

fn walk<C: Collector>(heap: &Heap<C>, tree: Handle) -> u64 {
    match (heap.get(tree, 0), heap.get(tree, 1)) {
        (Some(left), Some(right)) => 1 + walk(heap, left) + walk(heap, right),
        _ => 1,
    }
}

fn trees<C: Collector>(collector: C, meter: &mut Meter) -> u64 {
    let mut heap = Heap::new(collector);
    build(&mut heap, LONG_DEPTH);
    let mut nodes = 0;
    for depth in short_trees() {
        meter.step(|| {
            build(&mut heap, depth);
            let tree = heap.pop();
            nodes += walk(&heap, tree);
        });
    }
    let long = heap.pop();
    nodes + walk(&heap, long)
}

fn cluster<C: Collector>(heap: &mut Heap<C>, number: usize) -> Handle {
    for at in 0..CLUSTER {
        let node = heap.allocate(Shape::new(2, 8)).expect("no limit");
        heap.bytes_mut(node).copy_from_slice(&((number + at) as u64).to_ne_bytes());
        heap.push(node);
    }
    let nodes: [Handle; CLUSTER] = std::array::from_fn(|_| heap.pop());
    for at in 0..CLUSTER {
        let next = nodes[(at + 1) % CLUSTER];
        heap.set(nodes[at], 0, Some(next));
        heap.set(next, 1, Some(nodes[at]));
    }
    nodes[0]
}

fn cycles<C: Collector>(collector: C, meter: &mut Meter) -> u64 {
    let mut heap = Heap::new(collector);
    let live = heap.allocate(Shape::new(LIVE_CLUSTERS as u32, 0)).expect("no limit");
    heap.push(live);
    for at in 0..CLUSTERS {
        meter.step(|| {
            let cluster = cluster(&mut heap, at);
            heap.set(live, (at % LIVE_CLUSTERS) as u32, Some(cluster));
        });
    }
    (CLUSTERS * CLUSTER) as u64
}

pub fn trees_counting(meter: &mut Meter) -> u64 {
    trees(ReferenceCounting::default(), meter)
}

pub fn cycles_counting(meter: &mut Meter) -> u64 {
    cycles(ReferenceCounting::default(), meter)
}

pub fn trees_mark_sweep(meter: &mut Meter) -> u64 {
    trees(MarkSweep::default(), meter)
}

pub fn cycles_mark_sweep(meter: &mut Meter) -> u64 {
    cycles(MarkSweep::default(), meter)
}

pub fn trees_generational(meter: &mut Meter) -> u64 {
    trees(Generational::default(), meter)
}

pub fn cycles_generational(meter: &mut Meter) -> u64 {
    cycles(Generational::default(), meter)
}

pub fn trees_regions(meter: &mut Meter) -> u64 {
    trees(Regions::default(), meter)
}

pub fn cycles_regions(meter: &mut Meter) -> u64 {
    cycles(Regions::default(), meter)
}
