//! Values: linear forms over symbols, and the table that gives each symbol its meaning.
//!
//! A value is `a + k * b + c`. Addresses are symbols too: the object that a pointer leads to is known by the
//! symbol of its address, so that `p + 4 * i` is `{a: p, b: i, k: 4}` whether `p` is a local's address, a heap
//! block or a parameter of which nothing is known. Symbols are interned by what they mean: the same
//! expression over the same values is the same symbol, which is what makes repeated conditions correlate.
//!
//! Invariant: a symbol's parts have smaller numbers than itself; tables can be walked upward without recursion.

use crate::ir::{Binary, LocalId, Name};
use rustc_hash::FxHashMap;

/// Number of a symbol in a [`Symbols`] table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sym(pub u32);

impl Sym {
    /// No symbol.
    pub const NONE: Sym = Sym(0);
    /// Content that was never written.
    pub const UNINIT: Sym = Sym(1);

    pub fn is_none(self) -> bool {
        self == Sym::NONE
    }

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// `a + k * b + c`; `k` is 0 exactly where `b` is none. One symbol with factor 1 stands in `a`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Val {
    pub a: Sym,
    pub b: Sym,
    pub k: i64,
    pub c: i64,
}

impl Val {
    pub const ZERO: Val = Val::int(0);
    pub const UNINIT: Val = Val::sym(Sym::UNINIT);

    /// Content of an object that was never written.
    pub const fn uninit(object: Sym) -> Val {
        Val { a: Sym::UNINIT, b: object, k: 0, c: 0 }
    }

    pub const fn int(c: i64) -> Val {
        Val { a: Sym::NONE, b: Sym::NONE, k: 0, c }
    }

    pub const fn sym(a: Sym) -> Val {
        Val { a, b: Sym::NONE, k: 0, c: 0 }
    }

    pub fn as_int(self) -> Option<i64> {
        (self.a.is_none() && self.b.is_none()).then_some(self.c)
    }

    /// The symbol, if the value is one symbol and nothing more.
    pub fn as_sym(self) -> Option<Sym> {
        (!self.a.is_none() && self.b.is_none() && self.c == 0).then_some(self.a)
    }

    pub fn is_uninit(self) -> bool {
        self.a == Sym::UNINIT
    }

    pub fn mentions(self, sym: Sym) -> bool {
        self.a == sym || self.b == sym
    }

    /// The same with the constant moved.
    pub fn plus(self, c: i64) -> Val {
        Val { c: self.c.saturating_add(c), ..self }
    }

    fn of(terms: Terms) -> Option<Val> {
        let c = terms.c;
        match terms.list() {
            [] => Some(Val::int(c)),
            &[(a, 1)] => Some(Val { a, b: Sym::NONE, k: 0, c }),
            &[(b, k)] => Some(Val { a: Sym::NONE, b, k, c }),
            &[(a, 1), (b, k)] | &[(b, k), (a, 1)] => Some(Val { a, b, k, c }),
            _ => None,
        }
    }
}

/// A sum of at most six symbols with factors; sorted by symbol, no factor is 0.
#[derive(Clone, Copy)]
pub struct Terms {
    parts: [(Sym, i64); 6],
    count: usize,
    pub c: i64,
}

impl Terms {
    pub fn new(c: i64) -> Terms {
        Terms { parts: [(Sym::NONE, 0); 6], count: 0, c }
    }

    pub fn list(&self) -> &[(Sym, i64)] {
        &self.parts[..self.count]
    }

    /// Adds `factor * val`; `false` where there is no room or a number overflows.
    pub fn add(&mut self, val: Val, factor: i64) -> bool {
        let Some(c) = val.c.checked_mul(factor).and_then(|it| it.checked_add(self.c)) else { return false };
        self.c = c;
        let mut is_good = true;
        if !val.a.is_none() {
            is_good &= self.add_term(val.a, factor);
        }
        if !val.b.is_none() {
            let Some(k) = val.k.checked_mul(factor) else { return false };
            is_good &= self.add_term(val.b, k);
        }
        is_good
    }

    pub fn add_term(&mut self, sym: Sym, factor: i64) -> bool {
        let at = self.list().iter().position(|it| it.0 >= sym).unwrap_or(self.count);
        if at < self.count && self.parts[at].0 == sym {
            let Some(k) = self.parts[at].1.checked_add(factor) else { return false };
            self.parts[at].1 = k;
            if k == 0 {
                self.remove(at);
            }
            return true;
        }
        if self.count == self.parts.len() {
            return false;
        }
        if factor != 0 {
            self.parts.copy_within(at..self.count, at + 1);
            self.parts[at] = (sym, factor);
            self.count += 1;
        }
        true
    }

    pub fn remove(&mut self, at: usize) -> (Sym, i64) {
        let part = self.parts[at];
        self.parts.copy_within(at + 1..self.count, at);
        self.count -= 1;
        part
    }
}

