//! The objects of a language's runtime: read from a process, told as events, and put together again.

use crate::observation::Observation;
use crate::script::Interpreter;
use crate::sys;
use heapwise_cpython::{Found, Memory, Version};
use heapwise_heap::{Block, Ledger};
use heapwise_model::{
    Bits, Edge, EdgeKind, Frame, Language, NodeId, ObjectHeap, ObjectKind, ObjectPlace, Root,
};
use heapwise_trace::{Addr, Event, Nanos, Reference, References, StackId};

/// Objects and references that are kept of a recording, however much a small file of packed blocks says.
const OBJECTS_MAX: usize = 1 << 26;
const REFERENCES_MAX: usize = 1 << 28;
const TEXTS_MAX: usize = 1 << 30;

const LANGUAGES: [Language; 4] =
    [Language::Native, Language::Python, Language::JavaScript, Language::TypeScript];

/// The objects at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    pub at: Nanos,
    pub heap: ObjectHeap,
}

struct Process(u32);

impl Memory for Process {
    fn read(&self, addr: u64, into: &mut [u8]) -> usize {
        sys::read_memory(self.0, addr, into)
    }
}

/// The live blocks that objects lie in.
struct Blocks<'a> {
    ledger: &'a Ledger,
    /// Those that are not in the ledger, by ascending addresses.
    objects: &'a [Block],
}

impl Blocks<'_> {
    fn at(&self, addr: Addr) -> Option<Block> {
        match self.objects.binary_search_by_key(&addr, |it| it.addr) {
            Ok(at) => Some(self.objects[at]),
            Err(_) => self.ledger.block_at(addr),
        }
    }
}

/// Reads the objects of a process that stands still. `objects` are live blocks of its own allocator that the ledger does
/// not hold, by ascending addresses.
pub fn read(
    pid: u32,
    interpreter: &Interpreter,
    observation: &Observation,
    objects: &[Block],
) -> Result<Found, String> {
    let ledger = &observation.ledger;
    let minor = interpreter.minor().ok_or_else(|| format!("{} is no version of it", interpreter.version))?;
    let of = heapwise_cpython::Interpreter { runtime: interpreter.runtime, version: Version::new(3, minor) };
    let all = ledger.live_blocks();
    let mut blocks: Vec<(u64, u64)> = all.iter().chain(objects).map(|it| (it.addr.0, it.size)).collect();
    blocks.sort_unstable();
    let mut found = heapwise_cpython::read(&Process(pid), &of, &blocks).map_err(|it| it.to_string())?;
    let heap = &mut found.heap;
    heap.stacks = stacks(&Process(pid), heap, &Blocks { ledger, objects });
    let scripted = scripted(observation);
    for stack in heap.stacks.iter_mut().filter(|it| !scripted.get(it.index()).is_some_and(|it| *it)) {
        *stack = StackId::UNKNOWN;
    }
    Ok(found)
}

/// By stack, whether a frame of a script is in it, and none by which modules are imported: what the interpreter makes for
/// itself has no place in the program.
fn scripted(observation: &Observation) -> Vec<bool> {
    const IMPORT: &str = "<frozen importlib._bootstrap>";
    #[derive(Clone, Copy, PartialEq)]
    enum Of {
        Runtime,
        Script,
        Import,
    }
    let mut of = vec![Of::Runtime; observation.stacks.len()];
    for id in (1..of.len() as u32).map(StackId) {
        let frame = observation.frames.get(observation.stacks.frame(id).index());
        // A parent is smaller than its children.
        of[id.index()] = match (of[observation.stacks.parent(id).index()], frame) {
            (Of::Import, _) => Of::Import,
            (_, Some(Frame::Script { code, .. })) => match observation.codes.get(code.index()) {
                Some(code) if code.path == IMPORT => Of::Import,
                _ => Of::Script,
            },
            (above, _) => above,
        };
    }
    of.into_iter().map(|it| it == Of::Script).collect()
}

/// References from which on an object is looked at for memory that it holds besides its own block.
const HOLDS_MIN: usize = 8;
/// Bytes of an object, those that stand elsewhere among them, from which on it is looked at for these.
const LARGE: u64 = 1024;
/// Bytes of an object in which it says where that is.
const HEAD_BYTES: usize = 112;
/// What lies before an object in its block: nothing, the collector's words, and those of its attributes before these.
const BEFORE: [u64; 3] = [0, 16, 32];
const BEFORE_MAX: u64 = 32;

