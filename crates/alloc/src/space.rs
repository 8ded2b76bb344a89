//! Where an allocator's addresses come from, and how it reaches the words that it keeps at them.
//!
//! A reservation passes through these states, page by page:
//!
//! ```text
//!   reserve --> reserved --commit--> committed --discard--> discarded --(next use)--> committed
//!                  \_____________________\_______________________\__ release: gone
//! ```
//!
//! Invariant: a word is loaded only after it was stored, and not across a `discard` or `release` of its page.

/// Bytes of a page, the unit in which memory is committed and discarded.
pub const PAGE: usize = 4096;
/// Bytes of a word.
pub const WORD: usize = size_of::<usize>();

/// A range of addresses, `[at, at + bytes)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// The first address.
    pub at: usize,
    /// How many bytes follow.
    pub bytes: usize,
}

/// Addresses, and the words at them.
///
/// Addresses of words are multiples of [`WORD`]. A space may be shared by heaps, which then get distinct reservations.
pub trait Space {
    /// Addresses that nothing else uses, the first a multiple of `align` (a power of two): `wanted` of them, or fewer
    /// but at least `least` where that is all there is. `None` when the space is exhausted.
    fn reserve(&self, least: usize, wanted: usize, align: usize) -> Option<Reservation>;

    /// Says that the reserved range is about to be used for the first time; its words are 0. False: there is no memory.
    fn commit(&self, at: usize, bytes: usize) -> bool;

    /// Says that the committed range is about to be written to, so that its pages may be made at once; whole pages.
    fn populate(&self, at: usize, bytes: usize) {
        let _ = (at, bytes);
    }

    /// Says that the reserved range will be used up in short time, so that huge pages waste nothing.
    fn prefer_huge_pages(&self, at: usize, bytes: usize) {
        let _ = (at, bytes);
    }

    /// The content of the range is not needed any more; whole pages. The range may be used again without a word.
    fn discard(&self, at: usize, bytes: usize);

    /// The range, a whole reservation or its end, is not used any more.
    fn release(&self, at: usize, bytes: usize);

    /// Makes a reservation larger or smaller, with its content, elsewhere if need be; whole pages. `None`: it is as it was.
    fn resize(&self, at: usize, old: usize, new: usize) -> Option<usize> {
        let _ = (at, old, new);
        None
    }

    /// The word at an address.
    fn load(&self, at: usize) -> usize;

    /// Writes the word at an address.
    fn store(&self, at: usize, word: usize);

    /// Writes the word at an address and says what it was, as one step among threads.
    fn exchange(&self, at: usize, word: usize) -> usize;

    /// As `exchange`, but only if the word is `old`. Says whether it was.
    fn exchange_if(&self, at: usize, old: usize, word: usize) -> bool;

    /// Copies the content of a block to another, as `realloc` does. The ranges do not overlap.
    fn copy(&self, from: usize, to: usize, bytes: usize);
}

/// A space whose addresses are memory that a program can use.
///
/// # Safety
///
/// - Committed addresses are readable and writable through [`Memory::pointer`] until they are released.
/// - No two reservations overlap, nor does one overlap memory that is in use for something else.
pub unsafe trait Memory: Space {
    /// The memory at an address of this space, with the right to access its reservation.
    fn pointer(&self, at: usize) -> *mut u8;
}

impl<S: Space> Space for &S {
    fn reserve(&self, least: usize, wanted: usize, align: usize) -> Option<Reservation> {
        (**self).reserve(least, wanted, align)
    }
    fn commit(&self, at: usize, bytes: usize) -> bool {
        (**self).commit(at, bytes)
    }
    fn populate(&self, at: usize, bytes: usize) {
        (**self).populate(at, bytes);
    }
    fn prefer_huge_pages(&self, at: usize, bytes: usize) {
        (**self).prefer_huge_pages(at, bytes);
    }
    fn discard(&self, at: usize, bytes: usize) {
        (**self).discard(at, bytes);
    }
    fn release(&self, at: usize, bytes: usize) {
        (**self).release(at, bytes);
    }
    fn resize(&self, at: usize, old: usize, new: usize) -> Option<usize> {
        (**self).resize(at, old, new)
    }
    fn load(&self, at: usize) -> usize {
        (**self).load(at)
    }
    fn store(&self, at: usize, word: usize) {
        (**self).store(at, word);
    }
    fn exchange(&self, at: usize, word: usize) -> usize {
        (**self).exchange(at, word)
    }
    fn exchange_if(&self, at: usize, old: usize, word: usize) -> bool {
        (**self).exchange_if(at, old, word)
    }
    fn copy(&self, from: usize, to: usize, bytes: usize) {
        (**self).copy(from, to, bytes);
    }
}

// SAFETY: the same memory behind a reference.
unsafe impl<S: Memory> Memory for &S {
    fn pointer(&self, at: usize) -> *mut u8 {
        (**self).pointer(at)
    }
}
