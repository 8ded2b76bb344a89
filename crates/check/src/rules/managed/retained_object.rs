//! Caches of the standard library that keep what they should not.
//!
//! `functools.lru_cache` or `functools.cache` on a method keeps each object that the method was called on, for as
//! long as the class lives: a cache without bound is `unbounded-growth`, one with a bound `retained-object`.

use crate::finding::Found;
use crate::ir::{Argument, Callee, OpKind, Operand};
use crate::managed::{FnId, Kinds, Managed, Site, Target, has_attribute};
use heapwise_model::{Confidence, Kind, Rule, Severity};

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    for function in managed.world.ids() {
        for Site { op, call, .. } in managed.world.sites(function, Kinds::CALL) {
            // Methods are no caches: not even their operations are looked at.
            if matches!(managed.target_of(call), Target::Method { .. } | Target::Class(_)) {
                continue;
            }
            let OpKind::Call { callee, args, .. } = &op.kind else { continue };
            let Some(is_bounded) = cache_bound(managed, function, callee) else { continue };
            let Some(decorated) = args.first().and_then(|it| method(managed, function, it.value)) else {
                continue;
            };
            let entry = managed.world.entry(decorated);
            if entry.class.is_none()
                || has_attribute(&managed.world, decorated, "staticmethod")
                || has_attribute(&managed.world, decorated, "classmethod")
            {
                continue;
            }
            // The receiver alone cannot be hashed for enumerations and modules; single objects are no growth.
            let name = managed.world.short_name(decorated);
            let (rule, kind, message) = match is_bounded {
                false => (
                    Rule::UnboundedGrowth,
                    Kind::Cache,
                    format!(
                        "the cache of `{name}` keeps every object that it was called on, and never forgets"
                    ),
                ),
                true => (
                    Rule::RetainedObject,
                    Kind::Global,
                    format!("the cache of `{name}` keeps objects alive that nobody needs any more"),
                ),
            };
            let severity = if is_bounded { Severity::Note } else { Severity::Warning };
            found.push(Found {
                rule,
                kind: Some(kind),
                severity,
                confidence: Confidence::Likely,
                message,
                at: managed.world.at(function, op.span),
                related: vec![("the method".to_string(), managed.world.at(decorated, entry.ir.name_span))],
                fix: None,
            });
        }
    }
}

/// The function of the program that a decorator gets.
fn method(managed: &mut Managed<'_>, function: FnId, value: Operand) -> Option<FnId> {
    let Operand::Function(name) = value else {
        let op = managed.definition(function, value)?;
        let OpKind::Closure { function: of, .. } = op.kind else { return None };
        return Some(managed.world.function_of_module(managed.world.entry(function).module, of));
    };
    managed.world.function(managed.text(function, name))
}

/// Whether a decorator is a cache, and has a bound.
fn cache_bound(managed: &Managed<'_>, function: FnId, callee: &Callee) -> Option<bool> {
    match callee {
        Callee::Direct(name) => match managed.text(function, *name) {
            "functools.cache" => Some(false),
            "functools.lru_cache" => Some(true),
            _ => None,
        },
        Callee::Value(value) => {
            let op = managed.definition(function, *value)?;
            let OpKind::Call { callee: Callee::Direct(name), args, .. } = &op.kind else { return None };
            (managed.text(function, *name) == "functools.lru_cache")
                .then(|| has_bound(managed, function, args))
        }
        Callee::Method { .. } => None,
    }
}

fn has_bound(managed: &Managed<'_>, function: FnId, args: &[Argument]) -> bool {
    let given = args.iter().find(|it| it.name.is_none_or(|name| managed.text(function, name) == "maxsize"));
    given.is_none_or(|it| it.value != Operand::Null)
}
