//! `heapwise check --fix` from outside: what it mends, that what it leaves compiles, and what it never touches.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::{find, finish, heapwise};
use serde_json::Value;

/// Programs with a bug each: rule, file name, source, and what has to stand in the mended source.
const PROGRAMS: &[(&str, &str, &str, &str)] = &[
    (
        "memory-leak",
        "paths.c",
        "#include <stdlib.h>\n#include <string.h>\n\nint work(const char *s, int n)\n{\n    char *p = strdup(s);\n    if (p == NULL)\n        return 1;\n    if (n > 3)\n        return -1; /* early */\n    while (n < 7) {\n        n += p[0];\n        if (n == 5)\n            break;\n    }\n    return 0;\n}\n",
        "    if (n > 3) {\n        free(p);\n        return -1; /* early */\n    }\n",
    ),
    (
        "memory-leak",
        "member.c",
        "#include <stdlib.h>\n#include <string.h>\n\nstruct name { char *first; char *last; };\n\nint make(struct name **out, const char *a, const char *b)\n{\n    struct name *n = malloc(sizeof *n);\n    if (!n)\n        return -1;\n    n->first = strdup(a);\n    if (!n->first) {\n        free(n);\n        return -1;\n    }\n    n->last = strdup(b);\n    if (!n->last) {\n        free(n);\n        return -1;\n    }\n    *out = n;\n    return 0;\n}\n\n",
        "        free(n->first);\n        free(n);\n        return -1;\n",
    ),
    (
        "memory-leak",
        "record.c",
        "#include <stdlib.h>\n\nstruct name { char *first; };\n\nint work(int n)\n{\n    struct name m;\n    m.first = malloc(10);\n    if (!m.first)\n        return -1;\n    m.first[0] = 1;\n    if (n > 3)\n        return m.first[n - n];\n    free(m.first);\n    return 0;\n}\n",
        "        int result = m.first[n - n];\n        free(m.first);\n        return result;\n",
    ),
    (
        "memory-leak",
        "given.c",
        "#include <stdlib.h>\n#include <string.h>\nstruct name { char *first; char *last; };\nvoid keep(struct name *n);\nstruct name *a(const char *s, int n)\n{\n    struct name *p = malloc(sizeof *p);\n    if (!p) return NULL;\n    p->first = strdup(s);\n    if (n > 3) { free(p); return NULL; }\n    if (n > 2) { free(p->first); free(p); return NULL; }\n    p->last = strdup(s);\n    if (!p->last) goto fail;\n    if (n > 1) { keep(p); return NULL; }\n    return p;\nfail:\n    free(p);\n    return NULL;\n}\n",
        "    if (!p->last) { free(p->first); goto fail; }\n    if (n > 1) { keep(p); return NULL; }\n    return p;\n",
    ),
    (
        "memory-leak",
        "result.c",
        "#include <stdlib.h>\n#include <string.h>\n\nstatic size_t length(const char *s)\n{\n    char *copy = strdup(s);\n    if (!copy)\n        return 0;\n    return strlen(copy);\n}\n\nint main(void) { return (int)length(\"a\"); }\n",
        "    size_t result = strlen(copy);\n    free(copy);\n    return result;\n",
    ),
    (
        "memory-leak",
        "conditional.c",
        "#include <stdio.h>\n#include <stdlib.h>\n\nvoid work(int n)\n{\n    char *p;\n    if (n > 3) {\n        p = calloc(1, 10);\n        if (!p)\n            return;\n        puts(p);\n    }\n    puts(\"end\");\n    if (n > 3)\n        puts(p);\n}\n",
        "free(p);",
    ),
    (
        "memory-leak",
        "realloc.c",
        "#include <stdlib.h>\n\nint grow(void)\n{\n    char *p = malloc(10);\n    if (!p)\n        return 1;\n    p = realloc(p, 20);\n    if (!p)\n        return 1;\n    p[15] = 1;\n    free(p);\n    return 0;\n}\n",
        "if (grown == NULL) free(p);",
    ),
    (
        "memory-leak",
        "object.cpp",
        "#include <cstdio>\n\nint work(int n)\n{\n    int *p = new int[5]();\n    if (n > 3)\n        return p[1];\n    std::printf(\"%d\\n\", p[0]);\n    return 0;\n}\n",
        "delete[] p;",
    ),
    (
        "resource-leak",
        "stream.c",
        "#include <stdio.h>\n\nint first(const char *path)\n{\n    FILE *f = fopen(path, \"r\");\n    if (!f)\n        return -1;\n    int c = fgetc(f);\n    if (c < 0)\n        return -1;\n    fclose(f);\n    return c;\n}\n",
        "    if (c < 0) {\n        fclose(f);\n        return -1;\n    }\n",
    ),
    (
        "resource-leak",
        "descriptor.c",
        "#include <fcntl.h>\n#include <unistd.h>\n\nlong first(const char *path)\n{\n    char byte = 0;\n    int fd = open(path, O_RDONLY);\n    if (fd < 0)\n        return -1;\n    return read(fd, &byte, 1) + byte;\n}\n",
        "    close(fd);\n    return result;\n",
    ),
    (
        "double-free",
        "twice.c",
        "#include <stdlib.h>\n\nvoid work(int n)\n{\n    char *p = malloc(10);\n    if (n > 3)\n        free(p);\n    free(p);\n}\n",
        "    if (n > 3) {\n        free(p);\n        p = NULL;\n    }\n",
    ),
    (
        "invalid-free",
        "stack.c",
        "#include <stdlib.h>\n#include <stdio.h>\n\nvoid work(void)\n{\n    char text[10] = \"a\";\n    puts(text);\n    free(text);\n}\n",
        "    puts(text);\n}\n",
    ),
    (
        "mismatched-free",
        "array.cpp",
        "#include <cstdio>\n\nvoid work()\n{\n    int *p = new int[10]();\n    std::printf(\"%d\\n\", p[0]);\n    delete p;\n}\n",
        "delete[] p;",
    ),
    (
        "overlapping-copy",
        "overlap.c",
        "#include <stdio.h>\n#include <string.h>\n\nvoid work(void)\n{\n    char text[20] = \"abcdefghij\";\n    memcpy(text + 2, text, 8);\n    puts(text);\n}\n",
        "memmove(text + 2, text, 8);",
    ),
    (
        "undersized-allocation",
        "sizeof.c",
        "#include <stdlib.h>\n\nstruct point { double x, y, z; };\n\nvoid work(void)\n{\n    struct point *p = malloc(sizeof(p));\n    free(p);\n}\n",
        "malloc(sizeof(*p))",
    ),
    (
        "heap-overflow",
        "terminator.c",
        "#include <stdlib.h>\n#include <string.h>\n#include <stdio.h>\n\nvoid work(void)\n{\n    const char *s = \"text\";\n    char *p = malloc(strlen(s));\n    if (!p)\n        return;\n    strcpy(p, s);\n    puts(p);\n    free(p);\n}\n",
        "malloc(strlen(s) + 1)",
    ),
    (
        "stack-buffer-overflow",
        "bound.c",
        "#include <stdio.h>\n\nint work(void)\n{\n    int a[10];\n    for (int i = 0; i <= 10; i++)\n        a[i] = i;\n    printf(\"%d\\n\", a[3]);\n    return 0;\n}\n",
        "i < 10",
    ),
    (
        "uninitialized-read",
        "first.c",
        "#include <stdio.h>\n\nvoid work(void)\n{\n    int n;\n    if (n > 3)\n        puts(\"big\");\n}\n",
        "int n = 0;",
    ),
    (
        "null-dereference",
        "unchecked.c",
        "#include <stdlib.h>\n\nvoid work(void)\n{\n    char *p = malloc(10);\n    p[0] = 'a';\n    free(p);\n}\n",
        "if (p == NULL) abort();",
    ),
    (
        "dangling-stack-address",
        "static.c",
        "#include <string.h>\n\nchar *text(void)\n{\n    char buffer[10];\n    strcpy(buffer, \"text\");\n    return buffer;\n}\n",
        "static char buffer[10];",
    ),
    (
        "resource-leak",
        "lines.py",
        "def first(path):\n    f = open(path)\n    text = '''a\nb'''\n    line = f.readline()\n    if not line:\n        return None\n    f.close()\n    return line + text\n",
        "    with open(path) as f:\n        text = '''a\nb'''\n        line = f.readline()\n        if not line:\n            return None\n    return line + text\n",
    ),
    (
        "resource-leak",
        "rows.py",
        "import sqlite3\n\n\ndef rows(path):\n    db = sqlite3.connect(path)\n    cursor = db.cursor()\n    if cursor is None:\n        return 0\n    db.commit()\n    db.close()\n    return 1\n",
        "    try:\n        cursor = db.cursor()\n        if cursor is None:\n            return 0\n        db.commit()\n    finally:\n        db.close()\n    return 1\n",
    ),
    (
        "eager-sequence",
        "walk.py",
        "def show(path):\n    with open(path) as f:\n        for line in f.readlines():\n            print(line)\n",
        "        for line in f:\n",
    ),
    (
        "retained-object",
        "effect.mjs",
        "import { useEffect } from 'react';\n\nexport function useSize(set) {\n  useEffect(() => {\n    const onResize = () => set(window.innerWidth);\n    window.addEventListener('resize', onResize);\n  }, []);\n}\n",
        "    window.addEventListener('resize', onResize);\n    return () => window.removeEventListener('resize', onResize);\n  }, []);\n",
    ),
    (
        "retained-object",
        "clock.mjs",
        "import { useEffect } from 'react';\n\nexport function useClock(set) {\n  useEffect(() => {\n    setInterval(() => set(Date.now()), 1000);\n  }, []);\n}\n",
        "    const timer = setInterval(() => set(Date.now()), 1000);\n    return () => clearInterval(timer);\n  }, []);\n",
    ),
    (
        "retained-object",
        "widget.mjs",
        "export class Widget extends HTMLElement {\n  connectedCallback() {\n    window.addEventListener('resize', () => this.layout(), true);\n  }\n  disconnectedCallback() {\n    this.gone = true;\n  }\n  layout() {}\n}\n",
        "    this.listener = () => this.layout();\n    window.addEventListener('resize', this.listener, true);\n  }\n  disconnectedCallback() {\n    window.removeEventListener('resize', this.listener, true);\n    this.gone = true;\n",
    ),
    (
        "retained-object",
        "poller.mjs",
        "export class Poller extends HTMLElement {\n  connectedCallback() {\n    this.poll = setInterval(() => this.update(), 1000);\n  }\n  disconnectedCallback() {}\n  update() {}\n}\n",
        "  disconnectedCallback() { clearInterval(this.poll); }\n",
    ),
    (
        "resource-leak",
        "mapping.c",
        "#include <sys/mman.h>\n#include <stddef.h>\n\nint sum(int fd, size_t length)\n{\n    unsigned char *p = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);\n    int total = 0;\n    if (p == MAP_FAILED)\n        return -1;\n    for (size_t i = 0; i < length; i++) {\n        if (p[i] == 0)\n            return total;\n        total += p[i];\n    }\n    munmap(p, length);\n    return total;\n}\n",
        "        if (p[i] == 0) {\n            munmap(p, length);\n            return total;\n        }\n",
    ),
    (
        "resource-leak",
        "lock.c",
        "#include <pthread.h>\n#include <stdio.h>\n\nstatic pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;\nstatic int total;\n\nint add(int n)\n{\n    pthread_mutex_lock(&lock);\n    if (n < 0)\n        return -1;\n    total += n;\n    if (total > 100) {\n        puts(\"many\");\n        return 1;\n    }\n    pthread_mutex_unlock(&lock);\n    return 0;\n}\n",
        "    if (n < 0) {\n        pthread_mutex_unlock(&lock);\n        return -1;\n    }\n",
    ),
    (
        "racy-lazy-init",
        "pool.py",
        "import threading\n\n_pool = None\n\n\ndef pool():\n    global _pool\n    if _pool is None:\n        _pool = object()\n    return _pool\n\n\ndef main():\n    for _ in range(4):\n        threading.Thread(target=pool, daemon=True).start()\n",
        "_pool = None\n_pool_lock = threading.RLock()\n\n\ndef pool():\n    global _pool\n    with _pool_lock:\n        if _pool is None:\n            _pool = object()\n    return _pool\n",
    ),
    (
        "retained-object",
        "report.py",
        "import functools\n\n\nclass Report:\n    def __init__(self, rows):\n        self.rows = rows\n\n    @functools.lru_cache(maxsize=128)\n    def total(self):\n        return sum(self.rows)\n",
        "        self.rows = rows\n        self.total = functools.lru_cache(maxsize=128)(self.total)\n\n    def total(self):\n",
    ),
    (
        "unbounded-growth",
        "imported.py",
        "class Log:\n    def __init__(self):\n        self.lines = []\n\n    def add(self, line):\n        self.lines.append(line)\n        for it in self.lines:\n            print(it, len(self.lines), self.lines[-1])\n\n\nimport sys\n\n\ndef main():\n    log = Log()\n    while True:\n        log.add(input())\n",
        "import collections\nimport sys\n",
    ),
    (
        "unbounded-growth",
        "bounded.py",
        "import collections\n\n\nclass Log:\n    def __init__(self):\n        self.lines = []\n\n    def add(self, line):\n        self.lines.append(line)\n        for it in self.lines:\n            print(it, len(self.lines), self.lines[-1])\n\n\ndef main():\n    log = Log()\n    while True:\n        log.add(input())\n",
        "        self.lines = collections.deque(maxlen=1000)\n",
    ),
    (
        "unbounded-growth",
        "sliced.py",
        "import json\n\n\nclass Log:\n    def __init__(self):\n        self.lines = []\n\n    def add(self, line):\n        self.lines.append(line)\n        print(json.dumps(self.lines), self.lines[:3])\n\n\ndef main():\n    log = Log()\n    while True:\n        log.add(input())\n",
        "        self.lines.append(line)\n        del self.lines[:-1000]\n",
    ),
    (
        "unbounded-growth",
        "sizes.py",
        "class Log:\n    def __init__(self):\n        self.sizes = {}\n\n    def add(self, line):\n        self.sizes[line] = len(line)\n\n\ndef main():\n    log = Log()\n    while True:\n        log.add(input())\n",
        "        self.sizes[line] = len(line)\n        while len(self.sizes) > 1000:\n            del self.sizes[next(iter(self.sizes))]\n",
    ),
    (
        "unbounded-growth",
        "seen.py",
        "class Log:\n    def __init__(self):\n        self.seen = set()\n\n    def add(self, line):\n        if line not in self.seen:\n            self.seen.add(line)\n\n\ndef main():\n    log = Log()\n    while True:\n        log.add(input())\n",
        "            self.seen.add(line)\n            while len(self.seen) > 1000:\n                self.seen.pop()\n",
    ),
    (
        "unbounded-growth",
        "visits.js",
        "const http = require(\"http\");\n\nconst visits = [];\n\nhttp\n  .createServer((req, res) => {\n    visits.push(req.url);\n    res.end(String(visits.length));\n  })\n  .listen(8080);\n",
        "    visits.push(req.url);\n    if (visits.length > 1000) visits.shift();\n",
    ),
    (
        "unbounded-growth",
        "users.js",
        "const http = require(\"http\");\n\nconst visits = new Map();\n\nhttp\n  .createServer((req, res) => {\n    visits.set(req.url, req);\n    res.end(String(visits.size));\n  })\n  .listen(8080);\n",
        "    if (visits.size > 1000) visits.delete(visits.keys().next().value);\n",
    ),
];

