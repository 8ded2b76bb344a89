//! Records of all streams of a process, in the order they happened (see `heapwise_trace::ring`).

use crate::ring::Ring;
use heapwise_trace::ring::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::Ordering::*;

/// What is known of one stream.
#[derive(Default)]
struct Stream {
    /// Sequence of the chunk to read next, and how many of its records are read.
    sequence: u32,
    taken: usize,
    thread: u32,
    /// Copied and not yet delivered.
    records: Vec<Record>,
    delivered: usize,
    /// Stamp of the last record looked at.
    stamp: u64,
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
    /// Reads what is there and delivers what is certainly in order; all of it when `is_final`.
    /// How many chunks were full.
    pub fn drain(&mut self, ring: &mut Ring, is_final: bool, sink: &mut impl Sink) -> usize {
        let mut limit = if is_final { u64::MAX } else { crate::sys::stamp().saturating_sub(VISIBILITY) };
        let mut full = 0;
        // A stream whose chunk was freed here may have gone on in another: look again until nothing is full.
        for _ in 0..DRAIN_ROUNDS {
            let mut was_full = false;
            for chunk in ring.chunks() {
                let stream = self.streams.entry(chunk.stream).or_default();
                if chunk.sequence != stream.sequence {
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
                if committed > stream.taken {
                    let from = stream.records.len();
                    ring.copy(&chunk, stream.taken, committed, &mut stream.records);
                    stream.taken = committed;
                    define(&stream.records[from..], sink);
                }
                if is_full {
                    stream.sequence += 1;
                    stream.taken = 0;
                    ring.release(&chunk);
                    was_full = true;
                    full += 1;
                }
            }
            if !was_full {
                break;
            }
        }
        if ring.header().streams.load(SeqCst) <= 1 {
            // One stream is in order by itself; no other had begun when all of this was written.
            for (&number, stream) in &mut self.streams {
                stream.deliver(number, u64::MAX, sink);
            }
        } else {
            self.merge(limit, sink);
        }
        full
    }

    fn merge(&mut self, limit: u64, sink: &mut impl Sink) {
        let mut heap = BinaryHeap::new();
        for (&number, stream) in &self.streams {
            if let Some(stamp) = stream.next_stamp() {
                heap.push(Reverse((stamp, number)));
            }
        }
        while let Some(Reverse((stamp, number))) = heap.pop() {
            if stamp > limit {
                break;
            }
            let until = heap.peek().map_or(limit, |&Reverse((other, _))| other.min(limit));
            let stream = self.streams.get_mut(&number).expect("streams are never removed while merging");
            stream.deliver(number, until, sink);
            if let Some(stamp) = stream.next_stamp() {
                heap.push(Reverse((stamp, number)));
            }
        }
    }
}

/// Chunks freed at once before delivering; bounds what is held copied.
const DRAIN_ROUNDS: usize = 8;

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
    /// Stamp of the next event; `None` when there is none.
    fn next_stamp(&self) -> Option<u64> {
        let mut stamp = self.stamp;
        let mut at = self.delivered;
        loop {
            let record = *self.records.get(at)?;
            at += 1;
            match record.tag() {
                tag::TIME => stamp = record.1,
                tag::FRAME | tag::STACK | tag::WIDE => {}
                tag::BLOB => at += blob_records(record),
                _ => return Some(stamp + record.time()),
            }
        }
    }

    /// Delivers events up to the stamp `until`.
    fn deliver(&mut self, number: u32, until: u64, sink: &mut impl Sink) {
        let mut wide = Wide::default();
        let mut at = self.delivered;
        let mut stamp = self.stamp;
        let mut expected = at;
        while let Some(&record) = self.records.get(at) {
            if at >= expected {
                expected = (at + BATCH).min(self.records.len());
                sink.expect(&self.records[at..expected]);
            }
            at += 1;
            match record.tag() {
                tag::TIME => stamp = record.1,
                tag::FRAME | tag::STACK => {}
                tag::BLOB => at += blob_records(record),
                tag::WIDE if record.time() == wide::ADDR => wide.addr = Some(record.1),
                tag::WIDE if record.time() == wide::SIZE => wide.size = Some(record.1),
                tag::WIDE => {
                    if stamp > until {
                        break;
                    }
                    sink.event(number, self.thread, stamp, record, &wide);
                    (self.delivered, self.stamp) = (at, stamp);
                }
                _ => {
                    stamp += record.time();
                    if stamp > until {
                        break;
                    }
                    sink.event(number, self.thread, stamp, record, &wide);
                    wide = Wide::default();
                    (self.delivered, self.stamp) = (at, stamp);
                }
            }
        }
        if self.delivered == self.records.len() {
            self.records.clear();
            self.delivered = 0;
        } else if self.delivered >= COMPACT {
            self.records.drain(..self.delivered);
            self.delivered = 0;
        }
    }
}

/// Records announced at once.
const BATCH: usize = 32;
/// Delivered records that are kept before the buffer is moved up.
const COMPACT: usize = 1 << 16;
