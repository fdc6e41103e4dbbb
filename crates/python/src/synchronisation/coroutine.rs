//! What a method to be awaited answers: as the coroutine of an `async def` it does nothing before
//! it is awaited, once, and unlike that it needs no frame.

use pyo3::exceptions::{
    PyGeneratorExit, PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::event::Event;
use super::lock::Lock;
use super::queue::Queue;
use super::sleep::Sleep;
use super::timeout::{Raised, Timeout};
use super::waiter::Awaited;
use crate::ffi::cell::AttachedCell;
use crate::ffi::coroutine::Step;
use crate::ffi::exception;
use crate::ffi::native::arguments::Call;
use crate::ffi::native::class::{self, Class, next_slot, send_slot, unary_slot};
use crate::ffi::native::method::{
    Returned, attribute, none, with_arguments, with_object, without_arguments,
};
use crate::ffi::native::object::{self, Contents, Native, Stop, Visitor, native_class};
use crate::ffi::owned::Owned;
use crate::future::thrown;

/// Which method was called, with what.
pub(super) enum Operation {
    LockAcquire(Owned<Lock>),
    LockEnter(Owned<Lock>),
    LockExit(Owned<Lock>),
    EventWait(Owned<Event>),
    QueueGet(Owned<Queue>),
    QueuePut(Owned<Queue>, Owned),
    QueueJoin(Owned<Queue>),
    TimeoutEnter(Owned<Timeout>),
    TimeoutExit(Owned<Timeout>, Option<Box<Raised>>),
    /// For one turn of the loop, with what is returned.
    SleepTurn(Owned),
    Sleep(Box<Sleep>),
}

/// How an operation goes on.
pub(super) enum Next<'py> {
    Return(Bound<'py, PyAny>),
    Await(Awaited),
    /// A bare `yield`: others first.
    Turn,
}

/// What awaiting came to: a value or an exception.
pub(super) type Outcome<'py> = PyResult<Bound<'py, PyAny>>;

impl Operation {
    /// The first step.
    #[inline]
    fn begin<'py>(&self, py: Python<'py>) -> PyResult<Next<'py>> {
        match self {
            Self::LockAcquire(lock) => Lock::begin_acquire(&lock.bind(py)),
            Self::LockEnter(lock) => Lock::begin_enter(&lock.bind(py)),
            Self::LockExit(lock) => Lock::exit(&lock.bind(py)).map(Next::Return),
            Self::EventWait(event) => Event::begin_wait(&event.bind(py)),
            Self::QueueGet(queue) => Queue::begin_get(&queue.bind(py)),
            Self::QueuePut(queue, item) => Queue::begin_put(&queue.bind(py), &item.bind(py)),
            Self::QueueJoin(queue) => Queue::begin_join(&queue.bind(py)),
            Self::TimeoutEnter(timeout) => Timeout::enter(&timeout.bind(py)).map(Next::Return),
            Self::TimeoutExit(timeout, raised) => {
                Timeout::exit(&timeout.bind(py), raised.as_deref()).map(Next::Return)
            }
            Self::SleepTurn(_) => Ok(Next::Turn),
            Self::Sleep(sleep) => sleep.begin(py),
        }
    }

    /// The step after what was awaited.
    #[inline]
    fn resumed<'py>(
        &self,
        py: Python<'py>,
        awaited: &Awaited,
        outcome: Outcome<'py>,
    ) -> PyResult<Next<'py>> {
        match self {
            Self::LockAcquire(lock) => Lock::acquire_resumed(&lock.bind(py), awaited, outcome),
            Self::LockEnter(lock) => {
                Lock::acquire_resumed(&lock.bind(py), awaited, outcome)?;
                Ok(Next::Return(none(py)))
            }
            Self::LockExit(_) | Self::TimeoutEnter(_) | Self::TimeoutExit(..) => {
                outcome.map(Next::Return)
            }
            Self::EventWait(event) => Event::wait_resumed(&event.bind(py), awaited, outcome),
            Self::QueueGet(queue) => Queue::get_resumed(&queue.bind(py), awaited, outcome),
            Self::QueuePut(queue, item) => {
                Queue::put_resumed(&queue.bind(py), &item.bind(py), awaited, outcome)
            }
            Self::QueueJoin(queue) => Queue::join_resumed(&queue.bind(py), awaited, outcome),
            Self::SleepTurn(result) => outcome.map(|_| Next::Return(result.get(py))),
            Self::Sleep(sleep) => sleep.resumed(py, awaited, outcome),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::LockAcquire(_) => "Lock.acquire",
            Self::LockEnter(_) => "Lock.__aenter__",
            Self::LockExit(_) => "Lock.__aexit__",
            Self::EventWait(_) => "Event.wait",
            Self::QueueGet(_) => "Queue.get",
            Self::QueuePut(..) => "Queue.put",
            Self::QueueJoin(_) => "Queue.join",
            Self::TimeoutEnter(_) => "Timeout.__aenter__",
            Self::TimeoutExit(..) => "Timeout.__aexit__",
            Self::SleepTurn(_) | Self::Sleep(_) => "sleep",
        }
    }

    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        match self {
            Self::LockAcquire(lock) | Self::LockEnter(lock) | Self::LockExit(lock) => {
                visitor.visit(lock)
            }
            Self::EventWait(event) => visitor.visit(event),
            Self::QueueGet(queue) | Self::QueueJoin(queue) => visitor.visit(queue),
            Self::QueuePut(queue, item) => {
                visitor.visit(queue)?;
                visitor.visit(item)
            }
            Self::TimeoutEnter(timeout) => visitor.visit(timeout),
            Self::TimeoutExit(timeout, raised) => {
                visitor.visit(timeout)?;
                let Some(raised) = raised else { return Ok(()) };
                visitor.visit(&raised.class)?;
                visitor.visit(&raised.value)
            }
            Self::SleepTurn(result) => visitor.visit(result),
            Self::Sleep(sleep) => sleep.visit(visitor),
        }
    }
}

