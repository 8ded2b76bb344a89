//! Places of a function by what stands there: they stay the same when other code of the function changes.
//!
//! A place is told by what its operations are (kinds, names and numbers, but no registers), and by which of those of
//! the function that look the same it is. Cost: linear in the function's operations, once, if it is asked for.

use crate::ir::{Base, Callee, Function, Module, OpKind, Operand, Place, Span, Step};
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};

/// The places of one function.
pub struct Places {
    signs: FxHashMap<Span, Sign>,
    /// In the order of the source.
    spans: FxHashMap<u64, Vec<Span>>,
}

/// What tells a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sign {
    pub hash: u64,
    /// Which of the places with this hash it is, and how many there are.
    pub turn: u32,
    pub turns: u32,
}

impl Places {
    pub fn new(module: &Module, ir: &Function) -> Places {
        let mut hashers: FxHashMap<Span, FxHasher> = FxHashMap::default();
        for block in &ir.blocks {
            for op in &block.ops {
                let mut signer = Signer { module, ir, out: hashers.entry(op.span).or_default() };
                signer.op(&op.kind);
            }
            let signer = Signer { module, ir, out: hashers.entry(block.end_span).or_default() };
            std::mem::discriminant(&block.end).hash(signer.out);
        }
        let mut spans: FxHashMap<u64, Vec<Span>> = FxHashMap::default();
        for (span, hasher) in hashers {
            spans.entry(hasher.finish()).or_default().push(span);
        }
        let mut signs = FxHashMap::default();
        for (hash, same) in &mut spans {
            same.sort_unstable();
            let turns = same.len() as u32;
            signs.extend((0..).zip(&*same).map(|(turn, span)| (*span, Sign { hash: *hash, turn, turns })));
        }
        Places { signs, spans }
    }

    pub fn sign(&self, span: Span) -> Option<Sign> {
        self.signs.get(&span).copied()
    }

    pub fn span(&self, sign: Sign) -> Option<Span> {
        let same = self.spans.get(&sign.hash)?;
        let is_like = same.len() as u64 == u64::from(sign.turns);
        same.get(sign.turn as usize).copied().filter(|_| is_like)
    }
}

struct Signer<'a> {
    module: &'a Module,
    ir: &'a Function,
    out: &'a mut FxHasher,
}

impl Signer<'_> {
    fn op(&mut self, op: &OpKind) {
        std::mem::discriminant(op).hash(self.out);
        match op {
            OpKind::Load { from: it, .. } | OpKind::Store { to: it, .. } | OpKind::Address { of: it, .. } => {
                self.place(it);
            }
            OpKind::CopyRecord { to, from, .. } => {
                self.place(to);
                self.place(from);
            }
            OpKind::Binary { op, .. } => op.hash(self.out),
            OpKind::Call { callee: Callee::Direct(name) | Callee::Method { name, .. }, .. }
            | OpKind::New { class: name, .. } => self.module.name(*name).hash(self.out),
            _ => {}
        }
        op.each_operand(|it| self.operand(it));
    }

    fn place(&mut self, place: &Place) {
        let name = match place.base {
            Base::Local(it) => Some(self.ir.locals[it.index()].name),
            Base::Global(it) => Some(self.module.globals[it.index()].name),
            Base::Outer(..) | Base::Class(_) | Base::At(_) => None,
        };
        name.map(|it| self.module.name(it)).hash(self.out);
        for step in &place.steps {
            if let Step::Field { name, .. } = step {
                self.module.name(*name).hash(self.out);
            }
        }
    }

    fn operand(&mut self, operand: Operand) {
        std::mem::discriminant(&operand).hash(self.out);
        match operand {
            Operand::Int(it) => it.hash(self.out),
            Operand::String(it) | Operand::Function(it) | Operand::Class(it) | Operand::Module(it) => {
                self.module.name(it).hash(self.out);
            }
            Operand::Bool(it) => it.hash(self.out),
            Operand::Reg(_) | Operand::Null | Operand::Opaque => {}
        }
    }
}
