//! Follows a command and all processes it starts, from the first event to the last.

use crate::attachment::Incoming;
use crate::image::{Clock, Image};
use crate::launch::{self, Inherited, LaunchError};
use crate::mailbox::{self, Request};
use crate::node::{self, Inbox};
use crate::observation::Observation;
use crate::ring::Ring;
use crate::session::Session;
use crate::sys;
use heapwise_heap::Sampling;
use heapwise_model::Termination;
use heapwise_trace::ring::{NAPPING, OPTION_EACH_OBJECT, OPTION_NO_FREE_STACKS, SLEEPING};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::*};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Where recordings go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `CMD.PID.heapwise` in this folder.
    Folder(PathBuf),
    /// The command itself into this file, processes it starts beside it.
    File(PathBuf),
    Nowhere,
}

/// When heap snapshots of a language's runtime are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// At the beginning, while the heap grows and at the end, as long as it costs little.
    Auto,
    Never,
    /// At the end, and when `heapwise snapshot` asks.
    Exit,
    /// When the heap has grown by half, and at the end.
    Peak,
    /// When the process is sent `SIGUSR2`, and when `heapwise snapshot` asks.
    Signal,
    Every(Duration),
}

/// As the agents in runtimes read it.
impl std::fmt::Display for Snapshots {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Snapshots::Auto => out.write_str("auto"),
            Snapshots::Never => out.write_str("never"),
            Snapshots::Exit => out.write_str("exit"),
            Snapshots::Peak => out.write_str("peak"),
            Snapshots::Signal => out.write_str("signal"),
            Snapshots::Every(interval) => write!(out, "every={}", interval.as_millis()),
        }
    }
}

/// How to observe.
#[derive(Clone, Debug)]
pub struct Options {
    pub destination: Destination,
    /// Whether frees are recorded with their call stack.
    pub has_free_stacks: bool,
    /// Which blocks are told.
    pub sampling: Sampling,
    /// Whether each block of a runtime's own allocator is recorded.
    pub has_each_object: bool,
    /// How long processes may go on after the command itself has ended; `None`: until they end.
    pub linger: Option<Duration>,
    pub snapshots: Snapshots,
}

/// Why nothing could be observed. The command has not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("no shared memory for the recorder: {0}")]
    Session(std::io::Error),
    #[error("cannot write recordings to {path}: {source}", path = path.display())]
    Output { path: PathBuf, source: std::io::Error },
}

/// What was seen of one process image.
pub struct Process {
    pub observation: Observation,
    pub recording: Option<PathBuf>,
}

/// The end of a run.
pub struct Observed {
    /// How the command itself ended.
    pub termination: Termination,
    pub pid: u32,
    /// By start. The command's own is the last one with its pid. Empty when nothing was heard of any.
    pub processes: Vec<Process>,
    pub notes: Vec<String>,
}

/// Last signal that `heapwise` was sent for the program.
static FORWARD: AtomicI32 = AtomicI32::new(0);

extern "C" fn remember(signal: i32) {
    FORWARD.store(signal, Relaxed);
}

/// A child of ours has ended, or something else happened to it.
static CHILD: AtomicBool = AtomicBool::new(false);

extern "C" fn child(_: i32) {
    CHILD.store(true, Relaxed);
}

extern "C" fn ignore(_: i32) {}

/// Lets terminal signals reach the program only, and forwards the others. Handlers are not inherited by the
/// program; what was ignored before them is ([`launch::Inherited`]).
fn take_signals() {
    let set = |signal, handler: extern "C" fn(i32)| {
        // SAFETY: the handlers only store an integer; the structure outlives the call.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = if signal == libc::SIGCHLD { 0 } else { libc::SA_RESTART };
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    };
    set(libc::SIGINT, ignore);
    set(libc::SIGQUIT, ignore);
    set(libc::SIGTERM, remember);
    set(libc::SIGHUP, remember);
    // A limit on file sizes is an error of the write, not the end of `heapwise`.
    set(libc::SIGXFSZ, ignore);
    // Interrupts the wait for the doorbell: the end of the command rings no other bell.
    set(libc::SIGCHLD, child);
}

