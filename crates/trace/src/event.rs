//! Everything a recording can tell.

use crate::{Addr, CodeId, FrameId, ModuleId, Nanos, StackId};

/// Who hands a block out, and so who must take it back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Family {
    /// `malloc`, `calloc`, `realloc`, `aligned_alloc`, ...: taken back by `free`.
    Malloc = 0,
    /// `operator new`: taken back by `operator delete`.
    New = 1,
    /// `operator new[]`: taken back by `operator delete[]`.
    NewArray = 2,
    /// `mmap`: taken back by `munmap`; never a leak class of its own.
    Map = 3,
    /// The own allocator of a language's runtime: part of memory that it got from another family.
    Object = 4,
}

impl Family {
    /// From its number; unknown numbers are `malloc`'s.
    pub fn from_number(number: u64) -> Family {
        match number {
            4 => Family::Object,
            0..4 => Family::from_bits(number as u8),
            _ => Family::Malloc,
        }
    }

    /// From two bits, of any family but `Object`.
    pub fn from_bits(bits: u8) -> Family {
        match bits & 3 {
            0 => Family::Malloc,
            1 => Family::New,
            2 => Family::NewArray,
            _ => Family::Map,
        }
    }
}

/// Where a root of the heap graph was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum RootKind {
    /// A register of a thread.
    Register = 0,
    /// A thread's stack.
    Stack = 1,
    /// Writable data of a module (`.data`, `.bss`); `Event::Root::place` is an address in it.
    Global = 2,
    /// Thread-local storage.
    ThreadLocal = 3,
    /// A mapping the program made itself.
    Mapping = 4,
}

impl RootKind {
    /// From its number; unknown numbers are mappings.
    pub fn from_bits(bits: u8) -> RootKind {
        match bits {
            0 => RootKind::Register,
            1 => RootKind::Stack,
            2 => RootKind::Global,
            3 => RootKind::ThreadLocal,
            _ => RootKind::Mapping,
        }
    }
}

/// What an attachment of a recording is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum AttachmentKind {
    /// A heap snapshot as V8 writes it.
    HeapSnapshot = 1,
    /// What a runtime says of itself, as JSON.
    Runtime = 2,
    /// From a newer version.
    Unknown = 0,
}

impl AttachmentKind {
    /// From its number.
    pub fn from_bits(bits: u8) -> AttachmentKind {
        match bits {
            1 => AttachmentKind::HeapSnapshot,
            2 => AttachmentKind::Runtime,
            _ => AttachmentKind::Unknown,
        }
    }
}

/// What a process gets from the system and has to give back, besides memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ResourceKind {
    /// A descriptor of a file or a folder that was opened by its name.
    File = 0,
    /// A descriptor of a socket.
    Socket = 1,
    /// A descriptor of one end of a pipe.
    Pipe = 2,
    /// Any other descriptor, the second one of the same file among them.
    Descriptor = 3,
    /// A child process, until it is waited for; its number is its id.
    Process = 4,
    /// A thread; its number is the address of its control block (`pthread_t`), divided by 8.
    Thread = 5,
    /// Mapped pages of a file; its number is that of the first page.
    Mapping = 6,
}

impl ResourceKind {
    /// From its number; unknown numbers are descriptors.
    pub fn from_number(number: u64) -> ResourceKind {
        match number {
            0 => ResourceKind::File,
            1 => ResourceKind::Socket,
            2 => ResourceKind::Pipe,
            4 => ResourceKind::Process,
            5 => ResourceKind::Thread,
            6 => ResourceKind::Mapping,
            _ => ResourceKind::Descriptor,
        }
    }
}

/// What an object refers to, as it is written: see [`References::each`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct References<'a>(pub &'a [u8]);

/// A reference of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    /// See `model::EdgeKind`.
    pub kind: u8,
    /// It keeps nothing alive.
    pub is_idle: bool,
    /// A text's number, or an index, as the kind says.
    pub label: u32,
    /// The object that is referred to, in the order of all.
    pub target: u32,
}

