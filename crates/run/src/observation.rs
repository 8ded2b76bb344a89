//! What is known of a process: fed live by its ring, or from a recording.

use crate::attachment::{Attachment, Pieces};
use crate::objects::{self, Dump};
use heapwise_heap::{
    Analysis, Classes, ERRORS_MAX, GraphBuilder, Ledger, Open, Resources, ShortestPaths, WildPlace, analyze,
    classify, dominators,
};
use heapwise_model::{
    Code, CodeId, Frame, FrameId, HeapGraph, Module, ModuleId, NodeId, Phase, StackTable, Termination,
};
use heapwise_trace::recording::{self, End, Sink, Writer};
use heapwise_trace::{Addr, Event, Nanos, RootKind, StackId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

const _: () = assert!(recording::EXPECTED_MAX <= Ledger::WARM_MAX);

pub use heapwise_trace::recording::Error as ReadError;

// What is kept of a recording, however much a small file of packed blocks says: beyond what programs do.
const STACKS_MAX: usize = 1 << 24;
const FRAMES_MAX: usize = 1 << 24;
/// Functions of scripts.
const CODES_MAX: usize = 1 << 22;
const MODULES_MAX: usize = 1 << 16;
const THREADS_MAX: usize = 1 << 20;
const NOTES_MAX: usize = 1000;
const ATTACHMENTS_MAX: usize = 10_000;
const ARGUMENTS_MAX: usize = 1 << 16;
/// Bytes of a path, a thread's name, or a note.
const TEXT_MAX: usize = 4096;
/// A build id is a hash.
const BUILD_ID_MAX: usize = 64;
/// Frames of a stack: a few more than the 1,024 native ones and as many of a script that the recorder follows, for its
/// marks of a cut. Bounds the time
/// of whoever walks every stack.
const DEPTH_MAX: u16 = 2064;
/// Dumps of a runtime's objects that are compared with each other.
const DUMPS_MAX: usize = 4;
/// Each takes time in proportion to the live blocks; there is one at the end, and the last one counts.
const GRAPHS_MAX: usize = 16;

/// Roots and edges of a scan, in blocks as they lay in memory.
pub struct Graph {
    pub graph: HeapGraph,
    pub classes: Classes,
    /// False: something could not be looked at; a note says what.
    pub is_certain: bool,
}

/// A process image from its beginning to its end, or to the end of what was recorded.
pub struct Observation {
    pub pid: u32,
    pub parent: u32,
    pub command: Vec<String>,
    pub start_unix_ns: u64,
    /// Entry 0 is "none".
    pub modules: Vec<Module>,
    /// Entry 0 is "unknown".
    pub frames: Vec<Frame>,
    /// Functions of scripts. Entry 0 is "unknown".
    pub codes: Vec<Code>,
    pub stacks: StackTable,
    pub threads: BTreeMap<u32, String>,
    pub ledger: Ledger,
    /// What it holds besides memory, but for what it inherited.
    pub resources: Resources,
    /// Native frames of functions by which a runtime takes down objects.
    pub destructors: BTreeSet<FrameId>,
    pub graph: Option<Graph>,
    /// The last dumps of a runtime's objects.
    pub objects: Vec<Dump>,
    /// What the marks of a recording divide it into; found by whoever reads it.
    pub phases: Vec<Phase>,
    pub notes: Vec<String>,
    /// Time of the last event.
    pub last: Nanos,
    pub exit: Option<Termination>,
    /// In the order in which they came.
    pub attachments: Vec<Attachment>,
    /// Of the next attachment.
    pieces: Pieces,
    /// Of a graph whose roots and edges are just coming.
    builder: Option<GraphBuilder>,
    /// Of objects that are just coming.
    heap: Option<objects::Builder>,
    /// Frames of each stack.
    depths: Vec<u16>,
    /// Graphs and places taken so far.
    graphs: usize,
    places: usize,
}

impl Default for Observation {
    fn default() -> Self {
        Observation {
            pid: 0,
            parent: 0,
            command: Vec::new(),
            start_unix_ns: 0,
            modules: vec![Module::default()],
            frames: vec![Frame::default()],
            codes: vec![Code::default()],
            stacks: StackTable::default(),
            threads: BTreeMap::new(),
            ledger: Ledger::new(),
            resources: Resources::default(),
            destructors: BTreeSet::new(),
            graph: None,
            objects: Vec::new(),
            heap: None,
            phases: Vec::new(),
            notes: Vec::new(),
            last: Nanos(0),
            exit: None,
            attachments: Vec::new(),
            pieces: Pieces::default(),
            builder: None,
            depths: vec![0],
            graphs: 0,
            places: 0,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn short(bytes: &[u8]) -> String {
    text(&bytes[..bytes.len().min(TEXT_MAX)])
}

/// From each address on (ascending), the first of the modules that hold it.
fn owners(modules: &[Module]) -> Vec<(u64, Option<usize>)> {
    let mut bounds: Vec<(u64, bool, usize)> = Vec::new();
    for (i, module) in modules.iter().enumerate().filter(|(_, it)| it.base < it.end) {
        bounds.extend([(module.base, true, i), (module.end, false, i)]);
    }
    bounds.sort_unstable();
    let mut holding = BTreeSet::new();
    let mut owners: Vec<(u64, Option<usize>)> = Vec::new();
    for (address, begins, module) in bounds {
        if begins {
            holding.insert(module);
        } else {
            holding.remove(&module);
        }
        let owner = holding.first().copied();
        match owners.last_mut() {
            Some(last) if last.0 == address => last.1 = owner,
            _ => owners.push((address, owner)),
        }
    }
    owners
}

impl Sink for Observation {
    #[inline(always)]
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Alloc { at, .. } | Event::Free { at, .. } | Event::Resize { at, .. } => {
                self.seen(at);
                self.ledger.apply(&event);
            }
            _ => self.apply(&event),
        }
    }

    #[inline(always)]
    fn expect(&mut self, touched: &[(Addr, StackId)]) {
        self.ledger.warm(touched);
    }

    fn piece(&mut self, offset: u64, bytes: u32) {
        self.pieces.push(offset, bytes);
    }
}

/// An observation, and somebody else who hears each event before it.
struct Both<'a, F> {
    observation: &'a mut Observation,
    also: F,
}

impl<F: FnMut(&Event<'_>)> Sink for Both<'_, F> {
    #[inline(always)]
    fn event(&mut self, event: Event<'_>) {
        (self.also)(&event);
        self.observation.event(event);
    }

    #[inline(always)]
    fn expect(&mut self, touched: &[(Addr, StackId)]) {
        self.observation.expect(touched);
    }

    fn piece(&mut self, offset: u64, bytes: u32) {
        self.observation.piece(offset, bytes);
    }
}

impl Observation {
    /// Takes the next event.
    pub fn apply(&mut self, event: &Event<'_>) {
        match *event {
            Event::Process { pid, parent, command, start_unix_ns } => {
                (self.pid, self.parent, self.start_unix_ns) = (pid, parent, start_unix_ns);
                let words = command.split(|&byte| byte == 0).filter(|it| !it.is_empty());
                self.command = words.take(ARGUMENTS_MAX).map(text).collect();
            }
            // What is left out keeps its id: nobody else gets it.
            Event::Module { base, end, bias, path, build_id, .. } => {
                if self.modules.len() < MODULES_MAX {
                    self.modules.push(Module {
                        path: short(path),
                        build_id: build_id[..build_id.len().min(BUILD_ID_MAX)].to_vec(),
                        base: base.0,
                        end: end.0,
                        bias,
                    });
                }
            }
            Event::Frame { module, offset, .. } => {
                if self.frames.len() < FRAMES_MAX {
                    self.frames.push(Frame::Native { module, offset });
                }
            }
            Event::Code { name, path, .. } => {
                if self.codes.len() < CODES_MAX {
                    self.codes.push(Code { name: short(name), path: short(path) });
                }
            }
            Event::ScriptFrame { code, line, .. } => {
                if self.frames.len() < FRAMES_MAX {
                    self.frames.push(Frame::Script { code, line });
                }
            }
            Event::Stack { parent, frame, .. } => self.stack(parent, frame),
            Event::Thread { id, name } => {
                if self.threads.len() < THREADS_MAX || self.threads.contains_key(&id) {
                    self.threads.insert(id, short(name));
                }
            }
            Event::Root { .. } | Event::Edge { .. } => {
                if self.graphs < GRAPHS_MAX {
                    let ledger = &self.ledger;
                    self.builder.get_or_insert_with(|| GraphBuilder::new(&ledger.live_blocks())).apply(event);
                }
            }
            Event::GraphEnd { at, certain } => {
                self.seen(at);
                if self.graphs < GRAPHS_MAX {
                    self.graphs += 1;
                    let builder = self.builder.take();
                    let builder = builder.unwrap_or_else(|| GraphBuilder::new(&self.ledger.live_blocks()));
                    self.set_graph(builder.finish(), certain);
                }
            }
            Event::Attachment { at, kind, name } => {
                self.seen(at);
                let attachment = self.pieces.take(at, kind, short(name));
                if self.attachments.len() < ATTACHMENTS_MAX {
                    self.attachments.push(attachment);
                }
            }
            Event::Text { .. }
            | Event::Script { .. }
            | Event::Object { .. }
            | Event::ObjectPlace { .. }
            | Event::ObjectRoot { .. } => self.heap.get_or_insert_default().apply(event),
            Event::ObjectsEnd { at, language } => {
                self.seen(at);
                match self.heap.take().and_then(|it| it.finish(language)) {
                    Some(heap) => self.dumped(Dump { at, heap }),
                    None => self.notes.push("objects that contradict each other are left out".to_owned()),
                }
            }
            Event::Place { addr, kind } => self.place_errors(addr, kind),
            Event::Mark { at, .. } => self.seen(at),
            Event::Open { at, .. } | Event::Close { at, .. } => {
                self.seen(at);
                self.resources.apply(event);
            }
            Event::Destructor { frame } => {
                if self.destructors.len() < FRAMES_MAX {
                    self.destructors.insert(frame);
                }
            }
            Event::Note { text } => {
                if self.notes.len() < NOTES_MAX {
                    self.notes.push(short(text));
                }
            }
            Event::Exit { at, code, signal } => {
                self.seen(at);
                self.exit = Some(Termination { code, signal });
            }
            Event::Alloc { at, .. }
            | Event::Free { at, .. }
            | Event::Resize { at, .. }
            | Event::Sample { at, .. } => {
                self.seen(at);
                self.ledger.apply(event);
            }
            Event::Inherited { .. } | Event::Account { .. } => self.ledger.apply(event),
            Event::Sampling { .. } => self.ledger.apply(event),
            Event::AccountsEnd { at } => {
                self.seen(at);
                self.ledger.apply(event);
            }
        }
    }

    /// Stacks that are too deep begin anew, as if nothing were known of their callers.
    fn stack(&mut self, parent: StackId, frame: FrameId) {
        if self.stacks.len() >= STACKS_MAX {
            return;
        }
        let above = self.depths.get(parent.index()).copied().unwrap_or(DEPTH_MAX);
        let (parent, depth) = if above < DEPTH_MAX { (parent, above + 1) } else { (StackId::UNKNOWN, 1) };
        if self.stacks.push(parent, frame).is_some() {
            self.depths.push(depth);
            self.ledger.set_stack_limit(self.stacks.len());
        }
    }

    /// The clock never goes back, whatever a file says.
    pub fn seen(&mut self, at: Nanos) {
        self.last = self.last.max(at);
    }

    /// Says where wrong frees of `addr` point: once for each of them.
    fn place_errors(&mut self, addr: Addr, kind: RootKind) {
        if self.places >= ERRORS_MAX {
            return;
        }
        self.places += 1;
        let place = match kind {
            RootKind::Stack => WildPlace::Stack,
            RootKind::Global => WildPlace::Global,
            _ => WildPlace::Wild,
        };
        self.ledger.errors_mut().iter_mut().filter(|it| it.addr == addr).for_each(|it| it.set_place(place));
    }

    /// Takes a dump of a runtime's objects; only the last ones are kept.
    pub fn dumped(&mut self, dump: Dump) {
        if self.objects.len() >= DUMPS_MAX {
            self.objects.remove(0);
        }
        self.objects.push(dump);
    }

    /// Takes the graph of a scan.
    pub fn set_graph(&mut self, graph: HeapGraph, is_certain: bool) {
        let classes = classify(&graph);
        self.graph = Some(Graph { graph, classes, is_certain });
    }

    /// To be called once after the last event: finds the modules of frames that were recorded before them.
    pub fn finish(&mut self) {
        let plain = |frame: &Frame| match *frame {
            Frame::Native { module: ModuleId(0), offset } if offset != 0 => Some(offset),
            _ => None,
        };
        if self.frames.iter().all(|it| plain(it).is_none()) {
            return;
        }
        let owners = owners(&self.modules);
        for frame in &mut self.frames {
            let Some(address) = plain(frame) else { continue };
            let after = owners.partition_point(|&(start, _)| start <= address);
            let Some(&(_, Some(module))) = after.checked_sub(1).map(|at| &owners[at]) else { continue };
            let offset = address.wrapping_sub(self.modules[module].bias);
            *frame = Frame::Native { module: ModuleId(module as u32), offset };
        }
    }

    /// A child's beginning: what it shares with its parent at the fork.
    pub fn fork(&self) -> Observation {
        Observation {
            parent: self.pid,
            command: self.command.clone(),
            modules: self.modules.clone(),
            frames: self.frames.clone(),
            codes: self.codes.clone(),
            stacks: self.stacks.clone(),
            depths: self.depths.clone(),
            ledger: self.ledger.fork(),
            ..Observation::default()
        }
    }

    /// Begins a recording in `file` with what is known so far, short of history: what others define, and what lives.
    pub fn begin(&self, file: File) -> std::io::Result<Writer<File>> {
        let mut writer = Writer::new(file)?;
        let command = self.command.join("\0");
        writer.event(&Event::Process {
            pid: self.pid,
            parent: self.parent,
            command: command.as_bytes(),
            start_unix_ns: self.start_unix_ns,
        });
        let mean = self.ledger.sampling().mean;
        if mean > 0 {
            writer.event(&Event::Sampling { mean });
        }
        for (i, module) in self.modules.iter().enumerate().skip(1) {
            writer.event(&Event::Module {
                id: ModuleId(i as u32),
                base: Addr(module.base),
                end: Addr(module.end),
                bias: module.bias,
                path: module.path.as_bytes(),
                build_id: &module.build_id,
            });
        }
        for (i, code) in self.codes.iter().enumerate().skip(1) {
            let (name, path) = (code.name.as_bytes(), code.path.as_bytes());
            writer.event(&Event::Code { id: CodeId(i as u32), name, path });
        }
        for (i, frame) in self.frames.iter().enumerate().skip(1) {
            let id = FrameId(i as u32);
            writer.event(&match *frame {
                Frame::Native { module, offset } => Event::Frame { id, module, offset },
                Frame::Script { code, line } => Event::ScriptFrame { id, code, line },
            });
        }
        for i in 1..self.stacks.len() as u32 {
            let id = StackId(i);
            writer.event(&Event::Stack { id, parent: self.stacks.parent(id), frame: self.stacks.frame(id) });
        }
        for block in self.ledger.live_blocks() {
            writer.event(&Event::Inherited {
                addr: block.addr,
                size: block.size,
                family: block.family,
                stack: block.stack,
            });
        }
        for &Open { kind, number, stack, at } in self.resources.live() {
            writer.event(&Event::Open { at, thread: 0, kind, number, stack });
        }
        for (stack, held) in self.ledger.accounted() {
            writer.event(&Event::Account {
                stack,
                allocations: 0,
                allocated_bytes: 0,
                temporary: 0,
                live_blocks: held.blocks as i64,
                live_bytes: held.bytes as i64,
            });
        }
        writer.event(&Event::AccountsEnd { at: Nanos(0) });
        for attachment in &self.attachments {
            attachment.write(&mut writer)?;
        }
        Ok(writer)
    }

    /// Reads a recording. `progress` hears the bytes read and in all.
    pub fn read(path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Observation, ReadError> {
        Observation::read_and(path, |_| {}, progress)
    }

    /// As [`Observation::read`], for those who need events of their own too: `also` hears each.
    pub fn read_and(
        path: &Path,
        also: impl FnMut(&Event<'_>),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Observation, ReadError> {
        let mut observation = Observation::default();
        let end = recording::read(path, &mut Both { observation: &mut observation, also }, progress)?;
        if !observation.attachments.is_empty() {
            let file = File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
            let file = Arc::new(file);
            observation.attachments.iter_mut().for_each(|it| it.set_file(file.clone()));
        }
        observation.ended(end, path)
    }

    /// As [`Observation::read`], from memory.
    pub fn read_slice(bytes: &[u8]) -> Result<Observation, ReadError> {
        let mut observation = Observation::default();
        let end = recording::read_slice(bytes, &mut observation)?;
        observation.ended(end, Path::new("recording"))
    }

    /// What there is to say once the file ended.
    fn ended(mut self, end: End, path: &Path) -> Result<Observation, ReadError> {
        if let End::Damaged { offset, lost, reason } = end {
            self.notes.push(format!(
                "the recording can be read up to byte {offset} only ({reason}); {lost} bytes after that are lost"
            ));
        }
        if self.pid == 0 && self.stacks.is_empty() {
            return Err(ReadError::Unusable { path: path.to_owned(), reason: "no event is left".to_owned() });
        }
        // A snapshot says so itself.
        if self.exit.is_none() && self.graph.is_none() {
            self.notes.push("the recording ends before the program did".to_owned());
        }
        self.finish();
        Ok(self)
    }

    /// The block and its stack at an address of the graph, for "why is it alive".
    pub fn block_stack(&self, addr: Addr) -> Option<StackId> {
        self.ledger.block_around(addr).map(|it| it.stack)
    }

    /// Everything that commands do with a recording, short of names; see `recording::fuzz` for `data`.
    #[doc(hidden)]
    pub fn exercise(data: &[u8]) -> Option<(Observation, Analysis)> {
        let mut observation = Observation::read_slice(&recording::fuzz::recording_of(data)).ok()?;
        let heap = observation.graph.as_ref().map(|it| (&it.graph, &it.classes));
        let analysis = analyze(&observation.ledger, heap);
        if let Some((graph, _)) = heap {
            dominators(graph);
            let paths = ShortestPaths::new(graph);
            (0..graph.addr.len().min(64) as u32).for_each(|node| drop(paths.chain(graph, NodeId(node))));
        }
        let (blocks, ticks) = (observation.ledger.live_blocks(), observation.ledger.timeline().ticks);
        assert!(blocks.is_sorted_by_key(|it| it.addr), "blocks by address");
        assert!(ticks.is_sorted_by_key(|it| it.at_ns), "ticks by time");
        for block in &blocks {
            assert_eq!(observation.block_stack(block.addr), Some(block.stack));
            observation.block_stack(Addr(block.addr.0.saturating_add(block.size)));
        }
        observation.ledger.mappings();
        let shown = analysis.costs.iter().map(|it| observation.stacks.frames(it.stack).count());
        assert!(shown.max().unwrap_or(0) <= usize::from(DEPTH_MAX));
        let mut child = observation.fork();
        child.finish();
        assert_eq!(child.ledger.live_blocks(), blocks);
        observation.finish();
        Some((observation, analysis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_trace::Family;

    #[test]
    fn owners_are_the_first_modules_that_hold_an_address() {
        let mut seed = 7u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let modules: Vec<Module> = (0..random(12))
                .map(|_| Module { base: random(40), end: random(50), ..Module::default() })
                .collect();
            let owners = owners(&modules);
            for address in 0..60 {
                let slow = modules.iter().position(|it| it.base <= address && address < it.end);
                let after = owners.partition_point(|&(start, _)| start <= address);
                assert_eq!(after.checked_sub(1).and_then(|at| owners[at].1), slow, "{address} {modules:?}");
            }
        }
    }

    #[test]
    fn hostile_recordings_have_bounds() {
        let mut it = Observation::default();
        for id in 1..300_000u32 {
            it.apply(&Event::Stack { id: StackId(id), parent: StackId(id - 1), frame: FrameId(1) });
            it.apply(&Event::Note { text: b"note" });
            it.apply(&Event::Module {
                id: ModuleId(id),
                base: Addr(u64::from(id)),
                end: Addr(u64::MAX),
                bias: 0,
                path: b"",
                build_id: &[1; 100],
            });
            it.apply(&Event::Frame { id: FrameId(id), module: ModuleId(0), offset: u64::from(id) });
            let (at, addr) = (Nanos(u64::MAX), Addr(u64::from(id) << 4));
            it.apply(&Event::Inherited { addr, size: u64::MAX, family: Family::Malloc, stack: StackId(id) });
            it.apply(&Event::Free {
                at,
                thread: id,
                addr: Addr(8),
                size: 0,
                family: Family::New,
                stack: StackId(id),
            });
            it.apply(&Event::Place { addr: Addr(8), kind: RootKind::Stack });
            it.apply(&Event::GraphEnd { at, certain: true });
        }
        assert_eq!((it.notes.len(), it.modules.len()), (NOTES_MAX, MODULES_MAX));
        assert!(
            (1..it.stacks.len())
                .all(|id| it.stacks.frames(StackId(id as u32)).count() <= usize::from(DEPTH_MAX))
        );
        it.finish();
        assert!(matches!(it.frames[299_999], Frame::Native { module: ModuleId(1), .. }));
    }
}
