use super::*;
use crate::{
    Addr, AttachmentKind, CodeId, Event, Family, FrameId, ModuleId, Nanos, Reference, References,
    ResourceKind, RootKind, StackId,
};

/// A small generator: enough to mix kinds, sizes and addresses.
struct Random(u64);
impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn definitions() -> Vec<Event<'static>> {
    vec![
        Event::Process { pid: 7, parent: 1, command: b"app\0arg", start_unix_ns: 5 },
        Event::Module {
            id: ModuleId(1),
            base: Addr(4096),
            end: Addr(8192),
            bias: 4096,
            path: b"/bin/app",
            build_id: b"\x01\x02",
        },
        Event::Frame { id: FrameId(1), module: ModuleId(1), offset: 77 },
        Event::Frame { id: FrameId(2), module: ModuleId(0), offset: u64::MAX },
        Event::Code { id: CodeId(1), name: b"Service.handle", path: b"/srv/app.py" },
        Event::ScriptFrame { id: FrameId(3), code: CodeId(1), line: 12 },
        Event::Stack { id: StackId(1), parent: StackId(0), frame: FrameId(1) },
        Event::Stack { id: StackId(2), parent: StackId(1), frame: FrameId(2) },
        Event::Thread { id: 3, name: b"worker" },
        Event::Inherited { addr: Addr(64), size: 9, family: Family::New, stack: StackId(2) },
    ]
}

fn endings() -> Vec<Event<'static>> {
    vec![
        Event::Sample { at: Nanos(9), rss_bytes: 1 << 40, minor_faults: 3, major_faults: 0, swap_bytes: 1 },
        Event::Root { kind: RootKind::Global, place: Addr(1 << 46), target: Addr(64) },
        Event::Edge { from: Addr(64), offset: 8, target: Addr(1 << 40) },
        Event::GraphEnd { at: Nanos(10), certain: true },
        Event::Attachment { at: Nanos(10), kind: AttachmentKind::HeapSnapshot, name: b"0.1.exit" },
        Event::Text { bytes: b"dict" },
        Event::Script { number: 9, path: b"/srv/app.py" },
        Event::Object {
            addr: Addr(1 << 40),
            size: 232,
            kind: 3,
            name: 0,
            id: 0,
            stack: StackId(2),
            references: References(&[2 << 1 | 1, 0, 1]),
        },
        Event::ObjectPlace { object: 0, script: 9, line: 12, column: 0 },
        Event::ObjectRoot { kind: RootKind::Global, object: 0 },
        Event::ObjectsEnd { at: Nanos(10), language: 3 },
        Event::Open { at: Nanos(10), thread: 3, kind: ResourceKind::Socket, number: 9, stack: StackId(2) },
        Event::Close {
            at: Nanos(11),
            thread: 3,
            kind: ResourceKind::Thread,
            number: 1 << 43,
            stack: StackId(1),
        },
        Event::Destructor { frame: FrameId(2) },
        Event::Mark { at: Nanos(10), name: b"test_login" },
        Event::Account {
            stack: StackId(2),
            allocations: 1 << 40,
            allocated_bytes: u64::MAX,
            temporary: 3,
            live_blocks: i64::MIN,
            live_bytes: -5,
        },
        Event::Account {
            stack: StackId(1),
            allocations: 0,
            allocated_bytes: 0,
            temporary: 0,
            live_blocks: 0,
            live_bytes: 7,
        },
        Event::AccountsEnd { at: Nanos(10) },
        Event::Sampling { mean: 65536 },
        Event::Note { text: b"note" },
        Event::Exit { at: Nanos(11), code: Some(0), signal: None },
        Event::Exit { at: Nanos(11), code: None, signal: Some(11) },
    ]
}

