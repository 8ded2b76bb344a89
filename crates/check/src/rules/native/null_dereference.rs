//! A null pointer is followed.

use super::{explain, found};
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::{Class, Object};
use heapwise_model::{Confidence, Kind, Rule, Severity};

/// On this path the pointer is null.
pub fn null(engine: &mut Engine<'_>) -> Finding {
    found(engine, Rule::NullDereference, Some(Kind::Null), "a null pointer is followed".to_owned())
}

/// The pointer is null if the allocation fails.
pub fn unchecked(engine: &mut Engine<'_>, object: &Object) -> Finding {
    let message = match object.class {
        Class::Resource(_) => "this is null if it cannot be opened; it is used without a check",
        _ => "the pointer is null if the allocation fails; it is followed without a check",
    };
    let message = message.to_owned();
    let mut it = found(engine, Rule::NullDereference, Some(Kind::UncheckedAllocation), message);
    it.severity = Severity::Warning;
    it.confidence = Confidence::Likely;
    explain(
        engine,
        &mut it,
        if matches!(object.class, Class::Resource(_)) { "opened here" } else { "allocated here" },
        object.made,
    );
    it
}
