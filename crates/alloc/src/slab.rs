//! Small blocks in spans of one size class (Bonwick: "The Slab Allocator", 1994; Bonwick, Adams: "Magazines and Vmem",
//! 2001; Leijen, Zorn, de Moura: "Mimalloc: Free List Sharding in Action", 2019).
//!
//! ```text
//!   caches   one for each thread: spans with free blocks by class (see `spans`)
//!      |  ^
//!      |  | spans, one at a time; empty ones come back
//!      v  |
//!   depot    spans of ended threads, caches without a thread
//!      |
//!   buddy    units of 16 KiB, and blocks that are not small
//! ```
//!
//! Invariants: each unit of the buddy system is a span of one cache, or of the orphans' cache, or holds caches, or
//! begins a block of pages, as its descriptor's owner says; each cache is a thread's or idle. Those of a span: see `spans`.
//!
//! Cost: O(1); a descriptor of 64 bytes for 16 KiB, and a cache of 1.2 KiB for each thread. Only what is said in
//! this file needs exclusive access; once a span is a thread's, the thread is alone with it.
//!
//! Absent on purpose: choosing the fullest span first. It needed 1.5 % more memory on a recorded program, not less.

use crate::buddy::Buddy;
use crate::classes::{SIZES, SMALL_MAX, SPAN, class_for};
use crate::heap::{Block, Fault, Heap, SIZE_MAX, Statistics, down, ensure, up};
use crate::space::{PAGE, Space, WORD};
use crate::spans::{
    CACHE, Cache, DESCRIPTOR, Freed, Layout, NEXT_CACHE, NEXT_IDLE, NOBODY, OWN, OWNER, PAGES, Span, capacity,
};

/// Where spans come from and go to.
pub struct Depot<S> {
    pub pages: Buddy<S>,
    pub layout: Layout,
    /// All caches, and those without a thread, linked.
    caches: usize,
    idle: usize,
    /// The cache of spans whose thread has ended.
    orphans: usize,
    /// Where the next cache is made, and where the unit ends.
    next: usize,
    end: usize,
    own_units: usize,
}

impl<S: Space> Depot<S> {
    pub const fn new(space: S, capacity: usize) -> Depot<S> {
        Depot {
            pages: Buddy::new(space, capacity, SPAN.trailing_zeros()),
            layout: Layout { origin: 0, bytes: 0, table: 0 },
            caches: 0,
            idle: 0,
            orphans: 0,
            next: 0,
            end: 0,
            own_units: 0,
        }
    }

    fn begin(&mut self) -> Option<()> {
        let (origin, bytes) = self.pages.range()?;
        let table_bytes = up(bytes / SPAN * DESCRIPTOR, PAGE);
        let table = self.space().reserve(table_bytes, table_bytes, DESCRIPTOR)?.at;
        if !self.space().commit(table, table_bytes) {
            self.space().release(table, table_bytes);
            return None;
        }
        self.layout = Layout { origin, bytes, table };
        match self.make_cache() {
            Some(at) => self.orphans = at,
            None => {
                self.layout.bytes = 0;
                self.space().release(table, table_bytes);
                return None;
            }
        }
        Some(())
    }

    pub fn space(&self) -> &S {
        self.pages.space()
    }

