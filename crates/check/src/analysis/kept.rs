//! Results of functions that outlive their program, so that one edit costs what it touches.
//!
//! ```text
//! key = own code, whether it is called, summaries of callees as they are seen; records, budget
//! key --known--> findings at once, summary when a caller that changed asks for it
//!     --new----> analysis --> entry
//! ```
//!
//! A key holds all that the analysis reads. Of callees that is their summaries, with what these lead to in turn: the
//! content of globals, and functions that pointers are known to be. So an edit is followed upward as far as
//! summaries change, not to all callers. In a recursive component each member has an entry per round.
//!
//! Where a function was handed functions, the analysis has run its callees again: then all that they reach is in the
//! key, by the *deep* key of its component. Nothing here decides: with or without kept results findings are the same.
//! Models and options are the caller's: results are kept apart for each.
//!
//! Absent on purpose: functions of which two share a name and a path. They and what calls them are analyzed each
//! time.

use super::codec::{Coded, Index, Reader, Writer, global_name};
use super::identity::{self, Globals};
use super::issue::Finding;
use super::schedule::View;
use super::summary::Summary;
use super::value::Meaning;
use super::{Context, FunctionResult};
use rustc_hash::{FxHashMap, FxHashSet};
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A key.
pub type Hash = [u8; 16];

/// Hash of several texts, one after the other.
pub fn hash(parts: &[&[u8]]) -> Hash {
    let mut all = Sha256::new();
    for it in parts {
        all.update((it.len() as u64).to_le_bytes());
        all.update(it);
    }
    *all.finalize().first_chunk().expect("32 bytes have a first half")
}

/// Bytes before an entry: key, length, checksum.
const HEAD: usize = 24;

/// Key, length and checksum of what begins here.
fn head(bytes: &[u8]) -> Option<(Hash, usize, u32)> {
    let (key, rest) = bytes.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let sum = rest.first_chunk::<4>()?;
    Some((*key, u32::from_le_bytes(*length) as usize, u32::from_le_bytes(*sum)))
}

/// Entries by key.
#[derive(Clone, Default)]
pub struct Kept {
    bytes: Arc<Vec<u8>>,
    old: FxHashMap<Hash, Range<usize>>,
    new: FxHashMap<Hash, Arc<[u8]>>,
    is_damaged: bool,
}

impl Kept {
    /// Entries that were written by [`Kept::to_bytes`] and [`Kept::new_bytes`], those that are damaged left out.
    pub fn from_bytes(bytes: Vec<u8>) -> Kept {
        let mut it = Kept::default();
        let mut at = 0;
        while let Some((key, length, sum)) = bytes.get(at..).and_then(head) {
            let start = at + HEAD;
            let Some(entry) = bytes[start..].get(..length) else { break };
            at = start + length;
            if crc32fast::hash(entry) == sum {
                it.old.insert(key, start..at);
            } else {
                it.is_damaged = true;
            }
        }
        it.is_damaged |= at < bytes.len();
        it.bytes = Arc::new(bytes);
        it
    }

    /// Some of what was read was no entry: nothing can be written behind it.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Sorted by key, so that the same entries are the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut keys: Vec<&Hash> = self.old.keys().chain(self.new.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        self.written(&keys)
    }

    /// The entries that were added since they were read: to be written behind those that were read.
    pub fn new_bytes(&self) -> Vec<u8> {
        let mut keys: Vec<&Hash> = self.new.keys().collect();
        keys.sort_unstable();
        self.written(&keys)
    }

    fn written(&self, keys: &[&Hash]) -> Vec<u8> {
        let mut out = Vec::new();
        for key in keys {
            let Some(entry) = self.get(key) else { continue };
            let Ok(length) = u32::try_from(entry.len()) else { continue };
            out.extend_from_slice(*key);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&crc32fast::hash(entry).to_le_bytes());
            out.extend_from_slice(entry);
        }
        out
    }

    /// Bytes that were read and are of no use to this program.
    pub fn unused_bytes(&self) -> usize {
        self.bytes.len() - self.old.values().map(|it| it.len() + HEAD).sum::<usize>()
    }

    /// Bytes of all entries.
    pub fn used_bytes(&self) -> usize {
        self.bytes.len() - self.unused_bytes() + self.new.values().map(|it| it.len() + HEAD).sum::<usize>()
    }

    /// The entry of a key.
    pub fn get(&self, key: &Hash) -> Option<&[u8]> {
        match self.old.get(key) {
            Some(it) => Some(&self.bytes[it.clone()]),
            None => self.new.get(key).map(|it| &**it),
        }
    }

    /// Whether something was added.
    pub fn is_changed(&self) -> bool {
        !self.new.is_empty()
    }

    /// How many entries were added since they were read.
    pub fn added(&self) -> usize {
        self.new.len()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.old.len() + self.new.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was used of one program's functions.
pub enum Used {
    Old(Hash),
    New(Hash, Arc<[u8]>),
}

/// What tells a summary from others, for the keys of its callers.
#[derive(Debug)]
pub struct Sum {
    hash: Hash,
    /// Functions, by symbol, and globals that the summary mentions: callers may follow them.
    functions: Vec<u32>,
    globals: Vec<u32>,
}

/// A function's results that an earlier run kept.
pub struct Found<'a> {
    pub findings: Vec<Finding>,
    pub is_incomplete: bool,
    pub has_missed: bool,
    pub sum: Arc<Sum>,
    pub key: Hash,
    pub entry: &'a [u8],
}

