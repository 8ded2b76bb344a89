//! Records of all streams of a process, in the order they happened (see `heapwise_trace::ring`).

use crate::ring::{Chunk, Ring};
use heapwise_trace::ring::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::atomic::Ordering::*;

/// What is known of one stream.
#[derive(Default)]
struct Stream {
    /// Sequence of the chunk to copy next, and how many of its records are copied.
    sequence: u32,
    taken: usize,
    thread: u32,
    /// Chunks that this look has found, not copied yet. Only the last one may still be written.
    found: VecDeque<Found>,
    /// Copied; those before `delivered` are delivered, those before `expected` were announced.
    records: Vec<Record>,
    delivered: usize,
    expected: usize,
    /// Stamp of the last record looked at.
    stamp: u64,
}

/// A chunk as it was when it was looked at.
struct Found {
    chunk: Chunk,
    committed: usize,
    is_full: bool,
}

/// Time between a stamp being taken and the record's `begun` being visible, in stamps (about 0.1 ms).
const VISIBILITY: u64 = 1 << 18;

#[derive(Default)]
pub struct Merge {
    streams: BTreeMap<u32, Stream>,
}

/// Receives records in order.
pub trait Sink {
    /// A frame, stack or module; comes before every record that uses it.
    fn define(&mut self, record: Record, payload: &[Record]);
    /// The records that come next, so that what they touch can be read early. Most are events.
    fn expect(&mut self, records: &[Record]);
    /// Anything but a definition. `stamp` is exact for processes with several streams, else the last known.
    fn event(&mut self, stream: u32, thread: u32, stamp: u64, record: Record, wide: &Wide);
}

/// What `tag::WIDE` records said about the event they precede.
#[derive(Default, Clone, Copy)]
pub struct Wide {
    pub addr: Option<u64>,
    pub size: Option<u64>,
}

impl Merge {
    /// Delivers what is there and certainly in order; all of it when `is_final`. How many chunks were full.
    ///
    /// Chunks are copied, and given back, one by one as their records' turn comes: the program finds free ones all the
    /// while, and what is copied is delivered while it is in the cache.
    pub fn drain(&mut self, ring: &mut Ring, is_final: bool, sink: &mut impl Sink) -> usize {
        // What is not found now is stamped later.
        let mut limit = if is_final { u64::MAX } else { crate::sys::stamp().saturating_sub(VISIBILITY) };
        let mut full = 0;
        for chunk in ring.chunks() {
            let stream = self.streams.entry(chunk.stream).or_default();
            let is_next = stream.found.back().is_none_or(|it| it.is_full);
            if !is_next || chunk.sequence != stream.sequence.wrapping_add(stream.found.len() as u32) {
                continue;
            }
            let header = ring.chunk(&chunk);
            stream.thread = header.thread.load(Relaxed);
            let begun = header.begun.load(SeqCst);
            let is_full = header.state.load(Acquire) == CHUNK_FULL;
            let committed = header.committed.load(Acquire) as usize;
            if begun != 0 && !is_full && !is_final {
                limit = limit.min(begun);
            }
            full += usize::from(is_full);
            stream.found.push_back(Found { chunk, committed, is_full });
        }
        if ring.header().streams.load(SeqCst) <= 1 {
            // One stream is in order by itself; no other had begun when all of this was written.
            for (&number, stream) in &mut self.streams {
                stream.deliver(number, u64::MAX, sink);
                while stream.copy_next(ring, sink) {
                    stream.deliver(number, u64::MAX, sink);
                }
            }
        } else {
            self.merge(ring, limit, sink);
            // A thread that is stopped within an event holds up what the others go on to record, but not the others:
            // a signal handler may wait for them.
            for stream in self.streams.values_mut() {
                while stream.copy_next(ring, sink) {}
            }
        }
        full
    }

