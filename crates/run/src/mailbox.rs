//! How `heapwise snapshot` asks the `heapwise run` that observes a process: files in the session's folder, which
//! only this user can enter.
//!
//! ```text
//!   heapwise snapshot                              heapwise run
//!   NUMBER.request  pid, where to write it  ---->  read and removed when `Control::requests` has changed
//!   NUMBER.answer                           <----  the path of what was written, or what prevented it
//! ```
//!
//! Files appear by renaming, so that each is whole. The folder is found in the maps of the process: its recorder
//! has the session's control page mapped, whatever became of its environment, and so has `heapwise run` itself.

use crate::session::Session;
use crate::sys::{self, Shared};
use crate::{Destination, maps};
use heapwise_trace::ring::{CONTROL_FILE, Control, MAGIC, VERSION};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::*;
use std::time::Duration;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("there is no process {pid}")]
    Gone { pid: u32 },
    #[error("process {pid} belongs to another user, or lets nobody look into it")]
    Foreign { pid: u32 },
    #[error("process {pid} is not observed by Heapwise")]
    Unobserved { pid: u32 },
    #[error("the heapwise that observed process {pid} is gone")]
    Deserted { pid: u32 },
    #[error("process {pid} is observed by another version of Heapwise")]
    OtherVersion { pid: u32 },
    /// Said by the observer.
    #[error("no snapshot of process {pid}: {reason}")]
    Refused { pid: u32, reason: String },
    #[error("the heapwise that observes process {pid} cannot be reached: {source}")]
    Io { pid: u32, source: io::Error },
}

/// What the observer is asked for.
pub struct Request {
    pub pid: u32,
    /// Never `Nowhere`, and absolute.
    pub destination: Destination,
    answer: PathBuf,
}

const REQUEST: &str = "request";
const ANSWER: &str = "answer";
/// A pid, and a path.
const MESSAGE_MAX: u64 = 16 << 10;
const PAGE: usize = 4096;
const POLL: Duration = Duration::from_millis(5);

/// Has a snapshot taken of the heap of `pid`, which goes on; the path of the recording that holds it.
///
/// `pid` may be that of the `heapwise run` too, and means its command then. A relative `destination` is taken from
/// this process's working directory; `Nowhere` is the working directory.
pub fn snapshot(pid: u32, destination: &Destination) -> Result<PathBuf, SnapshotError> {
    let failed = |source| SnapshotError::Io { pid, source };
    let folder = folder_of(pid)?;
    let path = folder.join(OsStr::from_bytes(CONTROL_FILE));
    let metadata = fs::symlink_metadata(&folder).map_err(|_| SnapshotError::Deserted { pid })?;
    if metadata.uid() != sys::user() || !metadata.is_dir() {
        return Err(SnapshotError::Foreign { pid });
    }
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path);
    let shared = file.and_then(|it| Shared::map(&it, PAGE)).map_err(failed)?;
    let control: &Control = shared.at(0);
    if control.magic.load(Acquire) != MAGIC || control.version.load(Relaxed) != VERSION {
        return Err(SnapshotError::OtherVersion { pid });
    }
    let is_there = || control.closed.load(Relaxed) == 0 && sys::is_running(control.listener.load(Relaxed));
    if !is_there() {
        return Err(SnapshotError::Deserted { pid });
    }
    let stem = folder.join(format!("{}-{:x}", std::process::id(), sys::stamp()));
    let answer = stem.with_extension(ANSWER);
    put(&stem.with_extension(REQUEST), &request(pid, destination).map_err(failed)?).map_err(failed)?;
    control.requests.fetch_add(1, SeqCst);
    control.doorbell.fetch_add(1, SeqCst);
    sys::futex_wake(&control.doorbell);
    loop {
        match fs::read(&answer) {
            Ok(bytes) => {
                let _ = fs::remove_file(&answer);
                return read_answer(pid, &bytes);
            }
            Err(_) if !is_there() => return Err(SnapshotError::Deserted { pid }),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// The session's folder, by what the process has mapped.
fn folder_of(pid: u32) -> Result<PathBuf, SnapshotError> {
    let metadata = fs::metadata(format!("/proc/{pid}")).map_err(|_| SnapshotError::Gone { pid })?;
    if metadata.uid() != sys::user() && sys::user() != 0 {
        return Err(SnapshotError::Foreign { pid });
    }
    let regions = maps::read(pid).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => SnapshotError::Foreign { pid },
        io::ErrorKind::NotFound => SnapshotError::Gone { pid },
        _ => SnapshotError::Io { pid, source: error },
    })?;
    if !sys::is_running(pid) {
        return Err(SnapshotError::Gone { pid });
    }
    let control = regions.iter().map(|it| it.path.as_str()).find(|path| {
        let path = Path::new(path.trim_end_matches(" (deleted)"));
        maps::is_own_file(&path.to_string_lossy())
            && path.file_name().is_some_and(|it| it.as_bytes() == CONTROL_FILE)
    });
    match control {
        None => Err(SnapshotError::Unobserved { pid }),
        Some(path) if path.ends_with(" (deleted)") => Err(SnapshotError::Deserted { pid }),
        Some(path) => Ok(Path::new(path).parent().unwrap_or(Path::new("/")).to_owned()),
    }
}

