//! Small programs with one known bug each, and their repaired twins: `tests/programs/LANGUAGE/NAME/`.
//!
//! `expect.md` says what is to be found. Under each `## finding` stand `- field: value` lines: `rule`, `kind`, and
//! the finding's `function` (as a suffix), `line`, `bytes`, `blocks`; or `total` with `least_bytes` and
//! `least_blocks` for a class that is only counted. Nothing else of severity error may be found, and where nothing
//! is expected, no warning either.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{compile, find, observe, root};
use serde_json::Value;

type Fields = BTreeMap<String, String>;

#[test]
fn every_bug_is_found_and_nothing_else() {
    let mut cases = Vec::new();
    for dir in folders(&root().join("tests/programs")).iter().flat_map(|language| folders(language)) {
        let source = ["c", "cpp", "rs"].map(|end| dir.join(format!("program.{end}")));
        let Some(source) = source.into_iter().find(|it| it.is_file()) else { continue };
        let (compiler, levels): (&str, &[&[&str]]) = match source.extension().and_then(|it| it.to_str()) {
            // A call in tail position leaves no frame to find.
            Some("c") => {
                ("gcc", &[&["-g", "-O0", "-w"], &["-g", "-O2", "-w", "-fno-optimize-sibling-calls"]])
            }
            Some("cpp") => {
                ("g++", &[&["-g", "-O0", "-w"], &["-g", "-O2", "-w", "-fno-optimize-sibling-calls"]])
            }
            _ => ("rustc", &[&["-g", "-Copt-level=0"], &["-g", "-Copt-level=2"]]),
        };
        if find(compiler).is_none() {
            eprintln!("skipped {}: {compiler} is not installed", dir.display());
            continue;
        }
        cases.extend(levels.iter().map(|flags| (source.clone(), *flags)));
    }
    assert!(!cases.is_empty(), "no programs");
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((source, flags)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = check(source, flags) {
                        failures.lock().unwrap().push(format!(
                            "{} {}: {error}",
                            source.display(),
                            flags.join(" ")
                        ));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(of).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_dir()).collect();
    all.sort();
    all
}

fn expected(text: &str) -> Vec<Fields> {
    let fields = |section: &str| {
        let lines = section.lines().filter_map(|line| line.strip_prefix("- ")?.split_once(": "));
        lines.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    text.split("## finding").skip(1).map(fields).collect()
}

fn check(source: &Path, flags: &[&str]) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let binary = dir.path().join("program");
    compile(source, &binary, flags);
    let text =
        std::fs::read_to_string(source.with_file_name("expect.md")).map_err(|error| error.to_string())?;
    let expected = expected(&text);
    let observed = observe(dir.path(), &[binary.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&observed.output.stderr).into_owned();
    if observed.report.is_null() {
        return Err(format!("no JSON document; {}; {said}", observed.output.status));
    }
    let findings = observed.report["findings"].as_array().cloned().unwrap_or_default();
    let mut used = vec![false; findings.len()];
    for fields in &expected {
        if let Some(class) = fields.get("total") {
            total(&observed.report, class, fields)?;
            continue;
        }
        let before = used.clone();
        for at in 0..findings.len() {
            used[at] |= matches(&findings[at], fields);
        }
        if used == before {
            return Err(format!("not found: {fields:?}; found: {}", list(&findings)));
        }
    }
    // What a bug drags along (blocks lost because a free went wrong) is not counted against it: only other rules
    // are. A program without a bug gets no warning either.
    let rules: Vec<&String> = expected.iter().filter_map(|it| it.get("rule")).collect();
    for (finding, used) in findings.iter().zip(used) {
        let severity = finding["severity"].as_str().unwrap_or_default();
        let indirect = finding["kind"] == "indirect" && rules.iter().any(|it| *it == "memory-leak");
        let bad = severity == "error" || (rules.is_empty() && severity == "warning");
        if !used && bad && !indirect {
            return Err(format!("not expected: {}", list(std::slice::from_ref(finding))));
        }
    }
    Ok(())
}

fn matches(finding: &Value, fields: &Fields) -> bool {
    fields.iter().all(|(name, value)| match name.as_str() {
        "rule" | "kind" => finding[name].as_str() == Some(value),
        "bytes" | "blocks" => finding[name].as_u64() == value.parse().ok(),
        "line" => finding["location"]["line"].as_u64() == value.parse().ok(),
        "function" => {
            let function = finding["location"]["function"].as_str().unwrap_or_default();
            let plain = function.split(['(', '<']).next().unwrap_or_default();
            plain == value || plain.rsplit("::").next() == Some(value)
        }
        other => panic!("expect.md: unknown field {other}"),
    })
}

fn total(report: &Value, class: &str, fields: &Fields) -> Result<(), String> {
    for unit in ["bytes", "blocks"] {
        let least: u64 = fields.get(&format!("least_{unit}")).map_or(0, |it| it.parse().unwrap());
        let found = report["summary"]["program"]["leaks"][class][unit].as_u64();
        if found.is_none_or(|it| it < least) {
            return Err(format!("{class}: {found:?} {unit}, expected at least {least}"));
        }
    }
    Ok(())
}

fn list(findings: &[Value]) -> String {
    let one = |it: &Value| {
        let place = &it["location"];
        format!(
            "{} {} at {}:{} {} bytes {} blocks",
            it["rule"], it["kind"], place["function"], place["line"], it["bytes"], it["blocks"]
        )
    };
    findings.iter().map(one).collect::<Vec<_>>().join("; ")
}
