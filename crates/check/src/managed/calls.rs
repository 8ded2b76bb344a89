//! Who calls whom, and how often a function runs.
//!
//! A function's [`Rate`] is the greatest of its calls'. Calls in a loop that never ends give
//! [`Rate::Endless`]; what a library calls for each event gives [`Rate::Event`]; what only a module's own code
//! reaches runs once. Functions that nothing calls may be called by anyone.

use super::few::Few;
use super::library::{Family, Library};
use super::objects::{Objects, Target, Value};
use super::sites::{Kinds, Site};
use super::world::{FnId, World};
use crate::ir::{BlockId, Callee, End, Function, OpKind, Operand, Place, ReadKind, Step};
use rustc_hash::{FxHashMap, FxHashSet};

/// How often something runs while the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rate {
    /// While modules are loaded or the program is set up.
    Startup,
    /// Nothing in the program says; anyone may call it.
    Anyone,
    /// In a loop, again and again.
    Call,
    /// For each event, request or message.
    Event,
    /// Again and again in a loop that never ends.
    Endless,
}

/// How a block repeats within its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repeat {
    Once,
    /// In a loop over something that the source lists.
    Listed,
    Loop,
    /// In a loop without exit, or one that only a stop flag ends.
    Endless,
}

pub struct Calls {
    rates: Vec<Rate>,
    /// Runs only while an object of its class is constructed.
    is_construction: Vec<bool>,
    /// Blocks in loops, by function; functions without loops have none.
    repeats: Vec<Option<Box<[Repeat]>>>,
    pub callers: Vec<Vec<Caller>>,
    pub callees: Vec<Vec<FnId>>,
    /// Its address or itself as a bound method is handed around.
    pub is_taken: Vec<bool>,
    /// Run as threads' main functions.
    pub spawned: Vec<FnId>,
}

#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub function: FnId,
    pub repeat: Repeat,
    /// Found by the method's name alone.
    pub is_guess: bool,
}

/// More methods of one name than this are not told apart by the name.
const GUESS_LIMIT: usize = 4;

