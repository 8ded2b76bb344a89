//! Statements: control flow, definitions, assignments, and what runs when a block is left.

use crate::lower::{ClassFact, Exit, ExitKind, Frame, Loop, Lowering, Meaning, ScopeKind};
use crate::scopes::{Static, is_constant};
use heapwise_check::build::FunctionBuilder;
use heapwise_check::ir::*;
use ruff_python_ast::{self as ast, ExceptHandler, Expr, Stmt};
use ruff_text_size::{Ranged, TextRange};

impl<'a> Lowering<'a> {
    pub fn statements(&mut self, body: &'a [Stmt]) {
        for statement in body {
            if !self.f().is_reachable() && !is_definition(statement) {
                continue;
            }
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &'a Stmt) {
        let span = self.span_of(statement);
        match statement {
            Stmt::FunctionDef(it) => self.function_definition(it),
            Stmt::ClassDef(it) => self.class_definition(it),
            Stmt::Return(it) => {
                let value = it.value.as_ref().map(|it| self.expression(it));
                self.leave(0, End::Return(value), span);
            }
            Stmt::Delete(it) => it.targets.iter().for_each(|target| self.delete(target)),
            Stmt::TypeAlias(_) | Stmt::Pass(_) | Stmt::Global(_) | Stmt::Nonlocal(_) => {}
            Stmt::Import(_) | Stmt::ImportFrom(_) | Stmt::IpyEscapeCommand(_) => {
                self.import_statement(statement)
            }
            Stmt::Assign(it) => self.assignment(it),
            Stmt::AugAssign(it) => self.augmented_assignment(it),
            Stmt::AnnAssign(it) => self.annotated_assignment(it),
            Stmt::For(it) => self.for_loop(it),
            Stmt::While(it) => self.while_loop(it),
            Stmt::If(it) => self.if_statement(it),
            Stmt::With(it) => self.with_items(it, 0),
            Stmt::Match(it) => self.match_statement(it),
            Stmt::Raise(it) => self.raise(it, span),
            Stmt::Try(it) => self.try_statement(it),
            Stmt::Assert(it) => {
                let condition = self.expression(&it.test);
                self.push(OpKind::Assume { condition }, span);
            }
            // Documentation strings and dots.
            Stmt::Expr(it) if is_constant(&it.value) => {}
            Stmt::Expr(it) => {
                self.expression(&it.value);
            }
            Stmt::Break(_) => {
                let Some(last) = self.frame().loops.last_mut() else { return };
                last.has_break = true;
                let (after, exits) = (last.after, last.exits);
                self.leave(exits, End::Goto(after), span);
            }
            Stmt::Continue(_) => {
                let Some(last) = self.frame().loops.last() else { return };
                let (next, exits) = (last.next, last.exits);
                self.leave(exits, End::Goto(next), span);
            }
        }
    }

    /// An import whose name also means other things is an assignment.
    fn import_statement(&mut self, statement: &'a Stmt) {
        let span = self.span_of(statement);
        match statement {
            Stmt::Import(it) => {
                for alias in &it.names {
                    let full = alias.name.as_str();
                    let (name, means) = match &alias.asname {
                        Some(name) => (name.as_str(), full),
                        None => {
                            let first = full.split('.').next().unwrap_or(full);
                            (first, first)
                        }
                    };
                    let means = self.package.absolute(means);
                    self.import_binding(name, &means, alias.range, span);
                }
            }
            Stmt::ImportFrom(it) => {
                let module = self.package.resolve(it.level, it.module.as_ref().map(|it| it.as_str()));
                for alias in it.names.iter().filter(|it| it.name.as_str() != "*") {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    let means = format!("{module}.{}", alias.name.as_str());
                    self.import_binding(name, &means, alias.range, span);
                }
            }
            _ => {}
        }
    }

    fn import_binding(&mut self, name: &'a str, means: &str, range: TextRange, span: Span) {
        let meaning = self.meaning(name, range);
        if !matches!(meaning, Meaning::Import(_)) {
            let value = Operand::Module(self.module.name(means));
            self.store_meaning(meaning, name, value, span);
        }
    }

    // Leaving.

    /// Runs what has to run when control leaves all but `down_to` of the open `with` and `try` blocks, innermost
    /// first, then ends the block.
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
            self.run_exit(exit);
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

    fn run_exit(&mut self, exit: &Exit<'a>) {
        match exit.what {
            ExitKind::With { manager, class, is_async } => {
                self.exit_manager(manager, class, is_async, Operand::Null, exit.span);
            }
            ExitKind::Finally(body) => self.finally_copy(body),
        }
    }

    fn finally_copy(&mut self, body: &'a [Stmt]) {
        match self.module.may_copy_finally(body.len()) {
            true => self.statements(body),
            false => self.f().end(End::Unreachable, Span::NONE),
        }
    }

    fn exit_manager(
        &mut self,
        manager: Operand,
        class: Option<Name>,
        is_async: bool,
        exception: Operand,
        span: Span,
    ) -> Operand {
        let name = self.module.name(if is_async { "__aexit__" } else { "__exit__" });
        let args = [exception, Operand::Null, Operand::Null].map(positional);
        let callee = Callee::Method { receiver: manager, name, class };
        let result = self.value(span, |to| OpKind::Call { to: Some(to), callee, args: args.into() });
        self.awaited(result, is_async, span)
    }

    pub fn awaited(&mut self, value: Operand, is_async: bool, span: Span) -> Operand {
        match is_async {
            true => self.value(span, |to| OpKind::Await { to, value }),
            false => value,
        }
    }

    // with, try, raise.

    fn with_items(&mut self, it: &'a ast::StmtWith, index: usize) {
        let Some(item) = it.items.get(index) else { return self.statements(&it.body) };
        let span = self.span_of(&item.context_expr);
        let manager = self.expression(&item.context_expr);
        let class = self.static_class(&item.context_expr);
        let name = self.module.name(if it.is_async { "__aenter__" } else { "__enter__" });
        let callee = Callee::Method { receiver: manager, name, class };
        let entered = self.value(span, |to| OpKind::Call { to: Some(to), callee, args: Box::default() });
        let entered = self.awaited(entered, it.is_async, span);
        let (after, pad) = (self.f().block(), self.f().block());
        let unwind = self.f().set_unwind(Some(pad), span);
        if let Some(target) = &item.optional_vars {
            let fact = class.map_or(ClassFact::Unknown, ClassFact::Known);
            self.assign(target, entered, fact);
        }
        let what = ExitKind::With { manager, class, is_async: it.is_async };
        let frame = self.frame();
        let loops = frame.loops.len();
        frame.exits.push(Exit { what, unwind, loops, span });
        self.with_items(it, index + 1);
        self.frame().exits.pop();
        self.f().set_unwind(unwind, span);
        self.exit_manager(manager, class, it.is_async, Operand::Null, span);
        self.goto(after, span);

        self.f().switch_to(pad);
        let exception = self.value(span, |to| OpKind::Caught { to });
        let condition = self.exit_manager(manager, class, it.is_async, exception, span);
        let resume = self.f().block();
        self.f().end(End::Branch { condition, then: after, other: resume }, span);
        self.f().switch_to(resume);
        self.f().end(End::Resume, span);
        self.f().switch_to(after);
    }

    fn try_statement(&mut self, it: &'a ast::StmtTry) {
        let span = self.span_of(it);
        let outer = self.f().unwind();
        let after = self.f().block();
        let finally_pad = (!it.finalbody.is_empty()).then(|| self.f().block());
        if let Some(pad) = finally_pad {
            let frame = self.frame();
            let loops = frame.loops.len();
            frame.exits.push(Exit { what: ExitKind::Finally(&it.finalbody), unwind: outer, loops, span });
            self.f().set_unwind(Some(pad), span);
        }
        let inner = self.f().unwind();
        let dispatch = (!it.handlers.is_empty()).then(|| self.f().block());
        if let Some(dispatch) = dispatch {
            self.f().set_unwind(Some(dispatch), span);
        }
        self.statements(&it.body);
        self.f().set_unwind(inner, span);
        self.statements(&it.orelse);
        let join = self.f().block();
        let mut is_reached = self.f().is_reachable();
        self.goto(join, span);
        if let Some(dispatch) = dispatch {
            self.f().switch_to(dispatch);
            is_reached |= self.handlers(it, join);
        }
        if finally_pad.is_some() {
            self.frame().exits.pop();
        }
        if is_reached {
            self.f().switch_to(join);
            self.f().set_unwind(outer, span);
            if finally_pad.is_some() {
                self.finally_copy(&it.finalbody);
            }
            is_reached = self.f().is_reachable();
            self.goto(after, span);
        }
        self.f().set_unwind(outer, span);
        if let Some(pad) = finally_pad {
            self.f().switch_to(pad);
            self.value(span, |to| OpKind::Caught { to });
            self.finally_copy(&it.finalbody);
            self.f().end(End::Resume, span);
        }
        if is_reached {
            self.f().switch_to(after);
        }
    }

    /// The handlers, tested in order; whether one of them gets to its end.
    fn handlers(&mut self, it: &'a ast::StmtTry, join: BlockId) -> bool {
        let span = self.span_of(it);
        let exception = self.value(span, |to| OpKind::Caught { to });
        let mut is_reached = false;
        for ExceptHandler::ExceptHandler(handler) in &it.handlers {
            let span = self.span(TextRange::new(
                handler.range.start(),
                handler.type_.as_ref().map_or(handler.range.start(), |it| it.end()),
            ));
            let next = match &handler.type_ {
                None => None,
                Some(of) => {
                    let right = self.class_operand(of);
                    let condition =
                        self.value(span, |to| OpKind::Binary { to, op: Binary::IsA, left: exception, right });
                    let (then, other) = (self.f().block(), self.f().block());
                    self.f().end(End::Branch { condition, then, other }, span);
                    self.f().switch_to(then);
                    Some(other)
                }
            };
            if let Some(name) = &handler.name {
                let meaning = self.meaning(name.as_str(), name.range);
                self.store_meaning(meaning, name.as_str(), exception, span);
            }
            self.statements(&handler.body);
            is_reached |= self.f().is_reachable();
            self.goto(join, span);
            match next {
                Some(next) => self.f().switch_to(next),
                None => return is_reached,
            }
        }
        self.f().end(End::Resume, span);
        is_reached
    }

    fn raise(&mut self, it: &'a ast::StmtRaise, span: Span) {
        let end = match &it.exc {
            None => End::Resume,
            Some(value) => {
                let value = self.expression(value);
                if let Some(cause) = &it.cause {
                    self.expression(cause);
                }
                End::Raise(value)
            }
        };
        self.f().end(end, span);
    }

    // Branches and loops.

    fn if_statement(&mut self, it: &'a ast::StmtIf) {
        let after = self.f().block();
        let mut is_reached = false;
        let mut arm = Some((Some(&*it.test), &it.body, it.range));
        let mut rest = it.elif_else_clauses.iter();
        while let Some((test, body, range)) = arm {
            let span = self.span(range);
            let Some(test) = test else {
                self.statements(body);
                break;
            };
            let (then, other) = (self.f().block(), self.f().block());
            let ways = self.condition(test, then, other);
            if ways.0 {
                self.f().switch_to(then);
                self.statements(body);
                is_reached |= self.f().is_reachable();
                self.goto(after, span);
            }
            if !ways.1 {
                break;
            }
            self.f().switch_to(other);
            arm = rest.next().map(|it| (it.test.as_ref(), &it.body, it.range));
        }
        is_reached |= self.f().is_reachable();
        let span = self.span_of(it);
        self.goto(after, span);
        if is_reached {
            self.f().switch_to(after);
        }
    }

    fn while_loop(&mut self, it: &'a ast::StmtWhile) {
        let span = self.span_of(&*it.test);
        let (head, body, done, after) =
            (self.f().block(), self.f().block(), self.f().block(), self.f().block());
        self.goto(head, span);
        self.f().switch_to(head);
        let ways = self.condition(&it.test, body, done);
        if ways.0 {
            self.f().switch_to(body);
            self.open_loop(head, after);
            self.statements(&it.body);
            self.goto(head, span);
        }
        self.close_loop(ways, done, after, &it.orelse, span);
    }

    pub fn open_loop(&mut self, next: BlockId, after: BlockId) {
        let frame = self.frame();
        let exits = frame.exits.len();
        frame.loops.push(Loop { next, after, exits, has_break: false });
    }

    fn close_loop(
        &mut self,
        ways: (bool, bool),
        done: BlockId,
        after: BlockId,
        orelse: &'a [Stmt],
        span: Span,
    ) {
        let mut is_reached = ways.0 && self.frame().loops.pop().is_some_and(|it| it.has_break);
        if ways.1 {
            self.f().switch_to(done);
            self.statements(orelse);
            is_reached |= self.f().is_reachable();
            self.goto(after, span);
        }
        if is_reached {
            self.f().switch_to(after);
        }
    }

    fn for_loop(&mut self, it: &'a ast::StmtFor) {
        let span = self.span_of(&*it.iter);
        let container = self.expression(&it.iter);
        let (head, body, done, after) =
            (self.f().block(), self.f().block(), self.f().block(), self.f().block());
        self.goto(head, span);
        self.f().switch_to(head);
        self.iteration_head(container, it.is_async, body, done, span);
        self.f().switch_to(body);
        let element = self.element(container, span);
        self.assign(&it.target, element, ClassFact::Unknown);
        self.open_loop(head, after);
        self.statements(&it.body);
        self.goto(head, span);
        self.close_loop((true, true), done, after, &it.orelse, span);
    }

    pub fn iteration_head(
        &mut self,
        container: Operand,
        is_async: bool,
        body: BlockId,
        done: BlockId,
        span: Span,
    ) {
        self.push(OpKind::Read { container, how: ReadKind::Iterate }, span);
        self.awaited(container, is_async, span);
        self.f().end(End::Branch { condition: Operand::Opaque, then: body, other: done }, span);
    }

    /// One element, no matter which.
    pub fn element(&mut self, container: Operand, span: Span) -> Operand {
        let step = Step::Index { index: Operand::Opaque, stride: 0 };
        let from = Place { base: Base::At(container), steps: Box::new([step]) };
        self.value(span, |to| OpKind::Load { to, from, bytes: 0 })
    }

    // Assignments.

    fn assignment(&mut self, it: &'a ast::StmtAssign) {
        if let ([target], value) = (&it.targets[..], &*it.value)
            && self.parallel_assignment(target, value)
        {
            return;
        }
        let value = self.expression(&it.value);
        let fact = self.class_fact(&it.value);
        for target in &it.targets {
            self.assign(target, value, fact);
        }
    }

    /// `a, b = c, d`.
    fn parallel_assignment(&mut self, target: &'a Expr, value: &'a Expr) -> bool {
        let (Some(targets), Some(values)) = (elements(target), elements(value)) else { return false };
        let is_simple = |it: &[Expr]| !it.iter().any(Expr::is_starred_expr);
        if targets.len() != values.len() || !is_simple(targets) || !is_simple(values) {
            return false;
        }
        let results: Vec<Operand> = values.iter().map(|it| self.expression(it)).collect();
        for ((target, result), value) in targets.iter().zip(results).zip(values) {
            let fact = self.class_fact(value);
            self.assign(target, result, fact);
        }
        true
    }

    pub fn class_fact(&mut self, value: &'a Expr) -> ClassFact {
        match value {
            Expr::NoneLiteral(_) => ClassFact::Unset,
            _ => self.static_class(value).map_or(ClassFact::Unknown, ClassFact::Known),
        }
    }

    pub fn assign(&mut self, target: &'a Expr, value: Operand, fact: ClassFact) {
        let span = self.span_of(target);
        match target {
            Expr::Name(it) => {
                let name = it.id.as_str();
                let meaning = self.meaning(name, it.range);
                if let Meaning::Local(local) = meaning {
                    self.learn_class(local, fact);
                }
                self.store_meaning(meaning, name, value, span);
            }
            Expr::Attribute(_) | Expr::Subscript(_) => {
                let to = self.place(target);
                self.push(OpKind::Store { to, value, bytes: 0 }, span);
            }
            Expr::Starred(it) => self.assign(&it.value, value, ClassFact::Unknown),
            Expr::Tuple(_) | Expr::List(_) => {
                let Some(targets) = elements(target) else { return };
                let mut is_counted = true;
                for (index, target) in (0..).zip(targets) {
                    is_counted &= !target.is_starred_expr();
                    let index = if is_counted { Operand::Int(index) } else { Operand::Opaque };
                    let step = Step::Index { index, stride: 0 };
                    let from = Place { base: Base::At(value), steps: Box::new([step]) };
                    let span = self.span_of(target);
                    let part = self.value(span, |to| OpKind::Load { to, from, bytes: 0 });
                    self.assign(target, part, ClassFact::Unknown);
                }
            }
            _ => {}
        }
    }

    /// A local keeps its class for as long as nothing else is assigned; `None` counts as nothing.
    fn learn_class(&mut self, local: LocalId, fact: ClassFact) {
        let known = &mut self.frame().classes[local.index()];
        *known = match (*known, fact) {
            (known, ClassFact::Unset) => known,
            (ClassFact::Unset, fact) => fact,
            (known, fact) if known == fact => known,
            _ => ClassFact::Unknown,
        };
    }

    pub fn place_of_meaning(&mut self, meaning: Meaning, name: &str) -> Option<Place> {
        let base = match meaning {
            Meaning::Local(local) => Base::Local(local),
            Meaning::Outer(function, local) => Base::Outer(function, local),
            Meaning::Global(global) => Base::Global(global),
            Meaning::ClassAttribute(class) => {
                let name = self.module.name(name);
                let steps = Box::new([Step::Field { name, offset: None }]);
                return Some(Place { base: Base::Class(class), steps });
            }
            Meaning::Import(_) | Meaning::Function(_) | Meaning::Class(_) | Meaning::Builtin => return None,
        };
        Some(Place { base, steps: Box::default() })
    }

    pub fn store_meaning(&mut self, meaning: Meaning, name: &str, value: Operand, span: Span) {
        if let Meaning::Global(global) = meaning
            && self.frames.len() == 1
        {
            self.initial_value(global, name, value);
        }
        if let Some(to) = self.place_of_meaning(meaning, name) {
            self.push(OpKind::Store { to, value, bytes: 0 }, span);
        }
    }

    /// A global assigned once, by its module and with a constant, is that constant at first.
    fn initial_value(&mut self, global: GlobalId, name: &str, value: Operand) {
        let is_constant =
            matches!(value, Operand::Int(_) | Operand::Bool(_) | Operand::Null | Operand::String(_));
        let is_only = self.scopes[0].bindings.get(name).is_some_and(|it| it.constants == 1 && it.others == 0);
        if is_constant && is_only {
            self.module.global_mut(global).value = Some(value);
        }
    }

    fn augmented_assignment(&mut self, it: &'a ast::StmtAugAssign) {
        let span = self.span_of(it);
        let place = match &*it.target {
            Expr::Name(name) => {
                let meaning = self.meaning(name.id.as_str(), name.range);
                if let Meaning::Local(local) = meaning {
                    self.learn_class(local, ClassFact::Unknown);
                }
                self.place_of_meaning(meaning, name.id.as_str())
            }
            target => Some(self.place(target)),
        };
        let Some(place) = place else {
            self.expression(&it.value);
            return;
        };
        let from = place.clone();
        let left = self.value(span, |to| OpKind::Load { to, from, bytes: 0 });
        let right = self.expression(&it.value);
        let value = self.binary(it.op, left, right, span);
        self.push(OpKind::Store { to: place, value, bytes: 0 }, span);
    }

    fn annotated_assignment(&mut self, it: &'a ast::StmtAnnAssign) {
        let Some(value) = &it.value else { return };
        let operand = self.expression(value);
        let mut fact = self.class_fact(value);
        if fact == ClassFact::Unknown {
            fact = self.annotated_class(&it.annotation).map_or(ClassFact::Unknown, ClassFact::Known);
        }
        self.assign(&it.target, operand, fact);
    }

    fn delete(&mut self, target: &'a Expr) {
        let span = self.span_of(target);
        match target {
            Expr::Name(it) => match self.meaning(it.id.as_str(), it.range) {
                Meaning::Local(local) => self.push(OpKind::Dead { local }, span),
                meaning => self.store_meaning(meaning, it.id.as_str(), Operand::Null, span),
            },
            Expr::Attribute(_) => {
                let to = self.place(target);
                self.push(OpKind::Store { to, value: Operand::Null, bytes: 0 }, span);
            }
            Expr::Subscript(it) => {
                let container = self.expression(&it.value);
                let key = self.expression(&it.slice);
                self.push(OpKind::Shrink { container, key: Some(key) }, span);
            }
            Expr::Tuple(_) | Expr::List(_) => {
                elements(target).into_iter().flatten().for_each(|it| self.delete(it));
            }
            _ => {}
        }
    }

    // Definitions.

    fn function_definition(&mut self, it: &'a ast::StmtFunctionDef) {
        let short = it.name.as_str();
        let mut attributes = Vec::new();
        let mut variant = None;
        for decorator in &it.decorator_list {
            let dotted = self.dotted_text(callee_of(&decorator.expression));
            let last = dotted.rsplit('.').next().unwrap_or_default();
            variant = ["setter", "deleter", "overload"].into_iter().find(|it| *it == last).or(variant);
            attributes.push(self.module.name(&dotted));
        }
        let name = self.linkage_name(short, variant);
        let id = self.module.reserve();
        let span = self.span_of(it);
        let mut builder = self.module.builder(name, span);
        let function = &mut builder.function;
        function.name_span = self.span(it.name.range);
        function.is_async = it.is_async;
        function.attributes = attributes;
        if let ScopeKind::Class(class) = self.scope().kind {
            function.class = Some(class);
            function.is_virtual = true;
            let short = self.module.name(short);
            if variant.is_none() {
                self.module.class_mut(class).methods.push((short, name));
            }
        }
        let value = self.function(id, builder, Some(&it.parameters), Body::Statements(&it.body));
        let span = self.span(it.name.range);
        let value = self.decorated(&it.decorator_list, value);
        let is_fixed =
            self.scope().bindings.get(short).is_some_and(|it| it.fixed() == Some(Static::Function));
        if !is_fixed {
            let meaning = self.meaning(short, it.name.range);
            self.store_meaning(meaning, short, value, span);
        }
    }

    fn decorated(&mut self, decorators: &'a [ast::Decorator], mut value: Operand) -> Operand {
        for decorator in decorators.iter().rev() {
            let span = self.span_of(&decorator.expression);
            let callee = self.callee(&decorator.expression);
            let args = Box::new([positional(value)]);
            value = self.value(span, |to| OpKind::Call { to: Some(to), callee, args });
        }
        value
    }

    /// Lowers a function or lambda whose builder is prepared; its value.
    pub fn function(
        &mut self,
        id: FunctionId,
        mut builder: FunctionBuilder,
        parameters: Option<&'a ast::Parameters>,
        body: Body<'a>,
    ) -> Operand {
        let (name, span) = (builder.function.name, builder.function.name_span);
        let class = builder.function.class;
        let is_static = builder.function.attributes.iter().any(|it| self.module.text(*it) == "staticmethod");
        let is_nested = self.frames.len() > 1;
        builder.function.parent = is_nested.then(|| self.frame().id);
        let defaults = self.defaults(name, parameters);
        let names = parameters.into_iter().flat_map(|it| it.iter()).map(|it| it.name().as_str());
        let bindings = match body {
            Body::Statements(body) => self.collect(body, names),
            Body::Expression(_) => self.collect(&[], names),
        };
        let prefix = format!("{}.", self.module.text(name));
        self.frames.push(Frame::new(id, builder));
        self.open_function_scope(bindings, prefix);
        if let Some(parameters) = parameters {
            self.parameters(parameters, class.filter(|_| !is_static), &defaults);
        }
        match body {
            Body::Statements(body) => self.statements(body),
            Body::Expression(value) => {
                let span = self.span_of(value);
                let value = self.expression(value);
                self.f().end(End::Return(Some(value)), span);
            }
        }
        self.close_scope();
        self.finish_frame();
        match is_nested {
            true => self.value(span, |to| OpKind::Closure { to, function: id }),
            false => Operand::Function(name),
        }
    }

    /// Evaluates default arguments, in the scope around the function.
    fn defaults(
        &mut self,
        function: Name,
        parameters: Option<&'a ast::Parameters>,
    ) -> Vec<(&'a str, GlobalId)> {
        let mut globals = Vec::new();
        for parameter in parameters.into_iter().flat_map(|it| it.iter_non_variadic_params()) {
            let Some(default) = parameter.default.as_deref().filter(|it| !is_constant(it)) else { continue };
            let value = self.expression(default);
            if !matches!(value, Operand::Reg(_)) {
                continue;
            }
            let name = parameter.parameter.name.as_str();
            let text = format!("{}.<default>.{name}", self.module.text(function));
            let global_name = self.module.name(&text);
            let global = self.global_named(global_name, false);
            let span = self.span_of(default);
            self.module.global_mut(global).span = span;
            let to = Place { base: Base::Global(global), steps: Box::default() };
            self.push(OpKind::Store { to, value, bytes: 0 }, span);
            globals.push((name, global));
        }
        globals
    }

    fn parameters(
        &mut self,
        parameters: &'a ast::Parameters,
        class: Option<ClassId>,
        defaults: &[(&'a str, GlobalId)],
    ) {
        for (index, parameter) in parameters.iter().enumerate() {
            let name = parameter.name();
            let local = self.parameter(name.as_str(), name.range);
            if parameter.is_variadic() {
                self.f().function.is_variadic = true;
                continue;
            }
            if let Some(class) = class.filter(|_| index == 0) {
                self.frame().receiver = Some((name.as_str(), class));
                let class = self.module.module().classes[class.index()].name;
                self.learn_class(local, ClassFact::Known(class));
            } else if let Some(annotation) = parameter.annotation()
                && let Some(class) = self.annotated_class(annotation)
            {
                self.learn_class(local, ClassFact::Known(class));
            }
            if let Some((_, global)) = defaults.iter().find(|it| it.0 == name.as_str()) {
                let span = self.span(name.range);
                let (absent, given) = (self.f().block(), self.f().block());
                let end = End::Branch { condition: Operand::Opaque, then: absent, other: given };
                self.f().end(end, span);
                self.f().switch_to(absent);
                let from = Place { base: Base::Global(*global), steps: Box::default() };
                let value = self.value(span, |to| OpKind::Load { to, from, bytes: 0 });
                self.push(OpKind::Store { to: Place::local(local), value, bytes: 0 }, span);
                self.goto(given, span);
                self.f().switch_to(given);
            }
        }
    }

    fn class_definition(&mut self, it: &'a ast::StmtClassDef) {
        let short = it.name.as_str();
        let mut bases = Vec::new();
        let arguments = it.arguments.as_deref();
        for base in arguments.into_iter().flat_map(|it| &it.args) {
            let of = match base {
                Expr::Subscript(generic) => &*generic.value,
                other => other,
            };
            let text = self.dotted_text(of);
            if !text.is_empty() {
                bases.push(self.module.name(&text));
            }
        }
        for keyword in arguments.into_iter().flat_map(|it| &it.keywords) {
            self.expression(&keyword.value);
        }
        let qualified = format!("{}{short}", self.scope().prefix);
        let name = self.module.name(&qualified);
        let span = self.span(it.name.range);
        let class = self.module.class(Class {
            name,
            bases,
            bytes: 0,
            is_union: false,
            fields: Vec::new(),
            methods: Vec::new(),
            span,
        });
        let bindings = self.collect(&it.body, std::iter::empty());
        self.open_class_scope(class, bindings, format!("{qualified}."));
        self.statements(&it.body);
        self.close_scope();
        let value = self.decorated(&it.decorator_list, Operand::Class(name));
        let is_fixed = self.scope().bindings.get(short).is_some_and(|it| it.fixed() == Some(Static::Class));
        if !is_fixed {
            let meaning = self.meaning(short, it.name.range);
            self.store_meaning(meaning, short, value, span);
        }
    }
}

/// A function's code.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    Statements(&'a [Stmt]),
    Expression(&'a Expr),
}

impl Loop {
    fn same(&self) -> Loop {
        Loop { next: self.next, after: self.after, exits: self.exits, has_break: self.has_break }
    }
}

pub fn positional(value: Operand) -> Argument {
    Argument { name: None, value, is_spread: false }
}

fn elements(it: &Expr) -> Option<&[Expr]> {
    match it {
        Expr::Tuple(it) => Some(&it.elts),
        Expr::List(it) => Some(&it.elts),
        _ => None,
    }
}

/// What is called when a decorator is a call.
fn callee_of(it: &Expr) -> &Expr {
    match it {
        Expr::Call(it) => &it.func,
        _ => it,
    }
}

/// Definitions are lowered even where control does not come: they are found by name.
fn is_definition(statement: &Stmt) -> bool {
    matches!(statement, Stmt::FunctionDef(_) | Stmt::ClassDef(_))
}
