//! Those who wait for a future, in the order in which they came.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::{EventLoop, Future};
use crate::callback::Callback;
use crate::errors::{ends_the_run, loop_is_closed};
use crate::event_loop::LoopCore;
use crate::ffi::context::{Arguments, call_in};
use crate::ffi::native::object::{self, Native, Stop, Visitor};
use crate::ffi::owned::Owned;
use crate::handle::Handle;
#[cfg(not(Py_3_14))]
use crate::synchronisation::{Gathering, bound_child_is_done};
use crate::task::{Task, bound_wake_up};

/// Who is resumed when a future is done.
#[derive(Clone)]
pub(crate) enum Waiter {
    /// A callback, called with the future, in a context.
    Callback { callback: Owned, context: Owned },
    /// A task of ours, whose coroutine awaits the future.
    Task(Owned<Task>),
    /// A future of ours that gathers this one with others.
    #[cfg(not(Py_3_14))]
    Gathering(Owned<Gathering>),
}

/// Waiters: mostly one, sometimes none, rarely more.
#[derive(Default)]
pub(crate) struct Waiters {
    first: Option<Waiter>,
    others: Vec<Waiter>,
}

impl Waiters {
    pub(crate) fn push(&mut self, waiter: Waiter) {
        if self.first.is_none() && self.others.is_empty() {
            self.first = Some(waiter);
        } else {
            self.others.push(waiter);
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }

    /// Takes the waiter out if nobody else waits.
    #[inline]
    fn only(&mut self) -> Option<Waiter> {
        if self.others.is_empty() { self.first.take() } else { None }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.first.iter().chain(&self.others)
    }

    pub(crate) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.iter().try_for_each(|waiter| match waiter {
            Waiter::Callback { callback, context } => {
                visitor.visit(callback)?;
                visitor.visit(context)
            }
            Waiter::Task(task) => visitor.visit(task),
            #[cfg(not(Py_3_14))]
            Waiter::Gathering(gathering) => visitor.visit(gathering),
        })
    }
}

impl IntoIterator for Waiters {
    type Item = Waiter;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Waiter>, std::vec::IntoIter<Waiter>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

impl Waiter {
    /// The callable that stands for it.
    fn callable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Callback { callback, .. } => Ok(callback.get(py)),
            Self::Task(task) => bound_wake_up(&task.bind(py)),
            #[cfg(not(Py_3_14))]
            Self::Gathering(gathering) => bound_child_is_done(&gathering.bind(py)),
        }
    }

    fn context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Callback { context, .. } => context.get(py),
            Self::Task(task) => task.contents().context(py),
            #[cfg(not(Py_3_14))]
            Self::Gathering(gathering) => gathering.contents().context(py),
        }
    }

    /// Has the waiter resumed in the next turn.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed; what somebody else's `call_soon` raises.
    #[inline]
    pub(crate) fn resume(self, future: &Bound<'_, PyAny>, event_loop: &EventLoop) -> PyResult<()> {
        let py = future.py();
        let Some(core) = event_loop.queue(py) else {
            let (callable, context) = (self.callable(py)?, self.context(py));
            return event_loop.call_soon(py, &callable, Some(future), &context);
        };
        let entry = match self {
            Self::Callback { callback, context } => {
                let arguments = Arguments::One(Owned::new(future.clone()));
                let (callback, context) = (callback.into_bound(py), context.into_bound(py));
                let vacant = object::vacant(py)?;
                let contents = Handle::new(&core, callback, arguments, context);
                return Handle::schedule(vacant, &core, contents).map(drop);
            }
            Self::Task(task) => Callback::WakeUp(task),
            #[cfg(not(Py_3_14))]
            Self::Gathering(gathering) => {
                gathering.contents().arrives(future);
                Callback::Gathered(gathering)
            }
        };
        core.get().push(py, entry)
    }
}

/// A callback of a future that is done, which is in the queue as that future: most end with one,
/// and it needs no handle.
pub(crate) struct Scheduled {
    callback: Owned,
    context: Owned,
}

impl Scheduled {
    pub(crate) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        visitor.visit(&self.callback)?;
        visitor.visit(&self.context)
    }
}

