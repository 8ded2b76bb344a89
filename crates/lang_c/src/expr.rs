//! Expressions: operations are written as the tokens are read.

use crate::lex::{Kind, Token};
use crate::literal;
use crate::lower::{Bad, Entity, Lower, Res, SetId};
use crate::symbols::{Sym, sym};
use crate::types::{RecordId, T, Ty, Types};
use heapwise_check::ir::{
    Argument, Base, Binary, BlockId, Callee, End, LocalId, Name, OpKind, Operand, Place, Span, Step, Unary,
};

/// Offset, type and bits (first, count) of a member.
pub(crate) type FoundField = (u64, T, Option<(u8, u8)>);

/// What an expression is, before it is known what becomes of it.
#[derive(Clone, Debug)]
pub(crate) enum V {
    /// Something that has an address (or a bit-field of it: lowest bit and width).
    Place(Place, T, Option<(u8, u8)>),
    R(Operand, T),
    /// A truth as control flow: nothing was switched to yet.
    Cond(BlockId, BlockId),
    /// A string literal: its units with the terminator, and their type.
    Str(Name, u64, T),
    /// Functions of this name, with explicit template arguments.
    Set(SetId, Vec<T>),
    Method(Box<Method>),
    /// An object of class type that was made here.
    Temp(LocalId, T),
}

/// A method that is about to be called.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// Address of the object.
    pub(crate) receiver: Operand,
    pub(crate) record: Option<RecordId>,
    pub(crate) set: Option<SetId>,
    pub(crate) name: Sym,
    /// `Base::f()`: not dispatched.
    pub(crate) is_qualified: bool,
    pub(crate) template_args: Vec<T>,
}

impl V {
    pub(crate) fn int(value: i64) -> V {
        V::R(Operand::Int(value), Types::INT)
    }

    pub(crate) fn unknown() -> V {
        V::R(Operand::Opaque, Types::UNKNOWN)
    }

    pub(crate) fn void() -> V {
        V::R(Operand::Opaque, Types::VOID)
    }
}

pub(crate) fn argument(value: Operand) -> Argument {
    Argument { name: None, value, is_spread: false }
}

/// A place one step further.
pub(crate) fn with_step(place: Place, step: Step) -> Place {
    let mut steps = Vec::with_capacity(place.steps.len() + 1);
    steps.extend_from_slice(&place.steps);
    steps.push(step);
    Place { base: place.base, steps: steps.into() }
}

/// Binding strength of a binary operator.
fn rank(op: Sym) -> Option<u8> {
    Some(match op {
        sym::OR_OR => 1,
        sym::AND_AND => 2,
        sym::PIPE => 3,
        sym::CARET => 4,
        sym::AMP => 5,
        sym::EQ | sym::NE => 6,
        sym::LT | sym::GT | sym::LE | sym::GE => 7,
        sym::SPACESHIP => 8,
        sym::SHL | sym::SHR => 9,
        sym::PLUS | sym::MINUS => 10,
        sym::STAR | sym::SLASH | sym::PERCENT => 11,
        sym::DOT_STAR | sym::ARROW_STAR => 12,
        _ => return None,
    })
}

fn binary_op(op: Sym) -> Binary {
    match op {
        sym::PLUS | sym::PLUS_EQ | sym::INC => Binary::Add,
        sym::MINUS | sym::MINUS_EQ | sym::DEC => Binary::Subtract,
        sym::STAR | sym::STAR_EQ => Binary::Multiply,
        sym::SLASH | sym::SLASH_EQ => Binary::Divide,
        sym::PERCENT | sym::PERCENT_EQ => Binary::Remainder,
        sym::AMP | sym::AMP_EQ => Binary::And,
        sym::PIPE | sym::PIPE_EQ => Binary::Or,
        sym::CARET | sym::CARET_EQ => Binary::Xor,
        sym::SHL | sym::SHL_EQ => Binary::ShiftLeft,
        sym::SHR | sym::SHR_EQ => Binary::ShiftRight,
        sym::EQ => Binary::Equal,
        sym::NE => Binary::NotEqual,
        sym::LT => Binary::Less,
        sym::LE => Binary::LessEqual,
        sym::GT => Binary::Greater,
        _ => Binary::GreaterEqual,
    }
}

