//! Tokens to the intermediate representation in one pass: parsing, names, types and operations at once.
//!
//! There is no syntax tree. As in a small compiler, an expression's operations are written while it is read;
//! what has to be read later or again (bodies of methods, the step of a `for`, instances of templates) is a
//! position among the tokens. Names are known when they are met, so that `(a)(b)` and `a * b` are never guessed.
//!
//! Errors of syntax end the statement (its path ends there) or the declaration, and are counted.
//! Nesting is bounded by [`MAX_DEPTH`].

use crate::lex::{Kind, Token};
use crate::preprocess::{END, Output};
use crate::symbols::{Sym, Symbols, is_c_keyword, sym};
use crate::types::{RecordId, T, Ty, Types};
use heapwise_check::build::{FunctionBuilder, ModuleBuilder};
use heapwise_check::ir::{
    BlockId, End, FileId, Global, GlobalId, LocalId, Module, Name, OpKind, Operand, Place, Span, Type, TypeId,
};
use heapwise_model::Language;
use rustc_hash::FxHashMap;

/// Nested parentheses, statements, declarators and initializers; compilers' own limit is of this size.
pub(crate) const MAX_DEPTH: u32 = 200;
/// Tokens that may be looked at beyond the end.
const LOOKAHEAD: usize = 16;
/// Syntax errors that are named one by one.
const MAX_NAMED_ERRORS: usize = 5;

macro_rules! small_ids {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) struct $name(pub(crate) u32);
    )*};
}

small_ids! {
    /// A function in [`Lower::funcs`].
    FuncId,
    /// Functions of one name in [`Lower::sets`].
    SetId,
    /// A namespace in [`Lower::namespaces`]; 0 is the global one.
    NsId
}

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Entity {
    Typedef(T),
    Local(LocalId, T),
    Global(GlobalId, T),
    Constant(i64, T),
    Set(SetId),
    Namespace(NsId),
    Template(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Func {
    pub(crate) name: Name,
    pub(crate) short: Sym,
    pub(crate) ty: T,
    /// Arguments that a call has to give.
    pub(crate) least: usize,
    pub(crate) is_noreturn: bool,
    pub(crate) is_virtual: bool,
    /// Takes no receiver.
    pub(crate) is_static: bool,
    pub(crate) is_deleted: bool,
    pub(crate) record: Option<RecordId>,
    pub(crate) attributes: Vec<Name>,
    pub(crate) template: Option<u32>,
    pub(crate) is_defined: bool,
}

#[derive(Default)]
pub(crate) struct Namespace {
    pub(crate) prefix: String,
    pub(crate) members: FxHashMap<Sym, Entity>,
    pub(crate) using: Vec<NsId>,
}

/// Where names are looked for, beyond the locals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Context {
    Namespace(NsId),
    Record(RecordId),
}

struct Binding {
    sym: Sym,
    entity: Entity,
    /// One more than the index of the binding that this one hides.
    hidden: u32,
}

/// Something to do when a scope ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cleanup {
    pub(crate) local: LocalId,
    pub(crate) ty: T,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    Nothing,
    /// Of a class type, or an array of one.
    Destroy,
    /// `__attribute__((cleanup(f)))`.
    Call(Name),
}

pub(crate) struct Goto {
    pub(crate) from: BlockId,
    pub(crate) label: Sym,
    pub(crate) cleanups: Vec<Cleanup>,
    pub(crate) span: Span,
}

#[derive(Default)]
pub(crate) struct Label {
    pub(crate) block: Option<BlockId>,
    pub(crate) cleanups: Option<Vec<Cleanup>>,
}

#[derive(Default)]
pub(crate) struct Switch {
    pub(crate) cases: Vec<(i64, BlockId)>,
    pub(crate) default: Option<BlockId>,
}

