//! What is freed is not the start of a heap block.

use super::{explain, found};
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::Object;
use crate::analysis::value::Meaning;
use heapwise_model::{Kind, Rule};

pub fn not_heap(engine: &mut Engine<'_>, meaning: Meaning, object: &Object, by: u32) -> Finding {
    let (kind, message) = match meaning {
        Meaning::Global(_) => (Kind::Global, "a variable with static storage is freed"),
        Meaning::Text { .. } => (Kind::Global, "a string literal is freed"),
        Meaning::Function(_) => (Kind::Wild, "a function is freed"),
        _ => (Kind::Stack, "memory on the stack is freed"),
    };
    let mut it = found(engine, Rule::InvalidFree, Some(kind), message.to_owned());
    it.place = engine.spot_of(by);
    explain(engine, &mut it, "the memory is this", object.made);
    it
}

pub fn interior(engine: &mut Engine<'_>, object: &Object, by: u32) -> Finding {
    let message = "the pointer freed is not the start of its block".to_owned();
    let mut it = found(engine, Rule::InvalidFree, Some(Kind::Interior), message);
    it.place = engine.spot_of(by);
    explain(engine, &mut it, "allocated here", object.made);
    it
}
