//! What an object refers to, by what its type says.
//!
//! The code here mirrors `tp_traverse` and `__sizeof__` of the interpreter's own types, on memory that nobody runs in.

use crate::dicts;
use crate::layouts::{Attributes, Field, Frames, Integers, Layout, RecordLayout, StackTop, Variables};
use crate::memory::{ADDRESS_MAX, Copy};
use crate::names::{self, Names};
use crate::types::{DictAt, Shape, Type, Types, field, flag};
use heapwise_model::EdgeKind;

/// How a reference is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// By a name of [`Names`].
    Name(u32),
    /// By the text object at this address.
    Text(u64),
    /// By a number.
    Index(u32),
    /// By the key at this address: a text, a number, or anything else.
    Key(u64),
}

/// Who is told what an object refers to.
pub trait Sink {
    /// A reference. `is_counted`: the target's reference count has a part of it.
    fn reference(&mut self, target: u64, kind: EdgeKind, label: Label, is_counted: bool);
    /// The dictionary at `dict` is the table of an object's attributes.
    fn attributes(&mut self, dict: u64);
    /// Whether `dict` has been told to be one.
    fn is_attributes(&mut self, dict: u64) -> bool;
    /// The object at `addr` is the interpreter's own, a part of another one.
    fn part(&mut self, addr: u64);
    /// A word that may be a pointer to an object.
    fn maybe(&mut self, target: u64, index: u32);
}

/// Names of references that are not in a table.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    dict: u32,
    class: u32,
    key: u32,
    referent: u32,
    callback: u32,
    bases: u32,
    mro: u32,
    base: u32,
    subclasses: u32,
    name: u32,
    qualname: u32,
    slots: u32,
    module: u32,
    code: u32,
    function: u32,
    locals: u32,
    frame: u32,
    stack: u32,
    node: u32,
}

impl Fixed {
    pub fn new(names: &mut Names) -> Fixed {
        let mut name = |text| names.intern(text);
        Fixed {
            dict: name("__dict__"),
            class: name("__class__"),
            key: name("(key)"),
            referent: name("(referent)"),
            callback: name("__callback__"),
            bases: name("__bases__"),
            mro: name("__mro__"),
            base: name("__base__"),
            subclasses: name("(subclasses)"),
            name: name("__name__"),
            qualname: name("__qualname__"),
            slots: name("__slots__"),
            module: name("(module)"),
            code: name("__code__"),
            function: name("(function)"),
            locals: name("f_locals"),
            frame: name("(frame)"),
            stack: name("(value in use)"),
            node: name("(node)"),
        }
    }
}

/// Entries that one object is believed to have, whatever it says; memory that is not mapped ends them before.
const ITEMS_MAX: u64 = 1 << 32;
/// Slots of a frame, and blocks of a deque.
const SLOTS_MAX: u64 = 1 << 20;
/// In a wrapper of `functools.lru_cache`: its dictionary.
const LRU_CACHE: u64 = 72;
/// Words of a deque's block: links around the items.
const DEQUE_ITEMS: u64 = 64;

/// What reads objects.
pub struct Reader<'a> {
    pub memory: Copy<'a>,
    pub layout: Layout,
    pub types: Types,
    pub names: Names,
    pub fixed: Fixed,
}

