//! Unwind tables (`.eh_frame`, LSB core 5 and DWARF 5 section 6.4) turned into one rule per return address.
//!
//! A rule says how to get from a frame to its caller with nothing but the stack pointer and `rbp`:
//!
//! ```text
//!   cfa    = rsp + offset  |  rbp + offset          (rsp as it is after the call returned)
//!   return address at cfa - 8
//!   rbp    = unchanged | saved at cfa - 8 * n
//! ```
//!
//! The linker's sorted table (`.eh_frame_hdr`) finds the entry, its instructions are run up to the
//! address, once: the frame table keeps the result. What the form above cannot say (expressions, other
//! registers) becomes `Unknown`, and the stack is followed by `rbp` links or cut short there.
//! The tables are as trustworthy as the program itself: its exceptions are thrown by them.

use crate::modules::{self, Object};
use core::ffi::c_void;

/// 64 bits: kind (4) | saved rbp, in words below the CFA (20, 0 = unchanged) | CFA offset (32, signed).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Rule(pub u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Plain,
    /// No caller: the start of a thread or process.
    Outermost,
    /// The kernel's signal frame: all registers lie on the stack.
    Signal,
    /// No usable table.
    Unknown,
}

impl Rule {
    pub const UNKNOWN: Rule = Rule(5);
    const OUTERMOST: Rule = Rule(3);
    const SIGNAL: Rule = Rule(4);

    fn new(uses_bp: bool, offset: i64, bp_words: i64) -> Option<Rule> {
        let offset32 = i32::try_from(offset).ok()?;
        if !(0..1 << 20).contains(&bp_words) {
            return None;
        }
        let kind = 1 + u64::from(uses_bp);
        Some(Rule(kind | (bp_words as u64) << 4 | (offset32 as u32 as u64) << 32))
    }

    /// CFA and return address by an offset from `rsp` or `rbp`: nearly all code.
    #[inline(always)]
    pub fn is_plain(self) -> bool {
        self.0 & 15 < 3
    }

    /// For plain rules: the CFA is computed from `rbp`.
    #[inline(always)]
    pub fn is_from_bp(self) -> bool {
        self.0 & 2 != 0
    }

    #[inline(always)]
    pub fn kind(self) -> Kind {
        match self.0 & 15 {
            1 | 2 => Kind::Plain,
            3 => Kind::Outermost,
            4 => Kind::Signal,
            _ => Kind::Unknown,
        }
    }

    #[inline(always)]
    pub fn offset(self) -> i64 {
        (self.0 >> 32) as u32 as i32 as i64
    }

    /// Where `rbp` is saved, in words below the CFA; 0: unchanged.
    #[inline(always)]
    pub fn bp_words(self) -> u64 {
        self.0 >> 4 & 0xf_ffff
    }
}

/// The rule of the frame that a call returns to at `address`.
pub fn rule_at(address: u64) -> Rule {
    // A call can be the last instruction of a function: look inside it.
    let pc = address - 1;
    let Some(object) = modules::find(pc) else { return Rule::UNKNOWN };
    // SAFETY: the object is loaded, its tables mapped; see the module's page for their trust.
    unsafe { lookup(&object, pc) }.unwrap_or(Rule::UNKNOWN)
}

/// Reads forward through a table.
#[derive(Clone, Copy)]
struct Reader {
    at: *const u8,
    end: *const u8,
}

