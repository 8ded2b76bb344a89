//! How each file is compiled, as build tools write it down: `compile_commands.json` of clang's tools.
//!
//! Folders of headers, definitions, forced headers and the language are taken from it; all else of a command does
//! not matter here. A file that several entries compile is read as the first one says.

use crate::Failure;
use heapwise_lang_c::Unit;
use heapwise_model::Language;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

const FILE: &str = "compile_commands.json";
/// Larger ones are not read.
const BYTES_MAX: u64 = 256 << 20;

/// One entry of the file.
#[derive(Deserialize)]
struct Entry {
    directory: PathBuf,
    file: PathBuf,
    #[serde(default)]
    arguments: Vec<String>,
    command: Option<String>,
}

/// What a command says of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    include_dirs: Vec<String>,
    defines: Vec<String>,
    includes: Vec<String>,
    language: Option<Language>,
}

/// All entries, by absolute path.
#[derive(Debug, Default)]
pub struct Commands {
    by_file: HashMap<PathBuf, Options>,
    here: PathBuf,
}

impl Commands {
    /// Reads `explicit`, a file or its folder; else the nearest one upward from the first of `paths`, also in
    /// folders called `build`. What was not asked for and cannot be read is a note.
    pub fn load(
        explicit: Option<&Path>,
        paths: &[PathBuf],
        notes: &mut Vec<String>,
    ) -> Result<Commands, Failure> {
        let here = std::env::current_dir()?;
        if let Some(path) = explicit {
            let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
            return Commands::read(&path, here).map_err(|message| {
                Failure::new(
                    format!("{}: {message}", path.display()),
                    "cmake -DCMAKE_EXPORT_COMPILE_COMMANDS=ON, meson and bear write such a file",
                )
            });
        }
        let Some(path) = paths.first().and_then(|it| find(&normal(&here.join(it)))) else {
            return Ok(Commands::default());
        };
        Ok(Commands::read(&path, here).unwrap_or_else(|message| {
            notes.push(format!("{} was not used: {message}", path.display()));
            Commands::default()
        }))
    }

    fn read(path: &Path, here: PathBuf) -> Result<Commands, String> {
        let length = std::fs::metadata(path).map_err(|it| it.to_string())?.len();
        if length > BYTES_MAX {
            return Err(format!("{length} bytes are more than the {BYTES_MAX} that are read"));
        }
        let bytes = std::fs::read(path).map_err(|it| it.to_string())?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Commands::parse(&bytes, &here.join(folder), here)
    }

    /// `folder`: where the file stands; folders of entries are told from there.
    fn parse(bytes: &[u8], folder: &Path, here: PathBuf) -> Result<Commands, String> {
        let entries: Vec<Entry> = serde_json::from_slice(bytes).map_err(|it| it.to_string())?;
        let mut it = Commands { by_file: HashMap::new(), here };
        for entry in entries {
            let directory = folder.join(&entry.directory);
            let words = if entry.arguments.is_empty() {
                split(entry.command.as_deref().unwrap_or_default())
            } else {
                entry.arguments
            };
            let options = it.options(&words, &directory);
            it.by_file.entry(identity(&directory.join(&entry.file))).or_insert(options);
        }
        Ok(it)
    }

    pub fn is_empty(&self) -> bool {
        self.by_file.is_empty()
    }

    /// The unit that a source is.
    pub fn unit(&self, path: &str, language: Language) -> Unit {
        let mut unit = Unit { language, ..Unit::new(path) };
        if self.is_empty() {
            return unit;
        }
        if let Some(options) = self.by_file.get(&identity(&self.here.join(path))) {
            unit.include_dirs.clone_from(&options.include_dirs);
            unit.defines.clone_from(&options.defines);
            unit.includes.clone_from(&options.includes);
            unit.language = options.language.unwrap_or(language);
        }
        unit
    }

    fn options(&self, words: &[String], directory: &Path) -> Options {
        let mut options = Options::default();
        let path = |text: &str| {
            let path = normal(&directory.join(text));
            path.strip_prefix(&self.here).unwrap_or(&path).to_string_lossy().into_owned()
        };
        let mut rest = words.iter().skip(1);
        while let Some(word) = rest.next() {
            let Some((flag, value)) = known(word) else { continue };
            let value = if value.is_empty() { rest.next().map_or("", String::as_str) } else { value };
            match flag {
                Flag::Include => options.include_dirs.push(path(value)),
                Flag::Define => options.defines.push(value.to_owned()),
                Flag::Undefine => {
                    options.defines.retain(|it| it.split_once('=').map_or(it.as_str(), |it| it.0) != value);
                }
                Flag::Header => options.includes.push(path(value)),
                Flag::Language => {
                    options.language = match value {
                        "c" => Some(Language::C),
                        "c++" => Some(Language::Cpp),
                        _ => options.language,
                    }
                }
            }
        }
        options
    }
}

