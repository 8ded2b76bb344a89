//! Operations that rules look at, by function.
//!
//! Half of all operations load locals and compute with numbers, which no rule asks for. The others are listed once,
//! with their kind beside them, so that a walk over all calls of a program reads nothing else.

use super::library::Family;
use super::world::FnId;
use crate::ir::{Base, BlockId, End, Function, Module, Op, OpKind, Operand, Step};

/// A set of kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// `Call` and `New`.
    pub const CALL: Kinds = Kinds(1);
    /// Stores to what is not a local of the function.
    pub const STORE: Kinds = Kinds(2);
    /// Stores to locals.
    pub const LOCAL: Kinds = Kinds(4);
    /// Loads of attributes.
    pub const MEMBER: Kinds = Kinds(8);
    /// `Grow`, `Shrink`, `Clear` and `Read` of containers, `Yield`.
    pub const CONTENT: Kinds = Kinds(16);

    pub const ALL: Kinds = Kinds(u8::MAX);

    /// Kinds of either set.
    pub const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn of(kind: &OpKind) -> Option<Kinds> {
        match kind {
            OpKind::Call { .. } | OpKind::New { .. } => Some(Kinds::CALL),
            OpKind::Store { to, .. } => match (to.base, &*to.steps) {
                (Base::Local(_), []) => Some(Kinds::LOCAL),
                _ => Some(Kinds::STORE),
            },
            OpKind::Load { from, .. } => {
                matches!((from.base, &*from.steps), (Base::At(_), [Step::Field { .. }]))
                    .then_some(Kinds::MEMBER)
            }
            OpKind::Grow { .. }
            | OpKind::Shrink { .. }
            | OpKind::Clear { .. }
            | OpKind::Read { .. }
            | OpKind::Yield { .. } => Some(Kinds::CONTENT),
            _ => None,
        }
    }
}

/// Where an operation stands.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub block: BlockId,
    pub op: &'a Op,
    /// Its number among all calls, if it is one.
    pub call: CallId,
}

/// A call of the program: dense over all modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(u32);

impl CallId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy)]
struct Listed<'a> {
    block: BlockId,
    kind: Kinds,
    op: &'a Op,
}

/// Sites of all functions of a family of languages, in the order of their modules.
#[derive(Default)]
pub struct Sites<'a> {
    all: Vec<Listed<'a>>,
    returned: Vec<Operand>,
    calls: u32,
    /// Where the sites, returned values and calls of each function begin, and at last where the last one's end.
    first: Vec<[u32; 3]>,
}

impl<'a> Sites<'a> {
    pub fn new(modules: &'a [Module], family: Family) -> Sites<'a> {
        let mut it = Sites::default();
        for module in modules.iter().filter(|it| family.has(it.language)) {
            module.functions.iter().for_each(|function| it.add(function));
        }
        it.end();
        it
    }

    fn end(&mut self) {
        let count = |it: usize| u32::try_from(it).expect("fewer than 2^32 operations");
        self.first.push([count(self.all.len()), count(self.returned.len()), self.calls]);
    }

    fn add(&mut self, function: &'a Function) {
        self.end();
        for (number, block) in (0u32..).zip(&function.blocks) {
            for op in &block.ops {
                if let Some(kind) = Kinds::of(&op.kind) {
                    self.all.push(Listed { block: BlockId(number), kind, op });
                    self.calls += u32::from(kind == Kinds::CALL);
                }
            }
            if let End::Return(Some(value)) = block.end {
                self.returned.push(value);
            }
        }
    }

    /// A function's operations of some kinds, in order.
    pub fn of(&self, function: FnId, kinds: Kinds) -> impl Iterator<Item = Site<'a>> {
        let ([from, _, mut calls], [to, ..]) =
            (self.first[function.index()], self.first[function.index() + 1]);
        self.all[from as usize..to as usize].iter().filter_map(move |it| {
            let call = CallId(calls);
            calls += u32::from(it.kind == Kinds::CALL);
            (it.kind.0 & kinds.0 != 0).then_some(Site { block: it.block, op: it.op, call })
        })
    }

    /// Values that a function returns.
    pub fn returned(&self, function: FnId) -> &[Operand] {
        let ([_, from, _], [_, to, _]) = (self.first[function.index()], self.first[function.index() + 1]);
        &self.returned[from as usize..to as usize]
    }
}
