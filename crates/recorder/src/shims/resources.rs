//! What the program gets from the system and has to give back besides memory: descriptors and child processes.
//! Threads and mappings of files are told where they are made (`process.rs`, `map.rs`).
//!
//! Only where an interpreter is in the process: of other programs nothing is told of this yet. What libc opens for itself,
//! as in `fopen`, does not come by here; `heapwise` asks the system at the end what is open.
//!
//! A child of `vfork` runs in its parent's memory, and mostly closes descriptors before it becomes another program: they
//! are its own, and not told.

use crate::real::{self, Real, call};
use crate::stream;
use crate::{python, session, stack, sys};
use core::arch::naked_asm;
use core::ffi::{c_char, c_void};
use core::sync::atomic::Ordering::Relaxed;
use heapwise_trace::ResourceKind;
use heapwise_trace::ring::{Record, tag, wide};

entry!(open, 3, on_open);
entry!(open64, 3, on_open64);
entry!(openat, 4, on_openat);
entry!(openat64, 4, on_openat64);
entry!(close, 1, on_close);
entry!(socket, 3, on_socket);
entry!(socketpair, 4, on_socketpair);
entry!(accept, 3, on_accept);
entry!(accept4, 4, on_accept4);
entry!(pipe, 1, on_pipe);
entry!(pipe2, 2, on_pipe2);
entry!(dup, 1, on_dup);
entry!(dup2, 2, on_dup2);
entry!(dup3, 3, on_dup3);
entry!(fcntl, 3, on_fcntl);
entry!(fcntl64, 3, on_fcntl64);
entry!(epoll_create1, 1, on_epoll_create1);
entry!(eventfd, 2, on_eventfd);
entry!(timerfd_create, 2, on_timerfd_create);
entry!(inotify_init1, 1, on_inotify_init1);
entry!(memfd_create, 2, on_memfd_create);
entry!(wait, 1, on_wait);
entry!(waitpid, 3, on_waitpid);
entry!(wait3, 3, on_wait3);
entry!(wait4, 4, on_wait4);
entry!(waitid, 4, on_waitid);

/// Whether what happens is the program's, and told.
fn is_told() -> bool {
    let pid = session::identity().pid.load(Relaxed);
    python::is_here() && pid != 0 && pid == sys::pid()
}

/// Where a call came from: its stack pointer, which points at the return address, and `rbp`.
#[derive(Clone, Copy)]
pub struct Caller(pub *const u64, pub u64);

fn tell(event: u64, kind: ResourceKind, number: u64, Caller(sp, bp): Caller) {
    stream::with(|thread| {
        thread.begin();
        // SAFETY: the registers of the interposed function's entry.
        let stack = unsafe { stack::capture(thread, sp, bp) };
        let stack = python::with_frames(thread, stack);
        thread.mark(Record::new(tag::WIDE, event, number, Record::sized(kind as u64, stack)));
    });
}

/// A resource was given out.
pub fn opened(kind: ResourceKind, number: u64, caller: Caller) {
    if is_told() {
        tell(wide::OPEN, kind, number, caller);
    }
}

/// A resource is given back.
pub fn closed(kind: ResourceKind, number: u64, caller: Caller) {
    if is_told() {
        tell(wide::CLOSE, kind, number, caller);
    }
}

fn descriptor(kind: ResourceKind, descriptor: i32, caller: Caller) -> i32 {
    if let Ok(number) = u64::try_from(descriptor) {
        opened(kind, number, caller);
    }
    descriptor
}

/// Two descriptors, where the call succeeded.
///
/// # Safety
/// `pair` points to them then.
unsafe fn descriptors(kind: ResourceKind, result: i32, pair: *const [i32; 2], caller: Caller) -> i32 {
    if result == 0 {
        // SAFETY: by the caller.
        unsafe { *pair }.into_iter().for_each(|it| {
            descriptor(kind, it, caller);
        });
    }
    result
}

/// Functions that open a descriptor of one kind.
macro_rules! open {
    ($($name:ident = $real:ident($($argument:ident: $t:ty),*) $kind:ident),* $(,)?) => { $(
        unsafe extern "C" fn $name($($argument: $t,)* sp: *const u64, bp: u64) -> i32 {
            // SAFETY: libc's function with the program's arguments.
            let opened = unsafe { call!(real::$real.get(), fn($($t),*) -> i32)($($argument),*) };
            descriptor(ResourceKind::$kind, opened, Caller(sp, bp))
        }
    )* };
}

