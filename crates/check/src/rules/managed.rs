//! The rules on managed languages, one per file; the growth ledger has a module of its own.

pub mod await_race;
pub mod deep_nesting;
pub mod detached_node;
pub mod eager_sequence;
pub mod large_closure;
pub mod racy;
pub mod read_all;
pub mod reference_cycle;
pub mod registrations;
pub mod resource_leak;
pub mod retained_object;
pub mod thread_never_stopped;

use crate::finding::Found;
use crate::managed::{Family, Managed};

/// Runs those that a family of languages has.
pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    resource_leak::check(managed, found);
    match managed.library.family {
        Family::Python => {
            racy::check(managed, found);
            thread_never_stopped::check(managed, found);
            eager_sequence::check(managed, found);
            retained_object::check(managed, found);
            reference_cycle::check(managed, found);
            deep_nesting::check(managed, found);
        }
        Family::JavaScript => {
            registrations::check(managed, found);
            await_race::check(managed, found);
            read_all::check(managed, found);
            detached_node::check(managed, found);
            large_closure::check(managed, found);
        }
    }
}
