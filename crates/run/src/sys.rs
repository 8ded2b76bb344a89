//! Thin, safe doors to the system calls that `std` has not.

use heapwise_trace::ring::Record;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU32;

/// A shared mapping of a file; unmapped on drop.
pub struct Shared {
    base: *mut u8,
    bytes: usize,
}

// SAFETY: all access goes through atomics or volatile copies.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps the first `bytes` of `file`, which must be at least that long.
    pub fn map(file: &File, bytes: usize) -> io::Result<Shared> {
        if file.metadata()?.len() < bytes as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Shared { base: base.cast(), bytes })
    }

    /// The `T` at `offset`. `T` holds atomics only: the other process writes here at any time.
    pub fn at<T>(&self, offset: usize) -> &T {
        assert!(offset + size_of::<T>() <= self.bytes && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: in bounds and aligned by the check; any bytes are a valid atomic integer.
        unsafe { &*self.base.add(offset).cast::<T>() }
    }

    /// Appends `count` records at `offset` to `out`.
    pub fn copy_records(&self, offset: usize, count: usize, out: &mut Vec<Record>) {
        assert!(offset + count * size_of::<Record>() <= self.bytes && offset.is_multiple_of(8));
        out.reserve(count);
        // SAFETY: in bounds by the check, and there is room; the writer does not touch committed records until the
        // chunk is free again, and were it to (a program that overwrites our memory), any bytes are valid records.
        unsafe {
            let end = out.as_mut_ptr().add(out.len());
            std::ptr::copy_nonoverlapping(self.base.add(offset).cast::<Record>(), end, count);
            out.set_len(out.len() + count);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: our own mapping; references from `at` cannot outlive `self`.
        unsafe { libc::munmap(self.base.cast(), self.bytes) };
    }
}

/// Sleeps while `*word == value`, at most `microseconds`.
pub fn futex_wait(word: &AtomicU32, value: u32, microseconds: u64) {
    let timeout = libc::timespec {
        tv_sec: (microseconds / 1_000_000) as i64,
        tv_nsec: (microseconds % 1_000_000 * 1000) as i64,
    };
    // SAFETY: the word and the timeout live through the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const timeout) };
}

pub fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word lives through the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Whether a process exists and is not a zombie.
pub fn is_running(pid: u32) -> bool {
    match std::fs::read(format!("/proc/{pid}/stat")) {
        // "pid (name) state ...": the name may hold anything, so look behind its last parenthesis.
        Ok(stat) => match stat.iter().rposition(|&byte| byte == b')') {
            Some(at) => !matches!(stat.get(at + 2), Some(b'Z' | b'X' | b'x') | None),
            None => false,
        },
        Err(_) => false,
    }
}

/// Who this process runs as.
pub fn user() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() }
}

/// Time that the calling thread has spent on a processor.
pub fn thread_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time stamp counter.
pub fn stamp() -> u64 {
    // SAFETY: an unprivileged instruction.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Reads memory of another process; the number of bytes that could be read from `addr` on.
pub fn read_memory(pid: u32, addr: u64, out: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
    let remote = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: out.len() };
    // SAFETY: `local` is writable for its length; the remote side is checked by the kernel.
    let n = unsafe { libc::process_vm_readv(pid as i32, &local, 1, &remote, 1, 0) };
    n.max(0) as usize
}

/// Registers of a stopped thread.
pub struct Registers {
    /// Every general register, the stack pointer first: a pointer in any of them keeps a block alive.
    pub general: [u64; 16],
    /// Base of `fs`: the address of glibc's thread descriptor.
    pub thread_pointer: u64,
}

impl Registers {
    pub fn stack(&self) -> u64 {
        self.general[0]
    }
}

/// A thread stopped by ptrace; goes on when dropped, as if nothing had happened.
pub struct Stopped {
    tid: i32,
}

/// Why a thread was not stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum NotStopped {
    /// It has ended.
    Gone,
    /// The system does not let us.
    Forbidden,
    /// It waits in the kernel, uninterruptibly. It will stop as soon as that is over: see [`let_go_of_traced`].
    Late,
}

thread_local! {
    /// Threads that this thread attached to, and neither detached nor reaped since. The end of a traced thread is told
    /// to its tracer first: as long as that does not wait for it, its process does not end for its parent either
    /// (ptrace(2)).
    static TRACED: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
}

