//! Where the fields of the interpreter's structures stand: one file per version.
//!
//! All offsets are in bytes, of builds for 64-bit machines, taken from the versions' own headers by a compiler. What is
//! the same in all versions stands in the code that reads it.

mod common;
mod offsets;
mod v3_10;
mod v3_11;
mod v3_12;
mod v3_13;
mod v3_8;
mod v3_9;

use crate::Error;
use crate::memory::Copy;

pub use common::{CLOSED, FIELDS};

/// A version of CPython.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u8,
    pub minor: u8,
}

impl Version {
    pub fn new(major: u8, minor: u8) -> Version {
        Version { major, minor }
    }

    /// Of the number that `Py_Version` holds, and `PY_VERSION_HEX`.
    pub fn from_hex(hex: u32) -> Version {
        Version { major: (hex >> 24) as u8, minor: (hex >> 16) as u8 }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A field that holds a reference: where it stands, and its name.
pub type Field = (u32, &'static str);

/// Where one version's fields stand.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// In `_PyRuntime`: the first interpreter.
    pub interpreters: u64,
    /// In `_PyRuntime` (3.8) or the interpreter: the collector's generations.
    pub generations: u64,
    pub is_collector_of_runtime: bool,
    pub interpreter: InterpreterLayout,
    pub thread: ThreadLayout,
    pub frames: Frames,
    pub code: CodeLayout,
    pub frame: &'static [Field],
    pub function: &'static [Field],
    pub generator: &'static [Field],
    pub exception: &'static [Field],
    pub heap_type: HeapTypeLayout,
    pub dict_keys: DictKeys,
    pub attributes: Attributes,
    pub text: TextLayout,
    pub integers: Integers,
    /// Digits that `sys.getsizeof` counts at least.
    pub digits_min: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct InterpreterLayout {
    pub next: u64,
    pub threads: u64,
    pub modules: u64,
    pub sysdict: u64,
    pub builtins: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct ThreadLayout {
    pub next: u64,
    pub dict: u64,
    pub thread_id: u64,
    pub context: u64,
    /// Where the current frame is: at this field, and then at these of what it points to.
    pub frame: u64,
    pub frame_then: Option<u64>,
}

/// How calls of Python functions are kept.
#[derive(Clone, Copy, Debug)]
pub enum Frames {
    /// Each is an object of its own (to 3.10).
    Objects { stack: StackTop, locals: u64 },
    /// Records in memory of the thread, the generator or an object (since 3.11).
    Records(RecordLayout),
}

/// What tells how much of an object frame's stack is in use.
#[derive(Clone, Copy, Debug)]
pub enum StackTop {
    /// A pointer behind the uppermost entry; null while the frame runs (3.8, 3.9).
    Pointer(u64),
    /// A number of entries, negative while the frame runs (3.10).
    Depth(u64),
}

#[derive(Clone, Copy, Debug)]
pub struct RecordLayout {
    pub code: u64,
    pub previous: u64,
    pub function: u64,
    pub locals_dict: u64,
    pub object: u64,
    pub stacktop: u64,
    pub owner: u64,
    pub locals: u64,
    /// In a frame object: its record, and where that stands when the object owns it.
    pub of_object: u64,
    pub in_object: u64,
    /// In a generator: its record, and what state it is in.
    pub in_generator: u64,
    pub generator_state: u64,
    /// From this state on the record holds nothing.
    pub cleared: i8,
}

#[derive(Clone, Copy, Debug)]
pub struct CodeLayout {
    pub filename: u64,
    pub name: u64,
    pub first_line: u64,
    pub argument_count: u64,
    /// Numbers of a frame's slots: of its stack, and of its variables where that is a number.
    pub stack_size: u64,
    pub slots: Option<u64>,
    pub variables: Variables,
    pub fields: &'static [Field],
    pub opcode_cache: Option<OpcodeCache>,
}

/// Memory beside a code object (to 3.10).
#[derive(Clone, Copy, Debug)]
pub struct OpcodeCache {
    pub cells: u64,
    pub cell_arguments: u64,
    pub instructions: u64,
    pub entries: u64,
    pub count: u64,
}

/// The names of a frame's variables.
#[derive(Clone, Copy, Debug)]
pub enum Variables {
    /// Tuples of a code object, in the order of the frame's slots.
    Tuples([u64; 3]),
    /// One tuple.
    Tuple(u64),
}

#[derive(Clone, Copy, Debug)]
pub struct HeapTypeLayout {
    /// Bytes of a class made at run time, and of one that C code defines.
    pub size: u64,
    pub static_size: u64,
    pub name: u64,
    pub slots: u64,
    pub qualname: u64,
    pub cached_keys: u64,
    pub module: Option<u64>,
}

/// How the keys of a dictionary are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DictKeys {
    /// Size as a number, entries of three words (to 3.10).
    Wide,
    /// Size as a power of two, entries of two words where all keys are texts (since 3.11).
    Narrow,
}

/// Where an instance of a class without `__slots__` keeps its attributes, beyond `tp_dictoffset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// Only there (to 3.10).
    Dict,
    /// Values at -32, dictionary at -24 (3.11).
    TwoFields,
    /// Either at -24; values are marked by their lowest bit (3.12).
    OneField,
    /// Dictionary at -24, values behind the object (3.13).
    Inline,
}

#[derive(Clone, Copy, Debug)]
pub struct TextLayout {
    /// Bytes of the structures for ASCII, for other compact texts, and for those whose characters stand elsewhere.
    pub ascii: u64,
    pub compact: u64,
    pub other: u64,
    pub utf8_length: u64,
    pub utf8: u64,
    pub data: u64,
    /// A copy in wide characters, which the texts of 3.8 to 3.11 may have.
    pub wide: Option<u64>,
}

/// How an integer's digits are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integers {
    /// `ob_size`, negative for negative ones.
    Size,
    /// A tag: number of digits above three bits of sign and kind (since 3.12).
    Tag,
}

impl Layout {
    /// The layout of a version; for 3.13 what the runtime says of itself is checked.
    pub fn of(version: Version, memory: &mut Copy<'_>, runtime: u64) -> Result<Layout, Error> {
        let layout = match (version.major, version.minor) {
            (3, 8) => v3_8::LAYOUT,
            (3, 9) => v3_9::LAYOUT,
            (3, 10) => v3_10::LAYOUT,
            (3, 11) => v3_11::LAYOUT,
            (3, 12) => v3_12::LAYOUT,
            (3, 13) => return offsets::told(v3_13::LAYOUT, version, memory, runtime),
            _ => return Err(Error::UnknownVersion { version }),
        };
        Ok(layout)
    }
}
