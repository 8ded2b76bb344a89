//! Memory of the operating system.
//!
//! Reservations are private anonymous mappings without a claim on swap, so that addresses cost nothing until they are
//! touched. Those of [`SPARSE`] bytes get huge pages only where a heap says so, whatever the system's setting is, as a page
//! of 2 MiB is more than a small heap needs. Where address space is limited (`ulimit -v`), half of what is wanted is tried until the least does not fit
//! either.

use crate::heap::up;
use crate::space::{Memory, PAGE, Reservation, Space, WORD};
use core::ptr::{null_mut, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Reservations of so many bytes are not used up as a rule.
const SPARSE: usize = 1 << 30;

/// Memory of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct Mapped(());

impl Mapped {
    /// # Safety
    ///
    /// Heaps over this space are given back only blocks that they gave out and that are live, and nobody writes beyond
    /// a block's usable size.
    pub const unsafe fn new() -> Mapped {
        Mapped(())
    }

    #[inline(always)]
    fn word<'a>(at: usize) -> &'a AtomicUsize {
        debug_assert!(at.is_multiple_of(WORD));
        // SAFETY: by `new`, heaps are given only their own blocks, so that all their words lie in mappings that they
        // reserved and have not released. Mappings are exposed where they are made. Words are accessed atomically, so
        // that heaps may share them among threads.
        unsafe { AtomicUsize::from_ptr(with_exposed_provenance_mut(at)) }
    }
}

/// A fresh mapping, null when there is none.
fn map(bytes: usize) -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | if cfg!(miri) { 0 } else { libc::MAP_NORESERVE };
    // SAFETY: a mapping at an address of the kernel's choice disturbs nothing.
    let at = unsafe { libc::mmap(null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if at == libc::MAP_FAILED { 0 } else { at.expose_provenance() }
}

fn unmap(at: usize, bytes: usize) {
    if bytes > 0 {
        // SAFETY: callers give ranges of their own mappings that nothing uses.
        unsafe { libc::munmap(with_exposed_provenance_mut(at), bytes) };
    }
}

/// Tells the kernel something that it may ignore.
fn advise(at: usize, bytes: usize, advice: libc::c_int) {
    // SAFETY: pages of a mapping of this space; where content goes, the heap does not need it.
    #[cfg(all(target_os = "linux", not(miri)))]
    unsafe {
        let errno = *libc::__errno_location();
        libc::madvise(with_exposed_provenance_mut(at), bytes, advice);
        *libc::__errno_location() = errno;
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (at, bytes, advice);
}

/// A mapping at a multiple of `align`: what is too much before and behind is unmapped again.
fn map_aligned(bytes: usize, align: usize) -> Option<usize> {
    if align <= PAGE {
        return Some(map(bytes)).filter(|&it| it != 0);
    }
    let padded = bytes.checked_add(align)?;
    let at = Some(map(padded)).filter(|&it| it != 0)?;
    let aligned = up(at, align);
    unmap(at, aligned - at);
    unmap(aligned + bytes, at + padded - aligned - bytes);
    Some(aligned)
}

impl Space for Mapped {
    fn reserve(&self, least: usize, wanted: usize, align: usize) -> Option<Reservation> {
        let least = least.checked_next_multiple_of(PAGE)?;
        let mut bytes = if cfg!(miri) { least } else { up(wanted, PAGE).max(least) };
        loop {
            if let Some(at) = map_aligned(bytes, align) {
                if bytes >= SPARSE {
                    advise(at, bytes, libc::MADV_NOHUGEPAGE);
                }
                return Some(Reservation { at, bytes });
            }
            if bytes == least {
                return None;
            }
            bytes = up(bytes / 2, PAGE).max(least);
        }
    }

    fn commit(&self, _: usize, _: usize) -> bool {
        true
    }

    fn populate(&self, at: usize, bytes: usize) {
        advise(at, bytes, libc::MADV_POPULATE_WRITE);
    }

    fn prefer_huge_pages(&self, at: usize, bytes: usize) {
        advise(at, bytes, libc::MADV_HUGEPAGE);
    }

    fn discard(&self, at: usize, bytes: usize) {
        advise(at, bytes, libc::MADV_DONTNEED);
    }

    fn release(&self, at: usize, bytes: usize) {
        unmap(at, bytes);
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    fn resize(&self, at: usize, old: usize, new: usize) -> Option<usize> {
        // SAFETY: a whole mapping of this space; what lay in it is known to the caller to have moved.
        let moved = unsafe { libc::mremap(with_exposed_provenance_mut(at), old, new, libc::MREMAP_MAYMOVE) };
        (moved != libc::MAP_FAILED).then(|| moved.expose_provenance())
    }

    #[inline(always)]
    fn load(&self, at: usize) -> usize {
        Mapped::word(at).load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn store(&self, at: usize, word: usize) {
        Mapped::word(at).store(word, Ordering::Relaxed);
    }

    fn exchange(&self, at: usize, word: usize) -> usize {
        Mapped::word(at).swap(word, Ordering::AcqRel)
    }

    fn exchange_if(&self, at: usize, old: usize, word: usize) -> bool {
        Mapped::word(at).compare_exchange(old, word, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn copy(&self, from: usize, to: usize, bytes: usize) {
        // SAFETY: two blocks of a heap, which do not overlap; the bytes may be uninitialized.
        unsafe { core::ptr::copy_nonoverlapping(self.pointer(from).cast_const(), self.pointer(to), bytes) }
    }
}

// SAFETY: reservations are mappings of their own, readable and writable until they are unmapped.
unsafe impl Memory for Mapped {
    #[inline(always)]
    fn pointer(&self, at: usize) -> *mut u8 {
        with_exposed_provenance_mut(at)
    }
}
