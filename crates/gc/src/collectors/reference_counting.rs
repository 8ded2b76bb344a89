//! Reference counting, with trial deletion of cycles.
//!
//! ```text
//!          +--> B --+           suspects: [A]       count - references from within
//!   A(2) --+        +--> A      gray A, B, C        A 2-2=0, B 0, C 0: white, freed together
//!          +--> C --+           one root more on C: C 1, scanned black again with all it reaches
//! ```
//!
//! Counts after Collins 1960; cycles after Bacon and Rajan 2001, "Concurrent Cycle Collection in Reference Counted
//! Systems", the synchronous algorithm. A count that falls, but not to zero, makes its object a *suspect* (purple);
//! when suspects have so many bytes, what they reach is counted without the references from within (gray), what keeps
//! a count is restored with all it reaches (black), the rest (white) is freed.
//!
//! Roots count too. An object without a count is freed at the next safepoint, so that a handle that was just popped
//! or made can be used; each safepoint frees so many at most, so that the end of a long list is no long pause.
//!
//! Invariants while no collection runs, with `in(o)` the fields and roots that refer to `o`:
//!
//! ```text
//! count(o) == in(o)                              (or the count is stuck at its maximum)
//! count(o) == 0  =>  o is among the zeros
//! o is purple   <=>  o is among the suspects; nothing is gray or white
//! ```
//!
//! Costs: each store of a reference two counts; a collection O(what suspects reach); nothing ever looks at the rest.
//! With [`Cycles::Generations`] or [`Cycles::Increments`] nothing is suspected: all objects with fields are listed by
//! age, and a part of them is judged at a time, as CPython does; see the folder's files.
//!
//! Absent on purpose: the concurrent variant; counts that are stuck are never freed, by cycles neither.

mod generations;
mod increments;

pub use generations::Generations;
pub use increments::Increments;

use super::Collector;
use crate::blocks::Blocks;
use crate::core::{Core, FINALIZABLE};
use crate::heap::Shape;
use crate::statistics::PauseKind;

const COUNT: u32 = (1 << 26) - 1;
const COLOR: u32 = 3 << 26;
const BLACK: u32 = 0;
const GRAY: u32 = 1 << 26;
const WHITE: u32 = 2 << 26;
const PURPLE: u32 = 3 << 26;
/// Among the garbage that was gathered; with increments, whether the object was visited in an odd cycle.
const GATHERED: u32 = 1 << 28;
/// Among the zeros.
const ZERO: u32 = 1 << 29;

/// Settings of reference counting.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ReferenceCountingOptions {
    /// When and where cycles are looked for.
    pub cycles: Cycles,
    /// Objects that one safepoint frees at most because nothing refers to them.
    pub released_at_once: u32,
}

/// When and where cycles are looked for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Cycles {
    /// From suspects on, when they have so many bytes; with [`u64::MAX`] only when asked.
    Suspects {
        /// Bytes of suspects.
        bytes: u64,
    },
    /// Among all objects with fields, in three generations by age.
    Generations(Generations),
    /// Among the young and a part of the old at a time.
    Increments(Increments),
}

impl Default for ReferenceCountingOptions {
    /// Cycles from 256 KiB of suspects on.
    fn default() -> Self {
        Self { cycles: Cycles::Suspects { bytes: 256 << 10 }, released_at_once: 128 }
    }
}

/// Reference counting.
#[derive(Default)]
pub struct ReferenceCounting {
    options: ReferenceCountingOptions,
    state: State,
}

impl ReferenceCounting {
    /// The collector with these settings.
    pub fn new(options: ReferenceCountingOptions) -> Self {
        let by_age = match options.cycles {
            Cycles::Suspects { .. } => ByAge::None,
            Cycles::Generations(options) => ByAge::Generations(generations::State::new(options)),
            Cycles::Increments(options) => ByAge::Increments(increments::State::new(options)),
        };
        Self { options, state: State { by_age, ..State::default() } }
    }

    /// Its settings.
    pub fn options(&self) -> &ReferenceCountingOptions {
        &self.options
    }
}

/// How objects are listed if cycles are looked for by age.
#[derive(Default)]
enum ByAge {
    #[default]
    None,
    Generations(generations::State),
    Increments(increments::State),
}

