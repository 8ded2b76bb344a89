//! Locks that a function gives back on some of its ways and keeps on others.
//!
//! A function that takes a lock for its caller keeps it on every way that succeeds. What is reported is a way that
//! fails, or returns what a way that gives the lock back returns, too.

use super::engine::Engine;
use super::state::{Held, State};
use super::value::Val;
use crate::rules::native as rules;
use std::rc::Rc;

/// Locks that a path remembers.
const LOCKS_MAX: usize = 8;

impl Engine<'_> {
    pub fn lock(&mut self, state: &mut State, lock: Val) {
        // Others may have changed what the program shares.
        self.unknown_call(state, &[]);
        let at = self.here();
        let locks = Rc::make_mut(&mut state.locks);
        locks.retain(|it| it.lock != lock);
        if locks.len() < LOCKS_MAX {
            locks.push(Held { lock, at, is_held: true });
        }
    }

    pub fn unlock(state: &mut State, lock: Val) {
        if let Some(at) = state.locks.iter().rposition(|it| it.lock == lock) {
            Rc::make_mut(&mut state.locks)[at].is_held = false;
        }
    }

    /// Compares the ends of all paths.
    pub fn judge_locks(&mut self) {
        let exits = std::mem::take(&mut self.lock_exits);
        for (locks, value, exit) in &exits {
            for held in locks.iter().filter(|it| it.is_held) {
                let has_failed = value.is_none_or(|it| it.as_int().is_some_and(|it| it < 0));
                let is_given_back = exits.iter().any(|(locks, other, _)| {
                    (has_failed || value == other) && locks.iter().any(|it| it.at == held.at && !it.is_held)
                });
                if is_given_back {
                    let finding = rules::resource_leak::lock(self, held.at, *exit);
                    self.emit(finding);
                }
            }
        }
    }
}
