//! `racy-shared-state` across `await`: other code of the same thread runs while a function waits.
//!
//! ```text
//! if (!this.connection) {                   // looked at ...
//!   this.connection = await connect();      // ... and set, after others could look too
//! }
//! ```
//!
//! From each branch on a shared variable, and from each load that a new value is computed from, all ways are
//! followed to a store of the same variable. A way counts where something is awaited on it, and where the variable
//! is neither looked at nor set again before. Functions that take a lock are left out.

use crate::finding::Found;
use crate::ir::{Base, BlockId, Callee, End, OpKind, Operand, Span};
use crate::managed::{FnId, Managed, Rate, Slot, SlotId, Value};
use heapwise_model::{Confidence, Kind, Rule, Severity};
use rustc_hash::FxHashSet;

/// Operations that a condition is followed through.
const DEPTH_LIMIT: u32 = 6;

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    for function in managed.world.ids() {
        let ir = managed.world.entry(function).ir;
        let is_left_out = !ir.is_async
            || managed.world.is_module_code(function)
            || managed.calls.rate(function) == Rate::Startup
            || takes_lock(managed, function);
        if is_left_out {
            continue;
        }
        let mut rule = AwaitRace { managed, function, seen: FxHashSet::default() };
        rule.branches(found);
        rule.updates(found);
    }
}

/// Whether a function, or one that it stands in, locks something.
fn takes_lock(managed: &Managed<'_>, function: FnId) -> bool {
    let mut at = Some(function);
    while let Some(function) = at {
        let entry = managed.world.entry(function);
        let has_lock = entry.ir.blocks.iter().flat_map(|it| &it.ops).any(|op| match &op.kind {
            OpKind::Call { callee: Callee::Method { name, .. } | Callee::Direct(name), .. } => {
                let name = managed.text(function, *name);
                let name = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
                ["lock", "mutex", "acquire", "exclusive", "semaphore", "serialize", "enqueue"]
                    .iter()
                    .any(|it| name.contains(it))
            }
            _ => false,
        });
        if has_lock {
            return true;
        }
        at = entry.ir.parent.map(|it| managed.world.function_of_module(entry.module, it));
    }
    false
}

struct AwaitRace<'m, 'a> {
    managed: &'m mut Managed<'a>,
    function: FnId,
    /// Stores reported already.
    seen: FxHashSet<Span>,
}

/// What a way ends at.
enum Act {
    /// Another value is stored.
    Store,
    /// Something is put into the container.
    Put,
}

