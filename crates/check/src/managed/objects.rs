//! Slots, and what is stored in them.
//!
//! A *slot* is a variable that outlives a call: a global, an attribute of a class's instances (all instances are
//! one), a local that inner functions see or that holds a container made there. A [`Value`] says where an
//! operand comes from: out of a slot, or from the operation that made it.

use super::library::{Family, Library};
use super::world::{ClassRef, FnId, World};
use crate::ir::{
    Argument, Base, BlockId, Callee, End, Function, LocalId, Module, Name, Op, OpKind, Operand, Place, Reg,
    Span, Step,
};
use rustc_hash::{FxHashMap, FxHashSet};

/// A slot's position in [`Objects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot<'a> {
    /// By dotted name.
    Global(&'a str),
    /// Of the topmost class that has it.
    Attribute(ClassRef, &'a str),
    Local(FnId, LocalId),
    /// An attribute of something whose class is not known.
    AnyAttribute(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// Whatever the slot holds.
    Of(SlotId),
    /// Something in the container that the slot holds.
    ElementOf(SlotId),
    /// Made by a literal or a constructor.
    Container {
        model: u32,
        is_bounded: bool,
    },
    Instance(ClassRef),
    Class(ClassRef),
    Function(FnId),
    /// A method of an object of this class, bound to it.
    Method(FnId),
    /// What a call of this library function gave.
    Made(&'a str),
    /// A node of a document.
    Node,
    /// Several of them.
    Nodes,
    Text,
    Null,
    Number,
}

/// A value stored in a slot.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    pub value: Value<'a>,
    pub function: FnId,
    pub block: BlockId,
    pub span: Span,
    pub operand: Operand,
}

/// What a call calls.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    Function(FnId),
    Class(ClassRef),
    Library(&'a str),
    /// A method of what a slot holds.
    SlotMethod(SlotId, &'a str),
    Method {
        receiver: Operand,
        name: &'a str,
        class: Option<ClassRef>,
    },
    Value(Operand),
}

/// Where registers and locals of one function get their values.
#[derive(Default)]
pub struct View {
    /// Block and operation by register.
    definitions: Vec<(u32, u32)>,
    /// Operands stored, by local; sorted by local.
    stores: Vec<(LocalId, Operand)>,
}

pub struct Objects<'a> {
    slots: Vec<Slot<'a>>,
    by_slot: FxHashMap<Slot<'a>, SlotId>,
    /// By slot.
    pub stored: Vec<Vec<Stored<'a>>>,
    views: Vec<View>,
    /// Classes that assign an attribute of this name.
    owners: FxHashSet<(ClassRef, &'a str)>,
    /// Slots that callers hand over, by function and position of the parameter.
    parameters: FxHashMap<(FnId, u32), Vec<Value<'a>>>,
    returns: FxHashMap<FnId, Vec<Value<'a>>>,
    /// Calls of [`Objects::values`] within each other, and operands that they may still look at.
    nesting: u32,
    fuel: u32,
    /// What names that are called mean, by module and name, once all slots are known.
    targets: Vec<Vec<Option<Target<'a>>>>,
    /// Values of registers that were asked for, once all slots are known.
    known: FxHashMap<(FnId, Reg), Box<[Value<'a>]>>,
}

/// How far values are followed.
const DEPTH_LIMIT: u32 = 8;
/// Operands looked at to tell where one comes from.
const FUEL: u32 = 200;
/// Classes that set an attribute of one that is mixed into them.
const MIXED_LIMIT: usize = 4;
/// Values kept of one operand, parameter or result.
const VALUE_LIMIT: usize = 16;

impl View {
    fn new(function: &Function) -> View {
        let mut definitions = vec![(u32::MAX, 0); function.registers as usize];
        let mut stores = Vec::new();
        for (block, at) in (0u32..).zip(&function.blocks) {
            for (index, op) in (0u32..).zip(&at.ops) {
                if let Some(Reg(to)) = op.kind.written()
                    && let Some(slot) = definitions.get_mut(to as usize)
                {
                    *slot = (block, index);
                }
                if let OpKind::Store { to: Place { base: Base::Local(local), steps }, value, .. } = &op.kind
                    && steps.is_empty()
                {
                    stores.push((*local, *value));
                }
            }
        }
        stores.sort_by_key(|it| it.0);
        View { definitions, stores }
    }

    /// What is stored to a local, in no order of time.
    pub fn stores_of(&self, local: LocalId) -> &[(LocalId, Operand)] {
        let start = self.stores.partition_point(|it| it.0 < local);
        let end = self.stores.partition_point(|it| it.0 <= local);
        &self.stores[start..end]
    }
}

impl<'a> Objects<'a> {
    pub fn new(world: &World<'a>, library: &Library) -> Objects<'a> {
        let views = world.functions.iter().map(|it| View::new(it.ir)).collect();
        let mut it = Objects {
            slots: Vec::new(),
            by_slot: FxHashMap::default(),
            stored: Vec::new(),
            views,
            owners: owners(world),
            parameters: FxHashMap::default(),
            returns: FxHashMap::default(),
            nesting: 0,
            fuel: 0,
            targets: Vec::new(),
            known: FxHashMap::default(),
        };
        // The first round finds the classes of attributes, results and parameters; the second uses them.
        for _ in 0..2 {
            it.round(world, library);
        }
        it.targets = world.modules.iter().map(|it| vec![None; it.names.len()]).collect();
        it
    }

    fn round(&mut self, world: &World<'a>, library: &Library) {
        let mut stored = Vec::new();
        let mut parameters = Vec::new();
        let mut returns = Vec::new();
        let mut values = Vec::new();
        for (at, entry) in (0u32..).zip(&world.functions) {
            let function = FnId(at);
            for (number, block) in (0u32..).zip(&entry.ir.blocks) {
                for op in &block.ops {
                    match &op.kind {
                        OpKind::Store { to, value, .. } => {
                            for slot in self.slots_of_place(world, library, function, to) {
                                values.clear();
                                self.values(world, library, function, *value, &mut values);
                                let block = BlockId(number);
                                let new = |value| Stored {
                                    value,
                                    function,
                                    block,
                                    span: op.span,
                                    operand: *value_of(op),
                                };
                                stored.extend(values.iter().map(|value| (slot, new(*value))));
                                if values.is_empty() {
                                    // Something unknown: a value of no class.
                                    stored.push((slot, new(Value::Made(""))));
                                }
                            }
                        }
                        OpKind::Call { callee, args, .. } => {
                            let target = self.target(world, function, callee);
                            self.hand_over(world, library, function, target, args, &mut parameters);
                        }
                        OpKind::New { class, args, .. } => {
                            let target = new_target(world, function, *class);
                            self.hand_over(world, library, function, target, args, &mut parameters);
                        }
                        _ => {}
                    }
                }
                if let End::Return(Some(value)) = block.end {
                    values.clear();
                    self.values(world, library, function, value, &mut values);
                    returns.extend(values.iter().map(|it| (function, *it)));
                }
            }
        }
        self.stored = vec![Vec::new(); self.slots.len()];
        for (slot, it) in stored {
            self.stored[slot.0 as usize].push(it);
        }
        self.parameters.clear();
        for (key, value) in parameters {
            add(self.parameters.entry(key).or_default(), value);
        }
        self.returns.clear();
        for (function, value) in returns {
            add(self.returns.entry(function).or_default(), value);
        }
    }

    /// Slots and objects that a call hands to a function of the program.
    fn hand_over(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        target: Target<'a>,
        args: &[Argument],
        out: &mut Vec<((FnId, u32), Value<'a>)>,
    ) {
        if let Target::Method { receiver, name, .. } = target
            && library.family == Family::JavaScript
            && library.iterates(name)
            && let Some(callback) = args.first()
        {
            let mut values = Vec::new();
            self.values(world, library, function, receiver, &mut values);
            for callee in self.functions_of(world, library, function, callback.value) {
                out.extend(values.iter().filter_map(|it| match it {
                    Value::Of(slot) => Some(((callee, 0), Value::ElementOf(*slot))),
                    Value::Nodes => Some(((callee, 0), Value::Node)),
                    _ => None,
                }));
            }
        }
        let (callee, first) = match target {
            Target::Function(callee) => (Some(callee), 0),
            Target::Class(class) => (world.constructor(class), 1),
            Target::Method { receiver, name, class } => {
                let class = class.or_else(|| self.class_of(world, library, function, receiver));
                (class.and_then(|it| world.method(it, name)), 1)
            }
            _ => (None, 0),
        };
        let Some(callee) = callee else { return };
        let ir = world.entry(callee).ir;
        let mut values = Vec::new();
        for (index, argument) in args.iter().enumerate() {
            if !matches!(argument.value, Operand::Reg(_)) || argument.is_spread {
                continue;
            }
            let position = match argument.name {
                None => first + index,
                Some(name) => {
                    let name = world.text(function, name);
                    let found = ir
                        .parameters
                        .iter()
                        .position(|it| world.text(callee, ir.locals[it.index()].name) == name);
                    let Some(found) = found else { continue };
                    found
                }
            };
            values.clear();
            self.values(world, library, function, argument.value, &mut values);
            let key = (callee, u32::try_from(position).unwrap_or(u32::MAX));
            let kept = values.iter().filter(|it| {
                matches!(
                    it,
                    Value::Of(_)
                        | Value::Instance(_)
                        | Value::Container { .. }
                        | Value::ElementOf(_)
                        | Value::Node
                        | Value::Nodes
                )
            });
            out.extend(kept.map(|it| (key, *it)));
        }
    }

    pub fn slot(&self, id: SlotId) -> Slot<'a> {
        self.slots[id.0 as usize]
    }

    pub fn slot_ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)).map(SlotId)
    }

    pub fn find(&self, slot: Slot<'a>) -> Option<SlotId> {
        self.by_slot.get(&slot).copied()
    }

    pub fn stored_in(&self, slot: SlotId) -> &[Stored<'a>] {
        self.stored.get(slot.0 as usize).map_or(&[], |it| &it[..])
    }

    pub fn find_or_add(&mut self, slot: Slot<'a>) -> SlotId {
        self.intern(slot)
    }

    fn intern(&mut self, slot: Slot<'a>) -> SlotId {
        if let Some(it) = self.by_slot.get(&slot) {
            return *it;
        }
        let id = SlotId(u32::try_from(self.slots.len()).expect("fewer than 2^32 variables"));
        self.slots.push(slot);
        self.by_slot.insert(slot, id);
        id
    }

    pub fn view(&self, function: FnId) -> &View {
        &self.views[function.index()]
    }

    /// The operation that wrote a register.
    pub fn definition(&self, world: &World<'a>, function: FnId, reg: Reg) -> Option<(BlockId, &'a Op)> {
        let (block, op) = *self.views[function.index()].definitions.get(reg.index())?;
        let ir = world.entry(function).ir;
        Some((BlockId(block), ir.blocks.get(block as usize)?.ops.get(op as usize)?))
    }

    /// The topmost ancestor that has an attribute, or the class itself.
    fn owner(&self, world: &World<'a>, class: ClassRef, name: &'a str) -> ClassRef {
        let ancestors = world.ancestors(class);
        ancestors.into_iter().rev().find(|it| self.owners.contains(&(*it, name))).unwrap_or(class)
    }

    fn attribute(&mut self, world: &World<'a>, class: ClassRef, name: &'a str) -> SlotId {
        let owner = self.owner(world, class, name);
        self.intern(Slot::Attribute(owner, name))
    }

    /// The attribute of a class; of one that is mixed into others which set it, theirs.
    fn attributes(&mut self, world: &World<'a>, class: ClassRef, name: &'a str, out: &mut Vec<SlotId>) {
        let owner = self.owner(world, class, name);
        if !self.owners.contains(&(owner, name)) && world.method(class, name).is_none() {
            let mut derived = world.class_entry(class).derived.clone();
            derived.retain(|it| self.owners.contains(&(*it, name)));
            if !derived.is_empty() && derived.len() <= MIXED_LIMIT {
                for class in derived {
                    let slot = self.attribute(world, class, name);
                    add(out, slot);
                }
                return;
            }
        }
        add(out, self.intern(Slot::Attribute(owner, name)));
    }

    /// Slots that a place is, or an element of which it is not: `[%x].a`, globals, captured locals.
    pub fn slots_of_place(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        place: &Place,
    ) -> Vec<SlotId> {
        let module = world.module_of(function);
        let mut found = Vec::new();
        match (place.base, &*place.steps) {
            (Base::Global(global), []) => {
                let name = module.name(module.globals[global.index()].name);
                found.push(self.intern(Slot::Global(world.resolve(name))));
            }
            (Base::Outer(of, local), []) => {
                let of = world.function_of_module(world.entry(function).module, of);
                found.push(self.intern(Slot::Local(of, local)));
            }
            (Base::Class(class), [Step::Field { name, .. }]) => {
                let class = world.class_of_module(world.entry(function).module, class);
                found.push(self.attribute(world, class, module.name(*name)));
            }
            (Base::At(base), [Step::Field { name, .. }]) => {
                let name = module.name(*name);
                let classes = self.classes_of(world, library, function, base);
                if classes.is_empty() {
                    found.push(self.intern(Slot::AnyAttribute(name)));
                }
                for class in classes {
                    self.attributes(world, class, name, &mut found);
                }
            }
            _ => {}
        }
        found
    }

    /// Values of an operand, those of a slot replaced by what is stored in it.
    fn reached(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
    ) -> Vec<Value<'a>> {
        let mut values = Vec::new();
        self.values(world, library, function, operand, &mut values);
        let mut reached = Vec::new();
        for value in values {
            match value {
                Value::Of(slot) => reached.extend(self.stored_in(slot).iter().map(|it| it.value)),
                other => reached.push(other),
            }
        }
        reached
    }

    /// Classes of the program that an operand may be an instance of (or is itself, for class attributes).
    pub fn classes_of(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
    ) -> Vec<ClassRef> {
        let mut classes = Vec::new();
        for value in self.reached(world, library, function, operand) {
            if let Value::Instance(class) | Value::Class(class) = value {
                add(&mut classes, class);
            }
        }
        classes
    }

    /// Functions of the program that an operand may be.
    pub fn functions_of(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
    ) -> Vec<FnId> {
        let mut functions = Vec::new();
        for value in self.reached(world, library, function, operand) {
            if let Value::Function(it) | Value::Method(it) = value {
                add(&mut functions, it);
            }
        }
        functions
    }

    pub fn returned(&self, function: FnId) -> &[Value<'a>] {
        self.returns.get(&function).map_or(&[], |it| &it[..])
    }

    pub fn class_of(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
    ) -> Option<ClassRef> {
        match self.classes_of(world, library, function, operand)[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// What a call calls, as far as names tell.
    pub fn target(&mut self, world: &World<'a>, function: FnId, callee: &Callee) -> Target<'a> {
        match callee {
            Callee::Direct(name) => {
                let module = world.entry(function).module as usize;
                if let Some(Some(known)) = self.targets.get(module).map(|it| it[name.index()]) {
                    return known;
                }
                let target = self.named_target(world, world.resolve(world.text(function, *name)));
                if let Some(targets) = self.targets.get_mut(module) {
                    targets[name.index()] = Some(target);
                }
                target
            }
            Callee::Method { receiver, name, class } => {
                match self.member_of_global(world, function, *receiver, *name) {
                    Some(it) => Target::Function(it),
                    None => Target::Method {
                        receiver: *receiver,
                        name: world.text(function, *name),
                        class: class.and_then(|it| world.class(world.text(function, it))),
                    },
                }
            }
            Callee::Value(value) => Target::Value(*value),
        }
    }

    /// The function that a method of another file's variable is, where that one stands for a module or a class.
    fn member_of_global(
        &self,
        world: &World<'a>,
        function: FnId,
        receiver: Operand,
        name: Name,
    ) -> Option<FnId> {
        let Operand::Reg(reg) = receiver else { return None };
        let (_, op) = self.definition(world, function, reg)?;
        let OpKind::Load { from: Place { base: Base::Global(global), steps }, .. } = &op.kind else {
            return None;
        };
        if world.family != Family::JavaScript || !steps.is_empty() {
            return None;
        }
        let module = world.module_of(function);
        let of = world.resolve(module.name(module.globals[global.index()].name));
        world.function(&format!("{of}.{}", module.name(name)))
    }

    fn named_target(&mut self, world: &World<'a>, name: &'a str) -> Target<'a> {
        if let Some(it) = world.class(name) {
            return Target::Class(it);
        }
        if let Some(it) = world.function(name) {
            return Target::Function(it);
        }
        if let Some((of, short)) = name.rsplit_once('.') {
            let of = world.resolve(of);
            // What nothing is stored in is no variable, but something of the host.
            if let Some(slot) = self.by_slot.get(&Slot::Global(of))
                && (world.family == Family::Python || !self.stored_in(*slot).is_empty())
            {
                return Target::SlotMethod(*slot, short);
            }
        }
        Target::Library(name)
    }

    /// Where an operand comes from.
    pub fn values(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
        out: &mut Vec<Value<'a>>,
    ) {
        if self.nesting > 0 {
            return self.values_within(world, library, function, operand, out);
        }
        self.fuel = FUEL;
        // All slots are known when names that are called are.
        let (Operand::Reg(reg), false) = (operand, self.targets.is_empty()) else {
            return self.values_within(world, library, function, operand, out);
        };
        if let Some(known) = self.known.get(&(function, reg)) {
            return known.iter().for_each(|it| add(out, *it));
        }
        let mut values = Vec::new();
        self.values_within(world, library, function, operand, &mut values);
        values.iter().for_each(|it| add(out, *it));
        self.known.insert((function, reg), values.into());
    }

    fn values_within(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
        out: &mut Vec<Value<'a>>,
    ) {
        self.nesting += 1;
        self.values_at(world, library, function, operand, out, DEPTH_LIMIT);
        self.nesting -= 1;
    }

    fn values_at(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
        out: &mut Vec<Value<'a>>,
        depth: u32,
    ) {
        if depth == 0 || self.fuel == 0 || out.len() >= VALUE_LIMIT {
            return;
        }
        self.fuel -= 1;
        match operand {
            Operand::Null => add(out, Value::Null),
            Operand::Int(_) | Operand::Bool(_) => add(out, Value::Number),
            Operand::String(_) => add(out, Value::Text),
            Operand::Class(name) => {
                if let Some(class) = world.class(world.text(function, name)) {
                    add(out, Value::Class(class));
                }
            }
            Operand::Function(name) => {
                if let Some(it) = world.function(world.text(function, name)) {
                    add(out, Value::Function(it));
                }
            }
            Operand::Module(_) | Operand::Opaque => {}
            Operand::Reg(reg) => {
                if let Some((_, op)) = self.definition(world, function, reg) {
                    self.values_of_op(world, library, function, op, out, depth - 1);
                }
            }
        }
    }

    fn values_of_op(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        op: &'a Op,
        out: &mut Vec<Value<'a>>,
        depth: u32,
    ) {
        match &op.kind {
            OpKind::Load { from, .. } => self.values_of_place(world, library, function, from, out, depth),
            OpKind::Phi { from, .. } => {
                for (_, operand) in from {
                    self.values_at(world, library, function, *operand, out, depth);
                }
            }
            OpKind::Container { kind, bound, .. } => {
                if let Some(model) = library.container(world.text(function, *kind)) {
                    add(out, Value::Container { model: model as u32, is_bounded: bound.is_some() });
                }
            }
            OpKind::New { class, args, .. } => {
                let target = new_target(world, function, *class);
                self.values_of_call(world, library, function, target, args, out, depth);
            }
            OpKind::Closure { function: of, .. } => {
                let of = world.function_of_module(world.entry(function).module, *of);
                add(out, Value::Function(of));
            }
            OpKind::Await { value, .. } => self.values_at(world, library, function, *value, out, depth),
            OpKind::Call { callee, args, .. } => {
                let target = self.target(world, function, callee);
                self.values_of_call(world, library, function, target, args, out, depth);
            }
            _ => {}
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn values_of_call(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        target: Target<'a>,
        args: &[Argument],
        out: &mut Vec<Value<'a>>,
        depth: u32,
    ) {
        match target {
            Target::Class(class) => add(out, Value::Instance(class)),
            Target::Function(callee) => {
                for it in self.returns.get(&callee).into_iter().flatten() {
                    add(out, *it);
                }
            }
            // `field(default_factory=list)` stands for what each object gets.
            Target::Library(name) if library.is_field(name) => {
                let factory = args.iter().find(|it| {
                    it.name
                        .is_some_and(|it| matches!(world.text(function, it), "default_factory" | "factory"))
                });
                if let Some(factory) = factory {
                    self.values_of_factory(world, library, function, factory.value, out, depth);
                }
            }
            Target::Library(name) => match library.container(name) {
                Some(model) => {
                    let is_bounded = library.containers[model].is_bounded
                        || is_bound_given(world.module_of(function), library, model, args);
                    add(out, Value::Container { model: model as u32, is_bounded });
                }
                None => match node_of_call(library, name) {
                    Some(node) => add(out, node),
                    None => add(out, Value::Made(name)),
                },
            },
            Target::SlotMethod(slot, name) => {
                if library.is_element_method(name) {
                    add(out, Value::ElementOf(slot));
                }
            }
            Target::Method { receiver, name: "bind", .. } if world.family == Family::JavaScript => {
                self.values_at(world, library, function, receiver, out, depth);
            }
            Target::Method { receiver, name, class } => {
                if name == "__enter__" || name == "__aenter__" {
                    return self.values_at(world, library, function, receiver, out, depth);
                }
                let class = class.or_else(|| self.class_of(world, library, function, receiver));
                if let Some(callee) = class.and_then(|it| world.method(it, name)) {
                    for it in self.returns.get(&callee).into_iter().flatten() {
                        add(out, *it);
                    }
                    return;
                }
                if let Some(node) = node_of_call(library, name) {
                    return add(out, node);
                }
                if library.is_element_method(name) {
                    let mut of = Vec::new();
                    self.values_at(world, library, function, receiver, &mut of, depth);
                    for value in of {
                        if let Value::Of(slot) | Value::ElementOf(slot) = value {
                            add(out, Value::ElementOf(slot));
                        }
                    }
                }
            }
            Target::Value(value) => {
                let mut of = Vec::new();
                self.values_at(world, library, function, value, &mut of, depth);
                for value in of {
                    match value {
                        Value::Class(class) => add(out, Value::Instance(class)),
                        Value::Function(callee) | Value::Method(callee) => {
                            for it in self.returns.get(&callee).into_iter().flatten() {
                                add(out, *it);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// What calling an operand without arguments gives.
    fn values_of_factory(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        factory: Operand,
        out: &mut Vec<Value<'a>>,
        depth: u32,
    ) {
        if let Operand::Class(name) | Operand::Function(name) = factory {
            let target = self.named_target(world, world.text(function, name));
            return self.values_of_call(world, library, function, target, &[], out, depth);
        }
        self.values_of_call(world, library, function, Target::Value(factory), &[], out, depth);
    }

    fn values_of_place(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        place: &Place,
        out: &mut Vec<Value<'a>>,
        depth: u32,
    ) {
        match (place.base, &*place.steps) {
            (Base::Local(local), []) => self.values_of_local(world, library, function, local, out, depth),
            (Base::Outer(of, local), []) => {
                let of = world.function_of_module(world.entry(function).module, of);
                self.values_of_local(world, library, of, local, out, depth);
            }
            (Base::At(base), [Step::Index { .. }]) => {
                let mut of = Vec::new();
                self.values_at(world, library, function, base, &mut of, depth);
                for value in of {
                    match value {
                        Value::Of(slot) | Value::ElementOf(slot) => add(out, Value::ElementOf(slot)),
                        Value::Nodes => add(out, Value::Node),
                        _ => {}
                    }
                }
            }
            (Base::At(base), [Step::Field { name, .. }])
                if library.family == Family::JavaScript
                    && self.is_node_field(world, function, base, world.text(function, *name)) =>
            {
                add(out, Value::Node);
            }
            _ => {
                if let (Base::Global(global), []) = (place.base, &*place.steps)
                    && let Some(value) = self.defined_elsewhere(world, function, global)
                {
                    return add(out, value);
                }
                for slot in self.slots_of_place(world, library, function, place) {
                    if let Slot::Attribute(class, name) = self.slot(slot)
                        && !self.owners.contains(&(class, name))
                        && let Some(method) = world.method(class, name)
                    {
                        self.method_value(world, method, out);
                        continue;
                    }
                    add(out, Value::Of(slot));
                }
            }
        }
    }

    /// Attributes that are nodes: `event.target` where the parameter's name says that it is an event.
    fn is_node_field(&self, world: &World<'a>, function: FnId, base: Operand, name: &str) -> bool {
        match name {
            "currentTarget"
            | "relatedTarget"
            | "srcElement"
            | "parentElement"
            | "firstElementChild"
            | "lastElementChild"
            | "nextElementSibling"
            | "previousElementSibling"
            | "activeElement" => true,
            "target" => {
                let Operand::Reg(reg) = base else { return false };
                let Some((_, op)) = self.definition(world, function, reg) else { return false };
                let OpKind::Load { from: Place { base: Base::Local(local), steps }, .. } = &op.kind else {
                    return false;
                };
                let local = world.text(function, world.entry(function).ir.locals[local.index()].name);
                steps.is_empty() && matches!(local, "e" | "ev" | "evt" | "event" | "entry" | "mutation")
            }
            _ => false,
        }
    }

    /// A function or class that is loaded by its name.
    fn defined_elsewhere(
        &self,
        world: &World<'a>,
        function: FnId,
        global: crate::ir::GlobalId,
    ) -> Option<Value<'a>> {
        let module = world.module_of(function);
        let name = world.resolve(module.name(module.globals[global.index()].name));
        match world.class(name) {
            Some(class) => Some(Value::Class(class)),
            None => world.function(name).map(Value::Function),
        }
    }

    /// A bound method, or what a property gives.
    fn method_value(&self, world: &World<'a>, method: FnId, out: &mut Vec<Value<'a>>) {
        let ir = world.entry(method).ir;
        let is_property = ir.attributes.iter().any(|it| {
            let name = world.text(method, *it);
            name == "property" || name.ends_with("cached_property")
        });
        match is_property {
            true => self.returns.get(&method).into_iter().flatten().for_each(|it| add(out, *it)),
            false => add(out, Value::Method(method)),
        }
    }

    fn values_of_local(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        local: LocalId,
        out: &mut Vec<Value<'a>>,
        depth: u32,
    ) {
        let entry = world.entry(function);
        if let Some(position) = entry.ir.parameters.iter().position(|it| *it == local) {
            if position == 0
                && let Some(class) = entry.class
                && !has_attribute(world, function, "staticmethod")
            {
                let is_class =
                    has_attribute(world, function, "classmethod") || world.short_name(function) == "__new__";
                add(out, if is_class { Value::Class(class) } else { Value::Instance(class) });
            }
            let key = (function, u32::try_from(position).unwrap_or(u32::MAX));
            for it in self.parameters.get(&key).into_iter().flatten() {
                add(out, *it);
            }
        }
        let start = out.len();
        let range = {
            let stores = &self.views[function.index()].stores;
            stores.partition_point(|it| it.0 < local)..stores.partition_point(|it| it.0 <= local)
        };
        for at in range.take(VALUE_LIMIT) {
            let operand = self.views[function.index()].stores[at].1;
            self.values_at(world, library, function, operand, out, depth);
        }
        if out[start.min(out.len())..].iter().any(|it| matches!(it, Value::Container { .. })) {
            let slot = self.intern(Slot::Local(function, local));
            add(out, Value::Of(slot));
        }
    }
}

fn add<T: PartialEq>(out: &mut Vec<T>, value: T) {
    if out.len() < VALUE_LIMIT && !out.contains(&value) {
        out.push(value);
    }
}

/// The nodes that a function of the document gives.
fn node_of_call<'a>(library: &Library, name: &str) -> Option<Value<'a>> {
    if library.family != Family::JavaScript {
        return None;
    }
    match name.rsplit('.').next().unwrap_or(name) {
        "createElement"
        | "createElementNS"
        | "createTextNode"
        | "createDocumentFragment"
        | "getElementById"
        | "querySelector"
        | "closest"
        | "cloneNode" => Some(Value::Node),
        "querySelectorAll" | "getElementsByClassName" | "getElementsByTagName" | "getElementsByName" => {
            Some(Value::Nodes)
        }
        _ => None,
    }
}

fn value_of(op: &Op) -> &Operand {
    match &op.kind {
        OpKind::Store { value, .. } => value,
        _ => &Operand::Opaque,
    }
}

/// What `new` of a class calls.
pub fn new_target<'a>(world: &World<'a>, function: FnId, class: Name) -> Target<'a> {
    let name = world.text(function, class);
    match world.class(name) {
        Some(class) => Target::Class(class),
        None => Target::Library(world.resolve(name)),
    }
}

pub fn has_attribute(world: &World<'_>, function: FnId, name: &str) -> bool {
    world.entry(function).ir.attributes.iter().any(|it| world.text(function, *it) == name)
}

/// Whether a constructor's call gives its bound, and not `None` or 0.
fn is_bound_given(module: &Module, library: &Library, model: usize, args: &[Argument]) -> bool {
    let Some(bound) = &library.containers[model].bound else { return false };
    let given = |it: &Argument| !matches!(it.value, Operand::Null | Operand::Int(i64::MIN..=0));
    let positional = args.iter().filter(|it| it.name.is_none()).nth(bound.position);
    if args.iter().any(|it| it.is_spread) {
        return true;
    }
    positional.is_some_and(given)
        || args.iter().any(|it| it.name.is_some_and(|name| module.name(name) == bound.keyword) && given(it))
}

fn owners<'a>(world: &World<'a>) -> FxHashSet<(ClassRef, &'a str)> {
    let mut owners = FxHashSet::default();
    for (at, class) in (0u32..).zip(&world.classes) {
        let module = &world.modules[class.module as usize];
        owners.extend(class.ir.fields.iter().map(|it| (ClassRef(at), module.name(it.name))));
    }
    for entry in &world.functions {
        let module = &world.modules[entry.module as usize];
        for op in entry.ir.blocks.iter().flat_map(|it| &it.ops) {
            if let OpKind::Store { to: Place { base: Base::Class(class), steps }, .. } = &op.kind
                && let [Step::Field { name, .. }] = &**steps
            {
                owners.insert((world.class_of_module(entry.module, *class), module.name(*name)));
            }
        }
    }
    owners
}
