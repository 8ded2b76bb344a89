//! The memory that the recorder shares with `heapwise`.
//!
//! ```text
//!   SESSION/control            one page: who listens, doorbell
//!   SESSION/ring-PID-N.0       segment 0 of one process image: header chunk, then data chunks
//!   SESSION/ring-PID-N.1 ...   further segments, added when chunks run out
//!   SESSION/ring-PID-N.a0 ...  accounts: what each stack costs in blocks of a runtime's own allocator
//!
//!   segment   = CHUNKS_PER_SEGMENT chunks of CHUNK_BYTES
//!   chunk     = ChunkHeader (64 bytes) then RECORDS_PER_CHUNK records of 16 bytes
//!   stream    = the chunks with one stream number, by `sequence`: the events of one thread
//!               (or of signal handlers that interrupted the recorder in that thread)
//! ```
//!
//! A chunk goes `FREE -> ACTIVE` (recorder, compare and swap), `ACTIVE -> FULL` (recorder),
//! `FULL -> FREE` (`heapwise`, after copying). Only the owner writes records; `committed` counts the
//! records that are complete, so a process killed anywhere leaves a readable prefix.
//!
//! **Order between streams.** While a process has had one stream only, records carry no time but an
//! occasional `TIME`. From the second stream on every record is stamped with the processor's time
//! stamp counter: before a block is given back, after a block was handed out. So for any address the
//! stamps of all streams tell the true order. `begun` is non-zero while a record is being made and
//! then no greater than that record's stamp: nothing older than the smallest `begun` is missing.
//!
//! **Accounts.** A language's runtime hands out and takes back small blocks by the ten million a second, most of which
//! live for microseconds. They get no records (unless asked for): the recorder adds them up by stack in [`Account`]s,
//! which `heapwise` reads from time to time, and keeps the stack and the size of each live one in a table of its own
//! memory ([`RingHeader::objects`]), which `heapwise` reads while the process stands still.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// First bytes of a control file and of a ring.
pub const MAGIC: u64 = u64::from_le_bytes(*b"HWRING\x01\0");
/// Both sides are of one build; a difference is refused.
pub const VERSION: u32 = 1;

pub const CHUNK_BYTES: usize = 32 * 1024;
pub const CHUNKS_PER_SEGMENT: usize = 16;
pub const SEGMENT_BYTES: usize = CHUNK_BYTES * CHUNKS_PER_SEGMENT;
pub const MAX_SEGMENTS: usize = 1024;
pub const CHUNK_HEADER_BYTES: usize = 64;
pub const RECORDS_PER_CHUNK: usize = (CHUNK_BYTES - CHUNK_HEADER_BYTES) / 16;

/// Names of the environment variables and files both sides use.
pub const SESSION_ENV: &[u8] = b"HEAPWISE_SESSION";
/// Set to anything: this program is not observed, nor what it starts.
pub const OFF_ENV: &[u8] = b"HEAPWISE_OFF";
pub const CONTROL_FILE: &[u8] = b"control";

/// `SESSION/control`.
#[repr(C)]
pub struct Control {
    pub magic: AtomicU64,
    pub version: AtomicU32,
    /// Process id of `heapwise`.
    pub listener: AtomicU32,
    /// Futex: changes whenever there is something to look at.
    pub doorbell: AtomicU32,
    /// `AWAKE`, or how deep `heapwise` sleeps on the doorbell.
    pub sleeping: AtomicU32,
    /// Rings ever made in this session.
    pub rings: AtomicU32,
    /// Non-zero: `heapwise` is gone or no longer interested; recorders stop.
    pub closed: AtomicU32,
    /// Increases while `heapwise` is working.
    pub heartbeat: AtomicU64,
    /// Processes whose ring could not be made.
    pub failed: AtomicU32,
    /// `OPTION_*`.
    pub options: AtomicU32,
    /// Increases when another `heapwise` has left a request in the folder.
    pub requests: AtomicU32,
    /// Mean bytes from one block that is told to the next; 0: all are.
    pub sample: AtomicU64,
}

/// `Control::options`: frees are recorded without their call stack.
pub const OPTION_NO_FREE_STACKS: u32 = 1;
/// `Control::options`: blocks of a runtime's own allocator get records as others do, and no accounts.
pub const OPTION_EACH_OBJECT: u32 = 2;

/// `Control::sleeping`.
pub const AWAKE: u32 = 0;
/// For a moment, while chunks fill: only who cannot go on wakes it.
pub const NAPPING: u32 = 1;
/// Until something happens.
pub const SLEEPING: u32 = 2;

pub const CHUNK_FREE: u32 = 0;
pub const CHUNK_ACTIVE: u32 = 1;
pub const CHUNK_FULL: u32 = 2;

