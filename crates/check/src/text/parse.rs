//! Text to module. For tests and for people: an error names its line and stops.

use super::{LANGUAGES, binary_of, read_of, spawn_of, unary_of};
use crate::build::ModuleBuilder;
use crate::ir::{
    Argument, Base, Block, BlockId, Callee, Class, ClassId, End, Field, FileId, Function, FunctionId, Global,
    GlobalId, Local, LocalId, Module, Name, Op, OpKind, Operand, Place, Reg, Span, Step, Type, TypeId,
};
use heapwise_model::Language;

/// What is wrong, and on which line (from 1).
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("line {line}: expected {expected}, found {found}")]
pub struct Error {
    pub line: usize,
    pub expected: &'static str,
    pub found: String,
}

type Result<T> = std::result::Result<T, Error>;

/// Reads what [`print`](super::print) wrote. Ids must be given in order.
pub fn parse(text: &str) -> Result<Module> {
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let (number, first) = lines.next().unwrap_or((0, ""));
    let mut line = Line::new(number + 1, first);
    line.word("module")?;
    let path = line.text()?;
    let language = line.take_word("a language")?;
    let language = LANGUAGES.iter().find(|it| it.1 == language).map(|it| it.0);
    let language = language.ok_or_else(|| line.error("a language"))?;
    let mut parser = Parser { module: ModuleBuilder::new(path, language), function: None };
    parser.module.set_module_name(if line.is_text() { line.text()? } else { String::new() });
    line.finish()?;
    let mut files = 0;
    for (number, text) in lines {
        let mut line = Line::new(number + 1, text);
        if line.is_next("file") {
            line.word("file")?;
            let path = line.text()?;
            // The first is the module's own.
            if files > 0 {
                parser.module.file(path);
            }
            files += 1;
        } else {
            parser.line(&mut line)?;
        }
        line.finish()?;
    }
    match parser.function {
        Some(_) => Err(Error { line: text.lines().count(), expected: "}", found: "the end".into() }),
        None => Ok(parser.module.finish()),
    }
}

struct Parser {
    module: ModuleBuilder,
    /// The one whose lines are read.
    function: Option<Function>,
}

impl Parser {
    fn line(&mut self, line: &mut Line) -> Result<()> {
        if let Some(mut function) = self.function.take() {
            if line.is_next("}") {
                line.word("}")?;
                let id = self.module.reserve();
                self.module.fill_with(id, function);
                return Ok(());
            }
            self.function_line(&mut function, line)?;
            self.function = Some(function);
            return Ok(());
        }
        match line.take_word("a declaration")? {
            "note" => {
                let note = line.text()?;
                self.module.note(note);
            }
            "type" => {
                line.id("t")?;
                line.word("=")?;
                let ty = line.ty()?;
                self.module.ty(ty);
            }
            "class" => self.class(line)?,
            "global" => self.global(line)?,
            "function" => self.function = Some(self.head(line)?),
            _ => return Err(line.error("note, type, class, global or function")),
        }
        Ok(())
    }

    fn class(&mut self, line: &mut Line) -> Result<()> {
        line.id("c")?;
        let mut class = Class {
            name: self.name(line)?,
            bases: Vec::new(),
            bytes: line.number()?,
            is_union: line.flag("union"),
            fields: Vec::new(),
            methods: Vec::new(),
            span: Span::NONE,
        };
        loop {
            if line.flag("base") {
                class.bases.push(self.name(line)?);
            } else if line.flag("field") {
                let name = self.name(line)?;
                class.fields.push(Field { name, ty: TypeId(line.id("t")?), offset: line.number()? });
            } else if line.flag("method") {
                class.methods.push((self.name(line)?, self.name(line)?));
            } else {
                break;
            }
        }
        class.span = line.span()?;
        self.module.class(class);
        Ok(())
    }

    fn global(&mut self, line: &mut Line) -> Result<()> {
        line.id("g")?;
        let global = Global {
            name: self.name(line)?,
            ty: TypeId(line.id("t")?),
            is_external: line.flag("external"),
            is_const: line.flag("const"),
            value: if line.flag("=") { Some(self.operand(line)?) } else { None },
            span: line.span()?,
        };
        self.module.global(global);
        Ok(())
    }

