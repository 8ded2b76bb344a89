//! Interpreters that are installed, and the memory of one that waits.

use heapwise_cpython::{Interpreter, Memory, Version, read};
use heapwise_model::ObjectHeap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

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

/// All that are installed here.
pub fn interpreters() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/usr/bin/python3")];
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    for version in std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten() {
        found.push(version.path().join("bin/python3"));
    }
    found.retain(|it| it.is_file());
    found.sort();
    found
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

/// The objects of a process that waits.
pub fn objects(pid: u32, runtime: u64, version: Version) -> ObjectHeap {
    stands_still(pid);
    let memory = Process(File::open(format!("/proc/{pid}/mem")).expect("memory of a child"));
    read(&memory, &Interpreter { runtime, version }, &[]).expect("a runtime").heap
}
