//! `StreamTransport`: a connected stream socket and the protocol that is told about it.
//!
//! Its life from `connection_made` to `connection_lost`, reading, writing and flow control have
//! files of their own. What asyncio's `_SelectorSocketTransport` does, in which order and with
//! which messages, is the specification.

use std::os::fd::RawFd;

use pyo3::PyVisit;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::{PyDict, PyTuple, PyType};
use rondel_engine::Direction;

use super::flow_control::WaterMarks;
use super::lifetime::hold_open;
use super::outgoing::Outgoing;
use crate::callback::Callback;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::context;
use crate::ffi::socket::HeldSocket;
use crate::imported;

/// What is true of a transport now.
#[allow(clippy::struct_excessive_bools)] // each is one of asyncio's own flags
pub(super) struct State {
    /// The Python socket object; `None` once the connection is lost.
    pub(super) sock: Option<Py<PyAny>>,
    pub(super) protocol: Option<Py<PyAny>>,
    /// Whether the protocol supplies the memory to read into (`BufferedProtocol`).
    pub(super) buffered: bool,
    pub(super) server: Option<Py<PyAny>>,
    /// The protocol's method, until it has been called.
    pub(super) connection_made: Option<Py<PyAny>>,
    /// The future that is done when `connection_made` has been called.
    pub(super) waiter: Option<Py<PyAny>>,
    /// In which the protocol's callbacks run, copied when the transport was made.
    pub(super) context: Py<PyAny>,
    /// The exception for `connection_lost`, and the context it is called in.
    pub(super) lost_with: Option<(Py<PyAny>, Py<PyAny>)>,
    pub(super) outgoing: Outgoing,
    pub(super) marks: WaterMarks,
    /// `close()` or `abort()` was called, or an error was fatal.
    pub(super) closing: bool,
    /// Above zero when `connection_lost` is due; then counts the writes that came too late.
    pub(super) connection_lost: u32,
    pub(super) paused: bool,
    /// The peer's end of stream was seen: there is nothing more to read.
    pub(super) ended: bool,
    /// `write_eof()` was called.
    pub(super) eof: bool,
    /// Waits until the socket is writable again.
    pub(super) writing: bool,
    /// Stands in the loop's list of transports to flush at the end of the batch.
    pub(super) flush_is_due: bool,
    pub(super) protocol_paused: bool,
    /// The last read was large: the next is received straight into a bytes object.
    pub(super) large_reads: bool,
    /// Done when everything is sent; `sendfile` waits for it.
    pub(super) empty_waiter: Option<Py<PyAny>>,
}

/// A stream transport; `asyncio.Transport` by interface and by `isinstance`.
#[pyclass(subclass, frozen, weakref, module = "rondel._rondel")]
pub(crate) struct StreamTransport {
    pub(super) event_loop: Py<LoopCore>,
    pub(super) socket: HeldSocket,
    pub(super) extra: Py<PyDict>,
    pub(super) state: AttachedCell<State>,
}

impl StreamTransport {
    #[inline]
    pub(super) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(py, f)
    }

    pub(super) fn core(&self) -> &LoopCore {
        self.event_loop.get()
    }

    /// The protocol; `None` once the connection is lost.
    #[inline]
    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |state| state.protocol.as_ref().map(|it| it.clone_ref(py).into_bound(py)))
    }

    #[inline]
    pub(super) fn context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.with(py, |state| state.context.clone_ref(py)).into_bound(py)
    }

    /// Takes over a connected, non-blocking socket, and begins with `connection_made`.
    pub(super) fn create<'py>(
        event_loop: &Bound<'py, LoopCore>,
        sock: &Bound<'py, PyAny>,
        protocol: Bound<'py, PyAny>,
        extra: Bound<'py, PyDict>,
        server: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = event_loop.py();
        let waiter = py.None();
        let class = imported::stream_transport_class(py)?;
        class.call1((event_loop, sock, protocol, waiter, extra, server)).map(drop)
    }

    pub(super) fn watch(slf: &Bound<'_, Self>, direction: Direction) -> PyResult<()> {
        let this = slf.get();
        let transport = slf.clone().unbind();
        let callback = match direction {
            Direction::Read => Callback::StreamRead(transport),
            Direction::Write => Callback::StreamWrite(transport),
        };
        this.core().watch(slf.py(), this.socket.number(), direction, callback)
    }

    pub(super) fn unwatch(&self, py: Python<'_>, direction: Direction) -> PyResult<()> {
        self.core().unwatch(py, self.socket.number(), direction).map(drop)
    }
}

