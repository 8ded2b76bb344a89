//! Address to functions and lines, from DWARF 2 to 5.
//!
//! ```text
//!   address --ranges--> unit --functions--> subprogram --children--> inlined calls
//!                         \--line program-> file, line, column
//! ```
//!
//! Everything is late: opening costs one step per unit (its header; its root entry where
//! `.debug_aranges` does not cover it), a unit's functions and lines are read when an address in it is
//! asked for, and the inlined calls of a function each time it is hit.
//!
//! Bounds for damaged or hostile data: every entry, attribute, range and line instruction costs
//! [`Fuel`]; when it is used up, nothing more is found. Nothing is read by recursion. Tables that are
//! kept have caps ([`MAX_ROWS`], [`MAX_RANGES`], [`MAX_KEPT`]). Each call of a parser that loops over a
//! count of its own is preceded by a look at how much it may read.

use crate::names;
use gimli::{AttributeValue, EndianReader, Reader, RunTimeEndian, Section, UnitOffset, UnitType};
use heapwise_model::Language;
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::sync::Arc;

/// Opens the split part of a unit: the main file's information, compilation directory, path and id of the part.
pub(crate) type LoadSplit<'a> = dyn FnMut(&Dwarf, &str, &str, gimli::DwoId) -> Option<Dwarf> + 'a;
pub(crate) type Bytes = EndianReader<RunTimeEndian, Arc<[u8]>>;
type Unit = gimli::Unit<Bytes>;
pub(crate) type Dwarf = gimli::Dwarf<Bytes>;

/// Steps per file, of about 10 ns; a thousand addresses in a 100 MB file take a tenth.
const FUEL: usize = 256 << 20;
/// Larger files get more, up to this.
const MAX_MORE_FUEL: usize = 512 << 20;
/// Steps that an entry costs besides its attributes.
const ENTRY: usize = 4;
/// Steps of one line instruction.
const INSTRUCTION: usize = 4;
/// Steps of one byte of a line program's header, of which five may make a file.
const HEADER_BYTE: usize = 16;
/// Steps of one byte of an abbreviation.
const ABBREVIATION_BYTE: usize = 2;
/// Rows of one unit's line table: 48 MB.
const MAX_ROWS: usize = 2 << 20;
/// Address ranges of all units, and of all functions of one unit: 16 MB, and as much as the file.
const MAX_RANGES: usize = 512 << 10;
const BYTES_PER_RANGE: usize = 32;
/// A string is looked through for its end: so many bytes cost one step.
const BYTES_PER_STEP: usize = 8;
/// Bytes of units that are kept for the next address.
const MAX_KEPT: usize = 64 << 20;
/// Bytes of one abbreviation table; in memory up to 24 times as much.
const MAX_ABBREVIATIONS: usize = 2 << 20;
/// Bytes of a line program's header; in memory up to 170 times as much in version 5, 60 times before.
const MAX_LINE_HEADER_5: usize = 512 << 10;
const MAX_LINE_HEADER: usize = 4 << 20;
/// Units looked at for one address.
const MAX_CANDIDATES: usize = 16;
/// Inlined calls around one address.
pub(crate) const MAX_INLINED: usize = 64;
/// References followed from an entry to the one that holds its name.
const MAX_HOPS: usize = 16;

/// Work that is left.
struct Fuel(Cell<u64>);

impl Fuel {
    fn burn(&self, steps: usize) -> gimli::Result<()> {
        let left = self.0.get().checked_sub(steps as u64);
        self.0.set(left.unwrap_or(0));
        left.map(drop).ok_or(TOO_MUCH)
    }

    /// A string attribute; costs what looking for its end costs.
    fn string(&self, dwarf: &Dwarf, unit: &Unit, value: AttributeValue<Bytes>) -> Option<Bytes> {
        let string = dwarf.attr_string(unit, value).ok();
        let looked_through = string.as_ref().map_or_else(|| dwarf.debug_str.reader().len(), Bytes::len);
        self.burn(1 + looked_through / BYTES_PER_STEP).ok()?;
        string
    }
}

/// The work for a file is used up, or a table is larger than its cap.
const TOO_MUCH: gimli::Error = gimli::Error::UnexpectedEof(gimli::ReaderOffsetId(0));

/// A frame as DWARF tells it; innermost first.
#[derive(Debug, Default)]
pub(crate) struct RawFrame {
    /// As recorded.
    pub(crate) name: Option<String>,
    /// The name is the linker's, which holds all scopes; a plain one does not.
    pub(crate) is_linkage: bool,
    pub(crate) path: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    pub(crate) language: Option<Language>,
}

/// Which file a reference leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Home {
    Main,
    /// `.gnu_debugaltlink`: what several files share.
    Supplementary,
    /// Split DWARF of the unit with this index.
    Split(usize),
}

/// `[begin, end)` belongs to a unit; `min_begin` is the least `begin` from here to the end of the list.
struct UnitRange {
    begin: u64,
    end: u64,
    min_begin: u64,
    unit: u32,
}

/// A unit with its root entry read.
struct Head {
    unit: Unit,
    language: Option<Language>,
    lines: Option<gimli::DebugLineOffset>,
    pcs: Pcs,
    /// Path of the split part, relative to the compilation directory.
    split_path: Option<String>,
}

