//! Python's buffer protocol: memory that belongs to some object, borrowed.

use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A contiguous buffer of bytes that an object exports; released on drop.
pub(crate) struct Buffer<'py> {
    view: Box<ffi::Py_buffer>,
    _py: Python<'py>,
}

impl<'py> Buffer<'py> {
    /// Borrows `object`'s memory for reading.
    ///
    /// # Errors
    /// `TypeError` if it exports none, `BufferError` if it is not contiguous.
    pub(crate) fn read(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::get(object, ffi::PyBUF_SIMPLE)
    }

    /// Borrows `object`'s memory for writing.
    ///
    /// # Errors
    /// As [`Buffer::read`], and `BufferError` if it is read-only.
    pub(crate) fn write(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::get(object, ffi::PyBUF_WRITABLE)
    }

    fn get(object: &Bound<'py, PyAny>, flags: std::ffi::c_int) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: the thread is attached and `view` points to a Py_buffer that lives, unmoved in
        // its box, until it is released.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *view, flags) } < 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Self { view, _py: object.py() })
    }

    pub(crate) fn len(&self) -> usize {
        self.view.len.unsigned_abs()
    }

    /// The bytes, copied: Python code that runs later may change them.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        if self.view.buf.is_null() {
            return bytes;
        }
        // SAFETY: the exporter keeps `len` readable bytes at `buf` until the buffer is released.
        // Copying raw memory, and not through a reference, is right even if another thread of a
        // free-threaded interpreter writes to it: what it reads is then unspecified, as in C.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.view.buf.cast::<u8>(),
                bytes.as_mut_ptr(),
                self.len(),
            );
            bytes.set_len(self.len());
        }
        bytes
    }

    /// The memory to fill; only of a buffer made by [`Buffer::write`].
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        debug_assert_eq!(self.view.readonly, 0);
        if self.view.buf.is_null() {
            return &mut [];
        }
        // SAFETY: the exporter granted write access to `len` bytes at `buf` until release; nothing
        // else runs while the slice lives, as the thread stays attached and calls no Python.
        unsafe { std::slice::from_raw_parts_mut(self.view.buf.cast(), self.len()) }
    }
}

/// Lends the bytes of a bytes-like object to `f`, which must neither run Python code nor detach.
///
/// # Errors
/// As [`Buffer::read`].
pub(crate) fn lend<R>(object: &Bound<'_, PyAny>, f: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return Ok(f(bytes.as_bytes()));
    }
    let buffer = Buffer::read(object)?;
    if buffer.view.buf.is_null() {
        return Ok(f(&[]));
    }
    // SAFETY: the exporter keeps `len` readable bytes at `buf` until the buffer is released, and
    // nothing else runs meanwhile, as the thread stays attached and calls no Python.
    Ok(f(unsafe { std::slice::from_raw_parts(buffer.view.buf.cast(), buffer.len()) }))
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: the view was filled by PyObject_GetBuffer, is released only here, and the
        // thread is attached, as the token says.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
    }
}
