//! The address-indexed table of live blocks: what the ledger asks on every event.
//!
//! ```text
//!   address   | region (64 KiB) | granule (16 bytes) |  0000  |
//!                    |                   |
//!   directory: hash -+-> leaf            +-> entry, 8 bytes
//!
//!   entry     | state 2 | family 2 | allocating stack 28 | size or freeing stack 32 |
//!
//!   side      address -> block: what an entry cannot hold, or what is not worth a leaf
//! ```
//!
//! Invariants:
//! - A granule whose entry is `SIDE`, and a region without a leaf, keep all their blocks in `side`;
//!   any other granule keeps none there. `SIDE` stays until the leaf is dropped.
//! - A block in an entry starts on its granule, is smaller than [`TABLE_MAX`] and has a stack id below 2^28.
//! - `leaves <= BASE_LEAVES + live / BLOCKS_PER_LEAF`, looked at whenever a leaf is made: memory follows the
//!   live blocks (and their peak), never the number of events, whatever addresses the input makes up.
//!
//! Cost: one multiplication and two dependent loads per event; a leaf is 32 KiB and covers 64 KiB.
//! What an event costs beyond that is cache misses: see [`crate::Ledger::warm`].

use crate::Block;
use heapwise_model::{Addr, Family, StackId};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Blocks of this size and above go to the side map: they are rare enough (glibc maps them one by one),
/// and a bound on what entries hold bounds the walk to the block around an interior pointer.
pub(crate) const TABLE_MAX: u64 = 128 << 10;
const REGION_SHIFT: u32 = 16;
const GRANULE_SHIFT: u32 = 4;
const LEAF_LEN: usize = 1 << (REGION_SHIFT - GRANULE_SHIFT);
const STACK_MAX: u32 = 1 << 28;
/// Leaves that any program may have.
const BASE_LEAVES: usize = 1024;
/// Beyond those, a leaf must be paid for by this many live blocks (256 bytes of table each).
const BLOCKS_PER_LEAF: usize = 128;
/// Freed side blocks remembered per generation, to name both frees of a double free.
const FREED_GENERATION: usize = 1 << 15;

const NO_LEAF: u32 = u32::MAX;
const NO_REGION: u64 = u64::MAX;

const STATE_SHIFT: u32 = 62;
const FAMILY_SHIFT: u32 = 60;
const STACK_SHIFT: u32 = 32;
const FREED: u64 = 1 << STATE_SHIFT;
const LIVE: u64 = 2 << STATE_SHIFT;
const SIDE: u64 = 3 << STATE_SHIFT;

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

#[derive(Clone, Copy)]
struct Slot {
    region: u64,
    leaf: u32,
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

