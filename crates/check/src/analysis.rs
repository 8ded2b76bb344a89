//! The memory and resource engine: summaries bottom-up over the call graph, and what paths run into.
//!
//! ```text
//! components, callees first --Engine per function--> summary + findings
//! ```
//!
//! An [`engine::Engine`] runs one function's paths. Its values are linear forms over symbols ([`value`]), its
//! states say what is known of symbols and objects ([`state`]); [`flow`] orders the blocks; [`memory`] reads,
//! writes, makes and frees; [`library`] applies models; [`call`] applies and makes summaries ([`summary`]).
//!
//! A bug is reported at once when its path depends on nothing that callers decide; otherwise it is latent: it
//! goes up in the summary, and comes true in a caller for which that path is possible. What is unknown is
//! assumed to be harmless. Results depend on nothing but the program, the models and the options.

pub mod call;
pub mod codec;
pub mod containers;
pub mod engine;
pub mod facts;
pub mod flow;
pub mod identity;
pub mod issue;
pub mod kept;
pub mod library;
pub mod locks;
pub mod memory;
pub mod places;
pub mod schedule;
pub mod state;
pub mod summary;
pub mod value;

pub use issue::{Finding, Spot, Trace};
pub use summary::Summary;

use crate::ir::{Callee, Module, Name, OpKind, Type};
use crate::models::Models;
use crate::program::Program;
use codec::Index;
use engine::Engine;
use heapwise_model::{Confidence, Language, Severity};
use kept::{Keeper, Kept, Sum, Used};
use rustc_hash::{FxHashMap, FxHashSet};
use schedule::{Later, Own, Summaries, View};
use std::sync::Arc;

/// Budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Blocks run per function, over all its paths.
    pub steps: usize,
}

/// Functions of a program whose budgets are full ones.
const FUNCTIONS_FULL: usize = 20_000;
/// What is left of a budget in programs of any size.
const STEPS_MIN: usize = 50;

impl Options {
    /// Budgets of a program: twice as many functions than are given full ones have half of it each, and so on, so
    /// that time is bounded for programs of any size. In powers of two, so that one function more seldom matters.
    pub fn shared_by(self, functions: usize) -> Options {
        let mut steps = self.steps;
        let mut room = FUNCTIONS_FULL;
        while room < functions && steps > STEPS_MIN {
            (steps, room) = (steps / 2, room.saturating_mul(2));
        }
        Options { steps: steps.max(STEPS_MIN.min(self.steps)) }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options { steps: 400 }
    }
}

/// Families that the engine itself has to know.
#[derive(Clone, Copy, Debug)]
pub struct Families {
    pub malloc: u16,
    pub alloca: u16,
}

/// What all functions' analyses share.
pub struct Context<'a> {
    pub program: &'a Program,
    pub models: Models,
    pub families: Families,
    pub options: Options,
    /// Per symbol of the program: its model.
    pub model_of_symbol: Vec<Option<u32>>,
    /// Per function: whether it, or a function that it calls, gives a lock back.
    pub may_unlock: Vec<bool>,
    /// Per module: arrays that are members of records, by name and offset.
    pub members: Vec<FxHashMap<(Name, u64), Option<MemberArray>>>,
}

/// An array that is a member of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberArray {
    pub bytes: i64,
    /// What lies behind it is not another member of the record: it may be meant to be longer.
    pub is_last: bool,
}

/// Whether a function gives a lock back, itself or by those it calls; components are in the order of calls.
fn may_unlock(program: &Program, models: &Models, model_of_symbol: &[Option<u32>]) -> Vec<bool> {
    let mut all = vec![false; program.functions.len()];
    let is_unlock = |module: u32, name: Name| {
        let model = program.symbol_of(module, name).and_then(|it| model_of_symbol[it as usize]);
        model.is_some_and(|it| {
            models.get(it).effects.iter().any(|it| matches!(it, crate::models::Effect::Unlock { .. }))
        })
    };
    for component in &program.components {
        let is_any = component.iter().any(|&function| {
            let (_, ir) = program.ir(function);
            let module = program.functions[function as usize].module;
            program.calls[function as usize].iter().any(|it| all[*it as usize])
                || ir.blocks.iter().flat_map(|it| &it.ops).any(|op| match &op.kind {
                    OpKind::Call { callee: Callee::Direct(name), .. } => is_unlock(module, *name),
                    _ => false,
                })
        });
        for it in component {
            all[*it as usize] = is_any;
        }
    }
    all
}

