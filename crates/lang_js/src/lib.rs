//! JavaScript and TypeScript, with JSX: source text to the IR of `heapwise_check`.
//!
//! ```text
//! bytes --decode--> text --oxc_parser--> syntax tree --oxc_semantic--> names --lower--> ir::Module
//! ```
//!
//! The parser recovers from some broken syntax; what it could not read is said in [`Module::notes`]. How the
//! language's constructs look in the IR stands in [`mod@lower`]. What library functions mean is data of the engine.
//!
//! Cost: linear in the source, but for `finally` bodies, which are written out once per way that leaves them
//! (with a budget). Sources that nest absurdly deep, and minified ones, are not read.
#![forbid(unsafe_code)]

mod calls;
mod classes;
mod exports;
mod expressions;
mod functions;
mod jsx;
mod lower;
mod modules;
mod nesting;
mod outline;
mod patterns;
mod statements;
#[cfg(test)]
mod tests;

use heapwise_check::decode::decode;
use heapwise_check::ir::Module;
use heapwise_model::Language;
pub use modules::module_name;
pub use outline::outline;
use oxc_allocator::Allocator;
use oxc_parser::{ParseOptions, Parser, ParserReturn};
use oxc_semantic::SemanticBuilder;
use oxc_span::SourceType;
use std::cell::Cell;

/// Deepest sum of brackets, tags and chained operators around any one token.
const NESTING_LIMIT: u32 = 10_000;
/// From this nesting on, parsing and lowering run on a stack of their own.
const NESTING_OF_SMALL_STACK: u32 = 60;
const BIG_STACK_BYTES: usize = 1 << 30;
/// Shorter files are read whatever they look like.
const MINIFIED_MIN_BYTES: usize = 8 << 10;
/// Average length of lines from which on nobody wrote them.
const MINIFIED_LINE_BYTES: usize = 400;

/// The language of a file, by its name.
pub fn language_of(path: &str) -> Option<Language> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let (stem, extension) = name.rsplit_once('.')?;
    match extension {
        "js" | "mjs" | "cjs" | "jsx" => Some(Language::JavaScript),
        // Declarations have no code.
        "ts" | "mts" | "cts" if stem.ends_with(".d") => None,
        "ts" | "mts" | "cts" | "tsx" => Some(Language::TypeScript),
        _ => None,
    }
}

/// Lowers one source file. Spans point into the text that [`decode`] gives for the same bytes.
pub fn lower(path: &str, source: &[u8]) -> Module {
    let text = decode(source);
    let mut module = lower_text(path, &text.text);
    module.notes.extend(text.notes.iter().map(|it| it.to_string()));
    module
}

fn lower_text(path: &str, text: &str) -> Module {
    let nesting = nesting::nesting(text);
    let why_not = if is_minified(text) {
        Some("not read: it looks minified".to_string())
    } else if nesting > NESTING_LIMIT {
        Some(format!("not read: nested more than {NESTING_LIMIT} deep"))
    } else if u32::try_from(text.len()).is_err() {
        Some("not read: longer than 4 GiB".to_string())
    } else {
        None
    };
    if let Some(note) = why_not {
        let mut module = Module::new(path, language_of(path).unwrap_or(Language::JavaScript));
        module.module_name = module_name(path);
        module.notes.push(note);
        return module;
    }
    match nesting <= NESTING_OF_SMALL_STACK {
        true => parse_and_lower(path, text),
        false => stacker::grow(BIG_STACK_BYTES, || parse_and_lower(path, text)),
    }
}

/// Whether a program wrote the text for another program.
fn is_minified(text: &str) -> bool {
    let lines = text.bytes().filter(|it| *it == b'\n').count() + 1;
    text.len() >= MINIFIED_MIN_BYTES && text.len() / lines >= MINIFIED_LINE_BYTES
}

/// Memory of syntax trees that a thread keeps for its next file. Fresh memory is cleared by the system first, which
/// costs as much as parsing.
const KEPT_BYTES: usize = 16 << 20;

thread_local! {
    static ALLOCATOR: Cell<Option<Allocator>> = const { Cell::new(None) };
}

fn parse_and_lower(path: &str, text: &str) -> Module {
    let mut allocator = ALLOCATOR.take().unwrap_or_default();
    let module = parse_and_lower_in(&allocator, path, text);
    if allocator.capacity() <= KEPT_BYTES {
        allocator.reset();
        ALLOCATOR.set(Some(allocator));
    }
    module
}

fn parse_and_lower_in(allocator: &Allocator, path: &str, text: &str) -> Module {
    let parsed = parse(allocator, path, text);
    let first = parsed.diagnostics.first().map(|it| it.to_string());
    let count = parsed.diagnostics.len();
    let semantic = SemanticBuilder::new().with_build_nodes(false).build(&parsed.program).semantic;
    let scoping = semantic.into_scoping();
    let mut module = lower::module(path, &parsed.program, &scoping);
    if let Some(first) = first {
        module.notes.push(match count {
            1 => first,
            _ => format!("{first} (and {} more syntax errors)", count - 1),
        });
    }
    module
}

fn parse<'a>(allocator: &'a Allocator, path: &str, text: &'a str) -> ParserReturn<'a> {
    let kind = source_type(path);
    let parse = |kind: SourceType| {
        let options = ParseOptions {
            allow_return_outside_function: true,
            preserve_parens: false,
            ..ParseOptions::default()
        };
        Parser::new(allocator, text, kind).with_options(options).parse()
    };
    let mut parsed = parse(kind);
    // Scripts may use as a name what modules reserve; some `.js` files are typed.
    if parsed.panicked || !parsed.diagnostics.is_empty() {
        for other in [kind.with_script(true), kind.with_typescript(true)] {
            let again = parse(other);
            if !again.panicked && again.diagnostics.is_empty() {
                parsed = again;
                break;
            }
        }
    }
    parsed
}

fn source_type(path: &str) -> SourceType {
    let extension = path.rsplit('.').next().unwrap_or_default();
    match extension {
        "ts" | "mts" | "cts" => SourceType::ts(),
        "tsx" => SourceType::tsx(),
        "cjs" => SourceType::script().with_jsx(true),
        // JSX is read in plain files too: that is where most of it is.
        _ => SourceType::unambiguous().with_jsx(true),
    }
}
