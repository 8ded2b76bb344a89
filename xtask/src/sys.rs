//! System calls that std does not offer. The only unsafe code of this crate.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

/// Makes orphaned descendants children of this process, so that `wait_any` sees them.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: this option of prctl reads one integer and touches no memory of ours.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A process that ended.
pub struct Ended {
    pub pid: u32,
    /// As wait(2) gives it.
    pub status: i32,
}

/// Waits for any child; `None` when there is none left.
pub fn wait_any() -> io::Result<Option<Ended>> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        if pid > 0 {
            return Ok(Some(Ended { pid: pid as u32, status }));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ECHILD) => return Ok(None),
            Some(libc::EINTR) => continue,
            _ => return Err(error),
        }
    }
}

/// User plus system time of all children that were waited for, and the greatest peak RSS among them, in bytes.
pub fn children_usage() -> io::Result<(Duration, u64)> {
    // SAFETY: all-zero is a valid `rusage`, and it outlives the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) != 0 {
            return Err(io::Error::last_os_error());
        }
        usage
    };
    let time = |it: libc::timeval| Duration::new(it.tv_sec as u64, it.tv_usec as u32 * 1000);
    Ok((time(usage.ru_utime) + time(usage.ru_stime), usage.ru_maxrss as u64 * 1024))
}
