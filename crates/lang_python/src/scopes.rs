//! Which names a scope binds, and how: the pass before lowering.
//!
//! A name that anything in a function's body binds is that function's local everywhere in it. A name bound only
//! by imports, only by `def` or only by `class` is *static*: its uses are lowered to the thing itself.

use ruff_python_ast::{self as ast, ExceptHandler, Expr, Pattern, Stmt};
use rustc_hash::FxHashMap;

use crate::modules::Modules;
use heapwise_check::ir::{GlobalId, LocalId};

/// How a scope binds a name.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// Dotted name, for imports.
    pub alias: Option<Box<str>>,
    pub definitions: u32,
    pub classes: u32,
    /// Assignments of other things than literal constants; parameters.
    pub others: u32,
    /// Assignments of literal constants.
    pub constants: u32,
    pub is_global: bool,
    pub is_nonlocal: bool,
    /// The local of a function that it is, once it was mentioned.
    pub local: Option<LocalId>,
    /// The global of a module that it is, once it was mentioned.
    pub global: Option<GlobalId>,
}

/// What a name stands for, whatever the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Static {
    Import,
    Function,
    Class,
}

impl Bound {
    /// The name's fixed meaning. `try: import json` with `except ImportError: json = None` counts as an import.
    pub fn fixed(&self) -> Option<Static> {
        match (self.alias.is_some(), self.definitions > 0, self.classes > 0) {
            _ if self.others > 0 || self.is_global || self.is_nonlocal => None,
            (true, _, _) => Some(Static::Import),
            (false, true, false) => Some(Static::Function),
            (false, false, true) => Some(Static::Class),
            _ => None,
        }
    }
}

pub type Bindings<'a> = FxHashMap<&'a str, Bound>;

/// Where imports count from.
#[derive(Clone, Copy)]
pub struct Package<'a> {
    pub module_name: &'a str,
    pub is_package: bool,
    pub modules: &'a Modules,
}

impl Package<'_> {
    /// What an absolute import of a dotted name means.
    pub fn absolute(self, dotted: &str) -> String {
        self.modules.absolute(self.module_name, self.is_package, dotted)
    }

    /// Absolute name of `from ..module import`.
    pub fn resolve(self, level: u32, module: Option<&str>) -> String {
        let mut base = self.module_name;
        let mut up = if self.is_package { level.saturating_sub(1) } else { level };
        while level > 0 && up > 0 {
            base = base.rsplit_once('.').map_or("", |it| it.0);
            up -= 1;
        }
        match (level, module) {
            (0, module) => self.absolute(module.unwrap_or_default()),
            (_, None) => base.to_string(),
            (_, Some(module)) if base.is_empty() => module.to_string(),
            (_, Some(module)) => format!("{base}.{module}"),
        }
    }
}

/// Collects the bindings of one body.
pub struct Collector<'a, 'p> {
    pub bindings: Bindings<'a>,
    package: Package<'p>,
    /// Whether the source has assignment expressions at all; if not, expressions are not walked.
    has_walrus: bool,
    /// Modules that `from m import *` names.
    pub stars: Vec<String>,
    /// Full names of imported modules: `import a.b` makes `a` and `a.b` known.
    pub modules: Vec<String>,
}

impl<'a, 'p> Collector<'a, 'p> {
    pub fn new(package: Package<'p>, has_walrus: bool) -> Collector<'a, 'p> {
        Collector {
            bindings: Bindings::default(),
            package,
            has_walrus,
            stars: Vec::new(),
            modules: Vec::new(),
        }
    }

    pub fn parameter(&mut self, name: &'a str) {
        self.bindings.entry(name).or_default().others += 1;
    }

    pub fn body(&mut self, body: &'a [Stmt]) {
        for statement in body {
            self.statement(statement);
        }
    }

    fn bind(&mut self, name: &'a str) -> &mut Bound {
        self.bindings.entry(name).or_default()
    }

