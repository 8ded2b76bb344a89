//! `eager-sequence` in JavaScript: a whole file is read only to be split into lines.
//!
//! Followed through `await`, `toString` and the like, and locals that are assigned once.

use crate::finding::Found;
use crate::ir::{Base, Callee, OpKind, Operand, ReadKind};
use crate::managed::{FnId, Kinds, Managed, Site, Target};
use heapwise_model::{Confidence, Kind, Rule, Severity};

/// Operations that a value is followed through.
const DEPTH_LIMIT: u32 = 8;

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    for function in managed.world.ids() {
        for Site { op, .. } in managed.world.sites(function, Kinds::CALL) {
            let OpKind::Call { to, callee: Callee::Method { receiver, name, .. }, args } = &op.kind else {
                continue;
            };
            let is_split = managed.text(function, *name) == "split"
                && args.first().is_some_and(|it| is_line_end(managed, function, it.value));
            if !is_split || !is_whole_file(managed, function, *receiver, DEPTH_LIMIT) {
                continue;
            }
            let is_walked = to.is_some_and(|it| is_walked(managed, function, Operand::Reg(it)));
            found.push(Found {
                rule: Rule::EagerSequence,
                kind: Some(Kind::ReadAll),
                severity: if is_walked { Severity::Warning } else { Severity::Note },
                confidence: Confidence::Likely,
                message:
                    "the whole file is read only to split it into lines; `readline` gives them one by one"
                        .to_string(),
                at: managed.world.at(function, op.span),
                related: Vec::new(),
                fix: None,
            });
        }
    }
}

/// A line's end, or a regular expression: whole files are hardly split by anything else.
fn is_line_end(managed: &Managed<'_>, function: FnId, value: Operand) -> bool {
    match value {
        Operand::String(text) => matches!(managed.text(function, text), "\n" | "\r\n"),
        Operand::Opaque => true,
        Operand::Reg(_) => managed.definition(function, value).is_some_and(
            |it| matches!(&it.kind, OpKind::Load { from, .. } if matches!(from.base, Base::Global(_))),
        ),
        _ => false,
    }
}

/// Whether a value is what reading a whole file gave.
fn is_whole_file(managed: &mut Managed<'_>, function: FnId, value: Operand, depth: u32) -> bool {
    let Some(op) = managed.definition(function, value) else { return false };
    if depth == 0 {
        return false;
    }
    match &op.kind {
        OpKind::Await { value, .. } => is_whole_file(managed, function, *value, depth - 1),
        OpKind::Call { callee, .. } => match managed.target(function, callee) {
            Target::Library(name, _) => matches!(
                name,
                "fs.readFileSync"
                    | "fs.promises.readFile"
                    | "fs-extra.readFileSync"
                    | "fs-extra.readFile"
                    | "graceful-fs.readFileSync"
                    | "Deno.readTextFileSync"
                    | "Deno.readTextFile"
            ),
            Target::Method { receiver, name: "toString" | "trim" | "trimEnd" | "replace", .. } => {
                is_whole_file(managed, function, receiver, depth - 1)
            }
            _ => false,
        },
        OpKind::Load { from, .. } => match (from.base, &*from.steps) {
            (Base::Local(local), []) => match managed.objects.view(function).stores_of(local) {
                [(_, only)] => {
                    let only = *only;
                    is_whole_file(managed, function, only, depth - 1)
                }
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// Whether all elements of a list are walked, once.
fn is_walked(managed: &Managed<'_>, function: FnId, list: Operand) -> bool {
    let ir = managed.world.entry(function).ir;
    let is_list = |value: Operand| {
        value == list || managed.definition(function, value).is_some_and(|it| match &it.kind {
            OpKind::Load { from, .. } => match (from.base, &*from.steps) {
                (Base::Local(local), []) => {
                    matches!(managed.objects.view(function).stores_of(local), [(_, only)] if *only == list)
                }
                _ => false,
            },
            _ => false,
        })
    };
    ir.blocks.iter().flat_map(|it| &it.ops).any(|op| match &op.kind {
        OpKind::Read { container, how: ReadKind::Iterate } => is_list(*container),
        OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. } => {
            managed.library.iterates(managed.text(function, *name)) && is_list(*receiver)
        }
        _ => false,
    })
}
