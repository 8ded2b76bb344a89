//! Regions, garbage first: marking in slices, then the regions with the most garbage are emptied under a pause goal.
//!
//! ```text
//!  marked:    [####....] [#.......] [########] [##......] [###] large
//!              live 50 %  live 12 %  live 100%  live 25 %
//!  emptied:               2nd: 12 %             3rd ...        in pauses of `pause_objects`
//!                              \_____ copied to ____/
//!                                  [###.....]
//! ```
//!
//! After Detlefs, Flood, Heller and Printezis 2004, "Garbage-First Garbage Collection". Which objects are dead, is
//! found by marking and by the sweep of the table (see [`crate::tracing`]); that tells each region's live bytes. A
//! region without live bytes is given back at once; the others are emptied in the order of their live bytes, as
//! many as fit into a pause, and a region that does not fit is continued in the next. References name entries of the
//! table, so regions need no remembered sets, which are most of the original's cost.
//!
//! Invariants:
//!
//! ```text
//! live_bytes(r) == sum of the sizes of objects in r that have an entry
//! no object is made or copied into a region that is being emptied
//! objects of r are found by their headers from 0 to top(r); those whose entry is elsewhere are dead or moved
//! ```
//!
//! Costs: a cycle O(reachable + table) for finding and O(live of the emptied + their headers) for moving; what cannot
//! be won is not moved: regions that are fuller than `full` stay.
//! Absent: young regions (see `generational`).

use super::Collector;
use crate::core::Core;
use crate::heap::Shape;
use crate::memory::Place;
use crate::statistics::PauseKind;
use crate::tracing::{Phase, Tracing};

/// Bytes whose copying counts as one object of work.
const COPY_UNIT: u64 = 64;

/// Settings of garbage-first regions.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RegionsOptions {
    /// Bytes of a region; objects of more than half of it get their own.
    pub region_bytes: u32,
    /// A cycle starts when the heap holds so many times what was live after the last one; above 1.0.
    pub growth: f64,
    /// No cycle starts below so many bytes.
    pub minimum_bytes: u64,
    /// The pause goal in objects: one traced, or 64 bytes copied, or four headers or entries looked at.
    pub pause_objects: u64,
    /// How many times faster than the program allocates the heap is gone through; above 1.0.
    pub pace: f64,
    /// Regions that are filled with live objects by more than this part are not emptied.
    pub full: f64,
}

struct Region {
    length: u32,
    top: u32,
    live_bytes: u32,
}

#[derive(Default)]
struct State {
    tracing: Tracing,
    /// By segment.
    regions: Vec<Option<Region>>,
    /// Where objects are made and copied to.
    current: Option<u32>,
    /// To be emptied, the one with the most garbage last; and where the next header of that one is.
    chosen: Vec<u32>,
    offset: u32,
    trigger_bytes: u64,
    debt: f64,
    rate: f64,
}

impl Default for RegionsOptions {
    /// Regions of 256 KiB, pauses of 4,096 objects; regions that are 85 % full stay.
    fn default() -> Self {
        Self {
            region_bytes: 256 << 10,
            growth: 2.0,
            minimum_bytes: 1 << 20,
            pause_objects: 4096,
            pace: 3.0,
            full: 0.85,
        }
    }
}

/// Garbage-first regions.
#[derive(Default)]
pub struct Regions {
    options: RegionsOptions,
    state: State,
}

impl Regions {
    /// The collector with these settings.
    pub fn new(options: RegionsOptions) -> Self {
        Self { options, state: State::default() }
    }

    /// Its settings.
    pub fn options(&self) -> &RegionsOptions {
        &self.options
    }
}

impl State {
    fn add(&mut self, core: &mut Core, length: u32) -> Option<u32> {
        let segment = core.memory.reserve(length as usize)?;
        if self.regions.len() <= segment as usize {
            self.regions.resize_with(segment as usize + 1, || None);
        }
        self.regions[segment as usize] = Some(Region { length, top: 0, live_bytes: 0 });
        Some(segment)
    }

    fn region(&mut self, segment: u32) -> &mut Region {
        self.regions[segment as usize].as_mut().expect("objects lie in regions")
    }

    /// A place for an object, and its bytes counted as live.
    fn take(&mut self, core: &mut Core, size: u32, region_bytes: u32) -> Option<Place> {
        let current = self.current.filter(|&it| {
            let region = self.region(it);
            size <= region.length - region.top
        });
        let segment = match current {
            Some(current) => current,
            None if size > region_bytes / 2 => self.add(core, size)?,
            None => {
                let new = self.add(core, region_bytes)?;
                if let Some(old) = self.current.replace(new) {
                    self.release_if_empty(core, old);
                }
                new
            }
        };
        let region = self.region(segment);
        let offset = region.top;
        region.top += size;
        region.live_bytes += size;
        Some(Place { segment, offset })
    }

    /// An object at a place died or moved away.
    fn leave(&mut self, core: &mut Core, segment: u32, size: u32) {
        self.region(segment).live_bytes -= size;
        if self.current != Some(segment) {
            self.release_if_empty(core, segment);
        }
    }

    fn release_if_empty(&mut self, core: &mut Core, segment: u32) {
        // The one that is being emptied is read until its end.
        if self.region(segment).live_bytes == 0 && self.chosen.last() != Some(&segment) {
            self.regions[segment as usize] = None;
            core.memory.release(segment);
        }
    }

