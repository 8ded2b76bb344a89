//! `resource-leak`: opened, and on some way out of the function neither closed nor handed on.
//!
//! From each call that opens something, all ways are followed for as long as the function alone holds it.
//! Returning it, storing it, handing it to code that is not known to only borrow it: all pass it on. Branches on
//! the resource itself, and on locals that are constants on the way, are taken as they must go. Exceptions leave
//! at calls.
//!
//! A function of the program that only opens something and returns it opens it for its caller.
//!
//! What is stored in an attribute is followed too: a method that returns `False` or `None` right after it opened
//! something says that nothing is open.

mod overwritten;

use crate::finding::{At, Found};
use crate::ir::{
    Argument, Base, Binary, BlockId, Callee, End, Function, LocalId, Op, OpKind, Operand, Place, ReadKind,
    Reg, Span, Step, Unary,
};
use crate::managed::{
    ClassRef, Family, FnId, Kinds, Managed, Rate, ResourceModel, Site, Slot, SlotId, Target, Value,
    is_constructor,
};
use heapwise_model::{Confidence, Kind, Rule, Severity};
use rustc_hash::{FxHashMap, FxHashSet};

/// States looked at per resource; beyond it nothing is reported.
const STATE_LIMIT: usize = 2_000;
/// Calls that a resource is followed through.
const CALL_DEPTH: u32 = 3;

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    let mut rule = ResourceLeak { managed, summaries: FxHashMap::default(), makers: FxHashMap::default() };
    for function in rule.managed.world.ids() {
        if rule.managed.world.is_module_code(function) {
            continue;
        }
        rule.function(function, found);
    }
}

/// What is followed.
#[derive(Clone, Copy)]
struct Tracked<'a> {
    function: FnId,
    /// Register of the opening call's result; `None` for a lock.
    reg: Option<Reg>,
    /// A lock that is held.
    lock: Option<SlotId>,
    model: Option<&'a ResourceModel>,
    is_tuple: bool,
    span: Span,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    block: BlockId,
    op: usize,
    /// Locals that hold it.
    holders: Vec<LocalId>,
    /// Stored in this attribute of the receiver.
    kept: Option<SlotId>,
    /// Locals known to be constants.
    constants: Vec<(LocalId, Operand)>,
}

enum Progress {
    Holds,
    Released,
    /// Somebody else has it.
    Gone,
    /// The way ends here.
    Exits,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Exception,
    /// Opened again while it is open.
    Again,
    /// By a `raise` of the function itself.
    Raise,
    Return,
}

#[derive(Default)]
struct Outcome {
    leak: Option<(Way, Span)>,
    is_released_somewhere: bool,
    is_returned: bool,
    /// Something but the caller got it.
    is_taken: bool,
    /// It leaves in an attribute.
    is_kept: bool,
    /// The attribute that holds it when the function returns.
    kept: Option<SlotId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Borrows,
    Takes,
}

struct ResourceLeak<'m, 'a> {
    managed: &'m mut Managed<'a>,
    summaries: FxHashMap<(FnId, u32), Use>,
    /// What functions open for their callers.
    makers: FxHashMap<FnId, Option<Made<'a>>>,
}

/// What a function opens and returns.
#[derive(Clone, Copy)]
struct Made<'a> {
    model: &'a ResourceModel,
    is_tuple: bool,
}

