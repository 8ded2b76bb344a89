//! Trial deletion in slices.
//!
//! ```text
//!  handle dropped, others left --> suspects --(bytes of suspects)--> round
//!
//!  batch:  Count: what suspects reach gets a slot; each reference from within is counted in the target's slot
//!          Scan:  count of handles > references from within  =>  live, and all it reaches
//!          Judge: the rest is garbage - in one go; if the program ran since Count began, the rest is counted again
//! ```
//!
//! After Bacon and Rajan 2001; counts from within lie in slots beside the nodes, so that the program may run, clone
//! and drop between slices. Between slices handles may also be *moved*, which nothing tells. So what a batch found
//! over several slices is only a guess, and is proved before anything is dropped:
//!
//! ```text
//! for all nodes n of the rest:  count(n) == references to n from the rest, all counted in one go
//!   =>  no handle to the rest is anywhere else  =>  nobody can reach it, now or ever
//! ```
//!
//! What live nodes take is cut into slices; what is garbage is proved and dropped in one go: a slice costs at most
//! its budget + the garbage of one batch, and a batch takes no more suspects once it has `slice_nodes` nodes. One
//! garbage cycle of a million nodes is one long slice.
//!
//! A value that is dropped with its cycle may still use its neighbors: those not yet dropped are whole, those dropped
//! are DEAD and panic. Values are dropped while the collector is marked as running, so nothing begins within.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::chunks::Chunks;
use super::node::{
    ACYCLIC, CONDEMNED, COUNT, DEAD, Header, IN_SLOT, Inner, LISTED, SUSPECT, give_up, give_up_known, header,
};
use super::trace::{Mode, Tracer};
use crate::clock;

/// Drops within drops that recurse; deeper ones wait until these have returned.
const DEPTH: u32 = 64;
/// In `Slot::inner`: found alive.
const LIVE: u32 = u32::MAX;
/// In `Slot::inner`: garbage, whose node the slot no longer holds.
const GONE: u32 = u32::MAX - 1;
/// Slots that a batch keeps room for when it is done.
const KEPT_SLOTS: usize = 1 << 13;
/// Bytes of the smallest value that may be on a cycle, with its header.
const LEAST_NODE: usize = 24;
/// Rounds of one call of `collect`, for destructors that make garbage.
const ROUNDS: u32 = 64;

/// When and how much this thread's collector works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pacing {
    /// A round begins when values whose handles were dropped, but not all, have so many bytes. Grows up to half of
    /// what a round goes through, while rounds find little.
    pub suspect_bytes: usize,
    /// Nodes that one slice goes through.
    pub slice_nodes: usize,
    /// Allocations from one slice to the next.
    pub allocations_per_slice: u32,
}

impl Pacing {
    /// 128 KiB of suspects, slices of 2,048 nodes every 256 allocations.
    pub const DEFAULT: Self =
        Self { suspect_bytes: 256 << 10, slice_nodes: 2048, allocations_per_slice: 256 };
}

impl Default for Pacing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What this thread's collector did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Slices.
    pub slices: u64,
    /// Rounds that ended.
    pub rounds: u64,
    /// Nodes that were looked at, each pass counted.
    pub traced: u64,
    /// Values of cycles that were dropped.
    pub freed: u64,
    /// The longest slice, in the thread's CPU time.
    pub longest_slice_nanos: u64,
    /// The most nodes traced in one slice.
    pub longest_slice_traced: u64,
    /// Bytes of values that are suspects now.
    pub suspect_bytes: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    node: NonNull<Header>,
    /// The weak count, which the node's link does not hold meanwhile.
    weak: u32,
    /// References from within, or LIVE.
    inner: u32,
    /// Where its references begin among the batch's, once it was traced.
    first: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Count,
    Scan,
    Settle,
}

/// Nodes that are being judged together.
pub(super) struct Batch {
    stage: Stage,
    slots: ManuallyDrop<Chunks<Slot>>,
    /// The slots that traced nodes refer to, in the order of their slots.
    references: ManuallyDrop<Chunks<u32>>,
    cursor: usize,
    /// Slots before the cursor that were found alive late.
    open: ManuallyDrop<Vec<u32>>,
    /// Slots that the scan passed without finding them alive.
    candidates: ManuallyDrop<Vec<u32>>,
    /// Whether the program ran since the batch began.
    interrupted: bool,
    /// Suspects of this round from `next` on.
    round: ManuallyDrop<Vec<NonNull<Header>>>,
    next: usize,
    /// Suspects that are for the next round.
    again: ManuallyDrop<Vec<NonNull<Header>>>,
    traced: u64,
    /// Of this round: nodes that got a slot, and those that were garbage.
    seen: usize,
    garbage: usize,
}

