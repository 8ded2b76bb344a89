//! What is asked of an allocator: a list of operations on numbered places.

use heapwise_trace::{Event, recording};
use std::collections::HashMap;
use std::path::Path;

/// An operation on the block at a place: a size to allocate, `FREE`, or a new size with `RESIZE`.
#[derive(Clone, Copy)]
pub struct Operation {
    pub place: u32,
    pub what: u32,
}

/// The block is freed.
pub const FREE: u32 = u32::MAX;
/// Set where the block at the place is resized.
pub const RESIZE: u32 = 1 << 31;

pub struct Workload {
    pub operations: Vec<Operation>,
    pub places: usize,
    /// The greatest sum of live bytes.
    pub peak: usize,
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// The workload of that name, or the recording at that path.
pub fn workload(name: &str) -> Result<Workload, String> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    match name {
        "larson" => Ok(replacing(&mut random, 5_000, 4_000_000, |random| 16 + random.below(1009))),
        "random" => Ok(replacing(&mut random, 131_072, 3_000_000, |random| {
            let magnitude = random.below(8).min(random.below(8));
            16 + random.below(16 << magnitude)
        })),
        "pages" => Ok(replacing(&mut random, 2_000, 1_000_000, |random| 4096 << random.below(6).min(random.below(6)))),
        "phase" => Ok(phases(&mut random)),
        path => recorded(Path::new(path)),
    }
}

/// Random places get a new block, again and again.
fn replacing(random: &mut Random, places: usize, rounds: usize, size: impl Fn(&mut Random) -> usize) -> Workload {
    let mut list = List::new(places);
    for _ in 0..rounds {
        let place = random.below(places);
        list.free(place as u32);
        let size = size(random);
        list.allocate(place as u32, size);
    }
    list.finish()
}

/// 48 MiB of blocks of one band of sizes, then most are freed, then the next band.
fn phases(random: &mut Random) -> Workload {
    let mut list = List::new(0);
    for band in 0..7 {
        let least = 32 << band;
        let mut places = Vec::new();
        while list.live < 48 << 20 {
            let place = list.sizes.len() as u32;
            list.sizes.push(0);
            list.allocate(place, least + random.below(least));
            places.push(place);
        }
        for place in places {
            if random.below(100) < 85 {
                list.free(place);
            }
        }
    }
    list.finish()
}

struct List {
    operations: Vec<Operation>,
    sizes: Vec<usize>,
    live: usize,
    peak: usize,
}

impl List {
    fn new(places: usize) -> List {
        List { operations: Vec::new(), sizes: vec![0; places], live: 0, peak: 0 }
    }
    fn allocate(&mut self, place: u32, size: usize) {
        self.operations.push(Operation { place, what: size as u32 });
        self.set(place, size);
    }
    fn set(&mut self, place: u32, size: usize) {
        self.live = self.live - self.sizes[place as usize] + size;
        self.peak = self.peak.max(self.live);
        self.sizes[place as usize] = size;
    }
    fn free(&mut self, place: u32) {
        if self.sizes[place as usize] != 0 {
            self.operations.push(Operation { place, what: FREE });
            self.set(place, 0);
        }
    }
    fn finish(self) -> Workload {
        Workload { operations: self.operations, places: self.sizes.len(), peak: self.peak }
    }
}

/// All threads' operations in the recorded order. Blocks of no size get one byte; mappings and objects are left out.
fn recorded(path: &Path) -> Result<Workload, String> {
    let mut list = List::new(0);
    let mut places: HashMap<u64, u32> = HashMap::new();
    let mut spare: Vec<u32> = Vec::new();
    let is_heap = |family: heapwise_trace::Family| !matches!(family, heapwise_trace::Family::Map | heapwise_trace::Family::Object);
    let mut sink = |event: Event<'_>| match event {
        Event::Alloc { addr, size, family, .. } if is_heap(family) => {
            let place = spare.pop().unwrap_or_else(|| {
                list.sizes.push(0);
                list.sizes.len() as u32 - 1
            });
            if let Some(lost) = places.insert(addr.0, place) {
                list.free(lost);
                spare.push(lost);
            }
            list.allocate(place, (size as usize).clamp(1, RESIZE as usize - 1));
        }
        Event::Free { addr, family, .. } if is_heap(family) => {
            if let Some(place) = places.remove(&addr.0) {
                list.free(place);
                spare.push(place);
            }
        }
        Event::Resize { old, new, size, .. } => {
            if let Some(place) = places.remove(&old.0) {
                let size = (size as usize).clamp(1, RESIZE as usize - 1);
                places.insert(new.0, place);
                list.operations.push(Operation { place, what: size as u32 | RESIZE });
                list.set(place, size);
            }
        }
        _ => {}
    };
    recording::read(path, &mut sink, &mut |_, _| {}).map_err(|error| error.to_string())?;
    Ok(list.finish())
}
