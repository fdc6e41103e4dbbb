//! `SockCall`: what `loop.sock_recv()` and its kin await when the socket is not ready.
//!
//! The call is tried in the step of the task that awaits it, and not when the socket becomes
//! ready, which only wakes the task: whoever is cancelled in between has taken nothing out of the
//! socket.

use std::os::fd::RawFd;

use pyo3::PyVisit;
use pyo3::exceptions::{PyStopIteration, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use rondel_engine::Notify;

use crate::callback::Callback;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::imported;
use crate::sock_operation::Operation;

/// Where a call is.
enum State {
    /// Was tried, and would have blocked.
    Blocked,
    /// Waits for the descriptor, and the task for the future.
    Waits(RawFd, Py<PyAny>),
    /// Is to be tried again, or over.
    Idle,
}

/// An operation on a socket, to be awaited once.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct SockCall {
    event_loop: Py<LoopCore>,
    sock: Py<PyAny>,
    operation: Operation,
    state: AttachedCell<State>,
}

impl SockCall {
    /// Tries `operation`; its result, or if it would block a `SockCall` that has it.
    ///
    /// # Errors
    /// `TypeError` for an `ssl.SSLSocket`; in debug mode `ValueError` for a blocking socket; what
    /// the operation raises.
    pub(crate) fn begin<'py>(
        event_loop: &Bound<'py, LoopCore>,
        sock: &Bound<'py, PyAny>,
        operation: impl FnOnce() -> PyResult<Operation>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        if !sock.get_type().is(imported::socket_class(py)?) {
            imported::check_ssl_socket(py)?.call1((sock,))?;
        }
        if event_loop.get().is_debug() && sock.call_method0(intern!(py, "gettimeout"))?.ne(0)? {
            return Err(PyValueError::new_err("the socket must be non-blocking"));
        }
        let operation = operation()?;
        if let Some(result) = operation.attempt(sock)? {
            return Ok(result);
        }
        let call = Self {
            event_loop: event_loop.clone().unbind(),
            sock: sock.clone().unbind(),
            operation: operation.for_later(py)?,
            state: AttachedCell::new(State::Blocked),
        };
        Ok(Bound::new(py, call)?.into_any())
    }

    /// The descriptor is ready, or has failed.
    pub(crate) fn ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(future) = Self::stop_waiting(slf)? else { return Ok(()) };
        if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
            future.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(())
    }

    /// Watches the descriptor, and returns the future that is done when it is ready.
    fn wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let event_loop = this.event_loop.bind(py);
        let fd: RawFd = this.sock.bind(py).call_method0(intern!(py, "fileno"))?.extract()?;
        refuse_transports_descriptor(event_loop, fd)?;
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        // What `await future` does before it yields.
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        let callback = Callback::Sock(slf.clone().unbind());
        event_loop.get().watch(py, fd, this.operation.direction(), callback)?;
        let waits = State::Waits(fd, future.clone().unbind());
        this.state.with(py, |state| *state = waits);
        Ok(future)
    }

    /// Ends the watch, unless somebody else's has taken its place, and returns the future.
    fn stop_waiting<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let state = this.state.with(py, |state| std::mem::replace(state, State::Idle));
        let State::Waits(fd, future) = state else { return Ok(None) };
        let direction = this.operation.direction();
        let core = this.event_loop.get();
        let own = core.with_engine(py, |engine| match engine.waiter(fd, direction) {
            Some(Notify::Callback(callback)) => callback.is(slf),
            _ => false,
        });
        if own.unwrap_or(false) {
            core.unwatch(py, fd, direction)?;
        }
        Ok(Some(future.into_bound(py)))
    }
}

/// Raises `RuntimeError` if a transport uses the descriptor.
fn refuse_transports_descriptor(event_loop: &Bound<'_, LoopCore>, fd: RawFd) -> PyResult<()> {
    let py = event_loop.py();
    if event_loop.get().transports().get(py, fd).is_none() {
        return Ok(());
    }
    event_loop.call_method1(intern!(py, "_ensure_fd_no_transport"), (fd,)).map(drop)
}

#[pymethods]
impl SockCall {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Tries again, unless it has just been tried; returns a future to wait for, or raises
    /// `StopIteration` with the result.
    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let tried = this.state.with(py, |state| matches!(state, State::Blocked));
        if !tried {
            Self::stop_waiting(slf)?;
            if let Some(result) = this.operation.attempt(this.sock.bind(py))? {
                return Err(PyStopIteration::new_err((result.unbind(),)));
            }
        }
        Self::wait(slf)
    }

    fn send<'py>(slf: &Bound<'py, Self>, _value: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::__next__(slf)
    }

    /// Ends the wait, and raises what was thrown: a cancellation, mostly.
    #[pyo3(signature = (typ, val=None, _tb=None))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        typ: Bound<'py, PyAny>,
        val: Option<Bound<'py, PyAny>>,
        _tb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::stop_waiting(slf)?;
        Err(PyErr::from_value(val.unwrap_or(typ)))
    }

    /// Ends the wait.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::stop_waiting(slf).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.sock)?;
        self.operation.visit(&visit)?;
        let visited = self.state.visit(|state| match state {
            State::Waits(_, future) => visit.call(&*future),
            State::Blocked | State::Idle => Ok(()),
        });
        visited.unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        drop(self.state.visit(|state| std::mem::replace(state, State::Idle)));
    }
}
