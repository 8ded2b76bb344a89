//! Finds the files of a module and asks them, best first: debug information, symbol table, nothing.

use crate::debug_files::Search;
use crate::dwarf::{Bytes, DebugInfo, Dwarf, RawFrame};
use crate::elf::{Elf, Symbols};
use crate::names;
use crate::source::Source;
use gimli::SectionId;
use heapwise_model::{Frame, Language, Module, ResolvedFrame, Variable};
use rustc_hash::FxHashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The library that was loaded into the program for the recording.
const RECORDER: &str = "/libheapwise_recorder.so";

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
    search: Search,
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
    variables: Option<Symbols>,
    debug: Debug,
    package: Package,
    is_library: bool,
    is_damage_told: bool,
}

/// Debug information is opened at the first address.
enum Debug {
    Unopened,
    None,
    Open(Box<DebugInfo>),
}

/// All split units of a module in one file; looked for at the first split unit.
enum Package {
    Unopened,
    None,
    Open(Box<gimli::DwarfPackage<Bytes>>),
}

impl Default for Symbolizer {
    fn default() -> Symbolizer {
        Symbolizer::new(Options::default())
    }
}

impl Symbolizer {
    /// Opens nothing yet.
    pub fn new(options: Options) -> Symbolizer {
        let Options { debug_dirs, root } = options;
        let mut search = Search { debug_dirs: Vec::new(), root };
        search.debug_dirs = debug_dirs.iter().map(|folder| search.rooted(folder)).collect();
        Symbolizer { search, known: FxHashMap::default(), files: Vec::new(), notes: Vec::new() }
    }

    /// Uses `bytes` as the module's file instead of opening its path.
    pub fn insert(&mut self, module: &Module, bytes: &[u8]) {
        let elf = self.read_elf(module, Source::Bytes(Arc::from(bytes)));
        self.add(module, elf);
    }

    /// Frames at `offset`, the file's own address already moved inside the call instruction: innermost
    /// inlined frame first, never empty. Without debug information one frame with the symbol's name;
    /// without a symbol one frame with module and offset only.
    pub fn resolve(&mut self, module: &Module, offset: u64) -> Vec<ResolvedFrame> {
        let index = self.open(module);
        self.resolve_in(index, offset)
    }

    /// Frames of many places, in their order; `modules` is indexed by `ModuleId`, entry 0 is unused.
    /// Sorts by module and address, so that each file is walked once, forward. Frames of scripts, which bring their
    /// own place, get nothing, nor do those of the recorder, where the program runs on within it.
    pub fn resolve_all(&mut self, modules: &[Module], frames: &[Frame]) -> Vec<Vec<ResolvedFrame>> {
        let mut order: Vec<usize> = (0..frames.len()).collect();
        order.sort_unstable_by_key(|at| frames[*at]);
        let mut out = vec![Vec::new(); frames.len()];
        let mut last: Option<usize> = None;
        for at in order {
            let Frame::Native { module, offset } = frames[at] else { continue };
            out[at] = match last {
                Some(last) if frames[last] == frames[at] => out[last].clone(),
                _ => match modules.get(module.index()) {
                    Some(file) if file.path.ends_with(RECORDER) => Vec::new(),
                    Some(file) if module.0 != 0 => self.resolve(file, offset),
                    _ => vec![ResolvedFrame { offset, ..ResolvedFrame::default() }],
                },
            };
            last = Some(at);
        }
        out
    }

    /// Name of the function that covers `offset`, an address as the file has it, as its symbol table has it.
    pub fn symbol(&mut self, module: &Module, offset: u64) -> Option<String> {
        let index = self.open(module);
        let file = &mut self.files[index];
        let elf = file.elf.as_ref()?;
        file.symbols.get_or_insert_with(|| elf.symbols()).find(elf, offset)
    }

    /// The variable at `offset`, an address as the file has it; its name is `None` where no symbol covers it.
    pub fn variable(&mut self, module: &Module, offset: u64) -> Variable {
        let index = self.open(module);
        self.open_debug(index);
        let file = &mut self.files[index];
        let found = file.elf.as_ref().and_then(|elf| {
            let elf = file.debug_elf.as_ref().filter(|debug| debug.has_symtab()).unwrap_or(elf);
            file.variables.get_or_insert_with(|| elf.variables()).covering(elf, offset)
        });
        let module = file_name(&file.path);
        match found {
            Some((start, name)) => {
                Variable { name: Some(names::demangle(&name)), offset: offset.saturating_sub(start), module }
            }
            None => Variable { name: None, offset, module },
        }
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
        self.add(module, elf)
    }

