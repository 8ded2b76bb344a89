//! Sections of a snapshot into columns.

use crate::json::Input;
use crate::layout::{EdgeLayout, FIELDS_MAX, Layout, LocationLayout};
use crate::{detached, retention, scripts};
use heapwise_model::{Edge, EdgeKind, HeapGraph, Language, NodeId, ObjectHeap, ObjectKind, ObjectPlace};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Where a snapshot can be read from several places at once.
pub trait Source: Sync {
    /// Bytes of all of it.
    fn length(&self) -> std::io::Result<u64>;
    /// Its bytes from `offset` on.
    fn from(&self, offset: u64) -> impl Read + Send;
}

impl Source for [u8] {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn from(&self, offset: u64) -> impl Read + Send {
        &self[self.len().min(offset as usize)..]
    }
}

impl Source for std::fs::File {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn from(&self, offset: u64) -> impl Read + Send {
        At { file: self, offset }
    }
}

/// A place in a file that moves on as it is read; the file's own does not move.
struct At<'a> {
    file: &'a std::fs::File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Reads a snapshot. `progress` is told how many bytes have been read, from time to time.
///
/// References are two thirds of a snapshot: a second thread reads them while this one reads the objects before them, which
/// are passed over first.
pub fn read(
    source: &(impl Source + ?Sized),
    progress: &mut dyn FnMut(u64),
) -> Result<ObjectHeap, SnapshotError> {
    let length = source.length().map_err(SnapshotError::Io)?;
    let mut heap = ObjectHeap::default();
    let mut found = Sections { layout: None, nodes: None, marks: None };
    let mut graph = |layout: &Layout, [nodes_at, edges_at]: [u64; 2], heap: &mut ObjectHeap| {
        let (marks, edges) = graph(source, length, layout, [nodes_at, edges_at], heap, progress)?;
        let end = edges.end;
        join(heap, edges)?;
        Ok((marks, Input::new(source.from(end), end)))
    };
    sections(&mut Input::new(source.from(0), 0), &mut heap, &mut graph, &mut found)?;
    finish(&mut heap, found.marks.ok_or_else(empty)?);
    Ok(heap)
}

/// Objects and references, at the same time.
fn graph(
    source: &(impl Source + ?Sized),
    length: u64,
    layout: &Layout,
    [nodes_at, edges_at]: [u64; 2],
    heap: &mut ObjectHeap,
    progress: &mut dyn FnMut(u64),
) -> Result<(Marks, Edges), SnapshotError> {
    let done = AtomicU64::new(0);
    let room = |count, fields, at| room(count, fields, length.saturating_sub(at));
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let input = Input::new(source.from(edges_at), edges_at);
            let room = room(layout.edge_count, layout.edge.fields, edges_at);
            edges(input, &layout.edge, layout.node.fields as u64, room, &done)
        });
        let input = Input::new(source.from(nodes_at), nodes_at);
        let room = room(layout.node_count, layout.node.fields, nodes_at);
        let marks = nodes(input, layout, room, heap, &mut |at| progress(at + done.load(Ordering::Relaxed)));
        // The thread is waited for whatever became of the objects.
        while !thread.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(2));
            progress(edges_at + done.load(Ordering::Relaxed));
        }
        let edges = thread.join().expect("reading does not panic");
        Ok((marks?, edges?))
    })
}

fn empty() -> SnapshotError {
    SnapshotError::NotASnapshot { what: "it holds no objects".to_owned() }
}

/// What a file's members are, and where.
struct Sections {
    layout: Option<Layout>,
    /// Where the objects' array begins, behind its `[`.
    nodes: Option<u64>,
    /// What is known once objects and references have been read.
    marks: Option<Marks>,
}

/// Reads objects and references, which begin at two places, and goes on behind them.
trait Graph<R>: FnMut(&Layout, [u64; 2], &mut ObjectHeap) -> Result<(Marks, Input<R>), SnapshotError> {}
impl<R, F: FnMut(&Layout, [u64; 2], &mut ObjectHeap) -> Result<(Marks, Input<R>), SnapshotError>> Graph<R>
    for F
{
}

