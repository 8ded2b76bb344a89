//! The records of one thread.
//!
//! A thread owns one chunk at a time. `next..chunk_end` are its unwritten records; `committed` in the
//! chunk's header is stored after each event, so that what is complete is visible at once. Writing stops to
//! think at `end`, which is the chunk's end, or before it where the clock is due.

use crate::stack::Chain;
use crate::{frames, python, real, session, stack, sys, tls};
use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::*, compiler_fence};
use heapwise_trace::ResourceKind;
use heapwise_trace::ring::*;

/// One thread's stream and the stack it saw last. Lives in a mapping of its own.
#[repr(C)]
pub struct Thread {
    /// `session::generation` when the stream was opened.
    pub generation: u64,
    next: *mut Record,
    /// `next <= end <= chunk_end`.
    end: *mut Record,
    chunk_end: *mut Record,
    chunk: *mut ChunkHeader,
    /// Stamp of the last record that carried or set a time.
    stamp: u64,
    /// `session::options`.
    pub options: u32,
    stream: u32,
    sequence: u32,
    tid: u32,
    pub stack: stack::Bounds,
    pub chain: Chain,
    pub paths: stack::Paths,
    pub known: stack::Known,
    pub wide: frames::Wide,
    pub scratch: stack::Scratch,
    pub python: python::Chain,
    /// The block of the last event that was not of a runtime's own allocator.
    pub last_block: u64,
    /// Of signal handlers that interrupted an event.
    pub is_nested: bool,
    /// Next in the pool of threads that ended.
    pool: *mut Thread,
}

/// Records between two looks at the clock while there is one stream.
const CLOCK_INTERVAL: usize = 256;
/// Records that one event takes at most, without definitions.
const EVENT_RECORDS: usize = 4;

static POOL: AtomicPtr<Thread> = AtomicPtr::new(core::ptr::null_mut());
static POOL_LOCK: AtomicU32 = AtomicU32::new(0);
/// pthread key whose destructor closes the stream of an ending thread, plus one.
static KEY: AtomicU32 = AtomicU32::new(0);

/// Runs `make` with this thread's stream, if there is one and it may be used now.
///
/// The state of the thread is `BUSY` (or `NESTED` inside a signal handler that interrupted an event)
/// while `make` runs, so that an event of a signal handler goes to a stream of its own.
#[inline(always)]
pub fn with(make: impl FnOnce(&mut Thread)) {
    let tls = tls::get();
    // SAFETY: this thread's words; signal handlers restore `state` before they return.
    unsafe {
        let before = (*tls).state;
        if before >= tls::NESTED {
            return skipped(before);
        }
        (*tls).state = before + 1;
        compiler_fence(SeqCst);
        let thread = (*tls).threads[before as usize];
        if !thread.is_null() && (*thread).generation == session::generation() {
            make(&mut *thread);
        } else if let Some(thread) = open(tls, before as usize) {
            make(thread);
        }
        compiler_fence(SeqCst);
        (*tls).state = before;
    }
}

/// Runs `f` without recording what it allocates.
pub fn unrecorded<R>(f: impl FnOnce() -> R) -> R {
    let tls = tls::get();
    // SAFETY: this thread's words.
    let before = unsafe { core::mem::replace(&mut (*tls).state, tls::OWN) };
    let result = f();
    // SAFETY: as above.
    unsafe { (*tls).state = before };
    result
}

#[cold]
fn skipped(state: u8) {
    if state == tls::NESTED
        && let Some(header) = session::header()
    {
        header.lost.fetch_add(1, Relaxed);
    }
}

/// Opens the stream of this thread at its first event (or the first after a fork).
///
/// # Safety
/// `tls` is this thread's, its state is `level + 1`.
#[cold]
#[inline(never)]
unsafe fn open<'a>(tls: *mut tls::Tls, level: usize) -> Option<&'a mut Thread> {
    if session::is_off() {
        return None;
    }
    // SAFETY: by the caller.
    unsafe { (*tls).state = tls::OWN };
    let thread = (|| {
        if !session::start() {
            return None;
        }
        // SAFETY: by the caller; a thread's memory is never unmapped.
        let mut thread = unsafe { (*tls).threads[level] };
        if thread.is_null() {
            thread = take_from_pool();
        }
        // SAFETY: null, or mapped and owned by this thread alone.
        let it = unsafe { thread.as_mut() }?;
        it.reset();
        it.is_nested = level > 0;
        if level == 0 {
            close_at_thread_end(thread);
        }
        if !it.next_chunk() {
            return None;
        }
        if it.stream == 0 {
            python::announce(it);
        }
        // SAFETY: by the caller.
        unsafe { (*tls).threads[level] = thread };
        Some(it)
    })();
    // SAFETY: by the caller.
    unsafe { (*tls).state = level as u8 + 1 };
    thread
}

