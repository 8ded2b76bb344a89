//! A copy between ranges that overlap, by a function that does not allow it.

use super::found;
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use heapwise_model::Rule;

pub fn finding(engine: &mut Engine<'_>) -> Finding {
    found(engine, Rule::OverlappingCopy, None, "source and destination of this copy overlap".to_owned())
}
