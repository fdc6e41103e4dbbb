//! `ChainedCall`: ties a loop's future to the `concurrent.futures.Future` of anybody's executor.

use pyo3::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;

use super::call::{is_pending, set_exception, set_result};
use crate::callback::Callback;
use crate::event_loop::LoopCore;

/// What both futures call when they are done: the executor's in any thread, the loop's in its own.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct ChainedCall {
    event_loop: Py<LoopCore>,
    /// The executor's.
    source: Py<PyAny>,
    /// The loop's.
    future: Py<PyAny>,
}

impl ChainedCall {
    /// Has `future` completed as `source` is, and `source` cancelled when `future` is.
    ///
    /// # Errors
    /// Those of the futures' methods.
    pub(crate) fn chain<'py>(
        event_loop: &Bound<'py, LoopCore>,
        source: &Bound<'py, PyAny>,
        future: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = event_loop.py();
        let chained = Self {
            event_loop: event_loop.clone().unbind(),
            source: source.clone().unbind(),
            future: future.clone().unbind(),
        };
        let chained = Bound::new(py, chained)?;
        let add_done_callback = intern!(py, "add_done_callback");
        future.call_method1(add_done_callback, (&chained,))?;
        source.call_method1(add_done_callback, (&chained,)).map(drop)
    }

    /// Completes the loop's future, in the loop's thread.
    ///
    /// # Errors
    /// What the futures' methods raise.
    pub(crate) fn arrived(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (source, future) = (slf.get().source.bind(py), slf.get().future.bind(py));
        if !is_pending(future)? {
            return Ok(());
        }
        if source.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            return future.call_method0(intern!(py, "cancel")).map(drop);
        }
        let exception = source.call_method0(intern!(py, "exception"))?;
        if exception.is_none() {
            set_result(future, source.call_method0(intern!(py, "result"))?)
        } else {
            set_exception(future, exception)
        }
    }
}

#[pymethods]
impl ChainedCall {
    /// One of the futures is done.
    fn __call__(slf: &Bound<'_, Self>, done: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if done.is(&this.future) {
            if done.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
                this.source.bind(py).call_method0(intern!(py, "cancel"))?;
            }
            return Ok(());
        }
        let core = this.event_loop.bind(py).get();
        // Nobody waits on a closed loop.
        if core.push(py, Callback::Chained(slf.clone().unbind())).is_ok() {
            let _ = core.with_engine(py, |engine| engine.inbox().wake());
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.source)?;
        visit.call(&self.future)
    }
}