/// The function whose body is being read.
pub(crate) struct Body {
    pub(crate) fb: FunctionBuilder,
    pub(crate) is_ended: Vec<bool>,
    pub(crate) name: String,
    pub(crate) ret: T,
    pub(crate) is_ret_deduced: bool,
    pub(crate) cleanups: Vec<Cleanup>,
    pub(crate) breaks: Vec<(BlockId, usize)>,
    pub(crate) continues: Vec<(BlockId, usize)>,
    pub(crate) switches: Vec<Switch>,
    pub(crate) labels: FxHashMap<Sym, Label>,
    pub(crate) gotos: Vec<Goto>,
    /// Bindings before this one belong to functions around it.
    pub(crate) base: usize,
    /// False: initializers of globals.
    pub(crate) is_function: bool,
    pub(crate) this: Option<(LocalId, RecordId)>,
    /// Locals that are constants.
    pub(crate) constants: FxHashMap<LocalId, i64>,
    /// Temporaries of class type of the expression that is being read.
    pub(crate) temporaries: Vec<Cleanup>,
    pub(crate) statics: u32,
    pub(crate) has_error: bool,
    /// Locals of functions around it that a lambda's body names.
    pub(crate) id: Option<heapwise_check::ir::FunctionId>,
    /// Target of exceptions that leave a block with these many cleanups.
    pub(crate) pads: Vec<crate::stmt::Pad>,
}

/// Why reading stopped.
#[derive(Debug)]
pub(crate) struct Bad;
pub(crate) type Res<V> = Result<V, Bad>;

/// A body, or an instance, that is read when everything around it is known.
pub(crate) struct Pending {
    pub(crate) at: usize,
    pub(crate) func: FuncId,
    pub(crate) params: Vec<crate::decl::Param>,
    pub(crate) context: Vec<Context>,
    pub(crate) bound: Vec<(Sym, Entity)>,
    pub(crate) name_at: usize,
    pub(crate) start: usize,
}

/// A function around a lambda: id, first binding, `this`.
pub(crate) type OuterFunction = (heapwise_check::ir::FunctionId, usize, Option<(LocalId, RecordId)>);

pub(crate) struct Lower {
    pub(crate) tokens: Vec<Token>,
    pub(crate) at: usize,
    /// Position of the first token of kind [`Kind::End`].
    pub(crate) last: usize,
    pub(crate) symbols: Symbols,
    pub(crate) is_cpp: bool,
    pub(crate) m: ModuleBuilder,
    pub(crate) path: String,
    pub(crate) types: Types,
    ir_types: Vec<Option<TypeId>>,
    ir_names: Vec<Option<Name>>,
    /// By symbol: one more than the index of its innermost binding.
    heads: Vec<u32>,
    bindings: Vec<Binding>,
    /// Bindings below this one are not seen.
    pub(crate) floor: usize,
    pub(crate) tags: FxHashMap<Sym, T>,
    /// Tags of blocks, with the depth of their scopes.
    pub(crate) local_tags: Vec<(Sym, T, u32)>,
    pub(crate) scope_depth: u32,
    pub(crate) context: Vec<Context>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) funcs: Vec<Func>,
    pub(crate) sets: Vec<Vec<FuncId>>,
    pub(crate) constants: FxHashMap<GlobalId, i64>,
    pub(crate) body: Box<Body>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) templates: Vec<crate::template::Template>,
    pub(crate) instances: FxHashMap<(u32, Vec<T>), Entity>,
    pub(crate) depth: u32,
    /// Expressions have to be constants: sizes are numbers.
    pub(crate) constant_depth: u32,
    pub(crate) pack: u64,
    /// Within `extern "C"`.
    pub(crate) is_c_linkage: bool,
    /// Where the first ones stand.
    pub(crate) errors: Vec<Token>,
    pub(crate) error_count: usize,
    /// Reading has met the end of its tokens within something.
    pub(crate) is_cut_off: bool,
    pub(crate) functions_read: usize,
    pub(crate) is_too_deep: bool,
    /// `>` ends the expression: within template arguments.
    pub(crate) angle_depth: u32,
    pub(crate) anonymous: u32,
    pub(crate) instance_depth: u32,
    pub(crate) globals_by_name: FxHashMap<Name, GlobalId>,
    pub(crate) funcs_by_name: FxHashMap<Name, FuncId>,
    /// Template parameters that are bound where the present code stands.
    pub(crate) active_bound: Vec<(Sym, Entity)>,
    /// Suffix of the linkage name of the instance that is being declared.
    pub(crate) instance_suffix: Option<String>,
    /// Positions of initializers of members in their classes.
    pub(crate) member_inits: FxHashMap<RecordId, Vec<(Sym, usize)>>,
    pub(crate) enums: FxHashMap<(Sym, T), FxHashMap<Sym, Entity>>,
    /// Bindings that the next body sees, from this one on.
    pub(crate) body_floor: Option<usize>,
    /// The local whose value is being returned.
    pub(crate) moved_out: Option<LocalId>,
    /// The `?:` that begins at this token is bound to a reference: it is a place, not a value.
    pub(crate) place_wanted: Option<usize>,
    /// An argument is being converted by a constructor.
    pub(crate) is_converting: bool,
    /// Functions around a lambda: id, first binding, `this`.
    pub(crate) outer: Vec<OuterFunction>,
}

