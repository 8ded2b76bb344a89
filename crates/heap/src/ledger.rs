//! The online account of live blocks, fed event by event while the program runs.
//!
//! ```text
//!   events -> Ledger -+-> table      address -> live block             (`table.rs`)
//!                     +-> columns    stack   -> what it cost, 64 bytes (one cache line)
//!                     +-> mappings, errors, timeline, growth
//! ```
//!
//! Invariants:
//! - `live.bytes` is the sum of the live blocks' sizes, and of all columns' `live_bytes` (until a sum saturates).
//! - `peak_epoch` advances whenever `live.bytes` exceeds every earlier value. A column's `peak_*` are its live
//!   figures at epoch `saved_epoch`; a column not touched since then still has them as its live figures. So the
//!   state at the peak costs one comparison per event, and no copy of all columns.
//! - What [`Ledger::account`] tells counts in columns and sums, not in the table; blocks of such a runtime's allocator
//!   that are inherited (`Family::Object`) are in the table, and count nowhere.
//! - Mappings (`Family::Map`) count nowhere but in [`Ledger::mappings`].
//!
//! Cost: constant per event. Measured with `examples/ledger_speed.rs` on a shared virtual machine (EPYC, 512 KiB of
//! second-level cache per core): 8 ns where the touched lines stay in the cache; 17 with 10,000 live blocks freed at
//! random; 38 with 100,000, 26 after [`Ledger::warm`]; 100 with a million, 50 after it.
//! Memory: bounded by live blocks, stacks and fixed caps; never by the number of events.

use crate::Sampling;
use crate::growth::{Growth, GrowthLog};
use crate::mappings::{Mapping, Mappings};
use crate::memory_error::{BlockInfo, FreeErrorKind, MemoryError, MemoryErrors};
use crate::table::{BlockTable, Held};
use crate::timeline::Ticks;
use heapwise_model::{Addr, Family, Nanos, StackCost, StackId, Tick, Timeline, Total};
use heapwise_trace::Event;

/// Threads told apart; a thread shares its slot with those that many numbers away.
const THREADS: usize = 1 << 16;

/// A live block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Start.
    pub addr: Addr,
    /// Requested bytes.
    pub size: u64,
    /// Who handed it out.
    pub family: Family,
    /// Where it was allocated.
    pub stack: StackId,
}

/// What accounts add up to at most, whatever a recording says: what single events add to that cannot overflow.
const COUNT_MAX: u64 = u64::MAX / 2;

fn add(sum: &mut u64, amount: u64) {
    *sum = sum.saturating_add(amount).min(COUNT_MAX);
}

/// The account's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// Blocks handed out; a `realloc` is one allocation and one free.
    pub allocations: u64,
    /// Live blocks taken back.
    pub frees: u64,
    /// Sum of requested bytes.
    pub allocated_bytes: u64,
    /// Allocations freed before the same thread allocated again.
    pub temporary: u64,
    /// Live now.
    pub live: Total,
    /// Live when the live bytes were greatest (the first such time).
    pub peak: Total,
    /// When that was.
    pub peak_at: Nanos,
    /// Greatest sampled resident size.
    pub peak_rss_bytes: u64,
    /// Time of the latest event.
    pub now: Nanos,
    /// Live blocks whose address was handed out again: their free was not seen.
    pub missed_frees: u64,
    /// Errors beyond the stored distinct ones.
    pub dropped_errors: u64,
}

/// What one stack cost: a cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Column {
    allocations: u64,
    allocated_bytes: u64,
    temporary: u64,
    live_bytes: u64,
    peak_bytes: u64,
    saved_epoch: u64,
    live_blocks: u32,
    peak_blocks: u32,
    /// The growth sample at which the column last entered the list of changed ones.
    touched: u32,
}

#[derive(Clone, Copy, Default)]
struct Sampled {
    rss_bytes: u64,
    minor_faults: u64,
    major_faults: u64,
    swap_bytes: u64,
}

/// What became of blocks of a runtime's own allocator that one stack allocated, since the account before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Change {
    /// Blocks handed out.
    pub allocations: u64,
    /// Their requested bytes.
    pub allocated_bytes: u64,
    /// Freed before the thread allocated again.
    pub temporary: u64,
    /// Live ones now, less those of before.
    pub live_blocks: i64,
    /// Their bytes.
    pub live_bytes: i64,
}