#[pymethods]
impl StreamTransport {
    #[new]
    #[pyo3(signature = (event_loop, sock, protocol, waiter=None, extra=None, server=None))]
    fn new<'py>(
        event_loop: &Bound<'py, LoopCore>,
        sock: Bound<'py, PyAny>,
        protocol: Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        server: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        let fd: RawFd = sock.call_method0(intern!(py, "fileno"))?.extract()?;
        if fd < 0 {
            return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
        }
        let extra = match extra {
            Some(extra) => extra.copy()?,
            None => PyDict::new(py),
        };
        // Bound here and not when it is called: what is no protocol fails at once.
        let connection_made = protocol.getattr(intern!(py, "connection_made"))?;
        describe_socket(&extra, &sock)?;
        let buffered = is_buffered(&protocol)?;
        let context = context::copy_current(py)?.unbind();
        let socket = HeldSocket::new(fd);
        socket.set_nodelay();
        hold_open(&sock)?;
        let state = State {
            sock: Some(sock.unbind()),
            protocol: Some(protocol.unbind()),
            buffered,
            server: server.map(Bound::unbind),
            connection_made: Some(connection_made.unbind()),
            waiter: waiter.map(Bound::unbind),
            context,
            lost_with: None,
            outgoing: Outgoing::default(),
            marks: WaterMarks::default(),
            closing: false,
            connection_lost: 0,
            paused: false,
            ended: false,
            eof: false,
            writing: false,
            flush_is_due: false,
            protocol_paused: false,
            large_reads: false,
            empty_waiter: None,
        };
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            socket,
            extra: extra.unbind(),
            state: AttachedCell::new(state),
        })
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
        let event_loop = this.event_loop.bind(py);
        let server = this.with(py, |state| state.server.as_ref().map(|it| it.clone_ref(py)));
        if let Some(server) = server {
            let attach = intern!(py, "_attach_to_server");
            if let Err(error) = event_loop.call_method1(attach, (server, slf)) {
                // Closed meanwhile: there is nothing to detach from, and no protocol to tell.
                drop(this.with(py, |state| state.server.take()));
                Self::abandon(slf)?;
                return Err(error);
            }
        }
        let transports = event_loop.getattr(intern!(py, "_transports"))?;
        transports.set_item(this.socket.number(), slf)?;
        this.core().push(py, Callback::StreamStart(slf.clone().unbind()))
    }

    /// Stops reading, sends what was written, then closes. See asyncio's `BaseTransport.close()`.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| std::mem::replace(&mut state.closing, true)) {
            return Ok(());
        }
        this.unwatch(py, Direction::Read)?;
        Self::flush(slf)?;
        if this.with(py, |state| state.outgoing.is_empty() && state.connection_lost == 0) {
            if this.with(py, |state| std::mem::take(&mut state.writing)) {
                this.unwatch(py, Direction::Write)?;
            }
            Self::lose(slf, None)?;
        }
        Ok(())
    }

    /// Closes at once: what the kernel does not take now is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::force_close(slf, None)
    }

    #[pyo3(signature = (exc))]
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        Self::force_close(slf, exc.map(PyErr::from_value))
    }

    #[pyo3(signature = (exc, message="Fatal error on transport"))]
    fn _fatal_error(slf: &Bound<'_, Self>, exc: Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        Self::fatal_error(slf, PyErr::from_value(exc), message)
    }

    fn is_closing(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.closing)
    }

    fn set_protocol(&self, py: Python<'_>, protocol: Bound<'_, PyAny>) -> PyResult<()> {
        let buffered = is_buffered(&protocol)?;
        // The old protocol is dropped out here.
        let _old = self.with(py, |state| {
            state.buffered = buffered;
            state.protocol.replace(protocol.unbind())
        });
        Ok(())
    }

    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    /// ``socket``, ``sockname`` and ``peername``, and what the maker added.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        &self,
        name: Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = name.py();
        let found = self.extra.bind(py).get_item(name)?;
        Ok(found.or(default).unwrap_or_else(|| py.None().into_bound(py)))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let py = slf.py();
        let this = slf.get();
        let fd = this.socket.number();
        let (closed, closing, bufsize) =
            this.with(py, |state| (state.sock.is_none(), state.closing, state.outgoing.len()));
        let life = match (closed, closing) {
            (true, _) => " closed",
            (false, true) => " closing",
            (false, false) => "",
        };
        let polls = |direction| {
            this.core().with_engine(py, |engine| engine.waiter(fd, direction).is_some())
        };
        if let (false, Ok(read), Ok(write)) =
            (closed, polls(Direction::Read), polls(Direction::Write))
        {
            let word = |polls| if polls { "polling" } else { "idle" };
            let (read, write) = (word(read), word(write));
            let polling = format!("read={read} write=<{write}, bufsize={bufsize}>");
            return format!("<StreamTransport{life} fd={fd} {polling}>");
        }
        format!("<StreamTransport{life} fd={fd}>")
    }

    /// Closes a transport that was forgotten; its finalizer has warned of it.
    fn _abandon(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::abandon(slf)
    }

    /// Answers the class of asyncio's own stream transports, so that `isinstance` does.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        Ok(imported::transport_class(slf.py())?.clone())
    }

    #[getter(_sock)]
    fn sock<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |state| state.sock.as_ref().map(|sock| sock.clone_ref(py)))
            .map(|sock| sock.into_bound(py))
    }

    #[getter(_sock_fd)]
    fn sock_fd(&self) -> RawFd {
        self.socket.number()
    }

    #[getter(_extra)]
    fn extra<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.extra.bind(py).clone()
    }

    /// `None` once the connection is lost.
    #[getter(_loop)]
    fn owning_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, LoopCore>> {
        let open = self.with(py, |state| state.sock.is_some());
        open.then(|| self.event_loop.bind(py).clone())
    }

    /// asyncio's `start_tls` asks for it.
    #[classattr]
    fn _start_tls_compatible() -> bool {
        true
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.extra)?;
        let visited = self.state.visit(|state| {
            visit.call(&state.sock)?;
            visit.call(&state.protocol)?;
            visit.call(&state.server)?;
            visit.call(&state.connection_made)?;
            visit.call(&state.waiter)?;
            visit.call(&state.context)?;
            visit.call(&state.empty_waiter)?;
            match &state.lost_with {
                Some((error, context)) => visit.call(error).and_then(|()| visit.call(context)),
                None => Ok(()),
            }
        });
        visited.unwrap_or(Ok(()))
    }

    /// Breaks cycles; the finalizer has run, and the socket is closed.
    fn __clear__(&self) {
        let cleared = self.state.visit(|state| {
            let made = state.connection_made.take();
            (state.protocol.take(), made, state.waiter.take(), state.lost_with.take())
        });
        drop(cleared);
    }
}

/// Enters `socket`, `sockname` and, unless it is known, `peername`.
fn describe_socket(extra: &Bound<'_, PyDict>, sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = sock.py();
    extra.set_item(intern!(py, "socket"), imported::transport_socket_class(py)?.call1((sock,))?)?;
    let ask = |method| match sock.call_method0(method) {
        Ok(name) => Ok(name),
        Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(py.None().into_bound(py)),
        Err(error) => Err(error),
    };
    extra.set_item(intern!(py, "sockname"), ask(intern!(py, "getsockname"))?)?;
    if !extra.contains(intern!(py, "peername"))? {
        extra.set_item(intern!(py, "peername"), ask(intern!(py, "getpeername"))?)?;
    }
    Ok(())
}

fn is_buffered(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    protocol.is_instance(imported::buffered_protocol_class(protocol.py())?)
}
