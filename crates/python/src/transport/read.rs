//! Reading: one `recv` per event, and what the protocol is told of it.

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rondel_engine::Direction;
use rustix::io::Errno;

use super::base::{base, log_in_debug, unwatch};
use super::lifetime;
use super::receive::{READ_SIZE, Received};
use super::stream::{Reading, StreamTransport};
use crate::errors::{ends_the_run, errno_error};
use crate::ffi::buffer::Buffer;
use crate::ffi::context;
use crate::tls::protocol::SslProtocol;

#[pymethods]
impl StreamTransport {
    /// Stops calling the protocol with data, until `resume_reading()`.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::pause_reading(slf)
    }

    /// Undoes `pause_reading()`.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let resumed = lifetime::resume_reading(slf)?;
        // A peer's end that was seen is reported again, as asyncio does it; a watch that nobody
        // serves would keep the loop busy.
        slf.get().with(slf.py(), |state| state.ended &= !resumed);
        Ok(())
    }
}

impl StreamTransport {
    /// The socket is readable.
    #[inline]
    pub(super) fn read(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        let (ended, reading) = slf.get().with(py, |state| (state.ended, state.reading));
        if ended || !base.is_reading(py) {
            return Ok(());
        }
        context::run_in(&base.context(py), || match reading {
            Reading::Bytes => Self::read_for_protocol(slf, Self::pass_on),
            Reading::Buffered => Self::read_into_protocol(slf),
            Reading::Tls => Self::read_for_protocol(slf, Self::pass_on_to_tls),
        })
    }

    /// Receives bytes and has them passed on.
    #[inline]
    fn read_for_protocol<'py>(
        slf: &Bound<'py, Self>,
        pass_on: impl FnOnce(&Bound<'py, Self>, &Bound<'py, PyBytes>) -> PyResult<()>,
    ) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        let reader = &slf.get().receiver;
        match reader.receive(py, base.core(), READ_SIZE, |room| base.descriptor.recv(room))? {
            Received::Data(data) => pass_on(slf, &data),
            Received::End => Self::end_of_stream(slf),
            Received::Blocked => Ok(()),
            Received::Failed(errno) => Self::read_failed(slf, errno_error(py, errno)),
        }
    }

    #[inline]
    fn pass_on(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        let name = intern!(slf.py(), "data_received");
        Self::tell(slf, "data_received", |protocol| protocol.call_method1(name, (data,)))
    }

    /// The protocol would supply memory, only to copy from it.
    fn pass_on_to_tls(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        Self::tell(slf, "buffer_updated", |protocol| {
            SslProtocol::received(protocol.cast()?, data)?;
            Ok(data.py().None().into_bound(data.py()))
        })
    }

    /// For a `BufferedProtocol`: receives into the memory that it supplies.
    fn read_into_protocol(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = base(slf);
        let Some(protocol) = base.protocol(py) else { return Ok(()) };
        let memory = protocol.call_method1(intern!(py, "get_buffer"), (-1,)).and_then(|memory| {
            if memory.len()? == 0 {
                return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
            }
            Ok(memory)
        });
        let memory = match memory {
            Ok(memory) => memory,
            Err(error) => return Self::protocol_failed(slf, error, "get_buffer"),
        };
        let Ok(mut buffer) = Buffer::write(&memory) else {
            return Self::read_failed(slf, not_writable(&memory)?);
        };
        let received = base.descriptor.recv(buffer.room()).map(|received| received.len());
        drop(buffer);
        match received {
            Ok(0) => Self::end_of_stream(slf),
            Ok(len) => {
                let name = intern!(py, "buffer_updated");
                Self::tell(slf, "buffer_updated", |protocol| protocol.call_method1(name, (len,)))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Self::read_failed(slf, errno_error(py, errno)),
        }
    }

    /// The peer sends no more: the protocol decides whether the connection stays half open.
    fn end_of_stream(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        log_in_debug(slf, "%r received EOF")?;
        let mut keep_open = false;
        Self::tell(slf, "eof_received", |protocol| {
            let answer = protocol.call_method0(intern!(py, "eof_received"))?;
            keep_open = answer.is_truthy()?;
            Ok(answer)
        })?;
        if keep_open {
            slf.get().with(py, |state| state.ended = true);
            unwatch(slf, Direction::Read)
        } else {
            slf.call_method0(intern!(py, "close")).map(drop)
        }
    }

    /// Calls the protocol; what it raises is fatal.
    #[inline]
    fn tell<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        call: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let Some(protocol) = base(slf).protocol(slf.py()) else { return Ok(()) };
        match call(&protocol) {
            Ok(_) => Ok(()),
            Err(error) => Self::protocol_failed(slf, error, name),
        }
    }

    #[cold]
    fn protocol_failed(slf: &Bound<'_, Self>, error: PyErr, name: &str) -> PyResult<()> {
        if ends_the_run(slf.py(), &error) {
            return Err(error);
        }
        lifetime::fatal_error(slf, error, &format!("Fatal error: protocol.{name}() call failed."))
    }

    #[cold]
    fn read_failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        lifetime::fatal_error(slf, error, "Fatal read error on socket transport")
    }
}

/// What `socket.recv_into` raises.
fn not_writable(memory: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let expected = "recv_into() argument 1 must be read-write bytes-like object, not ";
    let name = memory.get_type().name()?;
    Ok(PyTypeError::new_err(format!("{expected}{name}")))
}
