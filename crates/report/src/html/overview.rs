//! What the page shows before it has read the stacks: verdict, figures, findings, timeline.
//!
//! Frames that findings name stand once, in `frames`; stacks and places are lists of indexes.
//! Numbers above 2^53 lose their last digits, as JSON numbers do in every browser.

use crate::held;
use crate::names::short;
use crate::numbers::grouped;
use crate::place::{self, Located};
use crate::retainers;
use crate::sanitize::{clean, clean_to, source_line};
use heapwise_model::{
    Child, ClassTotal, Engine, FIRST_STEPS, Finding, Fix, Held, HeldStep, Location, ObjectTotals, Place,
    Program, Report, ResolvedFrame, RetainerStep, Retainers, Severity, StackId, StackShare, Total,
};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::io::{self, Write};

/// Findings in the page; the rest is counted in a note.
const MOST_FINDINGS: usize = 5_000;
/// Findings in the table for readers without scripts.
const MOST_PLAIN: usize = 500;
/// Frames of one finding's stack.
const MOST_FRAMES: usize = 256;
/// Stacks of one finding.
const MOST_SHARES: usize = 20;
/// Source lines before and after the marked one.
const AROUND: u32 = 5;
const LONGEST_TEXT: usize = 8_000;
const LONGEST_LINE: usize = 400;

#[derive(Serialize)]
struct Overview {
    version: String,
    severity: Option<Severity>,
    verdict: String,
    program: Option<Figures>,
    heap: Option<HeapRow>,
    recording: Option<String>,
    notes: Vec<String>,
    findings: Vec<Row>,
    frames: Vec<Frame>,
    timeline: Ticks,
    children: Vec<ChildRow>,
    has_stacks: bool,
}

#[derive(Serialize)]
struct Figures {
    command: String,
    pid: u32,
    exit: String,
    /// Whether the program ended as programs should.
    exit_ok: bool,
    duration_ns: u64,
    allocations: u64,
    frees: u64,
    allocated_bytes: u64,
    peak_bytes: u64,
    peak_at_ns: u64,
    peak_rss_bytes: u64,
    temporary: u64,
    live: Pair,
    /// definite, indirect, possible, reachable
    leaks: Option<[Pair; 4]>,
}

/// A heap of a language's runtime.
#[derive(Serialize)]
struct HeapRow {
    total: Pair,
    references: u64,
    before: Option<Pair>,
    classes: Vec<ClassRow>,
}

#[derive(Serialize)]
struct ClassRow {
    name: String,
    total: Pair,
    retained: u64,
    /// Objects, bytes.
    change: Option<(i64, i64)>,
}

/// Bytes, blocks.
type Pair = (u64, u64);

#[derive(Serialize, PartialEq, Eq, Hash, Clone)]
struct Frame {
    function: String,
    path: String,
    line: u32,
    module: String,
    library: bool,
    inlined: bool,
}

#[derive(Serialize)]
struct Row {
    severity: Severity,
    rule: &'static str,
    kind: &'static str,
    confidence: heapwise_model::Confidence,
    engine: Engine,
    message: String,
    help: Option<String>,
    bytes: Option<u64>,
    blocks: Option<u64>,
    place: Spot,
    stack: Vec<u32>,
    /// Frames of the stack that are not in `stack`.
    more_frames: usize,
    /// The heaviest of the stacks that meet at the place, where there are several, and the number of all.
    shares: Vec<Share>,
    stack_count: usize,
    held: Option<HeldRow>,
    retainers: Option<RetainersRow>,
    related: Vec<RelatedRow>,
    source: Option<Source>,
    fix: Option<FixRow>,
}

#[derive(Serialize)]
struct HeldRow {
    root: String,
    steps: Vec<(Pair, Option<u32>, Spot)>,
    /// Steps missing after so many.
    left_out: usize,
    after: usize,
    retained: Pair,
}

#[derive(Serialize)]
struct RetainersRow {
    /// What each is with how it refers to the next, and where it is written.
    steps: Vec<(String, Spot)>,
    /// Steps missing after so many.
    left_out: usize,
    after: usize,
    retained: Pair,
}

#[derive(Serialize)]
struct Share {
    bytes: u64,
    blocks: u64,
    stack: Vec<u32>,
    more_frames: usize,
}

#[derive(Serialize)]
struct RelatedRow {
    message: String,
    place: Spot,
    stack: Vec<u32>,
    more_frames: usize,
    source: Option<Source>,
}

/// A place in words; empty where unknown.
#[derive(Serialize, Default)]
struct Spot {
    function: String,
    path: String,
    line: u32,
    column: u32,
    module: String,
}

