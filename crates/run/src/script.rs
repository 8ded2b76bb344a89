//! Frames of scripts among native ones.
//!
//! The recorder tells both apart: the native stack of an event, and the script's. One native frame of the interpreter's
//! evaluation function stands for one or more frames of the script: for one that was entered from native code, and
//! those that it called without leaving the function. Put together,
//!
//! ```text
//!   native   main  Py_RunMain  Eval        list_sort   Eval      malloc
//!   script                     a -> b                  c
//!   merged                     a -> b      list_sort   c         malloc
//! ```
//!
//! What is further out than the first frame of a script is left out if it is the interpreter's own start.

use crate::maps;
use crate::observation::Observation;
use heapwise_model::Module;
use heapwise_symbols::Symbolizer;
use heapwise_trace::{CodeId, FrameId, ModuleId, StackId};
use rustc_hash::{FxHashMap, FxHashSet};

/// The function that runs frames.
const EVALUATION: &str = "_PyEval_EvalFrameDefault";

/// What a native frame is to an interpreter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Native {
    /// Its evaluation function.
    Evaluation,
    /// Other code of its own, or of libc.
    Runtime,
    /// Of the recorder.
    Recorder,
}

/// What an interpreter said of itself.
pub struct Interpreter {
    /// Address of `_PyRuntime`.
    pub runtime: u64,
    /// Address of the evaluation function.
    evaluation: u64,
    /// `3.11.2 (main, ...)`.
    pub version: String,
}

impl Interpreter {
    /// Of version 3.`minor`.
    pub fn minor(&self) -> Option<u8> {
        self.version.strip_prefix("3.")?.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
    }
}

#[derive(Default)]
pub struct Scripts {
    /// By the recorder's numbers.
    pub codes: FxHashMap<u32, CodeId>,
    pub interpreter: Option<Interpreter>,
    /// Whether code was seen that the interpreter does not bring.
    pub is_running: bool,
    /// Stacks whose innermost frame was entered from native code, by caller and frame.
    pub entries: FxHashMap<(StackId, FrameId), StackId>,
    entered: FxHashSet<StackId>,
    /// Native frames that are something to the interpreter.
    natives: FxHashMap<FrameId, Native>,
    symbolizer: Symbolizer,
}

impl Scripts {
    /// An interpreter is in the process; what there is to say of it.
    pub fn interpreter(&mut self, bytes: &[u8]) -> Option<String> {
        let word =
            |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().expect("eight bytes")));
        let (runtime, evaluation, is_known) = (word(0)?, word(8)?, word(16)?);
        let version = String::from_utf8_lossy(bytes.get(24..)?).into_owned();
        if is_known == 0 {
            let short = version.split(' ').next().unwrap_or_default();
            return Some(format!(
                "Python {short} is not known to this version of heapwise (3.8 to 3.13 with a global lock are): \
                 stacks show native frames only, and no objects"
            ));
        }
        self.interpreter = Some(Interpreter { runtime, evaluation, version });
        None
    }

    /// The innermost frame of the script's stack was entered from native code.
    pub fn entered(&mut self, parent: StackId, frame: FrameId, stack: StackId) {
        self.entries.insert((parent, frame), stack);
        self.entered.insert(stack);
    }

    /// A native frame was seen first, at `address`.
    pub fn native_frame(&mut self, observation: &Observation, id: FrameId, module: ModuleId, address: u64) {
        let Some(file) = observation.modules.get(module.index()).filter(|_| module.0 != 0) else { return };
        let Some(interpreter) = &self.interpreter else { return };
        let kind = if maps::is_own_file(&file.path) {
            Native::Recorder
        } else if holds(file, interpreter.evaluation) {
            // The part that is seldom run may lie elsewhere, with a suffix to its name.
            let name = self.symbolizer.symbol(file, address.wrapping_sub(file.bias));
            match name.is_some_and(|it| it.starts_with(EVALUATION)) {
                true => Native::Evaluation,
                false => Native::Runtime,
            }
        } else if is_libc(file) || is_start(file) {
            Native::Runtime
        } else {
            return;
        };
        self.natives.insert(id, kind);
    }

    /// Whether a frame is one of the recorder's, between the interpreter and what it calls.
    pub fn is_recorder(&self, frame: FrameId) -> bool {
        self.natives.get(&frame) == Some(&Native::Recorder)
    }

    /// Frames of both stacks, outermost first.
    pub fn merge(&self, observation: &Observation, native: StackId, script: StackId) -> Vec<FrameId> {
        let stacks = &observation.stacks;
        let mut natives: Vec<FrameId> = stacks.frames(native).collect();
        natives.reverse();
        let is_evaluation = |it: &FrameId| self.natives.get(it) == Some(&Native::Evaluation);
        let evaluations = natives.iter().filter(|it| is_evaluation(it)).count();
        let mut calls = self.calls(observation, script).into_iter();
        if evaluations == 0 {
            return calls.flatten().chain(natives).collect();
        }
        // Where one of the stacks was cut short, their inner ends belong together.
        let (mut extra, mut missing) =
            (calls.len().saturating_sub(evaluations), evaluations.saturating_sub(calls.len()));
        let first = natives.iter().position(is_evaluation).unwrap_or(0);
        let is_start = natives[..first].iter().all(|it| self.natives.contains_key(it));
        let mut merged = Vec::new();
        for frame in natives.into_iter().skip(if is_start { first } else { 0 }) {
            if !is_evaluation(&frame) {
                merged.push(frame);
            } else if missing > 0 {
                missing -= 1;
            } else {
                merged.extend(calls.by_ref().take(1 + std::mem::take(&mut extra)).flatten());
            }
        }
        merged
    }

    /// The script's frames, outermost first, each group entered from native code.
    fn calls(&self, observation: &Observation, script: StackId) -> Vec<Vec<FrameId>> {
        let stacks = &observation.stacks;
        let mut calls = vec![Vec::new()];
        let mut at = script;
        while at != StackId(0) {
            calls.last_mut().expect("never empty").push(stacks.frame(at));
            if self.entered.contains(&at) {
                calls.push(Vec::new());
            }
            at = stacks.parent(at);
        }
        calls.iter_mut().for_each(|it| it.reverse());
        calls.retain(|it| !it.is_empty());
        calls.reverse();
        calls
    }
}

fn holds(file: &Module, address: u64) -> bool {
    file.base <= address && address < file.end
}

fn is_libc(file: &Module) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    ["libc.so", "libc-", "libpthread", "ld-linux"].iter().any(|it| name.starts_with(it))
}

/// Whether a file is the small program that starts the interpreter of a library.
fn is_start(file: &Module) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    name.starts_with("python")
}
