//! `fuzz`: every target of `fuzz/` for the same time, one after the other.

use std::process::{Command, ExitCode};

use crate::args::Args;
use crate::paths;

pub fn main(given: &[String]) -> Result<ExitCode, String> {
    let mut args = Args::new(given);
    let minutes: u64 = args.value("--minutes", 1)?;
    let only: String = args.value("--only", String::new())?;
    args.finish()?;
    let root = paths::root();
    let cargo_fuzz = |words: &[&str]| {
        let mut command = Command::new("cargo");
        // Sanitizer flags are unstable; this lets the pinned compiler take them.
        command.arg("fuzz").args(words).current_dir(&root).env("RUSTC_BOOTSTRAP", "1");
        command
    };
    let listed = cargo_fuzz(&["list"]).output().map_err(|error| format!("cargo fuzz: {error}"))?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr);
        return Err(format!("cargo fuzz list failed: {}\ntry: cargo install cargo-fuzz", said.trim()));
    }
    let mut failed = Vec::new();
    for target in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
        if !only.is_empty() && !only.split(',').any(|it| it == target) {
            continue;
        }
        println!("== {target}, {minutes} min");
        let limits = format!("-max_total_time={}", minutes * 60);
        let corpus = format!("fuzz/corpus/{target}");
        let seeds = seeds(target);
        std::fs::create_dir_all(root.join(&corpus)).map_err(|error| format!("{corpus}: {error}"))?;
        let mut words = vec!["run", target, &corpus];
        words.extend(seeds.iter().map(String::as_str).filter(|it| root.join(it).is_dir()));
        words.extend(["--", &limits, "-timeout=10", "-rss_limit_mb=2048"]);
        let status = cargo_fuzz(&words).status().map_err(|error| format!("cargo fuzz: {error}"))?;
        if !status.success() {
            failed.push(target.to_string());
        }
    }
    if failed.is_empty() {
        println!("xtask fuzz: no target failed");
        return Ok(ExitCode::SUCCESS);
    }
    println!("xtask fuzz: FAILED: {}; inputs are in fuzz/artifacts", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Folders of inputs to begin with: those of the target, or the programs of the tests.
fn seeds(target: &str) -> Vec<String> {
    let folders: &[&str] = match target {
        "lower_c" => &["tests/programs/c"],
        "lower_cpp" => &["tests/programs/cpp", "examples"],
        "lower_python" => &["crates/lang_python/tests/rules"],
        "lower_js" => &["crates/lang_js/tests/rules"],
        _ => return vec![format!("fuzz/seeds/{target}")],
    };
    folders.iter().map(|it| (*it).to_owned()).collect()
}
