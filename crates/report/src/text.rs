//! The terminal's output: worst first, on one screen unless more is asked for.
//!
//! ```text
//! error[memory-leak]: 880,000 bytes in 20,000 blocks are never freed
//!   --> src/app.c:12:9 in make
//! 11 |     size_t n = 44;
//! 12 >     char *p = malloc(n);
//! 13 |     fill(p, n);
//!    = make (app.c:12)
//!      main (app.c:30)
//!      … 3 frames in libc.so.6
//!    = help: free p before `make` returns
//! ```
//!
//! Findings first, then the program in figures, then what to do next. All text of the observed
//! program passes [`crate::sanitize`]; the only escapes written are the styles of this module.
//! Cost: memory is that of one finding.

use crate::numbers::{counted, grouped, human_bytes, human_time, percent};
use crate::place::{self, Located, MAX_FRAMES, Sources, file_name};
use crate::sanitize::{self, clean, clean_to};
use crate::sites::{self, Metric};
use crate::style::Paint;
use heapwise_model::{
    Child, Engine, Finding, LeakTotals, Place, Program, Report, ResolvedFrame, Severity, StackId,
    Termination, Total,
};
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
const TOP_SITES: usize = 3;
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
    /// Paths under this folder are shown relative to it.
    pub base: Option<PathBuf>,
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions { color: false, width: 100, verbose: false, base: None }
    }
}