// Where an argument is optional, what stands in its register is handed on.
open! {
    on_open = OPEN(path: *const c_char, flags: i32, mode: u32) File,
    on_open64 = OPEN64(path: *const c_char, flags: i32, mode: u32) File,
    on_openat = OPENAT(folder: i32, path: *const c_char, flags: i32, mode: u32) File,
    on_openat64 = OPENAT64(folder: i32, path: *const c_char, flags: i32, mode: u32) File,
    on_socket = SOCKET(domain: i32, kind: i32, protocol: i32) Socket,
    on_accept = ACCEPT(listener: i32, address: *mut c_void, length: *mut u32) Socket,
    on_accept4 = ACCEPT4(listener: i32, address: *mut c_void, length: *mut u32, flags: i32) Socket,
    on_dup = DUP(old: i32) Descriptor,
    on_epoll_create1 = EPOLL_CREATE1(flags: i32) Descriptor,
    on_eventfd = EVENTFD(count: u32, flags: i32) Descriptor,
    on_timerfd_create = TIMERFD_CREATE(clock: i32, flags: i32) Descriptor,
    on_inotify_init1 = INOTIFY_INIT1(flags: i32) Descriptor,
    on_memfd_create = MEMFD_CREATE(name: *const c_char, flags: u32) Descriptor,
}

unsafe extern "C" fn on_socketpair(
    domain: i32,
    kind: i32,
    protocol: i32,
    pair: *mut [i32; 2],
    sp: *const u64,
    bp: u64,
) -> i32 {
    // SAFETY: libc's function with the program's arguments; the pair is set on success.
    unsafe {
        let result = call!(real::SOCKETPAIR.get(), fn(i32, i32, i32, *mut [i32; 2]) -> i32)(
            domain, kind, protocol, pair,
        );
        descriptors(ResourceKind::Socket, result, pair, Caller(sp, bp))
    }
}

unsafe extern "C" fn on_pipe(pair: *mut [i32; 2], sp: *const u64, bp: u64) -> i32 {
    // SAFETY: as above.
    unsafe {
        let result = call!(real::PIPE.get(), fn(*mut [i32; 2]) -> i32)(pair);
        descriptors(ResourceKind::Pipe, result, pair, Caller(sp, bp))
    }
}

unsafe extern "C" fn on_pipe2(pair: *mut [i32; 2], flags: i32, sp: *const u64, bp: u64) -> i32 {
    // SAFETY: as above.
    unsafe {
        let result = call!(real::PIPE2.get(), fn(*mut [i32; 2], i32) -> i32)(pair, flags);
        descriptors(ResourceKind::Pipe, result, pair, Caller(sp, bp))
    }
}

/// Told before it is done, so that nobody has the number meanwhile.
unsafe extern "C" fn on_close(descriptor: i32, sp: *const u64, bp: u64) -> i32 {
    if let Ok(number) = u64::try_from(descriptor) {
        closed(ResourceKind::Descriptor, number, Caller(sp, bp));
    }
    // SAFETY: libc's function with the program's argument.
    unsafe { call!(real::CLOSE.get(), fn(i32) -> i32)(descriptor) }
}

/// What was open under the second number is closed by being opened anew.
unsafe extern "C" fn on_dup2(old: i32, new: i32, sp: *const u64, bp: u64) -> i32 {
    // SAFETY: libc's function with the program's arguments.
    let made = unsafe { call!(real::DUP2.get(), fn(i32, i32) -> i32)(old, new) };
    if old != new { descriptor(ResourceKind::Descriptor, made, Caller(sp, bp)) } else { made }
}

unsafe extern "C" fn on_dup3(old: i32, new: i32, flags: i32, sp: *const u64, bp: u64) -> i32 {
    // SAFETY: libc's function with the program's arguments.
    let made = unsafe { call!(real::DUP3.get(), fn(i32, i32, i32) -> i32)(old, new, flags) };
    descriptor(ResourceKind::Descriptor, made, Caller(sp, bp))
}

fn control(real: &Real, descriptor: i32, command: i32, argument: usize, caller: Caller) -> i32 {
    const F_DUPFD: i32 = 0;
    const F_DUPFD_CLOEXEC: i32 = 1030;
    // SAFETY: libc's function with the program's arguments.
    let result = unsafe { call!(real.get(), fn(i32, i32, usize) -> i32)(descriptor, command, argument) };
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => self::descriptor(ResourceKind::Descriptor, result, caller),
        _ => result,
    }
}

unsafe extern "C" fn on_fcntl(fd: i32, command: i32, argument: usize, sp: *const u64, bp: u64) -> i32 {
    control(&real::FCNTL, fd, command, argument, Caller(sp, bp))
}

unsafe extern "C" fn on_fcntl64(fd: i32, command: i32, argument: usize, sp: *const u64, bp: u64) -> i32 {
    control(&real::FCNTL64, fd, command, argument, Caller(sp, bp))
}