/// Addresses of an entry.
#[derive(Default)]
struct Pcs {
    low: Option<AttributeValue<Bytes>>,
    high: Option<AttributeValue<Bytes>>,
    ranges: Option<AttributeValue<Bytes>>,
}

impl Pcs {
    fn take(&mut self, attribute: &gimli::Attribute<Bytes>) {
        match attribute.name() {
            gimli::DW_AT_low_pc => self.low = Some(attribute.value()),
            gimli::DW_AT_high_pc => self.high = Some(attribute.value()),
            gimli::DW_AT_ranges => self.ranges = Some(attribute.value()),
            _ => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.low.is_none() && self.ranges.is_none()
    }
}

/// A subprogram's range; a subprogram may have several.
struct FunctionRange {
    begin: u64,
    end: u64,
    entry: UnitOffset,
}

struct Row {
    address: u64,
    line: u32,
    column: u32,
    file: u32,
}

/// Rows `[first, last)` describe the addresses `[begin, end)`, ascending.
struct Sequence {
    begin: u64,
    end: u64,
    first: u32,
    last: u32,
}

/// A unit's line table.
struct Lines {
    program: gimli::IncompleteLineProgram<Bytes>,
    rows: Vec<Row>,
    sequences: Vec<Sequence>,
}

/// The debug information of one file.
pub(crate) struct DebugInfo {
    dwarf: Dwarf,
    /// Offsets of all units in `.debug_info`, ascending.
    units: Vec<usize>,
    /// The same of the supplementary file.
    supplementary_units: Vec<usize>,
    /// Sorted by `end`.
    ranges: Vec<UnitRange>,
    /// `.debug_aranges` named these units' addresses; their root entries have not been asked.
    covered: Vec<bool>,
    heads: FxHashMap<(Home, usize), Arc<Head>>,
    functions: FxHashMap<usize, Arc<Vec<FunctionRange>>>,
    /// By offset: units may share a table.
    lines: FxHashMap<usize, Option<Arc<Lines>>>,
    abbreviations: FxHashMap<(Home, usize), Arc<gimli::Abbreviations>>,
    /// Estimated bytes in the four maps above.
    kept: usize,
    split: FxHashMap<usize, Option<(Dwarf, Arc<Head>)>>,
    fuel: Fuel,
    max_ranges: usize,
    is_damaged: bool,
}

impl DebugInfo {
    /// Lists the units. `dwarf.sup` is the supplementary file, if there is one.
    pub(crate) fn new(dwarf: Dwarf) -> DebugInfo {
        let mut out = DebugInfo {
            units: Vec::new(),
            supplementary_units: Vec::new(),
            ranges: Vec::new(),
            covered: Vec::new(),
            heads: FxHashMap::default(),
            functions: FxHashMap::default(),
            lines: FxHashMap::default(),
            abbreviations: FxHashMap::default(),
            kept: 0,
            split: FxHashMap::default(),
            fuel: Fuel(Cell::new((FUEL + (4 * dwarf.debug_info.reader().len()).min(MAX_MORE_FUEL)) as u64)),
            max_ranges: MAX_RANGES + dwarf.debug_info.reader().len() / BYTES_PER_RANGE,
            is_damaged: false,
            dwarf,
        };
        let (units, is_whole) = list_units(&out.dwarf, &out.fuel);
        out.units = units;
        out.is_damaged |= !is_whole;
        if let Some(supplementary) = out.dwarf.sup() {
            let (units, is_whole) = list_units(supplementary, &out.fuel);
            out.supplementary_units = units;
            out.is_damaged |= !is_whole;
        }
        out.covered = vec![false; out.units.len()];
        out.read_aranges();
        for index in 0..out.units.len() {
            if !out.covered[index] {
                out.read_unit_ranges(index);
            }
        }
        out.sort_ranges();
        out
    }

    /// Whether something could not be read, or the work for this file is used up.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged || self.fuel.0.get() == 0
    }

    /// Bytes that are held, roughly.
    pub(crate) fn weight(&self) -> usize {
        let sections = [
            self.dwarf.debug_info.reader().len(),
            self.dwarf.debug_str.reader().len(),
            self.dwarf.debug_line.reader().len(),
        ];
        sections.iter().sum::<usize>() + self.kept + self.ranges.len() * size_of::<UnitRange>()
    }

