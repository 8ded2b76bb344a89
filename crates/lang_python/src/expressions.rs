//! Expressions: values, conditions, places, callees, comprehensions.

use crate::lower::{ClassFact, Lowering, Meaning};
use crate::statements::{Body, positional};
use heapwise_check::ir::*;
use ruff_python_ast::{self as ast, BoolOp, CmpOp, Expr, InterpolatedStringElement, Operator, UnaryOp};
use ruff_text_size::TextRange;

impl<'a> Lowering<'a> {
    pub fn expression(&mut self, it: &'a Expr) -> Operand {
        let span = self.span_of(it);
        match it {
            Expr::NoneLiteral(_) => Operand::Null,
            Expr::BooleanLiteral(it) => Operand::Bool(it.value),
            Expr::NumberLiteral(it) => match &it.value {
                ast::Number::Int(it) => it.as_i64().map_or(Operand::Opaque, Operand::Int),
                _ => Operand::Opaque,
            },
            Expr::StringLiteral(it) => Operand::String(self.literal(it.value.to_str())),
            Expr::BytesLiteral(_) | Expr::EllipsisLiteral(_) | Expr::IpyEscapeCommand(_) => Operand::Opaque,
            Expr::Name(it) => self.name_value(it.id.as_str(), it.range),
            Expr::Attribute(it) => self.attribute_value(it, span),
            Expr::Subscript(_) => {
                let from = self.place(it);
                self.value(span, |to| OpKind::Load { to, from, bytes: 0 })
            }
            Expr::Call(it) => self.call(it, span),
            Expr::BoolOp(_) => self.bool_value(it, span),
            Expr::If(it) => self.conditional(it, span),
            Expr::Compare(it) if it.ops.len() > 1 => self.chained_comparison(it, span),
            Expr::Compare(it) => {
                let left = self.expression(&it.left);
                let right = self.expression(&it.comparators[0]);
                self.comparison(it.ops[0], left, right, span)
            }
            Expr::UnaryOp(it) => self.unary(it, span),
            Expr::BinOp(it) => {
                let left = self.expression(&it.left);
                let right = self.expression(&it.right);
                self.binary(it.op, left, right, span)
            }
            Expr::Named(it) => {
                let value = self.expression(&it.value);
                let fact = self.class_fact(&it.value);
                self.assign(&it.target, value, fact);
                value
            }
            Expr::Lambda(it) => self.lambda(it, span),
            Expr::List(it) => self.sequence("list", &it.elts, span),
            Expr::Tuple(it) => self.sequence("tuple", &it.elts, span),
            Expr::Set(it) => self.sequence("set", &it.elts, span),
            Expr::Dict(it) => self.dict(it, span),
            Expr::ListComp(it) => self.comprehension("list", None, &it.elt, &it.generators, span),
            Expr::SetComp(it) => self.comprehension("set", None, &it.elt, &it.generators, span),
            Expr::Generator(it) => self.comprehension("generator", None, &it.elt, &it.generators, span),
            Expr::DictComp(it) => {
                self.comprehension("dict", it.key.as_deref(), &it.value, &it.generators, span)
            }
            Expr::Await(it) => {
                let value = self.expression(&it.value);
                self.awaited(value, true, span)
            }
            Expr::Yield(it) => {
                let value = it.value.as_ref().map_or(Operand::Null, |it| self.expression(it));
                self.yielded(value, span)
            }
            Expr::YieldFrom(it) => {
                let container = self.expression(&it.value);
                self.push(OpKind::Read { container, how: ReadKind::Iterate }, span);
                self.yielded(container, span)
            }
            Expr::FString(it) => {
                let parts = it.value.iter().filter_map(|part| match part {
                    ast::FStringPart::Literal(_) => None,
                    ast::FStringPart::FString(it) => Some(&it.elements),
                });
                self.interpolated(parts.flatten(), span)
            }
            Expr::TString(it) => self.interpolated(it.value.iter().flat_map(|it| it.elements.iter()), span),
            Expr::Starred(it) => self.expression(&it.value),
            Expr::Slice(it) => {
                let args = [&it.lower, &it.upper, &it.step]
                    .map(|it| it.as_ref().map_or(Operand::Null, |it| self.expression(it)))
                    .map(positional);
                self.call_named("slice", args.into(), span)
            }
        }
    }

