//! What a task says when it is lost.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::Task;
use crate::ffi::exception;
use crate::ffi::native::object::Native;
use crate::future::Future;

/// Tells the loop's exception handler of a task that nobody can resume any more.
pub(super) fn destroyed_while_pending(slf: &Bound<'_, Task>) {
    let py = slf.py();
    let reported = (|| {
        let context = PyDict::new(py);
        context.set_item(intern!(py, "task"), slf)?;
        context.set_item(intern!(py, "message"), "Task was destroyed but it is pending!")?;
        Future::tell_exception_handler(py, slf.contents().future(), &context)
    })();
    if let Err(error) = reported {
        error.write_unraisable(py, Some(slf.as_any()));
    }
}

/// Tells it of what a step raised outside the coroutine.
///
/// # Errors
/// What telling raises.
#[cold]
pub(super) fn step_failed(
    slf: &Bound<'_, Task>,
    step: &Bound<'_, PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = slf.py();
    let event_loop = slf.contents().future().event_loop(py)?.object(py);
    let failed = intern!(py, "_callback_failed");
    exception::handling(py, error, |error| {
        let told = (py.None(), step, PyTuple::empty(py), error);
        event_loop.call_method1(failed, told).map(drop)
    })
}
