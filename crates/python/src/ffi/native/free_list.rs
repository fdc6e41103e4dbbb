//! The memory of objects that are gone, kept for the next ones of their class: what lives for a
//! turn of the loop is made without the allocator and without the collector's counting it.

use std::cell::Cell;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Contents, Object};

/// As many objects of a class are kept at most: as many as a turn of a busy server needs, or who
/// gathers a thousand tasks. They are somewhat more than a hundred KiB.
const MOST: usize = 1024;

/// A stack of objects without contents, each with the next one where its `__dict__` was. On a
/// free-threaded interpreter, whose allocator has such lists itself, it stays empty.
pub(crate) struct FreeList {
    first: Cell<*mut ffi::PyObject>,
    len: Cell<usize>,
}

// SAFETY: the cells are reached with a token only, by `take` and `keep`; a GIL excludes every
// other thread meanwhile, and neither runs anything else. Without a GIL nobody changes them.
unsafe impl Send for FreeList {}
// SAFETY: as for `Send`.
unsafe impl Sync for FreeList {}

impl FreeList {
    pub(super) const fn new() -> Self {
        Self { first: Cell::new(std::ptr::null_mut()), len: Cell::new(0) }
    }

    /// The memory of an object, which has neither a type nor a reference count.
    #[inline(always)]
    pub(super) fn take<T>(&self, _py: Python<'_>) -> Option<NonNull<Object<T>>> {
        let object = NonNull::new(self.first.get().cast::<Object<T>>())?;
        // SAFETY: `keep` has put it here, with the next one in this place.
        self.first.set(unsafe { (*object.as_ptr()).dict });
        self.len.set(self.len.get() - 1);
        Some(object)
    }

    /// Keeps the memory of `object`; `false` if it is to be freed.
    ///
    /// # Safety
    /// The object is of the class whose list this is, and not of a subclass. It is untracked, its
    /// contents are dropped, and nobody refers to it.
    #[inline(always)]
    pub(super) unsafe fn keep<T: Contents>(&self, _py: Python<'_>, object: *mut Object<T>) -> bool {
        if cfg!(Py_GIL_DISABLED) || self.len.get() >= MOST {
            return false;
        }
        // SAFETY: the head of the object is still what it was.
        if T::FINALIZES && unsafe { ffi::PyObject_GC_IsFinalized(object.cast()) } != 0 {
            // The collector's mark that says so cannot be taken off.
            return false;
        }
        // SAFETY: the memory is the caller's.
        unsafe { (*object).dict = self.first.get() };
        self.first.set(object.cast());
        self.len.set(self.len.get() + 1);
        true
    }
}
