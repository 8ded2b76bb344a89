use heapwise_model::Rule;
use heapwise_report::catalog::{self, cwe, entry, page};
use std::process::Command;

const HEADINGS: [&str; 6] = ["What it does", "Why", "Bad", "Good", "Fix", "Known misses"];

#[test]
fn every_rule_has_a_row_and_a_page() {
    assert_eq!(catalog::catalog().iter().map(|it| it.rule).collect::<Vec<_>>(), Rule::ALL);
    for rule in Rule::ALL {
        let row = entry(*rule);
        assert!(!row.title.is_empty() && row.title.len() < 100 && !row.summary.is_empty(), "{rule}");
        for kind in row.kinds {
            assert!(cwe(*rule, Some(*kind)).iter().all(|number| row.cwe.contains(number)), "{rule}");
        }
        let page = page(*rule);
        assert!(page.starts_with(&format!("# {rule}\n")), "{rule}");
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, HEADINGS, "{rule}");
        assert!(section(page, "Bad").contains(&format!("expect: {rule}")), "{rule}");
        assert!(!section(page, "Good").contains("expect:"), "{rule}");
    }
}

fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("## {heading}\n")).expect("asserted above");
    rest.split("\n## ").next().expect("split gives one part")
}

/// Fenced programs of a section with the compiler for each.
fn programs(section: &str) -> Vec<(&'static str, &str)> {
    let fences = section.split("```").skip(1).step_by(2);
    let program = |fence| match str::split_once(fence, '\n').expect("a fence has lines") {
        ("c", code) => ("c", code),
        ("cpp", code) => ("c++", code),
        ("python", code) => ("python", code),
        ("javascript", code) => ("javascript", code),
        (other, _) => panic!("unknown language {other}"),
    };
    fences.map(program).collect()
}

/// Needs `cc`, `c++` and `node`; the test says which examples it skips without them.
#[test]
fn examples_compile() {
    let folder = tempfile::tempdir().unwrap();
    for rule in Rule::ALL {
        for heading in ["Bad", "Good"] {
            let programs = programs(section(page(*rule), heading));
            assert!(!programs.is_empty(), "{rule}: {heading}");
            for (language, code) in programs.into_iter().filter(|it| it.0 != "python") {
                let is_script = language == "javascript";
                let file = folder.path().join(if is_script { "example.js" } else { "example.c" });
                std::fs::write(&file, code).unwrap();
                let (compiler, options) = match language {
                    "javascript" => ("node", vec!["--check"]),
                    "c" => ("cc", vec!["-x", "c", "-Wno-free-nonheap-object"]),
                    _ => ("c++", vec!["-x", "c++", "-Wno-mismatched-new-delete"]),
                };
                let mut command = Command::new(compiler);
                if !is_script {
                    command.args(["-fsyntax-only", "-Wall", "-Wextra"]);
                }
                let run = command.args(options).arg(&file).output();
                let Ok(run) = run else {
                    eprintln!("skipped: no `{compiler}` here");
                    continue;
                };
                let errors = String::from_utf8_lossy(&run.stderr);
                let is_quiet = heading == "Bad" || errors.is_empty();
                assert!(run.status.success() && is_quiet, "{rule}: {heading}: {errors}");
            }
        }
    }
}
