//! `heapwise run -- node`: what grows on the JavaScript heap, however the program ends. Needs `node`; tests say when they
//! are skipped.

mod common;

use common::{finish, have, heapwise, wait};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Keeps a session for each request and forgets each visit; `KEPT` marks the line.
const SERVER: &str = "\
const http = require('http');
class Session { constructor(id) { this.id = id; this.pages = ['/' + id]; } }
const sessions = new Map();
const visits = [];
let id = 0;
function handle() {
  sessions.set(id, new Session(id)); // KEPT
  visits.push({ id: id++ });
  if (visits.length > 20) visits.shift();
}
http.createServer(handle).listen(0, '127.0.0.1');
setInterval(() => { for (let i = 0; i < 20; i++) handle(); }, 50);
";

const LIMIT: Duration = Duration::from_secs(120);

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn findings(report: &Value) -> Vec<(String, u64, String)> {
    let findings = report["findings"].as_array().unwrap().iter();
    let name = |it: &Value| it["message"].as_str().unwrap().split('`').nth(1).unwrap_or_default().to_owned();
    findings
        .filter(|it| it["engine"] == "snapshot")
        .map(|it| {
            (it["rule"].as_str().unwrap().to_owned(), it["location"]["line"].as_u64().unwrap_or(0), name(it))
        })
        .collect()
}

/// No file or folder of a session is left.
fn assert_clean(pid: u32) {
    for base in [Path::new("/dev/shm"), &std::env::temp_dir()] {
        let left = std::fs::read_dir(base).unwrap().flatten();
        let ours = format!("heapwise-{pid}-");
        let left: Vec<_> =
            left.map(|it| it.file_name()).filter(|it| it.to_string_lossy().starts_with(&ours)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_server_stopped_by_a_signal() {
    if !have("a_server_stopped_by_a_signal", &["node"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (document, recording) = (folder.path().join("findings.json"), folder.path().join("out.heapwise"));
    std::fs::write(folder.path().join("server.js"), SERVER).unwrap();
    let mut run = Command::new(heapwise())
        .args(["run", "--snapshot", "every=1s", "--format", "json", "--output"])
        .arg(&document)
        .arg("-o")
        .arg(&recording)
        .args(["--", "node", "server.js"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(6000));
    let pid = run.id();
    Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    let status = wait(&mut run, LIMIT, "a server");
    assert_eq!(status.code(), Some(128 + 15));
    let line = SERVER.lines().position(|it| it.ends_with("KEPT")).unwrap() as u64 + 1;
    let expected = vec![("unbounded-growth".to_owned(), line, "sessions".to_owned())];
    let report = json(&document);
    assert_eq!(findings(&report), expected, "{report:#}");
    let finding =
        report["findings"].as_array().unwrap().iter().find(|it| it["engine"] == "snapshot").unwrap();
    assert_eq!(finding["severity"], "error");
    assert!(report["summary"]["heap"]["objects"].as_u64().unwrap() > 1000);
    // The recording tells the same, without the program.
    let mut again = Command::new(heapwise());
    again.args(["report", "--format", "json"]).arg(&recording).current_dir(folder.path());
    let output = finish(&mut again, b"", LIMIT);
    assert_eq!(output.status.code(), Some(1));
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(findings(&again), expected);
    assert_clean(pid);
}

/// What a program does about its end stays what it does.
#[test]
fn ends_are_those_of_the_program() {
    if !have("ends_are_those_of_the_program", &["node"]) {
        return;
    }
    let programs = [
        ("process.exit(7)", Some(7), ""),
        ("setTimeout(() => { console.log('late'); }, 1500)", Some(0), "late\n"),
        ("setTimeout(() => { throw new Error('boom'); }, 1500)", Some(1), ""),
        ("setTimeout(() => process.kill(process.pid, 'SIGINT'), 1500); setInterval(() => {}, 50)", Some(130), ""),
        (
            "process.on('SIGTERM', () => { console.log('mine', process.listenerCount('SIGTERM')); process.exit(3); });
             setTimeout(() => process.kill(process.pid, 'SIGTERM'), 1500); setInterval(() => {}, 50)",
            Some(3),
            "mine 1\n",
        ),
        ("process.exitCode = 4; console.log(require('inspector').url())", Some(4), "undefined\n"),
    ];
    for (program, code, out) in programs {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Command::new(heapwise());
        run.args(["run", "--no-recording", "--", "node", "-e", program]).current_dir(folder.path());
        let output = finish(&mut run, b"", LIMIT);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), code, "{program}: {err}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), out, "{program}: {err}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