impl Calls {
    pub fn new<'a>(world: &World<'a>, objects: &mut Objects<'a>, library: &Library) -> Calls {
        let count = world.functions.len();
        let mut it = Calls {
            rates: vec![Rate::Startup; count],
            is_construction: vec![false; count],
            repeats: Vec::with_capacity(count),
            callers: (0..count).map(|_| Vec::new()).collect(),
            callees: (0..count).map(|_| Vec::new()).collect(),
            is_taken: vec![false; count],
            spawned: Vec::new(),
        };
        let mut events = FxHashSet::default();
        it.link(world, objects, library, &mut events);
        for callers in &mut it.callers {
            callers.dedup_by_key(|it| (it.function, it.repeat));
        }
        it.find_rates(world, library, &events);
        it.find_construction(world);
        it
    }

    pub fn rate(&self, function: FnId) -> Rate {
        self.rates[function.index()]
    }

    pub fn is_construction(&self, function: FnId) -> bool {
        self.is_construction[function.index()]
    }

    pub fn repeat(&self, function: FnId, block: BlockId) -> Repeat {
        self.repeats[function.index()].as_ref().map_or(Repeat::Once, |it| it[block.index()])
    }

    /// Whether a function has a loop without end.
    pub fn has_endless_loop(&self, function: FnId) -> bool {
        self.repeats[function.index()].as_ref().is_some_and(|it| it.contains(&Repeat::Endless))
    }

    /// How often one block runs.
    pub fn rate_of_block(&self, function: FnId, block: BlockId) -> Rate {
        match self.repeat(function, block) {
            Repeat::Endless => Rate::Endless,
            _ => self.rate(function),
        }
    }

    fn link<'a>(
        &mut self,
        world: &World<'a>,
        objects: &mut Objects<'a>,
        library: &Library,
        events: &mut FxHashSet<FnId>,
    ) {
        let by_name = methods_by_name(world);
        for at in 0..world.functions.len() {
            let function = FnId(at as u32);
            let ir = world.entry(function).ir;
            let repeats = loops(world, objects, function, ir);
            let repeat_of = |block: BlockId| repeats.as_ref().map_or(Repeat::Once, |it| it[block.index()]);
            for Site { block, op, .. } in world.sites(function, Kinds::ALL) {
                let (target, args) = match &op.kind {
                    OpKind::Call { callee, args, .. } => (objects.target(world, function, callee), &args[..]),
                    OpKind::New { class, args, .. } => {
                        (objects.new_target(world, function, *class), &args[..])
                    }
                    OpKind::Load { from, .. } => {
                        self.property(world, objects, library, function, from, repeat_of(block));
                        continue;
                    }
                    OpKind::Store { value, .. } => {
                        self.take(world, objects, library, function, *value);
                        continue;
                    }
                    OpKind::Grow { value: Some(value), .. } => {
                        self.take(world, objects, library, function, *value);
                        continue;
                    }
                    _ => continue,
                };
                objects.targets.push(target);
                self.call(world, objects, library, function, target, repeat_of(block), &by_name);
                let is_event = is_event_call(world, objects, library, function, target);
                let spawns = matches!(target, Target::Library(name, _) if library.spawns(name));
                if let Some(repeat) = calls_back(library, target, repeat_of(block)) {
                    for argument in args {
                        for to in objects.functions_of(world, library, function, argument.value) {
                            self.edge(function, to, repeat, false);
                        }
                    }
                    continue;
                }
                for argument in args {
                    for taken in self.take(world, objects, library, function, argument.value) {
                        if is_event {
                            events.insert(taken);
                        }
                        if spawns {
                            self.spawned.push(taken);
                        }
                    }
                }
            }
            for value in world.returned(function) {
                self.take(world, objects, library, function, *value);
            }
            self.repeats.push(repeats.map(Vec::into_boxed_slice));
        }
    }

    /// Functions that a value is: they may be called by whoever gets it.
    fn take<'a>(
        &mut self,
        world: &World<'a>,
        objects: &mut Objects<'a>,
        library: &Library,
        function: FnId,
        value: Operand,
    ) -> Few<FnId> {
        if !matches!(value, Operand::Reg(_) | Operand::Function(_)) {
            return Few::default();
        }
        let found = objects.functions_of(world, library, function, value);
        found.iter().for_each(|it| self.is_taken[it.index()] = true);
        found
    }

    /// Loading a property calls it.
    fn property<'a>(
        &mut self,
        world: &World<'a>,
        objects: &mut Objects<'a>,
        library: &Library,
        function: FnId,
        from: &Place,
        repeat: Repeat,
    ) {
        let (crate::ir::Base::At(base), [Step::Field { name, .. }]) = (from.base, &*from.steps) else {
            return;
        };
        if !objects.is_method_name(world, function, *name) {
            return;
        }
        let name = world.text(function, *name);
        for class in objects.classes_of(world, library, function, base) {
            if let Some(method) = objects.method(world, class, name) {
                self.edge(function, method, repeat, false);
            }
        }
    }

    fn edge(&mut self, from: FnId, to: FnId, repeat: Repeat, is_guess: bool) {
        self.callers[to.index()].push(Caller { function: from, repeat, is_guess });
        self.callees[from.index()].push(to);
    }

    #[allow(clippy::too_many_arguments)]
    fn call<'a>(
        &mut self,
        world: &World<'a>,
        objects: &mut Objects<'a>,
        library: &Library,
        function: FnId,
        target: Target<'a>,
        repeat: Repeat,
        by_name: &FxHashMap<&'a str, Vec<FnId>>,
    ) {
        match target {
            Target::Function(to) => self.edge(function, to, repeat, false),
            Target::Class(class) => {
                for name in ["__init__", "__new__", "__post_init__", "constructor"] {
                    if let Some(to) = objects.method(world, class, name) {
                        self.edge(function, to, repeat, false);
                    }
                }
            }
            Target::Method { receiver, name, symbol, class } => {
                let mut classes = objects.classes_of(world, library, function, receiver);
                class.into_iter().for_each(|it| classes.add(it));
                let mut is_known = false;
                for class in classes {
                    if let Some(to) = objects.method_called(world, class, symbol) {
                        self.edge(function, to, repeat, false);
                        is_known = true;
                    }
                    for to in world.overrides(class, name) {
                        self.edge(function, to, repeat, false);
                        is_known = true;
                    }
                }
                if !is_known && let Some(methods) = by_name.get(name).filter(|it| it.len() <= GUESS_LIMIT) {
                    for to in methods {
                        self.edge(function, *to, repeat, true);
                    }
                }
            }
            Target::SlotMethod(slot, name) => {
                let classes: Vec<_> = objects
                    .stored_in(slot)
                    .iter()
                    .filter_map(|it| match it.value {
                        Value::Instance(class) => Some(class),
                        _ => None,
                    })
                    .collect();
                for class in classes {
                    if let Some(to) = world.method(class, name) {
                        self.edge(function, to, repeat, false);
                    }
                }
            }
            Target::Value(value) => {
                for to in objects.functions_of(world, library, function, value) {
                    self.edge(function, to, repeat, false);
                }
            }
            Target::Library(_, _) => {}
        }
    }

    fn find_rates(&mut self, world: &World<'_>, library: &Library, events: &FxHashSet<FnId>) {
        let mut work = Vec::new();
        for at in 0..world.functions.len() {
            let function = FnId(at as u32);
            let rate = self.first_rate(world, library, function, events);
            self.rates[at] = rate;
            if rate > Rate::Startup {
                work.push(function);
            }
        }
        // Calls in loops, and whatever a function of some rate calls.
        for at in 0..world.functions.len() {
            for caller in self.callers[at].clone() {
                let rate = match caller.repeat {
                    Repeat::Endless if !caller.is_guess => Rate::Endless,
                    Repeat::Endless | Repeat::Loop if caller.is_guess => Rate::Anyone,
                    Repeat::Endless | Repeat::Loop => Rate::Call,
                    Repeat::Once | Repeat::Listed => continue,
                };
                self.raise(FnId(at as u32), rate, &mut work);
            }
        }
        while let Some(function) = work.pop() {
            let rate = self.rates[function.index()];
            for to in self.callees[function.index()].clone() {
                let is_sure =
                    self.callers[to.index()].iter().any(|it| it.function == function && !it.is_guess);
                self.raise(to, if is_sure { rate } else { rate.min(Rate::Anyone) }, &mut work);
            }
        }
    }

    fn raise(&mut self, function: FnId, rate: Rate, work: &mut Vec<FnId>) {
        if self.rates[function.index()] < rate {
            self.rates[function.index()] = rate;
            work.push(function);
        }
    }

    fn first_rate(
        &self,
        world: &World<'_>,
        library: &Library,
        function: FnId,
        events: &FxHashSet<FnId>,
    ) -> Rate {
        let name = world.short_name(function);
        if world.is_module_code(function) || matches!(name, "main" | "__init_subclass__" | "__set_name__") {
            return Rate::Startup;
        }
        if events.contains(&function)
            || is_library_called(world, library, function)
            || has_event_parameters(world, library, function)
        {
            return Rate::Event;
        }
        let is_spawned = self.spawned.contains(&function);
        let is_test = name.starts_with("test_") || matches!(name, "setUp" | "setUpClass" | "tearDown");
        let is_unknown = self.callers[function.index()].is_empty() || self.is_taken[function.index()];
        match is_unknown && !is_spawned && !is_test {
            true => Rate::Anyone,
            false => Rate::Startup,
        }
    }

    fn find_construction(&mut self, world: &World<'_>) {
        for at in 0..world.functions.len() {
            self.is_construction[at] = is_constructor(world.short_name(FnId(at as u32)));
        }
        for class in &world.classes {
            if let Some(constructor) = class.methods.get("constructor") {
                self.is_construction[constructor.index()] = true;
            }
        }
        let mut is_changed = true;
        while is_changed {
            is_changed = false;
            for at in 0..world.functions.len() {
                if self.is_construction[at] || self.is_taken[at] || self.callers[at].is_empty() {
                    continue;
                }
                let entry = &world.functions[at];
                let is_part =
                    entry.class.is_some() || world.family == Family::JavaScript && entry.ir.parent.is_some();
                let is_only = is_part
                    && self.callers[at].iter().all(|it| {
                        self.is_construction[it.function.index()] && world.entry(it.function).class.is_some()
                    });
                if is_only {
                    self.is_construction[at] = true;
                    is_changed = true;
                }
            }
        }
    }
}

