//! The heap graph: blocks, what points to them, and from where.
//!
//! Columns plus compressed rows. Node `i` has the edges `edges[first[i]..first[i + 1]]`.
//! Nodes are sorted by address and do not overlap: `addr[i] + max(size[i], 1) <= addr[i + 1]`.

use crate::{Family, RootKind, StackId};

/// A block of the graph: index into its columns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

impl NodeId {
    pub fn index(self) -> usize {
        self.0 as usize
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
    /// Requested bytes.
    pub size: Vec<u64>,
    /// Where each was allocated.
    pub stack: Vec<StackId>,
    pub family: Vec<Family>,
    /// Row starts: `first.len() == addr.len() + 1`.
    pub first: Vec<u32>,
    /// Target and whether the pointer is interior (as in [`Root::interior`]).
    pub edges: Vec<(NodeId, bool)>,
    /// Offset of each edge's pointer in its block; parallel to `edges`.
    pub offsets: Vec<u32>,
    pub roots: Vec<Root>,
}
