//! Where a finding is: the one choice that every format shows.
//!
//! A finding of `check` brings its source range. One of `run` brings a stack, and its place is the
//! first frame that is the user's own, has a line and is no allocation function by its name
//! ([`is_allocation_function`]); else the first own frame with a line; else the first own frame
//! with a name that tells something; else the first own frame; else the innermost one.

use heapwise_model::{Finding, Language, Place, Report, ResolvedFrame, StackId};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::{Component, Path, PathBuf};

/// Frames of one stack that are looked at; deeper ones are recursion nobody reads.
pub const MAX_FRAMES: usize = 1024;

/// A place with whatever is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Located<'a> {
    /// As the compiler or the frontend named the file; see [`relative`].
    pub path: Option<&'a str>,
    /// 1-based.
    pub line: Option<u32>,
    /// 1-based, UTF-8 bytes.
    pub column: Option<u32>,
    /// 1-based.
    pub end_line: Option<u32>,
    /// 1-based, UTF-8 bytes; just after the last byte.
    pub end_column: Option<u32>,
    /// The function around the place.
    pub function: Option<&'a str>,
    /// File name of the module; for places of a stack.
    pub module: Option<&'a str>,
    /// Address in that module; for places of a stack.
    pub offset: Option<u64>,
    /// Language of the code there.
    pub language: Option<Language>,
}

/// Where a finding is; `None` when nothing at all is known.
pub fn locate<'a>(report: &'a Report, finding: &'a Finding) -> Option<Located<'a>> {
    locate_place(report, &finding.place)
}

/// Where a place is; `None` when nothing at all is known.
pub fn locate_place<'a>(report: &'a Report, place: &'a Place) -> Option<Located<'a>> {
    match place {
        Place::Source(at) => Some(Located {
            path: (!at.path.is_empty()).then_some(at.path.as_str()),
            line: (at.line != 0).then_some(at.line),
            column: at.column,
            end_line: at.end_line,
            end_column: at.end_column,
            function: at.function.as_deref(),
            ..Located::default()
        }),
        Place::Stack(stack) => site(report, *stack).map(Located::from),
        Place::Unknown => None,
    }
}

impl<'a> From<&'a ResolvedFrame> for Located<'a> {
    fn from(frame: &'a ResolvedFrame) -> Self {
        let path = frame.path.as_deref().filter(|path| !path.is_empty());
        Located {
            path,
            line: frame.line.filter(|line| *line != 0 && path.is_some()),
            column: frame.column.filter(|column| *column != 0 && path.is_some()),
            end_line: None,
            end_column: None,
            function: frame.function.as_deref(),
            module: (!frame.module.is_empty()).then_some(frame.module.as_str()),
            offset: Some(frame.offset),
            language: frame.language,
        }
    }
}

/// The frame that stands for a stack.
pub fn site(report: &Report, stack: StackId) -> Option<&ResolvedFrame> {
    site_index(report, stack).map(|it| it.1)
}

/// The frame that stands for a stack, and how many frames are inside of it.
pub fn site_index(report: &Report, stack: StackId) -> Option<(usize, &ResolvedFrame)> {
    let mut best: Option<(u8, usize, &ResolvedFrame)> = None;
    let mut nameless = None;
    for (at, frame) in report.resolved(stack).take(MAX_FRAMES).enumerate() {
        let rank = match (has_line(frame), frame.is_library || is_wrapper(frame)) {
            _ if frame.is_library => 0,
            (true, false) => return Some((at, frame)),
            (true, true) => 4,
            (false, false) if is_telling(frame, nameless) => 3,
            (false, true) => 1,
            (false, false) => 2,
        };
        if rank == 2 {
            nameless = nameless.or(Some(frame));
        }
        if best.is_none_or(|(other, _, _)| rank > other) {
            best = Some((rank, at, frame));
        }
    }
    best.map(|(_, at, frame)| (at, frame))
}

/// What is the same for all stacks of a site: path, line, function, module, and the address where no line is known.
/// Two calls in one line are one site.
pub type SiteKey<'a> = (Option<&'a str>, Option<u32>, Option<&'a str>, Option<&'a str>, Option<u64>);

/// The key of the site at a place.
pub fn site_key<'a>(at: &Located<'a>) -> SiteKey<'a> {
    (at.path, at.line, at.function, at.module, at.offset.filter(|_| at.line.is_none()))
}

