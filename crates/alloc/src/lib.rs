//! Memory allocators as parts that programs, embedded systems and `heapwise replay` use alike.
//!
//! ```text
//!   Heap    allocate, free, reallocate, usable_size, purge, walk, statistics, check
//!     |
//!   free_list   boundary tags, any size; an index chooses the free block (first, next, best, worst, good fit)
//!   buddy       pages in powers of two
//!   slab        spans of one size, one owner each; pages for what is not small
//!   malloc      all of them: slab for small blocks, free list above, mappings for huge ones
//!   locked, global   a heap, or one for all threads with caches of their own, as `#[global_allocator]`
//!     |
//!   Space   where addresses come from and where the allocators keep their words:
//!             Mapped    memory of the operating system
//!             Region    a fixed range that the caller owns: no operating system needed
//!             Virtual   addresses alone; only the words that allocators write are kept
//! ```
//!
//! Allocators address memory by number and reach their own words through their space, which is a type parameter: over
//! real memory a word is one instruction, over [`Virtual`] the same code runs millions of operations a second without
//! touching the memory it manages.
//!
//! ```
//! use heapwise_alloc::{FreeList, GoodFit, Heap, Virtual};
//!
//! let mut heap = FreeList::new(Virtual::new(), GoodFit::new());
//! let block = heap.allocate(1000, 16).expect("address space is plenty");
//! assert_eq!(heap.statistics().live, 1000);
//! heap.free(block, 1000);
//! assert_eq!(heap.statistics().live, 0);
//! ```
//!
//! Absent on purpose: who allocated a block, and whether a caller keeps to the rules. What a block that is freed twice does
//! is not said: over [`Virtual`] the answers are wrong from then on, over memory it is undefined.
#![cfg_attr(not(test), no_std)]

#[cfg(feature = "virtual")]
extern crate alloc as std_alloc;

mod bits;
mod buddy;
mod classes;
#[cfg(feature = "virtual")]
#[doc(hidden)]
pub mod exercise;
mod free_list;
#[cfg(all(feature = "threads", target_arch = "x86_64", target_os = "linux", not(miri)))]
pub mod global;
mod heap;
mod indexes;
mod locked;
mod malloc;
mod slab;
mod space;
mod spaces;
mod spans;

pub use buddy::Buddy;
pub use free_list::FreeList;
pub use heap::{Block, Fault, Heap, SIZE_MAX, Statistics};
pub use indexes::{BestFit, FirstFit, GoodFit, Index, NextFit, WorstFit};
pub use locked::Locked;
pub use malloc::Malloc;
pub use slab::Slab;
pub use space::{Memory, PAGE, Reservation, Space, WORD};
#[cfg(all(feature = "mapped", unix))]
pub use spaces::Mapped;
pub use spaces::Region;
#[cfg(feature = "virtual")]
pub use spaces::Virtual;
