//! Dominators and retained sizes of the heap graph.
//!
//! Block `d` dominates `n` when every way from the roots to `n` leads through `d`; the nearest such block is the
//! immediate dominator. What a block dominates goes when it goes: its retained size.
//!
//! T. Lengauer, R. Tarjan, "A Fast Algorithm for Finding Dominators in a Flowgraph", 1979, in its simple form: a
//! depth-first numbering from a virtual root above all roots, semidominators from the last to the first with path
//! compression. Iterative; O(edges * log blocks) at worst, near linear on heaps. (Semi-NCA, otherwise as good, walks
//! up from every block: quadratic for a long list that ends in many blocks.)

use heapwise_model::{Bits, HeapGraph, NodeId, Total};

/// A block's nearest dominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dominator {
    /// Not reachable from the roots.
    Unreachable,
    /// No single block: several ways from the roots, or a root points to it.
    Roots,
    /// This block.
    Block(NodeId),
}

/// Columns by node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dominators {
    /// Immediate dominators, or one of the two marks.
    above: Vec<u32>,
    /// Bytes of a block and all it dominates; 0 for unreachable blocks.
    pub retained_bytes: Vec<u64>,
    /// Number of blocks in that sum.
    pub retained_blocks: Vec<u32>,
}

const NONE: u32 = u32::MAX;
const ROOTS: u32 = u32::MAX - 1;

impl Dominators {
    /// The immediate dominator of `node`.
    pub fn of(&self, node: NodeId) -> Dominator {
        match self.above[node.index()] {
            NONE => Dominator::Unreachable,
            ROOTS => Dominator::Roots,
            above => Dominator::Block(NodeId(above)),
        }
    }

    /// The dominator tree.
    pub fn tree(&self) -> DominatorTree {
        let count = self.above.len();
        let above = |node: usize| Some(self.above[node] as usize).filter(|&it| it < count);
        let mut first = vec![0u32; count + 1];
        (0..count).filter_map(above).for_each(|it| first[it + 1] += 1);
        (0..count).for_each(|it| first[it + 1] += first[it]);
        let mut children = vec![0u32; first[count] as usize];
        for node in (0..count).rev() {
            if let Some(above) = above(node) {
                first[above + 1] -= 1;
                children[first[above + 1] as usize] = node as u32;
            }
        }
        first.remove(0);
        first.push(children.len() as u32);
        DominatorTree { first, children }
    }

    /// What each set of nodes retains together, no node counted twice; `set_of` numbers the sets below `sets`.
    pub fn retained_by(
        &self,
        tree: &DominatorTree,
        sets: usize,
        set_of: impl Fn(NodeId) -> Option<u32>,
    ) -> Vec<Total> {
        let set_of = |node: u32| set_of(NodeId(node)).map(|it| it as usize).filter(|&it| it < sets);
        let mut totals = vec![Total::default(); sets];
        // Depth first; `inside` counts the nodes of each set on the way down.
        let mut inside = vec![0u32; sets];
        let mut open: Vec<(u32, u32)> = Vec::new();
        for root in (0..self.above.len() as u32).filter(|&it| self.above[it as usize] == ROOTS) {
            let mut entering = Some(root);
            loop {
                if let Some(node) = entering.take() {
                    if let Some(set) = set_of(node) {
                        if inside[set] == 0 {
                            let bytes = self.retained_bytes[node as usize];
                            totals[set].bytes = totals[set].bytes.saturating_add(bytes);
                            totals[set].blocks += u64::from(self.retained_blocks[node as usize]);
                        }
                        inside[set] += 1;
                    }
                    open.push((node, tree.first[node as usize]));
                }
                let Some((node, at)) = open.last_mut() else { break };
                if *at < tree.first[*node as usize + 1] {
                    entering = Some(tree.children[*at as usize]);
                    *at += 1;
                    continue;
                }
                if let Some(set) = set_of(*node) {
                    inside[set] -= 1;
                }
                open.pop();
            }
        }
        totals
    }
}

/// Dominators as rows of what they are next above of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DominatorTree {
    first: Vec<u32>,
    children: Vec<u32>,
}

