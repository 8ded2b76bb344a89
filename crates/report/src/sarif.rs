//! SARIF 2.1.0, as code scanning services take it.
//!
//! Written for the subset GitHub documents: every result has one physical location with all four
//! region numbers and a `primaryLocationLineHash`; a result without either would make the upload
//! fail as a whole. `related` places become code flows and related locations, `fix` becomes fixes
//! (shown by few consumers, so its words are in the message too). Paths under the base folder are
//! relative to `%SRCROOT%`. Limits: 25,000 results (the first of the report, so the worst), 1,000
//! steps of a code flow, 16 stacks of a result, 32 frames of a stack, 1,024 characters of a description.
//!
//! Columns count Unicode code points, as `columnKind` says; they are converted from bytes where the
//! report has the source line, and are taken as they are where it has not.

use crate::catalog::{self, CatalogEntry};
use crate::fingerprint::fingerprints;
use crate::numbers::counted;
use crate::place::{self, Ends, Located, Sources, frame_name};
use crate::retainers;
use crate::sanitize::{clean, clean_to};
use heapwise_model::{
    Confidence, Edit, Finding, Fix, Location, Place, Related, Report, ResolvedFrame, Rule, Severity, StackId,
    StackShare, Total,
};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
const SRCROOT: &str = "%SRCROOT%";
const MAX_RESULTS: usize = 25_000;
const MAX_STEPS: usize = 1_000;
/// Frames of a stack: from the innermost on, and up to the outermost.
const INNER_FRAMES: usize = 24;
const OUTER_FRAMES: usize = 8;
/// Stacks of a result that has several.
const MAX_STACKS: usize = 16;
const MAX_DESCRIPTION: usize = 1_023;
const MAX_PATH_BYTES: usize = 4_096;

/// How the log is written.
#[derive(Clone, Debug, Default)]
pub struct SarifOptions {
    /// Root of the repository: paths under it are written relative to it.
    pub base: Option<PathBuf>,
}

/// Writes the log and a final newline.
pub fn write(out: &mut dyn Write, report: &Report, options: &SarifOptions) -> io::Result<()> {
    let context = Context { report, sources: Sources::new(report), base: options.base.as_deref() };
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [Run::new(&context)] };
    // Compact: services limit the size of an upload.
    serde_json::to_writer(&mut *out, &log)?;
    writeln!(out)
}

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Value,
    column_kind: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    original_uri_base_ids: Map<String, Value>,
    invocations: Value,
    results: Results<'a>,
}

impl<'a> Run<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        let rules: Vec<Value> = catalog::catalog().iter().map(rule).collect();
        let driver = json!({
            "name": "heapwise",
            "semanticVersion": context.report.version,
            "rules": rules,
        });
        let mut bases = Map::new();
        if let Some(base) = context.base {
            let base = base.to_string_lossy();
            let uri = format!("file://{}/", encoded(base.trim_end_matches('/')));
            bases.insert(SRCROOT.to_owned(), json!({ "uri": uri }));
        }
        let notes: Vec<Value> = context
            .report
            .notes
            .iter()
            .map(|note| json!({ "level": "note", "message": { "text": plain(note) } }))
            .collect();
        Run {
            tool: json!({ "driver": driver }),
            column_kind: "unicodeCodePoints",
            original_uri_base_ids: bases,
            invocations: json!([{ "executionSuccessful": true, "toolExecutionNotifications": notes }]),
            results: Results { context },
        }
    }
}

fn rule(entry: &CatalogEntry) -> Value {
    let page = catalog::page(entry.rule);
    let mut tags = vec!["memory".to_owned()];
    tags.extend(entry.security_severity.map(|_| "security".to_owned()));
    tags.extend(entry.cwe.iter().map(|number| format!("external/cwe/cwe-{number:03}")));
    let mut properties = json!({
        "tags": tags,
        "precision": match entry.confidence {
            Confidence::Certain => "very-high",
            Confidence::Proven => "high",
            Confidence::Likely => "medium",
        },
        "problem.severity": match entry.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "recommendation",
        },
    });
    if let Some(score) = entry.security_severity {
        properties["security-severity"] = json!(score);
    }
    json!({
        "id": entry.rule.name(),
        "name": pascal(entry.rule.name()),
        "shortDescription": { "text": clean_to(entry.title, MAX_DESCRIPTION) },
        "fullDescription": { "text": clean_to(entry.summary, MAX_DESCRIPTION) },
        "help": { "text": page, "markdown": page },
        "defaultConfiguration": { "level": level(entry.severity) },
        "properties": properties,
    })
}

