//! What the heap of a language's runtime says of the program: which classes fill it, what holds most of it, which
//! containers grow, what should be gone.
//!
//! ```text
//!   ObjectHeap -> Walked (dominators, shortest chains) -> totals by class
//!                                                      -> suspects, detached nodes, duplicates, cycles   (one dump)
//!                                                      -> growth of containers                   (two or three)
//! ```
//!
//! Objects of the runtime's own (elements of an array, the table of a map, the scope of a function) are taken for part
//! of what they belong to: nobody wrote them.

mod anchors;
mod chain;
mod classes;
mod containers;
mod contents;
mod cycles;
mod detached;
mod duplicates;
mod fed;
mod growth;
mod sites;
mod survivors;
mod suspects;
mod texts;

use crate::dominators::{DominatorTree, Dominators, dominators, dominators_of_all};
use crate::paths::ShortestPaths;
use anchors::Anchor;
pub use fed::{Fed, fed};
use heapwise_model::{
    Confidence, Engine, Finding, Kind, Language, Location, NodeId, ObjectHeap, ObjectKind, ObjectTotals,
    Place, RootKind, Rule, Severity, Total,
};
pub use sites::without_held;

/// Classes told.
const CLASSES_MAX: usize = 50;

/// A finding, and what the object that it is about is called in the source.
pub struct Told {
    pub finding: Finding,
    /// A property's or a variable's name.
    pub name: Option<String>,
    /// The object.
    pub node: Option<NodeId>,
}

impl From<Finding> for Told {
    fn from(finding: Finding) -> Told {
        Told { finding, name: None, node: None }
    }
}

/// A heap and what walking its graph tells.
pub struct Walked<'a> {
    pub heap: &'a ObjectHeap,
    pub dominators: Dominators,
    tree: DominatorTree,
    paths: ShortestPaths,
}

