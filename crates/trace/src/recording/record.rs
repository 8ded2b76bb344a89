//! Records of everything that is not an allocation or a free: tag, length, body.

use super::{Cursor, Sink, push_varint, unzigzag, zigzag};
use crate::{
    Addr, AttachmentKind, CodeId, Event, Family, FrameId, ModuleId, Nanos, Reference, References,
    ResourceKind, RootKind, StackId,
};

const PROCESS: u8 = 1;
const MODULE: u8 = 2;
const FRAME: u8 = 3;
const STACK: u8 = 4;
const THREAD: u8 = 5;
const INHERITED: u8 = 6;
const SAMPLE: u8 = 7;
const ROOT: u8 = 8;
const EDGE: u8 = 9;
const GRAPH_END: u8 = 10;
const NOTE: u8 = 11;
const EXIT: u8 = 12;
const PLACE: u8 = 13;
const CODE: u8 = 14;
const SCRIPT_FRAME: u8 = 15;
const ATTACHMENT: u8 = 16;
const TEXT: u8 = 17;
const SCRIPT: u8 = 18;
const OBJECT: u8 = 19;
const OBJECT_PLACE: u8 = 20;
const OBJECT_ROOT: u8 = 21;
const OBJECTS_END: u8 = 22;
const MARK: u8 = 23;
const OPEN: u8 = 24;
const CLOSE: u8 = 25;
const DESTRUCTOR: u8 = 26;
const ACCOUNT: u8 = 27;
const ACCOUNTS_END: u8 = 28;
const SAMPLING: u8 = 29;

/// Last values, against which the next are written; starts afresh in every block.
#[derive(Clone, Copy, Default)]
pub struct State {
    addr: u64,
    place: u64,
    stack: u64,
}

/// Ids given by position.
#[derive(Clone, Copy)]
pub struct Ids {
    pub module: u32,
    pub frame: u32,
    pub stack: u32,
    pub code: u32,
}

impl Default for Ids {
    fn default() -> Self {
        Ids { module: 1, frame: 1, stack: 1, code: 1 }
    }
}

fn step(last: &mut u64, now: u64) -> u64 {
    let step = now.wrapping_sub(*last) as i64;
    *last = now;
    zigzag(step)
}

fn unstep(last: &mut u64, step: u64) -> u64 {
    *last = last.wrapping_add_signed(unzigzag(step));
    *last
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

impl References<'_> {
    /// Appends a reference to those of the object `from`.
    pub fn push(out: &mut Vec<u8>, from: u32, reference: &Reference) {
        push_varint(out, u64::from(reference.kind) << 1 | u64::from(reference.is_idle));
        push_varint(out, u64::from(reference.label));
        push_varint(out, zigzag(i64::from(reference.target) - i64::from(from)));
    }

    /// The references of the object `from`; those behind a damaged one are left out.
    pub fn each(self, from: u32, mut hear: impl FnMut(Reference)) {
        let mut cursor = Cursor::new(self.0);
        let mut next = || {
            let what = cursor.varint()?;
            let label = u32::try_from(cursor.varint()?).ok()?;
            let target = i64::from(from).checked_add(unzigzag(cursor.varint()?))?;
            let (kind, target) = (u8::try_from(what >> 1).ok()?, u32::try_from(target).ok()?);
            Some(Reference { kind, is_idle: what & 1 != 0, label, target })
        };
        while let Some(reference) = next() {
            hear(reference);
        }
    }
}

