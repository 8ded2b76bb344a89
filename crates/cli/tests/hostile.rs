//! Surroundings and programs that make it hard, and input that means harm: the program runs as it would, and nothing of
//! what it is called gets to the terminal or into a page as it is.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{c_program, finish, heapwise, observe, wait};

const LIMIT: Duration = Duration::from_secs(60);

/// A shell line in `dir`; `$RUN` observes a command there.
fn shell(dir: &Path, line: &str) -> Output {
    let run = format!("{} run --quiet --no-recording --", heapwise().display());
    let mut bash = Command::new("/bin/bash");
    finish(bash.args(["-c", line]).env("RUN", run).env("HEAPWISE", heapwise()).current_dir(dir), b"", LIMIT)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The line gives the same output and status with `$RUN` as without.
fn same(dir: &Path, line: &str) {
    let bare = shell(dir, &line.replace("$RUN", ""));
    let observed = shell(dir, line);
    let said = text(&observed.stderr);
    assert_eq!(observed.status.code(), bare.status.code(), "{line}: {said}");
    assert_eq!(text(&observed.stdout), text(&bare.stdout), "{line}: {said}");
}

fn script(dir: &Path, name: &str, bytes: &[u8]) {
    fs::write(dir.join(name), bytes).unwrap();
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

const LEAK: &str = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { char *volatile p = malloc(100); \
                    p[0] = 1; p = malloc(50); free(p); puts(\"out\"); return 3; }";

#[test]
fn commands_that_do_not_start_end_as_in_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    script(dir, "no-interpreter", b"#!/nonexistent/interpreter\n");
    script(dir, "garbage", b"\x7fELF garbage\n");
    script(dir, "zeros", &[b'x', 0, 1, 2]);
    script(dir, "plain", b"echo plain; exit 4\n");
    script(dir, "empty", b"");
    script(dir, "script", b"#!/bin/sh -e\necho script $1; false; echo not here\n");
    for (name, code) in [("no-interpreter", 127), ("garbage", 126), ("zeros", 126)] {
        let output = shell(dir, &format!("$RUN ./{name}"));
        assert_eq!(output.status.code(), Some(code), "{name}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(name), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{name}: {}", text(&output.stdout));
    }
    for name in ["plain", "empty", "script"] {
        same(dir, &format!("$RUN ./{name} word"));
    }
}

#[test]
fn what_is_no_recording_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("empty"), "").unwrap();
    fs::write(dir.path().join("text"), "not a recording").unwrap();
    fs::File::create(dir.path().join("sparse")).unwrap().set_len(40 << 30).unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap().success());
    for what in
        ["empty", "text", "sparse", "fifo", "missing", ".", "/dev/null", "/dev/zero", "/proc/self/mem"]
    {
        let begin = Instant::now();
        let output = shell(dir.path(), &format!("ulimit -v 4000000; \"$HEAPWISE\" report {what}"));
        assert_eq!(output.status.code(), Some(2), "{what}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("error: "), "{what}: {}", text(&output.stderr));
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}: {:?}", begin.elapsed());
    }
}

#[test]
fn standard_streams_may_be_closed_full_or_broken() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    c_program(dir, "leak", LEAK, &["-g", "-w"]);
    for line in [
        "$RUN ./leak <&-",
        "$RUN ./leak >&-; echo $?",
        "$RUN ./leak 2>&-",
        "$RUN ./leak <&- >&- 2>&-",
        "$RUN ./leak >/dev/full",
        "$RUN ./leak 2>/dev/full",
        "{ $RUN ./leak; echo $? >broken; } 2>&1 >/dev/null | true; sleep 0.5; cat broken",
        "(trap '' PIPE; $RUN ./leak 2>/dev/null; echo $? >&2) 2>status | true; sleep 0.2; cat status",
        "nohup $RUN ./leak",
    ] {
        same(dir, line);
    }
}