fn check(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(heapwise());
    finish(command.arg("check").args(args).current_dir(dir), b"", Duration::from_secs(60))
}

/// Rules found, sorted.
fn rules(dir: &Path) -> Vec<String> {
    let output = check(dir, &["--format", "json", "--fail-on", "never"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = document["findings"].as_array().unwrap().iter();
    let mut rules: Vec<String> = list.map(|it| it["rule"].as_str().unwrap().to_owned()).collect();
    rules.sort();
    rules
}

/// What the language's compiler says; `None`: nothing, or it is not there.
fn complaint(file: &Path) -> Option<String> {
    let (program, args): (&str, &[&str]) = match file.extension()?.to_str()? {
        "c" => (
            "gcc",
            &["-std=c11", "-D_GNU_SOURCE", "-w", "-Werror=implicit-function-declaration", "-fsyntax-only"],
        ),
        "cpp" => ("g++", &["-w", "-fsyntax-only"]),
        "mjs" | "js" => ("node", &["--check"]),
        _ => ("python3", &["-m", "py_compile"]),
    };
    find(program)?;
    let output = Command::new(program).args(args).arg(file).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_fixable_rule_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (rule, name, source, expected) in PROGRAMS {
        let folder = dir.path().join(name.replace('.', "-"));
        fs::create_dir(&folder).unwrap();
        let file = folder.join(name);
        fs::write(&file, source).unwrap();
        if let Some(error) = complaint(&file) {
            wrong.push(format!("{name} is no program: {error}"));
        }
        let before = rules(&folder);
        if !before.iter().any(|it| it == rule) {
            wrong.push(format!("{name}: {rule} is not found, but {before:?}"));
            continue;
        }
        check(&folder, &["--unsafe-fixes", "--fail-on", "never"]);
        let mended = fs::read_to_string(&file).unwrap();
        let after = rules(&folder);
        if !mended.contains(expected) || after.iter().any(|it| it == rule || !before.contains(it)) {
            wrong.push(format!("{name}: found {after:?} in\n{mended}"));
        }
        if let Some(error) = complaint(&file) {
            wrong.push(format!("{name}: {error} in\n{mended}"));
        }
        check(&folder, &["--unsafe-fixes", "--fail-on", "never"]);
        if fs::read_to_string(&file).unwrap() != mended {
            wrong.push(format!("{name}: changed again"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const LEAK: &str = "#include <stdio.h>\n#include <stdlib.h>\n\nvoid work(void)\n{\n    char *p = calloc(1, 10);\n    if (p != NULL)\n        puts(p);\n}\n";

#[test]
fn files_are_changed_with_care() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (dir, outside) = (dir.path().join("inside"), dir.path().join("outside.c"));
    fs::create_dir(&dir).unwrap();
    let file = dir.join("a.c");
    // Line ends of DOS, a byte that is not UTF-8, and permissions stay.
    let source = format!("/* caf\u{e9} */\n{LEAK}").replace('\n', "\r\n");
    let source: Vec<u8> = source.chars().map(|it| it as u8).collect();
    fs::write(&file, &source).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(&outside, LEAK).unwrap();
    std::os::unix::fs::symlink(&outside, dir.join("link.c")).unwrap();

    let diff = check(&dir, &["--diff", "a.c"]);
    let text = String::from_utf8_lossy(&diff.stdout).into_owned();
    assert_eq!(diff.status.code(), Some(1));
    assert!(text.starts_with("--- a/a.c\n+++ b/a.c\n@@ "), "{text}");
    assert!(text.contains("\n+    free(p);\r\n"), "{text}");
    assert_eq!(fs::read(&file).unwrap(), source);

    let json = check(&dir, &["--format", "json", "a.c"]);
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    let fix = &document["findings"][0]["fix"];
    assert_eq!(fix["safety"], "safe");
    assert!(fix["edits"].as_array().is_some_and(|it| !it.is_empty()), "{fix}");

    let output = check(&dir, &["--fix"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mended = fs::read(&file).unwrap();
    assert!(mended.starts_with(b"/* caf\xe9 */\r\n"));
    assert!(mended.windows(9).any(|it| it == b"free(p);\r"));
    assert_eq!(
        mended.iter().filter(|it| **it == b'\n').count(),
        mended.iter().filter(|it| **it == b'\r').count()
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(&outside).unwrap(), LEAK);
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    // A link that is named is not followed.
    assert_eq!(check(&dir, &["--fix", "link.c"]).status.code(), Some(2));
    assert_eq!(fs::read_to_string(&outside).unwrap(), LEAK);
}

#[test]
fn what_is_ignored_is_not_fixed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.c");
    for source in [
        LEAK.replace("calloc(1, 10);", "calloc(1, 10); // heapwise: ignore[memory-leak] on purpose"),
        LEAK.replace("    puts(p);", "    keep(p);"),
        // Whether it is freed is decided by a macro.
        LEAK.replace("puts(p);\n", "puts(p);\n    FREE(p);\n").replace("\nvoid", "#define FREE free\nvoid"),
    ] {
        fs::write(&file, &source).unwrap();
        check(dir.path(), &["--fix", "--fail-on", "never"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), source);
    }
    fs::write(&file, LEAK).unwrap();
    check(dir.path(), &["--fix", "--ignore", "memory-leak"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), LEAK);
}
