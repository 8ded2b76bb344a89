//! Fixes: edits of the source that mend what a rule found.
//!
//! ```text
//! Found + IR + outline of its function --per rule--> FoundFix     (the shell verifies it and applies it)
//! ```
//!
//! A fix is proposed where its edit keeps the program's behavior but for the bug, as far as the IR tells; what a
//! macro or another configuration decides is left alone, or marked unsafe. Every proposal is verified by whoever
//! applies it: the patched text is checked again.
//!
//! Absent on purpose: fixes that need a decision (who owns this?), and fixes of headers.

mod borrow;
pub mod edit;
mod flow;
mod growth;
mod js;
mod leak;
mod lock;
mod members;
mod native;
pub mod outline;
mod owner;
mod python;
mod text;

use crate::finding::{At, Found, FoundFix, Replacement};
use crate::ir::{Function, FunctionId, LocalId, Module, Span};
use crate::models::Models;
use crate::program::Program;
pub use leak::FreePlace;

use borrow::Lendings;
use edit::{Edit, Source};
use flow::Flow;
use heapwise_model::{Kind, Language, Rule, Safety};
use outline::{Outline, StatementKind};
use std::sync::Arc;

/// Gives the texts that spans point into, and their outlines.
pub trait Sources {
    fn text(&self, path: &str) -> Option<Arc<[u8]>>;
    /// The statements of a function of that module.
    fn outline(&self, module: &Module, function: &Function) -> Option<Outline>;
}

/// Gives findings their fixes, where there are any.
pub fn propose(program: &Program, models: &Models, sources: &dyn Sources, found: &mut [Found]) {
    let mut cx = Cx { program, sources, lendings: Lendings::new(program, models) };
    for it in found {
        it.fix = propose_one(&mut cx, it);
    }
}

/// Something that is made on a line, and where it may be given back.
pub struct Made {
    pub at: At,
    pub places: Vec<FreePlace>,
}

/// Where what a file makes within `[start, end)` may be given back (C and C++).
pub fn where_free(
    program: &Program,
    models: &Models,
    sources: &dyn Sources,
    path: &str,
    (start, end): (u32, u32),
) -> Vec<Made> {
    let mut cx = Cx { program, sources, lendings: Lendings::new(program, models) };
    let mut all: Vec<Made> = Vec::new();
    for (number, module) in program.modules.iter().enumerate().filter(|it| it.1.path == path) {
        for (index, function) in module.functions.iter().enumerate() {
            for op in function.blocks.iter().flat_map(|it| &it.ops) {
                let is_here = op.span.file.0 == 0 && start <= op.span.start && op.span.start < end;
                let at = At { module: number as u32, span: op.span, function: FunctionId(index as u32) };
                if !is_here || op.kind.written().is_none() || all.iter().any(|it| it.at == at) {
                    continue;
                }
                if let Some(places) = leak::places(&mut cx, at) {
                    all.push(Made { at, places });
                }
            }
        }
    }
    all
}

/// What mends one finding.
fn propose_one(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let language = cx.program.modules[found.at.module as usize].language;
    match language {
        Language::C | Language::Cpp => propose_native(cx, found),
        Language::Python => propose_python(cx, found),
        Language::JavaScript | Language::TypeScript => propose_js(cx, found),
        _ => None,
    }
}

fn propose_python(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    match found.rule {
        Rule::ResourceLeak => python::resource_leak(cx, found),
        Rule::EagerSequence => python::eager_sequence(cx, found),
        Rule::ThreadNeverStopped => python::thread_never_stopped(cx, found),
        Rule::RacyLazyInit => python::racy_lazy_init(cx, found),
        Rule::RetainedObject => python::method_cache(cx, found),
        Rule::UnboundedGrowth if found.kind == Some(Kind::Cache) => {
            python::method_cache(cx, found).or_else(|| growth::python(cx, found))
        }
        Rule::UnboundedGrowth => growth::python(cx, found),
        _ => None,
    }
}

fn propose_js(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    match found.rule {
        Rule::RetainedObject => js::retained_object(cx, found),
        Rule::UnboundedGrowth => growth::javascript(cx, found),
        _ => None,
    }
}

fn propose_native(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    match found.rule {
        Rule::MemoryLeak => native::lost_by_realloc(cx, found).or_else(|| leak::propose(cx, found)),
        Rule::ResourceLeak if found.kind == Some(Kind::Lock) => lock::propose(cx, found),
        Rule::ResourceLeak => leak::propose(cx, found),
        Rule::MismatchedFree => native::mismatched_free(cx, found),
        Rule::DoubleFree => native::double_free(cx, found),
        Rule::InvalidFree => native::invalid_free(cx, found),
        Rule::OverlappingCopy => native::overlapping_copy(cx, found),
        Rule::UndersizedAllocation => native::undersized_allocation(cx, found),
        Rule::HeapOverflow | Rule::StackBufferOverflow => native::overflow(cx, found),
        Rule::UninitializedRead => native::uninitialized_read(cx, found),
        Rule::NullDereference => native::unchecked_allocation(cx, found),
        Rule::DanglingStackAddress => native::dangling_stack_address(cx, found),
        _ => None,
    }
}

pub(crate) struct Cx<'a> {
    program: &'a Program,
    sources: &'a dyn Sources,
    lendings: Lendings<'a>,
}

/// The function that a fix edits, with its source.
pub(crate) struct Site<'a> {
    at: At,
    module: &'a Module,
    function: &'a Function,
    source: Source,
}

