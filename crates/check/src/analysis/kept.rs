//! Results of functions that outlive their program, so that one edit costs what it touches.
//!
//! ```text
//! key = own code, callers (none, one, more), keys of callees; records, budget    (of a whole component at once)
//! key --known--> findings at once, summary when a caller that changed asks for it
//!     --new----> analysis --> entry
//! ```
//!
//! A key holds all that the analysis reads, through all functions that are called: they are not only summarized, but
//! run again where they are handed functions. So a function is analyzed again when its own code changes, or that of
//! one that it reaches, and not when code only moves. Nothing here decides: with or without kept results findings are
//! the same. Models and options are the caller's: results are kept apart for each.
//!
//! Absent on purpose: functions of which two share a name and a path. They and what calls them are analyzed each
//! time.

use super::codec::{Coded, Index, Reader, Writer};
use super::identity::{self, Globals};
use super::issue::Finding;
use super::summary::Summary;
use super::{Context, FunctionResult};
use rustc_hash::FxHashMap;
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

/// Entries by key.
#[derive(Clone, Default)]
pub struct Kept {
    bytes: Arc<[u8]>,
    old: FxHashMap<Hash, Range<usize>>,
    new: FxHashMap<Hash, Arc<[u8]>>,
}

impl Kept {
    /// Entries that were written by [`Kept::to_bytes`]; `None`: they are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Kept> {
        let mut old = FxHashMap::default();
        let mut at = 0;
        while at < bytes.len() {
            let (key, rest) = bytes[at..].split_first_chunk::<16>()?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = u32::from_le_bytes(*length) as usize;
            let start = at + 20;
            at = start + rest.get(..length)?.len();
            old.insert(*key, start..at);
        }
        Some(Kept { bytes: bytes.into(), old, new: FxHashMap::default() })
    }

    /// Sorted by key, so that the same entries are the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut keys: Vec<&Hash> = self.old.keys().chain(self.new.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut out = Vec::new();
        for key in keys {
            let entry = self.entry(key).expect("each key has its entry");
            let Ok(length) = u32::try_from(entry.len()) else { continue };
            out.extend_from_slice(key);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(entry);
        }
        out
    }

    fn entry(&self, key: &Hash) -> Option<&[u8]> {
        match self.old.get(key) {
            Some(it) => Some(&self.bytes[it.clone()]),
            None => self.new.get(key).map(|it| &**it),
        }
    }

    /// Whether something was added.
    pub fn is_changed(&self) -> bool {
        !self.new.is_empty()
    }

    /// How many functions' results there are.
    pub fn len(&self) -> usize {
        self.old.len() + self.new.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was used of one program's functions.
pub enum Used {
    Nothing,
    Old(Hash),
    New(Hash, Arc<[u8]>),
}

/// Finds the results of one program's functions, and makes entries of new ones.
pub struct Keeper<'a> {
    cx: &'a Context<'a>,
    kept: &'a Kept,
    index: &'a Index<'a>,
    globals: Globals<'a>,
    /// Of all records.
    classes: Hash,
    /// Per function, once its component is met; `None`: it cannot be told from others.
    keys: Vec<OnceLock<Option<Hash>>>,
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
            keys: (0..count).map(|_| OnceLock::new()).collect(),
            entries: (0..count).map(|_| OnceLock::new()).collect(),
            is_broken: AtomicBool::new(false),
        }
    }

    /// An entry did not fit the program: what came from here cannot be trusted.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Key of a component; `None`: it is analyzed each time.
    pub fn key(&self, component: &[u32]) -> Option<Hash> {
        let mut out = Writer::new(self.cx, self.index);
        out.number(self.cx.options.steps as u64);
        out.bytes.extend_from_slice(&self.classes);
        for &function in component {
            identity::write(&mut out, &self.globals, function);
            out.number(self.callers(function));
            let mut callees: Vec<(&str, Hash)> = Vec::new();
            for &callee in &self.cx.program.calls[function as usize] {
                let (module, ir) = self.cx.program.ir(callee);
                // Members of the component tell of themselves.
                let known = match self.keys[callee as usize].get() {
                    None => Some(Hash::default()),
                    Some(it) => *it,
                };
                out.is_sound &= known.is_some();
                callees.push((module.name(ir.name), known.unwrap_or_default()));
            }
            callees.sort_unstable();
            for (name, key) in callees {
                out.text(name);
                out.bytes.extend_from_slice(&key);
            }
            if !out.is_sound {
                break;
            }
        }
        let key = out.is_sound.then(|| hash(&[&out.bytes]));
        for (at, &function) in component.iter().enumerate() {
            let own = key.map(|it| Keeper::key_of_member(component, &it, at));
            let is_first = self.keys[function as usize].set(own).is_ok();
            debug_assert!(is_first, "a component is met once");
        }
        key
    }

    fn callers(&self, function: u32) -> u64 {
        u64::from(self.cx.program.callers[function as usize].min(2))
    }

    fn key_of_member(component: &[u32], key: &Hash, at: usize) -> Hash {
        if component.len() == 1 { *key } else { hash(&[key, &at.to_le_bytes()]) }
    }

    /// What is known of a component: findings of each member, and whether it is incomplete.
    pub fn find(&self, component: &[u32], key: &Hash) -> Option<Vec<(Vec<Finding>, bool, Hash)>> {
        let entries: Vec<(Hash, &'a [u8])> = (0..component.len())
            .map(|at| Keeper::key_of_member(component, key, at))
            .map(|key| Some((key, self.kept.entry(&key)?)))
            .collect::<Option<_>>()?;
        let mut found = Vec::with_capacity(component.len());
        for (key, entry) in &entries {
            let (length, rest) = entry.split_first_chunk::<4>()?;
            let findings = rest.get(..u32::from_le_bytes(*length) as usize)?;
            let mut from = Reader::new(findings, self.cx, self.index);
            let is_incomplete = bool::get(&mut from)?;
            found.push((Vec::<Finding>::get(&mut from)?, is_incomplete, *key));
        }
        for (function, (_, entry)) in component.iter().zip(entries) {
            let is_first = self.entries[*function as usize].set(entry).is_ok();
            debug_assert!(is_first, "a component is met once");
        }
        Some(found)
    }

    /// The summary in a function's entry.
    pub fn summary(&self, function: u32) -> Option<Summary> {
        let entry = self.entries[function as usize].get()?;
        let read = || {
            let (length, rest) = entry.split_first_chunk::<4>()?;
            let rest = rest.get(u32::from_le_bytes(*length) as usize..)?;
            Summary::get(&mut Reader::new(rest, self.cx, self.index))
        };
        Some(read().unwrap_or_else(|| {
            self.is_broken.store(true, Ordering::Relaxed);
            Summary { is_incomplete: true, ..Summary::default() }
        }))
    }

    /// Makes entries of what the analysis of a component found.
    pub fn keep(&self, component: &[u32], key: &Hash, results: &[FunctionResult]) -> Vec<Used> {
        let mut used = Vec::with_capacity(component.len());
        for (at, result) in results.iter().enumerate() {
            let mut findings = Writer::new(self.cx, self.index);
            result.is_incomplete.put(&mut findings);
            result.findings.put(&mut findings);
            let mut summary = Writer::new(self.cx, self.index);
            result.summary.put(&mut summary);
            let is_sound = findings.is_sound && summary.is_sound;
            let Some(length) = u32::try_from(findings.bytes.len()).ok().filter(|_| is_sound) else {
                used.push(Used::Nothing);
                continue;
            };
            let parts = [&length.to_le_bytes()[..], &findings.bytes, &summary.bytes];
            used.push(Used::New(Keeper::key_of_member(component, key, at), parts.concat().into()));
        }
        used
    }
}

/// The entries of a run.
pub fn collect(kept: &Kept, used: impl Iterator<Item = Used>) -> Kept {
    let mut all = Kept { bytes: kept.bytes.clone(), old: FxHashMap::default(), new: FxHashMap::default() };
    for it in used {
        match it {
            Used::Nothing => {}
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
        Keeper::summary(self, function)
    }
}
