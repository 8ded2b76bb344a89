//! Building modules and functions: what all front ends share.
//!
//! ```
//! use heapwise_check::build::{FunctionBuilder, ModuleBuilder};
//! use heapwise_check::ir::*;
//!
//! let mut module = ModuleBuilder::new("a.c", heapwise_model::Language::C);
//! let name = module.name("f");
//! let mut function = FunctionBuilder::new(name, Span::NONE);
//! function.end(End::Return(Some(Operand::Int(0))), Span::NONE);
//! module.function(function);
//! assert_eq!(module.finish().functions.len(), 1);
//! ```

use crate::ir::{
    Block, BlockId, Class, ClassId, End, FileId, Function, FunctionId, Global, GlobalId, Local, LocalId,
    Module, Name, Op, OpKind, Operand, Reg, Span, Type, TypeId,
};
use crate::text_index::TextIndex;
use heapwise_model::Language;
use rustc_hash::FxHashMap;

/// A module that is being made; names and types are there once.
pub struct ModuleBuilder {
    module: Module,
    names: TextIndex,
    types: FxHashMap<Type, TypeId>,
    /// Those made by [`ModuleBuilder::global_named`].
    globals: FxHashMap<Name, GlobalId>,
    /// Statements that copies of `finally` blocks may still add.
    finally_budget: u32,
    /// Where functions that are complete were built.
    room: Vec<Room>,
}

/// Lists that functions are built in, one after the other: each one then moves to lists of just its size.
#[derive(Default)]
struct Room {
    blocks: Vec<Block>,
    locals: Vec<Local>,
    ops: Vec<Op>,
    is_ended: Vec<bool>,
}

/// Statements that copies of `finally` blocks may add to a module: each way out of one has its own.
const FINALLY_BUDGET: u32 = 100_000;

impl ModuleBuilder {
    pub fn new(path: impl Into<String>, language: Language) -> ModuleBuilder {
        let mut it = ModuleBuilder {
            module: Module::new(path, language),
            names: TextIndex::with_capacity(0),
            types: FxHashMap::default(),
            globals: FxHashMap::default(),
            finally_budget: FINALLY_BUDGET,
            room: Vec::new(),
        };
        // Name 0 is the empty one: temporaries and anonymous things have it.
        it.name("");
        it
    }

    /// The module so far.
    pub fn module(&self) -> &Module {
        &self.module
    }

    pub fn set_module_name(&mut self, name: impl Into<String>) {
        self.module.module_name = name.into();
    }

    /// Interns a text.
    pub fn name(&mut self, text: &str) -> Name {
        let names = &mut self.module.names;
        match self.names.find_or_add(text, |it| &names[it as usize]) {
            Some(known) => Name(known),
            None => {
                names.push(text.into());
                Name(next(names.len() - 1))
            }
        }
    }

    pub fn text(&self, name: Name) -> &str {
        self.module.name(name)
    }

    pub fn ty(&mut self, ty: Type) -> TypeId {
        *self.types.entry(ty).or_insert_with(|| {
            self.module.types.push(ty);
            TypeId(next(self.module.types.len() - 1))
        })
    }

    /// Adds a file that spans may point into.
    pub fn file(&mut self, path: impl Into<String>) -> FileId {
        self.module.files.push(path.into());
        FileId(next(self.module.files.len() - 1))
    }

    pub fn global(&mut self, global: Global) -> GlobalId {
        self.module.globals.push(global);
        GlobalId(next(self.module.globals.len() - 1))
    }

    /// The global of this linkage name and of unknown type, made if it is new; whether it is.
    pub fn global_named(&mut self, name: Name, is_external: bool) -> (GlobalId, bool) {
        if let Some(it) = self.globals.get(&name) {
            return (*it, false);
        }
        let ty = self.ty(Type::Unknown);
        let global = Global { name, ty, is_external, is_const: false, value: None, span: Span::NONE };
        let id = self.global(global);
        self.globals.insert(name, id);
        (id, true)
    }

    /// Whether a copy of a `finally` block of so many statements may be written out; a note says where not.
    pub fn may_copy_finally(&mut self, statements: usize) -> bool {
        const NOTE: &str = "too many ways through finally blocks: some are not followed";
        let cost = next(statements).max(1);
        if let Some(rest) = self.finally_budget.checked_sub(cost) {
            self.finally_budget = rest;
            return true;
        }
        if !self.module.notes.iter().any(|it| it == NOTE) {
            self.note(NOTE);
        }
        false
    }