fn generated(count: usize) -> Vec<Event<'static>> {
    let mut random = Random(42);
    let mut at = 0;
    (0..count)
        .map(|_| {
            at += random.below(300_000);
            let at = Nanos(at / 1024 * 1024);
            let thread = if random.below(50) == 0 { random.below(4) as u32 } else { 1 };
            let addr =
                Addr(0x5555_0000_0000 + random.below(1 << 30) * if random.below(100) == 0 { 1 } else { 16 });
            let family = Family::from_bits(random.below(4) as u8);
            let stack = StackId(random.below(3) as u32);
            let size = if random.below(100) == 0 { random.next() } else { random.below(5000) };
            match random.below(7) {
                5 => Event::Alloc { at, thread, addr, size, family: Family::Object, stack },
                6 => Event::Free { at, thread, addr, size: 0, family: Family::Object, stack: StackId(0) },
                0 | 1 => Event::Alloc { at, thread, addr, size, family, stack },
                2 | 3 => Event::Free {
                    at,
                    thread,
                    addr,
                    size: if family == Family::Map { size } else { 0 },
                    family,
                    stack,
                },
                _ => Event::Resize { at, thread, old: addr, new: Addr(addr.0 ^ 0x7ff0), size, stack },
            }
        })
        .collect()
}

