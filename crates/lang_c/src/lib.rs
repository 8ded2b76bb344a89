//! Front end of C and C++: one [`Unit`] to one [`Module`].
//!
//! ```text
//! Files --preprocess--> tokens at their places --lower--> Module
//! ```
//!
//! Many units share what headers made ([`Headers`]); a large one is lowered while it is preprocessed.
//!
//! Works on a bare folder of sources: where a header is not found, an embedded stub of it declares what the
//! standard library, POSIX and C++'s library are known for; a header that is nowhere is noted and left out.
//! No file is opened here: [`Files`] gives their bytes.
//!
//! ```
//! use heapwise_lang_c::{Files, Unit, lower};
//! use std::sync::Arc;
//!
//! struct One;
//! impl Files for One {
//!     fn read(&self, path: &str) -> Option<Arc<[u8]>> {
//!         (path == "a.c").then(|| b"int twice(int x) { return 2 * x; }"[..].into())
//!     }
//! }
//! let module = lower(&Unit::new("a.c"), &One);
//! assert_eq!(module.functions.len(), 1);
//! ```
//!
//! Absent on purpose: type checking, and any diagnosis of code that a compiler would reject.
#![forbid(unsafe_code)]

mod chunks;
mod class;
mod cpp;
mod decl;
mod expr;
mod headers;
mod init;
mod lex;
mod literal;
mod lower;
mod outline;
mod preprocess;
mod stmt;
mod stubs;
mod symbols;
mod template;
mod types;

pub use headers::Headers;
pub use outline::outline;

use chunks::Chunk;
use headers::Reader;
use heapwise_check::ir::Module;
use heapwise_model::Language;
use lower::Lower;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use symbols::Symbols;

/// Gives the bytes of files. Shared by all units, so that a header is read from disk once.
pub trait Files: Sync {
    /// The content of a file; `None`: there is no such file.
    fn read(&self, path: &str) -> Option<Arc<[u8]>>;
}

/// A source file and how it is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// As the user would write it.
    pub path: String,
    /// [`Language::C`] or [`Language::Cpp`].
    pub language: Language,
    /// Folders of headers, in order.
    pub include_dirs: Vec<String>,
    /// `NAME` or `NAME=VALUE`.
    pub defines: Vec<String>,
    /// Headers that are read before the file.
    pub includes: Vec<String>,
}

impl Unit {
    /// A unit without options, its language by the file's name.
    pub fn new(path: impl Into<String>) -> Unit {
        let path = path.into();
        let language = language_of(&path).unwrap_or(Language::C);
        Unit { path, language, include_dirs: Vec::new(), defines: Vec::new(), includes: Vec::new() }
    }
}

/// The language of a source file by its name; `None`: it is no source of C or C++ (headers are none).
pub fn language_of(path: &str) -> Option<Language> {
    let (_, extension) = path.rsplit_once('.')?;
    match extension {
        "c" => Some(Language::C),
        "cc" | "cpp" | "cxx" | "c++" | "C" | "CPP" | "cp" | "ii" => Some(Language::Cpp),
        "i" => Some(Language::C),
        _ => None,
    }
}

/// Lowers a unit. Whatever its bytes are: what cannot be read is left out and noted.
pub fn lower(unit: &Unit, files: &dyn Files) -> Module {
    lower_whole(unit, files, &mut Reader::new(), false)
}

/// Lowers one unit of many: what it shares with others is read once, and large ones are read by two threads if one is
/// idle. To be called on a pool whose threads have room for nested code. The module is that of [`lower`].
pub fn lower_with(unit: &Unit, files: &dyn Files, headers: &Headers) -> Module {
    let mut reader = headers.take();
    let module = lower_early(unit, files, &mut reader);
    let module = module.unwrap_or_else(|| lower_whole(unit, files, &mut reader, true));
    headers.give_back(reader);
    module
}

fn lower_whole(unit: &Unit, files: &dyn Files, reader: &mut Reader, is_kept: bool) -> Module {
    let output = preprocess::preprocess(unit, files, reader, is_kept);
    let source = files.read(&unit.path);
    let mut lower = Lower::new(&unit.path, unit.language, std::mem::take(&mut reader.symbols));
    lower.read(output, true);
    let (module, symbols) = lower.end_unit(source.as_deref().unwrap_or_default());
    reader.symbols = symbols;
    module
}

/// Lowers a large unit of C while it is preprocessed. `None`: it is no such unit, or cannot be read in pieces.
fn lower_early(unit: &Unit, files: &dyn Files, reader: &mut Reader) -> Option<Module> {
    let source = files.read(&unit.path).filter(|it| it.len() >= chunks::LARGE)?;
    if unit.language != Language::C {
        return None;
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    // The first of the two waits for nothing, so that the second may run after it.
    let ((), module) = rayon::join(
        || preprocess::preprocess_early(unit, files, reader, sender),
        || lower_chunks(unit, &source, receiver),
    );
    module
}

fn lower_chunks(unit: &Unit, source: &[u8], chunks: Receiver<Chunk>) -> Option<Module> {
    let mut lower = Lower::new(&unit.path, unit.language, Symbols::numbered());
    for (index, Chunk { output, texts }) in chunks.into_iter().enumerate() {
        lower.symbols.append(&texts);
        if !lower.read(output, index == 0) {
            return None;
        }
    }
    Some(lower.end_unit(source).0)
}