impl<'a> Reader<'a> {
    pub fn new(memory: Copy<'a>, layout: Layout) -> Reader<'a> {
        let mut names = Names::default();
        let fixed = Fixed::new(&mut names);
        Reader { memory, layout, types: Types::default(), names, fixed }
    }

    /// The type of what stands at `addr`, if that is an object.
    #[inline]
    pub fn type_of(&mut self, addr: u64) -> Option<u32> {
        if !addr.is_multiple_of(8) || addr >= ADDRESS_MAX {
            return None;
        }
        let class = self.memory.word(addr + 8)?;
        self.types.get(class, &mut self.memory, &self.layout, &mut self.names)
    }

    /// Tells `sink` all references of the object at `addr`, which is of type `of`.
    pub fn scan(&mut self, addr: u64, of: u32, sink: &mut impl Sink) {
        let mut scan = Scan {
            memory: &mut self.memory,
            layout: &self.layout,
            types: &mut self.types,
            fixed: &self.fixed,
            sink,
        };
        scan.object(addr, of as usize);
    }

    /// Tells `sink` the references of the frame's record at `addr`, which a thread owns.
    pub fn scan_record(&mut self, addr: u64, record: &RecordLayout, sink: &mut impl Sink) {
        let mut scan = Scan {
            memory: &mut self.memory,
            layout: &self.layout,
            types: &mut self.types,
            fixed: &self.fixed,
            sink,
        };
        if let Some(object) = scan.memory.pointer(addr + record.object) {
            scan.tell(object, EdgeKind::Internal, scan.fixed.frame);
        }
        scan.record(addr, record, None);
    }
}

struct Scan<'r, 'm, S> {
    memory: &'r mut Copy<'m>,
    layout: &'r Layout,
    types: &'r mut Types,
    fixed: &'r Fixed,
    sink: &'r mut S,
}

impl<S: Sink> Scan<'_, '_, S> {
    fn tell(&mut self, target: u64, kind: EdgeKind, label: u32) {
        self.sink.reference(target, kind, Label::Name(label), true);
    }

    /// The reference at `at`, if it is not null.
    fn field(&mut self, at: u64, kind: EdgeKind, label: u32) {
        if let Some(target) = self.memory.pointer(at) {
            self.tell(target, kind, label);
        }
    }

    /// As [`Scan::field`], of one that the target's count knows nothing of.
    fn borrowed(&mut self, at: u64, kind: EdgeKind, label: u32) {
        if let Some(target) = self.memory.pointer(at) {
            self.sink.reference(target, kind, Label::Name(label), false);
        }
    }

    fn items(&mut self, first: u64, count: u64) {
        for at in 0..self.memory.take(count.min(ITEMS_MAX)) {
            match first.checked_add(at * 8).and_then(|it| self.memory.word(it)) {
                Some(0) => {}
                Some(target) => {
                    let index = u32::try_from(at).unwrap_or(u32::MAX);
                    self.sink.reference(target, EdgeKind::Element, Label::Index(index), true);
                }
                None => return,
            }
        }
    }

    fn object(&mut self, addr: u64, of: usize) {
        // Types move when another one is read: nothing of them is held meanwhile.
        let kind = &self.types.all[of];
        let (shape, is_heap_type, dict, count) =
            (kind.shape, kind.is_heap_type, kind.dict, kind.fields.len());
        if is_heap_type {
            self.tell(kind.addr, EdgeKind::Internal, self.fixed.class);
        }
        if dict != DictAt::Nowhere {
            self.instance_dict(addr, of, dict);
        }
        for at in 0..self.memory.take(count as u64) as usize {
            let it = self.types.all[of].fields[at];
            self.field(addr + u64::from(it.offset), it.kind, it.label);
        }
        let count = self.types.all[of].unknown.len();
        for at in 0..self.memory.take(count as u64) as usize {
            let offset = self.types.all[of].unknown[at];
            if let Some(word) = self.memory.pointer(addr + u64::from(offset)) {
                self.sink.maybe(word, offset / 8);
            }
        }
        self.shaped(addr, of, shape);
    }

