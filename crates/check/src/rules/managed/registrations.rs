//! `retained-object`: listeners, subscriptions and timers that nothing takes back.
//!
//! ```text
//! calls --registrations, removals--> unmatched ones --whose is it, how often--> findings
//! ```
//!
//! A registration is matched by a removal of the same event and the same function, or of what registering gave,
//! anywhere in the program. What is handed on is somebody else's. Of those without a match the ones count that
//! are made again and again on something that lives on: for each event, with each object of a class that comes and
//! goes, with each effect of a component. What the module's own code registers once is meant to stay.

use crate::finding::Found;
use crate::ir::{Argument, Base, BlockId, Callee, End, LocalId, OpKind, Operand, Place, Span, Step};
use crate::managed::{
    Age, ClassRef, Few, FnId, Kinds, Managed, Rate, RegistrationModel, Site, Slot, SlotId, Target, Value,
};
use heapwise_model::{Confidence, Kind, Rule, Severity};
use rustc_hash::FxHashSet;

/// Functions within functions that are looked through.
const NESTING_LIMIT: usize = 12;

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    let mut rule = Registrations {
        managed,
        made: Vec::new(),
        removals: Vec::new(),
        effects: Vec::new(),
        ends: Vec::new(),
        fields_called: FxHashSet::default(),
    };
    for function in rule.managed.world.ids() {
        rule.collect(function);
    }
    for registration in std::mem::take(&mut rule.made) {
        if !rule.is_removed(&registration) {
            found.extend(rule.judge(&registration));
        }
    }
}

/// Where something is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key<'a> {
    Slot(SlotId),
    Local(FnId, LocalId),
    /// An attribute of this name, of whatever object.
    Field(&'a str),
    Function(FnId),
}

/// What something is registered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner<'a> {
    /// It lives as long as the program.
    Global(&'a str),
    Slot(SlotId),
    /// What another module gives as itself: there is one of it, and it is taken to live on.
    Module(&'a str),
    /// A parameter of a constructor, or an attribute that one was stored in.
    Given,
    Unknown,
    /// A timer is nobody's.
    None,
}

struct Registration<'a> {
    function: FnId,
    block: BlockId,
    span: Span,
    model: &'a RegistrationModel,
    event: Option<&'a str>,
    owner: Owner<'a>,
    /// The function that is kept.
    callback: Option<Operand>,
    /// By which it can be taken back.
    keys: Vec<Key<'a>>,
    /// The function is made where it is registered: no other code has it.
    is_fresh: bool,
    /// What it gave is handed to code that may take it back.
    is_handed_on: bool,
}

struct Removal<'a> {
    model: &'a RegistrationModel,
    event: Option<&'a str>,
    /// Of all functions.
    is_all: bool,
    is_fresh: bool,
    keys: Vec<Key<'a>>,
}

struct Registrations<'m, 'a> {
    managed: &'m mut Managed<'a>,
    made: Vec<Registration<'a>>,
    removals: Vec<Removal<'a>>,
    /// Functions that run with a component.
    effects: Vec<FnId>,
    /// Functions in which something is said to run when a component ends.
    ends: Vec<FnId>,
    /// Names of attributes that are called.
    fields_called: FxHashSet<&'a str>,
}

