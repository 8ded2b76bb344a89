//! C++ beyond classes: names and types, calls and overloads, `new` and `delete`, exceptions, lambdas, ranges.
//!
//! Classes of the standard library are opaque: their methods are calls of [`Callee::Method`] with the class's
//! name (`std::vector`), which models explain. What such a method returns is told by its name and the
//! template's arguments.

use crate::decl::{Attributes, Declarator, Naming, Spec};
use crate::expr::{Method, V, argument, with_step};
use crate::lex::Kind;
use crate::lower::{Action, Bad, Body, Cleanup, Context, Entity, FuncId, Lower, Res, SetId};
use crate::stmt::Pad;
use crate::symbols::{Sym, sym};
use crate::template::Shape;
use crate::types::{RecordId, T, Ty, Types};
use heapwise_check::build::FunctionBuilder;
use heapwise_check::ir::{Base, Binary, Callee, End, LocalId, Name, OpKind, Operand, Place, Span, Step};

/// What a path of names leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Type,
    Value,
    Unknown,
}

/// A resolved name in an expression.
struct Id {
    name: Sym,
    at: usize,
    entity: Option<Entity>,
    binding: usize,
    /// The class or namespace before `::`.
    scope: Option<Context>,
    is_qualified: bool,
    template_args: Vec<T>,
}

impl Lower {
    // Declarations.