    fn read_aranges(&mut self) {
        let mut headers = self.dwarf.debug_aranges.headers();
        // A damaged set ends the walk; the units it did not name are asked themselves.
        while let Ok(Some(header)) = headers.next() {
            let Ok(index) = self.units.binary_search(&header.debug_info_offset().0) else {
                continue;
            };
            let mut entries = header.entries();
            loop {
                if self.fuel.burn(1).is_err() || self.ranges.len() >= self.max_ranges {
                    self.is_damaged = true;
                    return;
                }
                match entries.next_raw() {
                    Ok(Some(entry)) => {
                        let (begin, length) = (entry.address(), entry.length());
                        if push_range(&mut self.ranges, begin, begin.saturating_add(length), index) {
                            self.covered[index] = true;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => break,
                }
            }
        }
    }

    /// Adds the ranges that a unit's root entry names.
    fn read_unit_ranges(&mut self, index: usize) {
        let Ok(header) = self.dwarf.debug_info.header_from_offset(gimli::DebugInfoOffset(self.units[index]))
        else {
            self.is_damaged = true;
            return;
        };
        let names_no_code =
            matches!(header.type_(), UnitType::Partial | UnitType::Type { .. } | UnitType::SplitType { .. });
        if names_no_code {
            return;
        }
        let head = match root_abbreviation(&self.dwarf, &header, &self.fuel) {
            Ok(abbreviations) => read_head(&self.dwarf, header, abbreviations, &self.fuel),
            Err(error) => Err(error),
        };
        let Ok(head) = head else {
            self.is_damaged = true;
            return;
        };
        let DebugInfo { dwarf, ranges, fuel, max_ranges, .. } = self;
        let max_ranges = *max_ranges;
        let result = for_each_range(dwarf, &head.unit, &head.pcs, fuel, |begin, end| {
            push_range(ranges, begin, end, index);
            ranges.len() < max_ranges
        });
        self.is_damaged |= result.is_err();
    }

    fn sort_ranges(&mut self) {
        self.ranges.sort_unstable_by_key(|range| (range.end, range.unit));
        let mut min = u64::MAX;
        for range in self.ranges.iter_mut().rev() {
            min = min.min(range.begin);
            range.min_begin = min;
        }
    }

    /// Units whose ranges hold `address`.
    fn candidates(&self, address: u64) -> Vec<usize> {
        let first = self.ranges.partition_point(|range| range.end <= address);
        let mut out = Vec::new();
        for range in self.ranges[first..].iter().take_while(|range| range.min_begin <= address).take(4096) {
            let unit = range.unit as usize;
            if range.begin <= address && !out.contains(&unit) {
                out.push(unit);
                if out.len() == MAX_CANDIDATES {
                    break;
                }
            }
        }
        out
    }

    /// Frames at `address`, innermost first; empty when nothing is known. `load_split` opens a unit's split part.
    pub(crate) fn find(&mut self, address: u64, load_split: &mut LoadSplit<'_>) -> Vec<RawFrame> {
        let mut candidates = self.candidates(address);
        if candidates.is_empty() && self.covered.contains(&true) {
            // `.debug_aranges` may be incomplete: ask the units themselves, once.
            for index in 0..self.units.len() {
                if std::mem::take(&mut self.covered[index]) {
                    self.read_unit_ranges(index);
                }
            }
            self.sort_ranges();
            candidates = self.candidates(address);
        }
        for index in candidates {
            match self.find_in_unit(index, address, load_split) {
                Ok(frames) if !frames.is_empty() => return frames,
                Ok(_) => {}
                Err(_) => self.is_damaged = true,
            }
        }
        Vec::new()
    }

    fn find_in_unit(
        &mut self,
        index: usize,
        address: u64,
        load_split: &mut LoadSplit<'_>,
    ) -> gimli::Result<Vec<RawFrame>> {
        if self.kept > MAX_KEPT {
            self.forget();
        }
        let skeleton = self.head(Home::Main, self.units[index])?;
        let (home, head) = match self.split_head(index, &skeleton, load_split) {
            Some(head) => (Home::Split(index), head),
            None => (Home::Main, skeleton.clone()),
        };
        let language = head.language.or(skeleton.language);
        let lines = self.lines(&skeleton);
        let location = lines.as_deref().and_then(|lines| lines.find(address));
        // A damaged tree still leaves the line.
        let chain = self.chain(index, home, &head, address);
        self.is_damaged |= chain.is_err();
        let chain = chain.unwrap_or_default();
        if chain.is_empty() && location.is_none() {
            return Ok(Vec::new());
        }
        let path =
            |file: u64| lines.as_deref().and_then(|lines| self.path(&skeleton.unit, lines.header(), file));
        let place = |file: u64, line: u32, column: u32| RawFrame {
            name: None,
            is_linkage: false,
            path: path(file),
            line: (line != 0).then_some(line),
            column: (column != 0).then_some(column),
            language,
        };
        let mut next = location.map_or_else(
            || RawFrame { language, ..RawFrame::default() },
            |row| place(u64::from(row.file), row.line, row.column),
        );
        let mut frames = Vec::with_capacity(chain.len().max(1));
        for call in chain.iter().rev() {
            frames.push(next);
            next = place(call.file, call.line, call.column);
        }
        if chain.is_empty() {
            frames.push(next);
        }
        for (frame, call) in frames.iter_mut().zip(chain.iter().rev()) {
            if let Ok(Some((name, is_linkage))) = self.name(home, &head, call.entry) {
                (frame.name, frame.is_linkage) = (Some(name), is_linkage);
            }
        }
        Ok(frames)
    }

    /// The subprogram around `address` and the calls inlined into it, outermost first.
    fn chain(&mut self, index: usize, home: Home, head: &Head, address: u64) -> gimli::Result<Vec<Call>> {
        let functions = self.functions(index, home, head)?;
        let end = functions.partition_point(|function| function.begin <= address);
        let Some(function) = functions[..end].iter().rev().take(32).find(|function| address < function.end)
        else {
            return Ok(Vec::new());
        };
        let entry = function.entry;
        let mut chain = vec![Call { entry, depth: 0, file: 0, line: 0, column: 0 }];
        let DebugInfo { dwarf, split, fuel, .. } = self;
        let dwarf = dwarf_of(dwarf, split, home);
        let mut entries = head.unit.entries_raw(Some(entry))?;
        // Entries deeper than this belong to a nested subprogram, which has frames of its own.
        let mut skip_below = isize::MAX;
        while !entries.is_empty() {
            let depth = entries.next_depth();
            let offset = entries.next_offset();
            let abbreviation = entries.read_abbreviation()?;
            let is_first = offset == entry;
            if depth <= 0 && !is_first {
                break;
            }
            let Some(abbreviation) = abbreviation else {
                fuel.burn(1)?;
                continue;
            };
            let attributes = abbreviation.attributes();
            fuel.burn(ENTRY + attributes.len())?;
            if is_first && !abbreviation.has_children() {
                break;
            }
            if depth <= skip_below {
                skip_below = isize::MAX;
            }
            if skip_below == isize::MAX
                && chain.len() > 1
                && chain.last().is_some_and(|call| depth <= call.depth)
            {
                // The subtree of the innermost call is behind us.
                break;
            }
            match abbreviation.tag() {
                gimli::DW_TAG_inlined_subroutine
                    if skip_below == isize::MAX && chain.len() <= MAX_INLINED =>
                {
                    let mut pcs = Pcs::default();
                    let mut call = Call { entry: offset, depth, file: 0, line: 0, column: 0 };
                    for specification in attributes {
                        let attribute = entries.read_attribute(*specification)?;
                        pcs.take(&attribute);
                        call.take(&attribute);
                    }
                    let mut holds = false;
                    for_each_range(dwarf, &head.unit, &pcs, fuel, |begin, end| {
                        holds |= begin <= address && address < end;
                        !holds
                    })?;
                    if holds {
                        chain.push(call);
                    }
                }
                gimli::DW_TAG_subprogram if !is_first && skip_below == isize::MAX => {
                    entries.skip_attributes(attributes)?;
                    skip_below = depth;
                }
                _ => entries.skip_attributes(attributes)?,
            }
        }
        Ok(chain)
    }

    /// Ranges of all subprograms of a unit, ascending by start.
    fn functions(&mut self, index: usize, home: Home, head: &Head) -> gimli::Result<Arc<Vec<FunctionRange>>> {
        if let Some(functions) = self.functions.get(&index) {
            return Ok(functions.clone());
        }
        let DebugInfo { dwarf, split, fuel, .. } = self;
        let dwarf = dwarf_of(dwarf, split, home);
        let mut functions = Vec::new();
        let result = read_functions(dwarf, &head.unit, fuel, &mut functions);
        self.is_damaged |= result.is_err();
        functions.sort_unstable_by_key(|function| {
            (function.begin, std::cmp::Reverse(function.end), function.entry.0)
        });
        functions.shrink_to_fit();
        self.kept += functions.len() * size_of::<FunctionRange>() + 64;
        let functions = Arc::new(functions);
        self.functions.insert(index, functions.clone());
        Ok(functions)
    }

    fn lines(&mut self, head: &Head) -> Option<Arc<Lines>> {
        let offset = head.lines?;
        if let Some(lines) = self.lines.get(&offset.0) {
            return lines.clone();
        }
        let lines = Lines::read(&self.dwarf, &head.unit, offset, &self.fuel).ok().map(Arc::new);
        self.is_damaged |= lines.is_none();
        self.kept += lines.as_deref().map_or(16, Lines::weight);
        self.lines.insert(offset.0, lines.clone());
        lines
    }

    /// The unit at `offset` of `.debug_info`.
    fn head(&mut self, home: Home, offset: usize) -> gimli::Result<Arc<Head>> {
        if let Some(head) = self.heads.get(&(home, offset)) {
            return Ok(head.clone());
        }
        let DebugInfo { dwarf, split, fuel, abbreviations, kept, .. } = self;
        let dwarf = dwarf_of(dwarf, split, home);
        let header = dwarf.debug_info.header_from_offset(gimli::DebugInfoOffset(offset))?;
        let key = (home, header.debug_abbrev_offset().0);
        let table = match abbreviations.get(&key) {
            Some(table) => table.clone(),
            None => {
                let (table, size) = read_abbreviations(dwarf, &header, fuel)?;
                let table = Arc::new(table);
                *kept += 24 * size;
                abbreviations.insert(key, table.clone());
                table
            }
        };
        let head = Arc::new(read_head(dwarf, header, table, fuel)?);
        *kept += 512;
        self.heads.insert((home, offset), head.clone());
        Ok(head)
    }

    /// The split part of a unit, opened at its first use.
    fn split_head(&mut self, index: usize, skeleton: &Head, load: &mut LoadSplit<'_>) -> Option<Arc<Head>> {
        let id = skeleton.unit.dwo_id?;
        if let Some(split) = self.split.get(&index) {
            return split.as_ref().map(|(_, head)| head.clone());
        }
        let loaded = self.load_split(id, skeleton, load);
        let head = loaded.as_ref().map(|(_, head)| head.clone());
        self.split.insert(index, loaded);
        head
    }

    fn load_split(
        &mut self,
        id: gimli::DwoId,
        skeleton: &Head,
        load: &mut LoadSplit<'_>,
    ) -> Option<(Dwarf, Arc<Head>)> {
        let folder = skeleton.unit.comp_dir.as_ref().map(text).unwrap_or_default();
        let mut dwarf = load(&self.dwarf, &folder, skeleton.split_path.as_deref()?, id)?;
        dwarf.make_dwo(&self.dwarf);
        let (units, _) = list_units(&dwarf, &self.fuel);
        for offset in units.into_iter().take(64) {
            let header = dwarf.debug_info.header_from_offset(gimli::DebugInfoOffset(offset)).ok()?;
            let (table, size) = read_abbreviations(&dwarf, &header, &self.fuel).ok()?;
            let mut head = read_head(&dwarf, header, Arc::new(table), &self.fuel).ok()?;
            if head.unit.dwo_id != Some(id) {
                continue;
            }
            head.unit.copy_relocated_attributes(&skeleton.unit);
            self.kept += 24 * size + dwarf.debug_info.reader().len() + dwarf.debug_str.reader().len();
            return Some((dwarf, Arc::new(head)));
        }
        None
    }

    /// Name of a subprogram or inlined call: the linkage name where one is recorded, wherever it stands.
    fn name(
        &mut self,
        home: Home,
        head: &Arc<Head>,
        entry: UnitOffset,
    ) -> gimli::Result<Option<(String, bool)>> {
        let (mut home, mut head, mut entry) = (home, head.clone(), entry);
        let mut plain = None;
        for _ in 0..MAX_HOPS {
            let mut linkage = None;
            let mut next = None;
            {
                let DebugInfo { dwarf, split, fuel, .. } = &mut *self;
                let dwarf = dwarf_of(dwarf, split, home);
                let mut entries = head.unit.entries_raw(Some(entry))?;
                let Some(abbreviation) = entries.read_abbreviation()? else {
                    break;
                };
                fuel.burn(ENTRY + abbreviation.attributes().len())?;
                for specification in abbreviation.attributes() {
                    let attribute = entries.read_attribute(*specification)?;
                    match attribute.name() {
                        gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                            linkage =
                                fuel.string(dwarf, &head.unit, attribute.value()).map(|name| text(&name));
                        }
                        gimli::DW_AT_name if plain.is_none() => {
                            plain = fuel.string(dwarf, &head.unit, attribute.value()).map(|name| text(&name));
                        }
                        gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                            next = Some(attribute.value())
                        }
                        _ => {}
                    }
                }
            }
            if linkage.is_some() {
                return Ok(linkage.map(|name| (name, true)));
            }
            let Some(next) = next else { break };
            let Some(target) = self.follow(home, &head, next)? else {
                break;
            };
            (home, head, entry) = target;
        }
        Ok(plain.map(|name| (name, false)))
    }

