//! Exceptions as objects.

use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

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

/// `StopIteration(result)`.
pub(crate) fn stop_iteration(result: Bound<'_, PyAny>) -> PyErr {
    let py = result.py();
    // An exception or a tuple would be taken for the exception itself, or for its arguments.
    match py.get_type::<PyStopIteration>().call1((result,)) {
        Ok(error) => PyErr::from_value(error),
        Err(failed) => failed,
    }
}

/// Has an iterator end with `result`: sets `StopIteration(result)`, or nothing if that is None,
/// which says the same.
#[inline]
pub(crate) fn set_stop_iteration(result: Bound<'_, PyAny>) {
    if result.is_none() {
        return;
    }
    #[cfg(Py_3_12)]
    if set_made_by_hand(&result) {
        return;
    }
    if is_instance(&result) || result.is_instance_of::<PyTuple>() {
        let py = result.py();
        let error = stop_iteration(result).into_value(py).into_bound(py);
        return raised_now(error.as_any()).restore(py);
    }
    // SAFETY: the thread is attached, and both objects are alive; the class is called with one
    // that is neither an instance of an exception nor a tuple.
    unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, result.as_ptr()) };
}

/// Sets `StopIteration(result)` without a call of the class, which takes a tenth of the time that
/// waking a task takes; `false` if that cannot be done, as while another exception is handled,
/// which would be this one's context.
#[cfg(Py_3_12)]
#[inline]
fn set_made_by_hand(result: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the thread is attached. The exception is made as its `__new__` and `__init__` make
    // it: an instance of that static class, zeroed, with the only argument as `args` and `value`.
    unsafe {
        let handled = ffi::PyErr_GetHandledException();
        if !handled.is_null() {
            ffi::Py_DECREF(handled);
            return false;
        }
        let arguments = ffi::PyTuple_New(1);
        if arguments.is_null() {
            ffi::PyErr_Clear();
            return false;
        }
        ffi::PyTuple_SET_ITEM(arguments, 0, result.clone().into_ptr());
        let error = ffi::PyType_GenericAlloc(ffi::PyExc_StopIteration.cast(), 0);
        if error.is_null() {
            ffi::Py_DECREF(arguments);
            ffi::PyErr_Clear();
            return false;
        }
        let fields = error.cast::<ffi::PyStopIterationObject>();
        (*fields).args = arguments;
        (*fields).value = result.clone().into_ptr();
        ffi::PyErr_SetRaisedException(error);
    }
    true
}

/// Calls `f` as an `except` block would be run that has caught `error`: `sys.exc_info()` tells of
/// it, and it is the context of what is raised. It has its traceback, which 3.11 keeps apart.
pub(crate) fn handling<'py, R>(
    py: Python<'py>,
    error: PyErr,
    f: impl FnOnce(&Bound<'py, PyBaseException>) -> R,
) -> R {
    let error = error.into_value(py).into_bound(py);
    let _handled = Handled::begin(&error);
    f(&error)
}

/// Another exception is being handled as long as this lives: then again this one, or None.
struct Handled<'py>(Bound<'py, PyAny>);

impl<'py> Handled<'py> {
    fn begin(error: &Bound<'py, PyBaseException>) -> Self {
        let py = error.py();
        // SAFETY: the thread is attached; what is returned is a new reference, or null.
        let before = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyErr_GetHandledException()) };
        // SAFETY: as above; the exception is alive, and the interpreter takes a reference.
        unsafe { ffi::PyErr_SetHandledException(error.as_ptr()) };
        Self(before.unwrap_or_else(|| py.None().into_bound(py)))
    }
}

impl Drop for Handled<'_> {
    fn drop(&mut self) {
        // SAFETY: the thread is attached, as the reference shows; the exception, or None, is alive.
        unsafe { ffi::PyErr_SetHandledException(self.0.as_ptr()) };
    }
}

/// `error` as raised now: during the exception that is being handled, if there is one.
pub(crate) fn raised_now(error: &Bound<'_, PyAny>) -> PyErr {
    debug_assert!(is_instance(error));
    // SAFETY: the thread is attached; called for instances of exceptions, with their class.
    unsafe { ffi::PyErr_SetObject(ffi::Py_TYPE(error.as_ptr()).cast(), error.as_ptr()) };
    PyErr::fetch(error.py())
}
