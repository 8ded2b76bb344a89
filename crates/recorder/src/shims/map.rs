//! `mmap`, `munmap`, `mremap`: mappings the program makes itself are a family of their own.

use super::resources::{self, Caller};
use crate::real::{self, call};
use crate::{python, stack, stream, sys};
use core::ffi::c_void;
use heapwise_trace::ring::tag;
use heapwise_trace::{Family, ResourceKind};

entry!(mmap, 6, on_mmap);
entry!(mmap64, 6, on_mmap);
entry!(mremap, 6, on_mremap);
entry!(munmap, 2, on_munmap);

const FAILED: usize = usize::MAX;
const MAP_ANONYMOUS: i32 = 0x20;

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
        if fd >= 0 && flags & MAP_ANONYMOUS == 0 {
            resources::opened(ResourceKind::Mapping, (at / sys::PAGE) as u64, Caller(sp, bp));
        }
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

unsafe extern "C" fn on_munmap(addr: *mut c_void, length: usize, sp: *const u64, bp: u64) -> i32 {
    record_unmap(addr as usize, length);
    // A mapping whose beginning goes is taken for gone: what is left of it is the program's business.
    resources::closed(ResourceKind::Mapping, (addr as usize / sys::PAGE) as u64, Caller(sp, bp));
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
