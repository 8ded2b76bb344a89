//! What operations write and read.

use super::{Base, Callee, End, OpKind, Operand, Place, Reg, Step};

impl OpKind {
    /// The register that an operation writes.
    pub fn written(&self) -> Option<Reg> {
        match self {
            OpKind::Load { to, .. }
            | OpKind::Address { to, .. }
            | OpKind::Offset { to, .. }
            | OpKind::Binary { to, .. }
            | OpKind::Unary { to, .. }
            | OpKind::Cast { to, .. }
            | OpKind::SizeOf { to, .. }
            | OpKind::Phi { to, .. }
            | OpKind::Closure { to, .. }
            | OpKind::New { to, .. }
            | OpKind::Caught { to }
            | OpKind::Await { to, .. }
            | OpKind::Yield { to, .. }
            | OpKind::Allocate { to, .. }
            | OpKind::Reallocate { to, .. }
            | OpKind::Acquire { to, .. }
            | OpKind::Container { to, .. }
            | OpKind::Spawn { to, .. } => Some(*to),
            OpKind::Call { to, .. } | OpKind::Register { to, .. } => *to,
            OpKind::Store { .. }
            | OpKind::CopyRecord { .. }
            | OpKind::Live { .. }
            | OpKind::Dead { .. }
            | OpKind::Assume { .. }
            | OpKind::Free { .. }
            | OpKind::Escape { .. }
            | OpKind::Release { .. }
            | OpKind::Lock { .. }
            | OpKind::Unlock { .. }
            | OpKind::Grow { .. }
            | OpKind::Shrink { .. }
            | OpKind::Clear { .. }
            | OpKind::Read { .. }
            | OpKind::Stop { .. }
            | OpKind::Unregister { .. } => None,
        }
    }

    /// Calls `f` with each value that an operation reads, those in places included.
    pub fn each_operand(&self, mut f: impl FnMut(Operand)) {
        let f = &mut f;
        match self {
            OpKind::Load { from, .. } => place_operands(from, f),
            OpKind::Store { to, value, .. } => {
                place_operands(to, f);
                f(*value);
            }
            OpKind::CopyRecord { to, from, .. } => {
                place_operands(to, f);
                place_operands(from, f);
            }
            OpKind::Address { of, .. } => place_operands(of, f),
            OpKind::Offset { base: left, index: right, .. } | OpKind::Binary { left, right, .. } => {
                f(*left);
                f(*right);
            }
            OpKind::Phi { from, .. } => from.iter().for_each(|it| f(it.1)),
            OpKind::Call { callee, args, .. } => {
                match *callee {
                    Callee::Method { receiver: it, .. } | Callee::Value(it) => f(it),
                    Callee::Direct(_) => {}
                }
                args.iter().for_each(|it| f(it.value));
            }
            OpKind::New { args, .. } => args.iter().for_each(|it| f(it.value)),
            OpKind::Reallocate { value, bytes, .. } => {
                f(*value);
                f(*bytes);
            }
            OpKind::Unary { value, .. }
            | OpKind::Cast { value, .. }
            | OpKind::Await { value, .. }
            | OpKind::Yield { value, .. }
            | OpKind::Assume { condition: value }
            | OpKind::Allocate { bytes: value, .. }
            | OpKind::Free { value, .. }
            | OpKind::Escape { value }
            | OpKind::Release { value, .. }
            | OpKind::Lock { lock: value }
            | OpKind::Unlock { lock: value }
            | OpKind::Clear { container: value }
            | OpKind::Read { container: value, .. }
            | OpKind::Spawn { target: value, .. }
            | OpKind::Stop { value } => f(*value),
            OpKind::Container { bound, .. } => bound.iter().for_each(|it| f(*it)),
            OpKind::Grow { container, key, value } => {
                f(*container);
                key.iter().chain(value).for_each(|it| f(*it));
            }
            OpKind::Shrink { container, key } => {
                f(*container);
                key.iter().for_each(|it| f(*it));
            }
            OpKind::Register { target, key, callback, .. } | OpKind::Unregister { target, key, callback } => {
                [target, key, callback].into_iter().for_each(|it| f(*it));
            }
            OpKind::SizeOf { .. }
            | OpKind::Closure { .. }
            | OpKind::Caught { .. }
            | OpKind::Live { .. }
            | OpKind::Dead { .. }
            | OpKind::Acquire { .. } => {}
        }
    }
}

impl End {
    /// Calls `f` with the value that decides an end.
    pub fn each_operand(&self, mut f: impl FnMut(Operand)) {
        match self {
            End::Branch { condition: it, .. }
            | End::Switch { value: it, .. }
            | End::Raise(it)
            | End::Return(Some(it)) => {
                f(*it);
            }
            End::Goto(_) | End::Return(None) | End::Resume | End::Unreachable => {}
        }
    }
}

fn place_operands(place: &Place, f: &mut impl FnMut(Operand)) {
    if let Base::At(it) = place.base {
        f(it);
    }
    for step in &place.steps {
        if let Step::Index { index, .. } = step {
            f(*index);
        }
    }
}
