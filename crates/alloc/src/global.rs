//! One heap for all threads of a process.
//!
//! ```text
//!   thread  --> its cache: two words of thread-local storage lead there      no lock
//!     |
//!     | needs a span, has some, or the block is not small
//!     v
//!   PARTS, behind a lock
//! ```
//!
//! Invariants: only the thread itself touches its cache, from its first block until it has ended; then what it had is the
//! orphans'. A thread that has no cache, as it has ended but for what the C library still frees, uses the orphans' cache
//! behind the lock. The lock is held over a fork, so that the child finds the parts whole; caches of threads that do not exist in the
//! child stay as they are, and what they hold is lost to it.
//!
//! Blocks count as live with all their usable bytes, as `free` does not say what was asked for.

use crate::classes::{SMALL_MAX, SPAN, class_for, class_of};
use crate::heap::{Block, Fault, SIZE_MAX, Statistics};
use crate::indexes::GoodFit;
use crate::malloc::Parts;
use crate::space::Memory;
use crate::spaces::Mapped;
use crate::spans::{Cache, Freed};
use core::alloc::{GlobalAlloc, Layout};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

global_asm!(
    ".section .tbss.heapwise_alloc,\"awT\",@nobits",
    ".p2align 4",
    ".globl heapwise_alloc_thread",
    ".hidden heapwise_alloc_thread",
    ".type heapwise_alloc_thread, @object",
    ".size heapwise_alloc_thread, 16",
    "heapwise_alloc_thread:",
    ".zero 16",
    ".text",
);

/// Zero at the start of every thread.
#[repr(C)]
struct Thread {
    /// Its cache, or 0.
    cache: usize,
    /// It has ended, and gets no cache any more.
    has_ended: usize,
}

/// This thread's words, valid as long as it lives.
#[inline(always)]
fn thread() -> *mut Thread {
    let words: *mut Thread;
    // SAFETY: reads the thread pointer and a constant of the global offset table.
    unsafe {
        asm!("mov {p}, qword ptr fs:[0]", "add {p}, qword ptr [rip + heapwise_alloc_thread@GOTTPOFF]",
             p = out(reg) words, options(nostack, pure, readonly));
    }
    words
}

const WAIT: libc::c_int = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const WAKE: libc::c_int = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

/// Whether the process has this thread only, as far as the C library tells (glibc since 2.32; musl does not). It says
/// no before it makes a thread.
#[inline(always)]
fn is_single_threaded() -> bool {
    let flag: *const u8;
    // SAFETY: reads a constant of the global offset table, which is null where the C library has no such symbol.
    unsafe {
        asm!(".weak __libc_single_threaded", "mov {p}, qword ptr [rip + __libc_single_threaded@GOTPCREL]",
             p = out(reg) flag, options(nostack, pure, readonly));
        !flag.is_null() && flag.read_volatile() != 0
    }
}

/// A lock of one word: 0 free, 1 held, 2 held and somebody waits (Drepper: "Futexes Are Tricky", 2011).
struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by `with` alone, by one thread at a time.
unsafe impl<T> Sync for Lock<T> {}

impl<T> Lock<T> {
    const fn new(value: T) -> Lock<T> {
        Lock { state: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    #[inline]
    fn acquire(&self) {
        if self.state.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
    }

    #[cold]
    fn wait(&self) {
        for _ in 0..100 {
            core::hint::spin_loop();
            if self.state.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
        }
        // SAFETY: this thread's own `errno`, which is the program's; the word lives as long as the process.
        unsafe {
            let errno = *libc::__errno_location();
            while self.state.swap(2, Ordering::Acquire) != 0 {
                libc::syscall(libc::SYS_futex, self.state.as_ptr(), WAIT, 2, 0);
            }
            *libc::__errno_location() = errno;
        }
    }

    #[inline]
    fn release(&self) {
        if self.state.swap(0, Ordering::Release) == 2 {
            // SAFETY: as above.
            unsafe { libc::syscall(libc::SYS_futex, self.state.as_ptr(), WAKE, 1) };
        }
    }

    /// Does something with the value while nobody else does. It neither allocates nor comes back here.
    #[inline]
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let is_alone = is_single_threaded();
        if !is_alone {
            self.acquire();
        }
        // SAFETY: the lock is held, or there is no other thread, and `work` makes none; it does not come back here.
        let result = work(unsafe { &mut *self.value.get() });
        if !is_alone {
            self.release();
        }
        result
    }
}

// SAFETY: callers of this module's unsafe functions give back live blocks only, and write to their own blocks.
static SPACE: Mapped = unsafe { Mapped::new() };
static PARTS: Lock<Parts<Mapped, GoodFit>> = Lock::new(Parts::new(SPACE, GoodFit::new()));

/// 0: nothing is registered; 1: somebody is at it, or it is done.
static REGISTERED: AtomicU32 = AtomicU32::new(0);
/// The key whose destructor tells that a thread ends, plus 1; 0 for none.
static KEY: AtomicU32 = AtomicU32::new(0);

fn cache(at: usize) -> Cache<'static, Mapped> {
    Cache { space: &SPACE, at }
}