/// See the module's page.
#[derive(Clone)]
pub struct Ledger {
    table: BlockTable,
    /// Indexed by stack; entry 0 is the unknown stack and stands in for ids that are not defined.
    columns: Vec<Column>,
    /// Per thread slot: the address it allocated last, 0 when that was freed.
    last: Vec<u64>,
    totals: Totals,
    peak_epoch: u64,
    next_tick: u64,
    /// Number of the current growth sample, from 1.
    sample: u32,
    changed: Vec<u32>,
    mappings: Mappings,
    errors: MemoryErrors,
    is_tolerant: bool,
    sampling: Sampling,
    sampled: Sampled,
    ticks: Ticks,
    growth: GrowthLog,
    /// See [`Ledger::warm`]; means nothing.
    warmth: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger::new()
    }
}

impl Ledger {
    /// An account of a process that has allocated nothing yet.
    pub fn new() -> Ledger {
        let ticks = Ticks::new();
        Ledger {
            table: BlockTable::new(),
            columns: vec![Column::default()],
            last: vec![0; THREADS],
            totals: Totals::default(),
            peak_epoch: 1,
            next_tick: ticks.due(),
            sample: 1,
            changed: Vec::new(),
            mappings: Mappings::default(),
            errors: MemoryErrors::default(),
            is_tolerant: false,
            sampling: Sampling::default(),
            sampled: Sampled::default(),
            ticks,
            growth: GrowthLog::new(),
            warmth: 0,
        }
    }

    /// States that stacks `0..count` are defined; events with greater ids count for the unknown stack.
    /// A limit never shrinks.
    pub fn set_stack_limit(&mut self, count: usize) {
        if count > self.columns.len() {
            self.columns.resize(count, Column::default());
        }
    }

    /// Whether frees of unknown addresses are silent: for a process whose beginning was not seen.
    pub fn set_tolerant(&mut self, is_tolerant: bool) {
        self.is_tolerant = is_tolerant;
    }

    /// States that not all blocks are told; before any is.
    pub fn set_sampling(&mut self, sampling: Sampling) {
        self.sampling = sampling;
    }

    /// What a block stands for.
    pub fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// Reads what the events that come next are about to touch, so that their cache misses overlap instead of
    /// following each other: each is on an address, and allocates from a stack, or from none (0) where it frees.
    /// Changes nothing. Worth it before each batch of some 32 events; no more than [`Ledger::WARM_MAX`] are looked at.
    #[inline]
    pub fn warm(&mut self, events: &[(Addr, StackId)]) {
        // In two rounds: none of the first one's loads waits for another, whose miss would hold up all after it.
        let mut stacks = [0u32; Self::WARM_MAX];
        let mut sum = 0u64;
        for (stack, &(addr, from)) in stacks.iter_mut().zip(events) {
            let (entry, held) = self.table.peek(addr.0);
            sum ^= entry;
            *stack = if from.0 == 0 { held } else { from.0 };
        }
        for &stack in &stacks[..events.len().min(Self::WARM_MAX)] {
            sum ^= self.columns.get(stack as usize).map_or(0, |column| column.saved_epoch);
        }
        // Kept so that the loads are not optimized away.
        self.warmth = sum;
    }

    /// See [`Ledger::warm`].
    pub const WARM_MAX: usize = 64;

    /// A block was handed out. The null address is ignored.
    #[inline]
    pub fn alloc(&mut self, at: Nanos, thread: u32, addr: Addr, size: u64, family: Family, stack: StackId) {
        self.clock(at);
        let stack = self.known(stack);
        if family == Family::Map {
            return self.mappings.map(addr.0, size, StackId(stack));
        }
        if addr.0 == 0 {
            return;
        }
        if self.enter(addr.0, Held { size, family, stack }, true) {
            let weight = self.sampling.weight(size);
            // With some blocks only, nothing tells what a thread allocated last.
            self.last[thread as usize % THREADS] = if self.sampling.is_exact() { addr.0 } else { 0 };
            self.totals.allocations += weight.blocks;
            self.totals.allocated_bytes = self.totals.allocated_bytes.saturating_add(weight.bytes);
        }
    }

