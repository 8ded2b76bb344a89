//! Summaries and findings as bytes that outlive their program.
//!
//! Numbers of modules, functions, globals, names and families hold within one program only: what is written names
//! them instead, and places are told by what stands there, so that code which moves stays the same.
//! Each text is written once per entry. Reading trusts nothing: what does not fit the program is `None`.

use super::Context;
use super::facts::Fact;
use super::issue::{Assumed, Assumption, Assumptions, Finding, Spot, Trace};
use super::places::{Places, Sign};
use super::state::{Class, Content, Failure, Object, Piece, Segment, Status};
use super::summary::{Demand, Disjunct, Guard, Need, Summary};
use super::value::{Meaning, Source, Sym, Val};
use crate::ir::{Binary, ClassId, FileId, LocalId, Name, Span};
use heapwise_model::{Confidence, Kind, Rule, Severity};
use rustc_hash::FxHashMap;
use std::sync::OnceLock;

/// What a program's names lead to.
pub struct Index<'a> {
    /// Modules by path; those that share one lead nowhere.
    modules: FxHashMap<&'a str, Option<u32>>,
    /// Globals by name, those that one module alone can name by that module too.
    globals: FxHashMap<(&'a str, Option<u32>), Option<u32>>,
    /// Per module, made when first asked for: its names.
    names: Vec<OnceLock<FxHashMap<&'a str, Name>>>,
    /// Per function, made when first asked for.
    places: Vec<OnceLock<Places>>,
}

impl<'a> Index<'a> {
    pub fn new(cx: &Context<'a>) -> Index<'a> {
        let program = cx.program;
        let mut modules = FxHashMap::default();
        for (number, module) in program.modules.iter().enumerate() {
            modules
                .entry(module.path.as_str())
                .and_modify(|it| *it = None)
                .or_insert(u32::try_from(number).ok());
        }
        let mut globals = FxHashMap::default();
        for (number, global) in program.globals.iter().enumerate() {
            let (name, owner) = global_name(cx, global);
            globals.entry((name, owner)).and_modify(|it| *it = None).or_insert(u32::try_from(number).ok());
        }
        let names = program.modules.iter().map(|_| OnceLock::new()).collect();
        let places = program.functions.iter().map(|_| OnceLock::new()).collect();
        Index { modules, globals, names, places }
    }

    fn places(&self, cx: &Context<'a>, function: u32) -> &Places {
        self.places[function as usize].get_or_init(|| {
            let (module, ir) = cx.program.ir(function);
            Places::new(module, ir)
        })
    }

    fn name(&self, cx: &Context<'a>, module: u32, text: &str) -> Option<Name> {
        let names = self.names[module as usize].get_or_init(|| {
            let all = cx.program.modules[module as usize].names.iter().zip(0..);
            all.map(|(text, at)| (&**text, Name(at))).collect()
        });
        names.get(text).copied()
    }
}

/// The name of a global, and the module that alone can name it.
pub fn global_name<'a>(cx: &Context<'a>, global: &crate::program::LinkedGlobal) -> (&'a str, Option<u32>) {
    let module = &cx.program.modules[global.module as usize];
    let name = module.name(module.globals[global.global.index()].name);
    (name, global.is_local.then_some(global.module))
}

/// Bytes of one entry.
pub struct Writer<'a> {
    pub bytes: Vec<u8>,
    pub cx: &'a Context<'a>,
    index: &'a Index<'a>,
    texts: FxHashMap<&'a str, u64>,
    /// Everything could be named.
    pub is_sound: bool,
}

