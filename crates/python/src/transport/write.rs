//! Writing. What callbacks write during a turn leaves together when their batch has run: a
//! response written as headers and then body is one segment and one system call.
//!
//! What must not wait does not: a large amount goes out at once, and so does everything when
//! somebody closes, half-closes, aborts, or asks how much is waiting. What the kernel does not
//! take waits for the socket to become writable.

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use rondel_engine::Direction;
use rustix::io::Errno;

use super::outgoing::{Piece, Sent};
use super::stream::StreamTransport;
use crate::errors::errno_error;
use crate::ffi::context;
use crate::imported;

/// Unsent data beyond this goes out at once: the system call is then small beside the copying,
/// and the peer can begin.
const SEND_AT_ONCE: usize = 64 * 1024;

/// From the fifth write after the connection was lost, each logs a warning (asyncio's constant).
const WARN_AFTER_LATE_WRITES: u32 = 5;

#[pymethods]
impl StreamTransport {
    /// Sends bytes, without blocking: what cannot be sent now is buffered.
    ///
    /// Raises TypeError for what is no bytes-like object; RuntimeError after `write_eof()`.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let known = data.is_instance_of::<PyBytes>()
            || data.is_instance_of::<PyByteArray>()
            || data.is_instance_of::<PyMemoryView>();
        if !known {
            let message = "data argument must be a bytes-like object, not ";
            let name = data.get_type().name()?.repr()?;
            return Err(PyTypeError::new_err(format!("{message}{name}")));
        }
        let this = slf.get();
        let py = slf.py();
        this.refuse_write(py, "write", "unable to write; sendfile is in progress")?;
        if data.len()? == 0 || this.is_late_write(py)? {
            return Ok(());
        }
        let piece = Piece::of(data)?;
        this.with(py, |state| state.outgoing.push(py, piece));
        Self::written(slf)
    }

    /// Sends each of `list_of_data`, together.
    ///
    /// Raises TypeError for what has no buffer; RuntimeError after `write_eof()`.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let busy = "unable to writelines; sendfile is in progress";
        this.refuse_write(py, "writelines", busy)?;
        if !list_of_data.is_truthy()? {
            return Ok(());
        }
        let pieces = list_of_data
            .try_iter()?
            .map(|data| {
                let data = data?;
                // A memoryview says what is wrong with what is not bytes.
                let checked = if data.is_instance_of::<PyBytes>() {
                    data
                } else {
                    PyMemoryView::from(&data)?.into_any()
                };
                Piece::of(&checked)
            })
            .collect::<PyResult<Vec<_>>>()?;
        if this.is_late_write(py)? {
            return Ok(());
        }
        this.with(py, |state| pieces.into_iter().for_each(|piece| state.outgoing.push(py, piece)));
        Self::written(slf)
    }

    /// Ends the sending half when everything written is sent; reading goes on.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| state.closing || state.eof) {
            return Ok(());
        }
        Self::flush(slf)?;
        let empty = this.with(py, |state| {
            state.eof = true;
            state.outgoing.is_empty() && state.connection_lost == 0
        });
        if empty {
            this.socket.shutdown_write().map_err(|errno| errno_error(py, errno))?;
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
        let future = this.event_loop.bind(py).call_method0(intern!(py, "create_future"))?;
        let empty = this.with(py, |state| {
            state.empty_waiter = Some(future.clone().unbind());
            // Of a connection that is lost, the end is what is reported.
            state.outgoing.is_empty() && state.connection_lost == 0
        });
        if empty {
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

    /// Whether the connection is lost already; such writes are dropped, with a warning if there
    /// are many.
    fn is_late_write(&self, py: Python<'_>) -> PyResult<bool> {
        let late = self.with(py, |state| {
            let late = state.connection_lost;
            state.connection_lost += u32::from(late > 0);
            late
        });
        if late >= WARN_AFTER_LATE_WRITES {
            let message = "socket.send() raised exception.";
            imported::logger(py)?.call_method1(intern!(py, "warning"), (message,))?;
        }
        Ok(late > 0)
    }

    /// Something was appended: sends it now, or at the end of the batch.
    fn written(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (writing, due, now) = this.with(py, |state| {
            let limit = SEND_AT_ONCE.min(state.marks.high());
            (state.writing, state.flush_is_due, state.outgoing.len() > limit)
        });
        if !writing {
            if now || !this.core().is_running_now() {
                Self::flush(slf)?;
            } else if !due {
                this.with(py, |state| state.flush_is_due = true);
                this.core().flush_later(py, slf.clone().unbind());
            }
        }
        Self::maybe_pause_protocol(slf)
    }

    /// Sends what was written, unless the socket is known to take no more.
    pub(crate) fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let ready = this.with(py, |state| {
            state.flush_is_due = false;
            !state.writing && !state.outgoing.is_empty() && state.connection_lost == 0
        });
        if !ready {
            return Ok(());
        }
        match this.with(py, |state| state.outgoing.send(py, this.socket)) {
            Ok(Sent::All) => Ok(()),
            Ok(Sent::Some) => match Self::watch(slf, Direction::Write) {
                Ok(()) => {
                    this.with(py, |state| state.writing = true);
                    Ok(())
                }
                Err(error) => {
                    Self::fatal_error(slf, error, "Fatal write error on socket transport")
                }
            },
            Err(errno) => Self::write_failed(slf, errno),
        }
    }

    /// The socket is writable again.
    pub(crate) fn write_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| !state.writing || state.connection_lost > 0) {
            return Ok(());
        }
        context::run_in(&this.context(py), || Self::send_more(slf))
    }

    fn send_more(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let sent = match this.with(py, |state| state.outgoing.send(py, this.socket)) {
            Ok(sent) => sent,
            Err(errno) => return Self::write_failed(slf, errno),
        };
        // May write more.
        Self::maybe_resume_protocol(slf)?;
        if sent == Sent::All && this.with(py, |state| state.writing && state.outgoing.is_empty()) {
            Self::all_sent(slf)?;
        }
        Ok(())
    }

    /// Nothing is left: does what waited for that.
    fn all_sent(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.unwatch(py, Direction::Write)?;
        let (waiter, closing, eof) = this.with(py, |state| {
            state.writing = false;
            (state.empty_waiter.as_ref().map(|it| it.clone_ref(py)), state.closing, state.eof)
        });
        if let Some(waiter) = waiter {
            let waiter = waiter.into_bound(py);
            if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
                waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
            }
        }
        if closing {
            Self::lose(slf, None)
        } else if eof {
            this.socket.shutdown_write().map_err(|errno| errno_error(py, errno))
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
        Self::fatal_error(slf, error, "Fatal write error on socket transport")?;
        if let Some(waiter) = waiter {
            let waiter = waiter.into_bound(py);
            if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
                waiter.call_method1(intern!(py, "set_exception"), (value,))?;
            }
        }
        Ok(())
    }
}
