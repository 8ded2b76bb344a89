//! Cycles by three generations: the rules of CPython up to 3.13.
//!
//! ```text
//! allocations - frees > 700      youngest collected > 10 times      middle collected > 10 times, and
//!  [ youngest ] --survivors-->   [ middle ] --survivors-->          survivors of the middle >= oldest / 4
//!                                                                    [ oldest ] <--survivors--
//! ```
//!
//! The oldest generation that is due is collected with all younger ones. The last condition makes the number of whole
//! collections logarithmic in a heap that only grows (CPython's devguide, "Garbage collector design").
//!
//! Invariant: `count[0] == allocations - frees of objects with fields since the last collection, but not below 0`.

use super::{ByAge, State as Counting};
use crate::core::Core;
use crate::heap::Shape;
use crate::statistics::PauseKind;

/// When each of three generations is collected.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Generations {
    /// The youngest: allocations more than frees. The others: collections of the one before.
    pub thresholds: [u32; 3],
    /// The oldest is collected only if what came to it since is at least this part of what it held; 0.25 in CPython.
    pub long_lived_ratio: f64,
}

impl Generations {
    /// CPython 3.11 and 3.12: thresholds 700, 10, 10.
    pub const CPYTHON_3_11: Self = Self { thresholds: [700, 10, 10], long_lived_ratio: 0.25 };
    /// CPython 3.13: thresholds 2,000, 10, 10.
    pub const CPYTHON_3_13: Self = Self { thresholds: [2000, 10, 10], long_lived_ratio: 0.25 };
}

pub(super) struct State {
    options: Generations,
    counts: [u32; 3],
    lists: [Vec<(u32, u32)>; 3],
    long_lived: usize,
    pending: usize,
}

impl State {
    pub fn new(options: Generations) -> Self {
        Self { options, counts: [0; 3], lists: Default::default(), long_lived: 0, pending: 0 }
    }

    /// An object is about to be made: the generation that is due.
    #[inline]
    pub fn allocation(&mut self, shape: Shape) -> Option<usize> {
        if shape.references == 0 {
            return None;
        }
        self.counts[0] = self.counts[0].saturating_add(1);
        if self.counts[0] <= self.options.thresholds[0] {
            return None;
        }
        let worth = self.pending as f64 >= self.long_lived as f64 * self.options.long_lived_ratio;
        (0..3).rev().find(|&it| self.counts[it] > self.options.thresholds[it] && (it < 2 || worth))
    }

    pub fn made(&mut self, core: &Core, index: u32, shape: Shape) {
        if shape.references > 0 {
            self.lists[0].push((index, core.entry(index).generation));
        }
    }

    pub fn freed(&mut self, core: &Core, index: u32) {
        if core.shape(index).references > 0 {
            self.counts[0] = self.counts[0].saturating_sub(1);
        }
    }
}

impl Counting {
    /// Collects a generation with all younger ones.
    pub(super) fn collect_generation(&mut self, core: &mut Core, generation: usize) {
        self.release_zeros(core, u32::MAX);
        let ByAge::Generations(by_age) = &mut self.by_age else { return };
        let stopwatch = core.stop(PauseKind::Minor(generation as u8));
        if generation < 2 {
            by_age.counts[generation + 1] += 1;
        }
        by_age.counts[..=generation].fill(0);
        let mut members = Vec::new();
        for list in by_age.lists[..=generation].iter_mut().rev() {
            members.append(list);
        }
        self.judge(core, &mut members);
        let ByAge::Generations(by_age) = &mut self.by_age else { return };
        match generation {
            0 => {}
            1 => by_age.pending += members.len(),
            _ => (by_age.pending, by_age.long_lived) = (0, members.len()),
        }
        by_age.lists[(generation + 1).min(2)].append(&mut members);
        core.statistics.collections[generation] += 1;
        core.go_on(stopwatch);
    }
}
