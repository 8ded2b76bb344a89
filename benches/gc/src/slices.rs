//! Slices beside a million live nodes: a ring linked both ways, whose nodes become suspects all the time.

use std::cell::RefCell;

use heapwise_gc::{Cc, Collector, Handle, Heap, MarkSweep, Regions, Shape, Trace, cc};

const LIVE: usize = 1_000_000;
const TURNS: usize = 400_000;

#[derive(Trace)]
struct Node {
    next: RefCell<Option<Cc<Node>>>,
    previous: RefCell<Option<Cc<Node>>>,
}

/// The name, slices, the longest in milliseconds and in nodes.
pub type Line = (&'static str, u64, f64, u64);

fn node() -> Cc<Node> {
    Cc::new(Node { next: RefCell::default(), previous: RefCell::default() })
}

fn link(node: &Cc<Node>, next: &Cc<Node>) {
    *node.next.borrow_mut() = Some(next.clone());
    *next.previous.borrow_mut() = Some(node.clone());
}

pub fn counted() -> Line {
    let ring: Vec<Cc<Node>> = (0..LIVE).map(|_| node()).collect();
    for at in 0..LIVE {
        link(&ring[at], &ring[(at + 1) % LIVE]);
    }
    for turn in 0..TURNS {
        // A suspect among the live, and a cycle of two that dies.
        drop(ring[turn.wrapping_mul(7919) % LIVE].clone());
        let (a, b) = (node(), node());
        link(&a, &b);
        link(&b, &a);
    }
    let it = cc::counts();
    ("Cc", it.slices, it.longest_slice_nanos as f64 / 1e6, it.longest_slice_traced)
}

fn heap<C: Collector>(name: &'static str, collector: C) -> Line {
    let mut heap = Heap::new(collector);
    let shape = Shape::new(2, 0);
    let live = heap.allocate(Shape::new(LIVE as u32, 0)).expect("no limit");
    heap.push(live);
    let mut last: Option<Handle> = None;
    for at in 0..LIVE {
        let node = heap.allocate(shape).expect("no limit");
        heap.set(live, at as u32, Some(node));
        if let Some(last) = last.replace(node) {
            heap.set(last, 0, Some(node));
            heap.set(node, 1, Some(last));
        }
    }
    for turn in 0..2 * TURNS {
        let node = heap.allocate(shape).expect("no limit");
        heap.set(node, 0, heap.get(live, (turn.wrapping_mul(7919) % LIVE) as u32));
    }
    let it = heap.statistics();
    (name, it.pauses, it.longest_pause_nanos as f64 / 1e6, it.longest_pause_work)
}

pub fn mark_sweep() -> Line {
    heap("heap-mark-sweep", MarkSweep::default())
}

pub fn regions() -> Line {
    heap("heap-regions", Regions::default())
}