/// Arrays by name and offset; `None` where records disagree.
fn members(module: &Module) -> FxHashMap<(Name, u64), Option<MemberArray>> {
    let mut all: FxHashMap<(Name, u64), Option<MemberArray>> = FxHashMap::default();
    for class in &module.classes {
        for (at, field) in class.fields.iter().enumerate() {
            let array = match module.types[field.ty.index()] {
                Type::Array { length: Some(2..), .. } if !class.is_union => module
                    .size_of(field.ty)
                    .and_then(|it| i64::try_from(it).ok())
                    .map(|bytes| MemberArray { bytes, is_last: at + 1 == class.fields.len() }),
                _ => None,
            };
            let known = all.entry((field.name, field.offset)).or_insert(array);
            if *known != array {
                *known = None;
            }
        }
    }
    all.retain(|_, it| it.is_some());
    all
}

/// What was found, and what was not looked at.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// Sorted by place.
    pub findings: Vec<Finding>,
    /// Functions of which not all paths were seen.
    pub incomplete: Vec<u32>,
    /// The program is so large that each function had less of a budget.
    pub is_cut: bool,
}

/// Finds memory and resource bugs of a program's C and C++ modules.
pub fn analyze(program: &Program, models: &Models, options: &Options) -> Analysis {
    let cx = Context::new(program, models, *options);
    Analysis { is_cut: cx.options != *options, ..sorted(program, run(&cx, None)) }
}

/// The same, with results that an earlier run with the same models and options kept; gives those of this run.
pub fn analyze_again(program: &Program, models: &Models, options: &Options, kept: &Kept) -> (Analysis, Kept) {
    let cx = Context::new(program, models, *options);
    let index = Index::new(&cx);
    let keeper = Keeper::new(&cx, kept, &index);
    let parts = run(&cx, Some(&keeper));
    if keeper.is_broken() && !kept.is_empty() {
        // Damage that no checksum saw: then nothing that was kept is of use.
        return analyze_again(program, models, options, &Kept::default());
    }
    let mut used = Vec::new();
    let parts = parts.into_iter().map(|mut it| {
        used.append(&mut it.used);
        it
    });
    let analysis = Analysis { is_cut: cx.options != *options, ..sorted(program, parts.collect()) };
    (analysis, kept::collect(kept, used.into_iter()))
}

/// Results of one component.
#[derive(Default)]
struct Part {
    findings: Vec<Finding>,
    incomplete: Vec<u32>,
    used: Vec<Used>,
}

fn run(cx: &Context<'_>, keeper: Option<&Keeper<'_>>) -> Vec<Part> {
    let program = cx.program;
    let summaries = Summaries::new(program.functions.len(), keeper.map(|it| it as &dyn Later));
    schedule::callees_first(&program.components, &program.calls, |component| {
        let mut part = Part::default();
        for (function, done) in component.iter().zip(analyze_component(cx, &summaries, component, keeper)) {
            if let Some(keeper) = keeper {
                keeper.settle(*function, done.sum, done.entry);
            }
            if let Some(it) = done.summary {
                summaries.set(*function, it);
            }
            part.findings.extend(done.findings);
            part.incomplete.extend(done.is_incomplete.then_some(*function));
            part.used.extend(done.used);
        }
        part
    })
}

