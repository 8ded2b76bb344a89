//! The project's chores, one file per verb: `test`, `bench` and its kin, `corpus`, `differential`, `fuzz`, `judge`.
//!
//! Everything here talks to Heapwise as its users do, through the binary, and to the rival
//! tools through theirs; `sys` alone holds the system calls that std does not offer.
#![deny(unsafe_code)]

mod args;
#[cfg(test)]
mod arrows;
mod bench;
mod bench_check;
mod bench_gc;
mod bench_scripts;
mod corpus;
mod differential;
mod fuzz;
mod inputs;
mod judge;
mod measure;
mod paths;
mod rng;
mod stats;
mod sys;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [--no-install] [--differential N]
        everything CI runs: format, lints, build, tests, N random programs, the report in a browser
cargo xtask bench [--rounds N] [--only NAME,...] [--quick] [--memcheck] [--no-build] [--name FILE]
        ratios of CPU and wall time and memory to the bare program; writes benches/results/FILE.md
cargo xtask bench-check [--rounds N] [--c PATH,...] [--python PATH,...] [--js PATH,...] [--only PROGRAM,...]
        [--timeout SECONDS] [--no-build] [--name FILE]
        `heapwise check` beside cppcheck, clang, gcc, ruff, pylint, oxlint and eslint, as far as they are installed:
        lines per second, CPU time as ratios to ours, memory, findings; --name writes benches/results/FILE.md
cargo xtask bench-python [--python PATH] [--rounds N] [--only SCRIPT,...] [--quick] [--no-build] [--name FILE]
        `heapwise run` on Python beside memray, tracemalloc, Scalene and Fil, as far as that interpreter has them:
        CPU time net of start-up and memory as ratios to bare, files; writes benches/results/FILE.md (python)
cargo xtask bench-node [--node PATH] [--rounds N] [--only SCRIPT,...] [--quick] [--no-build] [--name FILE]
        the same of Node, without and with heap snapshots, beside its own sampling (node)
cargo xtask bench-gc [--rounds N] [--only NAME,...]
        `Cc<T>` and the managed heap beside Rc, other crates and Node: CPU time and memory as ratios to Rc
cargo xtask differential [--count N] [--seed S] [--keep] [--itself]
        random programs under valgrind and heapwise (--itself: valgrind twice); --print shows the program of S
cargo xtask corpus [--only LANGUAGE/BUG/VARIANT] [--misses] [--verify] [--fix]
        bugs times flow variants with repaired twins under `heapwise check`: recall and false alarms
cargo xtask fuzz [--minutes N] [--only TARGET,...]
        each fuzz target for N minutes
cargo xtask judge FOLDER...
        errors of `heapwise check` on real projects, held against tests/real_code/judged.md
The binary under test is $HEAPWISE, or the release build.
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let verb = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match verb.as_str() {
        "bench" => bench::main(&rest),
        "bench-python" => bench_scripts::main(&rest, &bench_scripts::PYTHON),
        "bench-node" => bench_scripts::main(&rest, &bench_scripts::NODE),
        "bench-gc" => bench_gc::main(&rest),
        "bench-check" => bench_check::main(&rest),
        "corpus" => corpus::main(&rest),
        "differential" => differential::main(&rest),
        "fuzz" => fuzz::main(&rest),
        "judge" => judge::main(&rest),
        "test" => test::main(&rest),
        "measure" => measure::main(&rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(if verb.is_empty() || verb.ends_with("help") { 0 } else { 2 });
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
