//! Why an object is alive, in terms of the source.

use super::Walked;
use super::containers::{container, container_name, is_part};
use crate::paths::{Step, keep_ends};
use crate::text::{counted, grouped};
use heapwise_model::{EdgeKind, Language, Location, NodeId, ObjectHeap, ObjectKind, RetainerStep, Retainers};

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
    let mut steps = told_steps(heap, &chain[begin..]);
    let left_out = keep_ends(&mut steps, LAST_STEPS);
    Some(Retainers { steps, left_out, retained: walked.retained(node) })
}

/// Steps in terms of the source. What is part of an object is told as that object; the way out of it is the one that
/// tells something.
pub fn told_steps(heap: &ObjectHeap, chain: &[Step]) -> Vec<RetainerStep> {
    let mut steps: Vec<RetainerStep> = Vec::new();
    for step in chain {
        let reference = step.edge.map_or(String::new(), |edge| reference(heap, step.node, edge));
        match steps.last_mut() {
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
    steps
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
    let class = match (heap.kind[node.index()], short_name(heap, node)) {
        (ObjectKind::Closure, _) => "function",
        (_, "") => "object",
        (_, name) => name,
    };
    let article =
        if class.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    match called {
        Some(name) => format!("`{name}`, {article} {class},"),
        None => format!("{article} {class}"),
    }
}

/// What objects of the same class are called.
pub fn introduce_class(heap: &ObjectHeap, node: NodeId) -> String {
    match heap.kind[node.index()] {
        ObjectKind::Object | ObjectKind::Native => short_name(heap, node).to_owned(),
        _ => object(heap, node),
    }
}

/// What holds a page's global object, and the variables of its scripts.
const CONTEXT_OF_PAGE: &str = "system / NativeContext / ";

/// Whether an object is that of a page's or a program's global variables.
pub fn is_global_object(heap: &ObjectHeap, node: NodeId) -> bool {
    let name = heap.name(node);
    heap.kind[node.index()] == ObjectKind::Object
        && (matches!(name, "global" | "globalThis" | "Window")
            || name.starts_with("global /")
            || name.starts_with("Window /")
            || name.contains("[JSGlobalObject]")
            || name.contains("[JSGlobalProxy]"))
        || heap.kind[node.index()] == ObjectKind::Native && name.starts_with(CONTEXT_OF_PAGE)
}

/// What an object is.
pub fn object(heap: &ObjectHeap, node: NodeId) -> String {
    let name = heap.name(node);
    if is_global_object(heap, node) {
        let is_page = name.starts_with("Window") || name.starts_with(CONTEXT_OF_PAGE);
        return if is_page { "window" } else { "global" }.to_owned();
    }
    match heap.kind[node.index()] {
        ObjectKind::Closure if name.is_empty() => "an anonymous function".to_owned(),
        ObjectKind::Closure => format!("function {name}"),
        kind if kind.is_string() => format!("string \"{}\"", beginning(name)),
        ObjectKind::Module => format!("module {name}"),
        ObjectKind::Class => format!("class {}", short_name(heap, node)),
        ObjectKind::Frame => format!("call of {name}"),
        ObjectKind::Bytes => beginning(name),
        ObjectKind::Object | ObjectKind::Native => {
            let entries = container(heap, node).map_or(0, |it| it.entries);
            match (container_name(heap, node), short_name(heap, node)) {
                (Some(name), _) if entries >= TOLD_ENTRIES => format!("{name} of {}", entries_of(entries)),
                (Some(name), _) => name.to_owned(),
                (None, "") => "an object".to_owned(),
                (None, name) if is_instance(heap, node) => format!("{name} instance"),
                (None, name) => name.to_owned(),
            }
        }
        _ if name.is_empty() => "an object".to_owned(),
        _ => name.to_owned(),
    }
}

/// A class as it is written where it is used: containers, and what the program itself defines, without their module.
pub fn short_name(heap: &ObjectHeap, node: NodeId) -> &str {
    let name = heap.name(node);
    match container_name(heap, node) {
        Some(name) => name,
        None if heap.language == Language::Python => name.strip_prefix("__main__.").unwrap_or(name),
        None => name,
    }
}

/// Whether an object is one of a class that Python code defines, or that a library brings.
fn is_instance(heap: &ObjectHeap, node: NodeId) -> bool {
    heap.language == Language::Python && heap.name(node).contains('.')
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
        EdgeKind::Key => format!("[\"{}\"]", beginning(name)),
        EdgeKind::Item => format!("[{}]", beginning(name)),
        EdgeKind::Element
            if !matches!(heap.kind[from.index()], ObjectKind::Synthetic | ObjectKind::Native)
                && !is_global_object(heap, from) =>
        {
            format!("[{label}]")
        }
        _ => String::new(),
    }
}

fn is_identifier(name: &str) -> bool {
    let is_start = |it: char| it.is_alphabetic() || it == '_' || it == '$';
    name.starts_with(is_start) && name.chars().all(|it| is_start(it) || it.is_numeric())
}

/// Where a node's function is written, or its class.
pub fn location(heap: &ObjectHeap, node: NodeId) -> Option<Location> {
    let class = |it| heap.internal(it, &["__class__"]);
    let (path, place) = heap.place(node).or_else(|| heap.place(class(node)?))?;
    let is_runtimes = match heap.language {
        Language::Python => path.starts_with('<'),
        _ => path.starts_with("node:") || path.starts_with("internal/"),
    };
    if is_runtimes {
        return None;
    }
    Some(Location {
        path: path.to_owned(),
        line: place.line,
        column: Some(place.column).filter(|it| *it > 0),
        ..Location::default()
    })
}
