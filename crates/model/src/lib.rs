//! The nouns of Heapwise, as data only: stacks and frames, the heap graph, findings, the report.
//!
//! Nothing here computes, opens or prints. Formats (`trace`, `report`) own what is written to disk:
//! no type of this crate is written as it is.
#![forbid(unsafe_code)]

mod finding;
mod graph;
mod objects;
mod report;
pub mod rule;
mod stack;

pub use finding::{
    Confidence, Edit, Engine, FIRST_STEPS, Finding, Fix, Held, HeldStep, Language, Location, Place, Related,
    RetainerStep, Retainers, Safety, Severity, StackShare, Variable,
};
pub use graph::{Bits, Edge, EdgeKind, HeapGraph, NodeId, Root};
pub use heapwise_trace::{Addr, CodeId, Family, FrameId, ModuleId, Nanos, RootKind, StackId};
pub use objects::{ObjectHeap, ObjectKind, ObjectPlace, Texts};
pub use report::{
    Child, ClassTotal, Excerpt, LeakTotals, Leaks, ObjectTotals, Phase, Program, Report, Sampled,
    SourceTotals, StackCost, Termination, Tick, Timeline, Total,
};
pub use rule::{Kind, Rule};
pub use stack::{Code, Frame, Module, ResolvedFrame, StackTable};
