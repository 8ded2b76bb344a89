//! The preprocessor: files to one column of tokens, macros expanded, each token at its place in a file.
//!
//! ```text
//! Files --Lexer--> tokens --frames of macro bodies--> out
//!                    ^ #include pushes a file, its end pops it
//! ```
//!
//! A token out of a macro's body lies where the outermost macro was used; an argument's token stays where it
//! was written. Headers are looked for beside the includer, in the given folders, among the embedded stubs,
//! then in the folders above; what is found nowhere is noted and left out.
//!
//! Budgets: [`MAX_DEPTH`] nested includes or argument expansions, [`MAX_TOKENS`] tokens, [`MAX_FILES`]
//! inclusions. What exceeds one is left out and noted.

mod condition;
mod expand;
mod include;

use crate::chunks::{self, Chunk, Cutter};
use crate::headers::{Known, Reader, Recording, Touch};
use crate::lex::{Kind, LINE_START, Lexer, SPACE, Token};
use crate::literal::number;
use crate::symbols::{Sym, Symbols, sym};
use crate::{Files, Unit, stubs};
use heapwise_model::Language;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;

const MAX_DEPTH: usize = 200;
const MAX_TOKENS: usize = 16 << 20;
const MAX_FILES: usize = 20_000;
/// Missing headers that are named one by one.
const MAX_MISSING: usize = 20;

pub(crate) struct Macro {
    /// `None`: object-like.
    params: Option<Vec<Sym>>,
    is_variadic: bool,
    body: Vec<BodyToken>,
}

impl Macro {
    /// Whether they expand to the same wherever they are used.
    pub(crate) fn is_same(&self, other: &Macro) -> bool {
        let key = |it: &BodyToken| (it.token.kind, it.token.text, it.token.flags, it.param);
        self.params == other.params
            && self.is_variadic == other.is_variadic
            && self.body.len() == other.body.len()
            && self.body.iter().zip(&other.body).all(|(a, b)| key(a) == key(b))
    }
}

#[derive(Clone, Copy)]
struct BodyToken {
    token: Token,
    /// Which parameter it names.
    param: Option<u16>,
}

/// Tokens that are read before the file goes on.
struct Frame {
    tokens: Vec<Token>,
    at: usize,
    /// The macro whose body this is; it is not expanded in here.
    name: Option<Sym>,
    /// Reading stops at its end: an argument that is expanded on its own.
    is_barrier: bool,
}

#[derive(Clone, Copy)]
struct Condition {
    /// A branch was taken: the others are not.
    is_taken: bool,
    has_else: bool,
}

struct OpenFile {
    lexer: Lexer,
    path: Arc<str>,
    conditions: Vec<Condition>,
    guard: Guard,
    /// Line that `__LINE__` counted last, and its offset.
    line: (u32, usize),
}

/// Whether the whole file stands within `#ifndef X`.
#[derive(Clone, Copy, PartialEq)]
enum Guard {
    Start,
    Inside(Sym),
    After(Sym),
    No,
}

/// What a unit, or the next piece of it, reads as.
pub(crate) struct Output {
    pub(crate) tokens: Vec<Token>,
    /// Files that were met for the first time; the very first one is the unit itself.
    pub(crate) paths: Vec<Arc<str>>,
    pub(crate) notes: Vec<String>,
}

pub(crate) struct Preprocessor<'a> {
    unit: &'a Unit,
    files: &'a dyn Files,
    symbols: &'a mut Symbols,
    is_cpp: bool,
    macros: &'a mut Vec<Option<Arc<Macro>>>,
    /// Macros that were changed.
    changed: Vec<Sym>,
    /// Macros that are being expanded.
    is_open: Vec<bool>,
    frames: Vec<Frame>,
    open: Vec<OpenFile>,
    pushed_back: Option<Token>,
    out: Vec<Token>,
    /// Where pieces go before everything is read.
    early: Option<Early>,
    /// How long `out` is when it is looked at next.
    next_look: usize,
    paths: Vec<Arc<str>>,
    file_of: FxHashMap<Arc<str>, u16>,
    once: FxHashSet<Arc<str>>,
    guards: FxHashMap<Arc<str>, Sym>,
    /// Headers that units before have read; they are of use to units to come.
    known: Known,
    is_kept: bool,
    /// Searches that were made for this unit, or would end the same.
    confirmed: Vec<bool>,
    /// Headers that are open and recorded, innermost last.
    recordings: Vec<Recording>,
    /// By symbol: the recording that has met it.
    marks: Vec<u32>,
    last_mark: u32,
    /// Macros whose arguments, or opening parenthesis, are being read.
    gathering: usize,
    notes: Vec<String>,
    note_count: usize,
    missing: Vec<String>,
    missing_count: usize,
    produced: usize,
    included: usize,
    counter: u32,
    arg_depth: usize,
    pack: Vec<u32>,
    is_exhausted: bool,
}

