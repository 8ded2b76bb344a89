//! Sets of small numbers as bitmaps with summaries, so that the least member is found at once.
//!
//! ```text
//!   level 2                 0001                    bit i: word i of the level below is not 0
//!   level 1      0101    0000    0000    0000
//!   level 0   1000 0000 0010 0000 ..                bit i: i is a member
//! ```
//!
//! Invariant: a bit of a summary is set exactly if its word below is not 0. Cost: one word a level, and levels are
//! 64-fold; a change goes up only where a word becomes, or was, 0. Needs words that are 0 when they are committed.

use crate::space::{Space, WORD};

const BITS: usize = usize::BITS as usize;
/// 64^6 members are enough for every address space.
const LEVELS: usize = 6;

/// The set; its words are in a space.
#[derive(Clone, Copy)]
pub struct Bits {
    /// Where each level begins, the summary of all last.
    levels: [usize; LEVELS],
    depth: usize,
}

impl Bits {
    /// No set.
    pub const NONE: Bits = Bits { levels: [0; LEVELS], depth: 0 };

    /// A set of numbers below `limit`, with the words of its members and of its summaries from two addresses on; and
    /// where these end. Summaries are apart so that those of many sets share pages.
    pub fn new(limit: usize, mut members: usize, mut summaries: usize) -> (Bits, usize, usize) {
        let mut bits = Bits::NONE;
        let mut words = limit.max(1);
        while bits.depth == 0 || words > 1 {
            words = words.div_ceil(BITS);
            let at = if bits.depth == 0 { &mut members } else { &mut summaries };
            bits.levels[bits.depth] = *at;
            bits.depth += 1;
            *at += words * WORD;
        }
        (bits, members, summaries)
    }

    #[inline(always)]
    fn place(&self, level: usize, index: usize) -> (usize, usize) {
        (self.levels[level] + index / BITS * WORD, 1 << (index % BITS))
    }

    /// Whether it has a member.
    #[inline(always)]
    pub fn has<S: Space>(&self, space: &S, member: usize) -> bool {
        let (at, bit) = self.place(0, member);
        space.load(at) & bit != 0
    }

    /// Adds a member.
    #[inline]
    pub fn add<S: Space>(&self, space: &S, member: usize) {
        let mut index = member;
        for level in 0..self.depth {
            let (at, bit) = self.place(level, index);
            let word = space.load(at);
            space.store(at, word | bit);
            if word != 0 {
                return;
            }
            index /= BITS;
        }
    }

    /// Takes a member out.
    #[inline]
    pub fn remove<S: Space>(&self, space: &S, member: usize) {
        let mut index = member;
        for level in 0..self.depth {
            let (at, bit) = self.place(level, index);
            let word = space.load(at) & !bit;
            space.store(at, word);
            if word != 0 {
                return;
            }
            index /= BITS;
        }
    }

    /// The least member.
    #[inline]
    pub fn first<S: Space>(&self, space: &S) -> Option<usize> {
        let mut index = 0;
        for level in (0..self.depth).rev() {
            let word = space.load(self.levels[level] + index * WORD);
            if word == 0 {
                return None;
            }
            index = index * BITS + word.trailing_zeros() as usize;
        }
        Some(index)
    }

    /// The least member from `from` on, by the lowest level alone: for walks.
    pub fn next<S: Space>(&self, space: &S, from: usize, limit: usize) -> Option<usize> {
        let mut index = from;
        while index < limit {
            let word = space.load(self.place(0, index).0) >> (index % BITS);
            if word != 0 {
                return Some(index + word.trailing_zeros() as usize).filter(|&it| it < limit);
            }
            index = (index / BITS + 1) * BITS;
        }
        None
    }

    /// How many members are in `[from, from + count)`, all of which become members, or none of them.
    #[inline]
    pub fn fill<S: Space>(&self, space: &S, from: usize, count: usize, is_member: bool) -> usize {
        let (mut index, end) = (from, from + count);
        let mut members = 0;
        while index < end {
            let width = (BITS - index % BITS).min(end - index);
            let mask = (!0 >> (BITS - width)) << (index % BITS);
            let (at, _) = self.place(0, index);
            let word = space.load(at);
            members += (word & mask).count_ones() as usize;
            space.store(at, if is_member { word | mask } else { word & !mask });
            index += width;
        }
        members
    }
}

#[cfg(all(test, feature = "virtual"))]
mod tests {
    use super::*;
    use crate::{Virtual, exercise::Random};
    use std::collections::BTreeSet;

    #[test]
    fn it_is_a_set() {
        for limit in [1, 64, 65, 4096, 5000, 300_000] {
            let space = Virtual::new();
            let range = space.reserve(1 << 20, 1 << 20, 4096).expect("addresses");
            let (bits, members, summaries) = Bits::new(limit, range.at, range.at + (1 << 19));
            assert!(members - range.at <= limit / 8 + 8);
            assert!(summaries - range.at - (1 << 19) <= limit / 256 + 40);
            let mut random = Random(limit as u64);
            let mut twin = BTreeSet::new();
            for _ in 0..if cfg!(miri) { 50 } else { 2000 } {
                let member = random.below(limit);
                if random.below(2) == 0 {
                    bits.add(&space, member);
                    twin.insert(member);
                } else {
                    bits.remove(&space, member);
                    twin.remove(&member);
                }
                assert_eq!(bits.first(&space), twin.first().copied());
                assert_eq!(bits.has(&space, member), twin.contains(&member));
                let from = random.below(limit);
                assert_eq!(bits.next(&space, from, limit), twin.range(from..).next().copied());
            }
        }
    }

    #[test]
    fn ranges_are_filled_and_counted() {
        let space = Virtual::new();
        let range = space.reserve(1 << 16, 1 << 16, 4096).expect("addresses");
        let (bits, ..) = Bits::new(1000, range.at, range.at + 4096);
        assert_eq!(bits.fill(&space, 60, 140, true), 0);
        assert_eq!(bits.fill(&space, 0, 1000, false), 140);
        assert_eq!(bits.fill(&space, 0, 1000, true), 0);
        assert_eq!(bits.fill(&space, 63, 2, false), 2);
        assert_eq!(bits.fill(&space, 0, 1000, true), 998);
    }
}