    /// A block was taken back. Freeing null does nothing.
    #[inline]
    pub fn free(&mut self, at: Nanos, thread: u32, addr: Addr, family: Family, stack: StackId) {
        self.clock(at);
        let stack = self.known(stack);
        if family == Family::Map {
            return self.mappings.unmap_at(addr.0);
        }
        match self.table.remove(addr.0, stack) {
            Some(held) if family == Family::Object && held.family != family => {
                self.table.insert(addr.0, held, self.totals.live.blocks);
            }
            None if family == Family::Object => {}
            Some(held) => {
                if held.family != family {
                    self.report_mismatch(thread, addr, family, stack, held);
                }
                self.leave(thread, addr.0, &held);
            }
            None => self.report_free(thread, addr, family, stack),
        }
    }

    /// `[addr, addr + size)` was unmapped, whatever was mapped there.
    pub fn unmap(&mut self, at: Nanos, addr: Addr, size: u64) {
        self.clock(at);
        self.mappings.unmap(addr.0, size);
    }

    /// `realloc` of `old` gave `new`: one free and one allocation, even in place. `mremap` comes here too.
    pub fn resize(&mut self, at: Nanos, thread: u32, old: Addr, new: Addr, size: u64, stack: StackId) {
        if self.table.get(old.0).is_none()
            && let Some(mapping) = self.mappings.take(old.0)
        {
            self.clock(at);
            return self.mappings.map(new.0, size, mapping.stack);
        }
        self.free(at, thread, old, Family::Malloc, stack);
        self.alloc(at, thread, new, size, Family::Malloc, stack);
    }

    /// A block that was live when the account began: live, but not allocated by this process.
    pub fn inherit(&mut self, addr: Addr, size: u64, family: Family, stack: StackId) {
        let stack = self.known(stack);
        if family == Family::Map {
            return self.mappings.map(addr.0, size, StackId(stack));
        }
        if addr.0 == 0 {
            return;
        }
        match family {
            Family::Object if self.table.get(addr.0).is_some() => {}
            Family::Object => {
                self.table.insert(addr.0, Held { size, family, stack }, self.totals.live.blocks);
            }
            _ => {
                self.enter(addr.0, Held { size, family, stack }, false);
            }
        }
    }

    /// A stack's blocks of a runtime's own allocator, of which single ones are not told.
    pub fn account(&mut self, stack: StackId, change: &Change) {
        let stack = self.known(stack);
        let column = self.touch(stack);
        add(&mut column.allocations, change.allocations);
        add(&mut column.allocated_bytes, change.allocated_bytes);
        add(&mut column.temporary, change.temporary);
        column.live_bytes = column.live_bytes.saturating_add_signed(change.live_bytes);
        let blocks = i64::from(column.live_blocks).saturating_add(change.live_blocks);
        column.live_blocks = blocks.clamp(0, i64::from(u32::MAX)) as u32;
        let totals = &mut self.totals;
        add(&mut totals.allocations, change.allocations);
        add(&mut totals.allocated_bytes, change.allocated_bytes);
        add(&mut totals.temporary, change.temporary);
        // Blocks that are live from before the account began are freed without having been handed out.
        let frees = (change.allocations as i64).saturating_sub(change.live_blocks);
        add(&mut totals.frees, u64::try_from(frees).unwrap_or(0));
        totals.live.bytes = totals.live.bytes.saturating_add_signed(change.live_bytes);
        let blocks = totals.live.blocks.saturating_add_signed(change.live_blocks);
        totals.live.blocks = blocks.min(COUNT_MAX);
    }

    /// All accounts are those of time `at`: may be the peak.
    pub fn accounts_end(&mut self, at: Nanos) {
        self.clock(at);
        self.meet_peak();
    }

    /// What stacks hold in blocks that are not in the table.
    pub fn accounted(&self) -> Vec<(StackId, Total)> {
        let mut held: Vec<Total> = self
            .columns
            .iter()
            .map(|it| Total { bytes: it.live_bytes, blocks: u64::from(it.live_blocks) })
            .collect();
        for block in self.live_blocks().iter().filter(|it| it.family != Family::Object) {
            let total = &mut held[block.stack.index()];
            let weight = self.sampling.weight(block.size);
            total.bytes = total.bytes.saturating_sub(weight.bytes);
            total.blocks = total.blocks.saturating_sub(weight.blocks);
        }
        let held = held.into_iter().enumerate().map(|(stack, total)| (StackId(stack as u32), total));
        held.filter(|(_, total)| *total != Total::default()).collect()
    }