#[derive(Clone, Copy)]
enum Flag {
    Include,
    Define,
    Undefine,
    Header,
    Language,
}

/// Flags whose value follows, in the same word or the next. Longer spellings stand before their beginnings.
const FLAGS: &[(&str, Flag)] = &[
    ("-isystem", Flag::Include),
    ("-iquote", Flag::Include),
    ("-idirafter", Flag::Include),
    ("-include", Flag::Header),
    ("-imacros", Flag::Header),
    ("-I", Flag::Include),
    ("/I", Flag::Include),
    ("-D", Flag::Define),
    ("/D", Flag::Define),
    ("-U", Flag::Undefine),
    ("/U", Flag::Undefine),
    ("-x", Flag::Language),
];

/// A flag that matters, and its value; empty: the next word is the value.
fn known(word: &str) -> Option<(Flag, &str)> {
    // `-include-pch` names no header.
    if word.starts_with("-include-") {
        return None;
    }
    let (flag, value) = FLAGS.iter().find_map(|it| word.strip_prefix(it.0).map(|rest| (it, rest)))?;
    // An absolute path may begin like a flag of the other compiler.
    (!(flag.0.starts_with('/') && value.contains('/') && !value.starts_with('.'))).then_some((flag.1, value))
}

/// The words of a command, as a shell splits them.
fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = command.chars();
    while let Some(it) = rest.next() {
        match (it, quote) {
            (' ' | '\t' | '\n', None) => words.extend(word.take()),
            ('"' | '\'', None) => {
                quote = Some(it);
                word.get_or_insert_default();
            }
            (it, Some(open)) if it == open => quote = None,
            ('\\', None) => word.get_or_insert_default().extend(rest.next()),
            ('\\', Some('"')) => match rest.next() {
                Some(it @ ('"' | '\\')) => word.get_or_insert_default().push(it),
                other => {
                    let word = word.get_or_insert_default();
                    word.push('\\');
                    word.extend(other);
                }
            },
            _ => word.get_or_insert_default().push(it),
        }
    }
    words.extend(word);
    words
}

fn find(from: &Path) -> Option<PathBuf> {
    let places = from.ancestors().flat_map(|it| [it.join(FILE), it.join("build").join(FILE)]);
    places.into_iter().find(|it| it.is_file())
}

/// Without `.` and `..`, by spelling.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// What tells that two paths are the same file.
fn identity(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| normal(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_shells_do() {
        let split = |it: &str| split(it).join("|");
        assert_eq!(split(r#"cc  -DA="x y" '-DB=\"q\"' -I a\ b "" "#), r#"cc|-DA=x y|-DB=\"q\"|-I|a b|"#);
        assert_eq!(split(r#"cc "-DV=\"1.2\"" "a\b""#), r#"cc|-DV="1.2"|a\b"#);
    }

    #[test]
    fn what_a_command_says_of_its_file() {
        let json = br#"[
            {"directory": "/p/build", "file": "../src/a.c",
             "arguments": ["cc", "-I", "../include", "-isystem/usr/x", "-DA", "-DB=2", "-D", "C", "-UB", "-O2", "-c", "../src/a.c"]},
            {"directory": "/p/build", "file": "/p/src/b.h", "command": "clang -x c++ -include cfg.h -std=c++20 /p/src/b.h"},
            {"directory": "/p/build", "file": "/p/src/a.c", "command": "cc -DLATER /p/src/a.c"}
        ]"#;
        let all = Commands::parse(json, Path::new("/p/build"), PathBuf::from("/p")).unwrap();
        let a = all.unit("src/a.c", Language::C);
        assert_eq!(a.include_dirs, ["include", "/usr/x"]);
        assert_eq!(a.defines, ["A", "C"]);
        let b = all.unit("src/b.h", Language::C);
        assert_eq!((b.language, b.includes), (Language::Cpp, vec!["build/cfg.h".to_owned()]));
        assert_eq!(all.unit("src/none.c", Language::C), Unit::new("src/none.c"));
        assert!(Commands::parse(b"{}", Path::new(""), PathBuf::new()).is_err());
    }
}
