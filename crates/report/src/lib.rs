//! One file per output format. Sees a [`heapwise_model::Report`], never how it was made.
//!
//! ```text
//! Report ─┬─ text, json, sarif, github, html      findings, for people, scripts, code scanning
//!         └─ pprof, folded, speedscope, firefox,  costs and findings, for other tools
//!            valgrind_xml
//! ```
//!
//! Every format is a function `write(out, report, options)`. All of them agree on where a finding
//! is ([`place`]), on its name across versions ([`fingerprint`]), and on what text of the observed
//! program may look like ([`sanitize`]). [`catalog`] describes the rules.
//!
//! ```
//! use heapwise_report::text::{self, TextOptions};
//!
//! let report = heapwise_model::Report::default();
//! let mut out = Vec::new();
//! text::write(&mut out, &report, &TextOptions::default())?;
//! assert_eq!(out, b"no findings\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Nothing here opens a file, looks at a process, or changes a report. The formats are owned by this
//! crate: they are written from its own shapes, so that `model` may change without breaking them.
#![forbid(unsafe_code)]

pub mod catalog;
pub mod fingerprint;
pub mod firefox;
pub mod folded;
pub mod github;
pub mod held;
pub mod html;
pub mod json;
pub mod names;
pub mod numbers;
pub mod place;
pub mod pprof;
mod retainers;
pub mod sanitize;
pub mod sarif;
pub mod sites;
pub mod speedscope;
mod style;
pub mod text;
pub mod valgrind_xml;

pub use sites::Metric;
