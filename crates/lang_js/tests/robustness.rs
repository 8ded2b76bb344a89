//! Any bytes are lowered and checked without a panic, and what comes out verifies.

use std::path::Path;

fn check(source: &[u8]) {
    let module = heapwise_lang_js::lower("m.tsx", source);
    let problems = heapwise_check::verify::verify(&module);
    assert!(problems.is_empty(), "{problems:?} of {:?}", String::from_utf8_lossy(source));
    heapwise_check::managed::check(&[module]);
}

/// Sources with pieces cut out, doubled and moved: deterministic, from a linear congruential generator.
#[test]
fn broken_sources_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    for program in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let source = std::fs::read(program.path()).expect("readable");
        for _ in 0..60 {
            let mut broken = source.clone();
            for _ in 0..1 + random(4) {
                let (at, length) = (random(broken.len()), random(40));
                let end = (at + length).min(broken.len());
                match random(4) {
                    0 => drop(broken.drain(at..end)),
                    1 => {
                        let piece = broken[at..end].to_vec();
                        let to = random(broken.len());
                        broken.splice(to..to, piece);
                    }
                    2 => broken[at] = random(256) as u8,
                    _ => broken.truncate(at.max(1)),
                }
            }
            check(&broken);
        }
    }
}

#[test]
fn hostile_sources_are_read() {
    let deep_try = "try {".repeat(60) + "return 1" + &"} finally { x() }".repeat(60);
    let wide = format!("x = [{}]", "1, ".repeat(300_000));
    let sources: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\xef\xbb\xbfx = 1".to_vec(),
        b"\xff\xfex\x00=\x001\x00".to_vec(),
        b"x = '\xe9\xe8'\n".to_vec(),
        b"x = 1\0\nbreak\ncontinue\nreturn 1\nyield 2\nawait x\n".to_vec(),
        b"label: { break label; } other: for (;;) { continue other }".to_vec(),
        b"class C extends C { static { this.x = C } #p = () => this.#p; get x() { return super.x } set x(v) {} }".to_vec(),
        b"const { a = b, ...c } = a, [d, , ...e] = c; ({ a, b: c[d] = 1 } = e); [a.b, ...c] = d".to_vec(),
        b"export * from './x'; export { y as z } from './y'; export default class {} import q, * as r from 'r'".to_vec(),
        b"module.exports = exports = function f() { return f }; exports.a = exports.b = 1; module.exports.c = {}".to_vec(),
        b"F.prototype.m = function () { this.x = 1 }; function F() { F.call(this) } F.prototype = { n() {} }".to_vec(),
        b"switch (x) { case 1: let y = 1; default: break; case 2: } do { } while (x) while (1) { try { break } finally { continue } }".to_vec(),
        b"function* g() { yield* g(); for await (const x of y) {} } a ||= b ?? c; a?.b?.[c]?.(d); new.target; import.meta; x => y => z".to_vec(),
        b"<a b={c} {...d} onX={() => e}>{f}<g.h/><></></a>".to_vec(),
        b"namespace A.B { export const x: number = 1 } enum E { A } abstract class D<T> { constructor(private readonly x: T) {} abstract m(): void }".to_vec(),
        b"using x = f(); await using y = g(); `a${b}c`; tag`x${y}`; /[/]/.test(x) / 2".to_vec(),
        deep_try.into_bytes(),
        wide.into_bytes(),
        ("`${".repeat(300) + &"}`".repeat(300)).into_bytes(),
        "a.b(c)[d]\n".repeat(20_000).into_bytes(),
        ("x = y".to_string() + &" + y".repeat(5_000)).into_bytes(),
        ("x".to_string() + &"\nin y".repeat(9_000)).into_bytes(),
        ("if (a) {}\n".to_string() + &"else if (b) {}\n".repeat(3_000)).into_bytes(),
        format!("x = {}1{}", "(".repeat(4_000), ")".repeat(4_000)).into_bytes(),
        format!("x = {}1{}", "[".repeat(2_000), "]".repeat(2_000)).into_bytes(),
        ("{".repeat(4_000) + &"}".repeat(4_000)).into_bytes(),
        ("<a>".repeat(2_000) + &"</a>".repeat(2_000)).into_bytes(),
        "x => ".repeat(2_000).into_bytes(),
        "function f() { ".repeat(1_000).into_bytes(),
        "a ? b : ".repeat(3_000).into_bytes(),
    ];
    for source in sources {
        check(&source);
    }
}
