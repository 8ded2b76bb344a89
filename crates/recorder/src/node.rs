//! Node's V8 from within: collections counted, allocations sampled, and a last look before a signal ends the process.
//!
//! ```text
//!   agent.cjs                                   here
//!   process.dlopen({exports: function})   --->  counts and samples from now on; the function is the last look
//!   process.dlopen({exports: array})      --->  fills the array with what was counted
//!   function()                            <---  a signal that the program leaves to the system is about to end it
//! ```
//!
//! The library is there already when Node loads it as an addon, so that all Node does is call
//! [`napi_register_module_v1`]. The program sees nothing of this: no listener, handle, or callback of its loop, as
//! Node's own ways of learning the same would have it.
//!
//! The last look runs JavaScript within a signal handler. That is sound where the signal has interrupted nothing but the
//! wait for events (`epoll_wait`): no lock is held then, and the stack is as if the wait had returned. Anywhere else there
//! is no last look; the end of a thread that is busy waits a tenth of a second for it to come there.

use crate::{real, stream, sys};
use core::ffi::{CStr, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

/// Heaps (threads) of which collections are counted.
const HEAPS_MAX: usize = 64;
/// Bits of `v8::GCType`.
const KINDS: usize = 5;
/// Of each kind: how many, milliseconds, and of the longest.
const FIELDS: usize = 3;
/// Bytes between samples, on average; frames of a sample: as Chrome's developer tools have it.
const INTERVAL_BYTES: u64 = 512 << 10;
const DEPTH: i32 = 128;

/// What was counted of one heap. Only its own thread writes.
struct Heap {
    isolate: AtomicUsize,
    begin: AtomicU64,
    kinds: [Kind; KINDS],
}

/// Collections of a kind; nanoseconds.
struct Kind {
    count: AtomicU64,
    time: AtomicU64,
    longest: AtomicU64,
}

static HEAPS: [Heap; HEAPS_MAX] = [const {
    Heap {
        isolate: AtomicUsize::new(0),
        begin: AtomicU64::new(0),
        kinds: [const { Kind { count: AtomicU64::new(0), time: AtomicU64::new(0), longest: AtomicU64::new(0) } };
            KINDS],
    }
}; HEAPS_MAX];

/// The main thread's last look: its thread (0: none), Node-API's environment, a reference to the function.
static THREAD: AtomicU32 = AtomicU32::new(0);
static ENVIRONMENT: AtomicUsize = AtomicUsize::new(0);
static LOOK: AtomicUsize = AtomicUsize::new(0);

type Value = *mut c_void;
type Env = *mut c_void;

/// Declares functions of Node and V8: each is found by its name in the process, or does nothing and is false. Those of
/// Node-API tell of success by 0.
macro_rules! node {
    ($($name:ident($($arg:ident: $t:ty),*) = $symbol:literal;)*) => { $(
        unsafe fn $name($($arg: $t),*) -> bool {
            let function = find($symbol);
            // SAFETY: a function of that documented signature; arguments by the caller.
            function != 0 && unsafe { real::call!(function, fn($($t),*) -> i32)($($arg),*) } == 0
        }
    )* };
}

node! {
    is_array(env: Env, value: Value, is: *mut bool) = c"napi_is_typedarray";
    array(env: Env, value: Value, kind: *mut i32, length: *mut usize, data: *mut *mut f64, buffer: *mut Value,
        offset: *mut usize) = c"napi_get_typedarray_info";
    refer(env: Env, value: Value, count: u32, reference: *mut Value) = c"napi_create_reference";
    referred(env: Env, reference: Value, value: *mut Value) = c"napi_get_reference_value";
    open_scope(env: Env, scope: *mut Value) = c"napi_open_handle_scope";
    close_scope(env: Env, scope: Value) = c"napi_close_handle_scope";
    undefined(env: Env, value: *mut Value) = c"napi_get_undefined";
    call(env: Env, receiver: Value, function: Value, count: usize, arguments: *const Value, result: *mut Value)
        = c"napi_call_function";
}

/// 0 where the process has no such function.
fn find(name: &CStr) -> usize {
    // SAFETY: a terminated name. What dlsym allocates when it fails is not the program's.
    stream::unrecorded(|| unsafe { real::dlsym(null_mut(), name.as_ptr()) as usize })
}

/// Node calls it when it loads this library as an addon.
///
/// # Safety
/// By Node-API: `env` and `exports` are valid in this call, on the thread of their heap.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn napi_register_module_v1(env: Env, exports: Value) -> Value {
    // Node has looked for another function first. What the loader keeps to say of that is a block that only the next
    // failure, or these two calls, free.
    // SAFETY: libc's function.
    unsafe {
        real::dlerror();
        real::dlerror();
    }
    let current = find(c"_ZN2v87Isolate10GetCurrentEv");
    if current == 0 {
        return null_mut();
    }
    // SAFETY: V8's functions are called with what they gave; Node-API's as it documents them.
    unsafe {
        let isolate = real::call!(current, fn() -> usize)();
        let mut is = false;
        if is_array(env, exports, &mut is) && is {
            tell(env, exports, isolate);
        } else {
            begin(env, exports, isolate);
        }
    }
    null_mut()
}