/// How far a coroutine has come.
enum Progress {
    Created(Operation),
    Suspended(Operation, Awaited),
    /// A step is under way.
    Running,
    Finished,
    /// By the finalizer. What it held goes with its contents: to drop that here would recurse
    /// through a chain of coroutines that hold each other, as deep as the chain is long.
    Finalized(Operation),
}

/// The contents of a coroutine.
pub(super) struct Coroutine {
    progress: AttachedCell<Progress>,
    name: &'static str,
}

native_class!(Coroutine, c"rondel._rondel.Coroutine");

impl Contents for Coroutine {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        let visited = self.progress.visit(|progress| match progress {
            Progress::Created(operation) | Progress::Finalized(operation) => {
                operation.visit(visitor)
            }
            Progress::Suspended(operation, awaited) => {
                operation.visit(visitor)?;
                awaited.visit(visitor)
            }
            Progress::Running | Progress::Finished => Ok(()),
        });
        visited.unwrap_or(Ok(()))
    }

    fn clear(&self) {
        drop(self.progress.visit(|progress| std::mem::replace(progress, Progress::Finished)));
    }

    const FINALIZES: bool = true;

    #[inline]
    fn wants_finalizer(&self) -> bool {
        let unfinished = |progress: &mut Progress| {
            matches!(progress, Progress::Created(_) | Progress::Suspended(..))
        };
        self.progress.visit(unfinished).unwrap_or(false)
    }

    fn finalize(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let contents = slf.contents();
        let created = |progress: &mut Progress| matches!(progress, Progress::Created(_));
        let ended = if contents.progress.with(py, created) {
            contents.warn_of_never_awaited(py)
        } else {
            let (ended, operation) = end(slf);
            if let Some(operation) = operation {
                contents.set(py, Progress::Finalized(operation));
            }
            ended
        };
        if let Err(error) = ended {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }
}

