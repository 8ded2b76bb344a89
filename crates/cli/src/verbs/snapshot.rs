//! `heapwise snapshot PID`.

use crate::Failure;
use crate::args::{Common, Report, Snapshot};
use heapwise_run::SnapshotError;
use std::path::PathBuf;

pub fn run(args: &Snapshot, common: &Common) -> Result<u8, Failure> {
    let place = super::run::place(args.snapshot.as_deref());
    let path = heapwise_run::snapshot(args.pid, &place).map_err(|error| {
        let advice = match &error {
            SnapshotError::Gone { .. } => "is the number right? ps and pgrep list processes",
            SnapshotError::Foreign { .. } => "run heapwise snapshot as that user",
            SnapshotError::Unobserved { .. } => "start it under heapwise: heapwise run -- CMD",
            SnapshotError::Deserted { .. } => "start it again: heapwise run -- CMD",
            SnapshotError::OtherVersion { .. } => "use the heapwise that runs it",
            SnapshotError::Refused { .. } => "another place with -o FILE; is the process still there?",
            SnapshotError::Io { .. } => "is there room in /dev/shm?",
        };
        Failure::new(error, advice)
    })?;
    let here = std::env::current_dir().unwrap_or_default();
    let recording = path.strip_prefix(&here).map(PathBuf::from).unwrap_or(path);
    super::report::run(&Report { recording, by: None, limit: 0 }, common)
}
