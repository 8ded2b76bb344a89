//! Calls: summaries of the program's own functions, models of libraries, and the unknown.

use super::engine::{Engine, is_same_shape};
use super::issue::{Assumption, Trace};
use super::memory::{Text, each_value};
use super::state::{Class, Content, FAR, Fact, Failure, Object, Piece, State, Status};
use super::summary::{Demand, Disjunct, Guard, Need, Summary, each_part, source_of};
use super::value::{Meaning, Source, Sym, Terms, Val};
use crate::ir::{Argument, Binary, BlockId, Callee};
use crate::rules::native as rules;
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// Ways of a callee that are kept.
const WAYS_MAX: usize = 4;
/// Symbols in one summary; what is larger is forgotten rather than carried.
const SYMBOLS_MAX: usize = 600;
/// Functions that are looked at once more for one caller's function pointers: by the caller, and by those.
const SPECIALIZED_MAX: [usize; 3] = [8, 3, 0];
/// Calls that a trace remembers.
const DEPTH_MAX: usize = 6;

impl Engine<'_> {
    /// The paths that go on after a call, each with the value returned.
    pub fn call(&mut self, mut state: State, callee: &Callee, arguments: &[Argument]) -> Vec<(State, Val)> {
        let mut args: Vec<Val> = Vec::with_capacity(arguments.len() + 1);
        let mut target = None;
        let mut symbol = None;
        match callee {
            Callee::Direct(name) => {
                target = self.cx.program.function(self.module_number, *name);
                symbol = self.cx.program.symbol_of(self.module_number, *name);
            }
            Callee::Method { receiver, name, class } => {
                let it = self.value(&state, *receiver);
                args.push(it);
                let all = self.cx.program.implementations(self.module_number, *name, *class);
                target = match all[..] {
                    [only] => Some(only),
                    [] => None,
                    _ => self.dynamic_target(&state, it, self.module.name(*name)),
                };
            }
            Callee::Value(operand) => {
                let value = self.value(&state, *operand);
                let value = self.state_value(&state, value);
                if let Some(sym) = value.as_sym()
                    && let Meaning::Function(it) = self.symbols.meaning(sym)
                {
                    target = self.cx.program.function_of_symbol(self.module_number, it);
                    symbol = Some(it);
                }
            }
        }
        for it in arguments {
            let value = self.value(&state, it.value);
            let value = self.used(&mut state, value);
            args.push(value);
        }
        if let Some(target) = target {
            if !state.locks.is_empty() && self.cx.may_unlock[target as usize] {
                state.locks = Rc::default();
            }
            if let Some(summary) = self.specialize(&state, target, &args) {
                return self.apply(state, &summary, target, &args);
            }
            return match self.summaries.get(target).cloned() {
                Some(summary) => self.apply(state, &summary, target, &args),
                // A recursive call, on the first round: other ways are seen first.
                None if self.component.contains(&target) => {
                    self.has_missed = true;
                    Vec::new()
                }
                None => {
                    self.unknown_call(&mut state, &args);
                    let value = self.fresh(&state, 0, Source::Unknown);
                    vec![(state, value)]
                }
            };
        }
        if let Some(model) = symbol.and_then(|it| self.cx.model_of_symbol[it as usize]) {
            let model = self.cx.models.get(model);
            self.find_extents(arguments);
            return self.library(state, model, &args);
        }
        if let Callee::Method { name, class: Some(class), .. } = callee
            && let Some(value) = self.object_of_library(&mut state, *class, *name, &args)
        {
            return vec![(state, value)];
        }
        self.unknown_call(&mut state, &args);
        let value = self.fresh(&state, 0, Source::Unknown);
        vec![(state, value)]
    }

    /// The summary of a function for the functions that it is given here to call.
    fn specialize(&mut self, state: &State, target: u32, args: &[Val]) -> Option<Rc2> {
        let (_, ir) = self.cx.program.ir(target);
        let mut bound = Vec::new();
        for (&parameter, &value) in ir.parameters.iter().zip(args) {
            let value = self.state_value(state, value);
            if let Some(sym) = value.as_sym()
                && let Meaning::Function(symbol) = self.symbols.meaning(sym)
                && self.cx.program.function_of_symbol(self.module_number, symbol).is_some()
            {
                bound.push((parameter, symbol));
            }
        }
        if bound.is_empty() || self.component.contains(&target) || self.summaries.get(target).is_none() {
            return None;
        }
        let key = (target, bound);
        if let Some(known) = self.specialized.get(&key) {
            return Some(known.clone());
        }
        if self.specialized.len() >= SPECIALIZED_MAX[self.depth as usize] {
            return None;
        }
        let mut engine = Engine::new(self.cx, self.summaries, self.component, target);
        engine.bound.clone_from(&key.1);
        engine.depth = self.depth + 1;
        engine.run();
        for it in std::mem::take(&mut engine.findings) {
            self.emit(it);
        }
        let summary = Rc2::new(engine.summarize());
        self.has_missed |= engine.has_missed;
        self.specialized.insert(key, summary.clone());
        Some(summary)
    }

    /// The method that a virtual call reaches, where the object's class is known.
    fn dynamic_target(&mut self, state: &State, receiver: Val, method: &str) -> Option<u32> {
        let receiver = self.state_value(state, receiver);
        let object = receiver.as_sym()?;
        let (module, class) = match self.symbols.meaning(object) {
            Meaning::Local(it) => match self.module.types[self.ir.locals[it.index()].ty.index()] {
                crate::ir::Type::Record(class) => (self.module_number, class),
                _ => return None,
            },
            _ => state.object(object)?.of?,
        };
        let module = &self.cx.program.modules[module as usize];
        self.cx.program.method(module.name(module.classes[class.index()].name), method)
    }

    pub fn unknown_call(&mut self, state: &mut State, args: &[Val]) {
        for &value in args {
            let Some((base, _)) = self.split(value) else { continue };
            if let Some(object) = state.object(base).cloned()
                && let Status::Freed(by) = object.status
                && matches!(object.class, Class::Heap(_))
                && !object.is_told
            {
                let finding = rules::use_after_free::passed(self, &object, by);
                self.report(state, finding);
                if let Some(object) = state.object_mut(base) {
                    object.is_told = true;
                }
            }
        }
        self.escape(state, args, true);
        // Variables that other modules can name, and what is known outside, may have changed.
        let known: Vec<Sym> = state
            .objects
            .iter()
            .filter(|(sym, object)| match self.symbols.meaning(*sym) {
                Meaning::Global(it) => {
                    let global = &self.cx.program.globals[it as usize];
                    global.constant.is_none() && !global.is_local && object.is_written
                }
                _ => false,
            })
            .map(|it| it.0)
            .collect();
        let values: Vec<Val> = known.into_iter().map(Val::sym).collect();
        if !values.is_empty() {
            self.escape(state, &values, true);
        }
    }

    /// Follows the ways of a summary that are possible here.
    fn apply(&mut self, mut state: State, summary: &Rc2, target: u32, args: &[Val]) -> Vec<(State, Val)> {
        if summary.disjuncts.is_empty() && summary.is_incomplete {
            self.unknown_call(&mut state, args);
            let value = self.fresh(&state, 0, Source::Unknown);
            return vec![(state, value)];
        }
        let map = self.instantiate(&mut state, summary, target, args);
        let call = self.here();
        let mut traces: FxHashMap<u32, u32> = FxHashMap::default();
        let mut results: Vec<(State, Val)> = Vec::new();
        let count = summary.disjuncts.len();
        let mut shared = Some(state);
        let returns = summary.disjuncts.iter().filter(|it| !it.is_raised).count();
        let is_alone = summary.disjuncts.iter().all(|it| it.result.is_none_or(|it| it == Val::ZERO));
        for (index, way) in summary.disjuncts.iter().enumerate() {
            if !shared.as_ref().is_some_and(|it| self.may_be_possible(it, way, &map)) {
                continue;
            }
            let mut state = if index + 1 == count {
                shared.take().expect("taken by the last way only")
            } else {
                shared.clone().expect("taken by the last way only")
            };
            if !self.is_possible(&mut state, way, &map) {
                continue;
            }
            state.is_raised = way.is_raised;
            state.is_certain &= way.is_certain;
            state.has_failed |= way.has_failed;
            if let Some(it) = way.assumptions.first {
                let at = self.import(summary, it.at, call, &mut traces);
                state.assumptions.add(Assumption { at, ..it });
                state.assumptions.has_more |= way.assumptions.has_more;
            }
            for demand in &way.demands {
                self.meet(&mut state, summary, demand, &map, call, &mut traces);
            }
            for &id in &way.latent {
                let mut finding = summary.latent[id as usize].clone();
                if finding.related.len() < DEPTH_MAX {
                    finding.related.push(("called here".to_owned(), self.spot(self.span)));
                }
                self.report(&mut state, finding);
            }
            for (sym, object) in &way.objects {
                self.take_over(&mut state, summary, *sym, object, &map, call, &mut traces);
            }
            let value = match way.result {
                Some(it) => self.mapped(&map, it),
                None => Val::ZERO,
            };
            let mut value = self.state_value(&state, value);
            if value == Val::ZERO && returns > 1 && !is_alone {
                // One of several results: whether it is possible here is not certain.
                value = self.fresh(&state, 0x800, Source::Known);
                state.limit(&self.symbols, value.a, 0, 0);
            }
            self.add_way(&mut results, state, value);
        }
        results
    }

    /// Keeps a way through a callee, together with one that does the same if there are many.
    fn add_way(&mut self, results: &mut Vec<(State, Val)>, state: State, value: Val) {
        if let Some(same) = results
            .iter_mut()
            .find(|it| it.1 == value && it.0.is_same_memory(&state) && it.0.demands == state.demands)
        {
            join(&mut same.0, self, &state);
            return;
        }
        if results.len() < self.states_max().min(WAYS_MAX) {
            results.push((state, value));
            return;
        }
        // What the caller tells apart by the result is kept apart as long as can be.
        let Some(at) = results
            .iter()
            .position(|it| it.1 == value && is_same_shape(&it.0, &state))
            .or_else(|| results.iter().position(|it| is_same_shape(&it.0, &state)))
        else {
            return;
        };
        let (mut joined, other) = results.swap_remove(at);
        let mut part = 0x2_0000;
        let site = self.site;
        let value = if value == other {
            value
        } else {
            self.joined(&mut joined, &state, other, value, site, &mut part)
        };
        self.join_memory(&mut joined, &state, BlockId(0));
        join(&mut joined, self, &state);
        results.push((joined, value));
    }

    /// The caller's value of each symbol of a summary.
    fn instantiate(&mut self, state: &mut State, summary: &Summary, target: u32, args: &[Val]) -> Vec<Val> {
        let (_, callee) = self.cx.program.ir(target);
        let turn = state.turn();
        let site = self.site;
        let mut map: Vec<Val> = Vec::with_capacity(summary.meanings.len());
        self.words.clear();
        let source_part = |part: usize| 0x1000 + part as u32;
        for (index, &meaning) in summary.meanings.iter().enumerate() {
            let fresh = |it: &mut Self, source| {
                it.symbols.value(Meaning::Result { site, turn, part: source_part(index), source })
            };
            let value = match meaning {
                Meaning::Nothing => Val::ZERO,
                Meaning::Uninit => Val::UNINIT,
                Meaning::Local(local) => {
                    let position = callee.parameters.iter().position(|it| *it == local);
                    match position.and_then(|it| args.get(it)) {
                        Some(value) if self.is_record(*value) => *value,
                        _ => fresh(self, Source::Known),
                    }
                }
                Meaning::Global(_) | Meaning::Function(_) | Meaning::Text { .. } => {
                    self.symbols.value(meaning)
                }
                Meaning::Made { .. } => {
                    self.symbols.value(Meaning::Made { site, turn, part: source_part(index) })
                }
                Meaning::Outer { function, local } if function == self.function => {
                    self.symbols.value(Meaning::Local(local))
                }
                Meaning::Outer { .. } => self.symbols.value(meaning),
                Meaning::Slot { container, key } => {
                    let key = self.mapped(&map, key);
                    let key = self.state_value(state, key);
                    let container = self.state_value(state, map[container.index()]);
                    match container.as_sym() {
                        Some(container) => {
                            self.has_slots = true;
                            self.symbols.value(Meaning::Slot { container, key })
                        }
                        None => fresh(self, Source::Known),
                    }
                }
                Meaning::Record { .. } => {
                    self.symbols.value(Meaning::Record { site, turn, part: source_part(index) })
                }
                Meaning::Initial { object, offset, bytes } => {
                    if let Meaning::Local(local) = summary.meanings[object.index()] {
                        let position = callee.parameters.iter().position(|it| *it == local);
                        match position.and_then(|it| args.get(it)) {
                            Some(value) if self.is_record(*value) => self
                                .initial(state, (index, *value), offset, bytes)
                                .unwrap_or_else(|| fresh(self, Source::Known)),
                            Some(value) if offset == 0 => *value,
                            // A record by value, or an argument that was not given.
                            _ => fresh(self, Source::Known),
                        }
                    } else {
                        self.initial(state, (index, map[object.index()]), offset, bytes)
                            .unwrap_or_else(|| fresh(self, Source::Known))
                    }
                }
                Meaning::Length { object, offset, stamp, unit } => {
                    let mut found = None;
                    if stamp.is_none()
                        && let Some((base, by)) = self.split(map[object.index()])
                        && let Text::Length(it) = self.text(state, (base, by.plus(offset)), unit)
                    {
                        found = Some(it);
                    }
                    match found {
                        Some(it) => it,
                        None => {
                            let stamp = match map[stamp.index()].as_sym() {
                                Some(it) => it,
                                None => fresh(self, Source::Known).a,
                            };
                            self.symbols.value(Meaning::Length { object: stamp, offset, stamp, unit })
                        }
                    }
                }
                Meaning::Binary { op, left, right } => {
                    let (left, right) = (self.mapped(&map, left), self.mapped(&map, right));
                    self.binary(state, op, left, right)
                }
                Meaning::Narrow { bytes, is_signed, value } => {
                    let value = self.mapped(&map, value);
                    self.narrow(state, value, bytes, is_signed)
                }
                Meaning::Other { value, tag } => {
                    let value = self.mapped(&map, value);
                    self.symbols.value(Meaning::Other { value, tag })
                }
                Meaning::Written { stamp, .. } => {
                    let source = map[stamp.index()]
                        .as_sym()
                        .map_or(Source::Known, |it| source_of(self.symbols.meaning(it)));
                    fresh(self, source)
                }
                Meaning::Result { source, .. } => fresh(self, source),
                // As the callee found it.
                Meaning::Element { object, offset, bytes, stamp } if stamp.is_none() => {
                    let offset = self.mapped(&map, offset);
                    let offset = self.state_value(state, offset);
                    match self.split(map[object.index()]) {
                        Some((base, by)) if !base.is_none() && !offset.is_uninit() => {
                            let at = self.symbols.add(by, offset);
                            let value = self.peek(state, (base, at), bytes);
                            if value.is_uninit() { fresh(self, Source::Vague) } else { value }
                        }
                        _ => fresh(self, Source::Vague),
                    }
                }
                Meaning::Element { .. }
                | Meaning::Stamp { .. }
                | Meaning::Rounds { .. }
                | Meaning::Join { .. } => fresh(self, Source::Vague),
            };
            map.push(value);
        }
        map
    }

    fn is_record(&self, value: Val) -> bool {
        value.as_sym().is_some_and(|it| matches!(self.symbols.meaning(it), Meaning::Record { .. }))
    }

    /// What lies where the callee found it at its start.
    fn initial(
        &mut self,
        state: &mut State,
        (index, object): (usize, Val),
        offset: i64,
        bytes: u32,
    ) -> Option<Val> {
        let (base, by) = self.split(object)?;
        if base.is_none() {
            return None;
        }
        if bytes == 8
            && let Some(pieces) = self.word(state, (base, by.plus(offset)))
        {
            self.words.insert(Sym(index as u32), pieces);
        }
        let value = self.peek(state, (base, by.plus(offset)), bytes);
        if value.is_uninit() {
            return None;
        }
        Some(self.state_value(state, value))
    }

    fn mapped(&mut self, map: &[Val], value: Val) -> Val {
        if value.is_uninit() {
            return Val::UNINIT;
        }
        let a = if value.a.is_none() { Val::ZERO } else { map[value.a.index()] };
        if value.b.is_none() {
            return a.plus(value.c);
        }
        let by = self.symbols.scale(map[value.b.index()], value.k);
        let both = if a == Val::ZERO { by } else { self.symbols.add(a, by) };
        both.plus(value.c)
    }

    /// Whether no fact of a way is out of the question at once: most ways that are impossible fail here, and need no
    /// state of their own.
    fn may_be_possible(&self, state: &State, way: &Disjunct, map: &[Val]) -> bool {
        way.facts.iter().all(|(sym, fact)| {
            let value = map[sym.index()];
            if value.is_uninit() {
                return true;
            }
            let (lo, hi) = state.range(&self.symbols, value);
            lo <= fact.hi && hi >= fact.lo && (lo < hi || fact.not != Some(lo))
        })
    }

    /// Restricts a state to executions that take a way; `false`: there are none.
    fn is_possible(&mut self, state: &mut State, way: &Disjunct, map: &[Val]) -> bool {
        way.facts.iter().all(|(sym, fact)| {
            let value = map[sym.index()];
            value.is_uninit() || self.assume_fact(state, value, fact, map)
        })
    }

    /// Restricts a state to executions where a fact of a callee holds of a value.
    fn assume_fact(&mut self, state: &mut State, value: Val, fact: &Fact, map: &[Val]) -> bool {
        let value = state.resolve(&mut self.symbols, value);
        let is_within = match value.as_sym().filter(|it| state.is_plain(&self.symbols, *it)) {
            Some(sym) => self.confine(state, sym, fact),
            None => {
                let is_one = fact.lo == fact.hi;
                let far = |it: i64| it.abs() < FAR;
                let checks = [
                    is_one.then_some((Binary::Equal, fact.lo)),
                    (!is_one && far(fact.lo)).then_some((Binary::GreaterEqual, fact.lo)),
                    (!is_one && far(fact.hi)).then_some((Binary::LessEqual, fact.hi)),
                    fact.not.map(|it| (Binary::NotEqual, it)),
                ];
                checks.into_iter().flatten().all(|(op, to)| self.assume(state, op, value, Val::int(to)))
            }
        };
        let relations = [(Binary::LessEqual, fact.le), (Binary::GreaterEqual, fact.ge)];
        is_within
            && relations.into_iter().all(|(op, to)| {
                let to = to.map(|(to, c)| map[to.index()].plus(c)).filter(|it| !it.is_uninit());
                to.is_none_or(|to| self.assume(state, op, value, to))
            })
    }

    fn import(&mut self, summary: &Summary, trace: u32, call: u32, known: &mut FxHashMap<u32, u32>) -> u32 {
        if let Some(&it) = known.get(&trace) {
            return it;
        }
        let mut chain = vec![trace];
        while let Some(&last) = chain.last() {
            let via = summary.traces[last as usize].via;
            if via == 0 || chain.len() >= DEPTH_MAX {
                break;
            }
            chain.push(via);
        }
        let mut via = call;
        for it in chain.into_iter().rev() {
            let spot = summary.traces[it as usize].spot;
            via = self.trace(Trace { spot, via });
        }
        known.insert(trace, via);
        via
    }

    /// Checks what the callee needs of the memory it gets.
    fn meet(
        &mut self,
        state: &mut State,
        summary: &Summary,
        demand: &Demand,
        map: &[Val],
        call: u32,
        traces: &mut FxHashMap<u32, u32>,
    ) {
        let pointer = self.mapped(map, demand.pointer);
        self.is_null_assumed = pointer.as_int().is_none();
        let pointer = self.state_value(state, pointer);
        if pointer.is_uninit() {
            return;
        }
        let trace = self.import(summary, demand.trace, call, traces);
        let mut guard = None;
        if let Some(it) = demand.guard {
            let value = self.mapped(map, Val::sym(it.sym));
            let value = self.state_value(state, value);
            let (lo, hi) = state.range(&self.symbols, value);
            if lo > it.hi || hi < it.lo || lo == hi && it.not == Some(lo) {
                return;
            }
            if lo == hi {
                // It holds, as far as is known.
            } else if let Some(sym) = value.as_sym()
                && self.symbols.is_input(sym)
            {
                guard = Some(Guard { sym, ..it });
            }
        }
        let outer = self.place_of_report.replace(trace);
        (self.is_unsure, self.guard) = (!demand.is_sure, guard);
        match demand.need {
            Need::Access { is_write, bytes } => {
                let bytes = self.mapped(map, bytes);
                let bytes = self.state_value(state, bytes);
                if let Some(at) = self.split(pointer)
                    && !bytes.is_uninit()
                {
                    self.access(state, at, bytes, is_write);
                }
            }
            Need::Initialized { bytes } => {
                if let Some(at) = self.split(pointer)
                    && !at.0.is_none()
                {
                    let value = self.peek(state, at, bytes);
                    if value.is_uninit() {
                        self.used(state, Val::uninit(at.0));
                    } else if let Some(sym) = value.as_sym()
                        && let Meaning::Initial { object, .. } = self.symbols.meaning(sym)
                        && object == at.0
                    {
                        self.demand(state, Demand::new(demand.need, pointer, trace));
                    }
                }
            }
            Need::Room { needed } => match pointer.as_int() {
                Some(size) if size > 0 && size < needed => {
                    let finding = rules::undersized_allocation::finding(self, trace, size, needed);
                    self.report(state, finding);
                }
                None if pointer.as_sym().is_some_and(|it| self.symbols.is_input(it)) => {
                    self.demand(state, Demand::new(demand.need, pointer, trace));
                }
                _ => {}
            },
            Need::Within { is_write, is_under, is_stack } => {
                let mut terms = Terms::new(0);
                if terms.add(pointer, 1) {
                    if self.exceeds(state, terms) {
                        let finding = rules::heap_overflow::beyond(self, is_write, is_under, is_stack);
                        self.report(state, finding);
                    } else if terms.list().iter().any(|it| self.symbols.is_input(it.0))
                        && state.greatest(&self.symbols, terms, 2) > 0
                    {
                        self.demand(state, Demand::new(demand.need, pointer, trace));
                    }
                }
            }
            Need::Apart { bytes } => {
                let bytes = self.mapped(map, bytes);
                if let (Some(distance), Some(bytes)) = (pointer.as_int(), bytes.as_int()) {
                    if distance.abs() < bytes && distance != 0 {
                        let finding = rules::overlapping_copy::finding(self);
                        self.report(state, finding);
                    }
                } else if self.symbols.is_input(pointer.a) || self.symbols.is_input(pointer.b) {
                    self.demand(state, Demand::new(Need::Apart { bytes }, pointer, trace));
                }
            }
        }
        (self.is_unsure, self.guard) = (false, None);
        self.place_of_report = outer;
    }

    /// Does to the caller's object what the callee did to it.
    #[allow(clippy::too_many_arguments)]
    fn take_over(
        &mut self,
        state: &mut State,
        summary: &Summary,
        sym: Sym,
        object: &Object,
        map: &[Val],
        call: u32,
        traces: &mut FxHashMap<u32, u32>,
    ) {
        let Some((base, by)) = self.split(map[sym.index()]) else { return };
        if base.is_none() {
            return;
        }
        let stamp_of = |it: &mut Self, state: &State, stamp: Sym| {
            map[stamp.index()].as_sym().unwrap_or_else(|| it.stamp(state))
        };
        if matches!(summary.meanings[sym.index()], Meaning::Made { .. } | Meaning::Record { .. }) {
            let mut new = object.clone();
            new.made = self.import(summary, object.made, call, traces);
            new.status = match object.status {
                Status::Live => Status::Live,
                Status::Freed(it) => Status::Freed(self.import(summary, it, call, traces)),
                Status::Gone(it) => Status::Gone(self.import(summary, it, call, traces)),
            };
            new.size = object.size.map(|it| self.mapped(map, it));
            new.stamp = stamp_of(self, state, object.stamp);
            new.content = match object.content {
                Content::Written(stamp) => Content::Written(stamp_of(self, state, stamp)),
                other => other,
            };
            for it in &mut new.segments {
                it.piece = self.mapped_piece(state, map, it.piece);
            }
            for it in &object.segments {
                self.write_word(&mut new, it.lo, it.piece);
            }
            for it in &mut new.elements {
                it.0 = self.mapped(map, it.0);
                it.2 = self.mapped(map, it.2);
            }
            new.reach = object
                .reach
                .map(|(lo, to, piece)| (lo, self.mapped(map, to), self.mapped_piece(state, map, piece)));
            new.text = object.text.map(|(at, length)| (at, self.mapped(map, length)));
            for it in &mut new.held {
                *it = self.mapped(map, *it);
            }
            state.put(base, new);
            return;
        }
        self.ensure(state, base);
        if object.is_escaped {
            self.escape(state, &[Val::sym(base)], false);
        }
        if let Status::Freed(trace) = object.status {
            let trace = self.import(summary, trace, call, traces);
            if matches!(object.class, Class::Storage) {
                let outer = self.place_of_report.replace(trace);
                if object.freed_as == u16::MAX {
                    if let Some(it) = state.object_mut(base) {
                        it.status = Status::Freed(trace);
                    }
                } else {
                    let pointer = self.mapped(map, Val::sym(sym));
                    self.free(state, pointer, object.freed_as, trace);
                }
                self.place_of_report = outer;
            }
        }
        if !object.is_written {
            return;
        }
        let Some(by) = by.as_int() else {
            self.forget_at(state, (base, by));
            return;
        };
        if let Content::Written(stamp) = object.content {
            let stamp = stamp_of(self, state, stamp);
            if let Some(it) = state.object_mut(base) {
                it.forget(stamp);
            }
        }
        let stamp = stamp_of(self, state, object.stamp);
        for it in &object.segments {
            let piece = self.mapped_piece(state, map, it.piece);
            if let Some(to) = state.object_mut(base) {
                to.write(it.lo.saturating_add(by), it.hi.saturating_add(by), piece, stamp);
                self.write_word(to, it.lo.saturating_add(by), it.piece);
            }
        }
        if let Some((lo, to, piece)) = object.reach {
            let to = self.mapped(map, to);
            let piece = self.mapped_piece(state, map, piece);
            self.fill(state, (base, Val::int(lo + by)), to.plus(-lo), piece);
        }
        let elements: Vec<(Val, u32, Val)> =
            object.elements.iter().map(|it| (self.mapped(map, it.0), it.1, self.mapped(map, it.2))).collect();
        for (at, bytes, value) in elements {
            let at = self.state_value(state, at);
            self.poke(state, (base, at.plus(by)), bytes, value);
        }
        let held: Vec<Val> = object.held.iter().map(|it| self.mapped(map, *it)).collect();
        let text = object.text.map(|(at, length)| (at + by, self.mapped(map, length)));
        if let Some(to) = state.object_mut(base) {
            for it in held {
                to.hold(it);
            }
            to.text = text;
            to.stamp = stamp;
        }
    }

    /// Writes what the caller knows of the parts of a word that the callee copied.
    fn write_word(&self, to: &mut Object, lo: i64, piece: Piece) {
        let Piece::Value(value) = piece else { return };
        let Some(pieces) = value.as_sym().and_then(|it| self.words.get(&it)) else { return };
        let stamp = to.stamp;
        for it in pieces {
            to.write(lo + it.lo, lo + it.hi, it.piece, stamp);
        }
    }

    fn mapped_piece(&mut self, state: &State, map: &[Val], piece: Piece) -> Piece {
        match piece {
            Piece::Value(value) => {
                let value = self.mapped(map, value);
                Piece::Value(self.state_value(state, value))
            }
            Piece::Written(stamp) => {
                let stamp = map[stamp.index()].as_sym().unwrap_or_else(|| self.stamp(state));
                Piece::Written(stamp)
            }
            other => other,
        }
    }

    // Making a summary.

    pub fn summarize(&mut self) -> Summary {
        let exits = std::mem::take(&mut self.exits);
        let mut kept: Vec<(State, Option<Val>)> = Vec::new();
        for (mut state, value) in exits {
            self.drop_own(&mut state, value);
            match kept
                .iter()
                .position(|it| it.1 == value && it.0.is_same_memory(&state) && it.0.demands == state.demands)
            {
                Some(at) => join(&mut kept[at].0, self, &state),
                None if kept.len() < WAYS_MAX => kept.push((state, value)),
                None => {
                    let like = kept
                        .iter()
                        .position(|it| it.1 == value && is_same_shape(&it.0, &state))
                        .or_else(|| {
                            kept.iter().position(|it| {
                                it.1.is_some() == value.is_some() && is_same_shape(&it.0, &state)
                            })
                        });
                    match like {
                        Some(at) => {
                            let (mut joined, other) = kept.remove(at);
                            let mut part = 0x3_0000;
                            let value = match (other, value) {
                                (Some(a), Some(b)) if a != b => {
                                    Some(self.joined(&mut joined, &state, a, b, u32::MAX, &mut part))
                                }
                                _ => other,
                            };
                            self.join_memory(&mut joined, &state, BlockId(0));
                            join(&mut joined, self, &state);
                            kept.insert(at, (joined, value));
                        }
                        None => self.is_incomplete = true,
                    }
                }
            }
        }
        let mut summary = Summary { is_incomplete: self.is_incomplete, ..Summary::default() };
        let mut is_used = vec![false; self.symbols.count()];
        let mut ways = Vec::new();
        for (state, value) in &kept {
            ways.push(self.way(state, *value, &mut is_used));
        }
        if is_used.iter().filter(|it| **it).count() > SYMBOLS_MAX {
            // Too much to carry to every caller.
            return Summary { is_incomplete: true, ..Summary::default() };
        }
        let mut number = vec![Sym::NONE; is_used.len()];
        for at in 0..is_used.len() {
            if is_used[at] || at < 2 {
                number[at] = Sym(summary.meanings.len() as u32);
                let meaning = renumbered(self.symbols.meaning(Sym(at as u32)), &number);
                summary.meanings.push(meaning);
            }
        }
        for way in &mut ways {
            renumber(way, &number);
        }
        summary.disjuncts = ways;
        summary.traces = self.traces.clone();
        summary.latent = self.latent.clone();
        summary.tidy();
        summary
    }

    /// Forgets what no caller can see.
    fn drop_own(&mut self, state: &mut State, value: Option<Val>) {
        let roots: Vec<Val> = value.into_iter().collect();
        let seen = self.reachable(state, &roots, |_| false);
        let kept: Vec<(Sym, Rc<Object>)> = state
            .objects
            .iter()
            .filter(|(sym, object)| match self.symbols.meaning(*sym) {
                Meaning::Local(_) | Meaning::Text { .. } | Meaning::Function(_) => false,
                Meaning::Made { .. } => {
                    seen.contains(sym) && object.class != Class::Heap(self.cx.families.alloca)
                }
                Meaning::Record { .. } => seen.contains(sym),
                Meaning::Slot { container, .. } => {
                    seen.contains(sym)
                        && !matches!(self.symbols.meaning(container), Meaning::Local(_))
                        && (object.is_written || object.is_escaped)
                }
                _ => object.is_written || object.is_escaped || object.status != Status::Live,
            })
            .cloned()
            .collect();
        state.objects = Rc::new(kept);
        state.registers = Rc::default();
    }

    fn way(&self, state: &State, value: Option<Val>, is_used: &mut [bool]) -> Disjunct {
        let mut own = vec![false; is_used.len()];
        let mut work: Vec<Sym> = Vec::new();
        let mut note = |value: Val| {
            if !value.is_uninit() {
                work.extend([value.a, value.b]);
            }
        };
        value.into_iter().for_each(&mut note);
        for (sym, object) in state.objects.iter() {
            note(Val::sym(*sym));
            object.size.into_iter().for_each(&mut note);
            each_value(object, &mut note);
            for it in &object.segments {
                if let Piece::Written(stamp) = it.piece {
                    note(Val::sym(stamp));
                }
            }
            for it in &object.elements {
                note(it.0);
            }
            if let Content::Written(stamp) = object.content {
                note(Val::sym(stamp));
            }
            note(Val::sym(object.stamp));
            if let Some((_, to, piece)) = object.reach {
                note(to);
                if let Piece::Written(stamp) = piece {
                    note(Val::sym(stamp));
                }
            }
            if let Some((_, length)) = object.text {
                note(length);
            }
        }
        let demands: Vec<Demand> = state.demands.iter().map(|it| self.demands[*it as usize]).collect();
        for demand in &demands {
            note(demand.pointer);
            if let Need::Access { bytes, .. } | Need::Apart { bytes } = demand.need {
                note(bytes);
            }
            demand.guard.iter().for_each(|it| note(Val::sym(it.sym)));
        }
        // What was given to the function is part of the condition, used or not.
        for (sym, _) in state.facts.iter() {
            if self.symbols.is_input(*sym) {
                work.push(*sym);
            }
        }
        while let Some(sym) = work.pop() {
            if sym.0 < 2 || std::mem::replace(&mut own[sym.index()], true) {
                continue;
            }
            is_used[sym.index()] = true;
            each_part(self.symbols.meaning(sym), |it| work.push(it));
        }
        let facts = state
            .facts
            .iter()
            .filter(|it| own[it.0.index()] && !self.symbols.is_address(it.0))
            .map(|&(sym, mut fact)| {
                // That a pointer is not null where it is followed is demanded, not a condition of the way.
                if fact.not == Some(0) && demands.iter().any(|it| is_access(it, sym)) {
                    fact.not = None;
                }
                let is_kept = |it: Option<(Sym, i64)>| it.filter(|it| own[it.0.index()]);
                fact.le = is_kept(fact.le);
                fact.ge = is_kept(fact.ge);
                (sym, fact)
            })
            .collect();
        Disjunct {
            facts,
            result: value,
            objects: state.objects.iter().map(|(sym, object)| (*sym, (**object).clone())).collect(),
            latent: state.latent.to_vec(),
            demands,
            is_certain: state.is_certain,
            is_raised: state.is_raised,
            has_failed: state.has_failed,
            assumptions: state.assumptions,
        }
    }

    /// What a failed call leaves: nothing of the failure is known.
    pub fn has_failed(&self, object: &Object) -> bool {
        object.failure != Failure::Never
    }
}

