//! What a function does to its caller's memory: plain data, independent of how it was found.

use super::issue::{Assumptions, Finding, Trace};
use super::state::{Fact, Object, Status};
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

impl Summary {
    /// Leaves out what no caller reads: traces and latent issues that no way mentions, and which operation of the
    /// function made a value. So summaries stay the same when code changes that they do not depend on.
    pub fn tidy(&mut self) {
        self.meanings.iter_mut().for_each(|it| *it = without_site(*it));
        let mut traces = Renumbered::new(self.traces.len());
        let mut latent = Renumbered::new(self.latent.len());
        // Trace 0 is the one of no place at all.
        traces.add(0);
        for way in &mut self.disjuncts {
            way.each_trace(|it| *it = traces.add(*it));
            way.latent.iter_mut().for_each(|it| *it = latent.add(*it));
        }
        let mut at = 0;
        while let Some(&old) = traces.old.get(at) {
            traces.add(self.traces[old as usize].via);
            at += 1;
        }
        let old = std::mem::take(&mut self.traces);
        self.traces = traces.old.iter().map(|it| old[*it as usize]).collect();
        self.traces.iter_mut().for_each(|it| it.via = traces.new[it.via as usize]);
        let old = std::mem::take(&mut self.latent);
        self.latent = latent.old.iter().map(|it| old[*it as usize].clone()).collect();
    }

    /// What recursive calls do, as far as the first round tells.
    pub fn of_first_round(&self) -> Summary {
        let mut summary = self.clone();
        summary.latent.clear();
        for way in &mut summary.disjuncts {
            way.latent.clear();
        }
        summary.is_incomplete |= summary.disjuncts.is_empty();
        summary
    }
}

impl Disjunct {
    fn each_trace(&mut self, mut f: impl FnMut(&mut u32)) {
        self.demands.iter_mut().for_each(|it| f(&mut it.trace));
        for (_, object) in &mut self.objects {
            f(&mut object.made);
            if let Status::Freed(it) | Status::Gone(it) = &mut object.status {
                f(it);
            }
        }
        self.assumptions.first.iter_mut().for_each(|it| f(&mut it.at));
    }
}

/// New numbers for what is used, in the order of first use.
struct Renumbered {
    new: Vec<u32>,
    old: Vec<u32>,
}

impl Renumbered {
    fn new(count: usize) -> Renumbered {
        Renumbered { new: vec![u32::MAX; count], old: Vec::new() }
    }

    fn add(&mut self, old: u32) -> u32 {
        let new = &mut self.new[old as usize];
        if *new == u32::MAX {
            *new = self.old.len() as u32;
            self.old.push(old);
        }
        *new
    }
}

/// A meaning without the operation that made it: symbols of a summary are told apart by their numbers.
fn without_site(meaning: Meaning) -> Meaning {
    let (site, turn, part) = (0, 0, 0);
    match meaning {
        Meaning::Made { .. } => Meaning::Made { site, turn, part },
        Meaning::Record { .. } => Meaning::Record { site, turn, part },
        Meaning::Stamp { .. } => Meaning::Stamp { site, turn },
        Meaning::Result { source, .. } => Meaning::Result { site, turn, part, source },
        Meaning::Rounds { .. } => Meaning::Rounds { head: 0, turn },
        Meaning::Join { .. } => Meaning::Join { site, part },
        other => other,
    }
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