    fn shaped(&mut self, addr: u64, of: usize, shape: Shape) -> Option<()> {
        match shape {
            Shape::List => {
                let (items, count) = (self.memory.pointer(addr + 24)?, self.memory.word(addr + 16)?);
                self.items(items, count);
            }
            Shape::Tuple => {
                let count = self.memory.word(addr + 16)?;
                self.items(addr + 24, count);
            }
            Shape::Dict | Shape::OrderedDict => self.dict(addr)?,
            Shape::Set => self.set(addr)?,
            Shape::Module => self.field(addr + 48, EdgeKind::Internal, self.fixed.name),
            Shape::Class => self.class(addr)?,
            Shape::Frame => self.frame(addr)?,
            Shape::Generator => self.generator(addr)?,
            Shape::Weakref => {
                self.borrowed(addr + 16, EdgeKind::Weak, self.fixed.referent);
                self.field(addr + 24, EdgeKind::Internal, self.fixed.callback);
            }
            Shape::Function => {
                self.defaults(addr);
                self.closure(addr)?;
            }
            Shape::Deque => self.deque(addr)?,
            Shape::LruCache => self.lru_cache(addr, of),
            Shape::HamtPairs => {
                let count = self.memory.word(addr + 16)? / 2;
                self.pairs(addr + 32, count);
            }
            Shape::HamtArray => self.items(addr + 16, 32),
            Shape::Fields
            | Shape::Text
            | Shape::Bytes
            | Shape::ByteArray
            | Shape::Integer
            | Shape::Float
            | Shape::None
            | Shape::Bool
            | Shape::Cell
            | Shape::Code
            | Shape::Array
            | Shape::NumpyArray => {}
        }
        Some(())
    }

    /// Attributes of an instance: a dictionary, or values of its own.
    fn instance_dict(&mut self, addr: u64, of: usize, dict: DictAt) -> Option<()> {
        let at = match dict {
            DictAt::Nowhere => return None,
            DictAt::Offset(offset) if offset > 0 => addr + offset as u64,
            DictAt::Offset(offset) => {
                let size = self.types.all[of].var_size(self.memory.word(addr + 16)?);
                (addr + size).checked_add_signed(offset)?
            }
            DictAt::Managed => return self.managed_dict(addr, of),
        };
        self.attributes_at(at);
        Some(())
    }

    fn attributes_at(&mut self, at: u64) {
        if let Some(dict) = self.memory.pointer(at) {
            self.attributes(dict);
        }
    }

    fn attributes(&mut self, dict: u64) {
        self.sink.attributes(dict);
        self.tell(dict, EdgeKind::Internal, self.fixed.dict);
    }

    fn managed_dict(&mut self, addr: u64, of: usize) -> Option<()> {
        match self.layout.attributes {
            Attributes::Dict => {}
            Attributes::TwoFields => {
                if let Some(values) = self.memory.pointer(addr.wrapping_sub(32)) {
                    self.values(of, values, u64::MAX);
                }
                self.attributes_at(addr.wrapping_sub(24));
            }
            Attributes::OneField => match self.memory.pointer(addr.wrapping_sub(24))? {
                values if values & 1 != 0 => self.values(of, values + 1, u64::MAX)?,
                dict => self.attributes(dict),
            },
            Attributes::Inline => {
                if self.types.all[of].has_inline_values {
                    let values = addr + self.types.all[of].basic_size;
                    let head = self.memory.half(values)?.to_le_bytes();
                    // Capacity, size, embedded, valid.
                    if head[3] != 0 {
                        self.values(of, values + 8, u64::from(head[0]));
                    }
                }
                self.attributes_at(addr.wrapping_sub(24));
            }
        }
        Some(())
    }

    fn values(&mut self, of: usize, values: u64, count: u64) -> Option<()> {
        let keys = self.types.all[of].cached_keys?;
        let sink = &mut *self.sink;
        dicts::shared(self.memory, keys, values, count, |_, key, value| {
            sink.reference(value, EdgeKind::Property, Label::Text(key), true);
            true
        })
    }

    fn dict(&mut self, addr: u64) -> Option<()> {
        let is_attributes = self.sink.is_attributes(addr);
        let has_own_keys = dicts::has_own_keys(self.memory, addr);
        // Values within an instance are told by the instance.
        if dicts::has_embedded_values(self.memory, self.layout, addr) {
            return Some(());
        }
        let (sink, key_label) = (&mut *self.sink, self.fixed.key);
        dicts::entries(self.memory, self.layout, addr, |_, key, value| {
            let (kind, label) = if is_attributes {
                (EdgeKind::Property, Label::Text(key))
            } else {
                (EdgeKind::Key, Label::Key(key))
            };
            sink.reference(value, kind, label, true);
            if has_own_keys {
                sink.reference(key, EdgeKind::Internal, Label::Name(key_label), true);
            }
            true
        })
    }

