//! `heapwise report RECORDING`.

use super::heap_snapshot;
use crate::args::{Common, Format, Report as Args};
use crate::config::Config;
use crate::output::{self, Stream};
use crate::{Failure, analyze, runtime};
use heapwise_heap::Phases;
use heapwise_model::{Finding, Report};
use heapwise_run::{Observation, ReadError};
use heapwise_trace::{Event, recording};
use std::io::IsTerminal;
use std::path::Path;

pub fn run(args: &Args, common: &Common) -> Result<u8, Failure> {
    if heap_snapshot::is_snapshot(&args.recording) {
        return heap_snapshot::report(args, common);
    }
    let config = Config::load(common.config.as_deref())?;
    let observation = read_marked(&args.recording, common)?;
    let names = match args.by {
        Some(_) if common.format == Format::Text => analyze::Names::All,
        _ => output::names(common),
    };
    let filter = filter(common, &config);
    let mut report = analyze::report(&observation, names, &filter);
    runtime::add(&mut report, &observation, &filter);
    analyze::finish(&mut report, names);
    report.recording = Some(args.recording.display().to_string());
    output::baseline(&mut report, common)?;
    match args.by {
        Some(by) if common.format == Format::Text => output::with(common, Stream::Output, |out, color| {
            let options = output::text_options(common, Stream::Output, color);
            heapwise_report::text::sites(out, &report, by, args.limit, &options)
        })?,
        _ => output::findings(&report, common, Stream::Output)?,
    }
    Ok(u8::from(output::fails(&report, common)))
}

/// Recordings shorter than this are read before a bar could be seen.
const PROGRESS_MIN: u64 = 8 << 20;

/// Reads a recording, with progress on a terminal.
pub fn read(path: &Path, common: &Common) -> Result<Observation, Failure> {
    read_and(path, common, |_| {})
}

/// As [`read`], with the phases of a recording that has marks: it is read twice.
fn read_marked(path: &Path, common: &Common) -> Result<Observation, Failure> {
    let mut is_marked = false;
    let mut observation = read_and(path, common, |it| is_marked |= matches!(it, Event::Mark { .. }))?;
    if is_marked {
        let mut phases = Phases::new();
        // It could be read a moment ago.
        if recording::read(path, &mut |event: Event<'_>| phases.apply(&event), &mut |_, _| {}).is_ok() {
            observation.phases = phases.finish();
        }
    }
    Ok(observation)
}

/// As [`read`]; `also` hears each event.
pub fn read_and(path: &Path, common: &Common, also: impl FnMut(&Event<'_>)) -> Result<Observation, Failure> {
    let is_shown = !common.quiet && std::io::stderr().is_terminal();
    let bar = bar(is_shown, 0);
    let result = Observation::read_and(path, also, &mut |at, total| {
        if total < PROGRESS_MIN {
            return;
        }
        bar.set_length(total);
        bar.set_position(at);
    });
    bar.finish_and_clear();
    result.map_err(|error| {
        let advice = match &error {
            ReadError::Io { .. } => "is the path right? recordings are called CMD.PID.heapwise",
            ReadError::Newer { .. } => "use the Heapwise that recorded it, or a newer one",
            _ => "record again: heapwise run -- CMD",
        };
        Failure::new(error, advice)
    })
}

/// The progress of reading a file of `length` bytes.
pub fn bar(is_shown: bool, length: u64) -> indicatif::ProgressBar {
    let bar = if is_shown { indicatif::ProgressBar::new(length) } else { indicatif::ProgressBar::hidden() };
    let style =
        indicatif::ProgressStyle::with_template("reading {wide_bar} {bytes} of {total_bytes}, {eta} left")
            .expect("the template is valid");
    bar.set_style(style);
    bar
}

/// `--select`, `--ignore` and the configuration's suppressions.
pub fn filter<'a>(common: &'a Common, config: &'a Config) -> impl Fn(&Report, &Finding) -> bool + 'a {
    move |report, finding| {
        (common.select.is_empty() || common.select.contains(&finding.rule))
            && !common.ignore.contains(&finding.rule)
            && !config.suppresses(report, finding)
    }
}
