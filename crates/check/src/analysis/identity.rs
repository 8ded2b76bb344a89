//! All that the analysis of a function reads of its own code, as bytes: two functions with the same bytes, and with
//! callees that have the same, have the same summary and the same findings.
//!
//! Names stand for numbers, places count from the function's start, types are told by what is asked of them (kinds
//! and sizes), globals by all that is known of their content. Cost: linear in operations.

use super::codec::{Coded, Index, Writer, global_name, put_span};
use super::kept::Hash;
use super::{Context, kept};
use crate::ir::{
    Argument, Base, Callee, ClassId, End, Function, FunctionId, GlobalId, LocalId, Module, Name, Op, OpKind,
    Operand, Place, ReadKind, Span, SpawnKind, Step, Type, TypeId, Unary,
};

/// Pointers to pointers and arrays of arrays that are told apart.
const TYPE_DEPTH_MAX: usize = 64;

/// Writes a function; [`Writer::is_sound`] says whether it can be told from others.
pub fn write<'a>(out: &mut Writer<'a>, globals: &Globals<'a>, function: u32) {
    let (module, ir) = out.cx.program.ir(function);
    let number = out.cx.program.functions[function as usize].module;
    let mut body = Body { out, globals, module, number, function };
    body.whole(ir);
}

/// What is known of each global, by a hash that is made when it is first asked for.
pub struct Globals<'a> {
    cx: &'a Context<'a>,
    index: &'a Index<'a>,
    hashes: Vec<std::sync::OnceLock<Option<Hash>>>,
}

impl<'a> Globals<'a> {
    pub fn new(cx: &'a Context<'a>, index: &'a Index<'a>) -> Globals<'a> {
        Globals { cx, index, hashes: cx.program.globals.iter().map(|_| std::sync::OnceLock::new()).collect() }
    }

    /// `None`: it cannot be told from others.
    pub fn hash(&self, global: u32) -> Option<Hash> {
        *self.hashes[global as usize].get_or_init(|| {
            let mut out = Writer::new(self.cx, self.index);
            write_global(&mut out, global);
            out.is_sound.then(|| kept::hash(&[&out.bytes]))
        })
    }
}

fn write_global(out: &mut Writer<'_>, global: u32) {
    let cx = out.cx;
    let linked = &cx.program.globals[global as usize];
    let (name, _) = global_name(cx, linked);
    out.text(name);
    let flags = [linked.is_defined, linked.is_local, linked.bytes.is_some()];
    flags.iter().for_each(|it| it.put(out));
    out.number(linked.bytes.unwrap_or(0));
    for known in [linked.constant, linked.initial] {
        constant(out, linked.module, known);
    }
    let content = cx.program.contents.get(&global).map_or(&[][..], Vec::as_slice);
    out.number(content.len() as u64);
    for &(offset, bytes, module, value) in content {
        offset.put(out);
        bytes.put(out);
        constant(out, module, Some(value));
    }
}

fn constant(out: &mut Writer<'_>, module: u32, value: Option<Operand>) {
    let program = out.cx.program;
    let text = |name: Name| program.modules[module as usize].name(name);
    match value {
        None => out.number(0),
        Some(Operand::Int(it)) => {
            out.number(1);
            it.put(out);
        }
        Some(Operand::Bool(it)) => out.number(2 + u64::from(it)),
        Some(Operand::Null) => out.number(4),
        Some(Operand::String(it)) => {
            out.number(5);
            out.module(module);
            out.text(text(it));
        }
        Some(Operand::Function(it)) => {
            out.number(6);
            out.text(text(it));
        }
        Some(Operand::Class(it) | Operand::Module(it)) => {
            out.number(7);
            out.text(text(it));
        }
        Some(Operand::Opaque | Operand::Reg(_)) => out.number(8),
    }
}

/// All records of a program, in order: what their members are called and where they lie, and who derives from whom.
pub fn classes(cx: &Context<'_>) -> Hash {
    let index = Index::new(cx);
    let mut out = Writer::new(cx, &index);
    for module in &cx.program.modules {
        out.text(&module.path);
        for class in &module.classes {
            out.text(module.name(class.name));
            class.is_union.put(&mut out);
            out.number(class.bytes);
            out.number(class.bases.len() as u64);
            class.bases.iter().for_each(|it| out.text(module.name(*it)));
            out.number(class.fields.len() as u64);
            for field in &class.fields {
                out.text(module.name(field.name));
                out.number(field.offset);
                write_type(&mut out, module, field.ty);
            }
            out.number(class.methods.len() as u64);
            for (short, linkage) in &class.methods {
                out.text(module.name(*short));
                out.text(module.name(*linkage));
            }
        }
    }
    kept::hash(&[&out.bytes])
}

