//! `OffloadedCall`: one call that is to be made in a thread, and where its outcome goes.

use std::sync::Arc;

use pyo3::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::{PyDict, PyTuple};
use rondel_engine::Ready;
use rondel_engine::inject::Inbox;

use crate::callback::Callback;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::context::{self, Arguments};
use crate::ffi::native::object::Native;
use crate::future::Future;
use crate::handle::arguments_in;
use crate::imported;

/// A call for a thread.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct OffloadedCall {
    future: Py<PyAny>,
    recipient: Recipient,
    state: AttachedCell<State>,
}

/// Who waits for the future.
enum Recipient {
    /// Any thread, for a `concurrent.futures.Future`.
    Threads,
    /// A loop, for a future of its own.
    Loop { event_loop: Py<LoopCore>, inbox: Arc<Inbox<Ready<Callback>>> },
}

enum State {
    Queued {
        function: Py<PyAny>,
        arguments: Arguments,
        keywords: Option<Py<PyDict>>,
    },
    /// A thread makes the call, or the outcome has been delivered.
    Elsewhere,
    /// The outcome is on its way to the loop's thread.
    Done(Outcome),
}

/// What came of a call.
enum Outcome {
    Returned(Py<PyAny>),
    Raised(Py<PyAny>),
    Cancelled,
}

impl OffloadedCall {
    /// A call whose outcome a `concurrent.futures.Future` is given.
    pub(crate) fn for_threads(
        future: Py<PyAny>,
        function: Py<PyAny>,
        arguments: &Bound<'_, PyTuple>,
        keywords: Option<Py<PyDict>>,
    ) -> Self {
        let arguments = arguments_in(arguments.clone());
        let state = AttachedCell::new(State::Queued { function, arguments, keywords });
        Self { future, recipient: Recipient::Threads, state }
    }

    /// A call whose outcome a loop's future is given.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    pub(crate) fn for_loop<'py>(
        event_loop: &Bound<'py, LoopCore>,
        future: &Bound<'py, PyAny>,
        function: Py<PyAny>,
        arguments: Arguments,
    ) -> PyResult<Self> {
        let inbox = event_loop.get().inbox(event_loop.py())?;
        let event_loop = event_loop.clone().unbind();
        let state = AttachedCell::new(State::Queued { function, arguments, keywords: None });
        Ok(Self {
            future: future.clone().unbind(),
            recipient: Recipient::Loop { event_loop, inbox },
            state,
        })
    }

    /// The inbox of the loop that waits, which may sleep when the call is done.
    pub(crate) fn inbox(&self) -> Option<&Arc<Inbox<Ready<Callback>>>> {
        match &self.recipient {
            Recipient::Threads => None,
            Recipient::Loop { inbox, .. } => Some(inbox),
        }
    }

    /// Makes the call, in the thread that took it up, unless it was cancelled. The loop that waits
    /// has then to be woken.
    ///
    /// # Errors
    /// What the future's own methods raise, which is nobody's to catch.
    pub(crate) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let state = this.state.with(py, |state| std::mem::replace(state, State::Elsewhere));
        let State::Queued { function, arguments, keywords } = state else { return Ok(()) };
        if !this.is_wanted(py)? {
            return Ok(());
        }
        let returned = match &keywords {
            None => context::call(function.bind(py), &arguments),
            Some(keywords) => function.bind(py).call(arguments.tuple(py)?, Some(keywords.bind(py))),
        };
        drop((function, arguments, keywords));
        let outcome = match returned {
            Ok(value) => Outcome::Returned(value.unbind()),
            Err(error) => Outcome::Raised(error.into_value(py).into_any()),
        };
        Self::deliver(slf, outcome)
    }

    /// Ends a call that no thread will make: cancels its future.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::end(slf, Outcome::Cancelled)
    }

    /// Ends a call that no thread will make with an exception.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn fail(slf: &Bound<'_, Self>, exception: Py<PyAny>) -> PyResult<()> {
        Self::end(slf, Outcome::Raised(exception))
    }

    fn end(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        let queued =
            slf.get().state.with(slf.py(), |state| std::mem::replace(state, State::Elsewhere));
        drop(queued);
        Self::deliver(slf, outcome)?;
        if let Some(inbox) = slf.get().inbox() {
            inbox.wake();
        }
        Ok(())
    }

    /// Whether anybody waits still; a `concurrent.futures.Future` runs from now on.
    fn is_wanted(&self, py: Python<'_>) -> PyResult<bool> {
        let future = self.future.bind(py);
        match &self.recipient {
            Recipient::Threads => {
                let begins = intern!(py, "set_running_or_notify_cancel");
                future.call_method0(begins)?.is_truthy()
            }
            Recipient::Loop { .. } => is_pending(future),
        }
    }

    fn deliver(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        match &this.recipient {
            Recipient::Threads => {
                let future = this.future.bind(py);
                match outcome {
                    Outcome::Returned(value) => {
                        future.call_method1(intern!(py, "set_result"), (value,))
                    }
                    Outcome::Raised(exception) => {
                        future.call_method1(intern!(py, "set_exception"), (exception,))
                    }
                    Outcome::Cancelled => future.call_method0(intern!(py, "cancel")),
                }
                .map(drop)
            }
            Recipient::Loop { event_loop, .. } => {
                let replaced =
                    this.state.with(py, |state| std::mem::replace(state, State::Done(outcome)));
                drop(replaced);
                let entry = Callback::Offloaded(slf.clone().unbind());
                // Nobody waits on a closed loop.
                let _ = event_loop.bind(py).get().push(py, entry);
                Ok(())
            }
        }
    }

    /// Gives the future its outcome, in the loop's thread.
    ///
    /// # Errors
    /// What the future's methods raise.
    pub(crate) fn arrived(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let state = this.state.with(py, |state| std::mem::replace(state, State::Elsewhere));
        let State::Done(outcome) = state else { return Ok(()) };
        let future = this.future.bind(py);
        if !is_pending(future)? {
            return Ok(());
        }
        match outcome {
            Outcome::Returned(value) => set_result(future, value.into_bound(py)),
            Outcome::Raised(exception) => set_exception(future, exception.into_bound(py)),
            Outcome::Cancelled => future.call_method0(intern!(py, "cancel")).map(drop),
        }
    }
}

