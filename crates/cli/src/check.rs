//! Checking source: files to modules to findings.
//!
//! ```text
//! sources --lower, all cores--> modules --link--> program --analyze--> found --fixes--> Report
//! ```

pub mod cache;
pub mod compile_commands;
pub mod fixes;
pub mod ignores;
pub mod modules;
pub mod patch;
pub mod sources;
pub mod where_free;

use compile_commands::Commands;
use heapwise_check::analysis::Options;
use heapwise_check::analysis::kept::Kept;
use heapwise_check::finding::{At, Found, FoundFix, plain_name};
use heapwise_check::ir::{Module, Span};
use heapwise_check::models::Models;
use heapwise_check::program::Program;
use heapwise_lang_c::Headers;
use heapwise_lang_python::Modules;
use heapwise_model::{
    Edit, Engine, Excerpt, Finding, Fix, Language, Location, Place, Related, Report, SourceTotals,
};
use ignores::Ignore;
use rayon::prelude::*;
use sources::{Source, Texts};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Parsers of nested syntax recurse: what they refuse as too deep still needs room.
const STACK_BYTES: usize = 256 << 20;

/// Runs `work` on threads with room for deeply nested sources.
pub fn on_workers<T: Send>(jobs: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).stack_size(STACK_BYTES).build();
    pool.expect("threads can be started").install(work)
}

/// A program, and all that was found in it.
pub struct Run {
    pub program: Program,
    pub found: Vec<Found>,
    /// Results of functions, and modules, if they are kept.
    pub kept: Option<Kept>,
    pub kept_modules: Option<Kept>,
    /// What imports of Python may mean.
    modules: Arc<Modules>,
    incomplete: usize,
    is_cut: bool,
}

/// What is checked, and how.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub sources: &'a [Source],
    pub texts: &'a Texts,
    pub models: &'a Models,
    pub commands: &'a Commands,
}

impl Subject<'_> {
    /// A source's path and how it is read, in a form that tells it from others.
    fn compiled(&self, source: &Source) -> String {
        match source.language {
            Language::C | Language::Cpp => format!("{:?}", self.commands.unit(&source.path, source.language)),
            other => format!("{other:?} {}", source.path),
        }
    }
}

/// Gives results of functions. They are asked for when they are needed, while modules are linked.
pub type Read<'a> = dyn Fn() -> &'a Kept + Sync + 'a;

/// What an earlier check kept: results of functions, and modules; `None`: they are not wanted.
#[derive(Clone, Copy, Default)]
pub struct Earlier<'a> {
    pub functions: Option<&'a Read<'a>>,
    pub modules: Option<&'a Kept>,
}

/// Checks files; `tick` is called once for each file that was read. To be called on [`on_workers`].
pub fn check(subject: &Subject<'_>, earlier: Earlier<'_>, tick: &(dyn Fn() + Sync)) -> Run {
    let modules = Arc::new(python_modules(subject.sources));
    let shared = Shared { modules: &modules, headers: &Headers::new() };
    let (lowered, kept_modules) = modules::lowered(subject, shared, earlier.modules, tick);
    Run { kept_modules, ..run(lowered, modules, subject.models, earlier.functions) }
}

/// Checks again where the texts of `changed` files are others; everything else is taken from `before`.
pub fn check_again(before: &Run, subject: &Subject<'_>, changed: &BTreeSet<String>) -> Run {
    let modules = before.modules.clone();
    let shared = Shared { modules: &modules, headers: &Headers::new() };
    let lowered = subject.sources.par_iter().zip(&before.program.modules).map(|(source, module)| {
        let is_changed = module.files.iter().any(|it| changed.contains(it));
        if is_changed { lower(source, shared, subject, subject.texts) } else { module.clone() }
    });
    match &before.kept {
        Some(kept) => run(lowered.collect(), modules, subject.models, Some(&|| kept)),
        None => run(lowered.collect(), modules, subject.models, None),
    }
}

fn run(lowered: Vec<Module>, modules: Arc<Modules>, models: &Models, kept: Option<&Read<'_>>) -> Run {
    let (program, kept) = rayon::join(|| Program::link(lowered), || kept.map(|it| it()));
    let options = Options::default();
    let (checked, kept) = match kept {
        Some(kept) => {
            let (checked, kept) = heapwise_check::check_again(&program, models, &options, kept);
            (checked, Some(kept))
        }
        None => (heapwise_check::check(&program, models, &options), None),
    };
    Run {
        program,
        found: checked.found,
        kept,
        kept_modules: None,
        modules,
        incomplete: checked.incomplete,
        is_cut: checked.is_cut,
    }
}

