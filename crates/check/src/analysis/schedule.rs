//! Components of the call graph on all cores, each as soon as those that it calls are done.
//!
//! ```text
//! component --waits for n callees--> ready --run--> its callers wait for one less
//! ```
//!
//! A result is stored where its component's number says, so that nothing depends on the order in which threads
//! come by. Cost: linear in calls.

use super::kept::Sum;
use super::summary::Summary;
use rayon::Scope;
use rustc_hash::FxHashMap;
use std::cell::OnceCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// Summaries of functions that were not analyzed, since their results are known.
pub trait Later: Sync {
    /// `None`: it is not one of them.
    fn summary(&self, function: u32) -> Option<Summary>;
    /// The summary in an entry.
    fn read(&self, entry: &[u8]) -> Summary;
}

/// The summaries that there are. Each is written once, after those of its callees.
pub struct Summaries<'a> {
    slots: Vec<OnceLock<Arc<Summary>>>,
    later: Option<&'a dyn Later>,
}

impl<'a> Summaries<'a> {
    /// None yet, of so many functions. `later` is asked for those that nobody writes.
    pub fn new(functions: usize, later: Option<&'a dyn Later>) -> Summaries<'a> {
        Summaries { slots: (0..functions).map(|_| OnceLock::new()).collect(), later }
    }

    pub fn get(&self, function: u32) -> Option<&Arc<Summary>> {
        let slot = &self.slots[function as usize];
        if slot.get().is_none()
            && let Some(it) = self.later.and_then(|it| it.summary(function))
        {
            return Some(slot.get_or_init(|| Arc::new(it)));
        }
        slot.get()
    }

    pub fn set(&self, function: u32, summary: Arc<Summary>) {
        let is_first = self.slots[function as usize].set(summary).is_ok();
        debug_assert!(is_first, "a function has one summary");
    }
}

/// What one function's analysis sees: finished summaries, and those of its own component's earlier round.
pub struct View<'a> {
    pub all: &'a Summaries<'a>,
    pub own: FxHashMap<u32, Own<'a>>,
}

/// The summary of a member of a component, as the first round left it.
pub struct Own<'a> {
    summary: OnceCell<Arc<Summary>>,
    /// Where it is read when it is first asked for.
    entry: Option<(&'a dyn Later, &'a [u8])>,
    /// What tells it from others, where results are kept.
    pub sum: Option<Arc<Sum>>,
}

impl<'a> Own<'a> {
    pub fn made(summary: &Summary, sum: Option<Arc<Sum>>) -> Own<'a> {
        Own { summary: OnceCell::from(Arc::new(summary.of_first_round())), entry: None, sum }
    }

    pub fn kept(later: &'a dyn Later, entry: &'a [u8], sum: Option<Arc<Sum>>) -> Own<'a> {
        Own { summary: OnceCell::new(), entry: Some((later, entry)), sum }
    }

    fn summary(&self) -> &Arc<Summary> {
        self.summary.get_or_init(|| {
            let summary = self.entry.map(|(later, entry)| later.read(entry)).unwrap_or_default();
            Arc::new(summary.of_first_round())
        })
    }
}

impl View<'_> {
    pub fn get(&self, function: u32) -> Option<&Arc<Summary>> {
        self.own.get(&function).map(Own::summary).or_else(|| self.all.get(function))
    }
}

/// Runs `work` once for each component, after all that it depends on. `components`: callees first, each with
/// the functions in it; `calls`: per function. Results are in the order of `components`.
pub fn callees_first<T: Send + Sync>(
    components: &[Vec<u32>],
    calls: &[Vec<u32>],
    work: impl Fn(&[u32]) -> T + Sync,
) -> Vec<T> {
    let mut component_of = vec![0u32; calls.len()];
    for (number, members) in components.iter().enumerate() {
        for it in members {
            component_of[*it as usize] = number as u32;
        }
    }
    let mut callers: Vec<Vec<u32>> = vec![Vec::new(); components.len()];
    let mut waits = Vec::with_capacity(components.len());
    let mut callees = Vec::new();
    for (number, members) in components.iter().enumerate() {
        callees.clear();
        callees
            .extend(members.iter().flat_map(|it| &calls[*it as usize]).map(|it| component_of[*it as usize]));
        callees.retain(|it| *it != number as u32);
        callees.sort_unstable();
        callees.dedup();
        for it in &callees {
            callers[*it as usize].push(number as u32);
        }
        waits.push(AtomicU32::new(callees.len() as u32));
    }
    let ready: Vec<u32> =
        (0..components.len() as u32).filter(|it| *waits[*it as usize].get_mut() == 0).collect();
    let results: Vec<OnceLock<T>> = components.iter().map(|_| OnceLock::new()).collect();
    let plan = Plan { components, callers, waits, results, work };
    let shared = &plan;
    rayon::scope(|scope| {
        for it in ready {
            scope.spawn(move |scope| shared.run(scope, it));
        }
    });
    plan.results.into_iter().map(|it| it.into_inner().expect("every component is run")).collect()
}

struct Plan<'a, T, F> {
    components: &'a [Vec<u32>],
    callers: Vec<Vec<u32>>,
    /// Per component: callees that are not done.
    waits: Vec<AtomicU32>,
    results: Vec<OnceLock<T>>,
    work: F,
}

impl<T: Send + Sync, F: Fn(&[u32]) -> T + Sync> Plan<'_, T, F> {
    /// Runs a component, and then what it was the last one to wait for.
    fn run<'s>(&'s self, scope: &Scope<'s>, component: u32) {
        let mut next = Some(component);
        while let Some(at) = next.take() {
            let result = (self.work)(&self.components[at as usize]);
            let is_first = self.results[at as usize].set(result).is_ok();
            debug_assert!(is_first, "a component is run once");
            for &caller in &self.callers[at as usize] {
                // The last callee's decrement sees what all others stored.
                if self.waits[caller as usize].fetch_sub(1, Ordering::AcqRel) > 1 {
                    continue;
                }
                if next.is_none() {
                    next = Some(caller);
                } else {
                    scope.spawn(move |scope| self.run(scope, caller));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callees_are_done_before_their_callers() {
        // Function n calls some with smaller numbers; 3 and 4 call each other.
        let calls: Vec<Vec<u32>> = (0u32..200)
            .map(|it| match it {
                3 => vec![4],
                4 => vec![2, 3],
                _ => (1..4).filter_map(|by| it.checked_sub(by * by)).filter(|to| *to != 3).collect(),
            })
            .collect();
        let mut components: Vec<Vec<u32>> = (0..3).map(|it| vec![it]).collect();
        components.push(vec![3, 4]);
        components.extend((5..200).map(|it| vec![it]));
        let done = Summaries::new(calls.len(), None);
        let results = callees_first(&components, &calls, |members| {
            for it in members {
                for to in calls[*it as usize].iter().filter(|to| !members.contains(to)) {
                    assert!(done.get(*to).is_some(), "{to} before {it}");
                }
            }
            for it in members {
                done.set(*it, Arc::default());
            }
            members[0]
        });
        let expected: Vec<u32> = components.iter().map(|it| it[0]).collect();
        assert_eq!(results, expected);
    }
}
