//! A word for each 16 bytes of memory in which blocks lie that something is to be known of: see `trace::ring::object`.
//!
//! Private memory: a forked child has its own. What is once mapped stays.

use crate::{session, sys};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use heapwise_trace::ring::{OWN_MAX, object};

type Page = [AtomicU32; object::PAGE];
type Directory = [AtomicPtr<Page>; object::DIRECTORY];

static ROOT: [AtomicPtr<Directory>; object::ROOT] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; object::ROOT];

/// Tells of what is mapped, and where the table begins; once for each image.
pub fn announce() {
    let Some(header) = session::header() else { return };
    for (start, bytes) in &MAPPED[..MAPPED_COUNT.load(Relaxed).min(OWN_MAX)] {
        session::own(start.load(Relaxed) as *mut u8, bytes.load(Relaxed) as usize);
    }
    header.objects.store(ROOT.as_ptr() as u64, Release);
}

#[inline(always)]
pub fn word(address: u64) -> Option<&'static AtomicU32> {
    let directory = ROOT.get((address >> 34) as usize)?.load(Acquire);
    if directory.is_null() {
        return None;
    }
    // SAFETY: a directory, which stays mapped; the index has 14 bits.
    let page =
        unsafe { (*directory).get_unchecked((address >> 20) as usize % object::DIRECTORY) }.load(Acquire);
    if page.is_null() {
        return None;
    }
    // SAFETY: a page, which stays mapped; the index has 16 bits.
    Some(unsafe { (*page).get_unchecked((address >> 4) as usize % object::PAGE) })
}

/// As [`word`], which is made if there is none.
#[inline(always)]
pub fn new_word(address: u64) -> Option<&'static AtomicU32> {
    word(address).or_else(|| make_word(address))
}

#[cold]
#[inline(never)]
fn make_word(address: u64) -> Option<&'static AtomicU32> {
    let slot = ROOT.get((address >> 34) as usize)?;
    while MAKING.swap(1, Acquire) != 0 {
        core::hint::spin_loop();
    }
    let made = (|| {
        if slot.load(Relaxed).is_null() {
            slot.store(map(1)?, Release);
        }
        // SAFETY: as in `word`.
        let slot = unsafe { &(*slot.load(Relaxed))[(address >> 20) as usize % object::DIRECTORY] };
        if slot.load(Relaxed).is_null() {
            slot.store(new_page()?, Release);
        }
        Some(())
    })();
    MAKING.store(0, Release);
    made.and_then(|()| word(address))
}

/// Held for no longer than two system calls, while no code of the program runs.
static MAKING: AtomicU32 = AtomicU32::new(0);

/// Pages mapped at once; what is not touched costs nothing.
const SLAB: usize = 64;
/// Those of the last slab that are left.
static SLAB_NEXT: AtomicPtr<Page> = AtomicPtr::new(core::ptr::null_mut());
static SLAB_LEFT: AtomicUsize = AtomicUsize::new(0);

fn new_page() -> Option<*mut Page> {
    if SLAB_LEFT.load(Relaxed) == 0 {
        SLAB_NEXT.store(map(SLAB)?, Relaxed);
        SLAB_LEFT.store(SLAB, Relaxed);
    }
    let page = SLAB_NEXT.load(Relaxed);
    SLAB_NEXT.store(page.wrapping_add(1), Relaxed);
    SLAB_LEFT.store(SLAB_LEFT.load(Relaxed) - 1, Relaxed);
    Some(page)
}

fn map<T>(count: usize) -> Option<*mut T> {
    let bytes = size_of::<T>() * count;
    let fresh = sys::map(bytes);
    if fresh.is_null() {
        return None;
    }
    session::own(fresh, bytes);
    let at = MAPPED_COUNT.fetch_add(1, Relaxed);
    if let Some(mapped) = MAPPED.get(at) {
        mapped.0.store(fresh as u64, Relaxed);
        mapped.1.store(bytes as u64, Relaxed);
    }
    Some(fresh.cast())
}

/// What was mapped for the table, start and length, to be told again by a forked child.
static MAPPED: [(AtomicU64, AtomicU64); OWN_MAX] =
    [const { (AtomicU64::new(0), AtomicU64::new(0)) }; OWN_MAX];
static MAPPED_COUNT: AtomicUsize = AtomicUsize::new(0);
