//! Which files are checked, and their texts.
//!
//! Files are found as people expect since ripgrep: what `.gitignore` names is left out, symbolic links to folders
//! are not followed. What was named on the command line is taken whatever its name's pattern says.

use super::cache::{self, Hash};
use crate::Failure;
use globset::GlobSet;
use heapwise_check::fixes::outline::Outline;
use heapwise_check::ir::{Function, Module};
use heapwise_model::Language;
use ignore::WalkBuilder;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A file to check. Headers are read where they are included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// As the user would write it.
    pub path: String,
    pub language: Language,
}

/// Larger files are data.
const SOURCE_MAX: u64 = 64 << 20;

/// The language of a file, by its name.
pub fn language_of(path: &Path) -> Option<Language> {
    match path.extension()?.to_str()? {
        "py" | "pyw" | "ipynb" => Some(Language::Python),
        _ => {
            let path = path.to_str()?;
            heapwise_lang_js::language_of(path).or_else(|| heapwise_lang_c::language_of(path))
        }
    }
}

/// Headers, and types without code: nothing is checked of them alone.
fn is_part_of_others(path: &Path) -> bool {
    const ENDINGS: [&str; 9] = ["h", "hh", "hpp", "hxx", "h++", "inl", "ipp", "tpp", "pyi"];
    path.extension().and_then(|it| it.to_str()).is_some_and(|it| ENDINGS.contains(&it))
}

/// The language of a script, by the interpreter that its first line names.
fn language_within(path: &Path) -> Option<Language> {
    let mut line = Vec::new();
    std::fs::File::open(path).ok()?.take(200).read_to_end(&mut line).ok()?;
    let line = String::from_utf8_lossy(&line);
    let line = line.lines().next()?.strip_prefix("#!")?;
    let is_named = |name: &str| {
        line.split(['/', ' '])
            .any(|it| it.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.') == name)
    };
    match () {
        () if is_named("python") => Some(Language::Python),
        () if is_named("node") => Some(Language::JavaScript),
        () => None,
    }
}

/// The files under `paths`, sorted; and what could not be read, in plain sentences.
pub fn find(paths: &[PathBuf], exclude: &GlobSet) -> Result<(Vec<Source>, Vec<String>), Failure> {
    let mut sources = Vec::new();
    let mut notes = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|error| {
            Failure::new(format!("cannot read {}: {error}", path.display()), "heapwise check FILE or FOLDER")
        })?;
        if metadata.is_file() {
            if is_part_of_others(path) {
                notes.push(format!("left out: {} is read with the files that use it", path.display()));
                continue;
            }
            let language = language_of(path).or_else(|| language_within(path)).ok_or_else(|| {
                Failure::new(
                    format!("{}: the name does not tell a language that is known", path.display()),
                    "C: .c; C++: .cc, .cpp, .cxx; Python: .py, .ipynb; JavaScript: .js, .mjs, .cjs, .jsx; TypeScript: .ts, .mts, .cts, .tsx; headers are read where they are included",
                )
            })?;
            sources.push(Source { path: shown(path), language });
            continue;
        }
        walk(path, exclude, &mut sources, &mut notes);
    }
    sources.sort();
    sources.dedup();
    Ok((sources, notes))
}

fn walk(folder: &Path, exclude: &GlobSet, sources: &mut Vec<Source>, notes: &mut Vec<String>) {
    let is_kept = {
        let (exclude, folder) = (exclude.clone(), folder.to_owned());
        move |path: &Path| {
            let inside = path.strip_prefix(&folder).unwrap_or(path);
            !exclude.is_match(inside) && !exclude.is_match(path)
        }
    };
    let entries =
        WalkBuilder::new(folder).filter_entry(move |it| it.depth() == 0 || is_kept(it.path())).build();
    for entry in entries {
        match entry {
            Err(error) => notes.push(format!("left out: {error}")),
            Ok(entry) if entry.file_type().is_some_and(|it| it.is_file()) => {
                if let Some(language) = language_of(entry.path()) {
                    sources.push(Source { path: shown(entry.path()), language });
                }
            }
            Ok(_) => {}
        }
    }
}

