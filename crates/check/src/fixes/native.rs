//! Fixes of C and C++ that are seen at one or two statements.
//!
//! What is edited is compared with the source first: an edit is made only where the text says what the operation
//! does, so that nothing is edited that a macro hides.

use super::edit::{Edit, Position};
use super::leak::made_family;
use super::outline::{StatementId, StatementKind};
use super::text::{Call, is_name, is_place};
use super::{Cx, Site, fix};
use crate::finding::{At, Found, FoundFix};
use crate::ir::{LocalId, Type};
use heapwise_model::{Kind, Language, Safety};

/// A statement `f(x);` or `delete x;`, and what it gives back.
struct Freeing<'a> {
    statement: StatementId,
    /// `free`, `delete`, `delete[]`.
    by: &'static str,
    what: &'a str,
}

impl<'a> Site<'a> {
    fn freeing(&self, at: At) -> Option<Freeing<'_>> {
        let statement = self.statement_at(at)?;
        let text = self.text_of(statement).strip_suffix(';')?.trim();
        let (by, what) = match text.strip_prefix("delete") {
            Some(rest) => {
                let rest = rest.trim_start();
                match rest.strip_prefix('[').and_then(|it| it.trim_start().strip_prefix(']')) {
                    Some(rest) => ("delete[]", rest),
                    None => ("delete", rest),
                }
            }
            None => {
                let text = text.strip_prefix("std::").unwrap_or(text);
                ("free", text.strip_prefix("free")?.trim_start().strip_prefix('(')?.strip_suffix(')')?)
            }
        };
        let what = what.trim();
        is_place(what).then_some(Freeing { statement, by, what })
    }

    /// The simple statement that a place lies in.
    fn statement_at(&self, at: At) -> Option<StatementId> {
        let is_here = at.module == self.at.module
            && at.function == self.at.function
            && at.span.file == self.function.span.file;
        let statement = self.source.outline.at(at.span.start).filter(|_| is_here)?;
        (self.source.outline.get(statement).kind == StatementKind::Simple).then_some(statement)
    }

    fn text_of(&self, statement: StatementId) -> &str {
        let it = self.source.outline.get(statement);
        self.source.slice(it.start, it.end)
    }

    /// A call whose text begins at a place.
    fn call_at(&self, at: At) -> Option<Call<'_>> {
        if at.module != self.at.module || at.span.file != self.function.span.file {
            return None;
        }
        Call::read(self.source.slice(at.span.start, at.span.end), at.span.start)
    }

    /// A local that is named so where a statement stands.
    fn local_named(&self, name: &str, offset: u32) -> Option<LocalId> {
        let mut all = (0..self.function.locals.len() as u32).map(LocalId);
        all.find(|it| self.local(*it) == name && self.is_seen(*it, offset))
    }

    fn length_of(&self, local: LocalId) -> Option<u64> {
        match self.module.types[self.function.locals[local.index()].ty.index()] {
            Type::Array { length, .. } => length,
            _ => None,
        }
    }
}

/// `delete` for what `malloc` made, and so on: free it as it was made.
pub fn mismatched_free(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let freeing = site.freeing(found.at)?;
    let (family, made) = found.related.iter().find_map(|(_, at)| Some((family_at(cx, *at)?, *at)))?;
    let right = match family.as_str() {
        "malloc" => format!("free({});", freeing.what),
        "new" => format!("delete {};", freeing.what),
        "new[]" => format!("delete[] {};", freeing.what),
        _ => return None,
    };
    let statement = site.source.outline.get(freeing.statement);
    let mut edits = vec![Edit::new(statement.start, statement.end, right)];
    if family == "malloc" {
        edits.extend(site.include("stdlib.h")?);
    }
    let is_near = made.module == site.at.module && made.function == site.at.function;
    let safety = if is_near { Safety::Safe } else { Safety::Unsafe };
    Some(fix(&site, format!("free {} by what made it", freeing.what), safety, edits))
}

fn family_at(cx: &Cx<'_>, at: At) -> Option<String> {
    let module = &cx.program.modules[at.module as usize];
    let function = module.functions.get(at.function.index())?;
    let ops = function.blocks.iter().flat_map(|it| &it.ops).filter(|it| it.span == at.span);
    ops.into_iter().find_map(|it| made_family(cx, module, &it.kind)).map(str::to_owned)
}

