//! A block that is too small for what it is made for.

use super::found;
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use heapwise_model::Rule;

pub fn finding(engine: &mut Engine<'_>, made: u32, size: i64, needed: i64) -> Finding {
    let message = format!("a block of {size} bytes is used as one object of {needed} bytes");
    let mut it = found(engine, Rule::UndersizedAllocation, None, message);
    it.place = engine.spot_of(made);
    it
}