/// What the standard library's pool does with a call in its queue.
#[pymethods]
impl OffloadedCall {
    /// Makes the call, in a thread of that pool, whose context does not matter.
    #[pyo3(name = "run", signature = (*_context))]
    fn py_run(slf: &Bound<'_, Self>, _context: &Bound<'_, PyTuple>) -> PyResult<()> {
        let ran = Self::run(slf);
        if let Some(inbox) = slf.get().inbox() {
            inbox.wake();
        }
        ran
    }

    /// Has the methods of a future that are called of a call that will not be made.
    #[getter]
    fn future<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, Self> {
        slf
    }

    #[pyo3(name = "cancel")]
    fn py_cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::cancel(slf)
    }

    #[pyo3(name = "set_exception")]
    fn py_set_exception(slf: &Bound<'_, Self>, exception: Py<PyAny>) -> PyResult<()> {
        Self::fail(slf, exception)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.future)?;
        if let Recipient::Loop { event_loop, .. } = &self.recipient {
            visit.call(event_loop)?;
        }
        let visited = self.state.visit(|state| match state {
            State::Queued { function, arguments, keywords } => {
                visit.call(&*function)?;
                visit.call(&*keywords)?;
                match arguments {
                    Arguments::None => Ok(()),
                    Arguments::One(argument) => visit.call(argument.as_py()),
                    Arguments::Many(arguments) => visit.call(arguments.as_py()),
                }
            }
            State::Done(Outcome::Returned(object) | Outcome::Raised(object)) => {
                visit.call(&*object)
            }
            State::Done(Outcome::Cancelled) | State::Elsewhere => Ok(()),
        });
        visited.unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        drop(self.state.visit(|state| std::mem::replace(state, State::Elsewhere)));
    }
}

/// Whether a loop's future has no outcome yet.
pub(super) fn is_pending(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = future.py();
    if cfg!(not(Py_3_14))
        && let Ok(future) = future.cast_exact::<Future>()
    {
        return Ok(future.contents().is_pending(py));
    }
    Ok(!future.call_method0(intern!(py, "done"))?.is_truthy()?)
}

/// Sets the result of a loop's future that is pending.
pub(super) fn set_result(future: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) -> PyResult<()> {
    if cfg!(not(Py_3_14))
        && let Ok(native) = future.cast_exact::<Future>()
    {
        return native.contents().set_result(future, value);
    }
    future.call_method1(intern!(future.py(), "set_result"), (value,)).map(drop)
}

/// Sets the exception of a loop's future that is pending, as asyncio has it.
pub(super) fn set_exception(
    future: &Bound<'_, PyAny>,
    exception: Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = future.py();
    let exception = imported::convert_future_exception(py)?.call1((exception,))?;
    let set_exception = intern!(py, "set_exception");
    match future.call_method1(set_exception, (exception,)) {
        // An exception that a future refuses must not leave whoever waits waiting for ever.
        Err(refused) if is_pending(future)? => {
            future.call_method1(set_exception, (refused.into_value(py),))
        }
        set => set,
    }
    .map(drop)
}