fn join(to: &mut State, engine: &mut Engine<'_>, other: &State) {
    engine.join_demands(to, other);
    to.join_facts(&engine.symbols, other);
}

fn is_access(demand: &Demand, sym: Sym) -> bool {
    matches!(demand.need, Need::Access { .. }) && demand.pointer.as_sym() == Some(sym)
}

/// Summaries are shared between threads.
type Rc2 = std::sync::Arc<Summary>;

fn renumber_value(value: &mut Val, number: &[Sym]) {
    value.a = if value.a.0 < 2 { value.a } else { number[value.a.index()] };
    value.b = if value.b.0 < 2 || value.is_uninit() { Sym::NONE } else { number[value.b.index()] };
}

fn renumbered(mut meaning: Meaning, number: &[Sym]) -> Meaning {
    let of = |sym: Sym| if sym.0 < 2 { sym } else { number[sym.index()] };
    match &mut meaning {
        Meaning::Initial { object, .. } => *object = of(*object),
        Meaning::Slot { container, key } => {
            *container = of(*container);
            renumber_value(key, number);
        }
        Meaning::Written { object, stamp, .. } | Meaning::Length { object, stamp, .. } => {
            *object = of(*object);
            *stamp = of(*stamp);
        }
        Meaning::Element { object, offset, stamp, .. } => {
            *object = of(*object);
            *stamp = of(*stamp);
            renumber_value(offset, number);
        }
        Meaning::Binary { left, right, .. } => {
            renumber_value(left, number);
            renumber_value(right, number);
        }
        Meaning::Narrow { value, .. } | Meaning::Other { value, .. } => renumber_value(value, number),
        _ => {}
    }
    meaning
}