/// # Safety
/// As [`napi_register_module_v1`]; `isolate` is this thread's.
unsafe fn begin(env: Env, look: Value, isolate: usize) {
    let is_at = |it: &&Heap| matches!(it.isolate.load(Relaxed), at if at == isolate);
    // That of a thread that ended may have been at the same address: nothing of it calls any more.
    let claimed = HEAPS.iter().find(is_at).or_else(|| {
        HEAPS.iter().find(|it| it.isolate.compare_exchange(0, isolate, Relaxed, Relaxed).is_ok())
    });
    let before =
        find(c"_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_");
    let after =
        find(c"_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_");
    let profiler = find(c"_ZN2v87Isolate15GetHeapProfilerEv");
    let sample = find(c"_ZN2v812HeapProfiler25StartSamplingHeapProfilerEmiNS0_13SamplingFlagsE");
    // SAFETY: methods of V8 take their object first; their signatures are part of their names.
    unsafe {
        if let Some(heap) = claimed.filter(|_| before != 0 && after != 0) {
            heap.clear();
            let heap = core::ptr::from_ref(heap);
            for (add, callback) in [(before, collecting as Callback), (after, collected)] {
                real::call!(add, fn(usize, Callback, *const Heap, i32))(
                    isolate,
                    callback,
                    heap,
                    (1 << KINDS) - 1,
                );
            }
        }
        if profiler != 0 && sample != 0 {
            let profiler = real::call!(profiler, fn(usize) -> usize)(isolate);
            real::call!(sample, fn(usize, u64, i32, i32) -> bool)(profiler, INTERVAL_BYTES, DEPTH, 0);
        }
        let mut reference = null_mut();
        if sys::thread_id() == sys::pid() && refer(env, look, 1, &mut reference) {
            ENVIRONMENT.store(env as usize, Relaxed);
            LOOK.store(reference as usize, Relaxed);
            THREAD.store(sys::thread_id(), Release);
        }
    }
}

impl Heap {
    fn clear(&self) {
        for kind in &self.kinds {
            for it in [&kind.count, &kind.time, &kind.longest] {
                it.store(0, Relaxed);
            }
        }
    }
}

type Callback = extern "C" fn(isolate: usize, kind: i32, flags: i32, heap: &Heap);

extern "C" fn collecting(_: usize, _: i32, _: i32, heap: &Heap) {
    heap.begin.store(sys::nanoseconds(), Relaxed);
}

extern "C" fn collected(_: usize, kind: i32, _: i32, heap: &Heap) {
    let Some(kind) = heap.kinds.get(kind.trailing_zeros() as usize) else { return };
    let time = sys::nanoseconds().saturating_sub(heap.begin.load(Relaxed));
    kind.count.fetch_add(1, Relaxed);
    kind.time.fetch_add(time, Relaxed);
    kind.longest.fetch_max(time, Relaxed);
}

