//! What runtimes of languages said of themselves in a recording: findings of heap snapshots, collections, resources.

use crate::source_map::SourceMaps;
use crate::verbs::heap_snapshot;
use heapwise_heap::objects::{self, Told, Walked};
use heapwise_model::{
    Confidence, Engine, Finding, FrameId, Kind, Language, ObjectHeap, Place, Report, ResolvedFrame, Rule,
    Sampled, Severity, StackId,
};
use heapwise_report::numbers::{counted, grouped, human_time};
use heapwise_report::place::{self, Located};
use heapwise_run::{Attachment, AttachmentKind, Observation};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;

/// What an agent may say at once.
const FACTS_MAX: u64 = 64 << 20;
/// Shorter runs than this that nobody stopped are taken for a job with an end: what it gathers is its work.
const SERVICE_MS: u64 = 60_000;
/// Of heaps with larger snapshots fewer are compared: all of them are in memory.
const LARGE: u64 = 100 << 20;
/// Codes of programs that end themselves because of SIGHUP, SIGINT or SIGTERM.
const STOPPED: [i64; 3] = [129, 130, 143];
/// Descriptors more than at first from which on they are told.
const OPENED_MIN: u64 = 10;

/// What the agent in a runtime says with each snapshot, and at the end.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Facts {
    /// Milliseconds since the program began, and those of them that snapshots took.
    uptime: u64,
    spent: u64,
    notes: Vec<String>,
    /// By kind of collection.
    gc: BTreeMap<String, Collections>,
    /// The code that it ended with.
    code: i64,
    /// What kept it running, by type.
    resources: BTreeMap<String, u64>,
    descriptors: Descriptors,
    /// Milliseconds that the snapshot before this took.
    took: u64,
    /// When it came, in the time of the recording.
    #[serde(skip)]
    at_ns: u64,
    /// Where living objects were made, callers before what they call.
    profile: Option<Vec<Node>>,
    /// Source maps of scripts that were made in memory.
    maps: BTreeMap<String, String>,
}

/// Place of the caller (-1: none), function, script, line and column (from 1; 0: not known), bytes.
type Node = (i64, String, String, u32, u32, u64);

/// What is open.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Descriptors {
    files: u64,
    sockets: u64,
    /// The file that is open most often.
    file: String,
}

/// Path, line and function.
type Site = (Option<String>, Option<u32>, Option<String>);

/// Collections of one kind; times in milliseconds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Collections {
    count: u64,
    time: f64,
    longest: f64,
}

/// A thread of a runtime, with a heap of its own.
#[derive(Default)]
struct Isolate<'a> {
    snapshots: Vec<&'a Attachment>,
    facts: Vec<Facts>,
    is_killed: bool,
}

/// Adds to the report what the runtimes in `observation` said.
pub fn add(report: &mut Report, observation: &Observation, filter: crate::analyze::Filter<'_>) {
    let mut isolates: BTreeMap<u64, Isolate<'_>> = BTreeMap::new();
    for attachment in &observation.attachments {
        let thread = attachment.name.split('.').next().and_then(|it| it.parse().ok());
        let isolate = isolates.entry(thread.unwrap_or(0)).or_default();
        match attachment.kind {
            AttachmentKind::HeapSnapshot => isolate.snapshots.push(attachment),
            AttachmentKind::Runtime => {
                isolate.facts.extend(facts(attachment).map(|it| Facts { at_ns: attachment.at.0, ..it }));
            }
            AttachmentKind::Unknown => {}
        }
    }
    for isolate in isolates.values_mut() {
        isolate.is_killed = observation.exit.is_some_and(|it| it.signal.is_some());
        isolate.add(report, filter);
    }
}

fn facts(attachment: &Attachment) -> Option<Facts> {
    let mut text = Vec::new();
    attachment.from(0).take(FACTS_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// A snapshot within a recording.
struct Snapshot<'a>(&'a Attachment);

impl heapwise_snapshot::Source for Snapshot<'_> {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.0.length())
    }

    fn from(&self, offset: u64) -> impl Read + Send {
        self.0.from(offset)
    }
}

