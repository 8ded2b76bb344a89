//! The ledger against a naive twin that keeps maps and copies every column at each new peak.

use heapwise_heap::{Block, Change, FreeErrorKind, Ledger};
use heapwise_model::{Addr, Family, Nanos, StackCost, StackId, Total};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

const STACKS: u32 = 12;

#[derive(Clone, Debug)]
enum Op {
    Alloc {
        thread: u32,
        place: usize,
        size: u64,
        family: Family,
        stack: u32,
    },
    Free {
        thread: u32,
        place: usize,
        inside: u64,
        family: Family,
        stack: u32,
    },
    Resize {
        thread: u32,
        old: usize,
        new: usize,
        size: u64,
        stack: u32,
    },
    Inherit {
        place: usize,
        size: u64,
        stack: u32,
    },
    Map {
        page: u64,
        pages: u64,
        stack: u32,
    },
    Unmap {
        page: u64,
        pages: u64,
    },
    /// So many objects of a size are allocated, and then some of the stack's objects are freed.
    Account {
        stack: u32,
        count: u64,
        size: u64,
        freed: usize,
    },
}

/// Addresses with the room behind them: dense, unaligned, sparse, and with room for huge blocks.
fn places() -> Vec<(u64, u64)> {
    let mut places = Vec::new();
    places.extend((0..24u64).map(|i| (0x5555_0000_fe00 + i * 64, 64)));
    places.extend((0..12u64).map(|i| (0x5555_1000_0000 + i * 8, 8)));
    places.extend((0..8u64).map(|i| (0x5555_3000_0000 + i * 16, 16)));
    places.extend((0..8u64).map(|i| (0x5555_2000_0008 + i * 0x4_0000, 0x4_0000)));
    places.extend((0..4u64).map(|i| (0x10_0000_0000_0000 + (i << 50), 1 << 50)));
    places
}

fn op() -> impl Strategy<Value = Op> {
    let place = 0..places().len();
    let size = prop_oneof![4 => 0u64..70, 2 => 0u64..0x5_0000, 1 => Just(1u64 << 33), 1 => Just(1u64 << 49)];
    let family = prop_oneof![6 => Just(Family::Malloc), 1 => Just(Family::New), 1 => Just(Family::NewArray)];
    let stack = 0..STACKS + 2;
    let inside = prop_oneof![9 => Just(0u64), 1 => 1u64..40];
    prop_oneof![
        8 => (0u32..3, place.clone(), size.clone(), family.clone(), stack.clone())
            .prop_map(|(thread, place, size, family, stack)| Op::Alloc { thread, place, size, family, stack }),
        8 => (0u32..3, place.clone(), inside, family, stack.clone())
            .prop_map(|(thread, place, inside, family, stack)| Op::Free { thread, place, inside, family, stack }),
        2 => (0u32..3, place.clone(), place.clone(), size.clone(), stack.clone())
            .prop_map(|(thread, old, new, size, stack)| Op::Resize { thread, old, new, size, stack }),
        1 => (place, size, stack.clone()).prop_map(|(place, size, stack)| Op::Inherit { place, size, stack }),
        1 => (0u64..64, 0u64..9, stack).prop_map(|(page, pages, stack)| Op::Map { page, pages, stack }),
        1 => (0u64..64, 0u64..9).prop_map(|(page, pages)| Op::Unmap { page, pages }),
        4 => (0..STACKS + 2, 0u64..6, 1u64..513, 0usize..9)
            .prop_map(|(stack, count, size, freed)| Op::Account { stack, count, size, freed }),
    ]
}

#[derive(Default)]
struct Twin {
    live: BTreeMap<u64, Block>,
    freed: HashMap<u64, (StackId, StackId)>,
    last: HashMap<u32, u64>,
    costs: BTreeMap<u32, StackCost>,
    at_peak: BTreeMap<u32, Total>,
    peak: Total,
    allocations: u64,
    frees: u64,
    temporary: u64,
    missed: u64,
    errors: HashMap<(FreeErrorKind, StackId), u64>,
    first_frees: Vec<Option<StackId>>,
    pages: BTreeMap<u64, StackId>,
    /// Sizes of live objects, by stack.
    objects: BTreeMap<u32, Vec<u64>>,
}

