//! Collects roots and edges into the columns of a [`HeapGraph`].
//!
//! The builder finds the blocks. A pointer is interior unless it is the block's start; whoever reads memory gives
//! the start for interior pointers that a heuristic accepts.
//!
//! Cost: one index lookup per pointer; finishing is linear when edges came by ascending `from`, as a scan gives
//! them, and sorts them otherwise.

use crate::{Block, BlockIndex};
use heapwise_model::{Addr, Edge, EdgeKind, HeapGraph, NodeId, Root, RootKind};
use heapwise_trace::Event;

#[derive(Clone, Copy)]
struct Pointer {
    from: u32,
    offset: u32,
    target: NodeId,
    interior: bool,
}

impl Pointer {
    fn kind(&self) -> EdgeKind {
        if self.interior { EdgeKind::Interior } else { EdgeKind::Start }
    }
}

/// See the module's page.
pub struct GraphBuilder {
    graph: HeapGraph,
    index: BlockIndex,
    edges: Vec<Pointer>,
    is_sorted: bool,
    is_complete: bool,
    /// The block that the last edge came from: edges of a block come together.
    last_from: Option<(u64, NodeId)>,
}

impl GraphBuilder {
    /// A graph of `blocks`, which come by ascending address ([`crate::Ledger::live_blocks`]). A block that reaches
    /// into the next one (a damaged recording, a missed free) owns only the bytes before it.
    pub fn new(blocks: &[Block]) -> GraphBuilder {
        let mut graph = HeapGraph::default();
        for block in blocks.iter().take(NodeId::MAX - 1) {
            if graph.addr.last().is_some_and(|&last| last >= block.addr.0) {
                continue;
            }
            graph.addr.push(block.addr.0);
            graph.size.push(block.size);
            graph.stack.push(block.stack);
            graph.family.push(block.family);
        }
        for i in 1..graph.addr.len() {
            graph.size[i - 1] = graph.size[i - 1].min(graph.addr[i] - graph.addr[i - 1]);
        }
        let index = BlockIndex::new(&graph.addr, &graph.size);
        let is_complete = graph.addr.len() == blocks.len();
        GraphBuilder { graph, index, edges: Vec::new(), is_sorted: true, is_complete, last_from: None }
    }

    /// The index over the blocks: for a scan that wants to know what a word points to.
    pub fn index(&self) -> &BlockIndex {
        &self.index
    }

    /// Whether every block given, and every pointer that had room, is in the graph.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// A pointer outside the heap, at `place`; `false` when it points to no block.
    pub fn root(&mut self, kind: RootKind, place: Addr, target: Addr) -> bool {
        let Some((node, offset)) = self.index.find(target.0) else {
            return false;
        };
        let interior = offset != 0;
        self.graph.roots.push(Root { kind, place: place.0, target: node, interior });
        true
    }

    /// A pointer at `offset` in the block that starts at `from`; `false` when there is no such block, or it
    /// points to none.
    pub fn edge(&mut self, from: Addr, offset: u64, target: Addr) -> bool {
        let node = match self.last_from {
            Some((addr, node)) if addr == from.0 => node,
            _ => match self.index.find(from.0) {
                Some((node, 0)) => node,
                _ => return false,
            },
        };
        self.last_from = Some((from.0, node));
        self.edge_from(node, offset, target.0)
    }

    /// A word at `offset` in block `from`; `false` when it points to no block.
    #[inline]
    pub fn edge_from(&mut self, from: NodeId, offset: u64, word: u64) -> bool {
        let Some((target, inside)) = self.index.find(word) else {
            return false;
        };
        if self.edges.len() >= u32::MAX as usize {
            self.is_complete = false;
            return false;
        }
        let interior = inside != 0;
        self.is_sorted &= self.edges.last().is_none_or(|last| last.from <= from.0);
        self.edges.push(Pointer {
            from: from.0,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            target,
            interior,
        });
        true
    }

    /// Takes `Root` and `Edge` events of a recording; others are passed over.
    pub fn apply(&mut self, event: &Event) {
        match *event {
            Event::Root { kind, place, target } => {
                self.root(kind, place, target);
            }
            Event::Edge { from, offset, target } => {
                self.edge(from, offset, target);
            }
            _ => {}
        }
    }

    /// The graph.
    pub fn finish(self) -> HeapGraph {
        let GraphBuilder { mut graph, mut edges, is_sorted, .. } = self;
        if !is_sorted {
            edges.sort_by_key(|edge| edge.from);
        }
        graph.first = vec![0; graph.addr.len() + 1];
        for edge in &edges {
            graph.first[edge.from as usize + 1] += 1;
        }
        for i in 1..graph.first.len() {
            graph.first[i] += graph.first[i - 1];
        }
        graph.labels = edges.iter().map(|edge| edge.offset).collect();
        graph.edges = edges.into_iter().map(|edge| Edge::new(edge.target, edge.kind())).collect();
        graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_model::{Family, StackId};

    fn block(addr: u64, size: u64, family: Family) -> Block {
        Block { addr: Addr(addr), size, family, stack: StackId(1) }
    }

    #[test]
    fn pointers_find_their_blocks() {
        let blocks = [
            block(0x100, 64, Family::Malloc),
            block(0x120, 32, Family::NewArray),
            block(0x200, 0, Family::Malloc),
        ];
        let mut builder = GraphBuilder::new(&blocks);
        assert!(builder.edge(Addr(0x120), 8, Addr(0x200)));
        assert!(builder.edge(Addr(0x100), 0, Addr(0x128)));
        assert!(builder.edge(Addr(0x100), 16, Addr(0x130)));
        assert!(!builder.edge(Addr(0x100), 24, Addr(0x201)));
        assert!(!builder.edge(Addr(0x101), 0, Addr(0x100)));
        assert!(builder.root(RootKind::Global, Addr(0x10), Addr(0x11f)));
        let interior = |target| Edge::new(NodeId(target), EdgeKind::Interior);
        let graph = builder.finish();
        assert_eq!(graph.size, [32, 32, 0]);
        assert_eq!(graph.first, [0, 2, 3, 3]);
        assert_eq!(graph.edges, [interior(1), interior(1), Edge::new(NodeId(2), EdgeKind::Start)]);
        assert_eq!(graph.labels, [0, 16, 8]);
        assert!(graph.roots[0].interior);
    }
}
