//! Declarations: specifiers, declarators, records, enumerations, variables, functions.

use crate::expr::V;
use crate::init;
use crate::lex::Kind;
use crate::literal;
use crate::lower::{Action, Bad, Body, Cleanup, Context, Entity, Func, FuncId, Lower, Res, SetId};
use crate::symbols::{Sym, sym};
use crate::types::{FieldInfo, Record, RecordId, Signature, T, Ty, Types, round_up};
use heapwise_check::build::FunctionBuilder;
use heapwise_check::ir::{Base, Class, End, Field, Global, Name, OpKind, Operand, Place, Span};
use rustc_hash::FxHashMap;

/// What attributes say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    /// Those that concern memory, as text.
    pub(crate) names: Vec<Name>,
    pub(crate) is_noreturn: bool,
    pub(crate) cleanup: Option<Sym>,
    pub(crate) is_packed: bool,
    pub(crate) aligned: Option<u64>,
    /// A library's class of this size.
    pub(crate) opaque: Option<u64>,
    pub(crate) vector: Option<u64>,
    pub(crate) mode_bytes: Option<u8>,
}

/// What stands before declarators.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) ty: T,
    /// No type was written: a constructor, a conversion, or an `int` of old.
    pub(crate) has_no_type: bool,
    pub(crate) is_typedef: bool,
    pub(crate) is_extern: bool,
    pub(crate) is_static: bool,
    pub(crate) is_inline: bool,
    pub(crate) is_const: bool,
    pub(crate) is_virtual: bool,
    pub(crate) is_friend: bool,
    pub(crate) attributes: Attributes,
    pub(crate) start: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) name: Option<Sym>,
    pub(crate) ty: T,
    pub(crate) at: usize,
    pub(crate) has_default: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Declarator {
    pub(crate) name: Option<Sym>,
    pub(crate) name_at: usize,
    pub(crate) ty: T,
    /// Of the function that the name itself is.
    pub(crate) params: Option<Vec<Param>>,
    pub(crate) attributes: Attributes,
    /// `Class::` or `ns::` before the name.
    pub(crate) scope: Option<Context>,
    pub(crate) is_destructor: bool,
    pub(crate) is_pack: bool,
    pub(crate) is_const: bool,
    pub(crate) is_pointer_const: bool,
    pub(crate) vla_length: Option<Operand>,
}

/// Which names a declarator may have.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Naming {
    Required,
    Optional,
    /// A type's name: none.
    None,
}

impl Lower {
    // External declarations.

    /// One declaration at file, namespace or class scope; a broken one is left out.
    pub(crate) fn external(&mut self) {
        let start = self.at;
        let (depth, scope_depth, context, angle) =
            (self.depth, self.scope_depth, self.context.len(), self.angle_depth);
        let mark = self.mark();
        if self.external_declaration().is_err() {
            self.error();
            self.depth = depth;
            self.angle_depth = angle;
            self.context.truncate(context);
            self.scope_depth = scope_depth;
            self.unbind(mark);
            self.recover_external(start);
        }
        if self.at == start {
            self.at += 1;
        }
        if self.context.len() == 1 {
            self.run_pending();
        }
    }

    /// Moves past the broken declaration that began at `start`.
    fn recover_external(&mut self, start: usize) {
        self.at = self.at.max(start);
        loop {
            let token = self.peek();
            match token.text {
                _ if token.kind == Kind::End => return,
                _ if token.kind != Kind::Punct => self.at += 1,
                sym::SEMI => {
                    self.at += 1;
                    return;
                }
                sym::LBRACE => {
                    self.skip_brackets();
                    self.eat(sym::SEMI);
                    return;
                }
                sym::RBRACE => {
                    if self.context.len() == 1 {
                        self.at += 1;
                    }
                    return;
                }
                sym::LPAREN | sym::LBRACKET => self.skip_brackets(),
                _ => self.at += 1,
            }
        }
    }

    fn external_declaration(&mut self) -> Res<()> {
        let token = self.peek();
        if token.kind == Kind::Pack {
            self.at += 1;
            let value = literal::number(self.symbols.bytes(token.text));
            self.pack = value.map_or(0, |it| it.value);
            return Ok(());
        }
        match token.text {
            sym::SEMI => {
                self.at += 1;
                return Ok(());
            }
            sym::ASM | sym::ASM_ | sym::ASM__ => {
                self.at += 1;
                while !self.is(sym::LPAREN) && self.peek().kind == Kind::Ident {
                    self.at += 1;
                }
                self.skip_brackets();
                return self.expect(sym::SEMI);
            }
            sym::STATIC_ASSERT_C | sym::STATIC_ASSERT
                if token.kind == Kind::Ident && self.peek_at(1).is(sym::LPAREN) =>
            {
                self.at += 1;
                self.skip_brackets();
                self.eat(sym::SEMI);
                return Ok(());
            }
            sym::EXTERN if self.peek_at(1).kind == Kind::String => return self.linkage(),
            sym::EXTENSION => self.at += 1,
            _ => {}
        }
        if self.is_cpp && self.cpp_external()? {
            return Ok(());
        }
        self.declaration(true)
    }

    fn linkage(&mut self) -> Res<()> {
        let before = self.is_c_linkage;
        self.is_c_linkage = self.symbols.bytes(self.peek_at(1).text) == b"\"C\"";
        self.at += 2;
        if self.eat(sym::LBRACE) {
            self.enter()?;
            while !self.is(sym::RBRACE) && self.peek().kind != Kind::End {
                self.external();
            }
            self.leave();
            self.expect(sym::RBRACE)?;
        } else {
            self.enter()?;
            self.external();
            self.leave();
        }
        self.is_c_linkage = before;
        Ok(())
    }

    /// A declaration, or at file scope a function's definition.
    pub(crate) fn declaration(&mut self, is_external: bool) -> Res<()> {
        if is_external && self.is_stray_macro() {
            return Ok(());
        }
        let mut spec = self.specifiers()?;
        if self.eat(sym::SEMI) {
            return Ok(());
        }
        let mut is_first = true;
        loop {
            if self.is_cpp && self.is(sym::LBRACKET) && !self.peek_at(1).is(sym::LBRACKET) {
                self.structured_binding(&spec)?;
                break;
            }
            let mut d = self.declarator(spec.ty, Naming::Required)?;
            spec.attributes.is_noreturn |= d.attributes.is_noreturn;
            self.asm_label();
            self.attributes(&mut d.attributes)?;
            if let Ty::Function(_) = self.types.get(d.ty)
                && !spec.is_typedef
            {
                let is_body =
                    self.is(sym::LBRACE) || (self.is_cpp && (self.is(sym::COLON) || self.is(sym::TRY)));
                if is_first && is_external && (is_body || self.is_old_style(&d)) {
                    return self.function_definition(&spec, d);
                }
                let func = self.declare_function(&spec, &d);
                if self.is_cpp && self.eat(sym::ASSIGN) {
                    let what = self.next();
                    self.funcs[func.0 as usize].is_deleted = what.is(sym::DELETE);
                }
            } else if spec.is_typedef {
                let ty = self.vector_type(d.ty, &spec.attributes, &d.attributes);
                self.define_typedef(&d, ty)?;
            } else {
                self.variable(&spec, d)?;
            }
            is_first = false;
            if !self.eat(sym::COMMA) {
                break;
            }
            let mut more = Attributes::default();
            self.attributes(&mut more)?;
        }
        self.expect(sym::SEMI)
    }

    /// A use of a macro whose definition was not found, where a declaration should be.
    fn is_stray_macro(&mut self) -> bool {
        let token = self.peek();
        if !self.is_name(token) || !self.peek_at(1).is(sym::LPAREN) || self.lookup(token.text).is_some() {
            return false;
        }
        let end = self.after_close(self.at + 1);
        let after = self.tokens[end.min(self.tokens.len() - 1)];
        if after.is(sym::SEMI) {
            self.at = end + 1;
            return true;
        }
        let is_macro = after.kind == Kind::Ident && !self.is_type_at(self.at + 2)
            || after.kind == Kind::End
            || after.is(sym::RBRACE);
        // `f(a, b) int a, b; {` is an old function, `MACRO(x) int f();` is not.
        let has_names_only = (self.at + 2..end - 1).all(|it| {
            let it = self.tokens[it];
            self.is_name(it) || it.is(sym::COMMA)
        });
        if is_macro && (!has_names_only || !self.is_old_body(end)) {
            self.at = end;
            return true;
        }
        false
    }

    /// Whether declarations and then a body follow at `at`, as in functions of old.
    fn is_old_body(&self, at: usize) -> bool {
        for index in at..(at + 200).min(self.tokens.len()) {
            let token = self.tokens[index];
            if token.is(sym::LBRACE) {
                return self.tokens[index - 1].is(sym::SEMI);
            }
            if token.is(sym::LPAREN) || token.is(sym::ASSIGN) {
                return false;
            }
        }
        false
    }

    fn is_old_style(&self, d: &Declarator) -> bool {
        !self.is_cpp
            && d.params.is_some()
            && !self.is(sym::SEMI)
            && !self.is(sym::COMMA)
            && self.is_type_at(self.at)
    }

