//! The verifier: whether a module keeps the promises of [`crate::ir`]. Front ends' tests run it on all they make.
//!
//! Every id is in range, an array's element type stands before it, a register is written by one operation, and
//! that operation comes before each of its reads on every path. Time: linear but for loops in odd graphs.

use crate::ir::{
    Argument, Base, BlockId, Callee, Function, Module, Name, OpKind, Operand, Place, Step, Type, TypeId,
};

/// All broken promises, in plain words; empty where there are none.
pub fn verify(module: &Module) -> Vec<String> {
    let mut errors = Vec::new();
    verify_declarations(module, &mut errors);
    // Bodies are read by ids of declarations.
    if errors.is_empty() {
        for (index, function) in module.functions.iter().enumerate() {
            let mut checker = Checker { module, function, index, errors: &mut errors };
            checker.check();
        }
    }
    errors
}

fn verify_declarations(module: &Module, errors: &mut Vec<String>) {
    let has_name = |it: Name| it.index() < module.names.len();
    let has_type = |it: TypeId| it.index() < module.types.len();
    if module.files.is_empty() {
        errors.push("a module has a file".into());
    }
    for (i, ty) in module.types.iter().enumerate() {
        let is_sound = match *ty {
            Type::Pointer(to) => has_type(to),
            Type::Array { element, .. } => element.index() < i,
            Type::Record(class) => class.index() < module.classes.len(),
            _ => true,
        };
        if !is_sound {
            errors.push(format!("t{i} names a type or class that is not there, or that comes later"));
        }
    }
    for (i, class) in module.classes.iter().enumerate() {
        let is_sound = has_name(class.name)
            && class.bases.iter().all(|it| has_name(*it))
            && class.fields.iter().all(|it| has_name(it.name) && has_type(it.ty))
            && class.methods.iter().all(|it| has_name(it.0) && has_name(it.1));
        if !is_sound {
            errors.push(format!("c{i} has a name or type that is not there"));
        }
    }
    for (i, global) in module.globals.iter().enumerate() {
        if !has_name(global.name) || !has_type(global.ty) {
            errors.push(format!("g{i} has a name or type that is not there"));
        }
    }
    for (i, function) in module.functions.iter().enumerate() {
        let is_sound = has_name(function.name)
            && !function.blocks.is_empty()
            && function.class.is_none_or(|it| it.index() < module.classes.len())
            && function.parent.is_none_or(|it| it.index() < module.functions.len())
            && function.attributes.iter().all(|it| has_name(*it))
            && function.parameters.iter().all(|it| it.index() < function.locals.len())
            && function.locals.iter().all(|it| has_name(it.name) && has_type(it.ty));
        if !is_sound {
            errors.push(format!("f{i} names what is not there, or has no block"));
        }
    }
}

struct Checker<'a> {
    module: &'a Module,
    function: &'a Function,
    index: usize,
    errors: &'a mut Vec<String>,
}

/// Where a register is written: node of the graph, and position in its block.
type Definition = Option<(usize, usize)>;