    fn head(&mut self, line: &mut Line) -> Result<Function> {
        line.id("f")?;
        let name = self.name(line)?;
        let mut parameters = Vec::new();
        line.word("(")?;
        while !line.flag(")") {
            parameters.push(LocalId(line.id("l")?));
            line.flag(",");
        }
        let mut function = Function {
            name,
            span: Span::NONE,
            name_span: Span::NONE,
            is_external: line.flag("external"),
            is_variadic: line.flag("variadic"),
            is_async: line.flag("async"),
            is_generator: line.flag("generator"),
            is_virtual: line.flag("virtual"),
            class: if line.flag("of") { Some(ClassId(line.id("c")?)) } else { None },
            parent: if line.flag("in") { Some(FunctionId(line.id("f")?)) } else { None },
            attributes: Vec::new(),
            parameters,
            locals: Vec::new(),
            blocks: Vec::new(),
            registers: 0,
        };
        while line.flag("attribute") {
            function.attributes.push(self.name(line)?);
        }
        function.span = line.span()?;
        function.name_span = line.span()?;
        line.word("{")?;
        Ok(function)
    }

    fn function_line(&mut self, function: &mut Function, line: &mut Line) -> Result<()> {
        if line.flag("local") {
            line.id("l")?;
            let name = self.name(line)?;
            function.locals.push(Local { name, ty: TypeId(line.id("t")?), span: line.span()? });
            return Ok(());
        }
        if line.peek().starts_with('b') && line.peek_after() == ":" {
            line.id("b")?;
            line.word(":")?;
            let unwind = if line.flag("unwind") { Some(BlockId(line.id("b")?)) } else { None };
            function.blocks.push(Block {
                ops: Vec::new(),
                end: End::Unreachable,
                end_span: Span::NONE,
                unwind,
            });
            return Ok(());
        }
        let Some(block) = function.blocks.last_mut() else { return Err(line.error("a block")) };
        let to = if line.peek().starts_with('%') {
            let reg = Reg(line.id("%")?);
            line.word("=")?;
            function.registers = function.registers.max(reg.0.saturating_add(1));
            Some(reg)
        } else {
            None
        };
        let word = line.take_word("an operation")?.to_owned();
        if let Some(end) = self.end(&word, line)? {
            (block.end, block.end_span) = (end, line.span()?);
            return Ok(());
        }
        let kind = self.op(&word, to, line)?;
        block.ops.push(Op { kind, span: line.span()? });
        Ok(())
    }

    fn end(&mut self, word: &str, line: &mut Line) -> Result<Option<End>> {
        Ok(Some(match word {
            "goto" => End::Goto(BlockId(line.id("b")?)),
            "branch" => End::Branch {
                condition: self.operand(line)?,
                then: BlockId(line.id("b")?),
                other: BlockId(line.id("b")?),
            },
            "switch" => {
                let value = self.operand(line)?;
                let default = BlockId(line.id("b")?);
                let mut cases = Vec::new();
                while !line.is_over() {
                    cases.push((line.signed()?, BlockId(line.id("b")?)));
                }
                End::Switch { value, cases: cases.into(), default }
            }
            "return" => End::Return(if line.is_over() { None } else { Some(self.operand(line)?) }),
            "raise" => End::Raise(self.operand(line)?),
            "resume" => End::Resume,
            "unreachable" => End::Unreachable,
            _ => return Ok(None),
        }))
    }

