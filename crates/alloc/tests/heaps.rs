//! Every allocator over every space: the contract, and random operations beside the naive twin.

use heapwise_alloc::exercise::{Content, Exercise, NoContent, Operation, Random, contract};
use heapwise_alloc::{
    BestFit, FirstFit, FreeList, GoodFit, Heap, Index, Mapped, Memory, NextFit, Region, Virtual, WorstFit,
};

const STEPS: usize = if cfg!(miri) { 200 } else { 60_000 };
const CHECKS: usize = if cfg!(miri) { 2 } else { 60 };
const SEEDS: u64 = if cfg!(miri) { 1 } else { 4 };

/// Real memory: each byte tells its offset, and nothing that moves with the block.
struct Bytes;

fn byte(offset: usize) -> u8 {
    ((offset * 31) >> 3) as u8
}

impl<H: Heap<Space: Memory>> Content<H> for Bytes {
    fn fill(&mut self, heap: &H, at: usize, from: usize, to: usize) {
        for offset in from..to {
            // SAFETY: the block is live and has these bytes.
            unsafe { heap.space().pointer(at).add(offset).write(byte(offset)) };
        }
    }
    fn is_intact(&mut self, heap: &H, at: usize, bytes: usize) -> bool {
        // SAFETY: as above, and they were filled.
        (0..bytes).all(|offset| unsafe { heap.space().pointer(at).add(offset).read() } == byte(offset))
    }
}

fn exercise<H: Heap, C: Content<H>>(make: impl Fn() -> H, content: impl Fn() -> C, keep: usize, bits: u32) {
    contract(make()).unwrap();
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let mut it = Exercise::new(make(), content());
        for step in 0..STEPS {
            let operation = Operation::random(&mut random, it.live(), keep, bits, 3);
            it.run(operation)
                .unwrap_or_else(|error| panic!("seed {seed}, step {step}, {operation:?}: {error}"));
            if step % (STEPS / CHECKS) == 0 {
                it.check().unwrap_or_else(|error| panic!("seed {seed}, step {step}, {operation:?}: {error}"));
            }
        }
        it.finish().unwrap();
    }
}

fn imagined<H: Heap>(make: impl Fn() -> H) {
    exercise(make, || NoContent, 500, 20);
}

fn real<H: Heap<Space: Memory>>(make: impl Fn() -> H, bits: u32) {
    exercise(make, || Bytes, 60, bits);
}

/// Memory of a test's own, leaked: Miri is told to let it be.
fn region(bytes: usize) -> Region<'static> {
    let memory = vec![0u128; bytes / 16].leak();
    // SAFETY: leaked memory that nothing else knows; the twin gives back live blocks only.
    unsafe { Region::new(memory.as_mut_ptr().cast(), bytes) }
}

fn mapped() -> Mapped {
    // SAFETY: the twin gives back live blocks only.
    unsafe { Mapped::new() }
}

fn free_list<I: Index>() {
    imagined(|| FreeList::new(Virtual::new(), I::new()));
    real(|| FreeList::new(region(100_000), I::new()), 12);
    real(|| FreeList::new(mapped(), I::new()), 14);
}

#[test]
fn free_list_good_fit() {
    free_list::<GoodFit>();
}

#[test]
fn free_list_best_fit() {
    free_list::<BestFit>();
}

#[test]
fn free_list_first_fit() {
    free_list::<FirstFit>();
}

#[test]
fn free_list_next_fit() {
    free_list::<NextFit>();
}

#[test]
fn free_list_worst_fit() {
    free_list::<WorstFit>();
}
