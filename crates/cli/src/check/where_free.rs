//! `check --where-free FILE:LINE`: every place where what a line makes may be given back.

use super::sources::Lines;
use super::{Earlier, Subject, check};
use crate::Failure;
use crate::args::{Common, Format};
use crate::output::{self, Stream};
use heapwise_check::fixes::edit::Position;
use heapwise_check::fixes::{FreePlace, where_free};
use serde_json::{Value, json};

pub fn run(common: &Common, subject: &Subject<'_>, file: &str, line: u32) -> Result<u8, Failure> {
    let Subject { sources, texts, models, .. } = *subject;
    let file = file.strip_prefix("./").unwrap_or(file);
    if !sources.iter().any(|it| it.path == file) {
        return Err(Failure::new(
            format!("{file} is not among the files that are checked"),
            "heapwise check --where-free FILE:LINE FILE, with the same FILE",
        ));
    }
    let run = check(subject, Earlier::default(), &|| ());
    let text = texts.shown(file).unwrap_or_default();
    let lines = Lines::new(&text);
    let start = lines
        .offset(line, 1)
        .ok_or_else(|| Failure::new(format!("{file} has no line {line}"), "lines count from 1"))?;
    let end = lines.offset(line + 1, 1).unwrap_or(text.len());
    let found = where_free(&run.program, models, texts, file, (start as u32, end as u32));
    let place = |offset: u32| lines.place(offset);
    if common.format == Format::Json {
        let allocations: Vec<Value> = found
            .iter()
            .map(|it| {
                let (line, column) = place(it.at.span.start);
                let places = it.places.iter().map(|it| edits(it, file, &lines)).collect::<Vec<_>>();
                json!({"location": {"path": file, "line": line, "column": column}, "places": places})
            })
            .collect();
        let document = json!({"version": 1, "allocations": allocations});
        output::with(common, Stream::Output, |out, _| writeln!(out, "{document:#}"))?;
        return Ok(0);
    }
    output::with(common, Stream::Output, |out, _| {
        if found.is_empty() {
            writeln!(out, "{file}:{line}: nothing is allocated or opened here that can be given back here")?;
        }
        for it in &found {
            let (line, column) = place(it.at.span.start);
            let count = it.places.len();
            let places = if count == 1 { "place" } else { "places" };
            writeln!(out, "{file}:{line}:{column}: {count} {places} to give it back")?;
            for it in &it.places {
                let Some(first) = it.edits.first() else { continue };
                let (line, column) = place(first.start);
                let text = heapwise_report::sanitize::clean(&it.code).into_owned();
                writeln!(out, "  {file}:{line}:{column}: {}: {text}", in_words(it.position))?;
            }
        }
        Ok(())
    })?;
    Ok(0)
}

fn in_words(position: Position) -> &'static str {
    match position {
        Position::Before(_) => "before this statement",
        Position::After(_) => "after this statement",
        Position::Close(_) => "at the end of this block",
        Position::Else(_) => "in an else of its own",
    }
}

/// As in a finding's fix.
fn edits(it: &FreePlace, file: &str, lines: &Lines) -> Value {
    let edits = it.edits.iter().map(|edit| {
        let ((line, column), (end_line, end_column)) = (lines.place(edit.start), lines.place(edit.end));
        json!({"path": file, "line": line, "column": column, "end_line": end_line, "end_column": end_column,
               "insert": edit.insert})
    });
    json!({"code": it.code, "edits": edits.collect::<Vec<_>>()})
}
