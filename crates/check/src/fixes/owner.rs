//! Where a block or resource may be given back: who holds it, and until when.
//!
//! ```text
//! forward:  is it live, and which locals are exactly it     backward: which of them are read later
//!                       \                                     /
//!          edges on which it is live, nobody reads it again, and a local still names it
//! ```
//!
//! The first of these edges on each way is where it is given back: every way that loses it passes exactly one, and a
//! way that frees it or hands it on passes none, as it is still read there.

use super::borrow::{Lending, Lendings};
use super::flow::{At, Flow};
use super::members::{Members, Use};
use crate::ir::{
    Argument, Base, Binary, Callee, End, FunctionId, LocalId, Module, Op, OpKind, Operand, Place, Reg, Unary,
};
use crate::models::Models;
use rustc_hash::FxHashMap;

/// What has become of it, as a set.
pub mod status {
    /// Not made yet.
    pub const NONE: u8 = 1;
    pub const LIVE: u8 = 2;
    /// It could not be made: its value is null, or negative.
    pub const FAILED: u8 = 4;
    /// Freed, stored, returned, or handed to code that may keep it.
    pub const GONE: u8 = 8;
}

/// What a value is, as a set.
pub mod value {
    pub const EXACT: u8 = 1;
    /// The value of what could not be made.
    pub const INVALID: u8 = 2;
    pub const UNWRITTEN: u8 = 4;
    pub const OTHER: u8 = 8;
    /// Leads into it.
    pub const PART: u8 = 16;
    /// A member of a record that others know, too.
    pub const OPEN: u8 = 32;
}

/// Rounds of the forward analysis.
const MAX_ROUNDS: usize = 40;
/// Nodes times locals.
const MAX_CELLS: usize = 8 << 20;

/// How the value of what could not be made looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Null,
    Negative,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub status: u8,
    pub locals: Box<[u8]>,
}

/// A way from one node to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    pub from: u32,
    /// Position among the node's successors.
    pub nth: u32,
    pub to: u32,
}

pub struct Owner<'a> {
    pub flow: &'a Flow<'a>,
    number: u32,
    module: &'a Module,
    pub members: Members,
    made: Vec<u32>,
    invalid: Invalid,
    definitions: FxHashMap<Reg, u32>,
    /// Locals whose address is taken, or that functions within see.
    is_shared: Vec<bool>,
    before: Vec<Option<State>>,
    regs: Vec<u8>,
    /// Per node: carriers that are read later, as bits.
    live: Vec<Vec<u64>>,
    carriers: Vec<Carrier>,
    /// Per node: a return can be reached.
    ends: Vec<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Carrier {
    Local(LocalId),
    Reg(Reg),
}

impl<'a> Owner<'a> {
    /// Follows what the nodes `made` make; `None`: the function is too large.
    pub fn new(
        flow: &'a Flow<'a>,
        (number, module, function): (u32, &'a Module, FunctionId),
        made: Vec<u32>,
        invalid: Invalid,
        lendings: &mut Lendings<'_>,
    ) -> Option<Owner<'a>> {
        if flow.nodes.len().saturating_mul(flow.function.locals.len() + 1) > MAX_CELLS {
            return None;
        }
        let mut definitions = FxHashMap::default();
        for node in 0..flow.nodes.len() as u32 {
            if let At::Op(op) = flow.at(node)
                && let Some(reg) = op.kind.written()
            {
                definitions.insert(reg, node);
            }
        }
        let mut is_shared = shared(module, function, flow);
        let members = Members::of(lendings.models, module, flow, &is_shared);
        is_shared.resize(is_shared.len() + members.len(), false);
        let mut it = Owner {
            flow,
            number,
            module,
            members,
            made,
            invalid,
            definitions,
            is_shared,
            before: vec![None; flow.nodes.len()],
            regs: vec![0; flow.function.registers as usize],
            live: Vec::new(),
            carriers: Vec::new(),
            ends: Vec::new(),
        };
        it.forward(lendings)?;
        it.backward(lendings);
        it.find_ends();
        Some(it)
    }

