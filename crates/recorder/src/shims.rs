//! Interposed functions, a file per family.
//!
//! Each exported function is a few instructions of assembly that hand its stack pointer (which points at
//! the return address) and `rbp` to the Rust function behind it, and jump there.

#[allow(non_snake_case, reason = "interposed names are given")]
mod cxx;
mod exec;
mod malloc;
mod map;
mod mark;
#[allow(non_snake_case, reason = "interposed names are given")]
mod process;
mod signals;

pub use signals::catch_fatal_signals;
