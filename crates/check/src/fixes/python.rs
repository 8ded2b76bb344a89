//! Fixes of Python sources.

use super::edit::Edit;
use super::outline::{StatementId, StatementKind};
use super::text::{Call, is_name};
use super::{Cx, Site, fix, has_word};
use crate::finding::{Found, FoundFix};
use crate::ir::{Base, Callee, End, Function, LocalId, Module, OpKind, Operand, Place, Span, Step};
use crate::managed::{Family, Library};
use heapwise_model::{Kind, Safety};

/// Methods and functions whose result has nothing to do with what they are given any more.
const PLAIN: &[&str] = &[
    "read",
    "readline",
    "readlines",
    "readinto",
    "write",
    "writelines",
    "tell",
    "seek",
    "flush",
    "truncate",
    "fileno",
    "isatty",
    "readable",
    "writable",
    "seekable",
    "close",
    "send",
    "sendall",
    "sendto",
    "recv",
    "recvfrom",
    "recv_into",
    "connect",
    "bind",
    "listen",
    "settimeout",
    "setsockopt",
    "getsockname",
    "shutdown",
    "getvalue",
    "namelist",
    "extractall",
    "getnames",
    "commit",
    "rollback",
    "json.load",
    "json.dump",
    "pickle.load",
    "pickle.dump",
    "marshal.load",
    "tomllib.load",
    "plistlib.load",
    "yaml.safe_load",
    "print",
    "len",
    "str",
    "repr",
    "list",
    "tuple",
    "set",
    "dict",
    "sorted",
    "sum",
    "min",
    "max",
    "any",
    "all",
    "bool",
    "int",
    "float",
    "bytes",
    "isinstance",
    "hasattr",
    "shutil.copyfileobj",
    "os.fstat",
    "ast.parse",
];

/// `with` closes these.
const CLOSED_BY_WITH: &[&str] = &[
    "open",
    "io.open",
    "codecs.open",
    "os.fdopen",
    "gzip.open",
    "bz2.open",
    "lzma.open",
    "gzip.GzipFile",
    "bz2.BZ2File",
    "lzma.LZMAFile",
    "tarfile.open",
    "zipfile.ZipFile",
    "wave.open",
    "shelve.open",
    "tempfile.NamedTemporaryFile",
    "tempfile.TemporaryFile",
    "tempfile.SpooledTemporaryFile",
    "mmap.mmap",
    "socket.socket",
    "socket.create_connection",
    "socket.create_server",
    "socket.fromfd",
    "ftplib.FTP",
    "smtplib.SMTP",
    "smtplib.SMTP_SSL",
    "imaplib.IMAP4",
    "imaplib.IMAP4_SSL",
    "urllib.request.urlopen",
    "requests.Session",
    "requests.session",
    "httpx.Client",
    "serial.Serial",
    "smbus2.SMBus",
    "h5py.File",
    "netCDF4.Dataset",
    "rasterio.open",
    "PIL.Image.open",
    "select.epoll",
    "selectors.DefaultSelector",
    "concurrent.futures.ThreadPoolExecutor",
    "concurrent.futures.ProcessPoolExecutor",
    "subprocess.Popen",
];

