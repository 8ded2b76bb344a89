//! Recordings that do not tell of every block, against those that do.

mod common;

use common::{c_program, find, finish, have, heapwise};
use heapwise_model::{Frame, Total};
use heapwise_run::Observation;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Runs a command in `dir`; its recordings, of children too, and its output.
fn record(dir: &Path, options: &[&str], command: &[&str]) -> (BTreeMap<bool, Observation>, Vec<u8>) {
    let recordings = dir.join("recordings");
    let _ = std::fs::remove_dir_all(&recordings);
    std::fs::create_dir(&recordings).unwrap();
    let mut run = Command::new(heapwise());
    run.args(["run", "--quiet", "--error-exitcode", "99"]).args(options).arg("-o");
    run.arg(format!("{}/", recordings.display())).arg("--").args(command);
    run.current_dir(dir).env("PYTHONHASHSEED", "0");
    let output = finish(&mut run, b"", Duration::from_secs(300));
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(&recordings).unwrap().flatten().map(|it| it.path()).collect();
    found.sort();
    let read = |it: &PathBuf| Observation::read(it, &mut |_, _| {}).unwrap();
    let all: Vec<Observation> = found.iter().map(read).collect();
    let pids: Vec<u32> = all.iter().map(|it| it.pid).collect();
    (all.into_iter().map(|it| (pids.contains(&it.parent), it)).collect(), output.stdout)
}

fn is_near(found: u64, expected: u64, part: f64) -> bool {
    (found as f64 - expected as f64).abs() <= expected as f64 * part
}