impl Lower {
    pub(crate) fn new(path: &str, language: Language, symbols: Symbols) -> Lower {
        let mut m = ModuleBuilder::new(path, language);
        let name = m.name("");
        let body = Body::new(FunctionBuilder::new(name, Span::NONE), Types::VOID, 0);
        let mut it = Lower {
            tokens: Vec::new(),
            at: 0,
            last: 0,
            heads: vec![0; symbols.len()],
            symbols,
            is_cpp: language == Language::Cpp,
            m,
            path: path.to_string(),
            types: Types::new(),
            ir_types: Vec::new(),
            ir_names: Vec::new(),
            bindings: Vec::new(),
            floor: 0,
            tags: FxHashMap::default(),
            local_tags: Vec::new(),
            scope_depth: 0,
            context: vec![Context::Namespace(NsId(0))],
            namespaces: vec![Namespace::default()],
            funcs: Vec::new(),
            sets: Vec::new(),
            constants: FxHashMap::default(),
            body: Box::new(body),
            pending: Vec::new(),
            templates: Vec::new(),
            instances: FxHashMap::default(),
            depth: 0,
            constant_depth: 0,
            pack: 0,
            is_c_linkage: false,
            errors: Vec::new(),
            error_count: 0,
            is_cut_off: false,
            functions_read: 0,
            is_too_deep: false,
            angle_depth: 0,
            anonymous: 0,
            instance_depth: 0,
            globals_by_name: FxHashMap::default(),
            funcs_by_name: FxHashMap::default(),
            active_bound: Vec::new(),
            instance_suffix: None,
            member_inits: FxHashMap::default(),
            enums: FxHashMap::default(),
            body_floor: None,
            moved_out: None,
            place_wanted: None,
            is_converting: false,
            outer: Vec::new(),
        };
        it.declare_builtins();
        it
    }

    /// What is read next, to its end: what was read before is gone. `false`: it ended within something.
    pub(crate) fn read(&mut self, input: Output, is_first: bool) -> bool {
        for path in input.paths.iter().skip(usize::from(is_first)) {
            self.m.file(&**path);
        }
        for note in input.notes {
            self.m.note(note);
        }
        self.tokens = input.tokens;
        if self.is_cpp {
            self.split_shifts();
        }
        // What looks a few tokens ahead meets the end again.
        let end = self.tokens.last().copied().filter(|it| it.kind == Kind::End);
        let is_last = end.is_some();
        if !is_last {
            self.tokens.push(END);
        }
        (self.at, self.last) = (0, self.tokens.len() - 1);
        self.tokens.extend([end.unwrap_or(END); LOOKAHEAD]);
        self.is_cut_off = false;
        while self.peek().kind != Kind::End {
            let errors = self.error_count;
            self.external();
            // Whatever is not understood may go on behind the end.
            self.is_cut_off |= self.at >= self.last && self.error_count > errors;
        }
        is_last || !self.is_cut_off
    }

