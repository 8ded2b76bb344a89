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
mod diff;
mod dominators;
mod findings;
mod graph;
mod growth;
mod holding;
mod index;
mod ledger;
mod mappings;
mod memory_error;
pub mod objects;
mod paths;
mod phases;
mod resources;
mod sampling;
mod table;
mod text;
mod timeline;

pub use classes::{Class, Classes, classify};
pub use diff::{SiteChange, diff};
pub use dominators::{Dominator, DominatorTree, Dominators, dominators};
pub use findings::{
    Analysis, GROWTH_MIN_BYTES, GROWTH_MIN_NS, GROWTH_OF_PEAK, TEMPORARY_MIN, TEMPORARY_OF_PROGRAM,
    TEMPORARY_OF_SITE, analyze, program, sort,
};
pub use graph::GraphBuilder;
pub use growth::Growth;
pub use holding::{Group, Holding};
pub use index::BlockIndex;
pub use ledger::{Block, Change, Ledger, Totals};
pub use mappings::Mapping;
pub use memory_error::{BlockInfo, ERRORS_MAX, FreeErrorKind, MemoryError, WildPlace};
pub use paths::{Chain, ShortestPaths, Step};
pub use phases::Phases;
pub use resources::{Open, Opener, Resources};
pub use sampling::Sampling;
pub use text::{counted, grouped};
