//! Programs on the managed heap beside a naive twin: the first byte chooses the collector, six make an action.
#![no_main]

#[path = "../../crates/gc/tests/twin/mod.rs"]
mod twin;

use heapwise_gc::{Cycles, Generations, Increments};
use twin::{Action, generational, mark_sweep, reference_counting, regions, run, stop_the_world};

/// More only repeats: the twin follows everything after each action.
const MOST: usize = 400;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&collector, data)) = data.split_first() else { return };
    let (chunks, _) = data.as_chunks::<6>();
    let actions: Vec<Action> = chunks.iter().take(MOST).map(|it| Action::decode(*it)).collect();
    match collector % 8 {
        0 => run(reference_counting(Cycles::Suspects { bytes: 500 }), &actions),
        1 => {
            let generations = Generations { thresholds: [7, 2, 2], long_lived_ratio: 0.25 };
            run(reference_counting(Cycles::Generations(generations)), &actions);
        }
        2 => run(reference_counting(Cycles::Increments(Increments { threshold: 7, scale: 2 })), &actions),
        3 => run(mark_sweep(), &actions),
        4 => run(stop_the_world(), &actions),
        5 => run(regions(), &actions),
        other => run(generational(other - 5), &actions),
    }
});
