//! What a module takes from others and gives to them.

use crate::functions::code_of;
use crate::lower::{ImportKind, Lowering, Meaning};
use crate::modules::{is_relative, resolve};
use heapwise_check::ir::*;
use oxc_ast::ast::{
    self, BindingPattern, Declaration, ExportDefaultDeclarationKind, Expression, ImportDeclarationSpecifier,
    ObjectPropertyKind,
};

impl<'a> Lowering<'a> {
    pub fn import_declaration(&mut self, it: &'a ast::ImportDeclaration<'a>) {
        let specifier = it.source.value.as_str();
        let module = resolve(&self.path, specifier);
        // What a file gives is its variables; what a package gives is known by dotted names.
        let kind = if is_relative(specifier) { ImportKind::Value } else { ImportKind::Namespace };
        for specifier in it.specifiers.iter().flatten() {
            let (local, means, kind) = match specifier {
                ImportDeclarationSpecifier::ImportSpecifier(it) => {
                    let name = it.imported.name();
                    (&it.local, imported(&module, name.as_str(), kind), kind)
                }
                ImportDeclarationSpecifier::ImportDefaultSpecifier(it) => {
                    (&it.local, imported(&module, "default", kind), kind)
                }
                ImportDeclarationSpecifier::ImportNamespaceSpecifier(it) => {
                    (&it.local, module.clone(), ImportKind::Namespace)
                }
            };
            self.import(local, &means, kind);
        }
    }

    fn import(&mut self, local: &'a ast::BindingIdentifier<'a>, means: &str, kind: ImportKind) {
        if let Some(symbol) = local.symbol_id.get() {
            let means = self.module.name(means);
            self.define(symbol, Meaning::Import(means, kind));
        }
    }

    pub fn import_equals(&mut self, it: &'a ast::TSImportEqualsDeclaration<'a>) {
        if let ast::TSModuleReference::ExternalModuleReference(of) = &it.module_reference {
            let module = resolve(&self.path, of.expression.value.as_str());
            self.import(&it.id, &module, ImportKind::Namespace);
        }
    }

    /// Whether an expression is `require("...")` or an attribute of it.
    pub fn is_require(&mut self, it: &'a Expression<'a>) -> bool {
        self.required_name(it).is_some()
    }

    fn required_name(&mut self, it: &'a Expression<'a>) -> Option<(String, ImportKind)> {
        match it.get_inner_expression() {
            Expression::CallExpression(call) => {
                let module = self.required(&call.callee, &call.arguments)?;
                Some((module, ImportKind::Namespace))
            }
            Expression::StaticMemberExpression(member) => {
                let (of, _) = self.required_name(&member.object)?;
                let Expression::CallExpression(call) = member.object.get_inner_expression() else {
                    return Some((format!("{of}.{}", member.property.name), ImportKind::Namespace));
                };
                let kind = kind_of_require(&call.arguments);
                Some((format!("{of}.{}", member.property.name), kind))
            }
            _ => None,
        }
    }

    /// `const x = require("x")`, `const { a, b: c } = require("x")`: names that are never assigned again.
    pub fn hoist_require(&mut self, pattern: &'a BindingPattern<'a>, init: &'a Expression<'a>) -> bool {
        let Some((module, kind)) = self.required_name(init) else { return false };
        match pattern {
            BindingPattern::BindingIdentifier(id)
                if id.symbol_id.get().is_some_and(|it| self.is_fixed(it)) =>
            {
                self.import(id, &module, kind);
            }
            BindingPattern::ObjectPattern(it) => {
                let kind = match init.get_inner_expression() {
                    Expression::CallExpression(call) => kind_of_require(&call.arguments),
                    _ => kind,
                };
                for property in &it.properties {
                    if let (Some(name), BindingPattern::BindingIdentifier(id)) =
                        (property.key.static_name(), &property.value)
                        && id.symbol_id.get().is_some_and(|it| self.is_fixed(it))
                    {
                        self.import(id, &format!("{module}.{name}"), kind);
                    }
                }
            }
            _ => {}
        }
        true
    }