    pub(crate) fn asm_label(&mut self) {
        if matches!(self.peek().text, sym::ASM | sym::ASM_ | sym::ASM__) && self.peek_at(1).is(sym::LPAREN) {
            self.at += 1;
            self.skip_brackets();
        }
    }

    fn vector_type(&mut self, ty: T, a: &Attributes, b: &Attributes) -> T {
        if let Some(bytes) = a.mode_bytes.or(b.mode_bytes)
            && let Some((_, is_signed)) = self.types.integer(ty)
        {
            return self.types.add(Ty::Int { bytes, is_signed, is_char: false });
        }
        match a.vector.or(b.vector) {
            Some(bytes) => {
                let size = self.types.size(ty).unwrap_or(1).max(1);
                self.vector_record(ty, bytes / size, bytes)
            }
            None => ty,
        }
    }

    /// A vector of GNU C is copied like a record.
    fn vector_record(&mut self, _of: T, _count: u64, bytes: u64) -> T {
        let id = self.new_record(sym::EMPTY, false, self.at);
        let record = self.types.record_mut(id);
        (record.size, record.align, record.is_complete) = (bytes, bytes.clamp(1, 64), true);
        let class = record.class;
        self.m.class_mut(class).bytes = bytes;
        self.types.add(Ty::Record(id))
    }

    fn define_typedef(&mut self, d: &Declarator, ty: T) -> Res<()> {
        let name = d.name.ok_or(Bad)?;
        // `typedef struct {...} S` names the record.
        if let Some(id) = self.types.as_record(ty)
            && self.types.record(id).tag == sym::EMPTY
        {
            let qualified = format!("{}{}", self.prefix(), self.text(name));
            let class_name = self.m.name(&qualified);
            let record = self.types.record_mut(id);
            record.tag = name;
            record.name = class_name;
            let class = record.class;
            self.m.class_mut(class).name = class_name;
        }
        self.define(name, Entity::Typedef(ty));
        Ok(())
    }

    // Specifiers.

    pub(crate) fn is_type_at(&self, at: usize) -> bool {
        let token = self.tokens[at.min(self.tokens.len() - 1)];
        if token.kind != Kind::Ident {
            return self.is_cpp && token.is(sym::COLONS) && self.type_end(at).is_some();
        }
        if is_type_word(token.text) || (self.is_cpp && is_cpp_type_word(token.text)) {
            return true;
        }
        if self.is_keyword(token.text) {
            return false;
        }
        if self.is_cpp {
            return self.type_end(at).is_some();
        }
        matches!(self.lookup(token.text), Some(Entity::Typedef(_)))
    }

    /// Whether a declaration begins here.
    pub(crate) fn is_declaration(&self) -> bool {
        let token = self.peek();
        if token.kind != Kind::Ident {
            return self.is_cpp && token.is(sym::COLONS) && self.is_cpp_declaration();
        }
        match token.text {
            sym::TYPEDEF
            | sym::EXTERN
            | sym::STATIC
            | sym::REGISTER
            | sym::INLINE
            | sym::INLINE_
            | sym::INLINE__
            | sym::THREAD
            | sym::THREAD_LOCAL_C
            | sym::STATIC_ASSERT_C
            | sym::NORETURN
            | sym::ALIGNAS_C
            | sym::AUTO
            | sym::LABEL__
            | sym::AUTO_TYPE => return true,
            sym::ATTRIBUTE | sym::ATTRIBUTE__ => return true,
            sym::EXTENSION => return self.is_type_at(self.at + 1),
            _ => {}
        }
        if self.is_cpp {
            return self.is_cpp_declaration();
        }
        if self.is_type_at(self.at) {
            return !self.peek_at(1).is(sym::COLON) || self.is_keyword(token.text);
        }
        self.is_name(token) && self.lookup(token.text).is_none() && self.is_unknown_type()
    }

    /// Whether the unknown name here stands where a type would: `name x`, `name *x =`.
    pub(crate) fn is_unknown_type(&self) -> bool {
        let mut at = 1;
        while self.peek_at(at).is(sym::STAR) || self.peek_at(at).is(sym::CONST) {
            at += 1;
        }
        let name = self.peek_at(at);
        if !self.is_name(name) {
            return false;
        }
        let after = self.peek_at(at + 1);
        after.kind == Kind::Punct
            && matches!(after.text, sym::SEMI | sym::ASSIGN | sym::COMMA | sym::LBRACKET | sym::RPAREN)
            || (at == 1 && after.is(sym::LPAREN))
    }

    pub(crate) fn specifiers(&mut self) -> Res<Spec> {
        let mut spec = Spec {
            ty: Types::INT,
            has_no_type: true,
            is_typedef: false,
            is_extern: false,
            is_static: false,
            is_inline: false,
            is_const: false,
            is_virtual: false,
            is_friend: false,
            attributes: Attributes::default(),
            start: self.at,
        };
        let mut words = Words::default();
        loop {
            let token = self.peek();
            if token.kind != Kind::Ident {
                if self.is_cpp && token.is(sym::LBRACKET) && self.peek_at(1).is(sym::LBRACKET) {
                    self.attributes(&mut spec.attributes)?;
                    continue;
                }
                if self.is_cpp && token.is(sym::COLONS) && spec.has_no_type && words.is_empty() {
                    match self.type_specifier_name()? {
                        Some(ty) => {
                            (spec.ty, spec.has_no_type) = (ty, false);
                            continue;
                        }
                        None => break,
                    }
                }
                break;
            }
            let is_free = spec.has_no_type && words.is_empty();
            match token.text {
                sym::TYPEDEF => spec.is_typedef = true,
                sym::EXTERN => spec.is_extern = true,
                sym::STATIC => spec.is_static = true,
                sym::INLINE | sym::INLINE_ | sym::INLINE__ | sym::FORCEINLINE => spec.is_inline = true,
                sym::CONST | sym::CONST_ | sym::CONST__ => spec.is_const = true,
                sym::CONSTEXPR | sym::CONSTINIT | sym::CONSTEVAL if self.is_cpp => spec.is_const = true,
                sym::NORETURN => spec.attributes.is_noreturn = true,
                sym::VIRTUAL if self.is_cpp => spec.is_virtual = true,
                sym::FRIEND if self.is_cpp => spec.is_friend = true,
                sym::EXPLICIT if self.is_cpp => {
                    if self.peek_at(1).is(sym::LPAREN) {
                        self.at += 1;
                        self.skip_brackets();
                        continue;
                    }
                }
                sym::MUTABLE | sym::THREAD_LOCAL | sym::TYPENAME if self.is_cpp => {}
                sym::VOLATILE
                | sym::VOLATILE_
                | sym::VOLATILE__
                | sym::RESTRICT
                | sym::RESTRICT_
                | sym::RESTRICT__
                | sym::REGISTER
                | sym::THREAD
                | sym::THREAD_LOCAL_C
                | sym::EXTENSION
                | sym::CDECL
                | sym::STDCALL
                | sym::FASTCALL
                | sym::UNALIGNED
                | sym::COMPLEX
                | sym::COMPLEX_
                | sym::IMAGINARY => {}
                sym::ATTRIBUTE | sym::ATTRIBUTE__ | sym::DECLSPEC => {
                    self.attributes(&mut spec.attributes)?;
                    continue;
                }
                sym::ALIGNAS_C | sym::ALIGNAS if token.text == sym::ALIGNAS_C || self.is_cpp => {
                    self.at += 1;
                    self.skip_brackets();
                    continue;
                }
                sym::ATOMIC => {
                    if self.peek_at(1).is(sym::LPAREN) {
                        self.at += 2;
                        spec.ty = self.type_name()?;
                        spec.has_no_type = false;
                        self.expect(sym::RPAREN)?;
                        continue;
                    }
                }
                sym::AUTO => {
                    if self.is_cpp {
                        (spec.ty, spec.has_no_type) = (Types::AUTO, false);
                    }
                }
                sym::AUTO_TYPE => (spec.ty, spec.has_no_type) = (Types::AUTO, false),
                sym::TYPEOF | sym::TYPEOF_ | sym::TYPEOF__ | sym::TYPEOF_UNQUAL if is_free => {
                    self.at += 1;
                    (spec.ty, spec.has_no_type) = (self.type_of_parens()?, false);
                    continue;
                }
                sym::DECLTYPE if self.is_cpp && is_free => {
                    self.at += 1;
                    (spec.ty, spec.has_no_type) = (self.type_of_parens()?, false);
                    continue;
                }
                sym::STRUCT | sym::UNION => {
                    (spec.ty, spec.has_no_type) = (self.record_specifier()?, false);
                    continue;
                }
                sym::CLASS if self.is_cpp => {
                    (spec.ty, spec.has_no_type) = (self.record_specifier()?, false);
                    continue;
                }
                sym::ENUM => {
                    (spec.ty, spec.has_no_type) = (self.enum_specifier()?, false);
                    continue;
                }
                word if spec.has_no_type && words.add(word, self.is_cpp) => {}
                word if self.is_keyword(word) => break,
                _ if !is_free => break,
                _ if self.is_cpp => match self.type_specifier_name()? {
                    Some(ty) => {
                        (spec.ty, spec.has_no_type) = (ty, false);
                        continue;
                    }
                    None => break,
                },
                word => match self.lookup(word) {
                    Some(Entity::Typedef(ty)) => (spec.ty, spec.has_no_type) = (ty, false),
                    Some(_) => break,
                    None => match self.unknown_specifier() {
                        Some(true) => (spec.ty, spec.has_no_type) = (Types::UNKNOWN, false),
                        // A macro that is not known, such as one for visibility.
                        Some(false) => {}
                        None => break,
                    },
                },
            }
            self.at += 1;
        }
        if !words.is_empty() {
            (spec.ty, spec.has_no_type) = (words.ty(), false);
        }
        if spec.attributes.vector.is_some() || spec.attributes.mode_bytes.is_some() {
            let attributes = spec.attributes.clone();
            if !spec.is_typedef {
                spec.ty = self.vector_type(spec.ty, &attributes, &attributes);
            }
        }
        if self.at == spec.start && !self.is_name(self.peek()) && !(self.is_cpp && self.is_declarator_start())
        {
            return Err(Bad);
        }
        Ok(spec)
    }

