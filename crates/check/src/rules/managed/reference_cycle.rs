//! `reference-cycle`: objects that keep each other alive until the cycle collector comes.
//!
//! Cycles alone are common and collected. Reported are those that cost: between objects of which one has a
//! finalizer, which then runs late and in no order; an object that keeps a function which sees the object; and a
//! kept exception, whose traceback keeps every local of the frames it went through. Silence where something ever
//! stores `None` to one of the variables, which breaks the cycle.

use crate::finding::Found;
use crate::ir::{Base, Callee, LocalId, OpKind, Operand, Place, Span, Step};
use crate::managed::{ClassRef, FnId, Kinds, Managed, Site, Slot, SlotId, Target, Value};
use heapwise_model::{Confidence, Kind, Rule, Severity};
use rustc_hash::FxHashMap;

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    finalizers(managed, found);
    for function in managed.world.ids() {
        for Site { op, .. } in managed.world.sites(function, Kinds::STORE) {
            let OpKind::Store { to, value: value @ Operand::Reg(_), .. } = &op.kind else { continue };
            if !matches!((&to.base, &*to.steps), (Base::At(_) | Base::Global(_), [] | [Step::Field { .. }])) {
                continue;
            }
            found.extend(closure(managed, function, to, *value, op.span));
            found.extend(traceback(managed, function, to, *value, op.span));
        }
    }
}

struct Edge {
    to: ClassRef,
    slot: SlotId,
    function: FnId,
    span: Span,
    /// The object is made there, not handed in.
    is_made: bool,
}

fn finalizers(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    let mut edges: FxHashMap<ClassRef, Vec<Edge>> = FxHashMap::default();
    let mut push = |from: ClassRef, edge: Edge| edges.entry(from).or_default().push(edge);
    for slot in managed.objects.slot_ids() {
        let Slot::Attribute(from, _) = managed.objects.slot(slot) else { continue };
        for stored in managed.objects.stored_in(slot) {
            if let Value::Instance(to) = stored.value {
                let op = managed.definition(stored.function, stored.operand).map(|it| &it.kind);
                let is_made = matches!(op, Some(OpKind::New { .. } | OpKind::Call { .. }));
                push(from, Edge { to, slot, function: stored.function, span: stored.span, is_made });
            }
        }
    }
    for (from, edge) in elements(managed) {
        push(from, edge);
    }
    let mut classes: Vec<ClassRef> = edges.keys().copied().collect();
    classes.sort_unstable();
    for from in classes {
        for edge in &edges[&from] {
            let back = managed
                .world
                .ancestors(edge.to)
                .iter()
                .find_map(|to| edges.get(to)?.iter().find(|it| is_kin(managed, it.to, from)));
            let Some(back) = back else { continue };
            // Each pair once.
            let is_first = match (edge.is_made, back.is_made) {
                (true, false) => true,
                (false, true) => false,
                _ => from < edge.to || std::ptr::eq(edge, back),
            };
            let finalizer =
                [from, edge.to, back.to].into_iter().find_map(|it| managed.world.method(it, "__del__"));
            let Some(finalizer) = finalizer.filter(|_| is_first) else { continue };
            if is_broken(managed, edge.slot) || is_broken(managed, back.slot) {
                continue;
            }
            let (edge, back) = if back.is_made && !edge.is_made { (back, edge) } else { (edge, back) };
            let (one, two) = (managed.slot_text(edge.slot), managed.slot_text(back.slot));
            let world = &managed.world;
            found.push(Found {
                rule: Rule::ReferenceCycle,
                kind: Some(Kind::Finalizer),
                severity: Severity::Warning,
                confidence: Confidence::Likely,
                message: format!(
                    "{one} and {two} keep each other alive, so that `__del__` runs late or never"
                ),
                at: world.at(edge.function, edge.span),
                related: vec![
                    ("the way back".to_string(), world.at(back.function, back.span)),
                    ("the finalizer".to_string(), world.at(finalizer, world.entry(finalizer).ir.name_span)),
                ],
                fix: None,
            });
            break;
        }
    }
}

/// Whether one of two classes is the other or has it as a base.
fn is_kin(managed: &Managed<'_>, one: ClassRef, two: ClassRef) -> bool {
    managed.world.ancestors(one).contains(&two) || managed.world.ancestors(two).contains(&one)
}

