//! Containers that hold more from dump to dump.
//!
//! Objects keep what they are known by, so a container of the last dump is looked up in the earlier ones. What holds more
//! each time grows: with two dumps it may have been about to, with three or more it did so again.

use super::Walked;
use super::anchors::{Anchor, anchors};
use super::chain::{called, introduce};
use super::containers::{Container, container, is_part};
use super::contents::{Contents, contents};
use super::{Told, place_or};
use crate::text::grouped;
use heapwise_model::{Finding, Kind, Language, NodeId, ObjectHeap, ObjectKind, Place, Rule, Severity};
use rustc_hash::{FxHashMap, FxHashSet};

/// New entries from which on a container is told, and their part of what it held.
const ENTRIES_MIN: u64 = 10;
const PART: u64 = 10;
const FINDINGS_MAX: usize = 10;
/// New entries, and their bytes, up to which growth is no more than a warning, as is what grew that much slower once
/// than at another time: it may end soon.
const LITTLE: u64 = 50;
const LITTLE_BYTES: u64 = 4 << 10;
const SLOWER: u64 = 5;

/// What grew, and findings about it; that by most bytes first.
pub fn growth(older: &[&ObjectHeap], last: &Walked<'_>) -> (Vec<NodeId>, Vec<Told>) {
    let heap = last.heap;
    let ages = Ages::new(older, heap);
    let mut grown: Vec<Grown> = Vec::new();
    let known: Vec<FxHashMap<Known<'_>, u64>> = older.iter().map(|it| entries(it)).collect();
    let subclasses = subclasses(heap);
    let is_own = |it: &NodeId| is_part(heap, *it) || subclasses.contains(it);
    for node in (0..heap.graph.len() as u32).map(NodeId).filter(|it| !is_own(it)) {
        let Some(now) = container(heap, node).filter(|it| it.entries >= ENTRIES_MIN) else { continue };
        // What was not there at first began empty.
        let mut counts: Vec<u64> =
            known.iter().map(|it| it.get(&known_by(heap, node)).copied().unwrap_or(0)).collect();
        counts.push(now.entries);
        let is_new = known.last().is_some_and(|it| !it.contains_key(&known_by(heap, node)));
        let grows = grows(&counts);
        let more = now.entries - counts[0].min(now.entries);
        let is_told = grows && !is_new && more >= ENTRIES_MIN && more >= counts[0] / PART;
        if is_told && older.last().is_none_or(|it| is_same(it, heap, node)) {
            let (bytes, most) = contents(last, node, |it| ages.of(it).is_some_and(|it| it > 0));
            // Entries that were there before, or that others keep, are told of where they are kept: what only a second
            // name leads to is no growth. In CPython the container's own memory has grown, if by the program.
            if bytes > 0 || heap.language == Language::Python && heap.stack(node).is_some() {
                let is_emptied =
                    heap.language == Language::Python && is_emptied(heap, node, counts[0], &ages);
                grown.push(Grown { node, now, counts, bytes, most, is_emptied });
            }
        }
    }
    grown.sort_by_key(|it| std::cmp::Reverse((it.bytes, it.now.entries)));
    grown.truncate(FINDINGS_MAX);
    let nodes: Vec<NodeId> = grown.iter().map(|it| it.node).collect();
    let anchors = anchors(last, &nodes);
    let findings = grown.iter().map(|it| finding(last, it, anchors.get(&it.node))).collect();
    (nodes, findings)
}

/// Whether a container never shrank, and grew each time; of more than four dumps three times at least: a program may
/// have had nothing to do in between. One that is emptied from time to time may be met at ever greater sizes thrice.
fn grows(counts: &[u64]) -> bool {
    let times = counts.windows(2).filter(|pair| pair[0] < pair[1]).count();
    counts.is_sorted() && times >= (counts.len() - 1).min(3)
}

struct Grown {
    node: NodeId,
    now: Container,
    /// Entries in each dump.
    counts: Vec<u64>,
    /// Bytes of what is new in it, and most of what that is.
    bytes: u64,
    most: Option<Contents>,
    /// Whether little of what it held at first is left.
    is_emptied: bool,
}

