//! `match`: cases are tested in order; captures are assigned on the way.

use crate::lower::{ClassFact, Lowering};
use heapwise_check::ir::*;
use ruff_python_ast::{self as ast, Pattern, Singleton};
use ruff_text_size::Ranged;

impl<'a> Lowering<'a> {
    pub fn match_statement(&mut self, it: &'a ast::StmtMatch) {
        let span = self.span_of(it);
        let subject = self.expression(&it.subject);
        let after = self.f().block();
        let mut is_reached = false;
        for case in &it.cases {
            let next = self.f().block();
            let mut may_fail = self.pattern(&case.pattern, subject, next);
            if let Some(guard) = &case.guard {
                let body = self.f().block();
                let ways = self.condition(guard, body, next);
                may_fail |= ways.1;
                self.f().switch_to(body);
            }
            self.statements(&case.body);
            is_reached |= self.f().is_reachable();
            self.goto(after, span);
            if !may_fail {
                if is_reached {
                    self.f().switch_to(after);
                }
                return;
            }
            self.f().switch_to(next);
        }
        self.goto(after, span);
        self.f().switch_to(after);
    }

    /// Tests a value, binds names, goes to `fail` where it does not match; whether that can be.
    fn pattern(&mut self, it: &'a Pattern, subject: Operand, fail: BlockId) -> bool {
        let span = self.span_of(it);
        match it {
            Pattern::MatchValue(it) => {
                let right = self.expression(&it.value);
                self.test(Binary::Equal, subject, right, fail, span)
            }
            Pattern::MatchSingleton(it) => {
                let right = match it.value {
                    Singleton::None => Operand::Null,
                    Singleton::True => Operand::Bool(true),
                    Singleton::False => Operand::Bool(false),
                };
                self.test(Binary::Equal, subject, right, fail, span)
            }
            Pattern::MatchSequence(it) => {
                self.unknown_test(fail, span);
                for (index, pattern) in (0..).zip(&it.patterns) {
                    let part =
                        self.part(subject, Step::Index { index: Operand::Int(index), stride: 0 }, span);
                    self.pattern(pattern, part, fail);
                }
                true
            }
            Pattern::MatchMapping(it) => {
                self.unknown_test(fail, span);
                for (key, pattern) in it.keys.iter().zip(&it.patterns) {
                    let index = self.expression(key);
                    let part = self.part(subject, Step::Index { index, stride: 0 }, span);
                    self.pattern(pattern, part, fail);
                }
                if let Some(rest) = &it.rest {
                    self.capture(rest, Operand::Opaque);
                }
                true
            }
            Pattern::MatchClass(it) => {
                let class = self.class_operand(&it.cls);
                self.test(Binary::IsA, subject, class, fail, span);
                for pattern in &it.arguments.patterns {
                    let part = self.part(subject, Step::Index { index: Operand::Opaque, stride: 0 }, span);
                    self.pattern(pattern, part, fail);
                }
                for keyword in &it.arguments.keywords {
                    let name = self.module.name(keyword.attr.as_str());
                    let part = self.part(subject, Step::Field { name, offset: None }, span);
                    self.pattern(&keyword.pattern, part, fail);
                }
                true
            }
            Pattern::MatchStar(it) => {
                if let Some(name) = &it.name {
                    self.capture(name, subject);
                }
                false
            }
            Pattern::MatchAs(it) => {
                let may_fail = it.pattern.as_deref().is_some_and(|it| self.pattern(it, subject, fail));
                if let Some(name) = &it.name {
                    self.capture(name, subject);
                }
                may_fail
            }
            Pattern::MatchOr(it) => self.alternatives(&it.patterns, subject, fail, span),
        }
    }

    fn alternatives(&mut self, patterns: &'a [Pattern], subject: Operand, fail: BlockId, span: Span) -> bool {
        let matched = self.f().block();
        let mut may_fail = true;
        for (index, pattern) in patterns.iter().enumerate() {
            let is_last = index + 1 == patterns.len();
            let next = if is_last { fail } else { self.f().block() };
            let this_may_fail = self.pattern(pattern, subject, next);
            self.goto(matched, span);
            if !this_may_fail {
                may_fail = false;
                break;
            }
            if !is_last {
                self.f().switch_to(next);
            }
        }
        self.f().switch_to(matched);
        may_fail
    }

    fn capture(&mut self, name: &'a ast::Identifier, value: Operand) {
        let span = self.span(name.range);
        let meaning = self.meaning(name.as_str(), name.range());
        if let crate::lower::Meaning::Local(local) = meaning {
            self.frame().classes[local.index()] = ClassFact::Unknown;
        }
        self.store_meaning(meaning, name.as_str(), value, span);
    }

    fn part(&mut self, of: Operand, step: Step, span: Span) -> Operand {
        let from = Place { base: Base::At(of), steps: Box::new([step]) };
        self.value(span, |to| OpKind::Load { to, from, bytes: 0 })
    }

    fn test(&mut self, op: Binary, left: Operand, right: Operand, fail: BlockId, span: Span) -> bool {
        let condition = self.value(span, |to| OpKind::Binary { to, op, left, right });
        self.branch(condition, fail, span);
        true
    }

    fn unknown_test(&mut self, fail: BlockId, span: Span) {
        self.branch(Operand::Opaque, fail, span);
    }

    fn branch(&mut self, condition: Operand, fail: BlockId, span: Span) {
        let then = self.f().block();
        self.f().end(End::Branch { condition, then, other: fail }, span);
        self.f().switch_to(then);
    }
}
