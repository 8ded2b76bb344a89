//! The statements of a function as they stand in its file, macros unexpanded: for edits.
//!
//! Made on demand from the raw tokens. All branches of `#if` are read as if they stood one after the other; where
//! they cut a statement in two, or do not balance, there is no outline.

use crate::lex::{Kind, LINE_START, Lexer, Token};
use crate::symbols::{Sym, Symbols, sym};
use heapwise_check::fixes::outline::{Outline, Statement, StatementId, StatementKind};
use heapwise_model::Language;
use std::sync::Arc;

/// Nested statements; deeper ones have no outline.
const MAX_DEPTH: u32 = 200;
/// Longer functions have none.
const MAX_TOKENS: usize = 200_000;

/// The statements of the function whose name ends at `name_end` and whose body's brace closes at `end`; `None`
/// where the source's form does not tell.
pub fn outline(text: &Arc<[u8]>, language: Language, name_end: u32, end: u32) -> Option<Outline> {
    let mut symbols = Symbols::new();
    let mut reader = Reader::new(text, language, name_end, end, &mut symbols)?;
    reader.find_body()?;
    reader.statement(None, false, 0)?;
    let is_whole = reader.at == reader.tokens.len() && !reader.is_cut;
    is_whole.then_some(reader.outline)
}

struct Reader {
    tokens: Vec<Token>,
    /// Per token: a conditional directive stands before it.
    is_after_directive: Vec<bool>,
    at: usize,
    /// A directive cuts a statement.
    is_cut: bool,
    outline: Outline,
}

impl Reader {
    fn new(
        text: &Arc<[u8]>,
        language: Language,
        start: u32,
        end: u32,
        symbols: &mut Symbols,
    ) -> Option<Reader> {
        let mut lexer = Lexer::new(text.clone(), 0, language == Language::Cpp);
        lexer.at = start as usize;
        let mut tokens: Vec<Token> = Vec::new();
        let mut is_after_directive = Vec::new();
        let mut has_directive = false;
        let mut has_conditionals = false;
        loop {
            let token = lexer.next(symbols, false);
            if token.kind == Kind::End || token.start >= end {
                break;
            }
            if token.is(sym::HASH) && token.flags & LINE_START != 0 && !tokens.is_empty() {
                let name = lexer.next(symbols, true);
                if is_conditional(name) {
                    has_directive = true;
                    has_conditionals = true;
                }
                let mut last = name;
                while last.kind != Kind::End {
                    last = lexer.next(symbols, true);
                }
                continue;
            }
            tokens.push(token);
            is_after_directive.push(std::mem::take(&mut has_directive));
            if tokens.len() > MAX_TOKENS {
                return None;
            }
        }
        let outline = Outline { has_conditionals, ..Outline::default() };
        Some(Reader { tokens, is_after_directive, at: 0, is_cut: false, outline })
    }

    /// Skips to the function's `{`.
    fn find_body(&mut self) -> Option<()> {
        loop {
            let token = *self.tokens.get(self.at)?;
            match token.text {
                sym::LBRACE if token.kind == Kind::Punct => return Some(()),
                sym::LPAREN | sym::LBRACKET if token.kind == Kind::Punct => self.skip_brackets()?,
                sym::SEMI if token.kind == Kind::Punct => self.bump(),
                _ => self.bump(),
            }
        }
    }

    fn is(&self, text: Sym) -> bool {
        self.tokens.get(self.at).is_some_and(|it| it.is(text))
    }