    fn merge(&mut self, ring: &Ring, limit: u64, sink: &mut impl Sink) {
        let mut streams: Vec<(u32, &mut Stream)> =
            self.streams.iter_mut().filter(|it| it.1.has_more()).map(|(&number, it)| (number, it)).collect();
        let mut heap = BinaryHeap::with_capacity(streams.len());
        for (at, (_, stream)) in streams.iter_mut().enumerate() {
            heap.extend(stream.next_stamp(ring, sink).map(|stamp| Reverse((stamp, at))));
        }
        while let Some(Reverse((stamp, at))) = heap.pop() {
            if stamp > limit {
                break;
            }
            let until = heap.peek().map_or(limit, |&Reverse((other, _))| other.min(limit));
            let (number, stream) = &mut streams[at];
            stream.deliver(*number, until, sink);
            // Before any other stream's next record: it may use what is defined in this one's next chunk.
            heap.extend(stream.next_stamp(ring, sink).map(|stamp| Reverse((stamp, at))));
        }
    }
}

/// Delivers the definitions among freshly copied records.
fn define(records: &[Record], sink: &mut impl Sink) {
    let mut at = 0;
    while let Some(&record) = records.get(at) {
        at += 1;
        match record.tag() {
            tag::FRAME | tag::STACK => sink.define(record, &[]),
            tag::BLOB => {
                // A blob is committed as a whole.
                let end = (at + blob_records(record)).min(records.len());
                sink.define(record, &records[at..end]);
                at = end;
            }
            _ => {}
        }
    }
}

fn blob_records(record: Record) -> usize {
    (record.field() as usize).div_ceil(16)
}

impl Stream {
    fn has_more(&self) -> bool {
        self.delivered < self.records.len() || !self.found.is_empty()
    }

    /// Copies the next chunk that was found, and gives it back if it is full; false: there is none.
    fn copy_next(&mut self, ring: &Ring, sink: &mut impl Sink) -> bool {
        let Some(Found { chunk, committed, is_full }) = self.found.pop_front() else { return false };
        let from = self.records.len();
        ring.copy(&chunk, self.taken, committed, &mut self.records);
        self.taken = committed.max(self.taken);
        if is_full {
            self.sequence = self.sequence.wrapping_add(1);
            self.taken = 0;
            ring.release(&chunk);
        }
        define(&self.records[from..], sink);
        true
    }

    /// Stamp of the next event; `None` when there is none.
    fn next_stamp(&mut self, ring: &Ring, sink: &mut impl Sink) -> Option<u64> {
        loop {
            if let Some(stamp) = self.first_stamp() {
                return Some(stamp);
            }
            if !self.copy_next(ring, sink) {
                return None;
            }
        }
    }

    /// Stamp of the next event that is copied. What is before it was defined when it was copied.
    fn first_stamp(&mut self) -> Option<u64> {
        let mut stamp = self.stamp;
        let mut at = self.delivered;
        let mut is_prefixed = false;
        let next = loop {
            let Some(&record) = self.records.get(at) else { break None };
            match record.tag() {
                tag::TIME => stamp = record.1,
                tag::FRAME | tag::STACK => {}
                tag::WIDE if matches!(record.time(), wide::ADDR | wide::SIZE) => is_prefixed = true,
                tag::WIDE => break Some(stamp),
                tag::BLOB => at += blob_records(record),
                _ => break Some(stamp.saturating_add(record.time())),
            }
            at += 1;
            if !is_prefixed {
                (self.delivered, self.stamp) = (at.min(self.records.len()), stamp);
            }
        };
        self.forget_delivered();
        next
    }

    /// Delivers copied events up to the stamp `until`.
    fn deliver(&mut self, number: u32, until: u64, sink: &mut impl Sink) {
        let mut wide = Wide::default();
        let mut at = self.delivered;
        let mut stamp = self.stamp;
        while let Some(&record) = self.records.get(at) {
            if at >= self.expected {
                self.expected = (at + BATCH).min(self.records.len());
                sink.expect(&self.records[at..self.expected]);
            }
            at += 1;
            match record.tag() {
                tag::TIME => stamp = record.1,
                tag::FRAME | tag::STACK => {}
                tag::BLOB => at += blob_records(record),
                tag::WIDE if record.time() == wide::ADDR => wide.addr = Some(record.1),
                tag::WIDE if record.time() == wide::SIZE => wide.size = Some(record.1),
                tag => {
                    // A marker's time is that of the record before it.
                    let time = if tag == tag::WIDE { 0 } else { record.time() };
                    stamp = stamp.saturating_add(time);
                    if stamp > until {
                        break;
                    }
                    sink.event(number, self.thread, stamp, record, &std::mem::take(&mut wide));
                    (self.delivered, self.stamp) = (at, stamp);
                }
            }
        }
        self.first_stamp();
    }

