//! Two hash tables shared by all threads, without locks:
//!
//! ```text
//!   frames:  return address          -> number (the slot), unwind rule
//!   stacks:  (parent stack, frame)   -> number (in order of making)
//!   hints:   parent stack            -> some frames called from it, with their stacks' numbers
//! ```
//!
//! Stacks that are made one after the other have neighboring numbers, and so neighboring hints: walking a
//! stack reads few cache lines, where a hash lookup per frame would read one each (measured on cc1: 42 %
//! of the recorder's time).
//!
//! Nothing ever moves: when a table is half full the next, larger one takes the new entries (lookups ask
//! the largest first). Slots are claimed by compare and swap; the claimer writes the definition into its
//! stream, stamped before the claim and committed with its event. A stack whose number is not written yet
//! is made a second time; `heapwise` joins the two. Tables are dropped in forked children, whose ring
//! starts afresh.

use crate::cfi::Rule;
use crate::stream::Thread;
use crate::{cfi, modules, session, sys};
use core::hint::select_unpredictable;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use heapwise_trace::ring::{FRAME_CUT, MAX_STACK, Record, tag};

const LEVELS: usize = 5;
/// log2 of slots per level.
const STACK_BITS: [u32; LEVELS] = [14, 17, 20, 23, 25];
const FRAME_BITS: [u32; LEVELS] = [14, 16, 18, 20, 22];
/// A lookup gives up a level after that many neighbors.
const PROBES: usize = 32;

struct Level {
    base: AtomicPtr<u8>,
    used: AtomicU32,
}

struct Table {
    levels: [Level; LEVELS],
    /// Levels in use.
    count: AtomicUsize,
}

impl Table {
    const fn new() -> Table {
        Table {
            levels: [const { Level { base: AtomicPtr::new(core::ptr::null_mut()), used: AtomicU32::new(0) } };
                LEVELS],
            count: AtomicUsize::new(0),
        }
    }

    /// Forgets everything. Only while no other thread can look.
    fn reset(&self, bits: &[u32; LEVELS], entry: usize) {
        for (level, bits) in self.levels.iter().zip(bits) {
            let base = level.base.swap(core::ptr::null_mut(), Relaxed);
            if !base.is_null() {
                // SAFETY: mapped by `add_level`; nobody else looks.
                unsafe { sys::unmap(base, entry << bits) };
            }
            level.used.store(0, Relaxed);
        }
        self.count.store(0, Release);
    }

    #[cold]
    fn add_level(&self, count: usize, bits: &[u32; LEVELS], entry: usize) -> bool {
        if count >= LEVELS {
            return false;
        }
        let base = sys::map(entry << bits[count]);
        if base.is_null() {
            return false;
        }
        if self.levels[count].base.compare_exchange(core::ptr::null_mut(), base, AcqRel, Acquire).is_err() {
            // SAFETY: our own fresh mapping; another thread was faster.
            unsafe { sys::unmap(base, entry << bits[count]) };
        } else {
            session::own(base, entry << bits[count]);
        }
        let _ = self.count.compare_exchange(count, count + 1, AcqRel, Relaxed);
        true
    }
}

static STACKS: Table = Table::new();
static FRAMES: Table = Table::new();

/// Hints of one stack, most recent first: stack (32 bits) | frame (32 bits). 0: none.
#[repr(C)]
struct Hints([AtomicU64; WAYS]);

/// With two, an eighth of the lookups in a call tree of five branches went on to the table behind, and what that
/// lookup costs is a line missing in the cache.
const WAYS: usize = 4;

const HINTS_BITS: u32 = 16;
const HINTS_BLOCKS: usize = 1 << (28 - HINTS_BITS);
/// Blocks of hints, by the upper bits of a stack's number.
static HINTS: [AtomicPtr<Hints>; HINTS_BLOCKS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; HINTS_BLOCKS];
/// Stacks ever numbered; 0 is unknown. A forked child goes on where its parent was: live blocks tell of both's.
static MADE: AtomicU32 = AtomicU32::new(1);