/// Whether most of what a container held at first has gone: it is emptied from time to time, and was seen while it
/// filled. Of CPython's containers entries are their own references.
fn is_emptied(heap: &ObjectHeap, node: NodeId, first: u64, ages: &Ages<'_>) -> bool {
    let old = heap.references(node).filter(|it| ages.of(it.2) == Some(0)).count() as u64;
    first >= ENTRIES_MIN && old < first / 2
}

/// Entries that are compared to tell whether a container is the one that was there before.
const COMPARED: usize = 1000;

/// Whether a container is the one that `before` has at its address: CPython gives an address to the next object of the
/// same size at once, so one that grows still holds at least a half of what it held. V8's objects have numbers.
fn is_same(before: &ObjectHeap, heap: &ObjectHeap, node: NodeId) -> bool {
    if !heap.ids.is_empty() {
        return true;
    }
    let addr = |heap: &ObjectHeap, node: NodeId| heap.graph.addr.get(node.index()).copied().unwrap_or(0);
    let Ok(old) = before.graph.addr.binary_search(&addr(heap, node)) else { return false };
    let old = before.references(NodeId(old as u32)).map(|it| (addr(before, it.2), before.name(it.2)));
    let old: FxHashSet<(u64, &str)> = old.take(COMPARED).collect();
    let now = heap.references(node).map(|it| (addr(heap, it.2), heap.name(it.2)));
    let kept = now.filter(|it| old.contains(it)).collect::<FxHashSet<_>>().len();
    // Its class, and nothing else, tells nothing.
    old.len() > 1 && kept * 2 >= old.len()
}

/// The tables in which CPython notes, weakly, the classes that derive from another one.
fn subclasses(heap: &ObjectHeap) -> FxHashSet<NodeId> {
    let nodes = (0..heap.graph.len() as u32).map(NodeId);
    let classes = nodes.filter(|it| heap.kind[it.index()] == ObjectKind::Class);
    classes.filter_map(|it| heap.internal(it, &["(subclasses)"])).collect()
}

/// What an object is known by in another dump: addresses are used again, mostly for objects of another class.
type Known<'a> = (u64, &'a str);

fn known_by(heap: &ObjectHeap, node: NodeId) -> Known<'_> {
    (heap.id(node), heap.name(node))
}

/// Entries of each container.
fn entries(heap: &ObjectHeap) -> FxHashMap<Known<'_>, u64> {
    let nodes = (0..heap.graph.len() as u32).map(NodeId);
    nodes.filter_map(|it| Some((known_by(heap, it), container(heap, it)?.entries))).collect()
}

/// Which dump an object appeared in.
pub struct Ages<'a> {
    older: &'a [&'a ObjectHeap],
    last: &'a ObjectHeap,
    /// The newest id of each older dump. Ids of V8's own objects are odd and rise; those of the embedder are even and do
    /// not.
    newest: Vec<u64>,
}

impl<'a> Ages<'a> {
    pub fn new(older: &'a [&'a ObjectHeap], last: &'a ObjectHeap) -> Ages<'a> {
        let newest = |heap: &&ObjectHeap| heap.ids.iter().copied().filter(|id| id % 2 == 1).max();
        Ages { older, last, newest: older.iter().map(|it| newest(it).map_or(0, u64::from)).collect() }
    }

    /// The number of the first dump that has an object of the last one; `None` where nothing tells.
    pub fn of(&self, node: NodeId) -> Option<usize> {
        if self.last.ids.is_empty() {
            return Some(self.by_address(node));
        }
        let id = self.last.id(node);
        (id % 2 == 1).then(|| self.newest.iter().take_while(|newest| **newest < id).count())
    }

    /// What has no number is known by its address, as long as an object of the same class stands there.
    fn by_address(&self, node: NodeId) -> usize {
        let (addr, name) = (self.last.graph.addr.get(node.index()), self.last.name(node));
        let has_it = |heap: &&ObjectHeap| {
            let at = addr.and_then(|it| heap.graph.addr.binary_search(it).ok());
            at.is_some_and(|it| heap.name(NodeId(it as u32)) == name)
        };
        self.older.len() - self.older.iter().rev().take_while(|it| has_it(it)).count()
    }
}

