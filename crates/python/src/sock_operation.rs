//! What can be done with a socket without blocking, as `socket.socket` does it: its results, its
//! errors.

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::{PyBytes, PyMemoryView, PySlice, PyTuple};
use pyo3::{IntoPyObjectExt, PyVisit};
use rondel_engine::Direction;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny};

use crate::errors::errno_error;
use crate::ffi::buffer::{Buffer, lend};
use crate::ffi::bytes::bytes_filled_by;
use crate::ffi::descriptor::HeldDescriptor;
use crate::imported;
use crate::transport::address;

/// One operation, which may have to be tried several times.
pub(crate) enum Operation {
    Receive(usize),
    ReceiveInto(Py<PyAny>),
    ReceiveFrom(usize),
    ReceiveFromInto(Py<PyAny>, usize),
    SendAll {
        data: Py<PyAny>,
        sent: AtomicUsize,
    },
    SendTo {
        data: Py<PyAny>,
        address: Py<PyAny>,
    },
    Accept,
    /// The socket object's own method that receives; of sockets of another class, which may do it
    /// in their own way, and with arguments about which it knows best.
    Method(&'static str, Py<PyTuple>),
}

/// `None` if it would block.
type Attempt<'py> = PyResult<Option<Bound<'py, PyAny>>>;

impl Operation {
    pub(crate) fn direction(&self) -> Direction {
        match self {
            Self::SendAll { .. } | Self::SendTo { .. } => Direction::Write,
            _ => Direction::Read,
        }
    }

    /// As it is to be kept while it waits: memory that is to be sent is not resized meanwhile.
    pub(crate) fn for_later(self, py: Python<'_>) -> PyResult<Self> {
        match self {
            Self::SendAll { data, sent } if !data.bind(py).is_exact_instance_of::<PyBytes>() => {
                let data = PyMemoryView::from(data.bind(py))?.into_any().unbind();
                Ok(Self::SendAll { data, sent })
            }
            other => Ok(other),
        }
    }

    /// Tries it once; `None` if it would block.
    pub(crate) fn attempt<'py>(&self, sock: &Bound<'py, PyAny>) -> Attempt<'py> {
        let py = sock.py();
        match self {
            Self::Receive(0) => Ok(Some(PyBytes::new(py, b"").into_any())),
            Self::Receive(size) => {
                let socket = native(sock)?;
                let receive = |room: &mut [_]| socket.recv(room).map(|received| received.len());
                let data = unless_blocked(py, bytes_filled_by(py, *size, receive)?)?;
                Ok(data.map(Bound::into_any))
            }
            Self::ReceiveInto(memory) => {
                let Ok(mut buffer) = Buffer::write(memory.bind(py)) else {
                    return method(sock, "recv_into", (memory,));
                };
                if buffer.len() == 0 {
                    return Ok(Some(0.into_bound_py_any(py)?));
                }
                let received = native(sock)?.recv(buffer.room()).map(|received| received.len());
                unless_blocked(py, received)?.map(|len| len.into_bound_py_any(py)).transpose()
            }
            Self::ReceiveFrom(size) => {
                let socket = native(sock)?;
                let mut from = None;
                let received = bytes_filled_by(py, *size, |room| {
                    let (received, sender) = socket.recv_from(room)?;
                    from = sender;
                    Ok(received.len())
                })?;
                let Some(data) = unless_blocked(py, received)? else { return Ok(None) };
                Ok(Some((data, peer(py, from)?).into_bound_py_any(py)?))
            }
            Self::ReceiveFromInto(memory, size) => {
                let Ok(mut buffer) = Buffer::write(memory.bind(py)) else {
                    return method(sock, "recvfrom_into", (memory, size));
                };
                let Some(room) = buffer.room().get_mut(..*size) else {
                    drop(buffer);
                    return method(sock, "recvfrom_into", (memory, size));
                };
                let received = native(sock)?.recv_from(room);
                let received = received.map(|(received, from)| (received.len(), from));
                let Some((len, from)) = unless_blocked(py, received)? else { return Ok(None) };
                Ok(Some((len, peer(py, from)?).into_bound_py_any(py)?))
            }
            Self::SendAll { data, sent } => send_all(sock, data.bind(py), sent),
            Self::SendTo { data, address } => send_to(sock, data.bind(py), address.bind(py)),
            Self::Accept => {
                let accepted = method(sock, "accept", ())?;
                if let Some(accepted) = &accepted {
                    let connection = accepted.get_item(0)?;
                    connection.call_method1(intern!(py, "setblocking"), (false,))?;
                }
                Ok(accepted)
            }
            Self::Method(name, arguments) => method(sock, name, arguments.bind(py).clone()),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Receive(_) | Self::ReceiveFrom(_) | Self::Accept => Ok(()),
            Self::ReceiveInto(memory) | Self::ReceiveFromInto(memory, _) => visit.call(memory),
            Self::SendAll { data, .. } => visit.call(data),
            Self::SendTo { data, address } => visit.call(data).and_then(|()| visit.call(address)),
            Self::Method(_, arguments) => visit.call(arguments),
        }
    }
}

