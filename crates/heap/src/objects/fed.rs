//! What holds the memory that the program's lines allocate ever more of.
//!
//! That a line's memory grew to the end, the ledger knows however seldom objects were looked at; which container it goes
//! into, one look tells:
//!
//! ```text
//!   growing line -> objects made there -> their shortest chains -> the innermost container on most of these
//!                                                               -> or the first object of a list that is linked
//!                                                               -> or nothing but C code
//!                                      or one large text or buffer
//! ```

use super::Told;
use super::Walked;
use super::anchors::anchors;
use super::chain::{called, entries_of, introduce, short_name};
use super::containers::{collection, container_name};
use super::contents::contents;
use super::texts::is_text;
use crate::growth::Growth;
use crate::text::grouped;
use heapwise_model::{EdgeKind, Kind, NodeId, ObjectKind, Place, Rule, Severity, StackId};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Objects of a line that are looked at, and that there have to be.
const SAMPLED: usize = 256;
const OBJECTS_MIN: usize = 10;
/// New bytes from which on a line is asked for.
const BYTES_MIN: u64 = 4096;
/// Part of a line's objects that what holds them has to hold, of 10; and part that one of several containers that are
/// called the same does.
const MOST: usize = 6;
const ONE_OF: usize = 5;
/// A text from which on it is told.
const TEXT_MIN: u64 = 4096;
const FINDINGS_MAX: usize = 10;

/// A finding, and the lines that it explains.
pub struct Fed {
    pub told: Told,
    pub stacks: Vec<StackId>,
}

/// What holds a line's objects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Container(NodeId),
    /// The first of a list whose members hold each other.
    Linked(NodeId),
    /// One of many that only C code holds, each by itself.
    Native(NodeId),
    Text(NodeId),
}

/// Findings for those of `growing` whose memory one look shows in a place; most bytes first.
pub fn fed(walked: &Walked<'_>, growing: &[Growth]) -> Vec<Fed> {
    let asked = growing.iter().filter(|it| it.grown_bytes >= BYTES_MIN).map(|it| (it.stack, *it));
    let asked: BTreeMap<StackId, Growth> = asked.collect();
    let mut made: BTreeMap<StackId, Vec<NodeId>> = BTreeMap::new();
    for node in (0..walked.heap.graph.len() as u32).map(NodeId) {
        if let Some(stack) = walked.heap.stack(node).filter(|it| asked.contains_key(it)) {
            made.entry(stack).or_default().push(node);
        }
    }
    let mut holders: BTreeMap<Holder, Vec<Growth>> = BTreeMap::new();
    for (stack, nodes) in &made {
        if let Some(holder) = holder(walked, nodes) {
            holders.entry(holder).or_default().push(asked[stack]);
        }
    }
    let mut found: Vec<Fed> =
        holders.into_iter().map(|(holder, lines)| tell(walked, holder, lines)).collect();
    found.sort_by_key(|it| std::cmp::Reverse(it.told.finding.bytes));
    found.truncate(FINDINGS_MAX);
    found
}

fn holder(walked: &Walked<'_>, nodes: &[NodeId]) -> Option<Holder> {
    let heap = walked.heap;
    // A container is made where its own memory grows last.
    let filled = |it: &NodeId| collection(heap, *it).filter(|it| it.entries >= OBJECTS_MIN as u64);
    let entries: u64 = nodes.iter().filter_map(filled).map(|it| it.entries).sum();
    let fullest = nodes.iter().copied().max_by_key(|it| filled(it).map_or(0, |it| it.entries))?;
    if filled(&fullest).is_some_and(|it| it.entries * 2 > entries) {
        return Some(Holder::Container(fullest));
    }
    if nodes.len() < OBJECTS_MIN {
        let text = nodes.iter().copied().filter(|it| is_text(heap, *it));
        let text = text.max_by_key(|it| heap.graph.size[it.index()])?;
        return (heap.graph.size[text.index()] >= TEXT_MIN).then_some(Holder::Text(text));
    }
    let sampled: Vec<NodeId> = nodes.iter().copied().step_by(nodes.len().div_ceil(SAMPLED)).collect();
    common(walked, &sampled)
}

