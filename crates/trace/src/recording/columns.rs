//! Allocations and frees in columns, since like compresses best beside like.
//!
//! ```text
//!   count:varint  time:varint (ns, of the first event)  thread:varint
//!   five column lengths (varints), then the columns:
//!     ops      one byte an event (below)
//!     addrs    address - last address, zigzag, in 8 bytes steps where both allow it
//!     sizes    bytes of allocations (and of munmaps)
//!     stacks   stack ids that differ from the last one of the same kind
//!     others   time steps (ns / 1024), threads
//!
//!   op: kind (2 bits: alloc, free, resize) | family (2) | time step follows (1) | thread follows (1)
//!       | same stack as the last event of this kind (1) | same size as the last (1)
//! ```
//!
//! Times are rounded down to 1,024 ns; the order of events is exact.

use super::{Cursor, Sink, push_varint, unzigzag, zigzag};
use crate::{Addr, Event, Family, Nanos, StackId};

const ALLOC: u8 = 0;
const FREE: u8 = 1;
const RESIZE: u8 = 2;
const HAS_TIME: u8 = 1 << 4;
const HAS_THREAD: u8 = 1 << 5;
const SAME_STACK: u8 = 1 << 6;
const SAME_SIZE: u8 = 1 << 7;
/// Least time step worth a byte, in units of 1,024 ns.
const TIME_STEP: u64 = 64;
const TIME_UNIT: u64 = 1024;

/// What both sides remember from event to event; starts afresh in every block.
#[derive(Clone, Copy, Default)]
struct State {
    time: u64,
    thread: u32,
    addr: u64,
    size: u64,
    stacks: [u32; 3],
}

/// Collects events; `len` stays under a block's size.
#[derive(Default)]
pub struct Columns {
    state: State,
    count: u64,
    first_time: u64,
    first_thread: u32,
    ops: Vec<u8>,
    addrs: Vec<u8>,
    sizes: Vec<u8>,
    stacks: Vec<u8>,
    others: Vec<u8>,
}

/// Address steps: the low bit says whether the step counts bytes or 8 bytes.
#[inline(always)]
fn push_addr(out: &mut Vec<u8>, step: i64) {
    if step & 7 == 0 {
        push_varint(out, zigzag(step >> 3) << 1);
    } else {
        // Steps of 2^62 bytes and more cannot be told apart; addresses are below 2^57.
        push_varint(out, zigzag(step) << 1 | 1);
    }
}

#[inline(always)]
fn read_addr(cursor: &mut Cursor<'_>) -> Option<i64> {
    let value = cursor.varint()?;
    let step = unzigzag(value >> 1);
    Some(if value & 1 == 0 { step << 3 } else { step })
}

impl Columns {
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes collected.
    pub fn len(&self) -> usize {
        self.ops.len() + self.addrs.len() + self.sizes.len() + self.stacks.len() + self.others.len()
    }

    #[inline(always)]
    fn op(&mut self, kind: u8, family: Family, at: Nanos, thread: u32, stack: StackId) -> u8 {
        let mut op = kind | (family as u8) << 2;
        let time = at.0 / TIME_UNIT;
        if self.count == 0 {
            self.state.time = time;
            self.state.thread = thread;
            self.first_time = time;
            self.first_thread = thread;
        }
        if time >= self.state.time + TIME_STEP {
            op |= HAS_TIME;
            push_varint(&mut self.others, time - self.state.time);
            self.state.time = time;
        }
        if thread != self.state.thread {
            op |= HAS_THREAD;
            push_varint(&mut self.others, u64::from(thread));
            self.state.thread = thread;
        }
        let last = &mut self.state.stacks[kind as usize];
        if *last == stack.0 {
            op |= SAME_STACK;
        } else {
            push_varint(&mut self.stacks, u64::from(stack.0));
            *last = stack.0;
        }
        self.count += 1;
        op
    }

    #[inline(always)]
    fn addr(&mut self, addr: Addr) {
        push_addr(&mut self.addrs, addr.0.wrapping_sub(self.state.addr) as i64);
        self.state.addr = addr.0;
    }

    #[inline(always)]
    fn size(&mut self, size: u64) -> u8 {
        if size == self.state.size {
            return SAME_SIZE;
        }
        push_varint(&mut self.sizes, size);
        self.state.size = size;
        0
    }

    #[inline(always)]
    pub fn alloc(&mut self, at: Nanos, thread: u32, addr: Addr, size: u64, family: Family, stack: StackId) {
        let op = self.op(ALLOC, family, at, thread, stack) | self.size(size);
        self.addr(addr);
        self.ops.push(op);
    }