    fn op(&mut self, word: &str, target: Option<Reg>, line: &mut Line) -> Result<OpKind> {
        let line_number = line.number;
        let to = || {
            let found = format!("{word} without one");
            target.ok_or(Error { line: line_number, expected: "a register", found })
        };
        Ok(match word {
            "load" => OpKind::Load { to: to()?, from: self.place(line)?, bytes: line.width()? },
            "store" => {
                let place = self.place(line)?;
                let bytes = line.width()?;
                OpKind::Store { to: place, bytes, value: self.operand(line)? }
            }
            "copy" => {
                let place = self.place(line)?;
                let bytes = line.number()?;
                line.word("from")?;
                OpKind::CopyRecord { to: place, bytes, from: Box::new(self.place(line)?) }
            }
            "address" => OpKind::Address { to: to()?, of: self.place(line)? },
            "offset" => OpKind::Offset {
                to: to()?,
                base: self.operand(line)?,
                index: self.operand(line)?,
                stride: line.number()?,
            },
            "binary" => {
                let op = binary_of(line.take_word("an operator")?);
                let op = op.ok_or_else(|| line.error("an operator"))?;
                OpKind::Binary { to: to()?, op, left: self.operand(line)?, right: self.operand(line)? }
            }
            "unary" => {
                let op = unary_of(line.take_word("an operator")?);
                let op = op.ok_or_else(|| line.error("an operator"))?;
                OpKind::Unary { to: to()?, op, value: self.operand(line)? }
            }
            "cast" => OpKind::Cast { to: to()?, value: self.operand(line)?, ty: TypeId(line.id("t")?) },
            "sizeof" => OpKind::SizeOf { to: to()?, ty: TypeId(line.id("t")?) },
            "phi" => {
                let mut from = Vec::new();
                while !line.is_over() {
                    from.push((BlockId(line.id("b")?), self.operand(line)?));
                }
                OpKind::Phi { to: to()?, from: from.into() }
            }
            "call" => {
                let callee = if line.flag("method") {
                    let receiver = self.operand(line)?;
                    let name = self.name(line)?;
                    let class = if line.flag("of") { Some(self.name(line)?) } else { None };
                    Callee::Method { receiver, name, class }
                } else if line.flag("value") {
                    Callee::Value(self.operand(line)?)
                } else {
                    Callee::Direct(self.name(line)?)
                };
                OpKind::Call { to: target, callee, args: self.arguments(line)? }
            }
            "closure" => OpKind::Closure { to: to()?, function: FunctionId(line.id("f")?) },
            "new" => OpKind::New { to: to()?, class: self.name(line)?, args: self.arguments(line)? },
            "caught" => OpKind::Caught { to: to()? },
            "await" => OpKind::Await { to: to()?, value: self.operand(line)? },
            "yield" => OpKind::Yield { to: to()?, value: self.operand(line)? },
            "live" => OpKind::Live { local: LocalId(line.id("l")?) },
            "dead" => OpKind::Dead { local: LocalId(line.id("l")?) },
            "assume" => OpKind::Assume { condition: self.operand(line)? },
            "allocate" => OpKind::Allocate {
                to: to()?,
                family: self.name(line)?,
                bytes: self.operand(line)?,
                is_zeroed: line.flag("zeroed"),
                may_fail: line.flag("may-fail"),
            },
            "reallocate" => {
                OpKind::Reallocate { to: to()?, value: self.operand(line)?, bytes: self.operand(line)? }
            }
            "free" => OpKind::Free { family: self.name(line)?, value: self.operand(line)? },
            "escape" => OpKind::Escape { value: self.operand(line)? },
            "acquire" => {
                OpKind::Acquire { to: to()?, class: self.name(line)?, may_fail: line.flag("may-fail") }
            }
            "release" => OpKind::Release { class: self.name(line)?, value: self.operand(line)? },
            "lock" => OpKind::Lock { lock: self.operand(line)? },
            "unlock" => OpKind::Unlock { lock: self.operand(line)? },
            "container" => {
                OpKind::Container { to: to()?, kind: self.name(line)?, bound: self.optional("bound", line)? }
            }
            "grow" => OpKind::Grow {
                container: self.operand(line)?,
                key: self.optional("key", line)?,
                value: self.optional("value", line)?,
            },
            "shrink" => OpKind::Shrink { container: self.operand(line)?, key: self.optional("key", line)? },
            "clear" => OpKind::Clear { container: self.operand(line)? },
            "read" => {
                let container = self.operand(line)?;
                let how = read_of(line.take_word("a way of reading")?);
                OpKind::Read { container, how: how.ok_or_else(|| line.error("a way of reading"))? }
            }
            "spawn" => {
                let how = spawn_of(line.take_word("what is started")?);
                let how = how.ok_or_else(|| line.error("what is started"))?;
                OpKind::Spawn { to: to()?, how, target: self.operand(line)? }
            }
            "stop" => OpKind::Stop { value: self.operand(line)? },
            "register" => OpKind::Register {
                to: target,
                target: self.operand(line)?,
                key: self.operand(line)?,
                callback: self.operand(line)?,
            },
            "unregister" => OpKind::Unregister {
                target: self.operand(line)?,
                key: self.operand(line)?,
                callback: self.operand(line)?,
            },
            _ => return Err(line.error("an operation")),
        })
    }

