//! From the syntax tree to the IR: frames, scopes, names.
//!
//! How Python looks in the IR:
//!
//! | Python | IR |
//! |---|---|
//! | `a.b`, `d[k]` | `[%a].b`, `[%d][%k]` (stride 0); slices are keys made by a call of `slice` |
//! | name bound only by `import` | the dotted name: `np.array(1)` calls `numpy.array` |
//! | variable of a module | global `module.name`; of another module the same, external |
//! | imported name | also a global `module.name` whose value is `Operand::Module(dotted name)` |
//! | class body | code of the scope around it; attributes are `Base::Class(c).name` |
//! | `C(...)` with C of this module | `New`; constructors of other modules are direct calls |
//! | literal containers, comprehensions | `Container` and `Grow`; a generator expression is one of kind `generator` |
//! | `for x in e` | a branch on `Opaque`, `Read(Iterate)`, and `x` is loaded from `[%e][Opaque]` |
//! | `with` | `__enter__`, `__exit__` on each way; the latter's result decides about exceptions |
//! | default arguments that are no constants | a global `function.<default>.name`, loaded at entry if no argument came |
//! | `del d[k]` | `Shrink`; `del x`: `Dead` |
//! | f-string | call of `<f-string>` with the parts that are not constant |
//! | `//`, `/`, `@`, `**` | calls of `operator.floordiv`, ... |

use crate::modules::{self, Modules};
use crate::notebook::Notebook;
use crate::scopes::{Bindings, Collector, Package, Static};
use heapwise_check::build::{FunctionBuilder, ModuleBuilder};
use heapwise_check::ir::*;
use heapwise_model::Language;
use ruff_python_ast as ast;
use ruff_text_size::{Ranged, TextRange};
use rustc_hash::{FxHashMap, FxHashSet};

/// Longer literals are cut: they are equal to nothing.
const LITERAL_LIMIT: usize = 256;

pub fn module<'a>(
    path: &'a str,
    modules: &'a Modules,
    text: &'a str,
    body: &'a [ast::Stmt],
    notebook: Option<&'a Notebook>,
) -> Module {
    let module_name = &modules.name(path);
    let package = Package { module_name, is_package: modules::is_init(path), modules };
    let has_walrus = text.contains(":=");
    let mut collector = Collector::new(package, has_walrus);
    collector.body(body);
    let mut modules: FxHashSet<Box<str>> = FxHashSet::default();
    for module in &collector.modules {
        add_module(&mut modules, module);
    }
    let mut builder = ModuleBuilder::new(path, Language::Python);
    builder.set_module_name(module_name);
    let unknown = builder.ty(Type::Unknown);
    let mut it = Lowering {
        module: builder,
        package,
        unknown,
        has_walrus,
        notebook,
        frames: Vec::new(),
        scopes: Vec::new(),
        spare_bindings: Vec::new(),
        modules,
        stars: collector.stars,
        linkage_names: FxHashMap::default(),
        declared_globals: FxHashSet::default(),
        fields: FxHashSet::default(),
    };
    it.whole_module(body, collector.bindings, TextRange::up_to(ruff_text_size::TextSize::of(text)));
    it.module.finish()
}

fn add_module(modules: &mut FxHashSet<Box<str>>, module: &str) {
    for (at, _) in module.match_indices('.') {
        modules.insert(module[..at].into());
    }
    modules.insert(module.into());
}

/// Submodules that come with their parent.
const SUBMODULES: &[&str] =
    &["os.path", "numpy.random", "numpy.linalg", "numpy.fft", "numpy.ma", "scipy.sparse"];

