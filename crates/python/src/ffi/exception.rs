//! Exceptions as objects.

use pyo3::ffi;
use pyo3::prelude::*;

/// Whether `object` is an instance of `BaseException`.
pub(crate) fn is_instance(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    unsafe { ffi::PyExceptionInstance_Check(object.as_ptr()) != 0 }
}

/// Whether `object` is a class of exceptions.
pub(crate) fn is_class(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    unsafe { ffi::PyExceptionClass_Check(object.as_ptr()) != 0 }
}

/// `exception.__traceback__`, unless it is None.
pub(crate) fn traceback<'py>(exception: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    debug_assert!(is_instance(exception));
    // SAFETY: called for instances of exceptions, which are alive.
    unsafe {
        let traceback = ffi::PyException_GetTraceback(exception.as_ptr());
        Bound::from_owned_ptr_or_opt(exception.py(), traceback)
    }
}

/// `exception.__traceback__ = traceback`.
///
/// # Errors
/// `TypeError` for what is no traceback.
pub(crate) fn set_traceback(
    exception: &Bound<'_, PyAny>,
    traceback: &Bound<'_, PyAny>,
) -> PyResult<()> {
    debug_assert!(is_instance(exception));
    // SAFETY: called for instances of exceptions; both objects are alive.
    if unsafe { ffi::PyException_SetTraceback(exception.as_ptr(), traceback.as_ptr()) } < 0 {
        return Err(PyErr::fetch(exception.py()));
    }
    Ok(())
}
