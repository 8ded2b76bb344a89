//! Objects that come and stay without a container that holds them: timers, links of a list, handlers that lead to the
//! one before, a text that grows.
//!
//! The filter of three dumps: what was made between the first and the second, and is still there in the third, has
//! outlived the work that it was made for. Told by class, where as many were made after the second dump, too.

use super::Told;
use super::Walked;
use super::chain::{called, location, object, short_name};
use super::containers::{collection, is_part};
use super::growth::Ages;
use crate::dominators::Dominator;
use crate::text::grouped;
use heapwise_model::{Bits, Kind, Language, NodeId, ObjectHeap, ObjectKind, Place, Rule, Severity, StackId};
use rustc_hash::FxHashMap;

/// Objects of a class from which on they are told, in each of both spans.
const OBJECTS_MIN: usize = 10;
const FINDINGS_MAX: usize = 5;
/// Dominators looked at above an object.
const CLIMB_MAX: usize = 64;

/// What pages watch themselves with.
const OBSERVERS: [&str; 5] = [
    "IntersectionObserver",
    "MutationObserver",
    "ResizeObserver",
    "PerformanceObserver",
    "ReportingObserver",
];

struct Group {
    /// Made between the first two dumps, and made later.
    stayed: Vec<NodeId>,
    came: Vec<NodeId>,
    /// Whether it is known where the class or function is written.
    is_written: bool,
}

/// Findings for what `grown`, the containers that are told already, do not explain.
pub fn survivors(older: &[&ObjectHeap], last: &Walked<'_>, grown: &[NodeId]) -> Vec<Told> {
    if older.len() < 2 {
        return Vec::new();
    }
    let ages = Ages::new(older, last.heap);
    let covered = covered(last, grown);
    let mut groups: FxHashMap<(ObjectKind, u32, u32), Group> = FxHashMap::default();
    for node in (0..last.heap.graph.len() as u32).map(NodeId) {
        // What nothing holds is told with its cycle.
        if matches!(last.dominators.of(node), Dominator::Unreachable) || !is_told(last.heap, node) {
            continue;
        }
        let Some(age) = ages.of(node).filter(|it| *it > 0) else { continue };
        let place = location(last.heap, node);
        let key = (
            last.heap.kind[node.index()],
            last.heap.name[node.index()],
            place.as_ref().map_or(0, |it| it.line),
        );
        let group = groups.entry(key).or_insert_with(|| Group {
            stayed: Vec::new(),
            came: Vec::new(),
            is_written: place.is_some(),
        });
        if age == 1 { &mut group.stayed } else { &mut group.came }.push(node);
    }
    let mut groups: Vec<Group> = groups.into_values().filter(is_steady).collect();
    groups.retain(|it| {
        it.stayed.iter().filter(|node| !climbs_to(last, **node, &covered)).count() >= OBJECTS_MIN
    });
    // Functions and classes of the program say most, then what holds most.
    groups.sort_by_cached_key(|it| (!it.is_written, std::cmp::Reverse(bytes(last, it)), it.stayed[0]));
    let mut told: Vec<(Bits, Told)> = Vec::new();
    for group in groups {
        if told.len() == FINDINGS_MAX {
            break;
        }
        let members = members(last, &group);
        if !told.iter().any(|(others, _)| is_same(last, &group, &members, others)) {
            let finding = finding(last, &group, &members);
            told.push((members, finding));
        }
    }
    told.into_iter().map(|it| it.1).collect()
}

/// Objects with a class, functions, and texts that were put together.
fn is_told(heap: &ObjectHeap, node: NodeId) -> bool {
    match heap.kind[node.index()] {
        // Classes that Python itself brings are in everything.
        ObjectKind::Object if heap.language == Language::Python => location(heap, node).is_some(),
        ObjectKind::Object => !is_part(heap, node) && !heap.name(node).is_empty(),
        ObjectKind::Closure => location(heap, node).is_some(),
        ObjectKind::ConcatenatedString => true,
        _ => false,
    }
}

/// Containers that are told, and what stands in them.
fn covered(last: &Walked<'_>, grown: &[NodeId]) -> Bits {
    let mut covered = Bits::new(last.heap.graph.len());
    for &node in grown {
        let mut open = vec![node];
        covered.insert(node.index());
        while let Some(holder) = open.pop() {
            for (_, _, target) in last.heap.references(holder) {
                let is_new = covered.insert(target.index());
                if is_new && is_part(last.heap, target) && last.heap.kind[target.index()] == ObjectKind::Array
                {
                    open.push(target);
                }
            }
        }
    }
    covered
}

/// Whether as many came before the second dump as after it, about.
fn is_steady(group: &Group) -> bool {
    let (stayed, came) = (group.stayed.len(), group.came.len());
    stayed >= OBJECTS_MIN && came >= OBJECTS_MIN && stayed <= came * 3 && came <= stayed * 3
}

/// Whether an object, or one that dominates it, is of `set`.
fn climbs_to(last: &Walked<'_>, node: NodeId, set: &Bits) -> bool {
    let mut at = node;
    for _ in 0..CLIMB_MAX {
        if set.has(at.index()) {
            return true;
        }
        match last.dominators.of(at) {
            Dominator::Block(above) => at = above,
            _ => return false,
        }
    }
    false
}

