//! From memory to columns: which objects there are, and then each of them in the order of addresses.

use crate::interpreter::{self, FrameAt, LINKS, State};
use crate::layouts::{Frames, Layout, RecordLayout};
use crate::marks::Marks;
use crate::memory::{Copy, Memory};
use crate::objects::{KeyName, Label, Reader, Sink};
use crate::roots;
use crate::types::Shape;
use crate::{Error, Interpreter};
use heapwise_model::{Bits, Edge, EdgeKind, Language, NodeId, ObjectHeap, ObjectKind, ObjectPlace};
use rustc_hash::{FxHashMap, FxHashSet};

/// Nodes that are no objects of the process, before all others.
pub const INTERPRETER: NodeId = NodeId(0);
pub const C_CODE: NodeId = NodeId(1);
const MADE_UP: [&str; 2] = ["(interpreter)", "(C code)"];
/// A label that is the number of the object that tells it. Numbers of objects are smaller.
const BY_OBJECT: u32 = 1 << 31;
/// Keys told by more than their classes.
const KEYS_TOLD: usize = 200_000;
/// In a wrapper of `functools.lru_cache`: what it wraps.
const LRU_WRAPPED: u64 = 88;
/// Reference counts from here on are those of objects that live for ever.
const IMMORTAL: i32 = i32::MAX;

pub fn read(memory: &dyn Memory, of: &Interpreter, blocks: &[(u64, u64)]) -> Result<crate::Found, Error> {
    let mut copy = Copy::new(memory);
    let layout = Layout::of(of.version, &mut copy, of.runtime)?;
    let state = interpreter::state(&mut copy, &layout, of)?;
    let mut reader = Reader::new(copy, layout);
    let mut found = Found::new();
    let mut notes = Vec::new();
    found.discover(&mut reader, &state, &mut notes);
    let count = found.marks.number();
    if count == 0 {
        let what = "its lists of objects are empty".to_owned();
        return Err(Error::NotARuntime { version: of.version, what });
    }
    if count > (NodeId::MAX - MADE_UP.len() - 1) as u64 {
        let what = format!("{count} objects are more than can be told");
        return Err(Error::NotARuntime { version: of.version, what });
    }
    let mut heap = emit(&mut reader, &mut found, count as usize, &state, blocks);
    if reader.memory.is_exhausted() {
        notes
            .push("objects claim more memory than there is: some of their references are missing".to_owned());
    }
    if reader.memory.is_damaged() {
        notes.push("many references lead to no memory: some objects may be missing".to_owned());
    }
    heap.notes = notes;
    Ok(crate::Found { heap, destructors: reader.types.destructors() })
}

/// Which addresses are objects.
struct Found {
    marks: Marks,
    /// Those of them that are other objects' tables of attributes.
    attributes: Marks,
    /// Those that are other parts of objects.
    parts: Marks,
    /// Frames that are no objects, but stand among them by their addresses.
    records: FxHashSet<u64>,
    /// References met: as many as there will be at most.
    references: usize,
    open: Vec<u64>,
    maybe: Vec<u64>,
}

impl Sink for Found {
    fn reference(&mut self, target: u64, _: EdgeKind, _: Label, _: bool) {
        self.references += 1;
        if !self.marks.has(target) {
            self.open.push(target);
        }
    }

    fn attributes(&mut self, dict: u64) {
        self.attributes.insert(dict);
    }

    fn is_attributes(&mut self, dict: u64) -> bool {
        self.attributes.has(dict)
    }

    fn part(&mut self, addr: u64) {
        self.parts.insert(addr);
    }

    fn maybe(&mut self, target: u64, _: u32) {
        self.references += 1;
        if target.is_multiple_of(8) && !self.marks.has(target) {
            self.maybe.push(target);
        }
    }
}

impl Found {
    fn new() -> Found {
        Found {
            marks: Marks::new(),
            attributes: Marks::new(),
            parts: Marks::new(),
            records: FxHashSet::default(),
            references: 0,
            open: Vec::new(),
            maybe: Vec::new(),
        }
    }