    pub fn cache(&self, at: usize) -> Cache<'_, S> {
        Cache { space: self.space(), at }
    }

    /// Bytes of the small block at an address, if it is one.
    #[inline]
    pub fn small_size(&self, at: usize) -> Option<usize> {
        self.layout.small_size(self.space(), at)
    }

    fn owner(&self, descriptor: usize) -> usize {
        self.space().load(descriptor + OWNER)
    }

    /// A block of pages for `owner`.
    pub fn allocate_pages(&mut self, size: usize, align: usize, owner: usize) -> Option<usize> {
        if self.layout.bytes == 0 {
            self.begin()?;
        }
        let at = self.pages.allocate(size, align)?;
        self.space().store(self.layout.descriptor(at) + OWNER, owner);
        Some(at)
    }

    pub fn free_pages(&mut self, at: usize, size: usize) {
        self.space().store(self.layout.descriptor(at) + OWNER, NOBODY);
        self.pages.free(at, size);
    }

    fn make_cache(&mut self) -> Option<usize> {
        if self.end - self.next < CACHE {
            let unit = self.allocate_pages(SPAN, SPAN, OWN)?;
            let mut at = unit;
            while at < unit + SPAN {
                self.space().store(at, 0);
                at += WORD;
            }
            (self.next, self.end) = (unit, unit + SPAN);
            self.own_units += 1;
        }
        let at = self.next;
        self.next += CACHE;
        self.space().store(at + NEXT_CACHE, self.caches);
        self.caches = at;
        self.cache(at).begin(self.layout);
        Some(at)
    }

    /// A cache for a thread.
    pub fn take_cache(&mut self) -> Option<usize> {
        if self.layout.bytes == 0 {
            self.begin()?;
        }
        match self.idle {
            0 => self.make_cache(),
            at => {
                self.idle = self.space().load(at + NEXT_IDLE);
                Some(at)
            }
        }
    }

    /// The cache of those who have none; for whoever has the depot alone.
    #[cfg_attr(not(all(feature = "threads", not(miri))), allow(dead_code))]
    pub fn orphans(&mut self) -> Option<usize> {
        if self.layout.bytes == 0 {
            self.begin()?;
        }
        Some(self.orphans)
    }

    /// Frees a small block for a thread without a cache; false: it is none.
    #[cfg_attr(not(all(feature = "threads", not(miri))), allow(dead_code))]
    pub fn free_orphan(&mut self, block: usize) -> bool {
        let Some(orphans) = self.orphans() else { return false };
        if self.cache(orphans).free(block) == Freed::NotSmall {
            return false;
        }
        self.cache(orphans).flush();
        self.visit(orphans, 0);
        true
    }

    /// Takes the cache of a thread that ends: its spans become orphans.
    pub fn retire(&mut self, at: usize) {
        self.cache(at).flush();
        self.cache(at).receive();
        self.cache(at).put_back();
        self.visit(at, 0);
        self.cache(at).hand_over(self.cache(self.orphans));
        self.space().store(at + NEXT_IDLE, self.idle);
        self.idle = at;
    }

    /// Takes what a cache has for the depot: strays, and empty spans but for `kept`.
    pub fn visit(&mut self, at: usize, kept: usize) {
        self.sort_strays(at);
        while let Some(span) = self.cache(at).take_empty(kept) {
            self.free_pages(self.layout.unit(span), SPAN);
        }
    }

    /// Frees strays whose span is still an orphan, and sends the others on.
    fn sort_strays(&mut self, at: usize) {
        while let Some(block) = self.cache(at).take_stray() {
            let owner = self.owner(self.layout.descriptor(block));
            if owner == at || owner == self.orphans {
                self.cache(owner).free(block);
            } else {
                self.cache(at).free(block);
                self.cache(at).flush();
            }
        }
        while let Some(span) = self.cache(self.orphans).take_empty(0) {
            self.free_pages(self.layout.unit(span), SPAN);
        }
    }

    /// What idle and ended threads' caches were sent meanwhile.
    fn collect_idle(&mut self) {
        let mut at = self.idle;
        while at != 0 {
            self.cache(at).receive();
            self.visit(at, 0);
            at = self.space().load(at + NEXT_IDLE);
        }
        let orphans = self.orphans;
        if orphans != 0 {
            self.cache(orphans).receive();
            self.visit(orphans, 0);
        }
    }

    /// Gives a cache a span of the class with free blocks: an orphan's, or a new one.
    pub fn add_span(&mut self, at: usize, class: usize) -> Option<()> {
        self.visit(at, 1);
        self.cache(self.orphans).receive();
        if let Some(span) = self.cache(self.orphans).take_partial(class) {
            self.cache(at).adopt(span);
            return Some(());
        }
        let unit = self.pages.allocate(SPAN, SPAN)?;
        self.cache(at).add_span(self.layout.descriptor(unit), class);
        Some(())
    }

    /// A small block, with a span if one is needed.
    #[inline]
    pub fn allocate_small(&mut self, at: usize, class: usize) -> Option<usize> {
        match self.cache(at).allocate(class) {
            Some(block) => Some(block),
            None => {
                self.add_span(at, class)?;
                self.cache(at).allocate(class)
            }
        }
    }

    /// Gives back what no live block needs, of all caches where no other thread can be at work in one.
    pub fn purge(&mut self, is_alone: bool) -> usize {
        let before = self.mapped();
        self.collect_idle();
        let mut at = if is_alone { self.caches } else { 0 };
        while at != 0 {
            self.cache(at).flush();
            at = self.space().load(at + NEXT_CACHE);
        }
        at = if is_alone { self.caches } else { 0 };
        while at != 0 {
            self.cache(at).receive();
            self.visit(at, 0);
            at = self.space().load(at + NEXT_CACHE);
        }
        self.pages.purge();
        before - self.mapped()
    }

    /// Shows all descriptors of units that exist: address of the unit, descriptor, owner.
    fn units(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (first, end) = if self.orphans == 0 { (0, 0) } else { self.pages.grown() };
        (first..end).step_by(SPAN).map(|unit| {
            let descriptor = self.layout.descriptor(unit);
            (unit, descriptor, self.owner(descriptor))
        })
    }

    fn all_caches(&self) -> impl Iterator<Item = Cache<'_, S>> {
        let there = |at: usize| (at != 0).then_some(at);
        core::iter::successors(there(self.caches), move |at| there(self.space().load(at + NEXT_CACHE)))
            .map(|at| self.cache(at))
    }

    /// Whole pages of a span that were never touched.
    fn untouched(unit: usize, span: &Span) -> usize {
        unit + SPAN - up(span.start + span.carved * SIZES[span.class], PAGE).clamp(unit, unit + SPAN)
    }

    fn table_bytes(&self) -> usize {
        let (first, end) = self.pages.grown();
        if end == first {
            0
        } else {
            up(self.layout.descriptor(end) - down(self.layout.descriptor(first), PAGE), PAGE)
        }
    }

    fn mapped(&self) -> usize {
        let spans = self.units().filter(|it| it.2 > OWN);
        let untouched = spans.map(|(unit, span, owner)| Self::untouched(unit, &self.cache(owner).span(span)));
        self.pages.statistics().mapped + self.table_bytes() - untouched.sum::<usize>()
    }

    /// Where the memory is, with `live` bytes asked for in small blocks, or all that these have.
    pub fn statistics(&self, live: Option<usize>) -> Statistics {
        let mut it = self.pages.statistics();
        it.reserved += up(self.layout.bytes / SPAN * DESCRIPTOR, PAGE);
        let (mut used, mut spans, mut room, mut blocks, mut empty, mut untouched) = (0, 0, 0, 0, 0, 0);
        for (unit, descriptor, owner) in self.units().filter(|it| it.2 > OWN) {
            let cache = self.cache(owner);
            let span = cache.span(descriptor);
            let mut ready = 0;
            cache.not_handed_out(descriptor, &mut |_| ready += 1);
            let handed_out = span.carved - ready;
            let idle = Self::untouched(unit, &span);
            spans += 1;
            untouched += idle;
            if span.is_empty {
                empty += SPAN - idle;
                continue;
            }
            used += handed_out * SIZES[span.class];
            blocks += handed_out;
            room += SPAN - idle - capacity_bytes(unit, &span, idle);
        }
        for cache in self.all_caches() {
            cache.in_transit(&mut |at| {
                let span = self.layout.descriptor(at);
                used -= SIZES[self.cache(self.owner(span)).span(span).class];
                blocks -= 1;
            });
        }
        let live = live.unwrap_or(used);
        let own = self.own_units * SPAN;
        it.live = it.live - spans * SPAN - own + live;
        it.headers += own + self.table_bytes();
        it.rounding += (used - live) + room;
        it.free = spans * SPAN - untouched - empty - used - room;
        it.retained += empty;
        it.mapped += self.table_bytes();
        it.mapped -= untouched;
        it.blocks = it.blocks - spans - self.own_units + blocks;
        it
    }

    /// Shows all live blocks but those of owners that are not this allocator's.
    pub fn walk(&self, each: &mut dyn FnMut(Block)) {
        for (unit, descriptor, owner) in self.units() {
            if owner == PAGES {
                each(Block { at: unit, usable: self.pages.usable_size(unit) });
            } else if owner > OWN {
                self.walk_span(descriptor, owner, each);
            }
        }
    }

    fn walk_span(&self, descriptor: usize, owner: usize, each: &mut dyn FnMut(Block)) {
        let cache = self.cache(owner);
        let span = cache.span(descriptor);
        if span.is_empty {
            return;
        }
        let size = SIZES[span.class];
        let mut free = [0u64; SPAN / 16 / 64];
        let mut mark = |at: usize| {
            let index = at.wrapping_sub(span.start) / size;
            if index < span.carved {
                free[index / 64] |= 1 << (index % 64);
            }
        };
        cache.not_handed_out(descriptor, &mut mark);
        self.all_caches().for_each(|it| it.in_transit(&mut mark));
        for index in (0..span.carved).filter(|index| free[index / 64] >> (index % 64) & 1 == 0) {
            each(Block { at: span.start + index * size, usable: size });
        }
    }

    /// Verifies all descriptors and the buddy system.
    pub fn check(&self) -> Result<(), Fault> {
        self.pages.check()?;
        for (unit, descriptor, owner) in self.units().filter(|it| it.2 > OWN) {
            let cache = self.cache(owner);
            let span = cache.span(descriptor);
            ensure(self.all_caches().any(|it| it.at == owner), unit, "a span belongs to a cache")?;
            let size = SIZES[span.class];
            let mut outside = 0;
            let mut count = 0;
            cache.not_handed_out(descriptor, &mut |at| {
                count += 1;
                let offset = at.wrapping_sub(span.start);
                if !span.is_empty && (offset % size != 0 || offset / size >= span.carved) {
                    outside = at;
                }
            });
            ensure(outside == 0, outside, "a span's free blocks are blocks of it")?;
            ensure(
                span.used <= span.carved && count + span.used >= span.carved,
                unit,
                "used + free = carved",
            )?;
            ensure(!span.is_empty || span.used == 0, unit, "no block of an empty span is used")?;
            ensure(!span.is_full || !span.has_room, unit, "a full span has no room")?;
            ensure(
                span.start + capacity(span.class) * size <= unit + SPAN || span.is_empty,
                unit,
                "a span is a unit",
            )?;
        }
        Ok(())
    }
}

