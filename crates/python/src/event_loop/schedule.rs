//! Scheduling: `call_soon`, `call_later`, `call_at`, `call_soon_threadsafe`, `time`.

use pyo3::Borrowed;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};
use rondel_engine::Notify;
use rondel_engine::clock::{Clock, Instant};

use super::LoopCore;
use super::overrides::Overridable;
use crate::callback::Callback;
use crate::ffi::context;
use crate::ffi::native::arguments::{Call, Given, Rest, Signature};
use crate::ffi::native::method::{Method, Returned, with_arguments, without_arguments};
use crate::ffi::native::object::{self, as_base};
use crate::ffi::number;
use crate::ffi::owned::Owned;
use crate::handle::{Handle, arguments_of};
use crate::imported;
#[cfg(Py_3_14)]
use crate::thread_safe_handle::ThreadSafeHandle;
use crate::timer_handle::{TimerHandle, When};

/// The methods of the core that are called as the interpreter passes arguments.
pub(crate) fn methods() -> Vec<Method> {
    let mut methods = super::executor::methods();
    methods.extend([
        with_arguments!(
            LoopCore,
            c"call_soon",
            call_soon,
            c"call_soon($self, callback, *args, context=None)\n--\n\nHas `callback(*args)` called in the next turn. See asyncio's `loop.call_soon()`."
        ),
        with_arguments!(
            LoopCore,
            c"call_soon_threadsafe",
            call_soon_threadsafe,
            c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\nAs `call_soon`, from any thread: wakes the loop. See asyncio's `loop.call_soon_threadsafe()`."
        ),
        with_arguments!(
            LoopCore,
            c"call_later",
            call_later,
            c"call_later($self, delay, callback, *args, context=None)\n--\n\nHas `callback(*args)` called `delay` seconds from now. See asyncio's `loop.call_later()`."
        ),
        with_arguments!(
            LoopCore,
            c"call_at",
            call_at,
            c"call_at($self, when, callback, *args, context=None)\n--\n\nHas `callback(*args)` called at `when`, a time of `loop.time()`. See asyncio's `loop.call_at()`."
        ),
        without_arguments!(
            LoopCore,
            c"time",
            time,
            c"time($self, /)\n--\n\nThe time on this loop's clock, in seconds: `time.monotonic()`."
        ),
    ]);
    methods
}

const CALL_SOON: Signature<1, 1> = Signature {
    function: "call_soon",
    positional: [c"callback"],
    required: 1,
    rest: true,
    keywords: [c"context"],
};

const CALL_SOON_THREADSAFE: Signature<1, 1> =
    Signature { function: "call_soon_threadsafe", ..CALL_SOON };

const CALL_LATER: Signature<2, 1> = Signature {
    function: "call_later",
    positional: [c"delay", c"callback"],
    required: 2,
    rest: true,
    keywords: [c"context"],
};

const CALL_AT: Signature<2, 1> =
    Signature { function: "call_at", positional: [c"when", c"callback"], ..CALL_LATER };

/// What is to be called, and in which context: lent by the caller.
#[derive(Clone, Copy)]
struct Scheduled<'a, 'py> {
    callback: Borrowed<'a, 'py, PyAny>,
    arguments: Rest<'a, 'py>,
    context: Given<'a, 'py>,
}

impl<'py> Scheduled<'_, 'py> {
    /// The contents of a handle for it.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline(always)]
    fn contents(self, event_loop: &Bound<'py, LoopCore>) -> PyResult<Handle> {
        let context = self.context.map(|context| (*context).clone());
        let context = context::or_current(event_loop.py(), context)?;
        let arguments = arguments_of(self.arguments)?;
        Ok(Handle::new(event_loop, (*self.callback).clone(), arguments, context))
    }
}

