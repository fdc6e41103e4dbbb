//! `DatagramTransport`: a datagram socket and the protocol that is told about it.
//!
//! What it shares with other transports is in `base`, `lifetime` and `flow_control`. What
//! asyncio's `_SelectorDatagramTransport` does, in which order and with which messages, is the
//! specification.

use std::collections::VecDeque;
use std::io::IoSlice;

use std::os::fd::RawFd;

use pyo3::PyVisit;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyTuple, PyType};
use rondel_engine::Direction;
use rustix::io::Errno;
use rustix::net::AddressFamily;

use super::address::{self, LastPeer};
use super::base::{BaseTransport, Step, Transport, base, unwatch, watch};
use super::flow_control::{self, Limits};
use super::lifetime;
use super::outgoing::Piece;
use crate::callback::Callback;
use crate::errors::{ends_the_run, errno_error};
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::context;
use crate::imported;
use crate::sock_operation::would_block;

/// What each waiting datagram counts for in flow control, beyond its data; so also empty ones
/// count. (asyncio's `_header_size`, since 3.13.)
const HEADER: usize = if cfg!(Py_3_13) { 8 } else { 0 };

/// One datagram that waits to be sent.
struct Datagram {
    data: Piece,
    to: Option<Py<PyAny>>,
}

impl Datagram {
    fn size(&self, py: Python<'_>) -> usize {
        self.data.as_slice(py).len() + HEADER
    }
}

/// What is true of a datagram transport now, beyond what is of all.
#[derive(Default)]
struct State {
    waiting: VecDeque<Datagram>,
    /// The sizes of all that wait.
    unsent: usize,
}

/// A datagram transport; `asyncio.DatagramTransport` by interface and by `isinstance`.
#[pyclass(extends = BaseTransport, subclass, frozen, module = "rondel._rondel")]
pub(crate) struct DatagramTransport {
    family: AddressFamily,
    /// Where everything goes, if the endpoint has a remote address.
    address: Option<Py<PyAny>>,
    /// The kernel knows where everything goes.
    connected: bool,
    last_peer: LastPeer,
    state: AttachedCell<State>,
}

impl Transport for DatagramTransport {
    fn callback(step: Step, transport: Py<Self>) -> Callback {
        match step {
            Step::Start => Callback::DatagramStart(transport),
            Step::Read => Callback::DatagramRead(transport),
            Step::Write => Callback::DatagramWrite(transport),
            Step::Lost => Callback::DatagramLost(transport),
        }
    }

    fn read_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let base = base(slf);
        if !base.is_reading(slf.py()) {
            return Ok(());
        }
        context::run_in(&base.context(slf.py()), || Self::receive(slf))
    }

    fn write_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let base = base(slf);
        if base.with(slf.py(), |life| !life.writing || life.connection_lost > 0) {
            return Ok(());
        }
        context::run_in(&base.context(slf.py()), || Self::send_waiting(slf))
    }

    fn unsent(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.unsent)
    }

    fn drop_unsent(slf: &Bound<'_, Self>) {
        // Dropped outside the borrow: an address may be any object.
        drop(slf.get().state.with(slf.py(), std::mem::take));
    }

    fn release(_slf: &Bound<'_, Self>) -> PyResult<()> {
        Ok(())
    }
}

