//! Module to text.

use super::{LANGUAGES, binary_word, read_word, spawn_word, unary_word};
use crate::ir::{
    Argument, Base, Block, Callee, Class, End, Function, Global, Module, Name, Op, OpKind, Operand, Place,
    Span, Step, Type,
};
use std::fmt::{self, Display, Write};

/// The whole module.
pub fn print(module: &Module) -> String {
    let mut out = String::new();
    // Writing into a string never fails.
    let _ = write_module(&mut out, module);
    out
}

/// One function, as it stands in [`print`].
pub fn print_function(module: &Module, index: usize) -> String {
    let mut out = String::new();
    let _ = write_function(&mut out, module, index, &module.functions[index]);
    out
}

fn write_module(out: &mut String, module: &Module) -> fmt::Result {
    let language = LANGUAGES.iter().find(|it| it.0 == module.language).map_or("native", |it| it.1);
    writeln!(out, "module {} {language} {}", Text(&module.path), Text(&module.module_name))?;
    for file in &module.files {
        writeln!(out, "file {}", Text(file))?;
    }
    for note in &module.notes {
        writeln!(out, "note {}", Text(note))?;
    }
    for (i, ty) in module.types.iter().enumerate() {
        writeln!(out, "type t{i} = {}", TypeText(*ty))?;
    }
    for (i, class) in module.classes.iter().enumerate() {
        write_class(out, module, i, class)?;
    }
    for (i, global) in module.globals.iter().enumerate() {
        write_global(out, module, i, global)?;
    }
    for (i, function) in module.functions.iter().enumerate() {
        write_function(out, module, i, function)?;
    }
    Ok(())
}

fn write_class(out: &mut String, module: &Module, index: usize, class: &Class) -> fmt::Result {
    write!(out, "class c{index} {} {}", Text(module.name(class.name)), class.bytes)?;
    flag(out, class.is_union, "union")?;
    for base in &class.bases {
        write!(out, " base {}", Text(module.name(*base)))?;
    }
    for field in &class.fields {
        write!(out, " field {} {} {}", Text(module.name(field.name)), field.ty, field.offset)?;
    }
    for (short, linkage) in &class.methods {
        write!(out, " method {} {}", Text(module.name(*short)), Text(module.name(*linkage)))?;
    }
    writeln!(out, "{}", At(class.span))
}

fn write_global(out: &mut String, module: &Module, index: usize, global: &Global) -> fmt::Result {
    write!(out, "global g{index} {} {}", Text(module.name(global.name)), global.ty)?;
    flag(out, global.is_external, "external")?;
    flag(out, global.is_const, "const")?;
    if let Some(value) = global.value {
        write!(out, " = {}", Value(module, value))?;
    }
    writeln!(out, "{}", At(global.span))
}

fn write_function(out: &mut String, module: &Module, index: usize, function: &Function) -> fmt::Result {
    write!(out, "function f{index} {}(", Text(module.name(function.name)))?;
    for (i, parameter) in function.parameters.iter().enumerate() {
        write!(out, "{}{parameter}", if i == 0 { "" } else { ", " })?;
    }
    write!(out, ")")?;
    flag(out, function.is_external, "external")?;
    flag(out, function.is_variadic, "variadic")?;
    flag(out, function.is_async, "async")?;
    flag(out, function.is_generator, "generator")?;
    flag(out, function.is_virtual, "virtual")?;
    if let Some(class) = function.class {
        write!(out, " of {class}")?;
    }
    if let Some(parent) = function.parent {
        write!(out, " in {parent}")?;
    }
    for attribute in &function.attributes {
        write!(out, " attribute {}", Text(module.name(*attribute)))?;
    }
    writeln!(out, "{}{} {{", At(function.span), At(function.name_span))?;
    for (i, local) in function.locals.iter().enumerate() {
        writeln!(out, "  local l{i} {} {}{}", Text(module.name(local.name)), local.ty, At(local.span))?;
    }
    for (i, block) in function.blocks.iter().enumerate() {
        write_block(out, module, i, block)?;
    }
    writeln!(out, "}}")
}

fn write_block(out: &mut String, module: &Module, index: usize, block: &Block) -> fmt::Result {
    write!(out, "b{index}:")?;
    if let Some(unwind) = block.unwind {
        write!(out, " unwind {unwind}")?;
    }
    writeln!(out)?;
    for op in &block.ops {
        writeln!(out, "  {}{}", OpText(module, op), At(op.span))?;
    }
    writeln!(out, "  {}{}", EndText(module, &block.end), At(block.end_span))
}

fn flag(out: &mut String, is_set: bool, word: &str) -> fmt::Result {
    if is_set { write!(out, " {word}") } else { Ok(()) }
}