impl Twin {
    fn total(&self) -> Total {
        let objects = self.objects.values().flatten();
        Total {
            bytes: self.live.values().map(|it| it.size).chain(objects.clone().copied()).sum(),
            blocks: (self.live.len() + objects.count()) as u64,
        }
    }

    fn meet_peak(&mut self) {
        if self.total().bytes > self.peak.bytes {
            self.peak = self.total();
            self.at_peak = self.by_stack();
        }
    }

    /// What the account says of it.
    fn account(&mut self, stack: StackId, count: u64, size: u64, freed: usize) -> Change {
        let objects = self.objects.entry(stack.0).or_default();
        let sum = |objects: &[u64]| objects.iter().sum::<u64>() as i64;
        let (blocks, bytes) = (objects.len() as i64, sum(objects));
        objects.extend((0..count).map(|_| size));
        let left = objects.len().saturating_sub(freed);
        self.frees += (objects.len() - left) as u64;
        objects.truncate(left);
        let change = Change {
            allocations: count,
            allocated_bytes: count * size,
            temporary: 0,
            live_blocks: objects.len() as i64 - blocks,
            live_bytes: sum(objects) - bytes,
        };
        self.allocations += count;
        let cost = self.costs.entry(stack.0).or_default();
        cost.allocations += count;
        cost.allocated_bytes += count * size;
        self.meet_peak();
        change
    }

    fn enter(&mut self, addr: u64, size: u64, family: Family, stack: StackId) {
        self.missed += u64::from(self.live.remove(&addr).is_some());
        self.freed.remove(&addr);
        self.live.insert(addr, Block { addr: Addr(addr), size, family, stack });
        self.costs.entry(stack.0).or_default();
        self.meet_peak();
    }

    fn by_stack(&self) -> BTreeMap<u32, Total> {
        let mut map: BTreeMap<u32, Total> = BTreeMap::new();
        for block in self.live.values() {
            let total = map.entry(block.stack.0).or_default();
            total.bytes += block.size;
            total.blocks += 1;
        }
        for (stack, objects) in self.objects.iter().filter(|it| !it.1.is_empty()) {
            let total = map.entry(*stack).or_default();
            total.bytes += objects.iter().sum::<u64>();
            total.blocks += objects.len() as u64;
        }
        map
    }

    fn alloc(&mut self, thread: u32, addr: u64, size: u64, family: Family, stack: StackId) {
        self.allocations += 1;
        self.last.insert(thread, addr);
        let cost = self.costs.entry(stack.0).or_default();
        cost.allocations += 1;
        cost.allocated_bytes += size;
        self.enter(addr, size, family, stack);
    }

    fn free(&mut self, thread: u32, addr: u64, family: Family, stack: StackId) {
        let mut error = |kind, first_free| {
            let count = self.errors.entry((kind, stack)).or_insert(0);
            if *count == 0 {
                self.first_frees.push(first_free);
            }
            *count += 1;
        };
        let Some(block) = self.live.remove(&addr) else {
            let below = self.live.range(..addr).next_back();
            if below.is_some_and(|(start, block)| addr - start < block.size) {
                error(FreeErrorKind::Interior, None);
            } else if let Some(&(_, by)) = self.freed.get(&addr) {
                error(FreeErrorKind::Double, Some(by));
            } else {
                error(FreeErrorKind::Unknown, None);
            }
            return;
        };
        if block.family != family {
            error(FreeErrorKind::Mismatched { allocated: block.family, freed: family }, None);
        }
        self.freed.insert(addr, (block.stack, stack));
        self.frees += 1;
        if self.last.get(&thread) == Some(&addr) {
            self.last.remove(&thread);
            self.temporary += 1;
            self.costs.get_mut(&block.stack.0).expect("allocated").temporary += 1;
        }
    }
}

