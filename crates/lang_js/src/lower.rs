//! From the syntax tree to the IR: frames, names, what a module gives to others.
//!
//! How JavaScript looks in the IR:
//!
//! | JavaScript | IR |
//! |---|---|
//! | `a.b`, `d[k]` | `[%a].b`, `[%d][%k]` (stride 0) |
//! | variable of a module | global `module.name` |
//! | name bound by `import`, `const x = require()` | the dotted name: `fs.openSync(p)` calls `fs.openSync` |
//! | what a module gives under another name | a global whose value is `Operand::Module(what it stands for)` |
//! | `module.exports = f`, `exports.g = ...` | a global `module` that stands for `f`; global `module.g` |
//! | function never assigned again | its linkage name; `Closure` where it is made within another |
//! | method, class field that holds a function | a method; its first parameter is `this` |
//! | function with a prototype | a class whose constructor it is |
//! | object literal with functions | a class of one object, `New` |
//! | `new Map()`, `[]`, `{}` | `Container`, elements by `Grow` |
//! | `for (x of e)` | a branch on `Opaque`, `Read(Iterate)`, and `x` is loaded from `[%e][Opaque]` |
//! | `a.length = n` | `Clear`; `a[a.length] = x` is a call of `push` |
//! | `delete d[k]` | `Shrink` |
//! | template literal | call of `<f-string>` with the parts that are not constant |
//! | JSX | call of `<jsx>`; functions given to `on...` attributes go to `<jsx-handler>` |
//! | `a?.b` | `a.b` |

use crate::modules;
use heapwise_check::build::{FunctionBuilder, ModuleBuilder};
use heapwise_check::ir::*;
use heapwise_model::Language;
use oxc_ast::ast;
use oxc_semantic::{Scoping, SymbolId};
use oxc_span::GetSpan;
use oxc_syntax::scope::ScopeId;
use rustc_hash::{FxHashMap, FxHashSet};

/// Longer literals are cut: they are equal to nothing.
const LITERAL_LIMIT: usize = 256;

pub fn module<'a>(path: &str, program: &'a ast::Program<'a>, scoping: &'a Scoping) -> Module {
    let language = crate::language_of(path).unwrap_or(Language::JavaScript);
    let mut builder = ModuleBuilder::new(path, language);
    let name = modules::module_name(path);
    builder.set_module_name(name.as_str());
    let unknown = builder.ty(Type::Unknown);
    let prefix = format!("{name}.");
    let mut it = Lowering {
        module: builder,
        scoping,
        path: path.to_string(),
        name,
        unknown,
        frames: Vec::new(),
        symbols: vec![None; scoping.symbols_len()],
        prefixes: vec![prefix],
        classes: FxHashMap::default(),
        linkage_names: FxHashMap::default(),
        reserved: FxHashMap::default(),
        places: FxHashMap::default(),
        prototypes: FxHashMap::default(),
        initializers: Vec::new(),
        decorators: Vec::new(),
        attribute: None,
        stars: 0,
        fields: FxHashSet::default(),
    };
    it.whole_module(program);
    it.module.finish()
}

pub struct Lowering<'a> {
    pub module: ModuleBuilder,
    pub scoping: &'a Scoping,
    pub path: String,
    /// The module's name.
    pub name: String,
    pub unknown: TypeId,
    pub frames: Vec<Frame<'a>>,
    /// What symbols mean, as far as is known.
    symbols: Vec<Option<Meaning>>,
    /// What linkage names begin with, with a dot at the end.
    pub prefixes: Vec<String>,
    classes: FxHashMap<Name, ClassId>,
    /// How often a linkage name was given.
    linkage_names: FxHashMap<Box<str>, u32>,
    /// Functions whose ids and names were given before their bodies were read, by their place.
    pub reserved: FxHashMap<u32, (FunctionId, Name)>,
    /// Where the functions stand that symbols mean.
    pub places: FxHashMap<SymbolId, u32>,
    /// Functions that are classes, by their place.
    pub prototypes: FxHashMap<u32, ClassId>,
    /// Fields, decorators and attribute of the method that is lowered next.
    pub initializers: Vec<&'a ast::PropertyDefinition<'a>>,
    pub decorators: Vec<Name>,
    pub attribute: Option<Name>,
    /// Modules of which everything is given on.
    pub stars: u32,
    /// Attributes seen, by class.
    pub fields: FxHashSet<(ClassId, Name)>,
}

/// A function that is being built.
pub struct Frame<'a> {
    pub id: FunctionId,
    pub builder: FunctionBuilder,
    pub scope: Option<ScopeId>,
    pub this: This,
    pub loops: Vec<Loop>,
    pub exits: Vec<Exit<'a>>,
}

