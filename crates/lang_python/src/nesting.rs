//! How deep a text nests, before any parser sees it.

use memchr::{memchr, memchr2, memchr3};

/// An upper bound of how deep the syntax tree of a text gets: open brackets and blocks, plus the operators, dots
/// and calls since the last comma or statement in each.
pub fn nesting(text: &str) -> u32 {
    let mut it = Nesting {
        bytes: text.as_bytes(),
        at: 0,
        chained: 0,
        levels: Vec::new(),
        blocks: Vec::new(),
        sum: 0,
        greatest: 0,
    };
    it.scan();
    it.measure();
    it.greatest
}

/// What [`Nesting::scan`] does with a byte.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    /// Part of a name or number.
    None,
    /// An operator, a dot.
    Chain,
    Blank,
    /// A bracket, quote, end.
    Other,
}

const MARKS: [Mark; 256] = {
    let mut table = [Mark::None; 256];
    let (chain, other) = (b"+-*/%.~|&^<>@=:", b"()[]{},;\n#\"'");
    let mut at = 0;
    while at < chain.len() {
        table[chain[at] as usize] = Mark::Chain;
        at += 1;
    }
    at = 0;
    while at < other.len() {
        table[other[at] as usize] = Mark::Other;
        at += 1;
    }
    table[b' ' as usize] = Mark::Blank;
    table
};

struct Nesting<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Chained operators in the innermost open bracket, or in the statement itself.
    chained: u32,
    /// The same of what is around it.
    levels: Vec<u32>,
    /// Columns of the open blocks.
    blocks: Vec<u32>,
    /// Invariant: `levels.len() + levels.sum() + chained`.
    sum: u32,
    /// Up to where anything last became less deep.
    greatest: u32,
}

impl Nesting<'_> {
    fn scan(&mut self) {
        self.line_start();
        while let Some(plain) =
            self.bytes[self.at..].iter().position(|it| MARKS[usize::from(*it)] != Mark::None)
        {
            self.at += plain + 1;
            let byte = self.bytes[self.at - 1];
            match MARKS[usize::from(byte)] {
                Mark::Chain => {
                    self.chain();
                    continue;
                }
                // A blank before a letter: `not`, `lambda`, `if ... else`, `await`.
                Mark::Blank => {
                    if self.bytes.get(self.at).is_some_and(u8::is_ascii_lowercase) {
                        self.chain();
                    }
                    continue;
                }
                Mark::None | Mark::Other => {}
            }
            match byte {
                b'(' | b'[' | b'{' => self.open(),
                b')' | b']' | b'}' => self.close(),
                b',' | b';' => self.end_chain(),
                b'\n' if self.levels.is_empty() => {
                    self.end_chain();
                    self.line_start();
                }
                b'#' => self.skip_line(),
                b'"' | b'\'' => self.string(byte),
                _ => {}
            }
        }
    }

    /// To be called before anything becomes less deep.
    fn measure(&mut self) {
        let blocks = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.greatest = self.greatest.max(self.sum.saturating_add(blocks));
    }

    fn open(&mut self) {
        self.levels.push(std::mem::take(&mut self.chained));
        self.sum += 1;
    }

    /// What follows may chain on: `f()()`.
    fn close(&mut self) {
        self.measure();
        if let Some(around) = self.levels.pop() {
            self.sum -= std::mem::replace(&mut self.chained, around) + 1;
        }
        self.chain();
    }

    fn chain(&mut self) {
        self.chained += 1;
        self.sum += 1;
    }

    fn end_chain(&mut self) {
        self.measure();
        self.sum -= std::mem::take(&mut self.chained);
    }

    fn skip_line(&mut self) {
        self.at = memchr(b'\n', &self.bytes[self.at..]).map_or(self.bytes.len(), |it| self.at + it);
    }

    fn line_start(&mut self) {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(|it| matches!(it, b' ' | b'\t')) {
            self.at += 1;
        }
        if self.bytes.get(self.at).is_none_or(|it| matches!(it, b'\n' | b'\r' | b'#')) {
            return;
        }
        self.measure();
        let column = u32::try_from(self.at - start).unwrap_or(u32::MAX);
        while self.blocks.last().is_some_and(|it| *it >= column) {
            self.blocks.pop();
        }
        if column > 0 {
            self.blocks.push(column);
        }
    }

    /// Skips a string. Brackets in one that is an f-string count for as long as it lasts.
    fn string(&mut self, quote: u8) {
        let is_interpolated = self.is_interpolated();
        let is_triple = self.bytes[self.at..].starts_with(&[quote, quote]);
        if is_triple {
            self.at += 2;
        }
        let depth = self.levels.len();
        loop {
            if !is_interpolated {
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                let end = match is_triple {
                    true => memchr2(quote, b'\\', rest),
                    false => memchr3(quote, b'\\', b'\n', rest),
                };
                self.at += end.unwrap_or(rest.len());
            }
            let Some(&byte) = self.bytes.get(self.at) else { break };
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'\n' if !is_triple => {
                    self.at -= 1;
                    break;
                }
                it if it == quote && !is_triple => break,
                it if it == quote && self.bytes[self.at..].starts_with(&[quote, quote]) => {
                    self.at += 2;
                    break;
                }
                b'(' | b'[' | b'{' if is_interpolated => self.open(),
                b')' | b']' | b'}' if is_interpolated && self.levels.len() > depth => self.close(),
                b'+' | b'-' | b'.' | b'~' | b'*' | b':' if self.levels.len() > depth => self.chain(),
                b' ' if self.levels.len() > depth => self.chain(),
                _ => {}
            }
        }
        self.at = self.at.min(self.bytes.len());
        while self.levels.len() > depth {
            self.close();
        }
    }

    /// Whether the quote just read begins an f-string or t-string.
    fn is_interpolated(&self) -> bool {
        let before = &self.bytes[..self.at - 1];
        before
            .iter()
            .rev()
            .take(2)
            .take_while(|it| it.is_ascii_alphabetic())
            .any(|it| matches!(it, b'f' | b'F' | b't' | b'T'))
    }
}

#[cfg(test)]
mod tests {
    use super::nesting;

    #[test]
    fn what_is_skipped_does_not_nest() {
        assert_eq!(nesting("a"), 0);
        assert_eq!(nesting("((("), 3);
        assert_eq!(nesting("'((' # ((("), 0);
        assert_eq!(nesting("\"\"\"((\n(((\\\"\"\"\" + 1"), 1);
        assert_eq!(nesting("f'{(a)}'"), 2);
        assert_eq!(nesting("if a:\n  if b:\n    c"), 3);
        for cut in ["'\\", "\"a\\", "'''\\", "f'{", "'''", "#", "f'\\", "\n\n \n"] {
            assert!(nesting(cut) <= 2, "{cut:?}");
        }
    }
}
