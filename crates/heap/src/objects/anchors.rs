//! Where in the source an object is known: the functions that see it.
//!
//! An object that a global or a module's variable holds has no place of its own. A function whose scope has it, or
//! whose scope is within that one, is written near it. In Python that is a function of the module that names the variable,
//! or a method of the class that names the attribute; one that calls what makes containers grow comes first.

use super::Walked;
use super::chain::{beginning, location, object};
use super::containers::is_scope;
use heapwise_model::{EdgeKind, Language, Location, NodeId, ObjectHeap, ObjectKind, Place, Related};
use rustc_hash::{FxHashMap, FxHashSet};

/// Scopes within each other that are looked through.
const DEPTH: usize = 4;

/// A variable that holds an object, and a function that sees it.
#[derive(Clone, Debug)]
pub struct Anchor {
    pub variable: String,
    function: String,
    pub place: Location,
    /// Whether the function calls what makes containers grow.
    pub is_filler: bool,
}

impl Anchor {
    /// As part of a finding.
    pub fn related(&self) -> Related {
        let message = format!("variable {} of {}", self.variable, self.function);
        Related { message, place: Place::Source(self.place.clone()) }
    }
}

/// For those of `nodes` that a variable holds.
pub fn anchors(walked: &Walked<'_>, nodes: &[NodeId]) -> FxHashMap<NodeId, Anchor> {
    let wanted: FxHashSet<NodeId> = nodes.iter().copied().collect();
    if wanted.is_empty() {
        return FxHashMap::default();
    }
    let heap = walked.heap;
    if heap.language == Language::Python {
        return python::anchors(heap, &wanted);
    }
    let variables = variables(walked, &wanted);
    let functions = functions(walked, variables.values().map(|it| it.0).collect());
    let anchor = |(node, (scope, name)): (NodeId, (NodeId, &str))| {
        let function = *functions.get(&scope)?;
        let place = location(walked.heap, function)?;
        Some((
            node,
            Anchor {
                variable: beginning(name),
                function: object(walked.heap, function),
                place,
                is_filler: false,
            },
        ))
    };
    variables.into_iter().filter_map(anchor).collect()
}

/// The scope that has a variable with each of `wanted`, and the variable's name.
fn variables<'a>(walked: &Walked<'a>, wanted: &FxHashSet<NodeId>) -> FxHashMap<NodeId, (NodeId, &'a str)> {
    let heap = walked.heap;
    let mut found = FxHashMap::default();
    for scope in (0..heap.graph.len() as u32).map(NodeId) {
        for (_, label, target) in heap.references(scope).filter(|it| it.0 == EdgeKind::Context) {
            if wanted.contains(&target) {
                found.entry(target).or_insert((scope, heap.texts.get(label)));
            }
        }
    }
    found
}

/// A function for each of `scopes` that is made in it, or within.
fn functions(walked: &Walked<'_>, scopes: FxHashSet<NodeId>) -> FxHashMap<NodeId, NodeId> {
    let heap = walked.heap;
    // By scope: the one of `scopes` that it is, or is within.
    let mut within: FxHashMap<NodeId, NodeId> = scopes.iter().map(|it| (*it, *it)).collect();
    let nodes = || (0..heap.graph.len() as u32).map(NodeId);
    let mut functions: FxHashMap<NodeId, NodeId> = FxHashMap::default();
    for _ in 0..DEPTH {
        let closures = nodes().filter(|it| heap.kind[it.index()] == ObjectKind::Closure);
        for closure in closures.filter(|it| location(heap, *it).is_some()) {
            if let Some(scope) = heap.internal(closure, &["context"]).and_then(|it| within.get(&it)) {
                functions.entry(*scope).or_insert(closure);
            }
        }
        if functions.len() == scopes.len() {
            break;
        }
        for scope in nodes().filter(|it| is_scope(heap, *it)) {
            if let Some(outer) = heap.internal(scope, &["previous"]).and_then(|it| within.get(&it)).copied() {
                within.entry(scope).or_insert(outer);
            }
        }
    }
    functions
}

