//! The shell: flags, one file per verb, exit codes.
//!
//! Nothing below this crate prints. A closed pipe is success.
#![forbid(unsafe_code)]

mod analyze;
mod args;
mod check;
mod closing;
mod config;
mod output;
mod resources;
mod runtime;
mod scenario;
mod source_map;
mod verbs;

use clap::Parser;
use std::io;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: heapwise_allocator::BySize = heapwise_allocator::BySize;

/// Why a verb could not do its work: exit code 2. What, where, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{message}")]
    Told { message: String, advice: Option<String> },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    fn new(message: impl ToString, advice: impl Into<Option<&'static str>>) -> Failure {
        Failure::Told { message: message.to_string(), advice: advice.into().map(str::to_owned) }
    }
}

fn main() -> ExitCode {
    let args = args::Args::parse();
    args.common.color.choose();
    match verbs::dispatch(args) {
        Ok(code) => ExitCode::from(code),
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            output::print_failure(&failure);
            ExitCode::from(2)
        }
    }
}