/// Methods that make an object what it is.
pub fn is_constructor(name: &str) -> bool {
    matches!(
        name,
        "__init__" | "__new__" | "__post_init__" | "__setstate__" | "setUp" | "setUpClass" | "constructor"
    )
}

fn methods_by_name<'a>(world: &World<'a>) -> FxHashMap<&'a str, Vec<FnId>> {
    let mut found: FxHashMap<&str, Vec<FnId>> = FxHashMap::default();
    for (at, entry) in (0u32..).zip(&world.functions) {
        if entry.class.is_some() {
            found.entry(world.short_name(FnId(at))).or_default().push(FnId(at));
        }
    }
    found
}

/// Whether a call registers its arguments for events.
fn is_event_call<'a>(
    world: &World<'a>,
    objects: &mut Objects<'a>,
    library: &Library,
    function: FnId,
    target: Target<'a>,
) -> bool {
    match target {
        Target::Method { name, class: None, .. } => library.is_event_method(name),
        Target::Library(name, _) => {
            name.rsplit_once('.').is_some_and(|it| library.is_event_method(it.1))
                || library.is_event_function(name)
        }
        Target::SlotMethod(_, name) => library.is_event_method(name),
        // A decorator with arguments: `@app.route("/")`.
        Target::Value(Operand::Reg(reg)) => match objects.definition(function, reg).map(|it| &it.kind) {
            Some(OpKind::Call { callee: Callee::Method { name, .. }, .. }) => {
                library.is_event_method(world.text(function, *name))
            }
            Some(OpKind::Call { callee: Callee::Direct(name), .. }) => {
                let name = world.text(function, *name);
                name.rsplit_once('.').is_some_and(|it| library.is_event_method(it.1))
            }
            _ => false,
        },
        _ => false,
    }
}

