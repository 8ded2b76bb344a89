//! Calls, `new`, and what dotted names mean.

use crate::functions::{Role, code_of};
use crate::lower::{ImportKind, Lowering, Meaning, This, positional};
use crate::modules;
use heapwise_check::ir::*;
use oxc_ast::ast::{self, Argument as Given, Expression};

impl<'a> Lowering<'a> {
    pub fn call_named(&mut self, name: &str, args: Box<[Argument]>, span: Span) -> Operand {
        let callee = Callee::Direct(self.module.name(name));
        self.value(span, |to| OpKind::Call { to: Some(to), callee, args })
    }

    pub fn call(&mut self, it: &'a ast::CallExpression<'a>, span: Span) -> Operand {
        if let Some(module) = self.required(&it.callee, &it.arguments) {
            return Operand::Module(self.module.name(&module));
        }
        if let Some(result) = self.special_call(it, span) {
            return result;
        }
        let callee = self.callee(&it.callee);
        let args = self.arguments(&it.arguments);
        self.value(span, |to| OpKind::Call { to: Some(to), callee, args })
    }

    /// `super(...)`, `super.m(...)`, `Base.call(this, ...)`, `f.bind(this)` of a function literal.
    fn special_call(&mut self, it: &'a ast::CallExpression<'a>, span: Span) -> Option<Operand> {
        let callee = it.callee.get_inner_expression();
        if matches!(callee, Expression::Super(_)) {
            return Some(self.base_call("constructor", &it.arguments, span));
        }
        let Expression::StaticMemberExpression(member) = callee else { return None };
        let name = member.property.name.as_str();
        if matches!(member.object, Expression::Super(_)) {
            return Some(self.base_call(name, &it.arguments, span));
        }
        match name {
            "bind" if matches!(it.arguments.first(), Some(Given::ThisExpression(_))) => {
                let code = code_of(&member.object)?;
                Some(self.function(
                    crate::functions::Code { is_arrow: true, ..code },
                    "<anonymous>",
                    Role::Plain,
                ))
            }
            "call" if matches!(it.arguments.first(), Some(Given::ThisExpression(_))) => {
                let Expression::Identifier(of) = member.object.get_inner_expression() else { return None };
                let base = match self.meaning(of) {
                    Meaning::Class(name) | Meaning::Import(name, _) => name,
                    _ => return None,
                };
                let callee = Callee::Direct(self.method_of(base, "constructor"));
                let args = self.arguments(&it.arguments);
                Some(self.value(span, |to| OpKind::Call { to: Some(to), callee, args }))
            }
            _ => None,
        }
    }

    fn method_of(&mut self, class: Name, method: &str) -> Name {
        let text = format!("{}.{method}", self.module.text(class));
        self.module.name(&text)
    }