    fn forget_delivered(&mut self) {
        if self.delivered == self.records.len() {
            self.records.clear();
            (self.delivered, self.expected) = (0, 0);
        } else if self.delivered >= COMPACT {
            self.records.drain(..self.delivered);
            self.expected = self.expected.saturating_sub(self.delivered);
            self.delivered = 0;
        }
    }
}

/// Records announced at once.
const BATCH: usize = 32;
/// Delivered records that are kept before the buffer is moved up.
const COMPACT: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Shared;
    use std::fs::File;

    /// A ring as the recorder writes it.
    struct Written {
        memory: Shared,
        _file: File,
        used: usize,
    }

    impl Written {
        fn new(folder: &std::path::Path, streams: u32) -> (Written, Ring) {
            let path = folder.join("ring-1-2.0");
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            file.set_len(SEGMENT_BYTES as u64).unwrap();
            let memory = Shared::map(&file, SEGMENT_BYTES).unwrap();
            let header: &RingHeader = memory.at(0);
            header.version.store(VERSION, Relaxed);
            header.segments.store(1, Relaxed);
            header.streams.store(streams, Relaxed);
            header.magic.store(MAGIC, Release);
            (Written { memory, _file: file, used: 0 }, Ring::open(&path).unwrap())
        }

        fn header(&self, chunk: usize) -> &ChunkHeader {
            self.memory.at((chunk + 1) * CHUNK_BYTES)
        }

        /// Writes the next chunk; its number.
        fn chunk(
            &mut self,
            stream: u32,
            sequence: u32,
            records: &[Record],
            begun: u64,
            is_full: bool,
        ) -> usize {
            let chunk = self.used;
            self.used += 1;
            let first = (chunk + 1) * CHUNK_BYTES + CHUNK_HEADER_BYTES;
            for (i, record) in records.iter().enumerate() {
                for (word, value) in [record.0, record.1].into_iter().enumerate() {
                    let place: &std::sync::atomic::AtomicU64 = self.memory.at(first + i * 16 + word * 8);
                    place.store(value, Relaxed);
                }
            }
            let header = self.header(chunk);
            header.stream.store(stream, Relaxed);
            header.sequence.store(sequence, Relaxed);
            header.thread.store(100 + stream, Relaxed);
            header.committed.store(records.len() as u32, Relaxed);
            header.begun.store(begun, Relaxed);
            header.state.store(if is_full { CHUNK_FULL } else { CHUNK_ACTIVE }, Release);
            chunk
        }
    }

    /// Addresses and definitions in the order of their delivery.
    #[derive(Default)]
    struct Heard {
        events: Vec<(u32, u64, u64)>,
        defined: Vec<u64>,
        expected: usize,
        /// How many definitions each event came after.
        known: Vec<usize>,
    }

    impl Sink for Heard {
        fn define(&mut self, record: Record, _: &[Record]) {
            self.defined.push(record.field());
        }
        fn expect(&mut self, records: &[Record]) {
            self.expected += records.len();
        }
        fn event(&mut self, stream: u32, _: u32, stamp: u64, record: Record, _: &Wide) {
            self.events.push((stream, stamp, record.addr()));
            self.known.push(self.defined.len());
        }
    }

    fn time(stamp: u64) -> Record {
        Record::new(tag::TIME, 0, 0, stamp)
    }
    fn alloc(after: u64, addr: u64) -> Record {
        Record::new(tag::ALLOC, after, addr >> 3, Record::sized(8, 1))
    }
    fn stack(number: u64) -> Record {
        Record::new(tag::STACK, 0, number, 0)
    }

    #[test]
    fn streams_are_merged_by_stamp_over_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let (mut written, mut ring) = Written::new(folder.path(), 2);
        let chunks = [
            written.chunk(0, 0, &[time(1000), alloc(0, 8), alloc(30, 16)], 0, true),
            written.chunk(1, 0, &[time(1010), alloc(0, 64), alloc(10, 72)], 0, true),
            // Defined here, and used by the other stream before this one's next event.
            written.chunk(0, 1, &[time(1030), stack(7), alloc(30, 24)], 0, true),
            written.chunk(1, 1, &[time(1020), alloc(25, 80), alloc(30, 88)], 0, false),
        ];
        let mut heard = Heard::default();
        assert_eq!(Merge::default().drain(&mut ring, true, &mut heard), 3);
        let order = [(1000, 8), (1010, 64), (1020, 72), (1030, 16), (1045, 80), (1060, 24), (1075, 88)];
        assert_eq!(heard.events.iter().map(|it| (it.1, it.2)).collect::<Vec<_>>(), order);
        // The event at 1045 comes after the definition that is stamped before it.
        assert_eq!(heard.known[4], 1);
        assert_eq!(heard.expected, order.len());
        let states = chunks.map(|it| written.header(it).state.load(Relaxed));
        assert_eq!(states, [CHUNK_FREE, CHUNK_FREE, CHUNK_FREE, CHUNK_ACTIVE]);
    }

    #[test]
    fn a_record_that_is_being_made_holds_up_what_is_newer_but_no_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let (mut written, mut ring) = Written::new(folder.path(), 2);
        let held = written.chunk(0, 0, &[time(1000), alloc(0, 8)], 1001, false);
        let full = [
            written.chunk(1, 0, &[time(990), alloc(5, 64), alloc(20, 72)], 0, true),
            written.chunk(1, 1, &[time(1020), alloc(0, 80)], 0, true),
        ];
        let (mut merge, mut heard) = (Merge::default(), Heard::default());
        assert_eq!(merge.drain(&mut ring, false, &mut heard), 2);
        assert_eq!(heard.events, [(1, 995, 64), (0, 1000, 8)]);
        assert!(full.iter().all(|&it| written.header(it).state.load(Relaxed) == CHUNK_FREE));
        written.header(held).begun.store(0, Relaxed);
        assert_eq!(merge.drain(&mut ring, false, &mut heard), 0);
        assert_eq!(heard.events[2..], [(1, 1015, 72), (1, 1020, 80)]);
    }

    #[test]
    fn the_only_stream_is_delivered_as_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (mut written, mut ring) = Written::new(folder.path(), 1);
        let (mut merge, mut heard) = (Merge::default(), Heard::default());
        written.chunk(0, 0, &[alloc(0, 8), alloc(0, 16)], 0, true);
        let last = written.chunk(0, 1, &[alloc(0, 24), alloc(0, 32)], 0, false);
        written.header(last).committed.store(1, Relaxed);
        merge.drain(&mut ring, false, &mut heard);
        written.header(last).committed.store(2, Relaxed);
        merge.drain(&mut ring, true, &mut heard);
        assert_eq!(heard.events.iter().map(|it| it.2).collect::<Vec<_>>(), [8, 16, 24, 32]);
    }

    #[test]
    fn definitions_are_met_once() {
        let folder = tempfile::tempdir().unwrap();
        for streams in [1, 2] {
            let _ = std::fs::remove_file(folder.path().join("ring-1-2.0"));
            let (mut written, mut ring) = Written::new(folder.path(), streams);
            let (mut merge, mut heard) = (Merge::default(), Heard::default());
            let records = [time(1000), stack(7), stack(8), time(1010), stack(9)];
            let chunk = written.chunk(0, 0, &records, 0, false);
            for count in 1..=records.len() {
                written.header(chunk).committed.store(count as u32, Relaxed);
                merge.drain(&mut ring, false, &mut heard);
                assert!(merge.streams.values().all(|it| it.records.is_empty()), "{streams}, {count}");
            }
            assert_eq!(heard.defined, [7, 8, 9]);
            assert_eq!(merge.streams[&0].stamp, 1010);
        }
    }
}