/// What is asked of a type: its kind and size, and those of what it leads to.
fn write_type<'a>(out: &mut Writer<'a>, module: &'a Module, mut ty: TypeId) {
    for _ in 0..TYPE_DEPTH_MAX {
        match module.types[ty.index()] {
            Type::Void => return out.number(0),
            Type::Bool => return out.number(1),
            Type::Int { bytes, is_signed } => {
                return out.number(1000 + u64::from(bytes) * 2 + u64::from(is_signed));
            }
            Type::Float { bytes } => return out.number(2000 + u64::from(bytes)),
            Type::Pointer(to) => {
                out.number(3);
                ty = to;
            }
            Type::Array { element, length } => {
                out.number(4 + u64::from(length.is_some()));
                out.number(length.unwrap_or(0));
                ty = element;
            }
            Type::Record(class) => {
                let class = &module.classes[class.index()];
                out.number(6);
                out.text(module.name(class.name));
                return out.number(class.bytes);
            }
            Type::Function => return out.number(7),
            Type::Unknown => return out.number(8),
        }
    }
    out.is_sound = false;
}

struct Body<'b, 'a> {
    out: &'b mut Writer<'a>,
    globals: &'b Globals<'a>,
    module: &'a Module,
    number: u32,
    function: u32,
}

impl Body<'_, '_> {
    fn whole(&mut self, ir: &Function) {
        self.name(ir.name);
        self.out.module(self.number);
        // Neither where it starts, nor what is said of it to people, nor who may call it.
        self.each(&ir.parameters, |it, local| it.local(*local));
        self.each(&ir.locals, |it, local| {
            it.name(local.name);
            it.ty(local.ty);
            it.span(local.span);
        });
        self.n(u64::from(ir.registers));
        self.each(&ir.blocks, |it, block| {
            it.each(&block.ops, |it, op| it.op(op));
            it.end(&block.end);
            it.span(block.end_span);
            it.n(block.unwind.map_or(0, |it| u64::from(it.0) + 1));
        });
    }

    fn n(&mut self, number: u64) {
        self.out.number(number);
    }

    fn each<T>(&mut self, all: &[T], f: impl Fn(&mut Self, &T)) {
        self.n(all.len() as u64);
        all.iter().for_each(|it| f(self, it));
    }

    fn flag(&mut self, it: bool) {
        self.n(u64::from(it));
    }

    fn name(&mut self, name: Name) {
        self.out.text(self.module.name(name));
    }

    fn span(&mut self, span: Span) {
        put_span(self.out, self.number, self.function, span);
    }

    fn local(&mut self, local: LocalId) {
        self.n(u64::from(local.0));
    }

    fn function(&mut self, function: FunctionId) {
        self.name(self.module.functions[function.index()].name);
    }

    fn class(&mut self, class: ClassId) {
        let class = &self.module.classes[class.index()];
        self.name(class.name);
        self.n(class.bytes);
    }

    fn global(&mut self, global: GlobalId) {
        let linked = self.out.cx.program.global(self.number, global);
        self.out.global(linked);
        self.ty(self.module.globals[global.index()].ty);
        match self.globals.hash(linked) {
            Some(it) => self.out.bytes.extend_from_slice(&it),
            None => self.out.is_sound = false,
        }
    }

    fn ty(&mut self, ty: TypeId) {
        write_type(self.out, self.module, ty);
    }

    fn operand(&mut self, operand: Operand) {
        match operand {
            Operand::Reg(it) => {
                self.n(0);
                self.n(u64::from(it.0));
            }
            Operand::Int(it) => {
                self.n(1);
                it.put(self.out);
            }
            Operand::Bool(it) => self.n(2 + u64::from(it)),
            Operand::Null => self.n(4),
            Operand::String(it) => {
                self.n(5);
                self.name(it);
            }
            Operand::Function(it) => {
                self.n(6);
                self.name(it);
            }
            Operand::Class(it) => {
                self.n(7);
                self.name(it);
            }
            Operand::Module(it) => {
                self.n(8);
                self.name(it);
            }
            Operand::Opaque => self.n(9),
        }
    }

    fn maybe(&mut self, operand: Option<Operand>) {
        self.flag(operand.is_some());
        if let Some(it) = operand {
            self.operand(it);
        }
    }

