//! What units share is read once, and nobody can tell: a module is the same whichever units came before.

use heapwise_lang_c::{Files, Headers, Unit, lower, lower_with};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
struct Sources(BTreeMap<String, Arc<[u8]>>);

impl Sources {
    fn of(files: &[(&str, &str)]) -> Sources {
        Sources(files.iter().map(|(path, text)| (path.to_string(), text.as_bytes().into())).collect())
    }
}

impl Files for Sources {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        self.0.get(path).cloned()
    }
}

/// Lowers units one after the other, each as it is alone and with what those before it left.
fn compare<'a>(files: &Sources, units: impl IntoIterator<Item = &'a str>) {
    let headers = Headers::new();
    for path in units {
        let unit = Unit::new(path);
        let (alone, among) = (lower(&unit, files), lower_with(&unit, files, &headers));
        if alone != among {
            let (alone, among) = (format!("{alone:#?}"), format!("{among:#?}"));
            let difference = alone.lines().zip(among.lines()).find(|it| it.0 != it.1);
            panic!("{path}: {difference:?} of {:?}", texts(files));
        }
    }
}

fn texts(files: &Sources) -> Vec<(&str, std::borrow::Cow<'_, str>)> {
    files.0.iter().map(|(path, text)| (path.as_str(), String::from_utf8_lossy(text))).collect()
}

#[test]
fn a_header_that_asks_for_macros_has_an_outcome_for_each_answer() {
    let files = Sources::of(&[
        ("a.h", "#ifdef WIDE\ntypedef long T;\n#else\ntypedef int T;\n#endif\n#define SIZE sizeof(T)\n"),
        ("a.c", "#define WIDE\n#include \"a.h\"\nT f(void) { return SIZE; }\n"),
        ("b.c", "#include \"a.h\"\nT f(void) { return SIZE; }\n"),
        ("c.c", "#define WIDE 1\n#include \"a.h\"\nT f(void) { return SIZE; }\n"),
        ("d.c", "#define T my_type\n#include \"a.h\"\nT f(void) { return SIZE; }\n"),
    ]);
    compare(&files, ["a.c", "b.c", "c.c", "d.c", "a.c", "b.c", "c.c", "d.c"]);
}

#[test]
fn what_a_header_does_not_finish_is_not_taken_over() {
    let files = Sources::of(&[
        ("open.h", "#define ADD(x) x + 1\n#define PLAIN ADD\nint a = ADD\n"),
        ("count.h", "int counted = __COUNTER__;\n"),
        ("pack.h", "#pragma pack(push, 1)\nstruct P { char a; int b; };\n"),
        ("unpack.h", "#pragma pack(pop)\nstruct Q { char a; int b; };\n"),
        ("wrong.h", "#error no\n#include \"nowhere.h\"\n"),
        ("outer.h", "#include \"count.h\"\n#include \"pack.h\"\n"),
        (
            "a.c",
            "#include \"open.h\"\n(2);\n#include \"wrong.h\"\n#include \"outer.h\"\n#include \"unpack.h\"\nint f(void) { return sizeof(struct P) + sizeof(struct Q); }\n",
        ),
        (
            "b.c",
            "#include \"open.h\"\n;\n#include \"outer.h\"\nint f(void) { return sizeof(struct P); }\n#include \"nowhere.h\"\n#include \"wrong.h\"\n",
        ),
        (
            "c.c",
            "int x = __COUNTER__;\n#include \"count.h\"\n#include \"unpack.h\"\nint f(void) { return sizeof(struct Q); }\n",
        ),
    ]);
    compare(&files, ["a.c", "b.c", "c.c", "c.c", "b.c", "a.c"]);
}