/// `x = open(...)` becomes `with open(...) as x:` around all that uses it, or is closed in a `finally`.
pub fn resource_leak(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let source = &site.source;
    let outline = &source.outline;
    let statement = outline.at(found.at.span.start)?;
    let opening = outline.get(statement);
    let block = opening.parent?;
    let is_plain = opening.kind == StatementKind::Simple
        && source.is_first_on_line(opening.start)
        && source.end_of_python_line(opening.end).is_some()
        && opening.end == found.at.span.end
        && found.at.span.file == site.function.span.file;
    if !is_plain {
        return None;
    }
    let before = source.slice(opening.start, found.at.span.start);
    let name = before.strip_suffix("= ").or(before.strip_suffix('='))?.trim_end();
    let made = opened_by(site.module, site.function, found.at.span)?;
    let uses = Uses::of(&site, name, found.at.span)?;
    let siblings: Vec<StatementId> =
        outline.ids().filter(|it| outline.get(*it).parent == Some(block) && *it > statement).collect();
    let is_within = |span: &Span, id: StatementId| {
        let it = outline.get(id);
        it.start <= span.start && span.end <= it.end
    };
    let last = siblings.iter().rposition(|it| uses.spans.iter().any(|span| is_within(span, *it)))?;
    let used = &siblings[..=last];
    // Every use lies in what is wrapped.
    if !uses.spans.iter().all(|span| used.iter().any(|it| is_within(span, *it))) {
        return None;
    }
    let close = format!("{name}.close()");
    let own_close =
        Some(used[last]).filter(|it| source.slice(outline.get(*it).start, outline.get(*it).end) == close);
    let wrapped = if own_close.is_some() { &used[..last] } else { used };
    let (first, end) = (outline.get(*wrapped.first()?), outline.get(*wrapped.last()?));
    let library = Library::bundled(Family::Python);
    let model = library.resource(made)?;
    let is_with = CLOSED_BY_WITH.contains(&made);
    let has_close = model.release.iter().any(|it| it == "close");
    if !is_with && !has_close {
        return None;
    }
    let indent = source.indent(opening.start).to_owned();
    let newline = source.newline();
    let mut edits = indented(&site, first.start, end.end)?;
    if let Some(id) = own_close {
        let it = outline.get(id);
        if !source.is_first_on_line(it.start) || source.slice(it.end, source.line_end(it.end)).trim() != "" {
            return None;
        }
        edits.push(source.remove(id));
    }
    let message = if is_with {
        edits.push(Edit::new(opening.start, found.at.span.start, "with "));
        edits.push(Edit::at(opening.end, format!(" as {name}:")));
        format!("open {name} by `with`, which closes it")
    } else {
        let at = source.line_start(first.start);
        edits.insert(0, Edit::at(at, format!("{indent}try:{newline}")));
        let end = source.end_of_python_line(end.end)?;
        edits.push(Edit::at(end, format!("{newline}{indent}finally:{newline}{indent}    {close}")));
        format!("close {name} in a `finally`")
    };
    Some(fix(&site, message, Safety::Safe, edits))
}

/// One more level for all lines of a stretch, but for the inside of texts.
fn indented(site: &Site<'_>, start: u32, end: u32) -> Option<Vec<Edit>> {
    let source = &site.source;
    if !source.is_first_on_line(start) {
        return None;
    }
    let unit = if source.indent(start).starts_with('\t') { "\t" } else { "    " };
    let mut edits = Vec::new();
    let mut at = source.line_start(start);
    // `a(); b()` on the last line: all of it moves along.
    source.end_of_python_line(end)?;
    while at < end {
        let line_end = source.line_end(at);
        let is_text = source.outline.texts.iter().any(|it| it.0 < at && at < it.1);
        if !is_text && !source.slice(at, line_end).trim().is_empty() {
            edits.push(Edit::at(at, unit));
        }
        let rest = &source.text[line_end as usize..];
        at = line_end + rest.iter().position(|it| *it == b'\n')? as u32 + 1;
        if at >= source.text.len() as u32 {
            break;
        }
    }
    Some(edits)
}

/// The dotted name of what is called at a place.
fn opened_by<'a>(module: &'a Module, function: &Function, span: Span) -> Option<&'a str> {
    let ops = function.blocks.iter().flat_map(|it| &it.ops).filter(|it| it.span == span);
    ops.into_iter().find_map(|it| match it.kind {
        OpKind::Call { callee: Callee::Direct(name), .. } => Some(module.name(name)),
        OpKind::New { class, .. } => Some(module.name(class)),
        _ => None,
    })
}

/// Where a local, and what is made of it, is used.
struct Uses {
    spans: Vec<Span>,
}

