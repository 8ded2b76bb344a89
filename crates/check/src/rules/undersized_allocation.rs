//! A block that is too small for what it is made for.

use super::found;
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::Object;
use heapwise_model::Rule;

pub fn finding(engine: &mut Engine<'_>, object: &Object, size: i64, needed: i64) -> Finding {
    let message = format!("a block of {size} bytes is used as one object of {needed} bytes");
    let mut it = found(engine, Rule::UndersizedAllocation, None, message);
    it.place = engine.spot_of(object.made);
    it
}