    fn place(&mut self, place: &Place) {
        match place.base {
            Base::Local(it) => {
                self.n(0);
                self.local(it);
            }
            Base::Outer(function, local) => {
                self.n(1);
                self.function(function);
                self.local(local);
            }
            Base::Global(it) => {
                self.n(2);
                self.global(it);
            }
            Base::Class(it) => {
                self.n(3);
                self.class(it);
            }
            Base::At(it) => {
                self.n(4);
                self.operand(it);
            }
        }
        self.each(&place.steps, |it, step| match *step {
            Step::Field { name, offset } => {
                it.n(0);
                it.name(name);
                it.flag(offset.is_some());
                it.n(offset.unwrap_or(0));
            }
            Step::Index { index, stride } => {
                it.n(1);
                it.operand(index);
                it.n(stride);
            }
        });
    }

    fn arguments(&mut self, all: &[Argument]) {
        self.each(all, |it, argument| {
            it.flag(argument.name.is_some());
            if let Some(name) = argument.name {
                it.name(name);
            }
            it.operand(argument.value);
            it.flag(argument.is_spread);
        });
    }

    fn callee(&mut self, callee: &Callee) {
        match *callee {
            Callee::Direct(name) => {
                self.n(0);
                self.name(name);
            }
            Callee::Method { receiver, name, class } => {
                self.n(1);
                self.operand(receiver);
                self.name(name);
                match class {
                    Some(it) => self.name(it),
                    // Any class' method may be meant.
                    None => self.out.is_sound = false,
                }
                // What the classes of the whole program make of it.
                let found = self.out.cx.program.implementations(self.number, name, class);
                self.each(&found, |it, function| it.out.function(*function));
            }
            Callee::Value(it) => {
                self.n(2);
                self.operand(it);
            }
        }
    }