/// What a thread's collector keeps. It has no destructor of its own, so that it can be used until the thread is gone.
pub(super) struct State {
    /// Bytes of suspects, and where a round begins; 0 while one is under way.
    suspect_bytes: Cell<usize>,
    trigger: Cell<usize>,
    depth: Cell<u32>,
    countdown: Cell<u32>,
    running: Cell<bool>,
    ended: Cell<bool>,
    pacing: Cell<Pacing>,
    /// What `trigger` is between rounds.
    threshold: Cell<usize>,
    counts: Cell<Counts>,
    suspects: RefCell<ManuallyDrop<Vec<NonNull<Header>>>>,
    /// Values to be dropped when those that are being dropped have returned.
    waiting: RefCell<ManuallyDrop<Vec<NonNull<Header>>>>,
    any_waiting: Cell<bool>,
    batch: RefCell<Batch>,
}

thread_local! {
    static STATE: State = const {
        State {
            suspect_bytes: Cell::new(0),
            trigger: Cell::new(Pacing::DEFAULT.suspect_bytes),
            depth: Cell::new(0),
            countdown: Cell::new(0),
            running: Cell::new(false),
            ended: Cell::new(false),
            pacing: Cell::new(Pacing::DEFAULT),
            threshold: Cell::new(Pacing::DEFAULT.suspect_bytes),
            counts: Cell::new(Counts {
                slices: 0,
                rounds: 0,
                traced: 0,
                freed: 0,
                longest_slice_nanos: 0,
                longest_slice_traced: 0,
                suspect_bytes: 0,
            }),
            suspects: RefCell::new(ManuallyDrop::new(Vec::new())),
            waiting: RefCell::new(ManuallyDrop::new(Vec::new())),
            any_waiting: Cell::new(false),
            batch: RefCell::new(Batch {
                stage: Stage::Idle,
                slots: ManuallyDrop::new(Chunks::new()),
                references: ManuallyDrop::new(Chunks::new()),
                cursor: 0,
                open: ManuallyDrop::new(Vec::new()),
                candidates: ManuallyDrop::new(Vec::new()),
                interrupted: false,
                round: ManuallyDrop::new(Vec::new()),
                next: 0,
                again: ManuallyDrop::new(Vec::new()),
                traced: 0,
                seen: 0,
                garbage: 0,
            }),
        }
    };
    static END: End = const { End };
}

/// This thread's state, by an access so small that it is inlined, which `LocalKey::with` around more is not: that
/// cost an indirect call for each value dropped.
#[inline(always)]
fn state<'a>() -> &'a State {
    let state = STATE.with(std::ptr::from_ref);
    // SAFETY: the state has no destructor, so it is there as long as its thread, and so is every caller: the reference
    // cannot leave the thread, since `State` holds cells.
    unsafe { &*state }
}

/// Ends a thread's collector: what is garbage is freed, and nothing is a suspect any more.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        STATE.with(|state| {
            collect();
            state.ended.set(true);
            // What a batch or destructors left is settled without being judged.
            if !state.running.get() {
                state.batch.borrow_mut().abandon();
                let suspects = std::mem::take(&mut **state.suspects.borrow_mut());
                for node in suspects {
                    // SAFETY: a suspect's memory is kept for the list.
                    unsafe { forget_suspect(node) };
                }
                let mut batch = state.batch.borrow_mut();
                *batch.slots = Chunks::new();
                *batch.references = Chunks::new();
                drop(std::mem::take(&mut *batch.open));
                drop(std::mem::take(&mut *batch.candidates));
                drop(std::mem::take(&mut *batch.round));
            }
        });
    }
}

/// A node is in no list any more: takes its marks away, and its memory if nothing else needs it.
///
/// # Safety
/// - `node` was taken from a list of suspects, and is not used afterwards.
unsafe fn forget_suspect(node: NonNull<Header>) {
    // SAFETY: the list kept the memory until here.
    let header = unsafe { header(node) };
    header.clear(SUSPECT | LISTED);
    if header.has(DEAD) && header.count() == 0 && !header.has(IN_SLOT) {
        // SAFETY: no handle is left and no list holds the node, so the handles' own weak count is nobody else's.
        unsafe { give_up(node) };
    }
}

