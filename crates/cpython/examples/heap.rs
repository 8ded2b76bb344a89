//! Reads the objects of a process that stands still, and tells what that cost: `heap PID RUNTIME VERSION_HEX`.

use heapwise_cpython::{Interpreter, Memory, Version, read};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

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

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [pid, runtime, version] = words.as_slice() else { panic!("heap PID RUNTIME VERSION_HEX") };
    let version = Version::from_hex(version.parse().expect("a number"));
    let memory = Process(File::open(format!("/proc/{pid}/mem")).expect("the process's memory"));
    let began = Instant::now();
    let of = Interpreter { runtime: runtime.parse().expect("a number"), version };
    let heap = read(&memory, &of, &[]).expect("a runtime").heap;
    let took = began.elapsed();
    let graph = &heap.graph;
    let bytes = graph.addr.capacity() * 8
        + graph.size.capacity() * 8
        + graph.first.capacity() * 4
        + graph.edges.capacity() * 4
        + graph.labels.capacity() * 4
        + heap.kind.capacity()
        + heap.name.capacity() * 4
        + heap.texts.bytes();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|it| it.starts_with("VmHWM")).unwrap_or_default().to_owned();
    println!(
        "{} objects, {} references, {} texts; {:.2} s; {} bytes an object; {peak}",
        graph.len(),
        graph.edges.len(),
        heap.texts.len(),
        took.as_secs_f64(),
        bytes / graph.len().max(1),
    );
}
