//! The order in which blocks are run, loops, and where registers live.
//!
//! Blocks are numbered so that a loop's blocks come before what follows the loop: paths that leave a loop meet
//! at its exit before they go on. Loops are natural loops of retreating edges.

use crate::ir::{Base, BlockId, End, Function, LocalId, Op, OpKind, Operand, Place};

/// Where a register's value is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    Unused,
    /// In the state, across blocks.
    Shared(u32),
    /// Within its block only.
    Local(u32),
}

pub struct Flow {
    /// Per block: its place in the order; `u32::MAX`: unreachable.
    pub order: Vec<u32>,
    /// Blocks by order.
    pub blocks: Vec<BlockId>,
    /// Per block: heads of the loops that it belongs to.
    pub loops: Vec<Vec<BlockId>>,
    pub is_head: Vec<bool>,
    /// Per block: whether values in it depend on where control came from.
    pub has_choices: Vec<bool>,
    pub slots: Vec<Slot>,
    pub shared: usize,
    /// Greatest number of registers local to one block.
    pub locals: usize,
    /// Per block: number of its first operation.
    pub first_site: Vec<u32>,
    /// Per local: whether its address is taken.
    pub is_exposed: Vec<bool>,
    /// Per block: locals, then shared registers, that are read before they are written from there on.
    live: Vec<u64>,
    words: usize,
}

/// Words of liveness that one function may take.
const LIVE_MAX: usize = 1 << 22;

fn successors(function: &Function, block: BlockId) -> Vec<BlockId> {
    let block = &function.blocks[block.index()];
    let mut all = Vec::new();
    block.end.each_target(|it| {
        if !all.contains(&it) {
            all.push(it);
        }
    });
    if let Some(it) = block.unwind
        && !all.contains(&it)
    {
        all.push(it);
    }
    all
}

impl Flow {
    pub fn new(function: &Function) -> Flow {
        let count = function.blocks.len();
        let successors: Vec<Vec<BlockId>> =
            (0..count).map(|it| successors(function, BlockId(it as u32))).collect();
        let (_, back_edges) = walk(&successors, &vec![0; count]);
        let mut loops: Vec<Vec<BlockId>> = vec![Vec::new(); count];
        let mut is_head = vec![false; count];
        let mut predecessors: Vec<Vec<u32>> = vec![Vec::new(); count];
        for (from, to) in
            successors.iter().enumerate().flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
        {
            predecessors[to.index()].push(from as u32);
        }
        // A function with very many nested loops is treated as if the inner ones were not there.
        let mut budget = count.saturating_mul(16).max(4096);
        for &(latch, head) in &back_edges {
            is_head[head.index()] = true;
            let mut work = vec![latch.0];
            add_loop(&mut loops[head.index()], head);
            while let Some(at) = work.pop() {
                if budget == 0 {
                    break;
                }
                budget -= 1;
                if add_loop(&mut loops[at as usize], head) {
                    work.extend(&predecessors[at as usize]);
                }
            }
        }
        let depths: Vec<usize> = loops.iter().map(Vec::len).collect();
        let (mut blocks, _) = walk(&successors, &depths);
        blocks.reverse();
        let mut order = vec![u32::MAX; count];
        for (at, block) in blocks.iter().enumerate() {
            order[block.index()] = at as u32;
        }
        let mut first_site = Vec::with_capacity(count);
        let mut site = 0u32;
        for block in &function.blocks {
            first_site.push(site);
            site = site.saturating_add(block.ops.len() as u32 + 1);
        }
        let is_choice = |it: &Op| matches!(it.kind, OpKind::Phi { .. });
        let has_choices = function.blocks.iter().map(|it| it.ops.iter().any(is_choice)).collect();
        let mut it = Flow {
            order,
            blocks,
            loops,
            is_head,
            has_choices,
            slots: vec![Slot::Unused; function.registers as usize],
            shared: 0,
            locals: 0,
            first_site,
            is_exposed: vec![false; function.locals.len()],
            live: Vec::new(),
            words: 0,
        };
        it.place_registers(function);
        it.find_live(function, &successors);
        it
    }

