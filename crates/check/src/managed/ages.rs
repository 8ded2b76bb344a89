//! How long the objects of a class live.

use super::calls::{Calls, Rate, Repeat};
use super::library::Library;
use super::objects::{Objects, Slot, Target, Value};
use super::sites::{Kinds, Site};
use super::world::{ClassRef, FnId, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Made in functions, and not kept for all that is seen.
    Short,
    /// Never made in the program, or kept by something of unknown age.
    Unknown,
    /// As long as the program: kept by a global, made once at its start, or running a loop without end.
    Long,
}

pub struct Ages(Vec<Age>);

impl Ages {
    pub fn new<'a>(world: &World<'a>, objects: &Objects<'a>, calls: &Calls, library: &Library) -> Ages {
        let mut ages = vec![Age::Unknown; world.classes.len()];
        // Places that make objects of the class; those of them whose objects live on.
        let mut made = vec![0u32; ages.len()];
        let mut lasting = vec![0u32; ages.len()];
        let mut is_kept = vec![false; ages.len()];
        for (at, entry) in (0u32..).zip(&world.functions) {
            let function = FnId(at);
            for Site { block, call, .. } in world.sites(function, Kinds::CALL) {
                let Target::Class(class) = objects.target_of(call) else { continue };
                made[class.0 as usize] += 1;
                let is_once = calls.repeat(function, block) <= Repeat::Listed
                    && calls.rate(function) == Rate::Startup
                    && !world.short_name(function).starts_with("test");
                lasting[class.0 as usize] += u32::from(is_once);
            }
            // A loop without end in a method: the object is there as long as it runs.
            if let Some(class) = entry.class
                && calls.has_endless_loop(function)
            {
                ages[class.0 as usize] = Age::Long;
            }
        }
        for slot in objects.slot_ids() {
            for stored in objects.stored_in(slot) {
                let Value::Instance(class) = stored.value else { continue };
                match objects.slot(slot) {
                    Slot::Global(_) => {
                        let is_counted = calls.rate(stored.function) == Rate::Startup;
                        lasting[class.0 as usize] += u32::from(!is_counted);
                        is_kept[class.0 as usize] = true;
                    }
                    Slot::Local(..) => {}
                    Slot::Attribute(..) | Slot::AnyAttribute(_) => is_kept[class.0 as usize] = true,
                }
            }
        }
        for (at, age) in ages.iter_mut().enumerate() {
            let class = ClassRef(u32::try_from(at).unwrap_or(u32::MAX));
            if world.has_base(class, |it| library.is_thread_base(it) || library.is_listener_base(it)) {
                *age = Age::Long;
            }
            if made[at] > 0 && lasting[at] >= made[at] {
                *age = Age::Long;
            }
            let is_request = world.has_base(class, |it| library.is_handler_base(it));
            if is_request || *age == Age::Unknown && made[at] > 0 && !is_kept[at] {
                *age = Age::Short;
            }
        }
        Ages(ages)
    }

    pub fn of(&self, class: ClassRef) -> Age {
        self.0[class.0 as usize]
    }
}
