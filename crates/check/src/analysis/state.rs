//! One path's knowledge at one point: facts on symbols and the content of objects.
//!
//! States fork at every branch, so their parts are shared and copied on write. A symbol without a fact has the
//! range of its meaning; an object without an entry is as the function found it.

pub use super::facts::Fact;
use super::facts::Facts;
use super::issue::{Assumed, Assumptions};
use super::value::{Meaning, Source, Sym, Symbols, Terms, Val};
use crate::ir::{Binary, BlockId, ClassId};
use std::rc::Rc;

/// Beyond this a bound says nothing; sums of a few such do not overflow.
pub const FAR: i64 = i64::MAX >> 8;
/// Segments per object; older ones are forgotten into unknown content.
const SEGMENTS_MAX: usize = 96;
/// Values per object that lie at no known offset.
const HELD_MAX: usize = 48;

/// Number of a [`super::Trace`] of the function's analysis.
pub type TraceId = u32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Live,
    Freed(TraceId),
    /// The scope of a local ended.
    Gone(TraceId),
}

/// What an object holds where nothing was written yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    Uninit,
    Zero,
    /// What it held when the function was entered.
    Initial,
    /// What something unknown wrote at that moment.
    Written(Sym),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    Value(Val),
    /// Units of so many bytes that all have this value.
    Fill {
        unit: u8,
        value: i64,
    },
    Written(Sym),
    /// Uninitialized, though the object's content is something else.
    Uninit,
}

/// Bytes `[lo, hi)` of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    pub lo: i64,
    pub hi: i64,
    pub piece: Piece,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A local, a global, a literal, or what a parameter leads to.
    Storage,
    /// A heap block of a family.
    Heap(u16),
    /// A resource of a class.
    Resource(u16),
}

/// How a failed acquisition shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    Never,
    Null,
    Negative,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    pub class: Class,
    pub status: Status,
    pub failure: Failure,
    /// Bytes, if known.
    pub size: Option<Val>,
    pub content: Content,
    /// Sorted, not overlapping.
    pub segments: Vec<Segment>,
    /// Writes at offsets that are no constants, the last ones; they do not overlap what was written since.
    pub elements: Vec<(Val, u32, Val)>,
    /// Bytes from a constant up to a value, written by a loop or a call.
    pub reach: Option<(i64, Val, Piece)>,
    /// Offset and length of a text.
    pub text: Option<(i64, Val)>,
    /// Values that lie somewhere in it: what they lead to stays reachable.
    pub held: Vec<Val>,
    /// Code that is not seen knows its address.
    pub is_escaped: bool,
    pub is_written: bool,
    /// When it was written last.
    pub stamp: Sym,
    pub made: TraceId,
    /// Of storage that was freed as if it were a heap block: as one of which family.
    pub freed_as: u16,
    /// A use after its end was reported.
    pub is_told: bool,
    /// Of a block that was asked for by the size of a record: which one, by module and class.
    pub of: Option<(u32, ClassId)>,
}

impl Object {
    pub fn new(class: Class, content: Content) -> Object {
        Object {
            class,
            status: Status::Live,
            failure: Failure::Never,
            size: None,
            content,
            segments: Vec::new(),
            elements: Vec::new(),
            reach: None,
            text: None,
            held: Vec::new(),
            is_escaped: false,
            is_written: false,
            stamp: Sym::NONE,
            made: 0,
            freed_as: u16::MAX,
            is_told: false,
            of: None,
        }
    }

    /// Makes room for new content of `[lo, hi)`.
    fn cut(&mut self, lo: i64, hi: i64) {
        let from = self.segments.partition_point(|it| it.hi <= lo);
        let to = self.segments.partition_point(|it| it.lo < hi);
        if from >= to {
            return;
        }
        let mut rest = [None, None];
        let stamp = self.stamp;
        let trim = |it: Segment, lo: i64, hi: i64| {
            let piece = match it.piece {
                Piece::Value(_) => Piece::Written(stamp),
                other => other,
            };
            Segment { lo, hi, piece }
        };
        let first = self.segments[from];
        if first.lo < lo {
            rest[0] = Some(trim(first, first.lo, lo));
        }
        let last = self.segments[to - 1];
        if last.hi > hi {
            rest[1] = Some(trim(last, hi, last.hi));
        }
        self.segments.splice(from..to, rest.into_iter().flatten());
    }

    /// Forgets that anything was written from `lo` on.
    pub fn cut_from(&mut self, lo: i64) {
        self.cut(lo, i64::MAX);
    }