    fn discover(&mut self, reader: &mut Reader<'_>, state: &State, notes: &mut Vec<String>) {
        if state.is_collecting {
            notes.push("the collector was at work: young objects may be missing".to_owned());
        }
        for &head in &state.lists {
            self.list(reader, head, state.is_collecting, notes);
        }
        self.open.extend(state.held.iter().map(|it| it.0));
        for thread in &state.threads {
            self.open.extend(&thread.held);
            for frame in &thread.frames {
                match *frame {
                    FrameAt::Object(object) => self.open.push(object),
                    FrameAt::Record(record) => {
                        if self.marks.insert(record) {
                            self.records.insert(record);
                            if let Frames::Records(layout) = reader.layout.frames {
                                reader.scan_record(record, &layout, self);
                            }
                        }
                    }
                }
            }
        }
        self.drain(reader);
        while let Some(addr) = self.maybe.pop() {
            if !self.marks.has(addr) && is_counted(reader, addr) {
                self.open.push(addr);
                self.drain(reader);
            }
        }
    }

    /// The objects of one of the collector's lists, and what they lead to.
    fn list(&mut self, reader: &mut Reader<'_>, head: u64, is_collecting: bool, notes: &mut Vec<String>) {
        // As every member has one before it, the list ends; without that the number of members is bounded.
        let mut links = head;
        loop {
            // The collector keeps a bit of its own in a link while it works.
            let Some(next) = reader.memory.word(links).map(|it| it & !7) else {
                notes.push("a list of the collector's ends in memory that is not there".to_owned());
                return;
            };
            if next == head {
                return;
            }
            let Some(object) = next.checked_add(LINKS).filter(|_| next >= 4096) else { return };
            let has_links_to = reader.memory.word(next + 8).map(|it| it & !7) == Some(links);
            if !has_links_to && (!is_collecting || reader.memory.take(1) == 0) {
                notes.push("a list of the collector's is damaged: objects are missing".to_owned());
                return;
            }
            self.open.push(object);
            self.drain(reader);
            links = next;
        }
    }

    fn drain(&mut self, reader: &mut Reader<'_>) {
        while let Some(addr) = self.open.pop() {
            if self.marks.has(addr) {
                continue;
            }
            let Some(of) = reader.type_of(addr) else { continue };
            self.marks.insert(addr);
            if !reader.types.all[of as usize].is_leaf() {
                reader.scan(addr, of, self);
            }
        }
    }
}

/// Whether what stands at `addr` has a type, and a reference count that may be one.
fn is_counted(reader: &mut Reader<'_>, addr: u64) -> bool {
    let count = reader.memory.word(addr).unwrap_or(0);
    let is_count = (1..1 << 32).contains(&count);
    is_count && reader.type_of(addr).is_some()
}

/// Columns in the making.
struct Columns<'f> {
    found: &'f mut Found,
    heap: ObjectHeap,
    /// Reference counts minus references found.
    spare: Vec<i32>,
    weak: Vec<u32>,
    /// Live blocks of the allocator by address, and those of them that have an owner.
    blocks: &'f [(u64, u64)],
    owned: FxHashSet<u64>,
}

impl Columns<'_> {
    fn node(&mut self, addr: u64) -> Option<NodeId> {
        self.found.marks.rank(addr).map(|it| NodeId(it + MADE_UP.len() as u32))
    }

    fn edge(&mut self, target: NodeId, kind: EdgeKind, label: u32) {
        if self.heap.graph.edges.len() >= u32::MAX as usize {
            return;
        }
        if kind == EdgeKind::Weak {
            self.weak.push(self.heap.graph.edges.len() as u32);
        }
        self.heap.graph.edges.push(Edge::new(target, kind));
        self.heap.graph.labels.push(label);
    }
}

impl Columns<'_> {
    /// A block that is no object, and that a field of C code points to, is memory of the object that is being told.
    fn own(&mut self, target: u64) {
        let Ok(block) = self.blocks.binary_search_by_key(&target, |it| it.0) else { return };
        // Objects that the collector tracks stand behind the beginnings of their blocks.
        let is_object = [16, 32].iter().any(|it| self.found.marks.has(target.saturating_add(*it)));
        if !is_object
            && self.owned.insert(target)
            && let Some(size) = self.heap.graph.size.last_mut()
        {
            *size = size.saturating_add(self.blocks[block].1);
        }
    }
}

impl Sink for Columns<'_> {
    fn reference(&mut self, target: u64, kind: EdgeKind, label: Label, is_counted: bool) {
        let Some(node) = self.node(target) else { return };
        let (kind, label) = match label {
            Label::Name(name) => (kind, name),
            Label::Index(index) => (kind, index),
            Label::Text(addr) | Label::Key(addr) => match self.node(addr) {
                Some(by) => (kind, by.0 | BY_OBJECT),
                None => (EdgeKind::Hidden, 0),
            },
        };
        let spare = &mut self.spare[node.index()];
        if is_counted && *spare != IMMORTAL {
            *spare = spare.saturating_sub(1);
        }
        self.edge(node, kind, label);
    }

    fn attributes(&mut self, _: u64) {}

    fn part(&mut self, _: u64) {}

    fn is_attributes(&mut self, dict: u64) -> bool {
        self.found.attributes.has(dict)
    }

    fn maybe(&mut self, target: u64, index: u32) {
        match self.node(target) {
            Some(node) => self.edge(node, EdgeKind::Hidden, index),
            None => self.own(target),
        }
    }
}

