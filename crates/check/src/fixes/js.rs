//! Fixes of JavaScript and TypeScript: what is registered is taken back where its component or object ends.

use super::edit::{Edit, Position, Source};
use super::outline::{StatementId, StatementKind};
use super::text::{Call, is_name};
use super::{Cx, Site, fix, has_word};
use crate::finding::{At, Found, FoundFix};
use crate::ir::{Callee, FunctionId, OpKind, Operand, Span};
use crate::managed::{Family, Library};
use heapwise_model::{Language, Safety};

/// What undoes a method, by name and with the same arguments.
const OPPOSITES: &[(&str, &str)] =
    &[("addEventListener", "removeEventListener"), ("addListener", "removeListener"), ("on", "off")];

/// Names for a timer and a function that have none.
const TIMER_NAMES: &[&str] = &["timer", "interval", "intervalId", "timerId"];
const FUNCTION_NAMES: &[&str] = &["listener", "handler", "onEvent", "eventListener"];

/// A registration as it is written: a statement of its own, or with what it gives in a variable.
enum Registration<'a> {
    Timer {
        /// `const id`, `this.id`.
        target: Option<&'a str>,
    },
    Listener {
        /// `window.removeEventListener`.
        remover: String,
        event: &'a str,
        callback: &'a str,
        callback_start: u32,
        /// What stands behind the function, with its comma.
        rest: &'a str,
    },
}

/// The body of a function is its first statement.
const BODY: StatementId = StatementId(0);

pub fn retained_object(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let source = &site.source;
    let id = source.outline.at(found.at.span.start)?;
    let statement = *source.outline.get(id);
    let is_plain = statement.kind == StatementKind::Simple
        && statement.parent == Some(BODY)
        && source.slice(statement.end - 1, statement.end) == ";";
    if !is_plain {
        return None;
    }
    let registration = read(source, statement.start, statement.end)?;
    if is_effect(&site) {
        return in_effect(&site, &registration, id);
    }
    in_class(cx, &site, &registration, id)
}

fn read(source: &Source, start: u32, end: u32) -> Option<Registration<'_>> {
    let text = source.slice(start, end - 1);
    let open = text.find('(')?;
    let (target, callee_at) = match text[..open].find('=') {
        Some(at) => {
            let target = text[..at].trim();
            let name = ["const ", "let ", "var "].iter().find_map(|it| target.strip_prefix(it));
            let name = name.or(target.strip_prefix("this."))?;
            (is_name(name).then_some(target), at + 1)
        }
        None => (None, 0),
    };
    let callee = text[callee_at..open].trim();
    let (receiver, method) = callee.rsplit_once('.').unwrap_or(("", callee));
    let method_at = open - text[..open].len() + text[..open].trim_end().len() - method.len();
    let call = Call::read(&text[method_at..], start + method_at as u32)?;
    if call.end != end - 1 {
        return None;
    }
    if method == "setInterval" && matches!(receiver, "" | "window" | "globalThis" | "self") {
        return Some(Registration::Timer { target });
    }
    let opposite = OPPOSITES.iter().find(|it| it.0 == method)?.1;
    let is_path = receiver.split('.').all(is_name);
    let [event, callback, ..] = &call.arguments[..] else { return None };
    if target.is_some() || callee_at > 0 || !(is_path || receiver.is_empty()) {
        return None;
    }
    Some(Registration::Listener {
        remover: if receiver.is_empty() { opposite.to_owned() } else { format!("{receiver}.{opposite}") },
        event: event.text,
        callback: callback.text,
        callback_start: callback.start,
        rest: source.slice(callback.end(), call.end - 1).trim_end(),
    })
}

/// Whether the function is what a component runs when it appears, and gives nothing yet that ends it.
fn is_effect(site: &Site<'_>) -> bool {
    let Some(parent) = site.function.parent else { return false };
    let library = Library::bundled(Family::JavaScript);
    let ops = || site.module.functions[parent.index()].blocks.iter().flat_map(|it| &it.ops);
    let made = ops().find_map(|op| match op.kind {
        OpKind::Closure { to, function } if function == site.at.function => Some(Operand::Reg(to)),
        _ => None,
    });
    let is_given = made.is_some_and(|made| {
        ops().any(|op| match &op.kind {
            OpKind::Call { callee: Callee::Direct(name), args, .. } => {
                library.is_effect(site.module.name(*name)) && args.first().is_some_and(|it| it.value == made)
            }
            _ => false,
        })
    });
    let returns = site.source.outline.statements.iter().any(|it| it.kind == StatementKind::Return);
    is_given && !returns && !site.function.is_async && !site.function.is_generator
}