    /// Writes `[lo, hi)`.
    pub fn write(&mut self, lo: i64, hi: i64, piece: Piece, stamp: Sym) {
        self.is_written = true;
        self.text = None;
        self.stamp = stamp;
        if hi <= lo {
            return;
        }
        self.elements.clear();
        if let Some((from, to, _)) = self.reach
            && from >= lo
            && to.as_int().is_some_and(|it| it <= hi)
        {
            self.reach = None;
        }
        self.cut(lo, hi);
        if self.segments.len() >= SEGMENTS_MAX {
            self.forget(stamp);
        }
        let at = self.segments.partition_point(|it| it.lo < lo);
        // Equal neighbors become one, so that loops over arrays leave one segment.
        if let Piece::Value(value) = piece
            && let (Some(value), Some(unit)) = (value.as_int(), u8::try_from(hi - lo).ok())
            && unit <= 8
        {
            let fill = Piece::Fill { unit, value };
            if let Some(before) = at.checked_sub(1).map(|it| self.segments[it])
                && before.hi == lo
                && (before.piece == fill || before.piece == piece && before.hi - before.lo == i64::from(unit))
                && value != 0
            {
                self.segments[at - 1] = Segment { lo: before.lo, hi, piece: fill };
                return;
            }
        }
        self.segments.insert(at, Segment { lo, hi, piece });
    }

    /// A value lies somewhere in it.
    pub fn hold(&mut self, value: Val) {
        if !value.a.is_none() && self.held.len() < HELD_MAX && !self.held.contains(&value) {
            self.held.push(value);
        }
    }

    /// What lies from `lo` on may lie there still when something else is written.
    pub fn hold_from(&mut self, lo: i64) {
        for at in 0..self.segments.len() {
            let segment = self.segments[at];
            if let Piece::Value(value) = segment.piece
                && segment.hi > lo
            {
                self.hold(value);
            }
        }
    }

    /// Something unknown may have written anywhere.
    pub fn forget(&mut self, stamp: Sym) {
        self.is_written = true;
        self.hold_from(i64::MIN);
        self.segments.clear();
        self.elements.clear();
        self.reach = None;
        self.text = None;
        self.content = Content::Written(stamp);
        self.stamp = stamp;
    }

    /// What lies at `[lo, hi)` exactly, if one piece covers it.
    pub fn piece(&self, lo: i64, hi: i64) -> Option<Segment> {
        let at = self.segments.partition_point(|it| it.hi <= lo);
        self.segments.get(at).copied().filter(|it| it.lo < hi)
    }
}

/// A loop that the path is in.
#[derive(Clone, Debug)]
pub struct Frame {
    pub head: BlockId,
    /// How often the head was reached; 3: once for all further rounds.
    pub arrivals: u8,
    /// The states at the first and at the previous arrival, without frames.
    pub first: Option<Rc<State>>,
    pub before: Option<Rc<State>>,
}

/// A lock that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    pub lock: Val,
    pub at: TraceId,
    /// It was not given back yet.
    pub is_held: bool,
}

#[derive(Clone, Debug)]
pub struct State {
    pub facts: Rc<Facts>,
    /// Sorted by symbol.
    pub objects: Rc<Vec<(Sym, Rc<Object>)>>,
    /// Registers that live across blocks.
    pub registers: Rc<Vec<Val>>,
    pub frames: Vec<Frame>,
    /// Numbers of latent issues and of demands on the caller, in the function's tables.
    pub latent: Rc<Vec<u32>>,
    pub demands: Rc<Vec<u32>>,
    /// Locks that this function has taken, the newest last.
    pub locks: Rc<Vec<Held>>,
    /// Heads of loops that were left after more than two rounds, and whether on every way that met here.
    pub left: Rc<Vec<(BlockId, bool)>>,
    /// Sorted: symbols under conditions that facts cannot say, so that they need not take all of their values.
    pub tangled: Rc<Vec<Sym>>,
    /// A branch was taken that depends on what the function was given.
    pub is_conditional: bool,
    /// The function is left by an exception.
    pub is_raised: bool,
    /// An allocation was found to have failed.
    pub has_failed: bool,
    /// No condition was left open by anything but what the function was given.
    pub is_certain: bool,
    pub assumptions: Assumptions,
    /// What conditions were assumed that the engine has not yet taken note of.
    pub assumed: Option<Assumed>,
}

impl State {
    pub fn new(registers: usize) -> State {
        State {
            facts: Rc::default(),
            objects: Rc::default(),
            registers: Rc::new(vec![Val::ZERO; registers]),
            frames: Vec::new(),
            latent: Rc::default(),
            demands: Rc::default(),
            locks: Rc::default(),
            left: Rc::default(),
            tangled: Rc::default(),
            is_conditional: false,
            is_raised: false,
            has_failed: false,
            is_certain: true,
            assumptions: Assumptions::default(),
            assumed: None,
        }
    }

    /// Tells rounds of loops apart.
    pub fn turn(&self) -> u32 {
        self.frames.iter().fold(0, |all, it| all.wrapping_mul(4).wrapping_add(u32::from(it.arrivals)))
    }

    pub fn object(&self, sym: Sym) -> Option<&Rc<Object>> {
        self.objects.binary_search_by_key(&sym, |it| it.0).ok().map(|at| &self.objects[at].1)
    }

    pub fn object_mut(&mut self, sym: Sym) -> Option<&mut Object> {
        let at = self.objects.binary_search_by_key(&sym, |it| it.0).ok()?;
        Some(Rc::make_mut(&mut Rc::make_mut(&mut self.objects)[at].1))
    }