    fn statement(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(it) => self.bind(it.name.as_str()).definitions += 1,
            Stmt::ClassDef(it) => self.bind(it.name.as_str()).classes += 1,
            Stmt::Assign(it) => {
                for target in &it.targets {
                    self.target(target, is_constant(&it.value));
                }
                self.walrus(&it.value);
            }
            Stmt::AugAssign(it) => {
                self.target(&it.target, false);
                self.walrus(&it.value);
            }
            Stmt::AnnAssign(it) => {
                self.target(&it.target, it.value.as_deref().is_some_and(is_constant));
                it.value.iter().for_each(|value| self.walrus(value));
            }
            Stmt::TypeAlias(it) => self.target(&it.name, false),
            // A name that is deleted meant what it meant before.
            Stmt::Delete(it) => it.targets.iter().for_each(|target| self.target(target, true)),
            Stmt::For(it) => {
                self.target(&it.target, false);
                self.walrus(&it.iter);
                self.body(&it.body);
                self.body(&it.orelse);
            }
            Stmt::While(it) => {
                self.walrus(&it.test);
                self.body(&it.body);
                self.body(&it.orelse);
            }
            Stmt::If(it) => {
                self.walrus(&it.test);
                self.body(&it.body);
                for clause in &it.elif_else_clauses {
                    clause.test.iter().for_each(|test| self.walrus(test));
                    self.body(&clause.body);
                }
            }
            Stmt::With(it) => {
                for item in &it.items {
                    self.walrus(&item.context_expr);
                    item.optional_vars.iter().for_each(|target| self.target(target, false));
                }
                self.body(&it.body);
            }
            Stmt::Match(it) => {
                self.walrus(&it.subject);
                for case in &it.cases {
                    self.pattern(&case.pattern);
                    case.guard.iter().for_each(|guard| self.walrus(guard));
                    self.body(&case.body);
                }
            }
            Stmt::Try(it) => self.try_(it),
            Stmt::Import(it) => self.import(it),
            Stmt::ImportFrom(it) => self.import_from(it),
            Stmt::Global(it) => it.names.iter().for_each(|name| self.bind(name.as_str()).is_global = true),
            Stmt::Nonlocal(it) => {
                it.names.iter().for_each(|name| self.bind(name.as_str()).is_nonlocal = true)
            }
            Stmt::Return(it) => it.value.iter().for_each(|value| self.walrus(value)),
            Stmt::Expr(it) => self.walrus(&it.value),
            Stmt::Assert(it) => self.walrus(&it.test),
            Stmt::Raise(it) => it.exc.iter().for_each(|value| self.walrus(value)),
            Stmt::Pass(_) | Stmt::Break(_) | Stmt::Continue(_) | Stmt::IpyEscapeCommand(_) => {}
        }
    }

    fn try_(&mut self, it: &'a ast::StmtTry) {
        self.body(&it.body);
        for ExceptHandler::ExceptHandler(handler) in &it.handlers {
            if let Some(name) = &handler.name {
                self.bind(name.as_str()).others += 1;
            }
            self.body(&handler.body);
        }
        self.body(&it.orelse);
        self.body(&it.finalbody);
    }

    fn import(&mut self, it: &'a ast::StmtImport) {
        for alias in &it.names {
            let full = alias.name.as_str();
            self.modules.push(self.package.absolute(full));
            let (name, means) = match &alias.asname {
                Some(name) => (name.as_str(), full),
                None => {
                    let first = full.split('.').next().unwrap_or(full);
                    (first, first)
                }
            };
            let means = self.package.absolute(means).into();
            self.bind(name).alias.get_or_insert(means);
        }
    }

    fn import_from(&mut self, it: &'a ast::StmtImportFrom) {
        let module = self.package.resolve(it.level, it.module.as_ref().map(|it| it.as_str()));
        for alias in &it.names {
            if alias.name.as_str() == "*" {
                self.stars.push(module.clone());
                continue;
            }
            let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
            let means = match module.as_str() {
                "" => alias.name.as_str().to_string(),
                _ => format!("{module}.{}", alias.name.as_str()),
            };
            self.bind(name).alias.get_or_insert_with(|| means.into());
        }
    }

    fn target(&mut self, target: &'a Expr, is_constant: bool) {
        match target {
            Expr::Name(it) => {
                let bound = self.bind(it.id.as_str());
                match is_constant {
                    true => bound.constants += 1,
                    false => bound.others += 1,
                }
            }
            Expr::Tuple(it) => it.elts.iter().for_each(|it| self.target(it, false)),
            Expr::List(it) => it.elts.iter().for_each(|it| self.target(it, false)),
            Expr::Starred(it) => self.target(&it.value, false),
            _ => {}
        }
    }

    fn pattern(&mut self, pattern: &'a Pattern) {
        match pattern {
            Pattern::MatchValue(_) | Pattern::MatchSingleton(_) => {}
            Pattern::MatchSequence(it) => it.patterns.iter().for_each(|it| self.pattern(it)),
            Pattern::MatchMapping(it) => {
                it.patterns.iter().for_each(|it| self.pattern(it));
                it.rest.iter().for_each(|name| self.bind(name.as_str()).others += 1);
            }
            Pattern::MatchClass(it) => {
                it.arguments.patterns.iter().for_each(|it| self.pattern(it));
                it.arguments.keywords.iter().for_each(|it| self.pattern(&it.pattern));
            }
            Pattern::MatchStar(it) => it.name.iter().for_each(|name| self.bind(name.as_str()).others += 1),
            Pattern::MatchAs(it) => {
                it.pattern.iter().for_each(|it| self.pattern(it));
                it.name.iter().for_each(|name| self.bind(name.as_str()).others += 1);
            }
            Pattern::MatchOr(it) => it.patterns.iter().for_each(|it| self.pattern(it)),
        }
    }

    /// Assignment expressions bind in the function around comprehensions; lambdas have their own.
    fn walrus(&mut self, expression: &'a Expr) {
        if self.has_walrus {
            let mut finder = WalrusFinder(Vec::new());
            ast::visitor::Visitor::visit_expr(&mut finder, expression);
            for target in finder.0 {
                self.target(target, false);
            }
        }
    }
}

struct WalrusFinder<'a>(Vec<&'a Expr>);

impl<'a> ast::visitor::Visitor<'a> for WalrusFinder<'a> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Lambda(_) => return,
            Expr::Named(it) => self.0.push(&it.target),
            _ => {}
        }
        ast::visitor::walk_expr(self, expression);
    }
}

/// A literal number, string, `None`, `True` or `False`.
pub fn is_constant(value: &Expr) -> bool {
    matches!(
        value,
        Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::BytesLiteral(_)
            | Expr::BooleanLiteral(_)
            | Expr::NoneLiteral(_)
            | Expr::EllipsisLiteral(_)
    )
}
