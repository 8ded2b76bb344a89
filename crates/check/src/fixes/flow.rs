//! A function's operations as one graph, each with the statement it stands in.
//!
//! Nodes are operations and the ends of blocks. A `goto` that no statement of the source stands for is no node: the
//! edges that lead through it are joined. Ways that exceptions take are not followed.

use super::outline::{Outline, StatementId, StatementKind};
use crate::ir::{BlockId, Callee, End, Function, Module, Op, OpKind, Span};
use crate::models::Models;
use crate::program::Program;

/// Longer functions get no fixes.
const MAX_NODES: usize = 40_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub block: BlockId,
    /// Position among the block's operations; their number stands for the block's end.
    pub op: u32,
}

pub struct Flow<'a> {
    pub function: &'a Function,
    pub nodes: Vec<Node>,
    pub next: Vec<Vec<u32>>,
    pub previous: Vec<Vec<u32>>,
    pub statement: Vec<Option<StatementId>>,
}

/// What happens at a node.
pub enum At<'a> {
    Op(&'a Op),
    End(&'a End),
}

impl<'a> Flow<'a> {
    pub fn new(
        program: &Program,
        models: &Models,
        (number, module): (u32, &'a Module),
        function: &'a Function,
        outline: &Outline,
    ) -> Option<Flow<'a>> {
        let mut first = Vec::with_capacity(function.blocks.len());
        let mut nodes = Vec::new();
        for (index, block) in function.blocks.iter().enumerate() {
            first.push(nodes.len() as u32);
            let block_id = BlockId(index as u32);
            nodes.extend((0..=block.ops.len() as u32).map(|op| Node { block: block_id, op }));
            if nodes.len() > MAX_NODES {
                return None;
            }
        }
        let mut flow = Flow {
            function,
            next: vec![Vec::new(); nodes.len()],
            previous: vec![Vec::new(); nodes.len()],
            statement: vec![None; nodes.len()],
            nodes,
        };
        for at in 0..flow.nodes.len() {
            let span = flow.span(at as u32);
            if span.file == function.span.file && span != Span::NONE {
                flow.statement[at] = outline.at(span.start);
            }
        }
        let is_passed: Vec<bool> = (0..flow.nodes.len())
            .map(|at| match flow.at(at as u32) {
                At::End(End::Goto(_)) => !flow.is_jump(outline, at),
                _ => false,
            })
            .collect();
        for at in 0..flow.nodes.len() {
            let node = flow.nodes[at];
            let block = &function.blocks[node.block.index()];
            let mut targets = Vec::new();
            match block.ops.get(node.op as usize) {
                Some(op) if is_noreturn(program, models, (number, module), op) => {}
                Some(_) => targets.push(at as u32 + 1),
                None => block.end.each_target(|it| targets.push(first[it.index()])),
            }
            for target in targets {
                let target = flow.passed(target, &is_passed, &first);
                flow.next[at].extend(target);
            }
        }
        if !flow.is_whole() {
            return None;
        }
        for at in 0..flow.nodes.len() as u32 {
            for &to in &flow.next[at as usize] {
                flow.previous[to as usize].push(at);
            }
        }
        Some(flow)
    }

    pub fn at(&self, node: u32) -> At<'a> {
        let Node { block, op } = self.nodes[node as usize];
        let block = &self.function.blocks[block.index()];
        block.ops.get(op as usize).map_or(At::End(&block.end), At::Op)
    }

    pub fn span(&self, node: u32) -> Span {
        let Node { block, op } = self.nodes[node as usize];
        let block = &self.function.blocks[block.index()];
        block.ops.get(op as usize).map_or(block.end_span, |it| it.span)
    }

    /// The operation of a span that makes a value.
    pub fn made_at(&self, span: Span) -> Vec<u32> {
        let is_making = |node: &u32| {
            let At::Op(op) = self.at(*node) else { return false };
            op.span == span
                && op.kind.written().is_some()
                && matches!(
                    op.kind,
                    OpKind::Call { .. }
                        | OpKind::Allocate { .. }
                        | OpKind::Acquire { .. }
                        | OpKind::Reallocate { .. }
                        | OpKind::New { .. }
                )
        };
        (0..self.nodes.len() as u32).filter(is_making).collect()
    }

    /// Whether all code was understood: ways end where the source says so. After an error of syntax, and where a
    /// `goto` leads anywhere, they end without a place, or at something that is no call.
    fn is_whole(&self) -> bool {
        let mut is_reached = vec![false; self.nodes.len()];
        let mut work = vec![0u32];
        while let Some(node) = work.pop() {
            if std::mem::replace(&mut is_reached[node as usize], true) {
                continue;
            }
            work.extend(&self.next[node as usize]);
            let At::End(end) = self.at(node) else { continue };
            let block = &self.function.blocks[self.nodes[node as usize].block.index()];
            let is_ended = |it: &Op| matches!(it.kind, OpKind::Call { .. }) && it.span == block.end_span;
            let is_known = match end {
                End::Unreachable => block.ops.last().is_some_and(is_ended),
                _ => block.end_span != Span::NONE,
            };
            if !is_known {
                return false;
            }
        }
        true
    }

    fn is_jump(&self, outline: &Outline, node: usize) -> bool {
        self.statement[node].is_some_and(|it| {
            let statement = outline.get(it);
            matches!(statement.kind, StatementKind::Break | StatementKind::Jump)
                && statement.start == self.span(node as u32).start
        })
    }

    /// Where a way leads that only passes `node`; `None`: round and round.
    fn passed(&self, node: u32, is_passed: &[bool], first: &[u32]) -> Option<u32> {
        let mut at = node;
        for _ in 0..=self.nodes.len() {
            if !is_passed[at as usize] {
                return Some(at);
            }
            let Node { block, .. } = self.nodes[at as usize];
            let End::Goto(to) = self.function.blocks[block.index()].end else { return Some(at) };
            at = first[to.index()];
        }
        None
    }
}

fn is_noreturn(program: &Program, models: &Models, (number, module): (u32, &Module), op: &Op) -> bool {
    let OpKind::Call { callee: Callee::Direct(name), .. } = op.kind else { return false };
    program.function(number, name).is_none()
        && models.find(module.name(name)).is_some_and(|it| models.get(it).is_noreturn)
}
