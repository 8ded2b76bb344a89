//! Slots, and what is stored in them.
//!
//! A *slot* is a variable that outlives a call: a global, an attribute of a class's instances (all instances are
//! one), a local that inner functions see or that holds a container made there. A [`Value`] says where an
//! operand comes from: out of a slot, or from the operation that made it ([`values`](super::values)).

use super::few::{Few, Grouped};
use super::library::{Family, Library};
use super::names::{Names, Symbol};
use super::sites::{CallId, Kinds, Site, Sites};
use super::values::Memo;
use super::world::{ClassRef, FnId, World};
use crate::ir::{
    Argument, Base, BlockId, Callee, GlobalId, LocalId, Name, Op, OpKind, Operand, Place, Reg, Span, Step,
};
use rustc_hash::{FxHashMap, FxHashSet};

/// A slot's position in [`Objects`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

impl SlotId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

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
pub enum Value {
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
    /// What a call of this library function gave; of the empty name: of no known one.
    Made(Symbol),
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
pub struct Stored {
    pub value: Value,
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
    /// A function that is no part of the program, by name.
    Library(&'a str, Symbol),
    /// A method of what a slot holds.
    SlotMethod(SlotId, &'a str),
    Method {
        receiver: Operand,
        name: &'a str,
        /// The same.
        symbol: Symbol,
        class: Option<ClassRef>,
    },
    Value(Operand),
}

/// What is stored to the locals of one function.
#[derive(Clone, Copy)]
pub struct View<'o, 'a> {
    objects: &'o Objects<'a>,
    function: FnId,
}

impl<'o> View<'o, '_> {
    /// What is stored to a local, in no order of time.
    pub fn stores_of(&self, local: LocalId) -> &'o [(LocalId, Operand)] {
        self.objects.stores.get(self.objects.local_index(self.function, local))
    }
}

/// By number of slot, parameter or function.
type Pairs<T> = Vec<(u32, T)>;

/// What one round finds. The memory is the next one's too: fresh pages cost more than filling them does.
#[derive(Default)]
struct Round {
    stored: Pairs<Stored>,
    parameters: Pairs<Value>,
    returns: Pairs<Value>,
}

pub struct Objects<'a> {
    pub(super) names: Names<'a>,
    slots: Vec<Slot<'a>>,
    by_slot: FxHashMap<Slot<'a>, SlotId>,
    /// Slots of globals and of attributes of unknown classes, by symbol.
    global_slots: Vec<Option<SlotId>>,
    any_slots: Vec<Option<SlotId>>,
    /// Slots that an attribute of a class may be.
    attributes: FxHashMap<(ClassRef, Symbol), Few<SlotId>>,
    methods: FxHashMap<(ClassRef, Symbol), Option<FnId>>,
    /// By symbol: some class has a method of this name.
    is_method: Vec<bool>,
    /// Members of what variables of other files stand for.
    members: FxHashMap<(Symbol, Symbol), Option<FnId>>,
    /// By slot: the method that an attribute is which nobody assigns.
    pub(super) slot_methods: Vec<Option<FnId>>,
    stored: Grouped<Stored>,
    /// Classes and functions among what is stored, by slot.
    stored_classes: Grouped<ClassRef>,
    stored_functions: Grouped<FnId>,
    pub(super) sites: &'a Sites<'a>,
    /// By function: number of its first local and parameter among those of the program.
    first_local: Vec<u32>,
    pub(super) first_parameter: Vec<u32>,
    /// Operands stored, by local.
    pub(super) stores: Grouped<(LocalId, Operand)>,
    /// Locals that inner functions see.
    captured: FxHashSet<(FnId, LocalId)>,
    /// Classes that assign an attribute of this name.
    owners: FxHashSet<(ClassRef, Symbol)>,
    /// What callers hand over, by parameter.
    pub(super) parameters: Grouped<Value>,
    /// By function.
    pub(super) returns: Grouped<Value>,
    /// What calls call, once the rounds are over.
    pub(super) targets: Vec<Target<'a>>,
    pub(super) memo: Memo,
}

/// Classes that set an attribute of one that is mixed into them.
const MIXED_LIMIT: usize = 4;

