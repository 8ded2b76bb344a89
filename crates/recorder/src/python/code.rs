//! Code objects: which are known, what they are called, and which line an instruction belongs to.
//!
//! A code object is numbered when a frame of it is first seen. When it is freed, its number is gone for good: another
//! one may come to lie at its address. A small filter tells frees of what is surely no code object.

use super::layout::{Instruction, Layout, Lines};
use super::python;
use crate::stream::Thread;
use crate::{session, sys};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering::*};
use heapwise_trace::ring::{FRAME_CUT, Record, blob, frame, tag};

const LEVELS: usize = 4;
/// log2 of slots per level.
const CODE_BITS: [u32; LEVELS] = [13, 16, 19, 22];
const PROBES: usize = 32;

/// Addresses of code objects; a slot that was used stays used. 0 is free.
static TABLES: [AtomicPtr<AtomicU64>; LEVELS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; LEVELS];
static USED: [AtomicU32; LEVELS] = [const { AtomicU32::new(0) }; LEVELS];
const GONE: u64 = u64::MAX;

/// One bit per hash of a known code object's address.
static FILTER: [AtomicU8; 1 << 13] = [const { AtomicU8::new(0) }; 1 << 13];
/// Changes whenever a code object was freed.
static EPOCH: AtomicU32 = AtomicU32::new(0);

#[inline(always)]
pub fn epoch() -> u32 {
    EPOCH.load(Acquire)
}

/// Forgets everything. Only while no other thread can look.
pub fn reset() {
    for ((table, used), bits) in TABLES.iter().zip(&USED).zip(CODE_BITS) {
        let base = table.swap(core::ptr::null_mut(), Relaxed);
        if !base.is_null() {
            // SAFETY: mapped by `add_level`; nobody else looks.
            unsafe { sys::unmap(base.cast(), 8 << bits) };
        }
        used.store(0, Relaxed);
    }
    EPOCH.fetch_add(1, AcqRel);
}