mod python {
    use super::*;

    /// Methods that add to containers.
    const GROW: &[&str] =
        &["append", "appendleft", "add", "extend", "insert", "setdefault", "update", "put", "put_nowait"];

    /// Who has a container as an attribute: a table of attributes (a module's, an instance's, a class's), or an instance.
    type Holders<'a> = FxHashMap<NodeId, Vec<(NodeId, u32, &'a str)>>;

    pub fn anchors(heap: &ObjectHeap, wanted: &FxHashSet<NodeId>) -> FxHashMap<NodeId, Anchor> {
        let nodes = || (0..heap.graph.len() as u32).map(NodeId);
        // Functions that see an attribute are those of the module, or of the class of the instance.
        let mut holders: Holders<'_> = FxHashMap::default();
        let mut classes: FxHashMap<NodeId, NodeId> = FxHashMap::default();
        for holder in nodes() {
            for (_, label, target) in heap.references(holder).filter(|it| it.0 == EdgeKind::Property) {
                if wanted.contains(&target) {
                    let name = heap.texts.get(label);
                    holders.entry(holder).or_default().push((target, label, name));
                }
            }
        }
        for owner in nodes() {
            let Some(class) = heap.internal(owner, &["__class__"]) else { continue };
            let table = heap.internal(owner, &["__dict__"]).filter(|it| holders.contains_key(it));
            for holder in table.into_iter().chain(holders.contains_key(&owner).then_some(owner)) {
                classes.insert(holder, class);
            }
        }
        let mut found: FxHashMap<NodeId, Anchor> = FxHashMap::default();
        // The code of a module itself is a function, too, while it runs.
        let is_function =
            |it: &NodeId| heap.kind[it.index()] == ObjectKind::Closure && heap.name(*it) != "<module>";
        for function in nodes().filter(is_function) {
            let Some(globals) = property(heap, function, "__globals__") else { continue };
            let scopes = classes.iter().filter(|it| is_method(heap, function, *it.1)).map(|it| *it.0);
            let scopes: Vec<NodeId> = scopes.chain([globals]).filter(|it| holders.contains_key(it)).collect();
            if scopes.is_empty() {
                continue;
            }
            let names = names(heap, function);
            let grows = names.iter().any(|it| GROW.contains(&heap.texts.get(*it)));
            for (target, label, name) in scopes.iter().flat_map(|it| &holders[it]) {
                let is_better = found.get(target).is_none_or(|it| grows && !it.is_filler);
                if names.contains(label)
                    && is_better
                    && let Some(place) = location(heap, function)
                {
                    let anchor = Anchor {
                        variable: beginning(name),
                        function: object(heap, function),
                        place,
                        is_filler: grows,
                    };
                    found.insert(*target, anchor);
                }
            }
        }
        found
    }

    fn property(heap: &ObjectHeap, node: NodeId, name: &str) -> Option<NodeId> {
        let mut references = heap.references(node);
        let is_it = |(kind, label, _): &(EdgeKind, u32, NodeId)| {
            *kind == EdgeKind::Property && heap.texts.get(*label) == name
        };
        references.find(is_it).map(|it| it.2)
    }

    /// Whether a function is named as one of `class`.
    fn is_method(heap: &ObjectHeap, function: NodeId, class: NodeId) -> bool {
        let method = heap.name(function).rsplit_once('.').map(|it| it.0);
        method.is_some_and(|it| {
            heap.name(class).strip_suffix(it).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }

    /// Global variables and attributes that a function's code names.
    fn names(heap: &ObjectHeap, function: NodeId) -> Vec<u32> {
        let code = property(heap, function, "__code__");
        let names = code.and_then(|it| property(heap, it, "co_names"));
        let is_name = |it: &(EdgeKind, u32, NodeId)| it.0 == EdgeKind::Element;
        names
            .map(|it| heap.references(it).filter(is_name).map(|it| heap.name[it.2.index()]).collect())
            .unwrap_or_default()
    }
}
