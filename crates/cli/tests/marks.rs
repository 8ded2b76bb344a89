//! A program that names what it does: `heapwise_mark` of the recorder, and the phases of the report.

mod common;

use common::{c_program, finish, have, heapwise, observe};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
static void *kept[100];
static void *nothing(void *it) { return it; }
__attribute__((noinline)) static void *keep(size_t size) { return malloc(size); } // KEEP
int main(int count, char **words) {
    int (*mark)(const char *) = (int (*)(const char *))dlsym(RTLD_DEFAULT, "heapwise_mark");
    if (!mark) return 3;
    pthread_t thread;
    if (count > 1) { pthread_create(&thread, NULL, nothing, NULL); pthread_join(thread, NULL); }
    free(malloc(5000000));
    if (mark("load") != 1) return 4;
    free(malloc(1000000));
    for (int i = 0; i < 100; i++) kept[i] = keep(1000);
    mark("");
    free(malloc(3000000));
    mark("idle");
    return mark(NULL) == 1 ? 0 : 5;
}
"#;

#[test]
fn what_a_program_names_is_a_phase() {
    if !have("marks", &["gcc"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let line = PROGRAM.lines().position(|it| it.contains("KEEP")).unwrap() as u64 + 1;
    let binary = c_program(folder.path(), "marked", PROGRAM, &["-g", "-O0", "-pthread", "-ldl"]);
    let binary = binary.to_str().unwrap();
    // With one stream of records, and with several.
    for command in [&[binary][..], &[binary, "threads"]] {
        let run = observe(folder.path(), command);
        assert_eq!(run.output.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.output.stderr));
        let mut report = Command::new(heapwise());
        report.args(["report", "--format", "json", "--fail-on", "never"]).arg(&run.recording);
        let output = finish(&mut report, b"", Duration::from_secs(60));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let phases = report["summary"]["phases"].as_array().unwrap();
        let told: Vec<_> = phases
            .iter()
            .map(|it| (it["name"].as_str().unwrap(), it["peak_bytes"].as_u64(), it["kept_bytes"].as_u64()))
            .collect();
        assert_eq!(told, [("load", Some(1_000_000), Some(100_000)), ("idle", Some(0), Some(0))]);
        let sites = phases[0]["sites"].as_array().unwrap();
        let site = sites.iter().find(|it| it["kept_bytes"] == 100_000).unwrap();
        assert_eq!((site["location"]["line"].as_u64(), &site["kept_blocks"]), (Some(line), &100.into()));
        let mut text = Command::new(heapwise());
        let output = finish(text.arg("report").arg(&run.recording), b"", Duration::from_secs(60));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("load: at most 976.6 KiB more, 97.7 KiB kept"), "{text}");
    }
}
