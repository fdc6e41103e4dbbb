//! `Timeout`, `timeout()` and `timeout_at()` as Python code sees them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyString};

use super::coroutine::{self, Operation};
use super::timeout::{Phase, Raised, State, Timeout, as_when, direct, enter, of};
use crate::event_loop::seconds;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::class::{self, Class, init, unary_slot};
use crate::ffi::native::method::{
    Method, Returned, attribute, boolean, bound, none, with_arguments, without_arguments,
};
use crate::ffi::native::object::{self, Native};
use crate::ffi::owned::Owned;
use crate::imported;
use crate::timer_handle::When;

/// Makes the class and the functions.
///
/// # Errors
/// Those of [`class::build`].
pub(super) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    static TIMEOUT: Method = with_arguments!(
        PyModule,
        c"timeout",
        timeout,
        c"timeout($module, /, delay)\n--\n\nA `Timeout` of `delay` seconds from now, or of none. See `asyncio.timeout()`."
    );
    static TIMEOUT_AT: Method = with_arguments!(
        PyModule,
        c"timeout_at",
        timeout_at,
        c"timeout_at($module, /, when)\n--\n\nA `Timeout` at a time of `loop.time()`, or at none. See `asyncio.timeout_at()`."
    );
    let class = Class {
        doc: c"Timeout(when)\n--\n\nCancels a block of a coroutine that takes too long; `asyncio.Timeout` by interface and by `isinstance`.",
        base: None,
        methods: vec![
            without_arguments!(
                Timeout,
                c"when",
                when,
                c"when($self, /)\n--\n\nWhen the time is up, on the clock of `loop.time()`, in seconds; None for never."
            ),
            with_arguments!(
                Timeout,
                c"reschedule",
                reschedule,
                c"reschedule($self, /, when)\n--\n\nChanges when the time is up; raises RuntimeError outside the block."
            ),
            without_arguments!(
                Timeout,
                c"expired",
                expired,
                c"expired($self, /)\n--\n\nWhether the time was up before the block's end."
            ),
            without_arguments!(
                Timeout,
                c"__aenter__",
                enter,
                c"__aenter__($self, /)\n--\n\nTo be awaited: begins the block of the current task, and returns the timeout."
            ),
            with_arguments!(
                Timeout,
                c"__aexit__",
                exit,
                c"__aexit__($self, /, exc_type, exc_val, exc_tb)\n--\n\nTo be awaited: ends the block; raises TimeoutError in place of its own cancellation."
            ),
        ],
        attributes: vec![
            attribute!(Timeout, c"__class__", asyncio_class),
            attribute!(Timeout, c"_when", when),
        ],
        slots: vec![init!(Timeout, init), unary_slot!(Timeout, Py_tp_repr, repr)],
        has_dict: true,
        subclassable: false,
    };
    let class = class::build::<Timeout>(module.py(), class)?;
    module.add("Timeout", class)?;
    module.add("timeout", bound(module, &TIMEOUT)?)?;
    module.add("timeout_at", bound(module, &TIMEOUT_AT)?)
}

const INIT: Signature<1, 0> = Signature {
    function: "Timeout.__init__",
    positional: [c"when"],
    required: 1,
    rest: false,
    keywords: [],
};

const EXIT: Signature<3, 0> = Signature {
    function: "Timeout.__aexit__",
    positional: [c"exc_type", c"exc_val", c"exc_tb"],
    required: 3,
    rest: false,
    keywords: [],
};

const RESCHEDULE: Signature<1, 0> = Signature { function: "Timeout.reschedule", ..INIT };
const TIMEOUT_AT: Signature<1, 0> = Signature { function: "timeout_at", ..INIT };
const TIMEOUT: Signature<1, 0> = Signature { function: "timeout", positional: [c"delay"], ..INIT };

/// The only argument of a signature that requires it.
fn only<'py>(py: Python<'py>, call: Call<'_, 'py>, signature: &Signature<1, 0>) -> Returned<'py> {
    let [given] = call.sorted(signature)?.positional;
    Ok(given.as_deref().cloned().unwrap_or_else(|| none(py)))
}

