//! The intermediate representation (IR): functions as control-flow graphs over places.
//!
//! One [`Module`] per translation unit or source file; it stands alone and names other modules' functions and
//! globals by their linkage names. Everything that a function computes lies in *registers*, written once;
//! everything that the program can change lies in *places*: locals, globals, and what pointers and references
//! lead to.
//!
//! ```text
//! module "a.c" c
//! file "a.c"
//! type t0 = int 8
//! type t1 = pointer t2
//! type t2 = int 1 signed
//! function f0 "copy" external (l0) !0-120 {
//!   local l0 "size" t0 !11-15
//!   local l1 "p" t1 !30-31
//! b0:
//!   %0 = load l0 8 !41-45
//!   %1 = call "malloc"(%0) !34-46
//!   store l1 8 %1 !34-46
//!   %2 = binary eq %1 null !52-61
//!   branch %2 b1 b2 !52-61
//! b1:
//!   return 0
//! b2:
//!   ...
//! }
//! ```
//!
//! **Memory.** A local or a global is a region of memory of its type's size. A [`Place`] is a base and steps
//! from it; a step never follows a pointer. `p->next->key` is three operations:
//! `%0 = load p`, `%1 = load [%0].next`, `%2 = load [%1].key`. In Python and JavaScript every variable holds
//! a reference: `a.b.c` is lowered the same way, and `d[k]` is `load [%d][%k]`.
//!
//! **Exceptions.** A block with an `unwind` target goes there when one of its operations raises; without one,
//! the exception leaves the function. `finally` and destructors are written out on each way.
//!
//! **Meaning of calls.** Front ends write calls as they stand. What a library function allocates, releases or
//! appends to is said by models (data), which add the operations of the second half of [`OpKind`]. Front ends
//! write those themselves only for the language's own constructs (`new`, `delete`, `with`, `del d[k]`).
//!
//! Invariants (held by [`verify`](crate::verify)): a register is written by one operation, before it is read
//! on every path; ids are in range; block 0 is the entry.

mod operands;

use heapwise_model::Language;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);
        impl $name {
            /// Position in its column.
            pub fn index(self) -> usize { self.0 as usize }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, concat!($prefix, "{}"), self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
    )*};
}

ids! {
    /// A name or string literal in [`Module::names`].
    Name "n";
    /// A source file in [`Module::files`].
    FileId "file";
    /// A type in [`Module::types`].
    TypeId "t";
    /// A variable with static storage in [`Module::globals`].
    GlobalId "g";
    /// A record or class in [`Module::classes`].
    ClassId "c";
    /// A function in [`Module::functions`].
    FunctionId "f";
    /// A variable in [`Function::locals`].
    LocalId "l";
    /// A basic block in [`Function::blocks`].
    BlockId "b";
    /// A value, written once.
    Reg "%";
}

/// Bytes `[start, end)` of a file. Where a macro was expanded: of the macro's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// No place in a source.
    pub const NONE: Span = Span { file: FileId(0), start: 0, end: 0 };
}

/// One translation unit (C, C++) or source file (Python, JavaScript, TypeScript).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Module {
    /// Path as the user would write it. Python and JavaScript: other modules import it by `module_name`.
    pub path: String,
    pub language: Language,
    /// Dotted name of a Python module, path without extension of a JavaScript module; empty in C and C++.
    pub module_name: String,
    /// All strings: identifiers, linkage names, literals. See [`Module::name`].
    pub names: Vec<Box<str>>,
    /// Files that spans point into; the first is the module's own.
    pub files: Vec<String>,
    pub types: Vec<Type>,
    pub globals: Vec<Global>,
    pub classes: Vec<Class>,
    pub functions: Vec<Function>,
    /// What could not be read, in plain sentences: broken syntax, missing headers.
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    Void,
    Bool,
    Int {
        bytes: u8,
        is_signed: bool,
    },
    Float {
        bytes: u8,
    },
    /// Also C++ references.
    Pointer(TypeId),
    /// `None`: flexible, variable or unknown length.
    Array {
        element: TypeId,
        length: Option<u64>,
    },
    /// A struct, union or class with its members in place.
    Record(ClassId),
    Function,
    /// A dynamically typed value, or a type whose declaration was not found.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Global {
    /// Linkage name; `static` ones and function-local ones carry their file's or function's name before a `:`.
    /// Python and JavaScript: `module.name`.
    pub name: Name,
    pub ty: TypeId,
    pub is_external: bool,
    pub is_const: bool,
    /// Known initial value, if it is one number, string or null.
    pub value: Option<Operand>,
    pub span: Span,
}

