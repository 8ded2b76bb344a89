//! Classes, objects that are like classes, and functions with prototypes.

use crate::functions::{Code, Role, code_of, code_of_function};
use crate::lower::{Lowering, Meaning, This, field, is_reference, positional};
use heapwise_check::ir::*;
use oxc_ast::ast::{
    self, AssignmentTarget, ClassElement, Expression, MethodDefinitionKind, ObjectPropertyKind, PropertyKind,
    Statement,
};
use oxc_semantic::SymbolId;

impl<'a> Lowering<'a> {
    pub fn hoist_class(&mut self, it: &'a ast::Class<'a>) {
        let Some(id) = &it.id else { return };
        let Some(symbol) = id.symbol_id.get().filter(|it| self.is_fixed(*it)) else { return };
        let name = self.linkage_name(id.name.as_str());
        self.reserved.insert(it.span.start, (FunctionId(0), name));
        self.define(symbol, Meaning::Class(name));
    }

    /// A class, with its methods; its value.
    pub fn class(&mut self, it: &'a ast::Class<'a>, short: Option<&str>) -> Operand {
        if it.declare {
            return Operand::Opaque;
        }
        let short = it.id.as_ref().map(|it| it.name.as_str()).or(short).unwrap_or("<class>");
        let name = match self.reserved.remove(&it.span.start) {
            Some((_, name)) => name,
            None => self.linkage_name(short),
        };
        let span = match &it.id {
            Some(id) => self.span(id),
            None => Span { end: it.body.span.start, ..self.span(it) },
        };
        let class = self.new_class(name, span);
        let symbol = it.id.as_ref().and_then(|it| it.symbol_id.get());
        let is_known = symbol.is_none_or(|it| matches!(self.defined(it), Some(Meaning::Class(_))));
        if let Some(symbol) = symbol.filter(|it| self.defined(*it).is_none()) {
            self.define(symbol, Meaning::Class(name));
        }
        if let Some(heritage) = &it.heritage {
            let base = self.dotted_text(&heritage.expression);
            if base.is_empty() || code_of(&heritage.expression).is_some() {
                self.expression(&heritage.expression);
            } else {
                let base = self.module.name(&base);
                self.module.class_mut(class).bases.push(base);
            }
        }
        let decorators: Vec<Name> = it
            .decorators
            .iter()
            .map(|it| {
                let text = self.dotted_text(&it.expression);
                self.module.name(&text)
            })
            .collect();
        let prefix = format!("{}.", self.module.text(name));
        self.prefixes.push(prefix);
        self.class_body(it, class, decorators);
        self.prefixes.pop();
        if !is_known && let Some(id) = &it.id {
            self.bind(id, Operand::Class(name));
        }
        Operand::Class(name)
    }