/// Containers that are called the same: those of one attribute of several objects, say.
#[derive(Default)]
struct Like {
    /// How far out they are on all chains together.
    depth: usize,
    count: usize,
    of: FxHashMap<NodeId, usize>,
}

/// What is on most chains to `nodes`.
fn common(walked: &Walked<'_>, nodes: &[NodeId]) -> Option<Holder> {
    let heap = walked.heap;
    let mut alike: BTreeMap<(u32, u32), Like> = BTreeMap::new();
    let mut firsts: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut native: Vec<NodeId> = Vec::new();
    for &node in nodes {
        let Some((_, steps)) = walked.paths.steps(&heap.graph, node) else { continue };
        let above = &steps[..steps.len() - 1];
        for (depth, step) in above.iter().enumerate() {
            if collection(heap, step.node).is_none_or(|it| it.entries < OBJECTS_MIN as u64) {
                continue;
            }
            let edge = depth.checked_sub(1).and_then(|it| above[it].edge);
            let label = edge.map_or(u32::MAX, |it| heap.graph.labels[it as usize]);
            let like = alike.entry((label, heap.name[step.node.index()])).or_default();
            like.depth += depth;
            like.count += 1;
            *like.of.entry(step.node).or_default() += 1;
        }
        let is_alike = |it: NodeId| {
            heap.kind[it.index()] == heap.kind[node.index()]
                && heap.name[it.index()] == heap.name[node.index()]
        };
        if let [only] = above
            && heap.kind[only.node.index()] == ObjectKind::Synthetic
        {
            native.push(node);
        }
        if heap.kind[node.index()] == ObjectKind::Object
            && container_name(heap, node).is_none()
            && let Some(first) = above.iter().find(|it| is_alike(it.node))
        {
            *firsts.entry(first.node).or_default() += 1;
        }
    }
    let is_most = |count: usize| count * 10 >= nodes.len() * MOST;
    let fullest = |like: &Like| like.of.iter().map(|it| (*it.1, *it.0)).max();
    let containers = alike.values().filter(|it| is_most(it.count));
    let told = containers.filter(|it| fullest(it).is_some_and(|it| it.0 * ONE_OF >= nodes.len()));
    let innermost = told.max_by_key(|it| (it.depth / it.count, it.count));
    let first = firsts.into_iter().map(|it| (it.1, it.0)).max().filter(|it| is_most(it.0));
    match (first, innermost.and_then(fullest)) {
        (Some((_, first)), _) => Some(Holder::Linked(first)),
        (None, Some((_, container))) => Some(Holder::Container(container)),
        _ => native.last().filter(|_| is_most(native.len())).map(|it| Holder::Native(*it)),
    }
}

