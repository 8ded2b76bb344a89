//! Binary trees whose shape follows from their content: one structure for four policies.
//!
//! ```text
//!   in order from left to right      each node above its children by        policies
//!   by address                       size, then a hash of the address       first, next, worst fit
//!   by size, then address            a hash of the address                  best fit
//! ```
//!
//! With a hash above, the tree is a treap (Seidel, Aragon: "Randomized Search Trees", 1996). With the size above, it is
//! a Cartesian tree (Stephenson: "Fast Fits", 1983), in which each node is the greatest block of its range of
//! addresses, so that the first one that fits is found by one descent, and the root is the worst fit.
//!
//! Invariants: `precedes(left, node)`, `precedes(node, right)`, `is_above(node, child)` for all nodes and everything
//! below them. There are no ties, so that a set of blocks has exactly one tree.
//!
//! Cost: expected depth 2 ln n, one descent for each operation. Sizes that rise or fall with addresses make a Cartesian
//! tree a list; a treap stays flat, as addresses say nothing about their hashes.

use super::{Index, LINK, OTHER, size};
use crate::heap::{Fault, ensure};
use crate::space::Space;
use core::marker::PhantomData;

/// A block as orders see it.
#[derive(Clone, Copy)]
struct Node {
    at: usize,
    size: usize,
}

trait Order {
    fn precedes(a: Node, b: Node) -> bool;
    fn is_above(a: Node, b: Node) -> bool;
}