#[derive(Default)]
struct State {
    blocks: Blocks,
    /// Objects that had no count when they came here.
    zeros: Vec<u32>,
    /// With their generation: a suspect may have been freed.
    suspects: Vec<(u32, u32)>,
    suspect_bytes: u64,
    open: Vec<u32>,
    by_age: ByAge,
    /// Counts without references from within, while a part of the heap is judged.
    outside: Vec<u32>,
}

fn color(core: &Core, index: u32) -> u32 {
    core.word(index) & COLOR
}

fn paint(core: &mut Core, index: u32, color: u32) {
    let word = core.word_mut(index);
    *word = *word & !COLOR | color;
}

#[inline]
fn increment(core: &mut Core, index: u32) {
    let word = core.word_mut(index);
    if *word & COUNT != COUNT {
        *word += 1;
    }
}

/// The count after it fell, if it is not stuck.
#[inline]
fn decrement(core: &mut Core, index: u32) -> u32 {
    let word = core.word_mut(index);
    debug_assert!(*word & COUNT != 0, "the count of entry {index} falls below zero");
    if *word & COUNT != COUNT {
        *word -= 1;
    }
    *word & COUNT
}

impl State {
    fn lose(&mut self, core: &mut Core, index: u32) {
        if decrement(core, index) == 0 {
            self.zero(core, index);
        } else {
            self.suspect(core, index);
        }
    }

    fn zero(&mut self, core: &mut Core, index: u32) {
        let word = core.word_mut(index);
        if *word & ZERO == 0 {
            *word |= ZERO;
            self.zeros.push(index);
        }
    }

    fn suspect(&mut self, core: &mut Core, index: u32) {
        if color(core, index) == PURPLE || !matches!(self.by_age, ByAge::None) {
            return;
        }
        let shape = core.shape(index);
        // An object without fields is on no cycle.
        if shape.references > 0 {
            paint(core, index, PURPLE);
            self.suspects.push((index, core.entry(index).generation));
            self.suspect_bytes += u64::from(shape.size());
        }
    }

    /// Frees objects that nothing refers to, and what only they refer to.
    fn release_zeros(&mut self, core: &mut Core, most: u32) {
        core.note_peak();
        for _ in 0..most {
            let Some(index) = self.zeros.pop() else { return };
            let word = core.word_mut(index);
            *word &= !ZERO;
            if *word & COUNT != 0 {
                continue;
            }
            if *word & FINALIZABLE != 0 {
                core.condemn(index);
                increment(core, index);
                continue;
            }
            self.open.extend(core.references(index));
            core.work.references += self.open.len() as u64;
            while let Some(reference) = self.open.pop() {
                self.lose(core, reference);
            }
            self.free(core, index);
        }
    }

    fn free(&mut self, core: &mut Core, index: u32) {
        let suspected = color(core, index) == PURPLE;
        match &mut self.by_age {
            ByAge::None => {}
            ByAge::Generations(by_age) => by_age.freed(core, index),
            ByAge::Increments(by_age) => by_age.freed(core, index),
        }
        let (place, size) = core.free(index);
        if suspected {
            self.suspect_bytes -= u64::from(size);
        }
        self.blocks.give(&mut core.memory, place, size);
    }

    /// Trial deletion from all suspects.
    fn collect_cycles(&mut self, core: &mut Core) {
        let mut suspects = std::mem::take(&mut self.suspects);
        self.suspect_bytes = 0;
        suspects.retain(|&(index, generation)| {
            core.entry(index).generation == generation && color(core, index) == PURPLE
        });
        for &(index, _) in &suspects {
            self.gray(core, index);
        }
        for &(index, _) in &suspects {
            self.scan(core, index);
        }
        let mut garbage = Vec::new();
        for &(index, _) in &suspects {
            self.gather(core, index, &mut garbage);
        }
        self.condemn(core, &garbage);
        for index in garbage {
            *core.word_mut(index) &= !GATHERED;
            if color(core, index) == WHITE {
                self.free(core, index);
            }
        }
        suspects.clear();
        self.suspects = suspects;
        core.statistics.collections[0] += 1;
    }

