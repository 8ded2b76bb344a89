//! The managed heap as programs use it: safe handles over any of the collectors.

use std::num::NonZeroU32;

use crate::collectors::Collector;
use crate::core::{CONDEMNED, Core, FINALIZABLE, HEADER_BYTES};
use crate::memory::Place;
use crate::statistics::Statistics;
use crate::verify;

/// What an object consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    /// Fields that refer to other objects.
    pub references: u32,
    /// Bytes of payload.
    pub bytes: u32,
}

impl Shape {
    /// The largest object, in bytes.
    pub const LARGEST: u64 = 1 << 31;

    /// An object of so many reference fields and bytes of payload.
    pub const fn new(references: u32, bytes: u32) -> Self {
        Self { references, bytes }
    }

    /// An object of so many reference fields that occupies `size` bytes, or what its header and fields need.
    pub fn of_size(references: u32, size: u64) -> Self {
        let own = u64::from(HEADER_BYTES) + 4 * u64::from(references);
        let bytes = size.saturating_sub(own).min(Self::LARGEST);
        Self { references, bytes: bytes as u32 }
    }

    /// Bytes that it occupies: header, fields and payload, rounded up to 8.
    #[inline]
    pub const fn size(&self) -> u32 {
        (self.size_wide() as u32).next_multiple_of(8)
    }

    const fn size_wide(&self) -> u64 {
        HEADER_BYTES as u64 + 4 * self.references as u64 + self.bytes as u64
    }
}

/// An object of a heap.
///
/// A handle may be copied and kept, but does not keep its object: what no root reaches at a *safepoint* (an
/// allocation, [`Heap::collect`] or [`Heap::step`]) may be gone after it, and using its handle panics from then on.
/// Until the next safepoint every handle that the heap gave is good. A handle is good for its own heap only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle {
    index: NonZeroU32,
    generation: u32,
}

impl Handle {
    /// A number below 2^32 that no other live object of the heap has; it is used again when the object is gone.
    pub fn index(self) -> u32 {
        self.index.get()
    }
}

/// An object that is not kept alive; see [`Heap::upgrade`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Weak(Handle);

#[cold]
#[inline(never)]
#[track_caller]
fn gone() -> ! {
    panic!("the object is gone: no root reached it at a safepoint")
}

#[cold]
#[inline(never)]
#[track_caller]
fn no_field(field: u32, count: u32) -> ! {
    panic!("field {field} of an object with {count}")
}

/// An entry among the heap's roots; see [`Heap::root`].
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct Root(u32);

/// An allocation that the heap's limit, or the system's memory, did not allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exhausted {
    /// Bytes that were asked for.
    pub needed_bytes: u64,
    /// Bytes of objects that were left after a whole collection.
    pub live_bytes: u64,
    /// Bytes of objects that are allowed.
    pub limit_bytes: u64,
}

impl std::fmt::Display for Exhausted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { needed_bytes, live_bytes, limit_bytes } = self;
        write!(out, "no room for {needed_bytes} bytes: {live_bytes} of {limit_bytes} bytes are live")
    }
}

impl std::error::Error for Exhausted {}

/// Objects of any size with any number of reference fields, freed when no root reaches them.
///
/// ```
/// use heapwise_gc::{Generational, Heap, Shape};
/// let mut heap = Heap::new(Generational::default());
/// let pair = heap.allocate(Shape::new(2, 0))?;
/// heap.push(pair);
/// let text = heap.allocate(Shape::new(0, 5))?;
/// heap.bytes_mut(text).copy_from_slice(b"hello");
/// heap.set(pair, 0, Some(text));
/// heap.collect();
/// assert_eq!(heap.bytes(heap.get(pair, 0).expect("it was set")), b"hello");
/// heap.pop();
/// heap.collect();
/// assert_eq!(heap.statistics().live_objects, 0);
/// # Ok::<(), heapwise_gc::Exhausted>(())
/// ```
pub struct Heap<C> {
    core: Core,
    collector: C,
    vacant_roots: Vec<u32>,
    verifying: bool,
    /// Cycles that had ended when the heap was last verified.
    verified: u64,
    floating_bytes: u64,
}

