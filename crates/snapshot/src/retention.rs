//! What keeps what alive, and who owns what, as Chrome's developer tools see it.
//!
//! - A weak reference, an object's reference to itself, and a shortcut (but for those of the root) keep nothing.
//! - A value in a weak map is kept by its key, not by the map: both hold it, but without the key it goes.
//! - What belongs to a page is not kept by what does not (a debugger, say): pages begin at the root's shortcuts and at
//!   the documents' trees.
//! - The runtime's own arrays and hidden objects that one object alone leads to count as part of that object.
//!
//! The roots are the global objects and document trees, node 0, from which all others are reached, and the objects that
//! weak references and shortcuts alone lead to. What is then still not reached are rings of objects; each hangs below
//! the roots by its first one.

use heapwise_model::{Bits, EdgeKind, HeapGraph, NodeId, ObjectHeap, ObjectKind, Root, RootKind};

/// The node from which all others are reached.
const ROOT: NodeId = NodeId(0);
/// The group of all document trees that are shown.
const DOCUMENTS: &str = "(Document DOM trees)";

/// Fills the graph's `idle` and `roots`, and gives what is owned to its owner.
pub fn judge(heap: &mut ObjectHeap) {
    let is_page = pages(heap);
    let table_of = weak_map_tables(heap);
    let mut idle = Bits::new(heap.graph.edges.len());
    // What more than weak references and shortcuts leads to, though not all that leads there keeps it.
    let mut is_claimed = Bits::new(heap.graph.len());
    is_claimed.insert(ROOT.index());
    for from in 0..heap.graph.len() {
        let first = heap.graph.first[from] as usize;
        for (at, edge) in (first..).zip(heap.graph.row(NodeId(from as u32))) {
            let to = edge.target().index();
            let keeps = match edge.kind() {
                EdgeKind::Weak => false,
                EdgeKind::Shortcut if from != ROOT.index() => false,
                EdgeKind::Internal => table_of.get(&heap.graph.labels[at]) != Some(&heap.ids[from]),
                _ => true,
            };
            let is_from_outside = from != ROOT.index() && is_page.has(to) && !is_page.has(from);
            if !keeps || to == from || is_from_outside {
                idle.insert(at);
            }
            if !matches!(edge.kind(), EdgeKind::Weak | EdgeKind::Shortcut) {
                is_claimed.insert(to);
            }
        }
    }
    heap.graph.idle = idle;
    let root = |kind| move |target| Root { kind, place: 0, target, interior: false };
    let kept = heap.graph.kept(ROOT).collect::<Vec<_>>();
    let known = kept.into_iter().filter(|&it| is_user_root(heap, it));
    let lonely = (0..heap.graph.len()).filter(|&it| !is_claimed.has(it)).map(|it| NodeId(it as u32));
    // Node 0 leads to what users know by references that keep it, so these more roots change no dominator but node 0.
    let roots = known.map(root(RootKind::Global)).chain([ROOT].into_iter().map(root(RootKind::Mapping)));
    heap.graph.roots = roots.chain(lonely.map(root(RootKind::Register))).collect();
    give_to_owners(heap);
}

/// What only shortcuts and document trees lead to.
fn pages(heap: &ObjectHeap) -> Bits {
    let graph = &heap.graph;
    let mut is_page = Bits::new(graph.len());
    let mut open = Vec::new();
    for edge in graph.row(ROOT) {
        let is_entry = match edge.kind() {
            EdgeKind::Shortcut => true,
            EdgeKind::Element => is_documents(heap, edge.target()),
            _ => false,
        };
        if is_entry {
            is_page.insert(edge.target().index());
            open.push(edge.target());
        }
    }
    while let Some(node) = open.pop() {
        let held = graph.row(node).iter().filter(|edge| edge.kind() != EdgeKind::Weak);
        open.extend(held.map(|edge| edge.target()).filter(|it| is_page.insert(it.index())));
    }
    is_page
}

/// Whether a node is the group of document trees.
pub fn is_documents(heap: &ObjectHeap, node: NodeId) -> bool {
    heap.kind[node.index()] == ObjectKind::Synthetic && heap.name(node) == DOCUMENTS
}

/// Whether an edge of the root leads to what users know: a global object, or the group of document trees.
pub fn is_user_root(heap: &ObjectHeap, node: NodeId) -> bool {
    heap.kind[node.index()] != ObjectKind::Synthetic || is_documents(heap, node)
}

