//! What the observed process and Heapwise say to each other, and the bytes of a recording.
//!
//! - [`ids`]: addresses, stacks, frames, time.
//! - [`Event`]: everything a recording can tell, in the order it happened.
//! - [`ring`]: the memory that the recorder shares with `heapwise` (16-byte events in chunks).
//! - `recording` (feature `std`): the file: header, checksummed blocks, columns of events.
//!
//! Without `std` this crate neither allocates nor calls anything.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

mod event;
mod ids;
#[cfg(feature = "std")]
pub mod recording;
pub mod ring;

pub use event::{AttachmentKind, Event, Family, Reference, References, ResourceKind, RootKind};
pub use ids::{Addr, CodeId, FrameId, ModuleId, Nanos, StackId};