#[test]
fn limits_and_places() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    c_program(dir, "leak", LEAK, &["-g", "-w"]);
    fs::create_dir(dir.join("gone")).unwrap();
    for line in [
        "ulimit -n 8; $RUN ./leak",
        "ulimit -v 200000; $RUN ./leak",
        "ulimit -s 256; $RUN ./leak",
        "ulimit -c 0; ulimit -t 20; $RUN ./leak",
        "here=$PWD; cd /proc && $RUN $here/leak",
        "here=$PWD; cd gone; rmdir ../gone; $RUN $here/leak; mkdir $here/gone",
        "LD_BIND_NOW=1 $RUN ./leak",
        "env -i $RUN ./leak",
    ] {
        same(dir, line);
    }
    // Too few descriptors even to begin.
    let output = shell(dir, "ulimit -n 4; $RUN ./leak");
    assert!(matches!(output.status.code(), Some(2 | 3)), "{}", text(&output.stderr));
}

/// A child is followed whatever the program makes of its environment.
#[test]
fn children_with_another_environment_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    c_program(dir, "leak", LEAK, &["-g", "-w"]);
    c_program(dir, "other", "int other(void) { return 0; }", &["-shared", "-fPIC"]);
    let child = "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <spawn.h>\n#include <stdlib.h>\n#include <string.h>\n\
        #include <sys/wait.h>\n#include <unistd.h>\n\
        int main(int count, char **with) { char *own[] = {\"./leak\", 0}; char *other[] = {\"LD_PRELOAD=./other\", \"A=1\", 0};\n\
        char **none = 0; pid_t pid; int status; char how = with[1][0];\n\
        if (how == 'f') { clearenv(); pid = fork(); if (pid) { wait(&status); return WEXITSTATUS(status); } return !malloc(10); }\n\
        if (how == 'v') { for (int i = 0; i < 50; i++) { pid = vfork(); if (!pid) { execve(own[0], own, other); _exit(9); } wait(&status); }\n\
            return WEXITSTATUS(status); }\n\
        if (how == 's') { posix_spawn(&pid, own[0], 0, 0, own, other); wait(&status); return WEXITSTATUS(status); }\n\
        clearenv();\n\
        if (how == 'p') execvp(own[0], own); else if (how == 'x') execv(own[0], own);\n\
        else if (how == 'd') fexecve(open(own[0], O_RDONLY | O_CLOEXEC), own, other); else if (how == 'n') execve(own[0], own, none);\n\
        return 8; }";
    c_program(dir, "child", child, &["-w"]);
    for (line, recordings) in [
        ("$RUN -o DIR -- env -i ./leak", 2),
        ("$RUN -o DIR -- env -u LD_PRELOAD ./leak", 2),
        ("$RUN -o DIR -- env LD_PRELOAD=./other ./leak", 2),
        ("$RUN -o DIR -- ./child f", 2),
        ("$RUN -o DIR -- ./child v", 51),
        ("$RUN -o DIR -- ./child s", 2),
        ("$RUN -o DIR -- ./child p", 2),
        ("$RUN -o DIR -- ./child x", 2),
        ("$RUN -o DIR -- ./child d", 2),
        ("$RUN -o DIR -- ./child n", 2),
    ] {
        let bare = shell(dir, &line.replace("$RUN -o DIR -- ", ""));
        let _ = fs::remove_dir_all(dir.join("out"));
        let observed = shell(dir, &line.replace("$RUN -o DIR --", "$HEAPWISE run -o out/ --"));
        let said = text(&observed.stderr);
        assert_eq!(observed.status.code(), bare.status.code(), "{line}: {said}");
        assert_eq!(text(&observed.stdout), text(&bare.stdout), "{line}: {said}");
        assert_eq!(fs::read_dir(dir.join("out")).unwrap().count(), recordings, "{line}: {said}");
    }
}

#[test]
fn programs_that_get_rid_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let alone = "#define _GNU_SOURCE\n#include <stdio.h>\n#include <stdlib.h>\n#include <sys/resource.h>\n#include <unistd.h>\n\
        int main(void) { close_range(3, ~0u, 0); char *volatile p = 0;\n\
        for (int i = 0; i < 100000; i++) { p = malloc(i % 300 + 1); if (i % 7) free(p); }\n\
        puts(\"ok\"); fflush(stdout); close(0); close(1); close(2); struct rlimit none = {0, 0};\n\
        setrlimit(RLIMIT_NOFILE, &none); setrlimit(RLIMIT_FSIZE, &none);\n\
        for (int i = 0; i < 1000; i++) p = malloc(10); return 5; }";
    c_program(dir, "alone", alone, &["-g", "-w"]);
    same(dir, "$RUN ./alone");
    // Afterwards it may do nothing but read, write, exit.
    let strict = "#include <linux/seccomp.h>\n#include <stdlib.h>\n#include <sys/prctl.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
        int main(void) { free(malloc(200000)); void *volatile p = malloc(10); prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);\n\
        for (int i = 0; i < 100; i++) p = malloc(100); write(1, \"strict\\n\", 7); syscall(SYS_exit, 6); }";
    c_program(dir, "strict", strict, &["-g", "-w"]);
    same(dir, "$RUN ./strict");
}

