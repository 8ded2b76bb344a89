//! The terminal's output: worst first, on one screen unless more is asked for.
//!
//! ```text
//! error[memory-leak]: 880,000 bytes in 20,000 blocks are never freed
//!   --> src/app.c:12:9 in make
//! 11 |     size_t n = 44;
//! 12 >     char *p = malloc(n);
//! 13 |     fill(p, n);
//!    = called by read_all (app.c:21)
//!                main (app.c:30)
//!    = help: free p before `make` returns
//! ```
//!
//! Findings first, then the program in figures, then what to do next. What is merely still there at
//! the end, or lost with another block, is a line of the figures unless `verbose`. All text of the observed
//! program passes [`crate::sanitize`]; the only escapes written are the styles of this module.
//! Cost: memory is that of one finding.

use crate::held;
use crate::names::short;
use crate::numbers::{counted, grouped, human_bytes, human_time, percent};
use crate::place::{self, Ends, Located, MAX_FRAMES, Sources, file_name};
use crate::retainers;
use crate::sanitize::{self, clean, clean_to};
use crate::sites::{self, Metric};
use crate::style::Paint;
use heapwise_model::{
    Child, Engine, FIRST_STEPS, Finding, Held, HeldStep, Kind, Language, ObjectTotals, Place, Program,
    Report, ResolvedFrame, Retainers, Rule, Safety, Severity, StackId, Termination, Total,
};
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::PathBuf;

/// Findings shown with source and stack, and lines these may take together, unless `verbose`.
const IN_FULL: usize = 3;
const IN_FULL_LINES: usize = 30;
/// Findings shown on one line after those.
const IN_BRIEF: usize = 5;
/// Lines of a finding's stack, and of a related place's.
const STACK_LINES: usize = 8;
const RELATED_LINES: usize = 3;
/// Frames of a stack when `verbose`: innermost and outermost ones.
const VERBOSE_FRAMES: (usize, usize) = (48, 16);
/// Stacks of a finding beyond its first, when `verbose`.
const MAX_SHARES: usize = 20;
/// Bytes from which on still reachable memory is told with what holds it.
const TOLD_HOLDER: u64 = 16 << 10;
const TOP_SITES: usize = 3;
const TOP_CLASSES: usize = 5;
const MAX_CHILDREN: usize = 5;
const MAX_NOTES: usize = 5;

/// How the text is laid out.
#[derive(Clone, Debug)]
pub struct TextOptions {
    /// Write ANSI escapes.
    pub color: bool,
    /// Columns of the terminal; lists are cut to it.
    pub width: usize,
    /// Everything, however long.
    pub verbose: bool,
    /// Findings only, no figures and no next step.
    pub quiet: bool,
    /// Paths under this folder are shown relative to it.
    pub base: Option<PathBuf>,
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions { color: false, width: 100, verbose: false, quiet: false, base: None }
    }
}

/// Writes findings, summary and the next step.
pub fn write(out: &mut dyn Write, report: &Report, options: &TextOptions) -> io::Result<()> {
    let page = Page::new(report, options);
    page.findings(out)?;
    if options.quiet {
        return Ok(());
    }
    for line in page.summary() {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", page.next_step())
}

/// Writes the first `limit` allocation sites by a metric as a table.
pub fn sites(
    out: &mut dyn Write,
    report: &Report,
    by: Metric,
    limit: usize,
    options: &TextOptions,
) -> io::Result<()> {
    let page = Page::new(report, options);
    let all = sites::sites(report, by);
    let whole = all.iter().fold(0u64, |sum, site| sum.saturating_add(by.of(&site.cost)));
    if all.is_empty() {
        return writeln!(out, "no allocation site has {}", noun(by));
    }
    let heading = format!("{:>12} {:>6} {:>14}  {}", by.name(), "share", "blocks", "site");
    writeln!(out, "{}", page.paint.bold(&heading))?;
    let place_width = page.width.saturating_sub(36).max(20);
    for site in all.iter().take(limit) {
        let value = by.of(&site.cost);
        let shown = if by.is_bytes() { human_bytes(value) } else { grouped(value) };
        let blocks = grouped(by.blocks(&site.cost));
        let place = page.function_in(site.place.as_ref(), place_width);
        writeln!(out, "{shown:>12} {:>6} {blocks:>14}  {place}", percent(value, whole))?;
    }
    if all.len() > limit {
        let rest = all[limit..].iter().fold(0u64, |sum, site| sum.saturating_add(by.of(&site.cost)));
        let shown = if by.is_bytes() { human_bytes(rest) } else { grouped(rest) };
        let more = format!("and {} more", grouped((all.len() - limit) as u64));
        writeln!(out, "{shown:>12} {:>6} {:>14}  {}", percent(rest, whole), "", page.paint.dim(&more))?;
    }
    Ok(())
}

fn noun(by: Metric) -> &'static str {
    match by {
        Metric::Lost => "lost bytes",
        Metric::Live => "live bytes",
        Metric::Peak => "bytes at the peak",
        Metric::Allocated | Metric::Allocations => "allocations",
        Metric::Temporary => "temporary allocations",
    }
}

