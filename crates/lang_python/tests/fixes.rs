//! Fixes of Python sources: the edits make the text that is expected, of which the rule finds nothing any more.

use heapwise_check::fixes::outline::Outline;
use heapwise_check::fixes::{Sources, propose};
use heapwise_check::ir::{Function, Module};
use heapwise_check::models::Models;
use heapwise_check::program::Program;
use std::sync::Arc;

struct Text(Arc<[u8]>);

impl Sources for Text {
    fn text(&self, _: &str) -> Option<Arc<[u8]>> {
        Some(self.0.clone())
    }

    fn outline(&self, _: &Module, function: &Function) -> Option<Outline> {
        let text = std::str::from_utf8(&self.0).ok()?;
        heapwise_lang_python::outline(text, (function.name_span.start, function.name_span.end))
    }
}

fn lower(source: &str) -> Module {
    heapwise_lang_python::lower("m.py", &heapwise_lang_python::Modules::default(), source.as_bytes())
}

fn rules(source: &str) -> Vec<&'static str> {
    heapwise_check::managed::check(&[lower(source)]).iter().map(|it| it.rule.name()).collect()
}

/// The source after all fixes of a rule's findings.
fn mended(source: &str, rule: &str) -> String {
    let mut found = heapwise_check::managed::check(&[lower(source)]);
    let program = Program::link(vec![lower(source)]);
    propose(&program, &Models::bundled(), &Text(source.as_bytes().into()), &mut found);
    let mut edits: Vec<_> = found
        .iter()
        .filter(|it| it.rule.name() == rule)
        .flat_map(|it| it.fix.iter().flat_map(|fix| &fix.edits))
        .map(|it| (it.at.span.start as usize, it.at.span.end as usize, it.insert.as_str()))
        .collect();
    assert!(!edits.is_empty(), "{rule} has a fix");
    // Edits at one place keep their order.
    edits.sort_by_key(|it| (it.0, it.1));
    let (mut text, mut at) = (String::new(), 0);
    for (start, end, insert) in edits {
        text.push_str(&source[at..start]);
        text.push_str(insert);
        at = end;
    }
    text + &source[at..]
}

#[test]
fn a_lock_is_held_over_test_and_assignment() {
    let source = "import os\nimport threading\n\n_pool = None\n\n\ndef pool():\n    global _pool\n    if _pool is None:\n        _pool = object()\n    return _pool\n\n\ndef main():\n    for _ in range(4):\n        threading.Thread(target=pool, daemon=True).start()\n";
    assert!(rules(source).contains(&"racy-lazy-init"));
    let text = mended(source, "racy-lazy-init");
    assert!(text.contains("_pool = None\n_pool_lock = threading.RLock()\n"), "{text}");
    let expected =
        "    with _pool_lock:\n        if _pool is None:\n            _pool = object()\n    return _pool\n";
    assert!(text.contains(expected), "{text}");
    assert_eq!(rules(&text), Vec::<&str>::new(), "{text}");
}

#[test]
fn each_object_keeps_its_own_cache() {
    let source = "import functools\n\n\nclass Table:\n    def __init__(self, rows):\n        self.rows = rows\n\n    @functools.lru_cache(maxsize=64)\n    def column(self, index):\n        return [row[index] for row in self.rows]\n";
    assert!(rules(source).contains(&"retained-object"));
    let text = mended(source, "retained-object");
    let expected =
        "        self.rows = rows\n        self.column = functools.lru_cache(maxsize=64)(self.column)\n";
    assert!(text.contains(expected) && !text.contains("@functools"), "{text}");
    assert_eq!(rules(&text), Vec::<&str>::new(), "{text}");
}
