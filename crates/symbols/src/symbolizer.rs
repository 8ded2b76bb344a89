//! Finds the files of a module and asks them, best first: debug information, symbol table, nothing.

use crate::dwarf::{Bytes, DebugInfo, RawFrame};
use crate::elf::{Elf, Symbols};
use crate::names;
use crate::source::Source;
use gimli::SectionId;
use heapwise_model::{Frame, Module, ResolvedFrame};
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Open debug information of all modules together; beyond it the others are closed again.
const MAX_OPEN: usize = 512 << 20;
/// Notes beyond this are dropped.
const MAX_NOTES: usize = 256;

/// Where files are looked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folders with separate debug files (`.build-id/xx/yyyy.debug`, or the module's own path below them).
    pub debug_dirs: Vec<PathBuf>,
    /// Put before every module's path and every debug folder: the file system the recording was made in.
    pub root: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options { debug_dirs: vec![PathBuf::from("/usr/lib/debug")], root: None }
    }
}

/// Turns addresses into frames; keeps what it opened.
pub struct Symbolizer {
    options: Options,
    /// By path and build id.
    known: FxHashMap<(String, Vec<u8>), usize>,
    files: Vec<ModuleFile>,
    notes: Vec<String>,
}

/// What is known of one module's files.
struct ModuleFile {
    path: String,
    /// `None`: the file is missing, no ELF file, or another build.
    elf: Option<Elf>,
    /// The file that debug information and full symbols are in, if it is another one.
    debug_elf: Option<Elf>,
    symbols: Option<Symbols>,
    debug: Debug,
    is_library: bool,
    is_damage_told: bool,
}

/// Debug information is opened at the first address.
enum Debug {
    Unopened,
    None,
    Open(Box<DebugInfo>),
}

impl Default for Symbolizer {
    fn default() -> Symbolizer {
        Symbolizer::new(Options::default())
    }
}

impl Symbolizer {
    /// Opens nothing yet.
    pub fn new(options: Options) -> Symbolizer {
        Symbolizer { options, known: FxHashMap::default(), files: Vec::new(), notes: Vec::new() }
    }

    /// Frames at `offset`, the file's own address already moved inside the call instruction: innermost
    /// inlined frame first, never empty. Without debug information one frame with the symbol's name;
    /// without a symbol one frame with module and offset only.
    pub fn resolve(&mut self, module: &Module, offset: u64) -> Vec<ResolvedFrame> {
        let index = self.open(module);
        self.resolve_in(index, offset)
    }

    /// Frames of many places, in their order; `modules` is indexed by `ModuleId`, entry 0 is unused.
    /// Sorts by module and address, so that each file is walked once, forward.
    pub fn resolve_all(&mut self, modules: &[Module], frames: &[Frame]) -> Vec<Vec<ResolvedFrame>> {
        let mut order: Vec<usize> = (0..frames.len()).collect();
        order.sort_unstable_by_key(|at| frames[*at]);
        let mut out = vec![Vec::new(); frames.len()];
        let mut last: Option<usize> = None;
        for at in order {
            let frame = frames[at];
            out[at] = match last {
                Some(last) if frames[last] == frame => out[last].clone(),
                _ if frame.module.0 == 0 => vec![ResolvedFrame { offset: frame.offset, ..ResolvedFrame::default() }],
                _ => match modules.get(frame.module.index()) {
                    Some(module) => self.resolve(module, frame.offset),
                    None => vec![ResolvedFrame { offset: frame.offset, ..ResolvedFrame::default() }],
                },
            };
            last = Some(at);
        }
        out
    }

