//! Any bytes are lowered and checked without a panic, and what comes out verifies.

use std::path::Path;

fn check(source: &[u8]) {
    let module = heapwise_lang_python::lower("m.py", &heapwise_lang_python::Modules::default(), source);
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
    let deep_try: String = (0..60).map(|it| format!("{}try:\n", " ".repeat(it))).collect::<String>()
        + &" ".repeat(60)
        + "return 1\n"
        + &(0..60)
            .rev()
            .map(|it| format!("{}finally:\n{} x()\n", " ".repeat(it), " ".repeat(it)))
            .collect::<String>();
    let wide = format!("x = [{}]", "1, ".repeat(300_000));
    let sources: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\xef\xbb\xbfx = 1".to_vec(),
        b"\xff\xfex\x00=\x001\x00".to_vec(),
        b"# -*- coding: latin-1 -*-\nx = '\xe9\xe8'\n".to_vec(),
        b"x = 1\0\nbreak\ncontinue\nreturn 1\nyield 2\nawait x\n".to_vec(),
        b"def f():\n nonlocal x\n global x\n x = 1\nclass C(C): C.x = C\n".to_vec(),
        b"[x for x in (y := 1)]\nlambda: (yield)\nprint(f'{x!r:>{y}}')\ndel x, (y, [z])\n".to_vec(),
        b"with a as b, c as (d, *e): pass\nmatch x:\n case [1, *_, {'a': b, **c}] | D(e=f) if g: pass\n"
            .to_vec(),
        b"import a.b.c as d, e\nfrom . import f\nfrom .. import *\nfrom ...g import h as i\n".to_vec(),
        b"while 1:\n try: break\n finally: continue\nfor x in y:\n try: pass\n finally: break\nelse: z\n"
            .to_vec(),
        deep_try.into_bytes(),
        wide.into_bytes(),
        format!("f\"{}\"", "{x(".repeat(5_000)).into_bytes(),
        "a.b(c)[d]\n".repeat(20_000).into_bytes(),
        ("x = y".to_string() + &" + y".repeat(1_000)).into_bytes(),
        ("if a: pass\n".to_string() + &"elif b: pass\n".repeat(5_000)).into_bytes(),
    ];
    for source in sources {
        check(&source);
    }
}

/// Variables that depend on each other: what one question may cost has a bound, and what a circle has in it is found
/// all the same.
#[test]
fn variables_in_circles_end_soon() {
    let count = 1_500;
    let mut source = String::from(
        "class Node:\n    def __init__(self):\n        self.next = Node()\n        self.all = []\n\ndef walk():\n    v0 = Node()\n    while v0:\n",
    );
    for at in 0..count {
        let (other, far) = ((at + 1) % count, (at * 7 + 3) % count);
        source.push_str(&format!(
            "        v{at} = v{other}.next or v{far}\n        v{at}.all.append(v{far})\n"
        ));
    }
    let modules = heapwise_lang_python::Modules::default();
    let module = heapwise_lang_python::lower("circles.py", &modules, source.as_bytes());
    let start = std::time::Instant::now();
    let found = heapwise_check::managed::check(&[module]);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    assert!(found.iter().any(|it| it.message.contains("`Node.all`")), "{found:?}");
}
