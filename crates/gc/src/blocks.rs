//! Segregated fit: where objects lie that do not move.
//!
//! ```text
//! class 32:  [block: cell cell free cell] [block: free free ...]     block = 32 KiB segment
//! class 48:  [block: ...]
//! > 8 KiB:   [segment of its own]
//! ```
//!
//! A block holds cells of one class; its free cells are linked through their first word, cells that were never used
//! lie behind `fresh`. A block without cells in use is given back at once, but for the last one of its class.
//! Taking and giving back a cell is O(1).
//!
//! Invariant of a block: `used + free cells + (length - fresh) / cell == length / cell`.

use crate::memory::{Memory, Place};

const BLOCK_BYTES: u32 = 32 << 10;
const LARGEST_CELL: u32 = BLOCK_BYTES / 4;
const NONE: u32 = u32::MAX;

struct Block {
    class: u32,
    cell: u32,
    /// First of the linked free cells.
    free: u32,
    /// Start of the cells that were never used.
    fresh: u32,
    used: u32,
    /// Where its class lists it while it has room.
    listed: u32,
}

impl Block {
    fn has_room(&self) -> bool {
        self.free != NONE || self.fresh + self.cell <= BLOCK_BYTES
    }
}

/// Cells in blocks of one size class each.
#[derive(Default)]
pub struct Blocks {
    /// By segment.
    blocks: Vec<Option<Block>>,
    /// By class: the blocks with room.
    available: Vec<Vec<u32>>,
}

/// The class of a size, and what its cells measure: steps of 16 up to 256, then four to a doubling.
fn class(size: u32) -> (u32, u32) {
    if size <= 256 {
        let class = size.div_ceil(16).max(1);
        return (class, class * 16);
    }
    let doubling = (size - 1).ilog2();
    let step = 1 << (doubling - 2);
    let cell = size.next_multiple_of(step);
    (17 + (doubling - 8) * 4 + (cell / step - 5), cell)
}

impl Blocks {
    /// A place for `size` bytes; what stands there is old.
    pub fn take(&mut self, memory: &mut Memory, size: u32) -> Option<Place> {
        if size > LARGEST_CELL {
            return Some(Place { segment: memory.reserve(size as usize)?, offset: 0 });
        }
        let (class, cell) = class(size);
        if self.available.len() <= class as usize {
            self.available.resize_with(class as usize + 1, Vec::new);
        }
        let segment = match self.available[class as usize].last() {
            Some(&segment) => segment,
            None => self.add(memory, class, cell)?,
        };
        let block = self.blocks[segment as usize].as_mut().expect("listed blocks are there");
        let offset = if block.free == NONE {
            block.fresh += block.cell;
            block.fresh - block.cell
        } else {
            let offset = block.free;
            block.free = memory.word(Place { segment, offset }, 0);
            offset
        };
        block.used += 1;
        if !block.has_room() {
            block.listed = NONE;
            self.available[class as usize].pop();
        }
        Some(Place { segment, offset })
    }

    fn add(&mut self, memory: &mut Memory, class: u32, cell: u32) -> Option<u32> {
        let segment = memory.reserve(BLOCK_BYTES as usize)?;
        if self.blocks.len() <= segment as usize {
            self.blocks.resize_with(segment as usize + 1, || None);
        }
        let listed = self.available[class as usize].len() as u32;
        self.blocks[segment as usize] = Some(Block { class, cell, free: NONE, fresh: 0, used: 0, listed });
        self.available[class as usize].push(segment);
        Some(segment)
    }

    /// Takes back what `take` gave for `size` bytes.
    pub fn give(&mut self, memory: &mut Memory, place: Place, size: u32) {
        if size > LARGEST_CELL {
            memory.release(place.segment);
            return;
        }
        let block = self.blocks[place.segment as usize].as_mut().expect("a cell lies in a block");
        memory.set_word(place, 0, block.free);
        block.free = place.offset;
        block.used -= 1;
        let available = &mut self.available[block.class as usize];
        if block.listed == NONE {
            block.listed = available.len() as u32;
            available.push(place.segment);
        }
        if block.used == 0 && available.len() > 1 {
            let at = block.listed as usize;
            available.swap_remove(at);
            let moved = available.get(at).copied();
            self.blocks[place.segment as usize] = None;
            if let Some(moved) = moved {
                self.blocks[moved as usize].as_mut().expect("listed blocks are there").listed = at as u32;
            }
            memory.release(place.segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_their_sizes_and_waste_a_quarter_at_most() {
        let mut last = (0, 0);
        for size in (1..=LARGEST_CELL).step_by(if cfg!(miri) { 97 } else { 1 }) {
            let (class, cell) = class(size);
            assert!(cell >= size && (size <= 64 || cell <= size + size / 4 + 1), "{size} in {cell}");
            assert!(class == last.0 && cell == last.1 || class > last.0 && cell > last.1, "{size}");
            assert!(cfg!(miri) || class <= last.0 + 1, "{size}");
            last = (class, cell);
        }
    }

    #[test]
    fn cells_do_not_overlap_and_empty_blocks_go_back() {
        let (mut memory, mut blocks) = (Memory::default(), Blocks::default());
        let sizes = [1u32, 24, 40, 256, 257, 1000, 8192, 8193, 100_000];
        let mut taken: Vec<(Place, u32)> = Vec::new();
        for round in 0..if cfg!(miri) { 40 } else { 200u32 } {
            let size = sizes[round as usize % sizes.len()];
            let place = blocks.take(&mut memory, size).expect("memory");
            for &(other, length) in taken.iter().filter(|it| it.0.segment == place.segment) {
                assert!(place.offset + size <= other.offset || other.offset + length <= place.offset);
            }
            taken.push((place, size));
            if round % 3 == 0 {
                let (place, size) = taken.swap_remove(round as usize / 2 % taken.len());
                blocks.give(&mut memory, place, size);
            }
        }
        for (place, size) in taken {
            blocks.give(&mut memory, place, size);
        }
        assert!(memory.reserved() <= 7 * u64::from(BLOCK_BYTES), "{}", memory.reserved());
    }
}
