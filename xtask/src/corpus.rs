//! `corpus`: bugs times the ways that data takes to them, each with a repaired twin, under `heapwise check`.
//!
//! ```text
//! bugs.rs      41 bugs: a source and a sink        straight  if  loop  call  file  class ...
//! variants.rs  46 ways from source to sink      leak   x      .    x     x     .     x
//! ```
//!
//! Prints recall and false alarms by rule and by variant, and every miss. That the programs compile, and that the bad
//! ones do go wrong, is tested with the compiler's own checks (`--verify`). `--fix` lets `check` mend the bad ones, and
//! tells how many it mends and whether they still compile.

mod bugs;
mod mend;
mod variants;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::args::Args;
use crate::paths;
use bugs::{BUGS, Bug, Repair};
use variants::{Fill, VARIANTS, Variant};

/// A program of the corpus, in its folder.
struct Case {
    bug: &'static Bug,
    variant: &'static Variant,
    is_bad: bool,
    folder: PathBuf,
}

impl Case {
    fn name(&self) -> String {
        format!("{}/{}", self.bug.name, self.variant.name)
    }
}

pub fn main(given: &[String]) -> Result<ExitCode, String> {
    let mut args = Args::new(given);
    let only: String = args.value("--only", String::new())?;
    let verify = args.flag("--verify");
    let misses = args.flag("--misses");
    let fix = args.flag("--fix");
    args.finish()?;
    let root = paths::target().join("corpus");
    let cases = write(&root, &only).map_err(|error| format!("{}: {error}", root.display()))?;
    if verify {
        return Ok(compile(&cases));
    }
    let heapwise = paths::heapwise();
    if !heapwise.is_file() {
        return Err(format!("{} is not there: build it, or name a binary in HEAPWISE", heapwise.display()));
    }
    if fix {
        return mend::main(&cases, &heapwise);
    }
    let verdicts = check(&cases, &heapwise)?;
    print(&cases, &verdicts, misses);
    Ok(ExitCode::SUCCESS)
}

/// Writes all programs whose `bug/variant` contains `only`.
fn write(root: &Path, only: &str) -> std::io::Result<Vec<Case>> {
    let _ = fs::remove_dir_all(root);
    let mut cases = Vec::new();
    for bug in BUGS {
        for variant in VARIANTS {
            for is_bad in [true, false] {
                let twin = if is_bad { "bad" } else { "good" };
                let folder = root.join(bug.name).join(variant.name).join(twin);
                let case = Case { bug, variant, is_bad, folder };
                if !case.name().contains(only) {
                    continue;
                }
                fs::create_dir_all(&case.folder)?;
                for (name, text) in files(bug, variant, is_bad) {
                    fs::write(case.folder.join(name), text)?;
                }
                cases.push(case);
            }
        }
    }
    Ok(cases)
}

fn files(bug: &Bug, variant: &Variant, is_bad: bool) -> Vec<variants::File> {
    let (prelude, source, sink) = match (is_bad, &bug.repair) {
        (true, _) => (bug.prelude, bug.source, bug.sink),
        (false, Repair::Source(source)) => (bug.prelude, *source, bug.sink),
        (false, Repair::Sink(sink)) => (bug.prelude, bug.source, *sink),
        (false, Repair::Prelude(prelude)) => (*prelude, bug.source, bug.sink),
    };
    let is_cpp = bug.is_cpp || variant.is_cpp;
    (variant.write)(&Fill { ty: bug.ty, prelude, source, sink, is_cpp })
}

/// Runs `work` for each case on both cores; results in the cases' order.
fn each<T: Send>(cases: &[Case], work: impl Fn(&Case) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(at) else { return };
                    let result = work(case);
                    done.lock().expect("no worker panics with the lock").insert(at, result);
                }
            });
        }
    });
    done.into_inner().expect("no worker panicked").into_values().collect()
}

/// Whether all programs compile.
fn compile(cases: &[Case]) -> ExitCode {
    let results = each(cases, compiles);
    let broken: Vec<_> =
        cases.iter().zip(&results).filter_map(|it| Some((it.0, it.1.as_ref().err()?))).collect();
    for (case, error) in &broken {
        println!("{}: {error}", case.folder.display());
    }
    println!("{} programs, {} do not compile", cases.len(), broken.len());
    ExitCode::from(u8::from(!broken.is_empty()))
}