impl<'a> Objects<'a> {
    pub fn new(world: &World<'a>, library: &Library) -> Objects<'a> {
        let mut it = Objects {
            names: Names::new(world),
            slots: Vec::new(),
            by_slot: FxHashMap::default(),
            global_slots: Vec::new(),
            any_slots: Vec::new(),
            attributes: FxHashMap::default(),
            methods: FxHashMap::default(),
            is_method: Vec::new(),
            members: FxHashMap::default(),
            slot_methods: Vec::new(),
            stored: Grouped::default(),
            stored_classes: Grouped::default(),
            stored_functions: Grouped::default(),
            sites: world.sites,
            first_local: Vec::new(),
            first_parameter: Vec::new(),
            stores: Grouped::default(),
            captured: FxHashSet::default(),
            owners: FxHashSet::default(),
            parameters: Grouped::default(),
            returns: Grouped::default(),
            targets: Vec::new(),
            memo: Memo::default(),
        };
        it.index(world);
        // The first round finds the classes of attributes, results and parameters; the second uses them.
        let mut found = Round::default();
        for _ in 0..2 {
            it.round(world, library, &mut found);
        }
        it
    }

    /// Numbers locals and parameters, and finds what is stored to them.
    fn index(&mut self, world: &World<'a>) {
        let (mut locals, mut parameters) = (0u32, 0u32);
        for entry in &world.functions {
            self.first_local.push(locals);
            self.first_parameter.push(parameters);
            locals = count(locals as usize + entry.ir.locals.len());
            parameters = count(parameters as usize + entry.ir.parameters.len());
        }
        // The numbers of the function after the last.
        self.first_local.push(locals);
        self.first_parameter.push(parameters);
        self.memo = Memo::new(self.sites.registers() + locals as usize);
        let mut stores = Vec::new();
        for function in world.ids() {
            for Site { op, .. } in world.sites(function, Kinds::LOCAL.or(Kinds::STORE)) {
                if let OpKind::Store { to, value, .. } = &op.kind {
                    self.index_store(world, function, to, *value, &mut stores);
                }
            }
        }
        for (function, of, local) in self.sites.outer() {
            self.captured.insert((world.function_of_module(world.entry(*function).module, *of), *local));
        }
        self.stores = Grouped::new(locals as usize, &stores);
        for (at, class) in (0u32..).zip(&world.classes) {
            for field in &class.ir.fields {
                let name = self.names.of(world, class.module, field.name);
                self.owners.insert((ClassRef(at), name));
            }
            for (short, _) in &class.ir.methods {
                let name = self.names.of(world, class.module, *short).index();
                self.is_method.resize(self.is_method.len().max(name + 1), false);
                self.is_method[name] = true;
            }
        }
    }

    fn index_store(
        &mut self,
        world: &World<'a>,
        function: FnId,
        to: &Place,
        value: Operand,
        stores: &mut Pairs<(LocalId, Operand)>,
    ) {
        match (to.base, &*to.steps) {
            (Base::Local(local), []) => {
                stores.push((count(self.local_index(function, local)), (local, value)));
            }
            (Base::Class(class), [Step::Field { name, .. }]) => {
                let class = world.class_of_module(world.entry(function).module, class);
                let name = self.names.of_function(world, function, *name);
                self.owners.insert((class, name));
            }
            _ => {}
        }
    }

    /// Whether inner functions see a local.
    pub fn is_captured(&self, function: FnId, local: LocalId) -> bool {
        self.captured.contains(&(function, local))
    }

    /// A local's number among all of the program.
    pub(super) fn local_index(&self, function: FnId, local: LocalId) -> usize {
        self.first_local[function.index()] as usize + local.index()
    }

    pub(super) fn local_node(&self, function: FnId, local: LocalId) -> usize {
        self.sites.registers() + self.local_index(function, local)
    }

    fn round(&mut self, world: &World<'a>, library: &Library, found: &mut Round) {
        self.memo.forget();
        let Round { stored, parameters, returns } = found;
        stored.clear();
        parameters.clear();
        returns.clear();
        let unknown = self.names.of_text("");
        for function in world.ids() {
            for Site { block, op, .. } in world.sites(function, Kinds::CALL.or(Kinds::STORE)) {
                match &op.kind {
                    OpKind::Store { to, value, .. } => {
                        let (value, span) = (*value, op.span);
                        for slot in self.slots_of_place(world, library, function, to) {
                            let range = self.operand_range(world, library, function, value);
                            let new = |it| Stored { value: it, function, block, span, operand: value };
                            if range.indexes().is_empty() {
                                // Something unknown: a value of no class.
                                stored.push((slot.0, new(Value::Made(unknown))));
                            }
                            stored.extend(range.indexes().map(|it| (slot.0, new(self.memo.value(it)))));
                        }
                    }
                    OpKind::Call { callee, args, .. } => {
                        let target = self.target(world, function, callee);
                        self.hand_over(world, library, function, target, args, parameters);
                    }
                    OpKind::New { class, args, .. } => {
                        let target = self.new_target(world, function, *class);
                        self.hand_over(world, library, function, target, args, parameters);
                    }
                    _ => {}
                }
            }
            for value in world.returned(function) {
                let range = self.operand_range(world, library, function, *value);
                returns.extend(range.indexes().map(|it| (function.0, self.memo.value(it))));
            }
        }
        self.memo.forget();
        self.set_stored(stored);
        let all = self.first_parameter.last().copied().unwrap_or(0);
        self.parameters = Grouped::distinct(all as usize, parameters);
        self.returns = Grouped::distinct(world.functions.len(), returns);
    }

    fn set_stored(&mut self, stored: &Pairs<Stored>) {
        let classes: Pairs<ClassRef> = stored
            .iter()
            .filter_map(|(slot, it)| match it.value {
                Value::Instance(class) | Value::Class(class) => Some((*slot, class)),
                _ => None,
            })
            .collect();
        let functions: Pairs<FnId> = stored
            .iter()
            .filter_map(|(slot, it)| match it.value {
                Value::Function(it) | Value::Method(it) => Some((*slot, it)),
                _ => None,
            })
            .collect();
        let slots = self.slots.len();
        self.stored = Grouped::new(slots, stored);
        self.stored_classes = Grouped::distinct(slots, &classes);
        self.stored_functions = Grouped::distinct(slots, &functions);
    }

    /// Slots and objects that a call hands to a function of the program.
    fn hand_over(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        target: Target<'a>,
        args: &[Argument],
        out: &mut Pairs<Value>,
    ) {
        if let Target::Method { receiver, name, .. } = target
            && library.family == Family::JavaScript
            && library.iterates(name)
            && let Some(callback) = args.first()
        {
            let of = self.operand_range(world, library, function, receiver);
            for callee in self.functions_of(world, library, function, callback.value) {
                for at in of.indexes() {
                    let element = match self.memo.value(at) {
                        Value::Of(slot) => Value::ElementOf(slot),
                        Value::Nodes => Value::Node,
                        _ => continue,
                    };
                    out.extend(self.parameter_index(callee, 0).map(|it| (it, element)));
                }
            }
        }
        if args.is_empty() {
            return;
        }
        let (callee, first) = match target {
            Target::Function(callee) => (Some(callee), 0),
            Target::Class(class) => (self.constructor(world, class), 1),
            Target::Method { receiver, symbol, class, .. } => {
                let class = class.or_else(|| self.class_of(world, library, function, receiver));
                (class.and_then(|it| self.method_called(world, it, symbol)), 1)
            }
            _ => (None, 0),
        };
        let Some(callee) = callee else { return };
        let ir = world.entry(callee).ir;
        for (index, argument) in args.iter().enumerate() {
            if !matches!(argument.value, Operand::Reg(_)) || argument.is_spread {
                continue;
            }
            let position = match argument.name {
                None => Some(first + index),
                Some(name) => {
                    let name = world.text(function, name);
                    ir.parameters.iter().position(|it| world.text(callee, ir.locals[it.index()].name) == name)
                }
            };
            let Some(key) = position.and_then(|it| self.parameter_index(callee, it)) else { continue };
            let range = self.operand_range(world, library, function, argument.value);
            let values = range.indexes().map(|it| self.memo.value(it)).filter(|it| {
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
            out.extend(values.map(|it| (key, it)));
        }
    }

    fn parameter_index(&self, function: FnId, position: usize) -> Option<u32> {
        let at = function.index();
        let index = self.first_parameter[at] as usize + position;
        (index < self.first_parameter[at + 1] as usize).then(|| count(index))
    }

    pub fn slot(&self, id: SlotId) -> Slot<'a> {
        self.slots[id.0 as usize]
    }

    pub fn slot_ids(&self) -> impl ExactSizeIterator<Item = SlotId> + use<> {
        (0..self.slots.len()).map(|it| SlotId(count(it)))
    }

    pub fn find(&self, slot: Slot<'a>) -> Option<SlotId> {
        self.by_slot.get(&slot).copied()
    }

    pub fn stored_in(&self, slot: SlotId) -> &[Stored] {
        self.stored.get(slot.0 as usize)
    }

    pub fn find_or_add(&mut self, world: &World<'a>, slot: Slot<'a>) -> SlotId {
        self.intern(world, slot)
    }

    pub(super) fn intern(&mut self, world: &World<'a>, slot: Slot<'a>) -> SlotId {
        if let Some(it) = self.by_slot.get(&slot) {
            return *it;
        }
        let id = SlotId(count(self.slots.len()));
        self.slots.push(slot);
        self.by_slot.insert(slot, id);
        let method = match slot {
            Slot::Attribute(class, name) => {
                let symbol = self.names.of_text(name);
                match self.owners.contains(&(class, symbol)) {
                    true => None,
                    false => self.method_called(world, class, symbol),
                }
            }
            _ => None,
        };
        self.slot_methods.push(method);
        id
    }

    pub(super) fn global_slot(&mut self, world: &World<'a>, name: Symbol) -> SlotId {
        if let Some(Some(known)) = self.global_slots.get(name.index()) {
            return *known;
        }
        let slot = self.intern(world, Slot::Global(self.names.text(name)));
        remember(&mut self.global_slots, name, slot);
        slot
    }

    fn any_slot(&mut self, world: &World<'a>, name: Symbol) -> SlotId {
        if let Some(Some(known)) = self.any_slots.get(name.index()) {
            return *known;
        }
        let slot = self.intern(world, Slot::AnyAttribute(self.names.text(name)));
        remember(&mut self.any_slots, name, slot);
        slot
    }

    pub fn view(&self, function: FnId) -> View<'_, 'a> {
        View { objects: self, function }
    }

    /// The operation that wrote a register.
    pub fn definition(&self, function: FnId, reg: Reg) -> Option<&'a Op> {
        self.sites.definition(function, reg)
    }

    /// Whether any class has a method of this name.
    pub fn is_method_name(&mut self, world: &World<'a>, function: FnId, name: Name) -> bool {
        let name = self.names.of_function(world, function, name);
        self.is_method.get(name.index()).copied().unwrap_or(false)
    }

    /// A method of a class or of its bases.
    pub fn method(&mut self, world: &World<'a>, class: ClassRef, name: &'a str) -> Option<FnId> {
        let symbol = self.names.of_text(name);
        self.method_called(world, class, symbol)
    }

    /// The same by the name's number.
    pub fn method_called(&mut self, world: &World<'a>, class: ClassRef, name: Symbol) -> Option<FnId> {
        if !self.is_method.get(name.index()).copied().unwrap_or(false) {
            return None;
        }
        let names = &self.names;
        *self.methods.entry((class, name)).or_insert_with(|| world.method(class, names.text(name)))
    }

    /// The method that makes an object of a class what it is.
    fn constructor(&mut self, world: &World<'a>, class: ClassRef) -> Option<FnId> {
        let name = match world.family {
            Family::Python => "__init__",
            Family::JavaScript => "constructor",
        };
        self.method(world, class, name)
    }

    /// The topmost ancestor that has an attribute, or the class itself.
    fn owner(&self, world: &World<'a>, class: ClassRef, name: Symbol) -> ClassRef {
        let ancestors = world.ancestors(class);
        ancestors.iter().rev().find(|it| self.owners.contains(&(**it, name))).copied().unwrap_or(class)
    }

    fn attribute(&mut self, world: &World<'a>, class: ClassRef, name: Symbol) -> SlotId {
        let owner = self.owner(world, class, name);
        self.intern(world, Slot::Attribute(owner, self.names.text(name)))
    }

    /// The attribute of a class; of one that is mixed into others which set it, theirs.
    fn attributes(&mut self, world: &World<'a>, class: ClassRef, name: Symbol) -> Few<SlotId> {
        if let Some(known) = self.attributes.get(&(class, name)) {
            return *known;
        }
        let owner = self.owner(world, class, name);
        let text = self.names.text(name);
        let mut found = Few::default();
        let mut derived = Vec::new();
        if !self.owners.contains(&(owner, name)) && self.method_called(world, class, name).is_none() {
            derived.clone_from(&world.class_entry(class).derived);
            derived.retain(|it| self.owners.contains(&(*it, name)));
        }
        if derived.is_empty() || derived.len() > MIXED_LIMIT {
            found.add(self.intern(world, Slot::Attribute(owner, text)));
        } else {
            derived.into_iter().for_each(|it| found.add(self.attribute(world, it, name)));
        }
        self.attributes.insert((class, name), found);
        found
    }

    pub fn text(&self, symbol: Symbol) -> &'a str {
        self.names.text(symbol)
    }

