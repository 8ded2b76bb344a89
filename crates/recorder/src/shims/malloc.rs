//! `malloc` and its family.
//!
//! A block is recorded after it was handed out and before it is given back, so that for any address the
//! records of all threads alternate.

use crate::real::{self, call};
use crate::sample::{self, Giver};
use crate::stream::{self, Thread};
use crate::{python, stack, tls};
use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use heapwise_trace::Family;
use heapwise_trace::ring::{OPTION_NO_FREE_STACKS, tag};

type Pointer = *mut c_void;

entry!(malloc, 1, on_malloc);
entry!(calloc, 2, on_calloc);
entry!(realloc, 2, on_realloc);
entry!(reallocarray, 3, on_reallocarray);
entry!(free, 1, on_free);
entry!(cfree, 1, on_free);
entry!(memalign, 2, on_memalign);
entry!(aligned_alloc, 2, on_aligned_alloc);
entry!(posix_memalign, 3, on_posix_memalign);
entry!(valloc, 1, on_valloc);
entry!(pvalloc, 1, on_pvalloc);

/// What `operator new` or `delete` promised for this call.
#[derive(Clone, Copy)]
struct Pending(u8);

impl Pending {
    #[inline(always)]
    fn take() -> Pending {
        let tls = tls::get();
        // SAFETY: this thread's words.
        Pending(unsafe { core::mem::replace(&mut (*tls).pending, 0) })
    }

    /// `malloc`'s own family where nothing was promised.
    #[inline(always)]
    fn family(self) -> Family {
        Family::from_bits(self.0)
    }

    /// Bytes that the program asked for.
    #[inline(always)]
    fn size(self, size: usize) -> usize {
        if self.0 & tls::PENDING_ZERO != 0 { 0 } else { size }
    }
}

/// Records a block that was handed out, if it was, and returns it.
#[inline(never)]
fn record_alloc(block: Pointer, size: usize, sp: *const u64, bp: u64) -> Pointer {
    let pending = Pending::take();
    if !block.is_null() && sample::takes(size) && sample::tell(block as u64, Giver::Libc) {
        stream::with(|thread| {
            thread.begin();
            // SAFETY: `sp` and `bp` are those of the interposed function's entry.
            let stack = unsafe { stack::capture(thread, sp, bp) };
            let stack = python::with_frames(thread, stack);
            let (size, family) = (pending.size(size), pending.family());
            thread.event(tag::ALLOC + family as u64, block as u64, size as u64, stack, true);
        });
    }
    block
}

/// Stack of a free, unless the user does without.
#[inline(always)]
fn free_stack(thread: &mut Thread, sp: *const u64, bp: u64) -> u32 {
    if thread.options & OPTION_NO_FREE_STACKS != 0 {
        return 0;
    }
    // SAFETY: `sp` and `bp` are those of the interposed function's entry.
    let stack = unsafe { stack::capture(thread, sp, bp) };
    python::with_frames(thread, stack)
}

unsafe extern "C" fn on_malloc(size: usize, sp: *const u64, bp: u64) -> Pointer {
    // SAFETY: libc's function with libc's arguments.
    let block = unsafe { call!(real::MALLOC.get(), fn(usize) -> Pointer)(size) };
    record_alloc(block, size, sp, bp)
}

unsafe extern "C" fn on_calloc(count: usize, size: usize, sp: *const u64, bp: u64) -> Pointer {
    let real = match real::CALLOC.slot().load(Relaxed) {
        0 => match find_calloc() {
            0 => return from_reserve(count.saturating_mul(size)),
            it => it,
        },
        it => it,
    };
    // SAFETY: as above.
    let block = unsafe { call!(real, fn(usize, usize) -> Pointer)(count, size) };
    record_alloc(block, count.wrapping_mul(size), sp, bp)
}

unsafe extern "C" fn on_realloc(old: Pointer, size: usize, sp: *const u64, bp: u64) -> Pointer {
    let real = real::REALLOC.get();
    if old.is_null() {
        // SAFETY: as above.
        let block = unsafe { call!(real, fn(Pointer, usize) -> Pointer)(old, size) };
        return record_alloc(block, size, sp, bp);
    }
    Pending::take();
    if is_from_reserve(old) {
        // SAFETY: the reserve's blocks are at least as long as what is copied: both end in the reserve.
        return unsafe { move_out_of_reserve(old, size) };
    }
    if !sample::is_exact() {
        // SAFETY: forwarded.
        return unsafe { realloc_sampled(old, size, sp, bp) };
    }
    let mut stack = 0;
    stream::with(|thread| {
        thread.begin();
        stack = free_stack(thread, sp, bp);
        thread.event(tag::RESIZE_BEGIN, old as u64, 0, stack, false);
    });
    // SAFETY: as above.
    let block = unsafe { call!(real, fn(Pointer, usize) -> Pointer)(old, size) };
    stream::with(|thread| {
        thread.begin();
        if stack == 0 {
            // SAFETY: as in `record_alloc`.
            stack = unsafe { stack::capture(thread, sp, bp) };
            stack = python::with_frames(thread, stack);
        }
        thread.event(tag::RESIZE_END, block as u64, size as u64, stack, true);
    });
    block
}

/// A block that is told may become one that is not, or the other way round. One that `realloc` fails to resize counts as
/// freed.
///
/// # Safety
/// As of `realloc`; `sp` and `bp` are those of the interposed function's entry.
#[cold]
#[inline(never)]
unsafe fn realloc_sampled(old: Pointer, size: usize, sp: *const u64, bp: u64) -> Pointer {
    if sample::was_told(old as u64, Giver::Libc) {
        stream::with(|thread| {
            thread.begin();
            let stack = free_stack(thread, sp, bp);
            thread.event(tag::FREE + Family::Malloc as u64, old as u64, 0, stack, false);
        });
    }
    // SAFETY: by the caller.
    let block = unsafe { call!(real::REALLOC.get(), fn(Pointer, usize) -> Pointer)(old, size) };
    record_alloc(block, size, sp, bp)
}

