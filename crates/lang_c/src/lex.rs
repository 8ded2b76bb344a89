//! Preprocessing tokens: bytes to [`Token`]s, one at a time.
//!
//! Comments and line splices are white space; trigraphs are not read. Nothing here fails: a byte that begins
//! no token is a token of kind [`Kind::Other`], an unterminated literal ends with its line, an unterminated
//! comment with its file.

use crate::symbols::{Sym, Symbols, sym};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ident,
    Number,
    Char,
    String,
    Punct,
    /// `#pragma pack`: the text is the alignment in bytes; 0: the default one.
    Pack,
    Other,
    /// Of the file, or of the line within a directive.
    End,
}

/// The first of its line.
pub(crate) const LINE_START: u8 = 1;
/// White space before it.
pub(crate) const SPACE: u8 = 2;
/// Met while its macro was being expanded: stays as it is for good.
pub(crate) const PAINTED: u8 = 4;
/// Comes out of a macro's body.
pub(crate) const EXPANDED: u8 = 8;
/// The second half of a `>>`.
pub(crate) const JOINED: u8 = 16;
/// What `__LINE__` stands for.
pub(crate) const LINE_NUMBER: u8 = 32;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) file: u16,
    pub(crate) text: Sym,
    /// Bytes of the file. Of a token out of a macro: of the macro's use.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Token {
    pub(crate) fn is(self, text: Sym) -> bool {
        self.text == text && matches!(self.kind, Kind::Punct | Kind::Ident)
    }
}

/// A place in one file.
#[derive(Clone, Debug)]
pub(crate) struct Lexer {
    pub(crate) bytes: std::sync::Arc<[u8]>,
    pub(crate) at: usize,
    pub(crate) file: u16,
    is_cpp: bool,
    /// Only white space since the line began.
    is_line_start: bool,
}

/// Bytes of identifiers, by a table: this is asked for each byte of each header.
const IS_IDENT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let it = byte as u8;
        table[byte] = it.is_ascii_alphanumeric() || it == b'_' || it == b'$' || it >= 0x80;
        byte += 1;
    }
    table
};

fn is_ident(byte: u8) -> bool {
    IS_IDENT[usize::from(byte)]
}