fn finding(last: &Walked<'_>, grown: &Grown, anchor: Option<&Anchor>) -> Told {
    let heap = last.heap;
    let more = grown.now.entries - grown.counts[0].min(grown.now.entries);
    let is_little = more < LITTLE && grown.bytes < LITTLE_BYTES;
    // Before and after the dump in the middle: those in between may be close to each other.
    let middle = grown.counts[grown.counts.len() / 2];
    let steps = [middle.saturating_sub(grown.counts[0]), grown.now.entries.saturating_sub(middle)];
    let is_steady = steps.iter().max() <= steps.iter().min().map(|it| it.saturating_mul(SLOWER)).as_ref();
    let is_sure = grown.counts.len() > 2 && !is_little && is_steady && !grown.is_emptied;
    let severity = if is_sure { Severity::Error } else { Severity::Warning };
    let (rule, kind) = if is_listeners(last, grown) {
        (Rule::RetainedObject, Kind::Listener)
    } else {
        (Rule::UnboundedGrowth, grown.now.kind)
    };
    let finding = last.finding(rule, kind, severity, grown.node, anchor);
    let called = called(finding.retainers.as_ref()).or_else(|| anchor.map(|it| it.variable.clone()));
    let what = match (rule, &called) {
        (Rule::RetainedObject, Some(event)) => format!("the listeners of `{event}`"),
        _ => introduce(heap, grown.node, called.as_deref()),
    };
    let counts: Vec<String> = grown.counts.iter().map(|it| grouped(*it)).collect();
    let steps = match counts.as_slice() {
        [before, now] => format!("from {before} to {now} entries"),
        _ => format!("in each snapshot: {} entries", counts.join(", ")),
    };
    let (new, bytes) = match &grown.most {
        Some(most) if most.are_functions && most.count > 1 => {
            (format!("{} new instances of {} keep", grouped(most.count), most.name), most.bytes)
        }
        Some(most) if most.are_functions => (format!("a new instance of {} keeps", most.name), most.bytes),
        Some(most) if most.count > 1 && !most.name.is_empty() => {
            (format!("{} new {} keep", grouped(most.count), most.name), most.bytes)
        }
        _ => ("what is new in it keeps".to_owned(), grown.bytes),
    };
    let place = grown.most.as_ref().and_then(|it| it.place.clone());
    let help = match rule {
        Rule::RetainedObject => {
            "remove each listener when who added it is done (removeListener, once, AbortSignal)"
        }
        _ => "bound it, or remove entries when they are done",
    };
    let finding = Finding {
        message: match bytes {
            0 => format!("{what} grew {steps}"),
            _ => format!("{what} grew {steps}; {new} {} bytes alive", grouped(bytes)),
        },
        place: match place {
            Some(place) if rule == Rule::RetainedObject => Place::Source(place),
            place => place_or(finding.place.clone(), place),
        },
        help: Some(help.to_owned()),
        bytes: Some(grown.bytes),
        blocks: Some(more),
        ..finding
    };
    Told { finding, name: called, node: Some(grown.node) }
}

/// Whether a container is an emitter's list of the functions that wait for an event.
fn is_listeners(last: &Walked<'_>, grown: &Grown) -> bool {
    let are_functions = grown.most.as_ref().is_some_and(|it| it.are_functions);
    let steps = last.paths.steps(&last.heap.graph, grown.node).map(|it| it.1).unwrap_or_default();
    let holders = steps.iter().rev().skip(1).take(3).filter_map(|it| it.edge);
    let labels = holders.map(|it| last.heap.texts.get(last.heap.graph.labels[it as usize]));
    are_functions && labels.into_iter().any(|it| it == "_events")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_growth() {
        for yes in [&[1, 2][..], &[1, 2, 3], &[0, 5, 6, 7], &[1, 2, 2, 3, 4], &[1, 1, 2, 3, 3, 4]] {
            assert!(grows(yes), "{yes:?}");
        }
        for no in [&[1, 1][..], &[2, 1, 3], &[1, 2, 2], &[1, 2, 2, 3], &[1, 1, 1, 2, 3], &[1, 2, 3, 4, 3]] {
            assert!(!grows(no), "{no:?}");
        }
    }
}
