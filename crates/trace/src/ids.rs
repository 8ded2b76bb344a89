//! Small typed numbers. All are plain data: nothing here is ever dereferenced.

/// An address in the observed program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Addr(pub u64);

/// A call stack, as a node of the prefix table: `0` is "unknown"; a parent is smaller than its children.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StackId(pub u32);

/// One frame (a place in code); `0` is "unknown".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FrameId(pub u32);

/// A loaded module; `0` is "none" (code that belongs to no file, such as JIT output).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ModuleId(pub u32);

/// A function of a script; `0` is "unknown".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CodeId(pub u32);

/// Nanoseconds since the recording began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Nanos(pub u64);

impl StackId {
    /// The stack of which nothing is known.
    pub const UNKNOWN: StackId = StackId(0);
    /// Position in a column indexed by stack.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl FrameId {
    /// Position in a column indexed by frame.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl CodeId {
    /// Position in a column indexed by code.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ModuleId {
    /// Position in a column indexed by module.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
