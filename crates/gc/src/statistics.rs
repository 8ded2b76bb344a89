//! What a heap did: work by counts, pauses by counts and by the thread's CPU time.
//!
//! ```text
//! allocated == live + freed, of objects and of bytes; so only two are counted
//! sum of the pauses' work <= all work                  (releases by counts are work outside pauses)
//! ```

/// What collecting did, by counts that do not depend on the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Objects whose references were looked at.
    pub traced: u64,
    /// References that were looked at.
    pub references: u64,
    /// Bytes that were moved.
    pub copied_bytes: u64,
    /// Entries or cells that were looked at to find the dead.
    pub swept: u64,
    /// Objects that were freed.
    pub freed: u64,
    /// Bytes of the objects that were freed.
    pub freed_bytes: u64,
}

impl Work {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            traced: self.traced - earlier.traced,
            references: self.references - earlier.references,
            copied_bytes: self.copied_bytes - earlier.copied_bytes,
            swept: self.swept - earlier.swept,
            freed: self.freed - earlier.freed,
            freed_bytes: self.freed_bytes - earlier.freed_bytes,
        }
    }
}

/// What kind of work a pause was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PauseKind {
    /// The young generation, or generation `0..` of several.
    Minor(u8),
    /// A part of a collection.
    Slice,
    /// The whole heap.
    Full,
}

/// One time in which the program stood still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause {
    /// What was done.
    pub kind: PauseKind,
    /// Bytes that the program had allocated before: its clock.
    pub at_bytes: u64,
    /// The thread's CPU time at the start, from the heap's making.
    pub start_nanos: u64,
    /// The thread's CPU time that it took.
    pub nanos: u64,
    /// What was done, by counts.
    pub work: Work,
}

/// Pauses that are kept singly; of later ones only sums and maxima are known.
pub const KEPT_PAUSES: usize = 1 << 16;

/// What a heap did since it was made.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Objects that were allocated.
    pub allocated_objects: u64,
    /// Their bytes, headers and rounding among them.
    pub allocated_bytes: u64,
    /// Objects that are there: live, or not yet found dead.
    pub live_objects: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// The most bytes of objects at any time.
    pub peak_bytes: u64,
    /// The most bytes that the heap had reserved at any time.
    pub peak_reserved_bytes: u64,
    /// Reference stores that went through the barrier.
    pub stores: u64,
    /// Stores, and changes of roots where those count, for which the barrier had work to do.
    pub barriers: u64,
    /// All work.
    pub work: Work,
    /// Cycles of collection that ended, by generation where there are several.
    pub collections: [u64; 3],
    /// How often the program stood still.
    pub pauses: u64,
    /// The thread's CPU time in pauses.
    pub pause_nanos: u64,
    /// The longest one.
    pub longest_pause_nanos: u64,
    /// The most objects traced and swept in one.
    pub longest_pause_work: u64,
    /// The thread's CPU time from the heap's making to its last pause or question for statistics.
    pub total_nanos: u64,
    /// The first [`KEPT_PAUSES`] of them.
    pub log: Vec<Pause>,
}

impl Statistics {
    /// The part of CPU time that was the program's own, in `0.0..=1.0`.
    pub fn throughput(&self) -> f64 {
        if self.total_nanos == 0 {
            return 1.0;
        }
        1.0 - self.pause_nanos as f64 / self.total_nanos as f64
    }

    /// Minimum mutator utilization (Cheng and Blelloch 2001): the least part of any window of this length that was
    /// the program's own, in `0.0..=1.0`; over the pauses that are in the log.
    pub fn minimum_mutator_utilization(&self, window_nanos: u64) -> f64 {
        let Some(last) = self.log.last() else { return 1.0 };
        let end = last.start_nanos + last.nanos;
        let window = window_nanos.clamp(1, self.total_nanos.max(end).max(1));
        let mut worst = 0;
        // Over all windows the most pause is met by one that starts or ends with a pause; both are swept over.
        for ends in [false, true] {
            let (mut inside, mut first, mut next) = (0u64, 0, 0);
            for pause in &self.log {
                let from = match ends {
                    false => pause.start_nanos,
                    true => (pause.start_nanos + pause.nanos).saturating_sub(window),
                };
                let to = from + window;
                while next < self.log.len() && self.log[next].start_nanos < to {
                    inside += self.log[next].nanos;
                    next += 1;
                }
                while first < next && self.log[first].start_nanos + self.log[first].nanos <= from {
                    inside -= self.log[first].nanos;
                    first += 1;
                }
                let mut paused = inside;
                if first < next {
                    paused -= from.saturating_sub(self.log[first].start_nanos);
                    let end = self.log[next - 1].start_nanos + self.log[next - 1].nanos;
                    paused = paused.saturating_sub(end.saturating_sub(to));
                }
                worst = worst.max(paused.min(window));
            }
        }
        1.0 - worst as f64 / window as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(start_nanos: u64, nanos: u64) -> Pause {
        Pause { kind: PauseKind::Slice, at_bytes: 0, start_nanos, nanos, work: Work::default() }
    }

    /// By the definition: every window that starts at a whole nanosecond.
    fn naive(log: &[Pause], total: u64, window: u64) -> f64 {
        let paused = |at: u64| log.iter().any(|it| it.start_nanos <= at && at < it.start_nanos + it.nanos);
        let window = window.min(total);
        let worst =
            (0..=total - window).map(|from| (from..from + window).filter(|&at| paused(at)).count()).max();
        1.0 - worst.unwrap_or(0) as f64 / window as f64
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone, and slow there")]
    fn utilization_is_that_of_the_worst_window() {
        let log = vec![pause(10, 5), pause(18, 2), pause(40, 10), pause(51, 9), pause(90, 1)];
        let statistics = Statistics { log: log.clone(), total_nanos: 120, ..Statistics::default() };
        for window in [1, 3, 7, 12, 20, 31, 60, 119, 120, 500] {
            let ours = statistics.minimum_mutator_utilization(window);
            let naive = naive(&log, 120, window);
            assert!((ours - naive).abs() < 1e-9, "window {window}: {ours} against {naive}");
        }
    }
}