    fn yielded(&mut self, value: Operand, span: Span) -> Operand {
        self.f().function.is_generator = true;
        self.value(span, |to| OpKind::Yield { to, value })
    }

    pub fn call_named(&mut self, name: &str, args: Box<[Argument]>, span: Span) -> Operand {
        let callee = Callee::Direct(self.module.name(name));
        self.value(span, |to| OpKind::Call { to: Some(to), callee, args })
    }

    fn interpolated(
        &mut self,
        parts: impl Iterator<Item = &'a InterpolatedStringElement>,
        span: Span,
    ) -> Operand {
        let mut args = Vec::new();
        for part in parts {
            let InterpolatedStringElement::Interpolation(it) = part else { continue };
            args.push(positional(self.expression(&it.expression)));
            let format = it.format_spec.iter().flat_map(|it| it.elements.iter());
            for part in format {
                if let InterpolatedStringElement::Interpolation(it) = part {
                    self.expression(&it.expression);
                }
            }
        }
        match args.is_empty() {
            true => Operand::Opaque,
            false => self.call_named("<f-string>", args.into(), span),
        }
    }

    // Names and attributes.

    fn name_value(&mut self, name: &'a str, range: TextRange) -> Operand {
        let span = self.span(range);
        match self.meaning(name, range) {
            Meaning::Import(dotted) => self.imported_value(&dotted, span),
            Meaning::Function(name) => Operand::Function(name),
            Meaning::Class(name) => Operand::Class(name),
            Meaning::Builtin if is_class_name(name) || is_builtin_class(name) => {
                Operand::Class(self.module.name(name))
            }
            Meaning::Builtin => Operand::Function(self.module.name(name)),
            meaning => match self.place_of_meaning(meaning, name) {
                Some(from) => self.value(span, |to| OpKind::Load { to, from, bytes: 0 }),
                None => Operand::Opaque,
            },
        }
    }

    /// Something of another module, as a value.
    fn imported_value(&mut self, dotted: &str, span: Span) -> Operand {
        let name = self.module.name(dotted);
        if self.is_module(dotted) {
            return Operand::Module(name);
        }
        if is_class_name(last(dotted)) {
            return Operand::Class(name);
        }
        let global = self.global_named(name, true);
        let from = Place { base: Base::Global(global), steps: Box::default() };
        self.value(span, |to| OpKind::Load { to, from, bytes: 0 })
    }

    fn attribute_value(&mut self, it: &'a ast::ExprAttribute, span: Span) -> Operand {
        if let Some(module) = self.namespace(&it.value) {
            return self.imported_value(&format!("{module}.{}", it.attr.as_str()), span);
        }
        let from = self.attribute_place(it);
        self.value(span, |to| OpKind::Load { to, from, bytes: 0 })
    }

    /// The dotted name of an expression whose attributes are another module's globals: an imported module, or an
    /// imported name in lower case, which most often is one.
    fn namespace(&mut self, it: &'a Expr) -> Option<String> {
        match it {
            Expr::Name(it) => match self.meaning(it.id.as_str(), it.range) {
                Meaning::Import(dotted) => {
                    (self.is_module(&dotted) || is_module_name(last(&dotted))).then(|| dotted.into())
                }
                _ => None,
            },
            Expr::Attribute(it) => {
                let dotted = format!("{}.{}", self.namespace(&it.value)?, it.attr.as_str());
                self.is_module(&dotted).then_some(dotted)
            }
            _ => None,
        }
    }

    fn attribute_place(&mut self, it: &'a ast::ExprAttribute) -> Place {
        if let Some(module) = self.namespace(&it.value) {
            let name = self.module.name(&format!("{module}.{}", it.attr.as_str()));
            return Place { base: Base::Global(self.global_named(name, true)), steps: Box::default() };
        }
        let name = self.module.name(it.attr.as_str());
        let steps = Box::new([Step::Field { name, offset: None }]);
        let base = self.expression(&it.value);
        if let Operand::Class(class) = base {
            let own = self.module.module().classes.iter().position(|it| it.name == class);
            if let Some(own) = own.and_then(|it| u32::try_from(it).ok()) {
                return Place { base: Base::Class(ClassId(own)), steps };
            }
        }
        Place { base: Base::At(base), steps }
    }

