//! Sections of a snapshot into columns.

use crate::json::Input;
use crate::layout::{FIELDS_MAX, Layout, LocationLayout};
use crate::{detached, retention, scripts};
use heapwise_model::{Edge, HeapGraph, NodeId, ObjectHeap, ObjectKind, ObjectPlace};
use std::io::Read;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot read the snapshot: {0}")]
    Io(std::io::Error),
    #[error("not a heap snapshot: {what}")]
    NotASnapshot { what: String },
    #[error(
        "the snapshot ends at byte {at}, within its objects: whoever wrote it was killed, or the disk was full"
    )]
    Cut { at: u64 },
    #[error("the snapshot is damaged at byte {at}: {what}")]
    Damaged { at: u64, what: String },
}

/// Bytes of the description at a file's beginning.
const HEADER_MAX: usize = 1 << 20;
/// Bytes kept of a string; V8 itself writes no more than 1,024 characters.
const TEXT_MAX: usize = 4096;

/// Reads a snapshot of `length` bytes. `progress` is told how many bytes have been read, from time to time.
pub fn read(
    source: impl Read,
    length: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<ObjectHeap, SnapshotError> {
    let mut reader = Reader {
        input: Input::new(source),
        length,
        layout: None,
        heap: ObjectHeap::default(),
        has_nodes: false,
        has_edges: false,
        attached: Vec::new(),
        detached: Vec::new(),
    };
    reader.sections(progress)?;
    reader.finish()
}

struct Reader<R> {
    input: Input<R>,
    length: u64,
    layout: Option<Layout>,
    heap: ObjectHeap,
    has_nodes: bool,
    has_edges: bool,
    /// Nodes that know whether their document tree is shown.
    attached: Vec<NodeId>,
    detached: Vec<NodeId>,
}

impl<R: Read> Reader<R> {
    fn sections(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), SnapshotError> {
        if self.input.peek()? != Some(b'{') {
            let what = "it does not begin with `{\"snapshot\":`".to_owned();
            return Err(SnapshotError::NotASnapshot { what });
        }
        self.input.expect(b'{')?;
        let mut key = Vec::new();
        loop {
            if self.input.accept(b'}')? {
                return Ok(());
            }
            self.input.accept(b',')?;
            self.input.string(64, &mut key)?;
            self.input.expect(b':')?;
            let result = match (&key[..], self.layout.take()) {
                (b"snapshot", None) => {
                    self.layout = Some(Layout::new(&self.input.raw_object(HEADER_MAX)?)?);
                    Ok(())
                }
                (b"nodes", Some(layout)) if !self.has_nodes => self.with(layout, Self::nodes, progress),
                (b"edges", Some(layout)) if self.has_nodes && !self.has_edges => {
                    self.with(layout, Self::edges, progress)
                }
                (b"locations", Some(layout)) if self.has_nodes => {
                    self.with(layout, Self::locations, progress)
                }
                (b"strings", layout) if self.heap.texts.is_empty() => {
                    self.layout = layout;
                    self.strings(progress)
                }
                (b"nodes" | b"edges" | b"locations", None) => {
                    let what = "its objects come before their description".to_owned();
                    Err(SnapshotError::NotASnapshot { what })
                }
                (_, layout) => {
                    self.layout = layout;
                    self.input.skip()
                }
            };
            match result {
                // Without names the graph still tells sizes.
                Err(SnapshotError::Cut { at }) if self.has_edges => {
                    let note =
                        format!("the snapshot ends at byte {at}, within its strings: some names are missing");
                    self.heap.notes.push(note);
                    return Ok(());
                }
                other => other?,
            }
        }
    }

    fn with(
        &mut self,
        layout: Layout,
        section: impl FnOnce(&mut Self, &Layout, &mut dyn FnMut(u64)) -> Result<(), SnapshotError>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), SnapshotError> {
        let begin = self.input.expect(b'[');
        let result = begin.and_then(|()| section(self, &layout, progress));
        self.layout = Some(layout);
        result
    }

    /// Room for `announced` records, as far as the file can hold them.
    fn room(&self, announced: u64, fields: usize) -> usize {
        let possible = self.length.saturating_sub(self.input.position()) / (2 * fields as u64).max(1);
        announced.min(possible.saturating_add(1)) as usize
    }

    fn nodes(&mut self, layout: &Layout, progress: &mut dyn FnMut(u64)) -> Result<(), SnapshotError> {
        let node = &layout.node;
        let room = self.room(layout.node_count, node.fields);
        let heap = &mut self.heap;
        heap.kind.reserve_exact(room);
        heap.name.reserve_exact(room);
        heap.id.reserve_exact(room);
        heap.graph.size.reserve_exact(room);
        heap.graph.first.reserve_exact(room + 1);
        let mut record = [0; FIELDS_MAX];
        let mut edges = 0u64;
        while self.input.record(&mut record[..node.fields])? {
            let at = heap.kind.len();
            if at >= NodeId::MAX - 1 {
                return Err(self.input.damaged(format!("more than {at} objects")));
            }
            if at.is_multiple_of(1 << 16) {
                progress(self.input.position());
            }
            heap.kind.push(node.kinds.get(record[node.kind] as usize).copied().unwrap_or(ObjectKind::Other));
            heap.name.push(u32::try_from(record[node.name]).unwrap_or(u32::MAX));
            heap.id.push(u32::try_from(record[node.id]).unwrap_or(u32::MAX));
            heap.graph.size.push(record[node.size]);
            heap.graph.first.push(edges as u32);
            edges = edges.saturating_add(record[node.edges]);
            if edges >= u64::from(u32::MAX) {
                return Err(self.input.damaged("more references than can be counted"));
            }
            match node.detachedness.map(|field| record[field]) {
                Some(1) => self.attached.push(NodeId(at as u32)),
                Some(2) => self.detached.push(NodeId(at as u32)),
                _ => {}
            }
        }
        heap.graph.first.push(edges as u32);
        self.has_nodes = true;
        Ok(())
    }

    fn edges(&mut self, layout: &Layout, progress: &mut dyn FnMut(u64)) -> Result<(), SnapshotError> {
        let edge = &layout.edge;
        let graph = &mut self.heap.graph;
        let announced = u64::from(graph.first.last().copied().unwrap_or(0));
        let possible = self.length.saturating_sub(self.input.position()) / (2 * edge.fields as u64).max(1);
        let room = announced.min(possible.saturating_add(1)) as usize;
        graph.edges.reserve_exact(room);
        graph.labels.reserve_exact(room);
        let (nodes, fields) = (graph.size.len() as u64, layout.node.fields as u64);
        let mut record = [0; FIELDS_MAX];
        while self.input.record(&mut record[..edge.fields])? {
            let at = graph.edges.len();
            if at.is_multiple_of(1 << 16) {
                progress(self.input.position());
            }
            let target = record[edge.target] / fields;
            if target >= nodes || !record[edge.target].is_multiple_of(fields) {
                return Err(self.input.damaged(format!("reference {at} points to no object")));
            }
            if at as u64 >= announced {
                return Err(self.input.damaged("more references than its objects have"));
            }
            let kind = edge.kinds.get(record[edge.kind] as usize);
            let kind = kind.copied().unwrap_or(heapwise_model::EdgeKind::Internal);
            graph.edges.push(Edge::new(NodeId(target as u32), kind));
            graph.labels.push(u32::try_from(record[edge.label]).unwrap_or(u32::MAX));
        }
        if (graph.edges.len() as u64) < announced {
            let what = format!("{} references, where its objects have {announced}", graph.edges.len());
            return Err(self.input.damaged(what));
        }
        self.has_edges = true;
        Ok(())
    }

    fn locations(&mut self, layout: &Layout, _: &mut dyn FnMut(u64)) -> Result<(), SnapshotError> {
        let Some(LocationLayout { fields, object, script, line, column }) = layout.location else {
            while self.input.number()?.is_some() {}
            return Ok(());
        };
        let mut record = [0; FIELDS_MAX];
        let per_node = layout.node.fields as u64;
        while self.input.record(&mut record[..fields])? {
            let number = |field: usize| u32::try_from(record[field]).unwrap_or(u32::MAX);
            let node = record[object] / per_node;
            if node < self.heap.graph.size.len() as u64 && self.heap.places.len() < self.heap.graph.size.len()
            {
                self.heap.places.push(ObjectPlace {
                    node: NodeId(node as u32),
                    script: number(script),
                    line: number(line).saturating_add(1),
                    column: number(column).saturating_add(1),
                });
            }
        }
        Ok(())
    }

    fn strings(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), SnapshotError> {
        self.input.expect(b'[')?;
        let mut text = Vec::new();
        while !self.input.accept(b']')? {
            self.input.accept(b',')?;
            self.input.string(TEXT_MAX, &mut text)?;
            if self.heap.texts.len().is_multiple_of(1 << 14) {
                progress(self.input.position());
            }
            if self.heap.texts.len() >= u32::MAX as usize {
                return Err(self.input.damaged("more strings than can be counted"));
            }
            self.heap.texts.push(&String::from_utf8_lossy(&text));
        }
        Ok(())
    }

    fn finish(self) -> Result<ObjectHeap, SnapshotError> {
        let Reader { input, layout, mut heap, has_edges, attached, detached, .. } = self;
        if layout.is_none() || !has_edges || heap.graph.is_empty() {
            let what = "it holds no objects".to_owned();
            return Err(SnapshotError::NotASnapshot { what });
        }
        drop(input);
        heap.places.sort_by_key(|it| it.node);
        heap.places.dedup_by_key(|it| it.node);
        detached::spread(&mut heap, attached, detached);
        retention::judge(&mut heap);
        heap.scripts = scripts::scripts(&heap);
        debug_assert!(is_consistent(&heap.graph));
        Ok(heap)
    }
}

fn is_consistent(graph: &HeapGraph) -> bool {
    graph.first.len() == graph.len() + 1 && graph.edges.len() == graph.labels.len()
}
