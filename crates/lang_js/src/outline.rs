//! The statements of a function as they stand in its file, for edits. Made on demand.

use crate::{BIG_STACK_BYTES, NESTING_LIMIT, NESTING_OF_SMALL_STACK, nesting, parse};
use heapwise_check::fixes::outline::{Outline, Statement, StatementId, StatementKind};
use oxc_allocator::Allocator;
use oxc_ast::ast;
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};
use oxc_syntax::scope::ScopeFlags;

/// The statements of the function that stands at `[start, end)`; `None`: there is none with a body in braces, the
/// source has errors of syntax, or nests too deep.
pub fn outline(path: &str, text: &str, (start, end): (u32, u32)) -> Option<Outline> {
    let nesting = nesting::nesting(text);
    if nesting > NESTING_LIMIT || u32::try_from(text.len()).is_err() {
        return None;
    }
    let wanted = Span::new(start, end);
    match nesting <= NESTING_OF_SMALL_STACK {
        true => read(path, text, wanted),
        false => stacker::grow(BIG_STACK_BYTES, || read(path, text, wanted)),
    }
}

fn read(path: &str, text: &str, wanted: Span) -> Option<Outline> {
    let allocator = Allocator::default();
    let parsed = parse(&allocator, path, text);
    if parsed.panicked || !parsed.diagnostics.is_empty() {
        return None;
    }
    let mut reader = Reader { wanted, outline: Outline::default(), parents: Vec::new() };
    reader.visit_program(&parsed.program);
    (!reader.outline.statements.is_empty()).then_some(reader.outline)
}

struct Reader {
    wanted: Span,
    outline: Outline,
    /// Statements around the one that is read, outermost first; none outside of the function.
    parents: Vec<StatementId>,
}

impl Reader {
    fn push(&mut self, span: Span, kind: StatementKind) {
        let parent = self.parents.last().copied();
        let is_body = parent.is_some_and(|it| {
            matches!(self.outline.get(it).kind, StatementKind::If { .. } | StatementKind::Loop)
        });
        // More statements than there are numbers do not fit into a file.
        let id = StatementId(u32::try_from(self.outline.statements.len()).unwrap_or(u32::MAX));
        self.outline.statements.push(Statement {
            start: span.start,
            end: span.end,
            before: span.start,
            parent,
            kind,
            is_sole: is_body && kind != StatementKind::Block,
        });
        self.parents.push(id);
    }

    /// The wanted function's body; other functions are looked through on the way to it, and left out within it.
    fn function(&mut self, span: Span, body: Option<&ast::FunctionBody<'_>>, inside: impl FnOnce(&mut Self)) {
        if !self.parents.is_empty() || !self.outline.statements.is_empty() {
            return;
        }
        match body {
            Some(body) if span.end == self.wanted.end && span.start >= self.wanted.start => {
                self.push(body.span, StatementKind::Block);
                for statement in &body.statements {
                    self.visit_statement(statement);
                }
                self.parents.clear();
            }
            _ => inside(self),
        }
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_function(&mut self, it: &ast::Function<'a>, flags: ScopeFlags) {
        self.function(it.span, it.body.as_deref(), |reader| walk::walk_function(reader, it, flags));
    }

    fn visit_arrow_function_expression(&mut self, it: &ast::ArrowFunctionExpression<'a>) {
        let body = match &it.body {
            ast::ArrowFunctionBody::FunctionBody(body) => Some(&**body),
            _ => None,
        };
        self.function(it.span, body, |reader| walk::walk_arrow_function_expression(reader, it));
    }

    fn visit_statement(&mut self, it: &ast::Statement<'a>) {
        if self.parents.is_empty() {
            if self.outline.statements.is_empty() {
                walk::walk_statement(self, it);
            }
            return;
        }
        self.push(it.span(), kind(it));
        walk::walk_statement(self, it);
        self.parents.pop();
    }
}

fn kind(it: &ast::Statement<'_>) -> StatementKind {
    use ast::Statement as S;
    match it {
        S::BlockStatement(_) => StatementKind::Block,
        S::IfStatement(it) => StatementKind::If { has_else: it.alternate.is_some() },
        S::ForStatement(_)
        | S::ForInStatement(_)
        | S::ForOfStatement(_)
        | S::WhileStatement(_)
        | S::DoWhileStatement(_) => StatementKind::Loop,
        S::SwitchStatement(_) => StatementKind::Switch,
        S::TryStatement(_) => StatementKind::Try,
        S::WithStatement(_) => StatementKind::With,
        S::ReturnStatement(_) => StatementKind::Return,
        S::BreakStatement(_) => StatementKind::Break,
        S::ContinueStatement(_) | S::ThrowStatement(_) => StatementKind::Jump,
        S::FunctionDeclaration(_) | S::ClassDeclaration(_) => StatementKind::Definition,
        _ => StatementKind::Simple,
    }
}
