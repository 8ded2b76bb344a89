//! A copy of the process's memory, made in large pieces as it is asked for.
//!
//! Objects of one arena lie side by side, so a piece that was read for one serves thousands. Pages that are not mapped
//! are known by a bit each. What is kept is bounded: when it is too much, all of it goes.

use rustc_hash::FxHashMap;

/// Memory of a process that stands still.
pub trait Memory {
    /// Fills `into` from `addr` on; how many bytes could be read before the first one that is not mapped.
    fn read(&self, addr: u64, into: &mut [u8]) -> usize;
}

/// Bytes of a piece, a power of two.
const PIECE: u64 = 1 << PIECE_SHIFT;
const PIECE_SHIFT: u32 = 16;
const PAGE: usize = 1 << PAGE_SHIFT;
const PAGE_SHIFT: u32 = 12;
/// No memory of a process is beyond.
pub const ADDRESS_MAX: u64 = 1 << 56;
/// All pages of a piece.
const ALL: u64 = (1 << (PIECE >> PAGE_SHIFT)) - 1;
/// Bytes that are kept.
const KEPT_MAX: usize = 1 << 30;
/// Pieces without a mapped page that are asked for: more are those of damaged memory.
const UNMAPPED_MAX: u32 = 20_000;

/// Where pieces stand that were asked for of late, by the last bits of their numbers.
pub struct Recent([(u64, u32); RECENT]);

const RECENT: usize = 256;

impl Default for Recent {
    fn default() -> Recent {
        Recent([(u64::MAX, 0); RECENT])
    }
}

impl Recent {
    #[inline]
    pub fn get(&self, number: u64) -> Option<u32> {
        let (known, at) = self.0[number as usize % RECENT];
        (known == number).then_some(at)
    }

    #[inline]
    pub fn set(&mut self, number: u64, at: u32) {
        self.0[number as usize % RECENT] = (number, at);
    }
}

#[derive(Default)]
struct Piece {
    /// Empty where nothing is mapped.
    bytes: Box<[u8]>,
    /// A bit for each page that is mapped.
    mapped: u64,
}

/// See the module's page.
pub struct Copy<'a> {
    memory: &'a dyn Memory,
    pieces: Vec<Piece>,
    by_number: FxHashMap<u64, u32>,
    recent: Recent,
    unmapped: u32,
    /// Words that were mapped in the pieces read, and those that were asked for by [`Copy::take`].
    mapped: u64,
    taken: u64,
}

