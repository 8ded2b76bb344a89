//! What all collectors share: the table of objects, their memory, roots, and the account of what was done.
//!
//! ```text
//! handle { index, generation }        reference field: index (0 = null)
//!              |                                |
//!              v                                v
//! table  [ segment | offset | generation | word ]     word: what the collector notes of the object
//!              |
//!              v
//! memory [ index | references | bytes | field 0 .. | payload .. ]     rounded up to 8
//! ```
//!
//! References name entries of the table, so an object moves by the change of one entry, and no reference is ever
//! rewritten. An entry's generation grows when its object is freed, so that a handle to it is known to be stale.
//!
//! Invariants:
//!
//! ```text
//! entry e holds an object  =>  memory[e.place].index == e
//! a field of a reachable object is null or names an entry that holds an object
//! ```

use std::collections::VecDeque;

use crate::clock;
use crate::heap::Shape;
use crate::memory::{Memory, Place};
use crate::statistics::{KEPT_PAUSES, Pause, PauseKind, Statistics, Work};

/// Bytes before an object's first field.
pub const HEADER_BYTES: u32 = 12;
/// In `Entry::word`: the program wants to be told when the object is no longer reachable.
pub const FINALIZABLE: u32 = 1 << 31;
/// In `Entry::word`: it was told; weak references no longer lead here.
pub const CONDEMNED: u32 = 1 << 30;

const VACANT: u32 = u32::MAX;

/// Where an object is, and what its collector notes of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    segment: u32,
    offset: u32,
    pub generation: u32,
    pub word: u32,
}

impl Entry {
    #[inline]
    pub fn place(&self) -> Place {
        Place { segment: self.segment, offset: self.offset }
    }
}

/// The state that a heap and its collector share.
pub struct Core {
    table: Vec<Entry>,
    /// First of the linked vacant entries.
    vacant: u32,
    pub memory: Memory,
    pub stack: Vec<u32>,
    pub roots: Vec<u32>,
    /// Objects of which the program is to be told; they are roots.
    pub condemned: VecDeque<u32>,
    /// Finalizable objects; `fresh` are those since the last look at the young.
    pub registered: Vec<u32>,
    pub fresh: Vec<u32>,
    pub statistics: Statistics,
    pub work: Work,
    limit_bytes: u64,
    born_nanos: u64,
}

/// A pause that is going on.
pub struct Stopwatch {
    kind: PauseKind,
    work: Work,
    start_nanos: u64,
}

impl Core {
    pub fn new(limit_bytes: u64) -> Self {
        // Entry 0 is null.
        let null = Entry { segment: VACANT, offset: 0, generation: 0, word: 0 };
        Self {
            table: vec![null],
            vacant: 0,
            memory: Memory::default(),
            stack: Vec::new(),
            roots: Vec::new(),
            condemned: VecDeque::new(),
            registered: Vec::new(),
            fresh: Vec::new(),
            statistics: Statistics::default(),
            work: Work::default(),
            limit_bytes,
            born_nanos: clock::thread_nanos(),
        }
    }

    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    pub fn live_bytes(&self) -> u64 {
        self.statistics.live_bytes
    }

    /// The number that indexes stay below.
    #[inline]
    pub fn entries(&self) -> u32 {
        self.table.len() as u32
    }

    #[inline]
    pub fn entry(&self, index: u32) -> &Entry {
        &self.table[index as usize]
    }

    #[inline]
    pub fn word(&self, index: u32) -> u32 {
        self.table[index as usize].word
    }

    #[inline]
    pub fn word_mut(&mut self, index: u32) -> &mut u32 {
        &mut self.table[index as usize].word
    }

    #[inline]
    pub fn is_live(&self, index: u32) -> bool {
        self.table[index as usize].segment != VACANT
    }

    #[inline]
    pub fn place(&self, index: u32) -> Place {
        self.table[index as usize].place()
    }

    /// Makes an object at a place that has room for it; its fields are null and its payload zero.
    #[inline]
    pub fn create(&mut self, place: Place, shape: Shape, word: u32) -> u32 {
        let (segment, offset) = (place.segment, place.offset);
        let index = if self.vacant == 0 {
            self.table.push(Entry { segment, offset, generation: 0, word });
            self.table.len() as u32 - 1
        } else {
            let index = self.vacant;
            let entry = &mut self.table[index as usize];
            self.vacant = entry.offset;
            *entry = Entry { segment, offset, generation: entry.generation, word };
            index
        };
        let size = shape.size();
        let object = &mut self.memory.bytes_mut(place)[..size as usize];
        let (header, rest) = object.split_first_chunk_mut::<16>().expect("no object is smaller");
        header[..4].copy_from_slice(&index.to_ne_bytes());
        header[4..8].copy_from_slice(&shape.references.to_ne_bytes());
        header[8..12].copy_from_slice(&shape.bytes.to_ne_bytes());
        header[12..].copy_from_slice(&[0; 4]);
        // The smallest without a call.
        match rest.first_chunk_mut::<8>() {
            Some(only) if size == 24 => *only = [0; 8],
            _ => rest.fill(0),
        }
        self.statistics.live_objects += 1;
        self.statistics.live_bytes += u64::from(size);
        index
    }

