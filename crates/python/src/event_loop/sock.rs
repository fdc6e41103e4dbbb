//! What is behind `sock_recv()` and its kin. Each method returns its result, or a `SockCall` to await
//! if the operation would block. What they take, do and raise is asyncio's.

use std::sync::atomic::AtomicUsize;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use super::LoopCore;
use crate::sock_call::SockCall;
use crate::sock_operation::{Operation, is_plain};

type Result<'py> = PyResult<Bound<'py, PyAny>>;

#[pymethods]
impl LoopCore {
    fn _recv<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        n: &Bound<'py, PyAny>,
    ) -> Result<'py> {
        SockCall::begin(slf, sock, || match size(sock, n)? {
            Some(size) => Ok(Operation::Receive(size)),
            None => own(sock, "recv", (n,)),
        })
    }

    fn _recv_into<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        buf: &Bound<'py, PyAny>,
    ) -> Result<'py> {
        SockCall::begin(slf, sock, || {
            if is_plain(sock)? {
                Ok(Operation::ReceiveInto(buf.clone().unbind()))
            } else {
                own(sock, "recv_into", (buf,))
            }
        })
    }

    fn _recvfrom<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        bufsize: &Bound<'py, PyAny>,
    ) -> Result<'py> {
        SockCall::begin(slf, sock, || match size(sock, bufsize)? {
            Some(size) => Ok(Operation::ReceiveFrom(size)),
            None => own(sock, "recvfrom", (bufsize,)),
        })
    }

    fn _recvfrom_into<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        buf: &Bound<'py, PyAny>,
        nbytes: &Bound<'py, PyAny>,
    ) -> Result<'py> {
        SockCall::begin(slf, sock, || {
            let nbytes = if nbytes.is_truthy()? {
                nbytes.clone()
            } else {
                buf.len()?.into_pyobject(buf.py())?.into_any()
            };
            match size(sock, &nbytes)? {
                Some(size) => Ok(Operation::ReceiveFromInto(buf.clone().unbind(), size)),
                None => own(sock, "recvfrom_into", (buf, nbytes)),
            }
        })
    }

    fn _sendall<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
    ) -> Result<'py> {
        SockCall::begin(slf, sock, || {
            if !is_plain(sock)? {
                // asyncio sends first, so what is no socket fails here, whatever the data is.
                sock.getattr(intern!(sock.py(), "send"))?;
            }
            Ok(Operation::SendAll { data: data.clone().unbind(), sent: AtomicUsize::new(0) })
        })
    }

    fn _sendto<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        address: &Bound<'py, PyAny>,
    ) -> Result<'py> {
        SockCall::begin(slf, sock, || {
            let (data, address) = (data.clone().unbind(), address.clone().unbind());
            Ok(Operation::SendTo { data, address })
        })
    }

    fn _accept<'py>(slf: &Bound<'py, Self>, sock: &Bound<'py, PyAny>) -> Result<'py> {
        SockCall::begin(slf, sock, || {
            // asyncio asks first, so what is no socket fails here.
            sock.call_method0(intern!(sock.py(), "fileno"))?;
            Ok(Operation::Accept)
        })
    }
}

/// How many bytes to receive; `None` if that is for the socket object to judge.
fn size(sock: &Bound<'_, PyAny>, number: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let plain = is_plain(sock)? && number.is_exact_instance_of::<PyInt>();
    // As large as a Py_ssize_t at most; what is larger is for Python's own method to refuse.
    let number = if plain { number.extract::<isize>().ok() } else { None };
    Ok(number.and_then(|number| usize::try_from(number).ok()))
}

/// The operation that is a method of the socket object.
fn own<'py>(
    sock: &Bound<'py, PyAny>,
    name: &'static str,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyResult<Operation> {
    Ok(Operation::Method(name, arguments.into_pyobject(sock.py())?.unbind()))
}