    fn declare_builtins(&mut self) {
        // va_list is an array of one record of 24 bytes.
        let list = self.types.array(Types::ULONG, Some(3));
        self.define(sym::VA_LIST, Entity::Typedef(list));
        if !self.is_cpp {
            return;
        }
        let word = self.symbols.intern(b"wchar_t");
        self.define(word, Entity::Typedef(Types::WCHAR));
        let std = self.namespace(sym::STD);
        let nullptr_t = self.symbols.intern(b"nullptr_t");
        self.namespaces[std.0 as usize].members.insert(nullptr_t, Entity::Typedef(Types::VOID_POINTER));
    }

    /// `>>` becomes two tokens, as it may close two lists of template arguments.
    fn split_shifts(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        let mut out = Vec::with_capacity(tokens.len() + 16);
        for token in tokens {
            if token.is(sym::SHR) {
                out.push(Token { text: sym::GT, ..token });
                out.push(Token { text: sym::GT, flags: token.flags | crate::lex::JOINED, ..token });
            } else {
                out.push(token);
            }
        }
        self.tokens = out;
    }

    /// The module, when everything is read.
    pub(crate) fn end_unit(mut self, source: &[u8]) -> (Module, Symbols) {
        if self.is_cpp {
            self.run_template_members();
            self.run_pending();
        }
        self.finish(source)
    }

    fn finish(mut self, source: &[u8]) -> (Module, Symbols) {
        let body = std::mem::replace(
            &mut *self.body,
            Body::new(FunctionBuilder::new(Name(0), Span::NONE), Types::VOID, 0),
        );
        if body.fb.has_ops() && !body.has_error {
            let mut fb = body.fb;
            fb.function.name = self.m.name(&format!("{}:<globals>", self.path));
            fb.function.is_external = false;
            fb.end(End::Return(None), Span::NONE);
            self.m.function(fb);
        }
        if self.error_count > 0 {
            let places: Vec<String> = self.errors.iter().map(|it| self.place_text(*it, source)).collect();
            let (count, places) = (self.error_count, places.join(", "));
            let what = if count == 1 { "place was" } else { "places were" };
            self.m.note(format!("{count} {what} not understood and left out: {places}"));
        }
        if self.is_too_deep {
            self.m.note(format!("code nested deeper than {MAX_DEPTH} levels was left out"));
        }
        (self.m.finish(), self.symbols)
    }

    /// Where a token stands, for a note.
    fn place_text(&self, token: Token, source: &[u8]) -> String {
        if token.file != 0 {
            return self.m.module().files[usize::from(token.file)].clone();
        }
        let before = &source[..source.len().min(token.start as usize)];
        format!("line {}", before.iter().filter(|it| **it == b'\n').count() + 1)
    }

    // Tokens.

