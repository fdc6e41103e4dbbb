//! Which of a process's interpreters this is.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Refuses to go on in a subinterpreter.
///
/// What is kept in Rust statics belongs to one interpreter. CPython refuses to load the module in
/// isolated subinterpreters by itself; in those that share the main one's GIL it would not.
///
/// # Errors
/// `ImportError`, in CPython's words.
pub(crate) fn refuse_subinterpreters(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // SAFETY: the thread is attached, so there is a current interpreter; the main one lives as
    // long as the process runs Python. The pointers are compared, not followed.
    let is_main = unsafe { ffi::PyInterpreterState_Get() == ffi::PyInterpreterState_Main() };
    if is_main {
        return Ok(());
    }
    let name = module.name()?;
    let message = format!("module {name} does not support loading in subinterpreters");
    Err(PyImportError::new_err(message))
}
