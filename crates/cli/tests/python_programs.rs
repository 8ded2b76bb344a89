//! Python programs with known answers, under `heapwise run`: see `tests/python_programs/README.md`.
//!
//! Needs `python3`; the test says when it is skipped. `HEAPWISE_PYTHON` names another interpreter, `HEAPWISE_ONLY` the
//! programs to run, separated by commas: then nothing is asserted of the others.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::observe;
use serde_json::Value;

/// Programs with a problem that have to be there.
const PROGRAMS_MIN: usize = 50;

/// One right answer.
struct Answer {
    rule: String,
    /// Empty when any will do.
    kinds: Vec<String>,
    /// Empty when there is none to tell.
    name: String,
    line: u64,
}

impl Answer {
    /// Those that the markers of `source` give.
    fn all(source: &str) -> Vec<Answer> {
        let of_line = |(line, number): (&str, u64)| -> Vec<Answer> {
            let answers = line.split_once("# expect: ").map_or("", |it| it.1).split(';');
            answers.filter(|it| !it.trim().is_empty()).map(|it| Answer::parse(it.trim(), number)).collect()
        };
        source.lines().zip(1u64..).flat_map(of_line).collect()
    }

    fn parse(text: &str, line: u64) -> Answer {
        let (rule, name) = text.split_once(' ').unwrap_or((text, ""));
        let (rule, kinds) = rule.split_once('[').unwrap_or((rule, ""));
        let kinds = kinds.trim_end_matches(']').split('|').filter(|it| !it.is_empty());
        Answer {
            rule: rule.to_owned(),
            kinds: kinds.map(str::to_owned).collect(),
            name: name.to_owned(),
            line,
        }
    }