    /// The regions that are worth emptying, the one with the most garbage last.
    fn choose(&mut self, full: f64) {
        let current = self.current;
        let worth = |(segment, region): (usize, &Option<Region>)| {
            let (region, segment) = (region.as_ref()?, segment as u32);
            let fill = f64::from(region.live_bytes) / f64::from(region.length);
            // A large object's region holds nothing else.
            let large = region.top == region.length && region.live_bytes == region.length;
            (fill <= full && !large && Some(segment) != current).then_some((region.live_bytes, segment))
        };
        let mut chosen: Vec<(u32, u32)> = self.regions.iter().enumerate().filter_map(worth).collect();
        chosen.sort_unstable_by(|a, b| b.cmp(a));
        self.chosen = chosen.into_iter().map(|it| it.1).collect();
        self.offset = 0;
    }

    /// Empties regions for about so many objects' worth.
    fn evacuate(&mut self, core: &mut Core, budget: u64, region_bytes: u32) {
        let start = core.work;
        let spent = |core: &Core| {
            let work = core.work.since(&start);
            work.copied_bytes / COPY_UNIT + work.swept / 4
        };
        while let Some(&segment) = self.chosen.last() {
            let top = self.region(segment).top;
            while self.offset < top {
                if spent(core) >= budget {
                    return;
                }
                let place = Place { segment, offset: self.offset };
                let (index, shape) = core.shape_at(place);
                core.work.swept += 1;
                if core.is_live(index) && core.place(index) == place {
                    let Some(to) = self.take(core, shape.size(), region_bytes) else {
                        // No memory to move into: everything stays where it is.
                        self.chosen.clear();
                        return;
                    };
                    core.relocate(index, to);
                    self.region(segment).live_bytes -= shape.size();
                }
                self.offset += shape.size();
            }
            self.chosen.pop();
            self.offset = 0;
            self.release_if_empty(core, segment);
        }
    }
}

impl Regions {
    fn region(&self) -> u32 {
        self.options.region_bytes.clamp(1 << 10, 1 << 30).next_multiple_of(8)
    }

    fn is_idle(&self) -> bool {
        self.state.tracing.phase() == Phase::Idle && self.state.chosen.is_empty()
    }

    fn begin_cycle(&mut self, core: &mut Core) {
        let live = core.live_bytes().max(1);
        // Bytes may have to be copied as well.
        let objects = core.statistics.live_objects as f64 + 1.0 + live as f64 / COPY_UNIT as f64;
        self.state.rate = self.options.pace * objects / live as f64;
        self.state.debt = 0.0;
        self.state.tracing.start(core);
    }

    fn advance(&mut self, core: &mut Core, objects: u64) {
        let region_bytes = self.region();
        let state = &mut self.state;
        if state.tracing.phase() == Phase::Idle {
            state.evacuate(core, objects, region_bytes);
        } else {
            let mut tracing = std::mem::take(&mut state.tracing);
            tracing.advance(core, objects, &mut |core, dead| {
                state.leave(core, dead.place.segment, dead.size);
            });
            state.tracing = tracing;
            if state.tracing.phase() == Phase::Idle {
                state.choose(self.options.full);
            }
        }
        if self.is_idle() {
            core.statistics.collections[0] += 1;
            let next = (core.live_bytes() as f64 * self.options.growth) as u64;
            self.state.trigger_bytes = next.max(self.options.minimum_bytes).min(core.limit_bytes());
        }
    }

    fn run_to_idle(&mut self, core: &mut Core) {
        while !self.is_idle() {
            self.advance(core, u64::MAX);
        }
    }
}

impl Collector for Regions {
    fn begin(&mut self, core: &mut Core) {
        self.state.trigger_bytes = self.options.minimum_bytes.min(core.limit_bytes());
    }

    #[inline]
    fn safepoint(&mut self, core: &mut Core, shape: Shape) {
        let bytes = u64::from(shape.size());
        if self.is_idle() {
            if core.live_bytes() + bytes <= self.state.trigger_bytes {
                return;
            }
            let stopwatch = core.stop(PauseKind::Slice);
            self.begin_cycle(core);
            core.go_on(stopwatch);
        }
        self.state.debt += self.state.rate * bytes as f64;
        if self.state.debt >= self.options.pause_objects as f64 {
            self.state.debt -= self.options.pause_objects as f64;
            let stopwatch = core.stop(PauseKind::Slice);
            self.advance(core, self.options.pause_objects.max(1));
            core.go_on(stopwatch);
        }
    }

    #[inline]
    fn place(&mut self, core: &mut Core, shape: Shape) -> Option<u32> {
        let place = self.state.take(core, shape.size(), self.region())?;
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
        if self.is_idle() {
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
        self.state.tracing.check(core)?;
        let mut live = vec![0u64; core.memory.segments()];
        for index in (1..core.entries()).filter(|&it| core.is_live(it)) {
            live[core.place(index).segment as usize] += u64::from(core.shape(index).size());
        }
        for (segment, region) in self.state.regions.iter().enumerate() {
            let said = region.as_ref().map_or(0, |it| u64::from(it.live_bytes));
            if said != live[segment] {
                return Err(format!(
                    "region {segment} has {} live bytes, the account says {said}",
                    live[segment]
                ));
            }
        }
        match self.state.chosen.iter().any(|&it| self.state.current == Some(it)) {
            true => Err("objects are made in a region that is to be emptied".into()),
            false => Ok(()),
        }
    }
}
