//! Sending: what is written is encrypted at once, and what is encrypted goes to the transport.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice};

use super::protocol::SslProtocol;
use super::session::Session;
use crate::imported;
use crate::transport::stream::StreamTransport;

#[pymethods]
impl SslProtocol {
    /// Sends bytes.
    fn _write_bytes(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        if data.as_bytes().is_empty() {
            return Ok(());
        }
        let session = Self::session(slf)?;
        if Self::must_wait(slf, &session)? {
            let arguments = ((data,),);
            let write = intern!(slf.py(), "_write_appdata");
            return slf.call_method1(write, arguments).map(drop);
        }
        Self::fatal_if_failed(slf, Self::encrypt_and_send(slf, &session, data))
    }

    /// Sends what is encrypted, and has the protocol pause writing, or resume it.
    fn _process_outgoing(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::process_outgoing(slf, &Self::session(slf)?)
    }
}

impl SslProtocol {
    pub(super) fn process_outgoing(slf: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        let py = slf.py();
        let takes_more = slf.get().with(py, |state| !state.ssl_writing_paused);
        if takes_more {
            let data = session.take_encrypted(py)?;
            if data.len()? > 0 {
                Self::send(slf, &data)?;
            }
        }
        // Nothing waits here then, but for what may be in the backlog.
        let nothing_changes = takes_more
            && slf.get().with(py, |s| !s.app_writing_paused && s.outgoing_high.is_above(0))
            && !session.has_backlog(py)?;
        if nothing_changes {
            return Ok(());
        }
        slf.call_method0(intern!(py, "_control_app_writing")).map(drop)
    }

    /// Whether what is written is for asyncio's own code: before the handshake, after the end, and
    /// behind what waits already.
    fn must_wait(slf: &Bound<'_, Self>, session: &Session) -> PyResult<bool> {
        let py = slf.py();
        Ok(!slf.get().with(py, |state| state.is_open) || session.has_backlog(py)?)
    }

    /// Encrypts all at once; what the engine does not take waits in the backlog.
    fn encrypt_and_send(
        slf: &Bound<'_, Self>,
        session: &Session,
        data: &Bound<'_, PyBytes>,
    ) -> PyResult<()> {
        let py = slf.py();
        let len = data.as_bytes().len();
        let written = session.write(data);
        let count = written.as_ref().ok().copied().flatten().unwrap_or(0);
        if count < len {
            let rest = data.get_item(PySlice::new(py, count.cast_signed(), isize::MAX, 1))?;
            session.append_to_backlog(&rest)?;
            slf.setattr(intern!(py, "_write_buffer_size"), len - count)?;
        }
        match written? {
            Some(count) if count < len => slf.call_method0(intern!(py, "_do_write")).map(drop),
            _ => Self::process_outgoing(slf, session),
        }
    }

    fn send(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let transport = slf.get().with(py, |state| {
            state.transport.as_ref().map_or_else(|| py.None(), |it| it.clone_ref(py))
        });
        let transport = transport.bind(py);
        match transport.cast::<StreamTransport>() {
            Ok(stream) if stream.get_type().is(imported::stream_transport_class(py)?) => {
                StreamTransport::write(stream, data)
            }
            _ => transport.call_method1(intern!(py, "write"), (data,)).map(drop),
        }
    }
}
