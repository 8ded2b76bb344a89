//! Edits on the text of a function: statements put before, after and around others, in the style of their lines.

use super::outline::{Outline, StatementId, StatementKind};
use std::sync::Arc;

/// Replaces bytes `[start, end)` of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    pub start: u32,
    pub end: u32,
    pub insert: String,
}

impl Edit {
    pub fn new(start: u32, end: u32, insert: impl Into<String>) -> Edit {
        Edit { start, end, insert: insert.into() }
    }

    pub fn at(offset: u32, insert: impl Into<String>) -> Edit {
        Edit::new(offset, offset, insert)
    }
}

/// Where a statement of ours goes. Ordered as candidates are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    Before(StatementId),
    After(StatementId),
    /// Before the block's closing brace.
    Close(StatementId),
    /// In an `else` that the `if` gets.
    Else(StatementId),
}

/// A function's source.
pub struct Source {
    pub text: Arc<[u8]>,
    pub outline: Outline,
}

impl Source {
    pub fn slice(&self, start: u32, end: u32) -> &str {
        let bytes = self.text.get(start as usize..end as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub fn newline(&self) -> &'static str {
        let first = self.text.iter().position(|it| *it == b'\n');
        let is_dos = first.is_some_and(|it| it > 0 && self.text[it - 1] == b'\r');
        if is_dos { "\r\n" } else { "\n" }
    }

    pub fn line_start(&self, offset: u32) -> u32 {
        let before = &self.text[..(offset as usize).min(self.text.len())];
        before.iter().rposition(|it| *it == b'\n').map_or(0, |it| it as u32 + 1)
    }

    /// The line's end, its line break left out.
    pub fn line_end(&self, offset: u32) -> u32 {
        let rest = &self.text[(offset as usize).min(self.text.len())..];
        let end = offset as usize + rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len());
        let is_dos = end > 0 && self.text.get(end - 1) == Some(&b'\r') && end > offset as usize;
        (end - usize::from(is_dos)) as u32
    }

    /// White space that the line begins with.
    pub fn indent(&self, offset: u32) -> &str {
        let start = self.line_start(offset);
        let line = &self.text[start as usize..];
        let length = line.iter().take_while(|it| matches!(it, b' ' | b'\t')).count() as u32;
        self.slice(start, start + length)
    }

    /// Whether nothing stands before it on its line.
    pub fn is_first_on_line(&self, offset: u32) -> bool {
        self.line_start(offset) + self.indent(offset).len() as u32 == offset
    }

    /// Where a new line may begin after `offset`: behind a comment that ends the line; `None`: code follows.
    pub fn end_of_code_line(&self, offset: u32) -> Option<u32> {
        let end = self.line_end(offset);
        let rest = std::str::from_utf8(self.text.get(offset as usize..end as usize)?).ok()?.trim();
        let is_comment = rest.starts_with("//") && !rest.ends_with('\\')
            || rest.starts_with("/*") && rest.find("*/") == Some(rest.len().wrapping_sub(2));
        (rest.is_empty() || is_comment).then_some(end)
    }

    /// The same in Python.
    pub fn end_of_python_line(&self, offset: u32) -> Option<u32> {
        let end = self.line_end(offset);
        let rest = self.slice(offset, end).trim();
        (rest.is_empty() || rest.starts_with('#')).then_some(end)
    }

    /// One more level of indentation, as the function's own body has it.
    pub fn unit(&self) -> String {
        let statements = &self.outline.statements;
        let of = |it: u32| self.indent(it).to_owned();
        let own = statements
            .iter()
            .skip(1)
            .find(|it| self.is_first_on_line(it.start) && it.parent == Some(StatementId(0)));
        let (Some(own), Some(body)) = (own, statements.first()) else { return "    ".to_owned() };
        let (inner, outer) = (of(own.start), of(body.end.saturating_sub(1)));
        inner.strip_prefix(&outer).filter(|it| !it.is_empty()).map_or("    ".to_owned(), str::to_owned)
    }

