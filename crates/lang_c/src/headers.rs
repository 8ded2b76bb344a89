//! What the inclusion of a header did to a unit, kept for the units that include it next.
//!
//! ```text
//! Headers --take--> Reader { symbols, macros, per way of compiling: Known { inclusions, searches } } --give--> Headers
//! ```
//!
//! Most of what a unit of a large program reads are headers that the unit before it has read. An [`Inclusion`] holds
//! what such a header made (tokens, macros, files) and all that it asked for while it did: the macros that it
//! named, and the files that were looked for. Where a later unit would give the same answers, the outcome is the
//! same, and is taken over instead of being read again.
//!
//! A [`Reader`] serves one unit at a time, so that there are as many as there are threads. Its symbols' numbers differ
//! from run to run; nothing that leaves this crate depends on them.
//!
//! Invariants: between units every macro of a reader is undefined; an inclusion holds no number of a unit's file.
//! Memory: [`MAX_TOKENS`] and [`MAX_SYMBOLS`] per reader, [`MAX_WAYS`] inclusions of one header.

use crate::Unit;
use crate::lex::Token;
use crate::preprocess::Macro;
use crate::symbols::{Sym, Symbols};
use heapwise_model::Language;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Tokens of inclusions that a reader keeps.
const MAX_TOKENS: usize = 1 << 19;
/// A reader with more is not used again: their tables are cleared for each unit.
const MAX_SYMBOLS: usize = 1 << 18;
/// A reader that had to look for more headers than this is not used again.
const MAX_SEARCHES: usize = 1 << 16;
/// Different outcomes of one header.
const MAX_WAYS: usize = 6;
/// Different ways of compiling that a reader knows.
const MAX_OPTIONS: usize = 32;

/// Headers that units before have read. For units whose [`Files`](crate::Files) are the same: those whose content
/// is another allocation count as changed.
#[derive(Default)]
pub struct Headers {
    idle: Mutex<Vec<Reader>>,
}

impl Headers {
    pub fn new() -> Headers {
        Headers::default()
    }

    pub(crate) fn take(&self) -> Reader {
        self.lock().pop().unwrap_or_else(Reader::new)
    }

