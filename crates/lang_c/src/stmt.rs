//! Statements and the ends of scopes.
//!
//! A jump leaves the scopes between itself and its target: their locals end (and, in C++, are destroyed) on the
//! way. Where the target of a `goto` is not met yet, the way is written when it is.

use crate::expr::V;
use crate::lex::Kind;
use crate::lower::{Action, Bad, Cleanup, FuncId, Goto, Lower, Res, Switch};
use crate::symbols::{Sym, sym};
use crate::types::{T, Ty};
use heapwise_check::ir::{BlockId, Callee, End, LocalId, OpKind, Operand, Place, Span};

/// Values of one `case a ... b`.
const MAX_RANGE: i64 = 256;

/// Where exceptions go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pad {
    pub(crate) block: BlockId,
    /// Cleanups that are outside of it.
    pub(crate) depth: usize,
    pub(crate) outer: Option<BlockId>,
    pub(crate) is_handler: bool,
    /// What is destroyed on the way.
    pub(crate) local: Option<(LocalId, T)>,
}

/// What is open in a function, to go back to after an error.
struct Open {
    cleanups: usize,
    breaks: usize,
    continues: usize,
    switches: usize,
    temporaries: usize,
    pads: usize,
    mark: usize,
    scope_depth: u32,
    depth: u32,
    context: usize,
    angle: u32,
    constant: u32,
}

impl Lower {
    /// A function's code at its `{`.
    pub(crate) fn function_code(&mut self, id: FuncId) -> Res<()> {
        if self.is_cpp {
            return self.cpp_function_code(id);
        }
        self.block_statement()
    }

    /// `{ ... }` with a scope of its own.
    pub(crate) fn block_statement(&mut self) -> Res<()> {
        let mark = self.open_scope();
        let depth = self.body.cleanups.len();
        self.compound()?;
        self.end_scope(depth);
        self.close_scope(mark);
        Ok(())
    }

    /// Locals beyond `depth` end here, on the way that control comes.
    pub(crate) fn end_scope(&mut self, depth: usize) {
        let span = self.token_span(self.at.saturating_sub(1));
        self.clean_to(depth, span);
        self.body.cleanups.truncate(depth);
        self.close_pads(depth, span);
    }

    /// Writes the ends of the locals beyond `depth`, last one first.
    pub(crate) fn clean_to(&mut self, depth: usize, span: Span) {
        if !self.is_reachable() || self.body.cleanups.len() <= depth {
            return;
        }
        for index in (depth..self.body.cleanups.len()).rev() {
            let cleanup = self.body.cleanups[index].clone();
            self.clean(&cleanup, span);
        }
    }

    pub(crate) fn clean(&mut self, cleanup: &Cleanup, span: Span) {
        let local = cleanup.local;
        match cleanup.action {
            Action::Nothing => {}
            Action::Destroy if self.moved_out == Some(local) => {}
            Action::Destroy => self.destroy_local(local, cleanup.ty, span),
            Action::Call(name) => {
                let address = self.address(Place::local(local), span);
                let args = [crate::expr::argument(address)].into();
                self.push(OpKind::Call { to: None, callee: Callee::Direct(name), args }, span);
            }
        }
        if !self.body.fb.function.parameters.contains(&local) {
            self.push(OpKind::Dead { local }, span);
        }
    }

    fn compound(&mut self) -> Res<()> {
        self.expect(sym::LBRACE)?;
        self.enter()?;
        while !self.is(sym::RBRACE) {
            if self.peek().kind == Kind::End {
                return Err(Bad);
            }
            let start = self.at;
            let open = self.open_state();
            if self.statement().is_err() {
                self.error();
                self.recover_statement(start, open)?;
            }
            if self.at == start {
                self.at += 1;
            }
        }
        self.at += 1;
        self.leave();
        Ok(())
    }

    fn open_state(&self) -> Open {
        Open {
            cleanups: self.body.cleanups.len(),
            breaks: self.body.breaks.len(),
            continues: self.body.continues.len(),
            switches: self.body.switches.len(),
            temporaries: self.body.temporaries.len(),
            pads: self.body.pads.len(),
            mark: self.mark(),
            scope_depth: self.scope_depth,
            depth: self.depth,
            context: self.context.len(),
            angle: self.angle_depth,
            constant: self.constant_depth,
        }
    }