    /// The place of an attribute or subscript, to be read or written.
    pub fn place(&mut self, it: &'a Expr) -> Place {
        match it {
            Expr::Attribute(attribute) => {
                self.note_field(attribute);
                self.attribute_place(attribute)
            }
            Expr::Subscript(it) => {
                let base = self.expression(&it.value);
                let index = self.expression(&it.slice);
                Place { base: Base::At(base), steps: Box::new([Step::Index { index, stride: 0 }]) }
            }
            _ => Place::at(self.expression(it)),
        }
    }

    /// Attributes that methods assign are the class's fields.
    fn note_field(&mut self, it: &ast::ExprAttribute) {
        let Expr::Name(of) = &*it.value else { return };
        let Some(class) = self.receiver_class(of.id.as_str()) else { return };
        let name = self.module.name(it.attr.as_str());
        if self.fields.insert((class, name)) {
            let ty = self.unknown;
            self.module.class_mut(class).fields.push(Field { name, ty, offset: 0 });
        }
    }

    /// The dotted name of an expression, imports resolved; empty where it is none.
    pub fn dotted_text(&mut self, it: &'a Expr) -> String {
        match it {
            Expr::Name(it) => {
                let name = it.id.as_str();
                match self.meaning(name, it.range) {
                    Meaning::Import(dotted) => dotted.into(),
                    Meaning::Function(linkage) | Meaning::Class(linkage) => {
                        self.module.text(linkage).to_string()
                    }
                    _ => name.to_string(),
                }
            }
            Expr::Attribute(it) => match self.dotted_text(&it.value) {
                of if of.is_empty() => of,
                of => format!("{of}.{}", it.attr.as_str()),
            },
            _ => String::new(),
        }
    }

    // Classes of values.

    /// The class of a value, as far as the text around tells.
    pub fn static_class(&mut self, it: &'a Expr) -> Option<Name> {
        match it {
            Expr::Name(it) => match self.meaning(it.id.as_str(), it.range) {
                Meaning::Local(local) => match self.frame().classes[local.index()] {
                    ClassFact::Known(name) => Some(name),
                    _ => None,
                },
                _ => None,
            },
            Expr::Call(it) => self.constructed_class(&it.func),
            Expr::Await(it) => self.static_class(&it.value),
            Expr::Named(it) => self.static_class(&it.value),
            Expr::List(_) | Expr::ListComp(_) => Some(self.module.name("list")),
            Expr::Dict(_) | Expr::DictComp(_) => Some(self.module.name("dict")),
            Expr::Set(_) | Expr::SetComp(_) => Some(self.module.name("set")),
            Expr::Tuple(_) => Some(self.module.name("tuple")),
            Expr::StringLiteral(_) | Expr::FString(_) => Some(self.module.name("str")),
            _ => None,
        }
    }

    /// The class, if calling this makes an instance of it.
    fn constructed_class(&mut self, callee: &'a Expr) -> Option<Name> {
        match callee {
            Expr::Name(it) => match self.meaning(it.id.as_str(), it.range) {
                Meaning::Class(name) => Some(name),
                Meaning::Import(dotted) if is_class_name(last(&dotted)) => Some(self.module.name(&dotted)),
                Meaning::Builtin if is_builtin_class(it.id.as_str()) => {
                    Some(self.module.name(it.id.as_str()))
                }
                _ => None,
            },
            Expr::Attribute(it) if is_class_name(it.attr.as_str()) => {
                let of = self.namespace(&it.value)?;
                Some(self.module.name(&format!("{of}.{}", it.attr.as_str())))
            }
            _ => None,
        }
    }

