//! Why an object is alive, in terms of the source.

use super::Walked;
use super::containers::{container, is_part};
use crate::paths::keep_ends;
use crate::text::{counted, grouped};
use heapwise_model::{EdgeKind, Location, NodeId, ObjectHeap, ObjectKind, RetainerStep, Retainers};

/// Steps told of a long chain before its object.
const LAST_STEPS: usize = 6;
/// Entries from which on a container is told with their number.
const TOLD_ENTRIES: u64 = 10;
/// Characters of a string's beginning.
const TEXT_SHOWN: usize = 40;

/// The shortest chain to `node` that a global object begins, if any does.
pub fn chain(walked: &Walked<'_>, node: NodeId) -> Option<Retainers> {
    let heap = walked.heap;
    let chain = walked.paths.steps(&heap.graph, node)?.1;
    // How a global object is reached tells nothing; without one, nor do groups of roots within each other.
    let global = chain.iter().rposition(|it| is_global_object(heap, it.node));
    let groups = chain.iter().take_while(|it| heap.kind[it.node.index()] == ObjectKind::Synthetic).count();
    let begin = global.unwrap_or(groups.saturating_sub(1).min(chain.len() - 1));
    let mut steps: Vec<RetainerStep> = Vec::new();
    for step in &chain[begin..] {
        let reference = step.edge.map_or(String::new(), |edge| reference(heap, step.node, edge));
        match steps.last_mut() {
            // What is part of an object is told as that object; the way out of it is the one that tells something.
            Some(last) if is_part(heap, step.node) => {
                if !reference.is_empty() || step.edge.is_none() {
                    last.reference = reference;
                }
            }
            _ => steps.push(RetainerStep {
                object: object(heap, step.node),
                reference,
                place: location(heap, step.node),
            }),
        }
    }
    let left_out = keep_ends(&mut steps, LAST_STEPS);
    Some(Retainers { steps, left_out, retained: walked.retained(node) })
}

/// The place nearest to the chain's end that is known.
pub fn place(retainers: &Retainers) -> Option<Location> {
    retainers.steps.iter().rev().find_map(|step| step.place.clone())
}

/// What an object is called by who holds it: the property or variable that its chain ends with.
pub fn called(retainers: Option<&Retainers>) -> Option<String> {
    let [.., holder, _] = retainers?.steps.as_slice() else { return None };
    let name = holder.reference.rsplit_once("variable ").map_or(holder.reference.as_str(), |it| it.1);
    let name = match name.strip_prefix("[<symbol ").and_then(|it| it.strip_suffix(">]")) {
        Some(symbol) => symbol,
        None => name.rsplit(']').next().unwrap_or(name).trim_start_matches('.'),
    };
    (!name.is_empty()).then(|| name.to_owned())
}

/// `\`sessions\`, a Map`, or `a Map`.
pub fn introduce(heap: &ObjectHeap, node: NodeId, called: Option<&str>) -> String {
    let class = match heap.name(node) {
        "" => "object",
        name => name,
    };
    let class = if heap.kind[node.index()] == ObjectKind::Closure { "function" } else { class };
    let article =
        if class.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    match called {
        Some(name) => format!("`{name}`, {article} {class},"),
        None => format!("{article} {class}"),
    }
}

/// Whether an object is that of a page's or a program's global variables.
pub fn is_global_object(heap: &ObjectHeap, node: NodeId) -> bool {
    let name = heap.name(node);
    heap.kind[node.index()] == ObjectKind::Object
        && (matches!(name, "global" | "globalThis" | "Window")
            || name.starts_with("global /")
            || name.starts_with("Window /")
            || name.contains("[JSGlobalObject]")
            || name.contains("[JSGlobalProxy]"))
}

/// What an object is.
pub fn object(heap: &ObjectHeap, node: NodeId) -> String {
    let name = heap.name(node);
    if is_global_object(heap, node) {
        return if name.starts_with("Window") { "window" } else { "global" }.to_owned();
    }
    match heap.kind[node.index()] {
        ObjectKind::Closure if name.is_empty() => "an anonymous function".to_owned(),
        ObjectKind::Closure => format!("function {name}"),
        kind if kind.is_string() => format!("string \"{}\"", beginning(name)),
        ObjectKind::Object | ObjectKind::Native => {
            let entries = container(heap, node).map_or(0, |it| it.entries);
            let is_collection = matches!(name, "Map" | "Set" | "WeakMap" | "WeakSet" | "Array");
            match name {
                _ if entries >= TOLD_ENTRIES && is_collection => {
                    format!("{name} of {}", entries_of(entries))
                }
                "" => "an object".to_owned(),
                _ => name.to_owned(),
            }
        }
        _ if name.is_empty() => "an object".to_owned(),
        _ => name.to_owned(),
    }
}

/// `20,000 entries`, `1 entry`.
pub fn entries_of(count: u64) -> String {
    if count == 1 { counted(1, "entry") } else { format!("{} entries", grouped(count)) }
}

pub fn beginning(text: &str) -> String {
    let short: String = text.chars().take(TEXT_SHOWN).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// How a node refers to another; empty where only the runtime knows.
fn reference(heap: &ObjectHeap, from: NodeId, edge: u32) -> String {
    let label = heap.graph.labels[edge as usize];
    let name = heap.texts.get(label);
    match heap.graph.edges[edge as usize].kind() {
        EdgeKind::Property if is_identifier(name) => format!(".{name}"),
        EdgeKind::Property if name.starts_with("<symbol ") => format!("[{}]", beginning(name)),
        EdgeKind::Property => format!("[\"{}\"]", beginning(name)),
        EdgeKind::Context => format!("variable {name}"),
        EdgeKind::Element if heap.kind[from.index()] != ObjectKind::Synthetic => format!("[{label}]"),
        _ => String::new(),
    }
}

fn is_identifier(name: &str) -> bool {
    let is_start = |it: char| it.is_alphabetic() || it == '_' || it == '$';
    name.starts_with(is_start) && name.chars().all(|it| is_start(it) || it.is_numeric())
}

/// Where a node's function is written, or its class.
pub fn location(heap: &ObjectHeap, node: NodeId) -> Option<Location> {
    let (path, place) = heap.place(node)?;
    if path.starts_with("node:") || path.starts_with("internal/") {
        return None;
    }
    Some(Location {
        path: path.to_owned(),
        line: place.line,
        column: Some(place.column),
        ..Location::default()
    })
}
