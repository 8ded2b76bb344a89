//! What the classes of the process say of their instances: where references stand, and how large they are.
//!
//! A type object is read once. Its flags and the names of the C types that it derives from tell its [`Shape`]; C types
//! themselves name fields (`tp_members`), `__slots__` among them. What no table and no type tells is looked through word
//! by word.

use crate::dicts::{Keys, keys};
use crate::layouts::{Attributes, CLOSED, FIELDS, Layout};
use crate::memory::{ADDRESS_MAX, Copy};
use crate::names::Names;
use heapwise_model::EdgeKind;
use rustc_hash::{FxHashMap, FxHashSet};

/// In a type object, the same in all versions.
pub mod field {
    pub const NAME: u64 = 24;
    pub const BASIC_SIZE: u64 = 32;
    pub const ITEM_SIZE: u64 = 40;
    pub const DEALLOC: u64 = 48;
    pub const FLAGS: u64 = 168;
    pub const WEAKLIST_OFFSET: u64 = 208;
    pub const MEMBERS: u64 = 240;
    pub const BASE: u64 = 256;
    pub const DICT: u64 = 264;
    pub const DICT_OFFSET: u64 = 288;
    pub const BASES: u64 = 336;
    pub const MRO: u64 = 344;
    pub const SUBCLASSES: u64 = 360;
    pub const FINALIZE: u64 = 392;
}

/// Bits of a type's flags.
pub mod flag {
    pub const INLINE_VALUES: u64 = 1 << 2;
    pub const MANAGED_WEAKREF: u64 = 1 << 3;
    pub const MANAGED_DICT: u64 = 1 << 4;
    pub const HEAP_TYPE: u64 = 1 << 9;
    pub const READY: u64 = 1 << 12;
    pub const COLLECTED: u64 = 1 << 14;
    pub const LONG: u64 = 1 << 24;
    pub const LIST: u64 = 1 << 25;
    pub const TUPLE: u64 = 1 << 26;
    pub const BYTES: u64 = 1 << 27;
    pub const TEXT: u64 = 1 << 28;
    pub const DICT: u64 = 1 << 29;
    pub const EXCEPTION: u64 = 1 << 30;
    pub const TYPE: u64 = 1 << 31;
}

/// How an object's references and size are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Fields only.
    Fields,
    List,
    Tuple,
    Dict,
    OrderedDict,
    Set,
    Text,
    Bytes,
    ByteArray,
    Integer,
    Float,
    None,
    Bool,
    Module,
    Cell,
    Function,
    Class,
    Code,
    Frame,
    Generator,
    Weakref,
    Deque,
    LruCache,
    /// `array.array`: a block of items beside the object.
    Array,
    NumpyArray,
    /// A node of an immutable map (`contextvars`).
    HamtPairs,
    HamtArray,
}

/// C types whose instances are read by code of their own, by name.
const SHAPES: &[(&str, Shape)] = &[
    ("bool", Shape::Bool),
    ("float", Shape::Float),
    ("NoneType", Shape::None),
    ("set", Shape::Set),
    ("frozenset", Shape::Set),
    ("bytearray", Shape::ByteArray),
    ("module", Shape::Module),
    ("cell", Shape::Cell),
    ("function", Shape::Function),
    ("code", Shape::Code),
    ("frame", Shape::Frame),
    ("generator", Shape::Generator),
    ("coroutine", Shape::Generator),
    ("async_generator", Shape::Generator),
    ("weakref", Shape::Weakref),
    ("weakref.ReferenceType", Shape::Weakref),
    ("weakproxy", Shape::Weakref),
    ("weakref.ProxyType", Shape::Weakref),
    ("weakcallableproxy", Shape::Weakref),
    ("weakref.CallableProxyType", Shape::Weakref),
    ("collections.OrderedDict", Shape::OrderedDict),
    ("collections.deque", Shape::Deque),
    ("functools._lru_cache_wrapper", Shape::LruCache),
    ("array.array", Shape::Array),
    ("numpy.ndarray", Shape::NumpyArray),
    ("hamt_bitmap_node", Shape::HamtPairs),
    ("hamt_array_node", Shape::HamtArray),
    ("hamt_collision_node", Shape::HamtPairs),
];

/// Shapes that are told by a flag, the same for all subclasses.
const FLAGS: &[(u64, Shape)] = &[
    (flag::TYPE, Shape::Class),
    (flag::LIST, Shape::List),
    (flag::TUPLE, Shape::Tuple),
    (flag::DICT, Shape::Dict),
    (flag::TEXT, Shape::Text),
    (flag::BYTES, Shape::Bytes),
    (flag::LONG, Shape::Integer),
];