/// Appends a record; `body` is scratch space. Events of `columns` have no record.
pub fn push(out: &mut Vec<u8>, body: &mut Vec<u8>, state: &mut State, event: &Event<'_>) {
    body.clear();
    let mut put = |value: u64| push_varint(body, value);
    let tag = match *event {
        Event::Process { pid, parent, command, start_unix_ns } => {
            put(u64::from(pid));
            put(u64::from(parent));
            put(start_unix_ns);
            push_bytes(body, command);
            PROCESS
        }
        Event::Module { id: _, base, end, bias, path, build_id } => {
            put(base.0);
            put(end.0);
            put(bias);
            push_bytes(body, build_id);
            push_bytes(body, path);
            MODULE
        }
        Event::Frame { id: _, module, offset } => {
            put(u64::from(module.0));
            put(offset);
            FRAME
        }
        Event::Code { id: _, name, path } => {
            push_bytes(body, name);
            push_bytes(body, path);
            CODE
        }
        Event::ScriptFrame { id: _, code, line } => {
            put(u64::from(code.0));
            put(u64::from(line));
            SCRIPT_FRAME
        }
        Event::Stack { id: _, parent, frame } => {
            put(u64::from(parent.0));
            put(u64::from(frame.0));
            STACK
        }
        Event::Thread { id, name } => {
            put(u64::from(id));
            push_bytes(body, name);
            THREAD
        }
        Event::Inherited { addr, size, family, stack } => {
            put(step(&mut state.addr, addr.0));
            put(size);
            put(family as u64);
            put(u64::from(stack.0));
            INHERITED
        }
        Event::Account { stack, allocations, allocated_bytes, temporary, live_blocks, live_bytes } => {
            put(step(&mut state.stack, u64::from(stack.0)));
            put(allocations);
            put(allocated_bytes);
            put(zigzag(live_blocks));
            put(zigzag(live_bytes));
            put(temporary);
            ACCOUNT
        }
        Event::AccountsEnd { at } => {
            put(at.0);
            ACCOUNTS_END
        }
        Event::Sampling { mean } => {
            put(mean);
            SAMPLING
        }
        Event::Sample { at, rss_bytes, minor_faults, major_faults, swap_bytes } => {
            [at.0, rss_bytes, minor_faults, major_faults, swap_bytes].into_iter().for_each(put);
            SAMPLE
        }
        Event::Root { kind, place, target } => {
            put(kind as u64);
            put(step(&mut state.place, place.0));
            put(step(&mut state.addr, target.0));
            ROOT
        }
        Event::Edge { from, offset, target } => {
            put(step(&mut state.place, from.0));
            put(offset);
            put(step(&mut state.addr, target.0));
            EDGE
        }
        Event::Mark { at, name } => {
            put(at.0);
            push_bytes(body, name);
            MARK
        }
        Event::Open { at, thread, kind, number, stack } => {
            [at.0, u64::from(thread), kind as u64, number, u64::from(stack.0)].into_iter().for_each(put);
            OPEN
        }
        Event::Close { at, thread, kind, number, stack } => {
            [at.0, u64::from(thread), kind as u64, number, u64::from(stack.0)].into_iter().for_each(put);
            CLOSE
        }
        Event::Destructor { frame } => {
            put(u64::from(frame.0));
            DESTRUCTOR
        }
        Event::GraphEnd { at, certain } => {
            put(at.0);
            put(u64::from(certain));
            GRAPH_END
        }
        Event::Text { bytes } => {
            body.extend_from_slice(bytes);
            TEXT
        }
        Event::Script { number, path } => {
            put(u64::from(number));
            push_bytes(body, path);
            SCRIPT
        }
        Event::Object { addr, size, kind, name, id, stack, references } => {
            put(step(&mut state.addr, addr.0));
            put(size);
            put(u64::from(kind));
            put(u64::from(name));
            put(u64::from(id));
            put(u64::from(stack.0));
            body.extend_from_slice(references.0);
            OBJECT
        }
        Event::ObjectPlace { object, script, line, column } => {
            [object, script, line, column].into_iter().for_each(|it| put(u64::from(it)));
            OBJECT_PLACE
        }
        Event::ObjectRoot { kind, object } => {
            put(kind as u64);
            put(u64::from(object));
            OBJECT_ROOT
        }
        Event::ObjectsEnd { at, language } => {
            put(at.0);
            put(u64::from(language));
            OBJECTS_END
        }
        Event::Place { addr, kind } => {
            put(addr.0);
            put(kind as u64);
            PLACE
        }
        Event::Attachment { at, kind, name } => {
            put(at.0);
            put(kind as u64);
            push_bytes(body, name);
            ATTACHMENT
        }
        Event::Note { text } => {
            push_bytes(body, text);
            NOTE
        }
        Event::Exit { at, code, signal } => {
            put(at.0);
            put(code.map_or(0, |it| 1 + u64::from(it)));
            put(signal.map_or(0, |it| 1 + u64::from(it)));
            EXIT
        }
        Event::Alloc { .. } | Event::Free { .. } | Event::Resize { .. } => return,
    };
    out.push(tag);
    push_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Gives the events of a block to `sink`; `None` where it says something impossible.
pub fn decode(block: &[u8], ids: &mut Ids, sink: &mut impl Sink) -> Option<()> {
    let mut state = State::default();
    let mut cursor = Cursor::new(block);
    while !cursor.is_empty() {
        let tag = cursor.u8()?;
        let length = cursor.varint()?;
        let mut body = Cursor::new(cursor.bytes(length)?);
        decode_one(tag, &mut body, &mut state, ids, sink)?;
    }
    Some(())
}

fn next_id(id: &mut u32) -> Option<u32> {
    let this = *id;
    *id = id.checked_add(1)?;
    Some(this)
}

fn decode_one(
    tag: u8,
    body: &mut Cursor<'_>,
    state: &mut State,
    ids: &mut Ids,
    sink: &mut impl Sink,
) -> Option<()> {
    let number = |body: &mut Cursor<'_>| body.varint();
    let id = |body: &mut Cursor<'_>| u32::try_from(body.varint()?).ok();
    match tag {
        PROCESS => {
            let (pid, parent, start_unix_ns) = (id(body)?, id(body)?, number(body)?);
            let length = number(body)?;
            sink.event(Event::Process { pid, parent, command: body.bytes(length)?, start_unix_ns });
        }
        MODULE => {
            let (base, end, bias) = (Addr(number(body)?), Addr(number(body)?), number(body)?);
            let length = number(body)?;
            let build_id = body.bytes(length)?;
            let length = number(body)?;
            let path = body.bytes(length)?;
            sink.event(Event::Module {
                id: ModuleId(next_id(&mut ids.module)?),
                base,
                end,
                bias,
                path,
                build_id,
            });
        }
        FRAME => {
            let (module, offset) = (ModuleId(id(body)?), number(body)?);
            if module.0 >= ids.module {
                return None;
            }
            sink.event(Event::Frame { id: FrameId(next_id(&mut ids.frame)?), module, offset });
        }
        CODE => {
            let length = number(body)?;
            let name = body.bytes(length)?;
            let length = number(body)?;
            let path = body.bytes(length)?;
            sink.event(Event::Code { id: CodeId(next_id(&mut ids.code)?), name, path });
        }
        SCRIPT_FRAME => {
            let (code, line) = (CodeId(id(body)?), id(body)?);
            if code.0 >= ids.code {
                return None;
            }
            sink.event(Event::ScriptFrame { id: FrameId(next_id(&mut ids.frame)?), code, line });
        }
        STACK => {
            let (parent, frame) = (StackId(id(body)?), FrameId(id(body)?));
            // A parent is smaller than its children: chains end.
            if parent.0 >= ids.stack || frame.0 >= ids.frame {
                return None;
            }
            sink.event(Event::Stack { id: StackId(next_id(&mut ids.stack)?), parent, frame });
        }
        THREAD => {
            let thread = id(body)?;
            let length = number(body)?;
            sink.event(Event::Thread { id: thread, name: body.bytes(length)? });
        }
        INHERITED => {
            let addr = Addr(unstep(&mut state.addr, number(body)?));
            let (size, family) = (number(body)?, Family::from_number(number(body)?));
            sink.event(Event::Inherited { addr, size, family, stack: StackId(id(body)?) });
        }
        ACCOUNT => {
            let stack = StackId(u32::try_from(unstep(&mut state.stack, number(body)?)).ok()?);
            let (allocations, allocated_bytes) = (number(body)?, number(body)?);
            let (live_blocks, live_bytes) = (unzigzag(number(body)?), unzigzag(number(body)?));
            let temporary = number(body)?;
            sink.event(Event::Account {
                stack,
                allocations,
                allocated_bytes,
                temporary,
                live_blocks,
                live_bytes,
            });
        }
        SAMPLING => sink.event(Event::Sampling { mean: number(body)? }),
        ACCOUNTS_END => sink.event(Event::AccountsEnd { at: Nanos(number(body)?) }),
        SAMPLE => sink.event(Event::Sample {
            at: Nanos(number(body)?),
            rss_bytes: number(body)?,
            minor_faults: number(body)?,
            major_faults: number(body)?,
            swap_bytes: number(body)?,
        }),
        ROOT => {
            let kind = RootKind::from_bits(number(body)? as u8);
            let place = Addr(unstep(&mut state.place, number(body)?));
            sink.event(Event::Root { kind, place, target: Addr(unstep(&mut state.addr, number(body)?)) });
        }
        EDGE => {
            let from = Addr(unstep(&mut state.place, number(body)?));
            let offset = number(body)?;
            sink.event(Event::Edge { from, offset, target: Addr(unstep(&mut state.addr, number(body)?)) });
        }
        MARK => {
            let at = Nanos(number(body)?);
            let length = number(body)?;
            sink.event(Event::Mark { at, name: body.bytes(length)? });
        }
        OPEN | CLOSE => {
            let (at, thread, kind) =
                (Nanos(number(body)?), id(body)?, ResourceKind::from_number(number(body)?));
            let (number, stack) = (number(body)?, StackId(id(body)?));
            sink.event(match tag {
                OPEN => Event::Open { at, thread, kind, number, stack },
                _ => Event::Close { at, thread, kind, number, stack },
            });
        }
        DESTRUCTOR => sink.event(Event::Destructor { frame: FrameId(id(body)?) }),
        GRAPH_END => sink.event(Event::GraphEnd { at: Nanos(number(body)?), certain: number(body)? != 0 }),
        TEXT => sink.event(Event::Text { bytes: body.rest() }),
        SCRIPT => {
            let (number, length) = (id(body)?, number(body)?);
            sink.event(Event::Script { number, path: body.bytes(length)? });
        }
        OBJECT => {
            let addr = Addr(unstep(&mut state.addr, number(body)?));
            let (size, kind, name, object_id) = (number(body)?, number(body)?, id(body)?, id(body)?);
            let (kind, stack) = (u8::try_from(kind).ok()?, StackId(id(body)?));
            let references = References(body.rest());
            sink.event(Event::Object { addr, size, kind, name, id: object_id, stack, references });
        }
        OBJECT_PLACE => {
            let (object, script, line, column) = (id(body)?, id(body)?, id(body)?, id(body)?);
            sink.event(Event::ObjectPlace { object, script, line, column });
        }
        OBJECT_ROOT => {
            let kind = RootKind::from_bits(number(body)? as u8);
            sink.event(Event::ObjectRoot { kind, object: id(body)? });
        }
        OBJECTS_END => {
            let (at, language) = (Nanos(number(body)?), u8::try_from(number(body)?).ok()?);
            sink.event(Event::ObjectsEnd { at, language });
        }
        PLACE => {
            let addr = Addr(number(body)?);
            sink.event(Event::Place { addr, kind: RootKind::from_bits(number(body)? as u8) });
        }
        ATTACHMENT => {
            let (at, kind) = (Nanos(number(body)?), AttachmentKind::from_bits(number(body)? as u8));
            let length = number(body)?;
            sink.event(Event::Attachment { at, kind, name: body.bytes(length)? });
        }
        NOTE => {
            let length = number(body)?;
            sink.event(Event::Note { text: body.bytes(length)? });
        }
        EXIT => {
            let status = |value: u64| value.checked_sub(1).map(|it| it as u8);
            let at = Nanos(number(body)?);
            sink.event(Event::Exit { at, code: status(number(body)?), signal: status(number(body)?) });
        }
        // From a newer version: skipped.
        _ => {}
    }
    Some(())
}