impl<'a> Registrations<'_, 'a> {
    fn collect(&mut self, function: FnId) {
        for Site { block, op, call, .. } in self.managed.world.sites(function, Kinds::CALL) {
            let (OpKind::Call { args, .. } | OpKind::New { args, .. }) = &op.kind else { continue };
            let (to, target) = (op.kind.written(), self.managed.target_of(call));
            if let Target::Value(value) = target {
                // `const stop = watch(...); stop()`.
                let keys = self.keys(function, value);
                self.removals.extend(
                    self.managed.library.registrations.iter().filter(|it| it.by_result).map(|model| {
                        Removal { model, event: None, is_all: false, is_fresh: false, keys: keys.clone() }
                    }),
                );
                continue;
            }
            self.effect(function, target, args);
            self.called_attribute(target);
            let (receiver, name, is_function) = match target {
                Target::Method { receiver, name, .. } => (Some(receiver), name, false),
                Target::SlotMethod(_, name) => (None, name, false),
                Target::Library(name, _) => (None, name, true),
                _ => continue,
            };
            let library = self.managed.library;
            let short = name.rsplit('.').next().unwrap_or(name);
            for model in &library.registrations {
                let is_add = model.add_functions.iter().any(|it| it == name)
                    || matches!(op.kind, OpKind::New { .. }) && model.classes.iter().any(|it| it == name)
                    || (!is_function || short != name) && model.add.iter().any(|it| it == short);
                let is_remove = model.remove_functions.iter().any(|it| it == name)
                    || model.remove.iter().any(|it| it == short);
                if is_add {
                    let at = (block, op.span);
                    self.registration(function, at, model, target, args, to.map(Operand::Reg));
                } else if is_remove {
                    self.removal(function, model, receiver, args, short);
                }
            }
        }
    }

    /// `this.stop()`, where `stop` is what registering gave.
    fn called_attribute(&mut self, target: Target<'a>) {
        let (Target::Method { name, class: None, .. } | Target::SlotMethod(_, name)) = target else { return };
        if !self.fields_called.insert(name) {
            return;
        }
        for model in self.managed.library.registrations.iter().filter(|it| it.gives_function) {
            let keys = vec![Key::Field(name)];
            self.removals.push(Removal { model, event: None, is_all: false, is_fresh: false, keys });
        }
    }

    fn effect(&mut self, function: FnId, target: Target<'a>, args: &[Argument]) {
        let Target::Library(name, _) = target else { return };
        if self.managed.library.is_effect_end(name) {
            self.ends.push(function);
        }
        if self.managed.library.is_effect(name)
            && let Some(first) = args.first()
        {
            let functions = self.managed.functions_of(function, first.value);
            self.effects.extend(functions);
        }
    }

    fn registration(
        &mut self,
        function: FnId,
        (block, span): (BlockId, Span),
        model: &'a RegistrationModel,
        target: Target<'a>,
        args: &[Argument],
        result: Option<Operand>,
    ) {
        let callback = args.get(model.callback).map(|it| it.value);
        let is_timer = model.kind == "timer" || !model.classes.is_empty();
        let event = match args.first().map(|it| it.value) {
            Some(Operand::String(name)) if model.callback > 0 => Some(self.managed.text(function, name)),
            // An event that is computed may be removed in other words.
            _ if model.callback > 0 => return,
            _ => None,
        };
        let Some(callback_given) = callback else { return };
        if args.iter().any(|it| it.is_spread) || self.ends_itself(function, args.get(model.callback + 1)) {
            return;
        }
        let owner = match target {
            _ if is_timer => Owner::None,
            Target::Method { receiver, .. } if self.never_completes(function, receiver) => Owner::None,
            Target::Method { receiver, .. } => self.owner(function, receiver),
            Target::SlotMethod(slot, _) if self.is_set_once(slot) => Owner::Slot(slot),
            Target::Library(name, _) => {
                let of = name.rsplit_once('.').map_or("window", |it| it.0);
                let module = of.rsplit('/').next().unwrap_or(of);
                match self.managed.library.is_global_target(of) {
                    true => Owner::Global(of),
                    false if model.kind == "listener" && !module.contains('.') => Owner::Module(module),
                    false => return,
                }
            }
            _ => return,
        };
        let (keys, is_handed_on) = match model.by_result {
            true => self.flow(function, result),
            false => (self.keys(function, callback_given), false),
        };
        let is_fresh = self.is_fresh(function, callback_given);
        self.made.push(Registration {
            function,
            block,
            span,
            model,
            event,
            owner,
            callback,
            keys,
            is_fresh,
            is_handed_on,
        });
    }

    /// `interval(1000)`, `fromEvent(window, "resize")`: it goes on until the subscription ends.
    fn never_completes(&mut self, function: FnId, receiver: Operand) -> bool {
        let library = self.managed.library;
        let values = self.managed.values(function, receiver);
        values.iter().any(|it| self.managed.made(*it).is_some_and(|it| library.is_endless_source(it)))
    }

    fn removal(
        &mut self,
        function: FnId,
        model: &'a RegistrationModel,
        receiver: Option<Operand>,
        args: &[Argument],
        short: &str,
    ) {
        let event = match args.first().map(|it| it.value) {
            Some(Operand::String(name)) if model.callback > 0 => Some(self.managed.text(function, name)),
            _ => None,
        };
        let of = match model.by_result {
            // `clearInterval(x)`, `x.unsubscribe()`.
            true if model.remove.is_empty() => args.first().map(|it| it.value),
            true => receiver,
            false => args.get(model.callback).map(|it| it.value),
        };
        let is_all = !model.by_result && (short.starts_with("removeAll") || of.is_none());
        let mut keys = of.map_or_else(Vec::new, |it| self.keys(function, it));
        // Whose attribute it is, is known.
        if keys.iter().any(|it| self.is_known(it)) {
            keys.retain(|it| !matches!(it, Key::Field(_)));
        }
        let is_fresh = of.is_some_and(|it| self.is_fresh(function, it));
        self.removals.push(Removal { model, event, is_all, is_fresh, keys });
    }

    /// Whether a key is of one object alone, as far as classes are told apart.
    fn is_known(&self, key: &Key<'a>) -> bool {
        match key {
            Key::Slot(slot) => matches!(self.managed.objects.slot(*slot), Slot::Attribute(..)),
            Key::Function(it) => self.managed.world.entry(*it).class.is_some(),
            _ => false,
        }
    }

    /// Options that take it back by themselves, or that are not known.
    fn ends_itself(&self, function: FnId, options: Option<&Argument>) -> bool {
        let Some(options) = options else { return false };
        let Operand::Reg(_) = options.value else { return false };
        let Some(op) = self.managed.definition(function, options.value) else { return true };
        if !matches!(op.kind, OpKind::Container { .. }) {
            return true;
        }
        let Some(block) = self.managed.block_of(function, op) else { return true };
        let ir = self.managed.world.entry(function).ir;
        ir.blocks[block.index()].ops.iter().any(|op| match op.kind {
            OpKind::Grow { container, key: Some(Operand::String(key)), value }
                if container == options.value =>
            {
                matches!(self.managed.text(function, key), "once" | "signal")
                    && value != Some(Operand::Bool(false))
            }
            OpKind::Grow { container, key: None, .. } => container == options.value,
            _ => false,
        })
    }

    /// Whether a function is made anew each time that this is evaluated.
    fn is_fresh(&self, function: FnId, value: Operand) -> bool {
        self.managed.definition(function, value).is_some_and(|it| match &it.kind {
            OpKind::Closure { .. } => true,
            OpKind::Call { callee: Callee::Method { name, .. }, .. } => {
                self.managed.text(function, *name) == "bind"
            }
            _ => false,
        })
    }

    /// Variables, attributes and functions that an operand is.
    fn keys(&mut self, function: FnId, operand: Operand) -> Vec<Key<'a>> {
        let mut keys = Vec::new();
        for value in self.managed.values(function, operand) {
            match value {
                Value::Of(slot) | Value::ElementOf(slot) => keys.push(Key::Slot(slot)),
                Value::Function(it) | Value::Method(it) => keys.push(Key::Function(it)),
                _ => {}
            }
        }
        if let Some(op) = self.managed.definition(function, operand) {
            match &op.kind {
                OpKind::Load { from, .. } => keys.extend(self.place_key(function, from)),
                OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. }
                    if self.managed.text(function, *name) == "bind" =>
                {
                    keys.extend(self.keys(function, *receiver));
                }
                _ => {}
            }
        }
        keys
    }

    fn place_key(&self, function: FnId, place: &Place) -> Option<Key<'a>> {
        match (place.base, &*place.steps) {
            (Base::Local(local), []) => Some(Key::Local(function, local)),
            (Base::Outer(of, local), []) => {
                let module = self.managed.world.entry(function).module;
                Some(Key::Local(self.managed.world.function_of_module(module, of), local))
            }
            (Base::At(_) | Base::Class(_), [Step::Field { name, .. }]) => {
                Some(Key::Field(self.managed.text(function, *name)))
            }
            _ => None,
        }
    }

    /// Where a result goes: what it is kept in, and whether other code gets it.
    fn flow(&mut self, function: FnId, result: Option<Operand>) -> (Vec<Key<'a>>, bool) {
        let Some(result) = result else { return (Vec::new(), false) };
        let ir = self.managed.world.entry(function).ir;
        let (mut keys, mut is_handed_on) = (Vec::new(), false);
        let mut aliases = vec![result];
        for block in &ir.blocks {
            for op in &block.ops {
                match &op.kind {
                    OpKind::Store { to, value, .. } if aliases.contains(value) => {
                        keys.extend(self.place_key(function, to));
                        let slots = self.managed.slots_of_place(function, to);
                        keys.extend(slots.into_iter().map(Key::Slot));
                        is_handed_on |= matches!(&*to.steps, [Step::Index { .. }]);
                    }
                    OpKind::Grow { value: Some(value), .. } | OpKind::Yield { value, .. } => {
                        is_handed_on |= aliases.contains(value);
                    }
                    OpKind::Call { args, .. } | OpKind::New { args, .. } => {
                        is_handed_on |= args.iter().any(|it| aliases.contains(&it.value));
                    }
                    OpKind::Phi { to, from } if from.iter().any(|it| aliases.contains(&it.1)) => {
                        aliases.push(Operand::Reg(*to));
                    }
                    _ => {}
                }
            }
            if let End::Return(Some(value)) = block.end {
                is_handed_on |= aliases.contains(&value);
            }
        }
        // A local that is handed on hands on what it holds.
        let locals: Vec<LocalId> = keys
            .iter()
            .filter_map(|it| {
                if let Key::Local(of, local) = it { (*of == function).then_some(*local) } else { None }
            })
            .collect();
        let is_local = |managed: &Managed<'_>, value: Operand| {
            managed.definition(function, value).is_some_and(|it| {
                matches!(&it.kind, OpKind::Load { from: Place { base: Base::Local(local), steps }, .. }
                    if steps.is_empty() && locals.contains(local))
            })
        };
        if !locals.is_empty() {
            for block in &ir.blocks {
                for op in &block.ops {
                    let parts: Vec<Operand> = match &op.kind {
                        OpKind::Call { callee, args, .. } => {
                            let takes_back = match self.managed.target(function, callee) {
                                Target::Library(name, _) => self
                                    .managed
                                    .library
                                    .registrations
                                    .iter()
                                    .any(|it| it.remove_functions.iter().any(|it| it == name)),
                                _ => false,
                            };
                            if takes_back { Vec::new() } else { args.iter().map(|it| it.value).collect() }
                        }
                        OpKind::New { args, .. } => args.iter().map(|it| it.value).collect(),
                        OpKind::Grow { value: Some(value), .. } | OpKind::Store { value, .. } => vec![*value],
                        _ => continue,
                    };
                    is_handed_on |= parts.into_iter().any(|it| is_local(self.managed, it));
                }
                if let End::Return(Some(value)) = block.end {
                    is_handed_on |= is_local(self.managed, value);
                }
            }
        }
        (keys, is_handed_on)
    }

    /// How long what is registered with lives, as far as can be told.
    fn owner(&mut self, function: FnId, receiver: Operand) -> Owner<'a> {
        if let Some(op) = self.managed.definition(function, receiver)
            && let OpKind::Load { from, .. } = &op.kind
        {
            if let (Base::Global(global), []) = (from.base, &*from.steps) {
                let module = self.managed.world.module_of(function);
                let name = self.managed.world.resolve(module.name(module.globals[global.index()].name));
                if self.managed.library.is_global_target(name) {
                    return Owner::Global(name);
                }
            }
            if self.is_given(function, from) {
                return Owner::Given;
            }
        }
        for value in self.managed.values(function, receiver) {
            if let Value::Of(slot) = value
                && let Slot::Global(_) = self.managed.objects.slot(slot)
                && self.is_set_once(slot)
            {
                return Owner::Slot(slot);
            }
        }
        Owner::Unknown
    }

    /// Whether only the code of modules sets a variable: what it holds lives on.
    fn is_set_once(&self, slot: SlotId) -> bool {
        let stored = self.managed.objects.stored_in(slot);
        stored.iter().all(|it| self.managed.world.is_module_code(it.function))
    }

    /// A constructor's parameter, or an attribute that one is stored in.
    fn is_given(&mut self, function: FnId, place: &Place) -> bool {
        match (place.base, &*place.steps) {
            (Base::Local(local), []) => self.is_constructor_parameter(function, local),
            (Base::At(_), [Step::Field { .. }]) => {
                let slots = self.managed.slots_of_place(function, place);
                let [slot] = slots[..] else { return false };
                if !matches!(self.managed.objects.slot(slot), Slot::Attribute(..)) {
                    return false;
                }
                let stored = self.managed.objects.stored_in(slot).to_vec();
                !stored.is_empty() && stored.iter().all(|it| {
                    let Some(op) = self.managed.definition(it.function, it.operand) else {
                        return false;
                    };
                    matches!(&op.kind, OpKind::Load { from: Place { base: Base::Local(local), steps }, .. }
                            if steps.is_empty() && self.is_constructor_parameter(it.function, *local))
                })
            }
            _ => false,
        }
    }

    fn is_constructor_parameter(&self, function: FnId, local: LocalId) -> bool {
        let entry = self.managed.world.entry(function);
        entry.class.is_some()
            && self.managed.calls.is_construction(function)
            && entry.ir.parameters.iter().skip(1).any(|it| *it == local)
    }

    fn is_removed(&self, it: &Registration<'a>) -> bool {
        if it.is_handed_on {
            return true;
        }
        self.removals.iter().any(|removal| {
            if !std::ptr::eq(removal.model, it.model) {
                return false;
            }
            let is_event = match (removal.event, it.event) {
                (Some(one), Some(two)) => one == two,
                _ => true,
            };
            if !is_event {
                return false;
            }
            if removal.is_all {
                return true;
            }
            // Two functions that are each made where they stand are never the same.
            if removal.is_fresh && !it.model.by_result {
                return false;
            }
            // What is taken back is not known: it may be this.
            if removal.keys.is_empty() && !it.model.by_result {
                return true;
            }
            if it.is_fresh && !it.model.by_result {
                return false;
            }
            it.keys.iter().any(|key| removal.keys.contains(key))
        })
    }

    // Judging.

    fn judge(&mut self, it: &Registration<'a>) -> Option<Found> {
        let short = self.managed.world.short_name(it.function);
        if self.managed.world.is_module_code(it.function) || short.starts_with("test") {
            return None;
        }
        let chain = self.chain(it.function);
        let is_timer = it.owner == Owner::None;
        let is_lasting = !matches!(it.owner, Owner::Given | Owner::Unknown);
        let rate = self.managed.calls.rate_of_block(it.function, it.block);
        let is_subscription = it.model.kind == "listener" && it.model.by_result;
        if is_subscription && self.completes(it) {
            return None;
        }
        // With an effect of a component that gives nothing to end it.
        let effect = chain.iter().copied().find(|of| self.effects.contains(of));
        if let Some(effect) = effect {
            let has_end = self.returns_function(effect) || self.has_end_near(effect);
            let (severity, when) = match (is_lasting, has_end) {
                (true, false) => (Severity::Error, "each time that the component is mounted"),
                (true, true) => (Severity::Warning, "each time that the component is mounted"),
                (false, false) if is_subscription => {
                    (Severity::Warning, "each time that the component is mounted")
                }
                _ => return None,
            };
            return Some(self.report(it, severity, when));
        }
        // With an object that comes and goes.
        if let Some(class) = chain.iter().find_map(|of| self.managed.world.entry(*of).class)
            && rate < Rate::Event
        {
            return self.of_class(it, class, is_lasting, is_subscription);
        }
        if !is_lasting || is_subscription && !matches!(it.owner, Owner::Slot(_)) {
            return None;
        }
        match rate {
            Rate::Event | Rate::Endless => Some(self.report(it, Severity::Error, "for each event")),
            Rate::Call => Some(self.report(it, Severity::Warning, "again and again")),
            Rate::Anyone if is_setup(short) => None,
            Rate::Anyone => {
                // A named function is registered once with the DOM, however often that is asked for.
                let is_growing = is_timer || it.is_fresh && self.captures(it);
                is_growing.then(|| self.report(it, Severity::Warning, "with each call"))
            }
            Rate::Startup => None,
        }
    }

    fn of_class(
        &mut self,
        it: &Registration<'a>,
        class: ClassRef,
        is_lasting: bool,
        is_subscription: bool,
    ) -> Option<Found> {
        let world = &self.managed.world;
        let library = self.managed.library;
        let is_component = world.has_base(class, |it| library.is_component_base(it))
            || world.class_entry(class).methods.keys().any(|it| library.is_component_method(it))
            || world.constructor(class).is_some_and(|it| {
                let attributes = &world.entry(it).ir.attributes;
                attributes.iter().any(|name| {
                    let name = world.text(it, *name);
                    matches!(name.rsplit('.').next().unwrap_or(name), "Component" | "Directive")
                })
            });
        let ends: Vec<&str> = world
            .class_entry(class)
            .methods
            .keys()
            .copied()
            .filter(|it| library.is_component_end(it))
            .collect();
        let holds_object = self.captures(it) || self.is_method(it);
        if is_component {
            if is_subscription {
                return Some(self.report(it, Severity::Warning, "by each component"));
            }
            let is_sure = is_lasting && holds_object;
            return match (is_lasting, it.owner) {
                (true, _) if is_sure => Some(self.report(it, Severity::Error, "by each component")),
                (true, _) => Some(self.report(it, Severity::Warning, "by each component")),
                (false, Owner::Given) => Some(self.report(it, Severity::Warning, "by each component")),
                _ => None,
            };
        }
        let age = self.managed.ages.of(class);
        if age == Age::Long || !holds_object || is_subscription && ends.is_empty() {
            return None;
        }
        let is_ended = !ends.is_empty();
        match (is_lasting, it.owner, is_ended) {
            (true, ..) => Some(self.report(it, Severity::Warning, "by each object")),
            // The class says that its objects end, and what it was given lives on.
            (false, Owner::Given, true) => Some(self.report(it, Severity::Warning, "by each object")),
            _ => None,
        }
    }

    /// A function and those that it stands in.
    fn chain(&self, function: FnId) -> Vec<FnId> {
        let mut chain = vec![function];
        for _ in 0..NESTING_LIMIT {
            let entry = self.managed.world.entry(chain[chain.len() - 1]);
            match entry.ir.parent {
                Some(parent) => chain.push(self.managed.world.function_of_module(entry.module, parent)),
                None => break,
            }
        }
        chain
    }

    fn returns_function(&self, function: FnId) -> bool {
        let ir = self.managed.world.entry(function).ir;
        ir.blocks.iter().any(|it| matches!(it.end, End::Return(Some(Operand::Reg(_) | Operand::Function(_)))))
    }

    /// Whether the function around an effect says elsewhere what ends it.
    fn has_end_near(&self, effect: FnId) -> bool {
        let entry = self.managed.world.entry(effect);
        let parent = entry.ir.parent.map(|it| self.managed.world.function_of_module(entry.module, it));
        match parent {
            Some(parent) => self.ends.contains(&parent),
            None => self.ends.iter().any(|it| self.managed.world.entry(*it).module == entry.module),
        }
    }

    /// A subscription that ends by itself: `pipe(take(1))`, an answer of HTTP.
    fn completes(&mut self, it: &Registration<'a>) -> bool {
        const ENDING: [&str; 14] = [
            "take",
            "takeUntil",
            "takeWhile",
            "first",
            "single",
            "find",
            "takeUntilDestroyed",
            "last",
            "toPromise",
            "forkJoin",
            "of",
            "from",
            "timer",
            "untilDestroyed",
        ];
        let ir = self.managed.world.entry(it.function).ir;
        // What is called in the same statement, before it.
        ir.blocks[it.block.index()].ops.iter().any(|op| {
            let is_within =
                op.span.start >= it.span.start && op.span.end <= it.span.end && op.span != it.span;
            let name = match &op.kind {
                OpKind::Call { callee: Callee::Method { name, .. } | Callee::Direct(name), .. } => *name,
                OpKind::Load { from, .. } => match (from.base, &*from.steps) {
                    (_, [Step::Field { name, .. }]) => *name,
                    (Base::Global(global), []) => {
                        self.managed.world.module_of(it.function).globals[global.index()].name
                    }
                    _ => return false,
                },
                _ => return false,
            };
            let name = self.managed.text(it.function, name);
            let short = name.rsplit('.').next().unwrap_or(name);
            is_within && (ENDING.contains(&short) || short.to_ascii_lowercase().contains("http"))
                || is_within
                    && matches!(op.kind, OpKind::Call { .. })
                    && matches!(short, "get" | "post" | "put" | "delete" | "patch")
        })
    }

    /// The function that is kept, if it is one of the program.
    fn kept(&mut self, it: &Registration<'a>) -> Few<FnId> {
        let Some(callback) = it.callback else { return Few::default() };
        self.managed.functions_of(it.function, callback)
    }

    /// Whether the function that is kept sees variables of a call, or an object.
    fn captures(&mut self, it: &Registration<'a>) -> bool {
        let kept = self.kept(it);
        kept.iter().any(|function| {
            let ir = self.managed.world.entry(*function).ir;
            let mut seen: FxHashSet<LocalId> = FxHashSet::default();
            for op in ir.blocks.iter().flat_map(|it| &it.ops) {
                let place = match &op.kind {
                    OpKind::Load { from, .. } => from,
                    OpKind::Store { to, .. } => to,
                    OpKind::Closure { .. } => return true,
                    _ => continue,
                };
                if let Base::Outer(_, local) = place.base {
                    seen.insert(local);
                }
            }
            !seen.is_empty()
        })
    }

    /// Whether the function that is kept is a method: it keeps its object.
    fn is_method(&mut self, it: &Registration<'a>) -> bool {
        let kept = self.kept(it);
        kept.iter().any(|it| self.managed.world.entry(*it).class.is_some())
    }

    fn report(&self, it: &Registration<'a>, severity: Severity, when: &str) -> Found {
        let (kind, message) = match (it.model.kind.as_str(), it.event) {
            ("observer", _) => {
                (Kind::Listener, format!("the observer is never disconnected, and made {when}"))
            }
            ("timer", _) => (Kind::Timer, format!("the interval is never cleared, and started {when}")),
            (_, Some(event)) => {
                let of = match it.owner {
                    Owner::Global(name) | Owner::Module(name) => format!(" on `{name}`"),
                    Owner::Slot(slot) => format!(" on {}", self.managed.slot_text(slot)),
                    _ => String::new(),
                };
                let message = format!("the `{event}` listener{of} is never removed, and added {when}");
                (Kind::Listener, message)
            }
            (_, None) => (Kind::Listener, format!("the subscription is never ended, and made {when}")),
        };
        let is_observer = it.model.kind == "observer";
        // What is observed may go away with its page, and the observer with it.
        let is_assumed = is_observer || matches!(it.owner, Owner::Module(_));
        let message = match self.wrong_removal(it) {
            true => format!("{message}: what is removed is another function, made where it is named"),
            false => message,
        };
        Found {
            rule: if is_observer { Rule::ResourceLeak } else { Rule::RetainedObject },
            kind: (!is_observer).then_some(kind),
            severity: if is_assumed { severity.min(Severity::Warning) } else { severity },
            confidence: Confidence::Likely,
            message,
            at: self.managed.world.at(it.function, it.span),
            related: Vec::new(),
            fix: None,
        }
    }

    /// Whether something tries to remove it, in vain.
    fn wrong_removal(&self, it: &Registration<'a>) -> bool {
        it.event.is_some()
            && self.removals.iter().any(|removal| {
                std::ptr::eq(removal.model, it.model)
                    && removal.event == it.event
                    && (removal.is_fresh
                        || it.is_fresh && removal.keys.iter().any(|key| it.keys.contains(key)))
            })
    }
}

/// Functions that are called once, to make things ready.
fn is_setup(name: &str) -> bool {
    let name = name.trim_start_matches('_').to_ascii_lowercase();
    [
        "init",
        "setup",
        "main",
        "bootstrap",
        "register",
        "install",
        "configure",
        "enable",
        "boot",
        "activate",
        "mount",
        "attach",
        "bind",
        "listen",
        "ready",
        "load",
        "add",
        "on",
        "use",
        "watch",
        "observe",
        "connect",
        "hook",
        "create",
    ]
    .iter()
    .any(|it| name.starts_with(it))
}
