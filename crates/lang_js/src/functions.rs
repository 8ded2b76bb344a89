//! Functions: names given before bodies are read, parameters, bodies.

use crate::lower::{Frame, Lowering, Meaning, This, is_reference};
use heapwise_check::ir::*;
use oxc_ast::ast::{self, ArrowFunctionBody, BindingPattern, Expression, Statement};
use oxc_semantic::SymbolId;
use oxc_syntax::scope::ScopeId;

/// What functions and arrow functions have in common.
#[derive(Clone, Copy)]
pub struct Code<'a> {
    pub span: oxc_span::Span,
    pub parameters: &'a ast::FormalParameters<'a>,
    pub body: Body<'a>,
    pub scope: Option<ScopeId>,
    pub is_async: bool,
    pub is_generator: bool,
    pub is_arrow: bool,
    pub id: Option<&'a ast::BindingIdentifier<'a>>,
}

#[derive(Clone, Copy)]
pub enum Body<'a> {
    Statements(&'a [Statement<'a>]),
    Expression(&'a Expression<'a>),
}

/// What a function is to a class.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sees the `this` around it if it is an arrow function, none otherwise.
    Plain,
    /// Of the objects of the class.
    Method(ClassId),
    /// In an object like a class, but with the `this` around it.
    Bound(ClassId),
    /// Of the class itself.
    Static(ClassId),
}

pub fn code_of_function<'a>(it: &'a ast::Function<'a>) -> Option<Code<'a>> {
    let body = it.body.as_deref()?;
    Some(Code {
        span: it.span,
        parameters: &it.params,
        body: Body::Statements(&body.statements),
        scope: it.scope_id.get(),
        is_async: it.r#async,
        is_generator: it.generator,
        is_arrow: false,
        id: it.id.as_ref(),
    })
}

pub fn code_of_arrow<'a>(it: &'a ast::ArrowFunctionExpression<'a>) -> Code<'a> {
    let body = match &it.body {
        ArrowFunctionBody::FunctionBody(body) => Body::Statements(&body.statements),
        other => match other.as_expression() {
            Some(value) => Body::Expression(value),
            None => Body::Statements(&[]),
        },
    };
    Code {
        span: it.span,
        parameters: &it.params,
        body,
        scope: it.scope_id.get(),
        is_async: it.r#async,
        is_generator: false,
        is_arrow: true,
        id: None,
    }
}

/// The function that an expression is.
pub fn code_of<'a>(it: &'a Expression<'a>) -> Option<Code<'a>> {
    match it.get_inner_expression() {
        Expression::FunctionExpression(it) => code_of_function(it),
        Expression::ArrowFunctionExpression(it) => Some(code_of_arrow(it)),
        _ => None,
    }
}