    pub fn put(&mut self, sym: Sym, object: Object) {
        let objects = Rc::make_mut(&mut self.objects);
        match objects.binary_search_by_key(&sym, |it| it.0) {
            Ok(at) => objects[at].1 = Rc::new(object),
            Err(at) => objects.insert(at, (sym, Rc::new(object))),
        }
    }

    pub fn remove(&mut self, sym: Sym) {
        if let Ok(at) = self.objects.binary_search_by_key(&sym, |it| it.0) {
            Rc::make_mut(&mut self.objects).remove(at);
        }
    }

    pub fn known(&self, sym: Sym) -> Option<&Fact> {
        self.facts.get(sym)
    }

    pub fn fact(&self, symbols: &Symbols, sym: Sym) -> Fact {
        match self.known(sym) {
            Some(it) => *it,
            None => {
                let (lo, hi) = self.range_of_meaning(symbols, sym, 3);
                Fact { lo, hi, not: None, le: None, ge: None }
            }
        }
    }

    /// Least and greatest value of a symbol.
    fn bounds(&self, symbols: &Symbols, sym: Sym) -> (i64, i64) {
        match self.known(sym) {
            Some(it) => (it.lo, it.hi),
            None => self.range_of_meaning(symbols, sym, 3),
        }
    }

    fn set_fact(&mut self, sym: Sym, fact: Fact) {
        Rc::make_mut(&mut self.facts).set(sym, fact);
    }

    fn range_of_meaning(&self, symbols: &Symbols, sym: Sym, depth: u8) -> (i64, i64) {
        let by_bytes = |bytes: u32| match bytes {
            1 => (-128, 255),
            2 => (-0x8000, 0xffff),
            4 => (-0x8000_0000, 0xffff_ffff),
            _ => (-FAR, FAR),
        };
        match symbols.meaning(sym) {
            Meaning::Local(_)
            | Meaning::Global(_)
            | Meaning::Function(_)
            | Meaning::Text { .. }
            | Meaning::Record { .. }
            | Meaning::Outer { .. }
            | Meaning::Slot { .. } => (4096, FAR),
            Meaning::Initial { bytes, .. } => by_bytes(bytes),
            Meaning::Length { .. } | Meaning::Rounds { .. } => (0, FAR),
            Meaning::Narrow { bytes, is_signed, value } => {
                let natural = narrow_range(bytes, is_signed);
                if depth == 0 {
                    return natural;
                }
                let (lo, hi) = self.range_at(symbols, value, depth - 1);
                if lo >= natural.0 && hi <= natural.1 { (lo, hi) } else { natural }
            }
            Meaning::Binary { op, left, right } if depth > 0 => {
                self.range_of_binary(symbols, op, left, right, depth - 1)
            }
            _ => (-FAR, FAR),
        }
    }

    fn range_of_binary(&self, symbols: &Symbols, op: Binary, left: Val, right: Val, depth: u8) -> (i64, i64) {
        if is_comparison(op) {
            return (0, 1);
        }
        let (a, b) = self.range_at(symbols, left, depth);
        let (c, d) = self.range_at(symbols, right, depth);
        let clamp = |it: i128| it.clamp(-i128::from(FAR), i128::from(FAR)) as i64;
        let wide = i128::from;
        match op {
            Binary::Add => (clamp(wide(a) + wide(c)), clamp(wide(b) + wide(d))),
            Binary::Subtract => (clamp(wide(a) - wide(d)), clamp(wide(b) - wide(c))),
            Binary::Multiply => {
                let all = [wide(a) * wide(c), wide(a) * wide(d), wide(b) * wide(c), wide(b) * wide(d)];
                (clamp(*all.iter().min().expect("four")), clamp(*all.iter().max().expect("four")))
            }
            Binary::Divide if c > 0 => {
                let all = [a / c, a / d, b / c, b / d];
                (*all.iter().min().expect("four"), *all.iter().max().expect("four"))
            }
            Binary::Remainder if c > 0 => (if a < 0 { -(d - 1) } else { 0 }, (d - 1).min(b.max(0))),
            Binary::And if c >= 0 => (0, d),
            Binary::And if a >= 0 => (0, b),
            Binary::ShiftRight if a >= 0 && c >= 0 => (0, if c < 63 { b >> c } else { 0 }),
            Binary::ShiftLeft if a >= 0 && c >= 0 && d < 32 && b < FAR >> 33 => (a << c, b << d),
            Binary::Or | Binary::Xor if a >= 0 && c >= 0 && b < FAR && d < FAR => {
                let top = 64 - (b | d).leading_zeros();
                (0, ((1i128 << top) - 1) as i64)
            }
            _ => (-FAR, FAR),
        }
    }

