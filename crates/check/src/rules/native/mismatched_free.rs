//! A block is given back by another family of functions than the one it came from.

use super::{explain, found};
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::Object;
use heapwise_model::Rule;

pub fn finding(engine: &mut Engine<'_>, object: &Object, made: u16, family: u16, by: u32) -> Finding {
    let models = &engine.cx.models;
    let freed = match models.family_name(family) {
        "malloc" => "free",
        "new" => "delete",
        "new[]" => "delete[]",
        other => other,
    };
    let message = format!("a block from `{}` is freed by `{freed}`", models.family_name(made));
    let mut it = found(engine, Rule::MismatchedFree, None, message);
    it.place = engine.spot_of(by);
    explain(engine, &mut it, "allocated here", object.made);
    it
}
