//! The call stack of an event, as a number.
//!
//! The stack captured last in the thread is kept, outermost frame first:
//!
//! ```text
//!   frames[i]  where the return address lies on the stack (descending), and the address
//!   ids[i]     number of the stack up to and including frame i
//! ```
//!
//! **Paths.** Where the innermost frame is new, chances are that an earlier event came from the same place
//! at the same depth: what was unwound then is kept by stack pointer and return address, and compared
//! with memory as above. A comparison's loads do not wait for each other, as those of unwinding do.
//!
//! One such chain serves allocations and frees: two were tried, and unwound up to half as much again,
//! because the event before this one is the nearest in the call tree whatever it was.
//!
//! **Reuse.** An event unwinds from its innermost frame only until it meets a frame whose slot and return
//! address are the cached ones; if the return addresses in all slots further out still stand in memory,
//! the rest of the stack is the cached one. A slot is 8 bytes that the calls themselves write, so a frame
//! that was left and entered anew from elsewhere shows; that a dynamically sized frame changes its size
//! while every return address above stays at its place, is the one case left out.

use crate::cfi::{Kind, Rule};
use crate::stream::Thread;
use crate::{frames, real, sys};
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
const LANES: usize = 4;

/// The stack captured last.
#[repr(C)]
pub struct Chain {
    length: usize,
    /// Frame `i` is `frames[LANES + i]`. The first `LANES` are further out than any and always in place:
    /// a word at the upper end of the stack and its value.
    frames: [Frame; LANES + DEPTH_MAX],
    ids: [u32; DEPTH_MAX],
}

/// Inner frames kept per path.
const PATH_FRAMES: usize = 7;
/// Paths kept, by stack pointer and innermost return address.
const PATHS: usize = 256;

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
    pub fn clear(&mut self) {
        (self.left, self.found, self.is_tried) = (WINDOW, 0, true);
        self.paths.iter_mut().for_each(|it| it.count = 0);
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
#[repr(C)]
pub struct Known {
    /// `frames::epoch` that the entries are of.
    epoch: u32,
    entries: [(u64, u32, Rule); KNOWN],
}

const KNOWN: usize = 256;

impl Known {
    /// Number and rule of the frame that a call returns to at `address`.
    #[inline(always)]
    fn index(address: u64) -> usize {
        ((address ^ address >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - KNOWN.trailing_zeros()))
            as usize
    }

    pub fn clear(&mut self) {
        self.epoch = frames::epoch();
        self.entries.fill((0, 0, Rule::UNKNOWN));
    }
}

#[inline(always)]
fn frame_of(thread: &mut Thread, address: u64) -> (u32, Rule) {
    let (known, number, rule) = thread.known.entries[Known::index(address)];
    if known == address {
        return (number, rule);
    }
    find_frame(thread, address)
}

#[inline(never)]
fn find_frame(thread: &mut Thread, address: u64) -> (u32, Rule) {
    let (number, rule) = frames::frame_of(thread, address);
    thread.known.entries[Known::index(address)] = (address, number, rule);
    (number, rule)
}

/// Frames found by unwinding, innermost first, before they are numbered.
#[repr(C)]
pub struct Scratch {
    frames: [Frame; DEPTH_MAX],
    numbers: [u32; DEPTH_MAX],
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
        // SAFETY: by the caller.
        let address = unsafe { *(bounds.last_word as *const u64) };
        self.frames[..LANES].fill(Frame { slot: bounds.last_word, address });
    }
}

/// Number of the stack of a function that was entered with `sp` (pointing at its return address) and `bp`.
///
/// # Safety
/// `sp` and `bp` are the registers at the entry of an interposed function of this thread.
#[inline(always)]
pub unsafe fn capture(thread: &mut Thread, sp: *const u64, bp: u64) -> u32 {
    let slot = sp as u64;
    if slot < thread.stack.low || slot >= thread.stack.high {
        thread.stack.switch(slot);
        // SAFETY: `sp` lies on that stack.
        unsafe { thread.chain.clear(&thread.stack) };
    }
    // SAFETY: the return address of the interposed function.
    let address = unsafe { *sp };
    let chain = &mut thread.chain;
    let length = frames_outside(chain, chain.length, slot);
    // SAFETY: the cached slots lie further out on the live part of this stack; `length <= DEPTH_MAX`.
    unsafe {
        let length = match meet(chain, length, slot, address) {
            Meeting::Same => {
                chain.length = length;
                return *chain.ids.get_unchecked(length - 1);
            }
            Meeting::Outer(length) => length,
        };
        if thread.paths.are_tried()
            && let Some(id) = follow(thread, length, slot, address)
        {
            thread.paths.found += 1;
            return id;
        }
        unwind(thread, length, slot, address, bp)
    }
}

#[inline(always)]
fn path_index(slot: u64, address: u64) -> usize {
    ((slot >> 3 ^ address).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PATHS.trailing_zeros())) as usize
}

