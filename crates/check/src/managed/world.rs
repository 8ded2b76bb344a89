//! Functions, classes and names over all modules.

use super::library::Family;
use super::sites::{Kinds, Site, Sites};
use crate::finding::At;
use crate::ir::{Class, ClassId, Function, FunctionId, Module, Name, Operand, Span};
use rustc_hash::{FxHashMap, FxHashSet};

/// A function of the program: dense over all modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FnId(pub u32);

impl FnId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A class of the program: dense over all modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassRef(pub u32);

pub struct FunctionEntry<'a> {
    pub module: u32,
    pub id: FunctionId,
    pub ir: &'a Function,
    pub class: Option<ClassRef>,
    /// Its name without module and class.
    short_name: &'a str,
}

pub struct ClassEntry<'a> {
    pub module: u32,
    pub name: &'a str,
    pub ir: &'a Class,
    /// Base classes that are part of the program.
    pub bases: Vec<ClassRef>,
    /// Names of all base classes, also of libraries, aliases resolved.
    pub base_names: Vec<&'a str>,
    pub derived: Vec<ClassRef>,
    /// The class and all its bases in the program, nearest first.
    ancestors: Vec<ClassRef>,
    pub methods: FxHashMap<&'a str, FnId>,
}

pub struct World<'a> {
    pub family: Family,
    pub modules: &'a [Module],
    pub(super) sites: &'a Sites<'a>,
    pub functions: Vec<FunctionEntry<'a>>,
    pub classes: Vec<ClassEntry<'a>>,
    functions_by_name: FxHashMap<&'a str, FnId>,
    classes_by_name: FxHashMap<&'a str, ClassRef>,
    /// What imported names of modules stand for.
    aliases: FxHashMap<&'a str, &'a str>,
    /// Modules that a module gives on as a whole.
    stars: FxHashMap<&'a str, Vec<&'a str>>,
    /// Variables of modules.
    globals: FxHashSet<&'a str>,
    first_function: Vec<u32>,
    first_class: Vec<u32>,
}

/// Longest chain of aliases and of base classes that is followed.
const CHAIN_LIMIT: usize = 16;

impl<'a> World<'a> {
    pub fn new(modules: &'a [Module], family: Family, sites: &'a Sites<'a>) -> World<'a> {
        let mut it = World {
            family,
            modules,
            sites,
            functions: Vec::new(),
            classes: Vec::new(),
            functions_by_name: FxHashMap::default(),
            classes_by_name: FxHashMap::default(),
            aliases: FxHashMap::default(),
            stars: FxHashMap::default(),
            globals: FxHashSet::default(),
            first_function: Vec::with_capacity(modules.len()),
            first_class: Vec::with_capacity(modules.len()),
        };
        for (number, module) in (0u32..).zip(modules) {
            it.add(number, module);
        }
        it.link_classes();
        it
    }

    fn add(&mut self, number: u32, module: &'a Module) {
        self.first_function.push(id(self.functions.len()));
        self.first_class.push(id(self.classes.len()));
        if !self.family.has(module.language) {
            return;
        }
        let first_class = id(self.classes.len());
        for class in &module.classes {
            let name = module.name(class.name);
            self.classes_by_name.entry(name).or_insert(ClassRef(id(self.classes.len())));
            self.classes.push(ClassEntry {
                module: number,
                name,
                ir: class,
                bases: Vec::new(),
                base_names: Vec::new(),
                derived: Vec::new(),
                ancestors: Vec::new(),
                methods: FxHashMap::default(),
            });
        }
        for (index, function) in (0u32..).zip(&module.functions) {
            let at = FnId(id(self.functions.len()));
            self.functions_by_name.entry(module.name(function.name)).or_insert(at);
            let class = function.class.map(|it| ClassRef(first_class + it.0));
            let name = module.name(function.name);
            let short_name = name.rsplit('.').next().unwrap_or(name);
            let short_name = short_name.split('#').next().unwrap_or(short_name);
            let id = FunctionId(index);
            self.functions.push(FunctionEntry { module: number, id, ir: function, class, short_name });
        }
        for global in &module.globals {
            let name = module.name(global.name);
            let Some(Operand::Module(means)) = global.value else {
                if global.span != Span::NONE {
                    self.globals.insert(name);
                }
                continue;
            };
            let means = module.name(means);
            if let Some((of, _)) = name.rsplit_once(".*") {
                self.stars.entry(of).or_default().push(means);
            } else if name != means {
                self.aliases.insert(name, means);
            }
        }
    }

    fn link_classes(&mut self) {
        for at in 0..self.classes.len() {
            let module = &self.modules[self.classes[at].module as usize];
            let class = self.classes[at].ir;
            let names: Vec<&'a str> = class.bases.iter().map(|it| self.resolve(module.name(*it))).collect();
            let bases: Vec<ClassRef> =
                names.iter().filter_map(|it| self.classes_by_name.get(it).copied()).collect();
            let mut methods = FxHashMap::default();
            for (short, linkage) in &class.methods {
                if let Some(function) = self.functions_by_name.get(module.name(*linkage)) {
                    methods.insert(module.name(*short), *function);
                }
            }
            for base in &bases {
                self.classes[base.0 as usize].derived.push(ClassRef(id(at)));
            }
            let entry = &mut self.classes[at];
            (entry.bases, entry.base_names, entry.methods) = (bases, names, methods);
        }
        for at in 0..self.classes.len() {
            self.classes[at].ancestors = self.find_ancestors(ClassRef(id(at)));
        }
    }

    /// What a dotted name stands for when imports of imports are followed.
    pub fn resolve(&self, name: &'a str) -> &'a str {
        let mut name = name;
        for _ in 0..CHAIN_LIMIT {
            match self.aliases.get(name).copied().or_else(|| self.through_star(name)) {
                Some(means) => name = means,
                None => break,
            }
        }
        name
    }

    /// What `module.name` is if the module gives another one on as a whole.
    fn through_star(&self, name: &str) -> Option<&'a str> {
        if self.stars.is_empty() {
            return None;
        }
        let (of, short) = name.rsplit_once('.')?;
        let mut text = String::new();
        self.stars.get(of)?.iter().find_map(|module| {
            text.clear();
            text.push_str(module);
            text.push('.');
            text.push_str(short);
            let known = self.functions_by_name.get_key_value(text.as_str()).map(|it| *it.0);
            let known = known.or_else(|| self.classes_by_name.get_key_value(text.as_str()).map(|it| *it.0));
            let known = known.or_else(|| self.globals.get(text.as_str()).copied());
            known.or_else(|| self.aliases.get_key_value(text.as_str()).map(|it| *it.1))
        })
    }

    pub fn function(&self, name: &str) -> Option<FnId> {
        if let Some(it) = self.functions_by_name.get(name) {
            return Some(*it);
        }
        // A method of an imported class, a function of a re-exported module.
        let (of, short) = name.rsplit_once('.')?;
        if let Some(means) = self.aliases.get(name) {
            return self.functions_by_name.get(*means).copied();
        }
        if let Some(class) = self.class(of) {
            return self.method(class, short);
        }
        // `of` is another name of a module or of something in one.
        let means = self.aliases.get(of)?;
        self.functions_by_name.get(format!("{}.{short}", self.resolve(means)).as_str()).copied()
    }

    pub fn class(&self, name: &str) -> Option<ClassRef> {
        if let Some(it) = self.classes_by_name.get(name) {
            return Some(*it);
        }
        let means = self.aliases.get(name)?;
        self.classes_by_name.get(self.resolve(means)).copied()
    }

    /// All functions, in the order of their modules.
    pub fn ids(&self) -> impl Iterator<Item = FnId> + use<> {
        (0..id(self.functions.len())).map(FnId)
    }

    /// A function's operations of some kinds, in order.
    pub fn sites(&self, function: FnId, kinds: Kinds) -> impl Iterator<Item = Site<'a>> + use<'a> {
        self.sites.of(function, kinds)
    }

    /// Values that a function returns.
    pub fn returned(&self, function: FnId) -> &'a [Operand] {
        self.sites.returned(function)
    }

