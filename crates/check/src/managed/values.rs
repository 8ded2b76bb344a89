//! Where the value of a register or local comes from.
//!
//! Each register and local of the program is a node, evaluated once per round when it is first asked for:
//!
//! ```text
//! unknown --asked--> open --evaluated--> known
//! ```
//!
//! What is asked for while it is open depends on itself, as a local in `x = x.next` does: it is evaluated twice,
//! the second time with what the first gave. Invariant: a node is known only if nothing that it depends on was
//! open but itself; others are evaluated again when they are asked for alone. [`FUEL`] bounds what one question
//! may cost; nothing that lacked it is kept but the answer itself.

use super::few::VALUE_LIMIT;
use super::library::{Family, Library};
use super::objects::{Objects, Slot, Target, Value, has_attribute};
use super::world::{ClassRef, FnId, World};
use crate::ir::{Argument, Base, GlobalId, LocalId, Module, Name, Op, OpKind, Operand, Place, Reg, Step};

/// Nodes evaluated to answer one question.
const FUEL: u32 = 200;

/// A part of the arena; its values are different, so that there are few.
#[derive(Clone, Copy, Default)]
pub(super) struct Range {
    start: u32,
    count: u8,
}

const _: () = assert!(VALUE_LIMIT <= u8::MAX as usize && size_of::<Node>() == 8 && size_of::<Value>() == 8);

impl Range {
    pub(super) fn indexes(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + usize::from(self.count)
    }
}

#[derive(Clone, Copy)]
enum Node {
    Unknown,
    /// Its position in [`Memo::open`].
    Open(u32),
    /// A [`Range`], whose fields leave room for the tag here.
    Known {
        start: u32,
        count: u8,
    },
}

/// A node that is being evaluated.
#[derive(Clone, Copy, Default)]
struct Open {
    /// What the first evaluation gave.
    first: Option<Range>,
    /// It depends on itself.
    is_asked: bool,
}

/// What is known of all nodes in this round.
#[derive(Default)]
pub(super) struct Memo {
    /// Registers of all functions, then locals of all functions.
    nodes: Vec<Node>,
    arena: Vec<Value>,
    /// Values being collected; each evaluation has the part from some position on.
    scratch: Vec<Value>,
    open: Vec<Open>,
    /// The outermost open node that was asked for.
    lowest: u32,
    /// How often an open node was asked for of which nothing was known, or fuel was out.
    blind: u32,
    fuel: u32,
}

impl Memo {
    pub(super) fn new(nodes: usize) -> Memo {
        Memo { nodes: vec![Node::Unknown; nodes], lowest: u32::MAX, ..Memo::default() }
    }

    /// Makes all nodes unknown.
    pub(super) fn forget(&mut self) {
        self.nodes.fill(Node::Unknown);
        self.arena.clear();
    }

    pub(super) fn value(&self, at: usize) -> Value {
        self.arena[at]
    }

    pub(super) fn blind(&self) -> u32 {
        self.blind
    }

    fn add(&mut self, out: usize, value: Value) {
        if self.scratch.len() - out < VALUE_LIMIT && !self.scratch[out..].contains(&value) {
            self.scratch.push(value);
        }
    }

    fn add_all(&mut self, out: usize, range: Range) {
        for at in range.indexes() {
            self.add(out, self.arena[at]);
        }
    }

    fn keep(&mut self, out: usize) -> Range {
        let start = u32::try_from(self.arena.len()).expect("fewer than 2^32 values");
        let count = (self.scratch.len() - out) as u8;
        self.arena.extend_from_slice(&self.scratch[out..]);
        self.scratch.truncate(out);
        Range { start, count }
    }
}

/// What a node is evaluated from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Op(&'a Op),
    Local(LocalId),
}

impl<'a> Objects<'a> {
    /// Where an operand comes from.
    pub fn values(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
        out: &mut Vec<Value>,
    ) {
        let start = self.collect(world, library, function, operand);
        for at in start..self.memo.scratch.len() {
            let value = self.memo.scratch[at];
            if out.len() < VALUE_LIMIT && !out.contains(&value) {
                out.push(value);
            }
        }
        self.memo.scratch.truncate(start);
    }