/// Takes the way that an earlier event with this stack pointer and return address took, if every return
/// address on it still stands in memory and it ends in the cached stack as then.
///
/// # Safety
/// As [`capture`]; `length` cached frames lie at `slot` or further out.
#[inline(always)]
unsafe fn follow(thread: &mut Thread, length: usize, slot: u64, address: u64) -> Option<u32> {
    let path = &thread.paths.paths[path_index(slot, address)];
    let (count, first) = (path.count, path.frames[0]);
    if count == 0 || count > PATH_FRAMES || first.slot != slot || first.address != address {
        return None;
    }
    let met = path.frames[count];
    if met.slot >= thread.stack.high {
        return None;
    }
    for frame in &path.frames[1..count] {
        // SAFETY: slots ascend from `slot` to `met.slot`, both on the live part of this stack.
        if unsafe { *(frame.slot as *const u64) } != frame.address {
            return None;
        }
    }
    let chain = &mut thread.chain;
    let mut length = frames_outside(chain, length, met.slot);
    // SAFETY: as above.
    if !matches!(unsafe { meet(chain, length, met.slot, met.address) }, Meeting::Same)
        || chain.ids[length - 1] != path.ids[count]
        || length + count > DEPTH_MAX
    {
        return None;
    }
    for i in (0..count).rev() {
        chain.frames[LANES + length] = path.frames[i];
        chain.ids[length] = path.ids[i];
        length += 1;
    }
    chain.length = length;
    Some(path.ids[0])
}

/// How many of the first `length` cached frames lie at `slot` or further out.
#[inline(always)]
fn frames_outside(chain: &Chain, mut length: usize, slot: u64) -> usize {
    debug_assert!(length <= DEPTH_MAX);
    loop {
        // SAFETY: frames `length - LANES..length`; `length <= DEPTH_MAX`.
        let last = unsafe { chain.frames.get_unchecked(length..length + LANES) };
        // Slots descend: the frames below `slot` are the last ones. Those of the pad never are.
        let below: usize = last.iter().map(|it| usize::from(it.slot < slot)).sum();
        length -= below;
        if below < LANES {
            return length;
        }
    }
}

enum Meeting {
    /// The frame and everything outside it is the cached stack's.
    Same,
    /// Only so many outermost cached frames may still be right.
    Outer(usize),
}

/// Compares a frame with the innermost of `length` cached ones, and if it is that one, the rest.
///
/// # Safety
/// `length <= DEPTH_MAX`, and the slots lie on the live part of this thread's stack.
#[inline(always)]
unsafe fn meet(chain: &Chain, length: usize, slot: u64, address: u64) -> Meeting {
    if length == 0 {
        return Meeting::Outer(0);
    }
    // SAFETY: by the caller.
    let last = unsafe { *chain.frames.get_unchecked(LANES + length - 1) };
    if last.slot != slot || last.address != address {
        return Meeting::Outer(length);
    }
    let outer = length - 1;
    let mut at = outer;
    loop {
        // SAFETY: the `LANES` frames before frame `at <= DEPTH_MAX`, of the pad where there are fewer.
        let lanes = unsafe { chain.frames.get_unchecked(at..at + LANES) };
        // SAFETY: by the caller, and of the pad's word.
        let change = |frame: &Frame| unsafe { *(frame.slot as *const u64) } ^ frame.address;
        let difference = lanes.iter().fold(0, |all, frame| all | change(frame));
        if difference != 0 {
            // SAFETY: by the caller.
            let valid = unsafe { valid_prefix(chain, outer) };
            return if valid == outer { Meeting::Same } else { Meeting::Outer(valid) };
        }
        if at <= LANES {
            break;
        }
        at -= LANES;
    }
    Meeting::Same
}

/// How many of the first `length` cached frames still have their return address in place.
///
/// # Safety
/// As [`meet`].
#[inline(never)]
unsafe fn valid_prefix(chain: &Chain, length: usize) -> usize {
    // SAFETY: by the caller.
    let is_moved = |frame: &Frame| unsafe { *(frame.slot as *const u64) } != frame.address;
    chain.frames[LANES..LANES + length].iter().position(is_moved).unwrap_or(length)
}