impl<'a> Cx<'a> {
    fn site(&self, at: At) -> Option<Site<'a>> {
        let program: &'a Program = self.program;
        let module = &program.modules[at.module as usize];
        let function = module.functions.get(at.function.index())?;
        // Code of headers belongs to others too.
        if function.span.file.0 != 0 || function.span == Span::NONE {
            return None;
        }
        let outline = self.sources.outline(module, function)?;
        let text = self.sources.text(&module.path)?;
        Some(Site { at, module, function, source: Source { text, outline } })
    }
}

impl<'a> Site<'a> {
    fn flow(&self, cx: &Cx<'a>) -> Option<Flow<'a>> {
        Flow::new(
            cx.program,
            cx.lendings.models,
            (self.at.module, self.module),
            self.function,
            &self.source.outline,
        )
    }

    fn local(&self, local: LocalId) -> &'a str {
        self.module.name(self.function.locals[local.index()].name)
    }

    fn null(&self) -> &'static str {
        if self.module.language == Language::Cpp { "nullptr" } else { "NULL" }
    }

    fn result_type(&self) -> Option<String> {
        leak::result_type(self, self.function)
    }

    /// Whether a local's name means that local at a place.
    fn is_seen(&self, local: LocalId, offset: u32) -> bool {
        let name = self.local(local);
        let scopes =
            self.function.locals.iter().enumerate().filter(|(_, it)| self.module.name(it.name) == name);
        let seen = scopes.filter(|(_, it)| self.holds(it.span, offset)).max_by_key(|(_, it)| it.span.start);
        !name.is_empty() && seen.is_some_and(|it| it.0 == local.index())
    }

    /// Whether the scope of what is declared at `span` holds `offset`.
    fn holds(&self, span: Span, offset: u32) -> bool {
        if span.file != self.function.span.file || span.start > offset {
            return false;
        }
        let outline = &self.source.outline;
        let Some(at) = outline.at(span.start) else { return true };
        let statement = outline.get(at);
        let scope = match statement.kind {
            StatementKind::Simple => statement.parent.map_or(statement, |it| outline.get(it)),
            _ => statement,
        };
        offset < scope.end
    }

    /// What stands before a local's name where it is declared.
    fn declaration(&self, local: LocalId) -> &str {
        let span = self.function.locals[local.index()].span;
        let start = match self.source.outline.at(span.start) {
            Some(statement) => self.source.outline.get(statement).start,
            // A parameter: after the one before it.
            None => {
                let before = self.source.slice(self.function.span.start, span.start);
                let at = before.rfind(['(', ',']).map_or(0, |it| it + 1);
                self.function.span.start + at as u32
            }
        };
        self.source.slice(start, span.start)
    }

    /// Adds an initializer to a declaration that has none.
    fn initialize(&self, local: LocalId, value: &str) -> Option<Edit> {
        let span = self.function.locals[local.index()].span;
        let name = self.local(local);
        if span.file != self.function.span.file || self.source.slice(span.start, span.end) != name {
            return None;
        }
        let id = self.source.outline.at(span.start)?;
        let statement = self.source.outline.get(id);
        // A jump may not pass an initializer in C++.
        let body = self.source.slice(self.function.span.start, self.function.span.end);
        let may_be_passed = has_word(body, "goto") || self.source.outline.is_in_switch(id);
        if self.module.language == Language::Cpp && may_be_passed {
            return None;
        }
        let rest = self.source.slice(span.end, statement.end).trim_start();
        let is_bare = statement.kind == StatementKind::Simple && rest.starts_with([';', ',']);
        is_bare.then(|| Edit::at(span.end, format!(" = {value}")))
    }

    /// The edit that includes a header where it is missing; `None`: there is no place for it.
    fn include(&self, header: &str) -> Option<Option<Edit>> {
        let stem = header.strip_suffix(".h").unwrap_or(header);
        let is_it = |it: &String| {
            let name = it.trim_matches(['<', '>']).rsplit('/').next().unwrap_or(it);
            name == header || name.strip_prefix('c') == Some(stem)
        };
        // Those of the system may be known by another name.
        let text = String::from_utf8_lossy(&self.source.text);
        let mut lines = text.lines().filter_map(|it| it.trim_start().strip_prefix("#include"));
        let is_named =
            lines.any(|it| it.trim_start().strip_prefix('<').is_some_and(|it| it.starts_with(header)));
        if header.is_empty() || is_named || self.module.files.iter().any(is_it) {
            return Some(None);
        }
        // After the last one that stands before all functions.
        let end =
            self.module.functions.iter().filter(|it| it.span.file.0 == 0).map(|it| it.span.start).min()?;
        let before = self.source.slice(0, end);
        let at =
            before.rfind("\n#include").map(|it| it + 1).or(before.starts_with("#include").then_some(0))?;
        let line = self.source.line_end(at as u32);
        Some(Some(Edit::at(line, format!("{}#include <{header}>", self.source.newline()))))
    }
}

/// Whether a text has an identifier.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || it == '_');
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

/// A fix at a site. What other configurations see is not known: where there are some, it needs a look.
fn fix(site: &Site<'_>, message: String, safety: Safety, mut edits: Vec<Edit>) -> FoundFix {
    let safety = if site.source.outline.has_conditionals { Safety::Unsafe } else { safety };
    // The empty span at the beginning of a file means no place.
    for edit in edits.iter_mut().filter(|it| (it.start, it.end) == (0, 0)) {
        let first = site.source.slice(0, 1);
        edit.end = first.len() as u32;
        edit.insert.push_str(first);
    }
    edits.sort_by_key(|it| (it.start, it.end));
    let span = |it: &Edit| Span { file: site.function.span.file, start: it.start, end: it.end };
    let edits =
        edits.into_iter().map(|it| Replacement { at: At { span: span(&it), ..site.at }, insert: it.insert });
    FoundFix { message, safety, edits: edits.collect() }
}
