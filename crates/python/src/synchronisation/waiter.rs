//! Those who wait: futures in the order in which they came, of the loop to which an object is
//! bound.

use std::collections::VecDeque;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::ffi::cell::AttachedCell;
use crate::ffi::coroutine::{self, Step};
use crate::ffi::native::method::Returned;
use crate::ffi::native::object::{Native, Stop, Visitor};
use crate::ffi::owned::Owned;
use crate::future::{Future, Status, await_step};
use crate::imported;

/// The future of one who waits.
#[derive(Clone)]
pub(super) enum Waiter {
    Native(Owned<Future>),
    /// Of a loop that makes others; from Python 3.14 on all are.
    Foreign(Owned),
}

impl Waiter {
    pub(super) fn new(future: Bound<'_, PyAny>) -> Self {
        if cfg!(Py_3_14) {
            return Self::Foreign(Owned::new(future));
        }
        match future.cast_into_exact::<Future>() {
            Ok(future) => Self::Native(Owned::new(future)),
            Err(other) => Self::Foreign(Owned::new(other.into_inner())),
        }
    }

    fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Native(future) => future.get(py).into_any(),
            Self::Foreign(future) => future.get(py),
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.as_ptr() == other.as_ptr()
    }

    fn as_ptr(&self) -> *const () {
        match self {
            Self::Native(future) => future.as_ptr().cast(),
            Self::Foreign(future) => future.as_ptr().cast(),
        }
    }

    pub(super) fn is_done(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Native(future) => Ok(!future.contents().is_pending(py)),
            Self::Foreign(future) => future.bind(py).call_method0(intern!(py, "done"))?.is_truthy(),
        }
    }

    pub(super) fn is_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Native(future) => Ok(future.contents().status(py) == Status::Cancelled),
            Self::Foreign(future) => {
                future.bind(py).call_method0(intern!(py, "cancelled"))?.is_truthy()
            }
        }
    }

    /// Has the one who waits go on, unless it will anyway; `false` if it will.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    #[inline]
    pub(super) fn wake(&self, py: Python<'_>) -> PyResult<bool> {
        if self.is_done(py)? {
            return Ok(false);
        }
        match self {
            Self::Native(future) => {
                let future = future.get(py);
                future.contents().set_result(future.as_any(), py.None().into_bound(py))?;
            }
            Self::Foreign(future) => {
                future.bind(py).call_method1(intern!(py, "set_result"), (py.None(),))?;
            }
        }
        Ok(true)
    }

    /// # Errors
    /// What scheduling those who wait raises.
    pub(super) fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Native(future) => {
                let future = future.get(py);
                future.contents().cancel(future.as_any(), None).map(drop)
            }
            Self::Foreign(future) => future.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        }
    }

    pub(super) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        match self {
            Self::Native(future) => visitor.visit(future),
            Self::Foreign(future) => visitor.visit(future),
        }
    }
}

/// All who wait for one thing, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiters(VecDeque<Waiter>);

impl Waiters {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<Waiter> {
        self.0.get(at).cloned()
    }

    pub(super) fn push(&mut self, waiter: Waiter) {
        self.0.push_back(waiter);
    }

    /// Takes the first one out.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Waiter> {
        self.0.pop_front()
    }

    /// Takes one out; the caller drops it where that may run anything.
    #[inline]
    pub(super) fn remove(&mut self, waiter: &Waiter) -> Option<Waiter> {
        // Mostly the one that came first.
        let at = self.0.iter().position(|other| other.is(waiter))?;
        self.0.remove(at)
    }

    /// All of them, for [`listed`] outside of a cell: a list that is made may run the collector.
    pub(super) fn all(&self) -> Vec<Waiter> {
        self.0.iter().cloned().collect()
    }

    pub(super) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.0.iter().try_for_each(|waiter| waiter.visit(visitor))
    }
}

/// The futures of those who wait, in a list.
///
/// # Errors
/// `MemoryError`.
pub(super) fn listed<'py>(py: Python<'py>, waiters: &[Waiter]) -> Returned<'py> {
    PyList::new(py, waiters.iter().map(|waiter| waiter.object(py))).map(Bound::into_any)
}

/// The loop to which an object belongs: the one on which somebody had to wait first.
#[derive(Default)]
pub(super) struct LoopBinding(AttachedCell<Option<Owned>>);

