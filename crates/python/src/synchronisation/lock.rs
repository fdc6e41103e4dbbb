//! `Lock`: one task at a time, in the order in which they came.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::coroutine::{self, Next, Operation, Outcome};
use super::waiter::{Awaited, LoopBinding, Waiters, listed};
use crate::ffi::cell::AttachedCell;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::class::{self, Class, init, unary_slot};
use crate::ffi::native::method::{
    Returned, attribute, boolean, none, with_arguments, without_arguments,
};
use crate::ffi::native::object::{Contents, Native, Stop, Visitor, native_class};
use crate::ffi::owned::Owned;
use crate::imported;

/// The contents of a lock.
#[derive(Default)]
pub(crate) struct Lock {
    state: AttachedCell<State>,
    binding: LoopBinding,
}

#[derive(Default)]
struct State {
    locked: bool,
    waiters: Waiters,
}

native_class!(Lock, c"rondel._rondel.Lock");

impl Contents for Lock {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.state.visit(|state| state.waiters.visit(visitor)).unwrap_or(Ok(()))?;
        self.binding.visit(visitor)
    }

    fn clear(&self) {
        drop(self.state.visit(|state| std::mem::take(&mut state.waiters)));
        self.binding.clear();
    }

    fn blank() -> Option<Self> {
        Some(Self::default())
    }
}

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(super) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let class = Class {
        doc: c"Lock()\n--\n\nOne task at a time, in the order in which they came; `asyncio.Lock` by interface and by `isinstance`.",
        base: None,
        methods: vec![
            without_arguments!(
                Lock,
                c"acquire",
                acquire,
                c"acquire($self, /)\n--\n\nTo be awaited: waits until the lock is free, takes it and returns True."
            ),
            without_arguments!(
                Lock,
                c"release",
                release,
                c"release($self, /)\n--\n\nGives the lock up, and the next task its turn; raises RuntimeError if it is free."
            ),
            without_arguments!(
                Lock,
                c"locked",
                locked,
                c"locked($self, /)\n--\n\nWhether somebody has the lock."
            ),
            without_arguments!(
                Lock,
                c"__aenter__",
                enter,
                c"__aenter__($self, /)\n--\n\nTo be awaited: acquires the lock and returns None."
            ),
            with_arguments!(
                Lock,
                c"__aexit__",
                exit,
                c"__aexit__($self, /, exc_type, exc, tb)\n--\n\nTo be awaited: releases the lock."
            ),
        ],
        attributes: vec![
            attribute!(Lock, c"__class__", asyncio_class),
            attribute!(Lock, c"_locked", locked),
            attribute!(Lock, c"_waiters", waiters),
            attribute!(Lock, c"_loop", bound_loop, bind_loop),
        ],
        slots: vec![init!(Lock, init), unary_slot!(Lock, Py_tp_repr, repr)],
        has_dict: true,
        subclassable: true,
    };
    let class = class::build::<Lock>(module.py(), class)?;
    module.add("Lock", class)
}

const INIT: Signature<0, 0> =
    Signature { function: "Lock.__init__", positional: [], required: 0, rest: false, keywords: [] };

const EXIT: Signature<3, 0> = Signature {
    function: "Lock.__aexit__",
    positional: [c"exc_type", c"exc", c"tb"],
    required: 3,
    rest: false,
    keywords: [],
};

fn init<'py>(slf: &Bound<'py, Lock>, call: Call<'_, 'py>) -> PyResult<()> {
    call.sorted(&INIT)?;
    drop(slf.contents().state.with(slf.py(), std::mem::take));
    Ok(())
}

fn acquire<'py>(slf: &Bound<'py, Lock>) -> Returned<'py> {
    coroutine::create(slf.py(), Operation::LockAcquire(Owned::new(slf.clone())))
}

fn enter<'py>(slf: &Bound<'py, Lock>) -> Returned<'py> {
    coroutine::create(slf.py(), Operation::LockEnter(Owned::new(slf.clone())))
}

fn exit<'py>(slf: &Bound<'py, Lock>, call: Call<'_, 'py>) -> Returned<'py> {
    call.sorted(&EXIT)?;
    coroutine::create(slf.py(), Operation::LockExit(Owned::new(slf.clone())))
}

fn release<'py>(slf: &Bound<'py, Lock>) -> Returned<'py> {
    let py = slf.py();
    if !slf.contents().state.with(py, |state| std::mem::take(&mut state.locked)) {
        return Err(PyRuntimeError::new_err("Lock is not acquired."));
    }
    slf.contents().wake_first(py)?;
    Ok(none(py))
}

impl Lock {
    /// Has the first who waits go on, unless it will anyway.
    #[inline]
    fn wake_first(&self, py: Python<'_>) -> PyResult<()> {
        match self.state.with(py, |state| state.waiters.get(0)) {
            Some(waiter) => waiter.wake(py).map(drop),
            None => Ok(()),
        }
    }

