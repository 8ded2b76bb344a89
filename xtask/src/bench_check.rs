//! `bench-check`: what `heapwise check` costs and finds, beside the rivals on the same trees in the same run.
//!
//! Each round runs every tool once on a tree, starting one further each time. CPU time is that of the whole
//! process tree, memory the greatest process. Counts of findings say how much a tool talks, not whether it is right.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::args::Args;
use crate::measure::{self, Cost};
use crate::stats::Spread;
use crate::{bench, paths};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    C,
    Python,
    JavaScript,
}

/// A tool and how it is asked.
#[derive(Clone, Copy)]
struct Tool {
    name: &'static str,
    /// The program that must be installed.
    program: &'static str,
    languages: &'static [Language],
    /// Before the files or the folder.
    command: &'static [&'static str],
    /// Whether it takes one file at a time; otherwise the folder.
    is_per_file: bool,
    /// What a line of its output holds when it is a finding.
    mark: Mark,
}

#[derive(Clone, Copy)]
enum Mark {
    /// Findings are counted in a JSON document of ours.
    Ours,
    Holds(&'static str),
    /// `path:1:2: X123 ...`, a code of letters and digits.
    Code,
    /// It looks for nothing.
    None,
}

/// Examples of ours, which tell how fast the machine is: no check costs less than parsing.
const PARSE_PYTHON: &str = "parse_python";
const PARSE_JS: &str = "parse_js";

/// Stands in a command for the file that turns on the rules that eslint recommends.
const ESLINT_CONFIGURATION: &str = "{eslint.config.mjs}";

const C: &[Language] = &[Language::C];
const PYTHON: &[Language] = &[Language::Python];
const JAVASCRIPT: &[Language] = &[Language::JavaScript];
const ALL: &[Language] = &[Language::C, Language::Python, Language::JavaScript];

const TOOLS: &[Tool] = &[
    Tool {
        name: "heapwise check",
        program: "heapwise",
        languages: ALL,
        command: &["heapwise", "check", "--no-cache", "--fail-on", "never", "--format", "json"],
        is_per_file: false,
        mark: Mark::Ours,
    },
    Tool {
        name: "heapwise check -j1",
        program: "heapwise",
        languages: ALL,
        command: &["heapwise", "check", "--no-cache", "-j1", "--fail-on", "never", "--format", "json"],
        is_per_file: false,
        mark: Mark::Ours,
    },
    Tool {
        name: "the parser alone (ruff's)",
        program: PARSE_PYTHON,
        languages: PYTHON,
        command: &[PARSE_PYTHON],
        is_per_file: false,
        mark: Mark::None,
    },
    Tool {
        name: "the parser alone (oxc's, with names resolved)",
        program: PARSE_JS,
        languages: JAVASCRIPT,
        command: &[PARSE_JS],
        is_per_file: false,
        mark: Mark::None,
    },
    Tool {
        name: "cppcheck",
        program: "cppcheck",
        languages: C,
        command: &["cppcheck", "--quiet", "--enable=warning", "--template={file}:{line}: finding {id}"],
        is_per_file: false,
        mark: Mark::Holds(": finding "),
    },
    Tool {
        name: "clang --analyze",
        program: "clang",
        languages: C,
        command: &["clang", "--analyze", "--analyzer-output", "text", "-o", "/dev/null"],
        is_per_file: true,
        mark: Mark::Holds(": warning: "),
    },
    Tool {
        name: "gcc -fanalyzer",
        program: "gcc",
        languages: C,
        command: &["gcc", "-fanalyzer", "-c", "-o", "/dev/null"],
        is_per_file: true,
        mark: Mark::Holds("[-Wanalyzer-"),
    },
    Tool {
        name: "ruff, all rules",
        program: "ruff",
        languages: PYTHON,
        command: &[
            "ruff",
            "check",
            "--select",
            "ALL",
            "--no-cache",
            "--isolated",
            "--output-format",
            "concise",
        ],
        is_per_file: false,
        mark: Mark::Code,
    },
    Tool {
        name: "pylint",
        program: "pylint",
        languages: PYTHON,
        command: &["pylint", "--score=n", "--recursive=y"],
        is_per_file: false,
        mark: Mark::Code,
    },
    Tool {
        name: "oxlint",
        program: "oxlint",
        languages: JAVASCRIPT,
        command: &["oxlint", "--format=unix"],
        is_per_file: false,
        mark: Mark::Holds("/eslint"),
    },
    Tool {
        name: "eslint, recommended rules",
        program: "eslint",
        languages: JAVASCRIPT,
        // It looks at nothing outside the folder it runs in.
        command: &["env", "-C", "/", "eslint", "--config", ESLINT_CONFIGURATION],
        is_per_file: false,
        mark: Mark::Holds("  warning  "),
    },
];

struct Tree {
    name: String,
    language: Language,
    path: PathBuf,
    files: Vec<String>,
    lines: u64,
}

pub fn main(given: &[String]) -> Result<ExitCode, String> {
    let mut args = Args::new(given);
    let no_build = args.flag("--no-build");
    let rounds: usize = args.value("--rounds", 3)?;
    let seconds: u64 = args.value("--timeout", 1800)?;
    let c: String = args.value("--c", String::new())?;
    let python: String = args.value("--python", String::new())?;
    let javascript: String = args.value("--js", String::new())?;
    let only: String = args.value("--only", String::new())?;
    let name: String = args.value("--name", String::new())?;
    args.finish()?;

    if !no_build && std::env::var_os("HEAPWISE").is_none() {
        bench::build()?;
        build_parsers()?;
    }
    let mut trees = given_trees(&c, Language::C)?;
    trees.extend(given_trees(&python, Language::Python)?);
    trees.extend(given_trees(&javascript, Language::JavaScript)?);
    if trees.is_empty() {
        trees = default_trees()?;
    }
    write_eslint_configuration()?;
    let only: Vec<&str> = only.split(',').filter(|it| !it.is_empty()).collect();
    let tools: Vec<Tool> = TOOLS.iter().copied().filter(|it| is_wanted(it, &only)).collect();
    let mut text = bench::heading(
        "What checking costs",
        "bench-check",
        "Counts say how much a tool reports, not whether it is right.",
        rounds,
    );
    text.push_str(&versions(&tools));
    for tree in &trees {
        let table = run(tree, &tools, rounds, seconds)?;
        print!("{table}");
        text.push_str(&table);
    }
    if !name.is_empty() {
        let results = paths::root().join("benches/results").join(format!("{name}.md"));
        fs::write(&results, text).map_err(|error| format!("{}: {error}", results.display()))?;
        println!("written to {}", results.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn build_parsers() -> Result<(), String> {
    let status = std::process::Command::new("cargo")
        .args(["build", "--release", "--package", "heapwise-lang_python", "--package", "heapwise-lang_js"])
        .args(["--example", PARSE_PYTHON, "--example", PARSE_JS])
        .current_dir(paths::root())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the parsers alone could not be built".into()) }
}

/// Programs of this repository.
fn own(program: &str) -> Option<PathBuf> {
    match program {
        "heapwise" => Some(paths::heapwise()),
        PARSE_PYTHON | PARSE_JS => Some(paths::target().join("release/examples").join(program)),
        _ => None,
    }
}

fn is_wanted(tool: &Tool, only: &[&str]) -> bool {
    if !only.is_empty() && !only.contains(&tool.program) {
        return false;
    }
    let is_there = match own(tool.program) {
        Some(path) => path.is_file(),
        None => paths::find(tool.program).is_some(),
    };
    if !is_there {
        eprintln!("{} is not installed: left out", tool.program);
    }
    is_there
}

/// Which version of each tool was run, and which of the known ones was not there.
fn versions(tools: &[Tool]) -> String {
    let mut text = String::new();
    for known in TOOLS.iter().filter(|it| own(it.program).is_none()) {
        let version = tools
            .iter()
            .any(|it| it.name == known.name)
            .then(|| paths::output_of(known.program, &["--version"]))
            .flatten();
        let version = version.as_deref().and_then(|it| it.lines().next()).unwrap_or("not run");
        let _ = writeln!(text, "- {}: {version}", known.name);
    }
    text
}

/// Folders or files separated by commas.
fn given_trees(list: &str, language: Language) -> Result<Vec<Tree>, String> {
    list.split(',').filter(|it| !it.is_empty()).map(|it| tree(Path::new(it), language)).collect()
}

/// C that cargo has downloaded for us, and the standard library of the Python that is installed.
fn default_trees() -> Result<Vec<Tree>, String> {
    let mut trees = Vec::new();
    if let Some(manifest) = package("zstd-sys") {
        trees.push(tree(&manifest.join("zstd/lib"), Language::C)?);
    }
    let ask = "import sysconfig; print(sysconfig.get_paths()['stdlib'])";
    match bench::python().and_then(|it| paths::output_of(&it, &["-c", ask])) {
        Some(path) => trees.push(tree(Path::new(&path), Language::Python)?),
        None => eprintln!("no Python: its standard library is left out"),
    }
    Ok(trees)
}

/// The folder of a package that the lock file names.
fn package(name: &str) -> Option<PathBuf> {
    let text = paths::output_of("cargo", &["metadata", "--format-version=1", "--offline"])?;
    let metadata: serde_json::Value = serde_json::from_str(&text).ok()?;
    let package = metadata["packages"].as_array()?.iter().find(|it| it["name"] == name)?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned())
}

fn tree(path: &Path, language: Language) -> Result<Tree, String> {
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    let end = match language {
        Language::C => "c",
        Language::Python => "py",
        Language::JavaScript => "js",
    };
    let mut files = Vec::new();
    collect(&path, end, &mut files);
    files.sort();
    let lines =
        |it: &String| fs::read(it).map_or(0, |text| text.iter().filter(|it| **it == b'\n').count() as u64);
    let lines = files.iter().map(lines).sum();
    if files.is_empty() {
        return Err(format!("{}: no file ends in .{end}", path.display()));
    }
    Ok(Tree { name: path.to_string_lossy().into_owned(), language, path, files, lines })
}

fn collect(path: &Path, end: &str, files: &mut Vec<String>) {
    if path.is_symlink() {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), end, files);
        }
    } else if path.extension().is_some_and(|it| it == end) {
        files.push(path.to_string_lossy().into_owned());
    }
}

