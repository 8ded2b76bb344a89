//! The same text many times over.

use super::Walked;
use super::chain::beginning;
use crate::text::{counted, grouped};
use heapwise_model::{Finding, Kind, NodeId, ObjectKind, Place, Rule, Severity};

/// Part of the heap, and bytes, from which on it is told.
const PART: u64 = 100;
const BYTES_MIN: u64 = 64 << 10;
/// A dump cuts longer texts, so that different ones may look alike.
const LENGTH_MAX: usize = 1000;
/// Texts told by their beginnings.
const TOLD: usize = 3;

/// A finding, if equal strings cost much.
pub fn duplicates(walked: &Walked<'_>) -> Option<Finding> {
    let heap = walked.heap;
    // By text, which dumps hold once: copies and their bytes, and one of them.
    let mut copies = vec![(0u32, 0u64, NodeId(0)); heap.texts.len()];
    for node in (0..heap.graph.len() as u32).map(NodeId) {
        if heap.kind[node.index()] == ObjectKind::String
            && let Some(entry) = copies.get_mut(heap.name[node.index()] as usize)
        {
            *entry = (entry.0 + 1, entry.1.saturating_add(heap.graph.size[node.index()]), node);
        }
    }
    let spare = |(count, bytes, _): &(u32, u64, NodeId)| bytes - bytes / u64::from((*count).max(1));
    let mut often: Vec<(u32, u64, NodeId)> = copies.into_iter().filter(|it| it.0 > 1).collect();
    often.retain(|it| (1..=LENGTH_MAX).contains(&heap.name(it.2).len()));
    often.sort_by_key(|it| (std::cmp::Reverse(spare(it)), it.2));
    let bytes: u64 = often.iter().map(spare).fold(0, u64::saturating_add);
    if bytes < (walked.total().bytes / PART).max(BYTES_MIN) {
        return None;
    }
    let count: u64 = often.iter().map(|it| u64::from(it.0) - 1).sum();
    let told: Vec<String> = often
        .iter()
        .take(TOLD)
        .map(|it| format!("\"{}\" {} times", beginning(heap.name(it.2)), grouped(u64::from(it.0))))
        .collect();
    let first = often.first()?.2;
    Some(Finding {
        message: format!(
            "{} {} what another one says: {} bytes; {}",
            counted(count, "string"),
            if count == 1 { "says" } else { "say" },
            grouped(bytes),
            told.join(", ")
        ),
        place: Place::Unknown,
        help: Some("make each text once and share it, by a Map from text to itself, say".to_owned()),
        bytes: Some(bytes),
        blocks: Some(count),
        retainers: None,
        ..walked.finding(Rule::DuplicateContent, Kind::String, Severity::Note, first, None)
    })
}