/// A coroutine that will perform `operation`.
#[inline]
pub(super) fn create(py: Python<'_>, operation: Operation) -> Returned<'_> {
    let name = operation.name();
    let progress = AttachedCell::new(Progress::Created(operation));
    object::create(py, Coroutine { progress, name }).map(Bound::into_any)
}

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(super) fn make_class(py: Python<'_>) -> PyResult<()> {
    let class = Class {
        doc: c"What a method to be awaited returns: a coroutine by interface.",
        base: None,
        methods: vec![
            with_object!(Coroutine, c"send", send, c"send($self, value, /)\n--\n\n"),
            with_arguments!(
                Coroutine,
                c"throw",
                throw,
                c"throw($self, type, val=None, tb=None, /)\n--\n\n"
            ),
            without_arguments!(Coroutine, c"close", close, c"close($self, /)\n--\n\n"),
        ],
        attributes: vec![
            attribute!(Coroutine, c"__name__", name),
            attribute!(Coroutine, c"__qualname__", qualified_name),
        ],
        slots: vec![
            unary_slot!(Coroutine, Py_tp_iter, itself),
            unary_slot!(Coroutine, Py_am_await, awaited_now),
            unary_slot!(Coroutine, Py_tp_repr, repr),
            next_slot!(Coroutine, resume),
            send_slot!(Coroutine, resume),
        ],
        has_dict: false,
        subclassable: false,
    };
    class::build::<Coroutine>(py, class).map(drop)
}

impl Coroutine {
    #[inline]
    fn set(&self, py: Python<'_>, to: Progress) {
        drop(self.progress.with(py, |progress| std::mem::replace(progress, to)));
    }

    /// Takes what is to be gone on with; meanwhile a step is under way.
    #[inline]
    fn take(&self, py: Python<'_>) -> PyResult<(Operation, Option<Awaited>)> {
        match self.progress.with(py, |it| std::mem::replace(it, Progress::Running)) {
            Progress::Created(operation) => Ok((operation, None)),
            Progress::Suspended(operation, awaited) => Ok((operation, Some(awaited))),
            Progress::Running => Err(PyValueError::new_err("coroutine already executing")),
            Progress::Finished | Progress::Finalized(_) => {
                self.set(py, Progress::Finished);
                Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"))
            }
        }
    }

    /// One step of a sleep of one turn, of which nothing can fail.
    #[inline]
    fn turn<'py>(&self, py: Python<'py>) -> Option<Step<'py>> {
        self.progress.with(py, |progress| match progress {
            Progress::Created(Operation::SleepTurn(result)) => {
                // What is replaced is not the last reference, so that nothing is run here.
                let operation = Operation::SleepTurn(result.clone());
                *progress = Progress::Suspended(operation, Awaited::Turn);
                Some(Step::Yielded(none(py)))
            }
            Progress::Suspended(Operation::SleepTurn(result), _) => {
                let result = result.get(py);
                *progress = Progress::Finished;
                Some(Step::Returned(result))
            }
            _ => None,
        })
    }

    /// Goes on until there is something to wait for, or to return.
    #[inline]
    fn go_on<'py>(
        &self,
        py: Python<'py>,
        operation: Operation,
        mut next: PyResult<Next<'py>>,
    ) -> PyResult<Step<'py>> {
        loop {
            let awaited = match next {
                Ok(Next::Await(awaited)) => awaited,
                Ok(Next::Turn) => {
                    self.set(py, Progress::Suspended(operation, Awaited::Turn));
                    return Ok(Step::Yielded(none(py)));
                }
                Ok(Next::Return(result)) => {
                    self.set(py, Progress::Finished);
                    return Ok(Step::Returned(result));
                }
                Err(error) => {
                    self.set(py, Progress::Finished);
                    return Err(error);
                }
            };
            next = match awaited.resume(py) {
                Ok(Step::Yielded(yielded)) => {
                    self.set(py, Progress::Suspended(operation, awaited));
                    return Ok(Step::Yielded(yielded));
                }
                Ok(Step::Returned(value)) => operation.resumed(py, &awaited, Ok(value)),
                Err(error) => operation.resumed(py, &awaited, Err(error)),
            };
        }
    }

    /// Sees to what a step of what is awaited has come to.
    #[inline]
    fn stepped<'py>(
        &self,
        py: Python<'py>,
        operation: Operation,
        awaited: Awaited,
        step: PyResult<Step<'py>>,
    ) -> PyResult<Step<'py>> {
        let next = match step {
            Ok(Step::Yielded(yielded)) => {
                self.set(py, Progress::Suspended(operation, awaited));
                return Ok(Step::Yielded(yielded));
            }
            Ok(Step::Returned(value)) => operation.resumed(py, &awaited, Ok(value)),
            Err(error) => operation.resumed(py, &awaited, Err(error)),
        };
        self.go_on(py, operation, next)
    }

    #[cold]
    fn warn_of_never_awaited(&self, py: Python<'_>) -> PyResult<()> {
        let message = format!("coroutine '{}' was never awaited", self.name);
        let message = std::ffi::CString::new(message)?;
        PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1)
    }
}