    /// Puts `code`, whole statements, one per line, at a position.
    pub fn put(&self, position: Position, code: &[String]) -> Option<Vec<Edit>> {
        let newline = self.newline();
        let lines = |indent: &str| code.join(&format!("{newline}{indent}"));
        match position {
            Position::Before(id) => {
                let statement = self.outline.get(id);
                let is_first = self.is_first_on_line(statement.start);
                let indent = self.indent(statement.start).to_owned();
                if statement.is_sole {
                    return self.wrapped(id, code, true);
                }
                let text = match is_first {
                    true => format!("{}{newline}{indent}", lines(&indent)),
                    false => format!("{} ", code.join(" ")),
                };
                Some(vec![Edit::at(statement.start, text)])
            }
            Position::After(id) => {
                let statement = self.outline.get(id);
                if statement.is_sole {
                    return self.wrapped(id, code, false);
                }
                let end = self.end_of_code_line(statement.end);
                Some(vec![match end.filter(|_| self.is_first_on_line(statement.start)) {
                    Some(end) => {
                        let indent = self.indent(statement.start).to_owned();
                        Edit::at(end, format!("{newline}{indent}{}", lines(&indent)))
                    }
                    None => Edit::at(statement.end, format!(" {}", code.join(" "))),
                }])
            }
            Position::Close(id) => {
                let brace = self.outline.get(id).end - 1;
                if self.text.get(brace as usize) != Some(&b'}') {
                    return None;
                }
                Some(vec![match self.is_first_on_line(brace) {
                    true => {
                        let indent = format!("{}{}", self.indent(brace), self.unit());
                        Edit::at(self.line_start(brace), format!("{indent}{}{newline}", lines(&indent)))
                    }
                    false => {
                        let space = if self.slice(brace - 1, brace) == "{" { " " } else { "" };
                        Edit::at(brace, format!("{space}{} ", code.join(" ")))
                    }
                }])
            }
            Position::Else(id) => {
                let then = self.outline.statements.iter().find(|it| it.parent == Some(id))?;
                // A sole `if` would take the `else` for its own.
                if then.kind != StatementKind::Block && then.kind != StatementKind::Simple {
                    return None;
                }
                let statement = self.outline.get(id);
                let outer = self.indent(statement.start).to_owned();
                let inner = format!("{outer}{}", self.unit());
                let body = format!("{newline}{inner}{}", lines(&inner));
                Some(vec![match then.kind {
                    StatementKind::Block => Edit::at(then.end, format!(" else {{{body}{newline}{outer}}}")),
                    _ => Edit::at(
                        self.end_of_code_line(then.end).unwrap_or(then.end),
                        format!("{newline}{outer}else {{{body}{newline}{outer}}}"),
                    ),
                }])
            }
        }
    }

    /// Takes a statement out, with its line where nothing else stands there.
    pub fn remove(&self, id: StatementId) -> Edit {
        let statement = self.outline.get(id);
        let (start, end) = (statement.start, statement.end);
        // What begins with a label, or is all that an `if` does, has to stay a statement.
        let is_needed =
            statement.is_sole || self.slice(statement.before.saturating_sub(1), statement.before) == ":";
        if is_needed {
            return Edit::new(start, end, ";");
        }
        let line_end = self.line_end(end);
        let is_alone = self.is_first_on_line(start) && self.slice(end, line_end).trim().is_empty();
        if is_alone {
            let after = self.text[line_end as usize..].iter().position(|it| *it == b'\n');
            return Edit::new(self.line_start(start), line_end + after.map_or(0, |it| it as u32 + 1), "");
        }
        let space = u32::from(self.slice(end, end + 1) == " ");
        Edit::new(start, end + space, "")
    }

    /// Braces around a statement that had none, and `code` before or after it.
    fn wrapped(&self, id: StatementId, code: &[String], is_before: bool) -> Option<Vec<Edit>> {
        let statement = self.outline.get(id);
        let newline = self.newline();
        if !self.is_first_on_line(statement.start) {
            let code = code.join(" ");
            return Some(match is_before {
                true => vec![Edit::at(statement.start, format!("{{ {code} ")), Edit::at(statement.end, " }")],
                false => {
                    vec![Edit::at(statement.start, "{ "), Edit::at(statement.end, format!(" {code} }}"))]
                }
            });
        }
        let outer = self.indent(self.outline.get(statement.parent?).start).to_owned();
        let indent = self.indent(statement.start).to_owned();
        let end = self.end_of_code_line(statement.end).unwrap_or(statement.end);
        let lines = code.join(&format!("{newline}{indent}"));
        let close = format!("{newline}{outer}}}");
        Some(match is_before {
            true => vec![
                Edit::at(statement.before, " {"),
                Edit::at(statement.start, format!("{lines}{newline}{indent}")),
                Edit::at(end, close),
            ],
            false => vec![
                Edit::at(statement.before, " {"),
                Edit::at(end, format!("{newline}{indent}{lines}{close}")),
            ],
        })
    }
}
