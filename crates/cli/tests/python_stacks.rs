//! Python stacks against what the interpreter itself says of its frames, for each interpreter that is installed.

mod common;

use heapwise_model::{Frame, StackId};
use heapwise_run::Observation;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Interpreters on the path, and those of version managers.
fn interpreters() -> Vec<PathBuf> {
    let names = ["python3", "python3.8", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13"];
    let mut found: Vec<PathBuf> = names.iter().filter_map(|it| common::find(it)).collect();
    found.push("/usr/bin/python3".into());
    let managed = std::env::var_os("HOME").map(|it| PathBuf::from(it).join(".pyenv/versions"));
    for folder in managed.and_then(|it| std::fs::read_dir(it).ok()).into_iter().flatten().flatten() {
        found.push(folder.path().join("bin/python3"));
    }
    let real = |it: &PathBuf| {
        let says =
            Command::new(it).args(["-c", "import sys; print(sys.executable, sys.version_info[1])"]).output();
        let says = String::from_utf8(says.ok()?.stdout).ok()?;
        let (path, minor) = says.trim().rsplit_once(' ')?;
        let path = std::fs::canonicalize(path).ok()?;
        (8..=13).contains(&minor.parse::<u32>().ok()?).then_some(path)
    };
    let mut found: Vec<PathBuf> = found.iter().filter_map(real).collect();
    found.sort();
    found.dedup();
    found
}

/// Function and line of each frame of the script, innermost first.
fn script_frames(observation: &Observation, stack: StackId) -> Vec<(String, u32)> {
    let frames = observation.stacks.frames(stack).filter_map(|it| match observation.frames[it.index()] {
        Frame::Script { code, line } => Some((observation.codes[code.index()].name.clone(), line)),
        Frame::Native { .. } => None,
    });
    frames.collect()
}

#[test]
fn stacks_are_those_that_the_interpreter_tells() {
    let script = common::root().join("crates/cli/tests/python/stacks.py");
    let interpreters = interpreters();
    if interpreters.is_empty() {
        eprintln!("skipped: python3 is not installed");
    }
    let mut wrong = Vec::new();
    for python in interpreters {
        let folder = tempfile::tempdir().unwrap();
        let (recording, truth) = (folder.path().join("a.heapwise"), folder.path().join("truth.json"));
        let output = Command::new(common::heapwise())
            .args(["run", "--quiet", "-o"])
            .arg(&recording)
            .arg("--")
            .arg(&python)
            .arg(&script)
            .arg(&truth)
            .output()
            .unwrap();
        let python = python.display();
        assert!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
        let observation = Observation::read(&recording, &mut |_, _| {}).unwrap();
        let notes = observation.notes.join("; ");
        let mut seen: BTreeMap<u64, Vec<StackId>> = BTreeMap::new();
        for block in observation.ledger.live_blocks() {
            seen.entry(block.size).or_default().push(block.stack);
        }
        let truth: BTreeMap<String, Vec<(String, u32)>> =
            serde_json::from_slice(&std::fs::read(&truth).unwrap()).unwrap();
        assert!(truth.len() > 90, "{python}: {}", truth.len());
        for (size, frames) in truth {
            let stacks = seen.remove(&size.parse().unwrap()).unwrap_or_default();
            let stacks: Vec<_> = stacks.into_iter().map(|it| script_frames(&observation, it)).collect();
            if !stacks.contains(&frames) {
                let last =
                    |it: &Vec<(String, u32)>| format!("{} frames, {:?}", it.len(), &it[..it.len().min(4)]);
                let seen: Vec<String> = stacks.iter().map(last).collect();
                wrong.push(format!(
                    "{python}: block of {size}: {}\n  observed: {seen:?} {notes}",
                    last(&frames)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} stacks are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