/// A struct, union or class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Qualified name.
    pub name: Name,
    /// Qualified or imported names of base classes, in order.
    pub bases: Vec<Name>,
    /// Size in bytes; 0: unknown or dynamic.
    pub bytes: u64,
    pub is_union: bool,
    pub fields: Vec<Field>,
    /// Linkage names of methods by their short names; constructors are called as the class (C++), `__init__`
    /// (Python), `constructor` (JavaScript); destructors `~` and `__del__`.
    pub methods: Vec<(Name, Name)>,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub name: Name,
    pub ty: TypeId,
    /// Bytes from the start of the record; 0 where dynamic.
    pub offset: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Linkage name: `f`, `a.c:f` for static ones, `ns::Class::method`, `module.Class.method`. Overloads of C++
    /// carry their number of parameters: `ns::f/2`. The code of a Python or JavaScript module itself is `module.<module>`.
    pub name: Name,
    pub span: Span,
    /// Of the name alone, for messages and for fingerprints.
    pub name_span: Span,
    pub is_external: bool,
    pub is_variadic: bool,
    pub is_async: bool,
    pub is_generator: bool,
    pub is_virtual: bool,
    /// The class whose method it is.
    pub class: Option<ClassId>,
    /// The function it is nested in; it sees that one's locals as [`Base::Outer`].
    pub parent: Option<FunctionId>,
    /// Names of decorators (Python) and of attributes that concern memory (C), in order.
    pub attributes: Vec<Name>,
    /// Parameters, in order; the receiver of a method comes first.
    pub parameters: Vec<LocalId>,
    pub locals: Vec<Local>,
    pub blocks: Vec<Block>,
    /// Number of registers.
    pub registers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Local {
    /// As in the source; empty for temporaries.
    pub name: Name,
    pub ty: TypeId,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    pub ops: Vec<Op>,
    pub end: End,
    pub end_span: Span,
    /// Where exceptions of this block go.
    pub unwind: Option<BlockId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    pub kind: OpKind,
    pub span: Span,
}