impl Thread {
    fn reset(&mut self) {
        self.generation = session::generation();
        self.next = core::ptr::null_mut();
        self.end = core::ptr::null_mut();
        self.chunk_end = core::ptr::null_mut();
        self.chunk = core::ptr::null_mut();
        self.stamp = 0;
        self.options = session::options();
        self.sequence = 0;
        self.tid = sys::thread_id();
        self.stack = stack::Bounds::of_thread(self.tid == session::identity().pid.load(Relaxed));
        // SAFETY: the bounds of the running thread's stack.
        unsafe { self.chain.clear(&self.stack) };
        self.paths.start();
        stack::refresh(self);
        let Some(header) = session::header() else { return };
        self.stream = header.streams.fetch_add(1, Relaxed);
        if self.stream > 0 {
            session::identity().is_stamped.store(1, Relaxed);
        }
    }

    /// Where the next record goes: changes with each that is written.
    #[inline(always)]
    pub fn position(&self) -> *const Record {
        self.next
    }

    /// Marks that a record is being made that will be stamped later than now.
    #[inline(always)]
    pub fn begin(&mut self) {
        if session::is_stamped() {
            // SAFETY: a stream with this generation has a chunk.
            unsafe { (*self.chunk).begun.store(self.stamp | 1, Relaxed) };
        }
    }

    /// Writes the record of an event. `after`: the event is over (a block was handed out).
    #[inline(always)]
    pub fn event(&mut self, tag: u64, addr: u64, size: u64, stack: u32, after: bool) {
        let mut time = 0;
        if tag != tag::OBJECT {
            self.last_block = addr;
        }
        if session::is_stamped() {
            // A chunk begins with the last stamp, from which the event's time counts: no new one in between.
            if !self.reserve(EVENT_RECORDS) {
                return;
            }
            let now = if after { sys::stamp_after() } else { sys::stamp() };
            time = now.wrapping_sub(self.stamp);
            if time >= TIME_LIMIT {
                self.write_time(now);
                time = 0;
            }
            self.stamp = now;
        }
        if addr & 7 != 0 || addr >= ADDR_LIMIT || size >= SIZE_LIMIT {
            return self.event_wide(tag, addr, size, stack, time);
        }
        if self.write(Record::new(tag, time, addr >> 3, Record::sized(size, stack))) {
            // SAFETY: it was written to a chunk.
            unsafe { self.commit_chunk() }
        }
    }

    /// Several records of one event stay in one chunk.
    #[cold]
    #[inline(never)]
    fn event_wide(&mut self, tag: u64, addr: u64, size: u64, stack: u32, time: u64) {
        if self.reserve(3) {
            self.write(Record::new(tag::WIDE, wide::ADDR, 0, addr));
            self.write(Record::new(tag::WIDE, wide::SIZE, 0, size));
            self.write(Record::new(tag, time, 0, Record::sized(0, stack)));
            self.commit();
        }
    }

    /// Writes a definition or a marker; visible with the next commit. False: there is no room.
    #[inline(always)]
    pub fn write(&mut self, record: Record) -> bool {
        if self.next == self.end && !self.go_on() {
            return false;
        }
        // SAFETY: `next < end` lie in the chunk this stream owns.
        unsafe {
            self.next.write(record);
            self.next = self.next.add(1);
        }
        true
    }

    /// Makes room for at least one record: another chunk, or the time where the clock is due.
    #[cold]
    #[inline(never)]
    fn go_on(&mut self) -> bool {
        while self.next != self.chunk_end {
            if !session::is_stamped() {
                self.write_time(sys::stamp());
            }
            self.set_end();
            if self.next != self.end {
                return true;
            }
        }
        self.next_chunk()
    }

    /// Writes what time it is; there is room in the chunk.
    fn write_time(&mut self, now: u64) {
        debug_assert!(self.next < self.chunk_end);
        self.stamp = now;
        // SAFETY: `next < chunk_end` lie in the chunk this stream owns.
        unsafe {
            self.next.write(Record::new(tag::TIME, 0, 0, now));
            self.next = self.next.add(1);
        }
    }

    /// Writing goes on up to the end of the chunk, or until the clock is due.
    fn set_end(&mut self) {
        let records = if session::is_stamped() { self.room() } else { self.room().min(CLOCK_INTERVAL) };
        // SAFETY: no more than what is left of the chunk.
        self.end = unsafe { self.next.add(records) };
    }

    /// Records that fit into the chunk.
    fn room(&self) -> usize {
        (self.chunk_end as usize - self.next as usize) / 16
    }

