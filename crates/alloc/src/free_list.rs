//! Blocks of any size between boundary tags (Knuth: "The Art of Computer Programming", volume 1, 2.5, algorithm C).
//!
//! ```text
//!   part    | next | committed | reserved | block | block | .. | end tag |   not committed .. |
//!
//!   live    | size U P | content ..................................... |
//!   free    | size - P | link | link | ...                  .. | size |
//!             header, 8 bytes                                    footer, in free blocks only
//!             U: used, P: the block before is used, D: its whole pages are discarded
//! ```
//!
//! Invariants:
//!
//! - the blocks of a part follow each other without a gap, from its first to its end tag, which is a used block of size 0;
//! - P of a block is U of the one before it; the first one has it;
//! - no two free blocks are neighbors; exactly the free ones are in the index; a free block's footer is its size;
//! - headers lie 8 below multiples of 16, sizes are multiples of 16, and at least 32;
//! - Σ blocks + 32 · parts = committed.
//!
//! Cost: coalescing is O(1), the search that of the index. A live block costs 8 bytes and is rounded up to 8 below a
//! multiple of 16. A part grows in place, by [`GROWTH`] at a time and only when no free block fits; then its last
//! block counts too, if it is free.
//!
//! Absent on purpose: lists of blocks that wait to be coalesced (they made C libraries' peaks higher), locks.

use crate::heap::{Block, Fault, Heap, SIZE_MAX, Statistics, down, ensure, up};
use crate::indexes::{FLAGS, Index};
use crate::space::{PAGE, Reservation, Space, WORD};

/// Of a header: the block is live, or the end of its part.
const USED: usize = 1;
/// Of a header: the block before is.
const PREVIOUS_USED: usize = 2;
/// Of a free block's header: its whole pages are discarded.
const DISCARDED: usize = 4;

const HEADER: usize = WORD;
/// A header, two links, a footer.
const LEAST: usize = 4 * WORD;
const GRANULE: usize = 16;
/// Words of a part before its first block.
const PART: usize = 3 * WORD;
const NEXT: usize = 0;
const COMMITTED: usize = WORD;
const RESERVED: usize = 2 * WORD;

/// A part grows by multiples of this.
const GROWTH: usize = 64 << 10;
/// Larger heaps grow by this part of what they have; no more than so many bytes are populated at once.
const POPULATED: usize = 128;
const POPULATED_MAX: usize = 1 << 20;

/// What a part reserves.
const PART_WANTED: usize = 1 << 30;

/// Boundary tags over a space, with a policy.
pub struct FreeList<S, I> {
    space: S,
    /// What a new part reserves; 0: there is none but those that are fed.
    wanted: usize,
    index: I,
    first: usize,
    last: usize,
    live: usize,
    blocks: usize,
    parts: usize,
    /// In free blocks.
    free: usize,
    /// In whole pages of free blocks that are not discarded, and that are.
    retained: usize,
    discarded: usize,
    committed: usize,
    reserved: usize,
}

/// The whole pages of a free block that hold none of its words.
#[inline(always)]
fn whole_pages(at: usize, size: usize) -> (usize, usize) {
    let (from, to) = (up(at + LEAST - HEADER, PAGE), down(at + size - HEADER, PAGE));
    (from, to.max(from))
}

impl<S: Space, I: Index> FreeList<S, I> {
    /// An empty heap; nothing is reserved before the first block.
    pub const fn new(space: S, index: I) -> FreeList<S, I> {
        FreeList::with(space, index, PART_WANTED)
    }

    /// An empty heap that has only the addresses that [`FreeList::feed`] gives it.
    pub const fn fed(space: S, index: I) -> FreeList<S, I> {
        FreeList::with(space, index, 0)
    }