    /// What the name of a global stands for.
    pub(super) fn resolved_global(&mut self, world: &World<'a>, function: FnId, global: GlobalId) -> Symbol {
        let name = world.module_of(function).globals[global.index()].name;
        let symbol = self.names.of_function(world, function, name);
        self.names.meaning(world, symbol).resolved
    }

    /// Slots that a place is, or an element of which it is not: `[%x].a`, globals, captured locals.
    pub fn slots_of_place(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        place: &Place,
    ) -> Few<SlotId> {
        let mut found = Few::default();
        match (place.base, &*place.steps) {
            (Base::Global(global), []) => {
                let name = self.resolved_global(world, function, global);
                found.add(self.global_slot(world, name));
            }
            (Base::Outer(of, local), []) => {
                let of = world.function_of_module(world.entry(function).module, of);
                found.add(self.intern(world, Slot::Local(of, local)));
            }
            (Base::Class(class), [Step::Field { name, .. }]) => {
                let class = world.class_of_module(world.entry(function).module, class);
                let name = self.names.of_function(world, function, *name);
                found.add(self.attribute(world, class, name));
            }
            (Base::At(base), [Step::Field { name, .. }]) => {
                let name = self.names.of_function(world, function, *name);
                let blind = self.memo.blind();
                let classes = self.classes_of(world, library, function, base);
                for class in classes.iter() {
                    self.attributes(world, *class, name).into_iter().for_each(|it| found.add(it));
                }
                // Whose attribute it is may yet be found.
                if classes.is_empty() && self.memo.blind() == blind {
                    found.add(self.any_slot(world, name));
                }
            }
            _ => {}
        }
        found
    }

