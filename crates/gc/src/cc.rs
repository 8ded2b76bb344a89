//! `Cc<T>`: a counted pointer like [`Rc`](std::rc::Rc), whose cycles are found and freed.
//!
//! ```
//! use std::cell::RefCell;
//! use heapwise_gc::{Cc, Trace};
//!
//! #[derive(Trace)]
//! struct Node {
//!     name: &'static str,
//!     neighbors: RefCell<Vec<Cc<Node>>>,
//! }
//!
//! let a = Cc::new(Node { name: "a", neighbors: RefCell::default() });
//! let b = Cc::new(Node { name: "b", neighbors: RefCell::new(vec![a.clone()]) });
//! a.neighbors.borrow_mut().push(b.clone());
//! assert_eq!(a.neighbors.borrow()[0].name, "b");
//! drop((a, b));
//! assert_eq!(heapwise_gc::cc::collect(), 2);
//! ```
//!
//! Values without cycles are dropped at once when their last handle goes, at any depth without recursion. A cycle is
//! found later: when enough bytes of values lost a handle but not the last, [`Cc::new`] does a slice of the work now
//! and then ([`Pacing`]); [`collect`] does all of it.
//!
//! # What cannot go wrong, and what panics
//!
//! - A handle does not leave its thread, and what it points to is `'static` and [`Trace`]:
//!
//! ```compile_fail,E0277
//! let handle = heapwise_gc::Cc::new(1);
//! std::thread::spawn(move || drop(handle));
//! ```
//!
//! ```compile_fail,E0597
//! let text = String::from("short-lived");
//! let handle = heapwise_gc::Cc::<&'static str>::new(&text);
//! ```
//!
//! ```compile_fail,E0277
//! struct NoTrace;
//! heapwise_gc::Cc::new(NoTrace);
//! ```
//!
//! ```compile_fail,E0277
//! struct NoTrace;
//! #[derive(heapwise_gc::Trace)]
//! struct Node(NoTrace);
//! ```
//!
//! - There is no mutable access to a shared value; that is what cells are for:
//!
//! ```compile_fail,E0594
//! let handle = heapwise_gc::Cc::new(1);
//! *handle = 2;
//! ```
//!
//! - [`Trace`] by hand is `unsafe`; derived it is always right:
//!
//! ```compile_fail,E0200
//! struct Node;
//! impl heapwise_gc::Trace for Node {
//!     fn trace(&self, _: &mut heapwise_gc::cc::Tracer<'_>) {}
//! }
//! ```
//!
//! - A destructor that runs because its cycle is freed may use its neighbors. One that was dropped before it panics;
//!   a handle to one that escapes panics when it is used, and its [`Weak`] handles are empty.
//! - Destructors of a cycle run within [`Cc::new`] or [`collect`], in no promised order. What they free, they free;
//!   collecting does not begin anew within them.
//! - Handles that are forgotten, or held where [`Trace`] does not look (`#[trace(skip)]`, [`Rc`](std::rc::Rc), a cell
//!   that is mutably borrowed), count as held from outside: a leak at worst.
//!
//! Absent on purpose: handles for several threads (counts would be atomic, and every clone five times as dear; so
//! there is nothing here for a model checker of interleavings), `get_mut` (a suspect may be traced at any
//! allocation), unsizing by `as` (it needs the compiler's help; see [`unsize!`](crate::unsize)).

mod chunks;
mod collector;
mod node;
mod trace;

pub use collector::{Counts, Pacing, collect, counts, set_pacing, step};
#[doc(hidden)]
pub use trace::Skipped;
pub use trace::{Trace, Tracer};

use std::alloc::{alloc, handle_alloc_error};
use std::borrow::Borrow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

#[doc(hidden)]
pub use node::Inner;
use node::{ACYCLIC, CONDEMNED, DEAD, Header, IN_SLOT, LISTED, SUSPECT, give_up, header};

/// A handle to a shared value of one thread; see the [module](self).
pub struct Cc<T: ?Sized> {
    inner: NonNull<Inner<T>>,
    owns: PhantomData<Inner<T>>,
}

/// A handle that does not keep its value.
pub struct Weak<T: ?Sized> {
    /// None: never had a value.
    inner: Option<NonNull<Inner<T>>>,
}

