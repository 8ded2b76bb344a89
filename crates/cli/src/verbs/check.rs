//! `heapwise check [PATH]...`.

use crate::Failure;
use crate::args::{Check as Args, Common, Format};
use crate::check::sources::{self, Texts};
use crate::check::{check, on_workers};
use crate::config::Config;
use crate::output::{self, Stream};
use globset::GlobSetBuilder;
use heapwise_check::models::Models;
use std::io::IsTerminal;
use std::path::PathBuf;

pub fn run(args: &Args, common: &Common) -> Result<u8, Failure> {
    let config = Config::load(common.config.as_deref())?;
    let mut exclude = GlobSetBuilder::new();
    for glob in config.exclude.iter().chain(&args.exclude) {
        exclude.add(glob.clone());
    }
    let exclude = exclude.build().map_err(|error| Failure::new(error, "shorten the lists of globs"))?;
    let paths = if args.paths.is_empty() { vec![PathBuf::from(".")] } else { args.paths.clone() };
    let (sources, notes) = sources::find(&paths, &exclude)?;
    let texts = Texts::default();
    let models = Models::bundled();
    let bar = progress(sources.len(), common);
    let jobs = args.jobs.unwrap_or(0);
    let mut report = on_workers(jobs, || check(&sources, &texts, &models, &|| bar.inc(1)));
    bar.finish_and_clear();
    report.notes.splice(0..0, notes);
    if sources.is_empty() {
        report.notes.push("no file of a language that is known was found".to_owned());
    }
    let count = report.findings.len();
    let findings = std::mem::take(&mut report.findings);
    report.findings = findings
        .into_iter()
        .filter(|it| {
            (common.select.is_empty() || common.select.contains(&it.rule))
                && (config.select.is_empty() || config.select.contains(&it.rule))
                && !common.ignore.contains(&it.rule)
                && !config.ignore.contains(&it.rule)
        })
        .collect();
    let dropped = count - report.findings.len();
    if dropped > 0 {
        report.notes.push(format!("{dropped} findings are left out by configuration or options"));
    }
    output::baseline(&mut report, common)?;
    output::findings(&report, common, Stream::Output)?;
    Ok(u8::from(output::fails(&report, common)))
}

/// Files read before a bar is worth showing.
const PROGRESS_MIN: usize = 50;

fn progress(files: usize, common: &Common) -> indicatif::ProgressBar {
    let is_shown = !common.quiet
        && files >= PROGRESS_MIN
        && std::io::stderr().is_terminal()
        && (common.format != Format::Text || common.output.is_some() || std::io::stdout().is_terminal());
    if !is_shown {
        return indicatif::ProgressBar::hidden();
    }
    let style =
        indicatif::ProgressStyle::with_template("reading {wide_bar} {pos} of {len} files, {eta} left");
    indicatif::ProgressBar::new(files as u64).with_style(style.expect("the template is valid"))
}
