//! Fixes: verified before anybody sees them, then shown or applied.
//!
//! ```text
//! proposals --patch, check again--> those whose finding is gone and that bring no new one
//! ```
//!
//! All proposals of a round are tried together; what goes wrong is put down to the fixes of that function, or file,
//! and the rest is tried again.

use super::patch::{Changes, Patch};
use super::sources::Texts;
use super::{Run, Subject, check_again};
use heapwise_model::{Finding, Fix, Place, Rule, Safety};
use std::collections::{BTreeMap, BTreeSet};

/// How often what is left is tried again.
const MAX_TRIES: usize = 8;

/// Gives a run's findings their fixes, not verified.
pub fn propose(run: &mut Run, subject: &Subject<'_>) {
    let mut found = std::mem::take(&mut run.found);
    heapwise_check::fixes::propose(&run.program, subject.models, subject.texts, &mut found);
    run.found = found;
}

/// A finding wherever its line goes: rule, file, offset.
type Key = (Rule, String, u32);

fn keys(run: &Run) -> BTreeMap<Key, String> {
    let of = |it: &heapwise_check::finding::Found| {
        let module = &run.program.modules[it.at.module as usize];
        let path = module.files[it.at.span.file.index()].clone();
        let function = module.name(module.functions[it.at.function.index()].name).to_owned();
        ((it.rule, path, it.at.span.start), function)
    };
    run.found.iter().map(of).collect()
}

/// Takes the fixes from those findings for which they do not work; the patch of the others, and which they are.
///
/// Fixes that are not wanted, and those that meet an earlier one, stay out of the patch and keep for a later round.
pub fn verify(
    run: &Run,
    subject: &Subject<'_>,
    findings: &mut [Finding],
    is_wanted: &dyn Fn(Safety) -> bool,
) -> (Patch, Vec<usize>) {
    let old = keys(run);
    for _ in 0..MAX_TRIES {
        let mut patch = Patch::default();
        let mut tried: Vec<usize> = Vec::new();
        for (at, finding) in findings.iter().enumerate() {
            if let Some(fix) = finding.fix.as_ref().filter(|it| is_wanted(it.safety))
                && patch.add(fix, subject.texts)
            {
                tried.push(at);
            }
        }
        if tried.is_empty() {
            return (patch, tried);
        }
        let failed = failed(run, subject, &old, findings, &tried, &patch);
        if failed.is_empty() {
            return (patch, tried);
        }
        for at in failed {
            findings[at].fix = None;
        }
    }
    // What still goes wrong goes.
    findings.iter_mut().for_each(|it| it.fix = None);
    (Patch::default(), Vec::new())
}

/// Those of the tried fixes with which something goes wrong.
fn failed(
    run: &Run,
    subject: &Subject<'_>,
    old: &BTreeMap<Key, String>,
    findings: &[Finding],
    tried: &[usize],
    patch: &Patch,
) -> BTreeSet<usize> {
    let changed = patch.apply(subject.texts);
    let texts = subject.texts.with(&changed);
    let paths: BTreeSet<String> = changed.into_keys().collect();
    let again = check_again(run, &Subject { texts: &texts, ..*subject }, &paths);
    let new = keys(&again);
    let mut failed = BTreeSet::new();
    // A file that reads worse than before.
    for (before, after) in run.program.modules.iter().zip(&again.program.modules) {
        if paths.contains(&before.path) && before.notes != after.notes {
            failed.extend(of_file(findings, tried, &before.path));
        }
    }
    let none = Changes::default();
    let moved = |key: &Key| -> Option<Key> {
        let changes = patch.files.get(&key.1).unwrap_or(&none);
        Some((key.0, key.1.clone(), u32::try_from(changes.moved(key.2 as usize)?).ok()?))
    };
    for &at in tried {
        let Some(key) = key_of(&findings[at], subject.texts) else { continue };
        let is_there = match moved(&key) {
            Some(it) => new.contains_key(&it),
            // Its place was replaced: nothing of its kind may stand near.
            None => count(&new, &key, old.get(&key)) >= count(old, &key, old.get(&key)),
        };
        if is_there {
            failed.insert(at);
        }
    }
    let expected: BTreeSet<Key> = old.keys().filter_map(&moved).collect();
    for (key, function) in &new {
        // What a replaced place had may stand anywhere near it.
        let had_it = |it: &(&Key, &String)| {
            it.0.0 == key.0 && it.0.1 == key.1 && it.1 == function && moved(it.0).is_none()
        };
        if expected.contains(key) || old.iter().any(|it| had_it(&it)) {
            continue;
        }
        let near: Vec<usize> = tried
            .iter()
            .copied()
            .filter(|it| function_of(&findings[*it], old, subject.texts) == Some(function))
            .collect();
        let file = of_file(findings, tried, &key.1);
        let suspects = [near, file, tried.to_vec()].into_iter().find(|it| !it.is_empty());
        failed.extend(suspects.into_iter().flatten());
    }
    failed
}

fn count(keys: &BTreeMap<Key, String>, like: &Key, function: Option<&String>) -> usize {
    keys.iter().filter(|it| it.0.0 == like.0 && it.0.1 == like.1 && Some(it.1) == function).count()
}

fn of_file(findings: &[Finding], tried: &[usize], path: &str) -> Vec<usize> {
    let edits = |it: &usize| {
        findings[*it].fix.iter().flat_map(|it: &Fix| &it.edits).any(|it| it.location.path == path)
    };
    tried.iter().copied().filter(edits).collect()
}

fn function_of<'a>(finding: &Finding, old: &'a BTreeMap<Key, String>, texts: &Texts) -> Option<&'a String> {
    old.get(&key_of(finding, texts)?)
}

fn key_of(finding: &Finding, texts: &Texts) -> Option<Key> {
    let Place::Source(at) = &finding.place else { return None };
    let lines = texts.lines(&at.path)?;
    let offset = lines.offset(at.line, at.column?)?;
    Some((finding.rule, at.path.clone(), u32::try_from(offset).ok()?))
}
