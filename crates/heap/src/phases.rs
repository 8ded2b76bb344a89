//! What happened between the marks of a recording: how much each phase needed at most, and what it left behind.
//!
//! A phase begins with a mark that has a name and ends with the next mark. Its figures are differences to its begin, site
//! by site: what was alive before is not its own, and a site that replaces what it held before has kept nothing.
//!
//! Cost: that of a [`Ledger`], and at each mark a walk over all stacks.

use crate::ledger::{Ledger, Totals};
use heapwise_model::{Nanos, Phase, StackCost, Total};
use heapwise_trace::Event;

/// Phases of a recording that are told.
const PHASES_MAX: usize = 10_000;
/// Sites told of a phase, of those that had most at its peak, and of those that kept most.
const SITES_MAX: usize = 10;

/// Takes all events of a recording.
#[derive(Default)]
pub struct Phases {
    ledger: Ledger,
    current: Option<Begun>,
    done: Vec<Phase>,
}

/// A phase that has not ended.
struct Begun {
    name: String,
    at: Nanos,
    totals: Totals,
    costs: Vec<StackCost>,
}

impl Phases {
    /// To be fed from a recording's begin.
    pub fn new() -> Phases {
        Phases::default()
    }

    /// Takes the next event.
    #[inline]
    pub fn apply(&mut self, event: &Event<'_>) {
        match *event {
            Event::Mark { at, name } => self.mark(at, name),
            _ => self.ledger.apply(event),
        }
    }

    /// The phases in the order of their begin. One that has not ended ends with the recording.
    pub fn finish(mut self) -> Vec<Phase> {
        let now = self.ledger.totals().now;
        self.end(now);
        self.done
    }

    fn mark(&mut self, at: Nanos, name: &[u8]) {
        self.end(at);
        if !name.is_empty() && self.done.len() < PHASES_MAX {
            let costs = self.ledger.costs();
            self.ledger.forget_peak();
            let name = String::from_utf8_lossy(name).into_owned();
            self.current = Some(Begun { name, at, totals: self.ledger.totals(), costs });
        }
    }

    fn end(&mut self, at: Nanos) {
        let Some(Begun { name, at: begin, totals: before, costs }) = self.current.take() else { return };
        let totals = self.ledger.totals();
        let sites = differences(&costs, self.ledger.costs());
        let kept = sites.iter().fold(Total::default(), |sum, it| Total {
            bytes: sum.bytes.saturating_add(it.live_bytes),
            blocks: sum.blocks.saturating_add(it.live_blocks),
        });
        self.done.push(Phase {
            name,
            begin_ns: begin.0,
            end_ns: at.0.max(begin.0),
            allocations: totals.allocations - before.allocations,
            allocated_bytes: totals.allocated_bytes - before.allocated_bytes,
            peak_bytes: totals.peak.bytes.saturating_sub(before.live.bytes),
            kept,
            sites: greatest(sites),
        });
    }
}

/// What each stack has more than before, at the peak and at the end; both ascend by stack.
fn differences(before: &[StackCost], after: Vec<StackCost>) -> Vec<StackCost> {
    let mut before = before.iter().peekable();
    let more = |now: StackCost| {
        while before.peek().is_some_and(|it| it.stack < now.stack) {
            before.next();
        }
        let old = before.peek().filter(|it| it.stack == now.stack).map_or(StackCost::default(), |it| **it);
        StackCost {
            stack: now.stack,
            allocations: now.allocations.saturating_sub(old.allocations),
            allocated_bytes: now.allocated_bytes.saturating_sub(old.allocated_bytes),
            temporary: now.temporary.saturating_sub(old.temporary),
            peak_bytes: now.peak_bytes.saturating_sub(old.live_bytes),
            peak_blocks: now.peak_blocks.saturating_sub(old.live_blocks),
            live_bytes: now.live_bytes.saturating_sub(old.live_bytes),
            live_blocks: now.live_blocks.saturating_sub(old.live_blocks),
            ..StackCost::default()
        }
    };
    after.into_iter().map(more).filter(|it| it.peak_bytes > 0 || it.live_bytes > 0).collect()
}

