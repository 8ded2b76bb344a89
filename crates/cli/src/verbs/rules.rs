//! `heapwise rules`.

use crate::Failure;
use crate::args::{Common, Format};
use crate::output::{self, Stream};
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

pub fn run(common: &Common) -> Result<u8, Failure> {
    let rows: Vec<Row> = catalog::catalog().iter().map(row).collect();
    output::with(common, Stream::Output, |out, _| match common.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &rows)?;
            writeln!(out)
        }
        _ => {
            for row in &rows {
                let cwe: Vec<_> = row.cwe.iter().map(|it| format!("CWE-{it}")).collect();
                writeln!(out, "{:<22} {:<16} {}", row.rule, cwe.join(" "), row.summary)?;
            }
            writeln!(out, "\nnext: heapwise explain RULE")
        }
    })?;
    Ok(0)
}
