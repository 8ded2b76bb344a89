//! A finding: the only thing the static and the dynamic world share.

use crate::{Kind, RootKind, Rule, StackId, Total};
use serde::{Deserialize, Serialize};

/// How bad. Ordered: `Error` is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Very likely a bug, or costs much.
    Warning,
    /// A bug.
    Error,
}

/// How sure. What was observed in a run is `Certain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    Likely,
    /// Holds on every execution that reaches it.
    Proven,
    /// Observed in a run.
    Certain,
}

/// Who found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Run,
    Check,
    Snapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    C,
    #[serde(rename = "c++")]
    Cpp,
    Rust,
    Python,
    JavaScript,
    TypeScript,
    /// Any other compiled language.
    #[default]
    Native,
}

/// A range in a source file. Lines and columns count from 1, columns in UTF-8 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Location {
    pub path: String,
    pub line: u32,
    pub column: Option<u32>,
    pub end_line: Option<u32>,
    pub end_column: Option<u32>,
    pub function: Option<String>,
}

/// Where a finding, or something that belongs to it, is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Source(Location),
    /// A stack of the report's table; its first own frame with a line gives the location.
    Stack(StackId),
    /// Nowhere that is known.
    Unknown,
}

/// Something that helps to understand a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    pub message: String,
    pub place: Place,
}

/// Whether an edit keeps behavior but for the bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Safety {
    /// Applied by `--fix`.
    Safe,
    /// Needs a look; applied by `--unsafe-fixes`.
    Unsafe,
}

/// Replaces a range by `insert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub location: Location,
    pub insert: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    pub message: String,
    pub safety: Safety,
    pub edits: Vec<Edit>,
}

/// One bug, with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: Rule,
    pub kind: Option<Kind>,
    pub severity: Severity,
    pub confidence: Confidence,
    pub engine: Engine,
    /// `None`: derived from the place's first own frame when shown.
    pub language: Option<Language>,
    /// One sentence, plain text, numbers grouped by commas.
    pub message: String,
    pub place: Place,
    pub related: Vec<Related>,
    /// What to try, in words; shown after "help:".
    pub help: Option<String>,
    pub bytes: Option<u64>,
    pub blocks: Option<u64>,
    /// The stacks that meet at the place, where there are several: the heaviest first, which is also `place`.
    /// Their figures add up to `bytes` and `blocks`.
    pub stacks: Vec<StackShare>,
    /// Why its memory is alive, for blocks that a root reaches.
    pub held: Option<Held>,
    /// The same for an object of a language's runtime.
    pub retainers: Option<Retainers>,
    pub fix: Option<Fix>,
}

/// Steps of a chain before those that are left out, where some are.
pub const FIRST_STEPS: usize = 8;

/// A shortest chain of pointers from a root to one of a finding's blocks: the one that retains most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where the chain begins.
    pub kind: RootKind,
    /// Address of the root's pointer in the process; 0 for registers.
    pub place: u64,
    /// The variable there, where it is known.
    pub variable: Option<Variable>,
    /// From what the root points to, to the block itself.
    pub steps: Vec<HeldStep>,
    /// Steps missing after the first eight.
    pub left_out: usize,
    /// What goes when all the finding's blocks go: they and what only they keep.
    pub retained: Total,
}

/// A shortest chain of references from a root to an object.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Retainers {
    /// From what users know (a global object, if any leads there) to the object itself.
    pub steps: Vec<RetainerStep>,
    /// Steps missing after the first of `steps`.
    pub left_out: usize,
    /// What goes when the object goes.
    pub retained: Total,
}

/// An object on such a chain.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RetainerStep {
    /// What it is: `global`, `Map with 1,204 entries`, `function onData`.
    pub object: String,
    /// How it refers to the next one: `.cache`, `[3]`, `variable cache`; empty at the end.
    pub reference: String,
    /// Where its function is written, or its class.
    pub place: Option<Location>,
}

/// A place in a module's data.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Variable {
    /// Demangled; `None` where no symbol covers the place.
    pub name: Option<String>,
    /// Bytes into the variable; without a name, the module's own address.
    pub offset: u64,
    /// File name of the module.
    pub module: String,
}

/// Blocks of one stack, side by side on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldStep {
    pub stack: StackId,
    pub total: Total,
    /// Where in the (last) block the pointer to the next step stands; `None` at the end.
    pub offset: Option<u32>,
}

/// What one of a finding's stacks has part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackShare {
    pub stack: StackId,
    pub total: Total,
}