    /// Where the object of a handle is, if the handle is not stale.
    #[inline(always)]
    pub fn find(&self, index: u32, generation: u32) -> Option<Place> {
        let entry = self.table.get(index as usize)?;
        (entry.generation == generation).then(|| entry.place())
    }

    /// Whether one more entry can be named.
    #[inline]
    pub fn has_entry(&self) -> bool {
        self.vacant != 0 || self.table.len() < VACANT as usize - 1
    }

    /// Ends an object; its place, which the collector gives back, and its size.
    pub fn free(&mut self, index: u32) -> (Place, u32) {
        let (place, size) = (self.place(index), self.shape(index).size());
        let entry = &mut self.table[index as usize];
        debug_assert!(entry.segment != VACANT, "entry {index} is freed twice");
        entry.segment = VACANT;
        entry.word = 0;
        // An entry whose generations are used up is never used again.
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            entry.offset = self.vacant;
            self.vacant = index;
        }
        self.work.freed += 1;
        self.work.freed_bytes += u64::from(size);
        self.statistics.live_objects -= 1;
        self.statistics.live_bytes -= u64::from(size);
        (place, size)
    }

    /// Copies an object to a place that has room for it.
    pub fn relocate(&mut self, index: u32, to: Place) {
        let from = self.place(index);
        let size = self.shape(index).size();
        self.memory.copy(from, to, size as usize);
        let entry = &mut self.table[index as usize];
        (entry.segment, entry.offset) = (to.segment, to.offset);
        self.work.copied_bytes += u64::from(size);
    }

    /// What an object's header says.
    #[inline]
    pub fn shape(&self, index: u32) -> Shape {
        self.shape_at(self.place(index)).1
    }

    /// The index and the shape in the header at a place.
    #[inline]
    pub fn shape_at(&self, place: Place) -> (u32, Shape) {
        let header = &self.memory.bytes(place)[..HEADER_BYTES as usize];
        let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"));
        (word(0), Shape { references: word(4), bytes: word(8) })
    }

    /// The fields of an object that are not null, `from` on, `most` at most.
    #[inline]
    pub fn references_from(&self, index: u32, from: u32, most: u32) -> impl Iterator<Item = u32> + '_ {
        let object = self.memory.bytes(self.place(index));
        let count = u32::from_ne_bytes(object[4..8].try_into().expect("four bytes"));
        let to = count.min(from.saturating_add(most));
        let fields = &object[HEADER_BYTES as usize..][from.min(to) as usize * 4..to as usize * 4];
        fields
            .chunks_exact(4)
            .map(|it| u32::from_ne_bytes(it.try_into().expect("four bytes")))
            .filter(|&it| it != 0)
    }

    /// All fields of an object that are not null.
    #[inline]
    pub fn references(&self, index: u32) -> impl Iterator<Item = u32> + '_ {
        self.references_from(index, 0, u32::MAX)
    }

    /// All roots, some more than once.
    pub fn all_roots(&self) -> impl Iterator<Item = u32> + '_ {
        let roots = self.stack.iter().chain(&self.roots).chain(&self.condemned);
        roots.copied().filter(|&it| it != 0)
    }

    /// The program is to be told of a finalizable object: it is a root until then, and weak references end.
    pub fn condemn(&mut self, index: u32) {
        let word = self.word_mut(index);
        *word = *word & !FINALIZABLE | CONDEMNED;
        self.condemned.push_back(index);
    }

    /// Objects are about to be freed: what there is now may be the most there was.
    #[inline]
    pub fn note_peak(&mut self) {
        self.statistics.peak_bytes = self.statistics.peak_bytes.max(self.statistics.live_bytes);
    }

    /// Bytes of objects that were allocated up to now.
    fn allocated_bytes(&self) -> u64 {
        self.statistics.live_bytes + self.work.freed_bytes
    }

    pub fn stop(&mut self, kind: PauseKind) -> Stopwatch {
        self.note_peak();
        Stopwatch { kind, work: self.work, start_nanos: clock::thread_nanos() }
    }

    pub fn go_on(&mut self, stopwatch: Stopwatch) {
        let now = clock::thread_nanos();
        let nanos = now.saturating_sub(stopwatch.start_nanos);
        let work = self.work.since(&stopwatch.work);
        let at_bytes = self.allocated_bytes();
        let statistics = &mut self.statistics;
        statistics.pauses += 1;
        statistics.pause_nanos += nanos;
        statistics.longest_pause_nanos = statistics.longest_pause_nanos.max(nanos);
        statistics.longest_pause_work = statistics.longest_pause_work.max(work.traced + work.swept);
        statistics.total_nanos = now.saturating_sub(self.born_nanos);
        if statistics.log.len() < KEPT_PAUSES {
            statistics.log.push(Pause {
                kind: stopwatch.kind,
                at_bytes,
                start_nanos: stopwatch.start_nanos.saturating_sub(self.born_nanos),
                nanos,
                work,
            });
        }
    }

    /// The account up to now.
    pub fn settle(&mut self) -> &Statistics {
        self.note_peak();
        self.statistics.work = self.work;
        self.statistics.allocated_objects = self.statistics.live_objects + self.work.freed;
        self.statistics.allocated_bytes = self.allocated_bytes();
        self.statistics.peak_reserved_bytes = self.memory.peak();
        self.statistics.total_nanos = clock::thread_nanos().saturating_sub(self.born_nanos);
        &self.statistics
    }
}