#[pymethods]
impl DatagramTransport {
    #[new]
    #[pyo3(signature = (event_loop, sock, protocol, address=None, waiter=None, extra=None))]
    fn new<'py>(
        event_loop: &Bound<'py, LoopCore>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<Bound<'py, PyAny>>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let py = event_loop.py();
        let family: u16 = sock.getattr(intern!(py, "family"))?.extract()?;
        let address = match address {
            Some(address) if address.is_truthy()? => Some(address.unbind()),
            _ => None,
        };
        let base = BaseTransport::of_socket(event_loop, sock, protocol, waiter, extra, None)?;
        let peer = base.known(py).get_item(intern!(py, "peername"))?;
        let datagram = Self {
            family: AddressFamily::from_raw(family),
            address,
            connected: peer.is_some_and(|peer| peer.is_truthy().unwrap_or(false)),
            last_peer: LastPeer::default(),
            state: AttachedCell::new(State::default()),
        };
        Ok(PyClassInitializer::from(base).add_subclass(datagram))
    }

    /// Whether sockets of an address family can be had here; of others, asyncio's own transport
    /// takes care.
    #[staticmethod]
    fn _supports(family: u16) -> bool {
        address::is_known(AddressFamily::from_raw(family))
    }

    /// Has the new transport known to its loop, and `connection_made` called in the next turn.
    /// The arguments have been seen by `__new__`.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        lifetime::begin(slf)
    }

    /// Sends one datagram, without blocking: what the kernel does not take now waits. See
    /// asyncio's `DatagramTransport.sendto()`.
    ///
    /// Raises TypeError for what is no bytes-like object; ValueError for another address than the
    /// endpoint's remote one. What the network refuses is told to the protocol's
    /// `error_received`.
    #[pyo3(signature = (data, addr=None))]
    fn sendto(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        addr: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let base = base(slf);
        let known = data.is_instance_of::<PyBytes>()
            || data.is_instance_of::<PyByteArray>()
            || data.is_instance_of::<PyMemoryView>();
        if !known {
            let name = data.get_type().name()?.repr()?;
            let message = format!("data argument must be a bytes-like object, not {name}");
            return Err(PyTypeError::new_err(message));
        }
        if cfg!(not(Py_3_13)) && data.len()? == 0 {
            return Ok(()); // asyncio's way then
        }
        let to = this.destination(py, addr)?;
        let (lost, gone) = base.with(py, |life| (life.connection_lost > 0, life.owner.is_none()));
        if lost && (gone || this.address.is_some()) {
            lifetime::is_late_write(base, py)?;
            return Ok(());
        }
        let data = match Piece::of(data) {
            Ok(data) => data,
            Err(error) => return Self::send_failed(slf, error),
        };
        let datagram = Datagram { data, to: to.map(Bound::unbind) };
        if this.state.with(py, |state| state.waiting.is_empty()) {
            match Self::send(slf, &datagram) {
                Ok(true) => return Ok(()),
                Ok(false) if lost => return Ok(()),
                Ok(false) => {
                    watch(slf, Direction::Write)?;
                    base.with(py, |life| life.writing = true);
                }
                Err(error) => return Self::send_failed(slf, error),
            }
        }
        this.state.with(py, |state| {
            state.unsent += datagram.size(py);
            state.waiting.push_back(datagram);
        });
        flow_control::maybe_pause_protocol(slf)
    }

    /// Stops reading, sends what waits, then closes. See asyncio's `BaseTransport.close()`.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        if base.with(py, |life| std::mem::replace(&mut life.closing, true)) {
            return Ok(());
        }
        unwatch(slf, Direction::Read)?;
        if slf.get().state.with(py, |state| state.waiting.is_empty()) {
            unwatch(slf, Direction::Write)?;
            lifetime::lose(slf, None)?;
        }
        Ok(())
    }

    /// Closes at once: what waits is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::force_close(slf, None)
    }

    /// Stops calling the protocol with datagrams, until `resume_reading()`.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::pause_reading(slf)
    }

    /// Undoes `pause_reading()`.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::resume_reading(slf).map(drop)
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
        flow_control::maybe_pause_protocol(slf)
    }

    /// The marks, in bytes: ``(low, high)``.
    fn get_write_buffer_limits<'py>(slf: &Bound<'py, Self>) -> PyResult<Limits<'py>> {
        flow_control::limits(slf)
    }

    /// How many bytes wait to be sent, and since Python 3.13 eight for each datagram.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.unsent(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        base(slf).socket_repr(slf.py(), "DatagramTransport", slf.get().unsent(slf.py()))
    }

    fn is_reading(slf: &Bound<'_, Self>) -> bool {
        base(slf).is_reading(slf.py())
    }

    #[getter(_sock)]
    fn sock<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        base(slf).owner(slf.py())
    }

    #[getter(_sock_fd)]
    fn sock_fd(slf: &Bound<'_, Self>) -> RawFd {
        base(slf).descriptor.number()
    }

    /// Closes a transport that was forgotten; its finalizer has warned of it.
    fn _abandon(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::abandon(slf)
    }

    /// Answers the class of asyncio's own datagram transports, so that `isinstance` does.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        Ok(imported::datagram_transport_class(slf.py())?.clone())
    }

    #[getter(_address)]
    fn remote_address<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.address.as_ref().map(|address| address.bind(py).clone())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.address)?;
        let visited = self
            .state
            .visit(|state| state.waiting.iter().try_for_each(|datagram| visit.call(&datagram.to)));
        visited.unwrap_or(Ok(()))
    }
}