impl Reader {
    /// # Safety
    /// `length` bytes at `at` are mapped.
    unsafe fn new(at: *const u8, length: usize) -> Reader {
        Reader { at, end: at.wrapping_add(length) }
    }
    fn is_empty(&self) -> bool {
        self.at >= self.end
    }
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        if (self.end as usize).checked_sub(self.at as usize)? < N {
            return None;
        }
        // SAFETY: in bounds by the check; the range is mapped by `new`'s contract.
        let bytes = unsafe { self.at.cast::<[u8; N]>().read_unaligned() };
        self.at = self.at.wrapping_add(N);
        Some(bytes)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|it| it[0])
    }
    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
    fn skip(&mut self, bytes: u64) -> Option<()> {
        if bytes > (self.end as u64).checked_sub(self.at as u64)? {
            return None;
        }
        self.at = self.at.wrapping_add(bytes as usize);
        Some(())
    }
    fn uleb(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
    }
    fn sleb(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0i64, 0);
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= i64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(if shift < 64 && byte & 0x40 != 0 { value | -1 << shift } else { value });
            }
        }
    }
    /// A pointer in one of the encodings of the LSB (application: absolute or relative to itself).
    fn encoded(&mut self, encoding: u8) -> Option<u64> {
        let here = self.at as u64;
        let value = match encoding & 0x0f {
            0x00 | 0x04 | 0x0c => self.u64()?,
            0x01 => self.uleb()?,
            0x02 => u64::from(self.u16()?),
            0x03 => u64::from(self.u32()?),
            0x09 => self.sleb()? as u64,
            0x0a => self.u16()? as i16 as u64,
            0x0b => self.u32()? as i32 as u64,
            _ => return None,
        };
        match encoding & 0x70 {
            0x00 => Some(value),
            0x10 => Some(here.wrapping_add(value)),
            _ => None,
        }
    }
}