    /// The entry that a reference leads to.
    fn follow(
        &mut self,
        home: Home,
        head: &Arc<Head>,
        reference: AttributeValue<Bytes>,
    ) -> gimli::Result<Option<(Home, Arc<Head>, UnitOffset)>> {
        let (home, offset) = match reference {
            AttributeValue::UnitRef(offset) => return Ok(Some((home, head.clone(), offset))),
            AttributeValue::DebugInfoRef(offset) => (home, offset),
            AttributeValue::DebugInfoRefSup(offset) => (Home::Supplementary, offset),
            _ => return Ok(None),
        };
        let units = match home {
            Home::Main => &self.units,
            Home::Supplementary => &self.supplementary_units,
            Home::Split(_) => return Ok(None),
        };
        let Some(unit) = units.partition_point(|start| *start <= offset.0).checked_sub(1) else {
            return Ok(None);
        };
        let head = self.head(home, units[unit])?;
        let entry = offset.to_unit_offset(&head.unit.header);
        Ok(entry.map(|entry| (home, head, entry)))
    }

    /// Path of a file of a line table.
    fn path(&self, unit: &Unit, header: &gimli::LineProgramHeader<Bytes>, index: u64) -> Option<String> {
        let file = header.file(index)?;
        let string = |value| self.fuel.string(&self.dwarf, unit, value).map(|name| text(&name));
        let name = string(file.path_name())?;
        let comp_dir = unit.comp_dir.as_ref().map(text).unwrap_or_default();
        let folder = file.directory(header).and_then(string).unwrap_or_default();
        Some(names::join(&[&comp_dir, &folder, &name]))
    }

