//! The project's chores: `cargo xtask test`, `bench`, `differential`, `fuzz`.
//!
//! One file per verb. Everything here talks to Heapwise as its users do, through the binary, and to the rival
//! tools through theirs; `sys` alone holds the system calls that std does not offer.
#![deny(unsafe_code)]

mod args;
mod bench;
mod differential;
mod inputs;
mod measure;
mod paths;
mod rng;
mod stats;
mod sys;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask bench [--rounds N] [--only NAME,...] [--quick] [--memcheck]
        ratios of CPU and wall time and memory to the bare program; writes benches/results/
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let verb = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match verb.as_str() {
        "bench" => bench::main(&rest),
        "differential" => differential::main(&rest),
        "measure" => measure::main(&rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(if verb.is_empty() || verb.ends_with("help") {
                0
            } else {
                2
            });
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask {verb}: {error}");
            ExitCode::from(2)
        }
    }
}