/// The keys that a function's results are looked for by.
#[derive(Clone, Copy)]
pub struct Keys {
    shallow: Option<Hash>,
    deep: Option<Hash>,
}

/// Finds the results of one program's functions, and makes entries of new ones.
pub struct Keeper<'a> {
    cx: &'a Context<'a>,
    kept: &'a Kept,
    index: &'a Index<'a>,
    globals: Globals<'a>,
    /// Of all records.
    classes: Hash,
    /// Per function: of its own code; `None`: it cannot be told from others.
    own: Vec<OnceLock<Option<Hash>>>,
    /// Per function, once its component is met: of its own code and all that it reaches.
    deep: Vec<OnceLock<Option<Hash>>>,
    /// Per function, once it is done: of its summary.
    sums: Vec<OnceLock<Option<Arc<Sum>>>>,
    /// Per function: its entry, where it came from there.
    entries: Vec<OnceLock<&'a [u8]>>,
    is_broken: AtomicBool,
}

impl<'a> Keeper<'a> {
    pub fn new(cx: &'a Context<'a>, kept: &'a Kept, index: &'a Index<'a>) -> Keeper<'a> {
        let count = cx.program.functions.len();
        Keeper {
            cx,
            kept,
            index,
            globals: Globals::new(cx, index),
            classes: identity::classes(cx),
            own: (0..count).map(|_| OnceLock::new()).collect(),
            deep: (0..count).map(|_| OnceLock::new()).collect(),
            sums: (0..count).map(|_| OnceLock::new()).collect(),
            entries: (0..count).map(|_| OnceLock::new()).collect(),
            is_broken: AtomicBool::new(false),
        }
    }

    /// An entry did not fit the program: what came from here cannot be trusted.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Of a function's own code, the records and the budget.
    fn own(&self, function: u32) -> Option<Hash> {
        *self.own[function as usize].get_or_init(|| {
            let mut out = Writer::new(self.cx, self.index);
            out.number(self.cx.options.steps as u64);
            out.bytes.extend_from_slice(&self.classes);
            identity::write(&mut out, &self.globals, function);
            out.number(u64::from(self.cx.program.callers[function as usize] > 0));
            out.is_sound.then(|| hash(&[&out.bytes]))
        })
    }

    /// Takes note of a component before any of its members is asked for.
    pub fn meet(&self, component: &[u32]) {
        let mut parts: Vec<u8> = Vec::new();
        let mut is_sound = true;
        for &function in component {
            let own = self.own(function);
            is_sound &= own.is_some();
            parts.extend(own.unwrap_or_default());
            let mut callees: Vec<(&str, Hash)> = Vec::new();
            for &callee in &self.cx.program.calls[function as usize] {
                let (module, ir) = self.cx.program.ir(callee);
                // Members of the component tell of themselves.
                let known = match self.deep[callee as usize].get() {
                    None => Some(Hash::default()),
                    Some(it) => *it,
                };
                is_sound &= known.is_some();
                callees.push((module.name(ir.name), known.unwrap_or_default()));
            }
            callees.sort_unstable();
            for (name, key) in callees {
                parts.extend((name.len() as u64).to_le_bytes());
                parts.extend(name.as_bytes());
                parts.extend(key);
            }
        }
        let all = hash(&[&parts]);
        for (at, &function) in component.iter().enumerate() {
            let deep = is_sound.then(|| hash(&[&all, &at.to_le_bytes()]));
            let is_first = self.deep[function as usize].set(deep).is_ok();
            debug_assert!(is_first, "a component is met once");
        }
    }

    /// Keys of a member of a component, by the summaries that it sees. `round`: of the component's analysis.
    pub fn keys(&self, view: &View<'_>, component: &[u32], function: u32, round: u8) -> Keys {
        let deep = self.deep[function as usize].get().copied().flatten();
        Keys {
            shallow: self.shallow(view, component, function),
            deep: deep.map(|it| hash(&[b"deep", &it, &[round]])),
        }
    }

    /// `None`: something that the function sees cannot be told from others.
    fn shallow(&self, view: &View<'_>, component: &[u32], function: u32) -> Option<Hash> {
        let program = self.cx.program;
        let viewer = program.functions[function as usize].module;
        let mut parts: Vec<(&str, Hash)> = vec![("", self.own(function)?)];
        let mut work: Vec<u32> = program.calls[function as usize].clone();
        let mut seen: FxHashSet<u32> = work.iter().copied().collect();
        let mut mentioned = FxHashSet::default();
        while let Some(callee) = work.pop() {
            let (module, ir) = program.ir(callee);
            let may_unlock = self.cx.may_unlock[callee as usize];
            let own = view.own.get(&callee);
            let sum = match own {
                Some(it) => Some(it.sum.as_ref()?),
                // Passed over in the first round.
                None if component.contains(&callee) => None,
                None => Some(self.sums[callee as usize].get()?.as_ref()?),
            };
            let flags = [u8::from(may_unlock), u8::from(own.is_some()), u8::from(sum.is_some())];
            let of_sum = sum.map_or(Hash::default(), |it| it.hash);
            parts.push((module.name(ir.name), hash(&[&flags, &of_sum])));
            let Some(sum) = sum else { continue };
            let functions = sum.functions.iter().filter_map(|it| program.function_of_symbol(viewer, *it));
            let mut found: Vec<u32> = functions.collect();
            for &global in &sum.globals {
                if mentioned.insert(global) {
                    let content = self.globals.hash(global)?;
                    let (name, _) = global_name(self.cx, &program.globals[global as usize]);
                    parts.push((name, content));
                    found.extend(program.functions_of_global(global));
                }
            }
            found.retain(|it| seen.insert(*it));
            work.extend(found);
        }
        parts[1..].sort_unstable();
        let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() * 2);
        for (name, part) in &parts {
            all.extend([name.as_bytes(), part]);
        }
        Some(hash(&all))
    }