/// This thread's cache, made if it has none and has not ended.
#[cold]
fn make_cache() -> Option<usize> {
    let words = thread();
    // SAFETY: this thread's own words.
    if unsafe { (*words).has_ended } != 0 {
        return None;
    }
    let at = PARTS.with(|parts| parts.depot.take_cache())?;
    // SAFETY: as above.
    unsafe { (*words).cache = at };
    if REGISTERED.swap(1, Ordering::Relaxed) == 0 {
        register();
    }
    let key = KEY.load(Ordering::Acquire);
    if key != 0 {
        // SAFETY: a key that is never deleted; the value is not a pointer to anything.
        unsafe { libc::pthread_setspecific(key - 1, words.cast_const().cast()) };
    }
    Some(at)
}

/// Asks to be told when threads end and when the process forks. May allocate, for which there is a cache already.
#[cold]
fn register() {
    let mut key = 0;
    // SAFETY: functions that live as long as the process, which this code is never unloaded from.
    unsafe {
        if libc::pthread_key_create(&mut key, Some(end_thread)) == 0 {
            KEY.store(key + 1, Ordering::Release);
        }
        libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_child));
    }
}

unsafe extern "C" fn end_thread(_: *mut libc::c_void) {
    let words = thread();
    // SAFETY: this thread's own words.
    let at = unsafe {
        (*words).has_ended = 1;
        core::mem::take(&mut (*words).cache)
    };
    if at != 0 {
        PARTS.with(|parts| parts.depot.retire(at));
    }
}

unsafe extern "C" fn before_fork() {
    PARTS.acquire();
}

unsafe extern "C" fn after_fork() {
    PARTS.release();
}

unsafe extern "C" fn in_child() {
    // Who waited for it does not exist here.
    PARTS.state.store(0, Ordering::Release);
}

#[inline(always)]
fn pointer(at: Option<usize>) -> *mut u8 {
    at.map_or(core::ptr::null_mut(), |at| SPACE.pointer(at))
}

/// A block of `size` bytes at a multiple of 16; null when there is no memory.
#[inline]
pub fn allocate(size: usize) -> *mut u8 {
    if size > SMALL_MAX {
        return allocate_large(size, 16);
    }
    let class = class_of(size);
    // SAFETY: this thread's own words.
    let at = unsafe { (*thread()).cache };
    if at != 0
        && let Some(block) = cache(at).take_ready(class)
    {
        return SPACE.pointer(block);
    }
    allocate_slowly(class)
}

/// As [`allocate`], at a multiple of `align`, a power of two; null also if it is none.
pub fn allocate_aligned(size: usize, align: usize) -> *mut u8 {
    if align <= 16 && align.is_power_of_two() {
        return allocate(size);
    }
    match class_for(size, align) {
        Some(_) if !align.is_power_of_two() => core::ptr::null_mut(),
        Some(class) => allocate_slowly(class),
        None => allocate_large(size, align),
    }
}

/// As [`allocate`], of bytes that are 0.
pub fn allocate_zeroed(size: usize, align: usize) -> *mut u8 {
    let block = allocate_aligned(size, align);
    let is_zero = size > SMALL_MAX && !block.is_null() && is_mapping(block.addr());
    if !block.is_null() && !is_zero {
        // SAFETY: a fresh block of that size. Mappings are made for each block, and begin as 0.
        unsafe { block.write_bytes(0, size) };
    }
    block
}

#[cold]
#[inline(never)]
fn allocate_slowly(class: usize) -> *mut u8 {
    // SAFETY: this thread's own words.
    let mut at = unsafe { (*thread()).cache };
    if at == 0 {
        at = make_cache().unwrap_or(0);
    }
    if at != 0
        && let Some(block) = cache(at).allocate(class)
    {
        return SPACE.pointer(block);
    }
    pointer(PARTS.with(|parts| {
        let at = if at == 0 { parts.depot.orphans()? } else { at };
        parts.depot.allocate_small(at, class)
    }))
}

#[inline(never)]
fn allocate_large(size: usize, align: usize) -> *mut u8 {
    pointer(PARTS.with(|parts| {
        let at = parts.allocate_large(size, align)?;
        let usable = parts.usable_large(at);
        parts.declare_large(at, size, usable);
        Some(at)
    }))
}