/// What is told of a run.
pub fn report(run: &Run, subject: &Subject<'_>) -> Report {
    let Subject { sources, texts, .. } = *subject;
    let mut notes = notes(&run.program.modules);
    if run.incomplete > 0 {
        notes.push(format!("{} functions have more paths than were followed", run.incomplete));
    }
    if run.is_cut {
        notes.push("the program is so large that fewer paths of each function were followed".to_owned());
    }
    let places = Places { texts, modules: &run.modules };
    let seen: Vec<Seen> = sources.par_iter().map(|it| Seen::of(it, texts)).collect();
    let lines = seen.iter().map(|it| it.lines).sum();
    let findings = run.found.iter().map(|it| finding(&run.program, &places, it)).collect();
    let mut report =
        Report { version: env!("CARGO_PKG_VERSION").to_owned(), findings, notes, ..Report::default() };
    suppress(&mut report, sources, seen);
    sort(&mut report.findings);
    report.sources = excerpts(&report.findings, texts);
    report.read = Some(SourceTotals { files: sources.len() as u64, lines });
    report
}

/// What a source says besides its code.
struct Seen {
    lines: u64,
    ignores: Vec<Ignore>,
}

impl Seen {
    fn of(source: &Source, texts: &Texts) -> Seen {
        let Some(text) = texts.shown(&source.path) else {
            return Seen { lines: 0, ignores: Vec::new() };
        };
        let lines = 1 + memchr::memchr_iter(b'\n', &text).count() as u64;
        Seen { lines, ignores: ignores::find(&text) }
    }
}

/// What front ends share among sources.
#[derive(Clone, Copy)]
struct Shared<'a> {
    modules: &'a Modules,
    headers: &'a Headers,
}

/// The module of a source. `files`: where headers are read.
fn lower(
    source: &Source,
    shared: Shared<'_>,
    subject: &Subject<'_>,
    files: &dyn heapwise_lang_c::Files,
) -> Module {
    let Subject { texts, commands, .. } = *subject;
    let Some(text) = texts.read(&source.path) else {
        let mut module = Module::new(&source.path, source.language);
        module.notes.push("could not be read, or is larger than 64 MiB".to_owned());
        return module;
    };
    match source.language {
        Language::Python => heapwise_lang_python::lower(&source.path, shared.modules, &text),
        Language::JavaScript | Language::TypeScript => heapwise_lang_js::lower(&source.path, &text),
        language => {
            let unit = commands.unit(&source.path, language);
            heapwise_lang_c::lower_with(&unit, files, shared.headers)
        }
    }
}

/// What imports of Python may mean among these sources.
fn python_modules(sources: &[Source]) -> Modules {
    let paths = sources.iter().filter(|it| it.language == Language::Python).map(|it| it.path.as_str());
    if paths.clone().next().is_none() {
        return Modules::default();
    }
    let base = std::env::current_dir().unwrap_or_default();
    Modules::of(paths, &base.to_string_lossy(), heapwise_check::managed::modeled_packages())
}

/// What front ends could not read; many files' notes are one.
fn notes(modules: &[Module]) -> Vec<String> {
    const SHOWN: usize = 5;
    let all: Vec<String> = modules
        .iter()
        .flat_map(|module| module.notes.iter().map(|it| format!("{}: {it}", module.path)))
        .collect();
    let mut notes: Vec<String> = all.iter().take(SHOWN).cloned().collect();
    if all.len() > SHOWN {
        notes.push(format!("{} more notes on what could not be read", all.len() - SHOWN));
    }
    notes
}

struct Places<'a> {
    texts: &'a Texts,
    modules: &'a Modules,
}

impl Places<'_> {
    fn location(&self, module: &Module, span: Span, function: Option<String>) -> Location {
        let path = module.files[span.file.index()].clone();
        let Some(lines) = self.texts.lines(&path).filter(|_| span != Span::NONE) else {
            return Location { path, function, ..Location::default() };
        };
        let (line, column) = lines.place(span.start);
        let (end_line, end_column) = lines.place(span.end.max(span.start));
        Location {
            path,
            line,
            column: Some(column),
            end_line: Some(end_line),
            end_column: Some(end_column),
            function,
        }
    }
}

