//! Recordings made of any bytes, so that a fuzzer gets past checksums and packing.
//!
//! ```text
//!   first byte 'H'   the bytes themselves
//!   else even        blocks: (kind:u8 length:u16 bytes)*, each wrapped with its checksum
//!   else odd         events: see `events`, written by a `Writer` (packed)
//! ```
//!
//! No part of the format, and no promise: for tests only.

use super::reader::{BlockReader, Next};
use super::writer::block_header;
use super::*;
use crate::{Addr, AttachmentKind, Event, Family, FrameId, ModuleId, Nanos, ResourceKind, RootKind, StackId};
use std::borrow::Cow;

/// The header that every recording begins with.
pub fn header() -> Vec<u8> {
    Writer::new(Vec::new()).expect("a vector takes anything").finish().0
}

/// One block, not packed.
pub fn wrap_block(kind: u8, number: u32, raw: &[u8]) -> Vec<u8> {
    let mut block = block_header(kind, PACKING_PLAIN, raw, raw.len(), number).to_vec();
    block.extend_from_slice(raw);
    block
}

/// A recording from any bytes; see above.
pub fn recording_of(data: &[u8]) -> Cow<'_, [u8]> {
    match data {
        [] | [b'H', ..] => Cow::Borrowed(data),
        [mode, rest @ ..] if mode % 2 == 0 => Cow::Owned(from_blocks(rest)),
        [_, rest @ ..] => Cow::Owned(from_events(rest)),
    }
}

fn from_blocks(mut rest: &[u8]) -> Vec<u8> {
    let mut out = header();
    let mut number = 0;
    while let [kind, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (raw, tail) = tail.split_at(length);
        let kind = [200, KIND_RECORDS, KIND_EVENTS, KIND_PIECE][usize::from(kind % 4)];
        out.extend(wrap_block(kind, number, raw));
        (rest, number) = (tail, number + 1);
    }
    out
}

/// A recording's blocks as [`recording_of`] takes them; those beyond 64 KiB are cut.
pub fn blocks_of(recording: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    let input = recording.get(HEADER_BYTES..).unwrap_or_default();
    let mut reader = BlockReader::new(input, 0);
    while let Ok(Next::Block(kind)) = reader.next() {
        let raw = &reader.raw[..reader.raw.len().min(usize::from(u16::MAX))];
        out.push(kind);
        out.extend_from_slice(&(raw.len() as u16).to_le_bytes());
        out.extend_from_slice(raw);
    }
    out
}

/// Few addresses, so that blocks meet; the ends of the address space among them.
fn address(byte: u8, low: u8) -> Addr {
    let base = [0, 0x5555_0000_0000, 0x5555_0000_0000, 0x5555_0001_0000, 0x7fff_ffff_f000, u64::MAX - 0x1ff]
        [usize::from(byte >> 4) % 6];
    Addr(
        base + u64::from(byte & 15) * 16
            + u64::from(low & 0xf0)
            + if low & 8 != 0 { u64::from(low & 7) } else { 0 },
    )
}

/// Common sizes, and all powers of two with their neighbors.
fn size(byte: u8) -> u64 {
    match byte {
        0..=127 => u64::from(byte) * 8,
        128..=191 => 1 << (byte - 128),
        _ => (1u64 << (byte - 192)).wrapping_sub(1),
    }
}

/// Events, 7 bytes each: what, time, address (2), size, stack, thread or a second address.
fn from_events(data: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("a vector takes anything");
    let mut now = 0u64;
    writer.event(&Event::Process { pid: 7, parent: 1, command: b"fuzz\0--input", start_unix_ns: 1 });
    for event in data.chunks_exact(7) {
        let [what, time, high, low, bytes, stack, other] = *event else { continue };
        now = match time {
            255 => 0,
            200..=254 => now.saturating_add(1 << (time - 192)),
            _ => now.saturating_add(u64::from(time) << 10),
        };
        let (at, addr, size) = (Nanos(now), address(high, low), size(bytes));
        let (thread, second) = (u32::from(other), address(other, low));
        let (id, family) = (StackId(u32::from(stack)), Family::from_bits(what >> 4));
        let kind = RootKind::from_bits(stack);
        let resource = ResourceKind::from_number(u64::from(bytes % 8));
        writer.event(&match what & 15 {
            0..=3 => Event::Alloc { at, thread, addr, size, family, stack: id },
            4..=5 => Event::Free {
                at,
                thread,
                addr,
                size: if family == Family::Map { size } else { 0 },
                family,
                stack: id,
            },
            6 => Event::Resize { at, thread, old: addr, new: second, size, stack: id },
            7 => Event::Inherited { addr, size, family, stack: id },
            8 => Event::Stack { id, parent: StackId(u32::from(stack % 8)), frame: FrameId(thread % 8) },
            9 => Event::Frame { id: FrameId(0), module: ModuleId(u32::from(stack % 4)), offset: addr.0 },
            10 => Event::Module {
                id: ModuleId(0),
                base: addr,
                end: Addr(addr.0.wrapping_add(size)),
                bias: second.0,
                path: event,
                build_id: &event[..3],
            },
            11 => Event::Root { kind, place: second, target: addr },
            12 => Event::Edge { from: second, offset: size, target: addr },
            13 => Event::GraphEnd { at, certain: stack & 1 != 0 },
            14 => Event::Place { addr, kind },
            _ => match stack % 9 {
                0 => Event::Sample {
                    at,
                    rss_bytes: size,
                    minor_faults: size,
                    major_faults: 0,
                    swap_bytes: size,
                },
                1 => Event::Thread { id: thread, name: event },
                2 => Event::Note { text: event },
                3 if bytes % 2 == 0 => Event::Exit { at, code: Some(bytes), signal: None },
                3 => Event::Attachment { at, kind: AttachmentKind::from_bits(bytes % 8), name: event },
                4 => Event::Mark { at, name: event },
                6 => Event::Open {
                    at,
                    thread,
                    kind: resource,
                    number: u64::from(low),
                    stack: StackId(size as u32),
                },
                7 => Event::Close {
                    at,
                    thread,
                    kind: resource,
                    number: u64::from(low),
                    stack: StackId(size as u32),
                },
                8 => Event::Destructor { frame: FrameId(thread) },
                _ => {
                    writer.flush();
                    continue;
                }
            },
        });
    }
    writer.finish().0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(recording: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        let end = read_slice(recording, &mut |event: Event<'_>| events.push(format!("{event:?}")));
        assert_eq!(end.expect("readable"), End::Complete);
        events
    }

    #[test]
    fn blocks_go_there_and_back() {
        let random: Vec<u8> = (0..7000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let known = random.chunks_exact(7).flat_map(|event| {
            let what = event[0] & 0xf0 | [0, 1, 4, 6, 7, 11, 12, 14][usize::from(event[0] % 8)];
            std::iter::once(what).chain(event[1..].iter().copied())
        });
        let input: Vec<u8> = std::iter::once(1).chain(known).collect();
        let recording = recording_of(&input).into_owned();
        let wrapped = recording_of(&blocks_of(&recording)).into_owned();
        assert!(events(&recording).len() > 900);
        assert_eq!(events(&recording), events(&wrapped));
        assert!(events(&header()).is_empty());
    }
}