/// `memory-leak` as `MemoryLeak`.
fn pascal(name: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('-').filter(|it| !it.is_empty()).map(word).collect()
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// Written one result at a time, so that memory does not follow their number.
struct Results<'a> {
    context: &'a Context<'a>,
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.context.report;
        let names = fingerprints(report, self.context.base);
        let mut list = serializer.serialize_seq(None)?;
        for (finding, name) in report.findings.iter().zip(&names).take(MAX_RESULTS) {
            list.serialize_element(&self.context.result(finding, name))?;
        }
        list.end()
    }
}

struct Context<'a> {
    report: &'a Report,
    sources: Sources<'a>,
    base: Option<&'a Path>,
}

impl Context<'_> {
    fn result(&self, finding: &Finding, fingerprint: &str) -> Value {
        let index = catalog::catalog().iter().position(|entry| entry.rule == finding.rule);
        let mut result = json!({
            "ruleId": finding.rule.name(),
            "level": level(finding.severity),
            "message": { "text": message(finding) },
            "locations": [self.location(&finding.place, None)],
            "partialFingerprints": {
                "primaryLocationLineHash": format!("{fingerprint}:1"),
                "heapwise/v1": fingerprint,
            },
            "properties": properties(finding),
        });
        if let Some(index) = index {
            result["ruleIndex"] = json!(index);
        }
        let stacks = self.stacks(finding);
        if !stacks.is_empty() {
            result["stacks"] = Value::Array(stacks);
        }
        if !finding.related.is_empty() {
            result["relatedLocations"] = self.related(&finding.related);
            result["codeFlows"] = json!([{ "threadFlows": [{ "locations": self.flow(finding) }] }]);
        }
        if let Some(fix) = finding.fix.as_ref().filter(|fix| !fix.edits.is_empty()) {
            result["fixes"] = json!([self.fix(fix)]);
        }
        result
    }

    fn related(&self, related: &[Related]) -> Value {
        let one = |(at, related): (usize, &Related)| {
            let mut location = self.location(&related.place, Some(&related.message));
            location["id"] = json!(at + 1);
            location
        };
        related.iter().enumerate().take(MAX_STEPS).map(one).collect()
    }

    /// The steps in the order they happened: a leak begins at the finding, a bad free ends there.
    fn flow(&self, finding: &Finding) -> Value {
        let own = json!({ "location": self.location(&finding.place, Some(&finding.message)), "importance": "essential" });
        let mut steps: Vec<Value> = finding
            .related
            .iter()
            .take(MAX_STEPS - 1)
            .map(|related| {
                let mut step = json!({ "location": self.location(&related.place, Some(&related.message)) });
                if let Some(stack) = self.stack(&related.place) {
                    step["stack"] = stack;
                }
                step
            })
            .collect();
        let ends_the_flow =
            matches!(finding.rule, Rule::DoubleFree | Rule::InvalidFree | Rule::MismatchedFree);
        steps.insert(if ends_the_flow { steps.len() } else { 0 }, own);
        Value::Array(steps)
    }

    fn location(&self, place: &Place, message: Option<&str>) -> Value {
        let located = place::locate_place(self.report, place).unwrap_or_default();
        let mut location = json!({ "physicalLocation": self.physical(&located) });
        if let Some(function) = located.function {
            let name = clean(function);
            location["logicalLocations"] = json!([{ "fullyQualifiedName": name, "kind": "function" }]);
        }
        if let Some(message) = message {
            location["message"] = json!({ "text": plain(message) });
        }
        location
    }

    /// Where no file is known, the module or the program stands in for it at 1:1: a result without
    /// a physical location is refused together with all others.
    fn physical(&self, at: &Located<'_>) -> Value {
        let Some(path) = at.path else {
            let command = self.report.program.as_ref().and_then(|program| program.command.first());
            let name = at.module.or(command.map(|word| place::file_name(word))).unwrap_or("unknown");
            return json!({
                "artifactLocation": { "uri": encoded(place::file_name(name)), "uriBaseId": SRCROOT },
                "region": { "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1 },
            });
        };
        json!({ "artifactLocation": self.artifact(path), "region": self.region(at) })
    }

    fn artifact(&self, path: &str) -> Value {
        let relative = place::relative(path, self.base);
        if relative.starts_with('/') {
            return json!({ "uri": format!("file://{}", encoded(&relative)) });
        }
        json!({ "uri": encoded(&relative), "uriBaseId": SRCROOT })
    }

    fn region(&self, at: &Located<'_>) -> Value {
        let line = at.line.unwrap_or(1);
        let path = at.path.unwrap_or_default();
        let text = self.sources.line(path, line);
        let start = at.column.map_or(1, |column| code_points(text, column));
        let end_line = at.end_line.unwrap_or(line).max(line);
        let end = match at.end_column {
            Some(column) => code_points(self.sources.line(path, end_line), column),
            None => text.map_or(start, |text| text.chars().count().saturating_add(1)),
        };
        let end = if end_line == line { end.max(start) } else { end };
        json!({ "startLine": line, "startColumn": start, "endLine": end_line, "endColumn": end })
    }

    fn stack(&self, place: &Place) -> Option<Value> {
        self.frames(place::stack_of(place)?)
    }

    fn frames(&self, stack: StackId) -> Option<Value> {
        let Ends { inner, left_out, outer } = place::ends(self.report, stack, INNER_FRAMES, OUTER_FRAMES);
        let frames: Vec<Value> = inner.iter().chain(&outer).map(|frame| self.frame(frame)).collect();
        if frames.is_empty() {
            return None;
        }
        let mut stack = json!({ "frames": frames });
        if left_out > 0 {
            let left_out = counted(left_out as u64, "frame");
            let text = format!("{left_out} left out after the first {}", inner.len());
            stack["message"] = json!({ "text": text });
        }
        Some(stack)
    }

    /// The finding's stack, or where it has several, those with their shares.
    fn stacks(&self, finding: &Finding) -> Vec<Value> {
        let share = |share: &StackShare| {
            let mut stack = self.frames(share.stack)?;
            let Total { bytes, blocks } = share.total;
            stack["properties"] = json!({ "bytes": bytes, "blocks": blocks });
            Some(stack)
        };
        match finding.stacks.is_empty() {
            true => self.stack(&finding.place).into_iter().collect(),
            false => finding.stacks.iter().take(MAX_STACKS).filter_map(share).collect(),
        }
    }

    fn frame(&self, frame: &ResolvedFrame) -> Value {
        let at = Located::from(frame);
        let mut location = json!({
            "logicalLocations": [{ "fullyQualifiedName": clean(&frame_name(frame)), "kind": "function" }],
        });
        if at.line.is_some() {
            location["physicalLocation"] = self.physical(&at);
        }
        let mut out = json!({ "location": location });
        if let Some(module) = at.module {
            out["module"] = json!(clean(module));
        }
        out
    }

    fn fix(&self, fix: &Fix) -> Value {
        let change = |edit: &Edit| {
            let insert = json!({ "deletedRegion": self.region(&located(&edit.location)), "insertedContent": { "text": edit.insert } });
            json!({ "artifactLocation": self.artifact(&edit.location.path), "replacements": [insert] })
        };
        let changes: Vec<Value> = fix.edits.iter().take(MAX_STEPS).map(change).collect();
        json!({ "description": { "text": plain(&fix.message) }, "artifactChanges": changes })
    }
}

