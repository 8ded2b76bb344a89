//! The command line, as `contract.md` fixes it.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use globset::Glob;
use heapwise_model::{Rule, Severity};
use heapwise_report::Metric;
use heapwise_run::Snapshots;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Names the line that leaks, crashes or grows your program, why, and how to mend it.
#[derive(Parser)]
#[command(name = "heapwise", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Verb,
    #[command(flatten)]
    pub common: Common,
}

const EXAMPLES: &str = "\
Examples:
  heapwise run -- ./app --flag           observe a program; findings at its end
  heapwise report app.4242.heapwise      look at its recording again
  heapwise report app.4242.heapwise --format html --output report.html
  heapwise diff before.heapwise after.heapwise
  heapwise snapshot 4242                 leaks so far of a process that `heapwise run` observes
  heapwise explain memory-leak";

#[derive(Subcommand)]
pub enum Verb {
    /// Observe a program; findings and a recording at its end.
    #[command(after_help = "\
Examples:
  heapwise run -- ./app                  text to standard error, recording app.PID.heapwise
  heapwise run -o /tmp/app.heapwise -- ./app
  heapwise run --format json --output findings.json --error-exitcode 9 -- make test
  heapwise run --no-recording -- python3 script.py
  heapwise run --page http://localhost:8080/ --scenario dialog.toml

A scenario is done again and again: action, then back (without it, back in history where the page has moved on).
  repeat = 5
  action = [{ click = \"#open\" }, { type = \"#name\", text = \"Ada\" }, { press = \"Enter\" }, { wait_for = \".done\" }]
  back = [{ click = \"#close\" }]
Steps: click, type, press, wait (\"500ms\"), wait_for, eval (JavaScript), open (URL), back; setup is done once.

Exit code: the program's own (128 + signal when killed); with --error-exitcode N it is N when there are
findings at or above --fail-on; 127 and 126 when the command is not found or not executable; 2 when
Heapwise could not observe it. Of a page: 0 without findings at or above --fail-on, else 1 or N.")]
    Run(Run),
    /// Heap graph of a process now, without stopping it for good.
    #[command(after_help = "\
The process must have been started under `heapwise run`, which stops it for a moment and lets it go on. What no
pointer leads to any more is lost already; the rest is still reachable.

Examples:
  heapwise snapshot 4242                 its leaks so far, and app.4242.snapshot-1.heapwise
  heapwise snapshot -o /tmp/ $(pgrep -x app)
  heapwise diff app.4242.snapshot-1.heapwise app.4242.snapshot-2.heapwise

Exit code: 0 nothing at or above --fail-on, 1 findings at or above it, 2 there is no snapshot.")]
    Snapshot(Snapshot),
    /// Find memory bugs in source: C, C++, Python, JavaScript, TypeScript.
    #[command(after_help = "\
Examples:
  heapwise check                         everything under the current folder
  heapwise check src tests/helper.py --exclude 'third_party'
  heapwise check --format sarif --output findings.sarif
  heapwise check --diff                  what --fix would change
  heapwise check --fix
  heapwise check --where-free src/app.c:42
  heapwise check --write-baseline known.txt
  heapwise check --baseline known.txt    only what is new since then

In source, on the line of a finding or alone on the line above it:
  // heapwise: ignore[memory-leak] the process ends here
In heapwise.toml: [check] select, ignore, exclude, per-file; [[function]] for what functions of yours do.

Exit code: 0 nothing at or above --fail-on, 1 findings at or above it, 2 it could not be checked.")]
    Check(Check),
    /// Show what a recording or a heap snapshot holds.
    #[command(after_help = "\
Examples:
  heapwise report app.4242.heapwise
  heapwise report app.4242.heapwise --by allocations
  heapwise report app.4242.heapwise --format html --output report.html
  heapwise report Heap.20260101.heapsnapshot             what V8 (Node, Chrome, Deno, Electron) wrote

Exit code: 0 nothing at or above --fail-on, 1 findings at or above it, 2 it could not be read.")]
    Report(Report),
    /// What grew between two recordings, or between heap snapshots.
    #[command(after_help = "\
Examples:
  heapwise diff before.heapwise after.heapwise
  heapwise diff --by peak before.heapwise after.heapwise
  heapwise diff one.heapsnapshot two.heapsnapshot
  heapwise diff one.heapsnapshot two.heapsnapshot three.heapsnapshot    what grew each time

Exit code: 0 nothing new at or above --fail-on, 1 new findings at or above it, 2 it could not be read.")]
    Diff(Diff),
    /// Write a recording in another tool's format.
    #[command(after_help = "\
Examples:
  heapwise export --to pprof app.4242.heapwise --output app.pb.gz    then: go tool pprof app.pb.gz
  heapwise export --to firefox app.4242.heapwise --output app.json   then: load it in profiler.firefox.com
  heapwise export --to folded --by peak app.4242.heapwise")]
    Export(Export),
    /// What a rule means, a bad and a good example, the fix.
    Explain(Explain),
    /// All rules with languages, engines, CWE numbers.
    Rules,
    /// Completions for a shell.
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
}

#[derive(ClapArgs)]
pub struct Common {
    /// Format of findings.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write there instead of to standard output (`run`: standard error).
    #[arg(long, global = true, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Colors; auto: on terminals, obeying NO_COLOR and CLICOLOR_FORCE.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Say nothing but findings.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show everything, however long.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Configuration (default: the nearest heapwise.toml upward).
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only these rules.
    #[arg(long, global = true, value_name = "RULE,...", value_delimiter = ',', value_parser = rule)]
    pub select: Vec<Rule>,
    /// All but these rules.
    #[arg(long, global = true, value_name = "RULE,...", value_delimiter = ',', value_parser = rule)]
    pub ignore: Vec<Rule>,
    /// Findings that make the exit code 1.
    #[arg(long, global = true, value_enum, default_value_t = FailOn::Error, value_name = "LEVEL")]
    pub fail_on: FailOn,
    /// Report only what is not in this file.
    #[arg(long, global = true, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write all findings to this file, for --baseline.
    #[arg(long, global = true, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
}

fn rule(name: &str) -> Result<Rule, String> {
    Rule::from_name(name).ok_or_else(|| {
        let advice = crate::config::advice("", name, Rule::ALL.iter().map(|it| it.name()));
        format!("no such rule; {advice}; `heapwise rules` tells of them")
    })
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// For all streams of this process.
    pub fn choose(self) {
        match self {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Sarif,
    Github,
    Html,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    Error,
    Warning,
    Note,
    Never,
}

impl FailOn {
    /// The least severity that counts.
    pub fn severity(self) -> Option<Severity> {
        match self {
            FailOn::Error => Some(Severity::Error),
            FailOn::Warning => Some(Severity::Warning),
            FailOn::Note => Some(Severity::Note),
            FailOn::Never => None,
        }
    }
}

#[derive(ClapArgs)]
#[command(group = clap::ArgGroup::new("pages").args(["page", "scenario"]).multiple(true))]
pub struct Run {
    /// Recording: a file, or a folder when it ends with / [default: CMD.PID.heapwise here].
    #[arg(short = 'o', value_name = "FILE|DIR/")]
    pub recording: Option<PathBuf>,
    /// Write no recording, only findings.
    #[arg(long, conflicts_with = "recording")]
    pub no_recording: bool,
    /// End with N when there are findings at or above --fail-on.
    #[arg(long, value_name = "N")]
    pub error_exitcode: Option<u8>,
    /// Record frees without call stacks: cheaper, but a double free does not tell where the first was.
    #[arg(long)]
    pub no_free_stacks: bool,
    /// Record some blocks only, and estimate sums from them: one for so many bytes that are handed out, on average.
    /// Costs a few percent. Leaks and memory errors of native code are not found so; what Python's or Node's objects
    /// hold is.
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, default_missing_value = "64K", value_parser = bytes)]
    pub sample: Option<u64>,
    /// Record each block of Python's own allocator with its time and thread, as those of malloc are; without it they are
    /// added up by call stack. Three times as dear, and files ten times as large.
    #[arg(long)]
    pub each_object: bool,
    /// When to take heap snapshots of Node: auto (early, while the heap grows, and at the end, as long as that stops
    /// the program for less than a tenth of the time), exit, peak, signal (SIGUSR2), never, or every=TIME
    /// (every=60s). `heapwise snapshot` takes one at any time.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = snapshots)]
    pub snapshot: Snapshots,
    /// Follow processes that outlive the command to their end.
    #[arg(long)]
    pub wait: bool,
    /// A page instead of a program: opened in the system's Chromium or Chrome, worked on again and again, and told what
    /// each turn leaves behind. -o DIR/ keeps its heap snapshots.
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub page: Option<String>,
    /// What to do on the page: a TOML file of url, repeat, setup, action and back (see the examples below).
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub scenario: Option<PathBuf>,
    /// The browser [default: the first of chromium, google-chrome and others that is installed].
    #[arg(long, value_name = "PATH", requires = "pages")]
    pub browser: Option<PathBuf>,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, required_unless_present = "pages", value_name = "CMD")]
    pub command: Vec<OsString>,
}

fn snapshots(text: &str) -> Result<Snapshots, String> {
    Ok(match text {
        "auto" => Snapshots::Auto,
        "never" => Snapshots::Never,
        "exit" => Snapshots::Exit,
        "peak" => Snapshots::Peak,
        "signal" => Snapshots::Signal,
        _ => {
            let interval =
                text.strip_prefix("every=").or_else(|| text.strip_prefix("every ")).and_then(duration);
            Snapshots::Every(
                interval.ok_or("expected auto, exit, peak, signal, never or every=TIME, as in every=60s")?,
            )
        }
    })
}

/// `65536`, `64K`, `64KiB`, `1M`.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "expected a number of bytes above 0, as in 64K or 1M".to_owned();
    let digits = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().trim_end_matches('B').trim_end_matches('i') {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|it| it.checked_mul(unit)).filter(|it| *it > 0).ok_or_else(wrong)
}

/// `90`, `90s`, `5min`, `2h`, `500ms`.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim().find(|it: char| !it.is_ascii_digit()).unwrap_or(text.trim().len());
    let (number, unit) = text.trim().split_at(digits);
    let unit_ms = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (ms > 0).then(|| Duration::from_millis(ms))
}

#[derive(ClapArgs)]
pub struct Snapshot {
    /// Where to write it: a file, or a folder when it ends with / [default: CMD.PID.snapshot-N.heapwise here].
    #[arg(short = 'o', value_name = "FILE|DIR/")]
    pub snapshot: Option<PathBuf>,
    /// A process that `heapwise run` observes, or that `heapwise run` itself (for its command).
    pub pid: u32,
}

#[derive(ClapArgs)]
pub struct Check {
    /// Files and folders [default: .].
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Leave out what matches, besides what .gitignore names; may be given several times.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<Glob>,
    /// Apply fixes that keep the program's behavior but for the bug.
    #[arg(long)]
    pub fix: bool,
    /// Apply fixes that need a look, too.
    #[arg(long)]
    pub unsafe_fixes: bool,
    /// Show what --fix (with --unsafe-fixes: all fixes) would change, and change nothing.
    #[arg(long)]
    pub diff: bool,
    /// Print all places where what this line allocates or opens may be freed or closed (C, C++); text or JSON.
    #[arg(long, value_name = "FILE:LINE", conflicts_with_all = ["fix", "unsafe_fixes", "diff"], value_parser = file_line)]
    pub where_free: Option<(String, u32)>,
    /// How files are compiled: compile_commands.json or its folder [default: the nearest one upward
    /// from the first PATH, also in folders called build].
    #[arg(long, short = 'p', value_name = "PATH")]
    pub compile_commands: Option<PathBuf>,
    /// Keep no results of this check, and use none of an earlier one.
    #[arg(long)]
    pub no_cache: bool,
    /// Threads [default: all cores].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
}

fn file_line(text: &str) -> Result<(String, u32), String> {
    let (file, line) = text.rsplit_once(':').ok_or("expected FILE:LINE")?;
    let line = line.parse().ok().filter(|it| *it > 0).ok_or("expected FILE:LINE, lines count from 1")?;
    Ok((file.to_owned(), line))
}

impl Check {
    /// Files are to be changed.
    pub fn is_fixing(&self) -> bool {
        (self.fix || self.unsafe_fixes) && !self.diff
    }