    fn range_at(&self, symbols: &Symbols, value: Val, depth: u8) -> (i64, i64) {
        let mut lo = i128::from(value.c);
        let mut hi = lo;
        for (sym, k) in [(value.a, 1), (value.b, value.k)] {
            if sym.is_none() {
                continue;
            }
            let (l, h) = match self.known(sym) {
                Some(it) => (it.lo, it.hi),
                None => self.range_of_meaning(symbols, sym, depth),
            };
            let (x, y) = (i128::from(l) * i128::from(k), i128::from(h) * i128::from(k));
            lo += x.min(y);
            hi += x.max(y);
            if l <= -FAR && k > 0 || h >= FAR && k < 0 {
                lo = -i128::from(FAR);
            }
            if h >= FAR && k > 0 || l <= -FAR && k < 0 {
                hi = i128::from(FAR);
            }
        }
        let far = i128::from(FAR);
        (lo.clamp(-far, far) as i64, hi.clamp(-far, far) as i64)
    }

    /// Least and greatest value, by the symbols' own ranges.
    pub fn range(&self, symbols: &Symbols, value: Val) -> (i64, i64) {
        self.range_at(symbols, value, 3)
    }

    /// The value with symbols that have one value replaced.
    pub fn resolve(&self, symbols: &mut Symbols, mut value: Val) -> Val {
        if self.facts.is_empty() || value.is_uninit() {
            return value;
        }
        for _ in 0..4 {
            let mut is_same = true;
            for (sym, k) in [(value.a, 1), (value.b, value.k)] {
                if sym.0 < 2 {
                    continue;
                }
                let Some(fact) = self.known(sym) else { continue };
                let by = if fact.lo == fact.hi {
                    Val::int(fact.lo)
                } else if fact.le.is_some_and(|it| it.0 < sym) && fact.le == fact.ge {
                    let (to, c) = fact.le.expect("checked");
                    Val::sym(to).plus(c)
                } else {
                    continue;
                };
                let rest = if sym == value.a {
                    Val { a: Sym::NONE, ..value }
                } else {
                    Val { b: Sym::NONE, k: 0, ..value }
                };
                let by = symbols.scale(by, k);
                let rest = if rest.a.is_none() && rest.k == 1 {
                    Val { a: rest.b, b: Sym::NONE, k: 0, c: rest.c }
                } else {
                    rest
                };
                value = if rest.a.is_none() { symbols.add(by, rest) } else { symbols.add(rest, by) };
                is_same = false;
                break;
            }
            if is_same {
                break;
            }
        }
        value
    }

    /// An upper bound of a sum.
    pub fn greatest(&self, symbols: &Symbols, terms: Terms, depth: u8) -> i64 {
        let mut all = i128::from(terms.c);
        for &(sym, k) in terms.list() {
            let (lo, hi) = self.bounds(symbols, sym);
            let by = if k > 0 { hi } else { lo };
            if by.abs() >= FAR {
                all = i128::from(FAR);
                break;
            }
            all += i128::from(by) * i128::from(k);
        }
        let mut best = all.clamp(-i128::from(FAR), i128::from(FAR)) as i64;
        if depth > 0 {
            for at in 0..terms.list().len() {
                let (sym, k) = terms.list()[at];
                let Some(fact) = self.known(sym) else { continue };
                let Some((to, c)) = (if k > 0 { fact.le } else { fact.ge }) else { continue };
                let mut other = terms;
                other.remove(at);
                if other.add(Val::sym(to).plus(c), k) {
                    best = best.min(self.greatest(symbols, other, depth - 1));
                }
            }
        }
        best
    }

    pub fn least(&self, symbols: &Symbols, terms: Terms, depth: u8) -> i64 {
        let mut negated = Terms::new(0);
        negated.c = terms.c.saturating_neg();
        for &(sym, k) in terms.list() {
            negated.add_term(sym, k.saturating_neg());
        }
        -self.greatest(symbols, negated, depth)
    }

    /// A value that the sum reaches in some execution of this path: free symbols take all of their values.
    pub fn reached(&self, symbols: &Symbols, terms: Terms, depth: u8) -> i64 {
        for at in 0..terms.list().len() {
            let (sym, k) = terms.list()[at];
            if !symbols.is_free(sym) || self.tangled.binary_search(&sym).is_ok() {
                continue;
            }
            let fact = self.fact(symbols, sym);
            let (bound, related) = if k > 0 { (fact.hi, fact.le) } else { (fact.lo, fact.ge) };
            let mut other = terms;
            other.remove(at);
            let mut found = None;
            if bound.abs() < FAR && other.add(Val::int(bound), k) {
                found = Some(self.reached(symbols, other, depth));
            }
            if let Some((to, c)) = related
                && depth > 0
            {
                let mut other = terms;
                other.remove(at);
                if other.add(Val::sym(to).plus(c), k) {
                    let it = self.reached(symbols, other, depth - 1);
                    found = Some(found.map_or(it, |before: i64| before.min(it)));
                }
            }
            if let Some(it) = found {
                return it;
            }
            if matches!(symbols.meaning(sym), Meaning::Length { .. }) {
                // A text from outside is as long as anyone likes.
                return FAR;
            }
            if k > 0 && fact.lo.abs() < FAR && !matches!(symbols.meaning(sym), Meaning::Rounds { .. }) {
                return FAR;
            }
            break;
        }
        self.least(symbols, terms, 2)
    }

