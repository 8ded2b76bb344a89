//! Statements: control flow, and what runs when a block is left.

use crate::lower::{Exit, Loop, Lowering};
use heapwise_check::ir::*;
use oxc_ast::ast::{
    self, Expression, ForStatementInit, ForStatementLeft, Statement, VariableDeclarationKind,
};

impl<'a> Lowering<'a> {
    pub fn statements(&mut self, body: &'a [Statement<'a>]) {
        for statement in body {
            if self.f().is_reachable() || is_definition(statement) {
                self.statement(statement, &mut Vec::new());
            }
        }
    }

    /// A block with names of its own.
    fn block(&mut self, body: &'a [Statement<'a>]) {
        self.hoist(body);
        self.statements(body);
    }

    fn statement(&mut self, statement: &'a Statement<'a>, labels: &mut Vec<Box<str>>) {
        let span = self.span(statement);
        match statement {
            Statement::BlockStatement(it) if labels.is_empty() => self.block(&it.body),
            Statement::ExpressionStatement(it) => {
                self.expression(&it.expression);
            }
            Statement::VariableDeclaration(it) => self.variables(it),
            Statement::FunctionDeclaration(it) => self.function_declaration(it),
            Statement::ClassDeclaration(it) => {
                self.class(it, None);
            }
            Statement::IfStatement(it) => self.if_statement(it),
            Statement::ReturnStatement(it) => {
                let value = it.argument.as_ref().map(|it| self.expression(it));
                self.leave(0, End::Return(value), span);
            }
            Statement::ThrowStatement(it) => {
                let value = self.expression(&it.argument);
                self.f().end(End::Raise(value), span);
            }
            Statement::TryStatement(it) => self.try_statement(it),
            Statement::WhileStatement(it) => self.while_loop(&it.test, &it.body, std::mem::take(labels)),
            Statement::DoWhileStatement(it) => self.do_while_loop(it, std::mem::take(labels)),
            Statement::ForStatement(it) => self.for_loop(it, std::mem::take(labels)),
            Statement::ForOfStatement(it) => {
                let labels = std::mem::take(labels);
                self.iteration(
                    &it.left,
                    &it.right,
                    &it.body,
                    labels,
                    Iteration { is_async: it.r#await, is_keys: false },
                );
            }
            Statement::ForInStatement(it) => {
                let labels = std::mem::take(labels);
                self.iteration(
                    &it.left,
                    &it.right,
                    &it.body,
                    labels,
                    Iteration { is_async: false, is_keys: true },
                );
            }
            Statement::SwitchStatement(it) => self.switch(it, std::mem::take(labels)),
            Statement::LabeledStatement(it) => self.labeled(it, labels),
            Statement::BreakStatement(it) => {
                self.jump(it.label.as_ref().map(|it| it.name.as_str()), true, span)
            }
            Statement::ContinueStatement(it) => {
                self.jump(it.label.as_ref().map(|it| it.name.as_str()), false, span);
            }
            Statement::WithStatement(it) => {
                self.expression(&it.object);
                self.statement(&it.body, &mut Vec::new());
            }
            Statement::BlockStatement(_) => self.labeled_block(statement, std::mem::take(labels)),
            Statement::TSNamespaceDeclaration(it) => self.namespace_declaration(it),
            Statement::TSEnumDeclaration(_)
            | Statement::TSTypeAliasDeclaration(_)
            | Statement::TSInterfaceDeclaration(_)
            | Statement::TSExternalModuleDeclaration(_)
            | Statement::TSGlobalDeclaration(_)
            | Statement::TSImportEqualsDeclaration(_)
            | Statement::DebuggerStatement(_)
            | Statement::EmptyStatement(_) => {}
            Statement::ExportDeclaration(it) => self.export_declaration(&it.declaration),
            Statement::ExportDefaultDeclaration(it) => self.export_default(it),
            Statement::ExportNamedDeclaration(it) => self.export_named(it),
            Statement::ExportFromDeclaration(it) => self.export_from(it),
            Statement::ExportAllDeclaration(it) => self.export_all(it),
            Statement::TSExportAssignment(it) => self.export_whole(&it.expression, span),
            Statement::ImportDeclaration(_) | Statement::TSNamespaceExportDeclaration(_) => {}
        }
    }

    fn namespace_declaration(&mut self, it: &'a ast::TSNamespaceDeclaration<'a>) {
        match &it.body {
            ast::TSNamespaceDeclarationBody::TSNamespaceDeclaration(inner) => {
                self.namespace_declaration(inner)
            }
            ast::TSNamespaceDeclarationBody::TSModuleBlock(body) => self.block(&body.body),
        }
    }

    pub fn variables(&mut self, it: &'a ast::VariableDeclaration<'a>) {
        if it.declare {
            return;
        }
        for declarator in &it.declarations {
            let name = declarator.id.get_identifier_name().map(|it| it.as_str());
            let Some(init) = &declarator.init else {
                // `var x;` may stand where x has a value already.
                if let ast::BindingPattern::BindingIdentifier(id) = &declarator.id
                    && it.kind != VariableDeclarationKind::Var
                {
                    self.bind(id, Operand::Null);
                }
                continue;
            };
            if self.is_require(init) && self.is_imported(&declarator.id) {
                continue;
            }
            let value = self.named_expression(init, name);
            if matches!(it.kind, VariableDeclarationKind::Using | VariableDeclarationKind::AwaitUsing) {
                let span = self.span(declarator);
                self.push(OpKind::Escape { value }, span);
            }
            self.bind_pattern(&declarator.id, value);
        }
    }

    // Leaving.

    /// Runs the `finally` bodies of all but `down_to` of the open `try` blocks, innermost first, then ends the block.
    pub fn leave(&mut self, down_to: usize, end: End, span: Span) {
        let frame = self.frame();
        if frame.exits.len() <= down_to {
            return self.f().end(end, span);
        }
        let exits = frame.exits.clone();
        let mut loops: Vec<Loop> = std::mem::take(&mut frame.loops);
        let unwind = self.f().unwind();
        for (index, exit) in exits.iter().enumerate().skip(down_to).rev() {
            let frame = self.frame();
            frame.exits.truncate(index);
            frame.loops = loops[..exit.loops.min(loops.len())].iter().map(Loop::same).collect();
            self.f().set_unwind(exit.unwind, exit.span);
            self.finally_copy(exit.body);
            // A `break` in a `finally` ends a loop around it.
            for (it, copy) in loops.iter_mut().zip(&self.frame().loops) {
                it.has_break |= copy.has_break;
            }
        }
        self.f().end(end, span);
        self.f().set_unwind(unwind, span);
        let frame = self.frame();
        (frame.exits, frame.loops) = (exits, loops);
    }

    fn finally_copy(&mut self, body: &'a [Statement<'a>]) {
        match self.module.may_copy_finally(body.len()) {
            true => self.block(body),
            false => self.f().end(End::Unreachable, Span::NONE),
        }
    }

    fn try_statement(&mut self, it: &'a ast::TryStatement<'a>) {
        let span = self.span(it);
        let outer = self.f().unwind();
        let after = self.f().block();
        let finally_pad = it.finalizer.as_ref().map(|body| (self.f().block(), &body.body));
        if let Some((pad, body)) = finally_pad {
            let frame = self.frame();
            let loops = frame.loops.len();
            frame.exits.push(Exit { body, unwind: outer, loops, span });
            self.f().set_unwind(Some(pad), span);
        }
        let inner = self.f().unwind();
        let handler = it.handler.as_ref().map(|handler| (self.f().block(), handler));
        if let Some((pad, _)) = handler {
            self.f().set_unwind(Some(pad), span);
        }
        self.block(&it.block.body);
        self.f().set_unwind(inner, span);
        let join = self.f().block();
        let mut is_reached = self.f().is_reachable();
        self.goto(join, span);
        if let Some((pad, handler)) = handler {
            self.f().switch_to(pad);
            let span = self.span(&**handler);
            let exception = self.value(span, |to| OpKind::Caught { to });
            if let Some(parameter) = &handler.param {
                self.bind_pattern(&parameter.pattern, exception);
            }
            self.block(&handler.body.body);
            is_reached |= self.f().is_reachable();
            self.goto(join, span);
        }
        if finally_pad.is_some() {
            self.frame().exits.pop();
        }
        if is_reached {
            self.f().switch_to(join);
            self.f().set_unwind(outer, span);
            if let Some((_, body)) = finally_pad {
                self.finally_copy(body);
            }
            is_reached = self.f().is_reachable();
            self.goto(after, span);
        }
        self.f().set_unwind(outer, span);
        if let Some((pad, body)) = finally_pad {
            self.f().switch_to(pad);
            self.value(span, |to| OpKind::Caught { to });
            self.finally_copy(body);
            self.f().end(End::Resume, span);
        }
        if is_reached {
            self.f().switch_to(after);
        }
    }

    // Branches and loops.

    fn if_statement(&mut self, it: &'a ast::IfStatement<'a>) {
        let span = self.span(it);
        let after = self.f().block();
        let mut is_reached = false;
        let mut at = it;
        loop {
            let (then, other) = (self.f().block(), self.f().block());
            let ways = self.condition(&at.test, then, other);
            if ways.0 {
                self.f().switch_to(then);
                self.statement(&at.consequent, &mut Vec::new());
                is_reached |= self.f().is_reachable();
                self.goto(after, span);
            }
            if !ways.1 {
                break;
            }
            self.f().switch_to(other);
            match &at.alternate {
                Some(Statement::IfStatement(next)) => at = next,
                Some(last) => {
                    self.statement(last, &mut Vec::new());
                    break;
                }
                None => break,
            }
        }
        is_reached |= self.f().is_reachable();
        self.goto(after, span);
        if is_reached {
            self.f().switch_to(after);
        }
    }

    fn open_loop(&mut self, next: Option<BlockId>, after: BlockId, labels: Vec<Box<str>>, is_block: bool) {
        let frame = self.frame();
        let exits = frame.exits.len();
        frame.loops.push(Loop { next, after, exits, labels, has_break: false, is_block });
    }

    /// Ends a loop or block; whether something broke out of it.
    fn close_loop(&mut self) -> bool {
        self.frame().loops.pop().is_some_and(|it| it.has_break)
    }

    fn while_loop(&mut self, test: &'a Expression<'a>, body: &'a Statement<'a>, labels: Vec<Box<str>>) {
        let span = self.span(test);
        let (head, then, after) = (self.f().block(), self.f().block(), self.f().block());
        self.goto(head, span);
        self.f().switch_to(head);
        let ways = self.condition(test, then, after);
        let mut is_reached = ways.1;
        if ways.0 {
            self.f().switch_to(then);
            self.open_loop(Some(head), after, labels, false);
            self.statement(body, &mut Vec::new());
            self.goto(head, span);
            is_reached |= self.close_loop();
        }
        if is_reached {
            self.f().switch_to(after);
        }
    }

    fn do_while_loop(&mut self, it: &'a ast::DoWhileStatement<'a>, labels: Vec<Box<str>>) {
        let span = self.span(&it.test);
        let (body, test, after) = (self.f().block(), self.f().block(), self.f().block());
        self.goto(body, span);
        self.f().switch_to(body);
        self.open_loop(Some(test), after, labels, false);
        self.statement(&it.body, &mut Vec::new());
        self.goto(test, span);
        self.f().switch_to(test);
        let ways = self.condition(&it.test, body, after);
        if self.close_loop() | ways.1 {
            self.f().switch_to(after);
        }
    }

    fn for_loop(&mut self, it: &'a ast::ForStatement<'a>, labels: Vec<Box<str>>) {
        let span = self.span(it);
        match &it.init {
            Some(ForStatementInit::VariableDeclaration(it)) => self.variables(it),
            Some(other) => {
                if let Some(it) = other.as_expression() {
                    self.expression(it);
                }
            }
            None => {}
        }
        let (head, body, update, after) =
            (self.f().block(), self.f().block(), self.f().block(), self.f().block());
        self.goto(head, span);
        self.f().switch_to(head);
        let ways = match &it.test {
            Some(test) => self.condition(test, body, after),
            None => {
                let is_reachable = self.f().is_reachable();
                self.goto(body, span);
                (is_reachable, false)
            }
        };
        let mut is_reached = ways.1;
        if ways.0 {
            self.f().switch_to(body);
            self.open_loop(Some(update), after, labels, false);
            self.statement(&it.body, &mut Vec::new());
            self.goto(update, span);
            is_reached |= self.close_loop();
            self.f().switch_to(update);
            if let Some(update) = &it.update {
                self.expression(update);
            }
            self.goto(head, span);
        }
        if is_reached {
            self.f().switch_to(after);
        }
    }

    fn iteration(
        &mut self,
        left: &'a ForStatementLeft<'a>,
        right: &'a Expression<'a>,
        body: &'a Statement<'a>,
        labels: Vec<Box<str>>,
        how: Iteration,
    ) {
        let span = self.span(right);
        let container = self.expression(right);
        let (head, then, after) = (self.f().block(), self.f().block(), self.f().block());
        self.goto(head, span);
        self.f().switch_to(head);
        self.push(OpKind::Read { container, how: ReadKind::Iterate }, span);
        if how.is_async {
            self.value(span, |to| OpKind::Await { to, value: container });
        }
        self.f().end(End::Branch { condition: Operand::Opaque, then, other: after }, span);
        self.f().switch_to(then);
        let element = match how.is_keys {
            true => Operand::Opaque,
            false => {
                let step = Step::Index { index: Operand::Opaque, stride: 0 };
                self.load(Place { base: Base::At(container), steps: Box::new([step]) }, span)
            }
        };
        match left {
            ForStatementLeft::VariableDeclaration(it) => {
                if let Some(first) = it.declarations.first() {
                    self.bind_pattern(&first.id, element);
                }
            }
            other => {
                if let Some(target) = other.as_assignment_target() {
                    self.assign_target(target, element);
                }
            }
        }
        self.open_loop(Some(head), after, labels, false);
        self.statement(body, &mut Vec::new());
        self.goto(head, span);
        self.close_loop();
        self.f().switch_to(after);
    }

    fn switch(&mut self, it: &'a ast::SwitchStatement<'a>, labels: Vec<Box<str>>) {
        let span = self.span(&it.discriminant);
        let value = self.expression(&it.discriminant);
        let after = self.f().block();
        let bodies: Vec<BlockId> = it.cases.iter().map(|_| self.f().block()).collect();
        let mut default = after;
        for (case, body) in it.cases.iter().zip(&bodies) {
            let Some(test) = &case.test else {
                default = *body;
                continue;
            };
            let right = self.expression(test);
            let span = self.span(test);
            let condition =
                self.value(span, |to| OpKind::Binary { to, op: Binary::Equal, left: value, right });
            let next = self.f().block();
            self.f().end(End::Branch { condition, then: *body, other: next }, span);
            self.f().switch_to(next);
        }
        self.goto(default, span);
        let mut is_reached = default == after;
        self.open_loop(None, after, labels, false);
        for case in &it.cases {
            self.hoist(&case.consequent);
        }
        for (index, case) in it.cases.iter().enumerate() {
            self.f().switch_to(bodies[index]);
            self.statements(&case.consequent);
            match bodies.get(index + 1) {
                Some(next) => self.goto(*next, span),
                None => {
                    is_reached |= self.f().is_reachable();
                    self.goto(after, span);
                }
            }
        }
        is_reached |= self.close_loop();
        if is_reached {
            self.f().switch_to(after);
        }
    }

    fn labeled(&mut self, it: &'a ast::LabeledStatement<'a>, labels: &mut Vec<Box<str>>) {
        labels.push(it.label.name.as_str().into());
        match &it.body {
            body @ (Statement::WhileStatement(_)
            | Statement::DoWhileStatement(_)
            | Statement::ForStatement(_)
            | Statement::ForOfStatement(_)
            | Statement::ForInStatement(_)
            | Statement::SwitchStatement(_)
            | Statement::LabeledStatement(_)
            | Statement::BlockStatement(_)) => self.statement(body, labels),
            body => {
                let labels = std::mem::take(labels);
                self.labeled_block(body, labels);
            }
        }
    }

    fn labeled_block(&mut self, body: &'a Statement<'a>, labels: Vec<Box<str>>) {
        let span = self.span(body);
        let after = self.f().block();
        self.open_loop(None, after, labels, true);
        self.statement(body, &mut Vec::new());
        let mut is_reached = self.f().is_reachable();
        self.goto(after, span);
        is_reached |= self.close_loop();
        if is_reached {
            self.f().switch_to(after);
        }
    }

    fn jump(&mut self, label: Option<&str>, is_break: bool, span: Span) {
        let found = self.frame().loops.iter_mut().rev().find(|it| match label {
            Some(label) => it.labels.iter().any(|it| &**it == label),
            None if is_break => !it.is_block,
            None => it.next.is_some(),
        });
        // A jump to nowhere is a syntax error: control ends.
        let Some(found) = found else { return self.f().end(End::Unreachable, span) };
        let exits = found.exits;
        let to = match (is_break, found.next) {
            (false, Some(next)) => next,
            _ => {
                found.has_break = true;
                found.after
            }
        };
        self.leave(exits, End::Goto(to), span);
    }
}

#[derive(Clone, Copy)]
struct Iteration {
    is_async: bool,
    /// `for (k in o)`.
    is_keys: bool,
}

impl Loop {
    fn same(&self) -> Loop {
        Loop { labels: self.labels.clone(), ..*self }
    }
}

/// Definitions are lowered even where control does not come: they are found by name.
fn is_definition(statement: &Statement<'_>) -> bool {
    matches!(
        statement,
        Statement::FunctionDeclaration(_)
            | Statement::ClassDeclaration(_)
            | Statement::ExportDeclaration(_)
            | Statement::ExportDefaultDeclaration(_)
            | Statement::ExportNamedDeclaration(_)
            | Statement::ExportFromDeclaration(_)
            | Statement::ExportAllDeclaration(_)
    )
}