impl DatagramTransport {
    /// Receives one datagram and passes it on.
    fn receive(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        let mut buffer = base.core().take_receive_buffer(py);
        let received = base.descriptor.recv_from(buffer.room());
        let received = received.map(|(data, from)| (PyBytes::new(py, data), from));
        base.core().put_receive_buffer(py, buffer);
        let (callback, arguments) = match received {
            Ok((data, from)) => {
                let peers = &slf.get().last_peer;
                // Of a sender without a name the kernel says nothing.
                let from = from.map(|from| peers.object_of(py, from)).transpose()?.flatten();
                (intern!(py, "datagram_received"), (data, from).into_pyobject(py)?)
            }
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(errno) => {
                let error = errno_error(py, errno);
                (intern!(py, "error_received"), (error.into_value(py),).into_pyobject(py)?)
            }
        };
        let Some(protocol) = base.protocol(py) else { return Ok(()) };
        match protocol.call_method1(callback, arguments.clone()) {
            Ok(_) => Ok(()),
            Err(error) => {
                let callback = protocol.getattr(callback).unwrap_or(protocol);
                lifetime::callback_failed(base, &callback, arguments, error)
            }
        }
    }

    /// Where a datagram goes that was given `addr`.
    ///
    /// # Errors
    /// `ValueError` if that is not the endpoint's own remote address.
    fn destination<'py>(
        &self,
        py: Python<'py>,
        addr: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(remote) = &self.address else { return Ok(addr) };
        let remote = remote.bind(py);
        if let Some(addr) = addr
            && !addr.is(remote)
            && !addr.eq(remote)?
        {
            let message = format!("Invalid address: must be None or {}", remote.str()?);
            return Err(PyValueError::new_err(message));
        }
        Ok(Some(remote.clone()))
    }

    /// Sends a datagram; `false` if the kernel takes none now.
    ///
    /// # Errors
    /// `OSError` if the network refuses it; others if it has no address, or an impossible one.
    fn send(slf: &Bound<'_, Self>, datagram: &Datagram) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let base = base(slf);
        let data = datagram.data.as_slice(py);
        let to = datagram.to.as_ref().map(|to| to.bind(py));
        let sent = if this.connected {
            base.descriptor.send(&[IoSlice::new(data)])
        } else if let Some(to) = to.and_then(|to| this.last_peer.address_of(this.family, to)) {
            base.descriptor.send_to(data, &to)
        } else {
            // Python's own socket resolves names, and says what is wrong with what is none.
            let Some(sock) = base.owner(py) else { return Ok(true) };
            let data = PyBytes::new(py, data);
            let sent = sock.call_method1(intern!(py, "sendto"), (data, to));
            return match sent {
                Ok(_) => Ok(true),
                Err(error) if would_block(py, &error) => Ok(false),
                Err(error) => Err(error),
            };
        };
        match sent {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno_error(py, errno)),
        }
    }

    /// Sends what waits, as far as the kernel takes it.
    fn send_waiting(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let base = base(slf);
        loop {
            let next = this.state.with(py, |state| {
                let next = state.waiting.pop_front()?;
                state.unsent -= next.size(py);
                Some(next)
            });
            let Some(datagram) = next else { break };
            match Self::send(slf, &datagram) {
                Ok(true) => {}
                Ok(false) => {
                    this.state.with(py, |state| {
                        state.unsent += datagram.size(py);
                        state.waiting.push_front(datagram);
                    });
                    break;
                }
                Err(error) => return Self::send_failed(slf, error),
            }
        }
        // May send more.
        flow_control::maybe_resume_protocol(slf)?;
        let empty = this.state.with(py, |state| state.waiting.is_empty());
        if empty && base.with(py, |life| std::mem::take(&mut life.writing)) {
            unwatch(slf, Direction::Write)?;
            if base.with(py, |life| life.closing) {
                lifetime::lose(slf, None)?;
            }
        }
        Ok(())
    }

    /// The network's refusal is told to the protocol; anything else is fatal.
    #[cold]
    fn send_failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        if ends_the_run(py, &error) {
            return Err(error);
        }
        if !error.is_instance_of::<PyOSError>(py) {
            return lifetime::fatal_error(slf, error, "Fatal write error on datagram transport");
        }
        let Some(protocol) = base(slf).protocol(py) else { return Ok(()) };
        protocol.call_method1(intern!(py, "error_received"), (error.into_value(py),)).map(drop)
    }
}
