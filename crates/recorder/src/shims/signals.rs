//! Fatal signals: the leak scan is made before the process dies of them.
//!
//! Where the program leaves a fatal signal to the system, a handler of ours waits for the scan, puts the
//! system's action back and lets the signal happen again. The program never sees it: `sigaction` and
//! `signal` go on telling it "default".
//!
//! A handler that the system would put back to the default when it calls it (`SA_RESETHAND`) is called by one of ours,
//! which puts our default back: such handlers end by raising the signal again, as Node's do.

use crate::real::{self, call};
use crate::{exit, node, sys};
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::*};

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
const SA_RESTART: i32 = 0x1000_0000;
const SA_RESETHAND: i32 = 0x8000_0000u32 as i32;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const SIG_ERR: usize = usize::MAX;

/// A handler of the program's that is called once; 0: none. The kernel knows no more of a mask than one word.
struct Once {
    handler: AtomicUsize,
    mask: AtomicU64,
    flags: AtomicI32,
}

static ONCE: [Once; SIGNALS] =
    [const { Once { handler: AtomicUsize::new(0), mask: AtomicU64::new(0), flags: AtomicI32::new(0) } };
        SIGNALS];

impl Once {
    fn keep(&self, action: &Action) {
        self.mask.store(action.mask[0], Relaxed);
        self.flags.store(action.flags, Relaxed);
        self.handler.store(action.handler, Release);
    }

    fn action(&self) -> Option<Action> {
        let handler = self.handler.load(Acquire);
        let mut mask = [0; 16];
        mask[0] = self.mask.load(Relaxed);
        (handler != 0).then(|| Action { handler, mask, flags: self.flags.load(Relaxed), restorer: 0 })
    }
}

unsafe extern "C" fn on_once(signal: i32, info: *const Info, context: *mut c_void) {
    let once = &ONCE[signal as usize];
    let handler = once.handler.swap(0, Relaxed);
    if handler == 0 {
        return;
    }
    // SAFETY: the kernel's structure; the program's handler, called as the system would, takes what arguments it wants.
    unsafe {
        IS_PASSED_ON[signal as usize].store(!(*info).is_own(), Relaxed);
        catch_again(signal);
        call!(handler, fn(i32, *const Info, *mut c_void))(signal, info, context);
    }
}

fn ours() -> Action {
    Action {
        handler: on_fatal as *const () as usize,
        mask: [u64::MAX; 16],
        flags: SA_SIGINFO | SA_ONSTACK | SA_RESTART,
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
    padding: i32,
    /// Of who sent it, where a process did.
    sender: u32,
}

impl Info {
    fn is_own(&self) -> bool {
        const SI_USER: i32 = 0;
        const SI_TKILL: i32 = -6;
        matches!(self.code, SI_USER | SI_TKILL) && self.sender == sys::pid()
    }
}

/// Another process sent a signal to a handler that is called once: the same signal from that handler is no wish of its
/// own.
static IS_PASSED_ON: [AtomicBool; SIGNALS] = [const { AtomicBool::new(false) }; SIGNALS];

unsafe extern "C" fn on_fatal(signal: i32, info: *const Info, context: *mut c_void) {
    // SAFETY: the process is about to die of this signal.
    unsafe {
        let is_own = (*info).is_own() && !IS_PASSED_ON[signal as usize].load(Relaxed);
        if !node::may_end(signal, is_own, context) {
            return;
        }
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

fn is_recorded(signal: i32) -> bool {
    FATAL.contains(&signal) && crate::session::header().is_some()
}

/// What the program believes to be installed where it is one of ours that calls it.
fn once(signal: i32) -> Option<Action> {
    ONCE.get(usize::try_from(signal).ok()?)?.action()
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn sigaction(signal: i32, new: *const Action, old: *mut Action) -> i32 {
    let believed = if is_caught(signal) { Some(DEFAULT) } else { once(signal) };
    // SAFETY: the program's pointer; libc would read it, too.
    let new = (!new.is_null()).then(|| unsafe { *new });
    let is_recorded = is_recorded(signal);
    let wanted = match new {
        Some(it) if it.handler == SIG_DFL && is_recorded => Some(ours()),
        Some(it) if it.handler > SIG_IGN && it.flags & SA_RESETHAND != 0 && is_recorded => {
            ONCE[signal as usize].keep(&it);
            let flags = it.flags & !SA_RESETHAND | SA_SIGINFO;
            Some(Action { handler: on_once as *const () as usize, flags, ..it })
        }
        other => other,
    };
    let wants = wanted.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the program's pointer, passed on; `old` was written on success.
    unsafe {
        let result = real_sigaction(signal, wants, old);
        if result != 0 {
            return result;
        }
        if let (Some(it), false) = (believed, old.is_null()) {
            *old = it;
        }
    }
    if let Some(wanted) = wanted {
        note(signal, wanted.handler);
    }
    0
}

/// Another handler is installed.
fn note(signal: i32, handler: usize) {
    let Some(at) = usize::try_from(signal).ok().filter(|it| *it < SIGNALS) else { return };
    IS_OURS[at].store(handler == ours().handler, Relaxed);
    if handler != on_once as *const () as usize {
        ONCE[at].handler.store(0, Relaxed);
    }
}

/// The program gave a fatal signal back to the system.
unsafe fn catch_again(signal: i32) {
    // SAFETY: lives through the call.
    if unsafe { real_sigaction(signal, &ours(), core::ptr::null_mut()) } == 0 {
        note(signal, ours().handler);
    }
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn signal(number: i32, handler: usize) -> usize {
    let believed = if is_caught(number) { Some(SIG_DFL) } else { once(number).map(|it| it.handler) };
    if let (Some(SIG_DFL), SIG_DFL) = (believed, handler) {
        return SIG_DFL;
    }
    // SAFETY: libc's function with the program's arguments.
    let old = unsafe { call!(real::SIGNAL.get(), fn(i32, usize) -> usize)(number, handler) };
    if old == SIG_ERR {
        return SIG_ERR;
    }
    note(number, handler);
    believed.unwrap_or(old)
}