    fn optional(&mut self, word: &str, line: &mut Line) -> Result<Option<Operand>> {
        if line.flag(word) { self.operand(line).map(Some) } else { Ok(None) }
    }

    fn arguments(&mut self, line: &mut Line) -> Result<Box<[Argument]>> {
        let mut arguments = Vec::new();
        line.word("(")?;
        while !line.flag(")") {
            let is_spread = line.flag("*");
            let name = if line.is_text() && line.peek_after() == "=" {
                let name = self.name(line)?;
                line.word("=")?;
                Some(name)
            } else {
                None
            };
            arguments.push(Argument { name, value: self.operand(line)?, is_spread });
            line.flag(",");
        }
        Ok(arguments.into())
    }

    fn name(&mut self, line: &mut Line) -> Result<Name> {
        let text = line.text()?;
        Ok(self.module.name(&text))
    }

    fn operand(&mut self, line: &mut Line) -> Result<Operand> {
        if line.is_text() {
            return Ok(Operand::String(self.name(line)?));
        }
        if line.peek().starts_with('%') {
            return Ok(Operand::Reg(Reg(line.id("%")?)));
        }
        if line.peek().starts_with(|it: char| it.is_ascii_digit() || it == '-') {
            return Ok(Operand::Int(line.signed()?));
        }
        Ok(match line.take_word("a value")? {
            "true" => Operand::Bool(true),
            "false" => Operand::Bool(false),
            "null" => Operand::Null,
            "opaque" => Operand::Opaque,
            "function" => Operand::Function(self.name(line)?),
            "class" => Operand::Class(self.name(line)?),
            "module" => Operand::Module(self.name(line)?),
            _ => return Err(line.error("a value")),
        })
    }

    fn place(&mut self, line: &mut Line) -> Result<Place> {
        let base = if line.flag("[") {
            let operand = self.operand(line)?;
            line.word("]")?;
            Base::At(operand)
        } else if line.flag("outer") {
            Base::Outer(FunctionId(line.id("f")?), LocalId(line.id("l")?))
        } else if line.flag("class") {
            Base::Class(ClassId(line.id("c")?))
        } else if line.peek().starts_with('g') {
            Base::Global(GlobalId(line.id("g")?))
        } else {
            Base::Local(LocalId(line.id("l")?))
        };
        let mut steps = Vec::new();
        loop {
            if line.flag(".") {
                let name = self.name(line)?;
                let offset = if line.flag("+") { Some(line.number()?) } else { None };
                steps.push(Step::Field { name, offset });
            } else if line.flag("[") {
                let index = self.operand(line)?;
                line.word("*")?;
                steps.push(Step::Index { index, stride: line.number()? });
                line.word("]")?;
            } else {
                return Ok(Place { base, steps: steps.into() });
            }
        }
    }
}