/// The columns of so many `objects`.
fn emit(
    reader: &mut Reader<'_>,
    found: &mut Found,
    objects: usize,
    state: &State,
    blocks: &[(u64, u64)],
) -> ObjectHeap {
    let mut addrs: Vec<u64> = Vec::with_capacity(MADE_UP.len() + objects);
    addrs.extend((1..=MADE_UP.len() as u64).map(|it| it * 8));
    found.marks.append_to(&mut addrs);
    let count = addrs.len();
    let mut heap = ObjectHeap { language: Language::Python, ..ObjectHeap::default() };
    heap.graph.addr = addrs;
    heap.graph.size.reserve_exact(count);
    heap.graph.first.reserve_exact(count + 1);
    heap.kind.reserve_exact(count);
    heap.name.reserve_exact(count);
    heap.graph.edges.reserve_exact(found.references + state.held.len());
    heap.graph.labels.reserve_exact(found.references + state.held.len());
    let mut columns =
        Columns { found, heap, spare: vec![0; count], weak: Vec::new(), blocks, owned: FxHashSet::default() };
    for name in MADE_UP {
        columns.heap.graph.first.push(columns.heap.graph.edges.len() as u32);
        columns.heap.graph.size.push(0);
        columns.heap.kind.push(ObjectKind::Synthetic);
        columns.heap.name.push(reader.names.intern(name));
        if name == MADE_UP[INTERPRETER.index()] {
            for &(object, name) in &state.held {
                let label = Label::Name(reader.names.intern(name));
                columns.reference(object, EdgeKind::Internal, label, true);
            }
        }
    }
    let mut places = Places::default();
    for at in MADE_UP.len()..count {
        node(reader, &mut columns, NodeId(at as u32), &mut places);
    }
    let edges = columns.heap.graph.edges.len();
    columns.heap.graph.first.push(edges as u32);
    for thread in &state.threads {
        for &object in &thread.held {
            if let Some(node) = columns.node(object) {
                columns.spare[node.index()] = columns.spare[node.index()].saturating_sub(1);
            }
        }
    }
    let held = roots::known(reader, state, |addr| columns.node(addr));
    let Columns { mut heap, spare, weak, .. } = columns;
    heap.graph.idle = Bits::new(edges);
    weak.iter().for_each(|&it| {
        heap.graph.idle.insert(it as usize);
    });
    name_edges(reader, &mut heap);
    places.finish(reader, &mut heap);
    roots::find(&mut heap, held, &spare, C_CODE);
    heap.texts = std::mem::take(&mut reader.names.texts);
    heap.texts.shrink();
    heap
}

/// One object's row.
fn node(reader: &mut Reader<'_>, columns: &mut Columns<'_>, at: NodeId, places: &mut Places) {
    let addr = columns.heap.graph.addr[at.index()];
    columns.heap.graph.first.push(columns.heap.graph.edges.len() as u32);
    if columns.found.records.contains(&addr)
        && let Frames::Records(layout) = reader.layout.frames
    {
        return record(reader, columns, at, &layout, places);
    }
    let of = reader.type_of(addr).unwrap_or(0);
    let (shape, name) = match reader.types.all.get(of as usize) {
        Some(kind) => (kind.shape, kind.name),
        None => (Shape::Fields, 0),
    };
    let size = reader.size(addr, of);
    let is_attributes = shape == Shape::Dict && columns.found.attributes.has(addr);
    columns.heap.graph.size.push(size);
    columns.heap.kind.push(match shape {
        _ if is_attributes => ObjectKind::Attributes,
        _ if columns.found.parts.has(addr) => ObjectKind::Array,
        _ => kind(shape),
    });
    let own = match shape {
        Shape::Text => reader.names.of_text(&mut reader.memory, &reader.layout, addr),
        Shape::Bytes => reader.bytes_name(addr),
        Shape::Frame => reader.code_of_frame(addr).map(|it| reader.code_name(it)),
        _ => reader.own_name(addr, shape),
    };
    columns.heap.name.push(own.unwrap_or(name));
    let count = reader.count(addr);
    let spare = &mut columns.spare[at.index()];
    *spare = if count == IMMORTAL { IMMORTAL } else { spare.saturating_add(count) };
    places.note(reader, addr, at, shape);
    if reader.types.all.get(of as usize).is_some_and(|it| !it.is_leaf()) {
        reader.scan(addr, of, columns);
    }
}

