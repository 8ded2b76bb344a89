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

use crate::headers::{self, Inclusion, Known, OnceTouch, Piece, Reader, Recording, Search, SearchId, Touch};
use crate::lex::{EXPANDED, Kind, LINE_NUMBER, LINE_START, Lexer, PAINTED, SPACE, Token};
use crate::symbols::{Sym, Symbols, sym};
use crate::{Files, Unit, stubs};
use heapwise_model::Language;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

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

pub(crate) struct Output {
    pub(crate) tokens: Vec<Token>,
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

/// Reads the unit's file and all that it includes. `is_kept`: the reader will serve other units.
pub(crate) fn preprocess(unit: &Unit, files: &dyn Files, reader: &mut Reader, is_kept: bool) -> Output {
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
    let (output, known) = it.finish();
    reader.learn(unit, known);
    output
}

impl Preprocessor<'_> {
    fn finish(mut self) -> (Output, Known) {
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
        (Output { tokens: self.out, paths: self.paths, notes: self.notes }, self.known)
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
            if self.out.len() > MAX_TOKENS {
                self.exhaust();
            }
        }
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

    // Inclusion.

    fn include(&mut self, directive: Sym) {
        let spelling = self.header_name();
        self.skip_line();
        let Some((name, is_quoted)) = spelling else { return };
        self.included += 1;
        if self.open.len() >= MAX_DEPTH || self.included > MAX_FILES {
            if self.included == MAX_FILES + 1 || self.open.len() >= MAX_DEPTH {
                self.note(format!("includes nest too deep or are too many: {name} was left out"));
            }
            return;
        }
        let Some(path) = self.find(&name, is_quoted, directive == sym::INCLUDE_NEXT) else {
            return self.miss(name);
        };
        if self.is_read_once(&path) {
            return;
        }
        if let Some(&guard) = self.guards.get(&path)
            && self.is_defined(guard)
        {
            return;
        }
        if directive == sym::IMPORT {
            self.read_once(path.clone());
        }
        let stub = stubs::text(&path);
        let content = match stub {
            Some(_) => None,
            None => match self.files.read(&path) {
                Some(bytes) => Some(bytes),
                None => return,
            },
        };
        if let Some(it) = self.as_before(&path, content.as_ref()) {
            return self.take_over(&it);
        }
        let bytes = content.clone().unwrap_or_else(|| stub.unwrap_or_default().as_bytes().into());
        let file = self.file(&path);
        let outside = self.open.len();
        self.open_file(file, path.clone(), bytes);
        if self.open.len() > outside {
            self.record(path.clone(), content, file);
        }
        if stub.is_some() {
            self.read_once(path);
        }
    }

    fn miss(&mut self, name: String) {
        if let Some(it) = self.recordings.last_mut() {
            it.missing.push(name.clone());
        }
        if !self.missing.contains(&name) {
            self.missing_count += 1;
            if self.missing.len() < MAX_MISSING {
                self.missing.push(name);
            }
        }
    }

    fn is_read_once(&mut self, path: &Arc<str>) -> bool {
        let is_once = self.once.contains(path);
        if let Some(it) = self.recordings.last_mut() {
            it.once.push((path.clone(), OnceTouch::Asked(is_once)));
        }
        is_once
    }

    fn read_once(&mut self, path: Arc<str>) {
        if let Some(it) = self.recordings.last_mut() {
            it.once.push((path.clone(), OnceTouch::Set));
        }
        self.once.insert(path);
    }

