//! The shared memory of one process image, as `heapwise` sees it.

use crate::accounts::Accounts;
use crate::sys::{self, Shared};
use heapwise_trace::ring::*;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

pub struct Ring {
    /// Path without the segment's number.
    stem: PathBuf,
    segments: Vec<Arc<Shared>>,
}

/// A chunk that has something to read.
pub struct Chunk {
    pub stream: u32,
    pub sequence: u32,
    segment: usize,
    offset: usize,
}

impl Ring {
    /// Opens segment 0.
    pub fn open(first: &Path) -> io::Result<Ring> {
        let stem = first.with_extension("");
        let mut ring = Ring { stem, segments: Vec::new() };
        let name = ring.map_segment()?;
        let header = ring.header();
        // The name of a ring that is just being made stays: it is found again by it.
        if header.magic.load(Acquire) != MAGIC || header.version.load(Relaxed) != VERSION {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let _ = std::fs::remove_file(&name);
        Ok(ring)
    }

    /// Maps the next segment and tells its name. Once both sides have it mapped the name is to be removed: nothing is
    /// left behind if `heapwise` is killed from there on.
    fn map_segment(&mut self) -> io::Result<OsString> {
        let mut name = self.stem.clone().into_os_string();
        name.push(format!(".{}", self.segments.len()));
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(&name)?;
        self.segments.push(Arc::new(Shared::map(&file, SEGMENT_BYTES)?));
        Ok(name)
    }

    pub fn header(&self) -> &RingHeader {
        self.segments[0].at(0)
    }

    /// The segment with the header, for as long as it is needed, and the accounts that belong to it.
    pub fn accounts(&self) -> (Arc<Shared>, Accounts) {
        (self.segments[0].clone(), Accounts::new(self.stem.clone()))
    }

    /// Address ranges of the recorder itself in the process.
    pub fn own_memory(&self) -> Vec<(u64, u64)> {
        let header = self.header();
        let count = (header.own_count.load(Acquire) as usize).min(OWN_MAX);
        header.own[..count].iter().map(|[start, end]| (start.load(Relaxed), end.load(Acquire))).collect()
    }

    /// Chunks that are being written or wait to be read, by stream and sequence.
    pub fn chunks(&mut self) -> Vec<Chunk> {
        let count = (self.header().segments.load(Acquire) as usize).min(MAX_SEGMENTS);
        while self.segments.len() < count {
            let Ok(name) = self.map_segment() else { break };
            let _ = std::fs::remove_file(&name);
        }
        let mut chunks = Vec::new();
        for (segment, memory) in self.segments.iter().enumerate() {
            for index in usize::from(segment == 0)..CHUNKS_PER_SEGMENT {
                let offset = index * CHUNK_BYTES;
                let header: &ChunkHeader = memory.at(offset);
                if matches!(header.state.load(Acquire), CHUNK_ACTIVE | CHUNK_FULL) {
                    let (stream, sequence) = (header.stream.load(Relaxed), header.sequence.load(Relaxed));
                    chunks.push(Chunk { stream, sequence, segment, offset });
                }
            }
        }
        chunks.sort_unstable_by_key(|it| (it.stream, it.sequence));
        chunks
    }

    pub fn chunk(&self, chunk: &Chunk) -> &ChunkHeader {
        self.segments[chunk.segment].at(chunk.offset)
    }

    /// Appends the records `from..to` of a chunk.
    pub fn copy(&self, chunk: &Chunk, from: usize, to: usize, out: &mut Vec<Record>) {
        let to = to.min(RECORDS_PER_CHUNK);
        let Some(count) = to.checked_sub(from) else { return };
        self.segments[chunk.segment].copy_records(chunk.offset + CHUNK_HEADER_BYTES + from * 16, count, out);
    }

    /// Gives a chunk back to the recorder.
    pub fn release(&self, chunk: &Chunk) {
        self.chunk(chunk).state.store(CHUNK_FREE, Release);
        let header = self.header();
        if header.starved.swap(0, SeqCst) != 0 {
            sys::futex_wake(&header.starved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look may find a ring whose header is not written yet; the next look must find it again.
    #[test]
    fn a_ring_in_the_making_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring-1-2.0");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(SEGMENT_BYTES as u64).unwrap();
        let error = Ring::open(&path).err().expect("it has no header yet");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let memory = Shared::map(&file, SEGMENT_BYTES).unwrap();
        let header: &RingHeader = memory.at(0);
        header.version.store(VERSION, Relaxed);
        header.magic.store(MAGIC, Release);
        assert!(Ring::open(&path).is_ok());
        assert!(!path.exists());
    }
}