fn members(last: &Walked<'_>, group: &Group) -> Bits {
    let mut members = Bits::new(last.heap.graph.len());
    for node in group.stayed.iter().chain(&group.came) {
        members.insert(node.index());
    }
    members
}

/// Whether one of both groups is there because of the other.
fn is_same(last: &Walked<'_>, group: &Group, members: &Bits, others: &Bits) -> bool {
    let of_others = (0..last.heap.graph.len() as u32).map(NodeId).find(|it| others.has(it.index()));
    climbs_to(last, group.stayed[0], others) || of_others.is_some_and(|it| climbs_to(last, it, members))
}

/// What goes with all of a group: what its outermost members retain.
fn bytes(last: &Walked<'_>, group: &Group) -> u64 {
    let members = members(last, group);
    let outermost = group.stayed.iter().chain(&group.came).filter(|it| match last.dominators.of(**it) {
        Dominator::Block(above) => !climbs_to(last, above, &members),
        _ => true,
    });
    outermost.fold(0u64, |sum, it| sum.saturating_add(last.retained(*it).bytes))
}

fn finding(last: &Walked<'_>, group: &Group, members: &Bits) -> Told {
    let heap = last.heap;
    // The one that nothing of its like holds: the head of a list, the text as it is now.
    let outermost = |it: &&NodeId| match last.dominators.of(**it) {
        Dominator::Block(above) => !climbs_to(last, above, members),
        _ => true,
    };
    let node = *group.came.iter().rev().find(outermost).unwrap_or(&group.stayed[0]);
    let is_text = heap.kind[node.index()] == ObjectKind::ConcatenatedString;
    let is_function = heap.kind[node.index()] == ObjectKind::Closure;
    let mut finding = last.finding(Rule::RetainedObject, Kind::Global, Severity::Error, node, None);
    let holders = || finding.retainers.iter().flat_map(|it| &it.steps);
    let is_held_by = |names: &[&str]| holders().any(|it| names.iter().any(|name| it.object == *name));
    let is_listener = is_held_by(&["Listener", "EventListener", "V8EventListener"])
        || is_held_by(&OBSERVERS)
        || holders().any(|it| it.reference == "._events");
    let kind = if is_text {
        Kind::String
    } else if is_held_by(&["Timeout", "TimersList", "Immediate", "DOMTimer", "ScheduledAction"]) {
        Kind::Timer
    } else if is_listener {
        Kind::Listener
    } else if is_function {
        Kind::Closure
    } else {
        Kind::Global
    };
    if is_text {
        finding.rule = Rule::UnboundedGrowth;
    }
    finding.kind = Some(kind);
    let name = called(finding.retainers.as_ref());
    let (stayed, came) = (group.stayed.len() as u64, group.came.len() as u64);
    let bytes = bytes(last, group);
    finding.message = if is_text {
        let what = name.as_ref().map_or("a text".to_owned(), |it| format!("`{it}`, a text,"));
        format!("{what} has got {} more pieces since the first snapshot", grouped(stayed + came))
    } else {
        let what = if is_function {
            format!("instances of {}", object(heap, node))
        } else {
            format!("{} objects", short_name(heap, node))
        };
        format!(
            "{} {what} stayed from between the first two snapshots, and {} came since: {} bytes",
            grouped(stayed),
            grouped(came),
            grouped(bytes)
        )
    };
    finding.help = Some(
        match finding.kind {
            Some(Kind::Timer) => "clear each timer when who set it is done (clearInterval, clearTimeout)",
            Some(Kind::Listener) => {
                "remove each listener when who added it is done (removeListener, removeEventListener, disconnect, once, \
                 AbortSignal)"
            }
            Some(Kind::String) => "write it out, or keep the end of it only",
            _ => "drop the reference shown when the work is done",
        }
        .to_owned(),
    );
    // The function or class itself says more than who holds it, but less than who makes it.
    if let Some(at) = location(heap, node).filter(|_| heap.stack(node).is_none()) {
        finding.place = Place::Source(at);
    }
    if let Some(stack) = handed_over(last, node) {
        finding.place = Place::Stack(stack);
    }
    finding.bytes = Some(bytes);
    finding.blocks = Some(stayed + came);
    Told { finding, name: name.filter(|_| is_text), node: None }
}

/// Where that was made by which code of the runtime's or of a library holds `node`, when it holds it by an object of its
/// own: there it was handed over.
fn handed_over(last: &Walked<'_>, node: NodeId) -> Option<StackId> {
    let heap = last.heap;
    let (_, steps) = last.paths.steps(&heap.graph, node)?;
    let outermost = steps.iter().find(|it| heap.kind[it.node.index()] != ObjectKind::Synthetic)?;
    let is_held_so = steps.first().is_some_and(|it| heap.kind[it.node.index()] == ObjectKind::Synthetic)
        && outermost.node != node
        && collection(heap, outermost.node).is_none();
    heap.stack(outermost.node).filter(|_| is_held_so)
}
