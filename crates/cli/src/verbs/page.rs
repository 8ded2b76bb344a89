//! `heapwise run --page URL`.

use crate::args::{Common, Format, Run};
use crate::config::Config;
use crate::output::{self, Stream};
use crate::source_map::SourceMaps;
use crate::verbs::heap_snapshot::name_lines;
use crate::{Failure, analyze, scenario};
use heapwise_heap::objects::{self, Walked};
use heapwise_model::{Engine, Finding, ObjectHeap, Report};
use heapwise_report::numbers::human_time;
use heapwise_run::page::{self, PageError, PrivateFolder, Visited};
use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;

pub fn run(args: &Run, common: &Common) -> Result<u8, Failure> {
    let config = Config::load(common.config.as_deref())?;
    if common.format == Format::Html && common.output.is_none() {
        return Err(Failure::new("--format html needs a file", "add --output report.html"));
    }
    let scenario = scenario::read(args.scenario.as_deref(), args.page.as_deref())?;
    let private;
    let folder = match &args.recording {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            folder.as_path()
        }
        None => {
            private = PrivateFolder::new("snapshots")?;
            private.path()
        }
    };
    let is_shown = !common.quiet && std::io::stderr().is_terminal();
    let bar = super::report::bar(is_shown, 0);
    let visited =
        page::visit(&scenario, args.browser.as_deref(), folder, &mut |what| bar.set_message(what.to_owned()));
    bar.finish_and_clear();
    let visited = visited.map_err(refusal)?;
    let mut report = report_of(&visited, common, &config)?;
    let turns = match visited.turns {
        0 => "left to itself".to_owned(),
        turns => format!("{turns} turns"),
    };
    let time = human_time(u64::try_from(visited.duration.as_nanos()).unwrap_or(u64::MAX));
    report.notes.push(format!("{}: {turns}, 3 heap snapshots, {time}", scenario.url));
    if args.recording.is_some() {
        report.recording = visited.snapshots.last().map(|it| it.display().to_string());
    }
    output::baseline(&mut report, common)?;
    output::findings(&report, common, Stream::Error)?;
    Ok(if output::fails(&report, common) { args.error_exitcode.unwrap_or(1) } else { 0 })
}

fn refusal(error: PageError) -> Failure {
    let advice = match &error {
        PageError::NoBrowser => Some("install chromium, or name one: --browser PATH"),
        PageError::Start { .. } => Some("is --browser a Chromium or Chrome?"),
        PageError::Load { .. } => Some("does the page's server run?"),
        PageError::Step { .. } => Some("does the page look as the scenario expects at that moment?"),
        PageError::Write { .. } => Some("is there room? another place with -o DIR/"),
        _ => None,
    };
    Failure::new(error, advice)
}

fn report_of(visited: &Visited, common: &Common, config: &Config) -> Result<Report, Failure> {
    let mut maps = SourceMaps::new(visited.maps.clone());
    let mut heaps = Vec::new();
    for path in &visited.snapshots {
        let mut heap = read(path)?;
        maps.apply(&mut heap);
        heaps.push(heap);
    }
    let last = heaps.pop().expect("there are three");
    let older: Vec<&ObjectHeap> = heaps.iter().collect();
    let (totals, mut findings) = objects::compare(&older, &Walked::new(&last));
    name_lines(&last, &mut findings, &visited.scripts);
    let notes = heaps.iter().chain([&last]).flat_map(|it| it.notes.clone()).collect();
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        notes,
        objects: Some(totals),
        ..Report::default()
    };
    let filter = super::report::filter(common, config);
    let found = findings.into_iter().map(|it| Finding { engine: Engine::Run, ..it.finding });
    report.findings = found.filter(|it| filter(&report, it)).collect();
    analyze::finish_with(&mut report, output::names(common), &visited.scripts);
    Ok(report)
}

fn read(path: &Path) -> Result<ObjectHeap, Failure> {
    let told = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", path.display()), None);
    let file = File::open(path).map_err(|error| told(&error))?;
    heapwise_snapshot::read(&file, &mut |_| {}).map_err(|error| told(&error))
}