/// Where each object got its memory: its own block, or of one that holds many others the block in which it notes them.
/// Such a block is made anew when it is full, so its stack is that of somebody who adds.
fn stacks(memory: &dyn Memory, heap: &ObjectHeap, all: &Blocks<'_>) -> Vec<StackId> {
    let graph = &heap.graph;
    let is_object = |addr: u64| graph.addr.binary_search(&addr).is_ok();
    let noted = |addr: u64| {
        let mut head = [0; HEAD_BYTES];
        let length = memory.read(addr, &mut head);
        let words = head[..length].chunks_exact(8);
        let words = words.map(|it| u64::from_le_bytes(it.try_into().expect("eight bytes")));
        let blocks = words.filter(|&it| it != 0 && it % 8 == 0).filter_map(|it| all.at(Addr(it)));
        // Of two that are as large the second is the end to which is added.
        let blocks = blocks.filter(|it| BEFORE.iter().all(|before| !is_object(it.addr.0 + before)));
        blocks.max_by_key(|it| it.size)
    };
    let mut owns = OwnBlocks { all, at: 0 };
    let stack = |(node, &addr): (usize, &u64)| {
        if addr == 0 {
            return StackId::UNKNOWN;
        }
        let holds_many = heap.kind[node] == ObjectKind::Object
            && graph.first[node + 1] - graph.first[node] >= HOLDS_MIN as u32;
        let own = owns.of(addr);
        // What is much larger than its own block has most of it elsewhere.
        let is_elsewhere =
            || own.is_some_and(|it| graph.size[node] >= LARGE && graph.size[node] / 2 > it.size);
        let noted = if holds_many || is_elsewhere() { noted(addr) } else { None };
        noted.or(own).map_or(StackId::UNKNOWN, |it| it.stack)
    };
    graph.addr.iter().enumerate().map(stack).collect()
}

/// The blocks that objects lie in, asked for by ascending addresses.
struct OwnBlocks<'a> {
    all: &'a Blocks<'a>,
    /// Those of `all.objects` before it begin too far before the last object that was asked for.
    at: usize,
}

impl OwnBlocks<'_> {
    fn of(&mut self, addr: u64) -> Option<Block> {
        let objects = self.all.objects;
        while objects.get(self.at).is_some_and(|it| it.addr.0 + BEFORE_MAX < addr) {
            self.at += 1;
        }
        let near = objects[self.at..].iter().take_while(|it| it.addr.0 <= addr);
        let place = |it: &Block| BEFORE.iter().position(|before| it.addr.0 + before == addr);
        let object = near.filter_map(|it| Some((place(it)?, it))).min_by_key(|it| it.0).map(|it| *it.1);
        let ledger = self.all.ledger;
        object.or_else(|| BEFORE.iter().find_map(|before| ledger.block_at(Addr(addr.wrapping_sub(*before)))))
    }
}