    /// Plain sentences about what is missing or doubtful so far.
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn note(&mut self, text: String) {
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The module's entry; opens its file at the first call.
    fn open(&mut self, module: &Module) -> usize {
        let key = (module.path.clone(), module.build_id.clone());
        if let Some(index) = self.known.get(&key) {
            return *index;
        }
        let elf = self.open_elf(module);
        let is_library = is_library(&module.path, elf.as_ref());
        let file = ModuleFile {
            path: module.path.clone(),
            elf,
            debug_elf: None,
            symbols: None,
            debug: Debug::Unopened,
            is_library,
            is_damage_told: false,
        };
        self.files.push(file);
        self.known.insert(key, self.files.len() - 1);
        self.files.len() - 1
    }

    fn open_elf(&mut self, module: &Module) -> Option<Elf> {
        let path = &module.path;
        if !path.starts_with('/') {
            // The vDSO and code without a file.
            return None;
        }
        let shown = names::shorten(path);
        let source = match Source::open(&self.rooted(Path::new(path))) {
            Ok(source) => source,
            Err(error) => {
                self.note(format!("{shown} cannot be read ({error}): its functions and lines are left out"));
                return None;
            }
        };
        let Some(elf) = Elf::parse(source) else {
            self.note(format!("{shown} is not an ELF file, or is damaged: its functions and lines are left out"));
            return None;
        };
        if !module.build_id.is_empty() && elf.build_id != module.build_id {
            self.note(format!("{shown} was rebuilt since the recording (build id differs): its lines are left out"));
            return None;
        }
        Some(elf)
    }

    /// A path as it is here.
    fn rooted(&self, path: &Path) -> PathBuf {
        match &self.options.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    fn resolve_in(&mut self, index: usize, offset: u64) -> Vec<ResolvedFrame> {
        self.open_debug(index);
        let file = &mut self.files[index];
        let bare = ResolvedFrame { module: file_name(&file.path), offset, is_library: file.is_library, ..ResolvedFrame::default() };
        let Some(elf) = &file.elf else { return vec![bare] };
        let raw = match &mut file.debug {
            Debug::Open(debug) => debug.find(offset, &mut |_, _, _| None),
            _ => Vec::new(),
        };
        let symbol_elf = file.debug_elf.as_ref().filter(|debug| debug.has_symtab()).unwrap_or(elf);
        let mut symbol = || file.symbols.get_or_insert_with(|| symbol_elf.symbols()).find(symbol_elf, offset);
        let frames = if raw.is_empty() {
            vec![frame_of_symbol(symbol(), &bare)]
        } else {
            frames_of_debug(raw, &bare, symbol)
        };
        let is_damaged = matches!(&file.debug, Debug::Open(debug) if debug.is_damaged());
        if is_damaged && !file.is_damage_told {
            file.is_damage_told = true;
            let note = format!("debug information of {} is damaged or too large: some of its functions and lines are left out", names::shorten(&file.path));
            self.note(note);
        }
        frames
    }

    fn open_debug(&mut self, index: usize) {
        if !matches!(self.files[index].debug, Debug::Unopened) {
            return;
        }
        self.close_others(index);
        let file = &mut self.files[index];
        let Some(elf) = &file.elf else {
            file.debug = Debug::None;
            return;
        };
        if !elf.has_section(".debug_info") {
            file.debug = Debug::None;
            return;
        }
        let mut is_whole = true;
        let dwarf = load_dwarf(elf, &mut is_whole, false);
        file.debug = Debug::Open(Box::new(DebugInfo::new(dwarf)));
        if !is_whole {
            file.is_damage_told = true;
            let note = format!("debug information of {} is damaged: some of its functions and lines are left out", names::shorten(&file.path));
            self.note(note);
        }
    }

    /// Closes other modules' debug information when all together takes too much.
    fn close_others(&mut self, index: usize) {
        let weight = |file: &ModuleFile| match &file.debug {
            Debug::Open(debug) => debug.weight(),
            _ => 0,
        };
        if self.files.iter().map(weight).sum::<usize>() < MAX_OPEN {
            return;
        }
        for (at, file) in self.files.iter_mut().enumerate() {
            if at != index && matches!(file.debug, Debug::Open(_)) {
                file.debug = Debug::Unopened;
            }
        }
    }
}

/// Reads the sections that functions and lines need. Damaged ones are empty.
fn load_dwarf(elf: &Elf, is_whole: &mut bool, is_split: bool) -> gimli::Dwarf<Bytes> {
    let mut budget = elf.inflate_budget();
    let load = |id: SectionId| -> Result<Bytes, std::convert::Infallible> {
        let name = if is_split { id.dwo_name() } else { Some(id.name()) };
        let bytes = match name {
            Some(name) if is_needed(id) => elf.section(name, &mut budget).unwrap_or_else(|()| {
                *is_whole = false;
                None
            }),
            _ => None,
        };
        Ok(Bytes::new(bytes.unwrap_or_else(|| Arc::from([])), elf.endian))
    };
    match gimli::Dwarf::load(load) {
        Ok(dwarf) => dwarf,
        Err(never) => match never {},
    }
}

fn is_needed(id: SectionId) -> bool {
    use SectionId::*;
    matches!(
        id,
        DebugAbbrev | DebugAddr | DebugAranges | DebugInfo | DebugLine | DebugLineStr | DebugRanges | DebugRngLists | DebugStr | DebugStrOffsets
    )
}

fn frame_of_symbol(name: Option<String>, bare: &ResolvedFrame) -> ResolvedFrame {
    let language = name.as_deref().and_then(names::language_of_symbol);
    ResolvedFrame { function: name.as_deref().map(names::demangle), language, ..bare.clone() }
}

fn frames_of_debug(raw: Vec<RawFrame>, bare: &ResolvedFrame, symbol: impl FnOnce() -> Option<String>) -> Vec<ResolvedFrame> {
    let outermost = raw.len() - 1;
    let mut frames: Vec<ResolvedFrame> = raw
        .into_iter()
        .enumerate()
        .map(|(at, frame)| {
            let language = frame
                .language
                .or_else(|| frame.name.as_deref().and_then(names::language_of_symbol))
                .or_else(|| frame.path.as_deref().and_then(names::language_of_path));
            ResolvedFrame {
                function: frame.name.as_deref().map(names::demangle),
                is_library: bare.is_library || frame.path.as_deref().is_some_and(names::is_runtime_source),
                path: frame.path,
                line: frame.line,
                column: frame.column,
                is_inlined: at != outermost,
                language,
                ..bare.clone()
            }
        })
        .collect();
    if frames[outermost].function.is_none() {
        // Assembly has lines but no functions.
        frames[outermost].function = symbol().as_deref().map(names::demangle);
    }
    frames
}

/// Last part of a path.
fn file_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    names::shorten(name.strip_suffix(" (deleted)").unwrap_or(name))
}

/// Whether a module belongs to the system: a shared library or a program's helper under a library folder, the
/// loader, the vDSO. A program started from `/usr/bin` is not.
fn is_library(path: &str, elf: Option<&Elf>) -> bool {
    const FOLDERS: [&str; 8] = ["/lib/", "/lib32/", "/lib64/", "/usr/lib/", "/usr/lib32/", "/usr/lib64/", "/usr/local/lib/", "/usr/libexec/"];
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.starts_with("ld-linux") || name.starts_with("ld-musl") || name.starts_with("ld.so") || name.contains("vdso") {
        return true;
    }
    let is_program = elf.is_some_and(|elf| elf.interpreter.is_some()) && !name.contains(".so");
    FOLDERS.iter().any(|folder| path.starts_with(folder)) && !is_program
}
