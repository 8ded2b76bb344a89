//! The same content many times over.

use super::Walked;
use super::chain::beginning;
use crate::text::{counted, grouped};
use heapwise_model::{EdgeKind, Finding, Kind, Language, NodeId, ObjectKind, Place, Rule, Severity};
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;

/// Part of the heap, and bytes, from which on it is told.
const PART: u64 = 100;
const BYTES_MIN: u64 = 64 << 10;
/// A dump of V8's cuts longer texts, so that different ones may look alike.
const LENGTH_MAX: usize = 1000;
/// Texts told by their beginnings.
const TOLD: usize = 3;

/// Objects that are the same: how many, their bytes, and one of them.
type Copies = (u32, u64, NodeId);

/// Findings, if what is equal costs much: texts, and Python's tuples.
pub fn duplicates(walked: &Walked<'_>) -> Vec<Finding> {
    texts(walked).into_iter().chain(tuples(walked)).collect()
}

/// All objects; where it is known who made which, those that the runtime made for itself are nobody's to spare.
fn nodes(walked: &Walked<'_>) -> impl Iterator<Item = NodeId> {
    let (heap, are_placed) = (walked.heap, !walked.heap.stacks.is_empty());
    (0..heap.graph.len() as u32).map(NodeId).filter(move |it| !are_placed || heap.stack(*it).is_some())
}

fn count(copies: &mut Copies, size: u64, node: NodeId) {
    *copies = (copies.0 + 1, copies.1.saturating_add(size), node);
}

/// Those that cost more than one of them would, most first, and how many bytes; if that is much.
fn spared(walked: &Walked<'_>, copies: impl Iterator<Item = Copies>) -> Option<(Vec<Copies>, u64)> {
    let mut often: Vec<Copies> = copies.filter(|it| it.0 > 1).collect();
    often.sort_by_key(|it| (std::cmp::Reverse(spare(it)), it.2));
    let bytes: u64 = often.iter().map(spare).fold(0, u64::saturating_add);
    (bytes >= (walked.total().bytes / PART).max(BYTES_MIN)).then_some((often, bytes))
}

fn spare((count, bytes, _): &Copies) -> u64 {
    bytes - bytes / u64::from((*count).max(1))
}

fn texts(walked: &Walked<'_>) -> Option<Finding> {
    let heap = walked.heap;
    // By text, which dumps hold once.
    let mut copies: Vec<Copies> = vec![(0, 0, NodeId(0)); heap.texts.len()];
    for node in nodes(walked) {
        if matches!(heap.kind[node.index()], ObjectKind::String | ObjectKind::Bytes)
            && let Some(entry) = copies.get_mut(heap.name[node.index()] as usize)
        {
            count(entry, heap.graph.size[node.index()], node);
        }
    }
    let is_whole = |it: &Copies| (1..=LENGTH_MAX).contains(&heap.name(it.2).len());
    let (often, bytes) = spared(walked, copies.into_iter().filter(|it| it.0 > 1).filter(is_whole))?;
    let more: u64 = often.iter().map(|it| u64::from(it.0) - 1).sum();
    let told: Vec<String> = often
        .iter()
        .take(TOLD)
        .map(|it| {
            let text = beginning(heap.name(it.2));
            let is_text = heap.kind[it.2.index()] == ObjectKind::String;
            let text = if is_text { format!("\"{text}\"") } else { text };
            format!("{text} {} times", grouped(u64::from(it.0)))
        })
        .collect();
    let first = often.first()?.2;
    let help = match heap.language {
        Language::Python => {
            "make each text once and share it: sys.intern(text), or a dict from text to itself"
        }
        _ => "make each text once and share it, by a Map from text to itself, say",
    };
    Some(Finding {
        message: format!(
            "{} {} what another one says: {} bytes; {}",
            counted(more, "string"),
            if more == 1 { "says" } else { "say" },
            grouped(bytes),
            told.join(", ")
        ),
        place: heap.stack(first).map_or(Place::Unknown, Place::Stack),
        help: Some(help.to_owned()),
        bytes: Some(bytes),
        blocks: Some(more),
        retainers: None,
        ..walked.finding(Rule::DuplicateContent, Kind::String, Severity::Note, first, None)
    })
}

/// Tuples of the same objects, where texts that say the same are the same.
fn tuples(walked: &Walked<'_>) -> Option<Finding> {
    let heap = walked.heap;
    if heap.language != Language::Python {
        return None;
    }
    let mut copies: FxHashMap<u64, Copies> = FxHashMap::default();
    let is_tuple = |it: &NodeId| heap.kind[it.index()] == ObjectKind::Object && heap.name(*it) == "tuple";
    for node in nodes(walked).filter(is_tuple) {
        let mut hasher = FxHasher::default();
        let mut length = 0;
        for edge in heap.graph.row(node).iter().filter(|it| it.kind() == EdgeKind::Element) {
            let target = edge.target().index();
            match heap.kind[target] {
                ObjectKind::String | ObjectKind::Bytes => hasher.write_u64(u64::from(heap.name[target]) << 1),
                _ => hasher.write_u64((target as u64) << 1 | 1),
            }
            length += 1;
        }
        if length > 0 {
            hasher.write_u64(length);
            count(copies.entry(hasher.finish()).or_insert((0, 0, node)), heap.graph.size[node.index()], node);
        }
    }
    let (often, bytes) = spared(walked, copies.into_values())?;
    let more: u64 = often.iter().map(|it| u64::from(it.0) - 1).sum();
    Some(Finding {
        message: format!(
            "{} {} the same objects as another one: {} bytes",
            counted(more, "tuple"),
            if more == 1 { "holds" } else { "hold" },
            grouped(bytes)
        ),
        place: walked.heap.stack(often.first()?.2).map_or(Place::Unknown, Place::Stack),
        help: Some("make each tuple once and share it, by a dict from tuple to itself, say".to_owned()),
        bytes: Some(bytes),
        blocks: Some(more),
        retainers: None,
        ..walked.finding(Rule::DuplicateContent, Kind::Object, Severity::Note, often.first()?.2, None)
    })
}
