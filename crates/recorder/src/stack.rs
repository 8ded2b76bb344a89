//! The call stack of an event, as a number.
//!
//! The stack captured last in the thread is kept, outermost frame first:
//!
//! ```text
//!   frames[i]  where the return address lies on the stack (descending), and the address
//!   ids[i]     number of the stack up to and including frame i
//! ```
//!
//! **Reuse.** At an event, the cached frames whose return addresses still stand in memory, from the outermost
//! frame up to the first that changed, are taken as they are: unwinding starts at the innermost frame and
//! ends where it meets them. A slot is 8 bytes that the calls themselves write, so a frame that was left and
//! entered anew from elsewhere shows; that a dynamically sized frame changes its size while every return
//! address above stays at its place, is the one case left out.
//!
//! **Paths.** Where the innermost frames are new, chances are that an earlier event came the same way from the
//! same stack: what was unwound then is kept by stack pointer, return address and that stack, and compared
//! with memory as above. A comparison's loads do not wait for each other, as those of unwinding do.
//!
//! One such chain serves allocations and frees: two were tried, and unwound up to half as much again,
//! because the event before this one is the nearest in the call tree whatever it was.

use crate::cfi::{Kind, Rule};
use crate::stream::Thread;
use crate::{frames, real, session, sys};
use core::hint::select_unpredictable;
use heapwise_trace::ring::FRAME_CUT;

/// Frames kept per stack; what is further out is cut off and marked.
pub const DEPTH_MAX: usize = 1024;

/// A frame on the stack.
#[derive(Clone, Copy)]
#[repr(C)]
struct Frame {
    /// Where its return address lies.
    slot: u64,
    /// The return address.
    address: u64,
}

/// Frames looked at together: their loads overlap, and there is one branch to guess for all of them.
const LANES: usize = 8;

/// The stack captured last.
#[repr(C)]
pub struct Chain {
    length: usize,
    /// Frame `i` is at `LANES + i`. The first `LANES` are further out than any: a word at the upper end of the
    /// stack, and what it held.
    slots: [u64; LANES + DEPTH_MAX],
    addresses: [u64; LANES + DEPTH_MAX],
    ids: [u32; DEPTH_MAX],
}

/// Inner frames kept per path.
const PATH_FRAMES: usize = 7;
/// Paths kept, by stack pointer, innermost return address and the stack they lead to. With eight times as many,
/// they are found where they don't fit into the cache (micro: half as much time again).
const PATHS: usize = 512;

/// Frames that were once unwound from an event until the cached stack was met.
#[derive(Clone, Copy)]
#[repr(C)]
struct Path {
    /// Innermost first; then, at `count`, the frame that was met.
    frames: [Frame; PATH_FRAMES + 1],
    /// Numbers of the stacks of `frames`.
    ids: [u32; PATH_FRAMES + 1],
    count: usize,
}

/// See the module's page. Where paths seldom come again, looking for them costs more than it saves:
/// they are tried for a window of events, and left alone for several if few were found.
#[repr(C)]
pub struct Paths {
    /// Events left in this window.
    left: u32,
    /// Paths found in it.
    found: u32,
    is_tried: bool,
    paths: [Path; PATHS],
}

/// Events in a window.
const WINDOW: u32 = 2048;
/// Found at least once in so many events, paths are worth it.
const WORTH: u32 = 2;
/// Windows without paths after one that was not worth it.
const PAUSE: u32 = 15;

impl Paths {
    /// After a fork, numbers mean other stacks.
    fn clear(&mut self) {
        self.paths.iter_mut().for_each(|it| it.count = 0);
    }

    /// A thread begins.
    pub fn start(&mut self) {
        (self.left, self.found, self.is_tried) = (WINDOW, 0, true);
    }

    /// Whether to look for a path at this event.
    #[inline(always)]
    fn are_tried(&mut self) -> bool {
        self.left -= 1;
        if self.left == 0 {
            self.turn();
        }
        self.is_tried
    }