    fn set(&mut self, addr: u64) -> Option<()> {
        let (mask, table) = (self.memory.word(addr + 32)?, self.memory.pointer(addr + 40)?);
        let mut index = 0;
        for at in (0..self.memory.take(mask.min(ITEMS_MAX) + 1)).map(|it| table.saturating_add(it * 16)) {
            let (key, hash) = (self.memory.word(at)?, self.memory.word(at + 8)?);
            // A hash of -1 marks an entry that was taken out.
            if key != 0 && hash != u64::MAX {
                self.sink.reference(key, EdgeKind::Hidden, Label::Index(index), true);
                index += 1;
            }
        }
        Some(())
    }

    fn class(&mut self, addr: u64) -> Option<()> {
        let heap_type = self.layout.heap_type;
        let is_heap_type = self.memory.word(addr + field::FLAGS)? & flag::HEAP_TYPE != 0;
        self.field(addr + field::BASES, EdgeKind::Internal, self.fixed.bases);
        self.field(addr + field::MRO, EdgeKind::Internal, self.fixed.mro);
        self.field(addr + field::BASE, EdgeKind::Internal, self.fixed.base);
        // Of static types of 3.12 and later it is a number.
        if self.memory.pointer(addr + field::SUBCLASSES).is_some_and(|it| it > 4096) {
            self.field(addr + field::SUBCLASSES, EdgeKind::Internal, self.fixed.subclasses);
            if let Some(subclasses) = self.memory.pointer(addr + field::SUBCLASSES) {
                self.sink.part(subclasses);
            }
        }
        if is_heap_type {
            self.field(addr + heap_type.name, EdgeKind::Internal, self.fixed.name);
            self.field(addr + heap_type.qualname, EdgeKind::Internal, self.fixed.qualname);
            self.field(addr + heap_type.slots, EdgeKind::Internal, self.fixed.slots);
            if let Some(module) = heap_type.module {
                self.field(addr + module, EdgeKind::Internal, self.fixed.module);
            }
        }
        Some(())
    }

    fn generator(&mut self, addr: u64) -> Option<()> {
        let Frames::Records(record) = self.layout.frames else { return None };
        let state = self.memory.byte(addr + record.generator_state)? as i8;
        if state < record.cleared {
            self.record(addr + record.in_generator, &record, Some(addr));
        }
        Some(())
    }

    fn frame(&mut self, addr: u64) -> Option<()> {
        match self.layout.frames {
            Frames::Records(record) => {
                // What a thread or a generator owns is told there.
                let own = addr + record.in_object;
                if self.memory.pointer(addr + record.of_object)? == own {
                    self.record(own, &record, Some(addr));
                }
            }
            Frames::Objects { stack, locals, .. } => {
                let code = self.memory.pointer(addr + 32)?;
                let variables = self.slots(code, addr + locals)?;
                let (first, count) = match stack {
                    StackTop::Pointer(top) => {
                        let first = addr + locals + variables * 8;
                        let top = self.memory.pointer(addr + top)?;
                        (first, top.checked_sub(first)? / 8)
                    }
                    StackTop::Depth(depth) => {
                        let count = self.memory.half(addr + depth)? as i32;
                        (self.memory.pointer(addr + 64)?, u64::try_from(count).ok()?)
                    }
                };
                for at in 0..self.memory.take(count.min(SLOTS_MAX)) {
                    self.field(first + at * 8, EdgeKind::Internal, self.fixed.stack);
                }
            }
        }
        Some(())
    }