/// Whether it is a socket whose methods are what the kernel does.
pub(crate) fn is_plain(sock: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(sock.get_type().is(imported::socket_class(sock.py())?))
}

/// The descriptor of a socket object, for calls that are made at once.
fn native(sock: &Bound<'_, PyAny>) -> PyResult<HeldDescriptor> {
    let py = sock.py();
    let fd: RawFd = sock.call_method0(intern!(py, "fileno"))?.extract()?;
    if fd < 0 {
        return Err(errno_error(py, Errno::BADF));
    }
    Ok(HeldDescriptor::new(fd))
}

fn unless_blocked<T>(py: Python<'_>, result: Result<T, Errno>) -> PyResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno_error(py, errno)),
    }
}

/// Calls a method of the socket object.
fn method<'py>(
    sock: &Bound<'py, PyAny>,
    name: &str,
    arguments: impl PyCallArgs<'py>,
) -> Attempt<'py> {
    let py = sock.py();
    match sock.getattr(name)?.call1(arguments) {
        Ok(result) => Ok(Some(result)),
        Err(error) if would_block(py, &error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether Python's own socket would have blocked.
pub(crate) fn would_block(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py)
}

/// A sender's address; None if it has none.
fn peer(py: Python<'_>, from: Option<SocketAddrAny>) -> PyResult<Option<Bound<'_, PyAny>>> {
    match from {
        Some(from) => address::to_python(py, &from),
        None => Ok(None),
    }
}

fn send_all<'py>(
    sock: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
    sent: &AtomicUsize,
) -> Attempt<'py> {
    let py = sock.py();
    let before = sent.load(Ordering::Relaxed);
    let (len, taken) = if is_plain(sock)? {
        // What cannot be sent is the first complaint, also of a closed socket.
        let (len, taken) = lend(data, |bytes| {
            let rest = bytes.get(before..).unwrap_or_default();
            native(sock).map(|socket| (bytes.len(), socket.send(&[IoSlice::new(rest)])))
        })??;
        (len, unless_blocked(py, taken)?)
    } else {
        let view = PyMemoryView::from(data)?;
        let len = view.getattr(intern!(py, "nbytes"))?.extract()?;
        let rest = PySlice::new(py, before.cast_signed(), isize::MAX, 1);
        let rest = view.call_method1(intern!(py, "cast"), ("B",))?.get_item(rest)?;
        (len, method(sock, "send", (rest,))?.map(|taken| taken.extract()).transpose()?)
    };
    let sent_by_now = before + taken.unwrap_or(0);
    sent.store(sent_by_now, Ordering::Relaxed);
    Ok((sent_by_now >= len).then(|| py.None().into_bound(py)))
}

fn send_to<'py>(
    sock: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
    to: &Bound<'py, PyAny>,
) -> Attempt<'py> {
    let py = sock.py();
    if is_plain(sock)? {
        let family: u16 = imported::socket_family(py)?.call1((sock,))?.extract()?;
        let family = AddressFamily::from_raw(family);
        if let Some(to) = address::from_python(family, to) {
            let socket = native(sock)?;
            let sent = lend(data, |bytes| socket.send_to(bytes, &to))?;
            return unless_blocked(py, sent)?.map(|sent| sent.into_bound_py_any(py)).transpose();
        }
    }
    method(sock, "sendto", (data, to))
}