/// Whether a child that was waited for with that `status` has ended; it may have stopped, or gone on.
fn has_ended(status: i32) -> bool {
    const CONTINUED: i32 = 0xffff;
    status & 0xff != 0x7f && status != CONTINUED
}

/// Who waits for a child without asking how it ended, and not for stops.
const STOPS_TOO: i32 = 2 | 8;

fn waited(pid: i32, status: *const i32, options: i32, caller: Caller) -> i32 {
    // SAFETY: null, or set by the call that returned a child.
    let ended = || match unsafe { status.as_ref() } {
        Some(status) => has_ended(*status),
        None => options & STOPS_TOO == 0,
    };
    if pid > 0 && ended() {
        closed(ResourceKind::Process, pid as u64, caller);
    }
    pid
}

unsafe extern "C" fn on_wait(status: *mut i32, sp: *const u64, bp: u64) -> i32 {
    // SAFETY: libc's function with the program's argument.
    let pid = unsafe { call!(real::WAIT.get(), fn(*mut i32) -> i32)(status) };
    waited(pid, status, 0, Caller(sp, bp))
}

unsafe extern "C" fn on_waitpid(pid: i32, status: *mut i32, options: i32, sp: *const u64, bp: u64) -> i32 {
    // SAFETY: libc's function with the program's arguments.
    let pid = unsafe { call!(real::WAITPID.get(), fn(i32, *mut i32, i32) -> i32)(pid, status, options) };
    waited(pid, status, options, Caller(sp, bp))
}

unsafe extern "C" fn on_wait3(
    status: *mut i32,
    options: i32,
    usage: *mut c_void,
    sp: *const u64,
    bp: u64,
) -> i32 {
    // SAFETY: libc's function with the program's arguments.
    let pid =
        unsafe { call!(real::WAIT3.get(), fn(*mut i32, i32, *mut c_void) -> i32)(status, options, usage) };
    waited(pid, status, options, Caller(sp, bp))
}

unsafe extern "C" fn on_wait4(
    pid: i32,
    status: *mut i32,
    options: i32,
    usage: *mut c_void,
    sp: *const u64,
    bp: u64,
) -> i32 {
    // SAFETY: libc's function with the program's arguments.
    let pid = unsafe {
        call!(real::WAIT4.get(), fn(i32, *mut i32, i32, *mut c_void) -> i32)(pid, status, options, usage)
    };
    waited(pid, status, options, Caller(sp, bp))
}

/// The beginning of a `siginfo_t` as `waitid` sets it.
#[repr(C)]
struct Child {
    signal: i32,
    error: i32,
    code: i32,
    padding: i32,
    pid: i32,
}

unsafe extern "C" fn on_waitid(
    by: i32,
    id: u32,
    child: *mut Child,
    options: i32,
    sp: *const u64,
    bp: u64,
) -> i32 {
    const LEAVE_WAITABLE: i32 = 0x0100_0000;
    /// `CLD_EXITED`, `CLD_KILLED`, `CLD_DUMPED`.
    const ENDED: core::ops::RangeInclusive<i32> = 1..=3;
    // SAFETY: libc's function with the program's arguments; what it says of a child is set when it succeeds.
    unsafe {
        let result = call!(real::WAITID.get(), fn(i32, u32, *mut Child, i32) -> i32)(by, id, child, options);
        if result == 0
            && options & LEAVE_WAITABLE == 0
            && let Some(child) = child.as_ref()
            && child.pid > 0
            && ENDED.contains(&child.code)
        {
            closed(ResourceKind::Process, child.pid as u64, Caller(sp, bp));
        }
        result
    }
}

const VFORK: usize = 58;
/// Results of system calls from here on are errors, negated.
const FIRST_ERROR: i32 = -4095;

/// As libc does it: the return address waits in a register, as the child returns on this stack too. Only in the parent,
/// which goes on when the child no longer needs its memory, ours is called. Where it fails, libc's own fails again.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn vfork() {
    naked_asm!(
        "pop rdi",
        "mov eax, {vfork}",
        "syscall",
        "push rdi",
        "cmp eax, {error}",
        "jae 3f",
        "test eax, eax",
        "jnz 2f",
        "ret",
        "2:",
        "mov edi, eax",
        "mov rsi, rsp",
        "mov rdx, rbp",
        "jmp {parent}",
        "3:",
        "sub rsp, 8",
        "call {real}",
        "add rsp, 8",
        "jmp rax",
        vfork = const VFORK,
        error = const FIRST_ERROR,
        parent = sym after_vfork,
        real = sym real_vfork,
    )
}

unsafe extern "C" fn after_vfork(pid: i32, sp: *const u64, bp: u64) -> i32 {
    opened(ResourceKind::Process, pid as u64, Caller(sp, bp));
    pid
}

extern "C" fn real_vfork() -> usize {
    real::VFORK.get()
}