    /// New texts of files are wanted, on disk or as a diff.
    pub fn changes(&self) -> bool {
        self.fix || self.unsafe_fixes || self.diff
    }
}

#[derive(ClapArgs)]
pub struct Report {
    /// A file that `heapwise run` wrote, or a .heapsnapshot file.
    pub recording: PathBuf,
    /// Show a table of allocation sites by this figure.
    #[arg(long, value_parser = metric)]
    pub by: Option<Metric>,
    /// Rows of that table.
    #[arg(long, default_value_t = 20, requires = "by")]
    pub limit: usize,
}

fn metric(name: &str) -> Result<Metric, String> {
    Metric::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Metric::ALL.iter().map(|it| it.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

#[derive(ClapArgs)]
pub struct Diff {
    /// The recording or heap snapshot to compare with.
    pub old: PathBuf,
    /// The recording or heap snapshot that may have grown.
    pub new: PathBuf,
    /// More heap snapshots of the same process, oldest first.
    pub later: Vec<PathBuf>,
    /// The figure to compare.
    #[arg(long, value_parser = metric, default_value = "live")]
    pub by: Metric,
    /// Rows to show.
    #[arg(long, default_value_t = 10)]
    pub limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    Pprof,
    Folded,
    Speedscope,
    Firefox,
    ValgrindXml,
}

#[derive(ClapArgs)]
pub struct Export {
    /// Which tool is to read it.
    #[arg(long, value_enum)]
    pub to: Target,
    /// For `folded`: the figure at each stack's end.
    #[arg(long, value_parser = metric, default_value = "peak")]
    pub by: Metric,
    /// A file that `heapwise run` wrote.
    pub recording: PathBuf,
}

#[derive(ClapArgs)]
pub struct Explain {
    /// A name that `heapwise rules` lists.
    #[arg(value_parser = rule)]
    pub rule: Rule,
}