/// One thing that happened, or was defined, in the order it happened.
///
/// Definitions (`Module`, `Frame`, `Stack`, `Thread`) come before their first use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// The process this recording is of. First event of every recording.
    Process { pid: u32, parent: u32, command: &'a [u8], start_unix_ns: u64 },
    /// A file mapped with code: `[base, end)`; `bias` turns addresses into the file's own (`addr - bias`).
    Module { id: ModuleId, base: Addr, end: Addr, bias: u64, path: &'a [u8], build_id: &'a [u8] },
    /// A native frame: address in the process, already moved inside the call instruction.
    /// `offset` is the file's own address (`addr - bias`), or the plain address where `module` is 0.
    Frame { id: FrameId, module: ModuleId, offset: u64 },
    /// A function of a script, as its language calls it, and the file it is written in.
    Code { id: CodeId, name: &'a [u8], path: &'a [u8] },
    /// A script's frame: the line it is at (0: not known).
    ScriptFrame { id: FrameId, code: CodeId, line: u32 },
    /// `parent` extended by `frame` (the inner one). `truncated`: frames beyond the outermost are missing.
    Stack { id: StackId, parent: StackId, frame: FrameId },
    /// A thread seen for the first time, or renamed.
    Thread { id: u32, name: &'a [u8] },
    /// A block was handed out.
    Alloc { at: Nanos, thread: u32, addr: Addr, size: u64, family: Family, stack: StackId },
    /// A block was taken back, as a block of `family`; `addr` need not be a live block.
    /// `size` is meant for mappings only (`munmap` can give back a part); 0 for others.
    Free { at: Nanos, thread: u32, addr: Addr, size: u64, family: Family, stack: StackId },
    /// `realloc` of a live block succeeded: `old` is gone, `new` holds `size` bytes. May be equal.
    Resize { at: Nanos, thread: u32, old: Addr, new: Addr, size: u64, stack: StackId },
    /// Not all blocks are told: as many as there would be, had each byte that is handed out the same chance to have its
    /// block told, `mean` bytes from one to the next. Comes before any block.
    Sampling { mean: u64 },
    /// A live block that was not told of otherwise: one that a forked child found in its memory at birth, or of a
    /// runtime's own allocator (which is in its stack's account: it counts nowhere else).
    Inherited { addr: Addr, size: u64, family: Family, stack: StackId },
    /// What a stack cost in blocks of a runtime's own allocator, beyond what was told before. Those of one moment end
    /// with an `AccountsEnd`.
    Account {
        stack: StackId,
        allocations: u64,
        allocated_bytes: u64,
        /// Freed before the thread allocated again.
        temporary: u64,
        live_blocks: i64,
        live_bytes: i64,
    },
    /// The accounts are those of this time.
    AccountsEnd { at: Nanos },
    /// Resident bytes and faults of the process at that time (totals since its start).
    Sample { at: Nanos, rss_bytes: u64, minor_faults: u64, major_faults: u64, swap_bytes: u64 },
    /// Leak scan: a root points at or into a block. `target` is the pointer's value, `place` where it stood.
    Root { kind: RootKind, place: Addr, target: Addr },
    /// Leak scan: block `from` holds at `offset` a pointer to `target` (start or interior of a block).
    Edge { from: Addr, offset: u64, target: Addr },
    /// Leak scan: a complete graph ended; what the roots and edges before it describe is the heap at that time.
    /// `certain` is false when the scan had to leave something out (said in a note).
    GraphEnd { at: Nanos, certain: bool },
    /// Objects of a language's runtime: a text that they are told by. Texts are numbered from 0 on.
    Text { bytes: &'a [u8] },
    /// A script that objects are placed in.
    Script { number: u32, path: &'a [u8] },
    /// The next object: its kind (see `model::ObjectKind`), its name and its references. `id` is 0 where its address is
    /// what it is known by in another dump, `stack` where it got its memory.
    Object { addr: Addr, size: u64, kind: u8, name: u32, id: u32, stack: StackId, references: References<'a> },
    /// Where an object is written: 1-based line and column, 0 where they are not known.
    ObjectPlace { object: u32, script: u32, line: u32, column: u32 },
    /// An object from which others are reached.
    ObjectRoot { kind: RootKind, object: u32 },
    /// The objects are complete; what the events since the last such one describe is the heap of a runtime of that
    /// `language` (see `model::Language`) at that time.
    ObjectsEnd { at: Nanos, language: u8 },
    /// In what kind of memory an address lies that was freed without being a block's
    /// (`RootKind::Mapping`: none that is known).
    Place { addr: Addr, kind: RootKind },
    /// A file that belongs to the recording: the pieces since the last one ([`crate::recording::Sink::piece`]).
    Attachment { at: Nanos, kind: AttachmentKind, name: &'a [u8] },
    /// The program said that something begins, and that what it said before has ended. No name: nothing begins.
    Mark { at: Nanos, name: &'a [u8] },
    /// A resource was given out. One that was given out under the same number before is gone.
    Open { at: Nanos, thread: u32, kind: ResourceKind, number: u64, stack: StackId },
    /// The resource with that number, of that kind or another one of its numbers, was given back. Stack 0: by whom is
    /// not known.
    Close { at: Nanos, thread: u32, kind: ResourceKind, number: u64, stack: StackId },
    /// A native frame lies in a function by which a runtime takes down objects that nothing refers to any more.
    Destructor { frame: FrameId },
    /// Something a reader of the report must know (events lost, scan not possible, ...).
    Note { text: &'a [u8] },
    /// The process ended: exit code, or the signal that killed it.
    Exit { at: Nanos, code: Option<u8>, signal: Option<u8> },
}
