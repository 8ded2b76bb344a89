//! The line that closes a cycle: where an object of it is given to another one by an attribute or a variable.
//!
//! The chain of a cycle names attributes and variables, and where the classes and functions are written that they belong
//! to; the line is looked for there. Where a name is given to another (`self.parent = parent`), the object was there
//! before: that closes a cycle. What is made there (`self.job = Job(self)`) comes second, and a constant closes nothing.

use heapwise_model::{Finding, Language, Location, Place, Related, RetainerStep, Rule};
use std::collections::BTreeMap;

/// Moves the findings about cycles of Python's to the lines that close them, where their scripts can be read here.
pub fn name_lines(findings: &mut [Finding], read: impl Fn(&str) -> Option<String>) {
    let mut scripts: BTreeMap<String, Option<String>> = BTreeMap::new();
    let is_cycle = |it: &&mut Finding| {
        it.rule == Rule::ReferenceCycle && it.language == Some(Language::Python) && it.retainers.is_some()
    };
    for finding in findings.iter_mut().filter(is_cycle) {
        let steps = finding.retainers.iter().flat_map(|it| &it.steps);
        let mut lines: Vec<(Closes, Location)> = Vec::new();
        for step in steps {
            let Some(place) = step.place.as_ref().filter(|it| !crate::analyze::is_script_library(&it.path))
            else {
                continue;
            };
            let text = scripts.entry(place.path.clone()).or_insert_with(|| read(&place.path));
            lines.extend(text.as_deref().and_then(|it| assignment(it, step, place)));
        }
        let Some((_, line)) = lines.into_iter().min_by_key(|it| it.0) else { continue };
        let before = std::mem::replace(&mut finding.place, Place::Source(line));
        if before != Place::Unknown {
            let message = "an object of it is made here".to_owned();
            finding.related.insert(0, Related { message, place: before });
        }
    }
}

/// How much an assignment has to do with a cycle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Closes {
    /// What is assigned was there before.
    Surely,
    /// It is made there.
    Perhaps,
}

/// The line that assigns what a step refers by, within the class or function at `place`.
fn assignment(text: &str, step: &RetainerStep, place: &Location) -> Option<(Closes, Location)> {
    let is_name = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_alphanumeric() || it == '_');
    let (name, is_attribute) = match step.reference.strip_prefix('.') {
        Some(name) => (name, true),
        None => (step.reference.strip_prefix("variable ")?, false),
    };
    if !is_name(name) {
        return None;
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let first = place.line.checked_sub(1)? as usize;
    let least = indent(text.lines().nth(first)?);
    // Of a class the place is its beginning or that of its first method.
    let is_within = |line: &str| {
        !is_code(line) || indent(line) > least || is_attribute && indent(line) == least && least > 0
    };
    let body = text.lines().zip(1u32..).skip(first + 1).take_while(|it| is_within(it.0));
    let own = text.lines().zip(1u32..).nth(first);
    let found = own.into_iter().chain(body).filter(|it| is_code(it.0)).filter_map(|(line, number)| {
        let value = assigned(line, name, is_attribute)?;
        let location = Location { path: place.path.clone(), line: number, ..Location::default() };
        Some((closes(value)?, location))
    });
    found.min_by_key(|it| it.0)
}

/// What a line assigns to the attribute or variable.
fn assigned<'a>(line: &'a str, name: &str, is_attribute: bool) -> Option<&'a str> {
    let (targets, value) = line.split_once('=')?;
    if value.starts_with('=')
        || targets.ends_with(['!', '<', '>', '+', '-', '*', '/', '%', '|', '&', '^', ':'])
    {
        return None;
    }
    let is_it = |target: &str| {
        let target = target.split(':').next().unwrap_or_default().trim();
        match target.rsplit_once('.') {
            Some((owner, attribute)) => is_attribute && attribute == name && !owner.contains(['(', ' ']),
            None => !is_attribute && target == name,
        }
    };
    targets.split(',').any(is_it).then(|| value.split(" #").next().unwrap_or_default().trim())
}

fn closes(value: &str) -> Option<Closes> {
    let is_name = |it: &str| it.starts_with(|it: char| it.is_alphabetic() || it == '_');
    let is_path =
        value.split('.').all(|it| is_name(it) && it.chars().all(|it| it.is_alphanumeric() || it == '_'));
    match value {
        "None" | "True" | "False" => None,
        _ if is_path => Some(Closes::Surely),
        _ if is_name(value) && value.contains('(') && !value.contains("()") => Some(Closes::Perhaps),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
class Job:
    def __init__(self, number):
        self.scratch = bytearray(20)
        self.worker = Worker(self)
        self.number = number

class Worker:
    def __init__(self, job: Job):
        self.job: Job = None
        if self.job == job:
            self.job = job  # back

def attempt(number):
    failed = None
    try:
        fetch(number)
    except Error as error:
        failed = error
    failed()

failed = other
";

    fn line(reference: &str, at: u32) -> Option<(Closes, u32)> {
        let place = Location { path: "app.py".to_owned(), line: at, ..Location::default() };
        let step = RetainerStep {
            object: String::new(),
            reference: reference.to_owned(),
            place: Some(place.clone()),
        };
        assignment(SCRIPT, &step, &place).map(|it| (it.0, it.1.line))
    }

    #[test]
    fn lines_that_close_a_cycle() {
        assert_eq!(line(".worker", 2), Some((Closes::Perhaps, 4)));
        assert_eq!(line(".job", 7), Some((Closes::Surely, 11)));
        assert_eq!(line("variable failed", 13), Some((Closes::Surely, 18)));
        for (reference, at) in [(".scratch", 7), (".job", 1), ("variable number", 13), ("[0]", 2), (".x", 90)]
        {
            assert_eq!(line(reference, at), None, "{reference} {at}");
        }
    }
}
