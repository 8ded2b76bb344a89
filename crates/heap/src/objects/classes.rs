//! Objects by class.

use super::Walked;
use heapwise_model::{ClassTotal, NodeId, ObjectHeap, ObjectKind, Total};
use rustc_hash::FxHashMap;

/// What a class is told by: its name, and for what has none, what kind of thing it is.
fn class(heap: &ObjectHeap, node: NodeId) -> &str {
    match heap.kind[node.index()] {
        ObjectKind::Object | ObjectKind::Native => element(heap.name(node)),
        ObjectKind::Hidden | ObjectKind::Shape => "(system)",
        ObjectKind::Code => "(compiled code)",
        ObjectKind::Closure => "Function",
        ObjectKind::RegExp => "RegExp",
        ObjectKind::Array => "(array)",
        ObjectKind::String => "(string)",
        ObjectKind::ConcatenatedString => "(concatenated string)",
        ObjectKind::SlicedString => "(sliced string)",
        ObjectKind::Number => "(number)",
        ObjectKind::Synthetic => "(roots)",
        ObjectKind::Symbol => "(symbol)",
        ObjectKind::BigInt => "(bigint)",
        ObjectKind::Other => "(other)",
    }
}

/// `<div` of `<div id="a">`.
fn element(name: &str) -> &str {
    if name.starts_with('<') { name.split([' ', '>']).next().unwrap_or(name) } else { name }
}

/// Shallow figures of each class.
fn totals(heap: &ObjectHeap) -> FxHashMap<&str, Total> {
    let mut totals: FxHashMap<&str, Total> = FxHashMap::default();
    for node in (0..heap.graph.len() as u32).map(NodeId) {
        let total = totals.entry(class(heap, node)).or_default();
        total.blocks += 1;
        total.bytes = total.bytes.saturating_add(heap.graph.size[node.index()]);
    }
    totals
}

/// Figures of the `limit` classes with most shallow bytes, by what they retain.
pub fn classes(walked: &Walked<'_>, limit: usize) -> Vec<ClassTotal> {
    let mut totals: Vec<(&str, Total)> = totals(walked.heap).into_iter().collect();
    totals.sort_by_key(|(name, total)| (std::cmp::Reverse(total.bytes), *name));
    totals.truncate(limit);
    told(walked, totals)
}

/// Changes of the `limit` classes that changed most since `old`, most first.
pub fn changes(old: &ObjectHeap, new: &Walked<'_>, limit: usize) -> Vec<ClassTotal> {
    let before = totals(old);
    let after = totals(new.heap);
    let names: std::collections::BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let change = |name: &str| {
        let (old, new) =
            (before.get(name).copied().unwrap_or_default(), after.get(name).copied().unwrap_or_default());
        (new.blocks as i64 - old.blocks as i64, new.bytes as i64 - old.bytes as i64)
    };
    let mut changed: Vec<&str> = names.into_iter().filter(|it| change(it) != (0, 0)).collect();
    changed.sort_by_key(|it| (std::cmp::Reverse(change(it).1), *it));
    changed.truncate(limit);
    let totals = changed.iter().map(|it| (*it, after.get(it).copied().unwrap_or_default())).collect();
    let mut told = told(new, totals);
    for class in &mut told {
        class.change = Some(change(&class.name));
    }
    told.sort_by_key(|it| std::cmp::Reverse(it.change.map(|it| it.1)));
    told
}

fn told(walked: &Walked<'_>, totals: Vec<(&str, Total)>) -> Vec<ClassTotal> {
    let numbers: FxHashMap<&str, u32> = totals.iter().map(|it| it.0).zip(0..).collect();
    let retained =
        walked.dominators.retained_by(totals.len(), |node| numbers.get(class(walked.heap, node)).copied());
    let mut classes: Vec<ClassTotal> = totals
        .into_iter()
        .zip(retained)
        .map(|((name, total), retained)| ClassTotal {
            name: if name.starts_with('<') { format!("{name}>") } else { name.to_owned() },
            total,
            retained_bytes: retained.bytes,
            change: None,
        })
        .collect();
    classes.sort_by(|one, other| (other.retained_bytes, &one.name).cmp(&(one.retained_bytes, &other.name)));
    classes
}