    #[cold]
    fn turn(&mut self) {
        self.is_tried = !self.is_tried || self.found * WORTH >= WINDOW;
        self.left = if self.is_tried { WINDOW } else { WINDOW * PAUSE };
        self.found = 0;
    }
}

/// Frames looked up last, by return address; the shared table behind it is larger than a cache.
///
/// Fresh memory (all zeros) knows nothing: an entry of address 0 is found by nobody, because address 0 is looked up
/// at entry 0, which is never that.
#[repr(C)]
pub struct Known {
    /// `session::generation` and `frames::epoch` that the entries are of; generation 0: never used.
    generation: u64,
    epoch: u32,
    entries: [Way; KNOWN],
}

const KNOWN: usize = 4096;

/// From a frame to its caller: a [`Rule`] in the form that takes the fewest instructions.
///
/// ```text
///   next slot = slot + up                    where up != 0
///             = rbp + bp_step                where is_from_bp
///   rbp       = the word at next slot + 8 - saved, unchanged where saved == 0
/// ```
///
/// `saved` never leads below the frame's own slot. A rule that says something else has neither `up` nor
/// `is_from_bp`: what leads no further out is looked at again, by the rule itself.
#[derive(Clone, Copy)]
#[repr(C)]
struct Way {
    /// The return address; [`Way::NONE`]'s is no address, and neither is 0.
    address: u64,
    frame: Numbered,
    up: u32,
    bp_step: i16,
    is_from_bp: bool,
}

/// A frame's number, and where its rule finds `rbp`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Numbered {
    number: u32,
    /// Bytes below the end of the next slot; 0: `rbp` is unchanged.
    saved: u32,
}

impl Way {
    const NONE: Way = Way {
        address: u64::MAX,
        frame: Numbered { number: FRAME_CUT, saved: 0 },
        up: 0,
        bp_step: 0,
        is_from_bp: false,
    };

    fn new(address: u64, number: u32, rule: Rule) -> Way {
        let rare = Way { address, frame: Numbered { number, saved: 0 }, ..Way::NONE };
        let saved = rule.bp_words() as u32 * 8;
        let frame = Numbered { number, saved };
        // `slot + 8` is the stack pointer, and the next slot lies 8 below the CFA.
        if !rule.is_plain() {
            return rare;
        }
        if rule.is_from_bp() {
            return match i16::try_from(rule.offset() - 8) {
                Ok(bp_step) if saved <= 16 => Way { frame, bp_step, is_from_bp: true, ..rare },
                _ => rare,
            };
        }
        match u32::try_from(rule.offset()) {
            Ok(up) if i64::from(saved) <= rule.offset() + 8 => Way { frame, up, ..rare },
            _ => rare,
        }
    }
}

impl Known {
    #[inline(always)]
    fn index(address: u64) -> usize {
        (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - KNOWN.trailing_zeros())) as usize
    }

    fn is_current(&self) -> bool {
        self.epoch == frames::epoch() && self.generation == session::generation()
    }

    fn clear(&mut self) {
        // What was never used is empty, and not touched: a thread may begin and end with a handful of frames.
        if self.generation != 0 {
            self.entries.fill(Way::NONE);
        }
        self.entries[Self::index(0)] = Way::NONE;
        (self.generation, self.epoch) = (session::generation(), frames::epoch());
    }
}

/// Forgets frames and paths if they are of another image, or some of their modules are gone. Those of a thread that has
/// ended serve the next one: numbers mean the same in all threads, and paths are compared with memory.
#[inline(always)]
pub fn refresh(thread: &mut Thread) {
    if !thread.known.is_current() {
        forget(thread);
    }
}

#[cold]
#[inline(never)]
fn forget(thread: &mut Thread) {
    if thread.known.generation != 0 {
        thread.paths.clear();
    }
    thread.known.clear();
}

/// Makes the frame known.
#[inline(never)]
fn find_way(thread: &mut Thread, address: u64) {
    let (number, rule) = frames::frame_of(thread, address);
    let way = Way::new(address, number, rule);
    thread.known.entries[Known::index(address)] = way;
}

