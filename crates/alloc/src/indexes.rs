//! Which free block an allocation gets: the interchangeable part of the free list.
//!
//! | Index | Chooses | Cost |
//! |---|---|---|
//! | [`GoodFit`] | a block of the smallest class that fits, by two levels of bitmaps | O(1) |
//! | [`BestFit`] | the smallest that fits, the lowest address of equal ones | O(log n) expected |
//! | [`FirstFit`] | the lowest address | O(log n) expected |
//! | [`NextFit`] | the lowest address behind the last allocation, around the end | O(log n) expected |
//! | [`WorstFit`] | the greatest | O(log n) expected |
//!
//! Links are kept in the free blocks: two words behind the header.

mod good_fit;
mod tree;

pub use good_fit::GoodFit;
pub use tree::{BestFit, FirstFit, NextFit, WorstFit};

use crate::heap::Fault;
use crate::space::{Space, WORD};

/// The free blocks of a free list.
///
/// Blocks are known by the address of their header, which holds their size (see `free_list`) from before `insert`
/// until after `remove` or `take`.
pub trait Index {
    /// No block.
    fn new() -> Self;

    /// Adds a block.
    fn insert<S: Space>(&mut self, space: &S, at: usize, size: usize);

    /// Takes a block out.
    fn remove<S: Space>(&mut self, space: &S, at: usize, size: usize);

    /// Chooses a block of at least `size` bytes and takes it out.
    fn take<S: Space>(&mut self, space: &S, size: usize) -> Option<usize>;

    /// Shows blocks of at least `least` bytes, if it finds them without looking at the others.
    fn large<S: Space>(&self, space: &S, least: usize, each: &mut dyn FnMut(usize)) {
        let _ = (space, least, each);
    }

    /// Verifies its structure, and says how many blocks it has.
    fn check<S: Space>(&self, space: &S) -> Result<usize, Fault>;
}

/// Low bits of a header that are no part of the size.
pub(crate) const FLAGS: usize = 15;

/// Bytes of the block whose header is at an address.
#[inline(always)]
fn size<S: Space>(space: &S, at: usize) -> usize {
    space.load(at) & !FLAGS
}

/// Where a free block keeps its first link.
const LINK: usize = WORD;
/// And its second.
const OTHER: usize = 2 * WORD;
