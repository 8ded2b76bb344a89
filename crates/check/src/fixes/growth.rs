//! `unbounded-growth` in Python and JavaScript: a bound, where the container is made or after what is put in.
//!
//! A list of Python becomes a `deque` only where every reader in the program still works: a deque cannot be sliced,
//! sorted, added to a list, compared with one or written as JSON. Otherwise the oldest entries are dropped where new
//! ones come. How many are kept is for the user to say: all of these fixes need a look.

use super::edit::{Edit, Position};
use super::outline::StatementKind;
use super::python::import;
use super::text::{is_name, is_place};
use super::{Cx, Site, fix};
use crate::finding::{At, Found, FoundFix};
use crate::ir::{
    Argument, Base, Binary, Callee, End, Function, Module, Op, OpKind, Operand, Place, Step, Unary,
};
use heapwise_model::{Kind, Language, Safety};

/// What is kept.
const BOUND: u32 = 1000;

/// Methods that a deque has, too.
const SHARED_METHODS: &[&str] =
    &["append", "extend", "clear", "count", "index", "remove", "reverse", "copy", "appendleft", "popleft"];

/// Functions that take any iterable.
const TAKES_ANY: &[&str] = &[
    "len",
    "sum",
    "min",
    "max",
    "any",
    "all",
    "list",
    "tuple",
    "set",
    "frozenset",
    "sorted",
    "enumerate",
    "reversed",
    "iter",
    "bool",
    "map",
    "filter",
    "zip",
    "collections.deque",
    "deque",
    "collections.Counter",
];

/// Names that read all attributes of an object.
const READS_ALL: &[&str] = &["__dict__", "vars", "asdict", "dataclasses.asdict", "__slots__"];

/// What is written where the container grows.
struct Growing<'a> {
    /// `self.lines`, `visits`.
    path: &'a str,
    /// After the statement.
    after: super::outline::StatementId,
}

fn growing<'a>(site: &'a Site<'_>, at: At) -> Option<Growing<'a>> {
    let source = &site.source;
    let after = source.outline.at(at.span.start)?;
    let statement = source.outline.get(after);
    if statement.kind != StatementKind::Simple || !source.is_first_on_line(statement.start) {
        return None;
    }
    let text = source.slice(at.span.start, at.span.end);
    let is_part = |it: char| it.is_alphanumeric() || it == '_' || it == '.';
    let end = text.find(|it| !is_part(it)).unwrap_or(text.len());
    let path = match text[end..].chars().next() {
        Some('(') => text[..end].rsplit_once('.')?.0,
        _ => &text[..end],
    };
    is_place(path).then_some(Growing { path, after })
}

/// What the container is made of, and where that stands.
struct Made {
    at: At,
    start: u32,
    text: String,
    /// Its type is written, too.
    is_annotated: bool,
}

fn made(cx: &Cx<'_>, found: &Found, path: &str) -> Option<Made> {
    let &(_, at) = found.related.first()?;
    let module = &cx.program.modules[at.module as usize];
    let text = cx.sources.text(&module.path)?;
    let rest = std::str::from_utf8(text.get(at.span.start as usize..)?).ok()?;
    let line = rest.lines().next()?;
    let (target, value) = line.split_once('=')?;
    let lead = value.len() - value.trim_start().len();
    let start = at.span.start + (target.len() + 1 + lead) as u32;
    let value = value.split(" #").next()?.trim();
    let (name, last) = (target.split(':').next()?.trim(), path.rsplit('.').next()?);
    let is_it = name.rsplit(['.', ' ']).next() == Some(last);
    is_it.then(|| Made { at, start, text: value.to_owned(), is_annotated: target.contains(':') })
}