/// What a symbol stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Meaning {
    Nothing,
    Uninit,
    /// Address of a local.
    Local(LocalId),
    /// Address of a linked global.
    Global(u32),
    /// Address of a function, by its name in [`crate::program::Program::symbols`].
    Function(u32),
    /// Address of a string literal of a module.
    Text {
        module: u32,
        name: Name,
    },
    /// Address of a heap block, or a resource, that the operation at `site` made.
    Made {
        site: u32,
        turn: u32,
        part: u32,
    },
    /// Address of a local of the function that this one is nested in.
    Outer {
        function: u32,
        local: LocalId,
    },
    /// Address of the element of a library's container at a key or position.
    Slot {
        container: Sym,
        key: Val,
    },
    /// Address of the copy that a record as a value is.
    Record {
        site: u32,
        turn: u32,
        part: u32,
    },
    /// What `bytes` bytes at this offset of an object held when the function was entered.
    Initial {
        object: Sym,
        offset: i64,
        bytes: u32,
    },
    /// What they hold since something unknown wrote them.
    Written {
        object: Sym,
        offset: i64,
        stamp: Sym,
    },
    /// What lies at an offset that is no constant.
    Element {
        object: Sym,
        offset: Val,
        bytes: u32,
        stamp: Sym,
    },
    /// Units before the terminator of the text at this offset.
    Length {
        object: Sym,
        offset: i64,
        stamp: Sym,
        unit: u8,
    },
    /// The moment of a write.
    Stamp {
        site: u32,
        turn: u32,
    },
    /// The result of an operation of which only that is known; `part` tells several results apart.
    Result {
        site: u32,
        turn: u32,
        part: u32,
        source: Source,
    },
    /// Rounds of the loop at a block, after the first two.
    Rounds {
        head: u32,
        turn: u32,
    },
    /// What two paths disagree about.
    Join {
        site: u32,
        part: u32,
    },
    Binary {
        op: Binary,
        left: Val,
        right: Val,
    },
    /// Conversion to an integer of so many bytes.
    Narrow {
        bytes: u8,
        is_signed: bool,
        value: Val,
    },
    /// Conversion of an undefined or floating-point value, or bitwise complement.
    Other {
        value: Val,
        tag: u32,
    },
}

/// Where the value of a [`Meaning::Result`] comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// A library function that models describe, or a computation.
    Known,
    /// Input of the program: every value of its type can occur.
    Outside,
    /// A function of which nothing is known.
    Unknown,
    /// What several paths or rounds of a loop left: not every value of its range need occur.
    Vague,
}

/// All symbols of one function's analysis.
pub struct Symbols {
    meanings: Vec<Meaning>,
    ids: FxHashMap<Meaning, Sym>,
    /// Per symbol: whether it depends on what the function was given.
    is_input: Vec<bool>,
    /// Per symbol: whether it takes every value of its range in some execution.
    is_free: Vec<bool>,
    /// Per symbol: whether it depends on what an unknown function did.
    is_unknown: Vec<bool>,
    /// Per symbol: whether it stands for what several paths or rounds left, so that a condition on it may hold in
    /// no execution.
    is_vague: Vec<bool>,
    /// Whether the function's parameters come from outside of the program.
    pub is_entry: bool,
}

impl Symbols {
    pub fn new(is_entry: bool) -> Symbols {
        let mut it = Symbols {
            meanings: Vec::new(),
            ids: FxHashMap::default(),
            is_input: Vec::new(),
            is_free: Vec::new(),
            is_unknown: Vec::new(),
            is_vague: Vec::new(),
            is_entry,
        };
        it.id(Meaning::Nothing);
        it.id(Meaning::Uninit);
        it
    }

    pub fn count(&self) -> usize {
        self.meanings.len()
    }

    pub fn meaning(&self, sym: Sym) -> Meaning {
        self.meanings[sym.index()]
    }

    pub fn is_input(&self, sym: Sym) -> bool {
        self.is_input[sym.index()]
    }

    pub fn is_free(&self, sym: Sym) -> bool {
        self.is_free[sym.index()]
    }

    pub fn is_unknown(&self, sym: Sym) -> bool {
        self.is_unknown[sym.index()]
    }

    pub fn is_vague(&self, sym: Sym) -> bool {
        self.is_vague[sym.index()]
    }

    fn vagueness(&self, meaning: Meaning) -> bool {
        let of = |it: Sym| self.is_vague[it.index()];
        let both = |v: Val| of(v.a) || of(v.b);
        // Stamps tell writes apart; those of loops and merges do not say what was written.
        let stamped = |it: Sym| match self.meanings[it.index()] {
            Meaning::Stamp { .. } => true,
            Meaning::Result { source, .. } => source == Source::Vague,
            _ => false,
        };
        match meaning {
            Meaning::Join { .. } => true,
            Meaning::Result { source, .. } => source == Source::Vague,
            Meaning::Written { stamp, .. } | Meaning::Length { stamp, .. } => stamped(stamp),
            Meaning::Element { object, offset, stamp, .. } => {
                !self.is_input[object.index()]
                    && !matches!(
                        self.meanings[stamp.index()],
                        Meaning::Result { source: Source::Outside | Source::Unknown, .. }
                    )
                    || both(offset)
            }
            Meaning::Binary { left, right, .. } => both(left) || both(right),
            Meaning::Narrow { value, .. } | Meaning::Other { value, .. } => both(value),
            _ => false,
        }
    }