impl<C: Collector> Heap<C> {
    /// An empty heap without a limit.
    pub fn new(collector: C) -> Self {
        Self::with_limit(collector, u64::MAX)
    }

    /// An empty heap that holds so many bytes of objects at most.
    pub fn with_limit(mut collector: C, limit_bytes: u64) -> Self {
        let mut core = Core::new(limit_bytes);
        collector.begin(&mut core);
        Self { core, collector, vacant_roots: Vec::new(), verifying: false, verified: 0, floating_bytes: 0 }
    }

    /// From now on each cycle of collection is followed by a slow check of everything, which panics when it finds
    /// damage; [`Heap::floating_bytes`] is known then.
    pub fn verify_always(&mut self) {
        self.verifying = true;
    }

    /// The collector with its settings.
    pub fn collector(&self) -> &C {
        &self.collector
    }

    /// Makes an object with null fields and zero payload. A safepoint.
    ///
    /// # Errors
    /// When the heap's limit, the system's memory or [`Shape::LARGEST`] does not allow it.
    #[inline]
    pub fn allocate(&mut self, shape: Shape) -> Result<Handle, Exhausted> {
        let needed = shape.size_wide().next_multiple_of(8);
        if needed > Shape::LARGEST || !self.core.has_entry() {
            return Err(self.exhausted(needed));
        }
        self.collector.safepoint(&mut self.core, shape);
        if self.verifying {
            self.verify_after_cycle();
        }
        if needed > self.core.limit_bytes().saturating_sub(self.core.live_bytes()) {
            self.make_room(needed)?;
        }
        let Some(index) = self.collector.place(&mut self.core, shape) else {
            return Err(self.exhausted(needed));
        };
        Ok(self.handle(index))
    }

    /// Makes an object with these fields and this payload. A safepoint, over which the fields are kept alive.
    ///
    /// # Errors
    /// As [`Heap::allocate`].
    pub fn allocate_with(&mut self, fields: &[Option<Handle>], payload: &[u8]) -> Result<Handle, Exhausted> {
        let (Ok(references), Ok(bytes)) = (u32::try_from(fields.len()), u32::try_from(payload.len())) else {
            return Err(self.exhausted(u64::MAX));
        };
        for &field in fields {
            self.push_option(field);
        }
        let made = self.allocate(Shape::new(references, bytes));
        if let Ok(made) = made {
            for (at, &field) in fields.iter().enumerate() {
                if field.is_some() {
                    self.set(made, at as u32, field);
                }
            }
            self.bytes_mut(made).copy_from_slice(payload);
        }
        self.truncate(self.core.stack.len() - fields.len());
        made
    }

    #[cold]
    fn make_room(&mut self, needed: u64) -> Result<(), Exhausted> {
        self.collect();
        match needed > self.core.limit_bytes().saturating_sub(self.core.live_bytes()) {
            true => Err(self.exhausted(needed)),
            false => Ok(()),
        }
    }

    #[cold]
    fn exhausted(&self, needed_bytes: u64) -> Exhausted {
        let (live_bytes, limit_bytes) = (self.core.live_bytes(), self.core.limit_bytes());
        Exhausted { needed_bytes, live_bytes, limit_bytes }
    }

    #[inline]
    fn handle(&self, index: u32) -> Handle {
        let index = NonZeroU32::new(index).expect("entry 0 holds no object");
        Handle { index, generation: self.core.entry(index.get()).generation }
    }

    #[inline(always)]
    #[track_caller]
    fn place(&self, object: Handle) -> Place {
        match self.core.find(object.index.get(), object.generation) {
            Some(place) => place,
            None => gone(),
        }
    }

    #[inline(always)]
    #[track_caller]
    fn index(&self, object: Handle) -> u32 {
        self.place(object);
        object.index.get()
    }

    /// Where a field is, from the place of its object.
    #[inline(always)]
    #[track_caller]
    fn field(object: &[u8], field: u32) -> usize {
        let count = u32::from_ne_bytes(object[4..8].try_into().expect("four bytes"));
        if field >= count {
            no_field(field, count);
        }
        HEADER_BYTES as usize + field as usize * 4
    }

