//! speedscope's file format: one sampled profile per metric over one table of frames.
//!
//! A frame is a function at a line, so that two allocation sites of one function stay apart.
//! Samples are written one stack at a time; only the table of frames is held in memory.

use crate::place::{self, MAX_FRAMES, frame_name};
use crate::sanitize::clean;
use crate::sites::Metric;
use heapwise_model::{Report, ResolvedFrame, StackId};
use rustc_hash::FxHashMap;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

/// How the file is written.
#[derive(Clone, Debug, Default)]
pub struct SpeedscopeOptions {
    /// Paths under this folder are written relative to it.
    pub base: Option<PathBuf>,
}

/// Writes the file; metrics that are 0 everywhere have no profile.
pub fn write(out: &mut dyn Write, report: &Report, options: &SpeedscopeOptions) -> io::Result<()> {
    let frames = Frames::new(report, options.base.as_deref());
    let metrics = Metric::ALL.iter().copied().filter(|metric| total(report, *metric) > 0);
    let file = File {
        schema: SCHEMA,
        name: name(report),
        exporter: format!("heapwise {}", clean(&report.version)),
        active_profile_index: 0,
        shared: Shared { frames: &frames.table },
        profiles: metrics.map(|metric| Profile::new(report, &frames, metric)).collect(),
    };
    serde_json::to_writer(&mut *out, &file)?;
    writeln!(out)
}

fn name(report: &Report) -> String {
    let command = report.program.as_ref().map(|program| program.command.join(" ")).unwrap_or_default();
    if command.is_empty() { "heapwise".to_owned() } else { clean(&command).into_owned() }
}

fn total(report: &Report, metric: Metric) -> u64 {
    report.costs.iter().fold(0, |sum, cost| sum.saturating_add(metric.of(cost)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: String,
    exporter: String,
    active_profile_index: usize,
    shared: Shared<'a>,
    profiles: Vec<Profile<'a>>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: &'a [FrameJson],
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct FrameJson {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    col: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Samples<'a>,
    weights: Weights<'a>,
}

impl<'a> Profile<'a> {
    fn new(report: &'a Report, frames: &'a Frames, metric: Metric) -> Self {
        Profile {
            kind: "sampled",
            name: match metric {
                Metric::Lost => "lost bytes",
                Metric::Live => "live bytes at the end",
                Metric::Peak => "live bytes at the peak",
                Metric::Allocated => "allocated bytes",
                Metric::Allocations => "allocations",
                Metric::Temporary => "temporary allocations",
            },
            unit: if metric.is_bytes() { "bytes" } else { "none" },
            start_value: 0,
            end_value: total(report, metric),
            samples: Samples { report, frames, metric },
            weights: Weights { report, metric },
        }
    }
}

struct Samples<'a> {
    report: &'a Report,
    frames: &'a Frames,
    metric: Metric,
}

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for cost in self.report.costs.iter().filter(|cost| self.metric.of(cost) > 0) {
            list.serialize_element(&self.frames.of_stack(self.report, cost.stack))?;
        }
        list.end()
    }
}

struct Weights<'a> {
    report: &'a Report,
    metric: Metric,
}

impl Serialize for Weights<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.report.costs.iter().map(|cost| self.metric.of(cost));
        serializer.collect_seq(values.filter(|value| *value > 0))
    }
}

/// The table, and where the frames of each `FrameId` are in it.
struct Frames {
    table: Vec<FrameJson>,
    /// By `FrameId`: innermost inlined frame first.
    at: Vec<Vec<usize>>,
}

/// The table's entry for stacks of which nothing is known.
const UNKNOWN: usize = 0;

impl Frames {
    fn new(report: &Report, base: Option<&Path>) -> Self {
        let unknown = FrameJson { name: "[unknown]".to_owned(), file: None, line: None, col: None };
        let mut table = vec![unknown];
        let mut known: FxHashMap<FrameJson, usize> = FxHashMap::default();
        let mut add = |frame: &ResolvedFrame| {
            let frame = frame_json(frame, base);
            *known.entry(frame).or_insert_with_key(|frame| {
                table.push(frame.clone());
                table.len() - 1
            })
        };
        let at = report.frames.iter().map(|inlined| inlined.iter().map(&mut add).collect()).collect();
        Frames { table, at }
    }

    /// Indices from the outermost to the innermost frame.
    fn of_stack(&self, report: &Report, stack: StackId) -> Vec<usize> {
        let frames = report.stacks.frames(stack).take(MAX_FRAMES);
        let indices = frames.flat_map(|id| self.at.get(id.index()).map(Vec::as_slice).unwrap_or_default());
        let mut indices: Vec<usize> = indices.copied().take(MAX_FRAMES).collect();
        indices.reverse();
        if indices.is_empty() { vec![UNKNOWN] } else { indices }
    }
}

fn frame_json(frame: &ResolvedFrame, base: Option<&Path>) -> FrameJson {
    let at = place::Located::from(frame);
    let path = at.path.map(|path| clean(&place::relative(path, base)).into_owned());
    FrameJson {
        name: clean(&frame_name(frame)).into_owned(),
        file: path.or_else(|| at.module.map(|module| clean(module).into_owned())),
        line: at.line,
        col: at.line.and(at.column),
    }
}
