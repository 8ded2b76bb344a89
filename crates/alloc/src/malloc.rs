//! A general allocator, made of the others.
//!
//! ```text
//!   up to 1 KiB      slab: the thread's own spans        no lock
//!   up to 512 KiB    free list, good fit                 in chunks of the buddy system
//!   above            mappings of their own               resized by moving pages, not bytes
//!
//!   buddy:  | span | span | cache | span |      chunk of 2 MiB      | span | ..
//! ```
//!
//! An address says by itself whose it is: it lies in the buddy system's range, where its unit's descriptor names the
//! owner, or it is a mapping's, whose words are before it.
//!
//! ```text
//!   mapping   | .. | next | previous | begin | bytes | content ...
//! ```
//!
//! Invariants: those of the parts; mappings are in one list. Cost: that of the parts; a mapping costs system calls and a page fault
//! for each page.
//!
//! What is free and retained is given back by decay: once in a second at most, in blocks of 64 KiB and more.
//!
//! Absent on purpose: bins of freed blocks that are not coalesced, and chunks of the free list that go back to the buddy
//! system: their pages do, by [`Heap::purge`].

use crate::buddy::HUGE_FROM;
use crate::classes::{SPAN, class_for};
use crate::free_list::FreeList;
use crate::heap::{Block, Fault, Heap, SIZE_MAX, Statistics, ensure, up};
use crate::indexes::Index;
use crate::slab::{Depot, Threads};
use crate::space::{PAGE, Space, WORD};
use crate::spans::{DESCRIPTOR, Freed, MIDDLE, OWNER};

/// Greater blocks are mappings of their own.
pub const MIDDLE_MAX: usize = 512 << 10;
/// What the free list gets at a time.
const CHUNK: usize = 2 << 20;
/// Decay is thought of when so many bytes were freed, and that long after the last time.
const DECAY_FREED: usize = 4 << 20;
const DECAY_MILLISECONDS: u64 = 1000;
/// Smaller free blocks are not given back by decay.
const PURGED_LEAST: usize = 64 << 10;

/// Addresses that the buddy system reserves.
const CAPACITY: usize = if cfg!(miri) { 8 << 20 } else { 256 << 30 };

/// Words before a mapping's content.
const HEADER: usize = 4 * WORD;
const NEXT: usize = HEADER;
const PREVIOUS: usize = 3 * WORD;
const BEGIN: usize = 2 * WORD;
const BYTES: usize = WORD;
/// Where content begins, if nothing else is asked for.
const OFFSET: usize = 64;

/// The parts; a thread comes with its cache.
pub struct Parts<S, I> {
    pub depot: Depot<S>,
    pub middle: FreeList<S, I>,
    chunks: usize,
    mappings: usize,
    mapping_count: usize,
    mapping_bytes: usize,
    mapping_live: usize,
    /// Freed since decay was thought of.
    freed: usize,
    /// When memory was given back last, in milliseconds.
    decayed: u64,
}

impl<S: Space + Copy, I: Index> Parts<S, I> {
    pub const fn new(space: S, index: I) -> Parts<S, I> {
        Parts {
            depot: Depot::new(space, CAPACITY),
            middle: FreeList::fed(space, index),
            chunks: 0,
            mappings: 0,
            mapping_count: 0,
            mapping_bytes: 0,
            mapping_live: 0,
            freed: 0,
            decayed: 0,
        }
    }

    fn space(&self) -> &S {
        self.depot.space()
    }

    /// A block that is not small. Needs no cache.
    pub fn allocate_large(&mut self, size: usize, align: usize) -> Option<usize> {
        if size > SIZE_MAX || !align.is_power_of_two() || align > SIZE_MAX {
            return None;
        }
        if size.max(align) <= MIDDLE_MAX
            && let Some(at) = self.middle.allocate(size, align).or_else(|| self.allocate_fed(size, align))
        {
            return Some(at);
        }
        self.map(size, align)
    }

    /// A block of the free list, from a new chunk.
    #[cold]
    fn allocate_fed(&mut self, size: usize, align: usize) -> Option<usize> {
        let chunk = self.depot.allocate_pages(CHUNK, CHUNK, MIDDLE)?;
        let first = self.depot.layout.descriptor(chunk);
        for unit in 0..CHUNK / SPAN {
            self.space().store(first + unit * DESCRIPTOR + OWNER, MIDDLE);
        }
        self.chunks += 1;
        self.middle.feed(chunk, CHUNK).then(|| self.middle.allocate(size, align))?
    }

