//! Marking in slices, and the sweep of the table: what mark-sweep, regions and the old generation share.
//!
//! ```text
//!  white: not yet reached      gray: on `open`, fields not yet looked at      black: done
//!
//!  Idle --start--> Mark --open is empty--> Finalize --nothing new--> Sweep --end of table--> Idle
//!                   ^                          |
//!                   +---- condemned objects ---+
//! ```
//!
//! Marking takes a snapshot at the beginning (Yuasa 1990): all roots are gray when it starts, a field that is
//! overwritten shades what it referred to, and new objects are black. So the invariant is the weak tri-color one:
//!
//! ```text
//! white w is referred to by a black object  =>  a path of white objects leads from a gray one to w
//! everything reachable at the start is black at the end
//! ```
//!
//! White and black are told by one bit whose meaning flips with each cycle, so that nothing is reset.
//! `mark(e) == current` for every live entry while idle, and for all that the sweep has passed.
//!
//! Costs: marking O(reachable), sweep O(table), a slice O(its budget + the roots, in the first).
//! Absent: parallel marking; a snapshot of roots in slices (all roots are read at once).

use crate::core::{Core, FINALIZABLE};
use crate::memory::Place;

/// In `Entry::word`: the mark of the cycle in which the object was last found alive.
const MARK: u32 = 1 << 29;
/// References of one object that are looked at in one go.
const STRIDE: u32 = 256;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Idle,
    Mark,
    Sweep,
}

/// An object whose entry has just ended.
pub struct Dead {
    pub word: u32,
    pub place: Place,
    pub size: u32,
}

/// The state of one collection.
pub struct Tracing {
    phase: Phase,
    current: u32,
    /// Gray objects.
    open: Vec<u32>,
    /// The rest of a gray object with many references, from this field on.
    rest: Option<(u32, u32)>,
    /// Next entry to be swept.
    cursor: u32,
    /// Where the sweep ends: entries that are new since are black.
    end: u32,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { phase: Phase::Idle, current: MARK, open: Vec::new(), rest: None, cursor: 0, end: 0 }
    }
}

impl Tracing {
    #[inline]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What the word of a new object says.
    #[inline]
    pub fn black(&self) -> u32 {
        self.current
    }

    #[inline]
    fn is_black(&self, core: &Core, index: u32) -> bool {
        core.word(index) & MARK == self.current
    }

    #[inline]
    fn shade(&mut self, core: &mut Core, index: u32) {
        let word = core.word_mut(index);
        if *word & MARK != self.current {
            *word ^= MARK;
            self.open.push(index);
        }
    }

    /// All roots become gray.
    pub fn start(&mut self, core: &mut Core) {
        debug_assert_eq!(self.phase, Phase::Idle);
        self.current ^= MARK;
        self.phase = Phase::Mark;
        let roots: Vec<u32> = core.all_roots().collect();
        for root in roots {
            self.shade(core, root);
        }
    }

    /// The barrier: a reference was overwritten.
    #[inline]
    pub fn overwrite(&mut self, core: &mut Core, old: u32) {
        if self.phase == Phase::Mark && old != 0 && !self.is_black(core, old) {
            core.statistics.barriers += 1;
            self.shade(core, old);
        }
    }

    /// Whether a weakly held object is still there; then it stays.
    pub fn upgrade(&mut self, core: &mut Core, index: u32) -> bool {
        match self.phase {
            Phase::Idle => true,
            Phase::Mark => {
                self.shade(core, index);
                true
            }
            Phase::Sweep => self.is_black(core, index),
        }
    }

    /// Goes on for about so many objects, and no further than the next phase; `free` gives back the places of
    /// dead objects.
    pub fn advance(&mut self, core: &mut Core, budget: u64, free: &mut impl FnMut(&mut Core, Dead)) {
        match self.phase {
            Phase::Idle => {}
            Phase::Mark => self.mark(core, budget),
            Phase::Sweep => self.sweep(core, budget, free),
        }
    }

