//! What the analyses of `heap` say of real interpreters: which containers grow and who holds them, which cycles wait, what
//! is there many times.

mod process;

use heapwise_cpython::Version;
use heapwise_heap::objects::{Told, Walked, analyze, compare};
use heapwise_model::{ObjectHeap, Place, Rule};
use process::{interpreters, objects};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Dumps of the script after each of some rounds.
fn dumps(python: &Path, rounds: &[u32]) -> Option<Vec<ObjectHeap>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/findings.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the interpreter starts");
    let mut orders = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut dumps = Vec::new();
    for round in rounds {
        let _ = writeln!(orders, "{round}");
        let Some(Ok(line)) = lines.next() else { break };
        let words: Vec<u64> = line.split(' ').skip(1).map(|it| it.parse().expect("a number")).collect();
        let version = Version::from_hex(words[1] as u32);
        if version < Version::new(3, 8) {
            break;
        }
        dumps.push(objects(child.id(), words[0], version));
    }
    let _ = child.kill();
    let _ = child.wait();
    (dumps.len() == rounds.len()).then_some(dumps)
}

/// A finding with its chain, on one line.
fn line(told: &Told) -> String {
    let finding = &told.finding;
    let steps = finding.retainers.iter().flat_map(|it| &it.steps);
    let chain: Vec<String> = steps.map(|it| format!("{} {}", it.object, it.reference)).collect();
    let kind = finding.kind.map_or("", |it| it.name());
    let place = match &finding.place {
        Place::Source(at) => format!(":{}", at.line),
        _ => String::new(),
    };
    format!("{}/{kind}{place}: {} | {}", finding.rule, finding.message, chain.join(" -> "))
}

/// Whether a line says all of `parts`, in this order.
fn says(line: &str, parts: &[&str]) -> bool {
    let mut rest = line;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

const ONE_DUMP: &[&[&str]] = &[
    &[
        "unbounded-growth/map",
        ":54",
        "`CACHE`, a dict of 8,000 entries,",
        "8,000 instances of Session",
        "module __main__ .CACHE -> dict of 8,000",
    ],
    &[
        "unbounded-growth/list",
        ":27",
        "`handlers`, a list of 8,000 entries,",
        "call of main variable service -> Service instance .handlers -> list",
    ],
    &[
        "unbounded-growth/cache",
        ":49",
        "`compute`, a cache of 8,000 entries,",
        "module __main__ .compute -> cache of 8,000",
    ],
    &["duplicate-content/string", "\"Austria\" 8,000 times"],
    &["duplicate-content/object", "tuples hold the same objects"],
    &[
        "reference-cycle/closure",
        "8,000 cycles of function registered.<locals>.forget wait",
        "variable forget",
    ],
    &[
        "reference-cycle/uncollected",
        "8,000 cycles of Node and list wait",
        "Node instance .children -> list [0] -> Node instance .parent -> the same Node",
    ],
    &[
        "reference-cycle/finalizer",
        "8,000 cycles of Finalized wait",
        "Finalized.__del__ runs only then",
        ".me -> the same Finalized",
    ],
];

const THREE_DUMPS: &[&[&str]] = &[
    &[
        "unbounded-growth/map",
        "`CACHE`, a dict, grew in each snapshot: 2,000, 5,000, 8,000 entries",
        "6,000 new Session keep",
    ],
    &["unbounded-growth/list", "`handlers`, a list, grew", "6,000 new Session keep"],
    &["unbounded-growth/list", "`local`, a list, grew", "call of main variable local"],
    &["unbounded-growth/cache", "`compute`, a cache, grew"],
    &["unbounded-growth/queue", "`QUEUE`, a deque, grew", "module __main__ .QUEUE -> deque of 8,000 entries"],
    &["unbounded-growth/set", "`seen`, a set, grew", "Service instance .seen -> set of 8,000 entries"],
];

fn expect(found: &[Told], expected: &[&[&str]], python: &Path) {
    let found: Vec<String> = found.iter().map(line).collect();
    for parts in expected {
        assert!(found.iter().any(|it| says(it, parts)), "{}: no {parts:?} in {found:#?}", python.display());
    }
}

#[test]
fn what_accumulates_grows_and_waits_is_told() {
    let mut count = 0;
    for python in interpreters() {
        let Some(dumps) = dumps(&python, &[2000, 3000, 3000]) else { continue };
        let walked = Walked::new(&dumps[2]);
        let (totals, found) = analyze(&walked);
        let session = totals.classes.iter().find(|it| it.name == "__main__.Session").expect("a class");
        assert_eq!(session.total.blocks, 16000);
        expect(&found, ONE_DUMP, &python);
        let (_, found) = compare(&[&dumps[0], &dumps[1]], &walked);
        expect(&found, THREE_DUMPS, &python);
        // What is held on purpose, and what waits, is not told as what stays.
        assert!(!found.iter().any(|it| it.finding.rule == Rule::RetainedObject));
        count += 1;
    }
    assert!(count > 0, "no interpreter is installed");
}