#[derive(Serialize)]
struct Source {
    first_line: u32,
    lines: Vec<String>,
    /// First and last marked line.
    marked: (u32, u32),
}

#[derive(Serialize)]
struct FixRow {
    message: String,
    safety: heapwise_model::Safety,
    /// Place and inserted text.
    edits: Vec<(Spot, String)>,
}

#[derive(Serialize, Default)]
struct Ticks {
    at: Vec<u64>,
    live: Vec<u64>,
    blocks: Vec<u64>,
    rss: Vec<u64>,
    allocations: Vec<u64>,
    minor: Vec<u64>,
    major: Vec<u64>,
    swap: Vec<u64>,
}

#[derive(Serialize)]
struct ChildRow {
    command: String,
    pid: u32,
    recording: Option<String>,
    exit: String,
    allocations: u64,
    lost: Option<Pair>,
    errors: u64,
}

/// The overview as JSON.
pub fn encode(report: &Report) -> Vec<u8> {
    let mut frames = Frames::default();
    let findings: Vec<Row> =
        report.findings.iter().take(MOST_FINDINGS).map(|it| row(report, it, &mut frames)).collect();
    let mut notes: Vec<String> =
        report.notes.iter().map(|it| clean_to(it, LONGEST_TEXT).into_owned()).collect();
    if report.findings.len() > findings.len() {
        let hidden = report.findings.len() - findings.len();
        notes.push(format!("{} more findings are not on this page.", grouped(hidden as u64)));
    }
    let overview = Overview {
        version: clean(&report.version).into_owned(),
        severity: report.findings.iter().map(|it| it.severity).max(),
        verdict: verdict(report),
        program: report.program.as_ref().map(figures),
        heap: report.objects.as_ref().map(heap_row),
        recording: report.recording.as_deref().map(|it| clean(it).into_owned()),
        notes,
        findings,
        frames: frames.list,
        timeline: ticks(report),
        children: report.children.iter().map(child).collect(),
        has_stacks: !report.costs.is_empty(),
    };
    serde_json::to_vec(&overview).expect("strings and numbers are always JSON")
}

fn heap_row(objects: &ObjectTotals) -> HeapRow {
    let pair = |it: Total| (it.bytes, it.blocks);
    let class = |it: &ClassTotal| ClassRow {
        name: clean_to(&it.name, LONGEST_LINE).into_owned(),
        total: pair(it.total),
        retained: it.retained_bytes,
        change: it.change,
    };
    HeapRow {
        total: pair(objects.total),
        references: objects.references,
        before: objects.before.map(pair),
        classes: objects.classes.iter().map(class).collect(),
    }
}

/// The worst finding in words, after the number of its kind.
fn verdict(report: &Report) -> String {
    let Some(worst) = report.findings.iter().max_by_key(|it| (it.severity, it.bytes)) else {
        return match &report.program {
            Some(Program { leaks: Some(_), .. }) => "No findings: nothing is lost.".to_owned(),
            _ => "No findings.".to_owned(),
        };
    };
    let of_kind = report.findings.iter().filter(|it| it.severity == worst.severity).count();
    let name = match worst.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let plural = if of_kind == 1 { "" } else { "s" };
    let place = plain_place(report, worst, last_two);
    let place = if place.is_empty() { place } else { format!(" — {place}") };
    format!("{} {name}{plural}: {}{place}", grouped(of_kind as u64), clean(&worst.message))
}

/// `make (src/app.c:12)`, `make`, `src/app.c:12` or nothing.
fn plain_place(report: &Report, finding: &Finding, shown: fn(&str) -> &str) -> String {
    let spot = spot(place::locate(report, finding));
    let at = match (shown(&spot.path), spot.line) {
        ("", _) => spot.module,
        (path, 0) => path.to_owned(),
        (path, line) => format!("{path}:{line}"),
    };
    match (spot.function.as_str(), at.as_str()) {
        ("", at) => at.to_owned(),
        (function, "") => function.to_owned(),
        (function, at) => format!("{function} ({at})"),
    }
}

/// The end of a path: what a headline has room for.
fn last_two(path: &str) -> &str {
    let start = path.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
    &path[start..]
}

fn spot(place: Option<Located>) -> Spot {
    let Some(at) = place else {
        return Spot::default();
    };
    let text = |it: Option<&str>| it.map(|it| clean(it).into_owned()).unwrap_or_default();
    let function = match (at.function, at.module, at.offset) {
        (None, Some(module), Some(offset)) => format!("{}+{offset:#x}", clean(module)),
        (None, None, Some(offset)) if at.path.is_none() => format!("{offset:#x}"),
        (function, ..) => text(function.map(short).as_deref()),
    };
    Spot {
        function,
        path: text(at.path),
        line: at.line.unwrap_or(0),
        column: at.column.unwrap_or(0),
        module: text(at.module),
    }
}

