//! CPython in the observed process: its frames, and the blocks of its own allocator.
//!
//! ```text
//!   layout    where the interpreter keeps its frames, by version
//!   account   live blocks of its own allocator, by address and by stack
//!   code      code objects, and the lines of their instructions
//!   chain     the frames of a thread -> number of a stack
//!   objects   wrapped allocators; what runs inside the interpreter at its start and at its end
//! ```
//!
//! The interpreter is part of the program or a library that it loads at its start; its functions are looked up by
//! name. An interpreter of another version is left alone, and said.

mod account;
mod chain;
mod code;
mod layout;
mod objects;

pub use chain::Chain;

use crate::real::{self, call};
use crate::stream::{self, Thread};
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicU32, Ordering::*};
use heapwise_trace::ring::{blob, frame};
use layout::Layout;

/// What was found of the interpreter.
pub struct Python {
    layout: Layout,
    current_state: usize,
    thread_state: usize,
    get_allocator: usize,
    set_allocator: usize,
    is_initialized: usize,
    add_pending_call: usize,
    import: usize,
    new_function: usize,
    get_attribute: usize,
    call_with: usize,
    clear_error: usize,
    retain: usize,
    release: usize,
    none: u64,
    code_type: u64,
}

struct Cell<T>(core::cell::UnsafeCell<core::mem::MaybeUninit<T>>);
// SAFETY: written once before its flag is set, read after.
unsafe impl<T> Sync for Cell<T> {}
static PYTHON: Cell<Python> = Cell(core::cell::UnsafeCell::new(core::mem::MaybeUninit::uninit()));
static IS_HERE: AtomicU32 = AtomicU32::new(0);
static FOUND: Cell<Found> = Cell(core::cell::UnsafeCell::new(core::mem::MaybeUninit::uninit()));
static IS_FOUND: AtomicU32 = AtomicU32::new(0);

/// Whether there is an interpreter that is known.
#[inline(always)]
pub fn is_here() -> bool {
    IS_HERE.load(Acquire) != 0
}

/// Only where [`is_here`].
#[inline(always)]
fn python() -> &'static Python {
    debug_assert!(is_here());
    // SAFETY: by the caller; what asks is called by the interpreter, or has asked whether it is here.
    unsafe { (*PYTHON.0.get()).assume_init_ref() }
}

fn find(name: &CStr) -> usize {
    // SAFETY: a terminated name. 0 is `RTLD_DEFAULT`: wherever it is defined.
    unsafe { real::dlsym(core::ptr::null_mut(), name.as_ptr()) as usize }
}

/// Looks for an interpreter among what is loaded, and puts itself in its way. Called once, before the program runs.
#[cold]
pub fn begin() {
    // What a name that is missing leaves behind is freed at the next one.
    real::FREE.get();
    let found = stream::unrecorded(|| {
        let found = look();
        // SAFETY: libc's function; the program must not find our error. The second call frees what the first one
        // returned, which the next `dlsym` would do where it is recorded.
        unsafe {
            real::dlerror();
            real::dlerror();
        }
        found
    });
    if let Some(found) = found {
        // SAFETY: nobody reads before the flag is set.
        unsafe { (*FOUND.0.get()).write(found) };
        IS_FOUND.store(1, Release);
        stream::with(announce);
    }
}

/// Tells of the interpreter; the first stream of a forked child does so again.
pub fn announce(thread: &mut Thread) {
    if IS_FOUND.load(Acquire) == 0 {
        return;
    }
    // SAFETY: the flag is set.
    let found = unsafe { (*FOUND.0.get()).assume_init_ref() };
    let words = [found.runtime as u64, found.evaluation as u64, u64::from(is_here())].map(u64::to_le_bytes);
    thread.write_blob(blob::PYTHON, &[&words[0], &words[1], &words[2], found.version]);
}

