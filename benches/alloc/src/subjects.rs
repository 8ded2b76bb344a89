//! The allocators, behind one trait that is monomorphized away.

use heapwise_alloc::{BestFit, Buddy, FreeList, GoodFit, Heap, Mapped, global};
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ffi::c_void;

/// Bytes for allocators that manage a fixed range.
const RANGE: usize = 1 << 30;

/// An allocator. Blocks are at multiples of 16.
pub trait Subject {
    fn new() -> Self;
    fn allocate(&mut self, size: usize) -> *mut u8;
    /// `block` is live and has `size` bytes.
    fn free(&mut self, block: *mut u8, size: usize);
    fn reallocate(&mut self, block: *mut u8, old: usize, new: usize) -> *mut u8;
}

macro_rules! c_functions {
    ($name:ident, $malloc:path, $free:path, $realloc:path) => {
        pub struct $name;

        impl Subject for $name {
            fn new() -> $name {
                $name
            }
            #[inline(always)]
            fn allocate(&mut self, size: usize) -> *mut u8 {
                // SAFETY: any size may be asked for.
                unsafe { $malloc(size).cast() }
            }
            #[inline(always)]
            fn free(&mut self, block: *mut u8, _: usize) {
                // SAFETY: by the caller.
                unsafe { $free(block.cast::<c_void>()) }
            }
            #[inline(always)]
            fn reallocate(&mut self, block: *mut u8, _: usize, new: usize) -> *mut u8 {
                // SAFETY: by the caller.
                unsafe { $realloc(block.cast::<c_void>(), new).cast() }
            }
        }
    };
}

c_functions!(Glibc, libc::malloc, libc::free, libc::realloc);
c_functions!(Mimalloc, libmimalloc_sys::mi_malloc, libmimalloc_sys::mi_free, libmimalloc_sys::mi_realloc);
c_functions!(Jemalloc, tikv_jemalloc_sys::malloc, tikv_jemalloc_sys::free, tikv_jemalloc_sys::realloc);

pub struct Heapwise;

/// Not inlined, as the rivals' functions are not.
#[inline(never)]
fn heapwise_malloc(size: usize) -> *mut u8 {
    global::allocate(size)
}

#[inline(never)]
fn heapwise_free(block: *mut u8) {
    // SAFETY: as of `Subject::free`.
    unsafe { global::free(block) }
}

impl Subject for Heapwise {
    fn new() -> Heapwise {
        Heapwise
    }
    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        heapwise_malloc(size)
    }
    #[inline(always)]
    fn free(&mut self, block: *mut u8, _: usize) {
        heapwise_free(block);
    }
    #[inline(always)]
    fn reallocate(&mut self, block: *mut u8, _: usize, new: usize) -> *mut u8 {
        // SAFETY: as of `Subject::reallocate`.
        unsafe { global::reallocate(block, new, 16) }
    }
}

/// One of our heaps.
pub struct Ours<H>(H);

macro_rules! ours {
    ($heap:ty, $make:expr) => {
        impl Subject for Ours<$heap> {
            fn new() -> Self {
                // SAFETY: workloads give back live blocks only, and write to their blocks only.
                let space = unsafe { Mapped::new() };
                #[allow(clippy::redundant_closure_call)]
                Ours($make(space))
            }
            #[inline(always)]
            fn allocate(&mut self, size: usize) -> *mut u8 {
                self.0.allocate(size, 16).map_or(std::ptr::null_mut(), std::ptr::with_exposed_provenance_mut)
            }
            #[inline(always)]
            fn free(&mut self, block: *mut u8, size: usize) {
                self.0.free(block.addr(), size);
            }
            #[inline(always)]
            fn reallocate(&mut self, block: *mut u8, old: usize, new: usize) -> *mut u8 {
                let moved = self.0.reallocate(block.addr(), old, new, 16);
                moved.map_or(std::ptr::null_mut(), std::ptr::with_exposed_provenance_mut)
            }
        }
    };
}

