//! What all rules on managed languages (Python, JavaScript) share: classes, names across modules, the long-lived
//! variables ("slots") and what is stored in them, who calls whom, and how often.
//!
//! ```text
//! modules --World--> names, classes --Objects--> slots and their values --Calls--> rates --> rules
//! ```
//!
//! Flow-insensitive and name-based: a value is where it was loaded from or what made it. What cannot be told is
//! in no set, and the rules stay silent about it. Cost: linear in operations; what a register holds is found once in
//! each of two rounds and once for the rules, and a rule walks a list of the operations that it asks for.

mod ages;
mod calls;
mod few;
mod guards;
mod library;
mod names;
mod objects;
mod sites;
mod values;
mod world;

pub use ages::{Age, Ages};
pub use calls::{Caller, Calls, Rate, Repeat, is_constructor};
pub use few::{Few, Grouped};
pub use guards::{Guard, Guards};
pub use library::{ContainerModel, Family, Library, RegistrationModel, ResourceModel, modeled_packages};
pub use objects::{Objects, Slot, SlotId, Stored, Target, Value, View, has_attribute};
pub use sites::{CallId, Kinds, Site, Sites};
pub use world::{ClassRef, FnId, World};

use crate::finding::Found;
use crate::ir::{BlockId, Callee, Module, Name, Op, Operand, Place};

/// Everything the rules look at.
pub struct Managed<'a> {
    pub world: World<'a>,
    pub objects: Objects<'a>,
    pub calls: Calls,
    pub ages: Ages,
    pub library: &'a Library,
}

impl<'a> Managed<'a> {
    pub fn new(modules: &'a [Module], library: &'a Library, sites: &'a Sites<'a>) -> Managed<'a> {
        let world = World::new(modules, library.family, sites);
        let mut objects = Objects::new(&world, library);
        let calls = Calls::new(&world, &mut objects, library);
        let ages = Ages::new(&world, &objects, &calls, library);
        Managed { world, objects, calls, ages, library }
    }
}

impl<'a> Managed<'a> {
    /// Where an operand of a function comes from.
    pub fn values(&mut self, function: FnId, operand: Operand) -> Vec<Value> {
        let mut out = Vec::new();
        self.objects.values(&self.world, self.library, function, operand, &mut out);
        out
    }

    pub fn target(&mut self, function: FnId, callee: &Callee) -> Target<'a> {
        self.objects.target(&self.world, function, callee)
    }

    /// What `new` of a class calls.
    pub fn new_target(&mut self, function: FnId, class: Name) -> Target<'a> {
        self.objects.new_target(&self.world, function, class)
    }

    pub fn target_of(&self, call: CallId) -> Target<'a> {
        self.objects.target_of(call)
    }

    /// Functions of the program that an operand may be.
    pub fn functions_of(&mut self, function: FnId, operand: Operand) -> Few<FnId> {
        self.objects.functions_of(&self.world, self.library, function, operand)
    }

    /// Classes of the program that an operand may be an instance of, or is.
    pub fn classes_of(&mut self, function: FnId, operand: Operand) -> Few<ClassRef> {
        self.objects.classes_of(&self.world, self.library, function, operand)
    }

    pub fn slots_of_place(&mut self, function: FnId, place: &Place) -> Vec<SlotId> {
        self.objects.slots_of_place(&self.world, self.library, function, place).to_vec()
    }

    /// The library function whose call gave a value.
    pub fn made(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Made(symbol) => Some(self.objects.text(symbol)),
            _ => None,
        }
    }

    /// Whether an operand is what a call of this library function gave, as far as that is kept in variables.
    pub fn made_by(&mut self, function: FnId, operand: Operand, name: &str) -> bool {
        self.values(function, operand).iter().any(|it| match it {
            Value::Of(slot) => {
                self.objects.stored_in(*slot).iter().any(|it| self.made(it.value) == Some(name))
            }
            value => self.made(*value) == Some(name),
        })
    }

    /// The operation that wrote an operand's register.
    pub fn definition(&self, function: FnId, operand: Operand) -> Option<&'a Op> {
        match operand {
            Operand::Reg(reg) => self.objects.definition(function, reg),
            _ => None,
        }
    }

    /// The block of an operation of a function.
    pub fn block_of(&self, function: FnId, op: &Op) -> Option<BlockId> {
        let mut blocks = (0u32..).zip(&self.world.entry(function).ir.blocks);
        let block = blocks.find(|it| it.1.ops.as_ptr_range().contains(&std::ptr::from_ref(op)));
        block.map(|it| BlockId(it.0))
    }

    pub fn text(&self, function: FnId, name: Name) -> &'a str {
        self.world.text(function, name)
    }

    /// A slot as people write it.
    pub fn slot_text(&self, slot: SlotId) -> String {
        match self.objects.slot(slot) {
            Slot::Global(name) => match name.rsplit_once(".<default>.") {
                Some((function, parameter)) => {
                    let function = function.rsplit('.').next().unwrap_or(function);
                    format!("default argument `{parameter}` of `{function}`")
                }
                None => format!("`{}`", name.rsplit('.').next().unwrap_or(name)),
            },
            Slot::Attribute(class, name) => {
                let class = self.world.class_entry(class).name;
                format!("`{}.{name}`", class.rsplit('.').next().unwrap_or(class))
            }
            Slot::Local(function, local) => {
                let local = self.world.entry(function).ir.locals[local.index()].name;
                format!("`{}`", self.text(function, local))
            }
            Slot::AnyAttribute(name) => format!("`{name}`"),
        }
    }
}

/// Runs all rules on the modules in managed languages; findings are sorted by place.
pub fn check(modules: &[Module]) -> Vec<Found> {
    let mut found = Vec::new();
    for family in Family::ALL {
        if !modules.iter().any(|it| family.has(it.language)) {
            continue;
        }
        let library = Library::bundled(family);
        let sites = Sites::new(modules, family);
        let mut managed = Managed::new(modules, library, &sites);
        crate::growth::check(&mut managed, &mut found);
        crate::rules::managed::check(&mut managed, &mut found);
    }
    found.sort_by(|a, b| (a.at, a.rule, &a.message).cmp(&(b.at, b.rule, &b.message)));
    found.dedup();
    found
}