#[test]
fn a_daemon_is_followed_although_its_parents_end_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let source = "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
        int main(void) { if (fork()) _exit(0); setsid(); if (fork()) _exit(0);\n\
        for (int i = 0; i < 1000; i++) malloc(10); usleep(200000); fclose(fopen(\"done\", \"w\")); return 5; }";
    c_program(dir.path(), "daemon", source, &["-g", "-w"]);
    let output = shell(dir.path(), "\"$HEAPWISE\" run --wait -o rec/ -- ./daemon");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(dir.path().join("done").exists());
    assert_eq!(fs::read_dir(dir.path().join("rec")).unwrap().count(), 3, "{said}");
    assert!(said.contains("exited with 5"), "{said}");
}

#[test]
fn other_libraries_of_the_loader_stay() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    c_program(dir, "leak", LEAK, &["-g", "-w"]);
    let counter = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <errno.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n\
        static void *(*next)(size_t); static int count;\n\
        void *malloc(size_t size) { if (!next) next = dlsym(RTLD_NEXT, \"malloc\"); count++; return next(size); }\n\
        __attribute__((destructor)) static void tell(void) { if (count > 1 && !strcmp(program_invocation_short_name, \"leak\")) write(1, \"counted\\n\", 8); }";
    c_program(dir, "counter.so", counter, &["-shared", "-fPIC", "-w"]);
    c_program(dir, "audit.so", "unsigned la_version(unsigned it) { return it; }", &["-shared", "-fPIC"]);
    same(dir, "LD_PRELOAD=$PWD/counter.so $RUN ./leak");
    same(dir, "LD_AUDIT=$PWD/audit.so $RUN ./leak");
    for library in ["libjemalloc.so.2", "libtcmalloc_minimal.so.4"] {
        let path = format!("/usr/lib/x86_64-linux-gnu/{library}");
        match Path::new(&path).exists() {
            true => same(dir, &format!("LD_PRELOAD={path} $RUN ./leak")),
            false => eprintln!("skipped {library}: not installed"),
        }
    }
}

#[test]
fn a_job_can_be_stopped_and_continued() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Command::new(heapwise());
    run.args(["run", "--no-recording", "--quiet", "--", "/bin/bash", "-c", "echo $$; sleep 1.5; exit 6"]);
    let mut child = run.process_group(0).stdout(Stdio::piped()).current_dir(dir.path()).spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let group = format!("-{}", child.id());
    let send = |signal: &str| Command::new("kill").args([signal, "--", &group]).status().unwrap();
    let state = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|it| it.1.chars().next())
    };
    send("-TSTP");
    let begin = Instant::now();
    let pids = [child.id().to_string(), line.trim().to_owned()];
    while pids.iter().any(|it| state(it) != Some('T')) {
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", pids.each_ref().map(|it| state(it)));
        std::thread::sleep(Duration::from_millis(10));
    }
    send("-CONT");
    assert_eq!(wait(&mut child, LIMIT, "a continued job").code(), Some(6));
}

/// As long as what takes their places in the binary.
const NAMES: [(&str, &str); 3] = [
    (
        "function_name_of_forty_four_characters_here_",
        "\x1b]0;t\x07\x1b[31m<img src=x onerror=alert(1)>\n::er",
    ),
    ("source_file_name_of_thirty_six_let.c", "\x1b[2J</script><script>alert(2)\r\n::e.c"),
    ("a_thread's_name", "\x1b[5m<b>\n::error"),
];