pub fn python(cx: &Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let it = growing(&site, found.at)?;
    let path = it.path;
    let made = made(cx, found, path)?;
    let last = path.rsplit('.').next()?;
    let kind = match made.text.as_str() {
        "[]" | "list()" => Kind::List,
        "deque()" | "collections.deque()" => Kind::Queue,
        "{}" | "dict()" | "OrderedDict()" | "collections.OrderedDict()" => Kind::Map,
        it if it.starts_with("defaultdict(") || it.starts_with("collections.defaultdict(") => Kind::Map,
        "set()" => Kind::Set,
        _ => return None,
    };
    let is_once = || stores(cx, last) == 1;
    if kind == Kind::Queue && is_once() {
        return bounded(cx, &made, &format!("{}(maxlen={BOUND})", made.text.strip_suffix("()")?), last);
    }
    if kind == Kind::List && !made.is_annotated && is_once() && is_read_as_any(cx, last) {
        return bounded(cx, &made, &format!("collections.deque(maxlen={BOUND})"), last);
    }
    let unit = site.source.unit();
    let unit = if unit.trim().is_empty() { unit } else { "    ".to_owned() };
    let lines = match kind {
        Kind::List => vec![format!("del {path}[:-{BOUND}]")],
        Kind::Queue => vec![format!("while len({path}) > {BOUND}:"), format!("{unit}{path}.popleft()")],
        Kind::Map => {
            vec![format!("while len({path}) > {BOUND}:"), format!("{unit}del {path}[next(iter({path}))]")]
        }
        _ => vec![format!("while len({path}) > {BOUND}:"), format!("{unit}{path}.pop()")],
    };
    let statement = site.source.outline.get(it.after);
    let at = site.source.end_of_python_line(statement.end)?;
    let indent = site.source.indent(statement.start).to_owned();
    let newline = site.source.newline();
    let code: String = lines.iter().map(|it| format!("{newline}{indent}{it}")).collect();
    let what = if kind == Kind::Set { "no more than" } else { "the last" };
    Some(fix(
        &site,
        format!("keep {what} {BOUND} entries of {path}, or as many as you need"),
        Safety::Unsafe,
        vec![Edit::at(at, code)],
    ))
}

/// A bound where it is made.
fn bounded(cx: &Cx<'_>, made: &Made, value: &str, name: &str) -> Option<FoundFix> {
    let module = &cx.program.modules[made.at.module as usize];
    // What a module does itself has no outline.
    let near = || cx.site(made.at);
    let any = || {
        (0..module.functions.len() as u32)
            .find_map(|it| cx.site(At { function: crate::ir::FunctionId(it), ..made.at }))
    };
    let site = near().or_else(any)?;
    let text = std::str::from_utf8(&site.source.text).ok()?;
    let is_imported = text.lines().any(|it| {
        it.strip_prefix("from collections import ")
            .is_some_and(|it| it.split(',').any(|it| it.trim() == "deque"))
    });
    let value = if is_imported { value.trim_start_matches("collections.") } else { value };
    let mut edits = vec![Edit::new(made.start, made.start + made.text.len() as u32, value)];
    if value.starts_with("collections.") {
        edits.extend(import(&site, "collections")?);
    }
    let message = format!("keep the last {BOUND} entries of {name}, or as many as you need, in a deque");
    Some(fix(&site, message, Safety::Unsafe, edits))
}

fn ops(module: &Module) -> impl Iterator<Item = (&Function, &Op)> {
    module
        .functions
        .iter()
        .flat_map(|function| function.blocks.iter().flat_map(|it| &it.ops).map(move |op| (function, op)))
}

fn modules<'a>(cx: &Cx<'a>) -> impl Iterator<Item = &'a Module> + use<'a> {
    cx.program.modules.iter().filter(|it| it.language == Language::Python)
}

/// Whether a place is an attribute or a module's variable of that name.
fn is_named(module: &Module, place: &Place, name: &str) -> bool {
    match (place.steps.last(), place.base) {
        (Some(Step::Field { name: it, .. }), _) => module.name(*it) == name,
        (None, Base::Global(it)) => {
            module.name(module.globals[it.index()].name).rsplit('.').next() == Some(name)
        }
        _ => false,
    }
}

