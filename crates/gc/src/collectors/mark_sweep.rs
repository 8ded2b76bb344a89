//! Mark-sweep: at once, or in slices between the program's allocations.
//!
//! ```text
//! live bytes
//!   ^            _ trigger: growth x live after the last cycle
//!   |        /|  :
//!   |   /\  / |/\:/\        mark ......... sweep ..   (each allocation pays for its part)
//!   |  /  \/  '    \
//!   +--------------------> allocated bytes
//! ```
//!
//! McCarthy 1960; in slices after Dijkstra, Lamport and others 1978 with the snapshot of Yuasa 1990 (see
//! [`crate::tracing`]). Objects do not move; they lie in cells of their size class (see [`crate::blocks`]).
//!
//! Costs: allocation O(1); a cycle O(reachable + table); barrier: one comparison while idle. A slice handles about
//! `allocated bytes x objects per byte x pace` objects, so a cycle of `n` objects ends after the program has
//! allocated `live / pace` bytes, and floating garbage is at most what was allocated during the cycle.
//! Absent on purpose: compaction (see `regions`), lazy sweeping outside a cycle.

use super::Collector;
use crate::blocks::Blocks;
use crate::core::Core;
use crate::heap::Shape;
use crate::statistics::PauseKind;
use crate::tracing::{Phase, Tracing};

/// Settings of mark-sweep.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MarkSweepOptions {
    /// A cycle starts when the heap holds so many times what was live after the last one; above 1.0.
    pub growth: f64,
    /// No cycle starts below so many bytes.
    pub minimum_bytes: u64,
    /// Objects of one slice; 0 collects at once.
    pub slice_objects: u64,
    /// How many times faster than the program allocates the heap is gone through; above 1.0.
    pub pace: f64,
}

#[derive(Default)]
struct State {
    tracing: Tracing,
    blocks: Blocks,
    trigger_bytes: u64,
    /// Objects that slices owe to what was allocated.
    debt: f64,
    /// Objects' worth of work for each allocated byte.
    rate: f64,
}

impl Default for MarkSweepOptions {
    /// In slices of 4,096 objects, from 1 MiB on, at twice the live bytes.
    fn default() -> Self {
        Self { growth: 2.0, minimum_bytes: 1 << 20, slice_objects: 4096, pace: 3.0 }
    }
}

impl MarkSweepOptions {
    /// The whole heap at once, whenever it has doubled.
    pub fn stop_the_world() -> Self {
        Self { slice_objects: 0, ..Self::default() }
    }
}

/// Mark-sweep.
#[derive(Default)]
pub struct MarkSweep {
    options: MarkSweepOptions,
    state: State,
}

impl MarkSweep {
    /// The collector with these settings.
    pub fn new(options: MarkSweepOptions) -> Self {
        Self { options, state: State::default() }
    }

    /// Its settings.
    pub fn options(&self) -> &MarkSweepOptions {
        &self.options
    }
}

impl MarkSweep {
    fn begin_cycle(&mut self, core: &mut Core) {
        let live = core.live_bytes().max(1);
        self.state.rate = self.options.pace * (core.statistics.live_objects as f64 + 1.0) / live as f64;
        self.state.debt = 0.0;
        self.state.tracing.start(core);
    }

    fn advance(&mut self, core: &mut Core, objects: u64) {
        let State { tracing, blocks, .. } = &mut self.state;
        tracing.advance(core, objects, &mut |core, dead| {
            blocks.give(&mut core.memory, dead.place, dead.size);
        });
        if tracing.phase() == Phase::Idle {
            core.statistics.collections[0] += 1;
            let next = (core.live_bytes() as f64 * self.options.growth) as u64;
            self.state.trigger_bytes = next.max(self.options.minimum_bytes).min(core.limit_bytes());
        }
    }

    fn run_to_idle(&mut self, core: &mut Core) {
        while self.state.tracing.phase() != Phase::Idle {
            self.advance(core, u64::MAX);
        }
    }
}

impl Collector for MarkSweep {
    fn begin(&mut self, core: &mut Core) {
        self.state.trigger_bytes = self.options.minimum_bytes.min(core.limit_bytes());
    }

    #[inline]
    fn safepoint(&mut self, core: &mut Core, shape: Shape) {
        let bytes = u64::from(shape.size());
        if self.state.tracing.phase() == Phase::Idle {
            if core.live_bytes() + bytes <= self.state.trigger_bytes {
                return;
            }
            if self.options.slice_objects == 0 {
                return self.collect(core);
            }
            let stopwatch = core.stop(PauseKind::Slice);
            self.begin_cycle(core);
            core.go_on(stopwatch);
        }
        self.state.debt += self.state.rate * bytes as f64;
        if self.state.debt >= self.options.slice_objects as f64 {
            self.state.debt -= self.options.slice_objects as f64;
            let stopwatch = core.stop(PauseKind::Slice);
            self.advance(core, self.options.slice_objects);
            core.go_on(stopwatch);
        }
    }

    #[inline]
    fn place(&mut self, core: &mut Core, shape: Shape) -> Option<u32> {
        let place = self.state.blocks.take(&mut core.memory, shape.size())?;
        Some(core.create(place, shape, self.state.tracing.black()))
    }

    #[inline]
    fn write(&mut self, core: &mut Core, _object: u32, old: u32, _new: u32) {
        self.state.tracing.overwrite(core, old);
    }

    fn upgrade(&mut self, core: &mut Core, index: u32) -> bool {
        self.state.tracing.upgrade(core, index)
    }

    fn step(&mut self, core: &mut Core, objects: u64) {
        let stopwatch = core.stop(PauseKind::Slice);
        if self.state.tracing.phase() == Phase::Idle {
            self.begin_cycle(core);
        }
        self.advance(core, objects.max(1));
        core.go_on(stopwatch);
    }

    fn collect(&mut self, core: &mut Core) {
        let stopwatch = core.stop(PauseKind::Full);
        self.run_to_idle(core);
        self.begin_cycle(core);
        self.run_to_idle(core);
        core.go_on(stopwatch);
    }

    fn check(&self, core: &Core) -> Result<(), String> {
        self.state.tracing.check(core)
    }
}
