//! Numbers of Python's as C has them.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

/// The value of a float or an int, rounded as Python rounds it; `None` for what may have methods of
/// its own.
///
/// # Errors
/// `OverflowError` for an int that is too large.
#[inline]
pub(crate) fn value(object: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if let Ok(float) = object.cast_exact::<PyFloat>() {
        return Ok(Some(float.value()));
    }
    if !object.is_exact_instance_of::<PyInt>() {
        return Ok(None);
    }
    // SAFETY: the thread is attached, and the object is an int.
    let value = unsafe { ffi::PyLong_AsDouble(object.as_ptr()) };
    #[allow(clippy::float_cmp)] // it is exactly this number, or an int that is equal to it
    if value == -1.0
        && let Some(error) = PyErr::take(object.py())
    {
        return Err(error);
    }
    Ok(Some(value))
}