    fn feasible(fact: &mut Fact) -> bool {
        if fact.not == Some(fact.lo) {
            fact.lo = fact.lo.saturating_add(1);
            fact.not = None;
        }
        if fact.not == Some(fact.hi) {
            fact.hi = fact.hi.saturating_sub(1);
            fact.not = None;
        }
        fact.lo <= fact.hi
    }

    /// Narrows a symbol's range; `false`: the path is impossible.
    pub fn limit(&mut self, symbols: &Symbols, sym: Sym, lo: i64, hi: i64) -> bool {
        let mut fact = self.fact(symbols, sym);
        if fact.lo >= lo && fact.hi <= hi {
            return true;
        }
        fact.lo = fact.lo.max(lo);
        fact.hi = fact.hi.min(hi);
        if !State::feasible(&mut fact) {
            return false;
        }
        self.set_fact(sym, fact);
        self.narrow_operand(symbols, sym, fact)
    }

    /// What a conversion's result says of its operand.
    fn narrow_operand(&mut self, symbols: &Symbols, sym: Sym, fact: Fact) -> bool {
        if let Meaning::Narrow { bytes, is_signed, value } = symbols.meaning(sym)
            && let Some(inner) = value.as_sym()
        {
            let natural = narrow_range(bytes, is_signed);
            let of = self.fact(symbols, inner);
            if of.lo >= natural.0 && of.hi <= natural.1 {
                return self.limit(symbols, inner, fact.lo, fact.hi);
            }
        }
        true
    }

    pub fn exclude(&mut self, symbols: &Symbols, sym: Sym, value: i64) -> bool {
        let mut fact = self.fact(symbols, sym);
        if value < fact.lo || value > fact.hi || fact.not == Some(value) {
            return true;
        }
        if let Meaning::Rounds { .. } = symbols.meaning(sym) {
            // Rounds count up by one from below.
            fact.hi = value - 1;
        } else if fact.not.is_none() || value == fact.lo || value == fact.hi || value == 0 {
            let before = fact.not;
            fact.not = Some(value);
            if !State::feasible(&mut fact) {
                return false;
            }
            fact.not = fact.not.or(before);
        }
        if !State::feasible(&mut fact) {
            return false;
        }
        self.set_fact(sym, fact);
        true
    }

    /// Notes `sym <= to + c`.
    fn relate(&mut self, symbols: &Symbols, sym: Sym, to: Sym, c: i64, is_upper: bool) -> bool {
        let mut fact = self.fact(symbols, sym);
        let of = self.fact(symbols, to);
        if is_upper {
            if !fact.le.is_some_and(|it| it.0 == to && it.1 <= c) {
                fact.le = Some((to, c));
            }
            fact.hi = fact.hi.min(of.hi.saturating_add(c));
        } else {
            if !fact.ge.is_some_and(|it| it.0 == to && it.1 >= c) {
                fact.ge = Some((to, c));
            }
            fact.lo = fact.lo.max(of.lo.saturating_add(c));
        }
        if let (Some((up, x)), Some((down, y))) = (fact.le, fact.ge)
            && up == down
            && x < y
        {
            return false;
        }
        if !State::feasible(&mut fact) {
            return false;
        }
        self.set_fact(sym, fact);
        true
    }

    /// Whether `left op right` is decided.
    pub fn decide(&self, symbols: &Symbols, op: Binary, left: Val, right: Val) -> Option<bool> {
        let mut terms = Terms::new(0);
        if !terms.add(left, 1) || !terms.add(right, -1) {
            return None;
        }
        if left.is_uninit() || right.is_uninit() {
            return None;
        }
        if !terms.list().is_empty() && terms.c.unsigned_abs() > FAR.unsigned_abs() {
            return None;
        }
        // Two objects never share an address while both are there.
        if let &[(a, 1), (b, -1)] | &[(b, -1), (a, 1)] = terms.list()
            && symbols.is_base(a)
            && symbols.is_base(b)
            && a != b
            && self.is_there(a)
            && self.is_there(b)
        {
            match op {
                Binary::Equal => return Some(false),
                Binary::NotEqual => return Some(true),
                _ => {}
            }
        }
        // Bounds cost a search each: only those that the operator asks for are worked out.
        let lo = || self.least(symbols, terms, 2);
        let hi = || self.greatest(symbols, terms, 2);
        let known = |yes: bool, no: &dyn Fn() -> bool| if yes { Some(true) } else { no().then_some(false) };
        match op {
            Binary::Equal | Binary::NotEqual => {
                let is_excluded = matches!(terms.list(), &[(sym, k)] if k.abs() == 1
                    && self.known(sym).is_some_and(|it| it.not == Some(-terms.c * k)));
                let is_zero = if is_excluded {
                    Some(false)
                } else {
                    let lo = lo();
                    if lo > 0 {
                        Some(false)
                    } else {
                        match hi() {
                            hi if hi < 0 => Some(false),
                            0 if lo == 0 => Some(true),
                            _ => None,
                        }
                    }
                };
                is_zero.map(|it| it == (op == Binary::Equal))
            }
            Binary::Less => known(hi() < 0, &|| lo() >= 0),
            Binary::LessEqual => known(hi() <= 0, &|| lo() > 0),
            Binary::Greater => known(lo() > 0, &|| hi() <= 0),
            Binary::GreaterEqual => known(lo() >= 0, &|| hi() < 0),
            _ => None,
        }
    }