fn init<'py>(slf: &Bound<'py, Timeout>, call: Call<'_, 'py>) -> PyResult<()> {
    let when = as_when(&only(slf.py(), call, &INIT)?);
    let fresh = State::of(when);
    drop(slf.contents().state.with(slf.py(), |state| std::mem::replace(state, fresh)));
    Ok(())
}

fn timeout<'py>(module: &Bound<'py, PyModule>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = module.py();
    let delay = only(py, call, &TIMEOUT)?;
    let running = imported::running_loop(py)?.call0()?;
    let when = if delay.is_none() { None } else { Some(later(&running, &delay)?) };
    object::create(py, of(when)).map(Bound::into_any)
}

/// The time in `delay` seconds.
fn later<'py>(running: &Bound<'py, PyAny>, delay: &Bound<'py, PyAny>) -> PyResult<When> {
    let py = running.py();
    let Some(core) = direct(running) else {
        let when = running.call_method0(intern!(py, "time"))?.add(delay)?;
        return Ok(When::Given(Owned::new(when)));
    };
    let now = seconds(core.get().now(py));
    if let Ok(delay) = delay.cast_exact::<PyFloat>() {
        return Ok(When::Seconds(now + delay.value()));
    }
    if delay.is_exact_instance_of::<PyInt>() {
        // As the addition of an int to a float does, with its OverflowError.
        return Ok(When::Seconds(now + delay.extract::<f64>()?));
    }
    Ok(When::Given(Owned::new(PyFloat::new(py, now).add(delay)?)))
}

fn timeout_at<'py>(module: &Bound<'py, PyModule>, call: Call<'_, 'py>) -> Returned<'py> {
    let when = as_when(&only(module.py(), call, &TIMEOUT_AT)?);
    object::create(module.py(), of(when)).map(Bound::into_any)
}

fn exit<'py>(slf: &Bound<'py, Timeout>, call: Call<'_, 'py>) -> Returned<'py> {
    let [class, value, _] = call.sorted(&EXIT)?.positional;
    let raised = class.filter(|class| !class.is_none()).map(|class| {
        let value = value.as_deref().cloned().unwrap_or_else(|| none(slf.py()));
        Box::new(Raised { class: Owned::new((*class).clone()), value: Owned::new(value) })
    });
    coroutine::create(slf.py(), Operation::TimeoutExit(Owned::new(slf.clone()), raised))
}

fn when<'py>(slf: &Bound<'py, Timeout>) -> Returned<'py> {
    let py = slf.py();
    let when =
        slf.contents().state.with(py, |state| state.when.as_ref().map(|when| when.object(py)));
    Ok(when.unwrap_or_else(|| none(py)))
}

fn reschedule<'py>(slf: &Bound<'py, Timeout>, call: Call<'_, 'py>) -> Returned<'py> {
    let when = only(slf.py(), call, &RESCHEDULE)?;
    Timeout::reschedule(slf, &when).map(|()| none(slf.py()))
}

fn phase(slf: &Bound<'_, Timeout>) -> Phase {
    slf.contents().state.with(slf.py(), |state| state.phase)
}

fn expired<'py>(slf: &Bound<'py, Timeout>) -> Returned<'py> {
    Ok(boolean(slf.py(), matches!(phase(slf), Phase::Expiring | Phase::Expired)))
}

fn repr<'py>(slf: &Bound<'py, Timeout>) -> Returned<'py> {
    let phase = phase(slf);
    let mut shown = format!("<Timeout [{}]", phase.name());
    if phase == Phase::Entered {
        let when = when(slf)?;
        let rounded =
            if when.is_none() { when } else { imported::round(slf.py())?.call1((when, 3))? };
        shown = format!("{shown} when={}", rounded.str()?);
    }
    Ok(PyString::new(slf.py(), &format!("{shown}>")).into_any())
}

/// Answers `asyncio.Timeout`, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, Timeout>) -> Returned<'py> {
    Ok(imported::timeout_class(slf.py())?.clone().into_any())
}