fn tell(walked: &Walked<'_>, holder: Holder, mut lines: Vec<Growth>) -> Fed {
    let heap = walked.heap;
    lines.sort_by_key(|it| (std::cmp::Reverse(it.bytes), it.stack));
    let bytes = lines.iter().fold(0u64, |sum, it| sum.saturating_add(it.bytes));
    let rate = lines.iter().map(|it| it.bytes_per_second).sum::<f64>().max(0.0) as u64;
    let grew = format!("grew by about {} bytes per second to the end, to {}", grouped(rate), grouped(bytes));
    let node = match holder {
        Holder::Container(node) | Holder::Linked(node) | Holder::Native(node) => node,
        // What stands in a field that only C code names is told as the object that has the field.
        Holder::Text(text) => owner(walked, text),
    };
    let (rule, kind) = match holder {
        Holder::Container(_) => {
            (Rule::UnboundedGrowth, collection(heap, node).map_or(Kind::Map, |it| it.kind))
        }
        Holder::Linked(_) | Holder::Native(_) => (Rule::RetainedObject, Kind::Global),
        Holder::Text(_) => (Rule::UnboundedGrowth, Kind::String),
    };
    let anchor = anchors(walked, &[node]).remove(&node);
    let mut finding = walked.finding(rule, kind, Severity::Warning, node, anchor.as_ref());
    let name = called(finding.retainers.as_ref()).or_else(|| anchor.map(|it| it.variable));
    finding.message = match holder {
        Holder::Container(_) => {
            let what = introduce(heap, node, name.as_deref());
            let entries = entries_of(collection(heap, node).map_or(0, |it| it.entries));
            let what = what.trim_end_matches(',');
            format!("what {what} holds {grew} bytes; {entries} when it was looked at")
        }
        Holder::Linked(_) => {
            let class = short_name(heap, node);
            format!("{class} objects that hold each other stay: what is allocated here {grew} bytes")
        }
        Holder::Native(_) => {
            let (_, with) = contents(walked, node, |_| true);
            let with = with.map_or(String::new(), |it| format!(", each with {}", it.name));
            let class = short_name(heap, node);
            format!("{class} objects{with}, stay that only C code holds: what is allocated here {grew} bytes")
        }
        Holder::Text(_) => {
            let class = match heap.kind[node.index()] {
                ObjectKind::String => "str",
                ObjectKind::Bytes => "bytes",
                _ => short_name(heap, node),
            };
            match &name {
                Some(name) => format!("`{name}`, a {class}, {grew} bytes"),
                None => format!("a {class} {grew} bytes"),
            }
        }
    };
    finding.help = Some(
        match holder {
            Holder::Container(_) => "bound it, or remove entries when they are done",
            Holder::Linked(_) => "drop the reference to the next one when it is done with",
            Holder::Native(_) => {
                "take back what was registered, or give up the reference that C code was handed"
            }
            Holder::Text(_) => "write it out, or keep the end of it only",
        }
        .to_owned(),
    );
    let is_placed = matches!(holder, Holder::Container(_)) && heap.stack(node).is_some();
    if !is_placed {
        finding.place = Place::Stack(lines[0].stack);
    }
    finding.bytes = Some(bytes);
    finding.blocks = None;
    let told = Told { finding, name, node: Some(node) };
    Fed { told, stacks: lines.iter().map(|it| it.stack).collect() }
}

