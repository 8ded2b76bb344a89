//! Beginnings and ends: threads, forks, exit, unloaded modules; and this library's own start.

use super::resources::{self, Caller};
use crate::real::{self, call};
use crate::{exit, modules, python, session, stream, sys, tls};
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering::*};
use heapwise_trace::ResourceKind;
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
    python::begin();
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
unsafe extern "C" fn on_pthread_create(
    thread: *mut u64,
    attributes: *const c_void,
    start: *const c_void,
    argument: *mut c_void,
    sp: *const u64,
    bp: u64,
) -> i32 {
    session::identity_if_started(|it| it.is_stamped.store(1, Relaxed));
    // SAFETY: libc's function with the program's arguments; it sets `thread` where it succeeds.
    unsafe {
        let error = call!(
            real::PTHREAD_CREATE.get(),
            fn(*mut u64, *const c_void, *const c_void, *mut c_void) -> i32
        )(thread, attributes, start, argument);
        if error == 0 {
            resources::opened(ResourceKind::Thread, *thread / 8, Caller(sp, bp));
        }
        error
    }
}

entry!(pthread_create, 4, on_pthread_create);
entry!(fork, 0, on_fork);

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Marks in the parent's stream what a child finds in its memory.
unsafe extern "C" fn on_fork(sp: *const u64, bp: u64) -> i32 {
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
        if child > 0 {
            resources::opened(ResourceKind::Process, child as u64, Caller(sp, bp));
        }
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
