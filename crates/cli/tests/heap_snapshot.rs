//! Heap snapshots of V8: figures equal to those of Chrome's developer tools, and what `report` and `diff` say.

use heapwise_heap::objects::dominators_of;
use heapwise_model::ObjectHeap;
use heapwise_snapshot::{NO_DISTANCE, SnapshotError, distances, read};
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn snapshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/heap_snapshots")
}

fn text(name: &str) -> Vec<u8> {
    let packed = std::fs::read(snapshots().join(format!("{name}.heapsnapshot.zst"))).unwrap();
    zstd::decode_all(&packed[..]).unwrap()
}

/// `ordinal shallow retained distance` of each node, as `tests/heap_snapshots/README.md` tells.
fn figures(heap: &ObjectHeap) -> String {
    let (dominators, distances) = (dominators_of(heap), distances(heap));
    let all: u64 = heap.graph.size.iter().sum();
    let mut lines = String::new();
    for (node, distance) in distances.into_iter().enumerate() {
        let retained = match node {
            0 => all,
            _ => dominators.retained_bytes[node],
        };
        let distance = if distance == NO_DISTANCE { -5 } else { i64::from(distance) };
        writeln!(lines, "{node} {} {retained} {distance}", heap.graph.size[node]).unwrap();
    }
    lines
}

#[test]
fn sizes_and_distances_are_those_of_the_developer_tools() {
    let expected = std::fs::read_to_string(snapshots().join("expected.txt")).unwrap();
    assert_eq!(expected.lines().count(), 5);
    for line in expected.lines() {
        let [name, nodes, sum] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let text = text(name);
        let heap = read(&text[..], &mut |_| {}).unwrap();
        assert_eq!(heap.graph.len().to_string(), nodes, "{name}");
        assert_eq!(format!("{:08x}", crc32fast::hash(figures(&heap).as_bytes())), sum, "{name}");
    }
}

#[test]
fn a_real_one_cut_anywhere() {
    let text = text("chromium");
    for end in (0..text.len()).step_by(text.len() / 40) {
        match read(&text[..end], &mut |_| {}) {
            Ok(heap) => assert!(!heap.notes.is_empty(), "{end}"),
            Err(SnapshotError::Cut { .. } | SnapshotError::NotASnapshot { .. }) => {}
            Err(other) => panic!("{end}: {other}"),
        }
    }
}

fn heapwise(args: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_heapwise")).args(args).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (run.status.code(), text(&run.stdout), text(&run.stderr))
}

/// A server that keeps each session, each log line and a listener for each request. `KEPT` marks the lines.
const SERVER: &str = "\
const v8 = require('v8');
const EventEmitter = require('events');
const sessions = new Map();
const seen = new Set();
const bus = new EventEmitter();
bus.setMaxListeners(0);
class Session { constructor(id) { this.id = id; this.data = 'x'.repeat(10) + id; } }
class Server {
  constructor() { this.lines = []; this.recent = []; }
  handle(id) {
    const session = new Session(id);
    sessions.set(id, session); // KEPT sessions
    this.lines.push({ id, what: 'request' }); // KEPT lines
    this.recent.push({ id, what: 'request' });
    if (this.recent.length > 20) this.recent.shift();
    seen.add('user' + (id % 7));
    bus.on('tick', function onTick() { return id; }); // KEPT tick
  }
}
const server = new Server();
let id = 0;
globalThis.server = server;
globalThis.use = () => [sessions, seen, bus];
for (const [step, count] of [50, 400, 400].entries()) {
  for (let at = 0; at < count; at++) server.handle(id++);
  v8.writeHeapSnapshot(`${step + 1}.heapsnapshot`);
}
";

