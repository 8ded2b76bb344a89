//! The slow check: a naive pass over everything that roots reach, which shares no code with the collectors.

use crate::core::{Core, HEADER_BYTES};

/// What roots reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reachable {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Which entries roots reach, by index.
pub(crate) fn reached(core: &Core) -> Result<Vec<bool>, String> {
    let mut reached = vec![false; core.entries() as usize];
    let mut open: Vec<u32> = core.all_roots().collect();
    while let Some(index) = open.pop() {
        if index == 0 || index >= core.entries() || !core.is_live(index) {
            return Err(format!("a root or a reachable field names entry {index}, which holds no object"));
        }
        if std::mem::replace(&mut reached[index as usize], true) {
            continue;
        }
        open.extend(core.references(index));
    }
    Ok(reached)
}

pub(crate) fn reachable(core: &Core) -> Result<Reachable, String> {
    let reached = reached(core)?;
    let mut sum = Reachable { objects: 0, bytes: 0 };
    let (mut there, mut there_bytes) = (0, 0);
    let mut places = Vec::new();
    for index in 1..core.entries() {
        if !core.is_live(index) {
            continue;
        }
        let (place, (owner, shape)) = (core.place(index), core.shape_at(core.place(index)));
        if owner != index {
            return Err(format!("the header of entry {index} names entry {owner}"));
        }
        there += 1;
        there_bytes += u64::from(shape.size());
        places.push((place.segment, place.offset, shape.size()));
        if reached[index as usize] {
            sum.objects += 1;
            sum.bytes += u64::from(shape.size());
        }
    }
    let statistics = &core.statistics;
    if (there, there_bytes) != (statistics.live_objects, statistics.live_bytes) {
        let said = (statistics.live_objects, statistics.live_bytes);
        return Err(format!("(objects, bytes) are {:?}, the account says {said:?}", (there, there_bytes)));
    }
    places.sort_unstable();
    for pair in places.windows(2) {
        let ((segment, offset, size), (next_segment, next, _)) = (pair[0], pair[1]);
        debug_assert!(size >= HEADER_BYTES);
        if segment == next_segment && offset + size > next {
            return Err(format!("objects at {offset} and {next} of segment {segment} overlap"));
        }
    }
    Ok(sum)
}
