//! `Future` as Python code sees it.

use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::{Future, Waiter, iterator};
use crate::ffi::context;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::class::{self, Class, init, unary_slot};
use crate::ffi::native::method::{
    Attribute, Method, Returned, attribute, boolean, class_method, none, with_arguments,
    with_object, without_arguments,
};
use crate::ffi::native::object::Native;
use crate::ffi::owned::Owned;
use crate::imported;

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(crate) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let class = Class {
        doc: c"Future(*, loop=None)\n--\n\nA result that is not there yet; `asyncio.Future` by interface and by `isinstance`.",
        base: None,
        methods: methods(),
        attributes: attributes(),
        slots: vec![
            init!(Future, init),
            unary_slot!(Future, Py_tp_repr, repr),
            unary_slot!(Future, Py_tp_iter, iterator::create),
            unary_slot!(Future, Py_am_await, iterator::create),
        ],
        has_dict: true,
        subclassable: true,
    };
    let class = class::build::<Future>(module.py(), class)?;
    module.add("Future", class)
}

fn methods() -> Vec<Method> {
    vec![
        without_arguments!(
            Future,
            c"result",
            result,
            c"result($self, /)\n--\n\nThe result; raises the exception, CancelledError or InvalidStateError instead."
        ),
        without_arguments!(
            Future,
            c"exception",
            exception,
            c"exception($self, /)\n--\n\nThe exception that was set, or None; raises CancelledError or InvalidStateError."
        ),
        with_object!(
            Future,
            c"set_result",
            set_result,
            c"set_result($self, result, /)\n--\n\nMarks the future done, with a result; raises InvalidStateError if it is done."
        ),
        with_object!(
            Future,
            c"set_exception",
            set_exception,
            c"set_exception($self, exception, /)\n--\n\nMarks the future done, with an exception; raises InvalidStateError if it is done."
        ),
        with_arguments!(
            Future,
            c"add_done_callback",
            add_done_callback,
            c"add_done_callback($self, fn, /, *, context=None)\n--\n\nHas `fn(future)` called, in `context`, when the future is done."
        ),
        with_object!(
            Future,
            c"remove_done_callback",
            remove_done_callback,
            c"remove_done_callback($self, fn, /)\n--\n\nRemoves a callback and returns how often it was there."
        ),
        with_arguments!(
            Future,
            c"cancel",
            cancel,
            c"cancel($self, /, msg=None)\n--\n\nCancels the future; False if it is done."
        ),
        without_arguments!(
            Future,
            c"cancelled",
            cancelled,
            c"cancelled($self, /)\n--\n\nWhether the future was cancelled."
        ),
        without_arguments!(
            Future,
            c"done",
            done,
            c"done($self, /)\n--\n\nWhether there is a result, an exception or a cancellation."
        ),
        without_arguments!(
            Future,
            c"get_loop",
            get_loop,
            c"get_loop($self, /)\n--\n\nThe loop to which the future belongs."
        ),
        without_arguments!(
            Future,
            c"_make_cancelled_error",
            make_cancelled_error,
            c"_make_cancelled_error($self, /)\n--\n\nThe CancelledError with which whoever asks is answered."
        ),
        class_method!(
            c"__class_getitem__",
            class_getitem,
            c"__class_getitem__($type, item, /)\n--\n\nSee PEP 585."
        ),
    ]
}

fn attributes() -> Vec<Attribute> {
    vec![
        attribute!(Future, c"__class__", asyncio_class),
        attribute!(Future, c"_state", state),
        attribute!(Future, c"_asyncio_future_blocking", blocking, set_blocking),
        attribute!(Future, c"_loop", loop_or_none),
        attribute!(Future, c"_callbacks", callbacks),
        attribute!(Future, c"_result", raw_result),
        attribute!(Future, c"_exception", raw_exception),
        attribute!(Future, c"_log_traceback", log_traceback, set_log_traceback),
        attribute!(Future, c"_source_traceback", source_traceback),
        attribute!(Future, c"_cancel_message", cancel_message, set_cancel_message),
    ]
}

const INIT: Signature<0, 1> =
    Signature { function: "Future", positional: [], required: 0, rest: false, keywords: [c"loop"] };

const ADD_DONE_CALLBACK: Signature<1, 1> = Signature {
    function: "add_done_callback",
    positional: [c""],
    required: 1,
    rest: false,
    keywords: [c"context"],
};

/// `cancel(msg=None)`, of tasks, too.
pub(crate) const CANCEL: Signature<1, 0> =
    Signature { function: "cancel", positional: [c"msg"], required: 0, rest: false, keywords: [] };

fn init<'py>(slf: &Bound<'py, Future>, call: Call<'_, 'py>) -> PyResult<()> {
    let sorted = call.sorted(&INIT)?;
    let event_loop = sorted.keywords[0].filter(|event_loop| !event_loop.is_none());
    slf.contents().begin(slf.py(), event_loop.as_deref())
}

fn repr<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    slf.contents().event_loop(slf.py())?;
    named(slf.as_any(), imported::future_repr(slf.py())?.call1((slf,))?)
}

/// A repr of asyncio's, which goes by `__class__`, under the name of the object's own type.
pub(crate) fn named<'py>(object: &Bound<'py, PyAny>, repr: Bound<'py, PyAny>) -> Returned<'py> {
    let name = object.get_type().name()?.to_string();
    let shown = repr.extract::<String>()?;
    match shown.split_once(' ') {
        Some((first, rest)) if first.starts_with('<') && first[1..] != name => {
            Ok(PyString::new(object.py(), &format!("<{name} {rest}")).into_any())
        }
        _ => Ok(repr),
    }
}

/// Answers `asyncio.Future`, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    Ok(imported::future_class(slf.py())?.clone().into_any())
}