    /// Takes the references from within off the counts of all that the object reaches.
    fn gray(&mut self, core: &mut Core, from: u32) {
        if color(core, from) != GRAY {
            self.spread(core, from, GRAY, |core, reference| {
                decrement(core, reference);
                color(core, reference) != GRAY
            });
        }
    }

    /// Gives the object a color, and what it reaches, as far as `is_next` says so of each that is referred to.
    fn spread(&mut self, core: &mut Core, from: u32, to: u32, is_next: impl Fn(&mut Core, u32) -> bool) {
        let base = self.open.len();
        paint(core, from, to);
        self.open.push(from);
        let mut found = Vec::new();
        while self.open.len() > base {
            let index = self.open.pop().expect("there are more than at the base");
            core.work.traced += 1;
            found.extend(core.references(index));
            core.work.references += found.len() as u64;
            for reference in found.drain(..) {
                if is_next(core, reference) {
                    paint(core, reference, to);
                    self.open.push(reference);
                }
            }
        }
    }

    /// What keeps a count lives, the rest of the gray becomes white.
    fn scan(&mut self, core: &mut Core, from: u32) {
        self.open.push(from);
        while let Some(index) = self.open.pop() {
            if color(core, index) != GRAY {
                continue;
            }
            if core.word(index) & COUNT > 0 {
                self.restore(core, index);
                continue;
            }
            paint(core, index, WHITE);
            core.work.traced += 1;
            self.open.extend(core.references(index));
        }
    }

    /// Gives all that the object reaches its counts back.
    fn restore(&mut self, core: &mut Core, from: u32) {
        self.spread(core, from, BLACK, |core, reference| {
            increment(core, reference);
            color(core, reference) != BLACK
        });
    }

    fn gather(&mut self, core: &mut Core, from: u32, garbage: &mut Vec<u32>) {
        self.open.push(from);
        while let Some(index) = self.open.pop() {
            if core.word(index) & (COLOR | GATHERED) == WHITE {
                *core.word_mut(index) |= GATHERED;
                garbage.push(index);
                core.work.swept += 1;
                self.open.extend(core.references(index));
            }
        }
    }

    /// Garbage that the program wants to be told of lives once more, with all it reaches.
    fn condemn(&mut self, core: &mut Core, garbage: &[u32]) {
        let told: Vec<u32> = garbage.iter().copied().filter(|&it| core.word(it) & FINALIZABLE != 0).collect();
        for index in told {
            core.condemn(index);
            increment(core, index);
            if color(core, index) == WHITE {
                self.restore(core, index);
            }
        }
    }
}

impl State {
    /// Judges a part of the heap: frees those of `members` that nothing but members refer to, with what they reach
    /// among them; the others stay in `members`, in their order. Everything is traced once or twice.
    fn judge(&mut self, core: &mut Core, members: &mut Vec<(u32, u32)>) {
        members.retain(|&(index, generation)| core.entry(index).generation == generation);
        self.outside.resize(core.entries() as usize, 0);
        for &(index, _) in members.iter() {
            paint(core, index, GRAY);
            self.outside[index as usize] = core.word(index) & COUNT;
        }
        for &(index, _) in members.iter() {
            core.work.traced += 1;
            for reference in core.references(index) {
                if color(core, reference) == GRAY && core.word(reference) & COUNT != COUNT {
                    self.outside[reference as usize] -= 1;
                }
            }
        }
        for &(index, _) in members.iter() {
            if self.outside[index as usize] > 0 {
                self.keep(core, index);
            }
        }
        for &(index, _) in members.iter() {
            if core.word(index) & (COLOR | FINALIZABLE) == GRAY | FINALIZABLE {
                core.condemn(index);
                increment(core, index);
                self.keep(core, index);
            }
        }
        let mut garbage = Vec::new();
        members.retain(|&(index, _)| {
            let live = color(core, index) == BLACK;
            if !live {
                garbage.push(index);
            }
            live
        });
        for &index in &garbage {
            core.work.swept += 1;
            let outside = core.references(index).filter(|&it| color(core, it) == BLACK);
            self.open.extend(outside);
            while let Some(reference) = self.open.pop() {
                self.lose(core, reference);
            }
        }
        for index in garbage {
            self.free(core, index);
        }
        self.release_zeros(core, u32::MAX);
        members.retain(|&(index, generation)| core.entry(index).generation == generation);
    }