/// Bytes of a span that blocks can use, of those that are not `untouched`.
fn capacity_bytes(unit: usize, span: &Span, untouched: usize) -> usize {
    let end = span.start + capacity(span.class) * SIZES[span.class];
    end.min(unit + SPAN - untouched) - span.start
}

/// The slab allocator over a space, for any number of threads that take turns.
pub struct Slab<S> {
    depot: Depot<S>,
    threads: Threads,
    live: usize,
}

impl<S: Space> Slab<S> {
    /// An empty heap of up to `capacity` bytes; nothing is reserved before the first block.
    pub const fn new(space: S, capacity: usize) -> Slab<S> {
        Slab { depot: Depot::new(space, capacity), threads: Threads::new(), live: 0 }
    }

    /// Says that the thread that `enter` named last has ended.
    pub fn leave(&mut self) {
        self.threads.leave(&mut self.depot);
    }
}

impl<S: Space> Heap for Slab<S> {
    type Space = S;

    fn allocate(&mut self, size: usize, align: usize) -> Option<usize> {
        if size > SIZE_MAX || !align.is_power_of_two() || align > SIZE_MAX {
            return None;
        }
        let cache = self.threads.cache(&mut self.depot)?;
        match class_for(size, align) {
            Some(class) => {
                let at = self.depot.allocate_small(cache, class)?;
                self.live += size;
                Some(at)
            }
            None => self.depot.allocate_pages(size, align, PAGES),
        }
    }

