//! What runtimes of languages said of themselves in a recording: findings of heap snapshots, collections, resources.

use crate::verbs::heap_snapshot;
use heapwise_heap::objects::{self, Told, Walked};
use heapwise_model::{ObjectHeap, Report, Severity};
use heapwise_report::numbers::{counted, human_time};
use heapwise_run::{Attachment, AttachmentKind, Observation};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;

/// What an agent may say at once.
const FACTS_MAX: u64 = 64 << 20;
/// Shorter runs than this that nobody stopped are taken for a job with an end: what it gathers is its work.
const SERVICE_MS: u64 = 60_000;

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
    /// The signal that ended it.
    signal: Option<String>,
    /// What kept it running, by type.
    resources: BTreeMap<String, u64>,
}

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
}

/// Adds to the report what the runtimes in `observation` said.
pub fn add(report: &mut Report, observation: &Observation, filter: crate::analyze::Filter<'_>) {
    let mut isolates: BTreeMap<u64, Isolate<'_>> = BTreeMap::new();
    for attachment in &observation.attachments {
        let thread = attachment.name.split('.').next().and_then(|it| it.parse().ok());
        let isolate = isolates.entry(thread.unwrap_or(0)).or_default();
        match attachment.kind {
            AttachmentKind::HeapSnapshot => isolate.snapshots.push(attachment),
            AttachmentKind::Runtime => isolate.facts.extend(facts(attachment)),
            AttachmentKind::Unknown => {}
        }
    }
    for isolate in isolates.values() {
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
        let mut heaps = self.heaps(report);
        let Some(last) = heaps.pop() else { return };
        let walked = Walked::new(&last);
        let older: Vec<&ObjectHeap> = heaps.iter().collect();
        let (totals, mut findings) = objects::compare(&older, &walked);
        heap_snapshot::name_lines(&last, &mut findings);
        self.weigh(&mut findings);
        report.notes.extend(self.cost());
        report.objects.get_or_insert(totals);
        let kept = findings.into_iter().map(|it| it.finding).filter(|it| filter(report, it));
        let kept: Vec<_> = kept.collect();
        report.findings.extend(kept);
    }

    /// The first, a middle and the last snapshot that can be read.
    fn heaps(&self, report: &mut Report) -> Vec<ObjectHeap> {
        let mut chosen: Vec<&Attachment> = self.snapshots.clone();
        if let [first, between @ .., last] = chosen.as_slice()
            && !between.is_empty()
        {
            let half = first.at.0 + last.at.0.saturating_sub(first.at.0) / 2;
            let middle = between.iter().min_by_key(|it| it.at.0.abs_diff(half)).expect("there is one");
            chosen = vec![first, middle, last];
        }
        let mut heaps = Vec::new();
        for attachment in chosen {
            match heapwise_snapshot::read(&Snapshot(attachment), &mut |_| {}) {
                Ok(heap) => heaps.push(heap),
                Err(error) => report.notes.push(format!("heap snapshot {}: {error}", attachment.name)),
            }
        }
        heaps
    }

    /// Whether the program would have gone on for as long as it is let: what grows in it has no bound then.
    fn is_service(&self) -> bool {
        let is_listening = |it: &Facts| {
            it.resources.keys().any(|name| name.ends_with("ServerWrap") || name.ends_with("SERVERWRAP"))
        };
        self.facts.iter().any(|it| it.signal.is_some() || it.uptime >= SERVICE_MS || is_listening(it))
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

    /// What the snapshots cost the program.
    fn cost(&self) -> Option<String> {
        let last = self.facts.last().filter(|it| it.spent > 0 && it.uptime > 0)?;
        let count = counted(self.snapshots.len() as u64, "heap snapshot");
        let stopped = human_time(last.spent.saturating_mul(1_000_000));
        let all = human_time(last.uptime.saturating_mul(1_000_000));
        Some(format!("{count} stopped the program for {stopped} of {all} in all (--snapshot never: none)"))
    }
}

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
