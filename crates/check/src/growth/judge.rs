//! Which containers only grow.

use super::events::{Event, Ledger, What};
use crate::finding::{At, Found};
use crate::ir::{Base, Binary, Callee, End, OpKind, Operand, Place, Step, Unary};
use crate::managed::{
    Age, Family, FnId, Guard, Guards, Managed, Rate, Repeat, Slot, SlotId, Stored, Value, has_attribute,
};
use heapwise_model::{Confidence, Kind, Rule, Severity};

/// How long what a slot holds lives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    /// As long as the program.
    Program,
    /// As long as an object of the class.
    Instance,
    /// As long as a closure.
    Closure,
    /// As long as the function runs.
    Call,
}

/// Functions within functions that are looked through.
const NESTING_LIMIT: usize = 8;

struct Growth<'a> {
    event: Event<'a>,
    rate: Rate,
    /// Only what is not there yet is added.
    is_distinct: bool,
}

struct Judge<'m, 'a> {
    managed: &'m mut Managed<'a>,
    ledger: &'m Ledger<'a>,
}

pub fn judge<'a>(managed: &mut Managed<'a>, ledger: &Ledger<'a>, found: &mut Vec<Found>) {
    let mut judge = Judge { managed, ledger };
    for slot in judge.managed.objects.slot_ids() {
        found.extend(judge.slot(slot));
    }
}