/// What `heapwise` is told.
struct Found {
    runtime: usize,
    evaluation: usize,
    version: &'static [u8],
}

fn look() -> Option<Found> {
    let set_allocator = find(c"PyMem_SetAllocator");
    if set_allocator == 0 {
        return None;
    }
    let (runtime, version) = (find(c"_PyRuntime"), find(c"Py_GetVersion"));
    if runtime == 0 || version == 0 {
        return None;
    }
    // SAFETY: documented: a static string, before the interpreter starts too.
    let version = unsafe { CStr::from_ptr(call!(version, fn() -> *const c_char)()) }.to_bytes();
    let minor = minor(version);
    let python = minor.and_then(|it| found(it, runtime, set_allocator));
    if let Some(python) = python {
        // SAFETY: nobody reads before the flag is set.
        unsafe { (*PYTHON.0.get()).write(python) };
        IS_HERE.store(1, Release);
        // SAFETY: the interpreter has not started.
        unsafe { objects::wrap() };
    }
    let evaluation = find(c"_PyEval_EvalFrameDefault");
    Some(Found { runtime, evaluation, version: &version[..version.len().min(200)] })
}

/// Of a version like `3.11.2 (main, ...) [GCC ...]`.
fn minor(version: &[u8]) -> Option<u32> {
    let digits = version.strip_prefix(b"3.")?;
    let count = digits.iter().position(|it| !it.is_ascii_digit())?;
    core::str::from_utf8(&digits[..count]).ok()?.parse().ok()
}

fn found(minor: u32, runtime: usize, set_allocator: usize) -> Option<Python> {
    let find = |name: &CStr| Some(find(name)).filter(|&it| it != 0);
    Some(Python {
        // SAFETY: the address of the runtime.
        layout: unsafe { layout::of(minor, runtime as u64) }?,
        current_state: find(c"PyThreadState_GetUnchecked")
            .or_else(|| find(c"_PyThreadState_UncheckedGet"))?,
        thread_state: find(c"PyGILState_GetThisThreadState")?,
        get_allocator: find(c"PyMem_GetAllocator")?,
        set_allocator,
        is_initialized: find(c"Py_IsInitialized")?,
        add_pending_call: find(c"Py_AddPendingCall")?,
        import: find(c"PyImport_ImportModule")?,
        new_function: find(c"PyCFunction_NewEx")?,
        get_attribute: find(c"PyObject_GetAttrString")?,
        call_with: find(c"PyObject_CallFunctionObjArgs")?,
        clear_error: find(c"PyErr_Clear")?,
        retain: find(c"Py_IncRef")?,
        release: find(c"Py_DecRef")?,
        none: find(c"_Py_NoneStruct")? as u64,
        code_type: find(c"PyCode_Type")? as u64,
    })
}

/// The stack of an event of the program's: `native`, with the Python frames that this thread is in. Threads without the
/// interpreter's lock are where they gave it up.
#[inline(always)]
pub fn with_frames(thread: &mut Thread, native: u32) -> u32 {
    if !is_here() || thread.is_nested {
        return native;
    }
    join(thread, native)
}

#[inline(never)]
fn join(thread: &mut Thread, native: u32) -> u32 {
    let python = python();
    // SAFETY: documented: this thread's own state or null, at any time.
    let script = unsafe {
        let state = call!(python.thread_state, fn() -> u64)();
        chain::capture(thread, &python.layout, state)
    };
    // Other allocators may have been put in place of the wrapped ones (`PYTHONMALLOC`).
    objects::meet_interpreter();
    match script {
        0 => native,
        _ => crate::frames::stack_of(thread, native, frame::LINK | script),
    }
}

/// Forgets the code objects that were numbered. Only while no other thread can look.
pub fn reset() {
    code::reset();
    account::reset();
}

/// Whether blocks are accounted for: marks wait until the accounts are read.
pub fn has_accounts() -> bool {
    is_here() && !objects::is_each_recorded()
}
