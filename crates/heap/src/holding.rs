//! What keeps blocks alive, and what would go with them: chains and retained sizes for the stacks of findings.
//!
//! Blocks that one class and one stack have in common are a group. A group's chain leads to its block that retains
//! most; what a group retains is what its blocks dominate, no block counted twice.
//!
//! Cost: that of [`dominators`] and [`ShortestPaths`] once; a chain costs its length, and long chains keep their
//! two ends only.

use crate::classes::{Class, Classes};
use crate::dominators::{Dominators, dominators};
use crate::paths::{ShortestPaths, keep_ends};
use heapwise_model::{HeapGraph, Held, HeldStep, NodeId, StackId, Total};
use rustc_hash::FxHashMap;

/// Steps told of a long chain before its block.
const LAST_STEPS: usize = 4;

/// Blocks by class and the stack that allocated them.
pub type Group = (Class, StackId);

/// See the module's page.
pub struct Holding<'a> {
    graph: &'a HeapGraph,
    classes: &'a Classes,
    dominators: Dominators,
    paths: ShortestPaths,
}

impl<'a> Holding<'a> {
    /// Walks the graph.
    pub fn new(graph: &'a HeapGraph, classes: &'a Classes) -> Holding<'a> {
        Holding { graph, classes, dominators: dominators(graph), paths: ShortestPaths::new(graph) }
    }

    fn group(&self, node: usize) -> Group {
        (self.classes.class[node], self.graph.stack[node])
    }

    /// For each of `groups` why its block that retains most is alive; nothing for what no root reaches.
    pub fn chains(&self, groups: &[Group]) -> Vec<Option<Held>> {
        let mut most: FxHashMap<Group, Option<usize>> = groups.iter().map(|it| (*it, None)).collect();
        let retained = &self.dominators.retained_bytes;
        for node in 0..self.graph.len() {
            if let Some(best) = most.get_mut(&self.group(node))
                && best.is_none_or(|best| retained[node] > retained[best])
            {
                *best = Some(node);
            }
        }
        groups.iter().map(|it| most[it].and_then(|node| self.chain(node))).collect()
    }

    /// Blocks side by side on the chain that the same stack allocated (a list's) are one step.
    fn chain(&self, node: usize) -> Option<Held> {
        let chain = self.paths.chain(self.graph, NodeId(node as u32))?;
        let mut steps: Vec<HeldStep> = Vec::new();
        for step in &chain.steps {
            let (stack, size) = (self.graph.stack[step.node.index()], self.graph.size[step.node.index()]);
            match steps.last_mut() {
                Some(last) if last.stack == stack => {
                    last.total.blocks += 1;
                    last.total.bytes = last.total.bytes.saturating_add(size);
                    last.offset = step.offset;
                }
                _ => steps.push(HeldStep {
                    stack,
                    total: Total { bytes: size, blocks: 1 },
                    offset: step.offset,
                }),
            }
        }
        let left_out = keep_ends(&mut steps, LAST_STEPS);
        let retained = self.retained_of(node);
        let (kind, place) = (chain.root.kind, chain.root.place);
        Some(Held { kind, place, variable: None, steps, left_out, retained })
    }

    fn retained_of(&self, node: usize) -> Total {
        Total {
            bytes: self.dominators.retained_bytes[node],
            blocks: u64::from(self.dominators.retained_blocks[node]),
        }
    }

    /// What each set of groups retains together; `set_of` numbers the sets below `sets`.
    pub fn retained(&self, sets: usize, set_of: &FxHashMap<Group, u32>) -> Vec<Total> {
        self.dominators
            .retained_by(&self.dominators.tree(), sets, |node| set_of.get(&self.group(node.index())).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dominator;
    use crate::classes::tests::any_graph;
    use crate::{Block, GraphBuilder, classify};
    use heapwise_model::{Addr, Family, RootKind};
    use proptest::prelude::*;

    const REACHABLE: Class = Class::Reachable;

    /// A global holds a list of 20 nodes, each with a text; the last node holds a tree of its own.
    #[test]
    fn a_list_is_one_step() {
        let block = |addr: u64, size, stack| Block {
            addr: Addr(addr),
            size,
            family: Family::Malloc,
            stack: StackId(stack),
        };
        let mut blocks: Vec<Block> = (0..20u64)
            .flat_map(|i| [block(0x1000 + i * 0x100, 16, 1), block(0x1080 + i * 0x100, 100, 2)])
            .collect();
        blocks.push(block(0x9000, 1000, 3));
        let mut builder = GraphBuilder::new(&blocks);
        builder.root(RootKind::Global, Addr(0x10), Addr(0x1000));
        for i in 0..20u64 {
            let node = Addr(0x1000 + i * 0x100);
            builder.edge(node, 0, Addr(node.0 + 0x100));
            builder.edge(node, 8, Addr(node.0 + 0x80));
        }
        builder.edge(Addr(0x1000 + 19 * 0x100), 8, Addr(0x9000));
        let graph = builder.finish();
        let classes = classify(&graph);
        let holding = Holding::new(&graph, &classes);
        let group = |stack| (REACHABLE, StackId(stack));
        let chains = holding.chains(&[group(3), group(1), group(9)]);
        let step = |stack, bytes, blocks, offset| HeldStep {
            stack: StackId(stack),
            total: Total { bytes, blocks },
            offset,
        };
        let held = chains[0].as_ref().expect("reachable");
        assert_eq!(held.steps, [step(1, 320, 20, Some(8)), step(3, 1000, 1, None)]);
        assert_eq!((held.kind, held.place, held.left_out), (RootKind::Global, 0x10, 0));
        assert_eq!(chains[1].as_ref().map(|it| it.steps.len()), Some(1));
        assert!(chains[2].is_none());
        let sets = [(group(1), 0), (group(3), 1), (group(2), 2)].into_iter().collect();
        let retained = holding.retained(3, &sets);
        assert_eq!(retained[0], Total { bytes: 320 + 2000 + 1000, blocks: 41 });
        assert_eq!(retained[1], Total { bytes: 1000, blocks: 1 });
        assert_eq!(retained[2], Total { bytes: 2000, blocks: 20 });
    }

    /// Of a chain of `count` steps the first and the last ones are told.
    #[test]
    fn long_chains_keep_both_ends() {
        for (count, told, left_out) in [(5, 5, 0), (12, 12, 0), (13, 12, 1), (40, 12, 28)] {
            let block = |i: u64| Block {
                addr: Addr(0x1000 + i * 0x100),
                size: 16,
                family: Family::Malloc,
                stack: StackId(1 + i as u32),
            };
            let blocks: Vec<Block> = (0..count).map(block).collect();
            let mut builder = GraphBuilder::new(&blocks);
            builder.root(RootKind::Global, Addr(0x10), blocks[0].addr);
            for pair in blocks.windows(2) {
                builder.edge(pair[0].addr, 0, pair[1].addr);
            }
            let graph = builder.finish();
            let classes = classify(&graph);
            let last = (REACHABLE, StackId(count as u32));
            let chains = Holding::new(&graph, &classes).chains(&[last]);
            let held = chains[0].as_ref().expect("reachable");
            assert_eq!((held.steps.len(), held.left_out), (told, left_out));
            assert_eq!(held.steps[told - 1].stack, last.1);
            assert_eq!(held.steps[0].stack, StackId(1));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// Twin: a block counts for a set when it, or a block above it in the dominator tree, is of the set.
        #[test]
        fn climbing_agrees(graph in any_graph()) {
            let classes = classify(&graph);
            let holding = Holding::new(&graph, &classes);
            let set_of: FxHashMap<Group, u32> =
                (0..graph.addr.len()).map(|it| (holding.group(it), graph.stack[it].0 % 3)).collect();
            let mut expected = vec![Total::default(); 3];
            for node in 0..graph.addr.len() {
                let mut sets = [false; 3];
                let mut at = node;
                let is_reached = loop {
                    sets[set_of[&holding.group(at)] as usize] = true;
                    match holding.dominators.of(NodeId(at as u32)) {
                        Dominator::Block(above) => at = above.index(),
                        Dominator::Roots => break true,
                        Dominator::Unreachable => break false,
                    }
                };
                for set in (0..3).filter(|&set| is_reached && sets[set]) {
                    expected[set].bytes += graph.size[node];
                    expected[set].blocks += 1;
                }
            }
            prop_assert_eq!(holding.retained(3, &set_of), expected);
        }
    }
}