fn command(tool: &Tool, tree: &Tree, seconds: u64) -> Vec<String> {
    let mut line = vec!["timeout".to_string(), seconds.to_string()];
    if tool.is_per_file {
        // One compiler after the other, as a build does; its errors are no findings and end nothing.
        line.extend(["sh", "-c", r#"n=$1; shift; i=0; a=; while [ $i -lt $n ]; do a="$a $1"; shift; i=$((i+1)); done; for f; do $a "$f"; done; true"#, "sh"].map(String::from));
        line.push(tool.command.len().to_string());
    }
    line.extend(tool.command.iter().map(|it| match *it {
        ESLINT_CONFIGURATION => eslint_configuration().to_string_lossy().into_owned(),
        it => it.to_string(),
    }));
    if let Some(path) = own(tool.program) {
        let at = line.iter().position(|it| it == tool.program).expect("the command begins with it");
        line[at] = path.to_string_lossy().into_owned();
    }
    if tool.is_per_file {
        line.extend(tree.files.iter().cloned());
    } else {
        line.push(tree.path.to_string_lossy().into_owned());
    }
    line
}

fn eslint_configuration() -> PathBuf {
    paths::target().join("bench/eslint.config.mjs")
}

/// What eslint recommends, without the package that says so.
fn write_eslint_configuration() -> Result<(), String> {
    let Some(program) = paths::find("eslint").and_then(|it| it.canonicalize().ok()) else { return Ok(()) };
    let package = program.parent().and_then(Path::parent).ok_or("eslint has no package folder")?;
    let rules = package.join("lib/unsupported-api.js");
    let path = eslint_configuration();
    let text = format!(
        "import api from {:?};\nconst rules = {{}};\nfor (const [name, rule] of api.builtinRules) if (rule.meta.docs.recommended) rules[name] = \"warn\";\nexport default [{{ rules }}];\n",
        rules.to_string_lossy()
    );
    let folder = path.parent().expect("it is in a folder of the target");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Findings in what a tool printed.
fn count(mark: Mark, printed: &str) -> usize {
    match mark {
        Mark::Ours => {
            let document: serde_json::Value = serde_json::from_str(printed).unwrap_or_default();
            document["findings"].as_array().map_or(0, Vec::len)
        }
        Mark::Holds(text) => printed.lines().filter(|it| it.contains(text)).count(),
        Mark::Code => printed.lines().filter(|it| is_coded(it)).count(),
        Mark::None => 0,
    }
}

/// `path:line:column: CODE...`
fn is_coded(line: &str) -> bool {
    let mut parts = line.splitn(4, ':').skip(1);
    let is_number = |it: Option<&str>| it.is_some_and(|it| it.parse::<u32>().is_ok());
    let (line, column) = (is_number(parts.next()), is_number(parts.next()));
    let code = parts.next().unwrap_or_default().trim_start();
    let letters = code.bytes().take_while(u8::is_ascii_uppercase).count();
    line && column && letters > 0 && code.as_bytes().get(letters).is_some_and(u8::is_ascii_digit)
}

fn run(tree: &Tree, tools: &[Tool], rounds: usize, seconds: u64) -> Result<String, String> {
    let dir = paths::target().join("bench/check");
    let tools: Vec<Tool> = tools.iter().copied().filter(|it| it.languages.contains(&tree.language)).collect();
    let mut costs: Vec<Vec<Option<Cost>>> = Vec::new();
    let mut findings = vec![0; tools.len()];
    let mut is_slow = vec![false; tools.len()];
    for round in 0..rounds {
        let mut row = vec![None; tools.len()];
        for turn in 0..tools.len() {
            let at = (turn + round) % tools.len();
            if is_slow[at] {
                continue;
            }
            let tool = &tools[at];
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            let (out, err) = (dir.join("stdout"), dir.join("stderr"));
            let cost = measure::run(&command(tool, tree, seconds), Path::new("/dev/null"), &out, &err, &dir)?;
            is_slow[at] = cost.status == 124 || cost.cpu > 60.0;
            let mut printed = fs::read(&out).map_err(|error| format!("{}: {error}", out.display()))?;
            if !matches!(tool.mark, Mark::Ours) {
                printed.extend(fs::read(&err).unwrap_or_default());
            }
            findings[at] = count(tool.mark, &String::from_utf8_lossy(&printed));
            eprintln!(
                "{} {}/{rounds} {}: cpu {:.2} s, wall {:.2} s, {} findings",
                tree.name,
                round + 1,
                tool.name,
                cost.cpu,
                cost.wall,
                findings[at]
            );
            if cost.status == 124 {
                eprintln!("{}: stopped after {seconds} s", tool.name);
                continue;
            }
            row[at] = Some(cost);
        }
        costs.push(row);
    }
    let _ = fs::remove_dir_all(&dir);
    Ok(table(tree, &tools, &costs, &findings, seconds))
}

fn table(
    tree: &Tree,
    tools: &[Tool],
    costs: &[Vec<Option<Cost>>],
    findings: &[usize],
    seconds: u64,
) -> String {
    let lines = tree.lines as f64;
    let mut text = format!("\n## {}\n\n{} files, {} lines.\n\n", tree.name, tree.files.len(), tree.lines);
    text.push_str("| | lines per CPU second | lines per second | CPU, of ours | peak MB | findings |\n|---|---|---|---|---|---|\n");
    for (at, tool) in tools.iter().enumerate() {
        let of =
            |of: &dyn Fn(&Cost) -> f64| Spread::of(costs.iter().filter_map(|row| row[at].as_ref().map(of)));
        // The first tool is ours; a slow one runs in the first round only.
        let ratio = Spread::of(costs.iter().filter_map(|row| Some(row[at]?.cpu / row[0]?.cpu)));
        let (Some(cpu), Some(wall), Some(memory)) = (
            of(&|it| lines / it.cpu.max(0.001)),
            of(&|it| lines / it.wall.max(0.001)),
            of(&|it| it.peak_rss / 1e6),
        ) else {
            let _ = writeln!(text, "| {} | not done in {seconds} s | | | | |", tool.name);
            continue;
        };
        let ratio = ratio.map_or("-".to_string(), |it| it.to_string());
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {ratio} | {:.0} | {} |",
            tool.name, cpu.median, wall.median, memory.max, findings[at]
        );
    }
    text
}

#[test]
fn findings_are_counted() {
    let printed = "a.py:1:2: E501 long\na.py:12:0: C0114: Missing (x)\nFound 2 errors.\n a.py: E1\n";
    assert_eq!(count(Mark::Code, printed), 2);
    assert_eq!(count(Mark::Holds("[-Wanalyzer-"), "a.c:1: warning: x [-Wanalyzer-leak]\nnote\n"), 1);
    assert_eq!(count(Mark::Ours, r#"{"findings": [1, 2, 3]}"#), 3);
}
