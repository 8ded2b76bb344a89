//! Leak classes with memcheck's meaning (Valgrind manual, section 4.2.9, "Memory leak detection").
//!
//! Phase 1, from the roots: a chain of start pointers makes a block reachable; one interior pointer anywhere on
//! every chain to it makes it possibly lost. Phase 2, over the rest in address order: a block not met yet is
//! definitely lost and leads a clique, whatever it reaches is indirectly lost with it; an earlier leader that is
//! met so is indirectly lost too, and its clique joins.
//!
//! As in memcheck, a walk stops at blocks that are indirectly lost already. So a lost cycle has one leader, its
//! lowest address, and keeps it when a block at a higher address points into the cycle elsewhere than at the leader.
//!
//! Cost: linear in nodes and edges; every node is visited at most twice. No recursion.

use heapwise_model::{HeapGraph, Leaks, NodeId, Total};

/// A block's leak class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// No pointer to it was found.
    Definite,
    /// Only lost blocks point to it.
    Indirect,
    /// Every way to it leads through the inside of a block.
    Possible,
    /// A chain of start pointers leads to it.
    Reachable,
}

/// Columns by node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// Class of each block.
    pub class: Vec<Class>,
    /// The definitely lost block that each lost block is lost with: itself where it leads; itself too
    /// (and without meaning) where it is not lost.
    pub leader: Vec<NodeId>,
    /// What is lost indirectly with each definitely lost block; zero elsewhere.
    pub with: Vec<Total>,
}

impl Classes {
    /// Sums by class.
    pub fn totals(&self, graph: &HeapGraph) -> Leaks {
        let mut leaks = Leaks::default();
        for (class, &size) in self.class.iter().zip(&graph.size) {
            let total = match class {
                Class::Definite => &mut leaks.definite,
                Class::Indirect => &mut leaks.indirect,
                Class::Possible => &mut leaks.possible,
                Class::Reachable => &mut leaks.reachable,
            };
            add(total, size);
        }
        leaks
    }
}

/// Classifies every block of `graph`.
pub fn classify(graph: &HeapGraph) -> Classes {
    let count = graph.addr.len();
    // Definite stands for "not met" until phase 2 has visited a block.
    let mut class = vec![Class::Definite; count];
    mark_reachable(graph, &mut class);
    mark_possible(graph, &mut class);
    let leader = mark_lost(graph, &mut class);
    let mut with = vec![Total::default(); count];
    for (node, class) in class.iter().enumerate() {
        if *class == Class::Indirect {
            add(&mut with[leader[node].index()], graph.size[node]);
        }
    }
    Classes { class, leader, with }
}

fn mark_reachable(graph: &HeapGraph, class: &mut [Class]) {
    let mut pending: Vec<NodeId> = Vec::new();
    let mut meet = |target: NodeId, pending: &mut Vec<NodeId>| {
        if class[target.index()] != Class::Reachable {
            class[target.index()] = Class::Reachable;
            pending.push(target);
        }
    };
    for root in graph.roots.iter().filter(|root| !root.interior) {
        meet(root.target, &mut pending);
    }
    while let Some(node) = pending.pop() {
        for edge in graph.row(node) {
            if !edge.is_interior() {
                meet(edge.target(), &mut pending);
            }
        }
    }
}

fn mark_possible(graph: &HeapGraph, class: &mut [Class]) {
    let mut pending: Vec<NodeId> = Vec::new();
    let meet = |class: &mut [Class], target: NodeId, pending: &mut Vec<NodeId>| {
        if class[target.index()] == Class::Definite {
            class[target.index()] = Class::Possible;
            pending.push(target);
        }
    };
    for root in graph.roots.iter().filter(|root| root.interior) {
        meet(class, root.target, &mut pending);
    }
    for node in 0..class.len() {
        if class[node] == Class::Reachable {
            // A start edge of a reachable block leads to a reachable one, so only interior edges are news.
            for edge in graph.row(NodeId(node as u32)) {
                meet(class, edge.target(), &mut pending);
            }
        }
    }
    while let Some(node) = pending.pop() {
        for edge in graph.row(node) {
            meet(class, edge.target(), &mut pending);
        }
    }
}

