//! The statements of a function as they stand in its file, for edits. Made on demand.

use crate::{BIG_STACK_BYTES, NESTING_LIMIT, NESTING_OF_SMALL_STACK, nesting};
use heapwise_check::fixes::outline::{Outline, Statement, StatementId, StatementKind};
use ruff_python_ast::token::{TokenKind, Tokens};
use ruff_python_ast::{ExceptHandler, PySourceType, Stmt};
use ruff_text_size::{Ranged, TextRange};

/// The statements of the function whose name is at `name`, or of the module's own code where there is no such
/// function; `None`: the source has errors of syntax, or nests too deep.
pub fn outline(text: &str, name: (u32, u32)) -> Option<Outline> {
    let nesting = nesting::nesting(text);
    if nesting > NESTING_LIMIT || u32::try_from(text.len()).is_err() {
        return None;
    }
    if nesting <= NESTING_OF_SMALL_STACK {
        return read(text, name);
    }
    stacker::grow(BIG_STACK_BYTES, || read(text, name))
}

fn read(text: &str, name: (u32, u32)) -> Option<Outline> {
    let parsed = ruff_python_parser::parse_unchecked_source(text, PySourceType::Python);
    if !parsed.errors().is_empty() {
        return None;
    }
    let suite = find(parsed.suite(), name).unwrap_or_else(|| parsed.suite());
    let mut outline = Outline { texts: texts(text, parsed.tokens()), ..Outline::default() };
    block(&mut outline, suite, None)?;
    Some(outline)
}

/// The body of the function with that name's place.
fn find(suite: &[Stmt], name: (u32, u32)) -> Option<&[Stmt]> {
    let holds = |range: TextRange| u32::from(range.start()) <= name.0 && name.1 <= u32::from(range.end());
    let around = suite.iter().find(|it| holds(it.range()))?;
    if let Stmt::FunctionDef(it) = around
        && u32::from(it.name.range.end()) == name.1
    {
        return Some(&it.body);
    }
    let mut found = None;
    each_suite(around, &mut |suite| found = found.or_else(|| find(suite, name)));
    found
}

fn each_suite<'a>(statement: &'a Stmt, f: &mut dyn FnMut(&'a [Stmt])) {
    match statement {
        Stmt::FunctionDef(it) => f(&it.body),
        Stmt::ClassDef(it) => f(&it.body),
        Stmt::For(it) => {
            f(&it.body);
            f(&it.orelse);
        }
        Stmt::While(it) => {
            f(&it.body);
            f(&it.orelse);
        }
        Stmt::If(it) => {
            f(&it.body);
            it.elif_else_clauses.iter().for_each(|it| f(&it.body));
        }
        Stmt::With(it) => f(&it.body),
        Stmt::Match(it) => it.cases.iter().for_each(|it| f(&it.body)),
        Stmt::Try(it) => {
            f(&it.body);
            it.handlers.iter().for_each(|it| {
                let ExceptHandler::ExceptHandler(it) = it;
                f(&it.body);
            });
            f(&it.orelse);
            f(&it.finalbody);
        }
        _ => {}
    }
}

fn block(outline: &mut Outline, suite: &[Stmt], parent: Option<StatementId>) -> Option<()> {
    let (Some(first), Some(last)) = (suite.first(), suite.last()) else { return Some(()) };
    let range = TextRange::new(first.range().start(), last.range().end());
    let id = push(outline, range, parent, StatementKind::Block)?;
    for statement in suite {
        let at = push(outline, statement.range(), Some(id), kind(statement))?;
        let mut suites = Vec::new();
        each_suite(statement, &mut |it| suites.push(it));
        for suite in suites {
            block(outline, suite, Some(at))?;
        }
    }
    Some(())
}

fn push(
    outline: &mut Outline,
    range: TextRange,
    parent: Option<StatementId>,
    kind: StatementKind,
) -> Option<StatementId> {
    let id = StatementId(u32::try_from(outline.statements.len()).ok()?);
    let (start, end) = (range.start().into(), range.end().into());
    outline.statements.push(Statement { start, end, before: start, parent, kind, is_sole: false });
    Some(id)
}

fn kind(statement: &Stmt) -> StatementKind {
    match statement {
        Stmt::FunctionDef(_) | Stmt::ClassDef(_) => StatementKind::Definition,
        Stmt::For(_) | Stmt::While(_) => StatementKind::Loop,
        Stmt::If(it) => {
            StatementKind::If { has_else: it.elif_else_clauses.iter().any(|it| it.test.is_none()) }
        }
        Stmt::Match(_) => StatementKind::Switch,
        Stmt::With(_) => StatementKind::With,
        Stmt::Try(_) => StatementKind::Try,
        Stmt::Return(_) => StatementKind::Return,
        Stmt::Break(_) => StatementKind::Break,
        Stmt::Continue(_) | Stmt::Raise(_) => StatementKind::Jump,
        _ => StatementKind::Simple,
    }
}

/// Literals of more than one line: white space in them is their content.
fn texts(text: &str, tokens: &Tokens) -> Vec<(u32, u32)> {
    let mut texts = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    for token in tokens.iter() {
        let (start, end): (u32, u32) = (token.start().into(), token.end().into());
        let range = match token.kind() {
            TokenKind::String => (start, end),
            TokenKind::FStringStart | TokenKind::TStringStart => {
                open.push(start);
                continue;
            }
            TokenKind::FStringEnd | TokenKind::TStringEnd => (open.pop().unwrap_or(start), end),
            _ => continue,
        };
        if text[range.0 as usize..range.1 as usize].contains('\n') {
            texts.push(range);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_a_function() {
        let text = "x = 1\nclass C:\n    def f(self):\n        if x:\n            return '''a\nb'''\n        y = 2\n";
        let at = text.find("f(").unwrap() as u32;
        let outline = outline(text, (at, at + 1)).unwrap();
        let shown: Vec<_> = outline
            .statements
            .iter()
            .map(|it| (it.kind, &text[it.start as usize..it.end as usize]))
            .collect();
        assert_eq!(shown.len(), 5);
        assert_eq!(shown[1].0, StatementKind::If { has_else: false });
        assert_eq!(shown[3], (StatementKind::Return, "return '''a\nb'''"));
        assert_eq!(shown[4], (StatementKind::Simple, "y = 2"));
        assert_eq!(outline.texts.len(), 1);
    }

    #[test]
    fn broken_or_deep_sources_have_none() {
        assert!(super::outline("def f(:\n  pass", (4, 5)).is_none());
        assert!(
            super::outline(&format!("x = {}1{}", "(".repeat(100_000), ")".repeat(100_000)), (0, 0)).is_none()
        );
    }
}
