//! What every allocator of this crate can do.
//!
//! Blocks are addresses, that is, numbers: all methods are safe, and what a wrong number does is up to the space (see
//! the constructors of real ones). Invariant, after every call:
//!
//! ```text
//!   live + rounding + headers + free + retained == mapped
//! ```

use crate::space::Space;
use core::fmt;

/// No block is larger.
pub const SIZE_MAX: usize = isize::MAX as usize >> 1;

/// An allocator over a space.
pub trait Heap {
    /// Where its addresses come from.
    type Space: Space;

    /// A block of at least `size` bytes (0 gets a block of its own too) at a multiple of `align`.
    ///
    /// `None` when the space is exhausted, `size` is greater than [`SIZE_MAX`], or `align` is no power of two.
    fn allocate(&mut self, size: usize, align: usize) -> Option<usize>;

    /// Takes a block back. `size` is what was asked for last, by `allocate` or `reallocate`.
    fn free(&mut self, at: usize, size: usize);

    /// Makes a block of `old` bytes one of `new` bytes, at the same address where that is possible, with the content
    /// that both have. `None`: as of `allocate`, and the old block is as it was.
    fn reallocate(&mut self, at: usize, old: usize, new: usize, align: usize) -> Option<usize> {
        let moved = self.allocate(new, align)?;
        self.space().copy(at, moved, old.min(new));
        self.free(at, old);
        Some(moved)
    }

    /// How many bytes a live block has, at least those that were asked for.
    fn usable_size(&self, at: usize) -> usize;

    /// Gives memory back that no live block needs, and says how many bytes.
    fn purge(&mut self) -> usize;

    /// Shows every live block, by ascending address within each reservation.
    fn walk(&self, each: &mut dyn FnMut(Block));

    /// Where the memory is.
    fn statistics(&self) -> Statistics;

    /// Verifies every structure that the allocator keeps, and that the statistics say what a count of them gives.
    fn check(&self) -> Result<(), Fault>;

    /// The space.
    fn space(&self) -> &Self::Space;

    /// Calls that follow are those of thread `number`. Allocators that know no threads ignore it.
    fn enter(&mut self, number: usize) {
        let _ = number;
    }
}

/// A live block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Block {
    /// Its address.
    pub at: usize,
    /// Bytes that its owner can use.
    pub usable: usize,
}

/// Bytes by what they are used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Asked for by the owners of live blocks.
    pub live: usize,
    /// In live blocks beyond what was asked for, and gaps that no block can use.
    pub rounding: usize,
    /// Words of the allocator: headers, descriptors, tables.
    pub headers: usize,
    /// Free, on pages that are also used for something else.
    pub free: usize,
    /// Free whole pages that [`Heap::purge`] would give back.
    pub retained: usize,
    /// Pages in use or retained: the sum of the above.
    pub mapped: usize,
    /// Addresses taken from the space, `mapped` among them.
    pub reserved: usize,
    /// Live blocks.
    pub blocks: usize,
}

impl Statistics {
    /// Whether they add up.
    pub fn add_up(&self) -> bool {
        self.live + self.rounding + self.headers + self.free + self.retained == self.mapped
            && self.mapped <= self.reserved
    }
}

/// What is wrong with an allocator's own structures, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The address of the word or block that is not as it must be.
    pub at: usize,
    /// The invariant that does not hold.
    pub what: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}: {}", self.at, self.what)
    }
}

/// The fault, unless the invariant holds.
pub(crate) fn ensure(holds: bool, at: usize, what: &'static str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault { at, what }) }
}

/// The next multiple of `unit`, a power of two.
#[inline(always)]
pub(crate) const fn up(value: usize, unit: usize) -> usize {
    (value + unit - 1) & !(unit - 1)
}

/// The last multiple of `unit`, a power of two, up to `value`.
#[inline(always)]
pub(crate) const fn down(value: usize, unit: usize) -> usize {
    value & !(unit - 1)
}
