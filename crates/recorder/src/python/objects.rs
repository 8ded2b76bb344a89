//! Blocks that CPython's own allocator hands out, and what is done inside the interpreter.
//!
//! CPython carves blocks of up to 512 bytes out of its arenas; larger ones come from `malloc`, whose interposition
//! records them. The allocators of the domains `MEM` and `OBJ` are wrapped (`PyMem_SetAllocator`, PEP 445) before the
//! interpreter starts; threads come here one at a time, under the interpreter's lock.

use super::{account, chain, code, python};
use crate::real::call;
use crate::sample::{self, Giver};
use crate::{exit, session, stream};
use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicU32, Ordering::*};
use heapwise_trace::ring::{EXIT_CODE_UNKNOWN, OPTION_EACH_OBJECT, tag};

type Pointer = *mut c_void;

/// `PyMemAllocatorEx`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Allocator {
    context: Pointer,
    malloc: Option<unsafe extern "C" fn(Pointer, usize) -> Pointer>,
    calloc: Option<unsafe extern "C" fn(Pointer, usize, usize) -> Pointer>,
    realloc: Option<unsafe extern "C" fn(Pointer, Pointer, usize) -> Pointer>,
    free: Option<unsafe extern "C" fn(Pointer, Pointer)>,
}

/// The greatest size that comes out of an arena (`SMALL_REQUEST_THRESHOLD` of `obmalloc.c`, 3.8 to 3.13).
const SMALL_MAX: usize = 512;

/// `PYMEM_DOMAIN_MEM` and `PYMEM_DOMAIN_OBJ`.
const DOMAINS: [u32; 2] = [1, 2];

struct Wrapped(core::cell::UnsafeCell<Allocator>);
// SAFETY: written before the interpreter starts, or under its lock; read under its lock.
unsafe impl Sync for Wrapped {}

const NO_ALLOCATOR: Allocator =
    Allocator { context: core::ptr::null_mut(), malloc: None, calloc: None, realloc: None, free: None };
static WRAPPED: [Wrapped; 2] = [const { Wrapped(core::cell::UnsafeCell::new(NO_ALLOCATOR)) }; 2];

/// Puts ours in front of the allocators that are in place, unless it is there.
///
/// # Safety
/// The interpreter has not started, or this thread holds its lock.
pub unsafe fn wrap() {
    let python = python();
    for (domain, wrapped) in DOMAINS.into_iter().zip(&WRAPPED) {
        let mut found = NO_ALLOCATOR;
        // SAFETY: documented signatures; the structures live through the calls.
        unsafe {
            call!(python.get_allocator, fn(u32, *mut Allocator))(domain, &raw mut found);
            let is_ours = found.malloc.is_some_and(|it| it as usize == on_malloc as *const () as usize);
            let is_whole = found.malloc.is_some() && found.calloc.is_some();
            if is_ours || !is_whole || found.realloc.is_none() || found.free.is_none() {
                continue;
            }
            *wrapped.0.get() = found;
            let ours = Allocator {
                context: wrapped.0.get().cast(),
                malloc: Some(on_malloc),
                calloc: Some(on_calloc),
                realloc: Some(on_realloc),
                free: Some(on_free),
            };
            call!(python.set_allocator, fn(u32, *const Allocator))(domain, &raw const ours);
        }
    }
}

/// The wrapped allocator.
///
/// # Safety
/// `context` is what [`wrap`] made the context.
#[inline(always)]
unsafe fn wrapped(context: Pointer) -> Allocator {
    // SAFETY: by the caller.
    unsafe { *context.cast::<Allocator>() }
}

#[inline(always)]
fn handed_out(block: Pointer, size: usize) {
    if block.is_null() || size > SMALL_MAX {
        return;
    }
    if !sample::takes(size) {
        return meet_interpreter();
    }
    let python = python();
    stream::with(|thread| {
        // The allocator got it from `malloc` for this very call, and it is recorded as such.
        if core::mem::take(&mut thread.last_block) == block as u64 {
            return;
        }
        let is_each_recorded = is_each_recorded();
        if is_each_recorded {
            if !sample::tell(block as u64, Giver::Interpreter) {
                return;
            }
            thread.begin();
        }
        let position = thread.position();
        // SAFETY: the interpreter's lock is held, so the current state is this thread's.
        let stack = unsafe {
            let state = call!(python.current_state, fn() -> u64)();
            chain::capture(thread, &python.layout, state)
        };
        match is_each_recorded {
            true => thread.event(tag::OBJECT, block as u64, size.max(1) as u64, stack, true),
            false => {
                // No event will.
                if thread.position() != position {
                    thread.commit();
                }
                account::handed_out(thread, block as u64, size.max(1) as u32, stack);
            }
        }
    });
    meet_interpreter();
}

/// Whether blocks get records instead of accounts.
#[inline(always)]
pub fn is_each_recorded() -> bool {
    session::options() & OPTION_EACH_OBJECT != 0 || !sample::is_exact()
}

/// Asks the interpreter for a call, once.
#[inline(always)]
pub fn meet_interpreter() {
    if STAGE.load(Relaxed) == LOADED {
        ask_for_call();
    }
}

