//! The objects of real interpreters, compared with what these say of themselves.
//!
//! Every interpreter that is installed runs `truth.py`, which builds objects of all kinds and writes what `gc` and `sys`
//! tell of each; then its memory is read from outside.

mod process;

use heapwise_cpython::Version;
use heapwise_model::{Bits, EdgeKind, NodeId, ObjectHeap, ObjectKind, RootKind};
use process::{interpreters, objects};
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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

/// Runs the script; `None` where the interpreter is too old for it, or for us.
fn truth(python: &Path) -> Option<Truth> {
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
    let version = Version::from_hex(numbers[1] as u32);
    if version < Version::new(3, 8) {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let heap = objects(child.id(), numbers[0], version);
    Some(Truth { child, said, heap, version })
}

#[test]
fn every_object_is_as_its_interpreter_says() {
    let mut versions = Vec::new();
    for python in interpreters() {
        let Some(truth) = truth(&python) else { continue };
        compare(&truth);
        garbage(&truth);
        names(&truth);
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

/// Objects that no root reaches.
fn unreached(heap: &ObjectHeap) -> Vec<NodeId> {
    let mut reached = Bits::new(heap.graph.len());
    let mut open: Vec<NodeId> = heap.graph.roots.iter().map(|it| it.target).collect();
    while let Some(node) = open.pop() {
        if reached.insert(node.index()) {
            open.extend(heap.graph.kept(node));
        }
    }
    (0..heap.graph.len() as u32).map(NodeId).filter(|it| !reached.has(it.index())).collect()
}

/// What the lost objects are, and nothing else is: no reference count is misread, and no reference made up.
fn garbage(truth: &Truth) {
    let heap = &truth.heap;
    let name = |node: NodeId| heap.name(node).to_owned();
    let mut lost: Vec<String> = unreached(heap).into_iter().map(name).collect();
    lost.retain(|it| it != "dict");
    lost.sort_unstable();
    assert_eq!(lost, ["__main__.Finalized", "__main__.Plain", "text 2"], "CPython {}", truth.version);
}

/// The label of an edge as the program would write it.
fn label(heap: &ObjectHeap, kind: EdgeKind, label: u32) -> String {
    match kind {
        EdgeKind::Property => format!(".{}", heap.texts.get(label)),
        EdgeKind::Key => format!("[{:?}]", heap.texts.get(label)),
        EdgeKind::Item => format!("[{}]", heap.texts.get(label)),
        EdgeKind::Element => format!("[{label}]"),
        EdgeKind::Context => format!("variable {}", heap.texts.get(label)),
        EdgeKind::Internal => heap.texts.get(label).to_owned(),
        EdgeKind::Weak => format!("weak {}", heap.texts.get(label)),
        _ => "?".to_owned(),
    }
}

/// Labels of a node's references with the names of their targets; those of its table of attributes are its own.
fn references(heap: &ObjectHeap, node: NodeId) -> BTreeMap<String, NodeId> {
    let mut found = BTreeMap::new();
    for (kind, text, target) in heap.references(node) {
        if heap.kind[target.index()] == ObjectKind::Attributes {
            found.append(&mut references(heap, target));
        }
        found.insert(label(heap, kind, text), target);
    }
    found
}

/// References are called as the program calls them.
fn names(truth: &Truth) {
    let heap = &truth.heap;
    let said = format!("CPython {}", truth.version);
    let main =
        heap.graph.roots.iter().find(|it| it.kind == RootKind::Global && heap.name(it.target) == "__main__");
    let main = main.expect("a root").target;
    let follow = |path: &[&str]| {
        path.iter().fold(main, |node, step| {
            let found = references(heap, node);
            *found.get(*step).unwrap_or_else(|| panic!("{said}: no {step} of {path:?} in {:?}", found.keys()))
        })
    };
    let is = |path: &[&str], name: &str| assert_eq!(heap.name(follow(path)), name, "{said}: {path:?}");
    is(&[".DICT", "[\"key 7\"]"], "int");
    is(&[".LIST", "[3]", ".text"], "text 3");
    is(&[".LIST", "[0]", ".added"], "int");
    is(&[".LIST", "[1]", ".more"], "list");
    is(&[".MIXED", "[1]"], "one");
    is(&[".MIXED", "[-2]"], "minus two");
    is(&[".MIXED", "[None]"], "list");
    is(&[".MIXED", "[(1, \"a\")]"], "dict");
    is(&[".MIXED", "[b\"bytes\"]"], "int");
    is(&[".MIXED", "[__main__.Color]"], "int");
    is(&[".MIXED", "[__main__.Plain]"], "int");
    is(&[".SHRUNK", "[1]"], "list");
    is(&[".DEQUE", "[0]"], "list");
    is(&[".ORDERED", "[\"c\"]"], "list");
    is(&[".ORDERED", ".attribute"], "int");
    is(&[".DEFAULT", ".default_factory"], "list");
    is(&[".SLOTS", ".first"], "list");
    is(&[".SLOTS", ".third"], "set");
    is(&[".SLOTS", ".anything"], "attribute");
    is(&[".SUBCLASSES", "[2]", ".attribute"], "list");
    is(&[".SUBCLASSES", "[3]", ".attribute"], "list");
    is(&[".SUBCLASSES", "[4]", ".attribute"], "list");
    // To 3.10 frames are objects of their own.
    let frame: &[&str] = if truth.version < Version::new(3, 11) { &["(frame)"] } else { &[] };
    is(&[&[".GENERATOR"], frame, &["variable kept", "[0]"]].concat(), "kept by a generator");
    is(&[".CLOSURE", "variable of", "(cell)", "[0]"], "captured");
    is(&[".CLOSURE", ".attribute"], "list");
    is(&[".CLOSURE", ".__kwdefaults__", "[\"keyword\"]", "[0]", "[0]"], "captured");
    is(&[".PARTIAL", ".func"], "closure");
    is(&[".METHOD", ".__self__", ".text"], "text 0");
    is(&[".EXCEPTION", ".__traceback__", ".tb_frame"], "raised");
    is(&[".cached", "(cache)", "[7]", "[0]"], "cached");
    is(&[".cached_few", "(cache)", "[49]", "(result)", "[0]"], "few");
    is(&[".cached", ".__wrapped__"], "cached");
    is(&[".WEAK", "[0]", "weak (referent)"], "__main__.Plain");
    is(&[".QUEUE", ".queue", "[0]"], "list");
    is(&[".Plain", ".__init__"], "Plain.__init__");
    is(&[".Plain"], "__main__.Plain");
    let running = |name: &str| {
        let mut roots = heap.graph.roots.iter().filter(|it| it.kind == RootKind::Stack);
        roots
            .find(|it| heap.name(it.target) == name)
            .unwrap_or_else(|| panic!("{said}: no frame {name}"))
            .target
    };
    let held = references(heap, running("waits"));
    assert_eq!(heap.name(references(heap, held["variable local_of_thread"])["[0]"]), "local of a thread");
    assert_eq!(heap.name(references(heap, held["variable argument"])["[0]"]), "argument");
    let held = references(heap, running("tell"));
    assert_eq!(heap.name(references(heap, held["variable held_by_main"])["[0]"]), "held by the main thread");
    // The coroutine waits for another one.
    is(&[&[".COROUTINE"], frame, &["variable held", "[\"held\"]"]].concat(), "by a coroutine");
    let garbage = heap.internal(NodeId(0), &["gc.garbage"]).expect("gc.garbage");
    assert_eq!(heap.name(references(heap, references(heap, garbage)["[0]"])["[0]"]), "in garbage");
    let place =
        |path: &[&str]| heap.place(follow(path)).map(|(file, at)| (file.ends_with("truth.py"), at.line));
    let source = include_str!("truth.py");
    let line = |text: &str| source.lines().position(|it| it == text).expect("a line") as u32 + 1;
    let class = line("class Plain:") + u32::from(truth.version < Version::new(3, 13));
    assert_eq!(place(&[".Plain"]), Some((true, class)), "{said}");
    assert_eq!(place(&[".closure"]), Some((true, line("def closure(of):"))), "{said}");
    let cached = line("@functools.lru_cache(maxsize=16)");
    assert_eq!(place(&[".cached_few"]), Some((true, cached)), "{said}");
}
