//! Containers that hold more from dump to dump.
//!
//! Objects keep their ids, so a container of the last dump is looked up in the earlier ones. What holds more each time
//! grows: with two dumps it may have been about to, with three or more it did so again.

use super::Walked;
use super::anchors::{Anchor, anchors};
use super::chain::{called, introduce};
use super::containers::{Container, container, is_part};
use super::contents::{Contents, contents};
use super::{Told, place_or};
use crate::text::grouped;
use heapwise_model::{Finding, Kind, NodeId, ObjectHeap, Place, Rule, Severity};
use rustc_hash::FxHashMap;

/// New entries from which on a container is told, and their part of what it held.
const ENTRIES_MIN: u64 = 10;
const PART: u64 = 10;
const FINDINGS_MAX: usize = 10;

/// What grew, and findings about it; that by most bytes first.
pub fn growth(older: &[&ObjectHeap], last: &Walked<'_>) -> (Vec<NodeId>, Vec<Told>) {
    let heap = last.heap;
    let newest = older.first().map_or(0, |it| newest(it));
    let mut grown: Vec<Grown> = Vec::new();
    let known: Vec<FxHashMap<u64, u64>> = older.iter().map(|it| entries(it)).collect();
    for node in (0..heap.graph.len() as u32).map(NodeId).filter(|&it| !is_part(heap, it)) {
        let Some(now) = container(heap, node).filter(|it| it.entries >= ENTRIES_MIN) else { continue };
        // What was not there at first began empty.
        let mut counts: Vec<u64> =
            known.iter().map(|it| it.get(&heap.id(node)).copied().unwrap_or(0)).collect();
        counts.push(now.entries);
        let is_new = known.last().is_some_and(|it| !it.contains_key(&heap.id(node)));
        let grows = counts.windows(2).all(|pair| pair[0] < pair[1]);
        let more = now.entries - counts[0].min(now.entries);
        if grows && !is_new && more >= ENTRIES_MIN && more >= counts[0] / PART {
            // What the embedder makes counts as new only within what is.
            let is_new = |it: NodeId| heap.id(it) % 2 == 1 && heap.id(it) > newest;
            let (bytes, most) = contents(last, node, is_new);
            // Entries that were there before, or that others keep, are told of where they are kept: what only a second
            // name leads to is no growth.
            if bytes > 0 {
                grown.push(Grown { node, now, counts, bytes, most });
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

struct Grown {
    node: NodeId,
    now: Container,
    /// Entries in each dump.
    counts: Vec<u64>,
    /// Bytes of what is new in it, and most of what that is.
    bytes: u64,
    most: Option<Contents>,
}

/// Entries of each container, by id.
fn entries(heap: &ObjectHeap) -> FxHashMap<u64, u64> {
    let nodes = (0..heap.graph.len() as u32).map(NodeId);
    nodes.filter_map(|it| Some((heap.id(it), container(heap, it)?.entries))).collect()
}

/// The newest id of a dump. Ids of the heap's own objects are odd and rise; those of the embedder are even and do not.
pub fn newest(heap: &ObjectHeap) -> u64 {
    heap.ids.iter().copied().filter(|id| id % 2 == 1).max().map(u64::from).unwrap_or(0)
}

fn finding(last: &Walked<'_>, grown: &Grown, anchor: Option<&Anchor>) -> Told {
    let heap = last.heap;
    let severity = if grown.counts.len() > 2 { Severity::Error } else { Severity::Warning };
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
        message: format!("{what} grew {steps}; {new} {} bytes alive", grouped(bytes)),
        place: match place {
            Some(place) if rule == Rule::RetainedObject => Place::Source(place),
            place => place_or(finding.place.clone(), place),
        },
        help: Some(help.to_owned()),
        bytes: Some(grown.bytes),
        blocks: Some(grown.now.entries - grown.counts[0].min(grown.now.entries)),
        ..finding
    };
    Told { finding, name: called }
}

/// Whether a container is an emitter's list of the functions that wait for an event.
fn is_listeners(last: &Walked<'_>, grown: &Grown) -> bool {
    let are_functions = grown.most.as_ref().is_some_and(|it| it.are_functions);
    let steps = last.paths.steps(&last.heap.graph, grown.node).map(|it| it.1).unwrap_or_default();
    let holders = steps.iter().rev().skip(1).take(3).filter_map(|it| it.edge);
    let labels = holders.map(|it| last.heap.texts.get(last.heap.graph.labels[it as usize]));
    are_functions && labels.into_iter().any(|it| it == "_events")
}