/// A quoted string.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// A span with a space before it, or nothing.
struct At(Span);

impl Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { file, start, end } = self.0;
        match (self.0 == Span::NONE, file.0) {
            (true, _) => Ok(()),
            (false, 0) => write!(f, " !{start}-{end}"),
            (false, file) => write!(f, " !{file}:{start}-{end}"),
        }
    }
}

struct TypeText(Type);

impl Display for TypeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Type::Void => f.write_str("void"),
            Type::Bool => f.write_str("bool"),
            Type::Int { bytes, is_signed } => {
                write!(f, "int {bytes}{}", if is_signed { " signed" } else { "" })
            }
            Type::Float { bytes } => write!(f, "float {bytes}"),
            Type::Pointer(to) => write!(f, "pointer {to}"),
            Type::Array { element, length: Some(length) } => write!(f, "array {element} {length}"),
            Type::Array { element, length: None } => write!(f, "array {element}"),
            Type::Record(class) => write!(f, "record {class}"),
            Type::Function => f.write_str("function"),
            Type::Unknown => f.write_str("unknown"),
        }
    }
}

struct Value<'a>(&'a Module, Operand);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: Name| Text(self.0.name(name));
        match self.1 {
            Operand::Reg(it) => write!(f, "{it}"),
            Operand::Int(it) => write!(f, "{it}"),
            Operand::Bool(it) => write!(f, "{it}"),
            Operand::Null => f.write_str("null"),
            Operand::String(it) => write!(f, "{}", text(it)),
            Operand::Function(it) => write!(f, "function {}", text(it)),
            Operand::Class(it) => write!(f, "class {}", text(it)),
            Operand::Module(it) => write!(f, "module {}", text(it)),
            Operand::Opaque => f.write_str("opaque"),
        }
    }
}

struct PlaceText<'a>(&'a Module, &'a Place);

impl Display for PlaceText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.base {
            Base::Local(it) => write!(f, "{it}")?,
            Base::Outer(function, local) => write!(f, "outer {function} {local}")?,
            Base::Global(it) => write!(f, "{it}")?,
            Base::Class(it) => write!(f, "class {it}")?,
            Base::At(it) => write!(f, "[{}]", Value(self.0, it))?,
        }
        for step in &self.1.steps {
            match *step {
                Step::Field { name, offset: Some(offset) } => {
                    write!(f, ".{}+{offset}", Text(self.0.name(name)))?;
                }
                Step::Field { name, offset: None } => write!(f, ".{}", Text(self.0.name(name)))?,
                Step::Index { index, stride } => write!(f, "[{}*{stride}]", Value(self.0, index))?,
            }
        }
        Ok(())
    }
}

struct Arguments<'a>(&'a Module, &'a [Argument]);

impl Display for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        for (i, argument) in self.1.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            if argument.is_spread {
                f.write_char('*')?;
            }
            if let Some(name) = argument.name {
                write!(f, "{}=", Text(self.0.name(name)))?;
            }
            write!(f, "{}", Value(self.0, argument.value))?;
        }
        f.write_char(')')
    }
}

struct OpText<'a>(&'a Module, &'a Op);

