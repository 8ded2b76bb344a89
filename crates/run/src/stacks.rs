//! Stacks of threads that have ended. glibc keeps them mapped for the next threads, full of stale words.
//!
//! ```text
//!   low                                                                    high
//!   | no access | unused ... frames ... | return address | thread-local | descriptor |
//!   ^ block                              ^ of `clone3`     storage        ^ thread pointer
//! ```
//!
//! Guard, stack, thread-local storage and descriptor are one block, which the descriptor (`struct pthread`) names by
//! start and size. It begins with its own address, and has that in its third word too (`tcbhead_t`). The thread's
//! first function is called through a register, and what that call leaves is the stack's first word. So everything
//! below that word is dead once the thread is, and thread-local storage and descriptor go on being roots: glibc
//! gives them to the next thread, and memcheck takes them for defined.
//!
//! Offsets in the descriptor are glibc's own affair and not relied on. What does not look like this is left alone:
//! a root too many hides a leak, a root too few invents one.

use crate::maps::{self, Region};
use crate::sys;

/// Ranges of ended threads' stacks in which nothing is in use. `live` are the thread pointers of those that run,
/// `pointers` their stack pointers.
pub fn ended(pid: u32, regions: &[Region], live: &[u64], pointers: &[u64]) -> Vec<(u64, u64)> {
    let pairs = regions.windows(2).filter(|pair| is_guarded(&pair[0], &pair[1]));
    pairs
        .filter(|pair| !pointers.iter().any(|&it| pair[1].contains(it)))
        .filter_map(|pair| {
            let descriptor = descriptor(pid, &pair[0], &pair[1])?;
            if live.contains(&descriptor) {
                return None;
            }
            Some((pair[1].start, first_word(pid, regions, &pair[1], descriptor)?))
        })
        .collect()
}

/// Whether `region` can be a stack, and `guard` the memory that catches its overflow.
fn is_guarded(guard: &Region, region: &Region) -> bool {
    let is_guard = !guard.is_readable && !guard.is_file && guard.end == region.start;
    let is_anonymous = !region.is_file && (region.path.is_empty() || region.path.starts_with("[anon"));
    is_guard && is_anonymous && region.is_readable && region.is_writable
}

const WINDOW: u64 = 64 << 10;
/// How far from a region's end a descriptor is looked for: at its end, but for what is mapped right behind it.
const SEARCH_MAX: u64 = 64 << 20;
/// Alignment of a thread pointer, at least.
const ALIGNMENT: u64 = 64;
/// A descriptor is shorter; thread-local storage before it takes no more than `WINDOW`.
const DESCRIPTOR_MAX: u64 = 4096;
const PAGE: u64 = 4096;

/// Words of a range, as many as can be read.
fn words(pid: u32, from: u64, to: u64) -> Vec<u64> {
    let mut bytes = vec![0; to.saturating_sub(from).min(WINDOW) as usize];
    let got = sys::read_memory(pid, from, &mut bytes);
    bytes[..got].as_chunks::<8>().0.iter().map(|it| u64::from_le_bytes(*it)).collect()
}

/// The descriptor at the end of the stack that begins behind `guard`.
fn descriptor(pid: u32, guard: &Region, region: &Region) -> Option<u64> {
    let mut to = region.end;
    while to > region.start && region.end - to < SEARCH_MAX {
        let from = to.saturating_sub(WINDOW).max(region.start);
        let words = words(pid, from, to);
        let found = words.chunks_exact(ALIGNMENT as usize / 8).enumerate().find_map(|(i, chunk)| {
            let at = from + i as u64 * ALIGNMENT;
            (chunk[0] == at && chunk[2] == at && names_block(pid, at, guard, region)).then_some(at)
        });
        if found.is_some() {
            return found;
        }
        to = from;
    }
    None
}

/// Whether a descriptor tells of a block from the guard to its own end.
fn names_block(pid: u32, descriptor: u64, guard: &Region, region: &Region) -> bool {
    let words = words(pid, descriptor, region.end.min(descriptor + DESCRIPTOR_MAX));
    words.windows(2).any(|pair| {
        let (block, end) = (pair[0], pair[0].wrapping_add(pair[1]));
        guard.contains(block)
            && block.is_multiple_of(PAGE)
            && end.is_multiple_of(PAGE)
            && (descriptor..=region.end).contains(&end)
    })
}

/// Where a stack's first word stands: the nearest return address of a call through a register.
fn first_word(pid: u32, regions: &[Region], region: &Region, descriptor: u64) -> Option<u64> {
    let from = descriptor.saturating_sub(WINDOW).max(region.start);
    let words = words(pid, from, descriptor);
    // The ABI aligns the stack to 16 before a call.
    let at = |i: usize| from + i as u64 * 8;
    (0..words.len()).rev().find(|&i| at(i) % 16 == 8 && is_returned_to(pid, regions, words[i])).map(at)
}

/// Whether a call through a register (`ff d0` to `ff d7`) stands before an address.
fn is_returned_to(pid: u32, regions: &[Region], address: u64) -> bool {
    let mut code = [0; 2];
    maps::find(regions, address).is_some_and(|it| it.is_file && it.is_executable)
        && sys::read_memory(pid, address.wrapping_sub(2), &mut code) == 2
        && code[0] == 0xff
        && (0xd0..=0xd7).contains(&code[1])
}
