//! Address to function, file and line; and what an executable is before it is started.
//!
//! ```text
//!   (module, offset) -> ELF file -> build id the same? -> debug information -> frames, innermost first
//!                                                      \-> symbol table      -> one frame with a name
//!                                                       \-> nothing          -> module and offset
//! ```
//!
//! - [`Symbolizer`] resolves; a module's files are opened at its first address.
//! - [`inspect`] tells what kind of executable a file is; [`build_id`] which build.
//!
//! Invariants: a result is never empty and never made up; a file that was rebuilt since the recording
//! gives no names. Any bytes are accepted: no panic, bounded memory, time and name lengths (the
//! modules `dwarf` and `elf` name the caps). This crate fences `object`, `gimli` and the demanglers: none of
//! their types leaves it.
//!
//! Absent on purpose: fetching debug files over the network, formats other than ELF, relocatable objects.
#![forbid(unsafe_code)]

mod debug_files;
mod dwarf;
mod elf;
mod inspect;
mod names;
mod source;
mod symbolizer;

pub use inspect::{
    Error, Executable, ExecutableKind, Libc, Machine, Native, build_id, inspect, inspect_bytes,
};
pub use symbolizer::{Options, Symbolizer};

/// Puts any bytes through everything this crate does with a file. For fuzzing and the walk over past crashes:
/// it must return, whatever the bytes are.
#[doc(hidden)]
pub fn exercise(data: &[u8]) {
    let _ = inspect_bytes(data);
    let nowhere = std::path::PathBuf::from("/nonexistent");
    let mut symbolizer = Symbolizer::new(Options { debug_dirs: Vec::new(), root: Some(nowhere) });
    let module = heapwise_model::Module { path: "/fuzz/input".into(), ..Default::default() };
    symbolizer.insert(&module, data);
    // Where small test programs have their code, the ends, and places that the input names.
    let named = data
        .chunks_exact(8)
        .rev()
        .take(4)
        .map(|bytes| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    let fixed = [0, 1, 0x1000, 0x40_0100, 0x40_0200, u64::MAX];
    let near = (0x100..0x400).step_by(9).flat_map(|low| [low, 0x40_0000 + low]);
    for offset in fixed.into_iter().chain(near).chain(named) {
        let frames = symbolizer.resolve(&module, offset);
        assert!(!frames.is_empty(), "a result is never empty");
        for frame in &frames {
            let texts = [frame.function.as_deref(), frame.path.as_deref(), Some(frame.module.as_str())];
            assert!(texts.into_iter().flatten().all(|text| text.len() <= names::MAX_NAME + '…'.len_utf8()));
        }
        assert!(frames.len() <= dwarf::MAX_INLINED + 1);
    }
    if let Ok(name) = std::str::from_utf8(data) {
        names::demangle(name);
    }
}
