//! A resource that is lost while it is open.

use super::memory_leak::lost_place;
use crate::analysis::engine::Engine;
use crate::analysis::issue::Finding;
use crate::analysis::state::Object;
use heapwise_model::{Confidence, Kind, Rule, Severity};

pub fn finding(engine: &Engine<'_>, object: &Object, class: u16, exit: u32) -> Finding {
    let place = lost_place(engine, object);
    let class = engine.cx.models.family_name(class);
    let kind = match class {
        "FILE" | "pipe" | "directory" => Kind::File,
        "socket" => Kind::Socket,
        "mapping" => Kind::Mapping,
        "lock" => Kind::Lock,
        "thread" => Kind::Thread,
        "process" => Kind::Process,
        _ => Kind::Descriptor,
    };
    let what = match class {
        "FILE" => "this stream",
        "pipe" => "this pipe",
        "directory" => "this directory stream",
        "mapping" => "this mapping",
        "descriptor" => "this descriptor",
        "library" => "this library handle",
        "addrinfo" => "this address list",
        _ => "this resource",
    };
    let mut related = Vec::new();
    if place != engine.spot_of(object.made) {
        related.push(("opened here".to_owned(), engine.spot_of(object.made)));
    }
    related.push(("it is lost here".to_owned(), engine.spot_of(exit)));
    Finding {
        rule: Rule::ResourceLeak,
        kind: Some(kind),
        severity: Severity::Error,
        confidence: Confidence::Proven,
        message: format!("{what} is never closed on some path"),
        place,
        related,
    }
}

/// A lock that is given back on other ways out of the function.
pub fn lock(engine: &Engine<'_>, taken: u32, exit: u32) -> Finding {
    Finding {
        rule: Rule::ResourceLeak,
        kind: Some(Kind::Lock),
        severity: Severity::Warning,
        confidence: Confidence::Likely,
        message: "this lock is not given back on some path; on others it is".to_owned(),
        place: engine.spot_of(taken),
        related: vec![("it is still held here".to_owned(), engine.spot_of(exit))],
    }
}
