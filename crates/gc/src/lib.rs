//! Garbage collectors as real collectors: four over one managed heap of objects behind safe handles.
//!
//! ```text
//!  Heap<C>: handles, roots, weak references, finalizers          [`Heap`]
//!     |
//!  C: ReferenceCounting | MarkSweep | Generational | Regions     one file each in `collectors/`
//!     |
//!  table of objects, segments, cells, tri-color marking          shared
//! ```
//!
//! Every collector's triggers are options, so that other systems' rules can be set; [`Statistics`] tells what
//! they cost. [`Heap::verify`] is a slow, naive check of everything, meant for tests.
//!
//! Beside it stands [`Cc`], a counted pointer for Rust programs whose cycles are collected: see [`cc`].
//!
//! Absent on purpose: threads; moving collectors for Rust's own types, which need the compiler's help.

mod blocks;
pub mod cc;
mod clock;
mod collectors;
mod core;
mod heap;
mod memory;
pub mod presets;
mod statistics;
mod tracing;
mod verify;

pub use cc::{Cc, Trace};
pub use collectors::{
    Collector, Cycles, Generational, GenerationalOptions, Generations, Increments, MarkSweep,
    MarkSweepOptions, ReferenceCounting, ReferenceCountingOptions, Regions, RegionsOptions,
};
pub use heap::{Exhausted, Handle, Heap, Root, Shape, Weak};
pub use heapwise_gc_derive::Trace;
pub use statistics::{KEPT_PAUSES, Pause, PauseKind, Statistics, Work};
pub use verify::Reachable;