#[test]
fn estimates_are_near_what_every_block_says() {
    if !have("sampling", &["gcc"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Three sizes of blocks, a part of which is kept; some are resized. A forked child frees what it inherited.
    let program = c_program(
        folder.path(),
        "sizes",
        r#"
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/wait.h>
        #include <unistd.h>
        static void *kept[300000];
        static unsigned count, seed = 7;
        static unsigned below(unsigned limit) { seed = seed * 1664525 + 1013904223; return (seed >> 8) % limit; }
        static void keep(void *block) { if (below(3) == 0 && count < 300000) kept[count++] = block; else free(block); }
        int main(void) {
            for (int i = 0; i < 250000; i++) keep(malloc(8 + below(56)));
            for (int i = 0; i < 100000; i++) keep(realloc(malloc(100), 200 + below(800)));
            for (int i = 0; i < 2000; i++) keep(calloc(1, 20000 + below(100000)));
            fflush(stdout);
            pid_t child = fork();
            for (unsigned i = child ? 0 : count / 2; i < (child ? count / 4 : count); i++) free(kept[i]);
            if (child) waitpid(child, NULL, 0);
            puts("done");
            return 0;
        }"#,
        &["-g", "-O1", "-w"],
    );
    let program = program.to_str().unwrap();
    let (exact, said) = record(folder.path(), &[], &[program]);
    let (sampled, said_again) = record(folder.path(), &["--sample"], &[program]);
    assert_eq!(said, said_again);
    assert_eq!((exact.len(), sampled.len()), (2, 2), "the program and its child");
    for (is_child, exact) in &exact {
        let sampled = &sampled[is_child];
        let (truth, estimate) = (exact.ledger.totals(), sampled.ledger.totals());
        // 130 MB in 64 KiB steps are 2,000 blocks that are told: one standard deviation is a fortieth.
        let pairs = [
            ("allocated", truth.allocated_bytes, estimate.allocated_bytes),
            ("live", truth.live.bytes, estimate.live.bytes),
            ("peak", truth.peak.bytes, estimate.peak.bytes),
        ];
        // Of few bytes few blocks are told: a child allocates next to nothing, and frees most of what it had.
        for (what, truth, estimate) in pairs.into_iter().filter(|it| it.1 > 10 << 20) {
            assert!(is_near(estimate, truth, 0.15), "{what}, child {is_child}: {estimate}, not {truth}");
        }
        if !is_child {
            // Most blocks are small, and few of those are told: 150 for 350,000 blocks.
            assert!(
                is_near(estimate.allocations, truth.allocations, 0.4),
                "{} allocations",
                estimate.allocations
            );
        }
        assert!(sampled.ledger.live_blocks().len() * 20 < exact.ledger.live_blocks().len());
        assert!(sampled.ledger.errors().is_empty() && sampled.graph.is_none());
        assert!(sampled.notes.iter().any(|it| it.contains("--sample")), "{:?}", sampled.notes);
    }
}

const SCRIPT: &str = r#"
import json, os, sys

class Node:
    def __init__(self, next):
        self.next = next
        self.text = "node %d" % len(nodes)

nodes = []

def grow(count):
    for i in range(count):
        nodes.append(Node(nodes[-1] if nodes else None))

def churn(count):
    total = 0
    for i in range(count):
        total += len(json.dumps({"name": "x" * (i % 40), "values": list(range(i % 13))}))
    return total

grow(3000)
print(churn(4000))
del nodes[1000:2000]
if os.fork() == 0:
    more = {i: str(i) * 3 for i in range(2000)}
    nodes.clear()
    sys.exit(0)
os.wait()
kept = [bytes(n) for n in range(1, 400)]
"#;

/// By line of the script: what it allocated and what of that is live. Of the script's own frames the innermost counts.
fn by_line(observation: &Observation) -> BTreeMap<u32, (u64, u64, Total)> {
    let mut lines: BTreeMap<u32, (u64, u64, Total)> = BTreeMap::new();
    for cost in observation.ledger.costs() {
        let mut frames = observation.stacks.frames(cost.stack).map(|it| observation.frames[it.index()]);
        let line = frames.find_map(|it| match it {
            Frame::Script { code, line } => {
                observation.codes[code.index()].path.ends_with("objects.py").then_some(line)
            }
            Frame::Native { .. } => None,
        });
        let Some(line) = line.filter(|it| *it > 2) else { continue };
        let sum = lines.entry(line).or_default();
        sum.0 += cost.allocations;
        sum.1 += cost.allocated_bytes;
        sum.2.bytes += cost.live_bytes;
        sum.2.blocks += cost.live_blocks;
    }
    lines
}

#[test]
fn accounts_say_what_each_block_of_python_says() {
    let Some(python) = find("python3") else { return eprintln!("skipped: python3 is not installed") };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("objects.py"), SCRIPT).unwrap();
    let command = [python.to_str().unwrap(), "objects.py"];
    let (each, said) = record(folder.path(), &["--each-object"], &command);
    let (accounts, said_again) = record(folder.path(), &[], &command);
    assert_eq!(said, said_again);
    assert_eq!((each.len(), accounts.len()), (2, 2), "the program and its child");
    let (truth, found) = (by_line(&each[&false]), by_line(&accounts[&false]));
    assert!(truth.len() >= 10 && truth.values().map(|it| it.0).sum::<u64>() > 50_000, "{truth:?}");
    assert_eq!(found, truth);
    // A child's live blocks are from before it, as far as its own lines did not make them.
    let (truth, found) = (by_line(&each[&true]), by_line(&accounts[&true]));
    let made = |it: &BTreeMap<u32, (u64, u64, Total)>| -> Vec<(u32, u64, u64)> {
        it.iter().map(|(line, it)| (*line, it.0, it.1)).filter(|it| it.1 > 0).collect()
    };
    assert_eq!(made(&found), made(&truth));
    let live = |it: &BTreeMap<u32, (u64, u64, Total)>| it.values().map(|it| it.2.bytes).sum::<u64>();
    assert!(is_near(live(&found), live(&truth), 0.02), "{} of {}", live(&found), live(&truth));
    let bytes = |it: &Observation| it.ledger.live_blocks().iter().map(|it| it.size).sum::<u64>();
    assert!(is_near(bytes(&accounts[&false]), bytes(&each[&false]), 0.02));
}
