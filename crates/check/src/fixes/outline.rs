//! The statements of one function as they stand in its source: where an edit may go.
//!
//! Front ends make an outline on demand, of functions that a fix is wanted for. It is made from the source as it is
//! written, not from what a preprocessor makes of it, so that its offsets are those of edits.
//!
//! Invariants: a parent comes before its children; children lie within their parent, in order, and do not overlap.

/// A statement in [`Outline::statements`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// `{ ... }`, or the lines of a Python suite.
    Block,
    If {
        has_else: bool,
    },
    /// `while`, `do`, `for`, and uses of macros that look like one.
    Loop,
    Switch,
    Try,
    With,
    Return,
    Break,
    /// `continue`, `goto`, `throw`, `raise`: control goes elsewhere.
    Jump,
    /// A function or class within.
    Definition,
    Simple,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// First byte, after labels.
    pub start: u32,
    /// After the last one.
    pub end: u32,
    /// End of the token before it (C, C++): where a brace that opens around it may go.
    pub before: u32,
    pub parent: Option<StatementId>,
    pub kind: StatementKind,
    /// The body of an `if`, `else` or loop without braces of its own.
    pub is_sole: bool,
}

/// The body of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The first is the body itself.
    pub statements: Vec<Statement>,
    /// Some of it is there only under `#if`: other configurations see other code.
    pub has_conditionals: bool,
    /// Literals of more than one line (Python): lines that begin within them are not indented.
    pub texts: Vec<(u32, u32)>,
}

impl Outline {
    pub fn get(&self, id: StatementId) -> &Statement {
        &self.statements[id.0 as usize]
    }

    pub fn ids(&self) -> impl Iterator<Item = StatementId> + use<> {
        (0..self.statements.len() as u32).map(StatementId)
    }

    /// The innermost statement around a byte.
    pub fn at(&self, offset: u32) -> Option<StatementId> {
        // Statements come in the order of their starts, so that the last one that holds the byte is the innermost.
        let end = self.statements.partition_point(|it| it.start <= offset);
        let mut at = StatementId(u32::try_from(end).ok()?.checked_sub(1)?);
        loop {
            let statement = self.get(at);
            if offset < statement.end {
                return Some(at);
            }
            at = statement.parent?;
        }
    }

    /// Whether `inner` is `outer` or lies within it.
    pub fn is_within(&self, inner: StatementId, outer: StatementId) -> bool {
        let mut at = Some(inner);
        while let Some(id) = at {
            if id <= outer {
                return id == outer;
            }
            at = self.get(id).parent;
        }
        false
    }

    /// The greatest statement around `inner` that statements can be put before and after and that does not hold
    /// `other`.
    pub fn greatest_without(&self, inner: StatementId, other: StatementId) -> Option<StatementId> {
        let mut greatest = None;
        let mut at = Some(inner);
        while let Some(id) = at.filter(|it| !self.is_within(other, *it)) {
            if self.is_listed(id) {
                greatest = Some(id);
            }
            at = self.get(id).parent;
        }
        greatest
    }

    /// Whether a statement is one of a `switch`'s.
    pub fn is_in_switch(&self, id: StatementId) -> bool {
        let mut at = Some(id);
        while let Some(id) = at {
            if self.get(id).kind == StatementKind::Switch {
                return true;
            }
            at = self.get(id).parent;
        }
        false
    }

    /// The statement that a `break` there leaves.
    pub fn broken(&self, inner: StatementId) -> Option<StatementId> {
        let mut at = self.get(inner).parent;
        while let Some(id) = at {
            if matches!(self.get(id).kind, StatementKind::Loop | StatementKind::Switch) {
                return Some(id);
            }
            at = self.get(id).parent;
        }
        None
    }

    /// Whether statements can be put before and after it: it is one of a block's, or can be made so by braces.
    pub fn is_listed(&self, id: StatementId) -> bool {
        let statement = self.get(id);
        statement.is_sole || statement.parent.is_some_and(|it| self.get(it).kind == StatementKind::Block)
    }
}