/// Tells a heap as events.
pub fn events(heap: &ObjectHeap, at: Nanos, sink: &mut dyn FnMut(&Event<'_>)) {
    for text in 0..heap.texts.len() as u32 {
        sink(&Event::Text { bytes: heap.texts.get(text).as_bytes() });
    }
    for (number, path) in &heap.scripts {
        sink(&Event::Script { number: *number, path: path.as_bytes() });
    }
    let graph = &heap.graph;
    let mut references = Vec::new();
    for node in 0..graph.len() {
        references.clear();
        let first = graph.first[node] as usize;
        for (at, (kind, label, target)) in heap.references(NodeId(node as u32)).enumerate() {
            let is_idle = graph.idle.has(first + at);
            let reference = Reference { kind: kind as u8, is_idle, label, target: target.0 };
            References::push(&mut references, node as u32, &reference);
        }
        sink(&Event::Object {
            addr: Addr(graph.addr.get(node).copied().unwrap_or(0)),
            size: graph.size[node],
            kind: heap.kind[node] as u8,
            name: heap.name[node],
            id: heap.ids.get(node).copied().unwrap_or(0),
            stack: heap.stack(NodeId(node as u32)).unwrap_or_default(),
            references: References(&references),
        });
    }
    for place in &heap.places {
        let ObjectPlace { node, script, line, column } = *place;
        sink(&Event::ObjectPlace { object: node.0, script, line, column });
    }
    for root in &graph.roots {
        sink(&Event::ObjectRoot { kind: root.kind, object: root.target.0 });
    }
    let language = LANGUAGES.iter().position(|it| *it == heap.language).unwrap_or(0) as u8;
    sink(&Event::ObjectsEnd { at, language });
}

/// Puts a heap together from its events.
#[derive(Default)]
pub struct Builder {
    heap: ObjectHeap,
    idle: Vec<usize>,
    text_bytes: usize,
}

impl Builder {
    /// Takes the next event; those of other matters are passed over.
    pub fn apply(&mut self, event: &Event<'_>) {
        let heap = &mut self.heap;
        match *event {
            Event::Text { bytes } if self.text_bytes < TEXTS_MAX => {
                self.text_bytes += bytes.len() + size_of::<u64>();
                heap.texts.push(&String::from_utf8_lossy(bytes));
            }
            Event::Script { number, path } if heap.scripts.len() < OBJECTS_MAX => {
                heap.scripts.push((number, String::from_utf8_lossy(path).into_owned()));
            }
            Event::Object { addr, size, kind, name, id, stack, references }
                if heap.kind.len() < OBJECTS_MAX =>
            {
                let graph = &mut heap.graph;
                let from = heap.kind.len() as u32;
                graph.first.push(graph.edges.len() as u32);
                graph.addr.push(addr.0);
                graph.size.push(size);
                heap.kind.push(ObjectKind::ALL.get(usize::from(kind)).copied().unwrap_or(ObjectKind::Other));
                heap.name.push(name);
                heap.ids.push(id);
                heap.stacks.push(stack);
                references.each(from, |it| {
                    let Some(kind) = EdgeKind::from_number(it.kind) else { return };
                    if graph.edges.len() < REFERENCES_MAX && (it.target as usize) < NodeId::MAX {
                        if it.is_idle {
                            self.idle.push(graph.edges.len());
                        }
                        graph.edges.push(Edge::new(NodeId(it.target), kind));
                        graph.labels.push(it.label);
                    }
                });
            }
            Event::ObjectPlace { object, script, line, column } if heap.places.len() < OBJECTS_MAX => {
                heap.places.push(ObjectPlace { node: NodeId(object), script, line, column });
            }
            Event::ObjectRoot { kind, object } if heap.graph.roots.len() < OBJECTS_MAX => {
                heap.graph.roots.push(Root { kind, place: 0, target: NodeId(object), interior: false });
            }
            _ => {}
        }
    }

    /// The heap of all events so far; `None` where they contradict each other.
    pub fn finish(self, language: u8) -> Option<ObjectHeap> {
        let Builder { mut heap, idle, .. } = self;
        let count = heap.kind.len();
        let is_node = |it: NodeId| it.index() < count;
        let graph = &mut heap.graph;
        graph.first.push(graph.edges.len() as u32);
        let is_sound = graph.edges.iter().all(|it| is_node(it.target()))
            && graph.roots.iter().all(|it| is_node(it.target))
            && heap.places.iter().all(|it| is_node(it.node));
        if !is_sound || count == 0 {
            return None;
        }
        if !idle.is_empty() {
            graph.idle = Bits::new(graph.edges.len());
            for at in idle {
                graph.idle.insert(at);
            }
        }
        if graph.addr.iter().all(|it| *it == 0) {
            graph.addr.clear();
        }
        if heap.ids.iter().all(|it| *it == 0) {
            heap.ids.clear();
        }
        if heap.stacks.iter().all(|it| *it == StackId::UNKNOWN) {
            heap.stacks.clear();
        }
        heap.places.sort_by_key(|it| it.node);
        heap.scripts.sort();
        heap.language = LANGUAGES.get(usize::from(language)).copied().unwrap_or_default();
        Some(heap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_model::RootKind;

    /// Objects that refer to each other at random.
    fn heap() -> ObjectHeap {
        let mut heap = ObjectHeap { language: Language::Python, ..ObjectHeap::default() };
        let names = ["dict", "list", "app", ""].map(|it| heap.texts.push(it));
        let count = 500u32;
        for node in 0..count {
            heap.graph.first.push(heap.graph.edges.len() as u32);
            for at in 0..node % 7 {
                let kind = [EdgeKind::Element, EdgeKind::Key, EdgeKind::Weak][at as usize % 3];
                heap.graph.edges.push(Edge::new(NodeId((node * 31 + at * 17) % count), kind));
                heap.graph.labels.push(at);
            }
            heap.graph.addr.push(u64::from(node) * 48 + 4096);
            heap.graph.size.push(u64::from(node % 100));
            heap.stacks.push(StackId(node % 3));
            heap.kind.push(ObjectKind::ALL[node as usize % ObjectKind::ALL.len()]);
            heap.name.push(names[node as usize % names.len()]);
        }
        heap.graph.first.push(heap.graph.edges.len() as u32);
        heap.graph.idle = Bits::new(heap.graph.edges.len());
        for at in (0..heap.graph.edges.len()).step_by(5) {
            heap.graph.idle.insert(at);
        }
        heap.graph.roots =
            vec![Root { kind: RootKind::Global, place: 0, target: NodeId(3), interior: false }];
        heap.places = vec![ObjectPlace { node: NodeId(4), script: 2, line: 7, column: 0 }];
        heap.scripts = vec![(2, "/srv/app.py".to_owned())];
        heap
    }

    #[test]
    fn a_heap_goes_there_and_back() {
        let heap = heap();
        let mut builder = Builder::default();
        let mut language = 0;
        events(&heap, Nanos(5), &mut |event| match *event {
            Event::ObjectsEnd { language: it, .. } => language = it,
            _ => builder.apply(event),
        });
        assert_eq!(builder.finish(language), Some(heap));
    }

    #[test]
    fn what_contradicts_itself_is_no_heap() {
        for (target, is_whole) in [(0, true), (1, false)] {
            let mut builder = Builder::default();
            let mut references = Vec::new();
            let reference = Reference { kind: 4, is_idle: false, label: 0, target };
            References::push(&mut references, 0, &reference);
            let references = References(&references);
            builder.apply(&Event::Object {
                addr: Addr(0),
                size: 1,
                kind: 3,
                name: 0,
                id: 1,
                stack: StackId(0),
                references,
            });
            assert_eq!(builder.finish(1).is_some(), is_whole);
        }
    }
}
