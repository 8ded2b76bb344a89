//! Speed of the block index and the graph algorithms: `cargo run --release --example graph_speed`.

use heapwise_heap::{Block, BlockIndex, GraphBuilder, ShortestPaths, classify, dominators};
use heapwise_model::RootKind;
use heapwise_trace::{Addr, Family, StackId};
use std::hint::black_box;
use std::time::Instant;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn measure(name: &str, index: &BlockIndex, words: &[u64]) {
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            let start = Instant::now();
            let hits = words.iter().filter(|&&word| index.find(word).is_some()).count();
            let took = start.elapsed().as_secs_f64() * 1e9 / words.len() as f64;
            black_box(hits);
            took
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:<44} {:6.2} ns per word (min {:.2}, max {:.2})", times[3], times[0], times[6]);
}

fn main() {
    let mut state = 88172645463325252u64;
    // Two arenas, as glibc gives them: the break heap and a mapped one.
    let mut blocks = Vec::new();
    for base in [0x5555_5560_0000u64, 0x7fff_d000_0010] {
        let mut at = base;
        for _ in 0..500_000 {
            let size = 16 + random(&mut state) % 240;
            blocks.push(Block { addr: Addr(at), size, family: Family::Malloc, stack: StackId(1) });
            at += (size + 8).next_multiple_of(16);
        }
    }
    let addr: Vec<u64> = blocks.iter().map(|it| it.addr.0).collect();
    let size: Vec<u64> = blocks.iter().map(|it| it.size).collect();
    let start = Instant::now();
    let index = BlockIndex::new(&addr, &size);
    println!("index of {} blocks: {:.1} ms", index.len(), start.elapsed().as_secs_f64() * 1e3);

    let count = 4_000_000;
    let small: Vec<u64> = (0..count).map(|_| random(&mut state) % 100_000).collect();
    let doubles: Vec<u64> = (0..count).map(|_| (random(&mut state) as f64).to_bits()).collect();
    let code: Vec<u64> = (0..count).map(|_| 0x7fff_c000_0000 + random(&mut state) % (1 << 24)).collect();
    let within: Vec<u64> = (0..count).map(|_| 0x6000_0000_0000 + (random(&mut state) >> 20)).collect();
    let pointers: Vec<u64> =
        (0..count).map(|_| addr[(random(&mut state) % addr.len() as u64) as usize]).collect();
    let near: Vec<u64> = (0..count).map(|i| addr[(i / 8) % addr.len()]).collect();
    let mixed: Vec<u64> = (0..count)
        .map(|i| [small[i], 0, doubles[i], code[i], small[i], 0, 0x4141_4141_4141_4141, near[i]][i % 8])
        .collect();
    measure("small integers", &index, &small);
    measure("doubles", &index, &doubles);
    measure("code pointers, between the arenas", &index, &code);
    measure("random words between the arenas", &index, &within);
    measure("pointers to random blocks (8 MB of starts)", &index, &pointers);
    measure("pointers to neighboring blocks", &index, &near);
    measure("mixed memory, one word in 8 a pointer", &index, &mixed);

    let start = Instant::now();
    let mut builder = GraphBuilder::new(&blocks);
    for (i, block) in blocks.iter().enumerate() {
        for offset in [0u64, 8] {
            let target =
                if offset == 0 { i / 2 } else { (random(&mut state) % blocks.len() as u64) as usize };
            builder.edge(block.addr, offset, blocks[target].addr);
        }
    }
    builder.root(RootKind::Global, Addr(0), blocks[500].addr);
    let graph = builder.finish();
    println!(
        "graph of {} blocks, {} edges: {:.0} ms",
        graph.addr.len(),
        graph.edges.len(),
        start.elapsed().as_secs_f64() * 1e3
    );
    let start = Instant::now();
    black_box(classify(&graph));
    println!("classes: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    black_box(dominators(&graph));
    println!("dominators: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    black_box(ShortestPaths::new(&graph));
    println!("shortest paths: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
}