    fn forward(&mut self, lendings: &mut Lendings<'_>) -> Option<()> {
        let entry = State {
            status: status::NONE,
            locals: (0..self.is_shared.len()).map(|_| value::UNWRITTEN).collect(),
        };
        let mut entry = entry;
        for parameter in &self.flow.function.parameters {
            entry.locals[parameter.index()] = value::OTHER;
        }
        *self.before.first_mut()? = Some(entry);
        for _ in 0..MAX_ROUNDS {
            let mut is_changed = false;
            for node in 0..self.flow.nodes.len() as u32 {
                let Some(mut state) = self.before[node as usize].clone() else { continue };
                is_changed |= self.apply(node, &mut state, lendings);
                for nth in 0..self.flow.next[node as usize].len() {
                    let to = self.flow.next[node as usize][nth] as usize;
                    let state = self.refined(node, nth, state.clone());
                    is_changed |= join(&mut self.before[to], state);
                }
            }
            if !is_changed {
                return Some(());
            }
        }
        None
    }

    /// The state on an edge; `None`: no way leads there.
    pub fn on(&self, edge: Edge, lendings: &mut Lendings<'_>) -> Option<State> {
        let mut state = self.before[edge.from as usize].clone()?;
        let mut copy = Copied { regs: &self.regs };
        self.transfer(edge.from, &mut state, &mut copy, lendings);
        Some(self.refined(edge.from, edge.nth as usize, state))
    }

    /// The carrier that a place is.
    fn carrier(&self, place: &Place) -> Option<LocalId> {
        match place.base {
            Base::Local(local) if place.steps.is_empty() => (!self.is_shared[local.index()]).then_some(local),
            _ => self.members.at(place),
        }
    }

    /// What becomes of members where something happens to their record.
    fn transfer_roots(&self, node: u32, state: &mut State, lendings: &Lendings<'_>) {
        for (root, what) in self.members.uses(lendings.models, self.module, &self.flow.at(node)) {
            for member in self.members.of_root(root) {
                let held = state.locals[member.index()];
                if what == Use::Escape && held & (value::EXACT | value::PART) != 0 {
                    leave(state);
                }
                state.locals[member.index()] = match what {
                    Use::Escape => held | value::OTHER | value::OPEN,
                    Use::Freed | Use::Written => value::OTHER,
                };
            }
        }
    }

    fn apply(&mut self, node: u32, state: &mut State, lendings: &mut Lendings<'_>) -> bool {
        let regs = std::mem::take(&mut self.regs);
        let mut written = Written { regs, is_changed: false };
        self.transfer(node, state, &mut written, lendings);
        self.regs = written.regs;
        written.is_changed
    }

    fn transfer(&self, node: u32, state: &mut State, regs: &mut dyn Registers, lendings: &mut Lendings<'_>) {
        const HELD: u8 = value::EXACT | value::PART;
        self.transfer_roots(node, state, lendings);
        let op = match self.flow.at(node) {
            At::Op(op) => op,
            At::End(End::Return(Some(it)) | End::Raise(it)) => {
                if regs.of(*it) & HELD != 0 {
                    leave(state);
                }
                return;
            }
            At::End(_) => return,
        };
        if self.made.contains(&node) {
            state.status = status::LIVE | status::FAILED;
            for it in &mut state.locals {
                *it = if *it & HELD != 0 { *it & !HELD | value::OTHER } else { *it };
            }
            if let Some(to) = op.kind.written() {
                regs.set(to, value::EXACT | value::INVALID);
            }
            return;
        }
        let holds = |regs: &dyn Registers, it: Operand| regs.of(it) & HELD != 0;
        let mut made = value::OTHER;
        match &op.kind {
            OpKind::Load { from, .. } => {
                if let Some(local) = self.carrier(from) {
                    made = state.locals[local.index()] & !value::OPEN;
                }
            }
            OpKind::Cast { value, .. } => made = self.of_operand(*value, regs),
            OpKind::Phi { from, .. } => {
                made = from.iter().fold(0, |all, it| all | self.of_operand(it.1, regs));
            }
            OpKind::Offset { base, .. } if holds(regs, *base) => made = value::PART,
            OpKind::Address { of: Place { base: Base::At(it), steps }, .. } if holds(regs, *it) => {
                made = if steps.is_empty() { regs.of(*it) } else { value::PART };
            }
            OpKind::Store { to, value, .. } => match self.carrier(to) {
                Some(local) if state.locals[local.index()] & value::OPEN == 0 => {
                    state.locals[local.index()] = self.of_operand(*value, regs);
                }
                _ if holds(regs, *value) => leave(state),
                _ => {}
            },
            OpKind::Live { local } => state.locals[local.index()] = value::UNWRITTEN,
            OpKind::Dead { local } => state.locals[local.index()] = value::OTHER,
            OpKind::Call { callee, args, .. } => {
                match self.lending(*callee, args, regs, lendings) {
                    Lending::Kept => leave(state),
                    Lending::Returned => made = value::EXACT | value::INVALID,
                    Lending::ReturnedPart => made = value::PART,
                    Lending::Borrowed => {}
                };
            }
            OpKind::Binary { .. }
            | OpKind::Unary { .. }
            | OpKind::Offset { .. }
            | OpKind::Address { .. }
            | OpKind::CopyRecord { .. }
            | OpKind::Assume { .. } => {}
            other => {
                let mut is_kept = false;
                other.each_operand(|it| is_kept |= holds(regs, it));
                if is_kept {
                    leave(state);
                }
            }
        }
        if let Some(to) = op.kind.written() {
            regs.set(to, made);
        }
    }