    /// What is known of a function.
    pub fn find(&self, keys: Keys) -> Option<Found<'a>> {
        [keys.shallow, keys.deep].into_iter().flatten().find_map(|key| self.found(key, self.kept.get(&key)?))
    }

    fn found(&self, key: Hash, entry: &'a [u8]) -> Option<Found<'a>> {
        let [findings, sum, _] = sections(entry)?;
        let mut from = Reader::new(findings, self.cx, self.index);
        let (is_incomplete, has_missed) = (bool::get(&mut from)?, bool::get(&mut from)?);
        let findings = Vec::<Finding>::get(&mut from)?;
        let (hash, rest) = sum.split_first_chunk::<16>()?;
        let mut from = Reader::new(rest, self.cx, self.index);
        let symbol = |from: &mut Reader<'_, '_>| self.cx.program.find_symbol(from.text()?);
        let functions = (0..from.number()?).map(|_| symbol(&mut from)).collect::<Option<_>>()?;
        let globals = (0..from.number()?).map(|_| from.global()).collect::<Option<_>>()?;
        let sum = Arc::new(Sum { hash: *hash, functions, globals });
        Some(Found { findings, is_incomplete, has_missed, sum, key, entry })
    }

    /// Makes an entry of what an analysis found; gives it, and what tells its summary from others.
    pub fn keep(
        &self,
        keys: Keys,
        function: u32,
        result: &FunctionResult,
    ) -> (Option<Used>, Option<Arc<Sum>>) {
        let mut findings = Writer::new(self.cx, self.index);
        result.is_incomplete.put(&mut findings);
        result.has_missed.put(&mut findings);
        result.findings.put(&mut findings);
        let mut summary = Writer::new(self.cx, self.index);
        result.summary.put(&mut summary);
        if !summary.is_sound {
            return (None, None);
        }
        let mut sum = Sum {
            hash: self.hash_of_summary(function, &summary.bytes),
            functions: Vec::new(),
            globals: Vec::new(),
        };
        for it in &result.summary.meanings {
            match *it {
                Meaning::Function(symbol) => sum.functions.push(symbol),
                Meaning::Global(global) => sum.globals.push(global),
                _ => {}
            }
        }
        let mut mentions = Writer::new(self.cx, self.index);
        mentions.bytes.extend_from_slice(&sum.hash);
        mentions.number(sum.functions.len() as u64);
        sum.functions.iter().for_each(|it| mentions.text(&self.cx.program.symbols[*it as usize]));
        mentions.number(sum.globals.len() as u64);
        sum.globals.iter().for_each(|it| mentions.global(*it));
        // What ran its callees again has read more than their summaries.
        let key = if result.has_specialized { keys.deep } else { keys.shallow.or(keys.deep) };
        let is_sound = findings.is_sound && mentions.is_sound;
        let entry = key.filter(|_| is_sound).and_then(|key| {
            let entry = joined([&findings.bytes, &mentions.bytes, &summary.bytes])?;
            Some(Used::New(key, entry.into()))
        });
        (entry, mentions.is_sound.then(|| Arc::new(sum)))
    }

    /// Of a summary, and of what else a call reads of the function.
    fn hash_of_summary(&self, function: u32, summary: &[u8]) -> Hash {
        let (_, ir) = self.cx.program.ir(function);
        let parameters: Vec<u8> = ir.parameters.iter().flat_map(|it| it.0.to_le_bytes()).collect();
        hash(&[summary, &parameters])
    }

    /// Takes note of a function that is done.
    pub fn settle(&self, function: u32, sum: Option<Arc<Sum>>, entry: Option<&'a [u8]>) {
        let is_first = self.sums[function as usize].set(sum).is_ok();
        debug_assert!(is_first, "a function is done once");
        if let Some(entry) = entry {
            let is_first = self.entries[function as usize].set(entry).is_ok();
            debug_assert!(is_first, "a function is done once");
        }
    }
}

