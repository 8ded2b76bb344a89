//! What happens when something dies, fills up or is damaged: the program is not harmed, and what was recorded is told.

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{c_program, count, finish, heapwise, wait};
use serde_json::Value;

const BATCH: u64 = 100;

/// Allocates for ever in batches of `BATCH`; before each batch its file says how many allocations are done. Two
/// numbers of 8 bytes: its pid and that count. Writes `done` into its folder and ends after `argv[1]` batches. With a
/// third word it keeps all, 4 KiB at a time.
const COUNTER: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((noinline)) static void *one(size_t size) { char *it = malloc(size); if (!it) abort(); it[0] = 1; return it; }
int main(int count, char **words) {
    long batches = atol(words[1]), pause = atol(words[2]);
    int out = open("counter.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    unsigned long said[2] = { (unsigned long)getpid(), 0 };
    pwrite(out, said, sizeof said, 0);
    rename("counter.tmp", "counter");
    static void *kept[100];
    int keep = count > 3;
    for (long batch = 0; batch < batches; batch++) {
        said[1] = batch * 100;
        if (pwrite(out, said, sizeof said, 0) != sizeof said) return 9;
        for (int i = 0; i < 100; i++) {
            if (!keep) free(kept[i]);
            kept[i] = one(keep ? 4096 : 16 + (batch + i) % 200);
        }
        if (pause) usleep(pause);
    }
    close(open("done", O_WRONLY | O_CREAT, 0600));
    puts("done");
    return 21;
}
"#;

fn counter_program(dir: &Path) -> PathBuf {
    c_program(dir, "counter_program", COUNTER, &["-g", "-O1", "-w"])
}

/// Starts `heapwise run` of the counter; its own text goes to `text`.
fn start(dir: &Path, batches: &str, pause: &str) -> Child {
    let program = counter_program(dir);
    Command::new(heapwise())
        .args(["run", "-o", "out.heapwise", "--output", "text", "--"])
        .arg(program)
        .args([batches, pause])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("stderr")).unwrap())
        .spawn()
        .unwrap()
}

/// The counter's pid and number.
fn counter(dir: &Path) -> Option<(u64, u64)> {
    let bytes = fs::read(dir.join("counter")).ok()?;
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some((number(0)?, number(8)?))
}

/// Waits until the count is at least `least`.
fn await_count(dir: &Path, least: u64) -> (u64, u64) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        if let Some(found) = counter(dir).filter(|it| it.1 >= least) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let said = fs::read_to_string(dir.join("stderr")).unwrap_or_default();
    panic!("the program did not get to {least} allocations: {:?}; {said}", counter(dir));
}

fn kill(pid: u64) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

fn report(recording: &Path) -> Output {
    let mut command = Command::new(heapwise());
    command.args(["report", "--format", "json", "--fail-on", "never"]).arg(recording);
    finish(&mut command, b"", Duration::from_secs(30))
}

fn document(recording: &Path) -> Value {
    let output = report(recording);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}: {said}", recording.display(), output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_killed_program_is_told_of_up_to_its_last_batch() {
    for (turn, least) in [1_000, 20_000, 300_000].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = start(dir.path(), "1000000000", "0");
        let (pid, _) = await_count(dir.path(), least);
        kill(pid);
        let status = wait(&mut run, Duration::from_secs(60), "heapwise run after its program was killed");
        let end = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        assert_eq!(end, 137, "turn {turn}: {}", fs::read_to_string(dir.path().join("stderr")).unwrap());
        let (_, done) = counter(dir.path()).unwrap();
        let report = document(&dir.path().join("out.heapwise"));
        let told = count(&report, "allocations");
        // A few allocations are the C library's own.
        let (low, high) = (done, done + BATCH + 50);
        assert!((low..=high).contains(&told), "turn {turn}: {told} allocations told, {low} to {high} done");
        assert_eq!(report["summary"]["program"]["exit"]["signal"], 9);
    }
}

#[test]
fn a_program_goes_on_when_heapwise_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = start(dir.path(), "3000", "500");
    let (pid, before) = await_count(dir.path(), 20_000);
    run.kill().unwrap();
    run.wait().unwrap();
    let begin = Instant::now();
    while !dir.path().join("done").exists() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "the program hangs or died: {before} allocations when heapwise was killed, {:?} now, alive: {}",
            counter(dir.path()),
            Path::new(&format!("/proc/{pid}")).exists()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let recording = dir.path().join("out.heapwise");
    if recording.exists() {
        let told = count(&document(&recording), "allocations");
        assert!(told > 0, "nothing of {before} allocations is in the recording");
    }
}

