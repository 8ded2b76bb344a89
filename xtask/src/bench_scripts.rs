//! `bench-python`, `bench-node`: what observing programs of an interpreter costs, beside the rivals in the same run.
//!
//! Each round runs every tool once on a script, starting one further each time, and once more on the same script with
//! no work to do: what that costs (the interpreter, the imports, the tool itself) is taken off, and told apart. A ratio
//! is taken within a round.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::args::Args;
use crate::measure::{self, Cost};
use crate::stats::Spread;
use crate::{bench, paths};

/// A tool and how it is asked to run a script.
struct Tool {
    name: &'static str,
    /// What the interpreter must be able to import; empty for none.
    module: &'static str,
    /// What `heapwise run --help` must tell of; empty for none.
    option: &'static str,
    /// Before the script; `{interpreter}`, `{heapwise}` and `{out}`, a folder for its files, are replaced.
    command: &'static [&'static str],
}

/// A language's interpreter, what is run by it, and what observes it.
pub struct Suite {
    /// `bench-NAME`, the scripts' folder, the results' file.
    name: &'static str,
    language: &'static str,
    /// Of scripts' names.
    end: &'static str,
    /// The one named, else the usual one.
    interpreter: fn(&str) -> Result<String, String>,
    /// Whether it can import a module.
    imports: fn(&str, &str) -> bool,
    tools: &'static [Tool],
    scripts: &'static [Script],
}

pub const PYTHON: Suite = Suite {
    name: "python",
    language: "Python",
    end: "py",
    interpreter: python,
    imports: |python, module| runs(python, &format!("import {module}")),
    tools: PYTHON_TOOLS,
    scripts: &PYTHON_SCRIPTS,
};

pub const NODE: Suite = Suite {
    name: "node",
    language: "Node",
    end: "js",
    interpreter: |named| {
        let name = if named.is_empty() { "node" } else { named };
        paths::output_of(name, &["-p", "process.execPath"]).ok_or_else(|| format!("{name} does not run"))
    },
    imports: |node, module| runs(node, &format!("require('{module}')")),
    tools: &NODE_TOOLS,
    scripts: &NODE_SCRIPTS,
};

const BARE: Tool = Tool { name: "bare", module: "", option: "", command: &["{interpreter}"] };
const HEAPWISE_RUN: Tool = Tool {
    name: "heapwise run",
    module: "",
    option: "--output",
    command: &[
        "{heapwise}",
        "run",
        "-o",
        "{out}/r.heapwise",
        "--output",
        "{out}/text",
        "--",
        "{interpreter}",
    ],
};

const NODE_TOOLS: [Tool; 4] = [
    BARE,
    Tool {
        name: "heapwise run --snapshot never",
        module: "",
        option: "--snapshot",
        command: &[
            "{heapwise}",
            "run",
            "--snapshot",
            "never",
            "-o",
            "{out}/r.heapwise",
            "--output",
            "{out}/text",
            "--",
            "{interpreter}",
        ],
    },
    HEAPWISE_RUN,
    Tool {
        name: "node --heap-prof",
        module: "",
        option: "",
        command: &["{interpreter}", "--heap-prof", "--heap-prof-dir={out}"],
    },
];

const NODE_SCRIPTS: [Script; 4] = [
    Script { name: "documents", turns: 250, module: "fs" },
    Script { name: "trees", turns: 300, module: "fs" },
    Script { name: "service", turns: 60, module: "http" },
    Script { name: "buffers", turns: 3000, module: "zlib" },
];

