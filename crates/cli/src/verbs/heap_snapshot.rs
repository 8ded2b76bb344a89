//! `heapwise report` and `heapwise diff` of heap snapshots that V8 wrote.

use crate::args::{Common, Diff, Report as Args};
use crate::config::Config;
use crate::output::{self, Stream};
use crate::{Failure, analyze};
use heapwise_heap::objects::{self, Told, Walked};
use heapwise_model::{Kind, Location, ObjectHeap, ObjectTotals, Place, Related, Report};
use heapwise_snapshot::SnapshotError;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Whether a file looks like a heap snapshot: JSON, where a recording is not.
pub fn is_snapshot(path: &Path) -> bool {
    // Opening a pipe would wait for whoever writes to it.
    if !std::fs::metadata(path).is_ok_and(|it| it.is_file()) {
        return false;
    }
    let mut start = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    read.is_ok_and(|length| start[..length].trim_ascii_start().first() == Some(&b'{'))
}

pub fn report(args: &Args, common: &Common) -> Result<u8, Failure> {
    if args.by.is_some() {
        return Err(Failure::new(
            "--by is for recordings: a heap snapshot holds no allocation sites",
            "heapwise report SNAPSHOT --verbose lists its classes",
        ));
    }
    let heap = read(&args.recording, common)?;
    let (totals, mut findings) = objects::analyze(&Walked::new(&heap));
    name_lines(&heap, &mut findings, &BTreeMap::new());
    show(&args.recording, heap.notes, totals, findings, common)
}

pub fn diff(args: &Diff, common: &Common) -> Result<u8, Failure> {
    let paths: Vec<&PathBuf> = [&args.old, &args.new].into_iter().chain(&args.later).collect();
    if let Some(other) = paths.iter().find(|it| !is_snapshot(it)) {
        return Err(Failure::new(
            format!("{} is no heap snapshot, and the others are", other.display()),
            "compare heap snapshots with heap snapshots, recordings with recordings",
        ));
    }
    let mut heaps = paths.iter().map(|it| read(it, common)).collect::<Result<Vec<_>, _>>()?;
    let last = heaps.pop().expect("there are two at least");
    let older: Vec<&ObjectHeap> = heaps.iter().collect();
    let (totals, mut findings) = objects::compare(&older, &Walked::new(&last));
    name_lines(&last, &mut findings, &BTreeMap::new());
    let notes = heaps.iter().flat_map(|it| it.notes.clone()).chain(last.notes.clone()).collect();
    show(paths[paths.len() - 1], notes, totals, findings, common)
}

/// Writes what was found of the snapshot at `path`.
fn show(
    path: &Path,
    notes: Vec<String>,
    totals: ObjectTotals,
    findings: Vec<Told>,
    common: &Common,
) -> Result<u8, Failure> {
    let config = Config::load(common.config.as_deref())?;
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        notes,
        objects: Some(totals),
        recording: Some(path.display().to_string()),
        ..Report::default()
    };
    let filter = super::report::filter(common, &config);
    report.findings = findings.into_iter().map(|it| it.finding).filter(|it| filter(&report, it)).collect();
    analyze::finish(&mut report, output::names(common));
    output::baseline(&mut report, common)?;
    output::findings(&report, common, Stream::Output)?;
    Ok(u8::from(output::fails(&report, common)))
}

/// Reads a snapshot, with progress on a terminal.
fn read(path: &Path, common: &Common) -> Result<ObjectHeap, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(format!("cannot read {}: {error}", path.display()), "is the path right?")
    };
    let file = File::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    let is_shown = !common.quiet && std::io::stderr().is_terminal();
    let bar = super::report::bar(is_shown, length);
    let result = heapwise_snapshot::read(&file, &mut |at| bar.set_position(at));
    bar.finish_and_clear();
    result.map_err(|error| {
        let advice = match &error {
            SnapshotError::Io(_) => "is the path right?",
            SnapshotError::NotASnapshot { .. } => {
                "recordings are called CMD.PID.heapwise, heap snapshots end in .heapsnapshot"
            }
            SnapshotError::Cut { .. } | SnapshotError::Damaged { .. } => {
                "write it again: node --heapsnapshot-signal=SIGUSR2 app.js, then kill -USR2 PID"
            }
        };
        Failure::new(format!("{}: {error}", path.display()), advice)
    })
}

