//! `WritePipeTransport`: the writing end of a pipe and the protocol that is told of its end.
//!
//! Each write is offered to the kernel at once and by itself, and not at the end of the turn with
//! others: whoever shares a pipe relies on small writes not being taken apart (`pipe(7)`), and a
//! character device may take each for a message.
//!
//! What asyncio's `_UnixWritePipeTransport` does, in which order and with which messages, is the
//! specification.

use std::io::IoSlice;
use std::os::fd::RawFd;

use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyTuple, PyType};
use rondel_engine::Direction;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::base::{BaseTransport, Step, Transport, base, unwatch, watch};
use super::flow_control::{self, Limits};
use super::lifetime;
use super::outgoing::{Outgoing, Piece, Sent};
use super::read_pipe::{closed_by_peer, pipe_state};
use crate::callback::Callback;
use crate::errors::{ends_the_run, errno_error};
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::context;
use crate::imported;

/// From the fifth write after the end, each logs a warning (asyncio's constant).
const WARN_AFTER_LATE_WRITES: u32 = 5;

/// What is true of a writing transport now, beyond what is of all.
#[derive(Default)]
struct State {
    outgoing: Outgoing,
    /// Counts the writes that came too late.
    late_writes: u32,
}

/// A transport of the writing end of a pipe; `asyncio.WriteTransport` by interface and by
/// `isinstance`.
#[pyclass(extends = BaseTransport, subclass, frozen, module = "rondel._rondel")]
pub(crate) struct WritePipeTransport {
    state: AttachedCell<State>,
}

impl Transport for WritePipeTransport {
    fn callback(step: Step, transport: Py<Self>) -> Callback {
        match step {
            Step::Start => Callback::WritePipeStart(transport),
            Step::Read => Callback::WritePipeRead(transport),
            Step::Write => Callback::WritePipeWrite(transport),
            Step::Lost => Callback::WritePipeLost(transport),
        }
    }

    /// Nobody reads any more: of a pipe, nothing else can be read here.
    fn read_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        if base.with(py, |life| life.connection_lost > 0) {
            return Ok(());
        }
        context::run_in(&base.context(py), || {
            closed_by_peer(slf)?;
            let waits = slf.get().unsent(py) > 0;
            lifetime::force_close(slf, waits.then(|| PyBrokenPipeError::new_err(())))
        })
    }

    fn write_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let base = base(slf);
        if base.with(slf.py(), |life| !life.writing || life.connection_lost > 0) {
            return Ok(());
        }
        context::run_in(&base.context(slf.py()), || Self::write_more(slf))
    }

    fn unsent(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.outgoing.len())
    }

    fn drop_unsent(slf: &Bound<'_, Self>) {
        slf.get().state.with(slf.py(), |state| state.outgoing.clear());
    }

    fn release(_slf: &Bound<'_, Self>) -> PyResult<()> {
        Ok(())
    }
}

#[pymethods]
impl WritePipeTransport {
    #[new]
    #[pyo3(signature = (event_loop, pipe, protocol, waiter=None, extra=None))]
    fn new<'py>(
        event_loop: &Bound<'py, LoopCore>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let refusal = "Pipe transport is only for pipes, sockets and character devices";
        let (base, kind) =
            BaseTransport::of_pipe(event_loop, pipe, protocol, waiter, extra, refusal)?;
        if kind == FileType::CharacterDevice {
            // What can be read from a terminal is not ours, and says nothing of its other end.
            base.with(event_loop.py(), |life| life.paused = true);
        }
        let writing = Self { state: AttachedCell::default() };
        Ok(PyClassInitializer::from(base).add_subclass(writing))
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

