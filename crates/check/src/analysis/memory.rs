//! Reading and writing objects, making and freeing them, and what can go wrong with that.

use super::engine::{At, Engine};
use super::issue::Spot;
use super::state::{
    Class, Content, FAR, Failure, Object, Piece, Segment, State, Status, TraceId, is_outside,
};
use super::summary::{Demand, Need};
use super::value::{Meaning, Source, Sym, Terms, Val};
use crate::ir::Binary;
use crate::rules::native as rules;
use heapwise_model::Confidence;
use rustc_hash::FxHashSet;

/// The length of a text, in units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text {
    Length(Val),
    /// No terminator in the whole object, which holds that many units from here.
    Unterminated,
    Unknown,
}

impl Engine<'_> {
    // Loads and stores.

    pub fn load(&mut self, state: &mut State, at: At, bytes: u32) -> Val {
        let size = Val::int(i64::from(bytes.max(1)));
        if !self.access(state, at, size, false) {
            return self.fresh(state, 1, Source::Known);
        }
        let value = self.peek(state, at, bytes);
        if !value.is_uninit() {
            // The caller has to have written what is read of what it hands over.
            if let Some(sym) = value.as_sym()
                && let Meaning::Initial { object, bytes, .. } = self.symbols.meaning(sym)
                && object == at.0
                && self.is_given(object)
            {
                let pointer = self.pointer(at);
                let trace = self.here();
                self.demand(state, Demand::new(Need::Initialized { bytes }, pointer, trace));
            }
            // Kept as it is: that it is null may be known by assumption only.
            return value;
        }
        // Copies are harmless; what is done with the value is not.
        Val::uninit(at.0)
    }

    /// Whether the caller has filled this object: it leads there, or has passed it by value.
    fn is_given(&self, object: Sym) -> bool {
        match self.symbols.meaning(object) {
            Meaning::Initial { .. } => true,
            Meaning::Local(it) => {
                let ty = self.ir.locals[it.index()].ty;
                matches!(self.module.types[ty.index()], crate::ir::Type::Record(_))
            }
            _ => false,
        }
    }

    /// A value that a decision, a computation or a call depends on.
    pub fn used(&mut self, state: &mut State, value: Val) -> Val {
        if !value.is_uninit() {
            return value;
        }
        let is_told = state.object(value.b).is_some_and(|it| it.is_told);
        if !is_told {
            let mut finding = rules::uninitialized_read::finding(self, state, (value.b, Val::ZERO));
            // Who has the address may have been meant to write it.
            let is_exposed = match self.symbols.meaning(value.b) {
                Meaning::Local(it) => self.flow.is_exposed[it.index()],
                _ => false,
            };
            if is_exposed {
                finding.severity = heapwise_model::Severity::Warning;
            }
            self.report(state, finding);
            if let Some(object) = state.object_mut(value.b) {
                object.is_told = true;
            }
        }
        self.fresh(state, 1, Source::Known)
    }

    /// A whole record as a value: the address of a copy that nothing else knows.
    pub fn record(&mut self, state: &mut State, at: At, bytes: u32) -> Val {
        let meaning = Meaning::Record { site: self.site, turn: state.turn(), part: 0 };
        let sym = self.symbols.id(meaning);
        let size = Val::int(i64::from(bytes));
        let mut object = Object::new(Class::Storage, Content::Uninit);
        object.size = Some(size);
        state.put(sym, object);
        self.copy(state, (sym, Val::ZERO), at, size);
        if at.1 == Val::ZERO {
            self.copy_slots(state, sym, at.0);
        }
        Val::sym(sym)
    }

    /// What lies there, without checks.
    pub fn peek(&mut self, state: &mut State, (base, offset): At, bytes: u32) -> Val {
        if base.is_none() {
            return self.fresh(state, 2, Source::Known);
        }
        if let Meaning::Global(linked) = self.symbols.meaning(base)
            && offset == Val::ZERO
            && let Some(value) = self.constant_global(state, linked)
        {
            return value;
        }
        self.ensure(state, base);
        let Some(object) = state.object(base).cloned() else { return self.fresh(state, 2, Source::Known) };
        let Some(lo) = offset.as_int() else { return self.peek_element(state, base, &object, offset, bytes) };
        let hi = lo + i64::from(bytes.max(1));
        if let Meaning::Text { module, name } = self.symbols.meaning(base)
            && !object.is_written
        {
            return self.peek_text(module, name, lo, bytes);
        }
        let written =
            |it: &mut Self, stamp| it.symbols.value(Meaning::Written { object: base, offset: lo, stamp });
        match object.piece(lo, hi) {
            None => self.peek_content(base, &object, lo, hi, bytes),
            Some(Segment { lo: l, hi: h, piece }) => match piece {
                Piece::Value(value) if l == lo && h == hi => value,
                Piece::Value(value) if l <= lo && h >= hi => match value.as_int() {
                    Some(it) => Val::int(extract(it, lo - l, bytes)),
                    None if self.is_word(value) => self.part_of_word(value, lo - l, bytes),
                    None if l == lo => value,
                    None => self.symbols.value(Meaning::Other { value, tag: 16 + (lo - l) as u32 }),
                },
                Piece::Fill { unit, value } if l <= lo && h >= hi => match replicate(unit, value, bytes) {
                    Some(it) => Val::int(it),
                    None => written(self, object.stamp),
                },
                Piece::Written(stamp) if l <= lo => written(self, stamp),
                Piece::Uninit if l <= lo && h >= hi => Val::UNINIT,
                _ => written(self, object.stamp),
            },
        }
    }

    /// Whether a value is a whole word as the function found it, copied without looking at what it is made of.
    fn is_word(&self, value: Val) -> bool {
        let meaning = value.as_sym().map(|it| self.symbols.meaning(it));
        matches!(meaning, Some(Meaning::Initial { bytes: 8, .. }))
    }

    fn part_of_word(&mut self, value: Val, from: i64, bytes: u32) -> Val {
        match self.symbols.meaning(value.a) {
            Meaning::Initial { object, offset, .. } => {
                self.symbols.value(Meaning::Initial { object, offset: offset + from, bytes })
            }
            _ => value,
        }
    }

    /// What a word is made of, if that is more than one piece; offsets from its start.
    pub fn word(&self, state: &State, (base, offset): At) -> Option<Vec<Segment>> {
        let lo = offset.as_int()?;
        let object = state.object(base)?;
        let inside = object.segments.iter().filter(|it| it.lo < lo + 8 && it.hi > lo);
        let pieces: Vec<Segment> =
            inside.map(|it| Segment { lo: it.lo - lo, hi: it.hi - lo, piece: it.piece }).collect();
        let is_split = match pieces[..] {
            [] => false,
            [only] => only.hi - only.lo < 8,
            _ => true,
        };
        (is_split && pieces.iter().all(|it| it.lo >= 0 && it.hi <= 8)).then_some(pieces)
    }

    fn peek_content(&mut self, base: Sym, object: &Object, lo: i64, hi: i64, bytes: u32) -> Val {
        if let Some((from, to, piece)) = object.reach
            && lo >= from
        {
            let is_past = to.as_int().is_some_and(|to| lo >= to);
            if !is_past {
                let stamp = object.stamp;
                return match piece {
                    Piece::Fill { unit, value } if to.as_int().is_some_and(|to| hi <= to) => {
                        match replicate(unit, value, bytes) {
                            Some(it) => Val::int(it),
                            None => self.symbols.value(Meaning::Written { object: base, offset: lo, stamp }),
                        }
                    }
                    _ => self.symbols.value(Meaning::Written { object: base, offset: lo, stamp }),
                };
            }
        }
        match object.content {
            Content::Uninit => Val::UNINIT,
            Content::Zero => Val::ZERO,
            Content::Initial => {
                if !self.bound.is_empty()
                    && lo == 0
                    && let Meaning::Local(local) = self.symbols.meaning(base)
                    && let Some(it) = self.bound.iter().find(|it| it.0 == local)
                {
                    return self.symbols.value(Meaning::Function(it.1));
                }
                if let Meaning::Global(linked) = self.symbols.meaning(base)
                    && let Some(value) = self.constant_content(linked, lo, bytes)
                {
                    return value;
                }
                self.symbols.value(Meaning::Initial { object: base, offset: lo, bytes })
            }
            Content::Written(stamp) => {
                self.symbols.value(Meaning::Written { object: base, offset: lo, stamp })
            }
        }
    }

    fn peek_text(&mut self, module: u32, name: crate::ir::Name, lo: i64, bytes: u32) -> Val {
        let text = self.cx.program.modules[module as usize].name(name).as_bytes();
        let mut value = 0i64;
        for at in (0..i64::from(bytes.min(8))).rev() {
            let byte = usize::try_from(lo + at).ok().and_then(|it| text.get(it)).copied().unwrap_or(0);
            value = value << 8 | i64::from(byte);
        }
        Val::int(if bytes == 1 { i64::from(value as i8) } else { value })
    }

    fn peek_element(
        &mut self,
        state: &mut State,
        base: Sym,
        object: &Object,
        offset: Val,
        bytes: u32,
    ) -> Val {
        if let Some(it) = object.elements.iter().find(|it| it.0 == offset && it.1 == bytes) {
            return it.2;
        }
        let (lo, hi) = state.range(&self.symbols, offset);
        if object.content == Content::Uninit && object.elements.is_empty() {
            // The greatest offset of a loop may lie beyond what was written.
            let mut terms = Terms::new(0);
            let top = if terms.add(offset, 1) { state.reached(&self.symbols, terms, 2) } else { lo };
            let is_bare = object.segments.is_empty() && object.reach.is_none();
            let size = object.size.and_then(Val::as_int).unwrap_or(FAR);
            let end = object
                .segments
                .last()
                .map_or(0, |it| it.hi)
                .max(object.reach.map_or(0, |it| state.range(&self.symbols, it.1).1));
            if is_bare || top >= end && top < size && hi < FAR {
                return Val::UNINIT;
            }
        }
        if object.segments.is_empty()
            && object.content == Content::Zero
            && object.elements.is_empty()
            && object.reach.is_none()
        {
            return Val::ZERO;
        }
        if let [Segment { lo: l, hi: h, piece: Piece::Fill { unit, value } }] = object.segments[..]
            && l <= lo
            && h > hi
            && object.elements.is_empty()
            && let Some(it) = replicate(unit, value, bytes)
        {
            return Val::int(it);
        }
        let it = self.symbols.id(Meaning::Element { object: base, offset, bytes, stamp: object.stamp });
        if bytes == 1 || bytes == 2 || bytes == 4 {
            let range = super::state::narrow_range(bytes as u8, true);
            state.limit(&self.symbols, it, range.0, super::state::narrow_range(bytes as u8, false).1);
        }
        Val::sym(it)
    }

    pub fn store(&mut self, state: &mut State, at: At, bytes: u32, value: Val) {
        let size = Val::int(i64::from(bytes.max(1)));
        if !self.access(state, at, size, true) {
            return;
        }
        if let Some(sym) = value.as_sym()
            && matches!(self.symbols.meaning(sym), Meaning::Record { .. })
        {
            self.copy(state, at, (sym, Val::ZERO), size);
            return;
        }
        self.poke(state, at, bytes, value);
    }

    /// Writes without checks.
    pub fn poke(&mut self, state: &mut State, (base, offset): At, bytes: u32, value: Val) {
        if base.is_none() {
            return;
        }
        self.ensure(state, base);
        let stamp = self.stamp(state);
        let (lo, hi) = state.range(&self.symbols, offset);
        let Some(object) = state.object_mut(base) else { return };
        match offset.as_int() {
            Some(lo) => object.write(lo, lo + i64::from(bytes.max(1)), Piece::Value(value), stamp),
            None => {
                let mut elements = std::mem::take(&mut object.elements);
                elements.retain(|it| {
                    it.0 != offset && it.0.a == offset.a && it.0.b == offset.b && it.0.k == offset.k
                });
                if elements.len() >= 4 {
                    elements.remove(0);
                }
                elements.push((offset, bytes, value));
                let end = object.size.and_then(Val::as_int).unwrap_or(FAR);
                let (lo, hi) = (lo.max(0), hi.saturating_add(i64::from(bytes)).min(end));
                // What lies there now is one of two things: what was, or the new value.
                let text = object.text;
                if hi > lo {
                    let before = std::mem::take(&mut object.segments);
                    for it in &before {
                        if it.lo < hi
                            && it.hi > lo
                            && let Piece::Value(value) = it.piece
                        {
                            object.hold(value);
                        }
                    }
                    object.segments = before;
                    object.write(lo, hi, Piece::Written(stamp), stamp);
                }
                object.is_written = true;
                object.text = text.filter(|_| value.as_int().is_some_and(|it| it != 0));
                object.stamp = stamp;
                object.elements = elements;
                object.hold(value);
            }
        }
    }

    /// Writes the same unit, or something unknown, over a range.
    pub fn fill(&mut self, state: &mut State, (base, offset): At, bytes: Val, piece: Piece) {
        if base.is_none() {
            return;
        }
        self.ensure(state, base);
        let stamp = self.stamp(state);
        let bytes = self.state_value(state, bytes);
        let Some(object) = state.object_mut(base) else { return };
        let limit = object.size.and_then(Val::as_int).unwrap_or(FAR);
        match (offset.as_int(), bytes.as_int()) {
            (Some(lo), Some(count)) => {
                object.write(lo, lo.saturating_add(count).min(limit.max(lo)), piece, stamp)
            }
            (Some(lo), None) if object.reach.is_none() => {
                // What was there may be there still.
                object.hold_from(lo);
                object.write(lo, FAR, Piece::Written(stamp), stamp);
                object.cut_from(lo);
                object.reach = Some((lo, bytes.plus(lo), piece));
            }
            _ => object.forget(stamp),
        }
    }

    /// Copies bytes with all that is known of them.
    pub fn copy(&mut self, state: &mut State, to: At, from: At, bytes: Val) {
        let bytes = self.state_value(state, bytes);
        self.ensure(state, from.0);
        self.ensure(state, to.0);
        let stamp = self.stamp(state);
        let source = state.object(from.0).cloned();
        let (Some(source), Some(count), Some(lo), Some(target)) =
            (source, bytes.as_int(), from.1.as_int(), to.1.as_int())
        else {
            let kept = state.object(from.0).cloned();
            self.fill(state, to, bytes, Piece::Written(stamp));
            if let (Some(kept), Some(object)) = (kept, state.object_mut(to.0)) {
                each_value(&kept, |value| object.hold(value));
            }
            return;
        };
        let hi = lo.saturating_add(count.max(0));
        let text = source.text;
        if let Meaning::Text { module, name } = self.symbols.meaning(from.0) {
            // The first bytes suffice for what is asked of copies of literals: where the terminator is.
            let length = self.cx.program.modules[module as usize].name(name).len() as i64;
            let visible = (length - lo).clamp(0, count.max(0));
            if let Some(object) = state.object_mut(to.0) {
                object.write(target, target + count.max(0), Piece::Written(stamp), stamp);
                if count > visible && lo >= 0 {
                    object.write(target + visible, target + visible + 1, Piece::Value(Val::ZERO), stamp);
                    object.text = Some((target, Val::int(visible)));
                }
            }
            return;
        }
        let mut pieces: Vec<Segment> = Vec::new();
        let mut at = lo;
        for it in source.segments.iter().filter(|it| it.lo < hi && it.hi > lo) {
            if it.lo > at {
                self.copy_gap(from.0, &source, at, it.lo, &mut pieces);
            }
            let (l, h) = (it.lo.max(lo), it.hi.min(hi));
            let piece = match it.piece {
                Piece::Value(_) if l != it.lo || h != it.hi => Piece::Written(stamp),
                other => other,
            };
            pieces.push(Segment { lo: l, hi: h, piece });
            at = h;
        }
        if at < hi {
            self.copy_gap(from.0, &source, at, hi, &mut pieces);
        }
        let Some(object) = state.object_mut(to.0) else { return };
        object.write(target, target + (hi - lo), Piece::Written(stamp), stamp);
        for it in pieces {
            object.write(it.lo - lo + target, it.hi - lo + target, it.piece, stamp);
        }
        if let Some((start, length)) = text
            && start >= lo
            && length.as_int().is_some_and(|it| start + it < hi)
        {
            object.text = Some((start - lo + target, length));
        }
    }

    fn copy_gap(&mut self, base: Sym, source: &Object, lo: i64, hi: i64, pieces: &mut Vec<Segment>) {
        let piece = match source.content {
            _ if source.reach.is_some() => Piece::Written(source.stamp),
            Content::Uninit => Piece::Uninit,
            Content::Zero => Piece::Fill { unit: 1, value: 0 },
            Content::Written(stamp) => Piece::Written(stamp),
            Content::Initial => {
                // Word by word, so that pointers keep their identity.
                if hi - lo <= 128 && lo % 8 == 0 && hi % 8 == 0 {
                    let mut at = lo;
                    while at < hi {
                        let it = self.symbols.value(Meaning::Initial { object: base, offset: at, bytes: 8 });
                        pieces.push(Segment { lo: at, hi: at + 8, piece: Piece::Value(it) });
                        at += 8;
                    }
                    return;
                }
                Piece::Written(source.stamp)
            }
        };
        pieces.push(Segment { lo, hi, piece });
    }

    // Checks.

    /// Checks that a range can be used; `false`: nothing is known of it.
    pub fn access(&mut self, state: &mut State, (base, offset): At, bytes: Val, is_write: bool) -> bool {
        if base.is_none() {
            if offset.as_int().is_some_and(|it| (0..4096).contains(&it)) && !self.is_null_assumed {
                let finding = rules::null_dereference::null(self);
                self.report(state, finding);
                return false;
            }
            return false;
        }
        self.ensure(state, base);
        self.nullness(state, base, is_write);
        let Some(object) = state.object(base).cloned() else { return false };
        match object.status {
            Status::Freed(by) => {
                if !object.is_told && !matches!(object.class, Class::Resource(_)) {
                    let finding = rules::use_after_free::finding(self, &object, by, is_write);
                    self.report(state, finding);
                    if let Some(object) = state.object_mut(base) {
                        object.is_told = true;
                    }
                }
                return true;
            }
            Status::Gone(by) => {
                let finding = rules::dangling_stack_address::used(self, &object, by);
                self.report(state, finding);
                return false;
            }
            Status::Live => {}
        }
        self.node(state, (base, offset));
        self.bounds(state, base, &object, offset, bytes, is_write);
        true
    }

    /// A library function follows a pointer to what only it knows.
    pub fn follow(&mut self, state: &mut State, (base, offset): At) {
        if base.is_none() {
            if offset == Val::ZERO && !self.is_null_assumed {
                let finding = rules::null_dereference::null(self);
                self.report(state, finding);
            }
            return;
        }
        // What variables like `stdin` hold is not null.
        let is_kept = matches!(self.symbols.meaning(base), Meaning::Initial { object, .. }
            if matches!(self.symbols.meaning(object), Meaning::Global(_)));
        if !is_kept {
            self.ensure(state, base);
            self.nullness(state, base, false);
        }
    }

    /// A pointer is followed: it may not be null.
    fn nullness(&mut self, state: &mut State, base: Sym, is_write: bool) {
        if self.symbols.is_address(base) {
            return;
        }
        let fact = state.fact(&self.symbols, base);
        if fact.lo > 0 || fact.hi < 0 || fact.not == Some(0) {
            return;
        }
        let failure = state.object(base).map_or(Failure::Never, |it| it.failure);
        if matches!(self.symbols.meaning(base), Meaning::Made { .. }) && failure == Failure::Null {
            let object = state.object(base).cloned().expect("has a failure");
            let finding = rules::null_dereference::unchecked(self, &object);
            self.report(state, finding);
        } else if self.symbols.is_input(base) {
            self.demand_access(state, Val::sym(base), Val::int(1), is_write);
        }
        if !self.is_unsure {
            state.exclude(&self.symbols, base, 0);
        }
    }

    fn bounds(
        &mut self,
        state: &mut State,
        base: Sym,
        object: &Object,
        offset: Val,
        bytes: Val,
        is_write: bool,
    ) {
        let is_mine = matches!(
            self.symbols.meaning(base),
            Meaning::Local(_) | Meaning::Made { .. } | Meaning::Global(_) | Meaning::Text { .. }
        );
        if bytes.as_int() == Some(0) {
            return;
        }
        // Wide literals are kept by their characters.
        if matches!(self.symbols.meaning(base), Meaning::Text { .. })
            && (self.is_wide || bytes.as_int() == Some(4))
        {
            return;
        }
        if let Some(part) = self.narrow.filter(|it| it.base == base && (is_write || !it.is_written)) {
            let offset = self.symbols.subtract(offset, part.start);
            let mut over = Terms::new(-part.bytes);
            let mut under = Terms::new(0);
            if over.add(offset, 1) && over.add(bytes, 1) && under.add(offset, -1) {
                let sizes = (offset, bytes, Val::int(part.bytes));
                if self.exceeds(state, over) {
                    return self.overflow(state, base, object, sizes, is_write, false);
                }
                if self.exceeds(state, under) {
                    return self.overflow(state, base, object, sizes, is_write, true);
                }
            }
        }
        let Some(size) = object.size else {
            if self.symbols.is_input(base)
                && (offset != Val::ZERO || bytes.as_int().is_none_or(|it| it > 8))
                && let Some(offset) = self.extreme_value(state, offset)
                && let Some(bytes) = self.extreme_value(state, bytes)
            {
                let pointer = self.pointer((base, offset));
                self.demand_access(state, pointer, bytes, is_write);
            }
            return;
        };
        if let (Some(at), Some(count), Some(size)) = (offset.as_int(), bytes.as_int(), size.as_int())
            && at >= 0
            && count >= 0
            && at + count <= size
        {
            return;
        }
        let mut over = Terms::new(0);
        if !(over.add(offset, 1) && over.add(bytes, 1) && over.add(size, -1)) {
            return;
        }
        let mut under = Terms::new(0);
        under.add(offset, -1);
        // A negative number of bytes is a very great one.
        let mut wrapped = Terms::new(0);
        wrapped.add(bytes, -1);
        let is_wrapped = bytes.as_int().is_none() && self.exceeds(state, wrapped)
            || bytes.as_int().is_some_and(|it| it < 0);
        if is_wrapped || self.exceeds(state, over) {
            self.overflow(state, base, object, (offset, bytes, size), is_write, false);
        } else if self.exceeds(state, under) {
            self.overflow(state, base, object, (offset, bytes, size), is_write, true);
        } else if is_mine {
            let is_stack = !matches!(object.class, Class::Heap(_));
            for (terms, is_under) in [(over, false), (under, true)] {
                let Some(terms) = self.extreme(state, terms) else { continue };
                let depends = terms.list().iter().any(|it| self.symbols.is_input(it.0));
                if depends && state.greatest(&self.symbols, terms, 2) > 0 {
                    let pointer = self.sum_of(terms);
                    let trace = self.here();
                    let need = Need::Within { is_write, is_under, is_stack };
                    self.demand(state, Demand::new(need, pointer, trace));
                }
            }
        }
    }

    /// The sum with symbols that take all of their values replaced by what makes it greatest.
    fn extreme(&self, state: &State, mut terms: Terms) -> Option<Terms> {
        for _ in 0..6 {
            let Some(at) = terms.list().iter().position(|it| self.symbols.is_free(it.0)) else {
                return Some(terms);
            };
            let (sym, k) = terms.remove(at);
            let fact = state.fact(&self.symbols, sym);
            let (bound, related) = if k > 0 { (fact.hi, fact.le) } else { (fact.lo, fact.ge) };
            let by = match related {
                Some((to, c)) => Val::sym(to).plus(c),
                None if bound.abs() < FAR => Val::int(bound),
                None => return None,
            };
            if !terms.add(by, k) {
                return None;
            }
        }
        None
    }

    fn extreme_value(&mut self, state: &State, value: Val) -> Option<Val> {
        let mut terms = Terms::new(0);
        if !terms.add(value, 1) {
            return None;
        }
        let terms = self.extreme(state, terms)?;
        Some(self.sum_of(terms))
    }

    fn sum_of(&mut self, terms: Terms) -> Val {
        let mut sum = Val::int(terms.c);
        for &(sym, k) in terms.list() {
            let term = self.symbols.scale(Val::sym(sym), k);
            sum = self.symbols.add(sum, term);
        }
        sum
    }

    /// Whether the sum is greater than 0 in some execution of this path.
    pub fn exceeds(&self, state: &State, terms: Terms) -> bool {
        if terms.list().is_empty() {
            return terms.c > 0;
        }
        state.reached(&self.symbols, terms, 2) > 0
    }

    fn overflow(
        &mut self,
        state: &mut State,
        base: Sym,
        object: &Object,
        (offset, bytes, size): (Val, Val, Val),
        is_write: bool,
        is_under: bool,
    ) {
        // A text that the front end or a literal describes is longer than its one unit.
        if matches!(object.status, Status::Live) {
            let finding =
                rules::heap_overflow::finding(self, base, object, (offset, bytes, size), is_write, is_under);
            self.report(state, finding);
            let is_of_text = |sym: &Sym| matches!(self.symbols.meaning(*sym), Meaning::Length { .. });
            if is_write
                && !is_under
                && matches!(object.class, Class::Heap(_))
                && [size.a, size.b].iter().any(|it| is_of_text(it) && bytes.mentions(*it))
            {
                let finding = rules::undersized_allocation::text(self, object.made);
                self.report(state, finding);
            }
        }
    }

    // Texts.

    /// Units before the terminator of the text at a place.
    pub fn text(&mut self, state: &mut State, (base, offset): At, unit: u8) -> Text {
        if base.is_none() {
            return Text::Unknown;
        }
        self.ensure(state, base);
        let Some(object) = state.object(base).cloned() else { return Text::Unknown };
        let Some(start) = offset.as_int() else { return Text::Unknown };
        let width = i64::from(unit);
        if let Some((from, length)) = object.text
            && start >= from
        {
            let rest = length.plus(-((start - from) / width));
            return Text::Length(self.state_value(state, rest));
        }
        let size = object.size.and_then(Val::as_int);
        let mut at = start;
        let mut steps = 0;
        loop {
            steps += 1;
            if steps > 512 {
                return Text::Unknown;
            }
            if size.is_some_and(|it| at >= it) {
                return Text::Unterminated;
            }
            let Some(segment) = object.piece(at, at + width) else {
                return match object.content {
                    Content::Zero => Text::Length(Val::int((at - start) / width)),
                    Content::Uninit if object.reach.is_none() && object.elements.is_empty() => Text::Unknown,
                    _ if object.reach.is_some() => Text::Unknown,
                    Content::Uninit => Text::Unknown,
                    Content::Initial => self.text_length(state, base, start, Sym::NONE, unit),
                    Content::Written(stamp) => self.text_length(state, base, start, stamp, unit),
                };
            };
            if segment.lo > at {
                // A gap before the next piece.
                return match object.content {
                    Content::Zero => Text::Length(Val::int((at - start) / width)),
                    Content::Initial | Content::Written(_) => {
                        self.text_length(state, base, start, object.stamp, unit)
                    }
                    Content::Uninit => Text::Unknown,
                };
            }
            match segment.piece {
                Piece::Fill { unit: u, value } if value != 0 && u == unit => at = segment.hi,
                Piece::Fill { value: 0, .. } => return Text::Length(Val::int((at - start) / width)),
                Piece::Value(value) if segment.hi - segment.lo == width => match value.as_int() {
                    Some(0) => return Text::Length(Val::int((at - start) / width)),
                    Some(_) => at = segment.hi,
                    None => return self.text_length(state, base, start, object.stamp, unit),
                },
                Piece::Written(stamp) => return self.text_length(state, base, start, stamp, unit),
                _ => return self.text_length(state, base, start, object.stamp, unit),
            }
        }
    }

    fn text_length(&mut self, state: &mut State, base: Sym, start: i64, stamp: Sym, unit: u8) -> Text {
        let it = self.symbols.id(Meaning::Length { object: base, offset: start, stamp, unit });
        if let Some(object) = state.object(base)
            && let Some(size) = object.size.and_then(Val::as_int)
        {
            // Only input can be without a terminator, and only where none was written after it.
            let has_end = object.segments.iter().any(|it| {
                it.lo >= start && matches!(it.piece, Piece::Value(Val::ZERO) | Piece::Fill { value: 0, .. })
            });
            if has_end || !self.is_from_outside(stamp) {
                let most = (size - start) / i64::from(unit) - 1;
                state.limit(&self.symbols, it, 0, most.max(0));
            }
        }
        Text::Length(Val::sym(it))
    }

    // Making and freeing.

    pub fn allocate(
        &mut self,
        state: &mut State,
        family: u16,
        bytes: Option<Val>,
        is_zeroed: bool,
        failure: Failure,
        part: u32,
    ) -> Val {
        let sym = self.symbols.id(Meaning::Made { site: self.site, turn: state.turn(), part });
        let mut object =
            Object::new(Class::Heap(family), if is_zeroed { Content::Zero } else { Content::Uninit });
        let is_alloca = self.cx.families.alloca == family;
        object.failure = failure;
        object.size = bytes.filter(|it| !it.is_uninit());
        object.made = self.here();
        if let Some(size) = object.size
            && size.as_int().is_some_and(|it| it < 0)
        {
            object.size = None;
        }
        state.put(sym, object);
        if failure == Failure::Never || is_alloca {
            state.limit(&self.symbols, sym, 4096, FAR);
        } else {
            state.limit(&self.symbols, sym, 0, FAR);
        }
        Val::sym(sym)
    }

    pub fn acquire(&mut self, state: &mut State, class: u16, failure: Failure, part: u32) -> Val {
        let sym = self.symbols.id(Meaning::Made { site: self.site, turn: state.turn(), part });
        let mut object = Object::new(Class::Resource(class), Content::Written(sym));
        object.failure = failure;
        object.made = self.here();
        state.put(sym, object);
        match failure {
            Failure::Never => state.limit(&self.symbols, sym, 1, FAR),
            Failure::Null => state.limit(&self.symbols, sym, 0, FAR),
            Failure::Negative => state.limit(&self.symbols, sym, -1, FAR),
        };
        Val::sym(sym)
    }

    pub fn release(&mut self, state: &mut State, value: Val, _class: u16) {
        let value = self.state_value(state, value);
        let by = self.here();
        let Some((base, _)) = self.split(value) else { return };
        if base.is_none() {
            return;
        }
        self.ensure(state, base);
        if let Some(object) = state.object_mut(base) {
            object.status = Status::Freed(by);
            object.is_written = true;
        }
    }

    pub fn free(&mut self, state: &mut State, value: Val, family: u16, by: TraceId) {
        let value = self.state_value(state, value);
        if value.is_uninit() {
            return;
        }
        let Some((base, offset)) = self.split(value) else { return };
        if base.is_none() {
            return;
        }
        self.ensure(state, base);
        let Some(object) = state.object(base).cloned() else { return };
        let meaning = self.symbols.meaning(base);
        let is_alloca = object.class == Class::Heap(self.cx.families.alloca);
        match meaning {
            Meaning::Local(_) | Meaning::Global(_) | Meaning::Text { .. } | Meaning::Function(_) => {
                let finding = rules::invalid_free::not_heap(self, meaning, &object, by);
                self.report(state, finding);
                return;
            }
            _ if is_alloca => {
                let finding = rules::invalid_free::not_heap(self, meaning, &object, by);
                self.report(state, finding);
                return;
            }
            _ => {}
        }
        if let Status::Freed(before) = object.status {
            if matches!(object.class, Class::Heap(_) | Class::Storage) {
                let mut finding = rules::double_free::finding(self, &object, before, by);
                if !self.is_surely_there(state, base, &object) {
                    finding.confidence = Confidence::Likely;
                }
                self.report(state, finding);
            }
            return;
        }
        if matches!(object.class, Class::Heap(_)) {
            let is_moved = match offset.as_int() {
                Some(it) => it != 0,
                None => {
                    let mut terms = Terms::new(0);
                    terms.add(offset, 1)
                        && (state.least(&self.symbols, terms, 2) > 0
                            || state.reached(&self.symbols, terms, 1) > 0)
                }
            };
            if is_moved {
                let finding = rules::invalid_free::interior(self, &object, by);
                self.report(state, finding);
            }
        }
        if let Class::Heap(made) = object.class
            && family != made
            && family != u16::MAX
            && made != u16::MAX
        {
            let finding = rules::mismatched_free::finding(self, &object, made, family, by);
            self.report(state, finding);
        }
        if let Some(object) = state.object_mut(base) {
            object.status = Status::Freed(by);
            object.is_written = true;
            if object.class == Class::Storage {
                // Callers compare the family with their block's.
                object.held.clear();
                object.freed_as = family;
            }
        }
    }

    /// The block that replaces one; what was in it moves along.
    pub fn reallocate(&mut self, state: &mut State, value: Val, bytes: Option<Val>) -> Val {
        let value = self.state_value(state, value);
        let by = self.here();
        let bytes = bytes.map(|it| self.state_value(state, it));
        let family = self.cx.families.malloc;
        let old = self.split(value).filter(|it| !it.0.is_none());
        let moved = old.and_then(|it| {
            self.ensure(state, it.0);
            state.object(it.0).cloned()
        });
        if old.is_some() {
            self.free(state, value, family, by);
        }
        let made = self.allocate(state, family, bytes, false, Failure::Never, 1);
        if let (Some(moved), Some(sym)) = (moved, made.as_sym())
            && let Some(object) = state.object_mut(sym)
        {
            object.segments = moved.segments.clone();
            object.held = moved.held.clone();
            object.elements = moved.elements.clone();
            object.text = moved.text;
            object.stamp = moved.stamp;
            object.reach = moved.reach;
            if moved.content != Content::Uninit {
                object.content = Content::Written(sym);
            }
        }
        made
    }

    /// Values become known to code that is not seen, which may keep, free or change what they lead to.
    pub fn escape(&mut self, state: &mut State, values: &[Val], is_called: bool) {
        let source = if is_called { Source::Unknown } else { Source::Known };
        let stamp =
            self.symbols.id(Meaning::Result { site: self.site, turn: state.turn(), part: 0x200, source });
        let mut work: Vec<Sym> = Vec::new();
        let mut seen: FxHashSet<Sym> = FxHashSet::default();
        let mut bases = Vec::new();
        for &value in values {
            self.bases(value, &mut bases);
        }
        work.append(&mut bases);
        while let Some(base) = work.pop() {
            if base.0 < 2 || !seen.insert(base) || seen.len() > 256 {
                continue;
            }
            self.slots(state, base, &mut work);
            let Some(object) = state.object(base).cloned() else {
                // Storage of which nothing is known yet: from now on its content is no longer the initial one.
                if is_called
                    && matches!(
                        self.symbols.meaning(base),
                        Meaning::Local(_) | Meaning::Global(_) | Meaning::Initial { .. }
                    )
                {
                    self.ensure(state, base);
                    if let Some(object) = state.object_mut(base) {
                        object.is_escaped = true;
                        object.forget(stamp);
                    }
                }
                continue;
            };
            each_value(&object, |value| self.bases(value, &mut work));
            if matches!(self.symbols.meaning(base), Meaning::Text { .. } | Meaning::Function(_)) {
                continue;
            }
            if let Some(object) = state.object_mut(base) {
                object.is_escaped = true;
                if is_called {
                    object.forget(stamp);
                }
            }
        }
    }

    /// Symbols of objects that a value may lead to.
    pub fn bases(&self, value: Val, out: &mut Vec<Sym>) {
        let mut work = vec![value];
        let mut fuel = 16;
        while let Some(value) = work.pop() {
            fuel -= 1;
            if fuel == 0 {
                return;
            }
            if value.is_uninit() {
                continue;
            }
            for sym in [value.a, value.b] {
                match self.symbols.meaning(sym) {
                    Meaning::Nothing | Meaning::Uninit => {}
                    Meaning::Binary { left, right, op } if !super::state::is_comparison(op) => {
                        work.extend([left, right]);
                    }
                    Meaning::Narrow { value, .. } | Meaning::Other { value, .. } => work.push(value),
                    _ => out.push(sym),
                }
            }
        }
    }

    /// Makes of `to` a container with the elements of `from`.
    pub fn copy_slots(&mut self, state: &mut State, to: Sym, from: Sym) {
        let mut slots = Vec::new();
        self.slots(state, from, &mut slots);
        for slot in slots {
            if let (Meaning::Slot { key, .. }, Some(object)) =
                (self.symbols.meaning(slot), state.object(slot).cloned())
            {
                let copy = self.symbols.id(Meaning::Slot { container: to, key });
                state.put(copy, (*object).clone());
            }
        }
    }

    /// Elements of a container.
    pub fn slots(&self, state: &State, container: Sym, out: &mut Vec<Sym>) {
        if !self.has_slots {
            return;
        }
        for (sym, _) in state.objects.iter() {
            if matches!(self.symbols.meaning(*sym), Meaning::Slot { container: it, .. } if it == container) {
                out.push(*sym);
            }
        }
    }

    /// Symbols reachable from these values and from what outlives the function.
    pub fn reachable(
        &self,
        state: &State,
        roots: &[Val],
        is_local_root: impl Fn(Sym) -> bool,
    ) -> FxHashSet<Sym> {
        let mut work = Vec::new();
        for &root in roots {
            self.bases(root, &mut work);
        }
        for (sym, object) in state.objects.iter() {
            let is_mine = matches!(
                self.symbols.meaning(*sym),
                Meaning::Local(_) | Meaning::Made { .. } | Meaning::Record { .. } | Meaning::Slot { .. }
            );
            if !is_mine || object.is_escaped || is_local_root(*sym) {
                work.push(*sym);
            }
        }
        let mut seen: FxHashSet<Sym> = FxHashSet::default();
        while let Some(sym) = work.pop() {
            if !seen.insert(sym) {
                continue;
            }
            self.slots(state, sym, &mut work);
            if let Some(object) = state.object(sym) {
                each_value(object, |value| self.bases(value, &mut work));
            }
        }
        seen
    }

    // Returning.

    pub fn leave_function(&mut self, mut state: State, value: Option<Val>) {
        for frame in std::mem::take(&mut state.frames) {
            if frame.arrivals == 3 {
                self.note_left(&mut state, frame.head);
            }
        }
        self.recall_rounds(&mut state);
        // A null that is only assumed stays a symbol: callers are not to take it for certain.
        let value = value.map(|it| match self.state_value(&state, it) {
            known if known == Val::ZERO => it,
            known => known,
        });
        if !state.locks.is_empty() && !state.is_raised && self.lock_exits.len() < 64 {
            let exit = self.here();
            self.lock_exits.push((state.locks.clone(), value, exit));
        }
        self.returned(&mut state, value);
        self.stored(&mut state);
        let roots: Vec<Val> = value.into_iter().collect();
        let seen = self.reachable(&state, &roots, |it| self.is_library_local(it));
        let exit = self.here();
        let lost: Vec<(Sym, std::rc::Rc<Object>)> = state
            .objects
            .iter()
            .filter(|(sym, object)| {
                object.status == Status::Live
                    && !object.is_escaped
                    && matches!(self.symbols.meaning(*sym), Meaning::Made { .. })
                    && object.class != Class::Heap(self.cx.families.alloca)
                    && !seen.contains(sym)
                    && self.is_successful(&state, *sym, object)
            })
            .map(|it| (it.0, it.1.clone()))
            .collect();
        for (sym, object) in lost {
            let finding = match object.class {
                Class::Heap(_) => rules::memory_leak::finding(self, &object, exit),
                Class::Resource(class) => rules::resource_leak::finding(self, &object, class, exit),
                Class::Storage => continue,
            };
            let mut finding = finding;
            if !self.is_surely_there(&state, sym, &object) {
                finding.confidence = Confidence::Likely;
            }
            if self.is_main && finding.severity == heapwise_model::Severity::Error {
                finding.severity = heapwise_model::Severity::Warning;
            }
            self.report(&mut state, finding);
        }
        if self.is_main {
            self.kept_to_the_end(&mut state, &seen, exit);
        }
        if self.exits.len() < 64 {
            self.exits.push((state, value));
        } else {
            self.is_incomplete = true;
        }
    }

    /// Blocks that only variables with static storage lead to when the program ends: worth a note.
    fn kept_to_the_end(&mut self, state: &mut State, seen: &FxHashSet<Sym>, exit: TraceId) {
        let kept: Vec<std::rc::Rc<Object>> = state
            .objects
            .iter()
            .filter(|(sym, object)| {
                object.status == Status::Live
                    && !object.is_escaped
                    && seen.contains(sym)
                    && matches!(self.symbols.meaning(*sym), Meaning::Made { .. })
                    && self.is_successful(state, *sym, object)
            })
            .map(|it| it.1.clone())
            .collect();
        for object in kept {
            let mut finding = match object.class {
                Class::Heap(_) => rules::memory_leak::kept(self, &object, exit),
                Class::Resource(class) => rules::resource_leak::finding(self, &object, class, exit),
                Class::Storage => continue,
            };
            finding.severity = heapwise_model::Severity::Note;
            self.report(state, finding);
        }
    }

    /// The address of a local, or of a freed block, may not be returned.
    fn returned(&mut self, state: &mut State, value: Option<Val>) {
        let Some((base, _)) = value.and_then(|it| self.split(it)) else { return };
        if self.is_on_stack(state, base) {
            self.ensure(state, base);
            if let Some(object) = state.object(base).cloned() {
                let finding = rules::dangling_stack_address::returned(self, &object);
                self.report(state, finding);
            }
        } else if let Some(object) = state.object(base).cloned()
            && let Status::Freed(by) = object.status
            && matches!(self.symbols.meaning(base), Meaning::Made { .. } | Meaning::Result { .. })
            && !matches!(object.class, Class::Resource(_))
            && !object.is_told
        {
            let finding = rules::use_after_free::returned(self, &object, by);
            self.report(state, finding);
            if let Some(object) = state.object_mut(base) {
                object.is_told = true;
            }
        }
    }

    /// Whether the address is that of a variable of this function. Temporaries do not count: they stand for what
    /// the front end could not make out.
    fn is_on_stack(&self, state: &State, base: Sym) -> bool {
        match self.symbols.meaning(base) {
            Meaning::Local(it) => !self.module.name(self.ir.locals[it.index()].name).is_empty(),
            Meaning::Made { .. } => {
                state.object(base).is_some_and(|it| it.class == Class::Heap(self.cx.families.alloca))
            }
            _ => false,
        }
    }

    /// Nor may it lie in a global or in the caller's memory when the function ends.
    fn stored(&mut self, state: &mut State) {
        if self.is_main {
            return;
        }
        // What lies further away is often taken back by whoever looks after it.
        let outlives = |meaning| match meaning {
            Meaning::Global(_) => true,
            Meaning::Initial { object, .. } => matches!(self.symbols.meaning(object), Meaning::Local(_)),
            _ => false,
        };
        let mut found = Vec::new();
        for (sym, object) in state.objects.iter() {
            if !object.is_written || object.is_escaped || !outlives(self.symbols.meaning(*sym)) {
                continue;
            }
            for it in &object.segments {
                if let Piece::Value(value) = it.piece
                    && let Some((base, _)) = self.split(value)
                    && self.is_on_stack(state, base)
                    && !found.contains(&base)
                {
                    found.push(base);
                }
            }
        }
        for base in found {
            self.ensure(state, base);
            if let Some(object) = state.object(base).cloned() {
                let finding = rules::dangling_stack_address::stored(self, &object);
                self.report(state, finding);
            }
        }
    }

    /// Whether the allocation or acquisition has succeeded on this path.
    fn is_surely_there(&self, state: &State, sym: Sym, object: &Object) -> bool {
        let fact = state.fact(&self.symbols, sym);
        match object.failure {
            Failure::Never => true,
            Failure::Null => fact.lo > 0 || fact.not == Some(0),
            Failure::Negative => fact.lo >= 0,
        }
    }

    /// Whether the allocation or acquisition can have succeeded on this path.
    fn is_successful(&self, state: &State, sym: Sym, object: &Object) -> bool {
        let fact = state.fact(&self.symbols, sym);
        match object.failure {
            Failure::Never => true,
            Failure::Null => fact.hi > 0,
            // One that is known by its number is not lost with its variable.
            Failure::Negative => fact.hi >= 0 && fact.lo < fact.hi,
        }
    }

    pub fn spot_of(&self, trace: TraceId) -> Spot {
        self.traces[trace as usize].spot
    }

    /// Whether input from outside lies there.
    pub fn is_from_outside(&self, stamp: Sym) -> bool {
        is_outside(&self.symbols, stamp)
    }

    /// Compares and restricts; used by library models.
    pub fn restrict(&mut self, state: &mut State, op: Binary, left: Val, right: Val) -> bool {
        let before = (state.is_conditional, state.is_certain, state.assumed);
        let is_possible = state.assume(&mut self.symbols, op, left, right);
        (state.is_conditional, state.is_certain, state.assumed) = before;
        is_possible
    }
}

/// Calls `f` with each value that lies in an object.
pub fn each_value(object: &Object, mut f: impl FnMut(Val)) {
    for it in &object.segments {
        if let Piece::Value(value) = it.piece {
            f(value);
        }
    }
    for it in &object.elements {
        f(it.2);
    }
    for &it in &object.held {
        f(it);
    }
}

fn extract(value: i64, from: i64, bytes: u32) -> i64 {
    let shifted = value >> (from * 8).clamp(0, 63);
    match bytes {
        1 => i64::from(shifted as i8),
        2 => i64::from(shifted as i16),
        4 => i64::from(shifted as i32),
        _ => shifted,
    }
}

/// The number that `bytes` bytes of equal units make.
fn replicate(unit: u8, value: i64, bytes: u32) -> Option<i64> {
    if value == 0 || u32::from(unit) == bytes {
        return Some(value);
    }
    if unit == 1 && bytes <= 8 {
        let one = u64::from(value as u8);
        let all = (0..bytes).fold(0u64, |all, _| all << 8 | one);
        return Some(match bytes {
            2 => i64::from(all as i16),
            4 => i64::from(all as i32),
            _ => all as i64,
        });
    }
    None
}
