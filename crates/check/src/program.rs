//! A whole program: modules linked by linkage names, its call graph, and the order of summaries.
//!
//! ```text
//! modules --symbols--> functions, globals --calls--> graph --components--> callees first
//! ```
//!
//! Functions and globals get dense numbers over all modules. What is `static` is found in its own module first.
//! Cost: linear in operations.

use crate::ir::{
    Base, Callee, Class, Function, FunctionId, GlobalId, Module, Name, OpKind, Operand, Place, Step, Type,
};
use heapwise_model::Language;
use rustc_hash::{FxHashMap, FxHashSet};

/// Where a function stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRef {
    pub module: u32,
    pub function: FunctionId,
}

/// A variable with static storage, all its declarations together.
#[derive(Clone, Debug)]
pub struct LinkedGlobal {
    pub module: u32,
    pub global: GlobalId,
    /// Its value, where it is one number, null or a literal and nothing in the program changes it.
    pub constant: Option<Operand>,
    /// Its value at start, where known.
    pub initial: Option<Operand>,
    /// Its definition is part of the program.
    pub is_defined: bool,
    /// Its size in bytes, if known.
    pub bytes: Option<u64>,
    /// Only this module's code can name it.
    pub is_local: bool,
}

/// Modules, linked.
pub struct Program {
    pub modules: Vec<Module>,
    /// Linkage names.
    pub symbols: Vec<Box<str>>,
    ids: FxHashMap<Box<str>, u32>,
    pub functions: Vec<FunctionRef>,
    pub globals: Vec<LinkedGlobal>,
    function_of_symbol: Vec<Option<u32>>,
    local_functions: FxHashMap<(u32, u32), u32>,
    first_function: Vec<u32>,
    globals_of_module: Vec<Vec<u32>>,
    /// Per module: the symbol of a name that functions go by; `u32::MAX`: none.
    symbols_of_module: Vec<Vec<u32>>,
    /// Per function: functions that it may call or takes the address of.
    pub calls: Vec<Vec<u32>>,
    /// Per function: places that call it directly.
    pub callers: Vec<u32>,
    /// Per function: its address is taken somewhere.
    pub is_address_taken: Vec<bool>,
    /// Functions by component of the call graph, callees first.
    pub components: Vec<Vec<u32>>,
    classes: FxHashMap<Box<str>, (u32, u32)>,
    /// What arrays and records that nothing changes hold: offset, bytes, module and value; sorted by offset.
    pub contents: FxHashMap<u32, Vec<(i64, u32, u32, Operand)>>,
    /// Functions that a global's content leads to, where nothing changes it.
    functions_of_global: FxHashMap<u32, Vec<u32>>,
    /// Classes by the name of a direct base.
    derived: FxHashMap<Box<str>, Vec<(u32, u32)>>,
}

const NO_SYMBOL: u32 = u32::MAX;

impl Program {
    /// Links modules. Their order decides which of two equal definitions is taken: the first.
    pub fn link(modules: Vec<Module>) -> Program {
        let mut it = Program {
            symbols: Vec::new(),
            ids: FxHashMap::default(),
            functions: Vec::new(),
            globals: Vec::new(),
            function_of_symbol: Vec::new(),
            local_functions: FxHashMap::default(),
            first_function: Vec::new(),
            globals_of_module: Vec::new(),
            symbols_of_module: modules
                .iter()
                .map(|it| if is_linked(it) { vec![NO_SYMBOL; it.names.len()] } else { Vec::new() })
                .collect(),
            calls: Vec::new(),
            callers: Vec::new(),
            is_address_taken: Vec::new(),
            components: Vec::new(),
            classes: FxHashMap::default(),
            contents: FxHashMap::default(),
            functions_of_global: FxHashMap::default(),
            derived: FxHashMap::default(),
            modules: Vec::new(),
        };
        for (number, module) in modules.iter().enumerate() {
            it.add_module(u32::try_from(number).expect("fewer than 2^32 modules"), module);
        }
        it.link_globals(&modules);
        it.modules = modules;
        it.find_constants();
        it.link_calls();
        it.components = components(&it.calls);
        it
    }

    fn linked_modules(&self) -> impl Iterator<Item = (usize, &Module)> {
        self.modules.iter().enumerate().filter(|it| is_linked(it.1))
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(&it) = self.ids.get(text) {
            return it;
        }
        let id = u32::try_from(self.symbols.len()).expect("fewer than 2^32 names");
        self.symbols.push(text.into());
        self.ids.insert(text.into(), id);
        self.function_of_symbol.push(None);
        id
    }

