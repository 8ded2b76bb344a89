//! Where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is a folder of the root").to_path_buf()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => root().join(path),
        None => root().join("target"),
    }
}

/// The binary under test: `HEAPWISE`, or the release build.
pub fn heapwise() -> PathBuf {
    match std::env::var_os("HEAPWISE") {
        Some(path) => root().join(path),
        None => target().join("release/heapwise"),
    }
}

/// The program that `name` runs, found on PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// What a command prints, without the line's end; `None` when it fails.
pub fn output_of(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim_end().to_string();
    (output.status.success() && !text.is_empty()).then_some(text)
}
