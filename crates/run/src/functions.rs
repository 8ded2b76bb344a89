//! Where the functions of a process's modules begin, by the table that unwinders search (`.eh_frame_hdr`, Linux Standard
//! Base 5.0, 10.6.2): it is in memory, and there where symbols are stripped.

use crate::observation::Observation;
use crate::sys;
use heapwise_model::{Frame, FrameId, Module};
use heapwise_trace::StackId;
use std::collections::{BTreeSet, HashMap};

/// Functions of a module; programs have fewer.
const FUNCTIONS_MAX: u32 = 1 << 22;
const SEGMENTS_MAX: usize = 64;

/// Those native frames of `stacks` that lie in functions which begin at one of `starts`.
pub fn frames_in(
    pid: u32,
    observation: &Observation,
    stacks: impl Iterator<Item = StackId>,
    starts: &[u64],
) -> BTreeSet<FrameId> {
    let mut tables: HashMap<usize, Option<Vec<u64>>> = HashMap::new();
    let mut asked = BTreeSet::new();
    let mut found = BTreeSet::new();
    for frame in stacks.flat_map(|it| observation.stacks.frames(it)) {
        let Some(&Frame::Native { module, offset }) = observation.frames.get(frame.index()) else { continue };
        let Some(file) = observation.modules.get(module.index()).filter(|_| module.0 != 0) else { continue };
        if !asked.insert(frame) {
            continue;
        }
        let Some(table) = tables.entry(module.index()).or_insert_with(|| starts_of(pid, file)) else {
            continue;
        };
        let before = table.partition_point(|it| *it <= offset.wrapping_add(file.bias));
        let start = before.checked_sub(1).map(|it| table[it]);
        if start.is_some_and(|it| starts.binary_search(&it).is_ok()) {
            found.insert(frame);
        }
    }
    found
}

/// Addresses at which functions of a module begin, ascending.
fn starts_of(pid: u32, module: &Module) -> Option<Vec<u64>> {
    const EH_FRAME: u32 = 0x6474_e550;
    /// Version 1; the table's parts have four bytes each, its entries count from its own beginning.
    const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
    let mut header = [0; 64];
    read(pid, module.base, &mut header)?;
    if header[..4] != *b"\x7fELF" {
        return None;
    }
    let (segments, size, count) = (word(&header, 32), half(&header, 54), half(&header, 56));
    let mut segment = [0; 56];
    let table = (0..count.min(SEGMENTS_MAX)).find_map(|at| {
        read(pid, module.base.wrapping_add(segments).wrapping_add((at * size) as u64), &mut segment)?;
        let is_it = u32::from_le_bytes(segment[..4].try_into().expect("four bytes")) == EH_FRAME;
        is_it.then(|| word(&segment, 16).wrapping_add(module.bias))
    })?;
    let mut head = [0; 12];
    read(pid, table, &mut head)?;
    let count = u32::from_le_bytes(head[8..].try_into().expect("four bytes"));
    if head[..4] != FORM || count > FUNCTIONS_MAX {
        return None;
    }
    let mut rows = vec![0; count as usize * 8];
    read(pid, table.wrapping_add(12), &mut rows)?;
    let begin = |row: &[u8]| {
        let distance = i32::from_le_bytes(row[..4].try_into().expect("four bytes"));
        table.wrapping_add_signed(i64::from(distance))
    };
    let starts: Vec<u64> = rows.chunks_exact(8).map(begin).collect();
    starts.is_sorted().then_some(starts)
}

fn read(pid: u32, addr: u64, into: &mut [u8]) -> Option<()> {
    (sys::read_memory(pid, addr, into) == into.len()).then_some(())
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn half(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps;

    #[test]
    fn our_own_functions_are_found() {
        let pid = std::process::id();
        let here = our_own_functions_are_found as *const () as u64;
        let regions = maps::read(pid).unwrap();
        let own = maps::find(&regions, here).unwrap();
        let base = regions.iter().find(|it| it.path == own.path).unwrap().start;
        let module = Module { base, end: own.end, bias: base, ..Module::default() };
        let starts = starts_of(pid, &module).unwrap();
        assert!(starts.len() > 100 && starts.binary_search(&here).is_ok());
        assert_eq!(starts_of(pid, &Module { base: base + 8, ..module }), None);
    }
}