/// Spreads addresses, never two to the same number.
#[inline(always)]
fn hash(at: usize) -> u64 {
    (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

struct ByAddress;

impl Order for ByAddress {
    #[inline(always)]
    fn precedes(a: Node, b: Node) -> bool {
        a.at < b.at
    }
    #[inline(always)]
    fn is_above(a: Node, b: Node) -> bool {
        a.size > b.size || a.size == b.size && hash(a.at) > hash(b.at)
    }
}

struct BySize;

impl Order for BySize {
    #[inline(always)]
    fn precedes(a: Node, b: Node) -> bool {
        (a.size, a.at) < (b.size, b.at)
    }
    #[inline(always)]
    fn is_above(a: Node, b: Node) -> bool {
        hash(a.at) > hash(b.at)
    }
}

/// The tree; a link that is 0 leads nowhere. A place where a link stands is its address, or 0 for the root's.
struct Tree<O> {
    root: usize,
    order: PhantomData<O>,
}

impl<O: Order> Tree<O> {
    const fn new() -> Tree<O> {
        Tree { root: 0, order: PhantomData }
    }

    #[inline(always)]
    fn node<S: Space>(space: &S, at: usize) -> Node {
        Node { at, size: size(space, at) }
    }

    #[inline(always)]
    fn get<S: Space>(&self, space: &S, place: usize) -> usize {
        if place == 0 { self.root } else { space.load(place) }
    }

    #[inline(always)]
    fn set<S: Space>(&mut self, space: &S, place: usize, at: usize) {
        if place == 0 {
            self.root = at;
        } else {
            space.store(place, at);
        }
    }

    fn insert<S: Space>(&mut self, space: &S, new: Node) {
        let mut place = 0;
        let mut below = self.root;
        while below != 0 {
            let node = Self::node(space, below);
            if O::is_above(new, node) {
                break;
            }
            place = below + if O::precedes(new, node) { LINK } else { OTHER };
            below = space.load(place);
        }
        self.set(space, place, new.at);
        // What stood there is split into what precedes the new node and what follows it.
        let (mut left, mut right) = (new.at + LINK, new.at + OTHER);
        while below != 0 {
            if O::precedes(Self::node(space, below), new) {
                space.store(left, below);
                left = below + OTHER;
                below = space.load(left);
            } else {
                space.store(right, below);
                right = below + LINK;
                below = space.load(right);
            }
        }
        space.store(left, 0);
        space.store(right, 0);
    }

    fn remove<S: Space>(&mut self, space: &S, old: Node) {
        let mut place = 0;
        loop {
            let at = self.get(space, place);
            if at == old.at {
                break;
            }
            debug_assert!(at != 0, "a block that is removed is in the tree");
            place = at + if O::precedes(old, Self::node(space, at)) { LINK } else { OTHER };
        }
        let (mut left, mut right) = (space.load(old.at + LINK), space.load(old.at + OTHER));
        while left != 0 && right != 0 {
            if O::is_above(Self::node(space, left), Self::node(space, right)) {
                self.set(space, place, left);
                place = left + OTHER;
                left = space.load(place);
            } else {
                self.set(space, place, right);
                place = right + LINK;
                right = space.load(place);
            }
        }
        self.set(space, place, left | right);
    }

    /// Verifies the order among all nodes; iterative, by the links alone: each descent follows the path to one node.
    fn check<S: Space>(&self, space: &S) -> Result<usize, Fault> {
        let mut count = 0;
        let mut last: Option<Node> = None;
        loop {
            // The first node behind the last one.
            let mut at = self.root;
            let mut next: Option<Node> = None;
            let mut above: Option<Node> = None;
            while at != 0 {
                let node = Self::node(space, at);
                ensure(above.is_none_or(|it| O::is_above(it, node)), at, "a node is above its children")?;
                above = Some(node);
                if last.is_none_or(|it| O::precedes(it, node)) {
                    ensure(next.is_none_or(|it| O::precedes(node, it)), at, "what is left precedes")?;
                    next = Some(node);
                    at = space.load(at + LINK);
                } else {
                    at = space.load(at + OTHER);
                }
            }
            if next.is_none() {
                return Ok(count);
            }
            last = next;
            count += 1;
        }
    }
}

impl Tree<ByAddress> {
    /// The first block of at least `wanted` bytes at `from` or behind it. A node that is too small ends a descent, as
    /// all below it are smaller.
    fn first<S: Space>(&self, space: &S, wanted: usize, from: usize) -> Option<Node> {
        let mut found = None;
        let mut at = self.root;
        while at != 0 {
            let node = Self::node(space, at);
            if node.size < wanted {
                break;
            }
            if at >= from {
                found = Some(node);
                at = space.load(at + LINK);
            } else {
                at = space.load(at + OTHER);
            }
        }
        found
    }
}

impl Tree<BySize> {
    /// The smallest block of at least `wanted` bytes.
    fn smallest<S: Space>(&self, space: &S, wanted: usize) -> Option<Node> {
        let mut found = None;
        let mut at = self.root;
        while at != 0 {
            let node = Self::node(space, at);
            if node.size >= wanted {
                found = Some(node);
                at = space.load(at + LINK);
            } else {
                at = space.load(at + OTHER);
            }
        }
        found
    }
}

macro_rules! policy {
    ($(#[$text:meta])* $name:ident, $order:ty, |$policy:ident, $space:ident, $wanted:ident| $choose:expr) => {
        $(#[$text])*
        pub struct $name {
            tree: Tree<$order>,
            /// The end of the last allocation.
            last: usize,
        }

        impl $name {
            /// No block.
            pub const fn new() -> $name {
                $name { tree: Tree::new(), last: 0 }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::new()
            }
        }

        impl Index for $name {
            fn new() -> $name {
                $name::new()
            }

            fn insert<S: Space>(&mut self, space: &S, at: usize, size: usize) {
                self.tree.insert(space, Node { at, size });
            }

            fn remove<S: Space>(&mut self, space: &S, at: usize, size: usize) {
                self.tree.remove(space, Node { at, size });
            }

            fn take<S: Space>(&mut self, $space: &S, $wanted: usize) -> Option<usize> {
                let $policy = &*self;
                let node: Node = $choose?;
                self.tree.remove($space, node);
                self.last = node.at + $wanted;
                Some(node.at)
            }

            fn check<S: Space>(&self, space: &S) -> Result<usize, Fault> {
                self.tree.check(space)
            }
        }
    };
}

policy!(
    /// The smallest block that fits, at the lowest address of equal ones.
    BestFit, BySize, |policy, space, wanted| policy.tree.smallest(space, wanted)
);
policy!(
    /// The block at the lowest address that fits.
    FirstFit, ByAddress, |policy, space, wanted| policy.tree.first(space, wanted, 0)
);
policy!(
    /// The first block behind the last allocation that fits, or the first of all.
    NextFit, ByAddress, |policy, space, wanted| {
        let behind = policy.tree.first(space, wanted, policy.last);
        behind.or_else(|| policy.tree.first(space, wanted, 0))
    }
);
policy!(
    /// The greatest block.
    WorstFit, ByAddress, |policy, space, wanted| {
        let root = policy.tree.root;
        (root != 0).then(|| Tree::<ByAddress>::node(space, root)).filter(|it| it.size >= wanted)
    }
);
