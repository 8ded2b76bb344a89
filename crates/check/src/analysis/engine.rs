//! One function's analysis: paths through its blocks, states at each, and what they run into.
//!
//! ```text
//! entry state --blocks in order--> states fork at branches, meet at joins --returns--> disjuncts
//! ```
//!
//! States of a block are merged when they say the same of memory; beyond a limit those that differ least are.
//! Loops run twice as they stand; then one state stands for all further rounds: what grew by the same amount
//! each time is a linear form of the number of rounds, the rest is unknown. Work is counted in steps, not
//! in time, so that results do not depend on the machine.

use super::flow::{Flow, Slot};
use super::issue::{Assumed, Assumption, Assumptions, Finding, Spot, Trace};
use super::schedule::View;
use super::state::{
    Class, Content, Fact, Failure, Frame, Held, Object, Piece, Segment, State, Status, TraceId,
};
use super::summary::{Demand, Guard, Need, Summary};
use super::value::{Meaning, Source, Sym, Symbols, Val};
use super::{Context, MemberArray};
use crate::ir::{
    Argument, Base, Binary, Block, BlockId, Callee, ClassId, End, Function, LocalId, Module, Name, Op,
    OpKind, Operand, Place, Reg, Span, Step, Type, TypeId, Unary,
};
use heapwise_model::{Confidence, Rule, Severity};
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// States kept per block.
const STATES_MAX: usize = 16;
/// Demands per state.
const DEMANDS_MAX: usize = 40;
const LATENT_MAX: usize = 24;
/// Paths that are kept apart for what they demand.
const DEMAND_WAYS_MAX: usize = 4;

pub struct Engine<'a> {
    pub cx: &'a Context<'a>,
    pub summaries: &'a View<'a>,
    /// Functions that call each other, this one among them.
    pub component: &'a [u32],
    pub function: u32,
    pub module_number: u32,
    pub module: &'a Module,
    pub ir: &'a Function,
    pub flow: Flow,
    pub symbols: Symbols,
    pub traces: Vec<Trace>,
    trace_ids: FxHashMap<Trace, TraceId>,
    pub latent: Vec<Finding>,
    pub demands: Vec<Demand>,
    demand_ids: FxHashMap<Demand, u32>,
    pub findings: Vec<Finding>,
    /// Position in `findings`.
    reported: FxHashMap<(Rule, Spot), usize>,
    pub exits: Vec<(State, Option<Val>)>,
    pub steps: usize,
    /// Steps that this function may take.
    budget: usize,
    pub is_incomplete: bool,
    /// A call of a function of the component was passed over, since it has no summary yet.
    pub has_missed: bool,
    pub is_main: bool,
    scratch: Vec<Val>,
    pending: Vec<Vec<State>>,
    ready: BTreeSet<u32>,
    /// The operation that is run.
    pub site: u32,
    pub span: Span,
    /// Where to report what a callee does while its summary is applied.
    pub place_of_report: Option<TraceId>,
    /// The pointer that is followed is null by a condition only, not by assignment: what was checked by some
    /// callee need not be possible here.
    pub is_null_assumed: bool,
    /// What is checked is needed on some executions of a callee's way only.
    pub is_unsure: bool,
    /// ... and where this holds.
    pub guard: Option<Guard>,
    /// Some container of a library was used.
    pub has_slots: bool,
    /// Some node of a library's container was erased.
    pub has_gone_nodes: bool,
    /// A text of wide units is handled.
    pub is_wide: bool,
    /// Ends of paths on which locks were taken: the locks, what is returned, and where.
    pub lock_exits: Vec<(Rc<Vec<Held>>, Option<Val>, TraceId)>,
    /// Per head of a loop: demands and latent issues of its further rounds.
    rounds: FxHashMap<BlockId, Rounds>,
    /// While a summary is applied: what the words that the callee found are made of, by its symbols.
    pub words: FxHashMap<Sym, Vec<Segment>>,
    /// Locals that hold a parameter, by number of the local.
    is_parameter: Vec<bool>,
    /// Parameters that are known functions, by symbol: the function is looked at for one of its callers.
    pub bound: Vec<(LocalId, u32)>,
    /// How many such callers are on the way here.
    pub depth: u32,
    /// What was found out so.
    pub specialized: FxHashMap<Bound, Arc<Summary>>,
    /// The last size of a record, by register.
    sized: Option<(Reg, ClassId)>,
    /// Arrays within records that registers lead to.
    extents: FxHashMap<Reg, MemberArray>,
    /// The part of an object that what is done now has to stay in.
    pub narrow: Option<Part>,
    /// Per argument of the call: the array within a record that it is.
    pub extent_of_argument: Vec<Option<MemberArray>>,
}

/// What the ways through further rounds of a loop need and run into: by how many of them.
#[derive(Clone, Default)]
struct Rounds {
    ways: u32,
    demands: BTreeMap<u32, u32>,
    latent: BTreeMap<u32, u32>,
}

impl Rounds {
    fn add(&mut self, state: &State) {
        self.ways += 1;
        for it in state.demands.iter() {
            *self.demands.entry(*it).or_default() += 1;
        }
        for it in state.latent.iter() {
            *self.latent.entry(*it).or_default() += 1;
        }
    }
}

/// A function, and which of its parameters are which functions.
pub type Bound = (u32, Vec<(LocalId, u32)>);

/// A part of an object: where it starts, and how long it is.
#[derive(Clone, Copy)]
pub struct Part {
    pub base: Sym,
    pub start: Val,
    pub bytes: i64,
    /// Only writes have to stay in it.
    pub is_written: bool,
}

/// Registers that hold the address of an array within a record, converted or not.
fn extents(
    ir: &Function,
    members: &FxHashMap<(Name, u64), Option<MemberArray>>,
) -> FxHashMap<Reg, MemberArray> {
    let mut found = FxHashMap::default();
    if members.is_empty() {
        return found;
    }
    for op in ir.blocks.iter().flat_map(|it| &it.ops) {
        match &op.kind {
            OpKind::Address { to, of } => {
                if let Some(Step::Field { name, offset: Some(offset) }) = of.steps.last()
                    && let Some(Some(it)) = members.get(&(*name, *offset))
                {
                    found.insert(*to, *it);
                }
            }
            OpKind::Cast { to, value: Operand::Reg(from), .. } => {
                if let Some(it) = found.get(from).copied() {
                    found.insert(*to, it);
                }
            }
            _ => {}
        }
    }
    found
}

/// A place, worked out.
pub type At = (Sym, Val);

