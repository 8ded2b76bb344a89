//! Interpreters, threads, frames, and the collector's lists.

use crate::layouts::{Frames, Layout, Version};
use crate::memory::{ADDRESS_MAX, Copy};
use crate::{Error, Interpreter};
use rustc_hash::FxHashSet;

/// Of each: more are those of damaged memory.
const INTERPRETERS_MAX: usize = 1 << 12;
const THREADS_MAX: usize = 1 << 18;
const FRAMES_MAX: usize = 1 << 22;
/// From the collector's first generation on: the others, what is frozen, and `gc.garbage`.
const GENERATIONS: [u64; 4] = [0, 24, 48, 80];
const GARBAGE: u64 = 184;
const COLLECTING: u64 = 176;
/// Bytes before an object that the collector's lists link.
pub const LINKS: u64 = 16;

/// What holds objects from outside.
#[derive(Debug, Default)]
pub struct State {
    /// Objects of the interpreters' own, with their names.
    pub held: Vec<(u64, &'static str)>,
    /// Dictionaries of all modules.
    pub modules: Vec<u64>,
    pub threads: Vec<Thread>,
    /// Heads of the collector's lists.
    pub lists: Vec<u64>,
    /// Whether a collector was at work: it takes lists apart and keeps numbers in their links.
    pub is_collecting: bool,
}

#[derive(Debug, Default)]
pub struct Thread {
    /// Dictionary, context.
    pub held: Vec<u64>,
    /// Innermost first.
    pub frames: Vec<FrameAt>,
}

/// A call that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameAt {
    /// An object, or the generator that a record stands in.
    Object(u64),
    /// A record in the thread's own memory.
    Record(u64),
}

/// Owners of a frame's record.
const BY_THREAD: u8 = 0;
const BY_GENERATOR: u8 = 1;
const BY_FRAME_OBJECT: u8 = 2;

/// Reads all interpreters.
pub fn state(memory: &mut Copy<'_>, layout: &Layout, of: &Interpreter) -> Result<State, Error> {
    let mut state = State::default();
    let mut interpreters = Vec::new();
    let mut at = memory.pointer(of.runtime.wrapping_add(layout.interpreters));
    while let Some(addr) = at.filter(|it| it % 8 == 0 && *it < ADDRESS_MAX && !interpreters.contains(it)) {
        if interpreters.len() == INTERPRETERS_MAX {
            break;
        }
        interpreters.push(addr);
        one(memory, layout, of.version, addr, &mut state)?;
        at = memory.pointer(addr + layout.interpreter.next);
    }
    if interpreters.is_empty() {
        let what = format!("no interpreter at {:#x}", of.runtime.wrapping_add(layout.interpreters));
        return Err(Error::NotARuntime { version: of.version, what });
    }
    if layout.is_collector_of_runtime {
        collector(memory, of.version, of.runtime.wrapping_add(layout.generations), &mut state)?;
    }
    Ok(state)
}

fn one(
    memory: &mut Copy<'_>,
    layout: &Layout,
    version: Version,
    addr: u64,
    state: &mut State,
) -> Result<(), Error> {
    if !layout.is_collector_of_runtime {
        collector(memory, version, addr + layout.generations, state)?;
    }
    let places = layout.interpreter;
    for (at, name) in
        [(places.modules, "sys.modules"), (places.sysdict, "sys"), (places.builtins, "builtins")]
    {
        if let Some(object) = memory.pointer(addr + at) {
            state.held.push((object, name));
            if name == "sys.modules" {
                state.modules.push(object);
            }
        }
    }
    let (mut met, mut frames) = (FxHashSet::default(), FxHashSet::default());
    let mut at = memory.pointer(addr + places.threads);
    while let Some(addr) = at.filter(|it| it % 8 == 0 && *it < ADDRESS_MAX && met.insert(*it)) {
        if met.len() > THREADS_MAX {
            break;
        }
        state.threads.push(thread(memory, layout, addr, &mut frames));
        at = memory.pointer(addr + layout.thread.next);
    }
    Ok(())
}

/// The lists of a collector: circular, with heads in the collector itself.
fn collector(memory: &mut Copy<'_>, version: Version, first: u64, state: &mut State) -> Result<(), Error> {
    let is_collecting = memory.half(first.wrapping_add(COLLECTING)) == Some(1);
    state.is_collecting |= is_collecting;
    for head in GENERATIONS.map(|it| first.wrapping_add(it)) {
        let next = memory.word(head).filter(|it| it % 4 == 0 && *it != 0);
        // The last one of a list leads back, and so does the first one backwards.
        let is_list = next.is_some_and(|next| {
            memory.word(next.wrapping_add(8)).is_some_and(|back| back & !7 == head || is_collecting)
        });
        if !is_list {
            let what = format!("no list of the collector's at {head:#x}");
            return Err(Error::NotARuntime { version, what });
        }
        state.lists.push(head);
    }
    if let Some(garbage) = memory.pointer(first + GARBAGE) {
        state.held.push((garbage, "gc.garbage"));
    }
    Ok(())
}

/// `met`: the frames of all threads.
fn thread(memory: &mut Copy<'_>, layout: &Layout, addr: u64, met: &mut FxHashSet<u64>) -> Thread {
    let places = layout.thread;
    let held = [places.dict, places.context].map(|at| memory.pointer(addr + at));
    let mut thread = Thread { held: held.into_iter().flatten().collect(), frames: Vec::new() };
    let mut at = memory.pointer(addr + places.frame);
    if let Some(then) = places.frame_then {
        at = at.and_then(|it| memory.pointer(it.checked_add(then)?));
    }
    while let Some(addr) = at.filter(|it| it % 8 == 0 && (4096..ADDRESS_MAX).contains(it) && met.insert(*it))
    {
        if met.len() > FRAMES_MAX {
            break;
        }
        match layout.frames {
            Frames::Objects { .. } => {
                thread.frames.push(FrameAt::Object(addr));
                at = memory.pointer(addr + 24);
            }
            Frames::Records(record) => {
                match memory.byte(addr + record.owner) {
                    Some(BY_THREAD) => thread.frames.push(FrameAt::Record(addr)),
                    Some(BY_GENERATOR) => thread.frames.push(FrameAt::Object(addr - record.in_generator)),
                    Some(BY_FRAME_OBJECT) => thread.frames.push(FrameAt::Object(addr - record.in_object)),
                    // A frame of the interpreter's own code.
                    _ => {}
                }
                at = memory.pointer(addr + record.previous);
            }
        }
    }
    thread
}