    fn free(&mut self, at: usize, size: usize) {
        let Some(cache) = self.threads.cache(&mut self.depot) else { return };
        match self.depot.cache(cache).free(at) {
            Freed::NotSmall => return self.depot.free_pages(at, size),
            Freed::Visit => self.depot.visit(cache, 1),
            Freed::Done => {}
        }
        self.live = self.live.wrapping_sub(size);
    }

    fn reallocate(&mut self, at: usize, old: usize, new: usize, align: usize) -> Option<usize> {
        if new > SIZE_MAX || !align.is_power_of_two() || align > SIZE_MAX {
            return None;
        }
        match self.depot.small_size(at) {
            // Until half of the block is unused it stays.
            Some(usable) if new <= usable && new > usable / 2 => {
                self.live = self.live.wrapping_sub(old).wrapping_add(new);
                return Some(at);
            }
            None if new > SMALL_MAX && new <= self.depot.pages.usable_size(at) => {
                let kept = self.depot.pages.reallocate(at, old, new, align)?;
                debug_assert_eq!(kept, at);
                return Some(at);
            }
            _ => {}
        }
        let moved = self.allocate(new, align)?;
        self.space().copy(at, moved, old.min(new));
        self.free(at, old);
        Some(moved)
    }

    fn usable_size(&self, at: usize) -> usize {
        self.depot.small_size(at).unwrap_or_else(|| self.depot.pages.usable_size(at))
    }

