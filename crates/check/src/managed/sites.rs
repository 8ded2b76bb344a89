//! Operations that rules look at, by function.
//!
//! Half of all operations load locals and compute with numbers, which no rule asks for. The others are listed once,
//! with their kind beside them, so that a walk over all calls of a program reads nothing else. Whatever else takes a
//! look at each operation is found in the same pass: reading them all from memory is what it costs.

use super::library::Family;
use super::world::FnId;
use crate::ir::{Base, BlockId, End, Function, FunctionId, LocalId, Module, Op, OpKind, Operand, Reg, Step};

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
    pub is_call: bool,
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

fn count(things: usize) -> u32 {
    u32::try_from(things).expect("fewer than 2^32 operations")
}

/// Sites of all functions of a family of languages, in the order of their modules.
#[derive(Default)]
pub struct Sites<'a> {
    all: Vec<Listed<'a>>,
    returned: Vec<Operand>,
    calls: u32,
    /// What writes each register of the program.
    definitions: Vec<Option<&'a Op>>,
    /// By function: number of its first register.
    first_register: Vec<u32>,
    /// Locals of functions around that a function reads or writes, by its number among all.
    outer: Vec<(FnId, FunctionId, LocalId)>,
    /// By function: some block leads to one before it, or to itself.
    goes_back: Vec<bool>,
    /// Where the sites, returned values and calls of each function begin, and at last where the last one's end.
    first: Vec<[u32; 3]>,
}

impl<'a> Sites<'a> {
    pub fn new(modules: &'a [Module], family: Family) -> Sites<'a> {
        let mut it = Sites::default();
        let functions = modules.iter().filter(|it| family.has(it.language)).flat_map(|it| &it.functions);
        it.definitions.reserve_exact(functions.map(|it| it.registers as usize).sum());
        for module in modules.iter().filter(|it| family.has(it.language)) {
            module.functions.iter().for_each(|function| it.add(function));
        }
        it.end();
        it
    }

    fn end(&mut self) {
        self.first.push([count(self.all.len()), count(self.returned.len()), self.calls]);
    }

    fn add(&mut self, function: &'a Function) {
        self.end();
        let at = FnId(count(self.first_register.len()));
        let registers = self.definitions.len();
        self.first_register.push(count(registers));
        self.definitions.resize(registers + function.registers as usize, None);
        let mut goes_back = false;
        for (number, block) in (0u32..).zip(&function.blocks) {
            block.end.each_target(|it| goes_back |= it.0 <= number);
            for op in &block.ops {
                if let Some(reg) = op.kind.written() {
                    self.definitions[registers + reg.index()] = Some(op);
                }
                if let OpKind::Store { to: place, .. } | OpKind::Load { from: place, .. } = &op.kind
                    && let Base::Outer(of, local) = place.base
                {
                    self.outer.push((at, of, local));
                }
                if let Some(kind) = Kinds::of(&op.kind) {
                    self.all.push(Listed { block: BlockId(number), kind, op });
                    self.calls += u32::from(kind == Kinds::CALL);
                }
            }
            if let End::Return(Some(value)) = block.end {
                self.returned.push(value);
            }
        }
        self.goes_back.push(goes_back);
    }

    /// The operation that writes a register.
    pub fn definition(&self, function: FnId, reg: Reg) -> Option<&'a Op> {
        self.definitions[self.register(function, reg)]
    }

    /// A register's number among all of the program.
    pub fn register(&self, function: FnId, reg: Reg) -> usize {
        self.first_register[function.index()] as usize + reg.index()
    }

    /// How many registers the program has.
    pub fn registers(&self) -> usize {
        self.definitions.len()
    }

    /// Uses of locals of functions around: who uses which of whom.
    pub fn outer(&self) -> &[(FnId, FunctionId, LocalId)] {
        &self.outer
    }

    /// Whether a function may have a loop.
    pub fn goes_back(&self, function: FnId) -> bool {
        self.goes_back[function.index()]
    }

    /// A function's operations of some kinds, in order.
    pub fn of(&self, function: FnId, kinds: Kinds) -> impl Iterator<Item = Site<'a>> {
        let ([from, _, mut calls], [to, ..]) =
            (self.first[function.index()], self.first[function.index() + 1]);
        self.all[from as usize..to as usize].iter().filter_map(move |it| {
            let (call, is_call) = (CallId(calls), it.kind == Kinds::CALL);
            calls += u32::from(is_call);
            (it.kind.0 & kinds.0 != 0).then_some(Site { block: it.block, op: it.op, is_call, call })
        })
    }

    /// Values that a function returns.
    pub fn returned(&self, function: FnId) -> &[Operand] {
        let ([_, from, _], [_, to, _]) = (self.first[function.index()], self.first[function.index() + 1]);
        &self.returned[from as usize..to as usize]
    }
}