/// A frame that is no object.
fn record(
    reader: &mut Reader<'_>,
    columns: &mut Columns<'_>,
    at: NodeId,
    layout: &RecordLayout,
    places: &mut Places,
) {
    let addr = columns.heap.graph.addr[at.index()];
    let code = reader.memory.pointer(addr + layout.code).unwrap_or(0);
    columns.heap.graph.size.push(0);
    columns.heap.kind.push(ObjectKind::Frame);
    let name = reader.code_name(code);
    columns.heap.name.push(name);
    places.code(reader, code, at);
    reader.scan_record(addr, layout, columns);
}

fn kind(shape: Shape) -> ObjectKind {
    match shape {
        Shape::Text => ObjectKind::String,
        Shape::Bytes => ObjectKind::Bytes,
        Shape::Integer | Shape::Float | Shape::None | Shape::Bool => ObjectKind::Number,
        Shape::Module => ObjectKind::Module,
        Shape::Function => ObjectKind::Closure,
        Shape::Class => ObjectKind::Class,
        Shape::Code => ObjectKind::Code,
        Shape::Cell => ObjectKind::Hidden,
        Shape::Frame => ObjectKind::Frame,
        _ => ObjectKind::Object,
    }
}

/// Puts names in place of the objects that tell them.
fn name_edges(reader: &mut Reader<'_>, heap: &mut ObjectHeap) {
    let mut told = 0;
    for at in 0..heap.graph.edges.len() {
        let (edge, label) = (heap.graph.edges[at], heap.graph.labels[at]);
        let is_named = matches!(
            edge.kind(),
            EdgeKind::Key | EdgeKind::Property | EdgeKind::Context | EdgeKind::Internal | EdgeKind::Weak
        );
        if !is_named || label & BY_OBJECT == 0 {
            continue;
        }
        let by = (label & !BY_OBJECT) as usize;
        let (kind, label) = if heap.kind[by] == ObjectKind::String {
            (edge.kind(), heap.name[by])
        } else if told < KEYS_TOLD {
            match reader.key_name(heap.graph.addr[by]) {
                KeyName::Text => (edge.kind(), heap.name[by]),
                KeyName::Index(index) => (EdgeKind::Element, index),
                KeyName::Other(name) => {
                    told += 1;
                    (EdgeKind::Item, name)
                }
            }
        } else {
            (EdgeKind::Item, heap.name[by])
        };
        heap.graph.edges[at] = Edge::new(edge.target(), kind);
        heap.graph.labels[at] = label;
    }
}

/// Where functions, classes and frames are written.
#[derive(Default)]
struct Places {
    /// By the name of a file: its number.
    files: FxHashMap<u32, u32>,
    places: Vec<ObjectPlace>,
}

impl Places {
    fn note(&mut self, reader: &mut Reader<'_>, addr: u64, node: NodeId, shape: Shape) {
        match shape {
            Shape::Code => self.code(reader, addr, node),
            Shape::Function => {
                if let Some(code) = reader.code_of_function(addr) {
                    self.code(reader, code, node);
                }
            }
            Shape::Class => {
                if let Some((code, line)) = reader.code_of_class(addr) {
                    self.place(reader, code, line, node);
                }
            }
            Shape::LruCache => {
                let wrapped = reader.memory.pointer(addr + LRU_WRAPPED);
                if let Some(code) = wrapped.and_then(|it| reader.code_of_function(it)) {
                    self.code(reader, code, node);
                }
            }
            Shape::Frame => {
                if let Some(code) = reader.code_of_frame(addr) {
                    self.code(reader, code, node);
                }
            }
            _ => {}
        }
    }

    fn code(&mut self, reader: &mut Reader<'_>, code: u64, node: NodeId) {
        if let Some(line) = reader.first_line(code) {
            self.place(reader, code, line, node);
        }
    }

    fn place(&mut self, reader: &mut Reader<'_>, code: u64, line: u32, node: NodeId) {
        let Some(name) = reader.file_of_code(code) else { return };
        let count = self.files.len() as u32;
        let script = *self.files.entry(name).or_insert(count);
        self.places.push(ObjectPlace { node, script, line, column: 0 });
    }

