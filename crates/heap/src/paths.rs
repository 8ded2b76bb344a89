//! Why a block is alive: a shortest chain of pointers from a root to it.
//!
//! One breadth-first walk answers for all blocks. Roots are taken in the order: globals, thread-local storage,
//! stacks, mappings, registers; so of equally short chains the one that lasts longest is told.

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
    /// The edge to the next step, by its number in the graph; `None` at the end.
    pub edge: Option<u32>,
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
        let mut roots: Vec<u32> = (0..graph.roots.len().min(NONE as usize) as u32).collect();
        roots.sort_by_key(|&root| lasting(graph.roots[root as usize].kind));
        let mut paths = ShortestPaths::unmet(graph);
        let mut queue: Vec<u32> = Vec::new();
        for root in roots {
            paths.meet(graph.roots[root as usize].target, NONE, root, &mut queue);
        }
        paths.breadth_first(graph, &mut queue);
        paths
    }

    /// As [`ShortestPaths::new`], from groups of nodes in place of the graph's roots: what a group reaches is never told
    /// to be held by a later one, however short the way.
    pub fn from_groups(graph: &HeapGraph, groups: &[Vec<NodeId>]) -> ShortestPaths {
        let mut paths = ShortestPaths::unmet(graph);
        let mut queue: Vec<u32> = Vec::new();
        for (group, nodes) in groups.iter().enumerate() {
            for node in nodes {
                paths.meet(*node, NONE, group as u32, &mut queue);
            }
            paths.breadth_first(graph, &mut queue);
        }
        paths
    }

    fn unmet(graph: &HeapGraph) -> ShortestPaths {
        ShortestPaths { from: vec![NONE; graph.len()], by: vec![NONE; graph.len()] }
    }

    fn breadth_first(&mut self, graph: &HeapGraph, queue: &mut Vec<u32>) {
        let mut next = 0;
        while next < queue.len() {
            let node = queue[next];
            next += 1;
            let first = graph.first[node as usize];
            for (at, edge) in (first..).zip(graph.row(NodeId(node))) {
                if !graph.idle.has(at as usize) {
                    self.meet(edge.target(), node, at, queue);
                }
            }
        }
        queue.clear();
    }

    /// A shortest chain to `node`; `None` where no root reaches it.
    pub fn chain(&self, graph: &HeapGraph, node: NodeId) -> Option<Chain> {
        let (root, steps) = self.steps(graph, node)?;
        Some(Chain { root: graph.roots[root as usize], steps })
    }

    /// A shortest chain to `node`, and the number of the root or group that it begins with.
    pub fn steps(&self, graph: &HeapGraph, node: NodeId) -> Option<(u32, Vec<Step>)> {
        let mut steps = vec![Step { node, edge: None, offset: None }];
        let mut at = node.index();
        if *self.by.get(at)? == NONE {
            return None;
        }
        while self.from[at] != NONE {
            let edge = self.by[at];
            let offset = graph.labels.get(edge as usize).copied();
            at = self.from[at] as usize;
            steps.push(Step { node: NodeId(at as u32), edge: Some(edge), offset });
        }
        steps.reverse();
        Some((self.by[at], steps))
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