#[test]
fn hostile_names_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let [function, file, thread] = NAMES.map(|it| it.0);
    let source = format!(
        "#include <pthread.h>\n#include <stdlib.h>\n#include <sys/prctl.h>\n#line 7 \"{file}\"\n\
         __attribute__((noinline)) void *{function}(void *it) {{ prctl(PR_SET_NAME, \"{thread}\"); void *volatile p = malloc(123); p = 0; return it; }}\n\
         int main(void) {{ pthread_t t; pthread_create(&t, 0, {function}, 0); pthread_join(t, 0); free((void *)16); return 0; }}"
    );
    let plain = c_program(dir, "plain", &source, &["-g", "-w", "-pthread"]);
    let mut bytes = fs::read(plain).unwrap();
    for (from, to) in NAMES {
        assert_eq!(from.len(), to.len());
        let at: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from.as_bytes())).collect();
        assert!(!at.is_empty(), "{from}");
        at.iter().for_each(|&at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
    }
    let name = "\x1b]0;p\x07<img src=y>\n::error";
    fs::create_dir(dir.join("bin")).unwrap();
    script(&dir.join("bin"), name, &bytes);
    let mut run = Command::new(heapwise());
    run.args(["run", "-o", "out.heapwise", "--"]).arg(dir.join("bin").join(name)).current_dir(dir);
    let observed = finish(&mut run, b"", LIMIT);
    let mut shown = vec![("run".to_owned(), observed.stderr)];
    let mut show = |words: &str| {
        let output = shell(dir, &format!("\"$HEAPWISE\" {words} out.heapwise"));
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        shown.push((words.to_owned(), output.stdout));
    };
    for format in ["text", "text --verbose", "json", "sarif", "github", "html"] {
        show(&format!("report --fail-on never --format {format}"));
    }
    for format in ["folded", "speedscope", "firefox", "valgrind-xml"] {
        show(&format!("export --to {format}"));
    }
    for (what, bytes) in shown {
        let text = text(&bytes);
        assert!(text.contains("x1b]0;t") || text.contains("123"), "{what}: the leak is not there: {text}");
        let raw = text.chars().find(|&it| it.is_control() && it != '\n' && it != '\t');
        assert_eq!(raw, None, "{what}: {text}");
        assert!(!text.contains("\n::er") || what.contains("github"), "{what}: a forged line: {text}");
        assert_eq!(
            text.matches("\n::er").count() - text.matches("\n::error file=").count(),
            0,
            "{what}: {text}"
        );
        if what.contains("html") || what.contains("xml") {
            assert!(!text.contains("<img") && !text.contains("<script>alert"), "{what}: {text}");
        }
    }
}

/// A program in C whose plugin is C++: the C++ library is in nobody's scope but the plugin's, or inside it.
#[test]
fn plugins_in_cpp_of_a_program_in_c() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let plugin = "#include <new>\n#include <string>\n#include <vector>\nstruct alignas(64) Wide { char it[64]; };\n\
        extern \"C\" int plugin() { std::vector<std::string> all; for (int i = 0; i < 100; i++) all.push_back(std::string(i + 30, 'x'));\n\
        Wide *wide = new Wide[3]; bool good = (unsigned long)wide % 64 == 0; delete[] wide; delete new (std::nothrow) int;\n\
        try { throw 1; } catch (int it) { good &= it == 1; }\n\
        return good ? (int)all.size() : 1; }";
    fs::write(dir.join("plugin.cpp"), plugin).unwrap();
    let host = "#include <dlfcn.h>\n#include <stdio.h>\nint main(int count, char **words) { void *it = dlopen(words[1], RTLD_NOW);\n\
        if (!it) return 9; int end = ((int (*)(void))dlsym(it, \"plugin\"))(); printf(\"%d\\n\", end); dlclose(it); return end; }";
    c_program(dir, "host", host, &["-w"]);
    for (name, flags) in [("shared.so", &[][..]), ("static.so", &["-static-libstdc++", "-static-libgcc"][..])]
    {
        let flags = [&["-std=c++17", "-shared", "-fPIC", "-g", "-w"][..], flags].concat();
        common::compile(&dir.join("plugin.cpp"), &dir.join(name), &flags);
        same(dir, &format!("$RUN ./host ./{name}"));
        let findings = observe(dir, &["./host", &format!("./{name}")]).report["findings"].to_string();
        assert!(!findings.contains("mismatched-free"), "{name}: {findings}");
    }
}