/// Who has a text, if not by a name.
fn owner(walked: &Walked<'_>, text: NodeId) -> NodeId {
    let heap = walked.heap;
    let steps = walked.paths.steps(&heap.graph, text).map(|it| it.1).unwrap_or_default();
    let above = steps.len().checked_sub(2).map(|it| steps[it]);
    let is_hidden = |edge: u32| heap.graph.edges[edge as usize].kind() == EdgeKind::Hidden;
    match above {
        Some(step) if step.edge.is_some_and(is_hidden) && collection(heap, step.node).is_none() => step.node,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_model::{Bits, Edge, Language, ObjectHeap, Root, RootKind};

    /// Class, stack, size, and what it refers to: by an attribute where the label is a name, else by an index.
    type Object = (&'static str, u32, u64, Vec<(u32, &'static str)>);

    fn heap(objects: &[Object]) -> ObjectHeap {
        let mut heap = ObjectHeap { language: Language::Python, ..ObjectHeap::default() };
        for (at, (class, stack, size, references)) in objects.iter().enumerate() {
            heap.graph.first.push(heap.graph.edges.len() as u32);
            heap.graph.addr.push(at as u64 * 64 + 4096);
            heap.graph.size.push(*size);
            heap.stacks.push(StackId(*stack));
            heap.kind.push(match *class {
                "str" => ObjectKind::String,
                "(C code)" => ObjectKind::Synthetic,
                _ => ObjectKind::Object,
            });
            let known = (0..heap.name.len()).find(|it| objects[*it].0 == *class).map(|it| heap.name[it]);
            let name = known.unwrap_or_else(|| heap.texts.push(class));
            heap.name.push(name);
            for &(target, label) in references {
                let (kind, label) = match label {
                    "" => (EdgeKind::Element, target),
                    name => (EdgeKind::Property, heap.texts.push(name)),
                };
                heap.graph.edges.push(Edge::new(NodeId(target), kind));
                heap.graph.labels.push(label);
            }
        }
        heap.graph.first.push(heap.graph.edges.len() as u32);
        heap.graph.idle = Bits::new(heap.graph.edges.len());
        heap.graph.roots =
            vec![Root { kind: RootKind::Global, place: 0, target: NodeId(0), interior: false }];
        heap
    }

    fn told(heap: &ObjectHeap, stacks: &[u32]) -> Vec<(Rule, Option<Kind>, Option<String>, Place)> {
        let growth = |stack: &u32| Growth {
            stack: StackId(*stack),
            bytes_per_second: 1e4,
            bytes: 20_000,
            blocks: 0,
            grown_bytes: 10_000,
            share_of_ticks_growing: 1.0,
        };
        let growing: Vec<Growth> = stacks.iter().map(growth).collect();
        let found = fed(&Walked::new(heap), &growing);
        found
            .into_iter()
            .map(|it| (it.told.finding.rule, it.told.finding.kind, it.told.name, it.told.finding.place))
            .collect()
    }

    /// The module at 0 holds what stands at 1 by the attribute `it`; members stand from 2 on.
    fn members(class: &'static str, of: impl Fn(u32) -> Vec<(u32, &'static str)>) -> Vec<Object> {
        (2..42).map(|at| (class, 5, 48, of(at))).collect()
    }

    #[test]
    fn a_container_is_told_for_its_members() {
        let mut objects =
            vec![("app", 0, 64, vec![(1, "it")]), ("list", 9, 64, (2..42).map(|it| (it, "")).collect())];
        objects.extend(members("app.Request", |_| Vec::new()));
        let list = (Rule::UnboundedGrowth, Some(Kind::List), Some("it".to_owned()), Place::Stack(StackId(9)));
        let heap = heap(&objects);
        assert_eq!(told(&heap, &[5]), std::slice::from_ref(&list));
        // Its own memory tells the same; what does not grow tells nothing.
        assert_eq!(told(&heap, &[9, 5]), [list]);
        assert_eq!(told(&heap, &[7]), []);
    }

    #[test]
    fn many_containers_with_few_members_each_are_not() {
        let mut objects = vec![
            ("app", 0, 64, vec![(1, "it")]),
            ("app.All", 0, 64, (2..42).map(|it| (it, "each")).collect()),
        ];
        objects.extend(members("list", |at| (0..12).map(|it| (42 + (at - 2) * 12 + it, "")).collect()));
        objects.extend((0..480).map(|_| ("float", 6, 24, Vec::new())));
        assert_eq!(told(&heap(&objects), &[6]), []);
    }

    #[test]
    fn what_is_linked_is_told_by_its_first() {
        let mut objects =
            vec![("app", 0, 64, vec![(1, "it")]), ("app.Document", 0, 64, vec![(2, "current")])];
        objects.extend(members(
            "app.Version",
            |at| if at < 41 { vec![(at + 1, "previous")] } else { Vec::new() },
        ));
        let name = Some("current".to_owned());
        let linked = (Rule::RetainedObject, Some(Kind::Global), name, Place::Stack(StackId(5)));
        assert_eq!(told(&heap(&objects), &[5]), [linked]);
    }

    #[test]
    fn what_only_c_code_holds_and_a_large_text() {
        let mut objects = vec![
            ("(C code)", 0, 0, (1..42).map(|it| (it, "")).collect()),
            ("app.Log", 0, 64, vec![(42, "text")]),
        ];
        objects.extend(members("method", |_| Vec::new()));
        objects.push(("str", 8, 9000, Vec::new()));
        let found = told(&heap(&objects), &[5, 8]);
        let held = (Rule::RetainedObject, Some(Kind::Global), None, Place::Stack(StackId(5)));
        let name = Some("text".to_owned());
        let text = (Rule::UnboundedGrowth, Some(Kind::String), name, Place::Stack(StackId(8)));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.contains(&held) && found.contains(&text), "{found:?}");
    }
}