/// First 64 bytes of every data chunk.
#[repr(C)]
pub struct ChunkHeader {
    pub state: AtomicU32,
    /// Complete records.
    pub committed: AtomicU32,
    pub stream: AtomicU32,
    pub sequence: AtomicU32,
    pub thread: AtomicU32,
    pub reserved: AtomicU32,
    /// See the module's page; 0 when no record is being made.
    pub begun: AtomicU64,
}

pub const EXIT_NONE: u32 = 0;
/// The process waits for the leak scan.
pub const EXIT_WAITING: u32 = 1;
/// `heapwise` has looked; the process may go on.
pub const EXIT_DONE: u32 = 2;
/// `RingHeader::exit_code` where the process does not know it yet.
pub const EXIT_CODE_UNKNOWN: i32 = i32::MIN;

/// Chunk 0 of segment 0.
#[repr(C)]
pub struct RingHeader {
    pub magic: AtomicU64,
    pub version: AtomicU32,
    pub pid: AtomicU32,
    pub parent_pid: AtomicU32,
    pub segments: AtomicU32,
    /// Non-zero for a forked child: the number in the parent's `FORK` record.
    pub fork: AtomicU64,
    /// Time stamp counter when the ring was made.
    pub start_stamp: AtomicU64,
    /// Streams ever opened.
    pub streams: AtomicU32,
    /// Futex: one of `EXIT_*`.
    pub exit: AtomicU32,
    /// 0 for `exit`, else the fatal signal.
    pub exit_signal: AtomicU32,
    pub exit_code: AtomicU32,
    pub exit_thread: AtomicU32,
    /// Address in the process of the waiting thread's saved registers (`EXIT_REGISTERS` words).
    pub exit_registers: AtomicU64,
    /// Its stack pointer: what is live starts here.
    pub exit_stack: AtomicU64,
    /// Events that could not be recorded.
    pub lost: AtomicU64,
    /// The recorder waits for a free chunk (futex).
    pub starved: AtomicU32,
    /// Entries of `own` in use.
    pub own_count: AtomicU32,
    /// Address in the process of the table of live blocks of a runtime's own allocator; 0: there is none.
    pub objects: AtomicU64,
    /// Bytes in such blocks now.
    pub object_bytes: AtomicU64,
    /// Marks whose end of accounts is written (futex), and who waits for that.
    pub marked: AtomicU32,
    /// Which blocks of accounts there are.
    pub accounts: [AtomicU32; ACCOUNT_BLOCKS],
    /// Mappings of the recorder itself, start and end: no part of the program's memory.
    pub own: [[AtomicU64; 2]; OWN_MAX],
}

/// Mappings that `RingHeader::own` has room for.
pub const OWN_MAX: usize = 1024;

/// What one stack costs in blocks of a runtime's own allocator, since the process image began. A number less than before
/// is impossible but where two interpreters that do not share a lock count at once: then some are missing.
#[repr(C)]
pub struct Account {
    pub allocations: AtomicU64,
    pub allocated_bytes: AtomicU64,
    pub frees: AtomicU64,
    pub freed_bytes: AtomicU64,
    /// Freed before the thread allocated again.
    pub temporary: AtomicU64,
}

/// The accounts of one file.
#[repr(C)]
pub struct Accounts {
    pub all: [Account; 1 << ACCOUNT_BITS],
    /// Set behind each change.
    pub is_changed: AtomicU32,
}

/// log2 of the stacks whose accounts are in one file, by their numbers.
pub const ACCOUNT_BITS: u32 = 12;
pub const ACCOUNT_BLOCKS: usize = 1 << (object::STACK_BITS - ACCOUNT_BITS);

/// The table of live blocks: `root[address >> 34]` is null or the address of a directory, `directory[address >> 20]` (14
/// bits) null or that of a page, and `page[address >> 4]` (16 bits) tells of the block that begins there.
pub mod object {
    /// Pointers in the root, and in a directory.
    pub const ROOT: usize = 1 << 13;
    pub const DIRECTORY: usize = 1 << 14;
    /// Words of four bytes in a page.
    pub const PAGE: usize = 1 << 16;
    /// A word is 0, or its block's stack | size.
    pub const SIZE_BITS: u32 = 10;
    /// Greater numbers are taken for the unknown stack.
    pub const STACK_BITS: u32 = 32 - SIZE_BITS;
}

/// Words saved at `RingHeader::exit_registers`.
pub const EXIT_REGISTERS: usize = 16;

