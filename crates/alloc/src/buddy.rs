//! Pages in powers of two (Knowlton: "A Fast Storage Allocator", 1965).
//!
//! ```text
//!   order 3   |               0               |               8               |
//!   order 2   |       0       |       4       |  split           |      12    |
//!   order 1                                   |   8    |   10    |
//!
//!   tables | blocks ............ grown | not committed ...... |
//! ```
//!
//! A block of order o is `2^o` units at a multiple of its size; its buddy is found by one exclusive or. For each order
//! a bitmap has the free blocks, so that a free block has no words in its memory, and the one at the lowest address is
//! found at once. Of the orders that have a block, the smallest that is large enough is split.
//!
//! Invariants:
//!
//! - every unit below `grown` is in one block, free or live; `first + Σ free + Σ live = grown`;
//! - no two free buddies, but for those whose parent is not wholly below `grown`;
//! - `orders[unit]` is the order of the live block that begins there, plus 1, else 0;
//! - `touched` has the units that may hold memory: all live ones, and free ones until they are purged.
//!
//! Cost: O(log n) words; two bits and a byte, of tables, a unit. A block is rounded up to a power of two of units: this is
//! an allocator of pages, never of bytes.

use crate::bits::Bits;
use crate::heap::{Block, Fault, Heap, SIZE_MAX, Statistics, down, ensure, up};
use crate::space::{PAGE, Space, WORD};

/// Orders up to 2^31 units.
const ORDERS: usize = 32;
/// What is committed at a time, where no more is needed.
const GROWTH: usize = 2 << 20;

/// Heaps of so many bytes grow by huge pages: what one wastes is a thirty-second then.
pub(crate) const HUGE_FROM: usize = 64 << 20;
/// Units are populated ahead, this part of all units, and so many bytes, at most. So a small heap, in which most
/// classes have one span with few blocks, populates none.
const POPULATED: usize = 256;
const POPULATED_MAX: usize = 1 << 20;

/// The buddy system over a space.
pub struct Buddy<S> {
    space: S,
    capacity: usize,
    unit_log: u32,
    /// Where unit 0 is, or would be: a multiple of the greatest block.
    origin: usize,
    /// Units: the first that is not of the tables; those from which on none is committed, or reserved.
    first: usize,
    grown: usize,
    limit: usize,
    /// Bit o: there is a free block of order o.
    orders: u32,
    free_blocks: [Bits; ORDERS],
    touched: Bits,
    /// Where the table of live blocks' orders begins.
    live_orders: usize,
    tables: usize,
    live: usize,
    blocks: usize,
    /// Units of free blocks, and those of them that are touched.
    free: usize,
    retained: usize,
    reserved: usize,
}

impl<S: Space> Buddy<S> {
    /// An empty heap of up to `capacity` bytes in blocks of `2^unit_log` (a page or more); nothing is reserved before
    /// the first block.
    pub const fn new(space: S, capacity: usize, unit_log: u32) -> Buddy<S> {
        Buddy {
            space,
            capacity,
            unit_log,
            origin: 0,
            first: 0,
            grown: 0,
            limit: 0,
            orders: 0,
            free_blocks: [Bits::NONE; ORDERS],
            touched: Bits::NONE,
            live_orders: 0,
            tables: 0,
            live: 0,
            blocks: 0,
            free: 0,
            retained: 0,
            reserved: 0,
        }
    }

    fn unit(&self) -> usize {
        1 << self.unit_log
    }