/// A frame found by unwinding.
#[derive(Clone, Copy)]
#[repr(C)]
struct Found {
    frame: Frame,
    numbered: Numbered,
}

/// Frames found by unwinding, innermost first, before their stacks are numbered.
#[repr(C)]
pub struct Scratch([Found; DEPTH_MAX]);

impl Scratch {
    /// `rbp` of the code that frame `at` returns to, from that of an earlier frame `from`.
    ///
    /// # Safety
    /// Frames up to `at < DEPTH_MAX` were found on this thread's stack; `from <= at`.
    #[inline(always)]
    unsafe fn bp_of(&self, at: usize, from: usize, mut bp: u64) -> u64 {
        debug_assert!(from <= at && at < DEPTH_MAX);
        for i in from..at {
            // SAFETY: by the caller; frames in between lead to one another.
            unsafe {
                let next = self.0.get_unchecked(i + 1).frame.slot;
                bp = self.0.get_unchecked(i).numbered.bp_after(next, bp);
            }
        }
        bp
    }
}

impl Numbered {
    /// `rbp` in the frame's caller, whose return address lies at `next`.
    ///
    /// # Safety
    /// `next` is the slot that the frame's way leads to, on a mapped stack.
    #[inline(always)]
    unsafe fn bp_after(self, next: u64, bp: u64) -> u64 {
        match self.saved {
            0 => bp,
            // SAFETY: `saved` leads to the frame's own slot at least, or 8 below it.
            saved => unsafe { ((next + 8 - u64::from(saved)) as *const u64).read_unaligned() },
        }
    }
}

/// Readable stack memory `[low, high)`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Bounds {
    low: u64,
    high: u64,
    /// Readable, and not below any slot.
    last_word: u64,
    /// The thread's own stack; others (signal stacks, coroutines) are looked up when met.
    own: (u64, u64),
    others: [(u64, u64); OTHER_STACKS],
    victim: usize,
}

const OTHER_STACKS: usize = 16;
/// How far down the own stack may reach.
const OWN_STACK_MAX: u64 = 1 << 30;

impl Bounds {
    pub fn of_thread(is_main: bool) -> Bounds {
        let high = if is_main {
            // SAFETY: the loader sets it before anything else runs.
            unsafe { real::__libc_stack_end as u64 }
        } else {
            // glibc lays the thread's control block at the top of its stack.
            let tcb: u64;
            // SAFETY: word 0 of the control block is its own address (x86-64 ABI).
            unsafe {
                core::arch::asm!("mov {}, qword ptr fs:[0]", out(reg) tcb, options(nostack, pure, readonly))
            };
            tcb
        };
        let own = (high.saturating_sub(OWN_STACK_MAX), high);
        // A thread's neighborhood is full of other mappings: only the main stack is that roomy.
        let own = if is_main { own } else { (high.saturating_sub(64 << 20), high) };
        Bounds { low: own.0, high: own.1, last_word: own.1, own, others: [(0, 0); OTHER_STACKS], victim: 0 }
    }

    /// Makes `[low, high)` the stack that `sp` lies in.
    #[cold]
    #[inline(never)]
    fn switch(&mut self, sp: u64) {
        let contains = |range: &(u64, u64)| range.0 <= sp && sp < range.1;
        let known = core::iter::once(&self.own).chain(&self.others).copied().find(|it| contains(it));
        let range = known.unwrap_or_else(|| {
            let found = mapping_of(sp).unwrap_or((sp & !7, (sp | 4095) + 1));
            self.others[self.victim] = found;
            self.victim = (self.victim + 1) % OTHER_STACKS;
            found
        });
        (self.low, self.high) = range;
        // The control block and the initial stack's end are readable, the end of a mapping is not.
        self.last_word = if range == self.own { self.high } else { self.high - 8 };
    }
}

