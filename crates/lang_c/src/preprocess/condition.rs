//! Expressions of `#if`.

use super::{Condition, MAX_DEPTH, Preprocessor, close_of, is_probe};
use crate::lex::{Kind, Token};
use crate::literal::{character, number};
use crate::symbols::{Sym, Symbols, sym};

impl Preprocessor<'_> {
    /// The value of the rest of an `#if` or `#elif`.
    pub(super) fn condition(&mut self) -> bool {
        let tokens = self.rest();
        let tokens = self.resolve_probes(&tokens);
        let tokens = self.expand_list(tokens);
        // Macros may expand to `defined`, as in gcc.
        let tokens = self.resolve_probes(&tokens);
        Condition::evaluate(&tokens, self.symbols)
    }

    /// Replaces `defined X` and `__has_...(...)` by numbers.
    pub(super) fn resolve_probes(&mut self, tokens: &[Token]) -> Vec<Token> {
        let mut out = Vec::with_capacity(tokens.len());
        let mut at = 0;
        while let Some(&token) = tokens.get(at) {
            at += 1;
            let value = if token.text == sym::DEFINED {
                let has_paren = tokens.get(at).is_some_and(|it| it.is(sym::LPAREN));
                at += usize::from(has_paren);
                let name = tokens.get(at).map_or(sym::EMPTY, |it| it.text);
                at += 1 + usize::from(has_paren);
                self.is_defined(name)
            } else if is_probe(token.text) && tokens.get(at).is_some_and(|it| it.is(sym::LPAREN)) {
                let end = close_of(tokens, at);
                let inner = &tokens[at + 1..end.min(tokens.len())];
                at = end + 1;
                self.probe(token.text, inner)
            } else {
                out.push(token);
                continue;
            };
            let text = if value { sym::ONE } else { sym::ZERO };
            out.push(Token { kind: Kind::Number, text, ..token });
        }
        out
    }

    pub(super) fn probe(&mut self, name: Sym, inner: &[Token]) -> bool {
        match name {
            sym::HAS_INCLUDE | sym::HAS_INCLUDE_NEXT => {
                let header = self.header_of(inner);
                header.is_some_and(|(name, is_quoted)| self.find(&name, is_quoted, false).is_some())
            }
            sym::HAS_BUILTIN | sym::HAS_ATTRIBUTE => true,
            _ => false,
        }
    }
}

/// A value of an `#if` expression.
#[derive(Clone, Copy)]
struct Value {
    bits: u64,
    is_unsigned: bool,
}

impl Value {
    fn of(it: bool) -> Value {
        Value { bits: u64::from(it), is_unsigned: false }
    }
}

struct Evaluator<'a> {
    tokens: &'a [Token],
    at: usize,
    symbols: &'a Symbols,
    depth: usize,
}

impl Condition {
    /// The truth of an expression; what is not understood is 0.
    fn evaluate(tokens: &[Token], symbols: &Symbols) -> bool {
        let mut it = Evaluator { tokens, at: 0, symbols, depth: 0 };
        it.conditional().bits != 0
    }
}

