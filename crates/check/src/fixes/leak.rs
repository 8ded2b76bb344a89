//! `memory-leak` and `resource-leak` in C and C++: give it back where nobody needs it any more.

use super::edit::{Edit, Position};
use super::flow::{At, Flow};
use super::outline::{StatementId, StatementKind};
use super::owner::{Edge, Invalid, Owner, State, status, value};
use super::text::{Call, is_name};
use super::{Cx, Site, fix, has_word};
use crate::finding::{At as Place, Found, FoundFix, plain_name};
use crate::ir::{Base, Callee, End, Function, LocalId, Module, OpKind, Type};
use crate::models::{Effect, Models};
use heapwise_model::{Language, Safety};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// How often an edge that no text stands for is given up for later ones.
const MAX_TRIES: usize = 12;

/// How what belongs to a family is given back.
#[derive(Clone)]
struct Release {
    family: &'static str,
    before: &'static str,
    after: Cow<'static, str>,
    /// Where it is declared; empty: by the language.
    header: &'static str,
    invalid: Invalid,
    /// Giving back the invalid value does nothing.
    is_total: bool,
}

const fn release(
    family: &'static str,
    before: &'static str,
    after: &'static str,
    header: &'static str,
    invalid: Invalid,
    is_total: bool,
) -> Release {
    Release { family, before, after: Cow::Borrowed(after), header, invalid, is_total }
}

const RELEASES: &[Release] = &[
    release("malloc", "free(", ")", "stdlib.h", Invalid::Null, true),
    release("new", "delete ", "", "", Invalid::Null, true),
    release("new[]", "delete[] ", "", "", Invalid::Null, true),
    release("FILE", "fclose(", ")", "stdio.h", Invalid::Null, false),
    release("pipe", "pclose(", ")", "stdio.h", Invalid::Null, false),
    release("directory", "closedir(", ")", "dirent.h", Invalid::Null, false),
    release("library", "dlclose(", ")", "dlfcn.h", Invalid::Null, false),
    release("descriptor", "close(", ")", "unistd.h", Invalid::Negative, false),
    // Behind it comes the length that was mapped.
    release("mapping", "munmap(", "", "sys/mman.h", Invalid::Negative, false),
];

/// A statement to add.
struct Put {
    position: Position,
    local: LocalId,
    /// The local may hold the value of what could not be made.
    may_be_invalid: bool,
    /// The local may not have been written there.
    is_unwritten: bool,
}

pub fn propose(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let release = family(cx, found)?;
    // What a callee made is given back where it was called.
    let mut places = vec![found.at];
    for (_, at) in &found.related {
        places.push(*at);
        places.extend(calls(cx, *at, found.at));
    }
    places.dedup();
    places.into_iter().find_map(|at| propose_at(cx, release, at))
}

/// Where the function of `at` calls that of `made`.
fn calls(cx: &Cx<'_>, at: Place, made: Place) -> Vec<Place> {
    if (at.module, at.function) == (made.module, made.function) {
        return Vec::new();
    }
    let callee = cx.program.function_number(made.module, made.function);
    let function = &cx.program.modules[at.module as usize].functions[at.function.index()];
    let ops = function.blocks.iter().flat_map(|it| &it.ops);
    let calls = ops.filter(|it| match it.kind {
        OpKind::Call { callee: Callee::Direct(name), to: Some(_), .. } => {
            cx.program.function(at.module, name) == Some(callee)
        }
        _ => false,
    });
    calls.map(|it| Place { span: it.span, ..at }).collect()
}