    fn collect(&mut self, world: &World<'a>, library: &Library, function: FnId, operand: Operand) -> usize {
        let start = self.memo.scratch.len();
        self.add_operand(world, library, function, operand, start);
        start
    }

    fn add_operand(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
        out: usize,
    ) {
        match operand {
            Operand::Null => self.memo.add(out, Value::Null),
            Operand::Int(_) | Operand::Bool(_) => self.memo.add(out, Value::Number),
            Operand::String(_) => self.memo.add(out, Value::Text),
            Operand::Class(name) => {
                if let Some(class) = self.class_named(world, function, name) {
                    self.memo.add(out, Value::Class(class));
                }
            }
            Operand::Function(name) => {
                if let Some(it) = self.function_named(world, function, name) {
                    self.memo.add(out, Value::Function(it));
                }
            }
            Operand::Module(_) | Operand::Opaque => {}
            Operand::Reg(reg) => {
                let range = self.of_register(world, library, function, reg);
                self.memo.add_all(out, range);
            }
        }
    }

    pub(super) fn class_named(&mut self, world: &World<'a>, function: FnId, name: Name) -> Option<ClassRef> {
        let symbol = self.names.of_function(world, function, name);
        self.names.meaning(world, symbol).class
    }

    pub(super) fn function_named(&mut self, world: &World<'a>, function: FnId, name: Name) -> Option<FnId> {
        let symbol = self.names.of_function(world, function, name);
        self.names.meaning(world, symbol).function
    }

    /// Values of an operand, which stay there until the end of the round.
    pub(super) fn operand_range(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        operand: Operand,
    ) -> Range {
        match operand {
            Operand::Reg(reg) => self.of_register(world, library, function, reg),
            Operand::Opaque | Operand::Module(_) => Range::default(),
            _ => {
                let out = self.collect(world, library, function, operand);
                self.memo.keep(out)
            }
        }
    }

    fn of_register(&mut self, world: &World<'a>, library: &Library, function: FnId, reg: Reg) -> Range {
        let node = self.sites.register(function, reg);
        if let Node::Known { start, count } = self.memo.nodes[node] {
            return Range { start, count };
        }
        let Some(op) = self.definition(function, reg) else { return Range::default() };
        self.of_node(world, library, function, node, Source::Op(op))
    }

    fn of_local(&mut self, world: &World<'a>, library: &Library, function: FnId, local: LocalId) -> Range {
        let node = self.local_node(function, local);
        self.of_node(world, library, function, node, Source::Local(local))
    }

    fn of_node(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        node: usize,
        source: Source<'a>,
    ) -> Range {
        let memo = &mut self.memo;
        match memo.nodes[node] {
            Node::Known { start, count } => return Range { start, count },
            Node::Open(at) => {
                memo.lowest = memo.lowest.min(at);
                let open = &mut memo.open[at as usize];
                open.is_asked = true;
                memo.blind += u32::from(open.first.is_none());
                return open.first.unwrap_or_default();
            }
            Node::Unknown => {}
        }
        let depth = memo.open.len() as u32;
        if depth == 0 {
            memo.fuel = FUEL;
        }
        if memo.fuel == 0 {
            memo.lowest = 0;
            memo.blind += 1;
            return Range::default();
        }
        memo.fuel -= 1;
        let around = std::mem::replace(&mut memo.lowest, u32::MAX);
        memo.nodes[node] = Node::Open(depth);
        memo.open.push(Open::default());
        let mut range = self.evaluate(world, library, function, source);
        if self.memo.open[depth as usize].is_asked {
            self.memo.open[depth as usize].first = Some(range);
            range = self.evaluate(world, library, function, source);
        }
        let memo = &mut self.memo;
        memo.open.pop();
        let is_whole = memo.lowest >= depth;
        let Range { start, count } = range;
        memo.nodes[node] = if is_whole { Node::Known { start, count } } else { Node::Unknown };
        memo.lowest = if is_whole { around } else { around.min(memo.lowest) };
        range
    }