    /// Forgets the single blocks of runtimes' own allocators; their accounts stay.
    pub fn drop_objects(&mut self) {
        for block in self.live_blocks().iter().filter(|it| it.family == Family::Object) {
            self.table.remove(block.addr.0, 0);
        }
    }

    /// The kernel's figures at that time.
    pub fn sample(
        &mut self,
        at: Nanos,
        rss_bytes: u64,
        minor_faults: u64,
        major_faults: u64,
        swap_bytes: u64,
    ) {
        self.clock(at);
        self.sampled = Sampled { rss_bytes, minor_faults, major_faults, swap_bytes };
        self.totals.peak_rss_bytes = self.totals.peak_rss_bytes.max(rss_bytes);
    }

    /// From now on the peak is that of what is yet to come.
    pub fn forget_peak(&mut self) {
        self.totals.peak = self.totals.live;
        self.totals.peak_at = self.totals.now;
        self.peak_epoch += 1;
    }

    /// Takes an event of a recording; those that say nothing of the ledger's matters are passed over.
    /// A stack counts as defined when it is the next one in order, so ids cannot be made up.
    #[inline]
    pub fn apply(&mut self, event: &Event) {
        match *event {
            Event::Alloc { at, thread, addr, size, family, stack } => {
                self.alloc(at, thread, addr, size, family, stack)
            }
            Event::Free { at, addr, family: Family::Map, size: size @ 1.., .. } => self.unmap(at, addr, size),
            Event::Free { at, thread, addr, family, stack, .. } => self.free(at, thread, addr, family, stack),
            Event::Resize { at, thread, old, new, size, stack } => {
                self.resize(at, thread, old, new, size, stack)
            }
            Event::Inherited { addr, size, family, stack } => self.inherit(addr, size, family, stack),
            Event::Account { stack, allocations, allocated_bytes, temporary, live_blocks, live_bytes } => {
                self.account(
                    stack,
                    &Change { allocations, allocated_bytes, temporary, live_blocks, live_bytes },
                )
            }
            Event::AccountsEnd { at } => self.accounts_end(at),
            Event::Sampling { mean } => self.set_sampling(Sampling { mean }),
            Event::Sample { at, rss_bytes, minor_faults, major_faults, swap_bytes } => {
                self.sample(at, rss_bytes, minor_faults, major_faults, swap_bytes)
            }
            Event::Stack { id, .. } if id.index() == self.columns.len() => {
                self.set_stack_limit(id.index() + 1)
            }
            Event::GraphEnd { at, .. } | Event::Exit { at, .. } => self.clock(at),
            _ => {}
        }
    }

    /// The account of a forked child: the same live blocks and mappings, no history.
    pub fn fork(&self) -> Ledger {
        let mut child = Ledger {
            table: self.table.clone(),
            mappings: self.mappings.clone(),
            is_tolerant: self.is_tolerant,
            sampling: self.sampling,
            ..Ledger::new()
        };
        child.columns = self
            .columns
            .iter()
            .map(|column| Column {
                live_bytes: column.live_bytes,
                live_blocks: column.live_blocks,
                ..Column::default()
            })
            .collect();
        child.totals.live = self.totals.live;
        child.totals.peak = self.totals.live;
        child
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        Totals { dropped_errors: self.errors.dropped, ..self.totals }
    }

    /// Live blocks by ascending address, without mappings. Blocks of a damaged recording may overlap.
    pub fn live_blocks(&self) -> Vec<Block> {
        self.table.blocks()
    }

    /// The live block that starts at `addr`.
    pub fn block_at(&self, addr: Addr) -> Option<Block> {
        let held = self.table.get(addr.0)?;
        Some(Block { addr, size: held.size, family: held.family, stack: StackId(held.stack) })
    }

    /// The live block that holds `addr`: at its start or inside.
    pub fn block_around(&self, addr: Addr) -> Option<Block> {
        self.block_at(addr).or_else(|| {
            let (start, held) = self.table.enclosing(addr.0)?;
            Some(Block {
                addr: Addr(start),
                size: held.size,
                family: held.family,
                stack: StackId(held.stack),
            })
        })
    }

    /// Live mappings by ascending address.
    pub fn mappings(&self) -> Vec<Mapping> {
        self.mappings.all()
    }

