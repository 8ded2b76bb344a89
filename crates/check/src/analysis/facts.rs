//! What is known of symbols on one path, by symbol.
//!
//! Most questions are about symbols of which nothing is known: a filter of 256 bits answers them without a
//! search. Invariant: the list is sorted by symbol, and the filter has the bit of each symbol in it.

use super::value::Sym;

/// What is known of a symbol beyond its meaning.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fact {
    pub lo: i64,
    pub hi: i64,
    /// One value that it does not have.
    pub not: Option<i64>,
    /// It is at most that symbol plus that number.
    pub le: Option<(Sym, i64)>,
    pub ge: Option<(Sym, i64)>,
}

/// All facts of a path.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    list: Vec<(Sym, Fact)>,
    filter: [u64; 4],
}

/// Word and bit of a symbol.
fn bit(sym: Sym) -> (usize, u64) {
    (sym.index() / 64 % 4, 1 << (sym.index() % 64))
}

impl Facts {
    /// `list` is sorted by symbol.
    pub fn new(list: Vec<(Sym, Fact)>) -> Facts {
        debug_assert!(list.is_sorted_by_key(|it| it.0), "facts are sorted");
        let mut filter = [0; 4];
        for (sym, _) in &list {
            let (word, bit) = bit(*sym);
            filter[word] |= bit;
        }
        Facts { list, filter }
    }

    #[inline]
    pub fn get(&self, sym: Sym) -> Option<&Fact> {
        let (word, bit) = bit(sym);
        if self.filter[word] & bit == 0 {
            return None;
        }
        self.list.binary_search_by_key(&sym, |it| it.0).ok().map(|at| &self.list[at].1)
    }

    pub fn set(&mut self, sym: Sym, fact: Fact) {
        let (word, bit) = bit(sym);
        self.filter[word] |= bit;
        match self.list.binary_search_by_key(&sym, |it| it.0) {
            Ok(at) => self.list[at].1 = fact,
            Err(at) => self.list.insert(at, (sym, fact)),
        }
    }

    /// Sorted by symbol.
    pub fn iter(&self) -> impl Iterator<Item = &(Sym, Fact)> {
        self.list.iter()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_by_symbol() {
        let fact = |lo| Fact { lo, hi: 99, not: None, le: None, ge: None };
        let mut facts = Facts::default();
        let mut twin = std::collections::BTreeMap::new();
        for at in 0..500u32 {
            let sym = Sym(at.wrapping_mul(2_654_435_761) >> 22);
            facts.set(sym, fact(i64::from(at)));
            twin.insert(sym, fact(i64::from(at)));
        }
        for at in 0..2000 {
            assert_eq!(facts.get(Sym(at)), twin.get(&Sym(at)));
        }
        assert!(facts.iter().map(|it| (&it.0, &it.1)).eq(twin.iter()));
        let again = Facts::new(facts.iter().copied().collect());
        assert!((0..2000).all(|it| again.get(Sym(it)) == facts.get(Sym(it))));
    }
}