    fn add(&mut self, module: &Module, elf: Option<Elf>) -> usize {
        let is_library = is_library(&module.path, elf.as_ref());
        let file = ModuleFile {
            path: module.path.clone(),
            elf,
            debug_elf: None,
            symbols: None,
            variables: None,
            debug: Debug::Unopened,
            package: Package::Unopened,
            is_library,
            is_damage_told: false,
        };
        self.files.push(file);
        self.known.insert((module.path.clone(), module.build_id.clone()), self.files.len() - 1);
        self.files.len() - 1
    }

    fn open_elf(&mut self, module: &Module) -> Option<Elf> {
        let path = &module.path;
        if !path.starts_with('/') {
            // The vDSO and code without a file.
            return None;
        }
        match Source::open(&self.search.rooted(Path::new(path))) {
            Ok(source) => self.read_elf(module, source),
            Err(error) => {
                let shown = names::shorten(path);
                self.note(format!("{shown} cannot be read ({error}): its functions and lines are left out"));
                None
            }
        }
    }

    /// The file's headers, when it is the one that was recorded.
    fn read_elf(&mut self, module: &Module, source: Source) -> Option<Elf> {
        let shown = names::shorten(&module.path);
        let Some(elf) = Elf::parse(source) else {
            self.note(format!(
                "{shown} is not an ELF file, or is damaged: its functions and lines are left out"
            ));
            return None;
        };
        if !module.build_id.is_empty() && elf.build_id != module.build_id {
            self.note(format!(
                "{shown} was rebuilt since the recording (build id differs): its lines are left out"
            ));
            return None;
        }
        Some(elf)
    }