    /// Variables of a frame with `code` that stand at `first`; how many slots there are.
    fn slots(&mut self, code: u64, first: u64) -> Option<u64> {
        let tuples = match self.layout.code.variables {
            Variables::Tuples(tuples) => tuples.map(Some),
            Variables::Tuple(tuple) => [Some(tuple), None, None],
        };
        let mut slot = 0;
        for tuple in tuples.into_iter().flatten() {
            let names = self.memory.pointer(code + tuple)?;
            let count = self.memory.word(names + 16)?.min(SLOTS_MAX);
            for at in 0..self.memory.take(count) {
                let name = self.memory.pointer(names + 24 + at * 8)?;
                if let Some(value) = self.memory.pointer(first + slot * 8) {
                    self.sink.reference(value, EdgeKind::Context, Label::Text(name), true);
                }
                slot += 1;
            }
        }
        Some(slot)
    }

    /// A frame's record. `owner`: the generator or frame object that it stands in.
    fn record(&mut self, addr: u64, layout: &RecordLayout, owner: Option<u64>) -> Option<()> {
        let code = self.memory.pointer(addr + layout.code)?;
        self.tell(code, EdgeKind::Internal, self.fixed.code);
        self.field(addr + layout.function, EdgeKind::Internal, self.fixed.function);
        self.field(addr + layout.locals_dict, EdgeKind::Internal, self.fixed.locals);
        if let Some(object) = self.memory.pointer(addr + layout.object)
            && owner.is_some_and(|it| it != object)
        {
            self.tell(object, EdgeKind::Internal, self.fixed.frame);
        }
        let first = addr + layout.locals;
        let slots = self.slots(code, first)?;
        // While a frame runs, only the processor knows where its stack ends.
        let top = self.memory.half(addr + layout.stacktop)? as i32;
        let more = u64::try_from(top).ok()?.min(SLOTS_MAX).saturating_sub(slots);
        for at in (slots..).take(self.memory.take(more) as usize) {
            self.field(first + at * 8, EdgeKind::Internal, self.fixed.stack);
        }
        Some(())
    }

    /// What a function's arguments are by default, by their names.
    fn defaults(&mut self, addr: u64) -> Option<()> {
        let defaults = self.memory.pointer(addr + u64::from(at(self.layout.function, "__defaults__")?))?;
        let code = self.memory.pointer(addr + u64::from(at(self.layout.function, "__code__")?))?;
        let arguments = u64::from(self.memory.half(code + self.layout.code.argument_count)?);
        let names = match self.layout.code.variables {
            Variables::Tuples([variables, ..]) => variables,
            Variables::Tuple(all) => all,
        };
        let names = self.memory.pointer(code + names)?;
        let (named, count) = (self.memory.word(names + 16)?, self.memory.word(defaults + 16)?);
        // The last ones have defaults.
        let skipped = arguments.min(named).checked_sub(count)?;
        self.sink.part(defaults);
        for slot in 0..self.memory.take(count.min(SLOTS_MAX)) {
            let name = self.memory.pointer(names + 24 + (skipped + slot) * 8)?;
            let value = self.memory.pointer(defaults + 24 + slot * 8)?;
            self.sink.reference(value, EdgeKind::Context, Label::Text(name), false);
        }
        Some(())
    }

    /// The cells of a function's closure by the names of their variables. The tuple that holds them tells only numbers.
    fn closure(&mut self, addr: u64) -> Option<()> {
        let closure = self.memory.pointer(addr + u64::from(at(self.layout.function, "__closure__")?))?;
        let code = self.memory.pointer(addr + u64::from(at(self.layout.function, "__code__")?))?;
        self.sink.part(closure);
        let names = match self.layout.code.variables {
            Variables::Tuples([_, _, free]) => free,
            Variables::Tuple(all) => all,
        };
        let names = self.memory.pointer(code + names)?;
        let (named, count) = (self.memory.word(names + 16)?, self.memory.word(closure + 16)?);
        // Free variables are the last ones.
        let skipped = named.checked_sub(count)?;
        for slot in 0..self.memory.take(count.min(SLOTS_MAX)) {
            let (name, cell) = (names + 24 + (skipped + slot) * 8, closure + 24 + slot * 8);
            let (name, cell) = (self.memory.pointer(name)?, self.memory.pointer(cell)?);
            self.sink.reference(cell, EdgeKind::Context, Label::Text(name), false);
        }
        Some(())
    }

