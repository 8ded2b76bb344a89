//! Call stacks as a prefix table, and what their frames are.
//!
//! ```text
//!   StackId   0        1        2        3
//!   parent    0        0        1        1       a parent is smaller than its children
//!   frame     -      main     make     load      a stack is read from itself (innermost) to 0
//! ```

use crate::{CodeId, FrameId, Language, ModuleId, StackId};

/// All stacks of a recording. Entry 0 is the empty, unknown stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackTable {
    parent: Vec<StackId>,
    frame: Vec<FrameId>,
}

impl Default for StackTable {
    fn default() -> Self {
        StackTable { parent: vec![StackId(0)], frame: vec![FrameId(0)] }
    }
}

impl StackTable {
    /// Adds `frame` called from `parent`; `None` when `parent` does not exist or ids run out.
    pub fn push(&mut self, parent: StackId, frame: FrameId) -> Option<StackId> {
        if parent.index() >= self.parent.len() || self.parent.len() > u32::MAX as usize {
            return None;
        }
        self.parent.push(parent);
        self.frame.push(frame);
        Some(StackId((self.parent.len() - 1) as u32))
    }

    /// Number of entries, the unknown stack included.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Whether only the unknown stack is there.
    pub fn is_empty(&self) -> bool {
        self.parent.len() == 1
    }

    /// The calling stack; unknown for unknown ids.
    pub fn parent(&self, id: StackId) -> StackId {
        self.parent.get(id.index()).copied().unwrap_or_default()
    }

    /// The innermost frame; unknown for unknown ids.
    pub fn frame(&self, id: StackId) -> FrameId {
        self.frame.get(id.index()).copied().unwrap_or_default()
    }

    /// Frames from the innermost to the outermost.
    pub fn frames(&self, id: StackId) -> impl Iterator<Item = FrameId> + '_ {
        let mut at = if id.index() < self.parent.len() { id } else { StackId(0) };
        std::iter::from_fn(move || {
            if at == StackId(0) {
                return None;
            }
            let frame = self.frame[at.index()];
            // Ends because a parent is always smaller.
            at = self.parent[at.index()];
            Some(frame)
        })
    }
}

/// A file mapped with code.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Module {
    /// As the loader names it; may hold any bytes, lossily converted.
    pub path: String,
    /// GNU build id; empty where the file has none.
    pub build_id: Vec<u8>,
    /// Address range in the process `[base, end)`.
    pub base: u64,
    pub end: u64,
    /// `address - bias` is the file's own address.
    pub bias: u64,
}

/// A function of a script.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Code {
    /// As its language calls it, with the classes and functions around it where that is known.
    pub name: String,
    pub path: String,
}

/// A place in code before symbols are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frame {
    Native {
        /// 0: code without a file (JIT output), `offset` is then a plain address.
        module: ModuleId,
        /// The file's own address, already moved inside the call instruction.
        offset: u64,
    },
    Script {
        code: CodeId,
        /// 0: not known.
        line: u32,
    },
}

impl Default for Frame {
    fn default() -> Frame {
        Frame::Native { module: ModuleId(0), offset: 0 }
    }
}

/// One frame with all that symbols tell. An address with inlined calls gives several, innermost first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ResolvedFrame {
    /// Demangled; `None` where no symbol covers the address.
    pub function: Option<String>,
    /// Source file as the compiler recorded it (made absolute with its compilation directory).
    pub path: Option<String>,
    /// 1-based.
    pub line: Option<u32>,
    /// 1-based, bytes.
    pub column: Option<u32>,
    /// File name of the module (`libc.so.6`); empty for JIT code.
    pub module: String,
    /// The module's own address.
    pub offset: u64,
    /// This frame was inlined into the next one.
    pub is_inlined: bool,
    /// The module is part of the system or of a language's runtime (under /lib, /usr/lib, std's sources), not the user's own code.
    pub is_library: bool,
    pub language: Option<Language>,
}