impl Future {
    /// Calls the callback that is scheduled, and reports what it raises.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    pub(crate) fn run_scheduled(
        core: &Bound<'_, LoopCore>,
        object: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = object.py();
        let future = object.cast::<Self>()?.contents();
        let scheduled = future.state.with(py, |state| state.scheduled.take());
        let Some(Scheduled { callback, context }) = scheduled else { return Ok(()) };
        let (callback, context) = (callback.into_bound(py), context.into_bound(py));
        let arguments = Arguments::One(Owned::new(object.clone()));
        match call_in(&context, &callback, &arguments) {
            Ok(_) => Ok(()),
            Err(error) if ends_the_run(py, &error) => Err(error),
            Err(error) => {
                let (of, given) = (callback.clone(), arguments.clone());
                let handle = Handle::create(core, of, given, Some(context))?;
                Handle::report(&handle, &callback, &arguments, error)
            }
        }
    }

    /// Has everybody who waits resumed in the next turn.
    ///
    /// # Errors
    /// Those of [`Waiter::resume`].
    #[inline]
    pub(crate) fn resume_all(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = object.py();
        let left = self.state.with(py, |state| {
            let event_loop = state.event_loop.as_ref()?;
            if state.waiters.is_empty() {
                return None;
            }
            // What most futures end with.
            if let Some(core) = event_loop.queue(py)
                && state.scheduled.is_none()
                && let Some(only) = state.waiters.only()
            {
                let entry = match only {
                    Waiter::Task(task) => Callback::WakeUp(task),
                    Waiter::Callback { callback, context } => {
                        state.scheduled = Some(Scheduled { callback, context });
                        Callback::Done(Owned::new(object.clone()))
                    }
                    #[cfg(not(Py_3_14))]
                    Waiter::Gathering(gathering) => {
                        gathering.contents().arrives(object);
                        Callback::Gathered(gathering)
                    }
                };
                return core.get().offer(py, entry).map(Err);
            }
            Some(Ok((std::mem::take(&mut state.waiters), event_loop.clone())))
        });
        let Some(left) = left else { return Ok(()) };
        let (waiters, event_loop) = match left {
            Ok(left) => left,
            Err(_refused) => {
                drop(self.state.with(py, |state| state.scheduled.take()));
                return Err(loop_is_closed());
            }
        };
        if let Some(waiter) = waiters.first {
            waiter.resume(object, &event_loop)?;
        }
        for waiter in waiters.others {
            waiter.resume(object, &event_loop)?;
        }
        Ok(())
    }

    /// Has `task`, of `own_loop`, resumed when the future is done, if it can be waited for as it
    /// is: pending, awaited, and of the same loop. Otherwise nothing is changed.
    #[inline(always)]
    pub(crate) fn try_wait(&self, task: &Bound<'_, Task>, own_loop: *const ()) -> bool {
        self.state.with(task.py(), |state| {
            let same = state.event_loop.as_ref().is_some_and(|it| it.as_ptr() == own_loop);
            let waits = same && state.blocking && state.status == super::Status::Pending;
            if waits {
                state.blocking = false;
                state.waiters.push(Waiter::Task(Owned::new(task.clone())));
            }
            waits
        })
    }

    /// The identity of the loop; null if `__init__` was never called.
    #[inline(always)]
    pub(crate) fn loop_identity(&self, py: Python<'_>) -> *const () {
        self.state
            .with(py, |state| state.event_loop.as_ref().map_or(std::ptr::null(), EventLoop::as_ptr))
    }

    /// Has `waiter` resumed when the future is done, which it may be already.
    ///
    /// # Errors
    /// `RuntimeError` if `__init__` was never called; otherwise those of [`Waiter::resume`].
    #[inline]
    pub(crate) fn add_waiter(&self, object: &Bound<'_, PyAny>, waiter: Waiter) -> PyResult<()> {
        let py = object.py();
        let event_loop = self.event_loop(py)?;
        let left = self.state.with(py, |state| {
            if state.status == super::Status::Pending {
                state.waiters.push(waiter);
                None
            } else {
                Some(waiter)
            }
        });
        match left {
            Some(waiter) => waiter.resume(object, &event_loop),
            None => Ok(()),
        }
    }

    /// Removes every waiter whose callable equals `callback`, and says how many there were.
    ///
    /// # Errors
    /// `RuntimeError` if `__init__` was never called; what a comparison raises.
    pub(crate) fn remove_waiters(
        &self,
        py: Python<'_>,
        callback: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        self.event_loop(py)?;
        let waiters: Vec<Waiter> =
            self.state.with(py, |state| state.waiters.iter().cloned().collect());
        // Comparing runs anybody's code, which may add and remove others meanwhile.
        let mut removed = 0;
        for waiter in waiters {
            if !waiter.callable(py)?.eq(callback)? {
                continue;
            }
            let taken = self.state.with(py, |state| {
                let all: Vec<Waiter> = std::mem::take(&mut state.waiters).into_iter().collect();
                let mut taken = None;
                for other in all {
                    if taken.is_none() && other.is(&waiter) {
                        taken = Some(other);
                    } else {
                        state.waiters.push(other);
                    }
                }
                taken
            });
            removed += usize::from(taken.is_some());
            drop(taken);
        }
        Ok(removed)
    }

    /// `[(callback, context), ...]`, or `None`.
    pub(crate) fn waiters<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let waiters: Vec<Waiter> =
            self.state.with(py, |state| state.waiters.iter().cloned().collect());
        if waiters.is_empty() {
            return Ok(None);
        }
        let list = PyList::empty(py);
        for waiter in waiters {
            list.append(PyTuple::new(py, [waiter.callable(py)?, waiter.context(py)])?)?;
        }
        Ok(Some(list))
    }
}

impl Waiter {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Callback { callback, context },
                Self::Callback { callback: other, context: others },
            ) => callback.as_ptr() == other.as_ptr() && context.as_ptr() == others.as_ptr(),
            (Self::Task(task), Self::Task(other)) => task.as_ptr() == other.as_ptr(),
            #[cfg(not(Py_3_14))]
            (Self::Gathering(one), Self::Gathering(other)) => one.as_ptr() == other.as_ptr(),
            _ => false,
        }
    }
}