impl LoopBinding {
    /// A future of the running loop, for somebody who waits for `owner`.
    ///
    /// # Errors
    /// `RuntimeError` if `owner` is bound to a different loop; what the loop raises.
    #[inline]
    pub(super) fn waiter(&self, owner: &Bound<'_, PyAny>) -> PyResult<Waiter> {
        let py = owner.py();
        let running = imported::running_loop_or_none(py)?.call0()?;
        let same = self.0.with(py, |bound| {
            if let Some(bound) = bound {
                return bound.is(&running);
            }
            // Without a loop the call below fails, and binds nothing.
            *bound = (!running.is_none()).then(|| Owned::new(running.clone()));
            true
        });
        if !same {
            let message = format!("{} is bound to a different event loop", owner.repr()?);
            return Err(PyRuntimeError::new_err(message));
        }
        Ok(Waiter::new(running.call_method0(intern!(py, "create_future"))?))
    }

    pub(super) fn get<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let bound = self.0.with(py, |bound| bound.as_ref().map(|bound| bound.get(py)));
        bound.unwrap_or_else(|| py.None().into_bound(py))
    }

    pub(super) fn set(&self, event_loop: Option<&Bound<'_, PyAny>>, py: Python<'_>) {
        let event_loop = event_loop.filter(|it| !it.is_none()).cloned().map(Owned::new);
        drop(self.0.with(py, |bound| std::mem::replace(bound, event_loop)));
    }

    pub(super) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.0.visit(|bound| visitor.all(&*bound)).unwrap_or(Ok(()))
    }

    pub(super) fn clear(&self) {
        drop(self.0.visit(Option::take));
    }
}

/// What a coroutine of ours awaits.
pub(super) enum Awaited {
    /// A future; a foreign one with its iterator.
    Future(Waiter, Option<Owned>),
    /// What a method of a subclass has returned: its iterator.
    Other(Owned),
    /// The next turn of the loop.
    Turn,
}

impl Awaited {
    /// # Errors
    /// What the future's `__await__` raises.
    #[inline]
    pub(super) fn future(py: Python<'_>, waiter: Waiter) -> PyResult<Self> {
        let iterator = match &waiter {
            Waiter::Native(_) => None,
            Waiter::Foreign(future) => {
                Some(Owned::new(coroutine::await_iterator(&future.bind(py))?))
            }
        };
        Ok(Self::Future(waiter, iterator))
    }

    /// # Errors
    /// `TypeError` or `AttributeError` for what cannot be awaited.
    pub(super) fn other(awaitable: &Bound<'_, PyAny>) -> PyResult<Self> {
        coroutine::await_iterator(awaitable).map(|iterator| Self::Other(Owned::new(iterator)))
    }

    /// The future, if it is one that this module has made.
    #[inline]
    pub(super) fn waiter(&self) -> Option<&Waiter> {
        match self {
            Self::Future(waiter, _) => Some(waiter),
            Self::Other(_) | Self::Turn => None,
        }
    }

    /// One step.
    ///
    /// # Errors
    /// What is awaited raises.
    #[inline]
    pub(super) fn resume<'py>(&self, py: Python<'py>) -> PyResult<Step<'py>> {
        match self {
            Self::Future(Waiter::Native(future), _) => await_step(&future.bind(py)),
            Self::Future(Waiter::Foreign(_), Some(iterator)) | Self::Other(iterator) => {
                coroutine::send(&iterator.bind(py))
            }
            Self::Future(Waiter::Foreign(_), None) | Self::Turn => {
                Ok(Step::Returned(py.None().into_bound(py)))
            }
        }
    }

    /// One step, with an exception.
    ///
    /// # Errors
    /// What is awaited raises, mostly that exception.
    pub(super) fn throw<'py>(&self, error: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
        let py = error.py();
        match self {
            Self::Future(_, Some(iterator)) | Self::Other(iterator) => {
                coroutine::throw(&iterator.bind(py), error)
            }
            Self::Future(_, None) | Self::Turn => Err(PyErr::from_value(error.clone())),
        }
    }

    /// Ends it early.
    ///
    /// # Errors
    /// What is awaited raises.
    pub(super) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let (Self::Future(_, Some(iterator)) | Self::Other(iterator)) = self else { return Ok(()) };
        match iterator.bind(py).getattr_opt(intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        match self {
            Self::Future(waiter, iterator) => {
                waiter.visit(visitor)?;
                visitor.all(iterator)
            }
            Self::Other(iterator) => visitor.visit(iterator),
            Self::Turn => Ok(()),
        }
    }
}
