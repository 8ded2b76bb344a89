//! The text form reads back what it printed, and the verifier tells good modules from bad ones.

use heapwise_check::{text, verify};

const EVERYTHING: &str = r#"module "src/a.c" c ""
file "src/a.c"
file "src/a.h"
note "one function could not be read\n\"quoted\""
type t0 = int 8
type t1 = int 1 signed
type t2 = pointer t1
type t3 = record c0
type t4 = array t3 16
type t5 = array t1
type t6 = unknown
class c0 "Session" 24 union base "Base" field "name" t2 0 field "size" t0 8 method "~" "Session::~Session" !3-9
global g0 "a.c:count" t0 const = 7 !1:10-20
global g1 "table" t4 external
function f0 "make" (l0, l1) external variadic virtual of c0 in f1 attribute "malloc" !0-120 !4-8 {
  local l0 "size" t0 !11-15
  local l1 "" t2
b0: unwind b3
  %0 = load l0 8 !41-45
  %1 = call "malloc"(%0, "n"=-3, *null) !34-46
  store [%1]."name"+0[%0*8]."x" 8 "text\u{1b}" !34-46
  copy l1 24 from [%1]
  %2 = address g1[3*24]
  %3 = offset %2 %0 8
  %4 = binary eq %1 null !52-61
  %5 = unary not %4
  %6 = cast %1 t2
  %7 = sizeof t3
  %8 = call method %1 "append" of "list"(%2)
  call value %8()
  %9 = closure f1
  %10 = new "Session"(true)
  %11 = await %10
  %12 = yield %11
  live l1
  assume %4
  %13 = allocate "new[]" %7 zeroed may-fail
  %14 = reallocate %13 16
  free "malloc" %14
  escape %14
  %15 = acquire "FILE" may-fail
  release "FILE" %15
  lock g
  branch %5 b1 b2 !52-61
b1:
  dead l1
  switch %0 b2 1 b1 -2 b2
b2:
  return %1
b3:
  %20 = caught
  resume
}
function f1 "m.<module>" () async generator {
b0:
  %0 = container "deque" bound 5
  grow %0 key "k" value opaque
  shrink %0 key 1
  clear %0
  read %0 iterate
  %1 = spawn thread function "work"
  stop %1
  %2 = register %0 "click" %1
  unregister %0 "click" %1
  store class c0."cache" 0 module "os"
  %3 = load outer f0 l0 8
  unlock %3
  goto b1
b1:
  %4 = phi b0 %3
  raise class "Error"
}
"#;

#[test]
fn what_is_printed_reads_back() {
    let source = EVERYTHING.replace("  lock g\n", "  lock %15\n");
    let module = text::parse(&source).expect("the text is sound");
    assert_eq!(text::print(&module), source.replace("\" (", "\"("));
    assert_eq!(text::parse(&text::print(&module)).expect("what was printed is sound"), module);
    assert_eq!(verify::verify(&module), Vec::<String>::new());
}

#[test]
fn an_error_names_its_line() {
    let error = text::parse(EVERYTHING).expect_err("`lock g` has no value");
    assert_eq!(error.line, EVERYTHING.lines().position(|it| it == "  lock g").expect("it is there") + 1);
    for (text, expected) in [
        ("", "module"),
        ("module \"a\" klingon", "a language"),
        ("module \"a\" c\nfunction f0 \"f\"() {\nb0:\n  %0 = load l0", "a number"),
        ("module \"a\" c\nfunction f0 \"f\"() {\n", "}"),
        ("module \"a", "a quoted string"),
    ] {
        assert_eq!(text::parse(text).expect_err(text).expected, expected, "{text}");
    }
}

#[test]
fn no_text_makes_it_panic() {
    for end in (0..EVERYTHING.len()).filter(|it| EVERYTHING.is_char_boundary(*it)) {
        let _ = text::parse(&EVERYTHING[..end]);
        let cut = format!("{}{}", &EVERYTHING[..end], EVERYTHING.get(end + 3..).unwrap_or_default());
        let _ = text::parse(&cut).map(|it| verify::verify(&it));
    }
}

#[test]
fn the_verifier_tells() {
    let errors = |body: &str| {
        let text = format!("module \"a\" c\nfunction f0 \"f\"() {{\n{body}}}\n");
        verify::verify(&text::parse(&text).expect("sound text"))
    };
    assert!(errors("b0:\n  return 0\n").is_empty());
    assert!(errors("b0:\n  goto b7\n")[0].contains("b7 is not there"));
    assert!(errors("b0:\n  return %0\n")[0].contains("%0"));
    assert!(errors("b0:\n  %0 = caught\n  %0 = caught\n  return\n")[0].contains("twice"));
    assert!(errors("b0:\n  %0 = load l3 8\n  return\n")[0].contains("l3"));
    let branches =
        "b0:\n  %9 = caught\n  branch %9 b1 b2\nb1:\n  %0 = caught\n  goto b3\nb2:\n  goto b3\nb3:\n";
    assert!(errors(&format!("{branches}  return %0\n"))[0].contains("%0"));
    assert!(errors(&format!("{branches}  %1 = phi b1 %0 b2 null\n  return %1\n")).is_empty());
    let unwind = "b0: unwind b1\n  %0 = call \"f\"()\n  return %0\nb1:\n  %1 = caught\n";
    assert!(errors(&format!("{unwind}  return %1\n")).is_empty());
    assert!(errors(&format!("{unwind}  return %0\n"))[0].contains("%0"));
}