    /// What only C++ has at file, namespace, class or block scope; `false`: an ordinary declaration comes.
    pub(crate) fn cpp_external(&mut self) -> Res<bool> {
        match self.peek().text {
            sym::INLINE if self.peek_at(1).is(sym::NAMESPACE) => {
                self.at += 1;
                self.namespace_definition()?;
            }
            sym::NAMESPACE => self.namespace_definition()?,
            sym::USING => self.using()?,
            sym::TEMPLATE | sym::EXPORT => self.template_declaration()?,
            sym::EXTERN if self.peek_at(1).is(sym::TEMPLATE) => self.skip_declaration()?,
            sym::CONCEPT => self.skip_declaration()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn namespace_definition(&mut self) -> Res<()> {
        self.at += 1;
        let mut attributes = Attributes::default();
        self.attributes(&mut attributes)?;
        let depth = self.context.len();
        let mut names = Vec::new();
        while self.is_name(self.peek()) || self.is(sym::INLINE) {
            let token = self.next();
            if token.text != sym::INLINE {
                names.push(token.text);
            }
            if !self.eat(sym::COLONS) {
                break;
            }
        }
        if self.eat(sym::ASSIGN) {
            let target = self.namespace_path();
            if let (Some(id), Some(&name)) = (target, names.first()) {
                self.define(name, Entity::Namespace(id));
            }
            return self.skip_declaration();
        }
        self.attributes(&mut attributes)?;
        if names.is_empty() {
            // An unnamed namespace is seen from around it.
            let name = self.symbols.intern(b"(anonymous)");
            let id = self.namespace(name);
            if let Some(Context::Namespace(outer)) = self.context.last().copied()
                && !self.namespaces[outer.0 as usize].using.contains(&id)
            {
                self.namespaces[outer.0 as usize].using.push(id);
            }
            self.context.push(Context::Namespace(id));
        }
        for name in names {
            let id = self.namespace(name);
            self.context.push(Context::Namespace(id));
        }
        self.expect(sym::LBRACE)?;
        self.enter()?;
        while !self.is(sym::RBRACE) && self.peek().kind != Kind::End {
            self.external();
        }
        self.leave();
        self.context.truncate(depth);
        self.expect(sym::RBRACE)
    }

    fn namespace_path(&mut self) -> Option<crate::lower::NsId> {
        let mut found = None;
        self.eat(sym::COLONS);
        while self.is_name(self.peek()) {
            let name = self.next().text;
            let entity = match found {
                None => self.lookup(name),
                Some(id) => self.in_namespace(id, name, 0),
            };
            match entity {
                Some(Entity::Namespace(id)) => found = Some(id),
                _ => return None,
            }
            if !self.eat(sym::COLONS) {
                break;
            }
        }
        found
    }

    fn using(&mut self) -> Res<()> {
        self.at += 1;
        if self.eat(sym::NAMESPACE) {
            if let Some(id) = self.namespace_path() {
                let here = self.context.iter().rev().find_map(|it| match it {
                    Context::Namespace(id) => Some(*id),
                    Context::Record(_) => None,
                });
                let here = here.unwrap_or(crate::lower::NsId(0));
                if here != id && !self.namespaces[here.0 as usize].using.contains(&id) {
                    self.namespaces[here.0 as usize].using.push(id);
                }
            }
            return self.skip_declaration();
        }
        if self.is_name(self.peek()) && (self.peek_at(1).is(sym::ASSIGN) || self.peek_at(1).is(sym::LBRACKET))
        {
            let name = self.next().text;
            let mut attributes = Attributes::default();
            self.attributes(&mut attributes)?;
            self.expect(sym::ASSIGN)?;
            let ty = self.type_name()?;
            self.define(name, Entity::Typedef(ty));
            return self.expect(sym::SEMI);
        }
        self.eat(sym::TYPENAME);
        let id = self.id_expression()?;
        match (id.entity, self.context.last()) {
            // Constructors or methods of a base: they are found there anyway.
            (_, Some(Context::Record(_)))
                if !self.is_in_function() && !matches!(id.entity, Some(Entity::Typedef(_))) => {}
            (Some(entity), _) => self.define(id.name, entity),
            (None, _) => {}
        }
        self.skip_declaration()
    }

    pub(crate) fn enter_scope_of(&mut self, scope: Context) {
        self.context.push(scope);
    }

    // Types by name.

    /// Reads a path without changing anything: what it is and where it ends.
    fn path(&self, at: usize) -> (What, usize) {
        let mut index = at;
        let mut scope: Option<Context> = None;
        let mut is_rooted = false;
        let mut is_blind = false;
        if self.tokens[index].is(sym::COLONS) {
            index += 1;
            is_rooted = true;
        }
        loop {
            let token = self.tokens[index];
            if token.is(sym::TEMPLATE) {
                index += 1;
                continue;
            }
            if !self.is_name(token) {
                return (What::Value, index);
            }
            let entity = match scope {
                _ if is_blind => None,
                Some(Context::Namespace(id)) => {
                    self.in_namespace(id, token.text, 0).or_else(|| self.in_std_global(id, token.text))
                }
                Some(Context::Record(id)) => {
                    self.in_record(id, token.text, 0).or_else(|| self.injected(id, token.text))
                }
                None if is_rooted => self.in_namespace(crate::lower::NsId(0), token.text, 0),
                None => self.lookup(token.text).or_else(|| self.injected_here(token.text)),
            };
            index += 1;
            let mut after = self.tokens[index];
            let mut is_template = false;
            if after.is(sym::LT)
                && (matches!(entity, Some(Entity::Template(_)))
                    || (entity.is_none() && self.is_likely_args(index))
                    || matches!(entity, Some(Entity::Typedef(_))))
                && let Some(end) = self.skip_angles(index)
            {
                is_template = true;
                index = end;
                after = self.tokens[index];
            }
            if after.is(sym::COLONS) {
                let next = self.tokens[index + 1];
                if next.is(sym::STAR) {
                    return (What::Value, index);
                }
                match entity {
                    Some(Entity::Namespace(id)) => scope = Some(Context::Namespace(id)),
                    Some(Entity::Typedef(ty)) => match self.types.as_record(ty) {
                        Some(id)
                            if !self.types.record(id).is_opaque && !self.types.record(id).is_dependent =>
                        {
                            scope = Some(Context::Record(id))
                        }
                        Some(_) => is_blind = true,
                        None if self.enums.contains_key(&(token.text, ty)) => return (What::Value, index),
                        None => is_blind = true,
                    },
                    _ => is_blind = true,
                }
                index += 1;
                continue;
            }
            return match entity {
                Some(Entity::Typedef(_)) => (What::Type, index),
                Some(Entity::Template(id))
                    if is_template || self.templates[id as usize].shape == Shape::Class =>
                {
                    (What::Type, index)
                }
                Some(_) => (What::Value, index),
                None if is_blind && is_type_member(&self.symbols.text(token.text)) => (What::Type, index),
                None if is_template && !after.is(sym::LPAREN) => (What::Type, index),
                None => (What::Unknown, index),
            };
        }
    }

    fn is_likely_args(&self, at: usize) -> bool {
        let Some(end) = self.skip_angles(at) else { return false };
        let after = self.tokens[end];
        if self.is_name(after) || after.is(sym::COLONS) {
            return true;
        }
        let is_end = after.kind == Kind::Punct
            && matches!(
                after.text,
                sym::LPAREN | sym::LBRACE | sym::STAR | sym::AMP | sym::GT | sym::COMMA | sym::AND_AND
            );
        // One question per level: to ask twice would double at each level of nesting.
        is_end && self.is_type_at(at + 1)
    }

    /// C functions and types are in `std` too.
    fn in_std_global(&self, id: crate::lower::NsId, name: Sym) -> Option<Entity> {
        if self.namespaces[id.0 as usize].prefix != "std::" {
            return None;
        }
        self.namespaces[0]
            .members
            .get(&name)
            .copied()
            .filter(|it| matches!(it, Entity::Set(_) | Entity::Typedef(_) | Entity::Global(..)))
    }

    /// The class's own name within it.
    fn injected(&self, id: RecordId, name: Sym) -> Option<Entity> {
        (self.types.record(id).tag == name).then(|| self.record_entity(id))?
    }

    fn record_entity(&self, id: RecordId) -> Option<Entity> {
        self.types.find_record(id).map(Entity::Typedef)
    }

    fn injected_here(&self, name: Sym) -> Option<Entity> {
        self.context.iter().rev().find_map(|it| match it {
            Context::Record(id) => self.injected(*id, name),
            Context::Namespace(_) => None,
        })
    }

    /// Where the type that begins at `at` ends; `None`: none begins.
    pub(crate) fn type_end(&self, at: usize) -> Option<usize> {
        let mut index = at;
        let mut has_type = false;
        loop {
            let token = self.tokens[index.min(self.tokens.len() - 1)];
            if token.kind != Kind::Ident {
                if token.is(sym::COLONS) && !has_type {
                    let (what, end) = self.path(index);
                    return (what == What::Type).then_some(end);
                }
                break;
            }
            match token.text {
                sym::CONST | sym::VOLATILE | sym::CONSTEXPR | sym::STATIC | sym::INLINE | sym::MUTABLE => {
                    index += 1
                }
                sym::STRUCT | sym::CLASS | sym::UNION | sym::ENUM => {
                    let (_, end) = self.path(index + 1);
                    index = end;
                    has_type = true;
                }
                sym::TYPENAME => {
                    let (_, end) = self.path(index + 1);
                    index = end;
                    has_type = true;
                }
                sym::AUTO => {
                    index += 1;
                    has_type = true;
                }
                sym::DECLTYPE | sym::TYPEOF | sym::TYPEOF_ | sym::TYPEOF__ => {
                    index = self.after_close(index + 1);
                    has_type = true;
                }
                _ if self.is_arithmetic_word(token.text) => {
                    index += 1;
                    has_type = true;
                }
                _ if has_type || self.is_keyword(token.text) => break,
                _ => {
                    let (what, end) = self.path(index);
                    if what != What::Type {
                        return None;
                    }
                    index = end;
                    has_type = true;
                }
            }
        }
        has_type.then_some(index)
    }

    fn is_arithmetic_word(&self, it: Sym) -> bool {
        matches!(
            it,
            sym::VOID
                | sym::CHAR
                | sym::INT
                | sym::SHORT
                | sym::LONG
                | sym::FLOAT
                | sym::DOUBLE
                | sym::SIGNED
                | sym::UNSIGNED
                | sym::BOOL
                | sym::WCHAR
                | sym::CHAR8
                | sym::CHAR16
                | sym::CHAR32
                | sym::INT128
                | sym::BOOL_C
                | sym::SIGNED__
                | sym::SIGNED_
                | sym::FLOAT128
                | sym::INT128_T
                | sym::UINT128_T
        )
    }

    /// Where an abstract declarator ends.
    pub(crate) fn abstract_end(&self, at: usize) -> usize {
        let mut index = at;
        loop {
            let token = self.tokens[index];
            match token.text {
                sym::STAR
                | sym::AMP
                | sym::AND_AND
                | sym::CONST
                | sym::VOLATILE
                | sym::RESTRICT__
                | sym::NOEXCEPT => index += 1,
                sym::LPAREN | sym::LBRACKET if token.kind == Kind::Punct => index = self.after_close(index),
                _ => return index,
            }
        }
    }

    pub(crate) fn is_cpp_declaration(&self) -> bool {
        let token = self.peek();
        match token.text {
            sym::CONSTEXPR
            | sym::STRUCT
            | sym::CLASS
            | sym::UNION
            | sym::ENUM
            | sym::AUTO
            | sym::CONST
            | sym::VOLATILE
            | sym::THREAD_LOCAL
            | sym::TYPENAME
            | sym::ALIGNAS => return true,
            _ => {}
        }
        let Some(end) = self.type_end(self.at) else {
            return self.is_name(token)
                && self.path(self.at).0 == What::Unknown
                && self.is_unknown_cpp_type();
        };
        let mut at = end;
        let mut has_pointer = false;
        loop {
            match self.tokens[at].text {
                sym::STAR | sym::AMP | sym::AND_AND => has_pointer = true,
                sym::CONST | sym::VOLATILE | sym::STATIC => {}
                _ => break,
            }
            at += 1;
        }
        let after = self.tokens[at];
        if self.is_name(after) || after.is(sym::LBRACKET) && !has_pointer && self.peek().is(sym::AUTO) {
            return true;
        }
        // `T (*f)(int)`, `T (&a)[3]`
        after.is(sym::LPAREN)
            && (self.tokens[at + 1].is(sym::STAR) || self.tokens[at + 1].is(sym::AMP))
            && self.tokens[self.after_close(at)].kind == Kind::Punct
            && (self.tokens[self.after_close(at)].is(sym::LPAREN)
                || self.tokens[self.after_close(at)].is(sym::LBRACKET))
            || after.is(sym::OPERATOR)
    }

    fn is_unknown_cpp_type(&self) -> bool {
        let (_, end) = self.path(self.at);
        let mut at = end;
        if self.tokens[at].is(sym::LT) {
            match self.skip_angles(at) {
                Some(end) => at = end,
                None => return false,
            }
        }
        while matches!(self.tokens[at].text, sym::STAR | sym::AMP | sym::CONST | sym::AND_AND) {
            at += 1;
        }
        let after = self.tokens[at + 1];
        self.is_name(self.tokens[at])
            && after.kind == Kind::Punct
            && matches!(
                after.text,
                sym::SEMI
                    | sym::ASSIGN
                    | sym::COMMA
                    | sym::LBRACKET
                    | sym::RPAREN
                    | sym::LPAREN
                    | sym::LBRACE
                    | sym::COLON
            )
    }

    /// Reads a type's name; `None`: what stands here is none.
    pub(crate) fn type_specifier_name(&mut self) -> Res<Option<T>> {
        self.eat(sym::TYPENAME);
        if self.is_constructor_name() {
            return Ok(None);
        }
        let (what, end) = self.path(self.at);
        match what {
            What::Type => {
                let ty = self.read_type_path(end)?;
                self.at = end;
                Ok(Some(ty))
            }
            What::Value => Ok(None),
            What::Unknown => {
                let start = self.at;
                let mut at = end;
                if self.tokens[at].is(sym::LT)
                    && let Some(end) = self.skip_angles(at)
                {
                    at = end;
                }
                let is_simple = at == start + 1;
                let is_type = if is_simple {
                    match self.unknown_specifier() {
                        Some(false) => {
                            // A macro that is not known.
                            self.at += 1;
                            return self.type_after_macro();
                        }
                        it => it == Some(true),
                    }
                } else {
                    let after = self.tokens[at];
                    self.is_name(after)
                        || matches!(
                            after.text,
                            sym::STAR
                                | sym::AMP
                                | sym::AND_AND
                                | sym::RPAREN
                                | sym::COMMA
                                | sym::GT
                                | sym::CONST
                                | sym::LBRACE
                        )
                        || after.is(sym::OPERATOR)
                };
                if !is_type {
                    return Ok(None);
                }
                self.at = at;
                Ok(Some(Types::UNKNOWN))
            }
        }
    }

    fn type_after_macro(&mut self) -> Res<Option<T>> {
        let spec = self.specifiers()?;
        Ok(Some(spec.ty))
    }

    /// `C(` in its own class, `C::C(`, `C::~C`, `C::operator`.
    fn is_constructor_name(&self) -> bool {
        let token = self.peek();
        if self.peek_at(1).is(sym::LPAREN) && !self.is_in_function() {
            let is_own = match self.context.last() {
                Some(Context::Record(id)) => self.types.record(*id).tag == token.text,
                _ => false,
            };
            if is_own {
                // `C (*f)()` declares a function that returns one.
                return !self.peek_at(2).is(sym::STAR);
            }
        }
        // The last two names of a path are the same.
        let mut at = self.at;
        loop {
            if !self.is_name(self.tokens[at]) {
                return false;
            }
            let name = self.tokens[at].text;
            let mut next = at + 1;
            if self.tokens[next].is(sym::LT) {
                match self.skip_angles(next) {
                    Some(end) => next = end,
                    None => return false,
                }
            }
            if !self.tokens[next].is(sym::COLONS) {
                return false;
            }
            let last = self.tokens[next + 1];
            if last.text == name && self.tokens[next + 2].is(sym::LPAREN) {
                return true;
            }
            at = next + 1;
        }
    }

    /// Reads the path of a type up to `end`, instances made.
    fn read_type_path(&mut self, end: usize) -> Res<T> {
        let mut scope: Option<Context> = None;
        let is_rooted = self.eat(sym::COLONS);
        let mut opaque: Option<RecordId> = None;
        loop {
            self.eat(sym::TEMPLATE);
            let token = self.next();
            let entity = match scope {
                Some(Context::Namespace(id)) => {
                    self.in_namespace(id, token.text, 0).or_else(|| self.in_std_global(id, token.text))
                }
                Some(Context::Record(id)) => {
                    self.in_record(id, token.text, 0).or_else(|| self.injected(id, token.text))
                }
                None if is_rooted => self.in_namespace(crate::lower::NsId(0), token.text, 0),
                None if opaque.is_some() => None,
                None => self.lookup(token.text).or_else(|| self.injected_here(token.text)),
            };
            let mut ty = match entity {
                Some(Entity::Typedef(ty)) => Some(ty),
                _ => None,
            };
            if let Some(Entity::Template(id)) = entity {
                ty = Some(if self.is(sym::LT) {
                    let args = self.template_args()?;
                    self.instance(id, args)?
                } else {
                    // The class's own name, or one whose arguments are deduced.
                    let own = self.context.iter().rev().find_map(|it| match it {
                        Context::Record(record)
                            if self.types.record(*record).template.as_ref().is_some_and(|it| it.0 == id) =>
                        {
                            self.types.find_record(*record)
                        }
                        _ => None,
                    });
                    match own {
                        Some(ty) => ty,
                        None => self.instance(id, Vec::new())?,
                    }
                });
            } else if self.is(sym::LT)
                && let Some(end) = self.skip_angles(self.at)
            {
                self.at = end;
            }
            if self.at >= end || !self.is(sym::COLONS) {
                return Ok(ty.unwrap_or_else(|| self.opaque_member(opaque, token.text)));
            }
            self.at += 1;
            scope = match (entity, ty) {
                (Some(Entity::Namespace(id)), _) => Some(Context::Namespace(id)),
                (_, Some(ty)) => match self.types.as_record(ty) {
                    Some(id) if self.types.record(id).is_opaque => {
                        opaque = Some(id);
                        None
                    }
                    Some(id) => Some(Context::Record(id)),
                    None => None,
                },
                _ => None,
            };
            if scope.is_none() && opaque.is_none() {
                self.at = end;
                return Ok(Types::UNKNOWN);
            }
        }
    }

    /// A type within a class of the library.
    fn opaque_member(&mut self, id: Option<RecordId>, name: Sym) -> T {
        let Some(id) = id else { return Types::UNKNOWN };
        let args = self.args_of(id);
        let element = args.first().copied().unwrap_or(Types::CHAR);
        match &*self.symbols.text(name) {
            "size_type" => Types::ULONG,
            "difference_type" => Types::LONG,
            "value_type" | "element_type" if args.len() < 2 => element,
            "key_type" => element,
            "mapped_type" => args.get(1).copied().unwrap_or(Types::UNKNOWN),
            "pointer" => self.types.pointer(element),
            "reference" | "const_reference" => self.types.reference(element),
            "iterator" | "const_iterator" | "reverse_iterator" | "const_reverse_iterator" => {
                self.iterator_of(id)
            }
            _ => Types::UNKNOWN,
        }
    }

    /// An iterator is a pointer to an element, as far as this knows.
    fn iterator_of(&mut self, id: RecordId) -> T {
        let of = self.element_of(id);
        self.types.pointer(of)
    }

    fn element_of(&mut self, id: RecordId) -> T {
        let args = self.args_of(id);
        match self.m.text(self.types.record(id).name) {
            "std::string" => Types::CHAR,
            "std::wstring" => Types::WCHAR,
            "std::map" | "std::unordered_map" | "std::multimap" | "std::unordered_multimap" => {
                self.pair_of(&args)
            }
            _ => args.first().copied().unwrap_or(Types::UNKNOWN),
        }
    }

    fn pair_of(&mut self, args: &[T]) -> T {
        let name = self.symbols.intern(b"pair");
        let std = self.namespace_std();
        match self.namespaces[std.0 as usize].members.get(&name) {
            Some(Entity::Template(id)) => {
                let id = *id;
                self.instance(id, args.iter().take(2).copied().collect()).unwrap_or(Types::UNKNOWN)
            }
            _ => Types::UNKNOWN,
        }
    }

    fn namespace_std(&self) -> crate::lower::NsId {
        match self.namespaces[0].members.get(&sym::STD) {
            Some(Entity::Namespace(id)) => *id,
            _ => crate::lower::NsId(0),
        }
    }

    pub(crate) fn is_member_pointer(&self) -> bool {
        self.is_member_pointer_at(self.at)
    }

    pub(crate) fn is_member_pointer_at(&self, at: usize) -> bool {
        self.is_name(self.tokens[at])
            && self.tokens[at + 1].is(sym::COLONS)
            && (self.tokens[at + 2].is(sym::STAR)
                || (self.is_name(self.tokens[at + 2])
                    && self.tokens[at + 3].is(sym::COLONS)
                    && self.tokens[at + 4].is(sym::STAR)))
    }

    // Declarators.

    pub(crate) fn cpp_declarator_name(&mut self, d: &mut Declarator) -> Res<()> {
        let mut scope: Option<Context> = None;
        if self.is(sym::COLONS) {
            self.at += 1;
            scope = Some(Context::Namespace(crate::lower::NsId(0)));
        }
        loop {
            let token = self.peek();
            if token.is(sym::TILDE) {
                self.at += 1;
                d.name_at = self.at;
                d.name = Some(self.next().text);
                d.is_destructor = true;
                break;
            }
            if token.is(sym::OPERATOR) {
                d.name_at = self.at;
                d.name = Some(self.operator_name(d)?);
                break;
            }
            if !self.is_name(token) {
                if scope.is_some() {
                    return Err(Bad);
                }
                return Ok(());
            }
            self.at += 1;
            let name_at = self.at - 1;
            let mut end = self.at;
            let has_args = self.is(sym::LT);
            if has_args {
                match self.skip_angles(self.at) {
                    Some(at) => end = at,
                    None => return Err(Bad),
                }
            }
            if !self.tokens[end].is(sym::COLONS) {
                (d.name, d.name_at) = (Some(token.text), name_at);
                self.at = end;
                break;
            }
            let entity = match scope {
                Some(Context::Namespace(id)) => self.in_namespace(id, token.text, 0),
                Some(Context::Record(id)) => self.in_record(id, token.text, 0),
                None => self.lookup(token.text).or_else(|| self.injected_here(token.text)),
            };
            scope = match entity {
                Some(Entity::Namespace(id)) => Some(Context::Namespace(id)),
                Some(Entity::Typedef(ty)) => self.types.as_record(ty).map(Context::Record),
                Some(Entity::Template(id)) if has_args => {
                    let args = self.template_args()?;
                    let ty = self.instance(id, args)?;
                    self.types.as_record(ty).map(Context::Record)
                }
                _ => None,
            };
            if scope.is_none() {
                return Err(Bad);
            }
            self.at = end + 1;
        }
        d.scope = scope;
        Ok(())
    }

    /// `operator+`, `operator()`, `operator bool`.
    fn operator_name(&mut self, d: &mut Declarator) -> Res<Sym> {
        self.at += 1;
        let token = self.peek();
        let text = match token.text {
            sym::LPAREN => {
                self.at += 2;
                "operator()".to_string()
            }
            sym::LBRACKET => {
                self.at += 2;
                "operator[]".to_string()
            }
            sym::NEW | sym::DELETE => {
                self.at += 1;
                let mut text = format!("operator {}", self.symbols.text(token.text));
                if self.is(sym::LBRACKET) && self.peek_at(1).is(sym::RBRACKET) {
                    self.at += 2;
                    text.push_str("[]");
                }
                text
            }
            _ if token.kind == Kind::Punct => {
                self.at += 1;
                if token.is(sym::GT) && self.is(sym::GT) {
                    self.at += 1;
                    "operator>>".to_string()
                } else {
                    format!("operator{}", self.symbols.text(token.text))
                }
            }
            _ if token.kind == Kind::String => {
                self.at += 1;
                if self.is_name(self.peek()) {
                    self.at += 1;
                }
                "operator\"\"".to_string()
            }
            _ => {
                let spec = self.specifiers()?;
                let mut ty = spec.ty;
                while self.is(sym::STAR) || self.is(sym::AMP) || self.is(sym::CONST) {
                    match self.next().text {
                        sym::STAR => ty = self.types.pointer(ty),
                        sym::AMP => ty = self.types.reference(ty),
                        _ => {}
                    }
                }
                d.ty = ty;
                format!("operator {}", self.type_text(ty))
            }
        };
        Ok(self.symbols.intern(text.as_bytes()))
    }

    /// Whether the parenthesis after a declared name begins parameters, not an initializer.
    pub(crate) fn is_parameter_list(&self, d: &Declarator) -> bool {
        let next = self.peek_at(1);
        if next.is(sym::RPAREN) || next.is(sym::ELLIPSIS) || d.is_destructor {
            return true;
        }
        if next.is(sym::LBRACKET) && self.peek_at(2).is(sym::LBRACKET) {
            return true;
        }
        if next.kind != Kind::Ident && !next.is(sym::COLONS) {
            return false;
        }
        if self.is_type_at(self.at + 1) {
            // `T x(U(...))` would be an initializer.
            let end = self.type_end(self.at + 1).unwrap_or(self.at + 2);
            let after = self.tokens[end];
            return !(after.is(sym::LBRACE)
                || after.is(sym::DOT)
                || (after.is(sym::LPAREN) && self.is_in_function()));
        }
        if self.is_in_function() {
            return false;
        }
        let (what, end) = self.path(self.at + 1);
        if what != What::Unknown {
            return false;
        }
        let after = self.tokens[end];
        self.is_name(after)
            || matches!(
                after.text,
                sym::STAR | sym::AMP | sym::COMMA | sym::RPAREN | sym::AND_AND | sym::LT | sym::CONST
            )
            || self.is_name(next) && self.is_type_at(end)
    }

    /// What stands after the parameters of a function.
    pub(crate) fn function_suffixes(&mut self, d: &mut Declarator, ret: &mut T) -> Res<()> {
        loop {
            let token = self.peek();
            match token.text {
                sym::CONST | sym::VOLATILE | sym::OVERRIDE | sym::FINAL if token.kind == Kind::Ident => {
                    d.is_const |= token.is(sym::CONST);
                    self.at += 1;
                }
                sym::AMP | sym::AND_AND if token.kind == Kind::Punct && !self.is_name(self.peek_at(1)) => {
                    self.at += 1
                }
                sym::NOEXCEPT | sym::THROW => {
                    self.at += 1;
                    if self.is(sym::LPAREN) {
                        self.skip_brackets();
                    }
                }
                sym::ARROW => {
                    self.at += 1;
                    *ret = self.type_name()?;
                }
                sym::ATTRIBUTE | sym::ATTRIBUTE__ => self.attributes(&mut d.attributes)?,
                sym::LBRACKET if self.peek_at(1).is(sym::LBRACKET) => self.attributes(&mut d.attributes)?,
                sym::REQUIRES => {
                    while !self.is(sym::LBRACE) && !self.is(sym::SEMI) {
                        if self.next().kind == Kind::End {
                            return Err(Bad);
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// `auto [a, b] = e;`
    pub(crate) fn structured_binding(&mut self, _spec: &Spec) -> Res<()> {
        self.at += 1;
        let mut names = Vec::new();
        while !self.eat(sym::RBRACKET) {
            let token = self.next();
            if token.kind == Kind::End {
                return Err(Bad);
            }

            if self.is_name(token) {
                names.push((token.text, self.at - 1));
            } else if !token.is(sym::COMMA) {
                return Err(Bad);
            }
        }
        let start = self.at;
        let value = if self.eat(sym::ASSIGN) {
            self.assignment()?
        } else {
            self.init_arguments()?.pop().unwrap_or(V::unknown())
        };
        self.bind_parts(names, value, start)
    }

    fn bind_parts(&mut self, names: Vec<(Sym, usize)>, value: V, start: usize) -> Res<()> {
        let span = self.span(start);
        let ty = self.type_of(&value);
        let fields = self.types.as_record(ty).map(|it| self.types.record(it).fields.clone());
        let place = if fields.is_some() { Some(self.place_of(value, span)) } else { None };
        for (index, (name, at)) in names.into_iter().enumerate() {
            let field = fields.as_ref().and_then(|it| it.get(index).copied());
            let span = self.token_span(at);
            let text = self.name(name);
            match (field, &place) {
                (Some(field), Some(place)) => {
                    let field_name = self.name(field.name);
                    let part = with_step(
                        place.clone(),
                        Step::Field { name: field_name, offset: Some(field.offset) },
                    );
                    let ty = self.types.reference(field.ty);
                    let ir_ty = self.ir_type(ty);
                    let local = self.body.fb.local(text, ir_ty, span);
                    self.push(OpKind::Live { local }, span);
                    let address = self.address(part, span);
                    self.store(Place::local(local), address, ty, span);
                    self.bind(name, Entity::Local(local, ty));
                    self.body.cleanups.push(Cleanup { local, ty, action: Action::Nothing });
                }
                _ => {
                    let ir_ty = self.ir_type(Types::UNKNOWN);
                    let local = self.body.fb.local(text, ir_ty, span);
                    self.push(OpKind::Live { local }, span);
                    self.store(Place::local(local), Operand::Opaque, Types::UNKNOWN, span);
                    self.bind(name, Entity::Local(local, Types::UNKNOWN));
                    self.body.cleanups.push(Cleanup { local, ty: Types::UNKNOWN, action: Action::Nothing });
                }
            }
        }
        Ok(())
    }

    // Initialization of variables.

    pub(crate) fn is_auto(&self, ty: T) -> bool {
        match self.types.get(ty) {
            Ty::Auto => true,
            Ty::Reference(to) | Ty::Pointer(to) => self.is_auto(to),
            _ => false,
        }
    }

    /// The type of a variable declared with `auto`, from the initializer that comes.
    pub(crate) fn auto_type(&mut self, ty: T) -> Res<T> {
        let start = self.at;
        let value_ty = if self.is(sym::ASSIGN) || self.is(sym::LBRACE) || self.is(sym::LPAREN) {
            self.at += 1;
            let suspended = self.body.fb.suspend();
            let value = self.assignment();
            if let Some(block) = suspended {
                self.switch_to(block);
            }
            self.at = start;
            let value = value?;
            self.type_of(&value)
        } else {
            Types::UNKNOWN
        };
        Ok(self.deduced(ty, value_ty))
    }

    fn deduced(&mut self, pattern: T, value: T) -> T {
        match self.types.get(pattern) {
            Ty::Reference(_) => {
                let value = self.types.unreferenced(value);
                self.types.reference(value)
            }
            Ty::Auto => match self.types.get(value) {
                Ty::Array(of, _) | Ty::Vla(of) => self.types.pointer(of),
                Ty::Function(_) => self.types.pointer(value),
                Ty::Reference(to) => to,
                Ty::Truth => Types::BOOL,
                Ty::Auto | Ty::Void => Types::UNKNOWN,
                _ => value,
            },
            Ty::Pointer(_) if self.types.is_pointer(value) => value,
            _ => Types::UNKNOWN,
        }
    }

    /// Reads the initializer of a local as C++ does; `false`: as C does.
    pub(crate) fn initialize_cpp(&mut self, local: LocalId, ty: T, name_at: usize) -> Res<bool> {
        let place = Place::local(local);
        let span = self.token_span(name_at);
        if let Ty::Reference(target) = self.types.get(ty) {
            let value = if self.eat(sym::ASSIGN) {
                if self.is(sym::LBRACE) { self.braced_value(target)? } else { self.assignment()? }
            } else if self.is(sym::LPAREN) || self.is(sym::LBRACE) {
                self.init_arguments()?.pop().unwrap_or(V::unknown())
            } else {
                return Ok(true);
            };
            // A temporary that is bound to a reference lives as long as it.
            if let V::Temp(temporary, of) = value {
                self.forget_temporary(temporary);
                self.body.cleanups.push(Cleanup { local: temporary, ty: of, action: Action::Destroy });
            }
            let span = self.span(name_at);
            let address = self.bind_reference(value, target, span)?;
            self.store(place, address, ty, span);
            return Ok(true);
        }
        if let Some(record) = self.types.as_record(ty) {
            self.initialize_class(place, ty, record, name_at)?;
            return Ok(true);
        }
        if let (Ty::Array(of, Some(count)), Some(record)) =
            (self.types.get(ty), self.types.target(ty).and_then(|it| self.types.as_record(it)))
            && !self.is(sym::ASSIGN)
            && !self.is(sym::LBRACE)
        {
            let stride = self.types.size(of).unwrap_or(1);
            for index in 0..count.min(16) {
                let step = Step::Index { index: Operand::Int(index as i64), stride };
                self.default_construct(with_step(place.clone(), step), record, name_at, 0)?;
            }
            return Ok(true);
        }
        if self.is(sym::LBRACE) {
            self.initialize(place, ty, name_at)?;
            return Ok(true);
        }
        if self.is(sym::LPAREN) {
            let value = self.init_arguments()?.pop().unwrap_or(V::unknown());
            let value = self.coerce(value, ty, span)?;
            self.store(place, value, ty, span);
            return Ok(true);
        }
        Ok(false)
    }

    fn initialize_class(&mut self, place: Place, ty: T, record: RecordId, name_at: usize) -> Res<()> {
        if self.eat(sym::ASSIGN) {
            if self.is(sym::LBRACE) {
                if self.is_aggregate(record) {
                    return self.initialize(place, ty, name_at);
                }
                let args = self.init_arguments()?;
                return self.construct(place, record, args, name_at);
            }
            let value = self.assignment()?;
            let value = self.settled(value);
            let from = self.type_of(&value);
            if matches!(value, V::R(..)) && self.types.as_record(from).is_some() {
                let span = self.span(name_at);
                return self.copy_record(&place, ty, value, span);
            }
            return self.construct(place, record, vec![value], name_at);
        }
        if self.is(sym::LBRACE) && self.is_aggregate(record) {
            return self.initialize(place, ty, name_at);
        }
        if self.is(sym::LPAREN) || self.is(sym::LBRACE) {
            let args = self.init_arguments()?;
            return self.construct(place, record, args, name_at);
        }
        if self.types.record(record).is_complete || self.types.record(record).is_opaque {
            return self.default_construct(place, record, name_at, 0);
        }
        Ok(())
    }

    /// An element of class type within braces: `false`: as in C.
    pub(crate) fn initialize_element(&mut self, place: &Place, ty: T) -> Res<bool> {
        let Some(record) = self.types.as_record(ty) else { return Ok(false) };
        if self.is_aggregate(record) {
            return Ok(false);
        }
        let at = self.at;
        let value = self.assignment()?;
        let value = self.settled(value);
        self.construct(place.clone(), record, vec![value], at)?;
        Ok(true)
    }

    /// A global of class type, or with an initializer in parentheses.
    pub(crate) fn initialize_cpp_global(&mut self, place: &Place, ty: T, d: &Declarator) -> Res<bool> {
        let at = d.name_at;
        if let Some(record) = self.types.as_record(ty) {
            let suspended = if self.is_in_function() { self.body.fb.suspend() } else { None };
            let result = self.initialize_class(place.clone(), ty, record, at);
            self.body.temporaries.clear();
            if let Some(block) = suspended {
                self.switch_to(block);
            }
            result?;
            return Ok(true);
        }
        if self.is(sym::LPAREN) || (self.is(sym::LBRACE) && !matches!(self.types.get(ty), Ty::Array(..))) {
            let value = self.init_arguments()?.pop().unwrap_or(V::int(0));
            let span = self.span(at);
            if let (Some(value), Base::Global(id)) = (Lower::simple_value(&value), place.base) {
                self.m.global_mut(id).value = Some(value);
                return Ok(true);
            }
            let value = self.coerce(value, ty, span)?;
            self.store(place.clone(), value, ty, span);
            return Ok(true);
        }
        Ok(false)
    }

    /// `T{...}` as a value.
    pub(crate) fn braced_value(&mut self, ty: T) -> Res<V> {
        let start = self.at;
        let ty = self.types.unreferenced(ty);
        let span = self.token_span(start);
        let Some(record) = self.types.as_record(ty) else {
            let value = self.init_arguments()?.pop().unwrap_or(V::int(0));
            let value = self.coerce(value, ty, span)?;
            return Ok(V::R(value, ty));
        };
        if !self.is_aggregate(record) {
            let args = self.init_arguments()?;
            return self.construct_temporary(ty, args, start);
        }
        let local = self.temporary(ty, span);
        self.push(OpKind::Live { local }, span);
        self.initialize(Place::local(local), ty, start)?;
        if self.needs_destruction(ty) {
            self.keep_temporary(local, ty);
        }
        Ok(V::Temp(local, ty))
    }

    /// Braces as an argument: what they make depends on the parameter.
    pub(crate) fn braced_argument(&mut self) -> Res<V> {
        let args = self.init_arguments()?;
        let span = self.token_span(self.at.saturating_sub(1));
        for arg in args {
            let (value, _) = self.rvalue(arg, span);
            if matches!(value, Operand::Reg(_)) {
                self.push(OpKind::Escape { value }, span);
            }
        }
        Ok(V::unknown())
    }

    pub(crate) fn construct_temporary(&mut self, ty: T, args: Vec<V>, start: usize) -> Res<V> {
        let Some(record) = self.types.as_record(ty) else { return Ok(V::unknown()) };
        let span = self.token_span(start);
        let local = self.temporary(ty, span);
        self.push(OpKind::Live { local }, span);
        self.construct(Place::local(local), record, args, start)?;
        if self.needs_destruction(ty) {
            self.keep_temporary(local, ty);
        }
        Ok(V::Temp(local, ty))
    }

    // Conversions.

    pub(crate) fn is_class_like(&self, ty: T) -> bool {
        self.types.as_record(ty).is_some()
    }

    /// The address that a reference parameter or variable gets.
    pub(crate) fn bind_reference(&mut self, value: V, target: T, span: Span) -> Res<Operand> {
        if let V::R(Operand::Opaque, _) = value {
            return Ok(Operand::Opaque);
        }
        let from = self.type_of(&value);
        if let V::Set(..) = value {
            return Ok(self.rvalue(value, span).0);
        }
        if let Some(record) = self.types.as_record(target)
            && self.types.as_record(from).is_none()
            && !matches!(self.types.get(from), Ty::Unknown)
        {
            // An implicit conversion goes through at most one constructor: [over.best.ics].
            if self.is_converting {
                self.discard(value);
                return Ok(Operand::Opaque);
            }
            // A temporary is made of what the class is constructed from.
            let temporary = self.temporary(target, span);
            self.push(OpKind::Live { local: temporary }, span);
            let at = self.at.saturating_sub(1);
            self.is_converting = true;
            let result = self.construct(Place::local(temporary), record, vec![value], at);
            self.is_converting = false;
            result?;
            if self.needs_destruction(target) {
                self.keep_temporary(temporary, target);
            }
            return Ok(self.address(Place::local(temporary), span));
        }
        if let V::Str(name, ..) = value {
            return Ok(Operand::String(name));
        }
        if let (Some(to), Some(base)) = (self.types.as_record(from), self.types.as_record(target))
            && to != base
        {
            let place = self.place_of(value, span);
            let place = self.upcast(place, to, base);
            return Ok(self.address(place, span));
        }
        let place = self.place_of(value, span);
        Ok(self.address(place, span))
    }

    /// The part of an object that is its base class.
    fn upcast(&mut self, place: Place, from: RecordId, to: RecordId) -> Place {
        match self.base_offset(from, to, 0) {
            Some(offset) if offset > 0 => {
                let name = self.types.record(to).name;
                with_step(place, Step::Field { name, offset: Some(offset) })
            }
            _ => place,
        }
    }

    fn base_offset(&self, from: RecordId, to: RecordId, depth: u32) -> Option<u64> {
        if from == to {
            return Some(0);
        }
        if depth > 16 {
            return None;
        }
        let record = self.types.record(from);
        record.bases.iter().find_map(|(base, at)| Some(at + self.base_offset(*base, to, depth + 1)?))
    }

    /// A value of class type for a parameter or a return.
    pub(crate) fn coerce_to_class(&mut self, value: V, ty: T, span: Span) -> Res<Operand> {
        if let V::R(operand, from) = &value
            && (*from == ty || *operand == Operand::Opaque)
        {
            return Ok(*operand);
        }
        let Some(record) = self.types.as_record(ty) else { return Ok(self.rvalue(value, span).0) };
        if let V::Temp(local, from) = value
            && from == ty
        {
            self.forget_temporary(local);
            return Ok(self.load(Place::local(local), ty, span));
        }
        let local = self.temporary(ty, span);
        self.push(OpKind::Live { local }, span);
        let at = self.at.saturating_sub(1);
        self.construct(Place::local(local), record, vec![value], at)?;
        Ok(self.load(Place::local(local), ty, span))
    }

    /// A scalar out of an object: by a conversion function, or not known.
    pub(crate) fn coerce_from_class(&mut self, value: V, to: T, span: Span) -> Res<Operand> {
        let ty = self.type_of(&value);
        let Some(record) = self.types.as_record(ty) else { return Ok(Operand::Opaque) };
        if let Some(id) = self.conversion(record, to) {
            let place = self.place_of(value, span);
            let receiver = self.address(place, span);
            let func = &self.funcs[id.0 as usize];
            let (name, ty) = (func.name, func.ty);
            let start = self.at.saturating_sub(1);
            let result = self.emit_call_to(Callee::Direct(name), ty, Some(receiver), Vec::new(), start)?;
            return Ok(self.rvalue(result, span).0);
        }
        if self.types.record(record).is_opaque {
            let place = self.place_of(value, span);
            let receiver = self.address(place, span);
            let name = format!("operator {}", self.type_text(to));
            let name = self.m.name(&name);
            let class = Some(self.types.record(record).name);
            let value = self.emit_call_op(Callee::Method { receiver, name, class }, to, Vec::new(), span);
            return Ok(self.rvalue(value, span).0);
        }
        self.place_of(value, span);
        Ok(Operand::Opaque)
    }

    fn conversion(&self, record: RecordId, to: T) -> Option<FuncId> {
        let name = format!("operator {}", self.type_text(to));
        let entry =
            self.types.record(record).scope.iter().find(|it| self.symbols.bytes(*it.0) == name.as_bytes());
        match entry {
            Some((_, Entity::Set(set))) => self.sets[set.0 as usize].first().copied(),
            _ => self.types.record(record).bases.iter().find_map(|it| self.conversion(it.0, to)),
        }
    }

    /// The truth of an object.
    pub(crate) fn class_truth(&mut self, value: V, span: Span) -> Operand {
        self.coerce_from_class(value, Types::BOOL, span).unwrap_or(Operand::Opaque)
    }

    // Calls.

    /// The best function of a set for these arguments.
    pub(crate) fn choose(&mut self, set: SetId, explicit: &[T], args: &[V]) -> Option<FuncId> {
        let funcs = self.sets[set.0 as usize].clone();
        if funcs.len() == 1 {
            let it = &self.funcs[funcs[0].0 as usize];
            let most = self.param_types(it.ty).len();
            let fits = args.len() >= it.least && args.len() <= most || self.is_variadic(it.ty);
            return (fits || it.record.is_none()).then_some(funcs[0]);
        }
        let types: Vec<T> = args.iter().map(|it| self.type_of(it)).collect();
        let mut best: Option<(i32, FuncId)> = None;
        for id in funcs {
            let func = &self.funcs[id.0 as usize];
            let params = self.param_types(func.ty);
            let is_variadic = self.is_variadic(func.ty);
            if func.is_deleted || args.len() < func.least || (args.len() > params.len() && !is_variadic) {
                continue;
            }
            let mut score = if func.template.is_some() { -1 } else { 0 };
            if !explicit.is_empty() {
                score += if func.template.is_some() { 100 } else { -100 };
            }
            for (index, ty) in types.iter().enumerate() {
                let is_null = matches!(args[index], V::R(Operand::Null | Operand::Int(0), _));
                score += params.get(index).map_or(-2, |param| self.fit(*ty, *param, is_null));
            }
            if best.is_none_or(|it| score > it.0) {
                best = Some((score, id));
            }
        }
        best.map(|it| it.1)
    }

    fn is_variadic(&self, ty: T) -> bool {
        match self.types.get(ty) {
            Ty::Function(sig) => self.types.signature(sig).is_variadic,
            _ => false,
        }
    }

    /// How well an argument fits a parameter.
    fn fit(&self, arg: T, param: T, is_null: bool) -> i32 {
        let (arg, param) = (self.types.unreferenced(arg), self.types.unreferenced(param));
        if arg == param {
            return 6;
        }
        match (self.types.get(arg), self.types.get(param)) {
            (Ty::Unknown, _) | (_, Ty::Unknown) => 1,
            (_, Ty::Param(_)) => 4,
            (Ty::Array(a, _), Ty::Pointer(b)) if a == b => 5,
            (Ty::Function(_), Ty::Pointer(_)) => 4,
            (Ty::Pointer(a), Ty::Pointer(b)) => match (self.types.get(a), self.types.get(b)) {
                (Ty::Record(x), Ty::Record(y)) if self.base_offset(x, y, 0).is_some() => 4,
                (Ty::Param(_), _) | (_, Ty::Param(_)) => 4,
                (_, Ty::Void) => 2,
                (Ty::Record(_), Ty::Record(_)) if self.types.is_dependent(b) => 3,
                _ => -4,
            },
            (Ty::Array(..), Ty::Pointer(_)) => 2,
            (_, Ty::Pointer(_)) if is_null => 3,
            (Ty::Record(x), Ty::Record(y)) => match self.base_offset(x, y, 0).is_some() {
                true => 4,
                false if self.types.record(y).is_dependent => 4,
                false => -4,
            },
            (_, Ty::Record(_)) => -1,
            (Ty::Record(_), _) => -3,
            (a, b) if self.types.is_integer(arg) && self.types.is_integer(param) => {
                if matches!((a, b), (Ty::Truth | Ty::Bool, Ty::Bool)) { 5 } else { 3 }
            }
            _ if self.types.is_arithmetic(arg) && self.types.is_arithmetic(param) => 2,
            _ => -4,
        }
    }

    pub(crate) fn call_set(&mut self, set: SetId, explicit: &[T], args: Vec<V>, start: usize) -> Res<V> {
        let Some(mut id) =
            self.choose(set, explicit, &args).or_else(|| self.sets[set.0 as usize].first().copied())
        else {
            return Ok(V::unknown());
        };
        if self.funcs[id.0 as usize].template.is_some() {
            match self.function_instance(id, explicit, &args) {
                Some(instance) => id = instance,
                None => {
                    let name = self.funcs[id.0 as usize].name;
                    return self.emit_call(Callee::Direct(name), Types::UNKNOWN, args, start);
                }
            }
        }
        let func = &self.funcs[id.0 as usize];
        let (name, ty, is_noreturn) = (func.name, func.ty, func.is_noreturn);
        let value = self.emit_call(Callee::Direct(name), ty, args, start)?;
        if is_noreturn {
            let span = self.span(start);
            self.after_noreturn(span);
        }
        Ok(value)
    }

    pub(crate) fn call_method(&mut self, method: Method, args: Vec<V>, start: usize) -> Res<V> {
        let span = self.span(start);
        let Some(set) = method.set else {
            return self.call_opaque(method.receiver, method.record, method.name, args, span);
        };
        let Some(mut id) = self
            .choose(set, &method.template_args, &args)
            .or_else(|| self.sets[set.0 as usize].first().copied())
        else {
            return Ok(V::unknown());
        };
        if self.funcs[id.0 as usize].template.is_some() {
            match self.function_instance(id, &method.template_args, &args) {
                Some(instance) => id = instance,
                None => return Ok(V::unknown()),
            }
        }
        let func = self.funcs[id.0 as usize].clone();
        if func.is_static {
            return self.emit_call(Callee::Direct(func.name), func.ty, args, start);
        }
        let mut receiver = method.receiver;
        if let (Some(from), Some(to)) = (method.record, func.record)
            && from != to
        {
            let place = self.upcast(Place::at(receiver), from, to);
            receiver = self.address(place, span);
        }
        if func.is_virtual && !method.is_qualified {
            let class = method.record.map(|it| self.types.record(it).name);
            let name = self.name(func.short);
            return self.emit_call(Callee::Method { receiver, name, class }, func.ty, args, start);
        }
        let value = self.emit_call_to(Callee::Direct(func.name), func.ty, Some(receiver), args, start)?;
        if func.is_noreturn {
            self.after_noreturn(span);
        }
        Ok(value)
    }

    /// A method of a class of the library, or of an unknown one.
    fn call_opaque(
        &mut self,
        receiver: Operand,
        record: Option<RecordId>,
        name: Sym,
        args: Vec<V>,
        span: Span,
    ) -> Res<V> {
        let class = record.map(|it| self.types.record(it).name);
        let text = self.text(name);
        let ret = match record {
            Some(record) => self.opaque_return(record, &text),
            None => Types::UNKNOWN,
        };
        let mut operands = Vec::with_capacity(args.len());
        for arg in args {
            operands.push(argument(self.opaque_argument(arg, span)));
        }
        let name = self.name(name);
        Ok(self.emit_call_op(Callee::Method { receiver, name, class }, ret, operands, span))
    }

    /// Scalars by value, objects by address.
    fn opaque_argument(&mut self, arg: V, span: Span) -> Operand {
        let ty = self.type_of(&arg);
        if self.types.as_record(ty).is_some() {
            let place = self.place_of(arg, span);
            return self.address(place, span);
        }
        self.rvalue(arg, span).0
    }

    pub(crate) fn construct_opaque(
        &mut self,
        receiver: Operand,
        record: RecordId,
        args: Vec<V>,
        span: Span,
    ) -> Res<()> {
        let tag = self.types.record(record).tag;
        let class = Some(self.types.record(record).name);
        let mut operands = Vec::with_capacity(args.len());
        for arg in args {
            operands.push(argument(self.opaque_argument(arg, span)));
        }
        let name = self.name(tag);
        self.emit_call_op(Callee::Method { receiver, name, class }, Types::VOID, operands, span);
        Ok(())
    }

    /// What a method of the library returns, by its name.
    fn opaque_return(&mut self, record: RecordId, name: &str) -> T {
        let element = self.element_of(record);
        let args = self.args_of(record);
        let class = self.m.text(self.types.record(record).name).to_string();
        let is_pointer = matches!(
            class.as_str(),
            "std::unique_ptr" | "std::shared_ptr" | "std::weak_ptr" | "std::optional"
        );
        let is_map = class.ends_with("map");
        match name {
            "size" | "length" | "count" | "capacity" | "max_size" | "use_count" | "find_first_of"
            | "rfind" | "hash" => Types::ULONG,
            "find" if class.ends_with("string") => Types::ULONG,
            "empty" | "operator bool" | "contains" | "has_value" | "is_open" | "good" | "eof" | "fail"
            | "expired" | "operator==" | "operator!=" | "operator<" | "try_lock" | "joinable"
            | "owns_lock" | "test" => Types::BOOL,
            "operator[]" | "at" if is_map => {
                let value = args.get(1).copied().unwrap_or(Types::UNKNOWN);
                self.types.reference(value)
            }
            "operator[]" | "at" | "front" | "back" | "top" | "emplace_back" | "emplace_front" => {
                self.types.reference(element)
            }
            "value" | "operator*" if is_pointer => self.types.reference(element),
            "operator->" | "get" | "release" if is_pointer => self.types.pointer(element),
            "c_str" => self.types.pointer(element),
            "data" => self.types.pointer(element),
            "begin" | "end" | "cbegin" | "cend" | "rbegin" | "rend" | "find" | "erase" | "lower_bound"
            | "upper_bound" => self.types.pointer(element),
            "insert" if !class.ends_with("string") && !class.ends_with("set") && !is_map => {
                self.types.pointer(element)
            }
            "str" | "substr" => self.std_class("string"),
            "operator+" | "operator+=" | "append" | "assign" if class.ends_with("string") => {
                let ty = self.types.find_record(record).unwrap_or(Types::UNKNOWN);
                if name == "operator+" { ty } else { self.types.reference(ty) }
            }
            "operator=" | "operator<<" | "operator>>" => {
                let ty = self.types.find_record(record).unwrap_or(Types::UNKNOWN);
                self.types.reference(ty)
            }
            "lock" if class == "std::weak_ptr" => {
                let name = self.symbols.intern(b"shared_ptr");
                let std = self.namespace_std();
                match self.namespaces[std.0 as usize].members.get(&name).copied() {
                    Some(Entity::Template(id)) => self.instance(id, vec![element]).unwrap_or(Types::UNKNOWN),
                    _ => Types::UNKNOWN,
                }
            }
            "push_back" | "push_front" | "pop_back" | "pop_front" | "push" | "pop" | "clear" | "resize"
            | "reserve" | "reset" | "swap" | "sort" | "lock" | "unlock" | "join" | "detach" | "close"
            | "open" | "shrink_to_fit" => Types::VOID,
            _ => Types::UNKNOWN,
        }
    }

    fn std_class(&mut self, name: &str) -> T {
        let name = self.symbols.intern(name.as_bytes());
        let std = self.namespace_std();
        match self.namespaces[std.0 as usize].members.get(&name) {
            Some(Entity::Typedef(ty)) => *ty,
            _ => Types::UNKNOWN,
        }
    }

    /// `object(...)`.
    pub(crate) fn call_object(&mut self, callee: V, start: usize) -> Res<V> {
        let ty = self.type_of(&callee);
        let span = self.span(start);
        let record = self.types.as_record(ty).ok_or(Bad)?;
        let place = self.place_of(callee, span);
        let receiver = self.address(place, span);
        let args = self.call_arguments()?;
        let name = self.symbols.intern(b"operator()");
        let set = match self.in_record(record, name, 0) {
            Some(Entity::Set(set)) => Some(set),
            _ => None,
        };
        let method = Method {
            receiver,
            record: Some(record),
            set,
            name,
            is_qualified: false,
            template_args: Vec::new(),
        };
        self.call_method(method, args, start)
    }

    fn operator_symbol(&mut self, op: Sym) -> Sym {
        let text = match op {
            sym::LBRACKET => "operator[]".to_string(),
            sym::LPAREN => "operator()".to_string(),
            _ => format!("operator{}", self.symbols.text(op)),
        };
        self.symbols.intern(text.as_bytes())
    }

    pub(crate) fn overload_of(&mut self, record: RecordId, op: Sym) -> Option<SetId> {
        let name = self.operator_symbol(op);
        if self.types.record(record).is_opaque {
            // The library's classes have all that they need.
            return Some(SetId(u32::MAX));
        }
        match self.in_record(record, name, 0) {
            Some(Entity::Set(set)) if !self.sets[set.0 as usize].is_empty() => Some(set),
            _ => None,
        }
    }

    /// An operator on an object: a method, a function, or, for classes that are not known, a call without a name.
    pub(crate) fn operator_call(&mut self, op: Sym, left: V, right: Option<V>, start: usize) -> Res<V> {
        let name = self.operator_symbol(op);
        let left = self.settled(left);
        let right = right.map(|it| self.settled(it));
        let span = self.span(start);
        let ty = self.type_of(&left);
        if let Some(record) = self.types.as_record(ty) {
            let set = match self.in_record(record, name, 0) {
                Some(Entity::Set(set)) if !self.sets[set.0 as usize].is_empty() => Some(set),
                _ => None,
            };
            if let Some(set) = set {
                let place = self.place_of(left, span);
                let receiver = self.address(place.clone(), span);
                let method = Method {
                    receiver,
                    record: Some(record),
                    set: Some(set),
                    name,
                    is_qualified: false,
                    template_args: Vec::new(),
                };
                let value = self.call_method(method, right.into_iter().collect(), start)?;
                let _ = place;
                if op == sym::ARROW && self.is_class_value(&value) {
                    return self.operator_call(sym::ARROW, value, None, start);
                }
                return Ok(value);
            }
            let free = self.free_operator(name, ty);
            if self.types.record(record).is_opaque && free.is_none() {
                let place = self.place_of(left, span);
                let receiver = self.address(place, span);
                return self.call_opaque(receiver, Some(record), name, right.into_iter().collect(), span);
            }
        }
        let other = right.as_ref().map(|it| self.type_of(it));
        if let Some(set) =
            self.free_operator(name, ty).or_else(|| other.and_then(|it| self.free_operator(name, it)))
        {
            let mut args = vec![left];
            args.extend(right);
            return self.call_set(set, &[], args, start);
        }
        match (op, right) {
            (sym::ASSIGN, Some(right)) => {
                let place = self.place_of(left, span);
                self.copy_record(&place, ty, right, span)?;
                Ok(V::Place(place, ty, None))
            }
            (_, right) => {
                // Streams and classes whose operators are not seen.
                self.place_of(left.clone(), span);
                if let Some(right) = right {
                    let of = self.type_of(&right);
                    if self.types.as_record(of).is_some() {
                        self.place_of(right, span);
                    } else {
                        let (value, _) = self.rvalue(right, span);
                        if matches!(value, Operand::Reg(_)) {
                            self.push(OpKind::Escape { value }, span);
                        }
                    }
                }
                if matches!(op, sym::SHL | sym::SHR) { Ok(left) } else { Ok(V::unknown()) }
            }
        }
    }

    /// An operator that is a function of the present scope or of the operand's namespace.
    fn free_operator(&self, name: Sym, ty: T) -> Option<SetId> {
        let record = self.types.as_record(self.types.unreferenced(ty))?;
        let found = self.context.iter().rev().find_map(|it| match it {
            Context::Namespace(id) => self.in_namespace(*id, name, 0),
            Context::Record(_) => None,
        });
        let set = match found {
            Some(Entity::Set(set)) => set,
            _ => return None,
        };
        let takes = |it: &FuncId| {
            self.param_types(self.funcs[it.0 as usize].ty).iter().any(|it| {
                match self.types.get(self.types.unreferenced(*it)) {
                    Ty::Record(other) => {
                        other == record
                            || self.base_offset(record, other, 0).is_some()
                            || self.types.record(other).is_dependent
                    }
                    _ => false,
                }
            })
        };
        self.sets[set.0 as usize].iter().any(takes).then_some(set)
    }

    // Members.

    /// What comes after `.` or `->` of an object.
    pub(crate) fn class_member(&mut self, place: Place, ty: T, start: usize) -> Res<V> {
        self.eat(sym::TEMPLATE);
        let span = self.span(start);
        let record = self.types.as_record(ty);
        if self.eat(sym::TILDE) {
            while self.is_name(self.peek()) || self.is(sym::COLONS) {
                self.at += 1;
            }
            if self.is(sym::LPAREN) {
                self.skip_brackets();
            }
            self.destroy(place, ty, span, 0);
            return Ok(V::void());
        }
        if self.is(sym::OPERATOR) {
            let mut d = self.blank_declarator();
            let name = self.operator_name(&mut d)?;
            return Ok(self.method(place, record, name, true, span));
        }
        // `p->Base::f()`
        let mut is_qualified = false;
        while self.is_name(self.peek())
            && (self.peek_at(1).is(sym::COLONS)
                || (self.peek_at(1).is(sym::LT)
                    && self.skip_angles(self.at + 1).is_some_and(|it| self.tokens[it].is(sym::COLONS))))
        {
            self.at += 1;
            if self.is(sym::LT) {
                self.at = self.skip_angles(self.at).unwrap_or(self.at + 1);
            }
            self.at += 1;
            is_qualified = true;
        }
        let name = self.next();
        if name.kind != Kind::Ident {
            return Err(Bad);
        }
        let Some(id) = record else {
            if self.is(sym::LPAREN) {
                let receiver = self.address(place, span);
                let method = Method {
                    receiver,
                    record: None,
                    set: None,
                    name: name.text,
                    is_qualified,
                    template_args: Vec::new(),
                };
                return Ok(V::Method(Box::new(method)));
            }
            return Ok(self.field(place, ty, name.text));
        };
        if self.find_field(id, name.text, 0).is_some() {
            return Ok(self.field(place, ty, name.text));
        }
        match self.in_record(id, name.text, 0) {
            Some(Entity::Set(_)) => {
                let mut value = self.method(place, record, name.text, is_qualified, span);
                if self.is(sym::LT)
                    && let Some(end) = self.skip_angles(self.at)
                    && self.tokens[end].is(sym::LPAREN)
                {
                    let args = self.template_args()?;
                    if let V::Method(method) = &mut value {
                        method.template_args = args;
                    }
                }
                Ok(value)
            }
            Some(entity) => Ok(self.entity_value(entity, usize::MAX, self.at - 1)),
            None if self.is(sym::LPAREN) || self.types.record(id).is_opaque && self.is(sym::LT) => {
                if self.is(sym::LT) {
                    self.at = self.skip_angles(self.at).unwrap_or(self.at + 1);
                }
                let receiver = self.address(place, span);
                let method = Method {
                    receiver,
                    record,
                    set: None,
                    name: name.text,
                    is_qualified,
                    template_args: Vec::new(),
                };
                Ok(V::Method(Box::new(method)))
            }
            None => Ok(self.field(place, ty, name.text)),
        }
    }

    fn blank_declarator(&self) -> Declarator {
        Declarator {
            name: None,
            name_at: self.at,
            ty: Types::UNKNOWN,
            params: None,
            attributes: Attributes::default(),
            scope: None,
            is_destructor: false,
            is_pack: false,
            is_const: false,
            is_pointer_const: false,
            vla_length: None,
        }
    }

    fn method(
        &mut self,
        place: Place,
        record: Option<RecordId>,
        name: Sym,
        is_qualified: bool,
        span: Span,
    ) -> V {
        let set = match record.and_then(|it| self.in_record(it, name, 0)) {
            Some(Entity::Set(set)) => Some(set),
            _ => None,
        };
        let receiver = self.address(place, span);
        V::Method(Box::new(Method { receiver, record, set, name, is_qualified, template_args: Vec::new() }))
    }

    // Primary expressions.

    pub(crate) fn cpp_primary(&mut self) -> Res<V> {
        let token = self.peek();
        let start = self.at;
        match token.text {
            _ if token.kind != Kind::Ident => {}
            sym::THIS => {
                self.at += 1;
                return Ok(self.name_value(token, start));
            }
            sym::TRUE | sym::FALSE => {
                self.at += 1;
                return Ok(V::R(Operand::Int(i64::from(token.is(sym::TRUE))), Types::BOOL));
            }
            sym::NULLPTR => {
                self.at += 1;
                return Ok(V::R(Operand::Null, Types::VOID_POINTER));
            }
            sym::STATIC_CAST | sym::REINTERPRET_CAST | sym::CONST_CAST | sym::DYNAMIC_CAST => {
                return self.named_cast();
            }
            sym::OPERATOR => {
                let mut d = self.blank_declarator();
                let name = self.operator_name(&mut d)?;
                return match self.lookup(name) {
                    Some(Entity::Set(set)) => self.set_value(set, start),
                    _ => {
                        let set = self.implicit_function(name);
                        Ok(V::Set(set, Vec::new()))
                    }
                };
            }
            sym::REQUIRES => {
                self.at += 1;
                while self.is(sym::LPAREN) || self.is(sym::LBRACE) {
                    self.skip_brackets();
                }
                return Ok(V::R(Operand::Opaque, Types::BOOL));
            }
            sym::NOEXCEPT => {
                self.at += 1;
                self.skip_brackets();
                return Ok(V::R(Operand::Opaque, Types::BOOL));
            }
            _ => {}
        }
        // `T(...)`, `T{...}`
        if let Some(end) = self.type_end(self.at)
            && (self.tokens[end].is(sym::LPAREN) || self.tokens[end].is(sym::LBRACE))
        {
            let ty = self.specifiers()?.ty;
            return self.functional_cast(ty, start);
        }
        if self.is_keyword(token.text) && token.kind == Kind::Ident {
            return Err(Bad);
        }
        let id = self.id_expression()?;
        self.id_value(id, start)
    }

    fn functional_cast(&mut self, ty: T, start: usize) -> Res<V> {
        let ty = if let (true, Some(id)) = (self.is(sym::LPAREN), self.types.as_record(ty)) {
            let _ = id;
            ty
        } else {
            ty
        };
        if self.is(sym::LBRACE) {
            return self.braced_value(ty);
        }
        let mut args = self.call_arguments()?;
        if self.types.as_record(ty).is_some() {
            return self.construct_temporary(ty, args, start);
        }
        match args.pop() {
            Some(value) => self.explicit_cast(value, ty, start),
            None if self.types.is_pointer(ty) => Ok(V::R(Operand::Null, ty)),
            None => Ok(V::R(Operand::Int(0), ty)),
        }
    }

    fn named_cast(&mut self) -> Res<V> {
        let start = self.at;
        let kind = self.next().text;
        self.expect(sym::LT)?;
        let angle = std::mem::take(&mut self.angle_depth);
        let ty = self.type_name()?;
        self.expect(sym::GT)?;
        self.expect(sym::LPAREN)?;
        let value = self.expression()?;
        self.expect(sym::RPAREN)?;
        self.angle_depth = angle;
        let value = self.settled(value);
        if kind == sym::DYNAMIC_CAST && self.types.is_pointer(ty) {
            // May be null.
            let (value, _) = self.rvalue_here(value, start);
            let span = self.span(start);
            let name = self.m.name("dynamic_cast");
            let ret = self.emit_call_op(Callee::Direct(name), ty, vec![argument(value)], span);
            return Ok(ret);
        }
        self.explicit_cast(value, ty, start)
    }

    /// Reads a name with what qualifies it.
    fn id_expression(&mut self) -> Res<Id> {
        let mut scope: Option<Context> = None;
        let mut is_qualified = false;
        if self.eat(sym::COLONS) {
            scope = Some(Context::Namespace(crate::lower::NsId(0)));
            is_qualified = true;
        }
        let mut is_blind = false;
        loop {
            self.eat(sym::TEMPLATE);
            if self.is(sym::TILDE) {
                self.at += 1;
            }
            if self.is(sym::OPERATOR) {
                let at = self.at;
                let mut d = self.blank_declarator();
                let name = self.operator_name(&mut d)?;
                let entity = match scope {
                    Some(Context::Namespace(id)) => self.in_namespace(id, name, 0),
                    Some(Context::Record(id)) => self.in_record(id, name, 0),
                    None => self.lookup(name),
                };
                return Ok(Id {
                    name,
                    at,
                    entity,
                    binding: usize::MAX,
                    scope,
                    is_qualified,
                    template_args: Vec::new(),
                });
            }
            let token = self.next();
            if !self.is_name(token) {
                self.at -= 1;
                return Err(Bad);
            }
            let at = self.at - 1;
            let (entity, binding) = match scope {
                _ if is_blind => (None, usize::MAX),
                Some(Context::Namespace(id)) => {
                    let found =
                        self.in_namespace(id, token.text, 0).or_else(|| self.in_std_global(id, token.text));
                    (found, usize::MAX)
                }
                Some(Context::Record(id)) => (self.in_record(id, token.text, 0), usize::MAX),
                None => match self.lookup_local(token.text) {
                    Some((entity, index)) => (Some(entity), index),
                    None => (self.lookup(token.text).or_else(|| self.injected_here(token.text)), usize::MAX),
                },
            };
            let mut template_args = Vec::new();
            let mut made = None;
            if self.is(sym::LT) && self.angle_is_args(entity) {
                match entity {
                    Some(Entity::Template(id)) => {
                        let args = self.template_args()?;
                        made = Some(self.instance(id, args)?);
                    }
                    Some(Entity::Set(_)) => template_args = self.template_args()?,
                    _ => self.at = self.skip_angles(self.at).ok_or(Bad)?,
                }
            }
            if !self.is(sym::COLONS) {
                let entity = made.map(Entity::Typedef).or(entity);
                return Ok(Id { name: token.text, at, entity, binding, scope, is_qualified, template_args });
            }
            self.at += 1;
            is_qualified = true;
            let ty = made.or(match entity {
                Some(Entity::Typedef(ty)) => Some(ty),
                _ => None,
            });
            scope = match (entity, ty) {
                (Some(Entity::Namespace(id)), _) => Some(Context::Namespace(id)),
                (_, Some(ty)) => match self.types.as_record(ty) {
                    Some(id) => Some(Context::Record(id)),
                    None => {
                        if let Some(members) = self.enums.get(&(token.text, ty)) {
                            let member = self.peek();
                            let entity = members.get(&member.text).copied();
                            self.at += 1;
                            return Ok(Id {
                                name: member.text,
                                at: self.at - 1,
                                entity,
                                binding: usize::MAX,
                                scope: None,
                                is_qualified,
                                template_args: Vec::new(),
                            });
                        }
                        is_blind = true;
                        None
                    }
                },
                _ => {
                    is_blind = true;
                    None
                }
            };
        }
    }

    /// Whether `<` after a name begins template arguments.
    fn angle_is_args(&self, entity: Option<Entity>) -> bool {
        match entity {
            Some(Entity::Template(_)) => self.skip_angles(self.at).is_some(),
            Some(Entity::Set(set)) => {
                self.sets[set.0 as usize].iter().any(|it| self.funcs[it.0 as usize].template.is_some())
                    && self.skip_angles(self.at).is_some()
            }
            None => self.skip_angles(self.at).is_some_and(|end| {
                let after = self.tokens[end];
                (after.is(sym::LPAREN) || after.is(sym::COLONS) || after.is(sym::LBRACE))
                    && (self.is_type_at(self.at + 1) || after.is(sym::COLONS))
            }),
            _ => false,
        }
    }

    fn id_value(&mut self, id: Id, start: usize) -> Res<V> {
        if let Some(Entity::Typedef(ty)) = id.entity
            && (self.is(sym::LPAREN) || self.is(sym::LBRACE))
        {
            return self.functional_cast(ty, start);
        }
        // Members of the class that is around, through `this`.
        if !matches!(id.entity, Some(Entity::Local(..)))
            && let Some(value) = self.own_member(&id)
        {
            return value;
        }
        match id.entity {
            Some(Entity::Set(set)) => self.named_function(set, &id, start),
            Some(entity) => Ok(self.entity_value(entity, id.binding, id.at)),
            None if id.is_qualified => self.unknown_qualified(&id),
            None => {
                let token = self.tokens[id.at];
                Ok(self.unknown_name(token, id.at))
            }
        }
    }

    fn set_value(&mut self, set: SetId, start: usize) -> Res<V> {
        let _ = start;
        Ok(V::Set(set, Vec::new()))
    }

    fn named_function(&mut self, set: SetId, id: &Id, start: usize) -> Res<V> {
        let span = self.span(start);
        let first = self.sets[set.0 as usize].first().map(|it| self.funcs[it.0 as usize].clone());
        if let Some(func) = first
            && let Some(record) = func.record
            && self.is(sym::LPAREN)
            && let Some((local, own)) = self.body.this.or_else(|| self.outer_this())
        {
            let _ = own;
            let is_own = self.body.this.is_some();
            let base = if is_own { Base::Local(local) } else { self.outer_base(local) };
            let receiver = self.load(Place { base, steps: Box::default() }, Types::VOID_POINTER, span);
            let method = Method {
                receiver,
                record: Some(own).filter(|own| self.base_offset(*own, record, 0).is_some()),
                set: Some(set),
                name: id.name,
                is_qualified: id.is_qualified,
                template_args: id.template_args.clone(),
            };
            return Ok(V::Method(Box::new(method)));
        }
        Ok(V::Set(set, id.template_args.clone()))
    }

    /// A data member named alone, or with its class.
    fn own_member(&mut self, id: &Id) -> Option<Res<V>> {
        let (local, record) = self.body.this.or_else(|| self.outer_this())?;
        let is_own = self.body.this.is_some();
        match id.scope {
            None => {}
            Some(Context::Record(scope)) => {
                self.base_offset(record, scope, 0)?;
            }
            Some(Context::Namespace(_)) => return None,
        }
        if id.scope.is_none() && id.is_qualified {
            return None;
        }
        self.find_field(record, id.name, 0)?;
        let span = self.token_span(id.at);
        let base = if is_own { Base::Local(local) } else { self.outer_base(local) };
        let pointer = self.load(Place { base, steps: Box::default() }, Types::VOID_POINTER, span);
        let ty = self.types.find_record(record)?;
        Some(Ok(self.field(Place::at(pointer), ty, id.name)))
    }

    /// A name of the library, or of a header that was not found.
    fn unknown_qualified(&mut self, id: &Id) -> Res<V> {
        let text = match id.scope {
            Some(scope) => {
                let prefix = self.prefix_of(scope);
                format!("{prefix}{}", self.symbols.text(id.name))
            }
            None => self.text(id.name),
        };
        let name = self.symbols.intern(text.as_bytes());
        if self.is(sym::LPAREN) {
            return self.std_call(id, name);
        }
        let span = self.token_span(id.at);
        let global = self.external_global(name, Types::UNKNOWN, span);
        Ok(V::Place(Place { base: Base::Global(global), steps: Box::default() }, Types::UNKNOWN, None))
    }

    /// `std::move(x)` is `x`; others are calls of what is not seen.
    fn std_call(&mut self, id: &Id, name: Sym) -> Res<V> {
        let start = id.at;
        let text = self.text(name);
        if matches!(
            text.as_str(),
            "std::move" | "std::forward" | "std::as_const" | "std::ref" | "std::cref" | "std::launder"
        ) {
            let mut args = self.call_arguments()?;
            return Ok(args.pop().unwrap_or(V::unknown()));
        }
        if text == "std::addressof" {
            let value = self.call_arguments()?.pop().unwrap_or(V::unknown());
            return self.address_of(value, start);
        }
        let args = self.call_arguments()?;
        let span = self.span(start);
        let mut operands = Vec::with_capacity(args.len());
        for arg in args {
            operands.push(argument(self.opaque_argument(arg, span)));
        }
        let name = self.name(name);
        Ok(self.emit_call_op(Callee::Direct(name), Types::UNKNOWN, operands, span))
    }

    // `new` and `delete`.

    pub(crate) fn new_expression(&mut self) -> Res<V> {
        let start = self.at;
        self.at += 1;
        let mut placement = None;
        let mut is_nothrow = false;
        if self.is(sym::LPAREN) && !self.is_type_at(self.at + 1) {
            is_nothrow = (self.at..self.after_close(self.at))
                .any(|it| self.symbols.bytes(self.tokens[it].text) == b"nothrow");
            let args = self.call_arguments()?;
            if !is_nothrow {
                placement = args.into_iter().next();
            }
        }
        let in_parens = self.is(sym::LPAREN);
        self.at += usize::from(in_parens);
        let spec = self.specifiers()?;
        let mut ty = spec.ty;
        loop {
            if self.eat(sym::STAR) {
                ty = self.types.pointer(ty);
            } else if !self.eat(sym::CONST) {
                break;
            }
        }
        let mut count = None;
        while self.is(sym::LBRACKET) {
            self.at += 1;
            if count.is_none() {
                let value = if self.is(sym::RBRACKET) { V::unknown() } else { self.expression()? };
                count = Some(self.rvalue_here(value, start).0);
            } else if let Some(inner) = self.constant()? {
                ty = self.types.array(ty, u64::try_from(inner).ok());
            }
            self.expect(sym::RBRACKET)?;
        }
        if in_parens {
            self.expect(sym::RPAREN)?;
        }
        if self.is_auto(ty) {
            ty = self.auto_type(ty)?;
        }
        if let (Ty::Array(of, length), None) = (self.types.get(ty), count) {
            count = Some(length.map_or(Operand::Opaque, |it| Operand::Int(it as i64)));
            ty = of;
        }
        let span = self.span(start);
        let pointer_ty = self.types.pointer(ty);
        if let Some(placement) = placement {
            let (pointer, _) = self.rvalue(placement, span);
            self.initialize_new(Place::at(pointer), ty, start)?;
            return Ok(V::R(pointer, pointer_ty));
        }
        let ir_ty = self.ir_type(ty);
        let size = self.op(span, |to| OpKind::SizeOf { to, ty: ir_ty });
        let bytes = match count {
            None => size,
            Some(Operand::Opaque) => Operand::Opaque,
            Some(count) => {
                self.op(span, |to| OpKind::Binary { to, op: Binary::Multiply, left: count, right: size })
            }
        };
        let family = self.m.name(if count.is_some() { "new[]" } else { "new" });
        let is_zeroed = count.is_some()
            && (self.is(sym::LPAREN) || self.is(sym::LBRACE))
            && self.types.as_record(ty).is_none();
        let pointer =
            self.op(span, |to| OpKind::Allocate { to, family, bytes, is_zeroed, may_fail: is_nothrow });
        if count.is_none() {
            self.initialize_new(Place::at(pointer), ty, start)?;
        } else {
            if let Some(record) = self.types.as_record(ty) {
                let stride = self.types.size(ty).unwrap_or(1).max(1);
                let step = Step::Index { index: Operand::Opaque, stride };
                self.default_construct(with_step(Place::at(pointer), step), record, start, 0)?;
            }
            if self.is(sym::LPAREN) || self.is(sym::LBRACE) {
                self.skip_brackets();
            }
        }
        Ok(V::R(pointer, pointer_ty))
    }

    fn initialize_new(&mut self, place: Place, ty: T, start: usize) -> Res<()> {
        if let Some(record) = self.types.as_record(ty) {
            if self.is(sym::LBRACE) && self.is_aggregate(record) {
                return self.initialize(place, ty, start);
            }
            if self.is(sym::LPAREN) || self.is(sym::LBRACE) {
                let args = self.init_arguments()?;
                if args.is_empty() && self.is_aggregate(record) {
                    let span = self.span(start);
                    self.zero_fill(&place, ty, span);
                }
                return self.construct(place, record, args, start);
            }
            return self.default_construct(place, record, start, 0);
        }
        if !self.is(sym::LPAREN) && !self.is(sym::LBRACE) {
            return Ok(());
        }
        let value = match self.init_arguments()?.pop() {
            Some(value) => value,
            None if self.types.is_pointer(ty) => V::R(Operand::Null, ty),
            None => V::int(0),
        };
        let span = self.span(start);
        let value = self.coerce(value, ty, span)?;
        self.store(place, value, ty, span);
        Ok(())
    }

    pub(crate) fn delete_expression(&mut self) -> Res<V> {
        let start = self.at;
        self.at += 1;
        let is_array = self.is(sym::LBRACKET) && self.peek_at(1).is(sym::RBRACKET);
        self.at += if is_array { 2 } else { 0 };
        self.enter()?;
        let value = self.unary();
        self.leave();
        let value = value?;
        let ty = self.type_of(&value);
        let value = match self.types.as_record(ty) {
            Some(_) => {
                let span = self.span(start);
                V::R(self.coerce_from_class(value, Types::VOID_POINTER, span)?, Types::VOID_POINTER)
            }
            None => value,
        };
        let (pointer, ty) = self.rvalue_here(value, start);
        let span = self.span(start);
        let of = self.types.target(ty).unwrap_or(Types::UNKNOWN);
        let family = self.m.name(if is_array { "new[]" } else { "new" });
        if !self.needs_destruction(of) || !self.is_reachable() {
            self.push(OpKind::Free { family, value: pointer }, span);
            return Ok(V::void());
        }
        // Nothing is destroyed at a null pointer.
        let condition = self.op(span, |to| OpKind::Binary {
            to,
            op: Binary::NotEqual,
            left: pointer,
            right: Operand::Null,
        });
        let (then, other) = (self.block(), self.block());
        self.end(End::Branch { condition, then, other }, span);
        self.switch_to(then);
        self.destroy_pointee(pointer, of, is_array, span);
        self.push(OpKind::Free { family, value: pointer }, span);
        self.flow_to(other, span);
        Ok(V::void())
    }

    fn destroy_pointee(&mut self, pointer: Operand, of: T, is_array: bool, span: Span) {
        let Some(record) = self.types.as_record(of) else { return };
        if is_array {
            let stride = self.types.size(of).unwrap_or(1).max(1);
            let step = Step::Index { index: Operand::Opaque, stride };
            return self.destroy(with_step(Place::at(pointer), step), of, span, 0);
        }
        let is_virtual =
            self.types.record(record).destructor.is_some_and(|it| self.funcs[it.0 as usize].is_virtual)
                || self.has_virtual_destructor(record, 0);
        if is_virtual {
            let name = self.m.name("~");
            let class = Some(self.types.record(record).name);
            self.emit_call_op(
                Callee::Method { receiver: pointer, name, class },
                Types::VOID,
                Vec::new(),
                span,
            );
            return;
        }
        self.destroy(Place::at(pointer), of, span, 0);
    }

    fn has_virtual_destructor(&self, record: RecordId, depth: u32) -> bool {
        let it = self.types.record(record);
        depth < 16
            && (it.destructor.is_some_and(|it| self.funcs[it.0 as usize].is_virtual)
                || it.bases.iter().any(|base| self.has_virtual_destructor(base.0, depth + 1)))
    }

    // Exceptions.

    /// Changes where exceptions of what comes go.
    fn set_unwind(
        &mut self,
        to: Option<heapwise_check::ir::BlockId>,
        span: Span,
    ) -> Option<heapwise_check::ir::BlockId> {
        let before = self.body.fb.current();
        let outer = self.body.fb.set_unwind(to, span);
        if let Some(block) = before
            && self.body.fb.current() != before
        {
            self.body.is_ended[block.index()] = true;
        }
        let count = self.body.fb.function.blocks.len();
        self.body.is_ended.resize(count, false);
        outer
    }

    /// From here on an exception destroys the newest local.
    pub(crate) fn open_pad(&mut self, local: LocalId, ty: T) {
        if !self.is_reachable() {
            return;
        }
        let span = self.token_span(self.at.saturating_sub(1));
        let block = self.block();
        let depth = self.body.cleanups.len();
        let outer = self.set_unwind(Some(block), span);
        self.body.pads.push(Pad { block, depth, outer, is_handler: false, local: Some((local, ty)) });
    }

    /// The scopes beyond `depth` end: their ways of exceptions are written.
    pub(crate) fn close_pads(&mut self, depth: usize, span: Span) {
        while let Some(pad) = self.body.pads.last().copied().filter(|it| it.depth > depth && !it.is_handler) {
            self.body.pads.pop();
            let cleanup = pad.local.map(|(local, ty)| Cleanup { local, ty, action: Action::Destroy });
            self.set_unwind(pad.outer, span);
            let current = self.body.fb.suspend();
            self.switch_to(pad.block);
            self.op(span, |to| OpKind::Caught { to });
            if let Some(cleanup) = cleanup {
                self.clean(&cleanup, span);
            }
            self.end(End::Resume, span);
            if let Some(block) = current {
                self.switch_to(block);
            }
        }
    }

    /// After an error.
    pub(crate) fn drop_pad(&mut self) {
        if let Some(pad) = self.body.pads.pop() {
            self.set_unwind(pad.outer, Span::NONE);
        }
    }

    pub(crate) fn throw_expression(&mut self) -> Res<V> {
        let start = self.at;
        self.at += 1;
        let is_bare = matches!(self.peek().text, sym::SEMI | sym::RPAREN | sym::COLON | sym::COMMA)
            && self.peek().kind == Kind::Punct;
        if is_bare {
            let span = self.span(start);
            self.end(End::Resume, span);
            return Ok(V::void());
        }
        let value = self.assignment()?;
        let span = self.span(start);
        let ty = self.type_of(&value);
        let value =
            if self.types.as_record(ty).is_some() { Operand::Opaque } else { self.rvalue(value, span).0 };
        self.body.temporaries.clear();
        self.end(End::Raise(value), span);
        Ok(V::void())
    }

    pub(crate) fn try_statement(&mut self) -> Res<()> {
        let start = self.at;
        self.at += 1;
        let span = self.span(start);
        let handler = self.block();
        let after = self.block();
        let depth = self.body.cleanups.len();
        let is_live = self.is_reachable();
        let outer = self.set_unwind(Some(handler), span);
        self.body.pads.push(Pad { block: handler, depth, outer, is_handler: true, local: None });
        self.block_statement()?;
        self.body.pads.pop();
        self.set_unwind(outer, span);
        self.end(End::Goto(after), span);
        if !is_live {
            self.body.fb.suspend();
        } else {
            self.switch_to(handler);
        }
        let caught = self.op(span, |to| OpKind::Caught { to });
        while self.is(sym::CATCH) {
            self.catch(caught, after)?;
        }
        self.end(End::Unreachable, span);
        self.switch_to(after);
        Ok(())
    }

    /// One handler; the last one takes what comes.
    fn catch(&mut self, caught: Operand, after: heapwise_check::ir::BlockId) -> Res<()> {
        let start = self.at;
        self.at += 1;
        let mark = self.open_scope();
        let depth = self.body.cleanups.len();
        let body_at = self.after_close(self.at);
        let is_last = !self.tokens[self.after_close(body_at)].is(sym::CATCH);
        let span = self.span(start);
        let mut next = None;
        if !is_last && self.is_reachable() {
            let (then, other) = (self.block(), self.block());
            self.end(End::Branch { condition: Operand::Opaque, then, other }, span);
            self.switch_to(then);
            next = Some(other);
        }
        self.expect(sym::LPAREN)?;
        if !self.eat(sym::ELLIPSIS) {
            let spec = self.specifiers()?;
            let d = self.declarator(spec.ty, Naming::Optional)?;
            let name = d.name.map_or(Name(0), |it| self.name(it));
            let ir_ty = self.ir_type(d.ty);
            let local = self.body.fb.local(name, ir_ty, span);
            self.push(OpKind::Live { local }, span);
            let value = if self.types.as_record(d.ty).is_some() { Operand::Opaque } else { caught };
            self.store(Place::local(local), value, d.ty, span);
            if let Some(name) = d.name {
                self.bind(name, Entity::Local(local, d.ty));
            }
            self.body.cleanups.push(Cleanup { local, ty: d.ty, action: Action::Nothing });
        }
        self.expect(sym::RPAREN)?;
        self.block_statement()?;
        self.end_scope(depth);
        self.close_scope(mark);
        self.end(End::Goto(after), span);
        if let Some(next) = next {
            self.switch_to(next);
        }
        Ok(())
    }

    // Statements.

    /// A condition, which may declare a variable.
    pub(crate) fn cpp_condition(&mut self) -> Res<V> {
        let start = self.at;
        // `if (init; condition)`
        let close = self.after_close(self.at.saturating_sub(1));
        let mut at = self.at;
        let mut split = None;
        while at < close.saturating_sub(1) {
            if self.tokens[at].is(sym::SEMI) {
                split = Some(at);
                break;
            }
            at = if self.tokens[at].is(sym::LPAREN)
                || self.tokens[at].is(sym::LBRACE)
                || self.tokens[at].is(sym::LBRACKET)
            {
                self.after_close(at)
            } else {
                at + 1
            };
        }
        if split.is_some() && self.tokens[start - 1].is(sym::LPAREN) && !self.tokens[start - 2].is(sym::FOR) {
            if self.is_declaration() {
                self.declaration(false)?;
            } else if !self.eat(sym::SEMI) {
                let value = self.expression()?;
                self.discard(value);
                self.expect(sym::SEMI)?;
            }
        }
        if !self.is_declaration() {
            return self.expression();
        }
        let spec = self.specifiers()?;
        let d = self.declarator(spec.ty, Naming::Required)?;
        let name = d.name.ok_or(Bad)?;
        self.local_variable(name, d.name_at, d.ty, false, None)?;
        let token = self.tokens[d.name_at];
        Ok(self.name_value(token, d.name_at))
    }

    pub(crate) fn is_range_for(&self) -> bool {
        let end = self.after_close(self.at) - 1;
        let mut at = self.at + 1;
        let mut questions = 0;
        while at < end {
            let token = self.tokens[at];
            if token.kind == Kind::Punct {
                match token.text {
                    sym::SEMI => return false,
                    sym::QUESTION => questions += 1,
                    sym::COLON if questions == 0 => return true,
                    sym::COLON => questions -= 1,
                    sym::LPAREN | sym::LBRACKET | sym::LBRACE => {
                        at = self.after_close(at);
                        continue;
                    }
                    _ => {}
                }
            }
            at += 1;
        }
        false
    }

    /// `for (T x : range)`.
    pub(crate) fn range_for(&mut self, start: usize) -> Res<()> {
        let close = self.after_close(self.at);
        self.expect(sym::LPAREN)?;
        let decl_at = self.at;
        while !self.is(sym::COLON) {
            if self.is(sym::LBRACKET) || self.is(sym::LPAREN) {
                self.skip_brackets();
            } else if self.next().kind == Kind::End {
                return Err(Bad);
            }
        }
        self.at += 1;
        let range = if self.is(sym::LBRACE) { self.braced_argument()? } else { self.expression()? };
        let range = self.settled(range);
        let span = self.span(start);
        let range_ty = self.type_of(&range);
        // The range lives as long as the loop.
        if let V::Temp(local, ty) = range {
            self.forget_temporary(local);
            self.body.cleanups.push(Cleanup { local, ty, action: Action::Destroy });
        }
        let place = self.place_of(range, span);
        let index = self.temporary(Types::LONG, span);
        let is_array = matches!(self.types.get(range_ty), Ty::Array(..));
        if is_array {
            self.push(OpKind::Live { local: index }, span);
            self.store(Place::local(index), Operand::Int(0), Types::LONG, span);
        }
        let (head, step, body, after) = (self.block(), self.block(), self.block(), self.block());
        self.flow_to(head, span);
        let length = match self.types.get(range_ty) {
            Ty::Array(_, Some(length)) => Some(length),
            _ => None,
        };
        let condition = match length {
            Some(length) => {
                let at = self.load(Place::local(index), Types::LONG, span);
                let right = Operand::Int(length as i64);
                self.op(span, |to| OpKind::Binary { to, op: Binary::Less, left: at, right })
            }
            None => Operand::Opaque,
        };
        self.end(End::Branch { condition, then: body, other: after }, span);
        self.switch_to(body);
        let mark = self.open_scope();
        let depth = self.body.cleanups.len();
        let element = self.range_element(&place, range_ty, index, span)?;
        self.at = decl_at;
        self.range_variable(element, start)?;
        self.at = close;
        self.body.breaks.push((after, depth));
        self.body.continues.push((step, depth));
        self.statement()?;
        self.body.breaks.pop();
        self.body.continues.pop();
        self.end_scope(depth);
        self.close_scope(mark);
        self.flow_to(step, span);
        if is_array {
            let at = self.load(Place::local(index), Types::LONG, span);
            let next =
                self.op(span, |to| OpKind::Binary { to, op: Binary::Add, left: at, right: Operand::Int(1) });
            self.store(Place::local(index), next, Types::LONG, span);
        }
        self.end(End::Goto(head), span);
        self.switch_to(after);
        Ok(())
    }

    fn range_element(&mut self, place: &Place, ty: T, index: LocalId, span: Span) -> Res<V> {
        if let Ty::Array(of, _) = self.types.get(ty) {
            let stride = self.types.size(of).unwrap_or(1).max(1);
            let at = self.load(Place::local(index), Types::LONG, span);
            return Ok(V::Place(with_step(place.clone(), Step::Index { index: at, stride }), of, None));
        }
        let Some(record) = self.types.as_record(ty) else { return Ok(V::unknown()) };
        let name = self.symbols.intern(b"begin");
        let value = self.method(place.clone(), Some(record), name, false, span);
        let V::Method(method) = value else { return Ok(V::unknown()) };
        let start = self.at.saturating_sub(1);
        let begin = self.call_method(*method, Vec::new(), start)?;
        self.dereference(begin, start)
    }

    fn range_variable(&mut self, element: V, start: usize) -> Res<()> {
        let spec = self.specifiers()?;
        let mut is_reference = false;
        let mark = self.at;
        while self.is(sym::AMP) || self.is(sym::AND_AND) {
            is_reference = true;
            self.at += 1;
        }
        if self.is(sym::LBRACKET) {
            self.at += 1;
            let mut names = Vec::new();
            while !self.eat(sym::RBRACKET) {
                let token = self.next();
                if token.kind == Kind::End {
                    return Err(Bad);
                }

                if self.is_name(token) {
                    names.push((token.text, self.at - 1));
                }
            }
            let _ = is_reference;
            return self.bind_parts(names, element, start);
        }
        self.at = mark;
        let d = self.declarator(spec.ty, Naming::Required)?;
        let name = d.name.ok_or(Bad)?;
        let span = self.token_span(d.name_at);
        let element_ty = self.type_of(&element);
        let ty = if self.is_auto(d.ty) { self.deduced(d.ty, element_ty) } else { d.ty };
        let text = self.name(name);
        let ir_ty = self.ir_type(ty);
        let local = self.body.fb.local(text, ir_ty, span);
        self.push(OpKind::Live { local }, span);
        self.bind(name, Entity::Local(local, ty));
        match (self.types.get(ty), self.types.as_record(ty)) {
            (Ty::Reference(target), _) => {
                let address = self.bind_reference(element, target, span)?;
                self.store(Place::local(local), address, ty, span);
            }
            (_, Some(record)) => self.construct(Place::local(local), record, vec![element], d.name_at)?,
            _ => {
                let value = self.coerce(element, ty, span)?;
                self.store(Place::local(local), value, ty, span);
            }
        }
        let action = if self.needs_destruction(ty) { Action::Destroy } else { Action::Nothing };
        self.body.cleanups.push(Cleanup { local, ty, action });
        Ok(())
    }

    /// The value that a function of C++ returns.
    pub(crate) fn returned_cpp(&mut self, start: usize) -> Res<Option<Operand>> {
        let ret = self.body.ret;
        if self.is(sym::LBRACE) {
            let value = self.braced_value(ret)?;
            let span = self.span(start);
            return self.coerce(value, ret, span).map(Some);
        }
        if matches!(self.types.get(ret), Ty::Reference(..)) {
            let parens = (0..).take_while(|it| self.peek_at(*it).is(sym::LPAREN)).count();
            self.place_wanted = Some(self.at + parens);
        }
        let value = self.expression()?;
        self.place_wanted = None;
        let value = self.settled(value);
        let span = self.span(start);
        if matches!(self.types.get(ret), Ty::Void) {
            self.discard(value);
            return Ok(None);
        }
        let ty = self.type_of(&value);
        if self.body.is_ret_deduced {
            let (value, _) = self.rvalue(value, span);
            return Ok(Some(value));
        }
        // A local that is returned is moved out: nothing is left to destroy.
        if let V::Place(place, of, None) = &value
            && *of == ret
            && self.types.as_record(ret).is_some()
            && place.steps.is_empty()
            && let Base::Local(local) = place.base
            && self.body.cleanups.iter().any(|it| it.local == local)
        {
            let result = self.load(Place::local(local), ret, span);
            self.moved_out = Some(local);
            return Ok(Some(result));
        }
        let _ = ty;
        self.coerce(value, ret, span).map(Some)
    }

    // Lambdas.

    pub(crate) fn lambda(&mut self) -> Res<V> {
        let start = self.at;
        self.skip_brackets();
        if self.is(sym::LT) {
            self.at = self.skip_angles(self.at).ok_or(Bad)?;
        }
        let mut params = Vec::new();
        let mut ret = Types::AUTO;
        if self.is(sym::LPAREN) {
            let (list, _, _) = self.parameters()?;
            params = list;
        }
        let mut d = self.blank_declarator();
        while self.eat(sym::MUTABLE) || self.eat(sym::CONSTEXPR) {}
        self.function_suffixes(&mut d, &mut ret)?;
        if !self.is(sym::LBRACE) {
            return Err(Bad);
        }
        let end = self.after_close(self.at);
        if !self.is_in_function() || !self.is_reachable() {
            self.at = end;
            return Ok(V::unknown());
        }
        let span = self.token_span(start);
        let parent = match self.body.id {
            Some(id) => id,
            None => {
                let id = self.m.reserve();
                self.body.id = Some(id);
                id
            }
        };
        let id = self.m.reserve();
        self.body.statics += 1;
        let text = format!("{}::<lambda {}>", self.body.name, self.body.statics);
        let name = self.m.name(&text);
        let mut fb = FunctionBuilder::new(name, span);
        fb.function.is_external = false;
        fb.function.parent = Some(parent);
        let mark = self.open_scope();
        let depth = std::mem::take(&mut self.depth);
        let mut body = Body::new(fb, ret, mark);
        body.is_function = true;
        body.is_ret_deduced = ret == Types::AUTO;
        body.name = text;
        body.id = Some(id);
        let outer = std::mem::replace(&mut self.body, Box::new(body));
        self.outer.push((parent, outer.base, outer.this));
        for param in params {
            let ty = if self.is_auto(param.ty) { Types::UNKNOWN } else { param.ty };
            self.parameter(crate::decl::Param { ty, ..param });
        }
        self.depth = depth + 4;
        let result = if self.depth < crate::lower::MAX_DEPTH { self.block_statement() } else { Err(Bad) };
        self.depth = depth;
        if result.is_err() {
            self.error();
            self.body.has_error = true;
        }
        self.at = end;
        self.finish_body();
        self.close_scope(mark);
        let span = self.span(start);
        self.outer.pop();
        let mut body = std::mem::replace(&mut self.body, outer);
        body.fb.function.span = span;
        self.m.fill(id, body.fb);
        let value = self.op(span, |to| OpKind::Closure { to, function: id });
        Ok(V::R(value, Types::UNKNOWN))
    }

    /// `this` of the method around a lambda.
    fn outer_this(&self) -> Option<(LocalId, RecordId)> {
        self.outer.iter().rev().find_map(|it| it.2)
    }

    /// A local of the function around, or of the one that has `this`.
    pub(crate) fn outer_base(&mut self, local: LocalId) -> Base {
        match self.outer.last() {
            Some((function, _, _)) => Base::Outer(*function, local),
            None => Base::Local(local),
        }
    }

    /// The function around whose local this is, by the position of its binding.
    pub(crate) fn outer_of(&self, local: LocalId, binding: usize) -> Base {
        let owner = self.outer.iter().rev().find(|it| it.1 <= binding);
        match owner.or(self.outer.first()) {
            Some((function, _, _)) => Base::Outer(*function, local),
            None => Base::Local(local),
        }
    }
}

/// Names of types within classes of the library.
fn is_type_member(name: &str) -> bool {
    matches!(
        name,
        "iterator"
            | "const_iterator"
            | "reverse_iterator"
            | "const_reverse_iterator"
            | "size_type"
            | "value_type"
            | "key_type"
            | "mapped_type"
            | "pointer"
            | "reference"
            | "const_reference"
            | "difference_type"
            | "element_type"
            | "type"
    )
}