/// The pointer is null after the first free: freeing it again does nothing.
pub fn double_free(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let second = site.freeing(found.at)?;
    let first =
        found.related.iter().find_map(|(_, at)| site.freeing(*at).filter(|it| it.what == second.what))?;
    if first.statement == second.statement || !is_name(first.what) {
        return None;
    }
    let (first_at, second_at) =
        (site.source.outline.get(first.statement), site.source.outline.get(second.statement));
    let local = site.local_named(first.what, first_at.start)?;
    // Another variable of that name would be set.
    if site.local_named(second.what, second_at.start) != Some(local) || second.by != first.by {
        return None;
    }
    if site.declaration(local).trim_end().ends_with("const") {
        return None;
    }
    let edits =
        site.source.put(Position::After(first.statement), &[format!("{} = {};", first.what, site.null())])?;
    Some(fix(&site, format!("set {} to null when it is freed", first.what), Safety::Safe, edits))
}

/// What was never allocated is not freed.
pub fn invalid_free(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    if found.kind == Some(Kind::Interior) {
        return None;
    }
    let site = cx.site(found.at)?;
    let freeing = site.freeing(found.at)?;
    let offset = site.source.outline.get(freeing.statement).start;
    let local = site.local_named(freeing.what, offset);
    // An array is never a block; what a pointer leads to may be one on another path.
    let is_array = local.is_some_and(|it| site.length_of(it).is_some());
    let safety = if is_array { Safety::Safe } else { Safety::Unsafe };
    let edit = site.source.remove(freeing.statement);
    Some(fix(&site, format!("do not free {}", freeing.what), safety, vec![edit]))
}

/// The function that allows overlap.
pub fn overlapping_copy(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let call = site.call_at(found.at)?;
    let right = match call.name {
        "memcpy" | "std::memcpy" => "memmove",
        "wmemcpy" => "wmemmove",
        _ => return None,
    };
    let start = found.at.span.start;
    let name = if call.name.starts_with("std::") { format!("std::{right}") } else { right.to_owned() };
    let edits = vec![Edit::new(start, start + call.name.len() as u32, name)];
    Some(fix(&site, format!("copy by {right}, which allows overlap"), Safety::Safe, edits))
}

/// `p = malloc(sizeof(p))`: the size of what it leads to.
pub fn undersized_allocation(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let call = site.call_at(found.at)?;
    let statement = site.statement_at(found.at)?;
    let argument = match (call.name.trim_start_matches("std::"), &call.arguments[..]) {
        ("malloc", [it]) | ("calloc", [_, it]) => it,
        _ => return None,
    };
    // A computed size may be meant for several.
    let is_sizeof = argument.text.starts_with("sizeof")
        && (!argument.text.contains(['*', '+']) || argument.text.ends_with("*)"));
    if !is_sizeof && !is_name(argument.text) {
        return None;
    }
    let target = assigned(site.text_of(statement))?;
    let local = site.local_named(target, found.at.span.start)?;
    let ty = site.function.locals[local.index()].ty;
    if !matches!(site.module.types[ty.index()], Type::Pointer(_)) {
        return None;
    }
    let edits = vec![Edit::new(argument.start, argument.end(), format!("sizeof(*{target})"))];
    let safety = if is_sizeof { Safety::Safe } else { Safety::Unsafe };
    Some(fix(&site, format!("allocate the size of *{target}"), safety, edits))
}

/// The name that a statement assigns to: `T *p = ...;`, `p = ...;`.
fn assigned(text: &str) -> Option<&str> {
    let (left, _) = text.split_once('=')?;
    let left = left.trim_end();
    let start = left.rfind(|it: char| !it.is_ascii_alphanumeric() && it != '_').map_or(0, |it| it + 1);
    let name = &left[start..];
    // A member or element is no local.
    let is_bare = !left[..start].trim_end().ends_with(['.', '>', ']', '!', '<']);
    (is_name(name) && is_bare).then_some(name)
}

/// Room for the terminator; a bound that fits; a loop that ends in time.
pub fn overflow(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    terminator(cx, found).or_else(|| bounded_call(cx, found)).or_else(|| loop_bound(cx, found))
}

