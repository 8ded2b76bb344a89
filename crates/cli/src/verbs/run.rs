//! `heapwise run -- CMD`.

use crate::args::{Common, Run};
use crate::config::Config;
use crate::output::{self, Stream};
use crate::{Failure, analyze, runtime};
use heapwise_heap::Sampling;
use heapwise_model::{Child, Report, Severity, Termination};
use heapwise_run::{Destination, LaunchError, Observed, Options, Process, RunError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The library that is loaded into observed programs.
static RECORDER: &[u8] = include_bytes!(env!("HEAPWISE_RECORDER"));

/// How long processes that outlive the command are waited for.
const LINGER: Duration = Duration::from_secs(2);

pub fn run(args: &Run, common: &Common) -> Result<u8, Failure> {
    let config = Config::load(common.config.as_deref())?;
    if common.format == crate::args::Format::Html && common.output.is_none() {
        return Err(Failure::new("--format html needs a file", "add --output report.html"));
    }
    let options = Options {
        destination: destination(args),
        sampling: Sampling { mean: args.sample.unwrap_or(0) },
        has_each_object: args.each_object,
        has_free_stacks: !args.no_free_stacks && config.free_stacks.unwrap_or(true),
        linger: (!args.wait).then_some(LINGER),
        snapshots: args.snapshot,
    };
    let observed = match heapwise_run::observe(&args.command, RECORDER, &options) {
        Ok(it) => it,
        Err(error) => return refuse(args, error),
    };
    let status = status(observed.termination);
    let Some(mut report) = report_of(observed, common, &config) else { return Ok(status) };
    if let Err(failure) = show(&mut report, common) {
        // The status stays the program's own. What cannot be said on standard error is not said.
        output::print_failure(&failure);
    }
    match args.error_exitcode {
        Some(code) if output::fails(&report, common) => Ok(code),
        _ => Ok(status),
    }
}

fn show(report: &mut Report, common: &Common) -> Result<(), Failure> {
    output::baseline(report, common)?;
    if common.format == crate::args::Format::Text && common.output.is_none() && !common.quiet {
        // The program may have left the cursor in the middle of a line.
        writeln!(anstream::stderr())?;
    }
    output::findings(report, common, Stream::Error)
}

fn destination(args: &Run) -> Destination {
    if args.no_recording { Destination::Nowhere } else { place(args.recording.as_deref()) }
}

/// What `-o` names.
pub fn place(path: Option<&Path>) -> Destination {
    match path {
        None => Destination::Folder(PathBuf::from(".")),
        Some(path) if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            Destination::Folder(path.to_owned())
        }
        Some(path) => Destination::File(path.to_owned()),
    }
}

/// As the shell gives it.
fn status(termination: Termination) -> u8 {
    match (termination.code, termination.signal) {
        (_, Some(signal)) => 128u8.saturating_add(signal),
        (code, None) => code.unwrap_or(0),
    }
}

/// Exit codes of commands that were not started are the shell's.
fn refuse(args: &Run, error: RunError) -> Result<u8, Failure> {
    let code = match &error {
        RunError::Launch(LaunchError::NotFound { .. } | LaunchError::NoInterpreter { .. }) => 127,
        RunError::Launch(LaunchError::NotExecutable { .. }) => 126,
        _ => 2,
    };
    let advice = match &error {
        RunError::Launch(LaunchError::Unobservable { advice, .. }) => Some(advice.clone()),
        RunError::Launch(LaunchError::NotFound { .. }) => {
            Some("check the spelling, or give the path: heapwise run -- ./app".to_owned())
        }
        RunError::Launch(LaunchError::NoInterpreter { .. }) => {
            Some("install what its first line (#!) or, for a program, readelf -l names".to_owned())
        }
        RunError::Launch(LaunchError::NotExecutable { .. })
            if args.command.first().is_some_and(|it| Path::new(it).is_dir()) =>
        {
            Some("name a program in it: heapwise run -- ./folder/app".to_owned())
        }
        RunError::Launch(LaunchError::NotExecutable { .. }) => {
            Some("is it the right file? a script needs chmod +x, or its interpreter: heapwise run -- python3 app.py".to_owned())
        }
        RunError::Output { .. } => Some("another place with -o DIR/, or --no-recording".to_owned()),
        _ => None,
    };
    output::print_failure(&Failure::Told { message: error.to_string(), advice });
    Ok(code)
}

/// The command's own report, with its children's sums; `None` when nothing was heard of it.
fn report_of(observed: Observed, common: &Common, config: &Config) -> Option<Report> {
    let Observed { termination, pid, mut processes, notes } = observed;
    let Some(at) = processes.iter().rposition(|it| it.observation.pid == pid) else {
        output::print_failure(&Failure::new(
            "the program ran, but nothing could be recorded of it",
            "was it started without its loader, did it drop LD_PRELOAD, or is it limited (ulimit -f, -n, -v)?",
        ));
        for note in notes {
            output::print_note(&note);
        }
        return None;
    };
    let mut own = processes.remove(at);
    // An image that was not scanned knows its end by `wait` only.
    own.observation.exit = Some(termination);
    let filter = super::report::filter(common, config);
    let mut report = analyze::report(&own.observation, output::names(common), &filter);
    runtime::add(&mut report, &own.observation, &filter);
    report.recording = own.recording.as_deref().map(shown);
    report.notes.extend(notes);
    // A fork that became another program is told of as that one.
    let is_replaced =
        |i: usize| processes[i + 1..].iter().any(|it| it.observation.pid == processes[i].observation.pid);
    let told = (0..processes.len()).filter(|&i| processes[i].observation.pid != pid && !is_replaced(i));
    for process in told.clone().map(|i| &processes[i]) {
        // Heaps of runtimes are told of in the one report: `npm start` is not where a server keeps anything.
        runtime::add(&mut report, &process.observation, &filter);
        report.children.push(child(process));
    }
    analyze::finish(&mut report, output::names(common));
    Some(report)
}

fn shown(path: &Path) -> String {
    path.strip_prefix("./").unwrap_or(path).display().to_string()
}

fn child(process: &Process) -> Child {
    let observation = &process.observation;
    let heap = observation.graph.as_ref().map(|it| (&it.graph, &it.classes));
    let analysis = heapwise_heap::analyze(&observation.ledger, heap);
    Child {
        command: observation.command.join(" "),
        pid: observation.pid,
        recording: process.recording.as_deref().map(shown),
        exit: observation.exit,
        allocations: observation.ledger.totals().allocations,
        leaks: analysis.leaks,
        errors: analysis.findings.iter().filter(|it| it.severity == Severity::Error).count() as u64,
    }
}
