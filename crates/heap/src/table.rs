//! The address-indexed table of live blocks: what the ledger asks on every event.
//!
//! ```text
//!   address   | region (64 KiB) | granule (32 bytes; 16 in a fine leaf) | place in it |
//!                    |                   |
//!   directory: hash -+-> leaf            +-> entry, 8 bytes
//!
//!   entry     | state 2 | family 2 | allocating stack 28 | odd 1 | 0 | size (17) or freeing stack (28) |
//!
//!   side      address -> block: what an entry cannot hold, or what is not worth a leaf
//! ```
//!
//! Invariants:
//! - A granule whose entry is `SIDE`, and a region without a leaf, keep all their blocks in `side`;
//!   any other granule keeps none there. `SIDE` stays until the leaf is dropped.
//! - A block in an entry starts at a multiple of 16 bytes (`odd`: an odd one), is smaller than [`TABLE_MAX`] and has
//!   a stack id below 2^28.
//! - Two live blocks in one granule of 32 bytes make the leaf a fine one. Blocks of glibc are 32 bytes apart.
//! - `leaves <= BASE_LEAVES + live / BLOCKS_PER_LEAF`, looked at whenever a leaf is made: memory follows the
//!   live blocks (and their peak), never the number of events, whatever addresses the input makes up.
//!
//! Cost: one multiplication and two dependent loads per event; a leaf is 16 KiB (fine: 32) and covers 64 KiB.
//! What an event costs beyond that is cache misses: see [`crate::Ledger::warm`]. Bitmaps of 64 granules with
//! packed rows of entries took two thirds of the memory and 1.1 to 1.5 times the time.

use crate::Block;
use heapwise_model::{Addr, Family, StackId};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Blocks of this size and above go to the side map: they are rare enough (glibc maps them one by one),
/// and a bound on what entries hold bounds the walk to the block around an interior pointer.
pub(crate) const TABLE_MAX: u64 = 128 << 10;
const REGION_SHIFT: u32 = 16;
const REGION_MASK: u64 = (1 << REGION_SHIFT) - 1;
/// Alignment of blocks in entries.
const ALIGN_SHIFT: u32 = 4;
const COARSE_SHIFT: u32 = 5;
const FINE_SHIFT: u32 = ALIGN_SHIFT;
/// Leaves begin at multiples of so many entries.
const UNIT: usize = 1 << (REGION_SHIFT - COARSE_SHIFT);
const STACK_MAX: u32 = 1 << 28;
/// Leaves that any program may have.
const BASE_LEAVES: usize = 1024;
/// Beyond those, a leaf must be paid for by this many live blocks (256 bytes of table each).
const BLOCKS_PER_LEAF: usize = 128;
/// Freed side blocks remembered per generation, to name both frees of a double free.
const FREED_GENERATION: usize = 1 << 15;
/// Freed blocks remembered whose entry a block 16 bytes away has taken.
const DISPLACED: usize = 1 << 10;

const NO_LEAF: Leaf = Leaf { unit: u32::MAX, shift: 0 };
const NO_REGION: u64 = u64::MAX;

const STATE_SHIFT: u32 = 62;
const FAMILY_SHIFT: u32 = 60;
const STACK_SHIFT: u32 = 32;
const FREED: u64 = 1 << STATE_SHIFT;
const LIVE: u64 = 2 << STATE_SHIFT;
const SIDE: u64 = 3 << STATE_SHIFT;
/// The block starts at an odd multiple of 16 bytes.
const ODD_SHIFT: u32 = 31;
const ODD: u64 = 1 << ODD_SHIFT;
const LOW_MASK: u64 = ODD - 1;

/// What is known of a live block besides its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub size: u64,
    pub family: Family,
    pub stack: u32,
}

/// What is known of a block that was freed and not handed out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freed {
    pub family: Family,
    pub stack: u32,
    pub by: u32,
}

/// Where the entries of a region are, and the logarithm of its granules' size.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Leaf {
    unit: u32,
    shift: u32,
}