    pub fn global_mut(&mut self, id: GlobalId) -> &mut Global {
        &mut self.module.globals[id.index()]
    }

    pub fn class(&mut self, class: Class) -> ClassId {
        self.module.classes.push(class);
        ClassId(next(self.module.classes.len() - 1))
    }

    pub fn class_mut(&mut self, id: ClassId) -> &mut Class {
        &mut self.module.classes[id.index()]
    }

    /// Adds a function that is complete.
    pub fn function(&mut self, function: FunctionBuilder) -> FunctionId {
        let id = self.reserve();
        self.fill(id, function);
        id
    }

    /// An id for a function whose body comes later (nested functions are lowered within their parent).
    pub fn reserve(&mut self) -> FunctionId {
        self.module.functions.push(function(Name(0), Span::NONE));
        FunctionId(next(self.module.functions.len() - 1))
    }

    pub fn fill(&mut self, id: FunctionId, function: FunctionBuilder) {
        let (function, room) = function.finish_and_leave();
        self.room.push(room);
        self.fill_with(id, function);
    }

    /// Puts a complete function there.
    pub fn fill_with(&mut self, id: FunctionId, function: Function) {
        self.module.functions[id.index()] = function;
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.module.notes.push(note.into());
    }

    /// The module; functions that were only reserved are unreachable.
    pub fn finish(mut self) -> Module {
        for function in self.module.functions.iter_mut().filter(|it| it.blocks.is_empty()) {
            function.blocks.push(block(None));
        }
        self.module
    }

    /// A function that is to be [filled in](ModuleBuilder::fill), built where an earlier one was.
    pub fn builder(&mut self, name: Name, span: Span) -> FunctionBuilder {
        FunctionBuilder::within(self.room.pop().unwrap_or_default(), name, span)
    }
}

/// A function that is being made, block by block. Operations after a block's end, until the next
/// [`switch_to`](FunctionBuilder::switch_to), are unreachable and dropped.
pub struct FunctionBuilder {
    /// Everything but blocks and registers may be changed at will.
    pub function: Function,
    /// Operations of the current block: they move there when it is left, to a list of just their size.
    ops: Vec<Op>,
    current: Option<BlockId>,
    is_ended: Vec<bool>,
    /// Unwind target of blocks made from now on.
    unwind: Option<BlockId>,
}

impl FunctionBuilder {
    /// With an empty entry block as the current one.
    pub fn new(name: Name, span: Span) -> FunctionBuilder {
        FunctionBuilder::within(Room::default(), name, span)
    }

    fn within(room: Room, name: Name, span: Span) -> FunctionBuilder {
        let Room { blocks, locals, ops, is_ended } = room;
        let function = Function { blocks, locals, ..function(name, span) };
        let mut it = FunctionBuilder { function, ops, current: None, is_ended, unwind: None };
        let entry = it.block();
        it.switch_to(entry);
        it
    }

    pub fn local(&mut self, name: Name, ty: TypeId, span: Span) -> LocalId {
        self.function.locals.push(Local { name, ty, span });
        LocalId(next(self.function.locals.len() - 1))
    }

    pub fn parameter(&mut self, name: Name, ty: TypeId, span: Span) -> LocalId {
        let local = self.local(name, ty, span);
        self.function.parameters.push(local);
        local
    }

    /// A new, empty block, which unwinds to where blocks unwind at present.
    pub fn block(&mut self) -> BlockId {
        self.function.blocks.push(block(self.unwind));
        self.is_ended.push(false);
        BlockId(next(self.function.blocks.len() - 1))
    }

    /// Sets where blocks made from now on unwind to, and continues in a new block of that kind.
    pub fn set_unwind(&mut self, unwind: Option<BlockId>, span: Span) -> Option<BlockId> {
        let before = std::mem::replace(&mut self.unwind, unwind);
        if before != unwind && self.is_reachable() {
            let block = self.block();
            self.end(End::Goto(block), span);
            self.switch_to(block);
        }
        before
    }

    pub fn unwind(&self) -> Option<BlockId> {
        self.unwind
    }

    /// Continues in `block`.
    pub fn switch_to(&mut self, block: BlockId) {
        self.leave();
        debug_assert!(!self.is_ended[block.index()], "a block ends once");
        self.current = Some(block);
    }