impl Chain {
    /// Forgets the stack; the next one is on the stack with these bounds.
    ///
    /// # Safety
    /// The bounds are those of a mapped stack.
    pub unsafe fn clear(&mut self, bounds: &Bounds) {
        self.length = 0;
        self.slots[..LANES].fill(bounds.last_word);
        // SAFETY: by the caller.
        self.addresses[..LANES].fill(unsafe { (bounds.last_word as *const u64).read_unaligned() });
    }

    /// Slot of the innermost of the first `length` frames, or of the pad.
    ///
    /// # Safety
    /// `length <= DEPTH_MAX`.
    #[inline(always)]
    unsafe fn last_slot(&self, length: usize) -> u64 {
        debug_assert!(length <= DEPTH_MAX);
        // SAFETY: by the caller.
        unsafe { *self.slots.get_unchecked(LANES + length - 1) }
    }

    /// Number of the stack of the first `length` frames.
    ///
    /// # Safety
    /// `0 < length <= DEPTH_MAX`.
    #[inline(always)]
    unsafe fn id(&self, length: usize) -> u32 {
        debug_assert!(0 < length && length <= DEPTH_MAX);
        // SAFETY: by the caller.
        unsafe { *self.ids.get_unchecked(length - 1) }
    }

    /// Makes `frame` the frame after the first `length`, and `id` the number of the stack that ends in it.
    ///
    /// # Safety
    /// `length < DEPTH_MAX`.
    #[inline(always)]
    unsafe fn put(&mut self, length: usize, frame: Frame, id: u32) {
        debug_assert!(length < DEPTH_MAX);
        // SAFETY: by the caller.
        unsafe {
            *self.slots.get_unchecked_mut(LANES + length) = frame.slot;
            *self.addresses.get_unchecked_mut(LANES + length) = frame.address;
            *self.ids.get_unchecked_mut(length) = id;
        }
    }
}

/// Number of the stack of a function that was entered with `sp` (pointing at its return address) and `bp`.
///
/// # Safety
/// `sp` and `bp` are the registers at the entry of an interposed function of this thread.
#[inline(always)]
pub unsafe fn capture(thread: &mut Thread, sp: *const u64, bp: u64) -> u32 {
    // SAFETY: by the caller.
    let id = unsafe { reuse_or_unwind(thread, sp, bp) };
    #[cfg(feature = "checked")]
    // SAFETY: by the caller.
    unsafe {
        check(thread, id, sp, bp)
    };
    id
}

/// Ends the process where a stack that was put together from parts is another than the one that is unwound.
///
/// # Safety
/// As [`capture`].
#[cfg(feature = "checked")]
#[inline(never)]
unsafe fn check(thread: &mut Thread, id: u32, sp: *const u64, bp: u64) {
    // SAFETY: by the caller; no cached frame is used.
    let unwound = unsafe { unwind(thread, 0, sp as u64, *sp, bp) };
    if unwound != id {
        sys::abort();
    }
}

/// # Safety
/// As [`capture`].
#[inline(always)]
unsafe fn reuse_or_unwind(thread: &mut Thread, sp: *const u64, bp: u64) -> u32 {
    let slot = sp as u64;
    if slot < thread.stack.low || slot >= thread.stack.high {
        thread.stack.switch(slot);
        // SAFETY: `sp` lies on that stack.
        unsafe { thread.chain.clear(&thread.stack) };
    }
    let chain = &mut thread.chain;
    let length = frames_outside(chain, chain.length, slot);
    // SAFETY: the cached slots lie further out on the live part of this stack; `length <= DEPTH_MAX`.
    unsafe {
        let length = intact(chain, length);
        if chain.last_slot(length) == slot && length > 0 {
            chain.length = length;
            return chain.id(length);
        }
        // The return address of the interposed function.
        let address = *sp;
        if thread.known.epoch != frames::epoch() {
            forget(thread);
        }
        if let Some(id) = extend(thread, length, slot, address, bp) {
            return id;
        }
        if thread.paths.are_tried()
            && let Some(id) = follow(thread, length, slot, address)
        {
            thread.paths.found += 1;
            return id;
        }
        unwind(thread, length, slot, address, bp)
    }
}

