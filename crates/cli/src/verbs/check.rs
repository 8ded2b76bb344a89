//! `heapwise check [PATH]...`.

use crate::Failure;
use crate::args::{Check as Args, Common, Format};
use crate::check::cache::{self, Cache, FUNCTIONS, Key, MODULES};
use crate::check::compile_commands::Commands;
use crate::check::fixes;
use crate::check::sources::{self, Source, Texts};
use crate::check::{Earlier, Read, Run, Subject, check, check_again, on_workers, patch, report, where_free};
use crate::config::Config;
use crate::output::{self, Stream};
use globset::GlobSetBuilder;
use heapwise_check::models::Models;
use heapwise_model::{Finding, Place, Report, Safety};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

pub fn run(args: &Args, common: &Common) -> Result<u8, Failure> {
    let config = Config::load(common.config.as_deref())?;
    let mut exclude = GlobSetBuilder::new();
    for glob in config.exclude.iter().chain(&args.exclude) {
        exclude.add(glob.clone());
    }
    let exclude = exclude.build().map_err(|error| Failure::new(error, "shorten the lists of globs"))?;
    let paths = if args.paths.is_empty() { vec![PathBuf::from(".")] } else { args.paths.clone() };
    let (sources, mut notes) = sources::find(&paths, &exclude)?;
    let commands = Commands::load(args.compile_commands.as_deref(), &paths, &mut notes)?;
    let texts = Texts::default();
    let mut models = Models::bundled();
    if let Some(table) = &config.models {
        models.add("heapwise.toml", table).map_err(|error| Failure::new(error, None))?;
    }
    let subject = Subject { sources: &sources, texts: &texts, models: &models, commands: &commands };
    if let Some((file, line)) = &args.where_free {
        let jobs = args.jobs.unwrap_or(0);
        return on_workers(jobs, || where_free::run(common, &subject, file, *line));
    }
    let bar = progress(&sources, common);
    let jobs = args.jobs.unwrap_or(0);
    let wanted = Wanted { common, config: &config };
    let kept = kept(args, &wanted, &subject, &paths);
    let outcome = on_workers(jobs, || {
        if let Some(report) = kept.as_ref().and_then(|(cache, key)| cache.load(key, &texts)) {
            return Ok(Outcome { report, changed: BTreeMap::new(), fixed: Vec::new() });
        }
        let load = |what| kept.as_ref().map(|(cache, key)| cache.load_entries(key, what));
        let modules = load(MODULES);
        let before = OnceLock::new();
        let before = || before.get_or_init(|| load(FUNCTIONS).unwrap_or_default());
        // Fixes are verified by another check, which then only has to look at what they change.
        let is_kept = kept.is_some() || args.changes() || is_small(&sources);
        let earlier = Earlier { functions: is_kept.then_some(&before as &Read), modules: modules.as_ref() };
        // The process ends after its report: taking a program of millions of blocks apart would be for nobody.
        let run = check(&subject, earlier, &|| tick(&bar));
        let mut run = ManuallyDrop::new(run);
        bar.finish_and_clear();
        if let (Some((cache, key)), Some(kept)) = (&kept, &run.kept) {
            cache.store_entries(key, FUNCTIONS, before(), kept);
        }
        if let (Some((cache, key)), Some(before), Some(kept)) = (&kept, &modules, &run.kept_modules) {
            cache.store_entries(key, MODULES, before, kept);
        }
        let outcome = mend(&mut run, &subject, args, &wanted)?;
        if let Some((cache, key)) = &kept {
            cache.store(key, &texts, &outcome.report);
        }
        Ok::<_, Failure>(outcome)
    })?;
    let Outcome { mut report, changed, fixed } = outcome;
    if args.diff {
        output::with(common, Stream::Output, |out, _| {
            changed.iter().try_for_each(|(path, new)| {
                let old = texts.read(path).unwrap_or_default();
                out.write_all(patch::diff(path, &old, new).as_bytes())
            })
        })?;
        return Ok(u8::from(output::fails(&report, common)));
    }
    for (path, new) in &changed {
        patch::write(path, &texts.read(path).unwrap_or_default(), new, &paths)?;
    }
    if args.is_fixing() && !common.quiet {
        fixed.iter().for_each(|it| output::print_note(&format!("fixed {it}")));
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (findings, files) = (count(fixed.len(), "finding"), count(changed.len(), "file"));
        output::print_note(&format!("{findings} fixed in {files}"));
    }
    report.notes.splice(0..0, notes);
    if sources.is_empty() {
        report.notes.push("no file of a language that is known was found".to_owned());
    }
    output::findings(&report, common, Stream::Output)?;
    Ok(u8::from(output::fails(&report, common)))
}

/// Where the result is kept, and its name there. What changes files, and what reads or writes a baseline, is done.
fn kept(args: &Args, wanted: &Wanted<'_>, subject: &Subject<'_>, paths: &[PathBuf]) -> Option<(Cache, Key)> {
    let (common, config) = (wanted.common, wanted.config);
    if args.no_cache || args.changes() || common.baseline.is_some() || common.write_baseline.is_some() {
        return None;
    }
    let options = format!("{:?} {:?}", common.select, common.ignore);
    Some((Cache::of_user()?, cache::key(subject, &config.identity, paths, &options)?))
}