impl<'a> Walked<'a> {
    /// Linear in objects and references, but for the dominators' near linear part.
    pub fn new(heap: &'a ObjectHeap) -> Walked<'a> {
        // The two walks know nothing of each other.
        let (dominators, paths) = std::thread::scope(|scope| {
            let paths = scope.spawn(|| ShortestPaths::from_groups(&heap.graph, &groups(heap)));
            (dominators_of(heap), paths.join().expect("walking does not panic"))
        });
        Walked { heap, tree: dominators.tree(), dominators, paths }
    }

    /// All objects and their bytes.
    pub fn total(&self) -> Total {
        let bytes = self.heap.graph.size.iter().fold(0u64, |sum, it| sum.saturating_add(*it));
        Total { bytes, blocks: self.heap.graph.len() as u64 }
    }

    fn retained(&self, node: NodeId) -> Total {
        Total {
            bytes: self.dominators.retained_bytes[node.index()],
            blocks: u64::from(self.dominators.retained_blocks[node.index()]),
        }
    }

    /// A finding about an object that `anchor` sees.
    fn finding(
        &self,
        rule: Rule,
        kind: Kind,
        severity: Severity,
        node: NodeId,
        anchor: Option<&Anchor>,
    ) -> Finding {
        let retainers = chain::chain(self, node);
        let known = retainers.as_ref().and_then(chain::place);
        let seen = anchor.map(|it| it.place.clone());
        // Who fills a container says more than who holds it, but not more than where it is written itself.
        let is_better = anchor.is_some_and(|it| it.is_filler) && chain::location(self.heap, node).is_none();
        let place = if is_better { seen.or(known) } else { known.or(seen) };
        // Nothing tells better who makes it, or who adds to it.
        let stack = self.heap.stack(node).map(Place::Stack);
        let retained = self.retained(node);
        Finding {
            rule,
            kind: Some(kind),
            severity,
            confidence: Confidence::Certain,
            engine: Engine::Snapshot,
            language: Some(self.heap.language),
            message: String::new(),
            place: stack.or(place.map(Place::Source)).unwrap_or(Place::Unknown),
            related: anchor.map(Anchor::related).into_iter().collect(),
            help: None,
            bytes: Some(retained.bytes),
            blocks: Some(retained.blocks),
            stacks: Vec::new(),
            held: None,
            retainers,
            fix: None,
        }
    }
}

/// Who holds what. V8 writes all objects that it has, also what nothing reaches any more, and its tools count that as held
/// by nobody; of CPython such objects are garbage, of which others tell.
pub fn dominators_of(heap: &ObjectHeap) -> Dominators {
    match heap.language {
        Language::JavaScript => dominators_of_all(&heap.graph),
        _ => dominators(&heap.graph),
    }
}

/// What one dump tells: figures by class, and findings.
pub fn analyze(walked: &Walked<'_>) -> (ObjectTotals, Vec<Told>) {
    let (classes, mut findings) = std::thread::scope(|scope| {
        let classes = scope.spawn(|| classes::classes(walked, CLASSES_MAX));
        let findings = suspects::suspects(walked);
        (classes.join().expect("counting does not panic"), findings)
    });
    let totals = ObjectTotals {
        total: walked.total(),
        references: walked.heap.graph.edges.len() as u64,
        classes,
        before: None,
    };
    findings.extend(detached::detached(walked).into_iter().map(Told::from));
    findings.extend(duplicates::duplicates(walked).into_iter().map(Told::from));
    findings.extend(cycles::cycles(walked).into_iter().map(Told::from));
    (totals, findings)
}

/// What changed between dumps of one process, oldest first: figures by class, and the containers that grew each time.
///
/// `older` are the dumps before the last one, at least one.
pub fn compare(older: &[&ObjectHeap], last: &Walked<'_>) -> (ObjectTotals, Vec<Told>) {
    let Some(&first) = older.first() else { return analyze(last) };
    let bytes = first.graph.size.iter().fold(0u64, |sum, it| sum.saturating_add(*it));
    let totals = ObjectTotals {
        total: last.total(),
        references: last.heap.graph.edges.len() as u64,
        classes: classes::changes(first, last, CLASSES_MAX),
        before: Some(Total { bytes, blocks: first.graph.len() as u64 }),
    };
    let (grown, mut findings) = growth::growth(older, last);
    // The spans before and after one in the middle.
    let spans = if older.len() > 2 { &[first, older[older.len() / 2]][..] } else { older };
    findings.extend(survivors::survivors(spans, last, &grown));
    findings.extend(texts::texts(older, last));
    findings.extend(detached::growing(older, last).into_iter().map(Told::from));
    findings.extend(cycles::cycles(last).into_iter().map(Told::from));
    (totals, findings)
}

/// What is there many times in one dump; [`analyze`] tells it, too.
pub fn repeated(walked: &Walked<'_>) -> Vec<Told> {
    duplicates::duplicates(walked).into_iter().map(Told::from).collect()
}

/// From where chains begin: what users know, then what the runtime holds for others, then what runs right now, and then
/// all of the runtime's own (whoever takes a dump holds many objects for a moment).
fn groups(heap: &ObjectHeap) -> [Vec<NodeId>; 4] {
    let graph = &heap.graph;
    let of = |kind: RootKind| graph.roots.iter().filter(move |it| it.kind == kind).map(|it| it.target);
    let root = of(RootKind::Mapping).next();
    let is_group = |it: &NodeId| heap.kind[it.index()] == ObjectKind::Synthetic && Some(*it) != root;
    let below = |node: NodeId| graph.kept(node).filter(is_group).collect::<Vec<_>>();
    let groups = root.map(below).unwrap_or_default();
    let parts: Vec<NodeId> = groups.iter().flat_map(|&it| below(it)).collect();
    let (stack, parts): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|it| heap.name(*it) == "(Stack roots)");
    let is_lasting = |it: &NodeId| !matches!(heap.name(*it), "(Handle scope)" | "(Strong roots)");
    let lasting = parts.into_iter().filter(is_lasting);
    [
        of(RootKind::Global).collect(),
        of(RootKind::ThreadLocal).chain(lasting).collect(),
        of(RootKind::Stack).chain(stack).collect(),
        of(RootKind::Mapping).collect(),
    ]
}

/// `place`, or where that is not known, `other`.
fn place_or(place: Place, other: Option<Location>) -> Place {
    match (place, other) {
        (Place::Unknown, Some(other)) => Place::Source(other),
        (place, _) => place,
    }
}
