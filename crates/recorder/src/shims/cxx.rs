//! `operator new` and `operator delete`, all forms.
//!
//! libstdc++'s and libc++'s operators call `malloc`, `aligned_alloc` and `free`, which are interposed. So
//! the operator only leaves word of its family for that call and jumps on: exceptions, new handlers and
//! replaced operators work as ever, and nothing of ours is on the stack. (Were a library's operators not
//! to call `malloc`, as those of some replacement allocators do, their blocks would be unknown: such a
//! library is met by `wrap` below, which records around the call.)

use crate::real::call;
use crate::sample::{self, Giver};
use crate::tls::{PENDING_OFFSET, PENDING_ZERO};
use crate::{modules, real, stack, stream, tls};
use core::arch::naked_asm;
use core::ffi::{CStr, c_char, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use heapwise_trace::Family;
use heapwise_trace::ring::tag;

/// Bits left in `Tls::pending`: never 0.
const NEW: u8 = 4 | Family::New as u8;
const NEW_ARRAY: u8 = 4 | Family::NewArray as u8;

macro_rules! operators {
    ($($index:literal $name:ident $family:ident $wrapper:ident),* $(,)?) => {
        $(
            // Names of the C++ ABI.
            #[allow(non_snake_case)]
            /// Leaves word of the family, unless an outer operator has, and jumps to the real one.
            #[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                naked_asm!(
                    "mov rax, qword ptr [rip + heapwise_tls@GOTTPOFF]",
                    "cmp byte ptr fs:[rax + {pending}], 0",
                    "jne 2f",
                    "mov byte ptr fs:[rax + {pending}], {family}",
                    "test rdi, rdi",
                    "jne 2f",
                    "or byte ptr fs:[rax + {pending}], {zero}",
                    "2:",
                    "mov rax, qword ptr [rip + {targets} + 8 * {index}]",
                    "test rax, rax",
                    "je 3f",
                    "jmp rax",
                    "3:",
                    "push rdi", "push rsi", "push rdx",
                    "mov edi, {index}",
                    "call {find}",
                    "pop rdx", "pop rsi", "pop rdi",
                    "jmp rax",
                    pending = const PENDING_OFFSET,
                    family = const $family,
                    zero = const PENDING_ZERO,
                    targets = sym TARGETS,
                    index = const $index,
                    find = sym find,
                )
            }
        )*
        const COUNT: usize = [$($index),*].len();
        /// Name, and what records around a foreign operator.
        const OPERATORS: [(&CStr, usize); COUNT] = [$((
            match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) { Ok(it) => it, Err(_) => c"" },
            $wrapper,
        )),*];
    };
}

const WRAP_NEW: usize = 0;
const WRAP_DELETE: usize = 1;

operators! {
    0 _Znwm NEW WRAP_NEW,
    1 _Znam NEW_ARRAY WRAP_NEW,
    2 _ZnwmRKSt9nothrow_t NEW WRAP_NEW,
    3 _ZnamRKSt9nothrow_t NEW_ARRAY WRAP_NEW,
    4 _ZnwmSt11align_val_t NEW WRAP_NEW,
    5 _ZnamSt11align_val_t NEW_ARRAY WRAP_NEW,
    6 _ZnwmSt11align_val_tRKSt9nothrow_t NEW WRAP_NEW,
    7 _ZnamSt11align_val_tRKSt9nothrow_t NEW_ARRAY WRAP_NEW,
    8 _ZdlPv NEW WRAP_DELETE,
    9 _ZdaPv NEW_ARRAY WRAP_DELETE,
    10 _ZdlPvm NEW WRAP_DELETE,
    11 _ZdaPvm NEW_ARRAY WRAP_DELETE,
    12 _ZdlPvRKSt9nothrow_t NEW WRAP_DELETE,
    13 _ZdaPvRKSt9nothrow_t NEW_ARRAY WRAP_DELETE,
    14 _ZdlPvSt11align_val_t NEW WRAP_DELETE,
    15 _ZdaPvSt11align_val_t NEW_ARRAY WRAP_DELETE,
    16 _ZdlPvmSt11align_val_t NEW WRAP_DELETE,
    17 _ZdaPvmSt11align_val_t NEW_ARRAY WRAP_DELETE,
    18 _ZdlPvSt11align_val_tRKSt9nothrow_t NEW WRAP_DELETE,
    19 _ZdaPvSt11align_val_tRKSt9nothrow_t NEW_ARRAY WRAP_DELETE,
}

/// Where each operator jumps; 0 until the first use.
static TARGETS: [AtomicUsize; COUNT] = [const { AtomicUsize::new(0) }; COUNT];
/// The foreign operators behind `wrap_new` and `wrap_delete`.
static FOREIGN: [AtomicUsize; COUNT] = [const { AtomicUsize::new(0) }; COUNT];

/// The operator behind ours, 0 when there is none.
fn behind(name: &CStr) -> usize {
    // SAFETY: a terminated name.
    let next = unsafe { real::dlsym(real::RTLD_NEXT, name.as_ptr()) } as usize;
    let open = real::DLOPEN.get();
    if next != 0 || open == 0 {
        return next;
    }
    // A program in C that loaded C++ plugins (extension modules of interpreters): their C++ library is in no scope of
    // ours. The handles stay open, and with them what is found.
    const LIBRARIES: [&CStr; 3] = [c"libstdc++.so.6", c"libc++.so.1", c"libc++abi.so.1"];
    const RTLD_LAZY_NOLOAD: i32 = 1 | 4;
    let found = |library: &CStr| {
        // SAFETY: terminated names, and a handle that was just opened.
        unsafe {
            let handle =
                call!(open, fn(*const c_char, i32) -> *mut c_void)(library.as_ptr(), RTLD_LAZY_NOLOAD);
            if handle.is_null() { 0 } else { real::dlsym(handle, name.as_ptr()) as usize }
        }
    };
    LIBRARIES.iter().map(|it| found(it)).find(|it| *it != 0).unwrap_or(0)
}