/// Called before each allocation.
#[inline]
pub(super) fn poll() {
    let state = state();
    if state.suspect_bytes.get() >= state.trigger.get() {
        state.work();
    }
}

/// The last handle of a node was dropped; its flags are `strong`.
///
/// # Safety
/// - The node's count is zero, its memory is there, and the caller uses it no longer.
#[inline]
pub(super) unsafe fn release<T: ?Sized>(inner: NonNull<Inner<T>>, strong: u32) {
    if strong & DEAD != 0 {
        // Its cycle was dropped while this handle escaped.
        if strong & (LISTED | IN_SLOT) == 0 {
            // SAFETY: this was the last handle, and no list holds the node.
            unsafe { give_up(inner.cast()) };
        }
        return;
    }
    let state = state();
    let depth = state.depth.get();
    // SAFETY: the memory is there: nobody gave up the handles' own weak count.
    let header = unsafe { header(inner.cast()) };
    if depth >= DEPTH {
        return state.wait(header, inner.cast());
    }
    {
        // SAFETY: the value is there until it is dropped below, and nobody uses it meanwhile.
        let layout = unsafe { Layout::for_value(inner.as_ref()) };
        let _dropping = Dropping { state, node: inner.cast(), depth, layout };
        state.depth.set(depth + 1);
        header.strong.set(strong | DEAD);
        // SAFETY: no handle is left, and the value was there: only now is the node DEAD.
        unsafe { std::ptr::drop_in_place(&raw mut (*inner.as_ptr()).value) };
    }
    if depth == 0 {
        state.drop_waiting();
    }
}

/// While a value is dropped; what follows is done even when its destructor panics.
struct Dropping<'a> {
    state: &'a State,
    node: NonNull<Header>,
    depth: u32,
    layout: Layout,
}

impl Drop for Dropping<'_> {
    #[inline]
    fn drop(&mut self) {
        self.state.depth.set(self.depth);
        // SAFETY: the handles' own weak count still keeps the memory.
        let header = unsafe { header(self.node) };
        if !header.has(LISTED | IN_SLOT) {
            // SAFETY: the value is dropped, no handle is left and no list holds the node.
            unsafe { give_up_known(self.node, self.layout) };
        }
    }
}

impl State {
    /// A value is to be dropped later.
    #[cold]
    fn wait(&self, header: &Header, node: NonNull<Header>) {
        // The list has a handle of its own, so that the collector sees the node held.
        header.increment();
        self.any_waiting.set(true);
        self.waiting.borrow_mut().push(node);
    }

    #[inline]
    fn drop_waiting(&self) {
        if self.any_waiting.replace(false) {
            self.drop_all_waiting();
        }
    }

    #[cold]
    fn drop_all_waiting(&self) {
        loop {
            let Some(node) = self.waiting.borrow_mut().pop() else { return };
            // SAFETY: the list's handle keeps the node.
            let header = unsafe { header(node) };
            header.strong.set(header.strong.get() - 1);
            if header.count() > 0 {
                // A weak handle was upgraded meanwhile.
                continue;
            }
            let _dropping = Dropping { state: self, node, depth: 0, layout: header.class.layout };
            self.depth.set(1);
            header.raise(DEAD);
            // SAFETY: no handle is left, and the value was there: only now is the node DEAD.
            unsafe { (header.class.drop)(node) };
        }
    }

    #[cold]
    fn work(&self) {
        if self.running.get() || self.ended.get() {
            return;
        }
        let left = self.countdown.get();
        if left > 0 {
            self.countdown.set(left - 1);
            return;
        }
        self.countdown.set(self.pacing.get().allocations_per_slice);
        self.slice(self.pacing.get().slice_nodes);
    }