fn known(stack: u32) -> StackId {
    StackId(if stack < STACKS { stack } else { 0 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_twin_agrees(ops in prop::collection::vec(op(), 1..400), forked in 0usize..400) {
        let places = places();
        let mut ledger = Ledger::new();
        ledger.set_stack_limit(STACKS as usize);
        let mut twin = Twin::default();
        for (i, op) in ops.into_iter().enumerate() {
            let at = Nanos(i as u64 * 40_000);
            match op {
                Op::Alloc { thread, place, size, family, stack } => {
                    let (addr, room) = places[place];
                    ledger.alloc(at, thread, Addr(addr), size.min(room), family, StackId(stack));
                    twin.alloc(thread, addr, size.min(room), family, known(stack));
                }
                Op::Free { thread, place, inside, family, stack } => {
                    let addr = places[place].0 + inside;
                    ledger.free(at, thread, Addr(addr), family, StackId(stack));
                    twin.free(thread, addr, family, known(stack));
                }
                Op::Resize { thread, old, new, size, stack } => {
                    let (addr, room) = places[new];
                    ledger.resize(at, thread, Addr(places[old].0), Addr(addr), size.min(room), StackId(stack));
                    twin.free(thread, places[old].0, Family::Malloc, known(stack));
                    twin.alloc(thread, addr, size.min(room), Family::Malloc, known(stack));
                }
                Op::Inherit { place, size, stack } => {
                    let (addr, room) = places[place];
                    ledger.inherit(Addr(addr), size.min(room), Family::Malloc, StackId(stack));
                    twin.enter(addr, size.min(room), Family::Malloc, known(stack));
                }
                Op::Map { page, pages, stack } => {
                    ledger.alloc(at, 0, Addr(page << 12), pages << 12, Family::Map, StackId(stack));
                    (page..page + pages).for_each(|page| { twin.pages.insert(page, known(stack)); });
                }
                Op::Unmap { page, pages } => {
                    ledger.unmap(at, Addr(page << 12), pages << 12);
                    (page..page + pages).for_each(|page| { twin.pages.remove(&page); });
                }
                Op::Account { stack, count, size, freed } => {
                    let change = twin.account(known(stack), count, size, freed);
                    ledger.account(StackId(stack), &change);
                    ledger.accounts_end(at);
                }
            }
            let totals = ledger.totals();
            prop_assert_eq!(totals.live, twin.total());
            prop_assert_eq!(totals.peak, twin.peak);
            if i == forked {
                let child = ledger.fork();
                prop_assert_eq!(child.live_blocks(), ledger.live_blocks());
                prop_assert_eq!(child.mappings(), ledger.mappings());
                prop_assert_eq!(child.totals().live, totals.live);
                prop_assert_eq!(child.totals().allocations, 0);
                let live = |costs: Vec<StackCost>| -> Vec<_> { costs.iter().map(|it| (it.live_bytes, it.peak_bytes)).filter(|it| it.0 > 0).collect() };
                prop_assert!(live(child.costs()).iter().all(|it| it.0 == it.1));
                prop_assert_eq!(live(child.costs()).len(), live(ledger.costs()).len());
            }
        }
        let totals = ledger.totals();
        prop_assert_eq!(totals.allocations, twin.allocations);
        prop_assert_eq!(totals.frees, twin.frees);
        prop_assert_eq!(totals.temporary, twin.temporary);
        prop_assert_eq!(totals.missed_frees, twin.missed);
        prop_assert_eq!(ledger.live_blocks(), twin.live.values().copied().collect::<Vec<_>>());
        let objects = twin.objects.iter().filter(|it| !it.1.is_empty());
        let objects: Vec<_> = objects.map(|(stack, all)| (StackId(*stack), Total { bytes: all.iter().sum(), blocks: all.len() as u64 })).collect();
        prop_assert_eq!(ledger.accounted(), objects);
        let held = Addr(0x4444_0000);
        let mut holding = ledger.clone();
        holding.inherit(held, 48, Family::Object, StackId(1));
        prop_assert_eq!(holding.totals(), totals);
        prop_assert_eq!(holding.block_at(held).map(|it| it.size), Some(48));
        holding.drop_objects();
        prop_assert_eq!(holding.live_blocks(), ledger.live_blocks());
        for mapping in ledger.mappings() {
            for page in mapping.addr.0 >> 12..(mapping.addr.0 + mapping.size) >> 12 {
                prop_assert_eq!(twin.pages.remove(&page), Some(mapping.stack));
            }
        }
        prop_assert!(twin.pages.is_empty());
        let errors: HashMap<_, _> = ledger.errors().iter().map(|it| ((it.kind, it.stack), it.count)).collect();
        prop_assert_eq!(&errors, &twin.errors);
        prop_assert_eq!(ledger.errors().iter().map(|it| it.first_free).collect::<Vec<_>>(), twin.first_frees.clone());
        let live = twin.by_stack();
        for cost in ledger.costs() {
            let expected = twin.costs.get(&cost.stack.0).copied().unwrap_or_default();
            let (live, peak) = (live.get(&cost.stack.0).copied().unwrap_or_default(), twin.at_peak.get(&cost.stack.0).copied().unwrap_or_default());
            prop_assert_eq!(cost, StackCost {
                stack: cost.stack,
                live_bytes: live.bytes, live_blocks: live.blocks,
                peak_bytes: peak.bytes, peak_blocks: peak.blocks,
                ..expected
            });
        }
    }

    /// Any numbers at all: nothing panics, and the sums of live blocks stay consistent in number.
    #[test]
    fn hostile_numbers(ops in prop::collection::vec((0u8..8, edge(), edge(), edge(), any::<u32>(), any::<u32>()), 1..200)) {
        let (mut ledger, mut is_accounted) = (Ledger::new(), false);
        ledger.set_stack_limit(3);
        for (op, at, addr, size, thread, stack) in ops {
            let (at, addr, stack, family) = (Nanos(at), Addr(addr), StackId(stack), Family::from_bits(thread as u8));
            match op {
                0 | 1 => ledger.alloc(at, thread, addr, size, family, stack),
                2 => ledger.free(at, thread, addr, family, stack),
                3 => ledger.resize(at, thread, addr, Addr(size), at.0, stack),
                4 => ledger.inherit(addr, size, family, stack),
                5 => ledger.unmap(at, addr, size),
                6 => {
                    is_accounted = true;
                    let (live_blocks, live_bytes) = (addr.0 as i64, (size as i64).wrapping_neg());
                    let change = Change { allocations: size, allocated_bytes: at.0, temporary: addr.0, live_blocks, live_bytes };
                    ledger.account(stack, &change);
                    ledger.accounts_end(at);
                    ledger.accounted();
                }
                _ => ledger.sample(at, size, size, size, size),
            }
            ledger.warm(&[(addr, StackId(0))]);
        }
        prop_assert!(is_accounted || ledger.live_blocks().len() as u64 == ledger.totals().live.blocks);
        prop_assert!(ledger.timeline().ticks.len() <= 1024);
        ledger.growth();
        ledger.costs();
    }
}

/// Numbers near the edges of their range, and few enough to meet again.
fn edge() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..200,
        Just(u64::MAX),
        (0u64..64).prop_map(|bit| 1 << bit),
        (0u64..64).prop_map(|bit| (1u64 << bit).wrapping_sub(1)),
        (0u64..40).prop_map(|i| 0x7f00_0000_0000 + i * 8),
        (0u64..40).prop_map(|i| u64::MAX - i * 8),
    ]
}
