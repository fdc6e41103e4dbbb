//! A bytes object that the kernel fills before anybody sees it.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

unsafe extern "C" {
    /// Exported by every CPython, and what CPython's own `socket.recv` ends with; PyO3 does not
    /// bind it.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

/// Makes a bytes object of at most `capacity` bytes, of which `fill` says how many it wrote.
///
/// The memory is not cleared first: `fill` gets it uninitialised, and must have initialised as
/// many bytes as it says.
///
/// # Errors
/// `MemoryError`; or the error of `fill`, given back as it is.
pub(crate) fn bytes_filled_by<'py, E>(
    py: Python<'py>,
    capacity: usize,
    fill: impl FnOnce(&mut [std::mem::MaybeUninit<u8>]) -> Result<usize, E>,
) -> PyResult<Result<Bound<'py, PyBytes>, E>> {
    let size = ffi::Py_ssize_t::try_from(capacity)?;
    // SAFETY: a null pointer asks for an uninitialised object, whose content may be written as
    // long as this is the only reference to it.
    let object: Bound<'py, PyAny> = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))?
    };
    // SAFETY: the object is a bytes object with room for `capacity` bytes, referenced only here;
    // MaybeUninit allows its content to be uninitialised.
    let room = unsafe {
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<std::mem::MaybeUninit<u8>>();
        std::slice::from_raw_parts_mut(start, capacity)
    };
    let filled = match fill(room) {
        Ok(filled) => filled.min(capacity),
        Err(error) => return Ok(Err(error)),
    };
    let mut object = object.into_ptr();
    // SAFETY: the one reference to the object is handed over; on success it comes back, perhaps
    // moved, on failure it is gone, null stands in its place and an error is set.
    unsafe {
        _PyBytes_Resize(&raw mut object, ffi::Py_ssize_t::try_from(filled)?);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        Ok(Ok(object.cast_into_unchecked()))
    }
}
