//! Nanoseconds per event of the ledger, on streams made beforehand: `cargo run --release --example ledger_speed`.
//!
//! - `random`: live blocks of 16 to 256 bytes over 2,000 stacks; a random one is freed, one freed before refilled.
//! - `mixed`: the same, but whether an event is a free or an allocation is random too.
//! - `stack-like`: blocks freed in the reverse order of their allocation, 64 deep.
//! - `growing`: allocations only, each of them a new peak.
//! - `unaligned`: as `random` with 8-byte alignment, half of the blocks in the side map.

use heapwise_heap::Ledger;
use heapwise_trace::{Addr, Family, Nanos, StackId};
use std::time::Instant;

#[derive(Clone, Copy)]
struct Op {
    addr: u64,
    /// 0: a free.
    size: u32,
    stack: u32,
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Fills `blocks` places, then frees a random one and refills one freed some 64 frees ago, in turn; with
/// `is_mixed` the next event is a free or an allocation by chance, which the branch predictor cannot know.
fn random_stream(blocks: usize, stacks: u64, events: usize, align: u64, is_mixed: bool) -> Vec<Op> {
    let mut state = 88172645463325252u64;
    let mut at = 0x7f00_0000_0010u64;
    let mut live = Vec::with_capacity(blocks);
    let mut ops: Vec<Op> = Vec::with_capacity(blocks + events);
    for _ in 0..blocks {
        let size = 16 + random(&mut state) % 240;
        ops.push(Op { addr: at, size: size as u32, stack: 1 + (random(&mut state) % stacks) as u32 });
        live.push((at, size as u32));
        at += (size + 8).next_multiple_of(align);
    }
    let mut free = std::collections::VecDeque::new();
    while ops.len() < blocks + events {
        let stack = 1 + (random(&mut state) % stacks) as u32;
        let is_free =
            if is_mixed { random(&mut state).is_multiple_of(2) } else { ops.len().is_multiple_of(2) };
        if (is_free || free.len() < 64) && live.len() > blocks / 2 {
            let place: (u64, u32) = live.swap_remove((random(&mut state) % live.len() as u64) as usize);
            free.push_back(place);
            ops.push(Op { addr: place.0, size: 0, stack });
        } else if let Some(place) = free.pop_front() {
            live.push(place);
            ops.push(Op { addr: place.0, size: place.1, stack });
        }
    }
    ops
}

fn stack_like(events: usize) -> Vec<Op> {
    let mut ops = Vec::with_capacity(events);
    while ops.len() < events {
        for i in 0..64u64 {
            ops.push(Op { addr: 0x5555_0000_0000 + i * 64, size: 48, stack: 1 + i as u32 % 7 });
        }
        for i in (0..64u64).rev() {
            ops.push(Op { addr: 0x5555_0000_0000 + i * 64, size: 0, stack: 1 + i as u32 % 7 });
        }
    }
    ops
}

fn growing(events: usize) -> Vec<Op> {
    (0..events as u64)
        .map(|i| Op { addr: 0x5555_0000_0000 + i * 64, size: 48, stack: 1 + (i % 100) as u32 })
        .collect()
}

fn feed(ledger: &mut Ledger, at: &mut u64, ops: &[Op], batch: usize) {
    for ops in ops.chunks(batch.max(1)) {
        if batch > 0 {
            let mut touched = [(Addr(0), StackId(0)); Ledger::WARM_MAX];
            let all = ops.iter().map(|op| (Addr(op.addr), StackId(if op.size > 0 { op.stack } else { 0 })));
            let count = touched.iter_mut().zip(all).map(|(place, it)| *place = it).count();
            ledger.warm(&touched[..count]);
        }
        for op in ops {
            *at += 20;
            if op.size > 0 {
                ledger.alloc(
                    Nanos(*at),
                    1,
                    Addr(op.addr),
                    u64::from(op.size),
                    Family::Malloc,
                    StackId(op.stack),
                );
            } else {
                ledger.free(Nanos(*at), 1, Addr(op.addr), Family::Malloc, StackId(op.stack));
            }
        }
    }
}

/// Slices of a millisecond or so, each timed alone: on a busy machine those that were interrupted are outliers.
fn measure(name: &str, ops: &[Op], warm: usize, batch: usize) {
    const SLICE: usize = 32 * 1024;
    let mut times = Vec::new();
    for _ in 0..2 {
        let mut ledger = Ledger::new();
        ledger.set_stack_limit(10_001);
        let mut at = 0;
        feed(&mut ledger, &mut at, &ops[..warm], batch);
        for slice in ops[warm..].chunks_exact(SLICE) {
            let start = Instant::now();
            feed(&mut ledger, &mut at, slice, batch);
            times.push(start.elapsed().as_secs_f64() * 1e9 / SLICE as f64);
        }
        assert!(ledger.errors().is_empty());
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!("{name:<28} {:6.2} ns per event (tenth {:.2}, nine tenths {:.2})", at(0.5), at(0.1), at(0.9));
}

fn main() {
    let events = 4_000_000;
    for batch in [0, 64] {
        println!("-- {}", if batch == 0 { "one by one".to_string() } else { format!("warmed by {batch}") });
        measure("random, 10k live", &random_stream(10_000, 2_000, events, 16, false), 10_000, batch);
        measure("random, 100k live", &random_stream(100_000, 2_000, events, 16, false), 100_000, batch);
        measure("random, 100k, mixed", &random_stream(100_000, 2_000, events, 16, true), 100_000, batch);
        measure("random, 100k, 200 stacks", &random_stream(100_000, 200, events, 16, false), 100_000, batch);
        measure("random, 1M live", &random_stream(1_000_000, 2_000, events, 16, false), 1_000_000, batch);
        measure("stack-like", &stack_like(events), 0, batch);
        measure("growing", &growing(events), 0, batch);
        measure("unaligned, 100k live", &random_stream(100_000, 2_000, events / 4, 8, false), 100_000, batch);
    }
}
