//! Which conditions decide whether a block runs.

use crate::ir::{BlockId, End, Function, Operand};

/// A condition and the value it has where control comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    pub block: BlockId,
    pub condition: Operand,
    pub holds: bool,
}

pub struct Guards;

/// Functions with more branches are not looked at.
const BRANCH_LIMIT: usize = 300;

impl Guards {
    /// Branches one of whose ways does not lead to `block` without passing the branch again.
    pub fn of(function: &Function, block: BlockId) -> Vec<Guard> {
        let branches: Vec<_> = function
            .blocks
            .iter()
            .enumerate()
            .filter_map(|(at, it)| match it.end {
                End::Branch { condition, then, other } if condition != Operand::Opaque => {
                    Some((at, condition, then, other))
                }
                _ => None,
            })
            .collect();
        if branches.len() > BRANCH_LIMIT {
            return Vec::new();
        }
        let mut guards = Vec::new();
        let mut seen = vec![usize::MAX; function.blocks.len()];
        for (round, (at, condition, then, other)) in branches.into_iter().enumerate() {
            let by_then = reaches(function, then, block, at, &mut seen, round * 2);
            let by_other = reaches(function, other, block, at, &mut seen, round * 2 + 1);
            if by_then != by_other {
                let id = BlockId(u32::try_from(at).unwrap_or(u32::MAX));
                guards.push(Guard { block: id, condition, holds: by_then });
            }
        }
        guards
    }
}

fn reaches(
    function: &Function,
    from: BlockId,
    to: BlockId,
    but_not: usize,
    seen: &mut [usize],
    round: usize,
) -> bool {
    let mut work = vec![from.index()];
    while let Some(at) = work.pop() {
        if at == to.index() {
            return true;
        }
        if at == but_not || seen[at] == round {
            continue;
        }
        seen[at] = round;
        function.blocks[at].end.each_target(|it| work.push(it.index()));
        work.extend(function.blocks[at].unwind.map(|it| it.index()));
    }
    false
}