/// All that was found, in order, each bug once.
fn sorted(program: &Program, parts: Vec<Part>) -> Analysis {
    let mut all = Analysis::default();
    for part in parts {
        all.findings.extend(part.findings);
        all.incomplete.extend(part.incomplete);
    }
    all.incomplete.sort_unstable();
    all.findings
        .sort_by(|a, b| (a.place, a.rule, a.kind, &a.message).cmp(&(b.place, b.rule, b.kind, &b.message)));
    // The same place may be seen from several callers, and in several modules that include its file.
    let key = |it: &Finding| {
        let module = &program.modules[it.place.module as usize];
        (it.rule, module.files[it.place.span.file.index()].as_str(), it.place.span.start)
    };
    let mut best: FxHashMap<_, Severity> = FxHashMap::default();
    for it in &all.findings {
        let severity = best.entry(key(it)).or_insert(it.severity);
        *severity = (*severity).max(it.severity);
    }
    let mut seen = FxHashSet::default();
    all.findings.retain(|it| it.severity == best[&key(it)] && seen.insert(key(it)));
    all
}

/// One function, analyzed.
pub struct FunctionResult {
    pub summary: Summary,
    pub findings: Vec<Finding>,
    pub is_incomplete: bool,
    /// It called a function of its own component of which nothing was known yet.
    has_missed: bool,
    /// It was handed functions, for which its callees were run again.
    has_specialized: bool,
}

/// A function's results, made now or kept by an earlier run.
struct Done<'a> {
    findings: Vec<Finding>,
    is_incomplete: bool,
    has_missed: bool,
    /// `None`: it is in the entry.
    summary: Option<Arc<Summary>>,
    entry: Option<&'a [u8]>,
    /// What tells the summary from others, where results are kept.
    sum: Option<Arc<Sum>>,
    /// Entries of all rounds.
    used: Vec<Used>,
}

/// Analyzes functions that call each other; the summaries of all other callees are there. One result per
/// member, in order.
fn analyze_component<'k>(
    cx: &Context<'_>,
    summaries: &Summaries<'_>,
    component: &[u32],
    keeper: Option<&Keeper<'k>>,
) -> Vec<Done<'k>> {
    let is_recursive = component.len() > 1
        || component.iter().any(|it| cx.program.calls[*it as usize].binary_search(it).is_ok());
    if let Some(keeper) = keeper {
        keeper.meet(component);
    }
    let mut view = View { all: summaries, own: FxHashMap::default() };
    // First without recursive calls, then with what that gave. What called none that was yet to come has seen the
    // same summaries as it would again.
    let mut first = Vec::with_capacity(component.len());
    for &function in component {
        let done = analyze_member(cx, &view, component, function, 0, keeper);
        if is_recursive {
            view.own.insert(function, of_first_round(&done, keeper));
        }
        first.push(done);
    }
    let again = |(mut first, function): (Done<'k>, &u32)| {
        if !first.has_missed {
            return first;
        }
        let mut done = analyze_member(cx, &view, component, *function, 1, keeper);
        done.used.append(&mut first.used);
        done
    };
    first.into_iter().zip(component).map(again).collect()
}

/// The summary of a recursive function as the members of its component see it.
fn of_first_round<'v, 'k: 'v>(done: &Done<'k>, keeper: Option<&'v Keeper<'k>>) -> Own<'v> {
    match (&done.summary, done.entry, keeper) {
        (None, Some(entry), Some(keeper)) => Own::kept(keeper, entry, done.sum.clone()),
        (summary, ..) => Own::made(summary.as_deref().unwrap_or(&Summary::default()), done.sum.clone()),
    }
}

