//! `heapwise: ignore[rule] reason` in source: on the line of a finding, or the line above it.

use heapwise_model::Rule;

/// One comment.
#[derive(Debug, PartialEq, Eq)]
pub struct Ignore {
    /// From 1.
    pub line: u32,
    /// Empty: none of the names is a rule.
    pub rules: Vec<Rule>,
    /// Names that are no rules.
    pub unknown: Vec<String>,
    /// Nothing else is on its line: it is meant for the next one.
    is_alone: bool,
    pub is_used: bool,
}

const MARK: &[u8] = b"heapwise: ignore[";

/// All such comments of a file: a mark that has the start of a comment before it on its line.
pub fn find(text: &[u8]) -> Vec<Ignore> {
    let marks: Vec<usize> = memchr::memmem::find_iter(text, MARK).collect();
    let mut found = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for at in marks {
        line += memchr::memchr_iter(b'\n', &text[counted..at]).count() as u32;
        counted = at;
        let line_start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |it| it + 1);
        let before = &text[line_start..at];
        let before = before.trim_ascii();
        let starts: [&[u8]; 4] = [b"#", b"//", b"/*", b"*"];
        let is_comment = starts.iter().any(|it| before.ends_with(it));
        let rest = &text[at + MARK.len()..];
        let end = rest.iter().position(|it| matches!(it, b']' | b'\n'));
        let Some(end) = end.filter(|it| is_comment && rest[*it] == b']') else { continue };
        let names = String::from_utf8_lossy(&rest[..end]);
        let names = names.split(',').map(str::trim).filter(|it| !it.is_empty());
        let mut ignore = Ignore {
            line,
            rules: Vec::new(),
            unknown: Vec::new(),
            is_alone: starts.contains(&before),
            is_used: false,
        };
        for name in names {
            match Rule::from_name(name) {
                Some(rule) => ignore.rules.push(rule),
                None => ignore.unknown.push(name.to_owned()),
            }
        }
        found.push(ignore);
    }
    found
}

/// Whether a comment covers a finding; marks it as used.
pub fn covers(ignores: &mut [Ignore], rule: Rule, line: u32) -> bool {
    let mut is_covered = false;
    let is_near = |it: &&mut Ignore| it.line == line || it.is_alone && it.line + 1 == line;
    for ignore in ignores.iter_mut().filter(is_near) {
        if ignore.rules.contains(&rule) {
            ignore.is_used = true;
            is_covered = true;
        }
    }
    is_covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_cover_their_line_or_stand_above() {
        let text = b"x = 1  # heapwise: ignore[memory-leak, nonsense] it is small\n// heapwise: ignore[double-free]\ny()\n\"heapwise: ignore[double-free]\"\n# heapwise: ignore[double-free\n";
        let mut ignores = find(text);
        assert_eq!(ignores.len(), 2);
        assert_eq!((ignores[0].line, &ignores[0].unknown), (1, &vec!["nonsense".to_owned()]));
        assert!(covers(&mut ignores, Rule::MemoryLeak, 1));
        assert!(!covers(&mut ignores, Rule::MemoryLeak, 2));
        assert!(!covers(&mut ignores, Rule::MemoryLeak, 3));
        assert!(!covers(&mut ignores, Rule::InvalidFree, 3));
        assert!(!ignores[1].is_used);
        assert!(covers(&mut ignores, Rule::DoubleFree, 3));
        assert!(ignores[1].is_used);
    }
}