/// Whether a block that is not small is a mapping of its own.
fn is_mapping(at: usize) -> bool {
    PARTS.with(|parts| !parts.is_middle(at))
}

/// Takes a block back; nothing happens for null.
///
/// # Safety
///
/// - `block` is null, or a live block of this module's functions.
#[inline]
pub unsafe fn free(block: *mut u8) {
    // SAFETY: this thread's own words.
    let at = unsafe { (*thread()).cache };
    if at == 0 || !cache(at).try_free(block.addr()) {
        free_slowly(block.addr());
    }
}

#[cold]
#[inline(never)]
fn free_slowly(block: usize) {
    if block == 0 {
        return;
    }
    // SAFETY: this thread's own words.
    let at = unsafe { (*thread()).cache };
    if at == 0 {
        return PARTS.with(|parts| {
            if !parts.depot.free_orphan(block) {
                parts.free_any(block);
            }
        });
    }
    match cache(at).free(block) {
        Freed::Done => {}
        Freed::Visit => PARTS.with(|parts| {
            parts.depot.visit(at, 1);
            parts.decay(SPAN, milliseconds);
        }),
        Freed::NotSmall => PARTS.with(|parts| {
            let bytes = parts.usable_large(block);
            parts.free_large(block, bytes);
            parts.decay(bytes, milliseconds);
        }),
    }
}

/// Of a clock that is read without a system call.
fn milliseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Makes a block one of `size` bytes, at a multiple of `align` if it has to move; null, and the block is as it was, when there
/// is no memory.
///
/// # Safety
///
/// - `block` is a live block of this module's functions, and if another address is returned, it is not any more.
pub unsafe fn reallocate(block: *mut u8, size: usize, align: usize) -> *mut u8 {
    if size > SIZE_MAX {
        return core::ptr::null_mut();
    }
    let at = block.addr();
    let usable = match small_size(at) {
        // Until half of the block is unused it stays.
        Some(usable) if size <= usable && size >= usable / 2 => return block,
        Some(usable) => usable,
        None => {
            let (usable, resized) = PARTS.with(|parts| parts.resize_any(at, size, align));
            if let Some(at) = resized {
                return SPACE.pointer(at);
            }
            usable
        }
    };
    let moved = allocate_aligned(size, align);
    if !moved.is_null() {
        // SAFETY: both are live blocks, apart from each other, of at least that many bytes.
        unsafe {
            moved.copy_from_nonoverlapping(block, usable.min(size));
            free(block);
        }
    }
    moved
}

/// Bytes of a small block, if it is one; the ranges never change once there is a block.
#[inline]
fn small_size(at: usize) -> Option<usize> {
    // SAFETY: this thread's own words.
    let own = unsafe { (*thread()).cache };
    if own == 0 {
        return PARTS.with(|parts| parts.depot.small_size(at));
    }
    cache(own).layout().small_size(&SPACE, at)
}

/// How many bytes of a block can be used.
///
/// # Safety
///
/// - `block` is a live block of this module's functions.
pub unsafe fn usable_size(block: *mut u8) -> usize {
    let at = block.addr();
    small_size(at).unwrap_or_else(|| PARTS.with(|parts| parts.usable_large(at)))
}

/// Gives memory back that no live block needs, as far as this thread can tell, and says how many bytes.
pub fn purge() -> usize {
    // SAFETY: this thread's own words.
    let own = unsafe { (*thread()).cache };
    PARTS.with(|parts| {
        if own != 0 {
            cache(own).flush();
            cache(own).receive();
            parts.depot.visit(own, 0);
        }
        parts.purge()
    })
}

/// Where the memory is.
///
/// # Safety
///
/// - No other thread allocates or frees meanwhile.
pub unsafe fn statistics() -> Statistics {
    PARTS.with(|parts| parts.statistics(None))
}

/// Shows every live block.
///
/// # Safety
///
/// - No other thread allocates or frees meanwhile; `each` does neither.
pub unsafe fn walk(each: &mut dyn FnMut(Block)) {
    PARTS.with(|parts| parts.walk(each));
}

/// Verifies every structure.
///
/// # Errors
///
/// What is wrong.
///
/// # Safety
///
/// - No other thread allocates or frees meanwhile.
pub unsafe fn check() -> Result<(), Fault> {
    PARTS.with(|parts| parts.check())
}

/// The heap of this module as `#[global_allocator]`.
pub struct Heapwise;

// SAFETY: blocks are live until they are given back, apart from each other, and aligned as asked for; nothing here
// panics or unwinds.
unsafe impl GlobalAlloc for Heapwise {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= 16 {
            allocate(layout.size())
        } else {
            allocate_aligned(layout.size(), layout.align())
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocate_zeroed(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: by the caller.
        unsafe { free(block) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { reallocate(block, size, layout.align()) }
    }
}
