//! `heapwise check` from outside: the rules' pages hold, and options, formats and exit codes are the contract's.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::{finish, heapwise, root};
use serde_json::Value;

fn check(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(heapwise());
    finish(command.arg("check").args(args).current_dir(dir), b"", Duration::from_secs(60))
}

fn findings(dir: &Path) -> Vec<(u64, String)> {
    let output = check(dir, &["--format", "json", "--fail-on", "never"]);
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let list = document["findings"].as_array().unwrap();
    let of = |it: &Value| {
        (it["location"]["line"].as_u64().unwrap_or(0), it["rule"].as_str().unwrap_or_default().to_owned())
    };
    let mut found: Vec<_> = list.iter().map(of).collect();
    found.sort();
    found
}

/// Found by `run` only: what the page shows happens at run time.
const RUN_ONLY: [(&str, &str); 2] = [("unbounded-growth", "c"), ("temporary-allocations", "c")];

/// The code blocks of a section of a page, with their languages.
fn blocks<'a>(page: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
    let Some(rest) = page.split_once(&format!("\n## {section}\n")).map(|it| it.1) else { return Vec::new() };
    let section = rest.split("\n## ").next().unwrap_or(rest);
    section.split("```").skip(1).step_by(2).filter_map(|it| it.split_once('\n')).collect()
}

#[test]
fn pages_hold() {
    let dir = tempfile::tempdir().unwrap();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for page in fs::read_dir(root().join("crates/report/src/pages")).unwrap() {
        let page = page.unwrap().path();
        let rule = page.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&page).unwrap();
        for section in ["Bad", "Good"] {
            for (language, code) in blocks(&text, section) {
                if RUN_ONLY.contains(&(rule.as_str(), language)) {
                    continue;
                }
                let end = match language {
                    "python" => "py",
                    "javascript" => "js",
                    "typescript" => "ts",
                    other => other,
                };
                let folder = dir.path().join(format!("{rule}-{section}-{end}"));
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join(format!("a.{end}")), code).unwrap();
                let mut expected = Vec::new();
                for (line, number) in code.lines().zip(1u64..) {
                    let rules = line.split("expect: ").skip(1).filter_map(|it| it.split_whitespace().next());
                    expected.extend(rules.map(|it| (number, it.to_owned())));
                }
                expected.sort();
                let found = findings(&folder);
                if found != expected {
                    wrong.push(format!(
                        "{rule}, {section}, {language}: expected {expected:?}, found {found:?}"
                    ));
                }
                checked += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 40, "{checked}");
}

const LEAK: &str = "#include <stdlib.h>\n\nint work(void) {\n    char *p = malloc(10);\n    if (p == NULL)\n        return 1;\n    p[0] = 0;\n    p = NULL;\n    return 0;\n}\n";

#[test]
fn exit_codes_formats_and_ignores() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("a.c"), LEAK).unwrap();
    let code = |args: &[&str]| check(dir, args).status.code();
    let text = |args: &[&str]| String::from_utf8(check(dir, args).stdout).unwrap();
    assert_eq!(code(&[]), Some(1));
    assert_eq!(code(&["a.c"]), Some(1));
    assert_eq!(code(&["--fail-on", "never"]), Some(0));
    assert_eq!(code(&["--ignore", "memory-leak"]), Some(0));
    assert_eq!(code(&["--select", "double-free"]), Some(0));
    assert_eq!(code(&["--exclude", "a.c"]), Some(0));
    assert_eq!(code(&["missing"]), Some(2));
    assert_eq!(code(&["--write-baseline", "known.txt", "--fail-on", "never"]), Some(0));
    assert_eq!(code(&["--baseline", "known.txt"]), Some(0));
    assert!(text(&[]).contains("a.c:4:15 in work"), "{}", text(&[]));
    assert!(
        text(&["--format", "github"]).starts_with("::error file=a.c,line=4"),
        "{}",
        text(&["--format", "github"])
    );
    let sarif: Value = serde_json::from_str(&text(&["--format", "sarif"])).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "memory-leak");
    let document: Value = serde_json::from_str(&text(&["--format", "json"])).unwrap();
    assert_eq!(document["summary"]["files"], 1);
    assert_eq!(document["summary"]["lines"], 11);
    assert!(document["summary"].get("program").is_none());
    assert_eq!(document["findings"][0]["engine"], "check");
    assert_eq!(document["findings"][0]["location"]["path"], "a.c");
    // Comments on the line, alone above it, and one that ignores nothing.
    for (from, to) in [
        ("malloc(10);", "malloc(10); // heapwise: ignore[memory-leak] on purpose"),
        ("    char *p", "    // heapwise: ignore[memory-leak] on purpose\n    char *p"),
    ] {
        fs::write(dir.join("a.c"), LEAK.replace(from, to)).unwrap();
        assert_eq!(code(&[]), Some(0), "{to}");
    }
    fs::write(dir.join("a.c"), format!("{LEAK}// heapwise: ignore[double-free]\n")).unwrap();
    assert!(text(&[]).contains("a.c:11: this comment ignores nothing"), "{}", text(&[]));
}

/// Whatever the bytes are, there is an end and a status.
#[test]
fn hostile_sources() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    for end in ["c", "cpp", "py", "js", "ts"] {
        write(&format!("empty.{end}"), b"");
        write(&format!("nul.{end}"), b"int x\0 = 1;\n\0\0");
        write(&format!("latin.{end}"), b"/* caf\xe9 */ int x = 1;\n");
        write(&format!("utf16.{end}"), b"\xff\xfei\0n\0t\0 \0x\0;\0\n\0");
        write(&format!("long.{end}"), "x = 1 + 2; ".repeat(900_000).as_bytes());
        write(&format!("brackets.{end}"), format!("x = {};\n", deep("(", ")")).as_bytes());
        write(&format!("braces.{end}"), deep("{", "}").as_bytes());
        write(
            &format!("noise.{end}"),
            &(0..200_000u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>(),
        );
    }
    write("blocks.c", format!("int main(void) {}", deep("{", ";}")).as_bytes());
    write(
        "nested.py",
        (0..3000).map(|it| format!("{}if x:\n", " ".repeat(it))).collect::<String>().as_bytes(),
    );
    write("bad.ipynb", b"{\"cells\": [{\"cell_type\": \"code\", \"source\": 7}]}");
    std::os::unix::fs::symlink(dir, dir.join("loop")).unwrap();
    let output = check(dir, &["--fail-on", "never"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
