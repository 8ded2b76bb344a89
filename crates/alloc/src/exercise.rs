//! Drives a heap with operations beside a naive twin; what tests and the fuzz target share.

use crate::heap::{Block, Heap, SIZE_MAX};
use core::fmt;
use std_alloc::collections::BTreeMap;
use std_alloc::format;
use std_alloc::string::{String, ToString};
use std_alloc::vec::Vec;

/// A small generator of numbers (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ it >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ it >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ it >> 31
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }

    /// A size, most often small, of any magnitude up to `2^bits`.
    pub fn size(&mut self, bits: u32) -> usize {
        let magnitude = self.below(bits as usize + 1).min(self.below(bits as usize + 1));
        self.below((2 << magnitude) - 1)
    }
}

/// What is done to a heap.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Allocate `size` bytes at a multiple of `2^align_log`.
    Allocate { size: usize, align_log: u32 },
    /// Free the live block of that number, counted around.
    Free { which: usize },
    /// Resize it.
    Reallocate { which: usize, size: usize },
    /// Give back what can be given back.
    Purge,
    /// Go on as another thread.
    Enter { thread: usize },
}

impl Operation {
    /// Operations that keep around `keep` blocks alive.
    pub fn random(random: &mut Random, live: usize, keep: usize, bits: u32, threads: usize) -> Operation {
        let which = random.below(live);
        match random.below(100) {
            0 if random.below(20) == 0 => Operation::Purge,
            1..4 if threads > 1 => Operation::Enter { thread: random.below(threads) },
            4..8 => Operation::Allocate { size: random.size(bits), align_log: random.below(14) as u32 },
            8..22 if live > 0 => Operation::Reallocate { which, size: random.size(bits) },
            22..60 if live > 0 => Operation::Free { which },
            60..100 if live > keep => Operation::Free { which },
            _ => Operation::Allocate { size: random.size(bits), align_log: 4 },
        }
    }
}

/// The content of blocks, where there is any.
pub trait Content<H: Heap> {
    /// Fills `[from, to)` of a block.
    fn fill(&mut self, heap: &H, at: usize, from: usize, to: usize);
    /// Whether the first `bytes` are as they were filled for a block that was at `origin`.
    fn is_intact(&mut self, heap: &H, at: usize, bytes: usize) -> bool;
}

/// Of spaces without memory.
pub struct NoContent;

impl<H: Heap> Content<H> for NoContent {
    fn fill(&mut self, _: &H, _: usize, _: usize, _: usize) {}
    fn is_intact(&mut self, _: &H, _: usize, _: usize) -> bool {
        true
    }
}

/// What the twin knows of a live block.
struct Live {
    at: usize,
    size: usize,
    align: usize,
}

/// A heap and the set of intervals that it must have given out.
pub struct Exercise<H, C> {
    /// The heap.
    pub heap: H,
    content: C,
    live: Vec<Live>,
    /// By address: usable bytes.
    intervals: BTreeMap<usize, usize>,
    requested: usize,
}

impl<H: Heap, C: Content<H>> Exercise<H, C> {
    /// Nothing live.
    pub fn new(heap: H, content: C) -> Exercise<H, C> {
        Exercise { heap, content, live: Vec::new(), intervals: BTreeMap::new(), requested: 0 }
    }

