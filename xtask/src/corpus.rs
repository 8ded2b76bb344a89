//! `corpus`: bugs times the ways that data takes to them, each with a repaired twin, under `heapwise check`.
//!
//! ```text
//! C, C++       bugs.rs: a source and a sink       straight  if  loop  call  file  class ...
//!              variants.rs: ways between     leak   x      .    x     x     .     x
//! Python       python.txt      } templates.rs
//! JavaScript   javascript.txt  }
//! ```
//!
//! Prints recall and false alarms by rule and by variant, and every miss. That the programs compile, and that the bad
//! ones do go wrong, is tested with the compiler's own checks (`--verify`). `--fix` lets `check` mend all of them, and
//! tells how many findings are gone and which programs it broke.

mod bugs;
mod mend;
mod templates;
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
use templates::Templates;
use variants::{File, Fill, VARIANTS, Variant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Corpus {
    Native,
    Python,
    JavaScript,
}

impl Corpus {
    const ALL: [Corpus; 3] = [Corpus::Native, Corpus::Python, Corpus::JavaScript];

    fn name(self) -> &'static str {
        match self {
            Corpus::Native => "c",
            Corpus::Python => "python",
            Corpus::JavaScript => "javascript",
        }
    }
}

/// A program of the corpus, in its folder.
#[derive(Clone)]
struct Case {
    corpus: Corpus,
    bug: String,
    /// What `check` has to call the bug.
    rule: String,
    variant: String,
    /// Data crosses files, containers or classes.
    is_far: bool,
    is_bad: bool,
    folder: PathBuf,
}

