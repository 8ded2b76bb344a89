//! The ring this process image writes into, and the control page of `heapwise`.
//!
//! A page that the kernel wipes in forked children holds this image's generation: whoever forks,
//! and however, the child finds generation 0, and makes a ring of its own at its first event.

use crate::{real, sys, tls};
use core::ffi::c_char;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use heapwise_trace::ring::*;

/// Wiped in forked children.
#[repr(C)]
pub struct Identity {
    /// Non-zero once this image has a ring (or has learned that it never will: see [`OFF`]).
    pub generation: AtomicU64,
    pub pid: AtomicU32,
    /// Spin lock of `start`; a fork in the middle leaves it free in the child.
    starting: AtomicU32,
    /// More than one stream has been opened: stamp every record.
    pub is_stamped: AtomicU32,
}

static NO_IDENTITY: Identity = Identity {
    generation: AtomicU64::new(0),
    pid: AtomicU32::new(0),
    starting: AtomicU32::new(0),
    is_stamped: AtomicU32::new(0),
};
static IDENTITY: AtomicPtr<Identity> = AtomicPtr::new((&raw const NO_IDENTITY).cast_mut());
static CONTROL: AtomicPtr<Control> = AtomicPtr::new(core::ptr::null_mut());
static SEGMENTS: [AtomicPtr<u8>; MAX_SEGMENTS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_SEGMENTS];
static SEGMENT_COUNT: AtomicUsize = AtomicUsize::new(0);
static GENERATIONS: AtomicU64 = AtomicU64::new(0);
static PARENT: AtomicU32 = AtomicU32::new(0);

const UNKNOWN: u32 = 0;
const ON: u32 = 1;
/// Nothing is recorded in this image nor in its forked children.
const OFF: u32 = 2;
static MODE: AtomicU32 = AtomicU32::new(UNKNOWN);

const NAME_MAX: usize = 512;
/// `SESSION/ring-PID-STAMP.`, to which the segment's number is appended.
struct Name(core::cell::UnsafeCell<([u8; NAME_MAX], usize)>);
// SAFETY: written under `Identity::starting` before the generation is published, read after.
unsafe impl Sync for Name {}
static RING_NAME: Name = Name(core::cell::UnsafeCell::new(([0; NAME_MAX], 0)));

/// Name of the loader's variable.
pub const PRELOAD: &[u8] = b"LD_PRELOAD=";

/// What a child needs in its environment to be recorded too.
pub struct Carried {
    /// `LD_PRELOAD=` and this library alone.
    pub preload: &'static [u8],
    /// The session's variable, with a terminator.
    pub session: &'static [u8],
}

// SAFETY (both): written by `prepare` before the control page is published, read after.
static CARRIED_PRELOAD: Name = Name(core::cell::UnsafeCell::new(([0; NAME_MAX], 0)));
static CARRIED_SESSION: Name = Name(core::cell::UnsafeCell::new(([0; NAME_MAX], 0)));

/// As the loader gave them to this program, whatever it has done to its environment since.
pub fn carried() -> Option<Carried> {
    control()?;
    // SAFETY: see the statics.
    let (preload, len) = unsafe { &*CARRIED_PRELOAD.0.get() };
    let session = carried_session()?;
    (*len > 0).then_some(Carried { preload: &preload[..*len], session })
}

fn carried_session() -> Option<&'static [u8]> {
    control()?;
    // SAFETY: see the statics.
    let (session, len) = unsafe { &*CARRIED_SESSION.0.get() };
    (*len > 0).then_some(&session[..=*len])
}

/// The session's folder.
fn folder() -> Option<&'static [u8]> {
    let entry = carried_session()?.strip_suffix(b"\0")?;
    entry.get(SESSION_ENV.len() + 1..)
}

