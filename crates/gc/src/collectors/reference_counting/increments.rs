//! Cycles by increments: the rules of CPython 3.14.0 to 3.14.4.
//!
//! ```text
//!  [ young ] ------------------------+
//!  [ pending ] -- some, with all ----+--> judged together --> survivors: [ visited ]
//!                 they reach                                   pending empty: the two change names
//! ```
//!
//! Each time the young have grown by their threshold, work becomes due: as much as there are new objects, and a part of
//! the heap, at most twice the new. A cycle begins with marking what roots reach, which is visited without being
//! judged and counts twice as work done; later calls judge the young with as many pending objects as is due.
//! (`Python/gc.c` of that version; what the interpreter's frames hold are the heap's roots here.)
//!
//! Invariant: `every listed object is among the young, pending or visited, by its bit and a list`.

use std::collections::VecDeque;

use super::{ByAge, GATHERED, State as Counting};
use crate::core::Core;
use crate::heap::Shape;
use crate::statistics::PauseKind;

/// When and how much is judged.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Increments {
    /// Allocations more than frees after which an increment is due.
    pub threshold: u32,
    /// The part of the heap that is due with each is one of so many times ten.
    pub scale: u32,
}

impl Increments {
    /// CPython 3.14.0: threshold 2,000, a hundredth of the heap.
    pub const CPYTHON_3_14: Self = Self { threshold: 2000, scale: 10 };
}

/// With their generation.
type List = Vec<(u32, u32)>;

pub(super) struct State {
    options: Increments,
    young_count: u32,
    objects: u64,
    young: List,
    pending: VecDeque<(u32, u32)>,
    visited: List,
    /// The bit of visited objects in this cycle.
    bit: u32,
    due: i64,
    marking: bool,
}

impl State {
    pub fn new(options: Increments) -> Self {
        Self {
            options,
            young_count: 0,
            objects: 0,
            young: Vec::new(),
            pending: VecDeque::new(),
            visited: Vec::new(),
            bit: GATHERED,
            due: 0,
            marking: true,
        }
    }

    /// An object is about to be made: whether an increment is due.
    #[inline]
    pub fn allocation(&mut self, shape: Shape) -> bool {
        if shape.references == 0 {
            return false;
        }
        self.young_count = self.young_count.saturating_add(1);
        self.young_count > self.options.threshold
    }

    pub fn made(&mut self, core: &mut Core, index: u32, shape: Shape) {
        if shape.references > 0 {
            self.objects += 1;
            self.young.push((index, core.entry(index).generation));
            *core.word_mut(index) |= GATHERED ^ self.bit;
        }
    }

    pub fn freed(&mut self, core: &Core, index: u32) {
        if core.shape(index).references > 0 {
            self.objects -= 1;
            self.young_count = self.young_count.saturating_sub(1);
        }
    }

    fn assess(&mut self) -> i64 {
        let new = i64::from(std::mem::take(&mut self.young_count));
        let part = self.objects as i64 / 10 / i64::from(self.options.scale.max(2));
        new + part.min(2 * new)
    }

    fn is_visited(&self, core: &Core, index: u32) -> bool {
        core.word(index) & GATHERED == self.bit
    }

    fn visit(&self, core: &mut Core, index: u32) {
        let word = core.word_mut(index);
        *word = *word & !GATHERED | self.bit;
    }

    /// Visits all that objects reach and that is pending; they are added to `found`.
    fn expand(&self, core: &mut Core, found: &mut List, mut next: usize) {
        let mut references = Vec::new();
        while let Some(&(index, _)) = found.get(next) {
            next += 1;
            core.work.traced += 1;
            references.extend(core.references(index));
            for reference in references.drain(..) {
                if !self.is_visited(core, reference) && core.shape(reference).references > 0 {
                    self.visit(core, reference);
                    found.push((reference, core.entry(reference).generation));
                }
            }
        }
    }

    /// Visits all that roots reach; how many objects that were.
    fn mark(&mut self, core: &mut Core) -> i64 {
        let mut found = List::new();
        let roots: Vec<u32> = core.all_roots().collect();
        for root in roots {
            if !self.is_visited(core, root) && core.shape(root).references > 0 {
                self.visit(core, root);
                found.push((root, core.entry(root).generation));
            }
        }
        self.expand(core, &mut found, 0);
        let marked = found.len() as i64;
        self.visited.append(&mut found);
        marked
    }

    /// All was visited, and nothing is young: the next cycle begins.
    fn complete(&mut self) {
        self.bit ^= GATHERED;
        self.pending = std::mem::take(&mut self.visited).into();
        self.due = 0;
        self.marking = true;
    }
}

impl Counting {
    /// Does what is due.
    pub(super) fn collect_increment(&mut self, core: &mut Core) {
        self.release_zeros(core, u32::MAX);
        let ByAge::Increments(by_age) = &mut self.by_age else { return };
        by_age.due += by_age.assess();
        if by_age.due < 0 {
            return;
        }
        let stopwatch = core.stop(PauseKind::Minor(1));
        let marked = by_age.mark(core);
        by_age.due -= marked;
        // The young that were marked are no longer young.
        let bit = by_age.bit;
        by_age.young.retain(|&(index, generation)| {
            core.entry(index).generation == generation && core.word(index) & GATHERED != bit
        });
        if std::mem::take(&mut by_age.marking) {
            by_age.due -= marked;
        } else {
            let mut members = std::mem::take(&mut by_age.young);
            for &(index, _) in &members {
                by_age.visit(core, index);
            }
            while (members.len() as i64) < by_age.due {
                let Some((index, generation)) = by_age.pending.pop_front() else { break };
                if core.entry(index).generation == generation && !by_age.is_visited(core, index) {
                    by_age.visit(core, index);
                    let next = members.len();
                    members.push((index, generation));
                    by_age.expand(core, &mut members, next);
                }
            }
            by_age.due -= members.len() as i64;
            self.judge(core, &mut members);
            let ByAge::Increments(by_age) = &mut self.by_age else { return };
            by_age.visited.append(&mut members);
            while let Some(&(index, generation)) = by_age.pending.front() {
                if core.entry(index).generation == generation && !by_age.is_visited(core, index) {
                    break;
                }
                by_age.pending.pop_front();
            }
            if by_age.pending.is_empty() {
                by_age.complete();
            }
        }
        core.statistics.collections[1] += 1;
        core.go_on(stopwatch);
    }

    /// Judges everything at once.
    pub(super) fn collect_all_increments(&mut self, core: &mut Core) {
        let ByAge::Increments(by_age) = &mut self.by_age else { return };
        let stopwatch = core.stop(PauseKind::Full);
        let mut members = std::mem::take(&mut by_age.young);
        members.append(&mut by_age.visited);
        // An object that was visited since may still be listed as pending as well.
        for &(index, generation) in &members {
            if core.entry(index).generation == generation {
                by_age.visit(core, index);
            }
        }
        for (index, generation) in std::mem::take(&mut by_age.pending) {
            if core.entry(index).generation == generation && !by_age.is_visited(core, index) {
                by_age.visit(core, index);
                members.push((index, generation));
            }
        }
        self.judge(core, &mut members);
        let ByAge::Increments(by_age) = &mut self.by_age else { return };
        by_age.visited = members;
        by_age.complete();
        by_age.young_count = 0;
        core.statistics.collections[2] += 1;
        core.go_on(stopwatch);
    }
}
