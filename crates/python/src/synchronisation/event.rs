//! `Event`: a flag, for which any number of tasks waits.

use pyo3::prelude::*;

use super::coroutine::{self, Next, Operation, Outcome};
use super::lock::shown;
use super::waiter::{Awaited, LoopBinding, Waiters, listed};
use crate::ffi::cell::AttachedCell;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::class::{self, Class, init, unary_slot};
use crate::ffi::native::method::{Returned, attribute, boolean, none, without_arguments};
use crate::ffi::native::object::{Contents, Native, Stop, Visitor, native_class};
use crate::ffi::owned::Owned;
use crate::imported;

/// The contents of an event.
#[derive(Default)]
pub(crate) struct Event {
    state: AttachedCell<State>,
    binding: LoopBinding,
}

#[derive(Default)]
struct State {
    is_set: bool,
    waiters: Waiters,
}

native_class!(Event, c"rondel._rondel.Event");

impl Contents for Event {
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
        doc: c"Event()\n--\n\nA flag that tasks wait for; `asyncio.Event` by interface and by `isinstance`.",
        base: None,
        methods: vec![
            without_arguments!(
                Event,
                c"is_set",
                is_set,
                c"is_set($self, /)\n--\n\nWhether the flag is set."
            ),
            without_arguments!(
                Event,
                c"set",
                set,
                c"set($self, /)\n--\n\nSets the flag, and has all who wait for it go on."
            ),
            without_arguments!(
                Event,
                c"clear",
                clear,
                c"clear($self, /)\n--\n\nTakes the flag down: who comes then waits for the next `set()`."
            ),
            without_arguments!(
                Event,
                c"wait",
                wait,
                c"wait($self, /)\n--\n\nTo be awaited: waits until the flag is set, and returns True."
            ),
        ],
        attributes: vec![
            attribute!(Event, c"__class__", asyncio_class),
            attribute!(Event, c"_value", is_set),
            attribute!(Event, c"_waiters", waiters),
            attribute!(Event, c"_loop", bound_loop, bind_loop),
        ],
        slots: vec![init!(Event, init), unary_slot!(Event, Py_tp_repr, repr)],
        has_dict: true,
        subclassable: true,
    };
    let class = class::build::<Event>(module.py(), class)?;
    module.add("Event", class)
}

const INIT: Signature<0, 0> = Signature {
    function: "Event.__init__",
    positional: [],
    required: 0,
    rest: false,
    keywords: [],
};

fn init<'py>(slf: &Bound<'py, Event>, call: Call<'_, 'py>) -> PyResult<()> {
    call.sorted(&INIT)?;
    drop(slf.contents().state.with(slf.py(), std::mem::take));
    Ok(())
}

fn is_set<'py>(slf: &Bound<'py, Event>) -> Returned<'py> {
    Ok(boolean(slf.py(), slf.contents().state.with(slf.py(), |state| state.is_set)))
}

fn set<'py>(slf: &Bound<'py, Event>) -> Returned<'py> {
    let py = slf.py();
    slf.contents().set(py)?;
    Ok(none(py))
}

fn clear<'py>(slf: &Bound<'py, Event>) -> Returned<'py> {
    slf.contents().clear(slf.py());
    Ok(none(slf.py()))
}

fn wait<'py>(slf: &Bound<'py, Event>) -> Returned<'py> {
    coroutine::create(slf.py(), Operation::EventWait(Owned::new(slf.clone())))
}

impl Event {
    pub(super) fn set(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.with(py, |state| std::mem::replace(&mut state.is_set, true)) {
            return Ok(());
        }
        // They take themselves out when they go on.
        let mut at = 0;
        while let Some(waiter) = self.state.with(py, |state| state.waiters.get(at)) {
            waiter.wake(py)?;
            at += 1;
        }
        Ok(())
    }

    pub(super) fn clear(&self, py: Python<'_>) {
        self.state.with(py, |state| state.is_set = false);
    }

    #[inline]
    pub(super) fn begin_wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Next<'py>> {
        let py = slf.py();
        let event = slf.contents();
        if event.state.with(py, |state| state.is_set) {
            return Ok(Next::Return(boolean(py, true)));
        }
        let waiter = event.binding.waiter(slf.as_any())?;
        let awaited = Awaited::future(py, waiter.clone())?;
        let is_set = event.state.with(py, |state| {
            if !state.is_set {
                state.waiters.push(waiter);
            }
            state.is_set // by what the collector ran while the future was made
        });
        if is_set {
            return Ok(Next::Return(boolean(py, true)));
        }
        Ok(Next::Await(awaited))
    }

    #[inline]
    pub(super) fn wait_resumed<'py>(
        slf: &Bound<'py, Self>,
        awaited: &Awaited,
        outcome: Outcome<'py>,
    ) -> PyResult<Next<'py>> {
        let py = slf.py();
        if let Some(waiter) = awaited.waiter() {
            drop(slf.contents().state.with(py, |state| state.waiters.remove(waiter)));
        }
        outcome.map(|_| Next::Return(boolean(py, true)))
    }
}

fn waiters<'py>(slf: &Bound<'py, Event>) -> Returned<'py> {
    let py = slf.py();
    listed(py, &slf.contents().state.with(py, |state| state.waiters.all()))
}

fn bound_loop<'py>(slf: &Bound<'py, Event>) -> Returned<'py> {
    Ok(slf.contents().binding.get(slf.py()))
}

fn bind_loop(slf: &Bound<'_, Event>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    slf.contents().binding.set(event_loop, slf.py());
    Ok(())
}

fn repr<'py>(slf: &Bound<'py, Event>) -> Returned<'py> {
    let (is_set, waiters) =
        slf.contents().state.with(slf.py(), |state| (state.is_set, state.waiters.len()));
    shown(slf.as_any(), if is_set { "set" } else { "unset" }, waiters)
}

/// Answers `asyncio.Event`, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, Event>) -> Returned<'py> {
    Ok(imported::event_class(slf.py())?.clone().into_any())
}
