//! What the injected library takes from the process it is loaded into, and what it gives to it: each line of
//! `crates/recorder/tests/symbols.txt` is a promise. A symbol more that it needs is a system it does not load on; a
//! symbol more that it gives is a function of somebody's program that it takes over.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[test]
fn the_injected_library_needs_and_gives_what_is_listed() {
    if !common::have("recorder_symbols", &["nm"]) {
        return;
    }
    // The file that the binary carries; the package's build script made it.
    let library = Path::new(env!("HEAPWISE_RECORDER"));
    let output = Command::new("nm").arg("-D").arg(library).output().expect("nm starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names of symbols");
    let found: BTreeSet<String> = text.lines().filter_map(symbol).collect();
    let golden = common::root().join("crates/recorder/tests/symbols.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let lines: String = found.iter().map(|it| format!("{it}\n")).collect();
        std::fs::write(&golden, lines).expect("written");
    }
    let text = std::fs::read_to_string(&golden).expect("the list");
    let listed: BTreeSet<String> = text.lines().map(str::to_string).collect();
    let more: Vec<&String> = found.difference(&listed).collect();
    let less: Vec<&String> = listed.difference(&found).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "not listed: {more:?}; listed, but not there: {less:?}; UPDATE_GOLDEN=1 writes the list anew"
    );
}

/// `gives NAME`, `needs NAME` or `may need NAME`, without the version of the C library.
fn symbol(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (kind, name) = (words.get(words.len().checked_sub(2)?)?, words.last()?.split('@').next()?);
    Some(match *kind {
        "U" => format!("needs {name}"),
        "w" | "v" => format!("may need {name}"),
        _ => format!("gives {name}"),
    })
}
