//! The library that lives in the observed process.
//!
//! ```text
//!   shims::*    interposed functions: note the stack pointer, call the real one, record
//!     |
//!   stack       call stack -> number: validate the last one, unwind only what is new
//!     |-- frames    return address -> (number, rule); (parent, frame) -> stack number
//!     |-- cfi       unwind tables -> one rule per return address
//!     |-- modules   which file an address belongs to
//!     |
//!   python      CPython: its frames behind the native ones, blocks of its own allocator, its end
//!     |
//!   node        V8: its collections, its samples, a last look before a signal ends it
//!     |
//!   sample      which blocks are told, where not all are
//!   blocks      words by the address of a block
//!   stream      records of one thread into chunks of shared memory
//!   session     the ring this process writes, the control page of `heapwise`
//!   exit        waits for the leak scan when the process ends
//!   real, tls, sys    the functions behind the interposed ones, thread-local words, system calls
//! ```
//!
//! Invariants: nothing here allocates from the program's allocator or touches `errno`; no lock is held
//! while code of the program or of libc runs; every wait is bounded and ends when `heapwise` is gone;
//! an interrupted event (signal handler) never corrupts another. Only x86-64 Linux with glibc.
//!
//! Without the feature `cdylib` nothing is exported, so that the crate can be checked like any other.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(feature = "cdylib"), allow(dead_code))]

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
compile_error!("the recorder knows x86-64 Linux with glibc only");

mod blocks;
mod cfi;
mod exit;
mod frames;
mod modules;
mod node;
mod python;
mod real;
mod sample;
mod session;
mod shims;
mod stack;
mod stream;
mod sys;
mod tls;

#[cfg(all(feature = "cdylib", not(test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::abort()
}
