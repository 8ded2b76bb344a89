//! A few words per thread, in initial-exec thread-local storage: two instructions to reach.

use crate::stream::Thread;
use core::arch::{asm, global_asm};

global_asm!(
    ".section .tbss.heapwise,\"awT\",@nobits",
    ".p2align 4",
    ".hidden heapwise_tls",
    ".type heapwise_tls, @object",
    ".size heapwise_tls, 48",
    "heapwise_tls:",
    ".zero 48",
    ".text",
);

/// Not inside the recorder.
pub const IDLE: u8 = 0;
/// Making an event.
pub const BUSY: u8 = 1;
/// Making an event inside a signal handler that interrupted one.
pub const NESTED: u8 = 2;
/// Running code of libc on our own behalf: nothing is recorded.
pub const OWN: u8 = 3;
// An event is one level deeper than what it interrupts.
const _: () = assert!(IDLE + 1 == BUSY && BUSY + 1 == NESTED);

/// Zero at the start of every thread.
#[repr(C)]
pub struct Tls {
    /// This thread's stream and caches, by nesting (ordinary, inside a signal handler).
    pub threads: [*mut Thread; 2],
    /// Offset 16: family promised by `operator new` or `delete` for the call to come (see `shims::cxx`).
    pub pending: u8,
    pub state: u8,
    /// Number of the fork under way.
    pub fork: u64,
    /// Bytes until the next block that is told (`sample`), and the state that decides that.
    pub left: i64,
    pub random: u64,
}

/// Bit of `Tls::pending`: `operator new` was asked for no byte (the library makes that one).
pub const PENDING_ZERO: u8 = 8;

/// Offset of `Tls::pending`, for assembly.
pub const PENDING_OFFSET: usize = 16;
const _: () = assert!(core::mem::offset_of!(Tls, pending) == PENDING_OFFSET);
const _: () = assert!(size_of::<Tls>() <= 48);

/// This thread's words. The pointer is valid as long as the thread lives.
#[inline(always)]
pub fn get() -> *mut Tls {
    let p: *mut Tls;
    // SAFETY: reads the thread pointer and a constant of the global offset table.
    unsafe {
        asm!("mov {p}, qword ptr fs:[0]", "add {p}, qword ptr [rip + heapwise_tls@GOTTPOFF]", p = out(reg) p,
             options(nostack, pure, readonly));
    }
    p
}

/// What a thread is told from others by: `pthread_t`.
pub fn thread_pointer() -> u64 {
    let p: u64;
    // SAFETY: reads the thread pointer, which points to itself (System V ABI, x86-64, TLS).
    unsafe { asm!("mov {p}, qword ptr fs:[0]", p = out(reg) p, options(nostack, pure, readonly)) };
    p
}