fn shown(path: &Path) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    path.to_string_lossy().into_owned()
}

/// Texts of files, each read once, and what is asked of them more than once. Shared by all threads.
#[derive(Default)]
pub struct Texts {
    files: Known<Arc<[u8]>>,
    hashes: Known<Hash>,
    lines: Known<Arc<Lines>>,
}

/// By path; `None`: there is no such file.
struct Known<T>(Mutex<HashMap<String, Option<T>>>);

impl<T> Default for Known<T> {
    fn default() -> Known<T> {
        Known(Mutex::default())
    }
}

impl<T: Clone> Known<T> {
    /// What is known of a file, or what `make` says now; two threads may both make it.
    fn get_or(&self, path: &str, make: impl FnOnce() -> Option<T>) -> Option<T> {
        if let Some(known) = self.lock().get(path) {
            return known.clone();
        }
        let made = make();
        self.lock().insert(path.to_owned(), made.clone());
        made
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<T>>> {
        // A thread that panicked with the lock held left a map that is sound all the same.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Texts {
    /// The bytes of a regular file of sane size; `None` where there is none.
    pub fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        self.files.get_or(path, || read(Path::new(path)))
    }

    /// What tells the bytes of a file from others.
    pub fn hash(&self, path: &str) -> Option<Hash> {
        self.hashes.get_or(path, || self.read(path).map(|it| cache::hash(&it)))
    }

    /// The lines of [`Texts::shown`].
    pub fn lines(&self, path: &str) -> Option<Arc<Lines>> {
        self.lines.get_or(path, || self.shown(path).map(|it| Arc::new(Lines::new(&it))))
    }

    /// The text that spans point into: that of Python and JavaScript is decoded.
    pub fn shown(&self, path: &str) -> Option<Arc<[u8]>> {
        let bytes = self.read(path)?;
        match language_of(Path::new(path)) {
            Some(Language::Python | Language::JavaScript | Language::TypeScript) => {
                let decoded = match heapwise_check::decode::decode(&bytes).text {
                    Cow::Borrowed(_) => None,
                    Cow::Owned(text) => Some(text.into_bytes().into()),
                };
                Some(decoded.unwrap_or(bytes))
            }
            _ => Some(bytes),
        }
    }

    /// The same files, but for those of `changed`.
    pub fn with(&self, changed: &BTreeMap<String, Arc<[u8]>>) -> Texts {
        let mut files = self.files.lock().clone();
        files.extend(changed.iter().map(|(path, text)| (path.clone(), Some(text.clone()))));
        Texts { files: Known(Mutex::new(files)), ..Texts::default() }
    }

    /// All files that were asked for.
    pub fn all(&self) -> Vec<String> {
        self.files.lock().keys().cloned().collect()
    }
}

impl heapwise_check::fixes::Sources for Texts {
    fn text(&self, path: &str) -> Option<Arc<[u8]>> {
        self.shown(path)
    }

    fn outline(&self, module: &Module, function: &Function) -> Option<Outline> {
        let text = self.shown(&module.path)?;
        let (name_end, end) = (function.name_span.end, function.span.end);
        match module.language {
            Language::C | Language::Cpp => heapwise_lang_c::outline(&text, module.language, name_end, end),
            // The places of a notebook's code lie in its JSON.
            Language::Python if !module.path.ends_with(".ipynb") => {
                let text = std::str::from_utf8(&text).ok()?;
                heapwise_lang_python::outline(text, (function.name_span.start, name_end))
            }
            Language::JavaScript | Language::TypeScript => {
                let text = std::str::from_utf8(&text).ok()?;
                heapwise_lang_js::outline(&module.path, text, (function.span.start, end))
            }
            _ => None,
        }
    }
}

impl heapwise_lang_c::Files for Texts {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        Texts::read(self, path)
    }
}

fn read(path: &Path) -> Option<Arc<[u8]>> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > SOURCE_MAX {
        return None;
    }
    // Read to where it stays: fresh memory costs more than what is written to it.
    let length = usize::try_from(metadata.len()).ok()?;
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
    let mut file = std::fs::File::open(path).ok()?.take(SOURCE_MAX);
    let read = fill(&mut file, Arc::get_mut(&mut bytes).expect("nobody else has it yet")).ok()?;
    let mut more = Vec::new();
    file.read_to_end(&mut more).ok()?;
    if read == length && more.is_empty() {
        return Some(bytes);
    }
    // It has become longer or shorter since.
    Some([&bytes[..read], &more].concat().into())
}

