//! Writing. What callbacks write during a turn leaves together when their batch has run: a
//! response written as headers and then body is one segment and one system call.
//!
//! What must not wait does not: a large amount goes out at once (of many transports together, when
//! the callback returns), and so does everything when somebody closes, half-closes, aborts, or asks
//! how much is waiting. What the kernel does not take waits for the socket to become writable.

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView};
use rondel_engine::Direction;
use rustix::io::Errno;

use super::base::{Transport, base, unwatch, watch};
use super::flow_control;
use super::lifetime;
use super::outgoing::{Piece, Sent};
use super::stream::StreamTransport;
use crate::errors::errno_error;
use crate::ffi::context;
use crate::imported;

/// Unsent data beyond this goes out at once: the system call is then small beside the copying,
/// and the peer can begin.
const SEND_AT_ONCE: usize = 64 * 1024;

/// What `write` takes, in asyncio's words.
const WRITABLE: &str =
    if cfg!(Py_3_14) { "bytes, bytearray, or memoryview object" } else { "bytes-like object" };

const WRITE_FAILED: &str = "Fatal write error on socket transport";

#[pymethods]
impl StreamTransport {
    /// Sends bytes, without blocking: what cannot be sent now is buffered.
    ///
    /// Raises TypeError for what is no bytes-like object; RuntimeError after `write_eof()`.
    pub(crate) fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let known = data.is_instance_of::<PyBytes>()
            || data.is_instance_of::<PyByteArray>()
            || data.is_instance_of::<PyMemoryView>();
        if !known {
            let name = data.get_type().name()?.repr()?;
            let message = format!("data argument must be a {WRITABLE}, not {name}");
            return Err(PyTypeError::new_err(message));
        }
        let this = slf.get();
        let py = slf.py();
        this.refuse_write(py, "write", "unable to write; sendfile is in progress")?;
        if data.len()? == 0 || lifetime::is_late_write(base(slf), py)? {
            return Ok(());
        }
        match Piece::of(data) {
            Ok(piece) => {
                let len = this.with(py, |state| state.outgoing.push(py, piece));
                Self::written(slf, len)
            }
            // Memory that is no row of bytes fails like a send, as in asyncio, which tries.
            Err(error) => lifetime::fatal_error(slf, error, WRITE_FAILED),
        }
    }

    /// Sends each of `list_of_data`, together.
    ///
    /// Raises TypeError for what has no buffer; RuntimeError after `write_eof()`.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let busy = "unable to writelines; sendfile is in progress";
        let refused = this.refuse_write(py, "writelines", busy);
        if cfg!(not(Py_3_12))
            && (refused.is_err() || !list_of_data.is_exact_instance_of::<PyList>())
        {
            // asyncio joined first, and looked at the rest then.
            let join = intern!(py, "join");
            let all = PyBytes::new(py, b"").call_method1(join, (list_of_data,))?;
            return Self::write(slf, &all);
        }
        refused?;
        if !list_of_data.is_truthy()? {
            return Ok(());
        }
        let mut pieces = Vec::new();
        for data in list_of_data.try_iter()? {
            let data = data?;
            if cfg!(Py_3_14) && !data.is_truthy()? {
                // asyncio passes over what is empty before it looks at what it is.
                continue;
            }
            // A memoryview says what is wrong with what is not bytes.
            let checked = if data.is_instance_of::<PyBytes>() {
                data
            } else {
                PyMemoryView::from(&data)?.into_any()
            };
            pieces.push(Piece::of(&checked)?);
        }
        if lifetime::is_late_write(base(slf), py)? {
            return Ok(());
        }
        let len = this
            .with(py, |state| pieces.into_iter().map(|piece| state.outgoing.push(py, piece)).sum());
        Self::written(slf, len)
    }

    /// Ends the sending half when everything written is sent; reading goes on.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let base = base(slf);
        if base.with(py, |life| life.closing) || this.with(py, |state| state.eof) {
            return Ok(());
        }
        Self::flush(slf)?;
        let empty = this.with(py, |state| {
            state.eof = true;
            state.outgoing.is_empty()
        });
        if empty && base.with(py, |life| life.connection_lost == 0) {
            base.descriptor.shutdown_write().map_err(|errno| errno_error(py, errno))?;
        }
        Ok(())
    }

    fn can_write_eof(&self) -> bool {
        true
    }

    /// How many bytes the kernel has not taken yet.
    fn get_write_buffer_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Self::flush(slf)?;
        Ok(slf.get().with(slf.py(), |state| state.outgoing.len()))
    }

    /// A future that is done when everything is sent; writes are refused until
    /// `_reset_empty_waiter()`. For asyncio's own `loop.sendfile()`.
    fn _make_empty_waiter<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| state.empty_waiter.is_some()) {
            return Err(PyRuntimeError::new_err("Empty waiter is already set"));
        }
        Self::flush(slf)?;
        let base = base(slf);
        let future = base.event_loop.bind(py).call_method0(intern!(py, "create_future"))?;
        let empty = this.with(py, |state| {
            state.empty_waiter = Some(future.clone().unbind());
            state.outgoing.is_empty()
        });
        // Of a connection that is lost, the end is what is reported.
        if empty && base.with(py, |life| life.connection_lost == 0) {
            future.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(future)
    }

    fn _reset_empty_waiter(&self, py: Python<'_>) {
        drop(self.with(py, |state| state.empty_waiter.take()));
    }

    /// The kernel's own file-to-socket copy is tried first (asyncio's `_SendfileMode`).
    #[getter]
    fn _sendfile_compatible<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        imported::sendfile_mode(py)?.getattr(intern!(py, "TRY_NATIVE"))
    }
}