/// How often a call calls its arguments, if it calls them before it returns or once at most.
fn calls_back(library: &Library, target: Target<'_>, repeat: Repeat) -> Option<Repeat> {
    let (short, is_function) = match target {
        Target::Method { name, .. } | Target::SlotMethod(_, name) => (name, false),
        Target::Library(name, _) => (name, true),
        _ => return None,
    };
    let last = short.rsplit('.').next().unwrap_or(short);
    if library.iterates(last) && (!is_function || short.contains('.')) {
        return Some(repeat.max(Repeat::Listed));
    }
    let is_once = if is_function { library.is_once_function(short) } else { library.is_once_method(last) };
    is_once.then_some(repeat)
}

/// Whether parameters are called as those of handlers of requests are.
fn has_event_parameters(world: &World<'_>, library: &Library, function: FnId) -> bool {
    let entry = world.entry(function);
    let first = usize::from(entry.class.is_some());
    let [one, two, ..] = &entry.ir.parameters[first.min(entry.ir.parameters.len())..] else { return false };
    let name = |it: &crate::ir::LocalId| world.text(function, entry.ir.locals[it.index()].name);
    library.are_event_parameters(name(one), name(two))
}

/// Methods that a library's base class calls for each request or event.
fn is_library_called(world: &World<'_>, library: &Library, function: FnId) -> bool {
    let Some(class) = world.entry(function).class else { return false };
    let name = world.short_name(function);
    let is_handler = name.starts_with("do_")
        || matches!(
            name,
            "handle" | "get" | "post" | "put" | "delete" | "patch" | "dispatch" | "list" | "create"
        );
    if is_handler && world.has_base(class, |it| library.is_handler_base(it)) {
        return true;
    }
    let is_listener = name.starts_with("on_")
        || name.starts_with("handle_")
        || matches!(name, "data_received" | "datagram_received" | "emit" | "filter" | "dispatch");
    is_listener && world.has_base(class, |it| library.is_listener_base(it))
}