impl DominatorTree {
    /// The nodes whose immediate dominator is `node`.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let row = self.first[node.index()] as usize..self.first[node.index() + 1] as usize;
        self.children[row].iter().map(|&it| NodeId(it))
    }
}

/// Dominators over all edges that keep their targets alive, start or interior, from all roots.
pub fn dominators(graph: &HeapGraph) -> Dominators {
    of_walk(Walk::new(graph), graph)
}

/// As [`dominators`], as if there were a root, too, for each node that is not reached so far, by ascending numbers: the
/// heaps of some runtimes hold objects on which nothing has a claim.
pub fn dominators_of_all(graph: &HeapGraph) -> Dominators {
    let mut walk = Walk::new(graph);
    let mut open = Vec::new();
    for node in 0..graph.len() as u32 {
        if walk.number[node as usize] == NONE {
            walk.add_root(node, graph, &mut open);
        }
    }
    of_walk(walk, graph)
}

fn of_walk(walk: Walk, graph: &HeapGraph) -> Dominators {
    let count = graph.len();
    let (node, idom) = immediate_dominators(walk, graph);
    let mut result = Dominators {
        above: vec![NONE; count],
        retained_bytes: vec![0; count],
        retained_blocks: vec![0; count],
    };
    // A dominator has a smaller number than what it dominates, so sums flow upward from the last.
    for number in (1..node.len()).rev() {
        let at = node[number] as usize;
        result.retained_bytes[at] = result.retained_bytes[at].saturating_add(graph.size[at]);
        result.retained_blocks[at] += 1;
        if idom[number] == 0 {
            result.above[at] = ROOTS;
            continue;
        }
        let above = node[idom[number] as usize];
        result.above[at] = above;
        let above = above as usize;
        result.retained_bytes[above] = result.retained_bytes[above].saturating_add(result.retained_bytes[at]);
        result.retained_blocks[above] += result.retained_blocks[at];
    }
    result
}

/// Depth-first numbering: the virtual root is 0, reachable blocks count from 1.
struct Walk {
    /// Number to node (`NONE` for the virtual root).
    node: Vec<u32>,
    /// Node to number; `NONE` where unreachable.
    number: Vec<u32>,
    /// Number to the number of the parent in the depth-first tree.
    parent: Vec<u32>,
    /// Numbers of what the virtual root points to.
    of_roots: Vec<u32>,
}

impl Walk {
    fn new(graph: &HeapGraph) -> Walk {
        let mut walk =
            Walk { node: vec![NONE], number: vec![NONE; graph.len()], parent: vec![0], of_roots: Vec::new() };
        let mut open = Vec::new();
        for root in &graph.roots {
            walk.add_root(root.target.0, graph, &mut open);
        }
        walk
    }

    /// Numbers what is reached from `root` and has no number yet. `open` is empty, before and after.
    fn add_root(&mut self, root: u32, graph: &HeapGraph, open: &mut Vec<(u32, u32)>) {
        self.enter(root, 0, graph, open);
        self.of_roots.push(self.number[root as usize]);
        while let Some((number, at)) = open.last_mut() {
            let node = self.node[*number as usize] as usize;
            if *at == graph.first[node + 1] {
                open.pop();
                continue;
            }
            let edge = *at as usize;
            *at += 1;
            if !graph.idle.has(edge) {
                let number = *number;
                self.enter(graph.edges[edge].target().0, number, graph, open);
            }
        }
    }

    fn enter(&mut self, node: u32, parent: u32, graph: &HeapGraph, open: &mut Vec<(u32, u32)>) {
        if self.number[node as usize] == NONE {
            let number = self.node.len() as u32;
            self.number[node as usize] = number;
            self.node.push(node);
            self.parent.push(parent);
            open.push((number, graph.first[node as usize]));
        }
    }

    /// By number: whether a root points there.
    fn targets_of_roots(&self) -> Bits {
        let mut targets = Bits::new(self.node.len());
        for &number in &self.of_roots {
            targets.insert(number as usize);
        }
        targets
    }

