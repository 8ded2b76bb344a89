//! Interposed functions, a file per family.
//!
//! Each exported function is a few instructions of assembly that hand its stack pointer (which points at
//! the return address) and `rbp` to the Rust function behind it, and jump there.

mod cxx;
mod malloc;
mod map;
mod process;
mod signals;

pub use signals::catch_fatal_signals;
