//! Edits on the bytes of files: which fit together, what comes of them, as a diff, and onto the disk.

use super::sources::{Lines, Texts};
use crate::Failure;
use heapwise_model::Fix;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes `[start, end)` of a file become `insert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub start: usize,
    pub end: usize,
    pub insert: String,
}

/// Changes of one file, in order.
#[derive(Clone, Debug, Default)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// Adds all of `changes`, or none where one of them meets another. What is there already, as it is, is wanted
    /// by several fixes: a header, room for a terminator, braces.
    fn add(&mut self, changes: &[Change]) -> bool {
        let new: Vec<Change> = changes.iter().filter(|it| !self.0.contains(it)).cloned().collect();
        if new.iter().any(|it| self.0.iter().any(|other| !fit(it, other))) {
            return false;
        }
        self.0.extend(new);
        // Stable: what was added first stands first.
        self.0.sort_by_key(|it| (it.start, it.end));
        true
    }

    pub fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 256);
        let mut at = 0;
        for it in &self.0 {
            out.extend_from_slice(&text[at..it.start]);
            out.extend_from_slice(it.insert.as_bytes());
            at = it.end;
        }
        out.extend_from_slice(&text[at..]);
        out
    }

    /// Where a byte of the old text is in the new one; `None`: it was replaced.
    pub fn moved(&self, offset: usize) -> Option<usize> {
        let mut moved = offset;
        for it in &self.0 {
            if it.start < it.end && (it.start..it.end).contains(&offset) {
                return None;
            }
            if it.end <= offset {
                moved = moved + it.insert.len() - (it.end - it.start);
            }
        }
        Some(moved)
    }
}

/// Whether two changes can be made together: apart, or both whole statements put at one place.
fn fit(a: &Change, b: &Change) -> bool {
    let is_statement = |it: &Change| it.start == it.end && !it.insert.contains(['{', '}']);
    match a.start == b.start && a.end == b.end {
        true => is_statement(a) && is_statement(b),
        false => a.start != b.start && (a.end <= b.start || b.end <= a.start),
    }
}

/// The changes of all files.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    pub files: BTreeMap<String, Changes>,
}

impl Patch {
    /// Adds a fix, or nothing where it meets an earlier one.
    pub fn add(&mut self, fix: &Fix, texts: &Texts) -> bool {
        let Some(changes) = changes(fix, texts) else { return false };
        let before = self.clone();
        for (path, changes) in changes {
            if !self.files.entry(path).or_default().add(&changes) {
                *self = before;
                return false;
            }
        }
        true
    }

    /// The new texts.
    pub fn apply(&self, texts: &Texts) -> BTreeMap<String, Arc<[u8]>> {
        let of = |(path, changes): (&String, &Changes)| {
            let text = texts.read(path)?;
            Some((path.clone(), changes.apply(&text).into()))
        };
        self.files.iter().filter_map(of).collect()
    }
}

/// A fix's edits as bytes of files; `None`: its places do not count in the file's bytes (UTF-16).
fn changes(fix: &Fix, texts: &Texts) -> Option<BTreeMap<String, Vec<Change>>> {
    let mut files: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for edit in &fix.edits {
        let at = &edit.location;
        let text = texts.shown(&at.path)?;
        // Where bytes were replaced one by one, their places are still theirs.
        if texts.read(&at.path)?.len() != text.len() {
            return None;
        }
        let lines = Lines::new(&text);
        let start = lines.offset(at.line, at.column?)?;
        let end = lines.offset(at.end_line?, at.end_column?)?;
        if start > end || end > text.len() {
            return None;
        }
        files.entry(at.path.clone()).or_default().push(Change { start, end, insert: edit.insert.clone() });
    }
    Some(files)
}

/// Writes a file's new text as a whole: a crash leaves the old or the new one. Permissions stay.
///
/// A file outside of `roots`, where a symbolic link may have led, and a symbolic link itself are left alone.
pub fn write(path: &str, old: &[u8], new: &[u8], roots: &[PathBuf]) -> Result<(), Failure> {
    let failed = |what: String| Failure::new(format!("cannot change {path}: {what}"), None);
    let io = |error: std::io::Error| failed(error.to_string());
    let file = Path::new(path);
    let metadata = std::fs::symlink_metadata(file).map_err(io)?;
    if !metadata.is_file() {
        return Err(failed("it is no regular file".to_owned()));
    }
    let real = std::fs::canonicalize(file).map_err(io)?;
    let is_inside =
        roots.iter().filter_map(|it| std::fs::canonicalize(it).ok()).any(|it| real.starts_with(it));
    if !is_inside {
        return Err(failed("it lies outside of what was named".to_owned()));
    }
    if std::fs::read(&real).map_err(io)? != old {
        return Err(failed("it has changed meanwhile".to_owned()));
    }
    let folder = real.parent().ok_or_else(|| failed("it has no folder".to_owned()))?;
    let (temporary, mut out) = temporary(folder).map_err(io)?;
    let written = out
        .write_all(new)
        .and_then(|()| out.set_permissions(metadata.permissions()))
        .and_then(|()| out.sync_all())
        .and_then(|()| std::fs::rename(&temporary, &real));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(io)
}

/// A new file in a folder.
fn temporary(folder: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    let mut number = 0u32;
    loop {
        let path = folder.join(format!(".heapwise-{}-{number}.tmp", std::process::id()));
        match std::fs::File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 100 => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Lines around a change in a diff.
const CONTEXT: usize = 3;
/// Changed lines of one file beyond which a diff shows one piece.
const MAX_CHANGED: usize = 2_000;

/// A unified diff of one file; bytes that are no UTF-8 are replaced.
pub fn diff(path: &str, old: &[u8], new: &[u8]) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let pairs = common(&old, &new);
    // Stretches of changed lines, between common ones.
    let mut stretches: Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> = Vec::new();
    let (mut a, mut b) = (0, 0);
    for (x, y) in pairs.into_iter().chain([(old.len(), new.len())]) {
        if a < x || b < y {
            stretches.push((a..x, b..y));
        }
        (a, b) = (x + 1, y + 1);
    }
    let mut out = String::new();
    if stretches.is_empty() {
        return out;
    }
    let path = path.trim_start_matches('/');
    let _ = writeln!(out, "--- a/{path}\n+++ b/{path}");
    let mut at = 0;
    while at < stretches.len() {
        let mut last = at;
        while last + 1 < stretches.len() && stretches[last + 1].0.start - stretches[last].0.end <= 2 * CONTEXT
        {
            last += 1;
        }
        hunk(&mut out, &old, &new, &stretches[at..=last]);
        at = last + 1;
    }
    out
}

fn hunk(
    out: &mut String,
    old: &[&str],
    new: &[&str],
    stretches: &[(std::ops::Range<usize>, std::ops::Range<usize>)],
) {
    let (first, last) = (&stretches[0], &stretches[stretches.len() - 1]);
    let lead = first.0.start.min(CONTEXT);
    let tail = (old.len() - last.0.end).min(CONTEXT);
    let (a, b) = (first.0.start - lead, first.1.start - lead);
    let (count_a, count_b) = (last.0.end + tail - a, last.1.end + tail - b);
    let start = |at: usize, count: usize| if count == 0 { at } else { at + 1 };
    let _ = writeln!(out, "@@ -{},{count_a} +{},{count_b} @@", start(a, count_a), start(b, count_b));
    let mut line = |mark: char, text: &str| {
        out.push(mark);
        out.push_str(text);
        if !text.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    };
    let mut at = a;
    for (removed, added) in stretches {
        old[at..removed.start].iter().for_each(|it| line(' ', it));
        old[removed.clone()].iter().for_each(|it| line('-', it));
        new[added.clone()].iter().for_each(|it| line('+', it));
        at = removed.end;
    }
    old[at..at + tail].iter().for_each(|it| line(' ', it));
}

/// Pairs of equal lines, the most there are (Myers 1986); where too much differs, equal ends only.
fn common(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let head = old.iter().zip(new).take_while(|it| it.0 == it.1).count();
    let rest = (&old[head..], &new[head..]);
    let tail = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(|it| it.0 == it.1).count();
    let (a, b) = (&rest.0[..rest.0.len() - tail], &rest.1[..rest.1.len() - tail]);
    let mut pairs: Vec<(usize, usize)> = (0..head).map(|it| (it, it)).collect();
    pairs.extend(middle(a, b).into_iter().map(|it| (it.0 + head, it.1 + head)));
    pairs.extend((0..tail).map(|it| (head + a.len() + it, head + b.len() + it)));
    pairs
}

fn middle(a: &[&str], b: &[&str]) -> Vec<(usize, usize)> {
    let (n, m) = (a.len() as isize, b.len() as isize);
    let limit = (n + m).min(MAX_CHANGED as isize);
    let mut furthest = vec![0isize; 2 * limit as usize + 3];
    let mut rounds: Vec<Vec<isize>> = Vec::new();
    let index = |k: isize| (k + limit + 1) as usize;
    for d in 0..=limit {
        rounds.push(furthest.clone());
        for k in (-d..=d).step_by(2) {
            let down = k == -d || k != d && furthest[index(k - 1)] < furthest[index(k + 1)];
            let mut x = if down { furthest[index(k + 1)] } else { furthest[index(k - 1)] + 1 };
            while x < n && x - k < m && a[x as usize] == b[(x - k) as usize] {
                x += 1;
            }
            furthest[index(k)] = x;
            if x >= n && x - k >= m {
                return walk_back(&rounds, (n, m), index);
            }
        }
    }
    Vec::new()
}

fn walk_back(
    rounds: &[Vec<isize>],
    (mut x, mut y): (isize, isize),
    index: impl Fn(isize) -> usize,
) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (d, furthest) in rounds.iter().enumerate().rev() {
        let d = d as isize;
        let k = x - y;
        let down = k == -d || k != d && furthest[index(k - 1)] < furthest[index(k + 1)];
        let from_k = if down { k + 1 } else { k - 1 };
        let (from_x, from_y) = match d {
            0 => (0, 0),
            _ => (furthest[index(from_k)], furthest[index(from_k)] - from_k),
        };
        let (start_x, start_y) = match (d, down) {
            (0, _) => (0, 0),
            (_, true) => (from_x, from_y + 1),
            (_, false) => (from_x + 1, from_y),
        };
        while x > start_x && y > start_y {
            (x, y) = (x - 1, y - 1);
            pairs.push((x as usize, y as usize));
        }
        (x, y) = (from_x, from_y);
    }
    pairs.reverse();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diffs_are_what_diff_prints() {
        let old: String = (1..30).map(|it| format!("line {it}\n")).collect();
        let new = old.replace("line 5\n", "line five\nmore\n").replace("line 25\n", "");
        let expected = "--- a/f\n+++ b/f\n@@ -2,7 +2,8 @@\n line 2\n line 3\n line 4\n-line 5\n+line five\n+more\n line 6\n line 7\n line 8\n@@ -22,7 +23,6 @@\n line 22\n line 23\n line 24\n-line 25\n line 26\n line 27\n line 28\n";
        assert_eq!(diff("f", old.as_bytes(), new.as_bytes()), expected);
        assert_eq!(diff("f", b"a\n", b"a\n"), "");
        assert_eq!(
            diff("f", b"a", b"a\n"),
            "--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"
        );
    }

    #[test]
    fn changes_that_meet_do_not_fit() {
        let change = |start, end, insert: &str| Change { start, end, insert: insert.to_owned() };
        let mut all = Changes::default();
        assert!(all.add(&[change(4, 4, "free(a); ")]));
        assert!(all.add(&[change(4, 4, "free(b); "), change(8, 9, "x")]));
        assert!(!all.add(&[change(2, 5, "y")]));
        assert!(!all.add(&[change(4, 4, "{ ")]));
        assert_eq!(all.apply(b"0123456789"), b"0123free(a); free(b); 4567x9");
        assert_eq!([3, 4, 8, 9].map(|it| all.moved(it)), [Some(3), Some(22), None, Some(27)]);
    }
}