/// What `this` is.
#[derive(Clone, Copy)]
pub enum This {
    Unknown,
    /// An object of the class, in a local of this or of an enclosing function.
    Object(FunctionId, LocalId, ClassId),
    /// The class itself.
    Class(ClassId),
}

impl This {
    pub fn class(self) -> Option<ClassId> {
        match self {
            This::Unknown => None,
            This::Object(_, _, class) | This::Class(class) => Some(class),
        }
    }
}

pub struct Loop {
    /// `None`: a `switch` or a labeled block.
    pub next: Option<BlockId>,
    pub after: BlockId,
    /// Number of exits when it began.
    pub exits: usize,
    pub labels: Vec<Box<str>>,
    pub has_break: bool,
    /// Only a labeled `break` ends it.
    pub is_block: bool,
}

/// A `finally` body that runs when control leaves.
#[derive(Clone, Copy)]
pub struct Exit<'a> {
    pub body: &'a [ast::Statement<'a>],
    /// Where exceptions raised by it go.
    pub unwind: Option<BlockId>,
    /// Loops around it.
    pub loops: usize,
    pub span: Span,
}

/// What a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    Local(FunctionId, LocalId),
    Global(GlobalId),
    /// Something imported, by dotted name.
    Import(Name, ImportKind),
    /// Linkage name of a function of this module.
    Function(Name),
    Class(Name),
    /// A name of the language or its host.
    Builtin,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImportKind {
    /// A module, or part of a package: attributes go by dotted names.
    Namespace,
    /// A variable of another file.
    Value,
}

impl<'a> Lowering<'a> {
    fn whole_module(&mut self, program: &'a ast::Program<'a>) {
        let span = self.span(program);
        let name = self.module.name(&format!("{}.<module>", self.name));
        let id = self.module.reserve();
        let mut builder = self.module.builder(name, span);
        builder.function.name_span = Span { end: span.start, ..span };
        self.frames.push(Frame::new(id, builder, program.scope_id.get(), This::Unknown));
        self.hoist(&program.body);
        self.statements(&program.body);
        self.finish_frame();
    }

    pub fn span(&self, node: &impl GetSpan) -> Span {
        let span = node.span();
        Span { file: FileId(0), start: span.start, end: span.end.max(span.start) }
    }