    fn lending(
        &self,
        callee: Callee,
        args: &[Argument],
        regs: &dyn Registers,
        lendings: &mut Lendings<'_>,
    ) -> Lending {
        lendings.of_call(self.number, callee, args, |it| regs.of(it) & (value::EXACT | value::PART) != 0)
    }

    fn of_operand(&self, it: Operand, regs: &dyn Registers) -> u8 {
        match it {
            Operand::Null => value::INVALID,
            Operand::Int(0) if self.invalid == Invalid::Null => value::INVALID,
            Operand::Int(..0) if self.invalid == Invalid::Negative => value::INVALID,
            other => regs.of(other),
        }
    }

    /// What a branch tells of it.
    fn refined(&self, node: u32, nth: usize, mut state: State) -> State {
        let At::End(End::Branch { condition, .. }) = self.flow.at(node) else { return state };
        let Some((tested, is_invalid)) = self.tested(*condition, nth == 0) else { return state };
        let Operand::Reg(reg) = tested else { return state };
        let of = self.regs[reg.index()];
        if of & value::EXACT == 0 || of & !(value::EXACT | value::INVALID) != 0 {
            return state;
        }
        let (kept, left) = match is_invalid {
            true => (!status::LIVE, value::INVALID),
            false => (!(status::FAILED | status::NONE), value::EXACT),
        };
        // What this leaves no status for is no way at all; keep what was known.
        if state.status & kept != 0 {
            state.status &= kept;
        }
        if let Some(local) = self.loaded(reg, node) {
            state.locals[local.index()] = left;
        }
        state
    }

    /// The value that a condition tests, and whether it is invalid when the condition is `is_true`.
    fn tested(&self, condition: Operand, mut is_true: bool) -> Option<(Operand, bool)> {
        let mut at = condition;
        for _ in 0..6 {
            let Operand::Reg(reg) = at else { return None };
            let At::Op(op) = self.flow.at(*self.definitions.get(&reg)?) else { return None };
            match &op.kind {
                OpKind::Unary { op: Unary::Not, value, .. } => {
                    is_true = !is_true;
                    at = *value;
                }
                OpKind::Binary { op, left, right, .. } => {
                    let is_zero =
                        |it: &Operand| matches!(it, Operand::Null | Operand::Int(0) | Operand::Bool(false));
                    if is_zero(right)
                        && self.is_condition(*left)
                        && matches!(op, Binary::Equal | Binary::NotEqual)
                    {
                        is_true ^= *op == Binary::Equal;
                        at = *left;
                        continue;
                    }
                    return self
                        .compared(*op, *left, *right)
                        .map(|(it, is_invalid)| (it, is_invalid == is_true));
                }
                OpKind::Cast { value, .. } if self.is_condition(*value) => at = *value,
                _ if self.invalid == Invalid::Null => return Some((at, !is_true)),
                _ => return None,
            }
        }
        None
    }

