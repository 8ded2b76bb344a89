//! Memory is read that was never written.

use super::{explain, found};
use crate::analysis::engine::{At, Engine};
use crate::analysis::issue::Finding;
use crate::analysis::state::{Class, State};
use heapwise_model::{Kind, Rule};

pub fn finding(engine: &mut Engine<'_>, state: &State, (base, _): At) -> Finding {
    let object = state.object(base).cloned();
    let is_heap = object.as_ref().is_some_and(|it| matches!(it.class, Class::Heap(_)));
    let (kind, message) = if is_heap {
        (Kind::Heap, "memory of a block is read before it is written")
    } else {
        (Kind::Stack, "a variable is read before it is written")
    };
    let mut it = found(engine, Rule::UninitializedRead, Some(kind), message.to_owned());
    if let Some(object) = object {
        explain(engine, &mut it, if is_heap { "allocated here" } else { "declared here" }, object.made);
    }
    it
}