impl Leaf {
    #[inline]
    fn index(self, addr: u64) -> usize {
        self.unit as usize * UNIT + ((addr & REGION_MASK) >> self.shift) as usize
    }

    fn entries(self) -> std::ops::Range<usize> {
        let start = self.unit as usize * UNIT;
        start..start + (1 << (REGION_SHIFT - self.shift))
    }
}

#[derive(Clone, Copy)]
struct Slot {
    region: u64,
    leaf: Leaf,
}

const EMPTY_SLOT: Slot = Slot { region: NO_REGION, leaf: NO_LEAF };

/// Region to leaf: open addressing with linear probing, at most a quarter full.
#[derive(Clone)]
struct Directory {
    slots: Vec<Slot>,
    shift: u32,
}

impl Directory {
    fn with_leaves(leaves: usize) -> Directory {
        let bits = (leaves.max(64) * 4).next_power_of_two().trailing_zeros();
        Directory { slots: vec![EMPTY_SLOT; 1 << bits], shift: 64 - bits }
    }

    /// With room for as many again.
    fn of(slots: Vec<Slot>) -> Directory {
        let mut directory = Directory::with_leaves(slots.len() * 2);
        slots.into_iter().for_each(|it| directory.insert(it.region, it.leaf));
        directory
    }

    /// Those that have a leaf.
    fn used(&self) -> impl Iterator<Item = Slot> {
        self.slots.iter().copied().filter(|it| it.leaf != NO_LEAF)
    }