    const fn with(space: S, index: I, wanted: usize) -> FreeList<S, I> {
        FreeList {
            space,
            wanted,
            index,
            first: 0,
            last: 0,
            live: 0,
            blocks: 0,
            parts: 0,
            free: 0,
            retained: 0,
            discarded: 0,
            committed: 0,
            reserved: 0,
        }
    }

    /// Bytes of the block with room for `size`.
    #[inline(always)]
    fn rounded(size: usize) -> usize {
        up(size + HEADER, GRANULE).max(LEAST)
    }

    /// Books what a free block holds: `sign` 1 when it becomes one, -1 when it is one no more.
    #[inline(always)]
    fn book(&mut self, at: usize, size: usize, flags: usize, sign: isize) {
        let book = |sum: &mut usize, bytes: usize| *sum = sum.wrapping_add_signed(bytes as isize * sign);
        book(&mut self.free, size);
        if size > PAGE {
            let (from, to) = whole_pages(at, size);
            book(if flags & DISCARDED == 0 { &mut self.retained } else { &mut self.discarded }, to - from);
        }
    }

    /// Makes `[at, at + size)`, between used blocks, a free block.
    #[inline(always)]
    fn add_free(&mut self, at: usize, size: usize, discarded: usize) {
        self.space.store(at, size | PREVIOUS_USED | discarded);
        self.space.store(at + size - WORD, size);
        self.book(at, size, discarded, 1);
        self.index.insert(&self.space, at, size);
    }

    /// Makes a free block a range again that belongs to no list.
    #[inline(always)]
    fn remove_free(&mut self, at: usize, header: usize) {
        self.index.remove(&self.space, at, header & !FLAGS);
        self.book(at, header & !FLAGS, header, -1);
    }

    /// A range for a block of `need` bytes, in no list: its address, its size, and [`DISCARDED`].
    #[inline(always)]
    fn take(&mut self, need: usize) -> Option<(usize, usize, usize)> {
        match self.index.take(&self.space, need) {
            Some(at) => {
                let header = self.space.load(at);
                self.book(at, header & !FLAGS, header, -1);
                Some((at, header & !FLAGS, header & DISCARDED))
            }
            None => self.grow(need),
        }
    }