/// What all parts of the text need.
struct Page<'a> {
    report: &'a Report,
    options: &'a TextOptions,
    sources: Sources<'a>,
    paint: Paint,
    /// Columns that lists are cut to; as good as none when `verbose`.
    width: usize,
}

impl<'a> Page<'a> {
    fn new(report: &'a Report, options: &'a TextOptions) -> Self {
        let width = if options.verbose { 2 * sanitize::MAX_CHARS } else { options.width.clamp(40, 400) };
        Page { report, options, sources: Sources::new(report), paint: Paint { color: options.color }, width }
    }

    fn findings(&self, out: &mut dyn Write) -> io::Result<()> {
        let is_shown = |finding: &&Finding| self.options.verbose || !is_folded(finding);
        let findings: Vec<&Finding> = self.report.findings.iter().filter(is_shown).collect();
        let (mut full, mut lines) = (0, 0);
        for finding in &findings {
            let block = self.in_full(finding);
            lines += block.len() + 1;
            let fits = full == 0 || (full < IN_FULL && lines <= IN_FULL_LINES);
            if !self.options.verbose && !fits {
                break;
            }
            for line in block {
                writeln!(out, "{line}")?;
            }
            writeln!(out)?;
            full += 1;
        }
        let rest = &findings[full..];
        for finding in rest.iter().take(IN_BRIEF) {
            writeln!(out, "{}", self.in_brief(finding))?;
        }
        if rest.len() > IN_BRIEF {
            writeln!(out, "{}", self.paint.dim(&self.and_more(rest.len() - IN_BRIEF)))?;
        }
        if !rest.is_empty() {
            writeln!(out)?;
        }
        Ok(())
    }

    fn and_more(&self, count: usize) -> String {
        format!("and {} more (--verbose shows all)", grouped(count as u64))
    }

    fn heading(&self, finding: &Finding, message: &str) -> String {
        let label = format!("{}[{}]", severity_name(finding.severity), finding.rule);
        format!(
            "{}{}",
            self.paint.severity(finding.severity, &label),
            self.paint.bold(&format!(": {message}"))
        )
    }

    fn in_full(&self, finding: &Finding) -> Vec<String> {
        let mut lines = vec![self.heading(finding, &clean(&finding.message))];
        let located = place::locate(self.report, finding);
        if let Some(at) = &located {
            let arrow = self.paint.frame("-->");
            lines.push(format!("  {arrow} {}", self.path_first(at, self.width.saturating_sub(6))));
            self.push_excerpt(&mut lines, at, finding.severity);
        }
        match (&finding.place, self.options.verbose) {
            (Place::Stack(stack), false) => self.push_callers(&mut lines, *stack),
            (place, _) => self.push_place_stack(&mut lines, place),
        }
        self.push_shares(&mut lines, finding);
        if let Some(held) = &finding.held {
            self.push_held(&mut lines, held);
        }
        if let Some(retainers) = &finding.retainers {
            self.push_retainers(&mut lines, retainers);
        }
        for related in &finding.related {
            self.push_related(&mut lines, &related.message, &related.place);
        }
        if let Some(help) = &finding.help {
            self.push_advice(&mut lines, "help:", help);
        }
        if let Some(fix) = &finding.fix {
            let option = match fix.safety {
                Safety::Safe => "--fix",
                Safety::Unsafe => "--unsafe-fixes",
            };
            self.push_advice(&mut lines, "fix:", &format!("{} ({option})", fix.message));
        }
        lines
    }

    fn push_advice(&self, lines: &mut Vec<String>, label: &str, text: &str) {
        let indent = 6 + label.len();
        let mut folded = wrapped(&clean(text), self.width.saturating_sub(indent)).into_iter();
        let first = folded.next().unwrap_or_default();
        lines.push(format!("   {} {} {first}", self.paint.frame("="), self.paint.good(label)));
        lines.extend(folded.map(|line| format!("{:indent$}{line}", "")));
    }

    fn in_brief(&self, finding: &Finding) -> String {
        let place = place::locate(self.report, finding).map(|at| match finding.place {
            // A place in source says enough without its function.
            Place::Source(_) => self.path_first(&Located { function: None, ..at }, self.width / 2),
            _ => self.path_first(&at, self.width / 2),
        });
        let place = place.map_or(String::new(), |place| format!("  {place}"));
        let label = severity_name(finding.severity).len() + finding.rule.name().len() + 5;
        let room = self.width.saturating_sub(label + place.chars().count()).max(24);
        format!("{}{}", self.heading(finding, &clean_to(&finding.message, room)), self.paint.dim(&place))
    }

