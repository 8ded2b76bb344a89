//! The C library's allocation functions over `heapwise-alloc`, for `LD_PRELOAD`.
//!
//! ```text
//!   LD_PRELOAD=libheapwise_malloc.so PROGRAM
//!
//!   malloc, calloc, realloc, free, ..  -->  heapwise_alloc::global
//! ```
//!
//! Built, as `target/recorder/libheapwise_malloc.so`, without std and with nothing but the C library below it, by
//!
//! ```text
//!   cargo rustc -p heapwise-malloc --lib --profile recorder --crate-type cdylib --features cdylib
//! ```
//!
//! What the functions promise beyond the C standard is glibc's: `malloc(0)` gives a block, `realloc(p, 0)` frees it,
//! `free` keeps `errno`. After a fork of a process with several threads, what the other threads' caches hold is lost to
//! the child.
//!
//! Without the feature `cdylib` nothing is exported, so that the crate can be checked like any other.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(feature = "cdylib"), allow(dead_code))]

use core::ptr::null_mut;
use heapwise_alloc::global;
use libc::{EINVAL, ENOMEM, c_int, size_t};

#[cfg(all(feature = "cdylib", not(test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: does not return.
    unsafe { libc::abort() }
}

fn set_errno(value: c_int) {
    // SAFETY: this thread's own word.
    unsafe { *libc::__errno_location() = value };
}

/// The block; if there is none, `errno` says why.
#[inline(always)]
fn or_errno(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        set_errno(ENOMEM);
    }
    block
}

/// Does what may make system calls, and leaves `errno` as it was.
#[inline]
unsafe fn free_quietly(block: *mut u8) {
    // SAFETY: this thread's own word; the block by the caller.
    unsafe {
        let errno = *libc::__errno_location();
        global::free(block);
        *libc::__errno_location() = errno;
    }
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
extern "C" fn malloc(size: size_t) -> *mut u8 {
    or_errno(global::allocate(size))
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
extern "C" fn calloc(count: size_t, size: size_t) -> *mut u8 {
    match count.checked_mul(size) {
        Some(bytes) => or_errno(global::allocate_zeroed(bytes, 16)),
        None => or_errno(null_mut()),
    }
}

/// # Safety
///
/// - `block` is null or a live block.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn free(block: *mut u8) {
    // SAFETY: by the caller.
    unsafe { free_quietly(block) };
}

/// # Safety
///
/// - `block` is null or a live block.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn realloc(block: *mut u8, size: size_t) -> *mut u8 {
    if block.is_null() {
        return malloc(size);
    }
    if size == 0 {
        // SAFETY: by the caller.
        unsafe { free_quietly(block) };
        return null_mut();
    }
    // SAFETY: by the caller.
    or_errno(unsafe { global::reallocate(block, size, 16) })
}

/// # Safety
///
/// - As of `realloc`.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn reallocarray(block: *mut u8, count: size_t, size: size_t) -> *mut u8 {
    match count.checked_mul(size) {
        // SAFETY: by the caller.
        Some(bytes) => unsafe { realloc(block, bytes) },
        None => or_errno(null_mut()),
    }
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
extern "C" fn aligned_alloc(align: size_t, size: size_t) -> *mut u8 {
    memalign(align, size)
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
extern "C" fn memalign(align: size_t, size: size_t) -> *mut u8 {
    if !align.is_power_of_two() {
        set_errno(EINVAL);
        return null_mut();
    }
    or_errno(global::allocate_aligned(size, align))
}

/// # Safety
///
/// - `result` may be written to.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn posix_memalign(result: *mut *mut u8, align: size_t, size: size_t) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
        return EINVAL;
    }
    let block = global::allocate_aligned(size, align);
    if block.is_null() {
        return ENOMEM;
    }
    // SAFETY: by the caller.
    unsafe { *result = block };
    0
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
extern "C" fn valloc(size: size_t) -> *mut u8 {
    memalign(heapwise_alloc::PAGE, size)
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
extern "C" fn pvalloc(size: size_t) -> *mut u8 {
    match size.max(1).checked_next_multiple_of(heapwise_alloc::PAGE) {
        Some(bytes) => memalign(heapwise_alloc::PAGE, bytes),
        None => or_errno(null_mut()),
    }
}

/// # Safety
///
/// - `block` is null or a live block.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn malloc_usable_size(block: *mut u8) -> size_t {
    if block.is_null() {
        return 0;
    }
    // SAFETY: by the caller.
    unsafe { global::usable_size(block) }
}

/// Gives memory back; says whether there was some.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
extern "C" fn malloc_trim(_: size_t) -> c_int {
    c_int::from(global::purge() > 0)
}