    fn deque(&mut self, addr: u64) -> Option<()> {
        let count = self.memory.word(addr + 16)?;
        let mut block = self.memory.pointer(addr + 24)?;
        let mut slot = self.memory.word(addr + 40)?;
        for index in 0..self.memory.take(count.min(ITEMS_MAX)) {
            if slot >= DEQUE_ITEMS {
                block = self.memory.pointer(block.checked_add(8 + DEQUE_ITEMS * 8)?)?;
                slot = 0;
            }
            let target = self.memory.word(block.checked_add(8 + slot * 8)?)?;
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            self.sink.reference(target, EdgeKind::Element, Label::Index(index), true);
            slot += 1;
        }
        Some(())
    }

    /// `functools.lru_cache`: the root of its ring is the object's beginning; of what stands behind, the type tells nothing.
    fn lru_cache(&mut self, addr: u64, of: usize) {
        const RING: u64 = 56;
        let kind = &self.types.all[of];
        let end = match kind.dict {
            DictAt::Offset(offset) => (offset as u64).min(kind.basic_size),
            _ => kind.basic_size,
        };
        if let Some(cache) = self.memory.pointer(addr + LRU_CACHE) {
            self.sink.part(cache);
        }
        let kind = &self.types.all[of];
        let known: Vec<u32> = kind.fields.iter().map(|it| it.offset).collect();
        for offset in (RING..end).step_by(8).filter(|it| !known.contains(&(*it as u32))) {
            if let Some(word) = self.memory.pointer(addr + offset) {
                self.sink.maybe(word, (offset / 8) as u32);
            }
        }
    }

    fn pairs(&mut self, first: u64, count: u64) {
        for at in (0..count.min(64)).map(|it| first + it * 16) {
            let (key, value) = (self.memory.word(at).unwrap_or(0), self.memory.word(at + 8).unwrap_or(0));
            if value != 0 && key != 0 {
                self.sink.reference(value, EdgeKind::Key, Label::Key(key), true);
                self.tell(key, EdgeKind::Internal, self.fixed.key);
            } else if value != 0 {
                self.tell(value, EdgeKind::Internal, self.fixed.node);
            }
        }
    }
}

impl Type {
    /// Bytes of an object with `ob_size`, rounded up to whole words.
    pub fn var_size(&self, ob_size: u64) -> u64 {
        let count = (ob_size as i64).unsigned_abs().min(ITEMS_MAX);
        (self.basic_size + count * self.item_size).next_multiple_of(8)
    }
}

/// Where the field that is called `name` stands.
pub fn at(fields: &[Field], name: &str) -> Option<u32> {
    fields.iter().find(|it| it.1 == name).map(|it| it.0)
}

/// How the key at `addr` is called: by its text, by its number, or by what is told of it.
pub enum KeyName {
    Text,
    Index(u32),
    Other(u32),
}

impl Reader<'_> {
    /// What a key is called.
    pub fn key_name(&mut self, addr: u64) -> KeyName {
        let Some(of) = self.type_of(addr) else { return KeyName::Other(0) };
        let (shape, name) = (self.types.all[of as usize].shape, self.types.all[of as usize].name);
        match shape {
            Shape::Text => KeyName::Text,
            Shape::Integer => match self.integer(addr) {
                Some(value) if (0..=i64::from(u32::MAX)).contains(&value) => KeyName::Index(value as u32),
                Some(value) => KeyName::Other(self.names.intern(&value.to_string())),
                None => KeyName::Other(name),
            },
            Shape::None => KeyName::Other(self.names.intern("None")),
            Shape::Bool => {
                let value = self.integer(addr).is_some_and(|it| it != 0);
                KeyName::Other(self.names.intern(if value { "True" } else { "False" }))
            }
            Shape::Class | Shape::Function => {
                let own = self.own_name(addr, shape);
                KeyName::Other(own.unwrap_or(name))
            }
            Shape::Tuple | Shape::Bytes => match self.repr(addr, 0) {
                Some(text) => KeyName::Other(self.names.intern(&text)),
                None => KeyName::Other(name),
            },
            _ => KeyName::Other(name),
        }
    }

