//! `mmap`, `munmap`, `mremap`: mappings the program makes itself are a family of their own.

use crate::real::{self, call};
use crate::{python, stack, stream};
use core::arch::naked_asm;
use core::ffi::c_void;
use heapwise_trace::Family;
use heapwise_trace::ring::tag;

/// Six arguments fill the registers: the stack pointer and `rbp` follow on the stack.
macro_rules! entry {
    ($name:ident, $to:ident) => {
        #[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "sub rsp, 8", "push rbp", "lea rax, [rsp + 16]", "push rax", "call {}", "add rsp, 24", "ret",
                sym $to
            )
        }
    };
}

entry!(mmap, on_mmap);
entry!(mmap64, on_mmap);
entry!(mremap, on_mremap);

const FAILED: usize = usize::MAX;

unsafe extern "C" fn on_mmap(
    addr: usize,
    length: usize,
    protection: i32,
    flags: i32,
    fd: i32,
    offset: i64,
    sp: *const u64,
    bp: u64,
) -> usize {
    // SAFETY: libc's function with the program's arguments.
    let at = unsafe {
        call!(real::MMAP.get(), fn(usize, usize, i32, i32, i32, i64) -> usize)(
            addr, length, protection, flags, fd, offset,
        )
    };
    if at != FAILED {
        record_map(at, length, sp, bp);
    }
    at
}

fn record_map(at: usize, length: usize, sp: *const u64, bp: u64) {
    stream::with(|thread| {
        thread.begin();
        // SAFETY: the registers of the interposed function's entry.
        let stack = unsafe { stack::capture(thread, sp, bp) };
        let stack = python::with_frames(thread, stack);
        thread.event(tag::ALLOC + Family::Map as u64, at as u64, length as u64, stack, true);
    });
}

fn record_unmap(at: usize, length: usize) {
    stream::with(|thread| {
        thread.begin();
        thread.event(tag::FREE + Family::Map as u64, at as u64, length as u64, 0, false);
    });
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn munmap(addr: *mut c_void, length: usize) -> i32 {
    record_unmap(addr as usize, length);
    // SAFETY: libc's function with the program's arguments.
    unsafe { call!(real::MUNMAP.get(), fn(*mut c_void, usize) -> i32)(addr, length) }
}

unsafe extern "C" fn on_mremap(
    old: usize,
    old_length: usize,
    length: usize,
    flags: i32,
    new_addr: usize,
    unused: usize,
    sp: *const u64,
    bp: u64,
) -> usize {
    let _ = unused;
    record_unmap(old, old_length);
    // SAFETY: libc's function with the program's arguments (the fifth is read only with MREMAP_FIXED).
    let at = unsafe {
        call!(real::MREMAP.get(), fn(usize, usize, usize, i32, usize) -> usize)(
            old, old_length, length, flags, new_addr,
        )
    };
    let (at_now, length_now) = if at == FAILED { (old, old_length) } else { (at, length) };
    record_map(at_now, length_now, sp, bp);
    at
}
