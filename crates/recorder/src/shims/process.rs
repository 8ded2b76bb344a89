//! Beginnings and ends: threads, forks, exec, exit, unloaded modules; and this library's own start.

use crate::real::{self, call};
use crate::{exit, modules, session, stream, sys, tls};
use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicU32, Ordering::*};
use heapwise_trace::ring::{Record, tag, wide};

/// Runs before the program's own constructors, and registers what runs after all of its destructors:
/// handlers are called last in, first out, and the loader's (which runs destructors) comes in later.
#[cfg_attr(feature = "cdylib", used, unsafe(link_section = ".init_array"))]
static START: extern "C" fn() = start;

extern "C" fn start() {
    stream::with(|_| {});
    if session::header().is_none() {
        return;
    }
    stream::unrecorded(|| {
        // SAFETY: libc's function; the handler lives as long as the program (this library is never unloaded).
        unsafe { real::on_exit(at_exit, core::ptr::null_mut()) };
        super::catch_fatal_signals();
    });
}

extern "C" fn at_exit(code: i32, _: *mut c_void) {
    // SAFETY: the process ends normally.
    unsafe { exit::wait_for_scan(0, code) };
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn _exit(code: i32) -> ! {
    // SAFETY: the process ends.
    unsafe {
        exit::wait_for_scan(0, code);
        call!(real::EXIT_NOW.get(), fn(i32))(code);
    }
    sys::abort()
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
#[allow(non_snake_case)]
unsafe extern "C" fn _Exit(code: i32) -> ! {
    // SAFETY: forwarded.
    unsafe { _exit(code) }
}

/// `at_quick_exit` handlers run after the scan: they see nothing of it.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn quick_exit(code: i32) -> ! {
    // SAFETY: the process ends.
    unsafe {
        exit::wait_for_scan(0, code);
        call!(real::QUICK_EXIT.get(), fn(i32))(code);
    }
    sys::abort()
}

/// A second thread makes a second stream: from here on records are stamped.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: *const c_void,
    argument: *mut c_void,
) -> i32 {
    session::identity_if_started(|it| it.is_stamped.store(1, Relaxed));
    // SAFETY: libc's function with the program's arguments.
    unsafe {
        call!(real::PTHREAD_CREATE.get(), fn(*mut c_void, *const c_void, *const c_void, *mut c_void) -> i32)(
            thread, attributes, start, argument,
        )
    }
}

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Marks in the parent's stream what a child finds in its memory.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn fork() -> i32 {
    let mut number = 0;
    stream::with(|thread| {
        number = u64::from(sys::pid()) << 32 | u64::from(FORKS.fetch_add(1, Relaxed) + 1);
        thread.mark(Record::new(tag::WIDE, wide::FORK, 0, number));
    });
    let tls = tls::get();
    // SAFETY: this thread's words; the child's copy keeps the number until it has made its ring.
    unsafe {
        (*tls).fork = number;
        let child = call!(real::FORK.get(), fn() -> i32)();
        if child == 0 {
            stream::with(|_| {});
        }
        (*tls).fork = 0;
        child
    }
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn dlclose(handle: *mut c_void) -> i32 {
    // SAFETY: libc's function with the program's argument.
    let result = unsafe { call!(real::DLCLOSE.get(), fn(*mut c_void) -> i32)(handle) };
    stream::with(modules::check_unloaded);
    result
}

type Strings = *const *const c_char;

/// Variables that a child needs to be recorded too, added where the program leaves them out.
const CARRIED: [&[u8]; 2] = [b"LD_PRELOAD=", b"HEAPWISE_SESSION="];
const ENTRIES_MAX: usize = 4096;

/// Calls `f` with `environment` plus the carried variables.
///
/// # Safety
/// `environment` is null or a null-terminated array of strings.
unsafe fn with_carried<R>(environment: Strings, f: impl FnOnce(Strings) -> R) -> R {
    // SAFETY: by the caller, and libc's own environment.
    unsafe {
        if session::header().is_none() || environment.is_null() || core::ptr::eq(environment, real::environ) {
            return f(environment);
        }
        let mut count = 0;
        while !(*environment.add(count)).is_null() {
            count += 1;
        }
        let find = |from: Strings, name: &[u8]| {
            let mut at = from;
            loop {
                if at.is_null() || (*at).is_null() {
                    return core::ptr::null();
                }
                if core::slice::from_raw_parts((*at).cast::<u8>(), name.len().min(strlen(*at))) == name {
                    return *at;
                }
                at = at.add(1);
            }
        };
        let missing = CARRIED.map(|name| {
            if find(environment, name).is_null() { find(real::environ, name) } else { core::ptr::null() }
        });
        if missing.iter().all(|it| it.is_null()) || count + 3 > ENTRIES_MAX {
            return f(environment);
        }
        // A mapping, not the stack: a vfork child runs on its parent's, and stacks can be small.
        let bytes = (count + 3) * 8;
        let copy = sys::map(bytes).cast::<*const c_char>();
        if copy.is_null() {
            return f(environment);
        }
        core::ptr::copy_nonoverlapping(environment, copy, count);
        for entry in missing {
            if !entry.is_null() {
                *copy.add(count) = entry;
                count += 1;
            }
        }
        let result = f(copy);
        sys::unmap(copy.cast(), bytes);
        result
    }
}

unsafe fn strlen(text: *const c_char) -> usize {
    // SAFETY: a terminated string.
    unsafe { core::ffi::CStr::from_ptr(text) }.count_bytes()
}

/// Functions that replace this process's program.
macro_rules! exec {
    ($($name:ident = $real:ident),*) => { $(
        #[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
        unsafe extern "C" fn $name(path: *const c_char, arguments: Strings, environment: Strings) -> i32 {
            stream::flush();
            // SAFETY: libc's function with the program's arguments.
            unsafe {
                with_carried(environment, |it| {
                    call!(real::$real.get(), fn(*const c_char, Strings, Strings) -> i32)(path, arguments, it)
                })
            }
        }
    )* };
}

exec!(execve = EXECVE, execvpe = EXECVPE);

/// Functions that start a program in a new process.
macro_rules! spawn {
    ($($name:ident = $real:ident),*) => { $(
        #[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
        unsafe extern "C" fn $name(
            pid: *mut i32,
            path: *const c_char,
            actions: *const c_void,
            attributes: *const c_void,
            arguments: Strings,
            environment: Strings,
        ) -> i32 {
            // SAFETY: libc's function with the program's arguments.
            unsafe {
                with_carried(environment, |it| {
                    call!(
                        real::$real.get(),
                        fn(*mut i32, *const c_char, *const c_void, *const c_void, Strings, Strings) -> i32
                    )(pid, path, actions, attributes, arguments, it)
                })
            }
        }
    )* };
}

spawn!(posix_spawn = POSIX_SPAWN, posix_spawnp = POSIX_SPAWNP);