    /// The object that a field refers to.
    ///
    /// # Panics
    /// When the object is gone or has no such field; so does everything that takes a handle.
    #[inline]
    #[track_caller]
    pub fn get(&self, object: Handle, field: u32) -> Option<Handle> {
        let object = self.core.memory.bytes(self.place(object));
        let at = Self::field(object, field);
        match u32::from_ne_bytes(object[at..at + 4].try_into().expect("four bytes")) {
            0 => None,
            value => Some(self.handle(value)),
        }
    }

    /// Makes a field refer to an object, or to none.
    #[inline]
    #[track_caller]
    pub fn set(&mut self, object: Handle, field: u32, value: Option<Handle>) {
        let new = value.map_or(0, |it| self.index(it));
        let place = self.place(object);
        let bytes = self.core.memory.bytes_mut(place);
        let at = Self::field(bytes, field);
        let slot = &mut bytes[at..at + 4];
        let old = u32::from_ne_bytes((&*slot).try_into().expect("four bytes"));
        slot.copy_from_slice(&new.to_ne_bytes());
        self.core.statistics.stores += 1;
        self.collector.write(&mut self.core, object.index.get(), old, new);
    }

    /// What the object consists of.
    #[inline]
    #[track_caller]
    pub fn shape(&self, object: Handle) -> Shape {
        self.core.shape(self.index(object))
    }

    /// The object's payload.
    #[inline]
    #[track_caller]
    pub fn bytes(&self, object: Handle) -> &[u8] {
        let place = self.place(object);
        let shape = self.core.shape_at(place).1;
        let start = HEADER_BYTES as usize + shape.references as usize * 4;
        &self.core.memory.bytes(place)[start..start + shape.bytes as usize]
    }

    /// The object's payload, to be written.
    #[inline]
    #[track_caller]
    pub fn bytes_mut(&mut self, object: Handle) -> &mut [u8] {
        let place = self.place(object);
        let shape = self.core.shape_at(place).1;
        let start = HEADER_BYTES as usize + shape.references as usize * 4;
        &mut self.core.memory.bytes_mut(place)[start..start + shape.bytes as usize]
    }

    /// Whether using the handle would not panic.
    pub fn is_live(&self, object: Handle) -> bool {
        let index = object.index.get();
        index < self.core.entries() && self.core.entry(index).generation == object.generation
    }

    /// Puts an object on the stack of roots.
    #[inline]
    #[track_caller]
    pub fn push(&mut self, object: Handle) {
        self.push_option(Some(object));
    }

    #[inline]
    #[track_caller]
    fn push_option(&mut self, object: Option<Handle>) {
        let index = object.map_or(0, |it| self.index(it));
        self.core.stack.push(index);
        self.retain(index);
    }

    /// Takes the last object from the stack of roots; its handle is good until the next safepoint.
    ///
    /// # Panics
    /// When the stack is empty.
    #[inline]
    #[track_caller]
    pub fn pop(&mut self) -> Handle {
        let index = self.core.stack.pop().expect("the stack of roots is not empty");
        self.let_go(index);
        self.handle(index)
    }

    /// How many objects are on the stack of roots.
    #[inline]
    pub fn height(&self) -> usize {
        self.core.stack.len()
    }

    /// Takes all objects above a height from the stack of roots.
    #[inline]
    pub fn truncate(&mut self, height: usize) {
        while self.core.stack.len() > height {
            let index = self.core.stack.pop().expect("the stack is higher than that");
            self.let_go(index);
        }
    }

    /// The object at a height of the stack of roots, from 0.
    #[inline]
    #[track_caller]
    pub fn at(&self, height: usize) -> Handle {
        self.handle(self.core.stack[height])
    }

    /// Puts another object at a height of the stack of roots.
    #[inline]
    #[track_caller]
    pub fn set_at(&mut self, height: usize, object: Handle) {
        let index = self.index(object);
        self.retain(index);
        let old = std::mem::replace(&mut self.core.stack[height], index);
        self.let_go(old);
    }