    /// Goes on for about so many nodes.
    fn slice(&self, nodes: usize) {
        let _running = Running::new(self);
        let start = clock::thread_nanos();
        let before = self.batch.borrow().traced;
        let nodes = nodes.max(16) as u64;
        let until = before.saturating_add(nodes);
        // So small that a batch of small cycles is judged within one slice.
        let most = usize::try_from(nodes / 4).unwrap_or(usize::MAX);
        let mut first = true;
        while first || self.batch.borrow().traced - before < nodes / 2 {
            if self.batch.borrow().stage == Stage::Idle && !self.next_batch() {
                break;
            }
            let garbage = {
                let mut batch = self.batch.borrow_mut();
                // Also when tracing panics, nodes are left as they were.
                let mut guard = Abandon { batch: &mut batch, armed: true };
                let garbage = guard.batch.advance(until, most, first);
                guard.armed = false;
                garbage
            };
            first = false;
            let Some(garbage) = garbage else { break };
            let mut counts = self.counts.get();
            counts.freed += garbage.len() as u64;
            self.counts.set(counts);
            self.batch.borrow_mut().traced += garbage.len() as u64;
            if !garbage.is_empty() {
                // SAFETY: `advance` proved that nothing else refers to these nodes.
                unsafe { drop_garbage(garbage) };
            }
        }
        let mut counts = self.counts.get();
        let traced = self.batch.borrow().traced - before;
        counts.slices += 1;
        counts.traced += traced;
        counts.longest_slice_traced = counts.longest_slice_traced.max(traced);
        counts.longest_slice_nanos =
            counts.longest_slice_nanos.max(clock::thread_nanos().saturating_sub(start));
        self.counts.set(counts);
    }

    /// Begins a batch of this round or the next; whether there is something to be judged.
    fn next_batch(&self) -> bool {
        let mut batch = self.batch.borrow_mut();
        if batch.next == batch.round.len() {
            if self.trigger.get() == 0 {
                self.end_round(&mut batch);
            }
            let mut suspects = self.suspects.borrow_mut();
            self.suspect_bytes.set(self.suspect_bytes.get() + batch.again.len() * LEAST_NODE);
            suspects.append(&mut batch.again);
            if suspects.is_empty() || self.suspect_bytes.get() < self.trigger.get() {
                return false;
            }
            batch.round.clear();
            batch.next = 0;
            std::mem::swap(&mut *batch.round, &mut *suspects);
            self.suspect_bytes.set(0);
            self.trigger.set(0);
        }
        batch.stage = Stage::Count;
        batch.cursor = 0;
        batch.interrupted = false;
        true
    }

    fn end_round(&self, batch: &mut Batch) {
        let least = self.pacing.get().suspect_bytes.max(1);
        let threshold = match batch.garbage < batch.seen / 8 {
            true => (self.threshold.get() * 2).min(batch.seen * LEAST_NODE / 2).max(least),
            false => least,
        };
        self.threshold.set(threshold);
        self.trigger.set(threshold);
        (batch.seen, batch.garbage) = (0, 0);
        let mut counts = self.counts.get();
        counts.rounds += 1;
        self.counts.set(counts);
    }
}

/// While the collector runs, also when a destructor panics.
struct Running<'a>(&'a State);

impl<'a> Running<'a> {
    fn new(state: &'a State) -> Self {
        state.running.set(true);
        Self(state)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
    }
}

struct Abandon<'a> {
    batch: &'a mut Batch,
    armed: bool,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.batch.abandon();
        }
    }
}

impl Batch {
    /// A handle that a traced value owns.
    #[inline(always)]
    pub(super) fn visit(&mut self, node: NonNull<Header>, mode: Mode) {
        // SAFETY: the value that is being traced owns a handle to the node.
        let header = unsafe { header(node) };
        let strong = header.strong.get();
        if strong & IN_SLOT != 0 {
            let at = header.link.get();
            let inner = &mut self.slots[at as usize].inner;
            // LIVE stays what it is.
            *inner = inner.saturating_add(1);
            self.references.push(at);
        } else if mode == Mode::Count && strong & (DEAD | ACYCLIC) == 0 {
            self.discover(node);
        }
    }

    /// Gives a node a slot that a traced value refers to.
    #[inline(never)]
    fn discover(&mut self, node: NonNull<Header>) {
        let at = self.add(node, 1);
        self.references.push(at);
    }

    /// Gives a node a slot.
    #[inline]
    fn add(&mut self, node: NonNull<Header>, inner: u32) -> u32 {
        // SAFETY: the caller has the node from a handle or a list that keeps it.
        let header = unsafe { header(node) };
        let at = self.slots.len() as u32;
        self.slots.push(Slot { node, weak: header.link.replace(at), inner, first: 0 });
        // Whatever list it is in, it is judged now.
        header.strong.set(header.strong.get() & !SUSPECT | IN_SLOT);
        at
    }