impl<T: Trace + 'static> Cc<T> {
    /// A new value with one handle. May do a slice of collecting before, and so run destructors.
    #[inline]
    pub fn new(value: T) -> Self {
        collector::poll();
        let flags = if T::is_acyclic() { ACYCLIC } else { 0 };
        let inner = allocate::<T>(1 | flags, 1);
        // SAFETY: the memory is new and large enough.
        unsafe { (&raw mut (*inner.as_ptr()).value).write(value) };
        Self { inner, owns: PhantomData }
    }

    /// A value that keeps a weak handle to itself; it is empty until `make` has returned.
    pub fn new_cyclic(make: impl FnOnce(&Weak<T>) -> T) -> Self {
        collector::poll();
        // The handles' own weak count is given up with `unborn` if `make` panics: both are then `Weak`s to nothing.
        let inner = allocate::<T>(DEAD, 2);
        let unborn = Weak { inner: Some(inner) };
        let value = {
            let own = Weak { inner: Some(inner) };
            let value = make(&unborn);
            std::mem::forget(own);
            value
        };
        // SAFETY: the memory is large enough; no handle to it exists yet.
        unsafe {
            (&raw mut (*inner.as_ptr()).value).write(value);
            header(inner.cast()).strong.set(1 | if T::is_acyclic() { ACYCLIC } else { 0 });
        }
        Self { inner, owns: PhantomData }
    }

    /// The value, if this is its only handle.
    ///
    /// # Errors
    /// The handle, when there are others, or the value was dropped with its cycle.
    pub fn try_unwrap(this: Self) -> Result<T, Self> {
        if this.header().count() != 1 || this.header().has(DEAD) {
            return Err(this);
        }
        let this = ManuallyDrop::new(this);
        // SAFETY: this is the only handle; DEAD says that the value is no longer there, so nobody drops or reads it
        // again. A list or slot keeps the memory, else it is given up here.
        unsafe {
            let value = (&raw const (*this.inner.as_ptr()).value).read();
            let header = header(this.node());
            header.strong.set((header.strong.get() - 1) | DEAD);
            if !header.has(LISTED | IN_SLOT) {
                give_up(this.node());
            }
            Ok(value)
        }
    }
}

#[inline]
fn allocate<T: Trace>(strong: u32, weak: u32) -> NonNull<Inner<T>> {
    let class = Inner::<T>::CLASS;
    // SAFETY: the layout has a header's size at least.
    let memory = unsafe { alloc(class.layout) };
    let Some(inner) = NonNull::new(memory.cast::<Inner<T>>()) else { handle_alloc_error(class.layout) };
    // SAFETY: the memory is new and has the layout of `Inner<T>`.
    unsafe {
        (&raw mut (*inner.as_ptr()).header).write(Header {
            strong: Cell::new(strong),
            link: Cell::new(weak),
            class,
        });
    }
    inner
}

impl<T: ?Sized> Cc<T> {
    #[inline]
    pub(crate) fn node(&self) -> NonNull<Header> {
        self.inner.cast()
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: a handle keeps its node.
        unsafe { header(self.node()) }
    }

    /// A handle that does not keep the value.
    pub fn downgrade(this: &Self) -> Weak<T> {
        // SAFETY: a handle keeps its node.
        unsafe { collector::change_weak(this.node(), 1) };
        Weak { inner: Some(this.inner) }
    }

    /// Whether two handles are to the same value.
    #[inline]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.node() == other.node()
    }

    /// The address of the value.
    pub fn as_ptr(this: &Self) -> *const T {
        // SAFETY: a handle keeps its node; no reference is made.
        unsafe { &raw const (*this.inner.as_ptr()).value }
    }

    /// Handles to the value.
    pub fn strong_count(this: &Self) -> usize {
        this.header().count() as usize
    }

    /// Weak handles to the value.
    pub fn weak_count(this: &Self) -> usize {
        // SAFETY: a handle keeps its node. The handles' own count is not given up while there is one.
        unsafe { collector::weak(this.node()) as usize - 1 }
    }

    /// Whether the value was dropped with its cycle, so that using it would panic. Only destructors, and handles that
    /// escape from them, can see this.
    pub fn is_dropped(this: &Self) -> bool {
        this.header().has(DEAD)
    }

    /// For [`unsize!`](crate::unsize).
    #[doc(hidden)]
    pub fn into_inner_ptr(this: Self) -> *mut Inner<T> {
        ManuallyDrop::new(this).inner.as_ptr()
    }

    /// For [`unsize!`](crate::unsize).
    ///
    /// # Safety
    /// - `inner` is from `into_inner_ptr`, but for unsizing, and is used once.
    #[doc(hidden)]
    pub unsafe fn from_inner_ptr(inner: *mut Inner<T>) -> Self {
        // SAFETY: it was a NonNull.
        Self { inner: unsafe { NonNull::new_unchecked(inner) }, owns: PhantomData }
    }
}

