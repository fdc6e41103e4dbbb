//! What `await future` goes through: yields the future once, then has its result.

use pyo3::exceptions::{PyDeprecationWarning, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTraceback;

use super::{Future, Status};
use crate::ffi::cell::AttachedCell;
use crate::ffi::coroutine::Step;
use crate::ffi::exception;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::class::{self, Class, next_slot, send_slot, unary_slot};
use crate::ffi::native::method::{Returned, none, with_arguments, with_object, without_arguments};
use crate::ffi::native::object::{self, Contents, Native, Stop, Visitor, native_class};
use crate::ffi::owned::Owned;

/// The iterator of one `await`.
pub(crate) struct FutureIterator {
    /// Given up at the end.
    future: AttachedCell<Option<Owned<Future>>>,
}

native_class!(FutureIterator, c"rondel._rondel.FutureIterator");

impl Contents for FutureIterator {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.future.visit(|future| visitor.all(&*future)).unwrap_or(Ok(()))
    }

    fn clear(&self) {
        drop(self.future.visit(Option::take));
    }
}

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(crate) fn make_class(py: Python<'_>) -> PyResult<()> {
    let class = Class {
        doc: c"What `await future` goes through.",
        base: None,
        methods: vec![
            with_object!(FutureIterator, c"send", send, c"send($self, value, /)\n--\n\n"),
            with_arguments!(
                FutureIterator,
                c"throw",
                throw,
                c"throw($self, type, val=None, tb=None, /)\n--\n\n"
            ),
            without_arguments!(FutureIterator, c"close", close, c"close($self, /)\n--\n\n"),
        ],
        attributes: vec![],
        slots: vec![
            unary_slot!(FutureIterator, Py_tp_iter, itself),
            next_slot!(FutureIterator, resume),
            send_slot!(FutureIterator, resume),
        ],
        has_dict: false,
        subclassable: false,
    };
    class::build::<FutureIterator>(py, class).map(drop)
}

/// `Future.__await__` and `Future.__iter__`.
#[inline]
pub(crate) fn create<'py>(slf: &Bound<'py, Future>) -> Returned<'py> {
    let future = AttachedCell::new(Some(Owned::new(slf.clone())));
    object::create(slf.py(), FutureIterator { future }).map(Bound::into_any)
}

/// One step, whatever is sent.
#[inline]
fn resume<'py>(slf: &Bound<'py, FutureIterator>) -> PyResult<Step<'py>> {
    let py = slf.py();
    let iterator = slf.contents();
    let at = iterator.future.with(py, |held| {
        let Some(future) = held else { return At::End };
        let blocked = future.contents().state.with(py, |state| {
            let pending = state.status == Status::Pending;
            pending.then(|| std::mem::replace(&mut state.blocking, true))
        });
        match blocked {
            Some(false) => At::Yield(future.get(py)),
            Some(true) => At::NotAwaited,
            None => held.take().map_or(At::End, |future| At::Done(future.into_bound(py))),
        }
    });
    match at {
        At::Yield(future) => Ok(Step::Yielded(future.into_any())),
        At::Done(future) => future.contents().result(py).map(Step::Returned),
        At::NotAwaited => Err(not_awaited()),
        At::End => Ok(Step::Returned(none(py))),
    }
}

/// One step of awaiting a future, by whoever keeps it meanwhile.
///
/// # Errors
/// The future's exception; `RuntimeError` if it is not done the second time.
#[inline]
pub(crate) fn await_step<'py>(future: &Bound<'py, Future>) -> PyResult<Step<'py>> {
    let py = future.py();
    let blocked = future.contents().state.with(py, |state| {
        let pending = state.status == Status::Pending;
        pending.then(|| std::mem::replace(&mut state.blocking, true))
    });
    match blocked {
        Some(false) => Ok(Step::Yielded(future.clone().into_any())),
        Some(true) => Err(not_awaited()),
        None => future.contents().result(py).map(Step::Returned),
    }
}

#[cold]
fn not_awaited() -> PyErr {
    PyRuntimeError::new_err("await wasn't used with future")
}

/// Where an iterator is.
enum At<'py> {
    /// At the beginning.
    Yield(Bound<'py, Future>),
    /// Behind the `yield`, and the future is done.
    Done(Bound<'py, Future>),
    /// There, and the future is not done.
    NotAwaited,
    End,
}

fn itself<'py>(slf: &Bound<'py, FutureIterator>) -> Returned<'py> {
    Ok(slf.clone().into_any())
}

fn send<'py>(slf: &Bound<'py, FutureIterator>, _value: &Bound<'py, PyAny>) -> Returned<'py> {
    match resume(slf)? {
        Step::Yielded(future) => Ok(future),
        Step::Returned(result) => Err(exception::stop_iteration(result)),
    }
}

fn close<'py>(slf: &Bound<'py, FutureIterator>) -> Returned<'py> {
    drop(slf.contents().future.with(slf.py(), Option::take));
    Ok(none(slf.py()))
}

const THROW: Signature<3, 0> = Signature {
    function: "throw",
    positional: [c"", c"", c""],
    required: 1,
    rest: false,
    keywords: [],
};

fn throw<'py>(slf: &Bound<'py, FutureIterator>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = slf.py();
    let error = thrown(py, call)?;
    drop(slf.contents().future.with(py, Option::take));
    Err(PyErr::from_value(error))
}

/// The exception that `throw(type, val=None, tb=None)` is given.
///
/// # Errors
/// `TypeError` for what is none; what calling its class raises.
pub(crate) fn thrown<'py>(py: Python<'py>, call: Call<'_, 'py>) -> Returned<'py> {
    let [given, value, traceback] = call.sorted(&THROW)?.positional;
    let Some(given) = given else { return Err(PyTypeError::new_err("nothing to throw")) };
    if cfg!(Py_3_12) && (value.is_some() || traceback.is_some()) {
        let message = c"the (type, exc, tb) signature of throw() is deprecated, \
                        use the single-arg signature instead.";
        PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), message, 1)?;
    }
    let value = value.filter(|value| !value.is_none());
    let traceback = traceback.filter(|traceback| !traceback.is_none());
    if traceback.is_some_and(|traceback| !traceback.is_instance_of::<PyTraceback>()) {
        return Err(PyTypeError::new_err("throw() third argument must be a traceback"));
    }
    let error = if exception::is_class(&given) {
        match value {
            None => given.call0()?,
            Some(value) if value.is_instance(&given)? => (*value).clone(),
            Some(value) => given.call1((value,))?,
        }
    } else if exception::is_instance(&given) {
        if value.is_some() {
            return Err(PyTypeError::new_err("instance exception may not have a separate value"));
        }
        (*given).clone()
    } else {
        return Err(PyTypeError::new_err(
            "exceptions must be classes deriving BaseException or instances of such a class",
        ));
    };
    if let Some(traceback) = traceback {
        exception::set_traceback(&error, &traceback)?;
    }
    Ok(error)
}