    pub(crate) fn peek(&self) -> Token {
        self.tokens[self.at.min(self.last)]
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Token {
        self.tokens[(self.at + ahead).min(self.last)]
    }

    pub(crate) fn next(&mut self) -> Token {
        let token = self.peek();
        if self.at < self.last {
            self.at += 1;
        }
        token
    }

    pub(crate) fn is(&self, text: Sym) -> bool {
        self.peek().is(text)
    }

    pub(crate) fn eat(&mut self, text: Sym) -> bool {
        let is_it = self.is(text);
        if is_it {
            self.at += 1;
        }
        is_it
    }

    pub(crate) fn expect(&mut self, text: Sym) -> Res<()> {
        if self.eat(text) { Ok(()) } else { Err(Bad) }
    }

    /// An identifier that is no keyword.
    pub(crate) fn is_name(&self, token: Token) -> bool {
        token.kind == Kind::Ident && !self.is_keyword(token.text)
    }

    pub(crate) fn is_keyword(&self, it: Sym) -> bool {
        if self.is_cpp {
            return it.0 >= sym::AUTO.0 && it.0 < sym::OVERRIDE.0 && it != sym::RESTRICT;
        }
        is_c_keyword(it)
    }

    /// Position just after the bracket that closes the one at `at`.
    pub(crate) fn after_close(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            if token.kind != Kind::Punct {
                continue;
            }
            match token.text {
                sym::LPAREN | sym::LBRACKET | sym::LBRACE => depth += 1,
                sym::RPAREN | sym::RBRACKET | sym::RBRACE => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return index + 1;
                    }
                }
                _ => {}
            }
        }
        self.last
    }

    pub(crate) fn skip_brackets(&mut self) {
        self.at = self.after_close(self.at);
    }

    /// From the token at `from` to the last one read.
    pub(crate) fn span(&self, from: usize) -> Span {
        let first = self.tokens[from.min(self.tokens.len() - 1)];
        let last = self.tokens[self.at.saturating_sub(1).max(from).min(self.tokens.len() - 1)];
        let end = if last.file == first.file { last.end.max(first.end) } else { first.end };
        Span { file: FileId(u32::from(first.file)), start: first.start, end }
    }

    pub(crate) fn token_span(&self, at: usize) -> Span {
        let it = self.tokens[at.min(self.tokens.len() - 1)];
        Span { file: FileId(u32::from(it.file)), start: it.start, end: it.end }
    }

    /// One level deeper; undone by [`Lower::leave`].
    pub(crate) fn enter(&mut self) -> Res<()> {
        if self.depth >= MAX_DEPTH {
            self.is_too_deep = true;
            return Err(Bad);
        }
        self.depth += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Counts a syntax error here.
    pub(crate) fn error(&mut self) {
        self.error_count += 1;
        self.is_cut_off |= self.at >= self.last;
        if self.errors.len() < MAX_NAMED_ERRORS {
            self.errors.push(self.peek());
        }
    }

    // Names.

    pub(crate) fn text(&self, it: Sym) -> String {
        self.symbols.text(it).into_owned()
    }

    pub(crate) fn name(&mut self, it: Sym) -> Name {
        let index = it.0 as usize;
        if self.ir_names.len() <= index {
            self.ir_names.resize(self.symbols.len().max(index + 1), None);
        }
        if let Some(name) = self.ir_names[index] {
            return name;
        }
        let name = self.m.name(&self.symbols.text(it));
        self.ir_names[index] = Some(name);
        name
    }

    pub(crate) fn bind(&mut self, it: Sym, entity: Entity) {
        let index = it.0 as usize;
        if self.heads.len() <= index {
            self.heads.resize(self.symbols.len().max(index + 1), 0);
        }
        self.bindings.push(Binding { sym: it, entity, hidden: self.heads[index] });
        self.heads[index] = self.bindings.len() as u32;
    }

    pub(crate) fn mark(&self) -> usize {
        self.bindings.len()
    }

    /// Forgets the bindings made since `mark`.
    pub(crate) fn unbind(&mut self, mark: usize) {
        while self.bindings.len() > mark {
            if let Some(it) = self.bindings.pop() {
                self.heads[it.sym.0 as usize] = it.hidden;
            }
        }
    }

    /// A block of names begins.
    pub(crate) fn open_scope(&mut self) -> usize {
        self.scope_depth += 1;
        self.mark()
    }

    /// The block that began at `mark` ends.
    pub(crate) fn close_scope(&mut self, mark: usize) {
        self.unbind(mark);
        self.scope_depth -= 1;
        while self.local_tags.last().is_some_and(|it| it.2 > self.scope_depth) {
            self.local_tags.pop();
        }
    }

    /// The innermost local meaning of a name, and its position among the bindings.
    pub(crate) fn lookup_local(&self, it: Sym) -> Option<(Entity, usize)> {
        let head = self.heads.get(it.0 as usize).copied().filter(|it| *it > 0)? as usize - 1;
        (head >= self.floor).then(|| (self.bindings[head].entity, head))
    }

    pub(crate) fn lookup(&self, it: Sym) -> Option<Entity> {
        if let Some((entity, _)) = self.lookup_local(it) {
            return Some(entity);
        }
        for context in self.context.iter().rev() {
            let found = match *context {
                Context::Namespace(id) => self.in_namespace(id, it, 0),
                Context::Record(id) => self.in_record(id, it, 0),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Of a namespace and of those that it uses.
    pub(crate) fn in_namespace(&self, id: NsId, it: Sym, depth: u32) -> Option<Entity> {
        let namespace = &self.namespaces[id.0 as usize];
        if let Some(&entity) = namespace.members.get(&it) {
            return Some(entity);
        }
        if depth > 8 {
            return None;
        }
        namespace.using.iter().find_map(|used| self.in_namespace(*used, it, depth + 1))
    }

    /// Types, static members and methods of a class and of its bases.
    pub(crate) fn in_record(&self, id: RecordId, it: Sym, depth: u32) -> Option<Entity> {
        let record = self.types.record(id);
        if let Some(&entity) = record.scope.get(&it) {
            return Some(entity);
        }
        if record.tag == it && self.is_cpp {
            return None;
        }
        if depth > 16 {
            return None;
        }
        record.bases.iter().find_map(|base| self.in_record(base.0, it, depth + 1))
    }

    /// Gives a name its meaning in the present scope.
    pub(crate) fn define(&mut self, it: Sym, entity: Entity) {
        if self.is_in_function() {
            return self.bind(it, entity);
        }
        match self.context.last() {
            Some(Context::Record(id)) => {
                let id = *id;
                self.types.record_mut(id).scope.insert(it, entity);
            }
            Some(Context::Namespace(id)) => {
                let id = *id;
                self.namespaces[id.0 as usize].members.insert(it, entity);
            }
            None => {}
        }
    }

    pub(crate) fn is_in_function(&self) -> bool {
        self.body.is_function
    }

    /// The namespace of this name in the present one.
    pub(crate) fn namespace(&mut self, it: Sym) -> NsId {
        let outer = self.context.iter().rev().find_map(|it| match it {
            Context::Namespace(id) => Some(*id),
            Context::Record(_) => None,
        });
        let outer = outer.unwrap_or(NsId(0));
        if let Some(Entity::Namespace(id)) = self.namespaces[outer.0 as usize].members.get(&it) {
            return *id;
        }
        let prefix = format!("{}{}::", self.namespaces[outer.0 as usize].prefix, self.symbols.text(it));
        let id = NsId(self.namespaces.len() as u32);
        self.namespaces.push(Namespace { prefix, ..Namespace::default() });
        self.namespaces[outer.0 as usize].members.insert(it, Entity::Namespace(id));
        id
    }

    /// What stands before names of the present scope: `ns::Class::`.
    pub(crate) fn prefix(&self) -> String {
        match self.context.last() {
            Some(Context::Record(id)) => format!("{}::", self.m.text(self.types.record(*id).name)),
            Some(Context::Namespace(id)) => self.namespaces[id.0 as usize].prefix.clone(),
            None => String::new(),
        }
    }

    // Types.

    /// The type in the intermediate representation.
    pub(crate) fn ir_type(&mut self, ty: T) -> TypeId {
        let index = ty.0 as usize;
        if let Some(Some(known)) = self.ir_types.get(index) {
            return *known;
        }
        let kind = match self.types.get(ty) {
            Ty::Void => Type::Void,
            Ty::Bool => Type::Bool,
            Ty::Truth => Type::Int { bytes: 4, is_signed: true },
            Ty::Int { bytes, is_signed, .. } => Type::Int { bytes, is_signed },
            Ty::Float(bytes) => Type::Float { bytes },
            Ty::Pointer(to) | Ty::Reference(to) | Ty::Vla(to) => Type::Pointer(self.ir_type(to)),
            Ty::Array(of, length) => Type::Array { element: self.ir_type(of), length },
            Ty::Record(id) => Type::Record(self.types.record(id).class),
            Ty::Function(_) => Type::Function,
            Ty::Auto | Ty::Unknown | Ty::Param(_) => Type::Unknown,
        };
        let id = self.m.ty(kind);
        if self.ir_types.len() <= index {
            self.ir_types.resize(index + 1, None);
        }
        self.ir_types[index] = Some(id);
        id
    }

    /// Bytes that an operation on a value of this type moves; 0: unknown.
    pub(crate) fn bytes(&self, ty: T) -> u32 {
        match self.types.get(ty) {
            Ty::Void => 0,
            _ => self.types.size(ty).and_then(|it| u32::try_from(it).ok()).unwrap_or(0),
        }
    }

    // Operations.

    pub(crate) fn push(&mut self, kind: OpKind, span: Span) {
        self.body.fb.push(kind, span);
    }

    pub(crate) fn op(&mut self, span: Span, make: impl FnOnce(heapwise_check::ir::Reg) -> OpKind) -> Operand {
        self.body.fb.value(span, make)
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.body.fb.is_reachable()
    }

    pub(crate) fn block(&mut self) -> BlockId {
        let id = self.body.fb.block();
        self.body.is_ended.resize(id.index() + 1, false);
        id
    }

    pub(crate) fn end(&mut self, end: End, span: Span) {
        if let Some(block) = self.body.fb.current() {
            self.body.is_ended[block.index()] = true;
        }
        self.body.fb.end(end, span);
    }

    pub(crate) fn switch_to(&mut self, block: BlockId) {
        self.body.fb.switch_to(block);
    }

    /// Ends the current block and goes on in `block`.
    pub(crate) fn flow_to(&mut self, block: BlockId, span: Span) {
        self.end(End::Goto(block), span);
        self.switch_to(block);
    }

    pub(crate) fn load(&mut self, from: Place, ty: T, span: Span) -> Operand {
        let bytes = self.bytes(ty);
        self.op(span, |to| OpKind::Load { to, from, bytes })
    }

    pub(crate) fn store(&mut self, to: Place, value: Operand, ty: T, span: Span) {
        let bytes = self.bytes(ty);
        self.push(OpKind::Store { to, value, bytes }, span);
    }

    /// A local without a name.
    pub(crate) fn temporary(&mut self, ty: T, span: Span) -> LocalId {
        let ty = self.ir_type(ty);
        self.body.fb.local(Name(0), ty, span)
    }

    /// A global that some other unit defines, or nobody: it is known by name alone.
    pub(crate) fn external_global(&mut self, it: Sym, ty: T, span: Span) -> GlobalId {
        let name = self.name(it);
        if let Some(&id) = self.globals_by_name.get(&name) {
            return id;
        }
        let ty = self.ir_type(ty);
        let id = self.m.global(Global { name, ty, is_external: true, is_const: false, value: None, span });
        self.globals_by_name.insert(name, id);
        id
    }
}

impl Body {
    pub(crate) fn new(fb: FunctionBuilder, ret: T, base: usize) -> Body {
        Body {
            fb,
            is_ended: vec![false],
            name: String::new(),
            ret,
            is_ret_deduced: false,
            cleanups: Vec::new(),
            breaks: Vec::new(),
            continues: Vec::new(),
            switches: Vec::new(),
            labels: FxHashMap::default(),
            gotos: Vec::new(),
            base,
            is_function: false,
            this: None,
            constants: FxHashMap::default(),
            temporaries: Vec::new(),
            statics: 0,
            has_error: false,
            id: None,
            pads: Vec::new(),
        }
    }
}