    /// Commits more: behind the last block if there is room, else in a new part.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, need: usize) -> Option<(usize, usize, usize)> {
        if let Some(range) = self.grow_last(need) {
            return Some(range);
        }
        if self.wanted == 0 {
            return None;
        }
        let least = need + PART + HEADER;
        let Reservation { at, bytes } = self.space.reserve(least, least.max(self.wanted), GRANULE)?;
        if !self.feed(at, down(bytes, GRANULE)) {
            self.space.release(at, bytes);
            return None;
        }
        self.grow_last(need)
    }

    /// Commits more of the last part, so that its last block, if it is free, gets `need` bytes.
    fn grow_last(&mut self, need: usize) -> Option<(usize, usize, usize)> {
        let part = self.last;
        if part == 0 {
            return None;
        }
        let (committed, reserved) = (self.space.load(part + COMMITTED), self.space.load(part + RESERVED));
        let end = part + committed - HEADER;
        let is_free = self.space.load(end) & PREVIOUS_USED == 0;
        let missing = need.saturating_sub(if is_free { self.space.load(end - WORD) } else { 0 });
        if missing > reserved - committed {
            return None;
        }
        let growth = (self.committed / POPULATED).next_power_of_two().clamp(GROWTH, POPULATED_MAX);
        let grown = up(committed + missing, growth).min(reserved);
        let range = self.commit_last(grown)?;
        if grown - committed <= POPULATED_MAX {
            let from = up(part + committed, PAGE);
            self.space.populate(from, down(part + grown, PAGE).saturating_sub(from));
        }
        Some(range)
    }

    /// Commits the last part up to `grown` bytes: a range in no list, of its last block, if that is free, and what is new.
    fn commit_last(&mut self, grown: usize) -> Option<(usize, usize, usize)> {
        let part = self.last;
        let committed = self.space.load(part + COMMITTED);
        let mut at = part + committed - HEADER;
        if !self.space.commit(part + committed, grown - committed) {
            return None;
        }
        if self.space.load(at) & PREVIOUS_USED == 0 {
            at -= self.space.load(at - WORD);
            self.remove_free(at, self.space.load(at));
        }
        self.committed += grown - committed;
        self.space.store(part + COMMITTED, grown);
        let end = part + grown - HEADER;
        self.space.store(end, USED);
        Some((at, end - at, 0))
    }

    /// Gives the heap reserved addresses to grow into, from a multiple of 16 on: a new part, or more of the last one.
    /// False: there is no memory.
    pub fn feed(&mut self, at: usize, bytes: usize) -> bool {
        let last = self.last;
        if last != 0 && at == last + self.space.load(last + RESERVED) {
            self.space.store(last + RESERVED, at + bytes - last);
            self.reserved += bytes;
            return true;
        }
        if !self.space.commit(at, (PART + HEADER).next_multiple_of(PAGE).min(bytes)) {
            return false;
        }
        if last != 0 {
            self.finish_last();
            self.space.store(last + NEXT, at);
        } else {
            self.first = at;
        }
        self.last = at;
        self.parts += 1;
        self.reserved += bytes;
        self.committed += PART + HEADER;
        self.space.store(at + NEXT, 0);
        self.space.store(at + COMMITTED, PART + HEADER);
        self.space.store(at + RESERVED, bytes);
        self.space.store(at + PART, USED | PREVIOUS_USED);
        true
    }

    /// Makes what was never used of the last part a free block, as it will not grow any more.
    fn finish_last(&mut self) {
        let (committed, reserved) =
            (self.space.load(self.last + COMMITTED), self.space.load(self.last + RESERVED));
        if reserved - committed >= LEAST
            && let Some((at, size, _)) = self.commit_last(reserved)
        {
            let is_new = size == reserved - committed;
            self.add_free(at, size, if is_new { DISCARDED } else { 0 });
        }
    }

    /// Makes the range a live block of `need` bytes, and a free one of what is left of it.
    #[inline(always)]
    fn place(&mut self, at: usize, size: usize, need: usize, previous: usize, discarded: usize) {
        let rest = size - need;
        if rest >= LEAST {
            self.space.store(at, need | USED | previous);
            self.add_free(at + need, rest, discarded);
            self.mark_behind(at + size, 0);
        } else {
            self.space.store(at, size | USED | previous);
            self.mark_behind(at + size, PREVIOUS_USED);
        }
    }

    /// Says in a block whether the one before it is used.
    #[inline(always)]
    fn mark_behind(&mut self, at: usize, previous: usize) {
        let header = self.space.load(at);
        self.space.store(at, header & !PREVIOUS_USED | previous);
    }

    /// Makes `[at, at + size)`, which belongs to no list, part of a free block.
    #[inline(always)]
    fn coalesce(&mut self, mut at: usize, mut size: usize, header: usize) {
        let behind = at + size;
        let next = self.space.load(behind);
        if next & USED == 0 {
            self.remove_free(behind, next);
            size += next & !FLAGS;
        } else {
            self.space.store(behind, next & !PREVIOUS_USED);
        }
        if header & PREVIOUS_USED == 0 {
            let before = self.space.load(at - WORD);
            at -= before;
            size += before;
            self.remove_free(at, self.space.load(at));
        }
        self.add_free(at, size, 0);
    }

    /// A block at a multiple of more than a granule: what is before it becomes a free block.
    #[cold]
    fn allocate_aligned(&mut self, need: usize, align: usize) -> Option<usize> {
        let (start, size, discarded) = self.take(need + align + GRANULE)?;
        let mut at = up(start + HEADER, align) - HEADER;
        if at != start && at - start < LEAST {
            at += align;
        }
        let mut previous = PREVIOUS_USED;
        if at != start {
            self.add_free(start, at - start, discarded);
            previous = 0;
        }
        self.place(at, size - (at - start), need, previous, discarded);
        Some(at + HEADER)
    }

    /// Each part: its address, its first block, its end tag.
    fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let there = |part: usize| (part != 0).then_some(part);
        core::iter::successors(there(self.first), move |&part| there(self.space.load(part + NEXT)))
            .map(|part| (part, part + PART, part + self.space.load(part + COMMITTED) - HEADER))
    }
}

