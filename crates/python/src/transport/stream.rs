//! `StreamTransport`: a connected stream socket and the protocol that is told about it.
//!
//! Reading and writing have files of their own; what it shares with other transports is in `base`,
//! `lifetime` and `flow_control`. What asyncio's `_SelectorSocketTransport` does, in which order
//! and with which messages, is the specification.

use std::os::fd::RawFd;

use pyo3::PyVisit;
use pyo3::exceptions::PyConnectionError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::{PyDict, PyTuple, PyType};
use rondel_engine::Direction;

use super::base::{BaseTransport, Step, Transport, base, unwatch};
use super::clients::Membership;
use super::flow_control::{self, Limits};
use super::lifetime;
use super::outgoing::Outgoing;
use super::receive::Receiver;
use crate::callback::Callback;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::imported;
use crate::tls::protocol::SslProtocol;

/// How the protocol gets what is read.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// As bytes (`Protocol`).
    Bytes,
    /// In memory that it supplies (`BufferedProtocol`).
    Buffered,
    /// Natively.
    Tls,
}

impl Reading {
    fn of(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(if protocol.is_instance_of::<SslProtocol>() {
            Self::Tls
        } else if protocol.is_instance(imported::buffered_protocol_class(protocol.py())?)? {
            Self::Buffered
        } else {
            Self::Bytes
        })
    }
}

/// What is true of a stream transport now, beyond what is of all.
#[allow(clippy::struct_excessive_bools)] // each is one of asyncio's own flags
pub(super) struct State {
    pub(super) reading: Reading,
    pub(super) server: Option<Py<PyAny>>,
    /// That it is one of a server's connections.
    pub(super) membership: Option<Membership>,
    pub(super) outgoing: Outgoing,
    /// The peer's end of stream was seen: there is nothing more to read.
    pub(super) ended: bool,
    /// `write_eof()` was called.
    pub(super) eof: bool,
    /// Stands in the loop's list of transports to flush at the end of the batch.
    pub(super) flush_is_due: bool,
    /// Done when everything is sent; `sendfile` waits for it.
    pub(super) empty_waiter: Option<Py<PyAny>>,
}

/// A stream transport; `asyncio.Transport` by interface and by `isinstance`.
#[pyclass(extends = BaseTransport, subclass, frozen, module = "rondel._rondel")]
pub(crate) struct StreamTransport {
    pub(super) receiver: Receiver,
    state: AttachedCell<State>,
}

impl StreamTransport {
    #[inline]
    pub(super) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(py, f)
    }

    /// Takes over a connected, non-blocking socket, and begins with `connection_made`.
    pub(super) fn create<'py>(
        event_loop: &Bound<'py, LoopCore>,
        sock: &Bound<'py, PyAny>,
        protocol: Bound<'py, PyAny>,
        extra: Option<Bound<'py, PyDict>>,
        server: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = event_loop.py();
        let waiter = py.None();
        let class = imported::stream_transport_class(py)?;
        class.call1((event_loop, sock, protocol, waiter, extra, server, context)).map(drop)
    }
}

impl Transport for StreamTransport {
    fn callback(step: Step, transport: Py<Self>) -> Callback {
        match step {
            Step::Start => Callback::StreamStart(transport),
            Step::Read => Callback::StreamRead(transport),
            Step::Write => Callback::StreamWrite(transport),
            Step::Lost => Callback::StreamLost(transport),
        }
    }

    #[inline]
    fn read_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::read(slf)
    }

    fn write_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::send_more(slf)
    }

    fn unsent(&self, py: Python<'_>) -> usize {
        self.with(py, |state| state.outgoing.len())
    }

    /// What this turn wrote is offered to the kernel first, as it would have been already by a
    /// loop that sends at each write.
    fn drop_unsent(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let base = base(slf);
        let offers = base.with(py, |life| !life.writing && life.connection_lost == 0);
        slf.get().with(py, |state| {
            if offers {
                // Whether it fails is of no interest any more.
                let _ = state.outgoing.send(py, |pieces| base.descriptor.send(pieces));
            }
            state.outgoing.clear();
        });
    }

    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (server, empty_waiter) =
            slf.get().with(py, |state| (state.server.take(), state.empty_waiter.clone()));
        if let Some(server) = server {
            let event_loop = base(slf).event_loop.bind(py);
            event_loop.call_method1(intern!(py, "_detach_from_server"), (server, slf))?;
        }
        if let Some(waiter) = empty_waiter {
            let waiter = waiter.into_bound(py);
            if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
                let error = PyConnectionError::new_err("Connection is closed by peer");
                waiter.call_method1(intern!(py, "set_exception"), (error.into_value(py),))?;
            }
        }
        Ok(())
    }
}

