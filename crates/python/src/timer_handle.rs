//! `TimerHandle`: a handle with a deadline.

use pyo3::basic::CompareOp;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyFloat;
use rondel_engine::TimerKey;

use crate::ffi::cell::AttachedCell;
use crate::ffi::native::class::{self, Class, compare_slot, hash_slot};
use crate::ffi::native::method::{Returned, attribute, boolean, none, without_arguments};
use crate::ffi::native::object::{
    Contents, Native, NativeClass, Stop, Visitor, as_base, native_class,
};
use crate::ffi::owned::Owned;
use crate::handle::Handle;
use crate::imported;

/// A callback scheduled for a time; `asyncio.TimerHandle` by interface and by `isinstance`.
#[repr(C)]
pub(crate) struct TimerHandle {
    base: Handle,
    when: When,
    /// Set while the timer is.
    key: AttachedCell<Option<TimerKey>>,
}

/// A time on the loop's clock.
pub(crate) enum When {
    /// A float, which few ask for.
    Seconds(f64),
    /// As it was given: an int stays an int.
    Given(Owned),
}

impl When {
    pub(crate) fn given(when: &Bound<'_, PyAny>) -> Self {
        Self::Given(Owned::new(when.clone()))
    }

    pub(crate) fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Seconds(seconds) => PyFloat::new(py, *seconds).into_any(),
            Self::Given(when) => when.get(py),
        }
    }
}

native_class!(TimerHandle: Handle, c"rondel._rondel.TimerHandle");

impl Contents for TimerHandle {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.base.visit(visitor)?;
        match &self.when {
            When::Seconds(_) => Ok(()),
            When::Given(when) => visitor.visit(when),
        }
    }

    fn clear(&self) {
        self.base.clear();
    }
}

impl TimerHandle {
    /// The contents for what `base` calls at `when`.
    #[inline(always)]
    pub(crate) fn new(base: Handle, when: When) -> Self {
        Self { base, when, key: AttachedCell::new(None) }
    }

    pub(crate) fn set_key(slf: &Bound<'_, Self>, key: TimerKey) {
        slf.contents().key.with(slf.py(), |slot| *slot = Some(key));
    }
}

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(crate) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let class = Class {
        doc: c"A callback scheduled for a time; `asyncio.TimerHandle` by interface and by `isinstance`.",
        base: Some(Handle::cell().get()),
        methods: vec![
            without_arguments!(
                TimerHandle,
                c"cancel",
                cancel,
                c"cancel($self, /)\n--\n\nCancels the callback and gives up the timer at once."
            ),
            without_arguments!(
                TimerHandle,
                c"when",
                when,
                c"when($self, /)\n--\n\nThe time for which the callback is scheduled, on the clock of `loop.time()`, in seconds."
            ),
            without_arguments!(
                TimerHandle,
                c"_repr_info",
                repr_info,
                c"_repr_info($self, /)\n--\n\n"
            ),
        ],
        attributes: vec![
            attribute!(TimerHandle, c"__class__", asyncio_class),
            attribute!(TimerHandle, c"_when", when),
            attribute!(TimerHandle, c"_scheduled", is_scheduled),
        ],
        slots: vec![hash_slot!(TimerHandle, hash), compare_slot!(TimerHandle, compare)],
        has_dict: false,
        subclassable: false,
    };
    let class = class::build::<TimerHandle>(module.py(), class)?;
    module.add("TimerHandle", class)
}

fn cancel<'py>(slf: &Bound<'py, TimerHandle>) -> Returned<'py> {
    let py = slf.py();
    let timer = slf.contents();
    if timer.base.cancel_once(py)
        && let Some(key) = timer.key.with(py, Option::take)
    {
        timer.base.event_loop().bind(py).get().cancel_timer(py, key);
    }
    Ok(none(py))
}

fn when<'py>(slf: &Bound<'py, TimerHandle>) -> Returned<'py> {
    Ok(slf.contents().when.object(slf.py()))
}

fn repr_info<'py>(slf: &Bound<'py, TimerHandle>) -> Returned<'py> {
    let py = slf.py();
    let info = imported::handle_class(py)?.call_method1(intern!(py, "_repr_info"), (slf,))?;
    let position = if slf.contents().base.cancel_requested(py) { 2 } else { 1 };
    let when = format!("when={}", slf.contents().when.object(py).str()?);
    info.call_method1(intern!(py, "insert"), (position, when))?;
    Ok(info)
}

/// Answers `asyncio.TimerHandle`, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, TimerHandle>) -> Returned<'py> {
    Ok(imported::timer_handle_class(slf.py())?.clone().into_any())
}

fn is_scheduled<'py>(slf: &Bound<'py, TimerHandle>) -> Returned<'py> {
    let py = slf.py();
    let timer = slf.contents();
    let key = timer.key.with(py, |key| *key);
    let event_loop = as_base(slf).contents().event_loop().bind(py);
    Ok(boolean(py, key.is_some_and(|key| event_loop.get().timer_is_set(py, key))))
}

fn hash(slf: &Bound<'_, TimerHandle>) -> PyResult<isize> {
    slf.contents().when.object(slf.py()).hash()
}

fn compare<'py>(
    slf: &Bound<'py, TimerHandle>,
    other: &Bound<'py, PyAny>,
    operator: CompareOp,
) -> Returned<'py> {
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
        let equal = compare(slf, other, CompareOp::Eq)?;
        if equal.is(slf.py().NotImplemented()) {
            return Ok(equal);
        }
        return Ok(boolean(slf.py(), !equal.is_truthy()?));
    }
    imported::timer_handle_class(slf.py())?.call_method1(name, (slf, other))
}
