//! A counted reference that is given up at once, wherever it is dropped.

use std::marker::PhantomData;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{Borrowed, PyTypeCheck};

/// As `Py`, for what only attached threads reach: dropping it does not ask whether the thread is
/// attached, which costs more than the drop.
#[repr(transparent)]
pub(crate) struct Owned<T = PyAny> {
    object: NonNull<ffi::PyObject>,
    of: PhantomData<Py<T>>,
}

// SAFETY: it is a reference count; whoever changes the count is attached (see `Drop`).
unsafe impl<T> Send for Owned<T> {}
// SAFETY: as for `Send`.
unsafe impl<T> Sync for Owned<T> {}

impl<T> Owned<T> {
    #[inline]
    pub(crate) fn new(object: Bound<'_, T>) -> Self {
        // SAFETY: a Bound is never null, and its reference is handed over.
        let object = unsafe { NonNull::new_unchecked(object.into_ptr()) };
        Self { object, of: PhantomData }
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.object.as_ptr()
    }

    #[inline]
    pub(crate) fn into_bound(self, py: Python<'_>) -> Bound<'_, T> {
        let pointer = self.as_ptr();
        std::mem::forget(self);
        // SAFETY: the reference that this held is handed over; its type is T's, as it was when it
        // came in.
        unsafe { Bound::from_owned_ptr(py, pointer).cast_into_unchecked() }
    }

    /// The same reference, as PyO3 has it.
    #[inline]
    pub(crate) fn as_py(&self) -> &Py<T> {
        // SAFETY: both are one non-null pointer to an object, of which each counts as a reference.
        unsafe { &*std::ptr::from_ref(self).cast::<Py<T>>() }
    }

    /// Whether it is this very object.
    #[inline]
    pub(crate) fn is<U>(&self, other: &Bound<'_, U>) -> bool {
        self.as_ptr() == other.as_ptr()
    }
}

impl<T: PyTypeCheck> Owned<T> {
    #[inline]
    pub(crate) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> Borrowed<'a, 'py, T> {
        // SAFETY: the reference lives as long as the borrow; its type is T's.
        unsafe { Borrowed::from_ptr(py, self.as_ptr()).cast_unchecked() }
    }

    /// A further reference.
    #[inline]
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> Bound<'py, T> {
        (*self.bind(py)).clone()
    }
}

impl<T> Clone for Owned<T> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the object is alive, and the thread is attached (see `Drop`).
        unsafe { ffi::Py_INCREF(self.as_ptr()) };
        Self { object: self.object, of: PhantomData }
    }
}

impl<T> Drop for Owned<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the thread is attached: references of this kind lie in Python objects and in
        // queues of the loop, which are reached with a token, by the collector or by a
        // deallocation only; whatever crosses to threads that may not be attached uses `Py`.
        unsafe { ffi::Py_DECREF(self.as_ptr()) };
    }
}
