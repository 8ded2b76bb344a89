//! `corpus --fix`: what `check --fix` makes of the programs that go wrong.
//!
//! A program is broken where it does not compile any more, where a second `--fix` changes it again, where a finding
//! is there that was not, and where a finding that was said to be fixed still is.

use super::{Case, Corpus, compiles, each, run_check};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// Findings by rule.
type Counts = BTreeMap<String, usize>;

/// What became of a program.
struct Mending {
    before: Counts,
    /// After safe fixes.
    safely: Counts,
    /// After all fixes.
    unsafely: Counts,
    broken: BTreeSet<String>,
}

/// What is told of a rule in a language, or of a bug.
#[derive(Default)]
struct Row {
    findings: usize,
    safely: usize,
    unsafely: usize,
    left: usize,
}

impl Row {
    fn add(&mut self, it: &Mending, rule: &str) {
        let of = |counts: &Counts| counts.get(rule).copied().unwrap_or(0);
        let (before, safely, unsafely) = (of(&it.before), of(&it.safely), of(&it.unsafely));
        self.findings += before;
        self.safely += before.saturating_sub(safely);
        self.unsafely += safely.saturating_sub(unsafely);
        self.left += unsafely;
    }

    fn print(&self, name: &str) {
        println!("{name:<40}{:>9}{:>9}{:>9}{:>9}", self.findings, self.safely, self.unsafely, self.left);
    }
}

pub(super) fn main(cases: &[Case], heapwise: &Path, misses: bool) -> Result<ExitCode, String> {
    let mendings: Vec<Mending> =
        each(cases, |it| mend(it, heapwise)).into_iter().collect::<Result<_, _>>()?;
    println!("{:<40}{:>9}{:>9}{:>9}{:>9}", "by rule", "findings", "safely", "unsafely", "left");
    for corpus in Corpus::ALL {
        let of_corpus: Vec<&Mending> =
            cases.iter().zip(&mendings).filter(|it| it.0.corpus == corpus).map(|it| it.1).collect();
        let rules: BTreeSet<&String> = of_corpus.iter().flat_map(|it| it.before.keys()).collect();
        for rule in rules {
            let mut row = Row::default();
            of_corpus.iter().for_each(|it| row.add(it, rule));
            row.print(&format!("{:<12}{rule}", corpus.name()));
        }
    }
    println!("\nby bug, its own rule");
    let mut bugs: BTreeMap<(&str, &str), Row> = BTreeMap::new();
    for (case, it) in cases.iter().zip(&mendings).filter(|it| it.0.is_bad) {
        bugs.entry((case.corpus.name(), &case.bug)).or_default().add(it, &case.rule);
    }
    bugs.iter().for_each(|((corpus, bug), row)| row.print(&format!("{corpus:<12}{bug}")));
    println!();
    for (case, it) in cases.iter().zip(&mendings) {
        let what = &it.broken;
        what.iter().for_each(|it| println!("broken  {}: {it}", case.folder.display()));
        if misses && case.is_bad && it.unsafely.get(&case.rule).is_some_and(|it| *it > 0) {
            println!("left    {}", case.name());
        }
    }
    let broken = mendings.iter().filter(|it| !it.broken.is_empty()).count();
    println!("{} programs, {broken} broken", cases.len());
    Ok(ExitCode::from(u8::from(broken > 0)))
}

fn mend(case: &Case, heapwise: &Path) -> Result<Mending, String> {
    let mut broken = BTreeSet::new();
    let before = check(case, heapwise, &[])?.0;
    let mut at = before.clone();
    let mut counts = Vec::new();
    for option in ["--fix", "--unsafe-fixes"] {
        if at.is_empty() {
            counts.push(at.clone());
            continue;
        }
        let old = texts(&case.folder)?;
        let (mut after, fixed) = check(case, heapwise, &[option])?;
        let new = texts(&case.folder)?;
        if new != old {
            if let Err(error) = compiles(case) {
                broken.insert(format!("after {option}: {error}"));
            }
            after = check(case, heapwise, &[option])?.0;
            if texts(&case.folder)? != new {
                broken.insert(format!("a second {option} changes it again"));
            }
        }
        for (rule, count) in &after {
            let had = at.get(rule).copied().unwrap_or(0);
            if *count > had {
                broken.insert(format!("after {option}: {count} of {rule}, {had} before"));
            }
        }
        let gone = at.values().sum::<usize>().saturating_sub(after.values().sum());
        if gone < fixed {
            broken.insert(format!("{option} said to have fixed {fixed}, but {gone} are gone"));
        }
        counts.push(after.clone());
        at = after;
    }
    let [safely, unsafely] = <[Counts; 2]>::try_from(counts).expect("one for each option");
    Ok(Mending { before, safely, unsafely, broken })
}

/// Findings, and how many were said to be fixed.
fn check(case: &Case, heapwise: &Path, options: &[&str]) -> Result<(Counts, usize), String> {
    let (document, notes) = run_check(case, heapwise, options)?;
    let mut counts = Counts::new();
    for finding in document["findings"].as_array().into_iter().flatten() {
        *counts.entry(finding["rule"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let fixed = notes.lines().filter(|it| it.starts_with("note: fixed ")).count();
    Ok((counts, fixed))
}

/// All files of a folder and those within.
fn texts(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            texts.extend(self::texts(&path)?);
        } else {
            texts.insert(path.to_string_lossy().into_owned(), fs::read(&path).map_err(failed)?);
        }
    }
    Ok(texts)
}