pub fn reset() {
    STACKS.reset(&STACK_BITS, size_of::<StackEntry>());
    FRAMES.reset(&FRAME_BITS, size_of::<FrameEntry>());
    for block in &HINTS {
        let base = block.swap(core::ptr::null_mut(), Relaxed);
        // Numbers go on in a child: there may be gaps.
        if base.is_null() {
            continue;
        }
        // SAFETY: mapped by `hints_of`; nobody else looks.
        unsafe { sys::unmap(base.cast(), size_of::<Hints>() << HINTS_BITS) };
    }
}

/// First number of a level's slots: numbers start at 1, 0 is unknown.
const FRAME_FIRST: [u32; LEVELS] = {
    let mut all = [1; LEVELS];
    let mut i = 1;
    while i < LEVELS {
        all[i] = all[i - 1] + (1 << FRAME_BITS[i - 1]);
        i += 1;
    }
    all
};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn hash(key: u64, bits: u32) -> usize {
    ((key ^ key >> 32).wrapping_mul(MULTIPLIER) >> (64 - bits)) as usize
}

#[repr(C)]
struct StackEntry {
    /// Parent (32 bits) | frame (32 bits); 0 is free.
    key: AtomicU64,
    /// 0 until the claimer has written it.
    number: AtomicU32,
}

/// The number of `frame` called from `parent`; 0 when the tables are full.
#[inline(always)]
pub fn stack_of(thread: &mut Thread, parent: u32, frame: u32) -> u32 {
    let block = HINTS[(parent >> HINTS_BITS) as usize % HINTS_BLOCKS].load(Acquire);
    if !block.is_null() {
        // SAFETY: a block has an entry for every value of the lower bits.
        let hints = unsafe { &(*block.add((parent & ((1 << HINTS_BITS) - 1)) as usize)).0 };
        let found = hints.iter().fold(0, |found, hint| {
            let hint = hint.load(Relaxed);
            select_unpredictable(hint as u32 == frame, hint, found)
        });
        // No stack's number is 0.
        if found != 0 {
            return (found >> 32) as u32;
        }
    }
    find_stack(thread, parent, frame)
}

/// Stacks looked up last that no hint led to: those whose parent is extended by more frames than it has hints for.
/// The table behind is spread over megabytes (cc1: 36 lookups per stack, of which the line missing in the cache took
/// a third of the recorder's time).
#[repr(C)]
pub struct Wide([WideEntry; WIDE]);

/// Of another generation, it means another stack.
#[derive(Clone, Copy)]
#[repr(C)]
struct WideEntry {
    key: u64,
    generation: u32,
    number: u32,
}

const WIDE: usize = 4096;

#[inline(never)]
fn find_stack(thread: &mut Thread, parent: u32, frame: u32) -> u32 {
    let key = (parent as u64) << 32 | frame as u64;
    let generation = thread.generation as u32;
    let at = hash(key, WIDE.trailing_zeros());
    let entry = &thread.wide.0[at];
    if entry.key == key && entry.generation == generation {
        return entry.number;
    }
    let number = look_up_stack(key).unwrap_or_else(|| insert_stack(thread, key));
    thread.wide.0[at] = WideEntry { key, generation, number };
    if number != 0
        && let Some(hints) = hints_of(parent)
    {
        for i in (1..WAYS).rev() {
            hints[i].store(hints[i - 1].load(Relaxed), Relaxed);
        }
        hints[0].store((number as u64) << 32 | frame as u64, Relaxed);
    }
    number
}

