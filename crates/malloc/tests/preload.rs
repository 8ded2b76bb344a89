//! Real programs on the preloaded library: their output is what it is without.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The library, built once.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        // A folder of its own: the outer cargo may hold the lock of the usual one.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("preload");
        let status = Command::new(env!("CARGO"))
            .args([
                "rustc",
                "--quiet",
                "--lib",
                "--profile",
                "recorder",
                "--crate-type",
                "cdylib",
                "--features",
                "cdylib",
            ])
            .arg("--manifest-path")
            .arg(manifest.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .expect("cargo can be started");
        assert!(status.success(), "the library could not be built");
        target.join("recorder/libheapwise_malloc.so")
    })
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// The program, if it is installed.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file())
}

/// The program of `source` as `name`, which no other test uses; if there is a compiler.
fn compiled(compiler: &str, source: &str, name: &str, flags: &[&str]) -> Option<PathBuf> {
    let compiler = installed(compiler)?;
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new(compiler)
        .args(flags)
        .arg("-o")
        .arg(&binary)
        .arg(program(source))
        .output()
        .expect("a compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(binary)
}

/// What it does with the library.
fn preloaded(command: &mut Command) -> Output {
    command.env("LD_PRELOAD", library()).output().expect("it can be started")
}

/// It does the same with the library as without.
fn unharmed(command: impl Fn() -> Command) {
    let plain = command().output().expect("it can be started");
    assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
    let ours = preloaded(&mut command());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(ours.status, plain.status, "{}", text(&ours.stderr));
    assert_eq!(text(&ours.stdout), text(&plain.stdout));
    assert_eq!(text(&ours.stderr), text(&plain.stderr));
}

fn with(name: &str, arguments: &[&str]) {
    let Some(path) = installed(name) else { return };
    unharmed(|| {
        let mut command = Command::new(&path);
        command.args(arguments).env("PYTHONMALLOC", "malloc").env("PYTHONHASHSEED", "1");
        command
    });
}

#[test]
fn only_what_it_needs_is_imported_and_exported() {
    let Some(nm) = installed("nm") else { return };
    let output = Command::new(nm).arg("-D").arg(library()).output().expect("nm");
    let text = String::from_utf8_lossy(&output.stdout);
    let symbols = |kind: &str| -> Vec<&str> {
        text.lines()
            .filter_map(|line| line.split_once(kind).map(|it| it.1))
            .map(|it| it.split('@').next().unwrap_or(it))
            .collect()
    };
    assert_eq!(
        symbols(" T "),
        [
            "aligned_alloc",
            "calloc",
            "free",
            "malloc",
            "malloc_trim",
            "malloc_usable_size",
            "memalign",
            "posix_memalign",
            "pvalloc",
            "realloc",
            "reallocarray",
            "valloc"
        ]
    );
    assert_eq!(
        symbols(" U "),
        [
            "__errno_location",
            "__register_atfork",
            "abort",
            "clock_gettime",
            "madvise",
            "memcpy",
            "memset",
            "mmap",
            "mremap",
            "munmap",
            "pthread_key_create",
            "pthread_setspecific",
            "syscall"
        ]
    );
}

#[test]
fn functions_keep_their_promises() {
    let Some(binary) =
        compiled("gcc", "functions.c", "functions", &["-O1", "-fno-builtin", "-pthread", "-w"])
    else {
        return;
    };
    let output = preloaded(&mut Command::new(binary));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 failures\n");
    assert!(output.status.success());
}

#[test]
fn threads_that_hand_blocks_to_each_other() {
    let Some(binary) = compiled("g++", "threads.cpp", "threads", &["-O1", "-pthread"]) else { return };
    let output = preloaded(Command::new(binary).arg("500"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 errors\n");
    assert!(output.status.success());
}

#[test]
fn address_space_may_be_limited() {
    let Some(binary) = compiled("gcc", "functions.c", "limited", &["-O1", "-fno-builtin", "-pthread", "-w"])
    else {
        return;
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 2000000; exec \"$0\""]).arg(binary);
    assert_eq!(String::from_utf8_lossy(&preloaded(&mut shell).stdout), "0 failures\n");
}

#[test]
fn sqlite() {
    let rows = "with recursive c(x) as (select 1 union all select x+1 from c where x<30000) insert into t select x, 'row '||x from c;";
    let sql = format!(
        "create table t(a integer primary key, b text); {rows} create index i on t(b); delete from t where a%3=0; \
         select count(*), sum(length(b)), max(b) from t; select group_concat(b) from t where a<500; pragma integrity_check;"
    );
    with("sqlite3", &[":memory:", &sql]);
}

#[test]
fn python() {
    let script = "
import json, threading, os, subprocess
d = {str(i): [i] * (i % 20) for i in range(30000)}
s = json.dumps(d); print(len(s), len(json.loads(s)))
r = []
def f(n):
    l = [bytes(k * 7 % 5000) for k in range(2000)]; r.append(sum(map(len, l)))
t = [threading.Thread(target=f, args=(i,)) for i in range(16)]
[x.start() for x in t]; [x.join() for x in t]; print(sorted(r))
p = os.fork()
if p == 0:
    x = [bytes(100) for _ in range(10000)]; os._exit(7)
print(os.waitpid(p, 0)[1], subprocess.run(['echo', 'hi'], capture_output=True).stdout)
";
    with("python3", &["-c", script]);
}

#[test]
fn compilers() {
    let (functions, threads) = (program("functions.c"), program("threads.cpp"));
    let text = |path: &PathBuf| path.to_str().expect("a path of the checkout is text").to_owned();
    with("gcc", &["-O1", "-w", "-S", "-o", "-", &text(&functions)]);
    with("g++", &["-O2", "-w", "-S", "-o", "-", &text(&threads)]);
}

#[test]
fn git() {
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    with("git", &["-C", checkout, "--no-pager", "log", "--stat", "-n", "50"]);
    with("git", &["-C", checkout, "--no-pager", "grep", "-c", "fn "]);
}

#[test]
fn node() {
    let script = "const a = []; for (let i = 0; i < 200000; i++) a.push({ i, s: String(i) });
        console.log(a.length, Buffer.alloc(1e7).length, JSON.stringify(a).length);
        const w = new (require('worker_threads').Worker)('require(\"worker_threads\").parentPort.postMessage(Buffer.alloc(9999).length)', { eval: true });
        w.on('message', m => console.log(m));";
    with("node", &["-e", script]);
}