pub struct Lowering<'a> {
    pub module: ModuleBuilder,
    pub package: Package<'a>,
    pub unknown: TypeId,
    has_walrus: bool,
    notebook: Option<&'a Notebook>,
    pub frames: Vec<Frame<'a>>,
    pub scopes: Vec<Scope<'a>>,
    /// Empty maps of scopes that are closed, for others.
    spare_bindings: Vec<Bindings<'a>>,
    /// Dotted names known to be modules.
    pub modules: FxHashSet<Box<str>>,
    stars: Vec<String>,
    /// How often a linkage name was given.
    linkage_names: FxHashMap<Box<str>, u32>,
    /// Names that functions lowered so far declare `global`.
    declared_globals: FxHashSet<&'a str>,
    /// Instance attributes seen, by class.
    pub fields: FxHashSet<(ClassId, Name)>,
}

/// A function that is being built.
pub struct Frame<'a> {
    pub id: FunctionId,
    pub builder: FunctionBuilder,
    /// Targets of the comprehensions around, innermost last.
    pub comprehension_locals: Vec<(&'a str, LocalId)>,
    pub loops: Vec<Loop>,
    pub exits: Vec<Exit<'a>>,
    /// What is known of the locals' classes, by local.
    pub classes: Vec<ClassFact>,
    /// The first parameter of a method, and its class.
    pub receiver: Option<(&'a str, ClassId)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ClassFact {
    Unset,
    Known(Name),
    Unknown,
}

pub struct Loop {
    pub next: BlockId,
    pub after: BlockId,
    /// Number of exits when the loop began.
    pub exits: usize,
    pub has_break: bool,
}

/// Something that runs when control leaves a block of statements.
#[derive(Clone, Copy)]
pub struct Exit<'a> {
    pub what: ExitKind<'a>,
    /// Where exceptions raised by it go.
    pub unwind: Option<BlockId>,
    /// Loops around it.
    pub loops: usize,
    pub span: Span,
}

#[derive(Clone, Copy)]
pub enum ExitKind<'a> {
    With { manager: Operand, class: Option<Name>, is_async: bool },
    Finally(&'a [ast::Stmt]),
}

/// A scope of names.
pub struct Scope<'a> {
    pub kind: ScopeKind,
    pub bindings: Bindings<'a>,
    /// What linkage names in this scope begin with, with a dot at the end.
    pub prefix: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    Module,
    /// Index of its frame.
    Function(usize),
    Class(ClassId),
}

/// What a name means where it stands.
pub enum Meaning {
    Local(LocalId),
    Outer(FunctionId, LocalId),
    Global(GlobalId),
    ClassAttribute(ClassId),
    /// The dotted name of something imported.
    Import(Box<str>),
    /// Linkage name of a function of this module.
    Function(Name),
    Class(Name),
    Builtin,
}

impl<'a> Lowering<'a> {
    fn whole_module(&mut self, body: &'a [ast::Stmt], bindings: Bindings<'a>, range: TextRange) {
        let prefix = format!("{}.", self.package.module_name);
        let span = self.span(range);
        let name = self.module.name(&format!("{prefix}<module>"));
        let id = self.module.reserve();
        let mut builder = self.module.builder(name, span);
        builder.function.name_span = Span { end: span.start, ..span };
        self.frames.push(Frame::new(id, builder));
        self.imported_globals(&bindings, &prefix);
        self.scopes.push(Scope { kind: ScopeKind::Module, bindings, prefix });
        self.statements(body);
        self.close_scope();
        self.finish_frame();
    }

    /// What others may import from here although it comes from elsewhere.
    fn imported_globals(&mut self, bindings: &Bindings<'a>, prefix: &str) {
        let mut imports: Vec<(&str, &str)> = bindings
            .iter()
            .filter(|it| it.1.fixed() == Some(Static::Import))
            .filter_map(|(name, bound)| Some((*name, bound.alias.as_deref()?)))
            .collect();
        imports.sort_unstable();
        for (name, means) in imports {
            let means = Operand::Module(self.module.name(means));
            let name = self.module.name(&format!("{prefix}{name}"));
            let global = self.global_named(name, true);
            self.module.global_mut(global).value = Some(means);
        }
    }

