//! What a script took from the system and did not give back: told by the lines that opened it.
//!
//! A runtime closes what an object holds when it takes the object down, at a time of its own choosing: whoever relied on
//! that did not close it. So what counts is what was still open at the end, and what was closed with no code of the
//! program's between its destructor and the system.
//!
//! One that lives as long as the program (a log, a connection, a worker) is no finding.

use crate::analyze::{SURE_AFTER, is_script_library};
use heapwise_heap::{Opener, grouped};
use heapwise_model::{
    Confidence, Engine, Finding, Frame, Kind, Language, Place, Related, Rule, Severity, StackId,
};
use heapwise_run::{Observation, ResourceKind};
use std::collections::BTreeMap;

/// Given up without being closed: from here on more than a note.
const MANY: u64 = 10;
/// Open at once, and never one closed: from here on an error, if the time was long.
const SURE: u64 = 20;
/// Part of the program's time over which threads were started that are taken for a growing number.
const SPREAD: u64 = 5;

/// A line of a script, and what it opens.
type Site<'a> = (&'a str, u32, &'a str, Sort);

/// What resources are told as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    File,
    Socket,
    Descriptor,
    Process,
    Thread,
    Mapping,
}

impl From<ResourceKind> for Sort {
    fn from(kind: ResourceKind) -> Sort {
        match kind {
            ResourceKind::File => Sort::File,
            ResourceKind::Socket => Sort::Socket,
            ResourceKind::Pipe | ResourceKind::Descriptor => Sort::Descriptor,
            ResourceKind::Process => Sort::Process,
            ResourceKind::Thread => Sort::Thread,
            ResourceKind::Mapping => Sort::Mapping,
        }
    }
}

/// All that one line opened.
#[derive(Default)]
struct Sum {
    /// The stack that opened most, and how many.
    stack: (u64, StackId),
    opened: u64,
    live: u64,
    /// Closed by destructors, and where most of it was.
    collected: u64,
    collector: (u64, StackId),
    live_max: u64,
    live_max_at: u64,
    first: u64,
    last: u64,
}

impl Sum {
    fn add(&mut self, observation: &Observation, stack: StackId, opener: &Opener) {
        self.first = if self.opened == 0 { opener.first.0 } else { self.first.min(opener.first.0) };
        self.last = self.last.max(opener.last.0);
        self.stack = self.stack.max((opener.opened, stack));
        self.opened += opener.opened;
        self.live += if is_at_end(observation) { opener.live } else { 0 };
        // Of several stacks the times differ: an upper bound.
        self.live_max += opener.live_max;
        self.live_max_at = self.live_max_at.max(opener.live_max_at.0);
        for (&closer, &count) in opener.closes.iter().filter(|it| is_collected(observation, *it.0)) {
            self.collected += count;
            self.collector = self.collector.max((count, closer));
        }
    }

    /// Those that nobody closed.
    fn left(&self) -> u64 {
        self.live + self.collected
    }
}

/// Findings, a line of the program's each.
pub fn findings(observation: &Observation) -> Vec<Finding> {
    let mut sums: BTreeMap<Site<'_>, Sum> = BTreeMap::new();
    for (stack, opener) in observation.resources.openers() {
        if let Some((path, line, function)) = site(observation, stack) {
            let sum = sums.entry((path, line, function, opener.kind.into())).or_default();
            sum.add(observation, stack, opener);
        }
    }
    // Pipes to a process, and the descriptor behind a mapping, go with these.
    let owners: Vec<(&str, u32)> = sums
        .iter()
        .filter(|(site, sum)| matches!(site.3, Sort::Process | Sort::Mapping) && sum.left() > 0)
        .map(|(site, _)| (site.0, site.1))
        .collect();
    let is_part = |site: &Site<'_>| site.3 == Sort::Descriptor && owners.contains(&(site.0, site.1));
    let told = sums.iter().filter(|(site, _)| !is_part(site));
    told.filter_map(|(site, sum)| finding(observation, site.3, sum)).collect()
}

/// The script's line that opened it.
fn site(observation: &Observation, stack: StackId) -> Option<(&str, u32, &str)> {
    let script = |frame: Frame| match frame {
        Frame::Script { code, line } => observation.codes.get(code.index()).map(|it| (it, line)),
        Frame::Native { .. } => None,
    };
    let frames = observation.stacks.frames(stack).filter_map(|it| observation.frames.get(it.index()));
    let mut own = frames.filter_map(|it| script(*it)).filter(|it| !is_script_library(&it.0.path));
    own.next().map(|(code, line)| (code.path.as_str(), line, code.name.as_str()))
}

