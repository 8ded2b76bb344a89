//! `deep-nesting`: recursion, or a structure, as deep as its data is long.
//!
//! Recursion over a tree is as deep as the tree, which is fine most of the time. Reported is what goes one
//! element deeper per element: a function that calls itself with the rest of a sequence, with the next node, or
//! with a number one less; and a loop that wraps a container into another one each time.

use crate::finding::Found;
use crate::ir::{Base, Binary, BlockId, Callee, LocalId, OpKind, Operand, Place, Span, Step};
use crate::managed::{CallId, FnId, Kinds, Managed, Repeat, Site, Target};
use heapwise_model::{Confidence, Rule, Severity};

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    for function in managed.world.ids() {
        for Site { block, op, call, .. } in managed.world.sites(function, Kinds::CALL.or(Kinds::LOCAL)) {
            match &op.kind {
                OpKind::Call { args, .. } if leads_back(managed, function, call) => {
                    let rest = args.iter().find_map(|it| rest(managed, function, it.value));
                    found.extend(rest.map(|it| recursion(managed, function, op.span, it)));
                }
                OpKind::Store { to: Place { base: Base::Local(local), steps }, value, .. }
                    if steps.is_empty()
                        && managed.calls.repeat(function, block) > Repeat::Listed
                        && wraps(managed, function, *local, *value)
                        && !is_new_each_turn(managed, function, *local, *value) =>
                {
                    found.push(wrapping(managed, function, op.span));
                }
                _ => {}
            }
        }
    }
}

/// The function of the program that a call calls, where that is sure.
fn callee(managed: &Managed<'_>, call: CallId) -> Option<FnId> {
    match managed.target_of(call) {
        Target::Function(it) => Some(it),
        Target::Method { class: Some(class), name, .. } => managed.world.method(class, name),
        _ => None,
    }
}

/// Whether a call is of the function itself, or of one that calls it with a part of its own argument.
fn leads_back(managed: &mut Managed<'_>, function: FnId, call: CallId) -> bool {
    let Some(other) = callee(managed, call) else { return false };
    if other == function {
        return true;
    }
    if !managed.calls.callees[other.index()].contains(&function) {
        return false;
    }
    managed.world.sites(other, Kinds::CALL).any(|it| match &it.op.kind {
        OpKind::Call { args, .. } => {
            callee(managed, it.call) == Some(function)
                && args.iter().any(|it| {
                    rest(managed, other, it.value).is_some() || is_parameter(managed, other, it.value)
                })
        }
        _ => false,
    })
}

#[derive(Clone, Copy)]
enum Rest {
    Slice,
    Next,
    Less,
}

/// How an argument is one step further than a parameter.
fn rest(managed: &Managed<'_>, function: FnId, argument: Operand) -> Option<Rest> {
    let op = managed.definition(function, argument)?;
    match &op.kind {
        OpKind::Binary { op: Binary::Subtract, left, right: Operand::Int(1), .. } => {
            is_parameter(managed, function, *left).then_some(Rest::Less)
        }
        OpKind::Load { from: Place { base: Base::At(base), steps }, .. } => match &**steps {
            [Step::Index { index, .. }] => {
                let is_rest =
                    is_parameter(managed, function, *base) && is_rest_slice(managed, function, *index);
                is_rest.then_some(Rest::Slice)
            }
            [Step::Field { name, .. }] => {
                let name = managed.text(function, *name);
                let is_next =
                    matches!(name, "next" | "tail" | "rest" | "cdr" | "_next" | "next_node" | "nxt");
                (is_next && is_parameter(managed, function, *base)).then_some(Rest::Next)
            }
            _ => None,
        },
        _ => None,
    }
}

/// `[1:]`.
fn is_rest_slice(managed: &Managed<'_>, function: FnId, index: Operand) -> bool {
    let Some(op) = managed.definition(function, index) else { return false };
    let OpKind::Call { callee: Callee::Direct(name), args, .. } = &op.kind else { return false };
    managed.text(function, *name) == "slice"
        && matches!(&args[..], [from, to, _] if from.value == Operand::Int(1) && to.value == Operand::Null)
}

fn is_parameter(managed: &Managed<'_>, function: FnId, operand: Operand) -> bool {
    let Some(op) = managed.definition(function, operand) else { return false };
    let OpKind::Load { from: Place { base: Base::Local(local), steps }, .. } = &op.kind else { return false };
    steps.is_empty() && managed.world.entry(function).ir.parameters.contains(local)
}

/// Whether a loop stores something else to the local too: `for it in all: it = [it]`.
fn is_new_each_turn(managed: &Managed<'_>, function: FnId, local: LocalId, value: Operand) -> bool {
    let ir = managed.world.entry(function).ir;
    (0u32..).zip(&ir.blocks).any(|(number, block)| {
        managed.calls.repeat(function, BlockId(number)) > Repeat::Once
            && block.ops.iter().any(|op| match &op.kind {
                OpKind::Store { to: Place { base: Base::Local(it), steps }, value: other, .. } => {
                    *it == local && steps.is_empty() && *other != value
                }
                _ => false,
            })
    })
}

/// Whether a value is a container made of what the local holds.
fn wraps(managed: &Managed<'_>, function: FnId, local: LocalId, value: Operand) -> bool {
    let Some(op) = managed.definition(function, value) else { return false };
    let OpKind::Container { kind, .. } = &op.kind else { return false };
    if !matches!(managed.text(function, *kind), "list" | "dict" | "tuple") {
        return false;
    }
    let Some(block) = managed.block_of(function, op) else { return false };
    let ir = managed.world.entry(function).ir;
    ir.blocks[block.index()].ops.iter().any(|op| match op.kind {
        OpKind::Grow { container, value: Some(inner), .. } if container == value => {
            let from = managed.definition(function, inner).map(|it| &it.kind);
            matches!(from, Some(OpKind::Load { from: Place { base: Base::Local(it), steps }, .. })
                if *it == local && steps.is_empty())
        }
        _ => false,
    })
}

fn recursion(managed: &Managed<'_>, function: FnId, span: Span, rest: Rest) -> Found {
    let name = managed.world.short_name(function);
    let (severity, what) = match rest {
        Rest::Slice => (Severity::Warning, "the rest of the sequence: as deep as it is long"),
        Rest::Next => (Severity::Warning, "the next node: as deep as the list is long"),
        Rest::Less => (Severity::Note, "one less: as deep as the number is large"),
    };
    finding(managed, function, span, severity, format!("`{name}` calls itself with {what}"))
}

fn wrapping(managed: &Managed<'_>, function: FnId, span: Span) -> Found {
    let message = "each turn wraps the container into another one: as deep as the loop is long".to_string();
    finding(managed, function, span, Severity::Warning, message)
}

fn finding(managed: &Managed<'_>, function: FnId, span: Span, severity: Severity, message: String) -> Found {
    Found {
        rule: Rule::DeepNesting,
        kind: None,
        severity,
        confidence: Confidence::Likely,
        message,
        at: managed.world.at(function, span),
        related: Vec::new(),
        fix: None,
    }
}