/// Reads until there is no room left, or nothing to read; how much that was.
fn fill(from: &mut impl Read, to: &mut [u8]) -> std::io::Result<usize> {
    let mut at = 0;
    while at < to.len() {
        match from.read(&mut to[at..]) {
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

/// Where the lines of a text begin.
pub struct Lines {
    starts: Vec<u32>,
}

impl Lines {
    pub fn new(text: &[u8]) -> Lines {
        let ends = memchr::memchr_iter(b'\n', text).map(|it| it as u32 + 1);
        Lines { starts: std::iter::once(0).chain(ends).collect() }
    }

    /// A line of the text, from 1, without its end.
    pub fn text<'t>(&self, text: &'t [u8], line: u32) -> Option<&'t [u8]> {
        let at = (line as usize).checked_sub(1)?;
        let start = *self.starts.get(at)? as usize;
        let end = self.starts.get(at + 1).map_or(text.len(), |it| *it as usize - 1);
        text.get(start..end)
    }

    /// The byte at a line and column, both from 1.
    pub fn offset(&self, line: u32, column: u32) -> Option<usize> {
        let start = self.starts.get((line as usize).checked_sub(1)?)?;
        Some(*start as usize + (column as usize).checked_sub(1)?)
    }

    /// Line and column of a byte, both from 1; columns in bytes.
    pub fn place(&self, offset: u32) -> (u32, u32) {
        let line = self.starts.partition_point(|it| *it <= offset);
        (line as u32, offset - self.starts[line - 1] + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let lines = Lines::new("ab\nc\u{e9}d\n\nx".as_bytes());
        assert_eq!(lines.place(0), (1, 1));
        assert_eq!(lines.place(2), (1, 3));
        assert_eq!(lines.place(3), (2, 1));
        assert_eq!(lines.place(6), (2, 4));
        assert_eq!(lines.place(8), (3, 1));
        assert_eq!(lines.place(9), (4, 1));
        assert_eq!(lines.place(99), (4, 91));
        assert_eq!(Lines::new(b"").place(0), (1, 1));
    }

    #[test]
    fn files_are_found_and_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        for name in ["a.c", "b.py", "c.txt", "sub/d.cpp", "build/e.c", "third/f.c", ".hidden/g.c", "h.h"] {
            write(name);
        }
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        std::fs::write(dir.path().join(".gitignore"), "build/\n").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        let exclude =
            globset::GlobSetBuilder::new().add(globset::Glob::new("third").unwrap()).build().unwrap();
        let (found, notes) = find(&[dir.path().to_owned()], &exclude).unwrap();
        let names: Vec<_> = found.iter().map(|it| it.path.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["a.c", "b.py", "d.cpp"]);
        assert_eq!(notes, Vec::<String>::new());
        assert!(find(&[dir.path().join("c.txt")], &exclude).is_err());
        assert!(find(&[dir.path().join("none")], &exclude).is_err());
        assert_eq!(find(&[dir.path().join("build/e.c")], &exclude).unwrap().0.len(), 1);
        // As a hook names them: a header alone, and scripts.
        let (found, notes) = find(&[dir.path().join("h.h")], &exclude).unwrap();
        assert!(found.is_empty() && notes[0].contains("h.h is read with"), "{notes:?}");
        let script = dir.path().join("tool");
        for (line, language) in [
            ("#!/usr/bin/env python3\n", Some(Language::Python)),
            ("#!/usr/bin/python3.11 -I\n", Some(Language::Python)),
            ("#!/usr/bin/env node\n", Some(Language::JavaScript)),
            ("#!/bin/sh\n", None),
        ] {
            std::fs::write(&script, line).unwrap();
            let found = find(std::slice::from_ref(&script), &exclude);
            assert_eq!(found.ok().map(|it| it.0[0].language), language, "{line}");
        }
    }
}