    #[inline]
    fn trace(&mut self, node: NonNull<Header>, mode: Mode) {
        self.traced += 1;
        // SAFETY: the node has a slot or a handle, which keep its memory; its value is there unless it is DEAD. That
        // no mutable reference to it is used, is the contract of `Trace`.
        unsafe {
            let header = header(node);
            if !header.has(DEAD) {
                (header.class.trace)(node, &mut Tracer { batch: self, mode });
            }
        }
    }

    /// Goes on until so many nodes were traced since the beginning, or the batch is judged: then its garbage.
    fn advance(&mut self, until: u64, most: usize, resumed: bool) -> Option<Vec<NonNull<Header>>> {
        self.interrupted |= resumed && self.cursor + self.slots.len() > 0;
        while self.stage == Stage::Count {
            if !self.count(until) {
                return None;
            }
            if self.slots.len() >= most || self.traced >= until || !self.add_suspect(until) {
                (self.stage, self.cursor) = (Stage::Scan, 0);
            }
        }
        if self.stage == Stage::Scan {
            if !self.scan(until) {
                return None;
            }
            if self.interrupted {
                self.prove();
            }
            self.stage = Stage::Settle;
            return Some(self.condemn());
        }
        self.settle(until).then(Vec::new)
    }

    /// Traces the slots that were not yet; whether it came to the end.
    #[inline]
    fn count(&mut self, until: u64) -> bool {
        while self.cursor < self.slots.len() {
            if self.traced >= until {
                return false;
            }
            // Far from 2^32 while memory lasts; more than that is not judged.
            let first = u32::try_from(self.references.len()).expect("fewer references than 2^32");
            let slot = &mut self.slots[self.cursor];
            slot.first = first;
            let node = slot.node;
            self.cursor += 1;
            self.trace(node, Mode::Count);
        }
        true
    }

    /// Gives the next suspect a slot that is still to be judged; whether there was one.
    #[inline]
    fn add_suspect(&mut self, until: u64) -> bool {
        while self.traced < until
            && let Some(&node) = self.round.get(self.next)
        {
            self.next += 1;
            self.traced += 1;
            // SAFETY: the list of suspects keeps the node's memory.
            let header = unsafe { header(node) };
            let strong = header.strong.get();
            if strong & (DEAD | SUSPECT) != SUSPECT {
                // Dropped, or judged since it was listed.
                // SAFETY: it was taken from the round, which is not read there again.
                unsafe { forget_suspect(node) };
            } else if strong & IN_SLOT != 0 {
                // It lost a handle after it got its slot: this batch may have passed it.
                self.again.push(node);
            } else {
                header.strong.set(strong & !LISTED);
                self.add(node, 0);
                return true;
            }
        }
        false
    }

    /// Finds what is held from outside and all it reached when it was traced; whether it came to the end.
    fn scan(&mut self, until: u64) -> bool {
        while self.cursor < self.slots.len() {
            let at = self.cursor;
            let slot = self.slots[at];
            // SAFETY: the slot keeps the node's memory.
            let header = unsafe { header(slot.node) };
            let strong = header.strong.get();
            if slot.inner == LIVE || strong & COUNT != slot.inner || strong & DEAD != 0 {
                self.slots[at].inner = LIVE;
                self.spread(at);
            } else {
                self.candidates.push(at as u32);
            }
            self.cursor += 1;
            while let Some(back) = self.open.pop() {
                self.spread(back as usize);
            }
            if self.traced >= until {
                return self.cursor == self.slots.len();
            }
        }
        true
    }

    /// What a live node refers to is live. What comes before it waits on `open`; what comes later is met by the scan.
    #[inline]
    fn spread(&mut self, at: usize) {
        self.traced += 1;
        let first = self.slots[at].first as usize;
        let last = self.slots.get(at + 1).map_or(self.references.len(), |it| it.first as usize);
        for at in first..last {
            let reference = self.references[at];
            let inner = &mut self.slots[reference as usize].inner;
            if *inner != LIVE {
                *inner = LIVE;
                if (reference as usize) < self.cursor {
                    self.open.push(reference);
                }
            }
        }
    }