/// The stack of a frame that was called from the innermost cached one: what [`unwind`] does, without a loop.
///
/// # Safety
/// As [`capture`]; `length` cached frames lie at `slot` or further out and are intact.
#[inline(always)]
unsafe fn extend(thread: &mut Thread, length: usize, slot: u64, address: u64, bp: u64) -> Option<u32> {
    // SAFETY: an index is less than `KNOWN`.
    let way = unsafe { *thread.known.entries.get_unchecked(Known::index(address)) };
    let base = select_unpredictable(way.is_from_bp, bp, slot);
    let next = base.wrapping_add_signed(i64::from(way.bp_step)) + u64::from(way.up);
    // SAFETY: `length <= DEPTH_MAX`.
    if way.address != address || next != unsafe { thread.chain.last_slot(length) } {
        return None;
    }
    if next <= slot || length == 0 || length == DEPTH_MAX {
        return None;
    }
    // SAFETY: `0 < length < DEPTH_MAX`.
    unsafe {
        let id = frames::stack_of(thread, thread.chain.id(length), way.frame.number);
        thread.chain.put(length, Frame { slot, address }, id);
        thread.chain.length = length + 1;
        Some(id)
    }
}

#[inline(always)]
fn path_index(slot: u64, address: u64, outer: u32) -> usize {
    ((slot >> 3 ^ address ^ (outer as u64) << 24).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        >> (64 - PATHS.trailing_zeros())) as usize
}

/// Takes the path of an earlier event with this stack pointer and return address, if every return address on
/// it still stands in memory, up to the innermost cached frame, and that was on the same stack then.
///
/// # Safety
/// As [`capture`]; `length` cached frames lie at `slot` or further out and are intact.
#[inline(always)]
unsafe fn follow(thread: &mut Thread, mut length: usize, slot: u64, address: u64) -> Option<u32> {
    if length == 0 {
        return None;
    }
    // SAFETY: `0 < length <= DEPTH_MAX`.
    let outer = unsafe { thread.chain.id(length) };
    let path = &thread.paths.paths[path_index(slot, address, outer)];
    let (count, first) = (path.count, path.frames[0]);
    if count == 0 || count > PATH_FRAMES || first.slot != slot || first.address != address {
        return None;
    }
    let chain = &mut thread.chain;
    // SAFETY: `length <= DEPTH_MAX`.
    let met = unsafe { chain.last_slot(length) };
    let mut count = 1;
    // Slots ascend; the last one is no further out than a cached one on the live part of this stack.
    while path.frames[count].slot < met {
        // SAFETY: as above.
        if count == path.count
            || unsafe { *(path.frames[count].slot as *const u64) } != path.frames[count].address
        {
            return None;
        }
        count += 1;
    }
    if path.frames[count].slot != met || path.ids[count] != outer || length + count > DEPTH_MAX {
        return None;
    }
    for i in (0..count).rev() {
        // SAFETY: `length < DEPTH_MAX` by the check above.
        unsafe { chain.put(length, path.frames[i], path.ids[i]) };
        length += 1;
    }
    chain.length = length;
    Some(path.ids[0])
}

/// Of these many cached frames it is asked at once whether they were left. Mostly few were.
const BELOW: usize = 4;

/// How many of the first `length` cached frames lie at `slot` or further out.
#[inline(always)]
fn frames_outside(chain: &Chain, mut length: usize, slot: u64) -> usize {
    debug_assert!(length <= DEPTH_MAX);
    loop {
        // SAFETY: frames `length - BELOW..length`; `length <= DEPTH_MAX`.
        let last = unsafe { chain.slots.get_unchecked(LANES + length - BELOW..LANES + length) };
        // Slots descend: the frames below `slot` are the last ones. Those of the pad never are.
        let below: usize = last.iter().map(|it| usize::from(*it < slot)).sum();
        length -= below;
        if below < BELOW {
            return length;
        }
    }
}

