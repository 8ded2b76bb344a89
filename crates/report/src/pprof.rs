//! pprof's profile: gzipped protocol buffers with the four sample types of Go's heap profiles.
//!
//! ```text
//! sample_type  alloc_objects/count  alloc_space/bytes  inuse_objects/count  inuse_space/bytes
//! Sample       one per stack, `location_id` innermost first
//! Location     one per FrameId, its lines are the inlined calls, innermost first
//! Mapping      one per module; with its range and build id where the options bring them
//! ```
//!
//! The messages below are written by hand after the published schema (`profile.proto` of
//! google/pprof), with only the fields that are set. `string_table[0]` is empty.
//! Frames of the report are resolved already, so mappings say that they have functions and lines:
//! a reader need not look for symbols.

use crate::place::{Located, MAX_FRAMES, file_name, frame_name};
use crate::sanitize::{clean, clean_to};
use flate2::Compression;
use flate2::write::GzEncoder;
use heapwise_model::{FrameId, Module, Report, ResolvedFrame, StackId};
use prost::Message;
use rustc_hash::FxHashMap;
use std::io::{self, Write};

const MAX_PATH_CHARS: usize = 4_096;

/// What the profile gets besides the report.
#[derive(Clone, Debug, Default)]
pub struct PprofOptions {
    /// The recording's modules: with them addresses are those of the process.
    pub modules: Vec<Module>,
}

/// Writes the gzipped profile.
pub fn write(out: &mut dyn Write, report: &Report, options: &PprofOptions) -> io::Result<()> {
    let profile = Builder::new(report, options).profile();
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(&profile.encode_to_vec())?;
    gzip.finish()?;
    Ok(())
}

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
    #[prost(int64, tag = "3")]
    column: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// Ids begin at 1 in all tables: 0 means "none" in the format.
struct Builder<'a> {
    report: &'a Report,
    modules: FxHashMap<&'a str, &'a Module>,
    profile: Profile,
    strings: FxHashMap<String, i64>,
    mappings: FxHashMap<&'a str, u64>,
    functions: FxHashMap<(i64, i64), u64>,
    /// By `FrameId`; 0 where not seen yet.
    locations: Vec<u64>,
    /// The location of stacks of which nothing is known; 0 until needed.
    unknown: u64,
}

impl<'a> Builder<'a> {
    fn new(report: &'a Report, options: &'a PprofOptions) -> Self {
        let mut builder = Builder {
            report,
            modules: options.modules.iter().map(|module| (file_name(&module.path), module)).collect(),
            profile: Profile::default(),
            strings: FxHashMap::default(),
            mappings: FxHashMap::default(),
            functions: FxHashMap::default(),
            locations: vec![0; report.frames.len()],
            unknown: 0,
        };
        builder.string("");
        builder
    }