impl<'a> Lowering<'a> {
    /// Gives names to the functions and classes of a list of statements: they may be used before they are read.
    pub fn hoist(&mut self, body: &'a [Statement<'a>]) {
        for statement in body {
            match statement {
                Statement::FunctionDeclaration(it) => self.hoist_function(it),
                Statement::ClassDeclaration(it) => self.hoist_class(it),
                Statement::VariableDeclaration(it) => self.hoist_variables(it),
                Statement::ExportDeclaration(it) => match &it.declaration {
                    ast::Declaration::FunctionDeclaration(it) => self.hoist_function(it),
                    ast::Declaration::ClassDeclaration(it) => self.hoist_class(it),
                    ast::Declaration::VariableDeclaration(it) => self.hoist_variables(it),
                    _ => {}
                },
                Statement::ExportDefaultDeclaration(it) => match &it.declaration {
                    ast::ExportDefaultDeclarationKind::FunctionDeclaration(it) => self.hoist_function(it),
                    ast::ExportDefaultDeclarationKind::ClassDeclaration(it) => self.hoist_class(it),
                    _ => {}
                },
                Statement::ImportDeclaration(it) => self.import_declaration(it),
                Statement::TSImportEqualsDeclaration(it) => self.import_equals(it),
                _ => {}
            }
        }
        self.find_prototypes(body);
    }

    fn hoist_function(&mut self, it: &'a ast::Function<'a>) {
        let Some(id) = it.id.as_ref().filter(|_| it.body.is_some()) else { return };
        let Some(symbol) = id.symbol_id.get() else { return };
        if self.is_fixed(symbol) {
            self.reserve(symbol, id.name.as_str(), it.span.start);
        }
    }

    /// A function's id and name, and what a symbol means with them.
    fn reserve(&mut self, symbol: SymbolId, short: &str, place: u32) {
        let name = self.linkage_name(short);
        let id = self.module.reserve();
        self.reserved.insert(place, (id, name));
        self.places.insert(symbol, place);
        self.define(symbol, Meaning::Function(name));
    }

    fn hoist_variables(&mut self, it: &'a ast::VariableDeclaration<'a>) {
        for it in &it.declarations {
            let Some(init) = &it.init else { continue };
            if self.hoist_require(&it.id, init) {
                continue;
            }
            let BindingPattern::BindingIdentifier(id) = &it.id else { continue };
            let Some(symbol) = id.symbol_id.get().filter(|it| self.is_fixed(*it)) else { continue };
            match init.get_inner_expression() {
                Expression::ClassExpression(class) => {
                    let name = self.linkage_name(id.name.as_str());
                    self.reserved.insert(class.span.start, (FunctionId(0), name));
                    self.define(symbol, Meaning::Class(name));
                }
                other => {
                    if let Some(code) = code_of(other) {
                        self.reserve(symbol, id.name.as_str(), code.span.start);
                    }
                }
            }
        }
    }

    pub fn function_declaration(&mut self, it: &'a ast::Function<'a>) {
        let Some(code) = code_of_function(it) else { return };
        let value = self.function(code, "<anonymous>", Role::Plain);
        if let Some(id) = &it.id
            && let Some(symbol) = id.symbol_id.get()
            && !matches!(self.defined(symbol), Some(Meaning::Function(_) | Meaning::Class(_)))
        {
            self.bind(id, value);
        }
    }

    /// Lowers a function; its value. `short`: what it is called if it has no name of its own.
    pub fn function(&mut self, code: Code<'a>, short: &str, role: Role) -> Operand {
        let short = code.id.map_or(short, |it| it.name.as_str());
        let (id, name) = match self.reserved.remove(&code.span.start) {
            Some(known) => known,
            None => (self.module.reserve(), self.linkage_name(short)),
        };
        let role = match self.prototypes.get(&code.span.start) {
            Some(class) if role == Role::Plain => Role::Method(*class),
            _ => role,
        };
        self.function_as(code, id, name, role)
    }

    pub fn function_as(&mut self, code: Code<'a>, id: FunctionId, name: Name, role: Role) -> Operand {
        let span = Span { file: FileId(0), start: code.span.start, end: code.span.end };
        let mut builder = self.module.builder(name, span);
        let is_nested = self.frames.len() > 1;
        let function = &mut builder.function;
        function.name_span = match code.id {
            Some(id) => self.span(id),
            None => Span { end: code.parameters.span.start.clamp(span.start, span.end), ..span },
        };
        function.is_async = code.is_async;
        function.is_generator = code.is_generator;
        function.parent = is_nested.then(|| self.frame().id);
        let initializers = std::mem::take(&mut self.initializers);
        function.attributes = std::mem::take(&mut self.decorators);
        function.attributes.extend(self.attribute.take());
        let this = match role {
            Role::Plain if code.is_arrow => self.frame().this,
            Role::Plain => This::Unknown,
            Role::Static(class) => {
                let attribute = self.module.name("staticmethod");
                builder.function.attributes.push(attribute);
                builder.function.class = Some(class);
                This::Class(class)
            }
            Role::Bound(class) => {
                builder.function.class = Some(class);
                let name = self.module.name("");
                builder.parameter(name, self.unknown, Span { end: span.start, ..span });
                self.frame().this
            }
            Role::Method(class) => {
                builder.function.class = Some(class);
                builder.function.is_virtual = true;
                let this = self.module.name("this");
                let local = builder.parameter(this, self.unknown, Span { end: span.start, ..span });
                This::Object(id, local, class)
            }
        };
        if let Some(symbol) = code.id.and_then(|it| it.symbol_id.get())
            && self.defined(symbol).is_none()
        {
            // The name of a function expression means itself within it.
            self.define(symbol, Meaning::Function(name));
        }
        let prefix = format!("{}.", self.module.text(name));
        self.prefixes.push(prefix);
        self.frames.push(Frame::new(id, builder, code.scope, this));
        self.parameters(code.parameters);
        self.initializers = initializers;
        self.run_initializers();
        match code.body {
            Body::Statements(body) => {
                self.hoist(body);
                self.statements(body);
            }
            Body::Expression(value) => {
                let span = self.span(value);
                let value = self.expression(value);
                self.f().end(End::Return(Some(value)), span);
            }
        }
        self.prefixes.pop();
        self.finish_frame();
        let name_span = Span { end: code.parameters.span.start.clamp(span.start, span.end), ..span };
        match is_nested {
            true => self.value(name_span, |to| OpKind::Closure { to, function: id }),
            false => Operand::Function(name),
        }
    }

    /// Opens the frame of a method without parameters.
    pub fn open_method(&mut self, id: FunctionId, name: Name, span: Span, name_span: Span, class: ClassId) {
        let mut builder = self.module.builder(name, span);
        let is_nested = self.frames.len() > 1;
        let function = &mut builder.function;
        function.name_span = name_span;
        function.class = Some(class);
        function.is_virtual = true;
        function.attributes = std::mem::take(&mut self.decorators);
        function.parent = is_nested.then(|| self.frame().id);
        let this = self.module.name("this");
        let local = builder.parameter(this, self.unknown, Span { end: span.start, ..span });
        self.prefixes.push(format!("{}.", self.module.text(name)));
        self.frames.push(Frame::new(id, builder, None, This::Object(id, local, class)));
    }

    pub fn close_method(&mut self) {
        self.prefixes.pop();
        self.finish_frame();
    }

    fn parameters(&mut self, it: &'a ast::FormalParameters<'a>) {
        // All locals first: parameters come before what their patterns bind.
        let mut locals = Vec::with_capacity(it.items.len());
        for parameter in &it.items {
            let pattern = match &parameter.pattern {
                BindingPattern::AssignmentPattern(it) => &it.left,
                other => other,
            };
            locals.push(self.parameter(pattern));
        }
        if let Some(rest) = &it.rest {
            self.f().function.is_variadic = true;
            let local = self.parameter(&rest.rest.argument);
            let span = self.span(&**rest);
            let kind = self.module.name("Array");
            let value = self.value(span, |to| OpKind::Container { to, kind, bound: None });
            if !matches!(rest.rest.argument, BindingPattern::BindingIdentifier(_)) {
                self.store(Place::local(local), value, span);
                self.bind_pattern(&rest.rest.argument, value);
            }
        }
        for (parameter, local) in it.items.iter().zip(locals) {
            let (pattern, default) = match &parameter.pattern {
                BindingPattern::AssignmentPattern(it) => (&it.left, Some(&it.right)),
                other => (other, parameter.initializer.as_deref()),
            };
            if let Some(default) = default {
                self.default_parameter(local, default);
            }
            if !matches!(pattern, BindingPattern::BindingIdentifier(_)) {
                let span = self.span(pattern);
                let value = self.load(Place::local(local), span);
                self.bind_pattern(pattern, value);
            }
            // `constructor(private http: HttpClient)`.
            let is_property = parameter.accessibility.is_some() || parameter.readonly;
            if let (true, Some(name), Some(class)) =
                (is_property, pattern.get_identifier_name(), self.frame().this.class())
            {
                let name = self.module.name(name.as_str());
                self.note_field(class, name);
                let span = self.span(pattern);
                let this = self.this(span);
                let value = self.load(Place::local(local), span);
                self.store(Place { base: Base::At(this), steps: crate::lower::field(name) }, value, span);
            }
        }
    }

    fn parameter(&mut self, pattern: &'a BindingPattern<'a>) -> LocalId {
        let (span, ty) = (self.span(pattern), self.unknown);
        let BindingPattern::BindingIdentifier(it) = pattern else {
            let name = self.module.name("");
            return self.f().parameter(name, ty, span);
        };
        let name = self.module.name(it.name.as_str());
        let frame = self.frame();
        let local = frame.builder.parameter(name, ty, span);
        let meaning = Meaning::Local(frame.id, local);
        if let Some(symbol) = it.symbol_id.get() {
            self.define(symbol, meaning);
        }
        local
    }

    fn default_parameter(&mut self, local: LocalId, default: &'a Expression<'a>) {
        let span = self.span(default);
        let (absent, given) = (self.f().block(), self.f().block());
        self.f().end(End::Branch { condition: Operand::Opaque, then: absent, other: given }, span);
        self.f().switch_to(absent);
        let value = self.expression(default);
        if is_reference(value) {
            self.store(Place::local(local), value, span);
        }
        self.goto(given, span);
        self.f().switch_to(given);
    }
}