/// How many of the `length` outermost cached frames still have their return address in place.
///
/// # Safety
/// `length <= DEPTH_MAX`, and the slots lie on the live part of this thread's stack.
#[inline(always)]
unsafe fn intact(chain: &mut Chain, length: usize) -> usize {
    let mut at = length % LANES;
    loop {
        // SAFETY: the `LANES` frames before frame `at <= length`, of the pad where there are fewer.
        let changed = unsafe { changes(chain.slots.as_ptr().add(at), chain.addresses.as_ptr().add(at)) };
        if changed != 0 {
            let first = at + changed.trailing_zeros() as usize / 2;
            if first >= LANES {
                return first - LANES;
            }
            // The pad's word has changed.
            // SAFETY: it is on a mapped stack, by the caller.
            chain.addresses[..LANES].fill(unsafe { (chain.slots[0] as *const u64).read_unaligned() });
            continue;
        }
        if at == length {
            return length;
        }
        at += LANES;
    }
}

/// Which of `LANES` slots hold something else than these addresses: two bits for each, one per half.
///
/// # Safety
/// `LANES` slots and addresses can be read, and what the slots point at.
#[inline(always)]
unsafe fn changes(slots: *const u64, addresses: *const u64) -> u32 {
    use core::arch::x86_64::*;
    const { assert!(LANES == 8) };
    let same = |i: usize| {
        // SAFETY: by the caller.
        unsafe {
            let word = |i: usize| (*slots.add(i) as *const i64).read_unaligned();
            _mm_cmpeq_epi32(_mm_set_epi64x(word(i + 1), word(i)), _mm_loadu_si128(addresses.add(i).cast()))
        }
    };
    // SAFETY: part of every x86-64.
    unsafe {
        let (low, high) = (_mm_packs_epi32(same(0), same(2)), _mm_packs_epi32(same(4), same(6)));
        let bits = _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32;
        bits ^ 0xffff
    }
}

/// Unwinds from the frame whose return address `address` lies at `slot`, until a cached frame or the end.
///
/// # Safety
/// As [`capture`]; `length` cached frames lie at `slot` or further out and are intact.
#[inline(never)]
unsafe fn unwind(
    thread: &mut Thread,
    mut length: usize,
    mut slot: u64,
    mut address: u64,
    mut bp: u64,
) -> u32 {
    let slot_max = thread.stack.high - 8;
    // SAFETY: `length <= DEPTH_MAX`.
    let mut met = unsafe { thread.chain.last_slot(length) };
    let mut found = 0;
    // `bp` is that of the code which frame `bp_at` returns to. Most ways do not ask for it.
    let mut bp_at = 0;
    let end = loop {
        // The common way first, without anything that needs a call.
        let stop = loop {
            // SAFETY: an index is less than `KNOWN`.
            let way = unsafe { thread.known.entries.get_unchecked(Known::index(address)) };
            if way.address != address {
                break Stop::New;
            }
            // SAFETY: `found < DEPTH_MAX`.
            let place = unsafe { thread.scratch.0.get_unchecked_mut(found) };
            *place = Found { frame: Frame { slot, address }, numbered: way.frame };
            found += 1;
            if found == DEPTH_MAX {
                break Stop::Rare;
            }
            let mut next = slot + u64::from(way.up);
            if next == slot {
                if !way.is_from_bp {
                    break Stop::Rare;
                }
                // SAFETY: by the caller; `found` frames are in the scratch.
                bp = unsafe { thread.scratch.bp_of(found - 1, bp_at, bp) };
                bp_at = found - 1;
                next = bp.wrapping_add_signed(i64::from(way.bp_step));
                if next <= slot || next > slot_max {
                    break Stop::Rare;
                }
                // SAFETY: both slots lie on the stack.
                bp = unsafe { way.frame.bp_after(next, bp) };
                bp_at = found;
            }
            if next >= met {
                break Stop::Met(next);
            }
            slot = next;
            // SAFETY: the slot lies on the stack, further in than one that does.
            address = unsafe { (slot as *const u64).read_unaligned() };
        };
        match stop {
            Stop::New if address < sys::PAGE as u64 => break End::Outermost,
            Stop::New => {
                find_way(thread, address);
                continue;
            }
            Stop::Met(next) if next <= slot_max => slot = next,
            _ if found == DEPTH_MAX => break End::Cut,
            _ => {
                // SAFETY: by the caller; `found` frames are in the scratch.
                bp = unsafe { thread.scratch.bp_of(found - 1, bp_at, bp) };
                // SAFETY: by the caller.
                match unsafe { step_rarely(thread, slot, address, bp) } {
                    Step::Caller(next, next_bp) => (slot, bp, bp_at) = (next, next_bp, found),
                    Step::Interrupted(code) => {
                        // The interrupted function has no return address of its own on the stack: its program
                        // counter stands in the signal frame.
                        (slot, address, bp) = code;
                        bp_at = found;
                        length = frames_outside(&thread.chain, length, slot + 8);
                        // SAFETY: `length <= DEPTH_MAX`.
                        met = unsafe { thread.chain.last_slot(length) };
                        continue;
                    }
                    Step::End => break End::Outermost,
                    Step::Lost => break End::Cut,
                }
            }
        }
        if slot > met {
            // A frame was left whose return address still stands in memory: fewer cached ones will be met.
            length = frames_outside(&thread.chain, length, slot);
            // SAFETY: `length <= DEPTH_MAX`.
            met = unsafe { thread.chain.last_slot(length) };
        }
        if slot == met && length > 0 {
            break End::Met;
        }
        // SAFETY: the slot lies on the stack.
        address = unsafe { (slot as *const u64).read_unaligned() };
    };
    let id = number(thread, end, length, found);
    if found <= PATH_FRAMES && thread.paths.is_tried && matches!(end, End::Met) {
        remember(thread, length, found);
    }
    id
}