/// An insertion point has no end: it ends where it starts.
fn located(at: &Location) -> Located<'_> {
    Located {
        path: Some(&at.path),
        line: Some(at.line.max(1)),
        column: at.column,
        end_line: at.end_line,
        end_column: at.end_column.or(at.column),
        ..Located::default()
    }
}

/// Message, what to do, and the fix in words: few consumers show anything else.
fn message(finding: &Finding) -> String {
    let mut text = plain(&finding.message);
    let fix = finding.fix.as_ref().map(|fix| fix.message.as_str());
    for help in finding.help.as_deref().into_iter().chain(fix) {
        text.push_str("\nhelp: ");
        text.push_str(&plain(help));
    }
    text
}

/// Text of a message, without what SARIF takes for a link.
fn plain(text: &str) -> String {
    clean(text).replace("](", "] (")
}

fn properties(finding: &Finding) -> Value {
    let engine = catalog::engine_name(finding.engine);
    let mut out = json!({ "engine": engine, "confidence": finding.confidence });
    if let Some(kind) = finding.kind {
        out["kind"] = json!(kind.name());
    }
    let stack_count = Some(finding.stacks.len() as u64).filter(|&it| it > 0);
    for (name, value) in [("bytes", finding.bytes), ("blocks", finding.blocks), ("stackCount", stack_count)] {
        if let Some(value) = value {
            out[name] = json!(value);
        }
    }
    if let Some(held) = &finding.retainers {
        out["heldBy"] = json!(retainers::path(held));
    }
    out
}

/// A 1-based column of bytes as one of code points.
fn code_points(text: Option<&str>, column: u32) -> usize {
    let bytes = column.saturating_sub(1) as usize;
    let Some(text) = text else { return bytes + 1 };
    text.char_indices().take_while(|(at, _)| *at < bytes).count() + 1
}

/// A path as part of a URI: everything but the unreserved characters and `/` percent-encoded.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes().take(MAX_PATH_BYTES) {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