/// Runs `command` to its end.
pub fn observe(command: &[OsString], recorder: &[u8], options: &Options) -> Result<Observed, RunError> {
    let name = command.first().map(OsString::as_os_str).unwrap_or(OsStr::new(""));
    let path = launch::check_command(name)?;
    check_destination(&options.destination)?;
    let flags = if options.has_free_stacks { 0 } else { OPTION_NO_FREE_STACKS }
        | if options.has_each_object { OPTION_EACH_OBJECT } else { 0 };
    let inherited = Inherited::now();
    take_signals();
    let session = Session::new(recorder, flags, options.sampling.mean).map_err(RunError::Session)?;
    let clock = Clock::start();
    let child = launch::start(&path, command, &session, inherited, options.snapshots)?;
    let mut follower = Follower {
        session: &session,
        clock,
        options,
        pid: child.id(),
        images: Vec::new(),
        rings: HashSet::new(),
        notes: Vec::new(),
        requests: 0,
        snapshots: Vec::new(),
        inbox: Inbox::new(&session),
        asked: Vec::new(),
    };
    let termination = follower.follow(child);
    Ok(follower.finish(termination))
}

struct Follower<'a> {
    session: &'a Session,
    clock: Clock,
    options: &'a Options,
    pid: u32,
    images: Vec<Image>,
    rings: HashSet<OsString>,
    notes: Vec<String>,
    /// `Control::requests` at the last look.
    requests: u32,
    /// Snapshots that are being written.
    snapshots: Vec<JoinHandle<()>>,
    /// Where agents in runtimes leave files.
    inbox: Inbox,
    /// Requests that wait for an agent's heap snapshot.
    asked: Vec<Asked>,
}

/// A request whose process has an agent that was asked, too.
struct Asked {
    request: Request,
    pid: u32,
    since: Instant,
    /// The agent's snapshot has come, or why there is none.
    is_answered: bool,
}

/// Between looks while chunks fill, in microseconds: as long as some [`CHUNKS`] take to fill. A program that is
/// faster than that for a moment wakes us before it has to wait.
const NAPS: RangeInclusive<u64> = 1000..=8000;
/// Full chunks found at a look: few looks, and few enough that what is written to them stays in a core's cache.
const CHUNKS: usize = 4;
/// More than this, and the program is the faster one: what it has filled meanwhile comes next, without a nap.
const BACKLOG: usize = 4 * CHUNKS;
/// Looks without a full chunk before the long sleep.
const IDLE_LOOKS: u32 = 4;
/// Longest sleep; data of a slow program is in its file after that and `FLUSH_INTERVAL`.
const SLEEP: u64 = 10_000;
/// Between looks at which processes still exist.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// How long a forked child may take until it is heard of, when nothing else runs.
const BIRTH_MAX: Duration = Duration::from_millis(100);

