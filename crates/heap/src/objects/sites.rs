//! Objects and the allocations that they lie in, joined by address.
//!
//! What a line allocates and a container holds is told once, as that container.

use super::{Told, Walked};
use crate::dominators::Dominator;
use crate::ledger::{Block, Ledger};
use heapwise_model::{Family, Finding, NodeId, Place, Rule, StackId};
use rustc_hash::{FxHashMap, FxHashSet};

/// Bytes that a runtime keeps in a block before its object.
const BEFORE_OBJECT: [u64; 3] = [16, 32, 0];
/// Blocks of a site that are looked up.
const SAMPLED: usize = 1000;
/// Steps from an object to who holds it.
const CLIMB_MAX: usize = 10_000;

/// The findings about sites that grow, but for those whose blocks are held by the containers that were `told`.
pub fn without_held(
    walked: &Walked<'_>,
    told: &[Told],
    ledger: &Ledger,
    findings: Vec<Finding>,
) -> Vec<Finding> {
    let holders: FxHashSet<NodeId> = told.iter().filter_map(|it| it.node).collect();
    let site = |it: &Finding| match it.place {
        Place::Stack(stack) if it.rule == Rule::UnboundedGrowth => Some(stack),
        _ => None,
    };
    let asked: FxHashSet<StackId> = findings.iter().filter_map(site).collect();
    if holders.is_empty() || asked.is_empty() {
        return findings;
    }
    let filled: FxHashSet<StackId> = holders.iter().filter_map(|it| walked.heap.stack(*it)).collect();
    // By site: blocks looked up, and those of them that are held.
    let mut counts: FxHashMap<StackId, (usize, usize)> = FxHashMap::default();
    for block in ledger.live_blocks().iter().filter(|it| asked.contains(&it.stack)) {
        let count = counts.entry(block.stack).or_default();
        if count.0 < SAMPLED {
            count.0 += 1;
            count.1 += usize::from(match node(walked, block) {
                Some(node) => is_held(walked, node, &holders),
                // A part of some object, which would be told if it grew.
                None => block.family == Family::Object,
            });
        }
    }
    let is_held = |it: &Finding| {
        let Some(stack) = site(it) else { return false };
        filled.contains(&stack) || counts.get(&stack).is_some_and(|&(all, held)| held * 2 > all)
    };
    findings.into_iter().filter(|it| !is_held(it)).collect()
}

fn is_held(walked: &Walked<'_>, node: NodeId, holders: &FxHashSet<NodeId>) -> bool {
    let mut at = node;
    for _ in 0..CLIMB_MAX {
        if holders.contains(&at) {
            return true;
        }
        match walked.dominators.of(at) {
            Dominator::Block(above) => at = above,
            _ => return false,
        }
    }
    false
}

/// The object in a block.
fn node(walked: &Walked<'_>, block: &Block) -> Option<NodeId> {
    let addr = &walked.heap.graph.addr;
    let mut places = BEFORE_OBJECT.iter().map(|before| block.addr.0.saturating_add(*before));
    places.find_map(|it| addr.binary_search(&it).ok().map(|it| NodeId(it as u32)))
}
