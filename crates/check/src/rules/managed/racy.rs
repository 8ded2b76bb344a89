//! `racy-lazy-init` and `racy-shared-state`: what several threads do to one variable without a lock.
//!
//! Only where threads are evident: functions that a thread, a pool or a threading server runs, and what these
//! call. A variable is shared when such a function and one outside, or two threads of the same function, use it.
//! Construction is nobody else's business yet. Locks held are those of `with lock:` and `lock.acquire()` on all
//! ways to an operation.

use crate::finding::{At, Found};
use crate::ir::{Base, Binary, BlockId, Callee, OpKind, Operand, Place, ReadKind, Span, Step, Unary};
use crate::managed::{
    ClassRef, FnId, Guard, Guards, Kinds, Managed, Rate, Repeat, Site, Slot, SlotId, Target, Value,
};
use heapwise_model::{Confidence, Kind, Rule, Severity};
use rustc_hash::{FxHashMap, FxHashSet};

/// Operations that use shared variables or locks.
const USES: Kinds = Kinds::CALL.or(Kinds::STORE).or(Kinds::CONTENT);

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    let threads = Threads::new(managed);
    if threads.inside.is_empty() {
        return;
    }
    let mut rule = Racy { managed, threads, accesses: FxHashMap::default() };
    for function in rule.managed.world.ids() {
        rule.function(function, found);
    }
    rule.shared_state(found);
}

/// Which functions run in threads.
struct Threads {
    inside: FxHashSet<FnId>,
    /// More than one thread runs it.
    several: FxHashSet<FnId>,
    /// Functions that also run elsewhere.
    outside: FxHashSet<FnId>,
    /// Classes whose objects start threads with their own methods, or are threads.
    owners: FxHashSet<ClassRef>,
    /// Classes of which a module keeps an object.
    kept: FxHashSet<ClassRef>,
}

impl Threads {
    fn new(managed: &mut Managed<'_>) -> Threads {
        let mut roots: Vec<(FnId, bool)> = Vec::new();
        for function in managed.world.ids() {
            for site @ Site { block, op, call, .. } in managed.world.sites(function, Kinds::CALL) {
                roots.extend(served(managed, function, site).into_iter().map(|it| (it, true)));
                let is_pool = match managed.target_of(call) {
                    Target::Library(
                        "threading.Thread" | "threading.Timer" | "_thread.start_new_thread",
                        _,
                    ) => false,
                    Target::Method { name: "run_in_executor", .. } => true,
                    Target::Method { name: "submit" | "map" | "apply_async", receiver, .. } => {
                        let values = managed.values(function, receiver);
                        if !values.iter().any(|it| made_threads(managed, *it)) {
                            continue;
                        }
                        true
                    }
                    _ => continue,
                };
                let OpKind::Call { args, .. } = &op.kind else { continue };
                let is_repeated = managed.calls.repeat(function, block) > Repeat::Once
                    || managed.calls.rate(function) >= Rate::Call;
                for argument in args {
                    let functions = managed.functions_of(function, argument.value);
                    roots.extend(functions.into_iter().map(|it| (it, is_pool || is_repeated)));
                }
            }
            if let Some(class) = managed.world.entry(function).class {
                let short = managed.world.short_name(function);
                if short == "run" && managed.world.has_base(class, |it| it == "threading.Thread") {
                    roots.push((function, false));
                }
            }
        }
        let inside = closure(managed, roots.iter().map(|it| it.0));
        let several = closure(managed, roots.iter().filter(|it| it.1).map(|it| it.0));
        let entries: Vec<FnId> = (0..managed.world.functions.len())
            .map(|it| FnId(u32::try_from(it).unwrap_or(u32::MAX)))
            .filter(|it| {
                !roots.iter().any(|root| root.0 == *it)
                    && managed.calls.callers[it.index()].iter().all(|caller| caller.is_guess)
            })
            .collect();
        let outside = closure(managed, entries.into_iter());
        let owners = roots.iter().filter_map(|it| managed.world.entry(it.0).class);
        let owners = owners.flat_map(|it| managed.world.ancestors(it)).copied().collect();
        let objects = &managed.objects;
        let globals = objects.slot_ids().filter(|it| matches!(objects.slot(*it), Slot::Global(_)));
        let kept = globals
            .flat_map(|it| objects.stored_in(it))
            .filter_map(|it| if let Value::Instance(class) = it.value { Some(class) } else { None })
            .collect();
        Threads { inside, several, outside, owners, kept }
    }
}

