//! Expressions: values, conditions, places, assignments.

use crate::functions::{Role, code_of};
use crate::lower::{ImportKind, Lowering, Meaning, field, is_reference, positional};
use heapwise_check::ir::*;
use oxc_ast::ast::{
    self, ArrayExpressionElement, AssignmentTarget, ChainElement, Expression, SimpleAssignmentTarget,
};
use oxc_syntax::operator::{
    AssignmentOperator, BinaryOperator, LogicalOperator, UnaryOperator, UpdateOperator,
};

impl<'a> Lowering<'a> {
    pub fn expression(&mut self, it: &'a Expression<'a>) -> Operand {
        self.named_expression(it, None)
    }

    /// `name`: what functions, classes and objects are called that have no name of their own.
    pub fn named_expression(&mut self, it: &'a Expression<'a>, name: Option<&str>) -> Operand {
        let span = self.span(it);
        match it {
            Expression::NullLiteral(_) => Operand::Null,
            Expression::BooleanLiteral(it) => Operand::Bool(it.value),
            Expression::NumericLiteral(it) => number(it.value),
            Expression::StringLiteral(it) => Operand::String(self.literal(it.value.as_str())),
            Expression::BigIntLiteral(_)
            | Expression::RegExpLiteral(_)
            | Expression::ImportMeta(_)
            | Expression::NewTarget(_)
            | Expression::Super(_) => Operand::Opaque,
            Expression::TemplateLiteral(it) => self.template(it, span),
            Expression::Identifier(it) => self.identifier(it, span),
            Expression::ThisExpression(_) => self.this(span),
            Expression::ArrayExpression(it) => self.array(it, span),
            Expression::ObjectExpression(it) => self.object(it, name, span),
            Expression::ArrowFunctionExpression(_) | Expression::FunctionExpression(_) => match code_of(it) {
                Some(code) => self.function(code, name.unwrap_or("<anonymous>"), Role::Plain),
                None => Operand::Opaque,
            },
            Expression::ClassExpression(it) => self.class(it, name),
            Expression::AssignmentExpression(it) => self.assignment(it, span),
            Expression::AwaitExpression(it) => {
                let value = self.expression(&it.argument);
                self.value(span, |to| OpKind::Await { to, value })
            }
            Expression::YieldExpression(it) => {
                let value = it.argument.as_ref().map_or(Operand::Null, |it| self.expression(it));
                if it.delegate {
                    self.push(OpKind::Read { container: value, how: ReadKind::Iterate }, span);
                }
                self.value(span, |to| OpKind::Yield { to, value })
            }
            Expression::BinaryExpression(_) => self.binary_chain(it),
            Expression::LogicalExpression(it) => self.logical(it, span),
            Expression::ConditionalExpression(it) => self.conditional(it, span),
            Expression::CallExpression(it) => self.call(it, span),
            Expression::NewExpression(it) => self.new_object(it, span),
            Expression::ImportExpression(it) => {
                let value = self.expression(&it.source);
                self.call_named("import", Box::new([positional(value)]), span)
            }
            Expression::ChainExpression(it) => match &it.expression {
                ChainElement::CallExpression(it) => self.call(it, span),
                ChainElement::TSNonNullExpression(it) => self.expression(&it.expression),
                other => match other.as_member_expression() {
                    Some(member) => self.member_value(member, span),
                    None => Operand::Opaque,
                },
            },
            Expression::ParenthesizedExpression(it) => self.named_expression(&it.expression, name),
            Expression::SequenceExpression(it) => {
                let mut last = Operand::Opaque;
                for part in &it.expressions {
                    last = self.expression(part);
                }
                last
            }
            Expression::TaggedTemplateExpression(it) => {
                let callee = self.callee(&it.tag);
                let args = it.quasi.expressions.iter().map(|it| positional(self.expression(it))).collect();
                self.value(span, |to| OpKind::Call { to: Some(to), callee, args })
            }
            Expression::UnaryExpression(it) => self.unary(it, span),
            Expression::UpdateExpression(it) => self.update(it, span),
            Expression::PrivateInExpression(it) => {
                self.expression(&it.right);
                Operand::Opaque
            }
            Expression::JSXElement(it) => self.jsx_element(it),
            Expression::JSXFragment(it) => self.jsx_children(&it.children, Vec::new(), span),
            Expression::TSAsExpression(it) => self.named_expression(&it.expression, name),
            Expression::TSSatisfiesExpression(it) => self.named_expression(&it.expression, name),
            Expression::TSTypeAssertion(it) => self.named_expression(&it.expression, name),
            Expression::TSNonNullExpression(it) => self.named_expression(&it.expression, name),
            Expression::TSInstantiationExpression(it) => self.named_expression(&it.expression, name),
            Expression::V8IntrinsicExpression(_) => Operand::Opaque,
            other => match other.as_member_expression() {
                Some(member) => self.member_value(member, span),
                None => Operand::Opaque,
            },
        }
    }