impl<'a> Copy<'a> {
    pub fn new(memory: &'a dyn Memory) -> Copy<'a> {
        let by_number = FxHashMap::default();
        let recent = Recent::default();
        Copy { memory, pieces: Vec::new(), by_number, recent, unmapped: 0, mapped: 0, taken: 0 }
    }

    /// Of `count` words as many as may still be looked at. Objects do not overlap, so those that are sound have no more
    /// words in all than there is memory; each is looked at a few times.
    #[inline]
    pub fn take(&mut self, count: u64) -> u64 {
        const TIMES: u64 = 8;
        let count = count.min((self.mapped * TIMES).saturating_sub(self.taken));
        self.taken += count;
        count
    }

    /// Whether more words were asked for than sound objects have.
    pub fn is_exhausted(&self) -> bool {
        self.taken >= self.mapped * 8
    }

    /// Whether so many addresses lead nowhere that others are no longer asked for.
    pub fn is_damaged(&self) -> bool {
        self.unmapped >= UNMAPPED_MAX
    }

    /// The piece that holds `addr`, and where in it.
    #[inline]
    fn piece(&mut self, addr: u64) -> (&Piece, usize) {
        let number = addr >> PIECE_SHIFT;
        let at = match self.recent.get(number) {
            Some(at) => at,
            None => {
                let at = self.find(number);
                self.recent.set(number, at);
                at
            }
        };
        (&self.pieces[at as usize], (addr & (PIECE - 1)) as usize)
    }

    fn find(&mut self, number: u64) -> u32 {
        if let Some(&at) = self.by_number.get(&number) {
            return at;
        }
        if self.pieces.len() >= KEPT_MAX >> PIECE_SHIFT {
            self.pieces.clear();
            self.by_number.clear();
            self.recent = Recent::default();
        }
        let at = self.pieces.len() as u32;
        let piece =
            if self.is_damaged() { Piece::default() } else { read(self.memory, number << PIECE_SHIFT) };
        self.unmapped += u32::from(piece.mapped == 0 && !self.is_damaged());
        self.mapped += u64::from(piece.mapped.count_ones()) * (PAGE as u64 / 8);
        self.pieces.push(piece);
        self.by_number.insert(number, at);
        at
    }

    /// `length` bytes, at most a piece's, if all of them are mapped and lie in one piece.
    #[inline]
    pub fn slice(&mut self, addr: u64, length: usize) -> Option<&[u8]> {
        let (piece, at) = self.piece(addr);
        let end = at + length;
        if length == 0 || end > PIECE as usize {
            return None;
        }
        if piece.mapped == ALL {
            return Some(&piece.bytes[at..end]);
        }
        let (first, last) = (at >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
        let wanted = (u64::MAX << first) & (u64::MAX >> (63 - last));
        (piece.mapped & wanted == wanted).then(|| &piece.bytes[at..end])
    }

    /// The eight bytes at `addr`.
    #[inline]
    pub fn word(&mut self, addr: u64) -> Option<u64> {
        let at = (addr & (PIECE - 1)) as usize;
        if let Some(piece) = self.recent.get(addr >> PIECE_SHIFT).map(|it| &self.pieces[it as usize])
            && piece.mapped == ALL
            && let Some(bytes) = piece.bytes[at..].first_chunk::<8>()
        {
            return Some(u64::from_le_bytes(*bytes));
        }
        self.slow_word(addr)
    }

    #[cold]
    fn slow_word(&mut self, addr: u64) -> Option<u64> {
        if let Some(bytes) = self.slice(addr, 8) {
            return Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        }
        let mut bytes = [0; 8];
        self.copy(addr, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    /// Four bytes.
    pub fn half(&mut self, addr: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.copy(addr, &mut bytes).then(|| u32::from_le_bytes(bytes))
    }

    /// One byte.
    pub fn byte(&mut self, addr: u64) -> Option<u8> {
        self.slice(addr, 1).map(|it| it[0])
    }

    /// A pointer that is not null. Offsets can be added to it.
    #[inline]
    pub fn pointer(&mut self, addr: u64) -> Option<u64> {
        self.word(addr).filter(|it| (1..ADDRESS_MAX).contains(it))
    }

    /// Fills `into`, across pieces; whether all of it is mapped.
    pub fn copy(&mut self, addr: u64, into: &mut [u8]) -> bool {
        let mut done = 0;
        while done < into.len() {
            let Some(at) = addr.checked_add(done as u64) else { return false };
            let here = (into.len() - done).min((PIECE - (at & (PIECE - 1))) as usize);
            let Some(bytes) = self.slice(at, here) else { return false };
            into[done..done + here].copy_from_slice(bytes);
            done += here;
        }
        true
    }

    /// What stands before the first zero, of `most` bytes.
    pub fn c_string(&mut self, addr: u64, most: usize) -> Option<String> {
        let mut bytes = Vec::new();
        while bytes.len() < most {
            match self.byte(addr.checked_add(bytes.len() as u64)?)? {
                0 => return Some(String::from_utf8_lossy(&bytes).into_owned()),
                byte => bytes.push(byte),
            }
        }
        None
    }
}

fn read(memory: &dyn Memory, start: u64) -> Piece {
    let mut bytes = vec![0; PIECE as usize].into_boxed_slice();
    let mut mapped = 0u64;
    let mut at = 0;
    while at < bytes.len() {
        let end = at + memory.read(start + at as u64, &mut bytes[at..]).min(bytes.len() - at);
        for page in at >> PAGE_SHIFT..end >> PAGE_SHIFT {
            mapped |= 1 << page;
        }
        // The page that could not be read, or not whole, is passed over.
        at = ((end >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
    }
    if mapped == 0 { Piece::default() } else { Piece { bytes, mapped } }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Hand-made memory: stretches by their addresses.
    #[derive(Default)]
    pub struct Stretches(pub BTreeMap<u64, Vec<u8>>);

    impl Memory for Stretches {
        fn read(&self, addr: u64, into: &mut [u8]) -> usize {
            let Some((start, bytes)) = self.0.range(..=addr).next_back() else { return 0 };
            let Some(rest) = bytes.get((addr - start) as usize..) else { return 0 };
            let length = rest.len().min(into.len());
            into[..length].copy_from_slice(&rest[..length]);
            length
        }
    }

    #[test]
    fn holes_are_known() {
        let mut memory = Stretches::default();
        memory.0.insert(0x1000, vec![7; 2 * PAGE]);
        memory.0.insert(0x5000, vec![9; PAGE]);
        memory.0.insert(PIECE - PAGE as u64, (0..2 * PAGE).map(|it| it as u8).collect());
        let mut copy = Copy::new(&memory);
        assert_eq!(copy.word(0x1000), Some(0x0707_0707_0707_0707));
        assert_eq!(copy.word(0x2ff8), Some(0x0707_0707_0707_0707));
        assert_eq!(copy.word(0x2ffc), None);
        assert_eq!(copy.word(0x3000), None);
        assert_eq!(copy.byte(0x5fff), Some(9));
        assert_eq!(copy.byte(0), None);
        assert_eq!(copy.word(u64::MAX - 3), None);
        // Across two pieces.
        assert_eq!(copy.word(PIECE - 4), Some(u64::from_le_bytes([252, 253, 254, 255, 0, 1, 2, 3])));
        let mut bytes = [0; 8];
        assert!(!copy.copy(PIECE + PAGE as u64 - 4, &mut bytes));
    }
}
