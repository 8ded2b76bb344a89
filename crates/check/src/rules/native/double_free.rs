//! A block is freed a second time.

use super::{explain, found};
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::Object;
use heapwise_model::Rule;

pub fn finding(engine: &mut Engine<'_>, object: &Object, before: u32, by: u32) -> Finding {
    let mut it = found(engine, Rule::DoubleFree, None, "this block was freed before".to_owned());
    it.place = engine.spot_of(by);
    explain(engine, &mut it, "freed first here", before);
    explain(engine, &mut it, "allocated here", object.made);
    it
}