    /// `"x.h"` or `<x.h>`, directly or out of a macro.
    fn header_name(&mut self) -> Option<(String, bool)> {
        let file = self.open.last_mut()?;
        let rest = &file.lexer.bytes[file.lexer.at..];
        let line = &rest[..rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len())];
        let text = line.trim_ascii_start();
        let close = match text.first() {
            Some(b'<') => b'>',
            Some(b'"') => b'"',
            _ => {
                let tokens = self.rest();
                let tokens = self.expand_list(tokens);
                return self.header_of(&tokens);
            }
        };
        let end = text[1..].iter().position(|it| *it == close)?;
        Some((String::from_utf8_lossy(&text[1..=end]).into_owned(), close == b'"'))
    }

    /// The header that tokens spell.
    fn header_of(&self, tokens: &[Token]) -> Option<(String, bool)> {
        let first = tokens.first()?;
        if first.kind == Kind::String {
            return Some((self.symbols.text(first.text).trim_matches('"').to_string(), true));
        }
        if !first.is(sym::LT) {
            return None;
        }
        let end = tokens.iter().position(|it| it.is(sym::GT))?;
        let name = tokens[1..end].iter().map(|it| self.symbols.text(it.text).into_owned()).collect();
        Some((name, false))
    }

    fn find(&mut self, name: &str, is_quoted: bool, is_next: bool) -> Option<Arc<str>> {
        let includer = self.open.last().map(|it| it.path.clone()).unwrap_or_default();
        if is_next || includer.starts_with('<') {
            return stubs::has(name, self.is_cpp).then(|| stubs::path(name).into());
        }
        let folder = includer.rfind('/').map_or("", |it| &includer[..it]).to_string();
        let key = (folder, format!("{}{name}", if is_quoted { '"' } else { '<' }));
        let known = self.known.search_of.get(&key).copied().filter(|it| self.confirm(*it));
        let id = known.unwrap_or_else(|| {
            let search = self.search(name, &key.0, is_quoted);
            let id = self.known.searches.len() as SearchId;
            self.known.searches.push(search);
            self.known.search_of.insert(key, id);
            self.confirmed.resize(id as usize, false);
            self.confirmed.push(true);
            id
        });
        if let Some(it) = self.recordings.last_mut() {
            it.searches.push(id);
        }
        self.known.searches[id as usize].path.clone()
    }

    /// Whether a search of an earlier unit would find the same now.
    fn confirm(&mut self, id: SearchId) -> bool {
        let index = id as usize;
        if self.confirmed.get(index) == Some(&true) {
            return true;
        }
        let is_same = self.known.searches[index].reads.iter().all(|(path, content)| {
            headers::is_same_content(self.files.read(path).as_ref(), content.as_ref())
        });
        if is_same {
            self.confirmed.resize(self.confirmed.len().max(index + 1), false);
            self.confirmed[index] = true;
        }
        is_same
    }

    fn search(&self, name: &str, folder: &str, is_quoted: bool) -> Search {
        let mut reads = Vec::new();
        let path = self.place_of(name, folder, is_quoted, &mut |path| {
            let content = self.files.read(path);
            let is_there = content.is_some();
            reads.push((path.to_owned(), content));
            is_there
        });
        Search { reads, path: path.map(Into::into) }
    }

    /// Where a header is; `is_there` is asked in order.
    fn place_of(
        &self,
        name: &str,
        folder: &str,
        is_quoted: bool,
        is_there: &mut dyn FnMut(&str) -> bool,
    ) -> Option<String> {
        let mut try_in = |folder: &str| {
            let path = join(folder, name);
            is_there(&path).then_some(path)
        };
        if is_quoted && let Some(path) = try_in(folder) {
            return Some(path);
        }
        if let Some(path) = self.unit.include_dirs.iter().find_map(|it| try_in(it)) {
            return Some(path);
        }
        if stubs::has(name, self.is_cpp) {
            return Some(stubs::path(name));
        }
        // A bare folder of sources says not where its headers are: beside, above, or in `include` above.
        let mut folder = folder;
        for _ in 0..8 {
            let places =
                [folder.to_string(), join(folder, "include"), join(folder, "src"), join(folder, "inc")];
            if let Some(path) = places.iter().find_map(|it| try_in(it)) {
                return Some(path);
            }
            match folder.rfind('/') {
                Some(0) | None if folder.is_empty() => break,
                Some(0) | None => folder = "",
                Some(at) => folder = &folder[..at],
            }
        }
        None
    }

    // Headers that were read before.

    /// Notes that a macro is asked for.
    fn ask(&mut self, name: Sym) {
        let Some(recording) = self.recordings.last_mut() else { return };
        let index = name.0 as usize;
        if self.marks.len() <= index {
            self.marks.resize(self.symbols.len().max(index + 1), 0);
        }
        if self.marks[index] != recording.id {
            self.marks[index] = recording.id;
            let asked = Some(self.macros.get(index).cloned().flatten());
            recording.touches.push(Touch { name, asked });
        }
    }

    /// Begins to note what the header that was just opened asks for and does.
    fn record(&mut self, path: Arc<str>, content: Option<Arc<[u8]>>, file: u16) {
        if !self.is_kept || self.gathering > 0 {
            return;
        }
        self.last_mark += 1;
        self.recordings.push(Recording {
            id: self.last_mark,
            path,
            content,
            outside: self.open.len() - 1,
            deepest: self.open.len(),
            is_void: false,
            touches: Vec::new(),
            once: Vec::new(),
            searches: Vec::new(),
            guards: Vec::new(),
            missing: Vec::new(),
            files: vec![file],
            within: Vec::new(),
            pack: self.pack.clone(),
            uses_pack: false,
            tokens: self.out.len(),
            produced: self.produced,
            included: self.included,
            notes: self.note_count,
        });
    }

    /// A recorded header ends: it is kept, if it may be, and is a part of the one around it.
    fn end_recording(&mut self) {
        let Some(mut recording) = self.recordings.pop() else { return };
        let tokens = recording.tokens..self.out.len();
        let own = tokens.len() - recording.within.iter().map(|it| it.0.len()).sum::<usize>();
        let is_whole = self.gathering == 0 && !recording.is_void && recording.notes == self.note_count;
        let mut is_kept = is_whole && self.known.has_room(&recording.path, own);
        let within = std::mem::take(&mut recording.within);
        let (path, is_void) = (recording.path.clone(), recording.is_void);
        let mut it = self.outcome(recording);
        if is_kept {
            let pieces = self.pieces(tokens.clone(), &within, &it.paths);
            is_kept = pieces.is_some();
            (it.pieces, it.tokens) = (pieces.unwrap_or_default(), tokens.len());
        }
        self.add_to_outer(&it);
        let it = Arc::new(it);
        if let Some(outer) = self.recordings.last_mut() {
            outer.is_void |= is_void;
            match is_kept {
                true if !tokens.is_empty() => outer.within.push((tokens, it.clone())),
                true => {}
                false => outer.within.extend(within),
            }
        }
        if is_kept {
            self.known.keep(path, it);
        }
    }

    /// What a recorded header asked for and did, but for its tokens.
    fn outcome(&mut self, recording: Recording) -> Inclusion {
        self.last_mark += 1;
        let (first, second) = (self.last_mark, self.last_mark + 1);
        self.last_mark = second;
        self.marks.resize(self.marks.len().max(self.symbols.len()), 0);
        let mut asked = Vec::new();
        let mut defined = Vec::new();
        for Touch { name, asked: question } in recording.touches {
            let index = name.0 as usize;
            let mark = self.marks[index];
            self.marks[index] = mark.max(first);
            match question {
                Some(before) if mark < first => asked.push((name, before)),
                None if mark < second => {
                    self.marks[index] = second;
                    defined.push((name, self.macros[index].clone()));
                }
                _ => {}
            }
        }
        let mut met = FxHashSet::default();
        let mut once_asked = Vec::new();
        let mut once = Vec::new();
        for (path, touch) in recording.once {
            match touch {
                OnceTouch::Asked(it) if met.insert(path.clone()) => once_asked.push((path, it)),
                OnceTouch::Asked(_) => {}
                OnceTouch::Set => {
                    met.insert(path.clone());
                    once.push(path);
                }
            }
        }
        let mut searches = recording.searches;
        searches.sort_unstable();
        searches.dedup();
        let mut paths: Vec<Arc<str>> = Vec::new();
        let mut is_met = vec![false; self.paths.len()];
        for file in recording.files {
            if !std::mem::replace(&mut is_met[usize::from(file)], true) {
                paths.push(self.paths[usize::from(file)].clone());
            }
        }
        Inclusion {
            content: recording.content,
            asked,
            once_asked,
            searches,
            pack: recording.uses_pack.then(|| (recording.pack, self.pack.clone())),
            defined,
            once,
            guards: recording.guards,
            missing: recording.missing,
            paths,
            pieces: Vec::new(),
            tokens: 0,
            produced: self.produced - recording.produced,
            included: self.included - recording.included,
            depth: recording.deepest - recording.outside,
        }
    }

    /// Tokens of a header, those of headers within it by reference. `None`: one lies in none of these files.
    fn pieces(
        &self,
        tokens: std::ops::Range<usize>,
        within: &[(std::ops::Range<usize>, Arc<Inclusion>)],
        paths: &[Arc<str>],
    ) -> Option<Vec<Piece>> {
        let mut place_of = vec![None; self.paths.len()];
        for (place, path) in paths.iter().enumerate() {
            place_of[usize::from(*self.file_of.get(path)?)] = u16::try_from(place).ok();
        }
        let own = |range: std::ops::Range<usize>| {
            let placed =
                self.out[range].iter().map(|it| Some(Token { file: place_of[usize::from(it.file)]?, ..*it }));
            placed.collect::<Option<Box<[Token]>>>().map(Piece::Tokens)
        };
        let mut pieces = Vec::new();
        let mut at = tokens.start;
        for (range, inclusion) in within {
            if range.start > at {
                pieces.push(own(at..range.start)?);
            }
            pieces.push(Piece::Header(inclusion.clone()));
            at = range.end;
        }
        if at < tokens.end {
            pieces.push(own(at..tokens.end)?);
        }
        Some(pieces)
    }

    /// What a header within it asked for and did is a part of the recorded header around it.
    fn add_to_outer(&mut self, it: &Inclusion) {
        let Some(outer) = self.recordings.last_mut() else { return };
        let id = outer.id;
        for (name, before) in &it.asked {
            // What the outer one has met, and so answered or asked for, needs no asking again.
            if std::mem::replace(&mut self.marks[name.0 as usize], id) != id {
                outer.touches.push(Touch { name: *name, asked: Some(before.clone()) });
            }
        }
        outer.touches.extend(it.defined.iter().map(|(name, _)| Touch { name: *name, asked: None }));
        outer.once.extend(it.once_asked.iter().map(|(path, it)| (path.clone(), OnceTouch::Asked(*it))));
        outer.once.extend(it.once.iter().map(|it| (it.clone(), OnceTouch::Set)));
        outer.searches.extend(&it.searches);
        outer.guards.extend(it.guards.iter().cloned());
        outer.missing.extend(it.missing.iter().cloned());
        outer.files.extend(it.paths.iter().filter_map(|it| self.file_of.get(it)));
        outer.deepest = outer.deepest.max(self.open.len() + it.depth);
        outer.uses_pack |= it.pack.is_some();
    }

    /// An earlier inclusion of a header whose outcome would be the same now, within budgets.
    fn as_before(&mut self, path: &str, content: Option<&Arc<[u8]>>) -> Option<Arc<Inclusion>> {
        if self.gathering > 0 {
            return None;
        }
        let ways = self.known.inclusions(path).len();
        (0..ways).find_map(|way| {
            let it = self.known.inclusions(path)[way].clone();
            let is_same = headers::is_same_content(it.content.as_ref(), content);
            (is_same && self.is_as_before(&it)).then_some(it)
        })
    }

    fn is_as_before(&mut self, it: &Inclusion) -> bool {
        it.asked.iter().all(|(name, before)| headers::is_same(self.macro_of(*name), before.as_ref()))
            && it.once_asked.iter().all(|(path, is_once)| self.once.contains(path) == *is_once)
            && it.pack.as_ref().is_none_or(|it| it.0 == self.pack)
            && self.open.len() + it.depth <= MAX_DEPTH
            && self.included + it.included <= MAX_FILES
            && self.out.len() + it.tokens <= MAX_TOKENS
            && self.produced + it.produced <= 4 * MAX_TOKENS
            && self.paths.len() + it.paths.len() < usize::from(u16::MAX)
            && it.searches.iter().all(|it| self.confirm(*it))
    }

    /// Does what a header did before.
    fn take_over(&mut self, it: &Arc<Inclusion>) {
        // What is done here is told to the recording around it as a whole.
        let recordings = std::mem::take(&mut self.recordings);
        self.included += it.included;
        self.produced += it.produced;
        for path in &it.paths {
            self.file(path);
        }
        for (name, after) in &it.defined {
            self.set_macro(*name, after.clone());
        }
        self.once.extend(it.once.iter().cloned());
        self.guards.extend(it.guards.iter().cloned());
        for name in &it.missing {
            self.miss(name.clone());
        }
        if let Some((_, after)) = &it.pack {
            self.pack.clone_from(after);
        }
        let from = self.out.len();
        self.put(it);
        self.recordings = recordings;
        self.marks.resize(self.marks.len().max(self.symbols.len()), 0);
        self.add_to_outer(it);
        let tokens = from..self.out.len();
        if let Some(outer) = self.recordings.last_mut().filter(|_| !tokens.is_empty()) {
            outer.within.push((tokens, it.clone()));
        }
    }

    fn put(&mut self, it: &Inclusion) {
        let files: Vec<u16> = it.paths.iter().map(|it| self.file_of.get(it).copied().unwrap_or(0)).collect();
        for piece in &it.pieces {
            match piece {
                Piece::Header(it) => self.put(it),
                Piece::Tokens(tokens) => {
                    let placed = tokens.iter().map(|it| Token { file: files[usize::from(it.file)], ..*it });
                    self.out.extend(placed);
                }
            }
        }
    }

    // Conditions.

    /// The value of the rest of an `#if` or `#elif`.
    fn condition(&mut self) -> bool {
        let tokens = self.rest();
        let tokens = self.resolve_probes(&tokens);
        let tokens = self.expand_list(tokens);
        // Macros may expand to `defined`, as in gcc.
        let tokens = self.resolve_probes(&tokens);
        Condition::evaluate(&tokens, self.symbols)
    }

    /// Replaces `defined X` and `__has_...(...)` by numbers.
    fn resolve_probes(&mut self, tokens: &[Token]) -> Vec<Token> {
        let mut out = Vec::with_capacity(tokens.len());
        let mut at = 0;
        while let Some(&token) = tokens.get(at) {
            at += 1;
            let value = if token.text == sym::DEFINED {
                let has_paren = tokens.get(at).is_some_and(|it| it.is(sym::LPAREN));
                at += usize::from(has_paren);
                let name = tokens.get(at).map_or(sym::EMPTY, |it| it.text);
                at += 1 + usize::from(has_paren);
                self.is_defined(name)
            } else if is_probe(token.text) && tokens.get(at).is_some_and(|it| it.is(sym::LPAREN)) {
                let end = close_of(tokens, at);
                let inner = &tokens[at + 1..end.min(tokens.len())];
                at = end + 1;
                self.probe(token.text, inner)
            } else {
                out.push(token);
                continue;
            };
            let text = if value { sym::ONE } else { sym::ZERO };
            out.push(Token { kind: Kind::Number, text, ..token });
        }
        out
    }

    fn probe(&mut self, name: Sym, inner: &[Token]) -> bool {
        match name {
            sym::HAS_INCLUDE | sym::HAS_INCLUDE_NEXT => {
                let header = self.header_of(inner);
                header.is_some_and(|(name, is_quoted)| self.find(&name, is_quoted, false).is_some())
            }
            sym::HAS_BUILTIN | sym::HAS_ATTRIBUTE => true,
            _ => false,
        }
    }

    // Expansion.

    /// Expands the macro that `token` names: its body is read next. `false`: it is no macro use.
    fn expand(&mut self, token: &mut Token) -> bool {
        let index = token.text.0 as usize;
        self.ask(token.text);
        let Some(Some(definition)) = self.macros.get(index) else {
            return self.expand_dynamic(token);
        };
        if token.flags & PAINTED != 0 {
            return false;
        }
        if self.is_open[index] {
            token.flags |= PAINTED;
            return false;
        }
        let definition = definition.clone();
        let mut site = *token;
        let body = if let Some(params) = &definition.params {
            let paren = self.read_on();
            if !paren.is(sym::LPAREN) {
                if paren.kind != Kind::End {
                    self.pushed_back = Some(paren);
                }
                return false;
            }
            self.gathering += 1;
            let arguments = self.arguments(params.len(), definition.is_variadic);
            self.gathering -= 1;
            let Some((args, end)) = arguments else {
                return true;
            };
            if end.file == site.file && end.end > site.end {
                site.end = end.end;
            }
            self.substitute(&definition, &args, site)
        } else if definition.body.iter().any(|it| it.token.is(sym::HASH_HASH)) {
            self.substitute(&definition, &[], site)
        } else {
            definition.body.iter().map(|it| placed(it.token, site)).collect()
        };
        self.produced += body.len() + 1;
        if self.produced > 4 * MAX_TOKENS {
            self.exhaust();
            return true;
        }
        self.is_open[index] = true;
        let mut body = body;
        if let Some(first) = body.first_mut() {
            first.flags = (first.flags & !SPACE) | (token.flags & (SPACE | LINE_START));
        }
        self.frames.push(Frame { tokens: body, at: 0, name: Some(token.text), is_barrier: false });
        true
    }

    /// The token after a macro's name, which may stand after the end of its file.
    fn read_on(&mut self) -> Token {
        self.gathering += 1;
        let token = self.read();
        self.gathering -= 1;
        token
    }

    fn expand_dynamic(&mut self, token: &mut Token) -> bool {
        let text = match token.text {
            sym::FILE_ | sym::BASE_FILE_ => {
                let path = self.paths[usize::from(token.file)].replace('\\', "\\\\").replace('"', "\\\"");
                token.kind = Kind::String;
                format!("\"{path}\"")
            }
            sym::LINE_ => {
                token.kind = Kind::Number;
                token.flags |= LINE_NUMBER;
                self.line().to_string()
            }
            sym::COUNTER_ => {
                token.kind = Kind::Number;
                self.counter += 1;
                self.forget_recordings();
                (self.counter - 1).to_string()
            }
            sym::INCLUDE_LEVEL_ => {
                token.kind = Kind::Number;
                self.forget_recordings();
                (self.open.len().saturating_sub(1)).to_string()
            }
            sym::DATE_ | sym::TIME_ => {
                token.kind = Kind::String;
                String::from(if token.text == sym::DATE_ { "\"Jan  1 1970\"" } else { "\"00:00:00\"" })
            }
            sym::PRAGMA_OP => {
                let paren = self.read_on();
                if paren.is(sym::LPAREN) {
                    self.gathering += 1;
                    self.arguments(1, false);
                    self.gathering -= 1;
                    return true;
                }
                self.pushed_back = Some(paren);
                return false;
            }
            _ => return false,
        };
        token.text = self.symbols.intern(text.as_bytes());
        false
    }

    /// What is being read depends on more than is recorded.
    fn forget_recordings(&mut self) {
        if let Some(it) = self.recordings.last_mut() {
            it.is_void = true;
        }
    }

    fn line(&mut self) -> u32 {
        let Some(file) = self.open.last_mut() else { return 1 };
        let at = file.lexer.at;
        let (line, from) = file.line;
        let more = file.lexer.bytes[from..at].iter().filter(|it| **it == b'\n').count();
        file.line = (line + more as u32, at);
        file.line.0
    }

    /// Arguments of a use, up to the closing parenthesis, which is returned too.
    fn arguments(&mut self, params: usize, is_variadic: bool) -> Option<(Vec<Vec<Token>>, Token)> {
        let mut args = vec![Vec::new()];
        let mut depth = 0usize;
        let mut count = 0usize;
        loop {
            let mut token = self.read();
            count += 1;
            if token.kind == Kind::End || count > MAX_TOKENS {
                self.note("a macro's arguments do not end");
                return None;
            }
            match token.text {
                _ if token.kind != Kind::Punct => {}
                sym::LPAREN => depth += 1,
                sym::RPAREN if depth == 0 => return Some((args, token)),
                sym::RPAREN => depth -= 1,
                sym::COMMA if depth == 0 && !(is_variadic && args.len() == params) => {
                    args.push(Vec::new());
                    continue;
                }
                _ => {}
            }
            if token.kind == Kind::Ident && self.is_open.get(token.text.0 as usize) == Some(&true) {
                token.flags |= PAINTED;
            }
            args.last_mut().expect("there is always one argument").push(token);
        }
    }

    /// A macro's body with its arguments put in.
    fn substitute(&mut self, definition: &Macro, args: &[Vec<Token>], site: Token) -> Vec<Token> {
        let body = &definition.body;
        let mut expanded: Vec<Option<Vec<Token>>> = vec![None; args.len()];
        let mut out: Vec<Token> = Vec::with_capacity(body.len() + 8);
        let count = definition.params.as_ref().map_or(0, Vec::len);
        let variadic = definition.is_variadic.then(|| count - 1);
        let mut at = 0;
        // The left operand of a coming `##` is there; false: it was an empty argument.
        let mut has_left = false;
        // Ends of `__VA_OPT__(...)` that are being copied.
        let mut optional_ends: Vec<usize> = Vec::new();
        while at < body.len() {
            if optional_ends.last() == Some(&at) {
                optional_ends.pop();
                at += 1;
                continue;
            }
            let BodyToken { token, param } = body[at];
            let is_paste = |at: usize| body.get(at).is_some_and(|it| it.token.is(sym::HASH_HASH));
            if token.is(sym::HASH)
                && definition.params.is_some()
                && body.get(at + 1).is_some_and(|it| it.param.is_some())
            {
                let index = usize::from(body[at + 1].param.unwrap_or(0));
                let text = self.stringify(args.get(index).map_or(&[], Vec::as_slice));
                out.push(Token { kind: Kind::String, text, flags: token.flags | EXPANDED, ..site });
                has_left = true;
                at += 2;
                continue;
            }
            if token.is(sym::HASH_HASH) && at > 0 && at + 1 < body.len() {
                at = self.paste_next(definition, args, site, at, has_left, variadic, &mut out);
                has_left = true;
                continue;
            }
            if token.text == sym::VA_OPT
                && variadic.is_some()
                && body.get(at + 1).is_some_and(|it| it.token.is(sym::LPAREN))
            {
                let end = close_of_body(body, at + 1);
                let has_any = variadic.and_then(|it| args.get(it)).is_some_and(|it| !it.is_empty());
                if has_any {
                    optional_ends.push(end);
                    at += 2;
                } else {
                    at = end + 1;
                }
                continue;
            }
            let Some(param) = param.map(usize::from) else {
                out.push(placed(token, site));
                has_left = true;
                at += 1;
                continue;
            };
            let raw = args.get(param).map_or(&[] as &[Token], Vec::as_slice);
            let before = out.len();
            if is_paste(at + 1) {
                out.extend_from_slice(raw);
            } else {
                if expanded.get(param).is_some_and(Option::is_none) {
                    expanded[param] = Some(self.expand_list(raw.to_vec()));
                }
                if let Some(Some(tokens)) = expanded.get(param) {
                    out.extend_from_slice(tokens);
                }
            }
            has_left = out.len() > before;
            if let Some(first) = out.get_mut(before) {
                first.flags = (first.flags & !(SPACE | LINE_START)) | (token.flags & SPACE);
            }
            at += 1;
        }
        out
    }

    /// `##` at `at`: joins what stands before it with what comes. Returns where the body goes on.
    #[allow(clippy::too_many_arguments)]
    fn paste_next(
        &mut self,
        definition: &Macro,
        args: &[Vec<Token>],
        site: Token,
        at: usize,
        has_left: bool,
        variadic: Option<usize>,
        out: &mut Vec<Token>,
    ) -> usize {
        let next = definition.body[at + 1];
        let Some(param) = next.param.map(usize::from) else {
            if has_left && let Some(left) = out.pop() {
                let right = placed(next.token, site);
                self.paste(left, right, out);
            } else {
                out.push(placed(next.token, site));
            }
            return at + 2;
        };
        let raw = args.get(param).map_or(&[] as &[Token], Vec::as_slice);
        let is_comma = at > 0 && definition.body[at - 1].token.is(sym::COMMA);
        if is_comma && Some(param) == variadic {
            // GNU: `, ## __VA_ARGS__` drops the comma when nothing follows.
            if raw.is_empty() {
                out.pop();
            } else {
                let tokens = self.expand_list(raw.to_vec());
                out.extend_from_slice(&tokens);
            }
            return at + 2;
        }
        match raw.split_first() {
            None => {}
            Some((first, rest)) => {
                match out.pop() {
                    Some(left) if has_left => self.paste(left, *first, out),
                    Some(other) => {
                        out.push(other);
                        out.push(*first);
                    }
                    None => out.push(*first),
                }
                out.extend_from_slice(rest);
            }
        }
        at + 2
    }

    /// One token of two, or both where they make none.
    fn paste(&mut self, left: Token, right: Token, out: &mut Vec<Token>) {
        let mut text = self.symbols.bytes(left.text).to_vec();
        text.extend_from_slice(self.symbols.bytes(right.text));
        let length = text.len();
        let mut lexer = Lexer::new(text.into(), left.file, self.is_cpp);
        let made = lexer.next(self.symbols, false);
        if lexer.at < length || made.kind == Kind::End {
            out.push(left);
            out.push(right);
            return;
        }
        out.push(Token { kind: made.kind, text: made.text, flags: left.flags & !PAINTED, ..left });
    }

    fn stringify(&mut self, tokens: &[Token]) -> Sym {
        let mut text = vec![b'"'];
        for (index, token) in tokens.iter().enumerate() {
            if index > 0 && token.flags & (SPACE | LINE_START) != 0 {
                text.push(b' ');
            }
            for &byte in self.symbols.bytes(token.text) {
                let is_literal = matches!(token.kind, Kind::String | Kind::Char);
                if byte == b'"' || (byte == b'\\' && is_literal) {
                    text.push(b'\\');
                }
                text.push(byte);
            }
        }
        text.push(b'"');
        self.symbols.intern(&text)
    }

    /// Tokens expanded on their own.
    fn expand_list(&mut self, tokens: Vec<Token>) -> Vec<Token> {
        let mut is_plain = |it: &Token| {
            it.kind != Kind::Ident || {
                self.ask(it.text);
                self.macro_of(it.text).is_none() && !is_dynamic(it.text)
            }
        };
        if tokens.iter().all(&mut is_plain) {
            return tokens;
        }
        if self.arg_depth >= MAX_DEPTH {
            self.note("macro arguments nest too deep: some were not expanded");
            return tokens;
        }
        self.arg_depth += 1;
        let pushed_back = self.pushed_back.take();
        self.frames.push(Frame { tokens, at: 0, name: None, is_barrier: true });
        let depth = self.frames.len();
        let mut out = Vec::new();
        while !self.is_exhausted {
            let mut token = self.read();
            if token.kind == Kind::End {
                break;
            }
            if token.kind == Kind::Ident && self.expand(&mut token) {
                continue;
            }
            out.push(token);
        }
        while self.frames.len() >= depth {
            let frame = self.frames.pop();
            if let Some(name) = frame.and_then(|it| it.name) {
                self.is_open[name.0 as usize] = false;
            }
        }
        self.pushed_back = pushed_back;
        self.arg_depth -= 1;
        out
    }
}

