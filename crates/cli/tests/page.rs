//! `heapwise run --page`: what a page leaves behind each time, in a real browser. Needs `chromium`; tests say when they are
//! skipped.

mod common;

use common::{finish, have, heapwise, root};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

fn visit(arguments: &[&str], folder: &Path) -> (Option<i32>, Value, String) {
    let document = folder.join("findings.json");
    let _ = std::fs::remove_file(&document);
    let mut run = Command::new(heapwise());
    run.arg("run").args(arguments).args(["--format", "json", "--output"]).arg(&document).current_dir(root());
    let output = finish(&mut run, b"", LIMIT);
    let text = std::fs::read_to_string(&document).unwrap_or_default();
    let report = serde_json::from_str(&text).unwrap_or_default();
    (output.status.code(), report, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Line and kind of each finding of a report.
fn told(report: &Value) -> Vec<(u64, &str)> {
    let findings = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |it: &Value| it["location"]["line"].as_u64().unwrap_or(0);
    findings.iter().map(|it| (line(it), it["kind"].as_str().unwrap())).collect()
}

fn line(text: &str, what: &str) -> u64 {
    text.lines().position(|it| it.contains(what)).unwrap() as u64 + 1
}

#[test]
fn a_page_that_leaks_and_its_twin() {
    if !have("a_page_that_leaks_and_its_twin", &["chromium"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let scenario = root().join("examples/page.toml");
    let scenario = scenario.to_str().unwrap();
    let text = std::fs::read_to_string(root().join("examples/page.html")).unwrap();
    let (code, report, err) = visit(&["--scenario", scenario], folder.path());
    let all = told(&report);
    for expected in [
        (line(&text, "constructor(place)") - 1, "global"),
        (line(&text, "addEventListener(\"resize\""), "listener"),
        (line(&text, "setInterval("), "timer"),
    ] {
        assert!(
            all.iter().any(|it| it.1 == expected.1 && it.0.abs_diff(expected.0) <= 1),
            "{expected:?} {report:#}"
        );
    }
    assert!(all.iter().any(|it| it.1 == "detached-node"), "{report:#}");
    assert_eq!(code, Some(1), "{err}");
    let held = report["findings"][0]["held_by"]["path"].as_str().unwrap();
    assert!(
        held.starts_with("window, variable dialogs -> Array of 22 entries[")
            && held.ends_with(" -> Dialog (page.html:13)"),
        "{held}"
    );
    let at = report["findings"][0]["location"]["path"].as_str().unwrap();
    assert!(at.ends_with("examples/page.html") && !at.contains(':'), "{at}");

    // The same page, with everything given back.
    let mended = text
        .replace("dialogs.push(this);", "")
        .replace("window.addEventListener(\"resize\", () => this.layout());", "window.onresize = () => {};")
        .replace("this.timer = setInterval(() => this.refresh(), 10_000);", "");
    assert_eq!(mended.matches("never removed").count(), 1);
    std::fs::write(folder.path().join("twin.html"), &mended).unwrap();
    let twin = folder.path().join("twin.html");
    let (code, report, err) =
        visit(&["--page", twin.to_str().unwrap(), "--scenario", scenario], folder.path());
    assert_eq!((code, told(&report).len()), (Some(0), 0), "{report:#} {err}");
    assert!(report["summary"]["heap"]["objects"].as_u64().unwrap() > 1000);
}

#[test]
fn what_does_not_work_is_said_and_nothing_stays() {
    if !have("what_does_not_work_is_said_and_nothing_stays", &["chromium"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = visit(&["--page", "http://127.0.0.1:1/"], folder.path());
    assert!(code == Some(2) && err.contains("could not be opened") && err.contains("try:"), "{err}");
    std::fs::write(
        folder.path().join("s.toml"),
        "url = \"about:blank\"\naction = [{ eval = \"nothing()\" }]",
    )
    .unwrap();
    let scenario = folder.path().join("s.toml");
    let (code, _, err) = visit(&["--scenario", scenario.to_str().unwrap()], folder.path());
    assert!(code == Some(2) && err.contains("turn 1, eval nothing(): ReferenceError"), "{err}");
    let (code, _, err) = visit(&["--page", "about:blank", "--browser", "/nowhere"], folder.path());
    assert!(code == Some(2) && err.contains("/nowhere could not be started"), "{err}");
    let (code, _, err) = visit(&["--page", "about:blank", "--browser", "/bin/true"], folder.path());
    assert!(code == Some(2) && err.contains("the browser ended"), "{err}");
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let names = left.map(|it| it.file_name().to_string_lossy().into_owned());
    let ours: Vec<String> = names
        .filter(|it| it.starts_with("heapwise-") && (it.ends_with(".profile") || it.ends_with(".snapshots")))
        .collect();
    let is_alive = |it: &String| Path::new("/proc").join(it.split('-').nth(1).unwrap_or("0")).exists();
    assert!(ours.iter().all(is_alive), "{ours:?}");
}
