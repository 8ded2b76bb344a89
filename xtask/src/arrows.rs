//! The promises of ARCHITECTURE.md that can be read off the sources: which crate may see which, where unsafe code
//! may stand, and that only `cli` prints.

use std::fs;
use std::path::{Path, PathBuf};

use crate::paths;

/// Each crate with those it may depend on. A crate that is not named here may not exist.
const ARROWS: [(&str, &[&str]); 19] = [
    (
        "cli",
        &[
            "allocator",
            "trace",
            "model",
            "heap",
            "symbols",
            "snapshot",
            "cpython",
            "run",
            "report",
            "check",
            "lang_c",
            "lang_js",
            "lang_python",
        ],
    ),
    ("lang_c", &["model", "check"]),
    ("lang_js", &["model", "check"]),
    ("lang_python", &["model", "check"]),
    ("check", &["model"]),
    ("run", &["trace", "model", "heap", "symbols", "cpython"]),
    ("report", &["trace", "model"]),
    ("heap", &["trace", "model"]),
    ("symbols", &["trace", "model"]),
    ("snapshot", &["model"]),
    ("cpython", &["model"]),
    ("model", &["trace"]),
    ("trace", &[]),
    ("alloc", &[]),
    ("malloc", &["alloc"]),
    ("allocator", &[]),
    ("gc", &["gc-derive"]),
    ("gc-derive", &[]),
    ("recorder", &["trace"]),
];

/// Crates that may hold unsafe code.
const UNSAFE: [&str; 6] = ["alloc", "allocator", "gc", "malloc", "recorder", "run"];

/// What writes to a standard stream; `anstream` is how `cli` does it.
const PRINTS: [&str; 8] =
    ["println!", "eprintln!", "print!", "eprint!", "dbg!", "io::stdout", "io::stderr", "anstream"];

fn crates() -> PathBuf {
    paths::root().join("crates")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The workspace's own crates that a manifest names as dependencies of the given table, without `heapwise-`.
fn dependencies(manifest: &str, table: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            let name = line.trim_matches(['[', ']']);
            inside = name == table || name.ends_with(&format!(".{table}"));
        } else if let Some(rest) = line.strip_prefix("heapwise-").filter(|_| inside) {
            found.extend(rest.split(['.', ' ', '=']).next().map(str::to_string));
        }
    }
    found
}

/// All Rust files below a folder.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        match path.is_dir() {
            true => sources(&path, into),
            false if path.extension().is_some_and(|it| it == "rs") => into.push(path),
            false => {}
        }
    }
}

/// Lines of code that hold one of the words, as `file:line`.
fn places(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    sources(folder, &mut files);
    let mut found = Vec::new();
    for file in files {
        for (number, line) in text(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| stands_in(code, word)) {
                found.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    found
}

/// Whether the word stands in the code and is not the end of a longer one.
fn stands_in(code: &str, word: &str) -> bool {
    let joined = |it: char| it.is_alphanumeric() || it == '_';
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(joined))
}

#[test]
fn a_crate_sees_only_what_is_below_it() {
    let mut names: Vec<String> = fs::read_dir(crates())
        .expect("crates")
        .map(|it| it.expect("a readable folder"))
        .filter(|it| it.path().join("Cargo.toml").is_file())
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut known: Vec<&str> = ARROWS.iter().map(|it| it.0).collect();
    known.sort_unstable();
    assert_eq!(names, known, "a crate without arrows, or arrows without a crate");
    for (name, allowed) in ARROWS {
        let manifest = text(&crates().join(name).join("Cargo.toml"));
        for table in ["dependencies", "build-dependencies"] {
            for seen in dependencies(&manifest, table) {
                assert!(allowed.contains(&seen.as_str()), "{name} may not depend on {seen}");
            }
        }
    }
    let recorder = text(&crates().join("recorder/Cargo.toml"));
    let outside: Vec<&str> = recorder
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ' ']))
        .filter(|line| !line.starts_with("heapwise-trace") && !line.starts_with("libc"))
        .collect();
    assert!(outside.is_empty(), "the recorder lives in other programs: {outside:?}");
}

#[test]
fn manifests_are_read() {
    let manifest = "[dependencies]\nheapwise-trace = { workspace = true }\nlibc.workspace = true\nheapwise-model.workspace = true\n\n[dev-dependencies]\nheapwise-run.workspace = true\n";
    assert_eq!(dependencies(manifest, "dependencies"), ["trace", "model"]);
    assert_eq!(dependencies(manifest, "dev-dependencies"), ["run"]);
}

#[test]
fn unsafe_code_stands_where_it_may() {
    for (name, _) in ARROWS {
        let folder = crates().join(name).join("src");
        let root = ["lib.rs", "main.rs"].map(|it| folder.join(it)).into_iter().find(|it| it.is_file());
        let root = root.unwrap_or_else(|| panic!("{name} has no root"));
        let forbids = text(&root).lines().any(|line| line == "#![forbid(unsafe_code)]");
        assert_eq!(forbids, !UNSAFE.contains(&name), "{}: #![forbid(unsafe_code)]", root.display());
    }
    // The one file of this crate, which is no part of the product.
    let own = places(&paths::root().join("xtask/src"), &["allow(unsafe_code)"]);
    let own: Vec<&String> = own.iter().filter(|it| !it.contains("arrows.rs")).collect();
    assert!(own.iter().all(|it| it.contains("xtask/src/sys.rs")), "{own:?}");
}

#[test]
fn nothing_below_cli_prints() {
    for (name, _) in ARROWS.into_iter().filter(|it| it.0 != "cli") {
        let found = places(&crates().join(name).join("src"), &PRINTS);
        assert!(found.is_empty(), "{name} prints: {}", found.join(", "));
    }
    assert!(stands_in("    println!();", "println!") && !stands_in("eprintln!();", "println!"));
}