    pub(crate) fn give_back(&self, it: Reader) {
        if it.symbols.len() <= MAX_SYMBOLS {
            self.lock().push(it);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        // Only whole readers are ever in there.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one thread knows of headers.
pub(crate) struct Reader {
    pub(crate) symbols: Symbols,
    /// By symbol; undefined between units.
    pub(crate) macros: Vec<Option<Arc<Macro>>>,
    known: Vec<(Options, Known)>,
}

impl Reader {
    pub(crate) fn new() -> Reader {
        Reader { symbols: Symbols::new(), macros: Vec::new(), known: Vec::new() }
    }

    /// What is known of headers that are compiled as this unit is.
    pub(crate) fn known(&mut self, unit: &Unit) -> Known {
        let at = self.known.iter().position(|it| it.0.is_of(unit));
        at.map(|it| self.known.swap_remove(it).1).unwrap_or_default()
    }

    pub(crate) fn learn(&mut self, unit: &Unit, known: Known) {
        if known.searches.len() <= MAX_SEARCHES && self.known.len() < MAX_OPTIONS {
            self.known.push((Options::of(unit), known));
        }
    }
}

/// What decides on the meaning of a header besides macros.
struct Options {
    is_cpp: bool,
    include_dirs: Vec<String>,
    defines: Vec<String>,
    includes: Vec<String>,
}

impl Options {
    fn of(unit: &Unit) -> Options {
        let Unit { path: _, language, include_dirs, defines, includes } = unit.clone();
        Options { is_cpp: language == Language::Cpp, include_dirs, defines, includes }
    }

    fn is_of(&self, unit: &Unit) -> bool {
        self.is_cpp == (unit.language == Language::Cpp)
            && self.include_dirs == unit.include_dirs
            && self.defines == unit.defines
            && self.includes == unit.includes
    }
}

/// What is known under the same options.
#[derive(Default)]
pub(crate) struct Known {
    inclusions: FxHashMap<Arc<str>, Vec<Arc<Inclusion>>>,
    pub(crate) searches: Vec<Search>,
    /// By the includer's folder, and the name as it is spelled.
    pub(crate) search_of: FxHashMap<(String, String), SearchId>,
    tokens: usize,
}

impl Known {
    pub(crate) fn inclusions(&self, path: &str) -> &[Arc<Inclusion>] {
        self.inclusions.get(path).map_or(&[], Vec::as_slice)
    }

    /// Whether an inclusion of this header, of so many tokens of its own, would be kept.
    pub(crate) fn has_room(&self, path: &str, tokens: usize) -> bool {
        self.tokens + tokens <= MAX_TOKENS && self.inclusions(path).len() < MAX_WAYS
    }

    pub(crate) fn keep(&mut self, path: Arc<str>, it: Arc<Inclusion>) {
        let own = it.pieces.iter().map(|it| if let Piece::Tokens(it) = it { it.len() } else { 0 });
        self.tokens += own.sum::<usize>();
        self.inclusions.entry(path).or_default().push(it);
    }
}

/// A place in [`Known::searches`].
pub(crate) type SearchId = u32;

/// Where a header was found, and the files that were asked for on the way.
pub(crate) struct Search {
    pub(crate) reads: Vec<(String, Option<Arc<[u8]>>)>,
    pub(crate) path: Option<Arc<str>>,
}

/// One outcome of a header.
#[derive(Default)]
pub(crate) struct Inclusion {
    /// What the header held; `None`: it is a part of this crate.
    pub(crate) content: Option<Arc<[u8]>>,
    /// Macros that it named, with what they were before it; `None`: undefined.
    pub(crate) asked: Vec<(Sym, Option<Arc<Macro>>)>,
    /// Whether these were among the headers that are read once.
    pub(crate) once_asked: Vec<(Arc<str>, bool)>,
    pub(crate) searches: Vec<SearchId>,
    /// `#pragma pack` before it and after; `None`: it has none.
    pub(crate) pack: Option<(Vec<u32>, Vec<u32>)>,
    /// Macros after it, of those that it changed.
    pub(crate) defined: Vec<(Sym, Option<Arc<Macro>>)>,
    pub(crate) once: Vec<Arc<str>>,
    pub(crate) guards: Vec<(Arc<str>, Sym)>,
    pub(crate) missing: Vec<String>,
    /// Files in the order in which they were opened: tokens name them by their place here.
    pub(crate) paths: Vec<Arc<str>>,
    pub(crate) pieces: Vec<Piece>,
    /// All of them.
    pub(crate) tokens: usize,
    /// What it takes of budgets.
    pub(crate) produced: usize,
    pub(crate) included: usize,
    pub(crate) depth: usize,
}

/// A part of what a header reads as.
pub(crate) enum Piece {
    Tokens(Box<[Token]>),
    Header(Arc<Inclusion>),
}

/// A header that is being read: what will be its [`Inclusion`].
pub(crate) struct Recording {
    /// Tells marks of this recording from those of others.
    pub(crate) id: u32,
    pub(crate) path: Arc<str>,
    pub(crate) content: Option<Arc<[u8]>>,
    /// Files that were open before it.
    pub(crate) outside: usize,
    /// Most files that were open at once.
    pub(crate) deepest: usize,
    /// It depends on what is not recorded.
    pub(crate) is_void: bool,
    pub(crate) touches: Vec<Touch>,
    pub(crate) once: Vec<(Arc<str>, OnceTouch)>,
    pub(crate) searches: Vec<SearchId>,
    pub(crate) guards: Vec<(Arc<str>, Sym)>,
    pub(crate) missing: Vec<String>,
    /// Numbers of files of the unit.
    pub(crate) files: Vec<u16>,
    /// Tokens of the unit that headers within it made.
    pub(crate) within: Vec<(std::ops::Range<usize>, Arc<Inclusion>)>,
    /// `#pragma pack` before it.
    pub(crate) pack: Vec<u32>,
    pub(crate) uses_pack: bool,
    /// The unit's counts when it began.
    pub(crate) tokens: usize,
    pub(crate) produced: usize,
    pub(crate) included: usize,
    pub(crate) notes: usize,
}

/// A macro that a header asked for or changed. The first touch decides: what a header has defined itself is no question
/// to those around it.
pub(crate) struct Touch {
    pub(crate) name: Sym,
    /// What it was; `None`: it was changed without being asked for.
    pub(crate) asked: Option<Option<Arc<Macro>>>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum OnceTouch {
    Asked(bool),
    Set,
}

/// Whether these mean the same wherever they are used.
pub(crate) fn is_same(a: Option<&Arc<Macro>>, b: Option<&Arc<Macro>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.is_same(b),
        _ => false,
    }
}

/// Whether a file is as it was. Contents are compared by where they are: who reads a file once gives the same.
pub(crate) fn is_same_content(a: Option<&Arc<[u8]>>, b: Option<&Arc<[u8]>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}
