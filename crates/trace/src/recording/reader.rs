//! Reads a recording that may be cut, damaged or hostile.
//!
//! ```text
//!   file -> BlockReader -> unpack -+-> records, rows of events -+-> Feed -> sink
//!                                  +-> Outbox  (channel)  ------+
//! ```
//!
//! What is large enough is unpacked by a second thread, a few pieces ahead of the sink.

use super::columns::Row;
use super::*;
use crate::{Addr, Event, StackId};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is empty", path = path.display())]
    Empty { path: PathBuf },
    #[error("{path} is not a Heapwise recording: expected it to begin with \"HEAPWISE\", found {found:?}", path = path.display())]
    NotARecording { path: PathBuf, found: String },
    #[error("{path} was recorded by a newer Heapwise: format {found}, this one reads up to {VERSION}", path = path.display())]
    Newer { path: PathBuf, found: u16 },
    #[error("{path} holds nothing that can be used: {reason}", path = path.display())]
    Unusable { path: PathBuf, reason: String },
}

/// How far a recording could be read.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// To its end.
    Complete,
    /// Up to `offset`; what is there is not a whole, undamaged block. `lost` bytes follow.
    Damaged { offset: u64, lost: u64, reason: &'static str },
}

/// Takes the events of a recording, in order. Functions of an event are sinks.
pub trait Sink {
    /// The next event.
    fn event(&mut self, event: Event<'_>);
    /// What the allocations, frees and resizes that come next are about, so that memory can be read early: an address,
    /// and the stack of what is allocated there; 0 where something is freed. At most [`EXPECTED_MAX`] at once.
    #[inline(always)]
    fn expect(&mut self, touched: &[(Addr, StackId)]) {
        let _ = touched;
    }
    /// A piece of the next attachment stands in the block at `offset` of the file, and has so many bytes.
    fn piece(&mut self, offset: u64, bytes: u32) {
        let _ = (offset, bytes);
    }
}

impl<F: FnMut(Event<'_>)> Sink for F {
    #[inline(always)]
    fn event(&mut self, event: Event<'_>) {
        self(event)
    }
}

/// Gives every event to `sink`, in order; `progress` hears the bytes read and in all.
pub fn read(path: &Path, sink: &mut impl Sink, progress: &mut dyn FnMut(u64, u64)) -> Result<End, Error> {
    let at = |source| Error::Io { path: path.to_owned(), source };
    let metadata = path.metadata().map_err(at)?;
    if metadata.is_dir() {
        return Err(at(io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        // Opening a FIFO waits for a writer, reading a device may never end.
        return Err(at(io::Error::other("not a regular file")));
    }
    let file = std::fs::File::open(path).map_err(at)?;
    read_from(file, metadata.len(), path, sink, progress)
}

/// As [`read`], from memory.
pub fn read_slice(bytes: &[u8], sink: &mut impl Sink) -> Result<End, Error> {
    read_from(bytes, bytes.len() as u64, Path::new("recording"), sink, &mut |_, _| {})
}

/// Fills as much of `buffer` as there is.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |it| u32::from_le_bytes(it.try_into().expect("four bytes")))
}

pub(super) fn read_from(
    mut input: impl Read + Send,
    total: u64,
    path: &Path,
    sink: &mut impl Sink,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<End, Error> {
    let at = |source| Error::Io { path: path.to_owned(), source };
    let unusable = |reason: &str| Error::Unusable { path: path.to_owned(), reason: reason.to_owned() };
    let mut header = [0u8; HEADER_BYTES];
    let filled = fill(&mut input, &mut header).map_err(at)?;
    if filled == 0 {
        return Err(Error::Empty { path: path.to_owned() });
    }
    let start = &header[..filled.min(MAGIC.len())];
    if start != MAGIC {
        if MAGIC.starts_with(start) {
            return Err(unusable("it ends within its header"));
        }
        return Err(Error::NotARecording {
            path: path.to_owned(),
            found: String::from_utf8_lossy(start).into_owned(),
        });
    }
    if filled < HEADER_BYTES {
        return Err(unusable("it ends within its header"));
    }
    let version = u16::from_le_bytes([header[8], header[9]]);
    if version > VERSION {
        return Err(Error::Newer { path: path.to_owned(), found: version });
    }
    if version == 0 || u16::from_le_bytes([header[10], header[11]]) != ORDER {
        return Err(unusable("its header is damaged"));
    }
    let extra = u64::from(u32_at(&header, 12)).wrapping_sub(HEADER_BYTES as u64);
    if extra > 4096 || io::copy(&mut (&mut input).take(extra), &mut io::sink()).map_err(at)? != extra {
        return Err(unusable("its header is damaged"));
    }
    let mut reader = BlockReader::new(input, HEADER_BYTES as u64 + extra);
    let mut feed = Feed { sink, progress, ids: record::Ids::default(), offset: reader.offset, total };
    let is_ahead = total >= AHEAD_MIN && std::thread::available_parallelism().is_ok_and(|it| it.get() > 1);
    let end = is_ahead.then(|| read_ahead(&mut reader, &mut feed)).flatten();
    end.unwrap_or_else(|| unpack(&mut reader, &mut feed, total)).map_err(at)
}

/// Smaller recordings are not worth a thread.
const AHEAD_MIN: u64 = 64 << 10;
/// Pieces that may wait to be taken.
const PIECES: usize = 4;

/// Takes the pieces of a recording in order; `None`: no more is wanted.
trait Pieces {
    /// A block begins at this offset.
    fn block(&mut self, offset: u64) -> Option<()>;
    /// Unpacked records; the buffer may be kept.
    fn records(&mut self, raw: &mut Vec<u8>) -> Option<()>;
    /// Decoded events; the buffer is empty after it.
    fn rows(&mut self, rows: &mut Vec<Row>) -> Option<()>;
    /// The block that begins at `offset` is a piece of so many bytes.
    fn attached(&mut self, offset: u64, bytes: u32) -> Option<()>;
}

/// Gives pieces to the sink.
struct Feed<'a, S> {
    sink: &'a mut S,
    progress: &'a mut dyn FnMut(u64, u64),
    ids: record::Ids,
    /// Of the block that the pieces are of.
    offset: u64,
    total: u64,
}

impl<S: Sink> Pieces for Feed<'_, S> {
    fn block(&mut self, offset: u64) -> Option<()> {
        self.offset = offset;
        (self.progress)(offset, self.total);
        Some(())
    }

    fn records(&mut self, raw: &mut Vec<u8>) -> Option<()> {
        record::decode(raw, &mut self.ids, self.sink)
    }

    fn rows(&mut self, rows: &mut Vec<Row>) -> Option<()> {
        let mut touched = [(Addr(0), StackId(0)); EXPECTED_MAX];
        for window in rows.chunks(EXPECTED_MAX / 2) {
            let all = window.iter().flat_map(Row::touched);
            let known = touched.iter_mut().zip(all).map(|(place, it)| *place = it).count();
            self.sink.expect(&touched[..known]);
            window.iter().for_each(|row| self.sink.event(row.event()));
        }
        rows.clear();
        Some(())
    }

    fn attached(&mut self, offset: u64, bytes: u32) -> Option<()> {
        self.sink.piece(offset, bytes);
        Some(())
    }
}

/// Of the addresses that [`Sink::expect`] tells of; an event has up to two. Enough for cache misses to overlap, few
/// enough to stay in the cache.
pub const EXPECTED_MAX: usize = 64;

/// A piece on its way to another thread.
enum Piece {
    Block(u64),
    Records(Vec<u8>),
    Rows(Vec<Row>),
    Attached(u64, u32),
}

/// Sends pieces, and takes emptied buffers back.
struct Outbox {
    pieces: SyncSender<Piece>,
    emptied: Receiver<Vec<Row>>,
}

impl Pieces for Outbox {
    fn block(&mut self, offset: u64) -> Option<()> {
        self.pieces.send(Piece::Block(offset)).ok()
    }

