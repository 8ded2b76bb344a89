//! The memory engine on hand-written IR: each case names what is found, by the start of its place.

use heapwise_check::analysis::{Options, analyze};
use heapwise_check::models::Models;
use heapwise_check::program::Program;
use heapwise_check::{text, verify};

const HEAD: &str = r#"module "a.c" c ""
file "a.c"
type t0 = int 8
type t1 = int 1 signed
type t2 = pointer t1
type t3 = int 4 signed
type t4 = array t1 10
type t5 = array t3 10
"#;

fn check(body: &str, expected: &[&str]) {
    let module = text::parse(&format!("{HEAD}{body}")).unwrap_or_else(|it| panic!("{it:?}\n{body}"));
    assert_eq!(verify::verify(&module), Vec::<String>::new());
    let program = Program::link(vec![module]);
    let found = analyze(&program, &Models::bundled(), &Options::default());
    let found: Vec<String> =
        found.findings.iter().map(|it| format!("{} {}", it.rule, it.place.span.start)).collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn a_block_that_is_not_freed_leaks() {
    let body = |free: &str| {
        format!(
            r#"function f0 "f" () external !0-1 {{
  local l0 "p" t2 !1-2
b0:
  %0 = call "malloc"(8) !10-20
  store l0 8 %0 !20-21
  %1 = load l0 8 !30-31
  %2 = binary eq %1 null !32-33
  branch %2 b1 b2 !34-35
b1:
  return !40-41
b2:
  %3 = load l0 8 !50-51
  {free}
  return !70-71
}}
"#
        )
    };
    check(&body(""), &["memory-leak 10"]);
    check(&body("call \"free\"(%3) !60-61"), &[]);
}

#[test]
fn a_freed_block_is_not_used() {
    check(
        r#"function f0 "f" () external !0-1 {
  local l0 "p" t2 !1-2
b0:
  %0 = allocate "new" 8 !10-20
  store l0 8 %0 !20-21
  %1 = load l0 8 !30-31
  store [%1] 1 5 !35-36
  free "new" %1 !40-41
  %2 = load l0 8 !50-51
  %3 = load [%2] 1 !60-61
  free "new" %2 !65-66
  return !70-71
}
"#,
        &["use-after-free 60", "double-free 65"],
    );
}
