//! Every format against a golden file, and against the tool that reads it where that tool is here.
//!
//! `HEAPWISE_BLESS=1 cargo test -p heapwise-report` writes the golden files anew.

mod catalog;
mod exports;
mod github;
mod json;
mod random;
mod reports;
mod sarif;
mod schema;
mod text;

use heapwise_report::sanitize::is_hostile;
use std::path::{Path, PathBuf};

pub fn base() -> Option<PathBuf> {
    Some("/home/me/app".into())
}

/// What a format writes, as text.
pub fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).expect("a Vec takes everything");
    String::from_utf8(out).expect("text formats are UTF-8")
}

/// Compares with a golden file, or writes it.
pub fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/golden").join(name);
    if std::env::var_os("HEAPWISE_BLESS").is_some() {
        std::fs::write(&path, actual).expect("golden folder is writable");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{name} differs; HEAPWISE_BLESS=1 writes it anew\n--- actual ---\n{actual}");
}

/// No character of the output but line breaks may be one a program could do harm with.
pub fn assert_harmless(text: &str) {
    let bad = text.chars().position(|c| c != '\n' && is_hostile(c));
    assert!(bad.is_none(), "hostile character at {bad:?}");
}