    /// Writes `head` and the bytes of `parts` in whole records, in one chunk.
    #[cold]
    pub fn write_blob(&mut self, kind: u64, parts: &[&[u8]]) {
        let bytes: usize = parts.iter().map(|it| it.len()).sum();
        if 1 + bytes.div_ceil(16) > RECORDS_PER_CHUNK || !self.reserve(1 + bytes.div_ceil(16)) {
            return;
        }
        self.write(Record::new(tag::BLOB, kind, bytes as u64, 0));
        let mut block = [0u8; 16];
        let mut filled = 0;
        for &byte in parts.iter().flat_map(|it| it.iter()) {
            block[filled] = byte;
            filled += 1;
            if filled == 16 {
                self.write(to_record(block));
                (block, filled) = ([0; 16], 0);
            }
        }
        if filled > 0 {
            self.write(to_record(block));
        }
        self.commit();
    }

    /// Stamps and commits a marker that belongs at this point of time.
    pub fn mark(&mut self, record: Record) {
        if self.reserve(2) {
            self.write_time(sys::stamp());
            self.write(record);
            self.commit();
        }
    }

    #[inline(always)]
    pub fn commit(&mut self) {
        if !self.chunk.is_null() {
            // SAFETY: just checked.
            unsafe { self.commit_chunk() }
        }
    }

    /// # Safety
    /// There is a chunk.
    #[inline(always)]
    unsafe fn commit_chunk(&mut self) {
        // SAFETY: the chunk is ours; `next` lies in it.
        unsafe {
            let first = self.chunk.cast::<u8>().add(CHUNK_HEADER_BYTES);
            let records = (self.next as usize - first as usize) / 16;
            (*self.chunk).committed.store(records as u32, Release);
            (*self.chunk).begun.store(0, Release);
        }
    }

    /// Makes room for `records` in one chunk, without a look at the clock between them.
    fn reserve(&mut self, records: usize) -> bool {
        if self.room() < records && !(self.next_chunk() && self.room() >= records) {
            return false;
        }
        // SAFETY: there is room for so many.
        self.end = self.end.max(unsafe { self.next.add(records) });
        true
    }

    /// Gives the chunk to `heapwise` and takes a free one. False (and no room) when there is none:
    /// then `heapwise` is gone, and recording is off.
    #[cold]
    #[inline(never)]
    fn next_chunk(&mut self) -> bool {
        let begun = self.stamp | 1;
        self.close();
        self.next = core::ptr::null_mut();
        self.end = core::ptr::null_mut();
        self.chunk_end = core::ptr::null_mut();
        let generation = core::mem::replace(&mut self.generation, 0);
        let Some(header) = session::header() else { return false };
        let Some(chunk) = take_chunk(header) else {
            header.lost.fetch_add(1, Relaxed);
            return false;
        };
        self.generation = generation;
        // SAFETY: the chunk was free and is now ours.
        unsafe {
            (*chunk).stream.store(self.stream, Relaxed);
            (*chunk).sequence.store(self.sequence, Relaxed);
            (*chunk).thread.store(self.tid, Relaxed);
            (*chunk).committed.store(0, Relaxed);
            (*chunk).begun.store(begun, Relaxed);
            (*chunk).state.store(CHUNK_ACTIVE, Release);
            self.next = chunk.cast::<u8>().add(CHUNK_HEADER_BYTES).cast();
            self.chunk_end = self.next.add(RECORDS_PER_CHUNK);
        }
        self.sequence += 1;
        self.chunk = chunk;
        // A chunk can be read on its own: its first record says what time it is.
        if !session::is_stamped() {
            self.write_time(sys::stamp());
        } else if self.stamp != 0 {
            self.write_time(self.stamp);
        }
        self.set_end();
        true
    }

    /// Gives the chunk to `heapwise`.
    fn close(&mut self) {
        if !self.chunk.is_null() && self.generation == session::generation() {
            self.commit();
            // SAFETY: the chunk is ours until this store.
            unsafe { (*self.chunk).state.store(CHUNK_FULL, Release) };
            session::ring_softly();
        }
        self.chunk = core::ptr::null_mut();
    }
}

fn to_record(block: [u8; 16]) -> Record {
    let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| block[at + i]));
    Record(word(0), word(8))
}

/// Not yet filled: reserved by a compare and swap, not yet visible as active.
const CHUNK_TAKEN: u32 = 3;
/// Segments that a process may have because `heapwise` is slow; more only for more threads.
const SEGMENTS_FOR_LAG: usize = 8;