    pub fn span(&self, range: TextRange) -> Span {
        let (start, end) = match self.notebook {
            Some(notebook) => (notebook.place(range.start()), notebook.place(range.end())),
            None => (range.start(), range.end()),
        };
        Span { file: FileId(0), start: start.to_u32(), end: end.to_u32().max(start.to_u32()) }
    }

    pub fn span_of(&self, node: &impl Ranged) -> Span {
        self.span(node.range())
    }

    pub fn frame(&mut self) -> &mut Frame<'a> {
        self.frames.last_mut().expect("the module's own frame is open until its end")
    }

    pub fn f(&mut self) -> &mut FunctionBuilder {
        &mut self.frame().builder
    }

    pub fn scope(&mut self) -> &mut Scope<'a> {
        self.scopes.last_mut().expect("the module's own scope is open until its end")
    }

    pub fn push(&mut self, kind: OpKind, span: Span) {
        self.f().push(kind, span);
    }

    pub fn value(&mut self, span: Span, make: impl FnOnce(Reg) -> OpKind) -> Operand {
        self.f().value(span, make)
    }

    pub fn goto(&mut self, to: BlockId, span: Span) {
        self.f().end(End::Goto(to), span);
    }

    pub fn finish_frame(&mut self) {
        let frame = self.frames.pop().expect("each frame is finished once");
        self.module.fill(frame.id, frame.builder);
    }

    /// A literal's text.
    pub fn literal(&mut self, text: &str) -> Name {
        if text.len() <= LITERAL_LIMIT {
            return self.module.name(text);
        }
        let cut = (0..=LITERAL_LIMIT).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
        self.module.name(&format!("{}... ({} bytes)", &text[..cut], text.len()))
    }

    /// A linkage name that no other function of the module has.
    pub fn linkage_name(&mut self, short: &str, variant: Option<&str>) -> Name {
        let prefix = &self.scopes.last().expect("the module's own scope is open until its end").prefix;
        let mut text = format!("{prefix}{short}");
        if let Some(variant) = variant {
            text.push('#');
            text.push_str(variant);
        }
        let count = self.linkage_names.entry(text.as_str().into()).or_insert(0);
        *count += 1;
        if *count > 1 {
            text.push_str(&format!("#{count}"));
        }
        self.module.name(&text)
    }

    /// The global of this linkage name, made if it is new.
    pub fn global_named(&mut self, name: Name, is_external: bool) -> GlobalId {
        self.module.global_named(name, is_external).0
    }

    fn module_global(&mut self, short: &str, range: TextRange) -> GlobalId {
        let name = self.module.name(&format!("{}.{short}", self.package.module_name));
        let (id, is_new) = self.module.global_named(name, true);
        if is_new {
            let span = self.span(range);
            self.module.global_mut(id).span = span;
        }
        id
    }

    pub fn new_local(&mut self, name: &str, range: TextRange) -> LocalId {
        let (name, span, ty) = (self.module.name(name), self.span(range), self.unknown);
        let frame = self.frame();
        frame.classes.push(ClassFact::Unset);
        frame.builder.local(name, ty, span)
    }

    /// Opens the scope of a function whose frame is the last one.
    pub fn open_function_scope(&mut self, bindings: Bindings<'a>, prefix: String) {
        let kind = ScopeKind::Function(self.frames.len() - 1);
        self.scopes.push(Scope { kind, bindings, prefix });
    }

    pub fn open_class_scope(&mut self, class: ClassId, bindings: Bindings<'a>, prefix: String) {
        self.scopes.push(Scope { kind: ScopeKind::Class(class), bindings, prefix });
    }

    pub fn close_scope(&mut self) {
        let mut bindings = self.scopes.pop().expect("each scope is closed once").bindings;
        bindings.clear();
        self.spare_bindings.push(bindings);
    }

    /// Binds a parameter in the scope just opened.
    pub fn parameter(&mut self, name: &'a str, range: TextRange) -> LocalId {
        let (text, span, ty) = (self.module.name(name), self.span(range), self.unknown);
        let frame = self.frame();
        frame.classes.push(ClassFact::Unset);
        let local = frame.builder.parameter(text, ty, span);
        self.scope().bindings.entry(name).or_default().local = Some(local);
        local
    }

    pub fn collect(
        &mut self,
        body: &'a [ast::Stmt],
        parameters: impl Iterator<Item = &'a str>,
    ) -> Bindings<'a> {
        let mut collector = Collector::new(self.package, self.has_walrus);
        collector.bindings = self.spare_bindings.pop().unwrap_or_default();
        parameters.for_each(|it| collector.parameter(it));
        collector.body(body);
        for module in &collector.modules {
            add_module(&mut self.modules, module);
        }
        let globals = collector.bindings.iter().filter(|it| it.1.is_global);
        self.declared_globals.extend(globals.map(|it| *it.0));
        collector.bindings
    }

    /// What a name means in the current scope.
    pub fn meaning(&mut self, name: &'a str, range: TextRange) -> Meaning {
        let current_frame = self.frames.len() - 1;
        let mut innermost = true;
        let mut frame = current_frame;
        let mut skip_to_module = false;
        let mut found = None;
        if let Some(local) = self.frames[frame].comprehension_local(name) {
            return Meaning::Local(local);
        }
        for index in (0..self.scopes.len()).rev() {
            let scope = &self.scopes[index];
            let is_seen = match scope.kind {
                ScopeKind::Class(_) => innermost && !skip_to_module,
                ScopeKind::Function(_) => !skip_to_module,
                ScopeKind::Module => true,
            };
            if let ScopeKind::Function(of) = scope.kind
                && of != frame
            {
                frame = of;
                if let Some(local) = self.frames[of].comprehension_local(name) {
                    return Meaning::Outer(self.frames[of].id, local);
                }
            }
            innermost &= false;
            if !is_seen {
                continue;
            }
            match scope.bindings.get(name) {
                Some(bound) if bound.is_global && scope.kind != ScopeKind::Module => skip_to_module = true,
                Some(bound) if bound.is_nonlocal => {}
                Some(_) => {
                    found = Some(index);
                    break;
                }
                None => {}
            }
        }
        match found {
            Some(index) => self.bound_in(index, name, range),
            None if skip_to_module => Meaning::Global(self.module_global(name, range)),
            None => self.unbound(name, range),
        }
    }

    fn bound_in(&mut self, index: usize, name: &'a str, range: TextRange) -> Meaning {
        let scope = &self.scopes[index];
        let bound = &scope.bindings[name];
        let (known_local, known_global) = (bound.local, bound.global);
        match bound.fixed() {
            Some(Static::Import) => {
                return Meaning::Import(bound.alias.clone().unwrap_or_default());
            }
            Some(fixed) if !self.is_assigned_globally(index, name) => {
                let text = format!("{}{name}", scope.prefix);
                let linkage = self.module.name(&text);
                return match fixed {
                    Static::Class => Meaning::Class(linkage),
                    _ => Meaning::Function(linkage),
                };
            }
            _ => {}
        }
        match scope.kind {
            ScopeKind::Module => {
                let global = known_global.unwrap_or_else(|| self.module_global(name, range));
                if let Some(bound) =
                    self.scopes[index].bindings.get_mut(name).filter(|_| known_global.is_none())
                {
                    bound.global = Some(global);
                }
                Meaning::Global(global)
            }
            ScopeKind::Class(class) => Meaning::ClassAttribute(class),
            ScopeKind::Function(of) => {
                let local = known_local.unwrap_or_else(|| self.local_in(index, name, range));
                match of + 1 == self.frames.len() {
                    true => Meaning::Local(local),
                    false => Meaning::Outer(self.frames[of].id, local),
                }
            }
        }
    }

    /// Whether a function rebinds this module-level name by `global`, as far as has been read.
    fn is_assigned_globally(&self, index: usize, name: &str) -> bool {
        self.scopes[index].kind == ScopeKind::Module
            && self.scopes[index + 1..].iter().any(|it| it.bindings.get(name).is_some_and(|it| it.is_global))
    }

    /// The local of a function scope, made at its first mention: inner functions may mention it first.
    fn local_in(&mut self, index: usize, name: &'a str, range: TextRange) -> LocalId {
        let ScopeKind::Function(of) = self.scopes[index].kind else {
            unreachable!("only function scopes have locals")
        };
        let (text, span, ty) = (self.module.name(name), self.span(range), self.unknown);
        let frame = &mut self.frames[of];
        frame.classes.push(ClassFact::Unset);
        let local = frame.builder.local(text, ty, span);
        if let Some(bound) = self.scopes[index].bindings.get_mut(name) {
            bound.local = Some(local);
        }
        local
    }

    fn unbound(&mut self, name: &str, range: TextRange) -> Meaning {
        let is_module_attribute = name.starts_with("__")
            && matches!(name, "__name__" | "__file__" | "__doc__" | "__all__" | "__path__");
        if is_module_attribute || self.declared_globals.contains(name) {
            return Meaning::Global(self.module_global(name, range));
        }
        match &self.stars[..] {
            [only] if !is_builtin(name) => Meaning::Import(format!("{only}.{name}").into()),
            _ => Meaning::Builtin,
        }
    }

    /// Whether a dotted name means a module: imported as one, or a lower-case name that was imported from one
    /// (then it is at least not a class).
    pub fn is_module(&self, dotted: &str) -> bool {
        self.modules.contains(dotted) || SUBMODULES.contains(&dotted)
    }

    /// The class of the frame's receiver if `name` is it.
    pub fn receiver_class(&self, name: &str) -> Option<ClassId> {
        let frame = self.frames.last()?;
        frame.receiver.filter(|it| it.0 == name).map(|it| it.1)
    }
}