/// Keeps copies of what [`carried`] gives; nothing when one is too long.
fn keep_carried(environ: *const *const c_char, session: &[u8]) {
    let library = variable(environ, PRELOAD.strip_suffix(b"=").unwrap_or(PRELOAD));
    let library = library.and_then(|it| it.split(|&it| it == b':' || it == b' ').next());
    let library = library.unwrap_or_default();
    for (place, parts) in
        [(&CARRIED_PRELOAD, [PRELOAD, b"", library]), (&CARRIED_SESSION, [SESSION_ENV, b"=", session])]
    {
        let mut entry = Path::new();
        for part in parts {
            entry.push(part);
        }
        if !parts[2].is_empty() && entry.len + 1 < NAME_MAX {
            // SAFETY: the control page is not published yet.
            unsafe { *place.0.get() = (entry.bytes, entry.len) };
        }
    }
}

#[inline(always)]
pub fn identity() -> &'static Identity {
    // SAFETY: points to the static or to a mapping that is never unmapped.
    unsafe { &*IDENTITY.load(Relaxed) }
}

#[inline(always)]
pub fn generation() -> u64 {
    identity().generation.load(Relaxed)
}

#[inline(always)]
pub fn is_stamped() -> bool {
    identity().is_stamped.load(Relaxed) != 0
}

pub fn is_off() -> bool {
    MODE.load(Relaxed) == OFF
}

pub fn control() -> Option<&'static Control> {
    // SAFETY: null or a mapping that is never unmapped.
    unsafe { CONTROL.load(Acquire).as_ref() }
}

/// Mean bytes from one block that is told to the next; 0: all are.
static SAMPLE: AtomicU64 = AtomicU64::new(0);

#[inline(always)]
pub fn sample() -> u64 {
    SAMPLE.load(Relaxed)
}

/// The ring's header; only after [`start`] succeeded in this image.
pub fn header() -> Option<&'static RingHeader> {
    if generation() == 0 || is_off() {
        return None;
    }
    // SAFETY: segment 0 starts with the header and stays mapped as long as this image lives.
    unsafe { SEGMENTS[0].load(Acquire).cast::<RingHeader>().as_ref() }
}

/// Stops recording for good: `heapwise` is gone. What is in shared memory stays.
pub fn stop() {
    MODE.store(OFF, Relaxed);
}

/// Stops recording at once, for all threads.
pub fn end() {
    stop();
    // No stream is of this generation.
    identity().generation.store(0, Release);
}

/// Makes this image's ring; true when events can be recorded. Called with the thread's state `OWN`.
#[cold]
pub fn start() -> bool {
    if MODE.load(Relaxed) == OFF {
        return false;
    }
    let identity = match prepare() {
        Some(it) => it,
        None => return false,
    };
    if identity.generation.load(Acquire) != 0 {
        return true;
    }
    let mask = sys::block_signals();
    while identity.starting.swap(1, Acquire) != 0 {
        core::hint::spin_loop();
    }
    let started = identity.generation.load(Acquire) != 0 || make_ring(identity);
    if !started {
        stop();
        if let Some(control) = control() {
            control.failed.fetch_add(1, Relaxed);
        }
    }
    identity.starting.store(0, Release);
    sys::set_signals(mask);
    started
}

/// Opens the control page and the wiped page, once per program (children inherit both).
fn prepare() -> Option<&'static Identity> {
    if CONTROL.load(Acquire).is_null() {
        // SAFETY: libc's variable; null until libc is initialized, and then nothing is recorded yet.
        let environ = unsafe { real::environ };
        if environ.is_null() {
            return None;
        }
        let session = variable(environ, SESSION_ENV).filter(|_| variable(environ, OFF_ENV).is_none());
        let Some(session) = session else {
            stop();
            return None;
        };
        let mut path = Path::new();
        path.push(session);
        path.push(b"/");
        path.push(CONTROL_FILE);
        let control =
            sys::open(path.terminated(), sys::O_RDWR | sys::O_CLOEXEC | sys::O_NOFOLLOW).and_then(|fd| {
                let p = sys::map_file(fd, sys::PAGE).cast::<Control>();
                sys::close(fd);
                // SAFETY: null or a fresh mapping of a page.
                unsafe { p.as_ref() }
            });
        let Some(control) = control else {
            stop();
            return None;
        };
        if control.magic.load(Relaxed) != MAGIC
            || control.version.load(Relaxed) != VERSION
            || control.closed.load(Relaxed) != 0
        {
            stop();
            return None;
        }
        let page = sys::map(sys::PAGE);
        // SAFETY: our own page. Without the advice (before Linux 4.14) forks could not be told.
        if page.is_null() || !unsafe { sys::advise(page, sys::PAGE, sys::WIPEONFORK) } {
            stop();
            return None;
        }
        keep_carried(environ, session);
        SAMPLE.store(control.sample.load(Relaxed), Relaxed);
        IDENTITY.store(page.cast(), Release);
        CONTROL.store(core::ptr::from_ref(control).cast_mut(), Release);
    }
    Some(identity())
}