    /// Classes of the program that an operand may be an instance of (or is itself, for class attributes).
    pub fn classes_of(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
    ) -> Few<ClassRef> {
        let mut classes = Few::default();
        for at in self.operand_range(world, library, function, operand).indexes() {
            match self.memo.value(at) {
                Value::Instance(class) | Value::Class(class) => classes.add(class),
                Value::Of(slot) => {
                    self.stored_classes.get(slot.0 as usize).iter().for_each(|it| classes.add(*it));
                }
                _ => {}
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
    ) -> Few<FnId> {
        let mut functions = Few::default();
        for at in self.operand_range(world, library, function, operand).indexes() {
            match self.memo.value(at) {
                Value::Function(it) | Value::Method(it) => functions.add(it),
                Value::Of(slot) => {
                    self.stored_functions.get(slot.0 as usize).iter().for_each(|it| functions.add(*it));
                }
                _ => {}
            }
        }
        functions
    }

    /// What a call calls, as it was found when calls were linked.
    pub fn target_of(&self, call: CallId) -> Target<'a> {
        self.targets[call.index()]
    }

    pub fn returned(&self, function: FnId) -> &[Value] {
        self.returns.get(function.index())
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
                let symbol = self.names.of_function(world, function, *name);
                let resolved = self.names.meaning(world, symbol).resolved;
                self.named_target(world, resolved)
            }
            Callee::Method { receiver, name, class } => {
                match self.member_of_global(world, function, *receiver, *name) {
                    Some(it) => Target::Function(it),
                    None => Target::Method {
                        receiver: *receiver,
                        name: world.text(function, *name),
                        symbol: self.names.of_function(world, function, *name),
                        class: class.and_then(|it| self.class_named(world, function, it)),
                    },
                }
            }
            Callee::Value(value) => Target::Value(*value),
        }
    }

    /// What `new` of a class calls.
    pub fn new_target(&mut self, world: &World<'a>, function: FnId, class: Name) -> Target<'a> {
        let symbol = self.names.of_function(world, function, class);
        let meaning = self.names.meaning(world, symbol);
        match meaning.class {
            Some(class) => Target::Class(class),
            None => Target::Library(self.names.text(meaning.resolved), meaning.resolved),
        }
    }

    /// The function that a method of another file's variable is, where that one stands for a module or a class.
    fn member_of_global(
        &mut self,
        world: &World<'a>,
        function: FnId,
        receiver: Operand,
        name: Name,
    ) -> Option<FnId> {
        if world.family != Family::JavaScript {
            return None;
        }
        let Operand::Reg(reg) = receiver else { return None };
        let op = self.definition(function, reg)?;
        let OpKind::Load { from: Place { base: Base::Global(global), steps }, .. } = &op.kind else {
            return None;
        };
        if !steps.is_empty() {
            return None;
        }
        let of = self.resolved_global(world, function, *global);
        let name = self.names.of_function(world, function, name);
        let names = &self.names;
        *self
            .members
            .entry((of, name))
            .or_insert_with(|| world.function(&format!("{}.{}", names.text(of), names.text(name))))
    }

    pub(super) fn named_target(&mut self, world: &World<'a>, name: Symbol) -> Target<'a> {
        let meaning = self.names.meaning(world, name);
        match (meaning.class, meaning.function, meaning.member) {
            (Some(class), ..) => return Target::Class(class),
            (None, Some(function), _) => return Target::Function(function),
            (None, None, Some((of, short))) => {
                // What nothing is stored in is no variable, but something of the host.
                if let Some(Some(slot)) = self.global_slots.get(of.index())
                    && (world.family == Family::Python || !self.stored_in(*slot).is_empty())
                {
                    return Target::SlotMethod(*slot, short);
                }
            }
            _ => {}
        }
        Target::Library(self.names.text(name), name)
    }

    /// Attributes that are nodes: `event.target` where the parameter's name says that it is an event.
    pub(super) fn is_node_field(&self, world: &World<'a>, function: FnId, base: Operand, name: &str) -> bool {
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
                let Some(op) = self.definition(function, reg) else { return false };
                let OpKind::Load { from: Place { base: Base::Local(local), steps }, .. } = &op.kind else {
                    return false;
                };
                let local = world.text(function, world.entry(function).ir.locals[local.index()].name);
                steps.is_empty() && matches!(local, "e" | "ev" | "evt" | "event" | "entry" | "mutation")
            }
            _ => false,
        }
    }
}

/// Sources are shorter than 4 GiB, so that there are fewer things than numbers.
fn count(things: usize) -> u32 {
    u32::try_from(things).expect("fewer than 2^32 things come of a program")
}

fn remember(slots: &mut Vec<Option<SlotId>>, name: Symbol, slot: SlotId) {
    if slots.len() <= name.index() {
        slots.resize(name.index() + 1, None);
    }
    slots[name.index()] = Some(slot);
}

pub fn has_attribute(world: &World<'_>, function: FnId, name: &str) -> bool {
    world.entry(function).ir.attributes.iter().any(|it| world.text(function, *it) == name)
}