    /// The path ends at a statement that was not understood; reading goes on after it.
    fn recover_statement(&mut self, start: usize, open: Open) -> Res<()> {
        let span = self.token_span(start);
        self.body.has_error = true;
        self.end(End::Unreachable, span);
        self.body.cleanups.truncate(open.cleanups);
        self.body.breaks.truncate(open.breaks);
        self.body.continues.truncate(open.continues);
        self.body.switches.truncate(open.switches);
        self.body.temporaries.truncate(open.temporaries);
        while self.body.pads.len() > open.pads {
            self.drop_pad();
        }
        (self.depth, self.angle_depth, self.constant_depth) = (open.depth, open.angle, open.constant);
        self.context.truncate(open.context);
        while self.scope_depth > open.scope_depth {
            self.close_scope(open.mark);
        }
        self.unbind(open.mark.min(self.mark()));
        self.at = start;
        loop {
            let token = self.peek();
            match token.text {
                _ if token.kind == Kind::End => return Err(Bad),
                _ if token.kind != Kind::Punct => self.at += 1,
                sym::SEMI => {
                    self.at += 1;
                    return Ok(());
                }
                sym::LBRACE => {
                    self.skip_brackets();
                    if !self.is(sym::SEMI) && !self.is(sym::RPAREN) && !self.is(sym::COMMA) {
                        return Ok(());
                    }
                }
                sym::RBRACE => return Ok(()),
                sym::LPAREN | sym::LBRACKET => self.skip_brackets(),
                _ => self.at += 1,
            }
        }
    }

    /// A statement or, in a block, a declaration.
    pub(crate) fn statement(&mut self) -> Res<()> {
        self.enter()?;
        let result = self.statement_inner();
        self.leave();
        result
    }

    fn statement_inner(&mut self) -> Res<()> {
        self.labels()?;
        let token = self.peek();
        let start = self.at;
        if token.kind == Kind::Punct {
            match token.text {
                sym::LBRACE => return self.block_statement(),
                sym::SEMI => {
                    self.at += 1;
                    return Ok(());
                }
                // After a label at the end of a block.
                sym::RBRACE => return Ok(()),
                _ => {}
            }
        }
        if token.kind == Kind::Pack {
            self.at += 1;
            return Ok(());
        }
        match token.text {
            _ if token.kind != Kind::Ident => {}
            sym::IF => return self.if_statement(),
            sym::WHILE => return self.while_statement(),
            sym::DO => return self.do_statement(),
            sym::FOR => return self.for_statement(),
            sym::SWITCH => return self.switch_statement(),
            sym::RETURN => return self.return_statement(),
            sym::CO_RETURN if self.is_cpp => return self.return_statement(),
            sym::BREAK | sym::CONTINUE => {
                self.at += 1;
                self.expect(sym::SEMI)?;
                let span = self.span(start);
                let list = if token.text == sym::BREAK { &self.body.breaks } else { &self.body.continues };
                let (target, depth) = *list.last().ok_or(Bad)?;
                self.clean_to(depth, span);
                self.end(End::Goto(target), span);
                return Ok(());
            }
            sym::GOTO => return self.goto_statement(),
            sym::ASM | sym::ASM_ | sym::ASM__ => return self.asm_statement(),
            sym::LABEL__ => {
                while !self.eat(sym::SEMI) {
                    if self.next().kind == Kind::End {
                        return Err(Bad);
                    }
                }
                return Ok(());
            }
            sym::STATIC_ASSERT_C | sym::STATIC_ASSERT if self.peek_at(1).is(sym::LPAREN) => {
                self.at += 1;
                self.skip_brackets();
                return self.expect(sym::SEMI);
            }
            sym::TRY if self.is_cpp => return self.try_statement(),
            sym::USING | sym::NAMESPACE | sym::TEMPLATE if self.is_cpp && self.cpp_external()? => {
                return Ok(());
            }
            _ => {}
        }
        if self.is_cpp {
            let mut attributes = crate::decl::Attributes::default();
            if self.is(sym::LBRACKET) && self.peek_at(1).is(sym::LBRACKET) {
                self.attributes(&mut attributes)?;
            }
            if self.eat(sym::SEMI) {
                return Ok(());
            }
        }
        if self.is_attributed_null() {
            return Ok(());
        }
        if self.is_declaration() {
            self.declaration(false)?;
            self.end_full_expression(start);
            return Ok(());
        }
        let value = self.expression()?;
        self.discard(value);
        self.expect(sym::SEMI)?;
        self.end_full_expression(start);
        Ok(())
    }