fn is_comparison(op: Binary) -> bool {
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

/// The operator of a compound assignment.
fn compound(op: Sym) -> bool {
    matches!(
        op,
        sym::PLUS_EQ
            | sym::MINUS_EQ
            | sym::STAR_EQ
            | sym::SLASH_EQ
            | sym::PERCENT_EQ
            | sym::AMP_EQ
            | sym::PIPE_EQ
            | sym::CARET_EQ
            | sym::SHL_EQ
            | sym::SHR_EQ
    )
}

/// An integer in the range of a type of this width.
pub(crate) fn wrap(value: i64, bytes: u8, is_signed: bool) -> i64 {
    match (bytes, is_signed) {
        (1, true) => i64::from(value as i8),
        (1, false) => i64::from(value as u8),
        (2, true) => i64::from(value as i16),
        (2, false) => i64::from(value as u16),
        (4, true) => i64::from(value as i32),
        (4, false) => i64::from(value as u32),
        _ => value,
    }
}

fn fold(op: Binary, a: i64, b: i64, bytes: u8, is_signed: bool) -> Option<i64> {
    let is_unsigned = bytes >= 8 && !is_signed;
    let order = if is_unsigned { (a as u64).cmp(&(b as u64)) } else { a.cmp(&b) };
    let value = match op {
        Binary::Add => a.wrapping_add(b),
        Binary::Subtract => a.wrapping_sub(b),
        Binary::Multiply => a.wrapping_mul(b),
        Binary::Divide if is_unsigned => (a as u64).checked_div(b as u64)? as i64,
        Binary::Divide => a.checked_div(b)?,
        Binary::Remainder if is_unsigned => (a as u64).checked_rem(b as u64)? as i64,
        Binary::Remainder => a.checked_rem(b)?,
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::ShiftLeft => a.checked_shl(u32::try_from(b).ok()?)?,
        Binary::ShiftRight if is_unsigned => (a as u64).checked_shr(u32::try_from(b).ok()?)? as i64,
        Binary::ShiftRight => a.checked_shr(u32::try_from(b).ok()?)?,
        Binary::Equal => return Some(i64::from(order.is_eq())),
        Binary::NotEqual => return Some(i64::from(order.is_ne())),
        Binary::Less => return Some(i64::from(order.is_lt())),
        Binary::LessEqual => return Some(i64::from(order.is_le())),
        Binary::Greater => return Some(i64::from(order.is_gt())),
        Binary::GreaterEqual => return Some(i64::from(order.is_ge())),
        Binary::In | Binary::IsA => return None,
    };
    Some(wrap(value, bytes, is_signed))
}

/// The number that a constant is in a condition.
fn truth_of(value: Operand) -> Option<bool> {
    match value {
        Operand::Int(it) => Some(it != 0),
        Operand::Bool(it) => Some(it),
        Operand::Null => Some(false),
        Operand::String(_) | Operand::Function(_) => Some(true),
        _ => None,
    }
}

impl Lower {
    // Reading.

    /// An expression, commas included.
    pub(crate) fn expression(&mut self) -> Res<V> {
        let mut value = self.assignment()?;
        while self.is(sym::COMMA) {
            self.discard(value);
            self.at += 1;
            value = self.assignment()?;
        }
        Ok(value)
    }

    /// An expression without commas.
    pub(crate) fn assignment(&mut self) -> Res<V> {
        self.enter()?;
        let start = self.at;
        if self.is_cpp && self.is(sym::THROW) {
            let value = self.throw_expression();
            self.leave();
            return value;
        }
        let left = self.conditional()?;
        let op = self.peek();
        let value = if op.kind != Kind::Punct {
            left
        } else if op.text == sym::ASSIGN {
            self.at += 1;
            self.assign(left, start)?
        } else if compound(op.text) {
            self.at += 1;
            self.compound_assign(op.text, left, start)?
        } else {
            left
        };
        self.leave();
        Ok(value)
    }

    fn assign(&mut self, left: V, start: usize) -> Res<V> {
        let ty = self.type_of(&left);
        if let Some(record) = self.types.as_record(ty)
            && self.is_cpp
            && self.overload_of(record, sym::ASSIGN).is_some()
        {
            let right = if self.is(sym::LBRACE) { self.braced_value(ty)? } else { self.assignment()? };
            return self.operator_call(sym::ASSIGN, left, Some(right), start);
        }
        if self.is(sym::LBRACE) {
            let V::Place(place, ty, _) = left else { return Err(Bad) };
            self.initialize(place.clone(), ty, self.at)?;
            return Ok(V::Place(place, ty, None));
        }
        let right = self.assignment()?;
        let span = self.span(start);
        let V::Place(place, ty, bits) = left else {
            // An assignment to a value of a class that has no operators of its own, or to nothing known.
            self.rvalue(right, span);
            return Ok(left);
        };
        if bits.is_some() {
            let value = self.coerce(right, ty, span)?;
            self.store(place, Operand::Opaque, ty, span);
            return Ok(V::R(value, ty));
        }
        self.assign_to(place, ty, right, span)
    }

    /// Stores a value, and is it.
    pub(crate) fn assign_to(&mut self, place: Place, ty: T, right: V, span: Span) -> Res<V> {
        if self.types.as_record(ty).is_some() {
            self.copy_record(&place, ty, right, span)?;
            return Ok(V::Place(place, ty, None));
        }
        let value = self.coerce(right, ty, span)?;
        if self.is_cpp {
            self.store(place.clone(), value, ty, span);
            return Ok(V::Place(place, ty, None));
        }
        self.store(place, value, ty, span);
        Ok(V::R(value, ty))
    }

    /// Copies a whole record, without calling anything.
    pub(crate) fn copy_record(&mut self, to: &Place, ty: T, from: V, span: Span) -> Res<()> {
        let bytes = self.types.size(ty).unwrap_or(0);
        match from {
            V::Place(from, _, _) => {
                self.push(OpKind::CopyRecord { to: to.clone(), from: Box::new(from), bytes }, span)
            }
            V::Temp(local, _) => {
                self.forget_temporary(local);
                self.push(
                    OpKind::CopyRecord { to: to.clone(), from: Box::new(Place::local(local)), bytes },
                    span,
                );
            }
            other => {
                let (value, _) = self.rvalue(other, span);
                self.store(to.clone(), value, ty, span);
            }
        }
        Ok(())
    }

    fn compound_assign(&mut self, op: Sym, left: V, start: usize) -> Res<V> {
        let ty = self.type_of(&left);
        if self.types.as_record(ty).is_some() && self.is_cpp {
            let right = self.assignment()?;
            return self.operator_call(op, left, Some(right), start);
        }
        let right = self.assignment()?;
        let (right, right_ty) = self.rvalue_here(right, start);
        let span = self.span(start);
        let V::Place(place, ty, bits) = left else { return Ok(V::R(Operand::Opaque, ty)) };
        let (old, _) = self.rvalue(V::Place(place.clone(), ty, bits), span);
        let new = self.arithmetic(op, (old, ty), (right, right_ty), span);
        let value = self.coerce(new, ty, span)?;
        let stored = if bits.is_some() { Operand::Opaque } else { value };
        self.store(place.clone(), stored, ty, span);
        if self.is_cpp { Ok(V::Place(place, ty, bits)) } else { Ok(V::R(value, ty)) }
    }

    /// A conditional expression or anything that binds stronger.
    pub(crate) fn conditional(&mut self) -> Res<V> {
        let start = self.at;
        let condition = self.binary(1)?;
        if !self.is(sym::QUESTION) {
            return Ok(condition);
        }
        self.at += 1;
        let is_place = self.place_wanted == Some(start);
        let span = self.span(start);
        if self.is(sym::COLON) {
            return self.elvis(condition, start);
        }
        let known = match &condition {
            V::R(value, _) => truth_of(*value),
            _ => None,
        };
        if let Some(is_true) = known {
            return self.constant_conditional(is_true);
        }
        if !matches!(condition, V::Cond(..)) && !self.is_reachable() {
            self.expression()?;
            self.expect(sym::COLON)?;
            self.enter()?;
            let other = self.conditional_tail()?;
            self.leave();
            let ty = self.type_of(&other);
            return Ok(V::R(Operand::Opaque, ty));
        }
        let (then_block, other_block) = self.branch(condition, span);
        self.switch_to(then_block);
        let then = self.expression()?;
        let then = self.arm(then, start, is_place);
        let then_end = self.body.fb.current();
        self.expect(sym::COLON)?;
        self.switch_to(other_block);
        self.enter()?;
        let other = self.conditional_tail()?;
        self.leave();
        let other = self.arm(other, start, is_place);
        self.join(then, then_end, other, start)
    }

    /// The last operand of `?:`, which may be an assignment in C++ and a `throw`.
    fn conditional_tail(&mut self) -> Res<V> {
        if self.is_cpp { self.assignment() } else { self.conditional() }
    }

    /// `a ?: b` of GNU C.
    fn elvis(&mut self, condition: V, start: usize) -> Res<V> {
        self.at += 1;
        let (value, ty) = self.rvalue_here(condition, start);
        if !self.is_reachable() {
            self.conditional_tail()?;
            return Ok(V::R(Operand::Opaque, ty));
        }
        let span = self.span(start);
        let (then_block, other_block) = self.branch(V::R(value, ty), span);
        self.switch_to(then_block);
        let then_end = self.body.fb.current();
        self.switch_to(other_block);
        let other = self.conditional_tail()?;
        let other = self.arm(other, start, false);
        self.join((value, ty, false), then_end, other, start)
    }

    fn constant_conditional(&mut self, is_true: bool) -> Res<V> {
        let suspended = if is_true { None } else { self.body.fb.suspend() };
        let then = self.expression()?;
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        // What is a condition in control flow has to be a value before other code comes.
        let then = if is_true { self.settled(then) } else { then };
        self.expect(sym::COLON)?;
        let suspended = if is_true { self.body.fb.suspend() } else { None };
        self.enter()?;
        let other = self.conditional_tail()?;
        self.leave();
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        Ok(if is_true { then } else { other })
    }

    /// An operand of `?:` as a value, or as the address of a record or of a place that is wanted.
    fn arm(&mut self, value: V, start: usize, is_place: bool) -> (Operand, T, bool) {
        let ty = self.type_of(&value);
        let span = self.span(start);
        if is_place {
            return match value {
                V::Place(place, ty, None) => (self.address(place, span), ty, true),
                other => {
                    self.discard(other);
                    (Operand::Opaque, ty, true)
                }
            };
        }
        if self.types.as_record(ty).is_some() {
            let place = self.place_of(value, span);
            return (self.address(place, span), ty, true);
        }
        if self.is_cpp
            && let V::Place(place, ty, None) = &value
            && self.types.is_arithmetic(*ty)
        {
            let (value, _) = self.rvalue(V::Place(place.clone(), *ty, None), span);
            return (value, *ty, false);
        }
        let (value, ty) = self.rvalue(value, span);
        (value, ty, false)
    }

    fn join(
        &mut self,
        then: (Operand, T, bool),
        then_end: Option<BlockId>,
        other: (Operand, T, bool),
        start: usize,
    ) -> Res<V> {
        let span = self.span(start);
        let other_end = self.body.fb.current();
        let join = self.block();
        self.end(End::Goto(join), span);
        if let Some(block) = then_end {
            self.switch_to(block);
            self.end(End::Goto(join), span);
        }
        let ty = self.joined_type(then.1, then.0, other.1, other.0);
        let is_address = then.2 || other.2;
        if then_end.is_none() && other_end.is_none() {
            self.body.fb.suspend();
            return Ok(V::R(Operand::Opaque, ty));
        }
        self.switch_to(join);
        let null = |it: Operand| if it == Operand::Int(0) { Operand::Null } else { it };
        let (mut a, mut b) = (then.0, other.0);
        if self.types.is_pointer(ty) {
            (a, b) = (null(a), null(b));
        }
        let value = match (then_end, other_end) {
            _ if matches!(self.types.get(ty), Ty::Void) => Operand::Opaque,
            (Some(_), Some(_)) if a == b => a,
            (Some(x), Some(y)) => self.op(span, |to| OpKind::Phi { to, from: [(x, a), (y, b)].into() }),
            (Some(_), None) => a,
            _ => b,
        };
        if is_address {
            return Ok(V::Place(Place::at(value), ty, None));
        }
        Ok(V::R(value, ty))
    }

    fn joined_type(&self, a: T, a_value: Operand, b: T, b_value: Operand) -> T {
        if a == b {
            return a;
        }
        if self.types.is_arithmetic(a) && self.types.is_arithmetic(b) {
            return self.types.common(a, b);
        }
        let is_null = |value: Operand| matches!(value, Operand::Null | Operand::Int(0));
        match (self.types.get(a), self.types.get(b)) {
            (Ty::Void | Ty::Unknown, _) => b,
            (_, Ty::Void | Ty::Unknown) => a,
            _ if is_null(a_value) => b,
            _ if is_null(b_value) => a,
            (Ty::Pointer(Types::VOID), _) => a,
            (_, Ty::Pointer(Types::VOID)) => b,
            _ => a,
        }
    }

    fn binary(&mut self, least: u8) -> Res<V> {
        let start = self.at;
        let mut left = self.cast()?;
        loop {
            let mut op = self.peek();
            if op.kind != Kind::Punct {
                break;
            }
            let is_split = op.text == sym::GT && self.peek_at(1).flags & crate::lex::JOINED != 0;
            if is_split {
                op.text = sym::SHR;
            }
            let Some(rank) = rank(op.text).filter(|it| *it >= least) else { break };
            if self.angle_depth > 0 && matches!(op.text, sym::GT | sym::SHR) {
                break;
            }
            self.at += 1 + usize::from(is_split);
            left = match op.text {
                sym::AND_AND | sym::OR_OR => self.logical(op.text, left, rank, start)?,
                sym::DOT_STAR | sym::ARROW_STAR => {
                    self.binary(rank + 1)?;
                    self.discard(left);
                    V::unknown()
                }
                _ => self.operation(op.text, left, rank, start)?,
            };
        }
        Ok(left)
    }

    fn operation(&mut self, op: Sym, left: V, rank: u8, start: usize) -> Res<V> {
        let left_ty = self.type_of(&left);
        if self.is_cpp && self.is_class_like(left_ty) {
            let right = self.binary(rank + 1)?;
            return self.operator_call(op, left, Some(right), start);
        }
        let (a, a_ty) = self.rvalue_here(left, start);
        let right = self.binary(rank + 1)?;
        if self.is_cpp && self.is_class_value(&right) {
            return self.operator_call(op, V::R(a, a_ty), Some(right), start);
        }
        let (b, b_ty) = self.rvalue_here(right, start);
        let span = self.span(start);
        Ok(self.arithmetic(op, (a, a_ty), (b, b_ty), span))
    }

    /// `&&` and `||`.
    fn logical(&mut self, op: Sym, left: V, rank: u8, start: usize) -> Res<V> {
        let is_and = op == sym::AND_AND;
        let known = match &left {
            V::R(value, _) => truth_of(*value),
            _ => None,
        };
        if let Some(is_true) = known {
            if is_true == is_and {
                let right = self.binary(rank + 1)?;
                let right = self.truth(right, start);
                return Ok(right);
            }
            let suspended = self.body.fb.suspend();
            self.binary(rank + 1)?;
            if let Some(block) = suspended {
                self.switch_to(block);
            }
            return Ok(V::R(Operand::Int(i64::from(!is_and)), Types::TRUTH));
        }
        // A condition in control flow has ended its block, and is reachable through its own.
        if !matches!(left, V::Cond(..)) && !self.is_reachable() {
            self.binary(rank + 1)?;
            return Ok(V::R(Operand::Opaque, Types::TRUTH));
        }
        let span = self.span(start);
        let (then, other) = self.branch(left, span);
        let (inner, outer) = if is_and { (then, other) } else { (other, then) };
        self.switch_to(inner);
        let right_start = self.at;
        let right = self.binary(rank + 1)?;
        let span = self.span(right_start);
        // Where the right operand decides as the left one did.
        if let V::Cond(then, other) = right {
            let (fresh, same) = if is_and { (then, other) } else { (other, then) };
            self.switch_to(same);
            self.end(End::Goto(outer), span);
            return Ok(if is_and { V::Cond(fresh, outer) } else { V::Cond(outer, fresh) });
        }
        let value = self.truth_value(right, span);
        let fresh = self.block();
        let (then, other) = if is_and { (fresh, outer) } else { (outer, fresh) };
        self.end(End::Branch { condition: value, then, other }, span);
        Ok(V::Cond(then, other))
    }

    /// Ends the current block on a condition; what is known goes one way.
    pub(crate) fn branch(&mut self, value: V, span: Span) -> (BlockId, BlockId) {
        if let V::Cond(then, other) = value {
            return (then, other);
        }
        let condition = self.truth_value(value, span);
        let then = self.block();
        let other = self.block();
        match truth_of(condition) {
            Some(true) => self.end(End::Goto(then), span),
            Some(false) => self.end(End::Goto(other), span),
            None => self.end(End::Branch { condition, then, other }, span),
        }
        (then, other)
    }

    /// A value that is true or false, as an operand to branch on.
    fn truth_value(&mut self, value: V, span: Span) -> Operand {
        let ty = self.type_of(&value);
        if self.is_cpp && self.types.as_record(ty).is_some() {
            return self.class_truth(value, span);
        }
        let (value, ty) = self.rvalue(value, span);
        if truth_of(value).is_some()
            || matches!(self.types.get(ty), Ty::Truth | Ty::Bool)
            || value == Operand::Opaque
        {
            return value;
        }
        let zero = if self.types.is_pointer(ty) { Operand::Null } else { Operand::Int(0) };
        self.op(span, |to| OpKind::Binary { to, op: Binary::NotEqual, left: value, right: zero })
    }

    /// `!!value`.
    fn truth(&mut self, value: V, start: usize) -> V {
        let span = self.span(start);
        if let V::Cond(..) = value {
            return value;
        }
        let value = self.truth_value(value, span);
        let value = truth_of(value).map_or(value, |it| Operand::Int(i64::from(it)));
        V::R(value, Types::TRUTH)
    }

    fn negation(&mut self, value: V, start: usize) -> V {
        let span = self.span(start);
        match value {
            V::Cond(then, other) => V::Cond(other, then),
            _ if self.is_cpp && self.record_of(&value).is_some() => {
                let value = self.class_truth(value, span);
                let value = self.op(span, |to| OpKind::Unary { to, op: Unary::Not, value });
                V::R(value, Types::TRUTH)
            }
            value => {
                let (value, ty) = self.rvalue(value, span);
                if let Some(known) = truth_of(value) {
                    return V::R(Operand::Int(i64::from(!known)), Types::TRUTH);
                }
                if value == Operand::Opaque {
                    return V::R(Operand::Opaque, Types::TRUTH);
                }
                let zero = if self.types.is_pointer(ty) { Operand::Null } else { Operand::Int(0) };
                let value = match self.types.get(ty) {
                    Ty::Truth | Ty::Bool => self.op(span, |to| OpKind::Unary { to, op: Unary::Not, value }),
                    _ => {
                        self.op(span, |to| OpKind::Binary { to, op: Binary::Equal, left: value, right: zero })
                    }
                };
                V::R(value, Types::TRUTH)
            }
        }
    }

    // Values.

    pub(crate) fn is_class_value(&mut self, value: &V) -> bool {
        let ty = self.type_of(value);
        self.is_class_like(ty)
    }

    pub(crate) fn record_of(&mut self, value: &V) -> Option<RecordId> {
        let ty = self.type_of(value);
        self.types.as_record(ty)
    }

    pub(crate) fn type_of(&mut self, value: &V) -> T {
        match value {
            V::Place(_, ty, _) | V::R(_, ty) | V::Temp(_, ty) => *ty,
            V::Cond(..) => Types::TRUTH,
            V::Str(_, count, unit) => self.types.array(*unit, Some(*count)),
            V::Set(set, _) => {
                self.sets[set.0 as usize].first().map_or(Types::UNKNOWN, |it| self.funcs[it.0 as usize].ty)
            }
            V::Method(_) => Types::UNKNOWN,
        }
    }

    /// A condition becomes a value; others stay as they are.
    pub(crate) fn settled(&mut self, value: V) -> V {
        if let V::Cond(..) = value {
            let span = self.token_span(self.at.saturating_sub(1));
            let (value, ty) = self.rvalue(value, span);
            return V::R(value, ty);
        }
        value
    }

    /// Evaluates for effects alone.
    pub(crate) fn discard(&mut self, value: V) {
        if let V::Cond(then, other) = value {
            let span = self.token_span(self.at.saturating_sub(1));
            let join = self.block();
            self.switch_to(then);
            self.end(End::Goto(join), span);
            self.switch_to(other);
            self.flow_to(join, span);
        }
    }

    pub(crate) fn rvalue_here(&mut self, value: V, start: usize) -> (Operand, T) {
        let span = self.span(start);
        self.rvalue(value, span)
    }

    /// The value itself: places are read, arrays and functions become addresses.
    pub(crate) fn rvalue(&mut self, value: V, span: Span) -> (Operand, T) {
        match value {
            V::R(value, ty) => (value, ty),
            V::Place(place, ty, bits) => self.read_place(place, ty, bits, span),
            V::Cond(then, other) => {
                let join = self.block();
                self.switch_to(then);
                self.end(End::Goto(join), span);
                self.switch_to(other);
                self.flow_to(join, span);
                let from = [(then, Operand::Int(1)), (other, Operand::Int(0))].into();
                (self.op(span, |to| OpKind::Phi { to, from }), Types::TRUTH)
            }
            V::Str(name, _, unit) => (Operand::String(name), self.types.pointer(unit)),
            V::Set(set, _) => match self.sets[set.0 as usize].first() {
                Some(&id) => {
                    let func = &self.funcs[id.0 as usize];
                    let (name, ty) = (func.name, func.ty);
                    (Operand::Function(name), self.types.pointer(ty))
                }
                None => (Operand::Opaque, Types::UNKNOWN),
            },
            V::Method(_) => (Operand::Opaque, Types::UNKNOWN),
            V::Temp(local, ty) => {
                self.forget_temporary(local);
                (self.load(Place::local(local), ty, span), ty)
            }
        }
    }

    fn read_place(&mut self, place: Place, ty: T, bits: Option<(u8, u8)>, span: Span) -> (Operand, T) {
        match self.types.get(ty) {
            Ty::Array(of, _) | Ty::Vla(of) => {
                let pointer = self.types.pointer(of);
                (self.address(place, span), pointer)
            }
            Ty::Function(_) => {
                let pointer = self.types.pointer(ty);
                (self.address(place, span), pointer)
            }
            _ => {
                if place.steps.is_empty()
                    && let Some(value) = self.known_constant(place.base)
                {
                    return (Operand::Int(value), ty);
                }
                let value = self.load(place, ty, span);
                match bits {
                    Some((shift, width)) => (self.extract(value, shift, width, span), ty),
                    None => (value, ty),
                }
            }
        }
    }

    /// The bits of a bit-field out of its unit.
    fn extract(&mut self, unit: Operand, shift: u8, width: u8, span: Span) -> Operand {
        let mut value = unit;
        if shift > 0 {
            let right = Operand::Int(i64::from(shift));
            value = self.op(span, |to| OpKind::Binary { to, op: Binary::ShiftRight, left: value, right });
        }
        if width < 63 {
            let right = Operand::Int((1i64 << width) - 1);
            value = self.op(span, |to| OpKind::Binary { to, op: Binary::And, left: value, right });
        }
        value
    }

    fn known_constant(&self, base: Base) -> Option<i64> {
        match base {
            Base::Local(local) => self.body.constants.get(&local).copied(),
            Base::Global(global) => self.constants.get(&global).copied(),
            _ => None,
        }
    }

    /// The address of a place.
    pub(crate) fn address(&mut self, place: Place, span: Span) -> Operand {
        if let (Base::At(pointer), true) = (place.base, place.steps.is_empty()) {
            return pointer;
        }
        self.op(span, |to| OpKind::Address { to, of: place })
    }

    /// A place that holds the value; values without one get a temporary.
    pub(crate) fn place_of(&mut self, value: V, span: Span) -> Place {
        match value {
            V::Place(place, _, _) => place,
            V::Temp(local, _) => Place::local(local),
            other => {
                let (value, ty) = self.rvalue(other, span);
                let local = self.temporary(ty, span);
                self.push(OpKind::Live { local }, span);
                self.store(Place::local(local), value, ty, span);
                if self.needs_destruction(ty) {
                    self.keep_temporary(local, ty);
                }
                Place::local(local)
            }
        }
    }

    /// The value as one of type `to`, by implicit conversion.
    pub(crate) fn coerce(&mut self, value: V, to: T, span: Span) -> Res<Operand> {
        if let Ty::Reference(target) = self.types.get(to) {
            return self.bind_reference(value, target, span);
        }
        if self.is_cpp && self.is_class_like(to) {
            return self.coerce_to_class(value, to, span);
        }
        if self.is_cpp && self.record_of(&value).is_some() {
            return self.coerce_from_class(value, to, span);
        }
        let (value, from) = self.rvalue(value, span);
        Ok(self.convert(value, from, to, false, span))
    }

    /// Converts a scalar.
    pub(crate) fn convert(
        &mut self,
        value: Operand,
        from: T,
        to: T,
        is_explicit: bool,
        span: Span,
    ) -> Operand {
        if from == to {
            return value;
        }
        let to_kind = self.types.get(to);
        match (value, to_kind) {
            (_, Ty::Void) => return Operand::Opaque,
            (Operand::Int(it), Ty::Bool) => return Operand::Int(i64::from(it != 0)),
            (Operand::Int(it), Ty::Int { bytes, is_signed, .. }) => {
                return Operand::Int(wrap(it, bytes, is_signed));
            }
            (Operand::Int(0), Ty::Pointer(_)) => return Operand::Null,
            (Operand::Null, Ty::Pointer(_)) => return Operand::Null,
            (Operand::Null, Ty::Int { .. } | Ty::Bool) => return Operand::Int(0),
            (_, Ty::Float(_)) => return Operand::Opaque,
            _ => {}
        }
        let is_cast = match (self.types.get(from), to_kind) {
            (Ty::Truth | Ty::Bool, Ty::Bool) => return value,
            (Ty::Pointer(_), Ty::Bool) => {
                return self.op(span, |reg| OpKind::Binary {
                    to: reg,
                    op: Binary::NotEqual,
                    left: value,
                    right: Operand::Null,
                });
            }
            (Ty::Int { .. }, Ty::Bool) => {
                return self.op(span, |reg| OpKind::Binary {
                    to: reg,
                    op: Binary::NotEqual,
                    left: value,
                    right: Operand::Int(0),
                });
            }
            (Ty::Truth | Ty::Bool, Ty::Int { .. }) => false,
            (Ty::Int { bytes: a, is_signed: s, .. }, Ty::Int { bytes: b, is_signed: t, .. }) => {
                b < a || (s && !t) || (a == b && s != t)
            }
            (Ty::Float(_), Ty::Int { .. }) => true,
            (Ty::Pointer(a), Ty::Pointer(b)) if is_explicit => a != b,
            (Ty::Pointer(a), Ty::Pointer(b)) => {
                let is_void = |it| matches!(it, Ty::Void | Ty::Unknown);
                is_void(self.types.get(a)) && !is_void(self.types.get(b))
            }
            (Ty::Pointer(_) | Ty::Unknown, Ty::Int { .. }) => is_explicit,
            (Ty::Int { .. } | Ty::Unknown, Ty::Pointer(_)) => is_explicit,
            _ => false,
        };
        if !is_cast || matches!(value, Operand::String(_) | Operand::Function(_) | Operand::Opaque) {
            return value;
        }
        let ty = self.ir_type(to);
        self.op(span, |reg| OpKind::Cast { to: reg, value, ty })
    }

    /// A binary operation on values that are no classes.
    pub(crate) fn arithmetic(&mut self, op: Sym, left: (Operand, T), right: (Operand, T), span: Span) -> V {
        let (mut a, a_ty) = left;
        let (mut b, b_ty) = right;
        let kind = binary_op(op);
        let a_is_pointer = self.types.is_pointer(a_ty);
        let b_is_pointer = self.types.is_pointer(b_ty);
        if is_comparison(kind) {
            let null = |it: &mut Operand| {
                if *it == Operand::Int(0) {
                    *it = Operand::Null;
                }
            };
            if a_is_pointer || b_is_pointer {
                null(&mut a);
                null(&mut b);
            }
            return V::R(self.compare(kind, (a, a_ty), (b, b_ty), span), Types::TRUTH);
        }
        if a_is_pointer || b_is_pointer {
            return self.pointer_arithmetic(kind, (a, a_ty), (b, b_ty), span);
        }
        if !self.types.is_integer(a_ty) || !self.types.is_integer(b_ty) {
            let is_known = |it| self.types.is_arithmetic(it);
            let ty =
                if is_known(a_ty) && is_known(b_ty) { self.types.common(a_ty, b_ty) } else { Types::UNKNOWN };
            return V::R(Operand::Opaque, ty);
        }
        let is_shift = matches!(kind, Binary::ShiftLeft | Binary::ShiftRight);
        let ty = if is_shift { self.types.common(a_ty, Types::INT) } else { self.types.common(a_ty, b_ty) };
        let (bytes, is_signed) = self.types.integer(ty).unwrap_or((4, true));
        if let (Operand::Int(x), Operand::Int(y)) = (a, b)
            && let Some(value) = fold(
                kind,
                wrap(x, bytes, is_signed),
                if is_shift { y } else { wrap(y, bytes, is_signed) },
                bytes,
                is_signed,
            )
        {
            return V::R(Operand::Int(value), ty);
        }
        let value = self.op(span, |to| OpKind::Binary { to, op: kind, left: a, right: b });
        V::R(value, ty)
    }

    fn compare(&mut self, op: Binary, left: (Operand, T), right: (Operand, T), span: Span) -> Operand {
        let (a, b) = (left.0, right.0);
        if let (Operand::Int(x), Operand::Int(y)) = (a, b) {
            let ty = self.types.common(left.1, right.1);
            let (bytes, is_signed) = self.types.integer(ty).unwrap_or((8, true));
            if let Some(value) =
                fold(op, wrap(x, bytes, is_signed), wrap(y, bytes, is_signed), bytes, is_signed)
            {
                return Operand::Int(value);
            }
        }
        if a == Operand::Opaque && b == Operand::Opaque {
            return Operand::Opaque;
        }
        self.op(span, |to| OpKind::Binary { to, op, left: a, right: b })
    }

    fn pointer_arithmetic(&mut self, op: Binary, left: (Operand, T), right: (Operand, T), span: Span) -> V {
        let is_left = self.types.is_pointer(left.1);
        let is_right = self.types.is_pointer(right.1);
        if is_left && is_right && op == Binary::Subtract {
            let bytes = self.op(span, |to| OpKind::Binary { to, op, left: left.0, right: right.0 });
            let stride = self.types.target(left.1).and_then(|it| self.types.size(it)).unwrap_or(1);
            let value = match stride {
                0 | 1 => bytes,
                _ => {
                    let right = Operand::Int(stride as i64);
                    self.op(span, |to| OpKind::Binary { to, op: Binary::Divide, left: bytes, right })
                }
            };
            return V::R(value, Types::LONG);
        }
        let (pointer, index) = if is_left { (left, right) } else { (right, left) };
        if !matches!(op, Binary::Add | Binary::Subtract) {
            let value = self.op(span, |to| OpKind::Binary { to, op, left: left.0, right: right.0 });
            return V::R(value, Types::LONG);
        }
        let of = self.types.target(pointer.1).unwrap_or(Types::UNKNOWN);
        let ty = self.types.pointer(of);
        let mut index = match (index.0, op) {
            (it, Binary::Add) => it,
            (Operand::Int(it), _) => Operand::Int(it.wrapping_neg()),
            (value, _) => self.op(span, |to| OpKind::Unary { to, op: Unary::Negate, value }),
        };
        let stride = self.types.size(of);
        if stride.is_none() {
            index = Operand::Opaque;
        }
        let base = pointer.0;
        let value = self.op(span, |to| OpKind::Offset { to, base, index, stride: stride.unwrap_or(1) });
        V::R(value, ty)
    }

    // Prefix and postfix.

    fn cast(&mut self) -> Res<V> {
        if self.is(sym::LPAREN) && self.is_type_in_parens() {
            let start = self.at;
            self.at += 1;
            let ty = self.type_name()?;
            self.expect(sym::RPAREN)?;
            if self.is(sym::LBRACE) {
                let value = self.compound_literal(ty, start)?;
                return self.postfix_of(value, start);
            }
            self.enter()?;
            let value = self.cast()?;
            self.leave();
            return self.explicit_cast(value, ty, start);
        }
        self.unary()
    }

    /// Whether the parenthesis here encloses a type.
    fn is_type_in_parens(&self) -> bool {
        if self.is_type_at(self.at + 1) {
            return !self.is_cpp || self.is_cast_shape();
        }
        // An unknown name: `(name) x`, `(name *) x`.
        let name = self.peek_at(1);
        if !self.is_name(name) || self.lookup(name.text).is_some() {
            return false;
        }
        let mut at = 2;
        while self.peek_at(at).is(sym::STAR) {
            at += 1;
        }
        if !self.peek_at(at).is(sym::RPAREN) {
            return false;
        }
        let after = self.peek_at(at + 1);
        at > 2 || self.is_name(after) || matches!(after.kind, Kind::Number | Kind::String | Kind::Char)
    }

    /// C++: whether the parenthesis that begins with a type holds nothing but a type.
    fn is_cast_shape(&self) -> bool {
        let end = self.after_close(self.at) - 1;
        match self.type_end(self.at + 1) {
            Some(at) => self.abstract_end(at) == end,
            None => false,
        }
    }

    pub(crate) fn explicit_cast(&mut self, value: V, ty: T, start: usize) -> Res<V> {
        let span = self.span(start);
        if matches!(self.types.get(ty), Ty::Void) {
            self.discard(value);
            return Ok(V::void());
        }
        if let Ty::Reference(target) = self.types.get(ty) {
            let place = self.place_of(value, span);
            return Ok(V::Place(place, target, None));
        }
        if self.is_cpp && self.is_class_like(ty) {
            return self.construct_temporary(ty, vec![value], start);
        }
        if self.is_cpp && self.record_of(&value).is_some() {
            let value = self.coerce_from_class(value, ty, span)?;
            return Ok(V::R(value, ty));
        }
        if self.types.as_record(ty).is_some() {
            return Ok(value);
        }
        let (value, from) = self.rvalue(value, span);
        Ok(V::R(self.convert(value, from, ty, true, span), ty))
    }

    pub(crate) fn unary(&mut self) -> Res<V> {
        let token = self.peek();
        let start = self.at;
        match (token.kind, token.text) {
            (Kind::Punct, sym::INC | sym::DEC) => {
                self.at += 1;
                let value = self.nested_unary()?;
                self.step(token.text, value, true, start)
            }
            (Kind::Punct, sym::AMP) => {
                self.at += 1;
                let value = self.nested_cast()?;
                self.address_of(value, start)
            }
            // The address of a label.
            (Kind::Punct, sym::AND_AND) if self.is_name(self.peek_at(1)) => {
                self.at += 2;
                Ok(V::R(Operand::Opaque, Types::VOID_POINTER))
            }
            (Kind::Punct, sym::STAR) => {
                self.at += 1;
                let value = self.nested_cast()?;
                self.dereference(value, start)
            }
            (Kind::Punct, sym::PLUS | sym::MINUS | sym::TILDE) => {
                self.at += 1;
                let value = self.nested_cast()?;
                self.sign(token.text, value, start)
            }
            (Kind::Punct, sym::BANG) => {
                self.at += 1;
                let value = self.nested_cast()?;
                if self.is_cpp
                    && let Some(record) = self.record_of(&value)
                    && self.overload_of(record, sym::BANG).is_some()
                {
                    return self.operator_call(sym::BANG, value, None, start);
                }
                Ok(self.negation(value, start))
            }
            (Kind::Ident, sym::SIZEOF) => self.size_of(),
            (Kind::Ident, sym::ALIGNOF_C | sym::ALIGNOF_ | sym::ALIGNOF__) => self.align_of(),
            (Kind::Ident, sym::ALIGNOF) if self.is_cpp => self.align_of(),
            (Kind::Ident, sym::EXTENSION | sym::REAL | sym::IMAG) => {
                self.at += 1;
                self.nested_cast()
            }
            (Kind::Ident, sym::NEW) if self.is_cpp => self.new_expression(),
            (Kind::Ident, sym::DELETE) if self.is_cpp => self.delete_expression(),
            (Kind::Punct, sym::COLONS) if self.peek_at(1).is(sym::NEW) => {
                self.at += 1;
                self.new_expression()
            }
            (Kind::Punct, sym::COLONS) if self.peek_at(1).is(sym::DELETE) => {
                self.at += 1;
                self.delete_expression()
            }
            (Kind::Ident, sym::CO_AWAIT) if self.is_cpp => {
                self.at += 1;
                self.nested_cast()
            }
            _ => {
                let value = self.primary()?;
                self.postfix_of(value, start)
            }
        }
    }

    fn nested_unary(&mut self) -> Res<V> {
        self.enter()?;
        let value = self.unary();
        self.leave();
        value
    }

    fn nested_cast(&mut self) -> Res<V> {
        self.enter()?;
        let value = self.cast();
        self.leave();
        value
    }

    fn sign(&mut self, op: Sym, value: V, start: usize) -> Res<V> {
        if self.is_cpp && self.record_of(&value).is_some() {
            return self.operator_call(op, value, None, start);
        }
        let (value, ty) = self.rvalue_here(value, start);
        let ty = if self.types.is_integer(ty) { self.types.common(ty, Types::INT) } else { ty };
        let (bytes, is_signed) = self.types.integer(ty).unwrap_or((8, true));
        let span = self.span(start);
        let value = match (op, value) {
            (sym::PLUS, it) => it,
            (sym::MINUS, Operand::Int(it)) => Operand::Int(wrap(it.wrapping_neg(), bytes, is_signed)),
            (sym::TILDE, Operand::Int(it)) => Operand::Int(wrap(!it, bytes, is_signed)),
            (_, Operand::Opaque) => Operand::Opaque,
            (sym::MINUS, value) => self.op(span, |to| OpKind::Unary { to, op: Unary::Negate, value }),
            (_, value) => self.op(span, |to| OpKind::Unary { to, op: Unary::Invert, value }),
        };
        Ok(V::R(value, ty))
    }

    /// `++` and `--`.
    fn step(&mut self, op: Sym, value: V, is_prefix: bool, start: usize) -> Res<V> {
        if self.is_cpp && self.is_class_value(&value) {
            return self.operator_call(op, value, if is_prefix { None } else { Some(V::int(0)) }, start);
        }
        let span = self.span(start);
        let V::Place(place, ty, bits) = value else { return Ok(V::unknown()) };
        let (old, old_ty) = self.rvalue(V::Place(place.clone(), ty, bits), span);
        let new = self.arithmetic(op, (old, old_ty), (Operand::Int(1), Types::INT), span);
        let new = self.coerce(new, ty, span)?;
        let stored = if bits.is_some() { Operand::Opaque } else { new };
        self.store(place.clone(), stored, ty, span);
        Ok(match (is_prefix, self.is_cpp) {
            (true, true) => V::Place(place, ty, bits),
            (true, false) => V::R(new, ty),
            (false, _) => V::R(old, ty),
        })
    }

    pub(crate) fn address_of(&mut self, value: V, start: usize) -> Res<V> {
        let span = self.span(start);
        Ok(match value {
            V::Place(place, ty, _) => {
                let pointer = self.types.pointer(ty);
                V::R(self.address(place, span), pointer)
            }
            V::Str(name, count, unit) => {
                let array = self.types.array(unit, Some(count));
                V::R(Operand::String(name), self.types.pointer(array))
            }
            V::Temp(local, ty) => {
                let pointer = self.types.pointer(ty);
                V::R(self.address(Place::local(local), span), pointer)
            }
            V::Set(..) => {
                let (value, ty) = self.rvalue(value, span);
                V::R(value, ty)
            }
            V::R(Operand::Function(name), ty) => V::R(Operand::Function(name), ty),
            _ => V::R(Operand::Opaque, Types::UNKNOWN),
        })
    }

    pub(crate) fn dereference(&mut self, value: V, start: usize) -> Res<V> {
        if self.is_cpp && self.record_of(&value).is_some() {
            return self.operator_call(sym::STAR, value, None, start);
        }
        let (pointer, ty) = self.rvalue_here(value, start);
        let target = self.types.target(ty).unwrap_or(Types::UNKNOWN);
        if matches!(self.types.get(target), Ty::Function(_)) {
            return Ok(V::R(pointer, ty));
        }
        Ok(V::Place(Place::at(pointer), target, None))
    }

    fn size_of(&mut self) -> Res<V> {
        let start = self.at;
        self.at += 1;
        if self.is_cpp && self.is(sym::ELLIPSIS) {
            self.at += 1;
            self.skip_brackets();
            return Ok(V::R(Operand::Opaque, Types::ULONG));
        }
        let ty = if self.is(sym::LPAREN) && self.is_type_in_parens() {
            self.at += 1;
            let ty = self.type_name()?;
            self.expect(sym::RPAREN)?;
            if self.is(sym::LBRACE) {
                self.skip_brackets();
            }
            ty
        } else {
            let (ty, place) = self.type_of_operand()?;
            if matches!(self.types.get(ty), Ty::Vla(_)) {
                return Ok(self.vla_size(place, start));
            }
            ty
        };
        let ty = self.types.unreferenced(ty);
        let span = self.span(start);
        let is_array = matches!(self.types.get(ty), Ty::Array(..));
        if let Some(size) = self.types.size(ty)
            && (is_array || self.constant_depth > 0)
        {
            return Ok(V::R(Operand::Int(size as i64), Types::ULONG));
        }
        let ty = self.ir_type(ty);
        Ok(V::R(self.op(span, |to| OpKind::SizeOf { to, ty }), Types::ULONG))
    }

    /// Bytes of an array of variable length, which lie in the local after its pointer.
    fn vla_size(&mut self, place: Option<LocalId>, start: usize) -> V {
        let span = self.span(start);
        match place {
            Some(local) => {
                let size = LocalId(local.0 + 1);
                V::R(self.load(Place::local(size), Types::ULONG, span), Types::ULONG)
            }
            None => V::R(Operand::Opaque, Types::ULONG),
        }
    }

    /// The type of an operand that is not evaluated.
    fn type_of_operand(&mut self) -> Res<(T, Option<LocalId>)> {
        let mut vla = None;
        if let Some(Entity::Local(local, _)) = self.lookup(self.peek().text) {
            vla = Some(local);
        } else if self.is(sym::LPAREN)
            && let Some(Entity::Local(local, _)) = self.lookup(self.peek_at(1).text)
        {
            vla = Some(local);
        }
        let suspended = self.body.fb.suspend();
        self.enter()?;
        let value = self.unary();
        self.leave();
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        let value = value?;
        Ok((self.type_of(&value), vla))
    }

    /// The type of an expression that is not evaluated.
    pub(crate) fn type_of_expression(&mut self) -> Res<T> {
        let suspended = self.body.fb.suspend();
        let value = self.expression();
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        let value = value?;
        Ok(self.type_of(&value))
    }

    fn align_of(&mut self) -> Res<V> {
        self.at += 1;
        let ty = if self.is(sym::LPAREN) && self.is_type_in_parens() {
            self.at += 1;
            let ty = self.type_name()?;
            self.expect(sym::RPAREN)?;
            ty
        } else {
            self.type_of_operand()?.0
        };
        Ok(V::R(Operand::Int(self.types.align(ty) as i64), Types::ULONG))
    }

    /// `(T){...}`.
    fn compound_literal(&mut self, ty: T, start: usize) -> Res<V> {
        let span = self.span(start);
        if self.is_cpp && self.is_class_like(ty) {
            return self.braced_value(ty);
        }
        if matches!(self.types.get(ty), Ty::Array(..) | Ty::Record(_)) {
            let ty = self.completed_array(ty, self.at);
            let local = self.temporary(ty, span);
            self.push(OpKind::Live { local }, span);
            self.initialize(Place::local(local), ty, self.at)?;
            return Ok(V::Place(Place::local(local), ty, None));
        }
        let local = self.temporary(ty, span);
        self.push(OpKind::Live { local }, span);
        self.initialize(Place::local(local), ty, self.at)?;
        Ok(V::Place(Place::local(local), ty, None))
    }

    pub(crate) fn postfix_of(&mut self, mut value: V, start: usize) -> Res<V> {
        loop {
            let token = self.peek();
            if token.kind != Kind::Punct {
                return Ok(value);
            }
            value = match token.text {
                sym::LBRACKET => self.subscript(value, start)?,
                sym::LPAREN => self.call(value, start)?,
                sym::DOT => {
                    self.at += 1;
                    self.member(value, false, start)?
                }
                sym::ARROW => {
                    self.at += 1;
                    self.member(value, true, start)?
                }
                sym::INC | sym::DEC => {
                    self.at += 1;
                    self.step(token.text, value, false, start)?
                }
                _ => return Ok(value),
            };
        }
    }

    fn subscript(&mut self, value: V, start: usize) -> Res<V> {
        let ty = self.type_of(&value);
        if self.is_cpp && self.is_class_like(ty) {
            self.at += 1;
            let angle = std::mem::take(&mut self.angle_depth);
            let index = if self.is(sym::LBRACE) {
                self.skip_brackets();
                V::unknown()
            } else {
                self.expression()?
            };
            self.angle_depth = angle;
            let index = self.settled(index);
            self.expect(sym::RBRACKET)?;
            return self.operator_call(sym::LBRACKET, value, Some(index), start);
        }
        // An array's place stays a place; anything else is a pointer, read before the index is.
        let base = match value {
            V::Place(place, ty, _) if matches!(self.types.get(ty), Ty::Array(..)) => {
                V::Place(place, ty, None)
            }
            other => {
                let (pointer, ty) = self.rvalue_here(other, start);
                V::R(pointer, ty)
            }
        };
        self.at += 1;
        let angle = std::mem::take(&mut self.angle_depth);
        let index = self.expression()?;
        self.angle_depth = angle;
        let (mut index, index_ty) = self.rvalue_here(index, start);
        self.expect(sym::RBRACKET)?;
        let (place, of) = match base {
            V::Place(place, ty, _) => (place, self.types.target(ty).unwrap_or(Types::UNKNOWN)),
            V::R(pointer, ty) => match self.types.target(ty) {
                Some(of) => (Place::at(pointer), of),
                // `2[array]`.
                None if self.types.is_pointer(index_ty) => {
                    let of = self.types.target(index_ty).unwrap_or(Types::UNKNOWN);
                    let place = Place::at(index);
                    index = pointer;
                    (place, of)
                }
                None => (Place::at(pointer), Types::UNKNOWN),
            },
            _ => return Err(Bad),
        };
        let stride = self.types.size(of);
        if stride.is_none() {
            index = Operand::Opaque;
        }
        let step = Step::Index { index, stride: stride.unwrap_or(1).max(1) };
        Ok(V::Place(with_step(place, step), of, None))
    }

    fn member(&mut self, value: V, is_arrow: bool, start: usize) -> Res<V> {
        let mut value = value;
        if self.is_cpp && is_arrow && self.is_class_value(&value) {
            value = self.operator_call(sym::ARROW, value, None, start)?;
        }
        let ty = self.type_of(&value);
        let (place, ty) = if is_arrow {
            let (pointer, ty) = self.rvalue_here(value, start);
            (Place::at(pointer), self.types.target(ty).unwrap_or(Types::UNKNOWN))
        } else {
            let span = self.span(start);
            (self.place_of(value, span), ty)
        };
        if self.is_cpp {
            return self.class_member(place, ty, start);
        }
        let name = self.next();
        if name.kind != Kind::Ident {
            return Err(Bad);
        }
        Ok(self.field(place, ty, name.text))
    }

    /// A data member of a record; of an unknown one, a step without an offset.
    pub(crate) fn field(&mut self, place: Place, ty: T, it: Sym) -> V {
        let found = self.types.as_record(ty).and_then(|record| self.find_field(record, it, 0));
        let name = self.name(it);
        match found {
            Some((offset, ty, bits)) => {
                let place = with_step(place, Step::Field { name, offset: Some(offset) });
                match self.types.get(ty) {
                    Ty::Reference(target) => {
                        let span = self.token_span(self.at.saturating_sub(1));
                        let pointer = self.load(place, ty, span);
                        V::Place(Place::at(pointer), target, None)
                    }
                    _ => V::Place(place, ty, bits),
                }
            }
            None => V::Place(with_step(place, Step::Field { name, offset: None }), Types::UNKNOWN, None),
        }
    }

    /// Offset, type and bits of a member, also of anonymous ones and of bases.
    pub(crate) fn find_field(&self, record: RecordId, it: Sym, depth: u32) -> Option<FoundField> {
        if depth > 32 {
            return None;
        }
        let record = self.types.record(record);
        for field in &record.fields {
            if field.name == it {
                return Some((field.offset, field.ty, field.bits));
            }
            if field.name == sym::EMPTY
                && let Some(inner) = self.types.as_record(field.ty)
                && let Some((offset, ty, bits)) = self.find_field(inner, it, depth + 1)
            {
                return Some((field.offset + offset, ty, bits));
            }
        }
        record.bases.iter().find_map(|(base, at)| {
            let (offset, ty, bits) = self.find_field(*base, it, depth + 1)?;
            Some((at + offset, ty, bits))
        })
    }

    // Calls.

    /// The arguments in parentheses, evaluated; conditions are values.
    pub(crate) fn call_arguments(&mut self) -> Res<Vec<V>> {
        let angle = std::mem::take(&mut self.angle_depth);
        self.expect(sym::LPAREN)?;
        let mut args = Vec::new();
        while !self.is(sym::RPAREN) {
            let value = if self.is_cpp && self.is(sym::LBRACE) {
                self.braced_argument()?
            } else {
                let value = self.assignment()?;
                self.settled(value)
            };
            args.push(value);
            if self.is_cpp {
                self.eat(sym::ELLIPSIS);
            }
            if !self.eat(sym::COMMA) {
                break;
            }
        }
        self.expect(sym::RPAREN)?;
        self.angle_depth = angle;
        Ok(args)
    }

    fn call(&mut self, callee: V, start: usize) -> Res<V> {
        if let V::Set(set, template_args) = callee {
            let args = self.call_arguments()?;
            return self.call_set(set, &template_args, args, start);
        }
        if let V::Method(method) = callee {
            let args = self.call_arguments()?;
            return self.call_method(*method, args, start);
        }
        if self.is_cpp && self.is_class_value(&callee) {
            return self.call_object(callee, start);
        }
        let (callee, ty) = self.rvalue_here(callee, start);
        let args = self.call_arguments()?;
        let target = self.types.target(ty).unwrap_or(ty);
        if let Operand::Function(name) = callee {
            return self.emit_call(Callee::Direct(name), target, args, start);
        }
        self.emit_call(Callee::Value(callee), target, args, start)
    }

    /// Writes a call of a function of type `ty`.
    pub(crate) fn emit_call(&mut self, callee: Callee, ty: T, args: Vec<V>, start: usize) -> Res<V> {
        self.emit_call_to(callee, ty, None, args, start)
    }

    pub(crate) fn emit_call_to(
        &mut self,
        callee: Callee,
        ty: T,
        receiver: Option<Operand>,
        args: Vec<V>,
        start: usize,
    ) -> Res<V> {
        let span = self.span(start);
        let (ret, count) = match self.types.get(ty) {
            Ty::Function(id) => {
                let it = self.types.signature(id);
                (it.ret.unwrap_or(Types::VOID), it.params.len())
            }
            _ => (Types::UNKNOWN, 0),
        };
        let mut operands = Vec::with_capacity(args.len() + 1);
        operands.extend(receiver.map(argument));
        for (index, arg) in args.into_iter().enumerate() {
            let param = match self.types.get(ty) {
                Ty::Function(id) if index < count => Some(self.types.signature(id).params[index]),
                _ => None,
            };
            let value = match param {
                Some(param) => self.coerce(arg, param, span)?,
                None => self.rvalue(arg, span).0,
            };
            operands.push(argument(value));
        }
        Ok(self.emit_call_op(callee, ret, operands, span))
    }

    pub(crate) fn emit_call_op(&mut self, callee: Callee, ret: T, args: Vec<Argument>, span: Span) -> V {
        let args = args.into_boxed_slice();
        if matches!(self.types.get(ret), Ty::Void) {
            self.push(OpKind::Call { to: None, callee, args }, span);
            return V::void();
        }
        let value = self.op(span, |to| OpKind::Call { to: Some(to), callee, args });
        if let Ty::Reference(target) = self.types.get(ret) {
            return V::Place(Place::at(value), target, None);
        }
        if self.needs_destruction(ret) {
            let local = self.temporary(ret, span);
            self.push(OpKind::Live { local }, span);
            self.store(Place::local(local), value, ret, span);
            self.keep_temporary(local, ret);
            return V::Temp(local, ret);
        }
        V::R(value, ret)
    }

    /// Ends the path after a call that does not return.
    pub(crate) fn after_noreturn(&mut self, span: Span) {
        self.end(End::Unreachable, span);
    }

    // Primary expressions.

    fn primary(&mut self) -> Res<V> {
        let token = self.peek();
        let start = self.at;
        match token.kind {
            Kind::Number => {
                self.at += 1;
                Ok(self.number_value(token))
            }
            Kind::Char => {
                self.at += 1;
                let text = self.symbols.bytes(token.text);
                let ty = match text.first() {
                    Some(b'L') => Types::WCHAR,
                    Some(b'u') => Types::CHAR16,
                    Some(b'U') => Types::CHAR32,
                    _ if self.is_cpp => Types::CHAR,
                    _ => Types::INT,
                };
                Ok(V::R(Operand::Int(literal::character(text)), ty))
            }
            Kind::String => Ok(self.string_value()),
            Kind::Punct if token.text == sym::LPAREN => self.parenthesized(start),
            Kind::Punct if token.text == sym::LBRACKET && self.is_cpp => self.lambda(),
            Kind::Punct if token.text == sym::COLONS && self.is_cpp => self.cpp_primary(),
            Kind::Ident => {
                if let Some(value) = self.builtin()? {
                    return Ok(value);
                }
                if self.is_cpp { self.cpp_primary() } else { self.c_primary() }
            }
            _ => Err(Bad),
        }
    }

    fn parenthesized(&mut self, start: usize) -> Res<V> {
        self.at += 1;
        if self.is(sym::LBRACE) {
            return self.statement_expression(start);
        }
        self.enter()?;
        let angle = std::mem::take(&mut self.angle_depth);
        let value = if self.is_cpp && self.is(sym::ELLIPSIS) {
            self.skip_fold(start);
            V::unknown()
        } else {
            self.expression()?
        };
        self.angle_depth = angle;
        self.leave();
        if self.is_cpp && !self.is(sym::RPAREN) && self.has_ellipsis_before_close() {
            self.skip_fold(start);
            return Ok(V::unknown());
        }
        self.expect(sym::RPAREN)?;
        Ok(value)
    }

    /// `(pack op ... op init)`: its operands are not known.
    fn skip_fold(&mut self, start: usize) {
        self.at = self.after_close(start);
        self.tokens[self.at - 1].text = sym::RPAREN;
    }

    fn has_ellipsis_before_close(&self) -> bool {
        (0..3).any(|it| self.peek_at(it).is(sym::ELLIPSIS))
    }

    fn number_value(&mut self, token: Token) -> V {
        // For people to read: code that only moves stays the same.
        if token.flags & crate::lex::LINE_NUMBER != 0 {
            return V::R(Operand::Opaque, Types::INT);
        }
        let text = self.symbols.bytes(token.text);
        let Some(number) = literal::number(text) else {
            let ty = match text.last() {
                Some(b'f' | b'F') => Types::FLOAT,
                Some(b'l' | b'L') => Types::LONG_DOUBLE,
                _ => Types::DOUBLE,
            };
            return V::R(Operand::Opaque, ty);
        };
        let value = number.value;
        let fits = |limit: u64| value <= limit;
        let is_long = number.longs > 0;
        let ty = match number.is_unsigned {
            true if !is_long && fits(u64::from(u32::MAX)) => Types::UINT,
            true => Types::ULONG,
            false if !is_long && fits(i32::MAX as u64) => Types::INT,
            false if !is_long && !number.is_decimal && fits(u64::from(u32::MAX)) => Types::UINT,
            false if fits(i64::MAX as u64) => Types::LONG,
            false => Types::ULONG,
        };
        V::R(Operand::Int(value as i64), ty)
    }

    /// String literals that stand together.
    pub(crate) fn string_value(&mut self) -> V {
        let mut content: Vec<u8> = Vec::new();
        let mut units = 1u64;
        let mut unit = Types::CHAR;
        while self.peek().kind == Kind::String {
            let token = self.next();
            let text = self.symbols.bytes(token.text);
            let open = text.iter().position(|it| *it == b'"').unwrap_or(0);
            match &text[..open] {
                b"L" | b"LR" => unit = Types::WCHAR,
                b"u" | b"uR" => unit = Types::CHAR16,
                b"U" | b"UR" => unit = Types::CHAR32,
                _ => {}
            }
            let is_raw = open > 0 && text[open - 1] == b'R';
            if is_raw {
                let body = raw_body(&text[open..]);
                units += body.len() as u64;
                content.extend_from_slice(body);
                continue;
            }
            let end =
                if text.len() > open + 1 && text.ends_with(b"\"") { text.len() - 1 } else { text.len() };
            let body = &text[(open + 1).min(end)..end];
            let mut at = 0;
            while at < body.len() {
                let (value, next) = literal::escape(body, at);
                let is_universal = body[at] == b'\\' && matches!(body.get(at + 1), Some(b'u' | b'U'));
                if is_universal && let Some(it) = char::from_u32(value) {
                    let mut buffer = [0; 4];
                    let text = it.encode_utf8(&mut buffer);
                    units += text.len() as u64;
                    content.extend_from_slice(text.as_bytes());
                } else {
                    units += 1;
                    content.push(value as u8);
                }
                at = next;
            }
        }
        let text = one_char_per_byte(content);
        V::Str(self.m.name(&text), units, unit)
    }

    fn c_primary(&mut self) -> Res<V> {
        let token = self.next();
        if self.is_keyword(token.text) {
            self.at -= 1;
            return Err(Bad);
        }
        Ok(self.name_value(token, self.at - 1))
    }

    /// What a plain name stands for as a value.
    pub(crate) fn name_value(&mut self, token: Token, at: usize) -> V {
        match self.lookup_local(token.text) {
            Some((entity, index)) => self.entity_value(entity, index, at),
            None => match self.lookup(token.text) {
                Some(entity) => self.entity_value(entity, usize::MAX, at),
                None => self.unknown_name(token, at),
            },
        }
    }

    pub(crate) fn entity_value(&mut self, entity: Entity, binding: usize, at: usize) -> V {
        match entity {
            Entity::Local(local, ty) => self.local_value(local, ty, binding, at),
            Entity::Global(global, ty) => {
                let place = Place { base: Base::Global(global), steps: Box::default() };
                match self.types.get(ty) {
                    Ty::Reference(target) => {
                        let span = self.token_span(at);
                        let pointer = self.load(place, ty, span);
                        V::Place(Place::at(pointer), target, None)
                    }
                    _ => V::Place(place, ty, None),
                }
            }
            Entity::Constant(value, ty) => V::R(Operand::Int(value), ty),
            Entity::Set(set) => V::Set(set, Vec::new()),
            Entity::Typedef(_) | Entity::Namespace(_) | Entity::Template(_) => V::unknown(),
        }
    }

    fn local_value(&mut self, local: LocalId, ty: T, binding: usize, at: usize) -> V {
        let span = self.token_span(at);
        if local.0 == u32::MAX {
            return V::unknown();
        }
        let is_outer = binding < self.body.base && self.body.is_function;
        let base = if is_outer { self.outer_of(local, binding) } else { Base::Local(local) };
        let place = Place { base, steps: Box::default() };
        match self.types.get(ty) {
            Ty::Reference(target) => {
                let pointer = self.load(place, ty, span);
                V::Place(Place::at(pointer), target, None)
            }
            Ty::Vla(_) => {
                let pointer = self.load(place, Types::VOID_POINTER, span);
                V::Place(Place::at(pointer), ty, None)
            }
            _ => V::Place(place, ty, None),
        }
    }

    /// A name whose declaration was not found: a function if it is called, a variable of some other unit if not.
    pub(crate) fn unknown_name(&mut self, token: Token, at: usize) -> V {
        let span = self.token_span(at);
        if matches!(token.text, sym::FUNC_ | sym::FUNCTION_ | sym::PRETTY_) {
            let name = self.body.name.clone();
            return V::Str(self.m.name(&name), name.len() as u64 + 1, Types::CHAR);
        }
        match token.text {
            sym::TRUE => return V::R(Operand::Int(1), Types::TRUTH),
            sym::FALSE => return V::R(Operand::Int(0), Types::TRUTH),
            sym::NULLPTR => return V::R(Operand::Null, Types::VOID_POINTER),
            _ => {}
        }
        if self.is(sym::LPAREN) {
            let set = self.implicit_function(token.text);
            return V::Set(set, Vec::new());
        }
        let global = self.external_global(token.text, Types::UNKNOWN, span);
        V::Place(Place { base: Base::Global(global), steps: Box::default() }, Types::UNKNOWN, None)
    }

    // Builtins.

    /// Names with a meaning of their own; `None`: this is no such name, nothing was read.
    fn builtin(&mut self) -> Res<Option<V>> {
        let token = self.peek();
        let start = self.at;
        if token.text == sym::GENERIC {
            self.at += 1;
            return self.generic_selection().map(Some);
        }
        if !self.peek_at(1).is(sym::LPAREN) {
            return Ok(None);
        }
        match token.text {
            sym::VA_ARG => {
                self.at += 2;
                let list = self.assignment()?;
                self.discard(list);
                self.expect(sym::COMMA)?;
                let ty = self.type_name()?;
                self.expect(sym::RPAREN)?;
                let span = self.span(start);
                let name = self.m.name("__builtin_va_arg");
                Ok(Some(self.emit_call_op(Callee::Direct(name), ty, Vec::new(), span)))
            }
            sym::OFFSETOF => self.offset_of().map(Some),
            sym::EXPECT | sym::EXPECT_PROBABILITY | sym::ASSUME_ALIGNED => {
                self.at += 2;
                let value = self.assignment()?;
                let value = self.settled(value);
                while self.eat(sym::COMMA) {
                    let other = self.assignment()?;
                    self.discard(other);
                }
                self.expect(sym::RPAREN)?;
                Ok(Some(value))
            }
            sym::UNREACHABLE | sym::TRAP => {
                self.at += 1;
                self.skip_brackets();
                let span = self.span(start);
                self.end(End::Unreachable, span);
                Ok(Some(V::void()))
            }
            sym::CONSTANT_P => {
                self.at += 1;
                self.skip_brackets();
                Ok(Some(V::int(0)))
            }
            sym::OBJECT_SIZE => {
                self.at += 1;
                self.skip_brackets();
                Ok(Some(V::R(Operand::Int(-1), Types::ULONG)))
            }
            sym::CHOOSE => {
                self.at += 2;
                let condition = self.assignment()?;
                self.expect(sym::COMMA)?;
                let is_true = matches!(condition, V::R(it, _) if truth_of(it) == Some(true));
                let then = self.chosen(is_true)?;
                self.expect(sym::COMMA)?;
                let other = self.chosen(!is_true)?;
                self.expect(sym::RPAREN)?;
                Ok(Some(if is_true { then } else { other }))
            }
            sym::TYPES_COMPATIBLE => {
                self.at += 2;
                let a = self.type_name()?;
                self.expect(sym::COMMA)?;
                let b = self.type_name()?;
                self.expect(sym::RPAREN)?;
                Ok(Some(V::int(i64::from(a == b))))
            }
            sym::ALLOCA_BUILTIN | sym::ALLOCA => {
                self.at += 2;
                let size = self.assignment()?;
                let (bytes, _) = self.rvalue_here(size, start);
                self.expect(sym::RPAREN)?;
                let family = self.m.name("alloca");
                let span = self.span(start);
                let value = self.op(span, |to| OpKind::Allocate {
                    to,
                    family,
                    bytes,
                    is_zeroed: false,
                    may_fail: false,
                });
                Ok(Some(V::R(value, Types::VOID_POINTER)))
            }
            sym::ASSUME => {
                self.at += 2;
                let condition = self.expression()?;
                self.expect(sym::RPAREN)?;
                let span = self.span(start);
                self.assume(condition, span);
                Ok(Some(V::void()))
            }
            sym::ADDRESSOF => {
                self.at += 2;
                let value = self.assignment()?;
                self.expect(sym::RPAREN)?;
                self.address_of(value, start).map(Some)
            }
            sym::TYPEID if self.is_cpp => {
                self.at += 1;
                self.skip_brackets();
                Ok(Some(V::unknown()))
            }
            _ => Ok(None),
        }
    }

    fn chosen(&mut self, is_evaluated: bool) -> Res<V> {
        let suspended = if is_evaluated { None } else { self.body.fb.suspend() };
        let value = self.assignment();
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        Ok(self.settled(value?))
    }

    /// Paths on which the condition does not hold end here.
    fn assume(&mut self, condition: V, span: Span) {
        if let V::Cond(then, other) = condition {
            self.switch_to(other);
            self.end(End::Unreachable, span);
            self.switch_to(then);
            return;
        }
        let condition = self.truth_value(condition, span);
        match truth_of(condition) {
            Some(true) => {}
            Some(false) => self.end(End::Unreachable, span),
            None => self.push(OpKind::Assume { condition }, span),
        }
    }

    fn offset_of(&mut self) -> Res<V> {
        let end = self.after_close(self.at + 1);
        self.at += 2;
        let ty = self.type_name()?;
        self.expect(sym::COMMA)?;
        let mut offset = Some(0u64);
        let mut ty = ty;
        loop {
            let token = self.next();
            if self.is_name(token) {
                let found = self.types.as_record(ty).and_then(|it| self.find_field(it, token.text, 0));
                match found {
                    Some((at, field_ty, _)) => {
                        offset = offset.and_then(|it| it.checked_add(at));
                        ty = field_ty;
                    }
                    None => offset = None,
                }
            } else if token.is(sym::LBRACKET) {
                let index = self.expression()?;
                self.expect(sym::RBRACKET)?;
                ty = self.types.target(ty).unwrap_or(Types::UNKNOWN);
                offset = match (index, self.types.size(ty)) {
                    (V::R(Operand::Int(it), _), Some(size)) => {
                        offset.and_then(|base| base.checked_add(size.checked_mul(u64::try_from(it).ok()?)?))
                    }
                    _ => None,
                };
            } else if !token.is(sym::DOT) {
                break;
            }
        }
        self.at = end;
        let value = offset.map_or(Operand::Opaque, |it| Operand::Int(it as i64));
        Ok(V::R(value, Types::ULONG))
    }

    /// `_Generic(...)`: the association of the operand's type, else the default one.
    fn generic_selection(&mut self) -> Res<V> {
        let end = self.after_close(self.at);
        self.expect(sym::LPAREN)?;
        let suspended = self.body.fb.suspend();
        let control = self.assignment();
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        let control = control?;
        let mut ty = self.type_of(&control);
        if let Ty::Array(of, _) = self.types.get(ty) {
            ty = self.types.pointer(of);
        }
        let mut chosen = None;
        let mut default = None;
        while self.eat(sym::COMMA) {
            if self.eat(sym::DEFAULT) {
                self.expect(sym::COLON)?;
                default = Some(self.at);
            } else {
                let case = self.type_name()?;
                self.expect(sym::COLON)?;
                if case == ty && chosen.is_none() {
                    chosen = Some(self.at);
                }
            }
            self.chosen(false)?;
        }
        let value = match chosen.or(default) {
            Some(at) => {
                self.at = at;
                let value = self.assignment()?;
                self.settled(value)
            }
            None => V::unknown(),
        };
        self.at = end;
        Ok(value)
    }

    /// An expression whose value has to be known now.
    pub(crate) fn constant(&mut self) -> Res<Option<i64>> {
        let suspended = self.body.fb.suspend();
        self.constant_depth += 1;
        let value = self.conditional();
        self.constant_depth -= 1;
        if let Some(block) = suspended {
            self.switch_to(block);
        }
        Ok(match value? {
            V::R(Operand::Int(it), _) => Some(it),
            V::R(Operand::Bool(it), _) => Some(i64::from(it)),
            V::R(Operand::Null, _) => Some(0),
            V::Place(place, _, None) if place.steps.is_empty() => self.known_constant(place.base),
            _ => None,
        })
    }
}

/// What stands in `"delimiter(` ... `)delimiter"`.
fn raw_body(text: &[u8]) -> &[u8] {
    let Some(open) = text.iter().position(|it| *it == b'(') else { return text };
    let close = text.len().saturating_sub(open + 1);
    if close > open { &text[open + 1..close] } else { &[] }
}

/// Text with as many bytes as the literal has; what is no UTF-8 is a question mark.
fn one_char_per_byte(content: Vec<u8>) -> String {
    match String::from_utf8(content) {
        Ok(it) => it,
        Err(error) => {
            error.into_bytes().iter().map(|it| if it.is_ascii() { char::from(*it) } else { '?' }).collect()
        }
    }
}
