//! Which addresses are objects, and which number each gets.
//!
//! A bit for each eight bytes, in pieces by address. Numbers are ranks: how many marks stand below, so that ascending
//! numbers are ascending addresses, and a number costs no memory but a count for each 64 bits: a 40th of the heap in all.

use crate::memory::Recent;
use rustc_hash::FxHashMap;

/// Words of 64 bits in a piece, each for 512 bytes: 256 KiB.
const WORDS: usize = 512;
const PIECE_SHIFT: u32 = 18;

struct Piece {
    number: u64,
    words: Box<[u64; WORDS]>,
    /// Ranks at the words' beginnings, once all marks are made.
    ranks: Vec<u32>,
}

/// A set of addresses that are multiples of eight.
pub struct Marks {
    pieces: Vec<Piece>,
    by_number: FxHashMap<u64, u32>,
    recent: Recent,
}

impl Marks {
    pub fn new() -> Marks {
        Marks { pieces: Vec::new(), by_number: FxHashMap::default(), recent: Recent::default() }
    }

    #[inline]
    fn place(addr: u64) -> (u64, usize, u64) {
        (addr >> PIECE_SHIFT, (addr >> 9) as usize % WORDS, 1 << (addr >> 3 & 63))
    }

    #[inline]
    fn find(&mut self, number: u64) -> Option<usize> {
        if let Some(at) = self.recent.get(number) {
            return Some(at as usize);
        }
        let at = *self.by_number.get(&number)?;
        self.recent.set(number, at);
        Some(at as usize)
    }

    /// Adds `addr`; whether it is new. Never what is not a multiple of eight.
    #[inline]
    pub fn insert(&mut self, addr: u64) -> bool {
        if !addr.is_multiple_of(8) {
            return false;
        }
        let (number, word, bit) = Marks::place(addr);
        let at = match self.find(number) {
            Some(at) => at,
            None => {
                let at = self.pieces.len();
                self.pieces.push(Piece { number, words: Box::new([0; WORDS]), ranks: Vec::new() });
                self.by_number.insert(number, at as u32);
                at
            }
        };
        let word = &mut self.pieces[at].words[word];
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    #[inline]
    pub fn has(&mut self, addr: u64) -> bool {
        let (number, word, bit) = Marks::place(addr);
        addr.is_multiple_of(8) && self.find(number).is_some_and(|at| self.pieces[at].words[word] & bit != 0)
    }

    /// Sorts and counts. How many marks there are.
    pub fn number(&mut self) -> u64 {
        self.pieces.sort_by_key(|it| it.number);
        self.recent = Recent::default();
        self.by_number = self.pieces.iter().map(|it| it.number).zip(0..).collect();
        let mut rank = 0u64;
        for piece in &mut self.pieces {
            piece.ranks = Vec::with_capacity(WORDS);
            for word in piece.words.iter() {
                piece.ranks.push(u32::try_from(rank).unwrap_or(u32::MAX));
                rank += u64::from(word.count_ones());
            }
        }
        rank
    }

    /// The number of a mark.
    #[inline]
    pub fn rank(&mut self, addr: u64) -> Option<u32> {
        let (number, word, bit) = Marks::place(addr);
        if !addr.is_multiple_of(8) {
            return None;
        }
        let at = self.find(number)?;
        let piece = &self.pieces[at];
        let bits = piece.words[word];
        (bits & bit != 0).then(|| piece.ranks[word] + (bits & (bit - 1)).count_ones())
    }

    /// Adds all marks, ascending once they are numbered.
    pub fn append_to(&self, addrs: &mut Vec<u64>) {
        for piece in &self.pieces {
            for (at, &word) in piece.words.iter().enumerate() {
                let start = (piece.number << PIECE_SHIFT) + ((at as u64) << 9);
                let mut rest = word;
                while rest != 0 {
                    addrs.push(start + u64::from(rest.trailing_zeros()) * 8);
                    rest &= rest - 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Twin: a sorted set.
        #[test]
        fn a_sorted_set_agrees(
            added in prop::collection::vec(0u64..1 << 21, 0..200),
        ) {
            let (mut marks, mut twin) = (Marks::new(), BTreeSet::new());
            let far = |it: u64| if it.is_multiple_of(3) { it | 1 << 46 } else { it };
            for addr in added.iter().map(|&it| far(it)) {
                prop_assert_eq!(marks.insert(addr), addr.is_multiple_of(8) && twin.insert(addr));
            }
            prop_assert_eq!(marks.number(), twin.len() as u64);
            let mut addrs = Vec::new();
            marks.append_to(&mut addrs);
            prop_assert_eq!(addrs, twin.iter().copied().collect::<Vec<_>>());
            for (addr, rank) in twin.iter().zip(0..) {
                prop_assert_eq!(marks.rank(*addr), Some(rank));
            }
            for addr in added.iter().map(|&it| far(it)) {
                prop_assert_eq!(marks.has(addr), twin.contains(&addr));
                prop_assert_eq!(marks.rank(addr).is_some(), twin.contains(&addr));
            }
        }
    }
}