/// Why the common way of unwinding is left.
enum Stop {
    /// The frame is not known yet.
    New,
    /// Its way leads nowhere, or there are too many frames.
    Rare,
    /// The next slot is no further in than that of the next cached frame.
    Met(u64),
}

/// Where unwinding ended.
#[derive(Clone, Copy)]
enum End {
    /// At the cached frames.
    Met,
    /// At the start of the thread.
    Outermost,
    Cut,
}

/// Numbers the `found` frames of the scratch, which go on from the first `length` cached ones if those were met.
#[inline(always)]
fn number(thread: &mut Thread, end: End, length: usize, found: usize) -> u32 {
    let (mut length, mut id) = match end {
        // SAFETY: frames that are met are at least one.
        End::Met if length + found <= DEPTH_MAX => (length, unsafe { thread.chain.id(length) }),
        End::Outermost => (0, 0),
        _ => (0, frames::stack_of(thread, 0, FRAME_CUT)),
    };
    for i in (0..found).rev() {
        // SAFETY: `found` and `length` are at most `DEPTH_MAX` together.
        unsafe {
            let Found { frame, numbered } = *thread.scratch.0.get_unchecked(i);
            id = frames::stack_of(thread, id, numbered.number);
            thread.chain.put(length, frame, id);
        }
        length += 1;
    }
    thread.chain.length = length;
    id
}

/// Keeps the last `count` frames of the chain, and the one they begin from, as a path.
#[inline(never)]
fn remember(thread: &mut Thread, begin: usize, count: usize) {
    let chain = &thread.chain;
    let last = begin + count - 1;
    let frame = |i: usize| Frame { slot: chain.slots[LANES + i], address: chain.addresses[LANES + i] };
    let first = frame(last);
    let path = &mut thread.paths.paths[path_index(first.slot, first.address, chain.ids[begin - 1])];
    path.count = count;
    for i in 0..=count {
        path.frames[i] = frame(last - i);
        path.ids[i] = chain.ids[last - i];
    }
}

enum Step {
    /// Slot of the caller's return address, and its `rbp`.
    Caller(u64, u64),
    End,
    /// Slot, address and `rbp` of the code that a signal interrupted.
    Interrupted((u64, u64, u64)),
    Lost,
}

