//! Two levels of bitmaps over lists of blocks of similar size (Masmano, Ripoll, Crespo, Real: "TLSF: a New Dynamic
//! Memory Allocator for Real-Time Systems", 2004).
//!
//! ```text
//!   rows      bit r: some list of row r has a block
//!   lists[r]  bit l: list l of row r has a block      row 0: 16, 32, .. 496 bytes, one size each
//!   heads     first block of each list                row r: 2^(r+8) and more, 32 lists of equal width
//!                |
//!              block <-> block <-> block
//! ```
//!
//! Invariants: a bit is set exactly if its list has a block; a block of size s is in list `list_of(s)`.
//!
//! Every block of a list above the one of a size is large enough for it; in its own list some are. The first
//! [`LOOKS`] blocks there are looked at before that, as the greater list wastes a thirty-second of its blocks' size or
//! more. All operations are O(1).

use super::{Index, LINK, OTHER, size};
use crate::heap::{Fault, ensure};
use crate::space::Space;

const ROWS: usize = 40;
const LISTS: usize = 32;
/// Sizes below have lists of their own.
const EXACT: usize = 16 * LISTS;
/// Blocks that are looked at in a list where not all fit.
const LOOKS: usize = 8;

/// Good fit in constant time.
pub struct GoodFit {
    rows: u64,
    lists: [u32; ROWS],
    heads: [usize; ROWS * LISTS],
}

/// The list of blocks of a size.
#[inline(always)]
fn list_of(size: usize) -> usize {
    if size < EXACT {
        return size / 16;
    }
    let log = size.ilog2() as usize;
    (log - 8) * LISTS + (size >> (log - 5)) % LISTS
}

impl GoodFit {
    /// No block.
    pub const fn new() -> GoodFit {
        GoodFit { rows: 0, lists: [0; ROWS], heads: [0; ROWS * LISTS] }
    }

    /// The first list with a block, from the given one on.
    #[inline(always)]
    fn occupied(&self, from: usize) -> Option<usize> {
        let (row, list) = (from / LISTS, from % LISTS);
        let here = self.lists.get(row)? & (!0 << list);
        if here != 0 {
            return Some(row * LISTS + here.trailing_zeros() as usize);
        }
        let rows = self.rows & (!1 << row);
        if rows == 0 {
            return None;
        }
        let row = rows.trailing_zeros() as usize;
        Some(row * LISTS + self.lists[row].trailing_zeros() as usize)
    }

    #[inline(always)]
    fn unlink<S: Space>(&mut self, space: &S, at: usize, list: usize) {
        let (next, previous) = (space.load(at + LINK), space.load(at + OTHER));
        if next != 0 {
            space.store(next + OTHER, previous);
        }
        if previous != 0 {
            space.store(previous + LINK, next);
            return;
        }
        self.heads[list] = next;
        if next == 0 {
            let row = list / LISTS;
            self.lists[row] &= !(1 << (list % LISTS));
            if self.lists[row] == 0 {
                self.rows &= !(1 << row);
            }
        }
    }
}

impl Default for GoodFit {
    fn default() -> GoodFit {
        GoodFit::new()
    }
}

impl Index for GoodFit {
    fn new() -> GoodFit {
        GoodFit::new()
    }

    #[inline(always)]
    fn insert<S: Space>(&mut self, space: &S, at: usize, size: usize) {
        let list = list_of(size);
        let next = self.heads[list];
        space.store(at + LINK, next);
        space.store(at + OTHER, 0);
        self.heads[list] = at;
        if next != 0 {
            space.store(next + OTHER, at);
        } else {
            self.lists[list / LISTS] |= 1 << (list % LISTS);
            self.rows |= 1 << (list / LISTS);
        }
    }

    #[inline(always)]
    fn remove<S: Space>(&mut self, space: &S, at: usize, size: usize) {
        self.unlink(space, at, list_of(size));
    }

    #[inline(always)]
    fn take<S: Space>(&mut self, space: &S, wanted: usize) -> Option<usize> {
        let own = list_of(wanted);
        let mut at = *self.heads.get(own)?;
        for _ in 0..LOOKS {
            if at == 0 {
                break;
            }
            if size(space, at) >= wanted {
                self.unlink(space, at, own);
                return Some(at);
            }
            at = space.load(at + LINK);
        }
        let list = self.occupied(own + 1)?;
        let at = self.heads[list];
        self.unlink(space, at, list);
        Some(at)
    }

    fn large<S: Space>(&self, space: &S, least: usize, each: &mut dyn FnMut(usize)) {
        let mut from = list_of(least) + 1;
        while let Some(list) = self.occupied(from) {
            let mut at = self.heads[list];
            while at != 0 {
                each(at);
                at = space.load(at + LINK);
            }
            from = list + 1;
        }
    }

    fn check<S: Space>(&self, space: &S) -> Result<usize, Fault> {
        let mut count = 0;
        for (list, &head) in self.heads.iter().enumerate() {
            let (row, bit) = (list / LISTS, 1 << (list % LISTS));
            ensure(
                (self.lists[row] & bit != 0) == (head != 0),
                head,
                "a list's bit says whether it has a block",
            )?;
            let mut previous = 0;
            let mut at = head;
            while at != 0 {
                ensure(list_of(size(space, at)) == list, at, "a free block is in the list of its size")?;
                ensure(space.load(at + OTHER) == previous, at, "a free block knows the one before it")?;
                (previous, at) = (at, space.load(at + LINK));
                count += 1;
            }
        }
        for (row, &lists) in self.lists.iter().enumerate() {
            ensure(
                (self.rows >> row & 1 != 0) == (lists != 0),
                row,
                "a row's bit says whether it has a list",
            )?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_a_greater_list_fits() {
        let sizes = (2..4096).map(|it| it * 16).chain((5..48).map(|it| 1 << it));
        for size in sizes {
            let list = list_of(size);
            assert!(list < ROWS * LISTS, "{size}");
            assert!(list_of(size + 16) >= list);
            let mut next = size;
            while list_of(next) == list {
                next += (1 << next.ilog2().saturating_sub(5)).max(16);
            }
            assert!(next > size && (size < EXACT || next - size <= size / 16), "{size} {next}");
        }
        assert_eq!(list_of(EXACT - 16), LISTS - 1);
        assert_eq!(list_of(EXACT), LISTS);
    }
}
