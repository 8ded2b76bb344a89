//! Front end of C and C++: one [`Unit`] to one [`Module`].
//!
//! ```text
//! Files --preprocess--> tokens at their places --lower--> Module
//! ```
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

use heapwise_check::ir::Module;
use heapwise_model::Language;
use std::sync::Arc;

/// Gives the bytes of files. Shared by all units, so that a header is read from disk once.
pub trait Files {
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
    lower_by(unit, files, headers::Reader::new(), false).0
}

/// Lowers one unit of many: what it shares with others is read once. The module is that of [`lower`].
pub fn lower_with(unit: &Unit, files: &dyn Files, headers: &Headers) -> Module {
    let (module, reader) = lower_by(unit, files, headers.take(), true);
    headers.give_back(reader);
    module
}

fn lower_by(
    unit: &Unit,
    files: &dyn Files,
    mut reader: headers::Reader,
    is_kept: bool,
) -> (Module, headers::Reader) {
    let output = preprocess::preprocess(unit, files, &mut reader, is_kept);
    let source = files.read(&unit.path);
    let symbols = std::mem::take(&mut reader.symbols);
    let lower = lower::Lower::new(&unit.path, unit.language, output, symbols);
    let (module, symbols) = lower.run(source.as_deref().unwrap_or_default());
    reader.symbols = symbols;
    (module, reader)
}
