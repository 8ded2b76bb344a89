//! How deep a text nests, before any parser sees it.

use memchr::{memchr, memchr3, memmem};

/// An upper bound of how deep the syntax tree of a text gets: open brackets, plus the operators, dots, calls, tags
/// and heads of statements since the last statement's end or comma in each.
pub fn nesting(text: &str) -> u32 {
    let mut it = Nesting {
        bytes: text.as_bytes(),
        at: 0,
        levels: vec![Level::default()],
        sum: 0,
        greatest: 0,
        last: b';',
    };
    it.scan();
    it.greatest
}

#[derive(Clone, Copy, Default)]
struct Level {
    chained: u32,
    /// Statements' heads that wait for their bodies.
    heads: u32,
    is_template: bool,
}

struct Nesting<'a> {
    bytes: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    /// Invariant: `levels.len() - 1` and all that is chained.
    sum: u32,
    greatest: u32,
    /// The last byte that was no blank.
    last: u8,
}

impl Nesting<'_> {
    fn scan(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            // Most of a text, so these are told apart first.
            if is_word(byte) {
                self.word();
                self.last = self.bytes[self.at - 1];
                continue;
            }
            match byte {
                b'\n' => self.line_end(),
                b' ' | b'\t' | b'\r' => {
                    self.skip_blanks();
                    continue;
                }
                b'"' | b'\'' => self.string(byte),
                b'`' => self.template(),
                b'/' if self.next() == Some(b'/') => {
                    self.skip_line();
                    continue;
                }
                b'/' if self.next() == Some(b'*') => {
                    self.skip_comment();
                    continue;
                }
                b'/' if is_before_operand(self.last) => self.regex(),
                b'(' | b'[' | b'{' => self.open(false),
                b'}' if self.levels.last().is_some_and(|it| it.is_template) => {
                    self.close();
                    self.template();
                }
                b')' | b']' | b'}' => self.close(),
                b',' => self.end_chain(false),
                b';' => self.end_chain(true),
                b'+' | b'-' | b'*' | b'/' | b'%' | b'.' | b'~' | b'!' | b'|' | b'&' | b'^' | b'<' | b'='
                | b':' | b'?' | b'@' => self.chain(),
                _ => {}
            }
            if byte != b'\n' {
                self.last = self.bytes[self.at - 1];
            }
        }
    }

    fn next(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn word(&mut self) {
        let start = self.at - 1;
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|it| !is_word(*it)).unwrap_or(rest.len());
        match Word::of(self.bytes, start..self.at) {
            Word::Head => {
                if let Some(level) = self.levels.last_mut() {
                    level.heads += 1;
                    self.sum += 1;
                }
                self.measure();
            }
            Word::Chain => self.chain(),
            Word::Other => {}
        }
    }

    fn measure(&mut self) {
        self.greatest = self.greatest.max(self.sum);
    }

    fn open(&mut self, is_template: bool) {
        self.levels.push(Level { is_template, ..Level::default() });
        self.sum += 1;
        self.measure();
    }

    /// What follows may chain on: `f()()`.
    fn close(&mut self) {
        if self.levels.len() > 1 {
            let level = self.levels.pop().unwrap_or_default();
            self.sum -= level.chained + level.heads + 1;
        }
        self.chain();
    }

    fn chain(&mut self) {
        if let Some(last) = self.levels.last_mut() {
            last.chained += 1;
            self.sum += 1;
        }
        self.measure();
    }

    fn end_chain(&mut self, with_heads: bool) {
        if let Some(last) = self.levels.last_mut() {
            self.sum -= std::mem::take(&mut last.chained);
            if with_heads {
                self.sum -= std::mem::take(&mut last.heads);
            }
        }
    }

    /// A statement ends with its line where the next one begins with a word and nothing is open before it.
    fn line_end(&mut self) {
        let rest = &self.bytes[self.at..];
        let first =
            rest.iter().position(|it| !matches!(it, b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(rest.len());
        // Further blank lines say nothing new.
        self.at += first;
        let word = &rest[first..];
        let length = word.iter().position(|it| !is_word(*it)).unwrap_or(word.len());
        let goes_on = matches!(
            &word[..length],
            b"" | b"in" | b"instanceof" | b"as" | b"satisfies" | b"else" | b"extends"
        );
        let is_closed = is_word(self.last) || matches!(self.last, b')' | b']' | b'}' | b'"' | b'\'' | b'`');
        if is_closed && !goes_on {
            let with_heads = self.last == b'}';
            self.end_chain(with_heads);
        }
    }

    fn skip_blanks(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|it| !matches!(it, b' ' | b'\t' | b'\r')).unwrap_or(rest.len());
    }

    fn skip_line(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += memchr(b'\n', rest).unwrap_or(rest.len());
    }

    fn skip_comment(&mut self) {
        let rest = &self.bytes[self.at + 1..];
        let end = memmem::find(rest, b"*/").map_or(rest.len(), |it| it + 2);
        self.at += 1 + end;
    }

    fn string(&mut self, quote: u8) {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(end) = memchr3(quote, b'\\', b'\n', rest) else {
                self.at = self.bytes.len();
                return;
            };
            self.at += end;
            match rest[end] {
                b'\\' => self.at += 2,
                b'\n' => return,
                _ => {
                    self.at += 1;
                    return;
                }
            }
        }
    }

    /// The text of a template, to its end or to its next `${`.
    fn template(&mut self) {
        while let Some(byte) = self.next() {
            self.at += 1;
            match byte {
                b'\\' => self.at = (self.at + 1).min(self.bytes.len()),
                b'`' => break,
                b'$' if self.next() == Some(b'{') => {
                    self.at += 1;
                    self.open(true);
                    break;
                }
                _ => {}
            }
        }
    }

    /// A regular expression ends on its line; what does not was a division.
    fn regex(&mut self) {
        let start = self.at;
        let mut is_class = false;
        while let Some(byte) = self.next() {
            self.at += 1;
            match byte {
                b'\\' => self.at = (self.at + 1).min(self.bytes.len()),
                b'[' => is_class = true,
                b']' => is_class = false,
                b'/' if !is_class => return,
                b'\n' => break,
                _ => {}
            }
        }
        self.at = start;
        self.chain();
    }
}