    /// Whether operations added now can run, as far as ends of blocks tell.
    pub fn is_reachable(&self) -> bool {
        self.current.is_some()
    }

    pub fn current(&self) -> Option<BlockId> {
        self.current
    }

    /// Leaves the current block without ending it: what comes until the next
    /// [`switch_to`](FunctionBuilder::switch_to) is dropped, as operands that are never evaluated are.
    pub fn suspend(&mut self) -> Option<BlockId> {
        self.leave()
    }

    /// The last operation of the current block.
    pub fn last_op(&self) -> Option<&Op> {
        let block = self.current?;
        self.ops.last().or_else(|| self.function.blocks[block.index()].ops.last())
    }

    /// Whether there is any operation yet.
    pub fn has_ops(&self) -> bool {
        !self.ops.is_empty() || self.function.blocks.iter().any(|it| !it.ops.is_empty())
    }

    fn leave(&mut self) -> Option<BlockId> {
        let block = self.current.take()?;
        if !self.ops.is_empty() {
            let ops = &mut self.function.blocks[block.index()].ops;
            ops.reserve_exact(self.ops.len());
            ops.append(&mut self.ops);
        }
        Some(block)
    }

    pub fn reg(&mut self) -> Reg {
        let it = Reg(self.function.registers);
        self.function.registers += 1;
        it
    }

    pub fn push(&mut self, kind: OpKind, span: Span) {
        if self.current.is_some() {
            self.ops.push(Op { kind, span });
        }
    }

    /// Adds an operation that writes a register, and returns it. Unreachable: a constant of no interest.
    pub fn value(&mut self, span: Span, make: impl FnOnce(Reg) -> OpKind) -> Operand {
        if self.current.is_none() {
            return Operand::Opaque;
        }
        let reg = self.reg();
        self.push(make(reg), span);
        Operand::Reg(reg)
    }

    /// Continues in `join`, to which the blocks of `from` lead, each with its value; the value there.
    pub fn join(&mut self, join: BlockId, from: Vec<(BlockId, Operand)>, span: Span) -> Operand {
        if from.is_empty() {
            return Operand::Opaque;
        }
        self.switch_to(join);
        self.value(span, |to| OpKind::Phi { to, from: from.into() })
    }

    /// Ends the current block.
    pub fn end(&mut self, end: End, span: Span) {
        let Some(block) = self.leave() else { return };
        self.is_ended[block.index()] = true;
        let block = &mut self.function.blocks[block.index()];
        (block.end, block.end_span) = (end, span);
    }

    /// The function, in no more memory than it needs; a block without an end returns nothing.
    pub fn finish(self) -> Function {
        self.finish_and_leave().0
    }

    fn finish_and_leave(mut self) -> (Function, Room) {
        self.leave();
        for (block, is_ended) in self.function.blocks.iter_mut().zip(&self.is_ended) {
            if !is_ended {
                block.end = End::Return(None);
            }
        }
        let mut function = self.function;
        let mut room = Room { ops: self.ops, is_ended: self.is_ended, ..Room::default() };
        (room.blocks, function.blocks) = leave_empty(function.blocks);
        (room.locals, function.locals) = leave_empty(function.locals);
        room.is_ended.clear();
        (function, room)
    }
}

/// A list without its items, and these in one of just their size.
fn leave_empty<T>(mut list: Vec<T>) -> (Vec<T>, Vec<T>) {
    let mut items = Vec::with_capacity(list.len());
    items.append(&mut list);
    (list, items)
}

/// A function without blocks.
fn function(name: Name, span: Span) -> Function {
    Function {
        name,
        span,
        name_span: span,
        is_external: true,
        is_variadic: false,
        is_async: false,
        is_generator: false,
        is_virtual: false,
        class: None,
        parent: None,
        attributes: Vec::new(),
        parameters: Vec::new(),
        locals: Vec::new(),
        blocks: Vec::new(),
        registers: 0,
    }
}

/// An empty block.
fn block(unwind: Option<BlockId>) -> Block {
    Block { ops: Vec::new(), end: End::Unreachable, end_span: Span::NONE, unwind }
}

/// A length as an id. Sources are shorter than 4 GiB, so that there are fewer things than ids.
fn next(length: usize) -> u32 {
    u32::try_from(length).expect("fewer than 2^32 things come of one source file")
}
