//! `heapwise rules`.

use crate::Failure;
use crate::args::{Common, Format};
use crate::output::{self, Stream};
use heapwise_model::{Engine, Language};
use heapwise_report::catalog::{self, CatalogEntry};
use serde::Serialize;

#[derive(Serialize)]
struct Row {
    rule: &'static str,
    kinds: Vec<&'static str>,
    languages: Vec<&'static str>,
    engines: Vec<&'static str>,
    cwe: Vec<u16>,
    summary: &'static str,
}

fn row(entry: &CatalogEntry) -> Row {
    Row {
        rule: entry.rule.name(),
        kinds: entry.kinds.iter().map(|it| it.name()).collect(),
        languages: entry.languages.iter().map(|&it| catalog::language_name(it)).collect(),
        engines: entry.engines.iter().map(|&it| catalog::engine_name(it)).collect(),
        cwe: entry.cwe.to_vec(),
        summary: entry.summary,
    }
}

/// Letters of the language groups: C for what compiles to native code, P for Python, J for JavaScript and TypeScript.
fn letters(entry: &CatalogEntry) -> String {
    let group = |letter: char, of: &[Language]| match entry.languages.iter().any(|it| of.contains(it)) {
        true => letter,
        false => ' ',
    };
    let c = group('C', &[Language::C, Language::Cpp]);
    let python = group('P', &[Language::Python]);
    let javascript = group('J', &[Language::JavaScript, Language::TypeScript]);
    format!("{c} {python} {javascript}")
}

fn engines(entry: &CatalogEntry) -> &'static str {
    match (entry.engines.contains(&Engine::Run), entry.engines.contains(&Engine::Check)) {
        (true, true) => "both",
        (true, false) => "run",
        _ => "check",
    }
}

fn line(entry: &CatalogEntry) -> String {
    let cwe: Vec<String> = entry.cwe.iter().map(u16::to_string).collect();
    let line = format!(
        "{:<22} {:<49} {} {:<5} {}",
        entry.rule.name(),
        entry.title,
        letters(entry),
        engines(entry),
        cwe.join(" ")
    );
    line.trim_end().to_string()
}

const HEAD: &str = "RULE                   MEANS                                             FOR   BY    CWE";
const FOOT: &str = "\
\nC: C, C++ and, under run, Rust. P: Python. J: JavaScript and TypeScript.

next: heapwise explain RULE";

pub fn run(common: &Common) -> Result<u8, Failure> {
    let entries = catalog::catalog();
    output::with(common, Stream::Output, |out, _| match common.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &entries.iter().map(row).collect::<Vec<_>>())?;
            writeln!(out)
        }
        _ => {
            writeln!(out, "{HEAD}")?;
            for entry in entries {
                writeln!(out, "{}", line(entry))?;
            }
            writeln!(out, "{FOOT}")
        }
    })?;
    Ok(0)
}

#[test]
fn lines_fit_a_hundred_columns() {
    for entry in catalog::catalog() {
        assert!(line(entry).chars().count() <= 100, "{}", line(entry));
    }
}
