use super::{Modules, lower};
use heapwise_check::ir::*;

fn module(source: &str) -> Module {
    lower("pkg/mod.py", &Modules::default(), source.as_bytes())
}

fn direct_calls(source: &str) -> Vec<String> {
    let module = module(source);
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
    assert_eq!(direct_calls("import numpy as np\nnp.array(1)\n"), ["numpy.array"]);
    assert_eq!(direct_calls("from .x import f\nf()\n"), ["pkg.x.f"]);
    assert_eq!(direct_calls("import os\nos.path.join('a')\n"), ["os.path.join"]);
    assert_eq!(direct_calls("from a import state\nstate.f()\n"), ["a.state.f"]);
    assert_eq!(direct_calls("def g(): pass\ng()\n"), ["pkg.mod.g"]);
    assert_eq!(direct_calls("try:\n import j\nexcept ImportError:\n j = None\nj.f()\n"), ["j.f"]);
}

#[test]
fn deep_nesting_is_said() {
    for source in [
        "(".repeat(100_000),
        "x = ".to_string() + &"not ".repeat(100_000) + "1",
        "f".to_string() + &"()".repeat(50_000),
    ] {
        let module = module(&source);
        assert!(module.functions.is_empty());
        assert_eq!(module.notes.len(), 1, "{:?}", module.notes);
    }
    let deep = format!("x = {}1{}", "(".repeat(1000), ")".repeat(1000));
    assert_eq!(module(&deep).functions.len(), 1);
}
