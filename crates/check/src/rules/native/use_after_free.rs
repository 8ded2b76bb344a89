//! A freed block is read, written or handed on.

use super::{explain, found};
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::Object;
use heapwise_model::{Confidence, Kind, Rule, Severity};

pub fn finding(engine: &mut Engine<'_>, object: &Object, freed: u32, is_write: bool) -> Finding {
    let (kind, what) = if is_write { (Kind::Write, "written") } else { (Kind::Read, "read") };
    with_events(engine, object, freed, kind, format!("memory is {what} after it was freed"))
}

/// To a function of which nothing is known.
pub fn passed(engine: &mut Engine<'_>, object: &Object, freed: u32) -> Finding {
    let mut it =
        with_events(engine, object, freed, Kind::Call, "a freed block is passed to a function".to_owned());
    it.severity = Severity::Warning;
    it.confidence = Confidence::Likely;
    it
}

pub fn returned(engine: &mut Engine<'_>, object: &Object, freed: u32) -> Finding {
    with_events(engine, object, freed, Kind::Return, "a freed block is returned".to_owned())
}

fn with_events(engine: &mut Engine<'_>, object: &Object, freed: u32, kind: Kind, message: String) -> Finding {
    let mut it = found(engine, Rule::UseAfterFree, Some(kind), message);
    explain(engine, &mut it, "freed here", freed);
    explain(engine, &mut it, "allocated here", object.made);
    it
}
