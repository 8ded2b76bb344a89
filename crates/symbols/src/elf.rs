//! An ELF file: which sections it has and where, its build id, its symbols.
//!
//! Headers and names are read once when the file is opened; sections and symbols when they are asked
//! for. Cost: a few small reads to open; symbols take 24 bytes each while they are kept.
//!
//! Bounds for damaged files: [`MAX_SECTIONS`] headers, notes of at most [`MAX_NOTES`] bytes, and
//! uncompressed sections that together are no larger than [`Elf::inflate_budget`].

use crate::source::{Source, Stream};
use gimli::RunTimeEndian;
use object::elf;
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader, SectionHeader};
use object::read::{CompressedData, CompressionFormat, ReadCache, ReadRef};
use object::{Endianness, SectionIndex};
use std::sync::Arc;

/// Linked files have a few dozen.
const MAX_SECTIONS: usize = 4096;
const MAX_NOTES: u64 = 1 << 20;
const MAX_SEGMENTS: usize = 4096;
/// No compressed section may grow beyond this.
const MAX_INFLATED: u64 = 1 << 30;
/// zlib cannot exceed 1032; real debug sections stay below 20.
const MAX_RATIO: u64 = 1000;
/// Longest name that is read from a string table.
const MAX_NAME: u64 = 8 << 10;

type Cache<'a> = &'a ReadCache<Stream<'a>>;

/// A section that may be asked for by name.
struct Section {
    name: Vec<u8>,
    offset: u64,
    size: u64,
    is_compressed: bool,
}

/// Where a symbol table and its names are.
#[derive(Clone, Copy)]
struct SymbolRange {
    offset: u64,
    size: u64,
    strings: u64,
    strings_size: u64,
}

/// The identity of an ELF file: what `inspect` and the loader need before anything else.
pub(crate) struct Elf {
    pub(crate) source: Source,
    pub(crate) endian: RunTimeEndian,
    pub(crate) is_64: bool,
    pub(crate) machine: u16,
    /// `ET_EXEC`, `ET_DYN`, ...
    pub(crate) kind: u16,
    /// Path in `PT_INTERP`.
    pub(crate) interpreter: Option<Vec<u8>>,
    pub(crate) has_dynamic: bool,
    /// `DF_1_PIE` in the dynamic table.
    pub(crate) is_pie: bool,
    /// Names in `DT_NEEDED`.
    pub(crate) needed: Vec<Vec<u8>>,
    pub(crate) build_id: Vec<u8>,
    sections: Vec<Section>,
    symtab: Option<SymbolRange>,
    dynsym: Option<SymbolRange>,
}

impl Elf {
    /// Reads the headers; `None` when this is no ELF file, or one cut before its headers.
    pub(crate) fn parse(source: Source) -> Option<Elf> {
        let mut ident = [0u8; 5];
        source.fill(0, &mut ident)?;
        if ident[..4] != elf::ELFMAG {
            return None;
        }
        let mut out = Elf {
            source: Source::Bytes(Arc::from([])),
            endian: RunTimeEndian::Little,
            is_64: ident[4] == 2,
            machine: 0,
            kind: 0,
            interpreter: None,
            has_dynamic: false,
            is_pie: false,
            needed: Vec::new(),
            build_id: Vec::new(),
            sections: Vec::new(),
            symtab: None,
            dynsym: None,
        };
        {
            let cache = ReadCache::new(Stream { source: &source, at: 0 });
            if out.is_64 {
                out.read_headers::<elf::FileHeader64<Endianness>>(&cache)?;
            } else {
                out.read_headers::<elf::FileHeader32<Endianness>>(&cache)?;
            }
        }
        out.source = source;
        Some(out)
    }