    fn is_given_by(&self, finding: &Value, file: &str) -> bool {
        let kind = finding["kind"].as_str().unwrap_or_default();
        let place = &finding["location"];
        let is_here = place["line"].as_u64() == Some(self.line)
            && place["path"].as_str().is_some_and(|it| Path::new(it).ends_with(file));
        let told = format!("{} {}", finding["message"], finding["held_by"]);
        finding["rule"].as_str() == Some(&self.rule)
            && (self.kinds.is_empty() || self.kinds.iter().any(|it| it == kind))
            && is_here
            && told.contains(&self.name)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    /// What it needs is not installed.
    Skipped,
}

fn programs() -> PathBuf {
    common::root().join("tests/python_programs").canonicalize().unwrap()
}

/// The interpreter itself: what is on PATH may be a wrapper.
fn python() -> Option<String> {
    let name = std::env::var("HEAPWISE_PYTHON").unwrap_or_else(|_| "python3".into());
    let ask = "import sys; print(sys.executable)";
    let output = Command::new(&name).args(["-c", ask]).output().ok().filter(|it| it.status.success())?;
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// Whether what the program needs can be imported.
fn has_what_it_needs(python: &str, source: &str) -> bool {
    let modules = source.lines().filter_map(|it| it.strip_prefix("# needs: "));
    modules.into_iter().all(|it| {
        let import = Command::new(python).args(["-c", &format!("import {it}")]).output();
        import.is_ok_and(|it| it.status.success())
    })
}

/// Runs one and says what is wrong with what was told.
fn examine(python: &str, name: &str) -> (Verdict, String) {
    let file = format!("{name}.py");
    let path = programs().join(&file);
    let source = std::fs::read_to_string(&path).unwrap();
    if !has_what_it_needs(python, &source) {
        return (Verdict::Skipped, String::new());
    }
    let folder = tempfile::tempdir().unwrap();
    let run = observe(folder.path(), &[python, path.to_str().unwrap()]);
    let say = String::from_utf8_lossy(&run.output.stderr);
    assert!(run.output.status.success(), "{name} ended with {}: {say}", run.output.status);
    assert!(run.report.is_object(), "{name}: no report: {say}");
    let findings = run.report["findings"].as_array().unwrap();
    let answers = Answer::all(&source);
    let is_right = if answers.is_empty() {
        findings.iter().all(|it| it["severity"] != "error")
    } else {
        findings.iter().any(|finding| answers.iter().any(|it| it.is_given_by(finding, &file)))
    };
    let verdict = if is_right { Verdict::Right } else { Verdict::Wrong };
    (verdict, findings.iter().map(brief).collect())
}

/// A finding in a line.
fn brief(finding: &Value) -> String {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let place = &finding["location"];
    let file = text(&place["path"]);
    format!(
        "    {} {}[{}] {}:{} {} <- {}\n",
        text(&finding["severity"]),
        text(&finding["rule"]),
        text(&finding["kind"]),
        file.rsplit('/').next().unwrap_or_default(),
        place["line"],
        text(&finding["message"]),
        text(&finding["held_by"]["path"]),
    )
}

/// `misses.txt`: name and reason.
fn misses() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(programs().join("misses.txt")).unwrap();
    let parse = |line: &str| {
        let (name, reason) = line.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
        (name.to_owned(), reason.to_owned())
    };
    text.lines().filter(|it| !it.is_empty() && !it.starts_with('#')).map(parse).collect()
}

#[test]
fn python_programs_are_told_and_their_twins_are_not() {
    let names: Vec<String> = std::fs::read_dir(programs())
        .unwrap()
        .filter_map(|it| it.unwrap().file_name().to_str()?.strip_suffix(".py").map(str::to_owned))
        .collect();
    let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let bad: Vec<&str> =
        all.iter().copied().filter(|it| !it.ends_with("_fixed") && !it.starts_with("ok_")).collect();
    assert!(bad.len() >= PROGRAMS_MIN, "{bad:?}");
    for name in &bad {
        let source = std::fs::read_to_string(programs().join(format!("{name}.py"))).unwrap();
        assert!(!Answer::all(&source).is_empty(), "{name}: no answer");
        assert!(all.contains(format!("{name}_fixed").as_str()), "{name}: no twin");
    }
    let misses = misses();
    assert!(misses.keys().all(|it| all.contains(it.as_str())), "{misses:?}");

    let Some(python) = python() else {
        eprintln!("skipped: no `python3` here");
        return;
    };
    let only = std::env::var("HEAPWISE_ONLY").ok();
    let is_asked = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|it| it == name));
    let asked: Vec<&str> = all.iter().copied().filter(|it| is_asked(it)).collect();
    let mut results = examine_all(&python, &asked);
    // When objects are looked at depends on how busy the machine is: what is not as listed is asked again.
    for _ in 0..RETRIES {
        let is_settled = |name: &str, verdict: Verdict| match (verdict, misses.get(name)) {
            (Verdict::Wrong, None) => false,
            (Verdict::Right, Some(reason)) => reason.starts_with("sometimes"),
            _ => true,
        };
        let again: Vec<usize> =
            (0..asked.len()).filter(|&it| !is_settled(asked[it], results[it].0)).collect();
        let names: Vec<&str> = again.iter().map(|&it| asked[it]).collect();
        for (at, result) in again.into_iter().zip(examine_all(&python, &names)) {
            results[at] = result;
        }
    }
    let mut mistakes = String::new();
    let mut counts = BTreeMap::<&str, usize>::new();
    for (name, (verdict, told)) in asked.iter().zip(&results) {
        let what = match verdict {
            Verdict::Right => "right",
            Verdict::Wrong => "WRONG",
            Verdict::Skipped => "skipped",
        };
        println!("{what} {name}\n{told}");
        let sort = if bad.contains(name) { "problems" } else { "correct programs" };
        *counts.entry(sort).or_default() += usize::from(*verdict == Verdict::Right);
        match (verdict, misses.get(*name)) {
            (Verdict::Wrong, None) => mistakes += &format!("{name} is wrong:\n{told}"),
            (Verdict::Right, Some(reason)) if !reason.starts_with("sometimes") => {
                mistakes += &format!("{name} is right now, take it out of misses.txt: {reason}\n");
            }
            _ => {}
        }
    }
    println!("right: {counts:?} of {}", asked.len());
    assert!(mistakes.is_empty(), "{mistakes}");
}

/// Times that a program is asked again.
const RETRIES: usize = 2;

/// In the order of the names.
fn examine_all(python: &str, names: &[&str]) -> Vec<(Verdict, String)> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = examine(python, name);
                    results.lock().unwrap().insert(*name, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}
