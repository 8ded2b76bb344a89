//! All stacks with their costs as one trie, callers first, in pre-order.
//!
//! ```text
//!   u32 le   length of the JSON that follows: strings, places, lengths of the columns
//!   shape    per node: (levels up from the node before it) * 2 + (has costs); the root is left out
//!   callee   per node: 0 = a place not seen before (the next one); 1, place = seen, but not below
//!            this caller; k >= 2 = the (k - 2)th distinct callee of this caller's place
//!   costs    nine columns, one entry per node with costs
//! ```
//!
//! All numbers are LEB128. A callee's number is small because few places follow one place; costs
//! are coded against the stack's own number of allocations and its mean size, so that the usual
//! cases (all freed, none freed, one size) are 0 or 1 and nearly vanish in DEFLATE.
//!
//! Invariants: siblings are ordered by what the page shows first, greatest first. Places are
//! numbered in the order of their first use, from 1; 0 is the root. Values are at most 2^52 - 1,
//! so that a double holds each one exactly.

use crate::names::short;
use crate::{place, sanitize};
use heapwise_model::{Report, ResolvedFrame, StackCost, StackId};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::cmp::Reverse;

/// Deeper frames are charged to their caller at this depth.
const DEEPEST: u32 = 60_000;
const GREATEST: u64 = (1 << 52) - 1;
const COLUMNS: [&str; 11] = [
    "shape",
    "callee",
    "allocations",
    "allocated",
    "temporary",
    "peak_blocks",
    "peak",
    "live_blocks",
    "live",
    "lost_blocks",
    "lost",
];

/// What stands before the columns.
#[derive(Serialize)]
struct Head<'a> {
    nodes: usize,
    stacks: usize,
    columns: Vec<(&'a str, usize)>,
    strings: &'a [String],
    /// Per place: index into `strings` (0 is the empty one).
    function: Vec<u32>,
    path: Vec<u32>,
    line: Vec<u32>,
    module: Vec<u32>,
    library: Vec<u8>,
}

/// The trie of `report.costs`, as the page reads it.
pub fn encode(report: &Report) -> Vec<u8> {
    let mut places = Places::new();
    let trie = Trie::build(report, &mut places);
    let order = trie.preorder();
    let mut columns: [Vec<u8>; COLUMNS.len()] = Default::default();
    let shown = encode_nodes(&trie, &order, places.list.len(), &mut columns);
    for node in &order {
        if let Some(cost) = &trie.cost[*node as usize] {
            encode_cost(cost, &mut columns);
        }
    }

    let at = |id: &u32| &places.list[*id as usize];
    let head = Head {
        nodes: order.len(),
        stacks: trie.cost.iter().flatten().count(),
        columns: COLUMNS.into_iter().zip(columns.iter().map(Vec::len)).collect(),
        strings: &places.strings,
        function: shown.iter().map(|id| at(id).function).collect(),
        path: shown.iter().map(|id| at(id).path).collect(),
        line: shown.iter().map(|id| at(id).line).collect(),
        module: shown.iter().map(|id| at(id).module).collect(),
        library: shown.iter().map(|id| at(id).is_library.into()).collect(),
    };
    let head = serde_json::to_vec(&head).expect("strings and numbers are always JSON");
    let mut out = Vec::with_capacity(head.len() + columns.iter().map(Vec::len).sum::<usize>() + 4);
    out.extend((head.len() as u32).to_le_bytes());
    out.extend(head);
    columns.iter().for_each(|column| out.extend(column));
    out
}