    /// Compressed rows, by number, of the numbers that point there. What one edge alone leads to has an empty row: its
    /// only predecessor is its parent.
    fn predecessors(&self, graph: &HeapGraph, of_roots: &Bits) -> (Vec<u32>, Vec<u32>) {
        let mut first = vec![0u32; self.node.len() + 1];
        for &node in &self.node[1..] {
            for target in graph.kept(NodeId(node)) {
                first[self.number[target.index()] as usize + 1] += 1;
            }
        }
        let mut has_row = Bits::new(self.node.len());
        for number in 0..self.node.len() {
            if first[number + 1] > 1 || of_roots.has(number) {
                has_row.insert(number);
            } else {
                first[number + 1] = 0;
            }
            first[number + 1] += first[number];
        }
        // Rows are filled from their ends, so that the starts need no second copy.
        let mut sources = vec![0; first[first.len() - 1] as usize];
        for (number, &node) in self.node.iter().enumerate().skip(1).rev() {
            for target in graph.kept(NodeId(node)) {
                let target = self.number[target.index()] as usize;
                if has_row.has(target) {
                    first[target + 1] -= 1;
                    sources[first[target + 1] as usize] = number as u32;
                }
            }
        }
        // Now each entry holds the start of the row before its own.
        first.remove(0);
        first.push(sources.len() as u32);
        (first, sources)
    }
}

/// Number to node, and by number the immediate dominator's number.
///
/// Columns serve twice: `ancestor` is the depth-first parent until a vertex is linked and its path compressed. `idom` is, of
/// vertices above the one at hand, the first of its bucket: of the numbers whose dominator is found once all between are
/// linked (0 ends one; the bucket of a vertex is empty before its own turn, since its first child comes right before it);
/// of the others the next in their bucket, and once that is emptied their dominator.
fn immediate_dominators(walk: Walk, graph: &HeapGraph) -> (Vec<u32>, Vec<u32>) {
    let of_roots = walk.targets_of_roots();
    let (first, sources) = walk.predecessors(graph, &of_roots);
    let Walk { node, number, parent: mut ancestor, of_roots: _ } = walk;
    drop(number);
    let count = node.len();
    let mut semi: Vec<u32> = (0..count as u32).collect();
    let mut label = semi.clone();
    let mut idom = vec![0u32; count];
    let mut path = Vec::new();
    for number in (1..count).rev() {
        let parent = ancestor[number];
        let mut least = match (of_roots.has(number), first[number] == first[number + 1]) {
            (true, _) => 0,
            (false, true) => parent,
            (false, false) => number as u32,
        };
        for &source in &sources[first[number] as usize..first[number + 1] as usize] {
            let best = evaluate(source, number as u32, &mut ancestor, &mut label, &semi, &mut path);
            least = least.min(semi[best as usize]);
        }
        semi[number] = least;
        // A parent that is the semidominator is the dominator, too: nothing lies between.
        idom[number] = if least == parent {
            parent
        } else {
            std::mem::replace(&mut idom[least as usize], number as u32)
        };
        let mut waiting = std::mem::take(&mut idom[parent as usize]);
        while waiting != 0 {
            let best = evaluate(waiting, number as u32 - 1, &mut ancestor, &mut label, &semi, &mut path);
            let is_lower = semi[best as usize] < semi[waiting as usize];
            let dominator = if is_lower { best } else { parent };
            waiting = std::mem::replace(&mut idom[waiting as usize], dominator);
        }
    }
    for number in 1..count {
        if idom[number] != semi[number] {
            idom[number] = idom[idom[number] as usize];
        }
    }
    (node, idom)
}

