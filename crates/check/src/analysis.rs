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
pub mod containers;
pub mod engine;
pub mod facts;
pub mod flow;
pub mod issue;
pub mod library;
pub mod locks;
pub mod memory;
pub mod schedule;
pub mod state;
pub mod summary;
pub mod value;

pub use issue::{Finding, Spot, Trace};
pub use summary::Summary;

use crate::ir::{Callee, Module, Name, OpKind, Type};
use crate::models::Models;
use crate::program::Program;
use engine::Engine;
use heapwise_model::{Confidence, Language, Severity};
use rustc_hash::{FxHashMap, FxHashSet};
use schedule::{Summaries, View};
use std::sync::Arc;

/// Budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Blocks run per function, over all its paths.
    pub steps: usize,
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
}

/// Finds memory and resource bugs of a program's C and C++ modules.
pub fn analyze(program: &Program, models: &Models, options: &Options) -> Analysis {
    let cx = Context::new(program, models, *options);
    let summaries = Summaries::new(program.functions.len());
    let results = schedule::callees_first(&program.components, &program.calls, |component| {
        let results = analyze_component(&cx, &summaries, component);
        let mut part = Analysis::default();
        for (function, result) in component.iter().zip(results) {
            summaries.set(*function, Arc::new(result.summary));
            part.findings.extend(result.findings);
            if result.is_incomplete {
                part.incomplete.push(*function);
            }
        }
        part
    });
    let mut all = Analysis::default();
    for part in results {
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
}

/// Analyzes functions that call each other; the summaries of all other callees are there. One result per
/// member, in order.
pub fn analyze_component(cx: &Context<'_>, summaries: &Summaries, component: &[u32]) -> Vec<FunctionResult> {
    let is_recursive = component.len() > 1
        || component.iter().any(|it| cx.program.calls[*it as usize].binary_search(it).is_ok());
    let mut view = View { all: summaries, own: FxHashMap::default() };
    if is_recursive {
        // First without recursive calls, then with what that gave.
        for &function in component {
            let mut summary = analyze_function(cx, &view, component, function).summary;
            summary.latent.clear();
            for way in &mut summary.disjuncts {
                way.latent.clear();
            }
            if summary.disjuncts.is_empty() {
                summary.is_incomplete = true;
            }
            view.own.insert(function, Arc::new(summary));
        }
    }
    component.iter().map(|it| analyze_function(cx, &view, component, *it)).collect()
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
    FunctionResult { is_incomplete: engine.is_incomplete, summary, findings }
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
        let model_of_symbol: Vec<Option<u32>> = program.symbols.iter().map(|it| models.find(it)).collect();
        let members =
            program.modules.iter().map(|it| if is_native(it) { members(it) } else { FxHashMap::default() });
        let members = members.collect();
        let may_unlock = may_unlock(program, &models, &model_of_symbol);
        Context { program, models, families, options, model_of_symbol, may_unlock, members }
    }
}
