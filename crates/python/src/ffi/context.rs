//! Running something in a `contextvars.Context`, without a `Context.run` call around it.

use pyo3::Borrowed;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyContext, PyTuple};

use crate::ffi::owned::Owned;

/// A copy of the current context (`contextvars.copy_context()`).
pub(crate) fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the thread is attached; the function returns a new reference or sets an error.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// The context, or else a copy of the current one.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn or_current<'py>(
    py: Python<'py>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match context {
        Some(context) => Ok(context),
        None => copy_current(py),
    }
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

/// The positional arguments of a callback.
#[derive(Clone)]
pub(crate) enum Arguments {
    None,
    /// One, which most callbacks have; not a tuple of one.
    One(Owned),
    Many(Owned<PyTuple>),
}

impl Arguments {
    pub(crate) fn tuple<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match self {
            Self::None => Ok(PyTuple::empty(py)),
            Self::One(argument) => PyTuple::new(py, [argument.bind(py)]),
            Self::Many(arguments) => Ok(arguments.get(py)),
        }
    }
}

/// `context.run(callback, *arguments)`, for a real Context without the detour through `run`.
#[inline]
pub(crate) fn call_in<'py>(
    context: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    arguments: &Arguments,
) -> PyResult<Bound<'py, PyAny>> {
    if context.is_exact_instance_of::<PyContext>() {
        run_in(context, || call(callback, arguments))
    } else {
        // Whatever has a `run` will do, as it does for asyncio.
        let py = context.py();
        let run = context.getattr(intern!(py, "run"))?;
        let arguments = arguments.tuple(py)?;
        let mut all = Vec::with_capacity(arguments.len() + 1);
        all.push(callback.clone());
        all.extend(arguments.iter());
        run.call1(PyTuple::new(py, all)?)
    }
}

/// `callback(*arguments)` by the vectorcall protocol.
#[inline]
pub(crate) fn call<'py>(
    callback: &Bound<'py, PyAny>,
    arguments: &Arguments,
) -> PyResult<Bound<'py, PyAny>> {
    let py = callback.py();
    match arguments {
        Arguments::None => vectorcall(callback, &mut [std::ptr::null_mut()]),
        Arguments::One(argument) => {
            vectorcall(callback, &mut [std::ptr::null_mut(), argument.as_ptr()])
        }
        Arguments::Many(arguments) => {
            let arguments = arguments.bind(py);
            let items = arguments.iter_borrowed().map(Borrowed::as_ptr);
            let mut stack: Vec<_> = std::iter::once(std::ptr::null_mut()).chain(items).collect();
            vectorcall(callback, &mut stack)
        }
    }
}

/// Calls with all of `stack` but its first place, which the callee may use for `self`.
#[inline]
fn vectorcall<'py>(
    callback: &Bound<'py, PyAny>,
    stack: &mut [*mut ffi::PyObject],
) -> PyResult<Bound<'py, PyAny>> {
    let count = (stack.len() - 1) | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: the thread is attached; the array has the arguments, which their owner keeps alive
    // during the call, and one place in front of them that the flag allows the callee to change.
    unsafe {
        let arguments = stack.as_mut_ptr().add(1);
        Bound::from_owned_ptr_or_err(
            callback.py(),
            ffi::PyObject_Vectorcall(callback.as_ptr(), arguments, count, std::ptr::null_mut()),
        )
    }
}