/// Needs `node`; the test says when it is skipped.
#[test]
fn what_grows_each_time_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("server.js"), SERVER).unwrap();
    let Ok(run) = Command::new("node").arg("server.js").current_dir(folder.path()).output() else {
        eprintln!("skipped: no `node` here");
        return;
    };
    assert!(run.status.success());
    let all = ["1.heapsnapshot", "2.heapsnapshot", "3.heapsnapshot"];
    let json = |args: &[&str]| {
        let (code, out, err) = heapwise(&[args, &["--format", "json"]].concat(), folder.path());
        (code, serde_json::from_str::<Value>(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
    };
    let (code, report) = json(&["diff", all[0], all[1], all[2]]);
    let findings = report["findings"].as_array().unwrap();
    let told: Vec<(String, u64, String)> = findings
        .iter()
        .map(|it| {
            let name = it["message"].as_str().unwrap().split('`').nth(1).unwrap_or_default().to_owned();
            (name, it["location"]["line"].as_u64().unwrap_or(0), it["rule"].as_str().unwrap().to_owned())
        })
        .collect();
    for name in ["sessions", "lines", "tick"] {
        let line = SERVER.lines().position(|it| it.ends_with(&format!("KEPT {name}"))).unwrap() as u64 + 1;
        let rule = if name == "tick" { "retained-object" } else { "unbounded-growth" };
        assert!(told.contains(&(name.to_owned(), line, rule.to_owned())), "{name} {line}: {told:?}");
    }
    // What is bounded is not told, and nothing else of the program is.
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!((code, findings[0]["severity"].as_str()), (Some(1), Some("error")));
    let lines = findings.iter().find(|it| it["message"].as_str().unwrap().contains("`lines`")).unwrap();
    assert_eq!(
        lines["held_by"]["path"],
        "global.server -> Server (server.js:9).lines -> Array of 850 entries"
    );
    assert!(report["summary"]["heap"]["classes"][0]["more_objects"].is_i64());
    for format in ["sarif", "github"] {
        let (_, out, _) = heapwise(&["diff", all[0], all[1], all[2], "--format", format], folder.path());
        assert!(out.contains("global.server -> Server (server.js:9).lines -> Array of 850 entries"), "{out}");
    }
    // Two dumps may be of a program that only warms up.
    let (code, report) = json(&["diff", all[0], all[1]]);
    assert_eq!((code, report["findings"][0]["severity"].as_str()), (Some(0), Some("warning")));

    let (code, text, _) = heapwise(&["diff", all[0], all[1], all[2]], folder.path());
    assert!(code == Some(1) && text.lines().count() <= 50 && text.contains("next: heapwise "), "{text}");
    let (code, text, _) = heapwise(&["report", all[2], "--verbose"], folder.path());
    assert!(code == Some(0) && text.contains("heap ") && text.contains("Session"), "{text}");
    let page = folder.path().join("page.html");
    let (code, _, err) =
        heapwise(&["report", all[2], "--format", "html", "--output", page.to_str().unwrap()], folder.path());
    assert!(code == Some(0) && page.exists(), "{err}");
}

/// What `diff` does not name rightly yet: the line that fills it is written by a constant's name.
const MISSES: [&str; 1] = ["symbol_property"];

/// Each program of `tests/heap_snapshots/programs` keeps something in `bad`, and does not in `good`. Three snapshots of
/// the former name the rule, the line and what it is called; of the latter nothing is an error. Needs `node`; the test
/// says when it is skipped.
#[test]
fn programs_are_named_and_their_twins_are_not() {
    let programs = snapshots().join("programs");
    let mut names: Vec<String> = std::fs::read_dir(&programs)
        .unwrap()
        .filter_map(|it| it.unwrap().file_name().to_str()?.strip_suffix(".js").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 28, "{names:?}");
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("skipped: no `node` here");
        return;
    }
    let half = names.split_at(names.len() / 2);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let other = scope.spawn(|| wrong_programs(&programs, half.1));
        let mut wrong = wrong_programs(&programs, half.0);
        wrong.extend(other.join().unwrap());
        wrong
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn wrong_programs(programs: &Path, names: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in names {
        let path = programs.join(format!("{name}.js"));
        let text = std::fs::read_to_string(&path).unwrap();
        let (line, expected) = text
            .lines()
            .zip(1u64..)
            .find_map(|(line, number)| Some((number, line.split_once("// expect: ")?.1)))
            .unwrap();
        let (rule, called) = expected.split_once(' ').unwrap();
        let of = |it: &Value| {
            (it["rule"].as_str().unwrap().to_owned(), it["location"]["line"].as_u64().unwrap_or(0))
        };
        let bad = findings_of(programs, &path, "bad");
        let is_named = bad
            .iter()
            .any(|it| of(it) == (rule.to_owned(), line) && it["message"].as_str().unwrap().contains(called));
        if is_named == MISSES.contains(&name.as_str()) {
            wrong.push(format!("{name}: expected {expected} in line {line}, not {bad:#?}"));
        }
        let good = findings_of(programs, &path, "good");
        if good.iter().any(|it| it["severity"] == "error") {
            wrong.push(format!("{name}: its twin keeps nothing, and yet {good:#?}"));
        }
    }
    wrong
}

/// What `diff` says of three snapshots of a program.
fn findings_of(programs: &Path, program: &Path, work: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new("node")
        .args([&programs.join("harness.cjs"), program])
        .arg(work)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let args = ["diff", "1.heapsnapshot", "2.heapsnapshot", "3.heapsnapshot", "--format", "json"];
    let (_, out, err) = heapwise(&args, folder.path());
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {err}"));
    report["findings"].as_array().unwrap().clone()
}

/// The page's examples, with a snapshot at their end. Needs `node`; the test says when it is skipped.
#[test]
fn the_page_of_duplicate_content_holds() {
    let page = include_str!("../../report/src/pages/duplicate-content.md");
    let programs: Vec<&str> =
        page.split("```javascript\n").skip(1).filter_map(|it| it.split("```").next()).collect();
    assert_eq!(programs.len(), 2);
    for (program, is_bad) in programs.into_iter().zip([true, false]) {
        let folder = tempfile::tempdir().unwrap();
        let at_exit = "process.on('exit', () => require('v8').writeHeapSnapshot('end.heapsnapshot'));";
        std::fs::write(folder.path().join("example.js"), format!("{program}\n{at_exit}\n")).unwrap();
        let Ok(run) = Command::new("node").arg("example.js").current_dir(folder.path()).output() else {
            eprintln!("skipped: no `node` here");
            return;
        };
        assert!(run.status.success());
        let args = ["report", "end.heapsnapshot", "--select", "duplicate-content"];
        let (code, out, _) = heapwise(&args, folder.path());
        assert_eq!((code, out.contains("Austria")), (Some(0), is_bad), "{out}");
    }
}

#[test]
fn what_is_no_snapshot_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    write("other.heapsnapshot", b"{\"a\": 1}");
    write("cut.heapsnapshot", &text("chromium")[..1_000_000]);
    let (code, _, err) = heapwise(&["report", "other.heapsnapshot"], folder.path());
    assert!(code == Some(2) && err.contains("not a heap snapshot") && err.contains("try:"), "{err}");
    let (code, _, err) = heapwise(&["report", "cut.heapsnapshot"], folder.path());
    assert!(code == Some(2) && err.contains("ends at byte 1000000, within its objects"), "{err}");
    write("whole.heapsnapshot", &text("chromium"));
    let (code, _, err) = heapwise(&["report", "whole.heapsnapshot", "--by", "peak"], folder.path());
    assert!(code == Some(2) && err.contains("--by is for recordings"), "{err}");
    write("x.heapwise", b"HEAPWISE");
    let (code, _, err) = heapwise(&["diff", "whole.heapsnapshot", "x.heapwise"], folder.path());
    assert!(code == Some(2) && err.contains("is no heap snapshot"), "{err}");
}