fn place(program: &Program, places: &Places, at: &At) -> Place {
    let module = &program.modules[at.module as usize];
    let function = &module.functions[at.function.index()];
    let name = plain_name(module.name(function.name)).to_owned();
    let name = match module.language {
        Language::Python => imported_name(places.modules, module, name),
        _ => name,
    };
    Place::Source(places.location(module, at.span, Some(name)))
}

/// A function of Python as other modules know it: the folder they import from is no part of it.
fn imported_name(modules: &Modules, module: &Module, name: String) -> String {
    let root = modules.root(&module.module_name);
    let short = name.strip_prefix(root).map(|it| it.trim_start_matches('.'));
    short.filter(|_| !root.is_empty()).map_or_else(|| name.clone(), str::to_owned)
}

fn finding(program: &Program, places: &Places, found: &Found) -> Finding {
    let related = found
        .related
        .iter()
        .map(|(message, at)| Related { message: message.clone(), place: place(program, places, at) });
    let related = related.collect();
    Finding {
        rule: found.rule,
        kind: found.kind,
        severity: found.severity,
        confidence: found.confidence,
        engine: Engine::Check,
        language: Some(program.modules[found.at.module as usize].language),
        message: found.message.clone(),
        related,
        place: place(program, places, &found.at),
        help: None,
        bytes: None,
        blocks: None,
        stacks: Vec::new(),
        held: None,
        retainers: None,
        fix: found.fix.as_ref().map(|it| fix(program, places, it)),
    }
}

fn fix(program: &Program, places: &Places, fix: &FoundFix) -> Fix {
    let edits = fix.edits.iter().map(|it| {
        let location = places.location(&program.modules[it.at.module as usize], it.at.span, None);
        Edit { location, insert: it.insert.clone() }
    });
    Fix { message: fix.message.clone(), safety: fix.safety, edits: edits.collect() }
}

/// Takes out what comments in the source say to ignore, and notes comments that ignore nothing.
fn suppress(report: &mut Report, sources: &[Source], seen: Vec<Seen>) {
    let mut ignores: BTreeMap<&str, Vec<Ignore>> = BTreeMap::new();
    for (source, seen) in sources.iter().zip(seen).filter(|it| !it.1.ignores.is_empty()) {
        ignores.insert(&source.path, seen.ignores);
    }
    report.findings.retain(|it| {
        let Place::Source(at) = &it.place else { return true };
        !ignores.get_mut(at.path.as_str()).is_some_and(|list| ignores::covers(list, it.rule, at.line))
    });
    for (path, list) in ignores {
        for ignore in list {
            for name in &ignore.unknown {
                report.notes.push(format!("{path}:{}: no rule is called {name}", ignore.line));
            }
            if !ignore.is_used {
                report.notes.push(format!("{path}:{}: this comment ignores nothing", ignore.line));
            }
        }
    }
}

/// Contract's order.
fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| key(a).cmp(&key(b)));
}

fn key(it: &Finding) -> impl Ord + '_ {
    let at = match &it.place {
        Place::Source(at) => Some((at.path.as_str(), at.line, at.column)),
        _ => None,
    };
    (std::cmp::Reverse((it.severity, it.bytes)), at, it.rule, it.message.as_str())
}

/// Lines of source shown around a place.
const NEIGHBORS: u32 = 3;
/// Longer lines are cut.
const LINE_MAX: usize = 400;

fn excerpts(findings: &[Finding], texts: &Texts) -> Vec<Excerpt> {
    let mut wanted: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for finding in findings {
        let places = std::iter::once(&finding.place).chain(finding.related.iter().map(|it| &it.place));
        for place in places {
            if let Place::Source(at) = place {
                let around = at.line.saturating_sub(NEIGHBORS).max(1)..=at.line.saturating_add(NEIGHBORS);
                wanted.entry(&at.path).or_default().extend(around);
            }
        }
    }
    let mut found: Vec<Excerpt> = Vec::new();
    for (path, numbers) in wanted {
        let (Some(text), Some(lines)) = (texts.shown(path), texts.lines(path)) else { continue };
        for number in numbers {
            let Some(line) = lines.text(&text, number) else { continue };
            let line: String = String::from_utf8_lossy(line).trim_end().chars().take(LINE_MAX).collect();
            match found.last_mut() {
                Some(last) if last.path == path && last.first_line + last.lines.len() as u32 == number => {
                    last.lines.push(line);
                }
                _ => found.push(Excerpt { path: path.to_owned(), first_line: number, lines: vec![line] }),
            }
        }
    }
    found
}
