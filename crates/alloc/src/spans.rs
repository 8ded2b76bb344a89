//! What a thread does with its spans without asking anyone: the fast half of the slab allocator (`slab` is the other).
//!
//! ```text
//!   cache, one for each thread                       descriptor, one for each span
//!     ready[class]    blocks to hand out next          free      blocks given back, linked through their first word
//!     current[class]  the span they are from           used      blocks that are not in `free` and not uncarved
//!     partial[class]  spans with free blocks           carved    blocks that were ever handed out
//!     full[class]     spans without                    start     the first block
//!     empty           spans that are all free          owner     the cache it belongs to
//!     outgoing        a magazine for one other cache   next, previous, class and state
//!     inbox           blocks freed by other threads
//! ```
//!
//! Caches and descriptors are words in the space, so that a thread is known by its cache's address. Only the owner
//! changes a span and its descriptor; others put its blocks into the owner's inbox, up to [`MAGAZINE`] at a time.
//!
//! Invariants, for each span:
//!
//! ```text
//!   used + |free| == carved <= capacity
//!   used == live + |ready|  + |blocks in outgoing and inboxes|     (ready: only of the current span)
//!   state is current: it is its owner's `current`; partial: free or uncarved blocks; full: none; empty: used == 0
//! ```
//!
//! Cost: a block is two loads and a store to get, two loads and two stores to give back; whatever else happens does so
//! once in many blocks, and is O(1) for each of them. Blocks are carved by pages, so that what was never used is not touched.
//! Spans whose class leaves some room begin at different multiples of 64, so that their first blocks do not share a set of the processor's cache.

use crate::classes::{CLASSES, SIZES, SPAN};
use crate::heap::down;
use crate::space::{PAGE, Space, WORD};

/// Bytes of a descriptor.
pub const DESCRIPTOR: usize = 8 * WORD;
const FREE: usize = 0;
const USED: usize = WORD;
const CARVED: usize = 2 * WORD;
const START: usize = 3 * WORD;
/// Who a unit of pages belongs to: see the constants below.
pub const OWNER: usize = 4 * WORD;
const NEXT: usize = 5 * WORD;
const PREVIOUS: usize = 6 * WORD;
const CLASS: usize = 7 * WORD;

/// Owner of a unit that is no span: nobody.
pub const NOBODY: usize = 0;
/// A chunk of the free list.
pub const MIDDLE: usize = 1;
/// The first of a block of pages.
pub const PAGES: usize = 2;
/// Words of the allocator.
pub const OWN: usize = 3;

const READY: usize = 0;
const CURRENT: usize = CLASSES * WORD;
const PARTIAL: usize = 2 * CLASSES * WORD;
const FULL: usize = 3 * CLASSES * WORD;
const EMPTY: usize = 4 * CLASSES * WORD;
/// How many spans are in `empty`.
const EMPTY_COUNT: usize = EMPTY + WORD;
const OUT_OWNER: usize = EMPTY + 2 * WORD;
const OUT_FIRST: usize = EMPTY + 3 * WORD;
const OUT_LAST: usize = EMPTY + 4 * WORD;
const OUT_COUNT: usize = EMPTY + 5 * WORD;
/// Blocks whose span belongs to no thread, or changed hands on the way.
pub const STRAY: usize = EMPTY + 6 * WORD;
/// Where units begin, and their descriptors.
const ORIGIN: usize = EMPTY + 8 * WORD;
const TABLE: usize = EMPTY + 9 * WORD;
const BYTES: usize = EMPTY + 10 * WORD;
/// The next of all caches, and of those without a thread.
pub const NEXT_CACHE: usize = EMPTY + 11 * WORD;
pub const NEXT_IDLE: usize = EMPTY + 12 * WORD;
/// On a cache line of its own, as other threads write it.
const INBOX: usize = EMPTY + 16 * WORD;
/// Bytes of a cache.
pub const CACHE: usize = INBOX + 8 * WORD;