    fn is_declarator_start(&self) -> bool {
        matches!(self.peek().text, sym::TILDE | sym::OPERATOR | sym::COLONS)
    }

    /// An unknown name among specifiers: a type (`true`), a macro (`false`), or the declared name itself.
    pub(crate) fn unknown_specifier(&mut self) -> Option<bool> {
        let next = self.peek_at(1);
        if next.kind == Kind::Ident && (self.is_type_at(self.at + 1) || is_declaration_word(next.text)) {
            // `UNKNOWN const x` is a type, `UNKNOWN int x` is not.
            let is_qualifier = matches!(next.text, sym::CONST | sym::VOLATILE | sym::RESTRICT);
            return Some(
                is_qualifier && (self.peek_at(2).kind != Kind::Ident || !self.is_type_at(self.at + 2)),
            );
        }
        if self.is_name(next) {
            let after = self.peek_at(2);
            // `MACRO type name`: a macro; `type name`: a type.
            return Some(!self.is_name(after));
        }
        let is_type = match next.text {
            sym::STAR | sym::COMMA | sym::RPAREN => true,
            sym::AMP | sym::AND_AND | sym::GT | sym::LBRACE => self.is_cpp,
            sym::LPAREN => self.peek_at(2).is(sym::STAR),
            _ => false,
        };
        is_type.then_some(true)
    }

    /// `(type)` or `(expression)` after `typeof`.
    fn type_of_parens(&mut self) -> Res<T> {
        self.expect(sym::LPAREN)?;
        let ty = if self.is_cpp && self.is(sym::AUTO) {
            self.at += 1;
            Types::AUTO
        } else if self.is_type_at(self.at) {
            self.type_name()?
        } else {
            self.type_of_expression()?
        };
        self.expect(sym::RPAREN)?;
        Ok(if self.is_cpp { ty } else { self.types.unreferenced(ty) })
    }

    pub(crate) fn attributes(&mut self, into: &mut Attributes) -> Res<()> {
        loop {
            let token = self.peek();
            if matches!(token.text, sym::ATTRIBUTE | sym::ATTRIBUTE__) && token.kind == Kind::Ident {
                self.at += 1;
                let end = self.after_close(self.at);
                self.attribute_list(into, self.at + 2, end.saturating_sub(2));
                self.at = end;
            } else if token.is(sym::DECLSPEC) && self.peek_at(1).is(sym::LPAREN) {
                self.at += 1;
                let end = self.after_close(self.at);
                self.attribute_list(into, self.at + 1, end.saturating_sub(1));
                self.at = end;
            } else if token.is(sym::LBRACKET) && self.peek_at(1).is(sym::LBRACKET) {
                let end = self.after_close(self.at);
                self.attribute_list(into, self.at + 2, end.saturating_sub(2));
                self.at = end;
            } else {
                return Ok(());
            }
        }
    }

    fn attribute_list(&mut self, into: &mut Attributes, from: usize, to: usize) {
        let mut at = from;
        while at < to {
            let token = self.tokens[at];
            at += 1;
            let has_args = at < to && self.tokens[at].is(sym::LPAREN);
            let args = if has_args { at + 1..self.after_close(at) - 1 } else { at..at };
            if has_args {
                at = self.after_close(at);
            }
            let first_number =
                args.clone().next().and_then(|it| literal::number(self.symbols.bytes(self.tokens[it].text)));
            match token.text {
                sym::A_NORETURN | sym::A_NORETURN_ | sym::NORETURN => into.is_noreturn = true,
                sym::A_CLEANUP | sym::A_CLEANUP_ => {
                    into.cleanup = args.clone().next().map(|it| self.tokens[it].text);
                }
                sym::A_PACKED | sym::A_PACKED_ => into.is_packed = true,
                sym::A_ALIGNED | sym::A_ALIGNED_ => {
                    into.aligned = Some(first_number.map_or(16, |it| it.value))
                }
                sym::A_OPAQUE => into.opaque = Some(first_number.map_or(0, |it| it.value)),
                sym::A_VECTOR_SIZE | sym::A_VECTOR_SIZE_ => into.vector = first_number.map(|it| it.value),
                sym::A_MODE | sym::A_MODE_ => {
                    let word =
                        args.clone().next().map(|it| self.text(self.tokens[it].text)).unwrap_or_default();
                    into.mode_bytes = match word.trim_matches('_') {
                        "QI" | "byte" => Some(1),
                        "HI" => Some(2),
                        "SI" => Some(4),
                        "DI" | "word" | "pointer" => Some(8),
                        "TI" => Some(16),
                        _ => None,
                    };
                }
                _ => {}
            }
            if concerns_memory(token.text) {
                let mut text = self.text(token.text).trim_matches('_').to_string();
                if has_args {
                    let words: Vec<String> = args.map(|it| self.text(self.tokens[it].text)).collect();
                    text = format!("{text}({})", words.concat());
                }
                into.names.push(self.m.name(&text));
            }
        }
    }

    // Declarators.

    /// A type's name, as in casts.
    pub(crate) fn type_name(&mut self) -> Res<T> {
        let spec = self.specifiers()?;
        Ok(self.declarator(spec.ty, Naming::None)?.ty)
    }

    pub(crate) fn declarator(&mut self, base: T, naming: Naming) -> Res<Declarator> {
        self.enter()?;
        let result = self.declarator_inner(base, naming);
        self.leave();
        result
    }

    fn declarator_inner(&mut self, base: T, naming: Naming) -> Res<Declarator> {
        let mut ty = base;
        let mut attributes = Attributes::default();
        let mut is_pointer_const = false;
        loop {
            let token = self.peek();
            if token.is(sym::STAR) {
                ty = self.types.pointer(ty);
                is_pointer_const = false;
            } else if self.is_cpp && (token.is(sym::AMP) || token.is(sym::AND_AND)) {
                ty = self.types.reference(ty);
            } else if token.is(sym::CARET) {
                ty = self.types.pointer(ty);
            } else if self.is_cpp && self.is_member_pointer() {
                while !self.is(sym::STAR) {
                    self.at += 1;
                }
                ty = Types::UNKNOWN;
            } else if matches!(token.text, sym::CONST | sym::CONST_ | sym::CONST__)
                && token.kind == Kind::Ident
            {
                is_pointer_const = true;
            } else if token.kind == Kind::Ident && is_qualifier(token.text) {
            } else if matches!(token.text, sym::ATTRIBUTE | sym::ATTRIBUTE__ | sym::DECLSPEC) {
                self.attributes(&mut attributes)?;
                continue;
            } else {
                break;
            }
            self.at += 1;
        }
        if self.is(sym::LPAREN) && self.is_nested_declarator(naming) {
            let inner = self.at + 1;
            self.skip_brackets();
            let mut outer = self.new_declarator(ty, attributes);
            self.suffixes(&mut outer, Naming::None)?;
            let end = self.at;
            self.at = inner;
            let mut d = self.declarator(outer.ty, naming)?;
            self.expect(sym::RPAREN)?;
            self.at = end;
            // `int (f)(void)`: the parentheses add nothing.
            if d.params.is_none() && d.ty == outer.ty {
                d.params = outer.params;
            }
            d.attributes.is_noreturn |= outer.attributes.is_noreturn;
            return Ok(d);
        }
        let mut d = self.new_declarator(ty, attributes);
        d.is_pointer_const = is_pointer_const;
        if self.is_cpp && self.eat(sym::ELLIPSIS) {
            d.is_pack = true;
        }
        if naming != Naming::None {
            if self.is_cpp {
                self.cpp_declarator_name(&mut d)?;
            } else if self.is_name(self.peek()) {
                d.name = Some(self.peek().text);
                if self.is_name(self.peek_at(1)) && self.lookup(self.peek().text).is_none() {
                    // A macro that is not known, such as one for `const`.
                    self.at += 1;
                    d.name = Some(self.peek().text);
                }
                d.name_at = self.at;
                self.at += 1;
            }
            if d.name.is_none() && naming == Naming::Required {
                return Err(Bad);
            }
        }
        self.attributes(&mut d.attributes)?;
        let context = self.context.len();
        let entered = d.scope.is_some();
        if let Some(scope) = d.scope {
            self.enter_scope_of(scope);
        }
        let result = self.suffixes(&mut d, naming);
        if entered {
            self.context.truncate(context);
        }
        result?;
        Ok(d)
    }

