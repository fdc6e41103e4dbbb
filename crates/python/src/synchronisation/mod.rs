//! Locks, events, queues, timeouts, `sleep()` and `gather()`: asyncio's by interface and by `isinstance`.
//!
//! Behaviour, messages and the order of things are those of CPython's `asyncio.locks`, `queues`,
//! `timeouts` and `tasks` of the Python at hand. What is different is the way through them: what is
//! to be awaited is a [`coroutine::Coroutine`], which completes without a frame of Python's, and
//! those who wait are futures of the loop that runs, whosever it is.

mod coroutine;
mod event;
#[cfg(not(Py_3_14))]
mod gather;
#[cfg(not(Py_3_14))]
mod gathering;
mod items;
mod lock;
mod queue;
mod queue_class;
mod sleep;
mod timeout;
mod timeout_class;
mod waiter;

#[cfg(not(Py_3_14))]
pub(crate) use gathering::{Gathering, bound_child_is_done};
pub(crate) use sleep::elapsed;
pub(crate) use timeout::Timeout;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::ends_the_run;
use crate::event_loop::LoopCore;
use crate::ffi::exception;

/// Makes the classes and the functions.
///
/// # Errors
/// Those of [`crate::ffi::native::class::build`].
pub(crate) fn make_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    coroutine::make_class(module.py())?;
    lock::make_class(module)?;
    event::make_class(module)?;
    queue_class::make_class(module)?;
    timeout_class::make_class(module)?;
    // What it returns is a future of ours, which loops make up to then.
    #[cfg(not(Py_3_14))]
    gather::make_function(module)?;
    sleep::make_function(module)
}

/// Tells the loop's exception handler what `object`, which is no handle, has raised in a turn.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
#[cold]
fn report(core: &Bound<'_, LoopCore>, object: &Bound<'_, PyAny>, error: PyErr) -> PyResult<()> {
    let py = core.py();
    if ends_the_run(py, &error) {
        return Err(error);
    }
    let context = PyDict::new(py);
    context.set_item("message", format!("Exception in callback {}", object.repr()?))?;
    exception::handling(py, error, |error| {
        context.set_item("exception", error)?;
        core.as_any().call_method1(intern!(py, "call_exception_handler"), (context,)).map(drop)
    })
}