fn make_ring(identity: &Identity) -> bool {
    let Some(control) = control() else { return false };
    let Some(session) = folder() else { return false };
    let pid = sys::pid();
    let stamp = sys::stamp();
    let mut path = Path::new();
    path.push(session);
    path.push(b"/ring-");
    path.push_number(pid as u64);
    path.push(b"-");
    path.push_number(stamp);
    path.push(b".");
    // SAFETY: under `starting`.
    unsafe { *RING_NAME.0.get() = (path.bytes, path.len) };
    crate::frames::reset();
    crate::python::reset();
    crate::modules::reset();
    SEGMENT_COUNT.store(0, Relaxed);
    if !add_segment() {
        return false;
    }
    // SAFETY: the fresh first segment.
    let header = unsafe { &*SEGMENTS[0].load(Relaxed).cast::<RingHeader>() };
    header.version.store(VERSION, Relaxed);
    header.pid.store(pid, Relaxed);
    header.start_stamp.store(stamp, Relaxed);
    // SAFETY: this thread's words.
    let fork = unsafe { (*tls::get()).fork };
    header.fork.store(fork, Relaxed);
    header.parent_pid.store(if fork != 0 { PARENT.load(Relaxed) } else { sys::parent_pid() }, Relaxed);
    header.segments.store(1, Relaxed);
    // This library's own data: what is anonymous of it may be joined to a neighbor in the process's maps.
    if let Some(object) = crate::modules::find(make_ring as *const () as u64) {
        own(object.map_start.cast_mut(), object.map_end as usize - object.map_start as usize);
    }
    header.magic.store(MAGIC, Release);
    PARENT.store(pid, Relaxed);
    identity.pid.store(pid, Relaxed);
    identity.is_stamped.store(0, Relaxed);
    identity.generation.store(GENERATIONS.fetch_add(1, Relaxed) + 1, Release);
    MODE.store(ON, Relaxed);
    control.rings.fetch_add(1, Release);
    ring_doorbell();
    true
}

/// Maps one more segment; its chunks are free.
pub fn add_segment() -> bool {
    let n = SEGMENT_COUNT.load(Relaxed);
    if n >= MAX_SEGMENTS {
        return false;
    }
    // SAFETY: written once before the first segment of this image.
    let (bytes, len) = unsafe { *RING_NAME.0.get() };
    let mut path = Path { bytes, len };
    path.push_number(n as u64);
    let Some(p) = new_file(&path, SEGMENT_BYTES) else { return false };
    SEGMENTS[n].store(p, Release);
    SEGMENT_COUNT.store(n + 1, Release);
    if n > 0 {
        // SAFETY: segment 0 is mapped.
        unsafe { &*SEGMENTS[0].load(Relaxed).cast::<RingHeader>() }.segments.store(n as u32 + 1, Release);
    }
    true
}

/// Maps a block of accounts; all are zero.
pub fn add_accounts(number: usize) -> Option<*mut Accounts> {
    let header = header()?;
    // SAFETY: written before the first segment of this image.
    let (bytes, len) = unsafe { *RING_NAME.0.get() };
    let mut path = Path { bytes, len };
    path.push(b"a");
    path.push_number(number as u64);
    let p = new_file(&path, size_of::<Accounts>())?;
    header.accounts[number].store(1, Release);
    Some(p.cast())
}

