//! What every lowering's target asks of its module.

use heapwise_check::analysis::Options;
use heapwise_check::ir::Module;
use heapwise_check::models::Models;
use heapwise_check::program::Program;
use heapwise_check::{text, verify};
use heapwise_lang_c::{Files, Unit};
use heapwise_model::Language;
use std::sync::{Arc, LazyLock};

static MODELS: LazyLock<Models> = LazyLock::new(Models::bundled);

/// The module is well formed, its text reads back as itself, and the rules run on it.
pub fn through_the_engine(module: Module) {
    let errors = verify::verify(&module);
    assert!(errors.is_empty(), "{errors:?}\n{}", text::print(&module));
    let printed = text::print(&module);
    let read = text::parse(&printed).expect("what was printed can be read");
    assert_eq!(printed, text::print(&read), "the text reads back as another module");
    heapwise_check::check(&Program::link(vec![module]), &MODELS, &Options::default());
}

/// Lowers `data` as a unit, and as a header that a unit includes twice.
pub fn c_family(path: &str, language: Language, data: &[u8]) {
    let files = Fuzzed { path, data: data.into() };
    for path in [path, "includes"] {
        let unit = Unit { language, ..Unit::new(path) };
        through_the_engine(heapwise_lang_c::lower(&unit, &files));
    }
}

struct Fuzzed<'a> {
    path: &'a str,
    data: Arc<[u8]>,
}

impl Files for Fuzzed<'_> {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        match path {
            "includes" => {
                Some(format!("#include \"{0}\"\n#include \"{0}\"\nint after;\n", self.path).into_bytes().into())
            }
            _ if path == self.path => Some(self.data.clone()),
            _ => None,
        }
    }
}
