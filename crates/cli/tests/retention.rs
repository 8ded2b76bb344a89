//! Twins: who keeps what in a heap of V8, by the rules' words alone, on small generated heaps that are read as files.
//!
//! What an object retains is what is not reached any more once it is taken out; nothing here is faster than that.

use heapwise_heap::objects::dominators_of;
use heapwise_snapshot::{NO_DISTANCE, SYSTEM_DISTANCE, distances, read};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const NODE_TYPES: [&str; 8] =
    ["hidden", "array", "string", "object", "closure", "native", "synthetic", "object shape"];
const EDGE_TYPES: [&str; 7] = ["context", "element", "property", "internal", "hidden", "shortcut", "weak"];
const NAMES: [&str; 8] = [
    "Object",
    "(Document DOM trees)",
    "(GC roots)",
    "system / ExternalStringData",
    "system / NativeContext",
    "sloppy_function_map",
    "(map descriptors)",
    "7",
];

#[derive(Clone, Debug)]
struct Node {
    kind: &'static str,
    name: &'static str,
    size: u64,
}

#[derive(Clone, Debug)]
struct Edge {
    from: usize,
    to: usize,
    kind: &'static str,
    /// Of elements and hidden ones the index, else the text.
    label: String,
    /// Of a value in a weak map: which pair it belongs to, and the table's node.
    pair: Option<(usize, usize)>,
}

#[derive(Clone, Debug)]
struct Heap {
    nodes: Vec<Node>,
    /// By source.
    edges: Vec<Edge>,
}

fn id(node: usize) -> usize {
    2 * node + 1
}

fn any_heap() -> impl Strategy<Value = Heap> {
    let node = (0..NODE_TYPES.len(), proptest::sample::select(NAMES.to_vec()), 0..100u64)
        .prop_map(|(kind, name, size)| Node { kind: NODE_TYPES[kind], name, size });
    proptest::collection::vec(node, 1..14).prop_flat_map(|mut nodes| {
        (nodes[0].kind, nodes[0].name) = ("synthetic", "");
        let count = nodes.len();
        // One in three leads from the root, so that not most of them are out of reach.
        let from = prop_oneof![1 => Just(0), 2 => 0..count];
        let label = (0..9usize, proptest::sample::select(NAMES.to_vec()));
        let edge = (from, 0..count, 0..EDGE_TYPES.len(), label).prop_map(|(from, to, kind, (index, name))| {
            let kind = EDGE_TYPES[kind];
            let is_index = matches!(kind, "element" | "hidden");
            Edge { from, to, kind, label: if is_index { index.to_string() } else { name.to_owned() }, pair: None }
        });
        let pair = (0..count, 0..count, 0..count);
        let (edges, pairs) = (proptest::collection::vec(edge, 0..40), proptest::collection::vec(pair, 0..4));
        (Just(nodes), edges, pairs).prop_map(|(nodes, mut edges, pairs)| {
            for (number, (table, key, value)) in pairs.into_iter().enumerate() {
                // A table has a pair once, and both of its edges come from different objects.
                let is_new = |it: &Edge| it.pair.is_none_or(|(_, other)| other != table);
                if table == key || !edges.iter().all(is_new) {
                    continue;
                }
                let ids = (id(key), id(value), id(table));
                let label = |index| {
                    format!(
                        "{index} / part of key (Object @{}) -> value (Object @{}) pair in WeakMap (table @{})",
                        ids.0, ids.1, ids.2
                    )
                };
                for (from, index) in [(key, 2 * number), (table, 2 * number + 1)] {
                    let pair = Some((number, table));
                    edges.push(Edge { from, to: value, kind: "internal", label: label(index), pair });
                }
            }
            edges.sort_by_key(|it| it.from);
            Heap { nodes, edges }
        })
    })
}

