//! `bench`: what observing costs, as ratios to the bare program inside one run, beside the rivals.
//!
//! Each round runs every variant of a workload once, starting one further each time, so that drift of the machine
//! falls on all alike. A ratio is taken within a round. The program's own output has to be the same in all.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::args::Args;
use crate::measure::{self, Cost};
use crate::stats::Spread;
use crate::{inputs, paths};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Bare,
    Heapwise,
    Heaptrack,
    Memcheck,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Variant::Bare => "bare",
            Variant::Heapwise => "heapwise run",
            Variant::Heaptrack => "heaptrack",
            Variant::Memcheck => "valgrind memcheck",
        }
    }
}

const MEMCHECK_ROUNDS: usize = 1;

/// A program that all variants run.
struct Workload {
    name: &'static str,
    command: Vec<String>,
    stdin: PathBuf,
}

/// What a workload's rounds gave: `rounds[round][variant]`, `None` where a variant was not run.
struct Outcome {
    workload: Workload,
    variants: Vec<Variant>,
    rounds: Vec<Vec<Option<Cost>>>,
    recording: Option<Recording>,
}

/// What a recording holds, and how fast it is read.
struct Recording {
    bytes: u64,
    events: u64,
    read_seconds: f64,
}

pub fn main(given: &[String]) -> Result<ExitCode, String> {
    let mut args = Args::new(given);
    let quick = args.flag("--quick");
    let memcheck = args.flag("--memcheck");
    let no_build = args.flag("--no-build");
    let rounds: usize = args.value("--rounds", if quick { 3 } else { 7 })?;
    let only: String = args.value("--only", String::new())?;
    let name: String = args.value("--name", "latest".to_string())?;
    args.finish()?;

    if !no_build && std::env::var_os("HEAPWISE").is_none() {
        build()?;
    }
    let cache = paths::target().join("bench");
    fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    let variants = variants(memcheck);
    let only: Vec<&str> = only.split(',').filter(|it| !it.is_empty()).collect();
    let results = paths::root().join("benches/results").join(format!("{name}.md"));
    let about = format!("memcheck runs in {MEMCHECK_ROUNDS} of them.");
    let mut text = heading("What observing costs, as ratios to the bare program", "bench", &about, rounds);
    let mut all_same = true;
    for workload in workloads(&cache, quick)? {
        if !only.is_empty() && !only.contains(&workload.name) {
            continue;
        }
        let (outcome, same) = run(workload, &variants, rounds, &cache)?;
        all_same &= same;
        let table = table(&outcome);
        print!("{table}");
        text.push_str(&table);
        fs::write(&results, &text).map_err(|error| format!("{}: {error}", results.display()))?;
    }
    println!("written to {}", results.display());
    Ok(ExitCode::from(u8::from(!all_same)))
}

/// Builds the binary that is measured.
pub fn build() -> Result<(), String> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--package", "heapwise"])
        .current_dir(paths::root())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the release build failed".into()) }
}

fn variants(memcheck: bool) -> Vec<Variant> {
    let mut all = vec![Variant::Bare];
    if paths::heapwise().is_file() {
        all.push(Variant::Heapwise);
    } else {
        eprintln!("no {}: heapwise is left out", paths::heapwise().display());
    }
    if paths::find("heaptrack").is_some() {
        all.push(Variant::Heaptrack);
    } else {
        eprintln!("heaptrack is not installed: left out");
    }
    if memcheck {
        all.push(Variant::Memcheck);
    }
    all
}

/// The programs that are installed here, with their inputs.
fn workloads(cache: &Path, quick: bool) -> Result<Vec<Workload>, String> {
    let micro = compile(cache, "micro")?;
    let count = if quick { "4000000" } else { "20000000" };
    let none = || PathBuf::from("/dev/null");
    let mut all = vec![
        Workload { name: "micro", command: vec![micro.clone(), count.into(), "1".into()], stdin: none() },
        Workload { name: "micro4", command: vec![micro, count.into(), "4".into()], stdin: none() },
    ];
    if let Some(sqlite) = paths::find("sqlite3") {
        let script = inputs::cached(cache, "script.sql", inputs::sql)?;
        all.push(Workload {
            name: "sqlite3",
            command: vec![text(&sqlite), ":memory:".into()],
            stdin: script,
        });
    }
    if let Some(python) = python() {
        let script = inputs::cached(cache, "script.py", || inputs::PYTHON.to_string())?;
        let turns = if quick { "1" } else { "5" };
        all.push(Workload {
            name: "python3",
            command: vec![python, text(&script), turns.into()],
            stdin: none(),
        });
    }
    if let Some(cc1) = paths::output_of("gcc", &["-print-prog-name=cc1"]).filter(|it| Path::new(it).is_file())
    {
        let source = inputs::cached(cache, "source.i", inputs::c_source)?;
        let command =
            [cc1.as_str(), "-quiet", if quick { "-O0" } else { "-O1" }, &text(&source), "-o", "/dev/null"];
        all.push(Workload { name: "cc1", command: command.map(String::from).to_vec(), stdin: none() });
    }
    if let Some(jq) = paths::find("jq") {
        let document = inputs::cached(cache, "document.json", inputs::json)?;
        let filter = "[.[] | {key: .name, n: (.visits | map(.seconds) | add // 0), t: (.tags | length)}] | group_by(.t) | map({t: .[0].t, n: (map(.n) | add), last: (map(.key) | max)})";
        all.push(Workload {
            name: "jq",
            command: vec![text(&jq), "-c".into(), filter.into(), text(&document)],
            stdin: none(),
        });
    }
    Ok(all)
}