    /// `src/app.c:12:9 in make`, or `make (app+0x1139)`.
    fn path_first(&self, at: &Located<'_>, room: usize) -> String {
        let Some(path) = at.path else {
            return self.function_in(Some(at), room);
        };
        let path_shown = place::relative(path, self.options.base.as_deref());
        let is_here = at.line.is_some_and(|line| self.sources.line(path, line).is_some());
        // Where the file cannot be opened anyway, the function says more than the path's beginning.
        let path_shown = if is_here { path_shown } else { last_parts(path_shown) };
        let mut place = clean_to(&path_shown, room).into_owned();
        for number in [at.line, at.line.and(at.column)].into_iter().flatten() {
            place.push_str(&format!(":{number}"));
        }
        let left = room.saturating_sub(place.chars().count() + 5).max(12);
        match at.function {
            Some(function) => format!("{place} in {}", clean_to(&short(function), left)),
            None => place,
        }
    }

    /// `make (app.c:12)`, or `make (app+0x1139)`; a long name is cut before the place is.
    fn function_in(&self, at: Option<&Located<'_>>, room: usize) -> String {
        let Some(at) = at else { return "(unknown)".to_owned() };
        let place = match (at.path, at.line) {
            (Some(path), Some(line)) => format!("{}:{line}", file_name(path)),
            (Some(path), None) => file_name(path).to_owned(),
            (None, _) => match (at.module, at.offset) {
                (Some(module), Some(offset)) => format!("{module}+{offset:#x}"),
                (Some(module), None) => module.to_owned(),
                (None, Some(offset)) => format!("{offset:#x}"),
                (None, None) => String::new(),
            },
        };
        match at.function {
            Some(function) => {
                let place = clean_to(&place, room.saturating_sub(16).max(room / 2));
                let left = room.saturating_sub(place.chars().count() + 4).max(8);
                format!("{} ({place})", clean_to(&short(function), left))
            }
            None => clean_to(&place, room).into_owned(),
        }
    }

    fn push_excerpt(&self, lines: &mut Vec<String>, at: &Located<'_>, severity: Severity) {
        let (Some(path), Some(line)) = (at.path, at.line) else {
            return;
        };
        let Some(marked) = self.sources.line(path, line) else {
            return;
        };
        let gutter = (line.saturating_add(1)).to_string().len().max(2);
        let room = self.width.saturating_sub(gutter + 3);
        let before = at.column.map(|column| sanitize::columns_before(marked, column));
        let from = first_column(before.unwrap_or(0), marked.chars().count(), room);
        let neighbor = |number: Option<u32>| {
            let number = number?;
            let text = self.sources.line(path, number)?;
            let bar = self.paint.frame(&format!("{number:>gutter$} |"));
            Some(format!("{bar} {}", part_of_line(text, from, room)).trim_end().to_owned())
        };
        lines.extend(neighbor(line.checked_sub(1)));
        let bar = format!(
            "{} {}",
            self.paint.frame(&format!("{line:>gutter$}")),
            self.paint.severity(severity, ">")
        );
        lines.push(format!("{bar} {}", part_of_line(marked, from, room)).trim_end().to_owned());
        if let Some(before) = before {
            let length = underline(at, marked, before);
            let before = before.saturating_sub(from);
            if before + length <= room {
                let marks = self.paint.severity(severity, &"^".repeat(length));
                let bar = self.paint.frame(&format!("{:>gutter$} |", ""));
                lines.push(format!("{bar} {}{marks}", " ".repeat(before)));
            }
        }
        lines.extend(neighbor(line.checked_add(1)));
    }

