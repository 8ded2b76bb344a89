//! How far objects are from what users know: steps from the global objects, as Chrome's developer tools count them.

use crate::retention::{is_user_root, weak_map_pair};
use heapwise_model::{EdgeKind, NodeId, ObjectHeap, ObjectKind};
use rustc_hash::{FxHashMap, FxHashSet};

/// Not reached at all.
pub const NO_DISTANCE: u32 = u32::MAX;
/// Distances from here on are of what only the runtime itself leads to.
pub const SYSTEM_DISTANCE: u32 = 100_000_000;

/// By node.
pub fn distances(heap: &ObjectHeap) -> Vec<u32> {
    let mut walk = Walk::new(heap);
    let mut open = Vec::new();
    for edge in heap.graph.row(NodeId(0)) {
        if is_user_root(heap, edge.target()) {
            walk.distance[edge.target().index()] = 1;
            open.push(edge.target());
        }
    }
    let has_user_roots = !open.is_empty();
    walk.breadth_first(open);
    walk.distance[0] = if has_user_roots { SYSTEM_DISTANCE } else { 0 };
    walk.breadth_first(vec![NodeId(0)]);
    walk.distance
}

struct Walk<'a> {
    heap: &'a ObjectHeap,
    distance: Vec<u32>,
    /// By label of an edge: the pair of a weak map that it belongs to.
    pairs: FxHashMap<u32, &'a str>,
    /// Pairs one of whose edges has been met.
    met: FxHashSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn new(heap: &'a ObjectHeap) -> Walk<'a> {
        let labels = 0..heap.texts.len() as u32;
        let pairs = labels.filter_map(|it| Some((it, weak_map_pair(heap.texts.get(it))?.0))).collect();
        Walk { heap, distance: vec![NO_DISTANCE; heap.graph.len()], pairs, met: FxHashSet::default() }
    }

    fn breadth_first(&mut self, mut open: Vec<NodeId>) {
        let graph = &self.heap.graph;
        let mut next = 0;
        while let Some(&node) = open.get(next) {
            next += 1;
            let distance = self.distance[node.index()] + 1;
            let first = graph.first[node.index()] as usize;
            for (at, edge) in (first..).zip(graph.row(node)) {
                let target = edge.target();
                if edge.kind() != EdgeKind::Weak
                    && self.distance[target.index()] == NO_DISTANCE
                    && self.counts(node, edge.kind(), graph.labels[at])
                {
                    self.distance[target.index()] = distance;
                    open.push(target);
                }
            }
        }
    }

    /// Whether an edge is a step: not what functions, layouts and weak maps share with everything.
    fn counts(&mut self, from: NodeId, kind: EdgeKind, label: u32) -> bool {
        let heap = self.heap;
        let is_named = !matches!(kind, EdgeKind::Element | EdgeKind::Hidden);
        let name = if is_named { heap.texts.get(label) } else { "" };
        match heap.kind[from.index()] {
            ObjectKind::Hidden
                if name == "sloppy_function_map" && heap.name(from) == "system / NativeContext" =>
            {
                return false;
            }
            ObjectKind::Array if heap.name(from) == "(map descriptors)" => {
                // Descriptors come by threes behind two fields; the middle one of each is not a layout's own.
                let index = if is_named { name.parse().ok() } else { Some(label) };
                return index.is_none_or(|index: u32| index < 2 || index % 3 != 1);
            }
            _ => {}
        }
        if kind == EdgeKind::Internal
            && let Some(&pair) = self.pairs.get(&label)
        {
            // The value of a weak map is as far as the farther one of key and map: the second edge that is met.
            if !self.met.remove(pair) {
                self.met.insert(pair);
                return false;
            }
        }
        true
    }
}