fn look_up_stack(key: u64) -> Option<u32> {
    let count = STACKS.count.load(Acquire);
    for level in (0..count).rev() {
        let base = STACKS.levels[level].base.load(Relaxed).cast::<StackEntry>();
        let mask = (1usize << STACK_BITS[level]) - 1;
        let mut at = hash(key, STACK_BITS[level]);
        for _ in 0..PROBES {
            // SAFETY: `at <= mask`, within the level.
            let entry = unsafe { &*base.add(at) };
            match entry.key.load(Relaxed) {
                0 => break,
                found if found == key => return Some(entry.number.load(Acquire)).filter(|&it| it != 0),
                _ => at = (at + 1) & mask,
            }
        }
    }
    None
}

/// The hints of a stack; mapped when first asked for.
fn hints_of(stack: u32) -> Option<&'static [AtomicU64; WAYS]> {
    let slot = HINTS.get((stack >> HINTS_BITS) as usize)?;
    let mut block = slot.load(Acquire);
    if block.is_null() {
        let bytes = size_of::<Hints>() << HINTS_BITS;
        let fresh = sys::map(bytes);
        if fresh.is_null() {
            return None;
        }
        match slot.compare_exchange(core::ptr::null_mut(), fresh.cast(), AcqRel, Acquire) {
            Ok(_) => {
                session::own(fresh, bytes);
                block = fresh.cast();
            }
            Err(other) => {
                // SAFETY: our own fresh mapping; another thread was faster.
                unsafe { sys::unmap(fresh, bytes) };
                block = other;
            }
        }
    }
    // SAFETY: as in `stack_of`; blocks stay mapped as long as this image lives.
    Some(unsafe { &(*block.add((stack & ((1 << HINTS_BITS) - 1)) as usize)).0 })
}

#[cold]
#[inline(never)]
fn insert_stack(thread: &mut Thread, key: u64) -> u32 {
    loop {
        let count = STACKS.count.load(Acquire);
        if count > 0 {
            let level = count - 1;
            let base = STACKS.levels[level].base.load(Relaxed).cast::<StackEntry>();
            let mask = (1usize << STACK_BITS[level]) - 1;
            let mut at = hash(key, STACK_BITS[level]);
            if STACKS.levels[level].used.load(Relaxed) as usize <= mask / 2 {
                for _ in 0..PROBES {
                    // SAFETY: within the level.
                    let entry = unsafe { &*base.add(at) };
                    match entry.key.compare_exchange(0, key, AcqRel, Acquire) {
                        Ok(_) => {
                            STACKS.levels[level].used.fetch_add(1, Relaxed);
                            let number = define_stack(thread, key);
                            entry.number.store(number, Release);
                            return number;
                        }
                        Err(found) if found == key => {
                            return match entry.number.load(Acquire) {
                                0 => define_stack(thread, key),
                                number => number,
                            };
                        }
                        Err(_) => at = (at + 1) & mask,
                    }
                }
            }
        }
        if !STACKS.add_level(count, &STACK_BITS, size_of::<StackEntry>()) {
            return 0;
        }
    }
}

/// Numbers a stack and says what it is; 0 when the numbers are used up.
fn define_stack(thread: &mut Thread, key: u64) -> u32 {
    let number = MADE.fetch_add(1, Relaxed);
    if number >= MAX_STACK {
        MADE.store(MAX_STACK, Relaxed);
        return 0;
    }
    thread.write(Record::new(tag::STACK, 0, number as u64, key));
    number
}

#[repr(C)]
struct FrameEntry {
    /// Return address; bit 63 set when its module is gone.
    address: AtomicU64,
    /// `Rule` bits; 0 until known. Computing it twice gives the same.
    rule: AtomicU64,
}

const GONE: u64 = 1 << 63;