/// Which findings are told of.
struct Wanted<'a> {
    common: &'a Common,
    config: &'a Config,
}

impl Wanted<'_> {
    fn filter(&self, report: &mut Report) -> Result<(), Failure> {
        let (common, config) = (self.common, self.config);
        let count = report.findings.len();
        report.findings.retain(|it| {
            (common.select.is_empty() || common.select.contains(&it.rule))
                && (config.select.is_empty() || config.select.contains(&it.rule))
                && !common.ignore.contains(&it.rule)
                && !config.ignore.contains(&it.rule)
                && !config.is_ignored_in_file(it)
        });
        let dropped = count - report.findings.len();
        if dropped > 0 {
            report
                .notes
                .push(format!("{} left out by configuration or options", output::findings_are(dropped)));
        }
        output::baseline(report, common)
    }
}

/// Rounds of fixing: a fix that meets another waits for the next one.
const MAX_ROUNDS: usize = 10;
/// Larger programs show fixes only when they are asked for: to verify them is to check once more.
const MAX_LINES_SHOWN: u64 = 50_000;

/// Whether fixes are likely to be shown, as far as the files' sizes tell.
fn is_small(sources: &[Source]) -> bool {
    const LINE_BYTES: u64 = 40;
    let size = |it: &Source| std::fs::metadata(&it.path).map_or(0, |it| it.len());
    sources.iter().map(size).sum::<u64>() <= MAX_LINES_SHOWN * LINE_BYTES
}

struct Outcome {
    report: Report,
    /// New texts of files.
    changed: BTreeMap<String, Arc<[u8]>>,
    /// What was mended, in words.
    fixed: Vec<String>,
}

/// Finds fixes that work and, if asked to, applies them in memory.
fn mend(run: &mut Run, subject: &Subject<'_>, args: &Args, wanted: &Wanted<'_>) -> Result<Outcome, Failure> {
    let told = |run: &Run, texts: &Texts| -> Result<Report, Failure> {
        let mut report = report(run, &Subject { texts, ..*subject });
        wanted.filter(&mut report)?;
        Ok(report)
    };
    let mut changed = BTreeMap::new();
    let mut fixed = Vec::new();
    let mut first = told(run, subject.texts)?;
    let lines = first.read.map_or(0, |it| it.lines);
    if first.findings.is_empty() || (!args.changes() && lines > MAX_LINES_SHOWN) {
        return Ok(Outcome { report: first, changed, fixed });
    }
    fixes::propose(run, subject);
    if !args.changes() {
        let mut report = told(run, subject.texts)?;
        let (_, tried) = fixes::verify(run, subject, &mut report.findings, &|_| true);
        let shown: BTreeSet<usize> = tried.into_iter().collect();
        let unseen = report.findings.iter_mut().enumerate().filter(|it| !shown.contains(&it.0));
        unseen.for_each(|it| it.1.fix = None);
        return Ok(Outcome { report, changed, fixed });
    }
    let is_wanted = |it: Safety| it == Safety::Safe || args.unsafe_fixes;
    for _ in 0..MAX_ROUNDS {
        let texts = subject.texts.with(&changed);
        let now = Subject { texts: &texts, ..*subject };
        let mut report = told(run, &texts)?;
        let (patch, tried) = fixes::verify(run, &now, &mut report.findings, &is_wanted);
        if tried.is_empty() {
            break;
        }
        fixed.extend(tried.iter().map(|it| in_words(&report.findings[*it])));
        let new = patch.apply(&texts);
        let paths = new.keys().cloned().collect();
        changed.extend(new);
        let texts = subject.texts.with(&changed);
        *run = check_again(run, &Subject { texts: &texts, ..*subject }, &paths);
        first = if args.diff { first } else { told(run, &texts)? };
        fixes::propose(run, &Subject { texts: &texts, ..*subject });
    }
    Ok(Outcome { report: first, changed, fixed })
}

fn in_words(finding: &Finding) -> String {
    let fix = finding.fix.as_ref().map_or("", |it| it.message.as_str());
    match &finding.place {
        Place::Source(at) => format!("{}:{}: {}: {fix}", at.path, at.line, finding.rule),
        _ => format!("{}: {fix}", finding.rule),
    }
}

/// Files, or bytes, that are worth a bar.
const PROGRESS_FILES: usize = 50;
const PROGRESS_BYTES: u64 = 2 << 20;

fn progress(sources: &[Source], common: &Common) -> ProgressBar {
    let is_seen = !common.quiet
        && std::io::stderr().is_terminal()
        && (common.format != Format::Text || common.output.is_some() || std::io::stdout().is_terminal());
    let bytes = || sources.iter().filter_map(|it| Some(std::fs::metadata(&it.path).ok()?.len())).sum::<u64>();
    if !is_seen || sources.len() < PROGRESS_FILES && bytes() < PROGRESS_BYTES {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("reading {wide_bar} {pos} of {len} files");
    ProgressBar::new(sources.len() as u64).with_style(style.expect("the template is valid"))
}

/// One more file is read. How long the rest takes is not known: it only shows that something goes on.
fn tick(bar: &ProgressBar) {
    bar.inc(1);
    if bar.length() == Some(bar.position()) {
        let style = ProgressStyle::with_template("{spinner} following data through {len} files, {elapsed}");
        bar.set_style(style.expect("the template is valid"));
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
    }
}
