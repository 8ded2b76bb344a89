//! Interposed functions, a file per family.
//!
//! Each exported function is a few instructions of assembly that hand its stack pointer (which points at
//! the return address) and `rbp` to the Rust function behind it, and jump there.

/// An interposed function. Its number of arguments decides in which registers the stack pointer and `rbp` follow; six
/// fill them all, and both follow on the stack.
macro_rules! entry {
    ($name:ident, 0, $to:ident) => { entry!(@ $name, $to, "mov rdi, rsp", "mov rsi, rbp", "jmp {}"); };
    ($name:ident, 1, $to:ident) => { entry!(@ $name, $to, "mov rsi, rsp", "mov rdx, rbp", "jmp {}"); };
    ($name:ident, 2, $to:ident) => { entry!(@ $name, $to, "mov rdx, rsp", "mov rcx, rbp", "jmp {}"); };
    ($name:ident, 3, $to:ident) => { entry!(@ $name, $to, "mov rcx, rsp", "mov r8, rbp", "jmp {}"); };
    ($name:ident, 4, $to:ident) => { entry!(@ $name, $to, "mov r8, rsp", "mov r9, rbp", "jmp {}"); };
    ($name:ident, 6, $to:ident) => {
        entry!(
            @ $name, $to, "sub rsp, 8", "push rbp", "lea rax, [rsp + 16]", "push rax", "call {}", "add rsp, 24", "ret"
        );
    };
    (@ $name:ident, $to:ident, $($line:literal),*) => {
        #[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!($($line,)* sym $to)
        }
    };
}

#[allow(non_snake_case, reason = "interposed names are given")]
mod cxx;
mod exec;
mod malloc;
mod map;
mod mark;
#[allow(non_snake_case, reason = "interposed names are given")]
mod process;
mod resources;
mod signals;

pub use signals::catch_fatal_signals;
