//! Any bytes as operations on each allocator, with its own verifier and the interval-set twin beside it.
#![no_main]

use heapwise_alloc::exercise::{Exercise, NoContent, Operation};
use heapwise_alloc::{BestFit, Buddy, FirstFit, FreeList, GoodFit, Heap, Malloc, NextFit, Slab, Virtual, WorstFit};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else { return };
    let space = Virtual::new();
    match which % 8 {
        0 => drive(FreeList::new(&space, GoodFit::new()), data),
        1 => drive(FreeList::new(&space, BestFit::new()), data),
        2 => drive(FreeList::new(&space, FirstFit::new()), data),
        3 => drive(FreeList::new(&space, NextFit::new()), data),
        4 => drive(FreeList::new(&space, WorstFit::new()), data),
        5 => drive(Buddy::new(&space, 1 << 26, 12), data),
        6 => drive(Slab::new(&space, 1 << 26), data),
        _ => drive(Malloc::new(&space, GoodFit::new()), data),
    }
});

/// Four bytes an operation: what it is, which block or alignment, and a size of any magnitude.
fn drive<H: Heap>(heap: H, data: &[u8]) {
    let mut it = Exercise::new(heap, NoContent);
    for (step, bytes) in data.chunks_exact(4).enumerate() {
        let (what, which) = (bytes[0], usize::from(bytes[1]));
        let size = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let size = match what >> 4 {
            0..12 => size % 2048,
            12..15 => size,
            _ => size << 6,
        };
        let operation = match what & 15 {
            0..6 => Operation::Allocate { size, align_log: 4 },
            6 => Operation::Allocate { size, align_log: which as u32 % 16 },
            7..12 => Operation::Free { which },
            12..14 => Operation::Reallocate { which, size },
            14 => Operation::Enter { thread: which % 4 },
            _ => Operation::Purge,
        };
        it.run(operation).unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        if step % 64 == 0 {
            it.check().unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        }
    }
    it.finish().unwrap_or_else(|error| panic!("at the end: {error}"));
}
