//! `retained-object`: nodes that were taken out of the document, and are kept.
//!
//! In a function that removes a node (`node.remove()`, `parent.removeChild(node)`), the same node is found in a
//! variable of a module or object, or in a container there. Silence where something sets the variable to `null`, takes
//! out of the container, or puts a node of it back into the document: it is kept for that.

use crate::finding::Found;
use crate::ir::{Base, Callee, LocalId, OpKind, Operand, Place, Span};
use crate::managed::{FnId, Kinds, Managed, Rate, Site, Slot, SlotId, Value};
use heapwise_model::{Confidence, Kind, Rule, Severity};

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    for function in managed.world.ids() {
        if managed.world.is_module_code(function) || managed.calls.rate(function) == Rate::Startup {
            continue;
        }
        for Site { op, .. } in managed.world.sites(function, Kinds::CALL) {
            let Some(node) = removed(managed, function, &op.kind) else { continue };
            let Some((slot, span)) = kept(managed, function, node) else { continue };
            if is_let_go(managed, function, slot) {
                continue;
            }
            let of = managed.slot_text(slot);
            found.push(Found {
                rule: Rule::RetainedObject,
                kind: Some(Kind::DetachedNode),
                severity: Severity::Warning,
                confidence: Confidence::Likely,
                message: format!(
                    "{of} keeps a node that is taken out of the document, with all that hangs on it"
                ),
                at: managed.world.at(function, span.unwrap_or(op.span)),
                related: vec![("taken out here".to_string(), managed.world.at(function, op.span))],
                fix: None,
            });
        }
    }
}

/// The node that an operation takes out of its document.
fn removed(managed: &mut Managed<'_>, function: FnId, kind: &OpKind) -> Option<Operand> {
    let OpKind::Call { callee: Callee::Method { receiver, name, .. }, args, .. } = kind else { return None };
    match (managed.text(function, *name), &args[..]) {
        ("remove", []) => managed.values(function, *receiver).contains(&Value::Node).then_some(*receiver),
        ("removeChild", [child]) => Some(child.value),
        ("replaceChild", [_, old]) => Some(old.value),
        _ => None,
    }
}

/// A long-lived variable that a node is in, and where it was put there if that is in the function.
fn kept(managed: &mut Managed<'_>, function: FnId, node: Operand) -> Option<(SlotId, Option<Span>)> {
    for value in managed.values(function, node) {
        if let Value::Of(slot) = value
            && is_lasting(managed, slot)
            && managed.objects.stored_in(slot).iter().any(|it| it.value == Value::Node)
        {
            return Some((slot, None));
        }
    }
    let local = local_of(managed, function, node)?;
    let ir = managed.world.entry(function).ir;
    for op in ir.blocks.iter().flat_map(|it| &it.ops) {
        let slots = match &op.kind {
            OpKind::Store { to, value, .. } if is_load(managed, function, *value, local) => {
                managed.slots_of_place(function, to)
            }
            OpKind::Call { callee: Callee::Method { receiver, name, .. }, args, .. }
                if matches!(managed.text(function, *name), "push" | "add" | "unshift" | "set")
                    && args.iter().any(|it| is_load(managed, function, it.value, local)) =>
            {
                let values = managed.values(function, *receiver);
                values
                    .into_iter()
                    .filter_map(|it| if let Value::Of(it) = it { Some(it) } else { None })
                    .collect()
            }
            _ => continue,
        };
        if let Some(slot) = slots.into_iter().find(|it| is_lasting(managed, *it)) {
            return Some((slot, Some(op.span)));
        }
    }
    None
}

fn is_lasting(managed: &Managed<'_>, slot: SlotId) -> bool {
    matches!(managed.objects.slot(slot), Slot::Global(_))
        && managed
            .objects
            .stored_in(slot)
            .iter()
            .all(|it| !matches!(it.value, Value::Container { is_bounded: true, .. }))
}

fn local_of(managed: &Managed<'_>, function: FnId, operand: Operand) -> Option<LocalId> {
    let op = managed.definition(function, operand)?;
    match &op.kind {
        OpKind::Load { from: Place { base: Base::Local(local), steps }, .. } if steps.is_empty() => {
            Some(*local)
        }
        _ => None,
    }
}

fn is_load(managed: &Managed<'_>, function: FnId, operand: Operand, local: LocalId) -> bool {
    local_of(managed, function, operand) == Some(local)
}

/// Whether anything empties the variable, or puts what it holds back into the document.
fn is_let_go(managed: &mut Managed<'_>, removing: FnId, slot: SlotId) -> bool {
    let is_emptied = managed
        .objects
        .stored_in(slot)
        .iter()
        .any(|it| it.value == Value::Null && !managed.world.is_module_code(it.function));
    if is_emptied {
        return true;
    }
    for function in managed.world.ids() {
        for Site { op, .. } in managed.world.sites(function, Kinds::CALL.or(Kinds::CONTENT)) {
            let is_hit = match &op.kind {
                OpKind::Shrink { container, .. } | OpKind::Clear { container } => {
                    managed.values(function, *container).contains(&Value::Of(slot))
                }
                OpKind::Call { callee: Callee::Method { receiver, name, .. }, args, .. } => {
                    match managed.text(function, *name) {
                        "delete" | "clear" | "pop" | "shift" | "splice" => {
                            managed.values(function, *receiver).contains(&Value::Of(slot))
                        }
                        "append" | "appendChild" | "prepend" | "insertBefore" | "replaceWith" | "after"
                        | "before"
                            if function != removing =>
                        {
                            args.iter().any(|it| {
                                let values = managed.values(function, it.value);
                                values.contains(&Value::Of(slot)) || values.contains(&Value::ElementOf(slot))
                            })
                        }
                        _ => false,
                    }
                }
                _ => false,
            };
            if is_hit {
                return true;
            }
        }
    }
    false
}