/// Runs a shell line with `$HEAPWISE` in a folder.
fn shell(dir: &Path, line: &str) -> Output {
    let mut command = Command::new("/bin/bash");
    finish(
        command.args(["-c", line]).env("HEAPWISE", heapwise()).current_dir(dir),
        b"",
        Duration::from_secs(120),
    )
}

#[test]
fn a_program_at_its_memory_limit_ends_as_it_would() {
    let dir = tempfile::tempdir().unwrap();
    let source = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { int n = 0; for (;;) { char *p = malloc(1 << 16); if (!p) break; memset(p, 1, 1 << 16); n++; }\n\
                  puts(n > 100 ? \"enough\" : \"too little\"); return 3; }";
    fs::create_dir(dir.path().join("rec")).unwrap();
    c_program(dir.path(), "eats", source, &["-g", "-w"]);
    let output = shell(
        dir.path(),
        "\"$HEAPWISE\" run -o rec/ --output text -- /bin/bash -c 'ulimit -v 600000; exec ./eats'",
    );
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "enough\n");
}

#[test]
fn a_file_size_limit_does_not_harm_the_program() {
    let dir = tempfile::tempdir().unwrap();
    counter_program(dir.path());
    // 256 KiB, more than the recorder has; the limit's signal goes to whoever writes the recording.
    let output =
        shell(dir.path(), "ulimit -f 256; \"$HEAPWISE\" run -o out.heapwise -- ./counter_program 20000 0");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(21), "{said}");
    assert!(dir.path().join("done").exists());
    let end = report(&dir.path().join("out.heapwise")).status;
    assert!(matches!(end.code(), Some(0 | 2)), "report of the short recording: {end}");
}

#[test]
fn a_file_size_limit_below_the_recorder_is_said_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    counter_program(dir.path());
    let output =
        shell(dir.path(), "ulimit -f 16; \"$HEAPWISE\" run -o out.heapwise -- ./counter_program 20000 0");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error"), "{said}");
    assert!(!dir.path().join("done").exists(), "the program must not have run");
}

#[test]
fn a_full_disk_does_not_harm_the_program() {
    let dir = tempfile::tempdir().unwrap();
    counter_program(dir.path());
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&small).output();
    if !mount.is_ok_and(|it| it.status.success()) {
        eprintln!("skipped a_full_disk: no right to mount a small file system");
        return;
    }
    let output = shell(dir.path(), "\"$HEAPWISE\" run -o small/out.heapwise -- ./counter_program 50000 0");
    let recording = dir.path().join("copy.heapwise");
    let _ = fs::copy(small.join("out.heapwise"), &recording);
    let size = fs::metadata(&recording).map_or(0, |it| it.len());
    Command::new("umount").arg(&small).status().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(21), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
    assert!(dir.path().join("done").exists());
    assert!(size > 200 << 10, "the file system was not filled: {size} bytes");
    assert!(said.contains("out.heapwise"), "which recording is not whole is not said: {said}");
    let end = report(&recording);
    let told = String::from_utf8_lossy(&end.stderr);
    assert!(end.status.success(), "report of the short recording: {}: {told}", end.status);
    let report: Value = serde_json::from_slice(&end.stdout).unwrap();
    let allocations = count(&report, "allocations");
    assert!(allocations > 10_000, "{allocations} allocations in {size} bytes");
    assert!(
        report["notes"].as_array().is_some_and(|it| !it.is_empty()),
        "no note that the recording is short"
    );
}