    /// `__attribute__((fallthrough));`
    fn is_attributed_null(&mut self) -> bool {
        if !matches!(self.peek().text, sym::ATTRIBUTE | sym::ATTRIBUTE__) {
            return false;
        }
        let end = self.after_close(self.at + 1);
        if self.tokens[end.min(self.tokens.len() - 1)].is(sym::SEMI) {
            self.at = end + 1;
            return true;
        }
        false
    }

    /// Labels and cases before a statement.
    fn labels(&mut self) -> Res<()> {
        loop {
            let token = self.peek();
            if token.kind != Kind::Ident {
                return Ok(());
            }
            let start = self.at;
            match token.text {
                sym::CASE => {
                    self.at += 1;
                    self.case(start)?;
                }
                sym::DEFAULT => {
                    self.at += 1;
                    self.expect(sym::COLON)?;
                    let block = self.case_block(start)?;
                    self.body.switches.last_mut().ok_or(Bad)?.default = Some(block);
                }
                _ if self.peek_at(1).is(sym::COLON) && self.is_name(token) => {
                    self.at += 2;
                    let mut attributes = crate::decl::Attributes::default();
                    if matches!(self.peek().text, sym::ATTRIBUTE | sym::ATTRIBUTE__) {
                        self.attributes(&mut attributes)?;
                    }
                    self.label(token.text, start);
                }
                _ => return Ok(()),
            }
        }
    }

    fn case(&mut self, start: usize) -> Res<()> {
        let first = self.constant()?;
        let last = if self.eat(sym::ELLIPSIS) { self.constant()? } else { first };
        self.expect(sym::COLON)?;
        let block = self.case_block(start)?;
        let switch = self.body.switches.last_mut().ok_or(Bad)?;
        let (Some(first), Some(last)) = (first, last) else {
            // A value that is not known may be any.
            switch.default = switch.default.or(Some(block));
            return Ok(());
        };
        for value in first..=last.min(first.saturating_add(MAX_RANGE)) {
            if !switch.cases.iter().any(|it| it.0 == value) || switch.cases.len() > 64 {
                switch.cases.push((value, block));
            }
        }
        Ok(())
    }

    /// The block of a case; what stands before falls into it.
    fn case_block(&mut self, start: usize) -> Res<BlockId> {
        let span = self.span(start);
        let switch = self.body.switches.last().ok_or(Bad)?;
        // Cases that stand together share a block.
        let last = switch.cases.last().map(|it| it.1).or(switch.default);
        if let (Some(last), Some(current)) = (last, self.body.fb.current())
            && last == current
            && self.body.fb.last_op().is_none()
        {
            return Ok(current);
        }
        let block = self.block();
        self.flow_to(block, span);
        Ok(block)
    }

    fn label(&mut self, name: Sym, start: usize) {
        let span = self.span(start);
        let known = self.body.labels.get(&name).and_then(|it| it.block);
        let block = known.unwrap_or_else(|| self.block());
        let cleanups = self.body.cleanups.clone();
        let label = self.body.labels.entry(name).or_default();
        if label.cleanups.is_some() {
            return;
        }
        (label.block, label.cleanups) = (Some(block), Some(cleanups));
        self.flow_to(block, span);
    }

    fn goto_statement(&mut self) -> Res<()> {
        let start = self.at;
        self.at += 1;
        if self.is(sym::STAR) {
            self.at += 1;
            let value = self.expression()?;
            self.rvalue_here(value, start);
            self.expect(sym::SEMI)?;
            let span = self.span(start);
            self.end(End::Unreachable, span);
            return Ok(());
        }
        let name = self.next();
        if !self.is_name(name) {
            return Err(Bad);
        }
        self.expect(sym::SEMI)?;
        let span = self.span(start);
        if !self.is_reachable() {
            return Ok(());
        }
        let from = self.block();
        self.flow_to(from, span);
        self.body.fb.suspend();
        let cleanups = self.body.cleanups.clone();
        self.body.gotos.push(Goto { from, label: name.text, cleanups, span });
        Ok(())
    }

