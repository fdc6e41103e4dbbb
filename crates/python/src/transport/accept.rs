//! Accepting connections: a socket, a protocol and a transport for each.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use pyo3::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use rondel_engine::{Direction, Notify};
use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use super::accepted::{AcceptedSocket, socket_object};
use super::address;
use super::stream::StreamTransport;
use crate::callback::Callback;
use crate::errors::{ends_the_run, errno_error};
use crate::event_loop::{LoopCore, descriptor};
use crate::ffi::context;
use crate::ffi::descriptor::HeldDescriptor;
use crate::ffi::exception;
use crate::imported;

/// Serves one listening socket.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct Acceptor {
    event_loop: Py<LoopCore>,
    sock: Py<PyAny>,
    socket: HeldDescriptor,
    /// Its family, type and protocol, which its connections have, too: asked for once, since the
    /// socket module makes an enum's member at each look.
    kind: PyOnceLock<Py<PyTuple>>,
    protocol_factory: Py<PyAny>,
    server: Py<PyAny>,
    /// At most this many connections, and at least one, are accepted per event.
    backlog: i64,
    /// Of which each connection gets a copy.
    context: Py<PyAny>,
    /// A connection's callbacks all run in its copy, as asyncio has it from Python 3.15 on.
    context_is_shared: bool,
}

#[pymethods]
impl Acceptor {
    /// Begins to accept on `sock`, which is listening and non-blocking.
    #[new]
    #[pyo3(signature = (event_loop, sock, protocol_factory, server, backlog, context=None))]
    fn new<'py>(
        event_loop: &Bound<'py, LoopCore>,
        sock: &Bound<'py, PyAny>,
        protocol_factory: Py<PyAny>,
        server: Py<PyAny>,
        backlog: i64,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<Self>> {
        let py = event_loop.py();
        let fd = descriptor(&sock.call_method0(intern!(py, "fileno"))?)?;
        // Which a connection that takes the last descriptor could not import.
        imported::stream_transport_class(py)?;
        let context_is_shared = context.is_some();
        let context = match context {
            Some(context) => context.call_method0(intern!(py, "copy"))?,
            None => context::copy_current(py)?,
        };
        let acceptor = Self {
            event_loop: event_loop.clone().unbind(),
            sock: sock.clone().unbind(),
            socket: HeldDescriptor::new(fd),
            kind: PyOnceLock::new(),
            protocol_factory,
            server,
            backlog,
            context: context.unbind(),
            context_is_shared,
        };
        let acceptor = Py::new(py, acceptor)?;
        let callback = Callback::Accept(acceptor.clone_ref(py));
        event_loop.get().watch(py, fd, Direction::Read, callback)?;
        Ok(acceptor)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.sock)?;
        visit.call(&self.protocol_factory)?;
        visit.call(&self.server)?;
        visit.call(&self.context)
    }
}

impl Acceptor {
    /// Connections wait.
    pub(crate) fn accept_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        context::run_in(slf.get().context.bind(py), || Self::accept_all(slf))
    }

    fn accept_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        for _ in 0..this.backlog.max(1) {
            // The server may have been closed by the protocol factory, or by what ran before, and
            // its descriptor may be another server's by now.
            if !Self::is_serving(slf)? {
                return Ok(());
            }
            match this.socket.accept() {
                Ok((connection, address)) => {
                    // What one connection's protocol factory sets the next must not see.
                    let context = context::copy_current(py)?;
                    context::run_in(&context, || {
                        this.connect(&context, connection, address.as_ref())
                    })?;
                }
                Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(()),
                Err(errno) => {
                    // Out of descriptors or memory: the loop tries again in a while. Anything
                    // else is reported by the loop.
                    let failed = intern!(py, "_accept_failed");
                    let context = this.context_is_shared.then_some(&this.context);
                    let server = (&this.protocol_factory, &this.server, this.backlog, context);
                    exception::handling(py, errno_error(py, errno), |error| {
                        let event_loop = this.event_loop.bind(py);
                        event_loop.call_method1(failed, (error, &this.sock, server))
                    })?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether the descriptor is still watched on behalf of this acceptor.
    fn is_serving(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let this = slf.get();
        this.event_loop.get().with_engine(slf.py(), |engine| {
            let waiter = engine.waiter(this.socket.number(), Direction::Read);
            matches!(waiter, Some(Notify::Callback(Callback::Accept(it))) if it.is(slf))
        })
    }

    /// Makes the connection's protocol and transport, and its socket object where that cannot wait.
    /// If that fails the connection is closed and, in debug mode, the failure reported: asyncio's
    /// way.
    fn connect(
        &self,
        context: &Bound<'_, PyAny>,
        connection: OwnedFd,
        address: Option<&SocketAddrAny>,
    ) -> PyResult<()> {
        let py = context.py();
        let event_loop = self.event_loop.bind(py);
        let kind = self.kind(py)?;
        let by_ip = address.and_then(|address| SocketAddr::try_from(address.clone()).ok());
        let (sock, extra) = if let Some(peer) = by_ip {
            let accepted = AcceptedSocket::new(connection, peer, kind.clone().unbind());
            (Bound::new(py, accepted)?.into_any(), Ok(None))
        } else {
            let sock = socket_object(kind, connection).map_err(|(error, _)| error)?;
            let extra = extra_with_peer(&sock, address).map(Some);
            (sock, extra)
        };
        let made = extra.and_then(|extra| {
            let protocol = self.protocol_factory.bind(py).call0()?;
            let server = self.server.bind(py);
            let context = self.context_is_shared.then_some(context);
            StreamTransport::create(event_loop, &sock, protocol, extra, server, context)
        });
        match made {
            Ok(()) => Ok(()),
            Err(error) => {
                sock.call_method0(intern!(py, "close"))?;
                if ends_the_run(py, &error) {
                    return Err(error);
                }
                let failed = intern!(py, "_connection_failed");
                exception::handling(py, error, |error| {
                    event_loop.call_method1(failed, (error,)).map(drop)
                })
            }
        }
    }

    /// The listening socket's family, type and protocol.
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let kind = self.kind.get_or_try_init(py, || {
            let listening = self.sock.bind(py);
            let kind = [
                listening.getattr(intern!(py, "family"))?,
                listening.getattr(intern!(py, "type"))?,
                listening.getattr(intern!(py, "proto"))?,
            ];
            PyTuple::new(py, kind).map(Bound::unbind)
        })?;
        Ok(kind.bind(py))
    }
}

/// What is known of a connection: its peer's address as Python's `socket.accept()` gives it.
fn extra_with_peer<'py>(
    sock: &Bound<'py, PyAny>,
    address: Option<&SocketAddrAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = sock.py();
    let name = match address.map(|address| address::to_python(py, address)).transpose()?.flatten() {
        Some(name) => name,
        None => sock.call_method0(intern!(py, "getpeername"))?,
    };
    let extra = PyDict::new(py);
    extra.set_item(intern!(py, "peername"), name)?;
    Ok(extra)
}