impl Isolate<'_> {
    fn add(&self, report: &mut Report, filter: crate::analyze::Filter<'_>) {
        if let Some(last) = self.facts.last() {
            report.notes.extend(last.notes.iter().cloned());
            report.notes.extend(last.collections());
        }
        let told = self.facts.last().map(|it| it.maps.clone()).unwrap_or_default();
        let mut maps = SourceMaps::new(told);
        self.sites(report, &mut maps);
        let resources: Vec<Finding> = self.resources().into_iter().filter(|it| filter(report, it)).collect();
        report.findings.extend(resources);
        let mut heaps = self.heaps(report);
        for heap in &mut heaps {
            maps.apply(heap);
        }
        let Some(last) = heaps.pop() else { return };
        let walked = Walked::new(&last);
        let older: Vec<&ObjectHeap> = heaps.iter().collect();
        let (totals, mut findings) = objects::compare(&older, &walked);
        heap_snapshot::name_lines(&last, &mut findings, &BTreeMap::new());
        self.weigh(&mut findings);
        report.notes.extend(self.cost());
        report.notes.extend(self.peak(report));
        report.objects.get_or_insert(totals);
        let found = findings.into_iter().map(|it| Finding { engine: Engine::Run, ..it.finding });
        let kept = found.filter(|it| filter(report, it));
        let kept: Vec<_> = kept.collect();
        report.findings.extend(kept);
    }

    /// Where what lives was made: stacks of the report, and sites.
    fn sites(&self, report: &mut Report, maps: &mut SourceMaps) {
        let Some(nodes) = self.facts.last().and_then(|it| it.profile.as_ref()) else { return };
        let mut stacks: Vec<StackId> = Vec::with_capacity(nodes.len());
        // By site: its heaviest stack, that one's bytes, and all.
        let mut sites: BTreeMap<Site, (StackId, u64, u64)> = BTreeMap::new();
        for (caller, function, script, line, column, bytes) in nodes {
            let above = usize::try_from(*caller).ok().and_then(|it| stacks.get(it).copied());
            let Some(above) = above else {
                stacks.push(StackId::UNKNOWN); // the root
                continue;
            };
            let frame = FrameId(u32::try_from(report.frames.len()).unwrap_or(u32::MAX));
            report.frames.push(vec![frame_of(function, script, *line, *column, maps)]);
            let stack = report.stacks.push(above, frame).unwrap_or(above);
            stacks.push(stack);
            let site = place::site(report, stack).filter(|it| !it.is_library && *bytes > 0);
            if let Some(at) = site.map(Located::from) {
                let key = (at.path.map(str::to_owned), at.line, at.function.map(str::to_owned));
                let sum = sites.entry(key).or_default();
                if *bytes > sum.1 {
                    (sum.0, sum.1) = (stack, *bytes);
                }
                sum.2 = sum.2.saturating_add(*bytes);
            }
        }
        report.sampled.extend(sites.into_values().map(|(stack, _, bytes)| Sampled { stack, bytes }));
        report.sampled.sort_by_key(|it| (std::cmp::Reverse(it.bytes), it.stack));
    }

    /// The first and the last snapshot that can be read, and some between them.
    fn heaps(&self, report: &mut Report) -> Vec<ObjectHeap> {
        let bytes = self.snapshots.iter().map(|it| it.length()).max().unwrap_or(0);
        let chosen = spread(&self.snapshots, if bytes > LARGE { 3 } else { 5 });
        let mut heaps = Vec::new();
        for attachment in chosen {
            match heapwise_snapshot::read(&Snapshot(attachment), &mut |_| {}) {
                Ok(heap) => heaps.push(heap),
                Err(error) => report.notes.push(format!("heap snapshot {}: {error}", attachment.name)),
            }
        }
        heaps
    }

    /// Descriptors of a kind that are more at each look.
    fn resources(&self) -> Vec<Finding> {
        let [first, .., last] = self.facts.as_slice() else { return Vec::new() };
        let middle = &self.facts[self.facts.len() / 2];
        let looks = [first, middle, last];
        let grown = |of: fn(&Descriptors) -> u64| {
            let counts = looks.map(|it| of(&it.descriptors));
            let grows = counts[0] < counts[1] && counts[1] < counts[2];
            (grows && counts[2] - counts[0] >= OPENED_MIN).then_some(counts)
        };
        let told = |kind, what: &str, counts: [u64; 3], more: String| Finding {
            message: format!("open {what} grew in each snapshot: {}{more}", counts.map(grouped).join(", ")),
            help: Some("close each when who opened it is done, also where it fails".to_owned()),
            blocks: Some(counts[2] - counts[0]),
            ..finding(Rule::ResourceLeak, kind)
        };
        let file = &last.descriptors.file;
        let most = if file.is_empty() { String::new() } else { format!("; most often {file}") };
        let files = grown(|it| it.files).map(|it| told(Kind::File, "files", it, most));
        let sockets = grown(|it| it.sockets).map(|it| told(Kind::Socket, "sockets", it, String::new()));
        files.into_iter().chain(sockets).collect()
    }

    /// Whether the program would have gone on for as long as it is let: what grows in it has no bound then.
    fn is_service(&self) -> bool {
        let is_listening = |it: &Facts| {
            it.resources.keys().any(|name| name.ends_with("ServerWrap") || name.ends_with("SERVERWRAP"))
        };
        let is_stopped = |it: &Facts| STOPPED.contains(&it.code);
        self.is_killed
            || self.facts.iter().any(|it| is_stopped(it) || it.uptime >= SERVICE_MS || is_listening(it))
    }

    /// What a job gathers until its end may be what it is for.
    fn weigh(&self, findings: &mut [Told]) {
        if self.is_service() {
            return;
        }
        for told in findings.iter_mut().filter(|it| it.finding.severity == Severity::Error) {
            told.finding.severity = Severity::Warning;
        }
    }

    /// Whether the peak of native memory is that of V8 writing a snapshot.
    fn peak(&self, report: &Report) -> Option<String> {
        let peak = report.program.as_ref()?.peak_at_ns;
        let is_within = |it: &Facts| {
            let begin = it.at_ns.saturating_sub(it.took.saturating_mul(1_000_000).saturating_add(LATE));
            it.took > 0 && (begin..=it.at_ns).contains(&peak)
        };
        let note = "memory was at its peak while a heap snapshot was written: most of it is not the program's \
                    (--snapshot never)";
        self.facts.iter().any(is_within).then(|| note.to_owned())
    }

    /// What the snapshots cost the program.
    fn cost(&self) -> Option<String> {
        let last = self.facts.last().filter(|it| it.spent > 0 && it.uptime > 0)?;
        let count = counted(self.snapshots.len() as u64, "heap snapshot");
        let stopped = human_time(last.spent.saturating_mul(1_000_000));
        let all = human_time(last.uptime.saturating_mul(1_000_000));
        Some(format!("{count} stopped the program for {stopped} of {all} in all (--snapshot never: none)"))
    }
}

