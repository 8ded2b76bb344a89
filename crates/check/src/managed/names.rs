//! Names of all modules as numbers, and what they mean.
//!
//! Each module has names of its own; what is looked up again and again is looked up once per text of the program.
//! Everything here is found when it is first asked for: most names are never called.

use super::world::{ClassRef, FnId, World};
use crate::ir::Name;
use crate::text_index::TextIndex;

/// A text that is a name somewhere in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Symbol(u32);

/// What a dotted name stands for.
#[derive(Clone, Copy, Debug)]
pub struct Meaning<'a> {
    /// When imports of imports are followed.
    pub resolved: Symbol,
    pub class: Option<ClassRef>,
    pub function: Option<FnId>,
    /// What stands before the last dot, resolved, and what behind it.
    pub member: Option<(Symbol, &'a str)>,
}

/// No number of anything.
const UNASKED: u32 = u32::MAX;

pub struct Names<'a> {
    ids: TextIndex,
    texts: Vec<&'a str>,
    /// By symbol: its place among the meanings that were asked for.
    meaning_of: Vec<u32>,
    meanings: Vec<Meaning<'a>>,
    /// By module and name.
    of_module: Vec<Box<[Symbol]>>,
}

impl Symbol {
    const UNASKED: Symbol = Symbol(UNASKED);

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl<'a> Names<'a> {
    pub fn new(world: &World<'a>) -> Names<'a> {
        let count = |it: &crate::ir::Module| if world.family.has(it.language) { it.names.len() } else { 0 };
        let all: usize = world.modules.iter().map(count).sum();
        Names {
            // Modules share half of their names, and not all are asked for.
            ids: TextIndex::with_capacity(all / 2),
            texts: Vec::with_capacity(all / 2),
            meaning_of: Vec::with_capacity(all / 2),
            meanings: Vec::new(),
            of_module: world.modules.iter().map(|it| vec![Symbol::UNASKED; count(it)].into()).collect(),
        }
    }

    pub fn of(&mut self, world: &World<'a>, module: u32, name: Name) -> Symbol {
        let known = self.of_module[module as usize][name.index()];
        if known != Symbol::UNASKED {
            return known;
        }
        let symbol = self.of_text(world.modules[module as usize].name(name));
        self.of_module[module as usize][name.index()] = symbol;
        symbol
    }

    /// The symbol of a name as a function's module has it.
    pub fn of_function(&mut self, world: &World<'a>, function: FnId, name: Name) -> Symbol {
        self.of(world, world.entry(function).module, name)
    }

    pub fn of_text(&mut self, text: &'a str) -> Symbol {
        let texts = &mut self.texts;
        match self.ids.find_or_add(text, |it| texts[it as usize]) {
            Some(known) => Symbol(known),
            None => {
                texts.push(text);
                self.meaning_of.push(UNASKED);
                Symbol((texts.len() - 1) as u32)
            }
        }
    }

    pub fn text(&self, symbol: Symbol) -> &'a str {
        self.texts[symbol.index()]
    }

    pub fn meaning(&mut self, world: &World<'a>, symbol: Symbol) -> Meaning<'a> {
        let known = self.meaning_of[symbol.index()];
        if known != UNASKED {
            return self.meanings[known as usize];
        }
        let text = self.text(symbol);
        let resolved = world.resolve(text);
        let meaning = Meaning {
            resolved: self.of_text(resolved),
            class: world.class(text),
            function: world.function(text),
            member: text.rsplit_once('.').map(|(of, short)| (self.of_text(world.resolve(of)), short)),
        };
        self.meaning_of[symbol.index()] = u32::try_from(self.meanings.len()).expect("fewer than 2^32 names");
        self.meanings.push(meaning);
        meaning
    }
}
