//! A report: everything a renderer needs, however it was made.

use crate::{Finding, ResolvedFrame, StackId, StackTable};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Termination {
    pub code: Option<u8>,
    pub signal: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Total {
    pub bytes: u64,
    pub blocks: u64,
}

/// memcheck's four classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Leaks {
    pub definite: Total,
    pub indirect: Total,
    pub possible: Total,
    pub reachable: Total,
}

/// `None`: the classes could not be determined (said in a note); what was live is still known.
pub type LeakTotals = Option<Leaks>;

/// The observed program, in figures.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Program {
    pub command: Vec<String>,
    pub pid: u32,
    /// `None`: the recording ends before the program did.
    pub exit: Option<Termination>,
    pub duration_ns: u64,
    pub allocations: u64,
    pub frees: u64,
    pub allocated_bytes: u64,
    /// Greatest sum of live requested bytes (without mappings).
    pub peak_bytes: u64,
    pub peak_at_ns: u64,
    pub peak_rss_bytes: u64,
    /// Allocations freed before the same thread allocated again.
    pub temporary: u64,
    pub live: Total,
    pub leaks: LeakTotals,
}

/// What one stack cost. Only stacks that allocated have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StackCost {
    pub stack: StackId,
    pub allocations: u64,
    pub allocated_bytes: u64,
    pub temporary: u64,
    pub peak_bytes: u64,
    pub peak_blocks: u64,
    /// Live at the end of the recording.
    pub live_bytes: u64,
    pub live_blocks: u64,
    /// Definitely lost (0 where classes are unknown).
    pub lost_bytes: u64,
    pub lost_blocks: u64,
}

impl StackCost {
    /// Adds another stack's figures; sums saturate. `stack` stays.
    pub fn add(&mut self, other: &StackCost) {
        for (sum, more) in [
            (&mut self.allocations, other.allocations),
            (&mut self.allocated_bytes, other.allocated_bytes),
            (&mut self.temporary, other.temporary),
            (&mut self.peak_bytes, other.peak_bytes),
            (&mut self.peak_blocks, other.peak_blocks),
            (&mut self.live_bytes, other.live_bytes),
            (&mut self.live_blocks, other.live_blocks),
            (&mut self.lost_bytes, other.lost_bytes),
            (&mut self.lost_blocks, other.lost_blocks),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// One point of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tick {
    pub at_ns: u64,
    pub live_bytes: u64,
    pub live_blocks: u64,
    /// 0 where not sampled.
    pub rss_bytes: u64,
    /// Totals since the process began.
    pub allocations: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub swap_bytes: u64,
}

/// Live bytes over time; bounded length, so that a week costs as much as a second.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Timeline {
    pub ticks: Vec<Tick>,
}

/// The sources that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SourceTotals {
    pub files: u64,
    pub lines: u64,
}

/// Objects of one class in a heap of a language's runtime.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ClassTotal {
    pub name: String,
    /// Objects and their shallow bytes.
    pub total: Total,
    /// What would go with all of them.
    pub retained_bytes: u64,
    /// Change since an older dump, where there is one.
    pub change: Option<(i64, i64)>,
}

/// A heap of a language's runtime, in figures.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ObjectTotals {
    pub total: Total,
    pub references: u64,
    /// Those that hold most first.
    pub classes: Vec<ClassTotal>,
    /// Bytes and objects of the older dump, where there is one.
    pub before: Option<Total>,
}

/// A part of a process's time that the program has named. All figures but times are differences to its begin.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Phase {
    pub name: String,
    pub begin_ns: u64,
    pub end_ns: u64,
    pub allocations: u64,
    pub allocated_bytes: u64,
    /// Greatest sum of live requested bytes.
    pub peak_bytes: u64,
    /// What the sites that hold more at the end than at the begin hold more.
    pub kept: Total,
    /// The greatest: `peak_*` and `live_*` are what they hold more at the peak and at the end.
    pub sites: Vec<StackCost>,
}

/// A site on a runtime's heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sampled {
    /// The one of the site's stacks with most bytes.
    pub stack: StackId,
    /// Estimated from samples, of all the site's stacks.
    pub bytes: u64,
}

/// What a renderer sees.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Heapwise's own version.
    pub version: String,
    pub program: Option<Program>,
    /// Of a heap snapshot.
    pub objects: Option<ObjectTotals>,
    /// Where objects of a runtime were made that live at the end, by samples; those with most bytes first.
    pub sampled: Vec<Sampled>,
    /// Of `check`.
    pub read: Option<SourceTotals>,
    /// Where the recording is, if it was kept.
    pub recording: Option<String>,
    /// Plain sentences about what is missing or doubtful.
    pub notes: Vec<String>,
    /// Sorted: severity, then bytes, then place.
    pub findings: Vec<Finding>,
    pub stacks: StackTable,
    /// By `FrameId`: innermost inlined frame first. Empty where a frame was not resolved.
    pub frames: Vec<Vec<ResolvedFrame>>,
    pub costs: Vec<StackCost>,
    pub timeline: Timeline,
    /// In the order of their begin; of recordings with marks.
    pub phases: Vec<Phase>,
    /// Source lines for excerpts: path as in `ResolvedFrame::path`, first line's number, lines.
    pub sources: Vec<Excerpt>,
    /// Other processes of the same run: command, pid, recording's path, findings at error.
    pub children: Vec<Child>,
}

/// Lines of a source file around a place worth showing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub path: String,
    /// 1-based number of `lines[0]`.
    pub first_line: u32,
    pub lines: Vec<String>,
}

/// A process that the observed one started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub command: String,
    pub pid: u32,
    pub recording: Option<String>,
    pub exit: Option<Termination>,
    pub allocations: u64,
    pub leaks: LeakTotals,
    /// Findings of severity error.
    pub errors: u64,
}

impl Report {
    /// Frames of a stack with inlined calls, innermost first; unresolved frames are left out.
    pub fn resolved(&self, stack: StackId) -> impl Iterator<Item = &ResolvedFrame> + '_ {
        self.stacks
            .frames(stack)
            .flat_map(|frame| self.frames.get(frame.index()).map(Vec::as_slice).unwrap_or_default())
    }
}
