//! Setting attributes as `object` does.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// `object.__setattr__(object, name, value)`.
///
/// # Errors
/// As there: `AttributeError`.
pub(crate) fn set<T>(
    object: &Bound<'_, T>,
    name: &Bound<'_, PyString>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: the thread is attached and the objects are alive.
    done(object.py(), unsafe {
        ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr())
    })
}

/// `object.__delattr__(object, name)`.
///
/// # Errors
/// As there: `AttributeError`.
pub(crate) fn delete<T>(object: &Bound<'_, T>, name: &Bound<'_, PyString>) -> PyResult<()> {
    // SAFETY: the thread is attached and the objects are alive; null deletes.
    done(object.py(), unsafe {
        ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), std::ptr::null_mut())
    })
}

fn done(py: Python<'_>, status: std::ffi::c_int) -> PyResult<()> {
    if status < 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
}