    fn forget(&mut self) {
        self.heads.clear();
        self.functions.clear();
        self.lines.clear();
        self.abbreviations.clear();
        self.split.clear();
        self.kept = 0;
    }
}

/// A subprogram or an inlined call that holds the address, and from where it was called.
struct Call {
    entry: UnitOffset,
    depth: isize,
    file: u64,
    line: u32,
    column: u32,
}

impl Call {
    fn take(&mut self, attribute: &gimli::Attribute<Bytes>) {
        let number = || attribute.udata_value().and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
        match attribute.name() {
            gimli::DW_AT_call_file => {
                self.file = match attribute.value() {
                    AttributeValue::FileIndex(index) => index,
                    _ => attribute.udata_value().unwrap_or(0),
                }
            }
            gimli::DW_AT_call_line => self.line = number(),
            gimli::DW_AT_call_column => self.column = number(),
            _ => {}
        }
    }
}

fn dwarf_of<'a>(
    main: &'a Dwarf,
    split: &'a FxHashMap<usize, Option<(Dwarf, Arc<Head>)>>,
    home: Home,
) -> &'a Dwarf {
    match home {
        Home::Main => main,
        Home::Supplementary => main.sup().unwrap_or(main),
        Home::Split(index) => split.get(&index).and_then(Option::as_ref).map_or(main, |(dwarf, _)| dwarf),
    }
}