    /// Whether a value is the outcome of a test.
    fn is_condition(&self, it: Operand) -> bool {
        let Operand::Reg(reg) = it else { return false };
        let Some(&node) = self.definitions.get(&reg) else { return false };
        match self.flow.at(node) {
            At::Op(op) => match op.kind {
                OpKind::Unary { op: Unary::Not, .. } => true,
                OpKind::Binary { op, .. } => matches!(
                    op,
                    Binary::Equal
                        | Binary::NotEqual
                        | Binary::Less
                        | Binary::LessEqual
                        | Binary::Greater
                        | Binary::GreaterEqual
                ),
                _ => false,
            },
            At::End(_) => false,
        }
    }

    /// The value compared, and whether it is invalid where the comparison holds.
    fn compared(&self, op: Binary, left: Operand, right: Operand) -> Option<(Operand, bool)> {
        let (op, value, with) = match (self.literal(left), self.literal(right)) {
            (Operand::Reg(_), with) => (op, left, with),
            (with, Operand::Reg(_)) => (mirrored(op), right, with),
            _ => return None,
        };
        match self.invalid {
            Invalid::Null => match (op, with) {
                (Binary::Equal, Operand::Null | Operand::Int(0)) => Some((value, true)),
                (Binary::NotEqual, Operand::Null | Operand::Int(0)) => Some((value, false)),
                _ => None,
            },
            Invalid::Negative => match (op, with) {
                (Binary::Less, Operand::Int(0)) | (Binary::Equal | Binary::LessEqual, Operand::Int(-1)) => {
                    Some((value, true))
                }
                (Binary::GreaterEqual, Operand::Int(0))
                | (Binary::NotEqual | Binary::Greater, Operand::Int(-1)) => Some((value, false)),
                _ => None,
            },
        }
    }

    /// A number that is only converted: `(void *)-1`.
    fn literal(&self, it: Operand) -> Operand {
        let Operand::Reg(reg) = it else { return it };
        let definition = self.definitions.get(&reg).map(|it| self.flow.at(*it));
        match definition {
            Some(At::Op(Op { kind: OpKind::Cast { value: value @ Operand::Int(_), .. }, .. })) => *value,
            _ => it,
        }
    }

    /// The local that a register was loaded from, where it has not been written since.
    fn loaded(&self, reg: Reg, until: u32) -> Option<LocalId> {
        let mut reg = reg;
        for _ in 0..4 {
            let &from = self.definitions.get(&reg)?;
            let At::Op(op) = self.flow.at(from) else { return None };
            match &op.kind {
                OpKind::Cast { value: Operand::Reg(it), .. } => reg = *it,
                OpKind::Load { from: place, .. } => {
                    let local = &self.carrier(place)?;
                    let is_near =
                        self.flow.nodes[from as usize].block == self.flow.nodes[until as usize].block;
                    let is_written = (from..until).any(|it| match self.flow.at(it) {
                        At::Op(op) => {
                            matches!(&op.kind, OpKind::Store { to, .. } if self.carrier(to) == Some(*local))
                        }
                        At::End(_) => false,
                    });
                    return (is_near && !is_written && !self.is_shared[local.index()]).then_some(*local);
                }
                _ => return None,
            }
        }
        None
    }

    /// Which carriers are read later (the usual backward analysis).
    fn backward(&mut self, lendings: &Lendings<'_>) {
        const HELD: u8 = value::EXACT | value::PART;
        let mut is_local = vec![false; self.is_shared.len()];
        for state in self.before.iter().flatten() {
            for (is_it, held) in is_local.iter_mut().zip(&state.locals) {
                *is_it |= held & HELD != 0;
            }
        }
        let locals =
            (0..is_local.len()).filter(|it| is_local[*it]).map(|it| Carrier::Local(LocalId(it as u32)));
        let regs = (0..self.regs.len()).filter(|it| self.regs[*it] & HELD != 0);
        self.carriers = locals.chain(regs.map(|it| Carrier::Reg(Reg(it as u32)))).collect();
        let numbers: FxHashMap<Carrier, usize> =
            self.carriers.iter().enumerate().map(|(number, it)| (*it, number)).collect();
        let words = self.carriers.len().div_ceil(64);
        let count = self.flow.nodes.len();
        let models = lendings.models;
        let mut live = vec![vec![0u64; words]; count];
        let mut work: Vec<u32> = (0..count as u32).collect();
        while let Some(node) = work.pop() {
            let mut set = vec![0u64; words];
            for &to in &self.flow.next[node as usize] {
                set.iter_mut().zip(&live[to as usize]).for_each(|(it, also)| *it |= also);
            }
            self.step_back(node, models, &numbers, &mut set);
            if set != live[node as usize] {
                live[node as usize] = set;
                work.extend(&self.flow.previous[node as usize]);
            }
        }
        self.live = live;
    }