/// The two ends of a stack: nobody reads the middle of a deep recursion.
pub struct Ends<'a> {
    /// Innermost first.
    pub inner: Vec<&'a ResolvedFrame>,
    /// Frames between the two.
    pub left_out: usize,
    /// The outermost ones, the last one being the first call.
    pub outer: Vec<&'a ResolvedFrame>,
}

/// At most `inner` frames from the innermost on and `outer` ones up to the outermost.
pub fn ends(report: &Report, stack: StackId, inner: usize, outer: usize) -> Ends<'_> {
    let mut frames = report.resolved(stack);
    let inner: Vec<_> = frames.by_ref().take(inner).collect();
    let mut last = VecDeque::with_capacity(outer);
    let mut left_out = 0;
    for frame in frames {
        if last.len() == outer {
            last.pop_front();
            left_out += 1;
        }
        last.push_back(frame);
    }
    Ends { inner, left_out, outer: last.into() }
}

/// Whether a name tells more than the nameless frame inside of it: in the same module, and no start of all.
fn is_telling(frame: &ResolvedFrame, nameless: Option<&ResolvedFrame>) -> bool {
    frame.function.as_deref().is_some_and(|name| {
        nameless.is_none_or(|it| it.module == frame.module && !["main", "_start"].contains(&name))
    })
}

fn is_wrapper(frame: &ResolvedFrame) -> bool {
    frame.function.as_deref().is_some_and(is_allocation_function)
}

/// Whether a function hands on what an allocation function gave it, told by its name: `xmalloc`,
/// `PyMem_RawCalloc`, `g_strdup`, `operator new(unsigned long)`, `std::allocator<int>::allocate`.
///
/// Its callers are what tells allocations apart. A word of the name has to end in `alloc` or `dup`
/// of strings; `allocate_session` and `dealloc` are no such names.
pub fn is_allocation_function(function: &str) -> bool {
    const PREFIXES: [&str; 8] = [
        "operator new",
        "__gnu_cxx::",
        "std::allocator",
        "std::__new_allocator",
        "std::allocator_traits",
        "alloc::alloc::",
        "__rust_alloc",
        "__rdl_alloc",
    ];
    const LONGEST: usize = 1024;
    let name = function.get(..LONGEST).unwrap_or(function);
    if PREFIXES.iter().any(|it| name.starts_with(it)) {
        return true;
    }
    // Most names are of none: what follows is dear, and asked of each frame of each stack.
    let is_likely = |it: &[u8]| it.eq_ignore_ascii_case(b"alloc") || it[..3].eq_ignore_ascii_case(b"dup");
    let last = &name.as_bytes()[name.len().saturating_sub(4)..];
    if !name.as_bytes().windows(5).any(is_likely)
        && !last.windows(3).any(|it| it.eq_ignore_ascii_case(b"dup"))
    {
        return false;
    }
    let name = name.split(['(', '<']).next().unwrap_or(name);
    let name = name.rsplit("::").next().unwrap_or(name);
    if matches!(name, "allocate" | "_M_allocate") {
        return true;
    }
    words(name).any(|word| {
        let word = word.to_ascii_lowercase();
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let word = word.strip_suffix('z').filter(|it| it.ends_with("alloc")).unwrap_or(word);
        let is_giver = word.ends_with("alloc") && word != "dealloc";
        is_giver || word.ends_with("strdup") || word.ends_with("strndup") || word == "memdup"
    })
}

/// `Py`, `Mem`, `Raw`, `Calloc` of `PyMem_RawCalloc`.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').flat_map(|part| {
        let bytes = part.as_bytes();
        let is_start = move |at: usize| {
            at == 0 || (bytes[at].is_ascii_uppercase() && !bytes[at - 1].is_ascii_uppercase())
        };
        let starts = (0..bytes.len()).filter(move |&at| is_start(at));
        starts.map(move |start| {
            let end = (start + 1..bytes.len()).find(|&at| is_start(at)).unwrap_or(bytes.len());
            // Words begin at ASCII letters or at the part's start, so the cut is at a character.
            part.get(start..end).unwrap_or(part)
        })
    })
}

fn has_line(frame: &ResolvedFrame) -> bool {
    frame.line.is_some_and(|line| line != 0) && frame.path.as_deref().is_some_and(|path| !path.is_empty())
}

/// The stack of a place, if it is one.
pub fn stack_of(place: &Place) -> Option<StackId> {
    match place {
        Place::Stack(stack) if *stack != StackId::UNKNOWN => Some(*stack),
        _ => None,
    }
}