/// Offsets of all units, and whether the list is whole.
fn list_units(dwarf: &Dwarf, fuel: &Fuel) -> (Vec<usize>, bool) {
    let mut out = Vec::new();
    let mut headers = dwarf.debug_info.units();
    loop {
        match headers.next() {
            Ok(Some(header)) if fuel.burn(1).is_ok() => {
                if let Some(offset) = header.debug_info_offset() {
                    out.push(offset.0);
                }
            }
            Ok(None) => return (out, true),
            _ => return (out, false),
        }
    }
}

fn push_range(ranges: &mut Vec<UnitRange>, begin: u64, end: u64, unit: usize) -> bool {
    // No code is at 0 in a linked file: that is what linkers leave of removed functions.
    let is_real = begin != 0 && begin < end;
    if is_real {
        ranges.push(UnitRange { begin, end, min_begin: 0, unit: unit as u32 });
    }
    is_real
}

/// Calls `visit` with each range of an entry until it answers false.
fn for_each_range(
    dwarf: &Dwarf,
    unit: &Unit,
    pcs: &Pcs,
    fuel: &Fuel,
    mut visit: impl FnMut(u64, u64) -> bool,
) -> gimli::Result<()> {
    if let Some(ranges) = &pcs.ranges
        && let Some(offset) = dwarf.attr_ranges_offset(unit, ranges.clone())?
    {
        let mut ranges = dwarf.ranges(unit, offset)?;
        while let Some(range) = ranges.next()? {
            fuel.burn(1)?;
            if range.begin != 0 && range.begin < range.end && !visit(range.begin, range.end) {
                break;
            }
        }
        return Ok(());
    }
    let Some(low) = &pcs.low else { return Ok(()) };
    let Some(begin) = dwarf.attr_address(unit, low.clone())? else {
        return Ok(());
    };
    let end = match &pcs.high {
        Some(high) => match dwarf.attr_address(unit, high.clone())? {
            Some(end) => end,
            None => high.udata_value().map_or(begin, |size| begin.saturating_add(size)),
        },
        None => begin,
    };
    if begin != 0 && begin < end {
        visit(begin, end);
    }
    Ok(())
}

fn read_functions(
    dwarf: &Dwarf,
    unit: &Unit,
    fuel: &Fuel,
    out: &mut Vec<FunctionRange>,
) -> gimli::Result<()> {
    let max_ranges = MAX_RANGES + dwarf.debug_info.reader().len() / BYTES_PER_RANGE;
    let mut entries = unit.entries_raw(None)?;
    while !entries.is_empty() && out.len() < max_ranges {
        let entry = entries.next_offset();
        let Some(abbreviation) = entries.read_abbreviation()? else {
            fuel.burn(1)?;
            continue;
        };
        let attributes = abbreviation.attributes();
        fuel.burn(ENTRY + attributes.len())?;
        if abbreviation.tag() != gimli::DW_TAG_subprogram {
            entries.skip_attributes(attributes)?;
            continue;
        }
        let mut pcs = Pcs::default();
        for specification in attributes {
            match specification.name() {
                gimli::DW_AT_low_pc | gimli::DW_AT_high_pc | gimli::DW_AT_ranges => {
                    pcs.take(&entries.read_attribute(*specification)?)
                }
                _ => entries.skip_attributes(std::slice::from_ref(specification))?,
            }
        }
        if pcs.is_empty() {
            continue;
        }
        for_each_range(dwarf, unit, &pcs, fuel, |begin, end| {
            out.push(FunctionRange { begin, end, entry });
            out.len() < max_ranges
        })?;
    }
    Ok(())
}

/// Length of one abbreviation at the start of `bytes`, and its code; `None` at the end of the table.
fn skip_abbreviation(bytes: &mut Bytes) -> gimli::Result<Option<u64>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let code = bytes.read_uleb128()?;
    if code == 0 {
        return Ok(None);
    }
    bytes.skip_leb128()?;
    bytes.read_u8()?;
    loop {
        let name = bytes.read_uleb128()?;
        let form = bytes.read_uleb128()?;
        if form == u64::from(gimli::DW_FORM_implicit_const.0) {
            bytes.skip_leb128()?;
        }
        if name == 0 && form == 0 {
            return Ok(Some(code));
        }
    }
}

fn abbreviation_bytes(dwarf: &Dwarf, header: &gimli::UnitHeader<Bytes>) -> gimli::Result<Bytes> {
    let mut bytes = dwarf.debug_abbrev.reader().clone();
    bytes.skip(header.debug_abbrev_offset().0)?;
    Ok(bytes)
}