/// Methods that a server runs in a thread for each request, where an operation makes one.
fn served(managed: &mut Managed<'_>, function: FnId, site: Site<'_>) -> Vec<FnId> {
    let target = managed.target_of(site.call);
    if !matches!(target, Target::Library(name, _) if managed.library.is_thread_server(name)) {
        return Vec::new();
    }
    let (OpKind::Call { args, .. } | OpKind::New { args, .. }) = &site.op.kind else { return Vec::new() };
    let mut found = Vec::new();
    for argument in args {
        for value in managed.values(function, argument.value) {
            let Value::Class(class) = value else { continue };
            for (name, method) in &managed.world.class_entry(class).methods {
                if name.starts_with("do_") || *name == "handle" {
                    found.push(*method);
                }
            }
        }
    }
    found.sort_unstable();
    found
}

fn made_threads(managed: &Managed<'_>, value: Value) -> bool {
    match value {
        Value::Of(slot) => managed
            .objects
            .stored_in(slot)
            .iter()
            .any(|it| managed.made(it.value).is_some_and(|it| managed.library.makes_threads(it))),
        value => managed
            .made(value)
            .is_some_and(|it| managed.library.makes_threads(it) && it != "threading.Thread"),
    }
}

fn closure(managed: &Managed<'_>, roots: impl Iterator<Item = FnId>) -> FxHashSet<FnId> {
    let mut found: FxHashSet<FnId> = FxHashSet::default();
    let mut work: Vec<FnId> = roots.collect();
    while let Some(function) = work.pop() {
        if !found.insert(function) {
            continue;
        }
        for to in &managed.calls.callees[function.index()] {
            let is_sure =
                managed.calls.callers[to.index()].iter().any(|it| it.function == function && !it.is_guess);
            if is_sure {
                work.push(*to);
            }
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    /// The variable gets another value.
    Store,
    /// `x += 1`.
    Update,
    /// Something is put into or taken out of the container.
    Mutate,
    Iterate,
}

struct Use {
    access: Access,
    function: FnId,
    span: Span,
    locks: Vec<SlotId>,
}

struct Racy<'m, 'a> {
    managed: &'m mut Managed<'a>,
    threads: Threads,
    /// Of variables that more than one thread sees.
    accesses: FxHashMap<SlotId, Vec<Use>>,
}

impl<'a> Racy<'_, 'a> {
    fn function(&mut self, function: FnId, found: &mut Vec<Found>) {
        if self.managed.calls.is_construction(function) || self.managed.world.is_module_code(function) {
            return;
        }
        let mut sites = self.managed.world.sites(function, USES);
        if !sites.any(|it| !self.shared_slots(function, &it.op.kind).is_empty()) {
            return;
        }
        let locks = self.locks_at_entry(function);
        let (mut at, mut held) = (None, None);
        for Site { block, op, .. } in self.managed.world.sites(function, USES) {
            if at != Some(block) {
                (at, held) = (Some(block), locks[block.index()].clone());
            }
            let Some(held) = &mut held else { continue };
            self.lock_op(function, &op.kind, held);
            for (slot, access) in self.shared_slots(function, &op.kind) {
                if access == Access::Store && held.is_empty() {
                    found.extend(self.lazy_init(function, block, slot, op.span));
                }
                if access == Access::Mutate && held.is_empty() {
                    found.extend(self.key_test(function, block, slot, op.span));
                }
                let it = Use { access, function, span: op.span, locks: held.clone() };
                self.accesses.entry(slot).or_default().push(it);
            }
        }
    }

    /// Locks held at the start of each block; `None`: control does not come there.
    fn locks_at_entry(&mut self, function: FnId) -> Vec<Option<Vec<SlotId>>> {
        let ir = self.managed.world.entry(function).ir;
        let mut entry: Vec<Option<Vec<SlotId>>> = vec![None; ir.blocks.len()];
        let is_lock_op = |it: Site<'a>| self.lock_name(function, &it.op.kind).is_some();
        if !self.managed.world.sites(function, Kinds::CALL).any(is_lock_op) {
            let mut work = vec![0];
            while let Some(at) = work.pop() {
                if entry[at].is_none() {
                    entry[at] = Some(Vec::new());
                    ir.blocks[at].end.each_target(|it| work.push(it.index()));
                    work.extend(ir.blocks[at].unwind.map(|it| it.index()));
                }
            }
            return entry;
        }
        let mut work: Vec<(usize, Vec<SlotId>)> = vec![(0, Vec::new())];
        let mut steps = 0;
        while let Some((at, held)) = work.pop() {
            steps += 1;
            if steps > 20 * ir.blocks.len() {
                break;
            }
            let held: Vec<SlotId> = match &entry[at] {
                Some(known) => {
                    let both: Vec<SlotId> = known.iter().filter(|it| held.contains(it)).copied().collect();
                    if both.len() == known.len() {
                        continue;
                    }
                    both
                }
                None => held,
            };
            entry[at] = Some(held.clone());
            let mut now = held.clone();
            for op in &ir.blocks[at].ops {
                self.lock_op(function, &op.kind, &mut now);
            }
            ir.blocks[at].end.each_target(|it| work.push((it.index(), now.clone())));
            if let Some(to) = ir.blocks[at].unwind {
                work.push((to.index(), held.iter().filter(|it| now.contains(it)).copied().collect()));
            }
        }
        entry
    }

    /// The receiver of a method that locks take part in, and whether they are taken by it.
    fn lock_name(&self, function: FnId, kind: &OpKind) -> Option<(Operand, bool)> {
        let OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. } = kind else { return None };
        match self.managed.text(function, *name) {
            "__enter__" | "__aenter__" | "acquire" => Some((*receiver, true)),
            "__exit__" | "__aexit__" | "release" => Some((*receiver, false)),
            _ => None,
        }
    }

    fn lock_op(&mut self, function: FnId, kind: &OpKind, held: &mut Vec<SlotId>) {
        let Some((receiver, is_taken)) = self.lock_name(function, kind) else { return };
        for value in self.managed.values(function, receiver) {
            let Value::Of(slot) = value else { continue };
            if !self.may_be_lock(slot) {
                continue;
            }
            match is_taken {
                true => held.push(slot),
                false => held.retain(|it| *it != slot),
            }
        }
    }

    /// What is no known other thing counts as a lock.
    fn may_be_lock(&self, slot: SlotId) -> bool {
        self.managed.objects.stored_in(slot).iter().all(|it| match it.value {
            Value::Container { .. } | Value::Text | Value::Number => false,
            value => self.managed.made(value).is_none_or(|it| self.managed.library.resource(it).is_none()),
        })
    }

    /// What an operation does to variables that more than one thread sees.
    fn shared_slots(&mut self, function: FnId, kind: &OpKind) -> Vec<(SlotId, Access)> {
        let mut slots = self.slots_of_op(function, kind);
        slots.retain(|it| self.is_visible(it.0));
        slots
    }

    fn slots_of_op(&mut self, function: FnId, kind: &OpKind) -> Vec<(SlotId, Access)> {
        let (operand, access) = match kind {
            OpKind::Store { to, value, .. } => match (&to.base, &*to.steps) {
                (Base::Local(_), []) => return Vec::new(),
                (Base::At(base), [Step::Index { .. }]) => (*base, Access::Mutate),
                _ => {
                    let is_update = self.is_update(function, to, *value);
                    let access = if is_update { Access::Update } else { Access::Store };
                    let slots = self.managed.slots_of_place(function, to);
                    return slots.into_iter().map(|it| (it, access)).collect();
                }
            },
            OpKind::Shrink { container, .. } => (*container, Access::Mutate),
            OpKind::Read { container, how: ReadKind::Iterate } => {
                (self.iterated(function, *container), Access::Iterate)
            }
            OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. } => {
                let name = self.managed.text(function, *name);
                match is_mutation(name) {
                    true => (*receiver, Access::Mutate),
                    false => return Vec::new(),
                }
            }
            _ => return Vec::new(),
        };
        let values = self.managed.values(function, operand);
        values
            .into_iter()
            .filter_map(|it| if let Value::Of(slot) = it { Some((slot, access)) } else { None })
            .collect()
    }

    /// `d.items()` walks `d`.
    fn iterated(&self, function: FnId, container: Operand) -> Operand {
        match self.managed.definition(function, container).map(|it| &it.kind) {
            Some(OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. })
                if matches!(self.managed.text(function, *name), "items" | "keys" | "values") =>
            {
                *receiver
            }
            _ => container,
        }
    }

    fn is_update(&mut self, function: FnId, to: &Place, value: Operand) -> bool {
        let Some(op) = self.managed.definition(function, value) else { return false };
        let OpKind::Binary { left, .. } = op.kind else { return false };
        let values = self.managed.values(function, left);
        let slots = self.managed.slots_of_place(function, to);
        slots.iter().any(|it| values.contains(&Value::Of(*it)))
    }

    /// Several threads may be in a function at once.
    fn is_concurrent(&self, function: FnId) -> bool {
        self.threads.several.contains(&function)
            || self.threads.inside.contains(&function) && self.threads.outside.contains(&function)
    }

    /// `if x is None: x = make()` without a lock.
    fn lazy_init(&mut self, function: FnId, block: BlockId, slot: SlotId, span: Span) -> Option<Found> {
        if !self.is_concurrent(function) {
            return None;
        }
        let ir = self.managed.world.entry(function).ir;
        let guard = Guards::of(ir, block).into_iter().find(|it| self.is_unset_test(slot, function, it))?;
        let makes = self
            .managed
            .objects
            .stored_in(slot)
            .iter()
            .any(|it| it.function == function && it.span == span && it.value != Value::Null);
        if !makes {
            return None;
        }
        let of = self.managed.slot_text(slot);
        let tested = self.managed.world.at(function, ir.blocks[guard.block.index()].end_span);
        Some(Found {
            rule: Rule::RacyLazyInit,
            kind: None,
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            message: format!("two threads may both find {of} unset and both make it: no lock is held"),
            at: self.managed.world.at(function, span),
            related: vec![("tested here".to_string(), tested)],
            fix: None,
        })
    }

    /// `if key not in table: table[key] = make()` without a lock.
    fn key_test(&mut self, function: FnId, block: BlockId, slot: SlotId, span: Span) -> Option<Found> {
        if !self.is_concurrent(function) || self.is_queue(slot) {
            return None;
        }
        let ir = self.managed.world.entry(function).ir;
        let guard =
            Guards::of(ir, block).into_iter().find(|it| self.is_key_test(slot, function, it.condition, 3))?;
        let of = self.managed.slot_text(slot);
        let tested = self.managed.world.at(function, ir.blocks[guard.block.index()].end_span);
        Some(Found {
            rule: Rule::RacySharedState,
            kind: Some(Kind::CheckThenAct),
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            message: format!(
                "{of} is changed by what was found in it before, without a lock: another thread may do the same in between"
            ),
            at: self.managed.world.at(function, span),
            related: vec![("looked at here".to_string(), tested)],
            fix: None,
        })
    }

    fn is_key_test(&mut self, slot: SlotId, function: FnId, condition: Operand, depth: u32) -> bool {
        let Some(op) = self.managed.definition(function, condition) else { return false };
        match &op.kind {
            OpKind::Unary { op: Unary::Not, value, .. } if depth > 0 => {
                self.is_key_test(slot, function, *value, depth - 1)
            }
            OpKind::Binary { op: Binary::In, right, .. } => {
                self.managed.values(function, *right).contains(&Value::Of(slot))
            }
            _ => false,
        }
    }

    fn is_queue(&self, slot: SlotId) -> bool {
        self.managed.objects.stored_in(slot).iter().any(|it| match it.value {
            Value::Container { model, .. } => self.managed.library.containers[model as usize].kind == "queue",
            _ => false,
        })
    }

    fn is_unset_test(&mut self, slot: SlotId, function: FnId, guard: &Guard) -> bool {
        if self.managed.values(function, guard.condition).contains(&Value::Of(slot)) {
            return !guard.holds;
        }
        let Some(op) = self.managed.definition(function, guard.condition) else { return false };
        match &op.kind {
            OpKind::Binary { op: Binary::Equal, left, right: Operand::Null, .. } => {
                guard.holds && self.managed.values(function, *left).contains(&Value::Of(slot))
            }
            OpKind::Binary { op: Binary::NotEqual, left, right: Operand::Null, .. } => {
                !guard.holds && self.managed.values(function, *left).contains(&Value::Of(slot))
            }
            OpKind::Unary { op: Unary::Not, value, .. } => {
                let inner = Guard { condition: *value, holds: !guard.holds, ..*guard };
                self.is_unset_test(slot, function, &inner)
            }
            _ => false,
        }
    }

    fn shared_state(&mut self, found: &mut Vec<Found>) {
        let mut slots: Vec<SlotId> = self.accesses.keys().copied().collect();
        slots.sort_unstable();
        for slot in slots {
            let uses = self.accesses.remove(&slot).unwrap_or_default();
            if self.is_shared(&uses) {
                found.extend(self.judge(slot, &uses));
            }
        }
    }

    /// Whether more than one thread sees the variable: those of modules and of classes, and attributes of objects
    /// that run threads of their own or that a module keeps.
    fn is_visible(&self, slot: SlotId) -> bool {
        match self.managed.objects.slot(slot) {
            Slot::Global(name) => !name.contains(".<default>."),
            Slot::Attribute(class, _) => {
                self.threads.owners.contains(&class) || self.threads.kept.contains(&class)
            }
            Slot::Local(..) | Slot::AnyAttribute(_) => false,
        }
    }

    fn is_shared(&self, uses: &[Use]) -> bool {
        let in_thread = uses.iter().any(|it| self.threads.inside.contains(&it.function));
        let is_outside = uses.iter().any(|it| self.threads.outside.contains(&it.function));
        let is_several = uses.iter().any(|it| self.threads.several.contains(&it.function));
        in_thread && (is_outside || is_several)
    }

    /// Whether two uses may happen at once.
    fn overlap(&self, one: &Use, two: &Use) -> bool {
        let (a, b) = (one.function, two.function);
        let crosses =
            |a: FnId, b: FnId| self.threads.inside.contains(&a) && self.threads.outside.contains(&b);
        let may_meet = crosses(a, b) || crosses(b, a) || self.is_concurrent(a) && self.is_concurrent(b);
        may_meet && !one.locks.iter().any(|it| two.locks.contains(it))
    }

    fn judge(&mut self, slot: SlotId, uses: &[Use]) -> Option<Found> {
        if self.is_queue(slot) {
            return None;
        }
        let changes = |it: &&Use| it.access != Access::Iterate;
        // A container is walked while another thread changes it.
        for walk in uses.iter().filter(|it| it.access == Access::Iterate) {
            let change = uses.iter().find(|it| it.access == Access::Mutate && self.overlap(walk, it));
            if let Some(change) = change {
                let of = self.managed.slot_text(slot);
                let who = self.managed.world.short_name(change.function);
                let message = format!("{of} is walked here while `{who}` may change it in another thread");
                return Some(self.finding(Kind::IterateWhileModified, message, walk, change, "changed here"));
            }
        }
        // Some hold a lock, one does not.
        let locked = uses.iter().filter(changes).find(|it| !it.locks.is_empty());
        if let Some(locked) = locked {
            let bare =
                uses.iter().filter(changes).find(|it| it.locks.is_empty() && self.overlap(locked, it))?;
            let of = self.managed.slot_text(slot);
            let message = format!("{of} is changed without the lock that other places hold");
            return Some(self.finding(Kind::InconsistentLock, message, bare, locked, "with the lock here"));
        }
        // `x += 1` in one thread, while another changes it too.
        let update = uses.iter().find(|it| it.access == Access::Update)?;
        let other = uses.iter().filter(changes).find(|it| self.overlap(update, it))?;
        let of = self.managed.slot_text(slot);
        let message = format!(
            "{of} is read, changed and written back without a lock, while another thread may do the same"
        );
        Some(self.finding(Kind::CheckThenAct, message, update, other, "also changed here"))
    }

    fn finding(&self, kind: Kind, message: String, one: &Use, two: &Use, label: &str) -> Found {
        let at: At = self.managed.world.at(one.function, one.span);
        Found {
            rule: Rule::RacySharedState,
            kind: Some(kind),
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            message,
            at,
            related: vec![(label.to_string(), self.managed.world.at(two.function, two.span))],
            fix: None,
        }
    }
}

fn is_mutation(name: &str) -> bool {
    matches!(
        name,
        "append"
            | "extend"
            | "insert"
            | "pop"
            | "remove"
            | "clear"
            | "update"
            | "add"
            | "discard"
            | "popitem"
            | "setdefault"
            | "popleft"
            | "appendleft"
    )
}