/// How often something is assigned to that name, anywhere.
fn stores(cx: &Cx<'_>, name: &str) -> usize {
    let count = |module: &Module| {
        let is_store = |op: &Op| matches!(&op.kind, OpKind::Store { to, .. } if is_named(module, to, name));
        ops(module).filter(|it| is_store(it.1)).count()
    };
    modules(cx).map(count).sum()
}

/// Whether all that is done with what has that name, anywhere, can be done with a deque.
fn is_read_as_any(cx: &Cx<'_>, name: &str) -> bool {
    modules(cx).all(|module| {
        let knows = module.names.iter().any(|it| it.rsplit('.').next() == Some(name));
        let reads_all = || module.names.iter().any(|it| READS_ALL.contains(&&**it));
        !knows || !reads_all() && module.functions.iter().all(|it| is_read_as_any_in(module, it, name))
    })
}

fn is_read_as_any_in(module: &Module, function: &Function, name: &str) -> bool {
    let mut regs = vec![false; function.registers as usize];
    let mut slices = vec![false; function.registers as usize];
    for op in function.blocks.iter().flat_map(|it| &it.ops) {
        match &op.kind {
            OpKind::Load { to, from, .. } if is_named(module, from, name) => regs[to.index()] = true,
            OpKind::Call { to: Some(to), callee: Callee::Direct(it), .. } if module.name(*it) == "slice" => {
                slices[to.index()] = true;
            }
            _ => {}
        }
    }
    let holds = |it: Operand| matches!(it, Operand::Reg(reg) if regs[reg.index()]);
    let is_slice = |it: Operand| matches!(it, Operand::Reg(reg) if slices[reg.index()]);
    let is_element = |place: &Place| match (place.base, &place.steps[..]) {
        (Base::At(it), [Step::Index { index, .. }]) if holds(it) => !is_slice(*index),
        (Base::At(it), _) => !holds(it),
        _ => true,
    };
    let none = |args: &[Argument]| !args.iter().any(|it| holds(it.value));
    let is_fine = |op: &Op| match &op.kind {
        OpKind::Load { from, .. } => is_element(from),
        OpKind::Store { to, value, .. } => is_element(to) && !holds(*value),
        OpKind::Call { callee: Callee::Method { name, receiver, .. }, args, .. } => {
            let name = module.name(*name);
            let is_shared = SHARED_METHODS.contains(&name) || name == "pop" && args.is_empty();
            match holds(*receiver) {
                true => is_shared && none(args),
                false => none(args) || matches!(name, "join" | "extend" | "update"),
            }
        }
        OpKind::Call { callee: Callee::Direct(it), args, .. } => {
            none(args) || TAKES_ANY.contains(&module.name(*it))
        }
        OpKind::Read { .. } => true,
        OpKind::Binary { op: Binary::In, left, .. } => !holds(*left),
        OpKind::Unary { op: Unary::Not, .. } => true,
        other => {
            let mut is_held = false;
            other.each_operand(|it| is_held |= holds(it));
            !is_held
        }
    };
    function.blocks.iter().all(|block| {
        let is_given = matches!(block.end, End::Return(Some(it)) | End::Raise(it) if holds(it));
        !is_given && block.ops.iter().all(is_fine)
    })
}

/// The oldest entries go where new ones come.
pub fn javascript(cx: &Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let it = growing(&site, found.at)?;
    let path = it.path;
    let made = made(cx, found, path)?;
    let value = made.text.trim_end_matches([';', ',']);
    let line = match value {
        "[]" | "new Array()" => {
            let text = site.source.slice(found.at.span.start, found.at.span.end);
            let last = if text.contains(".unshift(") { "pop" } else { "shift" };
            format!("if ({path}.length > {BOUND}) {path}.{last}();")
        }
        "new Map()" | "new Set()" => {
            format!("if ({path}.size > {BOUND}) {path}.delete({path}.keys().next().value);")
        }
        _ => return None,
    };
    if !path.split('.').all(is_name) {
        return None;
    }
    let edits = site.source.put(Position::After(it.after), &[line])?;
    let message = format!("keep no more than {BOUND} entries of {path}, or as many as you need");
    Some(fix(&site, message, Safety::Unsafe, edits))
}