    /// Reserves the range and lays out the tables at its begin.
    #[cold]
    fn begin(&mut self) -> Option<()> {
        let unit = self.unit();
        let range = self.space.reserve(4 * unit, self.capacity, unit)?;
        let end = down(range.at + range.bytes, unit);
        let greatest = unit << ((range.bytes >> self.unit_log).max(1).ilog2() as usize).min(ORDERS - 1);
        let origin = down(range.at, greatest);
        let limit = (end - origin) >> self.unit_log;
        let start = up(range.at, WORD);
        let orders = (0..ORDERS).take_while(|&order| limit >> order != 0);
        let sets = || orders.clone().map(|order| (limit >> order) + 1).chain([limit]);
        let mut at = sets().fold(start, |at, limit| Bits::new(limit, 0, at).2);
        let mut summaries = start;
        for (order, limit) in sets().enumerate() {
            let set =
                if order < orders.clone().count() { &mut self.free_blocks[order] } else { &mut self.touched };
            (*set, at, summaries) = Bits::new(limit, at, summaries);
        }
        self.live_orders = at;
        at += up(limit, WORD);
        let first = (up(at, unit) - origin) >> self.unit_log;
        if first >= limit || !self.space.commit(range.at, at - range.at) {
            self.space.release(range.at, range.bytes);
            return None;
        }
        (self.origin, self.first, self.grown, self.limit) = (origin, first, first, limit);
        self.tables = origin + (first << self.unit_log) - range.at;
        self.reserved = range.bytes;
        Some(())
    }

    /// Commits the next units, so that a block of that order is free among them.
    #[cold]
    fn grow(&mut self, order: usize) -> Option<()> {
        if self.limit == 0 {
            self.begin()?;
        }
        let growth = (1usize << order).max(GROWTH >> self.unit_log).max(1);
        // A block of this order needs to begin at a multiple of its size.
        let least = up(self.grown, 1 << order) + (1 << order);
        let target = up(self.grown + 1, growth).max(least).min(self.limit);
        if target < least {
            return None;
        }
        let at = self.address(self.grown);
        if !self.space.commit(at, self.address(target) - at) {
            return None;
        }
        let mut unit = self.grown;
        if (unit - self.first) << self.unit_log >= HUGE_FROM {
            self.space.prefer_huge_pages(at, self.address(target) - at);
        }
        self.grown = target;
        self.free += target - unit;
        while unit < target {
            let order =
                (unit.trailing_zeros() as usize).min((target - unit).ilog2() as usize).min(ORDERS - 1);
            self.join(unit, order);
            unit += 1 << order;
        }
        Some(())
    }

    /// Where the first unit is, and how many bytes there are from there on; reserves them if that has not happened.
    pub(crate) fn range(&mut self) -> Option<(usize, usize)> {
        if self.limit == 0 {
            self.begin()?;
        }
        Some((self.address(self.first), (self.limit - self.first) << self.unit_log))
    }

    /// Addresses of the first unit, and of the end of those that exist.
    pub(crate) fn grown(&self) -> (usize, usize) {
        (self.address(self.first), self.address(self.grown))
    }

    /// Of the tables, the pages that tell of units that exist; they are never more than all.
    fn table_bytes(&self) -> usize {
        let bits = (0..ORDERS).map(|order| self.grown >> order).chain([self.grown]);
        let pages =
            bits.map(|it| it.div_ceil(8)).chain([self.grown]).filter(|&it| it > 0).map(|it| up(it, PAGE));
        pages.sum::<usize>().min(self.tables)
    }

    fn address(&self, unit: usize) -> usize {
        self.origin + (unit << self.unit_log)
    }

    fn unit_of(&self, at: usize) -> usize {
        (at - self.origin) >> self.unit_log
    }

    /// The order plus 1 of the live block that begins at a unit, else 0.
    #[inline]
    fn live_order(&self, unit: usize) -> usize {
        self.space.load(self.live_orders + down(unit, WORD)) >> (unit % WORD * 8) & 0xff
    }

    #[inline]
    fn set_live_order(&mut self, unit: usize, order: usize) {
        let at = self.live_orders + down(unit, WORD);
        let shift = unit % WORD * 8;
        self.space.store(at, self.space.load(at) & !(0xff << shift) | order << shift);
    }

    #[inline]
    fn add_free(&mut self, unit: usize, order: usize) {
        self.free_blocks[order].add(&self.space, unit >> order);
        self.orders |= 1 << order;
    }

    #[inline]
    fn remove_free(&mut self, unit: usize, order: usize) {
        self.free_blocks[order].remove(&self.space, unit >> order);
        if self.free_blocks[order].first(&self.space).is_none() {
            self.orders &= !(1 << order);
        }
    }