fn in_effect(site: &Site<'_>, registration: &Registration<'_>, id: StatementId) -> Option<FoundFix> {
    let source = &site.source;
    let statement = source.outline.get(id);
    let mut edits = Vec::new();
    let end = match registration {
        Registration::Timer { target } => {
            let name = match target {
                Some(target) => target.rsplit(' ').next().unwrap_or(target),
                None => {
                    let name = unused(source, TIMER_NAMES)?;
                    edits.push(Edit::at(statement.start, format!("const {name} = ")));
                    name
                }
            };
            format!("return () => clearInterval({name});")
        }
        Registration::Listener { remover, event, callback, callback_start, rest } => {
            let name = if is_name(callback) {
                callback
            } else {
                is_movable(site, callback).then_some(())?;
                let name = unused(source, FUNCTION_NAMES)?;
                let line = format!("const {name} = {callback};");
                edits.extend(source.put(Position::Before(id), &[line])?);
                edits.push(Edit::new(*callback_start, callback_start + callback.len() as u32, name));
                name
            };
            format!("return () => {remover}({event}, {name}{rest});")
        }
    };
    edits.extend(source.put(Position::Close(BODY), &[end])?);
    let message = "take it back when the component goes away".to_owned();
    Some(fix(site, message, Safety::Safe, edits))
}

fn in_class(
    cx: &Cx<'_>,
    site: &Site<'_>,
    registration: &Registration<'_>,
    id: StatementId,
) -> Option<FoundFix> {
    let source = &site.source;
    let statement = source.outline.get(id);
    let end = end_method(site)?;
    let span = site.module.functions[end.index()].span;
    let ending = cx.site(At { function: end, span: Span { end: span.start, ..span }, ..site.at })?;
    // TypeScript wants each attribute declared.
    let may_add = site.module.language == Language::JavaScript;
    let mut edits = Vec::new();
    let line = match registration {
        Registration::Timer { target: Some(target) } if target.starts_with("this.") => {
            format!("clearInterval({target});")
        }
        Registration::Timer { target: None } if may_add => {
            let name = unused(source, TIMER_NAMES)?;
            edits.push(Edit::at(statement.start, format!("this.{name} = ")));
            format!("clearInterval(this.{name});")
        }
        Registration::Timer { .. } => return None,
        Registration::Listener { remover, event, callback, callback_start, rest } => {
            // The other method sees what belongs to the object, and what belongs to nobody.
            let receiver = remover.split('.').next().unwrap_or_default();
            let is_local = site.function.locals.iter().any(|it| site.module.name(it.name) == receiver);
            if is_local && receiver != "this" {
                return None;
            }
            let is_kept = callback.strip_prefix("this.").is_some_and(is_name);
            let name = if is_kept {
                (*callback).to_owned()
            } else {
                (may_add && is_movable(site, callback)).then_some(())?;
                let name = format!("this.{}", unused(source, FUNCTION_NAMES)?);
                let line = format!("{name} = {callback};");
                edits.extend(source.put(Position::Before(id), &[line])?);
                edits.push(Edit::new(*callback_start, callback_start + callback.len() as u32, name.clone()));
                name
            };
            format!("{remover}({event}, {name}{rest});")
        }
    };
    let outline = &ending.source.outline;
    let first = outline.ids().find(|it| outline.get(*it).parent == Some(BODY));
    let position = first.map_or(Position::Close(BODY), Position::Before);
    edits.extend(ending.source.put(position, &[line])?);
    let short =
        site.module.name(site.module.functions[end.index()].name).rsplit('.').next().unwrap_or_default();
    Some(fix(site, format!("take it back in {short}"), Safety::Unsafe, edits))
}

/// The method of the same class that says that the object ends.
fn end_method(site: &Site<'_>) -> Option<FunctionId> {
    let class = &site.module.classes[site.function.class?.index()];
    let library = Library::bundled(Family::JavaScript);
    let linkage =
        class.methods.iter().find(|(short, _)| library.is_component_end(site.module.name(*short)))?.1;
    let at = site.module.functions.iter().position(|it| it.name == linkage)?;
    let id = FunctionId(u32::try_from(at).ok()?);
    (id != site.at.function).then_some(id)
}

/// Whether a function may stand in a variable first. TypeScript would not know its parameters' types any more.
fn is_movable(site: &Site<'_>, callback: &str) -> bool {
    let has_none = ["() =>", "()=>", "async () =>", "function ()", "function()"];
    let is_function =
        callback.contains("=>") || callback.starts_with("function") || callback.contains(".bind(");
    match site.module.language {
        Language::TypeScript => has_none.iter().any(|it| callback.starts_with(it)),
        _ => is_function,
    }
}

/// A name that the file does not have yet.
fn unused(source: &Source, names: &[&'static str]) -> Option<&'static str> {
    let text = std::str::from_utf8(&source.text).ok()?;
    names.iter().copied().find(|it| !has_word(text, it))
}