/// Where an instance's attributes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DictAt {
    Nowhere,
    /// A pointer to a dictionary; negative: from the end of an object of variable size.
    Offset(i64),
    /// As [`Attributes`] says.
    Managed,
}

/// A reference that stands at one place in all instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldAt {
    pub offset: u32,
    pub kind: EdgeKind,
    /// Number of its name.
    pub label: u32,
}

/// A class, as far as its instances are concerned.
#[derive(Clone, Debug)]
pub struct Type {
    pub addr: u64,
    pub shape: Shape,
    /// Number of its name, with its module's where that is not the builtins'.
    pub name: u32,
    pub basic_size: u64,
    pub item_size: u64,
    pub dict: DictAt,
    pub has_inline_values: bool,
    /// Bytes before an object.
    pub head_size: u64,
    /// Classes made at run time are counted by their instances, and told from those that the interpreter brings.
    pub is_heap_type: bool,
    /// Keys that instances share.
    pub cached_keys: Option<Keys>,
    pub fields: Vec<FieldAt>,
    /// Words that may hold references nobody tells of.
    pub unknown: Vec<u32>,
    /// Functions that take down instances: `tp_dealloc`, `tp_finalize`.
    pub destructors: [u64; 2],
}

/// Longest name of a C type.
const NAME_MAX: usize = 200;
/// Classes above each other, and members of one.
const DEPTH_MAX: usize = 200;
const MEMBERS_MAX: u64 = 2000;
/// Attributes of a class that are searched for its module's name.
const ATTRIBUTES_MAX: u32 = 1000;
/// Bytes of an instance of fixed size: larger ones are those of damaged memory.
const BASIC_SIZE_MAX: u64 = 1 << 24;
/// Words of an instance that are looked through.
const UNKNOWN_MAX: usize = 512;
/// Addresses that are known to be no types.
const REFUSED_MAX: usize = 1 << 16;

/// All types met.
#[derive(Default)]
pub struct Types {
    pub all: Vec<Type>,
    by_addr: FxHashMap<u64, u32>,
    refused: FxHashSet<u64>,
    last: (u64, u32),
}

impl Types {
    /// The type at `addr`, if there is one.
    #[inline]
    pub fn get(
        &mut self,
        addr: u64,
        memory: &mut Copy<'_>,
        layout: &Layout,
        names: &mut Names,
    ) -> Option<u32> {
        if self.last.0 == addr && addr != 0 {
            return Some(self.last.1);
        }
        let at = match self.by_addr.get(&addr) {
            Some(&at) => at,
            None => self.read(addr, memory, layout, names)?,
        };
        self.last = (addr, at);
        Some(at)
    }