/// Writes findings, summary and the next step.
pub fn write(out: &mut dyn Write, report: &Report, options: &TextOptions) -> io::Result<()> {
    let page = Page::new(report, options);
    page.findings(out)?;
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
        let place = site.place.map_or_else(|| "(unknown)".to_owned(), |it| page.function_at(&it));
        let place = clean_to(&place, place_width).into_owned();
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
        let findings = &self.report.findings;
        let (mut full, mut lines) = (0, 0);
        for finding in findings {
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
        self.push_place_stack(&mut lines, &finding.place);
        for related in &finding.related {
            self.push_related(&mut lines, &related.message, &related.place);
        }
        let fix = finding.fix.as_ref().map(|fix| fix.message.as_str());
        for help in finding.help.as_deref().into_iter().chain(fix) {
            lines.push(format!("   {} {} {}", self.paint.frame("="), self.paint.good("help:"), clean(help)));
        }
        lines
    }

    fn in_brief(&self, finding: &Finding) -> String {
        let place = place::locate(self.report, finding).map(|at| self.path_first(&at, self.width / 2));
        let place = place.map_or(String::new(), |place| format!("  {place}"));
        let label = severity_name(finding.severity).len() + finding.rule.name().len() + 5;
        let room = self.width.saturating_sub(label + place.chars().count()).max(24);
        format!("{}{}", self.heading(finding, &clean_to(&finding.message, room)), self.paint.dim(&place))
    }

    /// `src/app.c:12:9 in make`, or `make (app+0x1139)`.
    fn path_first(&self, at: &Located<'_>, room: usize) -> String {
        let Some(path) = at.path else {
            return clean_to(&self.function_at(at), room).into_owned();
        };
        let mut place = clean_to(&place::relative(path, self.options.base.as_deref()), room).into_owned();
        for number in [at.line, at.line.and(at.column)].into_iter().flatten() {
            place.push_str(&format!(":{number}"));
        }
        let left = room.saturating_sub(place.chars().count() + 5).max(12);
        match at.function {
            Some(function) => format!("{place} in {}", clean_to(function, left)),
            None => place,
        }
    }

    /// `make (app.c:12)`, or `make (app+0x1139)`, not yet sanitized.
    fn function_at(&self, at: &Located<'_>) -> String {
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
            // A name of a megabyte would hide the place behind it.
            Some(function) => {
                format!("{} ({place})", clean_to(function, self.width.saturating_sub(30).max(30)))
            }
            None => place,
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
        let neighbor = |number: Option<u32>| {
            let number = number?;
            let text = self.sources.line(path, number)?;
            let bar = self.paint.frame(&format!("{number:>gutter$} |"));
            Some(format!("{bar} {}", sanitize::source_line(text, room)).trim_end().to_owned())
        };
        lines.extend(neighbor(line.checked_sub(1)));
        let bar = format!(
            "{} {}",
            self.paint.frame(&format!("{line:>gutter$}")),
            self.paint.severity(severity, ">")
        );
        lines.push(format!("{bar} {}", sanitize::source_line(marked, room)).trim_end().to_owned());
        if let Some(column) = at.column {
            let before = sanitize::columns_before(marked, column);
            let length = underline(at, marked, before);
            if before + length <= room {
                let marks = self.paint.severity(severity, &"^".repeat(length));
                let bar = self.paint.frame(&format!("{:>gutter$} |", ""));
                lines.push(format!("{bar} {}{marks}", " ".repeat(before)));
            }
        }
        lines.extend(neighbor(line.checked_add(1)));
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
            Place::Stack(stack) => self.stack(*stack, RELATED_LINES),
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

    /// The first line after `=`, the others below it.
    fn push_list(&self, lines: &mut Vec<String>, list: Vec<String>) {
        for (at, line) in list.into_iter().enumerate() {
            let mark = if at == 0 { self.paint.frame("=") } else { " ".to_owned() };
            lines.push(format!("   {mark} {line}"));
        }
    }

    /// Frames as lines, innermost first: library frames dimmed, runs of them folded.
    fn stack(&self, stack: StackId, limit: usize) -> Vec<String> {
        let frames: Vec<&ResolvedFrame> = self.report.resolved(stack).take(MAX_FRAMES).collect();
        if self.options.verbose {
            return frames.into_iter().map(|frame| self.frame(frame)).collect();
        }
        let frames = inside_main(&frames);
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
                [frame] => self.frame(frame),
                run => self.folded(run),
            });
        }
        lines
    }

    fn frame(&self, frame: &ResolvedFrame) -> String {
        let mut at = Located::from(frame);
        if at.function.is_none() {
            // Without a name the file alone says too little.
            at = Located { path: None, ..at };
        } else if frame.is_library {
            // An address helps only where somebody has the module's debug information.
            at.offset = None;
        }
        let name = clean_to(&self.function_at(&at), self.width.saturating_sub(5)).into_owned();
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
            lines.push(self.item("note", &clean(note)));
        }
        if notes.len() > limit {
            lines.push(self.item("", &format!("and {}", counted((notes.len() - limit) as u64, "more note"))));
        }
        lines
    }

    fn item(&self, label: &str, text: &str) -> String {
        format!("{} {text}", self.paint.bold(&format!("{label:<12}")))
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
        lines.push(self.item("at the end", &format!("{} live", total(program.live))));
        self.push_leaks(lines, program.leaks);
        let top = sites::sites(self.report, Metric::Peak);
        for (at, site) in top.iter().take(TOP_SITES).enumerate() {
            let place = site.place.map_or_else(|| "(unknown)".to_owned(), |it| self.function_at(&it));
            let place = clean_to(&place, self.width.saturating_sub(34).max(20)).into_owned();
            let bytes = human_bytes(site.cost.peak_bytes);
            let share = percent(site.cost.peak_bytes, program.peak_bytes);
            let label = if at == 0 { "most at peak" } else { "" };
            lines.push(self.item(label, &format!("{bytes:>10} {share:>5}  {place}")));
        }
    }

    /// Only classes that hold something; the worst first.
    fn push_leaks(&self, lines: &mut Vec<String>, leaks: LeakTotals) {
        let Some(leaks) = leaks else { return };
        let classes = [
            ("definitely lost", leaks.definite),
            ("indirectly lost", leaks.indirect),
            ("possibly lost", leaks.possible),
            ("still reachable", leaks.reachable),
        ];
        let held = classes.iter().filter(|(_, class)| class.blocks > 0 || class.bytes > 0);
        for (at, (name, class)) in held.enumerate() {
            let label = if at == 0 { "leaks" } else { "" };
            let bytes = human_bytes(class.bytes);
            lines
                .push(self.item(label, &format!("{bytes:>10} {name} in {}", counted(class.blocks, "block"))));
        }
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
        let Some(worst) = report.findings.first() else {
            return self.paint.good(all_clear(report));
        };
        let step = match &report.recording {
            Some(recording) if worst.engine != Engine::Check => {
                let file = clean(&shell_word(recording)).into_owned();
                format!("heapwise report {file} --format html --output report.html")
            }
            _ => format!("heapwise explain {}", worst.rule),
        };
        format!("{} {step}", self.paint.bold("next:"))
    }
}

/// Without what the C library runs before the program: nobody can do anything about it.
fn inside_main<'f, 'a>(frames: &'f [&'a ResolvedFrame]) -> &'f [&'a ResolvedFrame] {
    let is_main = |frame: &&ResolvedFrame| !frame.is_library && frame.function.as_deref() == Some("main");
    frames.iter().rposition(is_main).map_or(frames, |main| &frames[..=main])
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

fn ending(exit: Option<Termination>) -> String {
    match exit {
        Some(Termination { signal: Some(signal), .. }) => format!("killed by signal {signal}"),
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
