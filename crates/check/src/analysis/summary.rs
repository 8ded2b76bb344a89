//! What a function does to its caller's memory: plain data, independent of how it was found.

use super::issue::{Assumptions, Finding, Trace};
use super::state::{Fact, Object};
use super::value::{Meaning, Source, Sym, Val};

/// What a function needs of the memory that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// That many bytes can be read or written there.
    Access { is_write: bool, bytes: Val },
    /// Those bytes hold what was written to them.
    Initialized { bytes: u32 },
    /// `pointer` is no pointer but a number that has to be at most 0: what lies beyond the end of an object of
    /// the function, or before its start.
    Within { is_write: bool, is_under: bool, is_stack: bool },
    /// `pointer` is the size of a block that has to hold so many bytes.
    Room { needed: i64 },
    /// The two do not overlap: `pointer` is the distance, at least that many bytes.
    Apart { bytes: Val },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Demand {
    pub need: Need,
    pub pointer: Val,
    /// Where it is needed.
    pub trace: u32,
    /// Whether it is needed on every execution of the way; otherwise on some.
    pub is_sure: bool,
    /// It is needed only where this holds.
    pub guard: Option<Guard>,
}

/// A condition on one symbol: that it lies in a range, and is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    pub sym: Sym,
    pub lo: i64,
    pub hi: i64,
    pub not: Option<i64>,
}

impl Demand {
    pub fn new(need: Need, pointer: Val, trace: u32) -> Demand {
        Demand { need, pointer, trace, is_sure: true, guard: None }
    }

    /// Whether it says no more than that a pointer is followed.
    pub fn is_plain(&self) -> bool {
        matches!(self.need, Need::Access { bytes, .. } if bytes == Val::int(1))
            && self.pointer.as_sym().is_some()
    }
}

/// One way through a function.
#[derive(Clone, Debug)]
pub struct Disjunct {
    pub facts: Vec<(Sym, Fact)>,
    pub result: Option<Val>,
    pub objects: Vec<(Sym, Object)>,
    pub latent: Vec<u32>,
    pub demands: Vec<Demand>,
    pub is_certain: bool,
    /// It ends with an exception.
    pub is_raised: bool,
    pub has_failed: bool,
    pub assumptions: Assumptions,
}

/// All ways through a function that were looked at.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Symbols by number; parts come before wholes.
    pub meanings: Vec<Meaning>,
    pub disjuncts: Vec<Disjunct>,
    pub traces: Vec<Trace>,
    /// Issues that come true where a way is possible and depends on nothing else.
    pub latent: Vec<Finding>,
    /// The budget ended before all ways were seen.
    pub is_incomplete: bool,
}

/// Calls `f` with each symbol that a meaning is made of.
pub fn each_part(meaning: Meaning, mut f: impl FnMut(Sym)) {
    let value = |it: Val, f: &mut dyn FnMut(Sym)| {
        f(it.a);
        f(it.b);
    };
    match meaning {
        Meaning::Initial { object, .. } => f(object),
        Meaning::Slot { container, key } => {
            f(container);
            value(key, &mut f);
        }
        Meaning::Written { object, stamp, .. } => {
            f(object);
            f(stamp);
        }
        Meaning::Length { object, stamp, .. } => {
            f(object);
            f(stamp);
        }
        Meaning::Element { object, offset, stamp, .. } => {
            f(object);
            value(offset, &mut f);
            f(stamp);
        }
        Meaning::Binary { left, right, .. } => {
            value(left, &mut f);
            value(right, &mut f);
        }
        Meaning::Narrow { value: it, .. } | Meaning::Other { value: it, .. } => value(it, &mut f),
        _ => {}
    }
}

/// The source of a stamp or result.
pub fn source_of(meaning: Meaning) -> Source {
    match meaning {
        Meaning::Result { source, .. } => source,
        _ => Source::Known,
    }
}