impl Evaluator<'_> {
    fn eat(&mut self, text: Sym) -> bool {
        let is_it = self.tokens.get(self.at).is_some_and(|it| it.is(text));
        self.at += usize::from(is_it);
        is_it
    }

    fn conditional(&mut self) -> Value {
        if self.depth >= MAX_DEPTH {
            return Value::of(false);
        }
        self.depth += 1;
        let condition = self.binary(0);
        let value = if self.eat(sym::QUESTION) {
            let then = self.conditional();
            self.eat(sym::COLON);
            let other = self.conditional();
            if condition.bits != 0 { then } else { other }
        } else {
            condition
        };
        self.depth -= 1;
        value
    }

    fn binary(&mut self, least: u8) -> Value {
        let mut left = self.unary();
        while let Some(token) = self.tokens.get(self.at) {
            let Some(rank) = rank(token.text).filter(|it| *it >= least && token.kind == Kind::Punct) else {
                break;
            };
            self.at += 1;
            let right = self.binary(rank + 1);
            left = apply(token.text, left, right);
        }
        left
    }

    fn unary(&mut self) -> Value {
        let mut prefixes = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            match token.text {
                sym::BANG | sym::TILDE | sym::MINUS | sym::PLUS if token.kind == Kind::Punct => {
                    prefixes.push(token.text)
                }
                _ => break,
            }
            self.at += 1;
        }
        let mut value = self.primary();
        for prefix in prefixes.iter().rev() {
            value = match *prefix {
                sym::BANG => Value::of(value.bits == 0),
                sym::TILDE => Value { bits: !value.bits, ..value },
                sym::MINUS => Value { bits: value.bits.wrapping_neg(), ..value },
                _ => value,
            };
        }
        value
    }

    fn primary(&mut self) -> Value {
        let Some(&token) = self.tokens.get(self.at) else { return Value::of(false) };
        self.at += 1;
        match token.kind {
            Kind::Number => {
                let number = number(self.symbols.bytes(token.text));
                number.map_or(Value::of(false), |it| Value {
                    bits: it.value,
                    is_unsigned: it.is_unsigned || it.value > i64::MAX as u64,
                })
            }
            Kind::Char => {
                let bits = character(self.symbols.bytes(token.text)) as u64;
                Value { bits, is_unsigned: false }
            }
            Kind::Ident => {
                // The call of an unknown function-like macro is 0 with its arguments.
                if self.tokens.get(self.at).is_some_and(|it| it.is(sym::LPAREN)) {
                    self.at = close_of(self.tokens, self.at) + 1;
                }
                Value::of(token.text == sym::TRUE)
            }
            _ if token.is(sym::LPAREN) => {
                let value = self.conditional();
                while self.eat(sym::COMMA) {
                    self.conditional();
                }
                self.eat(sym::RPAREN);
                value
            }
            _ => Value::of(false),
        }
    }
}

/// Binding strength of an operator of `#if`.
fn rank(op: Sym) -> Option<u8> {
    Some(match op {
        sym::OR_OR => 0,
        sym::AND_AND => 1,
        sym::PIPE => 2,
        sym::CARET => 3,
        sym::AMP => 4,
        sym::EQ | sym::NE => 5,
        sym::LT | sym::GT | sym::LE | sym::GE => 6,
        sym::SHL | sym::SHR => 7,
        sym::PLUS | sym::MINUS => 8,
        sym::STAR | sym::SLASH | sym::PERCENT => 9,
        _ => return None,
    })
}

fn apply(op: Sym, left: Value, right: Value) -> Value {
    let is_unsigned = left.is_unsigned || right.is_unsigned;
    let (a, b) = (left.bits, right.bits);
    let (x, y) = (a as i64, b as i64);
    let less = if is_unsigned { a < b } else { x < y };
    let bits = match op {
        sym::OR_OR => u64::from(a != 0 || b != 0),
        sym::AND_AND => u64::from(a != 0 && b != 0),
        sym::PIPE => a | b,
        sym::CARET => a ^ b,
        sym::AMP => a & b,
        sym::EQ => u64::from(a == b),
        sym::NE => u64::from(a != b),
        sym::LT => u64::from(less),
        sym::GE => u64::from(!less),
        sym::GT => u64::from(a != b && !less),
        sym::LE => u64::from(a == b || less),
        sym::SHL => a.wrapping_shl(b as u32),
        sym::SHR if left.is_unsigned => a.wrapping_shr(b as u32),
        sym::SHR => x.wrapping_shr(b as u32) as u64,
        sym::PLUS => a.wrapping_add(b),
        sym::MINUS => a.wrapping_sub(b),
        sym::STAR => a.wrapping_mul(b),
        sym::SLASH if is_unsigned => a.checked_div(b).unwrap_or(0),
        sym::SLASH => x.checked_div(y).unwrap_or(0) as u64,
        sym::PERCENT if is_unsigned => a.checked_rem(b).unwrap_or(0),
        sym::PERCENT => x.checked_rem(y).unwrap_or(0) as u64,
        _ => 0,
    };
    let is_comparison =
        matches!(op, sym::OR_OR | sym::AND_AND | sym::EQ | sym::NE | sym::LT | sym::GT | sym::LE | sym::GE);
    Value { bits, is_unsigned: is_unsigned && !is_comparison }
}
