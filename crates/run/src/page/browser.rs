//! The system's Chromium or Chrome, with a private profile that goes with it.

use super::protocol::Connection;
use super::{PageError, PrivateFolder};
use crate::sys;
use serde_json::json;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What browsers of this kind are called.
const NAMES: [&str; 6] =
    ["chromium", "google-chrome-stable", "google-chrome", "chromium-browser", "chrome", "microsoft-edge"];
/// How long a browser may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(5);
/// No windows, no services of its maker, no first questions: what a page does is all that happens.
const OPTIONS: [&str; 17] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--metrics-recording-only",
    "--mute-audio",
    "--password-store=basic",
];

/// A browser that runs until it is dropped.
pub struct Browser {
    child: Child,
    pub connection: Connection,
    /// Removed when all else has ended.
    _profile: PrivateFolder,
}

/// The one named, else the first that is installed.
pub fn find(named: Option<&Path>) -> Result<PathBuf, PageError> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = NAMES.iter().flat_map(|name| folders.iter().map(move |it| it.join(name)));
    candidates.into_iter().find(|it| it.is_file()).ok_or(PageError::NoBrowser)
}

impl Browser {
    pub fn start(path: &Path) -> Result<Browser, PageError> {
        let failed = |source| PageError::Start { path: path.to_owned(), source };
        let profile = PrivateFolder::new("profile").map_err(failed)?;
        let (child, connection) = Browser::launch(path, profile.path()).map_err(failed)?;
        Ok(Browser { child, connection, _profile: profile })
    }

    fn launch(path: &Path, profile: &Path) -> std::io::Result<(Child, Connection)> {
        let ((their_input, our_output), (our_input, their_output)) = (pipe()?, pipe()?);
        let mut command = Command::new(path);
        command.args(OPTIONS).arg(format!("--user-data-dir={}", profile.display()));
        if sys::user() == 0 {
            // Chromium refuses to run as root with its sandbox.
            command.arg("--no-sandbox");
        }
        command.arg("about:blank").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (input, output) = (their_input.as_raw_fd(), their_output.as_raw_fd());
        // SAFETY: makes system calls only. Both descriptors are above 4 (`pipe`), so that neither copy closes the other.
        unsafe {
            command.pre_exec(move || {
                libc::setsid();
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::dup2(input, 3) < 0 || libc::dup2(output, 4) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn()?;
        Ok((child, Connection::new(File::from(our_output), File::from(our_input))))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.connection.call_with("Browser.close", json!({}), END_MAX, &mut |_| {});
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < END_MAX {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Its own session, made at its start; processes of it may outlive the first.
        // SAFETY: no pointers. The child has not been waited for, or its group's id is not given away while it has members.
        unsafe { libc::kill(-(self.child.id() as i32), libc::SIGKILL) };
        let _ = self.child.wait();
    }
}

/// Reading and writing end, neither of them inherited, with numbers from 10 on.
fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array outlives the call; what it gives is ours.
    let ends = unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        ends.map(|it| OwnedFd::from_raw_fd(it))
    };
    let high = |end: &OwnedFd| {
        // SAFETY: a descriptor of ours; the copy is ours, too.
        match unsafe { libc::fcntl(end.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10) } {
            -1 => Err(std::io::Error::last_os_error()),
            copy => Ok(unsafe { OwnedFd::from_raw_fd(copy) }),
        }
    };
    Ok((high(&ends[0])?, high(&ends[1])?))
}