    fn resolve_in(&mut self, index: usize, offset: u64) -> Vec<ResolvedFrame> {
        self.open_debug(index);
        let Symbolizer { search, files, .. } = self;
        let file = &mut files[index];
        let bare = ResolvedFrame {
            module: file_name(&file.path),
            offset,
            is_library: file.is_library,
            ..ResolvedFrame::default()
        };
        let Some(elf) = &file.elf else {
            return vec![bare];
        };
        let (path, package) = (Path::new(&file.path), &mut file.package);
        let raw = match &mut file.debug {
            Debug::Open(debug) => debug.find(offset, &mut |main, comp_dir, name, id| {
                load_split(search, path, package, main, comp_dir, name, id)
            }),
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
            let note = format!(
                "debug information of {} is damaged or too large: some of its functions and lines are left out",
                names::shorten(&file.path)
            );
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
        file.debug = Debug::None;
        let Some(elf) = &file.elf else { return };
        let path = Path::new(&file.path);
        let has_own = elf.has_section(".debug_info");
        if !has_own && file.debug_elf.is_none() {
            file.debug_elf = self.search.find_debug(elf, path);
        }
        let debug_elf = file.debug_elf.as_ref().unwrap_or(elf);
        if !debug_elf.has_section(".debug_info") {
            return;
        }
        let mut is_whole = true;
        let mut dwarf = load_dwarf(debug_elf, &mut is_whole);
        let supplementary = self.search.find_supplementary(debug_elf, &self.search.rooted(path));
        let lacks_supplementary = supplementary.is_none() && debug_elf.debug_alt_link().is_some();
        if let Some(supplementary) = supplementary {
            dwarf.set_sup(load_dwarf(&supplementary, &mut is_whole));
        }
        file.debug = Debug::Open(Box::new(DebugInfo::new(dwarf)));
        file.is_damage_told |= !is_whole;
        let shown = names::shorten(&file.path);
        if !is_whole {
            self.note(format!(
                "debug information of {shown} is damaged: some of its functions and lines are left out"
            ));
        }
        if lacks_supplementary {
            self.note(format!("the file that {shown} shares debug information with is missing: some of its functions are left out"));
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
fn load_dwarf(elf: &Elf, is_whole: &mut bool) -> Dwarf {
    let mut budget = elf.inflate_budget();
    let loaded = gimli::Dwarf::load(|id| -> Result<Bytes, Infallible> {
        let name = Some(id.name()).filter(|_| is_needed(id));
        Ok(load_section(elf, name, &mut budget, is_whole))
    });
    match loaded {
        Ok(dwarf) => dwarf,
        Err(never) => match never {},
    }
}

fn load_section(elf: &Elf, name: Option<&str>, budget: &mut u64, is_whole: &mut bool) -> Bytes {
    let bytes = name.and_then(|name| {
        elf.section(name, budget).unwrap_or_else(|()| {
            *is_whole = false;
            None
        })
    });
    Bytes::new(bytes.unwrap_or_else(|| Arc::from([])), elf.endian)
}

/// The split part of a unit: from the module's package, or from its own file.
fn load_split(
    search: &Search,
    module: &Path,
    package: &mut Package,
    main: &Dwarf,
    comp_dir: &str,
    name: &str,
    id: gimli::DwoId,
) -> Option<Dwarf> {
    if let Package::Unopened = package {
        *package = search
            .find_package(module)
            .and_then(|elf| load_package(&elf))
            .map_or(Package::None, |it| Package::Open(Box::new(it)));
    }
    if let Package::Open(package) = package
        && let Ok(Some(dwarf)) = package.find_cu(id, main)
    {
        return Some(dwarf);
    }
    let elf = search.find_split(module, comp_dir, name)?;
    let mut budget = elf.inflate_budget();
    let loaded = gimli::Dwarf::load(|id| -> Result<Bytes, Infallible> {
        let name = id.dwo_name().filter(|_| is_needed(id));
        Ok(load_section(&elf, name, &mut budget, &mut true))
    });
    loaded.ok()
}

fn load_package(elf: &Elf) -> Option<gimli::DwarfPackage<Bytes>> {
    let mut budget = elf.inflate_budget();
    let empty = Bytes::new(Arc::from([]), elf.endian);
    gimli::DwarfPackage::load(
        |id| -> Result<Bytes, gimli::Error> {
            let name = id
                .dwo_name()
                .filter(|_| is_needed(id) || matches!(id, SectionId::DebugCuIndex | SectionId::DebugTuIndex));
            Ok(load_section(elf, name, &mut budget, &mut true))
        },
        empty,
    )
    .ok()
}

fn is_needed(id: SectionId) -> bool {
    use SectionId::*;
    matches!(
        id,
        DebugAbbrev
            | DebugAddr
            | DebugAranges
            | DebugInfo
            | DebugLine
            | DebugLineStr
            | DebugRanges
            | DebugRngLists
            | DebugStr
            | DebugStrOffsets
    )
}

fn frame_of_symbol(name: Option<String>, bare: &ResolvedFrame) -> ResolvedFrame {
    let language = name.as_deref().and_then(names::language_of_symbol);
    ResolvedFrame { function: name.as_deref().map(names::demangle), language, ..bare.clone() }
}

fn frames_of_debug(
    raw: Vec<RawFrame>,
    bare: &ResolvedFrame,
    symbol: impl FnOnce() -> Option<String>,
) -> Vec<ResolvedFrame> {
    let outermost = raw.len() - 1;
    let has_scopes = raw[outermost].is_linkage || raw[outermost].language == Some(Language::C);
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
    if !has_scopes && let Some(symbol) = symbol() {
        // Assembly has lines but no functions; line tables alone have names without their scopes.
        let whole = names::demangle(&symbol);
        let known = frames[outermost].function.as_deref().map(|name| name.split('<').next().unwrap_or(name));
        if known.is_none_or(|known| whole.contains(known)) {
            frames[outermost].function = Some(whole);
        }
    }
    frames
}

/// Last part of a path.
fn file_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    names::shorten(name.strip_suffix(" (deleted)").unwrap_or(name))
}

/// `libpython3.11.so.1.0`, `python3.11`, `python`.
fn is_python(name: &str) -> bool {
    let version = name.strip_prefix("libpython").or_else(|| name.strip_prefix("python"));
    version.is_some_and(|it| it.is_empty() || it.starts_with(|it: char| it.is_ascii_digit()))
}

/// `node`, `nodejs`, `libnode.so.108`.
fn is_node(name: &str) -> bool {
    matches!(name, "node" | "nodejs") || name.starts_with("libnode.so")
}

/// Whether a module belongs to the system or a language's runtime: a shared library or a program's helper under a
/// library folder, the loader, the vDSO, an interpreter. A program started from `/usr/bin` is not.
fn is_library(path: &str, elf: Option<&Elf>) -> bool {
    const FOLDERS: [&str; 8] = [
        "/lib/",
        "/lib32/",
        "/lib64/",
        "/usr/lib/",
        "/usr/lib32/",
        "/usr/lib64/",
        "/usr/local/lib/",
        "/usr/libexec/",
    ];
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.starts_with("ld-linux")
        || name.starts_with("ld-musl")
        || name.starts_with("ld.so")
        || name.contains("vdso")
        || is_python(name)
        || is_node(name)
        || ["/site-packages/", "/dist-packages/", "/lib-dynload/"].iter().any(|it| path.contains(it))
    {
        return true;
    }
    let is_program = elf.is_some_and(|elf| elf.interpreter.is_some()) && !name.contains(".so");
    FOLDERS.iter().any(|folder| path.starts_with(folder)) && !is_program
}