    fn evaluate(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        source: Source<'a>,
    ) -> Range {
        let out = self.memo.scratch.len();
        match source {
            Source::Local(local) => self.add_local(world, library, function, local, out),
            Source::Op(op) => match &op.kind {
                OpKind::Load { from: Place { base: Base::Local(local), steps }, .. } if steps.is_empty() => {
                    return self.of_local(world, library, function, *local);
                }
                OpKind::Load { from: Place { base: Base::Outer(of, local), steps }, .. }
                    if steps.is_empty() =>
                {
                    let of = world.function_of_module(world.entry(function).module, *of);
                    return self.of_local(world, library, of, *local);
                }
                kind => self.add_op(world, library, function, kind, out),
            },
        }
        self.memo.keep(out)
    }

    fn add_op(&mut self, world: &World<'a>, library: &Library, function: FnId, kind: &'a OpKind, out: usize) {
        match kind {
            OpKind::Load { from, .. } => self.add_place(world, library, function, from, out),
            OpKind::Phi { from, .. } => {
                for (_, operand) in from {
                    self.add_operand(world, library, function, *operand, out);
                }
            }
            OpKind::Container { kind, bound, .. } => {
                if let Some(model) = library.container(world.text(function, *kind)) {
                    let is_bounded = bound.is_some();
                    self.memo.add(out, Value::Container { model: model as u32, is_bounded });
                }
            }
            OpKind::New { class, args, .. } => {
                let target = self.new_target(world, function, *class);
                self.add_call(world, library, function, target, args, out);
            }
            OpKind::Closure { function: of, .. } => {
                let of = world.function_of_module(world.entry(function).module, *of);
                self.memo.add(out, Value::Function(of));
            }
            OpKind::Await { value, .. } => self.add_operand(world, library, function, *value, out),
            OpKind::Call { callee, args, .. } => {
                let target = self.target(world, function, callee);
                self.add_call(world, library, function, target, args, out);
            }
            _ => {}
        }
    }

    fn add_returned(&mut self, callee: FnId, out: usize) {
        for it in self.returns.get(callee.index()) {
            self.memo.add(out, *it);
        }
    }

    fn add_call(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        target: Target<'a>,
        args: &[Argument],
        out: usize,
    ) {
        match target {
            Target::Class(class) => self.memo.add(out, Value::Instance(class)),
            Target::Function(callee) => self.add_returned(callee, out),
            // `field(default_factory=list)` stands for what each object gets.
            Target::Library(name, _) if library.is_field(name) => {
                let factory = args.iter().find(|it| {
                    it.name
                        .is_some_and(|it| matches!(world.text(function, it), "default_factory" | "factory"))
                });
                if let Some(factory) = factory {
                    self.add_made(world, library, function, factory.value, out);
                }
            }
            Target::Library(name, symbol) => {
                let value = match library.container(name) {
                    Some(model) => {
                        let is_bounded = library.containers[model].is_bounded
                            || is_bound_given(world.module_of(function), library, model, args);
                        Value::Container { model: model as u32, is_bounded }
                    }
                    None => node_of_call(library, name).unwrap_or(Value::Made(symbol)),
                };
                self.memo.add(out, value);
            }
            Target::SlotMethod(slot, name) => {
                if library.is_element_method(name) {
                    self.memo.add(out, Value::ElementOf(slot));
                }
            }
            Target::Method { receiver, name: "bind", .. } if world.family == Family::JavaScript => {
                self.add_operand(world, library, function, receiver, out);
            }
            Target::Method { receiver, name: "__enter__" | "__aenter__", .. } => {
                self.add_operand(world, library, function, receiver, out);
            }
            Target::Method { receiver, name, symbol, class } => {
                let class = class.or_else(|| self.class_of(world, library, function, receiver));
                if let Some(callee) = class.and_then(|it| self.method_called(world, it, symbol)) {
                    return self.add_returned(callee, out);
                }
                if let Some(node) = node_of_call(library, name) {
                    return self.memo.add(out, node);
                }
                if library.is_element_method(name) {
                    let of = self.operand_range(world, library, function, receiver);
                    for at in of.indexes() {
                        if let Value::Of(slot) | Value::ElementOf(slot) = self.memo.arena[at] {
                            self.memo.add(out, Value::ElementOf(slot));
                        }
                    }
                }
            }
            Target::Value(value) => {
                let of = self.operand_range(world, library, function, value);
                for at in of.indexes() {
                    match self.memo.arena[at] {
                        Value::Class(class) => self.memo.add(out, Value::Instance(class)),
                        Value::Function(callee) | Value::Method(callee) => self.add_returned(callee, out),
                        _ => {}
                    }
                }
            }
        }
    }