impl Follower<'_> {
    fn follow(&mut self, mut child: Child) -> Termination {
        let mut termination = None;
        let mut ended_at = Instant::now();
        let mut over_since = None;
        let mut idle_looks = 0;
        let mut nap = *NAPS.start();
        let mut last_check = Instant::now();
        loop {
            let control = self.session.control();
            control.heartbeat.fetch_add(1, Relaxed);
            self.discover();
            let (mut full, mut is_busy) = (0, false);
            for image in self.images.iter_mut().filter(|it| !it.is_over) {
                full += image.drain(&self.clock, false);
                image.dump_if_due(&self.clock);
                if image.wants_scan() {
                    image.scan(&self.clock);
                    is_busy = true;
                }
            }
            is_busy |= full > 0;
            is_busy |= self.attach(false);
            self.answer_requests();
            self.answer_asked();
            let signal = FORWARD.swap(0, Relaxed);
            if signal != 0 && termination.is_none() {
                // SAFETY: the child has not been waited for, so the id is still its own.
                unsafe { libc::kill(self.pid as i32, signal) };
            }
            if CHILD.swap(false, Relaxed) || last_check.elapsed() >= CHECK_INTERVAL {
                last_check = Instant::now();
                sys::let_go_of_traced();
                // `wait` would tell of a thread that stopped late for a scan, too.
                if termination.is_none()
                    && !sys::is_running(self.pid)
                    && let Ok(Some(status)) = child.try_wait()
                {
                    let (code, signal) =
                        (status.code().map(|it| it as u8), status.signal().map(|it| it as u8));
                    termination = Some(Termination { code, signal });
                    ended_at = Instant::now();
                    self.discover();
                }
                self.end_dead(termination);
            }
            if let Some(it) = termination {
                let is_over = self.are_all_over(&mut over_since);
                if is_over || self.has_lingered(ended_at, signal != 0) {
                    return it;
                }
            }
            idle_looks = if is_busy { 0 } else { idle_looks + 1 };
            nap = match full {
                0..CHUNKS => nap * 2,
                CHUNKS => nap,
                _ => nap * CHUNKS as u64 / full as u64,
            }
            .clamp(*NAPS.start(), *NAPS.end());
            if full > BACKLOG {
                continue;
            }
            let (depth, time) = if idle_looks < IDLE_LOOKS { (NAPPING, nap) } else { (SLEEPING, SLEEP) };
            self.session.wait(depth, time);
        }
    }

    /// Whether nothing runs any more. A parent may end before its child could say that it is there, as those of
    /// daemons do; `since` is when nothing ran for the first time.
    fn are_all_over(&self, since: &mut Option<Instant>) -> bool {
        if self.images.iter().any(|image| !image.is_over) {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() > BIRTH_MAX
            || !self.images.iter().any(Image::awaits_child)
    }

    /// Takes the snapshots that others have asked for.
    fn answer_requests(&mut self) {
        let requests = self.session.control().requests.load(Acquire);
        if requests == self.requests {
            return;
        }
        self.requests = requests;
        self.snapshots.retain(|it| !it.is_finished());
        for request in mailbox::requests(self.session) {
            // Who knows only us means the command.
            let pid = if request.pid == std::process::id() { self.pid } else { request.pid };
            match self.images.iter_mut().rfind(|it| it.pid == pid && !it.is_over) {
                None => request.answer(Err("it has ended, or nothing was recorded of it yet".to_owned())),
                Some(_) if self.inbox.ask(pid) => {
                    self.asked.push(Asked { request, pid, since: Instant::now(), is_answered: false });
                }
                Some(image) => self.snapshots.extend(take_snapshot(image, &self.clock, request)),
            }
        }
    }

    /// Takes the snapshots for which an agent's had to come first.
    fn answer_asked(&mut self) {
        for mut asked in std::mem::take(&mut self.asked) {
            let Some(image) = self.images.iter_mut().rfind(|it| it.pid == asked.pid && !it.is_over) else {
                asked.request.answer(Err("it has ended".to_owned()));
                continue;
            };
            asked.is_answered |= self.inbox.is_unheard(asked.pid, asked.since);
            if asked.is_answered && !image.is_attaching() {
                self.snapshots.extend(take_snapshot(image, &self.clock, asked.request));
            } else {
                self.asked.push(asked);
            }
        }
    }

    /// Takes in what agents have left; whether there is more to write.
    fn attach(&mut self, is_last: bool) -> bool {
        for delivery in self.inbox.take(is_last) {
            let Ok(file) = node::open(&delivery.path) else { continue };
            for asked in self.asked.iter_mut().filter(|it| it.pid == delivery.pid && delivery.is_answer()) {
                asked.is_answered = true;
            }
            if let Some(image) = self.images.iter_mut().rfind(|it| it.pid == delivery.pid && !it.is_over) {
                image.attach(Incoming::new(delivery.kind, delivery.name, file));
            }
        }
        self.images.iter_mut().filter(|it| !it.is_over).fold(false, |more, it| it.attach_some() | more)
    }

    /// Whether to stop waiting for what the command left running.
    fn has_lingered(&mut self, ended_at: Instant, is_told: bool) -> bool {
        let is_patient = self.options.linger.is_none_or(|limit| ended_at.elapsed() < limit);
        if is_patient && !is_told {
            return false;
        }
        let running: Vec<String> =
            self.images.iter().filter(|it| !it.is_over).map(|it| it.pid.to_string()).collect();
        if running.is_empty() {
            return is_told;
        }
        self.notes.push(format!(
            "the command ended, but processes it started run on unobserved (pid {}); --wait follows them to their end",
            running.join(", ")
        ));
        self.session.leave();
        true
    }

    /// Opens rings that are new.
    fn discover(&mut self) {
        let count = self.session.control().rings.load(Acquire);
        if count as usize <= self.rings.len() {
            return;
        }
        let Ok(entries) = std::fs::read_dir(self.session.folder()) else { return };
        let mut found: Vec<_> = entries
            .flatten()
            .map(|it| it.file_name())
            .filter(|it| it.to_str().is_some_and(|it| it.starts_with("ring-") && it.ends_with(".0")))
            .filter(|it| !self.rings.contains(it))
            .collect();
        // Names end with the stamp of their making.
        found.sort_by_key(|it| {
            it.to_str().and_then(|it| it.split('-').nth(2)?.strip_suffix(".0")?.parse::<u64>().ok())
        });
        for name in found {
            let Ok(ring) = Ring::open(&self.session.folder().join(&name)) else { continue };
            self.rings.insert(name);
            self.add(ring);
        }
    }

    fn add(&mut self, ring: Ring) {
        let header = ring.header();
        let (pid, parent, fork) =
            (header.pid.load(Relaxed), header.parent_pid.load(Relaxed), header.fork.load(Relaxed));
        // The image that this one replaces (exec) has said all it will ever say.
        for image in self.images.iter_mut().filter(|it| it.pid == pid && !it.is_over) {
            image.end(&self.clock, None);
        }
        let mut snapshot = None;
        if fork != 0
            && let Some(image) = self.images.iter_mut().rfind(|it| it.pid == parent)
        {
            image.drain(&self.clock, !image.is_over);
            snapshot = image.take_fork(fork);
        }
        let mut image = Image::new(ring, snapshot, self.options.sampling, &self.clock);
        self.open_recording(&mut image);
        self.images.push(image);
    }

    fn open_recording(&mut self, image: &mut Image) {
        let is_command = image.pid == self.pid && image.fork == 0;
        let opened = match &self.options.destination {
            Destination::Nowhere => return,
            Destination::File(path)
                if is_command && !self.images.iter().any(|it| it.recording() == Some(path)) =>
            {
                replace_recording(path).map(|file| (file, path.clone()))
            }
            Destination::File(path) => create_recording(path.parent().unwrap_or(Path::new("")), image, ""),
            Destination::Folder(folder) => create_recording(folder, image, ""),
        };
        let result = opened.and_then(|(file, path)| image.record_into(file, path));
        if let Err(error) = result {
            self.notes.push(format!("process {} is not recorded: {error}", image.pid));
        }
    }

    /// Closes the images of processes that are gone.
    fn end_dead(&mut self, termination: Option<Termination>) {
        // What they left comes before their end.
        let is_end = |it: &Image| {
            !it.is_over && (!sys::is_running(it.pid) || it.pid == self.pid && termination.is_some())
        };
        if self.images.iter().any(is_end) {
            self.attach(true);
        }
        for i in 0..self.images.len() {
            let image = &self.images[i];
            if image.is_over {
                continue;
            }
            let end = if image.pid == self.pid {
                termination
            } else {
                (!sys::is_running(image.pid)).then(|| image.likely_end())
            };
            if let Some(end) = end {
                self.images[i].end(&self.clock, Some(end));
            }
        }
    }

    fn finish(mut self, termination: Termination) -> Observed {
        self.attach(true);
        for image in self.images.iter_mut().filter(|it| !it.is_over) {
            image.end(&self.clock, None);
        }
        for snapshot in self.snapshots.drain(..) {
            let _ = snapshot.join();
        }
        let failed = self.session.control().failed.load(Relaxed);
        if failed > 0 {
            self.notes.push(format!(
                "{failed} processes could not be recorded: no room in shared memory, a limit on file sizes (ulimit -f) or on \
                 open files"
            ));
        }
        let processes = self
            .images
            .into_iter()
            .map(|image| {
                let (observation, recording) = image.into_observation();
                Process { observation, recording }
            })
            .collect();
        Observed { termination, pid: self.pid, processes, notes: self.notes }
    }
}

