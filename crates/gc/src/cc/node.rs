//! What a handle points to: a header with two counts, and the value.
//!
//! ```text
//!  strong  [ DEAD | SUSPECT | IN_SLOT | ACYCLIC | CONDEMNED | LISTED | count of handles: 26 bits ]
//!  link    count of weak handles + 1 for all handles together; the slot's number while IN_SLOT, which keeps the count
//!  class   layout, drop and trace of the concrete type
//!  value
//! ```
//!
//! Invariants:
//!
//! ```text
//! the value is there          <=>  !DEAD
//! the memory is there         <=>  weak count > 0
//! the handles' own weak count is given up  <=>  DEAD, no handles, not LISTED, not IN_SLOT
//! LISTED   <=>  in one list of suspects, once
//! SUSPECT   =>  LISTED and still to be judged, but while a cycle's values are dropped
//! ```

use std::alloc::{Layout, dealloc};
use std::cell::Cell;
use std::ptr::NonNull;

use super::trace::{Trace, Tracer};

pub const DEAD: u32 = 1 << 31;
pub const SUSPECT: u32 = 1 << 30;
pub const IN_SLOT: u32 = 1 << 29;
pub const ACYCLIC: u32 = 1 << 28;
pub const CONDEMNED: u32 = 1 << 27;
pub const LISTED: u32 = 1 << 26;
pub const COUNT: u32 = LISTED - 1;

/// What the collector knows of a concrete type.
pub struct Class {
    pub layout: Layout,
    /// Drops the value.
    pub drop: unsafe fn(NonNull<Header>),
    /// Tells the tracer of the value's handles.
    pub trace: unsafe fn(NonNull<Header>, &mut Tracer<'_>),
}

pub struct Header {
    pub strong: Cell<u32>,
    pub link: Cell<u32>,
    pub class: &'static Class,
}

/// A value with its header. The layout is fixed, so that a pointer to it points to its header.
#[repr(C)]
pub struct Inner<T: ?Sized> {
    pub(super) header: Header,
    pub(super) value: T,
}

impl<T: Trace> Inner<T> {
    pub const CLASS: &'static Class =
        &Class { layout: Layout::new::<Inner<T>>(), drop: drop_value::<T>, trace: trace_value::<T> };
}

/// # Safety
/// - `node` is the header of an `Inner<T>` whose value is there, and to which no reference exists.
unsafe fn drop_value<T>(node: NonNull<Header>) {
    // SAFETY: by this function's contract; `Inner<T>` begins with its header, and `node` may reach all of it.
    unsafe { std::ptr::drop_in_place(&raw mut (*node.cast::<Inner<T>>().as_ptr()).value) }
}

/// # Safety
/// - `node` is the header of an `Inner<T>` whose value is there, and to which no mutable reference exists.
unsafe fn trace_value<T: Trace>(node: NonNull<Header>, tracer: &mut Tracer<'_>) {
    // SAFETY: by this function's contract, as above.
    unsafe { (*node.cast::<Inner<T>>().as_ptr()).value.trace(tracer) }
}

impl Header {
    #[inline]
    pub fn has(&self, flags: u32) -> bool {
        self.strong.get() & flags != 0
    }

    #[inline]
    pub fn count(&self) -> u32 {
        self.strong.get() & COUNT
    }

    #[inline]
    pub fn raise(&self, flags: u32) {
        self.strong.set(self.strong.get() | flags);
    }

    #[inline]
    pub fn clear(&self, flags: u32) {
        self.strong.set(self.strong.get() & !flags);
    }

    /// One more handle.
    ///
    /// # Panics
    /// When there are too many to count.
    #[inline]
    pub fn increment(&self) {
        let strong = self.strong.get();
        if strong & COUNT == COUNT {
            too_many();
        }
        self.strong.set(strong + 1);
    }
}

#[cold]
fn too_many() -> ! {
    panic!("more than {COUNT} handles to one value");
}

/// The header of a node.
///
/// # Safety
/// - `node`'s memory is there for as long as the reference is used.
#[inline]
pub unsafe fn header<'a>(node: NonNull<Header>) -> &'a Header {
    // SAFETY: by this function's contract; headers are only ever shared, and change through cells.
    unsafe { node.as_ref() }
}

/// Gives up one weak count, and the memory with the last one.
///
/// # Safety
/// - The caller owns that count and does not use the node afterwards.
/// - The node is not IN_SLOT.
#[inline]
pub unsafe fn give_up(node: NonNull<Header>) {
    // SAFETY: the caller's count keeps the memory.
    let layout = unsafe { header(node) }.class.layout;
    // SAFETY: by this function's contract; the class's layout is that of the allocation.
    unsafe { give_up_known(node, layout) }
}

/// The same where the layout is known.
///
/// # Safety
/// - As [`give_up`]; `layout` is that of the class.
#[inline]
pub unsafe fn give_up_known(node: NonNull<Header>, layout: Layout) {
    let left = {
        // SAFETY: the caller's count keeps the memory.
        let header = unsafe { header(node) };
        debug_assert!(!header.has(IN_SLOT) && header.link.get() > 0);
        debug_assert_eq!(layout, header.class.layout);
        let left = header.link.get() - 1;
        header.link.set(left);
        left
    };
    if left == 0 {
        // SAFETY: nothing counts on the memory any more; it was allocated with this layout.
        unsafe { dealloc(node.as_ptr().cast(), layout) }
    }
}