fn call_soon<'py>(slf: &Bound<'py, LoopCore>, call: Call<'_, 'py>) -> Returned<'py> {
    let (scheduled, _) = sorted(call, &CALL_SOON)?;
    if slf.get().is_debug() {
        return in_debug(slf, imported::call_soon_in_debug(slf.py())?, scheduled);
    }
    schedule(slf, scheduled)
}

fn call_soon_threadsafe<'py>(slf: &Bound<'py, LoopCore>, call: Call<'_, 'py>) -> Returned<'py> {
    let (scheduled, _) = sorted(call, &CALL_SOON_THREADSAFE)?;
    let handle = if slf.get().is_debug() {
        in_debug(slf, imported::call_soon_threadsafe_in_debug(slf.py())?, scheduled)?
    } else {
        schedule_from_any_thread(slf, scheduled)?
    };
    slf.get().with_engine(slf.py(), |engine| engine.inbox().wake())?;
    Ok(handle)
}

fn call_later<'py>(slf: &Bound<'py, LoopCore>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = slf.py();
    let (scheduled, delay) = sorted(call, &CALL_LATER)?;
    let Some(delay) = delay.filter(|delay| !delay.is_none()) else {
        return Err(PyTypeError::new_err("delay must not be None"));
    };
    let core = slf.get();
    if core.is_overridden(Overridable::TIME | Overridable::CALL_AT) {
        // A subclass may have a clock of its own, as test loops do.
        let when = slf.call_method0(intern!(py, "time"))?.add(delay)?;
        let Scheduled { callback, arguments, context } = scheduled;
        let arguments = arguments.tuple()?;
        let all =
            [when, (*callback).clone()].into_iter().chain(arguments.iter()).collect::<Vec<_>>();
        let all = pyo3::types::PyTuple::new(py, all)?;
        let keywords = pyo3::types::PyDict::new(py);
        keywords.set_item(intern!(py, "context"), context)?;
        return slf.call_method(intern!(py, "call_at"), all, Some(&keywords));
    }
    let now = core.now(py);
    // As the addition to a float does, with its OverflowError.
    let Some(delay) = number::value(&delay)? else {
        let when = PyFloat::new(py, seconds(now)).add(delay)?;
        return schedule_at(slf, deadline(&when)?, When::given(&when), scheduled);
    };
    let when = seconds(now) + delay;
    schedule_at(slf, instant(when), When::Seconds(when), scheduled)
}

fn call_at<'py>(slf: &Bound<'py, LoopCore>, call: Call<'_, 'py>) -> Returned<'py> {
    let (scheduled, when) = sorted(call, &CALL_AT)?;
    let Some(when) = when.filter(|when| !when.is_none()) else {
        return Err(PyTypeError::new_err("when cannot be None"));
    };
    if slf.get().is_debug() {
        // The checks of asyncio's debug mode come before that of the time.
        return in_debug_at(slf, &When::given(&when), scheduled);
    }
    let deadline = deadline(&when)?;
    let when = match when.cast_exact::<PyFloat>() {
        Ok(number) => When::Seconds(number.value()),
        Err(_) => When::given(&when),
    };
    schedule_at(slf, deadline, when, scheduled)
}

fn time<'py>(slf: &Bound<'py, LoopCore>) -> Returned<'py> {
    Ok(PyFloat::new(slf.py(), seconds(slf.get().now(slf.py()))).into_any())
}

#[pymethods]
impl LoopCore {
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
    /// The time now, which the engine takes note of: a deadline that is not later is due.
    #[inline]
    pub(crate) fn now(&self, py: Python<'_>) -> Instant {
        let now = Clock::Monotonic.now();
        // A closed loop has no deadlines.
        let _ = self.with_engine(py, |engine| engine.observe(now));
        now
    }
}

