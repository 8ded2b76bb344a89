//! The heap of a language's runtime: the graph, and what its objects are called.
//!
//! All columns are parallel to the graph's nodes, and all text is a number in [`Texts`].

use crate::{Bits, EdgeKind, HeapGraph, Language, NodeId, StackId};

/// What an object is to its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// The runtime's own.
    Hidden,
    /// The runtime's own array: elements of an object, buckets of a table.
    Array,
    String,
    Object,
    /// Compiled code, and what describes it.
    Code,
    Closure,
    RegExp,
    Number,
    /// Of the embedder, outside the runtime's heap: a DOM node, a buffer's bytes.
    Native,
    /// A group of roots, made up by the runtime.
    Synthetic,
    /// A string that is two others, one after the other.
    ConcatenatedString,
    /// A string that is part of another.
    SlicedString,
    Symbol,
    BigInt,
    /// What objects of one layout share.
    Shape,
    /// A kind that is not known here.
    Other,
    /// Bytes that do not change.
    Bytes,
    /// A module.
    Module,
    /// A class itself.
    Class,
    /// A call of a function that has not returned: its variables.
    Frame,
    /// The table of another object's attributes.
    Attributes,
}

impl ObjectKind {
    /// All kinds, each at its own number.
    pub const ALL: [ObjectKind; 21] = [
        ObjectKind::Hidden,
        ObjectKind::Array,
        ObjectKind::String,
        ObjectKind::Object,
        ObjectKind::Code,
        ObjectKind::Closure,
        ObjectKind::RegExp,
        ObjectKind::Number,
        ObjectKind::Native,
        ObjectKind::Synthetic,
        ObjectKind::ConcatenatedString,
        ObjectKind::SlicedString,
        ObjectKind::Symbol,
        ObjectKind::BigInt,
        ObjectKind::Shape,
        ObjectKind::Other,
        ObjectKind::Bytes,
        ObjectKind::Module,
        ObjectKind::Class,
        ObjectKind::Frame,
        ObjectKind::Attributes,
    ];

    /// Strings of every make.
    pub fn is_string(self) -> bool {
        matches!(self, ObjectKind::String | ObjectKind::ConcatenatedString | ObjectKind::SlicedString)
    }
}

/// Many short texts behind each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    bytes: String,
    /// Where each ends.
    ends: Vec<u64>,
}

impl Texts {
    /// Text `at`; empty where there is none.
    pub fn get(&self, at: u32) -> &str {
        let at = at as usize;
        let Some(&end) = self.ends.get(at) else { return "" };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..end as usize]
    }

    /// Adds a text; its number.
    pub fn push(&mut self, text: &str) -> u32 {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len() as u64);
        self.ends.len() as u32 - 1
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Gives back the room for more.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8
    }
}

/// Where an object was made, or a function written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectPlace {
    pub node: NodeId,
    pub script: u32,
    /// 1-based.
    pub line: u32,
    /// 1-based, as the runtime counts columns; 0 where it does not.
    pub column: u32,
}

/// See the module's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectHeap {
    /// Whose runtime it is.
    pub language: Language,
    /// Sizes and edges. [`HeapGraph::roots`] name the node from which all others are reached, and those that nothing
    /// keeps.
    pub graph: HeapGraph,
    pub kind: Vec<ObjectKind>,
    /// Of objects their class, of classes, modules, functions and strings their own text. CPython: of two strings the
    /// number is the same when all of their text is, and the text may be cut short.
    pub name: Vec<u32>,
    /// Stays the same between two dumps of one process. Empty where the address does, see [`ObjectHeap::id`].
    pub ids: Vec<u32>,
    /// Where an object got its memory; of a container, where it last got more. Empty where that is not known.
    pub stacks: Vec<StackId>,
    /// Parts of a document tree that is no longer shown.
    pub detached: Bits,
    pub texts: Texts,
    /// By node.
    pub places: Vec<ObjectPlace>,
    /// Paths or addresses of scripts that are known, by their numbers, ascending.
    pub scripts: Vec<(u32, String)>,
    /// Plain sentences about what is missing or doubtful.
    pub notes: Vec<String>,
}

impl ObjectHeap {
    /// The name of a node.
    pub fn name(&self, node: NodeId) -> &str {
        self.texts.get(self.name[node.index()])
    }

    /// What an object is known by in another dump of the same process.
    pub fn id(&self, node: NodeId) -> u64 {
        match self.ids.get(node.index()) {
            Some(&id) => u64::from(id),
            None => self.graph.addr.get(node.index()).copied().unwrap_or(0),
        }
    }

    /// Where an object got its memory, if that is known.
    pub fn stack(&self, node: NodeId) -> Option<StackId> {
        self.stacks.get(node.index()).copied().filter(|it| *it != StackId::UNKNOWN)
    }

    /// Kind, label and target of a node's references.
    pub fn references(&self, node: NodeId) -> impl Iterator<Item = (EdgeKind, u32, NodeId)> + '_ {
        let first = self.graph.first[node.index()] as usize;
        let row = self.graph.row(node).iter().enumerate();
        row.map(move |(at, edge)| (edge.kind(), self.graph.labels[first + at], edge.target()))
    }

    /// The target of the first of the runtime's own fields that has one of `names`.
    pub fn internal(&self, node: NodeId, names: &[&str]) -> Option<NodeId> {
        let mut references = self.references(node);
        let is_it = |(kind, label, _): &(EdgeKind, u32, NodeId)| {
            *kind == EdgeKind::Internal && names.contains(&self.texts.get(*label))
        };
        references.find(is_it).map(|it| it.2)
    }

    /// Where a node's function is written, or its object's class: the script, if it is known, line and column.
    pub fn place(&self, node: NodeId) -> Option<(&str, ObjectPlace)> {
        let place = self.places[self.places.binary_search_by_key(&node, |it| it.node).ok()?];
        let script = self.scripts.binary_search_by_key(&place.script, |it| it.0).ok()?;
        Some((&self.scripts[script].1, place))
    }
}
