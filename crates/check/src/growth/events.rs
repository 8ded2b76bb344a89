//! What happens to containers.

use crate::ir::{Argument, Base, Binary, BlockId, Callee, OpKind, Operand, Place, Span, Step};
use crate::managed::{Family, FnId, Grouped, Kinds, Managed, Site, Slot, SlotId, Target, Value};
use rustc_hash::FxHashSet;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What<'a> {
    /// By a method of this name, with its first argument.
    Method { name: &'a str, argument: Option<Operand> },
    /// `d[k] = v`.
    SetItem { key: Operand },
    /// `x += [...]`, `s += "..."`.
    Add { right: Operand },
    /// `heappush` and the like.
    Push,
    /// `del d[k]`, `heappop`.
    Shrink,
    /// `x[:] = ...`.
    Clear,
    /// Another object is stored in the variable.
    Replace,
    /// Code that is not seen may change it.
    Escape,
}

#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub what: What<'a>,
    /// Concerns a container inside the container.
    pub is_nested: bool,
    pub function: FnId,
    pub block: BlockId,
    pub span: Span,
}

/// All events.
pub struct Ledger<'a> {
    events: Vec<Event<'a>>,
    /// Where in `events` those of a slot are.
    of_slot: Grouped<u32>,
}

impl<'a> Ledger<'a> {
    /// What happens to the containers of a slot, in the order of the program.
    pub fn of(&self, slot: SlotId) -> Vec<Event<'a>> {
        self.of_slot.get(slot.index()).iter().map(|it| self.events[*it as usize]).collect()
    }
}

struct Collector<'m, 'a> {
    managed: &'m mut Managed<'a>,
    events: Vec<Event<'a>>,
    /// The slot of each event, and its number.
    slots: Vec<(u32, u32)>,
    /// Names of methods that change containers.
    methods: FxHashSet<String>,
    shrinking: FxHashSet<String>,
    function: FnId,
    block: BlockId,
    span: Span,
}

pub fn collect<'a>(managed: &mut Managed<'a>) -> Ledger<'a> {
    let library = managed.library;
    let registries = library.registries.iter().flat_map(|it| it.grow.iter().chain(&it.shrink));
    let models = library.containers.iter();
    let methods = models
        .clone()
        .flat_map(|it| it.grow.iter().chain(&it.grow_by_key).chain(&it.shrink).chain(&it.clear))
        .chain(registries)
        .cloned()
        .collect();
    let shrinking = models.flat_map(|it| it.shrink.iter().chain(&it.clear)).cloned().collect();
    let mut it = Collector {
        managed,
        events: Vec::new(),
        slots: Vec::new(),
        methods,
        shrinking,
        function: FnId(0),
        block: BlockId(0),
        span: Span::NONE,
    };
    for function in it.managed.world.ids() {
        it.function = function;
        it.function_events();
    }
    let of_slot = Grouped::new(it.managed.objects.slot_ids().len(), &it.slots);
    Ledger { events: it.events, of_slot }
}

