//! The bytes of a file, read in ranges: only what is asked for is ever in memory.
//!
//! Files are read, not mapped: a file that shrinks while it is looked at gives a failed read instead
//! of a signal, and no `unsafe` is needed. A section of 30 MB costs about 10 ms once.

use object::read::ReadCacheOps;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Nothing larger is read in one piece.
const MAX_READ: u64 = 2 << 30;

/// Where a file's bytes come from.
pub(crate) enum Source {
    File { file: File, len: u64 },
    Bytes(Arc<[u8]>),
}

impl Source {
    /// Opens a regular file; a directory, pipe or device is an error, so that nothing blocks.
    pub(crate) fn open(path: &Path) -> io::Result<Source> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Source::File { file, len })
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Source::File { len, .. } => *len,
            Source::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Exactly `len` bytes at `offset`; `None` when the file does not hold them.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Option<Arc<[u8]>> {
        self.check(offset, len)?;
        // Filled in place: no second copy of a large section.
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0u8, len as usize).collect();
        self.fill(offset, Arc::get_mut(&mut bytes)?)?;
        Some(bytes)
    }

    /// A byte string without its terminator that starts at `offset` and ends before `end` and within `max` bytes.
    /// A longer one is cut to `max`.
    pub(crate) fn read_string(&self, offset: u64, end: u64, max: u64) -> Option<Vec<u8>> {
        let len = end.min(self.len()).checked_sub(offset)?.min(max);
        let mut out = Vec::new();
        // Most names are short: one small read is enough.
        for step in [len.min(256), len] {
            out.resize(step as usize, 0);
            self.fill(offset, &mut out)?;
            if let Some(at) = out.iter().position(|byte| *byte == 0) {
                out.truncate(at);
                return Some(out);
            }
        }
        Some(out)
    }

    /// Fills `out` from `offset`.
    pub(crate) fn fill(&self, offset: u64, out: &mut [u8]) -> Option<()> {
        match self {
            Source::File { file, .. } => file.read_exact_at(out, offset).ok(),
            Source::Bytes(bytes) => {
                let start = usize::try_from(offset).ok()?;
                out.copy_from_slice(bytes.get(start..start.checked_add(out.len())?)?);
                Some(())
            }
        }
    }

    fn check(&self, offset: u64, len: u64) -> Option<()> {
        (offset.checked_add(len)? <= self.len() && len <= MAX_READ).then_some(())
    }
}

/// A [`Source`] as the stream that `object` reads headers from.
pub(crate) struct Stream<'a> {
    pub(crate) source: &'a Source,
    pub(crate) at: u64,
}

impl ReadCacheOps for Stream<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.source.len())
    }

    fn seek(&mut self, pos: u64) -> Result<u64, ()> {
        self.at = pos;
        Ok(pos)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ()> {
        let left = self.source.len().saturating_sub(self.at);
        let len = left.min(buf.len() as u64) as usize;
        self.source.fill(self.at, &mut buf[..len]).ok_or(())?;
        self.at += len as u64;
        Ok(len)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), ()> {
        self.source.fill(self.at, buf).ok_or(())?;
        self.at += buf.len() as u64;
        Ok(())
    }
}