/// One step, whatever is sent.
#[inline]
fn resume<'py>(slf: &Bound<'py, Coroutine>) -> PyResult<Step<'py>> {
    let py = slf.py();
    let coroutine = slf.contents();
    if let Some(step) = coroutine.turn(py) {
        return Ok(step);
    }
    match coroutine.take(py)? {
        (operation, None) => {
            let next = operation.begin(py);
            coroutine.go_on(py, operation, next)
        }
        (operation, Some(awaited)) => {
            let step = awaited.resume(py);
            coroutine.stepped(py, operation, awaited, step)
        }
    }
}

fn send<'py>(slf: &Bound<'py, Coroutine>, value: &Bound<'py, PyAny>) -> Returned<'py> {
    let created = |progress: &mut Progress| matches!(progress, Progress::Created(_));
    if !value.is_none() && slf.contents().progress.with(slf.py(), created) {
        let message = "can't send non-None value to a just-started coroutine";
        return Err(PyTypeError::new_err(message));
    }
    match resume(slf)? {
        Step::Yielded(yielded) => Ok(yielded),
        Step::Returned(result) => Err(exception::stop_iteration(result)),
    }
}

fn throw<'py>(slf: &Bound<'py, Coroutine>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = slf.py();
    let error = thrown(py, call)?;
    let coroutine = slf.contents();
    let step = match coroutine.take(py)? {
        (_, None) => {
            coroutine.set(py, Progress::Finished);
            Err(PyErr::from_value(error))
        }
        (operation, Some(awaited)) => {
            let step = awaited.throw(&error);
            coroutine.stepped(py, operation, awaited, step)
        }
    };
    match step? {
        Step::Yielded(yielded) => Ok(yielded),
        Step::Returned(result) => Err(exception::stop_iteration(result)),
    }
}

fn close<'py>(slf: &Bound<'py, Coroutine>) -> Returned<'py> {
    let (ended, _) = end(slf);
    ended.map(|()| none(slf.py()))
}

/// Has a coroutine end; what it has held, if it had begun, is for the caller to drop.
fn end(slf: &Bound<'_, Coroutine>) -> (PyResult<()>, Option<Operation>) {
    let py = slf.py();
    let coroutine = slf.contents();
    let finished =
        |progress: &mut Progress| matches!(progress, Progress::Finished | Progress::Finalized(_));
    if coroutine.progress.with(py, finished) {
        return (Ok(()), None);
    }
    let (operation, awaited) = match coroutine.take(py) {
        Ok((operation, Some(awaited))) => (operation, awaited),
        Ok((operation, None)) => {
            coroutine.set(py, Progress::Finished);
            return (Ok(()), Some(operation));
        }
        Err(error) => return (Err(error), None),
    };
    let closed = match awaited.close(py) {
        Ok(()) => PyGeneratorExit::new_err(()),
        Err(error) => error,
    };
    let next = operation.resumed(py, &awaited, Err(closed));
    coroutine.set(py, Progress::Finished);
    let ended = match next {
        Ok(Next::Return(_)) => Ok(()),
        Ok(Next::Await(_) | Next::Turn) => {
            Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit"))
        }
        Err(error)
            if error.is_instance_of::<PyGeneratorExit>(py)
                || error.is_instance_of::<PyStopIteration>(py) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    };
    (ended, Some(operation))
}

fn itself<'py>(slf: &Bound<'py, Coroutine>) -> Returned<'py> {
    Ok(slf.clone().into_any())
}

/// # Errors
/// `RuntimeError` if somebody else awaits it.
#[inline]
fn awaited_now<'py>(slf: &Bound<'py, Coroutine>) -> Returned<'py> {
    let suspended = |progress: &mut Progress| matches!(progress, Progress::Suspended(..));
    if slf.contents().progress.with(slf.py(), suspended) {
        return Err(PyRuntimeError::new_err("coroutine is being awaited already"));
    }
    itself(slf)
}

fn name<'py>(slf: &Bound<'py, Coroutine>) -> Returned<'py> {
    let name = slf.contents().name;
    let name = name.split_once('.').map_or(name, |(_, method)| method);
    Ok(PyString::new(slf.py(), name).into_any())
}

fn qualified_name<'py>(slf: &Bound<'py, Coroutine>) -> Returned<'py> {
    Ok(PyString::new(slf.py(), slf.contents().name).into_any())
}

fn repr<'py>(slf: &Bound<'py, Coroutine>) -> Returned<'py> {
    let shown = format!("<coroutine object {} at {:#x}>", slf.contents().name, slf.as_ptr().addr());
    Ok(PyString::new(slf.py(), &shown).into_any())
}
