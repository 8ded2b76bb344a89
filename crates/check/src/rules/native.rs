//! The rules on C and C++: what a bug of that kind is called, how bad it is, and which places explain it.
//!
//! The engine sees the bug; a rule words it.

pub mod dangling_stack_address;
pub mod double_free;
pub mod heap_overflow;
pub mod invalid_free;
pub mod memory_leak;
pub mod mismatched_free;
pub mod null_dereference;
pub mod overlapping_copy;
pub mod resource_leak;
pub mod undersized_allocation;
pub mod uninitialized_read;
pub mod use_after_free;

use crate::analysis::engine::Engine;
use crate::analysis::issue::{Finding, Spot};
use heapwise_model::{Confidence, Kind, Rule, Severity};

/// A finding at the operation that is run, or, for what a callee did, where it did it.
fn found(engine: &mut Engine<'_>, rule: Rule, kind: Option<Kind>, message: String) -> Finding {
    let here = engine.here();
    let place = engine.spot_of(here);
    let mut related = Vec::new();
    push_calls(engine, here, &mut related);
    Finding { rule, kind, severity: Severity::Error, confidence: Confidence::Proven, message, place, related }
}

/// Adds where a trace's function was called.
fn push_calls(engine: &Engine<'_>, trace: u32, related: &mut Vec<(String, Spot)>) {
    let mut via = engine.traces[trace as usize].via;
    while via != 0 && related.len() < 12 {
        related.push(("called here".to_owned(), engine.traces[via as usize].spot));
        via = engine.traces[via as usize].via;
    }
}

/// Adds an event and where its function was called.
fn explain(engine: &Engine<'_>, finding: &mut Finding, message: &str, trace: u32) {
    if trace == 0 {
        return;
    }
    let mut event = vec![(message.to_owned(), engine.spot_of(trace))];
    push_calls(engine, trace, &mut event);
    // Events come in the order of time: before what happened at the finding's own place.
    event.append(&mut finding.related);
    finding.related = event;
}