impl StreamTransport {
    fn refuse_write(&self, py: Python<'_>, method: &str, busy: &'static str) -> PyResult<()> {
        let (eof, waits) = self.with(py, |state| (state.eof, state.empty_waiter.is_some()));
        if eof {
            let message = format!("Cannot call {method}() after write_eof()");
            return Err(PyRuntimeError::new_err(message));
        }
        if waits { Err(PyRuntimeError::new_err(busy)) } else { Ok(()) }
    }

    /// So many bytes were appended: sends them now, or at the end of the batch.
    fn written(slf: &Bound<'_, Self>, len: usize) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let base = base(slf);
        let (writing, high) = base.with(py, |life| (life.writing, life.marks.high()));
        if !writing {
            let (due, unsent) = this.with(py, |state| (state.flush_is_due, state.outgoing.len()));
            if unsent > SEND_AT_ONCE.min(high) || !base.core().is_running_now() {
                Self::flush(slf)?;
            } else {
                base.core().count_unflushed(len);
                if !due {
                    this.with(py, |state| state.flush_is_due = true);
                    base.core().flush_later(py, slf.clone().unbind());
                }
            }
        }
        flow_control::maybe_pause_protocol(slf)
    }

    /// Sends what was written, unless the socket is known to take no more.
    pub(crate) fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let base = base(slf);
        let empty = this.with(py, |state| {
            state.flush_is_due = false;
            state.outgoing.is_empty()
        });
        if empty || base.with(py, |life| life.writing || life.connection_lost > 0) {
            return Ok(());
        }
        match this.with(py, |state| state.outgoing.send(py, |pieces| base.descriptor.send(pieces)))
        {
            Ok(Sent::All) => Ok(()),
            Ok(Sent::Some) => match watch(slf, Direction::Write) {
                Ok(()) => {
                    base.with(py, |life| life.writing = true);
                    Ok(())
                }
                Err(error) => {
                    lifetime::fatal_error(slf, error, "Fatal write error on socket transport")
                }
            },
            Err(errno) => Self::write_failed(slf, errno),
        }
    }

    /// The socket is writable again.
    pub(super) fn send_more(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        if base.with(py, |life| !life.writing || life.connection_lost > 0) {
            return Ok(());
        }
        context::run_in(&base.context(py), || {
            let sent = match slf
                .get()
                .with(py, |state| state.outgoing.send(py, |pieces| base.descriptor.send(pieces)))
            {
                Ok(sent) => sent,
                Err(errno) => return Self::write_failed(slf, errno),
            };
            // May write more.
            flow_control::maybe_resume_protocol(slf)?;
            let writing = base.with(py, |life| life.writing);
            if sent == Sent::All && writing && slf.get().unsent(py) == 0 {
                Self::all_sent(slf)?;
            }
            Ok(())
        })
    }

    /// Nothing is left: does what waited for that.
    fn all_sent(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        unwatch(slf, Direction::Write)?;
        let closing = base.with(py, |life| {
            life.writing = false;
            life.closing
        });
        let (waiter, eof) = slf.get().with(py, |state| (state.empty_waiter.clone(), state.eof));
        if let Some(waiter) = waiter {
            let waiter = waiter.into_bound(py);
            if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
                waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
            }
        }
        if closing {
            lifetime::lose(slf, None)
        } else if eof {
            base.descriptor.shutdown_write().map_err(|errno| errno_error(py, errno))
        } else {
            Ok(())
        }
    }

    #[cold]
    fn write_failed(slf: &Bound<'_, Self>, errno: Errno) -> PyResult<()> {
        let py = slf.py();
        let error = errno_error(py, errno);
        let waiter = slf.get().with(py, |state| state.empty_waiter.clone());
        let value = error.value(py).clone();
        lifetime::fatal_error(slf, error, WRITE_FAILED)?;
        if let Some(waiter) = waiter {
            let waiter = waiter.into_bound(py);
            if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
                waiter.call_method1(intern!(py, "set_exception"), (value,))?;
            }
        }
        Ok(())
    }
}
