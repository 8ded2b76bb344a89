//! The Python frames of an event, as the number of a stack.
//!
//! The frames seen last in the thread are kept, outermost first. At an event the interpreter's own chain is followed
//! from the current frame to one that is kept; from there outward each kept frame is compared with memory: what it
//! executes, and whom it was called by. Each comparison knows from what is kept where the next frame lies, so that
//! their loads do not wait for each other. A frame at its old address may be another call of the same function from
//! elsewhere, so all are compared, and the stack is numbered anew from the outermost difference on. Once a code object
//! was freed nothing is kept: its address may be another's.
//!
//! Everything that is read is alive: a frame is only read after the one it called said that it is its caller.

use super::code::{self, word};
use super::layout::{Entry, Instruction, Layout};
use crate::stream::Thread;
use crate::{frames, session};
use heapwise_trace::ring::{FRAME_CUT, frame};

/// Frames kept per stack; what is further out is cut off and marked.
const DEPTH_MAX: usize = 1024;
/// New frames that are looked for among the kept ones.
const LOOKED_FOR: usize = 32;

#[derive(Clone, Copy)]
#[repr(C)]
struct Link {
    frame: u64,
    /// The frame further out that called it, a kept one too; 0: there is none.
    caller: u64,
    /// What it executes.
    code: u64,
    instruction: u64,
    /// Number of the stack up to and including it.
    id: u32,
    /// It was entered from C.
    is_entry: bool,
    /// Nothing but a mark of the interpreter's own.
    is_shim: bool,
}

/// The frames seen last, and numbers of frames seen lately. Fresh memory (all zeros) knows nothing.
#[repr(C)]
pub struct Chain {
    /// `session::generation` and `code::epoch` that it is of.
    generation: u64,
    epoch: u32,
    length: usize,
    links: [Link; DEPTH_MAX],
    known: [Known; KNOWN],
    /// New frames, innermost first.
    scratch: [Link; DEPTH_MAX],
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Known {
    code: u64,
    instruction: u64,
    number: u32,
}

const KNOWN: usize = 2048;

/// Number of the stack of the Python frames that the thread with this state is in; 0 when it is in none.
///
/// # Safety
/// `state` is null or the state of this thread in the interpreter whose layout is `layout`.
#[inline(always)]
pub unsafe fn capture(thread: &mut Thread, layout: &Layout, state: u64) -> u32 {
    if state == 0 {
        return 0;
    }
    let chain = &mut thread.python;
    if chain.epoch != code::epoch() || chain.generation != session::generation() {
        chain.clear();
    }
    // SAFETY: by the caller; what a thread state points to lives as long as it does.
    let current = unsafe {
        let at = word(state + u64::from(layout.thread_frame));
        match layout.inner_frame {
            Some(_) if at == 0 => 0,
            Some(inner) => word(at + u64::from(inner)),
            None => at,
        }
    };
    if current == 0 {
        return 0;
    }
    // SAFETY: the current frame is alive.
    unsafe { stack_of(thread, layout, current) }
}

impl Chain {
    #[cold]
    #[inline(never)]
    fn clear(&mut self) {
        self.length = 0;
        if self.generation != 0 {
            self.known.fill(Known { code: 0, instruction: 0, number: 0 });
        }
        (self.generation, self.epoch) = (session::generation(), code::epoch());
    }
}

/// What a frame says of itself. Its number is not known yet.
///
/// # Safety
/// `frame` is alive.
#[inline(always)]
unsafe fn read(layout: &Layout, frame: u64) -> Link {
    // SAFETY: by the caller.
    unsafe {
        let (is_entry, is_shim) = match layout.entry {
            Entry::Every => (true, false),
            Entry::Flag(at) => (*((frame + u64::from(at)) as *const u8) != 0, false),
            Entry::Shim(at) => (false, *((frame + u64::from(at)) as *const u8) >= 3),
        };
        let code = word(frame + u64::from(layout.code));
        Link { frame, caller: 0, code, instruction: instruction(layout, frame), id: 0, is_entry, is_shim }
    }
}

/// # Safety
/// `frame` is alive.
#[inline(always)]
unsafe fn instruction(layout: &Layout, frame: u64) -> u64 {
    let at = frame + u64::from(layout.instruction);
    // SAFETY: by the caller.
    unsafe {
        match layout.kind {
            Instruction::Pointer => word(at),
            _ => u64::from(*(at as *const u32)),
        }
    }
}

/// The stack that ends in the frame `current`.
///
/// # Safety
/// `current` is alive.
#[inline(always)]
unsafe fn stack_of(thread: &mut Thread, layout: &Layout, current: u64) -> u32 {
    let chain = &mut thread.python;
    let top = chain.length;
    let (met, new) = match chain.links.get(top.wrapping_sub(1)) {
        Some(link) if link.frame == current => (top, New::default()),
        // SAFETY: by the caller.
        _ => unsafe { chain.follow(layout, current, LOOKED_FOR) },
    };
    // SAFETY: the innermost of the kept frames that were met is alive.
    match unsafe { chain.compare(layout, met) } {
        Some(changed) if changed == met && new.count == 0 && met > 0 => {
            chain.length = met;
            chain.links[met - 1].id
        }
        // SAFETY: as above.
        Some(changed) if met + new.count <= DEPTH_MAX => unsafe {
            let count = chain.take_back(layout, changed, met, new.count);
            number(thread, layout, changed, New { count, ..new })
        },
        // SAFETY: by the caller.
        _ => unsafe {
            let (_, new) = chain.follow(layout, current, 0);
            number(thread, layout, 0, new)
        },
    }
}

/// Frames in the scratch.
#[derive(Clone, Copy, Default)]
struct New {
    count: usize,
    /// There are more further out.
    is_cut: bool,
}

impl Chain {
    /// Follows the interpreter's chain from `current` until a kept frame is met, or to its end: how many kept frames
    /// end in that one. No more than the first `looked_for` frames are looked for.
    ///
    /// # Safety
    /// `current` is alive.
    #[inline(never)]
    unsafe fn follow(&mut self, layout: &Layout, current: u64, looked_for: usize) -> (usize, New) {
        let (mut at, mut count) = (current, 0);
        while at != 0 && count < DEPTH_MAX {
            if count < looked_for
                && let Some(met) = self.links[..self.length].iter().rposition(|it| it.frame == at)
            {
                return (met + 1, New { count, is_cut: false });
            }
            // SAFETY: the current frame is alive, and so are its callers.
            unsafe {
                self.scratch[count] = read(layout, at);
                at = word(at + u64::from(layout.previous));
            }
            count += 1;
        }
        (0, New { count, is_cut: at != 0 })
    }