unsafe extern "C" {
    fn malloc();
    fn memalign();
    fn free();
}

// For a plugin that has its C++ library inside: nothing can find it, but its references come to us. It gets null, not
// an exception, when memory runs out.

#[unsafe(naked)]
unsafe extern "C" fn plain_new() {
    naked_asm!("jmp {}", sym malloc)
}

#[unsafe(naked)]
unsafe extern "C" fn plain_new_aligned() {
    naked_asm!("xchg rdi, rsi", "jmp {}", sym memalign)
}

#[unsafe(naked)]
unsafe extern "C" fn plain_delete() {
    naked_asm!("jmp {}", sym free)
}

#[cold]
unsafe extern "C" fn find(index: usize) -> usize {
    let (name, wrapper) = OPERATORS[index];
    let tls = tls::get();
    // SAFETY: this thread's word. It is for the operator's own allocation, not for the loader's.
    let pending = unsafe { core::mem::replace(&mut (*tls).pending, 0) };
    let mut target = behind(name);
    // SAFETY: as above.
    unsafe { (*tls).pending = pending };
    if target == 0 {
        target = match index {
            0..4 => plain_new,
            4..8 => plain_new_aligned,
            _ => plain_delete,
        } as unsafe extern "C" fn() as usize;
        TARGETS[index].store(target, Relaxed);
        return target;
    }
    if !modules::is_cxx_runtime(target as u64) && index < 20 {
        FOREIGN[index].store(target, Relaxed);
        target =
            if wrapper == WRAP_NEW { WRAPPERS_NEW[index % 8] } else { WRAPPERS_DELETE[index - 8] } as usize;
    }
    TARGETS[index].store(target, Relaxed);
    target
}

/// Up to three arguments cover every form; what a form does not take is ignored by it.
type Operator = unsafe extern "C" fn(usize, usize, usize) -> *mut c_void;

/// Records around a foreign `operator new`. Nothing here needs cleaning up when it throws.
unsafe fn wrap_new(index: usize, a: usize, b: usize, c: usize, sp: *const u64, bp: u64) -> *mut c_void {
    // SAFETY: the operator's own arguments, passed on.
    let block = unsafe { core::mem::transmute::<usize, Operator>(FOREIGN[index].load(Relaxed))(a, b, c) };
    let tls = tls::get();
    // SAFETY: this thread's words.
    let pending = unsafe { core::mem::replace(&mut (*tls).pending, 0) };
    // 0: the operator called `malloc` after all, which recorded the block.
    if pending != 0 && !block.is_null() && sample::takes(a) && sample::tell(block as u64, Giver::Libc) {
        stream::with(|thread| {
            thread.begin();
            // SAFETY: a frame of this thread's stack.
            let stack = unsafe { stack::capture(thread, sp, bp) };
            thread.event(tag::ALLOC + u64::from(pending & 3), block as u64, a as u64, stack, true);
        });
    }
    block
}

unsafe fn wrap_delete(index: usize, a: usize, b: usize, c: usize, sp: *const u64, bp: u64) {
    let tls = tls::get();
    // SAFETY: this thread's words.
    let pending = unsafe { core::mem::replace(&mut (*tls).pending, 0) };
    if a != 0 && sample::was_told(a as u64, Giver::Libc) {
        stream::with(|thread| {
            thread.begin();
            // SAFETY: a frame of this thread's stack.
            let stack = unsafe { stack::capture(thread, sp, bp) };
            thread.event(tag::FREE + u64::from(pending & 3), a as u64, 0, stack, false);
        });
    }
    stream::unrecorded(|| {
        // SAFETY: the operator's own arguments, passed on.
        unsafe { core::mem::transmute::<usize, Operator>(FOREIGN[index].load(Relaxed))(a, b, c) }
    });
}

macro_rules! wrappers {
    ($list:ident, $inner:ident, $($entry:ident $body:ident $index:literal),*) => {
        $(
            #[unsafe(naked)]
            unsafe extern "C" fn $entry() {
                naked_asm!("mov rcx, rsp", "mov r8, rbp", "jmp {}", sym $body)
            }
            unsafe extern "C" fn $body(a: usize, b: usize, c: usize, sp: *const u64, bp: u64) -> usize {
                // SAFETY: forwarded from the assembly above.
                unsafe { $inner($index, a, b, c, sp, bp) as *mut c_void as usize }
            }
        )*
        static $list: [unsafe extern "C" fn(); [$($index),*].len()] = [$($entry),*];
    };
}

unsafe fn wrap_delete_null(
    index: usize,
    a: usize,
    b: usize,
    c: usize,
    sp: *const u64,
    bp: u64,
) -> *mut c_void {
    // SAFETY: forwarded.
    unsafe { wrap_delete(index, a, b, c, sp, bp) };
    core::ptr::null_mut()
}

wrappers!(WRAPPERS_NEW, wrap_new, n0 m0 0, n1 m1 1, n2 m2 2, n3 m3 3, n4 m4 4, n5 m5 5, n6 m6 6, n7 m7 7);
wrappers!(
    WRAPPERS_DELETE, wrap_delete_null, d0 e0 8, d1 e1 9, d2 e2 10, d3 e3 11, d4 e4 12, d5 e5 13, d6 e6 14, d7 e7 15,
    d8 e8 16, d9 e9 17, d10 e10 18, d11 e11 19
);