    /// The class that an annotation names: `Foo`, `"Foo"` is not read, `Optional[Foo]`, `Foo | None`, `list[int]`.
    pub fn annotated_class(&mut self, it: &'a Expr) -> Option<Name> {
        match it {
            Expr::Name(name) => match self.meaning(name.id.as_str(), name.range) {
                Meaning::Class(name) => Some(name),
                Meaning::Import(dotted) if is_class_name(last(&dotted)) => Some(self.module.name(&dotted)),
                Meaning::Builtin if is_builtin_class(name.id.as_str()) => {
                    Some(self.module.name(name.id.as_str()))
                }
                _ => None,
            },
            Expr::Attribute(it) => {
                let of = self.namespace(&it.value)?;
                let is_class = is_class_name(it.attr.as_str());
                is_class.then(|| self.module.name(&format!("{of}.{}", it.attr.as_str())))
            }
            Expr::Subscript(it) => {
                let text = self.dotted_text(&it.value);
                match last(&text) {
                    "Optional" => self.annotated_class(&it.slice),
                    "list" | "List" => Some(self.module.name("list")),
                    "dict" | "Dict" => Some(self.module.name("dict")),
                    "set" | "Set" => Some(self.module.name("set")),
                    _ => None,
                }
            }
            Expr::BinOp(it) if it.op == Operator::BitOr => match (&*it.left, &*it.right) {
                (one, Expr::NoneLiteral(_)) | (Expr::NoneLiteral(_), one) => self.annotated_class(one),
                _ => None,
            },
            _ => None,
        }
    }

    /// A class as an operand, for `isinstance` and `except`; several of them are of no interest.
    pub fn class_operand(&mut self, it: &'a Expr) -> Operand {
        match it {
            Expr::Tuple(_) => Operand::Opaque,
            _ => self.expression(it),
        }
    }

    // Calls.

    fn call(&mut self, it: &'a ast::ExprCall, span: Span) -> Operand {
        if let Some(result) = self.special_call(it, span) {
            return result;
        }
        let callee = self.callee(&it.func);
        let args = self.arguments(&it.arguments);
        if let Expr::Name(of) = &*it.func
            && let Meaning::Class(class) = self.meaning(of.id.as_str(), of.range)
        {
            return self.value(span, |to| OpKind::New { to, class, args });
        }
        self.value(span, |to| OpKind::Call { to: Some(to), callee, args })
    }

    /// `isinstance(x, C)` and `super().method(...)`.
    fn special_call(&mut self, it: &'a ast::ExprCall, span: Span) -> Option<Operand> {
        match &*it.func {
            Expr::Name(name) if name.id.as_str() == "isinstance" && it.arguments.keywords.is_empty() => {
                let [value, class] = &it.arguments.args[..] else { return None };
                let left = self.expression(value);
                let right = self.class_operand(class);
                Some(self.value(span, |to| OpKind::Binary { to, op: Binary::IsA, left, right }))
            }
            Expr::Attribute(attribute) => {
                let Expr::Call(inner) = &*attribute.value else { return None };
                let Expr::Name(name) = &*inner.func else { return None };
                if name.id.as_str() != "super" {
                    return None;
                }
                self.super_call(attribute, &it.arguments, span)
            }
            _ => None,
        }
    }

    /// A call of the first base class's method, with the receiver as the first argument.
    fn super_call(
        &mut self,
        it: &'a ast::ExprAttribute,
        rest: &'a ast::Arguments,
        span: Span,
    ) -> Option<Operand> {
        let (name, class) = self.frames.last()?.receiver?;
        let module = self.module.module();
        let base = *module.classes[class.index()].bases.first()?;
        let text = format!("{}.{}", module.name(base), it.attr.as_str());
        let callee = Callee::Direct(self.module.name(&text));
        let receiver = self.name_value(name, it.range);
        let mut args = vec![positional(receiver)];
        args.extend(self.arguments(rest));
        let args = args.into();
        Some(self.value(span, |to| OpKind::Call { to: Some(to), callee, args }))
    }

    pub fn callee(&mut self, it: &'a Expr) -> Callee {
        match it {
            Expr::Name(name) => match self.meaning(name.id.as_str(), name.range) {
                Meaning::Import(dotted) => Callee::Direct(self.module.name(&dotted)),
                Meaning::Function(linkage) | Meaning::Class(linkage) => Callee::Direct(linkage),
                Meaning::Builtin => Callee::Direct(self.module.name(name.id.as_str())),
                _ => Callee::Value(self.expression(it)),
            },
            Expr::Attribute(attribute) => self.method_callee(attribute),
            _ => Callee::Value(self.expression(it)),
        }
    }