    /// Takes the lock if it is free and nobody waits for it but those who were cancelled.
    #[inline]
    fn try_acquire(&self, py: Python<'_>) -> PyResult<bool> {
        let mut at = 0;
        loop {
            let (refused, waiter) = self.state.with(py, |state| {
                if state.locked {
                    return (true, None);
                }
                let waiter = state.waiters.get(at);
                state.locked = waiter.is_none();
                (false, waiter)
            });
            let Some(waiter) = waiter else { return Ok(!refused) };
            if !waiter.is_cancelled(py)? {
                return Ok(false);
            }
            at += 1;
        }
    }

    #[inline]
    pub(super) fn begin_acquire<'py>(slf: &Bound<'py, Self>) -> PyResult<Next<'py>> {
        let py = slf.py();
        let lock = slf.contents();
        if lock.try_acquire(py)? {
            return Ok(Next::Return(boolean(py, true)));
        }
        let waiter = lock.binding.waiter(slf.as_any())?;
        let awaited = Awaited::future(py, waiter.clone())?;
        lock.state.with(py, |state| state.waiters.push(waiter));
        Ok(Next::Await(awaited))
    }

    #[inline]
    pub(super) fn acquire_resumed<'py>(
        slf: &Bound<'py, Self>,
        awaited: &Awaited,
        outcome: Outcome<'py>,
    ) -> PyResult<Next<'py>> {
        let py = slf.py();
        // A subclass's own `acquire` sees to everything itself.
        let Some(waiter) = awaited.waiter() else { return outcome.map(Next::Return) };
        let lock = slf.contents();
        drop(lock.state.with(py, |state| state.waiters.remove(waiter)));
        match outcome {
            Ok(_) => {
                lock.state.with(py, |state| state.locked = true);
                Ok(Next::Return(boolean(py, true)))
            }
            Err(error) => {
                // It may have been its turn: the next one's, then.
                if error.is_instance(py, imported::cancelled_error(py)?)
                    && !lock.state.with(py, |state| state.locked)
                {
                    lock.wake_first(py)?;
                }
                Err(error)
            }
        }
    }

    #[inline]
    pub(super) fn begin_enter<'py>(slf: &Bound<'py, Self>) -> PyResult<Next<'py>> {
        let py = slf.py();
        if !slf.as_any().is_exact_instance_of::<Self>() {
            let own = slf.as_any().call_method0(intern!(py, "acquire"))?;
            return Awaited::other(&own).map(Next::Await);
        }
        match Self::begin_acquire(slf)? {
            Next::Return(_) => Ok(Next::Return(none(py))),
            awaits @ (Next::Await(_) | Next::Turn) => Ok(awaits),
        }
    }

    #[inline]
    pub(super) fn exit<'py>(slf: &Bound<'py, Self>) -> Returned<'py> {
        if slf.as_any().is_exact_instance_of::<Self>() {
            return release(slf);
        }
        let py = slf.py();
        slf.as_any().call_method0(intern!(py, "release")).map(|_| none(py))
    }
}

fn locked<'py>(slf: &Bound<'py, Lock>) -> Returned<'py> {
    Ok(boolean(slf.py(), slf.contents().state.with(slf.py(), |state| state.locked)))
}

fn waiters<'py>(slf: &Bound<'py, Lock>) -> Returned<'py> {
    let py = slf.py();
    listed(py, &slf.contents().state.with(py, |state| state.waiters.all()))
}

fn bound_loop<'py>(slf: &Bound<'py, Lock>) -> Returned<'py> {
    Ok(slf.contents().binding.get(slf.py()))
}

fn bind_loop(slf: &Bound<'_, Lock>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    slf.contents().binding.set(event_loop, slf.py());
    Ok(())
}

fn repr<'py>(slf: &Bound<'py, Lock>) -> Returned<'py> {
    let (locked, waiters) =
        slf.contents().state.with(slf.py(), |state| (state.locked, state.waiters.len()));
    shown(slf.as_any(), if locked { "locked" } else { "unlocked" }, waiters)
}

/// As asyncio shows a lock or an event, under the name of the object's own type.
pub(super) fn shown<'py>(object: &Bound<'py, PyAny>, state: &str, waiters: usize) -> Returned<'py> {
    let py = object.py();
    let own = py.get_type::<PyAny>().call_method1(intern!(py, "__repr__"), (object,))?;
    let own = own.cast::<PyString>()?.to_string_lossy().into_owned();
    let own = own.trim_end_matches('>');
    let shown = match waiters {
        0 => format!("{own} [{state}]>"),
        _ => format!("{own} [{state}, waiters:{waiters}]>"),
    };
    Ok(PyString::new(py, &shown).into_any())
}

/// Answers `asyncio.Lock`, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, Lock>) -> Returned<'py> {
    Ok(imported::lock_class(slf.py())?.clone().into_any())
}
