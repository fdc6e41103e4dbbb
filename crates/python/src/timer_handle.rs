//! `TimerHandle`: a handle with a deadline.

use pyo3::basic::CompareOp;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use rondel_engine::TimerKey;

use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::handle::Handle;
use crate::imported;

/// A callback scheduled for a time; `asyncio.TimerHandle` by interface and by `isinstance`.
#[pyclass(extends = Handle, frozen, weakref, module = "rondel._rondel")]
pub(crate) struct TimerHandle {
    /// As it was given: an int stays an int.
    when: Py<PyAny>,
    /// Set while the timer is.
    key: AttachedCell<Option<TimerKey>>,
}

impl TimerHandle {
    pub(crate) fn create<'py>(
        event_loop: &Bound<'py, LoopCore>,
        when: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let handle = Handle::new(event_loop, callback, args, context)?;
        let timer = Self { when: when.unbind(), key: AttachedCell::new(None) };
        Bound::new(event_loop.py(), PyClassInitializer::from(handle).add_subclass(timer))
    }

    pub(crate) fn set_key(&self, py: Python<'_>, key: TimerKey) {
        self.key.with(py, |slot| *slot = Some(key));
    }
}

#[pymethods]
impl TimerHandle {
    /// The time for which the callback is scheduled, on the clock of `loop.time()`, in seconds.
    fn when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.when.clone_ref(py).into_bound(py)
    }

    /// Cancels the callback and gives up the timer at once.
    fn cancel(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let handle = slf.as_super().get();
        if handle.cancel_once(py)
            && let Some(key) = slf.get().key.with(py, Option::take)
        {
            handle.event_loop(py).get().cancel_timer(py, key);
        }
    }

    fn _repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let info = imported::handle_class(py)?.call_method1(intern!(py, "_repr_info"), (slf,))?;
        let position = if slf.as_super().get().cancel_requested(py) { 2 } else { 1 };
        let when = format!("when={}", slf.get().when.bind(py).str()?);
        info.call_method1(intern!(py, "insert"), (position, when))?;
        Ok(info)
    }

    /// Answers `asyncio.TimerHandle`, so that `isinstance` does.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        Ok(imported::timer_handle_class(slf.py())?.clone())
    }

    #[getter(_when)]
    fn deadline<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.when(py)
    }

    #[getter(_scheduled)]
    fn is_scheduled(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let key = slf.get().key.with(py, |key| *key);
        key.is_some_and(|key| slf.as_super().get().event_loop(py).get().timer_is_set(py, key))
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.when.bind(py).hash()
    }

    fn __richcmp__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = match operator {
            CompareOp::Lt => "__lt__",
            CompareOp::Le => "__le__",
            CompareOp::Eq => "__eq__",
            CompareOp::Ne => "__ne__",
            CompareOp::Gt => "__gt__",
            CompareOp::Ge => "__ge__",
        };
        if matches!(operator, CompareOp::Ne) {
            // `object.__ne__` inverts the type's own `__eq__`, so this is asyncio's by hand.
            let equal = Self::__richcmp__(slf, other, CompareOp::Eq)?;
            let not_implemented = slf.py().NotImplemented();
            if equal.is(&not_implemented) {
                return Ok(equal);
            }
            return Ok((!equal.is_truthy()?).into_pyobject(slf.py())?.to_owned().into_any());
        }
        imported::timer_handle_class(slf.py())?.call_method1(name, (slf, other))
    }
}
