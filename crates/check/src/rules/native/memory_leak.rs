//! A block whose last pointer is lost while it is live.

use super::push_calls;
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::Object;
use heapwise_model::{Confidence, Kind, Rule, Severity};

/// A block that nothing leads to when the function is left at `exit`.
pub fn finding(engine: &Engine<'_>, object: &Object, exit: u32) -> Finding {
    let place = lost_place(engine, object);
    let mut related = Vec::new();
    if place != engine.spot_of(object.made) {
        related.push(("allocated here".to_owned(), engine.spot_of(object.made)));
    } else {
        push_calls(engine, object.made, &mut related);
    }
    related.push(("no pointer to it is left here".to_owned(), engine.spot_of(exit)));
    Finding {
        rule: Rule::MemoryLeak,
        kind: Some(Kind::Definite),
        severity: Severity::Error,
        confidence: Confidence::Proven,
        message: "this block is never freed on some path".to_owned(),
        place,
        related,
    }
}

/// A block that is still held when the program ends.
pub fn kept(engine: &Engine<'_>, object: &Object, exit: u32) -> Finding {
    let mut it = finding(engine, object, exit);
    it.kind = Some(Kind::Reachable);
    it.message = "this block is still held when the program ends, and never freed".to_owned();
    if let Some(last) = it.related.last_mut() {
        last.0 = "the program ends here".to_owned();
    }
    it
}

/// Where it was made; blocks that a much-used function hands out are told apart by who asked.
pub fn lost_place(engine: &Engine<'_>, object: &Object) -> crate::analysis::issue::Spot {
    let mut trace = engine.traces[object.made as usize];
    while trace.via != 0 && engine.cx.program.callers[trace.spot.function as usize] > 1 {
        trace = engine.traces[trace.via as usize];
    }
    trace.spot
}
