//! Files made to cost: small ones that ask for much work or memory. Each must end soon and stay small.

use heapwise_model::Module;
use heapwise_symbols::{Options, Symbolizer};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A 64-bit little-endian ELF file with these sections.
fn elf(sections: &[(&str, u64, Vec<u8>)]) -> Vec<u8> {
    let mut names = vec![0u8];
    let mut headers = vec![[0u64; 8]];
    let mut body = Vec::new();
    let mut section =
        |name: &str, kind: u64, flags: u64, data: &[u8], names: &mut Vec<u8>, body: &mut Vec<u8>| {
            let at = names.len() as u64;
            names.extend(name.bytes().chain([0]));
            headers.push([at | kind << 32, flags, 0, 64 + body.len() as u64, data.len() as u64, 0, 1, 0]);
            body.extend_from_slice(data);
        };
    for (name, flags, data) in sections {
        section(name, 1, *flags, data, &mut names, &mut body);
    }
    let mut strings = names.clone();
    strings.extend(b".strings\0");
    section(".strings", 3, 0, &strings, &mut names, &mut body);
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend([2u16, 62].iter().flat_map(|it| it.to_le_bytes()));
    out.extend(1u32.to_le_bytes());
    out.extend([0, 0, 64 + body.len() as u64].iter().flat_map(|it| it.to_le_bytes()));
    out.extend(0u32.to_le_bytes());
    let count = headers.len() as u16;
    out.extend([64u16, 56, 0, 64, count, count - 1].iter().flat_map(|it| it.to_le_bytes()));
    out.extend(body);
    out.extend(headers.iter().flatten().flat_map(|it| it.to_le_bytes()));
    out
}

