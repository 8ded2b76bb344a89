//! The objects of real interpreters, compared with what these say of themselves.
//!
//! Every interpreter that is installed runs `truth.py`, which builds objects of all kinds and writes what `gc` and `sys`
//! tell of each; then its memory is read from outside.

use heapwise_cpython::{Interpreter, Memory, Version, read};
use heapwise_model::{NodeId, ObjectHeap};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

struct Process(File);

impl Memory for Process {
    fn read(&self, addr: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len() {
            match self.0.read_at(&mut into[done..], addr + done as u64) {
                Ok(0) | Err(_) => break,
                Ok(count) => done += count,
            }
        }
        done
    }
}

/// What an interpreter says of an object.
struct Said {
    is_tracked: bool,
    size: i64,
    kind: String,
    referents: Vec<u64>,
}

struct Truth {
    child: Child,
    said: BTreeMap<u64, Said>,
    heap: ObjectHeap,
    version: Version,
}

impl Drop for Truth {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn interpreters() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/usr/bin/python3")];
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    for version in std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten() {
        found.push(version.path().join("bin/python3"));
    }
    found.retain(|it| it.is_file());
    found.sort();
    found
}

/// Runs the script; `None` where the interpreter is too old for it, or for us.
fn truth(python: &PathBuf) -> Option<Truth> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the interpreter starts");
    let mut said = BTreeMap::new();
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let numbers = loop {
        let Some(line) = lines.next() else {
            let _ = child.wait();
            return None;
        };
        let line = line.expect("text");
        let mut words = line.split(' ');
        let first = words.next().expect("a word");
        if first == "ready" {
            break words.map(|it| it.parse().expect("a number")).collect::<Vec<u64>>();
        }
        let mut number = || words.next().expect("a word").parse::<i64>().expect("a number");
        let (is_tracked, size) = (number() != 0, number());
        let kind = words.next().expect("a word").to_owned();
        let referents = words.next().expect("a word").split(',').filter_map(|it| it.parse().ok()).collect();
        said.insert(first.parse().expect("a number"), Said { is_tracked, size, kind, referents });
    };
    stands_still(child.id());
    let memory = Process(File::open(format!("/proc/{}/mem", child.id())).expect("memory of a child"));
    let version = Version::from_hex(numbers[1] as u32);
    if version < Version::new(3, 8) {
        return None;
    }
    let heap = read(&memory, &Interpreter { runtime: numbers[0], version }, &[]).expect("a runtime");
    Some(Truth { child, said, heap, version })
}

/// Waits until all threads of a process wait.
fn stands_still(pid: u32) {
    let waits = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|it| it.1.starts_with('S'))
    };
    for _ in 0..1000 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process").flatten();
        if tasks.all(waits) {
            return;
        }
    }
    panic!("process {pid} does not come to rest");
}

#[test]
fn every_object_is_as_its_interpreter_says() {
    let mut versions = Vec::new();
    for python in interpreters() {
        let Some(truth) = truth(&python) else { continue };
        compare(&truth);
        versions.push(truth.version);
    }
    assert!(!versions.is_empty(), "no interpreter is installed");
}

/// What an interpreter says that is not in the graph, and why.
fn is_explained(what: &str, kind: &str, truth: &Truth) -> bool {
    let (from, _) = kind.split_once(" -> ").unwrap_or((kind, ""));
    match what {
        // Modules written in C keep objects in memory of their own, as do the classes of ctypes, and capsules.
        "no edge" => {
            matches!(from, "module" | "PyCapsule" | "type")
                // The cache's entries hold these: the wrapper leads to its dictionary, and that to the entries.
                || from == "functools._lru_cache_wrapper"
        }
        // What only such memory holds.
        "untracked" => true,
        // Static types of 3.11 and 3.12 are counted with a head for the collector that they do not have.
        "size -16" if from == "type" => [Version::new(3, 11), Version::new(3, 12)].contains(&truth.version),
        // Their own memory beside the object, which their types do not tell.
        _ => {
            matches!(
                from,
                "_io.BufferedReader"
                    | "_io.BufferedWriter"
                    | "_struct.Struct"
                    | "itertools.product"
                    | "StgDict"
            ) || (from == "type" && truth.version == Version::new(3, 13))
        }
    }
}

fn compare(truth: &Truth) {
    let heap = &truth.heap;
    let node = |addr: u64| heap.graph.addr.binary_search(&addr).ok().map(|it| NodeId(it as u32));
    let mut wrong: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    assert!(heap.notes.is_empty(), "{:?}", heap.notes);
    let mut tell = |what: &str, kind: &str, addr: u64| {
        wrong.entry((what.to_owned(), kind.to_owned())).or_insert((0, addr)).0 += 1;
    };
    for (&addr, said) in &truth.said {
        let Some(node) = node(addr) else {
            tell(if said.is_tracked { "missing" } else { "untracked" }, &said.kind, addr);
            continue;
        };
        let size = heap.graph.size[node.index()] as i64;
        if size != said.size {
            tell(&format!("size {}", (size - said.size).clamp(-2000, 2000)), &said.kind, addr);
        }
        let targets: HashSet<u64> =
            heap.graph.row(node).iter().map(|it| heap.graph.addr[it.target().index()]).collect();
        for referent in &said.referents {
            if !targets.contains(referent) {
                let kind = truth.said.get(referent).map_or("?", |it| &it.kind);
                tell("no edge", &format!("{} -> {kind}", said.kind), addr);
            }
        }
    }
    let untracked: u64 = wrong.iter().filter(|it| it.0.0 == "untracked").map(|it| it.1.0).sum();
    assert!(untracked < 200, "{untracked} objects that no list tracks are missing");
    wrong.retain(|(what, kind), _| !is_explained(what, kind, truth));
    assert!(wrong.is_empty(), "CPython {}: {wrong:#?}", truth.version);
}