    fn read_headers<E: FileHeader<Endian = Endianness>>(&mut self, data: Cache<'_>) -> Option<()> {
        let header = E::parse(data).ok()?;
        let endian = header.endian().ok()?;
        self.endian = match endian {
            Endianness::Little => RunTimeEndian::Little,
            Endianness::Big => RunTimeEndian::Big,
        };
        self.machine = header.e_machine(endian).0;
        self.kind = header.e_type(endian).0;
        // Each part is read as far as it can be: a stripped or cut file still has the others.
        let _ = self.read_sections(header, endian, data);
        let _ = self.read_segments(header, endian, data);
        Some(())
    }

    fn read_sections<E: FileHeader<Endian = Endianness>>(
        &mut self,
        header: &E,
        endian: Endianness,
        data: Cache<'_>,
    ) -> Option<()> {
        if header.shnum(endian, data).ok()? as usize > MAX_SECTIONS {
            return None;
        }
        let table = header.sections(endian, data).ok()?;
        for section in table.iter() {
            let range = section.file_range(endian);
            let Some((offset, size)) = range else {
                continue;
            };
            match section.sh_type(endian) {
                elf::SHT_SYMTAB if self.symtab.is_none() => {
                    self.symtab = symbol_range(
                        offset,
                        size,
                        table.section(SectionIndex(section.sh_link(endian) as usize)).ok(),
                        endian,
                    );
                }
                elf::SHT_DYNSYM if self.dynsym.is_none() => {
                    self.dynsym = symbol_range(
                        offset,
                        size,
                        table.section(SectionIndex(section.sh_link(endian) as usize)).ok(),
                        endian,
                    );
                }
                elf::SHT_NOTE if self.build_id.is_empty() && size <= MAX_NOTES => {
                    if let Ok(Some(notes)) = section.notes(endian, data) {
                        self.build_id = build_id_of(notes, endian);
                    }
                }
                _ => {}
            }
            let Ok(name) = table.section_name(endian, section) else {
                continue;
            };
            let is_wanted =
                [&b".debug_"[..], b".zdebug_", b".gnu_debug"].iter().any(|prefix| name.starts_with(prefix));
            if is_wanted && !self.sections.iter().any(|known| known.name == name) {
                self.sections.push(Section {
                    name: name.to_vec(),
                    offset,
                    size,
                    is_compressed: section.sh_flags(endian).contains(elf::SHF_COMPRESSED),
                });
            }
        }
        Some(())
    }

    fn read_segments<E: FileHeader<Endian = Endianness>>(
        &mut self,
        header: &E,
        endian: Endianness,
        data: Cache<'_>,
    ) -> Option<()> {
        let segments = header.program_headers(endian, data).ok()?;
        let segments = segments.get(..segments.len().min(MAX_SEGMENTS))?;
        for segment in segments {
            match segment.p_type(endian) {
                elf::PT_INTERP if self.interpreter.is_none() => {
                    let size = segment.p_filesz(endian).into().min(4096);
                    let bytes = data.read_bytes_at(segment.p_offset(endian).into(), size).unwrap_or(&[]);
                    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                    self.interpreter = Some(bytes[..end].to_vec());
                }
                elf::PT_NOTE if self.build_id.is_empty() && segment.p_filesz(endian).into() <= MAX_NOTES => {
                    if let Ok(Some(notes)) = segment.notes(endian, data) {
                        self.build_id = build_id_of(notes, endian);
                    }
                }
                elf::PT_DYNAMIC if !self.has_dynamic => {
                    self.has_dynamic = true;
                    let at = (segment.p_offset(endian).into(), segment.p_filesz(endian).into());
                    self.read_dynamic::<E>(at, segments, endian, data);
                }
                _ => {}
            }
        }
        Some(())
    }

