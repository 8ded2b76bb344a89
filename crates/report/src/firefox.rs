//! Firefox Profiler's processed profile: every allocation with its address, so that the profiler
//! shows what any span of time retained, and counters for live bytes and RSS.
//!
//! The library that writes the format keeps all allocations of a process on one thread, and the
//! profiler matches them by address; the thread ids it writes are 0. That thread has no samples:
//! then the profiler shows allocations first, not an empty tree of CPU time. A profile is held in
//! memory (about 40 bytes per allocation); who brings the allocations sees to their number.

use crate::place::{Located, MAX_FRAMES, file_name, frame_name};
use crate::sanitize::clean;
use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, CategoryPairHandle, CounterHandle, Frame, FrameFlags, FrameInfo, Profile,
    ReferenceTimestamp, SamplingInterval, StackHandle, ThreadHandle, Timestamp,
};
use heapwise_model::{Report, ResolvedFrame, StackId, Tick};
use rustc_hash::FxHashMap;
use std::io::{self, Write};

/// One block handed out or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Nanoseconds since the recording began.
    pub at_ns: u64,
    /// The thread that called.
    pub thread: u32,
    /// Start of the block.
    pub addr: u64,
    /// Size; negative where the block was taken back.
    pub bytes: i64,
    /// The call stack.
    pub stack: StackId,
}

/// How the profile is written.
#[derive(Clone, Debug, Default)]
pub struct FirefoxOptions {
    /// When the recording began, in nanoseconds since 1970.
    pub start_unix_ns: u64,
}

/// Writes the profile.
pub fn write(
    out: &mut dyn Write,
    report: &Report,
    allocations: impl Iterator<Item = Allocation>,
    options: &FirefoxOptions,
) -> io::Result<()> {
    let mut builder = Builder::new(report, options);
    allocations.for_each(|allocation| builder.add(&allocation));
    builder.add_counters(&report.timeline.ticks);
    serde_json::to_writer(&mut *out, &builder.profile)?;
    writeln!(out)
}

struct Builder<'a> {
    report: &'a Report,
    profile: Profile,
    thread: ThreadHandle,
    own: CategoryPairHandle,
    library: CategoryPairHandle,
    live: CounterHandle,
    rss: CounterHandle,
    stacks: FxHashMap<StackId, Option<StackHandle>>,
}

impl<'a> Builder<'a> {
    fn new(report: &'a Report, options: &FirefoxOptions) -> Self {
        let program = report.program.as_ref();
        let command = program.map(|program| program.command.join(" ")).unwrap_or_default();
        let name = if command.is_empty() { "heapwise".into() } else { clean(&command) };
        let start = std::time::Duration::from_nanos(options.start_unix_ns);
        let start = ReferenceTimestamp::from_duration_since_unix_epoch(start);
        let mut profile = Profile::new(&name, start, SamplingInterval::from_millis(1));
        profile.set_product(&format!("{name} (heapwise)"));
        // Names are resolved already; the profiler must not ask for symbols.
        profile.set_symbolicated(true);
        let pid = program.map_or(0, |program| program.pid);
        let zero = Timestamp::from_nanos_since_reference(0);
        let end = Timestamp::from_nanos_since_reference(program.map_or(0, |program| program.duration_ns));
        let process = profile.add_process(&name, pid, zero);
        profile.set_process_end_time(process, end);
        let thread = profile.add_thread(process, pid, zero, true);
        profile.set_thread_name(thread, "Allocations");
        profile.set_thread_end_time(thread, end);
        profile.add_initial_visible_thread(thread);
        profile.add_initial_selected_thread(thread);
        let own: CategoryHandle = profile.add_category("Program", CategoryColor::Yellow);
        let library: CategoryHandle = profile.add_category("Library", CategoryColor::Gray);
        let live = profile.add_counter(process, "malloc", "Memory", "Live bytes of the heap");
        let rss = profile.add_counter(process, "RSS", "Memory", "Resident bytes of the process");
        Builder {
            report,
            profile,
            thread,
            own: own.into(),
            library: library.into(),
            live,
            rss,
            stacks: FxHashMap::default(),
        }
    }

    fn add(&mut self, allocation: &Allocation) {
        let stack = self.stack(allocation.stack);
        let at = Timestamp::from_nanos_since_reference(allocation.at_ns);
        self.profile.add_allocation_sample(self.thread, at, stack, allocation.addr, allocation.bytes);
    }

    /// Depth is bounded by `MAX_FRAMES`, and each stack is built once.
    fn stack(&mut self, stack: StackId) -> Option<StackHandle> {
        if let Some(known) = self.stacks.get(&stack) {
            return *known;
        }
        let mut frames: Vec<&ResolvedFrame> = self.report.resolved(stack).take(MAX_FRAMES).collect();
        frames.reverse();
        let mut handle = None;
        for frame in frames {
            let label = self.profile.intern_string(&label(frame));
            let category_pair = if frame.is_library { self.library } else { self.own };
            let info = FrameInfo { frame: Frame::Label(label), category_pair, flags: FrameFlags::empty() };
            let frame = self.profile.intern_frame(self.thread, info);
            handle = Some(self.profile.intern_stack(self.thread, handle, frame));
        }
        self.stacks.insert(stack, handle);
        handle
    }

    /// The format counts differences; RSS that was not sampled keeps its last value.
    fn add_counters(&mut self, ticks: &[Tick]) {
        let mut last = Tick::default();
        for tick in ticks {
            let at = Timestamp::from_nanos_since_reference(tick.at_ns);
            let calls = u32::try_from(tick.allocations.saturating_sub(last.allocations)).unwrap_or(u32::MAX);
            self.profile.add_counter_sample(
                self.live,
                at,
                difference(tick.live_bytes, last.live_bytes),
                calls,
            );
            let rss_bytes = if tick.rss_bytes == 0 { last.rss_bytes } else { tick.rss_bytes };
            self.profile.add_counter_sample(self.rss, at, difference(rss_bytes, last.rss_bytes), 0);
            last = Tick { rss_bytes, ..*tick };
        }
    }
}

fn difference(to: u64, from: u64) -> f64 {
    to as f64 - from as f64
}

/// `make (app.c:12)`: labels are all that a frame without a symbol table has.
fn label(frame: &ResolvedFrame) -> String {
    let at = Located::from(frame);
    let name = frame_name(frame);
    let name = clean(&name);
    match (at.path, at.line) {
        (Some(path), Some(line)) => format!("{name} ({}:{line})", clean(file_name(path))),
        _ if at.module.is_some() && at.function.is_some() => {
            format!("{name} ({})", clean(at.module.unwrap_or_default()))
        }
        _ => name.into_owned(),
    }
}
