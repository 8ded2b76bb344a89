//! The collectors: one interface, one file each.

mod generational;
mod mark_sweep;
mod reference_counting;
mod regions;

pub use generational::{Generational, GenerationalOptions};
pub use mark_sweep::{MarkSweep, MarkSweepOptions};
pub use reference_counting::{Cycles, Generations, Increments, ReferenceCounting, ReferenceCountingOptions};
pub use regions::{Regions, RegionsOptions};

use crate::core::Core;
use crate::heap::Shape;

/// What a heap asks of its collector. Sealed: its methods take the heap's inner state.
///
/// Contract, which `tests/contract.rs` holds for all of them:
///
/// - what roots reach at a safepoint is there afterwards, with its fields and payload;
/// - `collect` frees all else, but for what finalizable objects reach, which are condemned;
/// - an object that `upgrade` said to be there stays until the next safepoint.
pub trait Collector {
    /// Whether changes of roots have to be told.
    const COUNTS: bool = false;

    /// The heap is new.
    fn begin(&mut self, _core: &mut Core) {}

    /// The program is about to allocate: a trigger may be met, and work be done.
    fn safepoint(&mut self, core: &mut Core, shape: Shape);

    /// Makes an object; nothing when there is no memory. Frees nothing.
    fn place(&mut self, core: &mut Core, shape: Shape) -> Option<u32>;

    /// The write barrier: a field of an object has just changed; 0 is null.
    fn write(&mut self, core: &mut Core, object: u32, old: u32, new: u32);

    /// One more root refers to the object.
    fn retain(&mut self, _core: &mut Core, _index: u32) {}

    /// One root fewer refers to the object.
    fn release(&mut self, _core: &mut Core, _index: u32) {}

    /// The program asks for an object that it may have lost: whether it is still there, and then it stays.
    fn upgrade(&mut self, core: &mut Core, index: u32) -> bool;

    /// About so many objects' worth of collecting.
    fn step(&mut self, core: &mut Core, objects: u64);

    /// A whole collection.
    fn collect(&mut self, core: &mut Core);

    /// The collector's own invariants.
    fn check(&self, core: &Core) -> Result<(), String>;
}
