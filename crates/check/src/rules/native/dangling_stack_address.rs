//! The address of a local outlives it.

use super::{explain, found};
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::Object;
use heapwise_model::{Kind, Rule};

pub fn returned(engine: &mut Engine<'_>, object: &Object) -> Finding {
    let message = "the address of a local is returned".to_owned();
    let mut it = found(engine, Rule::DanglingStackAddress, Some(Kind::Return), message);
    explain(engine, &mut it, "declared here", object.made);
    it
}

pub fn stored(engine: &mut Engine<'_>, object: &Object) -> Finding {
    let message = "the address of a local is stored where it outlives the function".to_owned();
    let mut it = found(engine, Rule::DanglingStackAddress, Some(Kind::Store), message);
    explain(engine, &mut it, "declared here", object.made);
    it
}

/// A local is used after its scope.
pub fn used(engine: &mut Engine<'_>, object: &Object, end: u32) -> Finding {
    let message = "a local is used after its scope has ended".to_owned();
    let mut it = found(engine, Rule::DanglingStackAddress, Some(Kind::Store), message);
    explain(engine, &mut it, "the scope ends here", end);
    explain(engine, &mut it, "declared here", object.made);
    it
}