/// Fills `shape` and `callee`; returns the places in the order of their first use.
fn encode_nodes(trie: &Trie, order: &[u32], places: usize, columns: &mut [Vec<u8>]) -> Vec<u32> {
    let mut shown = vec![0];
    let mut number = vec![0u32; places];
    let mut callees: FxHashMap<u64, u32> = FxHashMap::default();
    let mut distinct = vec![0u32; places];
    let mut before = 0;
    for &node in &order[1..] {
        let node = node as usize;
        let up = trie.depth[before] + 1 - trie.depth[node];
        push(&mut columns[0], u64::from(up) << 1 | u64::from(trie.cost[node].is_some()));
        let (caller, place) = (trie.place[trie.parent[node] as usize], trie.place[node]);
        let next = distinct[caller as usize];
        let known = *callees.entry(u64::from(caller) << 32 | u64::from(place)).or_insert(next);
        if known < next {
            push(&mut columns[1], u64::from(known) + 2);
        } else {
            distinct[caller as usize] += 1;
            if number[place as usize] == 0 {
                number[place as usize] = shown.len() as u32;
                shown.push(place);
                push(&mut columns[1], 0);
            } else {
                push(&mut columns[1], 1);
                push(&mut columns[1], number[place as usize].into());
            }
        }
        before = node;
    }
    shown
}

fn encode_cost(cost: &StackCost, columns: &mut [Vec<u8>]) {
    let count = cost.allocations.min(GREATEST);
    let bytes = cost.allocated_bytes.min(GREATEST);
    push(&mut columns[2], count);
    let even = count > 0 && bytes.is_multiple_of(count);
    push(&mut columns[3], if even { bytes / count * 2 } else { bytes * 2 + 1 });
    push(&mut columns[4], part(cost.temporary, count));
    let mean = bytes.checked_div(count).unwrap_or(0);
    let rest = [
        (cost.peak_blocks, cost.peak_bytes),
        (cost.live_blocks, cost.live_bytes),
        (cost.lost_blocks, cost.lost_bytes),
    ];
    for (at, (blocks, bytes)) in rest.into_iter().enumerate() {
        let blocks = blocks.min(GREATEST);
        let expected = if blocks <= count { mean * blocks } else { 0 };
        push(&mut columns[5 + 2 * at], part(blocks, count));
        push(&mut columns[6 + 2 * at], zigzag(bytes.min(GREATEST) as i64 - expected as i64));
    }
}