/// `PID KIND PATH`.
fn request(pid: u32, destination: &Destination) -> io::Result<Vec<u8>> {
    let (kind, path) = match destination {
        Destination::File(path) => ('f', path.as_path()),
        Destination::Folder(path) => ('d', path.as_path()),
        Destination::Nowhere => ('d', Path::new(".")),
    };
    let mut message = format!("{pid} {kind} ").into_bytes();
    message.extend_from_slice(std::path::absolute(path)?.as_os_str().as_bytes());
    Ok(message)
}

fn read_request(message: &[u8], answer: PathBuf) -> Option<Request> {
    let mut fields = message.splitn(3, |&it| it == b' ');
    let pid = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let kind = fields.next()?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(fields.next()?.to_vec()));
    if !path.is_absolute() {
        return None;
    }
    let destination = match kind {
        b"f" => Destination::File(path),
        b"d" => Destination::Folder(path),
        _ => return None,
    };
    Some(Request { pid, destination, answer })
}

fn read_answer(pid: u32, message: &[u8]) -> Result<PathBuf, SnapshotError> {
    match message.split_first() {
        Some((b'+', path)) => Ok(PathBuf::from(OsStr::from_bytes(path))),
        Some((b'-', reason)) => {
            Err(SnapshotError::Refused { pid, reason: String::from_utf8_lossy(reason).into_owned() })
        }
        _ => Err(SnapshotError::Io { pid, source: io::ErrorKind::InvalidData.into() }),
    }
}

/// A private file that is there as a whole or not at all.
fn put(path: &Path, message: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(&part)?.write_all(message)?;
    fs::rename(part, path)
}

/// All requests that wait.
pub fn requests(session: &Session) -> Vec<Request> {
    let Ok(entries) = fs::read_dir(session.folder()) else { return Vec::new() };
    let paths = entries.flatten().map(|it| it.path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == REQUEST))
        .filter_map(|path| {
            let mut message = Vec::new();
            let read = File::open(&path).and_then(|it| it.take(MESSAGE_MAX).read_to_end(&mut message));
            let _ = fs::remove_file(&path);
            read.ok()?;
            read_request(&message, path.with_extension(ANSWER))
        })
        .collect()
}

impl Request {
    /// Who has asked may be gone by now: nobody hears of a failure here.
    pub fn answer(&self, result: Result<&Path, String>) {
        let message = match &result {
            Ok(path) => [b"+", path.as_os_str().as_bytes()].concat(),
            Err(reason) => [b"-", reason.as_bytes()].concat(),
        };
        let _ = put(&self.answer, &message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_way() {
        for destination in [Destination::File("/a b/\n c".into()), Destination::Folder("/".into())] {
            let message = request(17, &destination).unwrap();
            let request = read_request(&message, PathBuf::new()).unwrap();
            assert_eq!((request.pid, request.destination), (17, destination));
        }
        for bad in ["", "1", "1 f", "1 f ", "1 x /a", "x f /a", "1 f a"] {
            assert!(read_request(bad.as_bytes(), PathBuf::new()).is_none(), "{bad}");
        }
    }
}
