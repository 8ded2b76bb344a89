use crate::{assert_harmless, base, golden, reports, written};
use heapwise_model::{Finding, Place, Report, StackId};
use heapwise_report::fingerprint::fingerprints;
use heapwise_report::json::{self, JsonOptions};
use heapwise_report::sarif::{self, SarifOptions};
use serde_json::Value;

fn json(report: &Report) -> String {
    written(|out| json::write(out, report, &JsonOptions { base: base(), ..JsonOptions::default() }))
}

#[test]
fn leaking_program() {
    golden("leaking.json", &json(&reports::leaking()));
}

#[test]
fn of_a_deep_stack_both_ends_are_written() {
    let mut report = reports::leaking();
    let (frame, mut deep) = (report.stacks.frame(StackId(1)), StackId(1));
    for _ in 0..10_000 {
        deep = report.stacks.push(deep, frame).unwrap();
    }
    let finding = report.findings[0].clone();
    let one = Finding { place: Place::Stack(deep), stacks: Vec::new(), ..finding };
    report.findings = vec![one; 100];
    let text = json(&report);
    let document: Value = serde_json::from_str(&text).unwrap();
    let first = &document["findings"][0];
    let frames = first["stack"].as_array().unwrap();
    let left_out = &first["stack_left_out"];
    assert_eq!(frames.len(), 64);
    assert_eq!(left_out["after"], 48);
    assert_eq!(left_out["frames"].as_u64().unwrap() + 64, report.resolved(deep).count() as u64);
    assert_eq!(frames[63]["function"], "_start");
    let sarif = written(|out| sarif::write(out, &report, &SarifOptions::default()));
    assert!(text.len().max(sarif.len()) < 3_000_000);
}

#[test]
fn source_findings() {
    let options = JsonOptions { base: base(), ..JsonOptions::default() };
    let text = written(|out| json::write(out, &reports::checked(), &options));
    golden("checked.json", &text);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(document["summary"].get("program").is_none());
    assert_eq!(document["summary"]["files"], 3);
}

#[test]
fn hostile_names_stay_harmless() {
    let text = json(&reports::hostile());
    assert_harmless(&text);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_decoded_harmless(&document);
}

fn assert_decoded_harmless(value: &Value) {
    match value {
        Value::String(text) => assert_harmless(&text.replace('\n', "\x01")),
        Value::Array(all) => all.iter().for_each(assert_decoded_harmless),
        Value::Object(all) => all.values().for_each(assert_decoded_harmless),
        _ => {}
    }
}

#[test]
fn fingerprints_stay_when_lines_move() {
    let before = reports::leaking();
    let mut after = reports::leaking();
    for frame in after.frames.iter_mut().flatten() {
        frame.line = frame.line.map(|line| line + 7);
        frame.offset += 0x40;
    }
    let names = fingerprints(&before, None);
    assert_eq!(names, fingerprints(&after, None));
    assert!(names.iter().all(|name| name.len() == 16));
    let mut renamed = reports::leaking();
    for frame in renamed.frames.iter_mut().flatten() {
        frame.function = frame.function.take().map(|name| format!("{name}_2"));
    }
    assert_ne!(names[0], fingerprints(&renamed, None)[0]);
}

#[test]
fn fingerprints_of_one_report_differ() {
    let mut report = reports::leaking();
    report.findings = report.findings.iter().cycle().take(500).cloned().collect();
    let mut names = fingerprints(&report, None);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 500);
}
