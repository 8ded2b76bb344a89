//! The nouns of Heapwise, as data only: stacks and frames, the heap graph, findings, the report.
//!
//! Nothing here computes, opens or prints. Formats (`trace`, `report`) own what is written to disk:
//! no type of this crate is written as it is.
#![forbid(unsafe_code)]

mod finding;
mod graph;
mod report;
pub mod rule;
mod stack;

pub use finding::{
    Confidence, Edit, Engine, Finding, Fix, Held, HeldStep, Language, Location, Place, Related, Safety,
    Severity, StackShare, Variable,
};
pub use graph::{HeapGraph, NodeId, Root};
pub use heapwise_trace::{Addr, Family, FrameId, ModuleId, Nanos, RootKind, StackId};
pub use report::{
    Child, Excerpt, LeakTotals, Leaks, Program, Report, SourceTotals, StackCost, Termination, Tick, Timeline,
    Total,
};
pub use rule::{Kind, Rule};
pub use stack::{Frame, Module, ResolvedFrame, StackTable};