    fn purge(&mut self) -> usize {
        self.depot.purge(true)
    }

    fn walk(&self, each: &mut dyn FnMut(Block)) {
        self.depot.walk(each);
    }

    fn statistics(&self) -> Statistics {
        self.threads.add_to(self.depot.statistics(Some(self.live)))
    }

    fn check(&self) -> Result<(), Fault> {
        self.depot.check()?;
        ensure(self.statistics().add_up(), 0, "the statistics add up")
    }

    fn space(&self) -> &S {
        self.depot.space()
    }

    fn enter(&mut self, number: usize) {
        self.threads.enter(number, &mut self.depot);
    }
}

/// The caches of threads that take turns, by their numbers.
pub struct Threads {
    current: usize,
    number: usize,
    /// A table of caches, reserved when a second thread is named.
    table: usize,
}

/// Threads of numbers beyond share caches.
const THREADS: usize = 1 << 16;

impl Threads {
    pub const fn new() -> Threads {
        Threads { current: 0, number: 0, table: 0 }
    }

    /// The current thread's cache.
    #[inline(always)]
    pub fn cache<S: Space>(&mut self, depot: &mut Depot<S>) -> Option<usize> {
        if self.current == 0 {
            self.current = depot.take_cache()?;
        }
        Some(self.current)
    }

    pub fn enter<S: Space>(&mut self, number: usize, depot: &mut Depot<S>) {
        if number == self.number {
            return;
        }
        let bytes = THREADS * WORD;
        if self.table == 0 {
            let Some(range) = depot.space().reserve(bytes, bytes, WORD) else { return };
            if !depot.space().commit(range.at, bytes) {
                return depot.space().release(range.at, bytes);
            }
            self.table = range.at;
        }
        depot.space().store(self.table + self.number % THREADS * WORD, self.current);
        self.current = depot.space().load(self.table + number % THREADS * WORD);
        self.number = number;
    }

    pub fn leave<S: Space>(&mut self, depot: &mut Depot<S>) {
        if self.current != 0 {
            depot.retire(core::mem::take(&mut self.current));
        }
    }

    /// Adds the table of caches, of which no more than a page is touched as a rule.
    pub fn add_to(&self, mut statistics: Statistics) -> Statistics {
        if self.table != 0 {
            statistics.reserved += THREADS * WORD;
            statistics.mapped += PAGE;
            statistics.headers += PAGE;
        }
        statistics
    }
}
