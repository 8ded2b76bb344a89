//! What Node says of its JavaScript heap.
//!
//! ```text
//!   node --require=SESSION/agent.cjs                    heapwise run
//!   INBOX/PID.THREAD.NUMBER.REASON.heapsnapshot  ---->  an attachment of the process's recording
//!   INBOX/PID.THREAD.NUMBER.REASON.runtime (JSON) --->  the same
//!   INBOX/PID.ask                                <----  take a snapshot now
//! ```
//!
//! The agent is required through `NODE_OPTIONS`, which children inherit and who is not Node ignores; it opens no port.
//! Files appear by renaming, so that each is whole. The inbox is a private folder on disk where there is one: the
//! session's own may be in memory, of which a snapshot needs much already.

use crate::Snapshots;
use crate::session::Session;
use heapwise_trace::AttachmentKind;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The agent, as it is written into the session's folder.
pub const AGENT: &[u8] = include_bytes!("node/agent.cjs");
pub const AGENT_FILE: &str = "agent.cjs";
/// `WHEN:INBOX`, for the agent.
const AGENT_ENV: &str = "HEAPWISE_NODE";
/// Between looks at the inbox.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How long an agent may take to hear of a request.
const HEAR_MAX: Duration = Duration::from_secs(3);

/// What makes Node load the agent, and tells the agent what to do.
pub fn environment(session: &Session, snapshots: Snapshots) -> [(&'static str, OsString); 2] {
    let mut options = std::env::var_os("NODE_OPTIONS").unwrap_or_default();
    if !options.is_empty() {
        options.push(" ");
    }
    options.push("\"--require=");
    let path = session.folder().join(AGENT_FILE);
    for byte in path.as_os_str().as_bytes().chunks(1) {
        if matches!(byte, b"\"" | b"\\") {
            options.push("\\");
        }
        options.push(OsStr::from_bytes(byte));
    }
    options.push("\"");
    let mut agent = OsString::from(format!("{snapshots}:"));
    agent.push(session.inbox());
    [("NODE_OPTIONS", options), (AGENT_ENV, agent)]
}

/// A file that an agent has left.
pub struct Delivery {
    pub pid: u32,
    pub kind: AttachmentKind,
    /// `THREAD.NUMBER.REASON`.
    pub name: String,
    pub path: PathBuf,
}

impl Delivery {
    fn new(path: PathBuf) -> Option<Delivery> {
        let kind = match path.extension()?.to_str()? {
            "heapsnapshot" => AttachmentKind::HeapSnapshot,
            "runtime" => AttachmentKind::Runtime,
            _ => return None,
        };
        let (pid, name) = path.file_stem()?.to_str()?.split_once('.')?;
        Some(Delivery { pid: pid.parse().ok()?, kind, name: name.to_owned(), path: path.clone() })
    }

    fn number(&self) -> Option<u64> {
        self.name.split('.').nth(1)?.parse().ok()
    }

    /// Whether it answers [`Inbox::ask`].
    pub fn is_answer(&self) -> bool {
        self.kind == AttachmentKind::Runtime
            && (self.name.ends_with(".asked") || self.name.ends_with(".refused"))
    }
}

/// Where agents leave files.
pub struct Inbox {
    folder: PathBuf,
    looked: Instant,
    changed: Option<SystemTime>,
}

impl Inbox {
    pub fn new(session: &Session) -> Inbox {
        Inbox { folder: session.inbox().to_owned(), looked: Instant::now(), changed: None }
    }

    /// What has come since the last look, in order; looks again only after a while, unless `is_last`.
    pub fn take(&mut self, is_last: bool) -> Vec<Delivery> {
        if !is_last && self.looked.elapsed() < LOOK_INTERVAL {
            return Vec::new();
        }
        self.looked = Instant::now();
        let changed = fs::metadata(&self.folder).and_then(|it| it.modified()).ok();
        if changed == self.changed && !is_last {
            return Vec::new();
        }
        self.changed = changed;
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut found: Vec<Delivery> = entries.flatten().filter_map(|it| Delivery::new(it.path())).collect();
        found.sort_by_key(Delivery::number);
        found
    }

    /// Asks the agent in a process for a snapshot; `false` where there can be none.
    pub fn ask(&self, pid: u32) -> bool {
        let is_node = fs::read_link(format!("/proc/{pid}/exe"))
            .is_ok_and(|it| it.file_name().is_some_and(|it| it.as_bytes().starts_with(b"node")));
        is_node && fs::write(self.question(pid), b"").is_ok()
    }

    /// Whether no agent has heard a question in all that time; it is taken back.
    pub fn is_unheard(&self, pid: u32, since: Instant) -> bool {
        since.elapsed() > HEAR_MAX && fs::remove_file(self.question(pid)).is_ok()
    }

    fn question(&self, pid: u32) -> PathBuf {
        self.folder.join(format!("{pid}.ask"))
    }
}

/// Opens a delivered file and takes it out of the inbox.
pub fn open(path: &Path) -> std::io::Result<fs::File> {
    let file = fs::File::open(path);
    let _ = fs::remove_file(path);
    file
}