    /// Counts what is left again, in one go, with the references that there are now.
    fn prove(&mut self) {
        let mut candidates = std::mem::take(&mut *self.candidates);
        candidates.retain(|&at| self.slots[at as usize].inner != LIVE);
        for (number, &at) in candidates.iter().enumerate() {
            let slot = &mut self.slots[at as usize];
            // From here on: which candidate it is.
            (slot.inner, slot.first) = (0, number as u32);
        }
        self.references.truncate(0);
        let mut starts = Vec::with_capacity(candidates.len() + 1);
        for &at in &candidates {
            starts.push(self.references.len());
            self.trace(self.slots[at as usize].node, Mode::Recount);
        }
        starts.push(self.references.len());
        for &at in &candidates {
            let slot = &mut self.slots[at as usize];
            // SAFETY: the slot keeps the node's memory.
            let header = unsafe { header(slot.node) };
            if slot.inner != LIVE && (header.count() != slot.inner || header.has(DEAD)) {
                slot.inner = LIVE;
                self.open.push(at);
            }
            while let Some(at) = self.open.pop() {
                let number = self.slots[at as usize].first as usize;
                for at in starts[number]..starts[number + 1] {
                    let reference = self.references[at];
                    let inner = &mut self.slots[reference as usize].inner;
                    if *inner != LIVE {
                        *inner = LIVE;
                        self.open.push(reference);
                    }
                }
            }
        }
        *self.candidates = candidates;
    }

    /// Takes the slots of what was not found alive away, and marks it as garbage.
    fn condemn(&mut self) -> Vec<NonNull<Header>> {
        let mut garbage = Vec::new();
        for at in self.candidates.drain(..) {
            let slot = &mut self.slots[at as usize];
            if slot.inner == LIVE {
                continue;
            }
            slot.inner = GONE;
            // SAFETY: the slot kept the node's memory until here.
            let header = unsafe { header(slot.node) };
            header.link.set(slot.weak);
            header.clear(IN_SLOT);
            // Kept until all values are dropped, and no suspect meanwhile.
            header.increment();
            header.raise(CONDEMNED | SUSPECT);
            garbage.push(slot.node);
        }
        self.seen += self.slots.len();
        self.garbage += garbage.len();
        garbage
    }

    /// Takes the slots of what lives away; whether all are.
    fn settle(&mut self, until: u64) -> bool {
        let mut settled = 0;
        while let Some(slot) = self.slots.pop() {
            if slot.inner == GONE {
                continue;
            }
            // SAFETY: the slot kept the node's memory until here.
            let header = unsafe { header(slot.node) };
            header.link.set(slot.weak);
            header.clear(IN_SLOT);
            if header.has(DEAD) && header.count() == 0 && !header.has(LISTED) {
                // SAFETY: the value was dropped and no handle is left; the slot alone kept the memory.
                unsafe { give_up(slot.node) };
            }
            settled += 1;
            // It costs about a third of what tracing does.
            if settled % 3 == 0 {
                self.traced += 1;
                if self.traced >= until {
                    // Memory goes back with each slice: all at once is a long pause of its own.
                    let part = self.references.len() / (self.slots.len() + settled) * self.slots.len();
                    self.references.truncate(part);
                    self.shrink();
                    return self.slots.len() == 0 && self.end();
                }
            }
        }
        self.end()
    }

    fn shrink(&mut self) {
        self.candidates.shrink_to(KEPT_SLOTS);
        self.open.shrink_to(KEPT_SLOTS);
    }

    fn end(&mut self) -> bool {
        self.references.truncate(0);
        self.shrink();
        (self.stage, self.cursor) = (Stage::Idle, 0);
        true
    }

    /// Ends the batch without a judgement.
    fn abandon(&mut self) {
        self.open.clear();
        self.candidates.clear();
        self.settle(u64::MAX);
        let again = std::mem::take(&mut *self.again);
        for node in std::mem::take(&mut *self.round).drain(self.next..).chain(again) {
            // SAFETY: the round kept the node's memory, and is not read again.
            unsafe { forget_suspect(node) };
        }
        self.next = 0;
    }
}