    /// Whether all names of a pattern were taken for imports.
    pub fn is_imported(&self, pattern: &'a BindingPattern<'a>) -> bool {
        let is_import = |id: &ast::BindingIdentifier<'_>| {
            id.symbol_id.get().is_some_and(|it| matches!(self.defined(it), Some(Meaning::Import(..))))
        };
        match pattern {
            BindingPattern::BindingIdentifier(id) => is_import(id),
            BindingPattern::ObjectPattern(it) => {
                it.rest.is_none()
                    && it
                        .properties
                        .iter()
                        .all(|it| matches!(&it.value, BindingPattern::BindingIdentifier(id) if is_import(id)))
            }
            _ => false,
        }
    }

    // Exports.

    pub fn export_declaration(&mut self, it: &'a Declaration<'a>) {
        match it {
            Declaration::VariableDeclaration(it) => self.variables(it),
            Declaration::FunctionDeclaration(it) => self.function_declaration(it),
            Declaration::ClassDeclaration(it) => {
                self.class(it, None);
            }
            _ => {}
        }
    }

    pub fn export_default(&mut self, it: &'a ast::ExportDefaultDeclaration<'a>) {
        let span = self.span(it);
        let text = format!("{}.default", self.name);
        let value = match &it.declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(function) => {
                match (&function.id, crate::functions::code_of_function(function)) {
                    (Some(id), _) => {
                        self.function_declaration(function);
                        return self.alias_symbol(&text, id.symbol_id.get());
                    }
                    (None, Some(code)) => self.function(code, "default", crate::functions::Role::Plain),
                    (None, None) => return,
                }
            }
            ExportDefaultDeclarationKind::ClassDeclaration(class) => self.class(class, Some("default")),
            ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => return,
            other => {
                let Some(value) = other.as_expression() else { return };
                return self.export_value(&text, value, "default", span);
            }
        };
        if let Operand::Function(name) | Operand::Class(name) = value {
            self.alias(&text, name);
        }
    }

    fn alias_symbol(&mut self, text: &str, symbol: Option<oxc_semantic::SymbolId>) {
        let Some(symbol) = symbol else { return };
        match self.meaning_of_symbol(symbol) {
            Meaning::Function(name) | Meaning::Class(name) | Meaning::Import(name, _) => {
                self.alias(text, name)
            }
            Meaning::Global(global) => {
                let name = self.module.module().globals[global.index()].name;
                self.alias(text, name);
            }
            Meaning::Local(..) | Meaning::Builtin => {}
        }
    }

    /// Gives a value to others under a linkage name.
    fn export_value(&mut self, text: &str, value: &'a Expression<'a>, short: &str, span: Span) {
        if let Expression::Identifier(id) = value.get_inner_expression()
            && let Some(symbol) = self.symbol_of(id)
        {
            return self.alias_symbol(text, Some(symbol));
        }
        let value = self.named_expression(value, Some(short));
        match value {
            Operand::Function(name) | Operand::Class(name) | Operand::Module(name) => self.alias(text, name),
            value => {
                let global = self.global_text(text);
                self.store(Place { base: Base::Global(global), steps: Box::default() }, value, span);
            }
        }
    }

    pub fn export_named(&mut self, it: &'a ast::ExportNamedDeclaration<'a>) {
        for specifier in &it.specifiers {
            let text = format!("{}.{}", self.name, specifier.exported.name());
            if let ast::ModuleExportName::IdentifierReference(id) = &specifier.local {
                let symbol = self.symbol_of(id);
                self.alias_symbol(&text, symbol);
            }
        }
    }

    pub fn export_from(&mut self, it: &'a ast::ExportFromDeclaration<'a>) {
        let module = resolve(&self.path, it.source.value.as_str());
        for specifier in &it.specifiers {
            let text = format!("{}.{}", self.name, specifier.exported.name());
            let means = self.module.name(&format!("{module}.{}", specifier.local.name()));
            self.alias(&text, means);
        }
    }

    /// `export * from "./x"`: the name `*` of this module stands for the other one.
    pub fn export_all(&mut self, it: &'a ast::ExportAllDeclaration<'a>) {
        let module = resolve(&self.path, it.source.value.as_str());
        let means = self.module.name(&module);
        match &it.exported {
            Some(name) => self.alias(&format!("{}.{}", self.name, name.name()), means),
            None => {
                let count = self.stars;
                self.stars += 1;
                self.alias(&format!("{}.*{count}", self.name), means);
            }
        }
    }

    /// `exports.x = ...`, `module.exports = ...`, and chains of these.
    pub fn export_assignment(
        &mut self,
        member: &'a ast::StaticMemberExpression<'a>,
        right: &'a Expression<'a>,
        span: Span,
    ) -> Option<Operand> {
        let of = match member.object.get_inner_expression() {
            Expression::Identifier(id) if self.meaning(id) == Meaning::Builtin => id.name.as_str(),
            Expression::StaticMemberExpression(_) => {
                let of = self.namespace(&member.object)?;
                if of != self.name {
                    return None;
                }
                "exports"
            }
            _ => return None,
        };
        match (of, member.property.name.as_str()) {
            ("module", "exports") => self.export_whole(right, span),
            ("exports", name) => {
                let text = format!("{}.{name}", self.name);
                if matches!(right.get_inner_expression(), Expression::AssignmentExpression(_)) {
                    return None;
                }
                self.export_value(&text, right, name, span);
            }
            _ => return None,
        }
        Some(Operand::Opaque)
    }

    /// `module.exports = ...`.
    pub fn export_whole(&mut self, it: &'a Expression<'a>, span: Span) {
        let name = self.name.clone();
        let own = self.module.name(&name);
        self.alias(&format!("{name}.default"), own);
        match it.get_inner_expression() {
            Expression::ObjectExpression(object) => {
                for property in &object.properties {
                    let span = self.span(property);
                    match property {
                        ObjectPropertyKind::SpreadProperty(it) => {
                            self.expression(&it.argument);
                        }
                        ObjectPropertyKind::ObjectProperty(property) => {
                            let Some(short) = crate::classes::key_name(&property.key) else {
                                self.expression(&property.value);
                                continue;
                            };
                            self.export_value(&format!("{name}.{short}"), &property.value, &short, span);
                        }
                    }
                }
            }
            inner => {
                let short = if code_of(inner).is_some() { "exports" } else { "default" };
                self.export_value(&name, it, short, span);
            }
        }
    }
}

/// The dotted name of what a module gives. The default of a package is the package.
fn imported(module: &str, name: &str, kind: ImportKind) -> String {
    match (name, kind) {
        ("default", ImportKind::Namespace) => module.to_string(),
        _ => format!("{module}.{name}"),
    }
}

fn kind_of_require(arguments: &[ast::Argument<'_>]) -> ImportKind {
    match arguments.first() {
        Some(ast::Argument::StringLiteral(it)) if is_relative(it.value.as_str()) => ImportKind::Value,
        _ => ImportKind::Namespace,
    }
}
