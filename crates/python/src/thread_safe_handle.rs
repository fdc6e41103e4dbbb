//! `ThreadSafeHandle`: what `call_soon_threadsafe` returns, from Python 3.14 on.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use crate::event_loop::LoopCore;
use crate::handle::Handle;
use crate::imported;

/// A handle that any thread may cancel: when `cancel()` returns, the callback neither runs nor
/// will. `asyncio.Handle` by interface and by `isinstance`.
#[pyclass(extends = Handle, frozen, weakref, module = "rondel._rondel")]
pub(crate) struct ThreadSafeHandle {
    /// A `threading.RLock`, held while the callback runs: waiting for it can be interrupted, and
    /// the callback itself may cancel.
    lock: Py<PyAny>,
}

impl ThreadSafeHandle {
    pub(crate) fn create<'py>(
        event_loop: &Bound<'py, LoopCore>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let handle = Handle::new(event_loop, callback, args, context)?;
        let lock = imported::reentrant_lock(py)?.call0()?.unbind();
        Bound::new(py, PyClassInitializer::from(handle).add_subclass(Self { lock }))
    }

    /// Calls the callback, unless cancelled, and reports what it raises.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    pub(crate) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::locked(slf, || Handle::run(slf.as_super()))?
    }

    fn locked<R>(slf: &Bound<'_, Self>, f: impl FnOnce() -> R) -> PyResult<R> {
        let py = slf.py();
        let lock = slf.get().lock.bind(py);
        lock.call_method0(intern!(py, "acquire"))?;
        let result = f();
        lock.call_method0(intern!(py, "release"))?;
        Ok(result)
    }
}

#[pymethods]
impl ThreadSafeHandle {
    /// Cancels the callback; waits for it if it is running in another thread.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        Self::locked(slf, || slf.as_super().get().cancel_once(py)).map(drop)
    }

    /// Whether the callback was cancelled; waits for it if it is running in another thread.
    fn cancelled(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        Self::locked(slf, || slf.as_super().get().cancel_requested(py))
    }

    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::run(slf)
    }

    /// Answers asyncio's own class of such handles, so that `isinstance` does.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        Ok(imported::thread_safe_handle_class(slf.py())?.clone())
    }
}