    /// What the site calls, where that says more than that it allocates, and who calls the site.
    fn push_callers(&self, lines: &mut Vec<String>, stack: StackId) {
        let Some((at, _)) = place::site_index(self.report, stack) else {
            return self.push_list(lines, vec![self.paint.dim("(call stack unknown)")]);
        };
        let frames: Vec<&ResolvedFrame> = self.report.resolved(stack).take(MAX_FRAMES).collect();
        let frames = inside_main(&frames);
        let told = |part: Option<&[&'a ResolvedFrame]>| without_interpreter(frames, part.unwrap_or_default());
        let called = told(frames.get(..at)).last().copied().filter(|it| says_more(it));
        if let Some(frame) = called {
            self.push_list(lines, vec![format!("calls {}", self.frame(frame, 13))]);
        }
        let callers = self.frames(&told(frames.get(at + 1..)), STACK_LINES, 17);
        let label = |at| if at == 0 { "called by " } else { "          " };
        self.push_list(
            lines,
            callers.iter().enumerate().map(|(at, it)| format!("{}{it}", label(at))).collect(),
        );
    }

    /// The chain that keeps the finding's memory alive; in one line unless `verbose`.
    fn push_held(&self, lines: &mut Vec<String>, held: &Held) {
        let label = self.paint.bold("held by:");
        let root = held::root(held);
        if !self.options.verbose {
            let via = self.held_via(held, self.width.saturating_sub(16 + root.chars().count()));
            return self.push_list(lines, vec![format!("{label} {root}{via}")]);
        }
        let mut list = vec![format!("{label} {root}")];
        for (at, step) in held.steps.iter().enumerate() {
            if at == FIRST_STEPS && held.left_out > 0 {
                list.push(self.paint.dim(&format!("  … {}", counted(held.left_out as u64, "more step"))));
            }
            let offset = step.offset.map_or(String::new(), |it| format!(", pointer at byte {it}"));
            list.push(format!("  -> {} of {}{offset}", total(step.total), self.step(step, 60)));
        }
        list.push(self.paint.dim(&format!("  freeing all of it would give back {}", total(held.retained))));
        self.push_list(lines, list);
    }

    /// The chain that keeps an object alive.
    fn push_retainers(&self, lines: &mut Vec<String>, held: &Retainers) {
        let label = self.paint.bold("held by:");
        if !self.options.verbose {
            let mut folded = wrapped(&retainers::path(held), self.width.saturating_sub(14)).into_iter();
            let mut list = vec![format!("{label} {}", folded.next().unwrap_or_default())];
            list.extend(folded.map(|line| format!("         {line}")));
            return self.push_list(lines, list);
        }
        let mut list = vec![label];
        for (at, step) in held.steps.iter().enumerate() {
            if at == FIRST_STEPS && held.left_out > 0 {
                list.push(self.paint.dim(&format!("  … {}", counted(held.left_out as u64, "more step"))));
            }
            list.push(format!("  {}{}", retainers::object(step), retainers::reference(step)));
        }
        self.push_list(lines, list);
    }

    /// The blocks between a root and the block it keeps: the first of them.
    fn held_via(&self, held: &Held, room: usize) -> String {
        let Some((_, between)) = held.steps.split_last() else { return String::new() };
        match between {
            [] => String::new(),
            [one] => format!(" -> {}", self.step(one, room)),
            [first, rest @ ..] => {
                let more =
                    format!(" -> {}", counted(rest.len().saturating_add(held.left_out) as u64, "more step"));
                format!(" -> {}{more}", self.step(first, room.saturating_sub(more.len())))
            }
        }
    }

    fn step(&self, step: &HeldStep, room: usize) -> String {
        let at = place::site(self.report, step.stack).map(Located::from);
        self.function_in(at.as_ref(), room.max(30))
    }

    /// The other stacks that lead to the finding's place: their number, or each of them when `verbose`.
    fn push_shares(&self, lines: &mut Vec<String>, finding: &Finding) {
        let Some((first, others)) = finding.stacks.split_first() else { return };
        let number = counted(others.len() as u64, "other call stack");
        if !self.options.verbose {
            let share = match finding.bytes {
                Some(bytes) => percent(first.total.bytes, bytes),
                None => percent(first.total.blocks, finding.blocks.unwrap_or(0)),
            };
            let lead = if others.len() == 1 { "leads" } else { "lead" };
            let line = format!("{number} {lead} here; the one shown has {share}");
            return self.push_list(lines, vec![self.paint.dim(&line)]);
        }
        for share in others.iter().take(MAX_SHARES) {
            let mut list = vec![self.paint.bold(&format!("also {}:", total(share.total)))];
            list.extend(self.stack(share.stack, STACK_LINES));
            self.push_list(lines, list);
        }
        if others.len() > MAX_SHARES {
            let more = counted((others.len() - MAX_SHARES) as u64, "more call stack");
            self.push_list(lines, vec![self.paint.dim(&format!("and {more}"))]);
        }
    }

    fn push_place_stack(&self, lines: &mut Vec<String>, place: &Place) {
        let Place::Stack(stack) = place else { return };
        let mut frames = self.stack(*stack, STACK_LINES);
        if frames.is_empty() {
            frames.push(self.paint.dim("(call stack unknown)"));
        }
        self.push_list(lines, frames);
    }

    fn push_related(&self, lines: &mut Vec<String>, message: &str, place: &Place) {
        let message = self.paint.bold(&format!("{}:", clean(message)));
        let mut list = match place {
            Place::Stack(stack) => self.stack_of_related(*stack),
            place => {
                let at = place::locate_place(self.report, place);
                at.map(|at| self.path_first(&at, self.width.saturating_sub(8))).into_iter().collect()
            }
        };
        if list.len() == 1 {
            list = vec![format!("{message} {}", list.remove(0))];
        } else {
            list.insert(0, message);
        }
        self.push_list(lines, list);
    }

    /// From the call that the user knows on: not how `new` comes to call `malloc`.
    fn stack_of_related(&self, stack: StackId) -> Vec<String> {
        if self.options.verbose {
            return self.stack(stack, RELATED_LINES);
        }
        let frames: Vec<&ResolvedFrame> = self.report.resolved(stack).take(MAX_FRAMES).collect();
        let frames = inside_main(&frames);
        let own = frames.iter().position(|it| !it.is_library || says_more(it)).unwrap_or(0);
        self.frames(&frames[own..], RELATED_LINES, 8)
    }

    /// The first line after `=`, the others below it.
    fn push_list(&self, lines: &mut Vec<String>, list: Vec<String>) {
        for (at, line) in list.into_iter().enumerate() {
            let mark = if at == 0 { self.paint.frame("=") } else { " ".to_owned() };
            lines.push(format!("   {mark} {line}"));
        }
    }

    /// Frames as lines, innermost first: library frames dimmed, runs of them folded.
    fn stack(&self, stack: StackId, limit: usize) -> Vec<String> {
        if self.options.verbose {
            let Ends { inner, left_out, outer } =
                place::ends(self.report, stack, VERBOSE_FRAMES.0, VERBOSE_FRAMES.1);
            let mut lines: Vec<String> = inner.into_iter().map(|frame| self.frame(frame, 5)).collect();
            if left_out > 0 {
                lines.push(self.paint.dim(&format!("… {}", counted(left_out as u64, "frame"))));
            }
            lines.extend(outer.into_iter().map(|frame| self.frame(frame, 5)));
            return lines;
        }
        let frames: Vec<&ResolvedFrame> = self.report.resolved(stack).take(MAX_FRAMES).collect();
        self.frames(inside_main(&frames), limit, 5)
    }

    /// At most `limit` lines, each `indent` narrower than the page.
    fn frames(&self, frames: &[&ResolvedFrame], limit: usize, indent: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut shown = 0;
        let mut runs = frames.chunk_by(|a, b| a.is_library && b.is_library).peekable();
        while let Some(run) = runs.next() {
            let is_last = runs.peek().is_none();
            if lines.len() + 1 == limit && !is_last {
                lines.push(
                    self.paint.dim(&format!("… {}", counted((frames.len() - shown) as u64, "more frame"))),
                );
                break;
            }
            shown += run.len();
            lines.push(match run {
                [frame] => self.frame(frame, indent),
                run => self.folded(run),
            });
        }
        lines
    }

    fn frame(&self, frame: &ResolvedFrame, indent: usize) -> String {
        let mut at = Located::from(frame);
        if at.function.is_none() {
            // Without a name the file alone says too little.
            at = Located { path: None, ..at };
        } else if frame.is_library {
            // An address helps only where somebody has the module's debug information.
            at.offset = None;
        }
        let name = self.function_in(Some(&at), self.width.saturating_sub(indent));
        if frame.is_library { self.paint.dim(&name) } else { name }
    }

    fn folded(&self, run: &[&ResolvedFrame]) -> String {
        let mut modules: Vec<&str> =
            run.iter().map(|frame| frame.module.as_str()).filter(|it| !it.is_empty()).collect();
        modules.dedup();
        let place = match modules[..] {
            [] => String::new(),
            [one] => format!(" in {}", clean_to(one, 40)),
            [one, two] => format!(" in {}, {}", clean_to(one, 30), clean_to(two, 30)),
            _ => " in libraries".to_owned(),
        };
        self.paint.dim(&format!("… {}{place}", counted(run.len() as u64, "frame")))
    }

    fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(program) = &self.report.program {
            self.push_program(&mut lines, program);
        }
        if let Some(objects) = &self.report.objects {
            self.push_objects(&mut lines, objects);
        }
        let limit = if self.options.verbose { self.report.sampled.len() } else { TOP_SITES };
        for (at, site) in self.report.sampled.iter().take(limit).enumerate() {
            let place = place::site(self.report, site.stack).map(Located::from);
            let place = self.function_in(place.as_ref(), self.width.saturating_sub(26).max(20));
            let label = if at == 0 { "made most" } else { "" };
            lines.push(self.item(label, &format!("{:>10}  {place}", human_bytes(site.bytes))));
        }
        if let Some(read) = &self.report.read {
            let text = format!("{} of {}", counted(read.lines, "line"), counted(read.files, "file"));
            lines.push(self.item("checked", &text));
        }
        let children = &self.report.children;
        let limit = if self.options.verbose { children.len() } else { MAX_CHILDREN };
        for child in children.iter().take(limit) {
            lines.push(self.item("child", &self.child(child)));
        }
        if children.len() > limit {
            lines.push(self.item("", &format!("and {} more", grouped((children.len() - limit) as u64))));
        }
        let notes = &self.report.notes;
        let limit = if self.options.verbose { notes.len() } else { MAX_NOTES };
        for note in notes.iter().take(limit) {
            for (at, line) in wrapped(&clean(note), self.width.saturating_sub(13)).iter().enumerate() {
                lines.push(self.item(if at == 0 { "note" } else { "" }, line));
            }
        }
        if notes.len() > limit {
            lines.push(self.item("", &format!("and {}", counted((notes.len() - limit) as u64, "more note"))));
        }
        lines
    }

