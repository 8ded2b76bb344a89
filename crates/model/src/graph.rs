//! The heap graph: objects (blocks), what references them, and from where.
//!
//! Columns plus compressed rows. Node `i` has the edges `edges[first[i]..first[i + 1]]`. Who reads a heap writes the
//! graph, whichever heap it is: memory of a native process, or a snapshot of V8's.
//!
//! Of native heaps nodes are sorted by address and do not overlap: `addr[i] + max(size[i], 1) <= addr[i + 1]`. Of
//! CPython's heaps `addr` ascends, too (what is no object of the process stands first, at addresses below 4096; a
//! frame may lie within its generator), of V8's it is empty; `stack` and `family` are empty of both.

use crate::{Family, RootKind, StackId};

/// An object of the graph: index into its columns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Nodes that a graph can hold: as many as V8 itself allows in a snapshot.
    pub const MAX: usize = 1 << 28;

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a reference is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum EdgeKind {
    /// Native: a pointer to a block's start, or one that a heuristic accepts.
    Start,
    /// Native: a pointer past a block's start.
    Interior,
    /// Managed: a variable of a scope. The label is its name.
    Context,
    /// Managed: an element, or what a small integer is the key of. The label is its index, or that integer.
    Element,
    /// Managed: a property or an attribute. The label is its name.
    Property,
    /// Managed: a field of the runtime's own. The label is its name.
    Internal,
    /// Managed: a field without a name. The label is its index.
    Hidden,
    /// V8: a way that holds by other edges, too, but for those from the root. The label is its name.
    Shortcut,
    /// Managed: does not keep its target alive. The label is its name.
    Weak,
    /// CPython: what a text is the key of. The label is that text.
    Key,
    /// CPython: what anything else is the key of. The label tells the key as the program writes it, or its class.
    Item,
}

impl EdgeKind {
    const ALL: [EdgeKind; 11] = [
        EdgeKind::Start,
        EdgeKind::Interior,
        EdgeKind::Context,
        EdgeKind::Element,
        EdgeKind::Property,
        EdgeKind::Internal,
        EdgeKind::Hidden,
        EdgeKind::Shortcut,
        EdgeKind::Weak,
        EdgeKind::Key,
        EdgeKind::Item,
    ];

    /// From its number.
    pub fn from_number(number: u8) -> Option<EdgeKind> {
        EdgeKind::ALL.get(usize::from(number)).copied()
    }
}

/// A reference: target and kind in one word, four bytes on purpose (heaps have hundreds of millions).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge(u32);

impl Edge {
    const TARGET: u32 = NodeId::MAX as u32 - 1;

    /// `target` is below [`NodeId::MAX`].
    pub fn new(target: NodeId, kind: EdgeKind) -> Edge {
        debug_assert!(target.index() < NodeId::MAX);
        Edge((kind as u32) << 28 | (target.0 & Edge::TARGET))
    }

    pub fn target(self) -> NodeId {
        NodeId(self.0 & Edge::TARGET)
    }

    pub fn kind(self) -> EdgeKind {
        EdgeKind::ALL[(self.0 >> 28) as usize]
    }

    /// Whether it is a pointer past its target's start.
    pub fn is_interior(self) -> bool {
        self.kind() == EdgeKind::Interior
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}->{}", self.kind(), self.target().0)
    }
}

/// A pointer from outside the heap to or into a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    pub kind: RootKind,
    /// Where the pointer stood (0 for registers).
    pub place: u64,
    pub target: NodeId,
    /// The pointer is not the block's start, and no heuristic accepts it.
    pub interior: bool,
}

/// The heap at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeapGraph {
    /// Start addresses, ascending.
    pub addr: Vec<u64>,
    /// Shallow sizes: requested bytes.
    pub size: Vec<u64>,
    /// Where each was allocated.
    pub stack: Vec<StackId>,
    pub family: Vec<Family>,
    /// Row starts: `first.len() == size.len() + 1`.
    pub first: Vec<u32>,
    pub edges: Vec<Edge>,
    /// Parallel to `edges`: offset of each native pointer in its block, else what [`EdgeKind`] says.
    pub labels: Vec<u32>,
    /// Edges that keep nothing alive. Empty: all keep their targets.
    pub idle: Bits,
    pub roots: Vec<Root>,
}

impl HeapGraph {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.size.len()
    }

    pub fn is_empty(&self) -> bool {
        self.size.is_empty()
    }

    /// Edges of a node.
    pub fn row(&self, node: NodeId) -> &[Edge] {
        &self.edges[self.first[node.index()] as usize..self.first[node.index() + 1] as usize]
    }

    /// Targets that a node keeps alive.
    pub fn kept(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let first = self.first[node.index()] as usize;
        let row = self.row(node).iter().enumerate();
        row.filter(move |(at, _)| !self.idle.has(first + at)).map(|(_, edge)| edge.target())
    }
}

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// The empty set, with room for numbers below `count`.
    pub fn new(count: usize) -> Bits {
        Bits { words: vec![0; count.div_ceil(64)] }
    }

    #[inline]
    pub fn has(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 != 0)
    }

    /// Adds `at`, for which [`Bits::new`] made room; whether it is new.
    #[inline]
    pub fn insert(&mut self, at: usize) -> bool {
        let word = &mut self.words[at / 64];
        let is_new = *word >> (at % 64) & 1 == 0;
        *word |= 1 << (at % 64);
        is_new
    }

    /// How many it holds.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}