/// An entry of three sections: findings, what tells the summary from others, the summary.
fn joined(sections: [&[u8]; 3]) -> Option<Vec<u8>> {
    let mut all = Vec::with_capacity(8 + sections.iter().map(|it| it.len()).sum::<usize>());
    for it in &sections[..2] {
        all.extend(u32::try_from(it.len()).ok()?.to_le_bytes());
    }
    sections.iter().for_each(|it| all.extend_from_slice(it));
    Some(all)
}

fn sections(entry: &[u8]) -> Option<[&[u8]; 3]> {
    let (first, rest) = entry.split_first_chunk::<4>()?;
    let (second, rest) = rest.split_first_chunk::<4>()?;
    let (findings, rest) = rest.split_at_checked(u32::from_le_bytes(*first) as usize)?;
    let (sum, summary) = rest.split_at_checked(u32::from_le_bytes(*second) as usize)?;
    Some([findings, sum, summary])
}

/// The entries of a run.
pub fn collect(kept: &Kept, used: impl Iterator<Item = Used>) -> Kept {
    let mut all = Kept { bytes: kept.bytes.clone(), is_damaged: kept.is_damaged, ..Kept::default() };
    for it in used {
        match it {
            Used::Old(key) => match kept.old.get(&key) {
                Some(it) => {
                    all.old.insert(key, it.clone());
                }
                None => {
                    if let Some(it) = kept.new.get(&key) {
                        all.new.insert(key, it.clone());
                    }
                }
            },
            Used::New(key, entry) => {
                all.new.insert(key, entry);
            }
        }
    }
    all
}

impl super::schedule::Later for Keeper<'_> {
    fn summary(&self, function: u32) -> Option<Summary> {
        Some(self.read(self.entries[function as usize].get()?))
    }

    fn read(&self, entry: &[u8]) -> Summary {
        let read = || Summary::get(&mut Reader::new(sections(entry)?[2], self.cx, self.index));
        read().unwrap_or_else(|| {
            self.is_broken.store(true, Ordering::Relaxed);
            Summary { is_incomplete: true, ..Summary::default() }
        })
    }
}
