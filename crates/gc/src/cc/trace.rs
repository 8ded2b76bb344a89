//! How the collector learns which handles a value owns.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use super::collector::Batch;
use super::{Cc, Weak};

/// A value that tells which handles it owns. Derive it: `#[derive(Trace)]` reports every field but those marked
/// `#[trace(skip)]`; what is left out is never freed too early, but cycles through it are never found.
///
/// # Safety
/// - `trace` reports each [`Cc`] that dropping the value drops at most once, and no other.
/// - `trace` changes nothing that other values can see: it drops, clones and makes no handle.
/// - While a mutable reference to a part of the value may exist, `trace` does not read that part.
///   ([`RefCell`] and [`Mutex`] know; nothing else hands out such references while the value is shared.)
/// - `is_acyclic` is true only if the value never owns a [`Cc`].
pub unsafe trait Trace {
    /// Tells the tracer of every handle that the value owns.
    fn trace(&self, tracer: &mut Tracer<'_>);

    /// Whether values of this type can never own a handle, so that the collector need not look at them.
    fn is_acyclic() -> bool
    where
        Self: Sized,
    {
        false
    }
}

/// What the collector makes of a reported handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Counts it as a reference from within.
    Count,
    /// The same, but what has no slot gets none.
    Recount,
}

/// Where [`Trace::trace`] reports handles.
pub struct Tracer<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) mode: Mode,
}

// SAFETY: a handle owns itself.
unsafe impl<T: ?Sized> Trace for Cc<T> {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        tracer.batch.visit(self.node(), tracer.mode);
    }
}

macro_rules! owns_no_handle {
    ($(($($generics:tt)*) $type:ty;)*) => {$(
        // SAFETY: nothing is reported, which is always allowed; handles that such a value shares with others
        // count as held from outside. Acyclic: no handle is dropped with the value alone.
        unsafe impl<$($generics)*> Trace for $type {
            #[inline]
            fn trace(&self, _tracer: &mut Tracer<'_>) {}

            #[inline]
            fn is_acyclic() -> bool { true }
        }
    )*};
}

owns_no_handle! {
    () (); () bool; () char; () String; () Box<str>; () f32; () f64;
    () u8; () u16; () u32; () u64; () u128; () usize;
    () i8; () i16; () i32; () i64; () i128; () isize;
    () std::sync::atomic::AtomicBool; () std::sync::atomic::AtomicU32; () std::sync::atomic::AtomicU64;
    () std::sync::atomic::AtomicUsize; () std::sync::atomic::AtomicI64;
    () std::num::NonZeroU32; () std::num::NonZeroU64; () std::num::NonZeroUsize;
    () std::time::Duration; () std::time::Instant; () std::path::PathBuf; () std::ffi::OsString;
    (T: ?Sized) PhantomData<T>; (T: ?Sized) Weak<T>; (T: ?Sized) &'static T;
}

/// What a field is to `derive` that is marked `#[trace(skip)]`.
#[doc(hidden)]
pub struct Skipped;

// SAFETY: nothing is reported.
unsafe impl Trace for Skipped {
    fn trace(&self, _tracer: &mut Tracer<'_>) {}
}

macro_rules! shares_handles {
    ($($type:ident)*) => {$(
        /// Reports nothing: several owners would report the same handle. Cycles through it are not found.
        // SAFETY: as above; it may drop handles, so it is not acyclic.
        unsafe impl<T: ?Sized> Trace for $type<T> {
            #[inline]
            fn trace(&self, _tracer: &mut Tracer<'_>) {}
        }
    )*};
}

shares_handles! { Rc Arc }

macro_rules! owns_items {
    ($(($($generics:tt)*) $type:ty, $self:ident => $items:expr;)*) => {$(
        // SAFETY: a collection owns its items, each once, and hands out mutable references to them only while it is
        // itself mutably borrowed.
        unsafe impl<$($generics)*> Trace for $type {
            #[inline]
            fn trace(&$self, tracer: &mut Tracer<'_>) {
                for item in $items {
                    item.trace(tracer);
                }
            }
        }
    )*};
}

owns_items! {
    (T: Trace) [T], self => self;
    (T: Trace) Vec<T>, self => self;
    (T: Trace) VecDeque<T>, self => self;
    (T: Trace) LinkedList<T>, self => self;
    (T: Trace) BinaryHeap<T>, self => self;
    (T: Trace) BTreeSet<T>, self => self;
    (T: Trace, S) HashSet<T, S>, self => self;
}

macro_rules! owns_pairs {
    ($(($($generics:tt)*) $type:ty;)*) => {$(
        // SAFETY: as for other collections.
        unsafe impl<$($generics)*> Trace for $type {
            fn trace(&self, tracer: &mut Tracer<'_>) {
                for (key, value) in self {
                    key.trace(tracer);
                    value.trace(tracer);
                }
            }
        }
    )*};
}

owns_pairs! { (K: Trace, V: Trace) BTreeMap<K, V>; (K: Trace, V: Trace, S) HashMap<K, V, S>; }

// SAFETY: a box owns its value.
unsafe impl<T: Trace + ?Sized> Trace for Box<T> {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        (**self).trace(tracer);
    }
}

// SAFETY: an array owns its items.
unsafe impl<T: Trace, const N: usize> Trace for [T; N] {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.as_slice().trace(tracer);
    }

    #[inline]
    fn is_acyclic() -> bool {
        T::is_acyclic()
    }
}

// SAFETY: it owns what it holds.
unsafe impl<T: Trace> Trace for Option<T> {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        if let Some(it) = self {
            it.trace(tracer);
        }
    }

    #[inline]
    fn is_acyclic() -> bool {
        T::is_acyclic()
    }
}