    /// The symbol of a linkage name, if the program names it.
    pub fn find_symbol(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    fn name_symbol(&mut self, number: u32, module: &Module, name: Name) -> u32 {
        let known = self.symbols_of_module[number as usize][name.index()];
        if known != NO_SYMBOL {
            return known;
        }
        let id = self.symbol(module.name(name));
        self.symbols_of_module[number as usize][name.index()] = id;
        id
    }

    fn add_module(&mut self, number: u32, module: &Module) {
        self.first_function.push(u32::try_from(self.functions.len()).expect("fewer than 2^32 functions"));
        if !is_linked(module) {
            return;
        }
        for (index, function) in module.functions.iter().enumerate() {
            let id = u32::try_from(self.functions.len()).expect("fewer than 2^32 functions");
            let symbol = self.name_symbol(number, module, function.name);
            self.functions.push(FunctionRef { module: number, function: FunctionId(index as u32) });
            self.local_functions.entry((number, symbol)).or_insert(id);
            let slot = &mut self.function_of_symbol[symbol as usize];
            if slot.is_none() {
                *slot = Some(id);
            }
            for op in function.blocks.iter().flat_map(|it| &it.ops) {
                if let OpKind::Call { callee: Callee::Direct(name), .. } = &op.kind {
                    self.name_symbol(number, module, *name);
                }
                op.kind.each_operand(|operand| {
                    if let Operand::Function(name) = operand {
                        self.name_symbol(number, module, name);
                    }
                });
            }
        }
        for (index, class) in module.classes.iter().enumerate() {
            let at = (number, index as u32);
            let name = module.name(class.name);
            if name.is_empty() {
                continue;
            }
            let is_new = !self.classes.contains_key(name);
            if is_new || self.classes.get(name).is_some_and(|it| it.0 == number) {
                self.classes.entry(name.into()).or_insert(at);
            }
            if is_new {
                for base in &class.bases {
                    self.derived.entry(module.name(*base).into()).or_default().push(at);
                }
            }
        }
        for global in &module.globals {
            if let Some(Operand::Function(name)) = global.value {
                self.name_symbol(number, module, name);
            }
        }
    }

    fn link_globals(&mut self, modules: &[Module]) {
        let mut by_name: FxHashMap<&str, u32> = FxHashMap::default();
        for (number, module) in modules.iter().enumerate() {
            if !is_linked(module) {
                self.globals_of_module.push(Vec::new());
                continue;
            }
            let mut of_module = Vec::with_capacity(module.globals.len());
            for (index, global) in module.globals.iter().enumerate() {
                let name = module.name(global.name);
                let at = match by_name.get(name).filter(|_| global.is_external) {
                    Some(&at) => at,
                    None => {
                        let at = u32::try_from(self.globals.len()).expect("fewer than 2^32 globals");
                        if global.is_external {
                            by_name.insert(name, at);
                        }
                        self.globals.push(LinkedGlobal {
                            module: number as u32,
                            global: GlobalId(index as u32),
                            constant: None,
                            initial: None,
                            is_defined: false,
                            bytes: None,
                            is_local: !global.is_external,
                        });
                        at
                    }
                };
                let linked = &mut self.globals[at as usize];
                if linked.initial.is_none() && global.value.is_some() {
                    linked.initial = global.value;
                    (linked.module, linked.global) = (number as u32, GlobalId(index as u32));
                    linked.is_defined = true;
                }
                linked.bytes = linked.bytes.max(module.size_of(global.ty));
                of_module.push(at);
            }
            self.globals_of_module.push(of_module);
        }
    }

    /// Globals that nothing writes keep their initial value.
    fn find_constants(&mut self) {
        let mut is_changed = vec![false; self.globals.len()];
        for (number, module) in self.linked_modules() {
            let linked = &self.globals_of_module[number];
            let mut mark = |place: &Place| {
                if let Base::Global(it) = place.base {
                    is_changed[linked[it.index()] as usize] = true;
                }
            };
            let functions = module.functions.iter().filter(|it| !is_initializer(module, it));
            for op in functions.flat_map(|it| &it.blocks).flat_map(|it| &it.ops) {
                match &op.kind {
                    OpKind::Store { to, .. } | OpKind::CopyRecord { to, .. } => mark(to),
                    OpKind::Address { of, .. } => mark(of),
                    _ => {}
                }
            }
        }
        let mut contents: FxHashMap<u32, Vec<(i64, u32, u32, Operand)>> = FxHashMap::default();
        for (number, module) in self.linked_modules() {
            let functions = module.functions.iter().filter(|it| is_initializer(module, it));
            for op in functions.flat_map(|it| it.blocks.first()).flat_map(|it| &it.ops) {
                if let OpKind::Store { to, value, bytes } = &op.kind
                    && let Base::Global(global) = to.base
                    && let Some(offset) = constant_offset(to)
                {
                    let linked = self.globals_of_module[number][global.index()];
                    if module.globals[global.index()].is_const || !is_changed[linked as usize] {
                        contents.entry(linked).or_default().push((offset, *bytes, number as u32, *value));
                    }
                }
            }
        }
        for it in contents.values_mut() {
            it.sort_by_key(|it| it.0);
        }
        self.contents = contents;
        for (at, global) in self.globals.iter_mut().enumerate() {
            let module = &self.modules[global.module as usize];
            let of = &module.globals[global.global.index()];
            let is_scalar = !matches!(module.types[of.ty.index()], Type::Array { .. } | Type::Record(_));
            if is_scalar && (of.is_const || !is_changed[at]) {
                global.constant = global.initial;
            }
        }
    }

    fn link_calls(&mut self) {
        let count = self.functions.len();
        let mut kept: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for (linked, content) in &self.contents {
            for (_, _, module, value) in content {
                if let Operand::Function(name) = value
                    && let Some(to) = self.function(*module, *name)
                {
                    kept.entry(*linked).or_default().push(to);
                }
            }
        }
        for (linked, global) in self.globals.iter().enumerate() {
            if let Some(Operand::Function(name)) = global.constant
                && let Some(to) = self.function(global.module, name)
            {
                kept.entry(linked as u32).or_default().push(to);
            }
        }
        let mut callers = vec![0u32; count];
        let mut is_taken = vec![false; count];
        let mut calls = Vec::with_capacity(count);
        for at in 0..count {
            let of = self.functions[at];
            let module = &self.modules[of.module as usize];
            let function = &module.functions[of.function.index()];
            let mut targets = Vec::new();
            for op in function.blocks.iter().flat_map(|it| &it.ops) {
                match &op.kind {
                    OpKind::Call { callee: Callee::Direct(name), .. } => {
                        if let Some(to) = self.function(of.module, *name) {
                            callers[to as usize] += 1;
                            targets.push(to);
                        }
                    }
                    OpKind::Call { callee: Callee::Method { name, class, .. }, .. } => {
                        for to in self.implementations(of.module, *name, *class) {
                            callers[to as usize] += 1;
                            targets.push(to);
                        }
                    }
                    OpKind::Load { from: Place { base: Base::Global(it), .. }, .. }
                    | OpKind::Address { of: Place { base: Base::Global(it), .. }, .. } => {
                        let linked = self.global(of.module, *it);
                        targets.extend(kept.get(&linked).into_iter().flatten());
                    }
                    OpKind::Closure { function, .. } => {
                        let to = self.first_function[of.module as usize] + function.0;
                        is_taken[to as usize] = true;
                        targets.push(to);
                    }
                    _ => {}
                }
                op.kind.each_operand(|operand| {
                    if let Operand::Function(name) = operand
                        && let Some(to) = self.function(of.module, name)
                    {
                        is_taken[to as usize] = true;
                        targets.push(to);
                    }
                });
            }
            targets.sort_unstable();
            targets.dedup();
            calls.push(targets);
        }
        for (number, module) in self.linked_modules() {
            for global in &module.globals {
                if let Some(Operand::Function(name)) = global.value
                    && let Some(to) = self.function(number as u32, name)
                {
                    is_taken[to as usize] = true;
                }
            }
        }
        (self.calls, self.callers, self.is_address_taken) = (calls, callers, is_taken);
        self.functions_of_global = kept;
    }

    /// Functions that a table or variable leads to.
    pub fn functions_of_global(&self, linked: u32) -> &[u32] {
        self.functions_of_global.get(&linked).map_or(&[], Vec::as_slice)
    }

    /// The function that a name of a module means.
    pub fn function(&self, module: u32, name: Name) -> Option<u32> {
        let symbol = self.symbols_of_module[module as usize][name.index()];
        if symbol == NO_SYMBOL {
            return None;
        }
        self.local_functions.get(&(module, symbol)).copied().or(self.function_of_symbol[symbol as usize])
    }

    /// The symbol of a name that functions are called by.
    pub fn symbol_of(&self, module: u32, name: Name) -> Option<u32> {
        let symbol = self.symbols_of_module[module as usize][name.index()];
        (symbol != NO_SYMBOL).then_some(symbol)
    }

    /// The function of a symbol, seen from a module.
    pub fn function_of_symbol(&self, module: u32, symbol: u32) -> Option<u32> {
        self.local_functions.get(&(module, symbol)).copied().or(self.function_of_symbol[symbol as usize])
    }

    /// The program's number of a module's function.
    pub fn function_number(&self, module: u32, function: FunctionId) -> u32 {
        self.first_function[module as usize] + function.0
    }

    pub fn global(&self, module: u32, global: GlobalId) -> u32 {
        self.globals_of_module[module as usize][global.index()]
    }

    pub fn ir(&self, function: u32) -> (&Module, &Function) {
        let at = self.functions[function as usize];
        let module = &self.modules[at.module as usize];
        (module, &module.functions[at.function.index()])
    }

    /// A class by its qualified name.
    pub fn class(&self, name: &str) -> Option<(&Module, &Class)> {
        let &(module, class) = self.classes.get(name)?;
        let module = &self.modules[module as usize];
        Some((module, &module.classes[class as usize]))
    }

    /// The function that a method of a class is, its bases searched too.
    pub fn method(&self, class: &str, method: &str) -> Option<u32> {
        let mut work = vec![class.to_owned()];
        let mut seen = FxHashSet::default();
        while let Some(name) = work.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let Some(&(number, _)) = self.classes.get(name.as_str()) else { continue };
            let Some((module, class)) = self.class(&name) else { continue };
            for (short, linkage) in &class.methods {
                if module.name(*short) == method
                    && let Some(symbol) = self.find_symbol(module.name(*linkage))
                    && let Some(it) = self.function_of_symbol(number, symbol)
                {
                    return Some(it);
                }
            }
            work.extend(class.bases.iter().rev().map(|it| module.name(*it).to_owned()));
        }
        None
    }

