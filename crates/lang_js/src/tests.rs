use super::lower;
use heapwise_check::ir::*;

fn direct_calls(source: &str) -> Vec<String> {
    let module = lower("src/mod.js", source.as_bytes());
    assert_eq!(heapwise_check::verify::verify(&module), Vec::<String>::new());
    let mut calls = Vec::new();
    for function in &module.functions {
        for op in function.blocks.iter().flat_map(|it| &it.ops) {
            if let OpKind::Call { callee: Callee::Direct(name), .. } = op.kind {
                calls.push(module.name(name).to_string());
            }
        }
    }
    calls
}

#[test]
fn imports_give_dotted_names() {
    assert_eq!(direct_calls("import fs from 'node:fs'; fs.openSync('a')"), ["fs.openSync"]);
    assert_eq!(direct_calls("import { open } from 'fs/promises'; open('a')"), ["fs.promises.open"]);
    assert_eq!(direct_calls("const { a: b } = require('./x'); b()"), ["src/x.a"]);
    assert_eq!(direct_calls("const x = require('../x/index.js'); x.f()"), ["x.f"]);
    assert_eq!(direct_calls("import f from './x'; f()"), ["src/x.default"]);
    assert_eq!(direct_calls("function g() {} g(); window.setInterval(g, 1)"), ["src/mod.g", "setInterval"]);
    assert_eq!(direct_calls("require('events').once(x)"), ["events.once"]);
}

#[test]
fn deep_nesting_is_said() {
    for source in
        ["(".repeat(100_000), "x = ".to_string() + &"!".repeat(100_000) + "1", "if(x)\n".repeat(100_000)]
    {
        let module = lower("a.js", source.as_bytes());
        assert!(module.functions.is_empty());
        assert_eq!(module.notes.len(), 1, "{:?}", module.notes);
    }
}
