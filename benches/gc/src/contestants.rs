//! One file for each library: the two workloads as its users would write them.

mod bacon_rajan;
mod counted;
mod dumped;
mod heap;
mod plain;
mod rust_cc;
mod arena;

use super::Meter;

pub struct Contestant {
    pub name: &'static str,
    /// Both give the number of nodes they made.
    pub trees: fn(&mut Meter) -> u64,
    pub cycles: fn(&mut Meter) -> u64,
}

pub const CONTESTANTS: [Contestant; 10] = [
    Contestant { name: "Rc", trees: plain::trees, cycles: plain::cycles },
    Contestant { name: "Cc", trees: counted::trees, cycles: counted::cycles },
    Contestant { name: "bacon_rajan_cc", trees: bacon_rajan::trees, cycles: bacon_rajan::cycles },
    Contestant { name: "rust-cc", trees: rust_cc::trees, cycles: rust_cc::cycles },
    Contestant { name: "dumpster", trees: dumped::trees, cycles: dumped::cycles },
    Contestant { name: "gc-arena", trees: arena::trees, cycles: arena::cycles },
    Contestant { name: "heap-counting", trees: heap::trees_counting, cycles: heap::cycles_counting },
    Contestant { name: "heap-mark-sweep", trees: heap::trees_mark_sweep, cycles: heap::cycles_mark_sweep },
    Contestant { name: "heap-generational", trees: heap::trees_generational, cycles: heap::cycles_generational },
    Contestant { name: "heap-regions", trees: heap::trees_regions, cycles: heap::cycles_regions },
];

pub const LONG_DEPTH: u32 = 16;
pub const LIVE_CLUSTERS: usize = 20_000;
pub const CLUSTERS: usize = 400_000;
pub const CLUSTER: usize = 5;

/// The depths of short-lived trees, and how many of each.
pub fn short_trees() -> impl Iterator<Item = u32> {
    (4..=14).step_by(2).flat_map(|depth| (0..1u32 << (17 - depth)).map(move |_| depth))
}