impl Uses {
    /// `None`: the local is more than this one object, or the object may be used elsewhere later.
    fn of(site: &Site<'_>, name: &str, opened: Span) -> Option<Uses> {
        let (module, function) = (site.module, site.function);
        if !is_name(name) {
            return None;
        }
        let local = function.locals.iter().position(|it| module.name(it.name) == name)?;
        if function.parameters.iter().any(|it| it.index() == local) {
            return None;
        }
        let captured = module.functions.iter().flat_map(|it| &it.blocks).flat_map(|it| &it.ops);
        let own = LocalId(local as u32);
        let mut is_captured = false;
        for op in captured {
            each_place(&op.kind, |it| {
                is_captured |= matches!(it.base, Base::Outer(_, local) if local == own && it_is(site, it));
            });
        }
        if is_captured {
            return None;
        }
        let mut regs = vec![false; function.registers as usize];
        let mut locals = vec![false; function.locals.len()];
        let mut spans = Vec::new();
        for _ in 0..8 {
            let before = (regs.clone(), locals.clone());
            spans.clear();
            follow(module, function, opened, &mut regs, &mut locals, &mut spans)?;
            if before == (regs.clone(), locals.clone()) {
                let writes =
                    function.blocks.iter().flat_map(|it| &it.ops).filter(
                        |it| matches!(&it.kind, OpKind::Store { to, .. } if to.base == Base::Local(own)),
                    );
                let is_once = locals[local] && writes.count() == 1;
                return is_once.then_some(Uses { spans });
            }
        }
        None
    }
}

fn it_is(site: &Site<'_>, place: &Place) -> bool {
    matches!(place.base, Base::Outer(function, _) if function == site.at.function)
}

fn each_place(op: &OpKind, mut f: impl FnMut(&Place)) {
    match op {
        OpKind::Load { from: it, .. } | OpKind::Store { to: it, .. } | OpKind::Address { of: it, .. } => {
            f(it)
        }
        _ => {}
    }
}

/// One round of following an object through a function; `None`: it is handed on.
fn follow(
    module: &Module,
    function: &Function,
    opened: Span,
    regs: &mut [bool],
    locals: &mut [bool],
    spans: &mut Vec<Span>,
) -> Option<()> {
    let is_plain = |name: &str| PLAIN.contains(&name);
    for block in &function.blocks {
        for op in &block.ops {
            let holds = |it: Operand| matches!(it, Operand::Reg(reg) if regs[reg.index()]);
            let mut is_held = false;
            op.kind.each_operand(|it| is_held |= holds(it));
            let mut made = op.span == opened && matches!(op.kind, OpKind::Call { .. } | OpKind::New { .. });
            match &op.kind {
                OpKind::Load { from: Place { base: Base::Local(local), .. }, .. } => {
                    made |= locals[local.index()];
                    if locals[local.index()] {
                        spans.push(op.span);
                    }
                }
                OpKind::Load { from, .. } => {
                    made |= is_held && matches!(from.steps.last(), Some(Step::Field { .. }));
                }
                OpKind::Store { to: Place { base: Base::Local(local), steps }, value, .. }
                    if steps.is_empty() && holds(*value) =>
                {
                    locals[local.index()] = true;
                    if op.span.start > opened.end {
                        spans.push(op.span);
                    }
                }
                OpKind::Store { value, .. } if holds(*value) => return None,
                OpKind::Call { callee, .. } if is_held => {
                    made |= match callee {
                        Callee::Direct(name) => !is_plain(module.name(*name)),
                        Callee::Method { name, .. } => !is_plain(module.name(*name)),
                        Callee::Value(_) => true,
                    };
                }
                OpKind::New { .. } | OpKind::Phi { .. } | OpKind::Cast { .. } => made |= is_held,
                OpKind::Store { .. }
                | OpKind::Binary { .. }
                | OpKind::Unary { .. }
                | OpKind::Assume { .. }
                | OpKind::Release { .. }
                | OpKind::Read { .. } => {}
                _ if is_held => return None,
                _ => {}
            }
            if let Some(reg) = op.kind.written().filter(|_| made) {
                regs[reg.index()] = true;
            }
        }
        if let End::Return(Some(Operand::Reg(it))) | End::Raise(Operand::Reg(it)) = block.end
            && regs[it.index()]
        {
            return None;
        }
    }
    Some(())
}

