//! Running something in a `contextvars.Context`, without a `Context.run` call around it.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyContext, PyTuple};

/// A copy of the current context (`contextvars.copy_context()`).
pub(crate) fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the thread is attached; the function returns a new reference or sets an error.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Calls `f` with `context` entered.
///
/// # Errors
/// `RuntimeError` if the context is entered already (`PyContext_Enter`); otherwise what `f`
/// returns.
#[inline]
pub(crate) fn run_in<R>(
    context: &Bound<'_, PyAny>,
    f: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    struct Exit<'a, 'py>(&'a Bound<'py, PyAny>);
    impl Drop for Exit<'_, '_> {
        fn drop(&mut self) {
            // SAFETY: the thread is attached, and this context is the one that was entered last:
            // whatever `f` entered it has left. The call can only fail if that is not so, which
            // would be worth a SystemError, but there is nobody to hand it to.
            if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } < 0 {
                PyErr::fetch(self.0.py()).write_unraisable(self.0.py(), Some(self.0));
            }
        }
    }
    // SAFETY: the thread is attached, and the argument is a live object; for anything but a
    // Context the function sets an error.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(context.py()));
    }
    let _exit = Exit(context);
    f()
}

/// `context.run(callback, *args)`, for a real Context without the detour through `run`.
#[inline]
pub(crate) fn call_in<'py>(
    context: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    if context.is_exact_instance_of::<PyContext>() {
        run_in(context, || call(callback, args))
    } else {
        // Whatever has a `run` will do, as it does for asyncio.
        let run = context.getattr(intern!(context.py(), "run"))?;
        let mut all = Vec::with_capacity(args.len() + 1);
        all.push(callback.clone());
        all.extend(args.iter());
        run.call1(PyTuple::new(context.py(), all)?)
    }
}

/// `callback(*args)` by the vectorcall protocol, straight from the tuple's own array.
#[inline]
pub(crate) fn call<'py>(
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let items = args.as_slice_of_pointers();
    // SAFETY: the thread is attached; the tuple, which outlives the call, keeps its items alive,
    // and the vectorcall protocol does not write to the array without the OFFSET flag.
    unsafe {
        Bound::from_owned_ptr_or_err(
            callback.py(),
            ffi::PyObject_Vectorcall(
                callback.as_ptr(),
                items.as_ptr(),
                items.len(),
                std::ptr::null_mut(),
            ),
        )
    }
}

trait TupleItems {
    fn as_slice_of_pointers(&self) -> &[*mut ffi::PyObject];
}

impl TupleItems for Bound<'_, PyTuple> {
    #[inline]
    fn as_slice_of_pointers(&self) -> &[*mut ffi::PyObject] {
        // SAFETY: this is a tuple; CPython lays its items out as an array of `len` pointers, and
        // tuples that Rust code can see are never resized.
        unsafe {
            let tuple: *mut ffi::PyTupleObject = self.as_ptr().cast();
            std::slice::from_raw_parts((&raw const (*tuple).ob_item).cast(), self.len())
        }
    }
}