impl Case {
    fn name(&self) -> String {
        format!("{}/{}/{}", self.corpus.name(), self.bug, self.variant)
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
        return mend::main(&cases, &heapwise, misses);
    }
    let verdicts = check(&cases, &heapwise)?;
    for corpus in Corpus::ALL {
        let judged: Vec<_> = cases.iter().zip(&verdicts).filter(|it| it.0.corpus == corpus).collect();
        if !judged.is_empty() {
            println!("{}\n", corpus.name());
            print(&judged, misses);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes all programs whose `language/bug/variant` contains `only`.
fn write(root: &Path, only: &str) -> std::io::Result<Vec<Case>> {
    let _ = fs::remove_dir_all(root);
    let mut writer = Writer { root, only, cases: Vec::new() };
    for bug in BUGS {
        for variant in VARIANTS {
            let names = [bug.name, bug.rule, variant.name];
            writer.twins(Corpus::Native, names, variant.is_far, |is_bad| files(bug, variant, is_bad))?;
        }
    }
    for (corpus, templates) in
        [(Corpus::Python, Templates::python()), (Corpus::JavaScript, Templates::javascript())]
    {
        for (bug, variant) in templates.pairs() {
            let names = [bug.name.as_str(), &bug.rule, &variant.name];
            writer.twins(corpus, names, variant.is_far, |is_bad| templates.files(bug, variant, is_bad))?;
        }
    }
    Ok(writer.cases)
}

struct Writer<'a> {
    root: &'a Path,
    only: &'a str,
    cases: Vec<Case>,
}

impl Writer<'_> {
    fn twins(
        &mut self,
        corpus: Corpus,
        [bug, rule, variant]: [&str; 3],
        is_far: bool,
        files: impl Fn(bool) -> Vec<File>,
    ) -> std::io::Result<()> {
        for is_bad in [true, false] {
            let twin = if is_bad { "bad" } else { "good" };
            let folder = self.root.join(corpus.name()).join(bug).join(variant).join(twin);
            let (bug, rule, variant) = (bug.to_owned(), rule.to_owned(), variant.to_owned());
            let case = Case { corpus, bug, rule, variant, is_far, is_bad, folder };
            if !case.name().contains(self.only) {
                continue;
            }
            for (name, text) in files(is_bad) {
                let path = case.folder.join(name);
                fs::create_dir_all(path.parent().unwrap_or(&case.folder))?;
                fs::write(path, text)?;
            }
            self.cases.push(case);
        }
        Ok(())
    }
}

fn files(bug: &Bug, variant: &Variant, is_bad: bool) -> Vec<File> {
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

/// Asks the compiler, or whatever parses the language; the error is what it says. What node cannot read is not
/// tested: JSX, and types.
fn compiles(case: &Case) -> Result<(), String> {
    let script = match case.corpus {
        Corpus::Native => {
            "if ls *.cpp >/dev/null 2>&1; then g++ -w -fsyntax-only *.cpp; else gcc -w -fsyntax-only *.c; fi"
        }
        Corpus::Python => {
            "find . -name '*.py' | xargs python3 -B -c 'import ast, sys; [ast.parse(open(it).read(), it) for it in sys.argv[1:]]'"
        }
        Corpus::JavaScript => {
            "if ls *.js* *.mjs 2>/dev/null | grep -q 'js$'; then for it in $(find . -name '*.js' -o -name '*.mjs'); do grep -q '^import\\|^export' $it && continue; node --check $it || exit 1; done; fi"
        }
    };
    match Command::new("sh").arg("-c").arg(script).current_dir(&case.folder).output() {
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
    let (document, _) = run_check(case, heapwise, &[])?;
    let mut verdict = Verdict { hits: 0, others: Vec::new() };
    for finding in document["findings"].as_array().into_iter().flatten() {
        let rule = finding["rule"].as_str().unwrap_or_default();
        if rule == case.rule {
            verdict.hits += 1;
        } else if finding["severity"] != "note" {
            verdict.others.push(rule.to_owned());
        }
    }
    Ok(verdict)
}

/// What `check` writes, and what it says besides.
fn run_check(case: &Case, heapwise: &Path, options: &[&str]) -> Result<(serde_json::Value, String), String> {
    let failed = |what: &str| format!("{}: {what}", case.folder.display());
    let mut command = Command::new(heapwise);
    command
        .args(["check", "--format", "json", "--jobs", "1", "--no-cache", "--fail-on", "never"])
        .args(options);
    let output = command.current_dir(&case.folder).output().map_err(|error| failed(&error.to_string()))?;
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    let document =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(&format!("{error}: {notes}")))?;
    Ok((document, notes))
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

fn print(judged: &[(&Case, &Verdict)], misses: bool) {
    let mut rules: BTreeMap<&str, Score> = BTreeMap::new();
    // In the order that they stand in.
    let mut variants: Vec<(&str, Score)> = Vec::new();
    let (mut all, mut far) = (Score::default(), Score::default());
    let mut others: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (case, verdict) in judged {
        all.add(case, verdict);
        rules.entry(&case.rule).or_default().add(case, verdict);
        match variants.iter_mut().find(|it| it.0 == case.variant) {
            Some((_, score)) => score.add(case, verdict),
            None => {
                let mut score = Score::default();
                score.add(case, verdict);
                variants.push((&case.variant, score));
            }
        }
        if case.is_far {
            far.add(case, verdict);
        }
        for other in verdict.others.iter().filter(|_| !case.is_bad) {
            *others.entry((&case.bug, other)).or_default() += 1;
        }
    }
    println!("{:<24}{:>14}  {:>7}   {:>13}  {:>7}", "by rule", "found", "", "false alarms", "");
    rules.iter().for_each(|(name, score)| println!("{}", score.row(name)));
    println!("\nby variant");
    variants.iter().for_each(|(name, score)| println!("{}", score.row(name)));
    println!("\n{}\n{}\n", far.row("far data"), all.row("all"));
    if !others.is_empty() {
        println!("other findings on repaired programs");
        others.iter().for_each(|((bug, rule), count)| println!("{bug:<24}{rule:<24}{count:>5}"));
        println!();
    }
    if misses {
        for (case, verdict) in judged {
            match (case.is_bad, verdict.hits) {
                (true, 0) => println!("miss   {}", case.name()),
                (false, 1..) => println!("alarm  {}", case.name()),
                _ => {}
            }
        }
        println!();
    }
}