    /// Functions that a call of a method may reach by the class hierarchy; sorted.
    pub fn implementations(&self, module: u32, name: Name, class: Option<Name>) -> Vec<u32> {
        let module = &self.modules[module as usize];
        let Some(class) = class else { return Vec::new() };
        let method = module.name(name);
        let mut found: Vec<u32> = self.method(module.name(class), method).into_iter().collect();
        let mut work = vec![module.name(class).to_owned()];
        let mut seen = FxHashSet::default();
        while let Some(base) = work.pop() {
            if !seen.insert(base.clone()) || seen.len() > 256 {
                continue;
            }
            for &(number, index) in self.derived.get(base.as_str()).into_iter().flatten() {
                let module = &self.modules[number as usize];
                let name = module.name(module.classes[index as usize].name);
                found.extend(self.method(name, method));
                work.push(name.to_owned());
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Whether a module takes part in linking. Python and JavaScript resolve names at run time: their modules keep
/// their place in the list, but none of their functions and globals has a number.
fn is_linked(module: &Module) -> bool {
    matches!(module.language, Language::C | Language::Cpp)
}

/// Whether a function is what writes the initial values of a module's globals.
fn is_initializer(module: &Module, function: &Function) -> bool {
    module.name(function.name).ends_with("<globals>")
}

fn constant_offset(place: &Place) -> Option<i64> {
    let mut offset = 0i64;
    for step in &place.steps {
        let by = match *step {
            Step::Field { offset, .. } => i64::try_from(offset?).ok()?,
            Step::Index { index: Operand::Int(index), stride } if stride > 0 => {
                index.checked_mul(i64::try_from(stride).ok()?)?
            }
            Step::Index { .. } => return None,
        };
        offset = offset.checked_add(by)?;
    }
    Some(offset)
}

/// Strongly connected components in topological order, callees first (Tarjan 1972, without recursion).
fn components(calls: &[Vec<u32>]) -> Vec<Vec<u32>> {
    const NEW: u32 = u32::MAX;
    let mut index = vec![NEW; calls.len()];
    let mut low = vec![0u32; calls.len()];
    let mut is_open = vec![false; calls.len()];
    let mut open = Vec::new();
    let mut found = Vec::new();
    let mut next = 0;
    let mut work: Vec<(u32, usize)> = Vec::new();
    for root in 0..calls.len() as u32 {
        if index[root as usize] != NEW {
            continue;
        }
        work.push((root, 0));
        while let Some(&mut (at, ref mut child)) = work.last_mut() {
            let here = at as usize;
            if *child == 0 {
                (index[here], low[here], is_open[here]) = (next, next, true);
                next += 1;
                open.push(at);
            }
            if let Some(&to) = calls[here].get(*child) {
                *child += 1;
                if index[to as usize] == NEW {
                    work.push((to, 0));
                } else if is_open[to as usize] {
                    low[here] = low[here].min(index[to as usize]);
                }
                // A function without calls is entered once: its first visit must not repeat.
                continue;
            }
            work.pop();
            if let Some(&(parent, _)) = work.last() {
                low[parent as usize] = low[parent as usize].min(low[here]);
            }
            if low[here] == index[here] {
                let mut component = Vec::new();
                loop {
                    let it = open.pop().expect("a component ends at its first member");
                    is_open[it as usize] = false;
                    component.push(it);
                    if it == at {
                        break;
                    }
                }
                component.sort_unstable();
                found.push(component);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn components_come_callees_first() {
        let calls = vec![vec![1], vec![2, 3], vec![1], vec![], vec![0]];
        assert_eq!(components(&calls), [vec![3], vec![1, 2], vec![0], vec![4]]);
    }
}