/// The path that stands for what is defined before a unit.
const BUILT_IN: &str = "<built-in>";

/// Pieces that are handed on, and how much of everything was.
struct Early {
    to: Sender<Chunk>,
    cutter: Cutter,
    tokens: usize,
    symbols: usize,
    paths: usize,
}

/// Reads the unit's file and all that it includes. `is_kept`: the reader will serve other units.
pub(crate) fn preprocess(unit: &Unit, files: &dyn Files, reader: &mut Reader, is_kept: bool) -> Output {
    read(unit, files, reader, is_kept, None).0
}

/// Reads a unit and hands it on piece by piece.
pub(crate) fn preprocess_early(unit: &Unit, files: &dyn Files, reader: &mut Reader, to: Sender<Chunk>) {
    let early = Early { to, cutter: Cutter::default(), tokens: 0, symbols: 0, paths: 0 };
    let (output, early) = read(unit, files, reader, true, Some(early));
    if let Some(Early { to, symbols, .. }) = early {
        let texts = reader.symbols.texts_from(symbols);
        // Who reads no more has found that pieces will not do.
        let _ = to.send(Chunk { output, texts });
    }
}

fn read(
    unit: &Unit,
    files: &dyn Files,
    reader: &mut Reader,
    is_kept: bool,
    early: Option<Early>,
) -> (Output, Option<Early>) {
    let known = reader.known(unit);
    let is_open = vec![false; reader.macros.len()];
    let mut it = Preprocessor {
        unit,
        files,
        symbols: &mut reader.symbols,
        is_cpp: unit.language == Language::Cpp,
        macros: &mut reader.macros,
        changed: Vec::new(),
        is_open,
        frames: Vec::new(),
        open: Vec::new(),
        pushed_back: None,
        out: Vec::new(),
        next_look: if early.is_some() { chunks::TOKENS } else { MAX_TOKENS + 1 },
        early,
        paths: Vec::new(),
        file_of: FxHashMap::default(),
        once: FxHashSet::default(),
        guards: FxHashMap::default(),
        known,
        is_kept,
        confirmed: Vec::new(),
        recordings: Vec::new(),
        marks: Vec::new(),
        last_mark: 0,
        gathering: 0,
        notes: Vec::new(),
        note_count: 0,
        missing: Vec::new(),
        missing_count: 0,
        produced: 0,
        included: 0,
        counter: 0,
        arg_depth: 0,
        pack: Vec::new(),
        is_exhausted: false,
    };
    let file = it.file(&unit.path.as_str().into());
    it.predefine();
    match files.read(&unit.path) {
        Some(bytes) => it.run(file, unit.path.as_str().into(), bytes),
        None => it.notes.push(format!("{} cannot be read", unit.path)),
    }
    let (output, known, early) = it.finish();
    reader.learn(unit, known);
    (output, early)
}