fn renumber_piece(piece: &mut Piece, number: &[Sym]) {
    match piece {
        Piece::Value(value) => renumber_value(value, number),
        Piece::Written(stamp) if stamp.0 >= 2 => *stamp = number[stamp.index()],
        _ => {}
    }
}

fn renumber(way: &mut Disjunct, number: &[Sym]) {
    let of = |sym: &mut Sym| {
        if sym.0 >= 2 {
            *sym = number[sym.index()];
        }
    };
    for (sym, fact) in &mut way.facts {
        of(sym);
        for (to, _) in fact.le.iter_mut().chain(&mut fact.ge) {
            of(to);
        }
    }
    if let Some(it) = &mut way.result {
        renumber_value(it, number);
    }
    for demand in &mut way.demands {
        renumber_value(&mut demand.pointer, number);
        demand.guard.iter_mut().for_each(|it| of(&mut it.sym));
        if let Need::Access { bytes, .. } | Need::Apart { bytes } = &mut demand.need {
            renumber_value(bytes, number);
        }
    }
    for (sym, object) in &mut way.objects {
        of(sym);
        of(&mut object.stamp);
        if let Content::Written(stamp) = &mut object.content {
            of(stamp);
        }
        if let Some(size) = &mut object.size {
            renumber_value(size, number);
        }
        for it in &mut object.segments {
            renumber_piece(&mut it.piece, number);
        }
        for it in &mut object.elements {
            renumber_value(&mut it.0, number);
            renumber_value(&mut it.2, number);
        }
        if let Some((_, to, piece)) = &mut object.reach {
            renumber_value(to, number);
            renumber_piece(piece, number);
        }
        if let Some((_, length)) = &mut object.text {
            renumber_value(length, number);
        }
        for it in &mut object.held {
            renumber_value(it, number);
        }
    }
}