impl<'a> Collector<'_, 'a> {
    fn function_events(&mut self) {
        let kinds = Kinds::CALL.or(Kinds::STORE).or(Kinds::MEMBER).or(Kinds::CONTENT);
        for Site { block, op, call, .. } in self.managed.world.sites(self.function, kinds) {
            (self.block, self.span) = (block, op.span);
            match &op.kind {
                OpKind::Call { args, .. } => self.call(self.managed.target_of(call), args),
                OpKind::Store { to, value, .. } => self.store(to, *value),
                OpKind::Shrink { container, .. } => self.on_container(*container, What::Shrink),
                OpKind::Load { from, .. } => self.method_taken(from),
                OpKind::Clear { container } => self.on_container(*container, What::Clear),
                // What is put into another container may be changed from there.
                OpKind::Grow { value: Some(value), .. } => self.escapes(*value),
                OpKind::Yield { value, .. } => self.escapes(*value),
                _ => {}
            }
        }
    }

    fn push(&mut self, slot: SlotId, what: What<'a>, is_nested: bool) {
        let (function, block, span) = (self.function, self.block, self.span);
        self.slots.push((slot.0, self.events.len() as u32));
        self.events.push(Event { what, is_nested, function, block, span });
    }

    fn on_container(&mut self, container: Operand, what: What<'a>) {
        for value in self.managed.values(self.function, container) {
            match value {
                Value::Of(slot) => self.push(slot, what, false),
                Value::ElementOf(slot) => self.push(slot, what, true),
                _ => {}
            }
        }
    }

    /// `logging.getLogger("app").addHandler(...)`: one object of the library, whoever asks for it.
    fn on_registry(&mut self, receiver: Operand, name: &'a str, argument: Option<Operand>) {
        let is_one = match self.managed.definition(self.function, receiver).map(|it| &it.kind) {
            Some(OpKind::Call { args, .. }) => !args.iter().any(|it| matches!(it.value, Operand::Reg(_))),
            _ => true,
        };
        let operand = self.made_once(receiver);
        for value in self.managed.values(self.function, operand) {
            match value {
                Value::Of(slot) => {
                    for stored in self.managed.objects.stored_in(slot).to_vec() {
                        self.registered(stored.value, name, argument);
                    }
                }
                value if is_one => self.registered(value, name, argument),
                _ => {}
            }
        }
    }

    /// What was stored to the local that an operand is loaded from, where that is the result of a call with
    /// constants; else the operand.
    fn made_once(&self, operand: Operand) -> Operand {
        let Some(op) = self.managed.definition(self.function, operand) else { return operand };
        let OpKind::Load { from, .. } = &op.kind else { return operand };
        let (Base::Local(local), []) = (from.base, &*from.steps) else { return operand };
        let [(_, only)] = self.managed.objects.view(self.function).stores_of(local) else {
            return Operand::Opaque;
        };
        let made = self.managed.definition(self.function, *only).map(|it| &it.kind);
        match made {
            Some(OpKind::Call { args, .. }) if args.iter().any(|it| matches!(it.value, Operand::Reg(_))) => {
                Operand::Opaque
            }
            _ => *only,
        }
    }

    fn registered(&mut self, value: Value, name: &'a str, argument: Option<Operand>) {
        if let Some(of) = self.managed.made(value)
            && let Some(model) = self.managed.library.registry(of)
            && model.grow.iter().chain(&model.shrink).any(|it| it == name)
        {
            let slot = self.managed.objects.find_or_add(&self.managed.world, Slot::Global(of));
            self.push(slot, What::Method { name, argument }, false);
        }
    }

    fn escapes(&mut self, value: Operand) {
        if matches!(value, Operand::Reg(_)) {
            for value in self.managed.values(self.function, value) {
                if let Value::Of(slot) = value {
                    self.push(slot, What::Escape, false);
                }
            }
        }
    }

    fn call(&mut self, target: Target<'a>, args: &[Argument]) {
        let argument = args.first().map(|it| it.value);
        match target {
            Target::Method { receiver, name, .. } => {
                if self.methods.contains(name) {
                    self.on_container(receiver, What::Method { name, argument });
                    self.on_registry(receiver, name, argument);
                }
                if !self.managed.library.is_reading_method(name) {
                    let is_own = self.is_program_method(receiver, name);
                    if !is_own {
                        args.iter().for_each(|it| self.escapes(it.value));
                    }
                }
            }
            Target::SlotMethod(slot, name) => {
                if self.methods.contains(name) {
                    self.push(slot, What::Method { name, argument }, false);
                    for stored in self.managed.objects.stored_in(slot).to_vec() {
                        self.registered(stored.value, name, argument);
                    }
                }
            }
            Target::Library(name, _) => self.library_call(name, args),
            Target::Value(value) => {
                if self.managed.functions_of(self.function, value).is_empty() {
                    args.iter().for_each(|it| self.escapes(it.value));
                }
            }
            Target::Function(_) | Target::Class(_) => {}
        }
    }

    fn is_program_method(&mut self, receiver: Operand, name: &'a str) -> bool {
        let managed = &mut *self.managed;
        let classes = managed.classes_of(self.function, receiver);
        classes.iter().any(|it| managed.objects.method(&managed.world, *it, name).is_some())
    }

    fn library_call(&mut self, name: &'a str, args: &[Argument]) {
        let library = self.managed.library;
        if let Some((of, short)) = name.rsplit_once('.')
            && library.registry(of).is_some()
        {
            let argument = args.first().map(|it| it.value);
            let slot = self.managed.objects.find_or_add(&self.managed.world, Slot::Global(of));
            return self.push(slot, What::Method { name: short, argument }, false);
        }
        if library.is_harmless(name) {
            return;
        }
        for (index, argument) in args.iter().enumerate() {
            match index {
                0 if library.grows_first(name) => self.on_container(argument.value, What::Push),
                0 if library.shrinks_first(name) => self.on_container(argument.value, What::Shrink),
                _ => self.escapes(argument.value),
            }
        }
    }

    fn store(&mut self, to: &Place, value: Operand) {
        if let (Base::At(base), [Step::Index { index, .. }]) = (to.base, &*to.steps) {
            let what = match self.is_slice(*index) {
                true => What::Clear,
                false => What::SetItem { key: *index },
            };
            self.on_container(base, what);
            if self.is_part(value) {
                // `d[k] = d[k][-10:]`.
                self.on_container(value, What::Shrink);
            }
            return self.escapes(value);
        }
        if matches!(to.base, Base::Local(_)) || self.is_fresh(to) {
            return;
        }
        let slots = self.managed.slots_of_place(self.function, to);
        for slot in slots {
            let what = match self.added(value, slot) {
                Some(right) => What::Add { right },
                None if self.is_kept(value, slot) => continue,
                None => What::Replace,
            };
            self.push(slot, what, false);
        }
    }

    /// An attribute of an object that was made just before.
    fn is_fresh(&self, to: &Place) -> bool {
        let Base::At(base) = to.base else { return false };
        let made = self.managed.definition(self.function, base);
        self.managed.library.family == Family::JavaScript
            && made.is_some_and(|it| matches!(it.kind, OpKind::New { .. }))
    }

    /// `x = x || {}`.
    fn is_kept(&mut self, value: Operand, slot: SlotId) -> bool {
        let Some(op) = self.managed.definition(self.function, value) else { return false };
        matches!(op.kind, OpKind::Phi { .. })
            && self.managed.values(self.function, value).contains(&Value::Of(slot))
    }

    /// The right side, if a value is what a slot holds plus something.
    fn added(&mut self, value: Operand, slot: SlotId) -> Option<Operand> {
        let op = self.managed.definition(self.function, value)?;
        let (left, right) = match &op.kind {
            OpKind::Binary { op: Binary::Add | Binary::Or, left, right, .. } => (*left, *right),
            OpKind::Call { callee: Callee::Method { receiver, name, .. }, args, .. }
                if self.managed.library.is_joining_method(self.managed.text(self.function, *name)) =>
            {
                (*receiver, args.first()?.value)
            }
            OpKind::Container { .. } => {
                let block = self.managed.block_of(self.function, op)?;
                return self.spread(block, value, slot);
            }
            _ => return None,
        };
        let of = self.managed.values(self.function, left);
        of.contains(&Value::Of(slot)).then_some(right)
    }

    /// What a literal has besides all elements of the slot: `[...x, more]`.
    fn spread(&mut self, block: BlockId, literal: Operand, slot: SlotId) -> Option<Operand> {
        let ir = self.managed.world.entry(self.function).ir;
        let (mut has_all, mut more) = (false, None);
        for op in &ir.blocks[block.index()].ops {
            let OpKind::Grow { container, value: Some(value), .. } = op.kind else { continue };
            if container != literal {
                continue;
            }
            match self.managed.values(self.function, value).contains(&Value::ElementOf(slot)) {
                true => has_all = true,
                false => more = Some(value),
            }
        }
        more.filter(|_| has_all)
    }

    /// Whether a value is a slice of something.
    fn is_part(&self, value: Operand) -> bool {
        let Some(op) = self.managed.definition(self.function, value) else { return false };
        match &op.kind {
            OpKind::Load { from: Place { base: Base::At(_), steps }, .. } => {
                matches!(&**steps, [Step::Index { index, .. }] if self.is_slice(*index))
            }
            OpKind::Call { callee: Callee::Method { name, .. }, .. } => {
                self.managed.text(self.function, *name) == "slice"
            }
            _ => false,
        }
    }

    fn is_slice(&self, index: Operand) -> bool {
        let Some(op) = self.managed.definition(self.function, index) else { return false };
        match &op.kind {
            OpKind::Call { callee: Callee::Direct(name), .. } => {
                self.managed.text(self.function, *name) == "slice"
            }
            _ => false,
        }
    }

    /// `iter(q.get, None)`: a method that takes out is handed around.
    fn method_taken(&mut self, from: &Place) {
        let (Base::At(base), [Step::Field { name, .. }]) = (from.base, &*from.steps) else { return };
        let name = self.managed.text(self.function, *name);
        if self.shrinking.contains(name) {
            self.on_container(base, What::Method { name, argument: None });
        }
    }
}