/// A value. Four of its kinds are constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operand {
    Reg(Reg),
    Int(i64),
    Bool(bool),
    /// `NULL`, `nullptr`, `None`, `null`, `undefined`.
    Null,
    /// Address of (or reference to) a string literal.
    String(Name),
    /// Address of a function, by linkage name.
    Function(Name),
    /// A class as a value, by its name.
    Class(Name),
    /// A module as a value, by its name.
    Module(Name),
    /// A value of no interest: a floating-point number, a value that the front end does not model.
    Opaque,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    pub base: Base,
    pub steps: Box<[Step]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Base {
    Local(LocalId),
    /// A local of an enclosing function.
    Outer(FunctionId, LocalId),
    Global(GlobalId),
    /// Attributes of the class itself.
    Class(ClassId),
    /// Where this pointer or reference leads.
    At(Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// A member; `offset` in bytes, `None` where the record is unknown or dynamic.
    Field { name: Name, offset: Option<u64> },
    /// An element; `stride` in bytes, 0: a key.
    Index { index: Operand, stride: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `in` of Python and JavaScript: the left one is a key or element of the right one.
    In,
    /// `isinstance`, `instanceof`.
    IsA,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unary {
    Negate,
    /// Logical.
    Not,
    /// Bitwise.
    Invert,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Callee {
    /// A function known by linkage name or by the dotted name of an import: `malloc`, `os.path.join`, `ns::f/2`.
    Direct(Name),
    /// A method looked up in the receiver (not among `args`). `class`: its static class, if known.
    Method { receiver: Operand, name: Name, class: Option<Name> },
    /// Through a function pointer or a callable.
    Value(Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// Keyword, where given.
    pub name: Option<Name>,
    pub value: Operand,
    /// `*args`, `**kwargs`, `...rest`.
    pub is_spread: bool,
}

/// How a container is read: what a bounded replacement must still be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReadKind {
    Iterate,
    /// One element or key.
    Element,
    Length,
    Contains,
    Slice,
    Sort,
    Concatenate,
    Compare,
    Serialize,
    /// Handed to code that is not seen.
    Other,
}

/// What is started, and has to be stopped or waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpawnKind {
    Thread,
    /// Ends with the program.
    Daemon,
    Process,
    Task,
    /// Fires once.
    Timer,
    /// Fires until cleared.
    Interval,
}

/// What happens. `to` is the register written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OpKind {
    // Values and places.
    /// `bytes` read; 0 where dynamic.
    Load {
        to: Reg,
        from: Place,
        bytes: u32,
    },
    Store {
        to: Place,
        value: Operand,
        bytes: u32,
    },
    /// Assignment of a whole record.
    CopyRecord {
        to: Place,
        from: Box<Place>,
        bytes: u64,
    },
    Address {
        to: Reg,
        of: Place,
    },
    /// `base + index * stride` bytes.
    Offset {
        to: Reg,
        base: Operand,
        index: Operand,
        stride: u64,
    },
    Binary {
        to: Reg,
        op: Binary,
        left: Operand,
        right: Operand,
    },
    Unary {
        to: Reg,
        op: Unary,
        value: Operand,
    },
    /// A conversion, implicit ones of pointers and narrowing ones included.
    Cast {
        to: Reg,
        value: Operand,
        ty: TypeId,
    },
    /// The size in bytes of a type.
    SizeOf {
        to: Reg,
        ty: TypeId,
    },
    /// One of several values, by the block that control came from.
    Phi {
        to: Reg,
        from: Box<[(BlockId, Operand)]>,
    },
    Call {
        to: Option<Reg>,
        callee: Callee,
        args: Box<[Argument]>,
    },
    /// A function value that sees the locals of the function that makes it.
    Closure {
        to: Reg,
        function: FunctionId,
    },
    /// An object of a class of this program or of a library; its constructor is called with `args`.
    New {
        to: Reg,
        class: Name,
        args: Box<[Argument]>,
    },
    /// The exception that led to this block; first operation of an unwind target.
    Caught {
        to: Reg,
    },
    /// Await or yield: other code of the thread may run here.
    Await {
        to: Reg,
        value: Operand,
    },
    Yield {
        to: Reg,
        value: Operand,
    },
    /// The scope of a local begins: its content is undefined.
    Live {
        local: LocalId,
    },
    /// The scope of a local ends.
    Dead {
        local: LocalId,
    },
    /// Paths on which this does not hold end here (`assert`, `__builtin_unreachable`).
    Assume {
        condition: Operand,
    },

    // Memory.
    /// `family`: `malloc`, `new`, `new[]`, `alloca`, ... A block of one family is freed by the same.
    Allocate {
        to: Reg,
        family: Name,
        bytes: Operand,
        is_zeroed: bool,
        may_fail: bool,
    },
    Reallocate {
        to: Reg,
        value: Operand,
        bytes: Operand,
    },
    Free {
        family: Name,
        value: Operand,
    },
    /// The value becomes known to code that is not seen.
    Escape {
        value: Operand,
    },

    // Resources: `class` is `FILE`, `descriptor`, `socket`, `lock`, `thread`, ...
    Acquire {
        to: Reg,
        class: Name,
        may_fail: bool,
    },
    Release {
        class: Name,
        value: Operand,
    },
    Lock {
        lock: Operand,
    },
    Unlock {
        lock: Operand,
    },

    // Containers.
    /// `kind`: `list`, `dict`, `set`, `deque`, `map`, ... `bound`: its greatest length.
    Container {
        to: Reg,
        kind: Name,
        bound: Option<Operand>,
    },
    /// `key`: where an existing one would be replaced. `value`: what is put in.
    Grow {
        container: Operand,
        key: Option<Operand>,
        value: Option<Operand>,
    },
    /// Takes away at least one element, if there is one.
    Shrink {
        container: Operand,
        key: Option<Operand>,
    },
    Clear {
        container: Operand,
    },
    Read {
        container: Operand,
        how: ReadKind,
    },

    // Concurrency and callbacks.
    Spawn {
        to: Reg,
        how: SpawnKind,
        target: Operand,
    },
    /// Waits for, stops or cancels what was spawned.
    Stop {
        value: Operand,
    },
    /// `target` keeps `callback` until it is unregistered. `key`: the event's name.
    Register {
        to: Option<Reg>,
        target: Operand,
        key: Operand,
        callback: Operand,
    },
    Unregister {
        target: Operand,
        key: Operand,
        callback: Operand,
    },
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum End {
    Goto(BlockId),
    Branch {
        condition: Operand,
        then: BlockId,
        other: BlockId,
    },
    Switch {
        value: Operand,
        cases: Box<[(i64, BlockId)]>,
        default: BlockId,
    },
    Return(Option<Operand>),
    Raise(Operand),
    /// Goes on with the exception that was caught.
    Resume,
    Unreachable,
}

impl Module {
    pub fn new(path: impl Into<String>, language: Language) -> Module {
        let path = path.into();
        Module {
            files: vec![path.clone()],
            path,
            language,
            module_name: String::new(),
            names: Vec::new(),
            types: Vec::new(),
            globals: Vec::new(),
            classes: Vec::new(),
            functions: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The text of a name.
    pub fn name(&self, name: Name) -> &str {
        &self.names[name.index()]
    }

    /// Size of a type in bytes; `None` where unknown.
    pub fn size_of(&self, ty: TypeId) -> Option<u64> {
        match self.types[ty.index()] {
            Type::Void | Type::Function | Type::Unknown => None,
            Type::Bool => Some(1),
            Type::Int { bytes, .. } | Type::Float { bytes } => Some(u64::from(bytes)),
            Type::Pointer(_) => Some(8),
            Type::Array { element, length } => self.size_of(element)?.checked_mul(length?),
            Type::Record(class) => Some(self.classes[class.index()].bytes).filter(|it| *it > 0),
        }
    }
}

impl Place {
    pub fn local(local: LocalId) -> Place {
        Place { base: Base::Local(local), steps: Box::default() }
    }

    pub fn at(pointer: Operand) -> Place {
        Place { base: Base::At(pointer), steps: Box::default() }
    }
}

impl End {
    /// The block that this may lead to as its `at`th, in the order of [`End::each_target`].
    pub fn target(&self, at: usize) -> Option<BlockId> {
        match self {
            End::Goto(to) => (at == 0).then_some(*to),
            End::Branch { then, other, .. } => [*then, *other].get(at).copied(),
            End::Switch { cases, default, .. } => match cases.get(at) {
                Some(case) => Some(case.1),
                None => (at == cases.len()).then_some(*default),
            },
            End::Return(_) | End::Raise(_) | End::Resume | End::Unreachable => None,
        }
    }

    /// Calls `f` with each block that this may lead to.
    pub fn each_target(&self, mut f: impl FnMut(BlockId)) {
        match self {
            End::Goto(to) => f(*to),
            End::Branch { then, other, .. } => {
                f(*then);
                f(*other);
            }
            End::Switch { cases, default, .. } => {
                cases.iter().for_each(|it| f(it.1));
                f(*default);
            }
            End::Return(_) | End::Raise(_) | End::Resume | End::Unreachable => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, Op, OpKind};

    /// A program has millions of operations, and clearing fresh memory for them is a good part of reading it.
    #[test]
    fn operations_are_small() {
        assert_eq!([size_of::<OpKind>(), size_of::<Op>(), size_of::<Block>()], [64, 80, 88]);
    }
}