    fn profile(mut self) -> Profile {
        let types = [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ];
        for (kind, unit) in types {
            let value_type = self.value_type(kind, unit);
            self.profile.sample_type.push(value_type);
        }
        self.profile.default_sample_type = self.string("inuse_space");
        self.profile.period_type = Some(self.value_type("space", "bytes"));
        // Every allocation is in the profile, none was sampled.
        self.profile.period = 1;
        self.add_main_mapping();
        for cost in &self.report.costs {
            let values = [cost.allocations, cost.allocated_bytes, cost.live_blocks, cost.live_bytes];
            let location_id = self.stack(cost.stack);
            let value = values.map(signed).to_vec();
            self.profile.sample.push(Sample { location_id, value });
        }
        for note in &self.report.notes {
            let note = self.string(&clean(note));
            self.profile.comment.push(note);
        }
        self.profile.duration_nanos =
            self.report.program.as_ref().map_or(0, |program| signed(program.duration_ns));
        self.profile
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { kind: self.string(kind), unit: self.string(unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(known) = self.strings.get(text) {
            return *known;
        }
        let index = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }

    /// Readers take the first mapping for the program itself.
    fn add_main_mapping(&mut self) {
        let command = self.report.program.as_ref().and_then(|program| program.command.first());
        let name = command.map(|word| file_name(word)).unwrap_or_default();
        let frames = self.report.frames.iter().flatten();
        if let Some(main) =
            frames.map(|frame| frame.module.as_str()).find(|module| !name.is_empty() && *module == name)
        {
            self.mapping(main);
        }
    }

    fn stack(&mut self, stack: StackId) -> Vec<u64> {
        let report = self.report;
        let frames = report.stacks.frames(stack).take(MAX_FRAMES);
        let locations: Vec<u64> = frames.filter_map(|frame| self.location(frame)).collect();
        if locations.is_empty() { vec![self.unknown()] } else { locations }
    }

    fn location(&mut self, frame: FrameId) -> Option<u64> {
        let inlined: &'a [ResolvedFrame] = self.report.frames.get(frame.index())?;
        let outermost = inlined.last()?;
        if self.locations[frame.index()] != 0 {
            return Some(self.locations[frame.index()]);
        }
        let mapping_id = self.mapping(&outermost.module);
        let line = inlined.iter().map(|frame| self.line(frame)).collect();
        let bias = self.modules.get(outermost.module.as_str()).map_or(0, |module| module.bias);
        let address = outermost.offset.wrapping_add(bias);
        let id = self.push_location(Location { id: 0, mapping_id, address, line });
        self.locations[frame.index()] = id;
        Some(id)
    }

    fn push_location(&mut self, location: Location) -> u64 {
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(Location { id, ..location });
        id
    }

    fn unknown(&mut self) -> u64 {
        if self.unknown == 0 {
            let function_id = self.function("[unknown]", "");
            let line = vec![Line { function_id, line: 0, column: 0 }];
            self.unknown = self.push_location(Location { line, ..Location::default() });
        }
        self.unknown
    }

    fn line(&mut self, frame: &ResolvedFrame) -> Line {
        let at = Located::from(frame);
        let file = clean_to(at.path.unwrap_or_default(), MAX_PATH_CHARS);
        let function_id = self.function(&clean(&frame_name(frame)), &file);
        Line {
            function_id,
            line: at.line.map_or(0, i64::from),
            column: at.line.and(at.column).map_or(0, i64::from),
        }
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let key = (self.string(name), self.string(file));
        if let Some(known) = self.functions.get(&key) {
            return *known;
        }
        let id = self.profile.function.len() as u64 + 1;
        self.profile.function.push(Function { id, name: key.0, system_name: key.0, filename: key.1 });
        self.functions.insert(key, id);
        id
    }

    /// 0, that is none, for code without a file.
    fn mapping(&mut self, name: &'a str) -> u64 {
        if name.is_empty() {
            return 0;
        }
        if let Some(known) = self.mappings.get(name) {
            return *known;
        }
        let module = self.modules.get(name).copied();
        let path = module.map_or(name, |module| module.path.as_str());
        let build_id = module.map_or(String::new(), |module| hex(&module.build_id));
        let id = self.profile.mapping.len() as u64 + 1;
        let mapping = Mapping {
            id,
            memory_start: module.map_or(0, |module| module.base),
            memory_limit: module.map_or(0, |module| module.end),
            filename: self.string(&clean_to(path, MAX_PATH_CHARS)),
            build_id: self.string(&build_id),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        };
        self.profile.mapping.push(mapping);
        self.mappings.insert(name, id);
        id
    }
}

/// Values beyond the format's range stop at its end.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Build ids have 20 bytes; a forged one of a megabyte is cut.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use heapwise_model::StackCost;
    use std::io::Read;

    /// What a reader gets back: totals by sample type, and the first stack as names.
    #[test]
    fn a_reader_gets_back_totals_and_stacks() {
        let mut report = Report::default();
        let inlined = ResolvedFrame {
            function: Some("fill".into()),
            module: "app".into(),
            offset: 0x10,
            is_inlined: true,
            ..Default::default()
        };
        let make = ResolvedFrame { function: Some("make".into()), ..inlined.clone() };
        let main = ResolvedFrame { function: Some("main".into()), offset: 0x20, ..inlined.clone() };
        report.frames = vec![vec![], vec![inlined, make], vec![main]];
        let outer = report.stacks.push(StackId(0), FrameId(2)).unwrap();
        let stack = report.stacks.push(outer, FrameId(1)).unwrap();
        let cost = StackCost {
            stack,
            allocations: 3,
            allocated_bytes: 30,
            live_blocks: 1,
            live_bytes: u64::MAX,
            ..Default::default()
        };
        report.costs = vec![
            cost,
            StackCost { stack: StackId(0), allocations: 1, allocated_bytes: 8, ..Default::default() },
        ];
        let module = Module {
            path: "/opt/app".into(),
            build_id: vec![0xab, 1],
            base: 0x5000,
            end: 0x9000,
            bias: 0x5000,
        };

        let mut gzipped = Vec::new();
        write(&mut gzipped, &report, &PprofOptions { modules: vec![module] }).unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(&gzipped[..]).read_to_end(&mut bytes).unwrap();
        let profile = Profile::decode(&bytes[..]).unwrap();

        let text = |index: i64| profile.string_table[index as usize].as_str();
        let types: Vec<&str> = profile.sample_type.iter().map(|it| text(it.kind)).collect();
        assert_eq!(types, ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]);
        assert_eq!(text(profile.default_sample_type), "inuse_space");
        assert_eq!(profile.sample[0].value, [3, 30, 1, i64::MAX]);
        let names = |sample: &Sample| -> Vec<String> {
            let location = |id: &u64| profile.location[*id as usize - 1].line.clone();
            let lines = sample.location_id.iter().flat_map(location);
            lines.map(|line| text(profile.function[line.function_id as usize - 1].name).to_owned()).collect()
        };
        assert_eq!(names(&profile.sample[0]), ["fill", "make", "main"]);
        assert_eq!(names(&profile.sample[1]), ["[unknown]"]);
        let mapping = &profile.mapping[0];
        assert_eq!((text(mapping.filename), text(mapping.build_id)), ("/opt/app", "ab01"));
        assert_eq!(profile.location[0].address, 0x5010);
        assert_eq!(profile.string_table[0], "");
    }
}
