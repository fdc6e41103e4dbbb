//! `Queue`: items handed from task to task, in the order in which they came.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList};

use super::coroutine::{Next, Outcome};
use super::event::Event;
use super::items::{Items, Overridden, append, queue_error, take_first};
use super::waiter::{Awaited, LoopBinding, Waiters};
use crate::ffi::cell::AttachedCell;
use crate::ffi::native::method::{Returned, none};
use crate::ffi::native::object::{self, Contents, Native, Stop, Visitor, native_class};
use crate::ffi::owned::Owned;
use crate::imported;

/// The contents of a queue.
#[derive(Default)]
pub(crate) struct Queue {
    pub(super) state: AttachedCell<State>,
    pub(super) binding: LoopBinding,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) items: Items,
    /// As it was given; none before `__init__`.
    pub(super) maxsize: Option<Owned>,
    /// The same, where it is an int that fits; zero and less is no bound.
    pub(super) bound: isize,
    pub(super) getters: Waiters,
    pub(super) putters: Waiters,
    pub(super) unfinished: isize,
    /// Who waits for `join`; made when somebody does. Set while nothing is unfinished.
    pub(super) finished: Option<Owned<Event>>,
    pub(super) is_shut_down: bool,
    pub(super) overridden: Overridden,
}

native_class!(Queue, c"rondel._rondel.Queue");

impl Contents for Queue {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        let visited = self.state.visit(|state| {
            state.items.visit(visitor)?;
            visitor.all(&state.maxsize)?;
            state.getters.visit(visitor)?;
            state.putters.visit(visitor)?;
            visitor.all(&state.finished)
        });
        visited.unwrap_or(Ok(()))?;
        self.binding.visit(visitor)
    }

    fn clear(&self) {
        drop(self.state.visit(std::mem::take));
        self.binding.clear();
    }

    fn blank() -> Option<Self> {
        Some(Self::default())
    }
}

/// Which side of a queue.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Getters,
    Putters,
}

impl State {
    #[inline]
    fn side(&mut self, side: Side) -> &mut Waiters {
        match side {
            Side::Getters => &mut self.getters,
            Side::Putters => &mut self.putters,
        }
    }
}

impl Queue {
    #[inline]
    fn overridden(&self, py: Python<'_>) -> Overridden {
        self.state.with(py, |state| state.overridden)
    }

