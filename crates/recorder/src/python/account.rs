//! Live blocks of CPython's own allocator, and what each stack costs in them.
//!
//! ```text
//!   address -> stack and size, four bytes for each 16 of memory that blocks lie in (`blocks`)
//!   stack   -> Account, in memory that is shared with `heapwise`
//! ```
//!
//! A record for each of these blocks cost 70 ns at the other end (documents.py makes 18 million events in a second).
//! The table is private memory: a forked child has its own, and the numbers of stacks go on in it where its parent's
//! were at the fork. All is changed under the interpreter's lock.

use crate::stream::Thread;
use crate::{blocks, session};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};
use heapwise_trace::ring::*;

static ACCOUNTS: [AtomicPtr<Accounts>; ACCOUNT_BLOCKS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; ACCOUNT_BLOCKS];
/// `session::generation` whose accounts these are.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// Bytes in live blocks; also told in the ring's header.
static LIVE: AtomicU64 = AtomicU64::new(0);
/// `heapwise` is woken when so many are live.
static CALL_AT: AtomicU64 = AtomicU64::new(CALL_MIN);
/// The block handed out last, while it is live.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Growth worth a look at the accounts: so many bytes, or one such part of what is live.
const CALL_MIN: u64 = 256 << 10;
const CALL_PART: u64 = 32;

const SIZE_MASK: u32 = (1 << object::SIZE_BITS) - 1;

/// Begins the accounts of an image: the child of a fork has its parent's live blocks.
pub fn reset() {
    for block in &ACCOUNTS {
        // A parent's are not mapped in its child.
        block.store(core::ptr::null_mut(), Relaxed);
    }
    GENERATION.store(0, Relaxed);
    LAST.store(0, Relaxed);
}

/// Tells of the table; once the ring is there.
#[cold]
#[inline(never)]
fn begin() -> bool {
    let Some(header) = session::header() else { return false };
    header.object_bytes.store(LIVE.load(Relaxed), Relaxed);
    blocks::announce();
    GENERATION.store(session::generation(), Relaxed);
    true
}

/// Whether the accounts are this image's. Where its ring is not made yet, they are not.
#[inline(always)]
fn is_current() -> bool {
    GENERATION.load(Relaxed) == session::generation() || session::generation() != 0 && begin()
}

/// The account of a stack, and the block that it is in.
#[inline(always)]
fn account(stack: u32) -> Option<(&'static Account, &'static Accounts)> {
    let block = ACCOUNTS[(stack >> ACCOUNT_BITS) as usize % ACCOUNT_BLOCKS].load(Relaxed);
    // SAFETY: null, or a block that stays mapped in this image.
    let block = match unsafe { block.as_ref() } {
        Some(it) => it,
        None => new_block(stack)?,
    };
    Some((&block.all[(stack & ((1 << ACCOUNT_BITS) - 1)) as usize], block))
}

#[cold]
#[inline(never)]
fn new_block(stack: u32) -> Option<&'static Accounts> {
    let number = (stack >> ACCOUNT_BITS) as usize % ACCOUNT_BLOCKS;
    let block = session::add_accounts(number)?;
    ACCOUNTS[number].store(block, Relaxed);
    // SAFETY: as in `account`.
    Some(unsafe { &*block })
}

/// Under the interpreter's lock no other thread adds to it.
#[inline(always)]
fn add(sum: &AtomicU64, amount: u64) -> u64 {
    let now = sum.load(Relaxed).wrapping_add(amount);
    sum.store(now, Relaxed);
    now
}

/// A block of `size` bytes (1 to 512) was handed out to `stack`.
#[inline(always)]
pub fn handed_out(thread: &mut Thread, block: u64, size: u32, stack: u32) {
    if !is_current() {
        return;
    }
    let Some(word) = blocks::new_word(block) else { return lost() };
    // Greater numbers than fit are nobody's.
    let stack = if stack >> object::STACK_BITS == 0 { stack } else { 0 };
    let Some((account, accounts)) = account(stack) else { return lost() };
    let missed = word.load(Relaxed);
    if missed != 0 {
        // It was taken back where nobody told us.
        give_back(missed, false);
    }
    word.store(stack << object::SIZE_BITS | size, Relaxed);
    add(&account.allocations, 1);
    add(&account.allocated_bytes, u64::from(size));
    accounts.is_changed.store(1, Relaxed);
    LAST.store(block, Relaxed);
    if add(&LIVE, u64::from(size)) >= CALL_AT.load(Relaxed) {
        call(thread);
    }
}

/// A block was taken back. Others than those of [`handed_out`] are none of ours.
#[inline(always)]
pub fn taken_back(block: u64) {
    let Some(word) = blocks::word(block) else { return };
    let was = word.load(Relaxed);
    if was == 0 {
        return;
    }
    if GENERATION.load(Relaxed) != session::generation() && !renewed() {
        return;
    }
    word.store(0, Relaxed);
    let is_temporary = LAST.load(Relaxed) == block;
    if is_temporary {
        LAST.store(0, Relaxed);
    }
    give_back(was, is_temporary);
}

#[inline(always)]
fn give_back(word: u32, is_temporary: bool) {
    let size = u64::from(word & SIZE_MASK);
    LIVE.store(LIVE.load(Relaxed).wrapping_sub(size), Relaxed);
    let Some((account, block)) = account(word >> object::SIZE_BITS) else { return };
    add(&account.frees, 1);
    add(&account.freed_bytes, size);
    if is_temporary {
        add(&account.temporary, 1);
    }
    block.is_changed.store(1, Relaxed);
}

/// The first free of a forked child: makes its ring.
#[cold]
#[inline(never)]
fn renewed() -> bool {
    if session::is_off() {
        return false;
    }
    let mut is_open = false;
    crate::stream::with(|_| is_open = true);
    is_open && is_current()
}

#[cold]
#[inline(never)]
fn lost() {
    if let Some(header) = session::header() {
        header.lost.fetch_add(1, Relaxed);
    }
}

/// Has `heapwise` look at the accounts: the program needs more memory than ever.
#[cold]
#[inline(never)]
fn call(thread: &mut Thread) {
    let live = LIVE.load(Relaxed);
    CALL_AT.store(live + (live / CALL_PART).max(CALL_MIN), Relaxed);
    if let Some(header) = session::header() {
        header.object_bytes.store(live, Relaxed);
    }
    thread.commit();
    session::ring_doorbell();
}