    /// Whether a local is read, or its address known, from a block on.
    pub fn is_live(&self, block: BlockId, local: LocalId) -> bool {
        self.live.is_empty() || self.is_exposed[local.index()] || self.bit(block, local.index())
    }

    pub fn is_live_register(&self, block: BlockId, shared: usize) -> bool {
        self.live.is_empty() || self.bit(block, self.is_exposed.len() + shared)
    }

    fn bit(&self, block: BlockId, at: usize) -> bool {
        self.live[block.index() * self.words + at / 64] >> (at % 64) & 1 == 1
    }

    fn find_live(&mut self, function: &Function, successors: &[Vec<BlockId>]) {
        let locals = function.locals.len();
        self.words = (locals + self.shared).div_ceil(64);
        let words = self.words;
        if words * function.blocks.len() > LIVE_MAX || words == 0 {
            return;
        }
        for op in function.blocks.iter().flat_map(|it| &it.ops) {
            if let OpKind::Address { of: Place { base: Base::Local(it), .. }, .. } = op.kind {
                self.is_exposed[it.index()] = true;
            }
        }
        // A nested function may see any of them.
        let has_nested =
            function.blocks.iter().flat_map(|it| &it.ops).any(|it| matches!(it.kind, OpKind::Closure { .. }));
        if has_nested {
            self.is_exposed.fill(true);
        }
        let size = words * function.blocks.len();
        let (mut reads, mut writes) = (vec![0u64; size], vec![0u64; size]);
        for (at, block) in function.blocks.iter().enumerate() {
            let start = at * words;
            let (reads, writes) = (&mut reads[start..start + words], &mut writes[start..start + words]);
            let mut read = |bit: usize, writes: &[u64]| {
                if writes[bit / 64] >> (bit % 64) & 1 == 0 {
                    reads[bit / 64] |= 1 << (bit % 64);
                }
            };
            let register = |operand: Operand| match operand {
                Operand::Reg(reg) => match self.slots[reg.index()] {
                    Slot::Shared(it) => Some(locals + it as usize),
                    _ => None,
                },
                _ => None,
            };
            for op in &block.ops {
                if let OpKind::Phi { .. } = op.kind {
                    // Written on the edge that leads here.
                } else {
                    op.kind.each_operand(|it| register(it).into_iter().for_each(|it| read(it, writes)));
                }
                let from = match &op.kind {
                    OpKind::Load { from, .. } => Some(from.base),
                    OpKind::CopyRecord { from, .. } => Some(from.base),
                    _ => None,
                };
                if let Some(Base::Local(it)) = from {
                    read(it.index(), writes);
                }
                match &op.kind {
                    OpKind::Store { to: Place { base: Base::Local(it), steps }, .. } => {
                        if steps.is_empty() {
                            writes[it.index() / 64] |= 1 << (it.index() % 64);
                        } else {
                            // The rest of it stays.
                            read(it.index(), writes);
                        }
                    }
                    OpKind::Live { local } | OpKind::Dead { local } => {
                        writes[local.index() / 64] |= 1 << (local.index() % 64);
                    }
                    _ => {}
                }
                if let Some(bit) = op.kind.written().and_then(|it| register(Operand::Reg(it)))
                    && !matches!(op.kind, OpKind::Phi { .. })
                {
                    writes[bit / 64] |= 1 << (bit % 64);
                }
            }
            match block.end {
                End::Branch { condition: it, .. }
                | End::Switch { value: it, .. }
                | End::Return(Some(it))
                | End::Raise(it) => register(it).into_iter().for_each(|it| read(it, writes)),
                _ => {}
            }
            for to in &successors[at] {
                for op in &function.blocks[to.index()].ops {
                    if let OpKind::Phi { from, .. } = &op.kind {
                        let mine = from.iter().filter(|it| it.0.index() == at);
                        mine.filter_map(|it| register(it.1)).for_each(|it| read(it, writes));
                    }
                }
            }
        }
        let mut live = reads;
        // The result of a merge is read by what follows it in its block.
        let mut is_changed = true;
        let mut rounds = 0;
        while is_changed && rounds < 64 {
            is_changed = false;
            rounds += 1;
            for block in self.blocks.iter().rev() {
                for word in 0..words {
                    let mut out = 0;
                    for to in &successors[block.index()] {
                        out |= live[to.index() * words + word];
                    }
                    let at = block.index() * words + word;
                    let new = live[at] | out & !writes[at];
                    if new != live[at] {
                        live[at] = new;
                        is_changed = true;
                    }
                }
            }
        }
        if is_changed {
            return;
        }
        self.live = live;
    }

