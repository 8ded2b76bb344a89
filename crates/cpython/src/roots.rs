//! Where chains begin: modules, frames, the interpreter's own, and what only C code can hold.
//!
//! An object whose reference count is greater than the references found is held by something that is not in the graph.
//! Where no root that is known reaches it, it is taken for held by C code. What is not reached then either, nothing but
//! itself holds: cyclic garbage that waits for the collector. References that are only guessed count for nothing here, so
//! that none makes garbage of what is held.

use crate::interpreter::{FrameAt, State};
use crate::objects::Reader;
use crate::types::Shape;
use heapwise_model::{Bits, Edge, EdgeKind, HeapGraph, NodeId, ObjectHeap, Root, RootKind};

/// The roots that the interpreters name.
pub fn known(
    reader: &mut Reader<'_>,
    state: &State,
    mut node: impl FnMut(u64) -> Option<NodeId>,
) -> Vec<Root> {
    let mut roots = Vec::new();
    let mut root = |kind, target: Option<NodeId>| {
        if let Some(target) = target {
            roots.push(Root { kind, place: 0, target, interior: false });
        }
    };
    for &modules in &state.modules {
        let mut found = Vec::new();
        crate::dicts::entries(&mut reader.memory, &reader.layout, modules, |_, _, value| {
            found.push(value);
            true
        });
        for module in found {
            let of = reader.type_of(module);
            if of.is_some_and(|it| reader.types.all[it as usize].shape == Shape::Module) {
                root(RootKind::Global, node(module));
            }
        }
    }
    for thread in &state.threads {
        thread.held.iter().for_each(|&it| root(RootKind::ThreadLocal, node(it)));
        for frame in &thread.frames {
            let (FrameAt::Object(addr) | FrameAt::Record(addr)) = *frame;
            root(RootKind::Stack, node(addr));
        }
    }
    root(RootKind::Mapping, Some(crate::graph::INTERPRETER));
    roots
}

/// Adds what C code holds, and sets the roots.
pub fn find(heap: &mut ObjectHeap, known: Vec<Root>, spare: &[i32], c_code: NodeId) {
    let graph = &mut heap.graph;
    let mut reached = Bits::new(graph.len());
    let mut open: Vec<NodeId> = known.iter().map(|it| it.target).collect();
    open.iter().for_each(|it| {
        reached.insert(it.index());
    });
    reached.insert(c_code.index());
    reach(graph, &mut reached, &mut open);
    let mut held = Vec::new();
    for node in (0..graph.len() as u32).map(NodeId) {
        if !reached.has(node.index()) && spare[node.index()] > 0 {
            held.push(node);
            reached.insert(node.index());
            open.push(node);
            reach(graph, &mut reached, &mut open);
        }
    }
    insert_row(graph, c_code, &held);
    graph.roots = known;
    graph.roots.push(Root { kind: RootKind::Mapping, place: 0, target: c_code, interior: false });
}

fn reach(graph: &HeapGraph, reached: &mut Bits, open: &mut Vec<NodeId>) {
    while let Some(node) = open.pop() {
        open.extend(graph.kept(node).filter(|it| reached.insert(it.index())));
    }
}

/// Gives `node`, which has no references yet, those to `targets`. It is among the first nodes.
fn insert_row(graph: &mut HeapGraph, node: NodeId, targets: &[NodeId]) {
    let room = (u32::MAX as usize).saturating_sub(graph.edges.len());
    let targets = &targets[..targets.len().min(room)];
    let at = graph.first[node.index() + 1] as usize;
    graph.edges.splice(at..at, targets.iter().map(|&it| Edge::new(it, EdgeKind::Hidden)));
    graph.labels.splice(at..at, (0..).take(targets.len()));
    graph.first[node.index() + 1..].iter_mut().for_each(|it| *it += targets.len() as u32);
    let mut idle = Bits::new(graph.edges.len());
    for edge in 0..graph.edges.len() - targets.len() {
        if graph.idle.has(edge) {
            idle.insert(if edge < at { edge } else { edge + targets.len() });
        }
    }
    graph.idle = idle;
}