    fn mark(&mut self, core: &mut Core, budget: u64) {
        let start = core.work;
        let mut found = Vec::with_capacity(STRIDE as usize);
        // A reference costs less than an object, and is no more than that.
        while core.work.traced - start.traced + (core.work.references - start.references) / 4 < budget {
            let Some((index, from)) = self.rest.take().or_else(|| self.open.pop().map(|it| (it, 0))) else {
                if !self.condemn(core) {
                    self.phase = Phase::Sweep;
                    (self.cursor, self.end) = (1, core.entries());
                }
                return;
            };
            core.work.traced += u64::from(from == 0);
            found.clear();
            found.extend(core.references_from(index, from, STRIDE));
            core.work.references += found.len() as u64;
            for &reference in &found {
                self.shade(core, reference);
            }
            if core.shape(index).references > from + STRIDE {
                self.rest = Some((index, from + STRIDE));
            }
        }
    }

    /// Finalizable objects that are white become condemned and gray; whether there were any.
    fn condemn(&mut self, core: &mut Core) -> bool {
        let fresh = std::mem::take(&mut core.fresh);
        let mut registered = std::mem::take(&mut core.registered);
        registered.extend(fresh);
        let mut some = false;
        registered.retain(|&index| {
            let keep = self.is_black(core, index);
            if !keep {
                debug_assert!(core.word(index) & FINALIZABLE != 0);
                core.condemn(index);
                some = true;
            }
            keep
        });
        core.registered = registered;
        if some {
            let condemned: Vec<u32> = core.condemned.iter().copied().collect();
            for index in condemned {
                self.shade(core, index);
            }
        }
        some
    }

    fn sweep(&mut self, core: &mut Core, budget: u64, free: &mut impl FnMut(&mut Core, Dead)) {
        // An entry costs a small part of what a traced object costs.
        let stop =
            u64::from(self.cursor).saturating_add(budget.saturating_mul(4)).min(u64::from(self.end)) as u32;
        core.work.swept += u64::from(stop - self.cursor);
        for index in self.cursor..stop {
            if core.is_live(index) && !self.is_black(core, index) {
                let word = core.word(index);
                let (place, size) = core.free(index);
                free(core, Dead { word, place, size });
            }
        }
        self.cursor = stop;
        if stop == self.end {
            self.phase = Phase::Idle;
        }
    }

    /// What the phase says of every entry.
    pub fn check(&self, core: &Core) -> Result<(), String> {
        for index in 1..core.entries() {
            let swept = match self.phase {
                Phase::Idle => true,
                Phase::Mark => false,
                Phase::Sweep => index < self.cursor || index >= self.end,
            };
            if core.is_live(index) && swept && !self.is_black(core, index) {
                return Err(format!("entry {index} is white after the sweep"));
            }
        }
        if self.phase != Phase::Mark && (!self.open.is_empty() || self.rest.is_some()) {
            return Err("gray objects outside marking".into());
        }
        if self.phase == Phase::Mark {
            return self.check_snapshot(core);
        }
        let reached = crate::verify::reached(core)?;
        match (1..core.entries()).find(|&it| reached[it as usize] && !self.is_black(core, it)) {
            Some(index) => Err(format!("entry {index} is reachable and white after marking")),
            None => Ok(()),
        }
    }

    /// The weak tri-color invariant: what is reachable and white, is reachable from a gray object through white ones.
    fn check_snapshot(&self, core: &Core) -> Result<(), String> {
        let reached = crate::verify::reached(core)?;
        let mut protected = vec![false; reached.len()];
        let mut open: Vec<u32> = self.open.iter().copied().chain(self.rest.map(|it| it.0)).collect();
        while let Some(index) = open.pop() {
            for reference in core.references(index) {
                if !self.is_black(core, reference)
                    && !std::mem::replace(&mut protected[reference as usize], true)
                {
                    open.push(reference);
                }
            }
        }
        let lost = |it: &u32| {
            let at = *it as usize;
            reached[at] && !protected[at] && !self.is_black(core, *it)
        };
        match (1..core.entries()).find(lost) {
            Some(index) => Err(format!("entry {index} is reachable, white, and no gray object protects it")),
            None => Ok(()),
        }
    }
}