    fn class_body(&mut self, it: &'a ast::Class<'a>, class: ClassId, decorators: Vec<Name>) {
        let mut constructor = None;
        let mut fields = Vec::new();
        // Fields first: methods may use what another one sets.
        for element in &it.body.body {
            if let ClassElement::PropertyDefinition(property) = element
                && !property.r#static
                && property.value.as_ref().is_some_and(|it| code_of(it).is_none())
            {
                if let Some(name) = key_name(&property.key) {
                    let name = self.module.name(&name);
                    self.note_field(class, name);
                }
                fields.push(&**property);
            }
        }
        for element in &it.body.body {
            match element {
                ClassElement::MethodDefinition(method) => match method.kind {
                    MethodDefinitionKind::Constructor => {
                        constructor = code_of_function(&method.value).or(constructor)
                    }
                    kind => self.method(method, class, kind),
                },
                ClassElement::PropertyDefinition(property) => {
                    let Some(value) = &property.value else { continue };
                    let short = key_name(&property.key).unwrap_or_else(|| "<computed>".to_string());
                    match code_of(value) {
                        Some(code) if !property.declare => {
                            let role =
                                if property.r#static { Role::Static(class) } else { Role::Method(class) };
                            self.add_method(code, &short, class, role, None);
                        }
                        _ if property.r#static => {
                            let outer = std::mem::replace(&mut self.frame().this, This::Class(class));
                            let value = self.named_expression(value, Some(&short));
                            self.frame().this = outer;
                            let name = self.module.name(&short);
                            let span = self.span(&**property);
                            self.store(Place { base: Base::Class(class), steps: field(name) }, value, span);
                        }
                        _ => {}
                    }
                }
                ClassElement::StaticBlock(block) => {
                    let outer = std::mem::replace(&mut self.frame().this, This::Class(class));
                    self.hoist(&block.body);
                    self.statements(&block.body);
                    self.frame().this = outer;
                }
                ClassElement::AccessorProperty(_) | ClassElement::TSIndexSignature(_) => {}
            }
        }
        if constructor.is_some() || !fields.is_empty() || !decorators.is_empty() {
            self.constructor(it, constructor, class, fields, decorators);
        }
    }

    fn constructor(
        &mut self,
        it: &'a ast::Class<'a>,
        code: Option<Code<'a>>,
        class: ClassId,
        fields: Vec<&'a ast::PropertyDefinition<'a>>,
        decorators: Vec<Name>,
    ) {
        let name = self.linkage_name("constructor");
        let short = self.module.name("constructor");
        self.module.class_mut(class).methods.push((short, name));
        let id = self.module.reserve();
        self.initializers = fields;
        self.decorators = decorators;
        match code {
            Some(code) => {
                self.function_as(code, id, name, Role::Method(class));
            }
            None => self.default_constructor(it, id, name, class),
        }
    }

    /// Of a class that has none of its own.
    fn default_constructor(&mut self, it: &'a ast::Class<'a>, id: FunctionId, name: Name, class: ClassId) {
        let span = self.span(it);
        let name_span = it.id.as_ref().map_or(Span { end: it.body.span.start, ..span }, |it| self.span(it));
        self.open_method(id, name, span, name_span, class);
        if it.heritage.is_some()
            && let Some(base) = self.module.module().classes[class.index()].bases.first().copied()
        {
            let text = format!("{}.constructor", self.module.text(base));
            let this = self.this(name_span);
            self.call_named(&text, Box::new([positional(this)]), name_span);
        }
        self.run_initializers();
        self.close_method();
    }

    /// Values of fields, at the start of a constructor.
    pub fn run_initializers(&mut self) {
        for property in std::mem::take(&mut self.initializers) {
            let (Some(value), Some(short)) = (&property.value, key_name(&property.key)) else { continue };
            let span = self.span(property);
            let value = self.named_expression(value, Some(&short));
            let name = self.module.name(&short);
            let this = self.this(span);
            self.store(Place { base: Base::At(this), steps: field(name) }, value, span);
        }
    }

    fn method(&mut self, it: &'a ast::MethodDefinition<'a>, class: ClassId, kind: MethodDefinitionKind) {
        let Some(code) = code_of_function(&it.value) else { return };
        let short = key_name(&it.key).unwrap_or_else(|| "<computed>".to_string());
        let role = if it.r#static { Role::Static(class) } else { Role::Method(class) };
        self.add_method(code, &short, class, role, attribute_of(kind));
        for decorator in &it.decorators {
            self.expression(&decorator.expression);
        }
    }

    fn add_method(
        &mut self,
        code: Code<'a>,
        short: &str,
        class: ClassId,
        role: Role,
        attribute: Option<&str>,
    ) {
        // `#` begins a variant in linkage names.
        let name = match attribute {
            Some("setter") => self.linkage_name(&format!("{}#setter", short.trim_start_matches('#'))),
            _ => self.linkage_name(short.trim_start_matches('#')),
        };
        let id = self.module.reserve();
        if attribute != Some("setter") {
            let short = self.module.name(short);
            self.module.class_mut(class).methods.push((short, name));
        }
        self.attribute = attribute.map(|it| self.module.name(it));
        self.function_as(code, id, name, role);
    }

    // Objects.

    pub fn object(&mut self, it: &'a ast::ObjectExpression<'a>, short: Option<&str>, span: Span) -> Operand {
        match is_like_class(it, short.is_some()) {
            true => self.object_with_methods(it, short, span),
            false => self.plain_object(it, span),
        }
    }

    fn plain_object(&mut self, it: &'a ast::ObjectExpression<'a>, span: Span) -> Operand {
        let mut values = Vec::new();
        for property in &it.properties {
            let (key, value) = match property {
                ObjectPropertyKind::SpreadProperty(it) => {
                    let from = self.expression(&it.argument);
                    let step = Step::Index { index: Operand::Opaque, stride: 0 };
                    let span = self.span(&**it);
                    (None, self.load(Place { base: Base::At(from), steps: Box::new([step]) }, span))
                }
                ObjectPropertyKind::ObjectProperty(it) => {
                    let key = match key_name(&it.key) {
                        Some(name) => Some(Operand::String(self.literal(&name))),
                        None => it.key.as_expression().map(|it| self.expression(it)),
                    };
                    (key, self.expression(&it.value))
                }
            };
            if is_reference(value) || key.is_some_and(is_reference) || matches!(value, Operand::Bool(_)) {
                values.push((key, value, self.span(property)));
            }
        }
        let container = self.container("Object", span);
        for (key, value, span) in values {
            self.push(OpKind::Grow { container, key, value: Some(value) }, span);
        }
        container
    }

    fn object_with_methods(
        &mut self,
        it: &'a ast::ObjectExpression<'a>,
        short: Option<&str>,
        span: Span,
    ) -> Operand {
        let name = self.linkage_name(short.unwrap_or("<object>"));
        let class = self.new_class(name, span);
        let object = self.value(span, |to| OpKind::New { to, class: name, args: Box::default() });
        let prefix = format!("{}.", self.module.text(name));
        self.prefixes.push(prefix);
        for property in &it.properties {
            let span = self.span(property);
            let ObjectPropertyKind::ObjectProperty(property) = property else {
                if let ObjectPropertyKind::SpreadProperty(it) = property {
                    self.expression(&it.argument);
                }
                continue;
            };
            let Some(short) = key_name(&property.key) else {
                let index = property.key.as_expression().map_or(Operand::Opaque, |it| self.expression(it));
                let value = self.expression(&property.value);
                let to =
                    Place { base: Base::At(object), steps: Box::new([Step::Index { index, stride: 0 }]) };
                self.store(to, value, span);
                continue;
            };
            match code_of(&property.value) {
                Some(code) => {
                    let attribute = match property.kind {
                        PropertyKind::Init => None,
                        PropertyKind::Get => Some("property"),
                        PropertyKind::Set => Some("setter"),
                    };
                    let role = if code.is_arrow { Role::Bound(class) } else { Role::Method(class) };
                    self.add_method(code, &short, class, role, attribute);
                }
                None => {
                    let value = self.named_expression(&property.value, Some(&short));
                    let name = self.module.name(&short);
                    self.note_field(class, name);
                    self.store(Place { base: Base::At(object), steps: field(name) }, value, span);
                }
            }
        }
        self.prefixes.pop();
        object
    }

    // Prototypes.

    /// Functions of a list of statements that are classes: something is assigned to their prototypes.
    pub fn find_prototypes(&mut self, body: &'a [Statement<'a>]) {
        for statement in body {
            let Statement::ExpressionStatement(it) = statement else { continue };
            match it.expression.get_inner_expression() {
                Expression::AssignmentExpression(it) => {
                    let AssignmentTarget::StaticMemberExpression(member) = &it.left else { continue };
                    if member.property.name == "prototype" {
                        let Some(class) = self.prototype_class(&member.object) else { continue };
                        if let Expression::CallExpression(call) = it.right.get_inner_expression()
                            && let Some(base) = call.arguments.first().and_then(|it| it.as_expression())
                        {
                            self.add_base(class, base);
                        }
                    } else if let Some(of) = of_prototype(&member.object) {
                        let class = self.prototype_class(of);
                        if let (Some(class), "__proto__") = (class, member.property.name.as_str()) {
                            self.add_base(class, &it.right);
                        }
                    }
                }
                Expression::CallExpression(call) => {
                    let [one, two] = &call.arguments[..] else { continue };
                    let (Some(one), Some(two)) = (one.as_expression(), two.as_expression()) else { continue };
                    let name = self.dotted_text(&call.callee);
                    if name == "Object.setPrototypeOf" || name.rsplit('.').next() == Some("inherits") {
                        let Some(class) = self.prototype_class(of_prototype(one).unwrap_or(one)) else {
                            continue;
                        };
                        self.add_base(class, two);
                    }
                }
                _ => {}
            }
        }
    }

    fn add_base(&mut self, class: ClassId, base: &'a Expression<'a>) {
        let text = self.dotted_text(of_prototype(base).unwrap_or(base));
        if !text.is_empty() {
            let name = self.module.name(&text);
            self.module.class_mut(class).bases.push(name);
        }
    }

    /// The class that a function's name means; made of the function where it is new.
    fn prototype_class(&mut self, it: &'a Expression<'a>) -> Option<ClassId> {
        let Expression::Identifier(id) = it.get_inner_expression() else { return None };
        let symbol: SymbolId = self.symbol_of(id)?;
        match self.defined(symbol)? {
            Meaning::Class(name) => self.class_named(name),
            Meaning::Function(name) => {
                let place = *self.places.get(&symbol)?;
                let span = self.scoping.symbol_span(symbol);
                let class = self.new_class(name, Span { file: FileId(0), start: span.start, end: span.end });
                let short = self.module.name("constructor");
                self.module.class_mut(class).methods.push((short, name));
                self.prototypes.insert(place, class);
                self.define(symbol, Meaning::Class(name));
                Some(class)
            }
            _ => None,
        }
    }

    /// `C.prototype.m = ...`, `C.prototype = {...}`.
    pub fn prototype_assignment(
        &mut self,
        member: &'a ast::StaticMemberExpression<'a>,
        right: &'a Expression<'a>,
    ) -> Option<Operand> {
        let is_whole = member.property.name == "prototype";
        let of = if is_whole { &member.object } else { of_prototype(&member.object)? };
        let Expression::Identifier(id) = of.get_inner_expression() else { return None };
        let Meaning::Class(class_name) = self.meaning(id) else { return None };
        let class = self.class_named(class_name)?;
        let prefix = format!("{}.", self.module.text(class_name));
        self.prefixes.push(prefix);
        if !is_whole {
            self.prototype_member(class, member.property.name.as_str(), right);
        } else if let Expression::ObjectExpression(object) = right.get_inner_expression() {
            for property in &object.properties {
                let ObjectPropertyKind::ObjectProperty(property) = property else { continue };
                if let Some(short) = key_name(&property.key) {
                    self.prototype_member(class, &short, &property.value);
                }
            }
        }
        self.prefixes.pop();
        Some(Operand::Opaque)
    }

    fn prototype_member(&mut self, class: ClassId, short: &str, value: &'a Expression<'a>) {
        // `C.prototype.a = C.prototype.b = function () {}`.
        if let Expression::AssignmentExpression(it) = value.get_inner_expression()
            && let AssignmentTarget::StaticMemberExpression(member) = &it.left
        {
            self.prototype_member(class, member.property.name.as_str(), &it.right);
            return;
        }
        match code_of(value) {
            Some(code) => self.add_method(code, short, class, Role::Method(class), None),
            None => {
                let span = self.span(value);
                let value = self.named_expression(value, Some(short));
                let name = self.module.name(short);
                self.store(Place { base: Base::Class(class), steps: field(name) }, value, span);
            }
        }
    }
}