    fn is_there(&self, sym: Sym) -> bool {
        self.object(sym).is_none_or(|it| it.status == Status::Live && it.failure == Failure::Never)
            || self.known(sym).is_some_and(|it| it.lo > 0)
    }

    /// Restricts the path to executions where `left op right` holds; `false`: there are none.
    pub fn assume(&mut self, symbols: &mut Symbols, op: Binary, left: Val, right: Val) -> bool {
        let mut next = Some((op, left, right));
        let mut fuel = 8;
        while let Some((op, left, right)) = next.take() {
            fuel -= 1;
            if fuel == 0 {
                return true;
            }
            let (left, right) = (self.resolve(symbols, left), self.resolve(symbols, right));
            match self.decide(symbols, op, left, right) {
                Some(true) => continue,
                Some(false) => return false,
                None => {}
            }
            self.note_condition(symbols, left, right);
            // The truth of a comparison, compared with 0 or 1.
            if let (Some(sym), Some(c)) = (left.as_sym(), right.as_int())
                && let Meaning::Binary { op: inner, left: l, right: r } = symbols.meaning(sym)
                && is_comparison(inner)
            {
                let truth = match op {
                    Binary::Equal => (c == 0 || c == 1).then_some(c == 1),
                    Binary::NotEqual => (c == 0 || c == 1).then_some(c == 0),
                    _ => None,
                };
                if let Some(truth) = truth {
                    let number = i64::from(truth);
                    if !self.limit(symbols, sym, number, number) {
                        return false;
                    }
                    next = Some((if truth { inner } else { negated(inner) }, l, r));
                    continue;
                }
            }
            if !self.assume_linear(symbols, op, left, right) {
                return false;
            }
        }
        true
    }

    /// Whether all that a range says of a symbol is said by its own fact: it stands in no relation to others, and
    /// neither is the truth of a condition nor counts rounds.
    pub fn is_plain(&self, symbols: &Symbols, sym: Sym) -> bool {
        let is_simple = match symbols.meaning(sym) {
            Meaning::Binary { op, .. } => !is_comparison(op),
            Meaning::Rounds { .. } => false,
            _ => true,
        };
        is_simple && self.known(sym).is_none_or(|it| it.le.is_none() && it.ge.is_none())
    }

    /// Restricts a plain symbol to the range of a fact and excludes the fact's one value; `false`: nothing is left.
    pub fn confine(&mut self, symbols: &Symbols, sym: Sym, to: &Fact) -> bool {
        let before = self.fact(symbols, sym);
        let mut fact = Fact { lo: before.lo.max(to.lo), hi: before.hi.min(to.hi), ..before };
        if let Some(not) = to.not
            && (fact.lo..=fact.hi).contains(&not)
            && (fact.not.is_none() || not == fact.lo || not == fact.hi || not == 0)
        {
            fact.not = Some(not);
        }
        if !State::feasible(&mut fact) {
            return false;
        }
        if fact == before {
            return true;
        }
        self.note_condition(symbols, Val::sym(sym), Val::ZERO);
        self.set_fact(sym, fact);
        self.narrow_operand(symbols, sym, fact)
    }

    /// The sum or the parts of a symbol are restricted in a way that facts cannot say.
    fn tangle(&mut self, symbols: &Symbols, sym: Sym) {
        if sym.0 >= 2
            && symbols.is_free(sym)
            && let Err(at) = self.tangled.binary_search(&sym)
        {
            Rc::make_mut(&mut self.tangled).insert(at, sym);
        }
    }

    fn tangle_parts(&mut self, symbols: &Symbols, sym: Sym, depth: u8) {
        let parts = match symbols.meaning(sym) {
            Meaning::Binary { op, left, right } if !is_comparison(op) => [left.a, left.b, right.a, right.b],
            Meaning::Narrow { value, .. } | Meaning::Other { value, .. } => {
                [value.a, value.b, Sym::NONE, Sym::NONE]
            }
            _ => return,
        };
        for part in parts.into_iter().filter(|it| it.0 >= 2 && depth > 0) {
            self.tangle(symbols, part);
            self.tangle_parts(symbols, part, depth - 1);
        }
    }

    fn note_condition(&mut self, symbols: &Symbols, left: Val, right: Val) {
        for sym in [left.a, left.b, right.a, right.b] {
            self.tangle_parts(symbols, sym, 4);
            self.is_conditional |= symbols.is_input(sym);
            self.is_certain &= sym.is_none() || symbols.is_input(sym);
            if symbols.is_unknown(sym) {
                self.assumed = Some(Assumed::Unseen);
            } else if symbols.is_vague(sym) && self.assumed.is_none() {
                self.assumed = Some(Assumed::Vague);
            }
        }
    }