fn mark_lost(graph: &HeapGraph, class: &mut [Class]) -> Vec<NodeId> {
    let mut leader: Vec<NodeId> = (0..class.len() as u32).map(NodeId).collect();
    let mut leaders: Vec<NodeId> = Vec::new();
    let mut pending: Vec<NodeId> = Vec::new();
    for node in (0..class.len() as u32).map(NodeId) {
        if class[node.index()] != Class::Definite {
            continue;
        }
        leaders.push(node);
        pending.push(node);
        while let Some(member) = pending.pop() {
            for target in graph.row(member).iter().map(|edge| edge.target()) {
                // Either not met yet, or an earlier leader.
                if class[target.index()] == Class::Definite && target != node {
                    class[target.index()] = Class::Indirect;
                    leader[target.index()] = node;
                    pending.push(target);
                }
            }
        }
    }
    // A leader is absorbed by a later one only: from the last to the first, each absorber is final already.
    for absorbed in leaders.into_iter().rev() {
        leader[absorbed.index()] = leader[leader[absorbed.index()].index()];
    }
    for node in 0..leader.len() {
        leader[node] = leader[leader[node].index()];
    }
    leader
}

fn add(total: &mut Total, size: u64) {
    total.bytes = total.bytes.saturating_add(size);
    total.blocks += 1;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use heapwise_model::{Bits, Edge, EdgeKind, Family, Root, RootKind, StackId};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn native(target: u32, is_interior: bool) -> Edge {
        Edge::new(NodeId(target), if is_interior { EdgeKind::Interior } else { EdgeKind::Start })
    }

    /// A graph of `count` blocks of 16 bytes from (from, to, interior) and (target, interior).
    pub fn graph_of(count: usize, edges: &[(u32, u32, bool)], roots: &[(u32, bool)]) -> HeapGraph {
        let mut sorted = edges.to_vec();
        sorted.sort_unstable();
        let mut first = vec![0u32; count + 1];
        for edge in &sorted {
            first[edge.0 as usize + 1] += 1;
        }
        for i in 0..count {
            first[i + 1] += first[i];
        }
        HeapGraph {
            addr: (0..count as u64).map(|i| 0x1000 + i * 32).collect(),
            size: (0..count as u64).map(|i| 16 + i % 5).collect(),
            stack: (0..count as u32).map(|i| StackId(1 + i % 3)).collect(),
            family: vec![Family::Malloc; count],
            first,
            labels: vec![0; sorted.len()],
            edges: sorted.into_iter().map(|(_, to, interior)| native(to, interior)).collect(),
            idle: Bits::default(),
            roots: roots
                .iter()
                .map(|&(target, interior)| Root {
                    kind: RootKind::Stack,
                    place: 0,
                    target: NodeId(target),
                    interior,
                })
                .collect(),
        }
    }

    pub fn any_graph() -> impl Strategy<Value = HeapGraph> {
        (1u32..40).prop_flat_map(|count| {
            let edges = prop::collection::vec((0..count, 0..count, prop::bool::weighted(0.2)), 0..80);
            let roots = prop::collection::vec((0..count, prop::bool::weighted(0.3)), 0..4);
            (edges, roots).prop_map(move |(edges, roots)| graph_of(count as usize, &edges, &roots))
        })
    }

    /// As [`any_graph`], and some edges keep nothing alive.
    pub fn any_graph_with_idle() -> impl Strategy<Value = HeapGraph> {
        (any_graph(), prop::collection::vec(prop::bool::weighted(0.3), 80)).prop_map(|(mut graph, idle)| {
            graph.idle = Bits::new(graph.edges.len());
            (0..graph.edges.len()).filter(|&it| idle[it]).for_each(|it| {
                graph.idle.insert(it);
            });
            graph
        })
    }

    /// What can be reached from `set` over edges that `follow` admits: the fixpoint, naively.
    fn closure(
        graph: &HeapGraph,
        mut set: BTreeSet<u32>,
        follow: impl Fn(u32, u32, bool) -> bool,
    ) -> BTreeSet<u32> {
        loop {
            let before = set.len();
            for node in set.clone() {
                for edge in graph.row(NodeId(node)) {
                    if follow(node, edge.target().0, edge.is_interior()) {
                        set.insert(edge.target().0);
                    }
                }
            }
            if set.len() == before {
                return set;
            }
        }
    }

    fn twin(graph: &HeapGraph) -> (Vec<Class>, Vec<Option<u32>>) {
        let count = graph.addr.len() as u32;
        let roots = |interior: bool| {
            graph.roots.iter().filter(|root| root.interior == interior).map(|root| root.target.0).collect()
        };
        let reachable = closure(graph, roots(false), |_, _, interior| !interior);
        let mut from = reachable.clone();
        from.extend::<BTreeSet<u32>>(roots(true));
        let met = closure(graph, from, |_, _, _| true);
        let mut leaders: Vec<u32> = Vec::new();
        let mut owner: Vec<Option<u32>> = vec![None; count as usize];
        for node in (0..count).filter(|node| !met.contains(node)) {
            if owner[node as usize].is_some() {
                continue;
            }
            // Walks through blocks that belong to nobody, and through leaders.
            let free: BTreeSet<u32> = (0..count)
                .filter(|it| !met.contains(it) && (owner[*it as usize].is_none() || leaders.contains(it)))
                .collect();
            let clique = closure(graph, BTreeSet::from([node]), |_, target, _| free.contains(&target));
            let absorbed: Vec<u32> = leaders.iter().copied().filter(|it| clique.contains(it)).collect();
            for owned in &mut owner {
                if owned.is_some_and(|it| absorbed.contains(&it)) {
                    *owned = Some(node);
                }
            }
            leaders.retain(|it| !absorbed.contains(it));
            leaders.push(node);
            for member in clique {
                owner[member as usize] = Some(node);
            }
        }
        let class = (0..count)
            .map(|node| match () {
                () if reachable.contains(&node) => Class::Reachable,
                () if met.contains(&node) => Class::Possible,
                () if leaders.contains(&node) => Class::Definite,
                () => Class::Indirect,
            })
            .collect();
        (class, owner)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn fixpoint_agrees(graph in any_graph()) {
            let fast = classify(&graph);
            let (class, owner) = twin(&graph);
            prop_assert_eq!(&fast.class, &class);
            let mut with = vec![Total::default(); class.len()];
            for (node, owner) in owner.iter().enumerate() {
                if let Some(owner) = owner {
                    prop_assert_eq!(fast.leader[node], NodeId(*owner));
                    if *owner as usize != node {
                        add(&mut with[*owner as usize], graph.size[node]);
                    }
                }
            }
            prop_assert_eq!(&fast.with, &with);
            let leaks = fast.totals(&graph);
            let sum = leaks.definite.bytes + leaks.indirect.bytes + leaks.possible.bytes + leaks.reachable.bytes;
            prop_assert_eq!(sum, graph.size.iter().sum::<u64>());
        }
    }

    #[test]
    fn a_list_and_its_head() {
        // 0 <- 1 <- 2 (head at the highest address), 3 alone, 4 and 5 a cycle.
        let graph = graph_of(6, &[(2, 1, false), (1, 0, false), (4, 5, false), (5, 4, true)], &[]);
        let classes = classify(&graph);
        use Class::*;
        assert_eq!(classes.class, [Indirect, Indirect, Definite, Definite, Definite, Indirect]);
        assert_eq!(classes.leader[0], NodeId(2));
        assert_eq!(classes.with[2].blocks, 2);
    }

    #[test]
    fn a_million_nodes() {
        // A chain through all nodes from the highest address: each earlier leader is absorbed in turn; and no recursion.
        let count = 1_000_000u32;
        let edges: Vec<_> = (1..count).map(|i| (i, i - 1, false)).collect();
        let classes = classify(&graph_of(count as usize, &edges, &[]));
        assert_eq!(classes.with[count as usize - 1].blocks, u64::from(count) - 1);
        let classes = classify(&graph_of(count as usize, &edges, &[(count - 1, false)]));
        assert!(classes.class.iter().all(|class| *class == Class::Reachable));
    }
}
