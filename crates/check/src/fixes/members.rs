//! Members of records that only their function knows: they hold a block as its locals do.
//!
//! ```text
//! n = malloc(..); n->name = strdup(..);      *out = n;       free(n);
//! root, fresh     member, carries the block  root escapes    root is freed: nothing names the block any more
//! ```
//!
//! Invariant: a root is a local record whose address nobody takes, or a local pointer to which nothing but new blocks
//! and null is assigned. Carriers are numbered behind the function's locals.

use super::flow::{At, Flow};
use crate::ir::{Base, Callee, End, LocalId, Module, Name, OpKind, Operand, Place, Reg, Step};
use crate::models::{Effect, Models};
use rustc_hash::FxHashMap;

/// More are not followed.
const MAX_MEMBERS: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub root: LocalId,
    /// The root leads to the record.
    pub is_pointer: bool,
    pub fields: Vec<Name>,
}

#[derive(Default)]
pub struct Members {
    /// The number of the first.
    first: u32,
    all: Vec<Member>,
    /// Registers that are a root.
    roots: FxHashMap<Reg, LocalId>,
}

/// What happens to a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Code that is not followed may know its members.
    Escape,
    /// Its members are gone.
    Freed,
    /// It is another record.
    Written,
}

impl Members {
    pub fn of(models: &Models, module: &Module, flow: &Flow<'_>, is_shared: &[bool]) -> Members {
        let function = flow.function;
        let mut members = Members { first: function.locals.len() as u32, ..Members::default() };
        let ops = || function.blocks.iter().flat_map(|it| &it.ops);
        let mut fresh = vec![false; function.registers as usize];
        for op in ops() {
            let is_fresh = match &op.kind {
                OpKind::Cast { value, .. } => is_one(&fresh, *value),
                other => is_new(models, module, other),
            };
            if let Some(to) = op.kind.written().filter(|_| is_fresh) {
                fresh[to.index()] = true;
            }
        }
        let mut is_root: Vec<bool> = is_shared.iter().map(|it| !it).collect();
        function.parameters.iter().for_each(|it| is_root[it.index()] = false);
        for op in ops() {
            if let OpKind::Store { to: Place { base: Base::Local(it), steps }, value, .. } = &op.kind
                && steps.is_empty()
            {
                is_root[it.index()] &=
                    is_one(&fresh, *value) || matches!(value, Operand::Null | Operand::Int(0));
            }
        }
        for op in ops() {
            let from = match &op.kind {
                OpKind::Load { from: Place { base: Base::Local(it), steps }, .. } if steps.is_empty() => {
                    Some(*it)
                }
                OpKind::Cast { value: Operand::Reg(it), .. } => members.roots.get(it).copied(),
                _ => None,
            };
            if let (Some(root), Some(to)) = (from.filter(|it| is_root[it.index()]), op.kind.written()) {
                members.roots.insert(to, root);
            }
        }
        for op in ops() {
            let OpKind::Store { to, value: Operand::Reg(_), .. } = &op.kind else { continue };
            let Some(member) = members.read(to).filter(|it| is_root[it.root.index()]) else { continue };
            if members.all.len() < MAX_MEMBERS && !members.all.contains(&member) {
                members.all.push(member);
            }
        }
        members
    }

    fn read(&self, place: &Place) -> Option<Member> {
        let fields = place.steps.iter().map(|it| match it {
            Step::Field { name, .. } => Some(*name),
            Step::Index { .. } => None,
        });
        let fields: Vec<Name> = fields.collect::<Option<_>>()?;
        let (root, is_pointer) = match place.base {
            Base::Local(it) => (it, false),
            Base::At(Operand::Reg(it)) => (*self.roots.get(&it)?, true),
            _ => return None,
        };
        (!fields.is_empty()).then_some(Member { root, is_pointer, fields })
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The carrier that is a place.
    pub fn at(&self, place: &Place) -> Option<LocalId> {
        if self.all.is_empty() {
            return None;
        }
        let member = self.read(place)?;
        let at = self.all.iter().position(|it| *it == member)?;
        Some(LocalId(self.first + at as u32))
    }

    pub fn get(&self, carrier: LocalId) -> Option<&Member> {
        self.all.get(carrier.0.checked_sub(self.first)? as usize)
    }

    pub fn of_root(&self, root: LocalId) -> impl Iterator<Item = LocalId> + '_ {
        let numbers = self.first..self.first + self.all.len() as u32;
        numbers.zip(&self.all).filter(move |it| it.1.root == root).map(|it| LocalId(it.0))
    }

