//! Which nodes of documents are no longer shown.
//!
//! Few nodes know it themselves. The others take it from who references them, within the embedder's objects only: what
//! an attached node references is attached, what else a detached one references is detached (as Chrome's developer
//! tools do it).

use heapwise_model::{Bits, EdgeKind, NodeId, ObjectHeap, ObjectKind};

/// Fills [`ObjectHeap::detached`].
pub fn spread(heap: &mut ObjectHeap, attached: Vec<NodeId>, detached: Vec<NodeId>) {
    let mut seen = Bits::new(heap.graph.len());
    let mut is_detached = Bits::new(heap.graph.len());
    let is_native = |node: NodeId| heap.kind[node.index()] == ObjectKind::Native;
    let targets = |node: NodeId| {
        let row = heap.graph.row(node).iter();
        row.filter(|edge| !matches!(edge.kind(), EdgeKind::Hidden | EdgeKind::Weak)).map(|edge| edge.target())
    };
    let mut known = |nodes: Vec<NodeId>| -> Vec<NodeId> {
        nodes.into_iter().filter(|&it| seen.insert(it.index()) && is_native(it)).collect()
    };
    let (mut attached, mut detached) = (known(attached), known(detached));
    while let Some(node) = attached.pop() {
        attached.extend(targets(node).filter(|&it| seen.insert(it.index()) && is_native(it)));
    }
    while let Some(node) = detached.pop() {
        is_detached.insert(node.index());
        detached.extend(targets(node).filter(|&it| seen.insert(it.index()) && is_native(it)));
    }
    heap.detached = is_detached;
}
