use crate::{assert_harmless, base, golden, reports, written};
use flate2::read::GzDecoder;
use heapwise_model::{Module, Report, StackId};
use heapwise_report::Metric;
use heapwise_report::firefox::{self, Allocation, FirefoxOptions};
use heapwise_report::folded::{self, FoldedOptions};
use heapwise_report::pprof::{self, PprofOptions};
use heapwise_report::speedscope::{self, SpeedscopeOptions};
use heapwise_report::valgrind_xml::{self, ValgrindXmlOptions};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

#[test]
fn folded_stacks() {
    let report = reports::leaking();
    let text = written(|out| folded::write(out, &report, &FoldedOptions { metric: Metric::Allocated }));
    golden("leaking.folded", &text);
    let hostile = written(|out| folded::write(out, &reports::hostile(), &FoldedOptions::default()));
    assert_harmless(&hostile);
    let stacks = hostile.lines().map(|line| line.rsplit_once(' ').unwrap());
    let total: u64 = stacks.map(|(_, value)| value.parse::<u64>().unwrap()).sum();
    assert_eq!(total, report.costs.iter().map(|cost| cost.peak_bytes).sum::<u64>());
}

fn speedscope(report: &Report) -> String {
    written(|out| speedscope::write(out, report, &SpeedscopeOptions { base: base() }))
}

#[test]
fn speedscope_profiles() {
    let text = speedscope(&reports::leaking());
    let file: Value = serde_json::from_str(&text).unwrap();
    golden("leaking.speedscope.json", &(serde_json::to_string_pretty(&file).unwrap() + "\n"));
    let frames = file["shared"]["frames"].as_array().unwrap().len() as u64;
    for profile in file["profiles"].as_array().unwrap() {
        let weights: u64 = profile["weights"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
        assert_eq!(profile["endValue"], weights);
        assert_eq!(
            profile["samples"].as_array().unwrap().len(),
            profile["weights"].as_array().unwrap().len()
        );
        let indices = profile["samples"].as_array().unwrap().iter().flat_map(|it| it.as_array().unwrap());
        assert!(indices.into_iter().all(|index| index.as_u64().unwrap() < frames));
    }
    assert_harmless(&speedscope(&reports::hostile()));
}

/// Set `HEAPWISE_SPEEDSCOPE_SCHEMA` to `file-format-schema.json` of speedscope's package to run
/// this; it also needs Python's jsonschema.
#[test]
fn speedscopes_schema_accepts_it() {
    let Some(schema) = std::env::var_os("HEAPWISE_SPEEDSCOPE_SCHEMA") else {
        eprintln!("skipped: HEAPWISE_SPEEDSCOPE_SCHEMA does not name the schema");
        return;
    };
    validate(schema.as_ref(), &speedscope(&reports::leaking()));
    validate(schema.as_ref(), &speedscope(&reports::hostile()));
}

fn pprof(report: &Report) -> Vec<u8> {
    let module = Module {
        path: "/home/me/app/app".into(),
        build_id: vec![0xab; 20],
        base: 0x55550000,
        end: 0x55560000,
        bias: 0x55550000,
    };
    let mut out = Vec::new();
    pprof::write(&mut out, report, &PprofOptions { modules: vec![module] }).unwrap();
    out
}

#[test]
fn pprof_is_small_and_gzipped() {
    let gzipped = pprof(&reports::hostile());
    let mut bytes = Vec::new();
    GzDecoder::new(&gzipped[..]).read_to_end(&mut bytes).unwrap();
    assert!(bytes.len() < 20_000, "{}", bytes.len());
    assert!(!bytes.windows(5).any(|window| window == b"\x1b]0;o"));
}

/// Set `HEAPWISE_PPROF` to pprof's program (of Go's tools) to run this.
#[test]
fn pprof_itself_reads_the_same_totals() {
    let Some(program) = std::env::var_os("HEAPWISE_PPROF") else {
        eprintln!("skipped: HEAPWISE_PPROF does not name pprof");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, report) in [("plain", reports::leaking()), ("hostile", reports::hostile())] {
        let file = folder.path().join(name);
        std::fs::write(&file, pprof(&report)).unwrap();
        for (index, total) in [
            ("alloc_objects", report.costs.iter().map(|cost| cost.allocations).sum::<u64>()),
            ("alloc_space", report.costs.iter().map(|cost| cost.allocated_bytes).sum()),
            ("inuse_objects", report.costs.iter().map(|cost| cost.live_blocks).sum()),
            ("inuse_space", report.costs.iter().map(|cost| cost.live_bytes).sum()),
        ] {
            let run = Command::new(&program)
                .args(["-raw", "-symbolize=none", &format!("-sample_index={index}")])
                .arg(&file)
                .output()
                .expect("pprof starts");
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
            let run = Command::new(&program)
                .args(["-top", "-unit=B", "-nodefraction=0", &format!("-sample_index={index}")])
                .arg(&file)
                .output()
                .expect("pprof starts");
            let text = String::from_utf8_lossy(&run.stdout).into_owned();
            let digits = total.to_string();
            assert!(text.contains(&format!(" of {digits}")), "{index} {total}: {text}");
            assert!(name == "hostile" || index.starts_with("inuse") || text.contains("copy_name"), "{text}");
        }
    }
}

fn xml(report: &Report) -> String {
    written(|out| valgrind_xml::write(out, report, &ValgrindXmlOptions::default()))
}

#[test]
fn valgrind_xml() {
    golden("leaking.xml", &xml(&reports::leaking()));
    let text = xml(&reports::hostile());
    assert_harmless(&text);
    assert!(!text.contains("<img"));
}

/// Needs `python3` for its XML parser; says so where there is none.
#[test]
fn an_xml_parser_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.xml");
    let script = "import sys,xml.etree.ElementTree as e\n\
                  r=e.parse(sys.argv[1]).getroot()\n\
                  print(r.findtext('protocolversion'),[x.findtext('kind') for x in r.findall('error')])";
    for report in [reports::leaking(), reports::hostile(), reports::checked(), Report::default()] {
        std::fs::write(&file, xml(&report)).unwrap();
        let Ok(run) = Command::new("python3").args(["-c", script]).arg(&file).output() else {
            eprintln!("skipped: no python3 here");
            return;
        };
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(text.starts_with("4 ["), "{text}{}", String::from_utf8_lossy(&run.stderr));
        if !report.costs.is_empty() {
            assert_eq!(
                text.trim(),
                "4 ['InvalidFree', 'MismatchedFree', 'InvalidFree', 'Leak_DefinitelyLost', 'Leak_PossiblyLost']"
            );
        }
    }
}