    fn assume_linear(&mut self, symbols: &mut Symbols, op: Binary, left: Val, right: Val) -> bool {
        let mut terms = Terms::new(0);
        if !terms.add(left, 1) || !terms.add(right, -1) || terms.c.unsigned_abs() > FAR.unsigned_abs() {
            return true;
        }
        match *terms.list() {
            [(sym, k)] if sym != Sym::UNINIT => self.assume_one(symbols, op, sym, k, terms.c),
            [(a, x), (b, y)] if x == -y && x.abs() == 1 => {
                // The younger symbol is described by the older one.
                let (op, sym, to, c) =
                    if y == 1 { (op, b, a, terms.c) } else { (mirrored(op), b, a, -terms.c) };
                // sym - to + c op 0
                let c = -c;
                let mut is_possible = true;
                let mut apply = |state: &mut State, upper: Option<i64>, lower: Option<i64>| {
                    if let Some(by) = upper {
                        is_possible &= state.relate(symbols, sym, to, by, true);
                        is_possible &= state.relate(symbols, to, sym, -by, false);
                    }
                    if let Some(by) = lower {
                        is_possible &= state.relate(symbols, sym, to, by, false);
                        is_possible &= state.relate(symbols, to, sym, -by, true);
                    }
                };
                match op {
                    Binary::Less => apply(self, Some(c - 1), None),
                    Binary::LessEqual => apply(self, Some(c), None),
                    Binary::Greater => apply(self, None, Some(c + 1)),
                    Binary::GreaterEqual => apply(self, None, Some(c)),
                    Binary::Equal => {
                        is_possible &= self.relate(symbols, sym, to, c, true);
                        is_possible &= self.relate(symbols, sym, to, c, false);
                    }
                    Binary::NotEqual => {
                        let fact = self.fact(symbols, sym);
                        if matches!(symbols.meaning(sym), Meaning::Rounds { .. })
                            || fact.le.is_some_and(|it| it == (to, c))
                        {
                            is_possible &= self.relate(symbols, sym, to, c - 1, true);
                        } else if fact.ge.is_some_and(|it| it == (to, c)) {
                            is_possible &= self.relate(symbols, sym, to, c + 1, false);
                        } else {
                            let equal = symbols.id(Meaning::Binary { op: Binary::Equal, left, right });
                            is_possible &= self.limit(symbols, equal, 0, 0);
                            let unequal = symbols.id(Meaning::Binary { op: Binary::NotEqual, left, right });
                            is_possible &= self.limit(symbols, unequal, 1, 1);
                        }
                    }
                    _ => {}
                }
                is_possible
            }
            _ => {
                for &(sym, _) in terms.list() {
                    self.tangle(symbols, sym);
                }
                let sym = symbols.id(Meaning::Binary { op, left, right });
                let opposite = symbols.id(Meaning::Binary { op: negated(op), left, right });
                self.limit(symbols, sym, 1, 1) && self.limit(symbols, opposite, 0, 0)
            }
        }
    }

    /// `k * sym + c op 0`.
    fn assume_one(&mut self, symbols: &Symbols, op: Binary, sym: Sym, k: i64, c: i64) -> bool {
        if k == 0 || k == i64::MIN || c == i64::MIN {
            return true;
        }
        // sym op -c / k, with the comparison turned for negative factors.
        let (op, k, c) = if k < 0 { (mirrored(op), -k, c) } else { (op, k, -c) };
        let floor = c.div_euclid(k);
        let is_exact = c.rem_euclid(k) == 0;
        match op {
            Binary::Equal if !is_exact => false,
            Binary::Equal => self.limit(symbols, sym, floor, floor),
            Binary::NotEqual if !is_exact => true,
            Binary::NotEqual => self.exclude(symbols, sym, floor),
            Binary::Less => self.limit(symbols, sym, i64::MIN, if is_exact { floor - 1 } else { floor }),
            Binary::LessEqual => self.limit(symbols, sym, i64::MIN, floor),
            Binary::Greater => self.limit(symbols, sym, floor + 1, i64::MAX),
            Binary::GreaterEqual => {
                self.limit(symbols, sym, if is_exact { floor } else { floor + 1 }, i64::MAX)
            }
            _ => true,
        }
    }

    /// On leaving a loop by a condition that did not hold before: the rounds are as few as can be.
    pub fn settle_rounds(&mut self, symbols: &Symbols, sym: Sym) {
        let Some(fact) = self.known(sym).copied() else { return };
        if let Some(to) = fact.ge {
            self.set_fact(sym, Fact { le: Some(to), ..fact });
        } else if fact.lo > 0 || fact.hi < FAR {
            let lo = fact.lo;
            self.set_fact(sym, Fact { hi: lo, ..fact });
        }
        let _ = symbols;
    }