    /// A call of the base class's method, with the receiver as the first argument.
    fn base_call(&mut self, method: &str, arguments: &'a [Given<'a>], span: Span) -> Operand {
        let this = self.this(span);
        let rest = self.arguments(arguments);
        let base = self.frame().this.class().and_then(|it| {
            let module = self.module.module();
            module.classes[it.index()].bases.first().copied()
        });
        let Some(base) = base else {
            let callee = Callee::Value(Operand::Opaque);
            return self.value(span, |to| OpKind::Call { to: Some(to), callee, args: rest });
        };
        let callee = Callee::Direct(self.method_of(base, method));
        let is_static = matches!(self.frame().this, This::Class(_));
        let args = match is_static {
            true => rest,
            false => std::iter::once(positional(this)).chain(rest).collect(),
        };
        self.value(span, |to| OpKind::Call { to: Some(to), callee, args })
    }

    pub fn arguments(&mut self, it: &'a [Given<'a>]) -> Box<[Argument]> {
        it.iter()
            .map(|argument| match argument {
                Given::SpreadElement(it) => {
                    Argument { name: None, value: self.expression(&it.argument), is_spread: true }
                }
                other => positional(other.as_expression().map_or(Operand::Opaque, |it| self.expression(it))),
            })
            .collect()
    }

    pub fn callee(&mut self, it: &'a Expression<'a>) -> Callee {
        match it.get_inner_expression() {
            Expression::Identifier(id) => match self.meaning(id) {
                Meaning::Import(name, _) | Meaning::Function(name) | Meaning::Class(name) => {
                    Callee::Direct(name)
                }
                Meaning::Builtin => Callee::Direct(self.module.name(id.name.as_str())),
                _ => Callee::Value(self.expression(it)),
            },
            Expression::StaticMemberExpression(member) => {
                self.method_callee(&member.object, member.property.name.as_str())
            }
            Expression::PrivateFieldExpression(member) => {
                let text = format!("#{}", member.field.name);
                self.method_callee(&member.object, &text)
            }
            Expression::ComputedMemberExpression(member) => match &member.expression {
                Expression::StringLiteral(name) => self.method_callee(&member.object, name.value.as_str()),
                _ => Callee::Value(self.expression(it)),
            },
            Expression::ChainExpression(chain) => match &chain.expression {
                ast::ChainElement::StaticMemberExpression(member) => {
                    self.method_callee(&member.object, member.property.name.as_str())
                }
                _ => Callee::Value(self.expression(it)),
            },
            inner if code_of(inner).is_some() => {
                // A function that is called where it stands.
                match self.expression(inner) {
                    Operand::Function(name) => Callee::Direct(name),
                    value => Callee::Value(value),
                }
            }
            _ => Callee::Value(self.expression(it)),
        }
    }

    fn method_callee(&mut self, object: &'a Expression<'a>, short: &str) -> Callee {
        if let Some(of) = self.namespace(object) {
            return Callee::Direct(self.module.name(&builtin_name(&of, short)));
        }
        let receiver = self.expression(object);
        match receiver {
            // Methods of a class itself, functions kept by functions.
            Operand::Class(of) => return Callee::Direct(self.method_of(of, short)),
            Operand::Function(of) if !matches!(short, "call" | "apply" | "bind") => {
                return Callee::Direct(self.method_of(of, short));
            }
            _ => {}
        }
        Callee::Method { receiver, name: self.module.name(short), class: None }
    }

    /// The dotted name of an expression whose attributes go by dotted names: a module, an object of the language.
    pub fn namespace(&mut self, it: &'a Expression<'a>) -> Option<String> {
        match it.get_inner_expression() {
            Expression::Identifier(id) => match self.meaning(id) {
                Meaning::Import(name, ImportKind::Namespace) => Some(self.module.text(name).to_string()),
                Meaning::Builtin => match id.name.as_str() {
                    "exports" => Some(self.name.clone()),
                    "undefined" | "arguments" | "NaN" | "Infinity" => None,
                    name => Some(name.to_string()),
                },
                _ => None,
            },
            Expression::StaticMemberExpression(member) => {
                let of = self.namespace(&member.object)?;
                let name = member.property.name.as_str();
                match of.as_str() {
                    "module" if name == "exports" => Some(self.name.clone()),
                    // What these give has methods of its own.
                    _ if name == "prototype" => None,
                    _ => Some(builtin_name(&of, name)),
                }
            }
            Expression::CallExpression(call) => self.required(&call.callee, &call.arguments),
            _ => None,
        }
    }

    /// The module that `require("...")` gives.
    pub fn required(&mut self, callee: &'a Expression<'a>, arguments: &'a [Given<'a>]) -> Option<String> {
        let Expression::Identifier(id) = callee.get_inner_expression() else { return None };
        let [Given::StringLiteral(specifier)] = arguments else { return None };
        if id.name != "require" || self.meaning(id) != Meaning::Builtin {
            return None;
        }
        Some(modules::resolve(&self.path, specifier.value.as_str()))
    }

    pub fn new_object(&mut self, it: &'a ast::NewExpression<'a>, span: Span) -> Operand {
        let callee = it.callee.get_inner_expression();
        let class = match callee {
            Expression::Identifier(id) => match self.meaning(id) {
                Meaning::Import(name, _) | Meaning::Function(name) | Meaning::Class(name) => Some(name),
                Meaning::Builtin => Some(self.module.name(id.name.as_str())),
                _ => None,
            },
            Expression::StaticMemberExpression(member) => self.namespace(&member.object).map(|of| {
                let text = builtin_name(&of, member.property.name.as_str());
                self.module.name(&text)
            }),
            Expression::ThisExpression(_) => None,
            Expression::ClassExpression(class) => match self.class(class, None) {
                Operand::Class(name) => Some(name),
                _ => None,
            },
            _ => None,
        };
        let value = match class {
            Some(_) => Operand::Opaque,
            None => self.expression(&it.callee),
        };
        let args = self.arguments(&it.arguments);
        match (class, value) {
            // `new Array(1_000_000)` keeps its length.
            (Some(kind), _) if is_container(self.module.text(kind)) && !is_length(&args) => {
                self.value(span, |to| OpKind::Container { to, kind, bound: None })
            }
            (Some(class), _) | (None, Operand::Class(class)) => {
                self.value(span, |to| OpKind::New { to, class, args })
            }
            _ => self.value(span, |to| OpKind::Call { to: Some(to), callee: Callee::Value(value), args }),
        }
    }

    /// The dotted name of an expression, imports resolved; empty where it is none.
    pub fn dotted_text(&mut self, it: &'a Expression<'a>) -> String {
        match it.get_inner_expression() {
            Expression::Identifier(id) => match self.meaning(id) {
                Meaning::Import(name, _) | Meaning::Function(name) | Meaning::Class(name) => {
                    self.module.text(name).to_string()
                }
                _ => id.name.to_string(),
            },
            Expression::StaticMemberExpression(member) => {
                if let Some(of) = self.namespace(&member.object) {
                    return builtin_name(&of, member.property.name.as_str());
                }
                match self.dotted_text(&member.object) {
                    of if of.is_empty() => of,
                    of => format!("{of}.{}", member.property.name),
                }
            }
            Expression::CallExpression(call) => match self.required(&call.callee, &call.arguments) {
                Some(module) => module,
                None => self.dotted_text(&call.callee),
            },
            _ => String::new(),
        }
    }
}

/// `window.setInterval` is `setInterval`.
fn builtin_name(of: &str, short: &str) -> String {
    match of {
        "window" | "globalThis" | "self" | "global" => short.to_string(),
        _ => format!("{of}.{short}"),
    }
}

fn is_length(args: &[Argument]) -> bool {
    matches!(args, [Argument { value: Operand::Int(_), is_spread: false, .. }])
}

fn is_container(class: &str) -> bool {
    matches!(class, "Map" | "Set" | "Array" | "Object" | "WeakMap" | "WeakSet")
}