    /// Wrong frees in the order of their first time.
    pub fn errors(&self) -> &[MemoryError] {
        &self.errors.list
    }

    /// The same, to say where unknown addresses lie.
    pub fn errors_mut(&mut self) -> &mut [MemoryError] {
        &mut self.errors.list
    }

    /// What each stack cost, ascending; only stacks that allocated or inherited. `lost_*` are 0.
    pub fn costs(&self) -> Vec<StackCost> {
        let used =
            |column: &Column| column.allocations > 0 || column.live_blocks > 0 || column.peak_blocks > 0;
        let indexed = self.columns.iter().enumerate().filter(|(_, column)| used(column));
        indexed.map(|(stack, column)| self.cost(stack as u32, column)).collect()
    }

    /// What one stack cost; zeros for a stack that is not defined.
    pub fn cost_of(&self, stack: StackId) -> StackCost {
        match self.columns.get(stack.index()) {
            Some(column) => self.cost(stack.0, column),
            None => StackCost { stack, ..StackCost::default() },
        }
    }

    /// Live bytes over time; the last tick is now.
    pub fn timeline(&self) -> Timeline {
        Timeline { ticks: self.ticks.finished(self.tick_now()) }
    }

    /// Sites whose live bytes never shrank and mostly grew over the second half of the time so far.
    pub fn growth(&self) -> Vec<Growth> {
        self.growth.growing(self.totals.now.0, |stack| {
            let column = &self.columns[stack as usize];
            (column.live_bytes, u64::from(column.live_blocks))
        })
    }

    /// As [`Ledger::growth`], with those that grew until they were freed shortly before the end.
    pub fn filling(&self) -> Vec<Growth> {
        self.growth.filling(|stack| {
            let column = &self.columns[stack as usize];
            (column.live_bytes, u64::from(column.live_blocks))
        })
    }

    fn cost(&self, stack: u32, column: &Column) -> StackCost {
        let is_saved = column.saved_epoch == self.peak_epoch;
        StackCost {
            stack: StackId(stack),
            allocations: column.allocations,
            allocated_bytes: column.allocated_bytes,
            temporary: column.temporary,
            peak_bytes: if is_saved { column.peak_bytes } else { column.live_bytes },
            peak_blocks: u64::from(if is_saved { column.peak_blocks } else { column.live_blocks }),
            live_bytes: column.live_bytes,
            live_blocks: u64::from(column.live_blocks),
            lost_bytes: 0,
            lost_blocks: 0,
        }
    }

    #[inline]
    fn known(&self, stack: StackId) -> u32 {
        if stack.index() < self.columns.len() { stack.0 } else { 0 }
    }

    /// Time goes forward only: an earlier `at` counts as the latest one seen.
    #[inline]
    fn clock(&mut self, at: Nanos) {
        if at.0 >= self.next_tick {
            self.tick(at.0);
        }
        self.totals.now = self.totals.now.max(at);
    }

    /// The column of a stack that is about to change: saves its figures at the peak, and notes the change.
    #[inline]
    fn touch(&mut self, stack: u32) -> &mut Column {
        let column = &mut self.columns[stack as usize];
        if column.saved_epoch != self.peak_epoch {
            column.saved_epoch = self.peak_epoch;
            column.peak_bytes = column.live_bytes;
            column.peak_blocks = column.live_blocks;
        }
        if column.touched != self.sample {
            column.touched = self.sample;
            self.changed.push(stack);
        }
        column
    }

    /// A block becomes live, allocated or inherited.
    #[inline]
    fn enter(&mut self, addr: u64, block: Held, is_allocated: bool) -> bool {
        if let Some(missed) = self.table.insert(addr, block, self.totals.live.blocks) {
            if block.family == Family::Object && missed.family != Family::Object {
                self.table.insert(addr, missed, self.totals.live.blocks);
                return false;
            }
            self.miss(&missed);
        }
        let weight = self.sampling.weight(block.size);
        let column = self.touch(block.stack);
        if is_allocated {
            column.allocations += weight.blocks;
            column.allocated_bytes = column.allocated_bytes.saturating_add(weight.bytes);
        }
        column.live_bytes = column.live_bytes.saturating_add(weight.bytes);
        column.live_blocks = column.live_blocks.saturating_add(weight.blocks as u32);
        let totals = &mut self.totals;
        totals.live.bytes = totals.live.bytes.saturating_add(weight.bytes);
        totals.live.blocks += weight.blocks;
        self.meet_peak();
        true
    }