    fn new_declarator(&self, ty: T, attributes: Attributes) -> Declarator {
        Declarator {
            name: None,
            name_at: self.at,
            ty,
            params: None,
            attributes,
            scope: None,
            is_destructor: false,
            is_pack: false,
            is_const: false,
            is_pointer_const: false,
            vla_length: None,
        }
    }

    /// Whether the parenthesis here encloses a declarator, not parameters.
    fn is_nested_declarator(&self, naming: Naming) -> bool {
        let next = self.peek_at(1);
        match next.text {
            sym::STAR | sym::CARET | sym::LPAREN if next.kind == Kind::Punct => {
                !(next.is(sym::LPAREN) && naming == Naming::None && self.is_type_at(self.at + 2))
            }
            sym::AMP | sym::AND_AND if next.kind == Kind::Punct => self.is_cpp,
            sym::LBRACKET => naming == Naming::None || naming == Naming::Optional,
            sym::ATTRIBUTE | sym::ATTRIBUTE__ | sym::CDECL | sym::STDCALL | sym::FASTCALL => true,
            _ if self.is_cpp && self.is_member_pointer_at(self.at + 1) => true,
            _ => {
                naming != Naming::None
                    && self.is_name(next)
                    && !self.is_type_at(self.at + 1)
                    && (self.peek_at(2).is(sym::RPAREN)
                        || self.peek_at(2).is(sym::LBRACKET)
                        || self.peek_at(2).is(sym::LPAREN))
                    && !(naming == Naming::Optional
                        && self.lookup(next.text).is_none()
                        && self.peek_at(2).is(sym::RPAREN)
                        && !self.peek_at(3).is(sym::LPAREN))
            }
        }
    }

    /// Brackets and parameter lists after a declarator.
    fn suffixes(&mut self, d: &mut Declarator, naming: Naming) -> Res<()> {
        if self.is(sym::LBRACKET) && !self.peek_at(1).is(sym::LBRACKET) {
            let mut lengths = Vec::new();
            while self.is(sym::LBRACKET) {
                lengths.push(self.array_length(d)?);
            }
            for length in lengths.into_iter().rev() {
                d.ty = match length {
                    Some(length) => self.types.array(d.ty, length),
                    None => self.types.add(Ty::Vla(d.ty)),
                };
            }
            return Ok(());
        }
        if !self.is(sym::LPAREN) {
            return Ok(());
        }
        if self.is_cpp && naming != Naming::None && !self.is_parameter_list(d) {
            return Ok(());
        }
        let (params, is_variadic, is_unknown) = self.parameters()?;
        let mut ret = d.ty;
        if self.is_cpp {
            self.function_suffixes(d, &mut ret)?;
        }
        let signature = Signature {
            ret: Some(ret),
            params: params.iter().map(|it| it.ty).collect(),
            is_variadic,
            is_unknown,
        };
        d.ty = self.types.function(signature);
        d.params = Some(params);
        // A function that returns a pointer to a function: `int (*f(int))(char)`.
        Ok(())
    }

    /// `Some(None)`: unknown length; `None`: known only at run time.
    #[allow(clippy::option_option)]
    fn array_length(&mut self, d: &mut Declarator) -> Res<Option<Option<u64>>> {
        self.expect(sym::LBRACKET)?;
        let angle = std::mem::take(&mut self.angle_depth);
        while self.peek().kind == Kind::Ident
            && (is_qualifier(self.peek().text) || matches!(self.peek().text, sym::STATIC | sym::CONST))
        {
            self.at += 1;
        }
        if self.eat(sym::RBRACKET) {
            self.angle_depth = angle;
            return Ok(Some(None));
        }
        if self.is(sym::STAR) && self.peek_at(1).is(sym::RBRACKET) {
            self.at += 2;
            self.angle_depth = angle;
            return Ok(None);
        }
        let start = self.at;
        let value = self.constant()?;
        if let Some(value) = value {
            self.expect(sym::RBRACKET)?;
            self.angle_depth = angle;
            return Ok(Some(Some(u64::try_from(value).unwrap_or(0))));
        }
        if !self.is_in_function() || !self.is_reachable() {
            self.at = start;
            self.skip_to_bracket();
            self.expect(sym::RBRACKET)?;
            self.angle_depth = angle;
            return Ok(if self.is_in_function() { None } else { Some(None) });
        }
        self.at = start;
        let value = self.assignment()?;
        let (value, _) = self.rvalue_here(value, start);
        let span = self.span(start);
        d.vla_length = Some(match d.vla_length {
            Some(before) => self.op(span, |to| OpKind::Binary {
                to,
                op: heapwise_check::ir::Binary::Multiply,
                left: before,
                right: value,
            }),
            None => value,
        });
        self.expect(sym::RBRACKET)?;
        self.angle_depth = angle;
        Ok(None)
    }

    fn skip_to_bracket(&mut self) {
        while !self.is(sym::RBRACKET) && self.peek().kind != Kind::End {
            if self.is(sym::LPAREN) || self.is(sym::LBRACKET) || self.is(sym::LBRACE) {
                self.skip_brackets();
            } else {
                self.at += 1;
            }
        }
    }

    /// The record that a tag already names, unless this would define it again; else a new one, which the tag names.
    pub(crate) fn tagged_record(
        &mut self,
        known: Option<T>,
        tag: Sym,
        is_union: bool,
        is_definition: bool,
        at: usize,
    ) -> RecordId {
        let known = known
            .and_then(|it| self.types.as_record(it))
            .filter(|it| !(is_definition && self.types.record(*it).is_complete));
        match known {
            Some(id) => id,
            None => {
                let id = self.new_record(tag, is_union, at);
                let ty = self.types.add(Ty::Record(id));
                if tag != sym::EMPTY {
                    self.define_tag(tag, ty);
                }
                id
            }
        }
    }

    /// A parameter list, its end read: parameters, `...`, nothing said.
    pub(crate) fn parameters(&mut self) -> Res<(Vec<Param>, bool, bool)> {
        self.expect(sym::LPAREN)?;
        let angle = std::mem::take(&mut self.angle_depth);
        let mut params: Vec<Param> = Vec::new();
        if self.eat(sym::RPAREN) {
            self.angle_depth = angle;
            return Ok((params, false, !self.is_cpp));
        }
        if self.is(sym::VOID) && self.peek_at(1).is(sym::RPAREN) {
            self.at += 2;
            self.angle_depth = angle;
            return Ok((params, false, false));
        }
        // Names alone: a function of old. The types come after.
        let mark = self.mark();
        if !self.is_cpp && self.is_name(self.peek()) && !self.is_type_at(self.at) && self.is_name_list() {
            while !self.eat(sym::RPAREN) {
                let token = self.next();
                if token.kind == Kind::End {
                    return Err(Bad);
                }

                if self.is_name(token) {
                    params.push(Param {
                        name: Some(token.text),
                        ty: Types::INT,
                        at: self.at - 1,
                        has_default: false,
                    });
                }
            }
            self.angle_depth = angle;
            return Ok((params, false, true));
        }
        let suspended = self.body.fb.suspend();
        let mut is_variadic = false;
        let result = self.parameter_list(&mut params, &mut is_variadic);
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        self.unbind(mark);
        self.angle_depth = angle;
        result?;
        Ok((params, is_variadic, false))
    }

    fn is_name_list(&self) -> bool {
        let end = self.after_close(self.at - 1) - 1;
        (self.at..end).all(|it| {
            let it = self.tokens[it];
            it.is(sym::COMMA) || (self.is_name(it) && self.lookup(it.text).is_none())
        }) && !self.tokens[end + 1].is(sym::SEMI)
            && !self.tokens[end + 1].is(sym::COMMA)
    }

    fn parameter_list(&mut self, params: &mut Vec<Param>, is_variadic: &mut bool) -> Res<()> {
        loop {
            if self.eat(sym::ELLIPSIS) {
                *is_variadic = true;
                break;
            }
            let mut attributes = Attributes::default();
            self.attributes(&mut attributes)?;
            let spec = self.specifiers()?;
            let d = self.declarator(spec.ty, Naming::Optional)?;
            let mut ty = match self.types.get(d.ty) {
                Ty::Array(of, _) | Ty::Vla(of) => self.types.pointer(of),
                Ty::Function(_) => self.types.pointer(d.ty),
                _ => d.ty,
            };
            if d.is_pack {
                ty = Types::UNKNOWN;
                *is_variadic = true;
            }
            self.attributes(&mut attributes)?;
            let mut has_default = false;
            if self.is_cpp && self.eat(sym::ASSIGN) {
                has_default = true;
                self.skip_default_argument();
            }
            if d.is_pack {
                // What it stands for is not known.
                if let Some(name) = d.name {
                    self.bind(name, Entity::Local(heapwise_check::ir::LocalId(u32::MAX), ty));
                }
            } else {
                // Later parameters may name earlier ones, in lengths and in `decltype`.
                if let Some(name) = d.name {
                    self.bind(name, Entity::Constant(0, ty));
                }
                params.push(Param { name: d.name, ty, at: d.name_at, has_default });
            }
            if !self.eat(sym::COMMA) {
                break;
            }
        }
        if self.eat(sym::ELLIPSIS) {
            *is_variadic = true;
        }
        self.expect(sym::RPAREN)
    }

