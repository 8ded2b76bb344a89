//! Objects that only a collector of cycles frees: nothing but they themselves hold them.
//!
//! Where reference counts free what is no longer held, what no root reaches has been let go by everyone else, and waits.
//! Of its references, those within one strongly connected component are the cycle; the rest hangs below it.
//!
//! R. Tarjan, "Depth-First Search and Linear Graph Algorithms", 1972, without recursion; linear.

use super::Walked;
use super::chain::{introduce_class, location, place, told_steps};
use super::containers::is_part;
use crate::dominators::Dominator;
use crate::paths::{Step, keep_ends};
use crate::text::{counted, grouped};
use heapwise_model::{
    EdgeKind, Finding, Kind, Language, NodeId, ObjectHeap, ObjectKind, Place, Retainers, Rule, Severity,
    StackId, Total,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

/// Cycles of the same classes, or bytes, from which on they are told.
const CYCLES_MIN: u64 = 10;
const BYTES_MIN: u64 = 64 << 10;
/// From which on they are more than a note.
const MUCH_CYCLES: u64 = 100;
const MUCH_BYTES: u64 = 1 << 20;
const FINDINGS_MAX: usize = 5;
/// Classes that cycles are told together by, and those that are named.
const CLASSES_MAX: usize = 8;
const CLASSES_TOLD: usize = 3;
/// Steps told at the end of a long cycle.
const LAST_STEPS: usize = 4;

/// Findings: what was found to be uncollectable, and what waits, most bytes first.
pub fn cycles(walked: &Walked<'_>) -> Vec<Finding> {
    let heap = walked.heap;
    // Only Python's reader tells what is garbage; V8 collects before it writes a dump.
    if heap.language != Language::Python {
        return Vec::new();
    }
    let mut found: Vec<Finding> = uncollectable(walked).into_iter().collect();
    let mut groups: Vec<Group> = groups(walked).into_values().collect();
    groups.retain(|it| {
        it.cycles >= CYCLES_MIN || it.total.bytes >= BYTES_MIN || finalizer(heap, &it.members).is_some()
    });
    groups.sort_by_key(|it| (std::cmp::Reverse(it.total.bytes), it.members.first().copied()));
    groups.truncate(FINDINGS_MAX);
    found.extend(groups.iter().map(|it| finding(walked, it)));
    found
}

/// Cycles of the same classes.
struct Group {
    cycles: u64,
    /// All that waits with them.
    total: Total,
    /// One of the cycles.
    members: Vec<NodeId>,
}

/// Groups by their classes.
fn groups(walked: &Walked<'_>) -> FxHashMap<Vec<u32>, Group> {
    let heap = walked.heap;
    let is_lost = |node: NodeId| matches!(walked.dominators.of(node), Dominator::Unreachable);
    let mut groups: FxHashMap<Vec<u32>, Group> = FxHashMap::default();
    // What hangs below cycles comes before them, and belongs to the first one that is above.
    let mut below: FxHashMap<NodeId, Total> = FxHashMap::default();
    let mut given: FxHashSet<NodeId> = FxHashSet::default();
    components(heap, is_lost, |members| {
        let is_cycle = members.len() > 1 || heap.graph.kept(members[0]).any(|it| it == members[0]);
        let mut total = Total::default();
        for &node in members {
            total.bytes = total.bytes.saturating_add(heap.graph.size[node.index()]);
            total.blocks += 1;
            for target in heap.graph.kept(node).filter(|it| below.contains_key(it)) {
                if given.insert(target) {
                    let more = below[&target];
                    total.bytes = total.bytes.saturating_add(more.bytes);
                    total.blocks += more.blocks;
                }
            }
        }
        if !is_cycle {
            below.insert(members[0], total);
            return;
        }
        let group = groups.entry(signature(heap, members)).or_insert_with(|| Group {
            cycles: 0,
            total: Total::default(),
            members: Vec::new(),
        });
        group.cycles += 1;
        group.total.bytes = group.total.bytes.saturating_add(total.bytes);
        group.total.blocks += total.blocks;
        if group.members.is_empty() || members.len() < group.members.len() {
            group.members = members.to_vec();
        }
    });
    groups
}

/// Strongly connected components of the nodes that `is_in` admits; those that a component leads to come before it.
fn components(heap: &ObjectHeap, is_in: impl Fn(NodeId) -> bool, mut tell: impl FnMut(&[NodeId])) {
    /// Where a node stands in the order of visits, and the first one that it gets back to.
    struct Visit {
        order: u32,
        low: u32,
    }
    let graph = &heap.graph;
    let mut visits: FxHashMap<NodeId, Visit> = FxHashMap::default();
    let mut on_stack: FxHashSet<NodeId> = FxHashSet::default();
    let mut stack: Vec<NodeId> = Vec::new();
    let mut open: Vec<(NodeId, u32)> = Vec::new();
    for start in (0..graph.len() as u32).map(NodeId).filter(|&it| is_in(it)) {
        if visits.contains_key(&start) {
            continue;
        }
        open.push((start, graph.first[start.index()]));
        while let Some(&mut (node, ref mut edge)) = open.last_mut() {
            if !visits.contains_key(&node) {
                let order = visits.len() as u32;
                visits.insert(node, Visit { order, low: order });
                stack.push(node);
                on_stack.insert(node);
            }
            if *edge < graph.first[node.index() + 1] {
                let at = *edge as usize;
                *edge += 1;
                let target = graph.edges[at].target();
                if graph.idle.has(at) || !is_in(target) {
                    continue;
                }
                match visits.get(&target).map(|it| it.order) {
                    None => open.push((target, graph.first[target.index()])),
                    Some(order) if on_stack.contains(&target) => lower(&mut visits, node, order),
                    Some(_) => {}
                }
                continue;
            }
            open.pop();
            let (order, low) = (visits[&node].order, visits[&node].low);
            if let Some(&(above, _)) = open.last() {
                lower(&mut visits, above, low);
            }
            if order == low {
                let first = stack.iter().rposition(|it| *it == node).unwrap_or(0);
                tell(&stack[first..]);
                stack.drain(first..).for_each(|it| {
                    on_stack.remove(&it);
                });
            }
        }
    }

    fn lower(visits: &mut FxHashMap<NodeId, Visit>, node: NodeId, to: u32) {
        if let Some(visit) = visits.get_mut(&node) {
            visit.low = visit.low.min(to);
        }
    }
}

/// What a cycle is told by: the names of its objects, without what is part of others.
fn signature(heap: &ObjectHeap, members: &[NodeId]) -> Vec<u32> {
    let mut names: Vec<u32> =
        members.iter().filter(|it| !is_part(heap, **it)).map(|it| heap.name[it.index()]).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(CLASSES_MAX);
    names
}

fn finding(walked: &Walked<'_>, group: &Group) -> Finding {
    let heap = walked.heap;
    let steps = drawn(heap, &group.members);
    let finalizer = finalizer(heap, &group.members);
    let has_closure = group.members.iter().any(|it| heap.kind[it.index()] == ObjectKind::Closure);
    let kind = match finalizer {
        Some(_) => Kind::Finalizer,
        None if has_closure => Kind::Closure,
        None => Kind::Uncollected,
    };
    let is_much = group.cycles >= MUCH_CYCLES || group.total.bytes >= MUCH_BYTES;
    let severity = if is_much { Severity::Warning } else { Severity::Note };
    let cycles = match group.cycles {
        1 => format!("a cycle of {} waits", classes(heap, &group.members)),
        count => format!("{} cycles of {} wait", grouped(count), classes(heap, &group.members)),
    };
    let finalized = finalizer.map_or(String::new(), |it| format!("; {it}.__del__ runs only then"));
    let finding = walked.finding(Rule::ReferenceCycle, kind, severity, group.members[0], None);
    Finding {
        message: format!(
            "{cycles} for the collector: {}, {} bytes{finalized}",
            counted(group.total.blocks, "object"),
            grouped(group.total.bytes)
        ),
        help: Some(
            "hold the way back by weakref.ref, or cut the cycle when the work is done: then it is freed at once"
                .to_owned(),
        ),
        bytes: Some(group.total.bytes),
        blocks: Some(group.total.blocks),
        place: made_at(walked, &group.members)
            .map(Place::Stack)
            .or(place(&steps).map(Place::Source))
            .unwrap_or(Place::Unknown),
        retainers: Some(steps),
        ..finding
    }
}

/// Where most of a cycle's objects are made that are written by somebody: instances of the program's classes, closures.
fn made_at(walked: &Walked<'_>, members: &[NodeId]) -> Option<StackId> {
    let mut counts: BTreeMap<StackId, usize> = BTreeMap::new();
    for member in members.iter().filter(|it| location(walked.heap, **it).is_some()) {
        if let Some(stack) = walked.heap.stack(*member) {
            *counts.entry(stack).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|it| (it.1, std::cmp::Reverse(it.0))).map(|it| it.0)
}

/// The classes of a cycle's objects, those of the program first.
fn classes(heap: &ObjectHeap, members: &[NodeId]) -> String {
    let mut names: Vec<(bool, String)> = members
        .iter()
        .filter(|it| !is_part(heap, **it))
        .map(|it| (!heap.name(*it).contains('.'), introduce_class(heap, *it)))
        .collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(CLASSES_TOLD);
    let told: Vec<String> = names.into_iter().take(CLASSES_TOLD).map(|it| it.1).collect();
    match (told.as_slice(), more) {
        ([one], _) => one.clone(),
        ([init @ .., last], 0) => format!("{} and {last}", init.join(", ")),
        (_, more) => format!("{} and {}", told.join(", "), counted(more as u64, "other class")),
    }
}

/// The class of a member whose instances have `__del__`.
fn finalizer(heap: &ObjectHeap, members: &[NodeId]) -> Option<String> {
    members.iter().find_map(|&it| {
        let class = heap.internal(it, &["__class__"])?;
        let dict = heap.internal(class, &["__dict__"])?;
        let mut attributes = heap.references(dict);
        attributes
            .any(|(kind, label, _)| kind == EdgeKind::Property && heap.texts.get(label) == "__del__")
            .then(|| introduce_class(heap, it))
    })
}

/// A shortest way from a member back to itself, from one that says most.
fn drawn(heap: &ObjectHeap, members: &[NodeId]) -> Retainers {
    let within: FxHashSet<NodeId> = members.iter().copied().collect();
    let says = |node: &NodeId| {
        let kind = heap.kind[node.index()];
        (is_part(heap, *node), kind != ObjectKind::Object, !heap.name(*node).contains('.'), *node)
    };
    let start = members.iter().copied().min_by_key(says).expect("a cycle has members");
    // Edges by which a breadth-first walk met each node first.
    let mut met: FxHashMap<NodeId, (NodeId, u32)> = FxHashMap::default();
    let mut open = std::collections::VecDeque::from([start]);
    'walk: while let Some(node) = open.pop_front() {
        let first = heap.graph.first[node.index()];
        for (edge, target) in (first..).zip(heap.graph.row(node).iter().map(|it| it.target())) {
            if heap.graph.idle.has(edge as usize) || !within.contains(&target) || met.contains_key(&target) {
                continue;
            }
            met.insert(target, (node, edge));
            if target == start {
                break 'walk;
            }
            open.push_back(target);
        }
    }
    let mut chain = vec![Step { node: start, edge: None, offset: None }];
    let mut at = start;
    while let Some(&(from, edge)) = met.get(&at) {
        chain.push(Step { node: from, edge: Some(edge), offset: None });
        at = from;
        if at == start {
            break;
        }
    }
    chain.reverse();
    let mut steps = told_steps(heap, &chain);
    if let Some(last) = steps.last_mut().filter(|_| chain.len() > 1) {
        last.object = format!("the same {}", introduce_class(heap, start));
    }
    let left_out = keep_ends(&mut steps, LAST_STEPS);
    let retained = Total { bytes: heap.graph.size[start.index()], blocks: 1 };
    Retainers { steps, left_out, retained }
}

/// What the collector found and could not free: `gc.garbage`.
fn uncollectable(walked: &Walked<'_>) -> Option<Finding> {
    let heap = walked.heap;
    let mut roots = heap.graph.roots.iter();
    let list = roots.find_map(|it| heap.internal(it.target, &["gc.garbage"]))?;
    let is_item = |it: &(EdgeKind, u32, NodeId)| it.0 == EdgeKind::Element;
    let items: Vec<NodeId> = heap.references(list).filter(is_item).map(|it| it.2).collect();
    let first = *items.first()?;
    let count = items.len() as u64;
    let finding = walked.finding(Rule::ReferenceCycle, Kind::Uncollected, Severity::Warning, first, None);
    Some(Finding {
        message: format!(
            "{} in gc.garbage, which the collector found and did not free: {}, {} bytes",
            counted(count, "object"),
            classes(heap, &items),
            grouped(walked.retained(list).bytes)
        ),
        help: Some("take them out of gc.garbage; gc.DEBUG_SAVEALL puts all garbage there".to_owned()),
        bytes: Some(walked.retained(list).bytes),
        blocks: Some(count),
        ..finding
    })
}
