//! Errors that the ledger alone proves: frees of what is not a live block's start.
//!
//! Errors with the same kind and freeing stack are counted, not stored again; at most [`ERRORS_MAX`] are stored.

use heapwise_model::{Addr, Family, Nanos, StackId};
use rustc_hash::FxHashMap;

/// Distinct errors kept; further ones are only counted.
pub const ERRORS_MAX: usize = 10_000;

/// What is wrong with a free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FreeErrorKind {
    /// The block had been freed before, and its address not handed out since.
    Double,
    /// The address lies inside a live block, past its start.
    Interior,
    /// Nothing is known of the address; whoever knows the process's maps says more with
    /// [`MemoryError::set_place`].
    Unknown,
    /// An address of a thread's stack.
    Stack,
    /// An address of a module's data.
    Global,
    /// An address of none of these.
    Wild,
    /// The block came from one family and was taken back as one of another.
    Mismatched {
        /// Who handed it out.
        allocated: Family,
        /// As what it was taken back.
        freed: Family,
    },
}

/// Where an address without a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WildPlace {
    /// A thread's stack.
    Stack,
    /// A module's data.
    Global,
    /// Anywhere else.
    Wild,
}

/// The block that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Its start.
    pub addr: Addr,
    /// Requested bytes; `None` for blocks freed long ago.
    pub size: Option<u64>,
    /// Who handed it out.
    pub family: Family,
    /// Where it was allocated.
    pub stack: StackId,
}

/// A wrong free, seen `count` times with this kind and stack; the rest tells of the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryError {
    /// When.
    pub at: Nanos,
    /// By which thread.
    pub thread: u32,
    /// What is wrong.
    pub kind: FreeErrorKind,
    /// The address given to the freeing function.
    pub addr: Addr,
    /// The freeing function's family.
    pub family: Family,
    /// Where it was freed.
    pub stack: StackId,
    /// The block it was, or lies in.
    pub block: Option<BlockInfo>,
    /// Where it was freed first (double frees).
    pub first_free: Option<StackId>,
    /// How often.
    pub count: u64,
}

impl MemoryError {
    /// Says where the address of an [`FreeErrorKind::Unknown`] error lies; other errors stay as they are.
    pub fn set_place(&mut self, place: WildPlace) {
        if self.kind == FreeErrorKind::Unknown {
            self.kind = match place {
                WildPlace::Stack => FreeErrorKind::Stack,
                WildPlace::Global => FreeErrorKind::Global,
                WildPlace::Wild => FreeErrorKind::Wild,
            };
        }
    }
}

/// The errors of a ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryErrors {
    pub list: Vec<MemoryError>,
    index: FxHashMap<(FreeErrorKind, StackId), u32>,
    /// Errors that found no place in the list.
    pub dropped: u64,
}

impl MemoryErrors {
    /// Stores or counts `error`.
    pub fn add(&mut self, error: MemoryError) {
        if let Some(&known) = self.index.get(&(error.kind, error.stack)) {
            let count = &mut self.list[known as usize].count;
            *count = count.saturating_add(1);
        } else if self.list.len() < ERRORS_MAX {
            self.index.insert((error.kind, error.stack), self.list.len() as u32);
            self.list.push(error);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}
