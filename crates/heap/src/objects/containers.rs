//! Which objects hold many others, and how many.

use heapwise_model::{EdgeKind, Kind, NodeId, ObjectHeap, ObjectKind};

/// An object that holds others on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    pub kind: Kind,
    /// Entries that are objects themselves, or whose keys are.
    pub entries: u64,
}

/// What a container holds, if the object is one.
pub fn container(heap: &ObjectHeap, node: NodeId) -> Option<Container> {
    if heap.kind[node.index()] != ObjectKind::Object {
        return None;
    }
    let (kind, entries) = match heap.name(node) {
        "Map" | "WeakMap" => (Kind::Map, rows(heap, node, 3)),
        "Set" | "WeakSet" => (Kind::Set, rows(heap, node, 2)),
        "Array" => (Kind::List, elements(heap, node)),
        _ => (Kind::Map, properties(heap, node).max(elements(heap, node))),
    };
    Some(Container { kind, entries })
}

/// Whether an object is the runtime's own: part of another one.
pub fn is_part(heap: &ObjectHeap, node: NodeId) -> bool {
    match heap.kind[node.index()] {
        ObjectKind::Hidden | ObjectKind::Array | ObjectKind::Code | ObjectKind::Shape => true,
        _ => is_scope(heap, node),
    }
}

/// Whether an object holds the variables of a function that others are made in.
pub fn is_scope(heap: &ObjectHeap, node: NodeId) -> bool {
    heap.kind[node.index()] == ObjectKind::Object && heap.name(node).starts_with("system / Context")
}

/// Entries of a hash table whose rows are `width` fields: V8 names the fields by their numbers, and keys and values
/// stand at one place of their rows each. The fullest place counts: small integers are no objects.
fn rows(heap: &ObjectHeap, node: NodeId, width: usize) -> u64 {
    let Some(table) = heap.internal(node, &["table"]) else { return 0 };
    let mut counts = [0u64; 3];
    for (kind, label, _) in heap.references(table) {
        let field: Option<usize> = match kind {
            EdgeKind::Internal => heap.texts.get(label).parse().ok(),
            EdgeKind::Hidden | EdgeKind::Element => Some(label as usize),
            _ => None,
        };
        if let Some(field) = field {
            counts[field % width] += 1;
        }
    }
    counts.into_iter().max().unwrap_or(0)
}

fn elements(heap: &ObjectHeap, node: NodeId) -> u64 {
    heap.references(node).filter(|(kind, _, _)| *kind == EdgeKind::Element).count() as u64
}

fn properties(heap: &ObjectHeap, node: NodeId) -> u64 {
    let is_own = |(kind, label, _): &(EdgeKind, u32, NodeId)| {
        *kind == EdgeKind::Property && heap.texts.get(*label) != "__proto__"
    };
    heap.references(node).filter(is_own).count() as u64
}
