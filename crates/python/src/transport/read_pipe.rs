//! `ReadPipeTransport`: the reading end of a pipe and the protocol that is told what comes out.
//!
//! What asyncio's `_UnixReadPipeTransport` does, in which order and with which messages, is the
//! specification.

use std::os::fd::RawFd;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use rondel_engine::Direction;
use rustix::io::Errno;

use super::base::{BaseTransport, Step, Transport, base};
use super::lifetime;
use super::receive::{Received, Receiver};
use crate::callback::Callback;
use crate::errors::errno_error;
use crate::event_loop::LoopCore;
use crate::ffi::context;
use crate::imported;

/// What a pipe holds, unless somebody has made it larger; memory for more is wasted on most.
const READ_SIZE: usize = 64 * 1024;

/// A transport of the reading end of a pipe; `asyncio.ReadTransport` by interface and by
/// `isinstance`.
#[pyclass(extends = BaseTransport, subclass, frozen, module = "rondel._rondel")]
pub(crate) struct ReadPipeTransport {
    receiver: Receiver,
}

impl Transport for ReadPipeTransport {
    fn callback(step: Step, transport: Py<Self>) -> Callback {
        match step {
            Step::Start => Callback::ReadPipeStart(transport),
            Step::Read => Callback::ReadPipeRead(transport),
            Step::Write => Callback::ReadPipeWrite(transport),
            Step::Lost => Callback::ReadPipeLost(transport),
        }
    }

    fn read_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let base = base(slf);
        if !base.is_reading(slf.py()) {
            return Ok(());
        }
        context::run_in(&base.context(slf.py()), || Self::receive(slf))
    }

    fn write_ready(_slf: &Bound<'_, Self>) -> PyResult<()> {
        Ok(())
    }

    fn unsent(&self, _py: Python<'_>) -> usize {
        0
    }

    fn drop_unsent(_slf: &Bound<'_, Self>) {}

    fn release(_slf: &Bound<'_, Self>) -> PyResult<()> {
        Ok(())
    }
}

#[pymethods]
impl ReadPipeTransport {
    #[new]
    #[pyo3(signature = (event_loop, pipe, protocol, waiter=None, extra=None))]
    fn new<'py>(
        event_loop: &Bound<'py, LoopCore>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let refusal = "Pipe transport is for pipes/sockets only.";
        let (base, _) = BaseTransport::of_pipe(event_loop, pipe, protocol, waiter, extra, refusal)?;
        let reading = Self { receiver: Receiver::default() };
        Ok(PyClassInitializer::from(base).add_subclass(reading))
    }

    /// Has `connection_made` called in the next turn. The arguments have been seen by `__new__`.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        lifetime::begin_unknown(slf)
    }

    fn is_reading(slf: &Bound<'_, Self>) -> bool {
        base(slf).is_reading(slf.py())
    }

    /// Stops calling the protocol with data, until `resume_reading()`.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::pause_reading(slf)
    }

    /// Undoes `pause_reading()`.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::resume_reading(slf).map(drop)
    }

    /// Stops reading and closes the pipe. See asyncio's `BaseTransport.close()`.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::force_close(slf, None)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let py = slf.py();
        let state = pipe_state(slf, Direction::Read);
        format!("{} {state}>", base(slf).begin_repr(py, "ReadPipeTransport"))
    }

    #[getter(_pipe)]
    fn pipe<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        base(slf).owner(slf.py())
    }

    /// Tests of asyncio's take the pipe away from a transport whose loop is closed.
    #[setter(_pipe)]
    fn set_pipe(slf: &Bound<'_, Self>, pipe: Option<Py<PyAny>>) {
        base(slf).set_owner(slf.py(), pipe);
    }

    #[getter(_fileno)]
    fn fileno(slf: &Bound<'_, Self>) -> RawFd {
        base(slf).descriptor.number()
    }

    /// Closes a transport that was forgotten; its finalizer has warned of it.
    fn _abandon(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::abandon(slf)
    }

    /// Answers the class of asyncio's own transports, so that `isinstance` does.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        Ok(imported::read_pipe_transport_class(slf.py())?.clone())
    }
}

impl ReadPipeTransport {
    fn receive(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        let reader = &slf.get().receiver;
        match reader.receive(py, base.core(), READ_SIZE, |room| base.descriptor.read(room))? {
            Received::Data(data) => {
                let Some(protocol) = base.protocol(py) else { return Ok(()) };
                let name = intern!(py, "data_received");
                let arguments = (data,).into_pyobject(py)?;
                match protocol.call_method1(name, arguments.clone()) {
                    Ok(_) => Ok(()),
                    // Not fatal, as it is not in asyncio, unlike with sockets.
                    Err(error) => {
                        let callback = protocol.getattr(name).unwrap_or(protocol);
                        lifetime::callback_failed(base, &callback, arguments, error)
                    }
                }
            }
            Received::End => Self::end(slf),
            Received::Blocked => Ok(()),
            Received::Failed(errno) => Self::failed(slf, errno),
        }
    }

    /// Nobody can write any more: `eof_received` and `connection_lost` follow.
    fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        closed_by_peer(slf)?;
        let told = base.protocol(py).map_or(Ok(()), |protocol| {
            let ended = protocol.getattr(intern!(py, "eof_received"))?;
            base.event_loop.bind(py).call_method1(intern!(py, "call_soon"), (ended,)).map(drop)
        });
        lifetime::force_close(slf, None)?;
        told
    }

    /// Reports an error that ends the reading, and ends it. Of a terminal whose other end is
    /// closed, `EIO` is the end, and is not reported.
    #[cold]
    fn failed(slf: &Bound<'_, Self>, errno: Errno) -> PyResult<()> {
        let py = slf.py();
        let error = errno_error(py, errno);
        let message = "Fatal read error on pipe transport";
        if errno == Errno::IO {
            return lifetime::fatal_error(slf, error, message);
        }
        let reported = lifetime::report(slf, error.clone_ref(py), message);
        lifetime::force_close(slf, Some(error))?;
        reported
    }
}

/// What asyncio calls the state of a pipe: whether it is watched, while there is a loop to tell.
pub(super) fn pipe_state<T: Transport>(slf: &Bound<'_, T>, direction: Direction) -> &'static str {
    let base = base(slf);
    match (base.polls(slf.py(), direction), base.owner(slf.py())) {
        (Some(state), _) => state,
        (None, Some(_)) => "open",
        (None, None) => "closed",
    }
}

/// Notes in debug mode that the other end is closed.
pub(super) fn closed_by_peer<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let py = slf.py();
    if base(slf).core().is_debug() {
        let message = "%r was closed by peer";
        imported::logger(py)?.call_method1(intern!(py, "info"), (message, slf))?;
    }
    Ok(())
}