/// Fails early where nothing could be written later.
fn check_destination(destination: &Destination) -> Result<(), RunError> {
    let folder = match destination {
        Destination::Nowhere => return Ok(()),
        Destination::Folder(folder) => folder.as_path(),
        Destination::File(path) => {
            refuse_foreign(path).map_err(|source| RunError::Output { path: path.clone(), source })?;
            path.parent().unwrap_or(Path::new(""))
        }
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let failed = |source| RunError::Output { path: folder.to_owned(), source };
    if matches!(destination, Destination::Folder(_)) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    if !folder.metadata().map_err(failed)?.is_dir() {
        return Err(failed(std::io::ErrorKind::NotADirectory.into()));
    }
    // The only sure test: permission bits do not tell of read-only file systems.
    let probe = folder.join(format!(".heapwise-{}-{:x}", std::process::id(), sys::stamp()));
    create_new(&probe).map_err(failed)?;
    let _ = std::fs::remove_file(probe);
    Ok(())
}

fn create_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// An existing file is replaced only if it is a recording.
fn refuse_foreign(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) => {
            let mut magic = [0u8; 8];
            let is_recording = metadata.is_file()
                && (metadata.len() == 0
                    || File::open(path).and_then(|mut it| it.read_exact(&mut magic)).is_ok()
                        && &magic == b"HEAPWISE");
            if is_recording {
                Ok(())
            } else {
                Err(std::io::Error::other("it exists and is not a recording; it is left alone"))
            }
        }
    }
}

