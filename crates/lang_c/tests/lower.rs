//! Sources and what they become, in the text form of the intermediate representation.

use heapwise_check::ir::Module;
use heapwise_check::{text, verify};
use heapwise_lang_c::{Files, Unit, lower};
use proptest::prelude::*;
use std::sync::Arc;

struct Tree(Vec<(&'static str, Vec<u8>)>);

impl Files for Tree {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        self.0.iter().find(|it| it.0 == path).map(|it| it.1.as_slice().into())
    }
}

fn lowered(path: &'static str, source: &[u8]) -> Module {
    let module = lower(&Unit::new(path), &Tree(vec![(path, source.to_vec())]));
    assert_eq!(verify::verify(&module), Vec::<String>::new(), "{}", String::from_utf8_lossy(source));
    module
}

/// Each fragment stands in the text form, in this order; spans are left out.
fn check(path: &'static str, source: &str, fragments: &[&str]) {
    let module = lowered(path, source.as_bytes());
    assert_eq!(module.notes, Vec::<String>::new());
    let text: String = text::print(&module)
        .lines()
        .map(|it| it.split(" !").next().unwrap_or(it))
        .map(|it| format!("{it}\n"))
        .collect();
    let mut rest = text.as_str();
    for fragment in fragments {
        match rest.find(fragment) {
            Some(at) => rest = &rest[at + fragment.len()..],
            None => panic!("`{fragment}` is missing or out of order in\n{text}"),
        }
    }
}

#[test]
fn allocation_with_a_check() {
    check(
        "a.c",
        "#include <stdlib.h>\nstruct s { char c; long l; };\nint f(unsigned n) { struct s *p = malloc(n * sizeof *p); if (!p) return -1; p->l = 3; free(p); return 0; }",
        &[
            "sizeof",
            "binary multiply",
            "call \"malloc\"",
            "cast",
            "binary eq",
            "\"l\"+8 8 3",
            "call \"free\"",
        ],
    );
}

#[test]
fn macros_lie_where_they_are_used() {
    let source = "#define TWICE(x) ((x) + (x))\nint f(int a) { return TWICE(a); }";
    let module = lowered("a.c", source.as_bytes());
    let function = &module.functions[0];
    let place = source.find("TWICE(a)").expect("it is there") as u32;
    for op in function.blocks.iter().flat_map(|it| &it.ops) {
        assert!(op.span.start >= place && op.span.end <= place + 8, "{op:?}");
    }
}

#[test]
fn preprocessor_of_the_standard() {
    // The example of C11 6.10.3.5, whose result is known.
    check(
        "a.c",
        "#define x 3\n#define f(a) f(x * (a))\n#undef x\n#define x 2\n#define g f\n#define z z[0]\n#define h g(~\n#define m(a) a(w)\n#define w 0,1\n#define t(a) a\n#define str(s) # s\n#define xstr(s) str(s)\n#define glue(a, b) a ## b\n#define xglue(a, b) glue(a, b)\n#define HIGHLOW \"hello\"\n#define LOW LOW \", world\"\nconst char *a = xstr(f(x)); const char *b = glue(HIGH, LOW); const char *c = xglue(HIGH, LOW);\n",
        &["f(2 * (2))", "hello", "hello, world"],
    );
}

#[test]
fn conditions_and_guards() {
    check(
        "a.c",
        "#if defined(FOO) || (1 << 3) != 8\nint bad;\n#elif __has_include(<stdio.h>) && !__has_include(\"nowhere.h\")\nint good;\n#else\nint bad;\n#endif\n#if 0\ndon't\n#endif\n",
        &["\"good\""],
    );
}

#[test]
fn scopes_end_on_all_ways() {
    check(
        "a.c",
        "int g(int); void f(int n) { while (n) { int a; if (g(n)) break; if (g(2)) continue; if (g(3)) goto out; if (g(4)) return; n = a; } out: ; }",
        &["live l1", "dead l1", "dead l1", "dead l1"],
    );
}

#[test]
fn switch_falls_through() {
    check(
        "a.c",
        "int f(int x) { int r = 0; switch (x) { case 1: r = 1; case 2: r += 2; break; case 5 ... 7: return 9; default: r = -1; } return r; }",
        &["switch %0 b5 1 b2 2 b3 5 b4 6 b4 7 b4"],
    );
}

#[test]
fn initializers() {
    check(
        "a.c",
        "struct p { int x, y; struct { short a[3]; } in; };\nvoid f(void) { struct p v = { .y = 4, .in.a[1] = 7 }; char s[8] = \"ab\"; int a[] = { 1, [4] = 5 }; }",
        &[
            "array",
            "call \"memset\"",
            "store l0.\"y\"+4 4 4",
            "7",
            "call \"memset\"",
            "copy",
            "call \"memset\"",
        ],
    );
}

#[test]
fn classes_call_their_members() {
    check(
        "a.cpp",
        "struct A { int *p; A(int n) : p(new int[n]) {} ~A() { delete[] p; } virtual int get(int i) { return p[i]; } };\nint f(A &r) { A a(3); return a.p[0] + r.get(1); }",
        &[
            "\"A::A/1\"",
            "allocate \"new[]\"",
            "\"A::~A\"",
            "free \"new[]\"",
            "\"f/1\"",
            "call \"A::A/1\"(%0, 3)",
            "call method",
            "\"get\" of \"A\"(1)",
            "call \"A::~A\"",
        ],
    );
}

#[test]
fn templates_are_read_for_each_set_of_arguments() {
    check(
        "a.cpp",
        "template <class T> class Box { T *p; public: Box(T *q) : p(q) {} T *get(); ~Box() { delete p; } };\ntemplate <class T> T *Box<T>::get() { return p; }\ntemplate <class T> T most(T a, T b) { return a < b ? b : a; }\nlong f() { Box<long> b(new long(1)); return most(*b.get(), 2L); }",
        &[
            "call \"Box<long>::Box/1\"",
            "call \"Box<long>::get/0\"",
            "call \"most<long>/2\"",
            "call \"Box<long>::~Box\"",
        ],
    );
}

#[test]
fn the_library_s_classes_are_methods() {
    check(
        "a.cpp",
        "#include <vector>\n#include <memory>\nint f(std::unique_ptr<int> u) { std::vector<int *> v; v.push_back(u.get()); return *v[0] + *v.back(); }",
        &[
            "\"vector\" of \"std::vector\"()",
            "\"get\" of \"std::unique_ptr\"()",
            "\"push_back\" of \"std::vector\"",
            "\"operator[]\" of \"std::vector\"(0)",
            "\"~\" of \"std::vector\"()",
        ],
    );
}

#[test]
fn exceptions_go_to_their_handlers() {
    check(
        "a.cpp",
        "void g(); int f() { try { g(); throw 3; } catch (int e) { return e; } return 0; }",
        &["caught", "unwind b1", "call \"g/0\"()", "raise 3"],
    );
}

#[test]
fn missing_headers_and_broken_code_are_noted() {
    let module = lowered(
        "a.c",
        b"#include \"none.h\"\nint f(void) { int = ; return 1; }\nint g(FOO *x) { return x->y; }\n",
    );
    assert_eq!(module.functions.len(), 2);
    assert!(module.notes[0].contains("none.h") && module.notes[1].contains("line 2"), "{:?}", module.notes);
}

#[test]
fn nesting_ends_somewhere() {
    for path in ["a.c", "a.cpp"] {
        for (open, close) in [
            ("(", ")"),
            ("{", "}"),
            ("[", "]"),
            ("-", ""),
            ("*", ""),
            ("!", ""),
            ("if(1)", ";"),
            ("a?", ":1"),
            ("(int)", "1"),
            ("sizeof ", "1"),
            ("x=", "1"),
            ("<", ">"),
            ("A<", ">"),
            ("[]{", "}"),
            ("struct{", "}"),
            ("namespace a{", "}"),
            ("a::", "b"),
            ("1?1:", "1"),
            ("do ", ";"),
            ("for(;;)", ";"),
        ] {
            for head in ["int x = ", "int f() { ", "int f() { x = ", "int x["] {
                let source = format!("{head}{}{}", open.repeat(100_000), close.repeat(100_000));
                lowered(path, source.as_bytes());
            }
        }
    }
    let chain = format!("int f(int a) {{ {} }}", "if (a == 1) a = 2; else ".repeat(20_000) + ";");
    lowered("a.c", chain.as_bytes());
    let sum = format!("int f(int a) {{ return 1{}; }}", " + a".repeat(100_000));
    lowered("a.c", sum.as_bytes());
}

#[test]
fn macros_that_explode_end_somewhere() {
    let mut source = String::from("#define A0 x x x x x x x x x x\n");
    for level in 1..40 {
        source.push_str(&format!("#define A{level} {}\n", format!("A{} ", level - 1).repeat(10)));
    }
    source.push_str("int f(void) { A39 }\n#include \"a.c\"\n");
    let module = lowered("a.c", source.as_bytes());
    assert!(module.notes.iter().any(|it| it.contains("too many tokens")), "{:?}", module.notes);
}

const SAMPLE: &str = r#"
#include <vector>
#include <string>
#define CHECK(c, ...) do { if (!(c)) { log(__VA_ARGS__); goto out; } } while (0)
void log(const char *f, ...);
namespace n { template <class T, int N = 3> struct S { T a[N]; T get(int i) const { return a[i]; } S() : a{} {} virtual ~S(); }; enum class E { A, B = 4 }; }
class D : public n::S<int> { std::vector<std::string> v; public: D(int x) : v() { auto f = [this, x](int k) -> int { return k + x; }; f(1); } int operator[](int i) { return v.size() + i; } };
static int f(int argc, char **argv) { int r = 0; D d(argc); for (auto &s : argv) { r += d[1]; } try { CHECK(argc > 1, "x%d", argc); } catch (...) { throw; } switch (r) { case 1: return 2; default: break; }
  int *p = new int[argc]; delete[] p; return static_cast<int>(n::E::B) + (argc ? 1 : sizeof(D));
out: return r; }
"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end(source in proptest::collection::vec(any::<u8>(), 0..400)) {
        lowered("a.c", &source);
        lowered("a.cpp", &source);
    }

    #[test]
    fn any_part_of_a_source_ends(from in 0usize..1000, length in 0usize..1500, cut in 0usize..1000, width in 0usize..40) {
        let mut source = SAMPLE.as_bytes().to_vec();
        let end = (cut + width).min(source.len());
        source.drain(cut.min(end)..end);
        let from = from.min(source.len());
        let to = (from + length).min(source.len());
        lowered("a.cpp", &source[from..to]);
        lowered("a.c", &source[from..to]);
        lowered("a.cpp", &source);
    }

    #[test]
    fn any_order_of_tokens_ends(order in proptest::collection::vec(0usize..200, 0..120)) {
        let words: Vec<&str> = SAMPLE.split_inclusive(|it: char| !it.is_ascii_alphanumeric()).collect();
        let source: String = order.iter().map(|it| words[it % words.len()]).collect();
        lowered("a.cpp", source.as_bytes());
        lowered("a.c", format!("int f() {{ {source} }}").as_bytes());
        lowered("a.cpp", format!("int f() {{ {source} }}").as_bytes());
    }
}