/// Asks the compiler; the error is what it says.
fn compiles(case: &Case) -> Result<(), String> {
    let is_cpp = case.bug.is_cpp || case.variant.is_cpp;
    let (compiler, end) = if is_cpp { ("g++", "cpp") } else { ("gcc", "c") };
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{compiler} -w -fsyntax-only *.{end}")).current_dir(&case.folder);
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What `check` said of a program.
struct Verdict {
    /// Findings of the bug's rule.
    hits: usize,
    /// Errors and warnings of other rules.
    others: Vec<String>,
}

fn check(cases: &[Case], heapwise: &Path) -> Result<Vec<Verdict>, String> {
    each(cases, |case| check_one(case, heapwise)).into_iter().collect()
}

fn check_one(case: &Case, heapwise: &Path) -> Result<Verdict, String> {
    check_with(case, heapwise, &[])
}

fn check_with(case: &Case, heapwise: &Path, options: &[&str]) -> Result<Verdict, String> {
    let failed = |what: &str| format!("{}: {what}", case.folder.display());
    let mut command = Command::new(heapwise);
    command
        .args(["check", "--format", "json", "--jobs", "1", "--no-cache", "--fail-on", "never", "--quiet"])
        .args(options);
    let output = command.current_dir(&case.folder).output().map_err(|error| failed(&error.to_string()))?;
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(&format!("{error}: {}", String::from_utf8_lossy(&output.stderr))))?;
    let mut verdict = Verdict { hits: 0, others: Vec::new() };
    for finding in document["findings"].as_array().into_iter().flatten() {
        let rule = finding["rule"].as_str().unwrap_or_default();
        if rule == case.bug.rule {
            verdict.hits += 1;
        } else if finding["severity"] != "note" {
            verdict.others.push(rule.to_owned());
        }
    }
    Ok(verdict)
}

#[derive(Default)]
struct Score {
    bad: usize,
    found: usize,
    good: usize,
    alarms: usize,
}

impl Score {
    fn add(&mut self, case: &Case, verdict: &Verdict) {
        let is_hit = usize::from(verdict.hits > 0);
        if case.is_bad {
            self.bad += 1;
            self.found += is_hit;
        } else {
            self.good += 1;
            self.alarms += is_hit;
        }
    }

    fn row(&self, name: &str) -> String {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        format!(
            "{name:<24}{:>5} of {:>5}  {:>5.1} %   {:>4} of {:>5}  {:>5.1} %",
            self.found,
            self.bad,
            percent(self.found, self.bad),
            self.alarms,
            self.good,
            percent(self.alarms, self.good)
        )
    }
}

fn print(cases: &[Case], verdicts: &[Verdict], misses: bool) {
    let mut rules: BTreeMap<&str, Score> = BTreeMap::new();
    let mut variants: BTreeMap<&str, Score> = BTreeMap::new();
    let (mut all, mut far) = (Score::default(), Score::default());
    let mut others: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (case, verdict) in cases.iter().zip(verdicts) {
        all.add(case, verdict);
        rules.entry(case.bug.rule).or_default().add(case, verdict);
        variants.entry(case.variant.name).or_default().add(case, verdict);
        if case.variant.is_far {
            far.add(case, verdict);
        }
        for other in verdict.others.iter().filter(|_| !case.is_bad) {
            *others.entry((case.bug.name, other)).or_default() += 1;
        }
    }
    println!("{:<24}{:>14}  {:>7}   {:>13}  {:>7}", "by rule", "found", "", "false alarms", "");
    rules.iter().for_each(|(name, score)| println!("{}", score.row(name)));
    println!("\nby variant");
    for variant in VARIANTS {
        if let Some(score) = variants.get(variant.name) {
            println!("{}", score.row(variant.name));
        }
    }
    println!("\n{}\n{}", far.row("far data"), all.row("all"));
    if !others.is_empty() {
        println!("\nother findings on repaired programs");
        others.iter().for_each(|((bug, rule), count)| println!("{bug:<24}{rule:<24}{count:>5}"));
    }
    if misses {
        println!();
        for (case, verdict) in cases.iter().zip(verdicts) {
            match (case.is_bad, verdict.hits) {
                (true, 0) => println!("miss   {}", case.name()),
                (false, 1..) => println!("alarm  {}", case.name()),
                _ => {}
            }
        }
    }
}
