//! What a command costs, with everything it starts: CPU time, wall time, memory.
//!
//! `measure` runs in a process of its own that adopts orphans, so that a helper that detaches itself is
//! counted too: the command has ended when its last descendant has.
//!
//! Memory is sampled every 20 ms as anonymous plus shared-anonymous resident bytes, summed over the tree (pages
//! of files are shared with the whole system and say nothing); a shared mapping is counted once per process.
//! A peak shorter than the interval may be missed; `peak_rss` is the kernel's exact peak of the greatest process.

use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::sys;

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub cpu: f64,
    pub wall: f64,
    /// Bytes: sum over the tree, sampled.
    pub memory: f64,
    /// Bytes: the greatest process, exact.
    pub peak_rss: f64,
    /// As the shell gives it.
    pub status: i32,
}

/// Runs `command` with the given files as standard input, output and error, in a fresh measuring process.
pub fn run(
    command: &[String],
    stdin: &Path,
    stdout: &Path,
    stderr: &Path,
    dir: &Path,
) -> Result<Cost, String> {
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let result = dir.join("measure.json");
    let status = Command::new(own)
        .args([Path::new("measure"), &result, stdin, stdout, stderr, dir])
        .args(command)
        .status()
        .map_err(|error| format!("measure: {error}"))?;
    if !status.success() {
        return Err(format!("measuring {} failed", command.join(" ")));
    }
    let text = fs::read_to_string(&result).map_err(|error| format!("{}: {error}", result.display()))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let number = |key: &str| value[key].as_f64().ok_or_else(|| format!("measure wrote no {key}"));
    Ok(Cost {
        cpu: number("cpu")?,
        wall: number("wall")?,
        memory: number("memory")?,
        peak_rss: number("peak_rss")?,
        status: number("status")? as i32,
    })
}

/// `xtask measure RESULT STDIN STDOUT STDERR DIR COMMAND...`; not for people.
pub fn main(args: &[String]) -> Result<ExitCode, String> {
    let [result, stdin, stdout, stderr, dir, program, rest @ ..] = args else {
        return Err("measure is run by bench".into());
    };
    measure(result, [stdin, stdout, stderr], dir, program, rest)
        .map_err(|error| format!("{program}: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn measure(result: &str, files: [&String; 3], dir: &str, program: &str, rest: &[String]) -> io::Result<()> {
    sys::become_subreaper()?;
    let mut command = Command::new(program);
    command
        .args(rest)
        .current_dir(dir)
        .stdin(Stdio::from(File::open(files[0])?))
        .stdout(Stdio::from(File::create(files[1])?))
        .stderr(Stdio::from(File::create(files[2])?));
    let stop = AtomicBool::new(false);
    let begin = Instant::now();
    let main = command.spawn()?.id();
    let mut status = 0;
    let mut wall = Duration::ZERO;
    let memory = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !stop.load(Ordering::Relaxed) {
                peak = peak.max(tree_memory(std::process::id(), 0).saturating_sub(own_memory()));
                thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        while let Some(ended) = sys::wait_any()? {
            wall = begin.elapsed();
            if ended.pid == main {
                status = if ended.status & 0x7f != 0 {
                    128 + (ended.status & 0x7f)
                } else {
                    (ended.status >> 8) & 0xff
                };
            }
        }
        stop.store(true, Ordering::Relaxed);
        sampler.join().map_err(|_| io::Error::other("sampler"))
    })?;
    let (cpu, peak_rss) = sys::children_usage()?;
    let value = json!({
        "cpu": cpu.as_secs_f64(), "wall": wall.as_secs_f64(), "memory": memory, "peak_rss": peak_rss, "status": status,
    });
    fs::write(result, value.to_string())
}

fn own_memory() -> u64 {
    process_memory(std::process::id())
}

/// Bytes of `pid` and its descendants.
fn tree_memory(pid: u32, depth: u32) -> u64 {
    let mut sum = process_memory(pid);
    if depth > 30 {
        return sum;
    }
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return sum;
    };
    for task in tasks.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|it| it.parse().ok()) {
            sum += tree_memory(child, depth + 1);
        }
    }
    sum
}

fn process_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0)
    };
    (field("RssAnon:") + field("RssShmem:")) * 1024
}