    pub fn class_of_module(&self, module: u32, class: ClassId) -> ClassRef {
        ClassRef(self.first_class[module as usize] + class.0)
    }

    pub fn function_of_module(&self, module: u32, function: FunctionId) -> FnId {
        FnId(self.first_function[module as usize] + function.0)
    }

    pub fn entry(&self, function: FnId) -> &FunctionEntry<'a> {
        &self.functions[function.index()]
    }

    pub fn class_entry(&self, class: ClassRef) -> &ClassEntry<'a> {
        &self.classes[class.0 as usize]
    }

    pub fn module_of(&self, function: FnId) -> &'a Module {
        &self.modules[self.functions[function.index()].module as usize]
    }

    pub fn text(&self, function: FnId, name: Name) -> &'a str {
        self.module_of(function).name(name)
    }

    /// The function's name without module and class.
    pub fn short_name(&self, function: FnId) -> &'a str {
        self.entry(function).short_name
    }

    /// The code of a module itself.
    pub fn is_module_code(&self, function: FnId) -> bool {
        let entry = self.entry(function);
        entry.id == FunctionId(0) && self.short_name(function) == "<module>"
    }

    pub fn at(&self, function: FnId, span: Span) -> At {
        let entry = self.entry(function);
        At { module: entry.module, span, function: entry.id }
    }

    /// A class and all its bases in the program, nearest first.
    pub fn ancestors(&self, class: ClassRef) -> &[ClassRef] {
        &self.class_entry(class).ancestors
    }

    fn find_ancestors(&self, class: ClassRef) -> Vec<ClassRef> {
        let mut found = vec![class];
        let mut at = 0;
        while at < found.len() && found.len() < CHAIN_LIMIT * 4 {
            for base in &self.class_entry(found[at]).bases {
                if !found.contains(base) {
                    found.push(*base);
                }
            }
            at += 1;
        }
        found
    }

    /// Whether a class has a base, at any distance, whose dotted name satisfies `is`.
    pub fn has_base(&self, class: ClassRef, is: impl Fn(&str) -> bool) -> bool {
        self.ancestors(class).iter().any(|it| self.class_entry(*it).base_names.iter().any(|name| is(name)))
    }

    pub fn method(&self, class: ClassRef, name: &str) -> Option<FnId> {
        self.ancestors(class).iter().find_map(|it| self.class_entry(*it).methods.get(name).copied())
    }

    /// The method that makes an object of a class what it is.
    pub fn constructor(&self, class: ClassRef) -> Option<FnId> {
        self.method(
            class,
            match self.family {
                Family::Python => "__init__",
                Family::JavaScript => "constructor",
            },
        )
    }

    /// Methods of subclasses that override one.
    pub fn overrides(&self, class: ClassRef, name: &str) -> Vec<FnId> {
        let mut found = Vec::new();
        if self.class_entry(class).derived.is_empty() {
            return found;
        }
        let mut classes = self.class_entry(class).derived.clone();
        let mut at = 0;
        while at < classes.len() && classes.len() < 256 {
            let entry = self.class_entry(classes[at]);
            found.extend(entry.methods.get(name));
            for derived in &entry.derived {
                if !classes.contains(derived) {
                    classes.push(*derived);
                }
            }
            at += 1;
        }
        found
    }
}

fn id(length: usize) -> u32 {
    u32::try_from(length).expect("fewer than 2^32 functions and classes")
}
