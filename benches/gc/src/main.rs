//! `Cc<T>` and the managed heap beside `Rc` and other crates: CPU time for a node, peak memory, longest step.
//!
//! Two workloads of about two million nodes each:
//!
//! - *trees*: binary trees of depth 4 to 14 made and walked beside one of depth 16 that lives on;
//! - *cycles*: clusters of five nodes, linked in a ring both ways, in a window of 20,000 clusters that live.
//!
//! Each run is a process of its own; rounds are interleaved; what is printed are medians and ratios to `Rc`.

mod contestants;
mod script;
mod slices;

use std::process::Command;
use std::time::Instant;

use contestants::{CONTESTANTS, Contestant};

const WORKLOADS: [&str; 2] = ["trees", "cycles"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["slices", name] => {
            let (_, slices, milliseconds, nodes) = match name {
                "Cc" => slices::counted(),
                "heap-mark-sweep" => slices::mark_sweep(),
                _ => slices::regions(),
            };
            println!("{slices} {milliseconds} {nodes} 0");
        }
        ["run", name, workload, timed] => run(name, workload, timed == "steps"),
        [] => compare(7, ""),
        ["rounds", rounds] => compare(rounds.parse().expect("a number of rounds"), ""),
        ["rounds", rounds, only] => compare(rounds.parse().expect("a number of rounds"), only),
        _ => eprintln!("bench-gc [rounds N [NAME,...]]"),
    }
}

/// Takes the time of single steps, if it is asked to.
pub struct Meter {
    timed: bool,
    longest_nanos: u64,
}

impl Meter {
    #[inline]
    pub fn step<T>(&mut self, step: impl FnOnce() -> T) -> T {
        if !self.timed {
            return step();
        }
        let start = cpu_nanos();
        let done = step();
        self.longest_nanos = self.longest_nanos.max(cpu_nanos() - start);
        done
    }
}

fn contestant(name: &str) -> &'static Contestant {
    CONTESTANTS.iter().find(|it| it.name == name).expect("a contestant's name")
}

/// One run, whose figures go to standard output.
fn run(name: &str, workload: &str, timed: bool) {
    let mut meter = Meter { timed, longest_nanos: 0 };
    let (run, contestant) = (workload == "trees", contestant(name));
    let before = resident("VmHWM");
    let start = cpu_nanos();
    let nodes = match run {
        true => (contestant.trees)(&mut meter),
        false => (contestant.cycles)(&mut meter),
    };
    let nanos = cpu_nanos() - start;
    println!("{nodes} {nanos} {} {}", resident("VmHWM") - before, meter.longest_nanos);
}

/// Nodes, nanoseconds, peak KiB, longest step in nanoseconds.
type Figures = [f64; 4];

fn child(name: &str, workload: &str, timed: bool) -> Option<Figures> {
    if name == "node" {
        return script::run(workload, timed);
    }
    let own = std::env::current_exe().expect("the path of this program");
    let out = Command::new(own).args(["run", name, workload, if timed { "steps" } else { "whole" }]).output().ok()?;
    parse(&String::from_utf8_lossy(&out.stdout))
}

fn parse(text: &str) -> Option<Figures> {
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    numbers.try_into().ok()
}

fn compare(rounds: usize, only: &str) {
    let start = Instant::now();
    let chosen = |name: &&str| only.is_empty() || only.split(',').any(|it| it == *name);
    let names: Vec<&str> = CONTESTANTS.iter().map(|it| it.name).chain(["node"]).filter(chosen).collect();
    for workload in WORKLOADS {
        let mut figures: Vec<Vec<Figures>> = vec![Vec::new(); names.len()];
        let mut steps: Vec<Vec<Figures>> = vec![Vec::new(); names.len()];
        for round in 0..rounds {
            for (at, name) in names.iter().enumerate() {
                figures[at].extend(child(name, workload, false));
                if round < 3 {
                    steps[at].extend(child(name, workload, true));
                }
            }
        }
        println!("\n{workload}\n\n| | ns/node | spread | to Rc | peak MiB | to Rc | longest step ms |\n|---|---|---|---|---|---|---|");
        let per_node = |it: &Figures| it[1] / it[0];
        let base: Vec<f64> = figures[0].iter().map(per_node).collect();
        let base_peak = median(figures[0].iter().map(|it| it[2]).collect());
        for (at, name) in names.iter().enumerate() {
            if figures[at].is_empty() {
                println!("| {name} | - | | | | | |");
                continue;
            }
            let times: Vec<f64> = figures[at].iter().map(per_node).collect();
            // Each round's ratio: what the machine did in that round hits both.
            let ratios = times.iter().zip(&base).map(|(a, b)| a / b).collect();
            let (low, high) = times.iter().fold((f64::MAX, 0.0f64), |it, &t| (it.0.min(t), it.1.max(t)));
            let peak = median(figures[at].iter().map(|it| it[2]).collect());
            println!(
                "| {name} | {:.1} | {low:.1}-{high:.1} | {:.2} | {:.1} | {:.2} | {:.3} |",
                median(times),
                median(ratios),
                peak / 1024.0,
                peak / base_peak,
                median(steps[at].iter().map(|it| it[3]).collect()) / 1e6
            );
        }
    }
    println!("\nslices beside a million live nodes\n\n| | slices | longest ms | longest in nodes |\n|---|---|---|---|");
    for name in ["Cc", "heap-mark-sweep", "heap-regions"].into_iter().filter(chosen) {
        let own = std::env::current_exe().expect("the path of this program");
        // What the machine does in between makes a slice longer, never shorter.
        let runs = (0..3).filter_map(|_| Command::new(&own).args(["slices", name]).output().ok());
        let figures = runs.filter_map(|it| parse(&String::from_utf8_lossy(&it.stdout)));
        if let Some([slices, milliseconds, nodes, _]) = figures.min_by(|a, b| a[1].total_cmp(&b[1])) {
            println!("| {name} | {slices} | {milliseconds:.3} | {nodes} |");
        }
    }
    println!("\n{rounds} rounds in {:.0} s", start.elapsed().as_secs_f64());
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A field of this process's status, in KiB.
fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix(field));
    line.and_then(|it| it.trim_start_matches(':').split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn cpu_nanos() -> u64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanos: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    let mut time = Timespec { seconds: 0, nanos: 0 };
    // SAFETY: on 64-bit Linux a timespec is two 64-bit integers; 3 is the thread's CPU time.
    unsafe { clock_gettime(3, &raw mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanos as u64
}