const PYTHON_TOOLS: &[Tool] = &[
    BARE,
    HEAPWISE_RUN,
    Tool {
        name: "heapwise run --sample",
        module: "",
        option: "--sample",
        command: &[
            "{heapwise}",
            "run",
            "--sample",
            "-o",
            "{out}/r.heapwise",
            "--output",
            "{out}/text",
            "--",
            "{interpreter}",
        ],
    },
    Tool {
        name: "memray",
        module: "memray",
        option: "",
        command: &["{interpreter}", "-m", "memray", "run", "-q", "-o", "{out}/capture"],
    },
    Tool {
        name: "memray --trace-python-allocators",
        module: "memray",
        option: "",
        command: &[
            "{interpreter}",
            "-m",
            "memray",
            "run",
            "-q",
            "--trace-python-allocators",
            "-o",
            "{out}/capture",
        ],
    },
    Tool {
        name: "tracemalloc, 1 frame",
        module: "tracemalloc",
        option: "",
        command: &["{interpreter}", "-X", "tracemalloc=1"],
    },
    Tool {
        name: "Scalene",
        module: "scalene",
        option: "",
        command: &["{interpreter}", "-m", "scalene", "run", "-o", "{out}/profile.json"],
    },
    Tool {
        name: "Fil",
        module: "filprofiler",
        option: "",
        command: &["{interpreter}", "-m", "filprofiler", "--no-browser", "-o", "{out}", "run"],
    },
];

/// A script, the rounds of its work that take a bare second or two, and what it imports.
struct Script {
    name: &'static str,
    turns: u32,
    module: &'static str,
}

const PYTHON_SCRIPTS: [Script; 5] = [
    Script { name: "documents", turns: 60, module: "json" },
    Script { name: "calls", turns: 350, module: "sys" },
    Script { name: "tables", turns: 30, module: "pandas" },
    Script { name: "service", turns: 30, module: "asyncio" },
    Script { name: "threads", turns: 80, module: "threading" },
];

/// What a tool cost in one round.
#[derive(Clone, Copy)]
struct Run {
    work: Cost,
    /// The same script without work.
    idle: Cost,
    /// Of all its files.
    written: f64,
}

impl Run {
    fn cpu(&self) -> f64 {
        self.work.cpu - self.idle.cpu
    }
}

/// `rounds[round][tool]` of one script.
type Rounds = Vec<Vec<Run>>;

pub fn main(given: &[String], suite: &Suite) -> Result<ExitCode, String> {
    let mut args = Args::new(given);
    let quick = args.flag("--quick");
    let no_build = args.flag("--no-build");
    let rounds: usize = args.value("--rounds", if quick { 3 } else { 7 })?;
    let only: String = args.value("--only", String::new())?;
    let name: String = args.value("--name", suite.name.to_string())?;
    let named: String = args.value(&format!("--{}", suite.name), String::new())?;
    args.finish()?;

    if !no_build && std::env::var_os("HEAPWISE").is_none() {
        bench::build()?;
    }
    let interpreter = (suite.interpreter)(&named)?;
    let work = paths::target().join("bench").join(suite.name);
    let tools: Vec<&Tool> = suite.tools.iter().filter(|it| is_there(it, suite, &interpreter)).collect();
    let only: Vec<&str> = only.split(',').filter(|it| !it.is_empty()).collect();
    let mut measured: Vec<(&Script, Rounds)> = Vec::new();
    for script in suite.scripts {
        if !only.is_empty() && !only.contains(&script.name) {
            continue;
        }
        if !(suite.imports)(&interpreter, script.module) {
            eprintln!("{}: left out, {interpreter} has no {}", script.name, script.module);
            continue;
        }
        let turns = if quick { script.turns / 5 } else { script.turns };
        measured.push((script, run(suite, script, turns, &tools, rounds, &interpreter, &work)?));
    }
    let version = paths::output_of(&interpreter, &["--version"]).unwrap_or_default();
    let about = format!("That of the same script without work is taken off it. {version}.");
    let text = bench::heading(
        &format!("What observing {} programs costs", suite.language),
        &format!("bench-{}", suite.name),
        &about,
        rounds,
    ) + &tables(&tools, &measured);
    print!("{text}");
    let results = paths::root().join("benches/results").join(format!("{name}.md"));
    fs::write(&results, &text).map_err(|error| format!("{}: {error}", results.display()))?;
    println!("written to {}", results.display());
    Ok(ExitCode::SUCCESS)
}