impl<'a> Writer<'a> {
    pub fn new(cx: &'a Context<'a>, index: &'a Index<'a>) -> Writer<'a> {
        Writer { bytes: Vec::new(), cx, index, texts: FxHashMap::default(), is_sound: true }
    }

    pub fn number(&mut self, mut it: u64) {
        while it >= 0x80 {
            self.bytes.push(it as u8 | 0x80);
            it >>= 7;
        }
        self.bytes.push(it as u8);
    }

    /// A text of the program.
    pub fn text(&mut self, text: &'a str) {
        let next = self.texts.len() as u64;
        let at = *self.texts.entry(text).or_insert(next);
        self.number(at);
        if at == next {
            self.free_text(text);
        }
    }

    fn free_text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub fn module(&mut self, module: u32) {
        let path = self.cx.program.modules[module as usize].path.as_str();
        self.is_sound &= self.index.modules.get(path) == Some(&Some(module));
        self.text(path);
    }

    pub fn function(&mut self, function: u32) {
        let program = self.cx.program;
        let (module, ir) = program.ir(function);
        let number = program.functions[function as usize].module;
        let name = module.name(ir.name);
        self.is_sound &=
            program.find_symbol(name).and_then(|it| program.function_of_symbol(number, it)) == Some(function);
        self.module(number);
        self.text(name);
    }

    pub fn global(&mut self, global: u32) {
        let (name, owner) = global_name(self.cx, &self.cx.program.globals[global as usize]);
        self.is_sound &= self.index.globals.get(&(name, owner)) == Some(&Some(global));
        self.text(name);
        self.number(u64::from(owner.is_some()));
        if let Some(it) = owner {
            self.module(it);
        }
    }

    fn family(&mut self, family: u16) {
        let cx = self.cx;
        self.number(u64::from(family == u16::MAX));
        if family != u16::MAX {
            self.text(cx.models.family_name(family));
        }
    }
}

/// What is left of an entry.
pub struct Reader<'r, 'a> {
    bytes: &'r [u8],
    cx: &'a Context<'a>,
    index: &'r Index<'a>,
    texts: Vec<&'r str>,
}

impl<'r, 'a> Reader<'r, 'a> {
    pub fn new(bytes: &'r [u8], cx: &'a Context<'a>, index: &'r Index<'a>) -> Reader<'r, 'a> {
        Reader { bytes, cx, index, texts: Vec::new() }
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut all = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            all |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(all);
            }
        }
        None
    }

    pub fn text(&mut self) -> Option<&'r str> {
        let at = usize::try_from(self.number()?).ok()?;
        if at == self.texts.len() {
            let text = self.free_text()?;
            self.texts.push(text);
        }
        self.texts.get(at).copied()
    }

    fn free_text(&mut self) -> Option<&'r str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        std::str::from_utf8(text).ok()
    }

    fn module(&mut self) -> Option<u32> {
        let path = self.text()?;
        *self.index.modules.get(path)?
    }

    fn class(&mut self) -> Option<(u32, ClassId)> {
        let module = self.module()?;
        let class = ClassId(u32::get(self)?);
        self.cx.program.modules[module as usize].classes.get(class.index())?;
        Some((module, class))
    }

    pub fn function(&mut self) -> Option<u32> {
        let module = self.module()?;
        let name = self.text()?;
        let function = self.cx.program.function_of_symbol(module, self.cx.program.find_symbol(name)?)?;
        (self.cx.program.functions[function as usize].module == module).then_some(function)
    }

    pub fn global(&mut self) -> Option<u32> {
        let name = self.text()?;
        let owner = if self.number()? == 1 { Some(self.module()?) } else { None };
        *self.index.globals.get(&(name, owner))?
    }

    fn family(&mut self) -> Option<u16> {
        if self.number()? == 1 {
            return Some(u16::MAX);
        }
        let name = self.text()?;
        self.cx.models.find_family(name)
    }
}

/// What can be written and read back.
pub trait Coded: Sized {
    fn put(&self, to: &mut Writer<'_>);
    fn get(from: &mut Reader<'_, '_>) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Coded for $type {
            fn put(&self, to: &mut Writer<'_>) {
                to.number(u64::from(*self));
            }
            fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
                <$type>::try_from(from.number()?).ok()
            }
        }
    )*};
}

numbers!(u8, u16, u32);

impl Coded for i64 {
    fn put(&self, to: &mut Writer<'_>) {
        // Small negative numbers are short, too.
        to.number(((*self << 1) ^ (*self >> 63)) as u64);
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        let it = from.number()?;
        Some((it >> 1) as i64 ^ -((it & 1) as i64))
    }
}

impl Coded for bool {
    fn put(&self, to: &mut Writer<'_>) {
        to.number(u64::from(*self));
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        Some(from.number()? == 1)
    }
}