    #[inline]
    fn start(&self, region: u64) -> usize {
        (region.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }

    #[inline]
    fn find(&self, region: u64) -> u32 {
        let mut at = self.start(region);
        loop {
            let slot = self.slots[at];
            if slot.region == region || slot.leaf == NO_LEAF {
                return slot.leaf;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn insert(&mut self, region: u64, leaf: u32) {
        let mut at = self.start(region);
        while self.slots[at].leaf != NO_LEAF {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = Slot { region, leaf };
    }
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct BlockTable {
    directory: Directory,
    /// Leaf `i` is `entries[i * LEAF_LEN..][..LEAF_LEN]`.
    entries: Vec<u64>,
    /// Region of each leaf; `NO_REGION` for spare ones.
    regions: Vec<u64>,
    spare: Vec<u32>,
    side: BTreeMap<u64, Held>,
    freed_young: FxHashMap<u64, Freed>,
    freed_old: FxHashMap<u64, Freed>,
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
            regions: Vec::new(),
            spare: Vec::new(),
            side: BTreeMap::new(),
            freed_young: FxHashMap::default(),
            freed_old: FxHashMap::default(),
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
                let entry = &mut self.entries[entry_index(leaf, addr)];
                if *entry < LIVE {
                    *entry = live_entry(&block);
                    return None;
                }
            }
        }
        self.insert_slow(addr, block, live)
    }

    /// Takes a live block out and remembers who freed it; `None` when `addr` is no live block's start.
    #[inline]
    pub fn remove(&mut self, addr: u64, by: u32) -> Option<Held> {
        if addr.is_multiple_of(1 << GRANULE_SHIFT) {
            let leaf = self.directory.find(addr >> REGION_SHIFT);
            if leaf != NO_LEAF {
                let entry = &mut self.entries[entry_index(leaf, addr)];
                if *entry & SIDE == LIVE {
                    let held = held_of(*entry);
                    *entry = (*entry & !SIDE & !0xffff_ffff) | FREED | u64::from(by);
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
        let entry = if leaf == NO_LEAF { 0 } else { self.entries[entry_index(leaf, addr)] };
        (entry, stack_of(entry))
    }

    /// The live block that starts at `addr`.
    pub fn get(&self, addr: u64) -> Option<Held> {
        if let Some(entry) = self.entry(addr) {
            if entry & SIDE == LIVE && addr.is_multiple_of(1 << GRANULE_SHIFT) {
                return Some(held_of(entry));
            }
            if entry & SIDE != SIDE && addr.is_multiple_of(1 << GRANULE_SHIFT) {
                return None;
            }
        }
        self.side.get(&addr).copied()
    }

    /// The freed block that started at `addr`, as long as its memory was not handed out again there.
    pub fn freed(&self, addr: u64) -> Option<Freed> {
        if let Some(entry) = self.entry(addr)
            && addr.is_multiple_of(1 << GRANULE_SHIFT)
            && entry & SIDE == FREED
        {
            return Some(Freed { family: family_of(entry), stack: stack_of(entry), by: entry as u32 });
        }
        self.freed_young.get(&addr).or_else(|| self.freed_old.get(&addr)).copied()
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
        let mut leaves: Vec<(u64, usize)> = self
            .regions
            .iter()
            .enumerate()
            .filter(|(_, region)| **region != NO_REGION)
            .map(|(leaf, &region)| (region, leaf))
            .collect();
        leaves.sort_unstable();
        let mut blocks = Vec::new();
        for (region, leaf) in leaves {
            for (granule, &entry) in self.entries[leaf * LEAF_LEN..][..LEAF_LEN].iter().enumerate() {
                if entry & SIDE == LIVE {
                    let addr = (region << REGION_SHIFT) | ((granule as u64) << GRANULE_SHIFT);
                    blocks.push(block_of(addr, &held_of(entry)));
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
        (leaf != NO_LEAF).then(|| self.entries[entry_index(leaf, addr)])
    }

    /// The nearest block below `addr` that an entry holds, no further than an entry's block can reach.
    fn nearest_entry(&self, addr: u64) -> Option<(u64, Held)> {
        let mut granule = addr.checked_sub(1)? >> GRANULE_SHIFT;
        let last = addr.saturating_sub(TABLE_MAX) >> GRANULE_SHIFT;
        loop {
            let region = granule >> (REGION_SHIFT - GRANULE_SHIFT);
            let region_first = region << (REGION_SHIFT - GRANULE_SHIFT);
            let leaf = self.directory.find(region);
            if leaf != NO_LEAF {
                let first = region_first.max(last);
                let base = leaf as usize * LEAF_LEN;
                let row = &self.entries
                    [base + (first - region_first) as usize..=base + (granule - region_first) as usize];
                if let Some(at) = row.iter().rposition(|entry| entry & SIDE == LIVE) {
                    return Some(((first + at as u64) << GRANULE_SHIFT, held_of(row[at])));
                }
            }
            if region_first <= last {
                return None;
            }
            granule = region_first - 1;
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
        let at = entry_index(leaf, addr);
        let entry = self.entries[at];
        if fits_entry(addr, &block) && entry & SIDE != SIDE {
            self.entries[at] = live_entry(&block);
            return (entry & SIDE == LIVE).then(|| held_of(entry));
        }
        self.move_to_side(leaf, addr);
        self.forget_freed(addr);
        self.side.insert(addr, block)
    }

    /// Turns the granule of `addr` into one whose blocks are all in the side map.
    fn move_to_side(&mut self, leaf: u32, addr: u64) {
        let start = addr >> GRANULE_SHIFT << GRANULE_SHIFT;
        let entry = std::mem::replace(&mut self.entries[entry_index(leaf, addr)], SIDE);
        match entry & SIDE {
            LIVE => {
                self.side.insert(start, held_of(entry));
            }
            FREED => self.remember_freed(
                start,
                Freed { family: family_of(entry), stack: stack_of(entry), by: entry as u32 },
            ),
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
    fn make_leaf(&mut self, region: u64, live: u64) -> u32 {
        let allowed =
            BASE_LEAVES.saturating_add(usize::try_from(live).unwrap_or(usize::MAX) / BLOCKS_PER_LEAF);
        self.asked = self.asked.saturating_add(1);
        // A pass costs as much as the leaves it looks at, so it must have been asked for as often.
        if self.leaves() >= allowed.min(self.collect_at) && self.asked >= self.regions.len() {
            self.drop_empty_leaves();
        }
        if self.leaves() >= allowed || self.regions.len() >= NO_LEAF as usize - 1 {
            return NO_LEAF;
        }
        let leaf = match self.spare.pop() {
            Some(leaf) => {
                self.entries[leaf as usize * LEAF_LEN..][..LEAF_LEN].fill(0);
                self.regions[leaf as usize] = region;
                leaf
            }
            None => {
                self.entries.resize(self.entries.len() + LEAF_LEN, 0);
                self.regions.push(region);
                (self.regions.len() - 1) as u32
            }
        };
        if self.leaves() * 4 > self.directory.slots.len() {
            self.rebuild_directory();
        } else {
            self.directory.insert(region, leaf);
        }
        let first = region << REGION_SHIFT;
        let last = first | ((1 << REGION_SHIFT) - 1);
        for (&addr, _) in self.side.range(first..=last) {
            self.entries[entry_index(leaf, addr)] = SIDE;
        }
        leaf
    }

    /// Drops the leaves without a live block, and with them what is known of freed blocks there.
    fn drop_empty_leaves(&mut self) {
        for leaf in 0..self.regions.len() {
            let row = &self.entries[leaf * LEAF_LEN..][..LEAF_LEN];
            if self.regions[leaf] != NO_REGION && !row.iter().any(|entry| entry & SIDE == LIVE) {
                self.regions[leaf] = NO_REGION;
                self.spare.push(leaf as u32);
            }
        }
        self.collect_at = (self.leaves() * 2).max(BASE_LEAVES);
        self.asked = 0;
        self.rebuild_directory();
    }

    fn rebuild_directory(&mut self) {
        self.directory = Directory::with_leaves(self.leaves() * 2);
        for (leaf, &region) in self.regions.iter().enumerate() {
            if region != NO_REGION {
                self.directory.insert(region, leaf as u32);
            }
        }
    }

    fn leaves(&self) -> usize {
        self.regions.len() - self.spare.len()
    }
}

#[inline]
fn fits_entry(addr: u64, block: &Held) -> bool {
    addr.is_multiple_of(1 << GRANULE_SHIFT) && block.size < TABLE_MAX && block.stack < STACK_MAX
}

#[inline]
fn entry_index(leaf: u32, addr: u64) -> usize {
    leaf as usize * LEAF_LEN + (addr >> GRANULE_SHIFT) as usize % LEAF_LEN
}

#[inline]
fn live_entry(block: &Held) -> u64 {
    LIVE | (block.family as u64) << FAMILY_SHIFT | u64::from(block.stack) << STACK_SHIFT | block.size
}

#[inline]
fn held_of(entry: u64) -> Held {
    Held { size: entry & 0xffff_ffff, family: family_of(entry), stack: stack_of(entry) }
}

#[inline]
fn family_of(entry: u64) -> Family {
    Family::from_bits((entry >> FAMILY_SHIFT) as u8)
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
        assert!(table.regions.len() <= BASE_LEAVES);
        // One live block per region: those beyond the bound live in the side map.
        for region in 1..20_000u64 {
            assert_eq!(table.insert(region << REGION_SHIFT, held(region), region), None);
        }
        assert!(table.regions.len() <= BASE_LEAVES + 20_000 / BLOCKS_PER_LEAF);
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
}
