//! Where the tool's own blocks come from: small ones from mimalloc, large ones from the C library.
//!
//! ```text
//! layout.size() < LARGE --> mimalloc      checking source makes and drops millions of small blocks
//!               otherwise --> libc        tables that grow are moved by mremap, not copied
//! ```
//!
//! Either alone is worse for one half of the tool: with glibc alone a check takes a third more instructions, with
//! mimalloc alone the observer of a running program holds twice the memory, since its few great tables are copied
//! whenever they grow. Invariant: which allocator owns a block is told by its layout alone, so nothing is kept
//! about blocks, and a block whose size crosses the limit moves.
//!
//! This is a crate of its own because it is unsafe code, which the shell forbids.

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout, System};

/// Blocks of so many bytes and more are the C library's, which joins free ones of any sizes, maps the largest one by
/// one, and grows those in place by `mremap`. mimalloc keeps a page for each size, and fresh pages are dear: with a
/// limit of 128 KiB a check held an eighth more memory.
const LARGE: usize = 16 << 10;

/// Small blocks from mimalloc, large ones from the C library.
pub struct BySize;

fn is_large(bytes: usize) -> bool {
    bytes >= LARGE
}

// SAFETY: each block is allocated, resized and freed by the same one of two sound allocators: the choice depends on
// nothing but the size in its layout, which the caller gives unchanged each time (`GlobalAlloc`'s contract).
unsafe impl GlobalAlloc for BySize {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is handed on.
        unsafe { if is_large(layout.size()) { System.alloc(layout) } else { MiMalloc.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is handed on.
        unsafe {
            if is_large(layout.size()) { System.alloc_zeroed(layout) } else { MiMalloc.alloc_zeroed(layout) }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is of the allocator that its layout's size says.
        unsafe {
            if is_large(layout.size()) {
                System.dealloc(block, layout)
            } else {
                MiMalloc.dealloc(block, layout)
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (is_large(layout.size()), is_large(size)) {
            // SAFETY: the block stays with the allocator that both sizes say.
            (false, false) => unsafe { MiMalloc.realloc(block, layout, size) },
            // SAFETY: as above.
            (true, true) => unsafe { System.realloc(block, layout, size) },
            // SAFETY: `size` is not 0 and does not overflow with this alignment (the caller's contract); both blocks
            // are live, apart, and at least as long as what is copied.
            _ => unsafe {
                let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !moved.is_null() {
                    std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_block_holds_survives_moves_between_the_two() {
        let sizes = [1, 100, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE, 40, LARGE, 8];
        for align in [1, 16, 4096] {
            let mut layout = Layout::from_size_align(16, align).unwrap();
            // SAFETY: the layout is that of the block all along, and no byte beyond its size is touched.
            unsafe {
                let mut block = BySize.alloc(layout);
                (0..layout.size()).for_each(|it| *block.add(it) = it as u8);
                for size in sizes {
                    block = BySize.realloc(block, layout, size);
                    assert!(!block.is_null() && (block as usize).is_multiple_of(align));
                    let kept = layout.size().min(size);
                    assert!((0..kept).all(|it| *block.add(it) == it as u8), "{} to {size}", layout.size());
                    (0..size).for_each(|it| *block.add(it) = it as u8);
                    layout = Layout::from_size_align(size, align).unwrap();
                }
                BySize.dealloc(block, layout);
                let zeroed = BySize.alloc_zeroed(Layout::from_size_align(2 * LARGE, align).unwrap());
                assert!((0..2 * LARGE).all(|it| *zeroed.add(it) == 0));
                BySize.dealloc(zeroed, Layout::from_size_align(2 * LARGE, align).unwrap());
            }
        }
    }
}
