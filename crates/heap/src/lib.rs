//! From events to verdicts: the ledger of live blocks, leak classes, dominators, growth, findings.
//!
//! ```text
//!   events -> Ledger -> live blocks -> GraphBuilder -> HeapGraph -> classify -> Classes
//!                |                                         |                      |
//!                +-------------------------> findings <----+----------------------+
//! ```
//!
//! Pure computation: nothing here opens a file, looks at a process or prints. Algorithms over a graph return
//! columns indexed by `NodeId`. No input, however damaged, makes anything here panic or take memory beyond what
//! live blocks, stacks and fixed caps account for.
#![forbid(unsafe_code)]

mod classes;
mod dominators;
mod graph;
mod growth;
mod index;
mod ledger;
mod mappings;
mod memory_error;
mod paths;
mod table;
mod timeline;

pub use classes::{Class, Classes, classify};
pub use dominators::{Dominator, Dominators, dominators};
pub use graph::GraphBuilder;
pub use growth::Growth;
pub use index::BlockIndex;
pub use ledger::{Block, Ledger, Totals};
pub use mappings::Mapping;
pub use memory_error::{BlockInfo, ERRORS_MAX, FreeErrorKind, MemoryError, WildPlace};
pub use paths::{Chain, ShortestPaths, Step};