/// From a frame to its caller, where its [`Way`] does not say. All results lie on the stack, further out.
///
/// # Safety
/// Everything from `slot` to the end of the thread's stack is readable.
#[cold]
#[inline(never)]
unsafe fn step_rarely(thread: &mut Thread, slot: u64, address: u64, bp: u64) -> Step {
    let (_, rule) = frames::frame_of(thread, address);
    let slot_max = thread.stack.high - 8;
    match rule.kind() {
        Kind::Plain => {
            let base = if rule.is_from_bp() { bp } else { slot + 8 };
            let cfa = base.wrapping_add_signed(rule.offset());
            let (next, at) = (cfa.wrapping_sub(8), cfa.wrapping_sub(rule.bp_words() * 8));
            if next <= slot || next > slot_max {
                return Step::Lost;
            }
            match rule.bp_words() {
                0 => Step::Caller(next, bp),
                // SAFETY: within the stack by the check.
                _ if at > slot => Step::Caller(next, unsafe { (at as *const u64).read_unaligned() }),
                _ => Step::Lost,
            }
        }
        // SAFETY: by the caller.
        Kind::Signal => unsafe { interrupted(thread, slot + 8) }.map_or(Step::Lost, Step::Interrupted),
        // JIT compilers keep the chain of frame pointers.
        Kind::Unknown if bp > slot && bp & 7 == 0 && bp + 8 <= slot_max => {
            // SAFETY: within the stack by the check.
            Step::Caller(bp + 8, unsafe { *(bp as *const u64) })
        }
        Kind::Unknown => Step::Lost,
        Kind::Outermost => Step::End,
    }
}

/// Registers of the code that a signal interrupted: (slot of its saved program counter, an address
/// that is looked up like a return address, rbp). Continues on the interrupted stack.
///
/// # Safety
/// `at` is where the kernel put the `ucontext` of a signal frame.
#[cold]
unsafe fn interrupted(thread: &Thread, at: u64) -> Option<(u64, u64, u64)> {
    // ucontext: flags 8, link 8, stack 24, then r8-r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
    const RBP: u64 = 40 + 10 * 8;
    const RSP: u64 = 40 + 15 * 8;
    const RIP: u64 = 40 + 16 * 8;
    if at + RIP + 8 > thread.stack.high {
        return None;
    }
    // SAFETY: within the stack; the layout is the kernel's ABI.
    let (bp, sp, pc) =
        unsafe { (*((at + RBP) as *const u64), *((at + RSP) as *const u64), *((at + RIP) as *const u64)) };
    // Only on the same stack: the caller keeps one upper bound.
    if sp <= at || sp >= thread.stack.high {
        return None;
    }
    // `slot + 8` must be the stack pointer; one more than the program counter because lookups look one before.
    Some((sp - 8, pc + 1, bp))
}

/// The mapping that contains `address`, from `/proc/self/maps`.
#[cold]
fn mapping_of(address: u64) -> Option<(u64, u64)> {
    let fd = sys::open(b"/proc/self/maps\0", sys::O_RDONLY | sys::O_CLOEXEC)?;
    let mut found = None;
    let mut buffer = [0u8; 512];
    // Line: "start-end perms ...". Only the two numbers matter; the rest of a line is skipped.
    let (mut start, mut number, mut field) = (0u64, 0u64, 0);
    'file: loop {
        let n = sys::read(fd, &mut buffer);
        if n <= 0 {
            break;
        }
        for &byte in &buffer[..n as usize] {
            match (field, byte) {
                (_, b'\n') => (number, field) = (0, 0),
                (0, b'-') => (start, number, field) = (number, 0, 1),
                (1, b' ') => {
                    if start <= address && address < number {
                        found = Some((start, number));
                        break 'file;
                    }
                    field = 2;
                }
                (0 | 1, _) => {
                    let digit = (byte as char).to_digit(16).unwrap_or(0);
                    number = number << 4 | u64::from(digit);
                }
                _ => {}
            }
        }
    }
    sys::close(fd);
    found
}
