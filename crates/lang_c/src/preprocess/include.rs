//! Which header an `#include` means, and what is taken over of headers that units before have read.

use super::{BUILT_IN, MAX_DEPTH, MAX_FILES, MAX_MISSING, MAX_TOKENS, Preprocessor};
use crate::headers::{self, Inclusion, OnceTouch, Piece, Recording, Search, SearchId, Touch};
use crate::lex::{Kind, Token};
use crate::stubs;
use crate::symbols::{Sym, sym};
use rustc_hash::FxHashSet;
use std::sync::Arc;

impl Preprocessor<'_> {
    pub(super) fn include(&mut self, directive: Sym) {
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

    pub(super) fn miss(&mut self, name: String) {
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

    pub(super) fn is_read_once(&mut self, path: &Arc<str>) -> bool {
        let is_once = self.once.contains(path);
        if let Some(it) = self.recordings.last_mut() {
            it.once.push((path.clone(), OnceTouch::Asked(is_once)));
        }
        is_once
    }

    pub(super) fn read_once(&mut self, path: Arc<str>) {
        if let Some(it) = self.recordings.last_mut() {
            it.once.push((path.clone(), OnceTouch::Set));
        }
        self.once.insert(path);
    }

    /// `"x.h"` or `<x.h>`, directly or out of a macro.
    pub(super) fn header_name(&mut self) -> Option<(String, bool)> {
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
    pub(super) fn header_of(&self, tokens: &[Token]) -> Option<(String, bool)> {
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

    pub(super) fn find(&mut self, name: &str, is_quoted: bool, is_next: bool) -> Option<Arc<str>> {
        let includer = self.open.last().map(|it| it.path.clone()).unwrap_or_default();
        // A stub includes stubs; what the command line includes is looked for as a source's headers are.
        if is_next || includer.starts_with('<') && *includer != *BUILT_IN {
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
    pub(super) fn confirm(&mut self, id: SearchId) -> bool {
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

    pub(super) fn search(&self, name: &str, folder: &str, is_quoted: bool) -> Search {
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
    pub(super) fn place_of(
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
    pub(super) fn ask(&mut self, name: Sym) {
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
    pub(super) fn record(&mut self, path: Arc<str>, content: Option<Arc<[u8]>>, file: u16) {
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
    pub(super) fn end_recording(&mut self) {
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
    pub(super) fn outcome(&mut self, recording: Recording) -> Inclusion {
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
    pub(super) fn pieces(
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
    pub(super) fn add_to_outer(&mut self, it: &Inclusion) {
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
    pub(super) fn as_before(&mut self, path: &str, content: Option<&Arc<[u8]>>) -> Option<Arc<Inclusion>> {
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

    pub(super) fn is_as_before(&mut self, it: &Inclusion) -> bool {
        it.asked.iter().all(|(name, before)| headers::is_same(self.macro_of(*name), before.as_ref()))
            && it.once_asked.iter().all(|(path, is_once)| self.once.contains(path) == *is_once)
            && it.pack.as_ref().is_none_or(|it| it.0 == self.pack)
            && self.open.len() + it.depth <= MAX_DEPTH
            && self.included + it.included <= MAX_FILES
            && self.length() + it.tokens <= MAX_TOKENS
            && self.produced + it.produced <= 4 * MAX_TOKENS
            && self.paths.len() + it.paths.len() < usize::from(u16::MAX)
            && it.searches.iter().all(|it| self.confirm(*it))
    }

    /// Does what a header did before.
    pub(super) fn take_over(&mut self, it: &Arc<Inclusion>) {
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

    pub(super) fn put(&mut self, it: &Inclusion) {
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