    fn step_back(&self, node: u32, models: &Models, numbers: &FxHashMap<Carrier, usize>, set: &mut [u64]) {
        let mut put = |it: Carrier, is_live: bool| {
            if let Some(&number) = numbers.get(&it) {
                let bit = 1u64 << (number % 64);
                set[number / 64] = if is_live { set[number / 64] | bit } else { set[number / 64] & !bit };
            }
        };
        let at = self.flow.at(node);
        for (root, what) in self.members.uses(models, self.module, &at) {
            self.members.of_root(root).for_each(|it| put(Carrier::Local(it), what == Use::Escape));
        }
        let op = match at {
            At::Op(op) => op,
            At::End(end) => {
                end.each_operand(|it| {
                    if let Operand::Reg(reg) = it {
                        put(Carrier::Reg(reg), true);
                    }
                });
                return;
            }
        };
        if let Some(reg) = op.kind.written() {
            put(Carrier::Reg(reg), false);
        }
        match &op.kind {
            OpKind::Store { to, .. } => {
                if let Some(it) = self.carrier(to) {
                    put(Carrier::Local(it), false);
                }
            }
            OpKind::Live { local } | OpKind::Dead { local } => put(Carrier::Local(*local), false),
            _ => {}
        }
        let from = match &op.kind {
            OpKind::Load { from: place, .. } | OpKind::Address { of: place, .. } => Some(place),
            OpKind::CopyRecord { from, .. } => Some(&**from),
            _ => None,
        };
        if let Some(it) = from.and_then(|it| self.members.at(it)) {
            put(Carrier::Local(it), true);
        }
        if let Some(Base::Local(local)) = from.map(|it| it.base) {
            put(Carrier::Local(local), true);
        }
        op.kind.each_operand(|it| {
            if let Operand::Reg(reg) = it {
                put(Carrier::Reg(reg), true);
            }
        });
    }

    fn find_ends(&mut self) {
        let mut ends = vec![false; self.flow.nodes.len()];
        let is_end = |node: &u32| matches!(self.flow.at(*node), At::End(End::Return(_)));
        let mut work: Vec<u32> = (0..ends.len() as u32).filter(is_end).chain(self.made.clone()).collect();
        while let Some(node) = work.pop() {
            if !std::mem::replace(&mut ends[node as usize], true) {
                work.extend(&self.flow.previous[node as usize]);
            }
        }
        self.ends = ends;
    }

    /// Whether nobody reads it from there on.
    fn is_dead(&self, state: &State, to: u32) -> bool {
        const HELD: u8 = value::EXACT | value::PART;
        self.carriers.iter().enumerate().all(|(number, it)| {
            let is_live = self.live[to as usize][number / 64] >> (number % 64) & 1 != 0;
            !is_live
                || match it {
                    Carrier::Local(local) => state.locals[local.index()] & HELD == 0,
                    Carrier::Reg(_) => false,
                }
        })
    }

