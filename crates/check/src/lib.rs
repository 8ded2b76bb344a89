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
pub mod finding;
pub mod growth;
pub mod ir;
pub mod managed;
pub mod managed_rules;
pub mod models;
pub mod program;
pub mod rules;
pub mod text;
pub mod verify;