/// A table with only the abbreviation of the unit's root entry: reading all would cost more than the entry tells.
fn root_abbreviation(
    dwarf: &Dwarf,
    header: &gimli::UnitHeader<Bytes>,
    fuel: &Fuel,
) -> gimli::Result<Arc<gimli::Abbreviations>> {
    let wanted = header.range_from(UnitOffset(header.root_offset().0)..)?.read_uleb128()?;
    let mut bytes = abbreviation_bytes(dwarf, header)?;
    loop {
        let start = bytes.clone();
        let Some(code) = skip_abbreviation(&mut bytes)? else {
            return Err(gimli::Error::InvalidAbbreviationCode(wanted));
        };
        let size = start.len() - bytes.len();
        fuel.burn(ABBREVIATION_BYTE * size)?;
        if code == wanted {
            let one = start.range_to(..size);
            // The missing null entry after it is accepted.
            return gimli::DebugAbbrev::from(one).abbreviations(gimli::DebugAbbrevOffset(0)).map(Arc::new);
        }
    }
}

/// A unit's whole abbreviation table, and its size in the file.
fn read_abbreviations(
    dwarf: &Dwarf,
    header: &gimli::UnitHeader<Bytes>,
    fuel: &Fuel,
) -> gimli::Result<(gimli::Abbreviations, usize)> {
    let start = abbreviation_bytes(dwarf, header)?;
    let mut bytes = start.clone();
    loop {
        let before = bytes.len();
        let more = skip_abbreviation(&mut bytes)?.is_some();
        fuel.burn(ABBREVIATION_BYTE * (before - bytes.len()))?;
        if start.len() - bytes.len() > MAX_ABBREVIATIONS {
            return Err(TOO_MUCH);
        }
        if !more {
            break;
        }
    }
    let table = dwarf.debug_abbrev.abbreviations(header.debug_abbrev_offset())?;
    Ok((table, start.len() - bytes.len()))
}

/// Reads a unit's root entry. The line program is left out: its header may be large.
fn read_head(
    dwarf: &Dwarf,
    header: gimli::UnitHeader<Bytes>,
    abbreviations: Arc<gimli::Abbreviations>,
    fuel: &Fuel,
) -> gimli::Result<Head> {
    let encoding = header.encoding();
    let mut unit = Unit {
        abbreviations,
        name: None,
        comp_dir: None,
        low_pc: 0,
        str_offsets_base: gimli::DebugStrOffsetsBase::default_for_encoding_and_file(
            encoding,
            dwarf.file_type,
        ),
        addr_base: gimli::DebugAddrBase(0),
        loclists_base: gimli::DebugLocListsBase::default_for_encoding_and_file(encoding, dwarf.file_type),
        rnglists_base: gimli::DebugRngListsBase::default_for_encoding_and_file(encoding, dwarf.file_type),
        line_program: None,
        dwo_id: match header.type_() {
            UnitType::Skeleton(id) | UnitType::SplitCompilation(id) => Some(id),
            _ => None,
        },
        header,
    };
    let (mut comp_dir, mut split_path, mut language, mut lines) = (None, None, None, None);
    let mut pcs = Pcs::default();
    {
        let mut entries = unit.header.entries_raw(&unit.abbreviations, None)?;
        let abbreviation = entries.read_abbreviation()?.ok_or(gimli::Error::MissingUnitDie)?;
        fuel.burn(ENTRY + abbreviation.attributes().len())?;
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            pcs.take(&attribute);
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_comp_dir, value) => comp_dir = Some(value),
                (gimli::DW_AT_dwo_name | gimli::DW_AT_GNU_dwo_name, value) => split_path = Some(value),
                (gimli::DW_AT_language, AttributeValue::Language(value)) => {
                    language = Some(names::language_of_unit(value))
                }
                (gimli::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => lines = Some(offset),
                (gimli::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                    unit.str_offsets_base = base
                }
                (
                    gimli::DW_AT_addr_base | gimli::DW_AT_GNU_addr_base,
                    AttributeValue::DebugAddrBase(base),
                ) => unit.addr_base = base,
                (
                    gimli::DW_AT_rnglists_base | gimli::DW_AT_GNU_ranges_base,
                    AttributeValue::DebugRngListsBase(base),
                ) => unit.rnglists_base = base,
                (gimli::DW_AT_GNU_dwo_id, AttributeValue::DwoId(id)) if unit.dwo_id.is_none() => {
                    unit.dwo_id = Some(id)
                }
                _ => {}
            }
        }
    }
    unit.comp_dir = comp_dir.and_then(|value| fuel.string(dwarf, &unit, value));
    if let Some(low) = &pcs.low {
        unit.low_pc = dwarf.attr_address(&unit, low.clone())?.unwrap_or(0);
    }
    let split_path = split_path.and_then(|value| fuel.string(dwarf, &unit, value)).map(|path| text(&path));
    Ok(Head { unit, language, lines, pcs, split_path })
}

