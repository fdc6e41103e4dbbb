//! Weak references.

use pyo3::ffi;
use pyo3::prelude::*;

/// `weakref.ref(object, callback)`.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn reference<'py, T>(
    object: &Bound<'py, T>,
    callback: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the thread is attached and both objects are alive.
    unsafe {
        let reference = ffi::PyWeakref_NewRef(object.as_ptr(), callback.as_ptr());
        Bound::from_owned_ptr_or_err(object.py(), reference)
    }
}
