//! `differential`: random programs, each under valgrind and under `heapwise run`; both have to say the same.
//!
//! Without a binary under test it compares valgrind with itself in another environment, which tests the programs.
//! Accepted differences and their reasons: `tests/differential/known.md`; a seed named there is not a failure.

mod generate;
mod leaks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::args::Args;
use crate::paths;
use leaks::Leaks;

/// What became of a seed.
enum Verdict {
    Same,
    /// Lost rings have other heads; see `known.md`.
    Heads,
    /// memcheck's answers differ between runs, and one of them is ours; see `known.md`.
    Varies,
    Differs(Vec<String>),
    /// The harness or a tool failed.
    Broken(String),
}

pub fn main(given: &[String]) -> Result<ExitCode, String> {
    let mut args = Args::new(given);
    let count: u64 = args.value("--count", 300)?;
    let first: u64 = args.value("--seed", 1)?;
    let print = args.flag("--print");
    let itself = args.flag("--itself");
    let keep = args.flag("--keep");
    args.finish()?;
    if print {
        print!("{}", generate::program(first).source);
        return Ok(ExitCode::SUCCESS);
    }
    if paths::find("valgrind").is_none() {
        println!("differential: skipped, valgrind is not installed");
        return Ok(ExitCode::SUCCESS);
    }
    let heapwise = (!itself).then(paths::heapwise);
    if let Some(path) = heapwise.as_ref().filter(|it| !it.is_file()) {
        return Err(format!("{} is not there: build it, or name a binary in HEAPWISE", path.display()));
    }
    Ok(run(first, count, keep, heapwise.as_deref()))
}

fn run(first: u64, count: u64, keep: bool, heapwise: Option<&Path>) -> ExitCode {
    let begin = Instant::now();
    let next = AtomicU64::new(first);
    let known = known_seeds();
    let all = Mutex::new((0u64, 0u64, 0u64, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let dir = paths::target().join(format!("differential/{seed}"));
                    let verdict = one(seed, &dir, heapwise);
                    if matches!(verdict, Verdict::Same | Verdict::Heads | Verdict::Varies) && !keep {
                        let _ = fs::remove_dir_all(&dir);
                    }
                    let mut all = all.lock().expect("no thread panics with the lock");
                    match verdict {
                        Verdict::Same => all.0 += 1,
                        Verdict::Heads => all.1 += 1,
                        Verdict::Varies => all.2 += 1,
                        Verdict::Differs(lines) => {
                            println!(
                                "seed {seed} differs{}: {}",
                                if known.contains(&seed) { " (known)" } else { "" },
                                dir.display()
                            );
                            for line in &lines {
                                println!("    {line}");
                            }
                            all.3.push(seed);
                        }
                        Verdict::Broken(error) => {
                            println!("seed {seed} is broken: {error}: {}", dir.display());
                            all.3.push(seed);
                        }
                    }
                }
            });
        }
    });
    let (same, heads, varying, mut differ) = all.into_inner().expect("no thread panics with the lock");
    differ.sort_unstable();
    let unexplained = differ.iter().filter(|seed| !known.contains(seed)).count();
    println!(
        "differential: {same} of {count} alike, {heads} but for the head of a lost ring, {varying} with one of memcheck's varying answers, {} differ ({unexplained} unexplained), {:.0} s",
        differ.len(),
        begin.elapsed().as_secs_f64()
    );
    let too_many = differ.len() as u64 * 100 > count;
    ExitCode::from(u8::from(unexplained > 0 || too_many))
}

/// The seeds that `known.md` names in list items (`- seed 12: why`).
fn known_seeds() -> BTreeSet<u64> {
    let text = fs::read_to_string(paths::root().join("tests/differential/known.md")).unwrap_or_default();
    let items = text.lines().filter_map(|line| line.strip_prefix("- seed "));
    items.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).collect()
}

fn one(seed: u64, dir: &Path, heapwise: Option<&Path>) -> Verdict {
    try_one(seed, dir, heapwise).unwrap_or_else(Verdict::Broken)
}

/// How often memcheck is asked again when it differs.
const AGAIN: usize = 4;

fn try_one(seed: u64, dir: &Path, heapwise: Option<&Path>) -> Result<Verdict, String> {
    let program = generate::program(seed);
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let name = if program.cpp { "program.cpp" } else { "program.c" };
    fs::write(dir.join(name), &program.source).map_err(|error| error.to_string())?;
    let compiler = if program.cpp { "g++" } else { "gcc" };
    let mut compile = Command::new(compiler);
    compile.args(&program.flags).args(["-w", name, "-o", "program"]);
    finish(&mut compile, dir, "compile")?;

    let theirs = valgrind(dir, name, "valgrind", &[])?;
    let ours = match heapwise {
        None => valgrind(dir, name, "again", &[("DIFFERENTIAL", "x".repeat(1000))])?,
        Some(heapwise) => {
            let mut command = Command::new("timeout");
            command.args(["60"]).arg(heapwise).args([
                "run",
                // All stacks of each site.
                "--verbose",
                "-o",
                "out.heapwise",
                "--format",
                "json",
                "--output",
                "heapwise.json",
                "--",
                "./program",
            ]);
            finish(&mut command, dir, "heapwise")?;
            let text = read(&dir.join("heapwise.json"))?;
            leaks::of_heapwise(&text, name)?
        }
    };
    let lines = ours.differences(&theirs);
    if lines.is_empty() {
        return Ok(Verdict::Same);
    }
    if ours.differs_in_heads_only(&theirs, program.rings) {
        return Ok(Verdict::Heads);
    }
    for _ in 0..AGAIN {
        let theirs = valgrind(dir, name, "valgrind-again", &[])?;
        if ours.differences(&theirs).is_empty() || ours.differs_in_heads_only(&theirs, program.rings) {
            return Ok(Verdict::Varies);
        }
    }
    Ok(Verdict::Differs(lines))
}

fn valgrind(dir: &Path, source: &str, name: &str, environment: &[(&str, String)]) -> Result<Leaks, String> {
    let mut command = Command::new("timeout");
    command.args([
        "120",
        "valgrind",
        "--leak-check=full",
        "--show-leak-kinds=all",
        "--run-libc-freeres=no",
        "--run-cxx-freeres=no",
    ]);
    command.args(["--xml=yes", "--num-callers=50", &format!("--xml-file={name}.xml"), "./program"]);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    finish(&mut command, dir, name)?;
    leaks::of_valgrind(&read(&dir.join(format!("{name}.xml")))?, source)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs to the end with output to files `step.out` and `step.err`; fails when the command does.
fn finish(command: &mut Command, dir: &Path, step: &str) -> Result<(), String> {
    let file = |end: &str| -> Result<Stdio, String> {
        let path: PathBuf = dir.join(format!("{step}.{end}"));
        fs::File::create(&path).map(Stdio::from).map_err(|error| format!("{}: {error}", path.display()))
    };
    let status = command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(file("out")?)
        .stderr(file("err")?)
        .status()
        .map_err(|error| format!("{step}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read_to_string(dir.join(format!("{step}.err"))).unwrap_or_default();
    let first = said
        .lines()
        .find(|it| it.contains("error") || it.contains("panicked"))
        .or(said.lines().next())
        .unwrap_or_default();
    Err(format!("{step} ended with {status}: {first}"))
}
