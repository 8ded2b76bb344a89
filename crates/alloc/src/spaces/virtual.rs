//! Addresses without memory: only the words that allocators write are kept.
//!
//! ```text
//!   address = directory : 20 high bits.. | page of lines : 12 bits | line : 8 bits
//!   directory[..] --> 4,096 numbers of lines, made when the first is needed --> 256 bytes of words
//! ```
//!
//! A word costs three dependent loads. Memory: 256 bytes for each line of 256 addresses in which a word was stored, so
//! at most what the heap would need, and about a line for each live block of that size or more; 16 KiB for each MiB of
//! addresses that has a line. Lines of discarded and released ranges are used again.
//!
//! Released addresses are given out again only after 2^46 others, so that a trace of any length fits.

use crate::heap::up;
use crate::space::{PAGE, Reservation, Space, WORD};
use core::cell::{Cell, UnsafeCell};
use std_alloc::boxed::Box;
use std_alloc::vec::Vec;

const LINE: usize = 256;
const LINES: usize = 4096;
const WORDS: usize = LINE / WORD;
/// The first address; the ones below belong to no block, as in a process.
const BASE: usize = 1 << 20;
const END: usize = 1 << 46;

/// Addresses, and the words that were stored at them.
pub struct Virtual {
    next: Cell<usize>,
    copied: Cell<usize>,
    words: UnsafeCell<Words>,
}

/// Invariant: every number in the directory is that of a line.
struct Words {
    /// By the address over `LINE * LINES`; in it numbers of lines by the address over `LINE`, 0 for none.
    directory: Vec<Option<Box<[u32; LINES]>>>,
    /// Line 0 is all 0 and never written: it is what was not stored.
    lines: Vec<[usize; WORDS]>,
    spare: Vec<u32>,
}

impl Words {
    fn new() -> Words {
        Words { directory: Vec::new(), lines: std_alloc::vec![[0; WORDS]], spare: Vec::new() }
    }

    #[inline]
    fn line(&self, at: usize) -> usize {
        match self.directory.get(at / (LINE * LINES)) {
            Some(Some(numbers)) => numbers[at / LINE % LINES] as usize,
            _ => 0,
        }
    }

    #[cold]
    fn add_line(&mut self, at: usize) -> usize {
        let index = at / (LINE * LINES);
        if self.directory.len() <= index {
            self.directory.resize_with(index + 1, || None);
        }
        let numbers = self.directory[index].get_or_insert_with(|| Box::new([0; LINES]));
        let number = self.spare.pop().unwrap_or_else(|| {
            self.lines.push([0; WORDS]);
            u32::try_from(self.lines.len() - 1).expect("fewer than 2^32 lines, which are a terabyte")
        });
        numbers[at / LINE % LINES] = number;
        number as usize
    }

    /// Forgets what lines wholly in the range hold.
    fn forget(&mut self, from: usize, to: usize) {
        let mut at = up(from, LINE);
        while at + LINE <= to {
            match self.directory.get_mut(at / (LINE * LINES)) {
                None => return,
                Some(None) => at = up(at + 1, LINE * LINES),
                Some(Some(numbers)) => {
                    let number = core::mem::take(&mut numbers[at / LINE % LINES]);
                    if number != 0 {
                        self.lines[number as usize] = [0; WORDS];
                        self.spare.push(number);
                    }
                    at += LINE;
                }
            }
        }
    }
}

impl Virtual {
    /// All addresses unused.
    pub fn new() -> Virtual {
        Virtual { next: Cell::new(BASE), copied: Cell::new(0), words: UnsafeCell::new(Words::new()) }
    }

    /// Bytes that `realloc` has had to copy.
    pub fn copied(&self) -> usize {
        self.copied.get()
    }
}

impl Default for Virtual {
    fn default() -> Virtual {
        Virtual::new()
    }
}

impl Space for Virtual {
    fn reserve(&self, least: usize, wanted: usize, align: usize) -> Option<Reservation> {
        let bytes = least.max(wanted).checked_next_multiple_of(PAGE)?;
        let at = self.next.get().checked_next_multiple_of(align.max(PAGE))?;
        let end = at.checked_add(bytes).filter(|&it| it <= END)?;
        self.next.set(end);
        Some(Reservation { at, bytes })
    }

    fn commit(&self, _: usize, _: usize) -> bool {
        true
    }

    fn discard(&self, at: usize, bytes: usize) {
        // SAFETY: as of `load`.
        unsafe { &mut *self.words.get() }.forget(at, at + bytes);
    }

    fn release(&self, at: usize, bytes: usize) {
        self.discard(at, bytes);
        if at + bytes == self.next.get() {
            self.next.set(at);
        }
    }

    fn resize(&self, at: usize, old: usize, new: usize) -> Option<usize> {
        if new <= old || at + old == self.next.get() {
            self.discard(at + new.min(old), old.saturating_sub(new));
            self.next.set(self.next.get().max(at + new));
            return Some(at);
        }
        let moved = self.reserve(new, new, PAGE)?.at;
        self.release(at, old);
        Some(moved)
    }

    #[inline]
    fn load(&self, at: usize) -> usize {
        // SAFETY: a space is not shared among threads, and no method calls another while it holds the words. The number
        // is a line's, as the directory holds no other.
        unsafe {
            let words = &*self.words.get();
            words.lines.get_unchecked(words.line(at))[at / WORD % WORDS]
        }
    }

    #[inline]
    fn store(&self, at: usize, word: usize) {
        // SAFETY: as above.
        unsafe {
            let words = &mut *self.words.get();
            let mut line = words.line(at);
            if line == 0 {
                line = words.add_line(at);
            }
            words.lines.get_unchecked_mut(line)[at / WORD % WORDS] = word;
        }
    }

    fn exchange(&self, at: usize, word: usize) -> usize {
        let old = self.load(at);
        self.store(at, word);
        old
    }

    fn exchange_if(&self, at: usize, old: usize, word: usize) -> bool {
        self.load(at) == old && self.exchange(at, word) == old
    }

    fn copy(&self, _: usize, _: usize, bytes: usize) {
        self.copied.set(self.copied.get() + bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_until_their_pages_are_discarded() {
        let space = Virtual::new();
        let range = space.reserve(1, 4 * PAGE, PAGE).expect("addresses");
        assert_eq!(range.bytes, 4 * PAGE);
        for at in (range.at..range.at + 4 * PAGE).step_by(WORD) {
            space.store(at, at * 3);
        }
        space.discard(range.at + PAGE, PAGE);
        for at in (range.at..range.at + 4 * PAGE).step_by(WORD) {
            let discarded = (range.at + PAGE..range.at + 2 * PAGE).contains(&at);
            assert_eq!(space.load(at), if discarded { 0 } else { at * 3 });
        }
        // SAFETY: nobody else has the words.
        assert_eq!(unsafe { &*space.words.get() }.spare.len(), PAGE / LINE);
    }

    #[test]
    fn the_last_addresses_are_no_block() {
        let space = Virtual::new();
        assert_eq!(space.reserve(usize::MAX, 0, PAGE), None);
        assert_eq!(space.reserve(END, END, PAGE), None);
        assert!(space.reserve(END / 2, 0, PAGE).is_some());
        assert_eq!(space.reserve(END / 2, 0, PAGE), None);
    }
}
