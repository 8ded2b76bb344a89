//! One file per verb.

mod check;
mod diff;
mod explain;
mod export;
pub mod heap_snapshot;
mod page;
mod report;
mod rules;
mod run;
mod snapshot;

use crate::Failure;
use crate::args::{Args, Verb};
use clap::CommandFactory;

/// Runs the verb; its exit code.
pub fn dispatch(args: Args) -> Result<u8, Failure> {
    let Args { verb, common } = args;
    match verb {
        Verb::Run(it) if it.page.is_some() || it.scenario.is_some() => page::run(&it, &common),
        Verb::Run(it) => run::run(&it, &common),
        Verb::Check(it) => check::run(&it, &common),
        Verb::Report(it) => report::run(&it, &common),
        Verb::Diff(it) => diff::run(&it, &common),
        Verb::Export(it) => export::run(&it, &common),
        Verb::Snapshot(it) => snapshot::run(&it, &common),
        Verb::Explain(it) => explain::run(&it, &common),
        Verb::Rules => rules::run(&common),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "heapwise", &mut std::io::stdout());
            Ok(0)
        }
    }
}