/// What a word says about nesting.
enum Word {
    /// Of a statement that has another one within.
    Head,
    /// An operator, or what begins a nested expression or type.
    Chain,
    Other,
}

impl Word {
    fn of(bytes: &[u8], at: std::ops::Range<usize>) -> Word {
        let length = at.len();
        let Some(&first) = bytes.get(at.start..).and_then(|it| it.first_chunk::<8>()) else {
            return Word::of_end(&bytes[at]);
        };
        if !MAY_BE_KEYWORD[usize::from(first[0] & 31)][length & 15] {
            return Word::Other;
        }
        if length > 8 {
            return Word::of_end(&bytes[at]);
        }
        match u64::from_le_bytes(first) & (u64::MAX >> (64 - 8 * length)) {
            IF | FOR | WHILE | WITH | ELSE | DO => Word::Head,
            NEW | TYPEOF | VOID | DELETE | AWAIT | YIELD | IN | AS | EXTENDS | CLASS | FUNCTION | ASYNC
            | KEYOF | INFER => Word::Chain,
            _ => Word::Other,
        }
    }

    /// Of a long word, and of one at the end of the text.
    fn of_end(word: &[u8]) -> Word {
        match word {
            b"instanceof" | b"satisfies" => Word::Chain,
            it if it.len() > 8 => Word::Other,
            it => {
                let mut bytes = [0; 8];
                bytes[..it.len()].copy_from_slice(it);
                Word::of(&bytes, 0..it.len())
            }
        }
    }
}

/// A word of at most 8 bytes as one number.
const fn packed(word: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let mut at = 0;
    while at < word.len() {
        bytes[at] = word[at];
        at += 1;
    }
    u64::from_le_bytes(bytes)
}

/// By the first letter's low bits and the length: whether some keyword has these.
const MAY_BE_KEYWORD: [[bool; 16]; 32] = {
    let keywords: [&[u8]; 22] = [
        b"if",
        b"for",
        b"while",
        b"with",
        b"else",
        b"do",
        b"new",
        b"typeof",
        b"void",
        b"delete",
        b"await",
        b"yield",
        b"in",
        b"as",
        b"extends",
        b"class",
        b"function",
        b"async",
        b"keyof",
        b"infer",
        b"instanceof",
        b"satisfies",
    ];
    let mut table = [[false; 16]; 32];
    let mut at = 0;
    while at < keywords.len() {
        let word = keywords[at];
        table[(word[0] & 31) as usize][word.len() & 15] = true;
        at += 1;
    }
    table
};

const IF: u64 = packed(b"if");
const FOR: u64 = packed(b"for");
const WHILE: u64 = packed(b"while");
const WITH: u64 = packed(b"with");
const ELSE: u64 = packed(b"else");
const DO: u64 = packed(b"do");
const NEW: u64 = packed(b"new");
const TYPEOF: u64 = packed(b"typeof");
const VOID: u64 = packed(b"void");
const DELETE: u64 = packed(b"delete");
const AWAIT: u64 = packed(b"await");
const YIELD: u64 = packed(b"yield");
const IN: u64 = packed(b"in");
const AS: u64 = packed(b"as");
const EXTENDS: u64 = packed(b"extends");
const CLASS: u64 = packed(b"class");
const FUNCTION: u64 = packed(b"function");
const ASYNC: u64 = packed(b"async");
const KEYOF: u64 = packed(b"keyof");
const INFER: u64 = packed(b"infer");

fn is_word(byte: u8) -> bool {
    const IS_WORD: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let it = byte as u8;
            table[byte] = it.is_ascii_alphanumeric() || matches!(it, b'_' | b'$') || it >= 0x80;
            byte += 1;
        }
        table
    };
    IS_WORD[usize::from(byte)]
}

/// Whether a slash after this byte begins a regular expression.
fn is_before_operand(last: u8) -> bool {
    matches!(
        last,
        b'(' | b','
            | b'='
            | b':'
            | b'['
            | b'!'
            | b'&'
            | b'|'
            | b'?'
            | b'{'
            | b';'
            | b'+'
            | b'-'
            | b'*'
            | b'%'
            | b'~'
            | b'^'
    )
}

#[cfg(test)]
mod tests {
    use super::nesting;

    #[test]
    fn what_is_skipped_does_not_nest() {
        assert_eq!(nesting("a"), 0);
        assert_eq!(nesting("((("), 3);
        assert_eq!(nesting("'((' + /[/(]+/ // ((("), 1);
        assert_eq!(nesting("/* ((( */ (\n"), 1);
        assert_eq!(nesting("`((${(`${[`(`]}`)}`"), 4);
        for cut in ["'\\", "\"a\\", "`\\", "/a\\", "/*", "/", "'", "`${", "\n\n \n"] {
            assert!(nesting(cut) <= 2, "{cut:?}");
        }
    }

    #[test]
    fn blank_lines_are_looked_at_once() {
        assert_eq!(nesting(&"\n".repeat(4 << 20)), 0);
    }
}
