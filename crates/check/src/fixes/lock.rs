//! `resource-leak` of locks in C and C++: unlock before each return that keeps it.
//!
//! A lock is known by the text of its argument. Where a way may have it or not, or where code that is called may unlock
//! it, nothing is proposed.

use super::edit::Position;
use super::flow::{At, Flow};
use super::leak::keep_result;
use super::outline::{StatementId, StatementKind};
use super::text::{Call, is_name, is_place};
use super::{Cx, Site, fix};
use crate::finding::{Found, FoundFix};
use crate::ir::{Callee, End, OpKind};
use crate::models::Effect;
use heapwise_model::Safety;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;

/// What undoes what.
const PAIRS: &[(&str, &str)] = &[
    ("pthread_mutex_lock", "pthread_mutex_unlock"),
    ("pthread_spin_lock", "pthread_spin_unlock"),
    ("pthread_rwlock_rdlock", "pthread_rwlock_unlock"),
    ("pthread_rwlock_wrlock", "pthread_rwlock_unlock"),
    ("mtx_lock", "mtx_unlock"),
    ("EnterCriticalSection", "LeaveCriticalSection"),
    ("AcquireSRWLockExclusive", "ReleaseSRWLockExclusive"),
];

/// Functions of the program that are looked into for what unlocks.
const MAX_FUNCTIONS: usize = 2_000;

/// What is known of the lock, as a set.
const FREE: u8 = 1;
const HELD: u8 = 2;

pub fn propose(cx: &Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let flow = site.flow(cx)?;
    let source = &site.source;
    let call = Call::read(source.slice(found.at.span.start, found.at.span.end), found.at.span.start)?;
    let unlock = PAIRS.iter().find(|it| it.0 == call.name)?.1;
    let [what] = &call.arguments[..] else { return None };
    if !is_place(what.text.trim_start_matches('&')) {
        return None;
    }
    let effects = effects(cx, &site, &flow, call.name, unlock, what.text)?;
    let after = follow(&flow, &effects);
    let mut exits: BTreeMap<StatementId, u8> = BTreeMap::new();
    for node in 0..flow.nodes.len() as u32 {
        if matches!(flow.at(node), At::End(End::Return(_))) && after[node as usize] != 0 {
            *exits.entry(flow.statement[node as usize]?).or_default() |= after[node as usize];
        }
    }
    if exits.values().any(|it| *it == FREE | HELD) {
        return None;
    }
    let code = format!("{unlock}({});", what.text);
    let mut edits = Vec::new();
    for (&statement, _) in exits.iter().filter(|it| *it.1 == HELD) {
        let it = source.outline.get(statement);
        edits.extend(match it.kind {
            StatementKind::Return if is_plain(&site, source.slice(it.start, it.end)) => {
                source.put(Position::Before(statement), std::slice::from_ref(&code))?
            }
            StatementKind::Return => keep_result(&site, statement, &code)?,
            StatementKind::Block => source.put(Position::Close(statement), std::slice::from_ref(&code))?,
            _ => return None,
        });
    }
    // Who called it may expect to hold it then.
    let message = format!("unlock {} on every way out", what.text.trim_start_matches('&'));
    (!edits.is_empty()).then(|| fix(&site, message, Safety::Unsafe, edits))
}

/// What the lock is after each node that changes it; `None`: other code may unlock it.
fn effects(
    cx: &Cx<'_>,
    site: &Site<'_>,
    flow: &Flow<'_>,
    lock: &str,
    unlock: &str,
    what: &str,
) -> Option<Vec<Option<u8>>> {
    let mut seen = FxHashSet::default();
    let mut effects = vec![None; flow.nodes.len()];
    for node in 0..flow.nodes.len() as u32 {
        let At::Op(op) = flow.at(node) else { continue };
        let OpKind::Call { callee, .. } = &op.kind else { continue };
        let span = op.span;
        let text = match span.file == site.function.span.file {
            true => Call::read(site.source.slice(span.start, span.end), span.start),
            false => None,
        };
        let is_ours = |it: &Call<'_>| it.arguments.first().is_some_and(|it| it.text == what);
        effects[node as usize] = match text.filter(is_ours) {
            Some(it) if it.name == lock => Some(HELD),
            Some(it) if it.name == unlock => Some(FREE),
            _ if may_unlock(cx, site.at.module, *callee, &mut seen) => return None,
            _ => None,
        };
    }
    Some(effects)
}

/// Whether a call, or what it calls, unlocks anything.
fn may_unlock(cx: &Cx<'_>, module: u32, callee: Callee, seen: &mut FxHashSet<u32>) -> bool {
    let models = cx.lendings.models;
    let mut work = vec![(module, callee)];
    while let Some((module, callee)) = work.pop() {
        let Callee::Direct(name) = callee else { continue };
        let Some(target) = cx.program.function(module, name) else {
            let model = models.find(cx.program.modules[module as usize].name(name));
            let effects = model.map_or(&[][..], |it| &models.get(it).effects);
            if effects.iter().any(|it| matches!(it, Effect::Unlock { .. })) {
                return true;
            }
            continue;
        };
        if !seen.insert(target) {
            continue;
        }
        if seen.len() > MAX_FUNCTIONS {
            return true;
        }
        let (_, function) = cx.program.ir(target);
        let module = cx.program.functions[target as usize].module;
        let ops = function.blocks.iter().flat_map(|it| &it.ops);
        work.extend(ops.filter_map(|it| match it.kind {
            OpKind::Call { callee, .. } => Some((module, callee)),
            _ => None,
        }));
    }
    false
}

/// What the lock may be after each node.
fn follow(flow: &Flow<'_>, effects: &[Option<u8>]) -> Vec<u8> {
    let mut before = vec![0u8; flow.nodes.len()];
    let mut after = vec![0u8; flow.nodes.len()];
    before[0] = FREE;
    let mut work = vec![0u32];
    while let Some(node) = work.pop() {
        let held = effects[node as usize].unwrap_or(before[node as usize]);
        after[node as usize] |= held;
        for &to in &flow.next[node as usize] {
            if held & !before[to as usize] != 0 {
                before[to as usize] |= held;
                work.push(to);
            }
        }
    }
    after
}

/// Whether what a `return` gives reads nothing that the lock guards.
fn is_plain(site: &Site<'_>, text: &str) -> bool {
    let Some(value) = text.strip_prefix("return").and_then(|it| it.strip_suffix(';')) else { return false };
    let value = value.trim().trim_start_matches(['-', '+', '!', '~']);
    let is_constant = value.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_');
    let is_local = || {
        is_name(value)
            && (0..site.function.locals.len()).any(|it| site.local(crate::ir::LocalId(it as u32)) == value)
    };
    is_constant || matches!(value, "true" | "false" | "nullptr") || is_local()
}