#[test]
fn a_file_that_came_later_is_seen() {
    let mut files = Sources::of(&[
        ("h.h", "#if __has_include(\"new.h\")\n#include \"new.h\"\n#else\ntypedef int T;\n#endif\n"),
        ("a.c", "#include \"h.h\"\nT f(void) { return sizeof(T); }\n"),
    ]);
    let headers = Headers::new();
    let unit = Unit::new("a.c");
    lower_with(&unit, &files, &headers);
    for text in ["typedef long T;\n", "typedef char T;\n"] {
        files.0.insert("new.h".to_owned(), text.as_bytes().into());
        let (alone, among) = (lower(&unit, &files), lower_with(&unit, &files, &headers));
        assert_eq!(format!("{alone:#?}"), format!("{among:#?}"));
    }
}

#[test]
fn headers_of_the_command_line_are_read_first() {
    let files = Sources::of(&[
        ("build/config.h", "#include \"more.h\"\n#define SIZE 3\n"),
        ("build/more.h", "typedef long T;\n"),
        ("a.c", "T f(void) { return SIZE; }\n"),
    ]);
    let headers = Headers::new();
    let mut unit = Unit::new("a.c");
    unit.includes.push("build/config.h".to_owned());
    for _ in 0..2 {
        let module = lower_with(&unit, &files, &headers);
        assert_eq!((module.functions.len(), &module.notes), (1, &Vec::new()));
        assert_eq!(module, lower(&unit, &files));
    }
    let module = lower_with(&unit, &files, &headers);
    unit.includes.clear();
    assert_ne!(module, lower_with(&unit, &files, &headers));
}

#[test]
fn spellings_that_double_with_each_use_are_cut() {
    for body in ["x##x", "#x #x"] {
        let uses = format!("{}a{}", "D(".repeat(60), ")".repeat(60));
        let text = format!(
            "#define E(x) {body}\n#define D(x) E(x)\nint a = sizeof({uses});\nint f(void) {{ return 1; }}\n"
        );
        let files = Sources(BTreeMap::from([("a.c".to_owned(), text.into_bytes().into())]));
        let module = lower(&Unit::new("a.c"), &files);
        assert!(module.notes.iter().any(|it| it.contains("more than 1 MiB")), "{body}: {:?}", module.notes);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// A line of a header or a source: what headers do and depend on.
fn line(random: &mut Random, depth: usize, headers: usize) -> String {
    let (m, n, v) = (random.below(6), random.below(6), random.below(100));
    match random.below(if depth > 0 { 18 } else { 15 }) {
        0 => format!("#define M{m} {v}\n"),
        1 => format!("#define M{m} M{n} + {v}\n"),
        2 => format!("#define M{m}(x) (x + M{n})\n"),
        3 => format!("#undef M{m}\n"),
        4 => format!("int g{v} = M{m};\n"),
        5 => format!("int g{v} = M{m}(M{n});\n"),
        6 => format!(
            "#ifdef M{m}\nint d{v} = M{m};\n#elif M{n} > {v}\n#define M{m} 1\n#else\ntypedef int t{v};\n#endif\n"
        ),
        7 => format!("#if defined M{m} && !defined(M{n})\n#undef M{m}\n#endif\n"),
        8 => format!("#include \"h{}.h\"\n", random.below(headers)),
        9 => format!("#include <h{}.h>\n", random.below(headers + 2)),
        10 => "#include <stdlib.h>\n".to_owned(),
        11 => format!("static int f{v}(int a) {{ return a + M{m}; }}\n"),
        12 => format!("#define NAME{m} \"h{n}.h\"\n#include NAME{m}\n"),
        13 => format!("struct s{v} {{ char a; int b[M{m}]; }};\nint z{v}[sizeof(struct s{v})];\n"),
        14 => format!("M{m}\n"),
        15 => "#pragma once\n".to_owned(),
        16 => format!("#pragma pack({})\n", ["push, 2", "pop", "", "4"][random.below(4)]),
        _ => format!("int line{v} = __LINE__; const char *file{v} = __FILE__;\n"),
    }
}

fn program(random: &mut Random) -> Sources {
    const HEADERS: usize = 6;
    let mut files = Sources::default();
    for at in 0..HEADERS {
        let count = 1 + random.below(8);
        let mut text: String = (0..count).map(|_| line(random, 1, HEADERS)).collect();
        // Most headers are guarded, as in the wild; the others end at the bound of nesting.
        if random.below(8) > 0 {
            text = format!("#ifndef H{at}\n#define H{at}\n{text}#endif\n");
        } else {
            text = text.lines().filter(|it| !it.contains("#include")).map(|it| format!("{it}\n")).collect();
        }
        files.0.insert(format!("h{at}.h"), text.into_bytes().into());
    }
    for at in 0..6 {
        let count = 2 + random.below(8);
        let text: String = (0..count).map(|_| line(random, 0, HEADERS)).collect();
        files.0.insert(format!("u{at}.{}", if at == 5 { "cpp" } else { "c" }), text.into_bytes().into());
    }
    files
}

#[test]
fn modules_are_the_same_whatever_was_read_before() {
    for seed in 1..400u64 {
        let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let files = program(random);
        let units: Vec<String> = files.0.keys().filter(|it| it.starts_with('u')).cloned().collect();
        compare(&files, units.iter().chain(units.iter().rev()).map(String::as_str));
    }
}

/// Units that are read in pieces, by two threads.
fn compare_large(files: &Sources) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).stack_size(64 << 20).build().unwrap();
    pool.install(|| compare(files, ["a.c", "b.c", "a.c"]));
}