fn write(events: &[Event<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("a vector takes anything");
    events.iter().for_each(|event| writer.event(event));
    writer.finish().0
}

/// Times come back rounded to the last written step.
fn without_time(event: &Event<'_>) -> String {
    let text = format!("{event:?}");
    match (text.find("at: Nanos("), event) {
        (Some(at), Event::Alloc { .. } | Event::Free { .. } | Event::Resize { .. }) => {
            let rest = text[at..].find(')').expect("closed");
            format!("{}{}", &text[..at], &text[at + rest..])
        }
        _ => text,
    }
}

#[test]
fn marks_and_accounts_stay_between_their_neighbors() {
    let alloc = |addr| Event::Alloc {
        at: Nanos(1 << 20),
        thread: 1,
        addr: Addr(addr),
        size: 8,
        family: Family::Malloc,
        stack: StackId(0),
    };
    let mark = |name| Event::Mark { at: Nanos(1 << 20), name };
    let sample =
        Event::Sample { at: Nanos(1), rss_bytes: 1, minor_faults: 0, major_faults: 0, swap_bytes: 0 };
    let account = |allocations| Event::Account {
        stack: StackId(0),
        allocations,
        allocated_bytes: 8,
        temporary: 0,
        live_blocks: 1,
        live_bytes: 8,
    };
    let end = Event::AccountsEnd { at: Nanos(1 << 20) };
    let events = [
        Event::Sampling { mean: 64 },
        alloc(16),
        sample,
        mark(b"a"),
        alloc(32),
        account(1),
        account(2),
        end.clone(),
        alloc(40),
        account(3),
        end,
        mark(b""),
        alloc(48),
    ];
    let mut read = Vec::new();
    let end = read_slice(&write(&events), &mut |event: Event<'_>| read.push(format!("{event:?}")));
    assert_eq!(end.expect("readable"), End::Complete);
    let written: Vec<String> = events.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(read, written);
}

#[test]
fn what_is_written_is_read() {
    let events: Vec<_> = definitions().into_iter().chain(generated(200_000)).chain(endings()).collect();
    let bytes = write(&events);
    let mut read = Vec::new();
    let mut last = 0;
    let end = read_slice(&bytes, &mut |event: Event<'_>| {
        if let Event::Alloc { at, .. } | Event::Free { at, .. } | Event::Resize { at, .. } = event {
            assert!(at.0 >= last);
            last = at.0;
        }
        read.push(without_time(&event));
    });
    assert_eq!(end.expect("readable"), End::Complete);
    let written: Vec<_> = events.iter().map(without_time).collect();
    assert_eq!(read.len(), written.len());
    assert_eq!(read, written);
}

#[test]
fn references_go_there_and_back() {
    let mut random = Random(5);
    let all: Vec<Reference> = (0..1000)
        .map(|_| Reference {
            kind: random.below(16) as u8,
            is_idle: random.below(2) == 0,
            label: random.next() as u32,
            target: random.next() as u32,
        })
        .collect();
    let (mut bytes, mut read) = (Vec::new(), Vec::new());
    all.iter().for_each(|it| References::push(&mut bytes, 7_000_000, it));
    References(&bytes).each(7_000_000, |it| read.push(it));
    assert_eq!(read, all);
    let mut count = 0;
    References(&bytes[..bytes.len() - 1]).each(7_000_000, |_| count += 1);
    assert_eq!(count, 999);
}

#[test]
fn every_cut_gives_a_prefix() {
    let bytes = write(&definitions().into_iter().chain(generated(300)).chain(endings()).collect::<Vec<_>>());
    let mut most = 0;
    for length in 0..bytes.len() {
        let mut count = 0;
        match read_slice(&bytes[..length], &mut |_: Event<'_>| count += 1) {
            Ok(End::Complete) => {}
            Ok(End::Damaged { offset, lost, .. }) => assert_eq!(offset + lost, length as u64),
            Err(_) => assert!(length < HEADER_BYTES),
        }
        assert!(count >= most, "a longer file tells no less");
        most = count;
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let events: Vec<_> = definitions().into_iter().chain(generated(200)).collect();
    let bytes = write(&events);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut copy = bytes.clone();
            copy[at] ^= 1 << bit;
            let end = read_slice(&copy, &mut |_: Event<'_>| {});
            // The header's reserved bytes mean nothing.
            assert!(!matches!(end, Ok(End::Complete)) || (16..24).contains(&at), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn newer_versions_and_other_files_are_told_apart() {
    let mut bytes = write(&definitions());
    bytes[8] = 99;
    assert!(matches!(read_slice(&bytes, &mut |_: Event<'_>| {}), Err(Error::Newer { found: 99, .. })));
    assert!(matches!(read_slice(b"", &mut |_: Event<'_>| {}), Err(Error::Empty { .. })));
    assert!(matches!(read_slice(b"\x7fELF....", &mut |_: Event<'_>| {}), Err(Error::NotARecording { .. })));
    assert!(matches!(read_slice(b"HEAP", &mut |_: Event<'_>| {}), Err(Error::Unusable { .. })));
}

#[test]
fn unknown_blocks_and_records_are_skipped() {
    let mut bytes = write(&definitions());
    let stored = b"from the future";
    bytes.extend_from_slice(&writer::block_header(200, PACKING_PLAIN, stored, stored.len(), 1));
    bytes.extend_from_slice(stored);
    let record = [250u8, 2, 1, 1];
    bytes.extend_from_slice(&writer::block_header(KIND_RECORDS, PACKING_PLAIN, &record, record.len(), 2));
    bytes.extend_from_slice(&record);
    let mut count = 0;
    assert_eq!(read_slice(&bytes, &mut |_: Event<'_>| count += 1).expect("readable"), End::Complete);
    assert_eq!(count, definitions().len());
}

#[test]
fn stacks_cannot_be_their_own_parents() {
    let bytes = write(&[Event::Stack { id: StackId(1), parent: StackId(1), frame: FrameId(0) }]);
    assert!(matches!(read_slice(&bytes, &mut |_: Event<'_>| {}), Ok(End::Damaged { .. })));
}

#[test]
fn numbers_of_all_lengths() {
    let mut random = Random(7);
    let edges = (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1, u64::MAX >> bit]);
    let numbers: Vec<u64> = edges.chain((0..10_000).map(|i| random.next() >> (i % 64))).collect();
    let (mut bytes, mut slow) = (Vec::new(), Vec::new());
    for &number in &numbers {
        push_varint(&mut bytes, number);
        push_long_varint(&mut slow, number);
    }
    assert_eq!(bytes, slow);
    let mut cursor = Cursor::new(&bytes);
    for &number in &numbers {
        assert_eq!(cursor.varint(), Some(number));
    }
    assert!(cursor.is_empty() && cursor.varint().is_none());
    for (bytes, number) in
        [(&[0x80; 20][..], None), (&[0x80; 9], None), (&[0x81, 0, 9, 9, 9, 9, 9, 9], Some(1))]
    {
        assert_eq!(Cursor::new(bytes).varint(), number);
    }
}

#[test]
fn reading_ends_at_a_block_that_contradicts_itself() {
    let events: Vec<_> = definitions().into_iter().chain(generated(100_000)).collect();
    let good = write(&events);
    assert!(good.len() > 64 << 10, "large enough for a second thread");
    let more = &good[HEADER_BYTES..];
    // A stack whose parent does not exist; two events without addresses.
    let stack = fuzz::wrap_block(KIND_RECORDS, 9, &[4, 2, 100, 1]);
    let no_addresses = fuzz::wrap_block(KIND_EVENTS, 9, &[2, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    for bad in [stack, no_addresses] {
        let bytes = [&good, &bad[..], more, more, more].concat();
        let mut count = 0;
        let mut offsets = Vec::new();
        let end = reader::read_from(
            &bytes[..],
            bytes.len() as u64,
            std::path::Path::new("recording"),
            &mut |_: Event<'_>| count += 1,
            &mut |at, _| offsets.push(at),
        );
        let lost = (bytes.len() - good.len()) as u64;
        let reason = "a block contradicts itself";
        assert_eq!(end.expect("readable"), End::Damaged { offset: good.len() as u64, lost, reason });
        assert_eq!(count, events.len());
        assert_eq!(offsets.last(), Some(&(good.len() as u64)));
        assert!(offsets.is_sorted());
    }
}

/// Collects the pieces of each attachment.
#[derive(Default)]
struct Pieces {
    open: Vec<(u64, u32)>,
    attachments: Vec<(String, Vec<(u64, u32)>)>,
    events: usize,
}

impl Sink for Pieces {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Attachment { name, .. } => self
                .attachments
                .push((String::from_utf8_lossy(name).into_owned(), std::mem::take(&mut self.open))),
            _ => self.events += 1,
        }
    }

    fn piece(&mut self, offset: u64, bytes: u32) {
        self.open.push((offset, bytes));
    }
}

#[test]
fn attachments_come_back_piece_by_piece() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapwise");
    let mut writer = Writer::new(std::fs::File::create(&path).unwrap()).unwrap();
    let mut random = Random(7);
    let texts = [vec![b'x'; 3 * PIECE_BYTES + 5], (0..5000).map(|_| random.next() as u8).collect()];
    let events = generated(2000);
    for (name, text) in ["first", "second"].iter().zip(&texts) {
        for piece in text.chunks(PIECE_BYTES) {
            events.iter().for_each(|it| writer.event(it));
            writer.piece(piece);
        }
        let name = name.as_bytes();
        writer.event(&Event::Attachment { at: Nanos(5), kind: AttachmentKind::HeapSnapshot, name });
    }
    let (_, failure) = writer.finish();
    assert!(failure.is_none());
    let mut found = Pieces::default();
    assert_eq!(read(&path, &mut found, &mut |_, _| {}).unwrap(), End::Complete);
    assert_eq!((found.attachments.len(), found.events, found.open.len()), (2, 5 * 2000, 0));
    let file = std::fs::File::open(&path).unwrap();
    for (text, (_, pieces)) in texts.iter().zip(&found.attachments) {
        let mut read = Vec::new();
        for &(offset, bytes) in pieces {
            let piece = read_piece(&file, offset).unwrap();
            assert_eq!(piece.len(), bytes as usize);
            read.extend(piece);
        }
        assert!(read == *text);
    }
    // A place where no piece begins is an error.
    for offset in [0, 23, 25, u64::MAX / 2] {
        assert!(read_piece(&file, offset).is_err(), "{offset}");
    }
}