fn propose_at(cx: &mut Cx<'_>, release: &Release, at: Place) -> Option<FoundFix> {
    let models = cx.lendings.models;
    let site = cx.site(at)?;
    let release = &release.at(&site, at)?;
    let flow = site.flow(cx)?;
    let made = flow.made_at(at.span);
    if made.is_empty() {
        return None;
    }
    let owner =
        Owner::new(&flow, (at.module, site.module, at.function), made, release.invalid, &mut cx.lendings)?;
    let search = Search::new(cx, models, &site, &flow, &owner);
    let (puts, returns) = search.puts()?;
    let mut edits = Vec::new();
    let mut names = BTreeSet::new();
    let mut written = BTreeSet::new();
    for put in &puts {
        let code = release.statement(&search, put.local, put.may_be_invalid || put.is_unwritten)?;
        edits.extend(site.source.put(put.position, &[code])?);
        names.insert(search.name(put.local));
        if put.is_unwritten {
            written.insert(put.local);
        }
    }
    for (statement, local, may_be_invalid) in &returns {
        let code = release.statement(&search, *local, *may_be_invalid)?;
        edits.extend(keep_result(&site, *statement, &code)?);
        names.insert(search.name(*local));
    }
    for local in written {
        edits.push(initialize(&site, local, release.invalid)?);
    }
    edits.extend(site.include(release.header)?);
    let verb = release.before.trim_end_matches(['(', ' ']);
    let names: Vec<String> = names.into_iter().collect();
    let ways = if puts.len() + returns.len() > 1 { ", on every path" } else { "" };
    let message = format!("{verb} {} after its last use{ways}", names.join(" and "));
    // What a macro makes may have a macro that gives it back.
    let safety = if is_written(&site, at) { Safety::Safe } else { Safety::Unsafe };
    Some(fix(&site, message, safety, edits))
}

/// Whether the source calls by name what makes it.
fn is_written(site: &Site<'_>, at: Place) -> bool {
    let text = site.source.slice(at.span.start, at.span.end);
    let ops = site.function.blocks.iter().flat_map(|it| &it.ops).filter(|it| it.span == at.span);
    ops.into_iter().any(|it| match it.kind {
        OpKind::Call { callee: Callee::Direct(name), .. } => {
            let name = plain_name(site.module.name(name));
            has_word(text, name.rsplit(':').next().unwrap_or(name))
        }
        OpKind::Call { .. } => true,
        OpKind::Allocate { .. } => has_word(text, "new"),
        _ => false,
    })
}

/// A place where something may be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreePlace {
    pub position: Position,
    /// The statement that does it.
    pub code: String,
    pub edits: Vec<Edit>,
}

/// All places where what is made at `at` may be given back: live on every way there, read by none from there on.
/// `None`: nothing that is known how to give back is made there.
pub fn places(cx: &mut Cx<'_>, at: Place) -> Option<Vec<FreePlace>> {
    let models = cx.lendings.models;
    let site = cx.site(at)?;
    let release = &family_within(cx, at, 0)?.at(&site, at)?;
    let flow = site.flow(cx)?;
    let made = flow.made_at(at.span);
    let owner =
        Owner::new(&flow, (at.module, site.module, at.function), made, release.invalid, &mut cx.lendings)?;
    let search = Search::new(cx, models, &site, &flow, &owner);
    let none = vec![false; flow.nodes.len()];
    let mut places: Vec<FreePlace> = Vec::new();
    for (edge, state) in &search.edges {
        if !search.is_boundary(*edge, Policy::AfterLastUse) || !owner.is_free_place(state, *edge) {
            continue;
        }
        let Some(put) = search.position(*edge, &none) else { continue };
        if places.iter().any(|it| it.position == put.position) {
            continue;
        }
        let may_be_invalid = put.may_be_invalid || put.is_unwritten;
        let Some(code) = release.statement(&search, put.local, may_be_invalid) else { continue };
        let Some(mut edits) = site.source.put(put.position, std::slice::from_ref(&code)) else { continue };
        if put.is_unwritten {
            let Some(first) = initialize(&site, put.local, release.invalid) else { continue };
            edits.push(first);
        }
        places.push(FreePlace { position: put.position, code, edits });
    }
    for (statement, local, may_be_invalid) in search.returns(&none).into_iter().flatten() {
        let Some(code) = release.statement(&search, local, may_be_invalid) else { continue };
        let Some(edits) = keep_result(&site, statement, &code) else { continue };
        places.push(FreePlace { position: Position::Before(statement), code, edits });
    }
    places.sort_by_key(|it| it.edits.first().map(|it| it.start));
    Some(places)
}