    fn skip_default_argument(&mut self) {
        let mut angles = 0;
        loop {
            let token = self.peek();
            match token.text {
                _ if token.kind == Kind::End => return,
                _ if token.kind != Kind::Punct => {}
                sym::COMMA if angles == 0 => return,
                sym::RPAREN | sym::SEMI => return,
                sym::LPAREN | sym::LBRACKET | sym::LBRACE => {
                    self.skip_brackets();
                    continue;
                }
                sym::LT => angles += 1,
                sym::GT if angles > 0 => angles -= 1,
                sym::SHR if angles > 1 => angles -= 2,
                _ => {}
            }
            self.at += 1;
        }
    }

    // Records and enumerations.

    pub(crate) fn new_record(&mut self, tag: Sym, is_union: bool, at: usize) -> RecordId {
        let text = if tag == sym::EMPTY {
            self.anonymous += 1;
            format!("<unnamed {}>", self.anonymous)
        } else {
            self.text(tag)
        };
        let name = self.m.name(&format!("{}{text}", self.prefix()));
        let span = self.token_span(at);
        let class = self.m.class(Class {
            name,
            bases: Vec::new(),
            bytes: 0,
            is_union,
            fields: Vec::new(),
            methods: Vec::new(),
            span,
        });
        let id = RecordId(self.types.records.len() as u32);
        self.types.records.push(Record {
            class,
            name,
            tag,
            is_union,
            is_complete: false,
            is_opaque: false,
            fields: Vec::new(),
            size: 0,
            align: 1,
            bases: Vec::new(),
            has_unknown_base: false,
            is_polymorphic: false,
            scope: FxHashMap::default(),
            constructors: None,
            destructor: None,
            template: None,
            is_dependent: false,
            bit_at: 0,
        });
        id
    }

    fn find_tag(&self, tag: Sym, is_definition: bool) -> Option<T> {
        if self.is_cpp {
            let entity = if is_definition {
                match self.context.last() {
                    _ if self.is_in_function() => self.lookup_local(tag).map(|it| it.0),
                    Some(Context::Record(id)) => self.types.record(*id).scope.get(&tag).copied(),
                    Some(Context::Namespace(id)) => self.namespaces[id.0 as usize].members.get(&tag).copied(),
                    None => None,
                }
            } else {
                self.lookup(tag)
            };
            return match entity {
                Some(Entity::Typedef(ty)) => Some(ty),
                _ => None,
            };
        }
        let local = self.local_tags.iter().rev().find(|it| it.0 == tag);
        if let Some(it) = local
            && (!is_definition || it.2 == self.scope_depth)
        {
            return Some(it.1);
        }
        if is_definition && self.scope_depth > 0 {
            return None;
        }
        self.tags.get(&tag).copied()
    }

    pub(crate) fn define_tag(&mut self, tag: Sym, ty: T) {
        if self.is_cpp {
            return self.define(tag, Entity::Typedef(ty));
        }
        if self.scope_depth > 0 {
            self.local_tags.push((tag, ty, self.scope_depth));
        } else {
            self.tags.insert(tag, ty);
        }
    }

    fn record_specifier(&mut self) -> Res<T> {
        self.enter()?;
        let result = self.record_specifier_inner();
        self.leave();
        result
    }

    fn record_specifier_inner(&mut self) -> Res<T> {
        let keyword = self.next().text;
        let is_union = keyword == sym::UNION;
        let mut attributes = Attributes::default();
        self.attributes(&mut attributes)?;
        if self.eat(sym::ALIGNAS) {
            self.skip_brackets();
        }
        if self.is_cpp {
            return self.class_specifier(is_union, attributes);
        }
        let at = self.at;
        let tag = if self.is_name(self.peek()) { self.next().text } else { sym::EMPTY };
        self.attributes(&mut attributes)?;
        let is_definition = self.is(sym::LBRACE);
        if tag == sym::EMPTY && !is_definition {
            return Err(Bad);
        }
        let known = if tag == sym::EMPTY { None } else { self.find_tag(tag, is_definition) };
        let id = self.tagged_record(known, tag, is_union, is_definition, at);
        if is_definition {
            self.at += 1;
            while !self.is(sym::RBRACE) {
                self.member_declaration(id, &attributes)?;
            }
            self.at += 1;
            self.attributes(&mut attributes)?;
            self.finish_record(id, &attributes);
        }
        Ok(self.types.add(Ty::Record(id)))
    }

    fn member_declaration(&mut self, id: RecordId, record_attributes: &Attributes) -> Res<()> {
        let token = self.peek();
        if token.kind == Kind::End {
            return Err(Bad);
        }
        if self.eat(sym::SEMI) {
            return Ok(());
        }
        if token.kind == Kind::Pack {
            self.at += 1;
            return Ok(());
        }
        if token.is(sym::STATIC_ASSERT_C) {
            self.at += 1;
            self.skip_brackets();
            return self.expect(sym::SEMI);
        }
        let spec = self.specifiers()?;
        self.member_declarators(id, &spec, record_attributes)
    }

    pub(crate) fn member_declarators(&mut self, id: RecordId, spec: &Spec, outer: &Attributes) -> Res<()> {
        if self.eat(sym::SEMI) {
            // An anonymous struct or union; a tag alone declares no member.
            if let Some(inner) = self.types.as_record(spec.ty)
                && self.types.record(inner).is_complete
                && self.m.text(self.types.record(inner).name).contains("<unnamed")
            {
                self.add_field(id, sym::EMPTY, spec.ty, None, outer);
            }
            return Ok(());
        }
        loop {
            let mut d = if self.is(sym::COLON) {
                self.new_declarator(spec.ty, Attributes::default())
            } else {
                self.declarator(spec.ty, Naming::Required)?
            };
            let mut width = None;
            if self.eat(sym::COLON) {
                let bits = self.constant()?;
                width = Some(bits.and_then(|it| u8::try_from(it).ok()).unwrap_or(1).min(64));
            }
            self.attributes(&mut d.attributes)?;
            d.attributes.is_packed |= outer.is_packed;
            d.attributes.aligned = d.attributes.aligned.or(spec.attributes.aligned);
            if self.is_cpp {
                self.member_initializer(id, &d)?;
            }
            let ty = self.vector_type(d.ty, &spec.attributes, &d.attributes);
            self.add_field(id, d.name.unwrap_or(sym::EMPTY), ty, width, &d.attributes);
            if !self.eat(sym::COMMA) {
                break;
            }
        }
        self.expect(sym::SEMI)
    }

    pub(crate) fn add_field(
        &mut self,
        id: RecordId,
        name: Sym,
        ty: T,
        width: Option<u8>,
        attributes: &Attributes,
    ) {
        let size = match self.types.get(ty) {
            Ty::Array(_, None) => Some(0),
            _ => self.types.size(ty),
        };
        let mut align = if attributes.is_packed { 1 } else { self.types.align(ty) };
        if self.pack > 0 {
            align = align.min(self.pack);
        }
        align = attributes.aligned.unwrap_or(align).max(1);
        let is_dependent = self.types.is_dependent(ty);
        let record = self.types.record_mut(id);
        record.is_dependent |= is_dependent;
        record.align = record.align.max(align);
        if let Some(width) = width {
            return self.add_bit_field(id, name, ty, width, size.unwrap_or(4).max(1));
        }
        let at =
            if record.is_union { 0 } else { round_up(record.bit_at.div_ceil(8).max(record.size), align) };
        let size = size.unwrap_or(8);
        let end = at.saturating_add(size);
        record.size = if record.is_union { record.size.max(size) } else { end };
        record.bit_at = end.saturating_mul(8);
        record.fields.push(FieldInfo { name, ty, offset: at, bits: None });
    }

    fn add_bit_field(&mut self, id: RecordId, name: Sym, ty: T, width: u8, unit: u64) {
        let (_, is_signed) = self.types.integer(ty).unwrap_or((4, false));
        let record = self.types.record_mut(id);
        let unit_bits = unit * 8;
        let mut at = if record.is_union {
            0
        } else {
            record.bit_at.max(if record.bit_at == 0 { record.size * 8 } else { 0 })
        };
        if width == 0 {
            record.bit_at = round_up(at, unit_bits);
            return;
        }
        if at % unit_bits + u64::from(width) > unit_bits {
            at = round_up(at, unit_bits);
        }
        let end = at + u64::from(width);
        if !record.is_union {
            record.bit_at = end;
        }
        record.size = record.size.max(end.div_ceil(8));
        let offset = at / 8;
        let shift = at % 8;
        let bytes = (shift + u64::from(width)).div_ceil(8).next_power_of_two().min(8);
        let access = self.types.add(Ty::Int { bytes: bytes as u8, is_signed, is_char: bytes == 1 });
        if name != sym::EMPTY {
            let bits = Some((shift as u8, width));
            self.types.record_mut(id).fields.push(FieldInfo { name, ty: access, offset, bits });
        }
    }

