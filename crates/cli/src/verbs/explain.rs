//! `heapwise explain RULE`.

use crate::Failure;
use crate::args::{Common, Explain};
use crate::output::{self, Stream};
use heapwise_report::catalog;

pub fn run(args: &Explain, common: &Common) -> Result<u8, Failure> {
    output::with(common, Stream::Output, |out, color| {
        for line in catalog::page(args.rule).lines() {
            if color && line.starts_with('#') {
                writeln!(out, "\x1b[1m{line}\x1b[0m")?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        writeln!(out)
    })?;
    Ok(0)
}