    /// How many blocks are live.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    fn enter_interval(&mut self, at: usize) -> Result<(), String> {
        let usable = self.heap.usable_size(at);
        let before = self.intervals.range(..=at).next_back();
        let behind = self.intervals.range(at..).next();
        if before.is_some_and(|(&start, &bytes)| start == at || start + bytes > at) {
            return Err(format!("{at:#x} lies in a live block"));
        }
        if behind.is_some_and(|(&start, _)| at + usable > start) {
            return Err(format!("{at:#x} + {usable} reaches into a live block"));
        }
        self.intervals.insert(at, usable);
        Ok(())
    }

    /// Does it, and compares the answer and the statistics with the twin's.
    ///
    /// # Errors
    ///
    /// What differs.
    pub fn run(&mut self, operation: Operation) -> Result<(), String> {
        match operation {
            Operation::Allocate { size, align_log } => {
                let align = 1 << align_log;
                let Some(at) = self.heap.allocate(size, align) else { return self.agree() };
                if at % align != 0 || self.heap.usable_size(at) < size {
                    return Err(format!("{at:#x} is no block of {size} bytes at a multiple of {align}"));
                }
                self.enter_interval(at)?;
                self.content.fill(&self.heap, at, 0, size);
                self.requested += size;
                self.live.push(Live { at, size, align });
            }
            Operation::Free { which } if !self.live.is_empty() => {
                let block = self.live.swap_remove(which % self.live.len());
                if !self.content.is_intact(&self.heap, block.at, block.size) {
                    return Err(format!("{:#x} was written to", block.at));
                }
                self.heap.free(block.at, block.size);
                self.intervals.remove(&block.at);
                self.requested -= block.size;
            }
            Operation::Reallocate { which, size } if !self.live.is_empty() => {
                let which = which % self.live.len();
                let Live { at: old, size: before, align } = self.live[which];
                let Some(at) = self.heap.reallocate(old, before, size, align) else { return self.agree() };
                self.intervals.remove(&old);
                self.enter_interval(at)?;
                if at % align != 0 || self.heap.usable_size(at) < size {
                    return Err(format!("{at:#x} is no block of {size} bytes at a multiple of {align}"));
                }
                if !self.content.is_intact(&self.heap, at, before.min(size)) {
                    return Err(format!("{at:#x}, which was {old:#x}, lost its content"));
                }
                self.content.fill(&self.heap, at, before.min(size), size);
                self.requested = self.requested - before + size;
                self.live[which] = Live { at, size, align };
            }
            Operation::Purge => {
                let before = self.heap.statistics();
                let purged = self.heap.purge();
                let after = self.heap.statistics();
                if after.mapped + purged != before.mapped {
                    return Err(format!("{purged} were given back, but {before:?} became {after:?}"));
                }
            }
            Operation::Enter { thread } => self.heap.enter(thread),
            Operation::Free { .. } | Operation::Reallocate { .. } => {}
        }
        self.agree()
    }

    fn agree(&self) -> Result<(), String> {
        let it = self.heap.statistics();
        if it.add_up() && it.live == self.requested && it.blocks == self.live.len() {
            return Ok(());
        }
        Err(format!("{it:?}, but {} blocks of {} bytes are live", self.live.len(), self.requested))
    }

    /// Compares all live blocks, and has the heap verify itself.
    ///
    /// # Errors
    ///
    /// What differs.
    pub fn check(&self) -> Result<(), String> {
        self.heap.check().map_err(|fault| fault.to_string())?;
        let mut walked = BTreeMap::new();
        let mut twice = None;
        self.heap.walk(&mut |Block { at, usable }| {
            if walked.insert(at, usable).is_some() {
                twice = Some(at);
            }
        });
        match twice {
            Some(at) => Err(format!("the walk shows {at:#x} twice")),
            None if walked != self.intervals => Err(Differences(&walked, &self.intervals).to_string()),
            None => Ok(()),
        }
    }

    /// Frees all, after which nothing may be live.
    ///
    /// # Errors
    ///
    /// What differs.
    pub fn finish(mut self) -> Result<H, String> {
        self.check()?;
        while !self.live.is_empty() {
            self.run(Operation::Free { which: 0 })?;
        }
        self.check()?;
        self.run(Operation::Purge)?;
        self.check()?;
        Ok(self.heap)
    }
}

struct Differences<'a>(&'a BTreeMap<usize, usize>, &'a BTreeMap<usize, usize>);

impl fmt::Display for Differences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, usable) in self.0.iter().filter(|(at, usable)| self.1.get(at) != Some(usable)).take(5) {
            write!(f, "the walk shows {at:#x} with {usable} bytes; ")?;
        }
        for (at, usable) in self.1.iter().filter(|(at, usable)| self.0.get(at) != Some(usable)).take(5) {
            write!(f, "{at:#x} with {usable} bytes is live; ")?;
        }
        Ok(())
    }
}

/// What every heap promises about requests that cannot be met, and about odd ones.
///
/// # Errors
///
/// The promise that is not kept.
pub fn contract<H: Heap>(mut heap: H) -> Result<H, String> {
    let keeps = |holds: bool, promise: &str| if holds { Ok(()) } else { Err(String::from(promise)) };
    for size in [SIZE_MAX + 1, usize::MAX, usize::MAX - 15, usize::MAX / 2] {
        keeps(heap.allocate(size, 16).is_none(), "sizes near the address space get nothing")?;
    }
    for align in [0, 3, 24, usize::MAX, 1 << (usize::BITS - 1)] {
        keeps(
            heap.allocate(8, align).is_none(),
            "alignments that are no power of two, or huge, get nothing",
        )?;
    }
    keeps(heap.statistics().live == 0, "what is not given out does not count")?;
    let one = heap.allocate(0, 1).ok_or("size 0 gets a block")?;
    let two = heap.allocate(0, 1).ok_or("size 0 gets a block")?;
    keeps(one != two, "each block has an address of its own")?;
    keeps(heap.statistics().blocks == 2, "both are live")?;
    for size in [SIZE_MAX + 1, usize::MAX] {
        keeps(heap.reallocate(one, 0, size, 1).is_none(), "a block does not become too large")?;
    }
    keeps(heap.reallocate(one, 0, 8, 3).is_none(), "nor one of an impossible alignment")?;
    let one = heap.reallocate(one, 0, 100, 16).ok_or("a block of size 0 grows")?;
    keeps(
        heap.usable_size(one) >= 100 && heap.statistics().live == 100,
        "and is as large as it was asked to be",
    )?;
    heap.free(one, 100);
    heap.free(two, 0);
    keeps(heap.statistics().live == 0 && heap.statistics().blocks == 0, "what was freed is not live")?;
    heap.check().map_err(|fault| fault.to_string())?;
    Ok(heap)
}