/// Blocks that are sent to another thread at once.
const MAGAZINE: usize = 32;
/// Empty spans that a thread keeps.
const EMPTY_KEPT: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
enum State {
    Current,
    Partial,
    Full,
    Empty,
}

const STATES: [State; 4] = [State::Current, State::Partial, State::Full, State::Empty];

/// The ranges that caches know: where units begin, how many bytes they have, where their descriptors are.
#[derive(Clone, Copy)]
pub struct Layout {
    pub origin: usize,
    pub bytes: usize,
    pub table: usize,
}

impl Layout {
    /// The descriptor of the unit that an address lies in.
    #[inline(always)]
    pub fn descriptor(&self, at: usize) -> usize {
        self.table + (at - self.origin) / SPAN * DESCRIPTOR
    }

    /// Bytes of the small block at an address, if it is one.
    #[inline]
    pub fn small_size<S: Space>(&self, space: &S, at: usize) -> Option<usize> {
        if at.wrapping_sub(self.origin) >= self.bytes {
            return None;
        }
        let span = self.descriptor(at);
        (space.load(span + OWNER) > OWN).then(|| SIZES[space.load(span + CLASS) % CLASSES])
    }

    /// The first address of a descriptor's unit.
    #[inline(always)]
    pub fn unit(&self, descriptor: usize) -> usize {
        self.origin + (descriptor - self.table) / DESCRIPTOR * SPAN
    }
}

/// What became of a block that was freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freed {
    /// All is done.
    Done,
    /// It is, but the cache has something for the depot.
    Visit,
    /// It is no small block.
    NotSmall,
}

/// Of a class, how many blocks a span has.
#[inline(always)]
pub fn capacity(class: usize) -> usize {
    SPAN / SIZES[class]
}

/// A cache, at an address of a space.
pub struct Cache<'a, S> {
    pub space: &'a S,
    pub at: usize,
}

impl<S> Clone for Cache<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Cache<'_, S> {}