/// Objects put into containers that attributes hold.
fn elements(managed: &mut Managed<'_>) -> Vec<(ClassRef, Edge)> {
    let mut edges = Vec::new();
    for function in managed.world.ids() {
        for Site { op, is_call, call, .. } in managed.world.sites(function, Kinds::CALL.or(Kinds::STORE)) {
            let puts_in = |it| matches!(it, Target::Method { name: "append" | "add" | "appendleft", .. });
            if is_call && !puts_in(managed.target_of(call)) {
                continue;
            }
            let (container, element) = match &op.kind {
                OpKind::Call { callee: Callee::Method { receiver, .. }, args, .. } => {
                    let Some(argument) = args.first() else { continue };
                    (*receiver, argument.value)
                }
                OpKind::Store { to: Place { base: Base::At(base), steps }, value, .. }
                    if matches!(&**steps, [Step::Index { .. }]) =>
                {
                    (*base, *value)
                }
                _ => continue,
            };
            for value in managed.values(function, container) {
                let Value::Of(slot) = value else { continue };
                let Slot::Attribute(from, _) = managed.objects.slot(slot) else { continue };
                for value in managed.values(function, element) {
                    if let Value::Instance(to) = value {
                        edges.push((from, Edge { to, slot, function, span: op.span, is_made: true }));
                    }
                }
            }
        }
    }
    edges
}

/// Something stores `None` to the variable after it was made.
fn is_broken(managed: &Managed<'_>, slot: SlotId) -> bool {
    managed.objects.stored_in(slot).iter().any(|it| {
        it.value == Value::Null && !crate::managed::is_constructor(managed.world.short_name(it.function))
    })
}

/// `self.callback = lambda: self.work()`.
fn closure(
    managed: &mut Managed<'_>,
    function: FnId,
    to: &Place,
    value: Operand,
    span: Span,
) -> Option<Found> {
    let (receiver, class) = receiver(managed, function)?;
    let Base::At(base) = to.base else { return None };
    if !is_load_of(managed, function, base, receiver) {
        return None;
    }
    let inner = managed.values(function, value).into_iter().find_map(|it| match it {
        Value::Function(inner) if sees(managed, inner, function, receiver) => Some(inner),
        _ => None,
    })?;
    let slots = managed.slots_of_place(function, to);
    if slots.iter().any(|it| is_broken(managed, *it)) {
        return None;
    }
    let has_finalizer = managed.world.method(class, "__del__").is_some();
    let of = managed.slot_text(*slots.first()?);
    let seen = managed.world.entry(inner).ir.name_span;
    Some(Found {
        rule: Rule::ReferenceCycle,
        kind: Some(Kind::Closure),
        severity: if has_finalizer { Severity::Warning } else { Severity::Note },
        confidence: Confidence::Likely,
        message: format!("{of} keeps a function that keeps the object"),
        at: managed.world.at(function, span),
        related: vec![("the function".to_string(), managed.world.at(inner, seen))],
        fix: None,
    })
}

fn receiver(managed: &Managed<'_>, function: FnId) -> Option<(LocalId, ClassRef)> {
    let entry = managed.world.entry(function);
    Some((*entry.ir.parameters.first()?, entry.class?))
}

fn is_load_of(managed: &Managed<'_>, function: FnId, operand: Operand, local: LocalId) -> bool {
    let Some(op) = managed.definition(function, operand) else { return false };
    matches!(&op.kind, OpKind::Load { from: Place { base: Base::Local(it), steps }, .. } if *it == local && steps.is_empty())
}

/// Whether a function uses a local of the function around it.
fn sees(managed: &Managed<'_>, inner: FnId, outer: FnId, local: LocalId) -> bool {
    let entry = managed.world.entry(inner);
    entry.ir.blocks.iter().flat_map(|it| &it.ops).any(|op| match &op.kind {
        OpKind::Load { from: Place { base: Base::Outer(of, it), .. }, .. } => {
            *it == local && managed.world.function_of_module(entry.module, *of) == outer
        }
        _ => false,
    })
}

/// `except E as e: self.error = e`.
fn traceback(
    managed: &mut Managed<'_>,
    function: FnId,
    to: &Place,
    value: Operand,
    span: Span,
) -> Option<Found> {
    let op = managed.definition(function, value)?;
    let OpKind::Load { from: Place { base: Base::Local(local), steps }, .. } = &op.kind else { return None };
    let stores = managed.objects.view(function).stores_of(*local);
    let is_exception = !stores.is_empty()
        && stores.iter().all(|it| {
            managed.definition(function, it.1).is_some_and(|it| matches!(it.kind, OpKind::Caught { .. }))
        });
    if !steps.is_empty() || !is_exception {
        return None;
    }
    let slots = managed.slots_of_place(function, to);
    let slot = *slots.first()?;
    if matches!(managed.objects.slot(slot), Slot::AnyAttribute(_))
        || slots.iter().any(|it| is_broken(managed, *it))
    {
        return None;
    }
    let of = managed.slot_text(slot);
    Some(Found {
        rule: Rule::ReferenceCycle,
        kind: Some(Kind::Uncollected),
        severity: Severity::Note,
        confidence: Confidence::Likely,
        message: format!(
            "{of} keeps an exception, and its traceback every local of the frames it went through"
        ),
        at: managed.world.at(function, span),
        related: Vec::new(),
        fix: None,
    })
}