    /// Makes units a free block, and one with its buddy as long as that is free.
    #[inline]
    fn join(&mut self, mut unit: usize, mut order: usize) {
        while order + 1 < ORDERS && self.limit >> (order + 1) != 0 {
            let buddy = unit ^ 1 << order;
            if buddy + (1 << order) > self.grown || !self.free_blocks[order].has(&self.space, buddy >> order)
            {
                break;
            }
            self.remove_free(buddy, order);
            unit &= !(1 << order);
            order += 1;
        }
        self.add_free(unit, order);
    }

    /// The order of blocks for such a request.
    #[inline]
    fn order_of(&self, size: usize, align: usize) -> Option<usize> {
        let units = (size.max(1).max(align) + self.unit() - 1) >> self.unit_log;
        let order = units.next_power_of_two().trailing_zeros() as usize;
        (order < ORDERS).then_some(order)
    }

    /// Makes the pages of a unit at once, with those of some units behind it, as these will be taken next.
    fn populate(&mut self, unit: usize) {
        let ahead = ((self.grown - self.first) / POPULATED).min(POPULATED_MAX >> self.unit_log);
        if ahead == 0 {
            return;
        }
        let end = (unit + ahead).min(self.grown);
        let end = (unit..end).find(|&it| self.touched.has(&self.space, it)).unwrap_or(end);
        self.retained += end - unit;
        self.touched.fill(&self.space, unit, end - unit, true);
        self.space.populate(self.address(unit), (end - unit) << self.unit_log);
    }

    /// The lowest free block of the smallest order that is large enough, split.
    #[inline]
    fn take(&mut self, order: usize) -> Option<usize> {
        if self.orders >> order == 0 {
            self.grow(order)?;
        }
        let mut found = order + (self.orders >> order).trailing_zeros() as usize;
        let unit = self.free_blocks[found].first(&self.space)? << found;
        self.remove_free(unit, found);
        while found > order {
            found -= 1;
            self.add_free(unit + (1 << found), found);
        }
        self.free -= 1 << order;
        if order == 0 && !self.touched.has(&self.space, unit) {
            self.populate(unit);
        }
        self.retained -= self.touched.fill(&self.space, unit, 1 << order, true);
        Some(unit)
    }
}

impl<S: Space> Heap for Buddy<S> {
    type Space = S;

    #[inline]
    fn allocate(&mut self, size: usize, align: usize) -> Option<usize> {
        if size > SIZE_MAX || !align.is_power_of_two() || align > SIZE_MAX {
            return None;
        }
        let order = self.order_of(size, align)?;
        let unit = self.take(order)?;
        self.set_live_order(unit, order + 1);
        self.live += size;
        self.blocks += 1;
        Some(self.address(unit))
    }

    #[inline]
    fn free(&mut self, at: usize, size: usize) {
        let unit = self.unit_of(at);
        let order = self.live_order(unit).wrapping_sub(1);
        debug_assert!(order < ORDERS, "a block that is freed is live");
        self.set_live_order(unit, 0);
        self.live = self.live.wrapping_sub(size);
        self.blocks = self.blocks.wrapping_sub(1);
        self.free += 1 << order;
        self.retained += 1 << order;
        self.join(unit, order);
    }

    fn reallocate(&mut self, at: usize, old: usize, new: usize, align: usize) -> Option<usize> {
        if new > SIZE_MAX || !align.is_power_of_two() || align > SIZE_MAX {
            return None;
        }
        let unit = self.unit_of(at);
        let (mut order, wanted) = (self.live_order(unit) - 1, self.order_of(new, align)?);
        // Upper halves are given back, or taken in where they are free.
        while order > wanted {
            order -= 1;
            self.set_live_order(unit, order + 1);
            self.free += 1 << order;
            self.retained += 1 << order;
            self.join(unit + (1 << order), order);
        }
        let grows = (order..wanted).all(|it| unit >> it & 1 == 0 && self.is_free(unit + (1 << it), it));
        if !grows {
            let moved = self.allocate(new, align)?;
            self.space.copy(at, moved, old.min(new));
            self.free(at, old);
            return Some(moved);
        }
        for it in order..wanted {
            let half = unit + (1 << it);
            self.remove_free(half, it);
            self.free -= 1 << it;
            self.retained -= self.touched.fill(&self.space, half, 1 << it, true);
        }
        self.set_live_order(unit, wanted + 1);
        self.live = self.live.wrapping_sub(old).wrapping_add(new);
        Some(at)
    }