impl Heap {
    fn json(&self) -> String {
        let mut strings: Vec<&str> = Vec::new();
        let (mut nodes, mut edges) = (String::new(), String::new());
        for (at, node) in self.nodes.iter().enumerate() {
            let kind = NODE_TYPES.iter().position(|it| *it == node.kind).unwrap();
            let name = number(&mut strings, node.name);
            let count = self.edges.iter().filter(|it| it.from == at).count();
            write!(nodes, ",{kind},{name},{},{},{count}", id(at), node.size).unwrap();
        }
        for edge in &self.edges {
            let kind = EDGE_TYPES.iter().position(|it| *it == edge.kind).unwrap();
            let label = match edge.kind {
                "element" | "hidden" => edge.label.parse().unwrap(),
                _ => number(&mut strings, &edge.label),
            };
            write!(edges, ",{kind},{label},{}", edge.to * 5).unwrap();
        }
        let quoted = |all: &[&str]| all.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(",");
        format!(
            "{{\"snapshot\":{{\"meta\":{{\"node_fields\":[\"type\",\"name\",\"id\",\"self_size\",\"edge_count\"],\
             \"node_types\":[[{}],\"string\"],\"edge_fields\":[\"type\",\"name_or_index\",\"to_node\"],\
             \"edge_types\":[[{}],\"string_or_number\",\"node\"]}},\"node_count\":{},\"edge_count\":{}}},\
             \"nodes\":[{}],\"edges\":[{}],\"strings\":[{}]}}",
            quoted(&NODE_TYPES),
            quoted(&EDGE_TYPES),
            self.nodes.len(),
            self.edges.len(),
            nodes.trim_start_matches(','),
            edges.trim_start_matches(','),
            quoted(&strings)
        )
    }

    fn is_documents(&self, node: usize) -> bool {
        self.nodes[node].kind == "synthetic" && self.nodes[node].name == "(Document DOM trees)"
    }

    /// What belongs to a page: the least set that the root's shortcuts and document trees begin.
    fn pages(&self) -> BTreeSet<usize> {
        let is_entry = |it: &&Edge| {
            it.from == 0 && (it.kind == "shortcut" || it.kind == "element" && self.is_documents(it.to))
        };
        let mut pages: BTreeSet<usize> = self.edges.iter().filter(is_entry).map(|it| it.to).collect();
        loop {
            let is_within = |it: &&Edge| it.kind != "weak" && pages.contains(&it.from);
            let more: BTreeSet<usize> = self.edges.iter().filter(is_within).map(|it| it.to).collect();
            if more.is_subset(&pages) {
                return pages;
            }
            pages.extend(more);
        }
    }

    fn keeps(&self, edge: &Edge, pages: &BTreeSet<usize>) -> bool {
        let is_weak = edge.kind == "weak" || edge.kind == "shortcut" && edge.from != 0;
        let is_table = edge.pair.is_some_and(|(_, table)| table == edge.from);
        let is_from_outside = edge.from != 0 && pages.contains(&edge.to) && !pages.contains(&edge.from);
        !(is_weak || is_table || is_from_outside || edge.to == edge.from)
    }