#[pymethods]
impl StreamTransport {
    #[new]
    #[pyo3(signature = (
        event_loop, sock, protocol, waiter=None, extra=None, server=None, context=None,
    ))]
    #[allow(clippy::too_many_arguments)] // asyncio's own
    fn new<'py>(
        event_loop: &Bound<'py, LoopCore>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        server: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let reading = Reading::of(protocol)?;
        let base = BaseTransport::of_socket(event_loop, sock, protocol, waiter, extra, context)?;
        base.descriptor.set_nodelay();
        let state = State {
            reading,
            server: server.map(Bound::unbind),
            membership: None,
            outgoing: Outgoing::default(),
            ended: false,
            eof: false,
            flush_is_due: false,
            empty_waiter: None,
        };
        let stream = Self { receiver: Receiver::default(), state: AttachedCell::new(state) };
        Ok(PyClassInitializer::from(base).add_subclass(stream))
    }

    /// Has the new transport known to its server and its loop, and `connection_made` called in
    /// the next turn. The arguments have been seen by `__new__`.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let server = this.with(py, |state| state.server.as_ref().map(|it| it.clone_ref(py)));
        if let Some(server) = server {
            let attach = intern!(py, "_attach_to_server");
            if let Err(error) = base(slf).event_loop.bind(py).call_method1(attach, (server, slf)) {
                // Closed meanwhile: there is nothing to detach from, and no protocol to tell.
                drop(this.with(py, |state| state.server.take()));
                lifetime::abandon(slf)?;
                return Err(error);
            }
        }
        lifetime::begin(slf)
    }

    /// Stops reading, sends what was written, then closes. See asyncio's `BaseTransport.close()`.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        if base.with(py, |life| std::mem::replace(&mut life.closing, true)) {
            return Ok(());
        }
        unwatch(slf, Direction::Read)?;
        Self::flush(slf)?;
        if slf.get().unsent(py) == 0 && base.with(py, |life| life.connection_lost == 0) {
            if base.with(py, |life| std::mem::take(&mut life.writing)) {
                unwatch(slf, Direction::Write)?;
            }
            lifetime::lose(slf, None)?;
        }
        Ok(())
    }

    /// Closes at once: what the kernel does not take now is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::force_close(slf, None)
    }

    #[pyo3(signature = (exc))]
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        lifetime::force_close(slf, exc.map(PyErr::from_value))
    }

    #[pyo3(signature = (exc, message="Fatal error on transport"))]
    fn _fatal_error(slf: &Bound<'_, Self>, exc: Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        lifetime::fatal_error(slf, PyErr::from_value(exc), message)
    }

    fn set_protocol(slf: &Bound<'_, Self>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let reading = Reading::of(protocol)?;
        slf.get().with(py, |state| state.reading = reading);
        base(slf).set_protocol(py, protocol.clone().unbind());
        Ok(())
    }

    /// Sets the marks, in bytes. See asyncio's `WriteTransport.set_write_buffer_limits()`.
    ///
    /// Raises ValueError unless high >= low >= 0.
    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits<'py>(
        slf: &Bound<'py, Self>,
        high: Option<Bound<'py, PyAny>>,
        low: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        flow_control::set_limits(slf, high, low)?;
        // What waits only for the end of the turn is not what a mark is about.
        Self::flush(slf)?;
        flow_control::maybe_pause_protocol(slf)
    }

    /// The marks, in bytes: ``(low, high)``.
    fn get_write_buffer_limits<'py>(slf: &Bound<'py, Self>) -> PyResult<Limits<'py>> {
        flow_control::limits(slf)
    }

    /// Whether the protocol was told to pause; asyncio's own `loop.sendfile()` asks.
    #[getter]
    fn _protocol_paused(slf: &Bound<'_, Self>) -> bool {
        base(slf).with(slf.py(), |life| life.protocol_paused)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        base(slf).socket_repr(slf.py(), "StreamTransport", slf.get().unsent(slf.py()))
    }

    fn is_reading(slf: &Bound<'_, Self>) -> bool {
        base(slf).is_reading(slf.py())
    }

    #[getter(_sock)]
    fn sock<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, base) = (slf.py(), base(slf));
        if base.owner(py).is_some() {
            base.describe_accepted(py)?;
        }
        Ok(base.owner(py))
    }

    #[getter(_sock_fd)]
    fn sock_fd(slf: &Bound<'_, Self>) -> RawFd {
        base(slf).descriptor.number()
    }

    /// Closes a transport that was forgotten; its finalizer has warned of it.
    fn _abandon(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::abandon(slf)
    }

    /// Answers the class of asyncio's own stream transports, so that `isinstance` does.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        Ok(imported::transport_class(slf.py())?.clone())
    }

    /// asyncio's `start_tls` asks for it.
    #[classattr]
    fn _start_tls_compatible() -> bool {
        true
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let visited = self.state.visit(|state| {
            visit.call(&state.server)?;
            visit.call(&state.empty_waiter)
        });
        visited.unwrap_or(Ok(()))
    }
}