/// A free chunk; waits for one as long as `heapwise` is there.
fn take_chunk(header: &RingHeader) -> Option<*mut ChunkHeader> {
    let mut silent_since = (0u64, 0u32);
    loop {
        for chunk in session::chunks() {
            // SAFETY: chunks stay mapped in this image.
            let state = unsafe { &(*chunk).state };
            if state.load(Relaxed) == CHUNK_FREE
                && state.compare_exchange(CHUNK_FREE, CHUNK_TAKEN, Acquire, Relaxed).is_ok()
            {
                return Some(chunk);
            }
        }
        let streams = header.streams.load(Relaxed) as usize;
        let wanted = SEGMENTS_FOR_LAG.max(streams.div_ceil(CHUNKS_PER_SEGMENT / 2));
        if session::segment_count() < wanted && grow() {
            continue;
        }
        let control = session::control()?;
        if !session::is_heard() {
            session::stop();
            return None;
        }
        let heartbeat = control.heartbeat.load(Relaxed);
        silent_since =
            if heartbeat == silent_since.0 { (heartbeat, silent_since.1 + 1) } else { (heartbeat, 0) };
        if silent_since.1 > SILENT_WAITS {
            session::stop();
            return None;
        }
        header.starved.store(1, SeqCst);
        session::ring_doorbell();
        sys::futex_wait(&header.starved, 1, WAIT_MILLISECONDS);
    }
}

const WAIT_MILLISECONDS: u64 = 10;
/// Waits without any sign of life of `heapwise` (60 s) before recording ends.
const SILENT_WAITS: u32 = 6000;

static GROWING: AtomicU32 = AtomicU32::new(0);

fn grow() -> bool {
    if GROWING.swap(1, Acquire) != 0 {
        core::hint::spin_loop();
        return false;
    }
    let grown = session::add_segment();
    GROWING.store(0, Release);
    grown
}

fn take_from_pool() -> *mut Thread {
    if POOL_LOCK.swap(1, Acquire) == 0 {
        let head = POOL.load(Relaxed);
        if !head.is_null() {
            // SAFETY: pool entries stay mapped and are changed only under the lock.
            POOL.store(unsafe { (*head).pool }, Relaxed);
        }
        POOL_LOCK.store(0, Release);
        if !head.is_null() {
            return head;
        }
    }
    let slab = sys::map(size_of::<Thread>() * SLAB);
    if slab.is_null() {
        return core::ptr::null_mut();
    }
    session::own(slab, size_of::<Thread>() * SLAB);
    let first = slab.cast::<Thread>();
    for i in 1..SLAB {
        // SAFETY: within the fresh mapping, which nobody else knows yet.
        give_to_pool(unsafe { first.add(i) });
    }
    first
}

/// Threads mapped at once; pages that are not touched cost nothing.
const SLAB: usize = 16;

fn give_to_pool(thread: *mut Thread) {
    while POOL_LOCK.swap(1, Acquire) != 0 {
        core::hint::spin_loop();
    }
    // SAFETY: the caller owns `thread` and gives it up; the lock guards the list.
    unsafe { (*thread).pool = POOL.load(Relaxed) };
    POOL.store(thread, Relaxed);
    POOL_LOCK.store(0, Release);
}

/// Has `pthread` call [`thread_ends`]. A thread that allocates after its destructors just keeps its chunk.
fn close_at_thread_end(thread: *mut Thread) {
    let mut key = KEY.load(Relaxed);
    if key == 0 {
        // SAFETY: plain libc call; the destructor has the right type.
        if unsafe { real::pthread_key_create(&mut key, Some(thread_ends)) } != 0 {
            return;
        }
        match KEY.compare_exchange(0, key + 1, Relaxed, Relaxed) {
            Ok(_) => key += 1,
            Err(other) => key = other,
        }
    }
    // SAFETY: the key exists. May allocate for high keys; this thread's state is `OWN`.
    unsafe { real::pthread_setspecific(key - 1, thread.cast()) };
}

extern "C" fn thread_ends(thread: *mut c_void) {
    let tls = tls::get();
    let thread = thread.cast::<Thread>();
    // SAFETY: runs in the ending thread, whose words and stream these are.
    unsafe {
        if (*tls).threads[0] != thread || (*tls).state != tls::IDLE {
            return;
        }
        (*tls).state = tls::OWN;
        if python::is_here() && (*thread).generation == session::generation() {
            let number = tls::thread_pointer() / 8;
            let kind = Record::sized(ResourceKind::Thread as u64, 0);
            (*thread).mark(Record::new(tag::WIDE, wide::CLOSE, number, kind));
        }
        for slot in &mut (*tls).threads {
            if let Some(it) = core::mem::replace(slot, core::ptr::null_mut()).as_mut() {
                it.close();
                it.generation = 0;
                give_to_pool(it);
            }
        }
        (*tls).state = tls::IDLE;
    }
}

/// Gives everything of this thread to `heapwise` (before exec or exit).
pub fn flush() {
    with(|thread| thread.commit());
}
