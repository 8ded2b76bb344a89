//! Initializers: braces, designators, strings; what is not written is zero.

use crate::decl::Declarator;
use crate::expr::{V, argument, with_step};
use crate::lex::Kind;
use crate::lower::{Lower, Res};
use crate::symbols::sym;
use crate::types::{T, Ty, Types};
use heapwise_check::ir::{Base, Callee, GlobalId, LocalId, OpKind, Operand, Place, Span, Step};

/// Elements of one initializer that are stored one by one.
const MAX_ELEMENTS: usize = 1024;

/// Counts the elements that an initializer gives to an array of unknown length.
pub(crate) struct Length {
    pub(crate) at: usize,
}

impl Length {
    pub(crate) fn count(self, lower: &mut Lower, of: T) -> Option<u64> {
        let before = lower.at;
        lower.at = self.at;
        let length = self.count_here(lower, of);
        lower.at = before;
        length
    }

    fn count_here(&self, lower: &mut Lower, of: T) -> Option<u64> {
        if lower.peek().kind == Kind::String {
            return match lower.string_value() {
                V::Str(_, count, _) => Some(count),
                _ => None,
            };
        }
        if !lower.is(sym::LBRACE) {
            return None;
        }
        if lower.peek_at(1).kind == Kind::String
            && matches!(lower.types.get(of), Ty::Int { is_char: true, .. })
        {
            lower.at += 1;
            if let V::Str(_, count, _) = lower.string_value()
                && (lower.is(sym::RBRACE) || lower.is(sym::COMMA))
            {
                return Some(count);
            }
            lower.at = self.at;
        }
        let flat = if lower.peek_at(1).is(sym::LBRACE) { 1 } else { lower.scalars(of, 0) };
        let end = lower.after_close(lower.at) - 1;
        lower.at += 1;
        let (mut index, mut most, mut loose) = (0u64, 0u64, 0u64);
        while lower.at < end {
            if lower.is(sym::LBRACKET) && !lower.is_cpp {
                lower.at += 1;
                let value = lower.constant().ok().flatten();
                index = value.and_then(|it| u64::try_from(it).ok()).unwrap_or(index);
                if lower.is(sym::ELLIPSIS) {
                    lower.at += 1;
                    let value = lower.constant().ok().flatten();
                    index = value.and_then(|it| u64::try_from(it).ok()).unwrap_or(index);
                }
            }
            let is_braced = lower.is(sym::LBRACE);
            let scalars = if lower.peek().kind == Kind::String { lower.text_scalars(of) } else { 1 };
            while lower.at < end && !lower.is(sym::COMMA) {
                if lower.is(sym::LPAREN) || lower.is(sym::LBRACE) || lower.is(sym::LBRACKET) {
                    lower.skip_brackets();
                } else {
                    lower.at += 1;
                }
            }
            // Without inner braces, the scalars of an element follow each other.
            loose += scalars;
            if is_braced || loose >= flat {
                loose = 0;
                index += 1;
            }
            most = most.max(index + u64::from(loose > 0));
            lower.at += 1;
        }
        Some(most)
    }
}

impl Lower {
    /// How many scalars an object of this type takes out of a flat list.
    fn scalars(&self, ty: T, depth: u32) -> u64 {
        if depth > 16 {
            return 1;
        }
        match self.types.get(ty) {
            Ty::Array(of, Some(count)) => count.saturating_mul(self.scalars(of, depth + 1)).max(1),
            Ty::Record(id) => {
                let record = self.types.record(id);
                let all = record.fields.iter().map(|it| self.scalars(it.ty, depth + 1));
                if record.is_union { all.take(1).sum::<u64>().max(1) } else { all.sum::<u64>().max(1) }
            }
            _ => 1,
        }
    }

    /// How many scalars of an element of this type a string literal takes: an array of characters takes it whole.
    fn text_scalars(&self, mut of: T) -> u64 {
        while let Ty::Array(inner, count) = self.types.get(of) {
            if matches!(self.types.get(inner), Ty::Int { is_char: true, .. }) {
                return count.unwrap_or(1).max(1);
            }
            of = inner;
        }
        1
    }

    /// Reads the initializer of a local, if there is one.
    pub(crate) fn initialize_variable(&mut self, local: LocalId, ty: T, name_at: usize) -> Res<()> {
        if self.is_cpp && self.initialize_cpp(local, ty, name_at)? {
            return Ok(());
        }
        if !self.eat(sym::ASSIGN) {
            return Ok(());
        }
        self.initialize(Place::local(local), ty, name_at)
    }

