//! `SSLProtocol`: the native half of a subclass of asyncio's `SSLProtocol`, which comes first in
//! the method resolution order and has what runs per record.
//!
//! Handshake, shutdown and what is rare stay asyncio's code, which finds and sets its attributes
//! here. What it does in its place, in which order and with which messages, is the specification.

use pyo3::PyVisit;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::session::Session;
use crate::ffi::cell::AttachedCell;
use crate::ffi::exception;

/// What is true of a TLS connection now.
#[allow(clippy::struct_excessive_bools)] // each is one of asyncio's own flags
#[derive(Default)]
pub(super) struct State {
    session: Option<Session>,
    /// asyncio's `SSLProtocolState`.
    pub(super) phase: Option<Py<PyAny>>,
    /// Between handshake and shutdown: data goes both ways.
    pub(super) is_open: bool,
    /// As long as that, and while the shutdown waits for what was written.
    pub(super) reads: bool,
    /// Where what is encrypted goes.
    pub(super) transport: Option<Py<PyAny>>,
    /// Who gets what is decrypted.
    pub(super) protocol: Option<Py<PyAny>>,
    /// Whether it supplies the memory to read into (`BufferedProtocol`).
    pub(super) buffered: bool,
    pub(super) app_reading_paused: bool,
    pub(super) ssl_reading_paused: bool,
    pub(super) app_writing_paused: bool,
    pub(super) ssl_writing_paused: bool,
    pub(super) incoming_high: Mark,
    pub(super) outgoing_high: Mark,
}

/// A mark of flow control, as it was set.
#[derive(Default)]
pub(super) struct Mark {
    value: Option<Py<PyAny>>,
    /// Zero also for what is no such number: whatever is compared is no less.
    at_least: usize,
}

impl Mark {
    pub(super) fn of(value: &Bound<'_, PyAny>) -> Self {
        let at_least = value.extract().unwrap_or(0);
        Self { value: Some(value.clone().unbind()), at_least }
    }

    pub(super) fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.value.as_ref().map(|value| value.clone_ref(py).into_bound(py))
    }

    /// Whether so many bytes are less than the mark for certain.
    pub(super) fn is_above(&self, len: usize) -> bool {
        len < self.at_least
    }
}

/// The native half of `rondel.tls.SSLProtocol`.
#[pyclass(subclass, frozen, name = "SSLProtocol", module = "rondel._rondel")]
pub(crate) struct SslProtocol {
    state: AttachedCell<State>,
}

impl SslProtocol {
    #[inline]
    pub(super) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(py, f)
    }

    /// What exchanges the data.
    pub(super) fn session(slf: &Bound<'_, Self>) -> PyResult<Session> {
        let py = slf.py();
        let known = |state: &mut State| state.session.as_ref().map(|it| it.clone_ref(py));
        if let Some(session) = slf.get().with(py, known) {
            return Ok(session);
        }
        let session = Session::of(slf)?;
        let kept = session.clone_ref(py);
        let _old = slf.get().with(py, |state| state.session.replace(kept));
        Ok(session)
    }

    /// Takes what the transport has received, as `buffer_updated` would.
    pub(crate) fn received(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        Self::session(slf)?.feed(data)?;
        if slf.get().with(slf.py(), |state| state.is_open) {
            Self::do_read(slf)
        } else {
            // asyncio's own code goes on with the handshake or the shutdown.
            slf.call_method1(intern!(slf.py(), "buffer_updated"), (0,)).map(drop)
        }
    }

    /// Ends the connection if there is an error, as asyncio does it; what is no `Exception` is the
    /// caller's.
    pub(super) fn fatal_if_failed(slf: &Bound<'_, Self>, result: PyResult<()>) -> PyResult<()> {
        let py = slf.py();
        match result {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                exception::handling(py, error, |error| {
                    let told = (error, "Fatal error on SSL protocol");
                    slf.call_method1(intern!(py, "_fatal_error"), told).map(drop)
                })
            }
            result => result,
        }
    }
}

#[pymethods]
impl SslProtocol {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: AttachedCell::default() }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let visited = self.state.visit(|state| {
            if let Some(session) = &state.session {
                session.visit(&visit)?;
            }
            visit.call(&state.phase)?;
            visit.call(&state.transport)?;
            visit.call(&state.protocol)?;
            visit.call(&state.incoming_high.value)?;
            visit.call(&state.outgoing_high.value)
        });
        visited.unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        drop(self.state.visit(std::mem::take));
    }
}
