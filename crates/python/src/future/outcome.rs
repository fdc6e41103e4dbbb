//! The end of a future: result, exception or cancellation, and asking for it.

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use super::{Future, Status, not_initialized};
use crate::ffi::exception;
use crate::ffi::native::method::none;
use crate::ffi::owned::Owned;
use crate::imported;

/// What a future has come to, for a task that waited for it.
pub(crate) enum Outcome<'py> {
    /// It has a result, or is pending still: the coroutine will ask for itself.
    AskAgain,
    Raised(Bound<'py, PyAny>),
}

impl Future {
    /// # Errors
    /// `RuntimeError` if `__init__` was never called, `InvalidStateError` if the future is done.
    #[inline]
    fn expect_pending(&self, py: Python<'_>) -> PyResult<()> {
        let (begun, pending) = self
            .state
            .with(py, |state| (state.event_loop.is_some(), state.status == Status::Pending));
        if !begun {
            return Err(not_initialized());
        }
        if pending { Ok(()) } else { Err(imported::invalid_state(py, "invalid state")) }
    }

    /// Sets the result.
    ///
    /// # Errors
    /// `InvalidStateError` if the future is done; those of `resume_all`.
    #[inline]
    pub(crate) fn set_result(
        &self,
        object: &Bound<'_, PyAny>,
        result: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = object.py();
        self.expect_pending(py)?;
        self.state.with(py, |state| {
            state.status = Status::Returned;
            state.outcome = Some(Owned::new(result));
        });
        self.resume_all(object)
    }

    /// Sets an exception: an instance, or a class to be called.
    ///
    /// # Errors
    /// `InvalidStateError` if the future is done, `TypeError` for what is no exception; those of
    /// `resume_all`.
    pub(crate) fn set_exception(
        &self,
        object: &Bound<'_, PyAny>,
        given: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = object.py();
        self.expect_pending(py)?;
        let made = if exception::is_class(given) { given.call0()? } else { given.clone() };
        if !exception::is_instance(&made) {
            return Err(PyTypeError::new_err("invalid exception object"));
        }
        let made = unless_stop_iteration(made)?;
        let traceback = exception::traceback(&made);
        // Calling the class may have run anything.
        self.expect_pending(py)?;
        self.state.with(py, |state| {
            state.status = Status::Raised;
            state.outcome = Some(Owned::new(made));
            if let Some(traceback) = traceback {
                state.rare().traceback = Some(Owned::new(traceback));
            }
        });
        self.resume_all(object)?;
        self.state.with(py, |state| state.log_traceback = true);
        Ok(())
    }

    /// Cancels; `false` if the future is done.
    ///
    /// # Errors
    /// Those of `resume_all`.
    pub(crate) fn cancel(
        &self,
        object: &Bound<'_, PyAny>,
        message: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let py = object.py();
        self.event_loop(py)?;
        let message = message.filter(|message| !message.is_none());
        let message = message.map(|message| Owned::new(message.clone()));
        let replaced = self.state.with(py, |state| {
            state.log_traceback = false;
            if state.status != Status::Pending {
                return Err(message);
            }
            state.status = Status::Cancelled;
            if message.is_some() || state.rare.is_some() {
                return Ok(std::mem::replace(&mut state.rare().cancel_message, message));
            }
            Ok(None)
        });
        match replaced {
            Err(_) => Ok(false),
            Ok(_) => self.resume_all(object).map(|()| true),
        }
    }

