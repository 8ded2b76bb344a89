//! Programs of handles: the first two bytes set the pacing, three make an action.
#![no_main]

#[path = "../../crates/gc/tests/cc_program/mod.rs"]
mod cc_program;

use cc_program::{Action, Program};
use heapwise_gc::cc::{Pacing, set_pacing};

const MOST: usize = 2000;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((pacing, data)) = data.split_first_chunk::<2>() else { return };
    let suspect_bytes = usize::from(pacing[0]) * 16;
    set_pacing(Pacing { suspect_bytes, slice_nodes: usize::from(pacing[1]), allocations_per_slice: 2 });
    let mut program = Program::default();
    let (chunks, _) = data.as_chunks::<3>();
    for &bytes in chunks.iter().take(MOST) {
        program.act(Action::decode(bytes));
        program.check(false);
    }
    program.end();
});
