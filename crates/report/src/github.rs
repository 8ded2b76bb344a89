//! Workflow annotations of GitHub Actions: one `::error …::…` line per finding.
//!
//! A line break or a colon in a file name would forge a second command, so properties escape
//! `% \r \n : ,` and messages `% \r \n`, after everything hostile was made visible.

use crate::numbers::counted;
use crate::place::{self, Located, file_name, frame_name};
use crate::retainers;
use crate::sanitize::{clean, clean_to};
use heapwise_model::{Finding, Place, Report, Severity};
use std::io::{self, Write};
use std::path::PathBuf;

/// Own frames of the stack that an annotation shows.
const FRAMES: usize = 8;
const MAX_PATH_CHARS: usize = 4_096;

/// How annotations are written.
#[derive(Clone, Debug, Default)]
pub struct GithubOptions {
    /// Root of the repository: annotations attach to paths relative to it.
    pub base: Option<PathBuf>,
}

/// Writes one annotation per finding.
pub fn write(out: &mut dyn Write, report: &Report, options: &GithubOptions) -> io::Result<()> {
    for finding in &report.findings {
        annotation(out, report, finding, options)?;
    }
    Ok(())
}

fn annotation(
    out: &mut dyn Write,
    report: &Report,
    finding: &Finding,
    options: &GithubOptions,
) -> io::Result<()> {
    let command = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    write!(out, "::{command} ")?;
    if let Some(at) = place::locate(report, finding)
        && let Some(path) = at.path
    {
        let path = place::relative(path, options.base.as_deref());
        write!(out, "file={},", property(&clean_to(&path, MAX_PATH_CHARS)))?;
        write_range(out, &at)?;
    }
    let kind = finding.kind.map_or(String::new(), |kind| format!(" ({kind})"));
    let title = format!("{}{kind}", finding.rule);
    writeln!(out, "title={}::{}", property(&title), body(report, finding))
}

fn write_range(out: &mut dyn Write, at: &Located<'_>) -> io::Result<()> {
    let Some(line) = at.line else { return Ok(()) };
    write!(out, "line={line},")?;
    let end_line = at.end_line.unwrap_or(line);
    if end_line != line {
        // Columns count only within one line.
        return write!(out, "endLine={end_line},");
    }
    if let Some(column) = at.column {
        write!(out, "col={column},")?;
        if let Some(end) = at.end_column {
            write!(out, "endColumn={end},")?;
        }
    }
    Ok(())
}

fn body(report: &Report, finding: &Finding) -> String {
    let mut lines = vec![data(&clean(&finding.message))];
    lines.extend(stack(report, &finding.place));
    if let Some(held) = &finding.retainers {
        lines.push(data(&format!("held by: {}", retainers::path(held))));
    }
    for related in &finding.related {
        let place = place::locate_place(report, &related.place).map(|at| format!(" {}", described(&at)));
        lines.push(data(&format!("{}:{}", clean(&related.message), place.unwrap_or_default())));
    }
    let fix = finding.fix.as_ref().map(|fix| fix.message.as_str());
    for help in finding.help.as_deref().into_iter().chain(fix) {
        lines.push(data(&format!("help: {}", clean(help))));
    }
    lines.join("%0A")
}

fn stack(report: &Report, place: &Place) -> Vec<String> {
    let Some(stack) = place::stack_of(place) else {
        return Vec::new();
    };
    let own = || report.resolved(stack).take(place::MAX_FRAMES).filter(|frame| !frame.is_library);
    let line = |frame| format!("  {}", described(&Located { function: None, ..Located::from(frame) }));
    let mut lines: Vec<String> = own()
        .take(FRAMES)
        .map(|frame| data(&format!("  {}{}", clean(&frame_name(frame)), line(frame))))
        .collect();
    let rest = own().count().saturating_sub(FRAMES);
    if rest > 0 {
        lines.push(format!("  … {}", counted(rest as u64, "more frame")));
    }
    lines
}

fn described(at: &Located<'_>) -> String {
    let function = at.function.map_or(String::new(), |name| format!("{} ", clean(name)));
    match (at.path, at.line) {
        (Some(path), Some(line)) => format!("{function}{}:{line}", clean(file_name(path))),
        (Some(path), None) => format!("{function}{}", clean(file_name(path))),
        _ => format!("{function}{}", clean(at.module.unwrap_or_default())),
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
