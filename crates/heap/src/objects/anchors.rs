//! Where in the source an object is known: the functions that see it.
//!
//! An object that a global or a module's variable holds has no place of its own. A function whose scope has it, or
//! whose scope is within that one, is written near it.

use super::Walked;
use super::chain::{beginning, location, object};
use super::containers::is_scope;
use heapwise_model::{EdgeKind, Location, NodeId, ObjectKind, Place, Related};
use rustc_hash::{FxHashMap, FxHashSet};

/// Scopes within each other that are looked through.
const DEPTH: usize = 4;

/// A variable that holds an object, and a function that sees it.
#[derive(Clone, Debug)]
pub struct Anchor {
    pub variable: String,
    function: String,
    pub place: Location,
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
    let variables = variables(walked, &wanted);
    let functions = functions(walked, variables.values().map(|it| it.0).collect());
    let anchor = |(node, (scope, name)): (NodeId, (NodeId, &str))| {
        let function = *functions.get(&scope)?;
        let place = location(walked.heap, function)?;
        Some((node, Anchor { variable: beginning(name), function: object(walked.heap, function), place }))
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