/// `for x in f.readlines()` walks the file itself.
pub fn eager_sequence(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let (start, end) = (found.at.span.start, found.at.span.end);
    let text = site.source.slice(start, end);
    let statement = site.source.outline.get(site.source.outline.at(start)?);
    let line = site.source.slice(statement.start, start);
    let rest = site.source.slice(end, site.source.line_end(end)).trim_start();
    let is_walked = statement.kind == StatementKind::Loop
        && line.starts_with("for ")
        && line.trim_end().ends_with(" in")
        && rest.starts_with(':');
    if let Some(call) = text.strip_suffix(".readlines()").filter(|_| is_walked) {
        let edits = vec![Edit::new(start + call.len() as u32, end, "")];
        // What the loop does to the file itself came after all lines were read.
        let body = site.source.slice(end, statement.end);
        let safety = if is_name(call) && !has_word(body, call) { Safety::Safe } else { Safety::Unsafe };
        return Some(fix(&site, format!("walk {call} itself"), safety, edits));
    }
    if let Some(call) = Call::read(text, start).filter(|it| it.name == "list" && it.end == end && is_walked) {
        let [only] = &call.arguments[..] else { return None };
        let edits = vec![Edit::new(start, only.start, ""), Edit::new(only.end(), end, "")];
        // A copy of anything but numbers may guard against changes within the loop.
        let safety = if only.text.starts_with("range(") { Safety::Safe } else { Safety::Unsafe };
        return Some(fix(&site, "walk it without a list".to_owned(), safety, edits));
    }
    // `sum([x for x in y])`: what takes all of it anyway takes it one by one.
    let inner = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let before = site.source.slice(site.source.line_start(start), start);
    let callee = before.strip_suffix('(').unwrap_or("");
    let name_at = callee.rfind(|it: char| !it.is_alphanumeric() && it != '_').map_or(0, |it| it + 1);
    let takes_all =
        matches!(&callee[name_at..], "sum" | "min" | "max" | "sorted" | "tuple" | "set" | "frozenset");
    let is_method = callee[..name_at].ends_with('.');
    if found.kind != Some(Kind::List)
        || inner.is_none_or(|it| !it.contains(" for "))
        || !takes_all
        || is_method
        || !site.source.slice(end, end + 1).starts_with(')')
    {
        return None;
    }
    // A generator may not wait, and what ends early within it is an error.
    if has_word(text, "await") || has_word(text, "async") || has_word(text, "next") {
        return None;
    }
    let edits = vec![Edit::new(start, start + 1, ""), Edit::new(end - 1, end, "")];
    Some(fix(&site, "give a generator".to_owned(), Safety::Safe, edits))
}

/// A thread that nobody waits for ends with the program.
pub fn thread_never_stopped(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let (start, end) = (found.at.span.start, found.at.span.end);
    let text = site.source.slice(start, end);
    let name = text.split('(').next()?.trim_end();
    if !matches!(name, "Thread" | "threading.Thread") || text.contains("daemon") || !text.ends_with(')') {
        return None;
    }
    let inner = &text[..text.len() - 1];
    let comma = match inner.trim_end().as_bytes().last() {
        Some(b'(') => "",
        Some(b',') => " ",
        _ => ", ",
    };
    let at = start + inner.trim_end().len() as u32;
    let edits = vec![Edit::at(at, format!("{comma}daemon=True"))];
    Some(fix(&site, "let the thread end with the program".to_owned(), Safety::Unsafe, edits))
}

