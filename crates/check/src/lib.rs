//! The static engine: one intermediate representation for all languages, its text form and verifier,
//! summaries of functions, and the rules on them.
//!
//! ```text
//! source --lang_*--> Module --link--> Program --summaries--> rules --> findings
//! ```
//!
//! No parser is named here, no file is opened, nothing is printed.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod build;
pub mod decode;
pub mod finding;
pub mod fixes;
pub mod growth;
pub mod ir;
pub mod managed;
pub mod models;
pub mod program;
pub mod rules;
pub mod text;
mod text_index;
pub mod verify;

use analysis::kept::Kept;
use analysis::{Analysis, Options, Spot};
use finding::{At, Found};
use models::Models;
use program::Program;

/// What was found in a program, whatever its languages.
pub struct Checked {
    pub found: Vec<Found>,
    /// Functions of which not all paths were seen, for lack of budget.
    pub incomplete: usize,
    /// The program is so large that each function had less of a budget.
    pub is_cut: bool,
}

/// Runs all rules. The result depends on nothing but its arguments.
pub fn check(program: &Program, models: &Models, options: &Options) -> Checked {
    let (native, managed) =
        rayon::join(|| analysis::analyze(program, models, options), || managed::check(&program.modules));
    checked(program, native, managed)
}

/// The same with results of functions that an earlier run with the same models and options kept; gives those of
/// this run.
pub fn check_again(program: &Program, models: &Models, options: &Options, kept: &Kept) -> (Checked, Kept) {
    let ((native, kept), managed) = rayon::join(
        || analysis::analyze_again(program, models, options, kept),
        || managed::check(&program.modules),
    );
    (checked(program, native, managed), kept)
}

fn checked(program: &Program, native: Analysis, managed: Vec<Found>) -> Checked {
    let mut found: Vec<Found> = native.findings.into_iter().map(|it| of_native(program, it)).collect();
    found.extend(managed);
    Checked { found, incomplete: native.incomplete.len(), is_cut: native.is_cut }
}

fn of_native(program: &Program, it: analysis::Finding) -> Found {
    let at = |spot: Spot| At {
        module: spot.module,
        span: spot.span,
        function: program.functions[spot.function as usize].function,
    };
    Found {
        rule: it.rule,
        kind: it.kind,
        severity: it.severity,
        confidence: it.confidence,
        message: it.message,
        at: at(it.place),
        related: it.related.into_iter().map(|(message, spot)| (message, at(spot))).collect(),
        fix: None,
    }
}
