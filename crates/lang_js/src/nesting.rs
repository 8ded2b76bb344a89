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
                it if is_word(it) => self.word(),
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
        match &self.bytes[start..self.at] {
            b"if" | b"for" | b"while" | b"with" | b"else" | b"do" => {
                if let Some(level) = self.levels.last_mut() {
                    level.heads += 1;
                    self.sum += 1;
                }
                self.measure();
            }
            b"new" | b"typeof" | b"void" | b"delete" | b"await" | b"yield" | b"in" | b"instanceof"
            | b"as" | b"satisfies" | b"extends" | b"class" | b"function" | b"async" | b"keyof" | b"infer" => {
                self.chain()
            }
            _ => {}
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