    pub(crate) fn finish_record(&mut self, id: RecordId, attributes: &Attributes) {
        let is_sized = self.types.record(id).fields.iter().all(|it| {
            matches!(self.types.get(it.ty), Ty::Array(_, None)) || self.types.size(it.ty).is_some()
        });
        let is_cpp = self.is_cpp;
        let record = self.types.record_mut(id);
        if let Some(align) = attributes.aligned {
            record.align = record.align.max(align);
        }
        if attributes.is_packed {
            record.align = attributes.aligned.unwrap_or(1);
        }
        record.size = round_up(record.size, record.align);
        if is_cpp && record.size == 0 {
            record.size = 1;
        }
        record.is_complete = is_sized;
        let (class, bytes) = (record.class, record.size);
        let infos: Vec<FieldInfo> = record.fields.clone();
        let fields: Vec<Field> = infos
            .iter()
            .map(|it| Field { name: self.name(it.name), ty: self.ir_type(it.ty), offset: it.offset })
            .collect();
        let class = self.m.class_mut(class);
        class.fields = fields;
        class.bytes = if is_sized { bytes } else { 0 };
    }

    fn enum_specifier(&mut self) -> Res<T> {
        self.at += 1;
        let mut attributes = Attributes::default();
        self.attributes(&mut attributes)?;
        let is_scoped = self.is_cpp && (self.eat(sym::CLASS) || self.eat(sym::STRUCT));
        self.attributes(&mut attributes)?;
        let mut tag = sym::EMPTY;
        while self.is_name(self.peek()) {
            tag = self.next().text;
            if !self.eat(sym::COLONS) {
                break;
            }
        }
        let mut ty = Types::UINT;
        if self.is_cpp {
            ty = Types::INT;
        }
        let mut has_type = false;
        if self.is(sym::COLON)
            && (self.is_cpp || self.is_type_at(self.at + 1))
            && self.is_type_at(self.at + 1)
        {
            self.at += 1;
            ty = self.specifiers()?.ty;
            has_type = true;
        }
        if !self.is(sym::LBRACE) {
            if let Some(known) = self.find_tag(tag, false) {
                return Ok(known);
            }
            if self.is_cpp && tag != sym::EMPTY && (has_type || is_scoped) {
                let ty = if is_scoped { self.enum_record(tag, ty) } else { ty };
                self.define_tag(tag, ty);
                return Ok(ty);
            }
            return Ok(ty);
        }
        self.at += 1;
        let mut value = 0i64;
        let mut members = Vec::new();
        while !self.is(sym::RBRACE) {
            let token = self.next();
            if !self.is_name(token) {
                return Err(Bad);
            }
            self.attributes(&mut attributes)?;
            let mut is_known = true;
            if self.eat(sym::ASSIGN) {
                match self.constant()? {
                    Some(it) => value = it,
                    None => is_known = false,
                }
            }
            if i32::try_from(value).is_err() && !has_type && ty != Types::LONG {
                ty = if u32::try_from(value).is_ok() { Types::UINT } else { Types::LONG };
            }
            let member_ty = if value < 0 || i32::try_from(value).is_ok() { Types::INT } else { ty };
            let entity = Entity::Constant(value, member_ty);
            if is_known {
                if !is_scoped {
                    self.define(token.text, entity);
                } else {
                    // Seen by the enumerators after it.
                    self.bind(token.text, entity);
                }
                members.push((token.text, entity));
            }
            value = value.wrapping_add(1);
            if !self.eat(sym::COMMA) {
                break;
            }
        }
        if is_scoped {
            let mark = self.mark() - members.len();
            self.unbind(mark);
        }
        self.expect(sym::RBRACE)?;
        self.attributes(&mut attributes)?;
        if tag != sym::EMPTY {
            self.define_tag(tag, ty);
            if self.is_cpp {
                self.enum_members(tag, members);
            }
        }
        Ok(ty)
    }

    // Variables.

    pub(crate) fn variable(&mut self, spec: &Spec, d: Declarator) -> Res<()> {
        let name = d.name.ok_or(Bad)?;
        let ty = self.vector_type(d.ty, &spec.attributes, &d.attributes);
        let has_pointer = matches!(self.types.get(ty), Ty::Pointer(_) | Ty::Reference(_));
        let is_const = if has_pointer { d.is_pointer_const } else { spec.is_const };
        if !self.is_in_function() || spec.is_static || spec.is_extern {
            return self.global_variable(spec, &d, name, ty, is_const);
        }
        if matches!(self.types.get(ty), Ty::Vla(_)) {
            return self.vla_variable(&d, name, ty);
        }
        let mut attributes = spec.attributes.clone();
        attributes.cleanup = d.attributes.cleanup.or(attributes.cleanup);
        self.local_variable(name, d.name_at, ty, is_const, attributes.cleanup)
    }

    fn vla_variable(&mut self, d: &Declarator, name: Sym, ty: T) -> Res<()> {
        let span = self.token_span(d.name_at);
        let mut of = self.types.target(ty).unwrap_or(Types::UNKNOWN);
        while let Ty::Vla(inner) = self.types.get(of) {
            of = inner;
        }
        let size = self.types.size(of).unwrap_or(1) as i64;
        let count = d.vla_length.unwrap_or(Operand::Opaque);
        let bytes = match count {
            Operand::Int(it) => Operand::Int(it.wrapping_mul(size)),
            Operand::Opaque => Operand::Opaque,
            _ if size == 1 => count,
            _ => self.op(span, |to| OpKind::Binary {
                to,
                op: heapwise_check::ir::Binary::Multiply,
                left: count,
                right: Operand::Int(size),
            }),
        };
        let text = self.name(name);
        let pointer = self.ir_type(ty);
        let local = self.body.fb.local(text, pointer, span);
        let word = self.ir_type(Types::ULONG);
        let size_local = self.body.fb.local(Name(0), word, span);
        for local in [local, size_local] {
            self.push(OpKind::Live { local }, span);
            self.body.cleanups.push(Cleanup { local, ty: Types::VOID_POINTER, action: Action::Nothing });
        }
        let family = self.m.name("alloca");
        let block =
            self.op(span, |to| OpKind::Allocate { to, family, bytes, is_zeroed: false, may_fail: false });
        self.store(Place::local(local), block, Types::VOID_POINTER, span);
        self.store(Place::local(size_local), bytes, Types::ULONG, span);
        self.bind(name, Entity::Local(local, ty));
        if self.eat(sym::ASSIGN) {
            if self.is(sym::LBRACE) {
                self.skip_brackets();
            } else {
                self.assignment()?;
            }
        }
        Ok(())
    }

    pub(crate) fn local_variable(
        &mut self,
        name: Sym,
        name_at: usize,
        ty: T,
        is_const: bool,
        cleanup: Option<Sym>,
    ) -> Res<()> {
        let mut ty = self.completed(ty);
        let span = self.token_span(name_at);
        if matches!(self.types.get(self.types.unreferenced(ty)), Ty::Auto) || self.is_auto(ty) {
            ty = self.auto_type(ty)?;
        }
        let text = self.name(name);
        let ir_ty = self.ir_type(ty);
        let local = self.body.fb.local(text, ir_ty, span);
        self.push(OpKind::Live { local }, span);
        self.bind(name, Entity::Local(local, ty));
        let before = self.body.fb.current();
        self.initialize_variable(local, ty, name_at)?;
        if is_const && before == self.body.fb.current() {
            self.remember_constant(local, ty);
        }
        let action = match cleanup {
            Some(it) => Action::Call(self.callee_name(it)),
            None if self.needs_destruction(ty) => Action::Destroy,
            None => Action::Nothing,
        };
        self.body.cleanups.push(Cleanup { local, ty, action });
        if action == Action::Destroy {
            self.open_pad(local, ty);
        }
        Ok(())
    }

    /// A `const` integer whose initializer was a number is that number.
    fn remember_constant(&mut self, local: heapwise_check::ir::LocalId, ty: T) {
        if !self.types.is_integer(ty) {
            return;
        }
        let last = self.body.fb.last_op();
        if let Some(OpKind::Store { to, value: Operand::Int(value), .. }) = last.map(|it| &it.kind)
            && to.base == Base::Local(local)
        {
            let value = *value;
            self.body.constants.insert(local, value);
        }
    }

    /// The linkage name of a function that is named here.
    fn callee_name(&mut self, it: Sym) -> Name {
        match self.lookup(it) {
            Some(Entity::Set(set)) => {
                let id = self.sets[set.0 as usize][0];
                self.funcs[id.0 as usize].name
            }
            _ => self.name(it),
        }
    }