impl Display for OpText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.0;
        let value = |it: &Operand| Value(module, *it);
        let place = |it| PlaceText(module, it);
        let text = |name: &Name| Text(module.name(*name));
        let optional = |f: &mut fmt::Formatter<'_>, word: &str, it: &Option<Operand>| match it {
            Some(it) => write!(f, " {word} {}", Value(module, *it)),
            None => Ok(()),
        };
        match &self.1.kind {
            OpKind::Load { to, from, bytes } => write!(f, "{to} = load {} {bytes}", place(from)),
            OpKind::Store { to, value: it, bytes } => write!(f, "store {} {bytes} {}", place(to), value(it)),
            OpKind::CopyRecord { to, from, bytes } => {
                write!(f, "copy {} {bytes} from {}", place(to), place(from))
            }
            OpKind::Address { to, of } => write!(f, "{to} = address {}", place(of)),
            OpKind::Offset { to, base, index, stride } => {
                write!(f, "{to} = offset {} {} {stride}", value(base), value(index))
            }
            OpKind::Binary { to, op, left, right } => {
                write!(f, "{to} = binary {} {} {}", binary_word(*op), value(left), value(right))
            }
            OpKind::Unary { to, op, value: it } => {
                write!(f, "{to} = unary {} {}", unary_word(*op), value(it))
            }
            OpKind::Cast { to, value: it, ty } => write!(f, "{to} = cast {} {ty}", value(it)),
            OpKind::SizeOf { to, ty } => write!(f, "{to} = sizeof {ty}"),
            OpKind::Phi { to, from } => {
                write!(f, "{to} = phi")?;
                from.iter().try_for_each(|(block, it)| write!(f, " {block} {}", value(it)))
            }
            OpKind::Call { to, callee, args } => {
                if let Some(to) = to {
                    write!(f, "{to} = ")?;
                }
                match callee {
                    Callee::Direct(name) => write!(f, "call {}", text(name))?,
                    Callee::Method { receiver, name, class } => {
                        write!(f, "call method {} {}", value(receiver), text(name))?;
                        if let Some(class) = class {
                            write!(f, " of {}", text(class))?;
                        }
                    }
                    Callee::Value(it) => write!(f, "call value {}", value(it))?,
                }
                write!(f, "{}", Arguments(module, args))
            }
            OpKind::Closure { to, function } => write!(f, "{to} = closure {function}"),
            OpKind::New { to, class, args } => {
                write!(f, "{to} = new {}{}", text(class), Arguments(module, args))
            }
            OpKind::Caught { to } => write!(f, "{to} = caught"),
            OpKind::Await { to, value: it } => write!(f, "{to} = await {}", value(it)),
            OpKind::Yield { to, value: it } => write!(f, "{to} = yield {}", value(it)),
            OpKind::Live { local } => write!(f, "live {local}"),
            OpKind::Dead { local } => write!(f, "dead {local}"),
            OpKind::Assume { condition } => write!(f, "assume {}", value(condition)),
            OpKind::Allocate { to, family, bytes, is_zeroed, may_fail } => {
                write!(f, "{to} = allocate {} {}", text(family), value(bytes))?;
                f.write_str(if *is_zeroed { " zeroed" } else { "" })?;
                f.write_str(if *may_fail { " may-fail" } else { "" })
            }
            OpKind::Reallocate { to, value: it, bytes } => {
                write!(f, "{to} = reallocate {} {}", value(it), value(bytes))
            }
            OpKind::Free { family, value: it } => write!(f, "free {} {}", text(family), value(it)),
            OpKind::Escape { value: it } => write!(f, "escape {}", value(it)),
            OpKind::Acquire { to, class, may_fail } => {
                write!(f, "{to} = acquire {}{}", text(class), if *may_fail { " may-fail" } else { "" })
            }
            OpKind::Release { class, value: it } => write!(f, "release {} {}", text(class), value(it)),
            OpKind::Lock { lock } => write!(f, "lock {}", value(lock)),
            OpKind::Unlock { lock } => write!(f, "unlock {}", value(lock)),
            OpKind::Container { to, kind, bound } => {
                write!(f, "{to} = container {}", text(kind))?;
                optional(f, "bound", bound)
            }
            OpKind::Grow { container, key, value: it } => {
                write!(f, "grow {}", value(container))?;
                optional(f, "key", key)?;
                optional(f, "value", it)
            }
            OpKind::Shrink { container, key } => {
                write!(f, "shrink {}", value(container))?;
                optional(f, "key", key)
            }
            OpKind::Clear { container } => write!(f, "clear {}", value(container)),
            OpKind::Read { container, how } => write!(f, "read {} {}", value(container), read_word(*how)),
            OpKind::Spawn { to, how, target } => {
                write!(f, "{to} = spawn {} {}", spawn_word(*how), value(target))
            }
            OpKind::Stop { value: it } => write!(f, "stop {}", value(it)),
            OpKind::Register { to, target, key, callback } => {
                if let Some(to) = to {
                    write!(f, "{to} = ")?;
                }
                write!(f, "register {} {} {}", value(target), value(key), value(callback))
            }
            OpKind::Unregister { target, key, callback } => {
                write!(f, "unregister {} {} {}", value(target), value(key), value(callback))
            }
        }
    }
}

struct EndText<'a>(&'a Module, &'a End);

impl Display for EndText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |it: &Operand| Value(self.0, *it);
        match self.1 {
            End::Goto(to) => write!(f, "goto {to}"),
            End::Branch { condition, then, other } => write!(f, "branch {} {then} {other}", value(condition)),
            End::Switch { value: it, cases, default } => {
                write!(f, "switch {} {default}", value(it))?;
                cases.iter().try_for_each(|(case, to)| write!(f, " {case} {to}"))
            }
            End::Return(None) => f.write_str("return"),
            End::Return(Some(it)) => write!(f, "return {}", value(it)),
            End::Raise(it) => write!(f, "raise {}", value(it)),
            End::Resume => f.write_str("resume"),
            End::Unreachable => f.write_str("unreachable"),
        }
    }
}