    #[inline]
    fn start(&self, region: u64) -> usize {
        (region.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }

    #[inline]
    fn find(&self, region: u64) -> Leaf {
        let mut at = self.start(region);
        loop {
            let slot = self.slots[at];
            if slot.region == region || slot.leaf == NO_LEAF {
                return slot.leaf;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Enters a region, or gives it another leaf.
    fn insert(&mut self, region: u64, leaf: Leaf) {
        let mut at = self.start(region);
        while self.slots[at].leaf != NO_LEAF && self.slots[at].region != region {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = Slot { region, leaf };
    }
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct BlockTable {
    directory: Directory,
    entries: Vec<u64>,
    /// Leaves in use.
    used: usize,
    /// Leaves not in use, fine and coarse.
    spare: [Vec<u32>; 2],
    side: BTreeMap<u64, Held>,
    freed_young: FxHashMap<u64, Freed>,
    freed_old: FxHashMap<u64, Freed>,
    /// Addresses and entries, a ring; the next takes the place at `displaced_at`.
    displaced: Vec<(u64, u64)>,
    displaced_at: usize,
    /// Leaves in use at which it is time to look for empty ones.
    collect_at: usize,
    /// Leaves asked for since the last such look.
    asked: usize,
}

impl BlockTable {
    pub fn new() -> BlockTable {
        BlockTable {
            directory: Directory::with_leaves(64),
            entries: Vec::new(),
            used: 0,
            spare: [Vec::new(), Vec::new()],
            side: BTreeMap::new(),
            freed_young: FxHashMap::default(),
            freed_old: FxHashMap::default(),
            displaced: Vec::new(),
            displaced_at: 0,
            collect_at: BASE_LEAVES,
            asked: 0,
        }
    }

    /// Makes a block live; gives back the live block that was at this address. `live`: live blocks now.
    #[inline]
    pub fn insert(&mut self, addr: u64, block: Held, live: u64) -> Option<Held> {
        if fits_entry(addr, &block) {
            let leaf = self.directory.find(addr >> REGION_SHIFT);
            if leaf != NO_LEAF {
                let entry = &mut self.entries[leaf.index(addr)];
                if *entry < LIVE {
                    let old = std::mem::replace(entry, live_entry(addr, &block));
                    if old >= FREED && (old ^ addr << (ODD_SHIFT - ALIGN_SHIFT)) & ODD != 0 {
                        self.displace(addr ^ 1 << ALIGN_SHIFT, old);
                    }
                    return None;
                }
            }
        }
        self.insert_slow(addr, block, live)
    }

    /// Takes a live block out and remembers who freed it; `None` when `addr` is no live block's start.
    #[inline]
    pub fn remove(&mut self, addr: u64, by: u32) -> Option<Held> {
        if is_aligned(addr) {
            let leaf = self.directory.find(addr >> REGION_SHIFT);
            if leaf != NO_LEAF {
                let entry = &mut self.entries[leaf.index(addr)];
                if (*entry ^ state_of(addr, LIVE)) & (SIDE | ODD) == 0 {
                    let held = held_of(*entry);
                    *entry = (*entry & !SIDE & !LOW_MASK) | FREED | (u64::from(by) & LOW_MASK);
                    return Some(held);
                }
                if *entry & SIDE != SIDE {
                    return None;
                }
            }
        }
        self.remove_side(addr, by)
    }

    /// The entry of `addr`'s granule, 0 without one; its stack bits name the column that a free will touch.
    #[inline]
    pub fn peek(&self, addr: u64) -> (u64, u32) {
        let leaf = self.directory.find(addr >> REGION_SHIFT);
        let entry = if leaf == NO_LEAF { 0 } else { self.entries[leaf.index(addr)] };
        (entry, stack_of(entry))
    }

    /// The live block that starts at `addr`.
    pub fn get(&self, addr: u64) -> Option<Held> {
        match self.entry(addr) {
            Some(entry) if is_aligned(addr) && entry & SIDE != SIDE => {
                ((entry ^ state_of(addr, LIVE)) & (SIDE | ODD) == 0).then(|| held_of(entry))
            }
            _ => self.side.get(&addr).copied(),
        }
    }

    /// The freed block that started at `addr`, as long as its memory was not handed out again there.
    pub fn freed(&self, addr: u64) -> Option<Freed> {
        let entry = self.entry(addr).filter(|_| is_aligned(addr)).unwrap_or(0);
        if (entry ^ state_of(addr, FREED)) & (SIDE | ODD) == 0 {
            return Some(freed_of(entry));
        }
        if let Some(freed) = self.freed_young.get(&addr).or_else(|| self.freed_old.get(&addr)) {
            return Some(*freed);
        }
        let (newer, older) = self.displaced.split_at(self.displaced_at);
        let mut newest = newer.iter().rev().chain(older.iter().rev());
        newest.find(|displaced| displaced.0 == addr).map(|&(_, entry)| freed_of(entry))
    }

    /// The live block that `addr` points into, past its start: the nearest one below that reaches so far.
    pub fn enclosing(&self, addr: u64) -> Option<(u64, Held)> {
        let beside = self.side.range(..addr).next_back().map(|(&start, &held)| (start, held));
        let within = self.nearest_entry(addr);
        [beside, within]
            .into_iter()
            .flatten()
            .filter(|(start, held)| addr - start < held.size)
            .max_by_key(|&(start, _)| start)
    }

    /// All live blocks by ascending address.
    pub fn blocks(&self) -> Vec<Block> {
        let mut leaves: Vec<Slot> = self.directory.used().collect();
        leaves.sort_unstable_by_key(|it| it.region);
        let mut blocks = Vec::new();
        for Slot { region, leaf } in leaves {
            for (granule, &entry) in self.entries[leaf.entries()].iter().enumerate() {
                if entry & SIDE == LIVE {
                    blocks.push(block_of(start_of(region, leaf, granule, entry), &held_of(entry)));
                }
            }
        }
        if !self.side.is_empty() {
            blocks.extend(self.side.iter().map(|(&addr, held)| block_of(addr, held)));
            // Two ascending runs: the standard sort merges them in linear time.
            blocks.sort_by_key(|block| block.addr);
        }
        blocks
    }

    fn entry(&self, addr: u64) -> Option<u64> {
        let leaf = self.directory.find(addr >> REGION_SHIFT);
        (leaf != NO_LEAF).then(|| self.entries[leaf.index(addr)])
    }

    /// The nearest block below `addr` that an entry holds, no further than an entry's block can reach.
    fn nearest_entry(&self, addr: u64) -> Option<(u64, Held)> {
        let mut at = addr.checked_sub(1)?;
        let last = addr.saturating_sub(TABLE_MAX);
        loop {
            let region = at >> REGION_SHIFT;
            let leaf = self.directory.find(region);
            if leaf != NO_LEAF {
                let first = leaf.index((region << REGION_SHIFT).max(last));
                let row = &self.entries[first..=leaf.index(at)];
                let start = |i: usize| start_of(region, leaf, first + i - leaf.entries().start, row[i]);
                // The block of `at`'s own granule may begin after it.
                let found = (0..row.len()).rev().find(|&i| row[i] & SIDE == LIVE && start(i) <= at);
                if let Some(i) = found {
                    return Some((start(i), held_of(row[i])));
                }
            }
            if region << REGION_SHIFT <= last {
                return None;
            }
            at = (region << REGION_SHIFT) - 1;
        }
    }

    #[cold]
    fn insert_slow(&mut self, addr: u64, block: Held, live: u64) -> Option<Held> {
        let region = addr >> REGION_SHIFT;
        let mut leaf = self.directory.find(region);
        if leaf == NO_LEAF && fits_entry(addr, &block) {
            leaf = self.make_leaf(region, live);
        }
        if leaf == NO_LEAF {
            self.forget_freed(addr);
            return self.side.insert(addr, block);
        }
        let mut at = leaf.index(addr);
        if fits_entry(addr, &block) && self.entries[at] & SIDE != SIDE {
            if self.entries[at] & SIDE == LIVE && (self.entries[at] ^ state_of(addr, 0)) & ODD != 0 {
                leaf = self.refine(region, leaf);
                at = leaf.index(addr);
            }
            let entry = std::mem::replace(&mut self.entries[at], live_entry(addr, &block));
            return (entry & SIDE == LIVE).then(|| held_of(entry));
        }
        self.move_to_side(leaf, addr);
        self.forget_freed(addr);
        self.side.insert(addr, block)
    }

    /// Gives a region with a coarse leaf a fine one.
    fn refine(&mut self, region: u64, coarse: Leaf) -> Leaf {
        let fine = self.take_leaf(FINE_SHIFT);
        for i in coarse.entries() {
            let entry = self.entries[i];
            let at = fine.entries().start + 2 * (i - coarse.entries().start);
            if entry & SIDE == SIDE {
                self.entries[at..at + 2].fill(SIDE);
            } else {
                self.entries[at + (entry >> ODD_SHIFT & 1) as usize] = entry;
            }
        }
        self.give_leaf(coarse);
        self.directory.insert(region, fine);
        fine
    }

    #[cold]
    fn displace(&mut self, addr: u64, entry: u64) {
        match self.displaced.get_mut(self.displaced_at) {
            Some(place) => *place = (addr, entry),
            None => self.displaced.push((addr, entry)),
        }
        self.displaced_at = (self.displaced_at + 1) % DISPLACED;
    }

    /// Turns the granule of `addr` into one whose blocks are all in the side map.
    fn move_to_side(&mut self, leaf: Leaf, addr: u64) {
        let at = leaf.index(addr);
        let entry = std::mem::replace(&mut self.entries[at], SIDE);
        let start = start_of(addr >> REGION_SHIFT, leaf, at - leaf.entries().start, entry);
        match entry & SIDE {
            LIVE => {
                self.side.insert(start, held_of(entry));
            }
            FREED => self.remember_freed(start, freed_of(entry)),
            _ => {}
        }
    }

    #[cold]
    fn remove_side(&mut self, addr: u64, by: u32) -> Option<Held> {
        let held = self.side.remove(&addr)?;
        self.remember_freed(addr, Freed { family: held.family, stack: held.stack, by });
        Some(held)
    }

    fn remember_freed(&mut self, addr: u64, freed: Freed) {
        if self.freed_young.len() >= FREED_GENERATION {
            self.freed_old = std::mem::take(&mut self.freed_young);
        }
        self.freed_young.insert(addr, freed);
    }

    fn forget_freed(&mut self, addr: u64) {
        self.freed_young.remove(&addr);
        self.freed_old.remove(&addr);
    }

    /// A leaf for a region that has none; `NO_LEAF` when the live blocks do not pay for one.
    fn make_leaf(&mut self, region: u64, live: u64) -> Leaf {
        let allowed =
            BASE_LEAVES.saturating_add(usize::try_from(live).unwrap_or(usize::MAX) / BLOCKS_PER_LEAF);
        self.asked = self.asked.saturating_add(1);
        // A pass costs as much as the leaves it looks at, so it must have been asked for as often.
        if self.used >= allowed.min(self.collect_at) && self.asked >= self.used {
            self.drop_empty_leaves();
        }
        if self.used >= allowed || self.entries.len() / UNIT >= NO_LEAF.unit as usize - 2 {
            return NO_LEAF;
        }
        let leaf = self.take_leaf(COARSE_SHIFT);
        self.used += 1;
        if self.used * 4 > self.directory.slots.len() {
            self.directory = Directory::of(self.directory.used().collect());
        }
        self.directory.insert(region, leaf);
        let first = region << REGION_SHIFT;
        for (&addr, _) in self.side.range(first..=first | REGION_MASK) {
            self.entries[leaf.index(addr)] = SIDE;
        }
        leaf
    }

    /// A leaf without blocks.
    fn take_leaf(&mut self, shift: u32) -> Leaf {
        if let Some(unit) = self.spare[(shift - FINE_SHIFT) as usize].pop() {
            let leaf = Leaf { unit, shift };
            self.entries[leaf.entries()].fill(0);
            return leaf;
        }
        let leaf = Leaf { unit: (self.entries.len() / UNIT) as u32, shift };
        self.entries.resize(leaf.entries().end, 0);
        leaf
    }

    fn give_leaf(&mut self, leaf: Leaf) {
        self.spare[(leaf.shift - FINE_SHIFT) as usize].push(leaf.unit);
    }

    /// Drops the leaves without a live block, and with them what is known of freed blocks there.
    fn drop_empty_leaves(&mut self) {
        let is_empty = |it: &Slot| self.entries[it.leaf.entries()].iter().all(|entry| entry & SIDE != LIVE);
        let (empty, used): (Vec<Slot>, Vec<Slot>) = self.directory.used().partition(is_empty);
        empty.into_iter().for_each(|it| self.give_leaf(it.leaf));
        self.used = used.len();
        self.collect_at = (self.used * 2).max(BASE_LEAVES);
        self.asked = 0;
        self.directory = Directory::of(used);
    }
}

#[inline]
fn is_aligned(addr: u64) -> bool {
    addr.is_multiple_of(1 << ALIGN_SHIFT)
}

#[inline]
fn fits_entry(addr: u64, block: &Held) -> bool {
    is_aligned(addr) && block.size < TABLE_MAX && block.stack < STACK_MAX
}

/// An entry's state, and the place in the granule of a block at `addr`.
#[inline]
fn state_of(addr: u64, state: u64) -> u64 {
    state | (addr << (ODD_SHIFT - ALIGN_SHIFT) & ODD)
}

/// Where the block of an entry begins.
#[inline]
fn start_of(region: u64, leaf: Leaf, granule: usize, entry: u64) -> u64 {
    let odd = (entry >> ODD_SHIFT & 1) << ALIGN_SHIFT;
    region << REGION_SHIFT | (granule as u64) << leaf.shift | odd
}

#[inline]
fn live_entry(addr: u64, block: &Held) -> u64 {
    let what = family_bits(block.family) << FAMILY_SHIFT | u64::from(block.stack) << STACK_SHIFT | block.size;
    state_of(addr, LIVE) | what
}

#[inline]
fn held_of(entry: u64) -> Held {
    Held { size: entry & LOW_MASK, family: family_of(entry), stack: stack_of(entry) }
}

fn freed_of(entry: u64) -> Freed {
    Freed { family: family_of(entry), stack: stack_of(entry), by: (entry & LOW_MASK) as u32 }
}

/// No mapping is in the table.
#[inline]
fn family_bits(family: Family) -> u64 {
    match family {
        Family::Object => Family::Map as u64,
        family => family as u64,
    }
}

#[inline]
fn family_of(entry: u64) -> Family {
    match Family::from_bits((entry >> FAMILY_SHIFT) as u8) {
        Family::Map => Family::Object,
        family => family,
    }
}

#[inline]
fn stack_of(entry: u64) -> u32 {
    (entry >> STACK_SHIFT) as u32 & (STACK_MAX - 1)
}

fn block_of(addr: u64, held: &Held) -> Block {
    Block { addr: Addr(addr), size: held.size, family: held.family, stack: StackId(held.stack) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(size: u64) -> Held {
        Held { size, family: Family::Malloc, stack: 1 }
    }

    #[test]
    fn leaves_follow_live_blocks() {
        let mut table = BlockTable::new();
        // One block per region, each freed at once: no more leaves than the base.
        for region in 1..20_000u64 {
            assert_eq!(table.insert(region << REGION_SHIFT, held(1), 0), None);
            assert!(table.remove(region << REGION_SHIFT, 2).is_some());
        }
        assert!(table.used <= BASE_LEAVES);
        // One live block per region: those beyond the bound live in the side map.
        for region in 1..20_000u64 {
            assert_eq!(table.insert(region << REGION_SHIFT, held(region), region), None);
        }
        assert!(table.used <= BASE_LEAVES + 20_000 / BLOCKS_PER_LEAF);
        assert_eq!(table.blocks().len(), 19_999);
        for region in 1..20_000u64 {
            assert_eq!(table.remove(region << REGION_SHIFT, 2), Some(held(region)));
        }
        assert!(table.blocks().is_empty());
    }

    #[test]
    fn granule_shared_by_two_blocks() {
        let mut table = BlockTable::new();
        table.insert(0x1000, held(8), 0);
        table.insert(0x1008, held(8), 1);
        assert_eq!(table.get(0x1000), Some(held(8)));
        assert_eq!(table.enclosing(0x100c).map(|(start, _)| start), Some(0x1008));
        assert!(table.remove(0x1000, 7).is_some());
        assert_eq!(table.freed(0x1000).map(|freed| freed.by), Some(7));
        assert_eq!(table.remove(0x1008, 8), Some(held(8)));
    }

    #[test]
    fn blocks_16_bytes_apart_make_a_fine_leaf() {
        let mut table = BlockTable::new();
        let leaf = |table: &BlockTable| table.directory.find(0).shift;
        table.insert(0x1000, held(16), 0);
        assert!(table.remove(0x1000, 7).is_some());
        table.insert(0x1010, held(16), 0);
        assert_eq!((leaf(&table), table.get(0x1000)), (COARSE_SHIFT, None));
        assert_eq!(table.freed(0x1000).map(|freed| freed.by), Some(7));
        table.insert(0x2008, held(8), 1);
        table.insert(0x1000, held(16), 2);
        assert_eq!(leaf(&table), FINE_SHIFT);
        let starts = |table: &BlockTable| table.blocks().iter().map(|it| it.addr.0).collect::<Vec<_>>();
        assert_eq!(starts(&table), [0x1000, 0x1010, 0x2008]);
        assert_eq!(table.enclosing(0x1018), Some((0x1010, held(16))));
        assert!(table.remove(0x1010, 8).is_some() && table.remove(0x2008, 8).is_some());
        assert_eq!(starts(&table), [0x1000]);
    }
}
