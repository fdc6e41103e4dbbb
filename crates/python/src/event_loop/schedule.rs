//! Scheduling: `call_soon`, `call_later`, `call_at`, `call_soon_threadsafe`, `time`.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyTuple};
use rondel_engine::Notify;
use rondel_engine::clock::{Clock, Instant};

use super::LoopCore;
use crate::callback::Callback;
use crate::handle::Handle;
#[cfg(Py_3_14)]
use crate::thread_safe_handle::ThreadSafeHandle;
use crate::timer_handle::TimerHandle;

#[pymethods]
impl LoopCore {
    /// Has `callback(*args)` called in the next turn. See asyncio's `loop.call_soon()`.
    #[pyo3(signature = (callback, *args, context=None))]
    fn call_soon<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().is_debug() {
            let checked = intern!(slf.py(), "_call_soon_in_debug");
            return slf.call_method1(checked, (callback, args, context));
        }
        Self::schedule(slf, callback, args, context).map(Bound::into_any)
    }

    /// As `call_soon`, from any thread: wakes the loop. See asyncio's
    /// `loop.call_soon_threadsafe()`.
    #[pyo3(signature = (callback, *args, context=None))]
    fn call_soon_threadsafe<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let handle = if slf.get().is_debug() {
            let checked = intern!(slf.py(), "_call_soon_threadsafe_in_debug");
            slf.call_method1(checked, (callback, args, context))?
        } else {
            Self::schedule_from_any_thread(slf, callback, args, context)?
        };
        slf.get().with_engine(slf.py(), |engine| engine.inbox().wake())?;
        Ok(handle)
    }

    /// Has `callback(*args)` called `delay` seconds from now. See asyncio's `loop.call_later()`.
    #[pyo3(signature = (delay, callback, *args, context=None))]
    fn call_later<'py>(
        slf: &Bound<'py, Self>,
        delay: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if delay.is_none() {
            return Err(PyTypeError::new_err("delay must not be None"));
        }
        // A subclass may have a clock of its own, as test loops do.
        let now = slf.call_method0(intern!(py, "time"))?;
        let when = now.add(delay)?;
        Self::schedule_at(slf, when, callback, args, context)
    }

    /// Has `callback(*args)` called at `when`, a time of `loop.time()`. See asyncio's
    /// `loop.call_at()`.
    #[pyo3(signature = (when, callback, *args, context=None))]
    fn call_at<'py>(
        slf: &Bound<'py, Self>,
        when: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if when.is_none() {
            return Err(PyTypeError::new_err("when cannot be None"));
        }
        Self::schedule_at(slf, when, callback, args, context)
    }

    /// The time on this loop's clock, in seconds: `time.monotonic()`.
    fn time(&self) -> f64 {
        seconds(Clock::Monotonic.now())
    }

    /// Appends somebody else's handle to the ready queue.
    fn _push_foreign(&self, py: Python<'_>, handle: Py<PyAny>) -> PyResult<()> {
        self.push(py, Callback::Foreign(handle))
    }

    /// Sets a timer for somebody else's handle and returns what `_cancel_foreign_timer` takes.
    fn _set_foreign_timer(
        &self,
        py: Python<'_>,
        when: &Bound<'_, PyAny>,
        handle: Py<PyAny>,
    ) -> PyResult<ForeignTimer> {
        let deadline = deadline(when)?;
        let entry = Notify::Callback(Callback::Foreign(handle));
        Ok(ForeignTimer(self.with_engine(py, |engine| engine.set_timer(deadline, entry))?))
    }

    fn _cancel_foreign_timer(&self, py: Python<'_>, timer: &ForeignTimer) {
        self.cancel_timer(py, timer.0);
    }

    /// Ends a park from any thread.
    fn _write_to_self(&self, py: Python<'_>) {
        // A closed loop does not sleep.
        let _ = self.with_engine(py, |engine| engine.inbox().wake());
    }
}

impl LoopCore {
    #[inline]
    fn schedule<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let handle = Bound::new(py, Handle::new(slf, callback, args, context)?)?;
        slf.get().push(py, Callback::Handle(handle.clone().unbind()))?;
        Ok(handle)
    }

    #[cfg(Py_3_14)]
    fn schedule_from_any_thread<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let handle = ThreadSafeHandle::create(slf, callback, args, context)?;
        slf.get().push(slf.py(), Callback::ThreadSafe(handle.clone().unbind()))?;
        Ok(handle.into_any())
    }

    #[cfg(not(Py_3_14))]
    fn schedule_from_any_thread<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::schedule(slf, callback, args, context).map(Bound::into_any)
    }

    fn schedule_at<'py>(
        slf: &Bound<'py, Self>,
        when: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if slf.get().is_debug() {
            let checked = intern!(py, "_call_at_in_debug");
            return slf.call_method1(checked, (when, callback, args, context));
        }
        let deadline = deadline(&when)?;
        let timer = TimerHandle::create(slf, when, callback, args, context)?;
        let entry = Callback::Handle(timer.as_super().clone().unbind());
        let key = slf
            .get()
            .with_engine(py, |engine| engine.set_timer(deadline, Notify::Callback(entry)))?;
        timer.get().set_key(py, key);
        Ok(timer.into_any())
    }
}

/// Names a timer that was set for a handle that is not ours.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct ForeignTimer(rondel_engine::TimerKey);

#[allow(clippy::cast_precision_loss)] // exact below 2^53 ns; beyond, as time.monotonic() rounds
fn seconds(instant: Instant) -> f64 {
    instant.as_nanos() as f64 / 1e9
}

/// The moment that a number of seconds names. What lies before the clock's origin, and NaN, is
/// due at once; what lies after the clock's end never comes due.
///
/// # Errors
/// `TypeError` for what is no number.
fn deadline(when: &Bound<'_, PyAny>) -> PyResult<Instant> {
    let when: f64 = if let Ok(number) = when.cast_exact::<PyFloat>() {
        number.value()
    } else {
        match when.extract() {
            Ok(number) => number,
            // An int too large for a float.
            Err(_) if when.is_instance_of::<PyInt>() => {
                if when.gt(0)? {
                    f64::INFINITY
                } else {
                    0.0
                }
            }
            Err(error) => return Err(error),
        }
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    let nanos = (when * 1e9).round() as u64;
    Ok(Instant::from_nanos(nanos))
}