    #[inline]
    fn meet_peak(&mut self) {
        let totals = &mut self.totals;
        if totals.live.bytes > totals.peak.bytes {
            totals.peak = totals.live;
            totals.peak_at = totals.now;
            self.peak_epoch += 1;
        }
    }

    /// A block is no longer live because it was freed.
    #[inline]
    fn leave(&mut self, thread: u32, addr: u64, block: &Held) {
        let last = &mut self.last[thread as usize % THREADS];
        let is_temporary = *last == addr;
        *last = if is_temporary { 0 } else { *last };
        self.totals.frees += self.sampling.weight(block.size).blocks;
        self.totals.temporary += u64::from(is_temporary);
        self.subtract(block, u64::from(is_temporary));
    }

    #[inline]
    fn subtract(&mut self, block: &Held, temporary: u64) {
        let weight = self.sampling.weight(block.size);
        let column = self.touch(block.stack);
        column.temporary += temporary;
        column.live_bytes = column.live_bytes.saturating_sub(weight.bytes);
        column.live_blocks = column.live_blocks.saturating_sub(weight.blocks as u32);
        self.totals.live.bytes = self.totals.live.bytes.saturating_sub(weight.bytes);
        self.totals.live.blocks = self.totals.live.blocks.saturating_sub(weight.blocks);
    }

    #[cold]
    fn miss(&mut self, block: &Held) {
        self.totals.missed_frees = self.totals.missed_frees.saturating_add(1);
        self.subtract(block, 0);
    }

    #[cold]
    fn tick(&mut self, now: u64) {
        self.ticks.push(self.tick_now(), now);
        self.next_tick = self.ticks.due();
        if self.growth.is_due(now) {
            let columns = &self.columns;
            let changed = self.changed.drain(..).map(|stack| (stack, columns[stack as usize].live_bytes));
            self.growth.sample(now, changed);
            self.sample = self.sample.wrapping_add(1);
        }
    }

    fn tick_now(&self) -> Tick {
        Tick {
            at_ns: self.totals.now.0,
            live_bytes: self.totals.live.bytes,
            live_blocks: self.totals.live.blocks,
            rss_bytes: self.sampled.rss_bytes,
            allocations: self.totals.allocations,
            minor_faults: self.sampled.minor_faults,
            major_faults: self.sampled.major_faults,
            swap_bytes: self.sampled.swap_bytes,
        }
    }

    #[cold]
    fn report_mismatch(&mut self, thread: u32, addr: Addr, family: Family, stack: u32, held: Held) {
        let block =
            BlockInfo { addr, size: Some(held.size), family: held.family, stack: StackId(held.stack) };
        let kind = FreeErrorKind::Mismatched { allocated: held.family, freed: family };
        self.report(thread, kind, addr, family, stack, Some(block), None);
    }

    /// `addr` is not the start of a live block: finds out what it is.
    #[cold]
    fn report_free(&mut self, thread: u32, addr: Addr, family: Family, stack: u32) {
        if addr.0 == 0 {
            return;
        }
        if let Some((start, held)) = self.table.enclosing(addr.0) {
            let block = BlockInfo {
                addr: Addr(start),
                size: Some(held.size),
                family: held.family,
                stack: StackId(held.stack),
            };
            return self.report(thread, FreeErrorKind::Interior, addr, family, stack, Some(block), None);
        }
        if let Some(freed) = self.table.freed(addr.0) {
            let block = BlockInfo { addr, size: None, family: freed.family, stack: StackId(freed.stack) };
            return self.report(
                thread,
                FreeErrorKind::Double,
                addr,
                family,
                stack,
                Some(block),
                Some(StackId(freed.by)),
            );
        }
        if !self.is_tolerant {
            self.report(thread, FreeErrorKind::Unknown, addr, family, stack, None, None);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn report(
        &mut self,
        thread: u32,
        kind: FreeErrorKind,
        addr: Addr,
        family: Family,
        stack: u32,
        block: Option<BlockInfo>,
        first_free: Option<StackId>,
    ) {
        let at = self.totals.now;
        self.errors.add(MemoryError {
            at,
            thread,
            kind,
            addr,
            family,
            stack: StackId(stack),
            block,
            first_free,
            count: 1,
        });
    }
}