    /// What calling an operand without arguments gives.
    fn add_made(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        factory: Operand,
        out: usize,
    ) {
        let target = match factory {
            Operand::Class(name) | Operand::Function(name) => {
                let symbol = self.names.of_function(world, function, name);
                self.named_target(world, symbol)
            }
            _ => Target::Value(factory),
        };
        self.add_call(world, library, function, target, &[], out);
    }

    fn add_place(&mut self, world: &World<'a>, library: &Library, function: FnId, place: &Place, out: usize) {
        match (place.base, &*place.steps) {
            (Base::At(base), [Step::Index { .. }]) => {
                let of = self.operand_range(world, library, function, base);
                for at in of.indexes() {
                    match self.memo.arena[at] {
                        Value::Of(slot) | Value::ElementOf(slot) => {
                            self.memo.add(out, Value::ElementOf(slot));
                        }
                        Value::Nodes => self.memo.add(out, Value::Node),
                        _ => {}
                    }
                }
            }
            (Base::At(base), [Step::Field { name, .. }])
                if library.family == Family::JavaScript
                    && self.is_node_field(world, function, base, world.text(function, *name)) =>
            {
                self.memo.add(out, Value::Node);
            }
            (Base::Global(global), []) => {
                let value = self.global_value(world, function, global);
                self.memo.add(out, value);
            }
            _ => {
                for slot in self.slots_of_place(world, library, function, place) {
                    match self.slot_methods[slot.0 as usize] {
                        Some(method) => self.add_method(world, method, out),
                        None => self.memo.add(out, Value::Of(slot)),
                    }
                }
            }
        }
    }

    /// A function or class that is loaded by its name, or the variable.
    fn global_value(&mut self, world: &World<'a>, function: FnId, global: GlobalId) -> Value {
        let resolved = self.resolved_global(world, function, global);
        let meaning = self.names.meaning(world, resolved);
        match (meaning.class, meaning.function) {
            (Some(class), _) => Value::Class(class),
            (None, Some(function)) => Value::Function(function),
            (None, None) => Value::Of(self.global_slot(world, resolved)),
        }
    }

    /// A bound method, or what a property gives.
    fn add_method(&mut self, world: &World<'a>, method: FnId, out: usize) {
        let ir = world.entry(method).ir;
        let is_property = ir.attributes.iter().any(|it| {
            let name = world.text(method, *it);
            name == "property" || name.ends_with("cached_property")
        });
        match is_property {
            true => self.add_returned(method, out),
            false => self.memo.add(out, Value::Method(method)),
        }
    }

    fn add_local(
        &mut self,
        world: &World<'a>,
        library: &Library,
        function: FnId,
        local: LocalId,
        out: usize,
    ) {
        let entry = world.entry(function);
        if let Some(position) = entry.ir.parameters.iter().position(|it| *it == local) {
            if position == 0
                && let Some(class) = entry.class
                && !has_attribute(world, function, "staticmethod")
            {
                let is_class =
                    has_attribute(world, function, "classmethod") || world.short_name(function) == "__new__";
                let value = if is_class { Value::Class(class) } else { Value::Instance(class) };
                self.memo.add(out, value);
            }
            let key = self.first_parameter[function.index()] as usize + position;
            for it in self.parameters.get(key) {
                self.memo.add(out, *it);
            }
        }
        let given = self.memo.scratch.len();
        let index = self.local_index(function, local);
        for at in 0..self.stores.get(index).len().min(VALUE_LIMIT) {
            let (_, operand) = self.stores.get(index)[at];
            self.add_operand(world, library, function, operand, out);
        }
        if self.memo.scratch[given..].iter().any(|it| matches!(it, Value::Container { .. })) {
            let slot = self.intern(world, Slot::Local(function, local));
            self.memo.add(out, Value::Of(slot));
        }
    }
}

/// The nodes that a function of the document gives.
fn node_of_call(library: &Library, name: &str) -> Option<Value> {
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
