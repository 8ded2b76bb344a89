//! What the system says a process holds, against what was seen: some ways of closing are not.

use crate::maps;
use heapwise_heap::{Open, Resources};
use heapwise_trace::ResourceKind;
use std::collections::HashSet;

/// Those of `resources` that a process, which stands still, has no longer. `threads`: the thread pointers of all its
/// threads, where they are known.
pub fn gone(pid: u32, resources: &Resources, threads: Option<&[u64]>) -> Vec<Open> {
    let descriptors = numbers(&format!("/proc/{pid}/fd"));
    let regions = maps::read(pid).ok();
    let is_there = |open: &Open| match open.kind {
        ResourceKind::Process => is_child(open.number, pid),
        ResourceKind::Thread => threads.is_none_or(|it| it.contains(&(open.number << 3))),
        ResourceKind::Mapping => regions.as_ref().is_none_or(|it| {
            maps::find(it, open.number.saturating_mul(PAGE)).is_some_and(|region| region.is_file)
        }),
        _ => descriptors.as_ref().is_none_or(|it| it.contains(&open.number)),
    };
    resources.live().filter(|it| !is_there(it)).copied().collect()
}

const PAGE: u64 = 4096;

/// The entries of a folder that are numbers.
fn numbers(folder: &str) -> Option<HashSet<u64>> {
    let entries = std::fs::read_dir(folder).ok()?;
    Some(entries.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok()).collect())
}

/// Whether `child` is there, running or not waited for, and a child of `pid`.
fn is_child(child: u64, pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{child}/stat")) else { return false };
    // Behind the name, which may hold anything: state, parent.
    let parent = stat.rsplit_once(')').and_then(|it| it.1.split_whitespace().nth(1));
    parent.and_then(|it| it.parse().ok()) == Some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_trace::{Event, Nanos, StackId};
    use std::os::fd::AsRawFd;

    #[test]
    fn only_what_is_there_is_held() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let mut resources = Resources::default();
        let (at, thread, stack) = (Nanos(0), 0, StackId(1));
        let mut open = |kind, number| resources.apply(&Event::Open { at, thread, kind, number, stack });
        open(ResourceKind::File, file.as_raw_fd() as u64);
        open(ResourceKind::Socket, 1 << 20);
        open(ResourceKind::Process, u64::from(child.id()));
        open(ResourceKind::Process, 1);
        open(ResourceKind::Thread, 8);
        open(ResourceKind::Thread, 16);
        open(ResourceKind::Mapping, 1);
        let gone = gone(std::process::id(), &resources, Some(&[64]));
        let gone: Vec<(ResourceKind, u64)> = gone.iter().map(|it| (it.kind, it.number)).collect();
        use ResourceKind::*;
        assert_eq!(gone, [(Socket, 1 << 20), (Process, 1), (Thread, 16), (Mapping, 1)]);
        child.wait().unwrap();
    }
}