    fn item(&self, label: &str, text: &str) -> String {
        format!("{} {text}", self.paint.bold(&format!("{label:<12}")))
    }

    /// A heap of objects: its size, and the classes that hold most, or changed most.
    fn push_objects(&self, lines: &mut Vec<String>, objects: &ObjectTotals) {
        let total = |it: Total| format!("{} in {}", human_bytes(it.bytes), counted(it.blocks, "object"));
        let before = objects.before.map_or(String::new(), |it| format!("; before {}", total(it)));
        let references = counted(objects.references, "reference");
        lines.push(self.item("heap", &format!("{}, {references}{before}", total(objects.total))));
        let limit = if self.options.verbose { objects.classes.len() } else { TOP_CLASSES };
        let signed = |value: i64, text: String| format!("{}{text}", if value < 0 { '-' } else { '+' });
        for (at, class) in objects.classes.iter().take(limit).enumerate() {
            let name = clean_to(&class.name, self.width.saturating_sub(50).max(20)).into_owned();
            let retained = human_bytes(class.retained_bytes);
            match class.change {
                None => {
                    let label = if at == 0 { "held most by" } else { "" };
                    let objects = counted(class.total.blocks, "object");
                    lines.push(self.item(label, &format!("{retained:>10}  {name}, {objects}")));
                }
                Some((count, bytes)) => {
                    let label = if at == 0 { "changed most" } else { "" };
                    let more = signed(bytes, human_bytes(bytes.unsigned_abs()));
                    let count = signed(count, counted(count.unsigned_abs(), "object"));
                    lines.push(
                        self.item(label, &format!("{more:>11}  {name}, {count}, now holding {retained}")),
                    );
                }
            }
        }
    }

