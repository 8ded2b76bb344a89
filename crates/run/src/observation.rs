//! What is known of a process: fed live by its ring, or from a recording.

use heapwise_heap::{
    Analysis, Classes, GraphBuilder, Ledger, ShortestPaths, WildPlace, analyze, classify, dominators,
};
use heapwise_model::{Frame, HeapGraph, Module, NodeId, StackTable, Termination};
use heapwise_trace::recording::{self, End};
use heapwise_trace::{Addr, Event, Nanos, RootKind, StackId};
use std::collections::BTreeMap;
use std::path::Path;

pub use heapwise_trace::recording::Error as ReadError;

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
    pub stacks: StackTable,
    pub threads: BTreeMap<u32, String>,
    pub ledger: Ledger,
    pub graph: Option<Graph>,
    pub notes: Vec<String>,
    /// Time of the last event.
    pub last: Nanos,
    pub exit: Option<Termination>,
    /// Of a graph whose roots and edges are just coming.
    builder: Option<GraphBuilder>,
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
            stacks: StackTable::default(),
            threads: BTreeMap::new(),
            ledger: Ledger::new(),
            graph: None,
            notes: Vec::new(),
            last: Nanos(0),
            exit: None,
            builder: None,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Observation {
    /// Takes the next event.
    pub fn apply(&mut self, event: &Event<'_>) {
        match *event {
            Event::Process { pid, parent, command, start_unix_ns } => {
                (self.pid, self.parent, self.start_unix_ns) = (pid, parent, start_unix_ns);
                self.command =
                    command.split(|&byte| byte == 0).filter(|it| !it.is_empty()).map(text).collect();
            }
            Event::Module { base, end, bias, path, build_id, .. } => {
                self.modules.push(Module {
                    path: text(path),
                    build_id: build_id.to_vec(),
                    base: base.0,
                    end: end.0,
                    bias,
                });
            }
            Event::Frame { module, offset, .. } => self.frames.push(Frame { module, offset }),
            Event::Stack { parent, frame, .. } => {
                if self.stacks.push(parent, frame).is_some() {
                    self.ledger.set_stack_limit(self.stacks.len());
                }
            }
            Event::Thread { id, name } => {
                self.threads.insert(id, text(name));
            }
            Event::Root { .. } | Event::Edge { .. } => {
                let ledger = &self.ledger;
                self.builder.get_or_insert_with(|| GraphBuilder::new(&ledger.live_blocks())).apply(event);
            }
            Event::GraphEnd { at, certain } => {
                self.seen(at);
                let builder = self.builder.take();
                let builder = builder.unwrap_or_else(|| GraphBuilder::new(&self.ledger.live_blocks()));
                self.set_graph(builder.finish(), certain);
            }
            Event::Place { addr, kind } => self.place_errors(addr, kind),
            Event::Note { text: note } => self.notes.push(text(note)),
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
            Event::Inherited { .. } => self.ledger.apply(event),
        }
    }

    /// The clock never goes back, whatever a file says.
    pub fn seen(&mut self, at: Nanos) {
        self.last = self.last.max(at);
    }

    /// Says where wrong frees of `addr` point.
    fn place_errors(&mut self, addr: Addr, kind: RootKind) {
        let place = match kind {
            RootKind::Stack => WildPlace::Stack,
            RootKind::Global => WildPlace::Global,
            _ => WildPlace::Wild,
        };
        self.ledger.errors_mut().iter_mut().filter(|it| it.addr == addr).for_each(|it| it.set_place(place));
    }

    /// Takes the graph of a scan.
    pub fn set_graph(&mut self, graph: HeapGraph, is_certain: bool) {
        let classes = classify(&graph);
        self.graph = Some(Graph { graph, classes, is_certain });
    }

    /// The module that contains a plain address, for frames that were recorded before their module.
    fn module_of(&self, address: u64) -> Option<usize> {
        self.modules.iter().position(|it| it.base <= address && address < it.end)
    }

    /// To be called once after the last event.
    pub fn finish(&mut self) {
        for i in 1..self.frames.len() {
            let frame = self.frames[i];
            if frame.module.0 == 0
                && let Some(module) = self.module_of(frame.offset)
            {
                self.frames[i] = Frame {
                    module: heapwise_model::ModuleId(module as u32),
                    offset: frame.offset.wrapping_sub(self.modules[module].bias),
                };
            }
        }
    }

    /// A child's beginning: what it shares with its parent at the fork.
    pub fn fork(&self) -> Observation {
        Observation {
            parent: self.pid,
            command: self.command.clone(),
            modules: self.modules.clone(),
            frames: self.frames.clone(),
            stacks: self.stacks.clone(),
            ledger: self.ledger.fork(),
            ..Observation::default()
        }
    }

    /// Reads a recording. `progress` hears the bytes read and in all.
    pub fn read(path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Observation, ReadError> {
        let mut observation = Observation::default();
        let end = recording::read(path, &mut |event| observation.apply(&event), progress)?;
        observation.ended(end, path)
    }

    /// As [`Observation::read`], from memory.
    pub fn read_slice(bytes: &[u8]) -> Result<Observation, ReadError> {
        let mut observation = Observation::default();
        let end = recording::read_slice(bytes, &mut |event| observation.apply(&event))?;
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
        if self.exit.is_none() {
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
        assert_eq!(blocks.len() as u64, observation.ledger.totals().live.blocks);
        for block in &blocks {
            assert_eq!(observation.block_stack(block.addr), Some(block.stack));
            observation.block_stack(Addr(block.addr.0.saturating_add(block.size)));
        }
        observation.ledger.mappings();
        let mut child = observation.fork();
        child.finish();
        assert_eq!(child.ledger.live_blocks(), blocks);
        observation.finish();
        Some((observation, analysis))
    }
}