/// Makes a `Cc<dyn Trait>` of a `Cc<T>`, or a `Cc<[T]>` of a `Cc<[T; N]>`.
///
/// ```
/// use heapwise_gc::{Cc, Trace, unsize};
///
/// trait Shape: Trace {
///     fn area(&self) -> f64;
/// }
/// #[derive(Trace)]
/// struct Square(f64);
/// impl Shape for Square {
///     fn area(&self) -> f64 {
///         self.0 * self.0
///     }
/// }
/// let shape: Cc<dyn Shape> = unsize!(Cc::new(Square(3.0)) => dyn Shape);
/// assert_eq!(shape.area(), 9.0);
/// ```
///
/// ```compile_fail,E0277
/// heapwise_gc::unsize!(heapwise_gc::Cc::new(1) => dyn Iterator<Item = u8>);
/// ```
#[macro_export]
macro_rules! unsize {
    ($handle:expr => $type:ty) => {{
        let inner = $crate::cc::Cc::into_inner_ptr($handle);
        let inner: *mut $crate::cc::Inner<$type> = inner;
        // SAFETY: the pointer is a handle's, unsized by the compiler, and used once.
        #[allow(unsafe_code)]
        unsafe {
            $crate::cc::Cc::<$type>::from_inner_ptr(inner)
        }
    }};
}

impl<T: ?Sized> Deref for Cc<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        if self.header().has(DEAD) {
            used_after_its_cycle();
        }
        // SAFETY: the value is there until the last handle is gone or it is DEAD; a cycle's values become DEAD only
        // when nobody but themselves can reach a handle. Mutable references to it are never made before.
        unsafe { &(*self.inner.as_ptr()).value }
    }
}

#[cold]
#[inline(never)]
fn used_after_its_cycle() -> ! {
    panic!(
        "the value was dropped with its cycle, and is used by a destructor or through a handle that escaped from one"
    )
}

impl<T: ?Sized> Clone for Cc<T> {
    #[inline]
    fn clone(&self) -> Self {
        self.header().increment();
        Self { inner: self.inner, owns: PhantomData }
    }
}

impl<T: ?Sized> Drop for Cc<T> {
    #[inline]
    fn drop(&mut self) {
        let strong = {
            let header = self.header();
            let strong = header.strong.get() - 1;
            header.strong.set(strong);
            strong
        };
        if strong & node::COUNT == 0 {
            // SAFETY: this was the last handle.
            unsafe { collector::release(self.inner, strong) };
        } else if strong & (SUSPECT | ACYCLIC) == 0 {
            // SAFETY: other handles keep the node.
            unsafe { collector::suspect(self.node()) };
        }
    }
}

impl<T> Weak<T> {
    /// A handle that is always empty.
    pub const fn new() -> Self {
        Self { inner: None }
    }
}

impl<T: ?Sized> Weak<T> {
    /// A handle to the value, if it is still there.
    pub fn upgrade(&self) -> Option<Cc<T>> {
        let inner = self.inner?;
        // SAFETY: a weak handle keeps the node's memory.
        let header = unsafe { header(inner.cast()) };
        if header.has(DEAD | CONDEMNED) || header.count() == 0 {
            return None;
        }
        header.increment();
        Some(Cc { inner, owns: PhantomData })
    }
}

impl<T: ?Sized> Clone for Weak<T> {
    fn clone(&self) -> Self {
        if let Some(inner) = self.inner {
            // SAFETY: a weak handle keeps the node's memory.
            unsafe { collector::change_weak(inner.cast(), 1) };
        }
        Self { inner: self.inner }
    }
}

impl<T: ?Sized> Drop for Weak<T> {
    fn drop(&mut self) {
        let Some(inner) = self.inner else { return };
        let node: NonNull<Header> = inner.cast();
        // SAFETY: a weak handle keeps the node's memory; its count is given up here and the handle used no more.
        // While the node is in a slot the handles' own count is there, so that it cannot be the last.
        unsafe {
            match header(node).has(IN_SLOT) {
                true => collector::change_weak(node, -1),
                false => give_up(node),
            }
        }
    }
}

impl<T> Default for Weak<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized> fmt::Debug for Weak<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(Weak)")
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Cc<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.header().has(DEAD) {
            true => out.write_str("(dropped)"),
            false => (**self).fmt(out),
        }
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Cc<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(out)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Cc<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for Cc<T> {}

impl<T: ?Sized + PartialOrd> PartialOrd for Cc<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord> Ord for Cc<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + Hash> Hash for Cc<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: ?Sized> AsRef<T> for Cc<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized> Borrow<T> for Cc<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: Trace + Default + 'static> Default for Cc<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Trace + 'static> From<T> for Cc<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized> Unpin for Cc<T> {}