/// A DWARF 4 unit with the abbreviations at the section's start.
fn unit(entries: &[u8]) -> Vec<u8> {
    let mut out = ((7 + entries.len()) as u32).to_le_bytes().to_vec();
    out.extend([4, 0, 0, 0, 0, 0, 8]);
    out.extend(entries);
    out
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// Looks up a few addresses; checks what it cost.
fn survives(name: &str, file: &[u8]) {
    let start = Instant::now();
    let before = peak_bytes();
    let mut symbolizer =
        Symbolizer::new(Options { debug_dirs: Vec::new(), root: Some(PathBuf::from("/nonexistent")) });
    let module = Module { path: "/x/hostile".into(), ..Module::default() };
    symbolizer.insert(&module, file);
    for offset in (0x1000..0x1400).step_by(128) {
        assert!(!symbolizer.resolve(&module, offset).is_empty());
    }
    let cost = peak_bytes().saturating_sub(before);
    let elapsed = start.elapsed();
    println!("{name}: {} bytes, {elapsed:?}, {} MB more, {:?}", file.len(), cost >> 20, symbolizer.notes());
    // Unoptimized, and beside other tests, twice the time.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 10 });
    assert!(elapsed < limit, "{name} took {elapsed:?}");
    assert!(cost <= 4 * file.len() as u64 + (256 << 20), "{name} took {cost} bytes");
}

/// Root entry: `[0x1000, 0x2000)`. Code 1: unit, 2: subprogram, 3: inlined call, 4: lexical block.
const ABBREVIATIONS: &[u8] = &[
    1, 0x11, 1, 0x11, 0x01, 0x12, 0x07, 0, 0, // low_pc addr, high_pc data8
    2, 0x2e, 1, 0x11, 0x01, 0x12, 0x07, 0, 0, //
    3, 0x1d, 1, 0x11, 0x01, 0x12, 0x07, 0, 0, //
    4, 0x0b, 1, 0, 0, //
    0,
];

fn pcs(code: u8) -> Vec<u8> {
    let mut out = vec![code];
    out.extend(0x1000u64.to_le_bytes());
    out.extend(0x1000u64.to_le_bytes());
    out
}

/// One after the other: the peak of memory is the process's.
#[test]
fn hostile_files() {
    let nested = |code: Vec<u8>, count| unit(&[pcs(1), pcs(2), code.repeat(count)].concat());
    let debug =
        |info: Vec<u8>| elf(&[(".debug_abbrev", 0, ABBREVIATIONS.to_vec()), (".debug_info", 0, info)]);
    survives("calls inlined into each other", &debug(nested(pcs(3), 300_000)));
    survives("nested blocks", &debug(nested(vec![4], 1_000_000)));
    survives("functions in functions", &debug(nested(pcs(2), 300_000)));
    survives("units at the same place", &debug(unit(&pcs(1)).repeat(150_000)));
    survives("empty units", &debug(unit(&[]).repeat(400_000)));

    // An entry of one byte with very many attributes of none.
    let mut wide = ABBREVIATIONS[..18].to_vec();
    wide.extend([3, 0x0b, 0]);
    wide.extend([0x3f, 0x19].repeat(200_000));
    wide.extend([0, 0, 0]);
    let info = unit(&[pcs(1), vec![3; 2_000_000]].concat());
    survives("attributes of no bytes", &elf(&[(".debug_abbrev", 0, wide), (".debug_info", 0, info)]));

    // All units share one long table of abbreviations, their own at its end.
    let mut long = Vec::new();
    for code in 0..60_000u32 {
        let code = code + 1000;
        long.extend([
            (code & 127) as u8 | 128,
            (code >> 7 & 127) as u8 | 128,
            (code >> 14) as u8,
            0x0b,
            0,
            0,
            0,
        ]);
    }
    long.extend(ABBREVIATIONS);
    survives(
        "one table of abbreviations for many units",
        &elf(&[(".debug_abbrev", 0, long), (".debug_info", 0, unit(&pcs(1)).repeat(40_000))]),
    );

    // All units share one long list of ranges.
    let abbreviations = vec![1, 0x11, 0, 0x55, 0x17, 0, 0, 0];
    let mut ranges = Vec::new();
    for at in 0..200_000u64 {
        ranges.extend((0x1000 + at).to_le_bytes());
        ranges.extend((0x2000 + at).to_le_bytes());
    }
    ranges.extend([0; 16]);
    let info = unit(&[1, 0, 0, 0, 0]).repeat(100_000);
    survives(
        "one list of ranges for many units",
        &elf(&[(".debug_abbrev", 0, abbreviations), (".debug_info", 0, info), (".debug_ranges", 0, ranges)]),
    );

    // All units share a compilation directory that does not end.
    let abbreviations = vec![1, 0x11, 0, 0x1b, 0x0e, 0, 0, 0];
    let info = unit(&[1, 0, 0, 0, 0]).repeat(100_000);
    for last in [b'x', 0] {
        let mut string = vec![b'x'; 8 << 20];
        string.push(last);
        survives(
            "a string without end",
            &elf(&[
                (".debug_abbrev", 0, abbreviations.clone()),
                (".debug_info", 0, info.clone()),
                (".debug_str", 0, string),
            ]),
        );
    }

    // All units share a long line program; and its header is long in another one.
    let abbreviations = vec![1, 0x11, 0, 0x11, 0x01, 0x12, 0x07, 0x10, 0x17, 0, 0, 0];
    let info = unit(&[pcs(1), vec![0; 4]].concat()).repeat(50_000);
    let line = |header: Vec<u8>, program: Vec<u8>| {
        let mut out = ((6 + header.len() + program.len()) as u32).to_le_bytes().to_vec();
        out.extend([4, 0]);
        out.extend((header.len() as u32).to_le_bytes());
        out.extend(header);
        out.extend(program);
        out
    };
    let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    let mut program = vec![0, 9, 2];
    program.extend(0x1000u64.to_le_bytes());
    program.extend(vec![33; 4_000_000]);
    program.extend([0, 1, 1]);
    let names = || [(".debug_abbrev", 0, abbreviations.clone()), (".debug_info", 0, info.clone())].to_vec();
    let with_line = |line: Vec<u8>| {
        let mut sections = names();
        sections.push((".debug_line", 0, line));
        elf(&sections)
    };
    survives("one line program for many units", &with_line(line([&header[..], &[0, 0]].concat(), program)));
    header.push(0);
    header.extend([b'x', 0, 0, 0, 0].repeat(800_000));
    header.push(0);
    survives("very many files", &with_line(line(header, vec![1, 1, 1])));

    // A section that claims to be larger than it is, and one that is.
    let compressed = |size: u64, data: &[u8]| {
        let mut out = [1u32.to_le_bytes(), 0u32.to_le_bytes()].concat();
        out.extend(size.to_le_bytes());
        out.extend(1u64.to_le_bytes());
        out.extend(data);
        out
    };
    for size in [1 << 10, 60 << 20, 1 << 30, u64::MAX] {
        let info = compressed(size, &vec![0x78; 1 << 20]);
        survives(
            "a false size",
            &elf(&[(".debug_abbrev", 0, ABBREVIATIONS.to_vec()), (".debug_info", 0x800, info)]),
        );
    }
}