/// `malloc(strlen(s))` has no room for the terminator.
fn terminator(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let (_, made) = found.related.iter().find(|it| it.1.module == found.at.module)?;
    let site = cx.site(*made)?;
    let call = site.call_at(*made)?;
    let [argument] = &call.arguments[..] else { return None };
    let is_malloc = call.name.trim_start_matches("std::") == "malloc";
    let length = Call::read(argument.text, argument.start)?;
    let is_length = matches!(length.name, "strlen" | "std::strlen") && length.end == argument.end();
    if !is_malloc || !is_length {
        return None;
    }
    let edits = vec![Edit::at(argument.end(), " + 1")];
    Some(fix(&site, "allocate room for the terminator".to_owned(), Safety::Safe, edits))
}

/// Functions with a destination and its size, and whether a smaller size is harmless.
const BOUNDED: &[(&str, usize, usize, bool)] = &[
    ("snprintf", 0, 1, true),
    ("vsnprintf", 0, 1, true),
    ("fgets", 0, 1, true),
    ("memset", 0, 2, true),
    ("strncpy", 0, 2, false),
    ("memcpy", 0, 2, false),
    ("memmove", 0, 2, false),
    ("read", 1, 2, true),
    ("recv", 1, 2, true),
];

/// A size that is greater than the array it is given for.
fn bounded_call(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let call = site.call_at(found.at)?;
    let name = call.name.trim_start_matches("std::");
    let (_, to, size, is_harmless) = *BOUNDED.iter().find(|it| it.0 == name)?;
    let (to, size) = (call.arguments.get(to)?, call.arguments.get(size)?);
    let is_constant = size.text.bytes().all(|it| it.is_ascii_digit())
        || size.text.starts_with("sizeof") && !size.text.contains(['*', '+', '-', '/']);
    let local = site.local_named(to.text, found.at.span.start)?;
    if !is_constant && !is_name(size.text) || site.length_of(local).is_none() {
        return None;
    }
    let safety = if is_harmless && is_constant { Safety::Safe } else { Safety::Unsafe };
    let right = format!("sizeof({})", to.text);
    Some(fix(&site, format!("bound it by {right}"), safety, vec![Edit::new(size.start, size.end(), right)]))
}

/// `i <= n` where the last element is `n - 1`.
fn loop_bound(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let outline = &site.source.outline;
    let statement = site.statement_at(found.at)?;
    let mut at = outline.get(statement).parent;
    while let Some(id) = at.filter(|it| outline.get(*it).kind != StatementKind::Loop) {
        at = outline.get(id).parent;
    }
    let around = at?;
    let body = outline.ids().find(|it| outline.get(*it).parent == Some(around))?;
    let (start, end) = (outline.get(around).start, outline.get(body).start);
    let head = site.source.slice(start, end);
    let condition = head.trim_start().strip_prefix("for")?.split(';').nth(1)?;
    if head.matches("<=").count() != 1 {
        return None;
    }
    let index = condition.split("<=").next()?.trim();
    let access = site.source.slice(found.at.span.start, found.at.span.end);
    let is_index = is_name(index) && access.replace(' ', "").contains(&format!("[{index}]"));
    if !is_index {
        return None;
    }
    // More than the access may be meant to happen in the last round.
    let children = outline.ids().filter(|it| outline.is_within(*it, body) && *it != body).count();
    let is_alone = body == statement || children == 1;
    let safety = if is_alone { Safety::Safe } else { Safety::Unsafe };
    let at = start + head.find("<=")? as u32;
    Some(fix(
        &site,
        format!("end before {index} reaches the length"),
        safety,
        vec![Edit::new(at, at + 2, "<")],
    ))
}

/// A first value.
pub fn uninitialized_read(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let (_, made) = *found.related.iter().find(|it| it.1.module == found.at.module)?;
    let site = cx.site(made)?;
    if found.kind == Some(Kind::Heap) {
        let call = site.call_at(made)?;
        let [argument] = &call.arguments[..] else { return None };
        let prefix = if call.name == "std::malloc" { "std::" } else { "" };
        if call.name != format!("{prefix}malloc") {
            return None;
        }
        let edits = vec![
            Edit::new(made.span.start, made.span.start + call.name.len() as u32, format!("{prefix}calloc")),
            Edit::at(argument.start, "1, "),
        ];
        return Some(fix(&site, "allocate it zeroed".to_owned(), Safety::Safe, edits));
    }
    let mut all = (0..site.function.locals.len() as u32).map(LocalId);
    let local = all.find(|it| site.function.locals[it.index()].span == made.span)?;
    let value = match site.module.types[site.function.locals[local.index()].ty.index()] {
        Type::Pointer(_) => site.null(),
        Type::Bool if site.module.language == Language::Cpp => "false",
        Type::Int { .. } | Type::Float { .. } | Type::Bool => "0",
        // Elements and members may be enumerations, which C++ does not make from numbers.
        Type::Array { length: Some(_), .. } | Type::Record(_) if site.module.language == Language::C => "{0}",
        _ => return None,
    };
    let edit = site.initialize(local, value)?;
    Some(fix(&site, format!("initialize {}", site.local(local)), Safety::Safe, vec![edit]))
}