    /// Reads an initializer and stores it.
    pub(crate) fn initialize(&mut self, place: Place, ty: T, start: usize) -> Res<()> {
        if self.is(sym::LBRACE) {
            let span = self.token_span(start);
            if !self.types.is_pointer(ty) && self.types.as_record(ty).is_none()
                || matches!(self.types.get(ty), Ty::Pointer(_))
            {
                return self.braced_scalar(place, ty, start);
            }
            if !self.is_complete_list(ty) {
                self.zero_fill(&place, ty, span);
            }
            self.at += 1;
            self.enter()?;
            let mut budget = MAX_ELEMENTS;
            self.list(&place, ty, &mut budget, true)?;
            self.leave();
            return self.expect(sym::RBRACE);
        }
        if let Ty::Array(of, _) = self.types.get(ty)
            && self.peek().kind == Kind::String
        {
            return self.string_into(place, ty, of);
        }
        let value = self.assignment()?;
        let span = self.span(start);
        if self.types.as_record(ty).is_some() {
            return self.copy_record(&place, ty, value, span);
        }
        let value = self.coerce(value, ty, span)?;
        self.store(place, value, ty, span);
        Ok(())
    }

    fn braced_scalar(&mut self, place: Place, ty: T, start: usize) -> Res<()> {
        self.at += 1;
        let value = if self.is(sym::RBRACE) {
            if self.types.is_pointer(ty) { V::R(Operand::Null, ty) } else { V::int(0) }
        } else if self.is(sym::LBRACE) {
            self.skip_brackets();
            V::unknown()
        } else {
            self.assignment()?
        };
        let span = self.span(start);
        let value = self.coerce(value, ty, span)?;
        self.store(place, value, ty, span);
        while self.eat(sym::COMMA) {
            if !self.is(sym::RBRACE) {
                let more = self.assignment()?;
                self.discard(more);
            }
        }
        self.expect(sym::RBRACE)
    }

    /// `char a[] = "..."`.
    fn string_into(&mut self, place: Place, ty: T, of: T) -> Res<()> {
        let at = self.at;
        let V::Str(name, count, _) = self.string_value() else { return Ok(()) };
        let span = self.span(at);
        let unit = self.types.size(of).unwrap_or(1);
        let whole = self.types.size(ty).unwrap_or(count.saturating_mul(unit));
        let bytes = count.saturating_mul(unit).min(whole);
        if whole > bytes {
            self.zero_fill(&place, ty, span);
        }
        self.push(
            OpKind::CopyRecord { to: place, from: Box::new(Place::at(Operand::String(name))), bytes },
            span,
        );
        Ok(())
    }

    /// Writes zeros all over.
    pub(crate) fn zero_fill(&mut self, place: &Place, ty: T, span: Span) {
        let Some(bytes) = self.types.size(ty) else { return };
        if !self.is_reachable() || matches!(self.types.get(ty), Ty::Array(_, None)) {
            return;
        }
        let address = self.address(place.clone(), span);
        let name = self.m.name("memset");
        let args = [address, Operand::Int(0), Operand::Int(bytes as i64)].map(argument);
        self.push(OpKind::Call { to: None, callee: Callee::Direct(name), args: args.into() }, span);
    }

    /// Whether the list here gives each scalar a value of its own, by count.
    fn is_complete_list(&self, ty: T) -> bool {
        let wanted = self.scalars(ty, 0);
        if wanted > 16 {
            return false;
        }
        if let Some(id) = self.types.as_record(ty)
            && self.types.record(id).is_union
        {
            return false;
        }
        let end = self.after_close(self.at) - 1;
        let mut depth = 0;
        let mut count = u64::from(end > self.at + 1);
        // A list may begin where the file ends.
        let Some(list) = self.tokens.get(self.at + 1..end) else { return false };
        for token in list {
            if token.kind != Kind::Punct {
                if token.kind == Kind::String {
                    return false;
                }
                continue;
            }
            match token.text {
                sym::LPAREN | sym::LBRACKET | sym::LBRACE => depth += 1,
                sym::RPAREN | sym::RBRACKET | sym::RBRACE => depth -= 1,
                sym::COMMA if depth == 0 => count += 1,
                _ => {}
            }
            if token.text == sym::LBRACE || token.text == sym::DOT {
                return false;
            }
        }
        if self.tokens[end - 1].is(sym::COMMA) {
            count -= 1;
        }
        count == wanted
    }

    /// The elements of an array or record up to `}` (or, without own braces, as many as it has).
    fn list(&mut self, place: &Place, ty: T, budget: &mut usize, is_braced: bool) -> Res<()> {
        self.enter()?;
        let result = match self.types.get(ty) {
            Ty::Array(of, length) => self.array_list(place, of, length, budget, is_braced),
            Ty::Record(_) => self.record_list(place, ty, budget, is_braced),
            _ => self.element(place.clone(), ty, budget),
        };
        self.leave();
        result
    }

