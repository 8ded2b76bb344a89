//! `bench-gc`: builds and runs `benches/gc`, a package of its own, so that the crates that `Cc<T>` is compared with are no
//! part of any other build.

use std::process::{Command, ExitCode};

use crate::args::Args;
use crate::paths;

pub fn main(given: &[String]) -> Result<ExitCode, String> {
    let mut args = Args::new(given);
    let rounds: u64 = args.value("--rounds", 7)?;
    let only: String = args.value("--only", String::new())?;
    args.finish()?;
    let manifest = paths::root().join("benches/gc/Cargo.toml");
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--manifest-path"]).arg(manifest).args([
        "--",
        "rounds",
        &rounds.to_string(),
    ]);
    if !only.is_empty() {
        command.arg(only);
    }
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