    fn global_variable(&mut self, spec: &Spec, d: &Declarator, name: Sym, ty: T, is_const: bool) -> Res<()> {
        let has_init =
            self.is(sym::ASSIGN) || (self.is_cpp && (self.is(sym::LBRACE) || self.is(sym::LPAREN)));
        let mut ty = self.completed(ty);
        if self.is_auto(ty) {
            ty = self.auto_type(ty)?;
        }
        let span = self.token_span(d.name_at);
        let is_local = self.is_in_function() && !spec.is_extern;
        let linkage = self.variable_linkage(spec, d, name, is_local);
        let linkage = self.m.name(&linkage);
        let ir_ty = self.ir_type(ty);
        let is_member = d.scope.is_some() || matches!(self.context.last(), Some(Context::Record(_)));
        let is_external = !is_local && (is_member || !spec.is_static);
        let known = self.globals_by_name.get(&linkage).copied().filter(|_| !is_local);
        let id = known.unwrap_or_else(|| {
            self.m.global(Global { name: linkage, ty: ir_ty, is_external, is_const, value: None, span })
        });
        self.globals_by_name.insert(linkage, id);
        if has_init || known.is_none() {
            let global = self.m.global_mut(id);
            (global.ty, global.span) = (ir_ty, span);
            global.is_const |= is_const;
        }
        match d.scope {
            None => self.define(name, Entity::Global(id, ty)),
            Some(Context::Record(record)) => {
                self.types.record_mut(record).scope.insert(name, Entity::Global(id, ty));
            }
            Some(Context::Namespace(namespace)) => {
                self.namespaces[namespace.0 as usize].members.insert(name, Entity::Global(id, ty));
            }
        }
        if spec.is_extern && !has_init {
            return Ok(());
        }
        self.initialize_global(id, ty, is_const, spec.is_extern, d)
    }

    fn variable_linkage(&mut self, spec: &Spec, d: &Declarator, name: Sym, is_local: bool) -> String {
        let text = self.text(name);
        if is_local {
            self.body.statics += 1;
            let function = self.body.name.clone();
            let linkage = format!("{function}:{text}");
            let name = self.m.name(&linkage);
            if self.globals_by_name.contains_key(&name) {
                return format!("{linkage}#{}", self.body.statics);
            }
            return linkage;
        }
        let prefix = match d.scope {
            Some(scope) => self.prefix_of(scope),
            None if self.is_in_function() => String::new(),
            None => self.prefix(),
        };
        let is_member = matches!(d.scope, Some(Context::Record(_)))
            || (d.scope.is_none() && matches!(self.context.last(), Some(Context::Record(_))));
        if spec.is_static && !is_member {
            return format!("{}:{prefix}{text}", self.path);
        }
        format!("{prefix}{text}")
    }

    pub(crate) fn prefix_of(&self, scope: Context) -> String {
        match scope {
            Context::Record(id) => format!("{}::", self.m.text(self.types.record(id).name)),
            Context::Namespace(id) => self.namespaces[id.0 as usize].prefix.clone(),
        }
    }

    // Functions.

    /// A function that nobody declared.
    pub(crate) fn implicit_function(&mut self, it: Sym) -> SetId {
        let signature =
            Signature { ret: Some(Types::UNKNOWN), params: Vec::new(), is_variadic: true, is_unknown: true };
        let ty = self.types.function(signature);
        let name = self.name(it);
        let func = FuncId(self.funcs.len() as u32);
        self.funcs.push(Func {
            name,
            short: it,
            ty,
            least: 0,
            is_noreturn: matches!(it, sym::EXIT | sym::ABORT | sym::EXIT_),
            is_virtual: false,
            is_static: false,
            is_deleted: false,
            record: None,
            attributes: Vec::new(),
            template: None,
            is_defined: false,
        });
        let set = SetId(self.sets.len() as u32);
        self.sets.push(vec![func]);
        self.namespaces[0].members.insert(it, Entity::Set(set));
        set
    }

    pub(crate) fn declare_function(&mut self, spec: &Spec, d: &Declarator) -> FuncId {
        if self.is_cpp {
            return self.declare_cpp_function(spec, d);
        }
        let name = d.name.unwrap_or(sym::EMPTY);
        let is_noreturn = spec.attributes.is_noreturn || d.attributes.is_noreturn;
        let known = match self.namespaces[0].members.get(&name) {
            Some(Entity::Set(set)) => Some((*set, self.sets[set.0 as usize][0])),
            _ => None,
        };
        if let Some((set, id)) = known {
            let is_better = match self.types.get(d.ty) {
                Ty::Function(sig) => !self.types.signature(sig).is_unknown,
                _ => false,
            };
            let func = &mut self.funcs[id.0 as usize];
            if is_better || !func.is_defined {
                func.ty = d.ty;
            }
            func.is_noreturn |= is_noreturn;
            func.attributes.extend(spec.attributes.names.iter().chain(&d.attributes.names));
            if spec.is_static && !func.is_defined && !self.m.text(func.name).contains(':') {
                let linkage = format!("{}:{}", self.path, self.symbols.text(name));
                self.funcs[id.0 as usize].name = self.m.name(&linkage);
            }
            self.hide_by_function(name, set);
            return id;
        }
        let linkage =
            if spec.is_static { format!("{}:{}", self.path, self.text(name)) } else { self.text(name) };
        let linkage = self.m.name(&linkage);
        let set = self.implicit_function(name);
        let id = self.sets[set.0 as usize][0];
        let func = &mut self.funcs[id.0 as usize];
        (func.name, func.ty) = (linkage, d.ty);
        func.is_noreturn |= is_noreturn;
        func.attributes = spec.attributes.names.iter().chain(&d.attributes.names).copied().collect();
        self.hide_by_function(name, set);
        id
    }

    /// A function declared in a block hides variables of outer blocks.
    fn hide_by_function(&mut self, name: Sym, set: SetId) {
        if self.is_in_function() && self.lookup_local(name).is_some() {
            self.bind(name, Entity::Set(set));
        }
    }

    fn function_definition(&mut self, spec: &Spec, mut d: Declarator) -> Res<()> {
        if !self.is_cpp {
            self.old_parameters(&mut d)?;
        }
        let id = self.declare_function(spec, &d);
        let params = d.params.unwrap_or_default();
        if self.is_cpp {
            return self.cpp_function_definition(spec, id, params, d.scope, d.name_at);
        }
        self.function_body(id, params, d.name_at, spec.start)
    }

    /// Types of the parameters of a function of old, between its head and its body.
    fn old_parameters(&mut self, d: &mut Declarator) -> Res<()> {
        while !self.is(sym::LBRACE) {
            let spec = self.specifiers()?;
            while !self.is(sym::SEMI) {
                let one = self.declarator(spec.ty, Naming::Required)?;
                let ty = match self.types.get(one.ty) {
                    Ty::Array(of, _) | Ty::Vla(of) => self.types.pointer(of),
                    _ => one.ty,
                };
                let params = d.params.as_mut().ok_or(Bad)?;
                if let Some(param) = params.iter_mut().find(|it| it.name == one.name) {
                    param.ty = ty;
                }
                if !self.eat(sym::COMMA) {
                    break;
                }
            }
            self.expect(sym::SEMI)?;
        }
        Ok(())
    }

    /// Reads the body at `{` as that of `id`.
    pub(crate) fn function_body(
        &mut self,
        id: FuncId,
        params: Vec<Param>,
        name_at: usize,
        start: usize,
    ) -> Res<()> {
        let func = &mut self.funcs[id.0 as usize];
        if std::mem::replace(&mut func.is_defined, true) {
            self.skip_function_body();
            return Ok(());
        }
        let func = self.funcs[id.0 as usize].clone();
        self.functions_read += 1;
        let body_at = self.at;
        let mut fb = FunctionBuilder::new(func.name, Span::NONE);
        fb.function.name_span = self.token_span(name_at);
        let text = self.m.text(func.name).to_string();
        fb.function.is_external =
            !text.contains(':') || text.contains("::") && !text.starts_with(&format!("{}:", self.path));
        fb.function.attributes = func.attributes.clone();
        fb.function.attributes.dedup();
        fb.function.is_virtual = func.is_virtual;
        fb.function.class = func.record.map(|it| self.types.record(it).class);
        let ret = match self.types.get(func.ty) {
            Ty::Function(sig) => {
                let sig = self.types.signature(sig);
                fb.function.is_variadic = sig.is_variadic;
                sig.ret.unwrap_or(Types::VOID)
            }
            _ => Types::UNKNOWN,
        };
        let (depth, floor) = (self.depth, self.floor);
        let mark = self.open_scope();
        self.floor = self.floor_for_body(mark);
        let mut body = Body::new(fb, ret, mark);
        body.is_function = true;
        body.name = text;
        body.is_ret_deduced = self.is_auto(ret);
        let outer = std::mem::replace(&mut self.body, Box::new(body));
        if let Some(record) = func.record.filter(|_| !func.is_static) {
            self.this_parameter(record, name_at);
        }
        for param in params {
            self.parameter(param);
        }
        let result = self.function_code(id);
        self.depth = depth;
        if result.is_err() {
            self.error();
            self.body.has_error = true;
            self.at = body_at;
            self.skip_function_body();
        }
        self.finish_body();
        self.floor = floor;
        self.close_scope(mark);
        let span = self.span(start);
        let mut body = std::mem::replace(&mut self.body, outer);
        body.fb.function.span = span;
        match body.id {
            Some(id) => self.m.fill(id, body.fb),
            None => {
                self.m.function(body.fb);
            }
        }
        Ok(())
    }

