//! Where CPython keeps what a walk over its frames reads, by version.
//!
//! Offsets in bytes, of default x86-64 builds; from the headers of each version (`pycore_frame.h`, `pystate.h`,
//! `frameobject.h`, `code.h`). From 3.13 on the runtime publishes most of them itself (`_Py_DebugOffsets` in
//! `pycore_runtime.h`).

/// How a frame says which instruction it is at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// An `int`: bytes from the first instruction (3.8, 3.9).
    Bytes,
    /// An `int`: instructions of two bytes (3.10).
    Units,
    /// A pointer into the code object itself (3.11 and later).
    Pointer,
}

/// How a code object tells lines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// `co_lnotab`: address steps and line steps (3.9's `Objects/lnotab_notes.txt`).
    Lnotab,
    /// 3.10's `co_linetable`: ranges (PEP 626).
    Ranges,
    /// 3.11's and later `co_linetable`: ranges with columns (`Objects/locations.md`).
    Locations,
}

/// How frames tell that they were entered from C.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Each is (3.8 to 3.10).
    Every,
    /// A byte of the frame (3.11).
    Flag(u16),
    /// A frame of the interpreter's own lies in between (3.12 and later): its owner, at this offset, is 3 or more.
    Shim(u16),
}

#[derive(Clone, Copy)]
pub struct Layout {
    /// Of the thread state: the frame, or where another structure is that has it.
    pub thread_frame: u16,
    /// Of that structure: the frame.
    pub inner_frame: Option<u16>,
    pub previous: u16,
    pub code: u16,
    pub instruction: u16,
    pub kind: Instruction,
    pub entry: Entry,
    pub code_file: u16,
    /// The qualified name where there is one.
    pub code_name: u16,
    pub code_first_line: u16,
    pub code_lines: u16,
    /// The first instruction, where it is part of the code object.
    pub code_bytes: u16,
    pub lines: Lines,
    /// Of a compact string: its characters, if they are all ASCII, and otherwise.
    pub ascii: u16,
    pub compact: u16,
}

const V3_8: Layout = Layout {
    thread_frame: 24,
    inner_frame: None,
    previous: 24,
    code: 32,
    instruction: 104,
    kind: Instruction::Bytes,
    entry: Entry::Every,
    code_file: 104,
    code_name: 112,
    code_first_line: 40,
    code_lines: 120,
    code_bytes: 0,
    lines: Lines::Lnotab,
    ascii: 48,
    compact: 72,
};
const V3_10: Layout = Layout { instruction: 96, kind: Instruction::Units, lines: Lines::Ranges, ..V3_8 };
const V3_11: Layout = Layout {
    thread_frame: 56,
    inner_frame: Some(8),
    previous: 48,
    code: 32,
    instruction: 56,
    kind: Instruction::Pointer,
    entry: Entry::Flag(68),
    code_file: 112,
    code_name: 128,
    code_first_line: 72,
    code_lines: 136,
    code_bytes: 184,
    lines: Lines::Locations,
    ascii: 48,
    compact: 72,
};
const V3_12: Layout = Layout {
    inner_frame: Some(0),
    previous: 8,
    code: 0,
    entry: Entry::Shim(70),
    code_first_line: 68,
    code_bytes: 192,
    ascii: 40,
    compact: 56,
    ..V3_11
};
const V3_13: Layout = Layout { thread_frame: 72, inner_frame: None, code_bytes: 200, ..V3_12 };

/// The layout of version 3.`minor`; `None` where it is not known.
///
/// # Safety
/// `runtime` is the address of `_PyRuntime`.
pub unsafe fn of(minor: u32, runtime: u64) -> Option<Layout> {
    match minor {
        8 | 9 => Some(V3_8),
        10 => Some(V3_10),
        11 => Some(V3_11),
        12 => Some(V3_12),
        // SAFETY: by the caller.
        13 => unsafe { published(runtime, V3_13) },
        _ => None,
    }
}

/// `base` with what the runtime of 3.13 says of itself; `None` of a build without a global lock, whose objects begin
/// differently.
///
/// # Safety
/// As [`of`].
unsafe fn published(runtime: u64, base: Layout) -> Option<Layout> {
    // SAFETY: by the caller; 3.13's table has 73 words.
    let word = |at: usize| unsafe { *(runtime as *const u64).add(at) };
    if word(0) != u64::from_le_bytes(*b"xdebugpy") || word(2) != 0 {
        return None;
    }
    let small = |at: usize| u16::try_from(word(at)).ok();
    // Words: 3 of the header, 3 runtime, 13 interpreter, 9 thread, 6 frame, 10 code.
    Some(Layout {
        thread_frame: small(19 + 4)?,
        previous: small(28 + 1)?,
        code: small(28 + 2)?,
        instruction: small(28 + 3)?,
        entry: Entry::Shim(small(28 + 5)?),
        code_file: small(34 + 1)?,
        code_name: small(34 + 3)?,
        code_lines: small(34 + 4)?,
        code_first_line: small(34 + 5)?,
        code_bytes: small(34 + 9)?,
        ..base
    })
}
