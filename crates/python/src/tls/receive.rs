//! Receiving: what the engine has decrypted goes to the protocol, of all records together.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::protocol::SslProtocol;
use super::session::Session;

#[pymethods]
impl SslProtocol {
    /// Passes on what can be decrypted, unless the protocol has paused reading; sends what that
    /// calls for.
    #[pyo3(name = "_do_read")]
    pub(super) fn do_read(slf: &Bound<'_, Self>) -> PyResult<()> {
        if !slf.get().with(slf.py(), |state| state.reads) {
            return Ok(());
        }
        Self::fatal_if_failed(slf, Self::read(slf))
    }
}

impl SslProtocol {
    fn read(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let session = Self::session(slf)?;
        let (paused, buffered) =
            slf.get().with(py, |state| (state.app_reading_paused, state.buffered));
        if !paused {
            if buffered {
                slf.call_method0(intern!(py, "_do_read__buffered"))?;
            } else {
                Self::read_for_protocol(slf, &session)?;
            }
            if session.has_backlog(py)? {
                slf.call_method0(intern!(py, "_do_write"))?;
            } else {
                Self::process_outgoing(slf, &session)?;
            }
        }
        Self::control_reading(slf, &session)
    }

    /// For a `Protocol`: all there is, in one piece.
    fn read_for_protocol(slf: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        let py = slf.py();
        let mut pieces = Vec::new();
        let mut ended = false;
        while let Some(data) = session.read(py)? {
            let len = data.len()?;
            if len == 0 {
                ended = true;
                break;
            }
            pieces.push(data);
            if !session.may_have_more(py, len)? {
                break;
            }
        }
        let data = match pieces.len() {
            0 | 1 => pieces.pop(),
            _ => Some(PyBytes::new(py, b"").call_method1(intern!(py, "join"), (pieces,))?),
        };
        if let Some(data) = data {
            let protocol = slf.get().with(py, |state| {
                state.protocol.as_ref().map_or_else(|| py.None(), |it| it.clone_ref(py))
            });
            protocol.bind(py).call_method1(intern!(py, "data_received"), (data,))?;
        }
        if ended {
            slf.call_method0(intern!(py, "_call_eof_received"))?;
            slf.call_method0(intern!(py, "_start_shutdown"))?;
        }
        Ok(())
    }

    /// Has the transport read no more while too much waits to be decrypted.
    fn control_reading(slf: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        let py = slf.py();
        let unread = session.unread(py)?;
        let nothing_changes = slf
            .get()
            .with(py, |state| !state.ssl_reading_paused && state.incoming_high.is_above(unread));
        if nothing_changes {
            return Ok(());
        }
        slf.call_method0(intern!(py, "_control_ssl_reading")).map(drop)
    }
}