/// The text of a key that is no expression.
pub fn key_name(key: &ast::PropertyKey<'_>) -> Option<String> {
    match key {
        ast::PropertyKey::PrivateIdentifier(it) => Some(format!("#{}", it.name)),
        other => other.static_name().map(|it| it.into_owned()),
    }
}

fn attribute_of(kind: MethodDefinitionKind) -> Option<&'static str> {
    match kind {
        MethodDefinitionKind::Get => Some("property"),
        MethodDefinitionKind::Set => Some("setter"),
        MethodDefinitionKind::Constructor | MethodDefinitionKind::Method => None,
    }
}

/// An object with functions, or a named one with containers: its attributes are few, and known.
fn is_like_class(it: &ast::ObjectExpression<'_>, is_named: bool) -> bool {
    it.properties.iter().any(|property| {
        let ObjectPropertyKind::ObjectProperty(property) = property else { return false };
        if property.computed && property.key.static_name().is_none() {
            return false;
        }
        match property.value.get_inner_expression() {
            Expression::ArrowFunctionExpression(_) | Expression::FunctionExpression(_) => true,
            Expression::ArrayExpression(_) | Expression::NewExpression(_) => is_named,
            Expression::ObjectExpression(inner) => {
                is_named && (inner.properties.is_empty() || is_like_class(inner, true))
            }
            _ => false,
        }
    })
}

/// `C` of `C.prototype`.
fn of_prototype<'a>(it: &'a Expression<'a>) -> Option<&'a Expression<'a>> {
    match it.get_inner_expression() {
        Expression::StaticMemberExpression(member) if member.property.name == "prototype" => {
            Some(&member.object)
        }
        _ => None,
    }
}