impl Lexer {
    /// Files are shorter than 4 GiB (the caller's duty).
    pub(crate) fn new(bytes: std::sync::Arc<[u8]>, file: u16, is_cpp: bool) -> Lexer {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Lexer { bytes, at, file, is_cpp, is_line_start: true }
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Length of a line splice at `at`; 0: there is none.
    fn splice(&self, at: usize) -> usize {
        match (self.byte(at), self.byte(at + 1), self.byte(at + 2)) {
            (b'\\', b'\n', _) => 2,
            (b'\\', b'\r', b'\n') => 3,
            _ => 0,
        }
    }

    /// Skips white space and comments. Within a directive, stops before the end of the line.
    fn blank(&mut self, in_directive: bool) -> bool {
        let start = self.at;
        loop {
            match self.byte(self.at) {
                b'\n' if in_directive => break,
                b'\n' => {
                    self.is_line_start = true;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                0 if self.at < self.bytes.len() => self.at += 1,
                b'\\' if self.splice(self.at) > 0 => self.at += self.splice(self.at),
                b'/' if self.byte(self.at + 1) == b'*' => self.block_comment(),
                b'/' if self.byte(self.at + 1) == b'/' => self.line_comment(),
                _ => break,
            }
        }
        self.at > start
    }

    fn block_comment(&mut self) {
        let start = (self.at + 2).min(self.bytes.len());
        let rest = &self.bytes[start..];
        let end = memchr::memchr_iter(b'/', rest).find(|it| *it > 0 && rest[it - 1] == b'*');
        self.at = end.map_or(self.bytes.len(), |it| start + it + 1);
    }

    fn line_comment(&mut self) {
        while let Some(end) = memchr::memchr2(b'\n', b'\\', &self.bytes[self.at..]) {
            self.at += end;
            match self.splice(self.at) {
                0 if self.bytes[self.at] == b'\n' => return,
                splice => self.at += splice.max(1),
            }
        }
        self.at = self.bytes.len();
    }

    /// The next token. Within a directive, the end of the line is [`Kind::End`] and stays unread.
    pub(crate) fn next(&mut self, symbols: &mut Symbols, in_directive: bool) -> Token {
        let has_space = self.blank(in_directive);
        let mut flags = if has_space { SPACE } else { 0 };
        if self.is_line_start {
            flags |= LINE_START;
        }
        let start = self.at;
        if start >= self.bytes.len() || (in_directive && self.bytes[start] == b'\n') {
            return self.token(Kind::End, flags, sym::EMPTY, start);
        }
        self.is_line_start = false;
        let first = self.bytes[start];
        if first.is_ascii_digit() || (first == b'.' && self.byte(start + 1).is_ascii_digit()) {
            return self.number(symbols, flags);
        }
        if is_ident(first) {
            return self.word(symbols, flags);
        }
        match first {
            b'"' => self.literal(symbols, flags, start, b'"', Kind::String),
            b'\'' => self.literal(symbols, flags, start, b'\'', Kind::Char),
            _ => self.punct(symbols, flags, start),
        }
    }

    fn token(&self, kind: Kind, flags: u8, text: Sym, start: usize) -> Token {
        Token { kind, flags, file: self.file, text, start: start as u32, end: self.at as u32 }
    }

    /// The text since `start` without its splices.
    fn text(&self, symbols: &mut Symbols, start: usize, has_splice: bool) -> Sym {
        if !has_splice {
            return symbols.intern(&self.bytes[start..self.at]);
        }
        let mut clean = Vec::new();
        let mut at = start;
        while at < self.at {
            match self.splice(at) {
                0 => {
                    clean.push(self.bytes[at]);
                    at += 1;
                }
                splice => at += splice,
            }
        }
        symbols.intern(&clean)
    }

    fn number(&mut self, symbols: &mut Symbols, flags: u8) -> Token {
        let start = self.at;
        let mut has_splice = false;
        loop {
            let byte = self.byte(self.at);
            let next = self.byte(self.at + 1);
            if matches!(byte, b'e' | b'E' | b'p' | b'P') && matches!(next, b'+' | b'-') {
                self.at += 2;
            } else if is_ident(byte) || byte == b'.' || (self.is_cpp && byte == b'\'' && is_ident(next)) {
                self.at += 1;
            } else if self.splice(self.at) > 0 {
                has_splice = true;
                self.at += self.splice(self.at);
            } else {
                break;
            }
        }
        let text = self.text(symbols, start, has_splice);
        self.token(Kind::Number, flags, text, start)
    }

    fn word(&mut self, symbols: &mut Symbols, flags: u8) -> Token {
        let start = self.at;
        let mut has_splice = false;
        loop {
            let rest = &self.bytes[self.at..];
            self.at += rest.iter().position(|it| !is_ident(*it)).unwrap_or(rest.len());
            match self.splice(self.at) {
                0 => break,
                splice => {
                    has_splice = true;
                    self.at += splice;
                }
            }
        }
        let word = &self.bytes[start..self.at];
        let quote = self.byte(self.at);
        if quote == b'"'
            && word.last() == Some(&b'R')
            && self.is_cpp
            && matches!(word, b"R" | b"LR" | b"uR" | b"UR" | b"u8R")
        {
            return self.raw_string(symbols, flags, start);
        }
        if matches!(quote, b'"' | b'\'') && matches!(word, b"L" | b"u" | b"U" | b"u8") {
            let kind = if quote == b'"' { Kind::String } else { Kind::Char };
            return self.literal(symbols, flags, start, quote, kind);
        }
        let text = self.text(symbols, start, has_splice);
        self.token(Kind::Ident, flags, text, start)
    }

    /// A string or character literal whose opening quote is at `self.at`.
    fn literal(&mut self, symbols: &mut Symbols, flags: u8, start: usize, quote: u8, kind: Kind) -> Token {
        self.at += 1;
        let mut has_splice = false;
        loop {
            let byte = self.byte(self.at);
            if self.at >= self.bytes.len() || byte == b'\n' {
                break;
            }
            if self.splice(self.at) > 0 {
                has_splice = true;
                self.at += self.splice(self.at);
            } else if byte == b'\\' && self.byte(self.at + 1) != b'\n' {
                self.at = (self.at + 2).min(self.bytes.len());
            } else {
                self.at += 1;
                if byte == quote {
                    break;
                }
            }
        }
        let text = self.text(symbols, start, has_splice);
        self.token(kind, flags, text, start)
    }

    /// `R"delimiter(...)delimiter"`. Its text keeps the form; reading the value strips it.
    fn raw_string(&mut self, symbols: &mut Symbols, flags: u8, start: usize) -> Token {
        let open = self.at + 1;
        let delimiter = self.bytes[open..].iter().take(17).position(|it| *it == b'(');
        let Some(length) = delimiter else {
            return self.literal(symbols, flags, start, b'"', Kind::String);
        };
        let mut close = vec![b')'];
        close.extend_from_slice(&self.bytes[open..open + length]);
        close.push(b'"');
        let body = open + length + 1;
        let found = self.bytes[body..].windows(close.len()).position(|it| it == close.as_slice());
        self.at = found.map_or(self.bytes.len(), |it| body + it + close.len());
        let text = self.text(symbols, start, false);
        self.token(Kind::String, flags, text, start)
    }

    fn punct(&mut self, symbols: &mut Symbols, flags: u8, start: usize) -> Token {
        let (a, b, c) = (self.bytes[start], self.byte(start + 1), self.byte(start + 2));
        let (length, text) = match (a, b, c) {
            (b'.', b'.', b'.') => (3, sym::ELLIPSIS),
            (b'<', b'<', b'=') => (3, sym::SHL_EQ),
            (b'>', b'>', b'=') => (3, sym::SHR_EQ),
            (b'-', b'>', b'*') if self.is_cpp => (3, sym::ARROW_STAR),
            (b'<', b'=', b'>') if self.is_cpp => (3, sym::SPACESHIP),
            (b'-', b'>', _) => (2, sym::ARROW),
            (b'+', b'+', _) => (2, sym::INC),
            (b'-', b'-', _) => (2, sym::DEC),
            (b'<', b'<', _) => (2, sym::SHL),
            (b'>', b'>', _) => (2, sym::SHR),
            (b'<', b'=', _) => (2, sym::LE),
            (b'>', b'=', _) => (2, sym::GE),
            (b'=', b'=', _) => (2, sym::EQ),
            (b'!', b'=', _) => (2, sym::NE),
            (b'&', b'&', _) => (2, sym::AND_AND),
            (b'|', b'|', _) => (2, sym::OR_OR),
            (b'+', b'=', _) => (2, sym::PLUS_EQ),
            (b'-', b'=', _) => (2, sym::MINUS_EQ),
            (b'*', b'=', _) => (2, sym::STAR_EQ),
            (b'/', b'=', _) => (2, sym::SLASH_EQ),
            (b'%', b'=', _) => (2, sym::PERCENT_EQ),
            (b'&', b'=', _) => (2, sym::AMP_EQ),
            (b'|', b'=', _) => (2, sym::PIPE_EQ),
            (b'^', b'=', _) => (2, sym::CARET_EQ),
            (b'#', b'#', _) => (2, sym::HASH_HASH),
            (b':', b':', _) if self.is_cpp => (2, sym::COLONS),
            (b'.', b'*', _) if self.is_cpp => (2, sym::DOT_STAR),
            (b'<', b':', _) => (2, sym::LBRACKET),
            (b':', b'>', _) => (2, sym::RBRACKET),
            (b'<', b'%', _) => (2, sym::LBRACE),
            (b'%', b'>', _) => (2, sym::RBRACE),
            (b'(', ..) => (1, sym::LPAREN),
            (b')', ..) => (1, sym::RPAREN),
            (b'{', ..) => (1, sym::LBRACE),
            (b'}', ..) => (1, sym::RBRACE),
            (b'[', ..) => (1, sym::LBRACKET),
            (b']', ..) => (1, sym::RBRACKET),
            (b';', ..) => (1, sym::SEMI),
            (b',', ..) => (1, sym::COMMA),
            (b'.', ..) => (1, sym::DOT),
            (b'?', ..) => (1, sym::QUESTION),
            (b':', ..) => (1, sym::COLON),
            (b'+', ..) => (1, sym::PLUS),
            (b'-', ..) => (1, sym::MINUS),
            (b'*', ..) => (1, sym::STAR),
            (b'/', ..) => (1, sym::SLASH),
            (b'%', ..) => (1, sym::PERCENT),
            (b'&', ..) => (1, sym::AMP),
            (b'|', ..) => (1, sym::PIPE),
            (b'^', ..) => (1, sym::CARET),
            (b'~', ..) => (1, sym::TILDE),
            (b'!', ..) => (1, sym::BANG),
            (b'=', ..) => (1, sym::ASSIGN),
            (b'<', ..) => (1, sym::LT),
            (b'>', ..) => (1, sym::GT),
            (b'#', ..) => (1, sym::HASH),
            _ => {
                self.at += 1;
                let text = symbols.intern(&self.bytes[start..=start]);
                return self.token(Kind::Other, flags, text, start);
            }
        };
        self.at += length;
        self.token(Kind::Punct, flags, text, start)
    }

    /// Moves to the end of the line, splices and comments included.
    pub(crate) fn skip_line(&mut self) {
        while self.at < self.bytes.len() && self.bytes[self.at] != b'\n' {
            match (self.bytes[self.at], self.byte(self.at + 1)) {
                (b'\\', _) => self.at += self.splice(self.at).max(1),
                (b'/', b'*') => self.block_comment(),
                (b'/', b'/') => self.line_comment(),
                (quote @ (b'"' | b'\''), _) => self.skip_literal(quote),
                _ => self.at += 1,
            }
        }
    }

    fn skip_literal(&mut self, quote: u8) {
        self.at += 1;
        while self.at < self.bytes.len() && self.bytes[self.at] != b'\n' {
            let byte = self.bytes[self.at];
            self.at += if byte == b'\\' {
                self.splice(self.at).max(if self.byte(self.at + 1) == b'\n' { 1 } else { 2 })
            } else {
                1
            };
            if byte == quote {
                break;
            }
        }
        self.at = self.at.min(self.bytes.len());
    }

    /// Moves to just after the `#` of the next directive; `false`: the file ends before one.
    pub(crate) fn skip_to_directive(&mut self) -> bool {
        loop {
            self.blank(false);
            if self.at >= self.bytes.len() {
                return false;
            }
            if self.bytes[self.at] == b'#' && self.is_line_start {
                self.at += 1;
                self.is_line_start = false;
                return true;
            }
            self.is_line_start = false;
            self.skip_line();
        }
    }
}