// SAFETY: it owns what it holds.
unsafe impl<T: Trace, E: Trace> Trace for Result<T, E> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        match self {
            Ok(it) => it.trace(tracer),
            Err(it) => it.trace(tracer),
        }
    }

    fn is_acyclic() -> bool {
        T::is_acyclic() && E::is_acyclic()
    }
}

// SAFETY: it owns what it holds.
unsafe impl<B: Trace, C: Trace> Trace for ControlFlow<B, C> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        match self {
            ControlFlow::Break(it) => it.trace(tracer),
            ControlFlow::Continue(it) => it.trace(tracer),
        }
    }
}

// SAFETY: it owns its value. While it is mutably borrowed nothing is read, and what it refers to counts as held.
unsafe impl<T: Trace + ?Sized> Trace for RefCell<T> {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        // SAFETY: by the contract of `Trace` nobody borrows mutably while the value is read. Unguarded, it is a third
        // faster.
        if let Ok(it) = unsafe { self.try_borrow_unguarded() } {
            it.trace(tracer);
        }
    }
}

// SAFETY: it owns its value. Through a shared cell nobody gets a reference, and by the contract of `Trace` nothing is
// changed while the value is read.
unsafe impl<T: Trace> Trace for Cell<T> {
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        // SAFETY: the cell is shared, so no mutable reference to its content exists, and none is made while this one
        // lives.
        unsafe { &*self.as_ptr() }.trace(tracer);
    }

    #[inline]
    fn is_acyclic() -> bool {
        T::is_acyclic()
    }
}

// SAFETY: it owns its value, which is only shared once it is set.
unsafe impl<T: Trace> Trace for OnceCell<T> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        if let Some(it) = self.get() {
            it.trace(tracer);
        }
    }
}

// SAFETY: as above.
unsafe impl<T: Trace> Trace for OnceLock<T> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        if let Some(it) = self.get() {
            it.trace(tracer);
        }
    }
}

// SAFETY: it owns its value, and nothing is read while it is locked.
unsafe impl<T: Trace + ?Sized> Trace for Mutex<T> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        if let Ok(it) = self.try_lock() {
            it.trace(tracer);
        }
    }
}

// SAFETY: as above.
unsafe impl<T: Trace + ?Sized> Trace for RwLock<T> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        if let Ok(it) = self.try_read() {
            it.trace(tracer);
        }
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        // SAFETY: a tuple owns its fields.
        unsafe impl<$($name: Trace),*> Trace for ($($name,)*) {
            #[allow(non_snake_case)]
            #[inline]
            fn trace(&self, tracer: &mut Tracer<'_>) {
                let ($($name,)*) = self;
                $($name.trace(tracer);)*
            }

            #[inline]
            fn is_acyclic() -> bool { true $(&& $name::is_acyclic())* }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }
