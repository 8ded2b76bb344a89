//! `eager-sequence`: a whole list is built, only to be walked once.
//!
//! Found where the list has no name: `for line in f.readlines()`, `any([... for ...])`, `list(range(n))` under a
//! loop. Functions that are faster with a list (`str.join`, `sorted`) are left out.

use crate::finding::Found;
use crate::ir::{Base, BlockId, Callee, OpKind, Operand, Place, ReadKind, Span};
use crate::managed::{FnId, Kinds, Managed, Site, Target, Value};
use heapwise_model::{Confidence, Kind, Rule, Severity};

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    for function in managed.world.ids() {
        for Site { op, is_call, call, .. } in managed.world.sites(function, Kinds::CALL.or(Kinds::CONTENT)) {
            // Half of all calls are of methods: their operations need not be read.
            if is_call && matches!(managed.target_of(call), Target::Method { .. }) {
                continue;
            }
            match &op.kind {
                OpKind::Read { container, how: ReadKind::Iterate } => {
                    found.extend(iterated(managed, function, *container));
                }
                OpKind::Call { callee: Callee::Direct(name), args, .. } => {
                    let [only] = &args[..] else { continue };
                    let name = managed.text(function, *name);
                    let ("any" | "all" | "sum" | "min" | "max" | "set" | "frozenset") = name else {
                        continue;
                    };
                    if let Some(span) = built_list(managed, function, only.value) {
                        let message =
                            format!("the list is built in full only for `{name}()`; a generator does");
                        found.push(finding(managed, function, span, Kind::List, Severity::Note, message));
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a loop walks, and nothing else can.
fn iterated<'a>(managed: &mut Managed<'a>, function: FnId, container: Operand) -> Option<Found> {
    let container = only_use(managed, function, container);
    let op = managed.definition(function, container)?;
    let OpKind::Call { callee, args, .. } = &op.kind else { return None };
    match callee {
        Callee::Method { receiver, name, .. } => match managed.text(function, *name) {
            "readlines" if args.is_empty() && is_file(managed, function, *receiver) => {
                let message = "all lines are read into a list only to be walked once; the file itself gives them one by one";
                Some(finding(
                    managed,
                    function,
                    op.span,
                    Kind::ReadAll,
                    Severity::Warning,
                    message.to_string(),
                ))
            }
            "splitlines" | "split" => {
                let receiver = only_use(managed, function, *receiver);
                let inner = managed.definition(function, receiver)?;
                let OpKind::Call { callee: Callee::Method { receiver, name, .. }, args, .. } = &inner.kind
                else {
                    return None;
                };
                let is_whole = match managed.text(function, *name) {
                    "read" => args.is_empty() && is_file(managed, function, *receiver),
                    "read_text" => true,
                    _ => false,
                };
                if !is_whole {
                    return None;
                }
                let message =
                    "the whole file is read only to walk its lines; the file itself gives them one by one";
                Some(finding(
                    managed,
                    function,
                    op.span,
                    Kind::ReadAll,
                    Severity::Warning,
                    message.to_string(),
                ))
            }
            _ => None,
        },
        Callee::Direct(name) if managed.text(function, *name) == "list" => {
            let [only] = &args[..] else { return None };
            let inner = managed.definition(function, only.value)?;
            let OpKind::Call { callee: Callee::Direct(name), .. } = &inner.kind else { return None };
            let name = managed.text(function, *name);
            if !matches!(name, "range" | "map" | "filter" | "zip" | "enumerate") {
                return None;
            }
            let message = format!("a list of `{name}()` is built only to be walked once");
            Some(finding(managed, function, op.span, Kind::List, Severity::Note, message))
        }
        _ => None,
    }
}

/// What was stored to the local that an operand is loaded from, if nothing else is stored there, and nothing else
/// loads it; else the operand.
fn only_use(managed: &Managed<'_>, function: FnId, operand: Operand) -> Operand {
    let Some(op) = managed.definition(function, operand) else { return operand };
    let OpKind::Load { from: Place { base: Base::Local(local), steps }, .. } = &op.kind else {
        return operand;
    };
    let ir = managed.world.entry(function).ir;
    let [(_, only)] = managed.objects.view(function).stores_of(*local) else { return operand };
    if !steps.is_empty() || ir.parameters.contains(local) {
        return operand;
    }
    let is_of = |place: &Place| place.base == Base::Local(*local);
    let loads = ir.blocks.iter().flat_map(|it| &it.ops).filter(|op| match &op.kind {
        OpKind::Load { from, .. } | OpKind::Address { of: from, .. } => is_of(from),
        _ => false,
    });
    // Functions within may load it too.
    let is_seen_within =
        ir.blocks.iter().flat_map(|it| &it.ops).any(|it| matches!(it.kind, OpKind::Closure { .. }));
    match loads.count() == 1 && !is_seen_within {
        true => *only,
        false => operand,
    }
}

/// An object that `open` gave, for all that is known.
fn is_file<'a>(managed: &mut Managed<'a>, function: FnId, receiver: Operand) -> bool {
    managed.values(function, receiver).iter().any(|it| match it {
        Value::Made(_) => is_opened(managed, *it),
        Value::Of(slot) => managed.objects.stored_in(*slot).iter().any(|it| is_opened(managed, it.value)),
        _ => false,
    })
}

/// Where a list comprehension is that nothing but this operand refers to.
fn built_list(managed: &Managed<'_>, function: FnId, operand: Operand) -> Option<Span> {
    let op = managed.definition(function, operand)?;
    let OpKind::Container { kind, .. } = &op.kind else { return None };
    if managed.text(function, *kind) != "list" {
        return None;
    }
    let made = managed.block_of(function, op)?;
    let ir = managed.world.entry(function).ir;
    let is_built_in_loop = ir.blocks.iter().enumerate().any(|(at, block)| {
        BlockId(u32::try_from(at).unwrap_or(u32::MAX)) != made
            && block
                .ops
                .iter()
                .any(|it| matches!(it.kind, OpKind::Grow { container, .. } if container == operand))
    });
    is_built_in_loop.then_some(op.span)
}

fn finding(
    managed: &Managed<'_>,
    function: FnId,
    span: Span,
    kind: Kind,
    severity: Severity,
    message: String,
) -> Found {
    Found {
        rule: Rule::EagerSequence,
        kind: Some(kind),
        severity,
        confidence: Confidence::Likely,
        message,
        at: managed.world.at(function, span),
        related: Vec::new(),
        fix: None,
    }
}

fn is_opened(managed: &Managed<'_>, value: Value) -> bool {
    let resource = managed.made(value).and_then(|it| managed.library.resource(it));
    resource.is_some_and(|it| it.class == "file")
}