/// Weak maps by the labels of the edges to their values: V8 names both edges, from the key and from the table,
/// `N / part of key (... @ID) -> value (... @ID) pair in WeakMap (table @ID)`.
fn weak_map_tables(heap: &ObjectHeap) -> rustc_hash::FxHashMap<u32, u32> {
    let labels = 0..heap.texts.len() as u32;
    labels.filter_map(|label| Some((label, weak_map_pair(heap.texts.get(label))?.1))).collect()
}

/// Of a label as above what both edges of a pair have in common, and the id of the table.
pub fn weak_map_pair(label: &str) -> Option<(&str, u32)> {
    const TABLE: &str = " pair in WeakMap (table @";
    let common = label.trim_start_matches(|it: char| it.is_ascii_digit());
    if common.len() == label.len() || !common.starts_with(" / part of key (") {
        return None;
    }
    let (pair, table) = common.rsplit_once(TABLE)?;
    let (key, value) = pair.split_once(") -> value (")?;
    let has_id = |text: &str| {
        let id = text.rsplit_once(" @").map(|it| it.1);
        id.is_some_and(|id| !id.is_empty() && id.bytes().all(|it| it.is_ascii_digit()))
    };
    (has_id(key) && has_id(value.strip_suffix(')')?))
        .then_some((common, table.strip_suffix(')')?.parse().ok()?))
}

const UNVISITED: u32 = u32::MAX;
const SEVERAL: u32 = u32::MAX - 1;

/// Adds sizes of the runtime's own objects to the one object that leads to them.
fn give_to_owners(heap: &mut ObjectHeap) {
    // Snapshots that expose the runtime's insides have no global object at the root: they are told as they are.
    if !heap.graph.row(ROOT).iter().any(|edge| is_user_root(heap, edge.target())) {
        return;
    }
    let owner = owners(heap);
    let HeapGraph { size, .. } = &mut heap.graph;
    for node in 0..size.len() {
        let above = owner[node];
        if above >= SEVERAL || above == node as u32 {
            continue;
        }
        let above = above as usize;
        if heap.kind[above] != ObjectKind::Synthetic && above != ROOT.index() {
            let moved = std::mem::take(&mut size[node]);
            size[above] = size[above].saturating_add(moved);
        }
    }
}

/// For each node the one node that owns it: itself, unless it is the runtime's own.
fn owners(heap: &ObjectHeap) -> Vec<u32> {
    let graph = &heap.graph;
    let is_owned = |node: NodeId| match heap.kind[node.index()] {
        ObjectKind::Hidden | ObjectKind::Array => true,
        ObjectKind::Native => heap.name(node) == "system / ExternalStringData",
        _ => false,
    };
    let nodes = || (0..graph.len() as u32).map(NodeId);
    let mut owner: Vec<u32> = nodes().map(|it| if is_owned(it) { UNVISITED } else { it.0 }).collect();
    let mut open: Vec<NodeId> = Vec::new();
    // Each node enters twice at most: with an owner, and with several.
    let mut visit = |node: NodeId, open: &mut Vec<NodeId>| {
        let by = owner[node.index()];
        for edge in graph.row(node).iter().filter(|edge| edge.kind() != EdgeKind::Weak) {
            let target = edge.target();
            let known = owner[target.index()];
            let found = match known {
                UNVISITED => by,
                SEVERAL => continue,
                _ if known == target.0 || known == by => continue,
                _ => SEVERAL,
            };
            owner[target.index()] = found;
            open.push(target);
        }
    };
    for start in nodes().filter(|&it| !is_owned(it)) {
        visit(start, &mut open);
        while let Some(node) = open.pop() {
            visit(node, &mut open);
        }
    }
    owner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_weak_map_pairs() {
        let label =
            "12 / part of key (Object @61) -> value (system / Context @6157) pair in WeakMap (table @901)";
        assert_eq!(weak_map_pair(label), Some((&label[2..], 901)));
        for other in [
            "",
            "12",
            "x",
            " / part of key (a @1) -> value (b @2) pair in WeakMap (table @3)",
            "1 / part of key",
        ] {
            assert_eq!(weak_map_pair(other), None, "{other}");
        }
    }
}