    #[cold]
    fn map(&mut self, size: usize, align: usize) -> Option<usize> {
        let offset = OFFSET.max(align);
        let bytes = up(size + offset, PAGE);
        let begin = self.space().reserve(bytes, bytes, align.max(PAGE))?.at;
        if !self.space().commit(begin, bytes) {
            self.space().release(begin, bytes);
            return None;
        }
        self.mapping_live += size;
        self.link(begin + offset, begin, bytes);
        Some(begin + offset)
    }

    fn link(&mut self, at: usize, begin: usize, bytes: usize) {
        let next = self.mappings;
        let space = self.space();
        space.store(at - NEXT, next);
        space.store(at - PREVIOUS, 0);
        space.store(at - BEGIN, begin);
        space.store(at - BYTES, bytes);
        if next != 0 {
            space.store(next - PREVIOUS, at);
        }
        self.mappings = at;
        self.mapping_count += 1;
        self.mapping_bytes += bytes;
    }

    /// Takes a mapping out of the list: where it begins, how many bytes it has.
    fn unlink(&mut self, at: usize) -> (usize, usize) {
        let space = *self.space();
        let (next, previous) = (space.load(at - NEXT), space.load(at - PREVIOUS));
        if next != 0 {
            space.store(next - PREVIOUS, previous);
        }
        match previous {
            0 => self.mappings = next,
            _ => space.store(previous - NEXT, next),
        }
        let (begin, bytes) = (space.load(at - BEGIN), space.load(at - BYTES));
        self.mapping_count -= 1;
        self.mapping_bytes -= bytes;
        (begin, bytes)
    }

    /// Whether the address lies in the buddy system's range, and so in a chunk, if it is no small block.
    #[inline]
    pub fn is_middle(&self, at: usize) -> bool {
        at.wrapping_sub(self.depot.layout.origin) < self.depot.layout.bytes
    }

    /// Takes a block back that is not small; `size` as of [`Heap::free`].
    pub fn free_large(&mut self, at: usize, size: usize) {
        if self.is_middle(at) {
            return self.middle.free(at, size);
        }
        let (begin, bytes) = self.unlink(at);
        self.mapping_live = self.mapping_live.wrapping_sub(size);
        self.space().release(begin, bytes);
    }

    /// Resizes a block that is not small without copying it, if that is possible: its address then.
    pub fn resize_large(&mut self, at: usize, old: usize, new: usize, align: usize) -> Option<usize> {
        if new > SIZE_MAX || align > PAGE {
            return None;
        }
        if self.is_middle(at) {
            return self.middle.resize(at, old, new).then_some(at);
        }
        if new <= MIDDLE_MAX / 2 {
            return None;
        }
        let (begin, bytes) = self.unlink(at);
        let offset = at - begin;
        let wanted = up(new + offset, PAGE);
        let moved = match wanted == bytes {
            true => Some(begin),
            false => self.space().resize(begin, bytes, wanted),
        };
        self.link(
            moved.unwrap_or(begin) + offset,
            moved.unwrap_or(begin),
            if moved.is_some() { wanted } else { bytes },
        );
        let moved = moved?;
        self.mapping_live = self.mapping_live.wrapping_sub(old).wrapping_add(new);
        Some(moved + offset)
    }

    /// Bytes of a block that is not small.
    pub fn usable_large(&self, at: usize) -> usize {
        if self.is_middle(at) {
            return self.middle.usable_size(at);
        }
        self.space().load(at - BEGIN) + self.space().load(at - BYTES) - at
    }

    /// Books that a block that is not small is known for `new` bytes from now on, not for `old`.
    #[cfg_attr(not(all(feature = "threads", not(miri))), allow(dead_code))]
    pub fn declare_large(&mut self, at: usize, old: usize, new: usize) {
        if self.is_middle(at) {
            return self.middle.declare(old, new);
        }
        self.mapping_live = self.mapping_live.wrapping_sub(old).wrapping_add(new);
    }