    /// Writes bytes, without blocking: what the pipe does not take now waits.
    ///
    /// Raises AssertionError for what is no bytes, bytearray or memoryview.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let base = base(slf);
        let known = data.is_instance_of::<PyBytes>()
            || data.is_instance_of::<PyByteArray>()
            || data.is_instance_of::<PyMemoryView>();
        if !known {
            return Err(PyAssertionError::new_err(data.repr()?.unbind()));
        }
        if data.len()? == 0 || this.is_late_write(base, py)? {
            return Ok(());
        }
        let piece = match Piece::of(data) {
            Ok(piece) => piece,
            Err(error) => return Self::failed(slf, error),
        };
        let mut taken = 0;
        if this.unsent(py) == 0 {
            let bytes = piece.as_slice(py);
            match base.descriptor.write(&[IoSlice::new(bytes)]) {
                Ok(all) if all == bytes.len() => return Ok(()),
                Ok(some) => taken = some,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Self::failed(slf, errno_error(py, errno)),
            }
            watch(slf, Direction::Write)?;
            base.with(py, |life| life.writing = true);
        }
        this.state.with(py, |state| {
            state.outgoing.push(py, piece);
            state.outgoing.forget(py, taken);
        });
        flow_control::maybe_pause_protocol(slf)
    }

    /// Writes all of `list_of_data`, as one.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let all = PyBytes::new(py, b"").call_method1(intern!(py, "join"), (list_of_data,))?;
        Self::write(slf, &all)
    }

    fn can_write_eof(&self) -> bool {
        true
    }

    /// Writes what waits, then closes the pipe, which is the end that its reader sees.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        if base.with(py, |life| std::mem::replace(&mut life.closing, true)) {
            return Ok(());
        }
        // Otherwise it stays watched: the reader may go before it has read everything.
        if slf.get().unsent(py) == 0 {
            lifetime::force_close(slf, None)?;
        }
        Ok(())
    }

    /// As `write_eof()`.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::write_eof(slf)
    }

    /// Closes the pipe at once: what waits is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::force_close(slf, None)
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

    /// How many bytes the pipe has not taken yet.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.unsent(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let py = slf.py();
        let begun = base(slf).begin_repr(py, "WritePipeTransport");
        match pipe_state(slf, Direction::Write) {
            state @ ("open" | "closed") => format!("{begun} {state}>"),
            state => format!("{begun} {state} bufsize={}>", slf.get().unsent(py)),
        }
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
        Ok(imported::write_pipe_transport_class(slf.py())?.clone())
    }
}

impl WritePipeTransport {
    /// Whether the end has come already; such writes are dropped, with a warning if there are
    /// many.
    fn is_late_write(&self, base: &BaseTransport, py: Python<'_>) -> PyResult<bool> {
        let closing = base.with(py, |life| life.closing);
        let late = self.state.with(py, |state| {
            let late = state.late_writes;
            state.late_writes += u32::from(closing || late > 0);
            late
        });
        if late >= WARN_AFTER_LATE_WRITES {
            let message = "pipe closed by peer or os.write(pipe, data) raised exception.";
            imported::logger(py)?.call_method1(intern!(py, "warning"), (message,))?;
        }
        Ok(closing || late > 0)
    }

    /// The pipe has room again.
    fn write_more(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        let write = |pieces: &[IoSlice<'_>]| base.descriptor.write(pieces);
        let sent = match slf.get().state.with(py, |state| state.outgoing.send(py, write)) {
            Ok(sent) => sent,
            Err(errno) => return Self::failed(slf, errno_error(py, errno)),
        };
        if sent == Sent::All {
            unwatch(slf, Direction::Write)?;
            base.with(py, |life| life.writing = false);
        }
        // May write more.
        flow_control::maybe_resume_protocol(slf)?;
        if slf.get().unsent(py) == 0 && base.with(py, |life| life.closing) {
            lifetime::force_close(slf, None)?;
        }
        Ok(())
    }

    #[cold]
    fn failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        if ends_the_run(slf.py(), &error) {
            return Err(error);
        }
        slf.get().state.with(slf.py(), |state| state.late_writes += 1);
        lifetime::fatal_error(slf, error, "Fatal write error on pipe transport")
    }
}
