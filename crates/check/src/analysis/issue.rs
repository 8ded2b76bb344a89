//! What the engine reports, and the places that a report names.

use crate::ir::Span;
use heapwise_model::{Confidence, Kind, Rule, Severity};

/// A place in a function of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    pub module: u32,
    /// Of [`crate::program::Program::functions`].
    pub function: u32,
    pub span: Span,
}

/// A bug, as the engine saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: Rule,
    pub kind: Option<Kind>,
    pub severity: Severity,
    pub confidence: Confidence,
    /// One sentence, plain text.
    pub message: String,
    pub place: Spot,
    /// Places that explain it, in the order of events.
    pub related: Vec<(String, Spot)>,
}

/// Something happened there; `via`: in a function that was called there, 0: in the function itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trace {
    pub spot: Spot,
    pub via: u32,
}
