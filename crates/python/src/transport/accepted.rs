//! An accepted connection before anybody has asked for its socket object. Most protocols never do,
//! and the object costs as much time as the rest of what Python does for a connection.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::address;
use crate::ffi::cell::AttachedCell;
use crate::ffi::descriptor::HeldDescriptor;
use crate::imported;

enum State {
    Open(OwnedFd),
    /// A socket object has the descriptor now.
    Taken,
    /// With the connection's own address, if the kernel told it.
    Closed(Option<Box<SocketAddr>>),
}

/// An address by IP, no larger than most are.
enum Peer {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

/// Stands for the socket object of an accepted TCP connection, as what owns its descriptor.
#[pyclass(frozen, module = "rondel._rondel")]
pub(super) struct AcceptedSocket {
    /// Family, type and protocol, as `socket.socket()` takes them: the listener's.
    kind: Py<PyTuple>,
    peer: Peer,
    state: AttachedCell<State>,
}

#[pymethods]
impl AcceptedSocket {
    /// Closes the connection, whose addresses stay known.
    fn close(&self, py: Python<'_>) {
        let open = self.state.with(py, |state| match std::mem::replace(state, State::Taken) {
            State::Open(descriptor) => {
                let held = HeldDescriptor::new(descriptor.as_raw_fd());
                *state = State::Closed(held.local_address().map(Box::new));
                Some(descriptor)
            }
            other => {
                *state = other;
                None
            }
        });
        drop(open);
    }
}

impl AcceptedSocket {
    pub(super) fn new(descriptor: OwnedFd, peer: SocketAddr, kind: Py<PyTuple>) -> Self {
        let peer = match peer {
            SocketAddr::V4(peer) => Peer::V4(peer),
            SocketAddr::V6(peer) => Peer::V6(Box::new(peer)),
        };
        Self { kind, peer, state: AttachedCell::new(State::Open(descriptor)) }
    }

    /// The descriptor's number; -1 if it is closed, or somebody else's.
    pub(super) fn number(&self, py: Python<'_>) -> RawFd {
        self.state.with(py, |state| match state {
            State::Open(descriptor) => descriptor.as_raw_fd(),
            State::Taken | State::Closed(_) => -1,
        })
    }

    /// The peer's address as Python writes it.
    pub(super) fn peer_name<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let peer = match &self.peer {
            Peer::V4(peer) => SocketAddr::V4(*peer),
            Peer::V6(peer) => SocketAddr::V6(**peer),
        };
        address::to_python(py, &peer.into())
    }

    /// The connection's own address as Python writes it, once it is closed.
    pub(super) fn last_name<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let local = self.state.with(py, |state| match state {
            State::Closed(local) => local.as_deref().copied(),
            State::Open(_) | State::Taken => None,
        });
        local.map(|local| address::to_python(py, &local.into())).transpose().map(Option::flatten)
    }

    /// The socket object, which owns the descriptor from now on; of a closed connection a closed
    /// one.
    ///
    /// # Errors
    /// `MemoryError`, what a signal handler raises; of a closed connection `OSError` if the system
    /// is out of descriptors.
    pub(super) fn make_socket<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let kind = self.kind.bind(py);
        let open = self.state.with(py, |state| match std::mem::replace(state, State::Taken) {
            State::Open(descriptor) => Some(descriptor),
            other => {
                *state = other;
                None
            }
        });
        let Some(descriptor) = open else {
            let sock = call_class(kind, None)?;
            sock.call_method0(intern!(py, "close"))?;
            return Ok(sock);
        };
        socket_object(kind, descriptor).map_err(|(error, descriptor)| {
            self.state
                .with(py, |state| *state = descriptor.map_or(State::Closed(None), State::Open));
            error
        })
    }
}

/// A non-blocking socket object of that family, type and protocol, which owns the descriptor.
///
/// # Errors
/// What is raised, and the descriptor unless that is closed.
pub(super) fn socket_object<'py>(
    kind: &Bound<'py, PyTuple>,
    descriptor: OwnedFd,
) -> Result<Bound<'py, PyAny>, (PyErr, Option<OwnedFd>)> {
    let number = descriptor.as_raw_fd();
    let sock = call_class(kind, Some(number));
    // A signal handler may raise when the object has been made: it is gone then, and has closed.
    let remains = sock.is_err() && HeldDescriptor::new(number).file_type().is_ok();
    let descriptor = if remains {
        Some(descriptor)
    } else {
        let _ = descriptor.into_raw_fd();
        None
    };
    let unblocked = |sock: Bound<'py, PyAny>| {
        sock.call_method1(intern!(kind.py(), "setblocking"), (false,)).map(|_| sock)
    };
    sock.and_then(unblocked).map_err(|error| (error, descriptor))
}

fn call_class<'py>(
    kind: &Bound<'py, PyTuple>,
    descriptor: Option<RawFd>,
) -> PyResult<Bound<'py, PyAny>> {
    let (family, r#type, protocol) = (kind.get_item(0)?, kind.get_item(1)?, kind.get_item(2)?);
    imported::socket_class(kind.py())?.call1((family, r#type, protocol, descriptor))
}
