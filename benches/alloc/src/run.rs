//! One subject through one workload, in this process.

use crate::subjects::{
    BuddySystem, Glibc, Heapwise, Jemalloc, Mimalloc, OurBestFit, OurBuddy, OurFreeList, Rlsf, Subject, Talc,
};
use crate::workloads::{FREE, RESIZE, Workload, workload};
use std::fs;
use std::process::ExitCode;

pub fn child(subject: &str, name: &str) -> ExitCode {
    let workload = match workload(name) {
        Ok(it) if it.operations.is_empty() => return failed("nothing was allocated"),
        Ok(it) => it,
        Err(error) => return failed(&error),
    };
    match subject {
        "glibc" => run::<Glibc>(&workload),
        "mimalloc" => run::<Mimalloc>(&workload),
        "jemalloc" => run::<Jemalloc>(&workload),
        "heapwise" => run::<Heapwise>(&workload),
        "free-list" => run::<OurFreeList>(&workload),
        "best-fit" => run::<OurBestFit>(&workload),
        "buddy" => run::<OurBuddy>(&workload),
        "talc" => run::<Talc>(&workload),
        "rlsf" => run::<Rlsf>(&workload),
        "buddy-system" => run::<BuddySystem>(&workload),
        _ => failed("no such subject"),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

#[derive(Clone, Copy)]
struct Place {
    block: *mut u8,
    size: usize,
}

fn run<S: Subject>(workload: &Workload) -> ExitCode {
    let empty = Place { block: std::ptr::null_mut(), size: 0 };
    let mut places = vec![empty; workload.places];
    // Every page of the table is written to before memory is looked at.
    places.iter_mut().for_each(|it| it.size = 1);
    std::hint::black_box(&mut places);
    // Resets the peak.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = status("VmRSS:");
    let mut subject = S::new();
    let begin = cpu();
    for operation in &workload.operations {
        let place = &mut places[operation.place as usize];
        match operation.what {
            FREE => subject.free(place.block, place.size),
            it if it & RESIZE != 0 => {
                let size = (it & !RESIZE) as usize;
                place.block = subject.reallocate(place.block, place.size, size);
                touch(place.block, place.size, size);
                place.size = size;
            }
            size => {
                let size = size as usize;
                *place = Place { block: subject.allocate(size), size };
                touch(place.block, 0, size);
            }
        }
    }
    let spent = cpu() - begin;
    let peak = status("VmHWM:").saturating_sub(before);
    println!("{} {}", spent / workload.operations.len() as f64, peak as f64 / workload.peak as f64);
    // What is left is the process's end.
    ExitCode::SUCCESS
}

/// Writes to each page of a block from `from` on.
#[inline(always)]
fn touch(block: *mut u8, from: usize, size: usize) {
    let mut at = from;
    while at < size {
        // SAFETY: the block has `size` bytes; null would end the process here, as running out of memory should.
        unsafe { block.add(at).write_volatile(1) };
        at += 4096;
    }
}

/// Nanoseconds of this thread.
fn cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Bytes that the kernel says of this process.
fn status(field: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|it| it.parse::<usize>().ok()).unwrap_or(0) * 1024
}
