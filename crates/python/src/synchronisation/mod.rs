//! Locks, events, queues, timeouts and `sleep()`: asyncio's by interface and by `isinstance`.
//!
//! Behaviour, messages and the order of things are those of CPython's `asyncio.locks`, `queues`,
//! `timeouts` and `tasks` of the Python at hand. What is different is the way through them: what is
//! to be awaited is a [`coroutine::Coroutine`], which completes without a frame of Python's, and
//! those who wait are futures of the loop that runs, whosever it is.

mod coroutine;
mod event;
mod items;
mod lock;
mod queue;
mod queue_class;
mod sleep;
mod timeout;
mod timeout_class;
mod waiter;

pub(crate) use sleep::elapsed;
pub(crate) use timeout::Timeout;

use pyo3::prelude::*;

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
    sleep::make_function(module)
}
