//! Accounts of blocks of a runtime's own allocator, and the table of those that are live; see `trace::ring`.

use crate::sys::{self, Shared};
use heapwise_heap::Change;
use heapwise_trace::Addr;
use heapwise_trace::ring::{self, ACCOUNT_BITS, Account, RingHeader, object};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// The accounts of one process image, with what was read last.
#[derive(Default)]
pub struct Accounts {
    /// The ring's path without the segment's number.
    stem: PathBuf,
    blocks: Vec<Block>,
}

struct Block {
    number: usize,
    memory: Shared,
    seen: Vec<Sums>,
}

/// What an account says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sums {
    allocations: u64,
    allocated_bytes: u64,
    frees: u64,
    freed_bytes: u64,
    temporary: u64,
}

impl Sums {
    fn read(account: &Account) -> Sums {
        // What is freed was allocated before.
        let get = |sum: &AtomicU64| sum.load(Acquire);
        let (frees, freed_bytes, temporary) =
            (get(&account.frees), get(&account.freed_bytes), get(&account.temporary));
        let (allocations, allocated_bytes) = (get(&account.allocations), get(&account.allocated_bytes));
        Sums { allocations, allocated_bytes, frees, freed_bytes, temporary }
    }

    fn since(self, old: Sums) -> Change {
        let allocations = self.allocations.wrapping_sub(old.allocations);
        let allocated_bytes = self.allocated_bytes.wrapping_sub(old.allocated_bytes);
        let frees = self.frees.wrapping_sub(old.frees);
        let freed_bytes = self.freed_bytes.wrapping_sub(old.freed_bytes);
        Change {
            allocations,
            allocated_bytes,
            temporary: self.temporary.wrapping_sub(old.temporary),
            live_blocks: allocations.wrapping_sub(frees) as i64,
            live_bytes: allocated_bytes.wrapping_sub(freed_bytes) as i64,
        }
    }
}

impl Accounts {
    pub fn new(stem: PathBuf) -> Accounts {
        Accounts { stem, blocks: Vec::new() }
    }

    /// Tells, by the recorder's number of the stack, what has changed since the last time. What `hear` refuses (false)
    /// is told again.
    pub fn changes(&mut self, header: &RingHeader, mut hear: impl FnMut(u32, Change) -> bool) {
        self.open(header);
        for block in &mut self.blocks {
            let accounts: &ring::Accounts = block.memory.at(0);
            if accounts.is_changed.swap(0, SeqCst) == 0 {
                continue;
            }
            for (at, (account, seen)) in accounts.all.iter().zip(&mut block.seen).enumerate() {
                let now = Sums::read(account);
                let number = (block.number << ACCOUNT_BITS | at) as u32;
                if now == *seen {
                    continue;
                }
                if hear(number, now.since(*seen)) {
                    *seen = now;
                } else {
                    accounts.is_changed.store(1, SeqCst);
                }
            }
        }
    }

    /// Maps blocks that are new. Once both sides have them mapped their names are removed.
    fn open(&mut self, header: &RingHeader) {
        for (number, is_there) in header.accounts.iter().enumerate() {
            if is_there.load(Acquire) == 0 || self.blocks.iter().any(|it| it.number == number) {
                continue;
            }
            let mut name: OsString = self.stem.clone().into_os_string();
            name.push(format!(".a{number}"));
            let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(&name);
            if let Some(memory) = file.ok().and_then(|it| Shared::map(&it, size_of::<ring::Accounts>()).ok())
            {
                self.blocks.push(Block { number, memory, seen: vec![Sums::default(); 1 << ACCOUNT_BITS] });
                let _ = std::fs::remove_file(&name);
            }
        }
    }
}

/// A live block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectBlock {
    pub addr: Addr,
    pub size: u32,
    /// The recorder's number.
    pub stack: u32,
}

/// Blocks of more than an address space are none.
const BLOCKS_MAX: usize = 1 << 30;

/// The live blocks of a process that stands still, by ascending addresses. `root` is where it says that its table is.
pub fn live_blocks(pid: u32, root: u64) -> Vec<ObjectBlock> {
    let mut blocks = Vec::new();
    if root == 0 {
        return blocks;
    }
    let (mut directory, mut page) = (vec![0; object::DIRECTORY * 8], vec![0; object::PAGE * 4]);
    let mut pointers = vec![0; object::ROOT * 8];
    read(pid, root, &mut pointers);
    for (high, at) in words(&pointers) {
        read(pid, at, &mut directory);
        for (middle, at) in words(&directory) {
            read(pid, at, &mut page);
            let base = (high << 34) | (middle << 20);
            for (low, bytes) in page.as_chunks::<4>().0.iter().enumerate() {
                let word = u32::from_le_bytes(*bytes);
                if word != 0 && blocks.len() < BLOCKS_MAX {
                    blocks.push(ObjectBlock {
                        addr: Addr(base | (low as u64) << 4),
                        size: word & ((1 << object::SIZE_BITS) - 1),
                        stack: word >> object::SIZE_BITS,
                    });
                }
            }
        }
    }
    blocks
}

/// What cannot be read is 0.
fn read(pid: u32, at: u64, into: &mut [u8]) {
    let count = sys::read_memory(pid, at, into).min(into.len());
    into[count..].fill(0);
}

/// Those that are not 0, with their indexes.
fn words(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let words = bytes.as_chunks::<8>().0.iter().map(|it| u64::from_le_bytes(*it));
    words.enumerate().map(|(at, word)| (at as u64, word)).filter(|it| it.1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_trace::ring::SEGMENT_BYTES;

    #[test]
    fn what_is_refused_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = || OpenOptions::new().read(true).write(true).create_new(true).clone();
        let ring = options().open(folder.path().join("ring.0")).unwrap();
        ring.set_len(SEGMENT_BYTES as u64).unwrap();
        let ring = Shared::map(&ring, SEGMENT_BYTES).unwrap();
        let header: &RingHeader = ring.at(0);
        let file = options().open(folder.path().join("ring.a1")).unwrap();
        file.set_len(size_of::<ring::Accounts>() as u64).unwrap();
        let memory = Shared::map(&file, size_of::<ring::Accounts>()).unwrap();
        let block: &ring::Accounts = memory.at(0);
        let account = &block.all[2];
        block.is_changed.store(1, Relaxed);
        let mut accounts = Accounts::new(folder.path().join("ring"));
        account.allocations.store(5, Relaxed);
        account.allocated_bytes.store(500, Relaxed);
        accounts.changes(header, |_, _| panic!("there is no block of accounts yet"));
        header.accounts[1].store(1, Relaxed);
        let mut told = Vec::new();
        accounts.changes(header, |number, change| {
            told.push((number, change.live_blocks, change.live_bytes));
            false
        });
        account.frees.store(6, Relaxed);
        block.is_changed.store(1, Relaxed);
        account.freed_bytes.store(550, Relaxed);
        accounts.changes(header, |number, change| {
            told.push((number, change.live_blocks, change.live_bytes));
            true
        });
        accounts.changes(header, |_, _| panic!("nothing has changed"));
        assert_eq!(told, [(4098, 5, 500), (4098, -1, -50)]);
        assert!(!folder.path().join("ring.a1").exists());
    }
}
