//! Why a block is alive: a shortest chain of pointers from a root to it.
//!
//! One breadth-first walk answers for all blocks. Roots are taken in the order: globals, thread-local storage,
//! stacks, mappings, registers; so of equally short chains the one that lasts longest is told.

use heapwise_model::{FIRST_STEPS, HeapGraph, NodeId, Root, RootKind};

/// A chain from a root to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Where it begins.
    pub root: Root,
    /// The blocks on it, the first one being the root's target, the last one the block asked for.
    pub steps: Vec<Step>,
}

/// A block on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The block.
    pub node: NodeId,
    /// The edge to the next step, by its number in the graph; `None` at the end.
    pub edge: Option<u32>,
    /// Where in it the pointer to the next step stands; `None` at the end.
    pub offset: Option<u32>,
}

/// Not met. Numbers from the count of nodes on stand for roots, or groups.
const NONE: u32 = u32::MAX;

/// For each block the block from which the walk met it first.
#[derive(Clone, Debug)]
pub struct ShortestPaths {
    from: Vec<u32>,
}

impl ShortestPaths {
    /// Walks `graph` once; linear time.
    pub fn new(graph: &HeapGraph) -> ShortestPaths {
        let most = NONE as usize - graph.len();
        let mut roots: Vec<u32> = (0..graph.roots.len().min(most) as u32).collect();
        roots.sort_by_key(|&root| lasting(graph.roots[root as usize].kind));
        let mut paths = ShortestPaths { from: vec![NONE; graph.len()] };
        let mut front = Vec::new();
        for root in roots {
            paths.meet(graph.roots[root as usize].target, graph.len() as u32 + root, &mut front);
        }
        paths.breadth_first(graph, front);
        paths
    }

    /// As [`ShortestPaths::new`], from groups of nodes in place of the graph's roots: what a group reaches is never told
    /// to be held by a later one, however short the way.
    pub fn from_groups(graph: &HeapGraph, groups: &[Vec<NodeId>]) -> ShortestPaths {
        let mut paths = ShortestPaths { from: vec![NONE; graph.len()] };
        for (group, nodes) in (graph.len() as u32..).zip(groups) {
            let mut front = Vec::new();
            nodes.iter().for_each(|node| paths.meet(*node, group, &mut front));
            paths.breadth_first(graph, front);
        }
        paths
    }

    fn breadth_first(&mut self, graph: &HeapGraph, mut front: Vec<u32>) {
        let mut next = Vec::new();
        while !front.is_empty() {
            for node in front.drain(..) {
                for target in graph.kept(NodeId(node)) {
                    self.meet(target, node, &mut next);
                }
            }
            std::mem::swap(&mut front, &mut next);
        }
    }

    /// A shortest chain to `node`; `None` where no root reaches it.
    pub fn chain(&self, graph: &HeapGraph, node: NodeId) -> Option<Chain> {
        let (root, steps) = self.steps(graph, node)?;
        Some(Chain { root: graph.roots[root as usize], steps })
    }

    /// A shortest chain to `node`, and the number of the root or group that it begins with.
    pub fn steps(&self, graph: &HeapGraph, node: NodeId) -> Option<(u32, Vec<Step>)> {
        let mut steps = vec![Step { node, edge: None, offset: None }];
        let mut at = node;
        loop {
            let from = *self.from.get(at.index())?;
            if from == NONE {
                return None;
            }
            if let Some(root) = from.checked_sub(graph.len() as u32) {
                steps.reverse();
                return Some((root, steps));
            }
            let from = NodeId(from);
            // The walk came by the first edge that leads there.
            let edge = (graph.first[from.index()]..graph.first[from.index() + 1])
                .find(|&it| graph.edges[it as usize].target() == at && !graph.idle.has(it as usize));
            let offset = edge.and_then(|it| graph.labels.get(it as usize).copied());
            steps.push(Step { node: from, edge, offset });
            at = from;
        }
    }

    fn meet(&mut self, target: NodeId, from: u32, front: &mut Vec<u32>) {
        if self.from[target.index()] == NONE {
            self.from[target.index()] = from;
            front.push(target.0);
        }
    }
}

/// Leaves the first steps of a long chain and its `last` ones; how many it took out.
pub(crate) fn keep_ends<T>(steps: &mut Vec<T>, last: usize) -> usize {
    let left_out = steps.len().saturating_sub(FIRST_STEPS + last);
    if left_out > 0 {
        steps.drain(FIRST_STEPS..FIRST_STEPS + left_out);
    }
    left_out
}

fn lasting(kind: RootKind) -> u8 {
    match kind {
        RootKind::Global => 0,
        RootKind::ThreadLocal => 1,
        RootKind::Stack => 2,
        RootKind::Mapping => 3,
        RootKind::Register => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::tests::any_graph_with_idle;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        /// Twin: distances by relaxing all edges until nothing changes.
        #[test]
        fn relaxation_agrees(graph in any_graph_with_idle()) {
            let count = graph.len();
            let mut distance = vec![usize::MAX; count];
            for root in &graph.roots {
                distance[root.target.index()] = 1;
            }
            for _ in 0..count {
                for node in 0..count {
                    if distance[node] != usize::MAX {
                        for target in graph.kept(NodeId(node as u32)) {
                            distance[target.index()] = distance[target.index()].min(distance[node] + 1);
                        }
                    }
                }
            }
            let paths = ShortestPaths::new(&graph);
            for (node, &distance) in distance.iter().enumerate() {
                let chain = paths.chain(&graph, NodeId(node as u32));
                prop_assert_eq!(chain.as_ref().map_or(usize::MAX, |chain| chain.steps.len()), distance);
                if let Some(chain) = chain {
                    prop_assert_eq!(chain.root.target, chain.steps[0].node);
                    for pair in chain.steps.windows(2) {
                        prop_assert!(graph.kept(pair[0].node).any(|target| target == pair[1].node));
                    }
                }
            }
        }
    }
}
