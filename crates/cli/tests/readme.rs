//! The README shows of `heapwise check` what it prints.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{finish, heapwise};

#[test]
fn what_the_readme_shows_is_what_is_printed() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let target = format!("{}/", scratch.path().display());
    // Every second piece is fenced: its language, and its lines.
    let pieces: Vec<&str> = readme.split("```").collect();
    let mut shown = 0;
    for at in (1..pieces.len()).step_by(2) {
        let Some(commands) = pieces[at].strip_prefix("sh\n") else { continue };
        let is_check = commands.lines().all(|it| it.starts_with("heapwise check "));
        let expected = pieces.get(at + 2).filter(|_| pieces[at + 1].trim().is_empty());
        let Some(expected) = expected.and_then(|it| it.strip_prefix('\n')).filter(|_| is_check) else {
            continue;
        };
        let mut printed = String::new();
        for line in commands.lines() {
            let line = line.split(" # ").next().unwrap_or(line).replace("target/", &target);
            let mut command = Command::new(heapwise());
            command.args(line.split_whitespace().skip(1)).current_dir(root);
            let output = finish(command.env("XDG_CACHE_HOME", scratch.path()), b"", Duration::from_secs(60));
            assert_ne!(output.status.code(), Some(2), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            printed = String::from_utf8_lossy(&output.stdout).into_owned();
        }
        assert_eq!(printed, expected, "{commands}");
        shown += 1;
    }
    assert!(shown >= 5, "{shown} commands are shown with what they print");
}