/// The tokens of a line: quoted strings, words, and single signs.
struct Line<'a> {
    number: usize,
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn new(number: usize, text: &'a str) -> Line<'a> {
        Line { number, rest: text.trim() }
    }

    fn error(&self, expected: &'static str) -> Error {
        let found: String = self.rest.chars().take(40).collect();
        Error { line: self.number, expected, found: if found.is_empty() { "the end".into() } else { found } }
    }

    /// Length in bytes of the token that `text` starts with. Of strings: the quote alone.
    fn token_length(text: &str) -> usize {
        let is_word = |it: char| it.is_alphanumeric() || it == '_' || it == '%';
        let negative =
            usize::from(text.starts_with('-') && text[1..].starts_with(|it: char| it.is_ascii_digit()));
        let word = text[negative..].find(|it| !is_word(it)).unwrap_or(text.len() - negative) + negative;
        match word {
            // `c++` and `may-fail` are words too.
            1 if text.starts_with("c++") => 3,
            3 if text.starts_with("may-fail") => 8,
            0 => text.chars().next().map_or(0, char::len_utf8),
            _ => word,
        }
    }

    fn peek(&self) -> &'a str {
        &self.rest[..Self::token_length(self.rest)]
    }

    /// The token after the next one, a string counting as one.
    fn peek_after(&self) -> &'a str {
        let length =
            if self.is_text() { self.text_length().unwrap_or(1) } else { Self::token_length(self.rest) };
        let after = self.rest[length..].trim_start();
        &after[..Self::token_length(after)]
    }

    fn is_next(&self, token: &str) -> bool {
        self.peek() == token
    }

    /// Nothing but spans is left.
    fn is_over(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with('!')
    }

    fn skip(&mut self, length: usize) {
        self.rest = self.rest[length..].trim_start();
    }

    fn flag(&mut self, token: &str) -> bool {
        let is_next = self.is_next(token);
        if is_next {
            self.skip(token.len());
        }
        is_next
    }

    fn word(&mut self, token: &'static str) -> Result<()> {
        if self.flag(token) { Ok(()) } else { Err(self.error(token)) }
    }

    fn take_word(&mut self, expected: &'static str) -> Result<&'a str> {
        let word = self.peek();
        if word.is_empty() || word == "\"" {
            return Err(self.error(expected));
        }
        self.skip(word.len());
        Ok(word)
    }

    fn finish(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("the end of the line")) }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T> {
        let number = self.peek().parse().map_err(|_| self.error("a number"))?;
        self.skip(self.peek().len());
        Ok(number)
    }

    fn signed(&mut self) -> Result<i64> {
        self.number()
    }

    fn width(&mut self) -> Result<u32> {
        self.number()
    }

    fn id(&mut self, prefix: &'static str) -> Result<u32> {
        let word = self.peek();
        let id =
            word.strip_prefix(prefix).and_then(|it| it.parse().ok()).ok_or_else(|| self.error("an id"))?;
        self.skip(word.len());
        Ok(id)
    }

    fn is_text(&self) -> bool {
        self.rest.starts_with('"')
    }

    /// Length of the quoted string that comes next, quotes included.
    fn text_length(&self) -> Option<usize> {
        let mut is_escaped = false;
        let inside = self.rest.strip_prefix('"')?;
        let end = inside.find(|it| {
            let is_end = it == '"' && !is_escaped;
            is_escaped = it == '\\' && !is_escaped;
            is_end
        })?;
        Some(end + 2)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.text_length().ok_or_else(|| self.error("a quoted string"))?;
        let mut text = String::new();
        let mut chars = self.rest[1..length - 1].chars();
        while let Some(it) = chars.next() {
            match (it, it == '\\') {
                (it, false) => text.push(it),
                (_, true) => match chars.next() {
                    Some('n') => text.push('\n'),
                    Some('u') => {
                        let digits: String = chars.by_ref().skip(1).take_while(|it| *it != '}').collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        text.push(code.ok_or_else(|| self.error("a character's number"))?);
                    }
                    Some(it) => text.push(it),
                    None => return Err(self.error("a quoted string")),
                },
            }
        }
        self.skip(length);
        Ok(text)
    }

    fn span(&mut self) -> Result<Span> {
        if !self.flag("!") {
            return Ok(Span::NONE);
        }
        let first = self.number()?;
        let (file, start) = if self.flag(":") { (first, self.number()?) } else { (0, first) };
        // `-` and the digits after it are one token.
        let end = self.peek().strip_prefix('-').and_then(|it| it.parse().ok());
        let end = end.ok_or_else(|| self.error("the end of a span"))?;
        self.skip(self.peek().len());
        Ok(Span { file: FileId(file), start, end })
    }

    fn ty(&mut self) -> Result<Type> {
        Ok(match self.take_word("a type")? {
            "void" => Type::Void,
            "bool" => Type::Bool,
            "int" => Type::Int { bytes: self.number()?, is_signed: self.flag("signed") },
            "float" => Type::Float { bytes: self.number()? },
            "pointer" => Type::Pointer(TypeId(self.id("t")?)),
            "array" => Type::Array {
                element: TypeId(self.id("t")?),
                length: if self.is_over() { None } else { Some(self.number()?) },
            },
            "record" => Type::Record(ClassId(self.id("c")?)),
            "function" => Type::Function,
            "unknown" => Type::Unknown,
            _ => return Err(self.error("a type")),
        })
    }
}

/// The words for languages name each of them once.
const _: () = assert!(LANGUAGES.len() == Language::Native as usize + 1);
