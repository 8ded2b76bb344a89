//! Generational copying: a nursery of two halves, a remembered set, and an old generation that is marked and swept.
//!
//! ```text
//!            allocate                    survive                     survive again
//!  [ nursery, from ######.... ] --copy--> [ nursery, to ##........ ] --promote--> [ old: cells ]
//!            ^                                                                      |
//!            +------------------- remembered set: old objects with young references-+
//! ```
//!
//! Lieberman and Hewitt 1983, Ungar 1984; the copy is Cheney's (1970), the survivors' queue being the half they are
//! copied to. References name entries of the table, so nothing that refers to a survivor is rewritten.
//!
//! Invariants between collections:
//!
//! ```text
//! o is old and refers to a young object  =>  o is remembered
//! a young object lies in [0, top) of the nursery; age(o) < promote_age
//! survivors <= capacity of a half, so that copying never fails
//! ```
//!
//! Costs: allocation is a bump of `top` and an entry; a minor collection O(survivors + remembered) for tracing and
//! copying, and a few instructions for each header in the nursery to end the entries of the dead; barrier: two
//! tests. A major collection O(reachable + table), at once.
//! Absent: marking the old generation in slices (see `regions`, `mark_sweep`); cards: a remembered object is looked at
//! whole.

use super::Collector;
use crate::blocks::Blocks;
use crate::core::Core;
use crate::heap::Shape;
use crate::memory::Place;
use crate::statistics::PauseKind;
use crate::tracing::{Phase, Tracing};

const AGE: u32 = 0xff;
const OLD: u32 = 1 << 27;
const REMEMBERED: u32 = 1 << 28;

/// Settings of generational copying.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GenerationalOptions {
    /// Bytes of one half of the nursery at first.
    pub nursery_bytes: u32,
    /// Bytes that one half may grow to. It doubles before a collection when more than its bytes survived since it
    /// last grew.
    pub nursery_limit_bytes: u32,
    /// How many minor collections an object survives to be promoted, from 1.
    pub promote_age: u8,
    /// A major collection starts when the old generation has so many times the bytes it had after the last one.
    pub growth: f64,
    /// No major collection starts below so many bytes of the old generation.
    pub minimum_bytes: u64,
}

#[derive(Default)]
struct State {
    /// Where objects are made; the other half is reserved for the time of a collection and kept.
    nursery: Option<u32>,
    spare: Option<u32>,
    capacity: u32,
    spare_capacity: u32,
    top: u32,
    survived_bytes: u64,
    old: Blocks,
    old_bytes: u64,
    trigger_bytes: u64,
    remembered: Vec<u32>,
    promoted: Vec<u32>,
    tracing: Tracing,
    minor: u64,
}

impl Default for GenerationalOptions {
    /// 1 to 16 MiB a half, promotion at the second survival.
    fn default() -> Self {
        Self {
            nursery_bytes: 1 << 20,
            nursery_limit_bytes: 16 << 20,
            promote_age: 2,
            growth: 2.0,
            minimum_bytes: 4 << 20,
        }
    }
}

/// Generational copying.
#[derive(Default)]
pub struct Generational {
    options: GenerationalOptions,
    state: State,
}

impl Generational {
    /// The collector with these settings.
    pub fn new(options: GenerationalOptions) -> Self {
        Self { options, state: State::default() }
    }

    /// Its settings.
    pub fn options(&self) -> &GenerationalOptions {
        &self.options
    }
}

impl State {
    #[inline]
    fn is_large(&self, size: u32) -> bool {
        size > self.capacity / 4
    }

    fn keep(&mut self, core: &mut Core, index: u32, to: u32, top: &mut u32, promote_age: u32) {
        let word = core.word(index);
        if word & OLD != 0 || core.place(index).segment == to {
            return;
        }
        let size = core.shape(index).size();
        self.survived_bytes += u64::from(size);
        if (word & AGE) + 1 >= promote_age
            && let Some(place) = self.old.take(&mut core.memory, size)
        {
            core.relocate(index, place);
            *core.word_mut(index) |= OLD;
            self.old_bytes += u64::from(size);
            self.promoted.push(index);
            return;
        }
        core.relocate(index, Place { segment: to, offset: *top });
        *top += size;
        if word & AGE < AGE {
            *core.word_mut(index) += 1;
        }
    }

    /// A half for survivors.
    fn target(&mut self, core: &mut Core, wanted: u32) -> Option<(u32, u32)> {
        if let Some(spare) = self.spare.take() {
            if self.spare_capacity >= wanted {
                return Some((spare, self.spare_capacity));
            }
            core.memory.release(spare);
        }
        if let Some(segment) = core.memory.reserve(wanted as usize) {
            return Some((segment, wanted));
        }
        core.memory.reserve(self.capacity as usize).map(|segment| (segment, self.capacity))
    }