    fn usable_size(&self, at: usize) -> usize {
        self.unit() << (self.live_order(self.unit_of(at)) - 1)
    }

    fn purge(&mut self) -> usize {
        self.purge_blocks(0)
    }

    fn walk(&self, each: &mut dyn FnMut(Block)) {
        let mut unit = self.first;
        while unit < self.grown {
            match self.live_order(unit) {
                0 => unit += 1,
                order => {
                    each(Block { at: self.address(unit), usable: self.unit() << (order - 1) });
                    unit += 1 << (order - 1);
                }
            }
        }
    }

    fn statistics(&self) -> Statistics {
        let used = (self.grown - self.first - self.free) << self.unit_log;
        let retained = self.retained << self.unit_log;
        Statistics {
            live: self.live,
            rounding: used.wrapping_sub(self.live),
            headers: self.table_bytes(),
            free: 0,
            retained,
            mapped: self.table_bytes() + used + retained,
            reserved: self.reserved,
            blocks: self.blocks,
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let (mut unit, mut free, mut retained, mut blocks) = (self.first, 0, 0, 0);
        while unit < self.grown {
            let at = self.address(unit);
            let order = match self.live_order(unit) {
                0 => {
                    let order =
                        (0..ORDERS).find(|&order| unit % (1 << order) == 0 && self.is_free(unit, order));
                    let order = order.ok_or(Fault { at, what: "a unit is in a live or a free block" })?;
                    let buddy = unit ^ 1 << order;
                    let alone = buddy < self.first || !self.is_free(buddy, order);
                    ensure(alone, at, "no two buddies are free")?;
                    free += 1 << order;
                    retained +=
                        (unit..unit + (1 << order)).filter(|&it| self.touched.has(&self.space, it)).count();
                    order
                }
                order => {
                    let touched = |it| self.touched.has(&self.space, it);
                    ensure((unit..unit + (1 << (order - 1))).all(touched), at, "live units are touched")?;
                    blocks += 1;
                    order - 1
                }
            };
            ensure(unit % (1 << order) == 0, at, "a block is at a multiple of its size")?;
            unit += 1 << order;
        }
        ensure(unit == self.grown, self.address(unit), "blocks end where the heap has grown to")?;
        for order in 0..ORDERS {
            let has = self.next_free(order, 0).is_some();
            ensure(
                has == (self.orders >> order & 1 != 0),
                order,
                "an order's bit says whether it has a block",
            )?;
        }
        let counted = (free, retained, blocks);
        ensure(counted == (self.free, self.retained, self.blocks), 0, "the books say what a count gives")?;
        ensure(self.statistics().add_up(), 0, "the statistics add up")
    }

    fn space(&self) -> &S {
        &self.space
    }
}

impl<S: Space> Buddy<S> {
    /// Discards free blocks of at least that many bytes, and says how many bytes that gave back.
    pub(crate) fn purge_blocks(&mut self, least: usize) -> usize {
        let before = self.retained;
        let unit = self.unit();
        for order in (0..ORDERS).filter(|order| unit << order >= least) {
            let mut index = 0;
            while let Some(found) = self.next_free(order, index) {
                let (unit, units) = (found << order, 1 << order);
                let touched = self.touched.fill(&self.space, unit, units, false);
                if touched > 0 {
                    self.space.discard(self.address(unit), units << self.unit_log);
                    self.retained -= touched;
                }
                index = found + 1;
            }
        }
        (before - self.retained) << self.unit_log
    }

    /// Whether these units are a free block.
    fn is_free(&self, unit: usize, order: usize) -> bool {
        order < ORDERS
            && self.limit >> order != 0
            && unit + (1 << order) <= self.grown
            && self.free_blocks[order].has(&self.space, unit >> order)
    }

    /// The index of a free block of that order, from one on.
    fn next_free(&self, order: usize, from: usize) -> Option<usize> {
        let limit = if self.limit >> order == 0 { 0 } else { self.grown >> order };
        self.free_blocks[order].next(&self.space, from, limit)
    }
}
