//! Tokens of a JSON file of any size, one buffer at a time.

use crate::SnapshotError;
use std::io::Read;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;
/// Digits of the greatest number.
const DIGITS_MAX: usize = 20;

/// The text that is left.
pub struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    /// What is left of the buffer: `buffer[at..end]`.
    at: usize,
    end: usize,
    /// Bytes of the file before the buffer.
    before: u64,
}

impl<R: Read> Input<R> {
    /// `source` begins at byte `before` of its file.
    pub fn new(source: R, before: u64) -> Input<R> {
        Input { source, buffer: vec![0; BUFFER], at: 0, end: 0, before }
    }

    /// Bytes of the file before the next token.
    pub fn position(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Reads on, what is left first; `false` at the file's end.
    #[cold]
    fn fill(&mut self) -> Result<bool, SnapshotError> {
        self.buffer.copy_within(self.at..self.end, 0);
        self.before += self.at as u64;
        self.end -= self.at;
        self.at = 0;
        if self.end == self.buffer.len() {
            return Err(self.damaged("a token without an end"));
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SnapshotError::Io(error)),
            }
        }
    }

    pub fn damaged(&self, what: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged { at: self.position(), what: what.into() }
    }

    fn cut(&self) -> SnapshotError {
        SnapshotError::Cut { at: self.before + self.end as u64 }
    }

    /// The next byte that is no white space; `None` at the file's end.
    pub fn peek(&mut self) -> Result<Option<u8>, SnapshotError> {
        loop {
            while self.at < self.end {
                let byte = self.buffer[self.at];
                if !byte.is_ascii_whitespace() {
                    return Ok(Some(byte));
                }
                self.at += 1;
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Takes `byte`, which comes next.
    pub fn expect(&mut self, byte: u8) -> Result<(), SnapshotError> {
        match self.peek()? {
            Some(next) if next == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.damaged(format!("expected `{}`", byte as char))),
            None => Err(self.cut()),
        }
    }

    /// Takes `byte` if it comes next.
    pub fn accept(&mut self, byte: u8) -> Result<bool, SnapshotError> {
        let is_next = self.peek()? == Some(byte);
        self.at += usize::from(is_next);
        Ok(is_next)
    }

    /// The next number of an array whose `[` is taken; `None` after its end.
    #[inline]
    pub fn number(&mut self) -> Result<Option<u64>, SnapshotError> {
        loop {
            let bytes = &self.buffer[self.at..self.end];
            let is_between = |byte: &u8| !matches!(byte, b',' | b' ' | b'\n' | b'\r' | b'\t');
            let start = bytes.iter().position(is_between).unwrap_or(bytes.len());
            let mut value = 0u64;
            let mut digits = 0;
            for byte in &bytes[start..] {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    break;
                }
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
                digits += 1;
            }
            if digits >= DIGITS_MAX {
                return Err(self.damaged("a number that is too long"));
            }
            self.at += start;
            match self.buffer[..self.end].get(self.at + digits).copied() {
                Some(b']') if digits == 0 => {
                    self.at += 1;
                    return Ok(None);
                }
                Some(_) if digits > 0 => {
                    self.at += digits;
                    return Ok(Some(value));
                }
                Some(_) => return Err(self.damaged("expected a number")),
                None if self.fill()? => {}
                None => return Err(self.cut()),
            }
        }
    }

    /// Fills `fields` with the next numbers of an array; `false` at its end.
    #[inline]
    pub fn record(&mut self, fields: &mut [u64]) -> Result<bool, SnapshotError> {
        if let Some(length) = self.buffer[self.at..self.end].first_chunk().and_then(|it| plain(it, fields)) {
            self.at += length;
            return Ok(true);
        }
        self.any_record(fields)
    }

    /// As [`Input::record`], wherever the buffer ends and however the numbers are set apart.
    #[cold]
    fn any_record(&mut self, fields: &mut [u64]) -> Result<bool, SnapshotError> {
        for (at, field) in fields.iter_mut().enumerate() {
            match self.number()? {
                Some(value) => *field = value,
                None if at == 0 => return Ok(false),
                None => return Err(self.damaged("an array that ends within a record")),
            }
        }
        Ok(true)
    }

    /// Passes over the rest of an array of numbers, and its `]`.
    pub fn skip_numbers(&mut self) -> Result<(), SnapshotError> {
        loop {
            match memchr::memchr(b']', &self.buffer[self.at..self.end]) {
                Some(length) => {
                    self.at += length + 1;
                    return Ok(());
                }
                None => self.at = self.end,
            }
            if !self.fill()? {
                return Err(self.cut());
            }
        }
    }

    /// Takes a string, of which `text` gets the first `limit` bytes or somewhat more; mostly, not surely UTF-8.
    pub fn string(&mut self, limit: usize, text: &mut Vec<u8>) -> Result<(), SnapshotError> {
        self.expect(b'"')?;
        text.clear();
        let mut surrogate = None;
        loop {
            let rest = &self.buffer[self.at..self.end];
            let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
            if length > 0 {
                lone(text, &mut surrogate);
                if text.len() < limit {
                    text.extend_from_slice(&rest[..length.min(limit - text.len())]);
                }
                self.at += length;
            }
            match self.buffer[..self.end].get(self.at).copied() {
                Some(b'"') => {
                    self.at += 1;
                    lone(text, &mut surrogate);
                    return Ok(());
                }
                Some(_) => {
                    let escaped = self.escape()?;
                    if text.len() < limit {
                        push_unit(text, &mut surrogate, escaped);
                    }
                }
                None if self.fill()? => {}
                None => return Err(self.cut()),
            }
        }
    }

    /// The UTF-16 unit of the escape that comes next.
    fn escape(&mut self) -> Result<u16, SnapshotError> {
        loop {
            let rest = &self.buffer[self.at..self.end];
            let (unit, length) = match rest.get(1) {
                Some(b'u') if rest.len() >= 6 => {
                    let digits = std::str::from_utf8(&rest[2..6]).ok();
                    let unit = digits.and_then(|it| u16::from_str_radix(it, 16).ok());
                    (unit.ok_or_else(|| self.damaged("a wrong escape in a string"))?, 6)
                }
                Some(b'u') | None => {
                    if self.fill()? {
                        continue;
                    }
                    return Err(self.cut());
                }
                Some(b'n') => (u16::from(b'\n'), 2),
                Some(b't') => (u16::from(b'\t'), 2),
                Some(b'r') => (u16::from(b'\r'), 2),
                Some(b'b') => (8, 2),
                Some(b'f') => (12, 2),
                Some(&it @ (b'"' | b'\\' | b'/')) => (u16::from(it), 2),
                Some(_) => return Err(self.damaged("a wrong escape in a string")),
            };
            self.at += length;
            return Ok(unit);
        }
    }

    /// Passes over one value of any kind.
    pub fn skip(&mut self) -> Result<(), SnapshotError> {
        let mut text = Vec::new();
        let mut depth = 0u64;
        loop {
            match self.peek()? {
                None => return Err(self.cut()),
                Some(b'"') => self.string(0, &mut text)?,
                Some(b'[' | b'{') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b']' | b'}') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => self.at += 1,
                Some(b']' | b'}' | b',' | b':') => return Err(self.damaged("expected a value")),
                Some(_) => self.word()?,
            }
            // A comma or colon is never the last of a value that is not within another.
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), SnapshotError> {
        loop {
            while let Some(byte) = self.buffer[..self.end].get(self.at) {
                if matches!(byte, b',' | b']' | b'}' | b':' | b'"' | b'[' | b'{')
                    || byte.is_ascii_whitespace()
                {
                    return Ok(());
                }
                self.at += 1;
            }
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    /// The bytes of the object that comes next, at most `limit`.
    pub fn raw_object(&mut self, limit: usize) -> Result<Vec<u8>, SnapshotError> {
        self.expect(b'{')?;
        let mut bytes = vec![b'{'];
        let (mut depth, mut is_text, mut is_escaped) = (1, false, false);
        while depth > 0 {
            let Some(&byte) = self.buffer[..self.end].get(self.at) else {
                if self.fill()? {
                    continue;
                }
                return Err(self.cut());
            };
            self.at += 1;
            bytes.push(byte);
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_text => is_escaped = true,
                b'"' => is_text = !is_text,
                b'{' if !is_text => depth += 1,
                b'}' if !is_text => depth -= 1,
                _ => {}
            }
            if bytes.len() > limit {
                return Err(self.damaged("a description of itself that is too long"));
            }
        }
        Ok(bytes)
    }
}

/// Bytes that a record of numbers takes at most, where they are set apart by a comma and a line's end.
const WINDOW: usize = 256;

/// A record as V8 writes it: its numbers, and the bytes it takes. `None` for anything else: the slow way tells.
#[inline]
fn plain(window: &[u8; WINDOW], fields: &mut [u64]) -> Option<usize> {
    let mut at = 0;
    for field in fields {
        at += usize::from(window[at] == b'\n');
        at += usize::from(window[at] == b',');
        let start = at;
        let mut value = 0u64;
        loop {
            let digit = window[at].wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
            // Room for what comes between, and for the first digit behind it.
            if at - start >= DIGITS_MAX || at + 3 >= WINDOW {
                return None;
            }
        }
        if at == start {
            return None;
        }
        *field = value;
    }
    Some(at)
}

/// Half a pair that the other half never came to.
fn lone(text: &mut Vec<u8>, surrogate: &mut Option<u16>) {
    if surrogate.take().is_some() {
        push(text, char::REPLACEMENT_CHARACTER);
    }
}

fn push_unit(text: &mut Vec<u8>, surrogate: &mut Option<u16>, unit: u16) {
    if let Some(high) = surrogate.take() {
        if let Some(Ok(pair)) = char::decode_utf16([high, unit]).next() {
            return push(text, pair);
        }
        push(text, char::REPLACEMENT_CHARACTER);
    }
    match unit {
        0xd800..=0xdbff => *surrogate = Some(unit),
        _ => push(text, char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
    }
}

fn push(text: &mut Vec<u8>, character: char) {
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn numbers_across_buffers() {
        let mut input = Input::new(Slow(b"[12, 3\n,4] 5"), 0);
        input.expect(b'[').unwrap();
        let mut pair = [0; 2];
        assert!(input.record(&mut pair).unwrap());
        assert_eq!(pair, [12, 3]);
        assert!(matches!(input.record(&mut pair), Err(SnapshotError::Damaged { .. })));
        assert_eq!(input.peek().unwrap(), Some(b'5'));
    }

    /// Twin: the fast way gives what the slow one does, or nothing.
    #[test]
    fn plain_records() {
        for text in [
            "1,2,3",
            "1,2,3]",
            "\n,10,20,30\n,4",
            ",1,18446744073709551615,0 ,",
            "1,,2",
            "1, 2,3",
            "1,-2,3",
            "x",
            "]",
        ] {
            let mut json = text.as_bytes().to_vec();
            json.resize(WINDOW + 10, b' ');
            let (mut fast, mut slow) = ([0; 3], [0; 3]);
            let length = plain(json.first_chunk().unwrap(), &mut fast);
            let mut input = Input::new(&json[..], 0);
            let is_read = matches!(input.any_record(&mut slow), Ok(true));
            if let Some(length) = length {
                assert!(is_read, "{text}");
                assert_eq!((fast, length as u64), (slow, input.position()), "{text}");
            }
        }
        assert_eq!(plain(&[b'1'; WINDOW], &mut [0; 3]), None);
    }

    #[test]
    fn strings_across_buffers() {
        let text = |json: &str, limit| {
            let mut text = Vec::new();
            Input::new(Slow(json.as_bytes()), 0).string(limit, &mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        };
        assert_eq!(text(r#""a\n\u00e9\ud83d\ude00é""#, 100), "a\né😀é");
        assert_eq!(text(r#""\ud83d-\ude00""#, 100), "\u{fffd}-\u{fffd}");
        assert!(text(&format!("\"{}\"", "x".repeat(10_000_000)), 50).len() < 60);
    }

    #[test]
    fn values_are_skipped() {
        for value in ["[[1,2],{\"a\":\"]\"},null]", "-1.5e3", "\"x\\\"]\"", "{}", "[]", "true"] {
            let json = format!("{value} ,");
            let mut input = Input::new(Slow(json.as_bytes()), 0);
            input.skip().unwrap();
            assert_eq!(input.peek().unwrap(), Some(b','), "{value}");
        }
        for cut in ["[1,", "{\"a\"", "\"x", ""] {
            assert!(
                matches!(Input::new(Slow(cut.as_bytes()), 0).skip(), Err(SnapshotError::Cut { .. })),
                "{cut}"
            );
        }
    }
}