impl Coded for String {
    fn put(&self, to: &mut Writer<'_>) {
        to.free_text(self);
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        from.free_text().map(str::to_owned)
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, to: &mut Writer<'_>) {
        to.number(u64::from(self.is_some()));
        if let Some(it) = self {
            it.put(to);
        }
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        if from.number()? == 1 { T::get(from).map(Some) } else { Some(None) }
    }
}

impl<T: Coded> Coded for Vec<T> {
    fn put(&self, to: &mut Writer<'_>) {
        to.number(self.len() as u64);
        self.iter().for_each(|it| it.put(to));
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        // The length is a claim: room is made as items come.
        (0..from.number()?).map(|_| T::get(from)).collect()
    }
}

impl<A: Coded, B: Coded> Coded for (A, B) {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
        self.1.put(to);
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        Some((A::get(from)?, B::get(from)?))
    }
}

impl<A: Coded, B: Coded, C: Coded> Coded for (A, B, C) {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
        self.1.put(to);
        self.2.put(to);
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        Some((A::get(from)?, B::get(from)?, C::get(from)?))
    }
}

/// Both directions of a structure: a field that is not named here does not compile.
macro_rules! records {
    ($($type:ident { $($field:ident),* })*) => {$(
        impl Coded for $type {
            fn put(&self, to: &mut Writer<'_>) {
                let $type { $($field),* } = self;
                $($field.put(to);)*
            }
            fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
                $(let $field = Coded::get(from)?;)*
                Some($type { $($field),* })
            }
        }
    )*};
}

/// The same of an enumeration.
macro_rules! choices {
    ($($type:ident { $($tag:literal $variant:ident $(($($item:ident),*))? $({$($field:ident),*})?;)* })*) => {$(
        impl Coded for $type {
            fn put(&self, to: &mut Writer<'_>) {
                match self {
                    $($type::$variant $(($($item),*))? $({$($field),*})? => {
                        to.number($tag);
                        $($($item.put(to);)*)?
                        $($($field.put(to);)*)?
                    })*
                }
            }
            fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
                Some(match from.number()? {
                    $($tag => {
                        $($(let $item = Coded::get(from)?;)*)?
                        $($(let $field = Coded::get(from)?;)*)?
                        $type::$variant $(($($item),*))? $({$($field),*})?
                    })*
                    _ => return None,
                })
            }
        }
    )*};
}

records! {
    Val { a, b, k, c }
    Fact { lo, hi, not, le, ge }
    Segment { lo, hi, piece }
    Demand { need, pointer, trace, is_sure, guard }
    Guard { sym, lo, hi, not }
    Assumptions { first, has_more }
    Assumption { what, at }
    Trace { spot, via }
    Finding { rule, kind, severity, confidence, message, place, related }
    Disjunct { facts, result, objects, latent, demands, is_certain, has_failed, is_raised, assumptions }
    Summary { meanings, disjuncts, traces, latent, is_incomplete }
}

choices! {
    Status { 0 Live; 1 Freed(at); 2 Gone(at); }
    Content { 0 Uninit; 1 Zero; 2 Initial; 3 Written(stamp); }
    Piece { 0 Value(it); 1 Fill{unit, value}; 2 Written(stamp); 3 Uninit; }
    Failure { 0 Never; 1 Null; 2 Negative; }
    Source { 0 Known; 1 Outside; 2 Unknown; 3 Vague; }
    Assumed { 0 Unseen; 1 Vague; 2 Failed; 3 Needed; }
    Severity { 0 Note; 1 Warning; 2 Error; }
    Confidence { 0 Likely; 1 Proven; 2 Certain; }
    Need {
        0 Access{is_write, bytes};
        1 Initialized{bytes};
        2 Within{is_write, is_under, is_stack};
        3 Room{needed};
        4 Apart{bytes};
    }
    Binary {
        0 Add; 1 Subtract; 2 Multiply; 3 Divide; 4 Remainder; 5 And; 6 Or; 7 Xor; 8 ShiftLeft; 9 ShiftRight;
        10 Equal; 11 NotEqual; 12 Less; 13 LessEqual; 14 Greater; 15 GreaterEqual; 16 In; 17 IsA;
    }
}

