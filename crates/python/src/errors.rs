//! System errors as Python's, in one place.

use std::io;

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyRuntimeError, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use rustix::io::Errno;

/// `OSError(errno, strerror)`, of the subclass that belongs to the number (PEP 3151).
pub(crate) fn os_error(py: Python<'_>, error: &io::Error) -> PyErr {
    let Some(errno) = error.raw_os_error() else {
        return PyOSError::new_err(error.to_string());
    };
    let built = py.import(intern!(py, "os")).and_then(|os| {
        let message = os.call_method1(intern!(py, "strerror"), (errno,))?;
        // Calling the class picks the subclass; raising it lazily would keep the base.
        py.get_type::<PyOSError>().call1((errno, message))
    });
    match built {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => failed,
    }
}

/// As [`os_error`], from what rustix returns.
pub(crate) fn errno_error(py: Python<'_>, errno: Errno) -> PyErr {
    os_error(py, &errno.into())
}

/// Whether an exception goes through everything: `SystemExit` and `KeyboardInterrupt` end a run,
/// all others are reported and the loop goes on.
pub(crate) fn ends_the_run(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// The error of every use of a closed loop.
pub(crate) fn loop_is_closed() -> PyErr {
    PyRuntimeError::new_err("Event loop is closed")
}
