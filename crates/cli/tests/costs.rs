//! What observing costs, in figures that do not depend on the machine's load: bytes of a recording per event, and
//! instructions per pair of `malloc` and `free`. Committed here, so that a change for the worse shows.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{c_program, count, finish, have, heapwise};

/// Bytes per event of `EVENTS`; times of events vary, and with them how well they compress.
const BYTES_PER_EVENT: f64 = 4.68;
const BYTES_TOLERANCE: f64 = 1.15;

/// Instructions that `PAIRS` takes per pair under observation, the program's own and the allocator's with it.
const INSTRUCTIONS_PER_PAIR: f64 = 965.0;
const INSTRUCTIONS_TOLERANCE: f64 = 1.10;

/// Sizes and lives by a fixed sequence, stacks 3 to 30 frames deep by 16 ways.
const EVENTS: &str = r#"
#include <stdint.h>
#include <stdlib.h>
static uint32_t state = 1;
static uint32_t next(void) { state = state * 1664525u + 1013904223u; return state >> 8; }
#define SITE(n) static __attribute__((noinline)) void *site##n(size_t size) { void *it = malloc(size); __asm__ volatile("" ::: "memory"); return it; }
SITE(0) SITE(1) SITE(2) SITE(3)
static __attribute__((noinline)) void *deep(int depth, int way, size_t size) {
    void *it;
    if (depth > 0) it = way & 1 ? deep(depth - 1, way >> 1, size) : deep(depth - 1, way / 2, size);
    else switch (way & 3) { case 0: it = site0(size); break; case 1: it = site1(size); break; case 2: it = site2(size); break; default: it = site3(size); }
    __asm__ volatile("" ::: "memory");
    return it;
}
int main(void) {
    static void *live[1000];
    for (int i = 0; i < 200000; i++) {
        unsigned at = next() % 1000;
        free(live[at]);
        live[at] = deep(next() % 28, next() % 16, next() % 500 + 1);
    }
    for (int i = 0; i < 1000; i++) free(live[i]);
    return 0;
}
"#;

/// `argv[1]` pairs, stacks 3 to 10 frames deep.
const PAIRS: &str = r#"
#include <stdlib.h>
static __attribute__((noinline)) void *leaf(size_t size) { void *it = malloc(size); __asm__ volatile("" : : "r"(it) : "memory"); return it; }
static __attribute__((noinline)) void *deep(int depth, size_t size) { void *it = depth ? deep(depth - 1, size) : leaf(size); __asm__ volatile("" ::: "memory"); return it; }
int main(int count, char **words) {
    for (long i = 0, pairs = atol(words[1]); i < pairs; i++) free(deep(i % 8, 16 + i % 100));
    return 0;
}
"#;

const FLAGS: [&str; 4] = ["-g", "-O1", "-w", "-fno-optimize-sibling-calls"];

#[test]
fn an_event_takes_few_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let binary = c_program(dir.path(), "events", EVENTS, &FLAGS);
    let observed = common::observe(dir.path(), &[binary.to_str().unwrap()]);
    let events = count(&observed.report, "allocations") + count(&observed.report, "frees");
    assert!((400_000..400_200).contains(&events), "{events} events");
    let bytes = std::fs::metadata(&observed.recording).unwrap().len();
    let each = bytes as f64 / events as f64;
    println!("{bytes} bytes, {each:.3} per event");
    assert!(
        each < BYTES_PER_EVENT * BYTES_TOLERANCE,
        "{each:.3} bytes per event, {BYTES_PER_EVENT} when this was written"
    );
}

#[test]
fn a_pair_takes_few_instructions() {
    if !have("a_pair_takes_few_instructions", &["valgrind"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let binary = c_program(dir.path(), "pairs", PAIRS, &FLAGS);
    // The difference of two runs leaves the start out.
    let (few, many) = (instructions(dir.path(), &binary, 20_000), instructions(dir.path(), &binary, 40_000));
    let each = (many - few) as f64 / 20_000.0;
    println!("{each:.1} instructions per pair");
    assert!(each > 400.0, "{each:.1} instructions per pair: nothing was recorded");
    assert!(
        each < INSTRUCTIONS_PER_PAIR * INSTRUCTIONS_TOLERANCE,
        "{each:.1} instructions per pair, {INSTRUCTIONS_PER_PAIR} when this was written"
    );
}

/// Instructions of the program under `heapwise run`, counted by callgrind, which leaves `malloc` to the recorder.
fn instructions(dir: &Path, binary: &Path, pairs: u64) -> u64 {
    let file = dir.join(format!("{pairs}.callgrind"));
    let mut run = Command::new(heapwise());
    run.args(["run", "--no-recording", "--quiet", "--", "valgrind", "-q", "--tool=callgrind"]);
    run.arg(format!("--callgrind-out-file={}", file.display())).arg(binary).arg(pairs.to_string());
    let output = finish(run.current_dir(dir), b"", Duration::from_secs(120));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("totals of callgrind");
    total.trim().parse().unwrap()
}
