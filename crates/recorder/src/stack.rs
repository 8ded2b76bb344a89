//! The call stack of an event, as a number.
//!
//! The stack captured last in the thread is kept as columns, outermost frame first:
//!
//! ```text
//!   slots[i]   where the return address of frame i lies on the stack (descending)
//!   returns[i] the return address
//!   ids[i]     number of the stack up to and including frame i
//! ```
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

#[repr(C)]
pub struct Chain {
    length: usize,
    slots: [u64; DEPTH_MAX],
    returns: [u64; DEPTH_MAX],
    ids: [u32; DEPTH_MAX],
}

/// Frames found by unwinding, innermost first, before they are numbered.
#[repr(C)]
pub struct Scratch {
    slots: [u64; DEPTH_MAX],
    returns: [u64; DEPTH_MAX],
    frames: [u32; DEPTH_MAX],
}

/// Readable stack memory `[low, high)`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Bounds {
    low: u64,
    high: u64,
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
            unsafe { core::arch::asm!("mov {}, qword ptr fs:[0]", out(reg) tcb, options(nostack, pure, readonly)) };
            tcb
        };
        let own = (high.saturating_sub(OWN_STACK_MAX), high);
        // A thread's neighborhood is full of other mappings: only the main stack is that roomy.
        let own = if is_main { own } else { (high.saturating_sub(64 << 20), high) };
        Bounds { low: own.0, high: own.1, own, others: [(0, 0); OTHER_STACKS], victim: 0 }
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
    }
}

impl Chain {
    pub fn clear(&mut self) {
        self.length = 0;
    }
}

/// Number of the stack of a function that was entered with `sp` (pointing at its return address) and `bp`.
///
/// # Safety
/// `sp` and `bp` are the registers at the entry of an interposed function of this thread.
#[inline(always)]
pub unsafe fn capture(thread: &mut Thread, chain: *mut Chain, sp: *const u64, bp: u64) -> u32 {
    // SAFETY: `chain` is one of `thread`'s; no other reference to it is alive.
    let chain = unsafe { &mut *chain };
    let slot = sp as u64;
    if slot < thread.stack.low || slot >= thread.stack.high {
        thread.stack.switch(slot);
        chain.clear();
        if !core::ptr::eq(chain, &raw const thread.allocs) { thread.allocs.clear() } else { thread.frees.clear() }
    }
    // SAFETY: the return address of the interposed function.
    let address = unsafe { *sp };
    let mut length = chain.length;
    while length > 0 && chain.slots[length - 1] < slot {
        length -= 1;
    }
    if length > 0 && chain.slots[length - 1] == slot && chain.returns[length - 1] == address {
        // SAFETY: the cached slots lie further out on the live part of this stack.
        let valid = unsafe { valid_prefix(chain, length - 1) };
        if valid == length - 1 {
            chain.length = length;
            return chain.ids[length - 1];
        }
        length = valid;
    }
    // SAFETY: as above.
    unsafe { unwind(thread, chain, length, slot, address, bp) }
}

/// How many of the first `length` cached frames still have their return address in place.
///
/// # Safety
/// The slots lie on the live part of this thread's stack.
#[inline(always)]
unsafe fn valid_prefix(chain: &Chain, length: usize) -> usize {
    for i in 0..length {
        // SAFETY: by the caller; `i < length <= DEPTH_MAX`.
        unsafe {
            if *(*chain.slots.get_unchecked(i) as *const u64) != *chain.returns.get_unchecked(i) {
                return i;
            }
        }
    }
    length
}

