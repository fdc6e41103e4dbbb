//! Driving a coroutine: one step of `send` or `throw`, without an exception for its return.

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

/// What one step of a coroutine came to.
pub(crate) enum Step<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
}

/// Whether `object` is what an `async def` function returns.
#[inline]
pub(crate) fn is_native(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) != 0 }
}

/// Whether `object` is a generator.
pub(crate) fn is_generator(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    unsafe { ffi::PyGen_CheckExact(object.as_ptr()) != 0 }
}

/// What `await awaitable` goes through.
///
/// # Errors
/// `AttributeError` for what cannot be awaited; what its `__await__` raises.
pub(crate) fn await_iterator<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if is_native(awaitable) {
        return Ok(awaitable.clone());
    }
    awaitable.call_method0(intern!(awaitable.py(), "__await__"))
}

/// `coroutine.send(None)`.
///
/// # Errors
/// What the coroutine raises.
#[inline]
pub(crate) fn send<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: the thread is attached, the objects are alive, and `result` is null or a new
    // reference afterwards, as the answer says.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &raw mut result) {
            ffi::PySendResult::PYGEN_NEXT => {
                Ok(Step::Yielded(Bound::from_owned_ptr_or_err(py, result)?))
            }
            ffi::PySendResult::PYGEN_RETURN => {
                Ok(Step::Returned(Bound::from_owned_ptr_or_err(py, result)?))
            }
            ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
        }
    }
}

/// `coroutine.throw(exception)`.
///
/// # Errors
/// What the coroutine raises.
pub(crate) fn throw<'py>(
    coroutine: &Bound<'py, PyAny>,
    exception: &Bound<'py, PyAny>,
) -> PyResult<Step<'py>> {
    let py = coroutine.py();
    match coroutine.call_method1(intern!(py, "throw"), (exception,)) {
        Ok(yielded) => Ok(Step::Yielded(yielded)),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            Ok(Step::Returned(error.value(py).getattr(intern!(py, "value"))?))
        }
        Err(error) => Err(error),
    }
}