impl Coded for Sym {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        u32::get(from).map(Sym)
    }
}

impl Coded for LocalId {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        u32::get(from).map(LocalId)
    }
}

impl Coded for Rule {
    fn put(&self, to: &mut Writer<'_>) {
        to.text(self.name());
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        Rule::from_name(from.text()?)
    }
}

impl Coded for Kind {
    fn put(&self, to: &mut Writer<'_>) {
        to.text(self.name());
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        Kind::from_name(from.text()?)
    }
}

impl Coded for Spot {
    fn put(&self, to: &mut Writer<'_>) {
        let Spot { module, function, span } = *self;
        // The entry of no trace at all has neither.
        let owner = to.cx.program.functions[function as usize].module;
        to.function(function);
        (module == owner).put(to);
        if module != owner {
            to.module(module);
        }
        let sign = to.index.places(to.cx, function).sign(span).filter(|_| module == owner);
        sign.is_some().put(to);
        match sign {
            Some(it) => {
                to.number(it.hash);
                it.turn.put(to);
                it.turns.put(to);
            }
            None => put_span(to, module, function, span),
        }
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        let function = from.function()?;
        let owner = from.cx.program.functions[function as usize].module;
        let module = if bool::get(from)? { owner } else { from.module()? };
        let span = if bool::get(from)? {
            let sign = Sign { hash: from.number()?, turn: u32::get(from)?, turns: u32::get(from)? };
            from.index.places(from.cx, function).span(sign)?
        } else {
            get_span(from, module, function)?
        };
        Some(Spot { module, function, span })
    }
}

/// A place of a function: from where the function starts, if it lies in the same file.
pub fn put_span(to: &mut Writer<'_>, module: u32, function: u32, span: Span) {
    let cx = to.cx;
    let start = cx.program.ir(function).1.span;
    if span == Span::NONE {
        return to.number(0);
    }
    let base = if span.file == start.file {
        to.number(1);
        start.start
    } else {
        to.number(2);
        to.text(&cx.program.modules[module as usize].files[span.file.index()]);
        0
    };
    (i64::from(span.start) - i64::from(base)).put(to);
    (i64::from(span.end) - i64::from(base)).put(to);
}

fn get_span(from: &mut Reader<'_, '_>, module: u32, function: u32) -> Option<Span> {
    let start = from.cx.program.ir(function).1.span;
    let (file, base) = match from.number()? {
        0 => return Some(Span::NONE),
        1 => (start.file, start.start),
        _ => {
            let path = from.text()?;
            let files = &from.cx.program.modules[module as usize].files;
            (FileId(u32::try_from(files.iter().position(|it| it == path)?).ok()?), 0)
        }
    };
    let mut place = || u32::try_from(i64::get(from)?.checked_add(i64::from(base))?).ok();
    Some(Span { file, start: place()?, end: place()? })
}

impl Coded for Class {
    fn put(&self, to: &mut Writer<'_>) {
        match *self {
            Class::Storage => to.number(0),
            Class::Heap(family) => {
                to.number(1);
                to.family(family);
            }
            Class::Resource(family) => {
                to.number(2);
                to.family(family);
            }
        }
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        Some(match from.number()? {
            0 => Class::Storage,
            1 => Class::Heap(from.family()?),
            2 => Class::Resource(from.family()?),
            _ => return None,
        })
    }
}

impl Coded for Object {
    fn put(&self, to: &mut Writer<'_>) {
        let Object {
            class,
            status,
            failure,
            size,
            content,
            segments,
            elements,
            reach,
            text,
            held,
            is_escaped,
            is_written,
            stamp,
            made,
            freed_as,
            is_told,
            of,
        } = self;
        class.put(to);
        status.put(to);
        failure.put(to);
        size.put(to);
        content.put(to);
        segments.put(to);
        elements.put(to);
        reach.put(to);
        text.put(to);
        held.put(to);
        is_escaped.put(to);
        is_written.put(to);
        stamp.put(to);
        made.put(to);
        to.family(*freed_as);
        is_told.put(to);
        of.is_some().put(to);
        if let Some((module, class)) = *of {
            to.module(module);
            class.0.put(to);
        }
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        Some(Object {
            class: Coded::get(from)?,
            status: Coded::get(from)?,
            failure: Coded::get(from)?,
            size: Coded::get(from)?,
            content: Coded::get(from)?,
            segments: Coded::get(from)?,
            elements: Coded::get(from)?,
            reach: Coded::get(from)?,
            text: Coded::get(from)?,
            held: Coded::get(from)?,
            is_escaped: Coded::get(from)?,
            is_written: Coded::get(from)?,
            stamp: Coded::get(from)?,
            made: Coded::get(from)?,
            freed_as: from.family()?,
            is_told: Coded::get(from)?,
            of: if bool::get(from)? { Some(from.class()?) } else { None },
        })
    }
}

