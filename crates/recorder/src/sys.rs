//! System calls without libc, so that `errno` stays the program's.

use core::arch::asm;

pub const PAGE: usize = 4096;

/// # Safety
/// The arguments are valid for the system call `n`.
#[inline(always)]
pub unsafe fn syscall6(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let result: isize;
    // SAFETY: the kernel clobbers rcx and r11 only; the caller vouches for the arguments.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// # Safety
/// As [`syscall6`].
#[inline(always)]
pub unsafe fn syscall3(n: usize, a: usize, b: usize, c: usize) -> isize {
    // SAFETY: forwarded.
    unsafe { syscall6(n, a, b, c, 0, 0, 0) }
}

const READ: usize = 0;
const OPEN: usize = 2;
const CLOSE: usize = 3;
const MMAP: usize = 9;
const MUNMAP: usize = 11;
const RT_SIGPROCMASK: usize = 14;
const MADVISE: usize = 28;
const GETPID: usize = 39;
const READLINK: usize = 89;
const GETPPID: usize = 110;
const PRCTL: usize = 157;
const GETTID: usize = 186;
const FUTEX: usize = 202;
const EXIT_GROUP: usize = 231;
const TIMER_CREATE: usize = 222;
const TIMER_SETTIME: usize = 223;
const CLOCK_GETTIME: usize = 228;
const TGKILL: usize = 234;
const KILL: usize = 62;
const FALLOCATE: usize = 285;
const PRLIMIT64: usize = 302;

/// What a call returns that a signal ended (`EINTR`).
pub const INTERRUPTED: isize = -4;

pub const O_RDONLY: usize = 0;
pub const O_RDWR: usize = 2;
pub const O_CREAT: usize = 0o100;
pub const O_EXCL: usize = 0o200;
pub const O_NOFOLLOW: usize = 0o400000;
pub const O_CLOEXEC: usize = 0o2000000;

/// `path` ends with a zero byte.
pub fn open(path: &[u8], flags: usize) -> Option<usize> {
    debug_assert_eq!(path.last(), Some(&0));
    // SAFETY: `path` is a terminated string that lives through the call.
    let fd = unsafe { syscall3(OPEN, path.as_ptr() as usize, flags, 0o600) };
    (fd >= 0).then_some(fd as usize)
}

pub fn close(fd: usize) {
    // SAFETY: closes a descriptor this library opened.
    unsafe { syscall3(CLOSE, fd, 0, 0) };
}

pub fn read(fd: usize, buffer: &mut [u8]) -> isize {
    // SAFETY: the buffer is writable for its length.
    unsafe { syscall3(READ, fd, buffer.as_mut_ptr() as usize, buffer.len()) }
}

pub fn readlink(path: &[u8], buffer: &mut [u8]) -> usize {
    // SAFETY: both are valid for the call.
    let n = unsafe { syscall3(READLINK, path.as_ptr() as usize, buffer.as_mut_ptr() as usize, buffer.len()) };
    n.max(0) as usize
}

/// What the link of an open descriptor says: a path, or what the kernel calls it.
pub fn descriptor_name(fd: usize, buffer: &mut [u8]) -> &[u8] {
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0";
    let digits = core::iter::successors(Some(fd), |it| Some(it / 10).filter(|it| *it > 0)).count();
    let mut rest = fd;
    let Some(number) = path.get_mut(14..14 + digits).filter(|_| digits <= 10) else { return &[] };
    for digit in number.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let length = readlink(&path, buffer);
    &buffer[..length]
}

/// Whether a file of that length may be written; else the attempt would end the process (SIGXFSZ).
pub fn may_write(bytes: usize) -> bool {
    const RLIMIT_FSIZE: usize = 1;
    let mut limits = [u64::MAX; 2];
    // SAFETY: this process's own limits go to `limits`.
    unsafe { syscall6(PRLIMIT64, 0, RLIMIT_FSIZE, 0, limits.as_mut_ptr() as usize, 0, 0) };
    limits[0] >= bytes as u64
}

/// Reserves file space, so that writing to the mapping cannot fail later.
pub fn allocate_file(fd: usize, bytes: usize) -> bool {
    // SAFETY: plain system call on our own descriptor.
    unsafe { syscall6(FALLOCATE, fd, 0, 0, bytes, 0, 0) == 0 }
}

/// Shared, read-write mapping of a file.
pub fn map_file(fd: usize, bytes: usize) -> *mut u8 {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let p = unsafe { syscall6(MMAP, 0, bytes, 3, 1, fd, 0) };
    if p < 0 { core::ptr::null_mut() } else { p as *mut u8 }
}

/// Private zeroed memory; null when there is none.
pub fn map(bytes: usize) -> *mut u8 {
    const PRIVATE_ANONYMOUS_NORESERVE: usize = 0x2 | 0x20 | 0x4000;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let p = unsafe { syscall6(MMAP, 0, bytes, 3, PRIVATE_ANONYMOUS_NORESERVE, usize::MAX, 0) };
    if p < 0 { core::ptr::null_mut() } else { p as *mut u8 }
}

/// # Safety
/// The range was mapped by this library and is not used any more.
pub unsafe fn unmap(p: *mut u8, bytes: usize) {
    // SAFETY: by the caller.
    unsafe { syscall3(MUNMAP, p as usize, bytes, 0) };
}

/// The mapping does not exist in forked children.
pub const DONTFORK: usize = 10;
/// The memory is zero in forked children.
pub const WIPEONFORK: usize = 18;

/// # Safety
/// The range was mapped by this library.
pub unsafe fn advise(p: *mut u8, bytes: usize, advice: usize) -> bool {
    // SAFETY: by the caller.
    unsafe { syscall3(MADVISE, p as usize, bytes, advice) == 0 }
}

pub fn pid() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall3(GETPID, 0, 0, 0) as u32 }
}

