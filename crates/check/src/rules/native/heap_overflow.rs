//! Memory outside of an object: of a heap block (`heap-overflow`), of a stack or global array
//! (`stack-buffer-overflow`).

use super::{explain, found};
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::{Class, Object};
use crate::analysis::value::{Sym, Val};
use heapwise_model::{Confidence, Kind, Rule};

pub fn finding(
    engine: &mut Engine<'_>,
    _base: Sym,
    object: &Object,
    (offset, bytes, size): (Val, Val, Val),
    is_write: bool,
    is_under: bool,
) -> Finding {
    let is_heap = matches!(object.class, Class::Heap(it) if it != engine.cx.families.alloca);
    let what = if is_heap { "a block" } else { "an object" };
    let verb = if is_write { "written" } else { "read" };
    let message = match (offset.as_int(), bytes.as_int(), size.as_int()) {
        (Some(at), _, _) if is_under => format!("{} bytes before {what} are {verb}", -at),
        _ if is_under => format!("memory before {what} is {verb}"),
        (Some(at), Some(bytes), Some(size)) if bytes > 0 && at <= size => {
            format!("{} of {what} of {} {verb} at offset {at}", count(bytes), count(size))
        }
        (_, _, Some(size)) => format!("memory beyond {what} of {} is {verb}", count(size)),
        _ => format!("memory beyond {what} is {verb}"),
    };
    let mut it = found(engine, rule(is_heap), Some(kind(is_write, is_under)), message);
    // Otherwise some executions that get here stay within.
    let is_constant = offset.as_int().is_some() && bytes.as_int().is_some() && size.as_int().is_some();
    if !is_constant {
        it.confidence = Confidence::Likely;
    }
    explain(engine, &mut it, if is_heap { "allocated here" } else { "declared here" }, object.made);
    it
}

/// Outside of an object of the callee, with what it was called with.
pub fn beyond(engine: &mut Engine<'_>, is_write: bool, is_under: bool, is_stack: bool) -> Finding {
    let side = if is_under { "before" } else { "beyond" };
    let what = if is_stack { "an object" } else { "a block" };
    let verb = if is_write { "written" } else { "read" };
    let message = format!("memory {side} {what} is {verb}");
    let mut it = found(engine, rule(!is_stack), Some(kind(is_write, is_under)), message);
    it.confidence = Confidence::Likely;
    it
}

fn rule(is_heap: bool) -> Rule {
    if is_heap { Rule::HeapOverflow } else { Rule::StackBufferOverflow }
}

fn kind(is_write: bool, is_under: bool) -> Kind {
    match (is_write, is_under) {
        (true, false) => Kind::Write,
        (false, false) => Kind::Read,
        (true, true) => Kind::UnderflowWrite,
        (false, true) => Kind::UnderflowRead,
    }
}

fn count(bytes: i64) -> String {
    if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") }
}