/// Repetition of each block; `None` where there is no loop.
fn loops<'a>(
    world: &World<'a>,
    objects: &mut Objects<'a>,
    function: FnId,
    ir: &'a Function,
) -> Option<Vec<Repeat>> {
    // Each loop has a block that goes back.
    if !world.sites.goes_back(function) {
        return None;
    }
    let components = loop_components(ir);
    let mut repeats = vec![Repeat::Once; ir.blocks.len()];
    for component in &components {
        let repeat = repeat_of(world, objects, function, ir, component);
        component.iter().for_each(|it| repeats[*it] = repeat);
        for block in handlers_that_go_on(ir, component) {
            repeats[block] = repeats[block].max(repeat);
        }
    }
    (!components.is_empty()).then_some(repeats)
}

/// Blocks of exception handlers after which a loop goes on: they run as often as it does.
fn handlers_that_go_on(ir: &Function, component: &[usize]) -> Vec<usize> {
    let inside: FxHashSet<usize> = component.iter().copied().collect();
    let starts = component.iter().filter_map(|it| ir.blocks[*it].unwind).map(|it| it.index());
    let mut work: Vec<usize> = starts.filter(|it| !inside.contains(it)).collect();
    let mut seen = FxHashSet::default();
    let mut into: FxHashMap<usize, Vec<usize>> = FxHashMap::default();
    let mut back = Vec::new();
    while let Some(at) = work.pop() {
        if !seen.insert(at) {
            continue;
        }
        let mut goes_on = false;
        ir.blocks[at].end.each_target(|to| match inside.contains(&to.index()) {
            true => goes_on = true,
            false => {
                into.entry(to.index()).or_default().push(at);
                work.push(to.index());
            }
        });
        if goes_on {
            back.push(at);
        }
    }
    let mut found = FxHashSet::default();
    while let Some(at) = back.pop() {
        if found.insert(at) {
            back.extend(into.get(&at).into_iter().flatten());
        }
    }
    let mut found: Vec<usize> = found.into_iter().collect();
    found.sort_unstable();
    found
}

fn repeat_of<'a>(
    world: &World<'a>,
    objects: &mut Objects<'a>,
    function: FnId,
    ir: &'a Function,
    component: &[usize],
) -> Repeat {
    let inside: FxHashSet<usize> = component.iter().copied().collect();
    let mut is_endless = true;
    let mut is_listed = false;
    for &block in component {
        let block = &ir.blocks[block];
        is_endless &= block.unwind.is_none_or(|it| {
            inside.contains(&it.index()) || !handler_leaves(world, function, ir, it.index(), &inside)
        });
        let mut leaves = false;
        block.end.each_target(|it| leaves |= !inside.contains(&it.index()));
        if leaves {
            let is_flag = match &block.end {
                End::Branch { condition, .. } => is_stop_flag(world, objects, function, *condition, 4),
                _ => false,
            };
            is_endless &= is_flag;
            for op in &block.ops {
                if let OpKind::Read { container, how: ReadKind::Iterate } = op.kind {
                    is_listed |= is_listed_in_source(world, objects, function, container);
                }
            }
        }
    }
    match (is_endless, is_listed) {
        (true, _) => Repeat::Endless,
        (false, true) => Repeat::Listed,
        (false, false) => Repeat::Loop,
    }
}

/// Whether an exception handler leads on to code after the loop. One for interrupts, or that raises again, does
/// not: the program ends there.
fn handler_leaves(
    world: &World<'_>,
    function: FnId,
    ir: &Function,
    handler: usize,
    inside: &FxHashSet<usize>,
) -> bool {
    let mut seen = FxHashSet::default();
    let mut work = vec![handler];
    while let Some(at) = work.pop() {
        if inside.contains(&at) || !seen.insert(at) {
            continue;
        }
        let block = &ir.blocks[at];
        match &block.end {
            End::Return(_) => return true,
            End::Branch { condition, other, .. }
                if is_interrupt_test(world, function, &block.ops, *condition) =>
            {
                work.push(other.index());
            }
            end => end.each_target(|it| work.push(it.index())),
        }
    }
    false
}