    pub fn id(&mut self, meaning: Meaning) -> Sym {
        if let Some(&it) = self.ids.get(&meaning) {
            return it;
        }
        let sym = Sym(u32::try_from(self.meanings.len()).expect("budgets keep symbols below 2^32"));
        let input = |it: Sym| self.is_input[it.index()];
        let free = |it: Sym| it.is_none() || self.is_free[it.index()];
        let unknown = |it: Sym| self.is_unknown[it.index()];
        let both = |v: Val, f: &dyn Fn(Sym) -> bool| f(v.a) || f(v.b);
        let all_free = |v: Val| free(v.a) && free(v.b);
        let (is_input, is_free, is_unknown) = match meaning {
            Meaning::Initial { object, .. } => {
                let is_argument = self.is_entry
                    && matches!(self.meanings[object.index()], Meaning::Local(_) | Meaning::Initial { .. });
                (!is_argument, false, false)
            }
            Meaning::Length { object, stamp, .. } => {
                let is_outside =
                    matches!(self.meanings[stamp.index()], Meaning::Result { source: Source::Outside, .. });
                // Nothing bounds the texts that the program is started with.
                let is_argument = self.is_entry
                    && matches!(self.meanings[stamp.index()], Meaning::Nothing)
                    && matches!(
                        self.meanings[object.index()],
                        Meaning::Initial { .. } | Meaning::Element { .. }
                    )
                    && !input(object);
                (
                    input(object) && matches!(self.meanings[stamp.index()], Meaning::Nothing),
                    is_outside || is_argument,
                    unknown(stamp),
                )
            }
            Meaning::Written { stamp, .. } => {
                let of = self.meanings[stamp.index()];
                (
                    false,
                    matches!(of, Meaning::Result { source: Source::Outside, .. }),
                    matches!(of, Meaning::Result { source: Source::Unknown, .. }),
                )
            }
            Meaning::Element { object, offset, stamp, .. } => {
                (input(object) || both(offset, &input), false, unknown(stamp))
            }
            Meaning::Slot { container, .. } => (input(container), false, false),
            Meaning::Result { source, .. } => (false, source == Source::Outside, source == Source::Unknown),
            Meaning::Rounds { .. } => (false, true, false),
            Meaning::Binary { op, left, right } => {
                let is_linear = matches!(
                    op,
                    Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder
                );
                (
                    both(left, &input) || both(right, &input),
                    is_linear && all_free(left) && all_free(right),
                    both(left, &unknown) || both(right, &unknown),
                )
            }
            Meaning::Narrow { value, .. } => (both(value, &input), all_free(value), both(value, &unknown)),
            Meaning::Other { value, .. } => (both(value, &input), false, both(value, &unknown)),
            _ => (false, false, false),
        };
        let is_vague = self.vagueness(meaning);
        self.meanings.push(meaning);
        self.is_vague.push(is_vague);
        self.is_input.push(is_input);
        self.is_free.push(is_free);
        self.is_unknown.push(is_unknown);
        self.ids.insert(meaning, sym);
        sym
    }

    pub fn value(&mut self, meaning: Meaning) -> Val {
        Val::sym(self.id(meaning))
    }

    /// Whether this is an address that is never null, and known to be one.
    pub fn is_address(&self, sym: Sym) -> bool {
        matches!(
            self.meanings[sym.index()],
            Meaning::Local(_)
                | Meaning::Global(_)
                | Meaning::Function(_)
                | Meaning::Text { .. }
                | Meaning::Record { .. }
                | Meaning::Outer { .. }
                | Meaning::Slot { .. }
        )
    }

    pub fn add(&mut self, left: Val, right: Val) -> Val {
        self.sum(Binary::Add, left, right, 1)
    }

    pub fn subtract(&mut self, left: Val, right: Val) -> Val {
        self.sum(Binary::Subtract, left, right, -1)
    }

    fn sum(&mut self, op: Binary, left: Val, right: Val, factor: i64) -> Val {
        let mut terms = Terms::new(0);
        if terms.add(left, 1)
            && terms.add(right, factor)
            && let Some(mut it) = Val::of(terms)
        {
            // The pointer is the one with factor 1 that comes from the left, or is an address.
            if it.k == 1 && (self.is_base(it.b) && !self.is_base(it.a) || left.a == it.b) {
                (it.a, it.b) = (it.b, it.a);
            }
            return it;
        }
        self.value(Meaning::Binary { op, left, right })
    }

    /// Whether objects are known by this symbol.
    pub fn is_base(&self, sym: Sym) -> bool {
        self.is_address(sym)
            || matches!(
                self.meanings[sym.index()],
                Meaning::Made { .. } | Meaning::Record { .. } | Meaning::Slot { .. }
            )
    }

    pub fn scale(&mut self, value: Val, factor: i64) -> Val {
        let mut terms = Terms::new(0);
        if terms.add(value, factor)
            && let Some(it) = Val::of(terms)
        {
            return it;
        }
        self.value(Meaning::Binary { op: Binary::Multiply, left: value, right: Val::int(factor) })
    }
}
