//! What `sys.getsizeof` would say of an object: the object, what stands before it, and what it alone owns beside it.

use crate::dicts;
use crate::layouts::{Frames, Integers, OpcodeCache, Variables};
use crate::names::characters;
use crate::objects::Reader;
use crate::types::{Shape, field, flag};

/// Sizes beyond this are those of damaged memory.
const SIZE_MAX: u64 = 1 << 44;

impl Reader<'_> {
    /// Bytes of the object at `addr`, which is of type `of`.
    pub fn size(&mut self, addr: u64, of: u32) -> u64 {
        let kind = &self.types.all[of as usize];
        let (shape, basic, item, head) = (kind.shape, kind.basic_size, kind.item_size, kind.head_size);
        let own = self.shaped_size(addr, shape, basic, item).unwrap_or(basic);
        let is_static = shape == Shape::Class && !self.is_heap_type(addr);
        let head = if is_static { 0 } else { head };
        own.saturating_add(head).min(SIZE_MAX)
    }

    fn shaped_size(&mut self, addr: u64, shape: Shape, basic: u64, item: u64) -> Option<u64> {
        let memory = &mut self.memory;
        let beside = match shape {
            Shape::List => memory.word(addr + 32)?.checked_mul(8)?,
            Shape::Dict => dicts::size(memory, &self.layout, addr)?,
            Shape::OrderedDict => {
                // A table of nodes as large as that of the indices, and the nodes.
                let (slots, used) = (memory.word(addr + 72)?, dicts::used(memory, addr)?);
                let nodes = slots.checked_mul(8)?.checked_add(used.checked_mul(32)?)?;
                dicts::size(memory, &self.layout, addr)?.checked_add(nodes)?
            }
            Shape::Set => {
                let (mask, table) = (memory.word(addr + 32)?, memory.word(addr + 40)?);
                if table == addr + 64 { 0 } else { mask.checked_add(1)?.checked_mul(16)? }
            }
            Shape::Text => return self.text_size(addr),
            Shape::ByteArray => memory.word(addr + 24)?,
            Shape::Integer | Shape::Bool => {
                let size = memory.word(addr + 16)?;
                let digits = match self.layout.integers {
                    Integers::Size => (size as i64).unsigned_abs(),
                    Integers::Tag => size >> 3,
                };
                return Some((24 + digits.max(self.layout.digits_min).checked_mul(4)?).min(SIZE_MAX));
            }
            Shape::Class => return self.class_size(addr, basic),
            Shape::Code => return self.code_size(addr, basic, item),
            Shape::Frame => return self.frame_size(addr),
            Shape::Generator => return self.generator_size(addr, basic),
            Shape::Deque => {
                const BLOCK: u64 = 66 * 8;
                let (count, left) = (memory.word(addr + 16)?, memory.word(addr + 40)?);
                let blocks = count.checked_add(left)?.div_ceil(64).max(1);
                blocks.checked_mul(BLOCK)?
            }
            Shape::Array => {
                // Descriptor at 40, its item's size at 4.
                let (allocated, descriptor) = (memory.word(addr + 32)?, memory.pointer(addr + 40)?);
                allocated.checked_mul(u64::from(memory.half(descriptor + 4)?))?
            }
            Shape::NumpyArray => self.numpy_size(addr)?,
            _ => {
                let count = if item == 0 { 0 } else { (memory.word(addr + 16)? as i64).unsigned_abs() };
                count.checked_mul(item)?
            }
        };
        basic.checked_add(beside)
    }

    /// Dimensions and strides of an array, and its items if they are its own.
    fn numpy_size(&mut self, addr: u64) -> Option<u64> {
        const OWN: u32 = 4;
        let memory = &mut self.memory;
        let (dimensions, flags) = (u64::from(memory.half(addr + 24)?).min(64), memory.half(addr + 64)?);
        let shape = dimensions * 16;
        if flags & OWN == 0 || dimensions == 0 {
            return Some(shape);
        }
        // The outermost dimension's items are all of them.
        let (sizes, strides) = (memory.pointer(addr + 32)?, memory.pointer(addr + 40)?);
        let mut items = 0u64;
        for at in 0..dimensions {
            let (count, stride) = (memory.word(sizes + at * 8)?, memory.word(strides + at * 8)?);
            items = items.max(count.checked_mul(stride)?);
        }
        shape.checked_add(items)
    }

    fn text_size(&mut self, addr: u64) -> Option<u64> {
        let (memory, layout) = (&mut self.memory, &self.layout.text);
        let found = characters(memory, layout, addr)?;
        let block = (found.count + 1) * found.width;
        let own = match (found.is_compact, found.is_ascii) {
            (true, true) => layout.ascii + block,
            (true, false) => layout.compact + block,
            (false, _) => layout.other + block,
        };
        let is_plain = found.is_compact && found.is_ascii;
        let utf8 = if is_plain { 0 } else { memory.word(addr + layout.utf8)? };
        let utf8 =
            if utf8 == 0 || utf8 == found.addr { 0 } else { memory.word(addr + layout.utf8_length)? + 1 };
        let wide = match layout.wide.map(|at| memory.word(addr + at)) {
            Some(Some(wide)) if wide != 0 && wide != found.addr => {
                let count = if is_plain { found.count } else { memory.word(addr + 64)? };
                count.checked_add(1)?.checked_mul(4)?
            }
            _ => 0,
        };
        Some(own + utf8 + wide)
    }

    fn is_heap_type(&mut self, addr: u64) -> bool {
        self.memory.word(addr + field::FLAGS).is_some_and(|it| it & flag::HEAP_TYPE != 0)
    }

    fn class_size(&mut self, addr: u64, basic: u64) -> Option<u64> {
        if !self.is_heap_type(addr) {
            return Some(basic.min(self.layout.heap_type.static_size));
        }
        let layout = self.layout.heap_type;
        let keys = self.memory.pointer(addr + layout.cached_keys);
        let keys =
            keys.and_then(|it| dicts::keys(&mut self.memory, &self.layout, it)).map_or(0, |it| it.size);
        Some(layout.size + keys)
    }

    /// Slots of a frame that runs `code`.
    fn frame_slots(&mut self, code: u64) -> Option<u64> {
        let layout = self.layout.code;
        let stack = u64::from(self.memory.half(code + layout.stack_size)?);
        let variables = match (layout.slots, layout.variables) {
            (Some(at), _) => u64::from(self.memory.half(code + at)?),
            (None, Variables::Tuples(tuples)) => {
                let mut count = 0u64;
                for tuple in tuples {
                    let names = self.memory.pointer(code + tuple)?;
                    count = count.saturating_add(self.memory.word(names + 16)?);
                }
                count
            }
            (None, Variables::Tuple(_)) => 0,
        };
        Some(stack.saturating_add(variables).min(1 << 30))
    }

    fn frame_size(&mut self, addr: u64) -> Option<u64> {
        match self.layout.frames {
            Frames::Objects { locals, .. } => {
                let code = self.memory.pointer(addr + 32)?;
                Some(locals + self.frame_slots(code)? * 8)
            }
            Frames::Records(record) => {
                let own = self.memory.pointer(addr + record.of_object)?;
                let code = self.memory.pointer(own + record.code)?;
                Some(record.in_object + record.locals + self.frame_slots(code)? * 8)
            }
        }
    }

    fn generator_size(&mut self, addr: u64, basic: u64) -> Option<u64> {
        let Frames::Records(record) = self.layout.frames else { return Some(basic) };
        let code = self.memory.pointer(addr + record.in_generator + record.code)?;
        Some(record.in_generator + record.locals + self.frame_slots(code)? * 8)
    }

    fn code_size(&mut self, addr: u64, basic: u64, item: u64) -> Option<u64> {
        if let Some(cache) = self.layout.code.opcode_cache {
            return Some(basic + self.opcode_cache_size(addr, cache).unwrap_or(0));
        }
        let units = self.memory.word(addr + 16)?;
        Some(basic.checked_add(units.checked_mul(item)?)?.next_multiple_of(8))
    }

    /// What a code object of 3.8 to 3.10 has beside it: which cells are arguments, and a cache of looked up names.
    fn opcode_cache_size(&mut self, addr: u64, cache: OpcodeCache) -> Option<u64> {
        const CACHED: u64 = 32;
        let memory = &mut self.memory;
        let mut size = 0;
        if memory.word(addr + cache.cell_arguments)? != 0 {
            let cells = memory.pointer(addr + cache.cells)?;
            size += memory.word(cells + 16)?.min(SIZE_MAX) * 8;
        }
        if memory.word(addr + cache.entries)? != 0 {
            let code = memory.pointer(addr + cache.instructions)?;
            size += memory.word(code + 16)?.min(SIZE_MAX) / 2
                + u64::from(memory.byte(addr + cache.count)?) * CACHED;
        }
        Some(size)
    }
}