    /// The phases that needed most, of a program that names them.
    fn push_phases(&self, lines: &mut Vec<String>) {
        let phases = &self.report.phases;
        let mut greatest: Vec<_> = phases.iter().collect();
        greatest.sort_by_key(|it| std::cmp::Reverse(it.peak_bytes));
        let shown = if self.options.verbose { phases.len() } else { TOP_SITES };
        for (at, phase) in greatest.iter().take(shown).enumerate() {
            let (peak, kept) = (human_bytes(phase.peak_bytes), human_bytes(phase.kept.bytes));
            let name = clean_to(&phase.name, self.width.saturating_sub(50).max(24));
            let label = if at == 0 { "phases" } else { "" };
            lines.push(self.item(label, &format!("{name}: at most {peak} more, {kept} kept")));
        }
        if let Some(more @ 1..) = phases.len().checked_sub(shown) {
            lines.push(self.item("", &format!("and {more} more (--verbose lists them)")));
        }
    }

    fn push_program(&self, lines: &mut Vec<String>, program: &Program) {
        let command =
            clean_to(&program.command.join(" "), self.width.saturating_sub(50).max(24)).into_owned();
        let end = ending(program.exit);
        let time = human_time(program.duration_ns);
        lines.push(self.item("program", &format!("{command} (pid {}), {end} after {time}", program.pid)));
        let temporary = percent(program.temporary, program.allocations);
        lines.push(self.item(
            "allocations",
            &format!(
                "{} of {} in all, {} freed, {temporary} temporary",
                grouped(program.allocations),
                human_bytes(program.allocated_bytes),
                grouped(program.frees)
            ),
        ));
        let mut peak =
            format!("{} live after {}", human_bytes(program.peak_bytes), human_time(program.peak_at_ns));
        if program.peak_rss_bytes > 0 {
            peak.push_str(&format!("; {} resident at most", human_bytes(program.peak_rss_bytes)));
        }
        lines.push(self.item("peak", &peak));
        self.push_end(lines, program);
        self.push_phases(lines);
        let top = sites::sites(self.report, Metric::Peak);
        for (at, site) in top.iter().take(TOP_SITES).enumerate() {
            let place = self.function_in(site.place.as_ref(), self.width.saturating_sub(32).max(20));
            let bytes = human_bytes(site.cost.peak_bytes);
            let share = percent(site.cost.peak_bytes, program.peak_bytes);
            let label = if at == 0 { "most at peak" } else { "" };
            lines.push(self.item(label, &format!("{bytes:>10} {share:>5}  {place}")));
        }
    }