fn class_getitem<'py>(class: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> Returned<'py> {
    imported::generic_alias(class.py())?.call1((class, item))
}

fn result<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    slf.contents().result(slf.py())
}

fn exception<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    let exception = slf.contents().exception(slf.py())?;
    Ok(exception.unwrap_or_else(|| none(slf.py())))
}

fn set_result<'py>(slf: &Bound<'py, Future>, result: &Bound<'py, PyAny>) -> Returned<'py> {
    slf.contents().set_result(slf.as_any(), result.clone()).map(|()| none(slf.py()))
}

fn set_exception<'py>(slf: &Bound<'py, Future>, exception: &Bound<'py, PyAny>) -> Returned<'py> {
    slf.contents().set_exception(slf.as_any(), exception).map(|()| none(slf.py()))
}

fn add_done_callback<'py>(slf: &Bound<'py, Future>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = slf.py();
    let sorted = call.sorted(&ADD_DONE_CALLBACK)?;
    let Some(callback) = sorted.positional[0] else { return Ok(none(py)) };
    let context = match sorted.keywords[0].filter(|context| !context.is_none()) {
        Some(context) => (*context).clone(),
        None => context::copy_current(py)?,
    };
    let waiter = Waiter::Callback {
        callback: Owned::new((*callback).clone()),
        context: Owned::new(context),
    };
    slf.contents().add_waiter(slf.as_any(), waiter)?;
    Ok(none(py))
}

fn remove_done_callback<'py>(
    slf: &Bound<'py, Future>,
    callback: &Bound<'py, PyAny>,
) -> Returned<'py> {
    let removed = slf.contents().remove_waiters(slf.py(), callback)?;
    Ok(removed.into_pyobject(slf.py())?.into_any())
}

fn cancel<'py>(slf: &Bound<'py, Future>, call: Call<'_, 'py>) -> Returned<'py> {
    let sorted = call.sorted(&CANCEL)?;
    let message = sorted.positional[0];
    let cancelled = slf.contents().cancel(slf.as_any(), message.as_deref())?;
    Ok(boolean(slf.py(), cancelled))
}

fn cancelled<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    let status = slf.contents().status(slf.py());
    Ok(boolean(slf.py(), status == super::Status::Cancelled))
}

fn done<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    Ok(boolean(slf.py(), !slf.contents().is_pending(slf.py())))
}

fn get_loop<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    Ok(slf.contents().event_loop(slf.py())?.object(slf.py()))
}

fn make_cancelled_error<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    slf.contents().cancelled_error(slf.py())
}

fn state<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    slf.contents().event_loop(slf.py())?;
    Ok(PyString::intern(slf.py(), slf.contents().status(slf.py()).name()).into_any())
}

fn blocking<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    let (begun, blocking) =
        slf.contents().state.with(slf.py(), |state| (state.event_loop.is_some(), state.blocking));
    Ok(boolean(slf.py(), begun && blocking))
}

fn set_blocking(slf: &Bound<'_, Future>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    slf.contents().event_loop(slf.py())?;
    let value = not_deleted(value)?.is_truthy()?;
    slf.contents().state.with(slf.py(), |state| state.blocking = value);
    Ok(())
}

fn loop_or_none<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    let event_loop = slf.contents().state.with(slf.py(), |state| state.event_loop.clone());
    Ok(event_loop.map_or_else(|| none(slf.py()), |event_loop| event_loop.object(slf.py())))
}

fn callbacks<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    slf.contents().event_loop(slf.py())?;
    let waiters = slf.contents().waiters(slf.py())?;
    Ok(waiters.map_or_else(|| none(slf.py()), Bound::into_any))
}

fn raw_result<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    outcome_if(slf, super::Status::Returned)
}

fn raw_exception<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    outcome_if(slf, super::Status::Raised)
}

fn outcome_if<'py>(slf: &Bound<'py, Future>, status: super::Status) -> Returned<'py> {
    let py = slf.py();
    slf.contents().event_loop(py)?;
    let outcome = slf
        .contents()
        .state
        .with(py, |state| if state.status == status { state.outcome.clone() } else { None });
    Ok(outcome.map_or_else(|| none(py), |outcome| outcome.into_bound(py)))
}

fn log_traceback<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    slf.contents().event_loop(slf.py())?;
    Ok(boolean(slf.py(), slf.contents().state.with(slf.py(), |state| state.log_traceback)))
}

fn set_log_traceback(slf: &Bound<'_, Future>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if not_deleted(value)?.is_truthy()? {
        return Err(PyValueError::new_err("_log_traceback can only be set to False"));
    }
    slf.contents().state.with(slf.py(), |state| state.log_traceback = false);
    Ok(())
}

fn source_traceback<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    rare(slf, |rare| rare.source_traceback.clone())
}

fn cancel_message<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    rare(slf, |rare| rare.cancel_message.clone())
}

fn rare<'py>(
    slf: &Bound<'py, Future>,
    part: impl FnOnce(&super::Rare) -> Option<Owned>,
) -> Returned<'py> {
    let py = slf.py();
    let part = slf.contents().state.with(py, |state| state.rare.as_deref().and_then(part));
    Ok(part.map_or_else(|| none(py), |part| part.into_bound(py)))
}

fn set_cancel_message(slf: &Bound<'_, Future>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    slf.contents().set_cancel_message(slf.py(), Some(not_deleted(value)?));
    Ok(())
}

/// # Errors
/// `AttributeError` if the attribute is to be deleted.
pub(crate) fn not_deleted<'a, 'py>(
    value: Option<&'a Bound<'py, PyAny>>,
) -> PyResult<&'a Bound<'py, PyAny>> {
    value.ok_or_else(|| PyAttributeError::new_err("cannot delete attribute"))
}
