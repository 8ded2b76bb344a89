//! From any word of memory to the block it points to or into.
//!
//! ```text
//!   value -> min..=max -> filter: 4096 bits -> directory: region (4 KiB) -> blocks lo..hi -> binary search
//!                                                          miss -> large blocks, by binary search
//! ```
//!
//! Called for every aligned word of the program's memory, nearly all of which point nowhere: those end at the
//! range test, or at the filter (a bit per hash of a 4 MiB unit that a block touches, 512 bytes in all), or at one
//! probe of the directory. Blocks of [`LARGE`] bytes and more are not entered in all regions
//! they cover, so that the index stays in proportion to the blocks, whatever sizes the input makes up.

use heapwise_model::NodeId;

const REGION_SHIFT: u32 = 12;
const UNIT_SHIFT: u32 = 22;
const FILTER_WORDS: usize = 64;
/// Bytes from which on a block is kept in a list of its own.
const LARGE: u64 = 8 << REGION_SHIFT;
const NO_REGION: u64 = u64::MAX;

/// Finds blocks by address.
#[derive(Clone, Debug)]
pub struct BlockIndex {
    /// Start and size.
    blocks: Vec<(u64, u64)>,
    /// All pointers to or into blocks are in `min..=max`.
    min: u64,
    max: u64,
    filter: [u64; FILTER_WORDS],
    /// Open addressing, linear probing, at most half full: region and its row, see `region_rows`.
    slots: Vec<(u64, (u32, u32))>,
    shift: u32,
    large: Vec<u32>,
    large_min: u64,
    large_max: u64,
}