    /// As `free_large`, of a block that is known for all its usable bytes.
    #[cfg_attr(not(all(feature = "threads", not(miri))), allow(dead_code))]
    pub fn free_any(&mut self, at: usize) {
        self.free_large(at, self.usable_large(at));
    }

    /// As `resize_large`, of such a block, which is one then as well; and the bytes it had.
    #[cfg_attr(not(all(feature = "threads", not(miri))), allow(dead_code))]
    pub fn resize_any(&mut self, at: usize, size: usize, align: usize) -> (usize, Option<usize>) {
        let usable = self.usable_large(at);
        let resized = self.resize_large(at, usable, size, align);
        if let Some(at) = resized {
            self.declare_large(at, size, self.usable_large(at));
        }
        (usable, resized)
    }

    /// Books what was freed, and gives memory back once in a second, if more than a quarter of what is mapped is retained.
    /// `now` is asked for the time in milliseconds once in a while.
    #[cfg_attr(not(all(feature = "threads", not(miri))), allow(dead_code))]
    pub fn decay(&mut self, bytes: usize, now: impl FnOnce() -> u64) {
        self.freed += bytes;
        if self.freed < DECAY_FREED {
            return;
        }
        self.freed = 0;
        let (pages, middle) = (self.depot.pages.statistics(), self.middle.statistics());
        let retained = pages.retained + middle.retained;
        if retained < DECAY_FREED || retained < pages.mapped / 4 {
            return;
        }
        let now = now();
        if now.wrapping_sub(self.decayed) < DECAY_MILLISECONDS {
            return;
        }
        self.decayed = now;
        // Where there are huge pages, those that are less than half free stay whole.
        let least = if pages.mapped < HUGE_FROM { PURGED_LEAST } else { CHUNK / 2 };
        self.depot.pages.purge_blocks(least);
        self.middle.purge_blocks(least);
    }

    /// Gives back what no live block needs, but for the caches of threads at work.
    #[cfg_attr(not(all(feature = "threads", not(miri))), allow(dead_code))]
    pub fn purge(&mut self) -> usize {
        self.depot.purge(false) + self.middle.purge()
    }

    /// Where the memory is, with `live` bytes asked for in small blocks, or all that these have.
    pub fn statistics(&self, live: Option<usize>) -> Statistics {
        let mut it = self.depot.statistics(live);
        let middle = self.middle.statistics();
        let chunks = self.chunks * CHUNK;
        let headers = self.mapping_count * HEADER;
        it.live = it.live - chunks + middle.live + self.mapping_live;
        it.rounding += middle.rounding + (self.mapping_bytes - headers).wrapping_sub(self.mapping_live);
        it.headers += middle.headers + headers;
        it.free += middle.free;
        it.retained += middle.retained;
        it.mapped = it.mapped - chunks + middle.mapped + self.mapping_bytes;
        it.reserved += self.mapping_bytes;
        it.blocks = it.blocks - self.chunks + middle.blocks + self.mapping_count;
        it
    }

    pub fn walk(&self, each: &mut dyn FnMut(Block)) {
        self.depot.walk(each);
        self.middle.walk(each);
        let mut at = self.mappings;
        while at != 0 {
            each(Block { at, usable: self.usable_large(at) });
            at = self.space().load(at - NEXT);
        }
    }

    pub fn check(&self) -> Result<(), Fault> {
        self.depot.check()?;
        self.middle.check()?;
        let (mut at, mut previous, mut count, mut bytes) = (self.mappings, 0, 0, 0);
        while at != 0 {
            ensure(self.space().load(at - PREVIOUS) == previous, at, "a mapping knows the one before it")?;
            count += 1;
            bytes += self.space().load(at - BYTES);
            (previous, at) = (at, self.space().load(at - NEXT));
        }
        ensure(
            (count, bytes) == (self.mapping_count, self.mapping_bytes),
            0,
            "the books say what a count gives",
        )
    }
}

/// The general allocator over a space, for any number of threads that take turns.
pub struct Malloc<S, I> {
    parts: Parts<S, I>,
    threads: Threads,
    live: usize,
}

impl<S: Space + Copy, I: Index> Malloc<S, I> {
    /// An empty heap; nothing is reserved before the first block.
    pub const fn new(space: S, index: I) -> Malloc<S, I> {
        Malloc { parts: Parts::new(space, index), threads: Threads::new(), live: 0 }
    }

