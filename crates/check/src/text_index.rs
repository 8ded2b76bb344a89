//! Texts by number, in a table that does not hold them.
//!
//! Open addressing with linear probing (Knuth, The Art of Computer Programming 6.4, algorithm L): a slot is half of a
//! text's hash and its number, so that growing reads no text, and a text stands in its owner's list alone.
//! Invariant: fewer than half of the slots are taken, so that each search ends.

use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

/// Numbers of different texts, in the order of their coming.
pub struct TextIndex {
    /// Their number is a power of two.
    slots: Vec<Slot>,
    count: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    /// One more than the text's number; 0: free.
    number: u32,
}

const FREE: Slot = Slot { hash: 0, number: 0 };

impl TextIndex {
    /// With room for so many texts.
    pub fn with_capacity(texts: usize) -> TextIndex {
        TextIndex { slots: vec![FREE; (2 * texts).next_power_of_two().max(64)], count: 0 }
    }

    /// The number of a text; `None`: it is the next one, and was added. `text_of`: the texts added before.
    pub fn find_or_add<'t>(&mut self, text: &str, text_of: impl Fn(u32) -> &'t str) -> Option<u32> {
        let hash = FxBuildHasher.hash_one(text) as u32;
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.number == 0 {
                break;
            }
            if slot.hash == hash && text_of(slot.number - 1) == text {
                return Some(slot.number - 1);
            }
            at = (at + 1) & mask;
        }
        self.count = self.count.checked_add(1).expect("fewer than 2^32 texts");
        self.slots[at] = Slot { hash, number: self.count };
        if 2 * self.count as usize > self.slots.len() {
            self.grow();
        }
        None
    }

    fn grow(&mut self) {
        let mask = 2 * self.slots.len() - 1;
        let before = std::mem::replace(&mut self.slots, vec![FREE; mask + 1]);
        for slot in before.into_iter().filter(|it| it.number != 0) {
            let mut at = slot.hash as usize & mask;
            while self.slots[at].number != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TextIndex;

    #[test]
    fn each_text_has_one_number() {
        let texts: Vec<String> = (0..10_000).map(|it| format!("name{}", it % 5_000)).collect();
        let (mut index, mut known) = (TextIndex::with_capacity(0), Vec::<&str>::new());
        for (at, text) in texts.iter().enumerate() {
            match index.find_or_add(text, |it| known[it as usize]) {
                Some(number) => {
                    assert_eq!((known[number as usize], number as usize), (text.as_str(), at - 5_000))
                }
                None => known.push(text),
            }
        }
        assert_eq!(known.len(), 5_000);
    }
}