    fn template(&mut self, it: &'a ast::TemplateLiteral<'a>, span: Span) -> Operand {
        let args: Box<[Argument]> = it.expressions.iter().map(|it| positional(self.expression(it))).collect();
        match (&it.quasis[..], args.is_empty()) {
            ([only], true) => {
                let text = only.value.cooked.as_ref().unwrap_or(&only.value.raw).as_str();
                Operand::String(self.literal(text))
            }
            _ => self.call_named("<f-string>", args, span),
        }
    }

    // Names and attributes.

    fn identifier(&mut self, it: &'a ast::IdentifierReference<'a>, span: Span) -> Operand {
        match self.meaning(it) {
            Meaning::Import(name, ImportKind::Namespace) => Operand::Module(name),
            Meaning::Function(name) => Operand::Function(name),
            Meaning::Class(name) => Operand::Class(name),
            Meaning::Builtin => match it.name.as_str() {
                "undefined" => Operand::Null,
                "arguments" | "NaN" | "Infinity" => Operand::Opaque,
                name => {
                    let global = self.global_text(name);
                    self.load(Place { base: Base::Global(global), steps: Box::default() }, span)
                }
            },
            meaning => match self.place_of(meaning) {
                Some(from) => self.load(from, span),
                None => Operand::Opaque,
            },
        }
    }

    fn member_value(&mut self, it: &'a ast::MemberExpression<'a>, span: Span) -> Operand {
        let from = self.member_place(it);
        self.load(from, span)
    }

    /// The place of an attribute or element, to be read or written.
    fn member_place(&mut self, it: &'a ast::MemberExpression<'a>) -> Place {
        let object = it.object();
        let name = match it {
            ast::MemberExpression::StaticMemberExpression(it) => Some(it.property.name.to_string()),
            ast::MemberExpression::PrivateFieldExpression(it) => Some(format!("#{}", it.field.name)),
            ast::MemberExpression::ComputedMemberExpression(it) => match &it.expression {
                Expression::StringLiteral(name) => Some(name.value.to_string()),
                _ => None,
            },
        };
        let Some(name) = name else {
            let base = self.expression(object);
            let index = match it {
                ast::MemberExpression::ComputedMemberExpression(it) => self.expression(&it.expression),
                _ => Operand::Opaque,
            };
            return Place { base: Base::At(base), steps: Box::new([Step::Index { index, stride: 0 }]) };
        };
        if let Some(of) = self.namespace(object) {
            let text = match of.as_str() {
                "window" | "globalThis" | "self" | "global" => name,
                _ => format!("{of}.{name}"),
            };
            return Place { base: Base::Global(self.global_text(&text)), steps: Box::default() };
        }
        let base = self.expression(object);
        match base {
            Operand::Class(class) => {
                if let Some(own) = self.class_named(class) {
                    return Place { base: Base::Class(own), steps: field(self.module.name(&name)) };
                }
            }
            Operand::Function(function) => {
                let text = format!("{}.{name}", self.module.text(function));
                return Place { base: Base::Global(self.global_text(&text)), steps: Box::default() };
            }
            _ => {}
        }
        Place { base: Base::At(base), steps: field(self.module.name(&name)) }
    }

    /// Attributes of `this` that are assigned are the class's fields.
    fn note_assigned(&mut self, it: &'a ast::MemberExpression<'a>) {
        let name = match it {
            ast::MemberExpression::StaticMemberExpression(it) => it.property.name.to_string(),
            ast::MemberExpression::PrivateFieldExpression(it) => format!("#{}", it.field.name),
            ast::MemberExpression::ComputedMemberExpression(_) => return,
        };
        if !matches!(it.object().get_inner_expression(), Expression::ThisExpression(_)) {
            return;
        }
        if let Some(class) = self.frame().this.class() {
            let name = self.module.name(&name);
            self.note_field(class, name);
        }
    }

