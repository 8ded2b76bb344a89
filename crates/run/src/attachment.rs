//! Files that belong to a recording: written into it piece by piece while the program runs, read from it later.

use heapwise_trace::recording::{self, PIECE_BYTES, Writer};
use heapwise_trace::{AttachmentKind, Event, Nanos};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// A file within a recording.
#[derive(Clone)]
pub struct Attachment {
    pub kind: AttachmentKind,
    /// What who made it calls it.
    pub name: String,
    pub at: Nanos,
    /// Where each piece ends in the whole, and its block's place in the file.
    pieces: Vec<(u64, u64)>,
    /// `None`: what was read was no file.
    file: Option<Arc<File>>,
}

/// Pieces whose attachment has not been named yet.
#[derive(Default)]
pub struct Pieces(Vec<(u64, u64)>);

impl Pieces {
    /// Adds the piece of so many bytes in the block at `offset`.
    pub fn push(&mut self, offset: u64, bytes: u32) {
        self.0.push((self.bytes() + u64::from(bytes), offset));
    }

    fn bytes(&self) -> u64 {
        self.0.last().map_or(0, |it| it.0)
    }

    /// All of them, as one attachment; `file` can be given later.
    pub fn take(&mut self, at: Nanos, kind: AttachmentKind, name: String) -> Attachment {
        Attachment { kind, name, at, pieces: std::mem::take(&mut self.0), file: None }
    }
}

impl Attachment {
    pub fn set_file(&mut self, file: Arc<File>) {
        self.file = Some(file);
    }

    /// Bytes of the whole.
    pub fn length(&self) -> u64 {
        self.pieces.last().map_or(0, |it| it.0)
    }

    /// Its bytes from `offset` on.
    pub fn from(&self, offset: u64) -> impl Read + Send {
        Bytes { attachment: self, offset, piece: Vec::new(), at: 0 }
    }

    fn piece(&self, index: usize) -> io::Result<Vec<u8>> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        recording::read_piece(file, self.pieces[index].1)
    }

    /// Copies it into another recording.
    pub fn write(&self, writer: &mut Writer<File>) -> io::Result<()> {
        for index in 0..self.pieces.len() {
            writer.piece(&self.piece(index)?);
        }
        writer.event(&Event::Attachment { at: self.at, kind: self.kind, name: self.name.as_bytes() });
        Ok(())
    }
}

/// Unpacks a piece at a time.
struct Bytes<'a> {
    attachment: &'a Attachment,
    /// In the whole: of the next piece's first byte that is wanted.
    offset: u64,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            let index = self.attachment.pieces.partition_point(|it| it.0 <= self.offset);
            if index == self.attachment.pieces.len() {
                return Ok(0);
            }
            let start = index.checked_sub(1).map_or(0, |before| self.attachment.pieces[before].0);
            self.piece = self.attachment.piece(index)?;
            if self.piece.len() as u64 != self.attachment.pieces[index].0 - start {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.at = (self.offset - start) as usize;
            self.offset = self.attachment.pieces[index].0;
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// A file that is becoming an attachment.
pub struct Incoming {
    pub kind: AttachmentKind,
    pub name: String,
    file: File,
    pieces: Pieces,
}

impl Incoming {
    pub fn new(kind: AttachmentKind, name: String, file: File) -> Incoming {
        Incoming { kind, name, file, pieces: Pieces::default() }
    }

    /// Writes the next piece; the whole, when there is none.
    pub fn advance(&mut self, writer: &mut Writer<File>, at: Nanos) -> io::Result<Option<Attachment>> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        (&mut self.file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if !piece.is_empty() {
            self.pieces.push(writer.piece(&piece), piece.len() as u32);
            return Ok(None);
        }
        let (kind, name) = (self.kind, self.name.as_bytes());
        writer.event(&Event::Attachment { at, kind, name });
        Ok(Some(self.pieces.take(at, kind, self.name.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_comes_out_from_everywhere() {
        let bytes: Vec<u8> =
            (0..2 * PIECE_BYTES as u32 + 77).map(|it| (it.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::write(&from, &bytes).unwrap();
        let mut writer = Writer::new(File::create(&to).unwrap()).unwrap();
        let file = File::open(&from).unwrap();
        let mut incoming = Incoming::new(AttachmentKind::HeapSnapshot, "0.1.exit".to_owned(), file);
        let mut attachment = loop {
            if let Some(it) = incoming.advance(&mut writer, Nanos(3)).unwrap() {
                break it;
            }
        };
        assert!(writer.finish().1.is_none());
        attachment.set_file(Arc::new(File::open(&to).unwrap()));
        assert_eq!(attachment.length(), bytes.len() as u64);
        for offset in
            [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, bytes.len() - 1, bytes.len(), 1 << 40]
        {
            let mut read = Vec::new();
            attachment.from(offset as u64).read_to_end(&mut read).unwrap();
            assert!(read == bytes.get(offset..).unwrap_or_default(), "{offset}");
        }
    }
}
