//! Any heap over memory as `#[global_allocator]`, behind a lock that spins: for programs without an operating system.
//!
//! Cost: two atomic operations on top of the heap's own. With an operating system, `global` is the better choice: it has
//! a cache for each thread, and threads that wait sleep.

use crate::heap::Heap;
use crate::space::Memory;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};

/// A heap that one thread at a time uses.
pub struct Locked<H> {
    is_held: AtomicBool,
    heap: UnsafeCell<H>,
}

// SAFETY: the heap is reached by `with` alone, by one thread at a time.
unsafe impl<H: Send> Sync for Locked<H> {}

impl<H> Locked<H> {
    /// Nobody uses it yet.
    pub const fn new(heap: H) -> Locked<H> {
        Locked { is_held: AtomicBool::new(false), heap: UnsafeCell::new(heap) }
    }

    /// Does something with the heap while nobody else does. Must not be called by `work`.
    pub fn with<R>(&self, work: impl FnOnce(&mut H) -> R) -> R {
        /// Gives the lock back, also when `work` panics.
        struct Held<'a>(&'a AtomicBool);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        while self.is_held.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            spin_loop();
        }
        let _held = Held(&self.is_held);
        // SAFETY: the lock is held until `_held` is dropped.
        work(unsafe { &mut *self.heap.get() })
    }
}

fn pointer<H: Heap<Space: Memory>>(heap: &H, at: Option<usize>) -> *mut u8 {
    at.map_or(null_mut(), |at| heap.space().pointer(at))
}

// SAFETY: a heap over memory gives out blocks that are live until they are given back, apart from each other, and aligned as asked for.
unsafe impl<H: Heap<Space: Memory>> GlobalAlloc for Locked<H> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.with(|heap| {
            let at = heap.allocate(layout.size(), layout.align());
            pointer(heap, at)
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.with(|heap| heap.free(block.addr(), layout.size()));
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.with(|heap| {
            let at = heap.reallocate(block.addr(), layout.size(), size, layout.align());
            pointer(heap, at)
        })
    }
}
