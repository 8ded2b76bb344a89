//! Python 3.8 to 3.14: source text to the IR of `heapwise_check`.
//!
//! ```text
//! bytes --decode--> text --ruff_python_parser--> syntax tree --scopes, lower--> ir::Module
//! ```
//!
//! The parser recovers from broken syntax; what it could not read is said in [`Module::notes`]. How Python's
//! constructs look in the IR stands in [`mod@lower`]. What library functions mean is data of the engine.
//!
//! Cost: linear in the source, but for `finally` bodies, which are written out once per way that leaves them
//! (with a budget). Sources that nest deeper than CPython itself accepts are not read.
#![forbid(unsafe_code)]

mod expressions;
mod lower;
mod modules;
mod nesting;
mod notebook;
mod outline;
mod patterns;
mod scopes;
mod statements;
#[cfg(test)]
mod tests;

use heapwise_check::decode::decode;
use heapwise_check::ir::Module;
use heapwise_model::Language;
pub use modules::Modules;
use notebook::Notebook;
pub use outline::outline;
use ruff_python_ast::PySourceType;

/// Deepest sum of brackets, indentation and chained operators around any one token. CPython gives up at 200
/// brackets and 100 indentations; chains (`a + b + c`) are limited by its compiler's recursion.
const NESTING_LIMIT: u32 = 3_000;
/// From this nesting on, parsing, lowering and dropping run on a stack of their own.
const NESTING_OF_SMALL_STACK: u32 = 100;
const BIG_STACK_BYTES: usize = 256 << 20;

/// Lowers one source file, or the code cells of a notebook (`.ipynb`). Spans point into the text that [`decode`]
/// gives for the same bytes.
///
/// `modules`: what imports may mean besides libraries.
pub fn lower(path: &str, modules: &Modules, source: &[u8]) -> Module {
    let text = decode(source);
    let mut module = match path.ends_with(".ipynb") {
        true => {
            let notebook = Notebook::read(&text.text);
            lower_text(path, modules, &notebook.code, Some(&notebook))
        }
        false => lower_text(path, modules, &text.text, None),
    };
    module.notes.extend(text.notes.iter().map(|it| it.to_string()));
    module
}

fn lower_text(path: &str, modules: &Modules, text: &str, notebook: Option<&Notebook>) -> Module {
    let nesting = nesting::nesting(text);
    if nesting > NESTING_LIMIT || u32::try_from(text.len()).is_err() {
        let mut module = Module::new(path, Language::Python);
        module.module_name = modules.name(path);
        module.notes.push(match nesting > NESTING_LIMIT {
            true => format!("not read: nested more than {NESTING_LIMIT} deep"),
            false => "not read: longer than 4 GiB".to_string(),
        });
        return module;
    }
    if nesting <= NESTING_OF_SMALL_STACK {
        return parse_and_lower(path, modules, text, notebook);
    }
    stacker::grow(BIG_STACK_BYTES, || parse_and_lower(path, modules, text, notebook))
}

fn parse_and_lower(path: &str, modules: &Modules, text: &str, notebook: Option<&Notebook>) -> Module {
    let kind = if notebook.is_some() { PySourceType::Ipynb } else { PySourceType::Python };
    let parsed = ruff_python_parser::parse_unchecked_source(text, kind);
    let mut module = lower::module(path, modules, text, parsed.suite(), notebook);
    if let Some(first) = parsed.errors().first() {
        let line = 1 + text[..first.location.start().to_usize().min(text.len())].matches('\n').count();
        let count = parsed.errors().len();
        module.notes.push(match count {
            1 => format!("line {line}: {}", first.error),
            _ => format!("line {line}: {} (and {} more syntax errors)", first.error, count - 1),
        });
    }
    module
}