impl<'a> AwaitRace<'_, 'a> {
    fn branches(&mut self, found: &mut Vec<Found>) {
        let ir = self.managed.world.entry(self.function).ir;
        for block in &ir.blocks {
            let End::Branch { condition, .. } = block.end else { continue };
            for slot in self.read_slots(condition, DEPTH_LIMIT) {
                let mut starts = Vec::new();
                block.end.each_target(|it| starts.push((it, 0)));
                let Some((act, span)) = self.reached(slot, starts, None) else { continue };
                if !self.seen.insert(span) {
                    continue;
                }
                let of = self.managed.slot_text(slot);
                let (severity, message) = match act {
                    Act::Store => (
                        Severity::Warning,
                        format!(
                            "{of} is set only after an `await` since it was looked at: two calls at once both set it"
                        ),
                    ),
                    Act::Put => (
                        Severity::Note,
                        format!(
                            "{of} is changed only after an `await` since it was looked at: two calls at once both do the work"
                        ),
                    ),
                };
                self.report(found, severity, message, span, block.end_span, "looked at here");
            }
        }
    }

    /// `x = x + await f()`, `const old = x; await f(); x = old + 1`.
    fn updates(&mut self, found: &mut Vec<Found>) {
        let ir = self.managed.world.entry(self.function).ir;
        for op in ir.blocks.iter().flat_map(|it| &it.ops) {
            let OpKind::Store { to, value, .. } = &op.kind else { continue };
            let Some(made) = self.managed.definition(self.function, *value) else { continue };
            let OpKind::Binary { left, right, .. } = made.kind else { continue };
            for slot in self.managed.slots_of_place(self.function, to) {
                if !self.is_shared(slot) {
                    continue;
                }
                for side in [left, right] {
                    let Some((block, at, span)) = self.loaded_from(slot, side) else { continue };
                    let Some((_, span_of_store)) = self.reached(slot, vec![(block, at + 1)], Some(op.span))
                    else {
                        continue;
                    };
                    if !self.seen.insert(span_of_store) {
                        continue;
                    }
                    let of = self.managed.slot_text(slot);
                    let message = format!(
                        "{of} is read, and written back after an `await`: what other calls wrote meanwhile is lost"
                    );
                    self.report(found, Severity::Warning, message, op.span, span, "read here");
                }
            }
        }
    }

    fn report(
        &self,
        found: &mut Vec<Found>,
        severity: Severity,
        message: String,
        span: Span,
        other: Span,
        label: &str,
    ) {
        found.push(Found {
            rule: Rule::RacySharedState,
            kind: Some(Kind::CheckThenAct),
            severity,
            confidence: Confidence::Likely,
            message,
            at: self.managed.world.at(self.function, span),
            related: vec![(label.to_string(), self.managed.world.at(self.function, other))],
            fix: None,
        });
    }

    /// Variables that outlive the call, and that other calls see.
    fn is_shared(&self, slot: SlotId) -> bool {
        match self.managed.objects.slot(slot) {
            // A variable that something is stored in.
            Slot::Global(_) => !self.managed.objects.stored_in(slot).is_empty(),
            Slot::Attribute(..) => true,
            Slot::Local(of, _) => {
                of != self.function
                    && self.managed.objects.returned(of).iter().any(|it| match it {
                        Value::Function(it) => *it == self.function,
                        Value::Instance(class) => {
                            self.managed.world.entry(self.function).class == Some(*class)
                        }
                        _ => false,
                    })
            }
            Slot::AnyAttribute(_) => false,
        }
    }

    /// Shared variables that a condition looks at.
    fn read_slots(&mut self, condition: Operand, depth: u32) -> Vec<SlotId> {
        let Some(op) = self.managed.definition(self.function, condition) else { return Vec::new() };
        if depth == 0 {
            return Vec::new();
        }
        let parts: Vec<Operand> = match &op.kind {
            OpKind::Unary { value, .. } => vec![*value],
            OpKind::Binary { left, right, .. } => vec![*left, *right],
            OpKind::Phi { from, .. } => from.iter().map(|it| it.1).collect(),
            OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. }
                if matches!(self.managed.text(self.function, *name), "has" | "get" | "includes") =>
            {
                vec![*receiver]
            }
            OpKind::Load { from, .. } => match (from.base, &*from.steps) {
                (Base::Local(local), []) => match self.managed.objects.view(self.function).stores_of(local) {
                    [(_, first), ..] => vec![*first],
                    [] => Vec::new(),
                },
                (Base::At(base), [crate::ir::Step::Index { .. }]) => vec![base],
                _ => {
                    let slots = self.managed.slots_of_place(self.function, from);
                    return slots.into_iter().filter(|it| self.is_shared(*it)).collect();
                }
            },
            _ => Vec::new(),
        };
        let mut found = Vec::new();
        for part in parts {
            for slot in self.read_slots(part, depth - 1) {
                if !found.contains(&slot) {
                    found.push(slot);
                }
            }
        }
        found
    }

    /// Where an operand was loaded from a variable, directly or by way of a local.
    fn loaded_from(&mut self, slot: SlotId, operand: Operand) -> Option<(BlockId, usize, Span)> {
        let op = self.managed.definition(self.function, operand)?;
        let OpKind::Load { from, .. } = &op.kind else { return None };
        if let (Base::Local(local), []) = (from.base, &*from.steps) {
            let [(_, only)] = self.managed.objects.view(self.function).stores_of(local) else { return None };
            let only = *only;
            let inner = self.managed.definition(self.function, only)?;
            let OpKind::Load { from, .. } = &inner.kind else { return None };
            if matches!(from.base, Base::Local(_)) {
                return None;
            }
            return self.loaded_from(slot, only);
        }
        if !self.managed.slots_of_place(self.function, from).contains(&slot) {
            return None;
        }
        let ir = self.managed.world.entry(self.function).ir;
        let block = self.managed.block_of(self.function, op)?;
        let at = ir.blocks[block.index()].ops.iter().position(|it| std::ptr::eq(it, op))?;
        Some((block, at, op.span))
    }

    /// The first store to a variable that is reached with an `await` before it, and nothing that looks at the
    /// variable. `only`: no other store counts.
    fn reached(
        &mut self,
        slot: SlotId,
        starts: Vec<(BlockId, usize)>,
        only: Option<Span>,
    ) -> Option<(Act, Span)> {
        let ir = self.managed.world.entry(self.function).ir;
        let mut seen: FxHashSet<(BlockId, usize, bool)> = FxHashSet::default();
        let mut work: Vec<(BlockId, usize, bool)> =
            starts.into_iter().map(|it| (it.0, it.1, false)).collect();
        while let Some((id, start, mut has_awaited)) = work.pop() {
            if !seen.insert((id, start, has_awaited)) {
                continue;
            }
            let block = &ir.blocks[id.index()];
            let mut is_done = false;
            for op in &block.ops[start.min(block.ops.len())..] {
                if let OpKind::Await { .. } = op.kind {
                    has_awaited = true;
                }
                let Some(act) = self.act(slot, &op.kind) else { continue };
                if has_awaited && only.is_none_or(|it| it == op.span) {
                    return Some((act, op.span));
                }
                is_done = true;
                break;
            }
            let looks_again = match block.end {
                End::Branch { condition, .. } => self.read_slots(condition, DEPTH_LIMIT).contains(&slot),
                _ => false,
            };
            if !is_done && !looks_again {
                block.end.each_target(|it| work.push((it, 0, has_awaited)));
            }
        }
        None
    }

    fn act(&mut self, slot: SlotId, kind: &OpKind) -> Option<Act> {
        match kind {
            OpKind::Store { to, value, .. } => {
                if let (Base::At(base), [crate::ir::Step::Index { .. }]) = (to.base, &*to.steps) {
                    return self.is_slot(slot, base).then_some(Act::Put);
                }
                if matches!(to.base, Base::Local(_)) || matches!(value, Operand::Null | Operand::Bool(false))
                {
                    return None;
                }
                self.managed.slots_of_place(self.function, to).contains(&slot).then_some(Act::Store)
            }
            OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. } => {
                let is_put = matches!(self.managed.text(self.function, *name), "set" | "add" | "push");
                (is_put && self.is_slot(slot, *receiver)).then_some(Act::Put)
            }
            _ => None,
        }
    }

    fn is_slot(&mut self, slot: SlotId, operand: Operand) -> bool {
        self.managed.values(self.function, operand).contains(&Value::Of(slot))
    }
}
