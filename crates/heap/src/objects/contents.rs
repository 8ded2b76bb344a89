//! What a container holds most of.

use super::Walked;
use super::chain::{location, object, short_name};
use super::containers::is_part;
use heapwise_model::{Location, NodeId, ObjectKind};
use rustc_hash::FxHashMap;

/// Objects of one class, or instances of one function, in a container.
#[derive(Clone, Debug)]
pub struct Contents {
    pub name: String,
    pub count: u64,
    /// Bytes that go with them.
    pub bytes: u64,
    /// Where the class or the function is written.
    pub place: Option<Location>,
    pub are_functions: bool,
}

/// What objects are told together by: kind, name, and script and line of the class or function.
type Class = (ObjectKind, u32, Option<(u32, u32)>);

/// Of what `node` alone keeps alive and `is_told` admits: all bytes, and the class with most of them.
pub fn contents(
    walked: &Walked<'_>,
    node: NodeId,
    is_told: impl Fn(NodeId) -> bool,
) -> (u64, Option<Contents>) {
    let heap = walked.heap;
    // One of them, count and bytes.
    let mut classes: FxHashMap<Class, (NodeId, u64, u64)> = FxHashMap::default();
    let mut all = 0u64;
    let mut open = vec![node];
    while let Some(above) = open.pop() {
        for child in walked.tree.children(above) {
            let kind = heap.kind[child.index()];
            if is_part(heap, child) {
                open.push(child);
            } else if is_told(child) {
                let bytes = walked.retained(child).bytes;
                all = all.saturating_add(bytes);
                if matches!(kind, ObjectKind::Object | ObjectKind::Native | ObjectKind::Closure) {
                    let place = heap.place(child).map(|(_, at)| (at.script, at.line));
                    let entry =
                        classes.entry((kind, heap.name[child.index()], place)).or_insert((child, 0, 0));
                    entry.1 += 1;
                    entry.2 = entry.2.saturating_add(bytes);
                }
            }
        }
    }
    let most = classes.into_values().max_by_key(|it| (it.2, it.1, it.0)).map(|(one, count, bytes)| {
        let are_functions = heap.kind[one.index()] == ObjectKind::Closure;
        let name = if are_functions { object(heap, one) } else { short_name(heap, one).to_owned() };
        Contents { name, count, bytes, place: location(heap, one), are_functions }
    });
    (all, most)
}
