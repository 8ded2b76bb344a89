//! A large unit of C in pieces, so that its beginning is lowered while its end is still being preprocessed.
//!
//! ```text
//! one thread: preprocess --Chunk--> --Chunk--> ...      another: lower, chunk by chunk
//! ```
//!
//! A piece ends just after the body of a function, where nothing can go on: `name ( ... ) { ... }` outside of all
//! brackets. Where errors of syntax make a reader run into the end of a piece all the same, the unit is read again as a
//! whole, so that the outcome is the same in any case.

use crate::lex::{Kind, Token};
use crate::preprocess::Output;
use crate::symbols::{Texts, is_c_keyword, sym};

/// Shorter units, in bytes, are read as a whole: handing them over would cost more.
pub(crate) const LARGE: usize = 256 << 10;
/// Tokens of a piece, about.
pub(crate) const TOKENS: usize = 1 << 15;

/// A piece of a unit, and the spellings that are new in it. The last one ends with a token of kind [`Kind::End`].
pub(crate) struct Chunk {
    pub(crate) output: Output,
    pub(crate) texts: Texts,
}

/// Looks for the ends of functions in a column of tokens that grows.
#[derive(Default)]
pub(crate) struct Cutter {
    /// Tokens that were looked at.
    at: usize,
    depth: usize,
    /// The outermost bracket is a parenthesis after a name.
    is_call: bool,
    /// The outermost bracket is a brace after such a parenthesis.
    is_body: bool,
    /// Where tokens after these go on.
    after_call: Option<usize>,
    after_body: Option<usize>,
    cut: usize,
}

impl Cutter {
    /// Looks at the tokens that are new. The last place where they may be cut; 0: there is none.
    pub(crate) fn look(&mut self, tokens: &[Token]) -> usize {
        for (index, token) in tokens.iter().enumerate().skip(self.at) {
            if self.after_body == Some(index) && matches!(token.kind, Kind::Ident | Kind::Pack) {
                self.cut = index;
            }
            if token.kind == Kind::Punct {
                self.bracket(tokens, index);
            }
        }
        self.at = tokens.len();
        self.cut
    }

    fn bracket(&mut self, tokens: &[Token], index: usize) {
        let text = tokens[index].text;
        match text {
            sym::LPAREN | sym::LBRACKET | sym::LBRACE => {
                if self.depth == 0 {
                    let before = index.checked_sub(1).map(|it| tokens[it]);
                    let is_name = before.is_some_and(|it| it.kind == Kind::Ident && !is_c_keyword(it.text));
                    self.is_call = text == sym::LPAREN && is_name;
                    self.is_body = text == sym::LBRACE && self.after_call == Some(index);
                }
                self.depth += 1;
            }
            sym::RPAREN | sym::RBRACKET | sym::RBRACE => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    if self.is_call && text == sym::RPAREN {
                        self.after_call = Some(index + 1);
                    }
                    if self.is_body && text == sym::RBRACE {
                        self.after_body = Some(index + 1);
                    }
                    (self.is_call, self.is_body) = (false, false);
                }
            }
            _ => {}
        }
    }

    /// The tokens before the last cut are gone.
    pub(crate) fn forget(&mut self) {
        let cut = std::mem::take(&mut self.cut);
        self.at -= cut;
        self.after_call = self.after_call.and_then(|it| it.checked_sub(cut));
        self.after_body = None;
    }
}
