//! Where output goes, and in which format.

use crate::args::{Common, Format};
use crate::{Failure, analyze};
use anstream::AutoStream;
use heapwise_model::{Report, Severity};
use heapwise_report::text::TextOptions;
use heapwise_report::{fingerprint, github, html, json, sarif, text};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The standard stream a verb's findings go to when no file is named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Output,
    Error,
}

/// Runs `write` on the chosen file or stream; `color` tells it whether escapes are wanted.
pub fn with(
    common: &Common,
    stream: Stream,
    write: impl FnOnce(&mut dyn Write, bool) -> io::Result<()>,
) -> Result<(), Failure> {
    if let Some(path) = &common.output {
        let failed = |error| Failure::new(format!("cannot write {}: {error}", path.display()), None);
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        return write(&mut file, false).and_then(|()| file.flush()).map_err(failed);
    }
    let color = match stream {
        Stream::Output => AutoStream::choice(&io::stdout()),
        Stream::Error => AutoStream::choice(&io::stderr()),
    } != anstream::ColorChoice::Never;
    match stream {
        Stream::Output => flushed(BufWriter::new(io::stdout().lock()), color, write)?,
        Stream::Error => flushed(BufWriter::new(io::stderr().lock()), color, write)?,
    }
    Ok(())
}

fn flushed<W: Write>(
    mut out: W,
    color: bool,
    write: impl FnOnce(&mut dyn Write, bool) -> io::Result<()>,
) -> io::Result<()> {
    write(&mut out, color)?;
    out.flush()
}

/// How many names a format shows.
pub fn names(common: &Common) -> analyze::Names {
    match common.format {
        Format::Text if !common.verbose => analyze::Names::Shown,
        Format::Html => analyze::Names::All,
        _ => analyze::Names::Findings,
    }
}

/// Options of text on this terminal.
pub fn text_options(common: &Common, stream: Stream, color: bool) -> TextOptions {
    let is_terminal = common.output.is_none()
        && match stream {
            Stream::Output => io::stdout().is_terminal(),
            Stream::Error => io::stderr().is_terminal(),
        };
    let columns = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok()).filter(|_| is_terminal);
    let columns = columns.or_else(|| {
        is_terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| usize::from(width.0))
    });
    TextOptions {
        color,
        width: columns.unwrap_or(100).clamp(40, 200),
        verbose: common.verbose,
        quiet: common.quiet,
        base: base(),
    }
}

/// Paths are shown relative to the current folder.
pub fn base() -> Option<PathBuf> {
    std::env::current_dir().ok()
}

/// Writes findings in the chosen format.
pub fn findings(report: &Report, common: &Common, stream: Stream) -> Result<(), Failure> {
    if common.format == Format::Html && common.output.is_none() && stream == Stream::Error {
        return Err(Failure::new(
            "--format html needs --output FILE",
            "heapwise run --format html --output report.html -- CMD",
        ));
    }
    with(common, stream, |out, color| match common.format {
        Format::Text => text::write(out, report, &text_options(common, stream, color)),
        Format::Json => {
            let options =
                json::JsonOptions { base: base(), all_stacks: common.verbose, ..Default::default() };
            json::write(out, report, &options)
        }
        Format::Sarif => sarif::write(out, report, &sarif::SarifOptions { base: base() }),
        Format::Github => github::write(out, report, &github::GithubOptions { base: base() }),
        Format::Html => html::write(out, report),
    })
}

/// Drops what the baseline knows, and writes a new one, as asked.
pub fn baseline(report: &mut Report, common: &Common) -> Result<(), Failure> {
    if common.baseline.is_none() && common.write_baseline.is_none() {
        return Ok(());
    }
    let prints = fingerprint::fingerprints(report, base().as_deref());
    if let Some(path) = &common.write_baseline {
        let mut text = String::from("# Findings known to `heapwise --baseline`, one fingerprint a line.\n");
        for (print, finding) in prints.iter().zip(&report.findings) {
            text += &format!("{print} {}\n", finding.rule);
        }
        std::fs::write(path, text)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display()), None))?;
    }
    if let Some(path) = &common.baseline {
        let known = read_baseline(path)?;
        let findings = std::mem::take(&mut report.findings);
        let count = findings.len();
        report.findings = findings
            .into_iter()
            .zip(prints)
            .filter(|(_, it)| !known.contains(it))
            .map(|(it, _)| it)
            .collect();
        let dropped = count - report.findings.len();
        if dropped > 0 {
            report.notes.push(format!("{} in the baseline", findings_are(dropped)));
        }
    }
    Ok(())
}

/// `1 finding is`, `2 findings are`.
pub fn findings_are(count: usize) -> String {
    if count == 1 { "1 finding is".to_owned() } else { format!("{count} findings are") }
}

fn read_baseline(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            format!("cannot read {}: {error}", path.display()),
            "make one with --write-baseline FILE",
        )
    })?;
    let lines = text.lines().filter(|it| !it.starts_with('#'));
    Ok(lines.filter_map(|it| it.split_whitespace().next()).map(str::to_owned).collect())
}

/// Whether there is a finding at or above `--fail-on`.
pub fn fails(report: &Report, common: &Common) -> bool {
    let limit: Option<Severity> = common.fail_on.severity();
    limit.is_some_and(|limit| report.findings.iter().any(|it| it.severity >= limit))
}

/// To standard error: what went wrong, and what to try.
pub fn print_failure(failure: &Failure) {
    let mut out = anstream::stderr().lock();
    let clean = |text: &str| heapwise_report::sanitize::clean(text).into_owned();
    // What a parser says may be of several lines.
    let text = failure.to_string();
    let mut lines = text.trim_end().lines();
    let _ = writeln!(out, "\x1b[1;31merror\x1b[0m: {}", clean(lines.next().unwrap_or_default()));
    for line in lines {
        let _ = writeln!(out, "  {}", clean(line));
    }
    if let Failure::Told { advice: Some(advice), .. } = failure {
        let _ = writeln!(out, "  \x1b[1mtry\x1b[0m: {}", clean(advice));
    }
}

/// To standard error: something worth knowing.
pub fn print_note(text: &str) {
    let _ =
        writeln!(anstream::stderr().lock(), "\x1b[1mnote\x1b[0m: {}", heapwise_report::sanitize::clean(text));
}