    fn place_registers(&mut self, function: &Function) {
        const NOWHERE: u32 = u32::MAX;
        let mut home = vec![NOWHERE; function.registers as usize];
        let mut is_shared = vec![false; function.registers as usize];
        for (at, block) in function.blocks.iter().enumerate() {
            for op in &block.ops {
                if let Some(reg) = op.kind.written() {
                    home[reg.index()] = at as u32;
                    is_shared[reg.index()] |= matches!(op.kind, OpKind::Phi { .. });
                }
            }
        }
        for (at, block) in function.blocks.iter().enumerate() {
            let mut read = |operand: Operand, block: usize| {
                if let Operand::Reg(reg) = operand
                    && home[reg.index()] != block as u32
                {
                    is_shared[reg.index()] = true;
                }
            };
            for op in &block.ops {
                if let OpKind::Phi { from, .. } = &op.kind {
                    from.iter().for_each(|(block, operand)| read(*operand, block.index()));
                } else {
                    op.kind.each_operand(|it| read(it, at));
                }
            }
            match block.end {
                End::Branch { condition: it, .. }
                | End::Switch { value: it, .. }
                | End::Return(Some(it))
                | End::Raise(it) => read(it, at),
                _ => {}
            }
        }
        let mut used = vec![0u32; function.blocks.len()];
        for (reg, slot) in self.slots.iter_mut().enumerate() {
            if home[reg] == NOWHERE {
                continue;
            }
            *slot = if is_shared[reg] {
                self.shared += 1;
                Slot::Shared(self.shared as u32 - 1)
            } else {
                let next = &mut used[home[reg] as usize];
                *next += 1;
                Slot::Local(*next - 1)
            };
        }
        self.locals = used.into_iter().max().unwrap_or(0) as usize;
    }

    pub fn is_in_loop(&self, block: BlockId, head: BlockId) -> bool {
        self.loops[block.index()].binary_search(&head).is_ok()
    }
}

fn add_loop(loops: &mut Vec<BlockId>, head: BlockId) -> bool {
    match loops.binary_search(&head) {
        Ok(_) => false,
        Err(at) => {
            loops.insert(at, head);
            true
        }
    }
}

/// Blocks in postorder and retreating edges; successors of less depth are visited first.
fn walk(successors: &[Vec<BlockId>], depths: &[usize]) -> (Vec<BlockId>, Vec<(BlockId, BlockId)>) {
    let mut state = vec![0u8; successors.len()];
    let mut post = Vec::with_capacity(successors.len());
    let mut back = Vec::new();
    let mut work: Vec<(BlockId, Vec<BlockId>)> = Vec::new();
    let sorted = |block: BlockId| {
        let mut all = successors[block.index()].clone();
        // Popped from the end: the deepest ones last.
        all.sort_by_key(|it| std::cmp::Reverse(depths[it.index()]));
        all
    };
    if successors.is_empty() {
        return (post, back);
    }
    state[0] = 1;
    work.push((BlockId(0), sorted(BlockId(0))));
    while let Some((block, rest)) = work.last_mut() {
        let block = *block;
        match rest.pop() {
            Some(to) if state[to.index()] == 0 => {
                state[to.index()] = 1;
                work.push((to, sorted(to)));
            }
            Some(to) => {
                if state[to.index()] == 1 {
                    back.push((block, to));
                }
            }
            None => {
                state[block.index()] = 2;
                post.push(block);
                work.pop();
            }
        }
    }
    (post, back)
}
