//! Writes a recording, block by block.

use super::columns::Columns;
use super::record;
use super::*;
use crate::{Addr, Event, Family, Nanos, StackId};
use std::io;

/// Raw bytes after which a block is written.
const BLOCK_BYTES: usize = 256 << 10;
/// Events between two looks at how many bytes there are.
const LIMIT_INTERVAL: u64 = 64;

/// Collects events and appends blocks to `W`. The first failed write ends the recording: everything
/// before it stands, later events are counted, the caller asks [`Writer::failure`].
pub struct Writer<W> {
    out: W,
    /// Definitions: written before the events that use them.
    before: Vec<u8>,
    columns: Columns,
    /// What the events led to.
    after: Vec<u8>,
    before_state: record::State,
    after_state: record::State,
    body: Vec<u8>,
    raw: Vec<u8>,
    packed: Vec<u8>,
    packer: zstd::bulk::Compressor<'static>,
    number: u32,
    written: u64,
    failure: Option<io::Error>,
}

impl<W: io::Write> Writer<W> {
    /// Writes the header.
    pub fn new(mut out: W) -> io::Result<Writer<W>> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&ORDER.to_le_bytes());
        header.extend_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        out.write_all(&header)?;
        Writer::append(out, HEADER_BYTES as u64)
    }

    /// Goes on where `out` ends, after `written` bytes of whole blocks.
    pub fn append(out: W, written: u64) -> io::Result<Writer<W>> {
        Ok(Writer {
            out,
            before: Vec::new(),
            columns: Columns::default(),
            after: Vec::new(),
            before_state: Default::default(),
            after_state: Default::default(),
            body: Vec::new(),
            raw: Vec::new(),
            packed: Vec::new(),
            packer: zstd::bulk::Compressor::new(LEVEL)?,
            number: 0,
            written,
            failure: None,
        })
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Why the recording ends early.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// The file itself, to cut a block that was written in part.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    #[inline(always)]
    pub fn alloc(&mut self, at: Nanos, thread: u32, addr: Addr, size: u64, family: Family, stack: StackId) {
        self.columns.alloc(at, thread, addr, size, family, stack);
        self.limit();
    }

    #[inline(always)]
    pub fn free(&mut self, at: Nanos, thread: u32, addr: Addr, size: u64, family: Family, stack: StackId) {
        self.columns.free(at, thread, addr, size, family, stack);
        self.limit();
    }

    #[inline(always)]
    pub fn resize(&mut self, at: Nanos, thread: u32, old: Addr, new: Addr, size: u64, stack: StackId) {
        self.columns.resize(at, thread, old, new, size, stack);
        self.limit();
    }

    /// Any event. Definitions must come in the order of their ids, starting at 1.
    pub fn event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Alloc { at, thread, addr, size, family, stack } => {
                self.alloc(at, thread, addr, size, family, stack)
            }
            Event::Free { at, thread, addr, size, family, stack } => {
                self.free(at, thread, addr, size, family, stack)
            }
            Event::Resize { at, thread, old, new, size, stack } => {
                self.resize(at, thread, old, new, size, stack)
            }
            Event::Sampling { .. }
            | Event::Process { .. }
            | Event::Module { .. }
            | Event::Frame { .. }
            | Event::Code { .. }
            | Event::ScriptFrame { .. }
            | Event::Stack { .. }
            | Event::Thread { .. }
            | Event::Inherited { .. } => {
                record::push(&mut self.before, &mut self.body, &mut self.before_state, event);
                if self.before.len() >= BLOCK_BYTES && self.columns.count() == 0 && self.after.is_empty() {
                    self.flush();
                }
            }
            Event::Attachment { .. } => {
                record::push(&mut self.after, &mut self.body, &mut self.after_state, event);
                self.flush();
            }
            // Between what was before it and what comes after it: the order within a block is another one.
            Event::Mark { .. } | Event::Account { .. } | Event::AccountsEnd { .. } => {
                let is_mark = matches!(event, Event::Mark { .. });
                if is_mark || self.columns.count() > 0 || self.before.len() >= BLOCK_BYTES {
                    self.flush();
                }
                record::push(&mut self.before, &mut self.body, &mut self.before_state, event);
            }
            _ => {
                record::push(&mut self.after, &mut self.body, &mut self.after_state, event);
                if self.after.len() >= BLOCK_BYTES {
                    self.flush();
                }
            }
        }
    }

    #[inline(always)]
    fn limit(&mut self) {
        if self.columns.count().is_multiple_of(LIMIT_INTERVAL) && self.columns.len() >= BLOCK_BYTES {
            self.flush();
        }
    }

    /// Writes what was collected.
    #[inline(never)]
    pub fn flush(&mut self) {
        let before = std::mem::take(&mut self.before);
        self.block(KIND_RECORDS, &before);
        self.before = before;
        self.before.clear();
        self.before_state = Default::default();
        if self.columns.count() > 0 {
            let mut raw = std::mem::take(&mut self.raw);
            raw.clear();
            self.columns.take(&mut raw);
            self.block(KIND_EVENTS, &raw);
            self.raw = raw;
        }
        let after = std::mem::take(&mut self.after);
        self.block(KIND_RECORDS, &after);
        self.after = after;
        self.after.clear();
        self.after_state = Default::default();
    }

    fn block(&mut self, kind: u8, raw: &[u8]) {
        if raw.is_empty() || self.failure.is_some() {
            return;
        }
        debug_assert!(raw.len() <= RAW_MAX);
        self.packed.clear();
        self.packed.reserve(BLOCK_HEADER_BYTES + zstd::zstd_safe::compress_bound(raw.len()));
        self.packed.resize(BLOCK_HEADER_BYTES, 0);
        let (stored, packing) = match self.packer.compress(raw) {
            Ok(bytes) if bytes.len() < raw.len() => (bytes, PACKING_ZSTD),
            _ => (raw.to_vec(), PACKING_PLAIN),
        };
        self.packed.extend_from_slice(&stored);
        let header = block_header(kind, packing, &stored, raw.len(), self.number);
        self.packed[..BLOCK_HEADER_BYTES].copy_from_slice(&header);
        self.number += 1;
        match self.out.write_all(&self.packed) {
            Ok(()) => self.written += self.packed.len() as u64,
            Err(error) => self.failure = Some(error),
        }
    }

    /// Writes a piece of an attachment, of at most [`PIECE_BYTES`]; where its block begins. All of one come before
    /// its event, and none of another in between.
    pub fn piece(&mut self, raw: &[u8]) -> u64 {
        let offset = self.written;
        self.block(KIND_PIECE, raw);
        offset
    }

    /// Writes what is left.
    pub fn finish(mut self) -> (W, Option<io::Error>) {
        self.flush();
        if self.failure.is_none() {
            self.failure = self.out.flush().err();
        }
        (self.out, self.failure)
    }
}

/// zstd level: negative levels trade size for speed.
const LEVEL: i32 = -1;

pub(super) fn block_header(
    kind: u8,
    packing: u8,
    stored: &[u8],
    raw: usize,
    number: u32,
) -> [u8; BLOCK_HEADER_BYTES] {
    let mut header = [0; BLOCK_HEADER_BYTES];
    header[..4].copy_from_slice(BLOCK_MAGIC);
    header[4] = kind;
    header[5] = packing;
    header[8..12].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    header[12..16].copy_from_slice(&(raw as u32).to_le_bytes());
    header[20..24].copy_from_slice(&number.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header);
    crc.update(stored);
    header[16..20].copy_from_slice(&crc.finalize().to_le_bytes());
    header
}
