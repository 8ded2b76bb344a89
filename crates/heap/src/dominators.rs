//! Dominators and retained sizes of the heap graph.
//!
//! Block `d` dominates `n` when every way from the roots to `n` leads through `d`; the nearest such block is the
//! immediate dominator. What a block dominates goes when it goes: its retained size.
//!
//! T. Lengauer, R. Tarjan, "A Fast Algorithm for Finding Dominators in a Flowgraph", 1979, in its simple form: a
//! depth-first numbering from a virtual root above all roots, semidominators from the last to the first with path
//! compression. Iterative; O(edges * log blocks) at worst, near linear on heaps. (Semi-NCA, otherwise as good, walks
//! up from every block: quadratic for a long list that ends in many blocks.)

use crate::classes::row;
use heapwise_model::{HeapGraph, NodeId};

/// A block's nearest dominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dominator {
    /// Not reachable from the roots.
    Unreachable,
    /// No single block: several ways from the roots, or a root points to it.
    Roots,
    /// This block.
    Block(NodeId),
}

/// Columns by node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dominators {
    /// Immediate dominators.
    pub dominator: Vec<Dominator>,
    /// Bytes of a block and all it dominates; 0 for unreachable blocks.
    pub retained_bytes: Vec<u64>,
    /// Number of blocks in that sum.
    pub retained_blocks: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// Dominators over all pointers, start or interior, from all roots.
pub fn dominators(graph: &HeapGraph) -> Dominators {
    let walk = Walk::new(graph);
    let idom = walk.immediate_dominators(graph);
    let count = graph.addr.len();
    let mut result = Dominators {
        dominator: vec![Dominator::Unreachable; count],
        retained_bytes: vec![0; count],
        retained_blocks: vec![0; count],
    };
    // A dominator has a smaller number than what it dominates, so sums flow upward from the last.
    for number in (1..walk.node.len()).rev() {
        let node = walk.node[number] as usize;
        result.retained_bytes[node] = result.retained_bytes[node].saturating_add(graph.size[node]);
        result.retained_blocks[node] += 1;
        if idom[number] == 0 {
            result.dominator[node] = Dominator::Roots;
            continue;
        }
        let above = walk.node[idom[number] as usize];
        result.dominator[node] = Dominator::Block(NodeId(above));
        let above = above as usize;
        result.retained_bytes[above] =
            result.retained_bytes[above].saturating_add(result.retained_bytes[node]);
        result.retained_blocks[above] += result.retained_blocks[node];
    }
    result
}

/// Depth-first numbering: the virtual root is 0, reachable blocks count from 1.
struct Walk {
    /// Number to node (`NONE` for the virtual root).
    node: Vec<u32>,
    /// Node to number; `NONE` where unreachable.
    number: Vec<u32>,
    /// Number to the number of the parent in the depth-first tree.
    parent: Vec<u32>,
}

impl Walk {
    fn new(graph: &HeapGraph) -> Walk {
        let mut walk = Walk { node: vec![NONE], number: vec![NONE; graph.addr.len()], parent: vec![0] };
        let mut open: Vec<(u32, u32)> = Vec::new();
        for root in &graph.roots {
            walk.enter(root.target.0, 0, graph, &mut open);
            while let Some((number, at)) = open.last_mut() {
                let node = walk.node[*number as usize] as usize;
                if *at == graph.first[node + 1] {
                    open.pop();
                    continue;
                }
                let (target, _) = graph.edges[*at as usize];
                *at += 1;
                let number = *number;
                walk.enter(target.0, number, graph, &mut open);
            }
        }
        walk
    }

    fn enter(&mut self, node: u32, parent: u32, graph: &HeapGraph, open: &mut Vec<(u32, u32)>) {
        if self.number[node as usize] == NONE {
            let number = self.node.len() as u32;
            self.number[node as usize] = number;
            self.node.push(node);
            self.parent.push(parent);
            open.push((number, graph.first[node as usize]));
        }
    }

    /// By number.
    fn immediate_dominators(&self, graph: &HeapGraph) -> Vec<u32> {
        let count = self.node.len();
        let (first, sources) = self.predecessors(graph);
        let mut semi: Vec<u32> = (0..count as u32).collect();
        let mut label = semi.clone();
        let mut ancestor = self.parent.clone();
        let mut idom = self.parent.clone();
        let mut path = Vec::new();
        // Lists by semidominator of numbers whose dominator is found once all between the two are linked; 0 ends one.
        let (mut head, mut next) = (vec![0u32; count], vec![0u32; count]);
        for number in (1..count).rev() {
            for &source in &sources[first[number] as usize..first[number + 1] as usize] {
                let best = evaluate(source, number as u32, &mut ancestor, &mut label, &semi, &mut path);
                semi[number] = semi[number].min(semi[best as usize]);
            }
            let bucket = semi[number] as usize;
            next[number] = std::mem::replace(&mut head[bucket], number as u32);
            let parent = self.parent[number];
            let mut waiting = std::mem::take(&mut head[parent as usize]);
            while waiting != 0 {
                let best = evaluate(waiting, number as u32 - 1, &mut ancestor, &mut label, &semi, &mut path);
                let is_lower = semi[best as usize] < semi[waiting as usize];
                idom[waiting as usize] = if is_lower { best } else { parent };
                waiting = next[waiting as usize];
            }
        }
        for number in 1..count {
            if idom[number] != semi[number] {
                idom[number] = idom[idom[number] as usize];
            }
        }
        idom
    }