    /// What was live at the end: by leak class, only those that hold something, the worst first.
    fn push_end(&self, lines: &mut Vec<String>, program: &Program) {
        let Some(leaks) = program.leaks else {
            let live = format!("{} live{}", total(program.live), self.folded_stacks(None));
            lines.push(self.item("at the end", &live));
            return;
        };
        let classes = [
            ("definitely lost", leaks.definite, Kind::Definite),
            ("indirectly lost", leaks.indirect, Kind::Indirect),
            ("possibly lost", leaks.possible, Kind::Possible),
            ("still reachable", leaks.reachable, Kind::Reachable),
        ];
        let begin = lines.len();
        for (name, class, kind) in classes.iter().filter(|(_, it, _)| it.blocks > 0 || it.bytes > 0) {
            let label = if lines.len() == begin { "at the end" } else { "" };
            let (bytes, blocks) = (human_bytes(class.bytes), counted(class.blocks, "block"));
            let stacks = self.folded_stacks(Some(*kind));
            lines.push(self.item(label, &format!("{bytes:>10} in {blocks} {name}{stacks}")));
        }
        if lines.len() == begin {
            lines.push(self.item("at the end", "nothing live"));
        }
        lines.extend(self.greatest_holder());
    }

    /// Which still reachable memory keeps most alive, and from where it is held; each finding tells when `verbose`.
    fn greatest_holder(&self) -> Option<String> {
        let held = self.report.findings.iter().filter(|it| it.kind == Some(Kind::Reachable));
        let held = held.filter_map(|it| Some((it, it.held.as_ref()?)));
        let (finding, held) = held.max_by_key(|(_, held)| held.retained.bytes)?;
        if self.options.verbose || held.retained.bytes < TOLD_HOLDER {
            return None;
        }
        let root = held::root(held);
        let mut line = format!("{:>10} of it held by {root}", human_bytes(held.retained.bytes));
        let room = self.width.saturating_sub(13 + line.chars().count() + 7);
        if room >= 30 {
            let place = self.function_in(place::locate(self.report, finding).as_ref(), room);
            line.push_str(&format!(", from {place}"));
        }
        Some(self.item("", &line))
    }

    /// How many findings of a leak class are folded into its line.
    fn folded_stacks(&self, kind: Option<Kind>) -> String {
        let is_of = |it: &&Finding| is_folded(it) && it.kind == kind;
        let stacks = self.report.findings.iter().filter(is_of).map(|it| it.stacks.len().max(1) as u64);
        let count: u64 = stacks.sum();
        if count == 0 || self.options.verbose {
            return String::new();
        }
        self.paint.dim(&format!(" ({}; --verbose lists them)", counted(count, "call stack")))
    }

    fn child(&self, child: &Child) -> String {
        let mut line =
            format!("{} (pid {}), {}", clean_to(&child.command, 40), child.pid, ending(child.exit));
        if let Some(leaks) = child.leaks.filter(|leaks| leaks.definite.blocks > 0) {
            line.push_str(&format!(", {} lost", human_bytes(leaks.definite.bytes)));
        }
        if child.errors > 0 {
            line.push_str(&format!(", {}", counted(child.errors, "error")));
        }
        if let Some(recording) = &child.recording {
            line.push_str(&format!(", {}", clean_to(recording, 60)));
        }
        line
    }

    fn next_step(&self) -> String {
        let report = self.report;
        let worst = report.findings.iter().find(|it| !is_folded(it));
        let file = |recording: &str| clean(&shell_word(recording)).into_owned();
        let snapshot =
            report.recording.as_ref().filter(|_| report.objects.is_some() && report.program.is_none());
        let step = match (&report.recording, worst) {
            (_, None) if snapshot.is_some() => snapshot.map(|it| format!("heapwise diff {} LATER", file(it))),
            (Some(recording), Some(finding)) if finding.engine != Engine::Check => {
                Some(format!("heapwise report {} --format html --output report.html", file(recording)))
            }
            (_, Some(finding)) => Some(format!("heapwise explain {}", finding.rule)),
            (recording, None) => match (worst_child(&report.children), recording) {
                (Some(child), _) => Some(format!("heapwise report {}", file(child))),
                // Nothing is wrong: what is left to see is what memory is spent on.
                (None, Some(recording)) => Some(format!("heapwise report {} --by peak", file(recording))),
                (None, None) => None,
            },
        };
        let step = step.map(|step| format!("{} {step}", self.paint.bold("next:")));
        match (worst, step) {
            (Some(_), Some(step)) => step,
            (_, Some(step)) => format!("{}\n{step}", self.paint.good(all_clear(report))),
            (_, None) => self.paint.good(all_clear(report)),
        }
    }
}