    fn method_callee(&mut self, it: &'a ast::ExprAttribute) -> Callee {
        let short = it.attr.as_str();
        if let Some(of) = self.namespace(&it.value) {
            return Callee::Direct(self.module.name(&format!("{of}.{short}")));
        }
        // Methods of a class itself: alternative constructors, static methods, `Base.__init__(self)`.
        let receiver = self.expression(&it.value);
        if let Operand::Class(class) = receiver {
            let text = format!("{}.{short}", self.module.text(class));
            return Callee::Direct(self.module.name(&text));
        }
        let class = self.static_class(&it.value);
        Callee::Method { receiver, name: self.module.name(short), class }
    }

    fn arguments(&mut self, it: &'a ast::Arguments) -> Box<[Argument]> {
        let mut args = Vec::with_capacity(it.args.len() + it.keywords.len());
        for argument in &it.args {
            let is_spread = argument.is_starred_expr();
            args.push(Argument { name: None, value: self.expression(argument), is_spread });
        }
        for keyword in &it.keywords {
            let value = self.expression(&keyword.value);
            let name = keyword.arg.as_ref().map(|it| self.module.name(it.as_str()));
            args.push(Argument { name, value, is_spread: name.is_none() });
        }
        args.into()
    }

    fn lambda(&mut self, it: &'a ast::ExprLambda, span: Span) -> Operand {
        let name = self.linkage_name("<lambda>", None);
        let id = self.module.reserve();
        let mut builder = self.module.builder(name, span);
        builder.function.name_span = Span { end: (span.start + 6).min(span.end), ..span };
        self.function(id, builder, it.parameters.as_deref(), Body::Expression(&it.body))
    }

    // Operators.

    pub fn binary(&mut self, op: Operator, left: Operand, right: Operand, span: Span) -> Operand {
        let op = match op {
            Operator::Add => Binary::Add,
            Operator::Sub => Binary::Subtract,
            Operator::Mult => Binary::Multiply,
            Operator::Mod => Binary::Remainder,
            Operator::LShift => Binary::ShiftLeft,
            Operator::RShift => Binary::ShiftRight,
            Operator::BitOr => Binary::Or,
            Operator::BitXor => Binary::Xor,
            Operator::BitAnd => Binary::And,
            Operator::MatMult => return self.operator("operator.matmul", left, right, span),
            Operator::Div => return self.operator("operator.truediv", left, right, span),
            Operator::Pow => return self.operator("operator.pow", left, right, span),
            Operator::FloorDiv => return self.operator("operator.floordiv", left, right, span),
        };
        self.value(span, |to| OpKind::Binary { to, op, left, right })
    }

    fn operator(&mut self, name: &str, left: Operand, right: Operand, span: Span) -> Operand {
        self.call_named(name, Box::new([left, right].map(positional)), span)
    }

    fn unary(&mut self, it: &'a ast::ExprUnaryOp, span: Span) -> Operand {
        let value = self.expression(&it.operand);
        let op = match (it.op, value) {
            (UnaryOp::UAdd, _) => return value,
            (UnaryOp::USub, Operand::Int(value)) => return Operand::Int(value.wrapping_neg()),
            (UnaryOp::USub, Operand::Opaque) => return value,
            (UnaryOp::USub, _) => Unary::Negate,
            (UnaryOp::Not, _) => Unary::Not,
            (UnaryOp::Invert, _) => Unary::Invert,
        };
        self.value(span, |to| OpKind::Unary { to, op, value })
    }

