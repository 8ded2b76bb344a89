//! Builds the recorder and puts its bytes where `include_bytes!` finds them, so that the one binary
//! carries what it injects.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let recorder = manifest.join("../recorder");
    for folder in ["../recorder/src", "../recorder/Cargo.toml", "../trace/src", "../trace/Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", manifest.join(folder).display());
    }
    let library = build(&recorder, &out);
    println!("cargo::rustc-env=HEAPWISE_RECORDER={}", library.display());
}

/// A target folder of its own: the outer cargo holds the lock of the usual one.
fn build(recorder: &Path, out: &Path) -> PathBuf {
    let target = out.join("recorder");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["rustc", "--lib", "--profile", "recorder", "--crate-type", "cdylib", "--features", "cdylib"])
        .arg("--manifest-path")
        .arg(recorder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // Tables for unwinding through the recorder's own frames (exceptions of `operator new`).
        .args(["--", "-C", "force-unwind-tables=yes"])
        // Flags meant for the outer build (sanitizers, coverage) have no place in the injected library.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "the recorder could not be built");
    target.join("recorder/libheapwise_recorder.so")
}
