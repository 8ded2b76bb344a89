//! Programs that people use, bare and under `heapwise run`: the same output, the same error output, the same status.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::{c_program, find, finish, have, heapwise, observe};

const LIMIT: Duration = Duration::from_secs(240);

/// As the shell gives it.
fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap())
}

/// Runs bare and observed in fresh folders; returns the folder of the observed run with its recordings in `rec/`.
fn same(command: &[&str], stdin: &[u8]) -> tempfile::TempDir {
    let bare_dir = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    let work = dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let bare =
        finish(Command::new(command[0]).args(&command[1..]).current_dir(bare_dir.path()), stdin, LIMIT);
    let mut run = Command::new(heapwise());
    run.args(["run", "-o"]).arg(format!("{}/rec/", dir.path().display()));
    run.args(["--format", "json", "--output"]).arg(dir.path().join("findings.json")).arg("--").args(command);
    let observed = finish(run.current_dir(&work), stdin, LIMIT);
    let what = command.join(" ");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(2000).collect::<String>();
    assert_eq!(status(&bare), status(&observed), "status of {what}: {}", text(&observed.stderr));
    assert!(
        bare.stdout == observed.stdout,
        "stdout of {what}: {}\n---\n{}",
        text(&bare.stdout),
        text(&observed.stdout)
    );
    assert_eq!(text(&bare.stderr), text(&observed.stderr), "stderr of {what}");
    dir
}

fn recordings(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("rec")).unwrap().count()
}

fn sh(script: &str) -> tempfile::TempDir {
    same(&["/bin/bash", "-c", script], b"")
}

#[test]
fn sqlite3() {
    if have("sqlite3", &["sqlite3"]) {
        let sql = "CREATE TABLE t(a, b); WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50000) \
                   INSERT INTO t SELECT n, hex(n * 7919) FROM c; CREATE INDEX i ON t(b); SELECT count(*), max(b) FROM t WHERE b > '3';";
        same(&["sqlite3", ":memory:"], sql.as_bytes());
        same(&["sqlite3", ":memory:", "SELEC 1"], b"");
    }
}

#[test]
fn jq() {
    if have("jq", &["jq"]) {
        let mut text = String::new();
        for n in 0..20_000 {
            text.push_str(&format!("{{\"n\":{n},\"s\":\"text {n}\"}}\n"));
        }
        same(&["jq", "-s", "map(.n) | add"], text.as_bytes());
        same(&["jq", "."], b"{\"cut\":");
    }
}

#[test]
fn git_and_its_children() {
    if have("git", &["git"]) {
        let script = "export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_NOSYSTEM=1 HOME=$PWD\n\
                      git init -q . && git config user.name a && git config user.email a@b\n\
                      for i in 1 2 3 4 5; do seq 1 $((i * 1000)) > file$i; git add .; git commit -q -m \"step $i\"; done\n\
                      git gc -q; git log --stat --oneline | cat; git diff HEAD~2 | tail -5; git fsck";
        let dir = sh(script);
        assert!(recordings(&dir) >= 10, "{} recordings of a shell and its gits", recordings(&dir));
    }
}

#[test]
fn gcc_and_its_children() {
    if have("gcc", &["gcc"]) {
        let script = "printf '#include <stdio.h>\\nint main(void) { puts(\"built\"); }\\n' > a.c && gcc -O2 a.c -o a && ./a";
        let dir = sh(script);
        let names: Vec<String> = std::fs::read_dir(dir.path().join("rec"))
            .unwrap()
            .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        for tool in ["cc1", "as", "ld"] {
            let found = names.iter().any(|it| {
                it.starts_with(&format!("{tool}.")) || it.starts_with(&format!("x86_64-linux-gnu-{tool}."))
            });
            assert!(
                found || tool == "ld" && names.iter().any(|it| it.contains("ld")),
                "no recording of {tool}: {names:?}"
            );
        }
        same(&["gcc", "-c", "missing.c"], b"");
    }
}

#[test]
fn python3() {
    let python =
        ["/usr/bin/python3", "python3"].into_iter().find(|it| Path::new(it).is_file() || find(it).is_some());
    let Some(python) = python else {
        eprintln!("skipped python3: not installed");
        return;
    };
    let script = "import json, re, sys, threading\n\
                  d = {str(i): [i, i / 2, str(i) * 3] for i in range(20000)}\n\
                  print(len(json.dumps(d)), len(re.findall('7', json.dumps(d))))\n\
                  t = [threading.Thread(target=lambda: sum(range(100000))) for _ in range(8)]\n\
                  [x.start() for x in t]; [x.join() for x in t]\n\
                  print('to stderr', file=sys.stderr); sys.exit(7)\n";
    same(&[python, "-c", script], b"");
    same(
        &[
            python,
            "-c",
            "import subprocess; print(subprocess.run(['echo', 'child'], capture_output=True).stdout)",
        ],
        b"",
    );
}

