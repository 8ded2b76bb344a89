//! memcheck's XML, protocol 4, for the many programs that read it.
//!
//! Findings that memcheck has a kind for: leaks, and bad deallocations. Errors come before the
//! status `FINISHED`, leaks after it, as there. `ip` is the module's own address, not the process's,
//! because a report knows no other. Everything is sanitized, then escaped: control characters would
//! make the document ill-formed.

use crate::place::{self, Located, MAX_FRAMES};
use crate::sanitize::{MAX_CHARS, clean, clean_to};
use heapwise_model::{Finding, Kind, Place, Report, Rule};
use std::io::{self, Write};

/// memcheck's own limit is `--num-callers=500`.
const MAX_STACK: usize = 500;
const MAX_PATH_CHARS: usize = 4_096;

/// Nothing to choose yet.
#[derive(Clone, Debug, Default)]
pub struct ValgrindXmlOptions {}

/// Writes the document.
pub fn write(out: &mut dyn Write, report: &Report, _options: &ValgrindXmlOptions) -> io::Result<()> {
    writeln!(out, "<?xml version=\"1.0\"?>\n\n<valgrindoutput>\n")?;
    writeln!(out, "<protocolversion>4</protocolversion>\n<protocoltool>memcheck</protocoltool>\n")?;
    head(out, report)?;
    status(out, "RUNNING", 0)?;
    let errors = || numbered(report).filter(|(_, finding, _)| finding.rule != Rule::MemoryLeak);
    let leaks = || numbered(report).filter(|(_, finding, _)| finding.rule == Rule::MemoryLeak);
    for (number, finding, kind) in errors() {
        error(out, report, number, finding, kind)?;
    }
    status(out, "FINISHED", report.program.as_ref().map_or(0, |program| program.duration_ns))?;
    for (number, finding, kind) in leaks() {
        error(out, report, number, finding, kind)?;
    }
    writeln!(out, "<errorcounts>")?;
    for (number, _, _) in errors() {
        writeln!(out, "  <pair>\n    <count>1</count>\n    <unique>{number:#x}</unique>\n  </pair>")?;
    }
    writeln!(out, "</errorcounts>\n\n<suppcounts>\n</suppcounts>\n\n</valgrindoutput>")
}

/// Findings with their number in the report and memcheck's kind.
fn numbered(report: &Report) -> impl Iterator<Item = (usize, &Finding, &'static str)> {
    report.findings.iter().enumerate().filter_map(|(at, finding)| Some((at, finding, kind(finding)?)))
}

fn kind(finding: &Finding) -> Option<&'static str> {
    match (finding.rule, finding.kind) {
        (Rule::MemoryLeak, Some(Kind::Indirect)) => Some("Leak_IndirectlyLost"),
        (Rule::MemoryLeak, Some(Kind::Possible)) => Some("Leak_PossiblyLost"),
        (Rule::MemoryLeak, Some(Kind::Reachable)) => Some("Leak_StillReachable"),
        (Rule::MemoryLeak, _) => Some("Leak_DefinitelyLost"),
        (Rule::DoubleFree | Rule::InvalidFree, _) => Some("InvalidFree"),
        (Rule::MismatchedFree, _) => Some("MismatchedFree"),
        // memcheck has no word for the others.
        _ => None,
    }
}

fn head(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(out, "<preamble>\n  <line>heapwise {}</line>\n</preamble>\n", escaped(&report.version))?;
    let Some(program) = &report.program else {
        return writeln!(out, "<tool>memcheck</tool>\n");
    };
    // The parent is not known.
    writeln!(out, "<pid>{}</pid>\n<ppid>0</ppid>\n<tool>memcheck</tool>\n", program.pid)?;
    writeln!(out, "<args>\n  <vargv>\n    <exe>heapwise</exe>\n  </vargv>\n  <argv>")?;
    for (at, word) in program.command.iter().enumerate() {
        let tag = if at == 0 { "exe" } else { "arg" };
        writeln!(out, "    <{tag}>{}</{tag}>", escaped(word))?;
    }
    writeln!(out, "  </argv>\n</args>\n")
}

fn status(out: &mut dyn Write, state: &str, ns: u64) -> io::Result<()> {
    let (ms, s) = (ns / 1_000_000, ns / 1_000_000_000);
    let time =
        format!("{:02}:{:02}:{:02}:{:02}.{:03}", s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60, ms % 1_000);
    writeln!(out, "<status>\n  <state>{state}</state>\n  <time>{time}</time>\n</status>\n")
}

fn error(
    out: &mut dyn Write,
    report: &Report,
    number: usize,
    finding: &Finding,
    kind: &str,
) -> io::Result<()> {
    // Threads of findings are not known; readers want the tag.
    writeln!(out, "<error>\n  <unique>{number:#x}</unique>\n  <tid>1</tid>\n  <kind>{kind}</kind>")?;
    if finding.rule == Rule::MemoryLeak {
        writeln!(out, "  <xwhat>\n    <text>{}</text>", escaped(&finding.message))?;
        writeln!(out, "    <leakedbytes>{}</leakedbytes>", finding.bytes.unwrap_or(0))?;
        writeln!(out, "    <leakedblocks>{}</leakedblocks>\n  </xwhat>", finding.blocks.unwrap_or(0))?;
    } else {
        writeln!(out, "  <what>{}</what>", escaped(&finding.message))?;
    }
    stack(out, report, &finding.place)?;
    for related in &finding.related {
        writeln!(out, "  <auxwhat>{}</auxwhat>", escaped(&related.message))?;
        stack(out, report, &related.place)?;
    }
    writeln!(out, "</error>\n")
}

/// A place in source is a stack of one frame without an address.
fn stack(out: &mut dyn Write, report: &Report, place: &Place) -> io::Result<()> {
    writeln!(out, "  <stack>")?;
    if let Some(stack) = place::stack_of(place) {
        for resolved in report.resolved(stack).take(MAX_FRAMES.min(MAX_STACK)) {
            frame(out, &Located::from(resolved))?;
        }
    } else if let Some(at) = place::locate_place(report, place) {
        frame(out, &at)?;
    }
    writeln!(out, "  </stack>")
}

fn frame(out: &mut dyn Write, at: &Located<'_>) -> io::Result<()> {
    writeln!(out, "    <frame>\n      <ip>0x{:X}</ip>", at.offset.unwrap_or(0))?;
    let (folder, file) = at.path.map_or((None, None), |path| match path.rsplit_once('/') {
        Some((folder, file)) => (Some(folder), Some(file)),
        None => (None, Some(path)),
    });
    for (tag, text) in [("obj", at.module), ("fn", at.function), ("dir", folder), ("file", file)] {
        if let Some(text) = text {
            writeln!(out, "      <{tag}>{}</{tag}>", escape(&clean_to(text, limit(tag))))?;
        }
    }
    if let Some(line) = at.line {
        writeln!(out, "      <line>{line}</line>")?;
    }
    writeln!(out, "    </frame>")
}

/// Paths are opened by readers and must be whole; names need not be.
fn limit(tag: &str) -> usize {
    if matches!(tag, "dir" | "file") { MAX_PATH_CHARS } else { MAX_CHARS }
}

fn escaped(text: &str) -> String {
    escape(&clean(text))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}
