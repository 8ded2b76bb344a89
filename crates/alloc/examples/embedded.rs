//! As in a program without an operating system: a range of memory of its own, pages from a buddy system, and a free
//! list in some of them as the global allocator.
//!
//! `cargo run -p heapwise-alloc --example embedded`

use heapwise_alloc::{Buddy, FreeList, GoodFit, Heap, Locked, Region};
use std::cell::UnsafeCell;
use std::collections::BTreeMap;

const FRAMES: usize = 256 << 10;
const HEAP: usize = 1 << 20;

#[repr(align(4096))]
struct Memory<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: the bytes are used through one region each.
unsafe impl<const BYTES: usize> Sync for Memory<BYTES> {}

static FRAME_MEMORY: Memory<FRAMES> = Memory(UnsafeCell::new([0; FRAMES]));
static HEAP_MEMORY: Memory<HEAP> = Memory(UnsafeCell::new([0; HEAP]));

// SAFETY: nothing else uses this memory, and the language gives back live blocks only.
#[global_allocator]
static ALLOCATOR: Locked<FreeList<Region<'static>, GoodFit>> =
    Locked::new(FreeList::new(unsafe { Region::new(HEAP_MEMORY.0.get().cast(), HEAP) }, GoodFit::new()));

fn main() {
    // SAFETY: nothing else uses this memory, and blocks are given back once.
    let region = unsafe { Region::new(FRAME_MEMORY.0.get().cast(), FRAMES) };
    let mut frames = Buddy::new(region, FRAMES, 12);
    let buffers: Vec<usize> = (0..6).map_while(|order| frames.allocate(4096 << order, 4096)).collect();
    println!("{} buffers: {:?}", buffers.len(), frames.statistics());
    assert_eq!(frames.allocate(FRAMES, 4096), None, "the memory is not that large");
    for (order, &buffer) in buffers.iter().enumerate() {
        frames.free(buffer, 4096 << order);
    }
    assert_eq!(frames.statistics().live, 0);

    let readings: BTreeMap<u32, String> = (0..2000).map(|it| (it, format!("reading {it}"))).collect();
    let statistics = ALLOCATOR.with(|heap| heap.statistics());
    println!("{} readings: {statistics:?}", readings.len());
    assert!(statistics.add_up() && statistics.live > 2000 * 10);
    ALLOCATOR.with(|heap| heap.check()).expect("the heap is sound");
}