    fn is_at(&self, ahead: usize, text: Sym) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|it| it.is(text))
    }

    fn bump(&mut self) {
        self.is_cut |= self.is_after_directive.get(self.at).is_some_and(|it| *it);
        self.at += 1;
    }

    /// The next token may stand after a directive.
    fn allow_directive(&mut self) {
        if let Some(it) = self.is_after_directive.get_mut(self.at) {
            *it = false;
        }
    }

    fn eat(&mut self, text: Sym) -> Option<()> {
        if !self.is(text) {
            return None;
        }
        self.bump();
        Some(())
    }

    /// From an opening bracket to after the one that closes it.
    fn skip_brackets(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            let token = *self.tokens.get(self.at)?;
            if token.kind == Kind::Punct {
                match token.text {
                    sym::LPAREN => open.push(sym::RPAREN),
                    sym::LBRACKET => open.push(sym::RBRACKET),
                    sym::LBRACE => open.push(sym::RBRACE),
                    sym::RPAREN | sym::RBRACKET | sym::RBRACE if open.pop() != Some(token.text) => {
                        return None;
                    }
                    _ => {}
                }
            }
            self.bump();
            if open.is_empty() {
                return Some(());
            }
        }
    }

    fn labels(&mut self) -> Option<()> {
        loop {
            let token = *self.tokens.get(self.at)?;
            if token.kind != Kind::Ident {
                return Some(());
            }
            match token.text {
                sym::CASE => {
                    let mut questions = 0u32;
                    loop {
                        let token = *self.tokens.get(self.at)?;
                        match token.text {
                            sym::LPAREN if token.kind == Kind::Punct => {
                                self.skip_brackets()?;
                                continue;
                            }
                            sym::QUESTION => questions += 1,
                            sym::COLON if questions > 0 => questions -= 1,
                            sym::COLON => break,
                            sym::SEMI | sym::RBRACE => return None,
                            _ => {}
                        }
                        self.bump();
                    }
                    self.bump();
                }
                sym::DEFAULT => {
                    self.bump();
                    self.eat(sym::COLON)?;
                }
                _ if self.is_at(1, sym::COLON) => {
                    self.bump();
                    self.bump();
                }
                _ => return Some(()),
            }
            self.allow_directive();
        }
    }

    fn statement(&mut self, parent: Option<StatementId>, is_sole: bool, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.labels()?;
        let token = *self.tokens.get(self.at)?;
        if token.is(sym::RBRACE) {
            // A label at the end of a block.
            return Some(());
        }
        let before = self.at.checked_sub(1).map_or(token.start, |it| self.tokens[it].end);
        let id = StatementId(u32::try_from(self.outline.statements.len()).ok()?);
        let is_sole = is_sole && !token.is(sym::LBRACE);
        let kind = StatementKind::Simple;
        let start = token.start;
        self.outline.statements.push(Statement { start, end: start, before, parent, kind, is_sole });
        let kind = self.rest(id, token, depth)?;
        let end = self.tokens[self.at - 1].end;
        let statement = &mut self.outline.statements[id.0 as usize];
        (statement.kind, statement.end) = (kind, end);
        Some(())
    }

    /// The statement that begins here.
    fn rest(&mut self, id: StatementId, first: Token, depth: u32) -> Option<StatementKind> {
        if first.is(sym::LBRACE) {
            self.block(id, depth)?;
            return Some(StatementKind::Block);
        }
        if first.kind != Kind::Ident {
            self.expression(first)?;
            return Some(StatementKind::Simple);
        }
        match first.text {
            sym::IF => {
                self.bump();
                if self.is(sym::CONSTEXPR) {
                    self.bump();
                }
                self.head()?;
                self.statement(Some(id), true, depth + 1)?;
                let has_else = self.is(sym::ELSE);
                if has_else {
                    self.bump();
                    self.statement(Some(id), true, depth + 1)?;
                }
                Some(StatementKind::If { has_else })
            }
            sym::WHILE | sym::FOR | sym::SWITCH => {
                self.bump();
                self.head()?;
                self.statement(Some(id), true, depth + 1)?;
                Some(if first.text == sym::SWITCH { StatementKind::Switch } else { StatementKind::Loop })
            }
            sym::DO => {
                self.bump();
                self.statement(Some(id), true, depth + 1)?;
                self.eat(sym::WHILE)?;
                self.head()?;
                self.eat(sym::SEMI)?;
                Some(StatementKind::Loop)
            }
            sym::TRY => {
                self.bump();
                self.statement(Some(id), false, depth + 1)?;
                while self.is(sym::CATCH) {
                    self.bump();
                    self.head()?;
                    self.statement(Some(id), false, depth + 1)?;
                }
                Some(StatementKind::Try)
            }
            sym::RETURN | sym::CO_RETURN => {
                self.expression(first)?;
                Some(StatementKind::Return)
            }
            sym::BREAK => {
                self.expression(first)?;
                Some(StatementKind::Break)
            }
            sym::CONTINUE | sym::GOTO | sym::THROW => {
                self.expression(first)?;
                Some(StatementKind::Jump)
            }
            sym::ELSE | sym::CASE | sym::DEFAULT | sym::CATCH => None,
            _ => {
                if self.is_at(1, sym::LPAREN) && self.is_macro_loop() {
                    self.bump();
                    self.head()?;
                    self.statement(Some(id), true, depth + 1)?;
                    return Some(StatementKind::Loop);
                }
                self.expression(first)?;
                Some(StatementKind::Simple)
            }
        }
    }

    fn block(&mut self, id: StatementId, depth: u32) -> Option<()> {
        self.eat(sym::LBRACE)?;
        loop {
            self.allow_directive();
            if self.is(sym::RBRACE) {
                self.bump();
                return Some(());
            }
            self.statement(Some(id), false, depth + 1)?;
        }
    }

    fn head(&mut self) -> Option<()> {
        if !self.is(sym::LPAREN) {
            return None;
        }
        self.skip_brackets()
    }

    /// `FOR_EACH(x) {`: a macro that stands for the head of a loop or condition.
    fn is_macro_loop(&mut self) -> bool {
        let (at, is_cut) = (self.at, self.is_cut);
        self.at += 1;
        let is_block = self.skip_brackets().is_some() && self.is(sym::LBRACE);
        (self.at, self.is_cut) = (at, is_cut);
        is_block
    }

    /// To after the `;`.
    fn expression(&mut self, first: Token) -> Option<()> {
        let _ = first;
        loop {
            let token = *self.tokens.get(self.at)?;
            if token.kind == Kind::Punct {
                match token.text {
                    sym::SEMI => {
                        self.bump();
                        return Some(());
                    }
                    sym::LPAREN | sym::LBRACKET | sym::LBRACE => {
                        self.skip_brackets()?;
                        continue;
                    }
                    sym::RPAREN | sym::RBRACKET | sym::RBRACE => return None,
                    _ => {}
                }
            }
            self.bump();
        }
    }
}

