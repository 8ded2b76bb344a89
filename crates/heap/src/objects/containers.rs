//! Which objects hold many others, and how many.

use heapwise_model::{EdgeKind, Kind, Language, NodeId, ObjectHeap, ObjectKind};

/// An object that holds others on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    pub kind: Kind,
    /// Entries that are objects themselves, or whose keys are.
    pub entries: u64,
}

/// How the entries of a class are found.
#[derive(Clone, Copy)]
enum Counted {
    /// In a hash table of V8's, whose rows are so many fields.
    Rows(usize),
    /// By their indices.
    Elements,
    /// By their keys.
    Keys,
    /// They have neither.
    Members,
    /// By the keys of a part that is called so.
    KeysOf(&'static str),
}

/// What a class is told as, how its entries are found, and what an instance is called.
type Class = (&'static str, Kind, Counted, &'static str);

const JAVASCRIPT: &[Class] = &[
    ("Map", Kind::Map, Counted::Rows(3), "Map"),
    ("WeakMap", Kind::Map, Counted::Rows(3), "WeakMap"),
    ("Set", Kind::Set, Counted::Rows(2), "Set"),
    ("WeakSet", Kind::Set, Counted::Rows(2), "WeakSet"),
    ("Array", Kind::List, Counted::Elements, "Array"),
];

const PYTHON: &[Class] = &[
    ("dict", Kind::Map, Counted::Keys, "dict"),
    ("list", Kind::List, Counted::Elements, "list"),
    ("set", Kind::Set, Counted::Members, "set"),
    ("collections.deque", Kind::Queue, Counted::Elements, "deque"),
    ("collections.OrderedDict", Kind::Map, Counted::Keys, "OrderedDict"),
    ("collections.defaultdict", Kind::Map, Counted::Keys, "defaultdict"),
    ("collections.Counter", Kind::Map, Counted::Keys, "Counter"),
    ("functools._lru_cache_wrapper", Kind::Cache, Counted::KeysOf("(cache)"), "cache"),
];

/// Python's containers that never change, and what runs.
const FIXED: &[&str] = &["tuple", "frozenset", "generator", "coroutine", "async_generator"];

fn class(heap: &ObjectHeap, node: NodeId) -> Option<&'static Class> {
    if heap.kind[node.index()] != ObjectKind::Object {
        return None;
    }
    let classes = if heap.language == Language::Python { PYTHON } else { JAVASCRIPT };
    let name = heap.name(node);
    classes.iter().find(|it| it.0 == name)
}

/// What an object is called, if its class is one of containers.
pub fn container_name(heap: &ObjectHeap, node: NodeId) -> Option<&'static str> {
    class(heap, node).map(|it| it.3)
}

/// What a container holds, if the object is one.
pub fn container(heap: &ObjectHeap, node: NodeId) -> Option<Container> {
    if heap.kind[node.index()] != ObjectKind::Object {
        return None;
    }
    let Some((_, kind, counted, _)) = class(heap, node) else { return of_unknown_class(heap, node) };
    let entries = match *counted {
        Counted::Rows(width) => rows(heap, node, width),
        Counted::Elements => count(heap, node, |it| it == EdgeKind::Element),
        Counted::Keys => keys(heap, node),
        Counted::Members => count(heap, node, |it| it == EdgeKind::Hidden),
        Counted::KeysOf(part) => heap.internal(node, &[part]).map_or(0, |it| keys(heap, it)),
    };
    Some(Container { kind: *kind, entries })
}

/// As [`container`], without what holds others by names only.
pub fn collection(heap: &ObjectHeap, node: NodeId) -> Option<Container> {
    let is_one = heap.kind[node.index()] == ObjectKind::Object
        && !is_part(heap, node)
        && (class(heap, node).is_some() || keys(heap, node) > 0);
    container(heap, node).filter(|_| is_one)
}

/// Any object may hold others by their keys: in JavaScript each is a map, in Python classes derive from `dict` and
/// `list`, and attributes are set by name.
fn of_unknown_class(heap: &ObjectHeap, node: NodeId) -> Option<Container> {
    let elements = || count(heap, node, |it| it == EdgeKind::Element);
    if heap.language != Language::Python {
        let is_own = |(kind, label, _): &(EdgeKind, u32, NodeId)| {
            *kind == EdgeKind::Property && heap.texts.get(*label) != "__proto__"
        };
        let properties = heap.references(node).filter(is_own).count() as u64;
        return Some(Container { kind: Kind::Map, entries: properties.max(elements()) });
    }
    if FIXED.contains(&heap.name(node)) {
        return None;
    }
    let keys = keys(heap, node);
    let elements = elements();
    if keys > 0 {
        return Some(Container { kind: if keys > elements { Kind::Map } else { Kind::List }, entries: keys });
    }
    let attributes = heap.internal(node, &["__dict__"]).filter(|it| is_attributes(heap, *it));
    let count = |node| count(heap, node, |it| it == EdgeKind::Property);
    Some(Container { kind: Kind::Map, entries: count(node) + attributes.map_or(0, count) })
}

fn is_attributes(heap: &ObjectHeap, node: NodeId) -> bool {
    heap.kind[node.index()] == ObjectKind::Attributes
}

/// Whether an object is the runtime's own: part of another one.
pub fn is_part(heap: &ObjectHeap, node: NodeId) -> bool {
    match heap.kind[node.index()] {
        ObjectKind::Hidden
        | ObjectKind::Array
        | ObjectKind::Code
        | ObjectKind::Shape
        | ObjectKind::Attributes => true,
        // The insides of Chrome's own objects, and of V8's where Chrome tells of them.
        ObjectKind::Native => ["blink::", "system / "].iter().any(|it| heap.name(node).starts_with(it)),
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

/// Values that stand at keys of any kind.
fn keys(heap: &ObjectHeap, node: NodeId) -> u64 {
    count(heap, node, |it| matches!(it, EdgeKind::Key | EdgeKind::Item | EdgeKind::Element))
}

fn count(heap: &ObjectHeap, node: NodeId, is_it: impl Fn(EdgeKind) -> bool) -> u64 {
    heap.graph.row(node).iter().filter(|it| is_it(it.kind())).count() as u64
}
