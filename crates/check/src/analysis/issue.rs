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

/// What a path takes for granted beyond what it proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assumption {
    pub what: Assumed,
    /// Number of the [`Trace`] where it is made.
    pub at: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assumed {
    /// That a condition on what a function did that is not seen can hold.
    Unseen,
    /// That a condition on what several paths or rounds of a loop left can hold.
    Vague,
    /// That an allocation fails.
    Failed,
    /// That what a function needs on some of its ways it needs on the way that is taken here.
    Needed,
}

impl Assumed {
    /// The end of a message.
    pub fn text(self) -> &'static str {
        match self {
            Assumed::Unseen => ", if what code that is not seen returns or writes allows it",
            Assumed::Vague => ", if a condition on values that earlier branches or rounds left can hold",
            Assumed::Failed => ", if an allocation fails",
            Assumed::Needed => ", if the function called does so with these arguments",
        }
    }

    /// What the place is at which it is assumed.
    pub fn place(self) -> &'static str {
        match self {
            Assumed::Unseen | Assumed::Vague | Assumed::Failed => "this condition is assumed to hold",
            Assumed::Needed => "this call is assumed to do so",
        }
    }
}

/// The assumptions of a path: one makes a warning of an error, a second one a note.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Assumptions {
    pub first: Option<Assumption>,
    pub has_more: bool,
}

impl Assumptions {
    pub fn add(&mut self, it: Assumption) {
        match self.first {
            None => self.first = Some(it),
            Some(first) => self.has_more |= first != it,
        }
    }

    /// Of two paths that meet, the one that assumes less tells.
    pub fn meet(&mut self, other: Assumptions) {
        if other.first.is_none() || self.first.is_some() && self.has_more && !other.has_more {
            *self = other;
        }
    }
}

/// Something happened there; `via`: in a function that was called there, 0: in the function itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trace {
    pub spot: Spot,
    pub via: u32,
}