    fn minor(&mut self, core: &mut Core, wanted: u32, promote_age: u32) {
        let Some(from) = self.nursery else { return };
        let Some((to, capacity)) = self.target(core, wanted) else { return };
        let (mut top, mut scanned) = (0, 0);
        let roots: Vec<u32> = core.all_roots().collect();
        for index in roots {
            self.keep(core, index, to, &mut top, promote_age);
        }
        let remembered = std::mem::take(&mut self.remembered);
        for &index in &remembered {
            self.keep_references(core, index, to, &mut top, promote_age);
        }
        let mut scanned_old = remembered;
        loop {
            self.drain(core, to, &mut top, &mut scanned, &mut scanned_old, promote_age);
            if !self.condemn(core, from) {
                break;
            }
            let condemned: Vec<u32> = core.condemned.iter().copied().collect();
            for index in condemned {
                self.keep(core, index, to, &mut top, promote_age);
            }
        }
        for index in scanned_old {
            let young = core.references(index).any(|it| core.word(it) & OLD == 0);
            let word = core.word_mut(index);
            *word = *word & !REMEMBERED | if young { REMEMBERED } else { 0 };
            if young {
                self.remembered.push(index);
            }
        }
        self.end_dead(core, from);
        let fresh = std::mem::take(&mut core.fresh);
        let (mut old, young): (Vec<u32>, Vec<u32>) =
            fresh.into_iter().partition(|&it| core.word(it) & OLD != 0);
        core.fresh = young;
        core.registered.append(&mut old);
        (self.spare, self.spare_capacity) = (Some(from), self.capacity);
        (self.nursery, self.capacity, self.top) = (Some(to), capacity, top);
        self.minor += 1;
        core.statistics.collections[0] += 1;
    }

    fn keep_references(&mut self, core: &mut Core, index: u32, to: u32, top: &mut u32, promote_age: u32) {
        core.work.traced += 1;
        // In pieces: survivors move, and an object may have any number of fields.
        let count = core.shape(index).references;
        let mut found = [0; 64];
        for from in (0..count).step_by(found.len()) {
            let mut length = 0;
            for (slot, reference) in found.iter_mut().zip(core.references_from(index, from, 64)) {
                *slot = reference;
                length += 1;
            }
            core.work.references += length as u64;
            for &reference in &found[..length] {
                self.keep(core, reference, to, top, promote_age);
            }
        }
    }

    fn drain(
        &mut self,
        core: &mut Core,
        to: u32,
        top: &mut u32,
        scanned: &mut u32,
        scanned_old: &mut Vec<u32>,
        promote_age: u32,
    ) {
        loop {
            if let Some(index) = self.promoted.pop() {
                self.keep_references(core, index, to, top, promote_age);
                scanned_old.push(index);
            } else if *scanned < *top {
                let (index, shape) = core.shape_at(Place { segment: to, offset: *scanned });
                *scanned += shape.size();
                self.keep_references(core, index, to, top, promote_age);
            } else {
                return;
            }
        }
    }

    /// Finalizable young objects that did not survive are condemned; whether there were any.
    fn condemn(&mut self, core: &mut Core, from: u32) -> bool {
        let mut some = false;
        let mut fresh = std::mem::take(&mut core.fresh);
        fresh.retain(|&index| {
            let dead = core.word(index) & OLD == 0 && core.place(index).segment == from;
            if dead {
                core.condemn(index);
                some = true;
            }
            !dead
        });
        core.fresh = fresh;
        some
    }

    /// Ends the entries of what was left in a half.
    fn end_dead(&mut self, core: &mut Core, from: u32) {
        let mut offset = 0;
        while offset < self.top {
            let place = Place { segment: from, offset };
            let (index, shape) = core.shape_at(place);
            core.work.swept += 1;
            if core.is_live(index) && core.place(index) == place {
                core.free(index);
            }
            offset += shape.size();
        }
    }

    fn major(&mut self, core: &mut Core) {
        self.tracing.start(core);
        while self.tracing.phase() == Phase::Mark {
            self.tracing.advance(core, u64::MAX, &mut |_, _| {});
        }
        let tracing = &mut self.tracing;
        self.remembered.retain(|&it| tracing.upgrade(core, it));
        let registered = std::mem::take(&mut core.registered);
        (core.registered, core.fresh) = registered.into_iter().partition(|&it| core.word(it) & OLD != 0);
        let (old, old_bytes) = (&mut self.old, &mut self.old_bytes);
        while tracing.phase() == Phase::Sweep {
            tracing.advance(core, u64::MAX, &mut |core, dead| {
                if dead.word & OLD != 0 {
                    old.give(&mut core.memory, dead.place, dead.size);
                    *old_bytes -= u64::from(dead.size);
                }
            });
        }
        core.statistics.collections[1] += 1;
    }
}

