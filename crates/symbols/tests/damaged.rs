//! Cut, changed and once-crashing files: no panic, bounded time.

use heapwise_symbols::exercise;
use std::path::Path;
use std::time::{Duration, Instant};

fn timed(data: &[u8], what: &str) {
    let start = Instant::now();
    exercise(data);
    assert!(start.elapsed() < Duration::from_secs(10), "{what} took {:?}", start.elapsed());
}

/// The committed seeds: small ELF files with every kind of debug information.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/symbols");
    let mut out: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .expect("seeds are committed")
        .map(|entry| entry.expect("readable").path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("readable")))
        .collect();
    out.sort();
    assert!(out.len() >= 10);
    out
}

#[test]
fn cut_files() {
    for (name, data) in seeds() {
        for len in (0..data.len()).step_by(97) {
            timed(&data[..len], &name);
        }
    }
}

#[test]
fn changed_files() {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for (name, data) in seeds() {
        for at in (0..data.len()).step_by(13) {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let mut changed = data.clone();
            changed[at] ^= 1 << (random >> 61);
            timed(&changed, &name);
            changed[at] = (random >> 32) as u8;
            timed(&changed, &name);
        }
    }
}

#[test]
fn past_crashes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crashes");
    for entry in std::fs::read_dir(folder).expect("folder is committed") {
        let path = entry.expect("readable").path();
        timed(&std::fs::read(&path).expect("readable"), &path.display().to_string());
    }
}