fn replace_recording(path: &Path) -> std::io::Result<File> {
    refuse_foreign(path)?;
    let _ = std::fs::remove_file(path);
    create_new(path)
}

/// Stops the process for a moment; its snapshot is written, and answered, while it goes on.
fn take_snapshot(image: &mut Image, clock: &Clock, request: Request) -> Option<JoinHandle<()>> {
    let opened = match &request.destination {
        Destination::File(path) => replace_recording(path).map(|file| (file, path.clone())),
        Destination::Folder(folder) => create_recording(folder, image, "snapshot-"),
        Destination::Nowhere => Err(std::io::ErrorKind::InvalidInput.into()),
    };
    let (file, path) = match opened {
        Ok(it) => it,
        Err(error) => {
            request.answer(Err(format!("it cannot be written: {error}")));
            return None;
        }
    };
    match image.snapshot(clock, file) {
        Ok(snapshot) => Some(std::thread::spawn(move || {
            let written = snapshot.write().map_err(|error| format!("it cannot be written: {error}"));
            if written.is_err() {
                let _ = std::fs::remove_file(&path);
            }
            request.answer(written.map(|()| path.as_path()));
        })),
        Err(reason) => {
            let _ = std::fs::remove_file(&path);
            request.answer(Err(reason));
            None
        }
    }
}

/// `CMD.PID.heapwise`, with a number where that exists; `CMD.PID.KIND-NUMBER.heapwise` for a `kind` of its own.
fn create_recording(folder: &Path, image: &Image, kind: &str) -> std::io::Result<(File, PathBuf)> {
    let command = image.observation().command.first().map_or("program", String::as_str);
    let name: String = command
        .rsplit('/')
        .next()
        .unwrap_or(command)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' })
        .take(64)
        .collect();
    let name = if name.trim_matches('.').is_empty() { "program" } else { name.as_str() };
    for number in 1..10_000 {
        let is_plain = number == 1 && kind.is_empty();
        let suffix = if is_plain { String::new() } else { format!(".{kind}{number}") };
        let path = folder.join(format!("{name}.{}{suffix}.heapwise", image.pid));
        match create_new(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => return result.map(|file| (file, path)),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}
