//! The TLS engine of a connection: `ssl.SSLObject` between two `ssl.MemoryBIO`s.

use pyo3::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::PyBytes;

use crate::imported;

/// As many bytes as a record holds at most (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;

/// What asyncio asks for in one read, which is its `max_size`. OpenSSL is asked for a record
/// instead: Python makes room for all that is asked for.
const MOST_READ: usize = 256 * 1024;

/// The objects of asyncio's protocol that exchange data, which never change.
pub(super) struct Session {
    /// What encrypts and decrypts.
    engine: Py<PyAny>,
    /// That it is OpenSSL's own, and not of somebody's class: a read gives the whole rest of a
    /// record.
    is_openssl: bool,
    incoming: Py<PyAny>,
    outgoing: Py<PyAny>,
    /// What is written and waits for the engine; a `collections.deque`.
    backlog: Py<PyAny>,
}

impl Session {
    /// That of a protocol which asyncio's `__init__` has been through.
    ///
    /// # Errors
    /// `AttributeError` if it has not.
    pub(super) fn of(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = protocol.py();
        let object = protocol.getattr(intern!(py, "_sslobj"))?;
        // The methods of Python's own class only pass on to the object within.
        let is_openssl = reads_and_writes_as_its_own(&object)?;
        let engine = if is_openssl { object.getattr(intern!(py, "_sslobj"))? } else { object };
        Ok(Self {
            engine: engine.unbind(),
            is_openssl,
            incoming: protocol.getattr(intern!(py, "_incoming"))?.unbind(),
            outgoing: protocol.getattr(intern!(py, "_outgoing"))?.unbind(),
            backlog: protocol.getattr(intern!(py, "_write_backlog"))?.unbind(),
        })
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            engine: self.engine.clone_ref(py),
            is_openssl: self.is_openssl,
            incoming: self.incoming.clone_ref(py),
            outgoing: self.outgoing.clone_ref(py),
            backlog: self.backlog.clone_ref(py),
        }
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.engine)?;
        visit.call(&self.incoming)?;
        visit.call(&self.outgoing)?;
        visit.call(&self.backlog)
    }

    /// Takes what has been received.
    pub(super) fn feed(&self, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        let py = data.py();
        self.incoming.bind(py).call_method1(intern!(py, "write"), (data,)).map(drop)
    }

    /// How many received bytes the engine has not looked at.
    pub(super) fn unread(&self, py: Python<'_>) -> PyResult<usize> {
        self.incoming.bind(py).getattr(intern!(py, "pending"))?.extract()
    }

    /// Decrypts, of one record; nothing at the peer's orderly end, `None` if there is no whole
    /// record.
    ///
    /// # Errors
    /// `ssl.SSLError`, of what is not to be believed.
    pub(super) fn read<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let most = if self.is_openssl { RECORD } else { MOST_READ };
        if_possible(py, self.engine.bind(py).call_method1(intern!(py, "read"), (most,)))
    }

    /// Whether there may be more to read after a read that has brought `len` bytes. To ask costs a
    /// hundredth of a read that finds nothing and raises.
    pub(super) fn may_have_more(&self, py: Python<'_>, len: usize) -> PyResult<bool> {
        if !self.is_openssl || self.unread(py)? > 0 {
            return Ok(true);
        }
        // Of a record that was not read to its end, which is none that would have had room.
        Ok(len >= RECORD
            && self.engine.bind(py).call_method0(intern!(py, "pending"))?.is_truthy()?)
    }

    /// Encrypts, and says how many bytes it took: all, unless it is somebody's class; `None` while
    /// the engine waits for the peer.
    ///
    /// # Errors
    /// `ssl.SSLError`.
    pub(super) fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let py = data.py();
        let count =
            if_possible(py, self.engine.bind(py).call_method1(intern!(py, "write"), (data,)))?;
        count.map(|count| count.extract()).transpose()
    }

    /// Takes what is to be sent.
    pub(super) fn take_encrypted<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.outgoing.bind(py).call_method0(intern!(py, "read"))
    }

    pub(super) fn has_backlog(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.backlog.bind(py).len()? > 0)
    }

    pub(super) fn append_to_backlog(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        self.backlog.bind(py).call_method1(intern!(py, "append"), (data,)).map(drop)
    }
}

/// Whether the methods are those of `ssl.SSLObject`: a subclass may have others, or a tracer may
/// have put some in their place.
fn reads_and_writes_as_its_own(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let class = object.get_type();
    if !class.is_subclass(imported::ssl_object_class(py)?)? {
        return Ok(false);
    }
    for name in [intern!(py, "read"), intern!(py, "write")] {
        let globals = class.getattr(name)?.getattr_opt(intern!(py, "__globals__"))?;
        let module =
            globals.map(|globals| globals.get_item(intern!(py, "__name__"))).transpose()?;
        if !module.is_some_and(|module| module.eq(intern!(py, "ssl")).unwrap_or(false)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `None` for the errors by which the engine asks for more from the peer.
fn if_possible<'py>(
    py: Python<'py>,
    result: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.matches(py, imported::ssl_again_errors(py)?)? => Ok(None),
        Err(error) => Err(error),
    }
}
