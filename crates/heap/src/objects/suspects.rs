//! Objects that keep much of a heap alive: where memory accumulates.
//!
//! Down the dominator tree, an object accumulates when it keeps a good part of the heap alive and none of what it
//! dominates does so by itself: a map of sessions, not the module that has the map, nor one of the sessions.

use super::Walked;
use super::anchors::{Anchor, anchors};
use super::chain::{called, entries_of, introduce, is_global_object};
use super::containers::{container, is_part};
use super::contents::contents;
use super::{Told, place_or};
use crate::text::{counted, grouped};
use heapwise_model::{Finding, Kind, NodeId, ObjectKind, Rule, Severity};

/// Part of the heap, and bytes, from which on an object is told.
const PART: u64 = 20;
const BYTES_MIN: u64 = 1 << 20;
/// Part of the heap from which on it is more than a note.
const MUCH: u64 = 5;
/// An object whose greatest part keeps more than this part of what it keeps is only on the way there.
const PASSED_ON: f64 = 0.7;
/// Entries from which on a container is taken for one that may grow.
const MANY: u64 = 1000;
const SUSPECTS_MAX: usize = 8;

/// Findings, what keeps most first.
pub fn suspects(walked: &Walked<'_>) -> Vec<Told> {
    let all = walked.total().bytes;
    let least = (all / PART).max(BYTES_MIN);
    let mut found: Vec<NodeId> = (0..walked.heap.graph.len() as u32)
        .map(NodeId)
        .filter(|&node| walked.retained(node).bytes >= least && is_candidate(walked, node))
        .filter(|&node| !is_passed_on(walked, node))
        .collect();
    found.sort_by_key(|&node| std::cmp::Reverse(walked.retained(node).bytes));
    found.truncate(SUSPECTS_MAX);
    let anchors = anchors(walked, &found);
    found.into_iter().map(|node| finding(walked, node, all, anchors.get(&node))).collect()
}

/// What a program's author knows: no part of another object, no group of roots, nothing that only the runtime holds.
fn is_candidate(walked: &Walked<'_>, node: NodeId) -> bool {
    let heap = walked.heap;
    let is_known =
        matches!(heap.kind[node.index()], ObjectKind::Object | ObjectKind::Closure | ObjectKind::Native);
    is_known && !is_part(heap, node) && !is_global_object(heap, node)
}

/// Whether most of what a node keeps is kept by one object below it.
fn is_passed_on(walked: &Walked<'_>, node: NodeId) -> bool {
    let limit = (walked.retained(node).bytes as f64 * PASSED_ON) as u64;
    let mut open: Vec<NodeId> = vec![node];
    while let Some(above) = open.pop() {
        for child in walked.tree.children(above).filter(|&it| walked.retained(it).bytes > limit) {
            if is_part(walked.heap, child) {
                open.push(child);
            } else {
                return true;
            }
        }
    }
    false
}

fn finding(walked: &Walked<'_>, node: NodeId, all: u64, anchor: Option<&Anchor>) -> Told {
    let heap = walked.heap;
    let retained = walked.retained(node);
    let held = container(heap, node).filter(|it| it.entries >= MANY);
    let is_much = retained.bytes >= all / MUCH;
    let severity = if is_much && held.is_some() { Severity::Warning } else { Severity::Note };
    let (rule, kind) = match held {
        Some(held) => (Rule::UnboundedGrowth, held.kind),
        None if heap.kind[node.index()] == ObjectKind::Closure => (Rule::RetainedObject, Kind::Closure),
        None => (Rule::RetainedObject, Kind::Global),
    };
    let finding = walked.finding(rule, kind, severity, node, anchor);
    let called = called(finding.retainers.as_ref()).or_else(|| anchor.map(|it| it.variable.clone()));
    let what = introduce(heap, node, called.as_deref());
    let what = match held {
        Some(held) => {
            format!("{} of {}", what.trim_end_matches(','), entries_of(held.entries))
                + if called.is_some() { "," } else { "" }
        }
        None => what,
    };
    let (_, most) = contents(walked, node, |_| true);
    let most = most.filter(|it| it.count > 1 && !it.name.is_empty() && it.bytes > retained.bytes / 2);
    let share = format!("{} % of the heap", retained.bytes.saturating_mul(100) / all.max(1));
    let told = most.as_ref().map_or(String::new(), |it| {
        format!(", most of it in {} of {}", counted(it.count, "instance"), it.name)
    });
    let finding = Finding {
        message: format!("{what} keeps {} bytes alive, {share}{told}", grouped(retained.bytes)),
        place: place_or(finding.place.clone(), most.and_then(|it| it.place)),
        help: Some(match held {
            Some(_) => "compare with an earlier snapshot (heapwise diff OLD NEW) to see whether it grows; \
                        bound it, or remove entries when they are done"
                .to_owned(),
            None => "drop the reference shown when the object is done".to_owned(),
        }),
        ..finding
    };
    Told { finding, name: called, node: Some(node) }
}
