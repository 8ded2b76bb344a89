//! Which file a script's number stands for: told by the functions in it.
//!
//! V8 gives places as numbers of scripts. A function leads to what its instances share, and that to its script, whose
//! name is the file's path or address.

use heapwise_model::{EdgeKind, NodeId, ObjectHeap, ObjectKind};
use std::collections::BTreeMap;

/// Names of scripts by number, ascending.
pub fn scripts(heap: &ObjectHeap) -> Vec<(u32, String)> {
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    for place in &heap.places {
        if heap.kind[place.node.index()] == ObjectKind::Closure
            && !names.contains_key(&place.script)
            && let Some(script) = script(heap, place.node)
            && !heap.name(script).is_empty()
        {
            names.insert(place.script, heap.name(script).to_owned());
        }
    }
    names.into_iter().collect()
}

fn script(heap: &ObjectHeap, function: NodeId) -> Option<NodeId> {
    let shared = internal(heap, function, &["shared"])?;
    // Called so since Node 16; before, and again later, `script`.
    internal(heap, shared, &["script_or_debug_info", "script"])
}

/// The target of one of the runtime's own fields.
fn internal(heap: &ObjectHeap, node: NodeId, names: &[&str]) -> Option<NodeId> {
    let first = heap.graph.first[node.index()] as usize;
    let mut row = (first..).zip(heap.graph.row(node));
    let found = row.find(|(at, edge)| {
        edge.kind() == EdgeKind::Internal && names.contains(&heap.texts.get(heap.graph.labels[*at]))
    });
    found.map(|(_, edge)| edge.target())
}