/// # Safety
/// `object` is loaded.
unsafe fn lookup(object: &Object, pc: u64) -> Option<Rule> {
    let header = object.eh_frame;
    if header.is_null() {
        return None;
    }
    let room = (object.map_end as usize).checked_sub(header as usize)?;
    // SAFETY: the header lies in the object; an object is mapped up to its end or the table says so.
    let mut reader = unsafe { Reader::new(header, room) };
    let [version, pointer, count, table]: [u8; 4] = reader.take()?;
    const SORTED: u8 = 0x3b; // signed 4 bytes, relative to the header
    if version != 1 || table != SORTED {
        return None;
    }
    reader.encoded(pointer)?;
    let count = reader.encoded(count)?;
    let entries = reader.at;
    if count == 0 || count.checked_mul(8)? > (reader.end as u64).checked_sub(entries as u64)? {
        return None;
    }
    // SAFETY: `i < count` entries of 8 bytes lie in the table, by the check above.
    let entry = |i: u64| unsafe { entries.add(i as usize * 8).cast::<[i32; 2]>().read_unaligned() };
    let target = pc as i64 - header as i64;
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if i64::from(entry(middle)[0]) <= target {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let index = low.checked_sub(1)?;
    let fde = (header as i64 + i64::from(entry(index)[1])) as *const u8;
    // SAFETY: the linker's table points at entries of this object.
    unsafe { run_fde(fde, object, pc) }
}

#[derive(Clone, Copy)]
struct Row {
    register: u64,
    offset: i64,
    is_expression: bool,
    /// Where rbp is saved relative to the CFA, `None`: unchanged.
    bp: Option<i64>,
    bp_lost: bool,
    ra_undefined: bool,
}

const RBP: u64 = 6;
const RSP: u64 = 7;
const RA: u64 = 16;
const SAVED_ROWS: usize = 8;

struct Cie {
    code_align: u64,
    data_align: i64,
    encoding: u8,
    is_signal: bool,
    has_augmentation: bool,
    program: Reader,
}

/// # Safety
/// `at` points at an entry of `object`'s `.eh_frame`.
unsafe fn run_fde(at: *const u8, object: &Object, pc: u64) -> Option<Rule> {
    let room = (object.map_end as usize).checked_sub(at as usize)?;
    // SAFETY: by the caller.
    let mut reader = unsafe { Reader::new(at, room) };
    let mut length = u64::from(reader.u32()?);
    if length == 0xffff_ffff {
        length = reader.u64()?;
    }
    reader.end =
        reader.at.wrapping_add(usize::try_from(length).ok()?.min(reader.end as usize - reader.at as usize));
    let back_from = reader.at;
    let back = reader.u32()?;
    // SAFETY: an entry names its CIE by the distance back from this field.
    let cie = unsafe { parse_cie(back_from.wrapping_sub(back as usize), object) }?;
    let start = reader.encoded(cie.encoding)?;
    let size = reader.encoded(cie.encoding & 0x0f)?;
    if pc < start || pc - start >= size {
        return None;
    }
    if cie.has_augmentation {
        let skip = reader.uleb()?;
        reader.skip(skip)?;
    }
    if cie.is_signal {
        return Some(Rule::SIGNAL);
    }
    let mut row =
        Row { register: RSP, offset: 8, is_expression: false, bp: None, bp_lost: false, ra_undefined: false };
    let mut program = cie.program;
    run(&mut program, &cie, &mut row, None, 0, u64::MAX)?;
    let initial = row;
    run(&mut reader, &cie, &mut row, Some(initial), start, pc)?;
    if row.ra_undefined {
        return Some(Rule::OUTERMOST);
    }
    if row.is_expression || (row.register != RSP && row.register != RBP) || row.bp_lost {
        return None;
    }
    let bp_words = match row.bp {
        None => 0,
        Some(offset) if offset < 0 && offset % 8 == 0 => -offset / 8,
        Some(_) => return None,
    };
    Rule::new(row.register == RBP, row.offset, bp_words)
}

/// # Safety
/// `at` points at a CIE of `object`.
unsafe fn parse_cie(at: *const u8, object: &Object) -> Option<Cie> {
    let room = (object.map_end as usize).checked_sub(at as usize)?;
    // SAFETY: by the caller.
    let mut reader = unsafe { Reader::new(at, room) };
    let length = reader.u32()?;
    reader.end = reader.at.wrapping_add((length as usize).min(reader.end as usize - reader.at as usize));
    if reader.u32()? != 0 {
        return None;
    }
    let version = reader.u8()?;
    let mut augmentation = [0u8; 8];
    let mut letters = 0;
    loop {
        match reader.u8()? {
            0 => break,
            _ if letters == augmentation.len() => return None,
            letter => {
                augmentation[letters] = letter;
                letters += 1;
            }
        }
    }
    let code_align = reader.uleb()?;
    let data_align = reader.sleb()?;
    let _return_register = if version == 1 { u64::from(reader.u8()?) } else { reader.uleb()? };
    let mut cie = Cie {
        code_align,
        data_align,
        encoding: 0,
        is_signal: false,
        has_augmentation: false,
        program: reader,
    };
    if let Some((b'z', rest)) = augmentation[..letters].split_first() {
        let bytes = reader.uleb()?;
        let mut data = reader;
        for letter in rest {
            match letter {
                b'R' => cie.encoding = data.u8()?,
                b'P' => {
                    let encoding = data.u8()?;
                    data.encoded(encoding & 0x0f)?;
                }
                b'L' => {
                    data.u8()?;
                }
                b'S' => cie.is_signal = true,
                _ => {}
            }
        }
        reader.skip(bytes)?;
        cie.has_augmentation = true;
    } else if letters > 0 {
        return None;
    }
    cie.program = reader;
    Some(cie)
}

/// Runs call frame instructions until the row for `pc` is complete.
fn run(
    reader: &mut Reader,
    cie: &Cie,
    row: &mut Row,
    initial: Option<Row>,
    start: u64,
    pc: u64,
) -> Option<()> {
    let mut location = start;
    let mut saved = [*row; SAVED_ROWS];
    let mut depth = 0;
    while !reader.is_empty() {
        let op = reader.u8()?;
        let low = u64::from(op & 0x3f);
        let mut advance = None;
        match op >> 6 {
            1 => advance = Some(low),
            2 => {
                let offset = (reader.uleb()? as i64).checked_mul(cie.data_align)?;
                save(row, low, Some(offset));
            }
            3 => restore(row, low, initial),
            _ => match op {
                0x00 => {}
                0x01 => location = reader.encoded(cie.encoding)?,
                0x02 => advance = Some(u64::from(reader.u8()?)),
                0x03 => advance = Some(u64::from(reader.u16()?)),
                0x04 => advance = Some(u64::from(reader.u32()?)),
                0x05 => {
                    let (register, offset) = (reader.uleb()?, reader.uleb()? as i64);
                    save(row, register, Some(offset.checked_mul(cie.data_align)?));
                }
                0x06 => restore(row, reader.uleb()?, initial),
                0x07 => {
                    let register = reader.uleb()?;
                    lose(row, register, true);
                }
                0x08 => save(row, reader.uleb()?, None),
                0x09 => {
                    let register = reader.uleb()?;
                    reader.uleb()?;
                    lose(row, register, false);
                }
                0x0a => {
                    *saved.get_mut(depth)? = *row;
                    depth += 1;
                }
                0x0b => {
                    depth = depth.checked_sub(1)?;
                    *row = saved[depth];
                }
                0x0c => {
                    (row.register, row.offset, row.is_expression) =
                        (reader.uleb()?, reader.uleb()? as i64, false)
                }
                0x0d => row.register = reader.uleb()?,
                0x0e => row.offset = reader.uleb()? as i64,
                0x0f => {
                    let bytes = reader.uleb()?;
                    reader.skip(bytes)?;
                    row.is_expression = true;
                }
                0x10 | 0x16 => {
                    let register = reader.uleb()?;
                    let bytes = reader.uleb()?;
                    reader.skip(bytes)?;
                    lose(row, register, false);
                }
                0x11 => {
                    let (register, offset) = (reader.uleb()?, reader.sleb()?);
                    save(row, register, Some(offset.checked_mul(cie.data_align)?));
                }
                0x12 => {
                    (row.register, row.is_expression) = (reader.uleb()?, false);
                    row.offset = reader.sleb()?.checked_mul(cie.data_align)?;
                }
                0x13 => row.offset = reader.sleb()?.checked_mul(cie.data_align)?,
                0x14 | 0x15 => {
                    let register = reader.uleb()?;
                    reader.uleb()?;
                    lose(row, register, false);
                }
                0x2e => {
                    reader.uleb()?;
                }
                _ => return None,
            },
        }
        if let Some(delta) = advance {
            location = location.wrapping_add(delta.wrapping_mul(cie.code_align));
        }
        if location > pc {
            return Some(());
        }
    }
    Some(())
}

fn save(row: &mut Row, register: u64, offset: Option<i64>) {
    if register == RBP {
        (row.bp, row.bp_lost) = (offset, false);
    } else if register == RA {
        row.ra_undefined = false;
    }
}

fn restore(row: &mut Row, register: u64, initial: Option<Row>) {
    if register == RBP {
        row.bp = initial.and_then(|it| it.bp);
        row.bp_lost = false;
    }
}

/// The register's old value is not where a rule could say.
fn lose(row: &mut Row, register: u64, is_undefined: bool) {
    if register == RBP {
        row.bp_lost = true;
    } else if register == RA {
        row.ra_undefined = is_undefined;
    }
}

/// `struct dl_phdr_info` up to the program headers.
#[repr(C)]
struct PhdrInfo {
    bias: u64,
    name: *const core::ffi::c_char,
    headers: *const [u64; 7],
    count: u16,
}

struct Search {
    address: u64,
    found: Option<Object>,
}

#[link(name = "c")]
unsafe extern "C" {
    fn dl_iterate_phdr(
        f: unsafe extern "C" fn(*const PhdrInfo, usize, *mut c_void) -> i32,
        data: *mut c_void,
    ) -> i32;
}

/// For glibc before 2.35. No lock of ours is held; the loader's lock may be taken again by its holder.
pub fn find_by_iteration(address: u64) -> Option<Object> {
    let mut search = Search { address, found: None };
    // SAFETY: the callback gets `search`, which outlives the call.
    unsafe { dl_iterate_phdr(visit, (&raw mut search).cast()) };
    search.found
}

/// # Safety
/// Called by `dl_iterate_phdr` with a `Search`.
unsafe extern "C" fn visit(info: *const PhdrInfo, _: usize, data: *mut c_void) -> i32 {
    const PT_LOAD: u32 = 1;
    const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
    // SAFETY: by the caller.
    let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
    let (mut low, mut high, mut table) = (u64::MAX, 0, 0);
    for i in 0..info.count as usize {
        // SAFETY: `count` headers of 56 bytes: type and flags, offset, virtual address, ...
        let header = unsafe { *info.headers.add(i) };
        let at = info.bias.wrapping_add(header[2]);
        match header[0] as u32 {
            PT_LOAD => (low, high) = (low.min(at & !0xfff), high.max(at + header[5])),
            PT_GNU_EH_FRAME => table = at,
            _ => {}
        }
    }
    if !(low..high).contains(&search.address) {
        return 0;
    }
    search.found = Some(Object::from_parts(low as *const u8, high as *const u8, table as *const u8));
    1
}
