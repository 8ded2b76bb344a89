//! Every export of one committed recording: `examples/sessions.cpp`, built with `-g -O1`, which keeps none of its 300
//! sessions. The program itself is not there, so nothing but its figures and stacks can be relied on. Where they are
//! installed, the tools that the exports are for read them; those from npm do in `tests/browser/exports.test.mjs`.

mod common;

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const LOST: u64 = 16_800;
const ALLOCATIONS: u64 = 1_201;
const ALLOCATED: u64 = 1_334_994;
const LIVE: u64 = 1_325_694;
const LIMIT: Duration = Duration::from_secs(60);

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
    assert_eq!(weights.iter().sum::<i64>(), LIVE as i64);
    let times = table["time"].as_array().expect("times");
    assert!(times.iter().filter_map(Value::as_f64).is_sorted());
}

#[test]
fn memcheck_xml_has_the_leak() {
    let text = export("valgrind-xml");
    assert!(text.contains("<kind>Leak_DefinitelyLost</kind>"));
    assert!(text.contains(&format!("<leakedbytes>{LOST}</leakedbytes>")));
    assert!(text.trim_end().ends_with("</valgrindoutput>"));
}

#[test]
fn flame_graph_scripts_draw_folded_stacks() {
    const PACKAGED: &str = "/usr/share/perl5/Devel/NYTProf/flamegraph.pl";
    if !common::have("flame_graph_scripts_draw_folded_stacks", &["perl", PACKAGED]) {
        return;
    }
    let folded = export("folded");
    let output = common::finish(Command::new("perl").arg(PACKAGED), folded.as_bytes(), LIMIT);
    let drawn = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        drawn.contains("<title>operator new(unsigned long) (16,800 samples, 100.00%)</title>"),
        "{drawn}"
    );
}

#[test]
fn pprof_counts_the_same() {
    if !common::have("pprof_counts_the_same", &["go"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("profile.pb.gz");
    std::fs::write(&file, heapwise(&["export", "--to", "pprof"])).expect("written");
    let show = |flags: &[&str]| {
        let mut pprof = Command::new("go");
        pprof.args(["tool", "pprof"]).args(flags).arg(&file).env("HOME", dir.path());
        let output = common::finish(&mut pprof, b"", LIMIT);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{flags:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    };
    // With a unit given, counts have it too.
    for (index, total) in [
        ("alloc_objects", format!("{ALLOCATIONS}B")),
        ("alloc_space", format!("{ALLOCATED}B")),
        ("inuse_objects", "901B".to_owned()),
        ("inuse_space", format!("{LIVE}B")),
    ] {
        let top = show(&["-top", "-unit=B", &format!("-sample_index={index}")]);
        assert!(top.contains(&format!("of {total} total")), "{index}: {top}");
        assert!(top.contains("operator new(unsigned long)"), "{top}");
    }
    let raw = show(&["-raw"]);
    assert!(raw.contains("inuse_space/bytes[dflt]"), "{raw}");
    assert!(raw.contains("libc_start_call_main.h:58") || raw.contains("libc.so.6+"), "{raw}");
}