    /// What a gray object reaches is black.
    fn keep(&mut self, core: &mut Core, from: u32) {
        if color(core, from) == GRAY {
            self.spread(core, from, BLACK, |core, reference| color(core, reference) == GRAY);
        }
    }
}

impl Collector for ReferenceCounting {
    const COUNTS: bool = true;

    #[inline]
    fn safepoint(&mut self, core: &mut Core, shape: Shape) {
        core.fresh.clear();
        self.state.release_zeros(core, self.options.released_at_once.max(2));
        match (&mut self.state.by_age, self.options.cycles) {
            (ByAge::None, Cycles::Suspects { bytes }) if self.state.suspect_bytes >= bytes => {
                self.step(core, 0)
            }
            (ByAge::None, _) => {}
            (ByAge::Generations(by_age), _) => {
                if let Some(generation) = by_age.allocation(shape) {
                    self.state.collect_generation(core, generation);
                }
            }
            (ByAge::Increments(by_age), _) => {
                if by_age.allocation(shape) {
                    self.state.collect_increment(core);
                }
            }
        }
    }

    fn place(&mut self, core: &mut Core, shape: Shape) -> Option<u32> {
        let place = self.state.blocks.take(&mut core.memory, shape.size())?;
        let index = core.create(place, shape, BLACK);
        self.state.zero(core, index);
        match &mut self.state.by_age {
            ByAge::None => {}
            ByAge::Generations(by_age) => by_age.made(core, index, shape),
            ByAge::Increments(by_age) => by_age.made(core, index, shape),
        }
        Some(index)
    }

    #[inline]
    fn write(&mut self, core: &mut Core, _object: u32, old: u32, new: u32) {
        if new != 0 {
            self.retain(core, new);
        }
        if old != 0 {
            self.release(core, old);
        }
    }

    #[inline]
    fn retain(&mut self, core: &mut Core, index: u32) {
        core.statistics.barriers += 1;
        increment(core, index);
    }

    #[inline]
    fn release(&mut self, core: &mut Core, index: u32) {
        core.statistics.barriers += 1;
        self.state.lose(core, index);
    }

    fn upgrade(&mut self, _core: &mut Core, _index: u32) -> bool {
        true
    }

    fn step(&mut self, core: &mut Core, _objects: u64) {
        self.state.release_zeros(core, u32::MAX);
        match self.state.by_age {
            ByAge::None => {
                let stopwatch = core.stop(PauseKind::Full);
                self.state.collect_cycles(core);
                core.go_on(stopwatch);
            }
            ByAge::Generations(_) => self.state.collect_generation(core, 0),
            ByAge::Increments(_) => self.state.collect_increment(core),
        }
    }

    fn collect(&mut self, core: &mut Core) {
        self.state.release_zeros(core, u32::MAX);
        match self.state.by_age {
            ByAge::None => self.step(core, 0),
            ByAge::Generations(_) => self.state.collect_generation(core, 2),
            ByAge::Increments(_) => self.state.collect_all_increments(core),
        }
        // What cycles alone referred to has lost its count.
        self.state.release_zeros(core, u32::MAX);
    }

    fn check(&self, core: &Core) -> Result<(), String> {
        let mut counts = vec![0u32; core.entries() as usize];
        for index in core.all_roots() {
            counts[index as usize] += 1;
        }
        for index in (1..core.entries()).filter(|&it| core.is_live(it)) {
            for reference in core.references(index) {
                counts[reference as usize] += 1;
            }
        }
        for index in (1..core.entries()).filter(|&it| core.is_live(it)) {
            let (word, expected) = (core.word(index), counts[index as usize]);
            if word & COUNT != expected && word & COUNT != COUNT {
                return Err(format!("entry {index} counts {}, but {expected} refer to it", word & COUNT));
            }
            if word & COUNT == 0 && word & ZERO == 0 {
                return Err(format!("entry {index} counts nothing and is not among the zeros"));
            }
            if matches!(word & COLOR, GRAY | WHITE) {
                return Err(format!("entry {index} is {word:#x} outside a collection"));
            }
        }
        Ok(())
    }
}