#[inline(always)]
fn taken_back(block: Pointer) {
    match is_each_recorded() {
        true if !sample::was_told(block as u64, Giver::Interpreter) => {}
        true => stream::with(|thread| {
            thread.begin();
            thread.event(tag::OBJECT, block as u64, 0, 0, false);
        }),
        false => account::taken_back(block as u64),
    }
    code::freed(block as u64);
}

unsafe extern "C" fn on_malloc(context: Pointer, size: usize) -> Pointer {
    // SAFETY: forwarded to the allocator in place, which has all functions.
    let block = unsafe {
        let it = wrapped(context);
        it.malloc.unwrap_unchecked()(it.context, size)
    };
    handed_out(block, size);
    block
}

unsafe extern "C" fn on_calloc(context: Pointer, count: usize, size: usize) -> Pointer {
    // SAFETY: as above.
    let block = unsafe {
        let it = wrapped(context);
        it.calloc.unwrap_unchecked()(it.context, count, size)
    };
    handed_out(block, count.saturating_mul(size));
    block
}

/// A small block that becomes a large one moves to `malloc`'s; a large one that becomes small stays there.
unsafe extern "C" fn on_realloc(context: Pointer, old: Pointer, size: usize) -> Pointer {
    if !old.is_null() {
        taken_back(old);
    }
    // SAFETY: as above.
    let block = unsafe {
        let it = wrapped(context);
        it.realloc.unwrap_unchecked()(it.context, old, size)
    };
    match block.is_null() {
        // It failed: the old one is as it was, of a size that is not known here.
        true if !old.is_null() => handed_out(old, 1),
        _ => handed_out(block, size),
    }
    block
}

unsafe extern "C" fn on_free(context: Pointer, block: Pointer) {
    if !block.is_null() {
        taken_back(block);
    }
    // SAFETY: as above.
    unsafe {
        let it = wrapped(context);
        it.free.unwrap_unchecked()(it.context, block)
    }
}

/// How far the interpreter is.
static STAGE: AtomicU32 = AtomicU32::new(LOADED);
const LOADED: u32 = 0;
/// The interpreter was asked to call [`at_a_safe_point`].
const ASKED: u32 = 1;

/// Once the interpreter has started, has its main thread call us where it may run anything.
#[cold]
#[inline(never)]
fn ask_for_call() {
    let python = python();
    // SAFETY: documented signatures; both may be called at any time, by any thread.
    unsafe {
        if call!(python.is_initialized, fn() -> i32)() != 0
            && STAGE.swap(ASKED, Relaxed) == LOADED
            && call!(python.add_pending_call, fn(usize, usize) -> i32)(
                at_a_safe_point as *const () as usize,
                0,
            ) != 0
        {
            STAGE.store(LOADED, Relaxed);
        }
    }
}

/// `PyMethodDef`.
#[repr(C)]
struct Method {
    name: *const c_char,
    function: unsafe extern "C" fn(Pointer, Pointer) -> Pointer,
    flags: i32,
    doc: *const c_char,
}
// SAFETY: constant.
unsafe impl Sync for Method {}

const METH_NOARGS: i32 = 4;
static AT_EXIT: Method = Method {
    name: c"heapwise".as_ptr(),
    function: before_finalization,
    flags: METH_NOARGS,
    doc: core::ptr::null(),
};

/// Registers what is to run at the interpreter's end, first of all, so that it runs last. What was put over our
/// allocators when the interpreter started (`PYTHONMALLOC`) gets ours on top.
unsafe extern "C" fn at_a_safe_point(_: Pointer) -> i32 {
    let python = python();
    // SAFETY: documented signatures; the interpreter calls this with its lock held and no error set.
    unsafe {
        wrap();
        let module = call!(python.import, fn(*const c_char) -> Pointer)(c"atexit".as_ptr());
        if !module.is_null() {
            let function = call!(python.new_function, fn(*const Method, Pointer, Pointer) -> Pointer)(
                &raw const AT_EXIT,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
            );
            if !function.is_null() {
                let method = call!(python.get_attribute, fn(Pointer, *const c_char) -> Pointer)(
                    module,
                    c"register".as_ptr(),
                );
                if !method.is_null() {
                    let result = core::mem::transmute::<usize, unsafe extern "C" fn(Pointer, ...) -> Pointer>(
                        python.call_with,
                    )(method, function, core::ptr::null_mut::<c_void>());
                    [result, method].into_iter().for_each(|it| release(it));
                }
                release(function);
            }
            release(module);
        }
        call!(python.clear_error, fn())();
    }
    0
}

/// # Safety
/// `object` is null or a reference that is given up, under the interpreter's lock.
unsafe fn release(object: Pointer) {
    if !object.is_null() {
        // SAFETY: by the caller.
        unsafe { call!(python().release, fn(Pointer))(object) }
    }
}

/// The program is done, and all its objects are still there: the moment to look at them. What the interpreter takes
/// down after this is not recorded.
unsafe extern "C" fn before_finalization(_: Pointer, _: Pointer) -> Pointer {
    if session::header().is_some() {
        // SAFETY: the process is about to end.
        unsafe { exit::wait_for_scan(0, EXIT_CODE_UNKNOWN) };
        session::end();
    }
    let python = python();
    // SAFETY: `None` is an object that lives for ever; a reference to it is handed out.
    unsafe { call!(python.retain, fn(Pointer))(python.none as Pointer) };
    python.none as Pointer
}