impl Preprocessor<'_> {
    fn finish(mut self) -> (Output, Known, Option<Early>) {
        for it in &self.changed {
            self.macros[it.0 as usize] = None;
        }
        let end = self.out.last().copied();
        self.out.push(Token {
            kind: Kind::End,
            flags: 0,
            file: end.map_or(0, |it| it.file),
            text: sym::EMPTY,
            start: end.map_or(0, |it| it.end),
            end: end.map_or(0, |it| it.end),
        });
        if !self.missing.is_empty() {
            let more = self.missing_count - self.missing.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.notes.push(format!("headers not found: {}{more}", self.missing.join(", ")));
        }
        let paths = self.paths.split_off(self.early.as_ref().map_or(0, |it| it.paths));
        (Output { tokens: self.out, paths, notes: self.notes }, self.known, self.early)
    }

    fn predefine(&mut self) {
        let path: Arc<str> = BUILT_IN.into();
        let file = self.file(&path);
        if let Some(it) = self.as_before(&path, None) {
            return self.take_over(&it);
        }
        let mut text = String::from(stubs::PREDEFINED);
        text.push_str(if self.is_cpp { stubs::PREDEFINED_CPP } else { stubs::PREDEFINED_C });
        for define in &self.unit.defines {
            let (name, value) = define.split_once('=').unwrap_or((define, "1"));
            text.push_str(&format!("#define {} {}\n", name, value.replace('\n', " ")));
        }
        for header in &self.unit.includes {
            text.push_str(&format!("#include \"{}\"\n", header.replace(['\n', '"'], " ")));
        }
        self.open_file(file, path.clone(), text.into_bytes().into());
        self.record(path, None, file);
        self.read_all();
    }

    /// The number of a file; 0: there are too many.
    fn file(&mut self, path: &Arc<str>) -> u16 {
        let known = self.file_of.get(path).copied();
        let file = known.unwrap_or_else(|| {
            let Ok(id) = u16::try_from(self.paths.len()) else { return 0 };
            self.paths.push(path.clone());
            self.file_of.insert(path.clone(), id);
            id
        });
        if let Some(it) = self.recordings.last_mut() {
            it.files.push(file);
        }
        file
    }

    fn note(&mut self, note: impl Into<String>) {
        self.note_count += 1;
        if self.notes.len() < 100 {
            self.notes.push(note.into());
        }
    }

    /// Notes what is likely to be met again and again.
    fn note_once(&mut self, note: &str) {
        match self.notes.iter().any(|it| it == note) {
            true => self.note_count += 1,
            false => self.note(note),
        }
    }

    fn run(&mut self, file: u16, path: Arc<str>, bytes: Arc<[u8]>) {
        self.open_file(file, path, bytes);
        self.read_all();
    }

    fn read_all(&mut self) {
        loop {
            let mut token = self.read();
            if token.kind == Kind::End {
                break;
            }
            if token.kind == Kind::Ident && self.expand(&mut token) {
                continue;
            }
            self.out.push(token);
            if self.out.len() >= self.next_look {
                self.look();
            }
        }
    }

    /// Tokens so far.
    fn length(&self) -> usize {
        self.out.len() + self.early.as_ref().map_or(0, |it| it.tokens)
    }

    /// Ends all reading where there are too many tokens; otherwise hands on those that are whole functions.
    fn look(&mut self) {
        if self.length() > MAX_TOKENS {
            return self.exhaust();
        }
        let Some(early) = &mut self.early else { return };
        self.next_look = (self.out.len() + chunks::TOKENS).min(MAX_TOKENS + 1 - early.tokens);
        // What is recorded names tokens by their places.
        if !self.recordings.is_empty() {
            return;
        }
        let cut = early.cutter.look(&self.out);
        if cut == 0 {
            return;
        }
        early.cutter.forget();
        let rest = self.out.split_off(cut);
        let tokens = std::mem::replace(&mut self.out, rest);
        let output = Output { tokens, paths: self.paths[early.paths..].to_vec(), notes: Vec::new() };
        let texts = self.symbols.texts_from(early.symbols);
        (early.tokens, early.symbols, early.paths) =
            (early.tokens + cut, self.symbols.len(), self.paths.len());
        self.next_look = (self.out.len() + chunks::TOKENS).min(MAX_TOKENS + 1 - early.tokens);
        let _ = early.to.send(Chunk { output, texts });
    }

    /// Ends all reading.
    fn exhaust(&mut self) {
        if !self.is_exhausted {
            self.is_exhausted = true;
            self.note("too many tokens after macro expansion: the rest of the unit was not read");
        }
        self.frames.clear();
        self.is_open.fill(false);
        self.open.clear();
        self.recordings.clear();
        self.pushed_back = None;
    }

    fn open_file(&mut self, file: u16, path: Arc<str>, bytes: Arc<[u8]>) {
        if u32::try_from(bytes.len()).is_err() {
            return self.note(format!("{path} is longer than 4 GiB and was not read"));
        }
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return self.note(format!("{path} is UTF-16 and was not read"));
        }
        let lexer = Lexer::new(bytes, file, self.is_cpp);
        if let Some(it) = self.recordings.last_mut() {
            it.deepest = it.deepest.max(self.open.len() + 1);
        }
        self.open.push(OpenFile { lexer, path, conditions: Vec::new(), guard: Guard::Start, line: (1, 0) });
    }

    // Reading.

    /// The next token before expansion; directives are obeyed on the way.
    fn read(&mut self) -> Token {
        if let Some(it) = self.pushed_back.take() {
            return it;
        }
        while let Some(frame) = self.frames.last_mut() {
            if let Some(&it) = frame.tokens.get(frame.at) {
                frame.at += 1;
                return it;
            }
            if frame.is_barrier {
                return END;
            }
            if let Some(name) = frame.name {
                self.is_open[name.0 as usize] = false;
            }
            self.frames.pop();
        }
        self.read_file()
    }

    fn read_file(&mut self) -> Token {
        while let Some(file) = self.open.last_mut() {
            let token = file.lexer.next(self.symbols, false);
            if token.kind == Kind::End {
                self.close_file();
            } else if token.flags & LINE_START != 0 && token.is(sym::HASH) {
                self.directive();
            } else {
                file.guard = match file.guard {
                    Guard::Inside(it) if !file.conditions.is_empty() => Guard::Inside(it),
                    _ => Guard::No,
                };
                return token;
            }
        }
        END
    }

    fn close_file(&mut self) {
        let Some(file) = self.open.pop() else { return };
        if let Guard::After(name) = file.guard {
            if let Some(it) = self.recordings.last_mut() {
                it.guards.push((file.path.clone(), name));
            }
            self.guards.insert(file.path, name);
        }
        if self.recordings.last().is_some_and(|it| it.outside == self.open.len()) {
            self.end_recording();
        }
    }

    /// The next token of a directive, not expanded.
    fn word(&mut self) -> Token {
        match self.open.last_mut() {
            Some(file) => file.lexer.next(self.symbols, true),
            None => END,
        }
    }

    /// The rest of the directive.
    fn rest(&mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        loop {
            let token = self.word();
            if token.kind == Kind::End {
                return tokens;
            }
            tokens.push(token);
        }
    }

    fn skip_line(&mut self) {
        if let Some(file) = self.open.last_mut() {
            file.lexer.skip_line();
        }
    }

    // Directives.

    fn directive(&mut self) {
        let name = self.word();
        let is_guard_candidate = self.open.last().is_some_and(|it| it.guard == Guard::Start);
        if name.text != sym::IFNDEF {
            self.leave_guard(name.text);
        }
        match name.text {
            sym::DEFINE => self.define(),
            sym::UNDEF => {
                let name = self.word();
                self.set_macro(name.text, None);
                self.skip_line();
            }
            sym::INCLUDE | sym::IMPORT | sym::INCLUDE_NEXT => self.include(name.text),
            sym::IFDEF | sym::IFNDEF => {
                let word = self.word();
                let is_taken = self.is_defined(word.text) == (name.text == sym::IFDEF);
                self.skip_line();
                if let Some(file) = self.open.last_mut() {
                    file.guard = match file.guard {
                        Guard::Start if is_guard_candidate && name.text == sym::IFNDEF => {
                            Guard::Inside(word.text)
                        }
                        Guard::Inside(it) if !file.conditions.is_empty() => Guard::Inside(it),
                        _ => Guard::No,
                    };
                }
                self.begin(is_taken);
            }
            sym::IF => {
                let is_taken = self.condition();
                self.begin(is_taken);
            }
            // A branch was taken before: what follows is not.
            sym::ELIF | sym::ELSE | sym::ELIFDEF | sym::ELIFNDEF => {
                self.skip_line();
                if let Some(condition) = self.open.last_mut().and_then(|it| it.conditions.last_mut()) {
                    condition.is_taken = true;
                    condition.has_else |= name.text == sym::ELSE;
                    self.skip_group();
                }
            }
            sym::ENDIF => {
                self.skip_line();
                self.end_condition();
            }
            sym::ERROR => {
                let file = self.open.last().map(|it| it.path.clone()).unwrap_or_default();
                self.note(format!("#error met in {file}"));
                self.skip_line();
            }
            sym::PRAGMA => self.pragma(),
            _ => self.skip_line(),
        }
    }

    /// Anything before `#ifndef` or after `#endif` means that a file has no guard.
    fn leave_guard(&mut self, directive: Sym) {
        let Some(file) = self.open.last_mut() else { return };
        let is_own = file.conditions.len() == 1;
        file.guard = match file.guard {
            Guard::Inside(it) if is_own && directive == sym::ENDIF => Guard::After(it),
            Guard::Inside(_) if is_own && matches!(directive, sym::ELSE | sym::ELIF) => Guard::No,
            Guard::Inside(it) if !file.conditions.is_empty() => Guard::Inside(it),
            _ => Guard::No,
        };
    }

    fn begin(&mut self, is_taken: bool) {
        let Some(file) = self.open.last_mut() else { return };
        file.conditions.push(Condition { is_taken, has_else: false });
        if !is_taken {
            self.skip_group();
        }
    }

    fn end_condition(&mut self) {
        if let Some(file) = self.open.last_mut() {
            file.conditions.pop();
        }
    }

    /// Skips to the branch of the current condition that is taken, or past its end.
    fn skip_group(&mut self) {
        let mut depth = 0usize;
        loop {
            let Some(file) = self.open.last_mut() else { return };
            if !file.lexer.skip_to_directive() {
                return;
            }
            let name = self.word().text;
            match name {
                sym::IF | sym::IFDEF | sym::IFNDEF => depth += 1,
                sym::ENDIF if depth > 0 => depth -= 1,
                sym::ENDIF => {
                    self.skip_line();
                    self.leave_guard(sym::ENDIF);
                    return self.end_condition();
                }
                sym::ELSE | sym::ELIF | sym::ELIFDEF | sym::ELIFNDEF if depth == 0 => {
                    self.leave_guard(sym::ELSE);
                    if self.branch(name) {
                        return;
                    }
                }
                _ => {}
            }
            self.skip_line();
        }
    }

    /// Whether this further branch of the current condition is taken.
    fn branch(&mut self, name: Sym) -> bool {
        let condition = self.open.last().and_then(|it| it.conditions.last()).copied();
        let Some(condition) = condition else { return false };
        if condition.is_taken || condition.has_else {
            return false;
        }
        let is_taken = match name {
            sym::ELSE => true,
            sym::ELIF => self.condition(),
            _ => {
                let word = self.word().text;
                self.is_defined(word) == (name == sym::ELIFDEF)
            }
        };
        self.skip_line();
        if let Some(it) = self.open.last_mut().and_then(|it| it.conditions.last_mut()) {
            it.is_taken = is_taken;
            it.has_else = name == sym::ELSE;
        }
        is_taken
    }

    fn is_defined(&mut self, name: Sym) -> bool {
        self.ask(name);
        self.macro_of(name).is_some() || is_dynamic(name) || is_probe(name)
    }

    fn macro_of(&self, name: Sym) -> Option<&Arc<Macro>> {
        self.macros.get(name.0 as usize)?.as_ref()
    }

    fn pragma(&mut self) {
        let tokens = self.rest();
        match tokens.first().map(|it| it.text) {
            Some(sym::ONCE) => {
                if let Some(path) = self.open.last().map(|it| it.path.clone()) {
                    self.read_once(path);
                }
            }
            Some(sym::PACK) => self.pragma_pack(&tokens),
            _ => {}
        }
    }

    fn pragma_pack(&mut self, tokens: &[Token]) {
        if let Some(it) = self.recordings.last_mut() {
            it.uses_pack = true;
        }
        let mut value = None;
        for token in &tokens[1..] {
            match token.text {
                sym::PUSH => self.pack.push(self.pack.last().copied().unwrap_or(0)),
                sym::POP => {
                    self.pack.pop();
                }
                _ if token.kind == Kind::Number => value = number(self.symbols.bytes(token.text)),
                _ => {}
            }
        }
        if let Some(value) = value.and_then(|it| u32::try_from(it.value).ok()) {
            match self.pack.last_mut() {
                Some(top) => *top = value,
                None => self.pack.push(value),
            }
        } else if tokens.len() == 3 {
            self.pack.clear();
        }
        let now = self.pack.last().copied().unwrap_or(0).to_string();
        let text = self.symbols.intern(now.as_bytes());
        self.out.push(Token { kind: Kind::Pack, text, ..tokens[0] });
    }

    fn define(&mut self) {
        let name = self.word();
        if name.kind != Kind::Ident {
            return self.skip_line();
        }
        let mut token = self.word();
        let mut params = None;
        let mut is_variadic = false;
        if token.is(sym::LPAREN) && token.flags & SPACE == 0 {
            let mut names = Vec::new();
            loop {
                token = self.word();
                match token.text {
                    _ if token.kind == Kind::Ident => names.push(token.text),
                    sym::ELLIPSIS => {
                        is_variadic = true;
                        names.push(sym::ELLIPSIS);
                    }
                    sym::COMMA => names.push(sym::COMMA),
                    _ => break,
                }
            }
            params = Some(parameters(&names));
            if !token.is(sym::RPAREN) {
                return self.skip_line();
            }
            token = self.word();
        }
        let mut body = Vec::new();
        while token.kind != Kind::End {
            let param = match &params {
                Some(params) if token.kind == Kind::Ident => params.iter().position(|it| *it == token.text),
                _ => None,
            };
            if body.is_empty() {
                token.flags &= !SPACE;
            }
            body.push(BodyToken { token, param: param.map(|it| it as u16) });
            token = self.word();
        }
        self.set_macro(name.text, Some(Arc::new(Macro { params, is_variadic, body })));
    }

    fn set_macro(&mut self, name: Sym, to: Option<Arc<Macro>>) {
        let index = name.0 as usize;
        if self.macros.len() <= index {
            self.macros.resize_with((index + 1).max(self.symbols.len()), || None);
        }
        if self.is_open.len() < self.macros.len() {
            self.is_open.resize(self.macros.len(), false);
        }
        if let Some(it) = self.recordings.last_mut() {
            it.touches.push(Touch { name, asked: None });
        }
        self.changed.push(name);
        self.macros[index] = to;
    }
}