const END: Token = Token { kind: Kind::End, flags: 0, file: 0, text: sym::EMPTY, start: 0, end: 0 };

fn placed(token: Token, site: Token) -> Token {
    let flags = (token.flags & (SPACE | LINE_NUMBER)) | EXPANDED;
    Token { flags, file: site.file, start: site.start, end: site.end, ..token }
}

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

fn close_of_body(body: &[BodyToken], open: usize) -> usize {
    let mut depth = 0usize;
    for (index, it) in body.iter().enumerate().skip(open) {
        if it.token.is(sym::LPAREN) {
            depth += 1;
        } else if it.token.is(sym::RPAREN) {
            depth -= 1;
            if depth == 0 {
                return index;
            }
        }
    }
    body.len()
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

/// A path without `.` and, as far as they can be taken back, `..`.
pub(crate) fn join(folder: &str, name: &str) -> String {
    let whole = if name.starts_with('/') || folder.is_empty() {
        name.to_string()
    } else {
        format!("{folder}/{name}")
    };
    if !whole.split('/').any(|it| it == "." || it == "..") {
        return whole;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|it| !it.is_empty() && *it != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// An integer constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: u64,
    pub(crate) is_unsigned: bool,
    /// `l`s of its suffix.
    pub(crate) longs: u8,
    pub(crate) is_decimal: bool,
}

/// Reads an integer; `None`: a floating-point number or no number.
pub(crate) fn number(text: &[u8]) -> Option<Number> {
    let (base, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, text),
    };
    let mut value = 0u64;
    let mut at = 0;
    while let Some(&byte) = digits.get(at) {
        if byte == b'\'' {
            at += 1;
            continue;
        }
        let Some(digit) = char::from(byte).to_digit(base) else { break };
        value = value.wrapping_mul(u64::from(base)).wrapping_add(u64::from(digit));
        at += 1;
    }
    let mut number = Number { value, is_unsigned: false, longs: 0, is_decimal: base == 10 };
    for &byte in &digits[at..] {
        match byte {
            b'u' | b'U' => number.is_unsigned = true,
            b'l' | b'L' => number.longs = number.longs.saturating_add(1),
            b'z' | b'Z' => number.longs = 1,
            b'i' | b'I' | b'0'..=b'9' => {}
            _ => return None,
        }
    }
    Some(number)
}

/// The value of a character constant: `'a'`, `L'\n'`, `'\x41'`.
pub(crate) fn character(text: &[u8]) -> i64 {
    let Some(open) = text.iter().position(|it| *it == b'\'') else { return 0 };
    let end = if text.len() > open + 1 && text.ends_with(b"'") { text.len() - 1 } else { text.len() };
    let body = &text[open + 1..end.max(open + 1)];
    let mut at = 0;
    let mut value = 0i64;
    let mut count = 0;
    while at < body.len() {
        let (unit, next) = escape(body, at);
        value = if open > 0 { i64::from(unit) } else { (value << 8) | i64::from(unit & 0xff) };
        count += 1;
        at = next;
    }
    if open == 0 && count == 1 { i64::from(value as i8) } else { value }
}

/// One character or escape of a literal at `at`, and where the next begins.
pub(crate) fn escape(body: &[u8], at: usize) -> (u32, usize) {
    let first = body[at];
    let Some(&second) = body.get(at + 1).filter(|_| first == b'\\') else {
        return (u32::from(first), at + 1);
    };
    let simple = |it: u8| (u32::from(it), at + 2);
    match second {
        b'n' => simple(b'\n'),
        b't' => simple(b'\t'),
        b'r' => simple(b'\r'),
        b'a' => simple(7),
        b'b' => simple(8),
        b'f' => simple(12),
        b'v' => simple(11),
        b'e' => simple(27),
        b'0'..=b'7' => digits(body, at + 1, 8, 3),
        b'x' => digits(body, at + 2, 16, usize::MAX),
        b'u' => digits(body, at + 2, 16, 4),
        b'U' => digits(body, at + 2, 16, 8),
        other => simple(other),
    }
}

fn digits(body: &[u8], from: usize, base: u32, most: usize) -> (u32, usize) {
    let mut value = 0u32;
    let mut at = from;
    while let Some(digit) = body.get(at).and_then(|it| char::from(*it).to_digit(base)) {
        if at - from >= most {
            break;
        }
        value = value.wrapping_mul(base).wrapping_add(digit);
        at += 1;
    }
    (value, at)
}

/// A value of an `#if` expression.
#[derive(Clone, Copy)]
struct Value {
    bits: u64,
    is_unsigned: bool,
}

impl Value {
    fn of(it: bool) -> Value {
        Value { bits: u64::from(it), is_unsigned: false }
    }
}

struct Evaluator<'a> {
    tokens: &'a [Token],
    at: usize,
    symbols: &'a Symbols,
    depth: usize,
}

