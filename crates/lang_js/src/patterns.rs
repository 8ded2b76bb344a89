//! Destructuring, in declarations and in assignments.

use crate::lower::{Lowering, field};
use heapwise_check::ir::*;
use oxc_ast::ast::{
    self, AssignmentTarget, AssignmentTargetMaybeDefault, AssignmentTargetProperty, BindingPattern,
    Expression,
};

impl<'a> Lowering<'a> {
    pub fn bind_pattern(&mut self, pattern: &'a BindingPattern<'a>, value: Operand) {
        let span = self.span(pattern);
        match pattern {
            BindingPattern::BindingIdentifier(it) => self.bind(it, value),
            BindingPattern::AssignmentPattern(it) => {
                let value = self.or_default(value, &it.right, span);
                self.bind_pattern(&it.left, value);
            }
            BindingPattern::ObjectPattern(it) => {
                for property in &it.properties {
                    let span = self.span(property);
                    let part = self.property_of(value, &property.key, property.computed, span);
                    self.bind_pattern(&property.value, part);
                }
                if let Some(rest) = &it.rest {
                    self.bind_pattern(&rest.argument, Operand::Opaque);
                }
            }
            BindingPattern::ArrayPattern(it) => {
                for (index, element) in (0..).zip(&it.elements) {
                    if let Some(element) = element {
                        let part = self.element_of(value, Operand::Int(index), span);
                        self.bind_pattern(element, part);
                    }
                }
                if let Some(rest) = &it.rest {
                    self.bind_pattern(&rest.argument, Operand::Opaque);
                }
            }
        }
    }

    pub fn assign_target(&mut self, target: &'a AssignmentTarget<'a>, value: Operand) {
        let span = self.span(target);
        match target {
            AssignmentTarget::ArrayAssignmentTarget(it) => {
                for (index, element) in (0..).zip(&it.elements) {
                    if let Some(element) = element {
                        let part = self.element_of(value, Operand::Int(index), span);
                        self.assign_maybe_default(element, part);
                    }
                }
                if let Some(rest) = &it.rest {
                    self.assign_target(&rest.target, Operand::Opaque);
                }
            }
            AssignmentTarget::ObjectAssignmentTarget(it) => {
                for property in &it.properties {
                    match property {
                        AssignmentTargetProperty::AssignmentTargetPropertyIdentifier(it) => {
                            let span = self.span(&it.binding);
                            let name = self.module.name(it.binding.name.as_str());
                            let from = Place { base: Base::At(value), steps: field(name) };
                            let mut part = self.load(from, span);
                            if let Some(default) = &it.init {
                                part = self.or_default(part, default, span);
                            }
                            let meaning = self.meaning(&it.binding);
                            if let Some(to) = self.place_of(meaning) {
                                self.store(to, part, span);
                            }
                        }
                        AssignmentTargetProperty::AssignmentTargetPropertyProperty(it) => {
                            let part = self.property_of(value, &it.name, it.computed, span);
                            self.assign_maybe_default(&it.binding, part);
                        }
                    }
                }
                if let Some(rest) = &it.rest {
                    self.assign_target(&rest.target, Operand::Opaque);
                }
            }
            _ => {
                if let Some(simple) = target.as_simple_assignment_target() {
                    self.assign_simple(simple, value, span);
                }
            }
        }
    }

    fn assign_maybe_default(&mut self, it: &'a AssignmentTargetMaybeDefault<'a>, value: Operand) {
        match it {
            AssignmentTargetMaybeDefault::AssignmentTargetWithDefault(it) => {
                let span = self.span(&**it);
                let value = self.or_default(value, &it.init, span);
                self.assign_target(&it.binding, value);
            }
            other => {
                if let Some(target) = other.as_assignment_target() {
                    self.assign_target(target, value);
                }
            }
        }
    }

    /// One of a value and its default.
    fn or_default(&mut self, value: Operand, default: &'a Expression<'a>, span: Span) -> Operand {
        let Some(given) = self.f().current() else { return Operand::Opaque };
        let (absent, join) = (self.f().block(), self.f().block());
        self.f().end(End::Branch { condition: Operand::Opaque, then: absent, other: join }, span);
        self.f().switch_to(absent);
        let other = self.expression(default);
        let mut from = vec![(given, value)];
        if let Some(block) = self.f().current() {
            from.push((block, other));
            self.goto(join, span);
        }
        self.f().switch_to(join);
        self.value(span, |to| OpKind::Phi { to, from: from.into() })
    }

    fn property_of(
        &mut self,
        value: Operand,
        key: &'a ast::PropertyKey<'a>,
        is_computed: bool,
        span: Span,
    ) -> Operand {
        let from = match (is_computed, key.static_name()) {
            (_, Some(name)) => {
                let name = self.module.name(&name);
                Place { base: Base::At(value), steps: field(name) }
            }
            (_, None) => {
                let index = key.as_expression().map_or(Operand::Opaque, |it| self.expression(it));
                Place { base: Base::At(value), steps: Box::new([Step::Index { index, stride: 0 }]) }
            }
        };
        self.load(from, span)
    }

    fn element_of(&mut self, value: Operand, index: Operand, span: Span) -> Operand {
        let step = Step::Index { index, stride: 0 };
        self.load(Place { base: Base::At(value), steps: Box::new([step]) }, span)
    }
}
