//! Small programs, compiled here, against what binutils says of every address in their functions.

use heapwise_model::{Frame, Language, Module, ModuleId, ResolvedFrame};
use heapwise_symbols::{Options, Symbolizer, build_id};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const C: &str = "\
#include <stdlib.h>
#include <string.h>
static inline int twice(int x) {
    return x * 2 + rand();
}
static inline char *copy(const char *s) {
    char *p = malloc(strlen(s) + twice(1));
    strcpy(p, s);
    return p;
}
__attribute__((noinline)) int work(int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) {
        char *p = copy(\"x\");
        sum += p[0] + twice(i);
        free(p);
    }
    return sum;
}
int main(int argc, char **argv) {
    (void)argv;
    return work(argc) + twice(argc);
}
";

const CPP: &str = "\
#include <map>
#include <string>
#include <vector>
#include <cstdlib>
namespace ns {
template <class T> struct Box {
    std::vector<T> items;
    explicit Box(int n);
    T sum() const;
};
template <class T> Box<T>::Box(int n) {
    for (int i = 0; i < n; i++) items.push_back(T(i));
}
template <class T> T Box<T>::sum() const {
    T sum{};
    for (auto &item : items) sum += item;
    return sum;
}
}
static inline int twice(int x) { return x * 2 + rand(); }
__attribute__((noinline)) int work(int n) {
    ns::Box<int> box(n);
    std::map<std::string, int> map;
    map[\"a\"] = twice(n);
    return box.sum() + map[\"a\"];
}
int main(int argc, char **) { return work(argc); }
";

const RUST: &str = "\
struct Item { name: String }
fn make(n: usize) -> Item { Item { name: \"x\".repeat(n) } }
#[inline(never)]
fn work(n: usize) -> usize {
    let items: Vec<Item> = (0..n).map(make).collect();
    items.iter().map(|item| item.name.len()).sum()
}
fn main() { println!(\"{}\", work(std::env::args().count())); }
";

/// A folder to compile in; `None`, with the reason printed, when a tool is missing.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(tools: &[&str]) -> Option<Bench> {
        for tool in tools {
            if Command::new(tool)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_err()
            {
                println!("skipped: {tool} is not installed");
                return None;
            }
        }
        Some(Bench { folder: tempfile::tempdir().expect("temporary folder") })
    }

    fn path(&self, name: &str) -> PathBuf {
        // The compiler records the resolved folder.
        self.folder.path().canonicalize().expect("folder").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("write");
    }

    fn run(&self, tool: &str, arguments: &[&str]) {
        let output =
            Command::new(tool).args(arguments).current_dir(self.path("")).output().expect("tool runs");
        assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn module(path: &Path) -> Module {
    Module { path: path.to_str().expect("UTF-8").to_owned(), ..Module::default() }
}

/// Looks nowhere but beside the module and in `folder`.
fn symbolizer(folder: &Path) -> Symbolizer {
    Symbolizer::new(Options { debug_dirs: vec![folder.to_owned()], root: None })
}

/// Addresses in functions whose name contains one of `names`: every `step`th byte.
fn addresses(path: &Path, names: &[&str], step: usize) -> Vec<u64> {
    let output = Command::new("nm").args(["-S", "--defined-only"]).arg(path).output().expect("nm runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut out = Vec::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split_whitespace().collect();
        if let [start, size, kind, name] = parts[..]
            && kind.eq_ignore_ascii_case("t")
            && names.iter().any(|wanted| name.contains(wanted))
        {
            let start = u64::from_str_radix(start, 16).expect("address");
            let size = u64::from_str_radix(size, 16).expect("size");
            out.extend((start..start + size).step_by(step));
        }
    }
    assert!(!out.is_empty(), "no functions {names:?} in {}", path.display());
    out
}

/// Per address: function, file and line of each frame, innermost first, as binutils sees it.
fn truth(path: &Path, addresses: &[u64]) -> Vec<Vec<(String, String, u32)>> {
    let mut child = Command::new("addr2line")
        .args(["-a", "-C", "-f", "-i", "-e"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("addr2line runs");
    let mut input = child.stdin.take().expect("piped");
    let list: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(list.as_bytes()));
    let output = child.wait_with_output().expect("addr2line ends");
    writer.join().expect("writer").expect("written");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut out: Vec<Vec<(String, String, u32)>> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            out.push(Vec::new());
            continue;
        }
        let place = lines.next().unwrap_or_default();
        // After link-time optimization binutils takes the unit's made-up name for its first file.
        let place = place.replace("<artificial>", "a.c");
        let place = place.split(" (discriminator").next().unwrap_or_default();
        let (file, number) = place.rsplit_once(':').expect("file:line");
        out.last_mut().expect("address first").push((
            line.to_owned(),
            normalize(file),
            number.parse().unwrap_or(0),
        ));
    }
    assert_eq!(out.len(), addresses.len());
    out
}

fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    format!("/{}", parts.join("/"))
}

fn places(frames: &[ResolvedFrame]) -> Vec<(String, u32)> {
    frames
        .iter()
        .map(|frame| (frame.path.clone().unwrap_or_else(|| "/??".into()), frame.line.unwrap_or(0)))
        .collect()
}

/// Files and lines of all frames are those of binutils; so are names where `names` says so.
fn check(path: &Path, wanted: &[&str], step: usize, names: bool) {
    let addresses = addresses(path, wanted, step);
    let truth = truth(path, &addresses);
    let frames: Vec<Frame> =
        addresses.iter().map(|offset| Frame::Native { module: ModuleId(1), offset: *offset }).collect();
    let modules = [Module::default(), module(path)];
    let mut symbolizer = symbolizer(Path::new("/nonexistent"));
    let resolved = symbolizer.resolve_all(&modules, &frames);
    assert_eq!(symbolizer.notes(), Vec::<String>::new());
    let mut known = 0;
    for ((address, ours), theirs) in addresses.iter().zip(&resolved).zip(&truth) {
        let their_places: Vec<(String, u32)> =
            theirs.iter().map(|(_, file, line)| (file.clone(), *line)).collect();
        if their_places == [("/??".to_owned(), 0)] {
            // What binutils cannot read of a version, we may.
            continue;
        }
        known += 1;
        assert_eq!(places(ours), their_places, "{address:#x} of {}", path.display());
        assert!(
            ours[..ours.len() - 1].iter().all(|frame| frame.is_inlined) && !ours[ours.len() - 1].is_inlined
        );
        if names {
            let our_names: Vec<&str> =
                ours.iter().map(|frame| frame.function.as_deref().unwrap_or("??")).collect();
            let their_names: Vec<&str> = theirs.iter().map(|(name, _, _)| name.as_str()).collect();
            assert_eq!(our_names, their_names, "{address:#x}");
        }
    }
    assert!(known > addresses.len() / 4, "binutils knows {known} of {}", addresses.len());
}

#[test]
fn c_in_every_dwarf() {
    let Some(bench) = Bench::new(&["gcc", "addr2line", "nm"]) else { return };
    bench.write("a.c", C);
    for flags in [
        &["-O2", "-gdwarf-5"][..],
        &["-O2", "-gdwarf-4"],
        &["-O2", "-gdwarf-3"],
        &["-O2", "-gdwarf-2", "-gstrict-dwarf"],
        &["-O0", "-g"],
        &["-O3", "-g", "-gz=zlib"],
        &["-O2", "-g", "-gno-column-info", "-no-pie"],
        &["-O2", "-g", "-flto", "-ffunction-sections"],
    ] {
        bench.run("gcc", &[flags, &["a.c", "-o", "a"]].concat());
        check(&bench.path("a"), &["work", "main"], 1, flags[0] == "-O0");
    }
}

/// binutils does not read 64-bit DWARF 5 everywhere; it must tell what 32-bit DWARF tells.
#[test]
fn c_in_64_bit_dwarf() {
    let Some(bench) = Bench::new(&["gcc", "nm"]) else { return };
    bench.write("a.c", C);
    bench.run("gcc", &["-O2", "-g", "a.c", "-o", "small"]);
    bench.run("gcc", &["-O2", "-g", "-gdwarf64", "a.c", "-o", "large"]);
    let mut symbolizer = symbolizer(Path::new("/x"));
    for at in addresses(&bench.path("small"), &["work", "main"], 1) {
        let small = symbolizer.resolve(&module(&bench.path("small")), at);
        let large = symbolizer.resolve(&module(&bench.path("large")), at);
        assert_eq!(places(&large), places(&small));
        assert!(small[0].line.is_some());
    }
}

/// Without linkage names (`line-tables-only`) the symbol table gives the whole path of a function.
#[test]
fn rust_with_line_tables_only() {
    let Some(bench) = Bench::new(&["rustc", "nm"]) else { return };
    bench.write("a.rs", RUST);
    bench.run("rustc", &["-O", "-C", "debuginfo=line-tables-only", "--edition=2021", "a.rs", "-o", "a"]);
    let mut symbolizer = symbolizer(Path::new("/x"));
    let mut with_line = 0;
    for at in addresses(&bench.path("a"), &["a4work"], 1) {
        let frames = symbolizer.resolve(&module(&bench.path("a")), at);
        assert_eq!(frames.last().and_then(|it| it.function.as_deref()), Some("a::work"), "{at:#x}");
        with_line += usize::from(frames[0].line.is_some());
    }
    assert!(with_line > 0);
}

#[test]
fn cpp_with_templates() {
    let Some(bench) = Bench::new(&["g++", "addr2line", "nm"]) else { return };
    bench.write("a.cc", CPP);
    bench.run("g++", &["-O2", "-g", "a.cc", "-o", "a"]);
    check(&bench.path("a"), &["work", "main", "sum", "Box"], 3, false);
    let work = addresses(&bench.path("a"), &["_Z4worki"], 1);
    let mut symbolizer = symbolizer(Path::new("/nonexistent"));
    let frames: Vec<ResolvedFrame> =
        work.iter().flat_map(|offset| symbolizer.resolve(&module(&bench.path("a")), *offset)).collect();
    assert!(frames.iter().any(|it| it.function.as_deref() == Some("ns::Box<int>::Box(int)")));
    assert!(
        frames
            .iter()
            .any(|it| it.is_library && it.path.as_deref().is_some_and(|path| path.contains("/c++/")))
    );
    assert!(frames.iter().all(|it| it.language == Some(Language::Cpp)));
    let own: Vec<&ResolvedFrame> =
        frames.iter().filter(|it| it.path.as_deref().is_some_and(|path| path.ends_with("a.cc"))).collect();
    assert!(!own.is_empty() && own.iter().all(|it| !it.is_library && it.column.is_some()));
}

#[test]
fn rust_with_its_library() {
    let Some(bench) = Bench::new(&["rustc", "addr2line", "nm"]) else { return };
    bench.write("a.rs", RUST);
    bench.run("rustc", &["-O", "-g", "--edition=2021", "a.rs", "-o", "a"]);
    let path = bench.path("a");
    check(&path, &["a4work", "a4make"], 1, false);
    let mut symbolizer = symbolizer(Path::new("/nonexistent"));
    let frames: Vec<ResolvedFrame> = addresses(&path, &["a4work"], 1)
        .iter()
        .flat_map(|offset| symbolizer.resolve(&module(&path), *offset))
        .collect();
    assert!(
        frames.iter().any(|it| it.function.as_deref() == Some("a::work") && !it.is_library && !it.is_inlined)
    );
    assert!(frames.iter().any(|it| it.is_inlined
        && it.is_library
        && it.path.as_deref().is_some_and(|path| path.contains("/library/"))));
    assert!(frames.iter().all(|it| it.language == Some(Language::Rust)));
}

/// The program with everything, stripped in several ways, gives the same frames.
#[test]
fn separate_debug_files() {
    let Some(bench) = Bench::new(&["gcc", "objcopy", "nm"]) else { return };
    bench.write("a.c", C);
    bench.run("gcc", &["-O2", "-g", "-Wl,--build-id", "a.c", "-o", "whole"]);
    let whole = bench.path("whole");
    let addresses = addresses(&whole, &["work", "main"], 1);
    let strip = |frames: Vec<ResolvedFrame>| {
        frames.into_iter().map(|it| ResolvedFrame { module: String::new(), ..it }).collect()
    };
    let frames = |path: &Path, folder: &Path| -> Vec<Vec<ResolvedFrame>> {
        let mut symbolizer = symbolizer(folder);
        addresses.iter().map(|offset| strip(symbolizer.resolve(&module(path), *offset))).collect()
    };
    let nowhere = Path::new("/nonexistent");
    let expected = frames(&whole, nowhere);
    assert!(expected.iter().all(|frames| frames[0].line.is_some()));

    bench.run("objcopy", &["--only-keep-debug", "whole", "a.debug"]);
    bench.run("objcopy", &["--strip-all", "--add-gnu-debuglink=a.debug", "whole", "a"]);
    assert_eq!(frames(&bench.path("a"), nowhere), expected, "debug link beside the program");

    std::fs::create_dir(bench.path(".debug")).expect("folder");
    std::fs::rename(bench.path("a.debug"), bench.path(".debug/a.debug")).expect("rename");
    assert_eq!(frames(&bench.path("a"), nowhere), expected, "debug link in .debug");

    let store = bench.path("store");
    let below = store.join(bench.path("").strip_prefix("/").expect("absolute"));
    std::fs::create_dir_all(&below).expect("folder");
    std::fs::rename(bench.path(".debug/a.debug"), below.join("a.debug")).expect("rename");
    assert_eq!(frames(&bench.path("a"), &store), expected, "debug link in the debug folder");

    let id: String = build_id(&whole).expect("build id").iter().map(|byte| format!("{byte:02x}")).collect();
    let by_id = store.join(".build-id").join(&id[..2]);
    std::fs::create_dir_all(&by_id).expect("folder");
    std::fs::rename(below.join("a.debug"), by_id.join(format!("{}.debug", &id[2..]))).expect("rename");
    bench.run("objcopy", &["--strip-all", "whole", "b"]);
    assert_eq!(frames(&bench.path("b"), &store), expected, "build id");

    // Without a debug file: the dynamic symbols only, here none.
    let bare = frames(&bench.path("b"), nowhere);
    assert!(
        bare.iter()
            .all(|frames| frames.len() == 1 && frames[0].function.is_none() && frames[0].line.is_none())
    );
    // Without debug information: the names.
    bench.run("objcopy", &["--strip-debug", "whole", "c"]);
    let names = frames(&bench.path("c"), nowhere);
    assert!(names.iter().all(|frames| matches!(frames[0].function.as_deref(), Some("work" | "main"))));
}

#[test]
fn a_debug_file_of_another_build_is_not_used() {
    let Some(bench) = Bench::new(&["gcc", "objcopy", "nm"]) else { return };
    bench.write("a.c", C);
    for id in ["--build-id", "--build-id=none"] {
        bench.run("gcc", &["-O2", "-g", &format!("-Wl,{id}"), "a.c", "-o", "whole"]);
        bench.run("objcopy", &["--only-keep-debug", "whole", "a.debug"]);
        bench.run("objcopy", &["--strip-all", "--add-gnu-debuglink=a.debug", "whole", "a"]);
        let at = addresses(&bench.path("whole"), &["work"], 1)[0];
        assert!(symbolizer(Path::new("/x")).resolve(&module(&bench.path("a")), at)[0].line.is_some(), "{id}");
        bench.run("gcc", &["-O1", "-g", &format!("-Wl,{id}"), "a.c", "-o", "other"]);
        bench.run("objcopy", &["--only-keep-debug", "other", "a.debug"]);
        assert!(symbolizer(Path::new("/x")).resolve(&module(&bench.path("a")), at)[0].line.is_none(), "{id}");
    }
}

#[test]
fn a_rebuilt_module_is_noticed() {
    let Some(bench) = Bench::new(&["gcc", "nm"]) else { return };
    bench.write("a.c", C);
    bench.run("gcc", &["-O2", "-g", "-Wl,--build-id", "a.c", "-o", "a"]);
    let path = bench.path("a");
    let recorded = Module { build_id: build_id(&path).expect("build id"), ..module(&path) };
    let at = addresses(&path, &["work"], 1)[0];
    assert_eq!(symbolizer(Path::new("/x")).resolve(&recorded, at)[0].function.as_deref(), Some("work"));
    bench.run("gcc", &["-O1", "-g", "-Wl,--build-id", "a.c", "-o", "a"]);
    let mut after = symbolizer(Path::new("/x"));
    let frames = after.resolve(&recorded, at);
    assert_eq!(frames, [ResolvedFrame { module: "a".into(), offset: at, ..ResolvedFrame::default() }]);
    let expected = format!(
        "{} was rebuilt since the recording (build id differs): its lines are left out",
        path.display()
    );
    assert_eq!(after.notes(), [expected]);
    std::fs::remove_file(&path).expect("removed");
    let mut missing = symbolizer(Path::new("/x"));
    assert_eq!(missing.resolve(&recorded, at).len(), 1);
    assert!(missing.notes()[0].contains("cannot be read"), "{:?}", missing.notes());
}

#[test]
fn split_units() {
    let Some(bench) = Bench::new(&["gcc", "addr2line", "nm"]) else { return };
    bench.write("a.c", C);
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        bench.run("gcc", &["-O2", version, "a.c", "-o", "whole"]);
        bench.run("gcc", &["-O2", version, "-gsplit-dwarf", "a.c", "-o", "split"]);
        let mut symbolizer = symbolizer(Path::new("/x"));
        for at in addresses(&bench.path("whole"), &["work", "main"], 1) {
            let whole = symbolizer.resolve(&module(&bench.path("whole")), at);
            let split = symbolizer.resolve(&module(&bench.path("split")), at);
            let names =
                |frames: &[ResolvedFrame]| frames.iter().map(|it| it.function.clone()).collect::<Vec<_>>();
            assert_eq!((places(&split), names(&split)), (places(&whole), names(&whole)), "{version} {at:#x}");
        }
        assert_eq!(symbolizer.notes(), Vec::<String>::new());
        std::fs::remove_file(bench.path("split")).expect("removed");
    }
}

#[test]
fn units_that_share_debug_information() {
    let Some(bench) = Bench::new(&["gcc", "dwz", "nm"]) else { return };
    bench.write("a.c", C);
    bench.write("b.c", &C.replace("int main", "int other_main").replace("int work", "int other_work"));
    bench.run("gcc", &["-O2", "-g", "-Wl,--build-id", "a.c", "b.c", "-o", "whole"]);
    bench.run("gcc", &["-O2", "-g", "-Wl,--build-id", "a.c", "b.c", "-o", "one"]);
    bench.run("gcc", &["-O2", "-g", "-Wl,--build-id", "b.c", "a.c", "-o", "two"]);
    bench.run("dwz", &["-m", "shared", "one", "two"]);
    let mut symbolizer = symbolizer(Path::new("/x"));
    for at in addresses(&bench.path("whole"), &["work", "main"], 1) {
        let whole = symbolizer.resolve(&module(&bench.path("whole")), at);
        let one = symbolizer.resolve(&module(&bench.path("one")), at);
        let names =
            |frames: &[ResolvedFrame]| frames.iter().map(|it| it.function.clone()).collect::<Vec<_>>();
        assert_eq!((places(&one), names(&one)), (places(&whole), names(&whole)), "{at:#x}");
    }
}

#[test]
fn system_libraries_are_libraries() {
    let path = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(path) = path else {
        println!("skipped: no libc.so.6");
        return;
    };
    let Some(_) = Bench::new(&["nm"]) else { return };
    let output = Command::new("nm").args(["-D", path]).output().expect("nm runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains(" malloc@")).expect("libc has malloc");
    let at = u64::from_str_radix(line.split(' ').next().expect("address"), 16).expect("address");
    let frames = Symbolizer::default().resolve(&module(Path::new(path)), at + 4);
    let last = frames.last().expect("never empty");
    assert!(last.is_library && last.module == "libc.so.6");
    assert!(last.function.as_deref().is_some_and(|name| name.contains("malloc")), "{last:?}");
}

#[test]
fn places_without_a_file() {
    let mut symbolizer = Symbolizer::default();
    let vdso = Module { path: "[vdso]".into(), ..Module::default() };
    let frames = [
        Frame::Native { module: ModuleId(1), offset: 5 },
        Frame::Native { module: ModuleId(0), offset: 7 },
        Frame::Native { module: ModuleId(9), offset: 8 },
        Frame::Native { module: ModuleId(1), offset: 5 },
    ];
    let resolved = symbolizer.resolve_all(&[Module::default(), vdso], &frames);
    let bare = |module: &str, offset, is_library| ResolvedFrame {
        module: module.into(),
        offset,
        is_library,
        ..Default::default()
    };
    assert_eq!(resolved[0], [bare("[vdso]", 5, true)]);
    assert_eq!(resolved[1], [bare("", 7, false)]);
    assert_eq!(resolved[2], [bare("", 8, false)]);
    assert_eq!(resolved[3], resolved[0]);
    assert_eq!(symbolizer.notes(), Vec::<String>::new());
}

#[test]
fn programs_are_inspected() {
    use heapwise_symbols::{ExecutableKind, Libc, Native, inspect};
    use std::os::unix::fs::PermissionsExt;
    let Some(bench) = Bench::new(&["gcc"]) else { return };
    bench.write("a.c", C);
    let native = |flags: &[&str]| -> Native {
        bench.run("gcc", &[flags, &["-O1", "a.c", "-o", "a"]].concat());
        match inspect(&bench.path("a")).expect("readable").kind {
            ExecutableKind::Native(native) => native,
            other => panic!("{other:?}"),
        }
    };
    let pie = native(&["-pie", "-fPIE"]);
    assert!(
        pie.is_pie && !pie.is_static && pie.interpreter.as_deref().is_some_and(|path| path.contains("ld"))
    );
    assert_eq!(
        pie.libc,
        if pie.interpreter.as_deref().is_some_and(|path| path.contains("musl")) {
            Libc::Musl
        } else {
            Libc::Glibc
        }
    );
    assert_eq!(pie.bits, 8 * size_of::<usize>() as u8);
    let fixed = native(&["-no-pie"]);
    assert!(!fixed.is_pie && !fixed.is_static);
    let fixed = native(&["-static"]);
    assert!(!fixed.is_pie && fixed.is_static && fixed.interpreter.is_none());
    let fixed = native(&["-static-pie", "-fPIE"]);
    assert!(fixed.is_pie && fixed.is_static);

    assert!(!inspect(&bench.path("a")).expect("readable").needs_privilege);
    let set_user_id = std::fs::Permissions::from_mode(0o4755);
    std::fs::set_permissions(bench.path("a"), set_user_id).expect("own file");
    assert!(inspect(&bench.path("a")).expect("readable").needs_privilege);

    bench.write("script", "#!/usr/bin/env python3\nprint()\n");
    let script = inspect(&bench.path("script")).expect("readable").kind;
    assert_eq!(
        script,
        ExecutableKind::Script { interpreter: "/usr/bin/env".into(), argument: Some("python3".into()) }
    );
    assert_eq!(inspect(&bench.path("a.c")).expect("readable").kind, ExecutableKind::Other);
    assert!(inspect(&bench.path("missing")).is_err() && inspect(&bench.path("")).is_err());
}