impl<S: Space> Cache<'_, S> {
    #[inline(always)]
    fn get(self, field: usize) -> usize {
        self.space.load(self.at + field)
    }

    #[inline(always)]
    fn set(self, field: usize, word: usize) {
        self.space.store(self.at + field, word);
    }

    /// Begins with words that are 0.
    pub fn begin(self, layout: Layout) {
        self.set(ORIGIN, layout.origin);
        self.set(BYTES, layout.bytes);
        self.set(TABLE, layout.table);
    }

    #[inline(always)]
    pub fn layout(self) -> Layout {
        Layout { origin: self.get(ORIGIN), bytes: self.get(BYTES), table: self.get(TABLE) }
    }

    /// The descriptor for an address, if it lies in a unit.
    #[inline(always)]
    pub fn descriptor(self, at: usize) -> Option<usize> {
        let layout = self.layout();
        (at.wrapping_sub(layout.origin) < layout.bytes).then(|| layout.descriptor(at))
    }

    /// A block of the class that is ready.
    #[inline(always)]
    pub fn take_ready(self, class: usize) -> Option<usize> {
        let ready = READY + class * WORD;
        let at = self.get(ready);
        if at == 0 {
            return None;
        }
        self.set(ready, self.space.load(at));
        Some(at)
    }

    /// A block of the class. `None`: the cache needs a span.
    #[inline]
    pub fn allocate(self, class: usize) -> Option<usize> {
        self.take_ready(class).or_else(|| self.refill(class))
    }

    /// Takes a block back if that is nobody's business but its span's; says whether it has.
    #[inline(always)]
    pub fn try_free(self, at: usize) -> bool {
        let Some(span) = self.descriptor(at) else { return false };
        if self.space.load(span + OWNER) != self.at {
            return false;
        }
        let next = self.space.load(span + FREE);
        let used = self.space.load(span + USED) - 1;
        if next == 0 || used == 0 {
            return false;
        }
        self.space.store(at, next);
        self.space.store(span + FREE, at);
        self.space.store(span + USED, used);
        true
    }

    /// Takes a block back.
    #[inline]
    pub fn free(self, at: usize) -> Freed {
        if self.try_free(at) { Freed::Done } else { self.free_slowly(at) }
    }

    #[cold]
    fn free_slowly(self, at: usize) -> Freed {
        let Some(span) = self.descriptor(at) else { return Freed::NotSmall };
        match self.space.load(span + OWNER) {
            owner if owner == self.at => self.free_own(span, at),
            owner => self.send(owner, at),
        }
    }

    fn free_own(self, span: usize, at: usize) -> Freed {
        let next = self.space.load(span + FREE);
        let used = self.space.load(span + USED) - 1;
        self.space.store(at, next);
        self.space.store(span + FREE, at);
        self.space.store(span + USED, used);
        if next == 0 || used == 0 { self.settle(span, used) } else { Freed::Done }
    }

    #[inline(always)]
    fn class(self, span: usize) -> usize {
        self.space.load(span + CLASS) % CLASSES
    }

    fn state(self, span: usize) -> State {
        STATES[self.space.load(span + CLASS) / CLASSES % STATES.len()]
    }

    fn set_state(self, span: usize, class: usize, state: State) {
        self.space.store(span + CLASS, class + CLASSES * state as usize);
    }

    fn list(class: usize, state: State) -> usize {
        match state {
            State::Partial => PARTIAL + class * WORD,
            State::Full => FULL + class * WORD,
            State::Current | State::Empty => EMPTY,
        }
    }

    /// Lists are linked both ways; the first one's previous is the last.
    fn link(self, span: usize, class: usize, state: State) {
        let list = Self::list(class, state);
        let first = self.get(list);
        let last = if first == 0 { span } else { self.space.load(first + PREVIOUS) };
        self.space.store(span + PREVIOUS, last);
        if first != 0 {
            self.space.store(first + PREVIOUS, span);
        }
        // Partial spans wait in turn, so that blocks come back to them meanwhile and many are ready at once; of empty ones
        // the last is taken, as its memory was used last.
        if first != 0 && state == State::Partial {
            self.space.store(span + NEXT, 0);
            self.space.store(last + NEXT, span);
        } else {
            self.space.store(span + NEXT, first);
            self.set(list, span);
        }
        self.set_state(span, class, state);
    }

    fn unlink(self, span: usize) {
        let list = Self::list(self.class(span), self.state(span));
        let (next, previous) = (self.space.load(span + NEXT), self.space.load(span + PREVIOUS));
        let first = self.get(list);
        if span == first {
            self.set(list, next);
        } else {
            self.space.store(previous + NEXT, next);
        }
        let behind = if next == 0 { first } else { next };
        self.space.store(behind + PREVIOUS, previous);
    }

    /// Puts a span where it belongs whose free list got its first block, or which has no used one any more.
    #[cold]
    #[inline(never)]
    fn settle(self, span: usize, used: usize) -> Freed {
        let (class, state) = (self.class(span), self.state(span));
        match state {
            State::Current | State::Empty => return Freed::Done,
            _ if used == 0 => {
                self.unlink(span);
                self.keep_empty(span);
            }
            State::Full => {
                self.unlink(span);
                self.link(span, class, State::Partial);
            }
            State::Partial => {}
        }
        if self.get(EMPTY_COUNT) > EMPTY_KEPT { Freed::Visit } else { Freed::Done }
    }

    fn keep_empty(self, span: usize) {
        self.link(span, 0, State::Empty);
        self.set(EMPTY_COUNT, self.get(EMPTY_COUNT) + 1);
    }

    /// An empty span, if there are more than `kept`.
    pub fn take_empty(self, kept: usize) -> Option<usize> {
        let (span, count) = (self.get(EMPTY), self.get(EMPTY_COUNT));
        if count <= kept || span == 0 {
            return None;
        }
        self.unlink(span);
        self.set(EMPTY_COUNT, count - 1);
        Some(span)
    }

    /// Makes a unit a span of the class, and the current one.
    pub fn add_span(self, span: usize, class: usize) {
        let start = self.layout().unit(span);
        let slack = SPAN - capacity(class) * SIZES[class];
        let color = start / SPAN * 64 % (slack + 1);
        self.space.store(span + FREE, 0);
        self.space.store(span + USED, 0);
        self.space.store(span + CARVED, 0);
        self.space.store(span + START, start + down(color, 16));
        self.space.store(span + OWNER, self.at);
        self.make_current(span, class);
    }

    fn make_current(self, span: usize, class: usize) {
        self.set(CURRENT + class * WORD, span);
        self.set_state(span, class, State::Current);
    }

    /// Takes over a span that has free blocks and is in no list.
    pub fn adopt(self, span: usize) {
        self.space.store(span + OWNER, self.at);
        self.make_current(span, self.class(span));
    }

    /// A block of the class when none is ready.
    #[cold]
    #[inline(never)]
    fn refill(self, class: usize) -> Option<usize> {
        self.flush();
        loop {
            let span = self.get(CURRENT + class * WORD);
            if span != 0 {
                let at = self.blocks_of(span, class);
                if at != 0 {
                    self.set(READY + class * WORD, self.space.load(at));
                    return Some(at);
                }
            }
            if self.receive() {
                continue;
            }
            if span != 0 {
                self.link(span, class, State::Full);
                self.set(CURRENT + class * WORD, 0);
            }
            let partial = self.get(PARTIAL + class * WORD);
            if partial != 0 {
                self.unlink(partial);
                self.make_current(partial, class);
            } else {
                let span = self.take_empty(0)?;
                self.add_span(span, class);
            }
        }
    }

    /// All free blocks of a span, or those of its next page, as a list that is in use from now on; 0 for none.
    fn blocks_of(self, span: usize, class: usize) -> usize {
        let free = self.space.load(span + FREE);
        let carved = self.space.load(span + CARVED);
        if free != 0 {
            self.space.store(span + FREE, 0);
            self.space.store(span + USED, carved);
            return free;
        }
        let size = SIZES[class];
        let count = (PAGE / size).min(capacity(class) - carved);
        if count == 0 {
            return 0;
        }
        let first = self.space.load(span + START) + carved * size;
        let last = first + (count - 1) * size;
        let mut at = first;
        while at < last {
            self.space.store(at, at + size);
            at += size;
        }
        self.space.store(last, 0);
        self.space.store(span + CARVED, carved + count);
        self.space.store(span + USED, carved + count);
        first
    }

    /// Frees a block of another cache's span.
    #[cold]
    #[inline(never)]
    fn send(self, owner: usize, at: usize) -> Freed {
        if owner <= OWN {
            return Freed::NotSmall;
        }
        if owner != self.get(OUT_OWNER) || self.get(OUT_COUNT) == MAGAZINE {
            self.flush();
            self.set(OUT_OWNER, owner);
            self.set(OUT_LAST, at);
        }
        self.space.store(at, self.get(OUT_FIRST));
        self.set(OUT_FIRST, at);
        self.set(OUT_COUNT, self.get(OUT_COUNT) + 1);
        Freed::Done
    }

    /// Puts the outgoing magazine into its owner's inbox.
    pub fn flush(self) {
        let (first, last) = (self.get(OUT_FIRST), self.get(OUT_LAST));
        if first == 0 {
            return;
        }
        let inbox = self.get(OUT_OWNER) + INBOX;
        loop {
            let before = self.space.load(inbox);
            self.space.store(last, before);
            if self.space.exchange_if(inbox, before, first) {
                break;
            }
        }
        self.set(OUT_OWNER, 0);
        self.set(OUT_FIRST, 0);
        self.set(OUT_COUNT, 0);
    }

    /// Frees what is in the inbox; says whether there was something.
    pub fn receive(self) -> bool {
        if self.get(INBOX) == 0 {
            return false;
        }
        let mut at = self.space.exchange(self.at + INBOX, 0);
        while at != 0 {
            let next = self.space.load(at);
            let span = self.layout().descriptor(at);
            if self.space.load(span + OWNER) == self.at {
                self.free_own(span, at);
            } else {
                self.space.store(at, self.get(STRAY));
                self.set(STRAY, at);
            }
            at = next;
        }
        true
    }

    /// A stray block.
    pub fn take_stray(self) -> Option<usize> {
        let at = self.get(STRAY);
        if at == 0 {
            return None;
        }
        self.set(STRAY, self.space.load(at));
        Some(at)
    }

    /// Gives ready blocks back to their spans, so that no block is between two states and no span is current.
    pub fn put_back(self) {
        for class in 0..CLASSES {
            let span = self.get(CURRENT + class * WORD);
            if span == 0 {
                continue;
            }
            let mut at = self.get(READY + class * WORD);
            while at != 0 {
                let next = self.space.load(at);
                self.free_own(span, at);
                at = next;
            }
            self.set(READY + class * WORD, 0);
            self.set(CURRENT + class * WORD, 0);
            if self.space.load(span + USED) == 0 {
                self.keep_empty(span);
            } else if self.has_room(span, class) {
                self.link(span, class, State::Partial);
            } else {
                self.link(span, class, State::Full);
            }
        }
    }

    fn has_room(self, span: usize, class: usize) -> bool {
        self.space.load(span + FREE) != 0 || self.space.load(span + CARVED) < capacity(class)
    }

    /// Gives all spans to another cache; `put_back` was called before.
    pub fn hand_over(self, heir: Self) {
        for class in 0..CLASSES {
            for state in [State::Partial, State::Full] {
                loop {
                    let span = self.get(Self::list(class, state));
                    if span == 0 {
                        break;
                    }
                    self.unlink(span);
                    self.space.store(span + OWNER, heir.at);
                    heir.link(span, class, state);
                }
            }
        }
    }

    /// Takes a span with free blocks of the class out of its list.
    pub fn take_partial(self, class: usize) -> Option<usize> {
        let span = self.get(PARTIAL + class * WORD);
        if span == 0 {
            return None;
        }
        self.unlink(span);
        Some(span)
    }

    /// Each block between two states: in the magazine that goes out, in the inbox, and the strays.
    pub fn in_transit(self, each: &mut dyn FnMut(usize)) {
        for list in [OUT_FIRST, INBOX, STRAY] {
            let mut at = self.get(list);
            while at != 0 {
                each(at);
                at = self.space.load(at);
            }
        }
    }

    /// Each block of a span that is not handed out, of those that were carved and are not in transit.
    pub fn not_handed_out(self, span: usize, each: &mut dyn FnMut(usize)) {
        let is_current = self.state(span) == State::Current;
        let ready = if is_current { self.get(READY + self.class(span) * WORD) } else { 0 };
        for first in [self.space.load(span + FREE), ready] {
            let mut at = first;
            while at != 0 {
                each(at);
                at = self.space.load(at);
            }
        }
    }

    /// What a span is.
    pub fn span(self, span: usize) -> Span {
        let class = self.class(span);
        Span {
            class,
            start: self.space.load(span + START),
            carved: self.space.load(span + CARVED),
            used: self.space.load(span + USED),
            is_empty: self.state(span) == State::Empty,
            has_room: self.has_room(span, class),
            is_full: self.state(span) == State::Full,
        }
    }
}

/// A span, as a walk sees it.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub class: usize,
    pub start: usize,
    pub carved: usize,
    pub used: usize,
    pub is_empty: bool,
    pub has_room: bool,
    pub is_full: bool,
}