    /// Whether both say the same of memory.
    pub fn is_same_memory(&self, other: &State) -> bool {
        self.is_raised == other.is_raised
            && self.locks == other.locks
            && (Rc::ptr_eq(&self.registers, &other.registers) || self.registers == other.registers)
            && (Rc::ptr_eq(&self.objects, &other.objects)
                || self.objects.len() == other.objects.len()
                    && self
                        .objects
                        .iter()
                        .zip(other.objects.iter())
                        .all(|(a, b)| a.0 == b.0 && (Rc::ptr_eq(&a.1, &b.1) || a.1 == b.1)))
            && self.latent == other.latent
            && self.frames.len() == other.frames.len()
            && self
                .frames
                .iter()
                .zip(&other.frames)
                .all(|(a, b)| a.head == b.head && a.arrivals == b.arrivals)
    }

    /// Joins what two states know of symbols; their memory is the same.
    pub fn join_facts(&mut self, symbols: &Symbols, other: &State) {
        self.is_conditional &= other.is_conditional;
        self.is_certain &= other.is_certain;
        self.has_failed &= other.has_failed;
        self.assumptions.meet(other.assumptions);
        if self.tangled != other.tangled {
            for &sym in other.tangled.iter() {
                if let Err(at) = self.tangled.binary_search(&sym) {
                    Rc::make_mut(&mut self.tangled).insert(at, sym);
                }
            }
        }
        if self.left != other.left {
            let left = Rc::make_mut(&mut self.left);
            for it in left.iter_mut() {
                it.1 &= other.left.contains(&(it.0, true));
            }
            for &(head, _) in other.left.iter() {
                if left.iter().all(|it| it.0 != head) {
                    left.push((head, false));
                }
            }
        }
        if Rc::ptr_eq(&self.facts, &other.facts) {
            return;
        }
        let mut joined = Vec::with_capacity(self.facts.len());
        for &(sym, fact) in self.facts.iter() {
            let to = other.fact(symbols, sym);
            let excludes = |it: &Fact, value: i64| value < it.lo || value > it.hi || it.not == Some(value);
            let not = [fact.not, to.not, Some(0)]
                .into_iter()
                .flatten()
                .find(|it| excludes(&fact, *it) && excludes(&to, *it));
            let one = Fact {
                lo: fact.lo.min(to.lo),
                hi: fact.hi.max(to.hi),
                not,
                le: join_bound(fact.le, to.le, true),
                ge: join_bound(fact.ge, to.ge, false),
            };
            let (lo, hi) = self.range_of_meaning(symbols, sym, 1);
            let is_news = one.lo > lo || one.hi < hi || not.is_some() || one.le.is_some() || one.ge.is_some();
            if is_news {
                let mut one = one;
                if not.is_some_and(|it| it < one.lo || it > one.hi) {
                    one.not = None;
                }
                joined.push((sym, one));
            }
        }
        self.facts = Rc::new(Facts::new(joined));
    }
}

fn join_bound(one: Option<(Sym, i64)>, other: Option<(Sym, i64)>, is_upper: bool) -> Option<(Sym, i64)> {
    let (one, other) = (one?, other?);
    (one.0 == other.0).then(|| (one.0, if is_upper { one.1.max(other.1) } else { one.1.min(other.1) }))
}

/// Values of an integer of so many bytes.
pub fn narrow_range(bytes: u8, is_signed: bool) -> (i64, i64) {
    match (bytes, is_signed) {
        (1, true) => (-128, 127),
        (1, false) => (0, 255),
        (2, true) => (-0x8000, 0x7fff),
        (2, false) => (0, 0xffff),
        (4, true) => (-0x8000_0000, 0x7fff_ffff),
        (4, false) => (0, 0xffff_ffff),
        (_, true) => (-FAR, FAR),
        (_, false) => (0, FAR),
    }
}

pub fn is_comparison(op: Binary) -> bool {
    matches!(
        op,
        Binary::Equal
            | Binary::NotEqual
            | Binary::Less
            | Binary::LessEqual
            | Binary::Greater
            | Binary::GreaterEqual
    )
}

pub fn negated(op: Binary) -> Binary {
    match op {
        Binary::Equal => Binary::NotEqual,
        Binary::NotEqual => Binary::Equal,
        Binary::Less => Binary::GreaterEqual,
        Binary::LessEqual => Binary::Greater,
        Binary::Greater => Binary::LessEqual,
        Binary::GreaterEqual => Binary::Less,
        other => other,
    }
}

/// The same with the sides exchanged.
pub fn mirrored(op: Binary) -> Binary {
    match op {
        Binary::Less => Binary::Greater,
        Binary::LessEqual => Binary::GreaterEqual,
        Binary::Greater => Binary::Less,
        Binary::GreaterEqual => Binary::LessEqual,
        other => other,
    }
}

/// Whether a stamp is that of input from outside.
pub fn is_outside(symbols: &Symbols, stamp: Sym) -> bool {
    matches!(symbols.meaning(stamp), Meaning::Result { source: Source::Outside, .. })
}
