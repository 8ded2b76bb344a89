use crate::{assert_harmless, base, golden, reports, written};
use heapwise_model::Report;
use heapwise_report::github::{self, GithubOptions};

fn github(report: &Report) -> String {
    written(|out| github::write(out, report, &GithubOptions { base: base() }))
}

#[test]
fn annotations() {
    golden("leaking.github", &github(&reports::leaking()));
    golden("checked.github", &github(&reports::checked()));
}

#[test]
fn hostile_names_forge_no_command() {
    let report = reports::hostile();
    let text = github(&report);
    assert_harmless(&text);
    assert_eq!(text.lines().count(), report.findings.len());
    for line in text.lines() {
        let (command, rest) = line.strip_prefix("::").unwrap().split_once(' ').unwrap();
        assert!(["error", "warning", "notice"].contains(&command));
        let (properties, _) = rest.split_once("::").unwrap();
        for property in properties.split(',') {
            let (name, value) = property.split_once('=').unwrap();
            assert!(["file", "line", "col", "endLine", "endColumn", "title"].contains(&name), "{name}");
            assert!(!value.contains(':'));
        }
    }
}