/// Lets go of threads that ended while they were traced, or stopped too late. To be called from time to time; does not
/// wait.
pub fn let_go_of_traced() {
    TRACED.with_borrow_mut(|all| all.retain(|&tid| !let_go(tid)));
}

fn forget(tid: i32) {
    TRACED.with_borrow_mut(|all| all.retain(|&it| it != tid));
}

/// False while there is nothing yet to be done about the thread.
fn let_go(tid: i32) -> bool {
    match halt(tid) {
        Halt::NotYet => false,
        Halt::Gone => true,
        Halt::Signaled(signal) => detach(tid, signal),
        Halt::Stopped => {
            restart_call(tid);
            detach(tid, 0)
        }
    }
}

/// False when the thread has been killed meanwhile: then its end is to be waited for.
fn detach(tid: i32, signal: i32) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, tid, 0, signal) == 0 }
}

/// What became of a thread that was asked to stop.
enum Halt {
    Stopped,
    /// About to get this signal, and not stopped by us.
    Signaled(i32),
    NotYet,
    /// It has ended, and has been reaped where that is ours to do.
    Gone,
}

/// Looks for a stop or the end of a traced thread, without waiting for one.
fn halt(tid: i32) -> Halt {
    // SAFETY: zero is a valid value of this plain structure, which outlives the calls.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        // Stops of traced threads are told whether asked for or not.
        let look = libc::WSTOPPED | libc::WEXITED | libc::WNOHANG | libc::__WALL | libc::WNOWAIT;
        if libc::waitid(libc::P_PID, tid as u32, &mut info, look) != 0 {
            return Halt::Gone;
        }
        if info.si_pid() != tid {
            return Halt::NotYet;
        }
        let has_ended = matches!(info.si_code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED);
        // The end of our own child is told to who started it.
        if has_ended && is_own_child(tid) {
            return Halt::Gone;
        }
        let take = if has_ended { libc::WEXITED } else { libc::WSTOPPED } | libc::WNOHANG | libc::__WALL;
        let is_taken = libc::waitid(libc::P_PID, tid as u32, &mut info, take) == 0 && info.si_pid() == tid;
        if has_ended {
            return Halt::Gone;
        }
        if !is_taken {
            // It was killed in between.
            return Halt::NotYet;
        }
        // `signal | event << 8` (ptrace(2)).
        match (info.si_status() & 0xff, info.si_status() >> 8) {
            (_, libc::PTRACE_EVENT_STOP) => Halt::Stopped,
            (signal, _) => Halt::Signaled(signal),
        }
    }
}

/// Whether this is a process (not a thread of one) that this process has started.
fn is_own_child(tid: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{tid}/status")) else { return false };
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().parse::<u32>().ok()
    };
    field("Tgid:") == Some(tid as u32) && field("PPid:") == Some(std::process::id())
}

impl Stopped {
    /// Stops a thread of another process.
    pub fn stop(tid: u32) -> Result<Stopped, NotStopped> {
        let id = tid as i32;
        let not_stopped = || if is_running(tid) { NotStopped::Forbidden } else { NotStopped::Gone };
        // SAFETY: no pointers; a failed call changes nothing.
        if unsafe { libc::ptrace(libc::PTRACE_SEIZE, id, 0, 0) } != 0 {
            return Err(not_stopped());
        }
        TRACED.with_borrow_mut(|all| all.push(id));
        // SAFETY: no pointers; fails when the thread is about to end, which `halt` tells.
        unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, id, 0, 0) };
        let started = std::time::Instant::now();
        loop {
            match halt(id) {
                Halt::Stopped => return Ok(Stopped { tid: id }),
                // SAFETY: no pointers. The signal goes its way; our stop comes after it.
                Halt::Signaled(signal) => unsafe {
                    libc::ptrace(libc::PTRACE_CONT, id, 0, signal);
                },
                Halt::NotYet if started.elapsed().as_secs() < STOP_SECONDS => {
                    std::thread::sleep(std::time::Duration::from_micros(50));
                }
                Halt::NotYet if is_running(tid) => return Err(NotStopped::Late),
                Halt::NotYet => return Err(NotStopped::Gone),
                Halt::Gone => {
                    forget(id);
                    return Err(NotStopped::Gone);
                }
            }
        }
    }

    pub fn registers(&self) -> io::Result<Registers> {
        // SAFETY: zero is a valid value of this plain structure, which outlives the call.
        unsafe {
            let mut r: libc::user_regs_struct = std::mem::zeroed();
            if libc::ptrace(libc::PTRACE_GETREGS, self.tid, 0, &raw mut r) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Registers {
                thread_pointer: r.fs_base,
                general: [
                    r.rsp, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12,
                    r.r13, r.r14, r.r15,
                ],
            })
        }
    }
}

