//! Dictionaries: keys, values, sizes.
//!
//! ```text
//!   dict -> ma_keys:   head, indices (a hash table), entries in the order of insertion
//!        -> ma_values: values of keys that instances of a class share; else they stand in the entries
//! ```

use crate::layouts::{Attributes, DictKeys, Layout};
use crate::memory::Copy;

const USED: u64 = 16;
const KEYS: u64 = 32;
const VALUES: u64 = 40;
/// Entries of one table: more are those of damaged memory.
const ENTRIES_MAX: u64 = 1 << 32;

/// A table of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    pub entries: u64,
    pub count: u64,
    /// Bytes of an entry; keys and values are its last two words.
    pub width: u64,
    /// Entries that instances have room for.
    pub usable: u64,
    /// All bytes.
    pub size: u64,
    pub references: u64,
}

/// The table at `addr`.
pub fn keys(memory: &mut Copy<'_>, layout: &Layout, addr: u64) -> Option<Keys> {
    let references = memory.word(addr)?;
    let (slots, index_bytes, width, count, usable, indices) = match layout.dict_keys {
        DictKeys::Wide => {
            let slots = memory.word(addr.checked_add(8)?)?;
            let each = match slots {
                0..=0xff => 1,
                0x100..=0xffff => 2,
                0x1_0000..=0xffff_ffff => 4,
                _ => 8,
            };
            (slots, slots.checked_mul(each)?, 24, memory.word(addr + 32)?, None, addr + 40)
        }
        DictKeys::Narrow => {
            let logs = memory.half(addr.checked_add(8)?)?.to_le_bytes();
            let slots = 1u64.checked_shl(u32::from(logs[0]))?;
            let index_bytes = 1u64.checked_shl(u32::from(logs[1]))?;
            let width = if logs[2] == 0 { 24 } else { 16 };
            let count = memory.word(addr + 24)?;
            let usable = memory.word(addr + 16)?.saturating_add(count);
            (slots, index_bytes, width, count, Some(usable), addr + 32)
        }
    };
    let room = slots.checked_mul(2)? / 3;
    if count > room || slots > ENTRIES_MAX {
        return None;
    }
    let usable = usable.unwrap_or(room).min(room);
    let entries = indices.checked_add(index_bytes)?;
    Some(Keys { entries, count, width, usable, size: entries - addr + room * width, references })
}

/// Key and value of each entry of a dictionary, while `tell` wants more.
pub fn entries(
    memory: &mut Copy<'_>,
    layout: &Layout,
    dict: u64,
    mut tell: impl FnMut(&mut Copy<'_>, u64, u64) -> bool,
) -> Option<()> {
    let table = memory.pointer(dict.checked_add(KEYS)?)?;
    let table = keys(memory, layout, table)?;
    let values = memory.word(dict.checked_add(VALUES)?)?;
    if values != 0 {
        return shared(memory, table, values_start(layout, values), table.count, tell);
    }
    for at in (0..memory.take(table.count)).map(|it| table.entries + (it + 1) * table.width - 16) {
        let (key, value) = (memory.word(at)?, memory.word(at + 8)?);
        if key != 0 && value != 0 && !tell(memory, key, value) {
            break;
        }
    }
    Some(())
}

/// Where the values of shared keys begin.
pub fn values_start(layout: &Layout, values: u64) -> u64 {
    match layout.attributes {
        Attributes::Inline => values.saturating_add(8),
        _ => values,
    }
}

/// Keys that instances share with the values of one of them.
pub fn shared(
    memory: &mut Copy<'_>,
    table: Keys,
    values: u64,
    count: u64,
    mut tell: impl FnMut(&mut Copy<'_>, u64, u64) -> bool,
) -> Option<()> {
    for at in 0..memory.take(count.min(table.count)) {
        let value = memory.word(values.checked_add(at * 8)?)?;
        let key = memory.word(table.entries + (at + 1) * table.width - 16)?;
        if value != 0 && !tell(memory, key, value) {
            break;
        }
    }
    Some(())
}

/// Whether nothing shares a dictionary's keys.
pub fn has_own_keys(memory: &mut Copy<'_>, dict: u64) -> bool {
    memory.word(dict + VALUES) == Some(0)
}

/// Whether a dictionary's values stand within an instance, which then holds them.
pub fn has_embedded_values(memory: &mut Copy<'_>, layout: &Layout, dict: u64) -> bool {
    layout.attributes == Attributes::Inline
        && memory.pointer(dict + VALUES).and_then(|it| memory.byte(it + 2)) == Some(1)
}

/// Bytes of tables and values beside the object itself.
pub fn size(memory: &mut Copy<'_>, layout: &Layout, dict: u64) -> Option<u64> {
    let table = memory.pointer(dict.checked_add(KEYS)?)?;
    let table = keys(memory, layout, table)?;
    let values = memory.word(dict + VALUES)?;
    let own = if table.references == 1 { table.size } else { 0 };
    let beside = if values == 0 { 0 } else { table.usable * 8 };
    Some(own + beside)
}

/// Entries in use.
pub fn used(memory: &mut Copy<'_>, dict: u64) -> Option<u64> {
    memory.word(dict + USED)
}
