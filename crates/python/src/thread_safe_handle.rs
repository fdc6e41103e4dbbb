//! `ThreadSafeHandle`: what `call_soon_threadsafe` returns, from Python 3.14 on.

use pyo3::intern;
use pyo3::prelude::*;

use crate::ffi::native::class::{self, Class};
use crate::ffi::native::method::{Returned, attribute, boolean, none, without_arguments};
use crate::ffi::native::object::{
    self, Contents, Native, NativeClass, Stop, Visitor, as_base, native_class,
};
use crate::ffi::owned::Owned;
use crate::handle::Handle;
use crate::imported;

/// A handle that any thread may cancel: when `cancel()` returns, the callback neither runs nor
/// will. `asyncio.Handle` by interface and by `isinstance`.
#[repr(C)]
pub(crate) struct ThreadSafeHandle {
    base: Handle,
    /// A `threading.RLock`, held while the callback runs: waiting for it can be interrupted, and
    /// the callback itself may cancel.
    lock: Owned,
}

native_class!(ThreadSafeHandle: Handle, c"rondel._rondel.ThreadSafeHandle");

impl Contents for ThreadSafeHandle {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.base.visit(visitor)?;
        visitor.visit(&self.lock)
    }

    fn clear(&self) {
        self.base.clear();
    }
}

impl ThreadSafeHandle {
    pub(crate) fn create(base: Handle, py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let lock = Owned::new(imported::reentrant_lock(py)?.call0()?);
        object::create(py, Self { base, lock })
    }

    /// Calls the callback, unless cancelled, and reports what it raises.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    pub(crate) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::locked(slf, || Handle::run(as_base(slf)))?
    }

    fn locked<R>(slf: &Bound<'_, Self>, f: impl FnOnce() -> R) -> PyResult<R> {
        let py = slf.py();
        let lock = slf.contents().lock.bind(py);
        lock.call_method0(intern!(py, "acquire"))?;
        let result = f();
        lock.call_method0(intern!(py, "release"))?;
        Ok(result)
    }
}

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(crate) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let class = Class {
        doc: c"A handle that any thread may cancel; `asyncio.Handle` by interface and by `isinstance`.",
        base: Some(Handle::cell().get()),
        methods: vec![
            without_arguments!(
                ThreadSafeHandle,
                c"cancel",
                cancel,
                c"cancel($self, /)\n--\n\nCancels the callback; waits for it if it is running in another thread."
            ),
            without_arguments!(
                ThreadSafeHandle,
                c"cancelled",
                cancelled,
                c"cancelled($self, /)\n--\n\nWhether the callback was cancelled; waits for it if it is running in another thread."
            ),
            without_arguments!(ThreadSafeHandle, c"_run", run, c"_run($self, /)\n--\n\n"),
        ],
        attributes: vec![attribute!(ThreadSafeHandle, c"__class__", asyncio_class)],
        slots: vec![],
        has_dict: false,
        subclassable: false,
    };
    let class = class::build::<ThreadSafeHandle>(module.py(), class)?;
    module.add("ThreadSafeHandle", class)
}

fn cancel<'py>(slf: &Bound<'py, ThreadSafeHandle>) -> Returned<'py> {
    let py = slf.py();
    ThreadSafeHandle::locked(slf, || slf.contents().base.cancel_once(py)).map(|_| none(py))
}

fn cancelled<'py>(slf: &Bound<'py, ThreadSafeHandle>) -> Returned<'py> {
    let py = slf.py();
    let cancelled = ThreadSafeHandle::locked(slf, || slf.contents().base.cancel_requested(py))?;
    Ok(boolean(py, cancelled))
}

fn run<'py>(slf: &Bound<'py, ThreadSafeHandle>) -> Returned<'py> {
    ThreadSafeHandle::run(slf).map(|()| none(slf.py()))
}

/// Answers asyncio's own class of such handles, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, ThreadSafeHandle>) -> Returned<'py> {
    Ok(imported::thread_safe_handle_class(slf.py())?.clone().into_any())
}