    /// `size`: bytes given back, for mappings only.
    #[inline(always)]
    pub fn free(&mut self, at: Nanos, thread: u32, addr: Addr, size: u64, family: Family, stack: StackId) {
        let mut op = self.op(FREE, family, at, thread, stack);
        if family == Family::Map {
            op |= self.size(size);
        }
        self.addr(addr);
        self.ops.push(op);
    }

    #[inline(always)]
    pub fn resize(&mut self, at: Nanos, thread: u32, old: Addr, new: Addr, size: u64, stack: StackId) {
        let op = self.op(RESIZE, Family::Malloc, at, thread, stack) | self.size(size);
        self.addr(old);
        self.addr(new);
        self.ops.push(op);
    }

    /// Moves everything into `out`.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        push_varint(out, self.count);
        push_varint(out, self.first_time);
        push_varint(out, u64::from(self.first_thread));
        let columns = [&mut self.ops, &mut self.addrs, &mut self.sizes, &mut self.stacks, &mut self.others];
        for column in &columns {
            push_varint(out, column.len() as u64);
        }
        for column in columns {
            out.append(column);
        }
        self.count = 0;
        self.state = State::default();
    }
}

/// Events whose addresses are read ahead: enough for their cache misses to overlap, few enough to stay in the cache.
const WINDOW: usize = 64;

/// Gives the events of a block to `sink`; `None` where the block says something impossible.
pub fn decode(block: &[u8], sink: &mut impl Sink) -> Option<()> {
    let mut head = Cursor::new(block);
    let count = head.varint()?;
    let state = State { time: head.varint()?, thread: head.varint()? as u32, ..State::default() };
    let lengths = [head.varint()?, head.varint()?, head.varint()?, head.varint()?, head.varint()?];
    let ops = head.bytes(lengths[0])?;
    let mut columns = Decoder {
        state,
        addrs: Cursor::new(head.bytes(lengths[1])?),
        sizes: Cursor::new(head.bytes(lengths[2])?),
        stacks: Cursor::new(head.bytes(lengths[3])?),
        others: Cursor::new(head.bytes(lengths[4])?),
    };
    if count != ops.len() as u64 {
        return None;
    }
    let mut addrs = [Addr(0); 2 * WINDOW];
    for ops in ops.chunks(WINDOW) {
        let known = columns.addrs(ops, &mut addrs);
        sink.expect(&addrs[..known]);
        columns.events(ops, &addrs[..known], sink)?;
    }
    Some(())
}

struct Decoder<'a> {
    state: State,
    addrs: Cursor<'a>,
    sizes: Cursor<'a>,
    stacks: Cursor<'a>,
    others: Cursor<'a>,
}

impl Decoder<'_> {
    /// The addresses of `ops`, two for a resize; how many there are.
    #[inline(always)]
    fn addrs(&mut self, ops: &[u8], out: &mut [Addr; 2 * WINDOW]) -> usize {
        let mut known = 0;
        let wanted = ops.iter().map(|op| 1 + usize::from(op & 3 == RESIZE)).sum::<usize>();
        for addr in &mut out[..wanted] {
            let Some(step) = read_addr(&mut self.addrs) else { break };
            self.state.addr = self.state.addr.wrapping_add_signed(step);
            *addr = Addr(self.state.addr);
            known += 1;
        }
        known
    }

    #[inline(always)]
    fn events(&mut self, ops: &[u8], addrs: &[Addr], sink: &mut impl Sink) -> Option<()> {
        let mut addrs = addrs.iter().copied();
        let state = &mut self.state;
        for &op in ops {
            let kind = op & 3;
            let family = Family::from_bits(op >> 2);
            if op & HAS_TIME != 0 {
                state.time = state.time.saturating_add(self.others.varint()?);
            }
            if op & HAS_THREAD != 0 {
                state.thread = self.others.varint()? as u32;
            }
            let last = state.stacks.get_mut(kind as usize)?;
            if op & SAME_STACK == 0 {
                *last = self.stacks.varint()? as u32;
            }
            let stack = StackId(*last);
            let has_size = kind != FREE || family == Family::Map;
            if has_size && op & SAME_SIZE == 0 {
                state.size = self.sizes.varint()?;
            }
            let (at, thread, size) = (Nanos(state.time.saturating_mul(TIME_UNIT)), state.thread, state.size);
            let addr = addrs.next()?;
            match kind {
                ALLOC => sink.event(Event::Alloc { at, thread, addr, size, family, stack }),
                FREE => {
                    let size = if has_size { size } else { 0 };
                    sink.event(Event::Free { at, thread, addr, size, family, stack });
                }
                RESIZE => {
                    let new = addrs.next()?;
                    sink.event(Event::Resize { at, thread, old: addr, new, size, stack });
                }
                _ => return None,
            }
        }
        Some(())
    }
}
