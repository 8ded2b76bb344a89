//! Why a block is alive: a shortest chain of pointers from a root to it.
//!
//! One breadth-first walk answers for all blocks. Roots are taken in the order: globals, thread-local storage,
//! stacks, mappings, registers; so of equally short chains the one that lasts longest is told.

use crate::classes::row;
use heapwise_model::{HeapGraph, NodeId, Root, RootKind};

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
    /// Where in it the pointer to the next step stands; `None` at the end.
    pub offset: Option<u32>,
}

const NONE: u32 = u32::MAX;

/// For each block the pointer through which the walk met it first.
#[derive(Clone, Debug)]
pub struct ShortestPaths {
    /// Source block; `NONE` where a root met it.
    from: Vec<u32>,
    /// Edge, or root where `from` is `NONE`; `NONE` in both: not reachable.
    by: Vec<u32>,
}

impl ShortestPaths {
    /// Walks `graph` once; linear time.
    pub fn new(graph: &HeapGraph) -> ShortestPaths {
        let count = graph.addr.len();
        let mut paths = ShortestPaths { from: vec![NONE; count], by: vec![NONE; count] };
        let mut roots: Vec<u32> = (0..graph.roots.len().min(NONE as usize) as u32).collect();
        roots.sort_by_key(|&root| lasting(graph.roots[root as usize].kind));
        let mut queue: Vec<u32> = Vec::new();
        for root in roots {
            paths.meet(graph.roots[root as usize].target, NONE, root, &mut queue);
        }
        let mut next = 0;
        while next < queue.len() {
            let node = queue[next];
            next += 1;
            let first = graph.first[node as usize];
            for (edge, &(target, _)) in (first..).zip(row(graph, NodeId(node))) {
                paths.meet(target, node, edge, &mut queue);
            }
        }
        paths
    }

    /// A shortest chain to `node`; `None` where no root reaches it.
    pub fn chain(&self, graph: &HeapGraph, node: NodeId) -> Option<Chain> {
        let mut steps = vec![Step { node, offset: None }];
        let mut at = node.index();
        if *self.by.get(at)? == NONE {
            return None;
        }
        while self.from[at] != NONE {
            let offset = graph.offsets.get(self.by[at] as usize).copied();
            at = self.from[at] as usize;
            steps.push(Step { node: NodeId(at as u32), offset });
        }
        steps.reverse();
        Some(Chain { root: graph.roots[self.by[at] as usize], steps })
    }

    fn meet(&mut self, target: NodeId, from: u32, by: u32, queue: &mut Vec<u32>) {
        if self.by[target.index()] == NONE {
            self.by[target.index()] = by;
            self.from[target.index()] = from;
            queue.push(target.0);
        }
    }
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
    use crate::classes::tests::any_graph;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        /// Twin: distances by relaxing all edges until nothing changes.
        #[test]
        fn relaxation_agrees(graph in any_graph()) {
            let count = graph.addr.len();
            let mut distance = vec![usize::MAX; count];
            for root in &graph.roots {
                distance[root.target.index()] = 1;
            }
            for _ in 0..count {
                for node in 0..count {
                    if distance[node] != usize::MAX {
                        for &(target, _) in row(&graph, NodeId(node as u32)) {
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
                        prop_assert!(row(&graph, pair[0].node).iter().any(|edge| edge.0 == pair[1].node));
                    }
                }
            }
        }
    }
}