/// The callback with its arguments and context, and the parameter in front of it, if there is one.
#[inline(always)]
fn sorted<'a, 'py, const P: usize>(
    call: Call<'a, 'py>,
    signature: &Signature<P, 1>,
) -> PyResult<(Scheduled<'a, 'py>, Given<'a, 'py>)> {
    let sorted = call.sorted(signature)?;
    // `sorted` has seen to it that what is required is there.
    let callback = sorted.positional[P - 1];
    let callback = callback.ok_or_else(|| PyTypeError::new_err("no callback"))?;
    let first = if P > 1 { sorted.positional[0] } else { None };
    let context = sorted.keywords[0].filter(|context| !context.is_none());
    Ok((Scheduled { callback, arguments: sorted.rest, context }, first))
}

#[cold]
fn in_debug<'py>(
    slf: &Bound<'py, LoopCore>,
    function: &Bound<'py, PyAny>,
    scheduled: Scheduled<'_, 'py>,
) -> Returned<'py> {
    let arguments = scheduled.arguments.tuple()?;
    function.call1((slf, scheduled.callback, arguments, scheduled.context))
}

#[inline(always)]
fn schedule<'py>(slf: &Bound<'py, LoopCore>, scheduled: Scheduled<'_, 'py>) -> Returned<'py> {
    let vacant = object::vacant(slf.py())?;
    Handle::schedule(vacant, slf, scheduled.contents(slf)?).map(Bound::into_any)
}

#[cfg(Py_3_14)]
fn schedule_from_any_thread<'py>(
    slf: &Bound<'py, LoopCore>,
    scheduled: Scheduled<'_, 'py>,
) -> Returned<'py> {
    let handle = ThreadSafeHandle::create(scheduled.contents(slf)?, slf.py())?;
    slf.get().push(slf.py(), Callback::ThreadSafe(Owned::new(handle.clone())))?;
    Ok(handle.into_any())
}

#[cfg(not(Py_3_14))]
#[inline]
fn schedule_from_any_thread<'py>(
    slf: &Bound<'py, LoopCore>,
    scheduled: Scheduled<'_, 'py>,
) -> Returned<'py> {
    schedule(slf, scheduled)
}

#[inline(always)]
fn schedule_at<'py>(
    slf: &Bound<'py, LoopCore>,
    deadline: Instant,
    when: When,
    scheduled: Scheduled<'_, 'py>,
) -> Returned<'py> {
    let py = slf.py();
    if slf.get().is_debug() {
        return in_debug_at(slf, &when, scheduled);
    }
    let vacant = object::vacant(py)?;
    let timer = vacant.fill(TimerHandle::new(scheduled.contents(slf)?, when));
    let entry = Notify::Callback(Callback::Handle(Owned::new(as_base(&timer).clone())));
    let key = slf.get().with_engine(py, |engine| engine.set_timer(deadline, entry))?;
    TimerHandle::set_key(&timer, key);
    Ok(timer.into_any())
}

#[cold]
fn in_debug_at<'py>(
    slf: &Bound<'py, LoopCore>,
    when: &When,
    scheduled: Scheduled<'_, 'py>,
) -> Returned<'py> {
    let arguments = scheduled.arguments.tuple()?;
    let when = when.object(slf.py());
    let call = (slf, when, scheduled.callback, arguments, scheduled.context);
    imported::call_at_in_debug(slf.py())?.call1(call)
}

/// Names a timer that was set for a handle that is not ours.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct ForeignTimer(rondel_engine::TimerKey);

#[allow(clippy::cast_precision_loss)] // exact below 2^53 ns; beyond, as time.monotonic() rounds
pub(crate) fn seconds(instant: Instant) -> f64 {
    instant.as_nanos() as f64 / 1e9
}

/// The moment that a number of seconds names. What lies before the clock's origin, and NaN, is
/// due at once; what lies after the clock's end never comes due.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
pub(crate) fn instant(seconds: f64) -> Instant {
    // Rounded to the nearest; `round` is a call of a library on the oldest processors there are.
    Instant::from_nanos((seconds * 1e9 + 0.5) as u64)
}

/// As [`instant`], from a Python number.
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
    Ok(instant(when))
}
