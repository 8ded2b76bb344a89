//! The end of a process: `heapwise` looks at its memory while it waits here.

use crate::{session, stream, sys, tls};
use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, Ordering::*};
use heapwise_trace::ring::*;

/// Saves all registers where `heapwise` can read them, and waits.
///
/// # Safety
/// The process is about to end, with `signal` or (0) by exit with `code`.
#[unsafe(naked)]
pub unsafe extern "C" fn wait_for_scan(signal: u32, code: i32) {
    naked_asm!(
        "push rbp", "push rbx", "push r12", "push r13", "push r14", "push r15",
        "push qword ptr fs:[0]",
        "mov rdx, rsp",
        "call {}",
        "add rsp, 8",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbx", "pop rbp",
        "ret",
        sym wait,
    )
}

const WAIT_MILLISECONDS: u64 = 20;
/// Waits without a sign of life of `heapwise` (60 s) before the process goes on.
const SILENT_WAITS: u32 = 3000;

/// `registers`: 7 words (thread pointer, r15 ... rbp), then the return address.
unsafe extern "C" fn wait(signal: u32, code: i32, registers: *const u64) {
    let Some(header) = session::header() else { return };
    let Some(control) = session::control() else { return };
    // A vfork child runs in its parent's memory: its end is not the parent's.
    if header.pid.load(Relaxed) != sys::pid() || header.exit.load(Relaxed) != EXIT_NONE {
        return;
    }
    stream::flush();
    let tls = tls::get();
    // SAFETY: this thread's words. From here on nothing is recorded.
    unsafe { (*tls).state = tls::OWN };
    header.exit_signal.store(signal, Relaxed);
    let code = if code == EXIT_CODE_UNKNOWN { code } else { code & 0xff };
    header.exit_code.store(code as u32, Relaxed);
    header.exit_thread.store(sys::thread_id(), Relaxed);
    header.exit_registers.store(registers as u64, Relaxed);
    header.exit_stack.store(registers as u64 + 8, Relaxed);
    sys::allow_tracer(control.listener.load(Relaxed));
    if header.exit.compare_exchange(EXIT_NONE, EXIT_WAITING, SeqCst, Relaxed).is_ok() {
        session::ring_doorbell();
        wait_while(control, &header.exit, |it| it == EXIT_WAITING);
    }
    // SAFETY: as above.
    unsafe { (*tls).state = tls::IDLE };
}

/// Waits until `heapwise` has read the accounts as they are now, at the mark with that number.
pub fn wait_for_accounts(mark: u32) {
    let (Some(header), Some(control)) = (session::header(), session::control()) else { return };
    session::ring_doorbell();
    // A mark of another thread may come later and be met first.
    wait_while(control, &header.marked, |it| (it.wrapping_sub(mark) as i32) < 0);
}

/// Waits while `is_waiting` says so of `word`, and `heapwise` shows signs of life.
fn wait_while(control: &Control, word: &AtomicU32, is_waiting: impl Fn(u32) -> bool) {
    let (mut heartbeat, mut silent) = (0, 0);
    loop {
        let value = word.load(Acquire);
        if !is_waiting(value) || !session::is_heard() || silent >= SILENT_WAITS {
            return;
        }
        sys::futex_wait(word, value, WAIT_MILLISECONDS);
        let now = control.heartbeat.load(Relaxed);
        silent = if now == heartbeat { silent + 1 } else { 0 };
        heartbeat = now;
    }
}