    pub(crate) fn parameter(&mut self, param: Param) {
        let span = self.token_span(param.at);
        let name = param.name.map_or(Name(0), |it| self.name(it));
        let ty = self.ir_type(param.ty);
        let local = self.body.fb.parameter(name, ty, span);
        if let Some(name) = param.name {
            self.bind(name, Entity::Local(local, param.ty));
        }
        if self.needs_destruction(param.ty) {
            self.body.cleanups.push(Cleanup { local, ty: param.ty, action: Action::Destroy });
        }
    }

    fn skip_function_body(&mut self) {
        while !self.is(sym::LBRACE) && self.peek().kind != Kind::End {
            if self.is(sym::LPAREN) {
                self.skip_brackets();
            } else {
                self.at += 1;
            }
        }
        self.skip_brackets();
        while self.is_cpp && self.is(sym::CATCH) {
            self.at += 1;
            self.skip_brackets();
            self.skip_brackets();
        }
    }

    /// Ends what is open when a function's code was read.
    pub(crate) fn finish_body(&mut self) {
        let span = self.token_span(self.at.saturating_sub(1));
        if self.is_reachable() {
            self.clean_to(0, span);
            let is_main = self.body.name == "main";
            let value = is_main.then_some(Operand::Int(0));
            self.end(End::Return(value), span);
        }
        self.resolve_gotos();
        if self.body.has_error {
            self.end_open_blocks();
        }
    }

    /// After an error: paths into what was not read end there.
    fn end_open_blocks(&mut self) {
        for index in 0..self.body.fb.function.blocks.len() {
            if !self.body.is_ended.get(index).copied().unwrap_or(false) {
                self.switch_to(heapwise_check::ir::BlockId(index as u32));
                self.end(End::Unreachable, Span::NONE);
            }
        }
    }

    /// An array without a length gets that of the initializer that comes.
    pub(crate) fn completed(&mut self, ty: T) -> T {
        match self.types.get(ty) {
            Ty::Array(_, None) if self.is(sym::ASSIGN) => self.completed_array(ty, self.at + 1),
            Ty::Array(_, None) if self.is_cpp && self.is(sym::LBRACE) => self.completed_array(ty, self.at),
            _ => ty,
        }
    }

    pub(crate) fn completed_array(&mut self, ty: T, at: usize) -> T {
        let Ty::Array(of, None) = self.types.get(ty) else { return ty };
        let length = init::Length { at }.count(self, of);
        self.types.array(of, length)
    }

    /// A value that an initializer of a global gave, as far as the module can say it.
    pub(crate) fn simple_value(value: &V) -> Option<Operand> {
        match value {
            V::R(
                it @ (Operand::Int(_)
                | Operand::Bool(_)
                | Operand::Null
                | Operand::String(_)
                | Operand::Function(_)),
                _,
            ) => Some(*it),
            V::Str(name, ..) => Some(Operand::String(*name)),
            _ => None,
        }
    }
}

/// Words of an arithmetic type, in any order.
#[derive(Default)]
struct Words {
    void: bool,
    bool_: bool,
    char_: bool,
    int: bool,
    short: bool,
    float: bool,
    double: bool,
    longs: u8,
    signed: bool,
    unsigned: bool,
    other: Option<T>,
    any: bool,
}

impl Words {
    fn is_empty(&self) -> bool {
        !self.any
    }

    /// Takes a word; `false`: it is none of these.
    fn add(&mut self, word: Sym, is_cpp: bool) -> bool {
        match word {
            sym::VOID => self.void = true,
            sym::CHAR => self.char_ = true,
            sym::INT => self.int = true,
            sym::SHORT => self.short = true,
            sym::LONG => self.longs += 1,
            sym::FLOAT => self.float = true,
            sym::DOUBLE => self.double = true,
            sym::SIGNED | sym::SIGNED_ | sym::SIGNED__ => self.signed = true,
            sym::UNSIGNED => self.unsigned = true,
            sym::BOOL_C => self.bool_ = true,
            sym::BOOL if is_cpp => self.bool_ = true,
            sym::WCHAR if is_cpp => self.other = Some(Types::WCHAR),
            sym::CHAR8 if is_cpp => self.other = Some(Types::UCHAR),
            sym::CHAR16 if is_cpp => self.other = Some(Types::CHAR16),
            sym::CHAR32 if is_cpp => self.other = Some(Types::CHAR32),
            sym::INT128 | sym::INT128_T => self.other = Some(Types::INT128),
            sym::UINT128_T => self.other = Some(Types::UINT128),
            sym::INT64_MS => self.longs = 2,
            sym::FLOAT128 | sym::FLOAT128_C => self.other = Some(Types::LONG_DOUBLE),
            sym::FLOAT16 | sym::BF16 => self.other = Some(Types::SHORT),
            sym::FLOAT32 => self.float = true,
            sym::FLOAT64 => self.double = true,
            _ => return false,
        }
        self.any = true;
        true
    }

    fn ty(&self) -> T {
        if let Some(it) = self.other {
            return if it == Types::INT128 && self.unsigned { Types::UINT128 } else { it };
        }
        match self {
            Words { void: true, .. } => Types::VOID,
            Words { bool_: true, .. } => Types::BOOL,
            Words { float: true, .. } => Types::FLOAT,
            Words { double: true, longs: 0, .. } => Types::DOUBLE,
            Words { double: true, .. } => Types::LONG_DOUBLE,
            Words { char_: true, unsigned: true, .. } => Types::UCHAR,
            Words { char_: true, .. } => Types::CHAR,
            Words { short: true, unsigned: true, .. } => Types::USHORT,
            Words { short: true, .. } => Types::SHORT,
            Words { longs: 0, unsigned: true, .. } => Types::UINT,
            Words { longs: 0, .. } => Types::INT,
            Words { unsigned: true, .. } => Types::ULONG,
            _ => Types::LONG,
        }
    }
}

pub(crate) fn is_qualifier(it: Sym) -> bool {
    matches!(
        it,
        sym::VOLATILE
            | sym::VOLATILE_
            | sym::VOLATILE__
            | sym::RESTRICT
            | sym::RESTRICT_
            | sym::RESTRICT__
            | sym::CONST
            | sym::CONST_
            | sym::CONST__
            | sym::ATOMIC
            | sym::UNALIGNED
            | sym::NULLABLE
            | sym::NONNULL
            | sym::CDECL
            | sym::STDCALL
            | sym::FASTCALL
            | sym::EXTENSION
    )
}

/// A word that begins a type, in C and C++.
fn is_type_word(it: Sym) -> bool {
    is_qualifier(it) && it != sym::EXTENSION
        || matches!(
            it,
            sym::VOID
                | sym::CHAR
                | sym::INT
                | sym::SHORT
                | sym::LONG
                | sym::FLOAT
                | sym::DOUBLE
                | sym::SIGNED
                | sym::SIGNED_
                | sym::SIGNED__
                | sym::UNSIGNED
                | sym::BOOL_C
                | sym::STRUCT
                | sym::UNION
                | sym::ENUM
                | sym::TYPEOF
                | sym::TYPEOF_
                | sym::TYPEOF__
                | sym::TYPEOF_UNQUAL
                | sym::COMPLEX
                | sym::COMPLEX_
                | sym::INT128
                | sym::INT128_T
                | sym::UINT128_T
                | sym::FLOAT128
                | sym::FLOAT128_C
                | sym::FLOAT16
                | sym::FLOAT32
                | sym::FLOAT64
                | sym::BF16
                | sym::INT64_MS
                | sym::AUTO_TYPE
        )
}

pub(crate) fn is_cpp_type_word(it: Sym) -> bool {
    matches!(
        it,
        sym::BOOL
            | sym::WCHAR
            | sym::CHAR8
            | sym::CHAR16
            | sym::CHAR32
            | sym::CLASS
            | sym::TYPENAME
            | sym::DECLTYPE
            | sym::AUTO
            | sym::CONSTEXPR
    )
}

fn is_declaration_word(it: Sym) -> bool {
    matches!(
        it,
        sym::TYPEDEF | sym::EXTERN | sym::STATIC | sym::INLINE | sym::INLINE_ | sym::INLINE__ | sym::REGISTER
    )
}

fn concerns_memory(it: Sym) -> bool {
    it.0 >= sym::A_NORETURN.0
        && it.0 <= sym::A_OWNERSHIP_HOLDS.0
        && !matches!(it, sym::A_PACKED | sym::A_PACKED_ | sym::A_ALIGNED | sym::A_ALIGNED_ | sym::A_OPAQUE)
}