    fn finish(self, reader: &Reader<'_>, heap: &mut ObjectHeap) {
        heap.places = self.places;
        let mut scripts: Vec<(u32, String)> = self
            .files
            .into_iter()
            .map(|(name, number)| (number, reader.names.texts.get(name).to_owned()))
            .collect();
        scripts.sort_unstable();
        heap.scripts = scripts;
    }
}

impl Reader<'_> {
    /// An object's reference count; `IMMORTAL` where it is none.
    fn count(&mut self, addr: u64) -> i32 {
        let count = self.memory.word(addr).unwrap_or(0);
        // Since 3.12 it has 32 bits, and a negative one means that it is not kept.
        let is_immortal = match self.layout.integers {
            crate::layouts::Integers::Tag => count & 1 << 31 != 0,
            crate::layouts::Integers::Size => count >= 1 << 30,
        };
        if is_immortal { IMMORTAL } else { count as i32 }
    }

    fn bytes_name(&mut self, addr: u64) -> Option<u32> {
        const KIND: u64 = 7;
        let length = self.memory.word(addr + 16)?;
        let tell = |bytes: &[u8], is_all: bool| {
            format!("b\"{}\"{}", bytes.escape_ascii(), if is_all { "" } else { "…" })
        };
        self.names.of_bytes(&mut self.memory, addr + 32, length, tell, KIND)
    }

    fn code_name(&mut self, code: u64) -> u32 {
        let name = self.own_name(code, Shape::Code);
        name.unwrap_or_else(|| self.names.intern("frame"))
    }

    fn is_shape(&mut self, addr: u64, shape: Shape) -> bool {
        self.type_of(addr).is_some_and(|it| self.types.all[it as usize].shape == shape)
    }

    fn first_line(&mut self, code: u64) -> Option<u32> {
        let line = self.memory.half(code + self.layout.code.first_line)?;
        (line > 0 && line < 1 << 30).then_some(line)
    }

    fn file_of_code(&mut self, code: u64) -> Option<u32> {
        let name = self.memory.pointer(code + self.layout.code.filename)?;
        self.names.of_text(&mut self.memory, &self.layout, name)
    }

    fn code_of_function(&mut self, addr: u64) -> Option<u64> {
        if !self.is_shape(addr, Shape::Function) {
            return None;
        }
        let offset = crate::objects::at(self.layout.function, "__code__")?;
        let code = self.memory.pointer(addr + u64::from(offset))?;
        self.is_shape(code, Shape::Code).then_some(code)
    }

    fn code_of_frame(&mut self, addr: u64) -> Option<u64> {
        let code = match self.layout.frames {
            Frames::Objects { .. } => self.memory.pointer(addr + 32)?,
            Frames::Records(record) => {
                let own = self.memory.pointer(addr + record.of_object)?;
                self.memory.pointer(own + record.code)?
            }
        };
        self.is_shape(code, Shape::Code).then_some(code)
    }

    /// Of a class made by Python code: the code of its first method, and the first line that is known of it.
    fn code_of_class(&mut self, addr: u64) -> Option<(u64, u32)> {
        let of = self.types.get(addr, &mut self.memory, &self.layout, &mut self.names)?;
        if !self.types.all[of as usize].is_heap_type {
            return None;
        }
        let dict = self.memory.pointer(addr + crate::types::field::DICT)?;
        let mut values = Vec::new();
        crate::dicts::entries(&mut self.memory, &self.layout, dict, |_, key, value| {
            values.push((key, value));
            values.len() < 1000
        });
        let qualname = self.memory.pointer(addr + self.layout.heap_type.qualname)?;
        let own = crate::names::text(&mut self.memory, &self.layout, qualname, 200)?;
        let mut first: Option<(u64, u32)> = None;
        let mut told = None;
        for (key, value) in values {
            if self.is_shape(value, Shape::Function) {
                let Some(code) = self.code_of_function(value) else { continue };
                let Some(line) = self.first_line(code) else { continue };
                let name = self.own_name(value, Shape::Function).unwrap_or(0);
                let is_own = self
                    .names
                    .texts
                    .get(name)
                    .strip_prefix(own.as_str())
                    .is_some_and(|it| it.starts_with('.'));
                if is_own && first.is_none_or(|it| line < it.1) {
                    first = Some((code, line));
                }
            } else if crate::names::text(&mut self.memory, &self.layout, key, 20).as_deref()
                == Some("__firstlineno__")
            {
                told = self.integer(value).and_then(|it| u32::try_from(it).ok());
            }
        }
        first.map(|(code, line)| (code, told.unwrap_or(line)))
    }
}
