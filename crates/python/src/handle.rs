//! `Handle`: one callback, its arguments and its context.

use pyo3::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::{PyTuple, PyType};

use crate::errors::ends_the_run;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::context;
use crate::imported;

/// What a handle gives up when it is cancelled.
pub(crate) struct Call {
    callback: Py<PyAny>,
    args: Py<PyTuple>,
}

/// A scheduled callback; `asyncio.Handle` by interface and by `isinstance`.
///
/// In debug mode the loop makes asyncio's own handles instead, which remember where they were
/// created.
#[pyclass(subclass, frozen, weakref, module = "rondel._rondel")]
pub(crate) struct Handle {
    event_loop: Py<LoopCore>,
    context: Py<PyAny>,
    call: AttachedCell<Option<Call>>,
}

impl Handle {
    /// A handle for `callback(*args)`, in `context` or else in a copy of the current one.
    #[inline]
    pub(crate) fn new(
        event_loop: &Bound<'_, LoopCore>,
        callback: Bound<'_, PyAny>,
        args: Bound<'_, PyTuple>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        let context = match context {
            Some(context) => context,
            None => context::copy_current(py)?,
        };
        let call = Call { callback: callback.unbind(), args: args.unbind() };
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            context: context.unbind(),
            call: AttachedCell::new(Some(call)),
        })
    }

    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, LoopCore> {
        self.event_loop.bind(py)
    }

    /// The callback and its arguments, unless cancelled.
    fn parts<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        self.call.with(py, |call| {
            call.as_ref().map(|call| {
                (call.callback.clone_ref(py).into_bound(py), call.args.clone_ref(py).into_bound(py))
            })
        })
    }

    pub(crate) fn cancel_requested(&self, py: Python<'_>) -> bool {
        self.call.with(py, |call| call.is_none())
    }

    /// Cancels; `false` if it was cancelled before.
    pub(crate) fn cancel_once(&self, py: Python<'_>) -> bool {
        // Dropped outside the borrow: it may be the last reference to anything.
        self.call.with(py, Option::take).is_some()
    }

    /// Calls the callback, unless cancelled, and reports what it raises.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    #[inline]
    pub(crate) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let handle = slf.get();
        let Some((callback, args)) = handle.parts(py) else { return Ok(()) };
        match context::call_in(handle.context.bind(py), &callback, &args) {
            Ok(_) => Ok(()),
            Err(error) if ends_the_run(py, &error) => Err(error),
            Err(error) => Self::report(slf, &callback, &args, error),
        }
    }

    #[cold]
    fn report(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.get().event_loop.bind(py);
        let failed = intern!(py, "_callback_failed");
        event_loop.call_method1(failed, (slf, callback, args, error.into_value(py))).map(drop)
    }
}

#[pymethods]
impl Handle {
    /// Cancels the callback; does nothing if it was cancelled or has run.
    fn cancel(slf: &Bound<'_, Self>) {
        slf.get().cancel_once(slf.py());
    }

    /// Whether the callback was cancelled.
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.cancel_requested(py)
    }

    /// The context in which the callback runs.
    fn get_context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.context.clone_ref(py).into_bound(py)
    }

    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::run(slf)
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imported::handle_class(slf.py())?.call_method1(intern!(slf.py(), "__repr__"), (slf,))
    }

    fn _repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imported::handle_class(slf.py())?.call_method1(intern!(slf.py(), "_repr_info"), (slf,))
    }

    /// Answers `asyncio.Handle`, so that `isinstance` does.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        Ok(imported::handle_class(slf.py())?.clone())
    }

    #[getter(_cancelled)]
    fn is_cancelled(&self, py: Python<'_>) -> bool {
        self.cancel_requested(py)
    }

    #[getter(_callback)]
    fn callback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.parts(py).map(|(callback, _)| callback)
    }

    #[getter(_args)]
    fn args<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyTuple>> {
        self.parts(py).map(|(_, args)| args)
    }

    #[getter(_context)]
    fn own_context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.get_context(py)
    }

    #[getter(_loop)]
    fn owning_loop<'py>(&self, py: Python<'py>) -> Bound<'py, LoopCore> {
        self.event_loop.clone_ref(py).into_bound(py)
    }

    /// Remembered only in debug mode, by asyncio's own handles.
    #[getter(_source_traceback)]
    fn source_traceback(&self) -> Option<()> {
        None
    }

    #[getter(_repr)]
    fn kept_repr(&self) -> Option<()> {
        None
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.context)?;
        let visited = self.call.visit(|call| match call {
            Some(call) => visit.call(&call.callback).and_then(|()| visit.call(&call.args)),
            None => Ok(()),
        });
        visited.unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        drop(self.call.visit(Option::take));
    }
}
