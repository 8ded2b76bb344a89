//! The text form of the IR: prints every module, reads back what it printed.
//!
//! One line per declaration, operation and end; the words are those of [`crate::ir`]. Names and literals are
//! quoted; spans are `!start-end`, with `FILE:` before them where the file is not the module's own.

mod parse;
mod print;

pub use parse::{Error, parse};
pub use print::{print, print_function};

use crate::ir::{Binary, ReadKind, SpawnKind, Unary};

/// Words for the variants of an enum, both ways.
macro_rules! words {
    ($type:ident $to:ident $from:ident { $($variant:ident $word:literal),* $(,)? }) => {
        fn $to(it: $type) -> &'static str { match it { $($type::$variant => $word),* } }
        fn $from(word: &str) -> Option<$type> {
            match word { $($word => Some($type::$variant),)* _ => None }
        }
    };
}

words! { Binary binary_word binary_of {
    Add "add", Subtract "subtract", Multiply "multiply", Divide "divide", Remainder "remainder",
    And "and", Or "or", Xor "xor", ShiftLeft "shl", ShiftRight "shr",
    Equal "eq", NotEqual "ne", Less "lt", LessEqual "le", Greater "gt", GreaterEqual "ge",
    In "in", IsA "isa",
} }

words! { Unary unary_word unary_of { Negate "negate", Not "not", Invert "invert" } }

words! { ReadKind read_word read_of {
    Iterate "iterate", Element "element", Length "length", Contains "contains", Slice "slice", Sort "sort",
    Concatenate "concatenate", Compare "compare", Serialize "serialize", Other "other",
} }

words! { SpawnKind spawn_word spawn_of {
    Thread "thread", Daemon "daemon", Process "process", Task "task", Timer "timer", Interval "interval",
} }

/// Words of languages, as in findings.
const LANGUAGES: [(heapwise_model::Language, &str); 7] = {
    use heapwise_model::Language::*;
    [
        (C, "c"),
        (Cpp, "c++"),
        (Rust, "rust"),
        (Python, "python"),
        (JavaScript, "javascript"),
        (TypeScript, "typescript"),
        (Native, "native"),
    ]
};