    pub fn frame(&mut self) -> &mut Frame<'a> {
        self.frames.last_mut().expect("the module's own frame is open until its end")
    }

    pub fn f(&mut self) -> &mut FunctionBuilder {
        &mut self.frame().builder
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

    pub fn prefix(&self) -> &str {
        self.prefixes.last().expect("the module's own prefix stays")
    }

    /// A literal's text.
    pub fn literal(&mut self, text: &str) -> Name {
        if text.len() <= LITERAL_LIMIT {
            return self.module.name(text);
        }
        let cut = (0..=LITERAL_LIMIT).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
        self.module.name(&format!("{}... ({} bytes)", &text[..cut], text.len()))
    }

    /// A linkage name that nothing else of the module has.
    pub fn linkage_name(&mut self, short: &str) -> Name {
        let mut text = format!("{}{short}", self.prefix());
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

    /// A global by the text of its linkage name.
    pub fn global_text(&mut self, text: &str) -> GlobalId {
        let name = self.module.name(text);
        self.global_named(name, true)
    }

    /// Says that a linkage name stands for another.
    pub fn alias(&mut self, text: &str, means: Name) {
        let name = self.module.name(text);
        if name == means {
            return;
        }
        let global = self.global_named(name, true);
        self.module.global_mut(global).value = Some(Operand::Module(means));
    }

    // Names.

    /// Gives a symbol a meaning that it keeps.
    pub fn define(&mut self, symbol: SymbolId, meaning: Meaning) {
        self.symbols[symbol.index()] = Some(meaning);
    }

    pub fn defined(&self, symbol: SymbolId) -> Option<Meaning> {
        self.symbols[symbol.index()]
    }

    /// Whether a symbol means the same thing everywhere: declared once, never assigned.
    pub fn is_fixed(&self, symbol: SymbolId) -> bool {
        !self.scoping.symbol_is_mutated(symbol) && self.scoping.symbol_redeclarations(symbol).len() <= 1
    }

    pub fn meaning_of_symbol(&mut self, symbol: SymbolId) -> Meaning {
        if let Some(it) = self.symbols[symbol.index()] {
            return it;
        }
        let meaning = self.variable(symbol);
        self.define(symbol, meaning);
        meaning
    }

    /// The variable of a symbol, made at its first mention: inner functions may mention it first.
    fn variable(&mut self, symbol: SymbolId) -> Meaning {
        let name = self.scoping.symbol_name(symbol).to_string();
        let span = self.scoping.symbol_span(symbol);
        let span = Span { file: FileId(0), start: span.start, end: span.end };
        let scopes = self.scoping.scope_ancestors(self.scoping.symbol_scope_id(symbol));
        let frames = &self.frames;
        let index = scopes
            .into_iter()
            .find_map(|scope| frames.iter().rposition(|it| it.scope == Some(scope)))
            .unwrap_or(0);
        if index == 0 {
            let text = format!("{}.{name}", self.name);
            let global = self.global_text(&text);
            self.module.global_mut(global).span = span;
            return Meaning::Global(global);
        }
        let (name, ty) = (self.module.name(&name), self.unknown);
        let frame = &mut self.frames[index];
        Meaning::Local(frame.id, frame.builder.local(name, ty, span))
    }

    pub fn symbol_of(&self, it: &ast::IdentifierReference<'_>) -> Option<SymbolId> {
        let reference = it.reference_id.get()?;
        self.scoping.get_reference(reference).symbol_id()
    }

    pub fn meaning(&mut self, it: &ast::IdentifierReference<'_>) -> Meaning {
        match self.symbol_of(it) {
            Some(symbol) => self.meaning_of_symbol(symbol),
            None => Meaning::Builtin,
        }
    }

    pub fn place_of(&mut self, meaning: Meaning) -> Option<Place> {
        let base = match meaning {
            Meaning::Local(function, local) if function == self.frame().id => Base::Local(local),
            Meaning::Local(function, local) => Base::Outer(function, local),
            Meaning::Global(global) => Base::Global(global),
            Meaning::Import(name, ImportKind::Value) => Base::Global(self.global_named(name, true)),
            _ => return None,
        };
        Some(Place { base, steps: Box::default() })
    }

    pub fn load(&mut self, from: Place, span: Span) -> Operand {
        self.value(span, |to| OpKind::Load { to, from, bytes: 0 })
    }

    pub fn store(&mut self, to: Place, value: Operand, span: Span) {
        self.push(OpKind::Store { to, value, bytes: 0 }, span);
    }

    /// Stores to the variable that a name in a declaration binds.
    pub fn bind(&mut self, it: &ast::BindingIdentifier<'_>, value: Operand) {
        let span = self.span(it);
        let Some(symbol) = it.symbol_id.get() else { return };
        let meaning = self.meaning_of_symbol(symbol);
        if let Meaning::Global(global) = meaning
            && self.frames.len() == 1
            && self.is_fixed(symbol)
            && matches!(value, Operand::Int(_) | Operand::Bool(_) | Operand::Null | Operand::String(_))
        {
            self.module.global_mut(global).value = Some(value);
        }
        if let Some(to) = self.place_of(meaning) {
            self.store(to, value, span);
        }
    }

    /// `this` as a value.
    pub fn this(&mut self, span: Span) -> Operand {
        match self.frame().this {
            This::Unknown => Operand::Opaque,
            This::Class(class) => Operand::Class(self.module.module().classes[class.index()].name),
            This::Object(function, local, _) => {
                let from = self.place_of(Meaning::Local(function, local));
                from.map_or(Operand::Opaque, |from| self.load(from, span))
            }
        }
    }

    /// Notes an attribute of a class.
    pub fn note_field(&mut self, class: ClassId, name: Name) {
        if self.fields.insert((class, name)) {
            let ty = self.unknown;
            self.module.class_mut(class).fields.push(Field { name, ty, offset: 0 });
        }
    }

    pub fn new_class(&mut self, name: Name, span: Span) -> ClassId {
        let class = self.module.class(Class {
            name,
            bases: Vec::new(),
            bytes: 0,
            is_union: false,
            fields: Vec::new(),
            methods: Vec::new(),
            span,
        });
        self.classes.insert(name, class);
        class
    }

    pub fn class_named(&self, name: Name) -> Option<ClassId> {
        self.classes.get(&name).copied()
    }
}

impl<'a> Frame<'a> {
    pub fn new(id: FunctionId, builder: FunctionBuilder, scope: Option<ScopeId>, this: This) -> Frame<'a> {
        Frame { id, builder, scope, this, loops: Vec::new(), exits: Vec::new() }
    }
}

pub fn positional(value: Operand) -> Argument {
    Argument { name: None, value, is_spread: false }
}

pub fn field(name: Name) -> Box<[Step]> {
    Box::new([Step::Field { name, offset: None }])
}

pub fn is_reference(value: Operand) -> bool {
    matches!(value, Operand::Reg(_) | Operand::Function(_) | Operand::Class(_))
}