impl<'a> Judge<'_, 'a> {
    fn slot(&mut self, slot: SlotId) -> Option<Found> {
        let kind = self.kind(slot)?;
        let events = self.ledger.of(slot);
        if events.is_empty() {
            return None;
        }
        let stored: Vec<Stored> = self.managed.objects.stored_in(slot).to_vec();
        let life = self.life(slot, &stored, &events)?;
        let mut growths: Vec<Growth<'a>> = Vec::new();
        for event in &events {
            if self.is_growth(&kind, event) && !self.is_construction(slot, life, event) {
                let rate = self.managed.calls.rate_of_block(event.function, event.block);
                growths.push(Growth { event: *event, rate, is_distinct: false });
            }
        }
        growths.retain(|it| it.rate > Rate::Startup);
        if let (Life::Call | Life::Closure, Slot::Local(of, _)) = (life, self.managed.objects.slot(slot)) {
            growths.retain(|it| match it.event.function == of {
                true => {
                    self.managed.calls.repeat(of, it.event.block) == Repeat::Endless
                        && self.is_made_outside(of, slot)
                }
                false => life == Life::Closure && self.outlives(it.event.function, of),
            });
        }
        let greatest = growths.iter().map(|it| it.rate).max()?;
        let is_called =
            growths.iter().any(|it| !self.managed.calls.callers[it.event.function.index()].is_empty());
        let mut unused = None;
        for event in &events {
            match self.takes_out(slot, &kind, life, event, greatest, is_called) {
                Taking::No => {}
                Taking::NeverCalled => unused = Some(event.function),
                Taking::Yes => return None,
            }
        }
        if self.any_attribute_takes_out(slot, &kind) {
            return None;
        }
        for growth in &mut growths {
            self.look_at_guards(slot, &kind, growth);
        }
        growths.retain(|it| it.rate > Rate::Startup);
        let worst = growths
            .into_iter()
            .max_by_key(|it| (it.rate, !it.is_distinct, std::cmp::Reverse(it.event.span)))?;
        self.report(slot, &kind, life, &stored, worst, unused)
    }

    /// The kinds of containers that a slot holds; `None` where one of them is bounded or none is known.
    fn kind(&self, slot: SlotId) -> Option<Kinds> {
        let managed = &*self.managed;
        if let Slot::Global(name) = managed.objects.slot(slot)
            && managed.library.registry(name).is_some()
        {
            return Some(Kinds { models: Vec::new(), is_text: false, is_registry: true });
        }
        let mut kinds = Kinds { models: Vec::new(), is_text: false, is_registry: false };
        for stored in managed.objects.stored_in(slot) {
            match stored.value {
                Value::Container { model, is_bounded } => {
                    if is_bounded || managed.library.containers[model as usize].is_bounded {
                        return None;
                    }
                    if !kinds.models.contains(&model) {
                        kinds.models.push(model);
                    }
                }
                Value::Text => kinds.is_text = true,
                _ => {}
            }
        }
        if let Slot::Local(function, local) = managed.objects.slot(slot) {
            self.local_kinds(function, local, &mut kinds)?;
        }
        kinds.is_text &= kinds.models.is_empty();
        (kinds.is_text || !kinds.models.is_empty()).then_some(kinds)
    }

    /// Whether a local is not made anew in an endless loop.
    fn is_made_outside(&self, function: FnId, slot: SlotId) -> bool {
        let Slot::Local(_, local) = self.managed.objects.slot(slot) else { return false };
        let stores = self.managed.objects.view(function).stores_of(local);
        stores.iter().all(|it| {
            let made = self.managed.definition(function, it.1);
            let block = made.and_then(|it| self.managed.block_of(function, it));
            block.is_some_and(|it| self.managed.calls.repeat(function, it) != Repeat::Endless)
        })
    }

    fn local_kinds(&self, function: FnId, local: crate::ir::LocalId, kinds: &mut Kinds) -> Option<()> {
        for (_, operand) in self.managed.objects.view(function).stores_of(local) {
            let op = self.managed.definition(function, *operand)?;
            let name = match &op.kind {
                OpKind::Container { kind, .. } => self.managed.text(function, *kind),
                OpKind::New { class: name, .. } | OpKind::Call { callee: Callee::Direct(name), .. } => {
                    self.managed.world.resolve(self.managed.text(function, *name))
                }
                // `x += [...]` of the same local.
                OpKind::Binary { op: Binary::Add, left, .. } if self.is_local(function, *left, local) => {
                    continue;
                }
                _ => return None,
            };
            kinds.models.push(u32::try_from(self.managed.library.container(name)?).ok()?);
        }
        Some(())
    }

    fn is_local(&self, function: FnId, operand: Operand, local: crate::ir::LocalId) -> bool {
        let Some(op) = self.managed.definition(function, operand) else { return false };
        matches!(&op.kind, OpKind::Load { from: Place { base: Base::Local(it), steps }, .. } if *it == local && steps.is_empty())
    }

    fn life(&self, slot: SlotId, stored: &[Stored], events: &[Event<'a>]) -> Option<Life> {
        let managed = &*self.managed;
        match managed.objects.slot(slot) {
            Slot::Global(_) => Some(Life::Program),
            Slot::Attribute(class, _) => {
                let is_script = managed.library.family == Family::JavaScript;
                let is_made_by_method = stored.iter().any(|it| {
                    matches!(it.value, Value::Container { .. } | Value::Text)
                        && (managed.world.entry(it.function).class.is_some()
                            || self.is_field(it)
                            || is_script && !managed.world.is_module_code(it.function))
                        && !has_attribute(&managed.world, it.function, "classmethod")
                });
                let is_metaclass = managed.world.has_base(class, |it| it == "type");
                match is_made_by_method {
                    true => Some(Life::Instance),
                    false if is_metaclass => None,
                    false => Some(Life::Program),
                }
            }
            Slot::Local(function, _) => {
                let is_closure =
                    events.iter().any(|it| it.function != function && self.outlives(it.function, function));
                Some(if is_closure { Life::Closure } else { Life::Call })
            }
            Slot::AnyAttribute(_) => None,
        }
    }

    /// `items: list = field(default_factory=list)`.
    fn is_field(&self, stored: &Stored) -> bool {
        let made = self.managed.definition(stored.function, stored.operand);
        made.is_some_and(|it| match &it.kind {
            OpKind::Call { callee: Callee::Direct(name), .. } => {
                let name = self.managed.text(stored.function, *name);
                self.managed.library.is_field(self.managed.world.resolve(name))
            }
            _ => false,
        })
    }

    /// Whether a function nested in `outer` lives on when that one has returned.
    fn outlives(&self, inner: FnId, outer: FnId) -> bool {
        if self.managed.library.family == Family::JavaScript {
            return self.script_outlives(inner, outer);
        }
        let (managed, entry) = (&*self.managed, self.managed.world.entry(inner));
        let parent = entry.ir.parent.map(|it| managed.world.function_of_module(entry.module, it));
        parent == Some(outer)
            && (managed.calls.rate(inner) >= Rate::Event
                || managed.objects.returned(outer).contains(&Value::Function(inner)))
    }

    /// The same where closures are what objects are elsewhere: what is registered on something that ends with
    /// the call, as a request does, ends with it too.
    fn script_outlives(&self, inner: FnId, outer: FnId) -> bool {
        let (managed, mut at) = (&*self.managed, inner);
        let is_startup = managed.calls.rate(outer) == Rate::Startup;
        for _ in 0..NESTING_LIMIT {
            let entry = managed.world.entry(at);
            let is_returned = managed.objects.returned(outer).iter().any(|it| match it {
                Value::Function(it) => *it == at,
                Value::Instance(class) => entry.class == Some(*class),
                _ => false,
            });
            if is_returned || is_startup && managed.calls.rate(at) >= Rate::Event {
                return true;
            }
            match entry.ir.parent.map(|it| managed.world.function_of_module(entry.module, it)) {
                Some(parent) if parent != outer => at = parent,
                _ => return false,
            }
        }
        false
    }

    fn is_growth(&self, kinds: &Kinds, event: &Event<'a>) -> bool {
        let models = || kinds.models.iter().map(|it| &self.managed.library.containers[*it as usize]);
        match event.what {
            What::Method { name, argument } => {
                if kinds.is_registry {
                    return self
                        .managed
                        .library
                        .registries
                        .iter()
                        .any(|it| it.grow.iter().any(|it| it == name));
                }
                if event.is_nested {
                    return matches!(name, "append" | "add" | "appendleft" | "insert" | "push" | "unshift")
                        && !argument
                            .is_some_and(|it| name == "add" && self.is_bounded_key(event.function, it, 6));
                }
                let is_by_key = models().any(|it| it.grow_by_key.iter().any(|it| it == name));
                if is_by_key {
                    return argument.is_some_and(|it| !self.is_bounded_key(event.function, it, 6));
                }
                // What is merged into a map or set most often has the same keys again.
                name != "update" && models().any(|it| it.grow.iter().any(|it| it == name))
            }
            What::SetItem { key } => {
                !event.is_nested
                    && models().any(|it| it.is_keyed)
                    && !self.is_bounded_key(event.function, key, 6)
            }
            What::Add { right } => match kinds.is_text {
                true => true,
                false => models().any(|it| it.kind == "list") && !matches!(right, Operand::Int(_)),
            },
            What::Push => true,
            What::Shrink | What::Clear | What::Replace | What::Escape => false,
        }
    }

    /// Whether a key can have only so many values, whatever the input.
    fn is_bounded_key(&self, function: FnId, key: Operand, depth: u32) -> bool {
        if !matches!(key, Operand::Reg(_)) {
            return key != Operand::Opaque;
        }
        let Some(op) = self.managed.definition(function, key) else { return false };
        let again = |it: Operand| depth > 0 && self.is_bounded_key(function, it, depth - 1);
        match &op.kind {
            OpKind::Binary { op, .. } => {
                matches!(
                    op,
                    Binary::Remainder
                        | Binary::And
                        | Binary::In
                        | Binary::IsA
                        | Binary::Equal
                        | Binary::NotEqual
                )
            }
            OpKind::Unary { op, value, .. } => *op == Unary::Not || again(*value),
            OpKind::Phi { from, .. } => from.iter().all(|it| again(it.1)),
            OpKind::Call { callee: Callee::Direct(name), args, .. } => {
                let name = self.managed.text(function, *name);
                matches!(name, "type" | "bool" | "typeof" | "Boolean")
                    || (matches!(name, "str" | "String" | "<f-string>")
                        && args.iter().all(|it| again(it.value)))
            }
            OpKind::Load { from, .. } => match (from.base, &*from.steps) {
                (Base::At(_), [Step::Field { name, .. }]) => {
                    matches!(
                        self.managed.text(function, *name),
                        "__class__" | "__name__" | "__qualname__" | "__module__"
                    )
                }
                (Base::Local(local), []) => {
                    let ir = self.managed.world.entry(function).ir;
                    let stores = self.managed.objects.view(function).stores_of(local);
                    !ir.parameters.contains(&local)
                        && !stores.is_empty()
                        && stores.iter().all(|it| again(it.1))
                }
                // An element of a literal.
                (Base::At(base), [Step::Index { .. }]) => self.is_literal(function, base),
                _ => false,
            },
            _ => false,
        }
    }

    fn is_literal(&self, function: FnId, container: Operand) -> bool {
        self.managed
            .definition(function, container)
            .is_some_and(|it| matches!(it.kind, OpKind::Container { .. }))
    }

    fn is_construction(&self, slot: SlotId, life: Life, event: &Event<'a>) -> bool {
        let calls = &self.managed.calls;
        match (life, self.managed.objects.slot(slot)) {
            (Life::Instance, _) => calls.is_construction(event.function),
            (Life::Program, _) => self.managed.world.is_module_code(event.function),
            _ => false,
        }
    }

    fn takes_out(
        &mut self,
        slot: SlotId,
        kinds: &Kinds,
        life: Life,
        event: &Event<'a>,
        greatest: Rate,
        is_called: bool,
    ) -> Taking {
        if !self.is_taking(slot, kinds, life, event) {
            return Taking::No;
        }
        if self.is_construction(slot, life, event) {
            return Taking::No;
        }
        let calls = &self.managed.calls;
        let name = self.managed.world.short_name(event.function);
        if greatest >= Rate::Event
            && is_end_of_life(name)
            && matches!(event.what, What::Method { name: "clear", .. } | What::Replace | What::Clear)
        {
            return Taking::No;
        }
        let is_uncalled = calls.callers[event.function.index()].is_empty()
            && !calls.is_taken[event.function.index()]
            && calls.rate(event.function) == Rate::Anyone
            && !name.starts_with("__");
        match is_uncalled && is_called && greatest > Rate::Anyone {
            true => Taking::NeverCalled,
            false => Taking::Yes,
        }
    }

    fn is_taking(&mut self, slot: SlotId, kinds: &Kinds, life: Life, event: &Event<'a>) -> bool {
        match event.what {
            What::Shrink | What::Clear | What::Escape => true,
            What::Method { name, .. } => {
                if kinds.is_registry {
                    return self
                        .managed
                        .library
                        .registries
                        .iter()
                        .any(|it| it.shrink.iter().any(|it| it == name));
                }
                let models = kinds.models.iter().map(|it| &self.managed.library.containers[*it as usize]);
                event.is_nested
                    && matches!(
                        name,
                        "pop"
                            | "remove"
                            | "discard"
                            | "clear"
                            | "popleft"
                            | "popitem"
                            | "delete"
                            | "shift"
                            | "splice"
                    )
                    || models.into_iter().any(|it| it.shrink.iter().chain(&it.clear).any(|it| it == name))
            }
            What::Replace => match life {
                Life::Call => false,
                _ if self.is_unused_setter(event.function) => false,
                _ => !self.is_first_store(slot, event),
            },
            What::SetItem { .. } | What::Add { .. } | What::Push => false,
        }
    }

    /// `@items.setter` of a property to which nothing is assigned.
    fn is_unused_setter(&self, function: FnId) -> bool {
        let world = &self.managed.world;
        let attributes = &world.entry(function).ir.attributes;
        if !attributes.iter().any(|it| world.text(function, *it).ends_with(".setter")) {
            return false;
        }
        let name = world.short_name(function);
        !world.functions.iter().enumerate().any(|(at, entry)| {
            let of = FnId(u32::try_from(at).unwrap_or(u32::MAX));
            entry.ir.blocks.iter().flat_map(|it| &it.ops).any(|op| match &op.kind {
                OpKind::Store { to, .. } => match &*to.steps {
                    [.., Step::Field { name: field, .. }] => world.text(of, *field) == name,
                    _ => false,
                },
                _ => false,
            })
        })
    }

    /// `if x is None: x = {}`, or a store by the code of a module, class or constructor.
    fn is_first_store(&mut self, slot: SlotId, event: &Event<'a>) -> bool {
        if self.managed.world.is_module_code(event.function)
            || matches!(self.managed.objects.slot(slot), Slot::Local(of, _) if of == event.function)
        {
            return true;
        }
        let ir = self.managed.world.entry(event.function).ir;
        Guards::of(ir, event.block).iter().any(|it| self.is_empty_test(slot, event.function, it))
    }

    /// Whether a guard holds when the slot is `None` or empty, or not there at all.
    fn is_empty_test(&mut self, slot: SlotId, function: FnId, guard: &Guard) -> bool {
        let values = self.managed.values(function, guard.condition);
        if values.contains(&Value::Of(slot)) {
            return !guard.holds;
        }
        let Some(op) = self.managed.definition(function, guard.condition) else { return false };
        match &op.kind {
            OpKind::Binary { op: Binary::Equal, left, right: Operand::Null, .. } => {
                guard.holds && self.managed.values(function, *left).contains(&Value::Of(slot))
            }
            OpKind::Unary { op: Unary::Not, value, .. } => {
                let inner = Guard { condition: *value, holds: !guard.holds, ..*guard };
                self.is_empty_test(slot, function, &inner)
            }
            OpKind::Call { callee: Callee::Direct(name), .. } => {
                !guard.holds && self.managed.text(function, *name) == "hasattr"
            }
            _ => false,
        }
    }

    /// Shrinks through an object whose class is not known, by the attribute's name.
    fn any_attribute_takes_out(&mut self, slot: SlotId, kinds: &Kinds) -> bool {
        let Slot::Attribute(_, name) = self.managed.objects.slot(slot) else { return false };
        let Some(any) = self.managed.objects.find(Slot::AnyAttribute(name)) else { return false };
        self.ledger.of(any).iter().any(|it| match it.what {
            What::Replace => true,
            _ => self.is_taking(slot, kinds, Life::Program, it),
        })
    }

    /// Lowers the rate to none where a guard bounds the growth.
    fn look_at_guards(&mut self, slot: SlotId, kinds: &Kinds, growth: &mut Growth<'a>) {
        let function = growth.event.function;
        let ir = self.managed.world.entry(function).ir;
        for guard in Guards::of(ir, growth.event.block) {
            // `if not logger.handlers`.
            if kinds.is_registry && self.is_about(slot, function, guard.condition, 6) {
                growth.rate = Rate::Startup;
            }
            match self.meaning(slot, function, guard.condition, guard.holds, 6) {
                Bound::Full => growth.rate = Rate::Startup,
                Bound::Distinct => growth.is_distinct = true,
                Bound::None => {}
            }
        }
        if growth.is_distinct && kinds.is_registry {
            growth.rate = Rate::Startup;
        }
        if growth.is_distinct && !kinds.is_map(self.managed) && growth.rate < Rate::Event {
            growth.rate = Rate::Startup;
        }
    }

    /// Whether a condition looks at the object that a registry belongs to.
    fn is_about(&mut self, slot: SlotId, function: FnId, condition: Operand, depth: u32) -> bool {
        let Slot::Global(registry) = self.managed.objects.slot(slot) else { return false };
        if self.managed.made_by(function, condition, registry) {
            return true;
        }
        let Some(op) = self.managed.definition(function, condition) else { return false };
        if depth == 0 {
            return false;
        }
        let parts: Vec<Operand> = match &op.kind {
            OpKind::Unary { value, .. } => vec![*value],
            OpKind::Binary { left, right, .. } => vec![*left, *right],
            OpKind::Load { from: Place { base: Base::At(base), .. }, .. } => vec![*base],
            OpKind::Call { callee, args, .. } => {
                let receiver = match callee {
                    Callee::Method { receiver, .. } => Some(*receiver),
                    _ => None,
                };
                args.iter().map(|it| it.value).chain(receiver).collect()
            }
            _ => return false,
        };
        parts.into_iter().any(|it| self.is_about(slot, function, it, depth - 1))
    }

    fn meaning(
        &mut self,
        slot: SlotId,
        function: FnId,
        condition: Operand,
        holds: bool,
        depth: u32,
    ) -> Bound {
        let Some(op) = self.managed.definition(function, condition) else { return Bound::None };
        if depth == 0 {
            return Bound::None;
        }
        match &op.kind {
            OpKind::Unary { op: Unary::Not, value, .. } => {
                self.meaning(slot, function, *value, !holds, depth - 1)
            }
            OpKind::Binary { op: Binary::In, left: _, right, .. } => {
                let of = self.managed.values(function, *right);
                match (of.contains(&Value::Of(slot)), holds) {
                    // Only what is there already is set again.
                    (true, true) => Bound::Full,
                    (true, false) => Bound::Distinct,
                    (false, true) => Bound::Full,
                    (false, false) => Bound::None,
                }
            }
            OpKind::Binary { op, left, right, .. } => {
                let is_order = matches!(
                    op,
                    Binary::Less
                        | Binary::LessEqual
                        | Binary::Greater
                        | Binary::GreaterEqual
                        | Binary::NotEqual
                        | Binary::Equal
                );
                let other_is_zero = matches!((left, right), (Operand::Int(0), _) | (_, Operand::Int(0)));
                if is_order
                    && !other_is_zero
                    && (self.is_length(slot, function, *left) || self.is_length(slot, function, *right))
                {
                    return Bound::Full;
                }
                self.once(function, condition, *left, holds)
            }
            // `if self.ready: return`: grows until the flag is set.
            OpKind::Load { .. } => self.flag(slot, function, condition, holds),
            _ => Bound::None,
        }
    }

    fn is_length(&mut self, slot: SlotId, function: FnId, operand: Operand) -> bool {
        let operand = self.through_local(function, operand);
        let Some(op) = self.managed.definition(function, operand) else { return false };
        match &op.kind {
            OpKind::Call { callee: Callee::Direct(name), args, .. } => {
                self.managed.text(function, *name) == "len"
                    && args.first().is_some_and(|it| {
                        let of = self.managed.values(function, it.value);
                        of.contains(&Value::Of(slot)) || of.contains(&Value::ElementOf(slot))
                    })
            }
            OpKind::Load { from: Place { base: Base::At(of), steps }, .. } => match &**steps {
                [Step::Field { name, .. }]
                    if self.managed.library.is_length_field(self.managed.text(function, *name)) =>
                {
                    self.is_slot_or_its_keys(slot, function, *of)
                }
                _ => false,
            },
            OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. } => {
                matches!(self.managed.text(function, *name), "qsize" | "full" | "__len__")
                    && self.managed.values(function, *receiver).contains(&Value::Of(slot))
            }
            _ => false,
        }
    }

    /// `cache`, one of its containers, `Object.keys(cache)`, `[...cache]`.
    fn is_slot_or_its_keys(&mut self, slot: SlotId, function: FnId, operand: Operand) -> bool {
        let values = self.managed.values(function, operand);
        if values.contains(&Value::Of(slot)) || values.contains(&Value::ElementOf(slot)) {
            return true;
        }
        let operand = self.through_local(function, operand);
        let Some(op) = self.managed.definition(function, operand) else { return false };
        let OpKind::Call { callee: Callee::Direct(name), args, .. } = &op.kind else { return false };
        matches!(
            self.managed.text(function, *name),
            "Object.keys" | "Object.values" | "Object.entries" | "Object.getOwnPropertyNames" | "Array.from"
        ) && args.first().is_some_and(|it| self.managed.values(function, it.value).contains(&Value::Of(slot)))
    }

    /// What was stored to the local that an operand was loaded from, if that was stored once.
    fn through_local(&self, function: FnId, operand: Operand) -> Operand {
        let Some(op) = self.managed.definition(function, operand) else { return operand };
        let OpKind::Load { from, .. } = &op.kind else { return operand };
        match (from.base, &*from.steps, self.managed.world.entry(function).ir) {
            (Base::Local(local), [], ir) if !ir.parameters.contains(&local) => {
                match self.managed.objects.view(function).stores_of(local) {
                    [(_, only)] => *only,
                    _ => operand,
                }
            }
            _ => operand,
        }
    }

    /// A test for `None` of something that the same function sets: it happens once.
    fn once(&mut self, function: FnId, condition: Operand, left: Operand, holds: bool) -> Bound {
        let Some(op) = self.managed.definition(function, condition) else { return Bound::None };
        let OpKind::Binary { op: Binary::Equal, right: Operand::Null, .. } = op.kind else {
            return Bound::None;
        };
        if !holds {
            return Bound::None;
        }
        match self.is_set_here(function, left) {
            true => Bound::Full,
            false => Bound::None,
        }
    }

    fn flag(&mut self, slot: SlotId, function: FnId, condition: Operand, holds: bool) -> Bound {
        let values = self.managed.values(function, condition);
        if values.contains(&Value::Of(slot)) {
            return if holds { Bound::None } else { Bound::Full };
        }
        match !holds && self.is_set_here(function, condition) {
            true => Bound::Full,
            false => Bound::None,
        }
    }

    /// Whether the function stores to the attribute or global that an operand was loaded from.
    fn is_set_here(&mut self, function: FnId, operand: Operand) -> bool {
        let slots: Vec<SlotId> = self
            .managed
            .values(function, operand)
            .into_iter()
            .filter_map(|it| match it {
                Value::Of(slot) => Some(slot),
                _ => None,
            })
            .collect();
        slots
            .iter()
            .any(|slot| self.managed.objects.stored_in(*slot).iter().any(|it| it.function == function))
    }

    /// How long an object with the container lives.
    fn age(&self, slot: SlotId, life: Life, function: FnId) -> Age {
        match (life, self.managed.objects.slot(slot)) {
            (Life::Program | Life::Call, _) => Age::Long,
            (Life::Instance, Slot::Attribute(class, _)) => {
                let own = self.managed.world.entry(function).class.unwrap_or(class);
                self.managed.ages.of(class).max(self.managed.ages.of(own))
            }
            _ => Age::Unknown,
        }
    }

    fn report(
        &mut self,
        slot: SlotId,
        kinds: &Kinds,
        life: Life,
        stored: &[Stored],
        growth: Growth<'a>,
        unused: Option<FnId>,
    ) -> Option<Found> {
        let event = growth.event;
        let age = self.age(slot, life, event.function);
        let is_keyed_by_nodes = self.is_keyed_by_nodes(&event);
        let is_decorator = self.returns_parameter(event.function, slot);
        let world = &self.managed.world;
        let name = world.short_name(event.function);
        let is_fresh = !kinds.is_map(self.managed) && !growth.is_distinct;
        let severity = match (growth.rate, age) {
            // Anyone may call it how often they like: once per configuration, for all that is known.
            (Rate::Anyone, _) if is_registration(name) || kinds.is_registry => return None,
            // A decorator: once for each function of the program.
            (Rate::Anyone | Rate::Call, _) if is_decorator => return None,
            // Builders collect what they are given, and are given away.
            (Rate::Anyone | Rate::Call, Age::Unknown)
                if self.managed.library.family == Family::JavaScript && !kinds.is_map(self.managed) =>
            {
                return None;
            }
            // What objects hold that may come and go is worth knowing, no more.
            (Rate::Anyone | Rate::Call, Age::Unknown)
                if self.managed.library.family == Family::JavaScript =>
            {
                Severity::Note
            }
            (Rate::Endless | Rate::Event, Age::Long) if is_fresh => Severity::Error,
            (Rate::Endless, _) | (_, Age::Long) => Severity::Warning,
            (_, Age::Short) => return None,
            (_, Age::Unknown) => Severity::Warning,
        };
        let how_often = match growth.rate {
            Rate::Endless => "in a loop that does not end",
            Rate::Event => "for each event",
            Rate::Call => "again and again",
            Rate::Anyone | Rate::Startup => "with each call",
        };
        let of = self.managed.slot_text(slot);
        let place =
            if world.is_module_code(event.function) { "the module".to_string() } else { format!("`{name}`") };
        let mut message =
            format!("{of} only grows: {place} adds to it {how_often}, and nothing takes anything out");
        if severity != Severity::Error {
            let is_often = matches!(growth.rate, Rate::Endless | Rate::Event);
            let needs_keys = growth.is_distinct || is_often && kinds.is_map(self.managed);
            message.push_str(match (life, growth.rate, needs_keys) {
                (_, _, true) => ", if ever new keys come",
                (Life::Instance, ..) => ", if the object lives long",
                (Life::Closure, ..) => ", if the closure lives long",
                _ => ", if the program calls it often",
            });
        }
        let mut related = Vec::new();
        if let Some(made) = stored.iter().find(|it| matches!(it.value, Value::Container { .. } | Value::Text))
        {
            related.push(("made here".to_string(), world.at(made.function, made.span)));
        }
        if let Some(unused) = unused {
            let span = world.entry(unused).ir.name_span;
            let message =
                format!("`{}` would take something out, but nothing calls it", world.short_name(unused));
            related.push((message, world.at(unused, span)));
        }
        let at: At = world.at(event.function, event.span);
        let (mut rule, mut kind) = (Rule::UnboundedGrowth, kinds.name(self.managed));
        if is_keyed_by_nodes {
            (rule, kind) = (Rule::RetainedObject, Kind::WeakMissing);
            message = format!(
                "{of} keeps each node that is a key of it, also when the document has it no more; a `WeakMap` or `WeakSet` does not"
            );
        }
        Some(Found {
            rule,
            kind: Some(kind),
            severity,
            confidence: Confidence::Likely,
            message,
            at,
            related,
            fix: None,
        })
    }
}

