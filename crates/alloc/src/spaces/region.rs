//! A fixed range of memory that the caller owns: for programs without an operating system, and for arenas.
//!
//! Reservations follow each other; what is released at their end is given out again. Cost of a word: one instruction.

use crate::space::{Memory, Reservation, Space, WORD};
use core::cell::Cell;
use core::marker::PhantomData;

/// A fixed range of memory.
pub struct Region<'a> {
    base: *mut u8,
    bytes: usize,
    /// Bytes from `base` on that are reserved.
    taken: Cell<usize>,
    owner: PhantomData<&'a mut [u8]>,
}

// SAFETY: the range is owned, as by a `&mut [u8]`; `taken` goes with it.
unsafe impl Send for Region<'_> {}

impl<'a> Region<'a> {
    /// # Safety
    ///
    /// - `[base, base + bytes)` is readable and writable memory, for `'a` used through this region only.
    /// - Heaps over this region are given back only blocks that they gave out and that are live, and nobody writes
    ///   beyond a block's usable size.
    pub const unsafe fn new(base: *mut u8, bytes: usize) -> Region<'a> {
        Region { base, bytes, taken: Cell::new(0), owner: PhantomData }
    }

    #[inline(always)]
    fn word(&self, at: usize) -> *mut usize {
        let offset = at.wrapping_sub(self.base.addr());
        debug_assert!(offset.is_multiple_of(WORD) || at.is_multiple_of(WORD));
        debug_assert!(offset <= self.bytes - WORD, "a word outside the region");
        // SAFETY: by `new`, heaps are given only their own blocks, so that all their words lie in their reservation.
        unsafe { self.base.add(offset).cast() }
    }
}

impl Space for Region<'_> {
    fn reserve(&self, least: usize, wanted: usize, align: usize) -> Option<Reservation> {
        let base = self.base.addr();
        let at = (base + self.taken.get()).checked_next_multiple_of(align.max(WORD))?;
        let bytes = self.bytes.checked_sub(at - base)?.min(wanted);
        if bytes < least {
            return None;
        }
        self.taken.set(at + bytes - base);
        Some(Reservation { at, bytes })
    }

    fn commit(&self, at: usize, bytes: usize) -> bool {
        debug_assert!(at - self.base.addr() + bytes <= self.bytes);
        // SAFETY: a part of a reservation, which lies in the region; nothing is in use there yet.
        unsafe { self.pointer(at).write_bytes(0, bytes) };
        true
    }

    fn discard(&self, _: usize, _: usize) {}

    fn release(&self, at: usize, bytes: usize) {
        let base = self.base.addr();
        if at + bytes == base + self.taken.get() {
            self.taken.set(at - base);
        }
    }

    #[inline(always)]
    fn load(&self, at: usize) -> usize {
        // SAFETY: `word` lies in the region, which is readable; heaps load what they stored.
        unsafe { self.word(at).read() }
    }

    #[inline(always)]
    fn store(&self, at: usize, word: usize) {
        // SAFETY: as above, writable.
        unsafe { self.word(at).write(word) }
    }

    fn exchange(&self, at: usize, word: usize) -> usize {
        let old = self.load(at);
        self.store(at, word);
        old
    }

    fn exchange_if(&self, at: usize, old: usize, word: usize) -> bool {
        self.load(at) == old && self.exchange(at, word) == old
    }

    fn copy(&self, from: usize, to: usize, bytes: usize) {
        // SAFETY: two blocks of a heap, which do not overlap; the bytes may be uninitialized.
        unsafe { core::ptr::copy_nonoverlapping(self.pointer(from), self.pointer(to), bytes) }
    }
}

// SAFETY: by `new`, the range is memory of this region alone, and reservations lie behind each other in it.
unsafe impl Memory for Region<'_> {
    fn pointer(&self, at: usize) -> *mut u8 {
        self.base.wrapping_add(at.wrapping_sub(self.base.addr()))
    }
}
