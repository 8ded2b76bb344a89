//! A vector in chunks: it grows and shrinks without ever copying what it holds, which would be a long pause.

const BITS: usize = 12;
const CHUNK: usize = 1 << BITS;

/// Items in chunks of 4,096, the first apart, since few batches need another: one comparison instead of a second load.
/// Invariant: of the chunks in their order all before the last in use are full, all after it are empty.
pub struct Chunks<T> {
    first: Vec<T>,
    rest: Vec<Vec<T>>,
    len: usize,
}

impl<T: Copy> Chunks<T> {
    pub const fn new() -> Self {
        Self { first: Vec::new(), rest: Vec::new(), len: 0 }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn push(&mut self, item: T) {
        match self.len < CHUNK {
            true => self.first.push(item),
            false => self.push_far(item),
        }
        self.len += 1;
    }

    #[inline(never)]
    fn push_far(&mut self, item: T) {
        let chunk = (self.len >> BITS) - 1;
        if chunk == self.rest.len() {
            self.rest.push(Vec::with_capacity(CHUNK));
        }
        self.rest[chunk].push(item);
    }

    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        match last < CHUNK {
            true => self.first.pop(),
            false => self.pop_far(last),
        }
    }

    #[inline(never)]
    fn pop_far(&mut self, last: usize) -> Option<T> {
        let chunk = (last >> BITS) - 1;
        let item = self.rest[chunk].pop();
        if self.rest[chunk].is_empty() {
            self.rest.truncate(chunk);
        }
        item
    }

    /// Drops all items from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.first.truncate(len);
        self.rest.truncate(len >> BITS);
        // What is left of the last chunk; on a border there is none.
        if let Some(last) = self.rest.last_mut() {
            let left = len & (CHUNK - 1);
            last.truncate(left);
            if left == 0 {
                self.rest.pop();
            }
        }
    }

    #[inline]
    pub fn get(&self, at: usize) -> Option<T> {
        match at < CHUNK {
            true => self.first.get(at).copied(),
            false => self.rest.get((at >> BITS) - 1)?.get(at & (CHUNK - 1)).copied(),
        }
    }
}

impl<T: Copy> std::ops::Index<usize> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        match at < CHUNK {
            true => &self.first[at],
            false => &self.rest[(at >> BITS) - 1][at & (CHUNK - 1)],
        }
    }
}

impl<T: Copy> std::ops::IndexMut<usize> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        match at < CHUNK {
            true => &mut self.first[at],
            false => &mut self.rest[(at >> BITS) - 1][at & (CHUNK - 1)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector() {
        let (mut chunks, mut vector) = (Chunks::new(), Vec::new());
        for round in 0..if cfg!(miri) { 2 } else { 40 } {
            for item in 0..(CHUNK * 3 / 2) {
                chunks.push(item + round);
                vector.push(item + round);
            }
            for _ in 0..round * 300 {
                assert_eq!(chunks.pop(), vector.pop());
            }
            if round % 5 == 4 {
                let len = if round % 2 == 0 { vector.len() / 3 } else { vector.len() / CHUNK * CHUNK };
                chunks.truncate(len);
                vector.truncate(len);
            }
            assert_eq!(chunks.len(), vector.len());
            assert!((0..vector.len()).step_by(97).all(|it| chunks[it] == vector[it]));
            assert_eq!(chunks.get(vector.len()), None);
        }
        chunks.truncate(0);
        assert_eq!((chunks.pop(), chunks.len()), (None, 0));
    }
}