    /// An integer of at most 60 bits.
    pub fn integer(&mut self, addr: u64) -> Option<i64> {
        let size = self.memory.word(addr + 16)?;
        let (count, is_negative) = match self.layout.integers {
            Integers::Size => ((size as i64).unsigned_abs(), (size as i64) < 0),
            Integers::Tag => (size >> 3, size & 3 == 2),
        };
        let value = match count {
            0 => 0,
            1 => i64::from(self.memory.half(addr + 24)?),
            2 => i64::from(self.memory.half(addr + 24)?) | i64::from(self.memory.half(addr + 28)?) << 30,
            _ => return None,
        };
        let is_zero = self.layout.integers == Integers::Tag && size & 3 == 1;
        Some(if is_zero {
            0
        } else if is_negative {
            -value
        } else {
            value
        })
    }

    /// A short `repr` of texts, numbers and tuples of them.
    fn repr(&mut self, addr: u64, depth: u32) -> Option<String> {
        const TEXT: usize = 40;
        const ITEMS: u64 = 8;
        let of = self.type_of(addr)?;
        Some(match self.types.all[of as usize].shape {
            Shape::Text => format!("{:?}", names::text(&mut self.memory, &self.layout, addr, TEXT)?),
            Shape::Integer => self.integer(addr)?.to_string(),
            Shape::None => "None".to_owned(),
            Shape::Bool => if self.integer(addr)? != 0 { "True" } else { "False" }.to_owned(),
            Shape::Bytes => {
                let length = self.memory.word(addr + 16)?.min(TEXT as u64);
                let mut bytes = vec![0; length as usize];
                self.memory.copy(addr + 32, &mut bytes).then(|| format!("b\"{}\"", bytes.escape_ascii()))?
            }
            Shape::Tuple if depth < 2 => {
                let count = self.memory.word(addr + 16)?;
                let mut items = Vec::new();
                for at in 0..count.min(ITEMS) {
                    let item = self.memory.pointer(addr + 24 + at * 8)?;
                    items.push(self.repr(item, depth + 1)?);
                }
                if count > ITEMS {
                    items.push("…".to_owned());
                }
                let comma = if count == 1 { "," } else { "" };
                format!("({}{comma})", items.join(", "))
            }
            _ => self.names.texts.get(self.types.all[of as usize].name).to_owned(),
        })
    }

    /// What a module, a function or a class is called.
    pub fn own_name(&mut self, addr: u64, shape: Shape) -> Option<u32> {
        match shape {
            Shape::Class => {
                let of = self.types.get(addr, &mut self.memory, &self.layout, &mut self.names)?;
                Some(self.types.all[of as usize].name)
            }
            Shape::Function => self.named_by(addr, self.layout.function, "__qualname__"),
            Shape::Code => {
                let name = self.memory.pointer(addr + self.layout.code.name)?;
                self.names.of_text(&mut self.memory, &self.layout, name)
            }
            Shape::Module => {
                let name = self.memory.pointer(addr + 48)?;
                self.type_of(name).filter(|&it| self.types.all[it as usize].shape == Shape::Text)?;
                self.names.of_text(&mut self.memory, &self.layout, name)
            }
            _ => None,
        }
    }

    fn named_by(&mut self, addr: u64, fields: &[Field], name: &str) -> Option<u32> {
        let offset = at(fields, name)?;
        let text = self.memory.pointer(addr + u64::from(offset))?;
        self.names.of_text(&mut self.memory, &self.layout, text)
    }
}