/// A new file, mapped in this image only.
fn new_file(path: &Path, bytes: usize) -> Option<*mut u8> {
    if !sys::may_write(bytes) {
        return None;
    }
    let flags = sys::O_CREAT | sys::O_EXCL | sys::O_RDWR | sys::O_CLOEXEC | sys::O_NOFOLLOW;
    let fd = sys::open(path.terminated(), flags)?;
    let p = if sys::allocate_file(fd, bytes) { sys::map_file(fd, bytes) } else { core::ptr::null_mut() };
    sys::close(fd);
    if p.is_null() {
        return None;
    }
    // SAFETY: our own mapping; children make their own.
    unsafe { sys::advise(p, bytes, sys::DONTFORK) };
    Some(p)
}

/// All data chunks, newest segment last.
pub fn chunks() -> impl Iterator<Item = *mut ChunkHeader> {
    let count = SEGMENT_COUNT.load(Acquire);
    (0..count).flat_map(|segment| {
        let base = SEGMENTS[segment].load(Acquire);
        let first = usize::from(segment == 0);
        // SAFETY: within the segment's mapping.
        (first..CHUNKS_PER_SEGMENT).map(move |chunk| unsafe { base.add(chunk * CHUNK_BYTES) }.cast())
    })
}

pub fn segment_count() -> usize {
    SEGMENT_COUNT.load(Relaxed)
}

/// Says that `[p, p + bytes)` is the recorder's own.
pub fn own(p: *mut u8, bytes: usize) {
    // SAFETY: null, or the first segment, which stays mapped (asked for while the ring is being made, too).
    if let Some(header) = unsafe { SEGMENTS[0].load(Acquire).cast::<RingHeader>().as_ref() } {
        let at = header.own_count.fetch_add(1, Relaxed) as usize;
        if let Some([start, end]) = header.own.get(at) {
            start.store(p as u64, Relaxed);
            end.store(p as u64 + bytes as u64, Release);
        }
    }
}

/// Tells `heapwise` that there is something to look at now.
pub fn ring_doorbell() {
    ring(NAPPING);
}

/// Tells `heapwise` that a chunk is full: worth waking it from a long sleep only.
pub fn ring_softly() {
    ring(SLEEPING);
}

fn ring(from: u32) {
    if let Some(control) = control() {
        control.doorbell.fetch_add(1, SeqCst);
        if control.sleeping.load(SeqCst) >= from {
            sys::futex_wake(&control.doorbell);
        }
    }
}

/// Whether `heapwise` is there and interested.
pub fn is_heard() -> bool {
    control().is_some_and(|it| it.closed.load(Relaxed) == 0 && sys::is_alive(it.listener.load(Relaxed)))
}

/// The value of an environment variable.
fn variable(environ: *const *const c_char, name: &[u8]) -> Option<&'static [u8]> {
    if environ.is_null() {
        return None;
    }
    let mut at = environ;
    loop {
        // SAFETY: `environ` is a null-terminated array of terminated strings.
        let entry = unsafe { *at };
        if entry.is_null() {
            return None;
        }
        // SAFETY: as above.
        let entry = unsafe { core::ffi::CStr::from_ptr(entry) }.to_bytes();
        if let Some(value) = entry.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) {
            return Some(value);
        }
        // SAFETY: not yet at the terminator.
        at = unsafe { at.add(1) };
    }
}

/// A path on the stack; too long a path becomes one that cannot be opened.
struct Path {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Path {
    fn new() -> Path {
        Path { bytes: [0; NAME_MAX], len: 0 }
    }
    fn push(&mut self, part: &[u8]) {
        for &byte in part {
            if self.len + 1 < NAME_MAX {
                self.bytes[self.len] = byte;
                self.len += 1;
            }
        }
    }
    fn push_number(&mut self, mut n: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }
    fn terminated(&self) -> &[u8] {
        &self.bytes[..=self.len.min(NAME_MAX - 1)]
    }
}

/// `Control::options` of this session.
#[inline(always)]
pub fn options() -> u32 {
    // SAFETY: recording is on, so the control page is mapped.
    unsafe { (*CONTROL.load(Relaxed)).options.load(Relaxed) }
}

/// Runs `f` with the identity of an image that has a ring.
pub fn identity_if_started(f: impl FnOnce(&Identity)) {
    if generation() != 0 {
        f(identity());
    }
}