/// Unwinds from the frame whose return address `address` lies at `slot`, until a cached frame or the end.
///
/// # Safety
/// As [`capture`]; `length` cached frames lie at `slot` or further out.
#[inline(never)]
unsafe fn unwind(
    thread: &mut Thread,
    mut length: usize,
    mut slot: u64,
    mut address: u64,
    mut bp: u64,
) -> u32 {
    if thread.known.epoch != frames::epoch() {
        thread.known.clear();
    }
    let high = thread.stack.high;
    let mut found = 0;
    let mut is_cut = false;
    loop {
        let (number, rule) = frame_of(thread, address);
        // SAFETY: `found < DEPTH_MAX`.
        unsafe {
            *thread.scratch.frames.get_unchecked_mut(found) = Frame { slot, address };
            *thread.scratch.numbers.get_unchecked_mut(found) = number;
        }
        found += 1;
        // SAFETY: by the caller.
        let step = unsafe { step(rule, slot, bp, high) };
        let Step::Caller(next, next_bp) = step else {
            // SAFETY: by the caller.
            if let Step::Interrupted(at) = step
                && found < DEPTH_MAX
                && let Some(code) = unsafe { interrupted(thread, at) }
            {
                // The interrupted function has no return address of its own on the stack: its program
                // counter stands in the signal frame.
                (slot, address, bp) = code;
                length = frames_outside(&thread.chain, length, slot + 8);
                continue;
            }
            is_cut = !matches!(step, Step::End);
            length = 0;
            break;
        };
        (slot, bp) = (next, next_bp);
        // SAFETY: `step` checked that the slot lies on the stack.
        address = unsafe { *(slot as *const u64) };
        if address < sys::PAGE as u64 {
            length = 0;
            break;
        }
        // One frame further out, about one cached frame falls away.
        while thread.chain.frames[LANES + length - 1].slot < slot {
            length -= 1;
        }
        // SAFETY: cached slots further out are on the live part of the stack.
        match unsafe { meet(&thread.chain, length, slot, address) } {
            Meeting::Same => break,
            Meeting::Outer(outer) => length = outer,
        }
        if found == DEPTH_MAX {
            (length, is_cut) = (0, true);
            break;
        }
    }
    if length + found > DEPTH_MAX {
        (length, is_cut) = (0, true);
    }
    let begin = length;
    let mut id = match length {
        0 if is_cut => frames::stack_of(thread, 0, FRAME_CUT),
        0 => 0,
        _ => thread.chain.ids[length - 1],
    };
    let mut i = found;
    while i > 0 {
        i -= 1;
        // SAFETY: filled above; `length < DEPTH_MAX` as checked above.
        unsafe {
            let number = *thread.scratch.numbers.get_unchecked(i);
            id = frames::stack_of(thread, id, number);
            *thread.chain.frames.get_unchecked_mut(LANES + length) = *thread.scratch.frames.get_unchecked(i);
            *thread.chain.ids.get_unchecked_mut(length) = id;
        }
        length += 1;
    }
    thread.chain.length = length;
    if found <= PATH_FRAMES && begin > 0 && thread.paths.is_tried {
        remember(thread, begin, found);
    }
    id
}

/// Keeps the last `count` frames of the chain, and the one they begin from, as a path.
#[inline(always)]
fn remember(thread: &mut Thread, begin: usize, count: usize) {
    let chain = &thread.chain;
    let first = chain.frames[LANES + begin + count - 1];
    let path = &mut thread.paths.paths[path_index(first.slot, first.address)];
    path.count = count;
    for i in 0..=count {
        path.frames[i] = chain.frames[LANES + begin + count - 1 - i];
        path.ids[i] = chain.ids[begin + count - 1 - i];
    }
}

enum Step {
    /// Slot of the caller's return address, and its `rbp`.
    Caller(u64, u64),
    End,
    /// Address of the saved registers of a signal frame.
    Interrupted(u64),
    Lost,
}

/// From a frame to its caller. All results lie on the stack, strictly further out.
///
/// # Safety
/// `slot..high` is readable.
#[inline(always)]
unsafe fn step(rule: Rule, slot: u64, bp: u64, high: u64) -> Step {
    if !rule.is_plain() {
        // SAFETY: by the caller.
        return unsafe { step_rarely(rule, slot, bp, high) };
    }
    let cfa = if rule.is_from_bp() { bp } else { slot + 8 }.wrapping_add_signed(rule.offset());
    let next = cfa.wrapping_sub(8);
    if next <= slot || next >= high {
        return Step::Lost;
    }
    // Unchanged: 0 words below the CFA is the word behind the return address, read and not used.
    let at = cfa.wrapping_sub(rule.bp_words() * 8);
    if at <= slot || at >= high {
        return Step::Lost;
    }
    // SAFETY: within the stack by the check.
    let saved = unsafe { (at as *const u64).read_unaligned() };
    Step::Caller(next, if rule.bp_words() == 0 { bp } else { saved })
}

/// # Safety
/// As [`step`].
#[cold]
#[inline(never)]
unsafe fn step_rarely(rule: Rule, slot: u64, bp: u64, high: u64) -> Step {
    match rule.kind() {
        Kind::Signal => Step::Interrupted(slot + 8),
        // JIT compilers keep the chain of frame pointers.
        Kind::Unknown if bp > slot && bp & 7 == 0 && bp + 16 <= high => {
            // SAFETY: within the stack by the check.
            Step::Caller(bp + 8, unsafe { *(bp as *const u64) })
        }
        Kind::Unknown => Step::Lost,
        _ => Step::End,
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