    /// `DF_1_PIE` and the names of needed libraries.
    fn read_dynamic<E: FileHeader<Endian = Endianness>>(
        &mut self,
        (offset, size): (u64, u64),
        segments: &[E::ProgramHeader],
        endian: Endianness,
        data: Cache<'_>,
    ) -> Option<()> {
        let bytes = data.read_bytes_at(offset, size.min(64 << 10)).ok()?;
        let word = if self.is_64 { 8 } else { 4 };
        let number = |bytes: &[u8]| number(bytes, endian);
        let entries: Vec<(u64, u64)> = bytes
            .chunks_exact(word * 2)
            .map(|entry| (number(&entry[..word]), number(&entry[word..])))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let find = |wanted: u64| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        const DT_NEEDED: u64 = 1;
        const DT_STRTAB: u64 = 5;
        const DT_FLAGS_1: u64 = 0x6fff_fffb;
        const DF_1_PIE: u64 = 0x0800_0000;
        self.is_pie = find(DT_FLAGS_1).is_some_and(|flags| flags & DF_1_PIE != 0);
        let strings = find(DT_STRTAB)?;
        let at = segments.iter().find_map(|segment| {
            let start: u64 = segment.p_vaddr(endian).into();
            let inside = strings.checked_sub(start)?;
            let fits = segment.p_type(endian) == elf::PT_LOAD && inside < segment.p_filesz(endian).into();
            fits.then(|| segment.p_offset(endian).into().checked_add(inside)).flatten()
        })?;
        for (_, name) in entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).take(256) {
            let start = at.checked_add(*name)?;
            if let Ok(name) =
                data.read_bytes_at_until(start..start.saturating_add(256).min(data.len().ok()?), 0)
            {
                self.needed.push(name.to_vec());
            }
        }
        Some(())
    }

    /// Whether a section is there and not empty.
    pub(crate) fn has_section(&self, name: &str) -> bool {
        self.find_section(name).is_some_and(|section| section.size > 0)
    }

    fn find_section(&self, name: &str) -> Option<&Section> {
        let old_name = name.strip_prefix(".debug_").map(|rest| format!(".zdebug_{rest}"));
        self.sections.iter().find(|section| section.name == name.as_bytes()).or_else(|| {
            self.sections
                .iter()
                .find(|section| Some(section.name.as_slice()) == old_name.as_deref().map(str::as_bytes))
        })
    }

    /// How many bytes all uncompressed sections of this file together may take.
    pub(crate) fn inflate_budget(&self) -> u64 {
        self.source.len().saturating_mul(3).saturating_add(64 << 20)
    }

    /// A section's bytes, uncompressed. `Ok(None)`: it is not there. `Err`: it is damaged, or larger than `budget` allows.
    pub(crate) fn section(&self, name: &str, budget: &mut u64) -> Result<Option<Arc<[u8]>>, ()> {
        let Some(section) = self.find_section(name) else {
            return Ok(None);
        };
        let bytes = self.source.read(section.offset, section.size).ok_or(())?;
        let (format, uncompressed_size, skip) = if section.is_compressed {
            self.compression(&bytes).ok_or(())?
        } else if section.name.starts_with(b".zdebug_") {
            old_compression(&bytes).ok_or(())?
        } else {
            return Ok(Some(bytes));
        };
        let data = &bytes[skip..];
        let is_sane = uncompressed_size <= MAX_INFLATED.min(*budget)
            && uncompressed_size / MAX_RATIO <= data.len() as u64;
        if !is_sane {
            return Err(());
        }
        *budget -= uncompressed_size;
        let inflated = CompressedData { format, data, uncompressed_size }.decompress().map_err(drop)?;
        Ok(Some(Arc::from(inflated)))
    }

    /// Format, size and length of the header of an `SHF_COMPRESSED` section.
    fn compression(&self, bytes: &[u8]) -> Option<(CompressionFormat, u64, usize)> {
        let endian = if self.endian == RunTimeEndian::Little { Endianness::Little } else { Endianness::Big };
        let (size, skip) = if self.is_64 { (bytes.get(8..16)?, 24) } else { (bytes.get(4..8)?, 12) };
        bytes.get(skip..)?;
        let format = match number(bytes.get(..4)?, endian) {
            1 => CompressionFormat::Zlib,
            2 => CompressionFormat::Zstandard,
            _ => return None,
        };
        Some((format, number(size, endian), skip))
    }

    /// Functions of `.symtab`, or of `.dynsym` where there is none; ascending by address.
    pub(crate) fn symbols(&self) -> Symbols {
        self.symbols_of(&[STT_FUNC, STT_GNU_IFUNC])
    }

    /// As [`Elf::symbols`], of variables.
    pub(crate) fn variables(&self) -> Symbols {
        self.symbols_of(&[STT_OBJECT])
    }

    fn symbols_of(&self, types: &[u8]) -> Symbols {
        for range in [self.symtab, self.dynsym].into_iter().flatten() {
            if let Some(symbols) = self.read_symbols(range, types)
                && !symbols.entries.is_empty()
            {
                return symbols;
            }
        }
        Symbols::default()
    }

    /// Whether there is a full symbol table, not only the dynamic one.
    pub(crate) fn has_symtab(&self) -> bool {
        self.symtab.is_some_and(|range| range.size > 0)
    }

    fn read_symbols(&self, range: SymbolRange, types: &[u8]) -> Option<Symbols> {
        let bytes = self.source.read(range.offset, range.size)?;
        let endian = if self.endian == RunTimeEndian::Little { Endianness::Little } else { Endianness::Big };
        let entry_size = if self.is_64 { 24 } else { 16 };
        let mut entries = Vec::new();
        for entry in bytes.chunks_exact(entry_size) {
            let field = |start: usize, len: usize| number(&entry[start..start + len], endian);
            let (info, section, address, size) = if self.is_64 {
                (entry[4], field(6, 2), field(8, 8), field(16, 8))
            } else {
                (entry[12], field(14, 2), field(4, 4), field(8, 4))
            };
            if !types.contains(&(info & 15)) || section == 0 || address == 0 {
                continue;
            }
            // The lowest bit of an ARM function's address says "Thumb".
            let address = if self.machine == elf::EM_ARM.0 { address & !1 } else { address };
            let rank = match info >> 4 {
                1 => 0,
                2 => 1,
                _ => 2,
            };
            entries.push(Symbol { address, size, name: field(0, 4) as u32, rank });
        }
        entries.sort_unstable_by_key(|symbol| (symbol.address, symbol.rank, symbol.name));
        Some(Symbols { entries, strings: range.strings, strings_size: range.strings_size })
    }
}