fn source_spot(at: &Location) -> Spot {
    Spot {
        function: at.function.as_deref().map(|it| clean(it).into_owned()).unwrap_or_default(),
        path: clean(&at.path).into_owned(),
        line: at.line,
        column: at.column.unwrap_or(0),
        module: String::new(),
    }
}

fn row(report: &Report, finding: &Finding, frames: &mut Frames) -> Row {
    let at = place::locate(report, finding);
    let (stack, more_frames) = frames.of(report, place::stack_of(&finding.place));
    Row {
        severity: finding.severity,
        rule: finding.rule.name(),
        kind: finding.kind.map_or("", |kind| kind.name()),
        confidence: finding.confidence,
        engine: finding.engine,
        message: clean_to(&finding.message, LONGEST_TEXT).into_owned(),
        help: finding.help.as_deref().map(|it| clean_to(it, LONGEST_TEXT).into_owned()),
        bytes: finding.bytes,
        blocks: finding.blocks,
        source: at.as_ref().and_then(|at| source(report, at)),
        place: spot(at),
        stack,
        more_frames,
        shares: finding.stacks.iter().take(MOST_SHARES).map(|it| share(report, it, frames)).collect(),
        stack_count: finding.stacks.len(),
        held: finding.held.as_ref().map(|it| held_row(report, it)),
        retainers: finding.retainers.as_ref().map(retainers_row),
        related: finding.related.iter().map(|it| related(report, &it.message, &it.place, frames)).collect(),
        fix: finding.fix.as_ref().map(fix),
    }
}

fn held_row(report: &Report, held: &Held) -> HeldRow {
    let step = |it: &HeldStep| {
        let at = place::site(report, it.stack).map(Located::from);
        ((it.total.bytes, it.total.blocks), it.offset, spot(at))
    };
    HeldRow {
        root: held::root(held),
        steps: held.steps.iter().map(step).collect(),
        left_out: held.left_out,
        after: FIRST_STEPS,
        retained: (held.retained.bytes, held.retained.blocks),
    }
}

fn retainers_row(held: &Retainers) -> RetainersRow {
    let step = |it: &RetainerStep| {
        let object = clean_to(&it.object, LONGEST_TEXT);
        (
            format!("{object}{}", retainers::reference(it)),
            it.place.as_ref().map(source_spot).unwrap_or_default(),
        )
    };
    RetainersRow {
        steps: held.steps.iter().map(step).collect(),
        left_out: held.left_out,
        after: FIRST_STEPS,
        retained: (held.retained.bytes, held.retained.blocks),
    }
}

fn share(report: &Report, share: &StackShare, frames: &mut Frames) -> Share {
    let (stack, more_frames) = frames.of(report, Some(share.stack));
    Share { bytes: share.total.bytes, blocks: share.total.blocks, stack, more_frames }
}

fn related(report: &Report, message: &str, at: &Place, frames: &mut Frames) -> RelatedRow {
    let located = place::locate_place(report, at);
    let (stack, more_frames) = frames.of(report, place::stack_of(at));
    RelatedRow {
        message: clean_to(message, LONGEST_TEXT).into_owned(),
        source: located.as_ref().and_then(|it| source(report, it)),
        place: spot(located),
        stack,
        more_frames,
    }
}

fn fix(fix: &Fix) -> FixRow {
    let edit = |it: &heapwise_model::Edit| {
        let lines: Vec<String> = it.insert.lines().map(|line| source_line(line, LONGEST_LINE)).collect();
        (source_spot(&it.location), lines.join("\n"))
    };
    FixRow {
        message: clean_to(&fix.message, LONGEST_TEXT).into_owned(),
        safety: fix.safety,
        edits: fix.edits.iter().map(edit).collect(),
    }
}

/// The lines around a place, as far as the report has them.
fn source(report: &Report, at: &Located) -> Option<Source> {
    let (path, line) = (at.path?, at.line?);
    let holds = |first: u32, lines: usize| first <= line && ((line - first) as usize) < lines;
    let excerpt = report.sources.iter().find(|it| it.path == path && holds(it.first_line, it.lines.len()))?;
    let first_line = excerpt.first_line.max(line.saturating_sub(AROUND)).max(1);
    let skipped = (first_line - excerpt.first_line.min(first_line)) as usize;
    let last_marked = at.end_line.unwrap_or(line).clamp(line, line.saturating_add(AROUND));
    let wanted = (last_marked.saturating_add(AROUND) - first_line) as usize + 1;
    let lines: Vec<String> =
        excerpt.lines.iter().skip(skipped).take(wanted).map(|it| source_line(it, LONGEST_LINE)).collect();
    Some(Source { first_line, lines, marked: (line, last_marked) })
}