/// 0 for none, 1 for all, else the number plus 1.
fn part(number: u64, all: u64) -> u64 {
    match number.min(GREATEST) {
        0 => 0,
        number if number == all => 1,
        number => number + 1,
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn push(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What the page shows as one frame: several frame ids may share it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Place {
    function: u32,
    path: u32,
    line: u32,
    module: u32,
    is_library: bool,
}

/// Places and their strings, each once. Place 0 is the root, string 0 the empty one.
struct Places {
    list: Vec<Place>,
    by_place: FxHashMap<Place, u32>,
    strings: Vec<String>,
    by_string: FxHashMap<String, u32>,
}

impl Places {
    fn new() -> Places {
        Places {
            list: vec![Place::default()],
            by_place: FxHashMap::default(),
            strings: vec![String::new()],
            by_string: [(String::new(), 0)].into_iter().collect(),
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.by_string.get(text) {
            return id;
        }
        let id = self.strings.len() as u32;
        self.strings.push(sanitize::clean(text).into_owned());
        self.by_string.insert(text.to_owned(), id);
        id
    }

    fn place(&mut self, place: Place) -> u32 {
        let next = self.list.len() as u32;
        let id = *self.by_place.entry(place).or_insert(next);
        if id == next {
            self.list.push(place);
        }
        id
    }

    fn unnamed(&mut self, text: &str) -> u32 {
        let function = self.string(text);
        self.place(Place { function, is_library: true, ..Place::default() })
    }

    fn resolved(&mut self, frame: &ResolvedFrame) -> u32 {
        let place = Place {
            function: self.string(&short(&place::frame_name(frame))),
            path: self.string(frame.path.as_deref().unwrap_or_default()),
            line: frame.line.unwrap_or(0),
            module: self.string(&frame.module),
            is_library: frame.is_library,
        };
        self.place(place)
    }
}

/// Node 0 is the root; a parent is smaller than its children.
struct Trie {
    parent: Vec<u32>,
    place: Vec<u32>,
    depth: Vec<u32>,
    cost: Vec<Option<StackCost>>,
    children: FxHashMap<u64, u32>,
}

impl Trie {
    fn build(report: &Report, places: &mut Places) -> Trie {
        let mut trie = Trie {
            parent: vec![0],
            place: vec![0],
            depth: vec![0],
            cost: vec![None],
            children: FxHashMap::default(),
        };
        let used = used_stacks(report);
        let mut frames: Vec<Option<Box<[u32]>>> = vec![None; report.frames.len()];
        let mut node_of = vec![0u32; report.stacks.len()];
        for id in (1..report.stacks.len()).filter(|&id| used[id]) {
            let stack = StackId(id as u32);
            let frame = report.stacks.frame(stack).index();
            let mut node = node_of[report.stacks.parent(stack).index()];
            let mut step = |place| node = trie.child(node, place);
            match (frames.get_mut(frame), report.frames.get(frame)) {
                (Some(known), Some(resolved)) if !resolved.is_empty() => known
                    .get_or_insert_with(|| resolved.iter().rev().map(|it| places.resolved(it)).collect())
                    .iter()
                    .for_each(|&place| step(place)),
                _ => step(places.unnamed("(unresolved frame)")),
            }
            node_of[id] = node;
        }
        for cost in &report.costs {
            let node = match node_of.get(cost.stack.index()) {
                None | Some(0) => trie.child(0, places.unnamed("(unknown stack)")),
                Some(&node) => node,
            };
            add(trie.cost[node as usize].get_or_insert_default(), cost);
        }
        trie
    }

    /// The node of `place` below `node`; `node` itself at the greatest depth.
    fn child(&mut self, node: u32, place: u32) -> u32 {
        let depth = self.depth[node as usize] + 1;
        if depth > DEEPEST {
            return node;
        }
        let next = self.parent.len() as u32;
        let id = *self.children.entry(u64::from(node) << 32 | u64::from(place)).or_insert(next);
        if id == next {
            self.parent.push(node);
            self.place.push(place);
            self.depth.push(depth);
            self.cost.push(None);
        }
        id
    }

    /// Nodes in pre-order, siblings by weight.
    fn preorder(&self) -> Vec<u32> {
        let weight = self.weights();
        let mut first = vec![0u32; self.parent.len() + 1];
        for &parent in &self.parent[1..] {
            first[parent as usize + 1] += 1;
        }
        for at in 1..first.len() {
            first[at] += first[at - 1];
        }
        let mut next = first.clone();
        let mut children = vec![0u32; self.parent.len() - 1];
        for node in 1..self.parent.len() {
            let slot = &mut next[self.parent[node] as usize];
            children[*slot as usize] = node as u32;
            *slot += 1;
        }
        let mut order = Vec::with_capacity(self.parent.len());
        let mut pending = vec![0u32];
        while let Some(node) = pending.pop() {
            order.push(node);
            let range = first[node as usize] as usize..first[node as usize + 1] as usize;
            let siblings = &mut children[range];
            // The stack gives the last one first.
            siblings.sort_unstable_by_key(|&it| (weight[it as usize], Reverse(it)));
            pending.extend(&*siblings);
        }
        order
    }

    /// Lost, then peak, then allocated bytes of each subtree.
    fn weights(&self) -> Vec<(u64, u64, u64)> {
        let own = |cost: &Option<StackCost>| {
            cost.as_ref().map_or((0, 0, 0), |it| (it.lost_bytes, it.peak_bytes, it.allocated_bytes))
        };
        let mut weight: Vec<_> = self.cost.iter().map(own).collect();
        for node in (1..weight.len()).rev() {
            let below = weight[node];
            let sum = &mut weight[self.parent[node] as usize];
            sum.0 = sum.0.saturating_add(below.0);
            sum.1 = sum.1.saturating_add(below.1);
            sum.2 = sum.2.saturating_add(below.2);
        }
        weight
    }
}

/// Stacks that have costs, or callees that have.
fn used_stacks(report: &Report) -> Vec<bool> {
    let mut used = vec![false; report.stacks.len()];
    for cost in &report.costs {
        if let Some(it) = used.get_mut(cost.stack.index()) {
            *it = true;
        }
    }
    for id in (1..used.len()).rev() {
        if used[id] {
            used[report.stacks.parent(StackId(id as u32)).index()] = true;
        }
    }
    used
}

fn add(sum: &mut StackCost, cost: &StackCost) {
    let mut plus = |field: fn(&mut StackCost) -> &mut u64| {
        let more = *field(&mut cost.clone());
        let field = field(sum);
        *field = field.saturating_add(more);
    };
    plus(|it| &mut it.allocations);
    plus(|it| &mut it.allocated_bytes);
    plus(|it| &mut it.temporary);
    plus(|it| &mut it.peak_bytes);
    plus(|it| &mut it.peak_blocks);
    plus(|it| &mut it.live_bytes);
    plus(|it| &mut it.live_blocks);
    plus(|it| &mut it.lost_bytes);
    plus(|it| &mut it.lost_blocks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_model::FrameId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Per stack of places, outermost first: allocations, allocated, temporary, then blocks and
    /// bytes at the peak, at the end, lost.
    type Costs = BTreeMap<Vec<String>, [u64; 9]>;

    fn columns(cost: &StackCost) -> [u64; 9] {
        [
            cost.allocations,
            cost.allocated_bytes,
            cost.temporary,
            cost.peak_blocks,
            cost.peak_bytes,
            cost.live_blocks,
            cost.live_bytes,
            cost.lost_blocks,
            cost.lost_bytes,
        ]
    }

    fn naive(report: &Report) -> Costs {
        let mut costs = Costs::new();
        for cost in &report.costs {
            let mut path: Vec<String> = report
                .stacks
                .frames(cost.stack)
                .flat_map(|frame| match report.frames.get(frame.index()) {
                    Some(resolved) if !resolved.is_empty() => {
                        resolved.iter().map(|it| place::frame_name(it).into_owned()).collect()
                    }
                    _ => vec!["(unresolved frame)".to_owned()],
                })
                .collect();
            path.reverse();
            if path.is_empty() {
                path.push("(unknown stack)".to_owned());
            }
            let sum = costs.entry(path).or_default();
            for (sum, more) in sum.iter_mut().zip(columns(cost)) {
                *sum = (*sum + more).min(GREATEST);
            }
        }
        costs
    }

    struct Numbers<'a>(&'a [u8]);

    impl Numbers<'_> {
        fn next(&mut self) -> u64 {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let byte = self.0[0];
                self.0 = &self.0[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
    }

    /// As `data.js` reads it.
    fn decode(bytes: &[u8]) -> Costs {
        let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        let head: serde_json::Value = serde_json::from_slice(&bytes[4..4 + length]).unwrap();
        let mut rest = &bytes[4 + length..];
        let mut read: Vec<Numbers> = Vec::new();
        for column in head["columns"].as_array().unwrap() {
            let (now, later) = rest.split_at(column[1].as_u64().unwrap() as usize);
            read.push(Numbers(now));
            rest = later;
        }
        assert!(rest.is_empty());
        let name = |place: usize| {
            let function = head["function"][place].as_u64().unwrap() as usize;
            head["strings"][function].as_str().unwrap().to_owned()
        };
        let mut costs = Costs::new();
        let mut open = vec![0usize];
        let mut callees: Vec<Vec<usize>> = vec![Vec::new(); head["function"].as_array().unwrap().len()];
        let mut unseen = 1;
        for _ in 1..head["nodes"].as_u64().unwrap() {
            let shape = read[0].next();
            open.truncate(open.len() - (shape / 2) as usize);
            let known = &mut callees[*open.last().unwrap()];
            let place = match read[1].next() {
                0 => {
                    unseen += 1;
                    known.push(unseen - 1);
                    unseen - 1
                }
                1 => {
                    known.push(read[1].next() as usize);
                    known[known.len() - 1]
                }
                code => known[code as usize - 2],
            };
            open.push(place);
            if shape % 2 == 1 {
                let path = open[1..].iter().map(|place| name(*place)).collect();
                assert!(costs.insert(path, decode_cost(&mut read)).is_none(), "each stack stands once");
            }
        }
        assert!(read.iter().all(|column| column.0.is_empty()));
        costs
    }

    fn decode_cost(read: &mut [Numbers]) -> [u64; 9] {
        let portion = |code, all| match code {
            0 => 0,
            1 => all,
            code => code - 1,
        };
        let count = read[2].next();
        let size = read[3].next();
        let bytes = if size.is_multiple_of(2) { size / 2 * count } else { size / 2 };
        let mut cost = [count, bytes, portion(read[4].next(), count), 0, 0, 0, 0, 0, 0];
        for at in [3, 5, 7] {
            let blocks = portion(read[at + 2].next(), count);
            let expected = if blocks <= count { bytes.checked_div(count).unwrap_or(0) * blocks } else { 0 };
            let code = read[at + 3].next();
            let difference = (code >> 1) as i64 ^ -((code & 1) as i64);
            cost[at] = blocks;
            cost[at + 1] = (expected as i64 + difference) as u64;
        }
        cost
    }

    fn reports() -> impl Strategy<Value = Report> {
        let number = prop_oneof![Just(0u64), 1..5u64, 0..1_000_000u64, GREATEST - 2..=GREATEST];
        let costs = prop::collection::vec((0..40usize, prop::array::uniform9(number), any::<bool>()), 0..30);
        let stacks = prop::collection::vec((0..40usize, 0..12u32), 0..40);
        let frames = prop::collection::vec(prop::collection::vec(0..6u8, 0..3), 0..12);
        (stacks, frames, costs).prop_map(|(stacks, frames, costs)| {
            let mut report = Report::default();
            for (parent, frame) in stacks {
                let parent = StackId((parent % report.stacks.len()) as u32);
                report.stacks.push(parent, FrameId(frame)).unwrap();
            }
            let resolved =
                |name: u8| ResolvedFrame { function: Some(format!("f{name}")), ..ResolvedFrame::default() };
            report.frames = frames.into_iter().map(|it| it.into_iter().map(resolved).collect()).collect();
            report.costs = costs
                .into_iter()
                .map(|(stack, it, is_even)| StackCost {
                    stack: StackId((stack % report.stacks.len()) as u32),
                    allocations: it[0],
                    allocated_bytes: if is_even { it[0].saturating_mul(48).min(GREATEST) } else { it[1] },
                    temporary: it[2],
                    peak_blocks: it[3],
                    peak_bytes: it[4],
                    live_blocks: if is_even { it[0] } else { it[5] },
                    live_bytes: it[6],
                    lost_blocks: it[7],
                    lost_bytes: it[8],
                })
                .collect();
            report
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]
        #[test]
        fn what_is_read_is_what_every_stack_cost(report in reports()) {
            prop_assert_eq!(decode(&encode(&report)), naive(&report));
        }
    }

    #[test]
    fn endless_recursion_is_charged_at_the_greatest_depth() {
        let mut report = Report { frames: vec![vec![], vec![ResolvedFrame::default()]], ..Report::default() };
        let mut at = StackId(0);
        for _ in 0..DEEPEST + 10 {
            at = report.stacks.push(at, FrameId(1)).unwrap();
        }
        report.costs.push(StackCost {
            stack: at,
            allocations: 1,
            allocated_bytes: 8,
            ..StackCost::default()
        });
        let costs = decode(&encode(&report));
        assert_eq!(costs.keys().next().unwrap().len(), DEEPEST as usize);
    }
}