/// The one named, else that which `bench` takes; the program itself and no wrapper, but that of a virtual environment.
fn python(named: &str) -> Result<String, String> {
    match named {
        "" => bench::python().ok_or_else(|| "no python3 is installed".to_string()),
        _ => paths::output_of(named, &["-c", "import sys; print(sys.executable)"])
            .ok_or_else(|| format!("--python: {named} does not run")),
    }
}

/// Whether a line of code runs: `-c` of Python, `-e` of Node.
fn runs(interpreter: &str, line: &str) -> bool {
    let option = if line.starts_with("import ") { "-c" } else { "-e" };
    let output = Command::new(interpreter).args([option, line]).output();
    output.is_ok_and(|it| it.status.success())
}

/// Whether the tool is installed; says which is not.
fn is_there(tool: &Tool, suite: &Suite, interpreter: &str) -> bool {
    let has_option = || {
        let heapwise = paths::heapwise();
        let help = paths::output_of(&heapwise.to_string_lossy(), &["run", "--help"]);
        help.is_some_and(|it| it.contains(tool.option))
    };
    let is_there = (tool.module.is_empty() || (suite.imports)(interpreter, tool.module))
        && (tool.option.is_empty() || has_option());
    if !is_there {
        eprintln!("{}: left out, it is not there", tool.name);
    }
    is_there
}

fn run(
    suite: &Suite,
    script: &Script,
    turns: u32,
    tools: &[&Tool],
    rounds: usize,
    interpreter: &str,
    work: &Path,
) -> Result<Rounds, String> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut costs = vec![None; tools.len()];
        for turn in 0..tools.len() {
            let at = (turn + round) % tools.len();
            let tool = tools[at];
            let (idle, _) = measure(suite, script, 0, tool, interpreter, work)?;
            let (cost, written) = measure(suite, script, turns, tool, interpreter, work)?;
            let run = Run { work: cost, idle, written };
            eprintln!("{} {}/{rounds} {}: {:.2} s", script.name, round + 1, tool.name, run.cpu());
            costs[at] = Some(run);
        }
        all.push(costs.into_iter().map(|it| it.expect("each tool has run")).collect());
    }
    Ok(all)
}

/// One run, and the bytes of the files that the tool wrote.
fn measure(
    suite: &Suite,
    script: &Script,
    turns: u32,
    tool: &Tool,
    interpreter: &str,
    work: &Path,
) -> Result<(Cost, f64), String> {
    let out = work.join("out");
    let _ = fs::remove_dir_all(work);
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let (heapwise, folder) = (paths::heapwise(), out.to_string_lossy().into_owned());
    let fill = |it: &&str| {
        it.replace("{interpreter}", interpreter)
            .replace("{heapwise}", &heapwise.to_string_lossy())
            .replace("{out}", &folder)
    };
    let mut command: Vec<String> = tool.command.iter().map(fill).collect();
    let folder = paths::root().join("benches/programs").join(suite.name);
    let path = folder.join(format!("{}.{}", script.name, suite.end));
    command.extend([path.to_string_lossy().into_owned(), turns.to_string()]);
    let (stdout, stderr) = (work.join("stdout"), work.join("stderr"));
    let cost = measure::run(&command, Path::new("/dev/null"), &stdout, &stderr, work)?;
    if cost.status != 0 {
        let said = fs::read_to_string(&stderr).unwrap_or_default();
        return Err(format!("{} of {} ended with {}: {said}", tool.name, script.name, cost.status));
    }
    Ok((cost, size(&out)))
}

/// Of a folder's files, with those below.
fn size(folder: &Path) -> f64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|it| match it.metadata() {
            Ok(meta) if meta.is_dir() => size(&it.path()),
            Ok(meta) => meta.len() as f64,
            Err(_) => 0.0,
        })
        .sum()
}

