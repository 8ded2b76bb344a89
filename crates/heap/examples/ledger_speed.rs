//! Nanoseconds per event of the ledger, on streams made beforehand: `cargo run --release --example ledger_speed`.
//!
//! - `random`: 100,000 live blocks of 16 to 256 bytes over 2,000 stacks; each event frees or refills a random one.
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

fn random_stream(blocks: usize, stacks: u64, events: usize, align: u64) -> Vec<Op> {
    let mut state = 88172645463325252u64;
    let mut places = Vec::with_capacity(blocks);
    let mut at = 0x7f00_0000_0010u64;
    for _ in 0..blocks {
        let size = 16 + random(&mut state) % 240;
        places.push((at, size as u32, false));
        at += (size + 8).next_multiple_of(align);
    }
    let mut ops: Vec<Op> = Vec::with_capacity(blocks + events);
    for place in &mut places {
        place.2 = true;
        ops.push(Op { addr: place.0, size: place.1, stack: 1 + (random(&mut state) % stacks) as u32 });
    }
    for _ in 0..events {
        let place = &mut places[(random(&mut state) % blocks as u64) as usize];
        place.2 = !place.2;
        ops.push(Op {
            addr: place.0,
            size: if place.2 { place.1 } else { 0 },
            stack: 1 + (random(&mut state) % stacks) as u32,
        });
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

fn measure(name: &str, ops: &[Op], warm: usize, batch: usize) {
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            let mut ledger = Ledger::new();
            ledger.set_stack_limit(10_001);
            let mut at = 0;
            let mut feed = |ops: &[Op]| {
                for ops in ops.chunks(batch.max(1)) {
                    if batch > 0 {
                        let mut addrs = [Addr(0); 256];
                        addrs.iter_mut().zip(ops).for_each(|(addr, op)| *addr = Addr(op.addr));
                        ledger.warm(&addrs[..ops.len()]);
                    }
                    for op in ops {
                        at += 20;
                        if op.size > 0 {
                            ledger.alloc(
                                Nanos(at),
                                1,
                                Addr(op.addr),
                                u64::from(op.size),
                                Family::Malloc,
                                StackId(op.stack),
                            );
                        } else {
                            ledger.free(Nanos(at), 1, Addr(op.addr), Family::Malloc, StackId(op.stack));
                        }
                    }
                }
            };
            feed(&ops[..warm]);
            let start = Instant::now();
            feed(&ops[warm..]);
            let took = start.elapsed();
            assert!(ledger.errors().is_empty());
            took.as_secs_f64() * 1e9 / (ops.len() - warm) as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:<28} {:6.2} ns per event (min {:.2}, max {:.2})", times[3], times[0], times[6]);
}

fn main() {
    let events = 8_000_000;
    for batch in [0, 16, 32, 64] {
        println!("-- {}", if batch == 0 { "one by one".to_string() } else { format!("warmed by {batch}") });
        measure("random, 10k live", &random_stream(10_000, 2_000, events, 16), 10_000, batch);
        measure("random, 100k live", &random_stream(100_000, 2_000, events, 16), 100_000, batch);
        measure("random, 100k, 10k stacks", &random_stream(100_000, 10_000, events, 16), 100_000, batch);
        measure("random, 1M live", &random_stream(1_000_000, 2_000, events, 16), 1_000_000, batch);
        measure("stack-like", &stack_like(events), 0, batch);
        measure("growing", &growing(events), 0, batch);
        measure("unaligned, 100k live", &random_stream(100_000, 2_000, events / 4, 8), 100_000, batch);
    }
}