    /// The outermost of the first `met` kept frames that executes something else than it did, or `met` if none does;
    /// `None` if one has another caller than it had.
    ///
    /// # Safety
    /// The innermost of them is alive.
    #[inline(always)]
    unsafe fn compare(&self, layout: &Layout, met: usize) -> Option<usize> {
        let mut changed = met;
        for at in (0..met).rev() {
            // SAFETY: `at < met <= DEPTH_MAX`. This frame is alive: it is the innermost, or the one before said that it
            // is its caller.
            unsafe {
                let link = self.links.get_unchecked(at);
                let is_same = (word(link.frame + u64::from(layout.code)) == link.code)
                    & (instruction(layout, link.frame) == link.instruction);
                changed = if is_same { changed } else { at };
                if word(link.frame + u64::from(layout.previous)) != link.caller {
                    return None;
                }
            }
        }
        Some(changed)
    }

    /// Puts the kept frames from `changed` to `met` behind the first `count` of the scratch; how many those are now.
    ///
    /// # Safety
    /// The kept frames up to `met` are alive; there is room.
    unsafe fn take_back(&mut self, layout: &Layout, changed: usize, met: usize, mut count: usize) -> usize {
        for at in (changed..met).rev() {
            // SAFETY: by the caller.
            self.scratch[count] = unsafe { read(layout, self.links[at].frame) };
            count += 1;
        }
        count
    }

    fn known(&mut self, link: &Link) -> &mut Known {
        let key = link.code ^ link.instruction.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &mut self.known[(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - KNOWN.trailing_zeros())) as usize]
    }
}

/// Numbers the scratch's frames, and puts them behind the first `length` kept ones.
///
/// # Safety
/// They were read from frames that are alive; both together are at most [`DEPTH_MAX`].
unsafe fn number(thread: &mut Thread, layout: &Layout, mut length: usize, new: New) -> u32 {
    debug_assert!(length + new.count <= DEPTH_MAX);
    let (mut id, mut caller, mut is_after_shim) = match length {
        0 => (if new.is_cut { frames::stack_of(thread, 0, FRAME_CUT) } else { 0 }, 0, true),
        _ => {
            let outer = thread.python.links[length - 1];
            (outer.id, outer.frame, outer.is_shim)
        }
    };
    for at in (0..new.count).rev() {
        let mut link = thread.python.scratch[at];
        // SAFETY: the frame is alive, and so is its code.
        if !link.is_shim && unsafe { code::is_code(link.code) } {
            // SAFETY: as above.
            let number = unsafe { frame_number(thread, layout, &link) };
            let is_entry = link.is_entry || matches!(layout.entry, Entry::Shim(_)) && is_after_shim;
            id = frames::stack_of(thread, id, number | if is_entry { frame::ENTRY } else { 0 });
        }
        is_after_shim = link.is_shim;
        (link.id, link.caller) = (id, caller);
        caller = link.frame;
        thread.python.links[length] = link;
        length += 1;
    }
    // With frames further out than are kept, the outermost kept one has a caller that is not 0.
    thread.python.length = if new.is_cut { 0 } else { length };
    id
}

/// # Safety
/// The frame's code is alive.
unsafe fn frame_number(thread: &mut Thread, layout: &Layout, link: &Link) -> u32 {
    let known = *thread.python.known(link);
    if known.code == link.code && known.instruction == link.instruction {
        return known.number;
    }
    // SAFETY: by the caller.
    let number = unsafe { code::frame_number(thread, layout, link.code, link.instruction) };
    *thread.python.known(link) = Known { code: link.code, instruction: link.instruction, number };
    number
}