    pub fn edges(&self) -> impl Iterator<Item = Edge> + use<'a> {
        let flow = self.flow;
        (0..flow.nodes.len() as u32).flat_map(move |from| {
            let next = flow.next[from as usize].iter().zip(0u32..);
            next.map(move |(to, nth)| Edge { from, nth, to: *to })
        })
    }

    /// Whether it may be given back on this edge, as far as its state tells: live or not made at all, and not read
    /// later.
    pub fn is_free_place(&self, state: &State, edge: Edge) -> bool {
        state.status & status::GONE == 0
            && state.status & status::LIVE != 0
            && self.ends[edge.to as usize]
            && self.is_dead(state, edge.to)
    }

    /// Whether a record that holds it goes to other code at a node.
    pub fn is_left_with_record(&self, state: &State, node: u32, models: &Models) -> bool {
        let uses = self.members.uses(models, self.module, &self.flow.at(node));
        uses.iter().filter(|it| it.1 == Use::Escape).any(|(root, _)| {
            self.members.of_root(*root).any(|it| state.locals[it.index()] & (value::EXACT | value::PART) != 0)
        })
    }

    /// Locals that name it, or something that may be given back as well: null where it was not made.
    pub fn names(&self, state: &State) -> Vec<LocalId> {
        let is_name = |held: u8| {
            held & value::EXACT != 0
                && held & (value::OTHER | value::PART | value::OPEN) == 0
                && (held & value::UNWRITTEN == 0 || state.status & status::NONE != 0)
        };
        (0..state.locals.len())
            .filter(|it| is_name(state.locals[*it]) && !self.is_shared[*it])
            .map(|it| LocalId(it as u32))
            .collect()
    }

    /// Whether a value is it, or leads into it.
    pub fn holds(&self, it: Operand) -> bool {
        of(&self.regs, it) & (value::EXACT | value::PART) != 0
    }

    pub fn is_made_at(&self, node: u32) -> bool {
        self.made.contains(&node)
    }
}

trait Registers {
    fn of(&self, it: Operand) -> u8;
    fn set(&mut self, reg: Reg, held: u8);
}

/// What is found is joined to what was known.
struct Written {
    regs: Vec<u8>,
    is_changed: bool,
}

impl Registers for Written {
    fn of(&self, it: Operand) -> u8 {
        of(&self.regs, it)
    }

    fn set(&mut self, reg: Reg, held: u8) {
        let at = &mut self.regs[reg.index()];
        self.is_changed |= held & !*at != 0;
        *at |= held;
    }
}

/// All is known already.
struct Copied<'a> {
    regs: &'a [u8],
}

impl Registers for Copied<'_> {
    fn of(&self, it: Operand) -> u8 {
        of(self.regs, it)
    }

    fn set(&mut self, _: Reg, _: u8) {}
}

fn of(regs: &[u8], it: Operand) -> u8 {
    match it {
        Operand::Reg(reg) => regs[reg.index()],
        Operand::Null => value::INVALID,
        _ => value::OTHER,
    }
}

fn mirrored(op: Binary) -> Binary {
    match op {
        Binary::Less => Binary::Greater,
        Binary::LessEqual => Binary::GreaterEqual,
        Binary::Greater => Binary::Less,
        Binary::GreaterEqual => Binary::LessEqual,
        other => other,
    }
}

/// It changes hands.
fn leave(state: &mut State) {
    if state.status & status::LIVE != 0 {
        state.status = state.status & !status::LIVE | status::GONE;
    }
}

fn join(into: &mut Option<State>, from: State) -> bool {
    let Some(into) = into else {
        *into = Some(from);
        return true;
    };
    let mut is_changed = from.status & !into.status != 0;
    into.status |= from.status;
    for (it, also) in into.locals.iter_mut().zip(&from.locals) {
        is_changed |= also & !*it != 0;
        *it |= also;
    }
    is_changed
}

/// Locals that other code than the function's own loads and stores may read or write.
fn shared(module: &Module, id: FunctionId, flow: &Flow<'_>) -> Vec<bool> {
    let mut is_shared = vec![false; flow.function.locals.len()];
    for op in flow.function.blocks.iter().flat_map(|it| &it.ops) {
        if let OpKind::Address { of: Place { base: Base::Local(it), .. }, .. } = op.kind {
            is_shared[it.index()] = true;
        }
    }
    if module.functions.iter().any(|it| it.parent == Some(id)) {
        let ops = module.functions.iter().flat_map(|it| &it.blocks).flat_map(|it| &it.ops);
        for op in ops {
            let place = match &op.kind {
                OpKind::Load { from: it, .. }
                | OpKind::Store { to: it, .. }
                | OpKind::Address { of: it, .. }
                | OpKind::CopyRecord { to: it, .. } => it,
                _ => continue,
            };
            if let Base::Outer(function, local) = place.base
                && function == id
            {
                is_shared[local.index()] = true;
            }
        }
    }
    is_shared
}
