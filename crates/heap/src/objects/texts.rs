//! Texts and buffers that get longer from dump to dump.
//!
//! A text of Python's never changes: what is appended to makes a new one, which the same attribute or variable then
//! holds. So it is the place that is followed, and a text there counts as the same one when it begins as before.

use super::Told;
use super::Walked;
use super::chain::{called, short_name};
use crate::text::grouped;
use heapwise_model::{
    EdgeKind, Finding, Kind, Language, NodeId, ObjectHeap, ObjectKind, Place, Rule, Severity,
};
use rustc_hash::FxHashMap;

/// Bytes from which on a text is followed, and that it has to grow by; and the part of what it was.
const BYTES_MIN: u64 = 4 << 10;
const PART: u64 = 10;
/// Characters at the beginning that are compared.
const BEGINNING: usize = 60;
const FINDINGS_MAX: usize = 5;
/// Classes of buffers that grow where they are.
const BUFFERS: &[&str] = &["bytearray", "array.array"];

/// Where a reference stands: who holds it, and how.
type Spot<'a> = (u64, EdgeKind, u32, &'a str);

/// What is held there.
#[derive(Clone, Copy)]
struct Held<'a> {
    holder: NodeId,
    target: NodeId,
    bytes: u64,
    beginning: &'a str,
}

/// Findings, those that grew most first.
pub fn texts(older: &[&ObjectHeap], last: &Walked<'_>) -> Vec<Told> {
    if last.heap.language != Language::Python {
        return Vec::new();
    }
    let known: Vec<FxHashMap<Spot<'_>, Held<'_>>> = older.iter().map(|it| places(it)).collect();
    let mut grown: Vec<(Held<'_>, Vec<u64>)> = Vec::new();
    for (place, now) in places(last.heap) {
        let before = known.iter().map(|it| it.get(&place).filter(|it| it.beginning == now.beginning));
        let Some(mut sizes) = before.map(|it| it.map(|it| it.bytes)).collect::<Option<Vec<u64>>>() else {
            continue;
        };
        sizes.push(now.bytes);
        let more = now.bytes.saturating_sub(sizes[0]);
        if sizes.windows(2).all(|it| it[0] < it[1]) && more >= BYTES_MIN && more >= sizes[0] / PART {
            grown.push((now, sizes));
        }
    }
    grown.sort_by_key(|it| (std::cmp::Reverse(it.0.bytes), it.0.target));
    grown.dedup_by_key(|it| it.0.target);
    grown.truncate(FINDINGS_MAX);
    grown.iter().map(|(held, sizes)| finding(last, held, sizes)).collect()
}

/// Large texts and buffers by who holds them how.
fn places(heap: &ObjectHeap) -> FxHashMap<Spot<'_>, Held<'_>> {
    let mut found = FxHashMap::default();
    for holder in (0..heap.graph.len() as u32).map(NodeId) {
        for (kind, label, target) in heap.references(holder) {
            let bytes = heap.graph.size[target.index()];
            if bytes < BYTES_MIN || !is_text(heap, target) || kind == EdgeKind::Internal {
                continue;
            }
            let (number, text) = match kind {
                EdgeKind::Element | EdgeKind::Hidden => (label, ""),
                _ => (0, heap.texts.get(label)),
            };
            let name = heap.name(target);
            let end = name.char_indices().nth(BEGINNING).map_or(name.len(), |it| it.0);
            let held = Held { holder, target, bytes, beginning: &name[..end] };
            found.insert((heap.id(holder), kind, number, text), held);
        }
    }
    found
}

/// Whether it is a text, or a buffer that grows where it is.
pub fn is_text(heap: &ObjectHeap, node: NodeId) -> bool {
    match heap.kind[node.index()] {
        ObjectKind::String | ObjectKind::Bytes => true,
        ObjectKind::Object => BUFFERS.contains(&heap.name(node)),
        _ => false,
    }
}

fn finding(last: &Walked<'_>, held: &Held<'_>, sizes: &[u64]) -> Told {
    let heap = last.heap;
    // What stands in C code's own field is told as the object that has the field.
    let edges = heap.references(held.holder);
    let is_own = edges.filter(|it| it.2 == held.target).all(|it| it.0 == EdgeKind::Hidden);
    let node = if is_own { held.holder } else { held.target };
    let severity = if sizes.len() > 2 { Severity::Error } else { Severity::Warning };
    let finding = last.finding(Rule::UnboundedGrowth, Kind::String, severity, node, None);
    let name = called(finding.retainers.as_ref());
    let class = match heap.kind[node.index()] {
        ObjectKind::String => "str",
        ObjectKind::Bytes => "bytes",
        _ => short_name(heap, node),
    };
    let what = name.as_ref().map_or(format!("a {class}"), |it| format!("`{it}`, a {class},"));
    let told: Vec<String> = sizes.iter().map(|it| grouped(*it)).collect();
    let steps = match told.as_slice() {
        [before, now] => format!("from {before} to {now} bytes"),
        _ => format!("in each snapshot: {} bytes", told.join(", ")),
    };
    let finding = Finding {
        // A text that got larger was made where that was done.
        place: heap.stack(held.target).map_or(finding.place, Place::Stack),
        message: format!("{what} grew {steps}"),
        help: Some("write it out, or keep the end of it only".to_owned()),
        bytes: Some(held.bytes - sizes[0]),
        blocks: Some(1),
        ..finding
    };
    Told { finding, name, node: Some(node) }
}
