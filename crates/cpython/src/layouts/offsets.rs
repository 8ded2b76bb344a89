//! `_Py_DebugOffsets`: what the runtime of 3.13 says of its own structures, at the beginning of `_PyRuntime`.

use super::{Frames, Layout, Variables, Version};
use crate::Error;
use crate::memory::Copy;

const COOKIE: &[u8; 8] = b"xdebugpy";

/// `layout` with what is told. It holds neither the collector's lists nor where a frame's stack ends: those are taken
/// from the version's headers.
pub fn told(
    mut layout: Layout,
    version: Version,
    memory: &mut Copy<'_>,
    runtime: u64,
) -> Result<Layout, Error> {
    let mut words = [0u64; 48];
    for (at, word) in (0u64..).zip(&mut words) {
        *word = memory.word(runtime.wrapping_add(at * 8)).ok_or(Error::NotARuntime {
            version,
            what: format!("no memory at {runtime:#x}, where its state should be"),
        })?;
    }
    if words[0] != u64::from_le_bytes(*COOKIE) {
        let what = format!("no debug offsets at {runtime:#x}, where they should be");
        return Err(Error::NotARuntime { version, what });
    }
    let told = Version::from_hex(words[1] as u32);
    if told != version {
        let what = format!("the runtime calls itself {told}");
        return Err(Error::NotARuntime { version, what });
    }
    if words[2] != 0 {
        return Err(Error::FreeThreaded { version });
    }
    // Runtime: size, finalizing, interpreters_head.
    layout.interpreters = words[5];
    // Interpreter: size, id, next, threads_head, gc, imports_modules, sysdict, builtins, five of the GIL's.
    layout.interpreter.next = words[8];
    layout.interpreter.threads = words[9];
    layout.generations = words[10].wrapping_add(24);
    layout.interpreter.modules = words[11];
    layout.interpreter.sysdict = words[12];
    layout.interpreter.builtins = words[13];
    // Thread: size, prev, next, interp, current_frame, thread_id, native_thread_id, datastack_chunk, status.
    layout.thread.next = words[21];
    layout.thread.frame = words[23];
    layout.thread.thread_id = words[24];
    // Frame: size, previous, executable, instr_ptr, localsplus, owner.
    if let Frames::Records(frame) = &mut layout.frames {
        (frame.previous, frame.code) = (words[29], words[30]);
        (frame.locals, frame.owner) = (words[32], words[33]);
    }
    // Code: size, filename, name, qualname, linetable, firstlineno, argcount, localsplusnames, localspluskinds, code.
    layout.code.filename = words[35];
    layout.code.name = words[37];
    layout.code.first_line = words[39];
    layout.code.argument_count = words[40];
    layout.code.variables = Variables::Tuple(words[41]);
    Ok(layout)
}