/// Unwinds from the frame whose return address `address` lies at `slot`, until a cached frame or the end.
///
/// # Safety
/// As [`capture`]; `length` cached frames lie further out than `slot`.
#[inline(never)]
unsafe fn unwind(
    thread: &mut Thread,
    chain: &mut Chain,
    mut length: usize,
    mut slot: u64,
    mut address: u64,
    mut bp: u64,
) -> u32 {
    let scratch = &raw mut thread.scratch;
    let high = thread.stack.high;
    let mut found = 0;
    let mut is_cut = false;
    loop {
        let (frame, rule) = frames::frame_of(thread, address);
        // SAFETY: `found < DEPTH_MAX`; `frame_of` does not touch the scratch.
        unsafe {
            (*scratch).slots[found] = slot;
            (*scratch).returns[found] = address;
            (*scratch).frames[found] = frame;
        }
        found += 1;
        // SAFETY: by the caller.
        let next = match unsafe { step(rule, slot, bp, high) } {
            Step::Caller(slot, bp) => (slot, bp),
            Step::End => {
                length = 0;
                break;
            }
            Step::Interrupted(at) => {
                // SAFETY: `at` is the saved registers of a signal frame on this stack.
                match unsafe { interrupted(thread, at) } {
                    Some(it) => {
                        // The interrupted function has no return address of its own on the stack:
                        // its program counter stands in the signal frame.
                        (slot, address, bp) = it;
                        while length > 0 && chain.slots[length - 1] <= slot {
                            length -= 1;
                        }
                        if found == DEPTH_MAX {
                            (length, is_cut) = (0, true);
                            break;
                        }
                        continue;
                    }
                    None => {
                        (length, is_cut) = (0, true);
                        break;
                    }
                }
            }
            Step::Lost => {
                (length, is_cut) = (0, true);
                break;
            }
        };
        (slot, bp) = next;
        // SAFETY: `step` checked that the slot lies on the stack.
        address = unsafe { *(slot as *const u64) };
        if address < 4096 {
            length = 0;
            break;
        }
        while length > 0 && chain.slots[length - 1] < slot {
            length -= 1;
        }
        if length > 0 && chain.slots[length - 1] == slot && chain.returns[length - 1] == address {
            // SAFETY: further out on the live part of the stack.
            let valid = unsafe { valid_prefix(chain, length - 1) };
            if valid == length - 1 {
                break;
            }
            length = valid;
        }
        if found == DEPTH_MAX {
            (length, is_cut) = (0, true);
            break;
        }
    }
    if length + found > DEPTH_MAX {
        (length, is_cut) = (0, true);
    }
    let mut id = match length {
        0 if is_cut => frames::stack_of(thread, 0, FRAME_CUT),
        0 => 0,
        _ => chain.ids[length - 1],
    };
    for i in (0..found).rev() {
        // SAFETY: filled above.
        let (slot, address, frame) =
            unsafe { ((*scratch).slots[i], (*scratch).returns[i], (*scratch).frames[i]) };
        id = frames::stack_of(thread, id, frame);
        chain.slots[length] = slot;
        chain.returns[length] = address;
        chain.ids[length] = id;
        length += 1;
    }
    chain.length = length;
    id
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
    let sp = slot + 8;
    let cfa = match rule.kind() {
        Kind::Sp => sp.wrapping_add_signed(rule.offset()),
        Kind::Bp => bp.wrapping_add_signed(rule.offset()),
        Kind::Outermost => return Step::End,
        Kind::Signal => return Step::Interrupted(sp),
        // JIT compilers keep the chain of frame pointers.
        Kind::Unknown => {
            if bp <= slot || bp & 7 != 0 || bp + 16 > high {
                return Step::Lost;
            }
            // SAFETY: within the stack by the check.
            return Step::Caller(bp + 8, unsafe { *(bp as *const u64) });
        }
    };
    let next = cfa.wrapping_sub(8);
    if next <= slot || next & 7 != 0 || next >= high {
        return Step::Lost;
    }
    let bp = match rule.bp_words() {
        0 => bp,
        words => {
            let at = cfa.wrapping_sub(words * 8);
            if at <= slot || at >= high {
                return Step::Lost;
            }
            // SAFETY: within the stack by the check.
            unsafe { *(at as *const u64) }
        }
    };
    Step::Caller(next, bp)
}

/// Registers of the code that a signal interrupted: (slot of its saved program counter, an address
/// that is looked up like a return address, rbp). Continues on the interrupted stack.
///
/// # Safety
/// `at` is where the kernel put the `ucontext` of a signal frame.
#[cold]
unsafe fn interrupted(thread: &mut Thread, at: u64) -> Option<(u64, u64, u64)> {
    // ucontext: flags 8, link 8, stack 24, then r8-r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
    const RBP: u64 = 40 + 10 * 8;
    const RSP: u64 = 40 + 15 * 8;
    const RIP: u64 = 40 + 16 * 8;
    if at + RIP + 8 > thread.stack.high {
        return None;
    }
    // SAFETY: within the stack; the layout is the kernel's ABI.
    let (bp, sp, pc) = unsafe {
        (*((at + RBP) as *const u64), *((at + RSP) as *const u64), *((at + RIP) as *const u64))
    };
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