impl<'a> Engine<'a> {
    pub fn new(
        cx: &'a Context<'a>,
        summaries: &'a View<'a>,
        component: &'a [u32],
        function: u32,
    ) -> Engine<'a> {
        let (module, ir) = cx.program.ir(function);
        let flow = Flow::new(ir);
        let name = module.name(ir.name);
        let is_main =
            matches!(name, "main" | "wmain" | "WinMain" | "wWinMain" | "_tmain" | "main/0" | "main/2");
        let mut is_parameter = vec![false; ir.locals.len()];
        for it in &ir.parameters {
            is_parameter[it.index()] = true;
        }
        let module_number = cx.program.functions[function as usize].module;
        let none = Trace { spot: Spot { module: module_number, function, span: Span::NONE }, via: 0 };
        Engine {
            cx,
            summaries,
            component,
            function,
            module_number,
            module,
            ir,
            symbols: Symbols::new(is_main),
            traces: vec![none],
            trace_ids: FxHashMap::default(),
            latent: Vec::new(),
            demands: Vec::new(),
            demand_ids: FxHashMap::default(),
            findings: Vec::new(),
            reported: FxHashMap::default(),
            exits: Vec::new(),
            steps: 0,
            budget: cx.options.steps + 6 * ir.blocks.len(),
            is_incomplete: false,
            has_missed: false,
            is_main,
            scratch: vec![Val::ZERO; flow.locals],
            pending: vec![Vec::new(); flow.blocks.len()],
            ready: BTreeSet::new(),
            site: 0,
            span: Span::NONE,
            place_of_report: None,
            is_null_assumed: false,
            is_unsure: false,
            guard: None,
            has_slots: false,
            has_gone_nodes: false,
            is_wide: false,
            lock_exits: Vec::new(),
            rounds: FxHashMap::default(),
            words: FxHashMap::default(),
            is_parameter,
            extents: extents(ir, &cx.members[cx.program.functions[function as usize].module as usize]),
            bound: Vec::new(),
            depth: 0,
            specialized: FxHashMap::default(),
            sized: None,
            narrow: None,
            extent_of_argument: Vec::new(),
            flow,
        }
    }

    /// Which arguments of a call are arrays within records.
    pub fn find_extents(&mut self, arguments: &[Argument]) {
        self.extent_of_argument.clear();
        if !self.extents.is_empty() {
            self.extent_of_argument.extend(arguments.iter().map(|it| match it.value {
                Operand::Reg(reg) => self.extents.get(&reg).copied(),
                _ => None,
            }));
        }
    }

    /// Runs all paths, within the budget.
    pub fn run(&mut self) {
        if self.ir.blocks.is_empty() {
            return;
        }
        let state = State::new(self.flow.shared);
        self.enter(state, BlockId(0), BlockId(0));
        while let Some(at) = self.ready.pop_first() {
            let block = self.flow.blocks[at as usize];
            let states = std::mem::take(&mut self.pending[at as usize]);
            for state in self.merge(states, block) {
                if self.steps > self.budget {
                    self.is_incomplete = true;
                    return;
                }
                self.block(state, block);
            }
        }
    }

    pub fn spot(&self, span: Span) -> Spot {
        Spot { module: self.module_number, function: self.function, span }
    }

    pub fn here(&mut self) -> TraceId {
        if let Some(it) = self.place_of_report {
            return it;
        }
        let trace = Trace { spot: self.spot(self.span), via: 0 };
        self.trace(trace)
    }

    pub fn trace(&mut self, trace: Trace) -> TraceId {
        if let Some(&it) = self.trace_ids.get(&trace) {
            return it;
        }
        let id = self.traces.len() as TraceId;
        self.traces.push(trace);
        self.trace_ids.insert(trace, id);
        id
    }

    pub fn stamp(&mut self, state: &State) -> Sym {
        self.symbols.id(Meaning::Stamp { site: self.site, turn: state.turn() })
    }

    /// A new value of which only its origin is known.
    pub fn fresh(&mut self, state: &State, part: u32, source: Source) -> Val {
        let meaning = Meaning::Result { site: self.site, turn: state.turn(), part, source };
        self.symbols.value(meaning)
    }

    // Reports.

    pub fn emit(&mut self, finding: Finding) {
        match self.reported.entry((finding.rule, finding.place)) {
            Entry::Vacant(it) => {
                it.insert(self.findings.len());
                self.findings.push(finding);
            }
            Entry::Occupied(it) => {
                let known = &mut self.findings[*it.get()];
                if known.severity < finding.severity {
                    *known = finding;
                }
            }
        }
    }

    /// Reports a bug of this path: at once where the path depends on nothing that callers decide.
    pub fn report(&mut self, state: &mut State, mut finding: Finding) {
        if !state.is_certain || self.is_unsure {
            finding.confidence = Confidence::Likely;
        }
        let mut assumptions = state.assumptions;
        if self.is_unsure {
            let at = self.here();
            assumptions.add(Assumption { what: Assumed::Needed, at });
        }
        if state.has_failed && finding.rule == Rule::NullDereference {
            let at = self.here();
            assumptions.add(Assumption { what: Assumed::Failed, at });
        }
        self.weaken(&mut finding, assumptions);
        if !state.is_conditional {
            self.emit(finding);
            return;
        }
        let known = self.latent.iter().position(|it| {
            it.rule == finding.rule && it.place == finding.place && it.severity == finding.severity
        });
        let id = match known {
            Some(it) => it,
            None if self.latent.len() >= LATENT_MAX => return,
            None => {
                self.latent.push(finding);
                self.latent.len() - 1
            }
        } as u32;
        if !state.latent.contains(&id) {
            Rc::make_mut(&mut state.latent).push(id);
        }
    }

    /// Says of a finding what its path assumes.
    fn weaken(&self, finding: &mut Finding, assumptions: Assumptions) {
        let Some(first) = assumptions.first else { return };
        let is_error = finding.severity == Severity::Error;
        finding.severity = if is_error && !assumptions.has_more { Severity::Warning } else { Severity::Note };
        finding.message.push_str(first.what.text());
        finding.related.push((first.what.place().to_owned(), self.spot_of(first.at)));
    }

    /// Restricts the path to executions where `left op right` holds; `false`: there are none.
    pub fn assume(&mut self, state: &mut State, op: Binary, left: Val, right: Val) -> bool {
        let is_possible = state.assume(&mut self.symbols, op, left, right);
        self.note_assumed(state, [left.a, right.a]);
        is_possible
    }

    /// Restricts the path to executions where a plain symbol has the range of a fact; `false`: there are none.
    pub fn confine(&mut self, state: &mut State, sym: Sym, fact: &Fact) -> bool {
        let is_possible = state.confine(&self.symbols, sym, fact);
        self.note_assumed(state, [sym, Sym::NONE]);
        is_possible
    }

    fn note_assumed(&mut self, state: &mut State, about: [Sym; 2]) {
        if let Some(what) = state.assumed.take() {
            let at = self.here();
            state.assumptions.add(Assumption { what, at });
        }
        for sym in about {
            state.has_failed |= self.is_failed(state, sym);
        }
    }

    /// Whether the path goes on after an allocation that failed.
    fn is_failed(&self, state: &State, sym: Sym) -> bool {
        matches!(self.symbols.meaning(sym), Meaning::Made { .. })
            && state.known(sym).is_some_and(|it| it.hi == 0)
            && state
                .object(sym)
                .is_some_and(|it| it.failure == Failure::Null && matches!(it.class, Class::Heap(_)))
    }

    fn demand_id(&mut self, demand: Demand) -> u32 {
        // The trace tells only where: one demand of a kind is enough.
        let key = Demand { trace: 0, ..demand };
        let next = self.demands.len() as u32;
        let id = *self.demand_ids.entry(key).or_insert(next);
        if id == next {
            self.demands.push(demand);
        }
        id
    }

    /// Joins demands: those that say no more than that a pointer is followed stay, if unsure, where one way only makes
    /// them; all others need both ways, since what they depend on is no longer known.
    pub fn join_demands(&mut self, state: &mut State, other: &State) {
        if state.demands == other.demands {
            return;
        }
        let mut joined: Vec<u32> =
            state.demands.iter().copied().filter(|it| other.demands.contains(it)).collect();
        for &it in state.demands.iter().chain(other.demands.iter()) {
            let demand = self.demands[it as usize];
            if demand.is_plain() && !joined.contains(&it) {
                let (with, without) =
                    if state.demands.contains(&it) { (&*state, other) } else { (other, &*state) };
                let guard = demand.guard.or_else(|| self.guard(with, without));
                let unsure = self.demand_id(Demand { is_sure: false, guard, ..demand });
                if !joined.contains(&unsure) {
                    joined.push(unsure);
                }
            }
        }
        state.demands = Rc::new(joined);
    }

    /// What is known of something that the function was given on one way, and does not hold on another.
    fn guard(&self, with: &State, without: &State) -> Option<Guard> {
        with.facts.iter().find_map(|&(sym, fact)| {
            if !self.symbols.is_input(sym) {
                return None;
            }
            let other = without.fact(&self.symbols, sym);
            let is_apart = fact.lo > other.hi
                || fact.hi < other.lo
                || other.lo == other.hi && fact.not == Some(other.lo);
            is_apart.then_some(Guard { sym, lo: fact.lo, hi: fact.hi, not: fact.not })
        })
    }

    pub fn demand(&mut self, state: &mut State, mut demand: Demand) {
        if state.demands.len() >= DEMANDS_MAX {
            return;
        }
        demand.is_sure &= !self.is_unsure;
        demand.guard = demand.guard.or(self.guard);
        let id = self.demand_id(demand);
        if !state.demands.contains(&id) {
            Rc::make_mut(&mut state.demands).push(id);
        }
    }

    // Blocks and edges.

    fn block(&mut self, state: State, id: BlockId) {
        let block: &'a Block = &self.ir.blocks[id.index()];
        let mut work: Vec<(State, usize, Vec<Val>)> = vec![(state, 0, Vec::new())];
        while let Some((mut state, from, scratch)) = work.pop() {
            self.steps += 1;
            self.scratch[..scratch.len()].copy_from_slice(&scratch);
            let mut is_alive = true;
            for (index, op) in block.ops.iter().enumerate().skip(from) {
                self.site = self.flow.first_site[id.index()] + index as u32;
                self.span = op.span;
                if let OpKind::Call { to, callee, args } = &op.kind {
                    let mut results = self.call(state, callee, args);
                    if results.len() > 1 {
                        self.steps += results.len();
                    }
                    if results.iter().any(|it| it.0.is_raised) {
                        let (raised, returned) = results.into_iter().partition(|it| it.0.is_raised);
                        results = returned;
                        for (mut state, _) in raised as Vec<(State, Val)> {
                            self.undo_construction(&mut state, callee, args);
                            self.raise(state, id);
                        }
                    }
                    let Some((first, value)) = results.pop() else {
                        is_alive = false;
                        state = State::new(0);
                        break;
                    };
                    for (mut other, value) in results {
                        if self.steps > self.budget {
                            self.is_incomplete = true;
                            break;
                        }
                        if let Some(to) = to {
                            self.set(&mut other, *to, value);
                        }
                        work.push((other, index + 1, self.scratch.clone()));
                    }
                    state = first;
                    if let Some(to) = to {
                        self.set(&mut state, *to, value);
                    }
                } else if !self.operation(&mut state, op) {
                    is_alive = false;
                    break;
                }
            }
            if is_alive {
                self.site = self.flow.first_site[id.index()] + block.ops.len() as u32;
                self.span = block.end_span;
                self.end(state, id, &block.end);
            }
        }
    }

    fn end(&mut self, mut state: State, from: BlockId, end: &End) {
        match end {
            End::Goto(to) => self.enter(state, from, *to),
            End::Branch { condition, then, other } => {
                let value = self.value(&state, *condition);
                let value = self.used(&mut state, value);
                let value = self.state_value(&state, value);
                match self.truth(&state, value) {
                    Some(is_true) => {
                        let to = if is_true { *then } else { *other };
                        self.leave(&mut state, to, value);
                        self.enter(state, from, to);
                    }
                    None => {
                        let mut no = state.clone();
                        if self.assume(&mut state, Binary::NotEqual, value, Val::ZERO) {
                            self.leave(&mut state, *then, value);
                            self.enter(state, from, *then);
                        }
                        if self.assume(&mut no, Binary::Equal, value, Val::ZERO) {
                            self.leave(&mut no, *other, value);
                            self.enter(no, from, *other);
                        }
                    }
                }
            }
            End::Switch { value, cases, default } => {
                let value = self.value(&state, *value);
                let value = self.used(&mut state, value);
                let value = self.state_value(&state, value);
                for (case, to) in cases {
                    let mut taken = state.clone();
                    if self.assume(&mut taken, Binary::Equal, value, Val::int(*case)) {
                        self.enter(taken, from, *to);
                    }
                    if !self.assume(&mut state, Binary::NotEqual, value, Val::int(*case)) {
                        return;
                    }
                }
                self.enter(state, from, *default);
            }
            End::Return(value) => {
                let value = value.map(|it| self.value(&state, it));
                self.leave_function(state, value);
            }
            End::Raise(_) | End::Resume => self.raise(state, from),
            End::Unreachable => {}
        }
    }

    /// An exception goes to whoever waits for it.
    fn raise(&mut self, mut state: State, from: BlockId) {
        match self.ir.blocks[from.index()].unwind {
            Some(to) => {
                state.is_raised = false;
                self.enter(state, from, to);
            }
            // What `main` does not catch ends the program.
            None if self.is_main => {}
            None => {
                state.is_raised = true;
                self.leave_function(state, None);
            }
        }
    }

    /// An object whose constructor fails is given back by the language, and so are its members.
    fn undo_construction(&mut self, state: &mut State, callee: &Callee, args: &[Argument]) {
        let Callee::Direct(name) = callee else { return };
        let name = self.module.name(*name);
        let name = name.rsplit_once('/').map_or(name, |it| it.0);
        let Some((class, method)) = name.rsplit_once("::") else { return };
        if class.rsplit("::").next() != Some(method) {
            return;
        }
        let Some(receiver) = args.first() else { return };
        let receiver = self.value(state, receiver.value);
        let is_plain = self.cx.program.class(class).is_some_and(|(module, class)| {
            class.bases.is_empty()
                && !class.fields.iter().any(|it| matches!(module.types[it.ty.index()], Type::Record(_)))
        });
        let is_block =
            self.split(receiver).is_some_and(|it| matches!(self.symbols.meaning(it.0), Meaning::Made { .. }));
        if is_block || !is_plain {
            self.escape(state, &[receiver], false);
        }
    }

    /// When a condition ends a loop, the rounds are the fewest for which it does.
    fn leave(&mut self, state: &mut State, to: BlockId, condition: Val) {
        let Some(frame) = state.frames.last() else { return };
        let head = frame.head;
        if frame.arrivals < 3 || self.flow.is_in_loop(to, head) {
            return;
        }
        let mut work = vec![condition];
        let mut fuel = 8;
        while let Some(value) = work.pop() {
            fuel -= 1;
            if fuel == 0 {
                return;
            }
            for sym in [value.a, value.b] {
                match self.symbols.meaning(sym) {
                    Meaning::Rounds { head: it, .. } if it == head.0 => {
                        state.settle_rounds(&self.symbols, sym)
                    }
                    Meaning::Binary { left, right, .. } => work.extend([left, right]),
                    Meaning::Narrow { value, .. } => work.push(value),
                    _ => {}
                }
            }
        }
    }

    fn enter(&mut self, mut state: State, from: BlockId, to: BlockId) {
        while let Some(frame) = state.frames.last() {
            if self.flow.is_in_loop(to, frame.head) {
                break;
            }
            let frame = state.frames.pop().expect("there is a last one");
            if frame.arrivals == 3 {
                self.note_left(&mut state, frame.head);
            }
        }
        self.join_values(&mut state, from, to);
        if self.flow.is_head[to.index()] {
            let snapshot = |state: &State| Some(Rc::new(State { frames: Vec::new(), ..state.clone() }));
            match state.frames.last().filter(|it| it.head == to).map(|it| it.arrivals) {
                None => {
                    let before = snapshot(&state);
                    state.frames.push(Frame { head: to, arrivals: 0, first: before.clone(), before });
                }
                Some(0) => {
                    let before = snapshot(&state);
                    let frame = state.frames.last_mut().expect("found above");
                    frame.arrivals = 1;
                    frame.before = before;
                }
                Some(1) => {
                    let frame = state.frames.last_mut().expect("found above");
                    frame.arrivals = 3;
                    let (first, before) = (frame.first.take(), frame.before.take());
                    if let (Some(first), Some(before)) = (first, before) {
                        self.generalize(&mut state, &first, &before, to);
                    }
                }
                Some(_) => {
                    // What further rounds need is needed on every way out.
                    self.rounds.entry(to).or_default().add(&state);
                    return;
                }
            }
        }
        let at = self.flow.order[to.index()];
        self.pending[at as usize].push(state);
        self.ready.insert(at);
    }

    pub fn note_left(&mut self, state: &mut State, head: BlockId) {
        let left = Rc::make_mut(&mut state.left);
        match left.iter_mut().find(|it| it.0 == head) {
            Some(it) => it.1 = true,
            None => left.push((head, true)),
        }
    }

    /// Adds what the rounds of loops that the path has left need and run into.
    pub fn recall_rounds(&mut self, state: &mut State) {
        for (head, is_sure) in std::mem::take(&mut state.left).iter() {
            let Some(rounds) = self.rounds.get(head).cloned() else { continue };
            for (it, ways) in rounds.demands {
                if state.demands.contains(&it) || state.demands.len() >= DEMANDS_MAX {
                    continue;
                }
                let it = if *is_sure && ways == rounds.ways {
                    it
                } else {
                    let demand = self.demands[it as usize];
                    self.demand_id(Demand { is_sure: false, ..demand })
                };
                if !state.demands.contains(&it) {
                    Rc::make_mut(&mut state.demands).push(it);
                }
            }
            for (it, ways) in rounds.latent {
                if *is_sure && ways == rounds.ways && !state.latent.contains(&it) {
                    Rc::make_mut(&mut state.latent).push(it);
                }
            }
        }
    }

    /// Values that depend on where control came from.
    fn join_values(&mut self, state: &mut State, from: BlockId, to: BlockId) {
        if !self.flow.has_choices[to.index()] {
            return;
        }
        let mut values: Vec<(Reg, Val)> = Vec::new();
        for op in &self.ir.blocks[to.index()].ops {
            let OpKind::Phi { to, from: choices } = &op.kind else { continue };
            if let Some((_, operand)) = choices.iter().find(|it| it.0 == from) {
                values.push((*to, self.value(state, *operand)));
            }
        }
        for (reg, value) in values {
            self.set(state, reg, value);
        }
    }

    /// One state per thing that is said of memory, and not more than the limit.
    fn merge(&mut self, states: Vec<State>, block: BlockId) -> Vec<State> {
        if states.len() < 2 {
            return states;
        }
        let max = self.states_max();
        let mut states = states;
        states.iter_mut().for_each(|it| self.forget_dead(it, block));
        let mut kept: Vec<State> = Vec::with_capacity(states.len().min(max));
        for state in states {
            // While there are few, ways that need different things of the caller stay apart.
            let is_near =
                |it: &State, few: bool| it.is_same_memory(&state) && (!few || it.demands == state.demands);
            let few = kept.len() < DEMAND_WAYS_MAX.min(max / 2);
            if let Some(at) = kept.iter().position(|it| is_near(it, few)) {
                self.join_demands(&mut kept[at], &state);
                kept[at].join_facts(&self.symbols, &state);
            } else if kept.len() < max {
                kept.push(state);
            } else if let Some(at) = kept.iter().position(|it| is_same_shape(it, &state)) {
                let mut joined = kept.remove(at);
                self.join_memory(&mut joined, &state, block);
                self.join_demands(&mut joined, &state);
                joined.join_facts(&self.symbols, &state);
                kept.insert(at, joined);
            }
        }
        kept
    }

    /// The more of the budget is used, the fewer states go on: all of the function is to be seen.
    pub fn states_max(&self) -> usize {
        match self.steps * 8 / self.budget.max(1) {
            0 | 1 => STATES_MAX,
            2 | 3 => STATES_MAX / 2,
            4 => STATES_MAX / 4,
            5 => 2,
            _ => 1,
        }
    }

    /// Forgets locals and registers that are written before they are read again.
    fn forget_dead(&self, state: &mut State, block: BlockId) {
        let is_dead = |sym: Sym| match self.symbols.meaning(sym) {
            Meaning::Local(it) => !self.flow.is_live(block, it),
            _ => false,
        };
        if state.objects.iter().any(|it| is_dead(it.0)) {
            Rc::make_mut(&mut state.objects).retain(|it| !is_dead(it.0));
        }
        for at in 0..state.registers.len() {
            if state.registers[at] != Val::ZERO && !self.flow.is_live_register(block, at) {
                Rc::make_mut(&mut state.registers)[at] = Val::ZERO;
            }
        }
    }

    pub fn join_memory(&mut self, state: &mut State, other: &State, block: BlockId) {
        let site = self.flow.first_site[block.index()];
        let stamp = self.symbols.id(Meaning::Stamp { site, turn: u32::MAX });
        let mut part = 0;
        let mut lost = Vec::new();
        for at in 0..state.registers.len() {
            let (a, b) = (state.registers[at], other.registers[at]);
            if a != b {
                Rc::make_mut(&mut state.registers)[at] = self.joined(state, other, a, b, site, &mut part);
            }
        }
        let objects: Vec<(Sym, Rc<Object>, Rc<Object>)> = state
            .objects
            .iter()
            .zip(other.objects.iter())
            .filter(|(a, b)| !Rc::ptr_eq(&a.1, &b.1) && a.1 != b.1)
            .map(|(a, b)| (a.0, a.1.clone(), b.1.clone()))
            .collect();
        for (sym, a, b) in objects {
            let mut joined = (*a).clone();
            let is_like = a.segments.len() == b.segments.len()
                && a.content == b.content
                && a.segments.iter().zip(&b.segments).all(|(x, y)| x.lo == y.lo && x.hi == y.hi);
            joined.is_escaped |= b.is_escaped;
            joined.is_written |= b.is_written;
            if is_like {
                for (x, y) in joined.segments.iter_mut().zip(&b.segments) {
                    if x.piece == y.piece {
                        continue;
                    }
                    x.piece = match (x.piece, y.piece) {
                        (Piece::Value(v), Piece::Value(w)) => {
                            lost.extend([v, w]);
                            Piece::Value(self.joined(state, other, v, w, site, &mut part))
                        }
                        _ => Piece::Written(stamp),
                    };
                }
                joined.elements.retain(|it| b.elements.contains(it));
                if joined.text != b.text {
                    joined.text = None;
                }
                if joined.reach != b.reach {
                    joined.forget(stamp);
                }
            } else {
                for it in a.segments.iter().chain(&b.segments) {
                    if let Piece::Value(it) = it.piece {
                        lost.push(it);
                    }
                }
                joined.forget(stamp);
            }
            state.put(sym, joined);
        }
        for value in lost {
            self.forget_owner(state, value);
        }
    }

    pub fn joined(
        &mut self,
        state: &mut State,
        other: &State,
        a: Val,
        b: Val,
        site: u32,
        part: &mut u32,
    ) -> Val {
        *part += 1;
        let sym = self.symbols.id(Meaning::Join { site, part: *part });
        let ((l, h), (x, y)) = (state.range(&self.symbols, a), other.range(&self.symbols, b));
        state.limit(&self.symbols, sym, l.min(x), h.max(y));
        Val::sym(sym)
    }

    /// The pointer is no longer followed: whoever holds it may free what it leads to.
    pub fn forget_owner(&mut self, state: &mut State, value: Val) {
        for sym in [value.a, value.b] {
            if matches!(self.symbols.meaning(sym), Meaning::Made { .. })
                && let Some(object) = state.object_mut(sym)
            {
                object.is_escaped = true;
            }
        }
    }

    /// Makes of the state before the third round one that stands for all further rounds.
    fn generalize(&mut self, state: &mut State, first: &State, before: &State, head: BlockId) {
        let site = self.flow.first_site[head.index()];
        let turn = state.turn();
        let rounds = self.symbols.value(Meaning::Rounds { head: head.0, turn });
        let stamp = self.symbols.id(Meaning::Stamp { site, turn: turn ^ 0x8000_0000 });
        let mut part = 0x1_0000;
        let mut lost = Vec::new();
        let mut moved = Vec::new();
        for at in 0..state.registers.len() {
            let (a, b, c) = (first.registers[at], before.registers[at], state.registers[at]);
            if b != c {
                let value = self.progress(Some(a), b, c, rounds, site, &mut part, &mut lost, &mut moved);
                Rc::make_mut(&mut state.registers)[at] = value;
            }
        }
        let changed: Vec<(Sym, Rc<Object>, Rc<Object>)> = state
            .objects
            .iter()
            .filter_map(|(sym, new)| {
                let old = before.object(*sym)?;
                (!Rc::ptr_eq(old, new) && old != new).then(|| (*sym, old.clone(), new.clone()))
            })
            .collect();
        for (sym, old, new) in changed {
            let mut object = (*new).clone();
            let start = first.object(sym);
            object.stamp = stamp;
            object.elements.clear();
            if new.content != old.content || new.reach != old.reach || new.elements != old.elements {
                for it in &new.segments {
                    if let Piece::Value(it) = it.piece {
                        lost.push(it);
                    }
                }
                lost.extend(new.elements.iter().map(|it| it.2));
                object.forget(stamp);
                state.put(sym, object);
                continue;
            }
            if new.text != old.text {
                object.text = None;
            }
            let mut segments: Vec<Segment> = Vec::with_capacity(new.segments.len());
            let mut reach = new.reach;
            let mut is_lost = false;
            for it in &new.segments {
                let same = old.piece(it.lo, it.hi).filter(|old| old.lo == it.lo);
                match same {
                    Some(was) if was == *it => segments.push(*it),
                    Some(was) if was.hi == it.hi => {
                        let piece = match (was.piece, it.piece) {
                            (Piece::Value(b), Piece::Value(c)) => {
                                let a =
                                    start.and_then(|start| start.piece(it.lo, it.hi)).and_then(|a| {
                                        match a.piece {
                                            Piece::Value(value) if a.lo == it.lo && a.hi == it.hi => {
                                                Some(value)
                                            }
                                            _ => None,
                                        }
                                    });
                                Piece::Value(
                                    self.progress(a, b, c, rounds, site, &mut part, &mut lost, &mut moved),
                                )
                            }
                            _ => Piece::Written(stamp),
                        };
                        segments.push(Segment { piece, ..*it });
                    }
                    Some(was) if was.hi < it.hi && reach.is_none() => {
                        let by = self.symbols.scale(rounds, it.hi - was.hi);
                        reach = Some((it.lo, by.plus(it.hi), it.piece));
                        segments.push(*it);
                    }
                    _ => {
                        // New in this round: what the round before wrote one stride below says the stride.
                        let width = it.hi - it.lo;
                        let below =
                            old.segments.iter().rev().find(|was| was.hi <= it.lo && was.hi - was.lo == width);
                        match below {
                            Some(was) if reach.is_none() => {
                                let by = self.symbols.scale(rounds, it.lo - was.lo);
                                reach = Some((was.lo, by.plus(it.hi), Piece::Written(stamp)));
                                segments.push(*it);
                            }
                            _ => is_lost = true,
                        }
                        if let Piece::Value(it) = it.piece {
                            lost.push(it);
                        }
                    }
                }
            }
            if is_lost {
                object.forget(stamp);
            } else {
                object.segments = segments;
                object.reach = reach;
            }
            state.put(sym, object);
        }
        for value in lost {
            self.forget_owner(state, value);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn progress(
        &mut self,
        a: Option<Val>,
        b: Val,
        c: Val,
        rounds: Val,
        site: u32,
        part: &mut u32,
        lost: &mut Vec<Val>,
        moved: &mut Vec<(Val, Val, Val)>,
    ) -> Val {
        if b == c {
            return c;
        }
        let step = self.symbols.subtract(c, b).as_int();
        if let (Some(a), Some(step)) = (a, step)
            && self.symbols.subtract(b, a).as_int() == Some(step)
            && !c.is_uninit()
        {
            let by = self.symbols.scale(rounds, step);
            return self.symbols.add(c, by);
        }
        // What keeps its distance to another value that moves keeps it in further rounds.
        for &(other, after, joined) in moved.iter() {
            let distance = self.symbols.subtract(c, after);
            if !c.is_uninit() && self.symbols.subtract(b, other) == distance && !self.has_product(distance) {
                return self.symbols.add(joined, distance);
            }
        }
        lost.extend([b, c]);
        *part += 1;
        let value = self.symbols.value(Meaning::Join { site, part: *part });
        if !b.is_uninit() && !c.is_uninit() {
            moved.push((b, c, value));
        }
        value
    }

    /// Whether a difference could not be worked out.
    fn has_product(&self, value: Val) -> bool {
        [value.a, value.b].into_iter().any(|it| matches!(self.symbols.meaning(it), Meaning::Binary { .. }))
    }

    // Values.

    pub fn set(&mut self, state: &mut State, reg: Reg, value: Val) {
        match self.flow.slots[reg.index()] {
            Slot::Unused => {}
            Slot::Shared(at) => {
                if state.registers[at as usize] != value {
                    Rc::make_mut(&mut state.registers)[at as usize] = value;
                }
            }
            Slot::Local(at) => self.scratch[at as usize] = value,
        }
    }

    pub fn value(&mut self, state: &State, operand: Operand) -> Val {
        match operand {
            Operand::Reg(reg) => match self.flow.slots[reg.index()] {
                Slot::Unused => Val::ZERO,
                Slot::Shared(at) => state.registers[at as usize],
                Slot::Local(at) => self.scratch[at as usize],
            },
            Operand::Int(it) => Val::int(it),
            Operand::Bool(it) => Val::int(i64::from(it)),
            Operand::Null => Val::ZERO,
            Operand::String(name) => self.symbols.value(Meaning::Text { module: self.module_number, name }),
            Operand::Function(name) => match self.cx.program.symbol_of(self.module_number, name) {
                Some(it) => self.symbols.value(Meaning::Function(it)),
                None => self.fresh(state, 0x100, Source::Known),
            },
            Operand::Class(_) | Operand::Module(_) | Operand::Opaque => {
                self.fresh(state, 0x101, Source::Unknown)
            }
        }
    }

    pub fn state_value(&mut self, state: &State, value: Val) -> Val {
        state.resolve(&mut self.symbols, value)
    }

    pub fn truth(&self, state: &State, value: Val) -> Option<bool> {
        state.decide(&self.symbols, Binary::NotEqual, value, Val::ZERO)
    }

    pub fn binary(&mut self, state: &State, op: Binary, left: Val, right: Val) -> Val {
        let (left, right) = (self.state_value(state, left), self.state_value(state, right));
        if super::state::is_comparison(op) {
            if let Some(it) = state.decide(&self.symbols, op, left, right) {
                return Val::int(i64::from(it));
            }
            let (op, left, right) = match op {
                Binary::Greater | Binary::GreaterEqual => (super::state::mirrored(op), right, left),
                _ => (op, left, right),
            };
            let it = self.symbols.value(Meaning::Binary { op, left, right });
            return self.state_value(state, it);
        }
        if let (Some(a), Some(b)) = (left.as_int(), right.as_int())
            && let Some(it) = fold(op, a, b)
        {
            return Val::int(it);
        }
        match op {
            Binary::Add => self.symbols.add(left, right),
            Binary::Subtract => self.symbols.subtract(left, right),
            Binary::Multiply if right.as_int().is_some() => self.symbols.scale(left, right.c),
            Binary::Multiply if left.as_int().is_some() => self.symbols.scale(right, left.c),
            Binary::ShiftLeft if right.as_int().is_some_and(|it| (0..32).contains(&it)) => {
                self.symbols.scale(left, 1 << right.c)
            }
            Binary::Divide | Binary::ShiftRight if right.as_int() == Some(op_unit(op)) => left,
            Binary::And if left == right => left,
            _ => {
                let it = self.symbols.value(Meaning::Binary { op, left, right });
                self.state_value(state, it)
            }
        }
    }

    fn unary(&mut self, state: &State, op: Unary, value: Val) -> Val {
        match op {
            Unary::Negate => self.symbols.scale(value, -1),
            Unary::Not => self.binary(state, Binary::Equal, value, Val::ZERO),
            Unary::Invert => match value.as_int() {
                Some(it) => Val::int(!it),
                None => self.symbols.value(Meaning::Other { value, tag: 1 }),
            },
        }
    }

    pub fn cast(&mut self, state: &State, value: Val, ty: TypeId) -> Val {
        if value.is_uninit() {
            return value;
        }
        match self.module.types[ty.index()] {
            Type::Int { bytes, is_signed } => self.narrow(state, value, bytes, is_signed),
            Type::Bool => self.binary(state, Binary::NotEqual, value, Val::ZERO),
            Type::Float { .. } => self.symbols.value(Meaning::Other { value, tag: 2 }),
            _ => value,
        }
    }

    pub fn narrow(&mut self, state: &State, value: Val, bytes: u8, is_signed: bool) -> Val {
        let value = self.state_value(state, value);
        let (lo, hi) = super::state::narrow_range(bytes, is_signed);
        if let Some(it) = value.as_int() {
            return Val::int(match (bytes, is_signed) {
                (1, true) => i64::from(it as i8),
                (1, false) => i64::from(it as u8),
                (2, true) => i64::from(it as i16),
                (2, false) => i64::from(it as u16),
                (4, true) => i64::from(it as i32),
                (4, false) => i64::from(it as u32),
                _ => it,
            });
        }
        let range = state.range(&self.symbols, value);
        if range.0 >= lo && range.1 <= hi || bytes >= 4 {
            // Sizes are rarely so large that this matters; sign is kept so that negative sizes show.
            return value;
        }
        self.symbols.value(Meaning::Narrow { bytes, is_signed, value })
    }

    // Places.

    pub fn place(&mut self, state: &mut State, place: &Place) -> Option<At> {
        let (base, mut offset) = match place.base {
            Base::Local(it) => (self.symbols.id(Meaning::Local(it)), Val::ZERO),
            Base::Global(it) => {
                (self.symbols.id(Meaning::Global(self.cx.program.global(self.module_number, it))), Val::ZERO)
            }
            Base::At(it) => {
                let value = self.value(state, it);
                let value = self.used(state, value);
                self.is_null_assumed = value.as_int().is_none();
                let value = self.state_value(state, value);
                self.split(value)?
            }
            Base::Outer(function, local) => {
                let function = self.cx.program.function_number(self.module_number, function);
                (self.symbols.id(Meaning::Outer { function, local }), Val::ZERO)
            }
            Base::Class(_) => return None,
        };
        for step in &place.steps {
            match *step {
                Step::Field { offset: Some(by), .. } => offset = offset.plus(i64::try_from(by).ok()?),
                Step::Field { offset: None, .. } | Step::Index { stride: 0, .. } => return None,
                Step::Index { index, stride } => {
                    let index = self.value(state, index);
                    let index = self.used(state, index);
                    let index = self.state_value(state, index);
                    let by = self.symbols.scale(index, i64::try_from(stride).ok()?);
                    offset = self.symbols.add(offset, by);
                }
            }
        }
        Some((base, offset))
    }

    /// Works out a place whose content is used: elements of an array within a record have to lie in the array.
    fn narrowed_place(&mut self, state: &mut State, place: &Place) -> Option<At> {
        self.narrow = None;
        let at = self.place(state, place)?;
        let Some(last) = place.steps.iter().rposition(|it| matches!(it, Step::Field { .. })) else {
            return Some(at);
        };
        let Step::Field { name, offset: Some(by) } = place.steps[last] else { return Some(at) };
        if last + 1 == place.steps.len() {
            return Some(at);
        }
        if let Some(Some(array)) = self.cx.members[self.module_number as usize].get(&(name, by)).copied() {
            let array_place = Place { base: place.base, steps: place.steps[..=last].into() };
            let start = self.place(state, &array_place)?;
            self.narrow_to(state, start, array, false);
        }
        Some(at)
    }

    /// What is done now has to stay in this array within a record.
    pub fn narrow_to(&mut self, state: &State, (base, start): At, array: MemberArray, is_written: bool) {
        // A last array may be meant to take up the rest of its block.
        let is_whole = self.symbols.is_address(base)
            || !array.is_last && state.object(base).is_none_or(|it| it.status == Status::Live);
        if is_whole {
            self.narrow = Some(Part { base, start, bytes: array.bytes, is_written });
        }
    }

    /// The object that a pointer leads to and the offset in it. A constant leads to no object: base none.
    pub fn split(&self, value: Val) -> Option<At> {
        if value.is_uninit() {
            return None;
        }
        if value.a.is_none() && value.b.is_none() {
            return Some((Sym::NONE, value));
        }
        if value.k == 1 && self.symbols.is_base(value.b) && !self.symbols.is_base(value.a) {
            let offset = if value.a.is_none() {
                Val::int(value.c)
            } else {
                Val { a: value.a, b: Sym::NONE, k: 0, c: value.c }
            };
            return Some((value.b, offset));
        }
        if value.a.is_none() {
            return None;
        }
        let offset = if value.k == 1 {
            Val { a: value.b, b: Sym::NONE, k: 0, c: value.c }
        } else {
            Val { a: Sym::NONE, ..value }
        };
        Some((value.a, offset))
    }

    pub fn pointer(&mut self, (base, offset): At) -> Val {
        if base.is_none() { offset } else { self.symbols.add(Val::sym(base), offset) }
    }

    /// Makes an entry for an object that has none yet.
    pub fn ensure(&mut self, state: &mut State, base: Sym) {
        if state.object(base).is_some() || base.is_none() {
            return;
        }
        let object = match self.symbols.meaning(base) {
            Meaning::Local(it) => {
                let local = &self.ir.locals[it.index()];
                let content = if self.is_parameter[it.index()] {
                    Content::Initial
                } else if self.is_opaque(local.ty) {
                    // Whether its class has a constructor is not known.
                    let part = 0x400 + it.0;
                    Content::Written(self.fresh(state, part, Source::Unknown).a)
                } else {
                    Content::Uninit
                };
                let mut object = Object::new(Class::Storage, content);
                object.size = self.size(local.ty);
                let trace = Trace { spot: self.spot(local.span), via: 0 };
                object.made = self.trace(trace);
                object
            }
            Meaning::Global(it) => {
                let mut object = Object::new(Class::Storage, Content::Initial);
                let global = &self.cx.program.globals[it as usize];
                object.size = global.bytes.and_then(|it| i64::try_from(it).ok()).map(Val::int);
                object
            }
            Meaning::Text { module, name } => {
                let mut object = Object::new(Class::Storage, Content::Zero);
                let text = self.cx.program.modules[module as usize].name(name);
                let length = text.len() as i64;
                object.size = Some(Val::int(length + 1));
                object.text = Some((0, Val::int(length)));
                object
            }
            Meaning::Initial { .. } | Meaning::Outer { .. } => Object::new(Class::Storage, Content::Initial),
            _ => {
                // A container that was handed over by value has what the caller put in.
                let is_given = match self.symbols.meaning(base) {
                    Meaning::Slot { container, .. } => match self.symbols.meaning(container) {
                        Meaning::Local(it) => self.is_parameter[it.index()],
                        _ => false,
                    },
                    _ => false,
                };
                let content = if is_given || self.symbols.is_input(base) {
                    Content::Initial
                } else {
                    Content::Written(base)
                };
                Object::new(Class::Storage, content)
            }
        };
        state.put(base, object);
    }

    /// Whether what values of the type hold is not known.
    fn is_opaque(&self, ty: TypeId) -> bool {
        match self.module.types[ty.index()] {
            Type::Unknown => true,
            Type::Array { element, .. } => matches!(self.module.types[element.index()], Type::Unknown),
            Type::Record(class) => self.module.classes[class.index()].bytes == 0,
            _ => false,
        }
    }

    pub fn size(&self, ty: TypeId) -> Option<Val> {
        self.module.size_of(ty).and_then(|it| i64::try_from(it).ok()).map(Val::int)
    }

    // Operations.

    fn operation(&mut self, state: &mut State, op: &'a Op) -> bool {
        match &op.kind {
            OpKind::Load { to, from, bytes } => {
                let value = self.load_place(state, from, *bytes);
                self.set(state, *to, value);
            }
            OpKind::Store { to, value, bytes } => {
                let value = self.value(state, *value);
                self.store_place(state, to, value, *bytes);
            }
            OpKind::CopyRecord { to, from, bytes } => {
                let (Some(to), Some(from)) = (self.place(state, to), self.place(state, from)) else {
                    return true;
                };
                let bytes = Val::int(i64::try_from(*bytes).unwrap_or(0));
                if bytes == Val::ZERO {
                    // A record whose members are not known.
                    self.forget_at(state, to);
                } else if !to.0.is_none() && !from.0.is_none() {
                    self.access(state, from, bytes, false);
                    self.access(state, to, bytes, true);
                    self.copy(state, to, from, bytes);
                }
            }
            OpKind::Address { to, of } => {
                let value = match self.place(state, of) {
                    Some((base, offset)) if base.is_none() && self.is_null_assumed => {
                        // That it is null is an assumption, which goes along.
                        match of.base {
                            Base::At(it) => self.value(state, it).plus(offset.c),
                            _ => offset,
                        }
                    }
                    Some(it) => self.pointer(it),
                    None => {
                        // Whoever has the address may write there.
                        self.forget_base(state, of);
                        self.fresh(state, 0, Source::Unknown)
                    }
                };
                self.set(state, *to, value);
            }
            OpKind::Offset { to, base, index, stride } => {
                let (base, index) = (self.value(state, *base), self.value(state, *index));
                let (base, index) = (self.used(state, base), self.used(state, index));
                let index = self.state_value(state, index);
                let base = match self.state_value(state, base) {
                    // That it is null is an assumption, which goes along.
                    Val::ZERO => base,
                    known => known,
                };
                if self.has_gone_nodes
                    && let Some(at) = self.split(base)
                {
                    self.node(state, at);
                }
                let by = self.symbols.scale(index, i64::try_from(*stride).unwrap_or(1));
                let value = if by == Val::ZERO { base } else { self.symbols.add(base, by) };
                self.set(state, *to, value);
            }
            OpKind::Binary { to, op, left, right } => {
                let (left, right) = (self.value(state, *left), self.value(state, *right));
                let (left, right) = (self.used(state, left), self.used(state, right));
                let value = self.binary(state, *op, left, right);
                self.set(state, *to, value);
            }
            OpKind::Unary { to, op, value } => {
                let value = self.value(state, *value);
                let value = self.used(state, value);
                let value = self.state_value(state, value);
                let value = self.unary(state, *op, value);
                self.set(state, *to, value);
            }
            OpKind::Cast { to, value, ty } => {
                let value = self.value(state, *value);
                self.check_size(state, value, *ty);
                let value = self.cast(state, value, *ty);
                self.set(state, *to, value);
            }
            OpKind::SizeOf { to, ty } => {
                let value = self.size(*ty).unwrap_or_else(|| self.fresh(state, 0, Source::Unknown));
                self.set(state, *to, value);
                if let Type::Record(class) = self.module.types[ty.index()] {
                    self.sized = Some((*to, class));
                }
            }
            OpKind::Phi { .. } | OpKind::Call { .. } => {}
            OpKind::Live { local } => {
                let sym = self.symbols.id(Meaning::Local(*local));
                state.remove(sym);
            }
            OpKind::Dead { local } => {
                let sym = self.symbols.id(Meaning::Local(*local));
                let here = self.here();
                if !self.flow.is_exposed[local.index()] {
                    state.remove(sym);
                } else if let Some(object) = state.object(sym) {
                    let mut gone = Object::new(object.class, Content::Uninit);
                    gone.made = object.made;
                    gone.status = Status::Gone(here);
                    state.put(sym, gone);
                }
            }
            OpKind::Assume { condition } => {
                let value = self.value(state, *condition);
                return self.assume(state, Binary::NotEqual, value, Val::ZERO);
            }
            OpKind::Allocate { to, family, bytes, is_zeroed, may_fail } => {
                let size = *bytes;
                let bytes = self.value(state, size);
                let bytes = self.state_value(state, bytes);
                let family = self.family(*family);
                let failure =
                    if *may_fail { super::state::Failure::Null } else { super::state::Failure::Never };
                let value = self.allocate(state, family, Some(bytes), *is_zeroed, failure, 0);
                if let Some((reg, class)) = self.sized
                    && Operand::Reg(reg) == size
                    && let Some(object) = state.object_mut(value.a)
                {
                    object.of = Some((self.module_number, class));
                }
                self.set(state, *to, value);
            }
            OpKind::Reallocate { to, value, bytes } => {
                let (value, bytes) = (self.value(state, *value), self.value(state, *bytes));
                let value = self.reallocate(state, value, Some(bytes));
                self.set(state, *to, value);
            }
            OpKind::Free { family, value } => {
                let value = self.value(state, *value);
                let value = self.used(state, value);
                let family = self.family(*family);
                let here = self.here();
                self.free(state, value, family, here);
            }
            OpKind::Escape { value } => {
                let value = self.value(state, *value);
                self.escape(state, &[value], false);
            }
            OpKind::Acquire { to, class, may_fail } => {
                let class = self.family(*class);
                let failure =
                    if *may_fail { super::state::Failure::Null } else { super::state::Failure::Never };
                let value = self.acquire(state, class, failure, 0);
                self.set(state, *to, value);
            }
            OpKind::Release { class, value } => {
                let value = self.value(state, *value);
                let class = self.family(*class);
                self.release(state, value, class);
            }
            OpKind::Closure { to, function } => {
                let name = self.module.functions[function.index()].name;
                let value = self.value(state, Operand::Function(name));
                self.set(state, *to, value);
            }
            OpKind::New { to, args, .. } => {
                let args: Vec<Val> = args.iter().map(|it| self.value(state, it.value)).collect();
                self.escape(state, &args, true);
                let value = self.fresh(state, 0, Source::Unknown);
                self.set(state, *to, value);
            }
            other => {
                if let Some(to) = other.written() {
                    let value = self.fresh(state, 0, Source::Unknown);
                    self.set(state, to, value);
                }
            }
        }
        true
    }

    /// A block that becomes a pointer to a type has room for one value of it.
    fn check_size(&mut self, state: &mut State, value: Val, ty: TypeId) {
        let Type::Pointer(to) = self.module.types[ty.index()] else { return };
        let Some(sym) = value.as_sym() else { return };
        if !matches!(self.symbols.meaning(sym), Meaning::Made { .. }) {
            return;
        }
        let Some(needed) = self.module.size_of(to).and_then(|it| i64::try_from(it).ok()) else { return };
        let Some(object) = state.object(sym).cloned() else { return };
        if let Class::Heap(_) = object.class
            && object.status == Status::Live
            && let Some(size) = object.size.and_then(Val::as_int)
            && size > 0
            && (size < needed || self.is_scalar(to) && size % needed != 0)
        {
            let finding =
                crate::rules::native::undersized_allocation::finding(self, object.made, size, needed);
            self.report(state, finding);
        } else if let Some(size) = object.size
            && let Some(input) = size.as_sym()
            && self.symbols.is_input(input)
            && needed > 1
        {
            let demand = Demand::new(Need::Room { needed }, size, object.made);
            self.demand(state, demand);
        }
    }

    fn is_scalar(&self, ty: TypeId) -> bool {
        matches!(self.module.types[ty.index()], Type::Int { .. } | Type::Float { .. } | Type::Pointer(_))
    }

    pub fn family(&self, name: Name) -> u16 {
        self.cx.models.find_family(self.module.name(name)).unwrap_or(u16::MAX)
    }

    fn load_place(&mut self, state: &mut State, place: &Place, bytes: u32) -> Val {
        if let Base::Global(it) = place.base
            && place.steps.is_empty()
        {
            let linked = self.cx.program.global(self.module_number, it);
            if let Some(value) = self.constant_global(state, linked) {
                return value;
            }
        }
        let Some(at) = self.narrowed_place(state, place) else {
            return self.fresh(state, 0, Source::Unknown);
        };
        let value = if bytes <= 8 && !self.is_record_place(place) {
            self.load(state, at, bytes)
        } else if self.access(state, at, Val::int(i64::from(bytes)), false) {
            self.record(state, at, bytes)
        } else {
            self.fresh(state, 0, Source::Known)
        };
        self.narrow = None;
        value
    }

    /// Whether a variable as a whole is a record.
    fn is_record_place(&self, place: &Place) -> bool {
        let ty = match place.base {
            Base::Local(it) if place.steps.is_empty() => self.ir.locals[it.index()].ty,
            Base::Global(it) if place.steps.is_empty() => self.module.globals[it.index()].ty,
            _ => return false,
        };
        matches!(self.module.types[ty.index()], Type::Record(_))
    }

    /// What a global that nothing changes holds at an offset, as far as it was written out.
    pub fn constant_content(&mut self, linked: u32, offset: i64, bytes: u32) -> Option<Val> {
        let content = self.cx.program.contents.get(&linked)?;
        let at = content.binary_search_by_key(&offset, |it| it.0).ok()?;
        let (_, width, module, operand) = content[at];
        if width != bytes {
            return None;
        }
        self.constant(module, operand)
    }

    fn constant(&mut self, module: u32, operand: Operand) -> Option<Val> {
        Some(match operand {
            Operand::Int(it) => Val::int(it),
            Operand::Bool(it) => Val::int(i64::from(it)),
            Operand::Null => Val::ZERO,
            Operand::String(name) => self.symbols.value(Meaning::Text { module, name }),
            Operand::Function(name) => {
                let symbol = self.cx.program.symbol_of(module, name)?;
                self.symbols.value(Meaning::Function(symbol))
            }
            _ => return None,
        })
    }

    /// The value of a global that nothing changes, or at the start of the program.
    pub fn constant_global(&mut self, state: &State, linked: u32) -> Option<Val> {
        let global = &self.cx.program.globals[linked as usize];
        let known = match global.constant {
            Some(it) => Some(it),
            None if self.is_main => {
                let sym = self.symbols.id(Meaning::Global(linked));
                let is_touched = state.object(sym).is_some_and(|it| it.is_written || it.is_escaped);
                global.initial.filter(|_| !is_touched)
            }
            None => None,
        }?;
        self.constant(global.module, known)
    }

    fn store_place(&mut self, state: &mut State, place: &Place, value: Val, bytes: u32) {
        match self.narrowed_place(state, place) {
            Some(at) => {
                self.store(state, at, bytes, value);
                self.narrow = None;
            }
            None => {
                self.escape(state, &[value], false);
                self.forget_base(state, place);
            }
        }
    }

    /// Something is written at an unknown place within an object.
    fn forget_base(&mut self, state: &mut State, place: &Place) {
        let base = Place { base: place.base, steps: Box::default() };
        if let Some(at) = self.place(state, &base) {
            self.forget_at(state, at);
        }
    }

    /// Demands of the caller that this pointer leads to so many bytes.
    pub fn demand_access(&mut self, state: &mut State, pointer: Val, bytes: Val, is_write: bool) {
        let trace = self.here();
        self.demand(state, Demand::new(Need::Access { is_write, bytes }, pointer, trace));
    }
}

fn op_unit(op: Binary) -> i64 {
    i64::from(op == Binary::Divide)
}

fn fold(op: Binary, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        Binary::Add => a.saturating_add(b),
        Binary::Subtract => a.saturating_sub(b),
        Binary::Multiply => a.saturating_mul(b),
        Binary::Divide => a.checked_div(b)?,
        Binary::Remainder => a.checked_rem(b)?,
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::ShiftLeft => {
            i64::try_from(i128::from(a) << u32::try_from(b).ok().filter(|it| *it < 63)?).ok()?
        }
        Binary::ShiftRight => a >> u32::try_from(b).ok().filter(|it| *it < 64)?,
        _ => return None,
    })
}

/// Whether two states know the same objects in the same condition.
pub fn is_same_shape(a: &State, b: &State) -> bool {
    a.objects.len() == b.objects.len()
        && a.is_raised == b.is_raised
        && a.locks == b.locks
        && a.latent == b.latent
        && a.frames.len() == b.frames.len()
        && a.frames.iter().zip(&b.frames).all(|(x, y)| x.head == y.head && x.arrivals == y.arrivals)
        && a.objects.iter().zip(b.objects.iter()).all(|(x, y)| {
            x.0 == y.0 && (Rc::ptr_eq(&x.1, &y.1) || x.1.status == y.1.status && x.1.class == y.1.class)
        })
}