/// A table of CPU time, one of memory, and one of the rest.
fn tables(tools: &[&Tool], measured: &[(&Script, Rounds)]) -> String {
    let ratio = |of: fn(&Run) -> f64| move |own: &Run, bare: &Run| of(own) / of(bare);
    let mut text = String::new();
    let bare = spreads(0, measured, &|_, bare| bare.cpu());
    let seconds: Vec<String> = bare.iter().map(|it| format!("{:.2}", it.median)).collect();
    let _ = writeln!(text, "\n## CPU time\n\nBare, seconds: {}.\n", seconds.join(", "));
    text += &table(tools, measured, &ratio(Run::cpu));
    text += "\n## Peak memory, the whole process tree\n\n";
    text += &table(tools, measured, &ratio(|it| it.work.memory));
    text += "\n## Peak resident memory, the greatest process\n\n";
    text += &table(tools, measured, &ratio(|it| it.work.peak_rss));
    text += "\n## Start-up and files\n\nSeconds of CPU beyond the bare script's for one without work, and MB written per bare second of CPU: the worst script's.\n\n";
    text += "| | start-up | MB per second |\n|---|---|---|\n";
    for (at, tool) in tools.iter().enumerate().skip(1) {
        let worst = |of: &dyn Fn(&Run, &Run) -> f64| {
            spreads(at, measured, of).into_iter().map(|it| it.median).fold(0.0, f64::max)
        };
        let start = worst(&|own, bare| own.idle.cpu - bare.idle.cpu);
        let written = worst(&|own, bare| own.written / 1e6 / bare.cpu());
        let _ = writeln!(text, "| {} | {start:.2} | {written:.2} |", tool.name);
    }
    text
}

/// Of each script, a tool's figure beside the bare one's.
fn spreads(tool: usize, measured: &[(&Script, Rounds)], of: &dyn Fn(&Run, &Run) -> f64) -> Vec<Spread> {
    let spread = |rounds: &Rounds| Spread::of(rounds.iter().map(|it| of(&it[tool], &it[0])));
    measured.iter().filter_map(|(_, rounds)| spread(rounds)).collect()
}

/// A row for each tool, a column for each script, and the medians' geometric mean.
fn table(tools: &[&Tool], measured: &[(&Script, Rounds)], of: &dyn Fn(&Run, &Run) -> f64) -> String {
    let names: Vec<&str> = measured.iter().map(|it| it.0.name).collect();
    let mut text =
        format!("| | {} | geometric mean |\n|---|{}---|\n", names.join(" | "), "---|".repeat(names.len()));
    for (at, tool) in tools.iter().enumerate().skip(1) {
        let spreads = spreads(at, measured, of);
        let logs: f64 = spreads.iter().map(|it| it.median.ln()).sum();
        let mean = (logs / spreads.len().max(1) as f64).exp();
        let cells: Vec<String> = spreads.iter().map(Spread::to_string).collect();
        let _ = writeln!(text, "| {} | {} | {mean:.2} |", tool.name, cells.join(" | "));
    }
    text
}

#[test]
fn a_table_of_two_tools() {
    let cost = |cpu: f64, memory: f64| Cost { cpu, wall: cpu, memory, peak_rss: memory, status: 0 };
    let run = |cpu: f64, written: f64| Run { work: cost(cpu, cpu * 100.0), idle: cost(1.0, 1.0), written };
    let rounds = vec![vec![run(2.0, 0.0), run(3.0, 4e6)], vec![run(3.0, 0.0), run(5.0, 4e6)]];
    let measured = [(&PYTHON_SCRIPTS[0], rounds.clone()), (&PYTHON_SCRIPTS[1], rounds)];
    let tools = [&PYTHON_TOOLS[0], &PYTHON_TOOLS[1]];
    let text = tables(&tools, &measured);
    assert!(text.contains("Bare, seconds: 1.50, 1.50."), "{text}");
    assert!(text.contains("| heapwise run | 2.00 (2.00..2.00) | 2.00 (2.00..2.00) | 2.00 |"), "{text}");
    assert!(text.contains("| heapwise run | 1.58 (1.50..1.67) | 1.58 (1.50..1.67) | 1.58 |"), "{text}");
    assert!(text.contains("| heapwise run | 0.00 | 3.00 |"), "{text}");
}