impl Checker<'_> {
    fn error(&mut self, what: impl std::fmt::Display) {
        let name = self.module.name(self.function.name);
        self.errors.push(format!("f{} {name}: {what}", self.index));
    }

    fn check(&mut self) {
        let function = self.function;
        let mut definitions: Vec<Definition> = vec![None; function.registers as usize];
        for (b, block) in function.blocks.iter().enumerate() {
            block.end.each_target(|it| self.block(it));
            if let Some(it) = block.unwind {
                self.block(it);
            }
            for (i, op) in block.ops.iter().enumerate() {
                self.ids(&op.kind);
                let Some(to) = op.kind.written() else { continue };
                match definitions.get_mut(to.index()) {
                    None => self.error(format!("{to} is out of range")),
                    Some(Some(_)) => self.error(format!("{to} is written twice")),
                    Some(slot) => *slot = Some((end_node(b), i)),
                }
            }
        }
        if !self.errors.is_empty() {
            return;
        }
        let order = Dominators::of(function);
        for (b, block) in function.blocks.iter().enumerate() {
            if !order.is_reachable(end_node(b)) {
                continue;
            }
            for (i, op) in block.ops.iter().enumerate() {
                if let OpKind::Phi { from, .. } = &op.kind {
                    for (before, value) in from {
                        self.use_at(&definitions, &order, end_node(before.index()), usize::MAX, *value);
                    }
                } else {
                    op.kind.each_operand(|it| self.use_at(&definitions, &order, end_node(b), i, it));
                }
            }
            block.end.each_operand(|it| self.use_at(&definitions, &order, end_node(b), usize::MAX, it));
        }
    }

    fn use_at(
        &mut self,
        definitions: &[Definition],
        order: &Dominators,
        node: usize,
        position: usize,
        value: Operand,
    ) {
        let Operand::Reg(reg) = value else { return };
        let is_sound = match definitions.get(reg.index()).copied().flatten() {
            None => false,
            Some((at, i)) if at == node => i < position,
            Some((at, _)) => !order.is_reachable(node) || order.dominates(at, node),
        };
        if !is_sound {
            self.error(format!("{reg} is read in b{} where it may not be written yet", node / 2));
        }
    }

    fn block(&mut self, it: BlockId) {
        if it.index() >= self.function.blocks.len() {
            self.error(format!("{it} is not there"));
        }
    }

    fn name(&mut self, it: Name) {
        if it.index() >= self.module.names.len() {
            self.error(format!("{it} is not there"));
        }
    }

    fn ty(&mut self, it: TypeId) {
        if it.index() >= self.module.types.len() {
            self.error(format!("{it} is not there"));
        }
    }

    fn place(&mut self, place: &Place) {
        let functions = &self.module.functions;
        let is_sound = match place.base {
            Base::Local(it) => it.index() < self.function.locals.len(),
            Base::Outer(function, it) => {
                functions.get(function.index()).is_some_and(|outer| it.index() < outer.locals.len())
            }
            Base::Global(it) => it.index() < self.module.globals.len(),
            Base::Class(it) => it.index() < self.module.classes.len(),
            Base::At(_) => true,
        };
        if !is_sound {
            self.error(format!("{:?} is not there", place.base));
        }
        for step in &place.steps {
            if let Step::Field { name, .. } = step {
                self.name(*name);
            }
        }
    }

    fn arguments(&mut self, args: &[Argument]) {
        args.iter().filter_map(|it| it.name).for_each(|it| self.name(it));
    }

    /// Ids of an operation but for registers.
    fn ids(&mut self, kind: &OpKind) {
        kind.each_operand(|it| match it {
            Operand::String(name)
            | Operand::Function(name)
            | Operand::Class(name)
            | Operand::Module(name) => {
                self.name(name);
            }
            _ => {}
        });
        match kind {
            OpKind::Load { from: place, .. }
            | OpKind::Store { to: place, .. }
            | OpKind::Address { of: place, .. } => self.place(place),
            OpKind::CopyRecord { to, from, .. } => {
                self.place(to);
                self.place(from);
            }
            OpKind::Cast { ty, .. } | OpKind::SizeOf { ty, .. } => self.ty(*ty),
            OpKind::Phi { from, .. } => from.iter().for_each(|it| self.block(it.0)),
            OpKind::Call { callee, args, .. } => {
                match *callee {
                    Callee::Direct(name) => self.name(name),
                    Callee::Method { name, class, .. } => {
                        self.name(name);
                        class.into_iter().for_each(|it| self.name(it));
                    }
                    Callee::Value(_) => {}
                }
                self.arguments(args);
            }
            OpKind::New { class, args, .. } => {
                self.name(*class);
                self.arguments(args);
            }
            OpKind::Closure { function, .. } if function.index() >= self.module.functions.len() => {
                self.error(format!("{function} is not there"));
            }
            OpKind::Live { local } | OpKind::Dead { local }
                if local.index() >= self.function.locals.len() =>
            {
                self.error(format!("{local} is not there"));
            }
            OpKind::Allocate { family: name, .. }
            | OpKind::Free { family: name, .. }
            | OpKind::Acquire { class: name, .. }
            | OpKind::Release { class: name, .. }
            | OpKind::Container { kind: name, .. } => self.name(*name),
            _ => {}
        }
    }
}

/// Exceptions leave a block before its operations are done: each block is two nodes, `2b` before and `2b + 1`
/// after them, and unwinding leaves from the first.
fn end_node(block: usize) -> usize {
    2 * block + 1
}

/// Immediate dominators (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm, 2001).
struct Dominators {
    /// By node; itself for the entry, `usize::MAX` where unreachable.
    parent: Vec<usize>,
    /// Position in reverse postorder, by node.
    position: Vec<usize>,
}

impl Dominators {
    fn of(function: &Function) -> Dominators {
        let count = function.blocks.len() * 2;
        let mut successors: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (b, block) in function.blocks.iter().enumerate() {
            successors[2 * b].push(end_node(b));
            successors[2 * b].extend(block.unwind.map(|it| 2 * it.index()));
            block.end.each_target(|it| successors[end_node(b)].push(2 * it.index()));
        }
        let order = reverse_postorder(&successors);
        let mut position = vec![usize::MAX; count];
        order.iter().enumerate().for_each(|(i, node)| position[*node] = i);
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); count];
        for &node in &order {
            successors[node].iter().for_each(|it| before[*it].push(node));
        }
        let mut it = Dominators { parent: vec![usize::MAX; count], position };
        it.parent[0] = 0;
        let mut is_changed = true;
        while is_changed {
            is_changed = false;
            for &node in &order[1..] {
                let known = before[node].iter().copied().filter(|before| it.parent[*before] != usize::MAX);
                let parent = known.reduce(|a, b| it.common(a, b)).unwrap_or(usize::MAX);
                is_changed |= it.parent[node] != parent;
                it.parent[node] = parent;
            }
        }
        it
    }

    fn common(&self, mut a: usize, mut b: usize) -> usize {
        while a != b {
            if self.position[a] > self.position[b] {
                a = self.parent[a];
            } else {
                b = self.parent[b];
            }
        }
        a
    }

    fn is_reachable(&self, node: usize) -> bool {
        self.parent[node] != usize::MAX
    }

    /// Both reachable.
    fn dominates(&self, above: usize, mut node: usize) -> bool {
        if !self.is_reachable(above) {
            return false;
        }
        while self.position[node] > self.position[above] {
            node = self.parent[node];
        }
        node == above
    }
}

/// From node 0, without recursion.
fn reverse_postorder(successors: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(successors.len());
    let mut is_seen = vec![false; successors.len()];
    let mut stack = vec![(0, 0)];
    is_seen[0] = true;
    while let Some((node, i)) = stack.last_mut() {
        match successors[*node].get(*i) {
            Some(&next) => {
                *i += 1;
                if !is_seen[next] {
                    is_seen[next] = true;
                    stack.push((next, 0));
                }
            }
            None => {
                order.push(*node);
                stack.pop();
            }
        }
    }
    order.reverse();
    order
}