impl<'a> Judge<'_, 'a> {
    /// Whether a function gives back what it was given, the container apart.
    fn returns_parameter(&mut self, function: FnId, container: SlotId) -> bool {
        let ir = self.managed.world.entry(function).ir;
        ir.blocks.iter().any(|block| {
            let End::Return(Some(value)) = block.end else { return false };
            let Some(op) = self.managed.definition(function, value) else { return false };
            let is_parameter = matches!(&op.kind, OpKind::Load { from: Place { base: Base::Local(local), steps }, .. }
                if steps.is_empty() && ir.parameters.iter().skip(1).any(|it| it == local));
            is_parameter && !self.managed.values(function, value).contains(&Value::Of(container))
        })
    }

    fn is_keyed_by_nodes(&mut self, event: &Event<'a>) -> bool {
        let key = match event.what {
            What::Method { name: "set" | "add", argument: Some(key) } => key,
            What::SetItem { key } => key,
            _ => return false,
        };
        !event.is_nested && self.managed.values(event.function, key).contains(&Value::Node)
    }
}

enum Taking {
    No,
    Yes,
    /// It would, if anyone called it.
    NeverCalled,
}

enum Bound {
    None,
    /// Only new keys are added.
    Distinct,
    Full,
}

struct Kinds {
    models: Vec<u32>,
    is_text: bool,
    is_registry: bool,
}