/// How what a call makes is given back; functions of the program are looked into.
fn family_within(cx: &Cx<'_>, at: Place, depth: u32) -> Option<&'static Release> {
    let module = &cx.program.modules[at.module as usize];
    let function = module.functions.get(at.function.index())?;
    let ops = function.blocks.iter().flat_map(|it| &it.ops).filter(|it| it.span == at.span);
    ops.into_iter().find_map(|op| {
        if let Some(name) = made_family(cx, module, &op.kind) {
            return RELEASES.iter().find(|it| it.family == name);
        }
        let OpKind::Call { callee: Callee::Direct(name), to: Some(_), .. } = op.kind else { return None };
        let callee = cx.program.functions[cx.program.function(at.module, name)? as usize];
        let inner = &cx.program.modules[callee.module as usize].functions[callee.function.index()];
        let ops = inner.blocks.iter().flat_map(|it| &it.ops);
        let makes = ops.filter(|it| it.kind.written().is_some() && depth < 4);
        let mut all = makes.filter_map(|it| {
            family_within(
                cx,
                Place { module: callee.module, function: callee.function, span: it.span },
                depth + 1,
            )
        });
        // Where it makes several, which one it returns is not asked.
        let first = all.next()?;
        all.all(|it| it.family == first.family).then_some(first)
    })
}

/// How the block or resource of a finding is given back.
fn family(cx: &Cx<'_>, found: &Found) -> Option<&'static Release> {
    let places = std::iter::once(&found.at).chain(found.related.iter().map(|it| &it.1));
    places.into_iter().find_map(|at| {
        let module = &cx.program.modules[at.module as usize];
        let function = module.functions.get(at.function.index())?;
        let ops = function.blocks.iter().flat_map(|it| &it.ops).filter(|it| it.span == at.span);
        let name = ops.into_iter().find_map(|it| made_family(cx, module, &it.kind))?;
        RELEASES.iter().find(|it| it.family == name)
    })
}

pub(super) fn made_family<'a>(cx: &Cx<'a>, module: &'a Module, op: &OpKind) -> Option<&'a str> {
    match op {
        OpKind::Allocate { family: it, .. } | OpKind::Acquire { class: it, .. } => Some(module.name(*it)),
        OpKind::Call { callee: Callee::Direct(name), .. } => {
            let models = cx.lendings.models;
            let model = models.get(models.find(module.name(*name))?);
            model.effects.iter().find_map(|it| match it {
                Effect::Allocate { family: it, through: None, .. }
                | Effect::Acquire { class: it, through: None, .. } => Some(models.family_name(*it)),
                Effect::Reallocate { .. } => Some("malloc"),
                _ => None,
            })
        }
        _ => None,
    }
}

impl Release {
    /// How what a call there makes is given back; `None`: with something that only that call knows.
    fn at(&self, site: &Site<'_>, at: Place) -> Option<Release> {
        if self.family != "mapping" {
            return Some(self.clone());
        }
        let call = Call::read(site.source.slice(at.span.start, at.span.end), at.span.start)?;
        let [_, length, ..] = &call.arguments[..] else { return None };
        let is_mapped = matches!(call.name, "mmap" | "mmap64") && is_constant(site, length.text, at);
        is_mapped.then(|| Release { after: Cow::Owned(format!(", {})", length.text)), ..self.clone() })
    }

    fn statement(&self, search: &Search<'_, '_>, local: LocalId, may_be_invalid: bool) -> Option<String> {
        let site = search.site;
        let name = search.name(local);
        if name.is_empty() {
            return None;
        }
        // `free` takes no pointer to what is constant.
        let is_const = self.before.ends_with('(')
            && search.owner.members.get(local).is_none()
            && has_word(site.declaration(local), "const");
        let cast = if is_const && self.invalid == Invalid::Null { "(void *)" } else { "" };
        let release = format!("{}{cast}{name}{};", self.before, self.after);
        Some(match (may_be_invalid && !self.is_total, self.invalid) {
            (false, _) => release,
            (true, Invalid::Null) => format!("if ({name} != {}) {release}", site.null()),
            (true, Invalid::Negative) if self.family == "mapping" => {
                format!("if ({name} != MAP_FAILED) {release}")
            }
            (true, Invalid::Negative) => format!("if ({name} >= 0) {release}"),
        })
    }
}

/// Whether an expression has the same value from a place on: of numbers, constants, and locals that are written no
/// more.
fn is_constant(site: &Site<'_>, text: &str, at: Place) -> bool {
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    if !text.chars().all(|it| is_part(it) || " \t+-*/%<>()".contains(it))
        || text.contains("++")
        || text.contains("--")
    {
        return false;
    }
    let mut words = text.split(|it: char| !is_part(it)).filter(|it| !it.is_empty());
    words.all(|word| {
        if word == "sizeof" || word.starts_with(|it: char| it.is_ascii_digit()) {
            return true;
        }
        let locals = (0..site.function.locals.len() as u32).map(LocalId).filter(|it| site.local(*it) == word);
        let locals: Vec<LocalId> = locals.collect();
        match locals[..] {
            [] => word.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_'),
            [local] => !is_written_after(site, local, at),
            _ => false,
        }
    })
}

/// Whether a local is written behind a place in the source, or by who knows its address.
fn is_written_after(site: &Site<'_>, local: LocalId, at: Place) -> bool {
    let ops = site.function.blocks.iter().flat_map(|it| &it.ops);
    ops.into_iter().any(|op| match &op.kind {
        OpKind::Store { to, .. } => to.base == Base::Local(local) && op.span.start > at.span.start,
        // `fstat(fd, &st)` does not take it along: what is read before stays what it is only in a local of its own.
        OpKind::Address { of, .. } => of.base == Base::Local(local),
        _ => false,
    })
}

/// `return f(p);` keeps its result while `p` is given back.
pub(super) fn keep_result(site: &Site<'_>, statement: StatementId, code: &str) -> Option<Vec<Edit>> {
    let source = &site.source;
    let it = source.outline.get(statement);
    let expression = source.slice(it.start, it.end).strip_prefix("return")?.strip_suffix(';')?.trim();
    let ty = site.result_type()?;
    let body = source.slice(site.function.span.start, site.function.span.end);
    let name = ["result", "outcome", "returned"].into_iter().find(|it| !has_word(body, it))?;
    let space = if ty.ends_with('*') { "" } else { " " };
    let lines = [format!("{ty}{space}{name} = {expression};"), code.to_owned(), format!("return {name};")];
    let newline = source.newline();
    // A jump may not pass a declaration in C++, a label may not stand before one in C.
    let is_apart = !it.is_sole && (has_word(body, "goto") || source.outline.is_in_switch(statement));
    if !source.is_first_on_line(it.start) {
        return Some(vec![Edit::new(it.start, it.end, format!("{{ {} }}", lines.join(" ")))]);
    }
    let indent = source.indent(it.start).to_owned();
    if is_apart {
        let inner = format!("{newline}{indent}{}", source.unit());
        let text = format!("{{{inner}{}{newline}{indent}}}", lines.join(&inner));
        return Some(vec![Edit::new(it.start, it.end, text)]);
    }
    let text = lines.join(&format!("{newline}{indent}"));
    if !it.is_sole {
        return Some(vec![Edit::new(it.start, it.end, text)]);
    }
    let outer = source.indent(source.outline.get(it.parent?).start).to_owned();
    Some(vec![Edit::at(it.before, " {"), Edit::new(it.start, it.end, format!("{text}{newline}{outer}}}"))])
}

/// Gives a local without an initializer the value of what could not be made.
fn initialize(site: &Site<'_>, local: LocalId, invalid: Invalid) -> Option<Edit> {
    // A member has no declaration of its own.
    site.function.locals.get(local.index())?;
    let value = match invalid {
        Invalid::Null => site.null(),
        Invalid::Negative if is_pointer(site, local) => "MAP_FAILED",
        Invalid::Negative => "-1",
    };
    site.initialize(local, value)
}

fn is_pointer(site: &Site<'_>, local: LocalId) -> bool {
    matches!(site.module.types[site.function.locals[local.index()].ty.index()], Type::Pointer(_))
}

/// Where it is given back, of all places that are as good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    AfterLastUse,
    /// Before the function is left: where ways with and without a last use meet.
    BeforeLeaving,
}

struct Search<'a, 'b> {
    site: &'b Site<'a>,
    flow: &'b Flow<'a>,
    owner: &'b Owner<'a>,
    models: &'b Models,
    /// All edges with their states; unreachable ones are left out.
    edges: Vec<(Edge, State)>,
}

type Returns = Vec<(StatementId, LocalId, bool)>;

impl<'a, 'b> Search<'a, 'b> {
    fn new(
        cx: &mut Cx<'_>,
        models: &'b Models,
        site: &'b Site<'a>,
        flow: &'b Flow<'a>,
        owner: &'b Owner<'a>,
    ) -> Search<'a, 'b> {
        let edges: Vec<Edge> = owner.edges().collect();
        let lendings = &mut cx.lendings;
        let edges = edges.into_iter().filter_map(|it| Some((it, owner.on(it, lendings)?))).collect();
        Search { site, flow, owner, models, edges }
    }

    /// How a carrier is written.
    fn name(&self, carrier: LocalId) -> String {
        let Some(member) = self.owner.members.get(carrier) else {
            return self.site.local(carrier).to_owned();
        };
        let root = self.site.local(member.root);
        let fields: Vec<&str> = member.fields.iter().map(|it| self.site.module.name(*it)).collect();
        if root.is_empty() || !fields.iter().all(|it| is_name(it)) {
            return String::new();
        }
        format!("{root}{}{}", if member.is_pointer { "->" } else { "." }, fields.join("."))
    }

    fn is_seen(&self, carrier: LocalId, offset: u32) -> bool {
        let root = self.owner.members.get(carrier).map_or(carrier, |it| it.root);
        self.site.is_seen(root, offset)
    }

    /// Whether a statement may be put on an edge.
    fn is_boundary(&self, edge: Edge, policy: Policy) -> bool {
        let (from, to) = (self.flow.statement[edge.from as usize], self.flow.statement[edge.to as usize]);
        from != to
            && match policy {
                Policy::AfterLastUse => true,
                Policy::BeforeLeaving => to.is_none_or(|it| {
                    it == StatementId(0) || self.site.source.outline.get(it).kind == StatementKind::Return
                }),
            }
    }

    fn is_place(&self, edge: Edge, state: &State, policy: Policy, blocked: &BTreeSet<Edge>) -> bool {
        self.is_boundary(edge, policy) && !blocked.contains(&edge) && self.owner.is_free_place(state, edge)
    }

    /// Where to give it back so that each way that loses it does so once; and returns that use it last.
    fn puts(&self) -> Option<(Vec<Put>, Returns)> {
        [Policy::AfterLastUse, Policy::BeforeLeaving].into_iter().find_map(|it| self.puts_by(it))
    }

    fn puts_by(&self, policy: Policy) -> Option<(Vec<Put>, Returns)> {
        let mut blocked: BTreeSet<Edge> = BTreeSet::new();
        for _ in 0..MAX_TRIES {
            let covered = self.covered(policy, &blocked);
            let chosen = self.edges.iter().filter(|(edge, state)| {
                !covered[edge.from as usize] && self.is_place(*edge, state, policy, &blocked)
            });
            let mut puts: Vec<Put> = Vec::new();
            let mut unplaced = Vec::new();
            for (edge, _) in chosen {
                match self.position(*edge, &covered) {
                    Some(put) if puts.iter().any(|it| it.position == put.position) => {}
                    Some(put) => puts.push(put),
                    None => unplaced.push(*edge),
                }
            }
            if !unplaced.is_empty() {
                blocked.extend(unplaced);
                continue;
            }
            if !self.is_whole(policy, &blocked, &covered) {
                return None;
            }
            let returns = self.returns(&covered)?;
            return (!puts.is_empty() || !returns.is_empty()).then_some((puts, returns));
        }
        None
    }

    /// Nodes that are reached after it was given back by us.
    fn covered(&self, policy: Policy, blocked: &BTreeSet<Edge>) -> Vec<bool> {
        let mut covered = vec![false; self.flow.nodes.len()];
        loop {
            let mut is_changed = false;
            for (edge, state) in &self.edges {
                if self.covers(edge, state, policy, blocked, &covered) && !covered[edge.to as usize] {
                    covered[edge.to as usize] = true;
                    is_changed = true;
                }
            }
            if !is_changed {
                return covered;
            }
        }
    }

    fn covers(
        &self,
        edge: &Edge,
        state: &State,
        policy: Policy,
        blocked: &BTreeSet<Edge>,
        covered: &[bool],
    ) -> bool {
        covered[edge.from as usize] && !self.owner.is_made_at(edge.from)
            || self.is_place(*edge, state, policy, blocked)
    }

    /// Whether ways that meet agree: none still has it where another has given it back.
    fn is_whole(&self, policy: Policy, blocked: &BTreeSet<Edge>, covered: &[bool]) -> bool {
        self.edges.iter().all(|(edge, state)| {
            !covered[edge.to as usize]
                || state.status & status::LIVE == 0
                || state.status & status::GONE != 0
                || self.covers(edge, state, policy, blocked, covered)
        })
    }

    /// Returns that lose it and read it themselves; `None`: it is lost elsewhere too.
    fn returns(&self, covered: &[bool]) -> Option<Returns> {
        let mut returns: Returns = Vec::new();
        for (edge, state) in &self.edges {
            if state.status & status::LIVE == 0 || covered[edge.to as usize] {
                continue;
            }
            if self.owner.is_made_at(edge.to) {
                return None;
            }
            if !matches!(self.flow.at(edge.to), At::End(End::Return(_))) || state.status & status::GONE != 0 {
                continue;
            }
            let statement = self.flow.statement[edge.to as usize]?;
            if self.site.source.outline.get(statement).kind != StatementKind::Return {
                return None;
            }
            if returns.iter().any(|it| it.0 == statement) {
                continue;
            }
            // Given to the caller, with the record that holds it.
            if self.owner.is_left_with_record(state, edge.to, self.models) {
                continue;
            }
            let Some((local, may_be_invalid)) = self.name_within(statement) else {
                // Given to the caller.
                if self.is_returned(edge.to) {
                    continue;
                }
                return None;
            };
            returns.push((statement, local, may_be_invalid));
        }
        Some(returns)
    }

    fn is_returned(&self, node: u32) -> bool {
        matches!(self.flow.at(node), At::End(End::Return(Some(it))) if self.owner.holds(*it))
    }

    /// A local that names it on all ways within a statement on which it is read no more.
    fn name_within(&self, statement: StatementId) -> Option<(LocalId, bool)> {
        let id = Some(statement);
        let inside = self.edges.iter().filter(|(edge, state)| {
            self.flow.statement[edge.from as usize] == id
                && self.flow.statement[edge.to as usize] == id
                && self.owner.is_free_place(state, *edge)
                // Ends of scopes come after the value is there.
                && !matches!(self.flow.at(edge.from), At::Op(op) if matches!(op.kind, OpKind::Dead { .. }))
        });
        let states: Vec<&State> = inside.map(|it| &it.1).collect();
        let first = states.first()?;
        let offset = self.site.source.outline.get(statement).start;
        let local = self.owner.names(first).into_iter().find(|local| {
            states.iter().all(|it| is_named(it, *local) && it.locals[local.index()] & value::UNWRITTEN == 0)
                && self.is_seen(*local, offset)
        })?;
        let may_be_invalid = states.iter().any(|it| it.locals[local.index()] & value::INVALID != 0);
        Some((local, may_be_invalid))
    }

    fn position(&self, edge: Edge, covered: &[bool]) -> Option<Put> {
        let outline = &self.site.source.outline;
        let from = self.flow.statement[edge.from as usize]?;
        let to = self.flow.statement[edge.to as usize]?;
        let mut candidates = Vec::new();
        let after = outline.greatest_without(from, to).filter(|it| {
            !matches!(
                outline.get(*it).kind,
                StatementKind::Return | StatementKind::Jump | StatementKind::Break
            )
        });
        let is_simple = after.is_some_and(|it| outline.get(it).kind == StatementKind::Simple);
        candidates.extend(after.filter(|_| is_simple).map(Position::After));
        let before = outline.greatest_without(to, from);
        candidates.extend(before.map(Position::Before));
        if outline.get(to).kind == StatementKind::Block && outline.is_within(from, to) {
            candidates.push(Position::Close(to));
        }
        candidates.extend(after.filter(|_| !is_simple).map(Position::After));
        if outline.get(from).kind == (StatementKind::If { has_else: false }) {
            candidates.push(Position::Else(from));
        }
        candidates.into_iter().find_map(|it| self.checked(it, edge, covered))
    }

    /// A position where all ways that pass it may give it back, by one name.
    fn checked(&self, position: Position, edge: Edge, covered: &[bool]) -> Option<Put> {
        let crossing = self.crossing(position)?;
        if !crossing.iter().any(|it| it.0 == edge) {
            return None;
        }
        let may_free = |(edge, state): &(Edge, State)| {
            state.status & status::GONE == 0
                && (state.status & status::LIVE == 0
                    || self.owner.is_free_place(state, *edge) && !covered[edge.from as usize])
        };
        if !crossing.iter().all(may_free) {
            return None;
        }
        let source = &self.site.source;
        let offset = match position {
            Position::Before(it) => source.outline.get(it).start,
            Position::After(it) | Position::Else(it) => source.outline.get(it).end,
            Position::Close(it) => source.outline.get(it).end - 1,
        };
        let first = crossing.iter().find(|it| it.0 == edge)?;
        let local = self.owner.names(&first.1).into_iter().find(|local| {
            self.is_seen(*local, offset) && crossing.iter().all(|it| is_named(&it.1, *local))
        })?;
        let any = |bit: u8| crossing.iter().any(|it| it.1.locals[local.index()] & bit != 0);
        Some(Put {
            position,
            local,
            may_be_invalid: any(value::INVALID),
            is_unwritten: any(value::UNWRITTEN),
        })
    }

    /// The edges that pass a position; `None`: some way gets around it.
    fn crossing(&self, position: Position) -> Option<Vec<(Edge, State)>> {
        let outline = &self.site.source.outline;
        let of = |node: u32| self.flow.statement[node as usize];
        let is_in = |node: u32, id| of(node).is_some_and(|it| outline.is_within(it, id));
        let edges = |is_it: &dyn Fn(Edge) -> bool| -> Vec<(Edge, State)> {
            self.edges.iter().filter(|it| is_it(it.0)).cloned().collect()
        };
        match position {
            Position::Before(id) => {
                let crossing = edges(&|it| is_in(it.to, id) && !is_in(it.from, id));
                let first = crossing.first()?.0.to;
                crossing.iter().all(|it| it.0.to == first).then_some(crossing)
            }
            Position::After(id) => Some(edges(&|it| {
                let kind = of(it.from).map(|it| outline.get(it).kind);
                is_in(it.from, id)
                    && !is_in(it.to, id)
                    && match kind {
                        Some(StatementKind::Jump) => false,
                        Some(StatementKind::Break) => {
                            of(it.from).and_then(|it| outline.broken(it)) == Some(id)
                        }
                        _ => true,
                    }
            })),
            Position::Close(id) => {
                let brace = outline.get(id).end - 1;
                let is_close = |node: u32| of(node) == Some(id) && self.flow.span(node).start == brace;
                Some(edges(&|it| is_close(it.to) && !is_close(it.from)))
            }
            Position::Else(id) => Some(edges(&|it| of(it.from) == Some(id) && !is_in(it.to, id))),
        }
    }
}

/// Whether the local is it, or may be given back as well.
fn is_named(state: &State, local: LocalId) -> bool {
    let held = state.locals[local.index()];
    held & (value::OTHER | value::PART | value::OPEN) == 0
        && (state.status & status::LIVE == 0 || held & value::EXACT != 0)
        && (held & value::UNWRITTEN == 0 || state.status & status::NONE != 0)
}

/// The type that a function returns, as its definition writes it.
pub(super) fn result_type(site: &Site<'_>, function: &Function) -> Option<String> {
    let text = site.source.slice(function.span.start, function.name_span.start);
    if site.module.language == Language::Cpp && !text.contains('*') {
        return (!text.contains('&')).then(|| "const auto".to_owned());
    }
    const STORAGE: [&str; 6] = ["static", "inline", "extern", "__inline", "__inline__", "constexpr"];
    let is_plain = text.bytes().all(|it| it.is_ascii_alphanumeric() || b"_* \t\r\n".contains(&it));
    let words: Vec<&str> = text.split_whitespace().filter(|it| !STORAGE.contains(it)).collect();
    let ty = words.join(" ");
    (is_plain && !ty.is_empty() && ty != "void").then_some(ty)
}
