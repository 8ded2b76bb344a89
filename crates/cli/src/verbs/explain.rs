//! `heapwise explain RULE`.

use crate::Failure;
use crate::args::{Common, Explain};
use crate::output::{self, Stream};
use heapwise_report::catalog;
use heapwise_report::text::wrapped;

pub fn run(args: &Explain, common: &Common) -> Result<u8, Failure> {
    output::with(common, Stream::Output, |out, color| {
        let width = output::text_options(common, Stream::Output, color).width;
        let mut is_code = false;
        for line in catalog::page(args.rule).lines() {
            is_code ^= line.starts_with("```");
            if !is_code && line.chars().count() > width {
                for part in wrapped(line, width) {
                    writeln!(out, "{part}")?;
                }
            } else if color && line.starts_with('#') {
                writeln!(out, "\x1b[1m{line}\x1b[0m")?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        writeln!(out)
    })?;
    Ok(0)
}