impl<'a> ResourceLeak<'_, 'a> {
    fn function(&mut self, function: FnId, found: &mut Vec<Found>) {
        let ir = self.managed.world.entry(function).ir;
        for site in self.managed.world.sites(function, Kinds::CALL) {
            self.given_to_callback(function, site, found);
            let Some(tracked) = self.opened(function, site) else { continue };
            if let Some(outcome) = self.follow(&tracked, State::after(ir, site)) {
                let kept = outcome.kept.filter(|_| outcome.leak.is_none());
                found.extend(self.report(&tracked, outcome));
                found.extend(kept.and_then(|it| self.overwritten(&tracked, it)));
            }
        }
    }

    /// `fs.open(path, "r", (error, descriptor) => ...)`.
    fn given_to_callback(&mut self, function: FnId, site: Site<'a>, found: &mut Vec<Found>) {
        let Target::Library(name, _) = self.managed.target_of(site.call) else { return };
        let library = self.managed.library;
        let Some(model) = library.given_by(name) else { return };
        let OpKind::Call { args, .. } = &site.op.kind else { return };
        let Some(callback) = args.last() else { return };
        let managed = &mut *self.managed;
        let callbacks = managed.objects.functions_of(&managed.world, library, function, callback.value);
        for inner in callbacks {
            let ir = self.managed.world.entry(inner).ir;
            let [error, given, ..] = ir.parameters[..] else { continue };
            if self.managed.objects.is_captured(inner, given) {
                continue;
            }
            let span = site.op.span;
            let tracked =
                Tracked { function: inner, reg: None, lock: None, model: Some(model), is_tuple: false, span };
            let mut start = State::at(BlockId(0), 0);
            start.holders.push(given);
            // Where there is an error, nothing is open.
            start.constants.push((error, Operand::Null));
            if let Some(outcome) = self.follow(&tracked, start) {
                found.extend(self.report(&Tracked { function, ..tracked }, outcome));
            }
        }
    }

    /// What a function of the program opens for its callers: all that it returns is that, or nothing.
    fn made_by(&mut self, function: FnId) -> Option<Made<'a>> {
        if let Some(known) = self.makers.get(&function) {
            return *known;
        }
        // Recursion: nothing.
        self.makers.insert(function, None);
        let made = self.find_made(function);
        self.makers.insert(function, made);
        made
    }

    fn find_made(&mut self, function: FnId) -> Option<Made<'a>> {
        let entry = self.managed.world.entry(function);
        let is_plain = entry.ir.attributes.iter().all(|it| {
            let name = self.managed.text(function, *it);
            matches!(name, "staticmethod" | "classmethod")
        });
        if entry.ir.is_generator || !is_plain {
            return None;
        }
        let library = self.managed.library;
        let managed = &*self.managed;
        let is_resource = |it: &Value| match *it {
            Value::Null => true,
            it => managed.made(it).is_some_and(|it| library.resource(it).is_some()),
        };
        let returned = self.managed.objects.returned(function);
        if returned.is_empty() || !returned.iter().all(is_resource) {
            return None;
        }
        let ir = entry.ir;
        for site in self.managed.world.sites(function, Kinds::CALL) {
            let Some(tracked) = self.opened(function, site) else { continue };
            let Some(model) = tracked.model else { continue };
            let Some(outcome) = self.follow(&tracked, State::after(ir, site)) else { continue };
            if outcome.is_returned && !outcome.is_taken && !outcome.is_kept {
                return Some(Made { model, is_tuple: tracked.is_tuple });
            }
        }
        None
    }

    /// The function of the program that a call of a method calls.
    fn own_callee(&mut self, function: FnId, target: Target<'a>) -> Option<FnId> {
        match target {
            Target::Function(callee) => Some(callee),
            Target::Method { receiver, name, class, .. } => {
                self.method_of(function, receiver, name, class).map(|it| it.1)
            }
            _ => None,
        }
    }

    /// The method that a call finds in the receiver's class, with that class; a subclass may have its own.
    fn method_of(
        &mut self,
        function: FnId,
        receiver: Operand,
        name: &str,
        class: Option<ClassRef>,
    ) -> Option<(ClassRef, FnId)> {
        let managed = &mut *self.managed;
        let known = managed.objects.class_of(&managed.world, managed.library, function, receiver);
        let class = class.or(known)?;
        Some((class, managed.world.method(class, name)?))
    }

    fn opened(&mut self, function: FnId, site: Site<'a>) -> Option<Tracked<'a>> {
        let target = self.managed.target_of(site.call);
        let model = match target {
            Target::Library(name, _) => Some(self.managed.library.resource(name)?),
            _ => None,
        };
        let (OpKind::Call { args, .. } | OpKind::New { args, .. }) = &site.op.kind else { return None };
        let reg = site.op.kind.written();
        let mut tracked = Tracked { function, reg, lock: None, model, is_tuple: false, span: site.op.span };
        match target {
            Target::Library(name, _) => {
                if self.wraps(function, name, args) {
                    return None;
                }
                tracked.is_tuple = model.is_some_and(|it| it.first_of_tuple.iter().any(|it| it == name));
                Some(tracked)
            }
            Target::Method { receiver, name: "acquire", .. } if args.is_empty() => {
                tracked.lock = Some(self.lock_of(function, receiver)?);
                tracked.reg = None;
                Some(tracked)
            }
            _ => {
                let callee = self.own_callee(function, target)?;
                let made = self.made_by(callee)?;
                (tracked.model, tracked.is_tuple) = (Some(made.model), made.is_tuple);
                Some(tracked)
            }
        }
    }

    /// Whether an open file or descriptor is only wrapped, which somebody else closes.
    fn wraps(&mut self, function: FnId, name: &str, args: &[Argument]) -> bool {
        if name == "os.fdopen"
            || args.iter().any(|it| it.name.is_some_and(|it| self.managed.text(function, it) == "fileobj"))
        {
            return true;
        }
        let Some(first) = args.first() else { return false };
        if matches!(first.value, Operand::Int(_)) {
            return name == "open";
        }
        if !matches!(first.value, Operand::Reg(_)) || first.name.is_some() {
            return false;
        }
        let library = self.managed.library;
        self.managed.values(function, first.value).iter().any(|it| match it {
            Value::Instance(_) => true,
            it => {
                self.managed.made(*it).is_some_and(|it| it == "io.BytesIO" || library.resource(it).is_some())
            }
        })
    }

    /// `@contextlib.contextmanager`: what is after the `yield` runs at the end of the `with` statement.
    fn is_context_manager(&self, function: FnId) -> bool {
        let attributes = &self.managed.world.entry(function).ir.attributes;
        attributes.iter().any(|it| self.managed.text(function, *it).ends_with("contextmanager"))
    }

    /// The variable of a lock.
    fn lock_of(&mut self, function: FnId, receiver: Operand) -> Option<SlotId> {
        let values = self.managed.values(function, receiver);
        let [Value::Of(slot)] = values[..] else { return None };
        let library = self.managed.library;
        let managed = &*self.managed;
        let is_lock = |value| managed.made(value).is_some_and(|it| library.is_lock(it));
        let stored = self.managed.objects.stored_in(slot);
        (!stored.is_empty() && stored.iter().all(|it| is_lock(it.value) || it.value == Value::Null))
            .then_some(slot)
    }

    /// All ways from a state on; `None` if there are too many.
    fn follow(&mut self, tracked: &Tracked<'a>, start: State) -> Option<Outcome> {
        let ir = self.managed.world.entry(tracked.function).ir;
        let first = start.block;
        let mut outcome = Outcome::default();
        let mut seen: FxHashSet<State> = FxHashSet::default();
        let mut work = vec![start];
        while let Some(mut state) = work.pop() {
            if seen.len() > STATE_LIMIT {
                return None;
            }
            if !seen.insert(state.clone()) {
                continue;
            }
            let block = &ir.blocks[state.block.index()];
            let mut has_raised = false;
            let mut is_done = false;
            for op in &block.ops[state.op.min(block.ops.len())..] {
                if state.op == 0
                    && state.block == first
                    && op.span == tracked.span
                    && op.kind.written() == tracked.reg
                {
                    if state.kept.is_none() && tracked.lock.is_none() {
                        outcome.add(Way::Again, op.span);
                    }
                    is_done = true;
                    break;
                }
                match self.step(tracked, &mut state, op) {
                    progress @ (Progress::Released | Progress::Gone) => {
                        outcome.is_released_somewhere = true;
                        outcome.is_taken |= matches!(progress, Progress::Gone);
                        is_done = true;
                        break;
                    }
                    Progress::Exits => {
                        is_done = true;
                        break;
                    }
                    Progress::Holds => {}
                }
                if !has_raised && self.may_raise(tracked, op) {
                    has_raised = true;
                    match block.unwind {
                        Some(to) => work.push(State { block: to, op: 0, ..state.clone() }),
                        None if state.kept.is_none() => outcome.add(Way::Exception, op.span),
                        None => {}
                    }
                }
            }
            if !is_done {
                self.leave(tracked, state, &mut work, &mut outcome);
            }
        }
        Some(outcome)
    }

    fn leave(&mut self, tracked: &Tracked<'a>, state: State, work: &mut Vec<State>, outcome: &mut Outcome) {
        let ir = self.managed.world.entry(tracked.function).ir;
        let block = &ir.blocks[state.block.index()];
        let mut go = |to: BlockId| work.push(State { block: to, op: 0, ..state.clone() });
        match &block.end {
            End::Goto(to) => go(*to),
            End::Branch { condition, then, other } => match self.truth(tracked, &state, *condition, 4) {
                Some(true) => go(*then),
                Some(false) => go(*other),
                None => {
                    go(*then);
                    go(*other);
                }
            },
            End::Switch { .. } => block.end.each_target(go),
            End::Return(value) => {
                outcome.kept = outcome.kept.or(state.kept);
                let is_handed_on = value.is_some_and(|it| self.holds(tracked, &state, it));
                let says_failed = matches!(value, Some(Operand::Bool(false) | Operand::Null));
                if is_handed_on {
                    outcome.is_released_somewhere = true;
                    outcome.is_returned = true;
                    outcome.is_kept |= state.kept.is_some();
                } else if state.kept.is_none() || says_failed && self.says_success(tracked.function) {
                    outcome.is_kept |= state.kept.is_some();
                    outcome.add(Way::Return, block.end_span);
                }
            }
            End::Raise(_) | End::Resume => match block.unwind {
                Some(to) => go(to),
                None => {
                    let is_lost = state.kept.is_none()
                        || is_constructor(self.managed.world.short_name(tracked.function));
                    if is_lost && matches!(block.end, End::Raise(_)) {
                        outcome.add(Way::Raise, block.end_span);
                    }
                }
            },
            End::Unreachable => {}
        }
    }

    /// Whether another return of the function says that it worked.
    fn says_success(&self, function: FnId) -> bool {
        let ir = self.managed.world.entry(function).ir;
        ir.blocks.iter().any(|it| matches!(it.end, End::Return(Some(Operand::Bool(true) | Operand::Reg(_)))))
    }

    fn step(&mut self, tracked: &Tracked<'a>, state: &mut State, op: &'a Op) -> Progress {
        match &op.kind {
            OpKind::Store { to, value, .. } => self.store(tracked, state, to, *value),
            OpKind::Dead { local } => {
                if state.holders.contains(local) {
                    return Progress::Gone;
                }
                Progress::Holds
            }
            // The body of the `with` statement has it, and gives it back.
            OpKind::Yield { .. } if self.is_context_manager(tracked.function) => Progress::Holds,
            OpKind::Grow { value: Some(value), .. }
            | OpKind::Yield { value, .. }
            | OpKind::Escape { value } => match self.holds(tracked, state, *value) {
                true => Progress::Gone,
                false => Progress::Holds,
            },
            // A stream that is walked is closed at its end.
            OpKind::Read { container, how: ReadKind::Iterate } => {
                let ends =
                    tracked.model.is_some_and(|it| it.release.iter().any(|it| it == "Symbol.asyncIterator"));
                if ends && self.holds(tracked, state, *container) { Progress::Gone } else { Progress::Holds }
            }
            OpKind::Closure { .. } => {
                let is_seen =
                    state.holders.iter().any(|it| self.managed.objects.is_captured(tracked.function, *it));
                if is_seen { Progress::Gone } else { Progress::Holds }
            }
            OpKind::New { class, args, .. } => {
                let target = self.managed.new_target(tracked.function, *class);
                self.call(tracked, state, target, args)
            }
            OpKind::Call { callee, args, .. } => {
                let target = self.managed.target(tracked.function, callee);
                self.call(tracked, state, target, args)
            }
            _ => Progress::Holds,
        }
    }

    fn store(&mut self, tracked: &Tracked<'a>, state: &mut State, to: &Place, value: Operand) -> Progress {
        let holds = tracked.lock.is_none() && self.holds(tracked, state, value);
        if let (Base::Local(local), []) = (to.base, &*to.steps) {
            state.holders.retain(|it| *it != local);
            state.constants.retain(|it| it.0 != local);
            if holds {
                if self.managed.objects.is_captured(tracked.function, local) {
                    return Progress::Gone;
                }
                state.holders.push(local);
                state.holders.sort_unstable();
            } else if !matches!(value, Operand::Reg(_) | Operand::Opaque) {
                state.constants.push((local, value));
                state.constants.sort_unstable_by_key(|it| it.0);
            }
            return Progress::Holds;
        }
        // `socket.onmessage = ...`: it stays for what comes in.
        if let (Base::At(base), [Step::Field { name, .. }]) = (to.base, &*to.steps)
            && self.managed.library.family == Family::JavaScript
            && self.managed.text(tracked.function, *name).starts_with("on")
            && self.holds(tracked, state, base)
        {
            return Progress::Gone;
        }
        if state.kept.is_some() && !holds {
            // `self.port = None`: given up, or replaced.
            let slots = self.managed.slots_of_place(tracked.function, to);
            return match slots.iter().any(|it| state.kept == Some(*it)) {
                true if value == Operand::Null => {
                    state.kept = None;
                    Progress::Holds
                }
                true => Progress::Gone,
                false => Progress::Holds,
            };
        }
        if !holds {
            return Progress::Holds;
        }
        let slots = self.managed.slots_of_place(tracked.function, to);
        match (&to.base, &slots[..]) {
            (Base::At(_), &[slot]) if matches!(self.managed.objects.slot(slot), Slot::Attribute(..)) => {
                state.kept = Some(slot);
                Progress::Holds
            }
            _ => Progress::Gone,
        }
    }

    fn call(
        &mut self,
        tracked: &Tracked<'a>,
        state: &mut State,
        target: Target<'a>,
        args: &[Argument],
    ) -> Progress {
        match target {
            Target::Library(name, _) => {
                if self.managed.library.is_exit(name) {
                    return Progress::Exits;
                }
                let Some(model) = tracked.model else { return Progress::Holds };
                let has_it = args.iter().any(|it| self.holds(tracked, state, it.value));
                let is_any = model.release_any.iter().any(|it| it == name)
                    && !args.iter().any(|it| matches!(it.value, Operand::Reg(_)));
                let is_released = has_it && model.release_functions.iter().any(|it| it == name);
                if is_any || is_released {
                    return Progress::Released;
                }
                let borrows = self.managed.library.is_harmless(name) || self.managed.library.borrows(name);
                if has_it && !borrows { Progress::Gone } else { Progress::Holds }
            }
            Target::Method { receiver, name, class, .. } => {
                self.method(tracked, state, receiver, name, class, args)
            }
            Target::Function(callee) => self.hand_over(tracked, state, callee, 0, args),
            Target::Class(class) => match self.managed.world.constructor(class) {
                Some(callee) => self.hand_over(tracked, state, callee, 1, args),
                None => self.unknown(tracked, state, args),
            },
            Target::Value(value) => match self.holds(tracked, state, value) {
                true => Progress::Holds,
                false => self.unknown(tracked, state, args),
            },
            Target::SlotMethod(..) => self.unknown(tracked, state, args),
        }
    }

    fn unknown(&mut self, tracked: &Tracked<'a>, state: &State, args: &[Argument]) -> Progress {
        match args.iter().any(|it| self.holds(tracked, state, it.value)) {
            true => Progress::Gone,
            false => Progress::Holds,
        }
    }

    fn method(
        &mut self,
        tracked: &Tracked<'a>,
        state: &mut State,
        receiver: Operand,
        name: &'a str,
        class: Option<ClassRef>,
        args: &[Argument],
    ) -> Progress {
        if let Some(lock) = tracked.lock {
            let is_release = matches!(name, "release" | "__exit__")
                && self.managed.values(tracked.function, receiver).contains(&Value::Of(lock));
            return if is_release {
                Progress::Released
            } else {
                self.own_method(tracked, state, receiver, name, class, args)
            };
        }
        if self.holds(tracked, state, receiver) {
            let Some(model) = tracked.model else { return Progress::Holds };
            let is_released =
                model.release.iter().any(|it| it == name) || self.waits_for_end(tracked.function, name, args);
            // Whoever got a wrapper may close it.
            let is_detached = matches!(name, "detach" | "makefile");
            return match (is_released, is_detached) {
                (_, true) => Progress::Gone,
                (true, false) => Progress::Released,
                (false, false) => Progress::Holds,
            };
        }
        self.own_method(tracked, state, receiver, name, class, args)
    }

    /// `on("exit", ...)`: it ends by itself.
    fn waits_for_end(&self, function: FnId, name: &str, args: &[Argument]) -> bool {
        let Some(Operand::String(event)) = args.first().map(|it| it.value) else { return false };
        matches!(name, "on" | "once" | "addEventListener")
            && matches!(self.managed.text(function, event), "exit" | "close" | "end" | "finish")
    }

    /// A method of the program's own classes may release what an attribute keeps.
    fn own_method(
        &mut self,
        tracked: &Tracked<'a>,
        state: &mut State,
        receiver: Operand,
        name: &'a str,
        class: Option<ClassRef>,
        args: &[Argument],
    ) -> Progress {
        match self.method_of(tracked.function, receiver, name, class) {
            // A method that is not looked into may do with the object's attributes what it likes.
            Some(_) if state.kept.is_some() || tracked.lock.is_some() => Progress::Gone,
            // Which of them is called is not known.
            Some((class, _)) if !self.managed.world.overrides(class, name).is_empty() => {
                self.unknown(tracked, state, args)
            }
            Some((_, callee)) => self.hand_over(tracked, state, callee, 1, args),
            None if self.managed.library.is_borrowing_method(name) => Progress::Holds,
            None => self.unknown(tracked, state, args),
        }
    }

    fn hand_over(
        &mut self,
        tracked: &Tracked<'a>,
        state: &State,
        callee: FnId,
        first: u32,
        args: &[Argument],
    ) -> Progress {
        for (index, argument) in (first..).zip(args) {
            if !self.holds(tracked, state, argument.value) {
                continue;
            }
            if argument.name.is_some() || argument.is_spread {
                return Progress::Gone;
            }
            if self.summary(callee, index, CALL_DEPTH) == Use::Takes {
                return Progress::Gone;
            }
        }
        Progress::Holds
    }

    /// Whether a function only borrows what a parameter holds.
    fn summary(&mut self, function: FnId, parameter: u32, depth: u32) -> Use {
        if let Some(known) = self.summaries.get(&(function, parameter)) {
            return *known;
        }
        // Recursion: borrowed, unless something else takes it.
        self.summaries.insert((function, parameter), Use::Borrows);
        let taken = self.find_use(function, parameter, depth);
        self.summaries.insert((function, parameter), taken);
        taken
    }

    fn find_use(&mut self, function: FnId, parameter: u32, depth: u32) -> Use {
        let ir = self.managed.world.entry(function).ir;
        let Some(local) = ir.parameters.get(parameter as usize).copied() else { return Use::Takes };
        if depth == 0 || self.managed.objects.is_captured(function, local) || ir.is_generator {
            return Use::Takes;
        }
        // An abstract one: what others define may do with it what they like.
        if !ir.blocks.iter().any(|it| matches!(it.end, End::Return(_))) {
            return Use::Takes;
        }
        let tracked =
            Tracked { function, reg: None, lock: None, model: None, is_tuple: false, span: ir.span };
        let state = State { holders: vec![local], ..State::at(BlockId(0), 0) };
        for block in &ir.blocks {
            for op in &block.ops {
                let is_taken = match &op.kind {
                    OpKind::Call { callee, args, .. } => match self.managed.target(function, callee) {
                        Target::Method { receiver, name, .. } => {
                            let is_own = self.holds(&tracked, &state, receiver);
                            let closes = is_own && self.managed.library.is_release(name);
                            closes
                                || !self.managed.library.is_borrowing_method(name)
                                    && self.has_argument(&tracked, &state, args)
                        }
                        Target::Library(name, _) => {
                            let library = self.managed.library;
                            !library.is_harmless(name)
                                && !library.borrows(name)
                                && self.has_argument(&tracked, &state, args)
                        }
                        Target::Function(callee) => (0u32..).zip(args.iter()).any(|(index, argument)| {
                            self.holds(&tracked, &state, argument.value)
                                && (argument.name.is_some()
                                    || self.summary(callee, index, depth - 1) == Use::Takes)
                        }),
                        _ => self.has_argument(&tracked, &state, args),
                    },
                    OpKind::New { args, .. } => self.has_argument(&tracked, &state, args),
                    OpKind::Store { value, .. } | OpKind::Yield { value, .. } => {
                        self.holds(&tracked, &state, *value)
                    }
                    OpKind::Grow { value: Some(value), .. } => self.holds(&tracked, &state, *value),
                    _ => false,
                };
                if is_taken {
                    return Use::Takes;
                }
            }
            if let End::Return(Some(value)) = block.end
                && self.holds(&tracked, &state, value)
            {
                return Use::Takes;
            }
        }
        Use::Borrows
    }

    fn has_argument(&self, tracked: &Tracked<'a>, state: &State, args: &[Argument]) -> bool {
        args.iter().any(|it| self.holds(tracked, state, it.value))
    }

    /// Whether an operand is the resource, where the state holds.
    fn holds(&self, tracked: &Tracked<'a>, state: &State, operand: Operand) -> bool {
        self.holds_at(tracked, state, operand, 6)
    }

    fn holds_at(&self, tracked: &Tracked<'a>, state: &State, operand: Operand, depth: u32) -> bool {
        let Operand::Reg(reg) = operand else { return false };
        if tracked.reg == Some(reg) {
            return true;
        }
        let Some(op) = self.managed.definition(tracked.function, operand) else { return false };
        if depth == 0 {
            return false;
        }
        let again = |it: Operand| self.holds_at(tracked, state, it, depth - 1);
        match &op.kind {
            OpKind::Load { from, .. } => match (from.base, &*from.steps) {
                (Base::Local(local), []) => state.holders.contains(&local),
                (Base::At(base), [Step::Index { index: Operand::Int(0), .. }]) => {
                    tracked.is_tuple && again(base)
                }
                (Base::At(_), [Step::Field { name, .. }]) => state.kept.is_some_and(|kept| {
                    let name = self.managed.text(tracked.function, *name);
                    matches!(self.managed.objects.slot(kept), Slot::Attribute(_, it) if it == name)
                }),
                _ => false,
            },
            OpKind::Phi { from, .. } => from.iter().any(|it| again(it.1)),
            OpKind::Await { value, .. } => again(*value),
            OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. } => {
                matches!(self.managed.text(tracked.function, *name), "__enter__" | "__aenter__")
                    && again(*receiver)
            }
            _ => false,
        }
    }

    /// What a condition must be on this way.
    fn truth(&self, tracked: &Tracked<'a>, state: &State, condition: Operand, depth: u32) -> Option<bool> {
        if tracked.lock.is_none() && tracked.reg.is_some() && self.holds(tracked, state, condition) {
            return Some(true);
        }
        let op = self.managed.definition(tracked.function, condition)?;
        if depth == 0 {
            return None;
        }
        match &op.kind {
            OpKind::Unary { op: Unary::Not, value, .. } => {
                self.truth(tracked, state, *value, depth - 1).map(|it| !it)
            }
            OpKind::Load { .. } => match self.constant(tracked, state, condition)? {
                Operand::Bool(it) => Some(it),
                Operand::Int(it) => Some(it != 0),
                Operand::Null => Some(false),
                _ => None,
            },
            OpKind::Binary { op: op @ (Binary::Equal | Binary::NotEqual), left, right, .. } => {
                let is_equal = match (*left, *right) {
                    (it, Operand::Null) | (Operand::Null, it) if self.holds(tracked, state, it) => false,
                    (left, right) => {
                        let left = self.constant(tracked, state, left)?;
                        let right = self.constant(tracked, state, right)?;
                        left == right
                    }
                };
                Some(is_equal == (*op == Binary::Equal))
            }
            // `__exit__` of what is known here gives nothing: exceptions go on.
            OpKind::Call { callee: Callee::Method { name, .. }, .. } => {
                let is_exit = self.managed.text(tracked.function, *name) == "__exit__";
                (is_exit && tracked.lock.is_some()).then_some(false)
            }
            _ => None,
        }
    }

    fn constant(&self, tracked: &Tracked<'a>, state: &State, operand: Operand) -> Option<Operand> {
        match operand {
            Operand::Reg(_) => {
                let op = self.managed.definition(tracked.function, operand)?;
                let OpKind::Load { from, .. } = &op.kind else { return None };
                let (Base::Local(local), []) = (from.base, &*from.steps) else { return None };
                state.constants.iter().find(|it| it.0 == local).map(|it| it.1)
            }
            Operand::Opaque => None,
            constant => Some(constant),
        }
    }

    fn may_raise(&mut self, tracked: &Tracked<'a>, op: &'a Op) -> bool {
        match &op.kind {
            // What opens may fail while it is waited for: then nothing is open.
            OpKind::Await { value, .. } => !matches!(value, Operand::Reg(it) if tracked.reg == Some(*it)),
            OpKind::New { .. } => true,
            OpKind::Yield { .. } => self.is_context_manager(tracked.function),
            OpKind::Call { callee, .. } => match callee {
                Callee::Direct(name) => {
                    let name = self.managed.text(tracked.function, *name);
                    !self.managed.library.is_harmless(name)
                        && !matches!(
                            name,
                            "range" | "time.time" | "time.sleep" | "str" | "super" | "sys.exit"
                        )
                }
                Callee::Method { name, .. } => {
                    let name = self.managed.text(tracked.function, *name);
                    // Before it, nothing is open.
                    let opens = tracked.model.is_some_and(|it| it.opening.iter().any(|it| it == name));
                    !opens && !self.managed.library.is_quiet_method(name)
                }
                Callee::Value(_) => true,
            },
            _ => false,
        }
    }

    fn report(&mut self, tracked: &Tracked<'a>, outcome: Outcome) -> Option<Found> {
        let (way, span) = outcome.leak?;
        let world = &self.managed.world;
        let name = world.short_name(tracked.function);
        let is_once = self.managed.calls.rate(tracked.function) == Rate::Startup && name == "main";
        if is_once || name.starts_with("test") {
            return None;
        }
        let kind = match (tracked.lock, tracked.model) {
            (Some(_), _) => Kind::Lock,
            (None, Some(model)) => kind_of(&model.class),
            (None, None) => return None,
        };
        let is_observer = tracked.model.is_some_and(|it| it.is_registered);
        if is_observer && !outcome.is_released_somewhere {
            return None;
        }
        let is_file = kind == Kind::File || is_observer;
        // A lock that the function never releases is meant to be kept.
        if kind == Kind::Lock && !outcome.is_released_somewhere {
            return None;
        }
        if way == Way::Exception
            && (kind == Kind::Figure
                || kind == Kind::Process
                || tracked.model.is_some_and(|it| it.is_collected))
        {
            return None;
        }
        let severity = match way {
            Way::Exception | Way::Raise => Severity::Warning,
            _ if is_file || kind == Kind::Process || kind == Kind::Thread => Severity::Warning,
            _ if outcome.is_released_somewhere || outcome.is_kept || kind == Kind::Figure => Severity::Error,
            _ => Severity::Warning,
        };
        let noun = if is_observer { "observer" } else { noun(kind) };
        let verb = match kind {
            Kind::Lock => "released",
            Kind::Process => "waited for",
            _ if is_observer => "disconnected",
            _ => "closed",
        };
        let when = match (way, outcome.is_released_somewhere) {
            (Way::Exception, _) => {
                let stays = if kind == Kind::Lock { "locked" } else { "open" };
                format!("stays {stays} if an exception is raised before it is {verb}")
            }
            (Way::Again, _) => format!("is opened again before it is {verb}"),
            (Way::Return, _) if outcome.is_kept => {
                format!("is left open where `{name}` returns that it failed")
            }
            (Way::Raise, _) => format!("is not {verb} where `{name}` raises"),
            (Way::Return, true) => format!("is not {verb} on this way out of `{name}`"),
            (Way::Return, false) => format!("is never {verb}"),
        };
        let opened: At = world.at(tracked.function, tracked.span);
        let related = match way {
            Way::Again => Vec::new(),
            Way::Exception => vec![("what may raise".to_string(), world.at(tracked.function, span))],
            Way::Return | Way::Raise => {
                vec![("left open here".to_string(), world.at(tracked.function, span))]
            }
        };
        Some(Found {
            rule: Rule::ResourceLeak,
            kind: (!is_observer).then_some(kind),
            severity,
            confidence: Confidence::Likely,
            message: format!("the {noun} {when}"),
            at: opened,
            related,
            fix: None,
        })
    }
}

impl State {
    fn at(block: BlockId, op: usize) -> State {
        State { block, op, holders: Vec::new(), kept: None, constants: Vec::new() }
    }

    /// Behind an operation of a function.
    fn after(ir: &Function, site: Site<'_>) -> State {
        let mut ops = ir.blocks[site.block.index()].ops.iter();
        let at = ops.position(|it| std::ptr::eq(it, site.op)).expect("a site is in its block");
        State::at(site.block, at + 1)
    }
}

impl Outcome {
    fn add(&mut self, way: Way, span: Span) {
        if self.leak.is_none_or(|it| it.0 < way) {
            self.leak = Some((way, span));
        }
    }
}

fn kind_of(class: &str) -> Kind {
    Kind::from_name(class).unwrap_or(Kind::Descriptor)
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Lock => "lock",
        Kind::File => "file",
        Kind::Socket => "connection",
        Kind::Serial => "device",
        Kind::Process => "process",
        Kind::Thread => "pool",
        Kind::Figure => "figure",
        _ => "handle",
    }
}
