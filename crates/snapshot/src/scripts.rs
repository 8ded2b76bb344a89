//! Which file a script's number stands for: told by the functions in it.
//!
//! V8 gives places as numbers of scripts. A function leads to what its instances share, and that to its script, whose
//! name is the file's path or address.

use heapwise_model::{NodeId, ObjectHeap, ObjectKind};
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
            // Later versions say what it is first.
            let name = heap.name(script);
            let name = name.strip_prefix("system / Script / ").unwrap_or(name);
            names.insert(place.script, name.strip_prefix("file://").unwrap_or(name).to_owned());
        }
    }
    names.into_iter().collect()
}

fn script(heap: &ObjectHeap, function: NodeId) -> Option<NodeId> {
    let shared = heap.internal(function, &["shared"])?;
    // Called so since Node 16; before, and again later, `script`.
    heap.internal(shared, &["script_or_debug_info", "script"])
}
