//! A block that is too small for what it is made for.

use super::found;
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use heapwise_model::Rule;

/// A block for a text that was asked for without room for all of it.
pub fn text(engine: &mut Engine<'_>, made: u32) -> Finding {
    let message = "this block has no room for all of the text whose length it was asked for by".to_owned();
    let mut it = found(engine, Rule::UndersizedAllocation, None, message);
    let written = it.place;
    it.place = engine.spot_of(made);
    it.related.push(("the text is written here".to_owned(), written));
    it
}

pub fn finding(engine: &mut Engine<'_>, made: u32, size: i64, needed: i64) -> Finding {
    let message = if size < needed {
        format!("a block of {size} bytes is used as one object of {needed} bytes")
    } else {
        format!("a block of {size} bytes holds no whole number of objects of {needed} bytes")
    };
    let mut it = found(engine, Rule::UndersizedAllocation, None, message);
    it.place = engine.spot_of(made);
    it
}
