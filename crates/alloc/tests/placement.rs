//! The free list's addresses beside those of lists that are searched from one end to the other.

use heapwise_alloc::exercise::Random;
use heapwise_alloc::{BestFit, FirstFit, FreeList, Heap, Index, NextFit, Virtual, WorstFit};
use std::collections::{BTreeMap, HashMap};

/// Chooses among free ranges (address to size), knowing where the last allocation ended and what the heap chose.
type Choose = fn(&BTreeMap<usize, usize>, usize, usize, usize) -> Option<usize>;

const HEADER: usize = 8;
const GROWTH: usize = 64 << 10;

/// One range that grows at its end.
struct Twin {
    choose: Choose,
    free: BTreeMap<usize, usize>,
    live: HashMap<usize, usize>,
    end: usize,
    last: usize,
}

impl Twin {
    fn allocate(&mut self, size: usize, chosen: usize) -> usize {
        let need = (size + HEADER).next_multiple_of(16).max(32);
        let at = match (self.choose)(&self.free, need, self.last, chosen) {
            Some(at) => {
                self.last = at + need;
                at
            }
            None => self.grow(need),
        };
        let range = self.free.remove(&at).expect("a free range");
        let taken = if range - need >= 32 { need } else { range };
        if taken < range {
            self.free.insert(at + taken, range - taken);
        }
        self.live.insert(at, taken);
        at
    }

    fn grow(&mut self, need: usize) -> usize {
        let tail =
            self.free.last_key_value().map(|(&at, &size)| (at, size)).filter(|it| it.0 + it.1 == self.end);
        let (at, size) = tail.unwrap_or((self.end, 0));
        // Parts begin 24 before their first block and have 8 behind the last.
        let grown = (self.end + 32 + need - size).next_multiple_of(GROWTH) - 32;
        self.free.insert(at, size + grown - self.end);
        self.end = grown;
        at
    }

    fn free(&mut self, mut at: usize) {
        let mut size = self.live.remove(&at).expect("a live block");
        size += self.free.remove(&(at + size)).unwrap_or(0);
        if let Some((&before, &bytes)) = self.free.range(..at).next_back()
            && before + bytes == at
        {
            self.free.remove(&before);
            (at, size) = (before, size + bytes);
        }
        self.free.insert(at, size);
    }
}

fn compare<I: Index>(choose: Choose) {
    let steps = if cfg!(miri) { 400 } else { 40_000 };
    for seed in 0..3 {
        let mut random = Random(seed);
        let mut heap = FreeList::new(Virtual::new(), I::new());
        let mut twin = Twin { choose, free: BTreeMap::new(), live: HashMap::new(), end: 0, last: 0 };
        let mut live: Vec<(usize, usize, usize)> = Vec::new();
        let mut base = None;
        for step in 0..steps {
            if live.len() < 40 || random.below(if live.len() < 400 { 5 } else { 2 }) > 1 {
                let size = random.size(13);
                let at = heap.allocate(size, 16).expect("addresses");
                // The twin's addresses are relative to the first block.
                let base = *base.get_or_insert(at);
                let expected = twin.allocate(size, at - base);
                assert_eq!(at, base + expected, "seed {seed}, step {step}, {size} bytes");
                live.push((at, expected, size));
            } else {
                let (at, twins, size) = live.swap_remove(random.below(live.len()));
                heap.free(at, size);
                twin.free(twins);
            }
        }
        heap.check().unwrap();
    }
}

#[test]
fn first_fit_is_the_lowest_address_that_fits() {
    compare::<FirstFit>(|free, need, _, _| free.iter().find(|it| *it.1 >= need).map(|it| *it.0));
}

#[test]
fn next_fit_goes_on_where_it_was() {
    compare::<NextFit>(|free, need, last, _| {
        free.range(last..).chain(free.range(..last)).find(|it| *it.1 >= need).map(|it| *it.0)
    });
}

#[test]
fn best_fit_is_the_smallest_that_fits() {
    compare::<BestFit>(|free, need, _, _| {
        free.iter().filter(|it| *it.1 >= need).min_by_key(|it| (*it.1, *it.0)).map(|it| *it.0)
    });
}

#[test]
fn worst_fit_is_the_greatest() {
    // Of equal ones any is the greatest.
    compare::<WorstFit>(|free, need, _, chosen| {
        let greatest = *free.values().max().filter(|it| **it >= need)?;
        if free.get(&chosen) == Some(&greatest) { Some(chosen) } else { free.keys().next().copied() }
    });
}