/// An allocation that fails ends the program.
pub fn unchecked_allocation(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    if found.kind != Some(Kind::UncheckedAllocation) {
        return None;
    }
    let (_, made) = *found.related.iter().find(|it| it.1.module == found.at.module)?;
    let site = cx.site(made)?;
    let statement = site.statement_at(made)?;
    let name = assigned(site.text_of(statement))?;
    let local = site.local_named(name, site.source.outline.get(statement).end)?;
    if !matches!(site.module.types[site.function.locals[local.index()].ty.index()], Type::Pointer(_)) {
        return None;
    }
    let code = [format!("if ({name} == {}) abort();", site.null())];
    let mut edits = site.source.put(Position::After(statement), &code)?;
    edits.extend(site.include("stdlib.h")?);
    Some(fix(&site, format!("end the program if {name} cannot be allocated"), Safety::Unsafe, edits))
}

/// An array that outlives the call.
pub fn dangling_stack_address(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let (_, made) = *found.related.iter().find(|it| it.1.module == found.at.module)?;
    let site = cx.site(made)?;
    let mut all = (0..site.function.locals.len() as u32).map(LocalId);
    let local = all.find(|it| site.function.locals[it.index()].span == made.span)?;
    let statement = site.statement_at(made)?;
    let text = site.text_of(statement);
    site.length_of(local)?;
    if text.contains([',', '=']) || text.starts_with("static") {
        return None;
    }
    let edits = vec![Edit::at(site.source.outline.get(statement).start, "static ")];
    Some(fix(&site, format!("make {} static: all calls share it", site.local(local)), Safety::Unsafe, edits))
}

/// `p = realloc(p, n)` loses the block when it cannot be resized.
pub fn lost_by_realloc(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let outline = &site.source.outline;
    let simple = outline.ids().filter(|it| outline.get(*it).kind == StatementKind::Simple);
    let mut found_fix = None;
    for statement in simple {
        let it = outline.get(statement);
        let Some((to, right)) = site.text_of(statement).split_once('=') else { continue };
        let to = to.trim();
        let Some(right) = right.trim().strip_suffix(';') else { continue };
        let right = right.trim_end();
        let Some(at) = right.find("realloc") else { continue };
        let cast = right[..at].trim();
        let Some(call) = Call::read(&right[at..], 0) else { continue };
        let is_cast =
            cast.is_empty() || cast.starts_with('(') && cast.ends_with(')') && cast.matches('(').count() == 1;
        let is_it = call.name == "realloc"
            && call.end as usize == right.len() - at
            && call.arguments.first().is_some_and(|it| it.text == to);
        if !is_it || !is_cast || !is_place(to) {
            continue;
        }
        let body = site.source.slice(site.function.span.start, site.function.span.end);
        let name = ["grown", "resized", "moved"].into_iter().find(|it| !super::has_word(body, it))?;
        let newline = site.source.newline();
        let indent = site.source.indent(it.start).to_owned();
        if it.is_sole || !site.source.is_first_on_line(it.start) {
            return None;
        }
        let null = site.null();
        let space = if cast.is_empty() { "" } else { " " };
        let inner = format!("{newline}{indent}{}", site.source.unit());
        let text = format!(
            "{{{inner}void *{name} = {};{inner}if ({name} == {null}) free({to});{inner}{to} = {cast}{space}{name};{newline}{indent}}}",
            &right[at..]
        );
        if found_fix.is_some() {
            // Which of them loses it is not told.
            return None;
        }
        let edits = vec![Edit::new(it.start, it.end, text)];
        found_fix = Some(fix(&site, format!("free {to} where it cannot be resized"), Safety::Safe, edits));
    }
    found_fix
}
