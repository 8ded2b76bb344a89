//! The rules on managed languages, one per file; the growth ledger has a module of its own.

pub mod deep_nesting;
pub mod eager_sequence;
pub mod racy;
pub mod reference_cycle;
pub mod resource_leak;
pub mod retained_object;
pub mod thread_never_stopped;

use crate::finding::Found;
use crate::managed::Managed;

/// Runs all of them.
pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    resource_leak::check(managed, found);
    racy::check(managed, found);
    thread_never_stopped::check(managed, found);
    eager_sequence::check(managed, found);
    retained_object::check(managed, found);
    reference_cycle::check(managed, found);
    deep_nesting::check(managed, found);
}
