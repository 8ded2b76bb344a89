//! Expansion of macros.

use super::{BodyToken, Frame, MAX_DEPTH, MAX_TOKENS, Macro, Preprocessor, is_dynamic};
use crate::lex::{EXPANDED, Kind, LINE_NUMBER, LINE_START, Lexer, PAINTED, SPACE, Token};
use crate::symbols::{Sym, sym};

/// Bytes of a spelling that `#` or `##` makes: each use may double it.
const MAX_TEXT: usize = 1 << 20;
/// Bytes that such spellings may take for one token of the budget.
const TEXT_PER_TOKEN: usize = 4;
const TOO_LONG: &str = "a macro makes a spelling of more than 1 MiB: it was cut";

/// An argument where it is used expanded.
#[derive(Default)]
enum Argument {
    /// Not used yet.
    #[default]
    New,
    /// It is as it was written.
    Plain,
    Expanded(Vec<Token>),
}

impl Preprocessor<'_> {
    /// Expands the macro that `token` names: its body is read next. `false`: it is no macro use.
    pub(super) fn expand(&mut self, token: &mut Token) -> bool {
        let index = token.text.0 as usize;
        self.ask(token.text);
        let Some(Some(definition)) = self.macros.get(index) else {
            return self.expand_dynamic(token);
        };
        if token.flags & PAINTED != 0 {
            return false;
        }
        if self.is_open[index] {
            token.flags |= PAINTED;
            return false;
        }
        let definition = definition.clone();
        let mut site = *token;
        let body = if let Some(params) = &definition.params {
            let paren = self.read_on();
            if !paren.is(sym::LPAREN) {
                if paren.kind != Kind::End {
                    self.pushed_back = Some(paren);
                }
                return false;
            }
            self.gathering += 1;
            let arguments = self.arguments(params.len(), definition.is_variadic);
            self.gathering -= 1;
            let Some((args, end)) = arguments else {
                return true;
            };
            if end.file == site.file && end.end > site.end {
                site.end = end.end;
            }
            self.substitute(&definition, &args, site)
        } else if let [only] = definition.body[..]
            && only.token.kind != Kind::Ident
        {
            // A constant: nothing in it is a macro, so that it need not be read again.
            self.produced += 2;
            let flags = token.flags & (SPACE | LINE_START);
            let made = placed(only.token, site);
            *token = Token { flags: (made.flags & !SPACE) | flags, ..made };
            return false;
        } else if definition.body.iter().any(|it| it.token.is(sym::HASH_HASH)) {
            self.substitute(&definition, &[], site)
        } else {
            definition.body.iter().map(|it| placed(it.token, site)).collect()
        };
        self.produced += body.len() + 1;
        if self.produced > 4 * MAX_TOKENS {
            self.exhaust();
            return true;
        }
        self.is_open[index] = true;
        let mut body = body;
        if let Some(first) = body.first_mut() {
            first.flags = (first.flags & !SPACE) | (token.flags & (SPACE | LINE_START));
        }
        self.frames.push(Frame { tokens: body, at: 0, name: Some(token.text), is_barrier: false });
        true
    }

    /// The token after a macro's name, which may stand after the end of its file.
    pub(super) fn read_on(&mut self) -> Token {
        self.gathering += 1;
        let token = self.read();
        self.gathering -= 1;
        token
    }

    pub(super) fn expand_dynamic(&mut self, token: &mut Token) -> bool {
        let text = match token.text {
            sym::FILE_ | sym::BASE_FILE_ => {
                let path = self.paths[usize::from(token.file)].replace('\\', "\\\\").replace('"', "\\\"");
                token.kind = Kind::String;
                format!("\"{path}\"")
            }
            sym::LINE_ => {
                token.kind = Kind::Number;
                token.flags |= LINE_NUMBER;
                self.line().to_string()
            }
            sym::COUNTER_ => {
                token.kind = Kind::Number;
                self.counter += 1;
                self.forget_recordings();
                (self.counter - 1).to_string()
            }
            sym::INCLUDE_LEVEL_ => {
                token.kind = Kind::Number;
                self.forget_recordings();
                (self.open.len().saturating_sub(1)).to_string()
            }
            sym::DATE_ | sym::TIME_ => {
                token.kind = Kind::String;
                String::from(if token.text == sym::DATE_ { "\"Jan  1 1970\"" } else { "\"00:00:00\"" })
            }
            sym::PRAGMA_OP => {
                let paren = self.read_on();
                if paren.is(sym::LPAREN) {
                    self.gathering += 1;
                    self.arguments(1, false);
                    self.gathering -= 1;
                    return true;
                }
                self.pushed_back = Some(paren);
                return false;
            }
            _ => return false,
        };
        token.text = self.symbols.intern(text.as_bytes());
        false
    }

    /// What is being read depends on more than is recorded.
    pub(super) fn forget_recordings(&mut self) {
        if let Some(it) = self.recordings.last_mut() {
            it.is_void = true;
        }
    }

    pub(super) fn line(&mut self) -> u32 {
        let Some(file) = self.open.last_mut() else { return 1 };
        let at = file.lexer.at;
        let (line, from) = file.line;
        let more = file.lexer.bytes[from..at].iter().filter(|it| **it == b'\n').count();
        file.line = (line + more as u32, at);
        file.line.0
    }

    /// Arguments of a use, up to the closing parenthesis, which is returned too.
    pub(super) fn arguments(&mut self, params: usize, is_variadic: bool) -> Option<(Vec<Vec<Token>>, Token)> {
        let mut args = vec![Vec::new()];
        let mut depth = 0usize;
        let mut count = 0usize;
        loop {
            let mut token = self.read();
            count += 1;
            if token.kind == Kind::End || count > MAX_TOKENS {
                self.note("a macro's arguments do not end");
                return None;
            }
            match token.text {
                _ if token.kind != Kind::Punct => {}
                sym::LPAREN => depth += 1,
                sym::RPAREN if depth == 0 => return Some((args, token)),
                sym::RPAREN => depth -= 1,
                sym::COMMA if depth == 0 && !(is_variadic && args.len() == params) => {
                    args.push(Vec::new());
                    continue;
                }
                _ => {}
            }
            if token.kind == Kind::Ident && self.is_open.get(token.text.0 as usize) == Some(&true) {
                token.flags |= PAINTED;
            }
            args.last_mut().expect("there is always one argument").push(token);
        }
    }

    /// A macro's body with its arguments put in.
    pub(super) fn substitute(&mut self, definition: &Macro, args: &[Vec<Token>], site: Token) -> Vec<Token> {
        let body = &definition.body;
        let mut expanded: Vec<Argument> = Vec::new();
        expanded.resize_with(args.len(), Argument::default);
        let mut out: Vec<Token> = Vec::with_capacity(body.len() + 8);
        let count = definition.params.as_ref().map_or(0, Vec::len);
        let variadic = definition.is_variadic.then(|| count - 1);
        let mut at = 0;
        // The left operand of a coming `##` is there; false: it was an empty argument.
        let mut has_left = false;
        // Ends of `__VA_OPT__(...)` that are being copied.
        let mut optional_ends: Vec<usize> = Vec::new();
        while at < body.len() {
            if optional_ends.last() == Some(&at) {
                optional_ends.pop();
                at += 1;
                continue;
            }
            let BodyToken { token, param } = body[at];
            let is_paste = |at: usize| body.get(at).is_some_and(|it| it.token.is(sym::HASH_HASH));
            if token.is(sym::HASH)
                && definition.params.is_some()
                && body.get(at + 1).is_some_and(|it| it.param.is_some())
            {
                let index = usize::from(body[at + 1].param.unwrap_or(0));
                let text = self.stringify(args.get(index).map_or(&[], Vec::as_slice));
                out.push(Token { kind: Kind::String, text, flags: token.flags | EXPANDED, ..site });
                has_left = true;
                at += 2;
                continue;
            }
            if token.is(sym::HASH_HASH) && at > 0 && at + 1 < body.len() {
                at = self.paste_next(definition, args, site, at, has_left, variadic, &mut out);
                has_left = true;
                continue;
            }
            if token.text == sym::VA_OPT
                && variadic.is_some()
                && body.get(at + 1).is_some_and(|it| it.token.is(sym::LPAREN))
            {
                let end = close_of_body(body, at + 1);
                let has_any = variadic.and_then(|it| args.get(it)).is_some_and(|it| !it.is_empty());
                if has_any {
                    optional_ends.push(end);
                    at += 2;
                } else {
                    at = end + 1;
                }
                continue;
            }
            let Some(param) = param.map(usize::from) else {
                out.push(placed(token, site));
                has_left = true;
                at += 1;
                continue;
            };
            let raw = args.get(param).map_or(&[] as &[Token], Vec::as_slice);
            let before = out.len();
            if is_paste(at + 1) {
                out.extend_from_slice(raw);
            } else if let Some(argument) = expanded.get_mut(param) {
                if let Argument::New = argument {
                    *argument = match self.is_plain(raw) {
                        true => Argument::Plain,
                        false => Argument::Expanded(self.expand_list(raw.to_vec())),
                    };
                }
                out.extend_from_slice(if let Argument::Expanded(it) = argument { it } else { raw });
            }
            has_left = out.len() > before;
            if let Some(first) = out.get_mut(before) {
                first.flags = (first.flags & !(SPACE | LINE_START)) | (token.flags & SPACE);
            }
            at += 1;
        }
        out
    }

    /// `##` at `at`: joins what stands before it with what comes. Returns where the body goes on.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn paste_next(
        &mut self,
        definition: &Macro,
        args: &[Vec<Token>],
        site: Token,
        at: usize,
        has_left: bool,
        variadic: Option<usize>,
        out: &mut Vec<Token>,
    ) -> usize {
        let next = definition.body[at + 1];
        let Some(param) = next.param.map(usize::from) else {
            if has_left && let Some(left) = out.pop() {
                let right = placed(next.token, site);
                self.paste(left, right, out);
            } else {
                out.push(placed(next.token, site));
            }
            return at + 2;
        };
        let raw = args.get(param).map_or(&[] as &[Token], Vec::as_slice);
        let is_comma = at > 0 && definition.body[at - 1].token.is(sym::COMMA);
        if is_comma && Some(param) == variadic {
            // GNU: `, ## __VA_ARGS__` drops the comma when nothing follows.
            if raw.is_empty() {
                out.pop();
            } else {
                let tokens = self.expand_list(raw.to_vec());
                out.extend_from_slice(&tokens);
            }
            return at + 2;
        }
        match raw.split_first() {
            None => {}
            Some((first, rest)) => {
                match out.pop() {
                    Some(left) if has_left => self.paste(left, *first, out),
                    Some(other) => {
                        out.push(other);
                        out.push(*first);
                    }
                    None => out.push(*first),
                }
                out.extend_from_slice(rest);
            }
        }
        at + 2
    }

    /// One token of two, or both where they make none.
    pub(super) fn paste(&mut self, left: Token, right: Token, out: &mut Vec<Token>) {
        let mut text = self.symbols.bytes(left.text).to_vec();
        text.extend_from_slice(self.symbols.bytes(right.text));
        let length = text.len();
        self.produced += length / TEXT_PER_TOKEN;
        if length > MAX_TEXT {
            self.note_once(TOO_LONG);
            return out.extend([left, right]);
        }
        let mut lexer = Lexer::new(text.into(), left.file, self.is_cpp);
        let made = lexer.next(self.symbols, false);
        if lexer.at < length || made.kind == Kind::End {
            out.push(left);
            out.push(right);
            return;
        }
        out.push(Token { kind: made.kind, text: made.text, flags: left.flags & !PAINTED, ..left });
    }

    pub(super) fn stringify(&mut self, tokens: &[Token]) -> Sym {
        let mut text = vec![b'"'];
        for (index, token) in tokens.iter().enumerate() {
            if text.len() > MAX_TEXT {
                self.note_once(TOO_LONG);
                break;
            }
            if index > 0 && token.flags & (SPACE | LINE_START) != 0 {
                text.push(b' ');
            }
            for &byte in self.symbols.bytes(token.text) {
                let is_literal = matches!(token.kind, Kind::String | Kind::Char);
                if byte == b'"' || (byte == b'\\' && is_literal) {
                    text.push(b'\\');
                }
                text.push(byte);
            }
        }
        text.push(b'"');
        self.produced += text.len() / TEXT_PER_TOKEN;
        self.symbols.intern(&text)
    }

    /// Whether none of these names a macro.
    fn is_plain(&mut self, tokens: &[Token]) -> bool {
        tokens.iter().all(|it| {
            it.kind != Kind::Ident || {
                self.ask(it.text);
                self.macro_of(it.text).is_none() && !is_dynamic(it.text)
            }
        })
    }

    /// Tokens expanded on their own.
    pub(super) fn expand_list(&mut self, tokens: Vec<Token>) -> Vec<Token> {
        if self.is_plain(&tokens) {
            return tokens;
        }
        if self.arg_depth >= MAX_DEPTH {
            self.note("macro arguments nest too deep: some were not expanded");
            return tokens;
        }
        self.arg_depth += 1;
        let pushed_back = self.pushed_back.take();
        self.frames.push(Frame { tokens, at: 0, name: None, is_barrier: true });
        let depth = self.frames.len();
        let mut out = Vec::new();
        while !self.is_exhausted {
            let mut token = self.read();
            if token.kind == Kind::End {
                break;
            }
            if token.kind == Kind::Ident && self.expand(&mut token) {
                continue;
            }
            out.push(token);
        }
        while self.frames.len() >= depth {
            let frame = self.frames.pop();
            if let Some(name) = frame.and_then(|it| it.name) {
                self.is_open[name.0 as usize] = false;
            }
        }
        self.pushed_back = pushed_back;
        self.arg_depth -= 1;
        out
    }
}

fn placed(token: Token, site: Token) -> Token {
    let flags = (token.flags & (SPACE | LINE_NUMBER)) | EXPANDED;
    Token { flags, file: site.file, start: site.start, end: site.end, ..token }
}

fn close_of_body(body: &[BodyToken], open: usize) -> usize {
    let mut depth = 0usize;
    for (index, it) in body.iter().enumerate().skip(open) {
        if it.token.is(sym::LPAREN) {
            depth += 1;
        } else if it.token.is(sym::RPAREN) {
            depth -= 1;
            if depth == 0 {
                return index;
            }
        }
    }
    body.len()
}