// Types of symbols.
const STT_OBJECT: u8 = 1;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;

/// A function's or a variable's entry in a symbol table.
struct Symbol {
    address: u64,
    size: u64,
    name: u32,
    /// Global before weak before local.
    rank: u8,
}

/// Functions or variables of one symbol table, ascending by address; names stay in the file.
#[derive(Default)]
pub(crate) struct Symbols {
    entries: Vec<Symbol>,
    strings: u64,
    strings_size: u64,
}

impl Symbols {
    /// Name of the function that covers `address`, as in the file. `elf` is the file these are from.
    pub(crate) fn find(&self, elf: &Elf, address: u64) -> Option<String> {
        self.covering(elf, address).map(|it| it.1)
    }

    /// Start and name of what covers `address`.
    pub(crate) fn covering(&self, elf: &Elf, address: u64) -> Option<(u64, String)> {
        let end = self.entries.partition_point(|symbol| symbol.address <= address);
        // A symbol inside another one is rare: few steps back are enough.
        let covering = self.entries[..end].iter().rev().take(16).find(|symbol| {
            // Hand-written assembly may leave the size out: it then reaches to the next symbol.
            symbol.size == 0 || address - symbol.address < symbol.size
        })?;
        let first = self.entries.partition_point(|symbol| symbol.address < covering.address);
        // Of several names at one address: global before local, then the plainest (`malloc`, not `__libc_malloc`).
        self.entries[first..end]
            .iter()
            .take_while(|symbol| symbol.address == covering.address)
            .take(16)
            .filter_map(|symbol| self.name(elf, symbol).map(|name| (symbol.rank, underscores(&name), name)))
            .min()
            .map(|(_, _, name)| (covering.address, name))
    }

