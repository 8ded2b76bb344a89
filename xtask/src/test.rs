//! `test`: everything CI runs, in the order in which a mistake is cheapest to see.
//!
//! As root on a system with apt, test tools that are missing are installed first; elsewhere they are named, and the
//! tests that need them say that they are skipped.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::args::Args;
use crate::paths;

/// Programs of the tests and the packages they are in.
const TOOLS: [(&str, &str); 12] = [
    ("valgrind", "valgrind"),
    ("heaptrack", "heaptrack"),
    ("jq", "jq"),
    ("sqlite3", "sqlite3"),
    ("xz", "xz-utils"),
    ("perl", "perl"),
    ("chromium", "chromium"),
    ("g++", "g++"),
    ("git", "git"),
    ("/usr/bin/pytest-3", "python3-pytest"),
    // They open exports: `go tool pprof`, and the flame graph script.
    ("go", "golang-go"),
    ("/usr/share/perl5/Devel/NYTProf/flamegraph.pl", "libdevel-nytprof-perl"),
];

pub fn main(given: &[String]) -> Result<ExitCode, String> {
    let mut args = Args::new(given);
    let install = !args.flag("--no-install");
    let count: u64 = args.value("--differential", 60)?;
    args.finish()?;
    let begin = Instant::now();
    tools(install);
    let mut passed = 0;
    let mut failed: Vec<&str> = Vec::new();
    let mut step = |name: &'static str, run: &dyn Fn() -> Result<bool, String>| {
        let begin = Instant::now();
        let good = run().unwrap_or_else(|error| {
            eprintln!("{name}: {error}");
            false
        });
        println!(
            "== {name}: {} in {:.0} s",
            if good { "ok" } else { "FAILED" },
            begin.elapsed().as_secs_f64()
        );
        match good {
            true => passed += 1,
            false => failed.push(name),
        }
    };
    step("fmt", &|| cargo(&["fmt", "--all", "--check"]));
    // All in one profile, so that build scripts, and with them the recorder, are built once.
    step("clippy", &|| {
        cargo(&["clippy", "--workspace", "--all-targets", "--profile", PROFILE, "--", "-D", "warnings"])
    });
    step("build", &|| cargo(&["test", "--workspace", "--profile", PROFILE, "--no-run"]));
    step("unit and integration tests", &|| {
        cargo(&["test", "--workspace", "--profile", PROFILE, "--no-fail-fast"])
    });
    step("differential", &|| differential_test(count));
    step("Python package", &python_package);
    step("browser", &browser);
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    match failed.is_empty() {
        true => println!("xtask test: all passed in {minutes:.1} minutes"),
        false => println!("xtask test: FAILED: {} ({minutes:.1} minutes)", failed.join(", ")),
    }
    println!("{passed} passed, {} failed", failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As the release build, but without what takes the linker minutes for each test binary.
const PROFILE: &str = "ci";

/// The binary that the tests run.
fn tested() -> PathBuf {
    match std::env::var_os("HEAPWISE") {
        Some(_) => paths::heapwise(),
        None => paths::target().join(PROFILE).join("heapwise"),
    }
}

fn differential_test(count: u64) -> Result<bool, String> {
    let own = std::env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
    let mut command = Command::new(own);
    command.args(["differential", "--count", &count.to_string()]).env("HEAPWISE", tested());
    shown(&mut command, &format!("differential --count {count}"))
}

fn missing() -> Vec<(&'static str, &'static str)> {
    TOOLS.into_iter().filter(|(program, _)| paths::find(program).is_none()).collect()
}

fn tools(install: bool) {
    let wanted = missing();
    if wanted.is_empty() {
        return;
    }
    let root = paths::output_of("id", &["-u"]).as_deref() == Some("0");
    if install && root && paths::find("apt-get").is_some() {
        let packages: Vec<&str> = wanted.iter().map(|it| it.1).collect();
        println!("== apt-get install {}", packages.join(" "));
        let apt = |args: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
            let _ = command.status();
        };
        apt(&["update", "-qq"]);
        apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat());
    }
    let names: Vec<&str> = missing().iter().map(|it| it.0).collect();
    if !names.is_empty() {
        println!("not installed: {}; the tests that need them are skipped", names.join(", "));
    }
}

/// Runs cargo in the checkout and shows what it says.
pub fn cargo(args: &[&str]) -> Result<bool, String> {
    shown(Command::new("cargo").args(args).current_dir(paths::root()), &format!("cargo {}", args.join(" ")))
}

fn shown(command: &mut Command, line: &str) -> Result<bool, String> {
    println!("== {line}");
    let status = command.status().map_err(|error| format!("{line}: {error}"))?;
    Ok(status.success())
}

/// The tests of `python/`, by a `python3` that has pytest.
fn python_package() -> Result<bool, String> {
    let dir = paths::root().join("python");
    let has_pytest =
        |it: &&str| paths::output_of(it, &["-c", "import pytest; print(pytest.__version__)"]).is_some();
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has_pytest) else {
        println!("Python package: skipped, no python3 here has pytest");
        return Ok(true);
    };
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "heapwise.pytest_plugin", "tests"]);
    command.env("PYTHONPATH", dir.join("src")).env("PYTHONDONTWRITEBYTECODE", "1").env("HEAPWISE", tested());
    shown(command.current_dir(&dir), "python3 -m pytest python/tests")
}

/// The report's HTML page in a real browser, and exports in the tools of npm.
fn browser() -> Result<bool, String> {
    let dir = paths::root().join("tests/browser");
    if !dir.join("package.json").is_file() {
        println!("browser: skipped, tests/browser is not there");
        return Ok(true);
    }
    let absent: Vec<&str> =
        ["node", "npm", "chromium"].into_iter().filter(|it| paths::find(it).is_none()).collect();
    if !absent.is_empty() {
        println!("browser: skipped, not installed: {}", absent.join(", "));
        return Ok(true);
    }
    let changed = |file: &str| dir.join(file).metadata().and_then(|it| it.modified()).ok();
    // npm writes the second when it installed what the first names.
    if changed("package-lock.json") > changed("node_modules/.package-lock.json")
        && !shown(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&dir), "npm ci")?
    {
        return Ok(false);
    }
    shown(Command::new("node").args(["--test"]).env("HEAPWISE", tested()).current_dir(&dir), "node --test")
}