impl Lines {
    fn read(dwarf: &Dwarf, unit: &Unit, offset: gimli::DebugLineOffset, fuel: &Fuel) -> gimli::Result<Lines> {
        // How much the header's parser may read, before it does.
        let mut bytes = dwarf.debug_line.reader().clone();
        bytes.skip(offset.0)?;
        let (length, format) = bytes.read_initial_length()?;
        bytes.truncate(length.min(bytes.len()))?;
        let version = bytes.read_u16()?;
        if version >= 5 {
            bytes.skip(2)?;
        }
        let header_length = bytes.read_length(format)?;
        if header_length > if version >= 5 { MAX_LINE_HEADER_5 } else { MAX_LINE_HEADER } {
            return Err(TOO_MUCH);
        }
        fuel.burn(HEADER_BYTE * header_length)?;
        let program = dwarf.debug_line.program(
            offset,
            unit.header.address_size(),
            unit.comp_dir.clone(),
            unit.name.clone(),
        )?;
        let mut lines = Lines { program, rows: Vec::new(), sequences: Vec::new() };
        // What was read before a damaged instruction is kept.
        let _ = lines.run(fuel);
        lines.rows.shrink_to_fit();
        lines.sequences.sort_unstable_by_key(|sequence| (sequence.begin, sequence.end));
        Ok(lines)
    }

    /// Executes the program (DWARF 5, 6.2.5). All arithmetic wraps: a damaged program gives wrong lines, nothing else.
    fn run(&mut self, fuel: &Fuel) -> gimli::Result<()> {
        use gimli::LineInstruction::*;
        let encoding = self.header().line_encoding();
        let (range, base) = (encoding.line_range.max(1), i64::from(encoding.line_base));
        let (unit, operations) = (
            u64::from(encoding.minimum_instruction_length),
            u64::from(encoding.maximum_operations_per_instruction.max(1)),
        );
        let opcode_base = self.header().opcode_base();
        let mut instructions = self.header().instructions();
        let mut state = State::default();
        let mut first = 0;
        while let Some(instruction) = instructions.next_instruction(self.program.header())? {
            fuel.burn(INSTRUCTION)?;
            let advance = |state: &mut State, count: u64| {
                let index = state.operation.wrapping_add(count);
                state.address = state.address.wrapping_add(unit.wrapping_mul(index / operations));
                state.operation = index % operations;
            };
            match instruction {
                Special(opcode) => {
                    let adjusted = opcode.wrapping_sub(opcode_base);
                    state.line = state.line.wrapping_add_signed(base + i64::from(adjusted % range));
                    advance(&mut state, u64::from(adjusted / range));
                    self.push(&state, first)?;
                }
                Copy => self.push(&state, first)?,
                AdvancePc(count) => advance(&mut state, count),
                ConstAddPc => advance(&mut state, u64::from(255u8.wrapping_sub(opcode_base) / range)),
                FixedAddPc(count) => {
                    state.address = state.address.wrapping_add(u64::from(count));
                    state.operation = 0;
                }
                AdvanceLine(count) => state.line = state.line.wrapping_add_signed(count),
                SetFile(file) => state.file = file,
                SetColumn(column) => state.column = column,
                SetAddress(address) => {
                    state.address = address;
                    state.operation = 0;
                }
                EndSequence => {
                    self.close(state.address, first);
                    first = self.rows.len();
                    state = State::default();
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends a row to the sequence that begins at `first`. Of several rows at one address the last counts.
    fn push(&mut self, state: &State, first: usize) -> gimli::Result<()> {
        let small = |value: u64| u32::try_from(value).unwrap_or(0);
        let row = Row {
            address: state.address,
            line: small(state.line),
            column: small(state.column),
            file: small(state.file),
        };
        if self.rows.len() > first
            && let Some(last) = self.rows.last_mut()
            && last.address == row.address
        {
            *last = row;
            return Ok(());
        }
        if self.rows.len() >= MAX_ROWS {
            return Err(TOO_MUCH);
        }
        self.rows.push(row);
        Ok(())
    }

    fn close(&mut self, end: u64, first: usize) {
        let begin = self.rows.get(first).map_or(0, |row| row.address);
        // Removed functions begin at 0 or at the highest address.
        if begin == 0 || begin >= end {
            self.rows.truncate(first);
            return;
        }
        self.sequences.push(Sequence { begin, end, first: first as u32, last: self.rows.len() as u32 });
    }

    fn find(&self, address: u64) -> Option<&Row> {
        let end = self.sequences.partition_point(|sequence| sequence.begin <= address);
        let sequence = self.sequences[..end].iter().rev().take(32).find(|sequence| address < sequence.end)?;
        let rows = self.rows.get(sequence.first as usize..sequence.last as usize)?;
        rows[..rows.partition_point(|row| row.address <= address)].last()
    }

    fn header(&self) -> &gimli::LineProgramHeader<Bytes> {
        self.program.header()
    }

    fn weight(&self) -> usize {
        self.rows.len() * size_of::<Row>()
            + self.sequences.len() * size_of::<Sequence>()
            + self.header().file_names().len() * 192
            + 512
    }
}

/// Registers of the line number machine.
struct State {
    address: u64,
    operation: u64,
    file: u64,
    line: u64,
    column: u64,
}

impl Default for State {
    fn default() -> State {
        State { address: 0, operation: 0, file: 1, line: 1, column: 0 }
    }
}

/// At most a long name's worth of a string.
fn text(bytes: &Bytes) -> String {
    let bytes = bytes.bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(4 * names::MAX_NAME)]).into_owned()
}