    /// Writes the ways of all `goto`s: what ends between each and its label.
    pub(crate) fn resolve_gotos(&mut self) {
        for goto in std::mem::take(&mut self.body.gotos) {
            self.switch_to(goto.from);
            let Some(label) = self.body.labels.get(&goto.label) else {
                self.end(End::Unreachable, goto.span);
                continue;
            };
            let (Some(block), Some(target)) = (label.block, label.cleanups.clone()) else {
                self.end(End::Unreachable, goto.span);
                continue;
            };
            let common = goto.cleanups.iter().zip(&target).take_while(|(a, b)| a.local == b.local).count();
            for cleanup in goto.cleanups[common..].iter().rev() {
                self.clean(cleanup, goto.span);
            }
            self.end(End::Goto(block), goto.span);
        }
    }

    fn asm_statement(&mut self) -> Res<()> {
        while !self.is(sym::LPAREN) {
            if self.next().kind == Kind::End {
                return Err(Bad);
            }
        }
        let end = self.after_close(self.at);
        self.asm_operands(end);
        self.at = end;
        self.eat(sym::SEMI);
        Ok(())
    }

    /// What an assembly statement writes is unknown afterwards, what it reads escapes.
    fn asm_operands(&mut self, end: usize) {
        let mut at = self.at + 1;
        let mut colons = 0;
        while at < end {
            let token = self.tokens[at];
            match token.text {
                sym::COLON if token.kind == Kind::Punct => colons += 1,
                sym::COLONS if token.kind == Kind::Punct => colons += 2,
                sym::LPAREN if token.kind == Kind::Punct => {
                    let close = self.after_close(at);
                    if colons == 1 || colons == 2 {
                        self.at = at + 1;
                        self.asm_operand(colons == 1, at);
                    }
                    at = close;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn asm_operand(&mut self, is_output: bool, start: usize) {
        let Ok(value) = self.expression() else { return };
        let span = self.span(start);
        match value {
            V::Place(place, ty, _) if is_output => self.store(place, Operand::Opaque, ty, span),
            other => {
                let (value, _) = self.rvalue(other, span);
                self.push(OpKind::Escape { value }, span);
            }
        }
    }

    /// A condition in parentheses; in C++ it may declare.
    fn condition(&mut self) -> Res<V> {
        self.expect(sym::LPAREN)?;
        let start = self.at;
        let value = if self.is_cpp { self.cpp_condition()? } else { self.expression()? };
        self.expect(sym::RPAREN)?;
        self.end_condition_temporaries(value, start)
    }

    fn if_statement(&mut self) -> Res<()> {
        // Chains of `else if` are read in a loop: they nest deeper than any other code.
        let end = self.block();
        let mut marks = Vec::new();
        loop {
            let start = self.at;
            self.at += 1;
            if self.is_cpp {
                self.eat(sym::CONSTEXPR);
            }
            marks.push((self.open_scope(), self.body.cleanups.len()));
            let condition = self.condition()?;
            let span = self.span(start);
            let (then, other) = self.branch_or_dead(condition, span);
            self.switch_to_if(then);
            self.statement()?;
            self.end(End::Goto(end), span);
            self.switch_to_if(other);
            if !self.eat(sym::ELSE) {
                break;
            }
            if !self.is(sym::IF) {
                self.statement()?;
                break;
            }
        }
        let span = self.token_span(self.at.saturating_sub(1));
        // Whatever the conditions declared ends where all ways meet.
        self.end(End::Goto(end), span);
        self.switch_to(end);
        for (mark, depth) in marks.into_iter().rev() {
            self.end_scope(depth);
            self.close_scope(mark);
        }
        if !self.is_block_reached(end) {
            self.body.fb.suspend();
        }
        Ok(())
    }

    /// Branches; in code that is never reached there are no blocks.
    fn branch_or_dead(&mut self, condition: V, span: Span) -> (Option<BlockId>, Option<BlockId>) {
        if !self.is_reachable() && !matches!(condition, V::Cond(..)) {
            return (None, None);
        }
        let known = match &condition {
            V::R(Operand::Int(it), _) => Some(*it != 0),
            V::R(Operand::Bool(it), _) => Some(*it),
            _ => None,
        };
        match known {
            Some(is_true) => {
                let block = self.block();
                self.flow_to(block, span);
                self.body.fb.suspend();
                if is_true { (Some(block), None) } else { (None, Some(block)) }
            }
            None => {
                let (then, other) = self.branch(condition, span);
                (Some(then), Some(other))
            }
        }
    }

    fn switch_to_if(&mut self, block: Option<BlockId>) {
        match block {
            Some(block) => self.switch_to(block),
            None => {
                self.body.fb.suspend();
            }
        }
    }

    /// Whether some block read so far leads to `block`; only asked of the newest blocks.
    fn is_block_reached(&self, block: BlockId) -> bool {
        let blocks = &self.body.fb.function.blocks;
        let from = block.index().saturating_sub(1);
        blocks[from..].iter().enumerate().any(|(index, it)| {
            let mut is_reached = false;
            if self.body.is_ended.get(from + index).copied().unwrap_or(false) {
                it.end.each_target(|to| is_reached |= to == block);
            }
            is_reached
        })
    }

    fn while_statement(&mut self) -> Res<()> {
        let start = self.at;
        self.at += 1;
        let mark = self.open_scope();
        let depth = self.body.cleanups.len();
        let head = self.block();
        let after = self.block();
        let span = self.span(start);
        let is_live = self.is_reachable();
        self.flow_to(head, span);
        if !is_live {
            self.body.fb.suspend();
        }
        let condition = self.condition()?;
        let span = self.span(start);
        let (then, other) = self.branch_or_dead(condition, span);
        self.switch_to_if(then);
        self.body.breaks.push((after, depth));
        self.body.continues.push((head, depth));
        self.statement()?;
        self.body.breaks.pop();
        self.body.continues.pop();
        self.clean_to(depth, span);
        self.end(End::Goto(head), span);
        self.switch_to_if(other);
        self.clean_to(depth, span);
        self.end(End::Goto(after), span);
        self.body.cleanups.truncate(depth);
        self.close_pads(depth, span);
        self.close_scope(mark);
        self.go_on_in(after);
        Ok(())
    }

    /// Goes on in `block` if anything leads there.
    fn go_on_in(&mut self, block: BlockId) {
        self.switch_to(block);
        if !self.is_block_reached(block) {
            self.body.fb.suspend();
        }
    }

    fn do_statement(&mut self) -> Res<()> {
        let start = self.at;
        self.at += 1;
        let head = self.block();
        let test = self.block();
        let after = self.block();
        let depth = self.body.cleanups.len();
        let span = self.span(start);
        let is_live = self.is_reachable();
        self.flow_to(head, span);
        if !is_live {
            self.body.fb.suspend();
        }
        self.body.breaks.push((after, depth));
        self.body.continues.push((test, depth));
        self.statement()?;
        self.body.breaks.pop();
        self.body.continues.pop();
        self.flow_to(test, span);
        if !self.is_block_reached(test) {
            self.body.fb.suspend();
        }
        if !self.eat(sym::WHILE) {
            return Err(Bad);
        }
        let condition = self.condition()?;
        self.eat(sym::SEMI);
        let span = self.span(start);
        let (then, other) = self.branch_or_dead(condition, span);
        self.switch_to_if(then);
        self.end(End::Goto(head), span);
        self.switch_to_if(other);
        self.end(End::Goto(after), span);
        self.go_on_in(after);
        Ok(())
    }

    fn for_statement(&mut self) -> Res<()> {
        let start = self.at;
        self.at += 1;
        let mark = self.open_scope();
        let depth = self.body.cleanups.len();
        if self.is_cpp && self.is_range_for() {
            self.range_for(start)?;
        } else {
            self.plain_for(start)?;
        }
        self.end_scope(depth);
        self.close_scope(mark);
        Ok(())
    }

    fn plain_for(&mut self, start: usize) -> Res<()> {
        let close = self.after_close(self.at);
        self.expect(sym::LPAREN)?;
        if !self.eat(sym::SEMI) {
            let at = self.at;
            if self.is_declaration() {
                self.declaration(false)?;
            } else {
                let value = self.expression()?;
                self.discard(value);
                self.expect(sym::SEMI)?;
            }
            self.end_full_expression(at);
        }
        let head = self.block();
        let step = self.block();
        let after = self.block();
        let span = self.span(start);
        let depth = self.body.cleanups.len();
        let is_live = self.is_reachable();
        self.flow_to(head, span);
        if !is_live {
            self.body.fb.suspend();
        }
        let condition = if self.is(sym::SEMI) {
            V::int(1)
        } else {
            let at = self.at;
            let value = if self.is_cpp { self.cpp_condition()? } else { self.expression()? };
            self.end_condition_temporaries(value, at)?
        };
        self.expect(sym::SEMI)?;
        let span = self.span(start);
        let (then, other) = self.branch_or_dead(condition, span);
        self.switch_to_if(then);
        // The step is read after the body.
        let step_at = self.at;
        self.at = close;
        self.body.breaks.push((after, depth));
        self.body.continues.push((step, depth));
        self.statement()?;
        self.body.breaks.pop();
        self.body.continues.pop();
        let end = self.at;
        self.flow_to(step, span);
        if !self.is_block_reached(step) {
            self.body.fb.suspend();
        }
        self.at = step_at;
        if !self.is(sym::RPAREN) {
            let value = self.expression()?;
            self.discard(value);
            self.end_full_expression(step_at);
        }
        self.at = end;
        self.end(End::Goto(head), span);
        self.switch_to_if(other);
        self.end(End::Goto(after), span);
        self.go_on_in(after);
        Ok(())
    }

    fn switch_statement(&mut self) -> Res<()> {
        let start = self.at;
        self.at += 1;
        let mark = self.open_scope();
        let outer = self.body.cleanups.len();
        self.expect(sym::LPAREN)?;
        let value = if self.is_cpp { self.cpp_condition()? } else { self.expression()? };
        self.expect(sym::RPAREN)?;
        let (value, _) = self.rvalue_here(value, start);
        self.end_full_expression(start);
        let span = self.span(start);
        let depth = self.body.cleanups.len();
        let head = self.body.fb.suspend();
        let after = self.block();
        self.body.breaks.push((after, depth));
        self.body.switches.push(Switch::default());
        self.statement()?;
        self.body.breaks.pop();
        let switch = self.body.switches.pop().ok_or(Bad)?;
        self.end(End::Goto(after), span);
        if let Some(head) = head {
            self.switch_to(head);
            let default = switch.default.unwrap_or(after);
            let mut cases = switch.cases;
            cases.sort_by_key(|it| it.0);
            cases.dedup_by_key(|it| it.0);
            self.end(End::Switch { value, cases: cases.into(), default }, span);
        }
        self.switch_to(after);
        let is_reached = head.is_some_and(|_| switch.default.is_none()) || self.is_block_reached(after);
        if !is_reached {
            self.body.fb.suspend();
        }
        self.end_scope(outer);
        self.close_scope(mark);
        Ok(())
    }

    fn return_statement(&mut self) -> Res<()> {
        let start = self.at;
        self.at += 1;
        let mut value = None;
        if !self.is(sym::SEMI) {
            value = self.returned(start)?;
        }
        self.expect(sym::SEMI)?;
        let span = self.span(start);
        self.end_full_expression(start);
        self.clean_to(0, span);
        self.moved_out = None;
        self.end(End::Return(value), span);
        Ok(())
    }

    fn returned(&mut self, start: usize) -> Res<Option<Operand>> {
        if self.is_cpp {
            return self.returned_cpp(start);
        }
        let value = self.expression()?;
        let span = self.span(start);
        let ret = self.body.ret;
        if matches!(self.types.get(ret), Ty::Void) {
            self.discard(value);
            return Ok(None);
        }
        self.coerce(value, ret, span).map(Some)
    }

    /// `({ ... })`: the value of its last expression.
    pub(crate) fn statement_expression(&mut self, start: usize) -> Res<V> {
        let end = self.after_close(start);
        if !self.is_in_function() {
            self.at = end;
            return Ok(V::unknown());
        }
        self.expect(sym::LBRACE)?;
        self.enter()?;
        let mark = self.open_scope();
        let depth = self.body.cleanups.len();
        let mut value = V::void();
        while !self.is(sym::RBRACE) {
            if self.peek().kind == Kind::End {
                return Err(Bad);
            }
            value = V::void();
            match self.last_expression()? {
                Some(it) => value = it,
                None => self.statement()?,
            }
        }
        self.at += 1;
        // The value is taken before the locals end.
        let ty = self.type_of(&value);
        if !matches!(value, V::Temp(..)) && self.types.as_record(ty).is_none() && !matches!(value, V::Set(..))
        {
            let (it, ty) = self.rvalue_here(value, start);
            value = V::R(it, ty);
        }
        self.end_scope(depth);
        self.close_scope(mark);
        self.leave();
        self.expect(sym::RPAREN)?;
        Ok(value)
    }

    /// The expression statement here, if it is the last statement of its block.
    fn last_expression(&mut self) -> Res<Option<V>> {
        let token = self.peek();
        let is_statement = token.is(sym::LBRACE)
            || token.is(sym::SEMI)
            || (token.kind == Kind::Ident && self.is_statement_word(token.text))
            || (self.is_name(token) && self.peek_at(1).is(sym::COLON))
            || self.is_declaration();
        if is_statement {
            return Ok(None);
        }
        let mut at = self.at;
        while !self.tokens[at].is(sym::SEMI) {
            if self.tokens[at].kind == Kind::End || self.tokens[at].is(sym::RBRACE) {
                return Ok(None);
            }
            let is_open = self.tokens[at].is(sym::LPAREN)
                || self.tokens[at].is(sym::LBRACKET)
                || self.tokens[at].is(sym::LBRACE);
            at = if is_open { self.after_close(at) } else { at + 1 };
        }
        if !self.tokens[at + 1].is(sym::RBRACE) {
            return Ok(None);
        }
        let value = self.expression()?;
        let value = self.settled(value);
        self.expect(sym::SEMI)?;
        Ok(Some(value))
    }

    fn is_statement_word(&self, it: Sym) -> bool {
        matches!(
            it,
            sym::IF
                | sym::WHILE
                | sym::DO
                | sym::FOR
                | sym::SWITCH
                | sym::RETURN
                | sym::BREAK
                | sym::CONTINUE
                | sym::GOTO
                | sym::CASE
                | sym::DEFAULT
                | sym::ASM
                | sym::ASM_
                | sym::ASM__
        ) || (self.is_cpp && matches!(it, sym::TRY | sym::USING))
    }

    // Temporaries of C++.

    pub(crate) fn keep_temporary(&mut self, local: heapwise_check::ir::LocalId, ty: T) {
        self.body.temporaries.push(Cleanup { local, ty, action: Action::Destroy });
    }

    /// The temporary lives on as something else.
    pub(crate) fn forget_temporary(&mut self, local: heapwise_check::ir::LocalId) {
        self.body.temporaries.retain(|it| it.local != local);
    }

    /// The temporaries of a full expression are destroyed.
    pub(crate) fn end_full_expression(&mut self, start: usize) {
        if self.body.temporaries.is_empty() {
            return;
        }
        let span = self.span(start);
        for cleanup in std::mem::take(&mut self.body.temporaries).into_iter().rev() {
            self.clean(&cleanup, span);
        }
    }

    /// The same for a condition, whose truth is taken before.
    fn end_condition_temporaries(&mut self, value: V, start: usize) -> Res<V> {
        if self.body.temporaries.is_empty() {
            return Ok(value);
        }
        let value = match value {
            V::Cond(..) => self.settled(value),
            other => {
                let ty = self.type_of(&other);
                if self.types.as_record(ty).is_some() {
                    let span = self.span(start);
                    V::R(self.class_truth(other, span), crate::types::Types::TRUTH)
                } else {
                    let (value, ty) = self.rvalue_here(other, start);
                    V::R(value, ty)
                }
            }
        };
        self.end_full_expression(start);
        Ok(value)
    }
}