    // Assignments.

    fn assignment(&mut self, it: &'a ast::AssignmentExpression<'a>, span: Span) -> Operand {
        if it.operator == AssignmentOperator::Assign {
            if let Some(value) = self.special_assignment(it, span) {
                return value;
            }
            let name = match &it.left {
                AssignmentTarget::AssignmentTargetIdentifier(id) => Some(id.name.as_str()),
                AssignmentTarget::StaticMemberExpression(member) => Some(member.property.name.as_str()),
                _ => None,
            };
            let value = self.named_expression(&it.right, name);
            self.assign_target(&it.left, value);
            return value;
        }
        let Some(target) = it.left.as_simple_assignment_target() else {
            return self.expression(&it.right);
        };
        let Some(place) = self.place_of_target(target) else { return self.expression(&it.right) };
        let left = self.load(place.clone(), span);
        if let Some(op) = it.operator.to_logical_operator() {
            return self.logical_assignment(op, left, place, &it.right, span);
        }
        let right = self.expression(&it.right);
        let value = match it.operator.to_binary_operator() {
            Some(op) => self.binary(op, left, right, span),
            None => Operand::Opaque,
        };
        self.store(place, value, span);
        value
    }

    /// `a ||= b`: assigned only where it is needed.
    fn logical_assignment(
        &mut self,
        op: LogicalOperator,
        left: Operand,
        place: Place,
        right: &'a Expression<'a>,
        span: Span,
    ) -> Operand {
        let Some(before) = self.f().current() else { return Operand::Opaque };
        let (assign, join) = (self.f().block(), self.f().block());
        let (condition, then, other) = match op {
            LogicalOperator::And => (left, assign, join),
            LogicalOperator::Or => (left, join, assign),
            LogicalOperator::Coalesce => {
                let is_null = self.value(span, |to| OpKind::Binary {
                    to,
                    op: Binary::Equal,
                    left,
                    right: Operand::Null,
                });
                (is_null, assign, join)
            }
        };
        self.f().end(End::Branch { condition, then, other }, span);
        self.f().switch_to(assign);
        let value = self.expression(right);
        self.store(place, value, span);
        let mut from = vec![(before, left)];
        if let Some(block) = self.f().current() {
            from.push((block, value));
            self.goto(join, span);
        }
        self.f().join(join, from, span)
    }

    /// Exports, prototypes, lengths, and methods bound to their own object.
    fn special_assignment(&mut self, it: &'a ast::AssignmentExpression<'a>, span: Span) -> Option<Operand> {
        match &it.left {
            AssignmentTarget::StaticMemberExpression(member) => {
                let name = member.property.name.as_str();
                if name == "length" {
                    let container = self.expression(&member.object);
                    let value = self.expression(&it.right);
                    self.push(OpKind::Clear { container }, span);
                    return Some(value);
                }
                if is_own_method_bound(member, &it.right) {
                    return Some(Operand::Opaque);
                }
                if let Some(value) = self.export_assignment(member, &it.right, span) {
                    return Some(value);
                }
                self.prototype_assignment(member, &it.right)
            }
            AssignmentTarget::ComputedMemberExpression(member) => {
                // `a[a.length] = x`.
                let Expression::StaticMemberExpression(length) = member.expression.get_inner_expression()
                else {
                    return None;
                };
                if length.property.name != "length" || !is_same_name(&length.object, &member.object) {
                    return None;
                }
                let receiver = self.expression(&member.object);
                let value = self.expression(&it.right);
                let callee = Callee::Method { receiver, name: self.module.name("push"), class: None };
                let args = Box::new([positional(value)]);
                self.value(span, |to| OpKind::Call { to: Some(to), callee, args });
                Some(value)
            }
            _ => None,
        }
    }

    fn place_of_target(&mut self, target: &'a SimpleAssignmentTarget<'a>) -> Option<Place> {
        match target {
            SimpleAssignmentTarget::AssignmentTargetIdentifier(id) => match self.meaning(id) {
                Meaning::Builtin => {
                    let global = self.global_text(id.name.as_str());
                    Some(Place { base: Base::Global(global), steps: Box::default() })
                }
                meaning => self.place_of(meaning),
            },
            other => match other.as_member_expression() {
                Some(member) => {
                    self.note_assigned(member);
                    Some(self.member_place(member))
                }
                None => {
                    let inner = other.get_expression()?;
                    match inner.get_inner_expression() {
                        Expression::Identifier(id) => {
                            let meaning = self.meaning(id);
                            self.place_of(meaning)
                        }
                        inner => {
                            let member = inner.as_member_expression()?;
                            self.note_assigned(member);
                            Some(self.member_place(member))
                        }
                    }
                }
            },
        }
    }

    pub fn assign_simple(&mut self, target: &'a SimpleAssignmentTarget<'a>, value: Operand, span: Span) {
        if let Some(to) = self.place_of_target(target) {
            self.store(to, value, span);
        }
    }

    fn update(&mut self, it: &'a ast::UpdateExpression<'a>, span: Span) -> Operand {
        let Some(place) = self.place_of_target(&it.argument) else { return Operand::Opaque };
        let left = self.load(place.clone(), span);
        let op = match it.operator {
            UpdateOperator::Increment => Binary::Add,
            UpdateOperator::Decrement => Binary::Subtract,
        };
        let value = self.value(span, |to| OpKind::Binary { to, op, left, right: Operand::Int(1) });
        self.store(place, value, span);
        if it.prefix { value } else { left }
    }

    // Operators.

    fn unary(&mut self, it: &'a ast::UnaryExpression<'a>, span: Span) -> Operand {
        if it.operator == UnaryOperator::Delete {
            return self.delete(&it.argument, span);
        }
        let value = self.expression(&it.argument);
        let op = match (it.operator, value) {
            (UnaryOperator::UnaryPlus, _) => return value,
            (UnaryOperator::Void, _) => return Operand::Null,
            (UnaryOperator::Typeof, _) => {
                return self.call_named("typeof", Box::new([positional(value)]), span);
            }
            (UnaryOperator::UnaryNegation, Operand::Int(value)) => return Operand::Int(value.wrapping_neg()),
            (UnaryOperator::LogicalNot, Operand::Int(value)) => return Operand::Bool(value == 0),
            (UnaryOperator::LogicalNot, Operand::Bool(value)) => return Operand::Bool(!value),
            (_, Operand::Opaque) => return Operand::Opaque,
            (UnaryOperator::UnaryNegation, _) => Unary::Negate,
            (UnaryOperator::BitwiseNot, _) => Unary::Invert,
            (UnaryOperator::LogicalNot | UnaryOperator::Delete, _) => Unary::Not,
        };
        self.value(span, |to| OpKind::Unary { to, op, value })
    }

    fn delete(&mut self, target: &'a Expression<'a>, span: Span) -> Operand {
        let inner = match target.get_inner_expression() {
            Expression::ChainExpression(chain) => chain.expression.as_member_expression(),
            other => other.as_member_expression(),
        };
        let Some(member) = inner else {
            self.expression(target);
            return Operand::Opaque;
        };
        if let ast::MemberExpression::ComputedMemberExpression(it) = member {
            let container = self.expression(&it.object);
            let key = self.expression(&it.expression);
            self.push(OpKind::Shrink { container, key: Some(key) }, span);
            return Operand::Opaque;
        }
        let to = self.member_place(member);
        if let Base::At(container) = to.base {
            self.push(OpKind::Shrink { container, key: None }, span);
        }
        self.store(to, Operand::Null, span);
        Operand::Opaque
    }

    /// Operators of equal rank are nested to the left, as deep as the chain is long.
    fn binary_chain(&mut self, it: &'a Expression<'a>) -> Operand {
        let mut chain = Vec::new();
        let mut at = it;
        while let Expression::BinaryExpression(binary) = at {
            chain.push(&**binary);
            at = &binary.left;
        }
        let mut value = self.expression(at);
        for binary in chain.into_iter().rev() {
            let span = self.span(binary);
            let right = self.expression(&binary.right);
            value = match self.absent_test(binary, span) {
                Some(value) => value,
                None => self.binary(binary.operator, value, right, span),
            };
        }
        value
    }

    /// `typeof x === "undefined"`.
    fn absent_test(&mut self, it: &'a ast::BinaryExpression<'a>, span: Span) -> Option<Operand> {
        let op = match it.operator {
            BinaryOperator::Equality | BinaryOperator::StrictEquality => Binary::Equal,
            BinaryOperator::Inequality | BinaryOperator::StrictInequality => Binary::NotEqual,
            _ => return None,
        };
        let (Expression::UnaryExpression(unary), Expression::StringLiteral(text)) = (&it.left, &it.right)
        else {
            return None;
        };
        let is_plain = unary.argument.is_identifier_reference() || unary.argument.is_member_expression();
        if unary.operator != UnaryOperator::Typeof || text.value != "undefined" || !is_plain {
            return None;
        }
        let left = self.expression(&unary.argument);
        Some(self.value(span, |to| OpKind::Binary { to, op, left, right: Operand::Null }))
    }

    fn binary(&mut self, op: BinaryOperator, left: Operand, right: Operand, span: Span) -> Operand {
        let op = match op {
            BinaryOperator::Addition => Binary::Add,
            BinaryOperator::Subtraction => Binary::Subtract,
            BinaryOperator::Multiplication => Binary::Multiply,
            BinaryOperator::Division => return self.operator("<divide>", left, right, span),
            BinaryOperator::Exponential => return self.operator("<power>", left, right, span),
            BinaryOperator::Remainder => Binary::Remainder,
            BinaryOperator::ShiftLeft => Binary::ShiftLeft,
            BinaryOperator::ShiftRight | BinaryOperator::ShiftRightZeroFill => Binary::ShiftRight,
            BinaryOperator::BitwiseOR => Binary::Or,
            BinaryOperator::BitwiseXOR => Binary::Xor,
            BinaryOperator::BitwiseAnd => Binary::And,
            BinaryOperator::Equality | BinaryOperator::StrictEquality => Binary::Equal,
            BinaryOperator::Inequality | BinaryOperator::StrictInequality => Binary::NotEqual,
            BinaryOperator::LessThan => Binary::Less,
            BinaryOperator::LessEqualThan => Binary::LessEqual,
            BinaryOperator::GreaterThan => Binary::Greater,
            BinaryOperator::GreaterEqualThan => Binary::GreaterEqual,
            BinaryOperator::In => Binary::In,
            BinaryOperator::Instanceof => Binary::IsA,
        };
        // Constants stand on the right.
        let (left, right) = match (op, left) {
            (Binary::Equal | Binary::NotEqual, Operand::Null | Operand::Int(_) | Operand::Bool(_)) => {
                (right, left)
            }
            _ => (left, right),
        };
        self.value(span, |to| OpKind::Binary { to, op, left, right })
    }

    fn operator(&mut self, name: &str, left: Operand, right: Operand, span: Span) -> Operand {
        self.call_named(name, Box::new([left, right].map(positional)), span)
    }

    /// The value of something that is decided by branches.
    fn logical(&mut self, it: &'a ast::LogicalExpression<'a>, span: Span) -> Operand {
        let left = self.expression(&it.left);
        let Some(before) = self.f().current() else { return Operand::Opaque };
        let (next, join) = (self.f().block(), self.f().block());
        let left_span = self.span(&it.left);
        let (condition, then, other) = match it.operator {
            LogicalOperator::And => (left, next, join),
            LogicalOperator::Or => (left, join, next),
            LogicalOperator::Coalesce => {
                let is_null = self.value(left_span, |to| OpKind::Binary {
                    to,
                    op: Binary::Equal,
                    left,
                    right: Operand::Null,
                });
                (is_null, next, join)
            }
        };
        self.f().end(End::Branch { condition, then, other }, left_span);
        self.f().switch_to(next);
        let right = self.expression(&it.right);
        let mut from = vec![(before, left)];
        if let Some(block) = self.f().current() {
            from.push((block, right));
            self.goto(join, span);
        }
        self.f().join(join, from, span)
    }

    fn conditional(&mut self, it: &'a ast::ConditionalExpression<'a>, span: Span) -> Operand {
        let (then, other, join) = (self.f().block(), self.f().block(), self.f().block());
        let ways = self.condition(&it.test, then, other);
        let mut from = Vec::with_capacity(2);
        for (block, value, is_way) in [(then, &it.consequent, ways.0), (other, &it.alternate, ways.1)] {
            if !is_way {
                continue;
            }
            self.f().switch_to(block);
            let value = self.expression(value);
            if let Some(block) = self.f().current() {
                from.push((block, value));
                self.goto(join, span);
            }
        }
        self.f().join(join, from, span)
    }