/// Debian's python3 if there, else the one on PATH, without shims and wrappers.
pub fn python() -> Option<String> {
    let ask = "import os, sys; print(os.path.realpath(sys.executable))";
    paths::output_of("/usr/bin/python3", &["-c", ask]).or_else(|| paths::output_of("python3", &["-c", ask]))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn compile(cache: &Path, name: &str) -> Result<String, String> {
    let source = paths::root().join("benches/programs").join(format!("{name}.c"));
    let binary = cache.join(name);
    let status = Command::new("gcc")
        .args(["-O2", "-g", "-fomit-frame-pointer", "-pthread", "-o"])
        .args([&binary, &source])
        .status()
        .map_err(|error| format!("gcc: {error}"))?;
    if status.success() { Ok(text(&binary)) } else { Err(format!("{} does not compile", source.display())) }
}

/// Runs all rounds; false when some variant's output differed.
fn run(
    workload: Workload,
    variants: &[Variant],
    rounds: usize,
    cache: &Path,
) -> Result<(Outcome, bool), String> {
    let dir = cache.join("work");
    let mut same = true;
    let mut all = Vec::new();
    let mut expected: Option<Vec<u8>> = None;
    for round in 0..rounds {
        let mut costs = vec![None; variants.len()];
        for turn in 0..variants.len() {
            let at = (turn + round) % variants.len();
            let variant = variants[at];
            // 20 to 50 times slower than bare; its spread is small.
            if variant == Variant::Memcheck && round >= MEMCHECK_ROUNDS {
                continue;
            }
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            let (out, err) = (dir.join("stdout"), dir.join("stderr"));
            let cost = measure::run(&command(variant, &workload, &dir), &workload.stdin, &out, &err, &dir)?;
            let mut printed = fs::read(&out).map_err(|error| format!("{}: {error}", out.display()))?;
            if variant == Variant::Heaptrack {
                printed = without_heaptrack(&printed);
            }
            if *expected.get_or_insert_with(|| printed.clone()) != printed || cost.status != 0 {
                same = false;
                let kept =
                    cache.join(format!("{}-{}.differs", workload.name, variant.name().replace(' ', "-")));
                let _ = fs::remove_dir_all(&kept);
                let _ = fs::rename(&dir, &kept);
                eprintln!(
                    "{}: {} ended with {} or printed something else: {}",
                    workload.name,
                    variant.name(),
                    cost.status,
                    kept.display()
                );
            }
            eprintln!(
                "{} {}/{rounds} {}: cpu {:.2} s, wall {:.2} s",
                workload.name,
                round + 1,
                variant.name(),
                cost.cpu,
                cost.wall
            );
            costs[at] = Some(cost);
        }
        all.push(costs);
    }
    let recording = if variants.contains(&Variant::Heapwise) { recording(&workload, &dir)? } else { None };
    let _ = fs::remove_dir_all(&dir);
    Ok((Outcome { workload, variants: variants.to_vec(), rounds: all, recording }, same))
}

fn command(variant: Variant, workload: &Workload, dir: &Path) -> Vec<String> {
    let at = |name: &str| text(&dir.join(name));
    let mut line: Vec<String> = match variant {
        Variant::Bare => vec![],
        Variant::Heapwise => {
            vec![
                text(&paths::heapwise()),
                "run".into(),
                "-o".into(),
                at("out.heapwise"),
                "--output".into(),
                at("findings"),
                "--".into(),
            ]
        }
        Variant::Heaptrack => vec!["heaptrack".into(), "-o".into(), at("heaptrack")],
        Variant::Memcheck => {
            vec!["valgrind".into(), "--leak-check=full".into(), format!("--log-file={}", at("valgrind"))]
        }
    };
    line.extend(workload.command.iter().cloned());
    line
}

/// heaptrack's launcher speaks on the program's own standard output; its lines are taken out.
fn without_heaptrack(printed: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(printed);
    let begin = "starting application, this might take some time...\n";
    let after = text.find(begin).map_or(&text[..], |at| &text[at + begin.len()..]);
    let own = [
        "Heaptrack finished!",
        "heaptrack stats:",
        "\tallocations:",
        "\tleaked allocations:",
        "\ttemporary allocations:",
    ];
    let end = own.iter().filter_map(|it| after.find(it)).min().unwrap_or(after.len());
    after.as_bytes()[..end].to_vec()
}

/// One more run, not timed, then the recording is measured and read three times.
fn recording(workload: &Workload, dir: &Path) -> Result<Option<Recording>, String> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let (out, err) = (dir.join("stdout"), dir.join("stderr"));
    measure::run(&command(Variant::Heapwise, workload, dir), &workload.stdin, &out, &err, dir)?;
    let file = dir.join("out.heapwise");
    let Ok(meta) = fs::metadata(&file) else {
        return Ok(None);
    };
    let mut best = f64::INFINITY;
    let mut summary = serde_json::Value::Null;
    for _ in 0..3 {
        let begin = Instant::now();
        let output = Command::new(paths::heapwise())
            .args(["report", "--format", "json", "--fail-on", "never"])
            .arg(&file)
            .output()
            .map_err(|error| format!("heapwise report: {error}"))?;
        best = best.min(begin.elapsed().as_secs_f64());
        summary = serde_json::from_slice(&output.stdout).unwrap_or_default();
    }
    let program = &summary["summary"]["program"];
    let (Some(allocations), Some(frees)) = (program["allocations"].as_u64(), program["frees"].as_u64())
    else {
        eprintln!("{}: the report gives no allocations and frees", workload.name);
        return Ok(None);
    };
    Ok(Some(Recording { bytes: meta.len(), events: allocations + frees, read_seconds: best }))
}