    /// The functions that take down instances of any type, ascending.
    pub fn destructors(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.all.iter().flat_map(|it| it.destructors).filter(|it| *it != 0).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn read(&mut self, addr: u64, memory: &mut Copy<'_>, layout: &Layout, names: &mut Names) -> Option<u32> {
        if !addr.is_multiple_of(8) || !(4096..ADDRESS_MAX).contains(&addr) || self.refused.contains(&addr) {
            return None;
        }
        let Some(read) = is_type(memory, addr).then(|| Type::read(addr, memory, layout, names)).flatten()
        else {
            if self.refused.len() < REFUSED_MAX {
                self.refused.insert(addr);
            }
            return None;
        };
        let at = self.all.len() as u32;
        self.all.push(read);
        self.by_addr.insert(addr, at);
        Some(at)
    }
}

/// Whether a type object stands at `addr`: its class is one whose instances are types, and so on up to `type` itself.
fn is_type(memory: &mut Copy<'_>, addr: u64) -> bool {
    let mut at = addr;
    for _ in 0..DEPTH_MAX {
        let Some(class) = memory.pointer(at + 8).filter(|it| it % 8 == 0 && *it < ADDRESS_MAX) else {
            return false;
        };
        let Some(flags) = memory.word(class + field::FLAGS) else { return false };
        if flags & flag::TYPE == 0 || flags & flag::READY == 0 {
            return false;
        }
        if class == at {
            return true;
        }
        at = class;
    }
    false
}

impl Type {
    fn read(addr: u64, memory: &mut Copy<'_>, layout: &Layout, names: &mut Names) -> Option<Type> {
        let flags = memory.word(addr + field::FLAGS)?;
        let basic_size = memory.word(addr + field::BASIC_SIZE)?;
        let item_size = memory.word(addr + field::ITEM_SIZE)?;
        if flags & flag::READY == 0
            || !(16..BASIC_SIZE_MAX).contains(&basic_size)
            || item_size > BASIC_SIZE_MAX
        {
            return None;
        }
        let bases = bases(memory, addr);
        let known = bases.iter().filter(|it| it.is_native);
        let of_name = known.clone().find_map(|base| SHAPES.iter().find(|it| it.0 == base.name));
        let of_flag = || FLAGS.iter().find(|it| flags & it.0 != 0).map(|it| it.1);
        let shape = of_name.map(|it| it.1).or_else(of_flag).unwrap_or(Shape::Fields);
        let is_heap_type = flags & flag::HEAP_TYPE != 0;
        let own_name = names.intern(&type_name(memory, layout, addr, flags, &bases));
        let (mut fields, dict_offset) = (Vec::new(), memory.word(addr + field::DICT_OFFSET)? as i64);
        for base in &bases {
            told_fields(base, layout, names, flags, &mut fields);
            members(memory, base.addr, basic_size, names, &mut fields);
        }
        fields.retain(|it| u64::from(it.offset) + 8 <= basic_size);
        fields.sort_by_key(|it| it.offset);
        fields.dedup_by_key(|it| it.offset);
        let is_managed = flags & flag::MANAGED_DICT != 0 && layout.attributes != Attributes::Dict;
        let dict = match dict_offset {
            _ if is_managed => DictAt::Managed,
            0 => DictAt::Nowhere,
            offset => DictAt::Offset(offset),
        };
        let is_collected = flags & flag::COLLECTED != 0;
        let has_fields_before = match layout.attributes {
            Attributes::Dict => false,
            Attributes::TwoFields => is_managed,
            _ => flags & (flag::MANAGED_DICT | flag::MANAGED_WEAKREF) != 0,
        };
        let weak_offset = memory.word(addr + field::WEAKLIST_OFFSET)? as i64;
        let unknown = match closed_bytes(&bases, shape) {
            Some(closed) => (closed.max(16)..basic_size)
                .step_by(8)
                .filter(|&at| at + 8 <= basic_size)
                .filter(|&at| !(item_size != 0 && at == 16))
                .filter(|&at| at as i64 != dict_offset && at as i64 != weak_offset)
                .map(|at| at as u32)
                .filter(|at| fields.binary_search_by_key(at, |it| it.offset).is_err())
                .take(UNKNOWN_MAX)
                .collect(),
            None => Vec::new(),
        };
        Some(Type {
            addr,
            shape,
            name: own_name,
            basic_size,
            item_size,
            dict,
            has_inline_values: flags & flag::INLINE_VALUES != 0 && layout.attributes == Attributes::Inline,
            head_size: 16 * u64::from(is_collected) + 16 * u64::from(has_fields_before),
            is_heap_type,
            cached_keys: is_heap_type
                .then(|| memory.pointer(addr + layout.heap_type.cached_keys))
                .flatten()
                .and_then(|it| keys(memory, layout, it)),
            fields,
            unknown,
            destructors: [field::DEALLOC, field::FINALIZE].map(|at| memory.word(addr + at).unwrap_or(0)),
        })
    }
}

/// A class, or one that it derives from.
struct Base {
    addr: u64,
    name: String,
    basic_size: u64,
    /// Written in C.
    is_native: bool,
}

fn is_native_name(name: &str) -> bool {
    name.contains('.')
}

/// A type and those that it derives its layout from, up to `object`.
fn bases(memory: &mut Copy<'_>, addr: u64) -> Vec<Base> {
    let mut found = Vec::new();
    let mut at = Some(addr);
    while let Some(addr) = at.filter(|it| it % 8 == 0 && *it < ADDRESS_MAX && found.len() < DEPTH_MAX) {
        let name = memory.pointer(addr + field::NAME).and_then(|it| memory.c_string(it, NAME_MAX));
        let name = name.unwrap_or_default();
        let is_heap_type = memory.word(addr + field::FLAGS).is_some_and(|it| it & flag::HEAP_TYPE != 0);
        let basic_size = memory.word(addr + field::BASIC_SIZE).unwrap_or(0);
        // A class of the program's has no dot in its name, a C type that is made at run time has.
        let is_native = !is_heap_type || is_native_name(&name);
        found.push(Base { addr, name, basic_size, is_native });
        at = memory.pointer(addr + field::BASE);
    }
    found
}

/// With its module, as the program says it.
fn type_name(memory: &mut Copy<'_>, layout: &Layout, addr: u64, flags: u64, bases: &[Base]) -> String {
    let told = &bases[0].name;
    if flags & flag::HEAP_TYPE == 0 || is_native_name(told) {
        return told.trim_start_matches("builtins.").to_owned();
    }
    let text = |memory: &mut Copy<'_>, at: u64| crate::names::text(memory, layout, at, NAME_MAX);
    let own = memory.pointer(addr + layout.heap_type.qualname).and_then(|it| text(memory, it));
    let own = own.unwrap_or_else(|| told.clone());
    let module = memory.pointer(addr + field::DICT).and_then(|dict| {
        let (mut module, mut left) = (None, ATTRIBUTES_MAX);
        crate::dicts::entries(memory, layout, dict, |memory, key, value| {
            if text(memory, key).as_deref() == Some("__module__") {
                module = Some(value);
            }
            left -= 1;
            module.is_none() && left > 0
        });
        text(memory, module?)
    });
    match module {
        Some(module) if module != "builtins" => format!("{module}.{own}"),
        _ => own,
    }
}

/// What a table says of a C type's fields.
fn told_fields(base: &Base, layout: &Layout, names: &mut Names, flags: u64, into: &mut Vec<FieldAt>) {
    if !base.is_native {
        return;
    }
    let told = match base.name.as_str() {
        "function" => layout.function,
        "generator" | "coroutine" | "async_generator" => layout.generator,
        "code" => layout.code.fields,
        "frame" => layout.frame,
        "BaseException" if flags & flag::EXCEPTION != 0 => layout.exception,
        name => FIELDS.iter().find(|it| it.0 == name).map_or(&[][..], |it| it.1),
    };
    for &(offset, name) in told {
        let kind = if name.starts_with('(') { EdgeKind::Internal } else { EdgeKind::Property };
        into.push(FieldAt { offset, kind, label: names.intern(name) });
    }
}

/// Members that hold objects, as a type itself tells: fields of C types, and `__slots__`.
fn members(memory: &mut Copy<'_>, addr: u64, basic_size: u64, names: &mut Names, into: &mut Vec<FieldAt>) {
    /// `T_OBJECT`, and the one that is an error while it is empty.
    const KINDS: [u32; 2] = [6, 16];
    let Some(first) = memory.pointer(addr + field::MEMBERS) else { return };
    for at in (0..MEMBERS_MAX).map(|it| first.saturating_add(it * 40)) {
        if memory.take(1) == 0 {
            return;
        }
        let Some(name) = memory.pointer(at).and_then(|it| memory.c_string(it, NAME_MAX)) else { return };
        let (Some(kind), Some(offset)) = (memory.half(at + 8), memory.word(at + 16)) else { return };
        if KINDS.contains(&kind) && (16..basic_size).contains(&offset) && offset % 8 == 0 {
            let label = names.intern(&name);
            into.push(FieldAt { offset: offset as u32, kind: EdgeKind::Property, label });
        }
    }
}

/// How many of an instance's first bytes hold no reference but those told; `None`: all of them.
fn closed_bytes(bases: &[Base], shape: Shape) -> Option<u64> {
    if !matches!(shape, Shape::Fields | Shape::Dict | Shape::List | Shape::Tuple) {
        return None;
    }
    let is_closed = |base: &&Base| {
        let name = base.name.as_str();
        base.is_native
            && (CLOSED.contains(&name)
                || matches!(name, "list" | "tuple" | "dict" | "BaseException")
                || FIELDS.iter().any(|it| it.0 == name))
    };
    // What classes of the program add are members.
    let first_native = bases.iter().position(|it| it.is_native)?;
    let closed = bases.iter().position(|it| is_closed(&it)).unwrap_or(bases.len());
    if closed <= first_native {
        return None;
    }
    let closed_size = bases.get(closed).map_or(16, |it| it.basic_size);
    // Tuples' basic size ends before their items.
    Some(closed_size.max(16)).filter(|&it| it < bases[first_native].basic_size)
}

impl Type {
    /// Whether instances may hold references to other objects.
    pub fn is_leaf(&self) -> bool {
        let is_plain = match self.shape {
            Shape::Text | Shape::Bytes | Shape::ByteArray | Shape::Integer | Shape::Float | Shape::None => {
                true
            }
            Shape::Bool => true,
            Shape::Fields => self.fields.is_empty() && self.unknown.is_empty(),
            _ => false,
        };
        is_plain && self.dict == DictAt::Nowhere && self.fields.is_empty() && !self.is_heap_type
    }
}