/// Drops the values of garbage and gives its memory back.
///
/// # Safety
/// - Nothing but the nodes themselves refers to them, each was condemned and counted once more.
unsafe fn drop_garbage(garbage: Vec<NonNull<Header>>) {
    struct Rest {
        nodes: Vec<NonNull<Header>>,
        dropped: usize,
    }
    impl Rest {
        fn drop_values(&mut self) {
            while let Some(&node) = self.nodes.get(self.dropped) {
                self.dropped += 1;
                // SAFETY: the extra count keeps the node; its value is there, and nobody outside can refer to it. A
                // destructor may have got a handle to it, but no reference lives on after that destructor.
                unsafe {
                    let header = header(node);
                    header.raise(DEAD);
                    (header.class.drop)(node);
                }
            }
        }
    }
    impl Drop for Rest {
        fn drop(&mut self) {
            // After a panic the others are dropped all the same; a second one aborts.
            self.drop_values();
            for &node in &self.nodes {
                // SAFETY: the extra count keeps the node.
                let header = unsafe { header(node) };
                header.strong.set(header.strong.get() - 1);
                header.clear(SUSPECT);
                if header.count() == 0 && !header.has(LISTED) {
                    // SAFETY: the value is dropped, no handle is left, no list holds the node.
                    unsafe { give_up(node) };
                }
            }
        }
    }
    let mut rest = Rest { nodes: garbage, dropped: 0 };
    rest.drop_values();
}

/// A handle of a node was dropped, and others are left.
///
/// # Safety
/// - The node's memory is there.
#[cold]
#[inline(never)]
pub(super) unsafe fn suspect(node: NonNull<Header>) {
    // SAFETY: handles are left.
    let header = unsafe { header(node) };
    if header.has(DEAD) {
        return;
    }
    let state = state();
    if state.ended.get() {
        return;
    }
    if header.has(LISTED) {
        // It was judged since it was listed, and is to be judged again.
        header.raise(SUSPECT);
        return;
    }
    header.raise(SUSPECT | LISTED);
    let mut suspects = state.suspects.borrow_mut();
    if suspects.is_empty() {
        // Made now, so that it ends with the thread.
        END.with(|_| {});
    }
    suspects.push(node);
    state.suspect_bytes.set(state.suspect_bytes.get() + header.class.layout.size());
}

/// Changes a node's weak count.
///
/// # Safety
/// - The node's memory is there; a count that falls to zero is given up by [`give_up`], not here.
pub(super) unsafe fn change_weak(node: NonNull<Header>, change: i32) {
    // SAFETY: by this function's contract.
    let header = unsafe { header(node) };
    let changed = |weak: u32| weak.checked_add_signed(change).expect("fewer weak handles than 2^32");
    if header.has(IN_SLOT) {
        STATE.with(|state| {
            let slot = &mut state.batch.borrow_mut().slots[header.link.get() as usize];
            slot.weak = changed(slot.weak);
        });
    } else {
        header.link.set(changed(header.link.get()));
    }
}

/// A node's weak count, that of all handles among it.
///
/// # Safety
/// - The node's memory is there.
pub(super) unsafe fn weak(node: NonNull<Header>) -> u32 {
    // SAFETY: by this function's contract.
    let header = unsafe { header(node) };
    match header.has(IN_SLOT) {
        true => STATE.with(|state| state.batch.borrow().slots[header.link.get() as usize].weak),
        false => header.link.get(),
    }
}

/// Frees all cycles of this thread that nothing refers to; how many values that were. Nothing is done when a
/// destructor calls it that runs within a collection.
pub fn collect() -> u64 {
    STATE.with(|state| {
        if state.running.get() || state.ended.get() {
            return 0;
        }
        let before = state.counts.get().freed;
        for _ in 0..ROUNDS {
            state.trigger.set(state.trigger.get().min(1));
            state.slice(usize::MAX);
            if state.suspects.borrow().is_empty() {
                break;
            }
        }
        state.trigger.set(state.threshold.get());
        state.counts.get().freed - before
    })
}

/// One slice of about so many nodes, begun or continued; whether there is more to do.
pub fn step(nodes: usize) -> bool {
    STATE.with(|state| {
        if state.running.get() || state.ended.get() {
            return false;
        }
        if state.batch.borrow().stage == Stage::Idle {
            state.trigger.set(state.trigger.get().min(1));
        }
        state.slice(nodes);
        let more = state.trigger.get() == 0;
        if !more {
            state.trigger.set(state.threshold.get());
        }
        more
    })
}

/// Sets this thread's pacing.
pub fn set_pacing(pacing: Pacing) {
    STATE.with(|state| {
        state.pacing.set(pacing);
        let least = pacing.suspect_bytes.max(1);
        state.threshold.set(least);
        if state.trigger.get() != 0 {
            state.trigger.set(least);
        }
    });
}

/// What this thread's collector did.
pub fn counts() -> Counts {
    STATE.with(|state| Counts { suspect_bytes: state.suspect_bytes.get(), ..state.counts.get() })
}