impl Kinds {
    fn is_map(&self, managed: &Managed<'_>) -> bool {
        self.models.iter().any(|it| managed.library.containers[*it as usize].is_keyed)
    }

    fn name(&self, managed: &Managed<'_>) -> Kind {
        if self.is_registry {
            return Kind::Registry;
        }
        let kind = self.models.first().map(|it| managed.library.containers[*it as usize].kind.as_str());
        match kind {
            Some("map") => Kind::Map,
            Some("set") => Kind::Set,
            Some("queue") => Kind::Queue,
            Some(_) => Kind::List,
            None => Kind::String,
        }
    }
}

/// Functions that end an object's life.
fn is_end_of_life(name: &str) -> bool {
    matches!(
        name,
        "close"
            | "stop"
            | "shutdown"
            | "__del__"
            | "__exit__"
            | "__aexit__"
            | "cleanup"
            | "teardown"
            | "disconnect"
            | "terminate"
            | "finish"
            | "dispose"
            | "destroy"
            | "on_close"
            | "tearDown"
            | "disconnectedCallback"
            | "componentWillUnmount"
            | "ngOnDestroy"
    )
}

/// Functions that are called once per thing that the program consists of.
fn is_registration(name: &str) -> bool {
    let name = name.trim_start_matches('_');
    [
        "register",
        "add_",
        "set_",
        "include",
        "define",
        "declare",
        "install",
        "configure",
        "init",
        "setup",
        "load",
        "import",
        "export",
        "option",
        "use",
        "create",
        "parse",
        "compile",
        "build",
    ]
    .iter()
    .any(|it| name.starts_with(it))
        || matches!(name, "add" | "set")
        || ["add", "set", "on"].iter().any(|it| {
            name.strip_prefix(it).is_some_and(|it| it.starts_with(|it: char| it.is_ascii_uppercase()))
        })
}
