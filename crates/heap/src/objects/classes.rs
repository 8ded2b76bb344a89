//! Objects by class.

use super::Walked;
use heapwise_model::{ClassTotal, Language, NodeId, ObjectHeap, ObjectKind, Total};
use rustc_hash::FxHashMap;

/// What a class is told by: the name of an object, or what kind of thing it is.
fn key(heap: &ObjectHeap, node: NodeId) -> usize {
    let kind = heap.kind[node.index()];
    match kind {
        ObjectKind::Object | ObjectKind::Native => by_name(heap, node),
        // What is the runtime's own in one language is a class in another.
        ObjectKind::Number | ObjectKind::Array | ObjectKind::Hidden | ObjectKind::Attributes
            if heap.language == Language::Python =>
        {
            by_name(heap, node)
        }
        kind => kind as usize,
    }
}

fn by_name(heap: &ObjectHeap, node: NodeId) -> usize {
    (heap.name[node.index()] as usize).min(heap.texts.len()) + ObjectKind::ALL.len()
}

fn name(heap: &ObjectHeap, key: usize) -> &str {
    let Some(kind) = ObjectKind::ALL.get(key) else {
        return element(heap.texts.get((key - ObjectKind::ALL.len()) as u32));
    };
    if heap.language == Language::Python {
        return python_name(*kind);
    }
    match kind {
        ObjectKind::Object => "Object",
        ObjectKind::Native => "(native)",
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
        _ => "(other)",
    }
}

/// Of kinds that are not told by a class of their own.
fn python_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::String => "str",
        ObjectKind::Bytes => "bytes",
        ObjectKind::Module => "module",
        ObjectKind::Class => "type",
        ObjectKind::Frame => "frame",
        ObjectKind::Closure => "function",
        ObjectKind::Code => "code",
        ObjectKind::Synthetic => "(roots)",
        _ => "(other)",
    }
}

/// `<div` of `<div id="a">`, and what is a template in Chrome without what it is made for.
fn element(name: &str) -> &str {
    if name.starts_with("blink::") {
        return name.split('<').next().unwrap_or(name);
    }
    if name.starts_with('<') { name.split([' ', '>']).next().unwrap_or(name) } else { name }
}

/// Classes of a heap: shallow figures by name, and by key the name's number.
struct Classes<'a> {
    names: Vec<&'a str>,
    totals: Vec<Total>,
    number: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl<'a> Classes<'a> {
    fn new(heap: &'a ObjectHeap) -> Classes<'a> {
        let mut by_key = vec![Total::default(); ObjectKind::ALL.len() + heap.texts.len() + 1];
        for node in (0..heap.graph.len() as u32).map(NodeId) {
            let total = &mut by_key[key(heap, node)];
            total.blocks += 1;
            total.bytes = total.bytes.saturating_add(heap.graph.size[node.index()]);
        }
        let mut numbers: FxHashMap<&str, u32> = FxHashMap::default();
        let mut classes = Classes { names: Vec::new(), totals: Vec::new(), number: vec![NONE; by_key.len()] };
        for (key, total) in by_key.iter().enumerate().filter(|it| it.1.blocks > 0) {
            let number = *numbers.entry(name(heap, key)).or_insert(classes.names.len() as u32);
            if number as usize == classes.names.len() {
                classes.names.push(name(heap, key));
                classes.totals.push(Total::default());
            }
            let sum = &mut classes.totals[number as usize];
            sum.blocks += total.blocks;
            sum.bytes = sum.bytes.saturating_add(total.bytes);
            classes.number[key] = number;
        }
        classes
    }

    fn named(&self) -> impl Iterator<Item = (&'a str, Total)> + '_ {
        self.names.iter().copied().zip(self.totals.iter().copied())
    }

    /// Figures of some of them with what they retain.
    fn told(&self, walked: &Walked<'_>, wanted: Vec<(&str, Total)>) -> Vec<ClassTotal> {
        let sets: FxHashMap<&str, u32> = wanted.iter().map(|it| it.0).zip(0..).collect();
        let set_of: Vec<u32> = self.names.iter().map(|it| sets.get(it).copied().unwrap_or(NONE)).collect();
        let retained = walked.dominators.retained_by(&walked.tree, wanted.len(), |node| {
            Some(set_of[self.number[key(walked.heap, node)] as usize])
        });
        let class = |((name, total), retained): ((&str, Total), Total)| ClassTotal {
            name: if name.starts_with('<') { format!("{name}>") } else { name.to_owned() },
            total,
            retained_bytes: retained.bytes,
            change: None,
        };
        wanted.into_iter().zip(retained).map(class).collect()
    }
}

/// Figures of the `limit` classes with most shallow bytes, by what they retain.
pub fn classes(walked: &Walked<'_>, limit: usize) -> Vec<ClassTotal> {
    let classes = Classes::new(walked.heap);
    let mut totals: Vec<(&str, Total)> = classes.named().collect();
    totals.sort_by_key(|(name, total)| (std::cmp::Reverse(total.bytes), *name));
    totals.truncate(limit);
    let mut told = classes.told(walked, totals);
    told.sort_by(|one, other| (other.retained_bytes, &one.name).cmp(&(one.retained_bytes, &other.name)));
    told
}

/// Changes of the `limit` classes that changed most since `old`, most first.
pub fn changes(old: &ObjectHeap, new: &Walked<'_>, limit: usize) -> Vec<ClassTotal> {
    let (old, classes) = (Classes::new(old), Classes::new(new.heap));
    let before: FxHashMap<&str, Total> = old.named().collect();
    let after: FxHashMap<&str, Total> = classes.named().collect();
    let names: std::collections::BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let of = |totals: &FxHashMap<&str, Total>, name: &str| totals.get(name).copied().unwrap_or_default();
    let change = |name: &str| {
        let (old, new) = (of(&before, name), of(&after, name));
        (new.blocks as i64 - old.blocks as i64, new.bytes as i64 - old.bytes as i64)
    };
    let mut changed: Vec<(&str, (i64, i64))> = names.into_iter().map(|it| (it, change(it))).collect();
    changed.retain(|it| it.1 != (0, 0));
    changed.sort_by_key(|it| (std::cmp::Reverse(it.1.1), it.0));
    changed.truncate(limit);
    let mut told = classes.told(new, changed.iter().map(|it| (it.0, of(&after, it.0))).collect());
    for (class, (_, change)) in told.iter_mut().zip(changed) {
        class.change = Some(change);
    }
    told
}