    /// What a node does to roots of members.
    pub fn uses(&self, models: &Models, module: &Module, at: &At<'_>) -> Vec<(LocalId, Use)> {
        let mut uses = Vec::new();
        if self.all.is_empty() {
            return uses;
        }
        let root = |it: Operand| match it {
            Operand::Reg(reg) => self.roots.get(&reg).copied(),
            _ => None,
        };
        let is_record = |it: LocalId| self.all.iter().any(|member| member.root == it && !member.is_pointer);
        let op = match at {
            At::Op(op) => op,
            At::End(End::Return(Some(it)) | End::Raise(it)) => {
                uses.extend(root(*it).map(|it| (it, Use::Escape)));
                return uses;
            }
            At::End(_) => return uses,
        };
        match &op.kind {
            OpKind::Load { from: Place { base: Base::Local(it), steps }, .. }
                if steps.is_empty() && is_record(*it) =>
            {
                uses.push((*it, Use::Escape));
            }
            OpKind::Store { to: Place { base: Base::Local(it), steps }, .. } if steps.is_empty() => {
                uses.push((*it, Use::Written));
            }
            // Its scope may end before its value is returned.
            OpKind::Live { local } => uses.push((*local, Use::Written)),
            OpKind::Address { of: place, .. } => {
                let of = match place.base {
                    Base::Local(it) => Some(it),
                    Base::At(it) => root(it),
                    _ => None,
                };
                uses.extend(of.map(|it| (it, Use::Escape)));
            }
            OpKind::CopyRecord { to, from, .. } => {
                for place in [to, from] {
                    let of = match place.base {
                        Base::Local(it) => Some(it),
                        Base::At(it) => root(it),
                        _ => None,
                    };
                    uses.extend(of.map(|it| (it, Use::Escape)));
                }
            }
            OpKind::Store { value, .. } => uses.extend(root(*value).map(|it| (it, Use::Escape))),
            OpKind::Free { value, .. } => uses.extend(root(*value).map(|it| (it, Use::Freed))),
            OpKind::Call { callee, args, .. } => {
                for (number, argument) in args.iter().enumerate() {
                    let is_freed = frees(models, module, *callee, number);
                    let what = if is_freed { Use::Freed } else { Use::Escape };
                    uses.extend(root(argument.value).map(|it| (it, what)));
                }
                if let Callee::Method { receiver: it, .. } | Callee::Value(it) = callee {
                    uses.extend(root(*it).map(|it| (it, Use::Escape)));
                }
            }
            OpKind::Load { .. }
            | OpKind::Binary { .. }
            | OpKind::Unary { .. }
            | OpKind::Cast { .. }
            | OpKind::Assume { .. } => {}
            other => other.each_operand(|it| uses.extend(root(it).map(|it| (it, Use::Escape)))),
        }
        uses
    }
}

fn is_one(fresh: &[bool], it: Operand) -> bool {
    matches!(it, Operand::Reg(reg) if fresh[reg.index()])
}

/// Whether a new block is made, which nobody else knows.
fn is_new(models: &Models, module: &Module, op: &OpKind) -> bool {
    match op {
        OpKind::Allocate { .. } => true,
        OpKind::Call { callee: Callee::Direct(name), .. } => {
            models.find(module.name(*name)).is_some_and(|it| {
                let effects = &models.get(it).effects;
                effects.iter().any(|it| matches!(it, Effect::Allocate { through: None, .. }))
            })
        }
        _ => false,
    }
}

fn frees(models: &Models, module: &Module, callee: Callee, number: usize) -> bool {
    let Callee::Direct(name) = callee else { return false };
    models.find(module.name(name)).is_some_and(|it| {
        let effects = &models.get(it).effects;
        effects
            .iter()
            .any(|it| matches!(it, Effect::Free { argument, .. } if usize::from(*argument) == number))
    })
}