fn events() -> impl Iterator<Item = Allocation> {
    (0..10u64).flat_map(|at| {
        let taken =
            Allocation { at_ns: at * 1_000, thread: 1, addr: 0x1000 + at * 64, bytes: 44, stack: StackId(1) };
        let given = Allocation { at_ns: at * 1_000 + 500, bytes: -44, stack: StackId(2), ..taken };
        [taken, given]
    })
}

#[test]
fn firefox_profile() {
    let report = reports::leaking();
    let text = written(|out| firefox::write(out, &report, events(), &FirefoxOptions::default()));
    let profile: Value = serde_json::from_str(&text).unwrap();
    let allocations = &profile["threads"][0]["nativeAllocations"];
    assert_eq!(allocations["length"], 20);
    assert_eq!(allocations["memoryAddress"][2], 0x1040);
    let weights: i64 = allocations["weight"].as_array().unwrap().iter().filter_map(Value::as_i64).sum();
    assert_eq!(weights, 0);
    let counters: Vec<&Value> =
        profile["counters"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(counters, ["malloc", "RSS"]);
    assert!(text.contains("__libc_start_main (libc.so.6)"));
}

#[test]
fn firefox_profile_is_harmless() {
    let text = written(|out| firefox::write(out, &reports::hostile(), events(), &FirefoxOptions::default()));
    assert_harmless(&text);
    assert!(text.len() < 100_000, "{}", text.len());
}

/// Checks a JSON document against a JSON schema by Python's jsonschema.
fn validate(schema: &std::path::Path, document: &str) {
    let script = "import json,sys,jsonschema\n\
                  jsonschema.validate(json.load(sys.stdin), json.load(open(sys.argv[1])))";
    let mut python = Command::new("python3")
        .args(["-W", "ignore", "-c", script])
        .arg(schema)
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    python.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    assert!(python.wait().unwrap().success());
}