    /// Says that the thread that `enter` named last has ended.
    pub fn leave(&mut self) {
        self.threads.leave(&mut self.parts.depot);
    }
}

impl<S: Space + Copy, I: Index> Heap for Malloc<S, I> {
    type Space = S;

    #[inline]
    fn allocate(&mut self, size: usize, align: usize) -> Option<usize> {
        if !align.is_power_of_two() {
            return None;
        }
        let Some(class) = class_for(size, align) else { return self.parts.allocate_large(size, align) };
        let cache = self.threads.cache(&mut self.parts.depot)?;
        let at = self.parts.depot.allocate_small(cache, class)?;
        self.live += size;
        Some(at)
    }

    #[inline]
    fn free(&mut self, at: usize, size: usize) {
        let Some(cache) = self.threads.cache(&mut self.parts.depot) else {
            return self.parts.free_large(at, size);
        };
        match self.parts.depot.cache(cache).free(at) {
            Freed::NotSmall => return self.parts.free_large(at, size),
            Freed::Visit => self.parts.depot.visit(cache, 1),
            Freed::Done => {}
        }
        self.live = self.live.wrapping_sub(size);
    }

    fn reallocate(&mut self, at: usize, old: usize, new: usize, align: usize) -> Option<usize> {
        if new > SIZE_MAX || !align.is_power_of_two() || align > SIZE_MAX {
            return None;
        }
        match self.parts.depot.small_size(at) {
            // Until half of the block is unused it stays.
            Some(usable) if new <= usable && new > usable / 2 => {
                self.live = self.live.wrapping_sub(old).wrapping_add(new);
                return Some(at);
            }
            Some(_) => {}
            None => {
                if let Some(at) = self.parts.resize_large(at, old, new, align) {
                    return Some(at);
                }
            }
        }
        let moved = self.allocate(new, align)?;
        self.space().copy(at, moved, old.min(new));
        self.free(at, old);
        Some(moved)
    }

    fn usable_size(&self, at: usize) -> usize {
        self.parts.depot.small_size(at).unwrap_or_else(|| self.parts.usable_large(at))
    }

    fn purge(&mut self) -> usize {
        self.parts.depot.purge(true) + self.parts.middle.purge()
    }

    fn walk(&self, each: &mut dyn FnMut(Block)) {
        self.parts.walk(each);
    }

    fn statistics(&self) -> Statistics {
        self.threads.add_to(self.parts.statistics(Some(self.live)))
    }

    fn check(&self) -> Result<(), Fault> {
        self.parts.check()?;
        ensure(self.statistics().add_up(), 0, "the statistics add up")
    }

    fn space(&self) -> &S {
        self.parts.space()
    }

    fn enter(&mut self, number: usize) {
        self.threads.enter(number, &mut self.parts.depot);
    }
}

#[cfg(all(test, feature = "virtual"))]
mod tests {
    use super::*;
    use crate::{GoodFit, Virtual};

    #[test]
    fn memory_is_given_back_once_in_a_second() {
        let space = Virtual::new();
        let mut parts = Parts::new(&space, GoodFit::new());
        let peak = |parts: &mut Parts<_, GoodFit>| {
            let blocks: Vec<usize> =
                (0..400).map(|_| parts.allocate_large(100_000, 16).expect("addresses")).collect();
            let mapped = parts.statistics(None).mapped;
            blocks.iter().for_each(|&it| parts.free_large(it, 100_000));
            mapped
        };
        let mapped = peak(&mut parts);
        assert!(mapped > 40_000_000);
        parts.decay(DECAY_FREED - 1, || unreachable!("too little was freed to ask"));
        parts.decay(1, || 5000);
        let after = parts.statistics(None);
        assert!(after.add_up() && after.mapped < mapped / 20, "{after:?}");
        assert!(peak(&mut parts) > 40_000_000);
        parts.decay(DECAY_FREED, || 5999);
        assert!(parts.statistics(None).mapped > 40_000_000, "not before a second has passed");
        parts.decay(DECAY_FREED, || 6000);
        assert!(parts.statistics(None).mapped < mapped / 20);
        parts.check().unwrap();
    }
}