/// # Safety
/// As [`napi_register_module_v1`]; `exports` is a typed array, of numbers of eight bytes.
unsafe fn tell(env: Env, exports: Value, isolate: usize) {
    const FLOAT64: i32 = 8;
    let Some(heap) = HEAPS.iter().find(|it| it.isolate.load(Relaxed) == isolate) else { return };
    let (mut kind, mut length, mut data) = (0, 0, null_mut());
    // SAFETY: Node-API gives the array's place, which stays while JavaScript does not run.
    unsafe {
        let is_told = array(env, exports, &mut kind, &mut length, &mut data, null_mut(), null_mut());
        if !is_told || kind != FLOAT64 || length < KINDS * FIELDS || data.is_null() {
            return;
        }
        for (at, kind) in heap.kinds.iter().enumerate() {
            let ms = |it: &AtomicU64| it.load(Relaxed) as f64 / 1e6;
            let fields = [kind.count.load(Relaxed) as f64, ms(&kind.time), ms(&kind.longest)];
            data.add(at * FIELDS).cast::<[f64; FIELDS]>().write_unaligned(fields);
        }
    }
}

/// What a process is asked to end by: HUP INT TERM.
const ASKING: [i32; 3] = [1, 2, 15];
/// How long the end waits for the thread to come to its events, and how often that is looked at.
const GRACE_NANOSECONDS: u64 = 100_000_000;
const LOOK_NANOSECONDS: u64 = 5_000_000;
/// When the end waits no longer; 0: nothing has asked for it yet.
static DEADLINE: AtomicU64 = AtomicU64::new(0);

/// A signal is about to end the process: lets the agent look where its thread waits for events. If not, the signal comes
/// again until it does, within the time of grace; `false` says so.
///
/// # Safety
/// `context` is the signal handler's third argument.
pub unsafe fn may_end(signal: i32, is_own: bool, context: *const c_void) -> bool {
    let thread = THREAD.load(Acquire);
    if thread == 0 || thread != sys::thread_id() || !ASKING.contains(&signal) {
        return true;
    }
    // SAFETY: the kernel's structure, by the caller.
    if unsafe { is_waiting(context) } {
        look();
        return true;
    }
    let (now, deadline) = (sys::nanoseconds(), DEADLINE.load(Relaxed));
    match deadline {
        // Who ends himself relies on it.
        0 if is_own => true,
        0 => {
            DEADLINE.store(now + GRACE_NANOSECONDS, Relaxed);
            !sys::repeat_signal(signal, LOOK_NANOSECONDS)
        }
        _ => now > deadline,
    }
}

/// Runs the agent's function, once.
fn look() {
    // A signal that comes meanwhile finds none.
    THREAD.store(0, Relaxed);
    let env = ENVIRONMENT.load(Relaxed) as Env;
    let (mut scope, mut function, mut receiver, mut result) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: the environment lives as long as the main thread runs its loop, which it does: it waits for events.
    unsafe {
        if open_scope(env, &mut scope) {
            if referred(env, LOOK.load(Relaxed) as Value, &mut function) && undefined(env, &mut receiver) {
                call(env, receiver, function, 0, null(), &mut result);
            }
            close_scope(env, scope);
        }
    }
}

/// Whether a signal interrupted `epoll_wait`, and its handler runs on the same stack.
///
/// # Safety
/// `context` is a `ucontext_t` that the kernel wrote.
unsafe fn is_waiting(context: *const c_void) -> bool {
    // Words of `ucontext_t` (sys/ucontext.h): flags, link, the stack's three, then the registers from r8 on.
    const RDI: usize = 5 + 8;
    const RAX: usize = 5 + 13;
    const RSP: usize = 5 + 15;
    const NEAR: usize = 64 << 10;
    const EVENTS: &[u8] = b"anon_inode:[eventpoll]";
    // SAFETY: by the caller.
    let word = |at: usize| unsafe { *context.cast::<usize>().add(at) };
    let here = (&raw const context) as usize;
    let mut name = [0; 64];
    // Nothing but a wait is interrupted, and only an `epoll_wait` has such a descriptor as its first argument.
    word(RAX) as isize == sys::INTERRUPTED
        && word(RSP).wrapping_sub(here) < NEAR
        && sys::descriptor_name(word(RDI), &mut name) == EVENTS
}