    fn name(&self, elf: &Elf, symbol: &Symbol) -> Option<String> {
        let start = self.strings.checked_add(u64::from(symbol.name))?;
        let name = elf.source.read_string(start, self.strings.checked_add(self.strings_size)?, MAX_NAME)?;
        if name.is_empty() {
            return None;
        }
        let name = String::from_utf8_lossy(&name);
        // `malloc@@GLIBC_2.2.5` in a full symbol table.
        let plain = name.split('@').next().filter(|plain| !plain.is_empty()).unwrap_or(&name);
        Some(plain.to_owned())
    }
}

fn underscores(name: &str) -> usize {
    name.len() - name.trim_start_matches('_').len()
}

fn symbol_range<S: SectionHeader<Endian = Endianness>>(
    offset: u64,
    size: u64,
    strings: Option<&S>,
    endian: Endianness,
) -> Option<SymbolRange> {
    let (strings, strings_size) = strings?.file_range(endian)?;
    Some(SymbolRange { offset, size, strings, strings_size })
}

fn build_id_of<E: FileHeader<Endian = Endianness>>(
    mut notes: NoteIterator<'_, E>,
    endian: Endianness,
) -> Vec<u8> {
    while let Ok(Some(note)) = notes.next() {
        if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
            // 20 bytes as a rule; a longer one is no build id.
            return if note.desc().len() <= 64 { note.desc().to_vec() } else { Vec::new() };
        }
    }
    Vec::new()
}

/// `.zdebug_*` of old toolchains: "ZLIB", the size as 8 big-endian bytes, the stream.
fn old_compression(bytes: &[u8]) -> Option<(CompressionFormat, u64, usize)> {
    let size = bytes.strip_prefix(b"ZLIB")?.get(..8)?;
    Some((CompressionFormat::Zlib, number(size, Endianness::Big), 12))
}

fn number(bytes: &[u8], endian: Endianness) -> u64 {
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    match endian {
        Endianness::Little => bytes.iter().rev().fold(0, fold),
        Endianness::Big => bytes.iter().fold(0, fold),
    }
}

/// A link from a file to where (more of) its debug information is.
pub(crate) struct DebugLink {
    /// File name (`.gnu_debuglink`) or path (`.gnu_debugaltlink`).
    pub(crate) name: String,
    /// Checksum of the whole file (`.gnu_debuglink`).
    pub(crate) crc: u32,
    /// Build id of the file (`.gnu_debugaltlink`).
    pub(crate) build_id: Vec<u8>,
}

impl Elf {
    /// `.gnu_debuglink`: a name, padding to four bytes, a checksum.
    pub(crate) fn debug_link(&self) -> Option<DebugLink> {
        let (name, bytes) = self.link_section(".gnu_debuglink")?;
        let at = (name.len() + 1).next_multiple_of(4);
        let crc = bytes.get(at..at.checked_add(4)?)?;
        let is_name = !name.contains('/') && name != "." && name != "..";
        let endian = if self.endian == RunTimeEndian::Little { Endianness::Little } else { Endianness::Big };
        is_name.then(|| DebugLink { crc: number(crc, endian) as u32, build_id: Vec::new(), name })
    }

    /// `.gnu_debugaltlink`: a path, then a build id.
    pub(crate) fn debug_alt_link(&self) -> Option<DebugLink> {
        let (name, bytes) = self.link_section(".gnu_debugaltlink")?;
        let build_id = bytes.get(name.len() + 1..)?.to_vec();
        (!build_id.is_empty()).then_some(DebugLink { name, crc: 0, build_id })
    }

    fn link_section(&self, section: &str) -> Option<(String, Arc<[u8]>)> {
        let size = self.find_section(section)?.size;
        if size > MAX_NAME {
            return None;
        }
        let bytes = self.section(section, &mut 0).ok()??;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(&bytes[..end]).ok().filter(|name| !name.is_empty())?.to_owned();
        Some((name, bytes))
    }
}
