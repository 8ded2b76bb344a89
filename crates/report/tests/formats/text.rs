use crate::{assert_harmless, base, golden, reports, written};
use heapwise_model::{Report, Rule, Severity};
use heapwise_report::text::{self, TextOptions};
use heapwise_report::{Metric, sites};

fn options() -> TextOptions {
    TextOptions { base: base(), ..TextOptions::default() }
}

fn plain(report: &Report) -> String {
    written(|out| text::write(out, report, &options()))
}

#[test]
fn leaking_program() {
    let text = plain(&reports::leaking());
    golden("leaking.txt", &text);
    assert!(text.lines().count() <= 45 && text.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn program_without_findings() {
    let text = plain(&reports::clean());
    golden("clean.txt", &text);
    assert!(text.lines().count() <= 10);
}

#[test]
fn source_findings() {
    golden("checked.txt", &plain(&reports::checked()));
}

#[test]
fn colors_are_only_styles() {
    let options = TextOptions { color: true, ..options() };
    let colored = written(|out| text::write(out, &reports::leaking(), &options));
    let mut rest = String::new();
    for part in colored.split("\x1b[") {
        let after =
            part.split_once('m').filter(|(code, _)| code.chars().all(|c| c.is_ascii_digit() || c == ';'));
        rest.push_str(after.map_or(part, |(_, text)| text));
    }
    assert_eq!(rest, plain(&reports::leaking()));
}

#[test]
fn hostile_names_stay_harmless() {
    for verbose in [false, true] {
        let options = TextOptions { verbose, ..options() };
        let text = written(|out| text::write(out, &reports::hostile(), &options));
        assert_harmless(&text);
        assert!(text.len() < 200_000, "{}", text.len());
        assert!(!text.lines().any(|line| line.starts_with("::")));
    }
}

#[test]
fn many_findings_fit_a_screen() {
    let mut report = reports::leaking();
    report.findings = report.findings.iter().cycle().take(1_000).cloned().collect();
    let text = plain(&report);
    assert!(text.lines().count() <= 60, "{}", text.lines().count());
    assert!(text.contains("and 9"), "{text}");
    let all = written(|out| text::write(out, &report, &TextOptions { verbose: true, ..options() }));
    let errors =
        report.findings.iter().filter(|it| it.rule == Rule::MemoryLeak && it.severity == Severity::Error);
    assert_eq!(all.matches("error[memory-leak]").count(), errors.count());
}

#[test]
fn table_of_sites() {
    let report = reports::leaking();
    let mut all = String::new();
    for by in Metric::ALL {
        all.push_str(&written(|out| text::sites(out, &report, *by, 2, &options())));
        all.push('\n');
        assert_eq!(Metric::from_name(by.name()), Some(*by));
    }
    golden("sites.txt", &all);
    assert_harmless(&written(|out| text::sites(out, &reports::hostile(), Metric::Peak, 9, &options())));
    let total: u64 =
        sites::sites(&report, Metric::Allocations).iter().map(|site| site.cost.allocations).sum();
    assert_eq!(total, 20_000_004);
}

#[test]
fn an_empty_report_says_so() {
    assert_eq!(plain(&Report::default()), "no findings\n");
}