    /// Compressed rows, by number, of the numbers that point there.
    fn predecessors(&self, graph: &HeapGraph) -> (Vec<u64>, Vec<u32>) {
        let count = self.node.len();
        let mut first = vec![0u64; count + 1];
        let edges = || {
            let roots = graph.roots.iter().map(|root| (0, self.number[root.target.index()]));
            let inner = self.node[1..].iter().enumerate().flat_map(|(before, &node)| {
                row(graph, NodeId(node))
                    .iter()
                    .map(move |&(target, _)| (before as u32 + 1, self.number[target.index()]))
            });
            roots.chain(inner)
        };
        for (_, to) in edges() {
            first[to as usize + 1] += 1;
        }
        for i in 1..first.len() {
            first[i] += first[i - 1];
        }
        let mut sources = vec![0; first[count] as usize];
        let mut next = first.clone();
        for (from, to) in edges() {
            sources[next[to as usize] as usize] = from;
            next[to as usize] += 1;
        }
        (first, sources)
    }
}

/// The vertex with the least semidominator on the forest path from `at` up to, without, the first one below `linked`;
/// numbers from `linked + 1` on are linked to their parents.
fn evaluate(
    at: u32,
    linked: u32,
    ancestor: &mut [u32],
    label: &mut [u32],
    semi: &[u32],
    path: &mut Vec<u32>,
) -> u32 {
    if at <= linked {
        return at;
    }
    let mut top = at;
    while ancestor[top as usize] > linked {
        path.push(top);
        top = ancestor[top as usize];
    }
    // Compress: everything on the path now hangs below the top's ancestor, with the best label seen.
    while let Some(vertex) = path.pop() {
        let above = ancestor[vertex as usize];
        if semi[label[above as usize] as usize] < semi[label[vertex as usize] as usize] {
            label[vertex as usize] = label[above as usize];
        }
        ancestor[vertex as usize] = ancestor[above as usize];
    }
    label[at as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::tests::{any_graph, graph_of};
    use proptest::prelude::*;

    /// Blocks reachable without going through `removed`.
    fn reachable(graph: &HeapGraph, removed: Option<u32>) -> Vec<bool> {
        let mut seen = vec![false; graph.addr.len()];
        let mut open: Vec<u32> = graph.roots.iter().map(|root| root.target.0).collect();
        while let Some(node) = open.pop() {
            if Some(node) != removed && !std::mem::replace(&mut seen[node as usize], true) {
                open.extend(row(graph, NodeId(node)).iter().map(|edge| edge.0.0));
            }
        }
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        /// Twin: a block dominates what is unreachable once it is removed.
        #[test]
        fn removal_agrees(graph in any_graph()) {
            let fast = dominators(&graph);
            let all = reachable(&graph, None);
            let without: Vec<Vec<bool>> = (0..all.len() as u32).map(|node| reachable(&graph, Some(node))).collect();
            for node in 0..all.len() {
                let dominated = |by: usize| all[by] && all[node] && by != node && !without[by][node];
                let retained: u64 = (0..all.len()).filter(|&it| all[it] && !without[node][it]).map(|it| graph.size[it]).sum();
                prop_assert_eq!(fast.retained_bytes[node], if all[node] { retained } else { 0 });
                let above: Vec<usize> = (0..all.len()).filter(|&by| dominated(by)).collect();
                // The immediate one is dominated by all the others.
                let nearest = above.iter().copied().find(|&it| above.iter().all(|&other| other == it || !without[other][it]));
                let expected = match (all[node], nearest) {
                    (false, _) => Dominator::Unreachable,
                    (true, None) => Dominator::Roots,
                    (true, Some(by)) => Dominator::Block(NodeId(by as u32)),
                };
                // An unreachable "dominator" never arises: `dominated` asks for reachability.
                prop_assert_eq!(fast.dominator[node], expected);
            }
        }
    }

    #[test]
    fn a_long_chain_that_ends_in_many_blocks() {
        let (count, half) = (300_000u32, 150_000u32);
        let edges: Vec<_> = (1..count).map(|i| (i.min(half) - 1, i, false)).collect();
        let roots: Vec<_> = std::iter::once(0).chain(half..count).map(|it| (it, false)).collect();
        let fast = dominators(&graph_of(count as usize, &edges, &roots));
        assert_eq!(fast.retained_blocks[0], half);
        assert!(fast.dominator[half as usize..].iter().all(|it| *it == Dominator::Roots));
    }

    #[test]
    fn a_long_chain() {
        let count = 300_000u32;
        let edges: Vec<_> = (1..count).flat_map(|i| [(i - 1, i, false), (i, i / 2, true)]).collect();
        let fast = dominators(&graph_of(count as usize, &edges, &[(0, false)]));
        assert_eq!(fast.retained_blocks[0], count);
        assert_eq!(fast.dominator[count as usize - 1], Dominator::Block(NodeId(count - 2)));
    }
}