    /// Sizes with those that owners got, and without what was given.
    fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.nodes.iter().map(|it| it.size).collect();
        let is_user =
            |it: &Edge| it.from == 0 && (self.nodes[it.to].kind != "synthetic" || self.is_documents(it.to));
        if !self.edges.iter().any(is_user) {
            return sizes;
        }
        let is_owned = |node: usize| match self.nodes[node].kind {
            "hidden" | "array" => true,
            "native" => self.nodes[node].name == "system / ExternalStringData",
            _ => false,
        };
        for node in (0..self.nodes.len()).filter(|it| is_owned(*it)) {
            // Whoever leads there by objects that are owned themselves.
            let owners: Vec<usize> = (0..self.nodes.len())
                .filter(|start| !is_owned(*start))
                .filter(|start| {
                    let follows = |it: &&Edge| it.kind != "weak" && is_owned(it.to);
                    self.reach(&[*start], |it| follows(&it), &[]).contains(&node)
                })
                .collect();
            if let [owner] = owners[..]
                && owner != 0
                && self.nodes[owner].kind != "synthetic"
            {
                sizes[owner] += std::mem::take(&mut sizes[node]);
            }
        }
        sizes
    }

    /// What is reached from `starts` along some edges, not through `without`.
    fn reach(&self, starts: &[usize], follows: impl Fn(&Edge) -> bool, without: &[usize]) -> BTreeSet<usize> {
        let mut open: Vec<usize> = starts.to_vec();
        let mut seen = BTreeSet::new();
        while let Some(node) = open.pop() {
            if !without.contains(&node) && seen.insert(node) {
                open.extend(self.edges.iter().filter(|it| it.from == node && follows(it)).map(|it| it.to));
            }
        }
        seen
    }

    fn retained(&self) -> Vec<u64> {
        let (sizes, pages) = (self.sizes(), self.pages());
        let keeps = |it: &Edge| self.keeps(it, &pages);
        // Below the root: what it leads to; what only weak references and shortcuts lead to; then one by one the first of
        // what is still out of reach.
        let is_claimed = |node: usize| {
            self.edges.iter().any(|it| it.to == node && !matches!(it.kind, "weak" | "shortcut"))
        };
        let mut starts = vec![0];
        starts.extend((0..self.nodes.len()).filter(|it| !is_claimed(*it)));
        while let Some(more) = {
            let seen = self.reach(&starts, keeps, &[]);
            (0..self.nodes.len()).find(|it| !seen.contains(it))
        } {
            starts.push(more);
        }
        let sum = |nodes: &BTreeSet<usize>| nodes.iter().map(|it| sizes[*it]).sum::<u64>();
        let all = sum(&self.reach(&starts, keeps, &[]));
        // The root holds all, whatever hangs below it without a reference.
        let of = |node| match node {
            0 => all,
            _ => all - sum(&self.reach(&starts, keeps, &[node])),
        };
        (0..self.nodes.len()).map(of).collect()
    }

    /// Steps from global objects, then from the root for what they do not reach. Layers are made one at a time.
    fn distances(&self) -> Vec<u32> {
        let mut distance = vec![NO_DISTANCE; self.nodes.len()];
        let mut met = BTreeSet::new();
        let is_user = |it: &&Edge| self.nodes[it.to].kind != "synthetic" || self.is_documents(it.to);
        let mut first: Vec<usize> = Vec::new();
        for edge in self.edges.iter().filter(|it| it.from == 0).filter(is_user) {
            first.push(edge.to);
            distance[edge.to] = 1;
        }
        let has_users = !first.is_empty();
        self.layers(first, &mut distance, &mut met);
        distance[0] = if has_users { SYSTEM_DISTANCE } else { 0 };
        self.layers(vec![0], &mut distance, &mut met);
        distance
    }

    fn layers(&self, first: Vec<usize>, distance: &mut [u32], met: &mut BTreeSet<usize>) {
        let mut layer = first;
        while !layer.is_empty() {
            let mut next = Vec::new();
            for node in layer {
                for edge in self.edges.iter().filter(|it| it.from == node && it.kind != "weak") {
                    if distance[edge.to] == NO_DISTANCE && self.is_step(edge, met) {
                        distance[edge.to] = distance[node] + 1;
                        next.push(edge.to);
                    }
                }
            }
            layer = next;
        }
    }

    fn is_step(&self, edge: &Edge, met: &mut BTreeSet<usize>) -> bool {
        let from = &self.nodes[edge.from];
        if from.kind == "hidden"
            && from.name == "system / NativeContext"
            && edge.label == "sloppy_function_map"
        {
            return false;
        }
        if from.kind == "array" && from.name == "(map descriptors)" {
            // Key, details, value; the details of each are shared.
            return edge.label.parse().map_or(true, |index: u32| index < 2 || index % 3 != 1);
        }
        match edge.pair {
            Some((pair, _)) if !met.remove(&pair) => {
                met.insert(pair);
                false
            }
            _ => true,
        }
    }
}

fn number<'a>(strings: &mut Vec<&'a str>, text: &'a str) -> usize {
    let known = strings.iter().position(|it| *it == text);
    known.unwrap_or_else(|| {
        strings.push(text);
        strings.len() - 1
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn sizes_retained_sizes_and_distances_agree(heap in any_heap()) {
        let json = heap.json();
        let found = read(json.as_bytes(), &mut |_| {}).unwrap();
        prop_assert_eq!(&found.graph.size, &heap.sizes(), "{}", json);
        let all = found.graph.size.iter().sum();
        let mut retained = dominators_of(&found).retained_bytes;
        retained[0] = all;
        prop_assert_eq!(retained, heap.retained(), "{}", json);
        prop_assert_eq!(distances(&found), heap.distances(), "{}", json);
    }
}

/// The generator makes what the rules are about.
#[test]
fn generated_heaps_are_of_all_kinds() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..500 {
        let heap = any_heap().new_tree(&mut runner).unwrap().current();
        let pages = heap.pages();
        let sizes: Vec<u64> = heap.nodes.iter().map(|it| it.size).collect();
        let is_from_outside = |it: &Edge| it.from != 0 && pages.contains(&it.to) && !pages.contains(&it.from);
        let rooted = heap.reach(&[0], |it| heap.keeps(it, &pages), &[]);
        for (what, is) in [
            ("pages", heap.edges.iter().any(is_from_outside)),
            ("weak maps", heap.edges.iter().any(|it| it.pair.is_some())),
            ("owners", heap.sizes() != sizes),
            ("out of reach", rooted.len() < heap.nodes.len()),
        ] {
            *met.entry(what).or_default() += u32::from(is);
        }
    }
    assert!(met.values().all(|count| *count > 50), "{met:?}");
}
