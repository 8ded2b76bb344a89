//! Address to function, file and line; and what an executable is before it is started.
//!
//! ```text
//!   (module, offset) -> ELF file -> build id the same? -> debug information -> frames, innermost first
//!                                                      \-> symbol table      -> one frame with a name
//!                                                       \-> nothing          -> module and offset
//! ```
//!
//! - [`Symbolizer`] resolves; a module's files are opened at its first address.
//! - [`inspect`] tells what kind of executable a file is; [`build_id`] which build.
//!
//! Invariants: a result is never empty and never made up; a file that was rebuilt since the recording
//! gives no names. Any bytes are accepted: no panic, bounded memory, time and name lengths (see
//! [`dwarf`] and [`elf`] for the caps). This crate fences `object`, `gimli` and the demanglers: none of
//! their types leaves it.
//!
//! Absent on purpose: fetching debug files over the network, formats other than ELF, relocatable objects.
#![forbid(unsafe_code)]

mod dwarf;
mod elf;
mod names;
mod source;
mod symbolizer;

pub use symbolizer::{Options, Symbolizer};