    pub(crate) fn cancel_message<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| {
            state.rare.as_ref()?.cancel_message.as_ref().map(|message| message.get(py))
        })
    }

    pub(crate) fn set_cancel_message(&self, py: Python<'_>, message: Option<&Bound<'_, PyAny>>) {
        let message = message.filter(|message| !message.is_none());
        let message = message.map(|message| Owned::new(message.clone()));
        let replaced = self.state.with(py, |state| {
            if message.is_none() && state.rare.is_none() {
                return None;
            }
            std::mem::replace(&mut state.rare().cancel_message, message)
        });
        drop(replaced);
    }

    /// The `CancelledError` of a cancelled future: the one with which its coroutine ended, the
    /// first time, otherwise a new one with the message.
    pub(crate) fn cancelled_error<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (ended_with, message) = self.state.with(py, |state| {
            state.rare.as_mut().map_or((None, None), |rare| {
                (rare.cancelled_error.take(), rare.cancel_message.clone())
            })
        });
        if let Some(error) = ended_with {
            return Ok(error.into_bound(py));
        }
        let class = imported::cancelled_error(py)?;
        match message {
            Some(message) => class.call1((message.bind(py),)),
            None => class.call0(),
        }
    }

    /// The result.
    ///
    /// # Errors
    /// The exception; `CancelledError`; `InvalidStateError` if there is nothing yet.
    #[inline]
    pub(crate) fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (status, outcome) = self.state.with(py, |state| {
            if state.status == Status::Returned || state.status == Status::Raised {
                state.log_traceback = false;
            }
            (state.status, state.outcome.as_ref().map(|outcome| outcome.get(py)))
        });
        match (status, outcome) {
            (Status::Returned, Some(result)) => Ok(result),
            (Status::Raised, Some(exception)) => {
                self.restore_traceback(py, &exception)?;
                Err(PyErr::from_value(exception))
            }
            (Status::Cancelled, _) => Err(PyErr::from_value(self.cancelled_error(py)?)),
            _ => Err(imported::invalid_state(py, "Result is not set.")),
        }
    }

    /// The exception, or `None` if there is a result.
    ///
    /// # Errors
    /// `CancelledError`; `InvalidStateError` if there is nothing yet.
    pub(crate) fn exception<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (status, outcome) = self.state.with(py, |state| {
            if state.status == Status::Returned || state.status == Status::Raised {
                state.log_traceback = false;
            }
            (state.status, state.outcome.as_ref().map(|outcome| outcome.get(py)))
        });
        match status {
            Status::Raised => Ok(outcome),
            Status::Returned => Ok(None),
            Status::Cancelled => Err(PyErr::from_value(self.cancelled_error(py)?)),
            Status::Pending => Err(imported::invalid_state(py, "Exception is not set.")),
        }
    }

    /// What a task is resumed with that waited for this future.
    pub(crate) fn outcome<'py>(&self, py: Python<'py>) -> PyResult<Outcome<'py>> {
        match self.status(py) {
            Status::Returned => {
                self.state.with(py, |state| state.log_traceback = false);
                Ok(Outcome::AskAgain)
            }
            Status::Pending => Ok(Outcome::AskAgain),
            Status::Cancelled => Ok(Outcome::Raised(self.cancelled_error(py)?)),
            Status::Raised => {
                let exception = self.exception(py)?;
                let Some(exception) = exception else { return Ok(Outcome::AskAgain) };
                self.restore_traceback(py, &exception)?;
                Ok(Outcome::Raised(exception))
            }
        }
    }

    /// An exception is raised with the traceback with which it was set the first time, and with
    /// none afterwards: asking again and again must not make it longer and longer.
    fn restore_traceback(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let traceback =
            self.state.with(py, |state| state.rare.as_mut().and_then(|rare| rare.traceback.take()));
        let traceback = traceback.map_or_else(|| none(py), |traceback| traceback.into_bound(py));
        exception::set_traceback(exception, &traceback)
    }
}

/// A `StopIteration` would look like the end of the coroutine that awaits the future.
fn unless_stop_iteration(given: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = given.py();
    let message = "StopIteration interacts badly with generators and cannot be raised into a \
                   Future";
    if is_wrapped_here(py) {
        if given.is_instance_of::<PyStopIteration>() {
            let error = PyRuntimeError::new_err(message).into_value(py).into_bound(py).into_any();
            error.setattr(intern!(py, "__cause__"), &given)?;
            error.setattr(intern!(py, "__context__"), &given)?;
            return Ok(error);
        }
    } else if given.is_exact_instance_of::<PyStopIteration>() {
        return Err(PyTypeError::new_err(message));
    }
    Ok(given)
}

/// Whether this Python's asyncio makes a `StopIteration` a `RuntimeError`, and does not refuse it:
/// a correction that came with 3.11.8 and 3.12.2.
fn is_wrapped_here(py: Python<'_>) -> bool {
    let version = py.version_info();
    match version.minor {
        11 => version.patch >= 8,
        12 => version.patch >= 2,
        _ => true,
    }
}