/// One lock over the test and the assignment of a module's variable.
pub fn racy_lazy_init(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let site = cx.site(found.at)?;
    let source = &site.source;
    let outline = &source.outline;
    let set = outline.get(outline.at(found.at.span.start)?);
    let name = source.slice(set.start, set.end).split('=').next()?.trim_end().to_owned();
    let tested = found.related.first()?.1.span;
    let test = outline.ids().map(|it| outline.get(it)).filter(|it| {
        matches!(it.kind, StatementKind::If { .. })
            && it.start <= tested.start
            && tested.end <= it.end
            && it.start < set.start
            && set.end <= it.end
    });
    let test = test.max_by_key(|it| it.start)?;
    let global = format!("{}.{name}", site.module.module_name);
    let global = site.module.globals.iter().find(|it| site.module.name(it.name) == global)?;
    let lock = format!("_{}_lock", name.trim_start_matches('_'));
    let text = std::str::from_utf8(&source.text).ok()?;
    let line = source.slice(source.line_start(global.span.start), source.line_end(global.span.start));
    // The variable is made by the module's own code, in a line of its own.
    let is_plain = is_name(&name)
        && set.kind == StatementKind::Simple
        && global.span != Span::NONE
        && line.starts_with(name.as_str())
        && line[name.len()..].trim_start().starts_with('=')
        && !has_word(text, &lock);
    if !is_plain || !source.is_first_on_line(test.start) {
        return None;
    }
    let newline = source.newline();
    let indent = source.indent(test.start).to_owned();
    let mut edits = indented(&site, test.start, test.end)?;
    edits.push(Edit::at(source.line_start(test.start), format!("{indent}with {lock}:{newline}")));
    let after = source.end_of_python_line(source.line_end(global.span.start))?;
    edits.push(Edit::at(after, format!("{newline}{lock} = threading.RLock()")));
    edits.extend(import(&site, "threading")?);
    // Edits at one place go in this order: the line that opens the block comes first.
    edits.sort_by_key(|it| (it.start, !it.insert.contains("with ")));
    Some(fix(&site, format!("hold a lock over the test of {name} and what sets it"), Safety::Unsafe, edits))
}

/// The edit that imports a module where no line does so; `None`: there is no place for it.
pub(super) fn import(site: &Site<'_>, module: &str) -> Option<Option<Edit>> {
    let source = &site.source;
    let text = std::str::from_utf8(&source.text).ok()?;
    let wanted = format!("import {module}");
    if text.lines().any(|it| it.trim_end() == wanted) {
        return Some(None);
    }
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let is_import = line.starts_with("import ") || line.starts_with("from ");
        let is_within =
            source.outline.texts.iter().any(|it| (it.0 as usize) < offset && offset < it.1 as usize);
        if is_import && !is_within && !line.starts_with("from __future__") {
            let at = u32::try_from(offset).ok()?;
            return Some(Some(Edit::at(at, format!("{wanted}{}", source.newline()))));
        }
        offset += line.len();
    }
    None
}

/// The cache of a method, kept by each object instead of by the class.
pub fn method_cache(cx: &mut Cx<'_>, found: &Found) -> Option<FoundFix> {
    let (_, method) = found.related.first()?;
    let module = &cx.program.modules[method.module as usize];
    let cached = module.functions.get(method.function.index())?;
    let class = cached.class?;
    let name = module.name(cached.name).rsplit('.').next()?.to_owned();
    let constructor = module.functions.iter().position(|it| {
        it.class == Some(class) && module.name(it.name).rsplit('.').next() == Some("__init__")
    })?;
    let constructor = crate::ir::FunctionId(u32::try_from(constructor).ok()?);
    let site = cx.site(crate::finding::At { function: constructor, ..*method })?;
    let source = &site.source;
    let outline = &source.outline;
    let (start, end) = (found.at.span.start, found.at.span.end);
    let decorator = source.slice(start, end).to_owned();
    let own = source.slice(source.line_start(start), source.line_end(end)).trim();
    let receiver = site.local(*site.function.parameters.first()?).to_owned();
    let is_plain = found.at.module == method.module
        && own == format!("@{decorator}")
        && is_name(&name)
        && !has_word(std::str::from_utf8(&source.text).ok()?, "__slots__");
    let top = outline.ids().filter(|it| outline.get(*it).parent == Some(StatementId(0)));
    let last = outline.get(top.max_by_key(|it| outline.get(*it).start)?);
    if !is_plain || last.kind != StatementKind::Simple || !source.is_first_on_line(last.start) {
        return None;
    }
    let newline = source.newline();
    let indent = source.indent(last.start);
    let line_start = source.line_start(start);
    let line_end = source.line_end(end) + newline.len() as u32;
    let at = source.end_of_python_line(last.end)?;
    // `@cache` and `@lru_cache` without arguments take the function itself.
    let line = format!("{newline}{indent}{receiver}.{name} = {decorator}({receiver}.{name})");
    let edits = vec![Edit::new(line_start, line_end, ""), Edit::at(at, line)];
    Some(fix(&site, format!("let each object keep its own cache of {name}"), Safety::Unsafe, edits))
}
