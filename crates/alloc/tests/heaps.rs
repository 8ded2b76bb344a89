//! Every allocator over every space: the contract, and random operations beside the naive twin.

use heapwise_alloc::exercise::{Content, Exercise, NoContent, Operation, Random, contract};
use heapwise_alloc::{
    BestFit, Buddy, FirstFit, FreeList, GoodFit, Heap, Index, Malloc, Mapped, Memory, NextFit, Region, Slab,
    Virtual, WorstFit,
};

const STEPS: usize = if cfg!(miri) { 60 } else { 12_000 };
const CHECKS: usize = if cfg!(miri) { 2 } else { 30 };
const SEEDS: u64 = if cfg!(miri) { 1 } else { 3 };

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
    let bits = if cfg!(miri) { bits.min(13) } else { bits };
    let keep = if cfg!(miri) { keep.min(40) } else { keep };
    // The statistics of many live blocks take long: they are asked for after every step.
    let steps = if keep + bits as usize > 520 { STEPS / 4 } else { STEPS };
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let mut it = Exercise::new(make(), content());
        for step in 0..steps {
            let operation = Operation::random(&mut random, it.live(), keep, bits, 3);
            it.run(operation)
                .unwrap_or_else(|error| panic!("seed {seed}, step {step}, {operation:?}: {error}"));
            if step % (steps / CHECKS) == 0 {
                it.check().unwrap_or_else(|error| panic!("seed {seed}, step {step}, {operation:?}: {error}"));
            }
        }
        it.finish().unwrap();
    }
}

/// Miri looks at real memory, and is slow.
fn imagined<H: Heap>(make: impl Fn() -> H) {
    if cfg!(miri) {
        return;
    }
    exercise(make, || NoContent, 400, 20);
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

#[test]
fn buddy() {
    imagined(|| Buddy::new(Virtual::new(), 16 << 20, 12));
    imagined(|| Buddy::new(Virtual::new(), 1 << 40, 14));
    real(|| Buddy::new(region(1 << 20), usize::MAX, 12), 14);
    real(|| Buddy::new(region(100_000), usize::MAX, 8), 12);
    real(|| Buddy::new(mapped(), 1 << 30, 12), 16);
}

#[test]
fn a_buddy_takes_the_lowest_address_of_the_smallest_order() {
    let mut heap = Buddy::new(Virtual::new(), 1 << 30, 12);
    let pages: Vec<usize> = (0..16).map(|_| heap.allocate(4096, 1).unwrap()).collect();
    assert!(pages.windows(2).all(|it| it[0] + 4096 == it[1]), "{pages:x?}");
    let even: Vec<usize> = pages.iter().copied().filter(|it| it % 8192 == 0).collect();
    for &page in even.iter().rev() {
        heap.free(page, 4096);
    }
    assert_eq!(heap.statistics().retained, 4096 * even.len());
    assert_eq!(heap.allocate(1, 1), Some(even[0]));
    let pair = heap.allocate(8192, 1).unwrap();
    assert!(pair >= pages[15], "no pair of pages is free below");
    assert_eq!(pair % 8192, 0);
    heap.check().unwrap();
}

#[test]
fn slab() {
    imagined(|| Slab::new(Virtual::new(), 1 << 36));
    exercise(|| Slab::new(Virtual::new(), 1 << 36), || NoContent, 2000, 10);
    real(|| Slab::new(region(2 << 20), 1 << 20), 14);
    real(|| Slab::new(mapped(), 1 << 30), 14);
}

#[test]
fn malloc() {
    imagined(|| Malloc::new(imagination(), GoodFit::new()));
    exercise(|| Malloc::new(imagination(), GoodFit::new()), || NoContent, 2000, 11);
    exercise(|| Malloc::new(imagination(), BestFit::new()), || NoContent, 200, 21);
    real(|| Malloc::new(mapped(), GoodFit::new()), 16);
    real(|| Malloc::new(mapped(), GoodFit::new()), 20);
}

/// Leaked, as allocators of several parts share it.
fn imagination() -> &'static Virtual {
    Box::leak(Box::new(Virtual::new()))
}