/// One function, by what is kept of it or by analysis.
fn analyze_member<'k>(
    cx: &Context<'_>,
    view: &View<'_>,
    component: &[u32],
    function: u32,
    round: u8,
    keeper: Option<&Keeper<'k>>,
) -> Done<'k> {
    let keys = keeper.map(|it| (it, it.keys(view, component, function, round)));
    if let Some(found) = keys.and_then(|(keeper, keys)| keeper.find(keys)) {
        return Done {
            findings: found.findings,
            is_incomplete: found.is_incomplete,
            has_missed: found.has_missed,
            summary: None,
            entry: Some(found.entry),
            sum: Some(found.sum),
            used: vec![Used::Old(found.key)],
        };
    }
    let result = analyze_function(cx, view, component, function);
    let (used, sum) = keys.map_or((None, None), |(keeper, keys)| keeper.keep(keys, function, &result));
    Done {
        findings: result.findings,
        is_incomplete: result.is_incomplete,
        has_missed: result.has_missed,
        summary: Some(Arc::new(result.summary)),
        entry: None,
        sum,
        used: used.into_iter().collect(),
    }
}

fn analyze_function(
    cx: &Context<'_>,
    summaries: &View<'_>,
    component: &[u32],
    function: u32,
) -> FunctionResult {
    let (module, ir) = cx.program.ir(function);
    if !is_native(module) || ir.blocks.is_empty() {
        return FunctionResult {
            summary: Summary { is_incomplete: true, ..Summary::default() },
            findings: Vec::new(),
            is_incomplete: false,
            has_missed: false,
            has_specialized: false,
        };
    }
    let mut engine = Engine::new(cx, summaries, component, function);
    engine.run();
    engine.judge_locks();
    // What holds on every path needs no caller.
    for id in 0..engine.latent.len() as u32 {
        let returns = || engine.exits.iter().filter(|it| !it.0.is_raised);
        let holds = !engine.is_incomplete
            && returns().next().is_some()
            && returns().all(|it| it.0.latent.contains(&id));
        let is_root = cx.program.callers[function as usize] == 0;
        if holds || is_root {
            let mut finding = engine.latent[id as usize].clone();
            if !holds {
                let is_error = finding.severity == Severity::Error;
                finding.severity = if is_error { Severity::Warning } else { Severity::Note };
                finding.confidence = Confidence::Likely;
                finding.message.push_str(", if it is called in a way that leads here");
            }
            engine.emit(finding);
        }
    }
    let findings = std::mem::take(&mut engine.findings);
    let summary = engine.summarize();
    FunctionResult {
        is_incomplete: engine.is_incomplete,
        has_missed: engine.has_missed,
        has_specialized: !engine.specialized.is_empty(),
        summary,
        findings,
    }
}

fn is_native(module: &Module) -> bool {
    matches!(module.language, Language::C | Language::Cpp)
}

impl<'a> Context<'a> {
    pub fn new(program: &'a Program, models: &Models, options: Options) -> Context<'a> {
        let mut models = models.clone();
        for module in program.modules.iter().filter(|it| is_native(it)) {
            let mut seen = FxHashSet::default();
            for op in module.functions.iter().flat_map(|it| &it.blocks).flat_map(|it| &it.ops) {
                if let OpKind::Allocate { family: it, .. }
                | OpKind::Free { family: it, .. }
                | OpKind::Acquire { class: it, .. }
                | OpKind::Release { class: it, .. } = &op.kind
                    && seen.insert(*it)
                {
                    models.family(module.name(*it));
                }
            }
        }
        let families = Families { malloc: models.family("malloc"), alloca: models.family("alloca") };
        let options = options.shared_by(program.functions.len());
        let model_of_symbol: Vec<Option<u32>> = program.symbols.iter().map(|it| models.find(it)).collect();
        let members =
            program.modules.iter().map(|it| if is_native(it) { members(it) } else { FxHashMap::default() });
        let members = members.collect();
        let may_unlock = may_unlock(program, &models, &model_of_symbol);
        Context { program, models, families, options, model_of_symbol, may_unlock, members }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn budgets_are_shared_by_programs_of_any_size() {
        let steps = |functions: usize| Options { steps: 400 }.shared_by(functions).steps;
        assert_eq!([0, 20_000, 20_001, 40_001, 80_001, 160_001].map(steps), [400, 400, 200, 100, 50, 50]);
        assert_eq!(steps(usize::MAX), 50);
        assert_eq!(Options { steps: 7 }.shared_by(usize::MAX).steps, 7);
    }
}