/// The vertex with the least semidominator on the forest path from `at` up to, without, the first one below `linked`;
/// numbers from `linked + 1` on are linked to their parents.
fn evaluate(
    at: u32,
    linked: u32,
    ancestor: &mut [u32],
    label: &mut [u32],
    semi: &[u32],
    path: &mut Vec<u32>,
) -> u32 {
    if at <= linked {
        return at;
    }
    let mut top = at;
    while ancestor[top as usize] > linked {
        path.push(top);
        top = ancestor[top as usize];
    }
    // Compress: everything on the path now hangs below the top's ancestor, with the best label seen.
    while let Some(vertex) = path.pop() {
        let above = ancestor[vertex as usize];
        if semi[label[above as usize] as usize] < semi[label[vertex as usize] as usize] {
            label[vertex as usize] = label[above as usize];
        }
        ancestor[vertex as usize] = ancestor[above as usize];
    }
    label[at as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::tests::{any_graph_with_idle, graph_of};
    use proptest::prelude::*;

    /// Blocks reachable without going through `removed`.
    fn reachable(graph: &HeapGraph, removed: Option<u32>) -> Vec<bool> {
        let mut seen = vec![false; graph.addr.len()];
        let mut open: Vec<u32> = graph.roots.iter().map(|root| root.target.0).collect();
        while let Some(node) = open.pop() {
            if Some(node) != removed && !std::mem::replace(&mut seen[node as usize], true) {
                open.extend(graph.kept(NodeId(node)).map(|target| target.0));
            }
        }
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        /// Twin: a block dominates what is unreachable once it is removed.
        #[test]
        fn removal_agrees(graph in any_graph_with_idle()) {
            let fast = dominators(&graph);
            let all = reachable(&graph, None);
            let without: Vec<Vec<bool>> = (0..all.len() as u32).map(|node| reachable(&graph, Some(node))).collect();
            for node in 0..all.len() {
                let dominated = |by: usize| all[by] && all[node] && by != node && !without[by][node];
                let retained: u64 = (0..all.len()).filter(|&it| all[it] && !without[node][it]).map(|it| graph.size[it]).sum();
                prop_assert_eq!(fast.retained_bytes[node], if all[node] { retained } else { 0 });
                let above: Vec<usize> = (0..all.len()).filter(|&by| dominated(by)).collect();
                // The immediate one is dominated by all the others.
                let nearest = above.iter().copied().find(|&it| above.iter().all(|&other| other == it || !without[other][it]));
                let expected = match (all[node], nearest) {
                    (false, _) => Dominator::Unreachable,
                    (true, None) => Dominator::Roots,
                    (true, Some(by)) => Dominator::Block(NodeId(by as u32)),
                };
                // An unreachable "dominator" never arises: `dominated` asks for reachability.
                prop_assert_eq!(fast.of(NodeId(node as u32)), expected);
            }
        }
    }

    proptest! {
        /// Twin: a root more for each of the first blocks that nothing reaches.
        #[test]
        fn more_roots_agree(graph in any_graph_with_idle()) {
            let all = dominators_of_all(&graph);
            let mut rooted = graph;
            for node in 0..rooted.len() as u32 {
                if !reachable(&rooted, None)[node as usize] {
                    let target = NodeId(node);
                    rooted.roots.push(heapwise_model::Root { kind: heapwise_model::RootKind::Global, place: 0, target, interior: false });
                }
            }
            prop_assert_eq!(all, dominators(&rooted));
        }
    }

    #[test]
    fn a_long_chain_that_ends_in_many_blocks() {
        let (count, half) = (300_000u32, 150_000u32);
        let edges: Vec<_> = (1..count).map(|i| (i.min(half) - 1, i, false)).collect();
        let roots: Vec<_> = std::iter::once(0).chain(half..count).map(|it| (it, false)).collect();
        let fast = dominators(&graph_of(count as usize, &edges, &roots));
        assert_eq!(fast.retained_blocks[0], half);
        assert!((half..count).all(|it| fast.of(NodeId(it)) == Dominator::Roots));
    }

    #[test]
    fn a_long_chain() {
        let count = 300_000u32;
        let edges: Vec<_> = (1..count).flat_map(|i| [(i - 1, i, false), (i, i / 2, true)]).collect();
        let fast = dominators(&graph_of(count as usize, &edges, &[(0, false)]));
        assert_eq!(fast.retained_blocks[0], count);
        assert_eq!(fast.of(NodeId(count - 1)), Dominator::Block(NodeId(count - 2)));
    }
}