    /// How many items there are, by the collection itself.
    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        let len = self.state.with(py, |state| match &state.items {
            Items::Own(items) => Ok(items.len()),
            Items::Given(items) => Err(items.get(py)),
        });
        len.or_else(|items| items.len())
    }

    pub(super) fn len_is_at_least(&self, py: Python<'_>, bound: isize) -> PyResult<bool> {
        Ok(isize::try_from(self.len(py)?)? >= bound)
    }

    #[inline]
    pub(super) fn is_empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let queue = slf.contents();
        if queue.overridden(py).has(Overridden::EMPTY) {
            return slf.as_any().call_method0(intern!(py, "empty"))?.is_truthy();
        }
        queue.has_no_items(py)
    }

    #[inline]
    pub(super) fn has_no_items(&self, py: Python<'_>) -> PyResult<bool> {
        let empty = self.state.with(py, |state| match &state.items {
            Items::Own(items) => Ok(items.is_empty()),
            Items::Given(items) => Err(items.get(py)),
        });
        empty.or_else(|items| Ok(!items.is_truthy()?))
    }

    #[inline]
    pub(super) fn is_full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if slf.contents().overridden(py).has(Overridden::FULL) {
            return slf.as_any().call_method0(intern!(py, "full"))?.is_truthy();
        }
        Self::is_full_itself(slf)
    }

    #[inline]
    pub(super) fn is_full_itself(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let queue = slf.contents();
        let bound = queue.state.with(py, |state| state.bound);
        if bound <= 0 {
            return Ok(false);
        }
        if queue.overridden(py).has(Overridden::QSIZE) {
            return slf.as_any().call_method0(intern!(py, "qsize"))?.ge(bound);
        }
        queue.len_is_at_least(py, bound)
    }

    /// Has the next who waits on one side go on, unless all there will anyway.
    #[inline]
    fn wake_next(&self, py: Python<'_>, side: Side) -> PyResult<()> {
        while let Some(waiter) = self.state.with(py, |state| state.side(side).pop()) {
            if waiter.wake(py)? {
                break;
            }
        }
        Ok(())
    }

    fn wake_all(&self, py: Python<'_>, side: Side) -> PyResult<()> {
        while let Some(waiter) = self.state.with(py, |state| state.side(side).pop()) {
            waiter.wake(py)?;
        }
        Ok(())
    }

    pub(super) fn is_shut_down(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_shut_down)
    }

    /// `_put(item)` of this class.
    #[inline]
    pub(super) fn append(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let given = self.state.with(item.py(), |state| match &mut state.items {
            Items::Own(items) => {
                items.push_back(Owned::new(item.clone()));
                None
            }
            Items::Given(items) => Some(items.get(item.py())),
        });
        given.map_or(Ok(()), |items| append(&items, item))
    }

    /// `_get()` of this class.
    #[inline]
    pub(super) fn take_first<'py>(&self, py: Python<'py>) -> Returned<'py> {
        let taken = self.state.with(py, |state| match &mut state.items {
            Items::Own(items) => Ok(items.pop_front()),
            Items::Given(items) => Err(items.get(py)),
        });
        match taken {
            Ok(Some(item)) => Ok(item.into_bound(py)),
            Ok(None) => Err(pyo3::exceptions::PyIndexError::new_err("pop from an empty deque")),
            Err(items) => take_first(&items),
        }
    }

    fn take<'py>(slf: &Bound<'py, Self>) -> Returned<'py> {
        let py = slf.py();
        if slf.contents().overridden(py).has(Overridden::GET) {
            return slf.as_any().call_method0(intern!(py, "_get"));
        }
        slf.contents().take_first(py)
    }

    /// A copy of our own items, or what a subclass has for them.
    fn own_items<'py>(&self, py: Python<'py>) -> Result<Vec<Owned>, Bound<'py, PyAny>> {
        self.state.with(py, |state| match &state.items {
            Items::Own(items) => Ok(items.iter().cloned().collect()),
            Items::Given(items) => Err(items.get(py)),
        })
    }

    /// The items in a list.
    ///
    /// # Errors
    /// `MemoryError`; what going through a subclass's collection raises.
    pub(super) fn listed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        match self.own_items(py) {
            Ok(own) => PyList::new(py, own.iter().map(|item| item.bind(py))),
            Err(given) => given
                .try_iter()?
                .collect::<PyResult<Vec<_>>>()
                .and_then(|items| PyList::new(py, items)),
        }
    }

    /// The collection: from now on a deque, which a subclass or who looks may change.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn items<'py>(&self, py: Python<'py>) -> Returned<'py> {
        if let Some(given) = self.given_items(py) {
            return Ok(given);
        }
        // Made first: what that collects may put something into the queue, or ask the same.
        let deque = imported::deque(py)?.call0()?;
        let fresh = Items::Given(Owned::new(deque.clone()));
        let own = match self.state.with(py, |state| match &state.items {
            Items::Own(_) => Ok(std::mem::replace(&mut state.items, fresh)),
            Items::Given(_) => Err(fresh),
        }) {
            Ok(Items::Own(own)) => own,
            Ok(Items::Given(_)) | Err(_) => return self.items(py),
        };
        for item in own {
            append(&deque, &item.bind(py))?;
        }
        Ok(deque)
    }

    fn given_items<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| match &state.items {
            Items::Own(_) => None,
            Items::Given(items) => Some(items.get(py)),
        })
    }

    /// # Errors
    /// `TypeError` for what is no number.
    pub(super) fn set_maxsize(&self, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let (bound, given) = (bound(maxsize)?, Some(Owned::new(maxsize.clone())));
        drop(self.state.with(maxsize.py(), |state| {
            state.bound = bound;
            std::mem::replace(&mut state.maxsize, given)
        }));
        Ok(())
    }

    pub(super) fn set_items(&self, items: &Bound<'_, PyAny>) {
        let given = Items::Given(Owned::new(items.clone()));
        drop(self.state.with(items.py(), |state| std::mem::replace(&mut state.items, given)));
    }

    /// # Errors
    /// `QueueFull`, `QueueShutDown`; what a subclass raises.
    #[inline]
    pub(super) fn put_nowait(slf: &Bound<'_, Self>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let queue = slf.contents();
        if queue.is_shut_down(py) {
            return Err(queue_error(py, "QueueShutDown"));
        }
        if Self::is_full(slf)? {
            return Err(queue_error(py, "QueueFull"));
        }
        if queue.overridden(py).has(Overridden::PUT) {
            slf.as_any().call_method1(intern!(py, "_put"), (item,))?;
        } else {
            queue.append(item)?;
        }
        let finished = queue.state.with(py, |state| {
            state.unfinished = state.unfinished.saturating_add(1);
            state.finished.clone()
        });
        if let Some(finished) = finished {
            finished.contents().clear(py);
        }
        queue.wake_next(py, Side::Getters)
    }

    /// # Errors
    /// `QueueEmpty`, `QueueShutDown`; what a subclass raises.
    #[inline]
    pub(super) fn get_nowait<'py>(slf: &Bound<'py, Self>) -> Returned<'py> {
        let py = slf.py();
        let queue = slf.contents();
        if Self::is_empty(slf)? {
            let shut_down = queue.is_shut_down(py);
            return Err(queue_error(py, if shut_down { "QueueShutDown" } else { "QueueEmpty" }));
        }
        let item = Self::take(slf)?;
        queue.wake_next(py, Side::Putters)?;
        Ok(item)
    }

    #[inline]
    fn wait<'py>(slf: &Bound<'py, Self>, side: Side) -> PyResult<Next<'py>> {
        let py = slf.py();
        let queue = slf.contents();
        if queue.is_shut_down(py) {
            return Err(queue_error(py, "QueueShutDown"));
        }
        let waiter = queue.binding.waiter(slf.as_any())?;
        let awaited = Awaited::future(py, waiter.clone())?;
        queue.state.with(py, |state| state.side(side).push(waiter));
        Ok(Next::Await(awaited))
    }

    #[inline]
    pub(super) fn begin_get<'py>(slf: &Bound<'py, Self>) -> PyResult<Next<'py>> {
        if Self::is_empty(slf)? {
            return Self::wait(slf, Side::Getters);
        }
        let py = slf.py();
        if slf.contents().overridden(py).has(Overridden::GET_NOWAIT) {
            return slf.as_any().call_method0(intern!(py, "get_nowait")).map(Next::Return);
        }
        Self::get_nowait(slf).map(Next::Return)
    }

    #[inline]
    pub(super) fn get_resumed<'py>(
        slf: &Bound<'py, Self>,
        awaited: &Awaited,
        outcome: Outcome<'py>,
    ) -> PyResult<Next<'py>> {
        match outcome {
            Ok(_) => Self::begin_get(slf),
            Err(error) => {
                Self::pass_on(slf, awaited, Side::Getters)?;
                Err(error)
            }
        }
    }

    #[inline]
    pub(super) fn begin_put<'py>(
        slf: &Bound<'py, Self>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Next<'py>> {
        if Self::is_full(slf)? {
            return Self::wait(slf, Side::Putters);
        }
        let py = slf.py();
        if slf.contents().overridden(py).has(Overridden::PUT_NOWAIT) {
            let put = intern!(py, "put_nowait");
            return slf.as_any().call_method1(put, (item,)).map(Next::Return);
        }
        Self::put_nowait(slf, item).map(|()| Next::Return(none(py)))
    }

    #[inline]
    pub(super) fn put_resumed<'py>(
        slf: &Bound<'py, Self>,
        item: &Bound<'py, PyAny>,
        awaited: &Awaited,
        outcome: Outcome<'py>,
    ) -> PyResult<Next<'py>> {
        match outcome {
            Ok(_) => Self::begin_put(slf, item),
            Err(error) => {
                Self::pass_on(slf, awaited, Side::Putters)?;
                Err(error)
            }
        }
    }

    /// One who waited does so no longer: if it was its turn, it is the next one's.
    #[cold]
    fn pass_on(slf: &Bound<'_, Self>, awaited: &Awaited, side: Side) -> PyResult<()> {
        let py = slf.py();
        let queue = slf.contents();
        let Some(waiter) = awaited.waiter() else { return Ok(()) };
        waiter.cancel(py)?;
        drop(queue.state.with(py, |state| state.side(side).remove(waiter)));
        let nothing_there = match side {
            Side::Getters => Self::is_empty(slf)?,
            Side::Putters => Self::is_full(slf)?,
        };
        if nothing_there || waiter.is_cancelled(py)? {
            return Ok(());
        }
        queue.wake_next(py, side)
    }

    pub(super) fn begin_join<'py>(slf: &Bound<'py, Self>) -> PyResult<Next<'py>> {
        let py = slf.py();
        let queue = slf.contents();
        if queue.state.with(py, |state| state.unfinished) <= 0 {
            return Ok(Next::Return(none(py)));
        }
        // Made first: what that collects may be the last to say that it is done.
        let made = Owned::new(object::create(py, Event::default())?);
        let finished = queue.state.with(py, |state| {
            (state.unfinished > 0)
                .then(|| state.finished.get_or_insert_with(|| made.clone()).clone())
        });
        let Some(finished) = finished else { return Ok(Next::Return(none(py))) };
        let finished = finished.into_bound(py);
        Event::begin_wait(&finished)
    }

    pub(super) fn join_resumed<'py>(
        slf: &Bound<'py, Self>,
        awaited: &Awaited,
        outcome: Outcome<'py>,
    ) -> PyResult<Next<'py>> {
        let py = slf.py();
        let finished = slf.contents().state.with(py, |state| state.finished.clone());
        if let Some(finished) = finished {
            return Event::wait_resumed(&finished.bind(py), awaited, outcome)
                .map(|_| Next::Return(none(py)));
        }
        outcome.map(|_| Next::Return(none(py)))
    }

    /// # Errors
    /// `ValueError` if everything was done already.
    pub(super) fn task_done(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.with(py, |state| state.unfinished) <= 0 {
            return Err(PyValueError::new_err("task_done() called too many times"));
        }
        self.state.with(py, |state| state.unfinished -= 1);
        self.finish(py)
    }

    /// Has all go on who wait for the end, if it has come.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let finished = self
            .state
            .with(py, |state| if state.unfinished == 0 { state.finished.clone() } else { None });
        finished.map_or(Ok(()), |finished| finished.contents().set(py))
    }

    pub(super) fn shut_down(slf: &Bound<'_, Self>, immediate: bool) -> PyResult<()> {
        let py = slf.py();
        let queue = slf.contents();
        queue.state.with(py, |state| state.is_shut_down = true);
        if immediate {
            while !Self::is_empty(slf)? {
                drop(Self::take(slf)?);
                queue.state.with(py, |state| {
                    if state.unfinished > 0 {
                        state.unfinished -= 1;
                    }
                });
            }
            queue.finish(py)?;
        }
        queue.wake_all(py, Side::Getters)?;
        queue.wake_all(py, Side::Putters)
    }

    /// What `__init__` does.
    ///
    /// # Errors
    /// `TypeError` for a `maxsize` that is no number; what a subclass's `_init` raises.
    pub(super) fn begin(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let fresh = State {
            maxsize: Some(Owned::new(maxsize.clone())),
            bound: bound(maxsize)?,
            overridden: Overridden::of(slf)?,
            ..State::default()
        };
        let overridden = fresh.overridden;
        drop(slf.contents().state.with(py, |state| std::mem::replace(state, fresh)));
        if overridden.has(Overridden::INIT) {
            slf.as_any().call_method1(intern!(py, "_init"), (maxsize,))?;
        }
        Ok(())
    }
}

/// The smallest whole number of items with which a queue is full; zero if none is.
fn bound(maxsize: &Bound<'_, PyAny>) -> PyResult<isize> {
    let py = maxsize.py();
    if maxsize.is_exact_instance_of::<PyInt>() {
        // One that does not fit is never reached.
        return Ok(maxsize.extract().unwrap_or(0));
    }
    if maxsize.le(0)? {
        return Ok(0);
    }
    // A float will do, as it does for a comparison.
    let whole = imported::ceil(py)?.call1((maxsize,));
    Ok(whole.and_then(|whole| whole.extract()).unwrap_or(0))
}