    fn array_list(
        &mut self,
        place: &Place,
        of: T,
        length: Option<u64>,
        budget: &mut usize,
        is_braced: bool,
    ) -> Res<()> {
        if self.peek().kind == Kind::String && matches!(self.types.get(of), Ty::Int { is_char: true, .. }) {
            let ty = self.types.array(of, length);
            self.string_into(place.clone(), ty, of)?;
            if is_braced {
                self.eat(sym::COMMA);
            }
            return Ok(());
        }
        let stride = self.types.size(of).unwrap_or(1);
        let mut index = 0i64;
        while !self.is(sym::RBRACE) {
            let mut last = index;
            let mut designated = false;
            if is_braced && self.is(sym::LBRACKET) {
                self.at += 1;
                index = self.constant()?.unwrap_or(index);
                last = index;
                if self.eat(sym::ELLIPSIS) {
                    last = self.constant()?.unwrap_or(index);
                }
                self.expect(sym::RBRACKET)?;
                designated = true;
            }
            if !is_braced && length.is_some_and(|it| index as u64 >= it) {
                return Ok(());
            }
            let step = Step::Index { index: Operand::Int(index), stride };
            let element = with_step(place.clone(), step);
            self.designated(element, of, designated, budget)?;
            index = last + 1;
            if !is_braced && length.is_some_and(|it| index as u64 >= it) {
                return Ok(());
            }
            if !self.eat(sym::COMMA) {
                break;
            }
            if !is_braced && (self.is(sym::LBRACKET) || self.is(sym::DOT)) {
                self.at -= 1;
                return Ok(());
            }
        }
        Ok(())
    }