/// Number and unwind rule of the frame that a call returns to at `address`.
#[inline(always)]
pub fn frame_of(thread: &mut Thread, address: u64) -> (u32, Rule) {
    let count = FRAMES.count.load(Acquire);
    for level in (0..count).rev() {
        let base = FRAMES.levels[level].base.load(Relaxed).cast::<FrameEntry>();
        let mask = (1usize << FRAME_BITS[level]) - 1;
        let mut at = hash(address, FRAME_BITS[level]);
        for _ in 0..PROBES {
            // SAFETY: within the level.
            let entry = unsafe { &*base.add(at) };
            let found = entry.address.load(Relaxed);
            if found == address {
                let rule = entry.rule.load(Relaxed);
                if rule != 0 {
                    return (FRAME_FIRST[level] + at as u32, Rule(rule));
                }
                let rule = cfi::rule_at(address);
                entry.rule.store(rule.0, Relaxed);
                return (FRAME_FIRST[level] + at as u32, rule);
            }
            if found == 0 {
                break;
            }
            at = (at + 1) & mask;
        }
    }
    insert_frame(thread, address)
}

#[cold]
#[inline(never)]
fn insert_frame(thread: &mut Thread, address: u64) -> (u32, Rule) {
    let rule = cfi::rule_at(address);
    modules::announce(thread, address);
    let (number, is_new) = claim_frame(address, rule);
    if is_new {
        // Inside the call: the line of the call, not the one after it.
        thread.write(Record::new(tag::FRAME, 0, number as u64, address - 1));
    }
    (number, rule)
}

/// Marks keys that are no addresses.
const SCRIPT: u64 = 1 << 62;

/// Number of the script frame `key` (below 2^62), and whether nobody has it yet.
pub fn script_frame(key: u64) -> (u32, bool) {
    claim_frame(key | SCRIPT, Rule::default())
}

/// A slot for a frame that may be there already, and whether it is new.
fn claim_frame(address: u64, rule: Rule) -> (u32, bool) {
    loop {
        let count = FRAMES.count.load(Acquire);
        for level in (0..count).rev() {
            let base = FRAMES.levels[level].base.load(Relaxed).cast::<FrameEntry>();
            let mask = (1usize << FRAME_BITS[level]) - 1;
            let mut at = hash(address, FRAME_BITS[level]);
            let may_claim =
                level == count - 1 && FRAMES.levels[level].used.load(Relaxed) as usize <= mask / 2;
            for _ in 0..PROBES {
                // SAFETY: within the level.
                let entry = unsafe { &*base.add(at) };
                let number = FRAME_FIRST[level] + at as u32;
                let found = match entry.address.load(Acquire) {
                    0 if !may_claim => break,
                    0 => match entry.address.compare_exchange(0, address, AcqRel, Acquire) {
                        Ok(_) => {
                            entry.rule.store(rule.0, Relaxed);
                            FRAMES.levels[level].used.fetch_add(1, Relaxed);
                            return (number, true);
                        }
                        Err(found) => found,
                    },
                    found => found,
                };
                if found == address {
                    return (number, false);
                }
                at = (at + 1) & mask;
            }
        }
        if !FRAMES.add_level(count, &FRAME_BITS, size_of::<FrameEntry>()) {
            return (FRAME_CUT, false);
        }
    }
}

/// Changes whenever frames were forgotten.
static EPOCH: AtomicU32 = AtomicU32::new(0);

#[inline(always)]
pub fn epoch() -> u32 {
    EPOCH.load(Acquire)
}

/// Forgets the frames in `[base, end)`: another module may come to lie there.
pub fn forget(base: u64, end: u64) {
    let count = FRAMES.count.load(Acquire);
    for (level, bits) in FRAMES.levels.iter().zip(FRAME_BITS).take(count) {
        let table = level.base.load(Relaxed).cast::<FrameEntry>();
        for at in 0..1usize << bits {
            // SAFETY: within the level.
            let entry = unsafe { &*table.add(at) };
            let address = entry.address.load(Relaxed);
            if address >= base && address < end {
                entry.address.store(address | GONE, Relaxed);
            }
        }
    }
    EPOCH.fetch_add(1, AcqRel);
}