/// The finding's language: its own, else that of its first own frame.
pub fn language(report: &Report, finding: &Finding) -> Option<Language> {
    finding.language.or_else(|| locate(report, finding)?.language)
}

/// What a frame is called: its function, else `module+0x1139`, else the address.
pub fn frame_name(frame: &ResolvedFrame) -> Cow<'_, str> {
    match &frame.function {
        Some(function) if !function.is_empty() => Cow::Borrowed(function.as_str()),
        _ if frame.module.is_empty() => Cow::Owned(format!("{:#x}", frame.offset)),
        _ => Cow::Owned(format!("{}+{:#x}", frame.module, frame.offset)),
    }
}

/// The last component of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

/// `path` relative to `base` when it is under it, else without `.` and `..` where it has them.
///
/// `..` is taken as text: a path through a symbolic link to a folder may come out wrong, as in
/// every tool that reads paths on another machine than the compiler's.
pub fn relative<'a>(path: &'a str, base: Option<&Path>) -> Cow<'a, str> {
    let tidy = tidy(path);
    let Some(base) = base else { return tidy };
    match Path::new(tidy.as_ref()).strip_prefix(base) {
        Ok(rest) if !rest.as_os_str().is_empty() => Cow::Owned(rest.to_string_lossy().into_owned()),
        _ => tidy,
    }
}

fn tidy(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(|part| part == "." || part == "..") {
        return Cow::Borrowed(path);
    }
    let mut out = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            part => out.push(part),
        }
    }
    Cow::Owned(out.to_string_lossy().into_owned())
}

/// The report's source lines, found by path and number.
pub struct Sources<'a> {
    by_path: FxHashMap<&'a str, Vec<(u32, &'a [String])>>,
}

impl<'a> Sources<'a> {
    /// Indexes the excerpts of a report.
    pub fn new(report: &'a Report) -> Self {
        let mut by_path: FxHashMap<&str, Vec<(u32, &[String])>> = FxHashMap::default();
        for excerpt in &report.sources {
            by_path.entry(&excerpt.path).or_default().push((excerpt.first_line, &excerpt.lines));
        }
        for excerpts in by_path.values_mut() {
            excerpts.sort_by_key(|(first, _)| *first);
        }
        Sources { by_path }
    }

    /// The text of a line, if the report has it.
    pub fn line(&self, path: &str, line: u32) -> Option<&'a str> {
        let excerpts = self.by_path.get(path)?;
        // Excerpts may overlap; the last that begins at or before the line is tried first.
        let upto = excerpts.partition_point(|(first, _)| *first <= line);
        let mut candidates = excerpts[..upto].iter().rev().take(16);
        candidates.find_map(|(first, lines)| lines.get((line - first) as usize)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocation_functions_are_told_by_name() {
        for name in [
            "xmalloc",
            "safe_malloc",
            "Perl_safesyscalloc",
            "PyMem_RawMalloc",
            "PyType_GenericAlloc",
            "xstrdup",
            "sqlite3MallocZero",
            "g_malloc0",
            "xmallocz",
            "git__malloc",
            "operator new(unsigned long)",
            "std::__new_allocator<int>::allocate(unsigned long, void const*)",
            "pool::allocate(int)",
            "alloc::alloc::exchange_malloc",
            "jv_mem_alloc",
            "ggc_internal_alloc",
            "xrealloc",
        ] {
            assert!(is_allocation_function(name), "{name}");
        }
        for name in [
            "main",
            "make",
            "allocate_session",
            "dealloc",
            "tp_dealloc",
            "new_session",
            "",
            "_",
            "open(malloc_t)",
            "std::vector<int, std::allocator<int> >::reserve(unsigned long)",
            "größe",
            "alloc::vec::Vec<T>::push",
        ] {
            assert!(!is_allocation_function(name), "{name}");
        }
    }

    #[test]
    fn paths_are_shortened_only_under_the_base() {
        let base = Path::new("/home/me/app");
        assert_eq!(relative("/home/me/app/src/a.c", Some(base)), "src/a.c");
        assert_eq!(relative("/home/me/app/build/../src/./a.c", Some(base)), "src/a.c");
        assert_eq!(relative("/home/me/application/a.c", Some(base)), "/home/me/application/a.c");
        assert_eq!(relative("/../../etc/passwd", None), "/etc/passwd");
        assert_eq!(relative("../a.c", None), "../a.c");
        assert_eq!(relative("/home/me/app", Some(base)), "/home/me/app");
        assert_eq!(file_name("/a/b.c"), "b.c");
        assert_eq!(file_name("///"), "///");
    }
}
