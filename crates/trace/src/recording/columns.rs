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
//!   op: kind (2 bits: alloc, free, resize, object) | family (2; of objects 0: handed out, 1: taken back) | time step follows (1) | thread follows (1)
//!       | same stack as the last event of this kind (1) | same size as the last (1)
//! ```
//!
//! Times are rounded down to 1,024 ns; the order of events is exact.

use super::{Cursor, push_varint, unzigzag, zigzag};
use crate::{Addr, Event, Family, Nanos, StackId};

const ALLOC: u8 = 0;
const FREE: u8 = 1;
const RESIZE: u8 = 2;
/// A block of `Family::Object`.
const OBJECT: u8 = 3;
const HANDED_OUT: u8 = OBJECT;
const TAKEN_BACK: u8 = OBJECT | 1 << 2;
/// Kind and family.
const KIND: u8 = 15;
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
    stacks: [u32; 4],
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
    fn op(&mut self, kind: u8, at: Nanos, thread: u32, stack: Option<StackId>) -> u8 {
        let mut op = kind;
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
        let last = &mut self.state.stacks[usize::from(kind & 3)];
        match stack {
            Some(stack) if *last != stack.0 => {
                push_varint(&mut self.stacks, u64::from(stack.0));
                *last = stack.0;
            }
            _ => op |= SAME_STACK,
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
        let kind = match family {
            Family::Object => HANDED_OUT,
            family => ALLOC | (family as u8) << 2,
        };
        let op = self.op(kind, at, thread, Some(stack)) | self.size(size);
        self.addr(addr);
        self.ops.push(op);
    }

    /// `size`: bytes given back, for mappings only.
    #[inline(always)]
    pub fn free(&mut self, at: Nanos, thread: u32, addr: Addr, size: u64, family: Family, stack: StackId) {
        let op = match family {
            // Where objects are taken back is not told.
            Family::Object => self.op(TAKEN_BACK, at, thread, None),
            Family::Map => self.op(FREE | (family as u8) << 2, at, thread, Some(stack)) | self.size(size),
            family => self.op(FREE | (family as u8) << 2, at, thread, Some(stack)),
        };
        self.addr(addr);
        self.ops.push(op);
    }

    #[inline(always)]
    pub fn resize(&mut self, at: Nanos, thread: u32, old: Addr, new: Addr, size: u64, stack: StackId) {
        let op = self.op(RESIZE, at, thread, Some(stack)) | self.size(size);
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

/// Rows given on at once.
const ROWS: usize = 8192;

/// An allocation, free or resize as it is read.
#[derive(Clone, Copy)]
pub struct Row {
    at: Nanos,
    addr: Addr,
    /// Where a resized block is now.
    new: Addr,
    size: u64,
    thread: u32,
    stack: StackId,
    op: u8,
}

impl Row {
    /// The event; of a kind that [`decode`] lets through.
    #[inline(always)]
    pub fn event(&self) -> Event<'static> {
        let &Row { at, addr, new, size, thread, stack, op } = self;
        let family = if op & 3 == OBJECT { Family::Object } else { Family::from_bits(op >> 2) };
        match op & 3 {
            OBJECT if op & KIND == HANDED_OUT => Event::Alloc { at, thread, addr, size, family, stack },
            OBJECT => Event::Free { at, thread, addr, size: 0, family, stack: StackId(0) },
            ALLOC => Event::Alloc { at, thread, addr, size, family, stack },
            FREE => Event::Free { at, thread, addr, size, family, stack },
            _ => Event::Resize { at, thread, old: addr, new, size, stack },
        }
    }

    /// The addresses it is about, with the stack of what is allocated there (0: nothing is).
    #[inline(always)]
    pub fn touched(&self) -> impl Iterator<Item = (Addr, StackId)> {
        let kind = self.op & 3;
        let is_new = kind == ALLOC || self.op & KIND == HANDED_OUT;
        let first = if is_new { self.stack } else { StackId(0) };
        [(self.addr, first), (self.new, self.stack)].into_iter().take(1 + usize::from(kind == RESIZE))
    }
}

/// Gives the events of a block to `give`, some at a time in `rows`, which it empties; `None` where the block says
/// something impossible, or `give` wants no more.
pub fn decode(
    block: &[u8],
    rows: &mut Vec<Row>,
    give: &mut impl FnMut(&mut Vec<Row>) -> Option<()>,
) -> Option<()> {
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
    for ops in ops.chunks(ROWS) {
        rows.reserve(ops.len());
        let whole = ops.iter().try_for_each(|&op| columns.row(op).map(|row| rows.push(row)));
        give(rows)?;
        whole?;
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
    #[inline(always)]
    fn row(&mut self, op: u8) -> Option<Row> {
        let kind = op & 3;
        let addr = self.addr()?;
        let new = if kind == RESIZE { self.addr()? } else { Addr(0) };
        let state = &mut self.state;
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
        let has_size = match kind {
            FREE => Family::from_bits(op >> 2) == Family::Map,
            OBJECT => op & KIND == HANDED_OUT,
            _ => true,
        };
        if has_size && op & SAME_SIZE == 0 {
            state.size = self.sizes.varint()?;
        }
        let at = Nanos(state.time.saturating_mul(TIME_UNIT));
        let size = if has_size { state.size } else { 0 };
        Some(Row { at, addr, new, size, thread: state.thread, stack, op })
    }

    #[inline(always)]
    fn addr(&mut self) -> Option<Addr> {
        self.state.addr = self.state.addr.wrapping_add_signed(read_addr(&mut self.addrs)?);
        Some(Addr(self.state.addr))
    }
}