pub(crate) const END: Token =
    Token { kind: Kind::End, flags: 0, file: 0, text: sym::EMPTY, start: 0, end: 0 };

/// Parameter names out of names, commas and `...` as they stand.
fn parameters(words: &[Sym]) -> Vec<Sym> {
    let mut names = Vec::new();
    for (index, &word) in words.iter().enumerate() {
        let follows_name = index > 0 && words[index - 1] != sym::COMMA;
        match word {
            sym::COMMA => {}
            sym::ELLIPSIS if follows_name => {}
            sym::ELLIPSIS => names.push(sym::VA_ARGS),
            _ => names.push(word),
        }
    }
    names
}

fn close_of(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if token.is(sym::LPAREN) {
            depth += 1;
        } else if token.is(sym::RPAREN) {
            depth -= 1;
            if depth == 0 {
                return index;
            }
        }
    }
    tokens.len()
}

fn is_dynamic(name: Sym) -> bool {
    matches!(
        name,
        sym::FILE_
            | sym::LINE_
            | sym::COUNTER_
            | sym::DATE_
            | sym::TIME_
            | sym::INCLUDE_LEVEL_
            | sym::BASE_FILE_
            | sym::PRAGMA_OP
    )
}

fn is_probe(name: Sym) -> bool {
    name.0 >= sym::HAS_INCLUDE.0 && name.0 <= sym::HAS_WARNING.0
}