impl Condition {
    /// The truth of an expression; what is not understood is 0.
    fn evaluate(tokens: &[Token], symbols: &Symbols) -> bool {
        let mut it = Evaluator { tokens, at: 0, symbols, depth: 0 };
        it.conditional().bits != 0
    }
}

impl Evaluator<'_> {
    fn eat(&mut self, text: Sym) -> bool {
        let is_it = self.tokens.get(self.at).is_some_and(|it| it.is(text));
        self.at += usize::from(is_it);
        is_it
    }

    fn conditional(&mut self) -> Value {
        if self.depth >= MAX_DEPTH {
            return Value::of(false);
        }
        self.depth += 1;
        let condition = self.binary(0);
        let value = if self.eat(sym::QUESTION) {
            let then = self.conditional();
            self.eat(sym::COLON);
            let other = self.conditional();
            if condition.bits != 0 { then } else { other }
        } else {
            condition
        };
        self.depth -= 1;
        value
    }

    fn binary(&mut self, least: u8) -> Value {
        let mut left = self.unary();
        while let Some(token) = self.tokens.get(self.at) {
            let Some(rank) = rank(token.text).filter(|it| *it >= least && token.kind == Kind::Punct) else {
                break;
            };
            self.at += 1;
            let right = self.binary(rank + 1);
            left = apply(token.text, left, right);
        }
        left
    }

    fn unary(&mut self) -> Value {
        let mut prefixes = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            match token.text {
                sym::BANG | sym::TILDE | sym::MINUS | sym::PLUS if token.kind == Kind::Punct => {
                    prefixes.push(token.text)
                }
                _ => break,
            }
            self.at += 1;
        }
        let mut value = self.primary();
        for prefix in prefixes.iter().rev() {
            value = match *prefix {
                sym::BANG => Value::of(value.bits == 0),
                sym::TILDE => Value { bits: !value.bits, ..value },
                sym::MINUS => Value { bits: value.bits.wrapping_neg(), ..value },
                _ => value,
            };
        }
        value
    }

    fn primary(&mut self) -> Value {
        let Some(&token) = self.tokens.get(self.at) else { return Value::of(false) };
        self.at += 1;
        match token.kind {
            Kind::Number => {
                let number = number(self.symbols.bytes(token.text));
                number.map_or(Value::of(false), |it| Value {
                    bits: it.value,
                    is_unsigned: it.is_unsigned || it.value > i64::MAX as u64,
                })
            }
            Kind::Char => {
                let bits = character(self.symbols.bytes(token.text)) as u64;
                Value { bits, is_unsigned: false }
            }
            Kind::Ident => {
                // The call of an unknown function-like macro is 0 with its arguments.
                if self.tokens.get(self.at).is_some_and(|it| it.is(sym::LPAREN)) {
                    self.at = close_of(self.tokens, self.at) + 1;
                }
                Value::of(token.text == sym::TRUE)
            }
            _ if token.is(sym::LPAREN) => {
                let value = self.conditional();
                while self.eat(sym::COMMA) {
                    self.conditional();
                }
                self.eat(sym::RPAREN);
                value
            }
            _ => Value::of(false),
        }
    }
}

