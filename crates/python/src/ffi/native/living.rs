//! The living objects of a class, listed without being kept alive.
//!
//! The list runs through the objects themselves. It is for interpreters with a GIL: without one an
//! object could end while somebody on another thread finds it here.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Contents, Native, Object};

type Place = Cell<Option<NonNull<ffi::PyObject>>>;

/// Where the list of a class begins.
pub(crate) struct List {
    first: Place,
}

/// An object's place in the list of its class. It leaves the list when this is dropped.
pub(crate) struct Links<T: Listed> {
    /// The object itself; `None` while it is not listed.
    object: Place,
    previous: Place,
    next: Place,
    of: PhantomData<fn(T)>,
}

// SAFETY: the cells are reached by `add`, `leave` and `objects` alone. The thread is attached: they
// are called with a token, by the collector or by a deallocation. The GIL excludes every other
// thread meanwhile, and none of the three runs anything else.
unsafe impl Sync for List {}
// SAFETY: as above.
unsafe impl<T: Listed> Send for Links<T> {}
// SAFETY: as above.
unsafe impl<T: Listed> Sync for Links<T> {}

/// A class whose objects can be listed; `listed_class!` says so.
///
/// # Safety
/// `links` answers one field of the contents, whatever happens to them.
pub(crate) unsafe trait Listed: Contents {
    fn list() -> &'static List;

    fn links(&self) -> &Links<Self>;
}

/// Declares that the objects of a native class can be listed, with the field that is their place.
macro_rules! listed_class {
    ($contents:ident, $links:ident) => {
        // SAFETY: it is that field.
        #[allow(unsafe_code)]
        unsafe impl $crate::ffi::native::living::Listed for $contents {
            #[inline]
            fn list() -> &'static $crate::ffi::native::living::List {
                static LIST: $crate::ffi::native::living::List =
                    $crate::ffi::native::living::List::new();
                &LIST
            }

            #[inline]
            fn links(&self) -> &$crate::ffi::native::living::Links<Self> {
                &self.$links
            }
        }
    };
}
pub(crate) use listed_class;

impl List {
    pub(crate) const fn new() -> Self {
        Self { first: Cell::new(None) }
    }
}

impl<T: Listed> Default for Links<T> {
    #[inline]
    fn default() -> Self {
        Self {
            object: Cell::new(None),
            previous: Cell::new(None),
            next: Cell::new(None),
            of: PhantomData,
        }
    }
}

impl<T: Listed> Links<T> {
    /// Takes the object off the list, if it is listed.
    #[inline]
    pub(crate) fn leave(&self) {
        if self.object.take().is_none() {
            return;
        }
        let (previous, next) = (self.previous.take(), self.next.take());
        match previous {
            Some(previous) => links_of::<T>(&previous).next.set(next),
            None => T::list().first.set(next),
        }
        if let Some(next) = next {
            links_of::<T>(&next).previous.set(previous);
        }
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.object.get().is_some()
    }
}

impl<T: Listed> Drop for Links<T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

/// The place of an object that is in the list.
#[inline]
fn links_of<T: Listed>(object: &NonNull<ffi::PyObject>) -> &Links<T> {
    // SAFETY: `add` has been given it, an instance of the class; whoever leaves the list is
    // forgotten by its neighbours, at the latest when its contents are dropped.
    unsafe { &(*object.cast::<Object<T>>().as_ptr()).contents }.links()
}

/// Lists an object, if it is not listed.
#[inline]
pub(crate) fn add<T: Listed>(object: &Bound<'_, T>) {
    let links = object.contents().links();
    if links.is_listed() {
        return;
    }
    let object = NonNull::new(object.as_ptr());
    let next = T::list().first.replace(object);
    if let Some(next) = next {
        links_of::<T>(&next).previous.set(object);
    }
    links.object.set(object);
    links.next.set(next);
}

/// Every object that is listed, except those that are ending; the last one first.
pub(crate) fn objects<T: Listed>(py: Python<'_>) -> Vec<Bound<'_, T>> {
    let mut objects = Vec::new();
    let mut next = T::list().first.get();
    while let Some(object) = next {
        next = links_of::<T>(&object).next.get();
        let object = object.as_ptr();
        // SAFETY: it is an instance of the class, see `links_of`. Who is being deallocated has no
        // references left, and must not be given new ones.
        unsafe {
            if ffi::Py_REFCNT(object) > 0 {
                objects.push(Bound::from_borrowed_ptr(py, object).cast_into_unchecked());
            }
        }
    }
    objects
}