    fn comparison(&mut self, op: CmpOp, left: Operand, right: Operand, span: Span) -> Operand {
        let (op, is_negated) = match op {
            CmpOp::Eq | CmpOp::Is => (Binary::Equal, false),
            CmpOp::NotEq | CmpOp::IsNot => (Binary::NotEqual, false),
            CmpOp::Lt => (Binary::Less, false),
            CmpOp::LtE => (Binary::LessEqual, false),
            CmpOp::Gt => (Binary::Greater, false),
            CmpOp::GtE => (Binary::GreaterEqual, false),
            CmpOp::In => (Binary::In, false),
            CmpOp::NotIn => (Binary::In, true),
        };
        let value = self.value(span, |to| OpKind::Binary { to, op, left, right });
        match is_negated {
            true => self.value(span, |to| OpKind::Unary { to, op: Unary::Not, value }),
            false => value,
        }
    }

    /// The value of something that is decided by branches.
    fn bool_value(&mut self, it: &'a Expr, span: Span) -> Operand {
        let Expr::BoolOp(it) = it else { return Operand::Opaque };
        let join = self.f().block();
        let mut from = Vec::with_capacity(it.values.len());
        let last = it.values.len() - 1;
        for (index, value) in it.values.iter().enumerate() {
            let operand = self.expression(value);
            let Some(block) = self.f().current() else { return Operand::Opaque };
            from.push((block, operand));
            if index == last {
                self.goto(join, span);
                break;
            }
            let next = self.f().block();
            let (then, other) = match it.op {
                BoolOp::And => (next, join),
                BoolOp::Or => (join, next),
            };
            let span = self.span_of(value);
            self.f().end(End::Branch { condition: operand, then, other }, span);
            self.f().switch_to(next);
        }
        self.f().join(join, from, span)
    }

