//! Nodes of documents that are no longer shown, and who keeps them.

use super::Walked;
use super::chain::object;
use crate::dominators::Dominator;
use crate::text::{counted, grouped};
use heapwise_model::{Finding, Kind, NodeId, ObjectHeap, Rule, Severity};
use std::collections::BTreeMap;

const FINDINGS_MAX: usize = 5;

/// Nodes that are no longer shown. Node itself marks objects of its own that no script refers to; they are no part of a
/// document.
fn nodes(heap: &ObjectHeap) -> impl Iterator<Item = NodeId> + '_ {
    let all = (0..heap.graph.len() as u32).map(NodeId);
    all.filter(|it| heap.detached.has(it.index()) && !heap.name(*it).starts_with("Node / "))
}

/// As [`detached`], where such nodes are more in each dump; nothing where they are not: some may be held for later.
pub fn growing(older: &[&ObjectHeap], last: &Walked<'_>) -> Vec<Finding> {
    let counts: Vec<usize> = older.iter().chain([&last.heap]).map(|it| nodes(it).count()).collect();
    if !counts.is_sorted_by(|before, after| before < after) {
        return Vec::new();
    }
    let counted: Vec<String> = counts.iter().map(|it| grouped(*it as u64)).collect();
    let more = format!("; the page's in each snapshot: {}", counted.join(", "));
    let is_sure = counts.len() > 2;
    let told = detached(last).into_iter().map(|it| Finding {
        message: it.message + &more,
        severity: if is_sure { Severity::Error } else { Severity::Warning },
        ..it
    });
    told.collect()
}

/// One finding for each object that holds such nodes, what keeps most first.
pub fn detached(walked: &Walked<'_>) -> Vec<Finding> {
    let heap = walked.heap;
    // By holder: the tops of detached trees, and their bytes.
    let mut held: BTreeMap<String, (NodeId, u64, u64, u64)> = BTreeMap::new();
    for node in nodes(heap) {
        let is_below = match walked.dominators.of(node) {
            Dominator::Block(above) => heap.detached.has(above.index()),
            Dominator::Roots => false,
            Dominator::Unreachable => true,
        };
        if is_below {
            continue;
        }
        let Some((_, chain)) = walked.paths.steps(&heap.graph, node) else { continue };
        let is_held = |it: &&crate::Step| heap.detached.has(it.node.index());
        let top = chain.iter().find(is_held).map_or(node, |it| it.node);
        let holder = chain.iter().rev().find(|it| !heap.detached.has(it.node.index()));
        let Some(holder) = holder.map(|it| it.node) else { continue };
        let retained = walked.retained(node).bytes;
        let entry = held.entry(object(heap, holder)).or_insert((top, 0, 0, 0));
        entry.1 += 1;
        entry.2 = entry.2.saturating_add(retained);
        if retained > entry.3 {
            (entry.0, entry.3) = (top, retained);
        }
    }
    let mut held: Vec<_> = held.into_iter().collect();
    held.sort_by_key(|(_, it)| std::cmp::Reverse((it.2, it.1)));
    held.truncate(FINDINGS_MAX);
    let told = held.into_iter().map(|(holder, (node, count, bytes, _))| Finding {
        message: format!(
            "{} that {} no longer in the document, and all below, stay alive through {holder}: {} bytes",
            counted(count, "node"),
            if count == 1 { "is" } else { "are" },
            grouped(bytes)
        ),
        help: Some("drop the reference when the node is removed, or hold it by a WeakRef".to_owned()),
        bytes: Some(bytes),
        blocks: Some(count),
        ..walked.finding(Rule::RetainedObject, Kind::DetachedNode, Severity::Warning, node, None)
    });
    told.collect()
}