impl Coded for Meaning {
    fn put(&self, to: &mut Writer<'_>) {
        let cx = to.cx;
        macro_rules! put {
            ($tag:literal $(, $field:expr)*) => {{
                to.number($tag);
                $($field.put(to);)*
            }};
        }
        match *self {
            Meaning::Nothing => put!(0),
            Meaning::Uninit => put!(1),
            Meaning::Local(it) => put!(2, it),
            Meaning::Global(it) => {
                to.number(3);
                to.global(it);
            }
            Meaning::Function(it) => {
                to.number(4);
                to.text(&cx.program.symbols[it as usize]);
            }
            Meaning::Text { module, name } => {
                to.number(5);
                to.module(module);
                to.text(cx.program.modules[module as usize].name(name));
            }
            Meaning::Outer { function, local } => {
                to.number(6);
                to.function(function);
                local.put(to);
            }
            Meaning::Made { site, turn, part } => put!(7, site, turn, part),
            Meaning::Slot { container, key } => put!(8, container, key),
            Meaning::Record { site, turn, part } => put!(9, site, turn, part),
            Meaning::Initial { object, offset, bytes } => put!(10, object, offset, bytes),
            Meaning::Written { object, offset, stamp } => put!(11, object, offset, stamp),
            Meaning::Element { object, offset, bytes, stamp } => put!(12, object, offset, bytes, stamp),
            Meaning::Length { object, offset, stamp, unit } => put!(13, object, offset, stamp, unit),
            Meaning::Stamp { site, turn } => put!(14, site, turn),
            Meaning::Result { site, turn, part, source } => put!(15, site, turn, part, source),
            Meaning::Rounds { head, turn } => put!(16, head, turn),
            Meaning::Join { site, part } => put!(17, site, part),
            Meaning::Binary { op, left, right } => put!(18, op, left, right),
            Meaning::Narrow { bytes, is_signed, value } => put!(19, bytes, is_signed, value),
            Meaning::Other { value, tag } => put!(20, value, tag),
        }
    }
    fn get(from: &mut Reader<'_, '_>) -> Option<Self> {
        macro_rules! get {
            ($variant:ident $($field:ident)*) => {{
                $(let $field = Coded::get(from)?;)*
                Meaning::$variant { $($field),* }
            }};
        }
        Some(match from.number()? {
            0 => Meaning::Nothing,
            1 => Meaning::Uninit,
            2 => Meaning::Local(Coded::get(from)?),
            3 => Meaning::Global(from.global()?),
            4 => {
                let name = from.text()?;
                Meaning::Function(from.cx.program.find_symbol(name)?)
            }
            5 => {
                let module = from.module()?;
                let text = from.text()?;
                Meaning::Text { module, name: from.index.name(from.cx, module, text)? }
            }
            6 => {
                let function = from.function()?;
                Meaning::Outer { function, local: Coded::get(from)? }
            }
            7 => get!(Made site turn part),
            8 => get!(Slot container key),
            9 => get!(Record site turn part),
            10 => get!(Initial object offset bytes),
            11 => get!(Written object offset stamp),
            12 => get!(Element object offset bytes stamp),
            13 => get!(Length object offset stamp unit),
            14 => get!(Stamp site turn),
            15 => get!(Result site turn part source),
            16 => get!(Rounds head turn),
            17 => get!(Join site part),
            18 => get!(Binary op left right),
            19 => get!(Narrow bytes is_signed value),
            20 => get!(Other value tag),
            _ => return None,
        })
    }
}