/// A thread in an uninterruptible wait does not stop; the scan goes on without it then.
const STOP_SECONDS: u64 = 2;

/// Has a system call that the stop interrupted made anew, where the kernel does not do so itself.
///
/// Most calls that a stop interrupts go on by themselves; those in [`NOT_RESTARTED`] end with `EINTR` even
/// without a signal (signal(7)). They have done nothing yet then, and a program that handles no signals
/// need not expect that. A timeout begins anew. With a signal about to be handled, `EINTR` is the truth.
fn restart_call(tid: i32) {
    // SAFETY: zero is a valid value of this plain structure, which outlives the calls.
    unsafe {
        let mut r: libc::user_regs_struct = std::mem::zeroed();
        if libc::ptrace(libc::PTRACE_GETREGS, tid, 0, &raw mut r) == 0
            && r.rax as i64 == -i64::from(libc::EINTR)
            && NOT_RESTARTED.contains(&(r.orig_rax as i64))
            && !has_signal(tid)
        {
            // Back to the two bytes of `syscall`, which is not a call under way any more.
            (r.rax, r.rip, r.orig_rax) = (r.orig_rax, r.rip - 2, u64::MAX);
            libc::ptrace(libc::PTRACE_SETREGS, tid, 0, &raw const r);
        }
    }
}

/// Calls that wait, and of which a stop makes `EINTR` (reads, writes and the like of sockets with a timeout).
const NOT_RESTARTED: [i64; 20] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_io_getevents,
    libc::SYS_io_uring_enter,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];

/// Whether a signal waits that the thread neither blocks nor ignores (proc(5)).
fn has_signal(tid: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{tid}/status")) else { return true };
    let mask = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(value.trim(), 16).ok()
    };
    let masks = ["SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:"].map(mask);
    match masks {
        [Some(own), Some(shared), Some(blocked), Some(ignored)] => (own | shared) & !blocked & !ignored != 0,
        _ => true,
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        restart_call(self.tid);
        if detach(self.tid, 0) {
            forget(self.tid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    const NAME: &str = "sys::tests::sleeps_in_several_threads";

    /// The program of the other tests: run by itself it does nothing.
    #[test]
    #[ignore = "is started by other tests"]
    fn sleeps_in_several_threads() {
        std::thread::sleep(Duration::from_secs(60));
    }

    fn threaded_child() -> (Child, u32) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", NAME]).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let other = || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
            let tids = tasks.flatten().filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
            tids.into_iter().find(|&it| it != child.id())
        };
        let begin = Instant::now();
        let mut found = other();
        while found.is_none() && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
            found = other();
        }
        (child, found.expect("a second thread"))
    }

    fn ends(child: &mut Child) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            let_go_of_traced();
            if !is_running(child.id()) && child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn a_thread_that_ends_while_it_is_traced_does_not_hold_its_process() {
        let (mut child, tid) = threaded_child();
        let stopped = Stopped::stop(tid).unwrap();
        child.kill().unwrap();
        while is_running(tid) {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(stopped);
        assert!(ends(&mut child));
        let (mut child, _) = threaded_child();
        let stopped = Stopped::stop(child.id()).unwrap();
        child.kill().unwrap();
        drop(stopped);
        assert!(ends(&mut child));
    }

    #[test]
    fn a_stopped_thread_goes_on() {
        let (mut child, tid) = threaded_child();
        drop(Stopped::stop(tid).unwrap());
        assert!(is_running(tid));
        assert_eq!(Stopped::stop(tid).err(), None, "it is not traced any more");
        child.kill().unwrap();
        assert!(ends(&mut child));
    }
}
