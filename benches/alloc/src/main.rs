//! Time and memory of our allocators beside those of others.
//!
//! ```text
//!   bench [--rounds N] [--only WORKLOAD,..] [--subjects NAME,..] [RECORDING ..]
//!
//!   parent   rounds x workloads x subjects, interleaved; medians and ratios
//!   child    one subject, one workload, in a process of its own: CPU time, peak resident over peak live
//! ```
//!
//! The CPU time is the thread's, for everything that the loop does: choosing what to do, and writing to each page of each
//! block. Memory is what became resident from the first operation on; the operations are in memory before.

mod run;
mod subjects;
mod workloads;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

const USAGE: &str = "bench [--rounds N] [--only WORKLOAD,..] [--subjects NAME,..] [RECORDING ..]
workloads: larson random phase pages, and each recording that `heapwise run` made
subjects:  heapwise glibc mimalloc jemalloc (general)   free-list best-fit talc rlsf (good fit)   buddy buddy-system (pages)";

/// What is measured by default, and against which of them: general allocators, good fit, pages.
const GROUPS: [(&[&str], &[&str]); 3] = [
    (&["heapwise", "mimalloc", "jemalloc", "glibc"], &["larson", "random", "phase"]),
    (&["free-list", "talc", "rlsf"], &["larson", "random", "phase"]),
    (&["buddy", "buddy-system"], &["pages"]),
];

struct Measured {
    nanoseconds: f64,
    peak: f64,
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == "child") {
        return run::child(&arguments[1], &arguments[2]);
    }
    let mut option = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.remove(at);
        (at < arguments.len()).then(|| arguments.remove(at))
    };
    let rounds: usize = option("--rounds").and_then(|it| it.parse().ok()).unwrap_or(5);
    let only = option("--only");
    let chosen = option("--subjects");
    if arguments.iter().any(|it| it.starts_with('-')) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let listed = |list: &Option<String>, name: &str| list.as_ref().is_none_or(|it| it.split(',').any(|it| it == name));
    for (group, (subjects, own)) in GROUPS.iter().enumerate() {
        let subjects: Vec<&str> = subjects.iter().copied().filter(|it| listed(&chosen, it)).collect();
        let mut workloads: Vec<String> = own.iter().map(|it| (*it).to_string()).collect();
        if group < 2 {
            workloads.extend(arguments.iter().cloned());
        }
        workloads.retain(|it| listed(&only, it));
        if !subjects.is_empty() && !workloads.is_empty() {
            table(&subjects, &workloads, rounds);
        }
    }
    ExitCode::SUCCESS
}

/// One group's table: nanoseconds an operation as ratios to the first rival's, peak resident over peak live.
fn table(subjects: &[&str], workloads: &[String], rounds: usize) {
    let rival = subjects.get(1).copied().unwrap_or(subjects[0]);
    println!("\n| | {} |", subjects.join(" | "));
    println!("|---|{}", "---|".repeat(subjects.len()));
    let mut product = BTreeMap::new();
    for workload in workloads {
        let mut all: BTreeMap<&str, Vec<Measured>> = BTreeMap::new();
        for _ in 0..rounds {
            for &subject in subjects {
                all.entry(subject).or_default().extend(measure(subject, workload));
            }
        }
        let median = |subject: &str, of: fn(&Measured) -> f64| {
            let mut numbers: Vec<f64> = all.get(subject)?.iter().map(of).collect();
            numbers.sort_by(f64::total_cmp);
            numbers.get(numbers.len() / 2).copied()
        };
        let name = workload.rsplit('/').next().unwrap_or(workload);
        let cells: Vec<String> = subjects
            .iter()
            .map(|&subject| {
                let (Some(time), Some(peak)) = (median(subject, |it| it.nanoseconds), median(subject, |it| it.peak)) else {
                    return "failed".to_string();
                };
                // Ratios of the same round, as the machine's speed changes.
                let mut ratios: Vec<f64> = all[subject].iter().zip(&all[rival]).map(|(a, b)| a.nanoseconds / b.nanoseconds).collect();
                ratios.sort_by(f64::total_cmp);
                let ratio = ratios[ratios.len() / 2];
                *product.entry(subject).or_insert(0.0) += ratio.ln();
                format!("{time:.1} ns, {ratio:.2} ({:.2}..{:.2}), memory {peak:.3}", ratios[0], ratios[ratios.len() - 1])
            })
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    let means = subjects.iter().map(|it| {
        product.get(it).map_or("failed".to_string(), |sum| format!("{:.3}", (sum / workloads.len() as f64).exp()))
    });
    println!("| geometric mean, to {rival} | {} |", means.collect::<Vec<_>>().join(" | "));
}

fn measure(subject: &str, workload: &str) -> Option<Measured> {
    let own = std::env::current_exe().ok()?;
    let output = Command::new(own).args(["child", subject, workload]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(nanoseconds)), Some(Ok(peak))) => Some(Measured { nanoseconds, peak }),
        _ => {
            eprintln!("{subject} on {workload}: {}", String::from_utf8_lossy(&output.stderr).trim());
            None
        }
    }
}
