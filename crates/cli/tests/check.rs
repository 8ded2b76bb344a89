//! `heapwise check` from outside: the rules' pages hold, and options, formats and exit codes are the contract's.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::{finish, heapwise, root};
use serde_json::Value;

fn check(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(heapwise());
    command.env("XDG_CACHE_HOME", dir.join(".cache"));
    finish(command.arg("check").args(args).current_dir(dir), b"", Duration::from_secs(60))
}

fn findings(dir: &Path) -> Vec<(u64, String)> {
    let output = check(dir, &["--format", "json", "--fail-on", "never"]);
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let list = document["findings"].as_array().unwrap();
    let of = |it: &Value| {
        (it["location"]["line"].as_u64().unwrap_or(0), it["rule"].as_str().unwrap_or_default().to_owned())
    };
    let mut found: Vec<_> = list.iter().map(of).collect();
    found.sort();
    found
}

/// Found by `run` only: what the page shows happens at run time.
const RUN_ONLY: [(&str, &str); 3] =
    [("unbounded-growth", "c"), ("temporary-allocations", "c"), ("duplicate-content", "javascript")];

/// The code blocks of a section of a page, with their languages.
fn blocks<'a>(page: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
    let Some(rest) = page.split_once(&format!("\n## {section}\n")).map(|it| it.1) else { return Vec::new() };
    let section = rest.split("\n## ").next().unwrap_or(rest);
    section.split("```").skip(1).step_by(2).filter_map(|it| it.split_once('\n')).collect()
}

#[test]
fn pages_hold() {
    let dir = tempfile::tempdir().unwrap();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for page in fs::read_dir(root().join("crates/report/src/pages")).unwrap() {
        let page = page.unwrap().path();
        let rule = page.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&page).unwrap();
        for section in ["Bad", "Good"] {
            for (language, code) in blocks(&text, section) {
                if RUN_ONLY.contains(&(rule.as_str(), language)) {
                    continue;
                }
                let end = match language {
                    "python" => "py",
                    "javascript" => "js",
                    "typescript" => "ts",
                    other => other,
                };
                let folder = dir.path().join(format!("{rule}-{section}-{end}"));
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join(format!("a.{end}")), code).unwrap();
                let mut expected = Vec::new();
                for (line, number) in code.lines().zip(1u64..) {
                    let rules = line.split("expect: ").skip(1).filter_map(|it| it.split_whitespace().next());
                    expected.extend(rules.map(|it| (number, it.to_owned())));
                }
                expected.sort();
                let found = findings(&folder);
                if found != expected {
                    wrong.push(format!(
                        "{rule}, {section}, {language}: expected {expected:?}, found {found:?}"
                    ));
                }
                checked += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 40, "{checked}");
}

const LEAK: &str = "#include <stdlib.h>\n\nint work(void) {\n    char *p = malloc(10);\n    if (p == NULL)\n        return 1;\n    p[0] = 0;\n    p = NULL;\n    return 0;\n}\n";

#[test]
fn exit_codes_formats_and_ignores() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("a.c"), LEAK).unwrap();
    let code = |args: &[&str]| check(dir, args).status.code();
    let text = |args: &[&str]| String::from_utf8(check(dir, args).stdout).unwrap();
    assert_eq!(code(&[]), Some(1));
    assert_eq!(code(&["a.c"]), Some(1));
    assert_eq!(code(&["--fail-on", "never"]), Some(0));
    assert_eq!(code(&["--ignore", "memory-leak"]), Some(0));
    assert_eq!(code(&["--select", "double-free"]), Some(0));
    assert_eq!(code(&["--exclude", "a.c"]), Some(0));
    assert_eq!(code(&["missing"]), Some(2));
    assert_eq!(code(&["--write-baseline", "known.txt", "--fail-on", "never"]), Some(0));
    assert_eq!(code(&["--baseline", "known.txt"]), Some(0));
    assert!(text(&[]).contains("a.c:4:15 in work"), "{}", text(&[]));
    assert!(
        text(&["--format", "github"]).starts_with("::error file=a.c,line=4"),
        "{}",
        text(&["--format", "github"])
    );
    let sarif: Value = serde_json::from_str(&text(&["--format", "sarif"])).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "memory-leak");
    let document: Value = serde_json::from_str(&text(&["--format", "json"])).unwrap();
    assert_eq!(document["summary"]["files"], 1);
    assert_eq!(document["summary"]["lines"], 11);
    assert!(document["summary"].get("program").is_none());
    assert_eq!(document["findings"][0]["engine"], "check");
    assert_eq!(document["findings"][0]["location"]["path"], "a.c");
    // Comments on the line, alone above it, and one that ignores nothing.
    for (from, to) in [
        ("malloc(10);", "malloc(10); // heapwise: ignore[memory-leak] on purpose"),
        ("    char *p", "    // heapwise: ignore[memory-leak] on purpose\n    char *p"),
    ] {
        fs::write(dir.join("a.c"), LEAK.replace(from, to)).unwrap();
        assert_eq!(code(&[]), Some(0), "{to}");
    }
    fs::write(dir.join("a.c"), format!("{LEAK}// heapwise: ignore[double-free]\n")).unwrap();
    assert!(text(&[]).contains("a.c:11: this comment ignores nothing"), "{}", text(&[]));
}