    /// Branches on an expression; which of the two ways there are.
    pub fn condition(&mut self, it: &'a Expression<'a>, then: BlockId, other: BlockId) -> (bool, bool) {
        let span = self.span(it);
        if !self.f().is_reachable() {
            return (false, false);
        }
        match it.get_inner_expression() {
            Expression::UnaryExpression(inner) if inner.operator == UnaryOperator::LogicalNot => {
                let (one, two) = self.condition(&inner.argument, other, then);
                (two, one)
            }
            Expression::LogicalExpression(inner) if inner.operator != LogicalOperator::Coalesce => {
                let next = self.f().block();
                let is_and = inner.operator == LogicalOperator::And;
                let left = match is_and {
                    true => self.condition(&inner.left, next, other),
                    false => self.condition(&inner.left, then, next),
                };
                let (goes_on, ends) = if is_and { left } else { (left.1, left.0) };
                if !goes_on {
                    return left;
                }
                self.f().switch_to(next);
                let right = self.condition(&inner.right, then, other);
                if is_and { (right.0, right.1 | ends) } else { (right.0 | ends, right.1) }
            }
            _ => {
                let value = self.expression(it);
                let is_true = match value {
                    Operand::Bool(value) => value,
                    Operand::Int(value) => value != 0,
                    Operand::Null => false,
                    condition => {
                        let is_reachable = self.f().is_reachable();
                        self.f().end(End::Branch { condition, then, other }, span);
                        return (is_reachable, is_reachable);
                    }
                };
                self.goto(if is_true { then } else { other }, span);
                (is_true, !is_true)
            }
        }
    }

    // Containers.

    pub fn container(&mut self, kind: &str, span: Span) -> Operand {
        let kind = self.module.name(kind);
        self.value(span, |to| OpKind::Container { to, kind, bound: None })
    }

    /// Constants in a literal are of no interest, what refers to objects is.
    fn array(&mut self, it: &'a ast::ArrayExpression<'a>, span: Span) -> Operand {
        let mut values = Vec::new();
        for element in &it.elements {
            let value = match element {
                ArrayExpressionElement::SpreadElement(it) => {
                    let from = self.expression(&it.argument);
                    let step = Step::Index { index: Operand::Opaque, stride: 0 };
                    let span = self.span(&**it);
                    self.load(Place { base: Base::At(from), steps: Box::new([step]) }, span)
                }
                ArrayExpressionElement::Elision(_) => continue,
                other => other.as_expression().map_or(Operand::Opaque, |it| self.expression(it)),
            };
            if is_reference(value) {
                values.push((value, self.span(element)));
            }
        }
        let container = self.container("Array", span);
        for (value, span) in values {
            self.push(OpKind::Grow { container, key: None, value: Some(value) }, span);
        }
        container
    }
}

fn number(value: f64) -> Operand {
    // Exact up to 2^53.
    match value.fract() == 0.0 && value.abs() < 9e15 {
        true => Operand::Int(value as i64),
        false => Operand::Opaque,
    }
}

/// `this.f = this.f.bind(this)`: the attribute stays the method.
fn is_own_method_bound(target: &ast::StaticMemberExpression<'_>, value: &Expression<'_>) -> bool {
    let Expression::CallExpression(call) = value.get_inner_expression() else { return false };
    let Expression::StaticMemberExpression(bind) = call.callee.get_inner_expression() else { return false };
    let Expression::StaticMemberExpression(method) = bind.object.get_inner_expression() else { return false };
    bind.property.name == "bind"
        && method.property.name == target.property.name
        && matches!(target.object, Expression::ThisExpression(_))
        && matches!(method.object, Expression::ThisExpression(_))
}

/// Whether two expressions are the same variable or attribute.
fn is_same_name(one: &Expression<'_>, two: &Expression<'_>) -> bool {
    match (one.get_inner_expression(), two.get_inner_expression()) {
        (Expression::Identifier(one), Expression::Identifier(two)) => one.name == two.name,
        (Expression::ThisExpression(_), Expression::ThisExpression(_)) => true,
        (Expression::StaticMemberExpression(one), Expression::StaticMemberExpression(two)) => {
            one.property.name == two.property.name && is_same_name(&one.object, &two.object)
        }
        _ => false,
    }
}