#[test]
fn perl() {
    if have("perl", &["perl"]) {
        same(
            &[
                "perl",
                "-e",
                "my %h; $h{$_ % 1000} .= 'x' x ($_ % 50) for 1..200000; my $n = 0; $n += length for values %h; print \"$n\\n\"; exit 3",
            ],
            b"",
        );
    }
}

#[test]
fn bash_pipelines() {
    sh(
        "for i in $(seq 1 50); do echo line $i; done | sort -r | head -3 | tr a-z A-Z | cat; echo done >&2; exit 5",
    );
    sh("x=$(printf 'a\\nb\\n' | wc -l); echo $x; (exit 3); echo $?; false | true; echo ${PIPESTATUS[0]}");
    sh("trap 'echo trapped' TERM; kill -TERM $$; echo after; yes | head -1000 | md5sum");
}

#[test]
fn xz_with_threads() {
    if have("xz", &["xz"]) {
        let bytes: Vec<u8> =
            (0..6_000_000u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
        same(&["xz", "-T2", "-1", "--block-size=1MiB", "-c"], &bytes);
    }
}

#[test]
fn sixty_four_threads() {
    if !have("sixty_four_threads", &["g++"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("threads.cpp");
    std::fs::write(
        &source,
        "#include <cstdio>\n#include <map>\n#include <mutex>\n#include <string>\n#include <thread>\n#include <vector>\n\
         std::mutex lock; std::map<int, std::string> all;\n\
         int main() { std::vector<std::thread> t;\n\
         for (int i = 0; i < 64; i++) t.emplace_back([i] { for (int k = 0; k < 2000; k++) { std::string s(k % 300 + 20, 'a' + i % 26); if (k % 100 == 0) { std::lock_guard<std::mutex> g(lock); all[i * 10000 + k] = s; } } });\n\
         for (auto &x : t) x.join();\n\
         unsigned long n = 0; for (auto &p : all) n = n * 31 + p.first + p.second.size(); std::printf(\"%zu %lu\\n\", all.size(), n); }\n",
    )
    .unwrap();
    let binary = dir.path().join("threads");
    common::compile(&source, &binary, &["-g", "-O2", "-pthread"]);
    same(&[binary.to_str().unwrap()], b"");
}

#[test]
fn rust_program() {
    if !have("rust_program", &["rustc"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("words.rs");
    std::fs::write(
        &source,
        "use std::collections::BTreeMap;\nfn main() { let mut m: BTreeMap<String, Vec<usize>> = BTreeMap::new();\n\
         for i in 0..50000usize { m.entry(format!(\"w{}\", i % 997)).or_default().push(i); }\n\
         println!(\"{} {}\", m.len(), m.values().map(|v| v.len()).max().unwrap());\n\
         let r = std::panic::catch_unwind(|| { let v: Vec<u8> = vec![]; v[std::env::args().count()] }); assert!(r.is_err());\n\
         std::process::exit(9) }\n",
    )
    .unwrap();
    let binary = dir.path().join("words");
    common::compile(&source, &binary, &["-g", "-O"]);
    // The panic's message names the thread's number, which is the process's.
    let name = binary.to_str().unwrap();
    same(&["/bin/bash", "-c", &format!("{name} 2>/dev/null")], b"");
}

#[test]
fn node() {
    if have("node", &["node"]) {
        let script = "const a = []; for (let i = 0; i < 200000; i++) a.push({ i, s: 'x' + i }); console.log(JSON.stringify(a).length); \
                      setTimeout(() => { console.error('later'); process.exit(4) }, 20)";
        same(&["node", "-e", script], b"");
    }
}

#[test]
fn signals_and_statuses() {
    let dir = tempfile::tempdir().unwrap();
    let source = "#include <signal.h>\n#include <stdlib.h>\n#include <stdio.h>\nint main(int n, char **a) { char *volatile p = malloc(10); p[0] = 0; int s = atoi(a[1]); puts(\"up\"); fflush(stdout);\n\
                  if (s == 0) return atoi(a[2]); if (s == 6) abort(); if (s == 11) *(volatile int *)0 = 1; raise(s); return 1; }";
    let binary = c_program(dir.path(), "dies", source, &["-g", "-w"]);
    let binary = binary.to_str().unwrap();
    for code in ["0", "1", "42", "255"] {
        same(&[binary, "0", code], b"");
    }
    for signal in ["6", "11", "15", "2", "1", "9"] {
        same(&[binary, signal], b"");
    }
    let killed = observe(dir.path(), &[binary, "11"]);
    assert_eq!(killed.report["summary"]["program"]["exit"]["signal"], 11, "{}", killed.report["summary"]);
    let ended = observe(dir.path(), &[binary, "0", "42"]);
    assert_eq!(ended.report["summary"]["program"]["exit"]["code"], 42, "{}", ended.report["summary"]);
}

/// A shell's background job ignores the terminal's signals, a service manager's child may ignore or block others.
#[test]
fn ignored_and_blocked_signals_are_inherited() {
    let run =
        [&heapwise().display().to_string(), "run", "--no-recording", "--quiet", "--"].map(str::to_owned);
    for change in [
        ["--ignore-signal=INT,QUIT,PIPE", "--block-signal=USR1,TERM"],
        ["--default-signal=INT,PIPE", "--block-signal=PIPE"],
    ] {
        let masks = |prefix: &[String]| {
            let mut command = Command::new("env");
            command.args(change).args(prefix).args(["cat", "/proc/self/status"]);
            let text = String::from_utf8(finish(&mut command, b"", LIMIT).stdout).unwrap();
            let lines = text.lines().filter(|it| it.starts_with("SigIgn") || it.starts_with("SigBlk"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let bare = masks(&[]);
        assert_eq!(bare.len(), 2, "{change:?}");
        assert_eq!(bare, masks(&run), "{change:?}");
    }
}

#[test]
fn signals_reach_the_program() {
    let dir = tempfile::tempdir().unwrap();
    // A terminal sends its signals to the whole group, and each program has to get them once; others are sent to
    // the process that was started, which passes them on.
    for (signal, group, expected) in
        [("TERM", false, 33), ("HUP", false, 34), ("INT", true, 35), ("QUIT", true, 36)]
    {
        let script = format!(
            "n=0; trap 'n=$((n + 1))' {signal}; echo ready; until [ $n -gt 0 ]; do sleep 0.05; done; sleep 0.3; [ $n = 1 ] && exit {expected}; exit $n"
        );
        // A shell cannot trap what was ignored when it began, as in a background job of a script.
        let mut run = Command::new("env");
        run.arg("--default-signal").arg(heapwise());
        run.args(["run", "--no-recording", "--quiet", "--", "/bin/bash", "-c", &script])
            .current_dir(dir.path());
        let mut child = run.process_group(0).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let target = format!("{}{}", if group { "-" } else { "" }, child.id());
        Command::new("kill").args([&format!("-{signal}"), "--", &target]).status().unwrap();
        let status = common::wait(&mut child, Duration::from_secs(20), signal);
        assert_eq!(status.code(), Some(expected), "{signal}");
    }
}

#[test]
fn what_cannot_be_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plain");
    std::fs::write(&file, "text").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let code = |program: &str| observe(dir.path(), &[program]).output;
    let missing = code("./no-such-program");
    assert_eq!(missing.status.code(), Some(127), "{}", String::from_utf8_lossy(&missing.stderr));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no-such-program"));
    let plain = code("./plain");
    assert_eq!(plain.status.code(), Some(126), "{}", String::from_utf8_lossy(&plain.stderr));
    assert_eq!(code("/").status.code(), Some(126));
}

#[test]
fn the_error_exit_code_is_taken_only_when_something_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let leaks = c_program(
        dir.path(),
        "leaks",
        "#include <stdlib.h>\nint main(void) { char *volatile p = malloc(10); p = 0; char d[8192]; for (volatile int i = 0; i < 8192; i++) ((volatile char *)d)[i] = 0; return p != 0; }",
        &["-g", "-w"],
    );
    let clean = c_program(
        dir.path(),
        "clean",
        "#include <stdlib.h>\nint main(void) { char *volatile p = malloc(10); free(p); return 0; }",
        &["-g", "-w"],
    );
    for (binary, expected) in [(leaks, 77), (clean, 0)] {
        let mut run = Command::new(heapwise());
        run.args(["run", "--no-recording", "--error-exitcode", "77", "--"])
            .arg(&binary)
            .current_dir(dir.path());
        let output = finish(&mut run, b"", LIMIT);
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{}: {}",
            binary.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.stdout.is_empty(), "Heapwise's text went into the program's output");
    }
}