#[inline(always)]
fn hash(address: u64, bits: u32) -> usize {
    ((address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}

fn filter(address: u64) -> (&'static AtomicU8, u8) {
    let at = hash(address, 16);
    (&FILTER[at >> 3], 1 << (at & 7))
}

/// A block is about to be freed.
#[inline(always)]
pub fn freed(address: u64) {
    let (byte, bit) = filter(address);
    if byte.load(Relaxed) & bit != 0 {
        forget(address);
    }
}

#[cold]
#[inline(never)]
fn forget(address: u64) {
    if let Some((slot, _)) = find(address) {
        slot.store(GONE, Relaxed);
        EPOCH.fetch_add(1, AcqRel);
    }
}

/// Slot and number of a known code object.
fn find(address: u64) -> Option<(&'static AtomicU64, u32)> {
    let mut first = 1u32;
    for (table, bits) in TABLES.iter().zip(CODE_BITS) {
        let base = table.load(Acquire);
        if base.is_null() {
            return None;
        }
        let mask = (1usize << bits) - 1;
        let mut at = hash(address, bits);
        for _ in 0..PROBES {
            // SAFETY: within the level; levels stay mapped as long as this image lives.
            let slot = unsafe { &*base.add(at) };
            match slot.load(Acquire) {
                0 => break,
                found if found == address => return Some((slot, first + at as u32)),
                _ => at = (at + 1) & mask,
            }
        }
        first += 1 << bits;
    }
    None
}

/// The number of a code object, which is told to `heapwise` when it is new. 0: there is no room.
///
/// # Safety
/// `address` is that of a live code object.
unsafe fn number_of(thread: &mut Thread, layout: &Layout, address: u64) -> u32 {
    if let Some((_, number)) = find(address) {
        return number;
    }
    let mut first = 1u32;
    for ((table, used), bits) in TABLES.iter().zip(&USED).zip(CODE_BITS) {
        if table.load(Acquire).is_null() {
            add_level(table, bits);
        }
        let base = table.load(Acquire);
        if base.is_null() {
            return 0;
        }
        let mask = (1usize << bits) - 1;
        let mut at = hash(address, bits);
        if used.load(Relaxed) as usize <= mask / 2 {
            for _ in 0..PROBES {
                // SAFETY: as in `find`.
                let slot = unsafe { &*base.add(at) };
                let number = first + at as u32;
                match slot.compare_exchange(0, address, AcqRel, Acquire) {
                    Ok(_) => {
                        used.fetch_add(1, Relaxed);
                        let (byte, bit) = filter(address);
                        byte.fetch_or(bit, Relaxed);
                        // SAFETY: by the caller.
                        unsafe { announce(thread, layout, address, number) };
                        return number;
                    }
                    Err(found) if found == address => return number,
                    Err(_) => at = (at + 1) & mask,
                }
            }
        }
        first += 1 << bits;
    }
    0
}

#[cold]
fn add_level(table: &AtomicPtr<AtomicU64>, bits: u32) {
    let fresh = sys::map(8 << bits);
    if fresh.is_null() {
        return;
    }
    match table.compare_exchange(core::ptr::null_mut(), fresh.cast(), AcqRel, Acquire) {
        Ok(_) => session::own(fresh, 8 << bits),
        // SAFETY: our own fresh mapping; another thread was faster.
        Err(_) => unsafe { sys::unmap(fresh, 8 << bits) },
    }
}

/// Bytes of a name that are told.
const NAME_MAX: usize = 1024;

/// # Safety
/// `address` is that of a live code object.
unsafe fn announce(thread: &mut Thread, layout: &Layout, address: u64, number: u32) {
    let (mut name, mut file) = ([0u8; NAME_MAX], [0u8; NAME_MAX]);
    // SAFETY: a code object's names are strings.
    let (name_length, file_length) = unsafe {
        (
            text(layout, word(address + u64::from(layout.code_name)), &mut name),
            text(layout, word(address + u64::from(layout.code_file)), &mut file),
        )
    };
    thread.write_blob(
        blob::CODE,
        &[
            &number.to_le_bytes(),
            &(name_length as u32).to_le_bytes(),
            &name[..name_length],
            &file[..file_length],
        ],
    );
}

/// # Safety
/// Eight bytes at `address` can be read.
#[inline(always)]
pub unsafe fn word(address: u64) -> u64 {
    // SAFETY: by the caller.
    unsafe { (address as *const u64).read_unaligned() }
}

/// A string as UTF-8, as far as it fits; bytes written.
///
/// # Safety
/// `string` is null or a live `str`.
unsafe fn text(layout: &Layout, string: u64, out: &mut [u8; NAME_MAX]) -> usize {
    if string == 0 {
        return 0;
    }
    // SAFETY: by the caller: length at 16, state at 32 in all versions.
    let (length, state) = unsafe { (word(string + 16) as usize, *((string + 32) as *const u32)) };
    let (width, is_compact, is_ascii) = (state >> 2 & 7, state >> 5 & 1 != 0, state >> 6 & 1 != 0);
    if !is_compact {
        return 0;
    }
    let data = string + u64::from(if is_ascii { layout.ascii } else { layout.compact });
    let mut written = 0;
    for i in 0..length as u64 {
        // SAFETY: `length` characters of that width lie there.
        let character = unsafe {
            match width {
                1 => u32::from(*((data + i) as *const u8)),
                2 => u32::from(*((data + 2 * i) as *const u16)),
                _ => *((data + 4 * i) as *const u32),
            }
        };
        let character = char::from_u32(character).unwrap_or(char::REPLACEMENT_CHARACTER);
        if written + character.len_utf8() > NAME_MAX {
            break;
        }
        written += character.encode_utf8(&mut out[written..]).len();
    }
    written
}

/// Whether a frame's code is a code object.
///
/// # Safety
/// `code` is null or an object.
pub unsafe fn is_code(code: u64) -> bool {
    // SAFETY: by the caller; an object's type is its second word.
    code != 0 && unsafe { word(code + 8) } == python().code_type
}

/// The number of a frame at an instruction of a code object; new ones are told.
///
/// # Safety
/// `code` is a live code object, and `instruction` what a frame of it says.
#[cold]
#[inline(never)]
pub unsafe fn frame_number(thread: &mut Thread, layout: &Layout, code: u64, instruction: u64) -> u32 {
    // SAFETY: by the caller.
    let number = unsafe { number_of(thread, layout, code) };
    if number == 0 {
        return FRAME_CUT;
    }
    let offset = match layout.kind {
        Instruction::Bytes => i64::from(instruction as i32),
        Instruction::Units => i64::from(instruction as i32) * 2,
        Instruction::Pointer => instruction.wrapping_sub(code + u64::from(layout.code_bytes)) as i64,
    };
    // SAFETY: by the caller.
    let line = unsafe { line_of(layout, code, offset) };
    let (frame, is_new) = crate::frames::script_frame(u64::from(number) << 32 | u64::from(line));
    if is_new {
        let word = u64::from(number) << 32 | u64::from(line);
        thread.write(Record::new(tag::FRAME, frame::SCRIPT, u64::from(frame), word));
    }
    frame
}

/// The line of the instruction `offset` bytes into the code; that of the code object where it has none.
///
/// # Safety
/// `code` is a live code object.
unsafe fn line_of(layout: &Layout, code: u64, offset: i64) -> u32 {
    // SAFETY: by the caller; a table of lines is a `bytes`.
    unsafe {
        let first = *((code + u64::from(layout.code_first_line)) as *const i32);
        let table = word(code + u64::from(layout.code_lines));
        let bytes = match table {
            0 => &[][..],
            it => core::slice::from_raw_parts((it + 32) as *const u8, word(it + 16) as usize),
        };
        let line = match layout.lines {
            Lines::Lnotab => lnotab(bytes, first, offset),
            Lines::Ranges => ranges(bytes, first, offset),
            Lines::Locations => locations(bytes, first, offset),
        };
        line.unwrap_or(first).max(0) as u32
    }
}

fn lnotab(table: &[u8], first: i32, offset: i64) -> Option<i32> {
    let (mut line, mut at) = (first, 0);
    for pair in table.as_chunks::<2>().0 {
        at += i64::from(pair[0]);
        if at > offset {
            break;
        }
        line = line.wrapping_add(i32::from(pair[1] as i8));
    }
    Some(line)
}

fn ranges(table: &[u8], first: i32, offset: i64) -> Option<i32> {
    let (mut line, mut end) = (first, 0);
    for pair in table.as_chunks::<2>().0 {
        let step = pair[1] as i8;
        end += i64::from(pair[0]);
        if step != i8::MIN {
            line = line.wrapping_add(i32::from(step));
        }
        if offset < end {
            return (step != i8::MIN).then_some(line);
        }
    }
    None
}

fn locations(table: &[u8], first: i32, offset: i64) -> Option<i32> {
    let (mut line, mut end, mut at) = (first, 0, 0);
    while at < table.len() {
        let head = table[at];
        at += 1;
        end += 2 * i64::from((head & 7) + 1);
        let step = match head >> 3 & 15 {
            // No location.
            15 => None,
            13 | 14 => Some(signed(&table[at..])),
            short @ 10..=12 => Some(i32::from(short) - 10),
            _ => Some(0),
        };
        line = line.wrapping_add(step.unwrap_or(0));
        if offset < end {
            return step.is_some().then_some(line);
        }
        // What follows of this entry has no bit 7.
        while at < table.len() && table[at] & 0x80 == 0 {
            at += 1;
        }
    }
    None
}

/// A number in groups of six bits, least first; bit 6 says that more follow. Its low bit is the sign.
fn signed(bytes: &[u8]) -> i32 {
    let (mut value, mut shift) = (0u32, 0);
    for byte in bytes {
        value |= u32::from(byte & 0x3f).wrapping_shl(shift);
        shift += 6;
        if byte & 0x40 == 0 || shift >= 32 {
            break;
        }
    }
    let size = (value >> 1) as i32;
    if value & 1 != 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_3_8() {
        // Lines 1, 2 at 6, 300 at 56, 290 at 60.
        let table = [6, 1, 50, 127, 0, 127, 0, 44, 4, (-10i8) as u8];
        let lines = [(-1, 1), (0, 1), (5, 1), (6, 2), (55, 2), (56, 300), (59, 300), (60, 290), (900, 290)];
        assert!(lines.iter().all(|&(offset, line)| lnotab(&table, 1, offset) == Some(line)));
    }

    #[test]
    fn lines_of_3_10() {
        let table = [6, 1, 4, (-128i8) as u8, 2, 5];
        let lines = [(0, Some(11)), (5, Some(11)), (6, None), (9, None), (10, Some(16)), (12, None)];
        assert!(lines.iter().all(|&(offset, line)| ranges(&table, 10, offset) == line));
    }

    #[test]
    fn lines_of_3_11() {
        // Two units, same line, short form with one more byte; one unit, two lines on with two columns; three units
        // without location; one unit, long form, 70 lines back (-70 -> 141 -> 0x4d 0x02).
        let table =
            [0x80 | 1, 0x12, 0x80 | 12 << 3, 4, 8, 0x80 | 15 << 3 | 2, 0x80 | 14 << 3, 0x4d, 0x02, 0, 1, 2];
        let lines = [(-2, Some(100)), (0, Some(100)), (3, Some(100)), (4, Some(102)), (6, None), (11, None)];
        assert!(lines.iter().all(|&(offset, line)| locations(&table, 100, offset) == line));
        assert_eq!(locations(&table, 100, 12), Some(32));
    }
}
