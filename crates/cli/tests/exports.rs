//! Every export of one committed recording: `examples/sessions.cpp`, built with `-g -O1`, which keeps none of its 300
//! sessions. The program itself is not there, so nothing but its figures and stacks can be relied on.

mod common;

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const LOST: u64 = 16_800;
const ALLOCATIONS: u64 = 1_201;

fn recording() -> PathBuf {
    common::root().join("tests/recordings/sessions.heapwise")
}

fn heapwise(args: &[&str]) -> Vec<u8> {
    let (verb, rest) = args.split_first().expect("a verb");
    let output = Command::new(common::heapwise())
        .arg(verb)
        .arg(recording())
        .args(rest)
        .output()
        .expect("heapwise starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn export(to: &str) -> String {
    String::from_utf8(heapwise(&["export", "--to", to, "--by", "lost"])).expect("text")
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("JSON")
}

#[test]
fn json_has_the_figures() {
    let report = json(&heapwise(&["report", "--format", "json", "--fail-on", "never"]));
    assert_eq!(report["summary"]["program"]["allocations"], ALLOCATIONS);
    assert_eq!(report["summary"]["program"]["leaks"]["definite"]["bytes"], LOST);
    assert_eq!(report["findings"][0]["rule"], "memory-leak");
}

#[test]
fn folded_stacks_sum_up() {
    let values = export("folded");
    let values = values.lines().map(|line| line.rsplit_once(' ').expect("a value").1);
    assert_eq!(values.map(|it| it.parse::<u64>().expect("a number")).sum::<u64>(), LOST);
}

#[test]
fn speedscope_has_the_lost_bytes() {
    let file = json(export("speedscope").as_bytes());
    assert_eq!(file["$schema"], "https://www.speedscope.app/file-format-schema.json");
    let ends = file["profiles"].as_array().expect("profiles").iter().filter_map(|it| it["endValue"].as_u64());
    assert!(ends.into_iter().any(|it| it == LOST));
}

#[test]
fn firefox_profile_has_every_allocation() {
    let file = json(export("firefox").as_bytes());
    let table = &file["threads"][0]["nativeAllocations"];
    let weights: Vec<i64> =
        table["weight"].as_array().expect("weights").iter().filter_map(Value::as_i64).collect();
    assert_eq!(weights.iter().filter(|it| **it > 0).count() as u64, ALLOCATIONS);
    for column in ["memoryAddress", "stack", "threadId"] {
        assert_eq!(table[column].as_array().map(Vec::len), Some(weights.len()), "{column}");
    }
}

#[test]
fn memcheck_xml_has_the_leak() {
    let text = export("valgrind-xml");
    assert!(text.contains("<kind>Leak_DefinitelyLost</kind>"));
    assert!(text.contains(&format!("<leakedbytes>{LOST}</leakedbytes>")));
    assert!(text.trim_end().ends_with("</valgrindoutput>"));
}

#[test]
fn pprof_is_a_zipped_profile() {
    let bytes = heapwise(&["export", "--to", "pprof"]);
    assert_eq!(bytes.get(..2), Some(&[0x1f, 0x8b][..]));
    if common::have("pprof_is_a_zipped_profile", &["gzip"]) {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("profile.gz");
        std::fs::write(&file, bytes).expect("written");
        let plain = Command::new("gzip").arg("-dc").arg(&file).output().expect("gzip starts");
        assert!(plain.status.success());
        for name in ["inuse_space", "alloc_objects", "bytes"] {
            assert!(plain.stdout.windows(name.len()).any(|it| it == name.as_bytes()), "{name}");
        }
    }
}
