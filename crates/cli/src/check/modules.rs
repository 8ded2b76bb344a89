//! Modules that an earlier check lowered: sources that have not changed are not read by a parser again.
//!
//! ```text
//! key = path, how it is compiled, its content     entry = what every header held, the module
//! ```
//!
//! An entry holds for the headers that were asked for, those that were not there among them. What Python's imports
//! mean depends on which sources there are, which is part of the key. A source that was just edited is likely to be
//! edited again: it has an empty entry at first, and its module one when it is met for the second time.

use super::cache::Hash;
use super::sources::{Source, Texts};
use super::{Shared, Subject, lower};
use heapwise_check::analysis::kept::{self, Kept, Used};
use heapwise_check::ir::Module;
use heapwise_check::verify;
use heapwise_model::Language;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// What a file held; `None`: there was none.
type Read = (String, Option<Hash>);

/// The modules of all sources, and what is kept of them; `kept`: of an earlier check, `None`: nothing is wanted.
pub(super) fn lowered(
    subject: &Subject<'_>,
    shared: Shared<'_>,
    kept: Option<&Kept>,
    tick: &(dyn Fn() + Sync),
) -> (Vec<Module>, Option<Kept>) {
    let imports = of_imports(subject.sources);
    let each = subject.sources.par_iter().map(|source| {
        let found = kept.and_then(|kept| again(source, subject, shared, kept, &imports));
        let (module, used) = found.unwrap_or_else(|| (lower(source, shared, subject, subject.texts), None));
        tick();
        (module, used)
    });
    let (lowered, used): (Vec<Module>, Vec<Option<Used>>) = each.unzip();
    (lowered, kept.map(|it| kept::collect(it, used.into_iter().flatten())))
}

/// What a module's imports may depend on besides itself.
fn of_imports(sources: &[Source]) -> Vec<u8> {
    let paths = sources.iter().filter(|it| it.language == Language::Python).map(|it| it.path.as_bytes());
    let paths: Vec<&[u8]> = paths.collect();
    kept::hash(&paths).to_vec()
}

/// A module as it is kept or, if it is not, lowered and made an entry. `None`: it has no content.
fn again(
    source: &Source,
    subject: &Subject<'_>,
    shared: Shared<'_>,
    kept: &Kept,
    imports: &[u8],
) -> Option<(Module, Option<Used>)> {
    let content = subject.texts.hash(&source.path)?;
    let imports = if source.language == Language::Python { imports } else { b"" };
    let key = kept::hash(&[subject.compiled(source).as_bytes(), &content, imports]);
    let known = kept.get(&key);
    if let Some(module) = known.and_then(|it| read(it, subject.texts)) {
        return Some((module, Some(Used::Old(key))));
    }
    let asked = Asked { texts: subject.texts, paths: Mutex::default() };
    let module = lower(source, shared, subject, &asked);
    let is_edited = known.is_none() && !kept.is_empty() && !kept.is_damaged();
    let entry =
        if is_edited { Some(Vec::new()) } else { postcard::to_stdvec(&(asked.reads(), &module)).ok() };
    Some((module, entry.map(|it| Used::New(key, it.into()))))
}

/// The module of an entry, if all that it was made from is as it was.
fn read(entry: &[u8], texts: &Texts) -> Option<Module> {
    let (reads, rest) = postcard::take_from_bytes::<Vec<Read>>(entry).ok()?;
    if !reads.iter().all(|(path, hash)| texts.hash(path) == *hash) {
        return None;
    }
    let module: Module = postcard::from_bytes(rest).ok()?;
    verify::verify(&module).is_empty().then_some(module)
}

/// Takes note of the files that a front end asks for.
struct Asked<'a> {
    texts: &'a Texts,
    paths: Mutex<Vec<String>>,
}

impl heapwise_lang_c::Files for Asked<'_> {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        self.texts.read(path)
    }
}

impl Asked<'_> {
    fn reads(&self) -> Vec<Read> {
        let mut paths = std::mem::take(&mut *self.paths.lock().unwrap_or_else(PoisonError::into_inner));
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter().map(|it| (it.clone(), self.texts.hash(&it))).collect()
    }
}