/// Walks the file's members: objects are passed over until their references come, and `graph` reads both.
fn sections<R: Read>(
    input: &mut Input<R>,
    heap: &mut ObjectHeap,
    graph: &mut impl Graph<R>,
    found: &mut Sections,
) -> Result<(), SnapshotError> {
    if input.peek()? != Some(b'{') {
        let what = "it does not begin with `{\"snapshot\":`".to_owned();
        return Err(SnapshotError::NotASnapshot { what });
    }
    input.expect(b'{')?;
    loop {
        match member(input, heap, graph, found) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // Without names the graph still tells sizes.
            Err(SnapshotError::Cut { at }) if found.marks.is_some() => {
                let note =
                    format!("the snapshot ends at byte {at}, behind its objects: some names are missing");
                heap.notes.push(note);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// The next member; `false` at the end.
fn member<R: Read>(
    input: &mut Input<R>,
    heap: &mut ObjectHeap,
    graph: &mut impl Graph<R>,
    found: &mut Sections,
) -> Result<bool, SnapshotError> {
    if input.accept(b'}')? {
        return Ok(false);
    }
    input.accept(b',')?;
    let mut key = Vec::new();
    input.string(64, &mut key)?;
    input.expect(b':')?;
    match (&key[..], &found.layout) {
        (b"snapshot", None) => found.layout = Some(Layout::new(&input.raw_object(HEADER_MAX)?)?),
        (b"nodes", Some(_)) if found.nodes.is_none() => {
            input.expect(b'[')?;
            let at = input.position();
            input.skip_numbers()?;
            found.nodes = Some(at);
        }
        (b"edges", Some(layout)) if found.marks.is_none() => {
            let Some(nodes) = found.nodes else {
                let what = "its references come before their objects".to_owned();
                return Err(SnapshotError::NotASnapshot { what });
            };
            input.expect(b'[')?;
            let (marks, rest) = graph(layout, [nodes, input.position()], heap)?;
            (found.marks, *input) = (Some(marks), rest);
        }
        (b"locations", Some(layout)) => {
            input.expect(b'[')?;
            locations(input, layout, heap)?;
        }
        (b"strings", _) if heap.texts.is_empty() => strings(input, heap)?,
        (b"nodes" | b"edges" | b"locations", None) => {
            let what = "its objects come before their description".to_owned();
            return Err(SnapshotError::NotASnapshot { what });
        }
        _ => input.skip()?,
    }
    Ok(true)
}

/// Room for `announced` records, as far as so many bytes can hold them.
fn room(announced: u64, fields: usize, bytes: u64) -> usize {
    announced.min((bytes / (2 * fields as u64).max(1)).saturating_add(1)) as usize
}

/// Nodes that know whether their document tree is shown.
#[derive(Default)]
struct Marks {
    attached: Vec<NodeId>,
    detached: Vec<NodeId>,
}

fn nodes(
    mut input: Input<impl Read>,
    layout: &Layout,
    room: usize,
    heap: &mut ObjectHeap,
    progress: &mut dyn FnMut(u64),
) -> Result<Marks, SnapshotError> {
    let node = &layout.node;
    heap.kind.reserve_exact(room);
    heap.name.reserve_exact(room);
    heap.ids.reserve_exact(room);
    heap.graph.size.reserve_exact(room);
    heap.graph.first.reserve_exact(room + 1);
    let mut marks = Marks::default();
    let mut record = [0; FIELDS_MAX];
    let mut edges = 0u64;
    while input.record(&mut record[..node.fields])? {
        let at = heap.kind.len();
        if at >= NodeId::MAX - 1 {
            return Err(input.damaged(format!("more than {at} objects")));
        }
        if at.is_multiple_of(1 << 16) {
            progress(input.position());
        }
        heap.kind.push(node.kinds.get(record[node.kind] as usize).copied().unwrap_or(ObjectKind::Other));
        heap.name.push(u32::try_from(record[node.name]).unwrap_or(u32::MAX));
        heap.ids.push(u32::try_from(record[node.id]).unwrap_or(u32::MAX));
        heap.graph.size.push(record[node.size]);
        heap.graph.first.push(edges as u32);
        edges = edges.saturating_add(record[node.edges]);
        if edges >= u64::from(u32::MAX) {
            return Err(input.damaged("more references than can be counted"));
        }
        match node.detachedness.map(|field| record[field]) {
            Some(1) => marks.attached.push(NodeId(at as u32)),
            Some(2) => marks.detached.push(NodeId(at as u32)),
            _ => {}
        }
    }
    heap.graph.first.push(edges as u32);
    Ok(marks)
}

/// References, whose targets are yet to be compared with the number of objects.
struct Edges {
    edges: Vec<Edge>,
    labels: Vec<u32>,
    /// The greatest target, and where it stands.
    greatest: (u32, u64),
    /// Where the array ends.
    end: u64,
}

fn edges(
    mut input: Input<impl Read>,
    layout: &EdgeLayout,
    fields: u64,
    room: usize,
    done: &AtomicU64,
) -> Result<Edges, SnapshotError> {
    let mut found =
        Edges { edges: Vec::with_capacity(room), labels: Vec::with_capacity(room), greatest: (0, 0), end: 0 };
    let begin = input.position();
    let mut record = [0; FIELDS_MAX];
    while input.record(&mut record[..layout.fields])? {
        let at = found.edges.len();
        if at.is_multiple_of(1 << 16) {
            done.store(input.position() - begin, Ordering::Relaxed);
        }
        let target = record[layout.target] / fields;
        if target >= NodeId::MAX as u64 || target * fields != record[layout.target] {
            return Err(input.damaged(format!("reference {at} points to no object")));
        }
        if at >= u32::MAX as usize {
            return Err(input.damaged("more references than can be counted"));
        }
        let target = target as u32;
        if target > found.greatest.0 {
            found.greatest = (target, input.position());
        }
        let kind = layout.kinds.get(record[layout.kind] as usize).copied().unwrap_or(EdgeKind::Internal);
        found.edges.push(Edge::new(NodeId(target), kind));
        found.labels.push(u32::try_from(record[layout.label]).unwrap_or(u32::MAX));
    }
    found.end = input.position();
    Ok(found)
}

/// Puts the references to their objects.
fn join(heap: &mut ObjectHeap, found: Edges) -> Result<(), SnapshotError> {
    if heap.graph.is_empty() {
        return Err(empty());
    }
    if found.greatest.0 as usize >= heap.graph.len() {
        let what = "a reference points to no object".to_owned();
        return Err(SnapshotError::Damaged { at: found.greatest.1, what });
    }
    let announced = heap.graph.first.last().copied().unwrap_or(0);
    if found.edges.len() != announced as usize {
        let what = format!("{} references, where its objects have {announced}", found.edges.len());
        return Err(SnapshotError::Damaged { at: found.end, what });
    }
    heap.graph.edges = found.edges;
    heap.graph.labels = found.labels;
    Ok(())
}

fn locations(
    input: &mut Input<impl Read>,
    layout: &Layout,
    heap: &mut ObjectHeap,
) -> Result<(), SnapshotError> {
    let Some(LocationLayout { fields, object, script, line, column }) = layout.location else {
        return input.skip_numbers();
    };
    let mut record = [0; FIELDS_MAX];
    let per_node = layout.node.fields as u64;
    while input.record(&mut record[..fields])? {
        let number = |field: usize| u32::try_from(record[field]).unwrap_or(u32::MAX);
        let node = record[object] / per_node;
        if node < NodeId::MAX as u64 {
            heap.places.push(ObjectPlace {
                node: NodeId(node as u32),
                script: number(script),
                line: number(line).saturating_add(1),
                column: number(column).saturating_add(1),
            });
        }
    }
    Ok(())
}

fn strings(input: &mut Input<impl Read>, heap: &mut ObjectHeap) -> Result<(), SnapshotError> {
    input.expect(b'[')?;
    let mut text = Vec::new();
    while !input.accept(b']')? {
        input.accept(b',')?;
        input.string(TEXT_MAX, &mut text)?;
        if heap.texts.len() >= u32::MAX as usize {
            return Err(input.damaged("more strings than can be counted"));
        }
        heap.texts.push(&String::from_utf8_lossy(&text));
    }
    Ok(())
}

fn finish(heap: &mut ObjectHeap, marks: Marks) {
    heap.language = Language::JavaScript;
    let count = heap.graph.len();
    heap.places.retain(|it| it.node.index() < count);
    heap.places.sort_by_key(|it| it.node);
    heap.places.dedup_by_key(|it| it.node);
    detached::spread(heap, marks.attached, marks.detached);
    retention::judge(heap);
    heap.scripts = scripts::scripts(heap);
    debug_assert!(is_consistent(&heap.graph));
}

fn is_consistent(graph: &HeapGraph) -> bool {
    graph.first.len() == graph.len() + 1 && graph.edges.len() == graph.labels.len()
}
