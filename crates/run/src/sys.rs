//! Thin, safe doors to the system calls that `std` has not.

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

    /// Copies `out.len()` records at `offset`.
    pub fn copy_records(&self, offset: usize, out: &mut [heapwise_trace::ring::Record]) {
        assert!(offset + size_of_val(out) <= self.bytes && offset.is_multiple_of(8));
        // SAFETY: in bounds by the check; the writer does not touch committed records until the chunk is
        // free again, and were it to (a program that overwrites our memory), any bytes are valid records.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.base.add(offset).cast::<heapwise_trace::ring::Record>(),
                out.as_mut_ptr(),
                out.len(),
            );
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

/// A thread stopped by ptrace; goes on when dropped.
pub struct Stopped {
    tid: i32,
}

impl Stopped {
    /// Stops a thread of another process.
    pub fn stop(tid: u32) -> io::Result<Stopped> {
        let tid = tid as i32;
        // SAFETY: no pointers; a failed call changes nothing.
        unsafe {
            if libc::ptrace(libc::PTRACE_SEIZE, tid, 0, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            let stopped = Stopped { tid };
            if libc::ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            let started = std::time::Instant::now();
            loop {
                let mut status = 0;
                match libc::waitpid(tid, &mut status, libc::__WALL | libc::WNOHANG) {
                    0 if started.elapsed().as_secs() < STOP_SECONDS => {
                        std::thread::sleep(std::time::Duration::from_micros(50));
                    }
                    n if n == tid && libc::WIFSTOPPED(status) => return Ok(stopped),
                    n if n < 0 => return Err(io::Error::last_os_error()),
                    _ => return Err(io::ErrorKind::TimedOut.into()),
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

impl Drop for Stopped {
    fn drop(&mut self) {
        // SAFETY: no pointers; fails harmlessly when the thread is gone.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.tid, 0, 0) };
    }
}