    fn conditional(&mut self, it: &'a ast::ExprIf, span: Span) -> Operand {
        let (then, other, join) = (self.f().block(), self.f().block(), self.f().block());
        let ways = self.condition(&it.test, then, other);
        let mut from = Vec::with_capacity(2);
        for (block, value, is_way) in [(then, &*it.body, ways.0), (other, &*it.orelse, ways.1)] {
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

    /// `a < b < c`: each operand is evaluated once, and only as long as all before hold.
    fn chained_comparison(&mut self, it: &'a ast::ExprCompare, span: Span) -> Operand {
        let join = self.f().block();
        let mut from = Vec::new();
        let mut left = self.expression(&it.left);
        for (index, (op, right)) in it.ops.iter().zip(&it.comparators).enumerate() {
            let right = self.expression(right);
            let result = self.comparison(*op, left, right, span);
            left = right;
            let Some(block) = self.f().current() else { return Operand::Opaque };
            from.push((block, result));
            if index + 1 == it.ops.len() {
                self.goto(join, span);
                break;
            }
            let next = self.f().block();
            self.f().end(End::Branch { condition: result, then: next, other: join }, span);
            self.f().switch_to(next);
        }
        self.f().join(join, from, span)
    }

    /// Branches on an expression; which of the two ways there are.
    pub fn condition(&mut self, it: &'a Expr, then: BlockId, other: BlockId) -> (bool, bool) {
        let span = self.span_of(it);
        if !self.f().is_reachable() {
            return (false, false);
        }
        match it {
            Expr::UnaryOp(inner) if inner.op == UnaryOp::Not => {
                let (one, two) = self.condition(&inner.operand, other, then);
                (two, one)
            }
            Expr::BoolOp(inner) => self.bool_condition(inner, then, other),
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

    fn bool_condition(&mut self, it: &'a ast::ExprBoolOp, then: BlockId, other: BlockId) -> (bool, bool) {
        let last = it.values.len() - 1;
        let mut ways = (false, false);
        for value in &it.values[..last] {
            let next = self.f().block();
            let goes_on = match it.op {
                BoolOp::And => {
                    let (goes_on, is_false) = self.condition(value, next, other);
                    ways.1 |= is_false;
                    goes_on
                }
                BoolOp::Or => {
                    let (is_true, goes_on) = self.condition(value, then, next);
                    ways.0 |= is_true;
                    goes_on
                }
            };
            if !goes_on {
                return ways;
            }
            self.f().switch_to(next);
        }
        let (one, two) = self.condition(&it.values[last], then, other);
        (ways.0 | one, ways.1 | two)
    }

    // Containers.

    fn container(&mut self, kind: &str, span: Span) -> Operand {
        let kind = self.module.name(kind);
        self.value(span, |to| OpKind::Container { to, kind, bound: None })
    }

    /// Constants in a literal are of no interest, what refers to objects is.
    fn sequence(&mut self, kind: &str, elements: &'a [Expr], span: Span) -> Operand {
        let mut values = Vec::with_capacity(elements.len().min(16));
        for element in elements {
            let value = self.expression(element);
            if is_reference(value) {
                values.push((value, self.span_of(element)));
            }
        }
        let container = self.container(kind, span);
        for (value, span) in values {
            self.push(OpKind::Grow { container, key: None, value: Some(value) }, span);
        }
        container
    }

    fn dict(&mut self, it: &'a ast::ExprDict, span: Span) -> Operand {
        let mut values = Vec::new();
        for item in &it.items {
            let key = item.key.as_ref().map(|it| self.expression(it));
            let value = self.expression(&item.value);
            if is_reference(value) || key.is_some_and(is_reference) {
                values.push((key, value, self.span_of(&item.value)));
            }
        }
        let container = self.container("dict", span);
        for (key, value, span) in values {
            self.push(OpKind::Grow { container, key, value: Some(value) }, span);
        }
        container
    }

    fn comprehension(
        &mut self,
        kind: &str,
        key: Option<&'a Expr>,
        value: &'a Expr,
        generators: &'a [ast::Comprehension],
        span: Span,
    ) -> Operand {
        let container = self.container(kind, span);
        let names = self.frame().comprehension_locals.len();
        let mut heads = Vec::with_capacity(generators.len());
        for generator in generators {
            let span = self.span_of(&generator.iter);
            let from = self.expression(&generator.iter);
            let (head, body, done) = (self.f().block(), self.f().block(), self.f().block());
            self.goto(head, span);
            self.f().switch_to(head);
            self.iteration_head(from, generator.is_async, body, done, span);
            self.f().switch_to(body);
            self.comprehension_names(&generator.target);
            let element = self.element(from, span);
            self.assign(&generator.target, element, ClassFact::Unknown);
            for test in &generator.ifs {
                let then = self.f().block();
                if self.condition(test, then, head).0 {
                    self.f().switch_to(then);
                }
            }
            heads.push((head, done));
        }
        let key = key.map(|it| self.expression(it));
        let value = self.expression(value);
        self.push(OpKind::Grow { container, key, value: Some(value) }, span);
        for (head, done) in heads.into_iter().rev() {
            self.goto(head, span);
            self.f().switch_to(done);
        }
        self.frame().comprehension_locals.truncate(names);
        container
    }

    fn comprehension_names(&mut self, target: &'a Expr) {
        match target {
            Expr::Name(it) => {
                let local = self.new_local(it.id.as_str(), it.range);
                self.frame().comprehension_locals.push((it.id.as_str(), local));
            }
            Expr::Tuple(it) => it.elts.iter().for_each(|it| self.comprehension_names(it)),
            Expr::List(it) => it.elts.iter().for_each(|it| self.comprehension_names(it)),
            Expr::Starred(it) => self.comprehension_names(&it.value),
            _ => {}
        }
    }
}

fn last(dotted: &str) -> &str {
    dotted.rsplit('.').next().unwrap_or(dotted)
}

fn is_reference(value: Operand) -> bool {
    matches!(value, Operand::Reg(_) | Operand::Function(_) | Operand::Class(_))
}

/// By convention: an upper-case letter first, and a lower-case one somewhere.
fn is_class_name(name: &str) -> bool {
    let name = name.trim_start_matches('_');
    name.starts_with(|it: char| it.is_ascii_uppercase()) && name.contains(|it: char| it.is_ascii_lowercase())
}

/// By convention: no upper-case letter.
fn is_module_name(name: &str) -> bool {
    !name.contains(|it: char| it.is_ascii_uppercase())
}

fn is_builtin_class(name: &str) -> bool {
    matches!(
        name,
        "int"
            | "str"
            | "bytes"
            | "bytearray"
            | "bool"
            | "float"
            | "complex"
            | "list"
            | "dict"
            | "set"
            | "tuple"
            | "frozenset"
            | "object"
            | "type"
            | "range"
            | "memoryview"
    )
}
