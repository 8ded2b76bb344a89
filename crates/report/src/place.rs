//! Where a finding is: the one choice that every format shows.
//!
//! A finding of `check` brings its source range. One of `run` brings a stack, and its place is the
//! first frame that is the user's own and has a line; else the first own frame; else the innermost
//! frame, whosever it is.

use heapwise_model::{Finding, Language, Place, Report, ResolvedFrame, StackId};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

/// Frames of one stack that any format writes; deeper ones are recursion nobody reads.
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
    let mut own = None;
    let mut innermost = None;
    for frame in report.resolved(stack).take(MAX_FRAMES) {
        innermost = innermost.or(Some(frame));
        if frame.is_library {
            continue;
        }
        if has_line(frame) {
            return Some(frame);
        }
        own = own.or(Some(frame));
    }
    own.or(innermost)
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
