//! `heapwise snapshot` of running programs, which must not notice.

mod common;

use common::{c_program, compile, find, have, heapwise, root, wait};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A program under `heapwise run` that has said "ready".
struct Running {
    run: Child,
    output: BufReader<std::process::ChildStdout>,
}

fn start(dir: &Path, options: &[&str], program: &Path) -> Running {
    let mut command = Command::new(heapwise());
    command.arg("run").args(options).arg("--").arg(program).current_dir(dir);
    let mut run = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(run.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Running { run, output }
}

impl Running {
    /// Lets the program end; its exit code and what it printed after "ready".
    fn end(mut self) -> (Option<i32>, String) {
        self.run.stdin.take().unwrap().write_all(b"\n").unwrap();
        let status = wait(&mut self.run, LIMIT, "heapwise run");
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (status.code(), rest)
    }
}

fn snapshot(dir: &Path, pid: u32, more: &[&str]) -> Output {
    let mut command = Command::new(heapwise());
    command.args(["snapshot", "--format", "json"]).args(more).arg(pid.to_string()).current_dir(dir);
    common::finish(&mut command, b"", LIMIT)
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn definite(report: &Value) -> (u64, u64) {
    let it = &report["summary"]["program"]["leaks"]["definite"];
    (it["bytes"].as_u64().unwrap(), it["blocks"].as_u64().unwrap())
}

#[test]
fn threads_in_all_kinds_of_waits_go_on() {
    if !have("snapshot", &["gcc"]) {
        return;
    }
    let dir = folder("snapshot-waits");
    let program = dir.join("waits");
    compile(&root().join("crates/cli/tests/snapshot/waits.c"), &program, &["-g", "-O1", "-pthread"]);
    let running = start(&dir, &[], &program);
    // By the pid of `heapwise run`, then by the program's own.
    let mut pid = running.run.id();
    for number in 1..=3 {
        let output = snapshot(&dir, pid, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let report = document(&output);
        assert_eq!(definite(&report), (777, 1));
        assert!(report["summary"]["program"]["exit"].is_null());
        assert!(report["summary"]["program"]["allocations"].as_u64().unwrap() > 64);
        pid = report["summary"]["program"]["pid"].as_u64().unwrap() as u32;
        let file = dir.join(format!("waits.{pid}.snapshot-{number}.heapwise"));
        assert!(file.is_file(), "{}", file.display());
    }
    assert_eq!(running.end(), (Some(0), "0 failed\n".to_owned()));
    let output = Command::new(heapwise())
        .args(["report", "--format", "json", &format!("waits.{pid}.heapwise")])
        .current_dir(&dir)
        .output()
        .unwrap();
    let report = document(&output);
    assert_eq!(report["summary"]["program"]["exit"]["code"], 0);
    assert_eq!(definite(&report).0, 777);
}

const HOLDS: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static void *volatile held;
__attribute__((noinline)) static void hold(void) { held = malloc(500); }
int main(void) {
    hold();
    puts("ready");
    fflush(stdout);
    getchar();
    free(held);
    return 3;
}
"#;

#[test]
fn a_run_without_a_recording_has_snapshots_too() {
    if !have("snapshot", &["gcc"]) {
        return;
    }
    let dir = folder("snapshot-no-recording");
    let program = c_program(&dir, "holds", HOLDS, &["-g", "-O1"]);
    let running = start(&dir, &["--no-recording"], &program);
    let pid = running.run.id();
    let output = snapshot(&dir, pid, &["-o", "now.heapwise", "--verbose"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report = document(&output);
    assert_eq!(definite(&report), (0, 0));
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().any(|it| it["kind"] == "reachable" && it["bytes"] == 500), "{findings:?}");
    // What is no recording is left alone.
    std::fs::write(dir.join("letter"), "dear").unwrap();
    let output = snapshot(&dir, pid, &["-o", "letter"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read(dir.join("letter")).unwrap(), b"dear");
    assert_eq!(running.end(), (Some(3), String::new()));
    assert_eq!(snapshot(&dir, pid, &[]).status.code(), Some(2));
}

#[test]
fn what_cannot_be_seen_is_said() {
    let dir = folder("snapshot-errors");
    let says = |pid: u32, text: &str| {
        let output = snapshot(&dir, pid, &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(text), "{error}");
        assert!(output.stdout.is_empty());
    };
    says(std::process::id(), "is not observed by Heapwise");
    says(std::process::id(), "heapwise run -- CMD");
    says(u32::MAX, "there is no process");
    // An observer that was killed, and a program that went on.
    let Some(sleep) = find("sleep") else { return };
    let mut run = Command::new(heapwise())
        .args(["run", "--no-recording", "--"])
        .arg(sleep)
        .arg("1000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", run.id());
    let begin = std::time::Instant::now();
    let pid: u32 = loop {
        assert!(begin.elapsed() < LIMIT);
        let text = std::fs::read_to_string(&children).unwrap_or_default();
        let pid = text.split_whitespace().next().and_then(|it| it.parse().ok());
        // Until the recorder has told of itself.
        if let Some(pid) = pid
            && snapshot(&dir, pid, &[]).status.code() != Some(2)
        {
            break pid;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    run.kill().unwrap();
    run.wait().unwrap();
    says(pid, "is gone");
    assert!(Command::new("kill").arg(pid.to_string()).status().unwrap().success());
}