impl BlockIndex {
    /// An index over blocks with ascending start addresses that do not overlap. Blocks beyond the
    /// 2^32 - 1 that a `NodeId` can name are left out.
    pub fn new(addr: &[u64], size: &[u64]) -> BlockIndex {
        let count = addr.len().min(size.len()).min(u32::MAX as usize);
        let (addr, size) = (&addr[..count], &size[..count]);
        debug_assert!(addr.is_sorted(), "blocks must be sorted");
        let rows = region_rows(addr, size);
        let bits = (rows.len().max(8) * 2).next_power_of_two().trailing_zeros();
        let large: Vec<u32> = (0..count as u32).filter(|&i| size[i as usize] >= LARGE).collect();
        let last_of = |i: usize| addr[i].saturating_add(size[i].max(1) - 1);
        let mut index = BlockIndex {
            min: addr.first().copied().unwrap_or(u64::MAX),
            max: (0..count).next_back().map_or(0, last_of),
            filter: filter_of(addr, size),
            slots: vec![(NO_REGION, (0, 0)); 1 << bits],
            shift: 64 - bits,
            large_min: large.first().map_or(u64::MAX, |&i| addr[i as usize]),
            large_max: large.last().map_or(0, |&i| last_of(i as usize)),
            large,
            blocks: addr.iter().copied().zip(size.iter().copied()).collect(),
        };
        for row in rows {
            let mut at = hash(row.0, index.shift);
            while index.slots[at].0 != NO_REGION {
                at = (at + 1) & (index.slots.len() - 1);
            }
            index.slots[at] = row;
        }
        index
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Lowest and highest address that any block holds; nothing outside can be a pointer.
    pub fn range(&self) -> std::ops::RangeInclusive<u64> {
        self.min..=self.max
    }

    /// The block that `value` points to or into, and how far past its start. An empty block counts as one byte.
    #[inline]
    pub fn find(&self, value: u64) -> Option<(NodeId, u64)> {
        if value < self.min || value > self.max {
            return None;
        }
        let (word, bit) = filter_bit(value >> UNIT_SHIFT);
        if self.filter[word] & bit == 0 {
            return None;
        }
        let region = value >> REGION_SHIFT;
        let mut at = hash(region, self.shift);
        loop {
            let (here, (lo, hi)) = self.slots[at];
            if here == region {
                return self.search(value, lo as usize, hi as usize);
            }
            if here == NO_REGION {
                break;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        if value < self.large_min || value > self.large_max {
            return None;
        }
        self.find_large(value)
    }

    /// Among blocks `lo..hi`, which hold the nearest start at or below `value` if any block does.
    fn search(&self, value: u64, lo: usize, hi: usize) -> Option<(NodeId, u64)> {
        let after = lo + self.blocks[lo..hi].partition_point(|block| block.0 <= value);
        self.check(value, after.checked_sub(1).filter(|&at| at >= lo)?)
    }

    fn find_large(&self, value: u64) -> Option<(NodeId, u64)> {
        let after = self.large.partition_point(|&i| self.blocks[i as usize].0 <= value);
        self.check(value, self.large[after.checked_sub(1)?] as usize)
    }

    #[inline]
    fn check(&self, value: u64, at: usize) -> Option<(NodeId, u64)> {
        let (start, size) = self.blocks[at];
        let offset = value - start;
        (offset < size.max(1)).then_some((NodeId(at as u32), offset))
    }
}

#[inline]
fn hash(key: u64, shift: u32) -> usize {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize
}

#[inline]
fn filter_bit(unit: u64) -> (usize, u64) {
    let bit = hash(unit, 52);
    (bit / 64 % FILTER_WORDS, 1 << (bit % 64))
}

fn filter_of(addr: &[u64], size: &[u64]) -> [u64; FILTER_WORDS] {
    let mut filter = [0; FILTER_WORDS];
    // Blocks that cover more units than this fill the filter anyway.
    let mut budget = 1024 * FILTER_WORDS as u64;
    for (&start, &size) in addr.iter().zip(size) {
        let (first, last) = (start >> UNIT_SHIFT, start.saturating_add(size.max(1) - 1) >> UNIT_SHIFT);
        if last - first > budget {
            return [u64::MAX; FILTER_WORDS];
        }
        budget -= last - first;
        for unit in first..=last {
            let (word, bit) = filter_bit(unit);
            filter[word] |= bit;
        }
    }
    filter
}

/// Regions, ascending, with the blocks that begin in them or reach into them, and the one before those. Large blocks
/// are entered only where they or others begin.
fn region_rows(addr: &[u64], size: &[u64]) -> Vec<(u64, (u32, u32))> {
    let mut rows: Vec<(u64, (u32, u32))> = Vec::new();
    for (i, (&start, &size)) in addr.iter().zip(size).enumerate() {
        let first = start >> REGION_SHIFT;
        let block = i as u32;
        match rows.last_mut() {
            Some((region, row)) if *region == first => row.1 = block + 1,
            _ => rows.push((first, (block.saturating_sub(1), block + 1))),
        }
        if size < LARGE {
            let last = start.saturating_add(size.max(1) - 1) >> REGION_SHIFT;
            rows.extend((first + 1..=last).map(|region| (region, (block, block + 1))));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(addr: &[u64], size: &[u64], value: u64) -> Option<(NodeId, u64)> {
        (0..addr.len())
            .find(|&i| value >= addr[i] && value - addr[i] < size[i].max(1))
            .map(|i| (NodeId(i as u32), value - addr[i]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn linear_search_agrees(
            base in prop::sample::select(vec![0u64, 0x1000, 0x5555_0000_0000, u64::MAX - (1 << 45)]),
            blocks in prop::collection::vec((0u64..3, 0u64..3), 0..60),
            probes in prop::collection::vec(any::<u64>(), 20),
        ) {
            let (mut addr, mut size, mut at) = (Vec::new(), Vec::new(), base);
            for (i, (gap, bytes)) in blocks.into_iter().enumerate() {
                // Gaps and sizes from nothing to beyond a large block.
                at += [0, 24, 1 << 18][gap as usize] + i as u64 % 7 * 4096;
                let bytes = [i as u64 % 3, 40 + 5000 * (i as u64 % 5), LARGE - 1 + i as u64 % 3 * LARGE][bytes as usize];
                addr.push(at);
                size.push(bytes);
                at += bytes.max(1);
            }
            let index = BlockIndex::new(&addr, &size);
            let span = at - base + 4096;
            let near = addr.iter().zip(&size).flat_map(|(&a, &s)| [a.wrapping_sub(1), a, a + s / 2, a + s.max(1) - 1, a + s.max(1)]);
            for value in near.chain(probes.iter().map(|p| base.wrapping_add(p % span))).chain([0, u64::MAX]) {
                prop_assert_eq!(index.find(value), naive(&addr, &size, value), "{:#x}", value);
            }
        }
    }

    #[test]
    fn hostile_blocks() {
        let index = BlockIndex::new(&[0, 1 << 62, u64::MAX], &[1 << 62, 1 << 63, u64::MAX]);
        assert_eq!(index.find(5), Some((NodeId(0), 5)));
        assert_eq!(index.find(1 << 63), Some((NodeId(1), 1 << 62)));
        assert_eq!(index.find(u64::MAX), Some((NodeId(2), 0)));
        assert_eq!(index.find((1 << 62) + (1 << 63)), None);
        assert_eq!(BlockIndex::new(&[], &[]).find(0), None);
    }
}