/// Whether the process could be asked what it holds when it ended.
fn is_at_end(observation: &Observation) -> bool {
    observation.graph.is_some()
}

/// Whether a destructor closed it that no code of the program's called: one of the runtime's, or of its library.
fn is_collected(observation: &Observation, stack: StackId) -> bool {
    for id in observation.stacks.frames(stack) {
        match observation.frames.get(id.index()) {
            Some(Frame::Native { .. }) if observation.destructors.contains(&id) => return true,
            Some(Frame::Script { code, .. }) => {
                let Some(code) = observation.codes.get(code.index()) else { return false };
                if !is_script_library(&code.path) {
                    return false;
                }
                if code.name.rsplit('.').next() == Some("__del__") {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

fn finding(observation: &Observation, sort: Sort, sum: &Sum) -> Option<Finding> {
    let is_one_for_good = sum.opened == 1 && sum.collected == 0;
    if sum.left() == 0 || is_one_for_good {
        return None;
    }
    let (kind, one, many, opened) = match sort {
        Sort::File => (Kind::File, "file", "files", "opened"),
        Sort::Socket => (Kind::Socket, "socket", "sockets", "opened"),
        Sort::Descriptor => (Kind::Descriptor, "descriptor", "descriptors", "opened"),
        Sort::Process => (Kind::Process, "process", "processes", "started"),
        Sort::Thread => (Kind::Thread, "thread", "threads", "started"),
        Sort::Mapping => (Kind::Mapping, "mapping of a file", "mappings of files", "made"),
    };
    let was = |count: u64| if count == 1 { "was" } else { "were" };
    let mut parts = Vec::new();
    if sum.live > 0 {
        let how = match sort {
            Sort::Thread => "still running",
            Sort::Process => "not waited for",
            _ => "still open",
        };
        parts.push(format!("{} {} {how} at the end", grouped(sum.live), was(sum.live)));
    }
    if sum.collected > 0 {
        let how = if sort == Sort::Process { "waited for" } else { "closed" };
        let when = if sum.collected == 1 { "its object" } else { "their objects" };
        parts.push(format!("{} {} {how} only when {when} died", grouped(sum.collected), was(sum.collected)));
    }
    let most = match sum.live_max {
        0 | 1 => String::new(),
        most => format!("; at most {} at once", grouped(most)),
    };
    let what = if sum.opened == 1 { one } else { many };
    let collector = (sum.collected > 0).then(|| Related {
        message: "closed here, where its object died".to_owned(),
        place: Place::Stack(sum.collector.1),
    });
    Some(Finding {
        rule: if sort == Sort::Thread { Rule::ThreadNeverStopped } else { Rule::ResourceLeak },
        kind: Some(kind),
        severity: severity(observation, sort, sum),
        confidence: Confidence::Certain,
        engine: Engine::Run,
        language: Some(Language::Python),
        message: format!(
            "{} {what} {} {opened} here: {}{most}",
            grouped(sum.opened),
            was(sum.opened),
            parts.join(", ")
        ),
        place: Place::Stack(sum.stack.1),
        related: collector.into_iter().collect(),
        help: Some(help(sort).to_owned()),
        bytes: None,
        blocks: Some(sum.left()),
        stacks: Vec::new(),
        held: None,
        retainers: None,
        fix: None,
    })
}

fn help(sort: Sort) -> &'static str {
    match sort {
        Sort::Process => "wait for each child, by `with` or by wait(), also where the work fails",
        Sort::Thread => {
            "give the thread an event to stop by, set it when the work is done, and join the thread"
        }
        _ => "open it by `with`, or close it when the work is done, also where that fails",
    }
}

/// Nobody closed any of them while they got more: an error. A few, or a number that is reached once, may be meant.
fn severity(observation: &Observation, sort: Sort, sum: &Sum) -> Severity {
    let is_growing = sum.live_max_at.saturating_sub(sum.first) >= observation.last.0 / SPREAD;
    if sum.left() < MANY || sort == Sort::Thread && !is_growing {
        return Severity::Note;
    }
    let is_never_closed = sum.left() == sum.opened && sum.live_max == sum.opened;
    let is_long = sum.last.saturating_sub(sum.first) >= SURE_AFTER;
    let is_sure = is_never_closed && is_long && is_growing && sum.opened >= SURE;
    if is_sure { Severity::Error } else { Severity::Warning }
}
