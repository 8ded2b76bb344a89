//! The growth ledger: what is put into each long-lived container, what is taken out, and how often.
//!
//! ```text
//! operations --events--> ledger by slot --judge--> unbounded-growth
//! ```
//!
//! A container is reported iff something without bound is put in after construction, and nothing that runs at
//! least as often takes out, replaces or caps. Silence wherever unknown code gets hold of the container. A
//! local counts only in a loop without end.
//!
//! Severity: an error where the growth is per event, request or turn of an endless loop; else a warning that
//! names what it rests on.

mod events;
mod judge;

use crate::finding::Found;
use crate::managed::Managed;

/// Finds containers that only grow.
pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    let ledger = events::collect(managed);
    judge::judge(managed, &ledger, found);
}