    fn record_list(&mut self, place: &Place, ty: T, budget: &mut usize, is_braced: bool) -> Res<()> {
        let Some(id) = self.types.as_record(ty) else { return Ok(()) };
        let count = self.types.record(id).fields.len();
        let is_union = self.types.record(id).is_union;
        let mut index = 0;
        while !self.is(sym::RBRACE) {
            let mut designated = false;
            let is_old = self.is_name(self.peek()) && self.peek_at(1).is(sym::COLON);
            let field = if is_braced && (self.is(sym::DOT) || is_old) {
                self.at += usize::from(!is_old);
                let name = self.next().text;
                self.at += usize::from(is_old);
                designated = !is_old;
                if let Some(at) = self.types.record(id).fields.iter().position(|it| it.name == name) {
                    index = at;
                }
                let V::Place(place, ty, bits) = self.field(place.clone(), ty, name) else { return Ok(()) };
                Some((place, ty, bits))
            } else if index < count {
                let it = self.types.record(id).fields[index];
                let name = self.name(it.name);
                let step = Step::Field { name, offset: Some(it.offset) };
                Some((with_step(place.clone(), step), it.ty, it.bits))
            } else {
                None
            };
            match field {
                Some((place, ty, None)) => self.designated(place, ty, designated, budget)?,
                Some((place, ty, Some(_))) => {
                    if designated {
                        self.eat(sym::ASSIGN);
                    }
                    let at = self.at;
                    let value = self.assignment()?;
                    self.rvalue_here(value, at);
                    let span = self.span(at);
                    self.store(place, Operand::Opaque, ty, span);
                }
                None => {
                    // More than there are, or a record that is not known.
                    let place = place.clone();
                    self.designated(place, Types::UNKNOWN, false, &mut 0)?;
                }
            }
            index += 1;
            if !is_braced && (index >= count || is_union) {
                return Ok(());
            }
            if !self.eat(sym::COMMA) {
                break;
            }
            if !is_braced && (self.is(sym::LBRACKET) || self.is(sym::DOT)) {
                self.at -= 1;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Further designators, `=`, and the element.
    fn designated(
        &mut self,
        mut place: Place,
        mut ty: T,
        is_designated: bool,
        budget: &mut usize,
    ) -> Res<()> {
        if is_designated {
            loop {
                if self.eat(sym::DOT) {
                    let name = self.next().text;
                    let V::Place(next, next_ty, _) = self.field(place, ty, name) else { return Ok(()) };
                    (place, ty) = (next, next_ty);
                } else if self.eat(sym::LBRACKET) {
                    let index = self.constant()?.unwrap_or(0);
                    if self.eat(sym::ELLIPSIS) {
                        self.constant()?;
                    }
                    self.expect(sym::RBRACKET)?;
                    ty = self.types.target(ty).unwrap_or(Types::UNKNOWN);
                    let stride = self.types.size(ty).unwrap_or(1);
                    place = with_step(place, Step::Index { index: Operand::Int(index), stride });
                } else {
                    break;
                }
            }
            self.eat(sym::ASSIGN);
        }
        self.element(place, ty, budget)
    }

    /// One element: braces, a string, a value; of a record without braces, its first members.
    fn element(&mut self, place: Place, ty: T, budget: &mut usize) -> Res<()> {
        if *budget == 0 {
            if self.is(sym::LBRACE) {
                self.skip_brackets();
                return Ok(());
            }
            let suspended = self.body.fb.suspend();
            let value = self.assignment();
            if let Some(block) = suspended {
                self.switch_to(block);
            }
            value?;
            return Ok(());
        }
        *budget -= 1;
        let start = self.at;
        let is_aggregate = matches!(self.types.get(ty), Ty::Array(..) | Ty::Record(_));
        if self.is(sym::LBRACE) {
            if !is_aggregate {
                return if matches!(self.types.get(ty), Ty::Unknown) {
                    self.skip_brackets();
                    Ok(())
                } else {
                    self.braced_scalar(place, ty, start)
                };
            }
            self.at += 1;
            self.list(&place, ty, budget, true)?;
            return self.expect(sym::RBRACE);
        }
        if !is_aggregate {
            let value = self.assignment()?;
            let span = self.span(start);
            let value = self.coerce(value, ty, span)?;
            self.store(place, value, ty, span);
            return Ok(());
        }
        if matches!(self.types.get(ty), Ty::Array(..)) {
            return self.list(&place, ty, budget, false);
        }
        if self.is_cpp && self.initialize_element(&place, ty)? {
            return Ok(());
        }
        // A record's value, or the values of its members.
        let suspended = self.body.fb.suspend();
        let before = self.at;
        let value = self.assignment();
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        let value_ty = self.type_of(&value?);
        self.at = before;
        if self.types.as_record(value_ty).is_some() {
            let value = self.assignment()?;
            let span = self.span(start);
            return self.copy_record(&place, ty, value, span);
        }
        self.list(&place, ty, budget, false)
    }

    /// Reads the initializer of a variable with static storage, if there is one.
    ///
    /// A single number, string or address of a function is the global's value; the rest is written as stores of
    /// the file's initialization.
    pub(crate) fn initialize_global(
        &mut self,
        id: GlobalId,
        ty: T,
        is_const: bool,
        _is_extern: bool,
        d: &Declarator,
    ) -> Res<()> {
        let place = Place { base: Base::Global(id), steps: Box::default() };
        if self.is_cpp && self.initialize_cpp_global(&place, ty, d)? {
            return Ok(());
        }
        let is_scalar = !matches!(self.types.get(ty), Ty::Array(..) | Ty::Record(_));
        if !self.eat(sym::ASSIGN) {
            if is_scalar && self.scope_is_file() {
                let zero = if self.types.is_pointer(ty) { Operand::Null } else { Operand::Int(0) };
                if self.types.is_integer(ty) || self.types.is_pointer(ty) {
                    let global = self.m.global_mut(id);
                    global.value = global.value.or(Some(zero));
                }
            }
            return Ok(());
        }
        // A function's static is initialized before the program runs.
        let suspended = if self.is_in_function() { self.body.fb.suspend() } else { None };
        let result = if is_scalar && !self.is(sym::LBRACE) {
            self.global_scalar(id, place, ty, is_const)
        } else {
            let at = self.at;
            self.initialize(place, ty, at)
        };
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        result
    }

    fn scope_is_file(&self) -> bool {
        true
    }

    fn global_scalar(&mut self, id: GlobalId, place: Place, ty: T, is_const: bool) -> Res<()> {
        let start = self.at;
        let value = self.assignment()?;
        let span = self.span(start);
        let simple = match &value {
            V::Set(..) => Some(self.rvalue(value.clone(), span).0),
            V::R(it, from) => {
                let (it, from) = (*it, *from);
                let value = self.convert(it, from, ty, false, span);
                Lower::simple_value(&V::R(value, ty))
            }
            V::Str(name, ..) => Some(Operand::String(*name)),
            V::Place(at, _, None) if at.steps.is_empty() => match at.base {
                Base::Global(other) => self.constants.get(&other).map(|it| Operand::Int(*it)),
                _ => None,
            },
            _ => None,
        };
        if let Some(value) = simple {
            self.m.global_mut(id).value = Some(value);
            if let (Operand::Int(it), true) = (value, is_const && self.types.is_integer(ty)) {
                self.constants.insert(id, it);
            }
            return Ok(());
        }
        let value = self.coerce(value, ty, span)?;
        self.store(place, value, ty, span);
        Ok(())
    }
}
