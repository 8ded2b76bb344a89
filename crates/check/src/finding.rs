//! What a rule reports, before it becomes a finding of the report.

use crate::ir::{FunctionId, Span};
use heapwise_model::{Confidence, Kind, Rule, Safety, Severity};

/// A place in a module of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// Position in the program's list of modules.
    pub module: u32,
    pub span: Span,
    pub function: FunctionId,
}

/// Text put in the place of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    pub at: At,
    pub insert: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFix {
    pub message: String,
    pub safety: Safety,
    pub edits: Vec<Replacement>,
}

/// One bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub rule: Rule,
    pub kind: Option<Kind>,
    pub severity: Severity,
    pub confidence: Confidence,
    /// One sentence.
    pub message: String,
    pub at: At,
    pub related: Vec<(String, At)>,
    pub fix: Option<FoundFix>,
}

/// A function's name as people write it: without file of a static function, and number of parameters.
pub fn plain_name(linkage: &str) -> &str {
    let name = linkage.rsplit_once('/').filter(|it| it.1.bytes().all(|it| it.is_ascii_digit()));
    let name = name.map_or(linkage, |it| it.0);
    match name.split_once(':') {
        Some((file, rest)) if !rest.starts_with(':') && file.contains('.') => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_people_write_them() {
        assert_eq!(plain_name("src/a.c:helper"), "helper");
        assert_eq!(plain_name("ns::Class::method/2"), "ns::Class::method");
        assert_eq!(plain_name("pkg.mod.Class.method"), "pkg.mod.Class.method");
    }
}