pub fn parent_pid() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall3(GETPPID, 0, 0, 0) as u32 }
}

pub fn thread_id() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall3(GETTID, 0, 0, 0) as u32 }
}

/// Whether a process with that id exists (or cannot be asked).
pub fn is_alive(pid: u32) -> bool {
    const ESRCH: isize = -3;
    // SAFETY: signal 0 sends nothing.
    unsafe { syscall3(KILL, pid as usize, 0, 0) != ESRCH }
}

/// Lets `pid` look into this process where Yama restricts that to ancestors.
pub fn allow_tracer(pid: u32) {
    const PR_SET_PTRACER: usize = 0x59616d61;
    // SAFETY: integers only.
    unsafe { syscall3(PRCTL, PR_SET_PTRACER, pid as usize, 0) };
}

/// Blocks all signals of this thread; the old mask goes back with [`set_signals`].
pub fn block_signals() -> u64 {
    let all = u64::MAX;
    let mut old = 0u64;
    // SAFETY: both masks are 8 bytes and live through the call; 0 is SIG_BLOCK.
    unsafe { syscall6(RT_SIGPROCMASK, 0, &raw const all as usize, &raw mut old as usize, 8, 0, 0) };
    old
}

pub fn set_signals(mask: u64) {
    // SAFETY: the mask is 8 bytes; 2 is SIG_SETMASK.
    unsafe { syscall6(RT_SIGPROCMASK, 2, &raw const mask as usize, 0, 8, 0, 0) };
}

/// Sends `signal` to the calling thread.
pub fn raise(signal: u32) {
    // SAFETY: integers only.
    unsafe { syscall3(TGKILL, pid() as usize, thread_id() as usize, signal as usize) };
}

/// Sleeps while `*word == value`, at most `milliseconds`.
pub fn futex_wait(word: &core::sync::atomic::AtomicU32, value: u32, milliseconds: u64) {
    let timeout = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
    // SAFETY: the word lives in memory that stays mapped; 0 is FUTEX_WAIT (shared).
    unsafe { syscall6(FUTEX, word.as_ptr() as usize, 0, value as usize, timeout.as_ptr() as usize, 0, 0) };
}

pub fn futex_wake(word: &core::sync::atomic::AtomicU32) {
    // SAFETY: as above; 1 is FUTEX_WAKE (shared).
    unsafe { syscall6(FUTEX, word.as_ptr() as usize, 1, i32::MAX as usize, 0, 0, 0) };
}

/// Ends the process at once: an invariant of this library is broken.
pub fn abort() -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { syscall3(EXIT_GROUP, 134, 0, 0) };
    }
}

const MONOTONIC: usize = 1;

/// Sends `signal` to this thread each so many nanoseconds from now on; whether that is so.
pub fn repeat_signal(signal: i32, nanoseconds: u64) -> bool {
    const SIGEV_THREAD_ID: u64 = 4;
    // `struct sigevent`: a value, the signal and how it is told, the thread.
    let mut event = [0u64; 8];
    event[1] = signal as u64 | SIGEV_THREAD_ID << 32;
    event[2] = u64::from(thread_id());
    let mut timer = 0i32;
    let times = [0, nanoseconds, 0, nanoseconds];
    // SAFETY: the kernel reads `event` and `times`, and writes `timer`.
    unsafe {
        let (event, timer_at) = (event.as_ptr() as usize, &raw mut timer as usize);
        syscall3(TIMER_CREATE, MONOTONIC, event, timer_at) == 0
            && syscall6(TIMER_SETTIME, timer as usize, 0, times.as_ptr() as usize, 0, 0, 0) == 0
    }
}

/// Nanoseconds of a clock that never goes back.
pub fn nanoseconds() -> u64 {
    let mut time = [0u64; 2];
    // SAFETY: the kernel writes the two words of a `timespec`.
    unsafe { syscall3(CLOCK_GETTIME, MONOTONIC, time.as_mut_ptr() as usize, 0) };
    time[0] * 1_000_000_000 + time[1]
}

/// The time stamp counter; invariant and synchronized between cores on every x86-64 of this decade.
#[inline(always)]
pub fn stamp() -> u64 {
    // SAFETY: an unprivileged instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// As [`stamp`], but not before all earlier instructions are done.
#[inline(always)]
pub fn stamp_after() -> u64 {
    let mut aux = 0;
    // SAFETY: an unprivileged instruction.
    unsafe { core::arch::x86_64::__rdtscp(&mut aux) }
}
