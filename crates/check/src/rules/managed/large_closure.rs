//! `retained-object`: a function that is kept, and keeps a large local of the function that made it.
//!
//! Reported where the local is large by what makes it (`new Array(1_000_000)`, `Buffer.alloc(...)`) and the kept
//! function is stored where it lives on. A function that uses no more of it than its length could have had that alone.

use crate::finding::Found;
use crate::ir::{Argument, Base, Callee, FunctionId, LocalId, OpKind, Operand, Place, Span, Step};
use crate::managed::{FnId, Managed, Rate, Slot, Value};
use heapwise_model::{Confidence, Kind, Rule, Severity};

/// Elements or bytes from which on something is large.
const LARGE: i64 = 100_000;
/// Operations that a value is followed through.
const DEPTH_LIMIT: u32 = 6;

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    for function in managed.world.ids() {
        if managed.world.is_module_code(function) || managed.calls.rate(function) == Rate::Startup {
            continue;
        }
        let ir = managed.world.entry(function).ir;
        for op in ir.blocks.iter().flat_map(|it| &it.ops) {
            let Some(inner) = kept_function(managed, function, &op.kind) else { continue };
            found.extend(large_capture(managed, function, inner, op.span));
        }
    }
}

/// The function within this one that an operation stores where it lives on.
fn kept_function(managed: &mut Managed<'_>, function: FnId, kind: &OpKind) -> Option<FnId> {
    let (value, is_lasting) = match kind {
        OpKind::Store { to, value, .. } if !matches!(to.base, Base::Local(_)) => {
            let slots = managed.slots_of_place(function, to);
            (*value, slots.iter().any(|it| matches!(managed.objects.slot(*it), Slot::Global(_))))
        }
        OpKind::Call { callee: Callee::Method { receiver, name, .. }, args, .. }
            if matches!(managed.text(function, *name), "push" | "add" | "unshift" | "set") =>
        {
            let values = managed.values(function, *receiver);
            let is_lasting = values.iter().any(|it| match it {
                Value::Of(slot) => matches!(managed.objects.slot(*slot), Slot::Global(_)),
                _ => false,
            });
            (args.last()?.value, is_lasting)
        }
        _ => return None,
    };
    if !is_lasting {
        return None;
    }
    managed.values(function, value).into_iter().find_map(|it| match it {
        Value::Function(inner) if is_within(managed, inner, function) => Some(inner),
        _ => None,
    })
}

fn is_within(managed: &Managed<'_>, inner: FnId, outer: FnId) -> bool {
    let entry = managed.world.entry(inner);
    entry.ir.parent.map(|it| managed.world.function_of_module(entry.module, it)) == Some(outer)
}

fn large_capture(managed: &mut Managed<'_>, function: FnId, inner: FnId, span: Span) -> Option<Found> {
    let outer: FunctionId = managed.world.entry(function).id;
    let ir = managed.world.entry(inner).ir;
    let seen = ir.blocks.iter().flat_map(|it| &it.ops).find_map(|op| match &op.kind {
        OpKind::Load { from: Place { base: Base::Outer(of, local), .. }, .. } if *of == outer => {
            is_large_local(managed, function, *local).then_some(*local)
        }
        _ => None,
    })?;
    let name = managed.text(function, managed.world.entry(function).ir.locals[seen.index()].name);
    let is_needed = needs_more_than_length(managed, inner, outer, seen);
    Some(Found {
        rule: Rule::RetainedObject,
        kind: Some(Kind::Closure),
        severity: if is_needed { Severity::Note } else { Severity::Warning },
        confidence: Confidence::Likely,
        message: match is_needed {
            true => format!("the function that is kept here keeps the large `{name}`"),
            false => {
                format!("the function that is kept here keeps the large `{name}`, and needs only its length")
            }
        },
        at: managed.world.at(function, span),
        related: vec![(
            "the function".to_string(),
            managed.world.at(inner, managed.world.entry(inner).ir.name_span),
        )],
        fix: None,
    })
}

fn is_large_local(managed: &Managed<'_>, function: FnId, local: LocalId) -> bool {
    let stores = managed.objects.view(function).stores_of(local);
    stores.iter().any(|it| is_large(managed, function, it.1, DEPTH_LIMIT))
}

fn is_large(managed: &Managed<'_>, function: FnId, value: Operand, depth: u32) -> bool {
    let Some(op) = managed.definition(function, value) else { return false };
    if depth == 0 {
        return false;
    }
    let is_many = |it: Option<&Argument>| matches!(it, Some(it) if matches!(it.value, Operand::Int(LARGE..)));
    match &op.kind {
        OpKind::New { class: name, args, .. } | OpKind::Call { callee: Callee::Direct(name), args, .. } => {
            matches!(
                managed.text(function, *name),
                "Array"
                    | "ArrayBuffer"
                    | "SharedArrayBuffer"
                    | "Uint8Array"
                    | "Int8Array"
                    | "Uint8ClampedArray"
                    | "Uint16Array"
                    | "Int16Array"
                    | "Uint32Array"
                    | "Int32Array"
                    | "Float32Array"
                    | "Float64Array"
                    | "Buffer.alloc"
                    | "Buffer.allocUnsafe"
                    | "buffer.Buffer.alloc"
                    | "buffer.Buffer.allocUnsafe"
            ) && is_many(args.first())
        }
        OpKind::Call { callee: Callee::Method { receiver, name, .. }, args, .. } => {
            match managed.text(function, *name) {
                "repeat" => is_many(args.first()),
                "fill" | "map" | "join" | "reverse" | "sort" | "concat" => {
                    is_large(managed, function, *receiver, depth - 1)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether a function uses more of a local of the one around it than how long it is.
fn needs_more_than_length(managed: &Managed<'_>, inner: FnId, outer: FunctionId, local: LocalId) -> bool {
    let ir = managed.world.entry(inner).ir;
    let ops = || ir.blocks.iter().flat_map(|it| &it.ops);
    ops().any(|op| {
        let OpKind::Load { to, from: Place { base: Base::Outer(of, it), .. }, .. } = &op.kind else {
            return false;
        };
        if *of != outer || *it != local {
            return false;
        }
        let loaded = Operand::Reg(*to);
        let mut uses = ops().filter(|op| {
            let mut is_use = false;
            op.kind.each_operand(|it| is_use |= it == loaded);
            is_use
        });
        !uses.all(|op| match &op.kind {
            OpKind::Load { from: Place { base: Base::At(_), steps }, .. } => {
                matches!(&**steps, [Step::Field { name, .. }]
                        if managed.library.is_length_field(managed.text(inner, *name)))
            }
            _ => false,
        })
    })
}