impl Generational {
    fn minor(&mut self, core: &mut Core, promote_age: u32) {
        let stopwatch = core.stop(PauseKind::Minor(0));
        let state = &mut self.state;
        let mut wanted = state.capacity;
        if state.survived_bytes > u64::from(wanted) && wanted < self.options.nursery_limit_bytes {
            wanted = wanted.saturating_mul(2).min(self.options.nursery_limit_bytes);
            state.survived_bytes = 0;
        }
        state.minor(core, wanted, promote_age);
        core.go_on(stopwatch);
    }

    fn major(&mut self, core: &mut Core) {
        let stopwatch = core.stop(PauseKind::Full);
        self.state.major(core);
        let next = (self.state.old_bytes as f64 * self.options.growth) as u64;
        self.state.trigger_bytes = next.max(self.options.minimum_bytes);
        core.go_on(stopwatch);
    }

    #[cold]
    fn make_room(&mut self, core: &mut Core, size: u32) {
        if self.state.nursery.is_none() {
            let bytes = self.options.nursery_bytes.clamp(1 << 10, 1 << 30).next_multiple_of(8);
            self.state.nursery = core.memory.reserve(bytes as usize);
            self.state.capacity = if self.state.nursery.is_some() { bytes } else { 0 };
            self.state.trigger_bytes = self.options.minimum_bytes;
            return;
        }
        self.minor(core, u32::from(self.options.promote_age.max(1)));
        if self.state.top + size > self.state.capacity {
            self.minor(core, 1);
        }
        if self.state.old_bytes > self.state.trigger_bytes {
            self.major(core);
        }
    }
}

impl Collector for Generational {
    #[inline]
    fn safepoint(&mut self, core: &mut Core, shape: Shape) {
        let size = shape.size();
        let state = &self.state;
        if state.is_large(size) {
            if state.nursery.is_none() {
                self.make_room(core, size);
            } else if state.old_bytes + u64::from(size) > state.trigger_bytes {
                self.make_room(core, 0);
            }
        } else if size > state.capacity - state.top {
            self.make_room(core, size);
        }
    }

    #[inline]
    fn place(&mut self, core: &mut Core, shape: Shape) -> Option<u32> {
        let size = shape.size();
        let state = &mut self.state;
        let black = state.tracing.black();
        match state.nursery {
            Some(segment) if !state.is_large(size) && size <= state.capacity - state.top => {
                let offset = state.top;
                state.top += size;
                Some(core.create(Place { segment, offset }, shape, black))
            }
            _ => {
                let place = state.old.take(&mut core.memory, size)?;
                state.old_bytes += u64::from(size);
                Some(core.create(place, shape, black | OLD))
            }
        }
    }

    #[inline]
    fn write(&mut self, core: &mut Core, object: u32, _old: u32, new: u32) {
        let word = core.word(object);
        if word & (OLD | REMEMBERED) == OLD && new != 0 && core.word(new) & OLD == 0 {
            *core.word_mut(object) |= REMEMBERED;
            core.statistics.barriers += 1;
            self.state.remembered.push(object);
        }
    }

    fn upgrade(&mut self, _core: &mut Core, _index: u32) -> bool {
        true
    }

    fn step(&mut self, core: &mut Core, _objects: u64) {
        match self.state.nursery {
            Some(_) => self.minor(core, u32::from(self.options.promote_age.max(1))),
            None => core.statistics.collections[0] += 1,
        }
    }

    fn collect(&mut self, core: &mut Core) {
        self.step(core, 0);
        self.major(core);
    }

    fn check(&self, core: &Core) -> Result<(), String> {
        self.state.tracing.check(core)?;
        let is_old = |index: u32| core.word(index) & OLD != 0;
        let mut old_bytes = 0;
        for index in (1..core.entries()).filter(|&it| core.is_live(it)) {
            let (place, size) = (core.place(index), core.shape(index).size());
            if !is_old(index) {
                if Some(place.segment) != self.state.nursery || place.offset + size > self.state.top {
                    return Err(format!("entry {index} is young and lies at {place:?}"));
                }
                continue;
            }
            old_bytes += u64::from(size);
            let remembered = core.word(index) & REMEMBERED != 0;
            if remembered != self.state.remembered.contains(&index) {
                return Err(format!("entry {index} is remembered by its word or by the set, not by both"));
            }
            if !remembered && core.references(index).any(|it| !is_old(it)) {
                return Err(format!("entry {index} is old, refers to a young object, and is not remembered"));
            }
        }
        match old_bytes == self.state.old_bytes {
            true => Ok(()),
            false => Err(format!("{old_bytes} old bytes, the account says {}", self.state.old_bytes)),
        }
    }
}
