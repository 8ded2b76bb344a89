//! The private folder of one `heapwise run`.
//!
//! In memory where the system has a shared memory file system with room, mode 0700, with a random name,
//! removed at the end. What a killed `heapwise` left behind is removed by the next.

use crate::node;
use crate::sys::{self, Shared};
use heapwise_trace::ring::{AWAKE, CONTROL_FILE, Control, MAGIC, VERSION};
use std::cell::Cell;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::*;

const PAGE: usize = 4096;
/// Room that a session may need at least.
const ROOM_BYTES: u64 = 64 << 20;
const PREFIX: &str = "heapwise-";

pub struct Session {
    folder: PathBuf,
    /// Where agents in runtimes leave large files.
    inbox: PathBuf,
    control: Shared,
    /// Processes run on that need what is in the folder when they start others.
    is_left: Cell<bool>,
}

impl Session {
    /// Makes the folder, the control page and the recorder's file.
    /// `sample`: mean bytes from one block that is told to the next, or 0.
    pub fn new(recorder: &[u8], options: u32, sample: u64) -> io::Result<Session> {
        remove_stale();
        let folder = make_folder()?;
        let path = folder.join(std::ffi::OsStr::from_bytes(CONTROL_FILE));
        let file = private_file(&path)?;
        file.set_len(PAGE as u64)?;
        let control = Shared::map(&file, PAGE)?;
        let inbox = make_inbox(&folder)?;
        let session = Session { folder, inbox, control, is_left: Cell::new(false) };
        let page = session.control();
        page.version.store(VERSION, Relaxed);
        page.listener.store(std::process::id(), Relaxed);
        page.options.store(options, Relaxed);
        page.sample.store(sample, Relaxed);
        page.magic.store(MAGIC, Release);
        private_file(&session.recorder())?.write_all(recorder)?;
        private_file(&session.folder.join(node::AGENT_FILE))?.write_all(node::AGENT)?;
        Ok(session)
    }

    pub fn control(&self) -> &Control {
        self.control.at(0)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn inbox(&self) -> &Path {
        &self.inbox
    }

    /// Leaves the folder to the next `heapwise`: processes run on, and what they start looks for the recorder and the
    /// agent, without which Node would not start.
    pub fn leave(&self) {
        self.is_left.set(true);
    }

    /// Path of the library to load.
    pub fn recorder(&self) -> PathBuf {
        self.folder.join("libheapwise_recorder.so")
    }

    /// Sleeps until something happens, at most `microseconds`. `depth`: `NAPPING` or `SLEEPING`.
    pub fn wait(&self, depth: u32, microseconds: u64) {
        let control = self.control();
        let seen = control.doorbell.load(SeqCst);
        control.sleeping.store(depth, SeqCst);
        sys::futex_wait(&control.doorbell, seen, microseconds);
        control.sleeping.store(AWAKE, SeqCst);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.control().closed.store(1, SeqCst);
        let _ = fs::remove_dir_all(&self.inbox);
        if !self.is_left.get() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn has_room(path: &Path) -> bool {
    let Ok(name) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: a terminated path, and a plain structure that outlives the call.
    unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        libc::statvfs(name.as_ptr(), &mut stat) == 0 && stat.f_bavail * stat.f_frsize >= ROOM_BYTES
    }
}

fn bases() -> [PathBuf; 2] {
    [PathBuf::from("/dev/shm"), std::env::temp_dir()]
}

fn make_folder() -> io::Result<PathBuf> {
    let mut last = io::Error::other("neither /dev/shm nor the temporary folder has 64 MiB of room");
    for base in bases() {
        if !has_room(&base) {
            continue;
        }
        // Only against collisions: the folder must not exist, and is ours alone.
        let random = sys::stamp() ^ u64::from(std::process::id()) << 32;
        let folder = base.join(format!("{PREFIX}{}-{random:016x}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A folder of its own on disk, else within `folder`.
fn make_inbox(folder: &Path) -> io::Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default();
    let disk = std::env::temp_dir().join(name).with_extension("inbox");
    let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
    if make(&disk).is_ok() {
        return Ok(disk);
    }
    let inner = folder.join("inbox");
    make(&inner).map(|()| inner)
}

/// Whether some process has a file of the folder mapped: it outlived its `heapwise`, and the programs that it starts
/// would miss the recorder.
fn is_used(folder: &Path) -> bool {
    let folder = folder.as_os_str().as_bytes();
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        let is_process = process.file_name().as_bytes().iter().all(u8::is_ascii_digit);
        let maps = is_process.then(|| fs::read(process.path().join("maps"))).and_then(Result::ok);
        maps.is_some_and(|it| it.windows(folder.len()).any(|part| part == folder))
    })
}

/// Removes folders of our own user whose `heapwise` is gone.
fn remove_stale() {
    let user = sys::user();
    for base in bases() {
        let Ok(entries) = fs::read_dir(base) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let pid = name
                .to_str()
                .and_then(|it| it.strip_prefix(PREFIX))
                .and_then(|it| it.split('-').next())
                .and_then(|it| it.parse().ok());
            let is_ours = entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == user);
            if let Some(pid) = pid
                && is_ours
                && !sys::is_running(pid)
                && !is_used(&entry.path())
            {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}