/// Title, machine and date of a table.
pub fn heading(title: &str, verb: &str, about: &str, rounds: usize) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown")
        .trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, |it| it.get());
    let kernel = paths::output_of("uname", &["-r"]).unwrap_or_default();
    let date = paths::output_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "# {title}\n\nMade by `cargo xtask {verb}`, {rounds} rounds: ratios within each round, median (min..max). \
         CPU time is that of the whole process tree. {about}\n\n\
         {date}; {model}, {cores} cores; Linux {kernel}; load before: {load}.\n"
    )
}

fn table(outcome: &Outcome) -> String {
    let Outcome { workload, variants, rounds, recording } = outcome;
    let at = |variant: Variant| variants.iter().position(|it| *it == variant);
    let spread = |variant: Variant, of: &dyn Fn(&Cost, &Cost) -> f64| {
        let (bare, own) = (at(Variant::Bare)?, at(variant)?);
        Spread::of(rounds.iter().filter_map(|costs| Some(of(costs[bare].as_ref()?, costs[own].as_ref()?))))
    };
    let show = |it: Option<Spread>| it.map_or("-".to_string(), |it| it.to_string());
    let mega = |it: Option<Spread>| it.map_or("-".to_string(), |it| format!("{:.1}", it.median / 1e6));
    let bare = spread(Variant::Bare, &|bare, _| bare.cpu).map_or(0.0, |it| it.median);
    let mut text = format!("\n## {}\n\nBare: {bare:.2} s of CPU.\n\n", workload.name);
    text.push_str("| | CPU | wall | overhead as a part of heaptrack's | added memory, tree, MB | added peak RSS, greatest process, MB |\n|---|---|---|---|---|---|\n");
    for variant in variants.iter().copied() {
        let part = (variant != Variant::Heaptrack && variant != Variant::Bare)
            .then(|| {
                let (bare, own, rival) = (at(Variant::Bare)?, at(variant)?, at(Variant::Heaptrack)?);
                Spread::of(rounds.iter().filter_map(|costs| {
                    let bare = costs[bare]?.cpu;
                    Some((costs[own]?.cpu - bare) / (costs[rival]?.cpu - bare))
                }))
            })
            .flatten();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            variant.name(),
            show(spread(variant, &|bare, own| own.cpu / bare.cpu)),
            show(spread(variant, &|bare, own| own.wall / bare.wall)),
            show(part),
            mega(spread(variant, &|bare, own| own.memory - bare.memory)),
            mega(spread(variant, &|bare, own| own.peak_rss - bare.peak_rss)),
        );
    }
    if let Some(recording) = recording {
        let events = recording.events as f64;
        let _ = writeln!(
            text,
            "\nRecording: {:.1} M events, {:.2} bytes per event on disk; `report` reads {:.1} M events per second.",
            events / 1e6,
            recording.bytes as f64 / events,
            events / recording.read_seconds / 1e6
        );
        if let Some(run) = spread(Variant::Heapwise, &|_, own| own.wall) {
            let _ = writeln!(
                text,
                "`run` records {:.1} M events per second of wall time.",
                events / run.median / 1e6
            );
        }
    }
    text
}

#[test]
fn heaptracks_lines_are_taken_out() {
    let printed = "heaptrack output will be written to \"/x\"\nstarting application, this might take some time...\nown\nheaptrack stats:\n\tallocations: 1\n";
    assert_eq!(without_heaptrack(printed.as_bytes()), b"own\n");
}