fn is_conditional(name: Token) -> bool {
    const ALL: [Sym; 8] =
        [sym::IF, sym::IFDEF, sym::IFNDEF, sym::ELIF, sym::ELIFDEF, sym::ELIFNDEF, sym::ELSE, sym::ENDIF];
    ALL.contains(&name.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(code: &str) -> Option<String> {
        let text: Arc<[u8]> = code.as_bytes().into();
        let outline = outline(&text, Language::C, 0, code.len() as u32)?;
        let mut out = String::new();
        for it in &outline.statements {
            let parent = it.parent.map_or("-".to_owned(), |it| it.0.to_string());
            let sole = if it.is_sole { "!" } else { "" };
            let source = &code[it.start as usize..it.end as usize];
            out += &format!("{parent}{sole} {:?} {}\n", it.kind, source.replace('\n', " "));
        }
        Some(out)
    }

    #[test]
    fn statements_nest() {
        let code = "(int a) { if (a) return 1; else { b(); } out: while (x[{1}]) c = (T){1, 2};\n#define X\nEACH(i) { break; } }";
        let expected = "- Block { if (a) return 1; else { b(); } out: while (x[{1}]) c = (T){1, 2}; #define X EACH(i) { break; } }\n\
            0 If { has_else: true } if (a) return 1; else { b(); }\n\
            1! Return return 1;\n1 Block { b(); }\n3 Simple b();\n\
            0 Loop while (x[{1}]) c = (T){1, 2};\n5! Simple c = (T){1, 2};\n\
            0 Loop EACH(i) { break; }\n7 Block { break; }\n8 Break break;\n";
        assert_eq!(shape(code).as_deref(), Some(expected));
    }

    #[test]
    fn what_directives_cut_has_no_outline() {
        assert!(shape("(void) {\n#if A\n a();\n#else\n b();\n#endif\n c(); }").is_some());
        assert_eq!(shape("(void) { if (a)\n#if A\n b();\n#endif\n c(); }"), None);
        assert!(shape("(void) {\n#if A\n if (a) {\n#endif\n c();\n#if A\n }\n#endif\n }").is_some());
        assert_eq!(shape("(void) { f(\n#if A\n 1\n#endif\n ); }"), None);
        assert_eq!(shape("(void) { if (a) {"), None);
        assert_eq!(shape(&format!("(void) {}{}", "{".repeat(100_000), "}".repeat(100_000))), None);
    }
}