/// `except KeyboardInterrupt`.
fn is_interrupt_test(world: &World<'_>, function: FnId, ops: &[crate::ir::Op], condition: Operand) -> bool {
    ops.iter().any(|op| match op.kind {
        OpKind::Binary { to, op: crate::ir::Binary::IsA, right: Operand::Class(class), .. } => {
            let name = world.text(function, class);
            Operand::Reg(to) == condition
                && matches!(
                    name.rsplit('.').next().unwrap_or(name),
                    "KeyboardInterrupt" | "SystemExit" | "GeneratorExit" | "CancelledError"
                )
        }
        _ => false,
    })
}

/// A literal, or a variable of a module.
fn is_listed_in_source<'a>(
    world: &World<'a>,
    objects: &Objects<'a>,
    function: FnId,
    container: Operand,
) -> bool {
    let Operand::Reg(reg) = container else { return true };
    let Some(op) = objects.definition(function, reg) else { return false };
    match &op.kind {
        OpKind::Container { .. } => true,
        OpKind::Load { from: Place { base: crate::ir::Base::Global(_), .. }, .. } => true,
        OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. } => {
            let name = world.text(function, *name);
            matches!(name, "items" | "keys" | "values")
                && is_listed_in_source(world, objects, function, *receiver)
        }
        _ => false,
    }
}

/// A condition that reads nothing but a flag which stops the loop: `self.running`, `not stop.is_set()`.
fn is_stop_flag<'a>(
    world: &World<'a>,
    objects: &Objects<'a>,
    function: FnId,
    condition: Operand,
    depth: u32,
) -> bool {
    let Operand::Reg(reg) = condition else { return false };
    let Some(op) = objects.definition(function, reg) else { return false };
    match &op.kind {
        OpKind::Unary { value, .. } if depth > 0 => is_stop_flag(world, objects, function, *value, depth - 1),
        OpKind::Call { callee: Callee::Method { name, .. }, .. } => {
            matches!(world.text(function, *name), "is_set" | "isSet" | "wait")
        }
        OpKind::Load { from, .. } => match (&from.base, &*from.steps) {
            (crate::ir::Base::At(_), [Step::Field { name, .. }]) => is_flag_name(world.text(function, *name)),
            (crate::ir::Base::Global(global), []) => {
                let module = world.module_of(function);
                let name = module.name(module.globals[global.index()].name);
                is_flag_name(name.rsplit('.').next().unwrap_or(name))
            }
            _ => false,
        },
        _ => false,
    }
}

fn is_flag_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["run", "stop", "alive", "active", "shutdown", "quit", "exit", "keep", "enabled", "started", "terminate"]
        .iter()
        .any(|it| name.contains(it))
}

/// Strongly connected components of a function's graph without exceptions' edges, but for blocks that do not lead to
/// themselves.
fn loop_components(ir: &Function) -> Vec<Vec<usize>> {
    let count = ir.blocks.len();
    let mut index = vec![u32::MAX; count];
    let mut low = vec![0u32; count];
    let mut is_on_stack = vec![false; count];
    let (mut stack, mut found, mut next) = (Vec::new(), Vec::new(), 0u32);
    let mut work = Vec::new();
    for root in 0..count {
        if index[root] != u32::MAX {
            continue;
        }
        work.push((root, 0usize));
        while let Some((block, edge)) = work.pop() {
            if edge == 0 {
                (index[block], low[block]) = (next, next);
                next += 1;
                stack.push(block);
                is_on_stack[block] = true;
            }
            if let Some(to) = ir.blocks[block].end.target(edge) {
                let to = to.index();
                work.push((block, edge + 1));
                if index[to] == u32::MAX {
                    work.push((to, 0));
                } else if is_on_stack[to] {
                    low[block] = low[block].min(index[to]);
                }
                continue;
            }
            if low[block] == index[block] {
                let start = stack.iter().rposition(|it| *it == block).unwrap_or(0);
                stack[start..].iter().for_each(|it| is_on_stack[*it] = false);
                let mut leads_to_itself = false;
                ir.blocks[block].end.each_target(|it| leads_to_itself |= it.index() == block);
                if stack.len() - start > 1 || leads_to_itself {
                    found.push(stack[start..].iter().rev().copied().collect());
                }
                stack.truncate(start);
            }
            if let Some((parent, _)) = work.last() {
                low[*parent] = low[*parent].min(low[block]);
            }
        }
    }
    found
}
