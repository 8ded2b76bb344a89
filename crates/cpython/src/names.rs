//! Texts of the process, and the names that the graph takes from them, each once.

use crate::layouts::{Layout, TextLayout};
use crate::memory::{ADDRESS_MAX, Copy};
use heapwise_model::Texts;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;

/// Characters told of a text, and bytes of it that are compared with others.
const SHOWN: usize = 200;
const COMPARED: usize = 1 << 20;

/// Texts by their content.
#[derive(Default)]
pub struct Names {
    pub texts: Texts,
    by_hash: FxHashMap<u64, u32>,
}

/// Where a text's characters stand: address, characters, bytes of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Characters {
    pub addr: u64,
    pub count: u64,
    pub width: u64,
    pub is_ascii: bool,
    pub is_compact: bool,
}

/// The text object at `addr`.
pub fn characters(memory: &mut Copy<'_>, layout: &TextLayout, addr: u64) -> Option<Characters> {
    if addr >= ADDRESS_MAX {
        return None;
    }
    let count = memory.word(addr + 16)?;
    let state = memory.half(addr + 32)?;
    let (width, is_compact, is_ascii) = (u64::from(state >> 2 & 7), state >> 5 & 1 != 0, state >> 6 & 1 != 0);
    if !matches!(width, 1 | 2 | 4) || count > 1 << 40 {
        return None;
    }
    let at = match (is_compact, is_ascii) {
        (true, true) => addr + layout.ascii,
        (true, false) => addr + layout.compact,
        (false, _) => memory.pointer(addr + layout.data)?,
    };
    Some(Characters { addr: at, count, width, is_ascii, is_compact })
}

/// A text's first characters.
pub fn text(memory: &mut Copy<'_>, layout: &Layout, addr: u64, most: usize) -> Option<String> {
    let found = characters(memory, &layout.text, addr)?;
    let count = found.count.min(most as u64);
    let mut bytes = vec![0; (count * found.width) as usize];
    memory.copy(found.addr, &mut bytes).then(|| decoded(&bytes, found.width))
}

fn decoded(bytes: &[u8], width: u64) -> String {
    let units = bytes.chunks_exact(width as usize).map(|unit| {
        let mut word = [0; 4];
        word[..unit.len()].copy_from_slice(unit);
        char::from_u32(u32::from_le_bytes(word)).unwrap_or(char::REPLACEMENT_CHARACTER)
    });
    units.collect()
}

impl Names {
    /// The number of a text.
    pub fn intern(&mut self, text: &str) -> u32 {
        let hash = hash(text.as_bytes(), 0, text.len() as u64);
        self.by_content(hash, |texts| texts.push(text))
    }

    fn by_content(&mut self, hash: u64, push: impl FnOnce(&mut Texts) -> u32) -> u32 {
        *self.by_hash.entry(hash).or_insert_with(|| push(&mut self.texts))
    }

    /// The number of the text of the object at `addr`: the same for all that say the same.
    pub fn of_text(&mut self, memory: &mut Copy<'_>, layout: &Layout, addr: u64) -> Option<u32> {
        let found = characters(memory, &layout.text, addr)?;
        let is_plain = found.width == 1 && found.is_ascii;
        self.of_bytes(
            memory,
            found.addr,
            found.count.checked_mul(found.width)?,
            move |bytes, is_all| {
                let shown = if is_plain {
                    String::from_utf8_lossy(bytes).into_owned()
                } else {
                    decoded(bytes, found.width)
                };
                if is_all { shown } else { shown + "…" }
            },
            if is_plain { 0 } else { found.width },
        )
    }

    /// The number of what `tell` makes of the bytes at `addr`, the same for all that are the same.
    pub fn of_bytes(
        &mut self,
        memory: &mut Copy<'_>,
        addr: u64,
        length: u64,
        tell: impl FnOnce(&[u8], bool) -> String,
        kind: u64,
    ) -> Option<u32> {
        let compared = length.min(COMPARED as u64) as usize;
        if memory.take(length.min(COMPARED as u64) / 8) < compared as u64 / 8 {
            return None;
        }
        if compared <= SHOWN
            && let Some(bytes) = memory.slice(addr, compared)
        {
            return Some(self.by_content(hash(bytes, kind, length), |texts| texts.push(&tell(bytes, true))));
        }
        let mut buffer = vec![0; compared];
        if !memory.copy(addr, &mut buffer) {
            return None;
        }
        let hash = hash(&buffer, kind, length);
        // Whole characters of all widths.
        let shown = compared.min(SHOWN);
        Some(self.by_content(hash, |texts| texts.push(&tell(&buffer[..shown], shown as u64 == length))))
    }
}

/// Of all bytes and what they mean. Two that are not the same have the same once in 2^64 times.
fn hash(bytes: &[u8], kind: u64, length: u64) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u64(length << 3 | kind);
    hasher.write(bytes);
    hasher.finish()
}