/// Those that had most at the peak, and those that kept most, the former first.
fn greatest(mut sites: Vec<StackCost>) -> Vec<StackCost> {
    sites.sort_by_key(|it| (std::cmp::Reverse(it.live_bytes), it.stack));
    let mut kept: Vec<StackCost> =
        sites.iter().take(SITES_MAX).filter(|it| it.live_bytes > 0).copied().collect();
    sites.sort_by_key(|it| (std::cmp::Reverse(it.peak_bytes), it.stack));
    sites.truncate(SITES_MAX);
    kept.retain(|it| sites.iter().all(|other| other.stack != it.stack));
    sites.append(&mut kept);
    sites
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_model::{Addr, Family, FrameId, StackId};

    fn feed(events: &[Event<'_>]) -> Vec<Phase> {
        let mut phases = Phases::new();
        for id in 1..4 {
            phases.apply(&Event::Stack { id: StackId(id), parent: StackId(0), frame: FrameId(id) });
        }
        for event in events {
            phases.apply(event);
        }
        phases.finish()
    }

    fn alloc(at: u64, addr: u64, size: u64, stack: u32) -> Event<'static> {
        let (at, addr, stack) = (Nanos(at), Addr(addr), StackId(stack));
        Event::Alloc { at, thread: 1, addr, size, family: Family::Malloc, stack }
    }

    fn free(at: u64, addr: u64) -> Event<'static> {
        let (at, addr, stack) = (Nanos(at), Addr(addr), StackId(0));
        Event::Free { at, thread: 1, addr, size: 0, family: Family::Malloc, stack }
    }

    fn mark(at: u64, name: &'static str) -> Event<'static> {
        Event::Mark { at: Nanos(at), name: name.as_bytes() }
    }

    #[test]
    fn a_phase_has_its_own_peak_and_what_it_kept() {
        let phases = feed(&[
            alloc(1, 0x1000, 1000, 1),
            alloc(2, 0x2000, 9000, 2),
            free(3, 0x2000),
            mark(10, "first"),
            alloc(11, 0x3000, 300, 2),
            free(12, 0x3000),
            alloc(13, 0x4000, 50, 3),
            mark(20, ""),
            alloc(21, 0x5000, 70_000, 3),
            mark(30, "second"),
            free(31, 0x1000),
            alloc(32, 0x6000, 1100, 1),
        ]);
        let [first, second] = &phases[..] else { panic!("{phases:?}") };
        assert_eq!((first.name.as_str(), first.begin_ns, first.end_ns), ("first", 10, 20));
        assert_eq!(
            (first.peak_bytes, first.kept, first.allocations),
            (300, Total { bytes: 50, blocks: 1 }, 2)
        );
        let told = |phase: &Phase| {
            phase.sites.iter().map(|it| (it.stack.0, it.peak_bytes, it.live_bytes)).collect::<Vec<_>>()
        };
        assert_eq!(told(first), [(2, 300, 0), (3, 0, 50)]);
        // What is replaced by as much is not kept; the phase ends with the recording.
        assert_eq!(
            (second.peak_bytes, second.kept, second.end_ns),
            (100, Total { bytes: 100, blocks: 0 }, 32)
        );
        assert_eq!(told(second), [(1, 100, 100)]);
    }

    #[test]
    fn a_mark_ends_the_phase_before() {
        let phases = feed(&[mark(1, "a"), alloc(2, 0x1000, 10, 1), mark(3, "b"), mark(4, "b")]);
        let told: Vec<_> = phases.iter().map(|it| (it.name.as_str(), it.kept.bytes)).collect();
        assert_eq!(told, [("a", 10), ("b", 0), ("b", 0)]);
        assert!(feed(&[alloc(1, 0x1000, 1, 1), mark(2, "")]).is_empty());
    }
}