/// Frames that findings name, each once.
#[derive(Default)]
struct Frames {
    list: Vec<Frame>,
    by_frame: FxHashMap<Frame, u32>,
}

impl Frames {
    /// Indexes of a stack's frames, innermost first, and how many there are beyond them.
    fn of(&mut self, report: &Report, stack: Option<StackId>) -> (Vec<u32>, usize) {
        let Some(stack) = stack else {
            return (Vec::new(), 0);
        };
        let mut rest = report.resolved(stack);
        let indexes = rest.by_ref().take(MOST_FRAMES).map(|it| self.index(it)).collect();
        (indexes, rest.count())
    }

    fn index(&mut self, frame: &ResolvedFrame) -> u32 {
        let frame = Frame {
            function: clean(&short(&place::frame_name(frame))).into_owned(),
            path: clean(frame.path.as_deref().unwrap_or_default()).into_owned(),
            line: frame.line.unwrap_or(0),
            module: clean(&frame.module).into_owned(),
            library: frame.is_library,
            inlined: frame.is_inlined,
        };
        if let Some(&index) = self.by_frame.get(&frame) {
            return index;
        }
        let index = self.list.len() as u32;
        self.list.push(frame.clone());
        self.by_frame.insert(frame, index);
        index
    }
}

fn figures(program: &Program) -> Figures {
    let pair = |it: heapwise_model::Total| (it.bytes, it.blocks);
    let command: Vec<&str> = program.command.iter().map(String::as_str).collect();
    Figures {
        command: clean_to(&command.join(" "), LONGEST_TEXT).into_owned(),
        pid: program.pid,
        exit: exit(program.exit),
        exit_ok: program.exit.is_some_and(|it| it.code == Some(0)),
        duration_ns: program.duration_ns,
        allocations: program.allocations,
        frees: program.frees,
        allocated_bytes: program.allocated_bytes,
        peak_bytes: program.peak_bytes,
        peak_at_ns: program.peak_at_ns,
        peak_rss_bytes: program.peak_rss_bytes,
        temporary: program.temporary,
        live: pair(program.live),
        leaks: program
            .leaks
            .map(|it| [pair(it.definite), pair(it.indirect), pair(it.possible), pair(it.reachable)]),
    }
}

fn exit(how: Option<heapwise_model::Termination>) -> String {
    match how {
        None => "still running at the end of the recording".to_owned(),
        Some(it) => match (it.code, it.signal) {
            (_, Some(signal)) => format!("killed by signal {signal}"),
            (Some(code), None) => format!("exit status {code}"),
            (None, None) => "ended in an unknown way".to_owned(),
        },
    }
}

fn ticks(report: &Report) -> Ticks {
    let ticks = &report.timeline.ticks;
    let column = |field: fn(&heapwise_model::Tick) -> u64| ticks.iter().map(field).collect();
    Ticks {
        at: column(|it| it.at_ns),
        live: column(|it| it.live_bytes),
        blocks: column(|it| it.live_blocks),
        rss: column(|it| it.rss_bytes),
        allocations: column(|it| it.allocations),
        minor: column(|it| it.minor_faults),
        major: column(|it| it.major_faults),
        swap: column(|it| it.swap_bytes),
    }
}

fn child(child: &Child) -> ChildRow {
    ChildRow {
        command: clean(&child.command).into_owned(),
        pid: child.pid,
        recording: child.recording.as_deref().map(|it| clean(it).into_owned()),
        exit: exit(child.exit),
        allocations: child.allocations,
        lost: child.leaks.map(|it| (it.definite.bytes, it.definite.blocks)),
        errors: child.errors,
    }
}

/// Verdict and findings as markup, for readers without scripts.
pub fn write_plain(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(out, "<p>{}</p>", escaped(&verdict(report)))?;
    if report.findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "<table>\n<caption>Findings</caption>")?;
    writeln!(out, "<tr><th>Severity<th>Rule<th>Kind<th>Bytes<th>Blocks<th>Message<th>Place</tr>")?;
    for finding in report.findings.iter().take(MOST_PLAIN) {
        let number = |it: Option<u64>| it.map(grouped).unwrap_or_default();
        writeln!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            },
            finding.rule,
            finding.kind.map_or("", |it| it.name()),
            number(finding.bytes),
            number(finding.blocks),
            escaped(&clean(&finding.message)),
            escaped(&plain_place(report, finding, |path| path)),
        )?;
    }
    writeln!(out, "</table>")
}

/// For an element's content and attribute values.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
