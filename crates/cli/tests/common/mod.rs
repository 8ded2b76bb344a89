//! What the tests of the binary share: where it is, running it, reading what it wrote.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The binary under test.
pub fn heapwise() -> PathBuf {
    match std::env::var_os("HEAPWISE") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_heapwise").into(),
    }
}

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Whether all are installed; says which is not.
pub fn have(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|it| find(it).is_none()).collect();
    if !missing.is_empty() {
        eprintln!("skipped {test}: not installed: {}", missing.join(", "));
    }
    missing.is_empty()
}

/// Compiles `source` to `binary` with `gcc`, `g++` or `rustc`, by the file name's end.
pub fn compile(source: &Path, binary: &Path, flags: &[&str]) {
    let end = source.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let compiler = match end {
        "c" => "gcc",
        "cpp" => "g++",
        "rs" => "rustc",
        _ => panic!("{}: no compiler for it", source.display()),
    };
    let output = Command::new(compiler).args(flags).arg(source).arg("-o").arg(binary).output().unwrap();
    assert!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
}

/// A C program that is written here.
pub fn c_program(dir: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let file = dir.join(format!("{name}.c"));
    std::fs::write(&file, source).unwrap();
    let binary = dir.join(name);
    compile(&file, &binary, flags);
    binary
}

/// What a run under Heapwise gave.
pub struct Observed {
    pub output: Output,
    /// The JSON document; null when none was written.
    pub report: Value,
    pub recording: PathBuf,
}

/// `heapwise run` of a command in `dir`, findings as JSON in a file of their own.
pub fn observe(dir: &Path, command: &[&str]) -> Observed {
    let (document, recording) = (dir.join("findings.json"), dir.join("out.heapwise"));
    let _ = std::fs::remove_file(&document);
    let _ = std::fs::remove_file(&recording);
    let mut run = Command::new(heapwise());
    run.arg("run").arg("-o").arg(&recording).args(["--format", "json", "--output"]).arg(&document).arg("--");
    let output = finish(run.args(command).current_dir(dir), b"", Duration::from_secs(300));
    let text = std::fs::read_to_string(&document).unwrap_or_default();
    Observed { output, report: serde_json::from_str(&text).unwrap_or_default(), recording }
}

/// Runs to the end and collects the output; panics when it takes longer than `limit`.
pub fn finish(command: &mut Command, stdin: &[u8], limit: Duration) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = input.write_all(&bytes);
    });
    let (out, err) = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
    let status = wait(&mut child, limit, &format!("{command:?}"));
    let _ = writer.join();
    Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn drain(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits, and panics after `limit`.
pub fn wait(child: &mut Child, limit: Duration, what: &str) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > limit {
            let _ = child.kill();
            panic!("still running after {limit:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number of the summary's `program`.
pub fn count(report: &Value, name: &str) -> u64 {
    report["summary"]["program"][name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {}", report["summary"]))
}