/// What a record is: the low four bits of its first word.
pub mod tag {
    /// A block of a language runtime's own allocator: handed out where the size is not 0, else taken back.
    pub const OBJECT: u64 = 0;
    pub const ALLOC: u64 = 1; // + family (malloc, new, new[], map)
    pub const FREE: u64 = 5; // + family
    pub const RESIZE_BEGIN: u64 = 9;
    pub const RESIZE_END: u64 = 10;
    pub const TIME: u64 = 11;
    pub const FRAME: u64 = 12;
    pub const STACK: u64 = 13;
    pub const WIDE: u64 = 14;
    pub const BLOB: u64 = 15;
}

/// Second-level kinds of `tag::WIDE`, in the record's 16 time bits.
pub mod wide {
    /// The next record's size, all 64 bits.
    pub const SIZE: u64 = 1;
    /// The next record's address, all 64 bits.
    pub const ADDR: u64 = 2;
    /// The process forks; word 1 is the fork's number.
    pub const FORK: u64 = 3;
    /// The program says that something begins; word 1 is the number of the `blob::MARK` with its name.
    pub const MARK: u64 = 4;
    /// A resource was given out: the address field is its number, the size its [`crate::ResourceKind`].
    pub const OPEN: u64 = 5;
    /// A resource was given back; as `OPEN`.
    pub const CLOSE: u64 = 6;
}

/// Second-level kinds of `tag::BLOB`: `address` field = bytes that follow in whole records.
pub mod blob {
    /// base, end, bias (8 bytes each), build id length (1 byte), build id, path.
    pub const MODULE: u64 = 1;
    /// base, end (8 bytes each): a module is gone.
    pub const UNLOAD: u64 = 2;
    /// A function of a script: its number, length of its name (4 bytes each), name, file.
    pub const CODE: u64 = 3;
    /// A CPython interpreter: address of its runtime, address of the function that runs frames, whether its layout is
    /// known (8 bytes each), version.
    pub const PYTHON: u64 = 4;
    /// A mark's number (8 bytes), its name.
    pub const MARK: u64 = 5;
}

/// What a frame's number means besides.
pub mod frame {
    /// Kind of a `tag::FRAME`, in the record's 16 time bits: word 1 is a code's number (32 bits) | line (32 bits). Kind 0
    /// is a native one.
    pub const SCRIPT: u64 = 1;
    /// Of a script's frame in a stack: it was entered from native code.
    pub const ENTRY: u32 = 1 << 30;
    /// In a stack: the parent's frames are native ones, and the number without this bit is that of the stack of the
    /// script's frames among them.
    pub const LINK: u32 = 1 << 31;
}

/// Greatest stack number of a record (28 bits).
pub const MAX_STACK: u32 = (1 << 28) - 1;
/// Frame number of the marker "the stack is cut short here".
pub const FRAME_CUT: u32 = u32::MAX;
/// Sizes at or above this need `wide::SIZE`.
pub const SIZE_LIMIT: u64 = 1 << 36;
/// Addresses at or above this, or not divisible by 8, need `wide::ADDR`.
pub const ADDR_LIMIT: u64 = 1 << 47;
/// Time differences at or above this need a `TIME` record first.
pub const TIME_LIMIT: u64 = 1 << 16;

/// One 16-byte record.
///
/// ```text
///   word 0: address / 8 (44 bits) | time since the stream's last stamp (16) | tag (4)
///   word 1: size (36)             | stack (28)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Record(pub u64, pub u64);

impl Record {
    #[inline(always)]
    pub fn new(tag: u64, time: u64, addr_field: u64, word1: u64) -> Record {
        Record(addr_field << 20 | time << 4 | tag, word1)
    }
    /// `size < SIZE_LIMIT`, `stack <= MAX_STACK`.
    #[inline(always)]
    pub fn sized(size: u64, stack: u32) -> u64 {
        size << 28 | stack as u64
    }
    #[inline(always)]
    pub fn tag(self) -> u64 {
        self.0 & 15
    }
    #[inline(always)]
    pub fn time(self) -> u64 {
        self.0 >> 4 & 0xffff
    }
    /// The address field as it is (a number for definitions).
    #[inline(always)]
    pub fn field(self) -> u64 {
        self.0 >> 20
    }
    #[inline(always)]
    pub fn addr(self) -> u64 {
        self.0 >> 20 << 3
    }
    #[inline(always)]
    pub fn size(self) -> u64 {
        self.1 >> 28
    }
    #[inline(always)]
    pub fn stack(self) -> u32 {
        (self.1 & MAX_STACK as u64) as u32
    }
}

const _: () = assert!(size_of::<ChunkHeader>() <= CHUNK_HEADER_BYTES);
const _: () = assert!(size_of::<RingHeader>() <= CHUNK_BYTES);
const _: () = assert!(size_of::<Record>() == 16);