/// Scripts that are searched for the lines that fill a container, and the longest one.
const SCRIPTS_MAX: usize = 500;
const SCRIPT_MAX: u64 = 4 << 20;
/// Lines told of one container.
const LINES_MAX: usize = 3;

/// Gives findings about containers the lines that fill them, where their scripts can be read here, or are among `known`.
pub fn name_lines(heap: &ObjectHeap, findings: &mut [Told], known: &BTreeMap<String, String>) {
    let is_container = |it: &Told| {
        matches!(it.finding.kind, Some(Kind::List | Kind::Map | Kind::Set | Kind::String))
            && it.name.is_some()
    };
    if !findings.iter().any(is_container) {
        return;
    }
    let mut scripts = scripts(heap);
    scripts.extend(known.iter().map(|it| (it.0.clone(), it.1.clone())));
    for told in findings.iter_mut().filter(|it| is_container(it)) {
        let (Some(name), Some(kind)) = (&told.name, told.finding.kind) else { continue };
        // The script that is known to see the container, else any.
        let seen = match &told.finding.place {
            Place::Source(at) => Some(at.path.clone()),
            _ => None,
        };
        let lines_of = |is_here: &dyn Fn(&str) -> bool| -> Vec<Location> {
            let scripts = scripts.iter().filter(|it| is_here(&it.0));
            scripts.flat_map(|(path, text)| filling_lines(path, text, name, kind)).take(LINES_MAX).collect()
        };
        let mut lines = lines_of(&|path| Some(path) == seen.as_deref());
        if lines.is_empty() {
            lines = lines_of(&|path| Some(path) != seen.as_deref());
        }
        let mut lines = lines.into_iter();
        if let Some(first) = lines.next() {
            told.finding.place = Place::Source(first);
            let more =
                lines.map(|it| Related { message: "filled here, too".to_owned(), place: Place::Source(it) });
            told.finding.related.extend(more);
        }
    }
}

/// Scripts of the program's own that can be read here.
fn scripts(heap: &ObjectHeap) -> Vec<(String, String)> {
    let is_own = |path: &&str| Path::new(path).is_absolute() && !path.contains("/node_modules/");
    let paths = heap.scripts.iter().map(|it| &*it.1).filter(is_own);
    let is_short =
        |path: &&str| std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() <= SCRIPT_MAX);
    let read = |path: &str| Some((path.to_owned(), std::fs::read_to_string(path).ok()?));
    paths.take(SCRIPTS_MAX).filter(is_short).filter_map(read).collect()
}

/// Where `name` is filled: `name.push(`, `name.set(`, `name[key] =`.
fn filling_lines(path: &str, text: &str, name: &str, kind: Kind) -> Vec<Location> {
    let calls: &[&str] = match kind {
        Kind::List => &[".push(", ".unshift(", ".splice("],
        Kind::Set => &[".add("],
        Kind::String => &[" += ", "+="],
        _ => &[".set("],
    };
    let is_name = |it: char| it.is_alphanumeric() || matches!(it, '_' | '$');
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1u32..) {
        for (at, _) in line.match_indices(name) {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let is_whole = !before.ends_with(is_name) && !after.starts_with(is_name);
            let is_assigned = || {
                let key = after.strip_prefix('[').and_then(|it| it.split_once(']'));
                key.is_some_and(|(_, rest)| {
                    let rest = rest.trim_start();
                    rest.starts_with('=') && !rest.starts_with("==")
                })
            };
            let is_comment = before.trim_start().starts_with("//");
            if is_whole && !is_comment && (calls.iter().any(|it| after.starts_with(it)) || is_assigned()) {
                let column = u32::try_from(at + 1).ok();
                found.push(Location { path: path.to_owned(), line: number, column, ..Location::default() });
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_fill_a_container() {
        let text = "const log = [];\nlog.push(1);\n// log.push(2);\nlogs.push(3);\nthis.log.unshift(4);\nlog[i] = 5;\n\
                    if (log[i] == 6) log.pop();\n";
        let lines =
            |kind| filling_lines("a.js", text, "log", kind).iter().map(|it| it.line).collect::<Vec<_>>();
        assert_eq!(lines(Kind::List), [2, 5, 6]);
        assert_eq!(lines(Kind::Map), [6]);
        assert_eq!(lines(Kind::Set), [6]);
    }
}