    /// Keeps an object alive until [`Heap::unroot`].
    #[track_caller]
    pub fn root(&mut self, object: Handle) -> Root {
        let index = self.index(object);
        self.retain(index);
        match self.vacant_roots.pop() {
            Some(at) => {
                self.core.roots[at as usize] = index;
                Root(at)
            }
            None => {
                self.core.roots.push(index);
                Root(self.core.roots.len() as u32 - 1)
            }
        }
    }

    /// The object that a root keeps.
    #[track_caller]
    pub fn rooted(&self, root: &Root) -> Handle {
        self.handle(self.core.roots[root.0 as usize])
    }

    /// Keeps an object no longer; its handle is good until the next safepoint.
    #[track_caller]
    pub fn unroot(&mut self, root: Root) -> Handle {
        let index = std::mem::take(&mut self.core.roots[root.0 as usize]);
        self.vacant_roots.push(root.0);
        self.let_go(index);
        self.handle(index)
    }

    #[inline]
    fn retain(&mut self, index: u32) {
        if C::COUNTS && index != 0 {
            self.collector.retain(&mut self.core, index);
        }
    }

    #[inline]
    fn let_go(&mut self, index: u32) {
        if C::COUNTS && index != 0 {
            self.collector.release(&mut self.core, index);
        }
    }

    /// A reference that does not keep the object.
    #[track_caller]
    pub fn downgrade(&self, object: Handle) -> Weak {
        self.index(object);
        Weak(object)
    }

    /// The object of a weak reference, if it is still there and was not handed out by
    /// [`Heap::next_finalizable`].
    pub fn upgrade(&mut self, weak: Weak) -> Option<Handle> {
        if !self.is_live(weak.0) || self.core.word(weak.0.index()) & CONDEMNED != 0 {
            return None;
        }
        self.collector.upgrade(&mut self.core, weak.0.index()).then_some(weak.0)
    }

    /// Asks that the object be handed out by [`Heap::next_finalizable`] once when no root reaches it any more.
    #[track_caller]
    pub fn watch(&mut self, object: Handle) {
        let index = self.index(object);
        let word = self.core.word_mut(index);
        if *word & (FINALIZABLE | CONDEMNED) == 0 {
            *word |= FINALIZABLE;
            self.core.fresh.push(index);
        }
    }

    /// An object that was watched and is no longer reachable. It and what it refers to is whole, and lives on if it
    /// is made reachable before the next safepoint.
    pub fn next_finalizable(&mut self) -> Option<Handle> {
        let index = self.core.condemned.pop_front()?;
        self.let_go(index);
        Some(self.handle(index))
    }

    /// Frees all that no root reaches, whatever was begun before. A safepoint.
    pub fn collect(&mut self) {
        self.collector.collect(&mut self.core);
        if self.verifying {
            self.verify_after_cycle();
        }
    }

    /// Goes on with a collection, or begins one, for about so many objects; whether a cycle ended. A safepoint.
    pub fn step(&mut self, objects: u64) -> bool {
        let before = self.cycles();
        self.collector.step(&mut self.core, objects);
        if self.verifying {
            self.verify_after_cycle();
        }
        before != self.cycles()
    }

    fn cycles(&self) -> u64 {
        self.core.statistics.collections.iter().sum()
    }

    fn verify_after_cycle(&mut self) {
        if self.cycles() == self.verified {
            return;
        }
        self.verified = self.cycles();
        match self.verify() {
            Ok(live) => self.floating_bytes = self.core.live_bytes() - live.bytes,
            Err(damage) => panic!("the heap is damaged: {damage}"),
        }
    }

    /// The account of what the heap did up to now.
    pub fn statistics(&mut self) -> &Statistics {
        self.core.settle()
    }

    /// Bytes of unreachable objects that the last cycle left: floating garbage. 0 before the first cycle that was
    /// followed by a check.
    pub fn floating_bytes(&self) -> u64 {
        self.floating_bytes
    }

    /// Follows everything from the roots, slowly, and compares it with what the heap and its collector say.
    ///
    /// # Errors
    /// The first damage that was found.
    pub fn verify(&self) -> Result<verify::Reachable, String> {
        let reachable = verify::reachable(&self.core)?;
        self.collector.check(&self.core)?;
        Ok(reachable)
    }
}