impl<S: Space, I: Index> Heap for FreeList<S, I> {
    type Space = S;

    #[inline]
    fn allocate(&mut self, size: usize, align: usize) -> Option<usize> {
        if size > SIZE_MAX || !align.is_power_of_two() || align > SIZE_MAX {
            return None;
        }
        let need = Self::rounded(size);
        let at = if align <= GRANULE {
            let (at, size, discarded) = self.take(need)?;
            self.place(at, size, need, PREVIOUS_USED, discarded);
            at + HEADER
        } else {
            self.allocate_aligned(need, align)?
        };
        self.live += size;
        self.blocks += 1;
        Some(at)
    }

    #[inline]
    fn free(&mut self, at: usize, size: usize) {
        let at = at - HEADER;
        let header = self.space.load(at);
        debug_assert!(header & USED != 0, "a block that is freed is live");
        self.live = self.live.wrapping_sub(size);
        self.blocks = self.blocks.wrapping_sub(1);
        self.coalesce(at, header & !FLAGS, header);
    }

    fn reallocate(&mut self, block: usize, old: usize, new: usize, align: usize) -> Option<usize> {
        if new > SIZE_MAX || !align.is_power_of_two() || align > SIZE_MAX {
            return None;
        }
        if self.resize(block, old, new) {
            return Some(block);
        }
        let moved = self.allocate(new, align)?;
        self.space.copy(block, moved, old.min(new));
        self.free(block, old);
        Some(moved)
    }

    #[inline]
    fn usable_size(&self, at: usize) -> usize {
        (self.space.load(at - HEADER) & !FLAGS) - HEADER
    }

    fn purge(&mut self) -> usize {
        let before = self.retained;
        let mut part = self.first;
        while part != 0 {
            let (mut at, end) = (part + PART, part + self.space.load(part + COMMITTED) - HEADER);
            while at < end {
                let header = self.space.load(at);
                if header & USED == 0 {
                    let bytes = discard(&self.space, at);
                    self.retained -= bytes;
                    self.discarded += bytes;
                }
                at += header & !FLAGS;
            }
            part = self.space.load(part + NEXT);
        }
        before - self.retained
    }

    fn walk(&self, each: &mut dyn FnMut(Block)) {
        for (_, mut at, end) in self.parts() {
            while at < end {
                let header = self.space.load(at);
                if header & USED != 0 {
                    each(Block { at: at + HEADER, usable: (header & !FLAGS) - HEADER });
                }
                at += header & !FLAGS;
            }
        }
    }

