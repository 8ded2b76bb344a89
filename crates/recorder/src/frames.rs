//! Two hash tables shared by all threads, without locks:
//!
//! ```text
//!   frames:  return address          -> number (the slot), unwind rule
//!   stacks:  (parent stack, frame)   -> number (the slot)
//! ```
//!
//! A number is the slot's place, so nothing ever moves: when a table is half full the next, four times
//! larger one takes the new entries (lookups ask the largest first). Slots are claimed by compare and
//! swap; the claimer writes the definition into its stream, stamped before the claim and committed with
//! its event. Memory of the tables is zero in forked children, whose ring starts afresh.

use crate::cfi::Rule;
use crate::stream::Thread;
use crate::{cfi, modules, session, sys};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use heapwise_trace::ring::{FRAME_CUT, MAX_STACK, Record, tag};

const LEVELS: usize = 6;
/// log2 of slots per level.
const STACK_BITS: [u32; LEVELS] = [15, 17, 19, 21, 23, 25];
const FRAME_BITS: [u32; LEVELS] = [12, 14, 16, 18, 20, 22];
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

pub fn reset() {
    STACKS.reset(&STACK_BITS, 8);
    FRAMES.reset(&FRAME_BITS, size_of::<FrameEntry>());
}

/// First number of a level: numbers start at 1, 0 is unknown.
const fn first(bits: &[u32; LEVELS], level: usize) -> u32 {
    let mut sum = 1;
    let mut i = 0;
    while i < level {
        sum += 1 << bits[i];
        i += 1;
    }
    sum
}
const STACK_FIRST: [u32; LEVELS] = firsts(&STACK_BITS);
const FRAME_FIRST: [u32; LEVELS] = firsts(&FRAME_BITS);
const fn firsts(bits: &[u32; LEVELS]) -> [u32; LEVELS] {
    let mut all = [0; LEVELS];
    let mut i = 0;
    while i < LEVELS {
        all[i] = first(bits, i);
        i += 1;
    }
    all
}
const _: () = assert!(STACK_FIRST[LEVELS - 1] + (1 << STACK_BITS[LEVELS - 1]) < MAX_STACK);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn hash(key: u64, bits: u32) -> usize {
    ((key ^ key >> 32).wrapping_mul(MULTIPLIER) >> (64 - bits)) as usize
}

/// The number of `frame` called from `parent`; 0 when the tables are full.
#[inline(always)]
pub fn stack_of(thread: &mut Thread, parent: u32, frame: u32) -> u32 {
    let key = (parent as u64) << 32 | frame as u64;
    let count = STACKS.count.load(Acquire);
    for level in (0..count).rev() {
        let base = STACKS.levels[level].base.load(Relaxed).cast::<AtomicU64>();
        let mask = (1usize << STACK_BITS[level]) - 1;
        let mut at = hash(key, STACK_BITS[level]);
        for _ in 0..PROBES {
            // SAFETY: `at <= mask`, within the level.
            let found = unsafe { &*base.add(at) }.load(Relaxed);
            if found == key {
                return STACK_FIRST[level] + at as u32;
            }
            if found == 0 {
                break;
            }
            at = at + 1 & mask;
        }
    }
    insert_stack(thread, key)
}

#[cold]
#[inline(never)]
fn insert_stack(thread: &mut Thread, key: u64) -> u32 {
    loop {
        let count = STACKS.count.load(Acquire);
        if count > 0 {
            let level = count - 1;
            let base = STACKS.levels[level].base.load(Relaxed).cast::<AtomicU64>();
            let mask = (1usize << STACK_BITS[level]) - 1;
            let mut at = hash(key, STACK_BITS[level]);
            if STACKS.levels[level].used.load(Relaxed) as usize <= mask / 2 {
                for _ in 0..PROBES {
                    // SAFETY: within the level.
                    match unsafe { &*base.add(at) }.compare_exchange(0, key, AcqRel, Acquire) {
                        Ok(_) => {
                            STACKS.levels[level].used.fetch_add(1, Relaxed);
                            let number = STACK_FIRST[level] + at as u32;
                            thread.write(Record::new(tag::STACK, 0, number as u64, key));
                            return number;
                        }
                        Err(found) if found == key => return STACK_FIRST[level] + at as u32,
                        Err(_) => at = at + 1 & mask,
                    }
                }
            }
        }
        if !STACKS.add_level(count, &STACK_BITS, 8) {
            return 0;
        }
    }
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
            at = at + 1 & mask;
        }
    }
    insert_frame(thread, address)
}

#[cold]
#[inline(never)]
fn insert_frame(thread: &mut Thread, address: u64) -> (u32, Rule) {
    let rule = cfi::rule_at(address);
    modules::announce(thread, address);
    loop {
        let count = FRAMES.count.load(Acquire);
        if count > 0 {
            let level = count - 1;
            let base = FRAMES.levels[level].base.load(Relaxed).cast::<FrameEntry>();
            let mask = (1usize << FRAME_BITS[level]) - 1;
            let mut at = hash(address, FRAME_BITS[level]);
            if FRAMES.levels[level].used.load(Relaxed) as usize <= mask / 2 {
                for _ in 0..PROBES {
                    // SAFETY: within the level.
                    let entry = unsafe { &*base.add(at) };
                    let number = FRAME_FIRST[level] + at as u32;
                    match entry.address.compare_exchange(0, address, AcqRel, Acquire) {
                        Ok(_) => {
                            entry.rule.store(rule.0, Relaxed);
                            FRAMES.levels[level].used.fetch_add(1, Relaxed);
                            // Inside the call: the line of the call, not the one after it.
                            thread.write(Record::new(tag::FRAME, 0, number as u64, address - 1));
                            return (number, rule);
                        }
                        Err(found) if found == address => return (number, rule),
                        Err(_) => at = at + 1 & mask,
                    }
                }
            }
        }
        if !FRAMES.add_level(count, &FRAME_BITS, size_of::<FrameEntry>()) {
            return (FRAME_CUT, rule);
        }
    }
}

/// Forgets the frames in `[base, end)`: another module may come to lie there.
pub fn forget(base: u64, end: u64) {
    for level in 0..FRAMES.count.load(Acquire) {
        let table = FRAMES.levels[level].base.load(Relaxed).cast::<FrameEntry>();
        for at in 0..1usize << FRAME_BITS[level] {
            // SAFETY: within the level.
            let entry = unsafe { &*table.add(at) };
            let address = entry.address.load(Relaxed);
            if address >= base && address < end {
                entry.address.store(address | GONE, Relaxed);
            }
        }
    }
}