/// Whatever the bytes are, there is an end and a status.
#[test]
fn hostile_sources() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    for end in ["c", "cpp", "py", "js", "ts"] {
        write(&format!("empty.{end}"), b"");
        write(&format!("nul.{end}"), b"int x\0 = 1;\n\0\0");
        write(&format!("latin.{end}"), b"/* caf\xe9 */ int x = 1;\n");
        write(&format!("utf16.{end}"), b"\xff\xfei\0n\0t\0 \0x\0;\0\n\0");
        write(&format!("long.{end}"), "x = 1 + 2; ".repeat(900_000).as_bytes());
        write(&format!("brackets.{end}"), format!("x = {};\n", deep("(", ")")).as_bytes());
        write(&format!("braces.{end}"), deep("{", "}").as_bytes());
        write(
            &format!("noise.{end}"),
            &(0..200_000u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>(),
        );
    }
    write("blocks.c", format!("int main(void) {}", deep("{", ";}")).as_bytes());
    write(
        "nested.py",
        (0..3000).map(|it| format!("{}if x:\n", " ".repeat(it))).collect::<String>().as_bytes(),
    );
    write("bad.ipynb", b"{\"cells\": [{\"cell_type\": \"code\", \"source\": 7}]}");
    std::os::unix::fs::symlink(dir, dir.join("loop")).unwrap();
    let output = check(dir, &["--fail-on", "never"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn threads_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for at in 0..40 {
        // Calls across files, deep and in circles, so that what is ready first differs.
        let (next, other) = ((at * 7 + 1) % 40, (at * 3 + 2) % 40);
        let code = format!(
            "#include <stdlib.h>\nvoid f{next}(char *p, int n);\nvoid f{other}(char *p, int n);\n\
             void f{at}(char *p, int n) {{\n  char *q = malloc(10);\n  if (n == {at}) {{ free(p); return; }}\n\
             \x20 if (n > 3) f{next}(q, n - 1); else f{other}(q, n);\n}}\n\
             int g{at}(void) {{ char *p = malloc(4); if (!p) return 1; f{at}(p, {other}); p[4] = 0; return *p; }}\n"
        );
        fs::write(dir.join(format!("f{at}.c")), code).unwrap();
        let code =
            format!("import f{next}\nseen = []\ndef add(x):\n    seen.append(x)\n    f{next}.add(x)\n");
        fs::write(dir.join(format!("f{at}.py")), code).unwrap();
    }
    let outputs = ["1", "2", "7"].map(|jobs| {
        let output = check(dir, &["--format", "json", "--fail-on", "never", "--no-cache", "--jobs", jobs]);
        String::from_utf8(output.stdout).unwrap()
    });
    assert!(outputs[0].matches("\"rule\"").count() >= 30, "{}", outputs[0]);
    assert!(outputs[0] == outputs[1] && outputs[1] == outputs[2]);
}

#[test]
fn compile_commands_and_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for folder in ["src", "api", "build"] {
        fs::create_dir(dir.join(folder)).unwrap();
    }
    fs::write(dir.join("api/size.h"), "#define SIZE 8\nvoid *pool_get(int n);\nvoid pool_put(void *p);\n")
        .unwrap();
    let code = "#include <size.h>\nint main(void) {\n  char *p = pool_get(SIZE + MORE);\n  p[9] = 1;\n\
                \x20 char b[SIZE];\n  b[SIZE + MORE - 2] = 1;\n  return b[SIZE + MORE - 2];\n}\n";
    fs::write(dir.join("src/a.c"), code).unwrap();
    let rules = || findings(dir).into_iter().map(|it| it.1).collect::<Vec<_>>();
    assert_eq!(rules(), Vec::<String>::new(), "neither SIZE nor MORE is known");
    let commands =
        r#"[{"directory": ".", "file": "../src/a.c", "command": "cc -I../api -DMORE=2 -c ../src/a.c"}]"#;
    fs::write(dir.join("build/compile_commands.json"), commands).unwrap();
    assert_eq!(rules(), ["stack-buffer-overflow"; 2]);
    let other = dir.join("other.json");
    fs::write(&other, commands.replace("=2", "=1")).unwrap();
    let output = check(dir, &["--compile-commands", other.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    fs::write(&other, "[{").unwrap();
    assert_eq!(check(dir, &["-p", "other.json"]).status.code(), Some(2));

    let config = |text: &str| fs::write(dir.join("heapwise.toml"), text).unwrap();
    config(
        "[[function]]\nnames = [\"pool_get\"]\nallocates = \"pool\"\nbytes = \"a0\"\n\
         [[function]]\nnames = [\"pool_put\"]\nfrees = { family = \"pool\" }\n",
    );
    assert_eq!(rules(), ["memory-leak", "stack-buffer-overflow", "stack-buffer-overflow"]);
    config("[check.per-file]\n\"src/*.c\" = [\"stack-buffer-overflow\"]\n");
    assert_eq!(rules(), Vec::<String>::new());
}

#[test]
fn kept_results_are_those_of_a_check() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("a.c"), format!("#include \"late.h\"\n{LEAK}")).unwrap();
    fs::write(dir.join("b.py"), "seen = []\ndef add(x):\n    seen.append(x)\n").unwrap();
    let run = |args: &[&str]| {
        let output = check(dir, &[&["--format", "json", "--fail-on", "never"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // Of the whole, and of each function.
    let entries = || -> Vec<_> {
        let found = fs::read_dir(dir.join(".cache/heapwise")).into_iter().flatten();
        let mut found: Vec<_> = found.map(|it| it.unwrap().path()).collect();
        found.sort_by_key(|it| it.extension().map(ToOwned::to_owned));
        found
    };
    let fresh = run(&["--no-cache"]);
    assert!(fresh.contains("memory-leak"), "{fresh}");
    assert_eq!(entries().len(), 0);
    assert_eq!(run(&[]), fresh);
    let [result, functions, modules] = &entries()[..] else { panic!("three entries") };
    assert_eq!(run(&[]), fresh);
    for entry in [result, functions, modules] {
        let bytes = fs::read(entry).unwrap();
        for damage in 0..6 {
            let mut damaged = bytes.clone();
            match damage {
                0 => damaged.truncate(bytes.len() / 2),
                1 => damaged.truncate(3),
                2 => damaged.clear(),
                3 => damaged[0] ^= 1,
                4 => damaged[60] ^= 1,
                _ => damaged.extend(b"more"),
            }
            if entry != result {
                fs::remove_file(result).unwrap();
            }
            fs::write(entry, damaged).unwrap();
            assert_eq!(run(&[]), fresh, "damage {damage}");
            assert_eq!(fs::read(entry).unwrap(), bytes, "damage {damage}: written anew");
        }
    }
    // What a result depends on: a source, a header that was not there, options, and which files there are.
    fs::write(dir.join("late.h"), "#define malloc(n) ((char *)0)\n").unwrap();
    assert!(!run(&[]).contains("memory-leak"));
    fs::remove_file(dir.join("late.h")).unwrap();
    assert_eq!(run(&[]), fresh);
    fs::write(dir.join("a.c"), LEAK.replace("malloc(10)", "0")).unwrap();
    assert!(!run(&[]).contains("memory-leak"));
    assert_eq!(run(&["b.py"]), run(&["b.py", "--no-cache"]));
    assert_eq!(run(&["--ignore", "unbounded-growth"]), run(&["--ignore", "unbounded-growth", "--no-cache"]));
    // A place that cannot be used changes nothing.
    fs::remove_dir_all(dir.join(".cache")).unwrap();
    fs::write(dir.join(".cache"), "").unwrap();
    assert_eq!(run(&[]), run(&["--no-cache"]));
}

#[test]
fn a_folder_has_the_same_findings_from_wherever_it_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("project/src/shop");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join("__init__.py"), "").unwrap();
    fs::write(project.join("store.py"), "CACHE = {}\n").unwrap();
    let handler = "from shop.store import CACHE\n\n\nclass Page:\n    def handle_request(self, request):\n        CACHE[request.id] = request\n";
    fs::write(project.join("page.py"), handler).unwrap();
    let absolute = dir.path().join("project");
    for (at, path) in
        [("project", "."), ("", "project"), ("project/src/shop", "."), ("", absolute.to_str().unwrap())]
    {
        let output =
            check(&dir.path().join(at), &[path, "--format", "json", "--fail-on", "never", "--no-cache"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = document["findings"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{at} {path}");
        assert_eq!(found[0]["rule"], "unbounded-growth");
        assert_eq!(found[0]["location"]["function"], "shop.page.Page.handle_request", "{at} {path}");
    }
}