    fn statistics(&self) -> Statistics {
        let headers = self.blocks * HEADER + self.parts * (PART + HEADER);
        let mapped = self.committed - self.discarded;
        Statistics {
            live: self.live,
            rounding: (self.committed - self.free).wrapping_sub(headers).wrapping_sub(self.live),
            headers,
            free: self.free - self.retained - self.discarded,
            retained: self.retained,
            mapped,
            reserved: self.reserved,
            blocks: self.blocks,
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let (mut free, mut retained, mut discarded) = (0, 0, 0);
        let (mut free_blocks, mut blocks, mut parts, mut committed) = (0, 0, 0, 0);
        for (part, first, end) in self.parts() {
            parts += 1;
            committed += end + HEADER - part;
            let mut at = first;
            let mut previous = PREVIOUS_USED;
            while at < end {
                let header = self.space.load(at);
                let size = header & !FLAGS;
                ensure(size >= LEAST && size <= end - at, at, "a block ends within its part")?;
                ensure(
                    header & PREVIOUS_USED == previous,
                    at,
                    "a header knows whether the block before is used",
                )?;
                if header & USED == 0 {
                    ensure(previous != 0, at, "no two free blocks are neighbors")?;
                    ensure(
                        self.space.load(at + size - WORD) == size,
                        at,
                        "a free block's footer is its size",
                    )?;
                    let (from, to) = if size > PAGE { whole_pages(at, size) } else { (0, 0) };
                    *(if header & DISCARDED == 0 { &mut retained } else { &mut discarded }) += to - from;
                    free += size;
                    free_blocks += 1;
                } else {
                    blocks += 1;
                }
                previous = (header & USED) * PREVIOUS_USED;
                at += size;
            }
            ensure(at == end, at, "the blocks of a part end at its end tag")?;
            ensure(self.space.load(end) == USED | previous, end, "an end tag is a used block of size 0")?;
        }
        let counted = (free, retained, discarded, blocks, parts, committed);
        let booked = (self.free, self.retained, self.discarded, self.blocks, self.parts, self.committed);
        ensure(counted == booked, self.first, "the books say what a count gives")?;
        ensure(self.index.check(&self.space)? == free_blocks, self.first, "the index has all free blocks")?;
        ensure(self.statistics().add_up(), self.first, "the statistics add up")
    }

    fn space(&self) -> &S {
        &self.space
    }
}

/// Discards the whole pages of a free block that are not yet, and says how many bytes they have.
fn discard<S: Space>(space: &S, at: usize) -> usize {
    let header = space.load(at);
    let (from, to) = whole_pages(at, header & !FLAGS);
    if header & DISCARDED != 0 || header & !FLAGS <= PAGE || from == to {
        return 0;
    }
    space.discard(from, to - from);
    space.store(at, header | DISCARDED);
    to - from
}

impl<S: Space, I: Index> FreeList<S, I> {
    /// As `purge`, of free blocks of at least that many bytes; with an index that finds those.
    pub(crate) fn purge_blocks(&mut self, least: usize) -> usize {
        let mut bytes = 0;
        self.index.large(&self.space, least, &mut |at| bytes += discard(&self.space, at));
        self.retained -= bytes;
        self.discarded += bytes;
        bytes
    }

    /// Makes a live block of `old` bytes one of `new` bytes where it is; false if that cannot be.
    pub fn resize(&mut self, block: usize, old: usize, new: usize) -> bool {
        if new > SIZE_MAX {
            return false;
        }
        let at = block - HEADER;
        let header = self.space.load(at);
        let (size, need) = (header & !FLAGS, Self::rounded(new));
        if need > size {
            let behind = at + size;
            let next = self.space.load(behind);
            let free = if next & USED == 0 { next & !FLAGS } else { 0 };
            if free != 0 && size + free >= need {
                self.remove_free(behind, next);
                self.place(at, size + free, need, header & PREVIOUS_USED, next & DISCARDED);
            } else if self.is_last(behind + free)
                && let Some((_, grown, _)) = self.grow_last(need - size)
            {
                self.place(at, size + grown, need, header & PREVIOUS_USED, 0);
            } else {
                return false;
            }
        } else if size - need >= LEAST {
            self.space.store(at, need | header & FLAGS);
            self.coalesce(at + need, size - need, PREVIOUS_USED);
        }
        self.declare(old, new);
        true
    }

    /// Books that a block is known for `new` bytes from now on, not for `old`.
    pub fn declare(&mut self, old: usize, new: usize) {
        self.live = self.live.wrapping_sub(old).wrapping_add(new);
    }

    /// Whether the end tag of the part that can grow is there.
    fn is_last(&self, at: usize) -> bool {
        self.last != 0 && at == self.last + self.space.load(self.last + COMMITTED) - HEADER
    }
}