impl<'a> Frame<'a> {
    pub fn new(id: FunctionId, builder: FunctionBuilder) -> Frame<'a> {
        Frame {
            id,
            builder,
            comprehension_locals: Vec::new(),
            loops: Vec::new(),
            exits: Vec::new(),
            classes: Vec::new(),
            receiver: None,
        }
    }

    fn comprehension_local(&self, name: &str) -> Option<LocalId> {
        self.comprehension_locals.iter().rev().find(|it| it.0 == name).map(|it| it.1)
    }
}

/// Names that a star import does not bring.
fn is_builtin(name: &str) -> bool {
    const BUILTINS: &[&str] = &[
        "False",
        "None",
        "True",
        "abs",
        "aiter",
        "all",
        "anext",
        "any",
        "ascii",
        "bin",
        "bool",
        "breakpoint",
        "bytearray",
        "bytes",
        "callable",
        "chr",
        "classmethod",
        "compile",
        "complex",
        "delattr",
        "dict",
        "dir",
        "divmod",
        "enumerate",
        "eval",
        "exec",
        "exit",
        "filter",
        "float",
        "format",
        "frozenset",
        "getattr",
        "globals",
        "hasattr",
        "hash",
        "help",
        "hex",
        "id",
        "input",
        "int",
        "isinstance",
        "issubclass",
        "iter",
        "len",
        "list",
        "locals",
        "map",
        "max",
        "memoryview",
        "min",
        "next",
        "object",
        "oct",
        "open",
        "ord",
        "pow",
        "print",
        "property",
        "quit",
        "range",
        "repr",
        "reversed",
        "round",
        "set",
        "setattr",
        "slice",
        "sorted",
        "staticmethod",
        "str",
        "sum",
        "super",
        "tuple",
        "type",
        "vars",
        "zip",
    ];
    BUILTINS.binary_search(&name).is_ok() || name.ends_with("Error") || name.ends_with("Exception")
}
