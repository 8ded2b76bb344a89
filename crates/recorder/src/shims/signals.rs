//! Fatal signals: the leak scan is made before the process dies of them.
//!
//! Where the program leaves a fatal signal to the system, a handler of ours waits for the scan, puts the
//! system's action back and lets the signal happen again. The program never sees it: `sigaction` and
//! `signal` go on telling it "default".

use crate::real::{self, call};
use crate::{exit, sys};
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering::*};

const SIGNALS: usize = 65;
/// Ends the process by default, and can be caught: HUP INT QUIT ILL ABRT BUS FPE SEGV PIPE ALRM TERM XCPU XFSZ SYS.
const FATAL: [i32; 14] = [1, 2, 3, 4, 6, 7, 8, 11, 13, 14, 15, 24, 25, 31];
/// Raised by an instruction, which is run again when the handler returns.
const BY_INSTRUCTION: [i32; 4] = [4, 7, 8, 11];

/// Our handler is installed: the program believes in the default.
static IS_OURS: [AtomicBool; SIGNALS] = [const { AtomicBool::new(false) }; SIGNALS];

/// glibc's `struct sigaction` on x86-64.
#[derive(Clone, Copy)]
#[repr(C)]
struct Action {
    handler: usize,
    mask: [u64; 16],
    flags: i32,
    restorer: usize,
}

const DEFAULT: Action = Action { handler: 0, mask: [0; 16], flags: 0, restorer: 0 };
const SA_SIGINFO: i32 = 4;
const SA_ONSTACK: i32 = 0x0800_0000;
const SIG_ERR: usize = usize::MAX;

fn ours() -> Action {
    Action {
        handler: on_fatal as *const () as usize,
        mask: [u64::MAX; 16],
        flags: SA_SIGINFO | SA_ONSTACK,
        restorer: 0,
    }
}

unsafe fn real_sigaction(signal: i32, new: *const Action, old: *mut Action) -> i32 {
    // SAFETY: libc's function; pointers by the caller.
    unsafe { call!(real::SIGACTION.get(), fn(i32, *const Action, *mut Action) -> i32)(signal, new, old) }
}

/// Installs the handler for every fatal signal that is left to the system.
pub fn catch_fatal_signals() {
    for signal in FATAL {
        let mut old = DEFAULT;
        // SAFETY: both live through the calls.
        unsafe {
            if real_sigaction(signal, core::ptr::null(), &mut old) == 0
                && old.handler == 0
                && real_sigaction(signal, &ours(), core::ptr::null_mut()) == 0
            {
                IS_OURS[signal as usize].store(true, Relaxed);
            }
        }
    }
}

/// `struct siginfo` up to its code: positive when the kernel, not a process, sent it.
#[repr(C)]
struct Info {
    signal: i32,
    error: i32,
    code: i32,
}

unsafe extern "C" fn on_fatal(signal: i32, info: *const Info, _context: *mut c_void) {
    // SAFETY: the process is about to die of this signal.
    unsafe {
        exit::wait_for_scan(signal as u32, 0);
        IS_OURS[signal as usize].store(false, Relaxed);
        real_sigaction(signal, &DEFAULT, core::ptr::null_mut());
        if !(BY_INSTRUCTION.contains(&signal) && (*info).code > 0) {
            sys::raise(signal as u32);
        }
    }
}

fn is_caught(signal: i32) -> bool {
    usize::try_from(signal).is_ok_and(|it| it < SIGNALS && IS_OURS[it].load(Relaxed))
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn sigaction(signal: i32, new: *const Action, old: *mut Action) -> i32 {
    let was_ours = is_caught(signal);
    // SAFETY: the program's pointers, passed on; `old` was written on success.
    unsafe {
        let restores = was_ours && !new.is_null() && (*new).handler == 0;
        let wants = if restores { core::ptr::null() } else { new };
        let result = real_sigaction(signal, wants, old);
        if result == 0 && was_ours {
            if !old.is_null() {
                *old = DEFAULT;
            }
            if !wants.is_null() {
                IS_OURS[signal as usize].store(false, Relaxed);
            }
        } else if result == 0
            && !new.is_null()
            && (*new).handler == 0
            && FATAL.contains(&signal)
            && crate::session::header().is_some()
        {
            catch_again(signal);
        }
        result
    }
}

/// The program gave a fatal signal back to the system.
unsafe fn catch_again(signal: i32) {
    // SAFETY: lives through the call.
    if unsafe { real_sigaction(signal, &ours(), core::ptr::null_mut()) } == 0 {
        IS_OURS[signal as usize].store(true, Relaxed);
    }
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn signal(number: i32, handler: usize) -> usize {
    if is_caught(number) {
        if handler == 0 {
            return 0;
        }
        IS_OURS[number as usize].store(false, Relaxed);
        // SAFETY: libc's function with the program's arguments.
        let old = unsafe { call!(real::SIGNAL.get(), fn(i32, usize) -> usize)(number, handler) };
        return if old == SIG_ERR { SIG_ERR } else { 0 };
    }
    // SAFETY: as above.
    unsafe { call!(real::SIGNAL.get(), fn(i32, usize) -> usize)(number, handler) }
}
