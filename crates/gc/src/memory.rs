//! Segments: the byte arrays that objects lie in.
//!
//! ```text
//! Place { segment, offset } -> segments[segment][offset ..]
//! ```
//!
//! A segment is a semi-space, a block of equal cells, a region, or one large object; who reserved it knows which.
//! Everything is indexed with bounds checks, so no damage to a place can reach outside the heap.
//!
//! Invariant: `reserved == sum of the lengths of all segments`.

/// Where an object lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub segment: u32,
    pub offset: u32,
}

/// The segments of one heap.
#[derive(Default)]
pub struct Memory {
    segments: Vec<Box<[u8]>>,
    vacant: Vec<u32>,
    reserved: u64,
    peak: u64,
}

impl Memory {
    /// A new zeroed segment; nothing when the system has no memory left.
    pub fn reserve(&mut self, bytes: usize) -> Option<u32> {
        let mut segment = Vec::new();
        segment.try_reserve_exact(bytes).ok()?;
        segment.resize(bytes, 0);
        self.reserved += bytes as u64;
        self.peak = self.peak.max(self.reserved);
        let segment = segment.into_boxed_slice();
        if let Some(id) = self.vacant.pop() {
            self.segments[id as usize] = segment;
            return Some(id);
        }
        let id = u32::try_from(self.segments.len()).ok()?;
        self.segments.push(segment);
        Some(id)
    }

    /// Gives a segment back; its number may be used again.
    pub fn release(&mut self, id: u32) {
        let segment = std::mem::take(&mut self.segments[id as usize]);
        self.reserved -= segment.len() as u64;
        self.vacant.push(id);
    }

    /// Bytes of all segments.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// The most bytes of all segments at any time.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// The number that segments stay below.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    #[inline]
    pub fn bytes(&self, place: Place) -> &[u8] {
        &self.segments[place.segment as usize][place.offset as usize..]
    }

    #[inline]
    pub fn bytes_mut(&mut self, place: Place) -> &mut [u8] {
        &mut self.segments[place.segment as usize][place.offset as usize..]
    }

    #[inline]
    pub fn word(&self, place: Place, at: usize) -> u32 {
        let bytes = &self.bytes(place)[at..at + 4];
        u32::from_ne_bytes(bytes.try_into().expect("four bytes"))
    }

    #[inline]
    pub fn set_word(&mut self, place: Place, at: usize, word: u32) {
        self.bytes_mut(place)[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }

    /// Copies `size` bytes from one place to another; they do not overlap.
    pub fn copy(&mut self, from: Place, to: Place, size: usize) {
        let (a, b) = (from.offset as usize, to.offset as usize);
        if from.segment == to.segment {
            self.segments[from.segment as usize].copy_within(a..a + size, b);
            return;
        }
        let [source, target] = self
            .segments
            .get_disjoint_mut([from.segment as usize, to.segment as usize])
            .expect("two segments that are there");
        target[b..b + size].copy_from_slice(&source[a..a + size]);
    }
}