/// Binding strength of an operator of `#if`.
fn rank(op: Sym) -> Option<u8> {
    Some(match op {
        sym::OR_OR => 0,
        sym::AND_AND => 1,
        sym::PIPE => 2,
        sym::CARET => 3,
        sym::AMP => 4,
        sym::EQ | sym::NE => 5,
        sym::LT | sym::GT | sym::LE | sym::GE => 6,
        sym::SHL | sym::SHR => 7,
        sym::PLUS | sym::MINUS => 8,
        sym::STAR | sym::SLASH | sym::PERCENT => 9,
        _ => return None,
    })
}

fn apply(op: Sym, left: Value, right: Value) -> Value {
    let is_unsigned = left.is_unsigned || right.is_unsigned;
    let (a, b) = (left.bits, right.bits);
    let (x, y) = (a as i64, b as i64);
    let less = if is_unsigned { a < b } else { x < y };
    let bits = match op {
        sym::OR_OR => u64::from(a != 0 || b != 0),
        sym::AND_AND => u64::from(a != 0 && b != 0),
        sym::PIPE => a | b,
        sym::CARET => a ^ b,
        sym::AMP => a & b,
        sym::EQ => u64::from(a == b),
        sym::NE => u64::from(a != b),
        sym::LT => u64::from(less),
        sym::GE => u64::from(!less),
        sym::GT => u64::from(a != b && !less),
        sym::LE => u64::from(a == b || less),
        sym::SHL => a.wrapping_shl(b as u32),
        sym::SHR if left.is_unsigned => a.wrapping_shr(b as u32),
        sym::SHR => x.wrapping_shr(b as u32) as u64,
        sym::PLUS => a.wrapping_add(b),
        sym::MINUS => a.wrapping_sub(b),
        sym::STAR => a.wrapping_mul(b),
        sym::SLASH if is_unsigned => a.checked_div(b).unwrap_or(0),
        sym::SLASH => x.checked_div(y).unwrap_or(0) as u64,
        sym::PERCENT if is_unsigned => a.checked_rem(b).unwrap_or(0),
        sym::PERCENT => x.checked_rem(y).unwrap_or(0) as u64,
        _ => 0,
    };
    let is_comparison =
        matches!(op, sym::OR_OR | sym::AND_AND | sym::EQ | sym::NE | sym::LT | sym::GT | sym::LE | sym::GE);
    Value { bits, is_unsigned: is_unsigned && !is_comparison }
}