unsafe extern "C" fn on_reallocarray(
    old: Pointer,
    count: usize,
    size: usize,
    sp: *const u64,
    bp: u64,
) -> Pointer {
    match count.checked_mul(size) {
        // SAFETY: forwarded.
        Some(bytes) => unsafe { on_realloc(old, bytes, sp, bp) },
        None => {
            // libc's own way to say so: ENOMEM and null.
            // SAFETY: fails without touching `old`.
            unsafe { call!(real::REALLOC.get(), fn(Pointer, usize) -> Pointer)(old, usize::MAX) }
        }
    }
}

unsafe extern "C" fn on_free(block: Pointer, sp: *const u64, bp: u64) {
    let pending = Pending::take();
    if block.is_null() {
        return;
    }
    if is_from_reserve(block) {
        return;
    }
    if sample::was_told(block as u64, Giver::Libc) {
        stream::with(|thread| {
            thread.begin();
            let stack = free_stack(thread, sp, bp);
            thread.event(tag::FREE + pending.family() as u64, block as u64, 0, stack, false);
        });
    }
    // SAFETY: libc's function with the program's argument.
    unsafe { call!(real::FREE.get(), fn(Pointer))(block) }
}

unsafe extern "C" fn on_memalign(align: usize, size: usize, sp: *const u64, bp: u64) -> Pointer {
    // SAFETY: libc's function with libc's arguments.
    let block = unsafe { call!(real::MEMALIGN.get(), fn(usize, usize) -> Pointer)(align, size) };
    record_alloc(block, size, sp, bp)
}

unsafe extern "C" fn on_aligned_alloc(align: usize, size: usize, sp: *const u64, bp: u64) -> Pointer {
    // SAFETY: libc's function with libc's arguments.
    let block = unsafe { call!(real::ALIGNED_ALLOC.get(), fn(usize, usize) -> Pointer)(align, size) };
    record_alloc(block, size, sp, bp)
}

unsafe extern "C" fn on_posix_memalign(
    out: *mut Pointer,
    align: usize,
    size: usize,
    sp: *const u64,
    bp: u64,
) -> i32 {
    // SAFETY: libc's function with libc's arguments.
    let error =
        unsafe { call!(real::POSIX_MEMALIGN.get(), fn(*mut Pointer, usize, usize) -> i32)(out, align, size) };
    // SAFETY: set on success.
    record_alloc(if error == 0 { unsafe { *out } } else { core::ptr::null_mut() }, size, sp, bp);
    error
}

unsafe extern "C" fn on_valloc(size: usize, sp: *const u64, bp: u64) -> Pointer {
    // SAFETY: libc's function with libc's arguments.
    let block = unsafe { call!(real::VALLOC.get(), fn(usize) -> Pointer)(size) };
    record_alloc(block, size, sp, bp)
}

unsafe extern "C" fn on_pvalloc(size: usize, sp: *const u64, bp: u64) -> Pointer {
    // SAFETY: libc's function with libc's arguments.
    let block = unsafe { call!(real::PVALLOC.get(), fn(usize) -> Pointer)(size) };
    record_alloc(block, size, sp, bp)
}

/// `dlsym` of an old glibc may call `calloc` itself: while it looks for `calloc`, blocks come from here.
const RESERVE_BYTES: usize = 16 * 1024;
#[repr(C, align(16))]
struct Reserve(core::cell::UnsafeCell<[u8; RESERVE_BYTES]>);
// SAFETY: handed out by an atomic bump, each byte to one caller.
unsafe impl Sync for Reserve {}
static RESERVE: Reserve = Reserve(core::cell::UnsafeCell::new([0; RESERVE_BYTES]));
static RESERVED: AtomicUsize = AtomicUsize::new(0);
static IS_FINDING: AtomicUsize = AtomicUsize::new(0);

#[cold]
fn find_calloc() -> usize {
    if IS_FINDING.swap(1, Relaxed) != 0 {
        return 0;
    }
    let found = real::CALLOC.get();
    IS_FINDING.store(0, Relaxed);
    found
}

#[cold]
fn from_reserve(size: usize) -> Pointer {
    let size = size.max(1).next_multiple_of(16);
    let at = RESERVED.fetch_add(size, Relaxed);
    if size > RESERVE_BYTES || at > RESERVE_BYTES - size {
        return core::ptr::null_mut();
    }
    // SAFETY: in bounds by the check.
    unsafe { RESERVE.0.get().cast::<u8>().add(at).cast() }
}

#[inline(always)]
fn is_from_reserve(block: Pointer) -> bool {
    (block as usize).wrapping_sub(RESERVE.0.get() as usize) < RESERVE_BYTES
}

#[cold]
unsafe fn move_out_of_reserve(old: Pointer, size: usize) -> Pointer {
    // SAFETY: libc's function; the copy stays within the reserve and the new block.
    unsafe {
        let block = call!(real::MALLOC.get(), fn(usize) -> Pointer)(size);
        if !block.is_null() {
            let rest = RESERVE.0.get() as usize + RESERVE_BYTES - old as usize;
            core::ptr::copy_nonoverlapping(old.cast::<u8>(), block.cast::<u8>(), size.min(rest));
        }
        block
    }
}