fn frame_of(function: &str, script: &str, line: u32, column: u32, maps: &mut SourceMaps) -> ResolvedFrame {
    let path = script.strip_prefix("file://").unwrap_or(script);
    let (path, line, column) =
        maps.origin(path, line, column).unwrap_or_else(|| (path.to_owned(), line, column));
    ResolvedFrame {
        function: Some(if function.is_empty() { "(anonymous)" } else { function }.to_owned()),
        is_library: !path.starts_with('/') || path.contains("/node_modules/") || is_agents(&path),
        path: (!path.is_empty()).then_some(path),
        line: (line > 0).then_some(line),
        column: (column > 0).then_some(column),
        language: Some(Language::JavaScript),
        ..ResolvedFrame::default()
    }
}

/// The agent's own functions are no part of the program.
fn is_agents(path: &str) -> bool {
    path.ends_with("/agent.cjs") && path.contains("/heapwise-")
}

/// Whether a finding is about nothing but what Node does for itself, or on behalf of scripts: native frames do not tell
/// of whose.
pub fn is_nodes_own(report: &Report, finding: &Finding) -> bool {
    let is_asked = match finding.rule {
        Rule::MemoryLeak => true,
        Rule::TemporaryAllocations | Rule::UnboundedGrowth => finding.severity < Severity::Error,
        _ => false,
    };
    let Some(stack) = place::stack_of(&finding.place).filter(|_| is_asked) else { return false };
    let is_node =
        |it: &ResolvedFrame| matches!(&*it.module, "node" | "nodejs") || it.module.starts_with("libnode.so");
    let is_compiled = |it: &ResolvedFrame| finding.rule == Rule::MemoryLeak && it.module.is_empty();
    report.resolved(stack).any(is_node) && report.resolved(stack).all(|it| it.is_library || is_compiled(it))
}

/// At most `count` of `all`: the first, the last, and those nearest to equal steps of time between them.
fn spread<'a>(all: &[&'a Attachment], count: u64) -> Vec<&'a Attachment> {
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Vec::new() };
    let step = last.at.0.saturating_sub(first.at.0) / (count - 1);
    let nearest = |at: u64| (0..all.len()).min_by_key(|it| all[*it].at.0.abs_diff(first.at.0 + at * step));
    let mut chosen: Vec<usize> = (0..count).filter_map(nearest).collect();
    chosen.push(all.len() - 1);
    chosen.dedup();
    chosen.into_iter().map(|it| all[it]).collect()
}

fn finding(rule: Rule, kind: Kind) -> Finding {
    Finding {
        rule,
        kind: Some(kind),
        severity: Severity::Warning,
        confidence: Confidence::Certain,
        engine: Engine::Run,
        language: Some(Language::JavaScript),
        message: String::new(),
        place: Place::Unknown,
        related: Vec::new(),
        help: None,
        bytes: None,
        blocks: None,
        stacks: Vec::new(),
        held: None,
        retainers: None,
        fix: None,
    }
}

/// A snapshot may have been over for so long when it was taken in, nanoseconds.
const LATE: u64 = 1_000_000_000;

impl Facts {
    /// Collections as the performance timeline of Node tells them.
    fn collections(&self) -> Option<String> {
        let ms = |time: f64| human_time((time.max(0.0) * 1e6) as u64);
        let told: Vec<String> = self
            .gc
            .iter()
            .map(|(kind, it)| {
                let what = match kind.as_str() {
                    "1" => "of young objects",
                    "2" => "of young objects, by mark and compact",
                    "4" => "of all objects",
                    "8" => "in steps",
                    "16" => "of weak callbacks",
                    _ => "of other kinds",
                };
                format!("{} {what} ({}, the longest {})", it.count, ms(it.time), ms(it.longest))
            })
            .collect();
        (!told.is_empty()).then(|| format!("garbage collections: {}", told.join(", ")))
    }
}