    fn records(&mut self, raw: &mut Vec<u8>) -> Option<()> {
        self.pieces.send(Piece::Records(std::mem::take(raw))).ok()
    }

    fn rows(&mut self, rows: &mut Vec<Row>) -> Option<()> {
        let next = self.emptied.try_recv().unwrap_or_default();
        self.pieces.send(Piece::Rows(std::mem::replace(rows, next))).ok()
    }

    fn attached(&mut self, offset: u64, bytes: u32) -> Option<()> {
        self.pieces.send(Piece::Attached(offset, bytes)).ok()
    }
}

fn damaged(offset: u64, total: u64, reason: &'static str) -> End {
    End::Damaged { offset, lost: total.saturating_sub(offset), reason }
}

/// A block's checksum is right, but what it says is not possible.
const CONTRADICTION: &str = "a block contradicts itself";

/// Unpacks all blocks.
fn unpack(reader: &mut BlockReader<impl Read>, out: &mut impl Pieces, total: u64) -> io::Result<End> {
    let mut rows = Vec::new();
    loop {
        let offset = reader.offset;
        if out.block(offset).is_none() {
            return Ok(End::Complete);
        }
        let taken = match reader.next()? {
            Next::End => return Ok(End::Complete),
            Next::Bad(reason) => return Ok(damaged(offset, total, reason)),
            Next::Block(KIND_RECORDS) => out.records(&mut reader.raw),
            Next::Block(KIND_EVENTS) => columns::decode(&reader.raw, &mut rows, &mut |rows| out.rows(rows)),
            Next::Block(KIND_PIECE) => out.attached(offset, reader.raw_bytes),
            Next::Block(_) => Some(()),
        };
        if taken.is_none() {
            return Ok(damaged(offset, total, CONTRADICTION));
        }
    }
}

/// Unpacks in a second thread what this one gives to the sink. `None`, and nothing is read, when there can be no
/// other thread.
fn read_ahead<S: Sink>(
    reader: &mut BlockReader<impl Read + Send>,
    feed: &mut Feed<'_, S>,
) -> Option<io::Result<End>> {
    let total = feed.total;
    let (pieces, inbox) = sync_channel(PIECES);
    let (give_back, emptied) = channel();
    let mut outbox = Outbox { pieces, emptied };
    std::thread::scope(|scope| {
        let unpacking = std::thread::Builder::new()
            .spawn_scoped(scope, move || unpack(reader, &mut outbox, total))
            .ok()?;
        for piece in inbox {
            let taken = match piece {
                Piece::Block(offset) => feed.block(offset),
                Piece::Records(mut raw) => feed.records(&mut raw),
                Piece::Rows(mut rows) => {
                    let taken = feed.rows(&mut rows);
                    // The other side may have ended.
                    let _ = give_back.send(rows);
                    taken
                }
                Piece::Attached(offset, bytes) => feed.attached(offset, bytes),
            };
            if taken.is_none() {
                return Some(Ok(damaged(feed.offset, total, CONTRADICTION)));
            }
        }
        Some(unpacking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

pub(super) struct BlockReader<R> {
    pub input: R,
    pub offset: u64,
    pub stored: Vec<u8>,
    pub raw: Vec<u8>,
    /// Of the last block, when unpacked.
    raw_bytes: u32,
    /// Pieces are unpacked, too; who reads events only needs to know that they are whole.
    wants_pieces: bool,
    /// Made for the first packed block.
    unpacker: Option<zstd::bulk::Decompressor<'static>>,
}

pub(super) enum Next {
    Block(u8),
    End,
    Bad(&'static str),
}

impl<R> BlockReader<R> {
    /// Of what follows a header; the next block begins at `offset`.
    pub fn new(input: R, offset: u64) -> BlockReader<R> {
        BlockReader {
            input,
            offset,
            stored: Vec::new(),
            raw: Vec::new(),
            raw_bytes: 0,
            wants_pieces: false,
            unpacker: None,
        }
    }
}

impl<R: Read> BlockReader<R> {
    /// Reads the next block into `raw`.
    pub fn next(&mut self) -> io::Result<Next> {
        let mut header = [0u8; BLOCK_HEADER_BYTES];
        let filled = fill(&mut self.input, &mut header)?;
        if filled == 0 {
            return Ok(Next::End);
        }
        if filled < BLOCK_HEADER_BYTES {
            return Ok(Next::Bad("the file ends within a block"));
        }
        let (stored, raw) = (u32_at(&header, 8) as usize, u32_at(&header, 12) as usize);
        if &header[..4] != BLOCK_MAGIC || stored > RAW_MAX || raw > RAW_MAX {
            return Ok(Next::Bad("no block begins here"));
        }
        self.stored.resize(stored, 0);
        if fill(&mut self.input, &mut self.stored)? < stored {
            return Ok(Next::Bad("the file ends within a block"));
        }
        let crc = u32_at(&header, 16);
        let mut plain = header;
        plain[16..20].fill(0);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&plain);
        hasher.update(&self.stored);
        if hasher.finalize() != crc {
            return Ok(Next::Bad("a block's checksum is wrong"));
        }
        self.raw_bytes = if header[5] == PACKING_PLAIN { stored as u32 } else { raw as u32 };
        match header[5] {
            _ if header[4] == KIND_PIECE && !self.wants_pieces => {}
            PACKING_PLAIN => std::mem::swap(&mut self.raw, &mut self.stored),
            PACKING_ZSTD => {
                // The size is bounded above, so a bomb gets no more than that.
                self.raw.resize(raw, 0);
                if self.unpacker.is_none() {
                    self.unpacker = Some(zstd::bulk::Decompressor::new()?);
                }
                let unpacker = self.unpacker.as_mut().expect("made just now");
                match unpacker.decompress_to_buffer(&self.stored, &mut self.raw) {
                    Ok(n) if n == raw => {}
                    _ => return Ok(Next::Bad("a block cannot be unpacked")),
                }
            }
            _ => return Ok(Next::Bad("a block is packed in an unknown way")),
        }
        self.offset += (BLOCK_HEADER_BYTES + stored) as u64;
        Ok(Next::Block(header[4]))
    }
}

/// The bytes of the piece in the block at `offset` of a recording.
pub fn read_piece(file: &std::fs::File, offset: u64) -> io::Result<Vec<u8>> {
    let mut reader = BlockReader::new(At { file, offset }, offset);
    reader.wants_pieces = true;
    match reader.next()? {
        Next::Block(KIND_PIECE) => Ok(reader.raw),
        Next::Block(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "no piece of an attachment")),
        Next::End => Err(io::ErrorKind::UnexpectedEof.into()),
        Next::Bad(reason) => Err(io::Error::new(io::ErrorKind::InvalidData, reason)),
    }
}

/// A place in a file that moves on as it is read; the file's own does not move.
struct At<'a> {
    file: &'a std::fs::File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