fn function(random: &mut Random, at: usize) -> String {
    let (m, v, other) = (random.below(6), random.below(100), random.below(at + 4));
    match random.below(14) {
        0 => format!("int (f{at})(int a) {{ return a + {v}; }}\n"),
        1 => format!("int f{at}(a, b) int a; char *b; {{ return a + *b; }}\n"),
        2 => format!("struct s{at} {{ int a; struct {{ char b[{v} + 1]; }} c; }} g{at} = {{ {v} }};\n"),
        3 => format!("static struct s *f{at}(void) {{ return &(struct s){{ {v} }}; }};\n"),
        4 => format!("typedef int (*t{at})(int), u{at};\nu{at} f{at}(t{at} a) {{ return a({v}); }}\n"),
        5 => format!("enum __attribute__((packed)) {{ E{at} = {v} }} e{at};\n"),
        6 => format!("__attribute__((noinline)) char *f{at}(char *a)\n__attribute__((nonnull));\n"),
        7 => format!("#define M{m} f{other}\nint g{at}[] = {{ {v}, sizeof(M{m}(1)) }};\n"),
        8 => format!("#include \"h{m}.h\"\nint f{at}(void) {{ return M{m}({v}); }}\n"),
        _ => format!("int f{at}(int a) {{ if (a > {v}) {{ return f{other}(a); }} return M{m}; }}\n"),
    }
}

/// What a compiler would reject.
fn mistake(random: &mut Random) -> &'static str {
    [
        "int broken( {\n",
        "}\n",
        "int f(int a) { return a; ",
        "x y z { 1 }\n",
        "int w(int a) { a + ; )\n",
        ") }\n",
        "foo(x) { } = 3;\n",
    ][random.below(7)]
}

fn large(random: &mut Random, mistakes: usize) -> Arc<[u8]> {
    let mut text = String::from("struct s { int x; };\n");
    let mut at = 0;
    while text.len() < 400_000 {
        text.push_str(&function(random, at));
        if mistakes > 0 && random.below(mistakes) == 0 {
            text.push_str(mistake(random));
        }
        at += 1;
    }
    text.into_bytes().into()
}

#[test]
fn a_large_unit_is_read_in_pieces_that_nobody_sees() {
    for (seed, mistakes) in [(1u64, 0), (2, 0), (3, 4000), (4, 2000), (5, 1000), (6, 100), (7, 10)] {
        let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut files = program(random);
        for name in ["a.c", "b.c"] {
            files.0.insert(name.to_owned(), large(random, mistakes));
        }
        compare_large(&files);
    }
}