/// A memory cgroup of its own, of version 1 or 2, with a limit; `None` without the right to make one.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(limit: u64) -> Option<Cgroup> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("heapwise-test-{}", std::process::id());
        let second =
            fs::read_to_string(root.join("cgroup.controllers")).is_ok_and(|it| it.contains("memory"));
        if second {
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        }
        let (folder, file) = match second {
            true => (root.join(name), "memory.max"),
            false => (root.join("memory").join(name), "memory.limit_in_bytes"),
        };
        fs::create_dir(&folder).ok()?;
        let made = Cgroup(folder);
        fs::write(made.0.join(file), limit.to_string()).ok()?;
        Some(made)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_program_killed_for_want_of_memory_is_told_of_up_to_its_last_batch() {
    let Some(group) = Cgroup::new(64 << 20) else {
        eprintln!("skipped a_program_killed_for_want_of_memory: no right to make a memory cgroup");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    counter_program(dir.path());
    fs::create_dir(dir.path().join("rec")).unwrap();
    let line = format!(
        "\"$HEAPWISE\" run -o rec/ --output text -- /bin/bash -c 'echo $$ > {}/cgroup.procs || exit 5; exec ./counter_program 1000000000 0 keep'",
        group.0.display()
    );
    let output = shell(dir.path(), &line);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(137), "{said}");
    let (_, done) = counter(dir.path()).unwrap();
    assert!(done > 1_000, "{done} allocations were possible");
    let recordings = fs::read_dir(dir.path().join("rec")).unwrap().map(|it| it.unwrap().path());
    let reports: Vec<Value> = recordings.map(|it| document(&it)).collect();
    let killed = |it: &&Value| it["summary"]["program"]["command"][0] == "./counter_program";
    let report = reports.iter().find(killed).expect("a recording of the killed program");
    let told = count(report, "allocations");
    let (low, high) = (done, done + BATCH + 50);
    assert!((low..=high).contains(&told), "{told} allocations told, {low} to {high} done");
    assert_eq!(report["summary"]["program"]["exit"]["signal"], 9);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    counter_program(dir.path());
    for place in ["/proc/heapwise-test/out.heapwise", "/sys/out.heapwise", "counter_program/out.heapwise"] {
        let _ = fs::remove_file(dir.path().join("done"));
        let output = shell(dir.path(), &format!("\"$HEAPWISE\" run -o {place} -- ./counter_program 10 0"));
        let said = String::from_utf8_lossy(&output.stderr);
        let folder = place.rsplit_once('/').expect("a folder and a file").0;
        assert!(said.contains(folder), "{folder} is not named: {said}");
        // Either nothing was started, or the program ran unharmed.
        let ran = dir.path().join("done").exists();
        assert_eq!(output.status.code(), Some(if ran { 21 } else { 2 }), "{place}: {said}");
    }
}

/// A whole recording of a small program.
fn sample(dir: &Path) -> Vec<u8> {
    counter_program(dir);
    let output = shell(dir, "\"$HEAPWISE\" run -o whole.heapwise --output text -- ./counter_program 300 0");
    assert_eq!(output.status.code(), Some(21), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(dir.join("whole.heapwise")).expect("a recording")
}

/// Reports every damaged recording; all that go wrong are listed.
fn report_all(dir: &Path, damaged: impl Iterator<Item = (String, Vec<u8>)>) {
    let file = dir.join("damaged.heapwise");
    let mut wrong = Vec::new();
    for (what, bytes) in damaged {
        fs::write(&file, &bytes).unwrap();
        let begin = Instant::now();
        let output = report(&file);
        let said = String::from_utf8_lossy(&output.stderr);
        let good = matches!(output.status.code(), Some(0 | 2)) && !said.contains("panicked");
        let silent = output.status.code() == Some(2) && said.trim().is_empty();
        if !good || silent || begin.elapsed() > Duration::from_secs(10) {
            wrong.push(format!("{what}: {} after {:?}: {said}", output.status, begin.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_cut_recording_is_read_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let whole = sample(dir.path());
    let all = count(&document(&dir.path().join("whole.heapwise")), "allocations");
    assert!(all >= 30_000, "{all} allocations of 30,000 are in the recording");
    let length = whole.len();
    let ends = (0..64.min(length))
        .chain((0..150).map(|it| length * it / 150))
        .chain(length.saturating_sub(40)..length);
    report_all(dir.path(), ends.map(|end| (format!("cut at {end} of {length}"), whole[..end].to_vec())));
}

#[test]
fn a_damaged_recording_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let whole = sample(dir.path());
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let flips = (0..256).map(|turn| {
        let mut bytes = whole.clone();
        let length = bytes.len();
        let places = if turn < 100 {
            vec![turn.min(length - 1)]
        } else {
            (0..1 + turn % 5).map(|_| random(length)).collect()
        };
        let bit = random(8);
        for place in &places {
            bytes[*place] ^= 1 << bit;
        }
        (format!("bit {bit} of bytes {places:?}"), bytes)
    });
    let noise = [vec![], vec![0; 1 << 20], b"text, not a recording\n".repeat(100), vec![0xff; 5000]];
    let noise = noise.into_iter().enumerate().map(|(at, bytes)| (format!("noise {at}"), bytes));
    report_all(dir.path(), flips.collect::<Vec<_>>().into_iter().chain(noise));
    for path in [dir.path().to_path_buf(), dir.path().join("missing"), "/dev/null".into()] {
        assert_eq!(report(&path).status.code(), Some(2), "{}", path.display());
    }
}
