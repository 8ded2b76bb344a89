//! The objects of a CPython process, read from outside while it stands still.
//!
//! ```text
//!   _PyRuntime -> interpreters -> the collector's lists --+
//!                              -> threads -> frames ------+-> marks (which addresses are objects)
//!                  types say where references stand  -----+     | numbered by address
//!                                                               v
//!                                     each object once more, ascending: nodes, edges, names
//!                                                               |
//!                 reference counts minus references found: what C code holds, and what nothing holds
//!                                                               v
//!                                                           ObjectHeap
//! ```
//!
//! Nothing is called in the process, and nothing of it is believed: memory may be damaged, and then what could be read
//! is told, with notes. Only the objects of the collector's lists are there to begin with; texts, numbers, and tuples of
//! them are found as what others refer to.
//!
//! Cost: every object is read twice, memory in pieces of 64 KiB; beside the result 1/40 of the process's heap, and
//! the pieces.
//!
//! Absent on purpose: free-threaded builds, whose objects are in no lists.
#![forbid(unsafe_code)]

mod dicts;
mod graph;
mod interpreter;
mod layouts;
mod marks;
mod memory;
mod names;
mod objects;
mod roots;
mod sizes;
mod types;

use heapwise_model::ObjectHeap;

pub use layouts::Version;
pub use memory::Memory;

/// What is known of the interpreter in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The address of `_PyRuntime`.
    pub runtime: u64,
    pub version: Version,
}

/// Why there is no graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the layout of CPython {version} is not known, those of 3.8 to 3.13 are")]
    UnknownVersion { version: Version },
    #[error("this is not the runtime of a CPython {version}: {what}")]
    NotARuntime { version: Version, what: String },
    #[error("this CPython {version} runs without a global lock, which is not supported")]
    FreeThreaded { version: Version },
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub heap: ObjectHeap,
    /// Functions that take down objects, of all types: their addresses, ascending.
    pub destructors: Vec<u64>,
}

/// The objects of all interpreters of a process that stands still. `blocks`: address and size of the allocator's live
/// blocks, ascending, as far as they are known; what fields of C code point to is counted with its object by them.
pub fn read(memory: &dyn Memory, interpreter: &Interpreter, blocks: &[(u64, u64)]) -> Result<Found, Error> {
    graph::read(memory, interpreter, blocks)
}
