//! What a call does with a pointer that it is given: uses it while it runs, or more.
//!
//! Functions of the program are looked into, without regard to the order of their operations; library functions
//! are known by their models; what is neither may do anything.

use crate::ir::{Argument, Base, Callee, End, Module, Name, OpKind, Operand, Place};
use crate::models::{Effect, Models, Returns};
use crate::program::Program;
use rustc_hash::FxHashMap;

/// Calls that a pointer is followed through.
const MAX_DEPTH: u32 = 8;

/// Ordered: the later one says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lending {
    /// Nobody knows the pointer after the call.
    Borrowed,
    /// The result may lead into its block.
    ReturnedPart,
    /// The result is the pointer.
    Returned,
    /// It may have been kept, freed, or changed hands.
    Kept,
}

pub struct Lendings<'a> {
    pub program: &'a Program,
    pub models: &'a Models,
    known: FxHashMap<(u32, u32), Lending>,
}

impl<'a> Lendings<'a> {
    pub fn new(program: &'a Program, models: &'a Models) -> Lendings<'a> {
        Lendings { program, models, known: FxHashMap::default() }
    }

    /// What a call does with those of its arguments that `holds` tells.
    pub fn of_call(
        &mut self,
        number: u32,
        callee: Callee,
        args: &[Argument],
        holds: impl Fn(Operand) -> bool,
    ) -> Lending {
        self.of_call_within(number, callee, args, &holds, 0)
    }

    fn of_call_within(
        &mut self,
        number: u32,
        callee: Callee,
        args: &[Argument],
        holds: &dyn Fn(Operand) -> bool,
        depth: u32,
    ) -> Lending {
        let given: Vec<u32> = (0..args.len() as u32).filter(|it| holds(args[*it as usize].value)).collect();
        let (name, shift) = match callee {
            Callee::Direct(name) => (name, 0),
            Callee::Method { receiver, .. } if holds(receiver) => return Lending::Kept,
            Callee::Value(it) if holds(it) => return Lending::Kept,
            Callee::Method { name, class, .. } if !given.is_empty() => {
                let targets = self.program.implementations(number, name, class);
                if targets.is_empty() {
                    return Lending::Kept;
                }
                let all = targets.iter().flat_map(|to| given.iter().map(move |it| (*to, *it + 1)));
                let all: Vec<_> = all.collect();
                return all
                    .into_iter()
                    .map(|(to, it)| self.of_parameter(to, it, depth))
                    .max()
                    .unwrap_or(Lending::Kept);
            }
            _ if given.is_empty() => return Lending::Borrowed,
            _ => return Lending::Kept,
        };
        if given.is_empty() {
            return Lending::Borrowed;
        }
        if let Some(to) = self.program.function(number, name) {
            return given.iter().map(|it| self.of_parameter(to, it + shift, depth)).max().expect("not empty");
        }
        let module = &self.program.modules[number as usize];
        given.iter().map(|it| self.of_library(module, name, *it)).max().expect("not empty")
    }

    fn of_library(&self, module: &Module, name: Name, argument: u32) -> Lending {
        let Some(model) = self.models.find(module.name(name)) else { return Lending::Kept };
        let model = self.models.get(model);
        let is_it = |it: &u8| u32::from(*it) == argument;
        for effect in &model.effects {
            match effect {
                Effect::Reallocate { argument: it, .. }
                | Effect::Free { argument: it, .. }
                | Effect::Release { argument: it, .. }
                | Effect::Escape { argument: it }
                    if is_it(it) =>
                {
                    return Lending::Kept;
                }
                _ => {}
            }
        }
        match &model.returns {
            Returns::Argument(it) if is_it(it) => Lending::Returned,
            Returns::Within(it) if is_it(it) => Lending::ReturnedPart,
            _ => Lending::Borrowed,
        }
    }

    fn of_parameter(&mut self, function: u32, parameter: u32, depth: u32) -> Lending {
        if let Some(&it) = self.known.get(&(function, parameter)) {
            return it;
        }
        if depth >= MAX_DEPTH {
            return Lending::Kept;
        }
        // Recursion hands it on to itself: what the rest does counts.
        self.known.insert((function, parameter), Lending::Borrowed);
        let it = self.look_into(function, parameter, depth + 1);
        self.known.insert((function, parameter), it);
        it
    }

    fn look_into(&mut self, number: u32, parameter: u32, depth: u32) -> Lending {
        let program = self.program;
        let (_, function) = program.ir(number);
        let module = program.functions[number as usize].module;
        let Some(&local) = function.parameters.get(parameter as usize) else { return Lending::Kept };
        if function.blocks.is_empty() || function.is_generator || function.is_async {
            return Lending::Kept;
        }
        let mut locals = vec![false; function.locals.len()];
        let mut regs = vec![false; function.registers as usize];
        locals[local.index()] = true;
        let mut result = Lending::Borrowed;
        loop {
            let before = (locals.clone(), regs.clone());
            for op in function.blocks.iter().flat_map(|it| &it.ops) {
                let holds = |it: Operand| matches!(it, Operand::Reg(reg) if regs[reg.index()]);
                let is_local = |it: &Place| matches!(it.base, Base::Local(local) if locals[local.index()]);
                let mut made = false;
                match &op.kind {
                    OpKind::Load { from, .. } => made = is_local(from),
                    OpKind::Cast { value, .. } => made = holds(*value),
                    OpKind::Offset { base, .. } => made = holds(*base),
                    OpKind::Phi { from, .. } => made = from.iter().any(|it| holds(it.1)),
                    OpKind::Address { of, .. } if is_local(of) => return Lending::Kept,
                    OpKind::Address { of, .. } => made = matches!(of.base, Base::At(it) if holds(it)),
                    OpKind::Store { to, value, .. } if holds(*value) => match to.base {
                        Base::Local(local) if to.steps.is_empty() => locals[local.index()] = true,
                        _ => return Lending::Kept,
                    },
                    OpKind::CopyRecord { from, .. } if is_local(from) => return Lending::Kept,
                    OpKind::Call { callee, args, .. } => {
                        match self.of_call_within(module, *callee, args, &holds, depth) {
                            Lending::Kept => return Lending::Kept,
                            Lending::Borrowed => {}
                            Lending::Returned | Lending::ReturnedPart => made = true,
                        }
                    }
                    OpKind::Store { .. }
                    | OpKind::CopyRecord { .. }
                    | OpKind::Binary { .. }
                    | OpKind::Unary { .. }
                    | OpKind::Assume { .. } => {}
                    other => {
                        let mut is_kept = false;
                        other.each_operand(|it| is_kept |= holds(it));
                        if is_kept {
                            return Lending::Kept;
                        }
                    }
                }
                if let Some(reg) = op.kind.written().filter(|_| made) {
                    regs[reg.index()] = true;
                }
            }
            for block in &function.blocks {
                match block.end {
                    End::Return(Some(Operand::Reg(it))) if regs[it.index()] => result = Lending::ReturnedPart,
                    End::Raise(Operand::Reg(it)) if regs[it.index()] => return Lending::Kept,
                    _ => {}
                }
            }
            if before == (locals.clone(), regs.clone()) {
                return result;
            }
        }
    }
}