/// The end of a long absolute path.
fn last_parts(path: Cow<'_, str>) -> Cow<'_, str> {
    const PARTS: usize = 3;
    match path.rmatch_indices('/').nth(PARTS - 1) {
        Some((at, _)) if at > 0 && path.starts_with('/') => Cow::Owned(format!("…{}", &path[at..])),
        _ => path,
    }
}

/// What is still there at the end, or lost with another block: nothing to act on before the rest is.
fn is_folded(finding: &Finding) -> bool {
    finding.engine != Engine::Check
        && finding.rule == Rule::MemoryLeak
        && finding.severity == Severity::Note
        && matches!(finding.kind, None | Some(Kind::Indirect | Kind::Reachable))
}

/// The recording of the child with most errors.
fn worst_child(children: &[Child]) -> Option<&str> {
    let bad = children.iter().filter(|it| it.errors > 0 && it.recording.is_some());
    bad.max_by_key(|it| it.errors)?.recording.as_deref()
}

/// Part of a stack; of a script's without the interpreter's own functions between its lines.
fn without_interpreter<'a>(stack: &[&ResolvedFrame], part: &[&'a ResolvedFrame]) -> Vec<&'a ResolvedFrame> {
    let is_scripted = stack.iter().any(|it| it.language == Some(Language::Python));
    let is_interpreter = |it: &ResolvedFrame| {
        it.language != Some(Language::Python)
            && it.is_library
            && (it.module.starts_with("libpython") || it.module.starts_with("python3"))
    };
    part.iter().copied().filter(|it| !(is_scripted && is_interpreter(it))).collect()
}

/// Whether a frame inside of the site tells more than that it allocates.
fn says_more(frame: &ResolvedFrame) -> bool {
    frame.function.as_deref().is_some_and(|it| !place::is_allocation_function(it))
}

/// Without what the C library runs before the program and its threads: nobody can do anything about it.
fn inside_main<'f, 'a>(frames: &'f [&'a ResolvedFrame]) -> &'f [&'a ResolvedFrame] {
    let name = |frame: &ResolvedFrame| frame.function.clone().unwrap_or_default();
    let is_main = |frame: &&ResolvedFrame| !frame.is_library && frame.function.as_deref() == Some("main");
    // Rust's runtime stands between `app::main` and the `main` that the C library calls.
    let is_rust_main = |frame: &&ResolvedFrame| {
        !frame.is_library && frame.function.as_deref().is_some_and(|it| it.ends_with("::main"))
    };
    let main = frames.iter().rposition(is_rust_main).or_else(|| frames.iter().rposition(is_main));
    if let Some(main) = main {
        return &frames[..=main];
    }
    let is_start = |frame: &&ResolvedFrame| {
        frame.is_library
            && (name(frame).starts_with("__libc_start_")
                || ["start_thread", "clone3"].contains(&&*name(frame)))
    };
    match frames.iter().position(is_start) {
        Some(start) if start > 0 => &frames[..start],
        _ => frames,
    }
}

/// The first column shown of a line that is too long: some way before the marked one.
fn first_column(marked: usize, length: usize, room: usize) -> usize {
    if length <= room || marked < room * 3 / 4 { 0 } else { (marked - room / 3).min(length + 1 - room) }
}

/// `room` columns of a source line, `…` where it was cut.
fn part_of_line(text: &str, from: usize, room: usize) -> String {
    if from == 0 {
        return sanitize::source_line(text, room.saturating_sub(1));
    }
    let whole = sanitize::source_line(text, sanitize::MAX_CHARS);
    if whole.chars().count() <= from {
        return String::new();
    }
    let part: String = whole.chars().skip(from + 1).collect();
    format!("…{}", clean_to(&part, room.saturating_sub(2)))
}

/// `text` in lines of at most `width` characters, cut at spaces.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width.max(20) {
            lines.push(String::new());
            used = 0;
        }
        let line = lines.last_mut().expect("there is a line from the start");
        if !line.is_empty() {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
    }
    lines
}

/// How far `^` reaches: to the end of the range if it ends on this line.
fn underline(at: &Located<'_>, text: &str, before: usize) -> usize {
    let Some(end) = at.end_column.filter(|_| at.end_line.is_none_or(|end| Some(end) == at.line)) else {
        return 1;
    };
    sanitize::columns_before(text, end).saturating_sub(before).max(1)
}

/// What may be said of a run without findings; never more than is known.
fn all_clear(report: &Report) -> &'static str {
    let Some(program) = &report.program else {
        return "no findings";
    };
    match program.leaks {
        Some(leaks) if leaks.definite == Total::default() && leaks.possible == Total::default() => {
            "no leaks, no memory errors"
        }
        Some(_) => "no findings at the chosen rules",
        None => "no memory errors; what leaks is not known",
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn total(total: Total) -> String {
    format!("{} in {}", human_bytes(total.bytes), counted(total.blocks, "block"))
}

/// Those that programs are known to end with; numbers as on x86-64 Linux.
fn signal_name(signal: u8) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

fn ending(exit: Option<Termination>) -> String {
    match exit {
        Some(Termination { signal: Some(signal), .. }) => match signal_name(signal) {
            Some(name) => format!("killed by {name}"),
            None => format!("killed by signal {signal}"),
        },
        Some(Termination { code: Some(code), .. }) => format!("exited with {code}"),
        Some(_) => "ended".to_owned(),
        None => "end not recorded".to_owned(),
    }
}

/// Quoted for a shell when it has to be.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._-/+,:=@%".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let start = if word.starts_with('-') { "./" } else { "" };
    format!("'{start}{}'", word.replace('\'', "'\\''"))
}