pub type OurFreeList = Ours<FreeList<Mapped, GoodFit>>;
pub type OurBestFit = Ours<FreeList<Mapped, BestFit>>;
pub type OurBuddy = Ours<Buddy<Mapped>>;
ours!(FreeList<Mapped, GoodFit>, |space| FreeList::new(space, GoodFit::new()));
ours!(FreeList<Mapped, BestFit>, |space| FreeList::new(space, BestFit::new()));
ours!(Buddy<Mapped>, |space| Buddy::new(space, RANGE, 12));

fn layout(size: usize) -> Layout {
    // SAFETY: 16 is a power of two; sizes are far from the address space.
    unsafe { Layout::from_size_align_unchecked(size.max(1), 16) }
}

/// A range of memory that is touched when it is used.
fn range() -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), RANGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED, "a gigabyte of addresses");
    at.cast()
}

pub struct Talc(talc::TalcCell<talc::source::Manual>);

impl Subject for Talc {
    fn new() -> Talc {
        let it = talc::TalcCell::new(talc::source::Manual);
        // SAFETY: memory that nothing else uses.
        unsafe { it.claim(range(), RANGE).expect("memory") };
        Talc(it)
    }
    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        // SAFETY: the size is not 0.
        unsafe { self.0.alloc(layout(size)) }
    }
    #[inline(always)]
    fn free(&mut self, block: *mut u8, size: usize) {
        // SAFETY: by the caller.
        unsafe { self.0.dealloc(block, layout(size)) }
    }
    #[inline(always)]
    fn reallocate(&mut self, block: *mut u8, old: usize, new: usize) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { self.0.realloc(block, layout(old), new.max(1)) }
    }
}

pub struct Rlsf(UnsafeCell<Box<rlsf::Tlsf<'static, u32, u32, 26, 32>>>);

impl Subject for Rlsf {
    fn new() -> Rlsf {
        let mut it = Box::new(rlsf::Tlsf::new());
        let memory = std::ptr::slice_from_raw_parts_mut(range(), RANGE);
        // SAFETY: memory that nothing else uses.
        unsafe { it.insert_free_block_ptr(std::ptr::NonNull::new(memory).expect("memory")) };
        Rlsf(UnsafeCell::new(it))
    }
    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        self.0.get_mut().allocate(layout(size)).map_or(std::ptr::null_mut(), |it| it.as_ptr())
    }
    #[inline(always)]
    fn free(&mut self, block: *mut u8, _: usize) {
        // SAFETY: by the caller.
        unsafe { self.0.get_mut().deallocate(std::ptr::NonNull::new_unchecked(block), 16) }
    }
    #[inline(always)]
    fn reallocate(&mut self, block: *mut u8, _: usize, new: usize) -> *mut u8 {
        // SAFETY: by the caller.
        let moved = unsafe { self.0.get_mut().reallocate(std::ptr::NonNull::new_unchecked(block), layout(new)) };
        moved.map_or(std::ptr::null_mut(), |it| it.as_ptr())
    }
}

pub struct BuddySystem(buddy_system_allocator::Heap<32>);

impl Subject for BuddySystem {
    fn new() -> BuddySystem {
        let mut it = buddy_system_allocator::Heap::empty();
        // SAFETY: memory that nothing else uses.
        unsafe { it.init(range().expose_provenance(), RANGE) };
        BuddySystem(it)
    }
    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        self.0.alloc(layout(size)).map_or(std::ptr::null_mut(), |it| it.as_ptr())
    }
    #[inline(always)]
    fn free(&mut self, block: *mut u8, size: usize) {
        // SAFETY: by the caller.
        unsafe { self.0.dealloc(std::ptr::NonNull::new_unchecked(block), layout(size)) }
    }
    fn reallocate(&mut self, block: *mut u8, old: usize, new: usize) -> *mut u8 {
        let moved = self.allocate(new);
        // SAFETY: two live blocks.
        unsafe { moved.copy_from_nonoverlapping(block, old.min(new)) };
        self.free(block, old);
        moved
    }
}