    fn op(&mut self, op: &Op) {
        self.span(op.span);
        match &op.kind {
            OpKind::Load { to, from, bytes } => {
                self.n(0);
                self.n(u64::from(to.0));
                self.place(from);
                self.n(u64::from(*bytes));
            }
            OpKind::Store { to, value, bytes } => {
                self.n(1);
                self.place(to);
                self.operand(*value);
                self.n(u64::from(*bytes));
            }
            OpKind::CopyRecord { to, from, bytes } => {
                self.n(2);
                self.place(to);
                self.place(from);
                self.n(*bytes);
            }
            OpKind::Address { to, of } => {
                self.n(3);
                self.n(u64::from(to.0));
                self.place(of);
            }
            OpKind::Offset { to, base, index, stride } => {
                self.n(4);
                self.n(u64::from(to.0));
                self.operand(*base);
                self.operand(*index);
                self.n(*stride);
            }
            OpKind::Binary { to, op, left, right } => {
                self.n(5);
                self.n(u64::from(to.0));
                op.put(self.out);
                self.operand(*left);
                self.operand(*right);
            }
            OpKind::Unary { to, op, value } => {
                self.n(6);
                self.n(u64::from(to.0));
                self.n(match op {
                    Unary::Negate => 0,
                    Unary::Not => 1,
                    Unary::Invert => 2,
                });
                self.operand(*value);
            }
            OpKind::Cast { to, value, ty } => {
                self.n(7);
                self.n(u64::from(to.0));
                self.operand(*value);
                self.ty(*ty);
            }
            OpKind::SizeOf { to, ty } => {
                self.n(8);
                self.n(u64::from(to.0));
                self.ty(*ty);
            }
            OpKind::Phi { to, from } => {
                self.n(9);
                self.n(u64::from(to.0));
                self.each(from, |it, (block, value)| {
                    it.n(u64::from(block.0));
                    it.operand(*value);
                });
            }
            OpKind::Call { to, callee, args } => {
                self.n(10);
                self.n(to.map_or(0, |it| u64::from(it.0) + 1));
                self.callee(callee);
                self.arguments(args);
            }
            OpKind::Closure { to, function } => {
                self.n(11);
                self.n(u64::from(to.0));
                self.function(*function);
            }
            OpKind::New { to, class, args } => {
                self.n(12);
                self.n(u64::from(to.0));
                self.name(*class);
                self.arguments(args);
            }
            OpKind::Caught { to } => {
                self.n(13);
                self.n(u64::from(to.0));
            }
            OpKind::Await { to, value } | OpKind::Yield { to, value } => {
                self.n(14 + u64::from(matches!(op.kind, OpKind::Yield { .. })));
                self.n(u64::from(to.0));
                self.operand(*value);
            }
            OpKind::Live { local } => {
                self.n(16);
                self.local(*local);
            }
            OpKind::Dead { local } => {
                self.n(17);
                self.local(*local);
            }
            OpKind::Assume { condition } => {
                self.n(18);
                self.operand(*condition);
            }
            OpKind::Allocate { to, family, bytes, is_zeroed, may_fail } => {
                self.n(19);
                self.n(u64::from(to.0));
                self.name(*family);
                self.operand(*bytes);
                self.flag(*is_zeroed);
                self.flag(*may_fail);
            }
            OpKind::Reallocate { to, value, bytes } => {
                self.n(20);
                self.n(u64::from(to.0));
                self.operand(*value);
                self.operand(*bytes);
            }
            OpKind::Free { family, value } => {
                self.n(21);
                self.name(*family);
                self.operand(*value);
            }
            OpKind::Escape { value } => {
                self.n(22);
                self.operand(*value);
            }
            OpKind::Acquire { to, class, may_fail } => {
                self.n(23);
                self.n(u64::from(to.0));
                self.name(*class);
                self.flag(*may_fail);
            }
            OpKind::Release { class, value } => {
                self.n(24);
                self.name(*class);
                self.operand(*value);
            }
            OpKind::Lock { lock } => {
                self.n(25);
                self.operand(*lock);
            }
            OpKind::Unlock { lock } => {
                self.n(26);
                self.operand(*lock);
            }
            OpKind::Container { to, kind, bound } => {
                self.n(27);
                self.n(u64::from(to.0));
                self.name(*kind);
                self.maybe(*bound);
            }
            OpKind::Grow { container, key, value } => {
                self.n(28);
                self.operand(*container);
                self.maybe(*key);
                self.maybe(*value);
            }
            OpKind::Shrink { container, key } => {
                self.n(29);
                self.operand(*container);
                self.maybe(*key);
            }
            OpKind::Clear { container } => {
                self.n(30);
                self.operand(*container);
            }
            OpKind::Read { container, how } => {
                self.n(31);
                self.operand(*container);
                self.n(how_read(*how));
            }
            OpKind::Spawn { to, how, target } => {
                self.n(32);
                self.n(u64::from(to.0));
                self.n(how_spawned(*how));
                self.operand(*target);
            }
            OpKind::Stop { value } => {
                self.n(33);
                self.operand(*value);
            }
            OpKind::Register { to, target, key, callback } => {
                self.n(34);
                self.n(to.map_or(0, |it| u64::from(it.0) + 1));
                self.operand(*target);
                self.operand(*key);
                self.operand(*callback);
            }
            OpKind::Unregister { target, key, callback } => {
                self.n(35);
                self.operand(*target);
                self.operand(*key);
                self.operand(*callback);
            }
        }
    }

    fn end(&mut self, end: &End) {
        match end {
            End::Goto(to) => {
                self.n(0);
                self.n(u64::from(to.0));
            }
            End::Branch { condition, then, other } => {
                self.n(1);
                self.operand(*condition);
                self.n(u64::from(then.0));
                self.n(u64::from(other.0));
            }
            End::Switch { value, cases, default } => {
                self.n(2);
                self.operand(*value);
                self.each(cases, |it, (case, to)| {
                    case.put(it.out);
                    it.n(u64::from(to.0));
                });
                self.n(u64::from(default.0));
            }
            End::Return(value) => {
                self.n(3);
                self.maybe(*value);
            }
            End::Raise(value) => {
                self.n(4);
                self.operand(*value);
            }
            End::Resume => self.n(5),
            End::Unreachable => self.n(6),
        }
    }
}

fn how_read(how: ReadKind) -> u64 {
    match how {
        ReadKind::Iterate => 0,
        ReadKind::Element => 1,
        ReadKind::Length => 2,
        ReadKind::Contains => 3,
        ReadKind::Slice => 4,
        ReadKind::Sort => 5,
        ReadKind::Concatenate => 6,
        ReadKind::Compare => 7,
        ReadKind::Serialize => 8,
        ReadKind::Other => 9,
    }
}

fn how_spawned(how: SpawnKind) -> u64 {
    match how {
        SpawnKind::Thread => 0,
        SpawnKind::Daemon => 1,
        SpawnKind::Process => 2,
        SpawnKind::Task => 3,
        SpawnKind::Timer => 4,
        SpawnKind::Interval => 5,
    }
}
